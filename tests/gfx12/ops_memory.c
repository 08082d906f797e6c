/* Loads and stores: scalar, global, LDS. A load's registers are pending until the wait that covers it. */
#include <string.h>

#include "tests/gfx12/machine.h"

/* ---- scalar loads ---- */

static void s_load(gfx_wave *w, const gfx_insn *i)
{
    uint64_t address = gfx_s64(w, &i->src[0]);
    int64_t offset = i->offset;
    if (i->src_count > 1) /* a register's or an immediate offset */
        offset += i->src[1].kind == GFX_INT ? (int32_t)i->src[1].bits : (int64_t)gfx_s32(w, &i->src[1]);
    unsigned count = i->op->param / 4u;
    const void *from = gfx_access(w, address + (uint64_t)offset, i->op->param, false, -1);
    if (!from || i->dst.index == GFX_NULL)
        return;
    if (i->dst.count != count) {
        gfx_fault(w, "%u registers are written for %u", i->dst.count, count);
        return;
    }
    memcpy(&w->s[i->dst.index], from, i->op->param);
    for (unsigned k = 0; k < count; k++)
        w->s_written[i->dst.index + k] = true;
    gfx_expect(w, GFX_KMCNT, true, i->dst.index, (uint16_t)count);
}

/* ---- global memory ---- */

/* Address in a lane: v[2] as 64 bits, or a scalar pair and v as an unsigned offset. */
static bool addresses(gfx_wave *w, const gfx_insn *i, int v, int s, uint64_t out[GFX_LANES])
{
    const gfx_operand *a = &i->src[v], *base = &i->src[s];
    uint32_t exec = w->s[GFX_EXEC];
    bool wide = base->kind == GFX_OFF;
    if (a->kind != GFX_VGPR && !(a->kind == GFX_OFF && !wide)) {
        gfx_fault(w, "an address that is no vector register");
        return false;
    }
    uint64_t scalar = wide ? 0 : gfx_s64(w, base);
    if (a->kind == GFX_VGPR && !gfx_check_v(w, a->index, wide ? 2 : 1, exec))
        return false;
    for (int l = 0; l < GFX_LANES; l++) {
        uint64_t low = a->kind == GFX_VGPR ? w->v[a->index][l] : 0;
        uint64_t high = wide ? w->v[a->index + 1][l] : 0;
        out[l] = scalar + (high << 32 | low) + (uint64_t)(int64_t)i->offset;
    }
    return true;
}

/* How a narrow value fills its register. */
enum { UNSIGNED_8 = 1, UNSIGNED_16 = 2, SIGNED_8 = 0x81, SIGNED_16 = 0x82 };

static uint32_t widened(uint8_t param, const uint8_t *from)
{
    uint16_t half = 0;
    if (param == UNSIGNED_16 || param == SIGNED_16)
        memcpy(&half, from, 2);
    switch (param) {
    case UNSIGNED_8: return from[0];
    case SIGNED_8: return (uint32_t)(int32_t)(int8_t)from[0];
    case UNSIGNED_16: return half;
    default: return (uint32_t)(int32_t)(int16_t)half;
    }
}

static void fill(gfx_wave *w, const gfx_insn *i, int lane, const uint8_t *from)
{
    unsigned bytes = i->op->param & 0x7f;
    if (bytes < 4) {
        w->v[i->dst.index][lane] = widened(i->op->param, from);
        return;
    }
    for (unsigned k = 0; k < bytes / 4; k++)
        memcpy(&w->v[i->dst.index + k][lane], from + 4 * k, 4);
}

static void loaded(gfx_wave *w, const gfx_insn *i, gfx_counter counter)
{
    unsigned bytes = i->op->param & 0x7f, count = bytes < 4 ? 1 : bytes / 4;
    for (unsigned k = 0; k < count; k++)
        w->v_written[i->dst.index + k] |= w->s[GFX_EXEC];
    gfx_expect(w, counter, false, i->dst.index, (uint16_t)count);
}

static void global_load(gfx_wave *w, const gfx_insn *i)
{
    uint64_t at[GFX_LANES];
    unsigned bytes = i->op->param & 0x7f;
    if (!addresses(w, i, 0, 1, at))
        return;
    for (int l = 0; l < GFX_LANES; l++) {
        if (!(w->s[GFX_EXEC] >> l & 1))
            continue;
        const uint8_t *from = gfx_access(w, at[l], bytes, false, l);
        if (!from)
            return;
        fill(w, i, l, from);
        w->stats.global_bytes += bytes;
    }
    loaded(w, i, GFX_LOADCNT);
}

static void global_store(gfx_wave *w, const gfx_insn *i)
{
    uint64_t at[GFX_LANES];
    unsigned bytes = i->op->param, count = bytes < 4 ? 1 : bytes / 4;
    const gfx_operand *data = &i->src[1];
    if (!addresses(w, i, 0, 2, at) || !gfx_check_v(w, data->index, count, w->s[GFX_EXEC]))
        return;
    for (int l = 0; l < GFX_LANES; l++) {
        if (!(w->s[GFX_EXEC] >> l & 1))
            continue;
        uint8_t *to = gfx_access(w, at[l], bytes, true, l);
        if (!to)
            return;
        for (unsigned k = 0; k < count; k++)
            memcpy(to + 4 * k, &w->v[data->index + k][l], bytes < 4 ? bytes : 4);
        w->stats.global_bytes += bytes;
    }
    gfx_expect(w, GFX_STORECNT, false, 0, 0);
}

/* ---- LDS ---- */

static void ds_load(gfx_wave *w, const gfx_insn *i)
{
    const gfx_operand *a = &i->src[0];
    unsigned bytes = i->op->param & 0x7f;
    if (!gfx_check_v(w, a->index, 1, w->s[GFX_EXEC]))
        return;
    for (int l = 0; l < GFX_LANES; l++) {
        if (!(w->s[GFX_EXEC] >> l & 1))
            continue;
        const uint8_t *from = gfx_lds(w, w->v[a->index][l] + (uint32_t)i->offset, bytes, l);
        if (!from)
            return;
        fill(w, i, l, from);
        w->stats.lds_bytes += bytes;
    }
    loaded(w, i, GFX_DSCNT);
}

static void ds_store(gfx_wave *w, const gfx_insn *i)
{
    const gfx_operand *a = &i->src[0], *data = &i->src[1];
    unsigned bytes = i->op->param, count = bytes < 4 ? 1 : bytes / 4;
    if (!gfx_check_v(w, a->index, 1, w->s[GFX_EXEC]) || !gfx_check_v(w, data->index, count, w->s[GFX_EXEC]))
        return;
    for (int l = 0; l < GFX_LANES; l++) {
        if (!(w->s[GFX_EXEC] >> l & 1))
            continue;
        uint8_t *to = gfx_lds(w, w->v[a->index][l] + (uint32_t)i->offset, bytes, l);
        if (!to)
            return;
        for (unsigned k = 0; k < count; k++)
            memcpy(to + 4 * k, &w->v[data->index + k][l], bytes < 4 ? bytes : 4);
        w->stats.lds_bytes += bytes;
    }
    gfx_expect(w, GFX_DSCNT, false, 0, 0);
}

/* Lane l takes the value of lane (address / 4) mod 32; of an inactive one 0. */
static void ds_bpermute(gfx_wave *w, const gfx_insn *i)
{
    const gfx_operand *a = &i->src[0], *data = &i->src[1];
    uint32_t exec = w->s[GFX_EXEC], r[GFX_LANES], read = 0;
    if (!gfx_check_v(w, a->index, 1, exec))
        return;
    for (int l = 0; l < GFX_LANES; l++) {
        uint32_t from = (w->v[a->index][l] + (uint32_t)i->offset) / 4 % GFX_LANES;
        r[l] = exec >> from & 1 ? w->v[data->index][from] : 0;
        if (exec >> l & 1)
            read |= exec & UINT32_C(1) << from;
    }
    if (!gfx_check_v(w, data->index, 1, read))
        return;
    gfx_set_lanes(w, i->dst.index, r, exec);
    gfx_expect(w, GFX_DSCNT, false, i->dst.index, 1);
}

#define S_LOAD(name, bytes) { "s_load_" name, s_load, NULL, GFX_SCALAR_LOAD, 0, bytes }
#define LOAD(name, param) { "global_load_" name, global_load, NULL, GFX_GLOBAL_LOAD, 0, param }
#define STORE(name, bytes) { "global_store_" name, global_store, NULL, GFX_GLOBAL_STORE, GFX_NO_DST, bytes }
#define DS_LOAD(name, param) { "ds_load_" name, ds_load, NULL, GFX_DS_LOAD, 0, param }
#define DS_STORE(name, bytes) { "ds_store_" name, ds_store, NULL, GFX_DS_STORE, GFX_NO_DST, bytes }

const gfx_op gfx_memory_ops[] = {
    S_LOAD("b32", 4), S_LOAD("b64", 8), S_LOAD("b96", 12), S_LOAD("b128", 16), S_LOAD("b256", 32), S_LOAD("b512", 64),
    LOAD("u8", UNSIGNED_8), LOAD("i8", SIGNED_8), LOAD("u16", UNSIGNED_16), LOAD("i16", SIGNED_16), LOAD("b32", 4),
    LOAD("b64", 8), LOAD("b96", 12), LOAD("b128", 16),
    STORE("b8", 1), STORE("b16", 2), STORE("b32", 4), STORE("b64", 8), STORE("b96", 12), STORE("b128", 16),
    DS_LOAD("u8", UNSIGNED_8), DS_LOAD("i8", SIGNED_8), DS_LOAD("u16", UNSIGNED_16), DS_LOAD("i16", SIGNED_16),
    DS_LOAD("b32", 4), DS_LOAD("b64", 8), DS_LOAD("b96", 12), DS_LOAD("b128", 16),
    DS_STORE("b8", 1), DS_STORE("b16", 2), DS_STORE("b32", 4), DS_STORE("b64", 8), DS_STORE("b96", 12),
    DS_STORE("b128", 16),
    { "ds_bpermute_b32", ds_bpermute, NULL, GFX_DS_LOAD, 0, 4 },
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
