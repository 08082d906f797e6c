/* What the files of the GGUF reader and writer share; private to format/gguf*.c. */
#ifndef ASHLAR_FORMAT_GGUF_INTERNAL_H
#define ASHLAR_FORMAT_GGUF_INTERNAL_H

#include "format/cursor.h"
#include "format/gguf.h"

#define ASH_GGUF_MAGIC "GGUF"
#define ASH_GGUF_DEFAULT_ALIGN 32
#define ASH_GGUF_MIN_ALIGN 8
#define ASH_GGUF_MAX_ALIGN (UINT64_C(1) << 20)
/* Bounds on what is kept in memory. Published models have some 50 keys and at most a few thousand tensors a file. */
#define ASH_GGUF_MAX_KEYS (UINT64_C(1) << 16)
#define ASH_GGUF_MAX_TENSORS (UINT64_C(1) << 20)
#define ASH_GGUF_MAX_KEY_BYTES 65535 /* the specification's */
#define ASH_GGUF_MAX_NAME_BYTES 1024 /* the specification says 64; longer ones exist */

/* A cursor over the first bytes of a file whose header's length is not known before it is parsed. Asking for bytes
 * that the file has and memory has not sets `want` to where they end: the caller reads more and parses again. */
typedef struct ash_gguf_scan {
    ash_cursor c;
    uint64_t limit; /* bytes of the file, c.size or more */
    uint64_t want;  /* 0: nothing more is needed */
} ash_gguf_scan;

/* `n` bytes in place; `what` they belong to goes into the error. */
ash_status ash_gguf_scan_take(ash_gguf_scan *s, uint64_t n, const char *what, const uint8_t **out, ash_error *err);
ash_status ash_gguf_scan_u32(ash_gguf_scan *s, const char *what, uint32_t *out, ash_error *err);
ash_status ash_gguf_scan_u64(ash_gguf_scan *s, const char *what, uint64_t *out, ash_error *err);

/* Key-values that point into the scanned bytes. */
typedef struct ash_gguf_table {
    ash_gguf_kv *kv;
    uint32_t *order; /* indices by ascending key */
    uint64_t count;
} ash_gguf_table;

/* Parses `count` pairs, refuses duplicates. On failure the table is empty. */
ash_status ash_gguf_table_parse(ash_gguf_scan *s, uint64_t count, ash_gguf_table *table, ash_error *err);
void ash_gguf_table_free(ash_gguf_table *table);
const ash_gguf_kv *ash_gguf_table_find(const ash_gguf_table *table, const char *key);
/* An integer of any type whose value is not negative. */
bool ash_gguf_kv_u64(const ash_gguf_kv *kv, uint64_t *out);
/* general.alignment where present, checked; else 32. */
ash_status ash_gguf_table_alignment(const ash_gguf_table *table, uint64_t *out, ash_error *err);
bool ash_gguf_alignment_valid(uint64_t alignment);

/* Bytes of a scalar of this type; 0 for strings, arrays and numbers that are no type. */
uint32_t ash_gguf_scalar_bytes(uint32_t type);

/* Bytes of a tensor with these dimensions. The error says what is wrong, without the tensor's name. */
ash_status ash_gguf_tensor_bytes(ash_dtype dtype, uint32_t dim_count, const uint64_t *dims, uint64_t *out,
                                 ash_error *err);

struct ash_gguf {
    uint32_t version;
    uint64_t alignment;
    uint8_t *header; /* owned bytes that the table points into; NULL when they are borrowed */
    ash_gguf_table table;
    ash_gguf_tensor *tensors; /* names owned */
    uint32_t tensor_count;
    ash_input *files;
    uint32_t file_count;
};

#endif
