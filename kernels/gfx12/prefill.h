/* What the prefill kernels share: which panels a workgroup has, where sums go, and how the last workgroup of a group of
 * columns makes the next product's inputs of them.
 *
 * Workgroup x has 16 tiles of 16 tokens from tile 16 x, workgroup y a number of panels of one part; of SWIGLU's half of
 * them of each part, gates first. Panels beyond a part's last one stand for that one and are not written.
 */
#ifndef ASHLAR_KERNELS_GFX12_PREFILL_H
#define ASHLAR_KERNELS_GFX12_PREFILL_H

#include "format/container.h"
#include "kernels/gfx12/args.h"
#include "kernels/gfx12/inputs.h"
#include "kernels/gfx12/lane.h"

typedef struct place {
    int part, first; /* its first panel in the part */
    int panels;
} place;

DEVICE place find_place(const ash_gfx_prefill &a, int panels)
{
    place at = { 0, group_y() * panels, panels };
    if (a.kind == ASH_GFX_SWIGLU) {
        at.first /= 2;
        return at;
    }
    int block = group_y();
    for (int p = 0; p < (int)a.part_count - 1; p++) {
        int blocks = ((int)a.part[p].panels + panels - 1) / panels;
        if (block < blocks)
            break;
        block -= blocks;
        at.part++;
    }
    at.first = block * panels;
    return at;
}

typedef struct panel_at {
    const ash_gfx_part *part;
    const uint8_t *data;
    int panel;   /* in the part */
    bool there;
} panel_at;

/* Panel p of the workgroup. */
DEVICE panel_at find_panel(const ash_gfx_prefill &a, const place &at, int p)
{
    panel_at out;
    bool pair = a.kind == ASH_GFX_SWIGLU;
    int half = at.panels / 2;
    out.part = &a.part[pair ? p >= half : at.part];
    out.panel = at.first + (pair && p >= half ? p - half : p);
    out.there = out.panel < (int)out.part->panels;
    if (!out.there)
        out.panel = (int)out.part->panels - 1;
    out.data = out.part->data + (int64_t)out.panel * out.part->panel_bytes;
    return out;
}

/* The byte offsets of a lane, kept in registers of their own (load_at). */
typedef struct offsets {
    unsigned lane16, row16, half32; /* 16 bytes a lane or row, 8 floats a half */
} offsets;
DEVICE offsets make_offsets(void)
{
    unsigned lane = (unsigned)lane_id();
    return (offsets){ 16 * lane, 16 * (lane & 15), 32 * (lane / 16) };
}

/* Of 16 tokens those of the lane's half. */
DEVICE v8f load_eight(const float *base, offsets &o)
{
    v4f a = load_at<v4f>(base, o.half32), b = load_at<v4f>(base + 4, o.half32);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
}

/* The rest of the norm of a tile's tokens (ash_gfx_inputs), of 16 those of the lane's half. A lane sums up every other
 * group of one token. Whole wave. */
DEVICE v8f norm_factors(const ash_gfx_prefill &a, int64_t tile, int groups)
{
    const float *squares = a.x_squares + tile * groups * 16;
    int lane = lane_id();
    unsigned lane4 = 4 * (unsigned)lane;
    float sum = 0;
    for (int g = 0; g + 1 < groups; g += 2)
        sum += load_at<float>(squares + g * 16, lane4);
    if (groups & 1 && lane < 16)
        sum += load_at<float>(squares + (groups - 1) * 16, lane4);
    sum += from_other_half(sum);
    float factor = reciprocal_root(sum / (float)(int)a.cols + a.x_eps);
    v8f out;
    for (int e = 0; e < 8; e++)
        out[e] = from_lane(factor, lane / 16 * 8 + e);
    return out;
}

/* Sums of 16 tokens to their places: lane l has row l & 15 of each panel and tokens 8 (l >> 4) .. + 7, of which `tokens`
 * exist (`full`: all 16). What is there already is all loaded first. Addresses are a scalar and the lane's offset. */
template <int count, bool full>
DEVICE void put_rows(const ash_gfx_prefill &a, const ash_gfx_part &part, int panel, int token, const v8f *sum)
{
    int64_t stride = a.y_stride, step = uniform((int)part.y_panel_stride);
    float *y = uniform_pointer(a.y + part.y_first + panel * step + token * stride);
    unsigned row = lane_id() & 15, half = lane_id() / 16, offset = 4 * (row + half * 8 * a.y_stride), row4 = 4 * row;
    int tokens = (int)a.tokens - token - 8 * (int)half, panels = (int)part.panels - panel;
    v8f old[count] = {};
    if (a.kind == ASH_GFX_ADD)
#pragma unroll
        for (int p = 0; p < count; p++)
#pragma unroll
            for (int e = 0; e < 8; e++)
                if (p < panels && (full || e < tokens))
                    old[p][e] = load_at<float>(y + p * step + e * stride, offset);
#pragma unroll
    for (int p = 0; p < count; p++) {
        float bias = part.bias && p < panels ? load_at<float>(uniform_pointer(part.bias + 16 * (panel + p)), row4) : 0;
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (p < panels && (full || e < tokens))
                store_at<float>(y + p * step + e * stride, offset, old[p][e] + sum[p][e] + bias);
    }
}
template <int count>
DEVICE void put_panels(const ash_gfx_prefill &a, const ash_gfx_part &part, int panel, int token, const v8f *sum)
{
    if (token + 16 <= (int)a.tokens)
        put_rows<count, true>(a, part, panel, token, sum);
    else
        put_rows<count, false>(a, part, panel, token, sum);
}

#define AT_ONCE 4
template <int panels> DEVICE void finish(const ash_gfx_prefill &a, const place &at, int token, const v8f *acc)
{
    const ash_gfx_part &part = a.part[at.part];
    if (a.kind == ASH_GFX_SWIGLU) {
        v8f h[panels / 2];
#pragma unroll
        for (int p = 0; p < panels / 2; p++)
            for (int e = 0; e < 8; e++)
                h[p][e] = silu(acc[p][e]) * acc[p + panels / 2][e];
        put_panels<panels / 2>(a, part, at.first, token, h);
    } else {
        constexpr int rest = panels % AT_ONCE;
#pragma unroll
        for (int p = 0; p < panels - rest; p += AT_ONCE)
            put_panels<AT_ONCE>(a, part, at.first + p, token, acc + p);
        if constexpr (rest > 0)
            put_panels<rest>(a, part, at.first + panels - rest, token, acc + panels - rest);
    }
}

/* ---- the next product's inputs ---- */

template <int form> DEVICE void round_block(const ash_gfx_inputs &next, int group, int padded)
{
    constexpr int at_once = ASH_GFX_PREFILL_THREADS / GROUP_LANES;
    int first = group * ASH_GFX_GROUP + first_column(thread_id() % GROUP_LANES);
    int token = group_x() * ASH_GFX_PREFILL_TOKENS + thread_id() / GROUP_LANES;
    int tokens = ((int)next.tokens + 15) / 16 * 16;
#pragma unroll 1
    for (int t = 0; t < ASH_GFX_PREFILL_TOKENS; t += at_once)
        if (token - thread_id() / GROUP_LANES + t < tokens)
            round_run<form>(next, token + t, first, padded, 1);
}

/* Whole workgroup, after what it has put. Its panels are of one group of columns, but where their number does not divide a
 * group's. `last`: local memory. */
template <int count> DEVICE void make_next(const ash_gfx_prefill &a, const place &at, int &last)
{
    if (!a.next.out)
        return;
    constexpr int group_panels = ASH_GFX_GROUP / 16;
    int padded = (int)ASH_GFX_PADDED_COLS(a.next.cols), width = a.kind == ASH_GFX_SWIGLU ? at.panels / 2 : at.panels;
    int panels = (int)a.part[0].panels, end = at.first + width < panels ? at.first + width : panels;
    int group = at.first / group_panels;
    release_device();
    do {
        int first = group * group_panels, past = first + group_panels < panels ? first + group_panels : panels;
        unsigned sharers = (unsigned)((past - 1) / width - first / width + 1); /* workgroups that have panels of it */
        unsigned *done = a.done + group_x() * (padded / ASH_GFX_GROUP) + group;
        barrier();
        if (thread_id() == 0)
            last = add_device(done, 1) == sharers - 1;
        barrier();
        if (uniform(last)) {
            acquire_device();
            switch (a.next.form) {
            case ASH_GFX_INT8: round_block<ASH_GFX_INT8>(a.next, group, padded); break;
            case ASH_GFX_FP8: round_block<ASH_GFX_FP8>(a.next, group, padded); break;
            case ASH_GFX_F16: round_block<ASH_GFX_F16>(a.next, group, padded); break;
            default: round_block<ASH_GFX_BF16>(a.next, group, padded); break;
            }
            if (thread_id() == 0)
                *done = 0;
        }
        group++;
    } while (group_panels % count != 0 && group * group_panels < end);
}

#endif
