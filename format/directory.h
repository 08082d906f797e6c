/* The directory: tensor records, member records and names. One set of rules for the writer, which refuses to write
 * what a reader would refuse, and for the reader, which takes every byte as hostile. */
#ifndef ASHLAR_FORMAT_DIRECTORY_H
#define ASHLAR_FORMAT_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "format/container.h"
#include "format/status.h"

#define ASH_NAME_MAX 1024   /* bytes of a tensor's or member's name */
#define ASH_LAYER_MAX 4096  /* layers are below this */
#define ASH_TENSOR_MAX (1u << 20)
#define ASH_MEMBER_MAX (1u << 24)

typedef struct ash_directory {
    const ash_tensor_record *tensors;
    const ash_member_record *members;
    const char *strings;
    uint64_t string_bytes;
    uint32_t tensor_count, member_count;
} ash_directory;

/* True for the values that ash_role names. */
bool ash_role_known(uint32_t role);
/* "q", "gate_up", ...; "unknown" for any other value. */
const char *ash_role_name(uint32_t role);

/* Fills padded_dims, size, slice_stride and panel_bytes of `t` from dtype, layout, dim_count and dims. `name` is for
 * errors. *slice_bytes (may be NULL): bytes of one matrix, without the padding up to slice_stride. */
ash_status ash_tensor_geometry(ash_tensor_record *t, const char *name, uint64_t *slice_bytes, ash_error *err);

/* Checks every field of every record: names (UTF-8, terminated, unique among tensors), types, layouts, sizes as
 * ash_tensor_geometry gives them, tensors one after another that fill [data_offset, data_offset + data_size) with
 * less than tensor_align of padding each, members that cover every row of their tensor once, scales that fit. */
ash_status ash_directory_check(const ash_directory *d, uint64_t data_offset, uint64_t data_size, ash_error *err);

#endif
