/* A source row to floats: what both passes over a source share. */
#ifndef ASHLAR_CONVERT_ROWS_H
#define ASHLAR_CONVERT_ROWS_H

#include <stdint.h>

#include "convert/plan.h"
#include "kernels/kernels.h"

/* Row `source_row` of a member, its scale worked in where it is FP8. `type`: what the floats are going to be. */
void ash_rows_decode(const ash_kernels *kernels, const ash_plan_member *m, uint64_t source_row, uint32_t type,
                     const uint8_t *in, uint64_t cols, float *out);

/* Chooses the scales of every matrix that becomes FP8, from all of its rows: reads them once (plan->search_bytes).
 * Refuses NaN and infinity by the tensor's name. The scales do not depend on the number of threads, nor on the kernels.
 * Memory: a few MiB a thread. `progress` (may be NULL) is called on the calling thread with the bytes read so far and
 * `total`; nonzero ends with ASH_E_CANCELLED. */
ash_status ash_choose_scales(const ash_source *source, ash_plan *plan, uint32_t threads, uint32_t levels,
                             int (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                             uint64_t total, ash_error *err);

#endif
