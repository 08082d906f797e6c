/* Codes of a row that keep what its outputs have most of.
 *
 * Of the inputs x of a matrix, second moments H = mean x x^T are known in part: r directions, the columns of V (cols x
 * r), with V V^T near H, and H's diagonal. Apart from the directions columns count as independent: H ~ D + V V^T, D
 * what V leaves of the diagonal. Errors e of a row then cost sum D e^2 + |V^T e|^2. Rounding each weight to the nearest
 * code knows the diagonal alone; the rest are the squares of r numbers, s = V^T e. Scales stay; codes are chosen thus:
 *
 *   1. Error feedback (calibrate.h) in closed form. Columns in order, column k to the code nearest to
 *      x[k] - pull[k] . s, s over the columns before it, pull[k] = M[k]^-1 V[k] / D[k], M[k] = I + sum of V V^T / D from
 *      k on: what k would take on if the columns from k on could make up for s exactly. M^-1 follows from the last
 *      column back by Sherman and Morrison's formula.
 *   2. Sweeps: each column in turn to the code that costs least given all others, nearest to
 *      x[k] - V[k] . (s - V[k] e[k]) / (D[k] + |V[k]|^2). No sweep makes the cost larger.
 *
 * Squared error of the outputs on held-out text (llama-30m, Q4_K, eigenvectors of 60,000 tokens' H; thousandths): without
 * this 2.427; by the strongest direction alone 2.386, 8 of them 2.320, 16: 2.270, 32: 2.203, 64: 2.142, 128: 2.111;
 * quant/sketch.h's 64: 2.135. A sweep takes off another 1.0%, a second 0.8%, two more 0.5%.
 *
 * Work: 2 r + 3.5 multiply-adds a weight and pass, 395 with 64 directions and two sweeps. One core that does 58.5 G a
 * second (AVX-512, Zen 4) needs 6.7 ns for them and takes 7.5; with blocks taken apart and put together again it is 11 ns
 * a weight, beside 7 for the search of scales. ash_balance_init: 3 us a column. */
#ifndef ASHLAR_QUANT_BALANCE_H
#define ASHLAR_QUANT_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/status.h"
#include "kernels/kernels.h"

#define ASH_BALANCE_SWEEPS 2

/* What a matrix's rows share: 2 rank + 18 floats a column. */
typedef struct ash_balance {
    int64_t cols, rank;
    float *directions; /* as ash_feed has them; owns the arrays of both sides too */
    ash_feed_side feedback, sweep;
} ash_balance;

/* directions: [rank][cols]; square: the diagonal of H, not negative. Directions that have more of a column than its
 * square are fine. out: ash_balance_free. */
ash_status ash_balance_init(ash_balance *out, const float *directions, const double *square, int64_t cols,
                            int64_t rank, ash_error *err);
void ash_balance_free(ash_balance *b); /* zeroed is fine */

/* Up to 16 rows of a K type, encoded[i] that of the floats x + i * stride: scales stay, codes change. Other types stay
 * as they are. sweeps: of step 2. The same bytes at every level of the kernels, whatever rows come together. */
ash_status ash_balance_rows(const ash_kernels *kernels, ash_dtype dtype, const ash_balance *b, const float *x,
                            int64_t stride, int rows, int sweeps, uint8_t *const *encoded, ash_error *err);

#endif
