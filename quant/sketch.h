/* The directions that rows of numbers have most of, found in one pass and little memory: of rows X (tokens x cols), `rank`
 * rows B with B^T B near X^T X.
 *
 * Rows gather behind those kept; when together they are 2 rank, R, the eigenvectors U of R R^T with the largest
 * eigenvalues make U^T R the kept ones (the incremental singular value decomposition). What it drops each time is the
 * weakest half. On llama-30m, whose spectra are flat, its 64 directions are as good as H's own eigenvectors; a random
 * sketch, H Omega in Nystroem's form, needs twice as many for the same error.
 * Costs 6 rank cols multiply-adds a row, and every `rank` rows an eigenproblem of size 2 rank. */
#ifndef ASHLAR_QUANT_SKETCH_H
#define ASHLAR_QUANT_SKETCH_H

#include <stdint.h>

#include "quant/blas.h"

typedef struct ash_sketch {
    const ash_blas *blas;
    int64_t cols, rank, count; /* count: rows at the moment */
    float *rows;    /* [2 rank][cols] */
    float *scratch;
    double *square;
} ash_sketch;

/* rank: at most cols is sensible. */
ash_status ash_sketch_init(ash_sketch *s, const ash_blas *blas, int64_t cols, int64_t rank, ash_error *err);
void ash_sketch_free(ash_sketch *s); /* zeroed is fine */
/* A row of `cols` floats. ASH_E_UNSUPPORTED when moments are not finite. */
ash_status ash_sketch_add(ash_sketch *s, const float *x, ash_error *err);
/* The first `count` (<= rank) rows at s->rows, then, are B, the strongest first. */
ash_status ash_sketch_finish(ash_sketch *s, ash_error *err);

#endif
