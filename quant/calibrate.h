/* Quantization with error feedback: a matrix's columns are rounded in order, and the error of each is made up for by
 * the columns that are not rounded yet (the GPTQ family), so that outputs on the calibration's inputs stay near the float
 * model's. The result is ordinary blocks of a K type, or ordinary FP8.
 *
 *   1. W* = W + W shift: also makes up for what the inputs have lost in layers quantized before.
 *   2. When a block of 256 columns begins, its scales are chosen for the weights as they are by then, errors weighted
 *      by 1 / U[j][j]^2; d and dmin stay. When a sub-block begins, its scale and minimum and their neighbours are tried
 *      with the feedback inside the sub-block, and the best stay.
 *   3. For each column the nearest code; its error, divided by U[j][j], times row j of U comes off the later columns.
 *   4. When a block of a K type ends, coordinate descent (quant/descent.h) changes its scales and codes together, which
 *      takes another 9% off the error, and the later columns get the errors of what it settles on.
 * FP8 has steps 1 and 3: its scale is the matrix's, or the row's in W*.
 */
#ifndef ASHLAR_QUANT_CALIBRATE_H
#define ASHLAR_QUANT_CALIBRATE_H

#include "kernels/kernels.h"
#include "quant/hessian.h"

/* One row of the float weights. */
typedef void ash_weights_fn(void *context, int64_t row, float *out);

typedef struct ash_calibrate_matrix {
    ash_dtype dtype; /* Q4_K, Q5_K, Q6_K or F8_E4M3 */
    int64_t rows;    /* of h->cols columns */
    ash_weights_fn *weights; /* called by several threads */
    void *context;
    uint8_t *out;    /* rows * ash_row_bytes(dtype, cols) */
    float *scales;   /* F8_E4M3 alone: `rows` of them, or one, chosen here as quant/fp8.h does */
    bool scale_by_row;
} ash_calibrate_matrix;

bool ash_calibratable(uint32_t dtype);

/* `h` is solved. The same bytes on any number of threads. */
ash_status ash_calibrate(const ash_kernels *kernels, const ash_blas *blas, const ash_hessian *h,
                         const ash_calibrate_matrix *m, uint32_t threads, ash_error *err);

#endif
