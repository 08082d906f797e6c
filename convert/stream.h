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

/* `writer`: laid out, its tensors those of the plan. threads: 1 works without a second thread; 0 is not allowed.
 * guide: may be NULL.
 * `progress` (may be NULL) is called on the calling thread; nonzero ends with ASH_E_CANCELLED. */
ash_status ash_stream(const ash_source *source, const ash_plan *plan, ash_writer *writer, const ash_convert_guide *guide,
                      uint32_t threads, ash_stream_progress_fn progress, void *context, ash_error *err);

#endif
