/* Loads and stores outside LDS: scalar, global, scratch. A load's registers are pending until the wait that covers
 * it. */
#include <string.h>

#include "tests/gfx12/lanes.h"
#include "tests/gfx12/transfer.h"

/* How a narrow value fills its register: gfx_op.param of loads below 4 bytes. D16: one half of it, the other stays. */
enum { SIGNED = 0x80, D16 = 0x40, HIGH = 0x20, BYTES = 0x1f };

static unsigned bytes_of(const gfx_op *op) { return op->flags & GFX_WIDE_ACCESS ? op->param : op->param & BYTES; }
static unsigned registers_of(unsigned bytes) { return bytes < 4 ? 1 : bytes / 4; }

static uint32_t narrow(uint8_t param, const uint8_t *from, uint32_t old)
{
    uint16_t half = 0;
    memcpy(&half, from, param & BYTES);
    uint32_t x = half;
    if (param & SIGNED)
        x = (uint32_t)(int32_t)((param & BYTES) == 1 ? (int8_t)half : (int16_t)half);
    if (!(param & D16))
        return x;
    return param & HIGH ? (old & 0xffff) | x << 16 : (old & 0xffff0000) | (x & 0xffff);
}

/* ---- scalar loads ---- */

static void s_load(gfx_wave *w, const gfx_insn *i)
{
    uint64_t address = gfx_s64(w, &i->src[0]);
    int64_t offset = i->offset;
    unsigned bytes = bytes_of(i->op), count = registers_of(bytes);
    if (i->src_count > 1) /* a register's or an immediate offset */
        offset += i->src[1].kind == GFX_INT ? (int32_t)i->src[1].bits : (int64_t)gfx_s32(w, &i->src[1]);
    const uint8_t *from = gfx_access(w, address + (uint64_t)offset, bytes, false, -1);
    if (!from || i->dst.index == GFX_NULL || !gfx_log_scalar_load(w, address + (uint64_t)offset, bytes))
        return;
    if (i->dst.count != count) {
        gfx_fault(w, "%u registers are written for %u", i->dst.count, count);
        return;
    }
    gfx_expect(w, GFX_KMCNT, true, i->dst.index, (uint16_t)count);
    if (bytes < 4)
        w->s[i->dst.index] = narrow(i->op->param, from, 0);
    else
        memcpy(&w->s[i->dst.index], from, bytes);
    for (unsigned k = 0; k < count; k++)
        w->s_written[i->dst.index + k] = true;
}

/* ---- global memory ---- */

bool gfx_addresses(gfx_wave *w, const gfx_insn *i, int v, int s, unsigned bytes, bool write, uint64_t out[GFX_LANES])
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
    scalar += (uint64_t)(int64_t)i->offset;
    const uint32_t *low = a->kind == GFX_VGPR ? w->v[a->index] : NULL;
    if (wide)
        LANES { out[l] = scalar + ((uint64_t)low[GFX_LANES + l] << 32 | low[l]); } /* the next register follows */
    else
        LANES { out[l] = scalar + (low ? low[l] : 0); }
    return gfx_access_lanes(w, out, bytes, write);
}

static void fill(gfx_wave *w, const gfx_insn *i, unsigned bytes, const uint64_t at[GFX_LANES])
{
    uint32_t exec = w->s[GFX_EXEC];
    if (bytes < 4) {
        uint32_t *v = w->v[i->dst.index];
        for (uint32_t left = exec; left; left &= left - 1) {
            int l = __builtin_ctz(left);
            v[l] = narrow(i->op->param, (const uint8_t *)(uintptr_t)at[l], v[l]);
        }
        return;
    }
    if (exec == UINT32_MAX) {
        gfx_load_lanes(&w->v[i->dst.index], bytes / 4, at);
        return;
    }
    for (unsigned k = 0; k < bytes / 4; k++)
        for (uint32_t left = exec; left; left &= left - 1)
            memcpy(&w->v[i->dst.index + k][__builtin_ctz(left)],
                   (const uint8_t *)(uintptr_t)at[__builtin_ctz(left)] + 4 * k, 4);
}

/* The registers may be written, and are pending from now on. */
static bool start_load(gfx_wave *w, const gfx_insn *i, unsigned count, gfx_counter counter)
{
    if (i->dst.kind != GFX_VGPR || i->dst.index + count > GFX_VGPRS || i->dst.count != count) {
        gfx_fault(w, "a load of %u registers into another number of them", count);
        return false;
    }
    if ((i->op->param & D16) && !(i->op->flags & GFX_WIDE_ACCESS) && w->v_pending[i->dst.index] &&
        w->v_pending[i->dst.index] != counter + 1) /* the other half's load may be under way; another counter's not */
        gfx_fault(w, "v%u is written while a load into it is under way", i->dst.index);
    gfx_expect(w, counter, false, i->dst.index, (uint16_t)count);
    for (unsigned k = 0; k < count; k++)
        w->v_written[i->dst.index + k] |= w->s[GFX_EXEC];
    return !w->fault[0];
}

static void global_load(gfx_wave *w, const gfx_insn *i)
{
    uint64_t at[GFX_LANES];
    unsigned bytes = bytes_of(i->op);
    if (!gfx_addresses(w, i, 0, 1, bytes, false, at) || !gfx_log_loads(w, i, at, bytes) ||
        !start_load(w, i, registers_of(bytes), GFX_LOADCNT))
        return;
    fill(w, i, bytes, at);
}

static void spread(gfx_wave *w, const gfx_insn *i, const gfx_operand *data, unsigned bytes,
                   const uint64_t at[GFX_LANES])
{
    int skip = !(i->op->flags & GFX_WIDE_ACCESS) && (i->op->param & HIGH) ? 2 : 0; /* bytes of the register */
    if (bytes >= 4 && w->s[GFX_EXEC] == UINT32_MAX) {
        gfx_store_lanes((const uint32_t(*)[GFX_LANES])&w->v[data->index], bytes / 4, at);
        return;
    }
    for (uint32_t left = w->s[GFX_EXEC]; left; left &= left - 1) {
        int l = __builtin_ctz(left);
        uint8_t *to = (uint8_t *)(uintptr_t)at[l];
        if (bytes < 4)
            memcpy(to, (const uint8_t *)&w->v[data->index][l] + skip, bytes);
        for (unsigned k = 0; k < bytes / 4; k++)
            memcpy(to + 4 * k, &w->v[data->index + k][l], 4);
    }
}

static void global_store(gfx_wave *w, const gfx_insn *i)
{
    uint64_t at[GFX_LANES];
    unsigned bytes = bytes_of(i->op);
    const gfx_operand *data = &i->src[1];
    if (!gfx_check_v(w, data->index, registers_of(bytes), w->s[GFX_EXEC]) ||
        !gfx_addresses(w, i, 0, 2, bytes, true, at))
        return;
    gfx_log_stores(w, at, bytes);
    spread(w, i, data, bytes, at);
    gfx_expect(w, GFX_STORECNT, false, 0, 0);
}

/* Addresses that might be LDS's too: of global memory here, and two counters say when they are done. */
static void flat_load(gfx_wave *w, const gfx_insn *i)
{
    global_load(w, i);
    gfx_expect(w, GFX_DSCNT, false, 0, 0);
}
static void flat_store(gfx_wave *w, const gfx_insn *i)
{
    global_store(w, i);
    gfx_expect(w, GFX_DSCNT, false, 0, 0);
}

/* ---- scratch: memory of a lane's own ---- */

static bool scratch_addresses(gfx_wave *w, const gfx_insn *i, int v, int s, unsigned bytes, uint64_t out[GFX_LANES])
{
    const gfx_operand *a = &i->src[v], *base = &i->src[s];
    uint32_t size = w->group->launch->kernel->scratch_bytes, exec = w->s[GFX_EXEC];
    if (a->kind == GFX_VGPR && !gfx_check_v(w, a->index, 1, exec))
        return false;
    int64_t scalar = (base->kind == GFX_OFF ? 0 : (int64_t)gfx_s32(w, base)) + i->offset;
    for (uint32_t left = exec; left; left &= left - 1) {
        int l = __builtin_ctz(left);
        int64_t address = scalar + (a->kind == GFX_VGPR ? w->v[a->index][l] : 0);
        if (address < 0 || address > size || bytes > size - address) {
            gfx_fault(w, "lane %d: %u bytes of scratch at %lld, of which the kernel has %u", l, bytes,
                      (long long)address, size);
            return false;
        }
        out[l] = (uint64_t)(uintptr_t)(w->scratch + (size_t)size * (size_t)l + address);
    }
    return true;
}

/* Scratch is not poisoned: it is the compiler's, which writes before it reads. */
static void scratch_load(gfx_wave *w, const gfx_insn *i)
{
    uint64_t at[GFX_LANES];
    unsigned bytes = bytes_of(i->op);
    if (!scratch_addresses(w, i, 0, 1, bytes, at) || !start_load(w, i, registers_of(bytes), GFX_LOADCNT))
        return;
    fill(w, i, bytes, at);
}
static void scratch_store(gfx_wave *w, const gfx_insn *i)
{
    uint64_t at[GFX_LANES];
    unsigned bytes = bytes_of(i->op);
    const gfx_operand *data = &i->src[1];
    if (!scratch_addresses(w, i, 0, 2, bytes, at) || !gfx_check_v(w, data->index, registers_of(bytes), w->s[GFX_EXEC]))
        return;
    spread(w, i, data, bytes, at);
    gfx_expect(w, GFX_STORECNT, false, 0, 0);
}

#define WIDE GFX_WIDE_ACCESS
#define S_LOAD(name, flags, param) { "s_load_" name, s_load, NULL, GFX_SCALAR_LOAD, flags, param }
#define LOADS(name, flags, param)                                                                        \
    { "global_load_" name, global_load, NULL, GFX_GLOBAL_LOAD, flags, param },                           \
    { "flat_load_" name, flat_load, NULL, GFX_GLOBAL_LOAD, flags, param },                               \
    { "scratch_load_" name, scratch_load, NULL, GFX_SCRATCH, flags, param }
#define STORES(name, flags, param)                                                                       \
    { "global_store_" name, global_store, NULL, GFX_GLOBAL_STORE, (flags) | GFX_NO_DST, param },          \
    { "flat_store_" name, flat_store, NULL, GFX_GLOBAL_STORE, (flags) | GFX_NO_DST, param },              \
    { "scratch_store_" name, scratch_store, NULL, GFX_SCRATCH, (flags) | GFX_NO_DST, param }

const gfx_op gfx_memory_ops[] = {
    S_LOAD("u8", 0, 1), S_LOAD("i8", 0, SIGNED | 1), S_LOAD("u16", 0, 2), S_LOAD("i16", 0, SIGNED | 2),
    S_LOAD("b32", WIDE, 4), S_LOAD("b64", WIDE, 8), S_LOAD("b96", WIDE, 12), S_LOAD("b128", WIDE, 16),
    S_LOAD("b256", WIDE, 32), S_LOAD("b512", WIDE, 64),
    LOADS("u8", 0, 1), LOADS("i8", 0, SIGNED | 1), LOADS("u16", 0, 2), LOADS("i16", 0, SIGNED | 2),
    LOADS("d16_u8", 0, D16 | 1), LOADS("d16_i8", 0, D16 | SIGNED | 1), LOADS("d16_b16", 0, D16 | 2),
    LOADS("d16_hi_u8", 0, D16 | HIGH | 1), LOADS("d16_hi_i8", 0, D16 | HIGH | SIGNED | 1),
    LOADS("d16_hi_b16", 0, D16 | HIGH | 2), LOADS("b32", WIDE, 4), LOADS("b64", WIDE, 8), LOADS("b96", WIDE, 12),
    LOADS("b128", WIDE, 16),
    STORES("b8", 0, 1), STORES("b16", 0, 2), STORES("d16_hi_b8", 0, HIGH | 1), STORES("d16_hi_b16", 0, HIGH | 2),
    STORES("b32", WIDE, 4), STORES("b64", WIDE, 8), STORES("b96", WIDE, 12), STORES("b128", WIDE, 16),
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
