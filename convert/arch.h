/* What the architectures are called, which tensors they have and what shapes those must have: tables.
 *
 * An architecture here is one of the runtime's: "llama" (Llama 2 and 3, Mistral, SmolLM, TinyLlama), "qwen2", "qwen3".
 * A '#' in a name stands for the layer's number.
 */
#ifndef ASHLAR_CONVERT_ARCH_H
#define ASHLAR_CONVERT_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/container.h"
#include "format/meta.h"

/* Whether an architecture has a kind of tensor. */
typedef enum ash_presence { ASH_NEVER, ASH_MAYBE, ASH_ALWAYS } ash_presence;

typedef struct ash_arch {
    const char *name;       /* in META, and general.architecture of a GGUF */
    ash_presence qkv_bias, o_bias, qk_norm;
    ash_row_order gguf_rows; /* of q and k in a GGUF; in a Hugging Face checkpoint they are HALVES */
} ash_arch;

/* How a Hugging Face config.json calls an architecture, and what its keys mean when they are absent. */
typedef struct ash_hf_class {
    const char *class_name; /* in "architectures" */
    const char *model_type;
    const char *arch;
    uint32_t head_dim;      /* default; 0: hidden_size / num_attention_heads */
    uint32_t context;       /* default of max_position_embeddings */
    bool window_switch;     /* sliding_window counts only with use_sliding_window */
    bool window;            /* sliding_window counts at all */
} ash_hf_class;

const ash_arch *ash_arch_find(const char *name);             /* NULL when unknown */
const ash_hf_class *ash_hf_class_find(const char *class_name); /* likewise */
const ash_hf_class *ash_hf_class_of_type(const char *model_type);
/* "llama, qwen2, qwen3"; "LlamaForCausalLM, ...". */
const char *ash_arch_names(void);
const char *ash_hf_class_names(void);

/* Extents that hyperparameters define. */
typedef enum ash_extent {
    ASH_EXTENT_ONE, /* no such dimension: a vector */
    ASH_EXTENT_VOCAB,
    ASH_EXTENT_HIDDEN,
    ASH_EXTENT_Q,         /* heads * head_dim */
    ASH_EXTENT_KV,        /* kv_heads * head_dim */
    ASH_EXTENT_FFN,
    ASH_EXTENT_HEAD,
    ASH_EXTENT_ROPE,       /* rope_dim / 2 */
} ash_extent;
uint64_t ash_extent_value(ash_extent extent, const ash_hparams *h);
/* The keys that the extent comes from, as config.json (hf) or a GGUF (there without the architecture) spells them. */
const char *ash_extent_keys(ash_extent extent, bool hf);

/* One tensor of the architecture. */
typedef struct ash_arch_tensor {
    ash_role role;
    const char *name;       /* ours */
    const char *hf, *gguf;  /* the sources'; NULL: never there */
    ash_extent cols, rows;
    bool rotated;           /* its rows are in the order of rotation pairs */
} ash_arch_tensor;

/* The row of a role. */
const ash_arch_tensor *ash_arch_tensor_of(ash_role role);
/* Whether `arch` has it. OUTPUT and ROPE_FREQS are ASH_MAYBE. */
ash_presence ash_arch_has(const ash_arch *arch, ash_role role);

/* Replaces '#' by `layer`; false when `size` is too small. */
bool ash_arch_name(const char *pattern, uint32_t layer, char *out, size_t size);
/* The layer that a source name belongs to by its prefix ("model.layers.7.", "blk.7."), or ASH_NO_LAYER. */
uint32_t ash_arch_layer_of(const char *source_name, bool hf);
/* A tensor that changes what the model computes and that no role takes: biases of the feed-forward, experts, extra
 * norms, adapters. Such a model must be refused, not half converted. NULL, or what it is in words. */
const char *ash_arch_refused(const char *source_name, bool hf);
/* Buffers that can be computed from the configuration and are dropped. */
bool ash_arch_derived(const char *source_name);

#endif
