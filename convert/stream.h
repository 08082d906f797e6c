/* The pipeline from source to file: row ranges are read, brought into canonical order, re-encoded where the plan says
 * so, tiled and written. Workers read and tile; the calling thread writes and hashes, in the order of the file. The
 * bytes do not depend on the number of workers. Memory: slots of about 8 MiB, two more than there are workers. */
#ifndef ASHLAR_CONVERT_STREAM_H
#define ASHLAR_CONVERT_STREAM_H

#include <stdint.h>

#include "convert/plan.h"
#include "convert/convert.h"
#include "convert/source.h"
#include "format/status.h"
#include "format/writer.h"

typedef int (*ash_stream_progress_fn)(void *context, uint64_t done, uint64_t total);

typedef struct ash_convert_stream {
    uint32_t threads; /* 1 works without a second thread; 0 is not allowed */
    uint32_t levels;  /* as in ash_convert_options */
    const ash_convert_guide *guide; /* NULL: none */
} ash_convert_stream;

/* `writer`: laid out, its tensors those of the plan.
 * `progress` (may be NULL) is called on the calling thread, plan->search_bytes counted as done; nonzero ends with
 * ASH_E_CANCELLED. Fills the members' `lost` and `energy` from one row in 16, the same whatever the number of threads:
 * what is sampled costs a decoding and no time that one would notice. */
ash_status ash_stream(const ash_source *source, ash_plan *plan, ash_writer *writer, const ash_convert_stream *how,
                      ash_stream_progress_fn progress, void *context, ash_error *err);

#endif
