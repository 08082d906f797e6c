/* Opens and checks an .ashlar file.
 *
 * ash_file_open maps the file read-only and checks everything but the tensor data: header and section
 * hashes, version, features, record sizes, every offset, size, dimension, index and name. After ASH_OK all
 * records can be used without further checks. The hashes of TOKN, META and GGKV are checked by ash_file_section_read
 * and ash_file_verify, not by ash_file_section_bytes: who maps TOKN checks what it reads there (vocab.h).
 * The mapping and everything that points into it live until ash_file_close. Thread-safe after open.
 */
#ifndef ASHLAR_FORMAT_READER_H
#define ASHLAR_FORMAT_READER_H

#include <stddef.h>
#include <stdint.h>

#include "format/container.h"
#include "format/status.h"

typedef struct ash_file ash_file;

ash_status ash_file_open(const char *path, ash_file **out, ash_error *err);
void ash_file_close(ash_file *file); /* NULL is fine */

const char *ash_file_path(const ash_file *file);
const ash_header *ash_file_header(const ash_file *file);
uint32_t ash_file_tensor_count(const ash_file *file);
const ash_tensor_record *ash_file_tensor(const ash_file *file, uint32_t index);
const ash_member_record *ash_file_member(const ash_file *file, uint32_t index); /* absolute index into MEMB */
/* A record's name: points into the mapping, NUL-terminated. */
const char *ash_file_tensor_name(const ash_file *file, const ash_tensor_record *tensor);
const char *ash_file_member_name(const ash_file *file, const ash_member_record *member);
/* The tensor's bytes in the mapping. */
const uint8_t *ash_file_data(const ash_file *file, const ash_tensor_record *tensor);

/* NULL when the file has no such section. */
const ash_section_record *ash_file_section(const ash_file *file, uint32_t id);
/* An uncompressed section's bytes in the mapping (NULL when absent). */
const uint8_t *ash_file_section_bytes(const ash_file *file, uint32_t id, size_t *size);
/* A section's content, inflated where compressed; checks its hash; caller frees *out with free().
 * One NUL follows the content (not counted). An absent section gives ASH_E_FORMAT. Inflates at most 1 GiB. */
ash_status ash_file_section_read(const ash_file *file, uint32_t id, uint8_t **out, size_t *size, ash_error *err);

/* Verifies every byte: per-chunk hashes and root, per-tensor hashes, padding between tensors and sections,
 * padding inside tiles. `progress` (may be NULL) is called with bytes done and total; returning nonzero cancels.
 * The error names the tensor, or the section, that is wrong. */
typedef int (*ash_progress_fn)(void *context, uint64_t done, uint64_t total);
ash_status ash_file_verify(const ash_file *file, ash_progress_fn progress, void *context, ash_error *err);

#endif
