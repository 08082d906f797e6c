/* Instructions one by one, and a wave until it ends or waits. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/gfx12/lanes.h"

void gfx_fault(gfx_wave *w, const char *format, ...)
{
    if (w->fault[0])
        return; /* the first one counts */
    va_list list;
    va_start(list, format);
    vsnprintf(w->fault, sizeof w->fault, format, list);
    va_end(list);
}

const gfx_op *gfx_op_find(const char *name)
{
#define TABLE(name) gfx_##name##_ops,
    const gfx_op *const tables[] = { GFX_TABLES(TABLE) };
#undef TABLE
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const gfx_op *op = tables[t]; op->name; op++)
            if (strcmp(op->name, name) == 0)
                return op;
    return NULL;
}

/* ---- vector instructions ---- */

static bool alone_in_place(const gfx_insn *i)
{
    return i->op->lanes && i->op->class == GFX_VECTOR && i->dst.kind == GFX_VGPR && i->dst.count == 1 &&
           i->dst.index < GFX_VGPRS && !(i->op->flags & GFX_CARRY_OUT) && !(i->op->param & GFX_HALF_D) && !i->omod &&
           (!i->clamp || i->op->flags & GFX_CLAMPS) && !i->dpp.on;
}

void gfx_find_in_place(gfx_insn *i)
{
    i->in_place = alone_in_place(i) && (!i->dual || alone_in_place(i->dual));
    for (int k = 0; i->dual && k <= i->dual->src_count; k++) {
        const gfx_operand *o = k < i->dual->src_count ? &i->dual->src[k] : &i->dual->dst;
        if (o->kind == GFX_VGPR && i->dst.index >= o->index && i->dst.index < o->index + o->count)
            i->in_place = false;
    }
}

static uint32_t lanes_moved(const gfx_wave *w, const gfx_insn *i)
{
    const gfx_operand *o = &i->src[0];
    if (!(i->op->flags & GFX_MOVES) || i->dpp.on || o->kind == GFX_INT || o->kind == GFX_FLOAT)
        return UINT32_MAX;
    if (o->kind == GFX_VGPR)
        return w->v_written[o->index];
    return o->kind != GFX_SGPR || o->index == GFX_NULL || w->s_written[o->index] ? UINT32_MAX : 0;
}

/* Else vector must look at it. */
static inline bool may_be_in_place(const gfx_wave *w, const gfx_insn *i)
{
    unsigned d = i->dst.index;
    return !w->v_pending[d] && !(i->op->flags & GFX_READS_DST && w->v_written[d] != UINT32_MAX) &&
           lanes_moved(w, i) == UINT32_MAX;
}

static inline void write_in_place(gfx_wave *w, const gfx_insn *i)
{
    i->op->lanes(w, i, w->v[i->dst.index]);
    w->v_written[i->dst.index] = UINT32_MAX;
}

static void finish_floats(const gfx_insn *i, uint32_t *r)
{
    static const float factors[] = { 1, 2, 4, 0.5f };
    bool half = i->op->param & GFX_HALF_D;
    for (int l = 0; l < GFX_LANES; l++) {
        float x = (half ? gfx_half(r[l]) : gfx_float(r[l])) * factors[i->omod];
        if (i->clamp)
            x = x > 1 ? 1 : x > 0 ? x : 0; /* NaN gives 0 */
        r[l] = half ? gfx_half_bits(x) : gfx_bits(x);
    }
}

/* A half's result beside the other half of the destination, as it was. */
static void merge_half(const gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    const uint32_t *old = w->v[i->dst.index];
    bool upper = i->op_sel >> i->src_count & 1;
    for (int l = 0; l < GFX_LANES; l++)
        r[l] = upper ? (old[l] & 0xffff) | r[l] << 16 : (old[l] & 0xffff0000) | (r[l] & 0xffff);
}

static uint32_t lanes_written(const gfx_wave *w, const gfx_insn *i)
{
    uint32_t lanes = w->s[GFX_EXEC] & i->dpp.write;
    if (!i->dpp.on || i->dpp.zero)
        return lanes;
    for (int l = 0; l < GFX_LANES; l++) {
        unsigned s = i->dpp.from[l];
        if (s >= GFX_LANES || (!i->dpp.inactive && !(w->s[GFX_EXEC] >> s & 1)))
            lanes &= ~(UINT32_C(1) << l);
    }
    return lanes;
}

static void compute(gfx_wave *w, const gfx_insn *i, uint32_t r[3 * GFX_LANES])
{
    if (i->op->flags & GFX_READS_DST)
        (void)gfx_check_v(w, i->dst.index, 1, w->s[GFX_EXEC]);
    i->op->lanes(w, i, r);
    if (i->omod || (i->clamp && (i->op->flags & (GFX_FLOATS | GFX_CLAMPS)) == GFX_FLOATS))
        finish_floats(i, r);
    if ((i->op->param & GFX_HALF_D) && i->dst.kind == GFX_VGPR)
        merge_half(w, i, r);
}

static uint32_t as_mask(const uint32_t *bits, uint32_t exec)
{
    uint32_t mask = 0;
    for (int l = 0; l < GFX_LANES; l++)
        mask |= (bits[l] & 1) << l;
    return mask & exec;
}

/* `written`: of a move, in which lanes there was something. */
static void write_back(gfx_wave *w, const gfx_insn *i, const uint32_t *r, uint32_t written)
{
    if (i->dst.kind != GFX_VGPR) {
        gfx_fault(w, "a vector result for a scalar register");
        return;
    }
    uint32_t lanes = lanes_written(w, i);
    gfx_set_lanes(w, i->dst.index, r, lanes);
    if (i->op->flags & GFX_MOVES)
        w->v_written[i->dst.index] &= ~lanes | written;
    if (i->dst.count == 2)
        gfx_set_lanes(w, i->dst.index + 1u, r + GFX_LANES, lanes);
    if (i->op->flags & GFX_CARRY_OUT)
        gfx_set_s32(w, &i->dst2, as_mask(r + GFX_LANES * i->dst.count, w->s[GFX_EXEC]));
}

static void vector(gfx_wave *w, const gfx_insn *i)
{
    uint32_t r[3 * GFX_LANES], second[3 * GFX_LANES];
    compute(w, i, r);
    if (i->op->class == GFX_VECTOR_COMPARE) {
        uint32_t mask = as_mask(r, w->s[GFX_EXEC]);
        if (i->op->flags & GFX_NO_DST)
            w->s[GFX_EXEC] = mask;
        else
            gfx_set_s32(w, &i->dst, mask);
        return;
    }
    if (i->dual)
        compute(w, i->dual, second);
    if (w->fault[0])
        return;
    uint32_t written = lanes_moved(w, i), of_dual = i->dual ? lanes_moved(w, i->dual) : 0;
    write_back(w, i, r, written);
    if (i->dual)
        write_back(w, i->dual, second, of_dual);
}

void gfx_step(gfx_wave *w, const gfx_insn *i)
{
    w->group->now = i;
    w->stats.insns[i->event]++;
    if (i->bytes) {
        uint64_t lanes = i->event == GFX_SMEM ? 1 : (uint64_t)__builtin_popcount(w->s[GFX_EXEC]);
        w->stats.bytes[i->event] += i->bytes * lanes;
        w->stats.cached += i->cached;
    }
    if (i->op->lanes) {
        if (!i->in_place || w->s[GFX_EXEC] != UINT32_MAX || !may_be_in_place(w, i) ||
            (i->dual && !may_be_in_place(w, i->dual))) {
            vector(w, i);
            return;
        }
        write_in_place(w, i);
        if (i->dual && !w->fault[0])
            write_in_place(w, i->dual);
    } else
        i->op->run(w, i);
}

/* ---- waves ---- */

void gfx_run_wave(gfx_wave *w, uint64_t *left)
{
    const gfx_kernel *k = w->group->launch->kernel;
    if (w->at_barrier) { /* every wave is here */
        w->at_barrier = false;
        w->time++;
    }
    while (!w->done && !w->at_barrier && !w->fault[0]) {
        if (w->pc >= k->count) {
            gfx_fault(w, "runs past the kernel's end");
            return;
        }
        if ((*left)-- == 0) {
            gfx_fault(w, "does not end");
            return;
        }
        gfx_step(w, &k->insns[w->pc++]);
    }
}
