#include "quant/balance.h"

#include <stdlib.h>
#include <string.h>

#include "quant/kblock.h"

/* Directions that seem to explain all of a column would ask it for all of the correction: a part of its square counts
 * as its own. From 0.02 to 0.2 the held-out error is the same to 0.2%. */
#define LEAST_OWN 0.05

#define TILE ASH_FEED_TILE
#define ROWS ASH_PANEL_ROWS
#define BLOCK ASH_KBLOCK_ELEMS

/* ---- what rows share ---- */

static int64_t padded(int64_t cols) { return (cols + TILE - 1) / TILE * TILE; }

/* Number i of column k, in tiles. */
static inline int64_t place(int64_t rank, int64_t k, int64_t i) { return k / TILE * TILE * rank + i * TILE + k % TILE; }

/* In four sums that do not wait for each other: nearly all of the time that ash_balance_init takes. */
static double dot(int64_t n, const double *a, const double *b)
{
    double sum[4] = { 0 };
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* own: D; v: one column's directions; u: scratch; inverse: rank x rank, M^-1 of the columns after k, then from k on. */
static void feedback_of(double own, const double *v, int64_t rank, double *inverse, double *u, float *pull,
                        int64_t step)
{
    for (int64_t i = 0; i < rank; i++)
        u[i] = dot(rank, inverse + i * rank, v);
    double whole = own + dot(rank, u, v);
    for (int64_t i = 0; i < rank && whole > 0; i++) {
        double share = u[i] / whole, *restrict row = inverse + i * rank;
        pull[i * step] = (float)share;
        for (int64_t j = 0; j < rank; j++)
            row[j] -= share * u[j];
    }
}

/* near[k][j] of one side, k from the diagonal's column on. */
static void near_of(const ash_balance *b, const float *pull, bool diagonal, float *near)
{
    for (int64_t k = 0; k < padded(b->cols); k++)
        for (int64_t j = k / TILE * TILE; j < k + diagonal; j++) {
            double sum = 0;
            for (int64_t i = 0; i < b->rank; i++)
                sum += (double)pull[place(b->rank, k, i)] * (double)b->directions[place(b->rank, j, i)];
            near[k * TILE + j % TILE] = (float)sum;
        }
}

static void fill(ash_balance *b, const float *directions, const double *square, double *scratch)
{
    int64_t rank = b->rank, all = padded(b->cols);
    float *pull = b->directions + all * rank, *near = pull + all * rank, *own_near = near + all * TILE;
    float *ones = own_near + all * TILE, *gain = ones + all;
    double *inverse = scratch, *v = inverse + rank * rank, *u = v + rank;
    for (int64_t i = 0; i < rank; i++)
        inverse[i * rank + i] = 1;
    for (int64_t k = b->cols - 1; k >= 0; k--) {
        for (int64_t i = 0; i < rank; i++) {
            v[i] = (double)directions[i * b->cols + k];
            b->directions[place(rank, k, i)] = directions[i * b->cols + k];
        }
        double shared = dot(rank, v, v), least = LEAST_OWN * square[k], own = square[k] - shared;
        own = own > least ? own : least;
        feedback_of(own, v, rank, inverse, u, pull + place(rank, k, 0), TILE);
        ones[k] = 1;
        gain[k] = own + shared > 0 ? (float)(1 / (own + shared)) : 0;
    }
    near_of(b, pull, false, near);
    near_of(b, b->directions, true, own_near);
    b->feedback = (ash_feed_side){ .pull = pull, .near = near, .gain = ones };
    b->sweep = (ash_feed_side){ .pull = b->directions, .near = own_near, .gain = gain };
}

ash_status ash_balance_init(ash_balance *out, const float *directions, const double *square, int64_t cols,
                            int64_t rank, ash_error *err)
{
    *out = (ash_balance){ .cols = cols, .rank = rank };
    size_t all = (size_t)padded(cols), r = (size_t)rank;
    double *scratch = calloc(r * r + 2 * r + 1, sizeof *scratch);
    out->directions = calloc(all * (2 * r + 2 * TILE + 2) + 1, sizeof *out->directions);
    if (!scratch || !out->directions) {
        free(scratch);
        ash_balance_free(out);
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %lld directions of %lld columns", (long long)rank,
                        (long long)cols);
    }
    fill(out, directions, square, scratch);
    free(scratch);
    return ASH_OK;
}

void ash_balance_free(ash_balance *b)
{
    free(b->directions);
    *b = (ash_balance){ 0 };
}

/* ---- rows ---- */

typedef struct work {
    const ash_kernels *kernels;
    ash_dtype dtype;
    const ash_balance *b;
    int rows;
    uint8_t *const *encoded;
    /* By column, 16 rows each; grids by sub-block. */
    float *x, *code, *scale, *min, *inverse, *sum;
} work;

/* Sub-blocks of a row come in whole blocks of 16, of which types of 32 elements use every first half. */
static void read_grids(const work *w, int row, int64_t block, int *sub_elems, float *low, float *high)
{
    ash_kblock k;
    ash_kblock_read(w->dtype, w->encoded[row] + (size_t)block * ash_dtype_find(w->dtype)->block_bytes, &k);
    *sub_elems = k.sub_elems;
    *low = (float)k.low;
    *high = (float)k.high;
    for (int s = 0; s < BLOCK / k.sub_elems; s++) {
        int64_t at = (block * ASH_KBLOCK_SUBS_MAX + s) * ROWS + row;
        w->scale[at] = k.d * (float)k.sc[s];
        w->min[at] = k.dmin * (float)k.mn[s];
        w->inverse[at] = ash_kblock_reciprocal(w->scale[at]);
    }
}

static void write_codes(const work *w, int row, int64_t block, int count)
{
    ash_kblock k;
    uint8_t *bytes = w->encoded[row] + (size_t)block * ash_dtype_find(w->dtype)->block_bytes;
    ash_kblock_read(w->dtype, bytes, &k);
    for (int j = 0; j < count; j++)
        k.code[j] = (int8_t)w->code[(block * BLOCK + j) * ROWS + row];
    ash_kblock_write(w->dtype, &k, bytes);
}

static void pass(const work *w, ash_feed *f, const ash_feed_side *side)
{
    f->side = side;
    for (int64_t at = 0; at < w->b->cols; at += BLOCK) {
        int64_t grid = at / BLOCK * ASH_KBLOCK_SUBS_MAX * ROWS;
        f->first = at;
        f->count = w->b->cols - at < BLOCK ? (int)(w->b->cols - at) : BLOCK;
        f->x = w->x + at * ROWS;
        f->code = w->code + at * ROWS;
        f->scale = w->scale + grid;
        f->min = w->min + grid;
        f->inverse = w->inverse + grid;
        w->kernels->feed(f);
    }
    f->fresh = false;
}

static void run(const work *w, const float *x, int64_t stride, int sweeps)
{
    int64_t cols = w->b->cols;
    ash_feed f = { .rank = w->b->rank, .fresh = true, .directions = w->b->directions, .sum = w->sum };
    for (int r = 0; r < w->rows; r++) {
        for (int64_t k = 0; k < cols; k++)
            w->x[k * ROWS + r] = x[r * stride + k];
        for (int64_t at = 0; at < cols; at += BLOCK)
            read_grids(w, r, at / BLOCK, &f.sub_elems, &f.low, &f.high);
    }
    pass(w, &f, &w->b->feedback);
    for (int i = 0; i < sweeps; i++)
        pass(w, &f, &w->b->sweep);
    for (int r = 0; r < w->rows; r++)
        for (int64_t at = 0; at < cols; at += BLOCK)
            write_codes(w, r, at / BLOCK, cols - at < BLOCK ? (int)(cols - at) : BLOCK);
}

ash_status ash_balance_rows(const ash_kernels *kernels, ash_dtype dtype, const ash_balance *b, const float *x,
                            int64_t stride, int rows, int sweeps, uint8_t *const *encoded, ash_error *err)
{
    if (!ash_kblock_has(dtype))
        return ASH_OK;
    size_t cols = (size_t)b->cols, grids = (cols + BLOCK - 1) / BLOCK * ASH_KBLOCK_SUBS_MAX;
    float *memory = calloc((2 * cols + 3 * grids + (size_t)b->rank) * ROWS, sizeof *memory);
    if (!memory)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for rows of %zu columns", cols);
    work w = { .kernels = kernels, .dtype = dtype, .b = b, .rows = rows, .encoded = encoded, .x = memory };
    w.code = w.x + cols * ROWS;
    w.scale = w.code + cols * ROWS;
    w.min = w.scale + grids * ROWS;
    w.inverse = w.min + grids * ROWS;
    w.sum = w.inverse + grids * ROWS;
    run(&w, x, stride, sweeps);
    free(memory);
    return ASH_OK;
}
