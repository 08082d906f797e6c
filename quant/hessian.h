/* Second moments of one operation's inputs, and what calibration makes of them.
 *
 * X_q are the inputs that the quantized model gives the operation, X_f those of the float model for the same tokens,
 * one token a row; S_q and S_f what the operation's outputs are added to (hidden states), where there is such a thing.
 * While tokens are added:
 *   h  = X_q^T X_q               the Hessian of the squared error of the outputs, upper triangle
 *   d  = (X_f - X_q)^T X_q
 *   r  = (S_f - S_q)^T X_q
 * After ash_hessian_solve, with L = damping * mean diagonal of h:
 *   upper  = U, upper triangular, with (h + L)^-1 = U^T U: what an error in column j does to the columns after it
 *   shift  = d (h + L)^-1: W + W shift are the weights that on X_q come nearest to what W gives on X_f
 *   extra  = r (h + L)^-1: W + W shift + extra also make up for the difference between S_q and S_f
 * Each row of shift and extra is then made smaller. Regression on n columns explains n / tokens of the squares of
 * anything, chance included: with 1,536 columns and 80,000 tokens 2%, often as much as there is to find. A row keeps the
 * share of what it explains that is more than chance (as James and Stein shrink estimates), none where nothing is.
 * Memory: two cols x cols matrices of floats, a third of doubles while solving: 3.3 GB for 14,336 columns; and r.
 */
#ifndef ASHLAR_QUANT_HESSIAN_H
#define ASHLAR_QUANT_HESSIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/blas.h"

typedef struct ash_hessian {
    int64_t cols, rows;  /* rows: columns of S, 0 where there is none */
    bool solved;
    float *h, *d, *r;    /* before */
    float *upper, *shift, *extra; /* after; shift NULL where the inputs never differed, extra where there is no S */
    float *weight;       /* cols: 1 / U[j][j]^2: what an error in column j costs when later columns make up for it */
    bool shifted;        /* X_f was given */
    double tokens, *d_squares, *r_squares; /* sums of squares of the columns of X_f - X_q and S_f - S_q */
} ash_hessian;

/* Rows of tokens, `stride` floats apart. */
typedef struct ash_inputs {
    int64_t tokens, stride, s_stride;
    const float *xq;
    float *xf;      /* NULL where both models have the same inputs; it is overwritten */
    const float *s; /* S_f - S_q, s_stride floats apart; not looked at where h->rows is 0 */
} ash_inputs;

ash_status ash_hessian_init(ash_hessian *h, int64_t cols, int64_t rows, ash_error *err);
void ash_hessian_free(ash_hessian *h); /* zeroed is fine */

/* The sum over tokens is taken in float: for 100,000 tokens its error is below the thousandth part of the damping. */
void ash_hessian_add(ash_hessian *h, const ash_blas *blas, const ash_inputs *in, uint32_t threads);
/* ASH_E_UNSUPPORTED when the moments are not finite. */
ash_status ash_hessian_solve(ash_hessian *h, const ash_blas *blas, double damping, uint32_t threads, ash_error *err);

#endif
