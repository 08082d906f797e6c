/* Codes that keep the mean of the outputs: against error feedback as the textbook has it, the Hessian written out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "quant/balance.h"
#include "quant/encode.h"
#include "quant/kblock.h"
#include "tests/support/support.h"

enum { COLS = 330 }; /* a block, and part of one */

/* a, symmetric, becomes its inverse: elimination without pivots, a is positive definite. */
static void invert(double *a, int n)
{
    for (int p = 0; p < n; p++) {
        double pivot = 1 / a[p * n + p];
        a[p * n + p] = 1;
        for (int j = 0; j < n; j++)
            a[p * n + j] *= pivot;
        for (int i = 0; i < n; i++) {
            double f = a[i * n + p];
            if (i == p)
                continue;
            a[i * n + p] = 0;
            for (int j = 0; j < n; j++)
                a[i * n + j] -= f * a[p * n + j];
        }
    }
}

/* Columns in order; each one's error goes to the later ones by the inverse of the Hessian, from which it is then
 * eliminated (Frantar and others' equations). */
static void textbook(const double *inverse, const float *x, ash_kblock *b, int blocks)
{
    double *h = malloc(COLS * COLS * sizeof *h), w[COLS];
    assert_non_null(h);
    memcpy(h, inverse, COLS * COLS * sizeof *h);
    for (int k = 0; k < COLS; k++)
        w[k] = (double)x[k];
    for (int k = 0; k < COLS; k++) {
        ash_kblock *at = &b[k / 256];
        assert_true(k / 256 < blocks);
        int j = k % 256, sub = j / at->sub_elems;
        double scale = (double)(at->d * (float)at->sc[sub]), min = (double)(at->dmin * (float)at->mn[sub]);
        double code = scale != 0 ? rint((w[k] + min) / scale) : 0;
        code = fmin(fmax(code, at->low), at->high);
        at->code[j] = (int8_t)code;
        double e = (w[k] - (scale * code - min)) / h[k * COLS + k];
        for (int i = k; i < COLS; i++)
            w[i] -= e * h[k * COLS + i];
        double pivot = h[k * COLS + k];
        for (int i = k + 1; i < COLS; i++)
            for (int l = k + 1; l < COLS; l++)
                h[i * COLS + l] -= h[i * COLS + k] * h[k * COLS + l] / pivot;
    }
    free(h);
}

/* sum v e^2 and (sum m e)^2 of a row */
static void costs(ash_dtype dtype, const uint8_t *row, const float *x, const double *v, const float *mean, double out[2])
{
    float got[COLS];
    double sum = 0;
    out[0] = 0;
    ash_decode_row(dtype, row, COLS, got);
    for (int k = 0; k < COLS; k++) {
        double e = (double)got[k] - (double)x[k];
        out[0] += v[k] * e * e;
        sum += (double)mean[k] * e;
    }
    out[1] = sum * sum;
}

static void check(ash_dtype dtype, test_rng *rng, const float *mean, const double *v, const double *inverse,
                  const ash_balance *balance, double sums[4])
{
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_SCALAR);
    float x[COLS];
    uint8_t before[2 * 256], after[2 * 256], expected[2 * 256];
    ash_error err;
    ash_kblock b[2];
    size_t block = ash_dtype_find(dtype)->block_bytes;
    for (int k = 0; k < COLS; k++)
        x[k] = test_rng_float(rng) + test_rng_float(rng);
    memset(before, 0x55, sizeof before);
    assert_ok(ash_encode_row(&kernels, dtype, x, NULL, COLS, before, &err), &err);
    memcpy(after, before, sizeof after);
    ash_balance_row(dtype, balance, x, COLS, after);
    memcpy(expected, before, sizeof expected);
    for (int i = 0; i < 2; i++)
        ash_kblock_read(dtype, before + (size_t)i * block, &b[i]);
    textbook(inverse, x, b, 2);
    for (int i = 0; i < 2; i++)
        ash_kblock_write(dtype, &b[i], expected + (size_t)i * block);
    double plain[2], fed[2], exact[2];
    costs(dtype, before, x, v, mean, plain);
    costs(dtype, after, x, v, mean, fed);
    costs(dtype, expected, x, v, mean, exact);
    sums[0] += plain[0] + plain[1];
    sums[1] += fed[0] + fed[1];
    sums[2] += exact[0] + exact[1];
    /* Bytes are the same unless some column lies between two codes, within what float rounding leaves open. */
    sums[3] += memcmp(after, expected, sizeof after) != 0;
}

static void test_textbook(void **state)
{
    (void)state;
    static const ash_dtype types[] = { ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };
    test_rng rng = test_rng_start("balance");
    float mean[COLS], pull[COLS];
    double square[COLS], v[COLS], *h = malloc(COLS * COLS * sizeof *h);
    assert_non_null(h);
    for (int k = 0; k < COLS; k++) {
        mean[k] = k % 5 == 2 ? 0 : test_rng_float(&rng);
        v[k] = k % 7 == 3 ? 8 : 0.5 + (double)fabsf(test_rng_float(&rng));
        square[k] = v[k] + (double)mean[k] * (double)mean[k];
    }
    for (int i = 0; i < COLS; i++)
        for (int k = 0; k < COLS; k++)
            h[i * COLS + k] = (double)mean[i] * (double)mean[k] + (i == k ? v[k] : 0);
    invert(h, COLS);
    ash_balance_pull(mean, square, COLS, pull);
    for (size_t t = 0; t < 3; t++) {
        double sums[4] = { 0 };
        for (int r = 0; r < 10; r++)
            check(types[t], &rng, mean, v, h, &(ash_balance){ mean, pull }, sums);
        printf("# measure %s: error %.3f of rounding's, the textbook's %.3f; %.0f of 10 rows differ\n",
               ash_dtype_name(types[t]), sums[1] / sums[0], sums[2] / sums[0], sums[3]);
        assert_true(sums[1] < 0.97 * sums[0]);
        assert_true(sums[3] <= 1); /* ten rows of 330 columns, each open to 2^-20 of a step or so: once in 1,000 runs */
    }
    free(h);
}

/* Columns that never vary, that are always zero, and zero weights; bits behind the end stay, and so do other types. */
static void test_edges(void **state)
{
    (void)state;
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_SCALAR);
    test_rng rng = test_rng_start("edges");
    float mean[COLS], pull[COLS], x[COLS];
    double square[COLS];
    for (int k = 0; k < COLS; k++) {
        mean[k] = k % 3 ? 4 * test_rng_float(&rng) : 0;
        square[k] = k % 3 == 1 ? (double)mean[k] * (double)mean[k] : k % 3 ? 20 : 0;
        x[k] = test_rng_float(&rng);
    }
    mean[1] = 3e38f; /* as large as a file can say */
    square[1] = 9e76;
    ash_balance_pull(mean, square, COLS, pull);
    for (int k = 0; k < COLS; k++) {
        assert_true(isfinite(pull[k]));
        assert_true(k % 3 || pull[k] == 0);
    }
    ash_balance b = { mean, pull };
    ash_error err;
    uint8_t bytes[2 * 256], again[2 * 256];
    for (int zero = 0; zero < 2; zero++) {
        memset(bytes, 0x55, sizeof bytes);
        if (zero)
            memset(x, 0, sizeof x);
        assert_ok(ash_encode_row(&kernels, ASH_Q4_K, x, NULL, COLS, bytes, &err), &err);
        memcpy(again, bytes, sizeof again);
        ash_balance_row(ASH_Q4_K, &b, x, COLS, again);
        assert_true(zero ? memcmp(bytes, again, sizeof again) == 0 : memcmp(bytes, again, sizeof again) != 0);
        ash_kblock last;
        ash_kblock_read(ASH_Q4_K, again + 144, &last);
        for (int k = COLS - 256; k < 256; k++)
            assert_int_equal(last.code[k], 0);
        assert_int_equal(again[288], 0x55);
    }
    memcpy(again, bytes, sizeof again);
    ash_balance_row(ASH_Q8_0, &b, x, 320, again);
    assert_memory_equal(bytes, again, sizeof again);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_textbook), cmocka_unit_test(test_edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
