/* A session: the state of one conversation with a model, and the buffers that a forward pass works in.
 *
 * Rows of activations are padded to multiples of 64 floats; the padding is zero from the start and stays so.
 * Buffers are sized for ASH_BATCH tokens, reserved at once and filled by the
 * system as they are touched: a session that only decodes uses the first row of each.
 */
#ifndef ASHLAR_RUNTIME_SESSION_H
#define ASHLAR_RUNTIME_SESSION_H

#include <stdatomic.h>

#include "runtime/kv_cache.h"
#include "runtime/model.h"
#include "runtime/prefetch.h"
#include "runtime/profile.h"
#include "runtime/threads.h"

/* Tokens of one pass. A weight tile that is unpacked once serves them all; their activations (1,536 columns in
 * 8 bits: 400 KB) stay in a 1 MiB second-level cache. */
#define ASH_BATCH 256
static_assert(ASH_BATCH >= ASHLAR_SESSIONS_MAX, "a pass serves all sessions");
static_assert(ASH_BATCH >= ASHLAR_ALL_LOGITS_MAX, "all logits come from one pass");

/* Outputs that a thread keeps before they are folded into a shared row. */
#define ASH_THREAD_ROW_ELEMS (64 * 1024)

/* Inputs of one operation in the forms that kernels take (ash_acts); of the 8-bit one with room for q8_fine. */
typedef struct ash_acts_buffer {
    float *f32;
    int8_t *q8;
    float *q8_scale;
    int16_t *q8_sum;
    uint16_t *bf16;
} ash_acts_buffer;

typedef struct ash_thread_buffers {
    ash_acts_buffer input[ASH_PARTS_MAX]; /* one token: in decoding every thread prepares its own copy, which costs less
                                             than waiting for a shared one */
    float *y;                             /* ASH_THREAD_ROW_ELEMS */
    void *scratch;                        /* ASH_SCRATCH_BYTES, for kernels */
} ash_thread_buffers;

/* What one operation takes in: `tokens` rows of `cols` floats, `stride` apart. Where FP8 weights have their inputs
 * rounded, as they are after that (of several matrices: as the first one takes them). */
typedef struct ash_observation {
    uint32_t layer; /* or ASH_NO_LAYER */
    ash_role role;  /* QKV, O, GATE_UP, DOWN, OUTPUT, whether or not they are one tensor in the file */
    const float *x;
    int64_t tokens, cols, stride;
} ash_observation;
/* Called in the order of execution by one thread, while the others may already work on the product. */
typedef void ash_observer_fn(void *context, const ash_observation *o);

struct ashlar_session {
    const ashlar_model *model;
    ash_observer_fn *observer; /* NULL: none */
    void *observer_context;
    ash_profile profile;
    ash_profile_clock *clock; /* of each thread */
    ash_profile_place place;
    ash_kernels kernels;
    ash_pool *pool;
    ash_kv_cache kv;
    bool q8; /* 8-bit activations for the types that have them; BF16 for BF16 and F8_E4M3 */
    uint32_t context, position;
    int32_t *ids; /* `context` places; those up to position have been fed */
    atomic_int stop;

    uint8_t *arena;
    uint64_t arena_bytes;
    int64_t x_stride, qkv_stride, attn_stride, h_stride;
    float *x, *qkv, *attn, *h;
    ash_acts_buffer shared[ASH_PARTS_MAX]; /* of the first one twice as many tokens */
    ash_thread_buffers *thread;
    float *parts;           /* of one token's attention, by KV head: attend.c */
    atomic_int *parts_done; /* by KV head; 0 between layers */
    /* In 8-bit caches, whose codes have no NaN that attention reads: the first position with one in a key or a value, or
     * UINT32_MAX. What sees it is NaN. */
    _Atomic uint32_t nan_position;

    float *angles; /* cosines and sines by position, filled up to angles_ready */
    uint32_t angles_ready;

    struct ash_card *card;  /* NULL: all on the CPU */
    uint32_t cpu_layers;    /* the first ones, where a card has the others */
    char device[256];
    int32_t choice;         /* or -1 */
    const int32_t *top_ids; /* top_count of them; the card's memory */
    const float *top_logits;
    uint32_t top_count;
    ash_prefetch *prefetch; /* of the file's weights, where the CPU has all layers */

    float *logits;
    uint64_t logits_bytes;
    int64_t logits_stride;
    uint32_t logits_room, logits_count; /* in tokens */
};

/* A card for the session, as its options ask; "auto" may leave it without. s->context is known. */
ash_status ash_session_use_card(ashlar_session *s, const ashlar_session_options *o, ash_error *err);
/* One pass of `count` tokens (at most ash_session_card_pass) at s->position on the card; `last` of its feed or not, which
 * alone has logits or a choice unless all logits are asked for. `to`: where they go. */
ash_status ash_session_card_feed(ashlar_session *s, const int32_t *ids, uint32_t count, unsigned flags, bool last,
                                 float *to, ash_error *err);
/* Whether sessions[index] can be fed together with the first of them: both on the CPU, or on the same card with all layers. */
ash_status ash_session_card_may_join(const ashlar_session *s, const ashlar_session *first, size_t index, ash_error *err);
/* The next token of each, whose cards may join: each one's logits are then there; positions are not changed. */
ash_status ash_session_card_feed_together(ashlar_session *const *sessions, size_t count, const int32_t *ids, ash_error *err);
uint32_t ash_session_card_pass(const ashlar_session *s, unsigned flags);

/* The level up to which kernels are taken, by ashlar_session_options' cpu_level. */
static inline ash_level ash_session_level(int cpu_level)
{
    return (ash_level)((cpu_level ? cpu_level : ASH_LEVEL_COUNT) - 1);
}

static inline bool ash_runs_in_q8(const ashlar_session *s, const ash_part *part)
{
    return s->q8 && s->kernels.matmul_q8[part->w.dtype];
}

/* BF16 activations, where the processor multiplies them. */
static inline bool ash_runs_in_bf16(const ashlar_session *s, const ash_part *part)
{
    return s->q8 && s->kernels.level >= ASH_LEVEL_AVX512BF16 && s->kernels.matmul_bf16[part->w.dtype];
}

/* What the 8-bit inputs of `op` are: tokens, q8_wide and q8_fine. Where they need not be wide they are where all that
 * multiplies them gains from it. */
static inline ash_acts ash_q8_inputs(const ashlar_session *s, const ash_linear *op, int64_t tokens)
{
    bool wide = s->model->wide;
    for (uint32_t i = 0; i < op->part_count; i++)
        wide = wide && ash_q8_takes_wide(s->kernels.level, op->part[i].w.dtype, tokens);
    return (ash_acts){ .tokens = tokens, .q8_wide = wide || op->fine, .q8_fine = op->fine };
}

/* Runs `tokens` (1 to ASH_BATCH) ids at s->position through the model: fills the KV cache and the logits that are asked
 * for. Ids and room are checked by the caller; s->position is not changed. */
typedef enum ash_logits { ASH_LOGITS_NONE, ASH_LOGITS_LAST, ASH_LOGITS_ALL } ash_logits;
void ash_forward(ashlar_session *s, const int32_t *ids, int64_t tokens, ash_logits logits);
/* The same for the next token of each of `count` sessions (1 to ASHLAR_SESSIONS_MAX) of one model, with the first one's
 * threads and buffers: ids[i] goes to sessions[i]; row i of the first one's logits is its result. */
void ash_forward_sessions(ashlar_session *const *sessions, const int32_t *ids, int64_t count);

/* The same in pieces, for who changes weights as they go: hidden states are in s->x (rows of s->x_stride, embed or
 * an earlier layer put them there), positions from s->position on have been announced, and keys and values of `index`
 * are in the cache for the positions before. `layer`: model->layers[index] or one of the same shape. */
typedef enum ash_layer_op { ASH_LAYER_QKV, ASH_LAYER_O, ASH_LAYER_GATE_UP, ASH_LAYER_DOWN, ASH_LAYER_END } ash_layer_op;
void ash_forward_embed(ashlar_session *s, const int32_t *ids, int64_t tokens);
/* Operations [first, end), then the inputs of `end` are prepared, which an observer sees. first: QKV or GATE_UP. */
void ash_forward_layer(ashlar_session *s, const ash_layer *layer, uint32_t index, ash_layer_op first, ash_layer_op end,
                       int64_t tokens);
/* Computes what rotations need up to `positions`. */
void ash_session_announce(ashlar_session *s, uint32_t positions);

#endif
