/* Inputs of prefill's matrices as tests make them: codes and scales in rows, and beside them the card's buffers, as
 * ash_gfx_inputs lays them out. */
#ifndef ASHLAR_TESTS_GFX12_TOKENS_H
#define ASHLAR_TESTS_GFX12_TOKENS_H

#include "tests/gfx12/card.h"
#include "tests/support/support.h"

#define GFX_TOKENS_EPS 1e-5f /* of the norm */

typedef struct gfx_tokens {
    ash_gfx_form form;
    int64_t count, cols, padded, groups;
    float *value;   /* [count][cols]: what a code means without its scale */
    float *scale;   /* [count][groups]; what has no groups has one here */
    double *factor; /* [count]: the rest of a norm */
    uint8_t *tiles; /* buffers of the card */
    float *tile_scale, *tile_squares;
} gfx_tokens;

/* Random codes of either sign. input_scale: FP8's static one, 0: a scale a group. norm: with the sums of squares from which
 * the product makes the rest of a norm. Tokens that fill up the last tile are NaN wherever the form has one: they must reach
 * nobody. The caller frees; the card's buffers are the card's. */
gfx_tokens gfx_tokens_make(card *c, ash_gfx_form form, int64_t count, int64_t cols, float input_scale, bool norm,
                           test_rng *rng);
void gfx_tokens_free(gfx_tokens *x);
/* Groups' scales far apart, up and down by 2^20 to 2^100; every fourth group of some tokens is zero. */
void gfx_tokens_spread(gfx_tokens *x, test_rng *rng);
/* Makes a NaN of an element of token 1, or of its first scale. */
void gfx_tokens_spoil(gfx_tokens *x);

#endif
