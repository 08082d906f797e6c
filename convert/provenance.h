/* Where a model comes from, for META. */
#ifndef ASHLAR_CONVERT_PROVENANCE_H
#define ASHLAR_CONVERT_PROVENANCE_H

#include <stdint.h>

#include "convert/source.h"
#include "format/status.h"
#include "quant/recipe.h"

/* A JSON object as text: {"tool", "type", "tensor_types": ["PATTERN=TYPE"], "fp8_scale": "row", "guide", "files":
 * [{"name", "bytes", "head_bytes", "head_xxh3_128"}]}, tensor_types and fp8_scale where the recipe has them, guide where
 * it is not NULL; caller frees.
 * From an .ashlar: "source" besides, which is that file's own provenance.
 * Names are those of the files alone, without folders; there is no time stamp: the same source gives the same text.
 * A file's head is everything before its first tensor, which holds names, shapes, offsets and (GGUF) all metadata;
 * weights are covered by the hashes of the tensors in the output's directory, so that nothing is read twice. */
ash_status ash_provenance(const ash_source *source, const ash_recipe *recipe, const char *guide, char **out,
                          ash_error *err);

#endif
