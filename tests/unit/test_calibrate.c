/* Calibration's parts: K blocks taken apart and put together, moments of inputs and their inverse against plain sums,
 * and error feedback against rounding each weight alone. Needs OpenBLAS, except for the blocks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/calibrate.h"
#include "quant/encode.h"
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

/* Moments as the header defines them, in double; h with the damping on its diagonal. */
static void plain_moments(const float *xf, const float *xq, int64_t tokens, int64_t cols, int64_t stride,
                          double damping, double *h, double *d)
{
    double trace = 0;
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = 0; j < cols; j++) {
            double hs = 0, ds = 0;
            for (int64_t t = 0; t < tokens; t++) {
                double q = xq[t * stride + i];
                hs += q * xq[t * stride + j];
                ds += (xf[t * stride + i] - q) * xq[t * stride + j];
            }
            h[i * cols + j] = hs;
            d[i * cols + j] = ds;
            trace += i == j ? hs : 0;
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

static void test_moments(void **state)
{
    (void)state;
    enum { TOKENS = 450, COLS = 150, STRIDE = 192 };
    const ash_blas *blas = blas_or_skip();
    test_rng rng = test_rng_start("moments");
    float *xq = make_inputs(&rng, TOKENS, COLS, STRIDE), *xf = malloc(TOKENS * STRIDE * sizeof *xf);
    static double h[COLS * COLS], d[COLS * COLS];
    assert_non_null(xf);
    for (int i = 0; i < TOKENS * STRIDE; i++)
        xf[i] = xq[i] * (1 + 0.1f * test_rng_float(&rng));
    plain_moments(xf, xq, TOKENS, COLS, STRIDE, 0.01, h, d);
    ash_hessian s = solved(blas, xf, xq, TOKENS, COLS, STRIDE, 2);
    double worst_u = 0, worst_s = 0, largest_d = 0;
    for (int i = 0; i < COLS; i++) {
        assert_true(s.weight[i] > 0);
        for (int j = 0; j < COLS; j++) {
            assert_true(j >= i || s.upper[i * COLS + j] == 0);
            /* (U^T U) (h + L) = 1, shift (h + L) = d */
            double u = 0, shift = 0;
            for (int k = 0; k < COLS; k++) {
                double inverse = 0;
                for (int m = 0; m <= (i < k ? i : k); m++)
                    inverse += (double)s.upper[m * COLS + i] * s.upper[m * COLS + k];
                u += inverse * h[k * COLS + j];
                shift += (double)s.shift[i * COLS + k] * h[k * COLS + j];
            }
            worst_u = fmax(worst_u, fabs(u - (i == j)));
            worst_s = fmax(worst_s, fabs(shift - d[i * COLS + j]));
            largest_d = fmax(largest_d, fabs(d[i * COLS + j]));
        }
    }
    printf("# measure inverse of moments: off by %.2g, shift by %.2g of the largest\n", worst_u, worst_s / largest_d);
    /* Moments in float carry 2^-24 a token at most, and rounding grows with the condition, which the damping keeps
     * below 100 * COLS: 450 * 2^-24 * 15000 = 0.4 if every rounding were of one sign; they are not. */
    assert_true(worst_u < 5e-3 && worst_s < 5e-3 * largest_d);
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
static double output_error(ash_dtype dtype, const uint8_t *bytes, const float *w, const float *xf, const float *xq,
                           int64_t tokens, int64_t rows, int64_t cols, int64_t stride)
{
    uint64_t row_bytes;
    double sum = 0;
    float *row = malloc((size_t)cols * sizeof *row);
    assert_true(row && ash_row_bytes(dtype, (uint64_t)cols, &row_bytes));
    for (int64_t r = 0; r < rows; r++) {
        ash_decode_row(dtype, bytes + (uint64_t)r * row_bytes, cols, row);
        for (int64_t t = 0; t < tokens; t++) {
            double y = 0;
            for (int64_t k = 0; k < cols; k++)
                y += (double)w[r * cols + k] * xf[t * stride + k] - (double)row[k] * xq[t * stride + k];
            sum += y * y;
        }
    }
    free(row);
    return sum;
}

static void test_feedback(void **state)
{
    (void)state;
    enum { TOKENS = 700, ROWS = 100, STRIDE = 384 };
    const ash_blas *blas = blas_or_skip();
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_COUNT - 1);
    static const int64_t widths[] = { 320, 256, 90 };
    for (size_t i = 0; i < 9; i++) {
        ash_dtype dtype = k_types[i % 3];
        int64_t cols = widths[i / 3];
        test_rng rng = test_rng_start("feedback");
        float *xq = make_inputs(&rng, TOKENS, cols, STRIDE), *xf = malloc(TOKENS * STRIDE * sizeof *xf);
        float *w = malloc((size_t)(ROWS * cols) * sizeof *w);
        uint64_t row_bytes;
        assert_true(xf && w && ash_row_bytes(dtype, (uint64_t)cols, &row_bytes));
        for (int t = 0; t < TOKENS * STRIDE; t++)
            xf[t] = xq[t] * (1 + 0.1f * test_rng_float(&rng));
        for (int64_t k = 0; k < ROWS * cols; k++)
            w[k] = test_rng_float(&rng) + test_rng_float(&rng);
        uint8_t *plain = calloc(ROWS, row_bytes), *fed[3], *shifted = calloc(ROWS, row_bytes);
        assert_true(plain && shifted);
        ash_error err;
        for (int64_t r = 0; r < ROWS; r++)
            assert_ok(ash_encode_row(&kernels, dtype, w + r * cols, NULL, cols, plain + (uint64_t)r * row_bytes, &err),
                      &err);
        matrix m = { .cols = cols, .w = w };
        ash_calibrate_matrix job = { .dtype = dtype, .rows = ROWS, .weights = give_row, .context = &m };
        static const uint32_t threads[] = { 1, 2, 7 };
        for (int k = 0; k < 3; k++) {
            ash_hessian h = solved(blas, NULL, xq, TOKENS, cols, STRIDE, threads[k]);
            assert_null(h.shift);
            fed[k] = job.out = calloc(ROWS, row_bytes);
            assert_non_null(fed[k]);
            assert_ok(ash_calibrate(&kernels, blas, &h, &job, threads[k], &err), &err);
            assert_memory_equal(fed[k], fed[0], ROWS * row_bytes);
            ash_hessian_free(&h);
        }
        ash_hessian h = solved(blas, xf, xq, TOKENS, cols, STRIDE, 2);
        job.out = shifted;
        assert_ok(ash_calibrate(&kernels, blas, &h, &job, 2, &err), &err);
        ash_hessian_free(&h);
        double alone = output_error(dtype, plain, w, xq, xq, TOKENS, ROWS, cols, STRIDE);
        double fedback = output_error(dtype, fed[0], w, xq, xq, TOKENS, ROWS, cols, STRIDE);
        double before = output_error(dtype, fed[0], w, xf, xq, TOKENS, ROWS, cols, STRIDE);
        double after = output_error(dtype, shifted, w, xf, xq, TOKENS, ROWS, cols, STRIDE);
        printf("# measure %s, %d columns: output error %.2f of rounding's; on inputs that changed %.2f of that without "
               "the shift\n", ash_dtype_name(dtype), (int)cols, fedback / alone, after / before);
        assert_true(fedback < 0.1 * alone);
        assert_true(after < 0.95 * before);
        /* Bits behind the row's end. */
        if (cols % 256) {
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
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_weights_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
