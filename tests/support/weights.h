/* Matrices for kernel tests: random or adversarial source rows of any usable type, packed into guarded tiles. */
#ifndef ASHLAR_TESTS_SUPPORT_WEIGHTS_H
#define ASHLAR_TESTS_SUPPORT_WEIGHTS_H

#include "kernels/kernels.h"
#include "tests/support/guard.h"
#include "tests/support/support.h"

typedef enum weight_kind {
    WEIGHT_RANDOM,  /* every bit of the codes random, scales of a model's size and both signs */
    WEIGHT_ZERO,
    WEIGHT_EXTREME, /* codes all ones or all zeros, scales the largest and the smallest half */
    WEIGHT_RUNS,    /* long runs of equal bytes, scales 1 */
    WEIGHT_NAN,     /* float types: row 1 holds one NaN, the others are random */
    WEIGHT_KINDS
} weight_kind;

typedef struct test_matrix {
    ash_matrix w;
    guard_buffer data, scale;
    float *values;    /* [rows][cols], by ash_decode_row, times scale */
    float *magnitude; /* [rows][cols]: |W|' of kernels.h */
} test_matrix;

/* scale_kind counts for F8_E4M3 alone. */
test_matrix weights_make(ash_dtype dtype, int64_t rows, int64_t cols, weight_kind kind, ash_scale_kind scale_kind,
                         test_rng *rng);
void weights_free(test_matrix *m);

#endif
