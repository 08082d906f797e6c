#include "quant/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

ash_status ash_sketch_init(ash_sketch *s, const ash_blas *blas, int64_t cols, int64_t rank, ash_error *err)
{
    size_t most = 2 * (size_t)rank;
    *s = (ash_sketch){ .blas = blas, .cols = cols, .rank = rank };
    s->rows = malloc(most * (size_t)cols * sizeof *s->rows + 1);
    s->scratch = malloc((most * most + (size_t)rank * (size_t)cols) * sizeof *s->scratch + 1);
    s->square = malloc(most * most * sizeof *s->square + 1);
    if (s->rows && s->scratch && s->square)
        return ASH_OK;
    ash_sketch_free(s);
    return ash_fail(err, ASH_E_MEMORY, "out of memory for %lld directions of %lld columns", (long long)rank,
                    (long long)cols);
}

void ash_sketch_free(ash_sketch *s)
{
    free(s->rows);
    free(s->scratch);
    free(s->square);
    *s = (ash_sketch){ 0 };
}

/* All rows become the `rank` strongest directions among them, or fewer, sorted. */
static ash_status compress(ash_sketch *s, ash_error *err)
{
    int64_t n = s->count, kept = n < s->rank ? n : s->rank, cols = s->cols;
    float *pick = s->scratch, *to = pick + kept * n, *outer = pick;
    double sum = 0;
    ash_blas_outer(s->blas, n, cols, s->rows, cols, outer);
    for (int64_t i = 0; i < n * n; i++)
        sum += fabs(s->square[i] = (double)outer[i]);
    if (!isfinite(sum))
        return ash_fail(err, ASH_E_UNSUPPORTED, "the inputs are not finite: the model is broken, ashlar verify may say "
                        "where");
    if (n == 0)
        return ASH_OK;
    if (ash_blas_eigen(s->blas, n, s->square) != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "the moments of the inputs have no eigenvectors");
    for (int64_t i = 0; i < kept; i++)
        for (int64_t k = 0; k < n; k++)
            pick[i * n + k] = (float)s->square[(n - 1 - i) * n + k];
    memset(to, 0, (size_t)(kept * cols) * sizeof *to);
    ash_blas_multiply(s->blas, kept, cols, n, 1, pick, n, s->rows, cols, to, cols);
    memcpy(s->rows, to, (size_t)(kept * cols) * sizeof *to);
    s->count = kept;
    return ASH_OK;
}

ash_status ash_sketch_add(ash_sketch *s, const float *x, ash_error *err)
{
    memcpy(s->rows + s->count++ * s->cols, x, (size_t)s->cols * sizeof *x);
    return s->count < 2 * s->rank ? ASH_OK : compress(s, err);
}

ash_status ash_sketch_finish(ash_sketch *s, ash_error *err) { return compress(s, err); }
