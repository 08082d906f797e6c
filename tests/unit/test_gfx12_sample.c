/* Sampling on the card (kernels/gfx12/sample.hip), executed by the interpreter. */
#include <math.h>
#include <string.h>

#include "tests/support/support.h"

#include "tests/gfx12/card.h"

static int32_t arg_max(const float *x, uint32_t count)
{
    int32_t best = -1;
    for (uint32_t i = 0; i < count; i++)
        if (x[i] > -INFINITY && (best < 0 || x[i] > x[best]))
            best = (int32_t)i;
    return best < 0 ? 0 : best;
}

static void test_arg_max(void **state)
{
    (void)state;
    card c = { .seed = 7 };
    test_rng rng = test_rng_start("arg_max");
    const uint32_t counts[] = { 1, 2, 31, 33, 1023, 1025, 5000 };
    const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_ARG_MAX, ASH_DTYPE_COUNT, 0);
    assert_non_null(k);
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (int kind = 0; kind < 4; kind++) { /* random, equal ones, with NaN, nothing to choose */
            uint32_t count = counts[n];
            float *logits = card_buffer(&c, "logits", count * 4);
            for (uint32_t i = 0; i < count; i++)
                logits[i] = kind == 3 ? (i % 2 ? NAN : -INFINITY) : kind == 1 ? (float)test_rng_below(&rng, 3)
                          : kind == 2 && i % 3 == 0 ? NAN : 10 * test_rng_float(&rng);
            float *value = card_buffer(&c, "value", 4);
            int32_t *id = card_buffer(&c, "id", 4);
            ash_gfx_step *next = card_buffer(&c, "next", 12);
            next->pos = 40, next->tokens = 3;
            ash_gfx_sample args = { .logits = logits, .values = value, .ids = id, .next = next, .count = count, .k = 1 };
            card_run(&c, k, 1, 1, 1, &args);
            assert_int_equal(*id, arg_max(logits, count));
            assert_true(next->pos == 43 && next->tokens == 1 && next->ids[0] == *id);
            if (kind < 2)
                assert_memory_equal(value, &logits[*id], 4);
            card_clear(&c);
        }
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_arg_max) };
    return cmocka_run_group_tests_name("gfx12_sample", tests, NULL, NULL);
}
