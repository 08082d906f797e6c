/* Vector instructions that move values between lanes, or between a lane and a scalar register. */
#include "tests/gfx12/lanes.h"

static void readfirstlane(gfx_wave *w, const gfx_insn *i)
{
    uint32_t exec = w->s[GFX_EXEC];
    int lane = exec ? __builtin_ctz(exec) : 0;
    if (gfx_check_v(w, i->src[0].index, 1, UINT32_C(1) << lane))
        gfx_set_s32(w, &i->dst, w->v[i->src[0].index][lane]);
}
static void readlane(gfx_wave *w, const gfx_insn *i)
{
    uint32_t lane = gfx_s32(w, &i->src[1]) & 31;
    if (gfx_check_v(w, i->src[0].index, 1, UINT32_C(1) << lane))
        gfx_set_s32(w, &i->dst, w->v[i->src[0].index][lane]);
}
static void writelane(gfx_wave *w, const gfx_insn *i)
{
    uint32_t lane = gfx_s32(w, &i->src[1]) & 31, value = gfx_s32(w, &i->src[0]);
    if (w->v_pending[i->dst.index]) {
        gfx_fault(w, "v%u is written while a load into it is under way", i->dst.index);
        return;
    }
    w->v[i->dst.index][lane] = value;
    w->v_written[i->dst.index] |= UINT32_C(1) << lane;
}

/* Lane l takes the lane that its four bits of the selectors name: of its own row of 16, or of the other one. op_sel
 * bit 0: inactive lanes are read too; bit 1: what has no source is 0. */
static void permlane(gfx_wave *w, const gfx_insn *i, const uint8_t select[GFX_LANES], int other)
{
    if (i->src[0].kind != GFX_VGPR) {
        gfx_fault(w, "the source of a lane permutation is no vector register");
        return;
    }
    uint32_t exec = w->s[GFX_EXEC], r[GFX_LANES], write = 0, read = 0;
    LANES {
        int from = ((l & 16) ^ other) + select[l];
        bool there = exec >> from & 1 || (i->op_sel & 1);
        r[l] = there ? w->v[i->src[0].index][from] : 0;
        if (there || (i->op_sel & 2))
            write |= UINT32_C(1) << l;
        if (there && exec >> l & 1)
            read |= UINT32_C(1) << from;
    }
    if (gfx_check_v(w, i->src[0].index, 1, read))
        gfx_set_lanes(w, i->dst.index, r, exec & write);
}
static void by_scalars(gfx_wave *w, const gfx_insn *i, int other)
{
    uint64_t four = (uint64_t)gfx_s32(w, &i->src[2]) << 32 | gfx_s32(w, &i->src[1]);
    uint8_t select[GFX_LANES];
    LANES { select[l] = four >> 4 * (l & 15) & 15; }
    permlane(w, i, select, other);
}
static void by_lanes(gfx_wave *w, const gfx_insn *i, int other)
{
    SOURCE(1, ps);
    uint8_t select[GFX_LANES];
    LANES { select[l] = ps[l] & 15; }
    permlane(w, i, select, other);
}
static void permlane16(gfx_wave *w, const gfx_insn *i) { by_scalars(w, i, 0); }
static void permlanex16(gfx_wave *w, const gfx_insn *i) { by_scalars(w, i, 16); }
static void permlane16_var(gfx_wave *w, const gfx_insn *i) { by_lanes(w, i, 0); }
static void permlanex16_var(gfx_wave *w, const gfx_insn *i) { by_lanes(w, i, 16); }

/* The halves of 64 lanes change places; of 32 lanes nothing moves. */
static void permlane64(gfx_wave *w, const gfx_insn *i)
{
    if (gfx_check_v(w, i->src[0].index, 1, w->s[GFX_EXEC]))
        gfx_set_lanes(w, i->dst.index, w->v[i->src[0].index], w->s[GFX_EXEC]);
}
static void swap(gfx_wave *w, const gfx_insn *i)
{
    unsigned a = i->dst.index, b = i->src[0].index;
    uint32_t exec = w->s[GFX_EXEC], old[GFX_LANES];
    if (!gfx_check_v(w, a, 1, exec) || !gfx_check_v(w, b, 1, exec))
        return;
    LANES { old[l] = w->v[a][l]; }
    gfx_set_lanes(w, a, w->v[b], exec);
    gfx_set_lanes(w, b, old, exec);
}

#define V_LANE(name, fn, flags) { "v_" name, fn, NULL, GFX_VECTOR, flags, 0 }

const gfx_op gfx_lane_ops[] = {
    V_LANE("readfirstlane_b32", readfirstlane, 0), V_LANE("readlane_b32", readlane, 0),
    V_LANE("writelane_b32", writelane, 0), V_LANE("permlane16_b32", permlane16, GFX_OP_SEL),
    V_LANE("permlanex16_b32", permlanex16, GFX_OP_SEL), V_LANE("permlane16_var_b32", permlane16_var, GFX_OP_SEL),
    V_LANE("permlanex16_var_b32", permlanex16_var, GFX_OP_SEL), V_LANE("permlane64_b32", permlane64, 0),
    V_LANE("swap_b32", swap, 0),
    V_END,
};
