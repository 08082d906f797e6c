/* Sampling on the card (kernels/gfx12/sample.hip), executed by the interpreter. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "tests/gfx12/card.h"

/* Logits of many sorts; the buffer holds what lies behind them up to a multiple of 4, larger than all of them. */
typedef enum sort { RANDOM, FEW_VALUES, SOME_NAN, NOTHING, EQUAL, ASCENDING, ONE_A_GROUP, IN_ONE_WAVE, SORTS } sort;

static float logit(sort s, uint32_t i, test_rng *rng)
{
    switch (s) {
    case RANDOM: return 10 * test_rng_float(rng);
    case FEW_VALUES: return i % 7 == 0 ? 1 : test_rng_below(rng, 2) ? 0.0f : -0.0f;
    case SOME_NAN: return i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : 10 * test_rng_float(rng);
    case NOTHING: return i % 2 ? NAN : -INFINITY;
    case EQUAL: return -2;
    case ASCENDING: return (float)i;
    case ONE_A_GROUP: return (i % 64 == 5 ? 10 : 0) + test_rng_float(rng); /* those of 4,097 are just 64 */
    default: return (i / 4 % 1024 < 32 ? 10 : 0) + test_rng_float(rng); /* the largest are all one wave's to collect */
    }
}

static float *logits_make(card *c, sort s, uint32_t count, test_rng *rng)
{
    float *x = card_buffer(c, "logits", (count + 3) / 4 * 16);
    for (uint32_t i = 0; i < (count + 3) / 4 * 4; i++)
        x[i] = i < count ? logit(s, i, rng) : INFINITY;
    return x;
}

static const ash_gfx_kernel *kernel(ash_gfx_op op)
{
    const ash_gfx_kernel *k = ash_gfx_kernel_find(op, ASH_DTYPE_COUNT, 0);
    assert_non_null(k);
    return k;
}

/* ---- the largest ---- */

static int32_t arg_max(const float *x, uint32_t count)
{
    int32_t best = -1;
    for (uint32_t i = 0; i < count; i++)
        if (x[i] > -INFINITY && (best < 0 || x[i] > x[best]))
            best = (int32_t)i;
    return best < 0 ? 0 : best;
}

static void check_arg_max(card *c, sort s, uint32_t count, test_rng *rng)
{
    float *logits = logits_make(c, s, count, rng), *value = card_buffer(c, "value", 4);
    int32_t *id = card_buffer(c, "id", 4);
    ash_gfx_step *next = card_buffer(c, "next", 12);
    next->pos = 40, next->tokens = 3;
    ash_gfx_sample args = { .logits = logits, .values = value, .ids = id, .next = next, .count = count, .k = 1 };
    card_run(c, kernel(ASH_GFX_OP_ARG_MAX), 1, 1, 1, &args);
    assert_int_equal(*id, arg_max(logits, count));
    assert_true(next->pos == 43 && next->tokens == 1 && next->ids[0] == *id);
    assert_memory_equal(value, &logits[*id], 4);
    card_clear(c);
}

static void test_arg_max(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 1, 2, 31, 33, 1000, 1023, 1025, 5000 };
    card c = { .seed = 7 };
    test_rng rng = test_rng_start("arg_max");
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (sort s = 0; s < SORTS; s++)
            check_arg_max(&c, s, counts[n], &rng);
    check_arg_max(&c, RANDOM, 128256, &rng);
    card_free(&c);
}

/* ---- the k largest ---- */

static const float *sorted_by; /* qsort's comparison takes no context */

static int descending(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    float x = sorted_by[i], y = sorted_by[j];
    if (isnan(x) != isnan(y))
        return isnan(x) ? 1 : -1;
    return x > y ? -1 : x < y ? 1 : i < j ? -1 : 1;
}

static void check_top_k(card *c, sort s, uint32_t count, uint32_t k, test_rng *rng)
{
    float *logits = logits_make(c, s, count, rng), *values = card_buffer(c, "values", k * 4);
    int32_t *ids = card_buffer(c, "ids", k * 4), *want = malloc(count * sizeof *want);
    ash_gfx_sample args = { .logits = logits, .values = values, .ids = ids, .count = count, .k = k };
    card_run(c, kernel(ASH_GFX_OP_TOP_K), 1, 1, 1, &args);
    for (uint32_t i = 0; i < count; i++)
        want[i] = (int32_t)i;
    sorted_by = logits;
    qsort(want, count, sizeof *want, descending);
    for (uint32_t i = 0; i < k; i++) {
        if (ids[i] != want[i])
            fail_msg("of %u logits (sort %d) number %u is %d, not %d", count, s, i, ids[i], want[i]);
        assert_memory_equal(&values[i], &logits[want[i]], 4);
    }
    free(want);
    card_clear(c);
}

static void test_top_k(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 1, 31, 64, 1000, 4097 };
    card c = { .seed = 11 };
    test_rng rng = test_rng_start("top_k");
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (sort s = 0; s < SORTS; s++) {
            uint32_t most = counts[n] < ASH_GFX_TOP_K ? counts[n] : ASH_GFX_TOP_K;
            check_top_k(&c, s, counts[n], most, &rng);
            check_top_k(&c, s, counts[n], 1 + (uint32_t)test_rng_below(&rng, most), &rng);
        }
    check_top_k(&c, RANDOM, 32000, 40, &rng);
    check_top_k(&c, RANDOM, 128256, 64, &rng);
    check_top_k(&c, IN_ONE_WAVE, 128256, 20, &rng);
    card_free(&c);
}

/* ---- probabilities ---- */

/* Against the same in double. The exponent a = (x - max) log2(e) / T, |a| at most 160 before e^a is 0 either way, takes
 * five roundings of 2^-24 each (difference, constant, division, product, 1 ulp of exp2 as a factor of its own):
 * relative 160 ln 2 * 4 * 2^-24 at most; the sum of n / 1024 + 10 additions, its reciprocal and the last product add as
 * many. Below 2^-126 nothing is relative. */
static void check_softmax(card *c, sort s, uint32_t count, float temperature, bool in_place, test_rng *rng)
{
    float *logits = logits_make(c, s, count, rng), *values = in_place ? logits : card_buffer(c, "values", count * 4);
    double *want = malloc(count * sizeof *want), sum = 0, most = -INFINITY;
    for (uint32_t i = 0; i < count; i++)
        most = fmax(most, (double)logits[i]);
    for (uint32_t i = 0; i < count; i++) {
        want[i] = isnan(logits[i]) ? 0 : exp(((double)logits[i] - most) / (double)temperature);
        sum += want[i];
    }
    ash_gfx_sample args = { .logits = logits, .values = values, .count = count, .temperature = temperature };
    card_run(c, kernel(ASH_GFX_OP_SOFTMAX), 1, 1, 1, &args);
    double allowed = (160 * M_LN2 * 4 + count / 1024.0 + 16) * 0x1p-24;
    for (uint32_t i = 0; i < count; i++) {
        if (most == -INFINITY)
            assert_true(isnan(values[i]));
        else if (!(fabs((double)values[i] - want[i] / sum) <= allowed * want[i] / sum + 0x1p-126))
            fail_msg("of %u logits (sort %d) number %u has %.9g, not %.9g", count, s, i, (double)values[i],
                     want[i] / sum);
    }
    free(want);
    card_clear(c);
}

static void test_softmax(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 1, 31, 64, 1000, 4097 };
    card c = { .seed = 13 };
    test_rng rng = test_rng_start("softmax");
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (sort s = 0; s < SORTS; s++)
            check_softmax(&c, s, counts[n], s % 2 ? 0.7f : 1.3f, n % 2, &rng);
    check_softmax(&c, RANDOM, 32000, 0.8f, true, &rng);
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_arg_max), cmocka_unit_test(test_top_k),
                                        cmocka_unit_test(test_softmax) };
    return cmocka_run_group_tests_name("gfx12_sample", tests, NULL, NULL);
}
