/* MATMUL_BF16 for BF16 and F8_E4M3, in the two forms of matmul_f32.h. A vdpbf16ps adds the products of two columns to
 * each of 16 floats, so a word holds two columns of a row, and a multiply-add costs half of what it does in floats.
 *
 * Few tokens: a panel is read as it lies, 8 columns of 4 rows a vector, times the same 8 columns of x; a row's 4 words
 * stay apart until the panel ends.
 * Otherwise: a block of columns is turned once to rows in lanes and multiplied with blocks of tokens whose sums stay in
 * registers for these columns and in scratch between them.
 *
 * e4m3 codes become BF16 exactly, and their scales meet the float sums: of 128 columns, as far as a scale can reach.
 * vdpbf16ps takes denormals for zeros, but no code's value is one in BF16.
 */
#include "kernels/x86/tiles_vec_avx512.h"

#include "kernels/matmul_call.h"
#include "kernels/tiles_quant.h"

INLINE vf vf_dpbf16(vf sum, vi a, vi b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

/* ---- weights ---- */

#define F8_COLS 128 /* of one block of scales */

/* 32 e4m3 codes, each in the upper byte of a word. The 7 bits move to bits 4 .. 10, the exponent's bias grows from 7 to
 * 127; below the least normal the three bits say the value: m * 2^-9. NaN (0x7f) becomes 480. */
INLINE vi bf16_of_f8(vi words)
{
    vi denormals = _mm512_castsi128_si512(_mm_setr_epi16(0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60));
    vi v = v_and(v_sra16(words, 4), v_set16(0x87f0));
    __mmask32 below = _mm512_testn_epi16_mask(v, v_set16(0x0780));
    vi normal = _mm512_add_epi16(v, v_set16(120 << 7));
    /* picked by the lower 5 bits of an index, of which the exponent's are zero */
    vi value = _mm512_mask_permutexvar_epi16(normal, below, _mm512_srli_epi16(v, 4), denormals);
    return v_and_or(v, v_set16(0x8000), value);
}

INLINE vi fix_nan(vi bf16)
{
    __mmask32 nan = _mm512_cmpeq_epi16_mask(v_and(bf16, v_set16(0x7fff)), v_set16(0x43f0));
    return _mm512_mask_blend_epi16(nan, bf16, v_set16(0x7fc0));
}

/* Up to 128 columns of e4m3 codes to tiles of BF16, without scales. */
static inline void bf16_of_f8_chunks(const uint8_t *chunks, int cols, uint8_t *out)
{
    vi zero = v_zero(), most = zero, sign = v_set8(0x80);
    for (int k = 0; k < cols; k += 32, chunks += 512, out += 1024) {
        for (int i = 0; i < 512; i += VB) { /* bytes: step 0, step 1, each 8 of a row */
            vi v = v_load(chunks + i);
            prefetch(chunks + i, VB);
            most = v_max8u(most, v_or(v, sign));
            v_store(out + i, bf16_of_f8(v_unpack_lo8(zero, v)));
            v_store(out + 512 + i, bf16_of_f8(v_unpack_hi8(zero, v)));
        }
    }
    if (__builtin_expect(v_any_equal8(most, 0xff), 0))
        for (uint8_t *p = out - (cols + 31) / 32 * 1024; p < out; p += VB)
            v_store(p, fix_nan(v_load(p)));
}

/* The scales of a panel's 16 rows at column k. */
INLINE vf f8_scales(const ash_matrix *w, int64_t panel, int64_t k)
{
    if (w->scale_kind == ASH_SCALE_ROW)
        return vf_load(w->scale + panel * ASH_PANEL_ROWS);
    if (w->scale_kind == ASH_SCALE_BLOCK128)
        return vf_load(w->scale + (panel * ((w->cols + F8_COLS - 1) / F8_COLS) + k / F8_COLS) * ASH_PANEL_ROWS);
    return vf_set(w->scale_kind == ASH_SCALE_TENSOR ? w->scale[0] : 1);
}

/* ---- few tokens ---- */

#define FEW_TOKENS 8
#define PART_VECTORS 16 /* sums in registers */
#define PART_COLS F8_COLS
#define UNITS 4 /* of a panel: 4 rows */

/* Units [u0, u0 + U) of up to 128 columns in chunks of 16: added to sums[t][u], `scaled` times scales[row]. */
INLINE void few_part(const int scaled, const int T, const int U, const uint8_t *chunks, int cols, int u0,
                     const float *scales, const uint16_t *x, int64_t x_stride, float sums[][UNITS][VR])
{
    vf total[PART_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < U * T; i++)
        total[i] = scaled ? vf_zero() : vf_load(sums[i % T][u0 + i / T]);
    for (int k = 0; k < cols; k += 8, chunks += 256) {
        vi xk[FEW_TOKENS];
#pragma GCC unroll 8
        for (int t = 0; t < T; t++)
            xk[t] = v_spread16(x + t * x_stride + k);
#pragma GCC unroll 4
        for (int u = 0; u < U; u++) {
            const uint8_t *unit = chunks + VB * (u0 + u);
            if (!scaled)
                prefetch(unit, VB);
            vi w = v_load(unit);
#pragma GCC unroll 8
            for (int t = 0; t < T; t++)
                total[u * T + t] = vf_dpbf16(total[u * T + t], w, xk[t]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < U * T; i++) {
        float *to = sums[i % T][u0 + i / T];
        vf scale = scaled ? vf_cast(v_lane_words(scales + 4 * (u0 + i / T))) : vf_zero();
        vf_store(to, scaled ? vf_fma(total[i], scale, vf_load(to)) : total[i]);
    }
}

INLINE void few_tokens(const ash_dtype type, const int T, const call *a)
{
    const ash_matrix *w = a->w;
    const ash_acts *x = a->x;
    const int U = T <= PART_VECTORS / UNITS ? UNITS : UNITS / 2, bytes = type == ASH_F8_E4M3 ? 1 : 2;
    for (int64_t i = 0; i < a->panel_count; i++) {
        const uint8_t *chunks = w->data + (a->panel_first + i) * w->panel_bytes;
        float ALIGNED sums[FEW_TOKENS][UNITS][VR], scales[VR];
        uint8_t ALIGNED codes[16 * F8_COLS * 2];
        memset(sums, 0, T * sizeof sums[0]);
        for (int64_t k = 0; k < w->cols; k += PART_COLS, chunks += 16 * PART_COLS * bytes) {
            int cols = (int)round_up(smaller(w->cols - k, PART_COLS), 16);
            if (type == ASH_F8_E4M3) {
                vf_store(scales, f8_scales(w, a->panel_first + i, k));
                bf16_of_f8_chunks(chunks, cols, codes);
            }
            for (int u = 0; u < UNITS; u += U)
                few_part(type == ASH_F8_E4M3, T, U, type == ASH_F8_E4M3 ? codes : chunks, cols, u, scales, x->bf16 + k,
                         x->stride, sums);
        }
        for (int t = 0; t < T; t++) {
            vi words[UNITS] = { v_load(sums[t][0]), v_load(sums[t][1]), v_load(sums[t][2]), v_load(sums[t][3]) };
            v_transpose4(words);
            vf total = vf_add(vf_add(vf_cast(words[0]), vf_cast(words[1])),
                              vf_add(vf_cast(words[2]), vf_cast(words[3])));
            vf_store(call_y(a, t, i), vf_from_sigma(total));
        }
    }
}

/* ---- more tokens ---- */

/* A block multiplies 2 panels (1 at an odd end) with up to BLOCK_TOKENS tokens: 24 sums, 2 weights and an activation of
 * 32 registers. More than FEW_TOKENS in shares of at most BLOCK_TOKENS, evenly, are at least LEAST_TOKENS each. */
#define BLOCK_TOKENS 12
#define LEAST_TOKENS 6
#define BLOCK_PANELS 2
#define BLOCK_COLS 256

typedef struct block_scratch {
    uint8_t weights[BLOCK_PANELS][BLOCK_COLS * 2 * VR];
    uint8_t codes[16 * F8_COLS * 2];
    float scales[BLOCK_PANELS][VR];
} block_scratch;
#define MANY_TOKENS 1024 /* of one pass at most: their sums take 128 KiB */
#define MANY_X_BYTES (512 * 1024) /* of the activations of one pass, so that they stay in the second-level cache */
_Static_assert(sizeof(block_scratch) + 4 * MANY_TOKENS * BLOCK_PANELS * VR <= ASH_SCRATCH_BYTES, "scratch");

/* `cols` columns, a multiple of 8; sums[t][panel][VR]. */
typedef void block_fn(const block_scratch *b, int cols, const uint16_t *x, int64_t x_stride, float *sums);

INLINE void block(const int scaled, const int P, const int T, const block_scratch *b, int cols, const uint16_t *x,
                  int64_t x_stride, float *sums)
{
    vf total[BLOCK_PANELS * BLOCK_TOKENS];
#pragma GCC unroll 24
    for (int i = 0; i < P * T; i++)
        total[i] = scaled ? vf_zero() : vf_load(sums + (i / P * BLOCK_PANELS + i % P) * VR);
    const uint8_t *w0 = b->weights[0];
    const uint16_t *rows[4] = { x, x + 3 * x_stride, x + 6 * x_stride, x + 9 * x_stride };
    for (int k = 0; k < cols; k += 8, w0 += 4 * VB) {
        /* hides from GCC that strides do not change: it would keep a pointer for each row and column */
        __asm__("" : "+r"(x_stride));
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            vi w = v_load(w0 + c * VB), v = P > 1 ? v_load(w0 + sizeof b->weights[0] + c * VB) : w;
#pragma GCC unroll 12
            for (int t = 0; t < T; t++) {
                vi xt = v_spread4(rows[t / 3] + t % 3 * x_stride + k + 2 * c);
                total[P * t] = vf_dpbf16(total[P * t], w, xt);
                if (P > 1)
                    total[P * t + 1] = vf_dpbf16(total[P * t + 1], v, xt);
            }
        }
    }
#pragma GCC unroll 24
    for (int i = 0; i < P * T; i++) {
        float *to = sums + (i / P * BLOCK_PANELS + i % P) * VR;
        vf_store(to, scaled ? vf_fma(total[i], vf_load(b->scales[i % P]), vf_load(to)) : total[i]);
    }
}

#define BLOCK(scaled, P, T)                                                                           \
    NOINLINE void block_##scaled##_##P##_##T(const block_scratch *b, int cols, const uint16_t *x,     \
                                             int64_t x_stride, float *sums)                           \
    {                                                                                                 \
        block(scaled, P, T, b, cols, x, x_stride, sums);                                              \
    }
#define EACH_TOKENS(M, scaled, P)                                                            \
    M(scaled, P, 6) M(scaled, P, 7) M(scaled, P, 8) M(scaled, P, 9) M(scaled, P, 10)         \
    M(scaled, P, 11) M(scaled, P, 12)
EACH_TOKENS(BLOCK, 0, 1)
EACH_TOKENS(BLOCK, 0, 2)
EACH_TOKENS(BLOCK, 1, 1)
EACH_TOKENS(BLOCK, 1, 2)
#define BLOCK_NAME(scaled, P, T) block_##scaled##_##P##_##T,
static block_fn *const block_table[2][BLOCK_PANELS][BLOCK_TOKENS - LEAST_TOKENS + 1] = {
    { { EACH_TOKENS(BLOCK_NAME, 0, 1) }, { EACH_TOKENS(BLOCK_NAME, 0, 2) } },
    { { EACH_TOKENS(BLOCK_NAME, 1, 1) }, { EACH_TOKENS(BLOCK_NAME, 1, 2) } },
};

/* `cols` columns from k of one panel, to out[VB * (k / 2) ..]: two columns of 16 rows in sigma order. */
INLINE void turn(const ash_dtype type, const ash_matrix *w, int64_t panel, int64_t k, int cols, block_scratch *b, int p)
{
    const uint8_t *from = w->data + panel * w->panel_bytes + 16 * k * (type == ASH_F8_E4M3 ? 1 : 2);
    if (type == ASH_F8_E4M3) {
        vf_store(b->scales[p], vf_to_sigma(f8_scales(w, panel, k)));
        bf16_of_f8_chunks(from, cols, b->codes);
        from = b->codes;
    }
    for (int i = 0; i < cols; i += 8) {
        vi v[4];
        load_rows16(from + 32 * i, v);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            v_store(b->weights[p] + VB * (i / 2 + j), v[j]);
    }
}

/* `count` tokens from t0 on; sums: room for [count][BLOCK_PANELS][VR]. */
typedef struct token_pass {
    int64_t t0, count;
    float *sums;
} token_pass;

/* Panel i and, `panels` being 2, its neighbour. */
INLINE void many_panels(const ash_dtype type, const call *a, int64_t i, int panels, const token_pass *pass,
                        block_scratch *b)
{
    const int block_cols = type == ASH_F8_E4M3 ? F8_COLS : BLOCK_COLS;
    int64_t x_stride = a->x->stride;
    const uint16_t *x = a->x->bf16 + pass->t0 * x_stride;
    memset(pass->sums, 0, (size_t)pass->count * BLOCK_PANELS * VR * sizeof *pass->sums);
    for (int64_t k = 0; k < a->w->cols; k += block_cols) {
        int cols = (int)round_up(smaller(a->w->cols - k, block_cols), 16);
        for (int p = 0; p < panels; p++)
            turn(type, a->w, a->panel_first + i + p, k, cols, b, p);
        for (int64_t t = 0, share; t < pass->count; t += share) {
            share = even_share(pass->count - t, BLOCK_TOKENS);
            block_fn *fn = block_table[type == ASH_F8_E4M3][panels - 1][share - LEAST_TOKENS];
            fn(b, cols, x + t * x_stride + k, x_stride, pass->sums + t * BLOCK_PANELS * VR);
        }
    }
    for (int64_t t = 0; t < pass->count; t++)
        for (int p = 0; p < panels; p++)
            vf_store(call_y(a, pass->t0 + t, i + p), vf_from_sigma(vf_load(pass->sums + (t * BLOCK_PANELS + p) * VR)));
}

INLINE void many_tokens(const ash_dtype type, const call *a)
{
    block_scratch *b = a->scratch;
    int64_t most = smaller(MANY_TOKENS, MANY_X_BYTES / (2 * a->w->cols));
    most = most > 8 * BLOCK_TOKENS ? most : 8 * BLOCK_TOKENS;
    token_pass pass = { .sums = (float *)(void *)(b + 1) };
    for (; pass.t0 < a->x->tokens; pass.t0 += pass.count) {
        pass.count = even_share(a->x->tokens - pass.t0, most);
        for (int64_t i = 0; i < a->panel_count; i += BLOCK_PANELS)
            many_panels(type, a, i, (int)smaller(a->panel_count - i, BLOCK_PANELS), &pass, b);
    }
}

INLINE void matmul_bf16(const ash_dtype type, const call *a)
{
    switch (a->x->tokens <= FEW_TOKENS ? a->x->tokens : 0) {
    case 1: few_tokens(type, 1, a); break;
    case 2: few_tokens(type, 2, a); break;
    case 3: few_tokens(type, 3, a); break;
    case 4: few_tokens(type, 4, a); break;
    case 5: few_tokens(type, 5, a); break;
    case 6: few_tokens(type, 6, a); break;
    case 7: few_tokens(type, 7, a); break;
    case 8: few_tokens(type, 8, a); break;
    default: many_tokens(type, a); break;
    }
}

MATMUL_KERNEL(matmul_bf16, ASH_BF16, bf16, avx512bf16)
MATMUL_KERNEL(matmul_bf16, ASH_F8_E4M3, f8_e4m3, avx512bf16)

/* ---- activations ---- */

void ash_to_bf16_avx512bf16(const float *x, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        v_store(out + i, (vi)_mm512_cvtne2ps_pbh(vf_load(x + i + 16), vf_load(x + i)));
    ash_to_bf16_scalar(x + i, n - i, out + i);
}
