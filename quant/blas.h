/* The dense algebra that calibration and the directions of an importance matrix need, from OpenBLAS. It is loaded when
 * one of them begins, so that no other verb pays for its size and its threads, and runs on the calling thread alone:
 * callers divide the work in pieces of fixed shape, so that results do not depend on how many threads take them. Matrices
 * are row-major. */
#ifndef ASHLAR_QUANT_BLAS_H
#define ASHLAR_QUANT_BLAS_H

#include <stdint.h>

#include "format/status.h"

typedef struct ash_blas ash_blas;

/* ASH_E_UNSUPPORTED with the package's name where it is not installed. Loaded once; never freed. */
ash_status ash_blas_load(const ash_blas **out, ash_error *err);

/* c[m x n] += a[k x m]^T b[k x n]. */
void ash_blas_gram(const ash_blas *blas, int64_t m, int64_t n, int64_t k, const float *a, int64_t a_stride,
                   const float *b, int64_t b_stride, float *c, int64_t c_stride);
/* c[m x n] += alpha a[m x k] b[k x n]. */
void ash_blas_multiply(const ash_blas *blas, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                       int64_t a_stride, const float *b, int64_t b_stride, float *c, int64_t c_stride);
/* c[m x m] = a[m x k] a^T. */
void ash_blas_outer(const ash_blas *blas, int64_t m, int64_t k, const float *a, int64_t a_stride, float *c);
/* c[m x n] = a[m x k] b[k x n], in double. */
void ash_blas_multiply_f64(const ash_blas *blas, int64_t m, int64_t n, int64_t k, const double *a, int64_t a_stride,
                           const double *b, int64_t b_stride, double *c, int64_t c_stride);
/* a[n x n] = U^T U: U into the upper triangle; reads the upper triangle alone. 0, or nonzero when a is not positive
 * definite. */
int ash_blas_cholesky(const ash_blas *blas, int64_t n, double *a);
/* The inverse of U^T U into the upper triangle that holds U. 0, or nonzero. */
int ash_blas_invert(const ash_blas *blas, int64_t n, double *a);
/* Rows of a become its eigenvectors, unit length, eigenvalues ascending; reads the upper triangle alone. 0, or
 * nonzero. */
int ash_blas_eigen(const ash_blas *blas, int64_t n, double *a);

#endif
