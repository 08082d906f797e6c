/* The limits that bench compares with: bytes read in one line, multiply-adds in registers, barriers between busy
 * threads. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/peak.h"
#include "runtime/command/bench.h"
#include "runtime/hip/card.h"
#include "runtime/session.h"
#include "runtime/threads.h"

#define READ_MOST (UINT64_C(512) << 20)
#define READ_LEAST (UINT64_C(64) << 10)
#define AHEAD 8192 /* bytes between what is asked for and what is read: as many as arrive in some 300 ns */
#define PEAK_ROUNDS 2000000
#define BARRIERS 1000
#define TRIES 5

typedef struct limit_run {
    ash_pool *pool;
    const uint8_t *bytes;
    uint64_t count;
    ash_level level;
    ash_peak_kind kind;
    uint64_t done[ASH_THREADS_MAX]; /* and, so that no read can be left out, what they summed up to */
    uint64_t sums[ASH_THREADS_MAX];
} limit_run;

/* 16 bytes at a time, so that as many lines as memory can bring at once are asked for within the processor's window:
 * with words of 8 bytes it was a quarter less, and of a cache a third less without the prefetch. Each round reads all of
 * it again. */
typedef uint64_t pair __attribute__((vector_size(16), may_alias));
static void read_part(void *context, uint32_t thread)
{
    limit_run *r = context;
    uint32_t threads = ash_pool_threads(r->pool);
    uint64_t each = r->count / threads / 64 * 64, rounds = READ_MOST / r->count;
    pair a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }; /* an array of sums would live in memory, and bind before it does */
    for (uint64_t n = 0; n < rounds; n++) {
        const uint8_t *part = r->bytes + thread * each;
        for (uint64_t at = 0; at < each; at += 64) {
            const pair *p = (const pair *)(const void *)(part + at);
            __builtin_prefetch(part + (at + AHEAD < each ? at + AHEAD : at), 0, 2);
            a += p[0], b += p[1], c += p[2], d += p[3];
        }
        __asm__ volatile("" : : : "memory");
    }
    a += b + c + d;
    r->sums[thread] = a[0] + a[1];
    r->done[thread] = rounds * each;
}

static void multiply_part(void *context, uint32_t thread)
{
    limit_run *r = context;
    r->done[thread] = ash_peak(r->level, r->kind, PEAK_ROUNDS);
}

static void only_barriers(void *context, uint32_t thread)
{
    limit_run *r = context;
    r->done[thread] = thread == 0 ? BARRIERS : 0;
    for (int i = 0; i < BARRIERS; i++)
        ash_pool_barrier(r->pool);
}

/* The best of some tries. */
static double best_rate(limit_run *r, ash_pool_fn *fn)
{
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double started = seconds_now(), seconds;
        uint64_t done = 0;
        ash_pool_run(r->pool, fn, r);
        seconds = seconds_now() - started;
        for (uint32_t t = 0; t < ash_pool_threads(r->pool); t++)
            done += r->done[t];
        if ((double)done / seconds > best)
            best = (double)done / seconds;
    }
    return best;
}

bench_limits bench_measure_limits(uint32_t threads, int cpu_level, uint64_t read_bytes)
{
    uint64_t count = read_bytes > READ_MOST ? READ_MOST : read_bytes < READ_LEAST ? READ_LEAST : read_bytes;
    bench_limits out = { .read_bytes = count };
    ash_error ignored;
    limit_run *r = calloc(1, sizeof *r);
    /* Large pages, as a mapped file's are where the system has them: small ones cost 30%. */
    uint8_t *bytes = ash_pages_new(READ_MOST, ASH_PAGES_LARGE);
    if (r && bytes && ash_pool_new(threads ? threads : ash_cpu_count(), &r->pool, &ignored) == ASH_OK) {
        memset(bytes, 1, READ_MOST);
        r->bytes = bytes, r->count = READ_MOST;
        r->level = ash_level_upto(ash_session_level(cpu_level));
        out.memory_s = best_rate(r, read_part);
        r->count = count;
        out.bytes_s = count == READ_MOST ? out.memory_s : best_rate(r, read_part);
        r->kind = ASH_PEAK_INT8;
        out.int8_s = best_rate(r, multiply_part);
        r->kind = ASH_PEAK_BF16;
        out.bf16_s = best_rate(r, multiply_part);
        r->kind = ASH_PEAK_F32;
        out.f32_s = best_rate(r, multiply_part);
        out.barriers_s = best_rate(r, only_barriers);
        ash_pool_free(r->pool);
    }
    ash_pages_free(bytes, READ_MOST);
    free(r);
    return out;
}

bench_limits bench_card_limits(const ashlar_session *session)
{
    return (bench_limits){ .bytes_s = ash_card_copy_rate(session->card) };
}
