/* Scales for e4m3: the one whose rounding error, saturation included, has the smallest sum of squares.
 *
 * A floating-point code has nearly the same relative error at any scale, so what a scale decides is how much of the
 * largest values to cut and where the steps fall within an octave: candidates from half to twice max / 448 cover both.
 * The choice is the same on any machine and in any order of rows.
 */
#ifndef ASHLAR_QUANT_FP8_H
#define ASHLAR_QUANT_FP8_H

#include <stdint.h>

#include "kernels/kernels.h"

#define ASH_E4M3_MAX 448.0f

/* How often each magnitude occurs, rounded to bf16: all that a scale for a whole tensor needs to know, exact where the
 * source is BF16, and 256 KiB whatever the tensor's size. Zeroed: empty. */
typedef struct ash_fp8_counts {
    uint64_t of[1 << 15];
} ash_fp8_counts;

void ash_fp8_count(ash_fp8_counts *counts, const float *x, int64_t n); /* finite values */
void ash_fp8_counts_add(ash_fp8_counts *to, const ash_fp8_counts *from);
/* A positive scale with a finite reciprocal; 1 where all values are zero. `max`: the largest magnitude. */
float ash_fp8_scale(const ash_fp8_counts *counts, float max);
/* The same for one row, from its values; finite. */
float ash_fp8_row_scale(const ash_kernels *kernels, const float *x, int64_t n);

#endif
