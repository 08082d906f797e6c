/* Workgroups: what a wave starts with, barriers, and a launch on one thread or several. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/machine.h"

#define WAVES_MAX 32
#define THREADS_MAX 64
#define INSNS_MAX (UINT64_C(1) << 32)
/* kernel_code_properties: the user SGPRs, in the order in which they lie. */
enum { PROPERTY_KERNARG = 1 << 3, PROPERTY_OTHERS = 0x77 }; /* dispatch and queue pointers, ids, scratch: not offered */

/* LDS, the waves' scratch, what they share. The log's lists lie one after the other. */
#define LOG_LISTS 6u
static bool make_room(gfx_group *g, const gfx_kernel *k)
{
    g->lds_bytes = k->lds_bytes;
    g->lds = malloc(k->lds_bytes + 4u);
    uint32_t rows = k->lds_bytes / (4 * GFX_LDS_ROW) + 1u;
    size_t words = (size_t)rows * GFX_LDS_ROW;
    uint32_t *log = malloc(LOG_LISTS * words * sizeof *log);
    g->lds_log = (gfx_lds_log){ log, log + words, { log + 2 * words, log + 3 * words },
                                { log + 4 * words, log + 5 * words }, calloc(rows, sizeof(gfx_lds_row)), rows };
    g->scratch = calloc(g->wave_count ? g->wave_count : 1, (size_t)k->scratch_bytes * GFX_LANES + 1);
    g->fragments = aligned_alloc(64, sizeof *g->fragments);
    if (g->fragments)
        memset(g->fragments, 0, sizeof *g->fragments);
    return g->lds && log && g->lds_log.rows && g->scratch && g->fragments;
}
static void free_room(gfx_group *g)
{
    free(g->lds);
    free(g->lds_log.marks);
    free(g->lds_log.rows);
    free(g->scratch);
    free(g->fragments);
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
    for (unsigned r = 0; r < GFX_VGPRS; r++) /* what nothing wrote is zero since the workgroup before */
        if (w->v_written[r])
            memset(w->v[r], 0, sizeof w->v[r]);
    memset((uint8_t *)w + sizeof w->v, 0, sizeof *w - sizeof w->v);
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

/* Waves run one at a time from barrier to barrier, in an order that the seed gives: a missing barrier shows as
 * different results, or as LDS that is read before it is written. */
static bool run_group(gfx_group *g, const uint32_t at[3], uint64_t random, gfx_error *err)
{
    g->fetch_time = 0;
    uint64_t left = g->launch->insns_max ? g->launch->insns_max : INSNS_MAX;
    uint32_t order[WAVES_MAX], running = g->wave_count;
    memset(g->lds_log.rows, 0, g->lds_log.row_count * sizeof *g->lds_log.rows);
    for (uint32_t n = 0; n < g->wave_count; n++) {
        order[n] = n;
        start_wave(&g->waves[n], g, n, at);
    }
    while (running != 0) {
        for (uint32_t n = g->wave_count; g->launch->seed && n > 1; n--) {
            uint32_t k = (uint32_t)(shuffle(&random) % n), t = order[n - 1];
            order[n - 1] = order[k];
            order[k] = t;
        }
        uint32_t waiting = 0;
        for (uint32_t n = 0; n < g->wave_count; n++) {
            gfx_wave *w = &g->waves[order[n]];
            if (w->done)
                continue;
            gfx_run_wave(w, &left);
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

/* ---- a launch ---- */

static uint64_t line_count(const gfx_buffer *b) { return (b->size + GFX_LINE - 1) / GFX_LINE; }

/* What its workgroups share. They are taken in ascending order; `failed` is the lowest that went wrong. */
typedef struct pool {
    const gfx_launch *launch;
    uint64_t next, count, failed;
    gfx_error *err;
    gfx_global_log *log;
    pthread_mutex_t lock;    /* of failed and err */
    pthread_mutex_t atomics; /* of atomics on global memory */
} pool;

typedef struct worker {
    pool *pool;
    gfx_group group;
    gfx_stats stats;
    pthread_t thread;
} worker;

static bool make_worker(worker *k, pool *p, uint32_t wave_count)
{
    const gfx_launch *l = p->launch;
    gfx_group *g = &k->group;
    *k = (worker){ .pool = p };
    g->launch = l, g->wave_count = wave_count, g->atomics = &p->atomics, g->log = p->log;
    g->waves = aligned_alloc(64, wave_count * sizeof *g->waves);
    bool fine = make_room(g, l->kernel) && g->waves;
    if (fine)
        memset(g->waves, 0, wave_count * sizeof *g->waves);
    if (!l->touch)
        return fine;
    g->touch = calloc(l->buffer_count + 1, sizeof *g->touch);
    g->lines = calloc(l->buffer_count + 1, sizeof *g->lines);
    fine = fine && g->touch && g->lines;
    for (size_t b = 0; fine && b < l->buffer_count; b++)
        fine = (g->lines[b] = calloc(line_count(&l->buffers[b]) + 1, 1)) != NULL;
    return fine;
}

static void free_worker(worker *k)
{
    gfx_group *g = &k->group;
    for (size_t b = 0; g->lines && b < g->launch->buffer_count; b++)
        free(g->lines[b]);
    free(g->lines);
    free(g->touch);
    free(g->waves);
    free_room(g);
}

/* Into the launch's touch: lines are those of any worker. */
static void sum_touch(const gfx_launch *l, worker *workers, uint32_t count)
{
    memset(l->touch, 0, l->buffer_count * sizeof *l->touch);
    for (size_t b = 0; b < l->buffer_count; b++) {
        gfx_touch *t = &l->touch[b];
        uint8_t *lines = workers[0].group.lines[b];
        for (uint32_t k = 0; k < count; k++) {
            t->read_bytes += workers[k].group.touch[b].read_bytes;
            t->written_bytes += workers[k].group.touch[b].written_bytes;
            for (uint64_t n = 0; k && n < line_count(&l->buffers[b]); n++)
                lines[n] |= workers[k].group.lines[b][n];
        }
        for (uint64_t n = 0; n < line_count(&l->buffers[b]); n++) {
            t->read_lines += lines[n] & 1;
            t->written_lines += lines[n] >> 1;
        }
    }
}

static void *work(void *of)
{
    worker *k = of;
    pool *p = k->pool;
    const gfx_launch *l = p->launch;
    gfx_error err;
    for (;;) {
        uint64_t n = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED);
        if (n >= p->count || n > __atomic_load_n(&p->failed, __ATOMIC_RELAXED))
            return NULL;
        uint32_t at[3] = { (uint32_t)(n % l->grid[0]), (uint32_t)(n / l->grid[0] % l->grid[1]),
                           (uint32_t)(n / l->grid[0] / l->grid[1]) };
        if (l->groups)
            memcpy(at, l->groups[n], sizeof at);
        k->group.number = (uint32_t)n;
        uint64_t random = l->seed ^ n << 32;
        if (!run_group(&k->group, at, shuffle(&random), &err)) {
            pthread_mutex_lock(&p->lock);
            if (n < p->failed) {
                __atomic_store_n(&p->failed, n, __ATOMIC_RELAXED);
                *p->err = err;
            }
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        for (uint32_t w = 0; w < k->group.wave_count; w++)
            gfx_stats_add(&k->stats, &k->group.waves[w].stats);
    }
}

bool gfx_run(const gfx_launch *l, gfx_stats *stats, gfx_error *err)
{
    if (stats)
        *stats = (gfx_stats){ 0 };
    uint64_t items = (uint64_t)l->block[0] * l->block[1] * l->block[2];
    if (items == 0 || items > WAVES_MAX * GFX_LANES || (l->kernel->properties & PROPERTY_OTHERS)) {
        snprintf(err->text, sizeof err->text, "%s: %s", l->kernel->name,
                 items == 0 || items > WAVES_MAX * GFX_LANES ? "a workgroup of 1 to 1024 work-items is needed"
                                                             : "wants user registers that are not offered");
        return false;
    }
    uint64_t all = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
    pool p = { .launch = l, .count = l->groups ? l->group_count : all, .failed = UINT64_MAX, .err = err };
    uint32_t wanted = l->threads == 0 ? 1 : l->threads < THREADS_MAX ? l->threads : THREADS_MAX, made = 0, started = 1;
    wanted = wanted < p.count ? wanted : p.count ? (uint32_t)p.count : 1;
    worker *workers = calloc(wanted, sizeof *workers);
    p.log = gfx_global_log_new(l, p.count);
    bool fine = workers && p.log;
    pthread_mutex_init(&p.lock, NULL);
    pthread_mutex_init(&p.atomics, NULL);
    while (fine && made < wanted)
        fine = make_worker(&workers[made++], &p, (uint32_t)((items + GFX_LANES - 1) / GFX_LANES));
    if (!fine)
        snprintf(err->text, sizeof err->text, "out of memory");
    while (fine && started < wanted && pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
        started++; /* where a thread cannot be had the others do its work */
    if (fine)
        (void)work(&workers[0]);
    for (uint32_t k = 1; fine && k < started; k++)
        pthread_join(workers[k].thread, NULL);
    fine = fine && p.failed == UINT64_MAX;
    for (uint32_t k = 0; fine && stats && k < made; k++)
        gfx_stats_join(stats, &workers[k].stats);
    if (fine && l->touch)
        sum_touch(l, workers, made);
    for (uint32_t k = 0; k < made; k++)
        free_worker(&workers[k]);
    free(workers);
    gfx_global_log_free(p.log);
    pthread_mutex_destroy(&p.lock);
    pthread_mutex_destroy(&p.atomics);
    return fine;
}
