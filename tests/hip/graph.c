/* Captures and graphs: a list of work that runs in its order. */
#include <stdlib.h>
#include <string.h>

#include "tests/hip/state.h"

#define THREAD_LOCAL 1 /* hipStreamCaptureModeThreadLocal */
#define STALE UINT64_C(0xa5a5a5a5a5a5a500) /* a pointer that was */

void standin_graph_drop(graph *g)
{
    if (!g || --g->users != 0)
        return;
    while (g->first) {
        work *w = g->first;
        g->first = w->next;
        standin_work_free(w);
    }
    free(g);
}

bool standin_capturing(bool and_break)
{
    size_t i = 0;
    bool found = false;
    for (stream *s; (s = standin_handle_next(&i, STREAM, false)) != NULL;)
        if (s->capture && pthread_equal(s->capturer, pthread_self())) {
            found = true;
            s->capture_broken = s->capture_broken || and_break;
        }
    return found;
}

/* ---- captures ---- */

int hipStreamBeginCapture(standin_stream *handle, int mode)
{
    int code = standin_enter(STANDIN_StreamBeginCapture);
    stream *s = code == STANDIN_SUCCESS ? standin_handle_find(handle, STREAM) : NULL;
    if (code == STANDIN_SUCCESS && !s)
        code = STANDIN_INVALID_HANDLE;
    else if (s && s->capture)
        code = standin_refuse(STANDIN_ILLEGAL_STATE, "a stream that captures begins to capture");
    else if (s && mode != THREAD_LOCAL)
        code = standin_refuse(STANDIN_INVALID_VALUE, "a capture of mode %d: only thread-local is offered", mode);
    else if (s && !(s->capture = calloc(1, sizeof *s->capture)))
        code = STANDIN_OUT_OF_MEMORY;
    if (code == STANDIN_SUCCESS) {
        s->capture->users = 1;
        s->capture_broken = false;
        s->capturer = pthread_self();
        all.counts.captures++;
    }
    return standin_leave(STANDIN_StreamBeginCapture, code);
}

/* Ends the capture in any case but that of another thread. */
int hipStreamEndCapture(standin_stream *handle, standin_graph **out)
{
    int code = standin_enter(STANDIN_StreamEndCapture);
    stream *s = standin_handle_find(handle, STREAM);
    *out = NULL;
    if (!s || !s->capture) {
        code = code != STANDIN_SUCCESS ? code : !s ? STANDIN_INVALID_HANDLE
               : standin_refuse(STANDIN_ILLEGAL_STATE, "a capture ends that has not begun");
        return standin_leave(STANDIN_StreamEndCapture, code);
    }
    if (!pthread_equal(s->capturer, pthread_self())) {
        code = standin_refuse(STANDIN_CAPTURE_WRONG_THREAD, "another thread ends a capture");
        return standin_leave(STANDIN_StreamEndCapture, code);
    }
    graph *g = s->capture;
    s->capture = NULL;
    if (code == STANDIN_SUCCESS && s->capture_broken)
        code = STANDIN_CAPTURE_INVALIDATED;
    s->capture_broken = false;
    uint64_t at = code == STANDIN_SUCCESS ? standin_handle_new(GRAPH, g) : 0;
    if (at) {
        all.counts.graphs++;
        *out = standin_pointer(at);
    } else {
        standin_graph_drop(g);
        code = code == STANDIN_SUCCESS ? STANDIN_OUT_OF_MEMORY : code;
    }
    return standin_leave(STANDIN_StreamEndCapture, code);
}

int hipGraphDestroy(standin_graph *handle)
{
    int code = standin_enter(STANDIN_GraphDestroy);
    graph *g = code == STANDIN_SUCCESS ? standin_handle_find(handle, GRAPH) : NULL;
    if (g) {
        standin_handle_end(handle);
        standin_graph_drop(g);
        all.counts.graphs--;
    } else if (code == STANDIN_SUCCESS) {
        code = STANDIN_INVALID_HANDLE;
    }
    return standin_leave(STANDIN_GraphDestroy, code);
}

/* ---- instantiated graphs ---- */

/* Every pointer among the arguments; numbers stay. */
static void make_stale(work *w)
{
    const uint64_t stale = STALE;
    for (size_t at = 0; at + sizeof stale <= w->args_bytes; at += sizeof stale) {
        uint64_t word;
        memcpy(&word, w->args + at, sizeof word);
        if (standin_is_device(standin_pointer(word)))
            memcpy(w->args + at, &stale, sizeof stale);
    }
    w->to = standin_pointer(stale);
}

static work *copy_node(const work *from, bool stale)
{
    work *w = standin_work_new(from->kind);
    if (!w)
        return NULL;
    *w = *from;
    w->next = NULL;
    w->args = from->args ? aligned_alloc(64, (from->args_bytes + 63) / 64 * 64) : NULL;
    if (from->args && !w->args) {
        free(w);
        return NULL;
    }
    if (w->args)
        memcpy(w->args, from->args, from->args_bytes);
    if (stale)
        make_stale(w);
    return w;
}

static graph *instantiate(const graph *from)
{
    graph *g = calloc(1, sizeof *g);
    uint32_t i = 0;
    if (!g)
        return NULL;
    *g = (graph){ .users = 1, .count = from->count, .kernels = from->kernels };
    for (const work *node = from->first; node; node = node->next, i++) {
        work *w = copy_node(node, i + 1 >= STANDIN_GRAPH_NODES);
        if (!w) {
            standin_graph_drop(g);
            return NULL;
        }
        if (g->last)
            g->last->next = w;
        else
            g->first = w;
        g->last = w;
    }
    return g;
}

int hipGraphInstantiate(standin_graph_exec **out, standin_graph *handle, void *node, char *log, size_t log_bytes)
{
    int code = standin_enter(STANDIN_GraphInstantiate);
    const graph *from = code == STANDIN_SUCCESS ? standin_handle_find(handle, GRAPH) : NULL;
    graph *g = from ? instantiate(from) : NULL;
    uint64_t at = g ? standin_handle_new(GRAPH_EXEC, g) : 0;
    (void)node;
    if (log && log_bytes)
        *log = 0;
    if (at) {
        all.counts.graph_execs++;
        *out = standin_pointer(at);
    } else if (code == STANDIN_SUCCESS) {
        standin_graph_drop(g);
        code = from ? STANDIN_OUT_OF_MEMORY : STANDIN_INVALID_HANDLE;
    }
    return standin_leave(STANDIN_GraphInstantiate, code);
}

static int launch(graph *g, stream *s)
{
    if (s->capture) {
        s->capture_broken = true;
        return standin_refuse(STANDIN_CAPTURE_UNSUPPORTED, "a graph is launched into a capture");
    }
    work *w = standin_work_new(RUN_GRAPH);
    if (!w)
        return STANDIN_OUT_OF_MEMORY;
    w->graph = g;
    g->users++;
    standin_mark(STANDIN_GraphLaunch, w);
    int code = standin_enqueue(s, w);
    if (code != STANDIN_SUCCESS)
        return code;
    all.counts.graph_launches++;
    all.counts.graph_kernels += g->kernels;
    for (const work *node = g->first; node; node = node->next)
        standin_count_work(node);
    return STANDIN_SUCCESS;
}

int hipGraphLaunch(standin_graph_exec *exec, standin_stream *stream_handle)
{
    int code = standin_enter(STANDIN_GraphLaunch);
    graph *g = code == STANDIN_SUCCESS ? standin_handle_find(exec, GRAPH_EXEC) : NULL;
    stream *s = g ? standin_handle_find(stream_handle, STREAM) : NULL;
    if (code == STANDIN_SUCCESS)
        code = s ? launch(g, s) : STANDIN_INVALID_HANDLE;
    return standin_leave(STANDIN_GraphLaunch, code);
}

int hipGraphExecDestroy(standin_graph_exec *exec)
{
    int code = standin_enter(STANDIN_GraphExecDestroy);
    graph *g = code == STANDIN_SUCCESS ? standin_handle_find(exec, GRAPH_EXEC) : NULL;
    if (g) {
        standin_handle_end(exec);
        standin_graph_drop(g);
        all.counts.graph_execs--;
    } else if (code == STANDIN_SUCCESS) {
        code = STANDIN_INVALID_HANDLE;
    }
    return standin_leave(STANDIN_GraphExecDestroy, code);
}
