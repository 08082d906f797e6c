/* Reader for safetensors: one file, or the shards that an index names. Positioned reads only; nothing is mapped.
 *
 * The header is hostile: at most 100 MB, offsets exact up to 2^53, every tensor inside the data, sizes equal to
 * shape times dtype, no overlap, no gap, no duplicate name, dtype known by name. An index names files inside its own
 * folder only (names that end in .safetensors, without separators; links are followed); every
 * tensor of weight_map is in the shard that it names, and every tensor of a shard in weight_map.
 */
#ifndef ASHLAR_FORMAT_SAFETENSORS_H
#define ASHLAR_FORMAT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/fileio.h"
#include "format/status.h"

typedef struct ash_st_tensor {
    const char *name;
    ash_dtype dtype;
    uint32_t dim_count;  /* 0 to 8, as in the source */
    uint64_t shape[8];   /* in the source's order: slowest first */
    uint32_t file;       /* index into the files */
    uint64_t offset;     /* absolute in its file */
    uint64_t size;
} ash_st_tensor;

typedef struct ash_safetensors ash_safetensors;

/* `path`: a .safetensors file, a .safetensors.index.json, or a folder with either (the file first, as transformers does). */
ash_status ash_safetensors_open(const char *path, ash_safetensors **out, ash_error *err);
void ash_safetensors_close(ash_safetensors *st);
uint32_t ash_safetensors_count(const ash_safetensors *st);
/* In the order of files, then of offsets. */
const ash_st_tensor *ash_safetensors_tensor(const ash_safetensors *st, uint32_t index);
const ash_st_tensor *ash_safetensors_find(const ash_safetensors *st, const char *name); /* NULL when absent */
uint32_t ash_safetensors_file_count(const ash_safetensors *st);
const ash_input *ash_safetensors_file(const ash_safetensors *st, uint32_t index);
/* Bytes [at, at + size) of a tensor. */
ash_status ash_safetensors_read(const ash_safetensors *st, const ash_st_tensor *t, uint64_t at, void *out, size_t size,
                                ash_error *err);

#endif
