/* Waves and workgroups: the loop over instructions, and barriers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/lanes.h"

#define WAVES_MAX 32
#define INSNS_MAX (UINT64_C(1) << 32)
/* kernel_code_properties: the user SGPRs, in the order in which they lie. */
enum { PROPERTY_KERNARG = 1 << 3, PROPERTY_OTHERS = 0x77 }; /* dispatch and queue pointers, ids, scratch: not offered */

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
    const gfx_op *const tables[] = { gfx_scalar_ops, gfx_scalar_float_ops, gfx_vector_ops, gfx_convert_ops, gfx_half_ops, gfx_packed_ops,
                                     gfx_compare_ops, gfx_lane_ops, gfx_memory_ops, gfx_lds_ops, gfx_atomic_ops,
                                     gfx_matrix_ops };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const gfx_op *op = tables[t]; op->name; op++)
            if (strcmp(op->name, name) == 0)
                return op;
    return NULL;
}

/* ---- vector instructions ---- */

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
    for (int l = 0; l < GFX_LANES && i->dpp.on && !i->dpp.zero; l++) {
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

static uint32_t lanes_moved(const gfx_wave *w, const gfx_insn *i)
{
    const gfx_operand *o = &i->src[0];
    if (!(i->op->flags & GFX_MOVES) || i->dpp.on || o->kind == GFX_INT || o->kind == GFX_FLOAT)
        return UINT32_MAX;
    if (o->kind == GFX_VGPR)
        return w->v_written[o->index];
    return o->kind != GFX_SGPR || o->index == GFX_NULL || w->s_written[o->index] ? UINT32_MAX : 0;
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

/* LDS and one wave's scratch. */
static bool make_room(gfx_group *g, const gfx_kernel *k)
{
    g->lds_bytes = k->lds_bytes;
    g->lds = malloc(k->lds_bytes + 4u);
    g->lds_words = calloc(k->lds_bytes / 4u + 1u, sizeof *g->lds_words);
    g->scratch = calloc(g->wave_count ? g->wave_count : 1, (size_t)k->scratch_bytes * GFX_LANES + 1);
    return g->lds && g->lds_words && g->scratch;
}
static void free_room(gfx_group *g)
{
    free(g->lds);
    free(g->lds_words);
    free(g->scratch);
}

gfx_wave *gfx_wave_new(void)
{
    static const gfx_kernel none = { .name = "none", .lds_bytes = 1024, .scratch_bytes = 64 };
    static const gfx_launch launch = { .kernel = &none };
    gfx_wave *w = aligned_alloc(64, sizeof *w);
    gfx_group *g = calloc(1, sizeof *g);
    if (!w || !g || !make_room(g, &none)) {
        free(w);
        free(g);
        return NULL;
    }
    memset(w, 0, sizeof *w);
    g->launch = &launch, g->waves = w, g->wave_count = 1;
    w->group = g;
    w->time = 2;
    w->scratch = g->scratch;
    w->s[GFX_EXEC] = UINT32_MAX;
    w->exec_of_mask = 0; /* the mask is zeros */
    return w;
}

void gfx_wave_free(gfx_wave *w)
{
    if (!w)
        return;
    free_room(w->group);
    free(w->group);
    free(w);
}

static void start_wave(gfx_wave *w, gfx_group *g, uint32_t index, const uint32_t at[3])
{
    const gfx_launch *l = g->launch;
    memset(w, 0, sizeof *w);
    w->group = g;
    w->index = index;
    w->time = 2;
    w->scratch = g->scratch + (size_t)index * l->kernel->scratch_bytes * GFX_LANES;
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
    memset(g->lds_words, 0, (g->lds_bytes / 4u + 1u) * sizeof *g->lds_words);
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

static uint64_t line_count(const gfx_buffer *b) { return (b->size + GFX_LINE - 1) / GFX_LINE; }

static bool make_lines(gfx_group *g, const gfx_launch *l)
{
    if (!l->touch)
        return true;
    memset(l->touch, 0, l->buffer_count * sizeof *l->touch);
    g->lines = calloc(l->buffer_count + 1, sizeof *g->lines);
    bool fine = g->lines != NULL;
    for (size_t k = 0; fine && k < l->buffer_count; k++)
        fine = (g->lines[k] = calloc(line_count(&l->buffers[k]) + 1, 1)) != NULL;
    return fine;
}

static void free_lines(gfx_group *g, const gfx_launch *l)
{
    for (size_t k = 0; g->lines && k < l->buffer_count; k++) {
        for (uint64_t n = 0; g->lines[k] && n < line_count(&l->buffers[k]); n++) {
            l->touch[k].read_lines += g->lines[k][n] & 1;
            l->touch[k].written_lines += g->lines[k][n] >> 1;
        }
        free(g->lines[k]);
    }
    free(g->lines);
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
    bool fine = make_room(&g, l->kernel) && make_lines(&g, l) && g.waves;
    if (!fine)
        snprintf(err->text, sizeof err->text, "out of memory");
    uint64_t all = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2], count = l->groups ? l->group_count : all;
    for (uint64_t n = 0; fine && n < count; n++) {
        uint32_t at[3] = { (uint32_t)(n % l->grid[0]), (uint32_t)(n / l->grid[0] % l->grid[1]),
                           (uint32_t)(n / l->grid[0] / l->grid[1]) };
        if (l->groups)
            memcpy(at, l->groups[n], sizeof at);
        fine = run_group(&g, at, &random, err);
        for (uint32_t k = 0; stats && k < g.wave_count; k++)
            gfx_stats_add(stats, &g.waves[k].stats);
    }
    free_lines(&g, l);
    free(g.waves);
    free_room(&g);
    return fine;
}
