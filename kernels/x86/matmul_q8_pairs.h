/* MATMUL_Q8 with up to PAIR_TOKENS tokens, 512 bits and VNNI, for codes whose sums over 16 columns fit 16 bits: Q4_K,
 * Q4_1, Q4_0 and Q5_0. `fine`: of q8_fine, where tokens are tokens, not rows.
 *
 * A panel is read as it lies, as in matmul_q8.h's first form: a vector has 16 bytes of each of 4 rows, a unit, and its
 * sums stay apart by step of 16 columns. Here the sums of two units are packed to 16 bits, and one multiply-add of
 * pairs makes them sums of 32 columns, for Q4_K times their whole scale: 8 rows a vector, so that floats take half the
 * steps. The minimums of a tile are a product of their own, rows in lanes.
 *
 * Steps that take the two units of dpbusd on Zen 4, for 16 rows, 256 columns and a token:
 *   Q4_K        64 dpbusd, 8 multiply-adds of pairs, 8 FMAs, 2 for d, 8 for the minimums: 64 of 90 count
 *   Q4_1        64, 8, 8 products, 8 FMAs, 8: 64 of 96
 *   Q4_0, Q5_0  the same without minimums: 64 of 88
 * A fine token's two rows meet in a second multiply-add of pairs, the upper one times 256, and their scale comes once a
 * tile, 2 products and 2 FMAs for all 16 rows:
 *   Q4_1        128 dpbusd, 16 multiply-adds of pairs, 8 FMAs, 4, 8 for the minimums: 128 of 164
 *   Q4_0, Q5_0  128 of 156
 *   Q4_K        the 8 FMAs are sums: 128 of 156
 * The first form has 64 of 112, or 96. matmul_q8.h's second form has 64 of 88, but at 8 tokens its unpacking takes
 * another 30%.
 *
 * |sum| over 16 columns: 16 * 15 * 127 = 30480; with Q5_0's offset off 16 * 16 * 127 = 32512.
 * |whole sum| of Q4_K over 32: 2 * 30480 * 63 < 2^22, which a float holds; fine, times 257, 2^30, which rounds once more.
 * Of the other types, fine: 2 * 32512 * 257 < 2^24.
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_PAIRS_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_PAIRS_H

#define PAIR_TOKENS 8
_Static_assert(PAIR_TOKENS == ASH_Q8_FEW && FEW_TOKENS == ASH_Q8_FEW, "ash_q8_steps counts up to here");

INLINE int q_fits_pairs(ash_dtype t) { return t == ASH_Q4_K || t == ASH_Q4_1 || t == ASH_Q4_0 || t == ASH_Q5_0; }

/* 64 columns of a token; those of its tokens lie side by side. pattern: as x_group has it. */
typedef struct x_pairs {
    int8_t pattern[4][16];
    float scale[4]; /* of both halves, twice */
    union {
        int32_t start[4]; /* -offset * the sum over each step */
        float sum[2];     /* types with minimums: scale * the sum over each half */
    } of;
} x_pairs;

static inline void prepare_pairs(const ash_dtype type, const int8_t *q, const float *scale, const int16_t *sum,
                                 x_pairs *out)
{
    order_group(q, out->pattern);
    scale_halves(type, scale, sum, out->scale, out->of.sum);
    if (!q_has_min(type))
        _mm_storeu_si128((__m128i *)(void *)out->of.start, start_of(type, sum));
}

/* A tile's scales, as pair_unit wants them. */
typedef struct pair_scales {
    vi whole[2];        /* Q4_K: 4 bytes a row, sub-blocks 0 .. 3 and 4 .. 7; rows in sigma order */
    vf d;               /* Q4_K */
    tile_scales floats; /* s but for Q4_K; m */
} pair_scales;

INLINE void read_pair_scales(const ash_dtype type, const uint8_t *header, pair_scales *out)
{
    if (type != ASH_Q4_K) {
        read_scales(type, header, 0, &out->floats);
        return;
    }
    vi v[4], mins[2];
    load_rows16(header, v);
    out->d = vf_of_half_words(v[0]);
    vf dmin = vf_of_half_words(v_srl32(v[0], 16));
    split_k_scales(v, out->whole, mins);
    store_scaled_bytes(mins[0], dmin, out->floats.m);
    store_scaled_bytes(mins[1], dmin, out->floats.m + 4);
}

/* Of units 2 p and 2 p + 1, from rows in sigma order: words a and b of the first's row, then of the second's. */
INLINE vi words_of_pair(vi a, vi b, int p) { return p ? v_unpack_hi32(a, b) : v_unpack_lo32(a, b); }

/* [p][c]: byte 2 c + j of word 2 p + i, to both halves of word 2 i + j */
#define PAIR_TURN(at) { at, 128, at, 128, at + 1, 128, at + 1, 128, at + 4, 128, at + 4, 128, at + 5, 128, at + 5, 128 }
static const uint8_t ALIGNED pair_turn[2][2][16] = { { PAIR_TURN(0), PAIR_TURN(2) }, { PAIR_TURN(8), PAIR_TURN(10) } };

/* Of units 2 p and 2 p + 1, chunk c: words s(2 c) and s(2 c + 1) of the first's row, then of the second's. */
INLINE vi pair_scale(const ash_dtype type, const pair_scales *s, int c, int p)
{
    if (type == ASH_Q4_K)
        return v_shuffle8(s->whole[c / 2], v_spread16(pair_turn[p][c % 2]));
    return words_of_pair(v_load(s->floats.s[2 * c]), v_load(s->floats.s[2 * c + 1]), p);
}

/* T tokens times 64 columns of 8 rows. fine: x's lower rows lie behind the upper ones; sums are in units of their scale. */
INLINE void pair_unit(const ash_dtype type, const int fine, const int T, const uint8_t *chunk, int p, vi scale,
                      const x_pairs *x, vf *sums)
{
    const int whole = type == ASH_Q4_K;
    vi a[4], b[4], ones = whole ? scale : v_set16(1), upper = whole ? v_sll16(scale, 8) : v_set16(256);
    load_unit(type, chunk, 0, 2 * p, a);
    load_unit(type, chunk, 0, 2 * p + 1, b);
#pragma GCC unroll 8
    for (int t = 0; t < T; t++, x++) {
        vi words[2];
#pragma GCC unroll 2
        for (int r = 0; r < 1 + fine; r++) {
            const x_pairs *row = x + r * T;
            vi first = q_offset(type) ? v_spread16(row->of.start) : v_zero(), second = first;
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                vi xi = v_spread16(row->pattern[i]);
                first = v_dpbusd(first, a[i], xi);
                second = v_dpbusd(second, b[i], xi);
            }
            words[r] = v_pack32(first, second);
        }
        if (fine) {
            vf dot = vf_of_ints(v_dpwssd(v_madd16(words[0], upper), words[1], ones));
            sums[t] = whole ? vf_add(dot, sums[t]) : vf_fma(dot, vf_cast(scale), sums[t]);
        } else {
            vf dot = vf_of_ints(v_madd16(words[0], ones));
            if (!whole)
                dot = vf_mul(dot, vf_cast(scale));
            sums[t] = vf_fma(dot, vf_spread4(x->scale), sums[t]);
        }
    }
}

/* sums[t] -= the sum of m x over a tile. x: T of `rows`. */
INLINE void pair_minimums(const int T, const int rows, const tile_scales *s, int chunks, const x_pairs *x,
                          float (*sums)[VR])
{
    vf total[PAIR_TOKENS];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++)
        total[t] = vf_load(sums[t]);
    for (int c = 0; c < chunks; c++, x += rows) {
        vf m0 = vf_load(s->m[2 * c]), m1 = vf_load(s->m[2 * c + 1]);
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
            total[t] = vf_fnma(m0, vf_set(x[t].of.sum[0]), total[t]);
            total[t] = vf_fnma(m1, vf_set(x[t].of.sum[1]), total[t]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; t++)
        vf_store(sums[t], total[t]);
}

INLINE void pair_panel(const ash_dtype type, const int fine, const int T, const call *a, const slab *s, int64_t i,
                       const x_pairs *x)
{
    const int rows = fine ? 2 * T : T, of_tile = fine || type == ASH_Q4_K; /* what a tile's sums have in common */
    const int half = q_group_bytes(type) / 2, at_once = T <= 4 ? 2 : 1; /* pairs: both read lines in their order */
    float ALIGNED sums[3][PAIR_TOKENS][VR]; /* of units 0 and 1, of 2 and 3; of the minimums */
    memset(sums, 0, sizeof sums);
    const uint8_t *tile = slab_of_panel(type, a->w, a->panel_first + i, s);
    for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS, tile += q_tile_bytes(type), x += Q_TILE_COLS / 64 * rows) {
        int chunks = (int)(smaller(s->cols - k, Q_TILE_COLS) + 63) / 64;
        pair_scales scales;
        if (!fetched_ahead(T))
            prefetch(tile, q_header_bytes(type));
        read_pair_scales(type, tile, &scales);
        for (int first = 0; first < 2; first += at_once) {
            const uint8_t *chunk = tile + q_header_bytes(type);
            vf total[2][PAIR_TOKENS];
#pragma GCC unroll 16
            for (int j = 0; j < at_once * T; j++)
                total[j / T][j % T] = of_tile ? vf_zero() : vf_load(sums[first + j / T][j % T]);
            for (int c = 0; c < chunks; c++, chunk += q_group_bytes(type)) {
                if (!fetched_ahead(T))
                    prefetch(chunk + half * first, half * at_once);
#pragma GCC unroll 2
                for (int p = first; p < first + at_once; p++)
                    pair_unit(type, fine, T, chunk, p, pair_scale(type, &scales, c, p), x + c * rows,
                              total[p - first]);
            }
#pragma GCC unroll 2
            for (int p = first; p < first + at_once; p++) {
                vf d = type == ASH_Q4_K ? vf_cast(words_of_pair(v_cast(scales.d), v_cast(scales.d), p)) : vf_set(1);
#pragma GCC unroll 8
                for (int t = 0; t < T; t++) {
                    vf sum = total[p - first][t];
                    if (fine)
                        sum = vf_mul(sum, vf_set(x[T + t].scale[0]));
                    vf_store(sums[p][t], of_tile ? vf_fma(sum, d, vf_load(sums[p][t])) : sum);
                }
            }
        }
        if (q_has_min(type))
            pair_minimums(T, rows, &scales.floats, chunks, x, sums[2]);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        vf first = vf_load(sums[0][t]), second = vf_load(sums[1][t]);
        vf total = vf_add(vf_shuffle(first, second, 0x88), vf_shuffle(first, second, 0xdd));
        store_rows(vf_add(total, vf_load(sums[2][t])), a, t, i, 0, s);
    }
}

PREPARE_ROWS(pair_rows, x_pairs, prepare_pairs)
_Static_assert(PAIR_TOKENS * SLAB_COLS / 64 * sizeof(x_pairs) <= ASH_SCRATCH_BYTES, "scratch");

INLINE void pair_tokens(const ash_dtype type, const int fine, const int T, const call *a, const slab *s)
{
    const int rows = fine ? 2 * T : T;
    x_pairs *x = pair_rows(type, rows, a, s);
    if (fine && q_has_min(type)) /* both rows' sums in the upper one */
        for (x_pairs *at = x; at < x + ash_pad_cols(s->cols) / 64 * rows; at += rows)
            for (int t = 0; t < T; t++)
                for (int i = 0; i < 2; i++)
                    at[t].of.sum[i] += at[T + t].of.sum[i];
    for (int64_t i = 0; i < a->panel_count; i++)
        pair_panel(type, fine, T, a, s, i, x);
}

#define PAIR_CASE(T) case T: pair_tokens(type, 0, T, a, s); break;
#define FINE_PAIR_CASE(T) case T: pair_tokens(type, 1, T, a, s); break;
/* 1 to PAIR_TOKENS tokens of a type that q_fits_pairs. */
INLINE void few_pairs(const ash_dtype type, const call *a, const slab *s)
{
    if (a->x->q8_fine) {
        switch (a->x->tokens) {
            EACH_TO_8(FINE_PAIR_CASE)
        }
        return;
    }
    switch (a->x->tokens) {
        EACH_TO_8(PAIR_CASE)
    }
}

#endif
