/* A launch of real shapes, of which some workgroups are executed in the interpreter and counted. Buffers have the real
 * sizes, but only pages that are touched take memory. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/gfx12/machine.h"
#include "tests/gfx12/roofline/roofline.h"

#define GAP 4096 /* after each buffer: whatever goes beyond one is not in the next */
#define GROUPS_MAX 65536
#define FILL_MAX (UINT64_C(64) << 20) /* bytes that are given values; a matrix is larger, and zero */

/* ---- code, kept from launch to launch ---- */

static const gfx_kernel *load(const ash_gfx_kernel *k, char why[512])
{
    static struct { const char *name; gfx_code code; } loaded[32];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(loaded[i].name, k->object) == 0)
            return gfx_kernel_find(&loaded[i].code, k->symbol);
    const ash_gfx_object *o = ash_gfx_object_find(ASH_GFX1201, k->object);
    gfx_error err;
    if (!o || count == sizeof loaded / sizeof *loaded) {
        snprintf(why, 512, "no code object %s in the library", k->object);
        return NULL;
    }
    if (!gfx_code_load(o->data, (size_t)(o->end - o->data), &loaded[count].code, &err)) {
        snprintf(why, 512, "%s", err.text);
        return NULL;
    }
    loaded[count].name = o->name;
    return gfx_kernel_find(&loaded[count++].code, k->symbol);
}

/* ---- buffers ---- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void fill(const roof_buffer *b, uint8_t *to)
{
    uint32_t state = 1;
    if (b->fill == ROOF_ZERO || b->bytes > FILL_MAX) {
        /* Pages are made here, not while a launch is timed. */
        for (uint64_t i = 0; i < b->bytes && i < FILL_MAX; i += 4096)
            ((volatile uint8_t *)to)[i] = 0;
        return;
    }
    if (b->fill == ROOF_STEP) {
        ash_gfx_step *step = (ash_gfx_step *)to;
        step->pos = b->number;
        step->tokens = (uint32_t)((b->bytes - sizeof *step) / sizeof step->ids[0]);
        for (uint32_t i = 0; i < step->tokens; i++)
            step->ids[i] = (int32_t)(i * 37);
        return;
    }
    for (uint64_t i = 0; i < b->bytes / 4; i++) { /* in [-1, 1); two halves of 0.25 to 1; bytes below 64 */
        uint32_t r = next_random(&state), word = r & 0x3f3f3f3f;
        float x = (float)(int32_t)r * 0x1p-23f - 1;
        x = b->fill == ROOF_SCALES && x < 0 ? -x : x;
        if (b->fill == ROOF_FLOATS || b->fill == ROOF_SCALES)
            memcpy(&word, &x, 4);
        else if (b->fill == ROOF_HALVES)
            word = (r & 0x0fff) | (uint32_t)0x34003400 | (r & 0x7ff) << 16;
        memcpy(to + 4 * i, &word, 4);
    }
}

typedef struct places {
    gfx_buffer buffer[ROOF_BUFFERS];
    uint32_t count;
} places;

static void set_pointer(ash_gfx_args *args, uint32_t at, const uint8_t *p)
{
    memcpy((uint8_t *)args + at, &p, sizeof p);
}

static bool place(const roof_launch *l, places *p, ash_gfx_args *args, char why[512])
{
    *args = l->args;
    for (p->count = 0; p->count < l->buffer_count; p->count++) {
        const roof_buffer *b = &l->buffers[p->count];
        void *at =
            mmap(NULL, b->bytes + GAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) {
            snprintf(why, 512, "no room for %llu bytes of %s", (unsigned long long)b->bytes, b->name);
            return false;
        }
        fill(b, at);
        p->buffer[p->count] = (gfx_buffer){ b->name, at, b->bytes, true };
        set_pointer(args, b->at, at);
        if (b->also)
            set_pointer(args, b->also, (uint8_t *)at + b->also_bytes);
    }
    return true;
}

static void unplace(places *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        munmap(p->buffer[i].base, p->buffer[i].size + GAP);
}

/* ---- counting ---- */

typedef struct run {
    const roof_launch *l;
    const gfx_kernel *kernel;
    const places *p;
    const ash_gfx_args *args;
    bool untouched; /* what is touched is not counted */
    double seconds; /* of this core */
    gfx_stats stats;
    gfx_touch touch[ROOF_BUFFERS];
} run;

/* Workgroup i of the `count` that stand for all `total`. Those that belong together: block after block of them, each of
 * other tokens (x). Else y at equal distances, and x too, or in turn where it has fewer places: queries at the end of a
 * prompt see more keys than those at its begin, and tokens of other x have inputs of their own. No two are the same. */
static void choose(const roof_launch *l, uint64_t total, uint64_t count, uint64_t i, uint32_t out[3])
{
    uint64_t x = l->grid.x, y = l->grid.y, together = l->together;
    out[2] = 0;
    if (count == total) {
        out[0] = (uint32_t)(i % x);
        out[1] = (uint32_t)(i / x % y);
        out[2] = (uint32_t)(i / x / y);
    } else if (together) {
        uint64_t blocks = y / together, block = i / together;
        out[0] = (uint32_t)(block % x);
        out[1] = (uint32_t)((blocks / 2 + block) % blocks * together + i % together);
    } else {
        /* the middle of each piece; of an even one's two middles the upper and the lower in turn */
        out[0] = (uint32_t)(x < count ? i % x : ((2 * i + 1) * x - i % 2) / (2 * count));
        out[1] = (uint32_t)((2 * i + 1) * y / (2 * count));
    }
}

/* Executes `n` from the first of the `count` that stand for all `total` workgroups. */
static bool execute(run *r, uint64_t total, uint64_t count, uint64_t first, uint64_t n, char why[512])
{
    static uint32_t groups[GROUPS_MAX][3];
    const ash_gfx_grid *g = &r->l->grid;
    gfx_error err;
    if (count > GROUPS_MAX) {
        snprintf(why, 512, "%llu workgroups", (unsigned long long)count);
        return false;
    }
    for (uint64_t i = 0; i < n; i++)
        choose(r->l, total, count, first + i, groups[i]);
    gfx_launch launch = { .kernel = r->kernel, .grid = { g->x, g->y, g->z }, .block = { r->l->kernel->threads, 1, 1 },
                          .args = r->args, .buffers = r->p->buffer, .buffer_count = r->p->count,
                          .groups = (const uint32_t (*)[3])groups, .group_count = n,
                          .touch = r->untouched ? NULL : r->touch };
    double start = roof_host_seconds();
    bool fine = gfx_run(&launch, &r->stats, &err);
    r->seconds = roof_host_seconds() - start;
    if (fine)
        return true;
    snprintf(why, 512, "%s", err.text);
    return false;
}

static double lines(const gfx_touch *t) { return (double)(t->read_lines + t->written_lines); }

/* Lines grow with workgroups: a + b n, a from what they share. Those counted touch `alone` if each is alone, n (a + b),
 * and together a + b n. No more than the buffer has, read and written. */
static double scaled_lines(double alone, const gfx_touch *some, double counted, double total, uint64_t bytes)
{
    double most = (double)((bytes + GFX_LINE - 1) / GFX_LINE) * (some->read_lines && some->written_lines ? 2 : 1);
    double all = lines(some);
    if (counted < total && counted > 1) {
        double shared = (alone - all) / (counted - 1);
        all = shared + (alone / counted - shared) * total;
    }
    return all < most ? all : most;
}

static void gather(const double alone[ROOF_BUFFERS], const run *some, double total, double counted, roof_counts *out)
{
    const gfx_stats *s = &some->stats;
    double scale = total / counted, asked = 0, memory = 0;
    for (uint32_t i = 0; i < some->p->count; i++) {
        const gfx_touch *t = &some->touch[i];
        asked += (double)(t->read_bytes + t->written_bytes) * scale;
        memory += GFX_LINE * scaled_lines(alone[i], t, counted, total, some->l->buffers[i].bytes);
    }
    const gfx_kernel *k = some->kernel;
    uint32_t threads = some->l->kernel->threads;
    uint64_t matrix = 0;
    for (unsigned e = GFX_WMMA_IU8; e <= GFX_WMMA_BF16; e++)
        matrix += s->insns[e] * gfx_event_cycles(e);
    *out = (roof_counts){
        .groups = total, .group_waves = (threads + GFX_LANES - 1) / GFX_LANES,
        .cycles = (double)gfx_issue_cycles(s) * scale, .wave_cycles = (double)s->wave_cycles_max,
        .vector = (double)gfx_total(s->insns, GFX_VALU, GFX_VALU_PRODUCT) * scale,
        .matrix = (double)gfx_total(s->insns, GFX_WMMA_IU8, GFX_WMMA_BF16) * scale,
        .matrix_cycles = (double)matrix * scale,
        .memory_bytes = memory, .asked_bytes = asked,
        .lds_bytes = (double)gfx_total(s->bytes, GFX_LDS_LOAD_8, GFX_LDS_ATOMICS) * scale,
        .flight_bytes = s->awaited ? 4.0 * GFX_LANES * (double)s->in_flight / (double)s->awaited : 0,
        .vgprs = k->vgprs, .lds = k->lds_bytes, .occupancy = gfx_occupancy(k, threads),
        .spills = k->vgpr_spills + k->sgpr_spills, .scratch = k->scratch_bytes,
    };
}

bool roof_count(const roof_launch *l, roof_counts *out, char why[512])
{
    static ash_gfx_args args; /* the interpreter lets kernels read it */
    places p = { 0 };
    if (!l->kernel) {
        snprintf(why, 512, "the library has no kernel for it");
        return false;
    }
    const gfx_kernel *kernel = load(l->kernel, why);
    uint64_t total = (uint64_t)l->grid.x * l->grid.y * l->grid.z;
    uint64_t count = l->sample == 0 || l->sample > total ? total : l->sample;
    if (!kernel)
        return false;
    bool fine = place(l, &p, &args, why);
    double alone[ROOF_BUFFERS] = { 0 }; /* lines of those that are counted, one by one */
    run some = { .l = l, .kernel = kernel, .p = &p, .args = &args };
    for (uint64_t i = 0; i < count && count < total && fine; i++) {
        run one = some;
        fine = execute(&one, total, count, i, 1, why);
        for (uint32_t b = 0; b < p.count && fine; b++)
            alone[b] += lines(&one.touch[b]);
    }
    if (fine && l->together) { /* what they have counted up is forgotten */
        unplace(&p);
        fine = place(l, &p, &args, why);
    }
    fine = fine && execute(&some, total, count, 0, count, why);
    if (fine)
        gather(alone, &some, (double)total, (double)count, out);
    unplace(&p);
    return fine;
}

#define HOST_INSNS 100000
#define HOST_GROUPS 512
bool roof_host(const roof_launch *l, roof_host_run *sum, char why[512])
{
    static ash_gfx_args args;
    places p = { 0 };
    const gfx_kernel *kernel = load(l->kernel, why);
    uint64_t total = (uint64_t)l->grid.x * l->grid.y * l->grid.z;
    uint64_t count = l->sample == 0 || l->sample > total ? total : l->sample;
    run r = { .l = l, .kernel = kernel, .p = &p, .args = &args, .untouched = true };
    bool fine = kernel && place(l, &p, &args, why) && execute(&r, total, count, 0, count, why);
    if (fine && gfx_total(r.stats.insns, 0, GFX_EVENTS - 1) < HOST_INSNS && count < total) {
        count = total < HOST_GROUPS ? total : HOST_GROUPS; /* else a launch's start is it all */
        fine = execute(&r, total, count, 0, count, why);
    }
    /* Again, for the time: what of a large matrix is read lies in pages that were made by the first time. */
    fine = fine && execute(&r, total, count, 0, count, why);
    unplace(&p);
    sum->insns += (double)gfx_total(r.stats.insns, 0, GFX_EVENTS - 1);
    sum->matrix += (double)gfx_total(r.stats.insns, GFX_WMMA_IU8, GFX_WMMA_BF16);
    sum->seconds += r.seconds;
    return fine;
}
