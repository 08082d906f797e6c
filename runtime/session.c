#include "runtime/session.h"

#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "runtime/api.h"
#include "runtime/hip/card.h"
#include "runtime/pass.h"

#define DEFAULT_CONTEXT 8192

/* Hands out 64-byte aligned pieces of one reservation: first counts (base NULL), then points. */
typedef struct arena {
    uint8_t *base;
    uint64_t used;
    bool overflow;
} arena;

static void *piece(arena *a, uint64_t count, uint64_t elem_bytes)
{
    uint64_t bytes, end;
    if (!ash_mul(count, elem_bytes, &bytes) || !ash_add(a->used, bytes, &end) || !ash_round_up(end, 64, &end)) {
        a->overflow = true;
        return NULL;
    }
    void *p = a->base ? a->base + a->used : NULL;
    a->used = end;
    return p;
}

static ash_acts_buffer acts_piece(arena *a, uint64_t tokens, uint64_t cols)
{
    return (ash_acts_buffer){ .f32 = piece(a, tokens * cols, sizeof(float)),
                              .q8 = piece(a, 2 * tokens * cols, 1),
                              .q8_scale = piece(a, 2 * tokens * cols / 32, sizeof(float)),
                              .q8_sum = piece(a, 2 * tokens * cols / 16, sizeof(int16_t)),
                              .bf16 = piece(a, tokens * cols, sizeof(uint16_t)) };
}

static int64_t max3(int64_t a, int64_t b, int64_t c) { return a > b ? (a > c ? a : c) : b > c ? b : c; }

static void place_buffers(ashlar_session *s, arena *a)
{
    const ash_hparams *h = &s->model->meta.h;
    uint64_t batch = s->context < ASH_BATCH ? s->context : ASH_BATCH;
    batch = batch < ASHLAR_SESSIONS_MAX ? ASHLAR_SESSIONS_MAX : batch;
    s->x_stride = ash_pad_cols(h->hidden);
    s->qkv_stride = ash_pad_cols(s->model->layers[0].qkv.row_elems);
    s->attn_stride = ash_pad_cols((int64_t)h->heads * h->head_dim);
    s->h_stride = ash_pad_cols(h->ffn);
    uint64_t widest = (uint64_t)max3(s->x_stride, s->attn_stride, s->h_stride);
    s->x = piece(a, batch * (uint64_t)s->x_stride, sizeof(float));
    s->qkv = piece(a, batch * (uint64_t)s->qkv_stride, sizeof(float));
    s->attn = piece(a, batch * (uint64_t)s->attn_stride, sizeof(float));
    s->h = piece(a, batch * (uint64_t)s->h_stride, sizeof(float));
    for (int i = 0; i < ASH_PARTS_MAX; i++)
        s->shared[i] = acts_piece(a, batch, widest);
    for (uint32_t t = 0; t < ash_pool_threads(s->pool); t++) {
        ash_thread_buffers *own = &s->thread[t];
        for (int i = 0; i < ASH_PARTS_MAX; i++)
            own->input[i] = acts_piece(a, 1, widest);
        own->y = piece(a, ASH_THREAD_ROW_ELEMS, sizeof(float));
        own->scratch = piece(a, ASH_SCRATCH_BYTES, 1);
    }
    s->parts = piece(a, ash_attention_room(h, s->context), sizeof(float));
    s->parts_done = piece(a, h->kv_heads, sizeof *s->parts_done);
    s->clock = piece(a, ash_pool_threads(s->pool), sizeof *s->clock);
    s->angles = piece(a, (uint64_t)s->context * h->rope_dim, sizeof(float));
}

static ash_status reserve_logits(ashlar_session *s, uint32_t tokens, ash_error *err)
{
    if (tokens <= s->logits_room)
        return ASH_OK;
    uint32_t room = tokens == 1 ? 1 : ASHLAR_ALL_LOGITS_MAX;
    uint64_t bytes = (uint64_t)room * (uint64_t)s->logits_stride * sizeof(float); /* < 2^8 2^32 2^2 */
    float *p = ash_pages_new(bytes, ASH_PAGES_ANY);
    if (!p)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the logits of %u tokens", room);
    ash_pages_free(s->logits, s->logits_bytes);
    s->logits = p;
    s->logits_bytes = bytes;
    s->logits_room = room;
    return ASH_OK;
}

static ash_dtype cache_type(int cache)
{
    return cache == ASHLAR_CACHE_FP8 ? ASH_F8_E4M3 : cache == ASHLAR_CACHE_Q8_0 ? ASH_Q8_0 : ASH_F16;
}

static ash_status open_session(ashlar_session *s, const ashlar_session_options *o, ash_error *err)
{
    const ash_hparams *h = &s->model->meta.h;
    if (o->activations < ASHLAR_ACT_AUTO || o->activations > ASHLAR_ACT_INT8)
        return ash_fail(err, ASH_E_ARGUMENT, "activations %d: give ASHLAR_ACT_AUTO, FLOAT or INT8", o->activations);
    if (o->cpu_level < 0 || o->cpu_level > ASH_LEVEL_COUNT)
        return ash_fail(err, ASH_E_ARGUMENT, "CPU level %d: give 0 to %d", o->cpu_level, ASH_LEVEL_COUNT);
    if (o->cache < ASHLAR_CACHE_F16 || o->cache > ASHLAR_CACHE_Q8_0)
        return ash_fail(err, ASH_E_ARGUMENT, "cache %d: give ASHLAR_CACHE_F16, FP8 or Q8_0", o->cache);
    s->q8 = o->activations != ASHLAR_ACT_FLOAT;
    s->context = o->context ? o->context : h->context && h->context < DEFAULT_CONTEXT ? h->context : DEFAULT_CONTEXT;
    ash_kernels_init(&s->kernels, ash_session_level(o->cpu_level));
    ASH_TRY(ash_pool_new(o->threads ? o->threads : ash_cpu_count(), &s->pool, err));
    ASH_TRY(ash_kv_cache_init(&s->kv, h, cache_type(o->cache), s->context, err));

    s->ids = malloc((size_t)s->context * sizeof *s->ids);
    s->thread = calloc(ash_pool_threads(s->pool), sizeof *s->thread);
    arena count = { 0 };
    if (s->thread && s->ids)
        place_buffers(s, &count);
    if (s->thread && s->ids && !count.overflow)
        s->arena = ash_pages_new(count.used, ASH_PAGES_LARGE);
    if (!s->arena)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for a session: ask for a smaller context or fewer threads");
    s->arena_bytes = count.used;
    arena place = { .base = s->arena };
    place_buffers(s, &place);
    s->logits_stride = s->model->output.row_elems;
    ASH_TRY(reserve_logits(s, 1, err));
    return ash_session_use_card(s, o, err);
}

int ashlar_session_new(const ashlar_model *model, const ashlar_session_options *options, ashlar_session **out,
                       ashlar_error *err)
{
    static const ashlar_session_options defaults;
    ash_error local;
    *out = NULL;
    ashlar_session *s = calloc(1, sizeof *s);
    if (!s) {
        ash_fail(&local, ASH_E_MEMORY, "out of memory for a session");
        return ash_public_error(&local, err);
    }
    s->model = model;
    s->choice = -1;
    atomic_store(&s->nan_position, UINT32_MAX);
    if (open_session(s, options ? options : &defaults, &local) != ASH_OK) {
        ashlar_session_free(s);
        return ash_public_error(&local, err);
    }
    *out = s;
    return ASHLAR_OK;
}

void ashlar_session_free(ashlar_session *s)
{
    if (!s)
        return;
    ash_prefetch_stop(s->prefetch);
    ash_card_free(s->card);
    ash_pool_free(s->pool);
    ash_kv_cache_free(&s->kv);
    ash_pages_free(s->arena, s->arena_bytes);
    ash_pages_free(s->logits, s->logits_bytes);
    free(s->thread);
    free(s->ids);
    free(s);
}

uint32_t ashlar_session_context(const ashlar_session *s) { return s->context; }
uint32_t ashlar_session_position(const ashlar_session *s) { return s->position; }
const char *ashlar_session_device(const ashlar_session *s) { return s->device; }
int32_t ashlar_session_choice(const ashlar_session *s) { return s->choice; }

size_t ashlar_session_top(const ashlar_session *s, const int32_t **ids, const float **logits)
{
    *ids = s->top_ids;
    *logits = s->top_logits;
    return s->top_count;
}

uint64_t ashlar_session_kv_bytes(const ashlar_session *s)
{
    if (!s->card)
        return s->kv.bytes;
    uint64_t cpu = s->kv.bytes / s->model->meta.h.layers * s->cpu_layers;
    return ash_card_memory(s->card).cache + cpu;
}

int ashlar_session_rewind(ashlar_session *s, uint32_t position, ashlar_error *err)
{
    ash_error local;
    if (position > s->position) {
        ash_fail(&local, ASH_E_ARGUMENT, "rewind to token %u: only %u have been fed", position, s->position);
        return ash_public_error(&local, err);
    }
    s->position = position;
    s->logits_count = s->top_count = 0;
    if (position <= atomic_load(&s->nan_position))
        atomic_store(&s->nan_position, UINT32_MAX);
    atomic_store(&s->stop, 0);
    return ASHLAR_OK;
}

void ashlar_session_stop(ashlar_session *s) { atomic_store(&s->stop, 1); }

void ash_session_announce(ashlar_session *s, uint32_t positions)
{
    uint32_t width = s->model->meta.h.rope_dim;
    for (; s->angles_ready < positions; s->angles_ready++)
        ash_rope_angles(&s->model->rope, s->angles_ready, s->angles + (size_t)s->angles_ready * width);
}

/* The largest logit's id, among equals the smallest. */
static int32_t most_likely(const float *logits, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (logits[i] > logits[best] || logits[best] != logits[best])
            best = i;
    return (int32_t)best;
}

/* `count` tokens after `done` others of the same feed, whose last pass it is or not. */
static ash_status run_pass(ashlar_session *s, const int32_t *ids, uint32_t count, unsigned flags, size_t done, bool last,
                           ash_error *err)
{
    bool all = flags & ASHLAR_FEED_ALL_LOGITS;
    ash_session_announce(s, s->position + count);
    if (s->card) {
        float *to = s->logits + (all ? (int64_t)done * s->logits_stride : 0);
        return ash_session_card_feed(s, ids, count, flags, last, to, err);
    }
    ash_forward(s, ids, count, all ? ASH_LOGITS_ALL : last ? ASH_LOGITS_LAST : ASH_LOGITS_NONE);
    return ASH_OK;
}

/* Room, and ids that the model has. */
static ash_status check_feed(const ashlar_session *s, const int32_t *ids, size_t count, ash_error *err)
{
    uint32_t vocab = s->model->meta.h.vocab;
    if (count > s->context - s->position)
        return ash_fail(err, ASH_E_LIMIT, "the context is full: %u of %u tokens are used and %zu more do not fit; "
                        "start with a larger context or rewind", s->position, s->context, count);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= vocab)
            return ash_fail(err, ASH_E_ARGUMENT, "token id %d is outside of the vocabulary (0 to %u)", ids[i],
                            vocab - 1);
    return ASH_OK;
}

static ash_status feed(ashlar_session *s, const int32_t *ids, size_t count, unsigned flags, ash_error *err)
{
    bool all = flags & ASHLAR_FEED_ALL_LOGITS;
    uint32_t most = s->card ? ash_session_card_pass(s, flags) : ASH_BATCH;
    unsigned asked = flags & (ASHLAR_FEED_ALL_LOGITS | ASHLAR_FEED_CHOOSE | ASHLAR_FEED_TOP);
    s->logits_count = s->top_count = 0;
    s->choice = -1;
    if (asked & (asked - 1))
        return ash_fail(err, ASH_E_ARGUMENT, "all logits, the likeliest tokens or the choice can be asked for, one of them");
    if (count == 0)
        return ash_fail(err, ASH_E_ARGUMENT, "there are no tokens to feed: the prompt is empty");
    if (all && count > ASHLAR_ALL_LOGITS_MAX)
        return ash_fail(err, ASH_E_ARGUMENT, "logits of %zu tokens asked for: at most %d at a time", count,
                        ASHLAR_ALL_LOGITS_MAX);
    ASH_TRY(check_feed(s, ids, count, err));
    ASH_TRY(reserve_logits(s, all ? (uint32_t)count : 1, err));

    for (size_t done = 0; done < count;) {
        if (atomic_exchange(&s->stop, 0))
            return ash_fail(err, ASH_E_CANCELLED, "stopped after %zu of %zu tokens", done, count);
        size_t n = count - done < most ? count - done : most;
        ASH_TRY(run_pass(s, ids + done, (uint32_t)n, flags, done, done + n == count, err));
        memcpy(s->ids + s->position, ids + done, n * sizeof *ids);
        s->position += (uint32_t)n;
        done += n;
    }
    if (!(flags & ASHLAR_FEED_CHOOSE))
        s->logits_count = all ? (uint32_t)count : !s->top_count;
    else if (!s->card)
        s->choice = most_likely(s->logits, s->model->meta.h.vocab);
    return ASH_OK;
}

int ashlar_session_feed(ashlar_session *s, const int32_t *ids, size_t count, unsigned flags, ashlar_error *err)
{
    ash_error local;
    if (feed(s, ids, count, flags, &local) != ASH_OK)
        return ash_public_error(&local, err);
    return ASHLAR_OK;
}

const float *ashlar_session_logits(const ashlar_session *s, size_t i)
{
    return i < s->logits_count ? s->logits + (int64_t)i * s->logits_stride : NULL;
}

/* ---- several sessions ---- */

static ash_status check_together(ashlar_session *const *sessions, size_t count, const int32_t *ids, ash_error *err)
{
    if (count == 0 || count > ASHLAR_SESSIONS_MAX)
        return ash_fail(err, ASH_E_ARGUMENT, "%zu sessions to feed together: give 1 to %d", count, ASHLAR_SESSIONS_MAX);
    const ashlar_session *first = sessions[0];
    for (size_t i = 0; i < count; i++) {
        const ashlar_session *s = sessions[i];
        for (size_t j = 0; j < i; j++)
            if (sessions[j] == s)
                return ash_fail(err, ASH_E_ARGUMENT, "session %zu is also session %zu: feed each once", i, j);
        if (s->model != first->model)
            return ash_fail(err, ASH_E_ARGUMENT, "session %zu has another model than the first: feed it apart", i);
        if (s->q8 != first->q8 || s->kernels.level != first->kernels.level)
            return ash_fail(err, ASH_E_ARGUMENT, "session %zu has other activations or another CPU level than the first: "
                            "feed it apart", i);
        ASH_TRY(ash_session_card_may_join(s, first, i, err));
        ASH_TRY(check_feed(s, &ids[i], 1, err));
    }
    return ASH_OK;
}

/* All sessions have room and logits for a token. */
static ash_status run_together(ashlar_session *const *sessions, size_t count, const int32_t *ids, ash_error *err)
{
    const ashlar_session *lead = sessions[0];
    if (lead->card)
        return ash_session_card_feed_together(sessions, count, ids, err);
    ash_forward_sessions(sessions, ids, (int64_t)count);
    for (size_t i = 1; i < count; i++)
        memcpy(sessions[i]->logits, lead->logits + (int64_t)i * lead->logits_stride,
               (size_t)lead->logits_stride * sizeof *lead->logits);
    return ASH_OK;
}

static ash_status feed_together(ashlar_session *const *sessions, size_t count, const int32_t *ids, ash_error *err)
{
    ASH_TRY(check_together(sessions, count, ids, err));
    for (size_t i = 0; i < count; i++) {
        sessions[i]->logits_count = sessions[i]->top_count = 0;
        sessions[i]->choice = -1;
    }
    for (size_t i = 0; i < count; i++)
        ASH_TRY(reserve_logits(sessions[i], i == 0 ? (uint32_t)count : 1, err));
    for (size_t i = 0; i < count; i++)
        if (atomic_exchange(&sessions[i]->stop, 0))
            return ash_fail(err, ASH_E_CANCELLED, "stopped before a token of session %zu", i);
    for (size_t i = 0; i < count; i++)
        ash_session_announce(sessions[i], sessions[i]->position + 1);
    ASH_TRY(run_together(sessions, count, ids, err));
    for (size_t i = 0; i < count; i++) {
        ashlar_session *s = sessions[i];
        s->ids[s->position++] = ids[i];
        s->logits_count = 1;
    }
    return ASH_OK;
}

int ashlar_sessions_feed(ashlar_session *const *sessions, size_t count, const int32_t *ids, ashlar_error *err)
{
    ash_error local;
    if (feed_together(sessions, count, ids, &local) != ASH_OK)
        return ash_public_error(&local, err);
    return ASHLAR_OK;
}
