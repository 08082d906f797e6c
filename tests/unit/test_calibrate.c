/* Calibration's parts: K blocks taken apart and put together, moments of inputs and their inverse against plain sums,
 * and error feedback against rounding each weight alone. Needs OpenBLAS, except for the blocks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/calibrate.h"
#include "quant/descent.h"
#include "quant/encode.h"
#include "quant/fp8.h"
#include "quant/kblock.h"
#include "tests/support/support.h"

static const ash_dtype k_types[] = { ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };

static void test_blocks(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("blocks");
    for (int i = 0; i < 300; i++) {
        ash_dtype dtype = k_types[i % 3];
        uint8_t bytes[256], again[256];
        size_t size = ash_dtype_find(dtype)->block_bytes;
        test_rng_bytes(&rng, bytes, size);
        /* scales as a model has them: 2^-8 or so, no NaN, and no -0, whose bytes are another zero's */
        size_t d_at = dtype == ASH_Q6_K ? size - 2 : 0;
        bytes[d_at + 1] = (uint8_t)(0x1c | (bytes[d_at + 1] & 0x83));
        if (dtype != ASH_Q6_K)
            bytes[3] = (uint8_t)(0x1c | (bytes[3] & 3));
        ash_kblock b;
        ash_kblock_read(dtype, bytes, &b);
        float values[256];
        ash_decode_row(dtype, bytes, 256, values);
        for (int e = 0; e < 256; e++) {
            int j = e / b.sub_elems;
            assert_in_range(b.code[e] - b.low, 0, b.high - b.low);
            assert_true(values[e] == b.d * (float)b.sc[j] * (float)b.code[e] - b.dmin * (float)b.mn[j]);
        }
        memset(again, 0xa5, sizeof again);
        ash_kblock_write(dtype, &b, again);
        assert_memory_equal(bytes, again, size);
        assert_int_equal(again[size], 0xa5);
    }
}

static const ash_blas *blas_or_skip(void)
{
    const ash_blas *blas;
    ash_error err;
    if (ash_blas_load(&blas, &err) != ASH_OK)
        test_skip("libopenblas is not installed");
    return blas;
}

/* Inputs whose columns go together, as a model's do: eight directions, some columns large, and noise. */
static float *make_inputs(test_rng *rng, int64_t tokens, int64_t cols, int64_t stride)
{
    float *x = calloc((size_t)(tokens * stride), sizeof *x), *mix = malloc((size_t)(8 * cols) * sizeof *mix);
    assert_true(x && mix);
    for (int64_t i = 0; i < 8 * cols; i++)
        mix[i] = test_rng_float(rng);
    for (int64_t t = 0; t < tokens; t++) {
        float direction[8];
        for (int i = 0; i < 8; i++)
            direction[i] = test_rng_float(rng);
        for (int64_t k = 0; k < cols; k++) {
            float sum = 0.3f * test_rng_float(rng);
            for (int i = 0; i < 8; i++)
                sum += direction[i] * mix[i * cols + k];
            x[t * stride + k] = k % 37 == 5 ? 6 * sum : sum;
        }
    }
    free(mix);
    return x;
}

/* h as the header defines it, in double, with the damping on its diagonal. */
static void plain_hessian(const float *xq, int64_t tokens, int64_t cols, int64_t stride, double damping, double *h)
{
    double trace = 0;
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0;
            for (int64_t t = 0; t < tokens; t++)
                sum += (double)xq[t * stride + i] * (double)xq[t * stride + j];
            h[i * cols + j] = sum;
            trace += i == j ? sum : 0;
        }
    for (int64_t i = 0; i < cols; i++)
        h[i * cols + i] += damping * trace / (double)cols;
}

static ash_hessian solved(const ash_blas *blas, const float *xf, const float *xq, int64_t tokens, int64_t cols,
                          int64_t stride, uint32_t threads)
{
    ash_hessian h;
    ash_error err;
    assert_ok(ash_hessian_init(&h, cols, &err), &err);
    for (int64_t t = 0; t < tokens; t += 100) { /* in pieces */
        int64_t n = tokens - t < 100 ? tokens - t : 100;
        float *copy = NULL;
        if (xf) {
            copy = malloc((size_t)(n * stride) * sizeof *copy);
            assert_non_null(copy);
            memcpy(copy, xf + t * stride, (size_t)(n * stride) * sizeof *copy);
        }
        ash_hessian_add(&h, blas, copy, xq + t * stride, n, stride, threads);
        free(copy);
    }
    assert_ok(ash_hessian_solve(&h, blas, 0.01, threads, &err), &err);
    return h;
}

/* Rows of shift: share * d (h + L)^-1, and the share as the header says, with the inverse from U. difference: X_f - X_q.
 * Returns the largest error, in parts of the row's largest element of d. */
static double check_shift(const ash_hessian *s, const double *h, const float *difference, const float *xq, int64_t tokens,
                          int64_t stride, double *shares)
{
    int64_t cols = s->cols;
    double chance = 1.5 * (double)cols / (double)tokens, worst = 0;
    for (int64_t i = 0; i < cols; i++) {
        double d[512] = { 0 }, squares = 0, explained = 0, largest = 0;
        for (int64_t t = 0; t < tokens; t++) {
            double y = difference[t * stride + i];
            squares += y * y;
            for (int64_t k = 0; k < cols; k++)
                d[k] += y * (double)xq[t * stride + k];
        }
        for (int64_t m = 0; m < cols; m++) {
            double u = 0;
            for (int64_t k = m; k < cols; k++)
                u += (double)s->upper[m * cols + k] * d[k];
            explained += u * u;
            largest = fmax(largest, fabs(d[m]));
        }
        shares[i] = fmin(fmax(1 - chance / (1 - chance) * (squares - explained) / explained, 0), 1);
        for (int64_t j = 0; j < cols; j++) {
            double back = 0;
            for (int64_t k = 0; k < cols; k++)
                back += (double)s->shift[i * cols + k] * h[k * cols + j];
            worst = fmax(worst, fabs(back - shares[i] * d[j]) / largest);
        }
    }
    return worst;
}

static void test_moments(void **state)
{
    (void)state;
    enum { TOKENS = 600, COLS = 150, STRIDE = 192, TOLD = 20 };
    const ash_blas *blas = blas_or_skip();
    test_rng rng = test_rng_start("moments");
    float *xq = make_inputs(&rng, TOKENS, COLS, STRIDE), *xf = malloc(TOKENS * STRIDE * sizeof *xf);
    float *difference = calloc(TOKENS * STRIDE, sizeof *xf);
    static double h[COLS * COLS], shares[COLS];
    assert_true(xf && difference);
    memcpy(xf, xq, TOKENS * STRIDE * sizeof *xf);
    /* The first columns differ by what other columns tell, those behind them by chance. */
    for (int t = 0; t < TOKENS; t++)
        for (int k = 0; k < COLS; k++) {
            float *at = xf + t * STRIDE + k, noise = test_rng_float(&rng);
            *at += k < TOLD ? 0.2f * xq[t * STRIDE + k + 50] : 0.1f * noise;
            difference[t * STRIDE + k] = *at - xq[t * STRIDE + k];
        }
    plain_hessian(xq, TOKENS, COLS, STRIDE, 0.01, h);
    ash_hessian s = solved(blas, xf, xq, TOKENS, COLS, STRIDE, 2);
    double worst_u = 0, told = 0, chance = 0;
    for (int i = 0; i < COLS; i++) {
        assert_true(s.weight[i] > 0);
        for (int j = 0; j < COLS; j++) {
            assert_true(j >= i || s.upper[i * COLS + j] == 0);
            double u = 0; /* (U^T U) (h + L) = 1 */
            for (int k = 0; k < COLS; k++) {
                double inverse = 0;
                for (int m = 0; m <= (i < k ? i : k); m++)
                    inverse += (double)s.upper[m * COLS + i] * s.upper[m * COLS + k];
                u += inverse * h[k * COLS + j];
            }
            worst_u = fmax(worst_u, fabs(u - (i == j)));
        }
    }
    double worst = check_shift(&s, h, difference, xq, TOKENS, STRIDE, shares);
    for (int i = 0; i < COLS; i++)
        *(i < TOLD ? &told : &chance) += shares[i] / (i < TOLD ? TOLD : COLS - TOLD);
    printf("# measure inverse of moments: off by %.2g, shift by %.2g of the largest; shares of %.2f, and of chance %.2f\n",
           worst_u, worst, told, chance);
    assert_true(told > 0.95 && chance < 0.1);
    /* Moments in float carry 2^-24 a token at most, and rounding grows with the condition, which the damping keeps
     * below 100 * COLS: 600 * 2^-24 * 15000 = 0.5 if every rounding were of one sign; they are not. */
    assert_true(worst_u < 5e-3 && worst < 5e-3);
    ash_hessian_free(&s);
    free(difference);
    free(xf);
    free(xq);
}

/* Fewer tokens than columns say nothing that is more than chance. */
static void test_few_tokens(void **state)
{
    (void)state;
    enum { TOKENS = 60, COLS = 64 };
    const ash_blas *blas = blas_or_skip();
    test_rng rng = test_rng_start("few");
    float *xq = make_inputs(&rng, TOKENS, COLS, COLS), *xf = make_inputs(&rng, TOKENS, COLS, COLS);
    ash_hessian s = solved(blas, xf, xq, TOKENS, COLS, COLS, 1);
    for (int i = 0; i < COLS * COLS; i++)
        assert_true(s.shift[i] == 0);
    ash_hessian_free(&s);
    free(xf);
    free(xq);
}

static void test_broken_moments(void **state)
{
    (void)state;
    const ash_blas *blas = blas_or_skip();
    ash_error err;
    ash_hessian h;
    assert_ok(ash_hessian_init(&h, 64, &err), &err);
    assert_ok(ash_hessian_solve(&h, blas, 0.01, 1, &err), &err); /* no inputs: as if they were independent */
    assert_true(h.upper[0] == 1 && h.upper[1] == 0 && !h.shift);
    ash_hessian_free(&h);
    float x[64] = { NAN };
    assert_ok(ash_hessian_init(&h, 64, &err), &err);
    ash_hessian_add(&h, blas, NULL, x, 1, 64, 1);
    assert_int_equal(ash_hessian_solve(&h, blas, 0.01, 1, &err), ASH_E_UNSUPPORTED);
    ash_hessian_free(&h);
    assert_int_equal(ash_hessian_init(&h, (int64_t)1 << 40, &err), ASH_E_MEMORY);
}

typedef struct matrix {
    int64_t cols;
    const float *w;
} matrix;

static void give_row(void *context, int64_t row, float *out)
{
    const matrix *m = context;
    memcpy(out, m->w + row * m->cols, (size_t)m->cols * sizeof *out);
}

/* sum over tokens and rows of (W xf - decoded xq)^2 */
typedef struct judge {
    const float *w, *xf, *xq;
    int64_t tokens, rows, cols, stride;
} judge;

static double output_error(const judge *g, ash_dtype dtype, const uint8_t *bytes, const float *scales, bool by_row)
{
    uint64_t row_bytes;
    double sum = 0;
    float *row = malloc((size_t)g->cols * sizeof *row);
    assert_true(row && ash_row_bytes(dtype, (uint64_t)g->cols, &row_bytes));
    for (int64_t r = 0; r < g->rows; r++) {
        double scale = dtype == ASH_F8_E4M3 ? (double)scales[by_row ? r : 0] : 1;
        ash_decode_row(dtype, bytes + (uint64_t)r * row_bytes, g->cols, row);
        for (int64_t t = 0; t < g->tokens; t++) {
            double y = 0;
            for (int64_t k = 0; k < g->cols; k++)
                y += (double)g->w[r * g->cols + k] * g->xf[t * g->stride + k] -
                     (double)row[k] * scale * g->xq[t * g->stride + k];
            sum += y * y;
        }
    }
    free(row);
    return sum;
}

/* Each weight for itself. */
static void encode_plain(const ash_kernels *kernels, ash_dtype dtype, const float *w, int64_t rows, int64_t cols,
                         uint64_t row_bytes, uint8_t *out, float *scales)
{
    ash_error err;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = w + r * cols;
        void *to = out + (uint64_t)r * row_bytes;
        scales[r] = ash_fp8_row_scale(kernels, x, cols);
        assert_ok(dtype == ASH_F8_E4M3 ? ash_encode_fp8_row(kernels, x, cols, scales[r], to, &err)
                                       : ash_encode_row(kernels, dtype, x, NULL, cols, to, &err), &err);
    }
}

static void check_feedback(const ash_kernels *kernels, ash_dtype dtype, int64_t cols, bool by_row)
{
    enum { TOKENS = 1200, ROWS = 100, STRIDE = 384 };
    const ash_blas *blas = blas_or_skip();
    test_rng rng = test_rng_start("feedback");
    float *xq = make_inputs(&rng, TOKENS, cols, STRIDE), *xf = malloc(TOKENS * STRIDE * sizeof *xf);
    float *w = malloc((size_t)(ROWS * cols) * sizeof *w);
    float scales[ROWS], plain_scales[ROWS];
    uint64_t row_bytes;
    assert_true(xf && w && ash_row_bytes(dtype, (uint64_t)cols, &row_bytes));
    for (int t = 0; t < TOKENS; t++)
        for (int k = 0; k < STRIDE; k++)
            xf[t * STRIDE + k] = xq[t * STRIDE + k] + (k < cols ? 0.2f * xq[t * STRIDE + (k + 1) % cols] : 0);
    for (int64_t k = 0; k < ROWS * cols; k++)
        w[k] = test_rng_float(&rng) + test_rng_float(&rng);
    uint8_t *plain = calloc(ROWS, row_bytes), *fed[3], *shifted = calloc(ROWS, row_bytes);
    assert_true(plain && shifted);
    ash_error err;
    encode_plain(kernels, dtype, w, ROWS, cols, row_bytes, plain, plain_scales);
    matrix m = { .cols = cols, .w = w };
    ash_calibrate_matrix job = { .dtype = dtype, .rows = ROWS, .weights = give_row, .context = &m, .scales = scales,
                                 .scale_by_row = by_row };
    judge same = { w, xq, xq, TOKENS, ROWS, cols, STRIDE }, changed = same;
    changed.xf = xf;
    double alone = output_error(&same, dtype, plain, plain_scales, true);
    static const uint32_t threads[] = { 1, 2, 7 };
    for (int k = 0; k < 3; k++) {
        ash_hessian h = solved(blas, NULL, xq, TOKENS, cols, STRIDE, threads[k]);
        assert_null(h.shift);
        fed[k] = job.out = calloc(ROWS, row_bytes);
        assert_non_null(fed[k]);
        assert_ok(ash_calibrate(kernels, blas, &h, &job, threads[k], &err), &err);
        assert_memory_equal(fed[k], fed[0], ROWS * row_bytes);
        ash_hessian_free(&h);
    }
    double fedback = output_error(&same, dtype, fed[0], scales, by_row);
    double before = output_error(&changed, dtype, fed[0], scales, by_row);
    ash_hessian h = solved(blas, xf, xq, TOKENS, cols, STRIDE, 2);
    job.out = shifted;
    assert_ok(ash_calibrate(kernels, blas, &h, &job, 2, &err), &err);
    ash_hessian_free(&h);
    double after = output_error(&changed, dtype, shifted, scales, by_row);
    printf("# measure %s, %d columns: output error %.3f of rounding's; on inputs that changed %.3f of that without the "
           "shift\n", ash_dtype_name(dtype), (int)cols, fedback / alone, after / before);
    assert_true(fedback < (dtype == ASH_F8_E4M3 ? 0.2 : 0.1) * alone);
    assert_true(after < 0.3 * before);
    /* Bits behind the row's end. */
    if (cols % 256 && dtype != ASH_F8_E4M3) {
        ash_kblock b;
        ash_kblock_read(dtype, fed[0] + row_bytes - ash_dtype_find(dtype)->block_bytes, &b);
        for (int64_t k = cols % 256; k < 256; k++)
            assert_int_equal(b.code[k], b.low);
    }
    for (int k = 0; k < 3; k++)
        free(fed[k]);
    free(plain);
    free(shifted);
    free(w);
    free(xf);
    free(xq);
}

static void test_feedback(void **state)
{
    (void)state;
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_COUNT - 1);
    static const int64_t widths[] = { 320, 256, 90 };
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++)
            check_feedback(&kernels, k_types[k], widths[i], false);
        check_feedback(&kernels, ASH_F8_E4M3, widths[i], i % 2);
    }
}

/* What a block adds to the error of the outputs: |(x - q) U^-1|^2, from the bytes that are written. */
static double block_error(ash_dtype dtype, const ash_kblock *b, const float *x, const float *upper, int64_t count)
{
    uint8_t bytes[256];
    float values[256];
    double y[256], sum = 0;
    ash_kblock_write(dtype, b, bytes);
    ash_decode_row(dtype, bytes, 256, values);
    for (int64_t j = 0; j < count; j++) {
        y[j] = (double)x[j] - (double)values[j];
        for (int64_t i = 0; i < j; i++)
            y[j] -= y[i] * (double)upper[i * count + j];
        y[j] /= (double)upper[j * count + j];
        sum += y[j] * y[j];
    }
    return sum;
}

static void test_descent(void **state)
{
    (void)state;
    const ash_blas *blas = blas_or_skip();
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_SCALAR);
    ash_block_form *form = malloc(sizeof *form);
    assert_non_null(form);
    for (int i = 0; i < 6; i++) {
        ash_dtype dtype = k_types[i % 3];
        int64_t count = i < 3 ? 256 : 90;
        test_rng rng = test_rng_start("descent");
        float *xq = make_inputs(&rng, 700, count, count), x[256];
        ash_hessian h = solved(blas, NULL, xq, 700, count, count, 1);
        ash_error err;
        assert_ok(ash_block_form_init(form, blas, h.upper, count, (int)count, dtype == ASH_Q6_K ? 16 : 32, &err), &err);
        double before = 0, after = 0;
        for (int r = 0; r < 20; r++) {
            uint8_t bytes[256];
            ash_kblock b;
            for (int64_t k = 0; k < count; k++)
                x[k] = test_rng_float(&rng) + test_rng_float(&rng);
            if (r == 19)
                memset(x, 0, sizeof x); /* d is 0 */
            assert_ok(ash_encode_row(&kernels, dtype, x, NULL, count, bytes, &err), &err);
            ash_kblock_read(dtype, bytes, &b);
            double first = block_error(dtype, &b, x, h.upper, count);
            ash_descend(form, x, &b);
            for (int e = 0; e < 256; e++) {
                assert_in_range(b.code[e] - b.low, 0, b.high - b.low);
                assert_in_range(b.sc[e / b.sub_elems] - b.sc_low, 0, b.sc_high - b.sc_low);
                assert_in_range(b.mn[e / b.sub_elems], 0, b.mn_high);
            }
            double last = block_error(dtype, &b, x, h.upper, count);
            assert_true(last <= first);
            before += first, after += last;
        }
        printf("# measure %s, %d columns: descent leaves %.3f of the error\n", ash_dtype_name(dtype), (int)count,
               after / before);
        assert_true(after < 0.2 * before);
        ash_hessian_free(&h);
        free(xq);
    }
    free(form);
}

/* Weights that a block can hold exactly, whose scales and minimums are the largest there are, and a start whose d and
 * dmin are too small. The last step has found the best of both: eight steps of a half to either side lose more. */
static void test_descent_of_halves(void **state)
{
    (void)state;
    const ash_blas *blas = blas_or_skip();
    ash_block_form *form = malloc(sizeof *form);
    assert_non_null(form);
    for (size_t t = 0; t < 3; t++) {
        test_rng rng = test_rng_start("halves");
        float *xq = make_inputs(&rng, 700, 256, 256), x[256];
        ash_hessian h = solved(blas, NULL, xq, 700, 256, 256, 1);
        ash_error err;
        assert_ok(ash_block_form_init(form, blas, h.upper, 256, 256, k_types[t] == ASH_Q6_K ? 16 : 32, &err), &err);
        uint8_t bytes[256] = { 0 };
        ash_kblock b;
        ash_kblock_read(k_types[t], bytes, &b);
        b.d = 0x1p-8f;
        b.dmin = b.mn_high ? 0x1p-7f : 0;
        for (int j = 0; j < 256 / b.sub_elems; j++)
            b.sc[j] = b.sc_high, b.mn[j] = b.mn_high;
        for (int e = 0; e < 256; e++) {
            b.code[e] = (int8_t)(b.low + (int)test_rng_below(&rng, (uint64_t)(b.high - b.low + 1)));
            x[e] = ash_kblock_value(&b, e / b.sub_elems, b.code[e]);
        }
        b.d *= 0.875f;
        b.dmin *= 0.875f;
        double before = block_error(k_types[t], &b, x, h.upper, 256);
        ash_descend(form, x, &b);
        double after = block_error(k_types[t], &b, x, h.upper, 256);
        double least = after;
        for (int i = 0; i < 4; i++) {
            ash_kblock other = b;
            float factor = i % 2 ? 1 + 0x1p-7f : 1 - 0x1p-7f;
            if (i < 2)
                other.d *= factor;
            else
                other.dmin *= factor;
            least = fmin(least, block_error(k_types[t], &other, x, h.upper, 256));
        }
        printf("# measure %s: halves that were too small leave %.4f of the error, others near them %.4f of that\n",
               ash_dtype_name(k_types[t]), after / before, least / after);
        assert_true(least == after);
        ash_hessian_free(&h);
        free(xq);
    }
    free(form);
}

/* What a matrix of two blocks of columns becomes. */
typedef struct pair {
    ash_dtype dtype;
    const ash_blas *blas;
    const ash_kernels *kernels;
    ash_hessian h;
    size_t block_bytes;
    float *w;
    uint8_t *out;
} pair;

enum { PAIR_ROWS = 64, PAIR_COLS = 512 }; /* one piece of rows */

static void pair_start(pair *p, const ash_kernels *kernels, ash_dtype dtype)
{
    *p = (pair){ .dtype = dtype, .blas = blas_or_skip(), .kernels = kernels,
                 .block_bytes = ash_dtype_find(dtype)->block_bytes };
    test_rng rng = test_rng_start("pair");
    float *x = make_inputs(&rng, 1200, PAIR_COLS, PAIR_COLS);
    p->h = solved(p->blas, NULL, x, 1200, PAIR_COLS, PAIR_COLS, 1);
    p->w = malloc(PAIR_ROWS * PAIR_COLS * sizeof *p->w);
    p->out = calloc(2 * PAIR_ROWS, p->block_bytes);
    assert_true(p->w && p->out);
    for (int64_t i = 0; i < PAIR_ROWS * PAIR_COLS; i++)
        p->w[i] = test_rng_float(&rng) + test_rng_float(&rng);
    free(x);
}

static void pair_end(pair *p)
{
    ash_hessian_free(&p->h);
    free(p->w);
    free(p->out);
}

static void pair_run(const pair *p, const ash_hessian *h, const float *w, uint8_t *out)
{
    ash_error err;
    ash_calibrate_matrix job = { .dtype = p->dtype, .rows = PAIR_ROWS, .weights = give_row, .out = out,
                                 .context = &(matrix){ h->cols, w } };
    assert_ok(ash_calibrate(p->kernels, p->blas, h, &job, 1, &err), &err);
}

/* The second block of columns is what a matrix of it alone becomes, whose weights make up for what the first block lost
 * in the codes that it has in the end: bit for bit, the sums are the same ones in the same order. */
static void test_second_block(void **state)
{
    (void)state;
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_COUNT - 1);
    for (size_t t = 0; t < 3; t++) {
        pair p;
        pair_start(&p, &kernels, k_types[t]);
        pair_run(&p, &p.h, p.w, p.out);
        static float error[PAIR_ROWS * 256], rest[PAIR_ROWS * 256];
        const float *u = p.h.upper;
        for (int64_t r = 0; r < PAIR_ROWS; r++) {
            float x[256], values[256];
            memcpy(x, p.w + r * PAIR_COLS, sizeof x);
            memcpy(rest + r * 256, p.w + r * PAIR_COLS + 256, sizeof x);
            ash_decode_row(p.dtype, p.out + (size_t)(2 * r) * p.block_bytes, 256, values);
            for (int64_t j = 0; j < 256; j++) {
                float e = (x[j] - values[j]) * (1 / u[j * PAIR_COLS + j]);
                for (int64_t k = j + 1; k < 256; k++)
                    x[k] -= e * u[j * PAIR_COLS + k];
                error[r * 256 + j] = e;
            }
        }
        ash_blas_multiply(p.blas, PAIR_ROWS, 256, 256, -1, error, 256, u + 256, PAIR_COLS, rest, 256);
        ash_hessian second = { .cols = 256, .solved = true, .weight = p.h.weight + 256 };
        second.upper = malloc(256 * 256 * sizeof *second.upper);
        uint8_t *alone = malloc(PAIR_ROWS * p.block_bytes);
        assert_true(second.upper && alone);
        for (int64_t j = 0; j < 256; j++)
            memcpy(second.upper + j * 256, u + (256 + j) * PAIR_COLS + 256, 256 * sizeof *u);
        pair_run(&p, &second, rest, alone);
        for (size_t r = 0; r < PAIR_ROWS; r++)
            assert_memory_equal(p.out + (2 * r + 1) * p.block_bytes, alone + r * p.block_bytes, p.block_bytes);
        free(second.upper);
        free(alone);
        pair_end(&p);
    }
}

/* Blocks have been through the descent: once more leaves them nearly as they are, while codes that feedback alone has
 * chosen lose much. */
static void test_blocks_descended(void **state)
{
    (void)state;
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_COUNT - 1);
    ash_block_form *form = malloc(sizeof *form);
    assert_non_null(form);
    for (size_t t = 0; t < 3; t++) {
        pair p;
        ash_error err;
        pair_start(&p, &kernels, k_types[t]);
        pair_run(&p, &p.h, p.w, p.out);
        int subs = p.dtype == ASH_Q6_K ? 16 : 32;
        assert_ok(ash_block_form_init(form, p.blas, p.h.upper, PAIR_COLS, 256, subs, &err), &err);
        double before = 0, after = 0;
        float *square = malloc(256 * 256 * sizeof *square);
        assert_non_null(square);
        for (int64_t j = 0; j < 256; j++)
            memcpy(square + j * 256, p.h.upper + j * PAIR_COLS, 256 * sizeof *square);
        for (size_t r = 0; r < PAIR_ROWS; r++) {
            ash_kblock b;
            ash_kblock_read(p.dtype, p.out + 2 * r * p.block_bytes, &b);
            before += block_error(p.dtype, &b, p.w + r * PAIR_COLS, square, 256);
            ash_descend(form, p.w + r * PAIR_COLS, &b);
            after += block_error(p.dtype, &b, p.w + r * PAIR_COLS, square, 256);
        }
        printf("# measure %s: another descent leaves %.4f of the error\n", ash_dtype_name(p.dtype), after / before);
        assert_true(after > 0.97 * before);
        free(square);
        pair_end(&p);
    }
    free(form);
}

/* A weight that no block can hold fails by its column, on several threads too. */
static void test_weights_too_large(void **state)
{
    (void)state;
    enum { ROWS = 200, COLS = 64 };
    const ash_blas *blas = blas_or_skip();
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_SCALAR);
    static float w[ROWS * COLS];
    w[150 * COLS + 3] = INFINITY;
    uint64_t row_bytes;
    assert_true(ash_row_bytes(ASH_Q4_K, COLS, &row_bytes));
    uint8_t *out = calloc(ROWS, row_bytes);
    ash_hessian h;
    ash_error err;
    assert_ok(ash_hessian_init(&h, COLS, &err), &err);
    assert_ok(ash_hessian_solve(&h, blas, 0.01, 1, &err), &err);
    ash_calibrate_matrix job = { .dtype = ASH_Q4_K, .rows = ROWS, .weights = give_row,
                                 .context = &(matrix){ COLS, w }, .out = out };
    assert_int_equal(ash_calibrate(&kernels, blas, &h, &job, 3, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "column 3"));
    job.dtype = ASH_Q8_0;
    assert_int_equal(ash_calibrate(&kernels, blas, &h, &job, 3, &err), ASH_E_ARGUMENT);
    ash_hessian_free(&h);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_broken_moments),
        cmocka_unit_test(test_few_tokens),
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_descent),
        cmocka_unit_test(test_descent_of_halves),
        cmocka_unit_test(test_second_block),
        cmocka_unit_test(test_blocks_descended),
        cmocka_unit_test(test_weights_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
