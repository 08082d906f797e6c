/* A session on the CPU that rounds what a card rounds, in prompts and in decoding: how far a card may be from it, and
 * both from one that rounds nothing, tests/gfx12/tolerance.h derives.
 *
 * Q types and FP8 are decoded with the CPU's own rounding, which is the card's; a prompt's goes by card_rounding.h.
 * BF16's inputs are rounded in both. Products of FP8 are of floats, since BF16 would round what e4m3 and a scale make.
 */
#ifndef ASHLAR_TESTS_SUPPORT_CARD_TWIN_H
#define ASHLAR_TESTS_SUPPORT_CARD_TWIN_H

#include "runtime/session.h"

typedef enum card_twin_rounding {
    CARD_TWIN_EXACT,    /* inputs as they are */
    CARD_TWIN_DECODING, /* as the card decodes, prompts too */
    CARD_TWIN_ALL,      /* prompts as the card's matrix units have them */
} card_twin_rounding;

typedef struct card_twin {
    ashlar_session *session;
    ashlar_model *model;
    card_twin_rounding how;
    bool grouped; /* FP8 inputs of a prompt have a scale for ASH_GFX_GROUP columns each */
    ash_kernels decoding, prompt;
} card_twin;

/* A context of 64 tokens, two threads. The type is that of the first layer's matrices; drop_lower_bytes (unrounded.h)
 * comes first. What rounds is one for the process (card_rounding.h): one twin at a time, and card_rounding_free before
 * the model goes. */
card_twin card_twin_open(ashlar_model *model, card_twin_rounding how);
void card_twin_free(card_twin *t);
/* Feeds ids where the session is, as a prompt or as decoding does; logits of all of them. */
void card_twin_feed(card_twin *t, const int32_t *ids, size_t count, bool prompt);

#endif
