/* Streams, each a thread that does one work after the other, and events between them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/hip/state.h"

#define QUERY_NS 500000

/* ---- work ---- */

work *standin_work_new(work_kind kind)
{
    work *w = calloc(1, sizeof *w);
    if (w)
        w->kind = kind;
    return w;
}

void standin_event_drop(event *e)
{
    if (e && --e->users == 0)
        free(e);
}

void standin_work_free(work *w)
{
    if (!w)
        return;
    free(w->args);
    standin_event_drop(w->event);
    standin_graph_drop(w->graph);
    free(w);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static uint64_t random_next(stream *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ z >> 27;
}

/* ---- the thread ---- */

/* Nothing waits for this thread any more; what waits for its stream waits for ever. */
static void hang(stream *s)
{
    s->hung = true;
    standin_write_report();
    pthread_detach(pthread_self());
    for (;;)
        pthread_cond_wait(&all.changed, &all.lock);
}

static void delay(stream *s)
{
    if (!all.delay_us)
        return;
    uint64_t us = random_next(s) % (all.delay_us + 1);
    struct timespec pause = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
    pthread_mutex_unlock(&all.lock);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&all.lock);
}

static void perform(stream *s, const work *w)
{
    card_info *c = &all.cards[s->card];
    if (w->hang)
        hang(s);
    if (!c->failed)
        c->failed = w->fail;
    if (w->skip)
        return;
    if (w->kind == RECORD) {
        w->event->done = w->number > w->event->done ? w->number : w->event->done;
        w->event->ms = now_ms();
    }
    while (w->kind == WAIT && w->event->done < w->number && !c->failed)
        pthread_cond_wait(&all.changed, &all.lock);
    for (const work *node = w->kind == RUN_GRAPH ? w->graph->first : NULL; node; node = node->next)
        perform(s, node);
    if (w->kind == RECORD || w->kind == WAIT || w->kind == RUN_GRAPH || c->failed)
        return;
    delay(s);
    int code = standin_run(w, s->card, random_next(s));
    if (!c->failed)
        c->failed = code;
}

static void *run_stream(void *arg)
{
    stream *s = arg;
    pthread_mutex_lock(&all.lock);
    for (;;) {
        while (s->first ? all.held : !s->ending)
            pthread_cond_wait(&all.changed, &all.lock);
        if (!s->first)
            break;
        perform(s, s->first);
        work *done = s->first;
        s->first = done->next;
        standin_work_free(done);
        pthread_cond_broadcast(&all.changed);
    }
    pthread_mutex_unlock(&all.lock);
    return NULL;
}

void standin_hold(bool hold)
{
    pthread_mutex_lock(&all.lock);
    all.held = hold;
    pthread_cond_broadcast(&all.changed);
    pthread_mutex_unlock(&all.lock);
}

static bool is_busy(int card)
{
    size_t i = 0;
    for (const stream *s; (s = standin_handle_next(&i, STREAM, false)) != NULL;)
        if ((card < 0 || s->card == card) && s->first)
            return true;
    return false;
}

void standin_wait_idle(int card)
{
    while (is_busy(card))
        pthread_cond_wait(&all.changed, &all.lock);
}

int standin_enqueue(stream *s, work *w)
{
    int code = s->capture_broken ? STANDIN_CAPTURE_INVALIDATED : all.cards[s->card].failed;
    if (code != STANDIN_SUCCESS) {
        standin_work_free(w);
        return code;
    }
    work **first = s->capture ? &s->capture->first : &s->first, **last = s->capture ? &s->capture->last : &s->last;
    if (*first)
        (*last)->next = w;
    else
        *first = w;
    *last = w;
    if (s->capture)
        s->capture->count++;
    else
        pthread_cond_broadcast(&all.changed);
    return STANDIN_SUCCESS;
}

/* ---- streams ---- */

int hipStreamCreateWithFlags(standin_stream **out, unsigned flags)
{
    int code = standin_enter(STANDIN_StreamCreateWithFlags);
    if (code == STANDIN_SUCCESS && flags > 1)
        code = standin_refuse(STANDIN_INVALID_VALUE, "hipStreamCreateWithFlags with flags %u", flags);
    stream *s = code == STANDIN_SUCCESS ? calloc(1, sizeof *s) : NULL;
    uint64_t handle = s ? standin_handle_new(STREAM, s) : 0;
    if (handle) {
        s->card = standin_card();
        s->random = all.seed + handle;
        if (pthread_create(&s->thread, NULL, run_stream, s) != 0) {
            standin_handle_end(standin_pointer(handle));
            handle = 0;
        }
    }
    if (handle) {
        all.counts.streams++;
        *out = standin_pointer(handle);
    } else if (code == STANDIN_SUCCESS) {
        free(s);
        code = STANDIN_OUT_OF_MEMORY;
    }
    return standin_leave(STANDIN_StreamCreateWithFlags, code);
}

void standin_stream_end(stream *s)
{
    while (s->first)
        pthread_cond_wait(&all.changed, &all.lock);
    s->ending = true;
    pthread_cond_broadcast(&all.changed);
    pthread_mutex_unlock(&all.lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_lock(&all.lock);
    standin_graph_drop(s->capture);
    free(s);
}

int hipStreamDestroy(standin_stream *handle)
{
    int code = standin_enter(STANDIN_StreamDestroy);
    stream *s = code == STANDIN_SUCCESS ? standin_handle_find(handle, STREAM) : NULL;
    if (s) {
        if (s->capture)
            standin_refuse(0, "a stream ends while it captures");
        while (s->first) /* the handle lives so long: what waits for the device waits for it too */
            pthread_cond_wait(&all.changed, &all.lock);
        standin_handle_end(handle);
        standin_stream_end(s);
        all.counts.streams--;
    } else if (code == STANDIN_SUCCESS) {
        code = STANDIN_INVALID_HANDLE;
    }
    return standin_leave(STANDIN_StreamDestroy, code);
}

int hipStreamWaitEvent(standin_stream *stream_handle, standin_event *event_handle, unsigned flags)
{
    int code = standin_enter(STANDIN_StreamWaitEvent);
    stream *s = code == STANDIN_SUCCESS ? standin_handle_find(stream_handle, STREAM) : NULL;
    event *e = s ? standin_handle_find(event_handle, EVENT) : NULL;
    work *w = e && e->recorded && !s->capture && !e->capture ? standin_work_new(WAIT) : NULL;
    if (code == STANDIN_SUCCESS && (!e || flags))
        code = e ? STANDIN_INVALID_VALUE : STANDIN_INVALID_HANDLE;
    else if (e && s->capture && e->capture != s->capture) {
        s->capture_broken = true;
        code = standin_refuse(STANDIN_CAPTURE_ISOLATION, "a capture waits for an event of outside");
    } else if (e && !s->capture && e->capture)
        code = standin_refuse(STANDIN_CAPTURED_EVENT, "a stream waits for an event of a capture");
    if (w && code == STANDIN_SUCCESS) {
        w->event = e;
        w->number = e->recorded;
        e->users++;
        code = standin_enqueue(s, w);
    } else {
        standin_work_free(w);
    }
    return standin_leave(STANDIN_StreamWaitEvent, code);
}

/* ---- events ---- */

int hipEventCreateWithFlags(standin_event **out, unsigned flags)
{
    int code = standin_enter(STANDIN_EventCreateWithFlags);
    if (code == STANDIN_SUCCESS && flags & ~3u)
        code = standin_refuse(STANDIN_INVALID_VALUE, "hipEventCreateWithFlags with flags %u", flags);
    event *e = code == STANDIN_SUCCESS ? calloc(1, sizeof *e) : NULL;
    uint64_t handle = e ? standin_handle_new(EVENT, e) : 0;
    if (handle) {
        e->users = 1;
        e->timed = !(flags & 2);
        all.counts.events++;
        *out = standin_pointer(handle);
    } else if (code == STANDIN_SUCCESS) {
        free(e);
        code = STANDIN_OUT_OF_MEMORY;
    }
    return standin_leave(STANDIN_EventCreateWithFlags, code);
}

int hipEventRecord(standin_event *event_handle, standin_stream *stream_handle)
{
    int code = standin_enter(STANDIN_EventRecord);
    event *e = code == STANDIN_SUCCESS ? standin_handle_find(event_handle, EVENT) : NULL;
    stream *s = e ? standin_handle_find(stream_handle, STREAM) : NULL;
    work *w = s && !s->capture ? standin_work_new(RECORD) : NULL;
    if (code != STANDIN_SUCCESS) {
        standin_work_free(w);
    } else if (!s) {
        code = STANDIN_INVALID_HANDLE;
    } else if (s->capture) {
        code = s->capture_broken ? STANDIN_CAPTURE_INVALIDATED : STANDIN_SUCCESS;
        e->capture = s->capture;
    } else if (!w) {
        code = STANDIN_OUT_OF_MEMORY;
    } else {
        w->event = e;
        w->number = ++e->recorded;
        e->users++;
        e->capture = NULL;
        code = standin_enqueue(s, w);
    }
    return standin_leave(STANDIN_EventRecord, code);
}

/* The stream whose capture recorded e, as long as it captures. */
static stream *capturer_of(const event *e)
{
    size_t i = 0;
    stream *s = NULL;
    while (e->capture && (s = standin_handle_next(&i, STREAM, false)) != NULL && s->capture != e->capture)
        ;
    return s;
}

static int query(const event *e)
{
    stream *s = capturer_of(e);
    if (s)
        s->capture_broken = true;
    if (e->capture)
        return standin_refuse(s ? STANDIN_CAPTURE_UNSUPPORTED : STANDIN_CAPTURED_EVENT,
                              "hipEventQuery of an event of a capture");
    return STANDIN_SUCCESS;
}

static bool is_under_way(const event *e)
{
    int current = standin_card();
    return !e->capture && e->done < e->recorded && current >= 0 && !all.cards[current].failed;
}

/* A caller that asks again and again would take the processor from the kernel that it asks for: so "not ready" comes
 * after half a millisecond. */
static void wait_a_little(const event *e)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += QUERY_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (is_under_way(e) && !all.held && pthread_cond_timedwait(&all.changed, &all.lock, &until) == 0)
        ;
}

int hipEventQuery(standin_event *handle)
{
    standin_begin(STANDIN_EventQuery);
    event *e = standin_handle_find(handle, EVENT);
    int code = STANDIN_NOT_READY;
    if (e) {
        e->users++; /* another thread may destroy it meanwhile */
        wait_a_little(e);
    }
    if (!e || !is_under_way(e)) {
        code = standin_admit(STANDIN_EventQuery);
        if (code == STANDIN_SUCCESS)
            code = e ? query(e) : STANDIN_INVALID_HANDLE;
    }
    standin_event_drop(e);
    return standin_leave(STANDIN_EventQuery, code);
}

int hipEventElapsedTime(float *ms, standin_event *from_handle, standin_event *to_handle)
{
    int code = standin_enter(STANDIN_EventElapsedTime);
    const event *from = code == STANDIN_SUCCESS ? standin_handle_find(from_handle, EVENT) : NULL;
    const event *to = from ? standin_handle_find(to_handle, EVENT) : NULL;
    if (code == STANDIN_SUCCESS && (!to || !from->timed || !to->timed || !from->recorded || !to->recorded))
        code = standin_refuse(STANDIN_INVALID_HANDLE, "hipEventElapsedTime of events that are untimed or not recorded");
    else if (code == STANDIN_SUCCESS && (from->done < from->recorded || to->done < to->recorded))
        code = STANDIN_NOT_READY;
    else if (code == STANDIN_SUCCESS)
        *ms = (float)(to->ms - from->ms);
    return standin_leave(STANDIN_EventElapsedTime, code);
}

int hipEventDestroy(standin_event *handle)
{
    int code = standin_enter(STANDIN_EventDestroy);
    event *e = code == STANDIN_SUCCESS ? standin_handle_find(handle, EVENT) : NULL;
    if (e) {
        standin_handle_end(handle);
        standin_event_drop(e);
        all.counts.events--;
    } else if (code == STANDIN_SUCCESS) {
        code = STANDIN_INVALID_HANDLE;
    }
    return standin_leave(STANDIN_EventDestroy, code);
}
