/* Second moments of one operation's inputs, and what calibration makes of them.
 *
 * X_q are the inputs that the quantized model gives the operation, X_f those of the float model for the same tokens,
 * one token a row. While tokens are added:
 *   h  = X_q^T X_q               the Hessian of the squared error of the outputs, upper triangle
 *   d  = (X_f - X_q)^T X_q
 * After ash_hessian_solve, with L = damping * mean diagonal of h:
 *   upper  = U, upper triangular, with (h + L)^-1 = U^T U: what an error in column j does to the columns after it
 *   shift  = d (h + L)^-1: W + W shift are the weights that on X_q come nearest to what W gives on X_f
 * Each row of shift is then made smaller. Regression on n columns explains n / tokens of the squares of anything, chance
 * included: with 1,536 columns and 80,000 tokens 2%, often as much as there is to find; tokens of a text repeat each
 * other, so that three count as two. A row keeps the share of what it explains that is more than chance (as James and
 * Stein shrink estimates), none where nothing is. On held-out text (llama-30m, Q4_K, 60,000 tokens) that takes 3% off the
 * divergence.
 * Memory: two cols x cols matrices of floats, a third of doubles while solving: 3.3 GB for 14,336 columns.
 */
#ifndef ASHLAR_QUANT_HESSIAN_H
#define ASHLAR_QUANT_HESSIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/blas.h"

typedef struct ash_hessian {
    int64_t cols;
    bool solved;
    float *h, *d;        /* before */
    float *upper, *shift; /* after; shift NULL where the inputs never differed */
    float *weight;       /* cols: 1 / U[j][j]^2: what an error in column j costs when later columns make up for it */
    bool shifted;        /* X_f was given */
    double tokens, *squares; /* of X_f - X_q, summed over tokens: cols */
} ash_hessian;

ash_status ash_hessian_init(ash_hessian *h, int64_t cols, ash_error *err);
void ash_hessian_free(ash_hessian *h); /* zeroed is fine */

/* Adds `tokens` rows, `stride` floats apart. xf: NULL where both models have the same inputs; it is overwritten. The
 * sum over tokens is taken in float: for 100,000 tokens its error is below the thousandth part of the damping. */
void ash_hessian_add(ash_hessian *h, const ash_blas *blas, float *xf, const float *xq, int64_t tokens, int64_t stride,
                     uint32_t threads);
/* ASH_E_UNSUPPORTED when the moments are not finite. */
ash_status ash_hessian_solve(ash_hessian *h, const ash_blas *blas, double damping, uint32_t threads, ash_error *err);

#endif
