/* Rows of the KV cache in vectors of a vec_rows.h, for attention.h: elements of every type as floats, a block of rows transposed,
 * and the two products of few queries with rows as they lie. `type` is a constant wherever these are inlined.
 *
 * e4m3 goes by way of a half: sign, exponent and mantissa one after another at the top of the half's own give the value
 * times 2^-8, denormals included. So elements of F8_E4M3 come without the factor E4M3_UNIT, which the caller puts on
 * the scale of the scores and on the result; a power of two rounds nothing.
 */
#ifndef ASHLAR_KERNELS_ATTENTION_ROWS_H
#define ASHLAR_KERNELS_ATTENTION_ROWS_H

#include <string.h>

#include "format/blocks.h"
#include "kernels/kernels.h"

#define KEYS 64
#define E4M3_UNIT 256.0f

#if VEC_LANES == 4
#define TILE_ROWS 4 /* 4 x 4 sums, 4 vectors of B and a broadcast: 21 of 32 */
#define TILE_VECS 4
#elif VEC_LANES == 16
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
    bool few;                                 /* K and V are read as they lie */
    int64_t row_bytes;                        /* of a row's elements */
    const uint8_t *keys[KEYS], *values[KEYS]; /* keys: rows of zeros from `count` on */
} key_block;

static inline vec load_q8(const uint8_t *row, int64_t at)
{
    const uint8_t *block = row + at / 32 * (int64_t)sizeof(ash_block_q8_0), *codes = block + 2 + at % 32;
    uint16_t d;
    memcpy(&d, block, sizeof d);
    return v_mul(v_load_int8((const int8_t *)codes), v_set(float_of_half(d)));
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
    vec x[VEC_LANES];
#pragma GCC unroll 16
    for (int i = 0; i < VEC_LANES; i++)
        x[i] = load_row(type, rows[i], at);
    store_transposed(x, out, KEYS);
}

/* Bytes from a row that is read to what comes into the second-level cache for later: more than a page of 4 KiB. Measured on
 * a Zen 4 with such pages, two threads, F16 rows of 128 bytes from memory, best of five: a block of 64 keys ahead into the
 * first level takes 3.5 ms (6.1 for a group of 4), no prefetch 2.9 (4.9), into the second level 4 KiB ahead 2.7 (4.3),
 * 6 KiB 2.6 (4.4), 8 KiB 2.7. From 4 to 8 KiB they differ by no more than runs do. Rows of F8_E4M3 and Q8_0, bound by
 * arithmetic, are within 5% of each other from 3 KiB to 8. */
#define FETCH_AHEAD 6144

/* A row's worth of bytes FETCH_AHEAD later comes into the cache. The address may be past the end of the cache's memory: a
 * prefetch of such a one does nothing. */
static inline void fetch(const uint8_t *row, const key_block *block)
{
    for (int64_t i = 0; i < block->row_bytes; i += 64)
        __builtin_prefetch((const char *)((uintptr_t)row + (uintptr_t)(FETCH_AHEAD + i)), 0, 2);
}

/* Scores of a tile of queries against VEC_LANES rows of K as they lie, ROWS_AT_ONCE at a time: a vector of a query then
 * serves several keys, and what is left of their sums is a vector a query. */
#if VEC_LANES == 8
#define ROWS_AT_ONCE 2
#else
#define ROWS_AT_ONCE 4
#endif
#define ROW_TURNS (VEC_LANES / ROWS_AT_ONCE)
static inline __attribute__((always_inline)) void
scores_in_place(ash_dtype type, int queries, int64_t dim, const float *q, const key_block *block, int first, float *score)
{
    vec folded[TILE_ROWS][ROW_TURNS];
    for (int i = 0; i < ROW_TURNS; i++) {
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
#if ROW_TURNS == 1
        v_store(score + r * KEYS, folded[r][0]);
#elif ROWS_AT_ONCE == 4
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
