/* What the card's prefill rounds, on the CPU: a table of kernels whose products take inputs and weights as the card's
 * matrix units get them, so that a session that has it gives what a card would but for the order of sums.
 *
 *   Q types    inputs as ash_gfx_inputs makes INT8 of them, a scale for ASH_GFX_GROUP columns of a token; weights as
 *              ash_requantize does, once for each matrix, kept until card_rounding_free
 *   BF16       inputs to the nearest BF16; weights as they are
 *   F8_E4M3    by card_rounding_fp8 alone, inputs in e4m3 with a scale for ASH_GFX_GROUP columns, where a checkpoint
 *              has no fixed one; in a model whose own rounding of inputs is dropped
 *
 * Products are the best MATMUL_F32 of the table on what these integers and scales stand for: sums differ from the
 * card's, which are of integers, by the rounding of floats.
 */
#ifndef ASHLAR_TESTS_SUPPORT_CARD_ROUNDING_H
#define ASHLAR_TESTS_SUPPORT_CARD_ROUNDING_H

#include "kernels/kernels.h"

typedef enum card_rounds {
    CARD_ROUNDS_NOTHING, /* float inputs, weights as they are: what the others are compared with */
    CARD_ROUNDS_INPUTS,
    CARD_ROUNDS_ALL,
} card_rounds;

/* Replaces the products of Q types and BF16 in a table that ash_kernels_init has filled. What is rounded, and the level
 * of the products beneath, are one for the process: the last call's. Any number of threads may multiply. A table is
 * replaced once: the second time its products would be their own beneath. */
void card_rounding(ash_kernels *table, card_rounds what);
void card_rounding_fp8(ash_kernels *table);
/* Frees the rounded weights: before their model goes, since they are found by its bytes' address. */
void card_rounding_free(void);

#endif
