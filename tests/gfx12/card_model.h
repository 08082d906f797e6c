/* A whole model in the interpreter, by the launches that a card would get (runtime/hip/plan.h). */
#ifndef ASHLAR_TESTS_GFX12_CARD_MODEL_H
#define ASHLAR_TESTS_GFX12_CARD_MODEL_H

#include "runtime/hip/plan.h"
#include "tests/gfx12/card.h"

typedef struct card_model {
    card c;
    ash_hip_plan *plan;
    ash_hip_plan_options options;
    ash_hip_plan_io io;
    uint32_t position;
    uint64_t launches, insns; /* of all passes so far */
} card_model;

/* Fails the test where the model cannot be planned. */
card_model *card_model_open(const ashlar_model *model, const ash_hip_plan_options *options);
void card_model_free(card_model *m);

/* Feeds ids at the position where the last pass ended, in passes of the batch at most. The logits of the last token, or
 * with ALL (count at most the batch) those of each one, io.logits_stride apart. */
const float *card_model_feed(card_model *m, const int32_t *ids, uint32_t count, ash_hip_plan_output output);

#endif
