/* The META section: JSON with hyperparameters, special tokens, chat template and provenance; keys: FORMAT.md. */
#ifndef ASHLAR_FORMAT_META_H
#define ASHLAR_FORMAT_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

typedef enum ash_rope_scaling {
    ASH_ROPE_NONE = 0,
    ASH_ROPE_LINEAR, /* positions divided by factor */
    ASH_ROPE_LLAMA3, /* Llama 3.1: low frequencies divided, a ramp between */
    ASH_ROPE_YARN,
} ash_rope_scaling;

typedef struct ash_hparams {
    char architecture[32]; /* "llama", "qwen2", "qwen3": decides biases, norms and names */
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab; /* vocab: rows of the output matrix */
    uint32_t context;        /* trained context in tokens */
    uint32_t sliding_window; /* tokens a query sees at most; 0: all */
    uint32_t rope_dim;       /* rotated elements of a head */
    float norm_eps;
    float rope_theta;
    ash_rope_scaling rope_scaling;
    float rope_factor;              /* LINEAR, LLAMA3, YARN */
    float rope_low, rope_high;      /* LLAMA3: low_freq_factor, high_freq_factor; YARN: beta_slow, beta_fast */
    float rope_attention_factor;    /* YARN: multiplies cos and sin; 0: 0.1 ln(factor) + 1 */
    uint32_t rope_original_context; /* LLAMA3, YARN */
    bool tied_output;               /* EMBED doubles as OUTPUT */
    bool qkv_bias, qk_norm;
} ash_hparams;

#define ASH_STOP_MAX 32
#define ASH_HEAD_DIM_MAX 256 /* what the attention kernels keep on the stack; no model that we read has more */

typedef struct ash_meta {
    ash_hparams h;
    char *name;           /* of the model, as its source calls it; may be NULL */
    char *source_kind;    /* "hf" or "gguf" */
    char *chat_template;  /* Jinja text, or NULL */
    char *tool_template;  /* what takes its place in a conversation with tools, or NULL */
    int32_t bos;          /* -1: none */
    bool add_bos;         /* encode puts BOS first */
    int32_t pad;          /* -1: none */
    uint32_t stop_count;
    int32_t stop[ASH_STOP_MAX]; /* the union of every source's end ids, ascending */
    char *provenance;     /* a JSON object, as text: tool version, recipe, source files with sizes and hashes */
} ash_meta;

void ash_meta_free(ash_meta *meta); /* frees the strings, not the struct; zeroes it */

/* Serializes; caller frees *out. */
ash_status ash_meta_write(const ash_meta *meta, char **out, size_t *size, ash_error *err);
/* Parses and checks ranges (sizes nonzero and bounded, heads % kv_heads == 0, rope_dim even and <= head_dim, ...). */
ash_status ash_meta_read(const char *json, size_t size, ash_meta *out, ash_error *err);
/* The checks alone: also what the converter uses on hyperparameters that it has just read. */
ash_status ash_hparams_check(const ash_hparams *h, ash_error *err);

#endif
