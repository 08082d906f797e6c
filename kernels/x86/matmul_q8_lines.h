/* MATMUL_Q8 with up to FEW_TOKENS tokens, 256 bits and no VNNI, for every type but Q8_0.
 *
 * A panel is read as it lies, both of its row vectors in one go, so that cache lines are used up in the order of their
 * addresses (several panels in turn are slower). A unit, 16 bytes of each of 2 rows, makes 16-bit sums of 8
 * columns, which one multiply-add of pairs makes sums of a step of 16 columns: times its whole scale (types of 256
 * columns), or as they are. Words of two units then fold into sums of 32 columns of 4 rows, so that floats take half the
 * steps. The minimums of a tile are a product of their own, rows in lanes. Offsets are taken off in 16 bits, whose sums
 * may wrap on the way: their end fits.
 *
 * Steps on Zen 3, which does 4 a cycle, for 2 rows, 64 columns and a token of Q4_K: 4 multiply-adds of bytes, 3
 * additions, 1 multiply-add of pairs, 2.5 for the fold and the floats, about 1 for the minimums; and once for all tokens 6 to
 * take the codes apart, 1 for a scale.
 *
 * |sum| over 8 columns: 8 * 31 * 127 = 31496 without an offset, 8 * 32 * 127 = 32512 with.
 * |whole sum| over 32: 4 * 31496 * 63 < 2^23, of Q6_K 4 * 32512 * 128 < 2^24: floats hold them.
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_LINES_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_LINES_H

/* Scales are whole numbers times one float of a tile's row. */
INLINE int q_has_whole(ash_dtype t) { return t == ASH_Q4_K || t == ASH_Q5_K || t == ASH_Q6_K; }

/* 64 columns of a token; those of its tokens lie side by side. pattern: as x_group has it. */
typedef struct x_line {
    int8_t pattern[4][16];
    float scale[4]; /* of both halves, twice */
    union {
        int16_t start[8]; /* -offset * the sum over the columns of each pair of bytes */
        float sum[2];     /* types with minimums: scale * the sum over each half */
    } of;
} x_line;

static inline void prepare_line(const ash_dtype type, const int8_t *q, const float *scale, const int16_t *sum,
                                x_line *out)
{
    order_group(q, out->pattern);
    scale_halves(type, scale, sum, out->scale, out->of.sum);
    if (q_has_min(type))
        return;
    __m128i pairs = _mm_setzero_si128();
    for (int i = 0; i < 4; i++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)out->pattern[i]);
        pairs = _mm_add_epi16(pairs, _mm_maddubs_epi16(_mm_set1_epi8(1), x));
    }
    _mm_storeu_si128((__m128i *)(void *)out->of.start, _mm_mullo_epi16(pairs, _mm_set1_epi16((short)-q_offset(type))));
}

/* load_unit, with higher bits of pairs in fewer steps. */
INLINE void load_line_unit(const ash_dtype type, const uint8_t *chunk, int row_vector, int g, vi q[4])
{
    if (q_high_bits(type) != 2) {
        load_unit(type, chunk, row_vector, g, q);
        return;
    }
    vi low = v_set8(0x0f), high = v_set8(0x30);
    int row = VR * row_vector + VB / 16 * g;
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        vi codes = v_load(chunk + 256 * h + 16 * row);
        /* of words 0 0 1 1 | 2 2 3 3: the first's steps are 0 and 1 */
        vi turn = _mm256_setr_epi32(0x03020100, 0x03020100, 0x07060504, 0x07060504,
                                    0x0b0a0908, 0x0b0a0908, 0x0f0e0d0c, 0x0f0e0d0c);
        vi more = v_shuffle8(v_spread16(chunk + 512 + 128 * h + 8 * row), turn);
        more = _mm256_sllv_epi32(more, _mm256_setr_epi32(4, 0, 4, 0, 4, 0, 4, 0));
        q[2 * h] = v_and_or(more, high, v_and(codes, low));
        q[2 * h + 1] = v_and_or(v_srl32(more, 2), high, v_and(v_srl32(codes, 4), low));
    }
}

/* A row vector's scales of a tile. */
typedef struct line_scales {
    vi whole[2], mins[2]; /* Q4_K, Q5_K: a byte of each of sub-blocks 0 .. 3 and 4 .. 7; rows in sigma order */
    vf d, dmin;           /* dmin: Q4_K, Q5_K */
    tile_scales floats;   /* other types; as words of units: of chunk c, 0 and 1 in s[2 c], 2 and 3 in s[2 c + 1] */
} line_scales;

INLINE void read_line_scales(const ash_dtype type, const uint8_t *header, int row_vector, line_scales *out)
{
    if (type == ASH_Q6_K) { /* its bytes are taken from the header */
        out->d = vf_to_sigma(vf_of_halves(header + 256 + 2 * VR * row_vector));
    } else if (q_has_whole(type)) {
        vi v[4];
        load_rows16(header + 16 * VR * row_vector, v);
        out->d = vf_of_half_words(v[0]);
        out->dmin = vf_of_half_words(v_srl32(v[0], 16));
        split_k_scales(v, out->whole, out->mins);
    } else {
        read_scales(type, header, row_vector, &out->floats);
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2) {
            vi a = v_load(out->floats.s[i]), b = v_load(out->floats.s[i + 1]);
            v_store(out->floats.s[i], v_unpack_lo32(a, b));
            v_store(out->floats.s[i + 1], v_unpack_hi32(a, b));
        }
    }
}

/* Turns of bytes, for odd and even chunks. scale[odd][g]: of unit g's word, the two bytes of a chunk to four 16-bit
 * numbers each. min[odd][i]: byte 2 odd + i of every word to the word. step[c]: bytes 4 c .. + 3 to the upper bytes of
 * two 16-bit numbers each. */
#define FOUR_TIMES(at) at, 128, at, 128, at, 128, at, 128
#define LINE_SCALE(at) { FOUR_TIMES(at), FOUR_TIMES((at) + 1) }
#define LINE_SCALES(at) { LINE_SCALE(at), LINE_SCALE((at) + 4), LINE_SCALE((at) + 8), LINE_SCALE((at) + 12) }
#define LINE_WORD(at) at, 128, 128, 128
#define LINE_MIN(at) { LINE_WORD(at), LINE_WORD((at) + 4), LINE_WORD((at) + 8), LINE_WORD((at) + 12) }
#define LINE_PAIR(at) 128, at, 128, at
#define LINE_STEP(at) { LINE_PAIR(at), LINE_PAIR((at) + 1), LINE_PAIR((at) + 2), LINE_PAIR((at) + 3) }
static const struct line_turns {
    uint8_t ALIGNED scale[2][4][16];
    uint8_t min[2][2][16];
    uint8_t step[4][16];
} line_turns = {
    { LINE_SCALES(0), LINE_SCALES(2) },
    { { LINE_MIN(0), LINE_MIN(1) }, { LINE_MIN(2), LINE_MIN(3) } },
    { LINE_STEP(0), LINE_STEP(4), LINE_STEP(8), LINE_STEP(12) },
};

/* Of a unit and chunk c, what pairs of 16-bit sums are multiplied by. */
INLINE vi line_scale(const ash_dtype type, const line_scales *s, const uint8_t *header, int row_vector, int g, int c)
{
    if (type == ASH_Q6_K) {
        vi bytes = v_load(header + 16 * (VR * row_vector + VB / 16 * g));
        return v_sra16(v_shuffle8(bytes, v_spread16(line_turns.step[c])), 8);
    }
    if (q_has_whole(type))
        return v_shuffle8(s->whole[c / 2], v_spread16(line_turns.scale[c % 2][g]));
    return v_set16(1);
}

/* pairs + codes times x, in bytes */
INLINE vi add_products(vi pairs, vi codes, vi x) { return v_keep(v_add16(pairs, v_madd8(codes, x))); }

/* T tokens times 64 columns, number c of the tile, of units 2 p and 2 p + 1 of a row vector: 4 rows. */
INLINE void line_units(const ash_dtype type, const int T, const uint8_t *header, const uint8_t *chunk, int row_vector,
                       int p, int c, const line_scales *s, const x_line *x, const vi first_x[4], vf *sums)
{
    const int bytes = q_group_bytes(type) / 4;
    vi a[4], b[4];
    prefetch(chunk + bytes * (2 * row_vector + p), bytes);
    load_line_unit(type, chunk, row_vector, 2 * p, a);
    vi scale_a = line_scale(type, s, header, row_vector, 2 * p, c);
    load_line_unit(type, chunk, row_vector, 2 * p + 1, b);
    vi scale_b = line_scale(type, s, header, row_vector, 2 * p + 1, c);
    vf floats = q_has_whole(type) ? vf_zero() : vf_load(s->floats.s[2 * c + p]);
#pragma GCC unroll 4
    for (int t = 0; t < T; t++, x++) {
        vi start = q_offset(type) ? v_spread16(x->of.start) : v_zero(), da = start, db = start;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            vi xi = T == 1 ? first_x[i] : v_spread16(x->pattern[i]);
            da = i || q_offset(type) ? add_products(da, a[i], xi) : v_madd8(a[i], xi);
            db = i || q_offset(type) ? add_products(db, b[i], xi) : v_madd8(b[i], xi);
        }
        da = v_madd16(da, scale_a);
        db = v_madd16(db, scale_b);
        vf fa = vf_cast(da), fb = vf_cast(db);
        vf dot = vf_of_ints(v_add32(v_cast(vf_shuffle(fa, fb, 0x88)), v_cast(vf_shuffle(fa, fb, 0xdd))));
        if (q_has_whole(type))
            sums[t] = vf_fma(dot, vf_spread4(x->scale), sums[t]);
        else
            sums[t] = vf_fma(vf_mul(dot, vf_spread4(x->scale)), floats, sums[t]);
    }
}

/* The sums of a panel: of units 0 and 1, and of 2 and 3, by halves of 64 columns; and what minimums take off. */
typedef struct line_sums {
    vf units[ROW_VECTORS][2][FEW_TOKENS], mins[ROW_VECTORS][FEW_TOKENS];
} line_sums;

/* sums += the sum of m x over chunk c. */
INLINE void line_minimums(const ash_dtype type, const int T, const line_scales *s, int c, const x_line *x, vf *sums)
{
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        vf m;
        if (q_has_whole(type))
            m = vf_of_ints(v_shuffle8(s->mins[c / 2], v_spread16(line_turns.min[c % 2][i])));
        else
            m = vf_load(s->floats.m[2 * c + i]);
#pragma GCC unroll 4
        for (int t = 0; t < T; t++)
            sums[t] = vf_fma(m, vf_set(x[t].of.sum[i]), sums[t]);
    }
}

/* Up to 256 columns of a panel. */
INLINE void line_tile(const ash_dtype type, const int T, const uint8_t *tile, int chunks, const x_line *x,
                      line_sums *sums)
{
    line_scales scales[ROW_VECTORS];
    line_sums of_tile, *to = q_has_whole(type) ? &of_tile : sums;
    prefetch(tile, q_header_bytes(type));
#pragma GCC unroll 2
    for (int v = 0; v < ROW_VECTORS; v++)
        read_line_scales(type, tile, v, &scales[v]);
    if (q_has_whole(type)) {
#pragma GCC unroll 2
        for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 4
            for (int t = 0; t < T; t++)
                of_tile.units[v][0][t] = of_tile.units[v][1][t] = of_tile.mins[v][t] = vf_zero();
    }
    const uint8_t *chunk = tile + q_header_bytes(type);
    for (int c = 0; c < chunks; c++, chunk += q_group_bytes(type), x += T) {
        vi xs[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            xs[i] = v_spread16(x->pattern[i]);
        if (T == 1) {
#pragma GCC unroll 4
            for (int u = 0; u < 2 * ROW_VECTORS; u++)
                line_units(type, T, tile, chunk, u / 2, u % 2, c, &scales[u / 2], x, xs, to->units[u / 2][u % 2]);
        } else {
#pragma GCC unroll 1
            for (int u = 0; u < 2 * ROW_VECTORS; u++)
                line_units(type, T, tile, chunk, u / 2, u % 2, c, &scales[u / 2], x, xs, to->units[u / 2][u % 2]);
        }
        if (q_has_min(type)) {
            line_minimums(type, T, &scales[0], c, x, to->mins[0]);
            line_minimums(type, T, &scales[1], c, x, to->mins[1]);
        }
    }
    if (!q_has_whole(type))
        return;
#pragma GCC unroll 2
    for (int v = 0; v < ROW_VECTORS; v++) {
        vf low = vf_cast(v_unpack_lo32(v_cast(scales[v].d), v_cast(scales[v].d)));
        vf high = vf_cast(v_unpack_hi32(v_cast(scales[v].d), v_cast(scales[v].d)));
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            sums->units[v][0][t] = vf_fma(of_tile.units[v][0][t], low, sums->units[v][0][t]);
            sums->units[v][1][t] = vf_fma(of_tile.units[v][1][t], high, sums->units[v][1][t]);
            if (q_has_min(type))
                sums->mins[v][t] = vf_fma(of_tile.mins[v][t], scales[v].dmin, sums->mins[v][t]);
        }
    }
}

INLINE void line_panel(const ash_dtype type, const int T, const call *a, const slab *s, int64_t i, const x_line *x)
{
    line_sums sums;
#pragma GCC unroll 2
    for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 4
        for (int t = 0; t < T; t++)
            sums.units[v][0][t] = sums.units[v][1][t] = sums.mins[v][t] = vf_zero();
    const uint8_t *tile = slab_of_panel(type, a->w, a->panel_first + i, s);
    for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS, tile += q_tile_bytes(type), x += Q_TILE_COLS / 64 * T)
        line_tile(type, T, tile, (int)(smaller(s->cols - k, Q_TILE_COLS) + 63) / 64, x, &sums);
#pragma GCC unroll 2
    for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            vf first = sums.units[v][0][t], second = sums.units[v][1][t];
            vf total = vf_add(vf_shuffle(first, second, 0x88), vf_shuffle(first, second, 0xdd));
            if (q_has_min(type))
                total = vf_sub(total, sums.mins[v][t]);
            store_rows(total, a, t, i, VR * v, s);
        }
}

PREPARE_ROWS(line_rows, x_line, prepare_line)
INLINE void line_tokens(const ash_dtype type, const int T, const call *a, const slab *s)
{
    const x_line *x = line_rows(type, T, a, s);
    for (int64_t i = 0; i < a->panel_count; i++)
        line_panel(type, T, a, s, i, x);
}
_Static_assert(FEW_TOKENS * SLAB_COLS / 64 * sizeof(x_line) <= ASH_SCRATCH_BYTES, "scratch");

#define LINE_CASE(T) case T: line_tokens(type, T, a, s); break;
/* 1 to FEW_TOKENS tokens. */
INLINE void few_lines(const ash_dtype type, const call *a, const slab *s)
{
    switch (ash_q8_rows(a->x)) {
        EACH_TO_4(LINE_CASE)
    }
}

#endif
