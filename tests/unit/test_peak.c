/* The loops that say what a machine can multiply at most (kernels/peak.h), by what processors can do. */
#include <stdio.h>
#include <time.h>

#include "kernels/peak.h"
#include "tests/support/support.h"
#include "tests/support/weights.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A multiply-add of floats and one of bytes take the same units, a register at a time: of bytes a register holds four
 * times as many. dpbusd is one instruction, and so are products summed in 16 bits, whose additions go elsewhere; with
 * AVX-512 alone products and their sums in pairs are two on those units, and twice the floats' rate is the most that is
 * left. Where a compiler computes such products once for all steps, additions alone remain, twice as many or more. Both
 * loops run in turn, and the best of many short runs counts, so that clocks and neighbours matter little. */
static void test_ratio(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
    test_skip("measures optimized loops of x86");
#else
    static const struct { ash_level level; double most; } levels[] = {
        { ASH_LEVEL_AVX2, 4 }, { ASH_LEVEL_AVXVNNI, 4 }, { ASH_LEVEL_AVX512, 2 }, { ASH_LEVEL_VNNI, 4 },
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        double best[2] = { 0, 0 };
        if (!ash_level_has(levels[i].level))
            continue;
        for (int round = 0; round < 200; round++) {
            ash_peak_kind kind = round % 2 ? ASH_PEAK_F32 : ASH_PEAK_INT8;
            double before = seconds(), done = (double)ash_peak(levels[i].level, kind, 5000);
            double rate = done / (seconds() - before);
            best[kind] = rate > best[kind] ? rate : best[kind];
        }
        double ratio = best[ASH_PEAK_INT8] / best[ASH_PEAK_F32];
        printf("# measure %s: %.1f G bytes and %.1f G floats multiplied a second, %.2f times\n",
               ash_level_name(levels[i].level), 1e-9 * best[ASH_PEAK_INT8], 1e-9 * best[ASH_PEAK_F32], ratio);
        /* A third more: the clock may differ between the two. */
        assert_true(ratio > 1 && ratio < levels[i].most * 4 / 3);
    }
#endif
}

/* No kernel multiplies faster than the steps that ash_q8_steps counts for it allow: 64 rows in the cache, the best of many
 * short runs, each next to one of the registers' loop. A tenth more: the clock may differ between the two. */
static void test_steps(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
    test_skip("measures optimized loops of x86");
#else
    enum { ROWS = 64, COLS = 1024, MOST = 2 * 64 };
    static int8_t q8[MOST * COLS] __attribute__((aligned(64)));
    static float scale[MOST * COLS / 32], y[MOST * ROWS];
    static int16_t sum[MOST * COLS / 16];
    static const int64_t tokens[] = { 1, 8, 9, 32, 64, 63 };
    test_rng rng = test_rng_start("steps");
    guard_buffer scratch = guard_alloc(ASH_SCRATCH_BYTES, 64);
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++)
        scale[i] = 1;
    const ash_acts eight = { .tokens = 8 };
    assert_int_equal(ash_q8_steps(ASH_LEVEL_AVX512, false, ASH_Q4_K, &eight), 64); /* nobody counted */
    assert_int_equal(ash_q8_steps(ASH_LEVEL_VNNI, true, ASH_BF16, &eight), 64);
    for (size_t i = 0; i < count; i++) {
        const ash_kernel *k = &list[i];
        if (k->op != ASH_OP_MATMUL_Q8 || k->level != ASH_LEVEL_VNNI || !ash_level_has(k->level))
            continue;
        test_matrix m = weights_make(k->dtype, ROWS, COLS, WEIGHT_RANDOM, ASH_SCALE_NONE, &rng);
        for (size_t j = 0; j < 2 * sizeof tokens / sizeof *tokens; j++) {
            size_t t = j / 2;
            ash_acts x = { .tokens = tokens[t], .cols = COLS, .stride = COLS, .q8 = q8, .q8_scale = scale,
                           .q8_sum = sum, .q8_wide = j % 2 || t % 2 == 0, .q8_fine = j % 2 };
            double best = 0, peak = 0, steps = ash_q8_steps(k->level, ash_units_shared(), k->dtype, &x) / 64.0;
            assert_true(steps > 1 && steps >= ash_q8_steps(k->level, false, k->dtype, &x) / 64.0);
            for (int round = 0; round < 60; round++) {
                double before = seconds();
                ((ash_matmul_fn *)k->fn)(&m.w, 0, ROWS / 16, &x, y, ROWS, 16, scratch.p);
                double between = seconds(), done = (double)ash_peak(k->level, ASH_PEAK_INT8, 5000);
                double rate = (double)(ash_q8_rows(&x) * ROWS * COLS) / (between - before), bound = done / (seconds() - between);
                best = rate > best ? rate : best;
                peak = bound > peak ? bound : peak;
            }
            if (best * steps > 1.1 * peak)
                fail_msg("%s multiplies %.1f G/s with %lld%s tokens: with %.0f steps for 64, the units do %.1f", k->name,
                         1e-9 * best, (long long)x.tokens, x.q8_fine ? " fine" : "", 64 * steps, 1e-9 * peak);
        }
        weights_free(&m);
    }
    guard_free(&scratch);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ratio), cmocka_unit_test(test_steps) };
    return cmocka_run_group_tests_name("peak", tests, NULL, NULL);
}
