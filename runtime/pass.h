/* One pass through the model, as the files that run it share it. All threads run the same functions and meet at barriers
 * (runtime/threads.h). */
#ifndef ASHLAR_RUNTIME_PASS_H
#define ASHLAR_RUNTIME_PASS_H

#include "runtime/profile.h"
#include "runtime/session.h"

typedef struct ash_pass {
    ashlar_session *s;         /* whose threads and buffers do the work */
    ashlar_session *const *of; /* NULL: tokens follow each other in s; else token t is the next one of of[t] */
    const int32_t *ids;
    int64_t tokens;
    ash_logits logits;
    /* One layer alone: NULL in a whole pass. Operations [first, end) run and the inputs of `end` are prepared. */
    const ash_layer *layer;
    uint32_t index;
    ash_layer_op first, end;
} ash_pass;

static inline ashlar_session *ash_pass_session(const ash_pass *p, int64_t t) { return p->of ? p->of[t] : p->s; }
static inline int64_t ash_pass_position(const ash_pass *p, int64_t t)
{
    return p->of ? p->of[t]->position : p->s->position + t;
}

/* ---- the clock of a profile: short names, for forward.c and attend.c alone ---- */

static inline void begin(const ash_pass *p, uint32_t thread)
{
    if (p->s->profile.fn)
        ash_profile_start(p->s, thread);
}

/* What comes next, up to the next call: for the records of a profile. */
static inline void enter(const ash_pass *p, uint32_t thread, uint32_t layer, ash_role role, const ash_linear *op,
                         int64_t tokens)
{
    ashlar_session *s = p->s;
    if (s->profile.fn && thread == 0)
        s->place.layer = layer, s->place.role = role, s->place.op = op, s->place.tokens = tokens;
}

static inline void spent(const ash_pass *p, uint32_t thread, ash_slot slot)
{
    if (p->s->profile.fn)
        ash_profile_spent(p->s, thread, slot);
}

/* The barrier that ends a phase. */
static inline void meet(const ash_pass *p, uint32_t thread)
{
    ash_pool_barrier(p->s->pool);
    if (p->s->profile.fn)
        ash_profile_phase(p->s, thread);
}

/* From rows of q, k and v to rows of s->attn: biases, head norms, rotation, the cache, and attention. Ends at a barrier. */
void ash_pass_attention(const ash_pass *p, uint32_t thread, uint32_t layer);

/* Floats that a session needs for parts of attention: for its longest context. */
uint64_t ash_attention_room(const ash_hparams *h, uint32_t context);

#endif
