/* Every element type that safetensors or GGUF can name, in one table.
 *
 * A type is a block of `block_elems` consecutive elements of a row in
 * `block_bytes` bytes. "Usable" types may hold a model's matrices and have a
 * tile layout (tile.h); the others are known by name and size only, so that
 * they can be refused by name or kept raw.
 * Sources: the GGUF specification and ggml's type table; the safetensors format.
 */
#ifndef ASHLAR_FORMAT_DTYPE_H
#define ASHLAR_FORMAT_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

/* Values are on disk (tensor records): append only. */
typedef enum ash_dtype {
    ASH_F32 = 0,
    ASH_F16 = 1,
    ASH_BF16 = 2,
    ASH_F8_E4M3 = 3, /* OCP e4m3fn: 1-4-3, bias 7, no infinity, NaN = 0x7f, max 448 */
    ASH_Q4_0 = 4,
    ASH_Q4_1 = 5,
    ASH_Q5_0 = 6,
    ASH_Q5_1 = 7,
    ASH_Q8_0 = 8,
    ASH_Q4_K = 9,
    ASH_Q5_K = 10,
    ASH_Q6_K = 11,
    ASH_USABLE_DTYPES = 12, /* types below this may hold matrices */
    /* known, never computed with */
    ASH_F64 = 12,
    ASH_F8_E5M2 = 13,
    ASH_F8_E8M0 = 14,
    ASH_I8 = 15,
    ASH_U8 = 16,
    ASH_I16 = 17,
    ASH_U16 = 18,
    ASH_I32 = 19,
    ASH_U32 = 20,
    ASH_I64 = 21,
    ASH_U64 = 22,
    ASH_BOOL = 23,
    ASH_F4 = 24,
    ASH_F6_E2M3 = 25,
    ASH_F6_E3M2 = 26,
    ASH_C64 = 27,
    ASH_Q8_1 = 28,
    ASH_Q2_K = 29,
    ASH_Q3_K = 30,
    ASH_Q8_K = 31,
    ASH_IQ2_XXS = 32,
    ASH_IQ2_XS = 33,
    ASH_IQ3_XXS = 34,
    ASH_IQ1_S = 35,
    ASH_IQ4_NL = 36,
    ASH_IQ3_S = 37,
    ASH_IQ2_S = 38,
    ASH_IQ4_XS = 39,
    ASH_IQ1_M = 40,
    ASH_TQ1_0 = 41,
    ASH_TQ2_0 = 42,
    ASH_MXFP4 = 43,
    ASH_DTYPE_COUNT
} ash_dtype;

typedef struct ash_dtype_info {
    const char *name;        /* lower case, as --type and inspect spell it: "q4_k" */
    const char *safetensors; /* the name in a safetensors header, NULL where it has none */
    int32_t gguf;            /* ggml_type, -1 where GGUF has none */
    uint32_t block_elems;
    uint32_t block_bytes;
} ash_dtype_info;

/* NULL when `type` is not a value above. */
const ash_dtype_info *ash_dtype_find(uint32_t type);
/* The name, or "unknown". */
const char *ash_dtype_name(uint32_t type);
/* Each returns ASH_DTYPE_COUNT when there is no such type. */
ash_dtype ash_dtype_from_gguf(uint32_t ggml_type);
ash_dtype ash_dtype_from_safetensors(const char *name);
ash_dtype ash_dtype_from_name(const char *name);

static inline bool ash_dtype_usable(uint32_t type) { return type < ASH_USABLE_DTYPES; }

/* Bytes of a source row of `cols` elements: whole blocks, the last one padded.
 * False on overflow or an unknown type. */
bool ash_row_bytes(uint32_t type, uint64_t cols, uint64_t *out);

#endif
