/* From a source model to an .ashlar file, and out again. Never prints: events go to the caller.
 *
 * Memory is bounded whatever the model: tensors stream in row ranges of at most a few MiB through reader, tiler and
 * writer. Output is the same bytes for the same input, whatever the machine or the number of threads.
 */
#ifndef ASHLAR_CONVERT_CONVERT_H
#define ASHLAR_CONVERT_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/status.h"
#include "quant/imatrix.h"

#define ASH_TYPE_KEEP ASH_DTYPE_COUNT

/* What helps to encode matrices; any part may be missing. */
typedef struct ash_convert_guide {
    const ash_imatrix *imatrix; /* weights the search for scales, where a type has one; NULL: none */
    /* A row that was encoded before: ash_row_bytes(dtype, cols) bytes, or NULL. role: the matrix's own (Q, not QKV);
     * row: in canonical order. Called by several threads. */
    const uint8_t *(*encoded)(void *context, uint32_t role, uint32_t layer, uint64_t row, uint32_t dtype);
    void *context;
    const char *provenance; /* what guided it, one line for the file's metadata; NULL: nothing did */
} ash_convert_guide;

typedef struct ash_convert_options {
    uint32_t type;   /* ash_dtype of all matrices of the architecture, or ASH_TYPE_KEEP */
    bool dry_run;    /* plan, check and report; write nothing */
    bool force;      /* replace an existing output */
    uint32_t threads; /* 0: all */
    const ash_convert_guide *guide; /* NULL: none */
    /* Events; each may be NULL. progress: bytes of source data done and in total; nonzero cancels.
     * note: one line worth telling (tensors kept raw, a scale ignored). */
    int (*progress)(void *context, uint64_t done, uint64_t total);
    void (*note)(void *context, const char *line);
    void *context;
} ash_convert_options;

typedef struct ash_convert_result {
    uint64_t source_bytes; /* read and kept */
    uint64_t output_bytes; /* of the file; of a dry run: up to the end of the data, without the sections behind it */
    uint32_t tensors, members, raw_tensors;
    struct { uint32_t tensors; uint64_t bytes, elements; } by_type[ASH_DTYPE_COUNT];
} ash_convert_result;

/* `source`: a GGUF file (any part of a split one), a safetensors file or index inside a model folder, or the folder. */
ash_status ash_convert(const char *source, const char *output, const ash_convert_options *options,
                       ash_convert_result *result, ash_error *err);

typedef struct ash_export_options {
    bool force;
    int (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
} ash_export_options;

/* An .ashlar that came from a GGUF back to a GGUF: the same tensor bytes, order, metadata and alignment.
 * A file that came from Hugging Face is ASH_E_UNSUPPORTED in this version. */
ash_status ash_export_gguf(const char *ashlar_path, const char *output, const ash_export_options *options,
                           ash_error *err);

#endif
