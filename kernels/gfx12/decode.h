/* What the decoding kernels share: who has which panels, the norm, sums over waves, epilogues.
 *
 * A workgroup of 8 waves owns two panels: neighbours of a part, or one of gate and one of up. Wave w works on panel w &
 * 1, and on every fourth stretch of its columns, from w >> 1 on. So one workgroup reads two unbroken streams, and the
 * inputs, which every workgroup normalizes and rounds for itself, serve 32 rows. Inputs lie in local memory, in slabs
 * of whole tiles of 256 columns where not all of them fit.
 */
#ifndef ASHLAR_KERNELS_GFX12_DECODE_H
#define ASHLAR_KERNELS_GFX12_DECODE_H

#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define THREADS ASH_GFX_DECODE_THREADS
#define WAVES (THREADS / LANES)
#define SLOTS (WAVES / 2)  /* waves of a panel */
#define TILE_COLS 256      /* columns that a wave rounds at once, 8 a lane */

/* One of a workgroup's two panels. */
typedef struct place {
    int part, panel;
    bool there; /* false: the part has an odd number of panels, and this would be one more */
} place;

DEVICE place find_place(const ash_gfx_decode &a, int which, int group)
{
    int part = 0;
    if (a.kind == ASH_GFX_SWIGLU)
        return place{ which, group, true };
    int pairs = ((int)a.part[0].panels + 1) / 2;
    if (group >= pairs) {
        group -= pairs;
        part = 1;
        pairs = ((int)a.part[1].panels + 1) / 2;
        if (group >= pairs) {
            group -= pairs;
            part = 2;
        }
    }
    int panel = 2 * group + which;
    return place{ part, panel, panel < (int)a.part[part].panels };
}

DEVICE const uint8_t *panel_data(const ash_gfx_decode &a, place at)
{
    return a.part[at.part].data + (uint64_t)(unsigned)at.panel * a.part[at.part].panel_bytes;
}

/* ---- inputs ---- */

/* Row of token t; of the last one there is for those that a variant has room for beyond it. */
DEVICE const float *token_row(const ash_gfx_decode &a, int t)
{
    int last = (int)a.tokens - 1;
    return a.x + (unsigned)uniform_here((int)((unsigned)(t < last ? t : last) * a.x_stride));
}

/* Columns col .. col + 7 of a row, zero where there are none; col is a multiple of 8. */
DEVICE v8f read_columns(const ash_gfx_decode &a, const float *row, int col)
{
    v8f x = (v8f)(0.0f);
    if (col < (int)a.cols) { /* zeros follow up to a multiple of 64 */
        v4f low = load<v4f>(row + col), high = load<v4f>(row + col + 4);
        x = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    return x;
}

/* The same, normalized. */
DEVICE v8f read_normalized(const ash_gfx_decode &a, const float *row, int col, float factor)
{
    v8f x = read_columns(a, row, col);
    if (!a.norm)
        return x;
    x *= factor;
    if (col + 8 <= (int)a.cols) {
        v4f low = load<v4f>(a.norm + col), high = load<v4f>(a.norm + col + 4);
        x *= __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
    } else {
        int last = (int)a.cols - 1;
        for (int i = 0; i < 8; i++) /* beyond the last column x is 0 */
            x[i] *= a.norm[col + i < last ? col + i : last];
    }
    return x;
}

/* What waves add up or compare, for each token: [WAVES] sums of squares, then [WAVES] largest magnitudes. */
#define TOKEN_FLOATS (2 * WAVES)

/* Sums of squares of the rows of `tokens` tokens from `first` on; a barrier has to follow. Nothing without a norm. */
template <int tokens> DEVICE void add_squares(const ash_gfx_decode &a, float *sums, int first = 0)
{
    if (!a.norm)
        return;
#pragma nounroll
    for (int t = 0; t < tokens; t++) {
        const float *row = token_row(a, first + t);
        float sum = 0;
        for (int col = 8 * thread_id(); col < (int)a.cols; col += 8 * THREADS) {
            v8f x = read_columns(a, row, col);
            for (int i = 0; i < 8; i++)
                sum += x[i] * x[i];
        }
        sum = wave_sum(sum);
        if (lane_id() == 0)
            sums[uniform_here(t * TOKEN_FLOATS) + wave_id()] = sum;
    }
}

/* 1 / sqrt(mean(x^2) + eps) of token t, in order, so that every wave has the same; 1 without a norm. */
DEVICE float norm_factor(const ash_gfx_decode &a, const float *sums, int t)
{
    if (!a.norm)
        return 1;
    const float *of = sums + uniform_here(t * TOKEN_FLOATS);
    v4f low = load<v4f>(of), high = load<v4f>(of + 4);
    float sum = ((low.x + low.y) + (low.z + low.w)) + ((high.x + high.y) + (high.z + high.w));
    return uniform_float(reciprocal_root(sum / (float)a.cols + a.eps));
}

/* ---- outputs ---- */

/* Floats of local memory that sum_waves needs. */
#define SUMS(tokens) ((tokens) * WAVES * 16)

/* Each wave's sums of its columns: acc[t] of lane l is row l & 15, half of the columns. They meet in `sums`: of lane l
 * of wave t the result is row l & 15 of panel l >> 4 for token t; nothing in waves that have no token. */
template <int tokens> DEVICE float sum_waves(float *sums, const float acc[tokens])
{
    int lane = lane_id(), wave = wave_id();
#pragma unroll
    for (int t = 0; t < tokens; t++) {
        float both = acc[t] + from_other_half(acc[t]);
        if (lane < 16)
            sums[(t * WAVES + wave) * 16 + lane] = both;
    }
    barrier();
    if (wave >= tokens)
        return 0;
    const float *mine = sums + (wave * WAVES + lane / 16) * 16 + (lane & 15);
    return (mine[0] + mine[32]) + (mine[64] + mine[96]);
}

/* value: of lane l of wave t for token first + t, as sum_waves leaves it. */
DEVICE void write_outputs(const ash_gfx_decode &a, float value, int group, int first = 0)
{
    int lane = lane_id(), row = lane & 15, t = first + wave_id();
    place at = find_place(a, 0, group);
    if (t >= (int)a.tokens)
        return;
    const ash_gfx_part &part = a.part[at.part];
    float *y = a.y + (uint64_t)(unsigned)t * a.y_stride + part.y_first + row;
    if (a.kind == ASH_GFX_SWIGLU) {
        float up = from_other_half(value);
        if (lane < 16)
            y[(uint64_t)(unsigned)at.panel * part.y_panel_stride] = silu(value) * up;
        return;
    }
    int panel = at.panel + lane / 16;
    if (panel >= (int)part.panels)
        return;
    y += (uint64_t)(unsigned)panel * part.y_panel_stride;
    if (part.bias)
        value += part.bias[16 * panel + row];
    *y = a.kind == ASH_GFX_ADD ? *y + value : value;
}

#endif
