#include "convert/stream.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "convert/arch.h"
#include "convert/rows.h"
#include "format/checked.h"
#include "format/tile.h"
#include "kernels/kernels.h"
#include "quant/encode.h"

/* What a job takes in or gives out, unless one panel of the matrix is more. Large enough that a read or write call
 * costs nothing beside its bytes, small enough for many in flight. */
#define JOB_BYTES (UINT64_C(4) << 20)
#define JOB_ROWS 8192 /* bounds the table of row pointers */
#define WORKERS_MAX 6
#define MEMBERS_MAX 3 /* that are fused */

/* Panels, or bytes of a LINEAR tensor: [first, first + count). */
typedef struct job {
    uint32_t tensor;
    uint64_t first, count;
} job;

typedef struct slot {
    job work;
    bool done;
    ash_status status;
    ash_error err;
    uint8_t *in, *out;
    uint8_t **rows;      /* JOB_ROWS pointers into `in` */
    float *decoded;      /* the rows of a panel */
    float *again;        /* and what became of it */
    double lost[MEMBERS_MAX], energy[MEMBERS_MAX]; /* of the tensor's members */
    size_t out_bytes;
    uint64_t read_bytes; /* of source data */
} slot;

typedef struct stream {
    const ash_source *source;
    ash_plan *plan;
    const ash_convert_guide *guide; /* or NULL */
    ash_kernels kernels;
    uint64_t in_room, out_room, decoded_room; /* bytes, bytes, floats: the largest that a job needs */
    slot *slots;
    uint32_t slot_count;
    /* Under the lock: the next job to hand out, how many were handed out and how many written. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    job next;
    uint64_t taken, written;
    bool stop;
} stream;

/* ---- cutting a tensor into jobs ---- */

static const ash_member_record *record_of(const stream *s, const ash_plan_tensor *t, uint32_t member)
{
    return &s->plan->members[t->member_first + member].record;
}

/* Bytes of a row of the member in its source. */
static uint64_t source_row_bytes(const ash_plan_member *m)
{
    uint64_t bytes = 0;
    (void)ash_row_bytes(m->source->dtype, m->source->dims[0], &bytes); /* the reader has checked it */
    return bytes;
}

static bool linear(const ash_plan_tensor *t) { return t->record.layout == ASH_LAYOUT_LINEAR; }

/* A LINEAR tensor whose rows (or elements) move is done in one piece: biases, norms and row scales of q and k. */
static bool in_one_piece(const stream *s, const ash_plan_tensor *t)
{
    return linear(t) && record_of(s, t, 0)->row_order != ASH_ROWS_SAME;
}

static uint64_t job_units(const stream *s, const ash_plan_tensor *t)
{
    if (linear(t))
        return in_one_piece(s, t) ? t->record.size : JOB_BYTES;
    uint64_t panel = t->record.panel_bytes;
    for (uint32_t i = 0; i < t->member_count; i++) {
        uint64_t rows = ASH_PANEL_ROWS * source_row_bytes(&s->plan->members[t->member_first + i]);
        panel = rows > panel ? rows : panel;
    }
    uint64_t panels = JOB_BYTES / panel;
    if (panels > JOB_ROWS / ASH_PANEL_ROWS)
        panels = JOB_ROWS / ASH_PANEL_ROWS;
    return panels ? panels : 1;
}

static uint64_t total_units(const ash_plan_tensor *t)
{
    return linear(t) ? t->record.size : t->record.padded_dims[1] / ASH_PANEL_ROWS;
}

static void measure_rooms(stream *s)
{
    for (uint32_t i = 0; i < s->plan->tensor_count; i++) {
        const ash_plan_tensor *t = &s->plan->tensors[i];
        uint64_t units = job_units(s, t), total = total_units(t), in = 0;
        units = units < total ? units : total;
        uint64_t out = linear(t) ? units : units * t->record.panel_bytes;
        for (uint32_t m = 0; m < t->member_count; m++) {
            const ash_plan_member *member = &s->plan->members[t->member_first + m];
            uint64_t row = source_row_bytes(member);
            in = row * ASH_PANEL_ROWS > in ? row * ASH_PANEL_ROWS : in;
            if (!linear(t) && member->source->dtype != t->record.dtype && t->record.dims[0] > s->decoded_room)
                s->decoded_room = t->record.dims[0];
        }
        in = linear(t) ? units : in * units;
        s->in_room = in > s->in_room ? in : s->in_room;
        s->out_room = out > s->out_room ? out : s->out_room;
    }
}

/* The next job in the order of the file; false at the end. */
static bool next_job(stream *s, job *out)
{
    if (s->next.tensor == s->plan->tensor_count)
        return false;
    const ash_plan_tensor *t = &s->plan->tensors[s->next.tensor];
    uint64_t left = total_units(t) - s->next.first, units = job_units(s, t);
    *out = s->next;
    out->count = units < left ? units : left;
    if (out->count == left)
        s->next = (job){ .tensor = s->next.tensor + 1 };
    else
        s->next.first += out->count;
    return true;
}

/* ---- reading rows ---- */

/* The source's pages leave the cache as soon as they are read: the output takes as many, and what the machine had
 * cached otherwise stays. In three rounds over a warm 3 GB file this was also faster (4.6 to 7.9 s against 5.3 to 17.6). */
static ash_status read_bytes(const stream *s, slot *w, const ash_source_tensor *t, uint64_t at, uint64_t size,
                             uint8_t *to)
{
    w->read_bytes += size;
    ASH_TRY(ash_source_read(s->source, t, at, to, (size_t)size, &w->err));
    if (!t->member) /* an .ashlar's rows lie elsewhere, and its mapping is given back as it is read */
        ash_input_done_with(ash_source_file(s->source, t->file), t->offset + at, size);
    return ASH_OK;
}

/* Source rows [first, first + count) of a member, whole. */
static ash_status read_run(const stream *s, slot *w, const ash_plan_member *m, uint64_t row_bytes, uint64_t first,
                           uint64_t count, uint8_t *to)
{
    return read_bytes(s, w, m->source, first * row_bytes, count * row_bytes, to);
}

/* Rows [first, last) of a member, in canonical order, into `buffer`; rows[i] gets row first + i. Reads what it needs
 * and no more: a head's rotated rows lie in two runs of the source, one for each half of the pairs. */
static ash_status read_rows(const stream *s, slot *w, const ash_plan_member *m, uint64_t first, uint64_t last,
                            uint8_t *buffer, uint8_t **rows)
{
    uint64_t bytes = source_row_bytes(m);
    const ash_member_record *r = &m->record;
    if (r->row_order == ASH_ROWS_SAME) {
        for (uint64_t i = 0; i < last - first; i++)
            rows[i] = buffer + i * bytes;
        return read_run(s, w, m, bytes, first, last - first, buffer);
    }
    uint64_t half = r->row_order_rope / 2;
    for (uint64_t row = first; row < last;) {
        uint64_t head = row / r->row_order_head * r->row_order_head, a = row - head;
        uint64_t b = last - head < r->row_order_head ? last - head : r->row_order_head;
        uint64_t turned = b < r->row_order_rope ? b : r->row_order_rope; /* heads and panels are even: so are a and b */
        if (a < turned) {
            uint64_t pairs = (turned - a) / 2;
            uint8_t *low = buffer, *high = buffer + pairs * bytes;
            ASH_TRY(read_run(s, w, m, bytes, head + a / 2, pairs, low));
            ASH_TRY(read_run(s, w, m, bytes, head + half + a / 2, pairs, high));
            for (uint64_t i = 0; i < pairs; i++) {
                *rows++ = low + i * bytes;
                *rows++ = high + i * bytes;
            }
            buffer += 2 * pairs * bytes;
            a = turned;
        }
        if (a < b) {
            ASH_TRY(read_run(s, w, m, bytes, head + a, b - a, buffer));
            for (; a < b; a++, buffer += bytes)
                *rows++ = buffer;
        }
        row = head + b;
    }
    return ASH_OK;
}

/* ---- another type ---- */

/* One row of each panel, another one each time. */
static bool sampled(uint64_t row) { return row % ASH_PANEL_ROWS == row / ASH_PANEL_ROWS * 5 % ASH_PANEL_ROWS; }

static void measure_row(slot *w, uint32_t member, uint32_t type, float scale, uint64_t cols, const float *decoded,
                        const uint8_t *row)
{
    ash_decode_row((ash_dtype)type, row, (int64_t)cols, w->again);
    double lost = 0, energy = 0;
    for (uint64_t k = 0; k < cols; k++) {
        double x = (double)decoded[k], d = x - (double)w->again[k] * (double)scale;
        lost += d * d;
        energy += x * x;
    }
    w->lost[member] += lost;
    w->energy[member] += energy;
}

/* Importance of the member's columns, as far as it is known. */
static ash_status importance_of(const stream *s, const ash_plan_tensor *t, const ash_plan_member *m,
                                ash_importance *out, ash_error *err)
{
    char name[128];
    const ash_arch_tensor *known = ash_arch_tensor_of((ash_role)m->record.role);
    *out = (ash_importance){ 0 };
    if (!s->guide || !s->guide->imatrix || !known || !known->gguf ||
        !ash_arch_name(known->gguf, t->record.layer, name, sizeof name))
        return ASH_OK;
    return ash_imatrix_find(s->guide->imatrix, name, t->record.dims[0], out, err);
}

/* The row as the guide has encoded it already, or NULL. */
static const uint8_t *guided_row(const stream *s, const ash_plan_tensor *t, const ash_plan_member *m, uint64_t row)
{
    const ash_convert_guide *g = s->guide;
    return g && g->encoded ? g->encoded(g->context, m->record.role, t->record.layer, row, t->record.dtype) : NULL;
}

/* What the rows of one member share. */
typedef struct recoding {
    const stream *s;
    slot *w;
    const ash_plan_tensor *tensor;
    uint32_t member;
    ash_importance known;
    size_t out_bytes; /* of a row */
} recoding;

static float scale_of(const ash_plan_member *m, uint64_t row)
{
    return m->made ? m->made[m->made_by_row ? row : 0] : 1;
}

/* One row; *again: its codes may be balanced. */
static ash_status recode(const recoding *r, uint64_t row, const uint8_t *in, float *decoded, uint8_t *out, bool *again)
{
    const stream *s = r->s;
    slot *w = r->w;
    const ash_plan_tensor *t = r->tensor;
    const ash_plan_member *m = &s->plan->members[t->member_first + r->member];
    uint32_t type = t->record.dtype;
    int64_t cols = (int64_t)t->record.dims[0];
    const uint8_t *there = guided_row(s, t, m, row);
    ash_status status = ASH_OK;
    *again = !there && r->known.balance;
    if (!there || sampled(row))
        ash_rows_decode(&s->kernels, m, ash_source_row(&m->record, row), type, in, (uint64_t)cols, decoded);
    if (there)
        memcpy(out, there, r->out_bytes);
    else if (m->made)
        status = ash_encode_fp8_row(&s->kernels, decoded, cols, scale_of(m, row), out, &w->err);
    else
        status = ash_encode_row(&s->kernels, (ash_dtype)type, decoded, r->known.weight, cols, out, &w->err);
    if (status == ASH_OK)
        return ASH_OK;
    ash_fail_in(&w->err, m->source->name);
    return ash_fail_in(&w->err, ash_source_file(s->source, m->source->file)->path);
}

/* `count` rows of a panel from `row` on; rows[i] becomes one of those at `out`. */
static ash_status recode_panel(const recoding *r, uint64_t row, int count, uint8_t *out, const uint8_t **rows)
{
    slot *w = r->w;
    const ash_plan_tensor *t = r->tensor;
    uint64_t cols = t->record.dims[0];
    uint8_t *to[ASH_PANEL_ROWS];
    bool balanced = true;
    for (int i = 0; i < count; i++) {
        bool again;
        to[i] = out + (size_t)i * r->out_bytes;
        ASH_TRY(recode(r, row + (uint64_t)i, rows[i], w->decoded + (uint64_t)i * cols, to[i], &again));
        balanced = balanced && again;
        rows[i] = to[i];
    }
    if (balanced)
        ASH_TRY(ash_balance_rows(&r->s->kernels, (ash_dtype)t->record.dtype, r->known.balance, w->decoded,
                                 (int64_t)cols, count, ASH_BALANCE_SWEEPS, to, &w->err));
    const ash_plan_member *m = &r->s->plan->members[t->member_first + r->member];
    for (uint64_t i = 0; i < (uint64_t)count; i++)
        if (sampled(row + i))
            measure_row(w, r->member, t->record.dtype, scale_of(m, row + i), cols, w->decoded + i * cols, to[i]);
    return ASH_OK;
}

/* ---- one job ---- */

static ash_status run_linear(const stream *s, slot *w, const ash_plan_tensor *t)
{
    const ash_plan_member *m = &s->plan->members[t->member_first];
    w->out_bytes = (size_t)w->work.count;
    if (m->made) {
        memcpy(w->out, (const uint8_t *)m->made + w->work.first, w->out_bytes);
        return ASH_OK;
    }
    if (!in_one_piece(s, t))
        return read_bytes(s, w, m->source, w->work.first, w->work.count, w->out);
    ASH_TRY(read_bytes(s, w, m->source, 0, w->work.count, w->in));
    uint64_t rows = t->record.dim_count == 1 ? t->record.dims[0] : t->record.dims[1], bytes = t->record.size / rows;
    for (uint64_t i = 0; i < rows; i++)
        memcpy(w->out + i * bytes, w->in + ash_source_row(&m->record, i) * bytes, bytes);
    return ASH_OK;
}

/* The panels of `m` that lie in the job's range of panels: [*first, *last) of the member's own. */
static void panels_of(const ash_member_record *m, const job *work, uint64_t *first, uint64_t *last)
{
    uint64_t start = m->row_first / ASH_PANEL_ROWS, step = m->panel_step;
    uint64_t count = ash_div_up(m->row_count, ASH_PANEL_ROWS);
    uint64_t end = work->first + work->count;
    *first = work->first <= start ? 0 : ash_div_up(work->first - start, step);
    *last = end <= start ? 0 : ash_div_up(end - start, step);
    *last = *last < count ? *last : count;
    *first = *first < *last ? *first : *last;
}

static ash_status run_member(const stream *s, slot *w, const ash_plan_tensor *t, uint32_t member, uint8_t **in)
{
    const ash_plan_member *m = &s->plan->members[t->member_first + member];
    uint64_t first, last, cols = t->record.dims[0], encoded = 0;
    panels_of(&m->record, &w->work, &first, &last);
    if (first == last)
        return ASH_OK;
    uint64_t row = first * ASH_PANEL_ROWS, row_end = last * ASH_PANEL_ROWS;
    row_end = row_end < m->record.row_count ? row_end : m->record.row_count;
    ASH_TRY(read_rows(s, w, m, row, row_end, *in, w->rows));
    *in += (row_end - row) * source_row_bytes(m);
    bool other = m->source->dtype != t->record.dtype;
    (void)ash_row_bytes(t->record.dtype, cols, &encoded); /* the plan has checked it */
    recoding r = { .s = s, .w = w, .tensor = t, .member = member, .out_bytes = (size_t)encoded };
    if (other)
        ASH_TRY(importance_of(s, t, m, &r.known, &w->err));
    uint8_t *panel_rows = NULL;
    if (other && !(panel_rows = malloc(ASH_PANEL_ROWS * encoded)))
        return ash_fail(&w->err, ASH_E_MEMORY, "%s: out of memory", m->source->name);
    ash_status status = ASH_OK;
    for (uint64_t p = first; p < last && status == ASH_OK; p++) {
        const uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
        uint64_t base = (p - first) * ASH_PANEL_ROWS, left = row_end - row - base;
        int count = left < ASH_PANEL_ROWS ? (int)left : ASH_PANEL_ROWS;
        for (int i = 0; i < count; i++)
            rows[i] = w->rows[base + (uint64_t)i];
        if (other)
            status = recode_panel(&r, row + base, count, panel_rows, rows);
        uint64_t at = m->record.row_first / ASH_PANEL_ROWS + p * m->record.panel_step - w->work.first;
        if (status == ASH_OK)
            ash_tile_pack(t->record.dtype, cols, rows, w->out + at * t->record.panel_bytes);
    }
    free(panel_rows);
    return status;
}

static void run(const stream *s, slot *w)
{
    const ash_plan_tensor *t = &s->plan->tensors[w->work.tensor];
    w->read_bytes = 0;
    memset(w->lost, 0, sizeof w->lost);
    memset(w->energy, 0, sizeof w->energy);
    if (linear(t)) {
        w->status = run_linear(s, w, t);
        return;
    }
    w->out_bytes = (size_t)(w->work.count * t->record.panel_bytes);
    uint8_t *in = w->in;
    w->status = ASH_OK;
    for (uint32_t i = 0; i < t->member_count && w->status == ASH_OK; i++)
        w->status = run_member(s, w, t, i, &in);
}

/* ---- threads ---- */

static void *worker(void *context)
{
    stream *s = context;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->stop && s->taken - s->written == s->slot_count)
            pthread_cond_wait(&s->changed, &s->lock);
        slot *w = &s->slots[s->taken % s->slot_count];
        if (s->stop || !next_job(s, &w->work))
            break;
        s->taken++;
        pthread_mutex_unlock(&s->lock);
        run(s, w);
        pthread_mutex_lock(&s->lock);
        w->done = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* The next slot in order, finished; NULL when all jobs are written. */
static slot *wait_next(stream *s, bool alone)
{
    slot *w = &s->slots[s->written % s->slot_count];
    if (alone) {
        if (!next_job(s, &w->work))
            return NULL;
        run(s, w);
        return w;
    }
    pthread_mutex_lock(&s->lock);
    while (!w->done && !(s->taken == s->written && s->next.tensor == s->plan->tensor_count))
        pthread_cond_wait(&s->changed, &s->lock);
    bool there = w->done;
    pthread_mutex_unlock(&s->lock);
    return there ? w : NULL;
}

static void release(stream *s, slot *w)
{
    pthread_mutex_lock(&s->lock);
    w->done = false;
    s->written++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static ash_status write_all(stream *s, ash_writer *writer, bool alone, ash_stream_progress_fn progress, void *context,
                            ash_error *err)
{
    uint64_t done = s->plan->search_bytes, total = done + s->plan->source_bytes;
    for (slot *w; (w = wait_next(s, alone)); release(s, w)) {
        if (w->status != ASH_OK) {
            *err = w->err;
            return w->status;
        }
        ASH_TRY(ash_writer_put(writer, w->work.tensor, w->out, w->out_bytes, err));
        const ash_plan_tensor *t = &s->plan->tensors[w->work.tensor];
        for (uint32_t i = 0; i < t->member_count && i < MEMBERS_MAX; i++) {
            s->plan->members[t->member_first + i].lost += w->lost[i];
            s->plan->members[t->member_first + i].energy += w->energy[i];
        }
        done += w->read_bytes;
        if (progress && progress(context, done, total) != 0)
            return ash_fail(err, ASH_E_CANCELLED, "cancelled");
    }
    return ASH_OK;
}

static bool allocate(stream *s)
{
    s->slots = calloc(s->slot_count, sizeof *s->slots);
    for (uint32_t i = 0; s->slots && i < s->slot_count; i++) {
        slot *w = &s->slots[i];
        w->in = malloc(s->in_room);
        w->out = malloc(s->out_room);
        w->rows = malloc(JOB_ROWS * sizeof *w->rows);
        w->decoded = malloc((s->decoded_room ? ASH_PANEL_ROWS * s->decoded_room : 1) * sizeof *w->decoded);
        w->again = malloc((s->decoded_room ? s->decoded_room : 1) * sizeof *w->again);
        if (!w->in || !w->out || !w->rows || !w->decoded || !w->again)
            return false;
    }
    return s->slots != NULL;
}

static void release_all(stream *s)
{
    for (uint32_t i = 0; s->slots && i < s->slot_count; i++) {
        free(s->slots[i].in);
        free(s->slots[i].out);
        free(s->slots[i].rows);
        free(s->slots[i].decoded);
        free(s->slots[i].again);
    }
    free(s->slots);
}

ash_status ash_stream(const ash_source *source, ash_plan *plan, ash_writer *writer, const ash_convert_stream *how,
                      ash_stream_progress_fn progress, void *context, ash_error *err)
{
    bool alone = how->threads == 1;
    uint32_t workers = how->threads > WORKERS_MAX ? WORKERS_MAX : how->threads, started = 0;
    stream s = { .source = source, .plan = plan, .guide = how->guide, .slot_count = alone ? 1 : workers + 2,
                 .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    ash_kernels_init(&s.kernels, (ash_level)((how->levels ? how->levels : ASH_LEVEL_COUNT) - 1));
    measure_rooms(&s);
    pthread_t ids[WORKERS_MAX];
    ash_status status = allocate(&s) ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", source->path);
    while (status == ASH_OK && !alone && started < workers && pthread_create(&ids[started], NULL, worker, &s) == 0)
        started++;
    if (status == ASH_OK)
        status = write_all(&s, writer, started == 0, progress, context, err);
    pthread_mutex_lock(&s.lock);
    s.stop = true;
    pthread_cond_broadcast(&s.changed);
    pthread_mutex_unlock(&s.lock);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    release_all(&s);
    return status;
}
