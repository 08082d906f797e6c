/* The vectors that tiles_*.h and matmul_*.h are written in, at 512 bits; tiles_vec_avx2.h is the same at 256.
 *
 * A vector holds VB bytes or VR floats: VR rows of a panel, one a lane, or VB / 16 rows with 16 bytes each. Rows in
 * lanes come in sigma order, the one that transposing 4 x 4 words within 16 byte lanes gives without further shuffles:
 * lane 4 i + g of a vector holds row VB / 16 * g + i. Scales take the same way, results are put in order at the end.
 */
#ifndef ASHLAR_KERNELS_X86_TILES_VEC_H
#define ASHLAR_KERNELS_X86_TILES_VEC_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VB 64
#define VR 16
#define ROW_VECTORS 1 /* to a panel */

#define INLINE static inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64))) /* on the stack: no vector crosses a cache line */

typedef __m512i vi;
typedef __m512 vf;

INLINE vi v_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void v_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
INLINE vi v_zero(void) { return _mm512_setzero_si512(); }
INLINE vi v_set8(int c) { return _mm512_set1_epi8((char)c); }
INLINE vi v_set16(int c) { return _mm512_set1_epi16((short)c); }
INLINE vi v_set32(int c) { return _mm512_set1_epi32(c); }
/* 4 bytes to every word, 16 bytes to every 16 byte lane */
INLINE vi v_spread4(const void *p) { int w; memcpy(&w, p, 4); return _mm512_set1_epi32(w); }
INLINE vi v_spread16(const void *p) { return _mm512_broadcast_i32x4(_mm_loadu_si128(p)); }
INLINE vi v_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi v_andnot(vi mask, vi a) { return _mm512_andnot_si512(mask, a); } /* ~mask & a */
INLINE vi v_or(vi a, vi b) { return _mm512_or_si512(a, b); }
INLINE vi v_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
INLINE vi v_add16(vi a, vi b) { return _mm512_add_epi16(a, b); }
INLINE vi v_add32(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi v_sub32(vi a, vi b) { return _mm512_sub_epi32(a, b); }
INLINE vi v_mul16(vi a, vi b) { return _mm512_mullo_epi16(a, b); }
INLINE vi v_mul32(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
INLINE vi v_max8u(vi a, vi b) { return _mm512_max_epu8(a, b); }
INLINE vi v_madd8(vi u, vi s) { return _mm512_maddubs_epi16(u, s); }
INLINE vi v_pack32(vi a, vi b) { return _mm512_packs_epi32(a, b); }     /* 16-bit: per 16 byte lane a's, b's */
INLINE vi v_shuffle8(vi a, vi index) { return _mm512_shuffle_epi8(a, index); }
INLINE vi v_madd16(vi a, vi b) { return _mm512_madd_epi16(a, b); }
#define v_srl32(a, n) _mm512_srli_epi32(a, n)
#define v_sll16(a, n) _mm512_slli_epi16(a, n)
#define v_sll32(a, n) _mm512_slli_epi32(a, n)
#define v_sra32(a, n) _mm512_srai_epi32(a, n)
#define v_sra16(a, n) _mm512_srai_epi16(a, n)
INLINE vi v_unpack_lo8(vi a, vi b) { return _mm512_unpacklo_epi8(a, b); }
INLINE vi v_unpack_hi8(vi a, vi b) { return _mm512_unpackhi_epi8(a, b); }
INLINE vi v_unpack_lo32(vi a, vi b) { return _mm512_unpacklo_epi32(a, b); }
INLINE vi v_unpack_hi32(vi a, vi b) { return _mm512_unpackhi_epi32(a, b); }
INLINE vi v_unpack_lo64(vi a, vi b) { return _mm512_unpacklo_epi64(a, b); }
INLINE vi v_unpack_hi64(vi a, vi b) { return _mm512_unpackhi_epi64(a, b); }
/* (base & mask) | more */
INLINE vi v_and_or(vi base, vi mask, vi more) { return _mm512_ternarylogic_epi32(base, mask, more, 0xea); }

INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
INLINE vf vf_set(float c) { return _mm512_set1_ps(c); }
INLINE vf vf_spread4(const float *p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }   /* a b + c */
INLINE vf vf_fms(vf a, vf b, vf c) { return _mm512_fmsub_ps(a, b, c); }   /* a b - c */
INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a b */
INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); } /* b where one of them is NaN */
INLINE vf vf_magnitude(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
INLINE vf vf_of_ints(vi a) { return _mm512_cvtepi32_ps(a); }
INLINE vf vf_cast(vi a) { return _mm512_castsi512_ps(a); }
INLINE vi v_cast(vf a) { return _mm512_castps_si512(a); }
#define vf_shuffle(a, b, c) _mm512_shuffle_ps(a, b, c)

/* Floats of the halves in the lower 16 bits of each word; of VR halves in a row. */
INLINE vf vf_of_half_words(vi a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
INLINE vf vf_of_halves(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
INLINE vf vf_of_bf16s(const void *p)
{
    return vf_cast(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
/* e4m3 codes, shifted into halves of a 256th of their value, with NaN (0x7f, here 1.875) made NaN again. */
INLINE vi v_fix_f8_nan(vi halves)
{
    __mmask32 nan = _mm512_cmpeq_epi16_mask(v_and(halves, v_set16(0x7fff)), v_set16(0x3f80));
    return _mm512_mask_blend_epi16(nan, halves, v_set16(0x7e00));
}
INLINE int v_any_equal8(vi a, int c) { return _mm512_cmpeq_epi8_mask(a, v_set8(c)) != 0; }
/* The two halves of a vector of 16-bit floats. */
INLINE vf vf_of_lower_halves(vi a) { return _mm512_cvtph_ps(_mm512_castsi512_si256(a)); }
INLINE vf vf_of_upper_halves(vi a) { return _mm512_cvtph_ps(_mm512_extracti64x4_epi64(a, 1)); }

/* Rows in order to sigma order and back: a 4 x 4 transposition, its own inverse. */
INLINE vi v_sigma_index(void) { return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); }
INLINE vi v_to_sigma(vi a) { return _mm512_permutexvar_epi32(v_sigma_index(), a); }
INLINE vf vf_to_sigma(vf a) { return _mm512_permutexvar_ps(v_sigma_index(), a); }
INLINE vf vf_from_sigma(vf a) { return _mm512_permutexvar_ps(v_sigma_index(), a); }
/* Words 0, 2, 4 .. (1, 3, 5 ..) of the VR pairs in a and b, in sigma order. */
INLINE vi v_pairs_to_sigma(vi a, vi b, int odd)
{
    /* word r of the result's rows is word 2 r + odd of a and b together */
    vi index = _mm512_setr_epi32(0, 8, 16, 24, 2, 10, 18, 26, 4, 12, 20, 28, 6, 14, 22, 30);
    return _mm512_permutex2var_epi32(a, _mm512_add_epi32(index, _mm512_set1_epi32(odd)), b);
}

/* VB / 16 words (pairs of words): each to all of its 16 byte lane as w w w w (w0 w0 w1 w1). */
INLINE vi v_lane_words(const void *p)
{
    vi index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_epi32(index, _mm512_castsi128_si512(_mm_loadu_si128(p)));
}
INLINE vi v_lane_pairs(const void *p)
{
    vi index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_epi32(index, _mm512_castsi256_si512(_mm256_loadu_si256(p)));
}
/* From v_lane_words: bit 2 s + j of each byte of word s, as bit 4 on top of `low`. */
INLINE vi v_add_bit4(vi low, vi words, int j)
{
    vi left = j ? _mm512_setr_epi32(3, 1, 31, 29, 3, 1, 31, 29, 3, 1, 31, 29, 3, 1, 31, 29)
                : _mm512_setr_epi32(4, 2, 0, 30, 4, 2, 0, 30, 4, 2, 0, 30, 4, 2, 0, 30);
    return v_and_or(_mm512_rolv_epi32(words, left), v_set8(0x10), low);
}
/* From v_lane_pairs: bits 4 (s & 1) + 2 j and the next of each byte of word s, as bits 4 and 5. */
INLINE vi v_add_bits45(vi low, vi words, int j)
{
    vi left = j ? _mm512_setr_epi32(2, 30, 2, 30, 2, 30, 2, 30, 2, 30, 2, 30, 2, 30, 2, 30)
                : _mm512_setr_epi32(4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0);
    return v_and_or(_mm512_rolv_epi32(words, left), v_set8(0x30), low);
}

/* sum over 4 bytes of q x, both signed, |q| <= 128, |x| <= 127: a pair is at most 2 * 128 * 127 = 32512. */
INLINE vi v_dot_signed(vi q, vi x)
{
    vi turned = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(q), v_zero(), x);
    return v_madd16(v_madd8(_mm512_abs_epi8(q), turned), v_set16(1));
}

/* 8 columns of activations for a vector of 2 rows x 8 columns. */
INLINE vf vf_spread_cols(const float *p) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(p)); }
/* s[0] for the first of those rows, s[1] for the second. */
INLINE vf vf_row_scales(const float *s)
{
    return _mm512_insertf32x8(_mm512_set1_ps(s[0]), _mm256_set1_ps(s[1]), 1);
}
#define FLOAT_ROWS 2 /* rows of such a vector */
/* 16 byte lanes 0 and 2 (1 and 3) of a, then of b. */
INLINE vf vf_even_lanes(vf a, vf b) { return _mm512_shuffle_f32x4(a, b, 0x88); }
INLINE vf vf_odd_lanes(vf a, vf b) { return _mm512_shuffle_f32x4(a, b, 0xdd); }

#ifdef __AVX512VNNI__
#define HAVE_DPBUSD 1
INLINE vi v_dpbusd(vi sum, vi u, vi s) { return _mm512_dpbusd_epi32(sum, u, s); }
INLINE vi v_dpwssd(vi sum, vi a, vi b) { return _mm512_dpwssd_epi32(sum, a, b); } /* pairs of 16 bits */
#endif

#endif
