/* What prompts make of a Q type's weights: int8 with one scale for a group of columns of a row. The card does it for
 * every Q type (groups of ASH_GFX_GROUP, kernels/gfx12/requant_q.h), MATMUL_Q8 with dot products of bytes for those of
 * ash_q8_rounds (groups of a tile, kernels/x86/matmul_q8_rounded.h). This is their specification: they give the same
 * integers; and what a measurement of its effect uses.
 *
 * A weight is s q + m, s and m of its sub-block (of 32 columns; Q6_K: 16), q its code less the type's offset. With M
 * the largest |weight| that the group's sub-blocks could hold, whatever their codes:
 *
 *   types with minimums      M = max(|m|, |fma(codes - 1, s, m)|)   B = rint(m i) + 128
 *   Q4_0, Q5_0, Q6_K         M = max|s| * offset                    B = 128
 *       A = rint(s i), i = 32512 (1 / M)      int8 = floor((A q + B) / 256)      scale = M (1 / 127)
 *   Q8_0                     M = max|s|                             B = 127
 *       A = rint(s i), i = 256 (1 / M), at most 255 either way      int8 likewise      scale = M
 *
 * in float, each operation rounded once, rint of exact products and to even; M at least 2^-40 where it divides. A is
 * rounded to 1/256 of a step of int8, so that an int8 is at most 0.5 + codes / 512 steps away from the weight (0.53,
 * 0.56, 0.62 for 4, 5, 6 bits), and 127 is never exceeded: 32512 + codes / 2 + 128 < 2^15. In Q8_0 the sub-blocks with
 * the largest scale keep their codes: with A = 255, floor((255 q + 127) / 256) = q for each q from -128, and for A =
 * -255 it is -q, but 127 for 128.
 *
 * llama-30m, 32,768 tokens of eval.txt: with ash_gfx_inputs's rounding of activations Q4_K has perplexity 8.5377 and
 * with this besides 8.5375, Q6_K 8.3404 and 8.3410; with float activations 8.5264 and 8.3317 (make gfx12-rounding; standard
 * errors 0.04%). calibration.txt, Q4_K: 6.1175 with floats and 6.1337 with both, 0.27%
 * (tests/unit/test_card_rounding.c has the limit).
 * A scale or minimum that is not finite gives the scale NaN, and then codes mean nothing.
 */
#ifndef ASHLAR_KERNELS_REQUANT_H
#define ASHLAR_KERNELS_REQUANT_H

#include "kernels/kernels.h"

#define ASH_REQUANT_MAX 256 /* columns of the widest group: a tile's */

/* Row `row` of panel `panel`, columns k .. k + cols - 1 of a Q type; cols: 128 or 256, k a multiple of it. Beyond
 * w->cols the codes mean nothing. out: [cols]. */
void ash_requantize(const ash_matrix *w, int64_t panel, int row, int64_t k, int cols, int8_t *out, float *scale);

#endif
