/* MATMUL_Q8 for every quantized type, in two forms that share tiles_quant.h.
 *
 * Few tokens: a panel is read as it lies. A vector of 16 bytes a row meets a pattern of 16 activations that is the same
 * for all rows (x_group); sums stay apart by step in the words of a row until the panel ends. Others are in
 * matmul_q8_folded.h (Q8_0), matmul_q8_pairs.h (VNNI) and matmul_q8_lines.h (256 bits without it).
 * More tokens: matmul_q8_many.h.
 *
 * Integers: a group of 32 (16) columns is summed exactly; sums start from -offset * sum(x), so the offset is off.
 * Floats: one product and one FMA a group, then one FMA for the minimum.
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
#define SLAB_COLS 32768 /* columns of one pass, half as many of q8_fine, so that what is prepared of x fits the scratch */

/* Columns [k, k + cols) of a product; `add` to what y holds. */
typedef struct slab {
    int64_t k, cols;
    int add;
} slab;

INLINE const uint8_t *slab_of_panel(const ash_dtype type, const ash_matrix *w, int64_t panel, const slab *s)
{
    return w->data + panel * w->panel_bytes + s->k / Q_TILE_COLS * q_tile_bytes(type);
}

/* What a row of the 8-bit form gives for VR rows of panel i (from panel_first), from `first` on. */
INLINE void store_rows(vf sums, const call *a, int64_t row, int64_t i, int first, const slab *s)
{
    float *y = call_y(a, token_of(a, row), i) + first;
    vf rows = vf_from_sigma(sums);
    vf_store(y, s->add || is_lower(a, row) ? vf_add(vf_load(y), rows) : rows);
}

/* Whether the forms of matmul_q8_folded.h and matmul_q8_pairs.h need no prefetch: with one token at 512 bits whole cache
 * lines come nearly in order. Zen 4 (family 19h; its other members have no VNNI) fetches those ahead on its own: Q8_0 and
 * Q4_K then read 99% of what a plain loop does from large pages, 92% with prefetches. Zen 5 does not: Q4_K takes 2.3
 * times as long without. More tokens leave either idle for longer: 8 of Q4_K take 28% more time on Zen 4. At 256 bits
 * prefetches are always there. */
INLINE int fetched_ahead(int tokens) { return VB == 64 && tokens == 1 && __builtin_cpu_is("amdfam19h"); }

/* A row of the 8-bit form from a column on, a multiple of 32. Where a form below speaks of tokens it means these rows. */
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

/* 64 codes to the order of x_group's pattern. */
static inline void order_group(const int8_t *q, int8_t pattern[4][16])
{
    const __m128i *from = (const __m128i *)(const void *)q;
    __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
    __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
    __m128i e = _mm_unpacklo_epi32(a, b), f = _mm_unpackhi_epi32(a, b);
    __m128i g = _mm_unpacklo_epi32(c, d), h = _mm_unpackhi_epi32(c, d);
    __m128i *to = (__m128i *)(void *)pattern;
    _mm_storeu_si128(to, _mm_unpacklo_epi64(e, g));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi64(e, g));
    _mm_storeu_si128(to + 2, _mm_unpacklo_epi64(f, h));
    _mm_storeu_si128(to + 3, _mm_unpackhi_epi64(f, h));
}

/* -offset * each of 4 sums */
static inline __m128i start_of(const ash_dtype type, const int16_t *sum)
{
    __m128i sums = _mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)sum));
    return _mm_madd_epi16(sums, _mm_set1_epi32(-q_offset(type) & 0xffff));
}

/* Of 64 columns: the scales of both halves, twice; and, for types with minimums, each times the sum over its half. */
static inline void scale_halves(const ash_dtype type, const float *scale, const int16_t *sum, float twice[4],
                                float scaled_sum[2])
{
    __m128 scales = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)scale));
    _mm_storeu_ps(twice, _mm_movelh_ps(scales, scales));
    if (!q_has_min(type))
        return;
    __m128i four = _mm_loadl_epi64((const __m128i *)(const void *)sum);
    __m128 sums = _mm_cvtepi32_ps(_mm_madd_epi16(four, _mm_set1_epi16(1)));
    _mm_storel_pi((__m64 *)(void *)scaled_sum, _mm_mul_ps(sums, scales));
}

static inline void prepare_group(const ash_dtype type, const int8_t *q, const float *scale, const int16_t *sum,
                                 x_group *out)
{
    order_group(q, out->pattern);
    __m128 scales = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)scale));
    scales = _mm_unpacklo_ps(scales, scales);
    _mm_storeu_ps(out->scale, scales);
    if (q_has_min(type)) {
        __m128i sums = _mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)sum));
        _mm_storeu_ps(out->of.sum, _mm_mul_ps(_mm_cvtepi32_ps(sums), scales));
    } else {
        _mm_storeu_si128((__m128i *)(void *)out->of.start, start_of(type, sum));
    }
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
                store_rows(total, a, t0 + t, i, VR * v, s);
        }
    }
}

INLINE void few_tokens(const ash_dtype type, const call *a, const slab *s)
{
    const ash_acts *x = a->x;
    x_group *groups = a->scratch;
    int64_t stride = ash_pad_cols(s->cols) / 64;
    int count = (int)ash_q8_rows(x), prepared = count % ONCE_TOKENS == 3 ? count + 1 : count; /* 3 run as 4: one twice */
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

/* Function `name`: the first `rows` rows of a slab, in the scratch. `prepare` makes an x_type of 64 columns of a row;
 * those of the same columns lie side by side. */
#define PREPARE_ROWS(name, x_type, prepare)                                                              \
    INLINE x_type *name(const ash_dtype type, const int rows, const call *a, const slab *s)              \
    {                                                                                                    \
        x_type *x = a->scratch;                                                                          \
        int64_t groups = ash_pad_cols(s->cols) / 64;                                                     \
        for (int t = 0; t < rows; t++) {                                                                 \
            q8_columns from = columns_of(a->x, t, s->k);                                                 \
            for (int64_t g = 0; g < groups; g++)                                                         \
                prepare(type, from.q + 64 * g, from.scale + 2 * g, from.sum + 4 * g, x + g * rows + t);  \
        }                                                                                                \
        return x;                                                                                        \
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

#include "kernels/x86/matmul_q8_many.h"

INLINE void matmul_q8(const ash_dtype type, const call *a)
{
    const int64_t rows = ash_q8_rows(a->x);
    if (rows < 1)
        return;
    const int64_t most = a->x->q8_fine ? SLAB_COLS / 2 : SLAB_COLS;
    for (slab s = { 0 }; s.k < a->w->cols; s.k += most) {
        s.cols = smaller(a->w->cols - s.k, most);
        s.add = s.k > 0;
#ifdef HAVE_PAIRS
        if (q_fits_pairs(type) && a->x->tokens <= PAIR_TOKENS)
            few_pairs(type, a, &s);
        else
#endif
#ifdef HAVE_LINES
        if (type != ASH_Q8_0 && rows <= FEW_TOKENS)
            few_lines(type, a, &s);
        else
#endif
        if (rows <= FEW_TOKENS && type == ASH_Q8_0)
            few_folded(a, &s);
        else if (rows <= FEW_TOKENS)
            few_tokens(type, a, &s);
#ifdef HAVE_DPBUSD
        else if (a->x->q8_fine && ash_q8_rounds(ASH_LEVEL_VNNI, type, a->x->tokens))
            many_tokens(type, FINE, a, &s);
        else if (a->x->q8_wide && ash_q8_takes_wide(ASH_LEVEL_VNNI, type, a->x->tokens))
            many_tokens(type, WIDE, a, &s);
        else if (ash_q8_rounds(ASH_LEVEL_VNNI, type, a->x->tokens))
            many_tokens(type, ROUNDED, a, &s);
#endif
        else
            many_tokens(type, kind_of(type), a, &s);
    }
}

#endif
