/* What kernels cost, as their tests measure it in the interpreter, and the bounds that keep it so: cycles on the port of
 * a SIMD that vector and matrix instructions share, and waves that a SIMD has room for. */
#ifndef ASHLAR_TESTS_GFX12_COSTS_H
#define ASHLAR_TESTS_GFX12_COSTS_H

#include "tests/gfx12/card.h"

/* The second way to run some kernels: prefill of FP8 whose weights have scales in blocks, attention over an FP8 cache. */
enum { COST_PLAIN, COST_OTHER };

/* Prints a measure and ends the test where it is above the table's bound for k and `way`, where fewer waves fit than it
 * says, or where it has none. cycles are of what costs.c names for k->op. */
void cost_check(card *c, const ash_gfx_kernel *k, int way, double cycles);

#endif
