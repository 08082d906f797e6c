/* What attention_rows.h wants of vec.h's vectors besides: elements of F8_E4M3, a transposition, and sums of lanes. */
#ifndef ASHLAR_KERNELS_X86_VEC_ROWS_H
#define ASHLAR_KERNELS_X86_VEC_ROWS_H

#include "kernels/x86/vec.h"

static inline float float_of_half(uint16_t h) { return _cvtsh_ss(h); }

/* VEC_LANES codes of finite values, each times 2^-8: see attention_rows.h. */
static inline vec load_e4m3(const uint8_t *p)
{
#if VEC_LANES == 16
    __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)p)), 7);
    return _mm512_cvtph_ps(_mm256_and_si256(wide, _mm256_set1_epi16((short)0xbfff))); /* the sign's copy below it */
#else
    __m128i wide = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)p)), 7);
    return _mm256_cvtph_ps(_mm_and_si128(wide, _mm_set1_epi16((short)0xbfff)));
#endif
}

/* out[i * stride + row] = lane i of x[row]. */
static inline __attribute__((always_inline)) void store_transposed(vec *x, float *out, int64_t stride)
{
#if VEC_LANES == 16
    __m512 y[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) { /* pairs of rows */
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { /* x[i + c]: in each 128-bit lane b, element 4 b + c of rows i .. i + 3 */
        x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
        x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
        x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
        x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* a 4 x 4 transpose of 128-bit lanes */
        __m512 low01 = _mm512_shuffle_f32x4(x[c], x[c + 4], 0x44), high01 = _mm512_shuffle_f32x4(x[c], x[c + 4], 0xee);
        __m512 low23 = _mm512_shuffle_f32x4(x[c + 8], x[c + 12], 0x44);
        __m512 high23 = _mm512_shuffle_f32x4(x[c + 8], x[c + 12], 0xee);
        v_store(out + c * stride, _mm512_shuffle_f32x4(low01, low23, 0x88));
        v_store(out + (4 + c) * stride, _mm512_shuffle_f32x4(low01, low23, 0xdd));
        v_store(out + (8 + c) * stride, _mm512_shuffle_f32x4(high01, high23, 0x88));
        v_store(out + (12 + c) * stride, _mm512_shuffle_f32x4(high01, high23, 0xdd));
    }
#else
    __m256 y[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        v_store(out + c * stride, _mm256_permute2f128_ps(x[c], x[c + 4], 0x20));
        v_store(out + (4 + c) * stride, _mm256_permute2f128_ps(x[c], x[c + 4], 0x31));
    }
#endif
}

/* Sums of vectors' lanes, in three steps of which each halves what is left: pairs of vectors to [a, b, a, b] in each
 * 128-bit lane, pairs of those to [a, b, c, d], and those to one sum a lane. */
static inline vec fold_pair(vec a, vec b)
{
#if VEC_LANES == 16
    return v_add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
#else
    return v_add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
#endif
}

static inline vec fold_quad(vec ab, vec cd)
{
#if VEC_LANES == 16
    __m512d a = _mm512_castps_pd(ab), c = _mm512_castps_pd(cd);
    return v_add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, c)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, c)));
#else
    return v_add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
#endif
}

static inline vec fold_lanes(const vec *quad)
{
#if VEC_LANES == 16
    vec low = v_add(_mm512_shuffle_f32x4(quad[0], quad[1], 0x88), _mm512_shuffle_f32x4(quad[0], quad[1], 0xdd));
    vec high = v_add(_mm512_shuffle_f32x4(quad[2], quad[3], 0x88), _mm512_shuffle_f32x4(quad[2], quad[3], 0xdd));
    return v_add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
#else
    return v_add(_mm256_permute2f128_ps(quad[0], quad[1], 0x20), _mm256_permute2f128_ps(quad[0], quad[1], 0x31));
#endif
}

#endif
