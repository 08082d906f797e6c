/* MATMUL_F32 for every type, in two forms.
 *
 * Few tokens, types of floats: a panel is read as it lies, 8 columns of 2 (1) rows a vector, times the same 8 columns
 * of x; 8 sums a row stay apart until the panel ends.
 * Otherwise: 256 columns are turned once into floats with rows in lanes, and multiplied with blocks of tokens whose
 * sums stay in registers for these columns and in scratch between them.
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_F32_H
#define ASHLAR_KERNELS_X86_MATMUL_F32_H

#include "kernels/matmul_call.h"
#include "kernels/tiles_float.h"

/* ---- few tokens ---- */

#if ROW_VECTORS == 1
#define FEW_TOKENS 8
#define PART_VECTORS 16 /* sums in registers, with those of all tokens */
#else
#define FEW_TOKENS 4
#define PART_VECTORS 8
#endif
#define PART_COLS F8_COLS

/* Units [u0, u0 + U) of up to 128 columns in chunks of 16: added to sums[t][row][8], `scaled` times scales[row]. */
INLINE void few_part(const ash_dtype type, const int scaled, const int T, const int U, const uint8_t *chunks, int cols,
                     int u0, const float *scales, const float *x, int64_t x_stride, float sums[][16][8])
{
    const int chunk_bytes = 256 * element_bytes(type);
    vf total[PART_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < 2 * U * T; i++)
        total[i] = scaled ? vf_zero() : vf_load(sums[i % T][FLOAT_ROWS * (2 * u0 + i / T)]);
    for (int k = 0; k < cols; k += 16, chunks += chunk_bytes) {
#pragma GCC unroll 2
        for (int k8 = 0; k8 < 2; k8++) {
            vf xk[FEW_TOKENS];
#pragma GCC unroll 8
            for (int t = 0; t < T; t++)
                xk[t] = vf_spread_cols(x + t * x_stride + k + 8 * k8);
#pragma GCC unroll 4
            for (int u = 0; u < U; u++) {
                const int bytes = chunk_bytes / (2 * UNITS); /* of a unit */
                vf w[2];
                if (!scaled && (bytes >= 64 || u % 2 == 0))
                    prefetch(chunks + k8 * (chunk_bytes / 2) + (u0 + u) * bytes, bytes);
                load_floats(type, chunks, k8, u0 + u, w);
#pragma GCC unroll 8
                for (int t = 0; t < T; t++) {
                    total[2 * u * T + t] = vf_fma(w[0], xk[t], total[2 * u * T + t]);
                    total[(2 * u + 1) * T + t] = vf_fma(w[1], xk[t], total[(2 * u + 1) * T + t]);
                }
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 2 * U * T; i++) {
        int row = FLOAT_ROWS * (2 * u0 + i / T);
        float *to = sums[i % T][row];
        vf_store(to, scaled ? vf_fma(total[i], vf_row_scales(scales + row), vf_load(to)) : total[i]);
    }
}

/* y[r] = the 8 sums of row r */
static inline void fold_rows(float sums[16][8], float *y)
{
    for (int r = 0; r < 16; r += 4) {
        __m256 a = _mm256_hadd_ps(_mm256_loadu_ps(sums[r]), _mm256_loadu_ps(sums[r + 1]));
        __m256 b = _mm256_hadd_ps(_mm256_loadu_ps(sums[r + 2]), _mm256_loadu_ps(sums[r + 3]));
        __m256 c = _mm256_hadd_ps(a, b);
        _mm_storeu_ps(y + r, _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1)));
    }
}

INLINE void few_tokens(const ash_dtype type, const int T, const call *a)
{
    const ash_matrix *w = a->w;
    const ash_acts *x = a->x;
    enum { FIT = PART_VECTORS / 2 };
    const int U = T == 1 ? 4 : T == 2 ? FIT / 2 : T <= 4 ? FIT / 4 : FIT / 8; /* divides UNITS */
    for (int64_t i = 0; i < a->panel_count; i++) {
        const uint8_t *chunks = w->data + (a->panel_first + i) * w->panel_bytes;
        float ALIGNED sums[FEW_TOKENS][16][8], scales[16];
        uint8_t ALIGNED halves[16 * F8_COLS * 2];
        memset(sums, 0, T * sizeof sums[0]);
        for (int64_t k = 0; k < w->cols; k += PART_COLS, chunks += 16 * PART_COLS * element_bytes(type)) {
            int cols = (int)smaller(w->cols - k, PART_COLS);
            if (type == ASH_F8_E4M3) {
                f8_scales(w, a->panel_first + i, k, scales);
                halves_of_f8(chunks, cols, halves);
                for (int u = 0; u < UNITS; u += U)
                    few_part(ASH_F16, 1, T, U, halves, cols, u, scales, x->f32 + k, x->stride, sums);
            } else {
                for (int u = 0; u < UNITS; u += U)
                    few_part(type, 0, T, U, chunks, cols, u, NULL, x->f32 + k, x->stride, sums);
            }
        }
        for (int t = 0; t < T; t++)
            fold_rows(sums[t], call_y(a, t, i));
    }
}

/* ---- more tokens ---- */

/* A block multiplies 2 row vectors (1 at an odd end) with up to BLOCK_TOKENS tokens: 24 sums, 2 weights and an
 * activation of 32 registers, or 12 of 16. */
#if ROW_VECTORS == 1
#define BLOCK_TOKENS 12
#else
#define BLOCK_TOKENS 6
#endif
#define BLOCK_VECTORS 2
#define BLOCK_PANELS (BLOCK_VECTORS / ROW_VECTORS)
#define BLOCK_COLS Q_TILE_COLS

typedef struct block_scratch {
    float weights[BLOCK_VECTORS][BLOCK_COLS * VR];
    uint8_t codes[TURN_CODES_BYTES];
    tile_scales scales;
} block_scratch;
#define MANY_TOKENS 1024 /* of one pass at most: their sums take 128 KiB */
#define MANY_X_BYTES (1024 * 1024) /* of the activations of one pass, so that they stay in the second-level cache */
_Static_assert(sizeof(block_scratch) + 4 * MANY_TOKENS * BLOCK_VECTORS * VR <= ASH_SCRATCH_BYTES, "scratch");

/* `cols` columns, a multiple of 16; sums[t][v][VR]. */
typedef void block_fn(const block_scratch *b, int cols, const float *x, int64_t x_stride, float *sums);

/* One to three tokens take C sums each for columns C apart, so that enough additions are under way. C depends on the
 * tokens alone, so a panel's result does not depend on its neighbour. */
INLINE void block(const int V, const int T, const block_scratch *b, int cols, const float *x, int64_t x_stride,
                  float *sums)
{
    enum { CAP = BLOCK_VECTORS * BLOCK_TOKENS };
    const int C = T == 1 ? 4 : T <= 3 ? 2 : 1;
    vf total[CAP];
#pragma GCC unroll 24
    for (int i = 0; i < V * T * C; i++)
        total[i] = i < V * T ? vf_load(sums + (i / V * BLOCK_VECTORS + i % V) * VR) : vf_zero();
    const float *w0 = b->weights[0];
    const float *rows[4] = { x, x + 3 * x_stride, x + 6 * x_stride, x + 9 * x_stride };
    for (int k = 0; k < cols; k += 4, w0 += 4 * VR) {
        /* hides from GCC that strides do not change: it would keep a pointer for each row and column */
        __asm__("" : "+r"(x_stride));
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            vf a = vf_load(w0 + c * VR), d = V > 1 ? vf_load(w0 + BLOCK_COLS * VR + c * VR) : a;
#pragma GCC unroll 12
            for (int t = 0; t < T; t++) {
                const int i = V * (c % C * T + t);
                vf xt = vf_set(rows[t / 3][t % 3 * x_stride + k + c]);
                total[i] = vf_fma(a, xt, total[i]);
                if (V > 1)
                    total[i + 1] = vf_fma(d, xt, total[i + 1]);
            }
        }
    }
#pragma GCC unroll 24
    for (int i = 0; i < V * T; i++) {
        vf sum = total[i];
#pragma GCC unroll 4
        for (int c = 1; c < C; c++)
            sum = vf_add(sum, total[c * V * T + i]);
        vf_store(sums + (i / V * BLOCK_VECTORS + i % V) * VR, sum);
    }
}

#define BLOCK(V, T)                                                                                                \
    NOINLINE void block_##V##_##T(const block_scratch *b, int cols, const float *x, int64_t x_stride, float *sums) \
    {                                                                                                              \
        block(V, T, b, cols, x, x_stride, sums);                                                                   \
    }
#define EACH_TO_6(M, V) M(V, 1) M(V, 2) M(V, 3) M(V, 4) M(V, 5) M(V, 6)
#if ROW_VECTORS == 1
#define EACH_TOKENS(M, V) EACH_TO_6(M, V) M(V, 7) M(V, 8) M(V, 9) M(V, 10) M(V, 11) M(V, 12)
#else
#define EACH_TOKENS(M, V) EACH_TO_6(M, V)
#endif
#define BLOCK_NAME(V, T) block_##V##_##T,
EACH_TOKENS(BLOCK, 2)
#if ROW_VECTORS == 1
EACH_TOKENS(BLOCK, 1)
#endif
static block_fn *const block_table[BLOCK_VECTORS][BLOCK_TOKENS] = {
#if ROW_VECTORS == 1
    { EACH_TOKENS(BLOCK_NAME, 1) },
#else
    { NULL }, /* a panel is both vectors */
#endif
    { EACH_TOKENS(BLOCK_NAME, 2) },
};

/* `count` tokens from t0 on; sums: room for [count][BLOCK_VECTORS][VR]. */
typedef struct token_pass {
    int64_t t0, count;
    float *sums;
} token_pass;

/* Panel i and, `panels` being 2, its neighbour. */
INLINE void many_panels(const ash_dtype type, const call *a, int64_t i, int panels, const token_pass *p,
                        block_scratch *b)
{
    const int vectors = panels * ROW_VECTORS;
    int64_t x_stride = a->x->stride;
    const float *x = a->x->f32 + p->t0 * x_stride;
    memset(p->sums, 0, (size_t)p->count * BLOCK_VECTORS * VR * sizeof *p->sums);
    for (int64_t k = 0; k < a->w->cols; k += BLOCK_COLS) {
        int cols = 0;
        for (int v = 0; v < vectors; v++)
            cols = turn(type, a->w, a->panel_first + i + v / ROW_VECTORS, k, v % ROW_VECTORS, &b->scales, b->codes,
                        b->weights[v]);
        for (int64_t t = 0, share; t < p->count; t += share) {
            share = even_share(p->count - t, BLOCK_TOKENS);
            block_fn *fn = block_table[vectors - 1][share - 1];
            fn(b, cols, x + t * x_stride + k, x_stride, p->sums + t * BLOCK_VECTORS * VR);
        }
    }
    for (int64_t t = 0; t < p->count; t++)
        for (int v = 0; v < vectors; v++)
            vf_store(call_y(a, p->t0 + t, i + v / ROW_VECTORS) + v % ROW_VECTORS * VR,
                     vf_from_sigma(vf_load(p->sums + (t * BLOCK_VECTORS + v) * VR)));
}

INLINE void many_tokens(const ash_dtype type, const call *a)
{
    block_scratch *b = a->scratch;
    int64_t most = smaller(MANY_TOKENS, MANY_X_BYTES / (4 * a->w->cols));
    most = most > 8 * BLOCK_TOKENS ? most : 8 * BLOCK_TOKENS;
    token_pass p = { .sums = (float *)(void *)(b + 1) };
    for (; p.t0 < a->x->tokens; p.t0 += p.count) {
        p.count = even_share(a->x->tokens - p.t0, most);
        for (int64_t i = 0; i < a->panel_count; i += BLOCK_PANELS)
            many_panels(type, a, i, (int)smaller(a->panel_count - i, BLOCK_PANELS), &p, b);
    }
}

INLINE void matmul_f32(const ash_dtype type, const call *a)
{
    switch (is_float_type(type) && a->x->tokens <= FEW_TOKENS ? a->x->tokens : 0) {
    case 1: few_tokens(type, 1, a); break;
    case 2: few_tokens(type, 2, a); break;
    case 3: few_tokens(type, 3, a); break;
    case 4: few_tokens(type, 4, a); break;
#if FEW_TOKENS == 8
    case 5: few_tokens(type, 5, a); break;
    case 6: few_tokens(type, 6, a); break;
    case 7: few_tokens(type, 7, a); break;
    case 8: few_tokens(type, 8, a); break;
#endif
    default: many_tokens(type, a); break;
    }
}

#endif
