/* The vectors of kernels/x86/tiles_vec_avx512.h at 128 bits, as far as tiles_quant.h and tiles_float.h use them: see there.
 * A panel is four row vectors, and sigma order is the rows' own: one row to a vector of 16 bytes. */
#ifndef ASHLAR_KERNELS_ARM_TILES_VEC_NEON_H
#define ASHLAR_KERNELS_ARM_TILES_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define VB 16
#define VR 4
#define ROW_VECTORS 4

#define INLINE static inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))

typedef uint32x4_t vi;
typedef float32x4_t vf;

/* A vector's words as other elements, and back. */
INLINE uint8x16_t v_u8(vi a) { return vreinterpretq_u8_u32(a); }
INLINE uint16x8_t v_u16(vi a) { return vreinterpretq_u16_u32(a); }
INLINE vi v_of_u8(uint8x16_t a) { return vreinterpretq_u32_u8(a); }
INLINE vi v_of_u16(uint16x8_t a) { return vreinterpretq_u32_u16(a); }

INLINE vi v_load(const void *p) { return v_of_u8(vld1q_u8(p)); }
INLINE void v_store(void *p, vi a) { vst1q_u8(p, v_u8(a)); }
INLINE vi v_zero(void) { return vdupq_n_u32(0); }
INLINE vi v_set8(int c) { return v_of_u8(vdupq_n_u8((uint8_t)c)); }
INLINE vi v_set16(int c) { return v_of_u16(vdupq_n_u16((uint16_t)c)); }
INLINE vi v_set32(int c) { return vdupq_n_u32((uint32_t)c); }
INLINE vi v_and(vi a, vi b) { return vandq_u32(a, b); }
INLINE vi v_or(vi a, vi b) { return vorrq_u32(a, b); }
INLINE vi v_xor(vi a, vi b) { return veorq_u32(a, b); }
INLINE vi v_max8u(vi a, vi b) { return v_of_u8(vmaxq_u8(v_u8(a), v_u8(b))); }
#define v_srl32(a, n) vshrq_n_u32(a, n)
#define v_sll32(a, n) vshlq_n_u32(a, n)
#define v_sra32(a, n) vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(a), n))
#define v_sra16(a, n) vreinterpretq_u32_s16(vshrq_n_s16(vreinterpretq_s16_u32(a), n))
INLINE vi v_unpack_lo8(vi a, vi b) { return v_of_u8(vzip1q_u8(v_u8(a), v_u8(b))); }
INLINE vi v_unpack_hi8(vi a, vi b) { return v_of_u8(vzip2q_u8(v_u8(a), v_u8(b))); }
INLINE vi v_unpack_lo32(vi a, vi b) { return vzip1q_u32(a, b); }
INLINE vi v_unpack_hi32(vi a, vi b) { return vzip2q_u32(a, b); }
INLINE vi v_zip_lo64(uint64x2_t a, uint64x2_t b) { return vreinterpretq_u32_u64(vzip1q_u64(a, b)); }
INLINE vi v_zip_hi64(uint64x2_t a, uint64x2_t b) { return vreinterpretq_u32_u64(vzip2q_u64(a, b)); }
INLINE vi v_unpack_lo64(vi a, vi b) { return v_zip_lo64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)); }
INLINE vi v_unpack_hi64(vi a, vi b) { return v_zip_hi64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)); }
INLINE vi v_and_or(vi base, vi mask, vi more) { return vorrq_u32(vandq_u32(base, mask), more); }

INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
INLINE void vf_store(float *p, vf a) { vst1q_f32(p, a); }
INLINE vf vf_zero(void) { return vdupq_n_f32(0); }
INLINE vf vf_set(float c) { return vdupq_n_f32(c); }
INLINE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }                /* a b + c */
INLINE vf vf_fms(vf a, vf b, vf c) { return vfmaq_f32(vnegq_f32(c), a, b); }     /* a b - c */
INLINE vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }               /* c - a b */
INLINE vf vf_of_ints(vi a) { return vcvtq_f32_s32(vreinterpretq_s32_u32(a)); }
INLINE vf vf_cast(vi a) { return vreinterpretq_f32_u32(a); }
INLINE vi v_cast(vf a) { return vreinterpretq_u32_f32(a); }

INLINE vf vf_of_half4(uint16x4_t a) { return vcvt_f32_f16(vreinterpret_f16_u16(a)); }
INLINE vf vf_of_half_words(vi a) { return vf_of_half4(vmovn_u32(a)); }
INLINE vf vf_of_halves(const void *p) { return vf_of_half4(vreinterpret_u16_u8(vld1_u8(p))); }
INLINE vf vf_of_bf16s(const void *p) { return vf_cast(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16)); }
INLINE vi v_fix_f8_nan(vi halves)
{
    uint16x8_t body = v_u16(v_and(halves, v_set16(0x7fff)));
    return v_of_u16(vbslq_u16(vceqq_u16(body, vdupq_n_u16(0x3f80)), vdupq_n_u16(0x7e00), v_u16(halves)));
}
INLINE int v_any_equal8(vi a, int c) { return vmaxvq_u8(vceqq_u8(v_u8(a), vdupq_n_u8((uint8_t)c))) != 0; }

INLINE vi v_to_sigma(vi a) { return a; }
INLINE vf vf_to_sigma(vf a) { return a; }
INLINE vi v_pairs_to_sigma(vi a, vi b, int odd) { return odd ? vuzp2q_u32(a, b) : vuzp1q_u32(a, b); }

/* For load_unit: bits by shifts, whose negative counts go right. */
INLINE vi v_lane_words(const void *p) { uint32_t w; memcpy(&w, p, 4); return vdupq_n_u32(w); }
INLINE vi v_lane_pairs(const void *p)
{
    uint32x2_t w = vreinterpret_u32_u8(vld1_u8(p));
    return vcombine_u32(vdup_lane_u32(w, 0), vdup_lane_u32(w, 1));
}
INLINE vi v_add_bit4(vi low, vi words, int j)
{
    return v_and_or(vshlq_u32(words, (int32x4_t){ 4 - j, 2 - j, -j, -2 - j }), v_set8(0x10), low);
}
INLINE vi v_add_bits45(vi low, vi words, int j)
{
    return v_and_or(vshlq_u32(words, (int32x4_t){ 4 - 2 * j, -2 * j, 4 - 2 * j, -2 * j }), v_set8(0x30), low);
}

/* For turn_floats: columns 0 to 3 of 4 rows are the one vector, 4 to 7 the other. */
INLINE vf vf_even_lanes(vf a, vf b) { (void)b; return a; }
INLINE vf vf_odd_lanes(vf a, vf b) { (void)a; return b; }

#endif
