/* MATMUL_Q8 for every quantized type in NEON with dot products, one form for any number of tokens.
 *
 * A tile of a panel is unpacked into the first-level cache (tiles_quant.h), rows in lanes, and multiplied with up to
 * BLOCK_TOKENS tokens at a time. x86's loops (kernels/x86/matmul_q8.h) would not do at 16 bytes:
 *   - sdot takes 4 activations out of any lane of a register, so one load of 16 serves all rows; there each 4 are spread
 *     by a load of their own, and the first form's patterns exist to save those;
 *   - it multiplies signed bytes, so Q8_0 needs neither an offset nor 16-bit sums, and codes below 64 are as good signed;
 *   - a panel is four vectors, so 4 tokens already make the 16 sums that hide its latency (4 cycles, 2 a cycle), and a
 *     token alone has 4 of them: with the panel unpacked for it, it still does the fewest steps.
 * 16 integer sums, 4 activations and 4 weights take 24 of 32 registers; the float sums wait in memory for a group's end.
 *
 * Integers: a group of 32 (16) columns is summed exactly; sums start from -offset * sum(x), so the offset is off.
 * Floats: one product and one FMA a group, then one FMA for the minimum.
 */
#ifndef ASHLAR_KERNELS_ARM_MATMUL_Q8_H
#define ASHLAR_KERNELS_ARM_MATMUL_Q8_H

#include "kernels/matmul_call.h"
#include "kernels/tiles_quant.h"

#define BLOCK_TOKENS 4
#define PASS_TOKENS 256 /* a tile is unpacked once for so many: their part of it takes 64 KiB */

typedef struct panel_scratch {
    uint8_t codes[ROW_VECTORS][Q_TILE_COLS * VB / 4];
    tile_scales scales[ROW_VECTORS];
    float sums[PASS_TOKENS][ASH_PANEL_ROWS];
} panel_scratch;
_Static_assert(sizeof(panel_scratch) <= ASH_SCRATCH_BYTES, "scratch");

/* What a code is too large by, after unpacking. */
INLINE int sdot_offset(ash_dtype type) { return type == ASH_Q8_0 ? 0 : q_offset(type); }

/* 4 columns, those of lane `lane` of 16 activations. */
#define SDOT_LANE(lane)                                                                          \
    _Pragma("GCC unroll 4") for (int v = 0; v < ROW_VECTORS; v++)                                \
    {                                                                                            \
        int8x16_t q = vld1q_s8((const int8_t *)b->codes[v] + (i / 4 + (lane)) * VB);             \
        _Pragma("GCC unroll 4") for (int t = 0; t < T; t++)                                      \
            dot[ROW_VECTORS * t + v] = vdotq_laneq_s32(dot[ROW_VECTORS * t + v], q, xt[t], lane); \
    }

/* Tokens t0 .. t0 + T - 1 (`sums` is theirs) times `cols` columns from k on, whole groups. */
INLINE void block(const ash_dtype type, const int T, const panel_scratch *b, int cols, const ash_acts *x, int64_t t0,
                  int64_t k, float sums[][ASH_PANEL_ROWS])
{
    const int group = q_scale_cols(type);
    const int8_t *q8 = x->q8 + t0 * x->stride + k;
    const float *x_scale = x->q8_scale + t0 * (x->stride / 32) + k / 32;
    const int16_t *x_sum = x->q8_sum + t0 * (x->stride / 16) + k / 16;
    for (int g = 0; g < cols / group; g++) {
        int32x4_t dot[ROW_VECTORS * BLOCK_TOKENS];
        int total[BLOCK_TOKENS]; /* of the group's activations */
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            const int16_t *s = x_sum + t * (x->stride / 16) + g * (group / 16);
            total[t] = group == 16 ? s[0] : s[0] + s[1];
            for (int v = 0; v < ROW_VECTORS; v++)
                dot[ROW_VECTORS * t + v] = vdupq_n_s32(-sdot_offset(type) * total[t]);
        }
#pragma GCC unroll 2
        for (int i = g * group; i < (g + 1) * group; i += 16) {
            int8x16_t xt[BLOCK_TOKENS];
#pragma GCC unroll 4
            for (int t = 0; t < T; t++)
                xt[t] = vld1q_s8(q8 + t * x->stride + i);
            SDOT_LANE(0)
            SDOT_LANE(1)
            SDOT_LANE(2)
            SDOT_LANE(3)
        }
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            float scale = x_scale[t * (x->stride / 32) + g * group / 32];
            float sum = scale * (float)total[t];
#pragma GCC unroll 4
            for (int v = 0; v < ROW_VECTORS; v++) {
                float *to = sums[t] + VR * v;
                vf scaled = vf_mul(vcvtq_f32_s32(dot[ROW_VECTORS * t + v]), vf_load(b->scales[v].s[g]));
                vf all = vf_fma(scaled, vf_set(scale), vf_load(to));
                if (q_has_min(type))
                    all = vf_fnma(vf_load(b->scales[v].m[g]), vf_set(sum), all);
                vf_store(to, all);
            }
        }
    }
}
#undef SDOT_LANE

INLINE void panel(const ash_dtype type, const call *a, int64_t i, int64_t t0, int64_t count, panel_scratch *b)
{
    const uint8_t *first = a->w->data + (a->panel_first + i) * a->w->panel_bytes, *tile = first;
    memset(b->sums, 0, (size_t)count * sizeof b->sums[0]);
    for (int64_t k = 0; k < a->w->cols; k += Q_TILE_COLS, tile += q_tile_bytes(type)) {
        int cols = (int)round_up(smaller(a->w->cols - k, Q_TILE_COLS), type == ASH_Q8_0 ? 32 : 64);
        for (int v = 0; v < ROW_VECTORS; v++) {
            read_scales(type, tile, v, &b->scales[v]);
            unpack_codes(type, tile + q_header_bytes(type), cols, v, 0, b->codes[v]);
        }
        const uint8_t *next = k + Q_TILE_COLS < a->w->cols ? tile + q_tile_bytes(type)
                              : i + 1 < a->panel_count ? first + a->w->panel_bytes : tile;
        const int64_t a_token = q_tile_bytes(type) / count + 1; /* bytes of the next tile */
        for (int64_t t = 0, share; t < count; t += share) {
            share = smaller(count - t, BLOCK_TOKENS);
            prefetch_next(next, t * a_token, smaller((t + share) * a_token, q_tile_bytes(type)));
            switch (share) {
            case 1: block(type, 1, b, cols, a->x, t0 + t, k, b->sums + t); break;
            case 2: block(type, 2, b, cols, a->x, t0 + t, k, b->sums + t); break;
            case 3: block(type, 3, b, cols, a->x, t0 + t, k, b->sums + t); break;
            default: block(type, 4, b, cols, a->x, t0 + t, k, b->sums + t); break;
            }
        }
    }
    for (int64_t t = 0; t < count; t++) {
        float *y = call_y(a, token_of(a, t0 + t), i);
        for (int v = 0; v < ROW_VECTORS; v++)
            vf_store(y + VR * v, is_lower(a, t0 + t) ? vf_add(vf_load(y + VR * v), vf_load(b->sums[t] + VR * v))
                                                     : vf_load(b->sums[t] + VR * v));
    }
}

INLINE void matmul_q8(const ash_dtype type, const call *a)
{
    const int64_t rows = ash_q8_rows(a->x);
    for (int64_t t0 = 0, count; t0 < rows; t0 += count) {
        count = even_share(rows - t0, PASS_TOKENS);
        for (int64_t i = 0; i < a->panel_count; i++)
            panel(type, a, i, t0, count, a->scratch);
    }
}

#endif
