/* Between source.c and source_ashlar.c. */
#ifndef ASHLAR_CONVERT_SOURCE_INTERNAL_H
#define ASHLAR_CONVERT_SOURCE_INTERNAL_H

#include "convert/source.h"

/* Opens s->path, and fills kind, meta, tensors, count and file_count. */
ash_status ash_source_open_ashlar(ash_source *s, ash_error *err);
/* Bytes [at, at + size) of a tensor as its source had them; whole rows, but for untiled tensors in their own order. */
ash_status ash_source_read_ashlar(const ash_source *s, const ash_source_tensor *t, uint64_t at, void *out, size_t size,
                                  ash_error *err);

#endif
