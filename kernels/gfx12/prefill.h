/* What the prefill kernels share: which panels a workgroup has, and where sums go.
 *
 * Workgroup x has 16 tiles of 16 tokens from tile 16 x, workgroup y a number of panels of one part; of SWIGLU's half of
 * them of each part, gates first. Panels beyond a part's last one stand for that one and are not written.
 */
#ifndef ASHLAR_KERNELS_GFX12_PREFILL_H
#define ASHLAR_KERNELS_GFX12_PREFILL_H

#include "format/container.h"
#include "kernels/gfx12/args.h"
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

/* Sums of tokens token .. token + 15 to their place: lane l has row l & 15 of each panel and tokens 8 (l >> 4) .. + 7. */
DEVICE void put_panel(const ash_gfx_prefill &a, const ash_gfx_part &part, int panel, int token, v8f sum)
{
    int row = lane_id() & 15, first = token + lane_id() / 16 * 8;
    if (panel >= (int)part.panels)
        return;
    float bias = part.bias ? part.bias[16 * panel + row] : 0;
    float *y = a.y + part.y_first + (int64_t)panel * part.y_panel_stride + row + (int64_t)first * a.y_stride;
    for (int e = 0; e < 8; e++)
        if (first + e < (int)a.tokens) {
            float *to = y + (int64_t)e * a.y_stride;
            *to = (a.kind == ASH_GFX_ADD ? *to : 0) + sum[e] + bias;
        }
}

template <int panels> DEVICE void finish(const ash_gfx_prefill &a, const place &at, int token, const v8f *acc)
{
    const ash_gfx_part &part = a.part[at.part];
    if (a.kind == ASH_GFX_SWIGLU)
#pragma unroll
        for (int p = 0; p < panels / 2; p++) {
            v8f h;
            for (int e = 0; e < 8; e++)
                h[e] = silu(acc[p][e]) * acc[p + panels / 2][e];
            put_panel(a, part, at.first + p, token, h);
        }
    else
#pragma unroll
        for (int p = 0; p < panels; p++)
            put_panel(a, part, at.first + p, token, acc[p]);
}

#endif
