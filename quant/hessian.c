#include "quant/hessian.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "quant/parallel.h"

#define STRIP 128 /* columns of a piece of work: fixed, so that BLAS does the same on any number of threads */
#define TOKENS_PER_SAMPLE 1.5

ash_status ash_hessian_init(ash_hessian *h, int64_t cols, ash_error *err)
{
    uint64_t count;
    *h = (ash_hessian){ .cols = cols };
    if (cols > 0 && cols <= INT32_MAX && ash_mul((uint64_t)cols, (uint64_t)cols, &count) && count <= SIZE_MAX / 16) {
        h->h = calloc(count, sizeof *h->h);
        h->d = calloc(count, sizeof *h->d);
        h->weight = calloc((size_t)cols, sizeof *h->weight);
        h->squares = calloc((size_t)cols, sizeof *h->squares);
    }
    if (h->h && h->d && h->weight && h->squares)
        return ASH_OK;
    ash_hessian_free(h);
    return ash_fail(err, ASH_E_MEMORY, "out of memory for the moments of %lld columns", (long long)cols);
}

void ash_hessian_free(ash_hessian *h)
{
    free(h->h);
    free(h->d);
    free(h->weight);
    free(h->squares);
    *h = (ash_hessian){ 0 };
}

/* ---- adding ---- */

typedef struct addition {
    ash_hessian *h;
    const ash_blas *blas;
    const float *difference, *xq;
    int64_t tokens, stride;
} addition;

static void add_strip(void *context, int64_t unit)
{
    const addition *a = context;
    int64_t cols = a->h->cols, first = unit * STRIP, count = cols - first < STRIP ? cols - first : STRIP;
    ash_blas_gram(a->blas, first + count, count, a->tokens, a->xq, a->stride, a->xq + first, a->stride,
                  a->h->h + first, cols);
    if (a->difference)
        ash_blas_gram(a->blas, cols, count, a->tokens, a->difference, a->stride, a->xq + first, a->stride,
                      a->h->d + first, cols);
}

void ash_hessian_add(ash_hessian *h, const ash_blas *blas, float *xf, const float *xq, int64_t tokens, int64_t stride,
                     uint32_t threads)
{
    for (int64_t t = 0; xf && t < tokens; t++)
        for (int64_t k = 0; k < h->cols; k++) {
            float x = xf[t * stride + k] -= xq[t * stride + k];
            h->squares[k] += (double)x * (double)x;
        }
    h->shifted = h->shifted || xf;
    h->tokens += (double)tokens;
    addition a = { .h = h, .blas = blas, .difference = xf, .xq = xq, .tokens = tokens, .stride = stride };
    ash_parallel(threads, (h->cols + STRIP - 1) / STRIP, add_strip, &a);
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
    ash_hessian *h;
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

/* STRIP rows of d become as many of d (h + L)^-1, smaller by what is chance. */
static void shift_strip(void *context, int64_t unit)
{
    const product *p = context;
    int64_t n = p->h->cols, first = unit * STRIP, count = n - first < STRIP ? n - first : STRIP;
    float *d = p->h->d + first * n;
    double *in = calloc((size_t)(count * n), sizeof *in), *out = calloc((size_t)(count * n), sizeof *out);
    double chance = TOKENS_PER_SAMPLE * (double)n / p->h->tokens;
    if (in && out) {
        for (int64_t i = 0; i < count * n; i++)
            in[i] = d[i];
        ash_blas_multiply_f64(p->blas, count, n, n, in, n, p->inverse, n, out, n);
        for (int64_t r = 0; r < count; r++) {
            double explained = 0;
            for (int64_t k = r * n; k < (r + 1) * n; k++)
                explained += in[k] * out[k];
            double share = trusted(explained, p->h->squares[first + r], chance);
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
    if (h->shifted)
        ash_parallel(threads, (n + STRIP - 1) / STRIP, shift_strip,
                     &(product){ .h = h, .blas = blas, .inverse = a, .failed = &failed });
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
