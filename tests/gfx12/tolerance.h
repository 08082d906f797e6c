/* How far results of the card may be from what they are compared with: sums of single kernels, and logits of a whole
 * model.
 *
 * ---- sums ----
 * Each value of a kernel is compared with a bound for the worst case, in which all of its roundings go one way. Over a
 * launch the root of the mean square of the differences is bound much closer, by how roundings add when they know
 * nothing of each other:
 *   one rounding      to nearest misses by at most half a unit in the last place, any such difference being as likely: a
 *                     deviation of ulp / sqrt(12). Of a value x with any mantissa m in [1, 2) as likely as its share of
 *                     the logarithm, ulp = 2^-23 x / m, and the mean of 1 / m^2 is 3 / (8 ln 2) = 0.541: so 0.425 * 2^-24 of
 *                     x, and 0.577 * 2^-24 if every m were 1: GFX_ROUNDING, 0.5, has room for what lies between
 *   a sum             of terms t with signs that nobody chose: the mean square of a partial sum is the sum of its
 *                     terms' squares, at most that of all, Q^2. A chain of L additions rounds L partial sums: so
 *                     L Q^2 GFX_ROUNDING^2. The same of chains side by side, of L terms each, and one Q^2 more for each
 *                     level at which their results are added. K terms of the root of mean square q have Q^2 = K q^2: in all
 *                     0.5 eps sqrt(K) times sqrt(K) q, which is how large a sum is. Where terms are all alike, a partial
 *                     sum of j has j / L of Q^2, and (L + 1) / 2 of them are enough
 *   a product         rounded, of each term: Q^2; of the sum: y^2
 * What is a value's own averages over all of them. What those of a token have in common (its norm, its scales) is as few
 * draws as there are tokens. The mean of n squares of a normal draw, of mean 1, exceeds 1 + 2 sqrt(x / n) + 2 x / n with a
 * probability of at most e^-x (Laurent and Massart); x is 14: one launch in a million.
 * Left to the worst case are launches whose terms are not random (zeros, runs, extremes, NaN), those of few values, whose
 * partial sums are as much a draw as their roundings, and tokens of which an input lies so near a tie that kernel and
 * specification may round it apart.
 *
 * ---- logits ----
 * How far those of a whole model on the card may be from the CPU's.
 *
 * The card rounds the inputs of every product (8 bits, e4m3, bf16) and sums in another order: sums differ by
 * 2^-24 sqrt(K), which is nothing (0.0002 N below), but rounding is chaotic. A sum that differs in its last bit may round
 * the other way, one input that does so moves every later sum by a share of a step, and after a few layers two correct
 * implementations are as far apart as the rounding itself carries them. How far that is the CPU can tell: its own
 * distance N, with inputs rounded alike, from the same model with inputs that are not rounded at all. Distances are
 * roots of mean squares over the whole vocabulary at several positions; c is the card, p the CPU that rounds alike, e
 * what is not rounded, and an error of the kernels of which rounding knows nothing adds to them in squares.
 *
 * Rounded exactly as the card does, in prompts too (tests/support/card_rounding.h), at 44 positions:
 *   |c - e| <= 1.1 N     two draws of one distribution. A row's own are 13% apart, and rows share a context: seen are
 *                        0.95 to 1.05 N. An error of 0.46 N is too much
 *   |c - p| <= sqrt(2) N two independent roundings; what both round the same way brings them nearer: 0.84 to 1.17 N
 * with the first layer alone, in four contexts, where most of the rounding is the same:
 *   |c - e| <= 1.03 N    seen: 0.99 to 1.01. An error of 0.25 N is too much
 *   |c - p| <= 0.9 N     q, k and v are rounded alike, what follows may not be, where an element of the cache went the
 *                        other way as it became f16: 0 to 0.77 N
 *   0.1 N                |c - p| at the row where it is least, first ones of a context aside: in some row everything was
 *                        rounded the same way, and sums alone differ: 0.000 N (0.05 where FP8's output matrix is BF16,
 *                        whose inputs the CPU leaves as they are). An error of the kernels is in every row
 *
 * The reference of the tests for single kernels is exact; these see what is put together wrongly: a norm, a scale, a
 * position, a head.
 */
#ifndef ASHLAR_TESTS_GFX12_TOLERANCE_H
#define ASHLAR_TESTS_GFX12_TOLERANCE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/gfx12/args.h"

#define GFX_ROUNDING (0.5 * 0x1p-24)
#define GFX_DRAWS 14.0 /* x */
#define GFX_FEWEST 32 /* values of a launch that the bound is for */
/* What the bound may be above the largest of the differences that a test program sees, at most. */
#define GFX_LOOSEST 5.0

/* Differences of a launch. */
typedef struct gfx_differences {
    double squares;      /* the sum of theirs */
    double own, common;  /* sums of variances, in GFX_ROUNDING^2 */
    size_t count, draws; /* how many there are; tokens, for what is common */
} gfx_differences;

static inline void gfx_differences_add(gfx_differences *d, double difference, double own, double common)
{
    d->squares += difference * difference;
    d->own += own;
    d->common += common;
    d->count++;
}

static inline double gfx_room_for_draws(size_t n)
{
    double x = n ? GFX_DRAWS / (double)n : 0;
    return 1 + 2 * sqrt(x) + 2 * x;
}

/* The root of their mean square as a share of its bound; 0 of fewer than GFX_FEWEST. */
static inline double gfx_differences_share(const gfx_differences *d)
{
    double bound = d->own * gfx_room_for_draws(d->count) + d->common * gfx_room_for_draws(d->draws);
    return d->squares > 0 && d->count >= GFX_FEWEST ? sqrt(d->squares / bound) / GFX_ROUNDING : 0;
}

/* Variance of h = silu(g) u, in GFX_ROUNDING^2, from those of g and u. silu's exponent is a product, which is rounded, so
 * that e^-g is off by |g| roundings; that power, the addition, the reciprocal and the product round, and the last one. */
static inline double gfx_swiglu_variance(double g, double of_g, double u, double of_u, double roundings)
{
    double sigmoid = 1 / (1 + exp(-g)), silu = g * sigmoid, slope = sigmoid * (1 + g * (1 - sigmoid));
    return slope * slope * u * u * of_g + silu * silu * of_u + silu * silu * u * u * roundings * (g * g + 6);
}

#define GFX_SAME_MARGIN 1.1
#define GFX_APART 1.4143
#define GFX_SHALLOW_MARGIN 1.03
#define GFX_SHALLOW_APART 0.9
#define GFX_NEAREST 0.1

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
