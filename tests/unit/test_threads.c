/* The thread pool: every unit is handed out once, barriers order memory, idle threads sleep. */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/threads.h"
#include "tests/support/support.h"

#define UNITS 5000
#define PHASES 40

typedef struct job {
    ash_pool *pool;
    _Atomic uint32_t taken[PHASES][UNITS];
    uint32_t plain[PHASES][UNITS]; /* written without atomics: only a barrier makes them visible */
    _Atomic uint32_t calls, wrong;
    int64_t least, most;
} job;

static ash_pool *new_pool(uint32_t threads)
{
    ash_pool *pool;
    ash_error err = { 0 };
    if (ash_pool_new(threads, &pool, &err) != ASH_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ash_pool_threads(pool), threads);
    return pool;
}

static void phases(void *context, uint32_t thread)
{
    job *j = context;
    atomic_fetch_add(&j->calls, 1);
    for (uint32_t p = 0; p < PHASES; p++) {
        int64_t first, count;
        while (ash_pool_take(j->pool, thread, UNITS, j->least, j->most, &first, &count)) {
            if (count < 1 || count > j->most || first < 0 || first + count > UNITS)
                atomic_fetch_add(&j->wrong, 1);
            for (int64_t i = first; i < first + count; i++) {
                atomic_fetch_add(&j->taken[p][i], 1);
                j->plain[p][i] = p + 1;
                if (p > 0 && j->plain[p - 1][(i + 997 * (thread + 1)) % UNITS] != p) /* likely another thread's */
                    atomic_fetch_add(&j->wrong, 1);
            }
        }
        ash_pool_barrier(j->pool);
    }
}

static void test_every_unit_once(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 1, 2, 3, 7 };
    static const int64_t least[] = { 1, 16, 64 }, most[] = { 1, 40, INT64_MAX };
    job *j = calloc(1, sizeof *j);
    for (size_t c = 0; c < 4; c++) {
        j->pool = new_pool(counts[c]);
        for (size_t i = 0; i < 3; i++) {
            memset(j->taken, 0, sizeof j->taken);
            memset(j->plain, 0, sizeof j->plain);
            j->calls = 0;
            j->least = least[i] < most[i] ? least[i] : most[i];
            j->most = most[i];
            ash_pool_run(j->pool, phases, j);
            assert_int_equal(j->calls, counts[c]);
            assert_int_equal(j->wrong, 0);
            for (uint32_t p = 0; p < PHASES; p++)
                for (uint32_t u = 0; u < UNITS; u++)
                    if (j->taken[p][u] != 1)
                        fail_msg("phase %u unit %u was taken %u times", p, u, j->taken[p][u]);
        }
        ash_pool_free(j->pool);
    }
    free(j);
}

static void take_few(void *context, uint32_t thread)
{
    job *j = context;
    int64_t first, count;
    while (ash_pool_take(j->pool, thread, 2, 1, INT64_MAX, &first, &count))
        for (int64_t i = first; i < first + count; i++)
            atomic_fetch_add(&j->taken[0][i], 1);
    if (ash_pool_take(j->pool, thread, 0, 1, INT64_MAX, &first, &count))
        atomic_fetch_add(&j->wrong, 1);
}

/* Fewer units than threads, and none; runs that end without a barrier of their own. */
static void test_few_units(void **state)
{
    (void)state;
    job *j = calloc(1, sizeof *j);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        j->pool = new_pool(threads);
        memset(j->taken, 0, sizeof j->taken);
        for (uint32_t runs = 1; runs <= 3; runs++) {
            ash_pool_run(j->pool, take_few, j);
            assert_int_equal(j->taken[0][0], runs);
            assert_int_equal(j->taken[0][1], runs);
            assert_int_equal(j->wrong, 0);
        }
        ash_pool_free(j->pool);
    }
    free(j);
}

static void count_call(void *context, uint32_t thread)
{
    atomic_fetch_add((_Atomic uint64_t *)context, UINT64_C(1) << 8 * thread);
}

/* What thread `thread` takes when no other takes anything: its share in order, then that of the next, and so on. */
static void test_own_share_first(void **state)
{
    (void)state;
    ash_pool *pool = new_pool(3);
    for (uint32_t thread = 0; thread < 3; thread++) {
        int64_t first, count, lowest = 100, highest = 0;
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t of = (thread + i) % 3;
            int64_t at = 100 * of / 3, end = 100 * (of + 1) / 3;
            assert_in_range(end - at, 33, 34);
            for (; at < end; at += count) {
                assert_true(ash_pool_take(pool, thread, 100, 4, INT64_MAX, &first, &count));
                assert_int_equal(first, at);
                lowest = first < lowest ? first : lowest;
                highest = first + count > highest ? first + count : highest;
                int64_t left = end - at, piece = left / (i == 0 ? 2 : 3);
                piece = piece < 4 ? 4 : piece;
                assert_int_equal(count, piece < left ? piece : left);
            }
            assert_int_equal(at, end);
        }
        assert_int_equal(lowest, 0);
        assert_int_equal(highest, 100);
        assert_false(ash_pool_take(pool, thread, 100, 4, INT64_MAX, &first, &count));
        _Atomic uint64_t calls = 0;
        ash_pool_run(pool, count_call, &calls); /* a phase ends with it */
    }
    ash_pool_free(pool);
}

/* Many short runs, some right after the other and some after the workers have gone to sleep. */
static void test_runs(void **state)
{
    (void)state;
    ash_pool *pool = new_pool(3);
    _Atomic uint64_t sum = 0;
    for (int i = 0; i < 200; i++) {
        if (i % 40 == 0)
            nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
        ash_pool_run(pool, count_call, &sum);
    }
    assert_int_equal(sum, UINT64_C(200) * 0x010101);
    ash_pool_free(pool);
}

static double process_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* How many threads of this process but the caller are in state S: asleep. Linux tells in the field after the name. */
static uint32_t sleeping_threads(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        char path[300], line[512] = "", *end;
        if (e->d_name[0] == '.' || atoi(e->d_name) == (int)syscall(SYS_gettid))
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
        FILE *f = fopen(path, "re");
        if (f && fgets(line, sizeof line, f) && (end = strrchr(line, ')')))
            count += end[1] == ' ' && end[2] == 'S';
        if (f)
            fclose(f);
    }
    closedir(folder);
    return count;
}

/* Workers spin 0.1 ms each and then sleep; only a pool that fits the processors spins at all. 5 ms a worker leaves room
 * for a loaded machine and sanitizers; one that went on spinning would burn up to 300 ms. */
static void test_idle_costs_nothing(void **state)
{
    (void)state;
    uint32_t counts[2] = { ash_cpu_count() < 8 ? ash_cpu_count() : 8, 4 };
    for (int i = 0; i < 2; i++) {
        ash_pool *pool = new_pool(counts[i]);
        _Atomic uint64_t sum = 0;
        ash_pool_run(pool, count_call, &sum);
        double before = process_seconds();
        nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
        double used = process_seconds() - before;
        printf("# measure idle pool of %u threads: %.2f ms of CPU in 300 ms\n", counts[i], used * 1000);
        assert_true(used < 0.005 * counts[i] + 0.005);
        assert_true(sleeping_threads() >= counts[i] - 1); /* a sanitizer may have a thread of its own */
        ash_pool_free(pool);
    }
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Less than this between busy threads is what decoding is built on: some hundred barriers a token. */
#define BARRIER_SECONDS 2e-6
#define PATIENCE_SECONDS 10 /* for a moment in which other programs leave a processor to each thread */
#define WINDOW 50           /* barriers that are timed together, short enough to fit into such a moment */
#define WINDOWS 20

typedef struct barrier_run {
    ash_pool *pool;
    double best; /* seconds a barrier */
} barrier_run;

static void only_barriers(void *context, uint32_t thread)
{
    barrier_run *r = context;
    for (int w = 0; w < WINDOWS; w++) {
        ash_pool_barrier(r->pool);
        double before = thread == 0 ? now_s() : 0;
        for (int i = 0; i < WINDOW; i++)
            ash_pool_barrier(r->pool);
        double each = thread == 0 ? (now_s() - before) / WINDOW : 1;
        if (thread == 0 && each < r->best)
            r->best = each;
    }
}

/* Of busy threads, where the pool fits the processors: the best of many windows, since other programs take them too. */
static void test_barrier_time(void **state)
{
    (void)state;
    uint32_t threads = ash_cpu_count() < 8 ? ash_cpu_count() : 8;
    barrier_run r = { .pool = new_pool(threads), .best = 1 };
    double started = now_s();
    for (int i = 0; i < 50 || (r.best >= BARRIER_SECONDS && now_s() - started < PATIENCE_SECONDS); i++)
        ash_pool_run(r.pool, only_barriers, &r);
    printf("# measure barrier of %u threads: %.3f us\n", threads, r.best * 1e6);
    ash_pool_free(r.pool);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("sanitizers count every access");
#endif
    if (threads < 2)
        test_skip("one processor: no thread to wait for");
    assert_true(r.best < BARRIER_SECONDS);
}

static void test_bounds(void **state)
{
    (void)state;
    ash_pool *pool;
    ash_error err = { 0 };
    assert_int_equal(ash_pool_new(0, &pool, &err), ASH_E_ARGUMENT);
    assert_null(pool);
    assert_non_null(strstr(err.text, "0 threads"));
    assert_int_equal(ash_pool_new(ASH_THREADS_MAX + 1, &pool, &err), ASH_E_ARGUMENT);
    ash_pool_free(NULL);
    assert_true(ash_cpu_count() >= 1 && ash_cpu_count() <= ASH_THREADS_MAX);
    pool = new_pool(2); /* freed without ever running */
    ash_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_unit_once),
        cmocka_unit_test(test_own_share_first),
        cmocka_unit_test(test_few_units),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_idle_costs_nothing),
        cmocka_unit_test(test_barrier_time),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
