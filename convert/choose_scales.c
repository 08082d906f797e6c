/* The pass before the conversion: scales of what becomes FP8. Workers take runs of rows in the order of the plan and
 * count magnitudes; whoever finishes a matrix chooses its scale. Counts are integers: their order is nothing. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "convert/rows.h"
#include "format/checked.h"
#include "quant/fp8.h"

#define RUN_BYTES (UINT64_C(4) << 20)
#define WORKERS_MAX 6

void ash_rows_decode(const ash_kernels *kernels, const ash_plan_member *m, uint64_t source_row, uint32_t type,
                     const uint8_t *in, uint64_t cols, float *out)
{
    ash_dtype from = m->source->dtype;
    /* The vector form of F16 may change a NaN's payload, which only these can show: the others refuse it. */
    bool shows = type == ASH_F32 || type == ASH_F16 || type == ASH_BF16;
    ash_decode_fn *fast = from == ASH_F16 && shows ? NULL : kernels->decode[from];
    if (fast)
        fast(in, (int64_t)cols, out);
    else
        ash_decode_row(from, in, (int64_t)cols, out);
    if (m->scale)
        ash_scale_row(m->scale_kind, m->scale, source_row, out, cols);
}

/* One matrix that is being counted. */
typedef struct counted {
    ash_fp8_counts counts;
    float max;
    uint64_t rows_left;
} counted;

typedef struct chooser {
    const ash_source *source;
    ash_plan *plan;
    ash_kernels kernels;
    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t member; /* the next run: rows from `row` on */
    uint64_t row, read;
    uint32_t working;
    counted **open;  /* by member; from its first run to its last */
    bool stop;
    ash_status status;
    ash_error err;
} chooser;

typedef struct run_of_rows {
    uint32_t member;
    uint64_t first, count;
} run_of_rows;

static uint64_t row_bytes(const ash_plan_member *m)
{
    uint64_t bytes = 0;
    (void)ash_row_bytes(m->source->dtype, m->source->dims[0], &bytes); /* the reader has checked it */
    return bytes;
}

/* A scale's own member has `made` too, and nothing to read. */
static bool wanted(const ash_plan_member *m) { return m->made && !m->made_given && !m->owns_made; }

static uint64_t run_rows(const ash_plan_member *m)
{
    uint64_t rows = RUN_BYTES / row_bytes(m);
    return rows ? rows : 1;
}

/* Under the lock. The first run of a matrix makes room for its counts. */
static bool next_run(chooser *c, run_of_rows *out)
{
    const ash_plan *plan = c->plan;
    while (c->member < plan->member_count && !wanted(&plan->members[c->member]))
        c->member++;
    if (c->stop || c->member == plan->member_count)
        return false;
    const ash_plan_member *m = &plan->members[c->member];
    uint64_t rows = m->source->dims[1], left = rows - c->row, most = run_rows(m);
    if (c->row == 0 && !m->made_by_row) {
        c->open[c->member] = calloc(1, sizeof(counted));
        if (!c->open[c->member]) {
            c->status = ash_fail(&c->err, ASH_E_MEMORY, "%s: out of memory", m->source->name);
            return false;
        }
        c->open[c->member]->rows_left = rows;
    }
    *out = (run_of_rows){ c->member, c->row, left < most ? left : most };
    c->row += out->count;
    if (c->row == rows) {
        c->member++;
        c->row = 0;
    }
    return true;
}

/* What a worker brings. */
typedef struct desk {
    uint8_t *bytes;
    float *row;
    ash_fp8_counts *counts;
    ash_error err;
} desk;

static ash_status refuse(const chooser *c, const ash_plan_member *m, desk *d, uint64_t row, uint64_t cols)
{
    uint64_t k = 0;
    while (k < cols && isfinite(d->row[k]))
        k++;
    ash_fail(&d->err, ASH_E_UNSUPPORTED, "row %" PRIu64 ", column %" PRIu64 " is %g, which f8_e4m3 cannot hold; choose "
             "another type", row, k, (double)d->row[k]);
    ash_fail_in(&d->err, m->source->name);
    return ash_fail_in(&d->err, ash_source_file(c->source, m->source->file)->path);
}

static ash_status count_run(const chooser *c, const run_of_rows *r, desk *d, float *max)
{
    const ash_plan_member *m = &c->plan->members[r->member];
    uint64_t bytes = row_bytes(m), cols = m->source->dims[0];
    ASH_TRY(ash_source_read(c->source, m->source, r->first * bytes, d->bytes, (size_t)(r->count * bytes), &d->err));
    *max = 0;
    for (uint64_t i = 0; i < r->count; i++) {
        uint64_t row = r->first + i;
        ash_rows_decode(&c->kernels, m, row, ASH_F8_E4M3, d->bytes + i * bytes, cols, d->row);
        float most = c->kernels.max_abs(d->row, (int64_t)cols);
        if (!isfinite(most))
            return refuse(c, m, d, row, cols);
        *max = most > *max ? most : *max;
        if (m->made_by_row)
            m->made[ash_canonical_row(&m->record, row)] = ash_fp8_row_scale(&c->kernels, d->row, (int64_t)cols);
        else
            ash_fp8_count(d->counts, d->row, (int64_t)cols);
    }
    return ASH_OK;
}

/* Adds a run to its matrix; returns the matrix when that was the last. Under the lock. */
static counted *hand_in(chooser *c, const run_of_rows *r, desk *d, float max)
{
    counted *to = c->open[r->member];
    c->read += r->count * row_bytes(&c->plan->members[r->member]);
    if (!to)
        return NULL;
    ash_fp8_counts_add(&to->counts, d->counts);
    *d->counts = (ash_fp8_counts){ { 0 } };
    to->max = max > to->max ? max : to->max;
    to->rows_left -= r->count;
    if (to->rows_left != 0)
        return NULL;
    c->open[r->member] = NULL;
    return to;
}

static void work_run(chooser *c, const run_of_rows *r, desk *d)
{
    float max = 0;
    ash_status status = count_run(c, r, d, &max);
    pthread_mutex_lock(&c->lock);
    counted *whole = NULL;
    if (status == ASH_OK) {
        whole = hand_in(c, r, d, max);
    } else if (c->status == ASH_OK) {
        c->status = status;
        c->err = d->err;
        c->stop = true;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (whole)
        c->plan->members[r->member].made[0] = ash_fp8_scale(&whole->counts, whole->max);
    free(whole);
}

/* Room for the largest run and row of all. */
static bool desk_make(const chooser *c, desk *d)
{
    uint64_t bytes = 1, cols = 1;
    for (uint32_t i = 0; i < c->plan->member_count; i++) {
        const ash_plan_member *m = &c->plan->members[i];
        if (!wanted(m))
            continue;
        uint64_t rows = run_rows(m) < m->source->dims[1] ? run_rows(m) : m->source->dims[1];
        bytes = rows * row_bytes(m) > bytes ? rows * row_bytes(m) : bytes;
        cols = m->source->dims[0] > cols ? m->source->dims[0] : cols;
    }
    *d = (desk){ .bytes = malloc(bytes), .row = malloc(cols * sizeof(float)), .counts = calloc(1, sizeof *d->counts) };
    return d->bytes && d->row && d->counts;
}

static void desk_free(desk *d)
{
    free(d->bytes);
    free(d->row);
    free(d->counts);
}

static void *worker(void *context)
{
    chooser *c = context;
    desk d;
    bool ready = desk_make(c, &d);
    pthread_mutex_lock(&c->lock);
    if (!ready && c->status == ASH_OK)
        c->status = ash_fail(&c->err, ASH_E_MEMORY, "%s: out of memory", c->source->path);
    for (run_of_rows r; ready && next_run(c, &r);) {
        pthread_mutex_unlock(&c->lock);
        work_run(c, &r, &d);
        pthread_mutex_lock(&c->lock);
    }
    c->working--;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    desk_free(&d);
    return NULL;
}

ash_status ash_choose_scales(const ash_source *source, ash_plan *plan, uint32_t threads, uint32_t levels,
                             int (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                             uint64_t total, ash_error *err)
{
    if (plan->search_bytes == 0)
        return ASH_OK;
    chooser c = { .source = source, .plan = plan, .lock = PTHREAD_MUTEX_INITIALIZER,
                  .changed = PTHREAD_COND_INITIALIZER, .status = ASH_OK };
    ash_kernels_init(&c.kernels, (ash_level)((levels ? levels : ASH_LEVEL_COUNT) - 1));
    c.open = calloc(plan->member_count, sizeof *c.open);
    if (!c.open)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", source->path);
    pthread_t ids[WORKERS_MAX];
    uint32_t started = 0, workers = threads > WORKERS_MAX ? WORKERS_MAX : threads;
    pthread_mutex_lock(&c.lock);
    while (started < workers && pthread_create(&ids[started], NULL, worker, &c) == 0) {
        started++;
        c.working++;
    }
    if (started == 0)
        c.status = ash_fail(&c.err, ASH_E_MEMORY, "%s: no thread can be started", source->path);
    for (uint64_t told = 0; c.working > 0;) {
        pthread_cond_wait(&c.changed, &c.lock);
        if (!progress || c.stop || c.read == told)
            continue;
        told = c.read;
        pthread_mutex_unlock(&c.lock);
        bool cancelled = progress(context, told, total) != 0;
        pthread_mutex_lock(&c.lock);
        if (cancelled && c.status == ASH_OK) {
            c.status = ash_fail(&c.err, ASH_E_CANCELLED, "cancelled");
            c.stop = true;
        }
    }
    pthread_mutex_unlock(&c.lock);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    for (uint32_t i = 0; i < plan->member_count; i++)
        free(c.open[i]);
    free(c.open);
    if (c.status != ASH_OK)
        *err = c.err;
    return c.status;
}
