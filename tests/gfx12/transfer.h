/* What lanes load and store, between memory and registers: register k of lane l is the k-th dword at the lane's
 * address. Four lanes at a time, their dwords turned as a square, for that is most of what a load costs. All lanes take part. */
#ifndef ASHLAR_TESTS_GFX12_TRANSFER_H
#define ASHLAR_TESTS_GFX12_TRANSFER_H

#ifdef __AVX2__
#include <immintrin.h>
#endif
#include <string.h>

#include "tests/gfx12/machine.h"

typedef uint32_t gfx_quad __attribute__((vector_size(16)));

static inline gfx_quad gfx_quad_at(const void *p)
{
    gfx_quad q;
    memcpy(&q, p, sizeof q);
    return q;
}
static inline void gfx_quad_to(void *p, gfx_quad q) { memcpy(p, &q, sizeof q); }

/* q[n][k] to q[k][n]. */
static inline void gfx_quads_turn(gfx_quad q[4])
{
    gfx_quad a = __builtin_shufflevector(q[0], q[1], 0, 4, 1, 5), b = __builtin_shufflevector(q[2], q[3], 0, 4, 1, 5);
    gfx_quad c = __builtin_shufflevector(q[0], q[1], 2, 6, 3, 7), d = __builtin_shufflevector(q[2], q[3], 2, 6, 3, 7);
    q[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    q[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    q[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    q[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/* Four dwords of each lane, those of the lanes behind each other. */
static inline void gfx_load_row_of_quads(uint32_t (*v)[GFX_LANES], const uint8_t *from)
{
#ifdef __AVX512F__
    /* Dwords 0, then 1, of 8 lanes, 4 of them in each source; 2 and 3 are two further. */
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
    const __m512i third = _mm512_add_epi32(first, _mm512_set1_epi32(2));
    for (int l = 0; l < GFX_LANES; l += 16, from += 256) {
        __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 64), c = _mm512_loadu_si512(from + 128),
                d = _mm512_loadu_si512(from + 192);
        __m512i low01 = _mm512_permutex2var_epi32(a, first, b), high01 = _mm512_permutex2var_epi32(c, first, d);
        __m512i low23 = _mm512_permutex2var_epi32(a, third, b), high23 = _mm512_permutex2var_epi32(c, third, d);
        _mm512_storeu_si512(&v[0][l], _mm512_shuffle_i64x2(low01, high01, 0x44));
        _mm512_storeu_si512(&v[1][l], _mm512_shuffle_i64x2(low01, high01, 0xee));
        _mm512_storeu_si512(&v[2][l], _mm512_shuffle_i64x2(low23, high23, 0x44));
        _mm512_storeu_si512(&v[3][l], _mm512_shuffle_i64x2(low23, high23, 0xee));
    }
#elif defined __AVX2__
    for (int l = 0; l < GFX_LANES; l += 8, from += 128) {
        __m256i q[4]; /* lanes l + n and l + 4 + n */
        for (int n = 0; n < 4; n++)
            q[n] = _mm256_inserti128_si256(
                _mm256_castsi128_si256(_mm_loadu_si128((const __m128i_u *)(const void *)(from + 16 * n))),
                _mm_loadu_si128((const __m128i_u *)(const void *)(from + 64 + 16 * n)), 1);
        __m256i a = _mm256_unpacklo_epi32(q[0], q[1]), b = _mm256_unpacklo_epi32(q[2], q[3]);
        __m256i c = _mm256_unpackhi_epi32(q[0], q[1]), d = _mm256_unpackhi_epi32(q[2], q[3]);
        _mm256_storeu_si256((__m256i_u *)&v[0][l], _mm256_unpacklo_epi64(a, b));
        _mm256_storeu_si256((__m256i_u *)&v[1][l], _mm256_unpackhi_epi64(a, b));
        _mm256_storeu_si256((__m256i_u *)&v[2][l], _mm256_unpacklo_epi64(c, d));
        _mm256_storeu_si256((__m256i_u *)&v[3][l], _mm256_unpackhi_epi64(c, d));
    }
#else
    for (int l = 0; l < GFX_LANES; l++)
        for (int k = 0; k < 4; k++)
            memcpy(&v[k][l], from + 16 * l + 4 * k, 4);
#endif
}

/* Whether what lanes reach, `bytes` each, lies one behind the other. */
static inline bool gfx_in_a_row(const uint64_t at[GFX_LANES], unsigned bytes)
{
    uint64_t apart = 0;
    for (int l = 0; l < GFX_LANES; l++)
        apart |= at[l] ^ (at[0] + bytes * (uint64_t)l);
    return apart == 0;
}

static inline void gfx_load_row(uint32_t (*v)[GFX_LANES], unsigned dwords, const uint8_t *from)
{
    if (dwords == 4)
        gfx_load_row_of_quads(v, from);
    else if (dwords == 1)
        memcpy(v[0], from, sizeof v[0]);
    else
        for (unsigned k = 0; k < dwords; k++)
            for (unsigned l = 0; l < GFX_LANES; l++)
                memcpy(&v[k][l], from + 4 * (dwords * l + k), 4);
}

static inline void gfx_load_lanes(uint32_t (*v)[GFX_LANES], unsigned dwords, const uint64_t at[GFX_LANES])
{
    unsigned k = 0;
    if (gfx_in_a_row(at, 4 * dwords)) {
        gfx_load_row(v, dwords, (const uint8_t *)(uintptr_t)at[0]);
        return;
    }
    for (; k + 4 <= dwords; k += 4)
        for (int l = 0; l < GFX_LANES; l += 4) {
            gfx_quad q[4];
            for (int n = 0; n < 4; n++)
                q[n] = gfx_quad_at((const uint8_t *)(uintptr_t)at[l + n] + 4 * k);
            gfx_quads_turn(q);
            for (int n = 0; n < 4; n++)
                gfx_quad_to(&v[k + (unsigned)n][l], q[n]);
        }
    for (; k < dwords; k++)
        for (int l = 0; l < GFX_LANES; l++)
            memcpy(&v[k][l], (const uint8_t *)(uintptr_t)at[l] + 4 * k, 4);
}

/* Lanes in ascending order: where two store to one place, the last one's stays. */
static inline void gfx_store_lanes(const uint32_t (*v)[GFX_LANES], unsigned dwords, const uint64_t at[GFX_LANES])
{
    for (int l = 0; l < GFX_LANES; l += 4) {
        unsigned k = 0;
        for (; k + 4 <= dwords; k += 4) {
            gfx_quad q[4];
            for (int n = 0; n < 4; n++)
                q[n] = gfx_quad_at(&v[k + (unsigned)n][l]);
            gfx_quads_turn(q);
            for (int n = 0; n < 4; n++)
                gfx_quad_to((uint8_t *)(uintptr_t)at[l + n] + 4 * k, q[n]);
        }
        for (int n = 0; n < 4; n++)
            for (unsigned rest = k; rest < dwords; rest++)
                memcpy((uint8_t *)(uintptr_t)at[l + n] + 4 * rest, &v[rest][l + n], 4);
    }
}

#endif
