/* Registers, with what is known of them: written or not, and which loads into them are under way. */
#include <stdio.h>
#include <string.h>

#include "tests/gfx12/machine.h"

/* ---- what is pending ----
 *
 * Of each counter a ring of what is under way, the oldest at `oldest`. A register that two loads of one counter will
 * write is pending until the later one is done: `twice` says that there may be such ones, and that their marks are to be
 * made again when the first is. */

static gfx_pending *nth(gfx_wave *w, gfx_counter counter, uint32_t n)
{
    return &w->queue[counter][(w->oldest[counter] + n) % GFX_PENDING_MAX];
}

/* Of stores there are none. */
static inline void mark(gfx_wave *w, const gfx_pending *p, uint8_t value)
{
    uint8_t *pending = (p->scalar ? w->s_pending : w->v_pending) + p->first;
    for (uint32_t k = 0; k < p->count; k++)
        pending[k] = value;
}

void gfx_expect(gfx_wave *w, gfx_counter counter, bool scalar, uint16_t first, uint16_t count)
{
    if (w->queued[counter] == GFX_PENDING_MAX)
        gfx_wait(w, counter, GFX_PENDING_MAX - 1); /* the hardware stalls when its counter is full */
    uint8_t *pending = (scalar ? w->s_pending : w->v_pending) + first, value = (uint8_t)(counter + 1);
    for (uint32_t k = 0; k < count; k++) {
        if (pending[k]) { /* loads of one counter come back in order, or all at once */
            if (pending[k] != value)
                gfx_fault(w, "%c%u is written while a load into it is under way", scalar ? 's' : 'v', first + k);
            w->twice[counter] = true;
        }
        pending[k] = value;
    }
    *nth(w, counter, w->queued[counter]++) = (gfx_pending){ scalar, first, count };
    w->expected[counter] += count;
}

/* All but the last `left` are done. Scalar loads come back in any order: only waiting for all of them says anything. */
void gfx_wait(gfx_wave *w, gfx_counter counter, uint32_t left)
{
    uint32_t n = w->queued[counter], awaited = 0;
    if (n <= left || (counter == GFX_KMCNT && left != 0))
        return;
    for (uint32_t i = 0; i < n - left; i++) {
        const gfx_pending *p = nth(w, counter, i);
        mark(w, p, 0);
        awaited += p->count;
    }
    if (counter == GFX_LOADCNT) {
        w->stats.awaited += awaited;
        w->stats.in_flight += (uint64_t)awaited * w->expected[counter];
    }
    w->oldest[counter] = (w->oldest[counter] + n - left) % GFX_PENDING_MAX;
    w->queued[counter] = left;
    w->expected[counter] -= awaited;
    if (!w->twice[counter])
        return;
    w->twice[counter] = left != 0;
    for (uint32_t i = 0; i < left; i++)
        mark(w, nth(w, counter, i), (uint8_t)(counter + 1));
}

static const char *counter_name(uint8_t pending)
{
    static const char *const names[] = { "loadcnt", "dscnt", "kmcnt", "storecnt" };
    return names[pending - 1];
}

/* ---- registers ---- */

bool gfx_fault_v(gfx_wave *w, unsigned first, unsigned end, uint32_t lanes)
{
    if (end > GFX_VGPRS)
        gfx_fault(w, "v%u is no register", end - 1);
    for (unsigned r = first; r < end && r < GFX_VGPRS; r++) {
        if (w->v_pending[r]) {
            gfx_fault(w, "v%u is read before s_wait_%s covers its load", r, counter_name(w->v_pending[r]));
            return false;
        }
        if ((w->v_written[r] & lanes) != lanes) {
            gfx_fault(w, "v%u is read in lane %d before anything wrote it", r, __builtin_ctz(lanes & ~w->v_written[r]));
            return false;
        }
    }
    return false;
}

static void __attribute__((noinline, cold)) fault_s(gfx_wave *w, unsigned r)
{
    char name[16];
    snprintf(name, sizeof name, r >= GFX_TTMP && r < GFX_NULL ? "ttmp%u" : "s%u", r >= GFX_TTMP ? r - GFX_TTMP : r);
    if (r == GFX_VCC || r == GFX_VCC + 1)
        snprintf(name, sizeof name, r == GFX_VCC ? "vcc_lo" : "vcc_hi");
    if (r == GFX_M0)
        snprintf(name, sizeof name, "m0");
    if (w->s_pending[r])
        gfx_fault(w, "%s is read before s_wait_%s covers its load", name, counter_name(w->s_pending[r]));
    else
        gfx_fault(w, "%s is read before anything wrote it", name);
}

static void check_s(gfx_wave *w, unsigned r)
{
    if (w->s_pending[r] || !w->s_written[r])
        fault_s(w, r);
}

uint32_t gfx_s32(gfx_wave *w, const gfx_operand *o)
{
    switch ((gfx_kind)o->kind) {
    case GFX_SGPR:
        if (o->index == GFX_NULL)
            return 0;
        check_s(w, o->index);
        return w->s[o->index];
    case GFX_INT:
    case GFX_FLOAT: return o->bits;
    case GFX_SCC: return w->scc;
    default: gfx_fault(w, "a vector register where a scalar one belongs"); return 0;
    }
}

uint64_t gfx_s64(gfx_wave *w, const gfx_operand *o)
{
    if (o->kind == GFX_SGPR && o->index != GFX_NULL) {
        check_s(w, o->index);
        check_s(w, o->index + 1u);
        return gfx_pair(w, o->index);
    }
    if (o->kind == GFX_FLOAT)
        gfx_fault(w, "a float's constant in 64 bits");
    return (uint64_t)(int64_t)(int32_t)gfx_s32(w, o);
}

void gfx_set_s32(gfx_wave *w, const gfx_operand *o, uint32_t value)
{
    if (o->kind != GFX_SGPR) {
        gfx_fault(w, "a scalar result for a vector register");
        return;
    }
    if (o->index == GFX_NULL)
        return;
    if (w->s_pending[o->index])
        gfx_fault(w, "s%u is written while a load into it is under way", o->index);
    w->s[o->index] = value;
    w->s_written[o->index] = true;
}

void gfx_set_s64(gfx_wave *w, const gfx_operand *o, uint64_t value)
{
    gfx_operand high = *o;
    high.index++;
    gfx_set_s32(w, o, (uint32_t)value);
    if (o->index != GFX_NULL)
        gfx_set_s32(w, &high, (uint32_t)(value >> 32));
}

static const uint32_t *through_dpp(gfx_wave *w, const gfx_insn *i, const uint32_t *from, unsigned reg, uint32_t *room)
{
    uint32_t exec = w->s[GFX_EXEC], read = 0;
    if (exec == UINT32_MAX && !w->v_pending[reg] && w->v_written[reg] == UINT32_MAX) {
        for (int l = 0; l < GFX_LANES; l++)
            room[l] = i->dpp.from[l] < GFX_LANES ? from[i->dpp.from[l]] : 0;
        return room;
    }
    for (int l = 0; l < GFX_LANES; l++) {
        unsigned s = i->dpp.from[l];
        bool there = s < GFX_LANES && (i->dpp.inactive || exec >> s & 1);
        room[l] = there ? from[s] : 0;
        if (there && exec >> l & 1)
            read |= UINT32_C(1) << s;
    }
    (void)gfx_check_v(w, reg, 1, read);
    return room;
}

const uint32_t *gfx_lanes_checked(gfx_wave *w, const gfx_insn *i, int k, int part, uint32_t room[GFX_LANES])
{
    const gfx_operand *o = &i->src[k];
    const uint32_t *from = room;
    bool dpp = k == 0 && i->dpp.on, half = i->op->lanes && !(i->op->flags & GFX_PACKED) && i->op->param >> k & 1;
    if (k >= i->src_count)
        gfx_fault(w, "fewer operands than the instruction takes");
    if (o->kind == GFX_VGPR) {
        unsigned reg = o->index + (unsigned)part;
        if (!dpp) /* of a move only what is there must have arrived */
            (void)gfx_check_v(w, reg, 1,
                              i->op->flags & GFX_MOVES ? w->s[GFX_EXEC] & w->v_written[reg] : w->s[GFX_EXEC]);
        from = w->v[reg];
        if (dpp)
            from = through_dpp(w, i, from, reg, room);
        if (!o->neg && !o->abs && !half)
            return from;
    } else if (i->op->flags & GFX_MOVES && o->kind == GFX_SGPR && !w->s_written[o->index] && !w->s_pending[o->index]) {
        for (int l = 0; l < GFX_LANES; l++)
            room[l] = w->s[o->index];
    } else {
        uint64_t both = part == 0 ? gfx_s32(w, o) : gfx_s64(w, o) >> 32;
        for (int l = 0; l < GFX_LANES; l++)
            room[l] = (uint32_t)both;
    }
    uint32_t sign = half ? 0x8000 : 0x80000000, keep = (half ? 0xffff : UINT32_MAX) & ~(o->abs ? sign : 0);
    uint32_t flip = o->neg ? sign : 0;
    int shift = half && i->op_sel >> k & 1 ? 16 : 0;
    for (int l = 0; l < GFX_LANES; l++)
        room[l] = (from[l] >> shift & keep) ^ flip;
    return room;
}

void gfx_wide_source(gfx_wave *w, const gfx_insn *i, int k, uint64_t out[GFX_LANES])
{
    uint32_t low_room[GFX_LANES], high_room[GFX_LANES];
    const uint32_t *low = gfx_lanes_of(w, i, k, 0, low_room), *high = gfx_lanes_of(w, i, k, 1, high_room);
    for (int l = 0; l < GFX_LANES; l++)
        out[l] = (uint64_t)high[l] << 32 | low[l];
}

void gfx_set_lanes(gfx_wave *w, unsigned index, const uint32_t *r, uint32_t lanes)
{
    if (index >= GFX_VGPRS || w->v_pending[index]) {
        gfx_fault(w, "v%u is written while a load into it is under way", index);
        return;
    }
    uint32_t *v = w->v[index];
    if (lanes == UINT32_MAX) {
        memcpy(v, r, sizeof w->v[0]);
        w->v_written[index] = UINT32_MAX;
        return;
    }
    if (w->exec_of_mask != lanes) {
        for (int l = 0; l < GFX_LANES; l++)
            w->mask[l] = lanes >> l & 1 ? UINT32_MAX : 0;
        w->exec_of_mask = lanes;
    }
    for (int l = 0; l < GFX_LANES; l++)
        v[l] = (v[l] & ~w->mask[l]) | (r[l] & w->mask[l]);
    w->v_written[index] |= lanes;
}
