/* A few threads for coarse pieces of work: each unit takes milliseconds, so threads are made and joined a call. */
#ifndef ASHLAR_QUANT_PARALLEL_H
#define ASHLAR_QUANT_PARALLEL_H

#include <stdint.h>

typedef void ash_unit_fn(void *context, int64_t unit);

/* Calls fn for units 0 .. count - 1 on up to `threads` threads, in any order, and returns when all are done. */
void ash_parallel(uint32_t threads, int64_t count, ash_unit_fn *fn, void *context);

#endif
