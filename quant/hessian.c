#include "quant/hessian.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "quant/parallel.h"

#define STRIP 128 /* columns of a piece of work: fixed, so that BLAS does the same on any number of threads */

/* Bytes of two squares and of r stay in range. */
static bool sizes_fit(int64_t cols, int64_t rows)
{
    uint64_t count;
    return cols > 0 && cols <= INT32_MAX && rows >= 0 && rows <= INT32_MAX &&
           ash_mul((uint64_t)cols, (uint64_t)(cols > rows ? cols : rows), &count) && count <= SIZE_MAX / 16;
}

ash_status ash_hessian_init(ash_hessian *h, int64_t cols, int64_t rows, ash_error *err)
{
    *h = (ash_hessian){ .cols = cols, .rows = rows };
    if (sizes_fit(cols, rows)) {
        size_t n = (size_t)cols, more = rows ? (size_t)rows : 1;
        h->h = calloc(n * n, sizeof *h->h);
        h->d = calloc(n * n, sizeof *h->d);
        h->r = calloc(more * n, sizeof *h->r);
        h->weight = calloc(n, sizeof *h->weight);
        h->d_squares = calloc(n, sizeof *h->d_squares);
        h->r_squares = calloc(more, sizeof *h->r_squares);
    }
    if (h->h && h->d && h->r && h->weight && h->d_squares && h->r_squares)
        return ASH_OK;
    ash_hessian_free(h);
    return ash_fail(err, ASH_E_MEMORY, "out of memory for the moments of %lld columns", (long long)cols);
}

void ash_hessian_free(ash_hessian *h)
{
    free(h->h);
    free(h->d);
    free(h->r);
    free(h->weight);
    free(h->d_squares);
    free(h->r_squares);
    *h = (ash_hessian){ 0 };
}

/* ---- adding ---- */

typedef struct addition {
    ash_hessian *h;
    const ash_blas *blas;
    const ash_inputs *in;
} addition;

static void add_strip(void *context, int64_t unit)
{
    const addition *a = context;
    const ash_inputs *in = a->in;
    int64_t cols = a->h->cols, first = unit * STRIP, count = cols - first < STRIP ? cols - first : STRIP;
    const float *xq = in->xq + first;
    ash_blas_gram(a->blas, first + count, count, in->tokens, in->xq, in->stride, xq, in->stride, a->h->h + first, cols);
    if (in->xf)
        ash_blas_gram(a->blas, cols, count, in->tokens, in->xf, in->stride, xq, in->stride, a->h->d + first, cols);
    if (a->h->rows)
        ash_blas_gram(a->blas, a->h->rows, count, in->tokens, in->s, in->s_stride, xq, in->stride, a->h->r + first,
                      cols);
}

static void add_squares(const float *x, int64_t n, double *sums)
{
    for (int64_t k = 0; k < n; k++)
        sums[k] += (double)x[k] * (double)x[k];
}

void ash_hessian_add(ash_hessian *h, const ash_blas *blas, const ash_inputs *in, uint32_t threads)
{
    for (int64_t t = 0; in->xf && t < in->tokens; t++) {
        for (int64_t k = 0; k < h->cols; k++)
            in->xf[t * in->stride + k] -= in->xq[t * in->stride + k];
        add_squares(in->xf + t * in->stride, h->cols, h->d_squares);
    }
    for (int64_t t = 0; h->rows && t < in->tokens; t++)
        add_squares(in->s + t * in->s_stride, h->rows, h->r_squares);
    h->shifted = h->shifted || in->xf;
    h->tokens += (double)in->tokens;
    ash_parallel(threads, (h->cols + STRIP - 1) / STRIP, add_strip, &(addition){ h, blas, in });
}

/* ---- solving ---- */

/* h + lambda as doubles, upper triangle. */
static void damped(const ash_hessian *h, double lambda, double *a)
{
    for (int64_t i = 0; i < h->cols; i++)
        for (int64_t j = i; j < h->cols; j++)
            a[i * h->cols + j] = (double)h->h[i * h->cols + j] + (i == j ? lambda : 0);
}

static void mirror(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++)
            a[i * n + j] = a[j * n + i];
}

typedef struct product {
    float *of;
    int64_t rows, cols;
    const double *squares;
    double tokens;
    const ash_blas *blas;
    const double *inverse;
    atomic_bool *failed;
} product;

/* The share of what a row explains that is more than chance. `explained` holds signal + chance * noise, `squares` signal
 * + noise. */
static double trusted(double explained, double squares, double chance)
{
    if (!(explained > 0) || chance >= 1)
        return 0;
    double share = 1 - chance * (squares - explained) / ((1 - chance) * explained);
    return share > 0 ? share < 1 ? share : 1 : 0;
}

/* STRIP rows of d or r become as many of d (h + L)^-1, smaller by what is chance. */
static void solve_strip(void *context, int64_t unit)
{
    const product *p = context;
    int64_t n = p->cols, first = unit * STRIP, count = p->rows - first < STRIP ? p->rows - first : STRIP;
    float *d = p->of + first * n;
    double *in = calloc((size_t)(count * n), sizeof *in), *out = calloc((size_t)(count * n), sizeof *out);
    if (in && out) {
        for (int64_t i = 0; i < count * n; i++)
            in[i] = d[i];
        ash_blas_multiply_f64(p->blas, count, n, n, in, n, p->inverse, n, out, n);
        for (int64_t r = 0; r < count; r++) {
            double explained = 0;
            for (int64_t k = r * n; k < (r + 1) * n; k++)
                explained += in[k] * out[k];
            double share = trusted(explained, p->squares[first + r], (double)n / p->tokens);
            for (int64_t k = r * n; k < (r + 1) * n; k++)
                d[k] = (float)(share * out[k]);
        }
    } else {
        atomic_store(p->failed, true);
    }
    free(in);
    free(out);
}

static ash_status invert(const ash_hessian *h, const ash_blas *blas, double damping, double *a, ash_error *err)
{
    double sum = 0;
    for (int64_t i = 0; i < h->cols; i++)
        sum += (double)h->h[i * h->cols + i];
    if (!isfinite(sum))
        return ash_fail(err, ASH_E_UNSUPPORTED, "the inputs are not finite: the model is broken, ashlar verify may say "
                        "where");
    double lambda = sum > 0 ? damping * sum / (double)h->cols : 1;
    /* Rounding may cost a nearly singular matrix its positive sign: a few times more damping brings it back. */
    for (int i = 0; i < 4; i++, lambda *= 10) {
        damped(h, lambda, a);
        if (ash_blas_cholesky(blas, h->cols, a) == 0 && ash_blas_invert(blas, h->cols, a) == 0)
            return ASH_OK;
    }
    return ash_fail(err, ASH_E_UNSUPPORTED, "the moments of the inputs cannot be inverted");
}

static ash_status solve(ash_hessian *h, const ash_blas *blas, double damping, uint32_t threads, double *a,
                        ash_error *err)
{
    int64_t n = h->cols;
    ASH_TRY(invert(h, blas, damping, a, err));
    mirror(a, n);
    atomic_bool failed = false;
    product p = { .of = h->d, .rows = h->shifted ? n : 0, .cols = n, .squares = h->d_squares, .tokens = h->tokens,
                  .blas = blas, .inverse = a, .failed = &failed };
    ash_parallel(threads, (p.rows + STRIP - 1) / STRIP, solve_strip, &p);
    p.of = h->r, p.rows = h->rows, p.squares = h->r_squares;
    ash_parallel(threads, (p.rows + STRIP - 1) / STRIP, solve_strip, &p);
    if (failed)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %lld columns", (long long)n);
    if (ash_blas_cholesky(blas, n, a) != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "the moments of the inputs cannot be factorized");
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            h->h[i * n + j] = j < i ? 0 : (float)a[i * n + j];
    for (int64_t i = 0; i < n; i++)
        h->weight[i] = (float)(1 / (a[i * n + i] * a[i * n + i]));
    h->upper = h->h;
    h->shift = h->shifted ? h->d : NULL;
    h->extra = h->rows ? h->r : NULL;
    h->solved = true;
    return ASH_OK;
}

ash_status ash_hessian_solve(ash_hessian *h, const ash_blas *blas, double damping, uint32_t threads, ash_error *err)
{
    double *a = malloc((size_t)h->cols * (size_t)h->cols * sizeof *a);
    if (!a)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the moments of %lld columns", (long long)h->cols);
    ash_status status = solve(h, blas, damping, threads, a, err);
    free(a);
    return status;
}
