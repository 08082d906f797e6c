/* Rows to Q8_0 and e4m3 and 16-bit rows to floats: every kernel gives the bits of plain scalar code written out here,
 * on adversarial rows between unmapped pages. The search for FP8 scales: at most the error of any scale of a fine
 * sweep, in any order of rows. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "quant/encode.h"
#include "quant/fp8.h"
#include "tests/support/guard.h"
#include "tests/support/support.h"

static ash_kernels best;

static float element(int kind, int64_t i, test_rng *rng)
{
    switch (kind) {
    case 0: return i % 3 ? 0.0f : -0.0f;
    case 1: return ldexpf(test_rng_float(rng), (int)test_rng_below(rng, 40) - 30);
    case 2: return test_rng_float(rng) * 0x1p-135f; /* denormal; reciprocals of scales that are infinite */
    case 3: return (float)((int)test_rng_below(rng, 255) - 127) + (i % 2 ? 0.5f : -0.5f); /* halves: ties */
    case 4: return i % 5 ? 127 * 65504.0f : -127 * 65504.0f;
    case 5: return i % 32 == 31 ? 127.0f : nextafterf(0.5f, (float)(i % 3)) * (i % 2 ? 1 : -1); /* or next to it */
    default: return test_rng_float(rng);
    }
}
enum { KINDS = 7 };

typedef struct call {
    const ash_kernel *kernel;
    const void *in;
    int64_t n;
    float scale;
    void *out;
    double sum;
} call;

static void run(void *context)
{
    call *c = context;
    switch (c->kernel->op) {
    case ASH_OP_ENCODE: ((ash_encode_fn *)c->kernel->fn)(c->in, NULL, c->n, c->out); break;
    case ASH_OP_DECODE: ((ash_decode_fn *)c->kernel->fn)(c->in, c->n, c->out); break;
    case ASH_OP_ENCODE_E4M3: ((ash_encode_e4m3_fn *)c->kernel->fn)(c->in, c->n, c->scale, c->out); break;
    default: c->sum = ((ash_error_e4m3_fn *)c->kernel->fn)(c->in, c->n, c->scale); break;
    }
}

/* ggml's reference quantizer, element by element. */
static void plain_q8_0(const float *x, int64_t n, uint8_t *out)
{
    for (int64_t at = 0; at < n; at += 32, out += sizeof(ash_block_q8_0)) {
        ash_block_q8_0 b = { 0 };
        int64_t count = n - at < 32 ? n - at : 32;
        float most = 0;
        for (int64_t i = 0; i < count; i++)
            most = fmaxf(most, fabsf(x[at + i]));
        float d = most / 127.0f, inverse = d != 0 ? 1.0f / d : 0;
        b.d = ash_f32_to_f16(d);
        for (int64_t i = 0; i < count; i++)
            b.qs[i] = (int8_t)roundf(x[at + i] * (isfinite(inverse) ? inverse : 0));
        memcpy(out, &b, sizeof b);
    }
}

static double plain_error(const float *x, int64_t n, float scale)
{
    float sums[16] = { 0 }, inverse = 1 / scale;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        float lost = x[i] - ash_e4m3_to_f32(ash_f32_to_e4m3(x[i] * inverse)) * scale;
        sums[i % 16] = fmaf(lost, lost, sums[i % 16]);
    }
    for (int i = 0; i < 16; i++)
        sum += (double)sums[i];
    return sum;
}

static void expect(const call *c, uint8_t *out, size_t bytes)
{
    if (c->kernel->op == ASH_OP_ENCODE)
        plain_q8_0(c->in, c->n, out);
    else if (c->kernel->op == ASH_OP_DECODE)
        ash_decode_row(c->kernel->dtype, c->in, c->n, (float *)out);
    else
        for (size_t i = 0; i < bytes; i++)
            out[i] = ash_f32_to_e4m3(((const float *)c->in)[i] * (1 / c->scale));
}

static void same_bits(void **state)
{
    const ash_kernel *k = *state;
    if (!ash_level_has(k->level))
        test_skip("this processor lacks the kernel's instructions");
    static const int64_t lengths[] = { 1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 256, 1000 };
    static const float scales[] = { 1, 0.01f, 3, 0x1p-120f, 0x1p100f };
    test_rng rng = test_rng_start(k->name);
    bool decode = k->op == ASH_OP_DECODE;
    for (size_t round = 0; round < sizeof lengths / sizeof *lengths * KINDS; round++) {
        int64_t n = lengths[round / KINDS];
        size_t blocks = (size_t)(n + 31) / 32 * sizeof(ash_block_q8_0);
        size_t bytes = decode ? (size_t)n * 4 : k->op == ASH_OP_ENCODE ? blocks : (size_t)n;
        guard_buffer in = guard_alloc((size_t)n * (decode ? 2 : 4), decode ? 1 : 4);
        guard_buffer out = guard_alloc(bytes, decode ? 4 : 1);
        float *expected = calloc(1, bytes + 4);
        for (int64_t i = 0; i < n; i++) {
            float x = element((int)(round % KINDS), i, &rng);
            uint16_t half = (uint16_t)test_rng_below(&rng, 65536);
            half = (half & 0x7f80) == 0x7f80 || (half & 0x7c00) == 0x7c00 ? 0x3c01 : half; /* finite in both types */
            if (decode)
                memcpy((uint8_t *)in.p + 2 * i, &half, 2);
            else
                ((float *)in.p)[i] = x;
        }
        call c = { .kernel = k, .in = in.p, .n = n, .scale = scales[round % 5], .out = out.p };
        int raised = guard_run(run, &c);
        if (raised)
            fail_msg("%s: signal %d, n = %lld", k->name, raised, (long long)n);
        assert_true(guard_slack_intact(&out));
        if (k->op == ASH_OP_ERROR_E4M3) {
            double want = plain_error(in.p, n, c.scale);
            if (c.sum != want && !(isnan(c.sum) && isnan(want)))
                fail_msg("%s: %a instead of %a, n = %lld", k->name, c.sum, want, (long long)n);
        } else {
            expect(&c, (uint8_t *)expected, bytes);
            if (memcmp(out.p, expected, bytes) != 0)
                fail_msg("%s: other bytes, rows of kind %zu, n = %lld", k->name, round % KINDS, (long long)n);
        }
        free(expected);
        guard_free(&in);
        guard_free(&out);
    }
}

/* ---- scales ---- */

enum { ROWS = 40, COLS = 300 };

static double error_of(const float *x, float scale)
{
    double sum = 0;
    for (int i = 0; i < ROWS * COLS; i++) {
        double code = (double)ash_e4m3_to_f32(ash_f32_to_e4m3(x[i] * (1 / scale)));
        sum += ((double)x[i] - code * (double)scale) * ((double)x[i] - code * (double)scale);
    }
    return sum;
}

static float largest(const float *x)
{
    return best.max_abs(x, ROWS * COLS);
}

/* Near enough to normal, in bf16; `outlier` of them are far out. */
static void fill(float *x, test_rng *rng, float outlier)
{
    for (int i = 0; i < ROWS * COLS; i++) {
        float sum = 0;
        for (int k = 0; k < 12; k++)
            sum += test_rng_float(rng);
        x[i] = ash_bf16_to_f32(ash_f32_to_bf16(0.01f * sum));
    }
    if (outlier != 0)
        x[77] = outlier;
}

/* The search has steps of 1/256 of max / 448 beside its best coarse one. A sweep twice as fine finds nothing that is
 * better by more than 2%: the error moves by less than that between steps of 1/32.
 *
 * With a value 400 deviations out it moves by more, since such a step rounds that value alone by (8 / 64)^2, four times
 * the error of all others: left are the scales that have it at a code, of which the coarse steps meet some. Between
 * those the others' error is as random as a sum of squares of roundings: of normal values the mean of the fourth powers
 * is 3 * 9 / 5 of the square's own mean squared, so that the error of n = ROWS * COLS deviates by sqrt(4.4 / n) = 1.9%,
 * a difference of two by 2.7%. Four of those. */
static void scale_is_best(void **state)
{
    (void)state;
    static float x[ROWS * COLS];
    static ash_fp8_counts counts;
    test_rng rng = test_rng_start("scale");
    for (int round = 0; round < 6; round++) {
        fill(x, &rng, round % 3 == 1 ? 0.5f : round % 3 == 2 ? -8.0f : 0);
        memset(&counts, 0, sizeof counts);
        for (int r = 0; r < ROWS; r++)
            ash_fp8_count(&counts, x + r * COLS, COLS);
        float max = largest(x), scale = ash_fp8_scale(&counts, max);
        double found = error_of(x, scale), plain = error_of(x, max / ASH_E4M3_MAX), least = plain;
        for (int i = 256; i < 1024; i++)
            least = fmin(least, error_of(x, max / ASH_E4M3_MAX * (float)i / 512));
        assert_true(found <= plain);
        if (found > (round % 3 == 2 ? 1.11 : 1.02) * least)
            fail_msg("round %d: an error of %g where %g can be had", round, found, least);
        if (round == 0)
            print_message("# measure: %.4f of the error of max / 448\n", found / plain);

        /* In another order and from several tables: the same. */
        static ash_fp8_counts parts[2];
        memset(parts, 0, sizeof parts);
        for (int r = ROWS - 1; r >= 0; r--)
            ash_fp8_count(&parts[r % 2], x + r * COLS, COLS);
        ash_fp8_counts_add(&parts[0], &parts[1]);
        float again = ash_fp8_scale(&parts[0], max);
        assert_memory_equal(&again, &scale, sizeof scale);
    }
}

/* What a scale may cut is worth it only where the rest gains: with one value far out it is kept. */
static void outliers_are_kept(void **state)
{
    (void)state;
    static float x[ROWS * COLS];
    static ash_fp8_counts counts;
    test_rng rng = test_rng_start("outliers");
    fill(x, &rng, 100);
    ash_fp8_count(&counts, x, ROWS * COLS);
    float scale = ash_fp8_scale(&counts, largest(x));
    assert_true(fabsf(ash_e4m3_to_f32(ash_f32_to_e4m3(100 / scale)) * scale - 100) <= 100.0f / 16);
}

static void odd_scales(void **state)
{
    (void)state;
    static ash_fp8_counts counts;
    float zeros[40] = { 0 }, tiny[40] = { 1e-45f }, huge[40] = { FLT_MAX, -FLT_MAX };
    assert_true(ash_fp8_scale(&counts, 0) == 1);
    assert_true(ash_fp8_row_scale(&best, zeros, 40) == 1);
    float s = ash_fp8_row_scale(&best, tiny, 40);
    assert_true(s > 0 && isfinite(1 / s));
    s = ash_fp8_row_scale(&best, huge, 40);
    assert_true(isfinite(s) && s >= FLT_MAX / 448 * 0.99f);
    ash_error err;
    uint8_t out[40];
    static const float never[] = { NAN, INFINITY, -INFINITY };
    for (int i = 0; i < 3; i++) {
        zeros[13] = never[i];
        assert_int_equal(ash_encode_fp8_row(&best, zeros, 40, 1, out, &err), ASH_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "column 13 is "));
    }
}

/* Every level chooses the same scale for a row. */
static void row_scales_agree(void **state)
{
    (void)state;
    static float x[ROWS * COLS];
    test_rng rng = test_rng_start("rows");
    fill(x, &rng, 0);
    for (int r = 0; r < ROWS; r++) {
        float first = 0;
        for (int level = 0; level <= (int)ash_level_detect(); level++) {
            ash_kernels k;
            ash_kernels_init(&k, (ash_level)level);
            float scale = ash_fp8_row_scale(&k, x + r * COLS, COLS);
            first = level == 0 ? scale : first;
            assert_memory_equal(&scale, &first, sizeof scale);
        }
        double plain = best.error_e4m3(x + r * COLS, COLS, best.max_abs(x + r * COLS, COLS) / ASH_E4M3_MAX);
        assert_true(best.error_e4m3(x + r * COLS, COLS, first) <= plain);
    }
}

int main(void)
{
    ash_kernels_init(&best, ASH_LEVEL_COUNT - 1);
    size_t count, n = 0;
    const ash_kernel *list = ash_kernel_list(&count);
    struct CMUnitTest *tests = calloc(count + 4, sizeof *tests);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(scale_is_best);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(outliers_are_kept);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(odd_scales);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(row_scales_agree);
    for (size_t i = 0; i < count; i++)
        if ((list[i].op == ASH_OP_ENCODE && list[i].dtype == ASH_Q8_0) || list[i].op == ASH_OP_DECODE ||
            list[i].op == ASH_OP_ENCODE_E4M3 || list[i].op == ASH_OP_ERROR_E4M3)
            tests[n++] = (struct CMUnitTest){ list[i].name, same_bits, NULL, NULL, (void *)(uintptr_t)&list[i] };
    int failed = _cmocka_run_group_tests("8-bit types", tests, n, NULL, NULL);
    free(tests);
    return failed != 0;
}
