/* One interface over the models that can be converted: a Hugging Face folder of safetensors, a GGUF in one or more
 * files, or an .ashlar file made from either. Directory only: data are read by position, nothing is held (an .ashlar is
 * mapped). Immutable after open, thread-safe. */
#ifndef ASHLAR_CONVERT_SOURCE_H
#define ASHLAR_CONVERT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/fileio.h"
#include "format/gguf.h"
#include "format/meta.h"
#include "format/reader.h"
#include "format/safetensors.h"
#include "format/status.h"

/* Whose names, shapes and row order the tensors have; of an .ashlar: those of the model that it was made from. */
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
    const ash_tensor_record *tensor; /* of an .ashlar: where it lies; else NULL */
    const ash_member_record *member;
} ash_source_tensor;

typedef struct ash_source {
    ash_source_kind kind;
    char *folder;             /* HF: where config.json lies */
    char *path;               /* for errors: the folder, or the GGUF as the caller named it */
    ash_gguf *gguf;           /* one of these three; the others are NULL */
    ash_safetensors *st;
    ash_file *ashlar;
    ash_input ashlar_input;   /* the same file */
    ash_meta meta;            /* of an .ashlar */
    ash_source_tensor *tensors;
    uint32_t *by_name;        /* indices in ascending order of names */
    uint32_t count;
    uint32_t file_count;
} ash_source;

/* `path`: a GGUF file (any part of a split one), an .ashlar file, a .safetensors file, its index, or a folder with
 * either. */
ash_status ash_source_open(const char *path, ash_source *out, ash_error *err);
void ash_source_close(ash_source *s); /* zeroed is fine */

const ash_source_tensor *ash_source_find(const ash_source *s, const char *name); /* NULL when absent */
const ash_input *ash_source_file(const ash_source *s, uint32_t index);
/* Bytes [at, at + size) of a tensor. */
ash_status ash_source_read(const ash_source *s, const ash_source_tensor *t, uint64_t at, void *out, size_t size,
                           ash_error *err);
/* The row of an .ashlar's member that row `row` of its source is. */
uint64_t ash_canonical_row(const ash_member_record *m, uint64_t row);
/* "[512, 1024]": in the order that the source's own tools print: slowest first (HF), fastest first (GGUF). */
const char *ash_source_shape(const ash_source *s, const ash_source_tensor *t, char out[128]);
/* The last component of a path; points into it. */
const char *ash_base_name(const char *path);
bool ash_text_is_utf8(const char *text);

#endif
