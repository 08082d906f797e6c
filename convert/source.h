/* One interface over the models that can be converted: a Hugging Face folder of safetensors, or a GGUF in one or more
 * files. Directory only: data are read by position, nothing is mapped or held. Immutable after open, thread-safe. */
#ifndef ASHLAR_CONVERT_SOURCE_H
#define ASHLAR_CONVERT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/fileio.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "format/status.h"

typedef enum ash_source_kind { ASH_SOURCE_HF, ASH_SOURCE_GGUF } ash_source_kind;

typedef struct ash_source_tensor {
    const char *name;
    ash_dtype dtype;
    uint32_t dim_count;  /* 0 to 8 */
    uint64_t dims[8];    /* fastest first, unused ones 1 */
    uint64_t size;       /* bytes */
    uint64_t offset;     /* in its file */
    uint32_t file;
    uint32_t index;      /* in the source's order */
} ash_source_tensor;

typedef struct ash_source {
    ash_source_kind kind;
    char *folder;             /* HF: where config.json lies */
    char *path;               /* for errors: the folder, or the GGUF as the caller named it */
    ash_gguf *gguf;           /* the one of the kind; the other is NULL */
    ash_safetensors *st;
    ash_source_tensor *tensors;
    uint32_t *by_name;        /* indices in ascending order of names */
    uint32_t count;
    uint32_t file_count;
} ash_source;

/* `path`: a GGUF file (any part of a split one), a .safetensors file, its index, or a folder with either. */
ash_status ash_source_open(const char *path, ash_source *out, ash_error *err);
void ash_source_close(ash_source *s); /* zeroed is fine */

const ash_source_tensor *ash_source_find(const ash_source *s, const char *name); /* NULL when absent */
const ash_input *ash_source_file(const ash_source *s, uint32_t index);
/* Bytes [at, at + size) of a tensor. */
ash_status ash_source_read(const ash_source *s, const ash_source_tensor *t, uint64_t at, void *out, size_t size,
                           ash_error *err);
/* "[512, 1024]": in the order that the source's own tools print: slowest first (HF), fastest first (GGUF). */
const char *ash_source_shape(const ash_source *s, const ash_source_tensor *t, char out[128]);
/* The last component of a path; points into it. */
const char *ash_base_name(const char *path);
bool ash_text_is_utf8(const char *text);

#endif
