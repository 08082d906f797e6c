/* Coordinate descent on one block of a row: codes, scales and minimums, d and dmin change as long as that lowers
 *
 *   (x - q) G (x - q)^T,   G = (U^T U)^-1,
 *
 * U the block's square on the diagonal of ash_hessian's `upper`: what the block adds to the squared error of the
 * outputs when all later columns make up for its error as well as they can. x: the weights as they are when the block
 * begins, q: what the block stands for. Error feedback alone takes the columns in order and never comes back.
 *
 *   1. Each sub-block in turn, given the others: of its scale and minimum and their neighbours, codes by feedback inside
 *      the sub-block, the best.
 *   2. d and dmin that fit best, rounded to halves.
 * No step makes the error larger. */
#ifndef ASHLAR_QUANT_DESCENT_H
#define ASHLAR_QUANT_DESCENT_H

#include "quant/blas.h"
#include "quant/kblock.h"

#define ASH_SUB_MAX 32

/* Of a block's columns; columns behind the row's end are zero. S: a sub-block's columns. */
typedef struct ash_block_form {
    int count, sub_elems;
    float g[ASH_KBLOCK_ELEMS][ASH_KBLOCK_ELEMS];
    float inverse[ASH_KBLOCK_ELEMS][ASH_SUB_MAX]; /* row j: of G_SS^-1, j in S */
    float upper[ASH_KBLOCK_ELEMS][ASH_SUB_MAX];   /* row j: of V, V^T V = G_SS^-1, V upper triangular */
} ash_block_form;

/* upper: the square's first element, rows `stride` floats apart. */
ash_status ash_block_form_init(ash_block_form *f, const ash_blas *blas, const float *upper, int64_t stride, int count,
                               int sub_elems, ash_error *err);
/* b: a start. x: count floats. */
void ash_descend(const ash_block_form *f, const float *x, ash_kblock *b);

#endif
