/* One vector of floats, 16 lanes where the file is compiled for AVX-512 and 8 otherwise, so that an algorithm is
 * written once for both; kernels/arm/vec.h has the same names. Only files with such flags include this. */
#ifndef ASHLAR_KERNELS_X86_VEC_H
#define ASHLAR_KERNELS_X86_VEC_H

#include <immintrin.h>
#include <stdint.h>

#if defined(__AVX512F__)

#define VEC_LANES 16
#define VEC_FN(name) name##_avx512
typedef __m512 vec;
typedef __m512i veci;

static inline vec v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vec x) { _mm512_storeu_ps(p, x); }
static inline vec v_set(float x) { return _mm512_set1_ps(x); }
static inline vec v_load_int8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
static inline veci vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline veci vi_set(uint32_t x) { return _mm512_set1_epi32((int)x); }
static inline vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); } /* b where either is NaN */
static inline vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); } /* likewise */
/* a < b ? yes : no */
static inline vec v_select_less(vec a, vec b, vec yes, vec no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
/* The lanes, integers from 0 to 255, as bytes. */
static inline void v_store_bytes(uint8_t *p, vec x)
{
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
/* The lanes' low bytes; they are at most 255. */
static inline void vi_store_bytes(uint8_t *p, veci x) { _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(x)); }
static inline vec v_trunc(vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
static inline vec v_load_bf16(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline veci v_bits(vec x) { return _mm512_castps_si512(x); }
static inline vec v_of_bits(veci x) { return _mm512_castsi512_ps(x); }
static inline veci vi_add(veci a, veci b) { return _mm512_add_epi32(a, b); }
static inline veci vi_and(veci a, veci b) { return _mm512_and_si512(a, b); }
static inline veci vi_or(veci a, veci b) { return _mm512_or_si512(a, b); }
static inline veci vi_max(veci a, veci b) { return _mm512_max_epu32(a, b); }
static inline veci vi_min(veci a, veci b) { return _mm512_min_epu32(a, b); }
static inline veci vi_shift_right(veci a, int bits) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits)); }
/* a > b ? yes : no, signed */
static inline veci vi_select_greater(veci a, veci b, veci yes, veci no)
{
    return _mm512_mask_blend_epi32(_mm512_cmpgt_epi32_mask(a, b), no, yes);
}
static inline float v_hmax(vec x) { return _mm512_reduce_max_ps(x); }
static inline float v_hsum(vec x) { return _mm512_reduce_add_ps(x); }
static inline uint32_t vi_hmax(veci x) { return _mm512_reduce_max_epu32(x); }
static inline vec v_load_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
static inline void v_store_half(uint16_t *p, vec x)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* sum + x^2, in double */
typedef struct { __m512d low, high; } vec_double;
static inline vec_double v_double_zero(void) { return (vec_double){ _mm512_setzero_pd(), _mm512_setzero_pd() }; }
static inline vec_double v_add_square(vec_double sum, vec x)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return (vec_double){ _mm512_fmadd_pd(low, low, sum.low), _mm512_fmadd_pd(high, high, sum.high) };
}
static inline double v_hsum_double(vec_double s) { return _mm512_reduce_add_pd(_mm512_add_pd(s.low, s.high)); }
/* Even lanes a - b, odd lanes a + b. */
static inline vec v_sub_add(vec a, vec b) { return _mm512_mask_sub_ps(_mm512_add_ps(a, b), 0x5555, a, b); }
static inline vec v_swap_pairs(vec x) { return _mm512_permute_ps(x, 0xb1); }
static inline vec v_evens_twice(vec x) { return _mm512_moveldup_ps(x); }
static inline vec v_odds_twice(vec x) { return _mm512_movehdup_ps(x); }
static inline vec v_round(vec x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* 16 floats times `inverse`, rounded, to bytes at q; returns their sum. |product| is at most 127 and a rounding. */
static inline int16_t v_quantize16(const float *x, vec inverse, int8_t *q)
{
    __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
    _mm_storeu_si128((void *)q, _mm512_cvtepi32_epi8(code));
    return (int16_t)_mm512_reduce_add_epi32(code);
}
/* p * 2^n for integers n from -252 to 127, rounded once where the result is denormal */
static inline vec v_scale_by_power(vec p, vec n) { return _mm512_scalef_ps(p, n); }

#else

#define VEC_LANES 8
#define VEC_FN(name) name##_avx2
typedef __m256 vec;
typedef __m256i veci;

static inline vec v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vec x) { _mm256_storeu_ps(p, x); }
static inline vec v_set(float x) { return _mm256_set1_ps(x); }
static inline vec v_load_int8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}
static inline veci vi_load(const int32_t *p) { return _mm256_loadu_si256((const void *)p); }
static inline veci vi_set(uint32_t x) { return _mm256_set1_epi32((int)x); }
static inline vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); } /* b where either is NaN */
static inline vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); } /* likewise */
/* a < b ? yes : no */
static inline vec v_select_less(vec a, vec b, vec yes, vec no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
/* The lanes, integers from 0 to 255, as bytes. */
static inline void v_store_bytes(uint8_t *p, vec x)
{
    __m256i i = _mm256_cvtps_epi32(x);
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((void *)p, _mm_packus_epi16(words, words));
}
/* The lanes' low bytes; they are at most 255. */
static inline void vi_store_bytes(uint8_t *p, veci x)
{
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64((void *)p, _mm_packus_epi16(words, words));
}
static inline vec v_trunc(vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
static inline vec v_load_bf16(const uint16_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline veci v_bits(vec x) { return _mm256_castps_si256(x); }
static inline vec v_of_bits(veci x) { return _mm256_castsi256_ps(x); }
static inline veci vi_add(veci a, veci b) { return _mm256_add_epi32(a, b); }
static inline veci vi_and(veci a, veci b) { return _mm256_and_si256(a, b); }
static inline veci vi_or(veci a, veci b) { return _mm256_or_si256(a, b); }
static inline veci vi_max(veci a, veci b) { return _mm256_max_epu32(a, b); }
static inline veci vi_min(veci a, veci b) { return _mm256_min_epu32(a, b); }
static inline veci vi_shift_right(veci a, int bits) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(bits)); }
/* a > b ? yes : no, signed */
static inline veci vi_select_greater(veci a, veci b, veci yes, veci no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi32(a, b));
}
static inline float v_hmax(vec x)
{
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}
static inline float v_hsum(vec x)
{
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
static inline uint32_t vi_hmax(veci x)
{
    __m128i a = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    a = _mm_max_epu32(a, _mm_shuffle_epi32(a, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(a, _mm_shuffle_epi32(a, 0xb1)));
}
static inline vec v_load_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p)); }
static inline void v_store_half(uint16_t *p, vec x)
{
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* sum + x^2, in double */
typedef struct { __m256d low, high; } vec_double;
static inline vec_double v_double_zero(void) { return (vec_double){ _mm256_setzero_pd(), _mm256_setzero_pd() }; }
static inline vec_double v_add_square(vec_double sum, vec x)
{
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    return (vec_double){ _mm256_fmadd_pd(low, low, sum.low), _mm256_fmadd_pd(high, high, sum.high) };
}
static inline double v_hsum_double(vec_double s)
{
    __m256d both = _mm256_add_pd(s.low, s.high);
    __m128d a = _mm_add_pd(_mm256_castpd256_pd128(both), _mm256_extractf128_pd(both, 1));
    return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a)));
}
/* Even lanes a - b, odd lanes a + b. */
static inline vec v_sub_add(vec a, vec b) { return _mm256_addsub_ps(a, b); }
static inline vec v_swap_pairs(vec x) { return _mm256_permute_ps(x, 0xb1); }
static inline vec v_evens_twice(vec x) { return _mm256_moveldup_ps(x); }
static inline vec v_odds_twice(vec x) { return _mm256_movehdup_ps(x); }
static inline vec v_round(vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* 16 floats times `inverse`, rounded, to bytes at q; returns their sum. |product| is at most 127 and a rounding. */
static inline int16_t v_quantize16(const float *x, vec inverse, int8_t *q)
{
    __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
    __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), inverse));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    __m128i first = _mm256_castsi256_si128(words), second = _mm256_extracti128_si256(words, 1);
    _mm_storeu_si128((void *)q, _mm_packs_epi16(first, second));
    __m128i sum = _mm_madd_epi16(_mm_add_epi16(first, second), _mm_set1_epi16(1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return (int16_t)_mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}
/* p * 2^n for integers n from -252 to 127: two factors, since 2^n itself may be denormal. p from 0.5 to 2 keeps the
 * first product normal, so only the second rounds. */
static inline vec v_scale_by_power(vec p, vec n)
{
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), rest = _mm256_sub_epi32(i, half);
    __m256i bias = _mm256_set1_epi32(127);
    vec first = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(first, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}

#endif

#include "kernels/vec_exp.h"

#endif
