/* The vectors of tiles_vec_avx512.h at 256 bits: see there. A panel is two row vectors. */
#ifndef ASHLAR_KERNELS_X86_TILES_VEC_H
#define ASHLAR_KERNELS_X86_TILES_VEC_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VB 32
#define VR 8
#define ROW_VECTORS 2

#define INLINE static inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))

typedef __m256i vi;
typedef __m256 vf;

INLINE vi v_load(const void *p) { return _mm256_loadu_si256(p); }
INLINE void v_store(void *p, vi a) { _mm256_storeu_si256(p, a); }
INLINE vi v_zero(void) { return _mm256_setzero_si256(); }
INLINE vi v_set8(int c) { return _mm256_set1_epi8((char)c); }
INLINE vi v_set16(int c) { return _mm256_set1_epi16((short)c); }
INLINE vi v_set32(int c) { return _mm256_set1_epi32(c); }
INLINE vi v_spread4(const void *p) { int w; memcpy(&w, p, 4); return _mm256_set1_epi32(w); }
INLINE vi v_spread16(const void *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(p)); }
INLINE vi v_and(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi v_andnot(vi mask, vi a) { return _mm256_andnot_si256(mask, a); } /* ~mask & a */
INLINE vi v_or(vi a, vi b) { return _mm256_or_si256(a, b); }
INLINE vi v_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
INLINE vi v_add16(vi a, vi b) { return _mm256_add_epi16(a, b); }
INLINE vi v_add32(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi v_sub32(vi a, vi b) { return _mm256_sub_epi32(a, b); }
INLINE vi v_mul16(vi a, vi b) { return _mm256_mullo_epi16(a, b); }
INLINE vi v_mul32(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
INLINE vi v_max8u(vi a, vi b) { return _mm256_max_epu8(a, b); }
INLINE vi v_madd8(vi u, vi s) { return _mm256_maddubs_epi16(u, s); }
INLINE vi v_madd16(vi a, vi b) { return _mm256_madd_epi16(a, b); }
#define v_srl32(a, n) _mm256_srli_epi32(a, n)
#define v_sll32(a, n) _mm256_slli_epi32(a, n)
#define v_sra32(a, n) _mm256_srai_epi32(a, n)
#define v_sra16(a, n) _mm256_srai_epi16(a, n)
INLINE vi v_shuffle8(vi a, vi index) { return _mm256_shuffle_epi8(a, index); }
INLINE vi v_unpack_lo8(vi a, vi b) { return _mm256_unpacklo_epi8(a, b); }
INLINE vi v_unpack_hi8(vi a, vi b) { return _mm256_unpackhi_epi8(a, b); }
INLINE vi v_unpack_lo32(vi a, vi b) { return _mm256_unpacklo_epi32(a, b); }
INLINE vi v_unpack_hi32(vi a, vi b) { return _mm256_unpackhi_epi32(a, b); }
INLINE vi v_unpack_lo64(vi a, vi b) { return _mm256_unpacklo_epi64(a, b); }
INLINE vi v_unpack_hi64(vi a, vi b) { return _mm256_unpackhi_epi64(a, b); }
INLINE vi v_and_or(vi base, vi mask, vi more) { return v_or(v_and(base, mask), more); }

/* a, in a register at this place: keeps a compiler from gathering the terms of many sums first, for which there are not
 * enough registers. */
INLINE vi v_keep(vi a) { __asm__("" : "+x"(a)); return a; }

INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
INLINE vf vf_set(float c) { return _mm256_set1_ps(c); }
INLINE vf vf_spread4(const float *p) { return _mm256_broadcast_ps((const __m128 *)(const void *)p); }
INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf vf_fms(vf a, vf b, vf c) { return _mm256_fmsub_ps(a, b, c); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); } /* b where one of them is NaN */
INLINE vf vf_magnitude(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE vf vf_of_ints(vi a) { return _mm256_cvtepi32_ps(a); }
INLINE vf vf_cast(vi a) { return _mm256_castsi256_ps(a); }
INLINE vi v_cast(vf a) { return _mm256_castps_si256(a); }
#define vf_shuffle(a, b, c) _mm256_shuffle_ps(a, b, c)

INLINE vf vf_of_half_words(vi a)
{
    a = v_and(a, v_set32(0xffff));
    a = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, a), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(a));
}
INLINE vf vf_of_halves(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
INLINE vf vf_of_bf16s(const void *p)
{
    return vf_cast(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
INLINE vi v_fix_f8_nan(vi halves)
{
    vi nan = _mm256_cmpeq_epi16(v_and(halves, v_set16(0x7fff)), v_set16(0x3f80));
    return v_and_or(nan, v_set16(0x7e00), halves);
}
INLINE int v_any_equal8(vi a, int c) { return _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, v_set8(c))) != 0; }
INLINE vf vf_of_lower_halves(vi a) { return _mm256_cvtph_ps(_mm256_castsi256_si128(a)); }
INLINE vf vf_of_upper_halves(vi a) { return _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)); }

/* lane 4 i + g holds row 2 g + i */
INLINE vi v_to_sigma(vi a) { return _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7)); }
INLINE vf vf_to_sigma(vf a) { return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7)); }
INLINE vf vf_from_sigma(vf a) { return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); }
INLINE vi v_pairs_to_sigma(vi a, vi b, int odd)
{
    /* rows 0 1 4 5 | 2 3 6 7 after the shuffle */
    vf rows = odd ? vf_shuffle(vf_cast(a), vf_cast(b), 0xdd) : vf_shuffle(vf_cast(a), vf_cast(b), 0x88);
    return v_cast(_mm256_permutevar8x32_ps(rows, _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7)));
}

INLINE vi v_lane_words(const void *p)
{
    vi index = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64(p)), index);
}
INLINE vi v_lane_pairs(const void *p)
{
    vi index = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadu_si128(p)), index);
}
INLINE vi v_add_bit4(vi low, vi words, int j)
{
    vi bit = j ? _mm256_setr_epi32(0x02020202, 0x08080808, 0x20202020, (int)0x80808080u,
                                   0x02020202, 0x08080808, 0x20202020, (int)0x80808080u)
               : _mm256_setr_epi32(0x01010101, 0x04040404, 0x10101010, 0x40404040,
                                   0x01010101, 0x04040404, 0x10101010, 0x40404040);
    return v_and_or(_mm256_cmpeq_epi8(v_and(words, bit), bit), v_set8(0x10), low);
}
INLINE vi v_add_bits45(vi low, vi words, int j)
{
    vi moved = _mm256_sllv_epi32(j ? v_srl32(words, 2) : words, _mm256_setr_epi32(4, 0, 4, 0, 4, 0, 4, 0));
    return v_and_or(moved, v_set8(0x30), low);
}

INLINE vi v_dot_signed(vi q, vi x)
{
    return v_madd16(v_madd8(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q)), v_set16(1));
}

/* 8 columns of activations for a vector of 1 row x 8 columns. */
INLINE vf vf_spread_cols(const float *p) { return _mm256_loadu_ps(p); }
INLINE vf vf_row_scales(const float *s) { return _mm256_set1_ps(s[0]); }
#define FLOAT_ROWS 1
INLINE vf vf_even_lanes(vf a, vf b) { return _mm256_permute2f128_ps(a, b, 0x20); }
INLINE vf vf_odd_lanes(vf a, vf b) { return _mm256_permute2f128_ps(a, b, 0x31); }

/* AVX-VNNI's vpdpbusd, or with AVX-512's flags its EVEX twin, which is the same but for the encoding: tests run that on
 * machines without AVX-VNNI. */
#if defined(__AVXVNNI__)
#define DPBUSD256 _mm256_dpbusd_avx_epi32
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define DPBUSD256 _mm256_dpbusd_epi32
#endif
#ifdef DPBUSD256
#define HAVE_DPBUSD 1
INLINE vi v_dpbusd(vi sum, vi u, vi s) { return DPBUSD256(sum, u, s); }
#endif

#endif
