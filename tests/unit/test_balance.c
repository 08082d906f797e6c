/* Codes that keep what outputs have most of: against error feedback as the textbook has it, the Hessian written out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "quant/balance.h"
#include "quant/encode.h"
#include "quant/kblock.h"
#include "tests/support/support.h"

enum { COLS = 330, RANK = 3, ROWS = 10 }; /* a block, and part of one */

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

/* e H e of a row's errors e. */
static double cost(ash_dtype dtype, const uint8_t *row, const float *x, const double *h)
{
    float got[COLS];
    double sum = 0, e[COLS];
    ash_decode_row(dtype, row, COLS, got);
    for (int k = 0; k < COLS; k++)
        e[k] = (double)got[k] - (double)x[k];
    for (int i = 0; i < COLS; i++)
        for (int k = 0; k < COLS; k++)
            sum += e[i] * h[i * COLS + k] * e[k];
    return sum;
}

typedef struct inputs {
    float directions[RANK][COLS];
    double square[COLS], h[COLS * COLS], inverse[COLS * COLS];
    ash_balance balance;
} inputs;

static inputs *new_inputs(test_rng *rng)
{
    inputs *in = malloc(sizeof *in);
    assert_non_null(in);
    for (int k = 0; k < COLS; k++) {
        double own = k % 7 == 3 ? 8 : 0.5 + (double)fabsf(test_rng_float(rng));
        in->square[k] = own;
        for (int i = 0; i < RANK; i++) {
            in->directions[i][k] = k % 5 == 2 ? 0 : test_rng_float(rng) / (float)(i + 1);
            in->square[k] += (double)in->directions[i][k] * (double)in->directions[i][k];
        }
    }
    for (int j = 0; j < COLS; j++)
        for (int k = 0; k < COLS; k++) {
            double sum = 0;
            for (int i = 0; i < RANK; i++)
                sum += (double)in->directions[i][j] * (double)in->directions[i][k];
            in->h[j * COLS + k] = j == k ? in->square[k] : sum;
        }
    memcpy(in->inverse, in->h, sizeof in->h);
    invert(in->inverse, COLS);
    ash_error err;
    assert_ok(ash_balance_init(&in->balance, in->directions[0], in->square, COLS, RANK, &err), &err);
    return in;
}

static void free_inputs(inputs *in)
{
    ash_balance_free(&in->balance);
    free(in);
}

typedef struct rows {
    float x[ROWS][COLS];
    uint8_t plain[ROWS][2 * 256], bytes[ROWS][2 * 256];
} rows;

static void new_rows(rows *r, ash_dtype dtype, test_rng *rng)
{
    ash_kernels kernels;
    ash_error err;
    ash_kernels_init(&kernels, ASH_LEVEL_SCALAR);
    memset(r->plain, 0x55, sizeof r->plain);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < COLS; k++)
            r->x[i][k] = test_rng_float(rng) + test_rng_float(rng);
        assert_ok(ash_encode_row(&kernels, dtype, r->x[i], NULL, COLS, r->plain[i], &err), &err);
    }
}

/* r->bytes, of `count` rows from `first` on. */
static void balance(rows *r, ash_dtype dtype, ash_level level, const ash_balance *b, int first, int count, int sweeps)
{
    ash_kernels kernels;
    ash_error err;
    uint8_t *to[ROWS];
    ash_kernels_init(&kernels, level);
    for (int i = first; i < first + count; i++) {
        memcpy(r->bytes[i], r->plain[i], sizeof r->bytes[i]);
        to[i - first] = r->bytes[i];
    }
    assert_ok(ash_balance_rows(&kernels, dtype, b, r->x[first], COLS, count, sweeps, to, &err), &err);
}

static const ash_dtype types[] = { ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };

static void test_textbook(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("balance");
    inputs *in = new_inputs(&rng);
    static rows r;
    for (size_t t = 0; t < 3; t++) {
        double rounded = 0, fed = 0, exact = 0;
        int differ = 0;
        size_t block = ash_dtype_find(types[t])->block_bytes;
        new_rows(&r, types[t], &rng);
        balance(&r, types[t], ASH_LEVEL_SCALAR, &in->balance, 0, ROWS, 0);
        for (int i = 0; i < ROWS; i++) {
            ash_kblock b[2];
            uint8_t expected[2 * 256];
            memcpy(expected, r.plain[i], sizeof expected);
            for (size_t j = 0; j < 2; j++)
                ash_kblock_read(types[t], expected + j * block, &b[j]);
            textbook(in->inverse, r.x[i], b, 2);
            for (size_t j = 0; j < 2; j++)
                ash_kblock_write(types[t], &b[j], expected + j * block);
            rounded += cost(types[t], r.plain[i], r.x[i], in->h);
            fed += cost(types[t], r.bytes[i], r.x[i], in->h);
            exact += cost(types[t], expected, r.x[i], in->h);
            differ += memcmp(r.bytes[i], expected, sizeof expected) != 0;
        }
        printf("# measure %s: error %.3f of rounding's, the textbook's %.3f; %d of 10 rows differ\n",
               ash_dtype_name(types[t]), fed / rounded, exact / rounded, differ);
        assert_true(fed < 0.97 * rounded);
        /* Bytes are the same unless some column lies between two codes, within what float rounding leaves open: ten
         * rows of 330 columns, each open to 2^-20 of a step or so, once in 1,000 runs. */
        assert_true(differ <= 1);
    }
    free_inputs(in);
}

/* Each sweep lowers the cost, until no code alone could. */
static void test_sweeps(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("sweeps");
    inputs *in = new_inputs(&rng);
    static rows r;
    for (size_t t = 0; t < 3; t++) {
        double before[ROWS], sums[4] = { 0 };
        new_rows(&r, types[t], &rng);
        for (int s = 0; s < 4; s++) {
            balance(&r, types[t], ASH_LEVEL_SCALAR, &in->balance, 0, ROWS, s == 3 ? 40 : s);
            for (int i = 0; i < ROWS; i++) {
                double now = cost(types[t], r.bytes[i], r.x[i], in->h);
                assert_true(s == 0 || now <= before[i] * (1 + 0x1p-16));
                before[i] = now;
                sums[s] += now;
            }
        }
        printf("# measure %s: of feedback's error one sweep leaves %.4f, two %.4f, forty %.4f\n",
               ash_dtype_name(types[t]), sums[1] / sums[0], sums[2] / sums[0], sums[3] / sums[0]);
        assert_true(sums[1] < sums[0]);
        for (int i = 0; i < ROWS; i++)
            for (int k = 0; k < COLS; k++) {
                ash_kblock b;
                uint8_t other[2 * 256];
                uint8_t *at = other + (size_t)(k / 256) * ash_dtype_find(types[t])->block_bytes;
                memcpy(other, r.bytes[i], sizeof other);
                ash_kblock_read(types[t], at, &b);
                int8_t code = b.code[k % 256];
                for (int step = -1; step <= 1; step += 2) {
                    if (code + step < b.low || code + step > b.high)
                        continue;
                    b.code[k % 256] = (int8_t)(code + step);
                    ash_kblock_write(types[t], &b, at);
                    assert_true(k % 11 || cost(types[t], other, r.x[i], in->h) >= before[i] * (1 - 0x1p-16));
                }
            }
    }
    free_inputs(in);
}

/* The same bytes at every level, and whichever rows come together. */
static void test_same_bytes(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("levels");
    inputs *in = new_inputs(&rng);
    static rows r, other;
    for (size_t t = 0; t < 3; t++) {
        new_rows(&r, types[t], &rng);
        other = r;
        balance(&r, types[t], ASH_LEVEL_SCALAR, &in->balance, 0, ROWS, 2);
        for (int level = 0; level < ASH_LEVEL_COUNT; level++) {
            for (int i = 0, n = 1 + level; i < ROWS; i += n)
                balance(&other, types[t], (ash_level)level, &in->balance, i, n < ROWS - i ? n : ROWS - i, 2);
            assert_memory_equal(r.bytes, other.bytes, sizeof r.bytes);
        }
    }
    free_inputs(in);
}

/* Columns that never vary, that are always zero, that directions explain twice over, and zero weights; bits behind the end
 * stay, and so do other types. */
static void test_edges(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("edges");
    inputs *in = malloc(sizeof *in);
    assert_non_null(in);
    static rows r;
    ash_error err;
    for (int k = 0; k < COLS; k++) {
        float mean = k % 3 ? 4 * test_rng_float(&rng) : 0;
        in->square[k] = k % 3 == 1 ? (double)mean * (double)mean : k % 3 ? 20 : 0;
        for (int i = 0; i < RANK; i++)
            in->directions[i][k] = i < 2 ? mean : 0;
    }
    for (int i = 0; i < RANK; i++)
        in->directions[i][1] = i == 0 ? 1.8e19f : 0; /* as large as a file can say: its squares are floats */
    in->square[1] = 3.3e38;
    assert_ok(ash_balance_init(&in->balance, in->directions[0], in->square, COLS, RANK, &err), &err);
    for (int k = 0; k < COLS; k++)
        for (int i = 0; i < RANK; i++) {
            float pull = in->balance.feedback.pull[k / 8 * 8 * RANK + i * 8 + k % 8];
            assert_true(isfinite(pull) && (k % 3 || pull == 0) && isfinite(in->balance.sweep.gain[k]));
        }
    new_rows(&r, ASH_Q4_K, &rng);
    memset(r.x[1], 0, sizeof r.x[1]);
    memset(r.plain[1], 0, 288);
    balance(&r, ASH_Q4_K, ASH_LEVEL_SCALAR, &in->balance, 0, ROWS, 2);
    for (int i = 0; i < ROWS; i++) {
        ash_kblock last;
        assert_true((memcmp(r.plain[i], r.bytes[i], sizeof r.bytes[i]) == 0) == (i == 1));
        ash_kblock_read(ASH_Q4_K, r.bytes[i] + 144, &last);
        for (int k = COLS - 256; k < 256; k++)
            assert_int_equal(last.code[k], 0);
        assert_int_equal(r.bytes[i][288], 0x55);
    }
    balance(&r, ASH_Q8_0, ASH_LEVEL_SCALAR, &in->balance, 0, ROWS, 2);
    assert_memory_equal(r.plain, r.bytes, sizeof r.bytes);
    free_inputs(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textbook),
        cmocka_unit_test(test_sweeps),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
