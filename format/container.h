/* The .ashlar container: on-disk structures. FORMAT.md is the specification; this file is its C form.
 * Little-endian, no pointers, every struct's size asserted. Offsets are from the file's start.
 *
 *   [header 4096] [TENS MEMB STRS] [DATA, 4096-aligned] [TOKN] [META] [GGKV] [HASH]
 */
#ifndef ASHLAR_FORMAT_CONTAINER_H
#define ASHLAR_FORMAT_CONTAINER_H

#include <assert.h>
#include <stdint.h>

#define ASH_MAGIC "\x89" "ASHLAR\n" /* 8 bytes; the first is no text, the last shows newline translation */
#define ASH_VERSION 0
#define ASH_HEADER_BYTES 4096
#define ASH_SECTION_ALIGN 64 /* where sections besides DATA begin */
#define ASH_TENSOR_ALIGN 4096
#define ASH_DATA_CHUNK_BYTES (UINT64_C(16) << 20)
#define ASH_SECTION_MAX 48

/* Feature bits of version 0. A reader refuses a required bit that it does not know, by number and,
 * where the file gives one in META "features", by name; it ignores unknown optional bits. */
#define ASH_FEATURES_REQUIRED_KNOWN UINT64_C(0)

typedef struct ash_hash128 { uint64_t low, high; } ash_hash128; /* XXH3-128, seed 0 */

#define ASH_FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
enum {
    ASH_SECTION_TENSORS = ASH_FOURCC('T', 'E', 'N', 'S'),   /* ash_tensor_record[] */
    ASH_SECTION_MEMBERS = ASH_FOURCC('M', 'E', 'M', 'B'),   /* ash_member_record[] */
    ASH_SECTION_STRINGS = ASH_FOURCC('S', 'T', 'R', 'S'),   /* names, UTF-8; a NUL, not counted, ends each */
    ASH_SECTION_DATA = ASH_FOURCC('D', 'A', 'T', 'A'),      /* tensor data; its hash is HASH's: the root */
    ASH_SECTION_TOKENIZER = ASH_FOURCC('T', 'O', 'K', 'N'), /* format/vocab.h; absent: no tokenizer */
    ASH_SECTION_META = ASH_FOURCC('M', 'E', 'T', 'A'),      /* JSON, zstd */
    ASH_SECTION_GGUF_KV = ASH_FOURCC('G', 'G', 'K', 'V'),   /* GGUF key-values, zstd; absent: not from GGUF */
    ASH_SECTION_HASHES = ASH_FOURCC('H', 'A', 'S', 'H'),    /* ash_hash128 per data chunk; its own hash is the root */
};
#define ASH_SECTION_FLAG_ZSTD 1u /* stored as one zstd frame; raw_size is what it inflates to */

typedef struct ash_section_record {
    uint32_t id;
    uint32_t flags;
    uint64_t offset;
    uint64_t size;     /* in the file */
    uint64_t raw_size; /* after decompression; = size where not compressed */
    ash_hash128 hash;  /* of the bytes in the file */
    uint64_t reserved[2];
} ash_section_record;
static_assert(sizeof(ash_section_record) == 64, "section record");

typedef struct ash_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t header_bytes; /* 4096 */
    uint64_t file_bytes;
    uint64_t features_required;
    uint64_t features_optional;
    uint32_t section_count;
    uint16_t section_record_bytes; /* 64 */
    uint16_t tensor_record_bytes;  /* 256 */
    uint16_t member_record_bytes;  /* 128 */
    uint16_t reserved0;
    uint32_t file_index; /* of a model in several files: 0-based; */
    uint32_t file_count; /* 1 in version 0 */
    uint32_t tensor_align;
    uint64_t data_chunk_bytes;
    ash_hash128 model_id; /* shared by the files of one model; 0 in version 0 */
    uint64_t reserved1[21];
    ash_section_record sections[ASH_SECTION_MAX];
    uint8_t reserved2[4096 - 256 - 64 * ASH_SECTION_MAX - 16];
    ash_hash128 header_hash; /* of the 4096 bytes with this field zero */
} ash_header;
static_assert(sizeof(ash_header) == ASH_HEADER_BYTES, "header");
static_assert(__builtin_offsetof(ash_header, sections) == 256, "section table");

/* What a tensor is for. On disk: append only. */
typedef enum ash_role {
    ASH_ROLE_OTHER = 0,     /* outside the architecture: kept raw */
    ASH_ROLE_EMBED = 1,     /* [vocab, hidden] */
    ASH_ROLE_OUTPUT = 2,    /* [vocab, hidden]; absent: EMBED serves */
    ASH_ROLE_OUTPUT_NORM = 3,
    ASH_ROLE_ROPE_FREQS = 4, /* f32[rope_dim / 2]: divisors of the rotation frequencies */
    ASH_ROLE_ATTN_NORM = 8,
    ASH_ROLE_Q = 9,
    ASH_ROLE_K = 10,
    ASH_ROLE_V = 11,
    ASH_ROLE_O = 12,
    ASH_ROLE_Q_BIAS = 13,
    ASH_ROLE_K_BIAS = 14,
    ASH_ROLE_V_BIAS = 15,
    ASH_ROLE_O_BIAS = 16,
    ASH_ROLE_Q_NORM = 17, /* [head_dim] */
    ASH_ROLE_K_NORM = 18,
    ASH_ROLE_FFN_NORM = 19,
    ASH_ROLE_GATE = 20,
    ASH_ROLE_UP = 21,
    ASH_ROLE_DOWN = 22,
    ASH_ROLE_QKV = 32,     /* fused: members Q, K, V (or Q, K) one after another */
    ASH_ROLE_GATE_UP = 33, /* fused: members GATE and UP, panel by panel */
    ASH_ROLE_SCALE = 48,   /* of another tensor's member: see scale_kind */
    ASH_ROLE_COUNT
} ash_role;

/* What a scale tensor scales, and how. */
typedef enum ash_scale_kind {
    ASH_SCALE_NONE = 0,
    ASH_SCALE_TENSOR = 1,   /* 1 element: weight = e4m3 * scale */
    ASH_SCALE_ROW = 2,      /* rows elements, in the canonical row order of its tensor */
    ASH_SCALE_BLOCK128 = 3, /* [ceil(rows / 128), ceil(cols / 128)], in the source's row order */
    ASH_SCALE_INPUT = 4,    /* 1 element: inputs = e4m3(input / scale) * scale */
    ASH_SCALE_K_CACHE = 5,
    ASH_SCALE_V_CACHE = 6,
} ash_scale_kind;

/* The order of a member's rows in its source. Canonical: rotation pairs adjacent (rows 2 i, 2 i + 1 of a head). */
typedef enum ash_row_order {
    ASH_ROWS_SAME = 0,
    /* The source keeps a pair rope / 2 rows apart: canonical row 2 i + j of a head is source row i + j rope / 2. */
    ASH_ROWS_HALVES = 1,
} ash_row_order;

#define ASH_NO_INDEX UINT32_MAX
#define ASH_NO_LAYER UINT32_MAX

typedef struct ash_tensor_record {
    uint64_t name; /* offset into STRS */
    uint32_t name_bytes;
    uint32_t role;   /* ash_role */
    uint32_t layer;  /* or ASH_NO_LAYER */
    uint16_t dtype;  /* ash_dtype */
    uint16_t layout; /* ash_layout_id */
    uint16_t layout_revision;
    uint16_t dim_count; /* 1 to 4 */
    uint32_t member_first; /* index into MEMB */
    uint32_t member_count; /* at least 1 */
    uint32_t reserved0;
    uint64_t dims[4];        /* dims[0] = K, the fastest; dims[1] = rows; dims[2], [3]: outer; unused ones are 1 */
    uint64_t padded_dims[2]; /* of dims[0] and [1] as the layout stores them; = dims where LINEAR */
    uint64_t offset;         /* of the tensor's bytes, a multiple of tensor_align */
    uint64_t size;           /* without the alignment's padding, which is zero */
    /* Bytes from one matrix of dims[2] * dims[3] to the next; = size where there is one. Tiled: a multiple of
     * tensor_align. LINEAR: no gap, the tensor is one run of its source's bytes. */
    uint64_t slice_stride;
    uint64_t panel_bytes;    /* bytes of 16 rows; 0 where LINEAR */
    ash_hash128 hash;        /* of the `size` bytes */
    uint32_t scale_kind;     /* ash_scale_kind of a ROLE_SCALE tensor, else 0 */
    uint32_t reserved1;
    uint64_t reserved2[14];
} ash_tensor_record;
static_assert(sizeof(ash_tensor_record) == 256, "tensor record");

typedef struct ash_member_record {
    uint64_t name; /* the source's name: offset into STRS */
    uint32_t name_bytes;
    uint32_t role;        /* of the member: Q, K, V, GATE, UP, or the tensor's own */
    uint32_t source_dtype; /* ash_dtype in the source; differs from the tensor's where the user converted */
    uint32_t source_index; /* position in the source's directory, for export in the source's order */
    uint32_t source_dim_count;
    uint32_t row_order;       /* ash_row_order; of a vector's elements where dim_count is 1 */
    uint32_t row_order_head;  /* rows of a head; 0 where SAME */
    uint32_t row_order_rope;  /* rotated rows of a head, the first of it */
    uint64_t source_dims[4];  /* fastest first, unused ones 1 */
    uint64_t row_first;       /* first panel's first row in the tensor; a vector (dim_count 1) has one row */
    uint64_t row_count;       /* rows of the member */
    uint32_t panel_step;      /* member panel i is tensor panel row_first / 16 + i * panel_step: 1; interleaved: 2 */
    uint32_t scale_weight;    /* tensor index of the weight's scale, or ASH_NO_INDEX */
    uint32_t scale_input;     /* tensor index of the static input scale, or ASH_NO_INDEX: dynamic, or none */
    uint32_t input_dynamic;   /* 1: inputs pass through e4m3 with one scale a token */
    uint32_t slice_first;     /* the matrices of dims[2] * dims[3] that the member fills (experts that are tensors of */
    uint32_t slice_count;     /* their own in the source); the writer takes a count of 0 as all of them */
    uint32_t reserved[4];
} ash_member_record;
static_assert(sizeof(ash_member_record) == 128, "member record");

#endif
