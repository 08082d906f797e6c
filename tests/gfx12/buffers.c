/* The buffers that a kernel may touch. */
#include <stdio.h>

#include "tests/gfx12/machine.h"
#include "tests/gfx12/transfer.h"

/* An address so many bytes below the lowest buffer is told as an offset from it. */
#define NEAR 65536u

static void note(const gfx_group *g, const gfx_buffer *b, uint64_t address, size_t bytes, bool write)
{
    size_t k = (size_t)(b - g->launch->buffers);
    uint64_t from = address - (uint64_t)(uintptr_t)b->base;
    gfx_touch *t = &g->touch[k];
    *(write ? &t->written_bytes : &t->read_bytes) += bytes;
    for (uint64_t n = from / GFX_LINE; n <= (from + bytes - 1) / GFX_LINE; n++)
        g->lines[k][n] |= write ? 2 : 1;
}

/* How many bytes the address lies outside of the buffer. */
static uint64_t distance(const gfx_buffer *b, uint64_t address)
{
    uint64_t base = (uint64_t)(uintptr_t)b->base;
    if (address < base)
        return base - address;
    return address - base > b->size ? address - base - b->size : 0;
}

void *gfx_access(gfx_wave *w, uint64_t address, size_t bytes, bool write, int lane)
{
    const gfx_launch *l = w->group->launch;
    char who[16] = "the wave";
    if (lane >= 0)
        snprintf(who, sizeof who, "lane %d", lane);
    uint64_t args = (uint64_t)(uintptr_t)l->args;
    if (!write && address >= args && address - args <= l->kernel->kernarg_bytes &&
        bytes <= l->kernel->kernarg_bytes - (address - args))
        return (void *)(uintptr_t)address;
    for (size_t i = 0; i < l->buffer_count; i++) {
        const gfx_buffer *b = &l->buffers[i];
        uint64_t base = (uint64_t)(uintptr_t)b->base;
        if (address >= base && address - base <= b->size && bytes <= b->size - (address - base)) {
            if (write && !b->writable) {
                gfx_fault(w, "%s writes to %s, which is read only, at byte %llu", who, b->name,
                          (unsigned long long)(address - base));
                return NULL;
            }
            if (address % (bytes < 4 ? bytes : 4) != 0) {
                gfx_fault(w, "%s: %zu bytes at byte %llu of %s are not aligned", who, bytes,
                          (unsigned long long)(address - base), b->name);
                return NULL;
            }
            if (w->group->lines)
                note(w->group, b, address, bytes, write);
            return (void *)(uintptr_t)address;
        }
    }
    const gfx_buffer *near = NULL;
    bool above = false;
    for (size_t i = 0; i < l->buffer_count; i++) {
        const gfx_buffer *b = &l->buffers[i];
        above |= address >= (uint64_t)(uintptr_t)b->base;
        if (!near || distance(b, address) < distance(near, address))
            near = b;
    }
    if (near && (above || distance(near, address) <= NEAR))
        gfx_fault(w, "%s %s %zu bytes at byte %lld of %s, which has %zu", who, write ? "writes" : "reads", bytes,
                  (long long)(address - (uint64_t)(uintptr_t)near->base), near->name, near->size);
    else
        gfx_fault(w, "%s %s %zu bytes at 0x%llx, below every buffer", who, write ? "writes" : "reads", bytes,
                  (unsigned long long)address);
    return NULL;
}

bool gfx_access_lanes(gfx_wave *w, const uint64_t at[GFX_LANES], unsigned bytes, bool write)
{
    uint32_t exec = w->s[GFX_EXEC];
    gfx_group *g = w->group;
    if (exec == 0)
        return true;
    uint64_t low = UINT64_MAX, high = 0, bits = 0;
    if (exec == UINT32_MAX && gfx_in_a_row(at, bytes) && at[0] <= at[GFX_LANES - 1]) {
        low = at[0], high = at[GFX_LANES - 1], bits = at[0] | bytes;
    } else if (exec == UINT32_MAX) {
        for (int l = 0; l < GFX_LANES; l++) {
            low = at[l] < low ? at[l] : low;
            high = at[l] > high ? at[l] : high;
            bits |= at[l];
        }
    } else {
        for (uint32_t left = exec; left; left &= left - 1) {
            uint64_t x = at[__builtin_ctz(left)];
            low = x < low ? x : low;
            high = x > high ? x : high;
            bits |= x;
        }
    }
    for (size_t k = 0; k <= g->launch->buffer_count; k++) {
        const gfx_buffer *b = k == 0 ? g->recent : &g->launch->buffers[k - 1];
        uint64_t base = b ? (uint64_t)(uintptr_t)b->base : UINT64_MAX;
        if (low < base || high - base > b->size || bytes > b->size - (high - base))
            continue;
        if ((write && !b->writable) || bits % (bytes < 4 ? bytes : 4) != 0)
            break;
        g->recent = b;
        if (g->lines)
            for (uint32_t left = exec; left; left &= left - 1)
                note(g, b, at[__builtin_ctz(left)], bytes, write);
        return true;
    }
    g->recent = NULL;
    for (uint32_t left = exec; left; left &= left - 1) /* in several buffers, or a fault that the first such lane has */
        if (!gfx_access(w, at[__builtin_ctz(left)], bytes, write, __builtin_ctz(left)))
            return false;
    return true;
}
