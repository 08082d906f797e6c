/* Writes a GGUF version 3 file: key-values, tensor directory, data; through an ash_output (atomic). */
#ifndef ASHLAR_FORMAT_GGUF_WRITE_H
#define ASHLAR_FORMAT_GGUF_WRITE_H

#include "format/fileio.h"
#include "format/gguf.h"

typedef struct ash_gguf_writer ash_gguf_writer;

/* version: 2 or 3 (they differ in the number alone). alignment: a power of two. */
ash_status ash_gguf_writer_create(const char *path, bool replace, uint32_t version, uint64_t alignment,
                                  ash_gguf_writer **out, ash_error *err);
/* A pair as the source stored it (ash_gguf_kv.record). */
ash_status ash_gguf_writer_kv_raw(ash_gguf_writer *w, const void *record, size_t size, ash_error *err);
ash_status ash_gguf_writer_kv_u32(ash_gguf_writer *w, const char *key, uint32_t value, ash_error *err);
ash_status ash_gguf_writer_kv_f32(ash_gguf_writer *w, const char *key, float value, ash_error *err);
ash_status ash_gguf_writer_kv_bool(ash_gguf_writer *w, const char *key, bool value, ash_error *err);
ash_status ash_gguf_writer_kv_string(ash_gguf_writer *w, const char *key, const char *value, size_t size,
                                     ash_error *err);
/* An array of scalars (count elements at `values`) or of strings. */
ash_status ash_gguf_writer_kv_array(ash_gguf_writer *w, const char *key, ash_gguf_type element, const void *values,
                                    uint64_t count, ash_error *err);
ash_status ash_gguf_writer_kv_strings(ash_gguf_writer *w, const char *key, const ash_gguf_string *values,
                                      uint64_t count,
                                      ash_error *err);
/* Declares a tensor; dims fastest first. All are declared before the first data. */
ash_status ash_gguf_writer_tensor(ash_gguf_writer *w, const char *name, ash_dtype dtype, uint32_t dim_count,
                                  const uint64_t dims[4], ash_error *err);
/* Appends data to the tensors in the order of their declaration; alignment padding is written by the writer. */
ash_status ash_gguf_writer_put(ash_gguf_writer *w, const void *bytes, size_t size, ash_error *err);
/* Checks completeness and commits; frees w in any case. */
ash_status ash_gguf_writer_finish(ash_gguf_writer *w, ash_error *err);
void ash_gguf_writer_abort(ash_gguf_writer *w);

#endif
