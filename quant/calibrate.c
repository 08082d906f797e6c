#include "quant/calibrate.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "quant/encode.h"
#include "quant/kblock.h"
#include "quant/parallel.h"

#define CHUNK_ROWS 64 /* of a piece of work: fixed, so that BLAS does the same on any number of threads */
#define BLOCK ASH_KBLOCK_ELEMS

bool ash_calibratable(uint32_t dtype) { return dtype < ASH_USABLE_DTYPES && ash_kblock_has((ash_dtype)dtype); }

typedef struct work {
    const ash_kernels *kernels;
    const ash_blas *blas;
    const ash_hessian *h;
    const ash_calibrate_matrix *m;
    uint64_t row_bytes, block_bytes;
    const float *inverse_diagonal; /* 1 / U[j][j] */
    atomic_int status;
    ash_error *err; /* of whoever set status first */
} work;

/* Where the columns of a sub-block stand: columns [first, end) of a block that is columns [at, at + count). */
typedef struct place {
    int64_t at;
    int first, end, count;
} place;

/* The nearest code to x, and in *value what it stands for. */
static inline int nearest(const ash_kblock *b, float x, float scale, float inverse, float min, float *value)
{
    float ideal = (x + min) * inverse;
    /* Within the range before it becomes an integer, whatever it is. */
    ideal = ideal > (float)b->low ? ideal : (float)b->low;
    int code = (int)rintf(ideal < (float)b->high ? ideal : (float)b->high);
    *value = scale * (float)code - min;
    return code;
}

static float reciprocal(float scale) { return scale != 0 && isfinite(1 / scale) ? 1 / scale : 0; }

/* Codes of one sub-block on its grid; errors go to the columns up to `until`, and divided by U[j][j] into `error`. The
 * sum of their squares is what the sub-block adds to the error of the outputs; above `most` it stops. */
static float feed(const work *w, ash_kblock *b, int sub, const place *p, int until, float most, float *x, float *error)
{
    float scale = b->d * (float)b->sc[sub], min = b->dmin * (float)b->mn[sub], inverse = reciprocal(scale), sum = 0;
    for (int j = p->first; j < p->end && sum < most; j++) {
        float value;
        b->code[j] = (int8_t)nearest(b, x[j], scale, inverse, min, &value);
        const float *row = w->h->upper + (p->at + j) * w->h->cols + p->at;
        float e = (x[j] - value) * w->inverse_diagonal[p->at + j];
        error[j] = e;
        sum += e * e;
        for (int k = j + 1; k < until; k++)
            x[k] -= e * row[k];
    }
    return sum;
}

/* Scale and minimum of a sub-block for its weights as they are now: of the present ones and their neighbours those that
 * lose least. */
static void choose_grid(const work *w, ash_kblock *b, int sub, const place *p, const float *x)
{
    float tried[ASH_KBLOCK_ELEMS], error[ASH_KBLOCK_ELEMS], best = INFINITY;
    int sc = b->sc[sub], mn = b->mn[sub], best_sc = sc, best_mn = mn;
    size_t bytes = (size_t)(p->end - p->first) * sizeof *x;
    for (int s = sc - 1; s <= sc + 1; s++)
        for (int m = mn - 1; m <= mn + 1; m++) {
            if (s < b->sc_low || s > b->sc_high || m < 0 || m > b->mn_high)
                continue;
            b->sc[sub] = s;
            b->mn[sub] = m;
            memcpy(tried + p->first, x + p->first, bytes);
            float sum = feed(w, b, sub, p, p->end, best, tried, error);
            if (sum < best)
                best = sum, best_sc = s, best_mn = m;
        }
    b->sc[sub] = best_sc;
    b->mn[sub] = best_mn;
}

/* One row's block of columns from `at` on. */
static ash_status feed_block(const work *w, int64_t at, int count, float *x, float *error, uint8_t *out, ash_error *err)
{
    ash_kblock b;
    ASH_TRY(ash_encode_row(w->kernels, w->m->dtype, x, w->h->weight + at, count, out, err));
    ash_kblock_read(w->m->dtype, out, &b);
    for (int first = 0; first < count; first += b.sub_elems) {
        place p = { .at = at, .first = first, .end = first + b.sub_elems < count ? first + b.sub_elems : count,
                    .count = count };
        choose_grid(w, &b, first / b.sub_elems, &p, x);
        feed(w, &b, first / b.sub_elems, &p, count, INFINITY, x, error);
    }
    for (int k = count; k < BLOCK; k++) /* bits behind the row's end are zero */
        b.code[k] = w->m->dtype == ASH_Q6_K ? -32 : 0;
    ash_kblock_write(w->m->dtype, &b, out);
    return ASH_OK;
}

static ash_status run_chunk(const work *w, int64_t first, int64_t rows, float *x, float *error, ash_error *err)
{
    int64_t cols = w->h->cols;
    for (int64_t r = 0; r < rows; r++)
        w->m->weights(w->m->context, first + r, x + r * cols);
    if (w->h->shift) {
        float *plain = malloc((size_t)(rows * cols) * sizeof *plain);
        if (!plain)
            return ash_fail(err, ASH_E_MEMORY, "out of memory for %lld rows", (long long)rows);
        memcpy(plain, x, (size_t)(rows * cols) * sizeof *plain);
        ash_blas_multiply(w->blas, rows, cols, cols, 1, plain, cols, w->h->shift, cols, x, cols);
        free(plain);
    }
    for (int64_t at = 0; at < cols; at += BLOCK) {
        int count = cols - at < BLOCK ? (int)(cols - at) : BLOCK;
        for (int64_t r = 0; r < rows; r++)
            ASH_TRY(feed_block(w, at, count, x + r * cols + at, error + r * BLOCK,
                               w->m->out + (uint64_t)(first + r) * w->row_bytes +
                                   (uint64_t)(at / BLOCK) * w->block_bytes, err));
        int64_t next = at + count;
        if (next < cols)
            ash_blas_multiply(w->blas, rows, cols - next, count, -1, error, BLOCK, w->h->upper + at * cols + next, cols,
                              x + next, cols);
    }
    return ASH_OK;
}

static void run_unit(void *context, int64_t unit)
{
    work *w = context;
    int64_t cols = w->h->cols, first = unit * CHUNK_ROWS;
    int64_t rows = w->m->rows - first < CHUNK_ROWS ? w->m->rows - first : CHUNK_ROWS;
    ash_error err;
    float *x = malloc((size_t)(rows * cols) * sizeof *x), *error = malloc((size_t)(rows * BLOCK) * sizeof *error);
    ash_status status = x && error ? run_chunk(w, first, rows, x, error, &err)
                                   : ash_fail(&err, ASH_E_MEMORY, "out of memory for %lld rows", (long long)rows);
    free(x);
    free(error);
    int none = ASH_OK;
    if (status != ASH_OK && atomic_compare_exchange_strong(&w->status, &none, (int)status))
        *w->err = err;
}

ash_status ash_calibrate(const ash_kernels *kernels, const ash_blas *blas, const ash_hessian *h,
                         const ash_calibrate_matrix *m, uint32_t threads, ash_error *err)
{
    work w = { .kernels = kernels, .blas = blas, .h = h, .m = m, .err = err };
    if (!h->solved || !ash_calibratable(m->dtype) || !ash_row_bytes(m->dtype, (uint64_t)h->cols, &w.row_bytes))
        return ash_fail(err, ASH_E_ARGUMENT, "type %s cannot be calibrated", ash_dtype_name(m->dtype));
    w.block_bytes = ash_dtype_find(m->dtype)->block_bytes;
    float *inverse = malloc((size_t)h->cols * sizeof *inverse);
    if (!inverse)
        return ash_fail(err, ASH_E_MEMORY, "out of memory");
    for (int64_t j = 0; j < h->cols; j++)
        inverse[j] = 1 / h->upper[j * h->cols + j];
    w.inverse_diagonal = inverse;
    ash_parallel(threads, (m->rows + CHUNK_ROWS - 1) / CHUNK_ROWS, run_unit, &w);
    free(inverse);
    return (ash_status)atomic_load(&w.status);
}
