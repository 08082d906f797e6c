/* Reader for GGUF version 2 and 3, single or split ("-00001-of-00005.gguf"), little-endian.
 *
 * Hostile bytes: counts are checked against the bytes that are left before anything is allocated; lengths, dimensions
 * and offsets with checked arithmetic; alignment is a power of two in [8, 2^20]; tensors neither overlap nor leave
 * the file; keys and names are unique; array nesting is refused. Metadata is held in memory byte for byte.
 * Tensors of a file lie one after another, each aligned, without gaps (ggml refuses others too); their order in the
 * directory may differ from their order in the data. Padding behind the last one may be missing; bytes behind it are
 * not looked at.
 */
#ifndef ASHLAR_FORMAT_GGUF_H
#define ASHLAR_FORMAT_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/fileio.h"
#include "format/status.h"

typedef enum ash_gguf_type {
    ASH_GGUF_U8, ASH_GGUF_I8, ASH_GGUF_U16, ASH_GGUF_I16, ASH_GGUF_U32, ASH_GGUF_I32, ASH_GGUF_F32, ASH_GGUF_BOOL,
    ASH_GGUF_STRING, ASH_GGUF_ARRAY, ASH_GGUF_U64, ASH_GGUF_I64, ASH_GGUF_F64,
} ash_gguf_type;

typedef struct ash_gguf_string { const char *text; uint64_t size; } ash_gguf_string; /* not NUL-terminated */

typedef struct ash_gguf_kv {
    ash_gguf_string key;
    ash_gguf_type type;
    ash_gguf_type element;  /* of an ARRAY */
    uint64_t count;         /* of an ARRAY */
    const uint8_t *value;   /* scalar bytes; a string's bytes after its length; an array's first element */
    uint64_t value_size;    /* bytes at `value` */
    const uint8_t *record;  /* the whole pair as the file stores it, key length first */
    uint64_t record_size;
} ash_gguf_kv;

typedef struct ash_gguf_tensor {
    const char *name;       /* NUL-terminated copy; names with a NUL inside are refused */
    ash_dtype dtype;
    uint32_t dim_count;     /* 1 to 4 */
    uint64_t dims[4];       /* fastest first, unused ones 1 */
    uint32_t file;
    uint64_t offset;        /* absolute in its file */
    uint64_t size;
} ash_gguf_tensor;

typedef struct ash_gguf ash_gguf;

/* `path` of a split model: any of its parts; all parts are opened and checked to belong together. */
ash_status ash_gguf_open(const char *path, ash_gguf **out, ash_error *err);
/* Key-values alone, from the bytes that the GGKV section keeps (u32 version, u64 count, then the pairs).
 * The bytes are borrowed and must outlive *out. */
ash_status ash_gguf_open_kv(const void *bytes, size_t size, ash_gguf **out, ash_error *err);
void ash_gguf_close(ash_gguf *g);

uint32_t ash_gguf_version(const ash_gguf *g);
uint64_t ash_gguf_alignment(const ash_gguf *g); /* general.alignment or 32 */
uint64_t ash_gguf_kv_count(const ash_gguf *g);  /* of the first part */
const ash_gguf_kv *ash_gguf_kv_at(const ash_gguf *g, uint64_t index);
const ash_gguf_kv *ash_gguf_find(const ash_gguf *g, const char *key); /* NULL when absent */
uint32_t ash_gguf_tensor_count(const ash_gguf *g); /* of all parts, each in the order of its data */
const ash_gguf_tensor *ash_gguf_tensor_at(const ash_gguf *g, uint32_t index);
uint32_t ash_gguf_file_count(const ash_gguf *g);
const ash_input *ash_gguf_file(const ash_gguf *g, uint32_t index);
ash_status ash_gguf_read(const ash_gguf *g, const ash_gguf_tensor *t, uint64_t at, void *out, size_t size,
                         ash_error *err);

/* Typed values; false when absent or of another type. Integers: any integer type whose value fits (bool is none). */
bool ash_gguf_get_u64(const ash_gguf *g, const char *key, uint64_t *out);
bool ash_gguf_get_f64(const ash_gguf *g, const char *key, double *out); /* F32 or F64 */
bool ash_gguf_get_bool(const ash_gguf *g, const char *key, bool *out);
bool ash_gguf_get_string(const ash_gguf *g, const char *key, ash_gguf_string *out);
/* Walks a string array: start with at = 0; false at the end. */
bool ash_gguf_next_string(const ash_gguf_kv *kv, uint64_t *at, ash_gguf_string *out);

/* The first part's pairs in the GGKV form, without the split.* keys; caller frees. */
ash_status ash_gguf_kv_bytes(const ash_gguf *g, uint8_t **out, size_t *size, ash_error *err);

#endif
