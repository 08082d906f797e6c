/* Copies, fills and launches: checked when they are enqueued, and again when they run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/hip/state.h"

/* ---- running ---- */

static const char *const directions[] = { "", "to the device", "to the host", "on the device" };

/* Both ranges of a copy, or the one of a fill. */
static int check_ranges(const work *w, int card, bool *unpinned)
{
    bool from_host = w->direction == STANDIN_TO_DEVICE, to_host = w->direction == STANDIN_TO_HOST;
    char room[96];
    if (!standin_region(w->to, w->bytes, to_host ? -1 : card)) {
        *unpinned = to_host;
        return standin_refuse(STANDIN_INVALID_VALUE, "a %s of %zu bytes %s goes to %s",
                              w->kind == FILL ? "fill" : "copy", w->bytes, directions[w->direction],
                              standin_where(w->to, room));
    }
    if (w->kind == COPY && !standin_region(w->from, w->bytes, from_host ? -1 : card)) {
        *unpinned = from_host;
        return standin_refuse(STANDIN_INVALID_VALUE, "a copy of %zu bytes %s comes from %s", w->bytes,
                              directions[w->direction], standin_where(w->from, room));
    }
    return STANDIN_SUCCESS;
}

static uint32_t processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

static int run_kernel(const work *w, int card, uint64_t seed)
{
    const function *f = standin_function_find(standin_pointer(w->function));
    size_t count;
    gfx_error err;
    if (f && !gfx_kernel_decode(f->kernel, &err))
        return standin_refuse(STANDIN_LAUNCH_FAILURE, "%s", err.text);
    gfx_buffer *buffers = f ? standin_buffers(card, &count) : NULL;
    if (!buffers)
        return STANDIN_LAUNCH_FAILURE;
    gfx_launch l = { .kernel = f->kernel, .grid = { w->grid[0], w->grid[1], w->grid[2] },
                     .block = { w->block[0], w->block[1], w->block[2] }, .args = w->args, .buffers = buffers,
                     .buffer_count = count, .seed = seed ? seed : 1, .threads = processors() };
    pthread_mutex_unlock(&all.lock);
    bool fine = gfx_run(&l, NULL, &err);
    pthread_mutex_lock(&all.lock);
    free(buffers);
    if (fine)
        return STANDIN_SUCCESS;
    bool outside = strstr(err.text, " bytes at ") != NULL;
    return standin_refuse(outside ? STANDIN_ILLEGAL_ADDRESS : STANDIN_LAUNCH_FAILURE, "%s", err.text);
}

int standin_run(const work *w, int card, uint64_t seed)
{
    bool ignored;
    if (w->kind == LAUNCH)
        return run_kernel(w, card, seed);
    if (w->bytes && check_ranges(w, card, &ignored) != STANDIN_SUCCESS)
        return STANDIN_ILLEGAL_ADDRESS;
    pthread_mutex_unlock(&all.lock);
    if (w->kind == FILL && w->bytes)
        memset(w->to, w->value, w->bytes);
    else if (w->bytes)
        memcpy(w->to, w->from, w->bytes);
    pthread_mutex_lock(&all.lock);
    return STANDIN_SUCCESS;
}

void standin_count_work(const work *w)
{
    standin_counts *c = &all.counts;
    if (w->kind == COPY) {
        c->copies[w->direction]++;
        c->copied_bytes[w->direction] += w->bytes;
    } else if (w->kind == FILL) {
        c->fills++;
        c->filled_bytes += w->bytes;
    }
}

/* ---- calls ---- */

static int move(standin_call call, standin_stream *handle, const work *what)
{
    stream *s = standin_handle_find(handle, STREAM);
    bool unpinned = false;
    if (!s)
        return STANDIN_INVALID_HANDLE;
    int code = what->bytes ? check_ranges(what, s->card, &unpinned) : STANDIN_SUCCESS;
    all.counts.unpinned += unpinned;
    if (code != STANDIN_SUCCESS)
        return code;
    work *w = standin_work_new(what->kind);
    if (!w)
        return STANDIN_OUT_OF_MEMORY;
    *w = *what;
    standin_mark(call, w);
    code = standin_enqueue(s, w);
    if (code == STANDIN_SUCCESS && !s->capture)
        standin_count_work(what);
    return code;
}

int hipMemcpyAsync(void *to, const void *from, size_t bytes, int kind, standin_stream *on)
{
    int code = standin_enter(STANDIN_MemcpyAsync);
    work w = { .kind = COPY, .to = to, .from = from, .bytes = bytes, .direction = kind };
    if (code == STANDIN_SUCCESS && (kind < STANDIN_TO_DEVICE || kind > STANDIN_ON_DEVICE))
        code = standin_refuse(STANDIN_INVALID_VALUE, "a copy of kind %d", kind);
    if (code == STANDIN_SUCCESS)
        code = move(STANDIN_MemcpyAsync, on, &w);
    return standin_leave(STANDIN_MemcpyAsync, code);
}

int hipMemsetAsync(void *to, int value, size_t bytes, standin_stream *on)
{
    int code = standin_enter(STANDIN_MemsetAsync);
    work w = { .kind = FILL, .to = to, .value = value, .bytes = bytes, .direction = STANDIN_ON_DEVICE };
    if (code == STANDIN_SUCCESS)
        code = move(STANDIN_MemsetAsync, on, &w);
    return standin_leave(STANDIN_MemsetAsync, code);
}
