/* A vector of one lane: the names of kernels/x86/vec.h for algorithms that are written once for any number of lanes and
 * must give the same bits on all of them. Every operation rounds as IEEE says, and v_fma once. */
#ifndef ASHLAR_KERNELS_SCALAR_VEC_H
#define ASHLAR_KERNELS_SCALAR_VEC_H

#include <math.h>
#include <stdint.h>

#define VEC_LANES 1
#define VEC_FN(name) name##_scalar
typedef float vec;

static inline vec v_load(const float *p) { return *p; }
static inline void v_store(float *p, vec x) { *p = x; }
static inline vec v_set(float x) { return x; }
static inline vec v_add(vec a, vec b) { return a + b; }
static inline vec v_sub(vec a, vec b) { return a - b; }
static inline vec v_mul(vec a, vec b) { return a * b; }
static inline vec v_div(vec a, vec b) { return a / b; }
static inline vec v_fma(vec a, vec b, vec c) { return fmaf(a, b, c); }
static inline vec v_max(vec a, vec b) { return a > b ? a : b; } /* b where either is NaN */
static inline vec v_min(vec a, vec b) { return a < b ? a : b; }
static inline vec v_select_less(vec a, vec b, vec yes, vec no) { return a < b ? yes : no; }
static inline vec v_round(vec x) { return rintf(x); }
static inline void v_store_bytes(uint8_t *p, vec x) { *p = (uint8_t)(int)x; }

#endif
