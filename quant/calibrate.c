#include "quant/calibrate.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "quant/descent.h"
#include "quant/encode.h"
#include "format/halffloat.h"
#include "quant/fp8.h"
#include "quant/kblock.h"
#include "quant/parallel.h"

#define CHUNK_ROWS 64 /* of a piece of work: fixed, so that BLAS does the same on any number of threads */
#define BLOCK ASH_KBLOCK_ELEMS

bool ash_calibratable(uint32_t dtype)
{
    return dtype < ASH_USABLE_DTYPES && (ash_kblock_has((ash_dtype)dtype) || dtype == ASH_F8_E4M3);
}

typedef struct work {
    const ash_kernels *kernels;
    const ash_blas *blas;
    const ash_hessian *h;
    const ash_calibrate_matrix *m;
    uint64_t row_bytes, block_bytes;
    const float *inverse_diagonal; /* 1 / U[j][j] */
    ash_block_form *forms;         /* of each block of columns */
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

/* Column j of the block that begins at `at` has lost `lost`: the later ones, up to `until`, are to make up for it. Returns
 * the error divided by U[j][j], which is what goes on to the next blocks. */
static inline float push(const work *w, int64_t at, int j, int until, float lost, float *x)
{
    const float *row = w->h->upper + (at + j) * w->h->cols + at;
    float e = lost * w->inverse_diagonal[at + j];
    for (int k = j + 1; k < until; k++)
        x[k] -= e * row[k];
    return e;
}

/* Codes of one sub-block on its grid; errors go to the columns up to `until`, and divided by U[j][j] into `error`. The
 * sum of their squares is what the sub-block adds to the error of the outputs; above `most` it stops. */
static float feed(const work *w, ash_kblock *b, int sub, const place *p, int until, float most, float *x, float *error)
{
    float scale = b->d * (float)b->sc[sub], min = b->dmin * (float)b->mn[sub], inverse = ash_kblock_reciprocal(scale), sum = 0;
    for (int j = p->first; j < p->end && sum < most; j++) {
        float value;
        b->code[j] = (int8_t)nearest(b, x[j], scale, inverse, min, &value);
        error[j] = push(w, p->at, j, until, x[j] - value, x);
        sum += error[j] * error[j];
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

/* The errors of finished codes, as `feed` gives them. */
static void feed_codes(const work *w, const ash_kblock *b, int64_t at, int count, float *x, float *error)
{
    for (int j = 0; j < count; j++)
        error[j] = push(w, at, j, count, x[j] - ash_kblock_value(b, j / b->sub_elems, b->code[j]), x);
}

/* One row's block of columns from `at` on. */
static ash_status feed_block(const work *w, int64_t at, int count, float *x, float *error, uint8_t *out, ash_error *err)
{
    ash_kblock b;
    float begin[BLOCK];
    memcpy(begin, x, (size_t)count * sizeof *x);
    ASH_TRY(ash_encode_row(w->kernels, w->m->dtype, x, w->h->weight + at, count, out, err));
    ash_kblock_read(w->m->dtype, out, &b);
    for (int first = 0; first < count; first += b.sub_elems) {
        place p = { .at = at, .first = first, .end = first + b.sub_elems < count ? first + b.sub_elems : count,
                    .count = count };
        choose_grid(w, &b, first / b.sub_elems, &p, x);
        feed(w, &b, first / b.sub_elems, &p, count, INFINITY, x, error);
    }
    ash_descend(&w->forms[at / BLOCK], begin, &b);
    feed_codes(w, &b, at, count, begin, error);
    for (int k = count; k < BLOCK; k++) /* bits behind the row's end are zero */
        b.code[k] = w->m->dtype == ASH_Q6_K ? -32 : 0;
    ash_kblock_write(w->m->dtype, &b, out);
    return ASH_OK;
}

/* ---- FP8 ---- */

/* One row's block of columns in e4m3. Its codes need no search: the steps are fixed. */
static void feed_fp8(const work *w, int64_t at, int count, float scale, float *x, float *error, uint8_t *out)
{
    float inverse = 1 / scale;
    for (int j = 0; j < count; j++) {
        out[j] = ash_f32_to_e4m3(x[j] * inverse);
        error[j] = push(w, at, j, count, x[j] - ash_e4m3_to_f32(out[j]) * scale, x);
    }
}

/* Before anything else: all values are finite, and rows have their scales. */
static ash_status fp8_rows(const work *w, int64_t first, int64_t rows, const float *x, ash_error *err)
{
    int64_t cols = w->h->cols;
    for (int64_t r = 0; w->m->dtype == ASH_F8_E4M3 && r < rows; r++) {
        if (!isfinite(w->kernels->max_abs(x + r * cols, cols)))
            return ash_fail(err, ASH_E_UNSUPPORTED, "row %lld is not finite, which f8_e4m3 cannot hold; choose another "
                            "type", (long long)(first + r));
        if (w->m->scale_by_row)
            w->m->scales[first + r] = ash_fp8_row_scale(w->kernels, x + r * cols, cols);
    }
    return ASH_OK;
}

/* One scale for the matrix as it came: what feedback adds to the weights saturates where it leaves the range. */
static ash_status fp8_tensor(const work *w, ash_error *err)
{
    const ash_calibrate_matrix *m = w->m;
    if (m->dtype != ASH_F8_E4M3 || m->scale_by_row)
        return ASH_OK;
    int64_t cols = w->h->cols;
    float *row = malloc((size_t)cols * sizeof *row), max = 0;
    ash_fp8_counts *counts = calloc(1, sizeof *counts);
    ash_status status = row && counts ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "out of memory");
    for (int64_t r = 0; r < m->rows && status == ASH_OK; r++) {
        m->weights(m->context, r, row);
        float most = w->kernels->max_abs(row, cols);
        if (isfinite(most))
            ash_fp8_count(counts, row, cols);
        max = !(most <= max) && isfinite(most) ? most : max; /* others are refused when their turn comes */
    }
    if (status == ASH_OK)
        m->scales[0] = ash_fp8_scale(counts, max);
    free(row);
    free(counts);
    return status;
}

/* ---- a matrix ---- */

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
    ASH_TRY(fp8_rows(w, first, rows, x, err));
    for (int64_t at = 0; at < cols; at += BLOCK) {
        int count = cols - at < BLOCK ? (int)(cols - at) : BLOCK;
        for (int64_t r = 0; r < rows; r++) {
            float *from = x + r * cols + at, *errors = error + r * BLOCK;
            uint8_t *out = w->m->out + (uint64_t)(first + r) * w->row_bytes + (uint64_t)(at / BLOCK) * w->block_bytes;
            if (w->m->dtype == ASH_F8_E4M3)
                feed_fp8(w, at, count, w->m->scales[w->m->scale_by_row ? first + r : 0], from, errors, out);
            else
                ASH_TRY(feed_block(w, at, count, from, errors, out, err));
        }
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

/* What the rows share. */
static ash_status prepare(work *w, const ash_hessian *h, float *inverse, ash_error *err)
{
    const ash_calibrate_matrix *m = w->m;
    if (!inverse || !w->forms)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %lld columns", (long long)h->cols);
    for (int64_t j = 0; j < h->cols; j++)
        inverse[j] = 1 / h->upper[j * h->cols + j];
    w->inverse_diagonal = inverse;
    for (int64_t at = 0; at < h->cols && m->dtype != ASH_F8_E4M3; at += BLOCK)
        ASH_TRY(ash_block_form_init(&w->forms[at / BLOCK], w->blas, h->upper + at * h->cols + at, h->cols,
                                    h->cols - at < BLOCK ? (int)(h->cols - at) : BLOCK, m->dtype == ASH_Q6_K ? 16 : 32,
                                    err));
    return fp8_tensor(w, err);
}

ash_status ash_calibrate(const ash_kernels *kernels, const ash_blas *blas, const ash_hessian *h,
                         const ash_calibrate_matrix *m, uint32_t threads, ash_error *err)
{
    work w = { .kernels = kernels, .blas = blas, .h = h, .m = m, .err = err };
    if (!h->solved || !ash_calibratable(m->dtype) || !ash_row_bytes(m->dtype, (uint64_t)h->cols, &w.row_bytes))
        return ash_fail(err, ASH_E_ARGUMENT, "type %s cannot be calibrated", ash_dtype_name(m->dtype));
    w.block_bytes = m->dtype == ASH_F8_E4M3 ? BLOCK : ash_dtype_find(m->dtype)->block_bytes;
    float *inverse = malloc((size_t)h->cols * sizeof *inverse);
    w.forms = malloc((size_t)((h->cols + BLOCK - 1) / BLOCK) * sizeof *w.forms);
    ash_status status = prepare(&w, h, inverse, err);
    if (status == ASH_OK) {
        ash_parallel(threads, (m->rows + CHUNK_ROWS - 1) / CHUNK_ROWS, run_unit, &w);
        status = (ash_status)atomic_load(&w.status);
    }
    free(inverse);
    free(w.forms);
    return status;
}
