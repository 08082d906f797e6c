/* Encoding of float rows: exact where it can be exact, worked blocks, error bounds with their derivation, refusals. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "quant/encode.h"
#include "tests/support/support.h"

static ash_kernels kernels;

static void encodable_types(void **state)
{
    (void)state;
    ash_error err;
    for (uint32_t type = 0; type < ASH_DTYPE_COUNT; type++) {
        float x[32] = { 0 };
        uint8_t out[256];
        bool expected = type < ASH_USABLE_DTYPES;
        assert_int_equal(ash_encodable(type), expected);
        assert_int_equal(ash_encode_row(&kernels, type, x, NULL, 32, out, &err), expected ? ASH_OK : ASH_E_UNSUPPORTED);
    }
    assert_string_equal(err.text, "type mxfp4 cannot be written; choose f32, f16, bf16, f8_e4m3, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1 or q4_0");
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
        assert_ok(ash_encode_row(&kernels, half ? ASH_F16 : ASH_BF16, x, NULL, 65536, out, &err), &err);
        for (uint32_t i = 0; i < 65536; i++)
            if (!isnan(x[i]))
                assert_int_equal(out[i], i);
            else
                assert_true(isnan(half ? ash_f16_to_f32(out[i]) : ash_bf16_to_f32(out[i])));
    }
    const float odd[3] = { -0.0f, NAN, 1e-45f };
    float same[3];
    assert_ok(ash_encode_row(&kernels, ASH_F32, odd, NULL, 3, same, &err), &err);
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
    assert_ok(ash_encode_row(&kernels, ASH_Q8_0, x, NULL, 32, &q8, &err), &err);
    assert_int_equal(q8.d, 0x3c00);
    static const int8_t codes[6] = { 127, -127, 1, -1, 1, -3 };
    assert_memory_equal(q8.qs, codes, sizeof codes);
    assert_int_equal(q8.qs[31], 3);

    /* Q4_0: the value of largest magnitude is -8, so d = 1 and codes are value + 8, rounded, at most 15. */
    memset(x, 0, sizeof x);
    x[0] = -8.0f, x[1] = 7.0f, x[2] = 7.6f, x[3] = -0.5f, x[16] = 1.0f, x[17] = -1.4f, x[31] = -8.0f;
    assert_ok(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 32, &q4, &err), &err);
    assert_int_equal(q4.d, 0x3c00);
    assert_int_equal(q4.qs[0], 0 | 9 << 4);
    assert_int_equal(q4.qs[1], 15 | 7 << 4);
    assert_int_equal(q4.qs[2], 15 | 8 << 4);  /* 7.6 would be 16 */
    assert_int_equal(q4.qs[3], 8 | 8 << 4);   /* -0.5 + 8.5 = 8 */
    assert_int_equal(q4.qs[15], 8 | 0 << 4);

    /* Q5_0: -16 becomes code 0, so d = 1 and codes are value + 16, rounded, at most 31; the fifth bits in qh. */
    ash_block_q5_0 q5;
    x[0] = -16.0f, x[1] = 15.6f, x[2] = 3.4f, x[17] = -16.0f;
    assert_ok(ash_encode_row(&kernels, ASH_Q5_0, x, NULL, 32, &q5, &err), &err);
    assert_int_equal(q5.d, 0x3c00);
    assert_int_equal(q5.qs[0] & 15, 0);
    assert_int_equal(q5.qs[1], 15 | 0 << 4);
    assert_int_equal(q5.qs[2] & 15, 3); /* 19 = 16 + 3 */
    assert_int_equal(q5.qh[0] & 7, 6);
    assert_int_equal(q5.qh[2] >> 1 & 1, 0);

    /* Q4_1 and Q5_1: from the smallest value on, in steps of 1. */
    ash_block_q4_1 q41;
    ash_block_q5_1 q51;
    for (int i = 0; i < 32; i++)
        x[i] = -3.0f + (float)(i % 16);
    x[5] = 2.4f;
    assert_ok(ash_encode_row(&kernels, ASH_Q4_1, x, NULL, 32, &q41, &err), &err);
    assert_int_equal(q41.d, 0x3c00);
    assert_int_equal(q41.m, 0xc200);
    for (int i = 0; i < 16; i++)
        assert_int_equal(q41.qs[i], i | i << 4);
    for (int i = 0; i < 32; i++)
        x[i] = -3.0f + (float)i;
    assert_ok(ash_encode_row(&kernels, ASH_Q5_1, x, NULL, 32, &q51, &err), &err);
    assert_int_equal(q51.d, 0x3c00);
    assert_int_equal(q51.m, 0xc200);
    for (int i = 0; i < 16; i++)
        assert_int_equal(q51.qs[i], i | i << 4);
    static const uint8_t fifth[4] = { 0, 0, 255, 255 };
    assert_memory_equal(q51.qh, fifth, 4);

    /* The largest is positive: d is negative. The first of two equals decides. */
    memset(x, 0, sizeof x);
    x[5] = 4.0f, x[6] = -4.0f;
    assert_ok(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 32, &q4, &err), &err);
    assert_int_equal(q4.d, 0xb800); /* -0.5 */
    assert_int_equal(q4.qs[5] & 15, 0);
    assert_int_equal(q4.qs[6] & 15, 15);

    /* Zeros of either sign: ggml's d = 0 / -8 is a negative zero. */
    for (int i = 0; i < 32; i++)
        x[i] = i % 2 ? 0.0f : -0.0f;
    assert_ok(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 32, &q4, &err), &err);
    assert_int_equal(q4.d, 0x8000);
    assert_int_equal(q4.qs[7], 0x88);
    assert_ok(ash_encode_row(&kernels, ASH_Q8_0, x, NULL, 32, &q8, &err), &err);
    assert_int_equal(q8.d, 0);
    assert_int_equal(q8.qs[7], 0);
}

/* Random rows of any magnitude: every weight within its bound. `unit` is the block's d as a float.
 * Half a step for the rounding; the stored half d is off by at most 2^-11 of itself (d >= 2^-14), times the largest code;
 * computing x (1 / d) costs less than 2^-21 of as many steps. Symmetric types cut one code more than there is: there the
 * step is a whole one. Affine types also round m to half: 2^-11 of it. */
static void error_bounds(void **state)
{
    (void)state;
    ash_error err;
    static const struct { ash_dtype dtype; int codes; bool cut, affine; } types[] = {
        { ASH_Q8_0, 127, false, false }, { ASH_Q4_0, 8, true, false },  { ASH_Q5_0, 16, true, false },
        { ASH_Q4_1, 15, false, true },   { ASH_Q5_1, 31, false, true },
    };
    test_rng rng = test_rng_start("error_bounds");
    for (int round = 0; round < 3000; round++) {
        float x[64], y[64];
        uint8_t out[128];
        float scale = ldexpf(1.0f, (int)test_rng_below(&rng, 18) - 4), shift = test_rng_float(&rng) * scale;
        for (int i = 0; i < 64; i++)
            x[i] = test_rng_float(&rng) * scale + shift;
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            assert_ok(ash_encode_row(&kernels, types[t].dtype, x, NULL, 64, out, &err), &err);
            ash_decode_row(types[t].dtype, out, 64, y);
            for (int b = 0; b < 64; b += 32) {
                double low = (double)x[b], high = low, most;
                for (int i = b; i < b + 32; i++) {
                    low = fmin(low, (double)x[i]);
                    high = fmax(high, (double)x[i]);
                }
                most = fmax(fabs(low), fabs(high));
                double d = (types[t].affine ? high - low : most) / types[t].codes;
                /* The value of largest magnitude is code 0: what is as large on the other side is cut. */
                double other = fabs(low) > fabs(high) ? 1 : -1;
                for (int i = b; i < b + 32; i++) {
                    bool cut = types[t].cut && other * (double)x[i] > (types[t].codes - 1) * d;
                    double bound = d * ((cut ? 1 : 0.5) + types[t].codes * (0x1p-11 + 0x1p-21)) * (1 + 0x1p-10) +
                                   (types[t].affine ? fabs(low) * 0x1p-11 : 0);
                    if (fabs((double)y[i] - (double)x[i]) > bound)
                        fail_msg("%s: %g became %g, off by more than %g", ash_dtype_name(types[t].dtype), (double)x[i],
                                 (double)y[i], bound);
                }
            }
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
    assert_ok(ash_encode_row(&kernels, ASH_Q8_0, x, NULL, 40, out, &err), &err);
    ash_block_q8_0 *q8 = (ash_block_q8_0 *)out;
    assert_int_equal(q8[1].qs[7], 127);
    for (int i = 8; i < 32; i++)
        assert_int_equal(q8[1].qs[i], 0);
    assert_int_equal(out[sizeof out - 1], 0xaa);
    memset(out, 0xaa, sizeof out);
    assert_ok(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 40, out, &err), &err);
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
        assert_ok(ash_encode_row(&kernels, ASH_Q8_0, x, NULL, 32, &q8, &err), &err);
        assert_ok(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 32, &q4, &err), &err);
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
    assert_int_equal(ash_encode_row(&kernels, ASH_F16, x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
    assert_string_equal(err.text, "column 40 is 65520, which f16 cannot hold; choose another type");
    x[40] = -65519.0f;
    assert_ok(ash_encode_row(&kernels, ASH_F16, x, NULL, 64, out, &err), &err);
    x[40] = INFINITY; /* already infinite: kept */
    assert_ok(ash_encode_row(&kernels, ASH_F16, x, NULL, 64, out, &err), &err);
    x[40] = FLT_MAX;
    assert_int_equal(ash_encode_row(&kernels, ASH_BF16, x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
    assert_int_equal(ash_encode_row(&kernels, ASH_Q8_0, x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
    assert_int_equal(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
    static const float never[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < 3; i++) {
        x[40] = never[i];
        assert_int_equal(ash_encode_row(&kernels, ASH_Q8_0, x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
        assert_int_equal(ash_encode_row(&kernels, ASH_Q4_0, x, NULL, 64, out, &err), ASH_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "column 40 is "));
    }
}

int main(void)
{
    ash_kernels_init(&kernels, ASH_LEVEL_COUNT - 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodable_types), cmocka_unit_test(exact_values), cmocka_unit_test(worked_blocks),
        cmocka_unit_test(error_bounds),    cmocka_unit_test(short_rows),   cmocka_unit_test(tiny_values),
        cmocka_unit_test(refused_values),
    };
    return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}
