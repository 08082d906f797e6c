/* A model on a card: its weights, a KV cache, and the passes that fill it. One stream, buffers allocated once,
 * arguments in one block a launch; decoding steps are captured as graphs where the runtime has them.
 *
 * Weights may still be arriving while the first pass runs: each layer waits for its own. A wait on the card has a
 * deadline: one that passes is ASH_E_LIMIT, naming what ran, and ash_hip_hangs(); then nothing of the card may be touched or
 * freed any more, since the driver would wait too: the process should end at once.
 */
#ifndef ASHLAR_RUNTIME_HIP_CARD_H
#define ASHLAR_RUNTIME_HIP_CARD_H

#include "runtime/hip/devices.h"
#include "runtime/hip/load.h"
#include "runtime/hip/plan.h"

typedef struct ash_card ash_card;

typedef struct ash_card_options {
    int device; /* HIP's number; -1: the best one */
    uint32_t context;
    uint32_t batch;       /* tokens of one pass; 0: 512 */
    uint32_t first_layer; /* the CPU's layers come before it */
    bool fit_layers;      /* leave as many more to the CPU as the card's memory asks for */
    bool cache_fp8;
    bool no_graph;
    uint32_t timeout_ms; /* of one pass without an answer; 0: 60,000 */
    ash_load_options load;
} ash_card_options;

/* Checks the memory before anything is allocated: ASH_E_LIMIT says by how much it does not fit and what would. The
 * model stays until ash_card_free. Loading goes on behind it. */
ash_status ash_card_open(const ashlar_model *model, const ash_card_options *options, ash_card **out, ash_error *err);
void ash_card_free(ash_card *card); /* NULL and a card that hangs are fine: the latter is left alone */

const ash_device *ash_card_device(const ash_card *card);
ash_hip_plan_memory ash_card_memory(const ash_card *card);
uint32_t ash_card_batch(const ash_card *card);
uint32_t ash_card_first_layer(const ash_card *card);

/* Feeds `count` (1 to the batch) ids at `position`, or with rows != NULL that many rows of hidden states, `stride`
 * floats apart, from layers that the CPU has computed. Returns when the results are on the host. */
ash_status ash_card_feed(ash_card *card, const int32_t *ids, const float *rows, int64_t stride, uint32_t count,
                         uint32_t position, ash_hip_plan_output output, ash_error *err);
/* Of the last feed: LAST, ALL: row i of the logits. NONE, GREEDY: none on the host (NULL); of GREEDY the choice instead. */
const float *ash_card_logits(const ash_card *card, uint32_t i);
int32_t ash_card_choice(const ash_card *card);
/* TOP: the largest logits and their ids, of equals the smaller id first. How many there are. */
uint32_t ash_card_top(const ash_card *card, const float **values, const int32_t **ids);
/* After TOP: fetches the logits, as LAST does. */
ash_status ash_card_fetch_logits(ash_card *card, ash_error *err);

/* Feeds the next token of each of `count` (1 to the first one's batch, ASH_GFX_DECODE_TOKENS at most) cards that hold one
 * model, all layers of it, on the same device, by the first one's weights and stream: ids[i] at positions[i] of cards[i].
 * Row i of the first one's logits is cards[i]'s. */
ash_status ash_card_feed_together(ash_card *const *cards, uint32_t count, const int32_t *ids, const uint32_t *positions,
                                  ash_error *err);

/* What each launch of a pass took, by events around it: with `on` passes are launched one by one, and none overlaps another. */
typedef struct ash_card_timing {
    const ash_gfx_kernel *kernel;
    uint32_t layer; /* or ASH_NO_LAYER */
    ash_role role;
    double seconds;
    uint64_t bytes, macs; /* of weights, or keys and values, that it reads; multiply-adds */
    ash_dtype dtype;      /* of the first matrix; ASH_DTYPE_COUNT: none */
} ash_card_timing;
void ash_card_profile(ash_card *card, bool on);
/* Bytes a second that a copy within the card's memory reads and writes; 0: it could not be measured. */
double ash_card_copy_rate(ash_card *card);
/* Of the last feed, in order; valid until the next. *count is 0 where it was not timed. */
const ash_card_timing *ash_card_timings(const ash_card *card, uint32_t *count);

/* A kernel of sampling (args.h: ARG_MAX, TOP_K, SOFTMAX) on `count` logits, at most the vocabulary: k values and ids, at most
 * ASH_PLAN_TOP_K, or of SOFTMAX `count` values. Timed as a pass is. */
ash_status ash_card_sample(ash_card *card, ash_gfx_op op, const float *logits, uint32_t count, uint32_t k, float temperature,
                           float *values, int32_t *ids, ash_error *err);

#endif
