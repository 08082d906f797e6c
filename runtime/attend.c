/* Attention of a pass. Nothing depends on the number of threads: what one call covers follows from the model and the
 * position alone.
 *
 * A prompt goes in blocks of tokens by KV heads. A token that is decoded has its context cut into parts; whoever
 * finishes the last part of a KV head joins them, in their order. Tokens of several sessions are decoded side by side, each in
 * its own cache and in the parts that it would have alone.
 */
#include <math.h>

#include "runtime/pass.h"

/* Queries of one call in a prompt, tokens times heads of a group: as many as a kernel converts keys and values for. */
#define CALL_QUERIES 128
#define CALL_TOKENS_MAX 64 /* leaves work for several threads where a group is one head */

/* A part of the context: some microseconds of work, so that a few KV heads occupy many threads and joining is little
 * beside it; from 32,768 positions on an even share of it, which bounds the room for parts. */
#define PART_POSITIONS 512
#define PARTS_MAX 64

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- the cache ---- */

/* Positions come in any order, from any thread. */
static void note_nan(ashlar_session *s, uint32_t position)
{
    uint32_t first = atomic_load_explicit(&s->nan_position, memory_order_relaxed);
    while (position < first && !atomic_compare_exchange_weak_explicit(&s->nan_position, &first, position,
                                                                      memory_order_relaxed, memory_order_relaxed))
        ;
}

static void store(ashlar_session *s, const float *x, int64_t position, uint8_t *row)
{
    int64_t dim = s->model->meta.h.head_dim;
    if (s->kv.type != ASH_F16 && isnan(s->kernels.max_abs(x, dim)))
        note_nan(s, (uint32_t)position);
    switch (s->kv.type) {
    case ASH_F8_E4M3: s->kernels.encode_e4m3(x, dim, 1, row); break;
    case ASH_Q8_0: s->kernels.encode[ASH_Q8_0](x, NULL, dim, row); break;
    default: s->kernels.to_f16(x, dim, (uint16_t *)(void *)row); break;
    }
}

/* Token t's heads of KV head g: biases, head norms, rotation; then its key and value go into the cache. */
static void rotate_and_store(const ash_pass *p, uint32_t layer_index, int64_t t, uint32_t g)
{
    const ashlar_session *s = p->s;
    ashlar_session *own = ash_pass_session(p, t);
    const ashlar_model *model = s->model;
    const ash_hparams *h = &model->meta.h;
    const ash_layer *layer = &model->layers[layer_index];
    const ash_kernels *kernels = &s->kernels;
    int64_t dim = h->head_dim, group = h->heads / h->kv_heads, position = ash_pass_position(p, t);
    float *row = s->qkv + t * s->qkv_stride;
    float *q = row + g * group * dim, *k = row + model->k_first + g * dim, *v = row + model->v_first + g * dim;
    if (layer->q_bias)
        kernels->add(q, layer->q_bias + g * group * dim, group * dim);
    if (layer->k_bias)
        kernels->add(k, layer->k_bias + g * dim, dim);
    if (layer->v_bias)
        kernels->add(v, layer->v_bias + g * dim, dim);
    if (layer->q_norm)
        for (int64_t i = 0; i < group; i++)
            kernels->rms_norm(q + i * dim, layer->q_norm, dim, h->norm_eps, q + i * dim);
    if (layer->k_norm)
        kernels->rms_norm(k, layer->k_norm, dim, h->norm_eps, k);
    const float *angles = own->angles + position * h->rope_dim;
    kernels->rope(q, group, dim, h->rope_dim, angles);
    kernels->rope(k, 1, dim, h->rope_dim, angles);
    int64_t at = ash_kv_offset(&own->kv, layer_index, g) + position * own->kv.stride;
    store(own, k, position, own->kv.k + at);
    store(own, v, position, own->kv.v + at);
}

/* ---- calls ---- */

/* Tokens [t, t + tokens) and all query heads of KV head g. */
static ash_attention call(const ash_pass *p, uint32_t layer, uint32_t g, int64_t t, int64_t tokens)
{
    const ashlar_session *s = p->s, *own = ash_pass_session(p, t);
    const ash_hparams *h = &s->model->meta.h;
    int64_t dim = h->head_dim, group = h->heads / h->kv_heads, at = ash_kv_offset(&own->kv, layer, g);
    return (ash_attention){ .q = s->qkv + t * s->qkv_stride + g * group * dim,
                            .q_stride = s->qkv_stride,
                            .k = own->kv.k + at,
                            .v = own->kv.v + at,
                            .kv_stride = own->kv.stride,
                            .kv_rows = own->kv.positions,
                            .head_dim = dim,
                            .group = group,
                            .scale = 1 / sqrtf((float)dim),
                            .pos = ash_pass_position(p, t),
                            .tokens = tokens,
                            .window = h->sliding_window,
                            .out = s->attn + t * s->attn_stride + g * group * dim,
                            .out_stride = s->attn_stride };
}

/* As an F16 cache has it: a query that sees a key or value with a NaN gives NaN. */
static void spread_nan(const ash_pass *p, int64_t t, const ash_attention *a)
{
    int64_t first = atomic_load_explicit(&ash_pass_session(p, t)->nan_position, memory_order_relaxed);
    for (int64_t i = at_least(first - a->pos, 0); i < a->tokens; i++)
        for (int64_t k = 0; k < a->group * a->head_dim; k++)
            a->out[i * a->out_stride + k] = NAN;
}

static void run(const ash_pass *p, uint32_t thread, int64_t t, const ash_attention *a)
{
    p->s->kernels.attention[ash_pass_session(p, t)->kv.type](a, p->s->thread[thread].scratch);
    if (!a->parts)
        spread_nan(p, t, a);
    spent(p, thread, ASH_SLOT_ATTENTION);
}

static void prompt(const ash_pass *p, uint32_t thread, uint32_t layer)
{
    const ash_hparams *h = &p->s->model->meta.h;
    int64_t kv_heads = h->kv_heads, group = h->heads / h->kv_heads, first, count;
    int64_t each = at_most(at_least(CALL_QUERIES / group, 1), CALL_TOKENS_MAX);
    int64_t blocks = (p->tokens + each - 1) / each;
    while (ash_pool_take(p->s->pool, 0, blocks * kv_heads, 1, 1, &first, &count)) {
        int64_t t = (blocks - 1 - first / kv_heads) * each; /* the last see most, so they start first */
        ash_attention a = call(p, layer, (uint32_t)(first % kv_heads), t, at_most(each, p->tokens - t));
        run(p, thread, t, &a);
    }
}

/* ---- decoding ---- */

static int64_t part_positions(int64_t seen)
{
    int64_t even = (seen + PARTS_MAX - 1) / PARTS_MAX;
    return at_least(PART_POSITIONS, (even + 63) / 64 * 64); /* whole blocks of a kernel's keys */
}

static int64_t part_count(int64_t seen) { return (seen + part_positions(seen) - 1) / part_positions(seen); }

uint64_t ash_attention_room(const ash_hparams *h, uint32_t context)
{
    uint64_t parts = context > PART_POSITIONS ? (uint64_t)at_most((context - 1) / PART_POSITIONS + 1, PARTS_MAX) : 0;
    return parts * h->heads * (uint64_t)ash_attention_part_elems(h->head_dim);
}

/* Positions that token t sees. */
static int64_t seen_by(const ash_pass *p, int64_t t)
{
    int64_t window = p->s->model->meta.h.sliding_window, all = ash_pass_position(p, t) + 1;
    return window > 0 ? at_most(all, window) : all;
}

/* Part i of `parts` of what token t sees, KV head g. */
static void decode_part(const ash_pass *p, uint32_t thread, uint32_t layer, int64_t t, uint32_t g, int64_t i,
                        int64_t parts)
{
    ash_attention a = call(p, layer, g, t, 1);
    if (parts == 1) {
        run(p, thread, t, &a);
        return;
    }
    ashlar_session *own = ash_pass_session(p, t);
    int64_t seen = seen_by(p, t), each = part_positions(seen), elems = ash_attention_part_elems(a.head_dim);
    a.begin = a.pos + 1 - seen + i * each;
    a.end = at_most(a.begin + each, a.pos + 1);
    float *all = own->parts + g * parts * a.group * elems;
    a.parts = all + i * a.group * elems;
    run(p, thread, t, &a);
    /* Whoever comes last sees what the others wrote before they counted. */
    if (atomic_fetch_add_explicit(&own->parts_done[g], 1, memory_order_acq_rel) + 1 < parts)
        return;
    atomic_store_explicit(&own->parts_done[g], 0, memory_order_relaxed);
    for (int64_t head = 0; head < a.group; head++)
        p->s->kernels.attention_join(all + head * elems, parts, a.group * elems, a.head_dim, a.out + head * a.head_dim);
    spread_nan(p, t, &a);
    spent(p, thread, ASH_SLOT_ATTENTION);
}

static void decode(const ash_pass *p, uint32_t thread, uint32_t layer)
{
    int64_t kv_heads = p->s->model->meta.h.kv_heads, total = 0, first, count;
    for (int64_t t = 0; t < p->tokens; t++)
        total += part_count(seen_by(p, t)) * kv_heads;
    if (total == p->tokens * kv_heads) { /* no context is in parts: the cache is filled on the way */
        while (ash_pool_take(p->s->pool, thread, total, 1, 1, &first, &count)) {
            rotate_and_store(p, layer, first / kv_heads, (uint32_t)(first % kv_heads));
            spent(p, thread, ASH_SLOT_ROTATE);
            decode_part(p, thread, layer, first / kv_heads, (uint32_t)(first % kv_heads), 0, 1);
        }
        return;
    }
    while (ash_pool_take(p->s->pool, thread, p->tokens * kv_heads, 1, 1, &first, &count))
        rotate_and_store(p, layer, first / kv_heads, (uint32_t)(first % kv_heads));
    spent(p, thread, ASH_SLOT_ROTATE);
    meet(p, thread);
    while (ash_pool_take(p->s->pool, thread, total, 1, 1, &first, &count)) {
        int64_t t = 0, parts = part_count(seen_by(p, 0));
        for (; first >= parts * kv_heads; parts = part_count(seen_by(p, t))) {
            first -= parts * kv_heads;
            t++;
        }
        decode_part(p, thread, layer, t, (uint32_t)(first / parts), first % parts, parts);
    }
}

/* What attention reads and multiplies, for the records of a profile: keys that any token sees, and that each sees. */
static void describe(const ash_pass *p, uint32_t thread, uint32_t layer)
{
    enter(p, thread, layer, ASH_ROLE_OTHER, NULL, p->tokens);
    if (!p->s->profile.fn || thread != 0)
        return;
    ash_profile_place *place = &p->s->place;
    place->keys_read = place->keys_seen = 0;
    for (int64_t t = 0; t < p->tokens; t++) {
        int64_t seen = seen_by(p, t);
        place->keys_seen += seen;
        place->keys_read += t == 0 || p->of ? seen : 1; /* of a prompt, the first token's and those that follow */
    }
}

void ash_pass_attention(const ash_pass *p, uint32_t thread, uint32_t layer)
{
    int64_t first, count;
    describe(p, thread, layer);
    if (p->of || p->tokens == 1) {
        decode(p, thread, layer);
    } else {
        while (ash_pool_take(p->s->pool, thread, p->tokens, 1, 16, &first, &count))
            for (int64_t t = first; t < first + count; t++)
                for (uint32_t g = 0; g < p->s->model->meta.h.kv_heads; g++)
                    rotate_and_store(p, layer, t, g);
        spent(p, thread, ASH_SLOT_ROTATE);
        meet(p, thread);
        prompt(p, thread, layer);
    }
    meet(p, thread);
}
