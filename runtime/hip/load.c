#include "runtime/hip/load.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/fileio.h"
#include "format/hash.h"

#define PAGE 4096u
#define PAUSE_US 200
#define MARKS 16 /* events at which the front of what is copied stood, the newest last */

/* What the plan wants of DATA, cut at the ranges of checksums: a piece lies in one of them (extents never share bytes). */
typedef struct piece {
    uint64_t from, to, bytes; /* of DATA, of the allocation */
} piece;

/* The pieces [first, end) of one checksum's range: read together, with the little that lies between them, so that no byte is
 * read twice, and each copied to its place. */
typedef struct span {
    uint32_t first, end;
} span;

typedef enum buffer_state { BUFFER_FREE, BUFFER_READING, BUFFER_COPYING } buffer_state;
typedef struct buffer {
    uint8_t *p;
    ash_hip_event *copied;
    buffer_state state;
} buffer;

struct ash_load {
    const ash_hip *hip;
    int device, fd;
    uint64_t data_first, data_bytes, to; /* of the file; DATA's size; device address */
    const char *path;
    const ash_hash128 *chunks;
    ash_load_options options;
    piece *pieces;
    span *spans;
    uint32_t count; /* of spans */
    uint64_t total; /* bytes of all pieces */

    ash_hip_stream *stream;
    buffer buffers[ASH_LOAD_BUFFERS];
    pthread_t reader[ASH_LOAD_READERS];
    uint32_t readers;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    uint32_t next; /* span to be taken */
    bool *enqueued;
    uint32_t front; /* spans before it have their copies on the stream */
    uint64_t copied_bytes;
    uint64_t waiting_us; /* that nobody has seen a copy end */
    ash_hip_event *mark[MARKS];
    uint64_t mark_bytes[MARKS]; /* of the allocation, from its start, that a mark covers */
    uint32_t marks;
    bool stop;
    ash_status status;
    ash_error error;
};

/* ---- pieces and spans ---- */

static uint64_t range_of(const piece *p) { return p->from / ASH_LOAD_PIECE; }

static ash_status cut(ash_load *l, const ash_hip_plan *plan, ash_error *err)
{
    uint32_t extents;
    const ash_hip_plan_extent *e = ash_hip_plan_extents(plan, &extents);
    uint64_t count = 0;
    for (uint32_t i = 0; i < extents; i++)
        count += (e[i].from + e[i].bytes + ASH_LOAD_PIECE - 1) / ASH_LOAD_PIECE - e[i].from / ASH_LOAD_PIECE;
    l->pieces = calloc(count + 1, sizeof *l->pieces);
    l->spans = calloc(count + 1, sizeof *l->spans);
    l->enqueued = calloc(count + 1, sizeof *l->enqueued);
    if (!l->pieces || !l->spans || !l->enqueued)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %llu pieces of the file", (unsigned long long)count);
    uint32_t pieces = 0;
    for (uint32_t i = 0; i < extents; i++) {
        uint64_t from = e[i].from, end = e[i].from + e[i].bytes;
        while (from < end) {
            uint64_t stop = (from / ASH_LOAD_PIECE + 1) * ASH_LOAD_PIECE;
            stop = stop < end ? stop : end;
            piece *p = &l->pieces[pieces];
            *p = (piece){ from, e[i].to + (from - e[i].from), stop - from };
            if (pieces == 0 || range_of(p) != range_of(p - 1))
                l->spans[l->count++].first = pieces;
            l->spans[l->count - 1].end = ++pieces;
            l->total += stop - from;
            from = stop;
        }
    }
    return ASH_OK;
}

/* ---- reading ---- */

/* [from, from + bytes) of DATA, aligned outwards to pages, to `into`; *at_from: where the first wanted byte lies. */
static ash_status read_range(ash_load *l, uint64_t from, uint64_t bytes, uint8_t *into, const uint8_t **at_from,
                             ash_error *err)
{
    uint64_t at = (l->data_first + from) / PAGE * PAGE, end = l->data_first + from + bytes;
    *at_from = into + (l->data_first + from - at);
    uint64_t want = (end - at + PAGE - 1) / PAGE * PAGE, done = 0;
    while (at + done < end) {
        ssize_t n = pread(l->fd, into + done, want - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ash_fail_errno(err, "%s: reading byte %llu", l->path, (unsigned long long)(at + done));
        if (n == 0)
            return ash_fail(err, ASH_E_FORMAT, "%s ends at byte %llu: it was changed while it was read", l->path,
                            (unsigned long long)(at + done));
        done += (uint64_t)n;
        if (done % PAGE != 0 && at + done < end) { /* an odd end of a direct read: go on without */
            int flags = fcntl(l->fd, F_GETFL);
            if (flags < 0 || fcntl(l->fd, F_SETFL, flags & ~O_DIRECT) < 0)
                return ash_fail_errno(err, "%s: reading byte %llu", l->path, (unsigned long long)(at + done));
        }
    }
    return ASH_OK;
}

static ash_status check(const ash_load *l, uint64_t begin, uint64_t size, const uint8_t *bytes, ash_error *err)
{
    if (!ash_hash_equal(ash_hash(bytes, (size_t)size), l->chunks[begin / ASH_LOAD_PIECE]))
        return ash_fail(
            err, ASH_E_CHECKSUM, "%s: bytes %llu to %llu have a wrong checksum: copy or convert the file again",
            l->path, (unsigned long long)(l->data_first + begin), (unsigned long long)(l->data_first + begin + size));
    return ASH_OK;
}

/* Reads a span to buffer b; *bytes: where its first piece begins there. To verify, all of its checksum's range is read. */
static ash_status fetch(ash_load *l, const span *s, buffer *b, const uint8_t **bytes, ash_error *err)
{
    const piece *first = &l->pieces[s->first], *last = &l->pieces[s->end - 1];
    if (!l->options.verify)
        return read_range(l, first->from, last->from + last->bytes - first->from, b->p, bytes, err);
    uint64_t begin = range_of(first) * ASH_LOAD_PIECE;
    uint64_t size = l->data_bytes - begin < ASH_LOAD_PIECE ? l->data_bytes - begin : ASH_LOAD_PIECE;
    ASH_TRY(read_range(l, begin, size, b->p, bytes, err));
    ASH_TRY(check(l, begin, size, *bytes, err));
    *bytes += first->from - begin;
    return ASH_OK;
}

/* ---- the ring; the lock is held ---- */

static ash_status reap(ash_load *l, ash_error *err)
{
    for (int i = 0; i < ASH_LOAD_BUFFERS; i++) {
        buffer *b = &l->buffers[i];
        if (b->state != BUFFER_COPYING)
            continue;
        int code = l->hip->EventQuery(b->copied);
        if (code == ASH_HIP_NOT_READY)
            continue;
        ASH_TRY(ash_hip_check(l->hip, code, err, "copying weights to the card"));
        b->state = BUFFER_FREE;
        l->waiting_us = 0;
    }
    return ASH_OK;
}

/* Between two looks at the buffers: no call of HIP waits for one of several events. All threads that wait count. */
static ash_status pause_copying(ash_load *l, ash_error *err)
{
    l->waiting_us += PAUSE_US;
    if (l->waiting_us / (ASH_LOAD_READERS * UINT64_C(1000)) > l->options.timeout_ms)
        return ash_hip_hang(l->options.timeout_ms, "copying weights to the card", err);
    pthread_mutex_unlock(&l->lock);
    usleep(PAUSE_US);
    pthread_mutex_lock(&l->lock);
    return ASH_OK;
}

static buffer *free_buffer(ash_load *l)
{
    for (int i = 0; i < ASH_LOAD_BUFFERS; i++)
        if (l->buffers[i].state == BUFFER_FREE)
            return &l->buffers[i];
    return NULL;
}

static void fail(ash_load *l, ash_status status, const ash_error *err)
{
    if (l->status == ASH_OK) {
        l->status = status;
        l->error = *err;
    }
    l->stop = true;
    pthread_cond_broadcast(&l->changed);
}

/* The copies of a span go on the stream; where the front moves, it is marked. */
static ash_status enqueue(ash_load *l, uint32_t index, buffer *b, const uint8_t *bytes, ash_error *err)
{
    const span *s = &l->spans[index];
    const char *what = "copying weights to the card";
    for (uint32_t i = s->first; i < s->end; i++) {
        const piece *p = &l->pieces[i];
        const uint8_t *from = bytes + (p->from - l->pieces[s->first].from);
        void *to = (void *)(uintptr_t)(l->to + p->to);
        ASH_TRY(ash_hip_check(l->hip, l->hip->MemcpyAsync(to, from, p->bytes, ASH_HIP_TO_DEVICE, l->stream), err, what));
        b->state = BUFFER_COPYING; /* from here on the card may read it */
        l->copied_bytes += p->bytes;
    }
    ASH_TRY(ash_hip_check(l->hip, l->hip->EventRecord(b->copied, l->stream), err, what));
    l->enqueued[index] = true;
    uint32_t before = l->front;
    while (l->front < l->count && l->enqueued[l->front])
        l->front++;
    if (l->front == before)
        return ASH_OK;
    const piece *last = &l->pieces[l->spans[l->front - 1].end - 1];
    uint32_t slot = l->marks % MARKS;
    ASH_TRY(ash_hip_check(l->hip, l->hip->EventRecord(l->mark[slot], l->stream), err, "copying weights to the card"));
    l->mark_bytes[slot] = l->front == l->count ? UINT64_MAX : last->to + last->bytes;
    l->marks++;
    pthread_cond_broadcast(&l->changed);
    return ASH_OK;
}

/* Waits for a free buffer; false when there is nothing more to do. */
static bool take(ash_load *l, uint32_t *index, buffer **b)
{
    ash_error err;
    for (;;) {
        if (l->stop || l->next == l->count)
            return false;
        ash_status status = reap(l, &err);
        *b = status == ASH_OK ? free_buffer(l) : NULL;
        if (*b)
            break;
        if (status == ASH_OK)
            status = pause_copying(l, &err);
        if (status != ASH_OK) {
            fail(l, status, &err);
            return false;
        }
    }
    (*b)->state = BUFFER_READING;
    *index = l->next++;
    return true;
}

static void *reader(void *context)
{
    ash_load *l = context;
    uint32_t index;
    buffer *b;
    ash_error err;
    ash_status status = ash_hip_check(l->hip, l->hip->SetDevice(l->device), &err, "choosing the card");
    pthread_mutex_lock(&l->lock);
    if (status != ASH_OK)
        fail(l, status, &err);
    while (take(l, &index, &b)) {
        const uint8_t *bytes;
        pthread_mutex_unlock(&l->lock);
        status = fetch(l, &l->spans[index], b, &bytes, &err);
        pthread_mutex_lock(&l->lock);
        if (status == ASH_OK && !l->stop)
            status = enqueue(l, index, b, bytes, &err);
        if (status != ASH_OK)
            fail(l, status, &err);
        if (b->state == BUFFER_READING)
            b->state = BUFFER_FREE;
        if (l->options.progress && status == ASH_OK)
            l->options.progress(l->options.context, l->copied_bytes, l->total);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- from outside ---- */

static ash_status open_file(ash_load *l, const ashlar_model *model, ash_error *err)
{
    const ash_section_record *data = ash_file_section(model->file, ASH_SECTION_DATA);
    size_t bytes;
    l->path = ash_file_path(model->file);
    l->chunks = (const ash_hash128 *)ash_file_section_bytes(model->file, ASH_SECTION_HASHES, &bytes);
    if (!data)
        return ash_fail(err, ASH_E_FORMAT, "%s has no tensor data: the file is damaged, convert again", l->path);
    l->data_first = data->offset;
    l->data_bytes = data->size;
    l->fd = open(l->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (l->fd < 0 && errno == EINVAL) /* a file system without */
        l->fd = open(l->path, O_RDONLY | O_CLOEXEC);
    return l->fd < 0 ? ash_fail_errno(err, "%s: opening it to load", l->path) : ASH_OK;
}

static ash_status make_ring(ash_load *l, ash_error *err)
{
    const ash_hip *hip = l->hip;
    const char *what = "pinned memory for loading";
    ASH_TRY(ash_hip_check(hip, hip->StreamCreateWithFlags(&l->stream, ASH_HIP_STREAM_NON_BLOCKING), err,
                          "a stream to load"));
    for (int i = 0; i < ASH_LOAD_BUFFERS; i++) {
        ASH_TRY(
            ash_hip_check(hip, hip->HostMalloc((void **)&l->buffers[i].p, ASH_LOAD_PIECE + 2 * PAGE, 0), err, what));
        ASH_TRY(
            ash_hip_check(hip, hip->EventCreateWithFlags(&l->buffers[i].copied, ASH_HIP_EVENT_NO_TIMING), err, what));
    }
    for (int i = 0; i < MARKS; i++)
        ASH_TRY(ash_hip_check(hip, hip->EventCreateWithFlags(&l->mark[i], ASH_HIP_EVENT_NO_TIMING), err, what));
    return ASH_OK;
}

ash_status ash_load_start(const ash_hip *hip, int device, const ashlar_model *model, const ash_hip_plan *plan,
                          uint64_t to, const ash_load_options *options, ash_load **out, ash_error *err)
{
    *out = NULL;
    ash_load *l = calloc(1, sizeof *l);
    if (!l)
        return ash_fail(err, ASH_E_MEMORY, "out of memory to load");
    *l = (ash_load){ .hip = hip, .device = device, .fd = -1, .to = to, .options = *options };
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    ash_status status = open_file(l, model, err);
    if (status == ASH_OK)
        status = cut(l, plan, err);
    if (status == ASH_OK)
        status = make_ring(l, err);
    for (int i = 0; status == ASH_OK && i < ASH_LOAD_READERS; i++) {
        if (pthread_create(&l->reader[i], NULL, reader, l) != 0) {
            if (i == 0)
                status = ash_fail(err, ASH_E_MEMORY, "no thread could be started to load");
            break;
        }
        l->readers++;
    }
    if (status != ASH_OK) {
        ash_error ignored;
        (void)ash_load_finish(l, true, &ignored);
        return status;
    }
    *out = l;
    return ASH_OK;
}

/* The mark that covers the first `bytes`, or NULL; the lock is held. Of several the oldest that is still there. */
static ash_hip_event *covering_mark(const ash_load *l, uint64_t bytes)
{
    uint32_t oldest = l->marks > MARKS ? l->marks - MARKS : 0;
    for (uint32_t i = oldest; i < l->marks; i++)
        if (l->mark_bytes[i % MARKS] >= bytes)
            return l->mark[i % MARKS];
    return NULL;
}

ash_status ash_load_wait(ash_load *l, uint64_t bytes, ash_hip_stream *stream, ash_error *err)
{
    ash_status status = ASH_OK;
    ash_hip_event *mark = NULL;
    pthread_mutex_lock(&l->lock);
    while (!(mark = covering_mark(l, bytes)) && !l->stop)
        pthread_cond_wait(&l->changed, &l->lock);
    if (mark) {
        status = ash_hip_check(l->hip, l->hip->StreamWaitEvent(stream, mark, 0), err, "waiting for weights");
    } else {
        *err = l->error;
        status = l->status != ASH_OK ? l->status : ash_fail(err, ASH_E_CANCELLED, "loading was stopped");
    }
    pthread_mutex_unlock(&l->lock);
    return status;
}

bool ash_load_done(ash_load *l)
{
    pthread_mutex_lock(&l->lock);
    bool done = l->front == l->count;
    pthread_mutex_unlock(&l->lock);
    return done;
}

/* Buffers must not go while the card copies from them; the lock is held. */
static ash_status drain(ash_load *l, ash_error *err)
{
    for (;;) {
        ASH_TRY(reap(l, err));
        bool copying = false;
        for (int i = 0; i < ASH_LOAD_BUFFERS; i++)
            copying = copying || l->buffers[i].state == BUFFER_COPYING;
        if (!copying)
            return ASH_OK;
        ASH_TRY(pause_copying(l, err));
    }
}

ash_status ash_load_finish(ash_load *l, bool cancel, ash_error *err)
{
    const ash_hip *hip = l->hip;
    pthread_mutex_lock(&l->lock);
    l->stop = l->stop || cancel;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    for (uint32_t i = 0; i < l->readers; i++)
        pthread_join(l->reader[i], NULL);
    ash_status status = l->status;
    if (status != ASH_OK)
        *err = l->error;
    ash_error late;
    pthread_mutex_lock(&l->lock);
    ash_status drained = ash_hip_hangs() ? ASH_OK : drain(l, &late);
    pthread_mutex_unlock(&l->lock);
    if (status == ASH_OK && drained != ASH_OK) {
        status = drained;
        *err = late;
    }
    if (ash_hip_hangs())
        return status;
    for (int i = 0; i < ASH_LOAD_BUFFERS; i++) {
        if (l->buffers[i].copied)
            hip->EventDestroy(l->buffers[i].copied);
        if (l->buffers[i].p)
            hip->HostFree(l->buffers[i].p);
    }
    for (int i = 0; i < MARKS; i++)
        if (l->mark[i])
            hip->EventDestroy(l->mark[i]);
    if (l->stream)
        hip->StreamDestroy(l->stream);
    if (l->fd >= 0)
        close(l->fd);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l->pieces);
    free(l->spans);
    free(l->enqueued);
    free(l);
    return status;
}
