/* MATMUL_Q8's second form: a tile is unpacked once into the first-level cache, rows in lanes, and multiplied with blocks
 * of tokens, whose sums stay in registers for a tile and in scratch between tiles. Inner loops are made for each kind of
 * block (block_kind): here for dpbusd and for 16-bit sums at 512 bits; matmul_q8_blocks.h has those of 256 bits without
 * VNNI, matmul_q8_rounded.h those of prompts with VNNI.
 *
 * Integers: a group of 32 (16; WIDE, FINE: a tile's) columns is summed exactly. Floats: one product and one FMA a group, then
 * one FMA for the minimum; Q6_K with VNNI has one FMA for the two groups of a scale of activations (block_whole).
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_MANY_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_MANY_H

/* A block multiplies 2 row vectors (1 at an odd end) with up to BLOCK_TOKENS tokens. 512 bits have registers for 12
 * integer and 12 float sums, 2 weights and an activation, and some to spare (14 of each fit too, and take 1 to 6% longer
 * a token on Zen 5); without VNNI 16-bit sums come on top. 256 bits have 16 registers: with VNNI 12 integer sums, the
 * float ones wait in memory for a group's end. */
#if defined(HAVE_DPBUSD)
#define BLOCK_TOKENS 6
#else
#define BLOCK_TOKENS 4
#endif
#if VB == 64
#define WIDE_TOKENS 8 /* of WIDE and FINE: sums of integers alone; 12 would take more addresses than there are registers */
#else
#define WIDE_TOKENS BLOCK_TOKENS
#endif
#define WHOLE_TOKENS 4 /* of WHOLE_16, with three vectors a product: a group's sum, that of two and the tile's */
#define BLOCK_VECTORS 2
#define BLOCK_PANELS (BLOCK_VECTORS / ROW_VECTORS)

/* What the inner loop needs to know of a type. */
typedef enum block_kind {
    OFFSET_32, /* an offset, scales of 32 columns, codes below 32 (with VNNI: any) */
    MIN_32,
    OFFSET_16, /* scales of 16 columns, codes below 64 */
    SIGNED_32, /* signed codes: Q8_0 without VNNI */
    WHOLE_16,  /* Q6_K with VNNI: whole scales of 16 columns, which multiply integer sums */
    ROUNDED,   /* with VNNI: int8 with a scale for a row of a tile, of types that ash_q8_rounds */
    WIDE,      /* the same where a tile of activations has one scale too */
    FINE,      /* the same of q8_fine */
    MIN5_32,   /* matmul_q8_blocks.h: MIN_32, codes of 5 bits */
    STEPS_16,  /* matmul_q8_blocks.h: Q6_K, whole scales of 16 columns, which multiply 16-bit sums */
    BLOCK_KINDS
} block_kind;

INLINE block_kind kind_of(ash_dtype t)
{
#ifdef HAVE_DPBUSD
    return q_has_min(t) ? MIN_32 : t == ASH_Q6_K ? WHOLE_16 : OFFSET_32;
#elif defined(HAVE_LINES)
    if (q_has_min(t))
        return q_high_bits(t) ? MIN5_32 : MIN_32;
    return t == ASH_Q6_K ? STEPS_16 : t == ASH_Q8_0 ? SIGNED_32 : OFFSET_32;
#else
    return q_has_min(t) ? MIN_32 : t == ASH_Q6_K ? OFFSET_16 : t == ASH_Q8_0 ? SIGNED_32 : OFFSET_32;
#endif
}

/* Columns of a scale in block_scratch, and of an x_part. */
INLINE int group_cols_of(block_kind kind)
{
    return kind == WIDE || kind == FINE ? Q_TILE_COLS : kind == OFFSET_16 || kind == WHOLE_16 || kind == STEPS_16 ? 16 : 32;
}

/* A group's part of a token's x. */
typedef struct x_part {
    float scale;
    union {
        int32_t start; /* -offset * sum of x, of ROUNDED, WIDE and FINE -128 (of FINE's 16 bits, as scale is); in
                        * matmul_q8_blocks.h of each half: columns 4 i, 4 i + 1 and others */
        float sum;     /* scale * sum of x */
    } of;
} x_part;

typedef struct block_scratch {
    uint8_t codes[BLOCK_VECTORS][Q_TILE_COLS * VB / 4];
    union {
        tile_scales scales[BLOCK_VECTORS];
        whole_scales whole[BLOCK_VECTORS]; /* of WHOLE_16; of STEPS_16 a scale in both halves of a word */
        float row[BLOCK_VECTORS][VR];      /* of ROUNDED, WIDE, FINE */
    } of;
    int64_t to_lower; /* of FINE: from a row of x to its lower bytes; else 0 */
} block_scratch;
#define MANY_TOKENS 1024 /* of one pass at most: their sums take 128 KiB */
#define PART_BYTES (256 * 1024)
#ifdef HAVE_LINES
#define MANY_X_BYTES (384 * 1024) /* Zen 3 has 512 KiB */
#else
#define MANY_X_BYTES (1536 * 1024) /* of the activations of one pass, so that they stay in the second-level cache */
#endif

/* Up to a tile's columns: `groups` groups (WIDE, FINE: of 32 columns); x, parts: of the first token; sums[t][v][VR]. */
typedef void block_fn(const block_scratch *b, int groups, const int8_t *x, int64_t x_stride, const x_part *parts,
                      int64_t part_stride, float *sums);

#if defined(HAVE_DPBUSD) || defined(HAVE_LINES)
#ifdef HAVE_DPBUSD
#define ADD_PRODUCTS v_dpbusd
#else
#define ADD_PRODUCTS add_products
#endif
/* sums[V t + v] += products of words first .. end - 1, 4 columns each: codes of row vector v and x of token t. */
INLINE void add_words(const int V, const int T, const int first, const int end, const uint8_t *codes, const int8_t *x,
                      int64_t x_stride, vi *sums)
{
    const uint8_t *next = codes + sizeof ((block_scratch *)0)->codes[0];
#pragma GCC unroll 8
    for (int i = first; i < end; i++) {
        vi q0 = v_load(codes + i * VB), q1 = V > 1 ? v_load(next + i * VB) : q0;
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
            vi xt = v_spread4(x + t * x_stride + 4 * i);
            sums[V * t] = ADD_PRODUCTS(sums[V * t], q0, xt);
            if (V > 1)
                sums[V * t + 1] = ADD_PRODUCTS(sums[V * t + 1], q1, xt);
        }
    }
}
#endif

/* sums[t][v] += tile[V t + v] * scale of row vector v; those of the next one lie `stride` floats behind. */
INLINE void add_tile(const int V, const int T, const vf *tile, const float *scale, int64_t stride, float *sums)
{
#pragma GCC unroll 16
    for (int i = 0; i < V * T; i++) {
        float *sum = sums + (i / V * BLOCK_VECTORS + i % V) * VR;
        vf_store(sum, vf_fma(tile[i], vf_load(scale + i % V * stride), vf_load(sum)));
    }
}

#ifdef HAVE_LINES
#include "kernels/x86/matmul_q8_blocks.h"
#else
INLINE void block(const block_kind kind, const int V, const int T, const block_scratch *b, int groups, const int8_t *x,
                  int64_t x_stride, const x_part *parts, int64_t part_stride, float *sums)
{
    enum { CAP = BLOCK_VECTORS * BLOCK_TOKENS };
    const int words = kind == OFFSET_16 ? 4 : 8; /* of 4 columns in a group */
    const int from_start = kind == OFFSET_32 || kind == OFFSET_16;
    vf total[CAP];
#pragma GCC unroll 12
    for (int i = 0; i < V * T; i++)
        total[i] = vf_load(sums + (i / V * BLOCK_VECTORS + i % V) * VR);
    const uint8_t *codes = b->codes[0];
    for (int g = 0; g < groups; g++, x += 4 * words, parts++, codes += words * VB) {
        vi dot[CAP];
#pragma GCC unroll 12
        for (int i = 0; i < V * T; i++)
            dot[i] = from_start ? v_spread4(&parts[i / V * part_stride].of.start) : v_zero();
#ifdef HAVE_DPBUSD
        add_words(V, T, 0, words, codes, x, x_stride, dot);
#else
        /* 16-bit sums of pairs: 4 words of 5-bit codes or 2 of 6-bit codes, as in dot_unit */
        const int run = kind == OFFSET_16 ? 2 : kind == SIGNED_32 ? 1 : 4;
#pragma GCC unroll 4
        for (int i0 = 0; i0 < words; i0 += run) {
            vi pairs[CAP];
#pragma GCC unroll 4
            for (int i = i0; i < i0 + run; i++) {
                vi q0 = v_load(codes + i * VB), q1 = V > 1 ? v_load(codes + sizeof b->codes[0] + i * VB) : q0;
#pragma GCC unroll 4
                for (int t = 0; t < T; t++) {
                    vi xt = v_spread4(x + t * x_stride + 4 * i);
                    if (kind == SIGNED_32) {
                        dot[V * t] = v_add32(dot[V * t], v_dot_signed(q0, xt));
                        if (V > 1)
                            dot[V * t + 1] = v_add32(dot[V * t + 1], v_dot_signed(q1, xt));
                        continue;
                    }
                    vi p0 = v_madd8(q0, xt), p1 = V > 1 ? v_madd8(q1, xt) : p0;
                    pairs[V * t] = i == i0 ? p0 : v_add16(pairs[V * t], p0);
                    if (V > 1)
                        pairs[V * t + 1] = i == i0 ? p1 : v_add16(pairs[V * t + 1], p1);
                }
            }
            if (kind == SIGNED_32)
                continue;
#pragma GCC unroll 12
            for (int i = 0; i < V * T; i++)
                dot[i] = v_add32(dot[i], v_madd16(pairs[i], v_set16(1)));
        }
#endif
#pragma GCC unroll 12
        for (int i = 0; i < V * T; i++) {
            const x_part *part = &parts[i / V * part_stride];
            vf scaled = vf_mul(vf_of_ints(dot[i]), vf_load(b->of.scales[i % V].s[g]));
            total[i] = vf_fma(scaled, vf_set(part->scale), total[i]);
            if (kind == MIN_32)
                total[i] = vf_fnma(vf_load(b->of.scales[i % V].m[g]), vf_set(part->of.sum), total[i]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < V * T; i++)
        vf_store(sums + (i / V * BLOCK_VECTORS + i % V) * VR, total[i]);
}
#endif

#ifdef HAVE_DPBUSD
/* Q6_K: a tile's sum is d * sum of dx * (s0 * dot0 + s1 * dot1) over the two groups that share dx, in whole numbers
 * up to 2 * 128 * 32 * 127 * 16 < 2^24, which floats hold. On Zen 4 products of every kind take dpbusd's two units,
 * which bind: 32 columns are 8 dpbusd, 2 whole products and 1 FMA, where float scales need 4 products, so 8 steps of 11
 * count, not 8 of 12. For scales of 32 columns, a whole product in a float one's place gains nothing. */
INLINE void block_whole(const int V, const int T, const block_scratch *b, int groups, const int8_t *x,
                        int64_t x_stride, const x_part *parts, int64_t part_stride, float *sums)
{
    enum { CAP = BLOCK_VECTORS * WHOLE_TOKENS };
    vf tile[CAP];
#pragma GCC unroll 8
    for (int i = 0; i < V * T; i++)
        tile[i] = vf_zero();
    const uint8_t *codes = b->codes[0];
    for (int g = 0; g < groups; g += 2, parts += 2) {
        vi scaled[CAP];
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++, x += 16, codes += 4 * VB) {
            vi dot[CAP];
#pragma GCC unroll 8
            for (int i = 0; i < V * T; i++)
                dot[i] = v_spread4(&parts[i / V * part_stride + h].of.start);
            add_words(V, T, 0, 4, codes, x, x_stride, dot);
#pragma GCC unroll 8
            for (int i = 0; i < V * T; i++) {
                vi product = v_mul32(dot[i], v_load(b->of.whole[i % V].s[g + h]));
                scaled[i] = h ? v_add32(scaled[i], product) : product;
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < V * T; i++)
            tile[i] = vf_fma(vf_of_ints(scaled[i]), vf_set(parts[i / V * part_stride].scale), tile[i]);
    }
    add_tile(V, T, tile, b->of.whole[0].d, sizeof b->of.whole[0] / sizeof(float), sums);
}
#endif

#ifdef HAVE_DPBUSD
#include "kernels/x86/matmul_q8_rounded.h"
#endif

#define BLOCK_ARGS b, groups, x, x_stride, parts, part_stride, sums
#define BLOCK_FN(kind, V, T, body)                                                                                \
    NOINLINE void block_##kind##_##V##_##T(const block_scratch *b, int groups, const int8_t *x, int64_t x_stride, \
                                           const x_part *parts, int64_t part_stride, float *sums)                \
    {                                                                                                             \
        body;                                                                                                     \
    }
#define BLOCK(kind, V, T) BLOCK_FN(kind, V, T, block(kind, V, T, BLOCK_ARGS))
#define BLOCK_WHOLE(kind, V, T) BLOCK_FN(kind, V, T, block_whole(V, T, BLOCK_ARGS))
#define BLOCK_ROUNDED(kind, V, T) BLOCK_FN(kind, V, T, block_rounded(V, T, BLOCK_ARGS))
#define BLOCK_WIDE(kind, V, T) BLOCK_FN(kind, V, T, block_wide(kind == FINE, V, T, BLOCK_ARGS))
/* More than FEW_TOKENS in even shares, the larger ones first: with VNNI, of at most 6 at least 4 each, of at most 4 at least
 * 3, of 8 (24 and more tokens) at least 6; without, at least 2. */
#ifdef HAVE_DPBUSD
#define EACH_TOKENS(M, kind, V) M(kind, V, 4) M(kind, V, 5) M(kind, V, 6)
#if VB == 64
#define EACH_TOKENS_WIDE(M, kind, V) M(kind, V, 6) M(kind, V, 7) M(kind, V, 8)
#else
#define EACH_TOKENS_WIDE EACH_TOKENS
#endif
#define EACH_TOKENS_OF_4(M, kind, V) M(kind, V, 3) M(kind, V, 4)
#else
#define EACH_TOKENS(M, kind, V) M(kind, V, 2) M(kind, V, 3) M(kind, V, 4)
#endif
#define BLOCK_NAME(kind, V, T) [T] = block_##kind##_##V##_##T,
#if ROW_VECTORS == 1
#define EACH_BLOCK(M, kind, EACH) EACH(M, kind, 1) EACH(M, kind, 2)
#define BLOCK_ROW(kind, EACH) [kind] = { { EACH(BLOCK_NAME, kind, 1) }, { EACH(BLOCK_NAME, kind, 2) } },
#else /* a panel is both vectors */
#define EACH_BLOCK(M, kind, EACH) EACH(M, kind, 2)
#define BLOCK_ROW(kind, EACH) [kind] = { { NULL }, { EACH(BLOCK_NAME, kind, 2) } },
#endif
EACH_BLOCK(BLOCK, OFFSET_32, EACH_TOKENS)
EACH_BLOCK(BLOCK, MIN_32, EACH_TOKENS)
#ifdef HAVE_DPBUSD
EACH_BLOCK(BLOCK_WHOLE, WHOLE_16, EACH_TOKENS_OF_4)
EACH_BLOCK(BLOCK_ROUNDED, ROUNDED, EACH_TOKENS)
EACH_BLOCK(BLOCK_WIDE, WIDE, EACH_TOKENS_WIDE)
EACH_BLOCK(BLOCK_WIDE, FINE, EACH_TOKENS_WIDE)
#elif defined(HAVE_LINES)
EACH_BLOCK(BLOCK, MIN5_32, EACH_TOKENS)
EACH_BLOCK(BLOCK, STEPS_16, EACH_TOKENS)
EACH_BLOCK(BLOCK, SIGNED_32, EACH_TOKENS)
#else
EACH_BLOCK(BLOCK, OFFSET_16, EACH_TOKENS)
EACH_BLOCK(BLOCK, SIGNED_32, EACH_TOKENS)
#endif
static block_fn *const block_table[BLOCK_KINDS][BLOCK_VECTORS][WIDE_TOKENS + 1] = {
    BLOCK_ROW(OFFSET_32, EACH_TOKENS)
    BLOCK_ROW(MIN_32, EACH_TOKENS)
#ifdef HAVE_DPBUSD
    BLOCK_ROW(WHOLE_16, EACH_TOKENS_OF_4)
    BLOCK_ROW(ROUNDED, EACH_TOKENS)
    BLOCK_ROW(WIDE, EACH_TOKENS_WIDE)
    BLOCK_ROW(FINE, EACH_TOKENS_WIDE)
#elif defined(HAVE_LINES)
    BLOCK_ROW(MIN5_32, EACH_TOKENS)
    BLOCK_ROW(STEPS_16, EACH_TOKENS)
    BLOCK_ROW(SIGNED_32, EACH_TOKENS)
#else
    BLOCK_ROW(OFFSET_16, EACH_TOKENS)
    BLOCK_ROW(SIGNED_32, EACH_TOKENS)
#endif
};

#ifndef HAVE_LINES
/* One token's parts, `groups` of them; of 32 columns they are an even number. */
static void prepare_parts(const block_kind kind, int offset, const float *scale, const int16_t *sum, int64_t groups,
                          x_part *out)
{
    if (group_cols_of(kind) == 16) {
        for (int64_t g = 0; g < groups; g++)
            out[g] = (x_part){ scale[g / 2], { .start = -offset * sum[g] } };
        return;
    }
    __m128i factor = _mm_set1_epi16((short)(kind == MIN_32 ? 1 : -offset));
    for (int64_t g = 0; g < groups; g += 2) {
        __m128i sums = _mm_madd_epi16(_mm_loadl_epi64((const __m128i *)(const void *)(sum + 2 * g)), factor);
        __m128 scales = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)(scale + g)));
        __m128 of = kind == MIN_32 ? _mm_mul_ps(scales, _mm_cvtepi32_ps(sums)) : _mm_castsi128_ps(sums);
        _mm_storeu_ps(&out[g].scale, _mm_unpacklo_ps(scales, of));
    }
}

/* -128 * the sum of up to a tile's columns: at most 128 * 127 * 256 < 2^22, and so is what a tile's products sum up to. */
static inline int32_t start_of_tile(const int16_t *sum, int64_t cols)
{
    int32_t total = 0;
    if (cols < Q_TILE_COLS) {
        for (int64_t i = 0; i < cols / 16; i++)
            total += sum[i];
        return -128 * total;
    }
    __m256i words = _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(const void *)sum), _mm256_set1_epi16(-128));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(four) + _mm_extract_epi32(four, 1);
}

/* One token's parts, of tiles. to_lower: of FINE, else 0. */
static void prepare_tiles(const q8_columns *x, int64_t to_lower, int64_t cols, x_part *out)
{
    const float *scale = x->scale + to_lower / 32;
    const int16_t *lower_sum = x->sum + to_lower / 16;
    for (int64_t k = 0; k < cols; k += Q_TILE_COLS, out++) {
        int64_t n = smaller(cols - k, Q_TILE_COLS);
        int32_t start = start_of_tile(x->sum + k / 16, n);
        if (to_lower)
            start = 256 * start + start_of_tile(lower_sum + k / 16, n);
        *out = (x_part){ scale[k / 32], { .start = start } };
    }
}
#endif

/* `count` tokens from t0 on, whose parts are prepared. */
typedef struct token_pass {
    int64_t t0, count;
    const int8_t *x;
    const x_part *parts;
    int64_t part_stride;
    float *sums; /* room for [count][BLOCK_VECTORS][VR] */
} token_pass;

/* Panel i and, `panels` being 2, its neighbour. */
INLINE void many_panels(const ash_dtype type, const block_kind kind, const call *a, const slab *s, int64_t i,
                        int panels, const token_pass *p, block_scratch *b)
{
    const int vectors = panels * ROW_VECTORS, group_cols = group_cols_of(kind);
    const int whole_tile = kind == WIDE || kind == FINE, rounds = kind == ROUNDED || whole_tile;
    const int most = kind == WHOLE_16 ? WHOLE_TOKENS : whole_tile ? WIDE_TOKENS : BLOCK_TOKENS;
    int64_t x_stride = a->x->stride;
    /* shares as even_share has them, divided out once */
    const int64_t blocks = (p->count + most - 1) / most, least = p->count / blocks, more = p->count % blocks;
    const int64_t a_token = q_tile_bytes(type) / p->count + 1; /* bytes of the next tile */
    block_fn *const *fns = block_table[kind][vectors - 1];
    memset(p->sums, 0, (size_t)p->count * BLOCK_VECTORS * VR * sizeof *p->sums);
    for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS) {
        int n = (int)round_up(smaller(s->cols - k, Q_TILE_COLS), type == ASH_Q8_0 ? 32 : 64);
        const uint8_t *next[BLOCK_PANELS] = { NULL }; /* tiles: of this panel or the one that is multiplied then */
        for (int v = 0; v < vectors; v++) {
            const int64_t panel = a->panel_first + i + v / ROW_VECTORS;
            const uint8_t *tile = slab_of_panel(type, a->w, panel, s) + k / Q_TILE_COLS * q_tile_bytes(type);
            next[v / ROW_VECTORS] = k + Q_TILE_COLS < s->cols ? tile + q_tile_bytes(type)
                                    : panel + panels < a->panel_first + a->panel_count
                                        ? slab_of_panel(type, a->w, panel + panels, s) : tile;
            tile_scales scales, *to = rounds ? &scales : &b->of.scales[v];
#ifdef HAVE_LINES
            if (kind == STEPS_16)
                read_step_scales(tile, v % ROW_VECTORS, &b->of.whole[v]);
            else
#endif
            if (kind == WHOLE_16)
                read_whole_scales(tile, v % ROW_VECTORS, &b->of.whole[v]);
            else
                read_scales(type, tile, v % ROW_VECTORS, to);
            const int flip = kind == SIGNED_32 ? 0 : 0x80; /* of Q8_0 */
            unpack_codes(type, tile + q_header_bytes(type), n, v % ROW_VECTORS, flip, b->codes[v]);
#ifdef HAVE_DPBUSD
            if (rounds)
                round_codes(type, &scales, n, b->codes[v], b->of.row[v]);
#endif
        }
        for (int64_t block = 0, t = 0, share; block < blocks; block++, t += share) {
            share = least + (block < more);
            for (int j = 0; j < panels; j++)
                prefetch_next(next[j], t * a_token, smaller((t + share) * a_token, q_tile_bytes(type)));
            fns[share](b, n / (whole_tile ? 32 : group_cols), p->x + t * x_stride + k, x_stride,
                       p->parts + t * p->part_stride + k / group_cols, p->part_stride,
                       p->sums + t * BLOCK_VECTORS * VR);
        }
    }
    for (int64_t t = 0; t < p->count; t++)
        for (int v = 0; v < vectors; v++)
            store_rows(vf_load(p->sums + (t * BLOCK_VECTORS + v) * VR), a, p->t0 + t, i + v / ROW_VECTORS,
                       v % ROW_VECTORS * VR, s);
}

INLINE void many_tokens(const ash_dtype type, const block_kind kind, const call *a, const slab *s)
{
    const ash_acts *x = a->x;
    block_scratch *b = a->scratch;
    float *sums = (float *)(void *)(b + 1);
    x_part *parts = (x_part *)(void *)(sums + MANY_TOKENS * BLOCK_VECTORS * VR);
    int64_t cols = ash_pad_cols(s->cols), part_stride = round_up(cols, group_cols_of(kind)) / group_cols_of(kind);
    const int64_t tokens = kind == FINE ? x->tokens : ash_q8_rows(x);
    b->to_lower = kind == FINE ? x->tokens * x->stride : 0;
    int64_t most = smaller(PART_BYTES / (part_stride * (int64_t)sizeof *parts),
                           MANY_X_BYTES / (kind == FINE ? 2 * s->cols : s->cols));
    most = smaller(most, MANY_TOKENS); /* with VNNI at least 16: a pass has 8 or more, and no share of them is below 4 */
    for (int64_t t0 = 0, count; t0 < tokens; t0 += count) {
        count = even_share(tokens - t0, most);
        for (int64_t t = 0; t < count; t++) {
            q8_columns c = columns_of(x, t0 + t, s->k);
#ifdef HAVE_LINES
            prepare_parts(type, c.q, c.scale, c.sum, part_stride, parts + t * part_stride);
#else
            if (kind == WIDE || kind == FINE)
                prepare_tiles(&c, b->to_lower, cols, parts + t * part_stride);
            else
                prepare_parts(kind, kind == ROUNDED ? 128 : q_offset(type), c.scale, c.sum, part_stride,
                              parts + t * part_stride);
#endif
        }
        token_pass pass = { t0, count, columns_of(x, t0, s->k).q, parts, part_stride, sums };
        for (int64_t i = 0; i < a->panel_count; i += BLOCK_PANELS)
            many_panels(type, kind, a, s, i, (int)smaller(a->panel_count - i, BLOCK_PANELS), &pass, b);
    }
}
#ifdef HAVE_DPBUSD
_Static_assert(PART_BYTES / (SLAB_COLS / 16 * sizeof(x_part)) >= 16 && MANY_X_BYTES / SLAB_COLS >= 16, "shares");
_Static_assert(VB == 32 || MANY_X_BYTES / SLAB_COLS >= 48, "of WIDE a pass has 24 or more: no share is below 6");
#endif
_Static_assert(sizeof(block_scratch) + 4 * MANY_TOKENS * BLOCK_VECTORS * VR + PART_BYTES <= ASH_SCRATCH_BYTES,
               "scratch");

#endif
