#include "runtime/threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a waiting thread spins: longer than sampling and printing a token take, so that a decode
 * loop keeps its workers awake; short enough that an idle program shows no load. */
#define SPIN_NS 100000

/* From here on a waiting thread offers its processor to others with every look at the clock: who is waited for may need
 * it, where other programs share the machine. With none there it comes back at once. */
#define YIELD_NS 5000

/* A word that threads wait on: its value changes, sleepers are woken. On a cache line of its own. */
typedef struct gate {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
} gate;

struct ash_pool {
    gate start; /* one step per run */
    gate phase; /* one step per barrier */
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) uint32_t threads;
    bool spin;
    ash_pool_fn *fn; /* NULL ends the workers */
    void *context;
    uint32_t created;
    struct member {
        _Alignas(64) _Atomic uint64_t taken; /* of its share: units in the lower half, in the upper one the phase that
                                                they were taken in; of another phase they count as none */
        ash_pool *pool;
        pthread_t id; /* of thread 0, the caller, none */
    } member[];
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A waiter counts itself before it sleeps, and the opener changes the value before it looks for sleepers; both
 * sequentially consistent, so either the opener sees the sleeper or the futex sees the new value. */
static void gate_wait(gate *g, uint32_t old, bool spin)
{
    if (spin) {
        int64_t start = 0;
        for (uint32_t i = 1;; i++) {
            if (atomic_load_explicit(&g->value, memory_order_acquire) != old)
                return;
            pause_cpu();
            if (i % 64 == 0) { /* the clock costs as much as a pause or two */
                int64_t t = now_ns();
                if (start == 0)
                    start = t;
                else if (t - start > SPIN_NS)
                    break;
                else if (t - start > YIELD_NS)
                    sched_yield();
            }
        }
    }
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->value) == old)
        syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&g->sleepers, 1);
}

static void gate_open(gate *g)
{
    atomic_fetch_add(&g->value, 1);
    if (atomic_load(&g->sleepers) != 0)
        syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void ash_pool_barrier(ash_pool *pool)
{
    if (pool->threads == 1) {
        uint32_t phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
        atomic_store_explicit(&pool->phase.value, phase + 1, memory_order_relaxed);
        return;
    }
    uint32_t old = atomic_load_explicit(&pool->phase.value, memory_order_acquire);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        gate_open(&pool->phase);
    } else {
        gate_wait(&pool->phase, old, pool->spin);
    }
}

/* Takes one part of `parts` of what is left of a member's share; false when nothing is. *at: counted from its begin. */
static bool take_of(struct member *owner, uint64_t phase, int64_t units, int64_t parts, int64_t least, int64_t most,
                    int64_t *at, int64_t *count)
{
    uint64_t taken = atomic_load_explicit(&owner->taken, memory_order_relaxed);
    int64_t n;
    do {
        *at = taken >> 32 == phase ? (int64_t)(uint32_t)taken : 0;
        int64_t left = units - *at;
        if (left <= 0)
            return false;
        n = left / parts;
        n = n < least ? least : n;
        n = n > most ? most : n;
        n = n > left ? left : n;
    } while (!atomic_compare_exchange_weak_explicit(&owner->taken, &taken, phase << 32 | (uint64_t)(*at + n),
                                                    memory_order_relaxed, memory_order_relaxed));
    *count = n;
    return true;
}

bool ash_pool_take(ash_pool *pool, uint32_t thread, int64_t total, int64_t least, int64_t most, int64_t *first,
                   int64_t *count)
{
    int64_t threads = pool->threads;
    uint64_t phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
    for (int64_t i = 0; i < threads; i++) {
        int64_t of = thread + i < threads ? thread + i : thread + i - threads;
        int64_t begin = total * of / threads, units = total * (of + 1) / threads - begin;
        /* Half of its own, of another's less: a thread that falls behind delays the end by little. */
        int64_t parts = i == 0 && threads > 1 ? 2 : threads, at;
        if (units > 0 && take_of(&pool->member[of], phase, units, parts, least, most, &at, count)) {
            *first = begin + at;
            return true;
        }
    }
    return false;
}

static void *work(void *argument)
{
    struct member *self = argument;
    ash_pool *pool = self->pool;
    uint32_t thread = (uint32_t)(self - pool->member);
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&pool->start, seen, pool->spin);
        if (!pool->fn)
            return NULL;
        pool->fn(pool->context, thread);
        ash_pool_barrier(pool);
    }
}

void ash_pool_run(ash_pool *pool, ash_pool_fn *fn, void *context)
{
    if (pool->threads == 1) {
        fn(context, 0);
        ash_pool_barrier(pool);
        return;
    }
    pool->fn = fn;
    pool->context = context;
    gate_open(&pool->start);
    fn(context, 0);
    ash_pool_barrier(pool);
}

uint32_t ash_pool_threads(const ash_pool *pool) { return pool->threads; }

void ash_pool_free(ash_pool *pool)
{
    if (!pool)
        return;
    if (pool->created) {
        pool->fn = NULL;
        gate_open(&pool->start);
        for (uint32_t i = 0; i < pool->created; i++)
            pthread_join(pool->member[i + 1].id, NULL);
    }
    free(pool);
}

ash_status ash_pool_new(uint32_t threads, ash_pool **out, ash_error *err)
{
    *out = NULL;
    if (threads < 1 || threads > ASH_THREADS_MAX)
        return ash_fail(err, ASH_E_ARGUMENT, "%u threads asked for: 1 to %d are possible", threads, ASH_THREADS_MAX);
    size_t bytes = sizeof(ash_pool) + threads * sizeof(struct member);
    ash_pool *pool = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!pool)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %u threads", threads);
    *pool = (ash_pool){ .threads = threads, .spin = threads <= ash_cpu_count() };
    for (uint32_t i = 0; i < threads; i++)
        pool->member[i] = (struct member){ .pool = pool };

    /* Signals go to the program's own threads: a handler that stops the session never runs on a worker. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (uint32_t i = 0; i + 1 < threads && !failed; i++) {
        failed = pthread_create(&pool->member[i + 1].id, NULL, work, &pool->member[i + 1]);
        pool->created += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        uint32_t created = pool->created;
        ash_pool_free(pool);
        return ash_fail(err, ASH_E_MEMORY, "the system gave %u of %u threads: ask for fewer", created + 1, threads);
    }
    *out = pool;
    return ASH_OK;
}

uint32_t ash_cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    uint32_t count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        count = (uint32_t)CPU_COUNT(&set);
    /* cgroup v2: "QUOTA PERIOD" in microseconds, or "max PERIOD". Threads beyond the quota would only throttle each
     * other. */
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        unsigned long long quota, period;
        if (fscanf(f, "%llu %llu", &quota, &period) == 2 && quota && period) {
            unsigned long long cpus = quota / period + (quota % period != 0);
            count = cpus < count ? (uint32_t)cpus : count;
        }
        fclose(f);
    }
    return count < ASH_THREADS_MAX ? count : ASH_THREADS_MAX;
}
