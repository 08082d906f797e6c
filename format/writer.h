/* Writes an .ashlar file: into a temporary file beside `path`, synced and renamed by ash_writer_finish, so that
 * a reader never sees half a model; ash_writer_abort (or a crash before the rename) leaves `path` untouched.
 *
 * Order of calls: create; add_tensor and add_member for everything; layout; put for every tensor's bytes, in
 * the order of the tensors and in ascending order within each (gaps between tensors are filled with zeros);
 * add_section for TOKN, META, GGKV; finish. The same calls give the same bytes.
 */
#ifndef ASHLAR_FORMAT_WRITER_H
#define ASHLAR_FORMAT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/container.h"
#include "format/status.h"

typedef struct ash_writer ash_writer;

/* Refuses an existing `path` unless `replace`. */
ash_status ash_writer_create(const char *path, bool replace, ash_writer **out, ash_error *err);

/* `record`: role, layer, dtype, layout, dim_count, dims, scale_kind are the caller's; name, member range,
 * padded dims, offset, size, stride, panel_bytes and hash are filled in. *index gets the tensor's index.
 * Members that follow (at least one) belong to the tensor added last. */
ash_status ash_writer_add_tensor(ash_writer *w, const char *name, const ash_tensor_record *record, uint32_t *index,
                                 ash_error *err);
ash_status ash_writer_add_member(ash_writer *w, const char *source_name, const ash_member_record *record,
                                 ash_error *err);

/* Fixes all offsets. *file_bytes (may be NULL): the size up to the end of the data; a free-space check uses it. */
ash_status ash_writer_layout(ash_writer *w, uint64_t *file_bytes, ash_error *err);
/* A tensor's record with its computed fields, after layout. */
const ash_tensor_record *ash_writer_tensor(const ash_writer *w, uint32_t index);

/* Appends `size` bytes to tensor `index`. With slices, the padding between slices is written by the writer. */
ash_status ash_writer_put(ash_writer *w, uint32_t index, const void *bytes, size_t size, ash_error *err);

/* Behind the data. `compress`: as a zstd frame where that is smaller. */
ash_status ash_writer_add_section(ash_writer *w, uint32_t id, const void *bytes, size_t size, bool compress,
                                  ash_error *err);

/* Checks that every tensor is complete, writes directory and header, syncs, renames. Frees w in any case. */
ash_status ash_writer_finish(ash_writer *w, uint64_t *file_bytes, ash_error *err);
void ash_writer_abort(ash_writer *w); /* removes the temporary file; frees w; NULL is fine */

#endif
