/* A vector of one lane: the names of kernels/x86/vec.h for algorithms that are written once for any number of lanes and
 * must give the same bits on all of them. Every operation rounds as IEEE says, and v_fma once. */
#ifndef ASHLAR_KERNELS_SCALAR_VEC_H
#define ASHLAR_KERNELS_SCALAR_VEC_H

#include <math.h>
#include <stdint.h>

#include "format/halffloat.h"

#define VEC_LANES 1
#define VEC_FN(name) name##_scalar
typedef float vec;
typedef uint32_t veci;

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
static inline vec v_trunc(vec x) { return truncf(x); }
static inline void v_store_bytes(uint8_t *p, vec x) { *p = (uint8_t)(int)x; }
static inline void vi_store_bytes(uint8_t *p, veci x) { *p = (uint8_t)x; }
static inline vec v_load_half(const uint16_t *p) { return ash_f16_to_f32(*p); }
static inline vec v_load_bf16(const uint16_t *p) { return ash_bf16_to_f32(*p); }
static inline float v_hmax(vec x) { return x; }
static inline veci v_bits(vec x) { return ash_f32_bits(x); }
static inline vec v_of_bits(veci x) { return ash_f32_of_bits(x); }
static inline veci vi_set(uint32_t x) { return x; }
static inline veci vi_add(veci a, veci b) { return a + b; }
static inline veci vi_and(veci a, veci b) { return a & b; }
static inline veci vi_or(veci a, veci b) { return a | b; }
static inline veci vi_min(veci a, veci b) { return a < b ? a : b; }
static inline veci vi_shift_right(veci a, int bits) { return a >> bits; }
/* a > b ? yes : no, signed */
static inline veci vi_select_greater(veci a, veci b, veci yes, veci no) { return (int32_t)a > (int32_t)b ? yes : no; }

#endif
