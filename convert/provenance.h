/* Where a model comes from, for META. */
#ifndef ASHLAR_CONVERT_PROVENANCE_H
#define ASHLAR_CONVERT_PROVENANCE_H

#include <stdint.h>

#include "convert/source.h"
#include "format/status.h"

/* A JSON object as text: {"tool", "type", "guide" (where there is one), "files": [{"name", "bytes", "head_bytes", "head_xxh3_128"}]}; caller frees.
 * Names are those of the files alone, without folders; there is no time stamp: the same source gives the same text.
 * A file's head is everything before its first tensor, which holds names, shapes, offsets and (GGUF) all metadata;
 * weights are covered by the hashes of the tensors in the output's directory, so that nothing is read twice. */
ash_status ash_provenance(const ash_source *source, uint32_t type, const char *guide, char **out, ash_error *err);

#endif
