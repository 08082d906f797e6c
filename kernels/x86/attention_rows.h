/* Rows of the KV cache in vectors of vec.h, for attention.h: elements of every type as floats, a block of rows transposed,
 * and the two products of few queries with rows as they lie. `type` is a constant wherever these are inlined.
 *
 * e4m3 goes by way of a half: sign, exponent and mantissa one after another at the top of the half's own give the value
 * times 2^-8, denormals included. So elements of F8_E4M3 come without the factor E4M3_UNIT, which the caller puts on
 * the scale of the scores and on the result; a power of two rounds nothing.
 */
#ifndef ASHLAR_KERNELS_X86_ATTENTION_ROWS_H
#define ASHLAR_KERNELS_X86_ATTENTION_ROWS_H

#include <string.h>

#include "format/blocks.h"
#include "kernels/kernels.h"
#include "kernels/x86/vec.h"

#define KEYS 64
#define E4M3_UNIT 256.0f

#if VEC_LANES == 16
#define TILE_ROWS 6 /* 6 x 4 sums, 4 vectors of B and a broadcast: 29 of 32 registers */
#define TILE_VECS 4
#else
#define TILE_ROWS 4 /* 4 x 2 sums, 2 vectors of B and a broadcast: 11 of 16; 3 vectors do not divide 64 columns */
#define TILE_VECS 2
#endif

#define EACH_TILE_ROWS_4(CASE) CASE(1) CASE(2) CASE(3) CASE(4)
#if TILE_ROWS == 6
#define EACH_TILE_ROWS(CASE) EACH_TILE_ROWS_4(CASE) CASE(5) CASE(6)
#else
#define EACH_TILE_ROWS(CASE) EACH_TILE_ROWS_4(CASE)
#endif

/* A block of keys: positions start .. start + count - 1. */
typedef struct key_block {
    int64_t start;
    int count;
    bool few;                       /* K and V are read as they lie */
    int64_t row_bytes, block_bytes; /* of a row's elements; from a row to the one that is KEYS later */
    const uint8_t *keys[KEYS], *values[KEYS]; /* keys: rows of zeros from `count` on */
} key_block;

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

static inline vec load_q8(const uint8_t *row, int64_t at)
{
    const uint8_t *block = row + at / 32 * (int64_t)sizeof(ash_block_q8_0), *codes = block + 2 + at % 32;
    uint16_t d;
    memcpy(&d, block, sizeof d);
#if VEC_LANES == 16
    vec code = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)codes)));
#else
    vec code = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)codes)));
#endif
    return v_mul(code, v_set(_cvtsh_ss(d)));
}

/* Elements at .. at + VEC_LANES - 1 of a row; `at` is a multiple of VEC_LANES. */
static inline __attribute__((always_inline)) vec load_row(ash_dtype type, const uint8_t *row, int64_t at)
{
    if (type == ASH_F16)
        return v_load_half((const uint16_t *)(const void *)row + at);
    return type == ASH_F8_E4M3 ? load_e4m3(row + at) : load_q8(row, at);
}

/* VEC_LANES elements of as many rows, to floats, transposed: out[i * KEYS + row] = rows[row][at + i]. */
static inline __attribute__((always_inline)) void
transpose(ash_dtype type, const uint8_t *const *rows, int64_t at, float *out)
{
#if VEC_LANES == 16
    __m512 x[16], y[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        x[i] = load_row(type, rows[i], at);
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
        v_store(out + c * KEYS, _mm512_shuffle_f32x4(low01, low23, 0x88));
        v_store(out + (4 + c) * KEYS, _mm512_shuffle_f32x4(low01, low23, 0xdd));
        v_store(out + (8 + c) * KEYS, _mm512_shuffle_f32x4(high01, high23, 0x88));
        v_store(out + (12 + c) * KEYS, _mm512_shuffle_f32x4(high01, high23, 0xdd));
    }
#else
    __m256 x[8], y[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        x[i] = load_row(type, rows[i], at);
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
        v_store(out + c * KEYS, _mm256_permute2f128_ps(x[c], x[c + 4], 0x20));
        v_store(out + (4 + c) * KEYS, _mm256_permute2f128_ps(x[c], x[c + 4], 0x31));
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

/* The row that has this one's place in the next block comes into the cache. The address may be past the end of the
 * cache's memory: a prefetch of such a one does nothing. */
static inline void fetch(const uint8_t *row, const key_block *block)
{
    for (int64_t i = 0; i < block->row_bytes; i += 64)
        _mm_prefetch((const char *)((uintptr_t)row + (uintptr_t)(block->block_bytes + i)), _MM_HINT_T0);
}

/* Scores of a tile of queries against VEC_LANES rows of K as they lie, ROWS_AT_ONCE at a time: a vector of a query then
 * serves several keys, and what is left of their sums is a vector a query. */
#if VEC_LANES == 16
#define ROWS_AT_ONCE 4
#else
#define ROWS_AT_ONCE 2
#endif
static inline __attribute__((always_inline)) void
scores_in_place(ash_dtype type, int queries, int64_t dim, const float *q, const key_block *block, int first, float *score)
{
    vec folded[TILE_ROWS][4];
    for (int i = 0; i < 4; i++) {
        const uint8_t *const *row = block->keys + first + i * ROWS_AT_ONCE;
        vec sum[TILE_ROWS][ROWS_AT_ONCE];
#pragma GCC unroll 6
        for (int r = 0; r < queries; r++)
#pragma GCC unroll 4
            for (int j = 0; j < ROWS_AT_ONCE; j++)
                sum[r][j] = v_set(0);
#pragma GCC unroll 4
        for (int j = 0; j < ROWS_AT_ONCE; j++)
            fetch(row[j], block);
        for (int64_t d = 0; d < dim; d += VEC_LANES) {
            vec k[ROWS_AT_ONCE];
#pragma GCC unroll 4
            for (int j = 0; j < ROWS_AT_ONCE; j++)
                k[j] = load_row(type, row[j], d);
#pragma GCC unroll 6
            for (int r = 0; r < queries; r++) {
                vec x = v_load(q + r * dim + d);
#pragma GCC unroll 4
                for (int j = 0; j < ROWS_AT_ONCE; j++)
                    sum[r][j] = v_fma(x, k[j], sum[r][j]);
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < queries; r++) {
            vec left = fold_pair(sum[r][0], sum[r][1]);
#if ROWS_AT_ONCE == 4
            left = fold_quad(left, fold_pair(sum[r][2], sum[r][3]));
#endif
            folded[r][i] = left;
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < queries; r++) {
#if ROWS_AT_ONCE == 4
        v_store(score + r * KEYS, fold_lanes(folded[r]));
#else
        vec quad[2] = { fold_quad(folded[r][0], folded[r][1]), fold_quad(folded[r][2], folded[r][3]) };
        v_store(score + r * KEYS, fold_lanes(quad));
#endif
    }
}

/* O = decay O + weights V for `vecs` vectors of columns from `at` on, V's rows as they lie. weights are KEYS apart from
 * query to query, rows of O dim. */
static inline __attribute__((always_inline)) void
values_in_place(ash_dtype type, int queries, int vecs, int64_t count, const float *weights, const key_block *block,
                int64_t at, float *o, int64_t dim, const float *decay)
{
    vec sum[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 6
    for (int r = 0; r < queries; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            sum[r][j] = v_mul(v_load(o + r * dim + at + j * VEC_LANES), v_set(decay[r]));
    for (int64_t i = 0; i < count; i++) {
        vec column[TILE_VECS];
        if (at == 0)
            fetch(block->values[i], block);
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            column[j] = load_row(type, block->values[i], at + j * VEC_LANES);
#pragma GCC unroll 6
        for (int r = 0; r < queries; r++) {
            vec factor = v_set(weights[r * KEYS + i]);
#pragma GCC unroll 4
            for (int j = 0; j < vecs; j++)
                sum[r][j] = v_fma(factor, column[j], sum[r][j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < queries; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            v_store(o + r * dim + at + j * VEC_LANES, sum[r][j]);
}

#define SCORES_CASE(n)                                            \
    case n:                                                       \
        for (int i = 0; i < cols; i += VEC_LANES)                 \
            scores_in_place(type, n, dim, q, block, i, score + i); \
        break;
static inline __attribute__((always_inline)) void
few_scores(ash_dtype type, int queries, int cols, int64_t dim, const float *q, const key_block *block, float *score)
{
    switch (queries) {
        EACH_TILE_ROWS(SCORES_CASE)
    default: break;
    }
}

#define VALUES_CASE(n)                                                                     \
    case n:                                                                                \
        for (; at + TILE_VECS * VEC_LANES <= dim; at += TILE_VECS * VEC_LANES)             \
            values_in_place(type, n, TILE_VECS, count, weights, block, at, o, dim, decay); \
        for (; at < dim; at += VEC_LANES)                                                  \
            values_in_place(type, n, 1, count, weights, block, at, o, dim, decay);         \
        break;
static inline __attribute__((always_inline)) void
few_values(ash_dtype type, int queries, int64_t count, const float *weights, const key_block *block, float *o,
           int64_t dim, const float *decay)
{
    int64_t at = 0;
    switch (queries) {
        EACH_TILE_ROWS(VALUES_CASE)
    default: break;
    }
}

/* The block's rows of K, and zeros up to a multiple of VEC_LANES, to K' [dim][KEYS]; as many of V to [KEYS][dim]. */
static inline __attribute__((always_inline)) void
convert_rows(ash_dtype type, const key_block *block, int64_t dim, float *k, float *v)
{
    for (int i = 0; i < block->count; i++)
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            v_store(v + i * dim + d, load_row(type, block->values[i], d));
    for (int i = 0; i < block->count; i += VEC_LANES)
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            transpose(type, block->keys + i, d, k + d * KEYS + i);
}

/* What differs between the types of a cache. */
typedef struct row_type {
    ash_dtype type;
    float unit; /* what elements are short of */
    void (*scores)(int queries, int cols, int64_t dim, const float *q, const key_block *block, float *score);
    void (*values)(int queries, int64_t count, const float *weights, const key_block *block, float *o, int64_t dim,
                   const float *decay);
    void (*convert)(const key_block *block, int64_t dim, float *k, float *v);
} row_type;

#define ROW_TYPE(name, type, unit)                                                                                    \
    static void scores_##name(int queries, int cols, int64_t dim, const float *q, const key_block *block,             \
                              float *score)                                                                           \
    {                                                                                                                 \
        few_scores(type, queries, cols, dim, q, block, score);                                                        \
    }                                                                                                                 \
    static void values_##name(int queries, int64_t count, const float *weights, const key_block *block, float *o,     \
                              int64_t dim, const float *decay)                                                        \
    {                                                                                                                 \
        few_values(type, queries, count, weights, block, o, dim, decay);                                              \
    }                                                                                                                 \
    static void convert_##name(const key_block *block, int64_t dim, float *k, float *v)                               \
    {                                                                                                                 \
        convert_rows(type, block, dim, k, v);                                                                         \
    }                                                                                                                 \
    static const row_type rows_##name = { type, unit, scores_##name, values_##name, convert_##name };
ROW_TYPE(f16, ASH_F16, 1)
ROW_TYPE(f8_e4m3, ASH_F8_E4M3, E4M3_UNIT)
ROW_TYPE(q8_0, ASH_Q8_0, 1)

#endif
