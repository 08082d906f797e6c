/* How far the logits of a whole model on the card may be from those of unrounded inputs.
 *
 * The card rounds the inputs of every product (8 bits, e4m3, bf16) and sums in another order. Rounding is chaotic: a sum
 * that differs in its last bit may round the other way, and after a few layers two correct implementations are as far
 * apart as the rounding itself carries them. But how far that is the CPU can tell: its own distance, with inputs rounded
 * alike, from the same model with inputs that are not rounded at all. So with N that distance, and distances being roots
 * of mean squares over the whole vocabulary at several positions:
 *   Q types, decoded  the same rounding (blocks of 32 columns): N
 *   FP8               the same rounding, in a prompt with a scale for 256 columns instead of one for the token, which
 *                     moves no value's spacing by more than a factor of 2, up or down alike: N
 *   Q types, prompt   wider blocks (ASH_GFX_GROUP): the largest of 256 normal values is 1.37 times that of 32 (2.83 and
 *                     2.07 deviations), that of 128 1.26 times (2.6), and weights are rounded so too: times sqrt(2)
 *   BF16              spacing 2^-7 of a value at most, where 8 bits have 1 / 127 of a block's largest: 0.48 (1 / 2.07) of
 *                     the N that the same weights have in Q8_0
 * each times a margin, since N itself is one draw. The reference of the tests for single kernels is exact; this one sees
 * what is put together wrongly: a norm, a scale, a position, a head.
 */
#ifndef ASHLAR_TESTS_GFX12_TOLERANCE_H
#define ASHLAR_TESTS_GFX12_TOLERANCE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/gfx12/args.h"

#define GFX_LOGITS_MARGIN 1.3
#define GFX_PROMPT_FACTOR (ASH_GFX_GROUP == 128 ? 1.8 : 1.9)
#define GFX_BF16_FACTOR 0.48

/* Root of the mean squared difference of rows [first, end) of `vocab` logits, each taken from its mean: a shift of all
 * logits changes nothing. */
static inline double gfx_logits_distance(const float *a, const float *b, uint32_t vocab, int first, int end)
{
    double sum = 0;
    for (int i = first; i < end; i++) {
        double mean = 0, square = 0;
        for (uint32_t k = 0; k < vocab; k++)
            mean += (double)a[(size_t)i * vocab + k] - (double)b[(size_t)i * vocab + k];
        mean /= vocab;
        for (uint32_t k = 0; k < vocab; k++) {
            double d = (double)a[(size_t)i * vocab + k] - (double)b[(size_t)i * vocab + k] - mean;
            square += d * d;
        }
        sum += square / vocab;
    }
    return sqrt(sum / (end - first));
}

#endif
