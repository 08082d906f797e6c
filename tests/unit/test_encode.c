/* Encoding of float rows: exact where it can be exact, worked blocks, error bounds with their derivation, refusals. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "quant/encode.h"
#include "tests/support/support.h"

static void encodable_types(void **state)
{
    (void)state;
    ash_error err;
    for (uint32_t type = 0; type < ASH_DTYPE_COUNT; type++) {
        float x[32] = { 0 };
        uint8_t out[256];
        bool expected = type == ASH_F32 || type == ASH_F16 || type == ASH_BF16 || type == ASH_Q8_0 || type == ASH_Q4_0;
        assert_int_equal(ash_encodable(type), expected);
        assert_int_equal(ash_encode_row(type, x, 32, out, &err), expected ? ASH_OK : ASH_E_UNSUPPORTED);
    }
    assert_string_equal(err.text, "type mxfp4 cannot be written; choose f32, f16, bf16, q8_0 or q4_0");
}

/* Values that the target holds come out unchanged: all 16-bit codes there and back. */
static void exact_values(void **state)
{
    (void)state;
    ash_error err;
    float *x = malloc(65536 * sizeof *x);
    uint16_t *out = malloc(65536 * sizeof *out);
    assert_true(x && out);
    for (int half = 0; half < 2; half++) {
        for (uint32_t i = 0; i < 65536; i++)
            x[i] = half ? ash_f16_to_f32((uint16_t)i) : ash_bf16_to_f32((uint16_t)i);
        assert_ok(ash_encode_row(half ? ASH_F16 : ASH_BF16, x, 65536, out, &err), &err);
        for (uint32_t i = 0; i < 65536; i++)
            if (!isnan(x[i]))
                assert_int_equal(out[i], i);
            else
                assert_true(isnan(half ? ash_f16_to_f32(out[i]) : ash_bf16_to_f32(out[i])));
    }
    const float odd[3] = { -0.0f, NAN, 1e-45f };
    float same[3];
    assert_ok(ash_encode_row(ASH_F32, odd, 3, same, &err), &err);
    assert_memory_equal(odd, same, sizeof odd);
    free(x);
    free(out);
}

/* Blocks worked by hand. */
static void worked_blocks(void **state)
{
    (void)state;
    ash_error err;
    float x[32];
    ash_block_q8_0 q8;
    ash_block_q4_0 q4;

    /* Q8_0: largest 127, so d = 1 and q is the value rounded half away from zero. */
    memset(x, 0, sizeof x);
    x[0] = 127.0f, x[1] = -127.0f, x[2] = 0.5f, x[3] = -0.5f, x[4] = 1.49f, x[5] = -2.5f, x[31] = 3.0f;
    assert_ok(ash_encode_row(ASH_Q8_0, x, 32, &q8, &err), &err);
    assert_int_equal(q8.d, 0x3c00);
    static const int8_t codes[6] = { 127, -127, 1, -1, 1, -3 };
    assert_memory_equal(q8.qs, codes, sizeof codes);
    assert_int_equal(q8.qs[31], 3);

    /* Q4_0: the value of largest magnitude is -8, so d = 1 and codes are value + 8, rounded, at most 15. */
    memset(x, 0, sizeof x);
    x[0] = -8.0f, x[1] = 7.0f, x[2] = 7.6f, x[3] = -0.5f, x[16] = 1.0f, x[17] = -1.4f, x[31] = -8.0f;
    assert_ok(ash_encode_row(ASH_Q4_0, x, 32, &q4, &err), &err);
    assert_int_equal(q4.d, 0x3c00);
    assert_int_equal(q4.qs[0], 0 | 9 << 4);
    assert_int_equal(q4.qs[1], 15 | 7 << 4);
    assert_int_equal(q4.qs[2], 15 | 8 << 4);  /* 7.6 would be 16 */
    assert_int_equal(q4.qs[3], 8 | 8 << 4);   /* -0.5 + 8.5 = 8 */
    assert_int_equal(q4.qs[15], 8 | 0 << 4);

    /* The largest is positive: d is negative. The first of two equals decides. */
    memset(x, 0, sizeof x);
    x[5] = 4.0f, x[6] = -4.0f;
    assert_ok(ash_encode_row(ASH_Q4_0, x, 32, &q4, &err), &err);
    assert_int_equal(q4.d, 0xb800); /* -0.5 */
    assert_int_equal(q4.qs[5] & 15, 0);
    assert_int_equal(q4.qs[6] & 15, 15);

    /* Zeros of either sign: ggml's d = 0 / -8 is a negative zero. */
    for (int i = 0; i < 32; i++)
        x[i] = i % 2 ? 0.0f : -0.0f;
    assert_ok(ash_encode_row(ASH_Q4_0, x, 32, &q4, &err), &err);
    assert_int_equal(q4.d, 0x8000);
    assert_int_equal(q4.qs[7], 0x88);
    assert_ok(ash_encode_row(ASH_Q8_0, x, 32, &q8, &err), &err);
    assert_int_equal(q8.d, 0);
    assert_int_equal(q8.qs[7], 0);
}

/* Random rows of any magnitude: every weight within its bound.
 * Q8_0: |x - d q| <= 0.5 d for the float d; the half d is off by at most 2^-11 of itself (d >= 2^-14), times
 * |q| <= 127; computing x (1 / d) costs less than 2^-21 of 127 steps. Q4_0: the same with |q| <= 8, except where the
 * code 16 is cut to 15: there the step is a whole one, and no value is over 8 steps from zero. */
static void error_bounds(void **state)
{
    (void)state;
    ash_error err;
    test_rng rng = test_rng_start("error_bounds");
    for (int round = 0; round < 3000; round++) {
        float x[64];
        float scale = ldexpf(1.0f, (int)test_rng_below(&rng, 18) - 4);
        for (int i = 0; i < 64; i++)
            x[i] = test_rng_float(&rng) * scale;
        ash_block_q8_0 q8[2];
        ash_block_q4_0 q4[2];
        assert_ok(ash_encode_row(ASH_Q8_0, x, 64, q8, &err), &err);
        assert_ok(ash_encode_row(ASH_Q4_0, x, 64, q4, &err), &err);
        for (int i = 0; i < 64; i++) {
            double d = (double)ash_f16_to_f32(q8[i / 32].d), value = d * q8[i / 32].qs[i % 32];
            double bound = fabs(d) * (0.5 + 127 * 0x1p-11 + 127 * 0x1p-21) * (1 + 0x1p-10);
            if (fabs(value - (double)x[i]) > bound)
                fail_msg("q8_0: %g became %g, off by more than %g", (double)x[i], value, bound);
            d = (double)ash_f16_to_f32(q4[i / 32].d);
            int code = q4[i / 32].qs[i % 16] >> (i % 32 < 16 ? 0 : 4) & 15;
            value = d * (code - 8);
            bound = fabs(d) * ((code == 15 ? 1.0 : 0.5) + 8 * 0x1p-11 + 8 * 0x1p-21) * (1 + 0x1p-10);
            if (fabs(value - (double)x[i]) > bound)
                fail_msg("q4_0: %g became %g, off by more than %g", (double)x[i], value, bound);
        }
    }
}

/* A last block of fewer than 32 columns: the rest of its bits is zero, and nothing is written behind it. */
static void short_rows(void **state)
{
    (void)state;
    ash_error err;
    float x[40];
    for (int i = 0; i < 40; i++)
        x[i] = 1.0f + (float)i;
    uint8_t out[2 * sizeof(ash_block_q8_0) + 1];
    memset(out, 0xaa, sizeof out);
    assert_ok(ash_encode_row(ASH_Q8_0, x, 40, out, &err), &err);
    ash_block_q8_0 *q8 = (ash_block_q8_0 *)out;
    assert_int_equal(q8[1].qs[7], 127);
    for (int i = 8; i < 32; i++)
        assert_int_equal(q8[1].qs[i], 0);
    assert_int_equal(out[sizeof out - 1], 0xaa);
    memset(out, 0xaa, sizeof out);
    assert_ok(ash_encode_row(ASH_Q4_0, x, 40, out, &err), &err);
    ash_block_q4_0 *q4 = (ash_block_q4_0 *)out;
    for (int i = 0; i < 16; i++)
        assert_int_equal(q4[1].qs[i] & (i < 8 ? 0xf0 : 0xff), 0);
    assert_int_equal(out[2 * sizeof(ash_block_q4_0)], 0xaa);
}

/* Scales so small that 1 / d is infinite give zeros, not undefined conversions. */
static void tiny_values(void **state)
{
    (void)state;
    ash_error err;
    static const float tiny[] = { 1e-45f, 1e-40f, 2e-37f, FLT_MIN };
    for (size_t t = 0; t < sizeof tiny / sizeof *tiny; t++) {
        float x[32] = { tiny[t], -tiny[t] };
        ash_block_q8_0 q8;
        ash_block_q4_0 q4;
        assert_ok(ash_encode_row(ASH_Q8_0, x, 32, &q8, &err), &err);
        assert_ok(ash_encode_row(ASH_Q4_0, x, 32, &q4, &err), &err);
        assert_int_equal(q8.d & 0x7fff, 0);
        assert_int_equal(q4.d & 0x7fff, 0);
        for (int i = 0; t < 2 && i < 32; i++) { /* the codes of zero */
            assert_int_equal(q8.qs[i], 0);
            assert_int_equal(q4.qs[i % 16], 0x88);
        }
    }
}

static void refused_values(void **state)
{
    (void)state;
    ash_error err;
    uint8_t out[256];
    float x[64] = { 0 };
    x[40] = 65520.0f; /* the smallest that rounds to infinity */
    assert_int_equal(ash_encode_row(ASH_F16, x, 64, out, &err), ASH_E_UNSUPPORTED);
    assert_string_equal(err.text, "column 40 is 65520, which f16 cannot hold; choose another type");
    x[40] = -65519.0f;
    assert_ok(ash_encode_row(ASH_F16, x, 64, out, &err), &err);
    x[40] = INFINITY; /* already infinite: kept */
    assert_ok(ash_encode_row(ASH_F16, x, 64, out, &err), &err);
    x[40] = FLT_MAX;
    assert_int_equal(ash_encode_row(ASH_BF16, x, 64, out, &err), ASH_E_UNSUPPORTED);
    assert_int_equal(ash_encode_row(ASH_Q8_0, x, 64, out, &err), ASH_E_UNSUPPORTED);
    assert_int_equal(ash_encode_row(ASH_Q4_0, x, 64, out, &err), ASH_E_UNSUPPORTED);
    static const float never[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < 3; i++) {
        x[40] = never[i];
        assert_int_equal(ash_encode_row(ASH_Q8_0, x, 64, out, &err), ASH_E_UNSUPPORTED);
        assert_int_equal(ash_encode_row(ASH_Q4_0, x, 64, out, &err), ASH_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "column 40 is "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodable_types), cmocka_unit_test(exact_values), cmocka_unit_test(worked_blocks),
        cmocka_unit_test(error_bounds),    cmocka_unit_test(short_rows),   cmocka_unit_test(tiny_values),
        cmocka_unit_test(refused_values),
    };
    return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}
