/* What prefill on the card does to a model, measured on the CPU: the command with its matrix products replaced
 * (tests/support/card_rounding.h), so that `perplexity` and `compare` show the effect. ROUNDING in the environment says by
 * what:
 *   float    float activations, weights as they are: what the others are compared with
 *   inputs   activations as the card rounds them
 *   all      and weights; the default
 * make gfx12-rounding builds it; CFLAGS=-DASH_GFX_GROUP=128 B=build/group128 measures narrower groups. Linked with
 * --wrap=ash_kernels_init. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/card_rounding.h"

void __real_ash_kernels_init(ash_kernels *out, ash_level level);
void __wrap_ash_kernels_init(ash_kernels *out, ash_level level);

void __wrap_ash_kernels_init(ash_kernels *out, ash_level level)
{
    const char *what = getenv("ROUNDING");
    __real_ash_kernels_init(out, level);
    card_rounding(out, what && !strcmp(what, "float")    ? CARD_ROUNDS_NOTHING
                       : what && !strcmp(what, "inputs") ? CARD_ROUNDS_INPUTS
                                                         : CARD_ROUNDS_ALL);
}
