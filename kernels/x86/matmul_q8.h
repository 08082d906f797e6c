/* MATMUL_Q8 for every quantized type, in two forms that share tiles_quant.h. For few tokens matmul_q8_folded.h (Q8_0) and
 * matmul_q8_pairs.h have others, and for 256 bits without VNNI matmul_q8_lines.h and, for more, matmul_q8_blocks.h; with
 * VNNI prompts have matmul_q8_rounded.h.
 *
 * Few tokens: a panel is read as it lies. A vector of 16 bytes a row meets a pattern of 16 activations that is the same
 * for all rows (x_group); sums stay apart by step in the words of a row until the panel ends.
 * More tokens: a tile is unpacked once into the first-level cache, rows in lanes, and multiplied with blocks of tokens,
 * whose sums stay in registers for a tile and in scratch between tiles.
 *
 * Integers: a group of 32 (16) columns is summed exactly; sums start from -offset * sum(x), so the offset is off.
 * Floats: one product and one FMA a group, then one FMA for the minimum; Q6_K with VNNI has one FMA for the two groups
 * of a scale of activations (block_whole).
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_H

#include "kernels/matmul_call.h"
#include "kernels/tiles_quant.h"

/* Up to FEW_TOKENS the first form, ONCE_TOKENS at a time: the second time a panel is in the cache. With 16-bit sums the
 * second form is faster from 5 on. */
#define ONCE_TOKENS 4
#ifdef HAVE_DPBUSD
#define FEW_TOKENS 8
#else
#define FEW_TOKENS 4
#endif
#define SLAB_COLS 32768 /* columns of one pass, so that what is prepared of x fits the scratch */

/* Columns [k, k + cols) of a product; `add` to what y holds. */
typedef struct slab {
    int64_t k, cols;
    int add;
} slab;

INLINE const uint8_t *slab_of_panel(const ash_dtype type, const ash_matrix *w, int64_t panel, const slab *s)
{
    return w->data + panel * w->panel_bytes + s->k / Q_TILE_COLS * q_tile_bytes(type);
}

INLINE void store_rows(vf sums, float *y, int add)
{
    vf rows = vf_from_sigma(sums);
    vf_store(y, add ? vf_add(vf_load(y), rows) : rows);
}

/* Whether the forms of matmul_q8_folded.h and matmul_q8_pairs.h need no prefetch: with one token at 512 bits whole cache
 * lines come nearly in order. Zen 4 (family 19h; its other members have no VNNI) fetches those ahead on its own: Q8_0 and
 * Q4_K then read 99% of what a plain loop does from large pages, 92% with prefetches. Zen 5 does not: Q4_K takes 2.3
 * times as long without. More tokens leave either idle for longer: 8 of Q4_K take 28% more time on Zen 4. At 256 bits
 * prefetches are always there. */
INLINE int fetched_ahead(int tokens) { return VB == 64 && tokens == 1 && __builtin_cpu_is("amdfam19h"); }

/* A token's 8-bit form from a column on, a multiple of 32. */
typedef struct q8_columns {
    const int8_t *q;
    const float *scale;
    const int16_t *sum;
} q8_columns;
INLINE q8_columns columns_of(const ash_acts *x, int64_t t, int64_t k)
{
    return (q8_columns){ x->q8 + t * x->stride + k, x->q8_scale + t * (x->stride / 32) + k / 32,
                         x->q8_sum + t * (x->stride / 16) + k / 16 };
}

/* ---- few tokens ---- */

/* 64 columns of a token. pattern[2 h + j], byte 4 s + b: x of column 16 s + 8 h + 4 j + b. */
typedef struct x_group {
    int8_t pattern[4][16];
    float scale[4]; /* of the words of pattern: of steps 0 .. 3 */
    union {
        int32_t start[4]; /* -offset * the sum over the step */
        float sum[4];     /* types with minimums: scale * the sum over the step */
    } of;
} x_group;

static inline void prepare_group(const ash_dtype type, const int8_t *q, const float *scale, const int16_t *sum,
                                 x_group *out)
{
    const __m128i *from = (const __m128i *)(const void *)q;
    __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
    __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
    __m128i *pattern = (__m128i *)(void *)out->pattern, *start = (__m128i *)(void *)out->of.start;
    __m128 scales = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)scale));
    scales = _mm_unpacklo_ps(scales, scales);
    _mm_storeu_ps(out->scale, scales);
    __m128i e = _mm_unpacklo_epi32(a, b), f = _mm_unpackhi_epi32(a, b);
    __m128i g = _mm_unpacklo_epi32(c, d), h = _mm_unpackhi_epi32(c, d);
    _mm_storeu_si128(pattern, _mm_unpacklo_epi64(e, g));
    _mm_storeu_si128(pattern + 1, _mm_unpackhi_epi64(e, g));
    _mm_storeu_si128(pattern + 2, _mm_unpacklo_epi64(f, h));
    _mm_storeu_si128(pattern + 3, _mm_unpackhi_epi64(f, h));
    __m128i sums = _mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)sum));
    if (q_has_min(type))
        _mm_storeu_ps(out->of.sum, _mm_mul_ps(_mm_cvtepi32_ps(sums), scales));
    else
        _mm_storeu_si128(start, _mm_madd_epi16(sums, _mm_set1_epi32(-q_offset(type) & 0xffff)));
}

/* Dot products of a unit's 4 vectors with a pattern, by word. */
INLINE vi dot_unit(const ash_dtype type, const vi q[4], const x_group *x)
{
    vi start = q_offset(type) ? v_spread16(x->of.start) : v_zero();
    vi x0 = v_spread16(x->pattern[0]), x1 = v_spread16(x->pattern[1]);
    vi x2 = v_spread16(x->pattern[2]), x3 = v_spread16(x->pattern[3]);
#ifdef HAVE_DPBUSD
    return v_dpbusd(v_dpbusd(v_dpbusd(v_dpbusd(start, q[0], x0), q[1], x1), q[2], x2), q[3], x3);
#else
    /* a pair is at most 2 * 31 * 127 = 7874: 4 fit 16 bits; with 6-bit codes 2 * 63 * 127 = 16002: 2 fit */
    vi a = v_add16(v_madd8(q[0], x0), v_madd8(q[1], x1)), b = v_add16(v_madd8(q[2], x2), v_madd8(q[3], x3));
    vi ones = v_set16(1);
    if (q_high_bits(type) == 2)
        return v_add32(start, v_add32(v_madd16(a, ones), v_madd16(b, ones)));
    return v_add32(start, v_madd16(v_add16(a, b), ones));
#endif
}

/* The scales of 4 words of each row of unit g, from vectors of rows in sigma order: 4 x 4 words turned. */
#define UNIT_SCALES(a, b, g) vf_shuffle(a, b, (g) * 0x55)

/* One chunk group (64 columns) of one unit: sums[t] of T tokens. */
INLINE void group_unit(const ash_dtype type, const int T, const uint8_t *chunk, int row_vector, int g, vf scale, vf min,
                       const x_group *x, int64_t x_stride, vf *sums)
{
    vi q[4];
    if (row_vector == 0)
        prefetch(chunk + g * (q_group_bytes(type) / 4), q_group_bytes(type) / 4);
    load_unit(type, chunk, row_vector, g, q);
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
        const x_group *xt = x + t * x_stride;
        vf dot = vf_mul(vf_of_ints(dot_unit(type, q, xt)), vf_spread4(xt->scale));
        sums[t] = vf_fma(dot, scale, sums[t]);
        if (q_has_min(type))
            sums[t] = vf_fnma(min, vf_spread4(xt->of.sum), sums[t]);
    }
}

/* Up to 256 columns of VR rows. sums[4 g + t]. */
INLINE void few_tile(const ash_dtype type, const int T, const uint8_t *tile, int row_vector, int cols, const x_group *x,
                     int64_t x_stride, vf *sums)
{
    tile_scales scales;
    if (row_vector == 0)
        prefetch(tile, q_header_bytes(type));
    read_scales(type, tile, row_vector, &scales);
    const uint8_t *chunk = tile + q_header_bytes(type);
    for (int c = 0; 64 * c < cols; c++, chunk += q_group_bytes(type)) {
        vf s[4], m[4];
        if (q_scale_cols(type) == 16) {
            vi turn[4] = { v_load(scales.s[4 * c]), v_load(scales.s[4 * c + 1]), v_load(scales.s[4 * c + 2]),
                           v_load(scales.s[4 * c + 3]) };
            v_transpose4(turn);
            for (int g = 0; g < 4; g++)
                s[g] = m[g] = vf_cast(turn[g]);
        } else {
            vf s0 = vf_load(scales.s[2 * c]), s1 = vf_load(scales.s[2 * c + 1]);
            s[0] = m[0] = UNIT_SCALES(s0, s1, 0);
            s[1] = m[1] = UNIT_SCALES(s0, s1, 1);
            s[2] = m[2] = UNIT_SCALES(s0, s1, 2);
            s[3] = m[3] = UNIT_SCALES(s0, s1, 3);
        }
        if (q_has_min(type)) {
            vf m0 = vf_load(scales.m[2 * c]), m1 = vf_load(scales.m[2 * c + 1]);
            m[0] = UNIT_SCALES(m0, m1, 0);
            m[1] = UNIT_SCALES(m0, m1, 1);
            m[2] = UNIT_SCALES(m0, m1, 2);
            m[3] = UNIT_SCALES(m0, m1, 3);
        }
        group_unit(type, T, chunk, row_vector, 0, s[0], m[0], x + c, x_stride, sums);
        group_unit(type, T, chunk, row_vector, 1, s[1], m[1], x + c, x_stride, sums + 4);
        group_unit(type, T, chunk, row_vector, 2, s[2], m[2], x + c, x_stride, sums + 8);
        group_unit(type, T, chunk, row_vector, 3, s[3], m[3], x + c, x_stride, sums + 12);
    }
}

/* T tokens from t0 on, of which `count` are wanted. The row vectors come one after the other: the second finds the panel
 * in the cache. */
INLINE void few_panel(const ash_dtype type, const int T, const call *a, const slab *s, int64_t i, const x_group *x,
                      int64_t x_stride, int64_t t0, int count)
{
    for (int v = 0; v < ROW_VECTORS; v++) {
        vf sums[16];
#pragma GCC unroll 16
        for (int n = 0; n < 16; n++)
            sums[n] = vf_zero();
        const uint8_t *tile = slab_of_panel(type, a->w, a->panel_first + i, s);
        for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS, tile += q_tile_bytes(type))
            few_tile(type, T, tile, v, (int)smaller(s->cols - k, Q_TILE_COLS), x + k / 64, x_stride, sums);
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            vi words[4] = { v_cast(sums[t]), v_cast(sums[4 + t]), v_cast(sums[8 + t]), v_cast(sums[12 + t]) };
            v_transpose4(words);
            vf total = vf_add(vf_add(vf_cast(words[0]), vf_cast(words[1])),
                              vf_add(vf_cast(words[2]), vf_cast(words[3])));
            if (t < count)
                store_rows(total, call_y(a, t0 + t, i) + VR * v, s->add);
        }
    }
}

INLINE void few_tokens(const ash_dtype type, const call *a, const slab *s)
{
    const ash_acts *x = a->x;
    x_group *groups = a->scratch;
    int64_t stride = ash_pad_cols(s->cols) / 64;
    int count = (int)x->tokens, prepared = count % ONCE_TOKENS == 3 ? count + 1 : count; /* 3 run as 4: one twice */
    for (int t = 0; t < prepared; t++) {
        int64_t from = t < count ? t : count - 1;
        q8_columns c = columns_of(x, from, s->k);
        for (int64_t i = 0; i < stride; i++)
            prepare_group(type, c.q + 64 * i, c.scale + 2 * i, c.sum + 4 * i, groups + t * stride + i);
    }
    for (int64_t i = 0; i < a->panel_count; i++) {
        for (int t = 0; t < count; t += ONCE_TOKENS) {
            const x_group *from = groups + t * stride;
            if (prepared - t == 1)
                few_panel(type, 1, a, s, i, from, stride, t, count - t);
            else if (prepared - t == 2)
                few_panel(type, 2, a, s, i, from, stride, t, count - t);
            else
                few_panel(type, 4, a, s, i, from, stride, t, count - t);
        }
    }
}
_Static_assert(FEW_TOKENS * SLAB_COLS / 64 * sizeof(x_group) <= ASH_SCRATCH_BYTES, "scratch");

/* Function `name`: T tokens times all panels. `prepare` makes an x_type of 64 columns of a token, in the scratch, where
 * those of its tokens lie side by side; `panel` multiplies a panel with them. */
#define PREPARED_TOKENS(name, x_type, prepare, panel)                                                                  \
    INLINE void name(const ash_dtype type, const int T, const call *a, const slab *s)                                  \
    {                                                                                                                  \
        x_type *x = a->scratch;                                                                                        \
        int64_t groups = ash_pad_cols(s->cols) / 64;                                                                   \
        for (int t = 0; t < T; t++) {                                                                                  \
            q8_columns from = columns_of(a->x, t, s->k);                                                               \
            for (int64_t g = 0; g < groups; g++)                                                                       \
                prepare(type, from.q + 64 * g, from.scale + 2 * g, from.sum + 4 * g, x + g * T + t);                   \
        }                                                                                                              \
        for (int64_t i = 0; i < a->panel_count; i++)                                                                   \
            panel(type, T, a, s, i, x);                                                                                \
    }

#if VB == 32 && !defined(HAVE_DPBUSD)
#define HAVE_LINES 1
#endif
#include "kernels/x86/matmul_q8_folded.h"

#if defined(HAVE_DPBUSD) && ROW_VECTORS == 1
#define HAVE_PAIRS 1
#include "kernels/x86/matmul_q8_pairs.h"
#endif

#ifdef HAVE_LINES
#include "kernels/x86/matmul_q8_lines.h"
#endif

/* ---- more tokens ---- */

/* A block multiplies 2 row vectors (1 at an odd end) with up to BLOCK_TOKENS tokens. 512 bits have registers for 12
 * integer and 12 float sums, 2 weights and an activation, and some to spare (14 of each fit too, and take 1 to 6% longer a
 * token on Zen 5); without VNNI 16-bit sums come on top. 256 bits have 16 registers: with VNNI 12 integer sums, the float
 * ones wait in memory for a group's end. */
#if defined(HAVE_DPBUSD)
#define BLOCK_TOKENS 6
#else
#define BLOCK_TOKENS 4
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
#ifdef HAVE_DPBUSD
    ROUNDED,   /* int8 with a scale for a row of a tile, of types that ash_q8_rounds */
#endif
#ifdef HAVE_LINES
    MIN5_32,   /* MIN_32, codes of 5 bits */
    STEPS_16,  /* Q6_K: whole scales of 16 columns, which multiply 16-bit sums */
#endif
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

INLINE int is_rounded(block_kind kind)
{
#ifdef HAVE_DPBUSD
    return kind == ROUNDED;
#else
    return (void)kind, 0;
#endif
}

/* Columns of a scale in block_scratch, and of an x_part. */
INLINE int group_cols_of(block_kind kind)
{
#ifdef HAVE_LINES
    if (kind == STEPS_16)
        return 16;
#endif
    return kind == OFFSET_16 || kind == WHOLE_16 ? 16 : 32;
}

/* A group's part of a token's x. */
typedef struct x_part {
    float scale;
    union {
        int32_t start; /* -offset * sum of x; in matmul_q8_blocks.h of each half: columns 4 i, 4 i + 1 and others */
        float sum;     /* scale * sum of x */
    } of;
} x_part;

typedef struct block_scratch {
    uint8_t codes[BLOCK_VECTORS][Q_TILE_COLS * VB / 4];
    union {
        tile_scales scales[BLOCK_VECTORS];
        whole_scales whole[BLOCK_VECTORS]; /* of WHOLE_16; of STEPS_16 a scale in both halves of a word */
        float row[BLOCK_VECTORS][VR];      /* of ROUNDED */
    } of;
} block_scratch;
#define MANY_TOKENS 1024 /* of one pass at most: their sums take 128 KiB */
#define PART_BYTES (256 * 1024)
#ifdef HAVE_LINES
#define MANY_X_BYTES (384 * 1024) /* Zen 3 has 512 KiB */
#else
#define MANY_X_BYTES (1536 * 1024) /* of the activations of one pass, so that they stay in the second-level cache */
#endif

/* Up to a tile's columns: `groups` groups; x, parts: of the first token; sums[t][v][VR]. */
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
#pragma GCC unroll 6
        for (int t = 0; t < T; t++) {
            vi xt = v_spread4(x + t * x_stride + 4 * i);
            sums[V * t] = ADD_PRODUCTS(sums[V * t], q0, xt);
            if (V > 1)
                sums[V * t + 1] = ADD_PRODUCTS(sums[V * t + 1], q1, xt);
        }
    }
}
#endif

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
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                vi q0 = v_load(codes + i * VB), q1 = V > 1 ? v_load(codes + sizeof b->codes[0] + i * VB) : q0;
#pragma GCC unroll 4
                for (int t = 0; t < T; t++) {
                    vi xt = v_spread4(x + t * x_stride + 4 * i);
                    dot[V * t] = v_dpbusd(dot[V * t], q0, xt);
                    if (V > 1)
                        dot[V * t + 1] = v_dpbusd(dot[V * t + 1], q1, xt);
                }
            }
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
#pragma GCC unroll 8
    for (int i = 0; i < V * T; i++) {
        float *sum = sums + (i / V * BLOCK_VECTORS + i % V) * VR;
        vf_store(sum, vf_fma(tile[i], vf_load(b->of.whole[i % V].d), vf_load(sum)));
    }
}
#endif

#ifdef HAVE_DPBUSD
#include "kernels/x86/matmul_q8_rounded.h"
#endif

#define BLOCK(kind, V, T)                                                                                           \
    NOINLINE void block_##kind##_##V##_##T(const block_scratch *b, int groups, const int8_t *x, int64_t x_stride,   \
                                           const x_part *parts, int64_t part_stride, float *sums)                  \
    {                                                                                                               \
        block(kind, V, T, b, groups, x, x_stride, parts, part_stride, sums);                                        \
    }
#define BLOCK_WHOLE(kind, V, T)                                                                                     \
    NOINLINE void block_##kind##_##V##_##T(const block_scratch *b, int groups, const int8_t *x, int64_t x_stride,   \
                                           const x_part *parts, int64_t part_stride, float *sums)                  \
    {                                                                                                               \
        block_whole(V, T, b, groups, x, x_stride, parts, part_stride, sums);                                        \
    }
#define BLOCK_ROUNDED(kind, V, T)                                                                                     \
    NOINLINE void block_##kind##_##V##_##T(const block_scratch *b, int groups, const int8_t *x, int64_t x_stride,   \
                                           const x_part *parts, int64_t part_stride, float *sums)                  \
    {                                                                                                               \
        block_rounded(V, T, b, groups, x, x_stride, parts, part_stride, sums);                                        \
    }
/* More than FEW_TOKENS in even shares: with VNNI, of at most 6 at least 4 each, of at most 4 at least 3; without, at least
 * 2. */
#ifdef HAVE_DPBUSD
#define EACH_TOKENS(M, kind, V) M(kind, V, 4) M(kind, V, 5) M(kind, V, 6)
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
#elif defined(HAVE_LINES)
EACH_BLOCK(BLOCK, MIN5_32, EACH_TOKENS)
EACH_BLOCK(BLOCK, STEPS_16, EACH_TOKENS)
EACH_BLOCK(BLOCK, SIGNED_32, EACH_TOKENS)
#else
EACH_BLOCK(BLOCK, OFFSET_16, EACH_TOKENS)
EACH_BLOCK(BLOCK, SIGNED_32, EACH_TOKENS)
#endif
static block_fn *const block_table[BLOCK_KINDS][BLOCK_VECTORS][BLOCK_TOKENS + 1] = {
    BLOCK_ROW(OFFSET_32, EACH_TOKENS)
    BLOCK_ROW(MIN_32, EACH_TOKENS)
#ifdef HAVE_DPBUSD
    BLOCK_ROW(WHOLE_16, EACH_TOKENS_OF_4)
    BLOCK_ROW(ROUNDED, EACH_TOKENS)
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
    int64_t x_stride = a->x->stride;
    memset(p->sums, 0, (size_t)p->count * BLOCK_VECTORS * VR * sizeof *p->sums);
    for (int64_t k = 0; k < s->cols; k += Q_TILE_COLS) {
        int n = (int)round_up(smaller(s->cols - k, Q_TILE_COLS), type == ASH_Q8_0 ? 32 : 64);
        for (int v = 0; v < vectors; v++) {
            const uint8_t *tile = slab_of_panel(type, a->w, a->panel_first + i + v / ROW_VECTORS, s);
            tile += k / Q_TILE_COLS * q_tile_bytes(type);
            if (v % ROW_VECTORS == 0) /* the next tile arrives while this one is multiplied */
                prefetch_next(tile, (int)q_tile_bytes(type));
            tile_scales scales, *to = is_rounded(kind) ? &scales : &b->of.scales[v];
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
            if (is_rounded(kind))
                round_codes(type, &scales, n, b->codes[v], b->of.row[v]);
#endif
        }
        for (int64_t t = 0, share; t < p->count; t += share) {
            share = even_share(p->count - t, kind == WHOLE_16 ? WHOLE_TOKENS : BLOCK_TOKENS);
            block_fn *fn = block_table[kind][vectors - 1][share];
            fn(b, n / group_cols, p->x + t * x_stride + k, x_stride, p->parts + t * p->part_stride + k / group_cols,
               p->part_stride, p->sums + t * BLOCK_VECTORS * VR);
        }
    }
    for (int64_t t = 0; t < p->count; t++)
        for (int v = 0; v < vectors; v++)
            store_rows(vf_load(p->sums + (t * BLOCK_VECTORS + v) * VR),
                       call_y(a, p->t0 + t, i + v / ROW_VECTORS) + v % ROW_VECTORS * VR, s->add);
}

INLINE void many_tokens(const ash_dtype type, const block_kind kind, const call *a, const slab *s)
{
    const ash_acts *x = a->x;
    block_scratch *b = a->scratch;
    float *sums = (float *)(void *)(b + 1);
    x_part *parts = (x_part *)(void *)(sums + MANY_TOKENS * BLOCK_VECTORS * VR);
    int64_t part_stride = ash_pad_cols(s->cols) / group_cols_of(kind);
    int64_t most = smaller(PART_BYTES / (part_stride * (int64_t)sizeof *parts), MANY_X_BYTES / s->cols);
    most = smaller(most, MANY_TOKENS); /* at least 12, so that no share of them is below 4 */
    for (int64_t t0 = 0, count; t0 < x->tokens; t0 += count) {
        count = even_share(x->tokens - t0, most);
        for (int64_t t = 0; t < count; t++) {
            q8_columns c = columns_of(x, t0 + t, s->k);
#ifdef HAVE_LINES
            prepare_parts(type, c.q, c.scale, c.sum, part_stride, parts + t * part_stride);
#else
            prepare_parts(kind, is_rounded(kind) ? 128 : q_offset(type), c.scale, c.sum, part_stride,
                          parts + t * part_stride);
#endif
        }
        token_pass pass = { t0, count, columns_of(x, t0, s->k).q, parts, part_stride, sums };
        for (int64_t i = 0; i < a->panel_count; i += BLOCK_PANELS)
            many_panels(type, kind, a, s, i, (int)smaller(a->panel_count - i, BLOCK_PANELS), &pass, b);
    }
}
_Static_assert(sizeof(block_scratch) + 4 * MANY_TOKENS * BLOCK_VECTORS * VR + PART_BYTES <= ASH_SCRATCH_BYTES,
               "scratch");

INLINE void matmul_q8(const ash_dtype type, const call *a)
{
    if (a->x->tokens < 1)
        return;
    for (slab s = { 0 }; s.k < a->w->cols; s.k += SLAB_COLS) {
        s.cols = smaller(a->w->cols - s.k, SLAB_COLS);
        s.add = s.k > 0;
#ifdef HAVE_PAIRS
        if (q_fits_pairs(type) && a->x->tokens <= PAIR_TOKENS)
            few_pairs(type, a, &s);
        else
#endif
#ifdef HAVE_LINES
        if (type != ASH_Q8_0 && a->x->tokens <= FEW_TOKENS)
            few_lines(type, a, &s);
        else
#endif
        if (a->x->tokens <= FEW_TOKENS && type == ASH_Q8_0)
            few_folded(a, &s);
        else if (a->x->tokens <= FEW_TOKENS)
            few_tokens(type, a, &s);
#ifdef HAVE_DPBUSD
        else if (ash_q8_rounds(ASH_LEVEL_VNNI, type, a->x->tokens))
            many_tokens(type, ROUNDED, a, &s);
#endif
        else
            many_tokens(type, kind_of(type), a, &s);
    }
}

#endif
