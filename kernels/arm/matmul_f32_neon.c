/* MATMUL_F32 for every type in NEON, one form for any number of tokens: 256 columns of a panel become floats once, rows
 * in lanes (tiles_float.h), and are multiplied with up to BLOCK_TOKENS tokens at a time. An FMA takes an activation out of
 * any lane of a register, as the dot products of matmul_q8.h do: see there. A token alone takes 4 sums a row vector, for
 * columns 4 apart, two tokens take 2: 16 sums hide the latency of any number. */
#include "kernels/arm/tiles_vec_neon.h"

#include "kernels/tiles_float.h"

#define BLOCK_TOKENS 4
#define BLOCK_SUMS (ROW_VECTORS * BLOCK_TOKENS)
#define PASS_TOKENS 256

typedef struct panel_scratch {
    float ALIGNED weights[ROW_VECTORS][Q_TILE_COLS * VR];
    uint8_t codes[TURN_CODES_BYTES];
    tile_scales scales;
    float sums[PASS_TOKENS][ASH_PANEL_ROWS];
} panel_scratch;
_Static_assert(sizeof(panel_scratch) <= ASH_SCRATCH_BYTES, "scratch");

/* A column, that of lane `lane` of 4 activations. */
#define FMA_LANE(lane)                                                                              \
    _Pragma("GCC unroll 4") for (int v = 0; v < ROW_VECTORS; v++)                                   \
    {                                                                                               \
        vf w = vf_load(b->weights[v] + (k + (lane)) * VR);                                          \
        _Pragma("GCC unroll 4") for (int t = 0; t < T; t++)                                         \
        {                                                                                           \
            const int s = ROW_VECTORS * ((lane) % C * T + t) + v;                                   \
            sum[s] = vfmaq_laneq_f32(sum[s], w, xt[t], lane);                                       \
        }                                                                                           \
    }

INLINE void block(const int T, const panel_scratch *b, int cols, const float *x, int64_t x_stride,
                  float sums[][ASH_PANEL_ROWS])
{
    const int C = T == 1 ? 4 : T == 2 ? 2 : 1, own = ROW_VECTORS * T;
    vf sum[BLOCK_SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < own * C; i++)
        sum[i] = i < own ? vf_load(sums[i / ROW_VECTORS] + i % ROW_VECTORS * VR) : vf_zero();
    for (int k = 0; k < cols; k += 4) {
        vf xt[BLOCK_TOKENS];
#pragma GCC unroll 4
        for (int t = 0; t < T; t++)
            xt[t] = vf_load(x + t * x_stride + k);
        FMA_LANE(0)
        FMA_LANE(1)
        FMA_LANE(2)
        FMA_LANE(3)
    }
#pragma GCC unroll 16
    for (int i = 0; i < own; i++) {
        vf all = sum[i];
#pragma GCC unroll 3
        for (int c = 1; c < C; c++)
            all = vf_add(all, sum[c * own + i]);
        vf_store(sums[i / ROW_VECTORS] + i % ROW_VECTORS * VR, all);
    }
}
#undef FMA_LANE

NOINLINE void block_1(const panel_scratch *b, int cols, const float *x, float sums[][ASH_PANEL_ROWS])
{
    block(1, b, cols, x, 0, sums);
}

NOINLINE void blocks(const panel_scratch *b, int cols, int64_t count, const float *x, int64_t x_stride,
                     float sums[][ASH_PANEL_ROWS])
{
    for (; count >= 4; count -= 4, x += 4 * x_stride, sums += 4)
        block(4, b, cols, x, x_stride, sums);
    if (count == 3)
        block(3, b, cols, x, x_stride, sums);
    else if (count == 2)
        block(2, b, cols, x, x_stride, sums);
    else if (count == 1)
        block_1(b, cols, x, sums);
}

INLINE void matmul_f32(const ash_dtype type, const call *a)
{
    panel_scratch *b = a->scratch;
    const ash_acts *x = a->x;
    for (int64_t t0 = 0, count; t0 < x->tokens; t0 += count) {
        count = even_share(x->tokens - t0, PASS_TOKENS);
        for (int64_t i = 0; i < a->panel_count; i++) {
            memset(b->sums, 0, (size_t)count * sizeof b->sums[0]);
            for (int64_t k = 0; k < a->w->cols; k += Q_TILE_COLS) {
                int cols = 0;
                for (int v = 0; v < ROW_VECTORS; v++)
                    cols = turn(type, a->w, a->panel_first + i, k, v, &b->scales, b->codes, b->weights[v]);
                blocks(b, cols, count, x->f32 + t0 * x->stride + k, x->stride, b->sums);
            }
            for (int64_t t = 0; t < count; t++)
                memcpy(call_y(a, t0 + t, i), b->sums[t], sizeof b->sums[t]);
        }
    }
}

MATMUL_F32_ALL(neon)
