/* Global memory that one wave writes and another one reads in the same launch. Workgroups run in turn here, and a store
 * is in memory at once; on a card it is neither, so what makes it visible is checked instead.
 *
 * The rules are the instructions that LLVM 19's memory model for gfx12 puts out (AMDGPUUsage, "Memory Model GFX12";
 * SIMemoryLegalizer.cpp):
 * - To another workgroup: release at agent scope is global_wb scope:SCOPE_DEV and s_wait_storecnt 0 (the wait goes
 *   where nothing is under way), by each wave that stored; then an atomic of the device's scope, by that wave or behind
 *   a barrier of its workgroup.
 * - From another workgroup: an atomic of that scope that returns something, by the wave that reads or before a barrier
 *   of its workgroup; then acquire, which is s_wait_loadcnt 0 and global_inv scope:SCOPE_DEV, by each wave that reads.
 *   A load of the device's scope needs no global_inv.
 * - In a workgroup, whose waves may be on two compute units with a cache each: s_wait_storecnt 0, a barrier, global_inv
 *   scope:SCOPE_SE or wider.
 * - A scalar load has a cache of its own that nothing of this invalidates: it reads nothing that this launch writes.
 *
 * Later versions of LLVM leave out the global_wb where the scope is the device's (pull request 159282: on gfx12.0 it is
 * needed at system scope alone); of their code the wait would be the whole release. Which counter an atomic is on does
 * not matter here: any one hands on all that is released.
 *
 * Stores are numbered by epochs of their wave, of which one ends where all before it is released. Narrow stores of
 * several waves to one dword are not followed.
 *
 * What is stored mostly fills lines of 16 dwords, of which one entry says who wrote them: an eighth of the buffer's
 * size. Where part of a line is written, each of its dwords has an entry from then on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/machine.h"

/* Of a line or a dword: workgroup + 1, wave, epoch, time (machine.h). 0: not written. */
enum { TIME_BITS = 19, EPOCH_BITS = 16, WAVE_BITS = 5, GROUP_BITS = 24 };
#define MOST(bits) ((UINT32_C(1) << (bits)) - 1)
#define WAVES (UINT32_C(1) << WAVE_BITS)
static const uint64_t SEVERAL = UINT64_MAX, APART = UINT64_MAX - 1; /* APART: of a line, its dwords have entries */
enum { LINE = 16 }; /* dwords */

typedef struct writer { uint32_t group, wave, epoch, time; } writer;

struct gfx_global_log {
    const gfx_launch *launch;
    uint64_t groups;
    struct entries { uint64_t *lines, *dwords; } *of; /* each buffer; NULL until a line or a part of one is stored */
    uint16_t *handed_on;  /* of each wave: its stores of lower epochs are released, and an atomic has followed */
    pthread_mutex_t lock; /* while one of them is made, or a line's dwords */
};

gfx_global_log *gfx_global_log_new(const gfx_launch *l, uint64_t groups)
{
    gfx_global_log *log = calloc(1, sizeof *log);
    if (!log)
        return NULL;
    log->launch = l, log->groups = groups;
    log->of = calloc(l->buffer_count + 1, sizeof *log->of);
    pthread_mutex_init(&log->lock, NULL);
    if (log->of)
        return log;
    gfx_global_log_free(log);
    return NULL;
}

void gfx_global_log_free(gfx_global_log *log)
{
    if (!log)
        return;
    for (size_t k = 0; log->of && k < log->launch->buffer_count; k++) {
        free(log->of[k].lines);
        free(log->of[k].dwords);
    }
    pthread_mutex_destroy(&log->lock);
    free(log->of);
    free(log->handed_on);
    free(log);
}

/* *list, made of `count` zeros where there is none yet; NULL when out of memory. */
static void *made(gfx_global_log *log, void **list, size_t count, size_t size)
{
    void *p = __atomic_load_n(list, __ATOMIC_ACQUIRE);
    if (p)
        return p;
    pthread_mutex_lock(&log->lock);
    p = *list ? *list : calloc(count, size);
    __atomic_store_n(list, p, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&log->lock);
    return p;
}

static bool holds(const gfx_buffer *b, uint64_t address)
{
    return address - (uint64_t)(uintptr_t)b->base < b->size;
}

/* Of an address that has been checked; buffer_count: of the kernel's arguments. */
static size_t buffer_of(const gfx_group *g, uint64_t address)
{
    const gfx_launch *l = g->launch;
    if (g->recent && holds(g->recent, address))
        return (size_t)(g->recent - l->buffers);
    size_t k = 0;
    while (k < l->buffer_count && !holds(&l->buffers[k], address))
        k++;
    return k;
}

static size_t dword_of(const gfx_buffer *b, uint64_t address)
{
    return (size_t)(address / 4 - (uint64_t)(uintptr_t)b->base / 4);
}

static uint32_t at_most(uint32_t x, unsigned bits) { return x < MOST(bits) ? x : MOST(bits); }

static uint64_t pack(const gfx_wave *w)
{
    uint64_t group = w->group->number + UINT64_C(1), at = w->index;
    at = at << EPOCH_BITS | at_most(w->seen.epoch, EPOCH_BITS);
    return group << (64 - GROUP_BITS) | at << TIME_BITS | at_most(w->time, TIME_BITS);
}

static writer unpack(uint64_t x)
{
    return (writer){ (uint32_t)(x >> (64 - GROUP_BITS)) - 1, x >> (TIME_BITS + EPOCH_BITS) & MOST(WAVE_BITS),
                     x >> TIME_BITS & MOST(EPOCH_BITS), x & MOST(TIME_BITS) };
}

/* ---- writers ---- */

/* Of buffer k, with room for where its first and its last line are cut. */
static size_t line_count(const gfx_global_log *log, size_t k)
{
    return (log->launch->buffers[k].size / 4 + 2 + LINE) / LINE;
}

/* The entries of a line's dwords; NULL: no memory. */
static uint64_t *take_apart(gfx_global_log *log, size_t k, size_t line)
{
    struct entries *e = &log->of[k];
    uint64_t *dwords = made(log, (void **)&e->dwords, line_count(log, k) * LINE, sizeof *dwords), *l = &e->lines[line];
    if (!dwords || __atomic_load_n(l, __ATOMIC_ACQUIRE) == APART)
        return dwords;
    pthread_mutex_lock(&log->lock);
    uint64_t whole = __atomic_load_n(l, __ATOMIC_RELAXED);
    if (whole != APART) {
        for (size_t n = LINE * line; n < LINE * (line + 1); n++)
            __atomic_store_n(&dwords[n], whole, __ATOMIC_RELAXED);
        __atomic_store_n(l, APART, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&log->lock);
    return dwords;
}

/* Dwords first .. first + count of buffer k are written; `narrow`: one of them, in part. False: no memory. */
static bool store_run(gfx_global_log *log, size_t k, size_t first, size_t count, uint64_t mine, bool narrow)
{
    size_t end = first + count;
    uint64_t *list = made(log, (void **)&log->of[k].lines, line_count(log, k), sizeof *list);
    while (list && first < end) {
        size_t line = first / LINE, stop = end < LINE * (line + 1) ? end : LINE * (line + 1);
        if (stop - first == LINE) {
            __atomic_store_n(&list[line], mine, __ATOMIC_RELEASE);
            first = stop;
            continue;
        }
        uint64_t *dwords = take_apart(log, k, line);
        if (!dwords)
            return false;
        for (; first < stop; first++) {
            uint64_t old = narrow ? __atomic_load_n(&dwords[first], __ATOMIC_RELAXED) : 0;
            bool other = old && old >> (TIME_BITS + EPOCH_BITS) != mine >> (TIME_BITS + EPOCH_BITS);
            __atomic_store_n(&dwords[first], other ? SEVERAL : mine, __ATOMIC_RELAXED);
        }
    }
    return list;
}

void gfx_log_stores(gfx_wave *w, const uint64_t at[GFX_LANES], unsigned bytes)
{
    gfx_group *g = w->group;
    gfx_global_log *log = g->log;
    if (!log || g->number >= MOST(GROUP_BITS) - 1)
        return;
    w->seen.stored = w->seen.unwritten = true;
    uint64_t mine = pack(w);
    for (uint32_t left = w->s[GFX_EXEC]; left;) { /* lanes that lie behind each other in a buffer at once */
        uint64_t address = at[__builtin_ctz(left)], end = address;
        size_t k = buffer_of(g, address);
        const gfx_buffer *b = &g->launch->buffers[k];
        bool narrow = bytes < 4;
        do {
            end += bytes;
            left &= left - 1;
        } while (left && !narrow && at[__builtin_ctz(left)] == end && k < g->launch->buffer_count && holds(b, end));
        if (k < g->launch->buffer_count &&
            !store_run(log, k, dword_of(b, address), narrow ? 1 : (end - address) / 4, mine, narrow)) {
            gfx_fault(w, "no memory to follow who writes to %s", b->name);
            return;
        }
    }
}

/* All stores so far may be released: then they are, and what comes is of another epoch. */
static void end_epoch(gfx_wave *w)
{
    gfx_visible *s = &w->seen;
    if (!s->stored || s->unwritten || w->queued[GFX_STORECNT] != 0 || s->epoch == MOST(EPOCH_BITS))
        return;
    s->stored = false;
    s->released = ++s->epoch;
}

void gfx_log_write_back(gfx_wave *w, gfx_scope scope)
{
    if (!w->group->log || scope < GFX_SCOPE_DEV)
        return;
    w->seen.unwritten = false;
    end_epoch(w);
}

/* Barrier n is signalled at time 2 n, and all have signalled it from time 2 n + 2 on. */
void gfx_log_signal(gfx_wave *w)
{
    if (!w->group->log)
        return;
    end_epoch(w);
    w->seen.at_signal[w->time / 2 & 1] = w->seen.released;
    if (w->queued[GFX_STORECNT] == 0)
        w->seen.drained = w->time;
}

void gfx_log_atomic(gfx_wave *w, gfx_scope scope, bool returns)
{
    gfx_group *g = w->group;
    gfx_global_log *log = g->log;
    if (!log || scope < GFX_SCOPE_DEV || w->s[GFX_EXEC] == 0)
        return;
    uint16_t *handed_on = made(log, (void **)&log->handed_on, log->groups * WAVES, sizeof *handed_on);
    if (!handed_on) {
        gfx_fault(w, "no memory to follow what is handed on");
        return;
    }
    end_epoch(w);
    uint32_t barrier = w->time / 2 - 1; /* the last that it has waited at */
    for (uint32_t n = 0; n < g->wave_count; n++) {
        const gfx_visible *s = &g->waves[n].seen;
        uint32_t released = n == w->index ? s->released : barrier ? s->at_signal[barrier & 1] : 0;
        uint16_t *to = &handed_on[(size_t)g->number * WAVES + n];
        if (released > *to)
            __atomic_store_n(to, (uint16_t)released, __ATOMIC_RELAXED);
    }
    if (!returns)
        return;
    w->seen.fetched = true;
    g->fetch_time = w->time;
}

/* ---- readers ---- */

/* When a wave is past a barrier that another one signalled after `time`. */
static uint32_t ordered_from(uint32_t time) { return (time + 1) / 2 * 2 + 2; }

void gfx_log_invalidate(gfx_wave *w, gfx_scope scope)
{
    const gfx_group *g = w->group;
    if (!g->log)
        return;
    if (scope >= GFX_SCOPE_SE)
        w->seen.inv = w->time;
    bool fetched = w->seen.fetched || (g->fetch_time && w->time >= ordered_from(g->fetch_time));
    if (scope >= GFX_SCOPE_DEV && fetched && w->queued[GFX_LOADCNT] == 0)
        w->seen.acquired = true;
}

/* What is wrong with reading what `by` wrote; NULL: nothing. */
static const char *objection(const gfx_wave *w, const writer *by, gfx_scope scope)
{
    const gfx_group *g = w->group;
    if (by->group != g->number) {
        const uint16_t *handed_on = __atomic_load_n(&g->log->handed_on, __ATOMIC_ACQUIRE);
        size_t at = (size_t)by->group * WAVES + by->wave;
        if (!handed_on || __atomic_load_n(&handed_on[at], __ATOMIC_RELAXED) <= by->epoch)
            return "and did not release (s_wait_storecnt 0, global_wb scope:SCOPE_DEV) before an atomic";
        return w->seen.acquired || scope >= GFX_SCOPE_DEV ? NULL
               : "with no global_inv scope:SCOPE_DEV behind an atomic that returns";
    }
    if (w->time < ordered_from(by->time))
        return "with no barrier between";
    if (g->waves[by->wave].seen.drained < by->time)
        return "with no s_wait_storecnt 0 before the barrier";
    return w->seen.inv >= ordered_from(by->time) || scope >= GFX_SCOPE_SE ? NULL
           : "with no global_inv scope:SCOPE_SE behind the barrier";
}

static void fault(gfx_wave *w, int lane, const gfx_buffer *b, uint64_t address, const writer *by, const char *what)
{
    const gfx_launch *l = w->group->launch;
    char who[16] = "the wave";
    if (lane >= 0)
        snprintf(who, sizeof who, "lane %d", lane);
    uint32_t n = by->group, at[3] = { n % l->grid[0], n / l->grid[0] % l->grid[1], n / l->grid[0] / l->grid[1] };
    if (l->groups)
        memcpy(at, l->groups[n], sizeof at);
    gfx_fault(w, "%s reads byte %llu of %s, which wave %u of workgroup %u,%u,%u wrote %s", who,
              (unsigned long long)(address - (uint64_t)(uintptr_t)b->base), b->name, by->wave, at[0], at[1], at[2],
              what);
}

/* The entries of the buffer at this address; NULL: nothing has been stored in it. */
static const struct entries *entries_at(const gfx_group *g, uint64_t address, const gfx_buffer **b)
{
    size_t k = buffer_of(g, address);
    if (k == g->launch->buffer_count)
        return NULL;
    *b = &g->launch->buffers[k];
    return __atomic_load_n(&g->log->of[k].lines, __ATOMIC_ACQUIRE) ? &g->log->of[k] : NULL;
}

/* Who wrote a dword; *whole: the line that all of it is said of. */
static uint64_t found_at(const struct entries *e, size_t dword, size_t *whole)
{
    uint64_t found = __atomic_load_n(&e->lines[dword / LINE], __ATOMIC_ACQUIRE);
    *whole = found == APART ? SIZE_MAX : dword / LINE;
    return found == APART ? __atomic_load_n(&e->dwords[dword], __ATOMIC_RELAXED) : found;
}

bool gfx_log_loads(gfx_wave *w, const gfx_insn *i, const uint64_t at[GFX_LANES], unsigned bytes)
{
    const gfx_group *g = w->group;
    uint32_t exec = w->s[GFX_EXEC];
    if (!g->log || exec == 0)
        return true;
    const gfx_buffer *b = NULL;
    const struct entries *list = NULL;
    uint64_t mine = pack(w) >> (TIME_BITS + EPOCH_BITS);
    size_t seen = SIZE_MAX; /* the line that was looked at last, all of it */
    for (uint32_t left = exec; left; left &= left - 1) {
        int lane = __builtin_ctz(left);
        if (!b || !holds(b, at[lane])) {
            list = entries_at(g, at[lane], &b);
            seen = SIZE_MAX;
            if (!list && b && b == g->recent)
                return true; /* where all lanes are */
        }
        for (unsigned n = 0; list && n < (bytes + 3) / 4; n++) {
            size_t dword = dword_of(b, at[lane]) + n;
            if (dword / LINE == seen)
                continue;
            uint64_t found = found_at(list, dword, &seen);
            if (!found || found == SEVERAL || found >> (TIME_BITS + EPOCH_BITS) == mine)
                continue;
            writer by = unpack(found);
            const char *what = objection(w, &by, (gfx_scope)i->scope);
            if (what) {
                fault(w, lane, b, at[lane] + 4 * n, &by, what);
                return false;
            }
        }
    }
    return true;
}

bool gfx_log_scalar_load(gfx_wave *w, uint64_t address, unsigned bytes)
{
    const gfx_group *g = w->group;
    const gfx_buffer *b = NULL;
    const struct entries *list = g->log ? entries_at(g, address, &b) : NULL;
    for (unsigned n = 0; list && n < (bytes + 3) / 4; n++) {
        size_t whole;
        uint64_t found = found_at(list, dword_of(b, address) + n, &whole);
        if (!found || found == SEVERAL)
            continue;
        writer by = unpack(found);
        fault(w, -1, b, address + 4 * n, &by, "in this launch, through the scalar cache");
        return false;
    }
    return true;
}
