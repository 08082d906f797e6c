/* The loops that say what a machine can multiply at most (kernels/peak.h), by what processors can do. */
#include <stdio.h>
#include <time.h>

#include "kernels/peak.h"
#include "tests/support/support.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ratio) };
    return cmocka_run_group_tests_name("peak", tests, NULL, NULL);
}
