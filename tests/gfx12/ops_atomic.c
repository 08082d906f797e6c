/* Atomics: what they compute, and those on global memory. Lanes take their turn in ascending order, which hardware
 * does not promise: a kernel whose result depends on it shows another one under another seed only between waves. */
#include <string.h>

#include "tests/gfx12/lanes.h"

uint64_t gfx_atomic(uint8_t kind, uint64_t old, uint64_t data, uint64_t compare)
{
    bool wide = kind & GFX_ATOMIC_WIDE;
    int64_t a = wide ? (int64_t)old : (int32_t)old, b = wide ? (int64_t)data : (int32_t)data;
    float x = gfx_float((uint32_t)old), y = gfx_float((uint32_t)data);
    switch (kind & ~GFX_ATOMIC_WIDE) {
    case GFX_ADD: return old + data;
    case GFX_SUB: return old - data;
    case GFX_MIN_I: return a < b ? old : data;
    case GFX_MAX_I: return a > b ? old : data;
    case GFX_MIN_U: return old < data ? old : data;
    case GFX_MAX_U: return old > data ? old : data;
    case GFX_AND: return old & data;
    case GFX_OR: return old | data;
    case GFX_XOR: return old ^ data;
    case GFX_SWAP: return data;
    case GFX_CMPSWAP: return old == compare ? data : old;
    case GFX_INC: return old >= data ? 0 : old + 1;
    case GFX_DEC: return old == 0 || old > data ? data : old - 1;
    case GFX_ADD_F: return gfx_bits(x + y);
    case GFX_MIN_F: return gfx_bits(gfx_minimum_number(x, y));
    case GFX_MAX_F: return gfx_bits(gfx_maximum_number(x, y));
    default: /* GFX_PK_ADD_F16 */
        return gfx_half_bits(gfx_half((uint32_t)old & 0xffff) + gfx_half((uint32_t)data & 0xffff)) |
               gfx_half_bits(gfx_half((uint32_t)old >> 16) + gfx_half((uint32_t)data >> 16)) << 16;
    }
}

/* Without a destination: the same operands less the first. A compare-and-swap has the new value before the old one. */
static void global_atomic(gfx_wave *w, const gfx_insn *i)
{
    uint8_t kind = i->op->param;
    bool swap = (kind & ~GFX_ATOMIC_WIDE) == GFX_CMPSWAP, returns = i->src_count == 3 && i->dst.kind == GFX_VGPR;
    unsigned bytes = kind & GFX_ATOMIC_WIDE ? 8 : 4, count = bytes / 4;
    uint64_t at[GFX_LANES], old[GFX_LANES];
    const gfx_operand *data = &i->src[1];
    uint32_t exec = w->s[GFX_EXEC];
    if (!gfx_check_v(w, data->index, swap ? 2 * count : count, exec) || !gfx_addresses(w, i, 0, 2, bytes, true, at))
        return;
    gfx_log_atomic(w, (gfx_scope)i->scope, returns);
    pthread_mutex_t *lock = w->group->atomics;
    if (lock)
        pthread_mutex_lock(lock);
    for (uint32_t left = exec; left; left &= left - 1) {
        int l = __builtin_ctz(left);
        uint64_t values[2] = { 0, 0 };
        for (unsigned k = 0; k < (swap ? 2 : 1) * count; k++)
            values[k / count] |= (uint64_t)w->v[data->index + k][l] << 32 * (k % count);
        old[l] = 0;
        memcpy(&old[l], (const void *)(uintptr_t)at[l], bytes);
        uint64_t new = gfx_atomic(kind, old[l], values[0], values[1]);
        memcpy((void *)(uintptr_t)at[l], &new, bytes);
    }
    if (lock)
        pthread_mutex_unlock(lock);
    if (!returns) {
        gfx_expect(w, GFX_STORECNT, false, 0, 0);
        return;
    }
    gfx_expect(w, GFX_LOADCNT, false, i->dst.index, (uint16_t)count);
    for (unsigned k = 0; k < count; k++) {
        w->v_written[i->dst.index + k] |= exec;
        for (uint32_t left = exec; left; left &= left - 1)
            w->v[i->dst.index + k][__builtin_ctz(left)] = (uint32_t)(old[__builtin_ctz(left)] >> 32 * k);
    }
}

#define ATOMIC(name, kind) { "global_atomic_" name, global_atomic, NULL, GFX_GLOBAL_ATOMIC, GFX_MAY_RETURN, kind }
#define BOTH(name, narrow, wide, kind) ATOMIC(name narrow, kind), ATOMIC(name wide, GFX_ATOMIC_WIDE | (kind))

const gfx_op gfx_atomic_ops[] = {
    BOTH("add", "_u32", "_u64", GFX_ADD), BOTH("sub", "_u32", "_u64", GFX_SUB), BOTH("min", "_i32", "_i64", GFX_MIN_I),
    BOTH("max", "_i32", "_i64", GFX_MAX_I), BOTH("min", "_u32", "_u64", GFX_MIN_U),
    BOTH("max", "_u32", "_u64", GFX_MAX_U), BOTH("and", "_b32", "_b64", GFX_AND), BOTH("or", "_b32", "_b64", GFX_OR),
    BOTH("xor", "_b32", "_b64", GFX_XOR), BOTH("swap", "_b32", "_b64", GFX_SWAP),
    BOTH("cmpswap", "_b32", "_b64", GFX_CMPSWAP), BOTH("inc", "_u32", "_u64", GFX_INC),
    BOTH("dec", "_u32", "_u64", GFX_DEC), ATOMIC("add_f32", GFX_ADD_F), ATOMIC("min_num_f32", GFX_MIN_F),
    ATOMIC("max_num_f32", GFX_MAX_F), ATOMIC("pk_add_f16", GFX_PK_ADD_F16),
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
