/* Small random models for tests, as a GGUF file (make_gguf) or a Hugging Face folder (make_hf) with the same shapes and
 * the same byte-level BPE vocabulary. The same spec gives the same bytes on any machine. Every helper fails the running
 * test when it cannot write.
 *
 * Vocabulary: ids 0 to 255 are the bytes (id = byte value), 256 to 271 the results of 16 merges in rank order, then
 * MAKE_BOS, MAKE_EOS, MAKE_IM_START, MAKE_IM_END, then unused fillers up to `vocab`. "hello world" is two tokens.
 */
#ifndef ASHLAR_TESTS_SUPPORT_MAKE_MODEL_H
#define ASHLAR_TESTS_SUPPORT_MAKE_MODEL_H

#include "format/dtype.h"
#include "tests/support/support.h"

enum {
    MAKE_MERGES = 16,
    MAKE_BOS = 256 + MAKE_MERGES, /* <|begin_of_text|> */
    MAKE_EOS,                     /* <|end_of_text|> */
    MAKE_IM_START,                /* <|im_start|> */
    MAKE_IM_END,                  /* <|im_end|> */
    MAKE_VOCAB_MIN
};

typedef enum make_fp8 {
    MAKE_FP8_NONE,
    MAKE_FP8_STATIC,  /* compressed-tensors, one weight_scale and one input_scale a matrix, BF16 [1] */
    MAKE_FP8_DYNAMIC, /* compressed-tensors, one weight_scale a matrix, input scales per token at run time */
    MAKE_FP8_CHANNEL, /* compressed-tensors, weight_scale BF16 [rows, 1], input scales per token at run time */
    MAKE_FP8_BLOCK,   /* quant_method fp8: weight_scale_inv F32 [ceil(rows / 128), ceil(columns / 128)] */
} make_fp8;

typedef struct make_spec {
    const char *architecture; /* "llama", "qwen2" (q, k, v biases) or "qwen3" (q and k norms) */
    uint32_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab, context;
    ash_dtype dtype;     /* of every matrix. GGUF: any type that GGUF knows. HF: F32, F16, BF16; the others' with fp8 */
    ash_dtype alternate; /* GGUF: of attn_v and ffn_down; ASH_DTYPE_COUNT: `dtype` */
    bool tied;           /* no output matrix */
    uint32_t parts;      /* files: GGUF parts or safetensors shards; 1 */
    const char *extra;   /* name of an F32 [3, 5] tensor outside the architecture, or NULL */
    /* GGUF alone */
    uint32_t version;    /* 2 or 3 */
    uint64_t alignment;  /* 0: 32, without general.alignment */
    bool tokenizer;      /* with tokenizer.* keys */
    bool tools;          /* and among them a padding id, MAKE_EOS, and make_tool_template */
    bool rope_freqs;     /* with a rope_freqs.weight of head_dim / 2 factors */
    /* HF alone */
    make_fp8 fp8;
    bool old_config;          /* rope_theta and torch_dtype instead of rope_parameters and dtype */
    const char *config_extra; /* more members of config.json: "\"rope_scaling\": null" */
} make_spec;

/* llama, 2 layers, hidden 256, ffn 512, 4 heads of 64 and 2 for k and v, vocab 288, context 256, BF16, one file. */
make_spec make_defaults(void);

/* ---- what make_gguf and make_hf share ---- */

/* The text of a token in byte-level spelling (UTF-8). */
void make_token(uint32_t id, char out[64]);
/* The two halves of merge 0 .. MAKE_MERGES - 1, as "LEFT RIGHT". */
const char *make_merge(uint32_t rank);
extern const char make_chat_template[]; /* ChatML */
extern const char make_tool_template[];

/* `elements` (whole blocks) of random weights of about 0.03 in magnitude: all codes random, scales finite, both signs.
 * Types that ashlar does not compute with get random bytes. F8_E4M3: codes without NaN, magnitude up to 448. */
void make_weights(ash_dtype dtype, test_rng *rng, uint64_t elements, uint8_t *out);

/* One tensor of a model to be written; names follow the kind of file. */
typedef struct make_tensor {
    char name[96];
    ash_dtype dtype;
    uint32_t dim_count;
    uint64_t dims[4]; /* GGUF: fastest first; safetensors: slowest first */
    uint64_t size;
    uint8_t *bytes;
} make_tensor;

typedef struct make_list {
    make_tensor *items;
    size_t count, room;
} make_list;

/* Appends a tensor; its `size` uninitialized bytes follow from dtype and dims (dims[fastest] is the row's length). */
make_tensor *make_add(make_list *list, const char *name, ash_dtype dtype, uint32_t dim_count, const uint64_t *dims,
                      uint32_t fastest);
void make_list_free(make_list *list);

#endif
