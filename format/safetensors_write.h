/* Writes one safetensors file through an ash_output (atomic): the header of all its tensors, then their data. */
#ifndef ASHLAR_FORMAT_SAFETENSORS_WRITE_H
#define ASHLAR_FORMAT_SAFETENSORS_WRITE_H

#include "format/safetensors.h"

typedef struct ash_safetensors_writer ash_safetensors_writer;

/* Of `tensors` name, dtype, dim_count, shape and size count; they are read here alone. Their types have a name in
 * safetensors. */
ash_status ash_safetensors_writer_create(const char *path, bool replace, const ash_st_tensor *tensors, uint32_t count,
                                         ash_safetensors_writer **out, ash_error *err);
/* Appends data, tensor by tensor in the order of the header. */
ash_status ash_safetensors_writer_put(ash_safetensors_writer *w, const void *bytes, size_t size, ash_error *err);
/* Checks completeness and commits; frees w in any case. */
ash_status ash_safetensors_writer_finish(ash_safetensors_writer *w, ash_error *err);
void ash_safetensors_writer_abort(ash_safetensors_writer *w); /* NULL is fine */

#endif
