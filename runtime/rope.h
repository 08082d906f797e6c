/* Rotary position embedding: the angles. The rotation itself is a kernel (ash_rope_fn).
 * Pair i of a head turns at position p by p * frequency[i]; pairs are adjacent (canonical row order). */
#ifndef ASHLAR_RUNTIME_ROPE_H
#define ASHLAR_RUNTIME_ROPE_H

#include <stdint.h>

#include "format/meta.h"

typedef struct ash_rope {
    uint32_t pairs;     /* rope_dim / 2 */
    float magnitude;    /* multiplies cosine and sine: 1, but for YARN */
    double *frequency;  /* pairs: radians a token */
} ash_rope;

/* `divisors` (may be NULL): one a pair, from the model's ROPE_FREQS tensor. */
ash_status ash_rope_init(ash_rope *rope, const ash_hparams *h, const float *divisors, ash_error *err);
void ash_rope_free(ash_rope *rope);
/* cos_sin[2 i], [2 i + 1] for one position: 2 * pairs floats, in double precision until the last step. */
void ash_rope_angles(const ash_rope *rope, uint32_t position, float *cos_sin);

#endif
