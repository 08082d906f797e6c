/* Waves and workgroups: registers with what is known of them, the loop over instructions, barriers, and the checks. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/machine.h"

#define WAVES_MAX 32
#define INSNS_MAX (UINT64_C(1) << 32)
/* kernel_code_properties: the user SGPRs, in the order in which they lie. */
enum { PROPERTY_KERNARG = 1 << 3, PROPERTY_OTHERS = 0x77 }; /* dispatch and queue pointers, ids, scratch: not offered */

struct gfx_group {
    const gfx_launch *launch;
    gfx_wave *waves;
    uint32_t wave_count;
    uint8_t *lds;
    uint8_t *lds_written; /* a flag a byte */
    const gfx_insn *now;
};

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
    const gfx_op *const tables[] = { gfx_scalar_ops, gfx_vector_ops, gfx_memory_ops, gfx_matrix_ops };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const gfx_op *op = tables[t]; op->name; op++)
            if (strcmp(op->name, name) == 0)
                return op;
    return NULL;
}

/* ---- memory ---- */

void *gfx_access(gfx_wave *w, uint64_t address, size_t bytes, bool write, int lane)
{
    const gfx_launch *l = w->group->launch;
    const gfx_buffer *near = NULL;
    uint64_t args = (uint64_t)(uintptr_t)l->args;
    if (!write && address >= args && address - args <= l->kernel->kernarg_bytes &&
        bytes <= l->kernel->kernarg_bytes - (address - args))
        return (void *)(uintptr_t)address;
    for (size_t i = 0; i < l->buffer_count; i++) {
        const gfx_buffer *b = &l->buffers[i];
        uint64_t base = (uint64_t)(uintptr_t)b->base;
        if (address >= base && address - base <= b->size && bytes <= b->size - (address - base)) {
            if (write && !b->writable) {
                gfx_fault(w, "lane %d writes to %s, which is read only, at byte %llu", lane, b->name,
                          (unsigned long long)(address - base));
                return NULL;
            }
            if (address % (bytes < 4 ? bytes : 4) != 0) {
                gfx_fault(w, "lane %d: %zu bytes at byte %llu of %s are not aligned", lane, bytes,
                          (unsigned long long)(address - base), b->name);
                return NULL;
            }
            return (void *)(uintptr_t)address;
        }
        if (address >= base && (!near || base > (uint64_t)(uintptr_t)near->base))
            near = b;
    }
    if (near)
        gfx_fault(w, "lane %d %s %zu bytes at byte %llu of %s, which has %zu", lane, write ? "writes" : "reads", bytes,
                  (unsigned long long)(address - (uint64_t)(uintptr_t)near->base), near->name, near->size);
    else
        gfx_fault(w, "lane %d %s %zu bytes at 0x%llx, below every buffer", lane, write ? "writes" : "reads", bytes,
                  (unsigned long long)address);
    return NULL;
}

uint8_t *gfx_lds(gfx_wave *w, uint32_t address, size_t bytes, int lane)
{
    uint32_t size = w->group->launch->kernel->lds_bytes;
    if (address > size || bytes > size - address) {
        gfx_fault(w, "lane %d: %zu bytes of LDS at %u, of which the kernel has %u", lane, bytes, address, size);
        return NULL;
    }
    bool write = w->group->now->op->class == GFX_DS_STORE;
    for (size_t k = 0; k < bytes; k++) {
        if (write)
            w->group->lds_written[address + k] = 1;
        else if (!w->group->lds_written[address + k]) {
            gfx_fault(w, "lane %d reads LDS at %zu before anything wrote it", lane, address + k);
            return NULL;
        }
    }
    return w->group->lds + address;
}

/* ---- what is pending ---- */

static void mark(gfx_wave *w, const gfx_pending *p, uint8_t value)
{
    memset((p->scalar ? w->s_pending : w->v_pending) + p->first, value, p->count);
}

void gfx_expect(gfx_wave *w, gfx_counter counter, bool scalar, uint16_t first, uint16_t count)
{
    if (w->queued[counter] == GFX_PENDING_MAX)
        gfx_wait(w, counter, GFX_PENDING_MAX - 1); /* the hardware stalls when its counter is full */
    gfx_pending p = { scalar, first, count };
    w->queue[counter][w->queued[counter]++] = p;
    mark(w, &p, (uint8_t)(counter + 1));
}

/* All but the last `left` are done. Scalar loads come back in any order: only waiting for all of them says anything. */
void gfx_wait(gfx_wave *w, gfx_counter counter, uint32_t left)
{
    uint32_t n = w->queued[counter];
    if (n <= left || (counter == GFX_KMCNT && left != 0))
        return;
    for (uint32_t i = 0; i < n - left; i++)
        mark(w, &w->queue[counter][i], 0);
    memmove(w->queue[counter], w->queue[counter] + (n - left), left * sizeof(gfx_pending));
    w->queued[counter] = left;
    for (uint32_t i = 0; i < left; i++) /* a register that a later load writes too is still pending */
        mark(w, &w->queue[counter][i], (uint8_t)(counter + 1));
}

static const char *counter_name(uint8_t pending)
{
    static const char *const names[] = { "loadcnt", "dscnt", "kmcnt", "storecnt" };
    return names[pending - 1];
}

/* ---- registers ---- */

bool gfx_check_v(gfx_wave *w, unsigned first, unsigned count, uint32_t lanes)
{
    for (unsigned r = first; r < first + count && r < GFX_VGPRS; r++) {
        if (w->v_pending[r]) {
            gfx_fault(w, "v%u is read before s_wait_%s covers its load", r, counter_name(w->v_pending[r]));
            return false;
        }
        if ((w->v_written[r] & lanes) != lanes) {
            gfx_fault(w, "v%u is read in lane %d before anything wrote it", r, __builtin_ctz(lanes & ~w->v_written[r]));
            return false;
        }
    }
    return true;
}

static void check_s(gfx_wave *w, unsigned r)
{
    if (w->s_pending[r])
        gfx_fault(w, "s%u is read before s_wait_%s covers its load", r, counter_name(w->s_pending[r]));
    else if (!w->s_written[r])
        gfx_fault(w, "s%u is read before anything wrote it", r);
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

const uint32_t *gfx_lanes_of(gfx_wave *w, const gfx_insn *i, int k, int part, uint32_t room[GFX_LANES])
{
    const gfx_operand *o = &i->src[k];
    const uint32_t *from = room;
    bool dpp = k == 0 && i->dpp.on;
    if (k >= i->src_count)
        gfx_fault(w, "fewer operands than the instruction takes");
    if (o->kind == GFX_VGPR) {
        unsigned reg = o->index + (unsigned)part;
        if (!dpp)
            (void)gfx_check_v(w, reg, 1, w->s[GFX_EXEC]);
        from = w->v[reg];
        if (dpp)
            from = through_dpp(w, i, from, reg, room);
        if (!o->neg && !o->abs)
            return from;
    } else {
        uint64_t both = part == 0 ? gfx_s32(w, o) : gfx_s64(w, o) >> 32;
        for (int l = 0; l < GFX_LANES; l++)
            room[l] = (uint32_t)both;
    }
    uint32_t keep = o->abs ? 0x7fffffff : UINT32_MAX, flip = o->neg ? 0x80000000 : 0;
    for (int l = 0; l < GFX_LANES; l++)
        room[l] = (from[l] & keep) ^ flip;
    return room;
}

void gfx_set_lanes(gfx_wave *w, unsigned index, const uint32_t *r, uint32_t lanes)
{
    if (index >= GFX_VGPRS || w->v_pending[index]) {
        gfx_fault(w, "v%u is written while a load into it is under way", index);
        return;
    }
    uint32_t *v = w->v[index];
    if (w->exec_of_mask != lanes) {
        for (int l = 0; l < GFX_LANES; l++)
            w->mask[l] = lanes >> l & 1 ? UINT32_MAX : 0;
        w->exec_of_mask = lanes;
    }
    for (int l = 0; l < GFX_LANES; l++)
        v[l] = (v[l] & ~w->mask[l]) | (r[l] & w->mask[l]);
    w->v_written[index] |= lanes;
}

/* ---- vector instructions ---- */

static void finish_floats(const gfx_insn *i, uint32_t *r)
{
    static const float factors[] = { 1, 2, 4, 0.5f };
    for (int l = 0; l < GFX_LANES; l++) {
        float x = gfx_float(r[l]) * factors[i->omod];
        if (i->clamp)
            x = x > 1 ? 1 : x > 0 ? x : 0; /* NaN gives 0 */
        r[l] = gfx_bits(x);
    }
}

static uint32_t lanes_written(const gfx_wave *w, const gfx_insn *i)
{
    uint32_t lanes = w->s[GFX_EXEC] & i->dpp.write;
    for (int l = 0; l < GFX_LANES && i->dpp.on && !i->dpp.zero; l++) {
        unsigned s = i->dpp.from[l];
        if (s >= GFX_LANES || (!i->dpp.inactive && !(w->s[GFX_EXEC] >> s & 1)))
            lanes &= ~(UINT32_C(1) << l);
    }
    return lanes;
}

static void compute(gfx_wave *w, const gfx_insn *i, uint32_t r[2 * GFX_LANES])
{
    if (i->op->flags & GFX_READS_DST)
        (void)gfx_check_v(w, i->dst.index, 1, w->s[GFX_EXEC]);
    i->op->lanes(w, i, r);
    if (i->omod || (i->clamp && (i->op->flags & GFX_FLOATS)))
        finish_floats(i, r);
}

static uint32_t as_mask(const uint32_t *bits, uint32_t exec)
{
    uint32_t mask = 0;
    for (int l = 0; l < GFX_LANES; l++)
        mask |= (bits[l] & 1) << l;
    return mask & exec;
}

static void write_back(gfx_wave *w, const gfx_insn *i, const uint32_t *r)
{
    if (i->dst.kind != GFX_VGPR) {
        gfx_fault(w, "a vector result for a scalar register");
        return;
    }
    uint32_t lanes = lanes_written(w, i);
    gfx_set_lanes(w, i->dst.index, r, lanes);
    if (i->dst.count == 2)
        gfx_set_lanes(w, i->dst.index + 1u, r + GFX_LANES, lanes);
    if (i->op->flags & GFX_CARRY_OUT)
        gfx_set_s32(w, &i->dst2, as_mask(r + GFX_LANES, w->s[GFX_EXEC]));
}

static void vector(gfx_wave *w, const gfx_insn *i)
{
    uint32_t r[2 * GFX_LANES], second[2 * GFX_LANES];
    w->stats.vector++;
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
    write_back(w, i, r);
    if (i->dual)
        write_back(w, i->dual, second);
}

void gfx_step(gfx_wave *w, const gfx_insn *i)
{
    w->group->now = i;
    w->stats.insns++;
    if (i->op->lanes)
        vector(w, i);
    else
        i->op->run(w, i);
}

/* ---- waves ---- */

/* Until the wave ends, stops at a barrier, or fails. */
static void run_wave(gfx_wave *w, uint64_t *left)
{
    const gfx_kernel *k = w->group->launch->kernel;
    w->at_barrier = false;
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

gfx_wave *gfx_wave_new(void)
{
    static const gfx_kernel none = { .name = "none", .lds_bytes = 1024 };
    static const gfx_launch launch = { .kernel = &none };
    gfx_wave *w = aligned_alloc(64, sizeof *w);
    gfx_group *g = calloc(1, sizeof *g);
    uint8_t *lds = calloc(2, none.lds_bytes);
    if (!w || !g || !lds) {
        free(w);
        free(g);
        free(lds);
        return NULL;
    }
    memset(w, 0, sizeof *w);
    *g = (gfx_group){ .launch = &launch, .waves = w, .wave_count = 1, .lds = lds, .lds_written = lds + none.lds_bytes };
    w->group = g;
    w->s[GFX_EXEC] = UINT32_MAX;
    return w;
}

void gfx_wave_free(gfx_wave *w)
{
    if (!w)
        return;
    free(w->group->lds);
    free(w->group);
    free(w);
}

static void start_wave(gfx_wave *w, gfx_group *g, uint32_t index, const uint32_t at[3])
{
    const gfx_launch *l = g->launch;
    memset(w, 0, sizeof *w);
    w->group = g;
    uint32_t total = l->block[0] * l->block[1] * l->block[2], first = index * GFX_LANES;
    uint32_t lanes = total - first < GFX_LANES ? total - first : GFX_LANES;
    w->s[GFX_EXEC] = lanes == GFX_LANES ? UINT32_MAX : (UINT32_C(1) << lanes) - 1;
    w->exec_of_mask = ~w->s[GFX_EXEC];
    for (uint32_t n = 0; n < lanes; n++) { /* packed ids, 10 bits each */
        uint32_t id = first + n, x = id % l->block[0], y = id / l->block[0] % l->block[1];
        w->v[0][n] = x | y << 10 | id / l->block[0] / l->block[1] << 20;
    }
    w->v_written[0] = w->s[GFX_EXEC];
    uint64_t args = (uint64_t)(uintptr_t)l->args;
    w->s[0] = (uint32_t)args;
    w->s[1] = (uint32_t)(args >> 32);
    w->s_written[0] = w->s_written[1] = (l->kernel->properties & PROPERTY_KERNARG) != 0;
    /* Workgroup ids are in trap registers: x in 9, y and z in the halves of 7. */
    w->s[GFX_TTMP + 9] = at[0];
    w->s[GFX_TTMP + 7] = at[1] | at[2] << 16;
    w->s_written[GFX_TTMP + 9] = w->s_written[GFX_TTMP + 7] = true;
    w->s_written[GFX_EXEC] = w->s_written[GFX_EXEC + 1] = true;
}

static bool fail(const gfx_group *g, const gfx_wave *w, uint32_t index, const uint32_t at[3], gfx_error *err)
{
    const gfx_insn *i = g->now;
    snprintf(err->text, sizeof err->text, "%s, workgroup %u,%u,%u, wave %u: %s; at 0x%x: %s", g->launch->kernel->name,
             at[0], at[1], at[2], index, w->fault, i ? i->address : 0, i ? i->text : "");
    return false;
}

static uint64_t shuffle(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ z >> 27;
}

/* Waves run one at a time from barrier to barrier, in an order that the seed gives: a missing barrier shows as different
 * results, or as LDS that is read before it is written. */
static bool run_group(gfx_group *g, const uint32_t at[3], uint64_t *random, gfx_error *err)
{
    uint64_t left = g->launch->insns_max ? g->launch->insns_max : INSNS_MAX;
    uint32_t order[WAVES_MAX], running = g->wave_count;
    memset(g->lds_written, 0, g->launch->kernel->lds_bytes);
    for (uint32_t n = 0; n < g->wave_count; n++) {
        order[n] = n;
        start_wave(&g->waves[n], g, n, at);
    }
    while (running != 0) {
        for (uint32_t n = g->wave_count; g->launch->seed && n > 1; n--) {
            uint32_t k = (uint32_t)(shuffle(random) % n), t = order[n - 1];
            order[n - 1] = order[k];
            order[k] = t;
        }
        uint32_t waiting = 0;
        for (uint32_t n = 0; n < g->wave_count; n++) {
            gfx_wave *w = &g->waves[order[n]];
            if (w->done)
                continue;
            run_wave(w, &left);
            if (w->fault[0])
                return fail(g, w, order[n], at, err);
            running -= w->done;
            waiting += w->at_barrier;
        }
        if (waiting != 0 && running != g->wave_count) {
            snprintf(err->text, sizeof err->text, "%s, workgroup %u,%u,%u: %u of %u waves wait at a barrier that the "
                     "others never reach", g->launch->kernel->name, at[0], at[1], at[2], waiting, g->wave_count);
            return false;
        }
    }
    return true;
}

static void add_stats(gfx_stats *to, const gfx_group *g)
{
    for (uint32_t n = 0; to && n < g->wave_count; n++) {
        const gfx_stats *s = &g->waves[n].stats;
        to->insns += s->insns;
        to->vector += s->vector;
        to->matrix += s->matrix;
        to->global_bytes += s->global_bytes;
        to->lds_bytes += s->lds_bytes;
    }
}

bool gfx_run(const gfx_launch *l, gfx_stats *stats, gfx_error *err)
{
    if (stats)
        *stats = (gfx_stats){ 0 };
    uint64_t items = (uint64_t)l->block[0] * l->block[1] * l->block[2], random = l->seed;
    if (items == 0 || items > WAVES_MAX * GFX_LANES || (l->kernel->properties & PROPERTY_OTHERS)) {
        snprintf(err->text, sizeof err->text, "%s: %s", l->kernel->name,
                 items == 0 || items > WAVES_MAX * GFX_LANES ? "a workgroup of 1 to 1024 work-items is needed"
                                                             : "wants user registers that are not offered");
        return false;
    }
    gfx_group g = { .launch = l, .wave_count = (uint32_t)((items + GFX_LANES - 1) / GFX_LANES) };
    g.waves = aligned_alloc(64, g.wave_count * sizeof *g.waves);
    g.lds = malloc(l->kernel->lds_bytes + 1u);
    g.lds_written = malloc(l->kernel->lds_bytes + 1u);
    bool fine = g.waves && g.lds && g.lds_written;
    if (!fine)
        snprintf(err->text, sizeof err->text, "out of memory");
    for (uint32_t z = 0; fine && z < l->grid[2]; z++)
        for (uint32_t y = 0; fine && y < l->grid[1]; y++)
            for (uint32_t x = 0; fine && x < l->grid[0]; x++) {
                uint32_t at[3] = { x, y, z };
                fine = run_group(&g, at, &random, err);
                add_stats(stats, &g);
            }
    free(g.waves);
    free(g.lds);
    free(g.lds_written);
    return fine;
}
