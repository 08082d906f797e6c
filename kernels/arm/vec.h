/* The vector of kernels/x86/vec.h and vec_rows.h in NEON, 4 lanes: the same names, with the same results. Arithmetic
 * rounds to nearest and keeps denormals, as every thread starts. */
#ifndef ASHLAR_KERNELS_ARM_VEC_H
#define ASHLAR_KERNELS_ARM_VEC_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define VEC_LANES 4
#define VEC_FN(name) name##_neon
typedef float32x4_t vec;
typedef uint32x4_t veci;

static inline vec v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vec x) { vst1q_f32(p, x); }
static inline vec v_set(float x) { return vdupq_n_f32(x); }
static inline vec v_of_int8(int8x8_t x) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(x)))); }
static inline vec v_load_int8(const int8_t *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return v_of_int8(vreinterpret_s8_u32(vdup_n_u32(four)));
}
static inline veci vi_load(const int32_t *p) { return vreinterpretq_u32_s32(vld1q_s32(p)); }
static inline veci vi_set(uint32_t x) { return vdupq_n_u32(x); }
static inline vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
static inline vec v_sub(vec a, vec b) { return vsubq_f32(a, b); }
static inline vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
static inline vec v_div(vec a, vec b) { return vdivq_f32(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
/* Not vmaxq_f32, which is NaN where either is. */
static inline vec v_max(vec a, vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); } /* b where either is NaN */
static inline vec v_min(vec a, vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); } /* likewise */
/* a < b ? yes : no */
static inline vec v_select_less(vec a, vec b, vec yes, vec no) { return vbslq_f32(vcltq_f32(a, b), yes, no); }
/* The lanes' low bytes; they are at most 255. */
static inline void vi_store_bytes(uint8_t *p, veci x)
{
    uint16x4_t words = vmovn_u32(x);
    uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
    memcpy(p, &four, 4);
}
/* The lanes, integers from 0 to 255, as bytes. */
static inline void v_store_bytes(uint8_t *p, vec x) { vi_store_bytes(p, vcvtnq_u32_f32(x)); }
static inline vec v_trunc(vec x) { return vrndq_f32(x); }
static inline vec v_round(vec x) { return vrndnq_f32(x); }
static inline vec v_load_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline veci v_bits(vec x) { return vreinterpretq_u32_f32(x); }
static inline vec v_of_bits(veci x) { return vreinterpretq_f32_u32(x); }
static inline veci vi_add(veci a, veci b) { return vaddq_u32(a, b); }
static inline veci vi_and(veci a, veci b) { return vandq_u32(a, b); }
static inline veci vi_or(veci a, veci b) { return vorrq_u32(a, b); }
static inline veci vi_max(veci a, veci b) { return vmaxq_u32(a, b); }
static inline veci vi_min(veci a, veci b) { return vminq_u32(a, b); }
static inline veci vi_shift_right(veci a, int bits) { return vshlq_u32(a, vdupq_n_s32(-bits)); }
/* a > b ? yes : no, signed */
static inline veci vi_select_greater(veci a, veci b, veci yes, veci no)
{
    return vbslq_u32(vcgtq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)), yes, no);
}
static inline float v_hmax(vec x) { return vmaxvq_f32(x); }
static inline float v_hsum(vec x) { return vaddvq_f32(x); }
static inline uint32_t vi_hmax(veci x) { return vmaxvq_u32(x); }
static inline vec v_load_half(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline void v_store_half(uint16_t *p, vec x) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x))); }
/* sum + x^2, in double */
typedef struct { float64x2_t low, high; } vec_double;
static inline vec_double v_double_zero(void) { return (vec_double){ vdupq_n_f64(0), vdupq_n_f64(0) }; }
static inline vec_double v_add_square(vec_double sum, vec x)
{
    float64x2_t low = vcvt_f64_f32(vget_low_f32(x)), high = vcvt_high_f64_f32(x);
    return (vec_double){ vfmaq_f64(sum.low, low, low), vfmaq_f64(sum.high, high, high) };
}
static inline double v_hsum_double(vec_double s) { return vaddvq_f64(vaddq_f64(s.low, s.high)); }
/* Even lanes a - b, odd lanes a + b. */
static inline vec v_sub_add(vec a, vec b)
{
    veci signs = { 0x80000000, 0, 0x80000000, 0 };
    return vaddq_f32(a, v_of_bits(veorq_u32(v_bits(b), signs)));
}
static inline vec v_swap_pairs(vec x) { return vrev64q_f32(x); }
static inline vec v_evens_twice(vec x) { return vtrn1q_f32(x, x); }
static inline vec v_odds_twice(vec x) { return vtrn2q_f32(x, x); }
/* 16 floats times `inverse`, rounded, to bytes at q; returns their sum. |product| is at most 127 and a rounding. */
static inline int16_t v_quantize16(const float *x, vec inverse, int8_t *q)
{
    int32x4_t a = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x), inverse));
    int32x4_t b = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 4), inverse));
    int32x4_t c = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 8), inverse));
    int32x4_t d = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 12), inverse));
    int16x8_t low = vcombine_s16(vmovn_s32(a), vmovn_s32(b)), high = vcombine_s16(vmovn_s32(c), vmovn_s32(d));
    vst1q_s8(q, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    return vaddvq_s16(vaddq_s16(low, high));
}
/* p * 2^n for integers n from -252 to 127: two factors, since 2^n itself may be denormal. p from 0.5 to 2 keeps the
 * first product normal, so only the second rounds. */
static inline vec v_power(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }
static inline vec v_scale_by_power(vec p, vec n)
{
    int32x4_t i = vcvtnq_s32_f32(n), half = vshrq_n_s32(i, 1);
    return vmulq_f32(vmulq_f32(p, v_power(half)), v_power(vsubq_s32(i, half)));
}

/* ---- for attention_rows.h ---- */

static inline float float_of_half(uint16_t h) { return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0); }

/* 4 codes of finite values, each times 2^-8: see attention_rows.h. */
static inline vec load_e4m3(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    int16x4_t wide = vshl_n_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)))), 7);
    uint16x4_t half = vand_u16(vreinterpret_u16_s16(wide), vdup_n_u16(0xbfff)); /* the sign's copy below it */
    return vcvt_f32_f16(vreinterpret_f16_u16(half));
}

static inline vec v_low_halves(vec a, vec b) { return vcombine_f32(vget_low_f32(a), vget_low_f32(b)); }
static inline vec v_high_halves(vec a, vec b) { return vcombine_f32(vget_high_f32(a), vget_high_f32(b)); }

/* out[i * stride + row] = lane i of x[row]. */
static inline __attribute__((always_inline)) void store_transposed(const vec *x, float *out, int64_t stride)
{
    vec a = vtrn1q_f32(x[0], x[1]), b = vtrn2q_f32(x[0], x[1]);
    vec c = vtrn1q_f32(x[2], x[3]), d = vtrn2q_f32(x[2], x[3]);
    v_store(out, v_low_halves(a, c));
    v_store(out + stride, v_low_halves(b, d));
    v_store(out + 2 * stride, v_high_halves(a, c));
    v_store(out + 3 * stride, v_high_halves(b, d));
}

/* Sums of the lanes of two vectors, [a, b, a, b]; of two such pairs, one a lane. */
static inline vec fold_pair(vec a, vec b) { return vaddq_f32(vzip1q_f32(a, b), vzip2q_f32(a, b)); }
static inline vec fold_quad(vec ab, vec cd) { return vaddq_f32(v_low_halves(ab, cd), v_high_halves(ab, cd)); }

#include "kernels/vec_exp.h"

#endif
