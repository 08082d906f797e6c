/* MATMUL_Q8 of Q8_0 with up to FEW_TOKENS tokens.
 *
 * A panel is read as it lies: a vector has 16 bytes of each of VB / 16 rows, a unit, and two vectors of a unit make sums
 * of 8 columns in the 4 words of a row. The words of four units fold into one vector of sums over 32 columns, rows in
 * lanes (sigma order): 6 shuffles and 3 additions, so that the floats' steps are those of whole columns.
 *
 * Steps that take the two units of dpbusd on Zen 4, for 16 rows, 32 columns and a token: 8 dpbusd, a product and an FMA,
 * and of the 6 shuffles the half that share a unit with them. Without the fold products and FMAs are 8.
 *
 * With dpbusd both rows of up to FOLDED_TOKENS / 2 tokens of q8_fine fold as one: the upper one's words times 256 are what the
 * lower one's start from. Sums of 8 columns are below 2^27 then, folded ones 32 * 255 * 127 * 257 < 2^29, which round to
 * floats once more.
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_FOLDED_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_FOLDED_H

/* 512 bits have registers for the 8 vectors of a chunk, 4 sums of integers and 8 of floats. */
#if VB == 64
#define FOLDED_TOKENS FEW_TOKENS
#else
#define FOLDED_TOKENS ONCE_TOKENS
#endif

/* 32 columns of a token; those of its tokens lie side by side. pattern[h], byte 8 s + b: x of column 16 s + 8 h + b. */
typedef struct x_chunk {
    int8_t pattern[2][16];
    float scale;
    int32_t start; /* -128 * the sum of x */
    int32_t unused[2];
} x_chunk;

static inline void prepare_chunk(const int8_t *q, float scale, const int16_t *sum, x_chunk *out)
{
    const __m128i *from = (const __m128i *)(const void *)q;
    __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1), *pattern = (__m128i *)(void *)out->pattern;
    _mm_storeu_si128(pattern, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128(pattern + 1, _mm_unpackhi_epi64(a, b));
    out->scale = scale;
    out->start = -128 * (sum[0] + sum[1]);
}

/* d[g]: 4 words of each row of unit g; returns their sums, rows in sigma order. */
INLINE vi fold_words(const vi d[4])
{
    vi a = v_add32(v_unpack_lo32(d[0], d[1]), v_unpack_hi32(d[0], d[1]));
    vi b = v_add32(v_unpack_lo32(d[2], d[3]), v_unpack_hi32(d[2], d[3]));
    return v_add32(v_unpack_lo64(a, b), v_unpack_hi64(a, b));
}

/* T tokens times 32 columns of VR rows. fine: x's lower rows lie behind the upper ones, which have the scale and start of
 * both. */
INLINE void folded_chunk(const int fine, const int T, const uint8_t *chunk, int row_vector, vf scale, const x_chunk *x,
                         vf *sums)
{
    vi a[4], b[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        int row = VR * row_vector + VB / 16 * g;
        if (row_vector == 0 && !fetched_ahead(T))
            prefetch(chunk + 128 * g, 128);
        a[g] = v_load(chunk + 16 * row);
        b[g] = v_load(chunk + 256 + 16 * row);
#ifdef HAVE_DPBUSD
        a[g] = v_xor(a[g], v_set8(0x80));
        b[g] = v_xor(b[g], v_set8(0x80));
#endif
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; t++, x++) {
        vi x0 = v_spread16(x->pattern[0]), x1 = v_spread16(x->pattern[1]), words[4];
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++)
#ifdef HAVE_DPBUSD
            words[g] = v_dpbusd(v_dpbusd(v_zero(), a[g], x0), b[g], x1);
        if (fine) {
            x0 = v_spread16(x[T].pattern[0]), x1 = v_spread16(x[T].pattern[1]);
#pragma GCC unroll 4
            for (int g = 0; g < 4; g++)
                words[g] = v_dpbusd(v_dpbusd(v_sll32(words[g], 8), a[g], x0), b[g], x1);
        }
        vi dot = v_add32(fold_words(words), v_set32(x->start));
#else
            words[g] = v_add32(v_dot_signed(a[g], x0), v_dot_signed(b[g], x1));
        vi dot = fold_words(words);
        (void)fine;
#endif
        sums[t] = vf_fma(vf_mul(vf_of_ints(dot), vf_set(x->scale)), scale, sums[t]);
    }
}

#ifdef HAVE_LINES
/* Both row vectors in one go, so that cache lines are used up in order. */
INLINE void folded_panel(const int fine, const int T, const call *a, const slab *s, int64_t t0, int64_t i,
                         const x_chunk *x)
{
    vf sums[ROW_VECTORS][FOLDED_TOKENS];
#pragma GCC unroll 2
    for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 4
        for (int t = 0; t < T; t++)
            sums[v][t] = vf_zero();
    const uint8_t *tile = slab_of_panel(ASH_Q8_0, a->w, a->panel_first + i, s);
    for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS, tile += q_tile_bytes(ASH_Q8_0)) {
        tile_scales scales[ROW_VECTORS];
        prefetch(tile, q_header_bytes(ASH_Q8_0));
        read_scales(ASH_Q8_0, tile, 0, &scales[0]);
        read_scales(ASH_Q8_0, tile, 1, &scales[1]);
        int chunks = (int)(smaller(s->cols - k, Q_TILE_COLS) + 31) / 32;
        for (int c = 0; c < chunks; c++, x += T) /* nothing fine */
#pragma GCC unroll 2
            for (int v = 0; v < ROW_VECTORS; v++)
                folded_chunk(fine, T, tile + q_header_bytes(ASH_Q8_0) + 512 * c, v, vf_load(scales[v].s[c]), x, sums[v]);
    }
#pragma GCC unroll 2
    for (int v = 0; v < ROW_VECTORS; v++)
#pragma GCC unroll 4
        for (int t = 0; t < T; t++)
            store_rows(sums[v][t], a, t0 + t, i, VR * v, s);
}
#else
/* The row vectors come one after the other: the second finds the panel in the cache. */
INLINE void folded_panel(const int fine, const int T, const call *a, const slab *s, int64_t t0, int64_t i,
                         const x_chunk *x)
{
    for (int v = 0; v < ROW_VECTORS; v++) {
        vf sums[FOLDED_TOKENS];
#pragma GCC unroll 8
        for (int t = 0; t < T; t++)
            sums[t] = vf_zero();
        const uint8_t *tile = slab_of_panel(ASH_Q8_0, a->w, a->panel_first + i, s);
        const x_chunk *xc = x;
        for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS, tile += q_tile_bytes(ASH_Q8_0)) {
            tile_scales scales;
            if (v == 0 && !fetched_ahead(T))
                prefetch(tile, q_header_bytes(ASH_Q8_0));
            read_scales(ASH_Q8_0, tile, v, &scales);
            int chunks = (int)(smaller(s->cols - k, Q_TILE_COLS) + 31) / 32;
            for (int c = 0; c < chunks; c++, xc += fine ? 2 * T : T)
                folded_chunk(fine, T, tile + q_header_bytes(ASH_Q8_0) + 512 * c, v, vf_load(scales.s[c]), xc, sums);
        }
#pragma GCC unroll 8
        for (int t = 0; t < T; t++)
            store_rows(sums[t], a, t0 + t, i, VR * v, s);
    }
}
#endif

/* Of T tokens from t0 on. */
static inline void prepare_chunks(const int T, const ash_acts *x, const slab *s, int64_t t0, x_chunk *chunks)
{
    for (int t = 0; t < T; t++) {
        q8_columns from = columns_of(x, t0 + t, s->k);
        for (int64_t c = 0; 32 * c < s->cols; c++)
            prepare_chunk(from.q + 32 * c, from.scale[c], from.sum + 2 * c, chunks + c * T + t);
    }
}

#if FOLDED_TOKENS == 8
#define EACH_FOLDED EACH_TO_8
#define EACH_FINE_FOLDED EACH_TO_4
#else
#define EACH_FOLDED EACH_TO_4
#define EACH_FINE_FOLDED(M) M(1) M(2)
#endif
#ifdef HAVE_DPBUSD
/* T tokens of q8_fine. */
INLINE void fine_folded(const int T, const call *a, const slab *s)
{
    x_chunk *x = a->scratch;
    prepare_chunks(2 * T, a->x, s, 0, x);
    for (x_chunk *at = x; at < x + round_up(s->cols, 32) / 32 * 2 * T; at += 2 * T)
        for (int t = 0; t < T; t++) {
            at[t].start = 256 * at[t].start + at[T + t].start;
            at[t].scale = at[T + t].scale;
        }
    for (int64_t i = 0; i < a->panel_count; i++)
        folded_panel(1, T, a, s, 0, i, x);
}
#define FINE_FOLDED_CASE(T) case T: fine_folded(T, a, s); return;
#endif

#define FOLDED_CASE(T) case T: folded_panel(0, T, a, s, t0, i, at); break;
INLINE void few_folded(const call *a, const slab *s)
{
#ifdef HAVE_DPBUSD
    if (a->x->q8_fine)
        switch (a->x->tokens) {
            EACH_FINE_FOLDED(FINE_FOLDED_CASE)
        }
#endif
    int64_t count = ash_q8_rows(a->x), chunks = round_up(s->cols, 32) / 32;
    x_chunk *x = a->scratch;
    for (int64_t t0 = 0, share; t0 < count; t0 += share) {
        share = even_share(count - t0, FOLDED_TOKENS);
        prepare_chunks((int)share, a->x, s, t0, x + chunks * t0);
    }
    for (int64_t i = 0; i < a->panel_count; i++) {
        for (int64_t t0 = 0, share; t0 < count; t0 += share) {
            const x_chunk *at = x + chunks * t0;
            share = even_share(count - t0, FOLDED_TOKENS);
            switch (share) {
                EACH_FOLDED(FOLDED_CASE)
            }
        }
    }
}
_Static_assert(FEW_TOKENS * SLAB_COLS / 32 * sizeof(x_chunk) <= ASH_SCRATCH_BYTES, "scratch");

#endif
