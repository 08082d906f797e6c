#include "runtime/command/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "runtime/command/cache.h"

void engine_defaults(engine *e)
{
    *e = (engine){ .activations = "auto", .level = "best", .device = "cpu", .cache = "f16", .sampling = ashlar_sampler_defaults() };
}

/* A verb with DEVICE_OPTIONS takes a card where there is one. */
void engine_may_use_cards(engine *e) { e->device = "auto"; }

static progress loading;

static void show_loading(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress_update(&loading, done, total);
    if (done == total)
        progress_end(&loading); /* the answer may be on its way already */
}

static void device_options(const engine *e, ashlar_session_options *out)
{
    out->device = e->device;
    out->card_layers = e->card_layers;
    out->no_graph = e->no_graph;
    out->verify = e->verify;
    if (strcmp(e->device, "cpu") != 0) {
        progress_start(&loading, "loading");
        out->load_progress = show_loading;
    }
}

static bool session_options(const engine *e, const usage *u, ashlar_session_options *out, int *code)
{
    static const char *const kinds[] = { "auto", "float", "int8" }, *const caches[] = { "f16", "fp8", "q8_0" };
    *out = (ashlar_session_options){ .context = e->context, .threads = e->threads, .activations = -1, .cache = -1 };
    for (int i = 0; i < 3; i++)
        if (strcmp(e->activations, kinds[i]) == 0)
            out->activations = i; /* ASHLAR_ACT_AUTO, _FLOAT, _INT8 */
    for (int i = 0; i < 3; i++)
        if (strcmp(e->cache, caches[i]) == 0)
            out->cache = i; /* ASHLAR_CACHE_F16, _FP8, _Q8_0 */
    if (out->cache < 0) {
        *code = usage_error(u, "--kv %s is not f16, fp8 or q8_0", e->cache);
        return false;
    }
    if (out->activations < 0) {
        *code = usage_error(u, "--act %s is not auto, float or int8", e->activations);
        return false;
    }
    device_options(e, out);
    if (strcmp(e->level, "best") == 0)
        return true;
    for (int level = 0; level < ASH_LEVEL_COUNT; level++)
        if (strcmp(e->level, ash_level_name((ash_level)level)) == 0)
            out->cpu_level = level + 1;
    if (out->cpu_level == 0) {
        *code = usage_error(u, "--cpu %s is not known", e->level);
        return false;
    }
    if (!ash_level_has((ash_level)(out->cpu_level - 1))) {
        *code = fail("--cpu %s: this machine does not have it; its best is %s", e->level,
                     ash_level_name(ash_level_detect()));
        return false;
    }
    return true;
}

bool open_model(const char *path, ashlar_model **model, int *code)
{
    cached file;
    ash_error unopened;
    ashlar_error err;
    if (cache_open(path, &file, &unopened) != ASH_OK) {
        *code = fail_with(&unopened);
        return false;
    }
    bool loaded = ashlar_model_load(file.path, model, &err) == ASHLAR_OK;
    cache_close(&file);
    if (!loaded)
        *code = fail_public(&err);
    return loaded;
}

bool engine_open(engine *e, const usage *u, const char *path, int *code)
{
    ashlar_session_options options;
    if (!session_options(e, u, &options, code))
        return false;
    e->options = options;
    e->cpu_level = options.cpu_level;
    ashlar_error err;
    if (!open_model(path, &e->model, code))
        return false;
    ashlar_model_describe(e->model, &e->info);
    if (ashlar_session_new(e->model, &options, &e->session, &err) != ASHLAR_OK ||
        ashlar_sampler_new(&e->sampling, e->info.vocab, &e->sampler, &err) != ASHLAR_OK) {
        *code = fail_public(&err);
        engine_close(e);
        return false;
    }
    e->load_s = seconds_since_start();
    return true;
}

void engine_close(engine *e)
{
    if (ashlar_card_hangs()) { /* to free anything of it would hang too */
        fflush(NULL);
        _exit(EXIT_FAILED);
    }
    ashlar_sampler_free(e->sampler);
    ashlar_session_free(e->session);
    ashlar_model_free(e->model);
    e->sampler = NULL, e->session = NULL, e->model = NULL;
}

void print_device(const engine *e)
{
    const char *where = ashlar_session_device(e->session);
    if (strcmp(where, "cpu") != 0)
        fprintf(stderr, "device %s\n", where);
}

void print_context(const engine *e)
{
    print_device(e);
    char size[32];
    fprintf(stderr, "context %u tokens, KV cache %s\n", ashlar_session_context(e->session),
            bytes_text(ashlar_session_kv_bytes(e->session), size));
}

/* ---- text ---- */

static bool keep(text_stream *s, const char *bytes, size_t size)
{
    if (s->out) {
        for (size_t i = 0; i < size; i++) {
            unsigned char b = (unsigned char)bytes[i];
            putc(s->plain && (b < 0x20 || b == 0x7f) && b != '\n' && b != '\t' ? ' ' : b, s->out);
        }
        fflush(s->out);
    }
    if (s->kept_bytes + size + 1 > s->room) {
        size_t room = 2 * (s->kept_bytes + size + 1) + 256;
        char *bigger = realloc(s->kept, room);
        if (!bigger)
            return false;
        s->kept = bigger, s->room = room;
    }
    if (size != 0)
        memcpy(s->kept + s->kept_bytes, bytes, size);
    s->kept_bytes += size;
    s->kept[s->kept_bytes] = 0;
    return true;
}

bool text_stream_token(text_stream *s, const ashlar_model *model, int32_t id)
{
    const char *text;
    size_t size;
    ashlar_error err;
    unsigned flags = s->continues ? ASHLAR_DETOKENIZE_CONTINUE : 0;
    if (!s->detokenizer && ashlar_detokenizer_new(model, flags, &s->detokenizer, &err) != ASHLAR_OK)
        return false;
    return ashlar_detokenizer_push(s->detokenizer, id, &text, &size, &err) == ASHLAR_OK && keep(s, text, size);
}

void text_stream_end(text_stream *s)
{
    const char *rest;
    size_t size;
    ashlar_error err;
    if (s->detokenizer && ashlar_detokenizer_finish(s->detokenizer, &rest, &size, &err) == ASHLAR_OK)
        keep(s, rest, size);
    else
        keep(s, "", 0);
    ashlar_detokenizer_free(s->detokenizer);
    s->detokenizer = NULL;
}

/* ---- sampling loop ---- */

/* What the next feed is to leave: without chance or penalties the token is chosen where the model runs. */
static unsigned wanted(const engine *e)
{
    uint32_t top = ashlar_sampler_top(e->sampler);
    if (e->sampling.temperature == 0 && e->sampling.repeat_penalty == 1)
        return ASHLAR_FEED_CHOOSE;
    return top && top <= ASHLAR_TOP ? ASHLAR_FEED_TOP : 0;
}

static int32_t next_token(engine *e)
{
    const float *logits = ashlar_session_logits(e->session, 0), *largest;
    const int32_t *ids;
    size_t count = ashlar_session_top(e->session, &ids, &largest);
    if (count)
        return ashlar_sampler_next_of(e->sampler, ids, largest, count);
    return logits ? ashlar_sampler_next(e->sampler, logits) : ashlar_session_choice(e->session);
}

generate_end generate(engine *e, uint32_t limit, text_stream *stream, generated *out, ashlar_error *err)
{
    size_t room = out->count; /* what is there is as large as that or larger */
    double started = 0, before = out->seconds;
    for (;;) {
        if (interrupted)
            return END_INTERRUPT;
        if (out->count == limit)
            return END_LIMIT;
        int32_t id = next_token(e);
        if (out->count == room) {
            room = 2 * room + 64;
            int32_t *bigger = realloc(out->ids, room * sizeof *bigger);
            if (!bigger)
                goto no_memory;
            out->ids = bigger;
        }
        out->ids[out->count++] = id;
        ashlar_sampler_accept(e->sampler, id);
        if (ashlar_is_stop(e->model, id))
            return END_STOP;
        if (stream && !text_stream_token(stream, e->model, id))
            goto no_memory;
        if (out->count == limit)
            return END_LIMIT;
        if (ashlar_session_position(e->session) == ashlar_session_context(e->session))
            return END_CONTEXT;
        if (started == 0)
            started = seconds_now();
        int status = ashlar_session_feed(e->session, &id, 1, wanted(e), err);
        if (status == ASHLAR_ERROR_CANCELLED)
            return END_INTERRUPT;
        if (status != ASHLAR_OK)
            return END_ERROR;
        out->fed++;
        out->seconds = before + seconds_now() - started;
    }
no_memory:
    *err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory while generating" };
    return END_ERROR;
}
