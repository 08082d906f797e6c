/* A loaded model: the file's mapping, and where each layer's weights lie in it.
 *
 * Nothing here copies or repacks a weight. Small vectors (norms, biases, FP8 scales) are converted to float once.
 * A linear operation has up to three parts, because q, k and v (or gate and up) may be one fused tensor, two or three;
 * whatever the storage, its output row has one shape:
 *   qkv      [q | k | v], each part begins at a multiple of 16
 *   gate_up  panel-interleaved: 16 of gate, 16 of up, ...
 */
#ifndef ASHLAR_RUNTIME_MODEL_H
#define ASHLAR_RUNTIME_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "format/meta.h"
#include "format/reader.h"
#include "kernels/kernels.h"
#include "runtime/ashlar.h"
#include "runtime/rope.h"
#include "runtime/tokenizer.h"

/* What an input row goes through before it meets an FP8 weight. */
typedef enum ash_rounding {
    ASH_ROUND_NONE,
    ASH_ROUND_STATIC, /* e4m3 with `scale` */
    ASH_ROUND_TOKEN,  /* e4m3 with max|x| / 448 of each token */
} ash_rounding;

typedef struct ash_op_input {
    ash_rounding rounding;
    float scale;
} ash_op_input;

typedef struct ash_part {
    ash_matrix w;
    int64_t panels;
    int64_t y_first;        /* where panel 0 goes in an output row */
    int64_t y_panel_stride; /* floats from a panel's output to the next one's */
    uint32_t input;         /* which of the operation's inputs */
} ash_part;

#define ASH_PARTS_MAX 3

typedef struct ash_linear {
    ash_part part[ASH_PARTS_MAX];
    uint32_t part_count;
    uint32_t input_count;
    ash_op_input input[ASH_PARTS_MAX]; /* distinct ones */
    int64_t cols;
    int64_t row_elems; /* floats of an output row, a multiple of 16 */
    bool fine;         /* 8-bit inputs are q8_fine: see ASH_SMALL_HIDDEN */
} ash_linear;

/* In models up to this width the products where 8-bit inputs hurt most take them in 16: q, k and v, whose errors the
 * softmax amplifies; down, whose inputs have the largest outliers; the output matrix. Measured on SmolLM2-135M, 1,410
 * greedy positions against float inputs: 8 bits everywhere change 4.2% of the choices (KL 0.0034), float in these three
 * 1.1% (KL 0.0010). Small models are fast
 * anyway; in wider ones an outlier's block is a smaller part of the sum. Nor do their 8-bit inputs get wide scales, as wider
 * models' do, with llama.cpp in K types and the card in prompts of all types: SmolLM2-135M in Q6_K has 0.26% more perplexity. */
#define ASH_SMALL_HIDDEN 1024

typedef struct ash_layer {
    const float *attn_norm, *ffn_norm;
    const float *q_norm, *k_norm;                  /* NULL: none */
    const float *q_bias, *k_bias, *v_bias, *o_bias; /* NULL: none; padded with zeros to 16 */
    ash_linear qkv, o, gate_up, down;
} ash_layer;

struct ashlar_model {
    ash_file *file;
    ash_meta meta;
    ash_tokenizer *tokenizer; /* NULL: the file has none */

    int64_t k_first, v_first; /* in a qkv row; q is at 0 */
    ash_matrix embed;
    const float *output_norm;
    ash_linear output;
    ash_rope rope;
    ash_layer *layers;
    bool wide; /* of many tokens 8-bit inputs may have scales of ASH_Q8_WIDE columns: see ASH_SMALL_HIDDEN */

    uint64_t parameters, token_bytes, token_macs, q_macs; /* see ashlar_model_info; q_macs: those of Q types */
    void **owned;                     /* small arrays, freed with the model */
    size_t owned_count;
};

/* Memory that lives as long as the model: `count` zeroed floats, aligned to 64 bytes. */
ash_status ash_model_floats(ashlar_model *model, uint64_t count, float **out, ash_error *err);

/* ASH_E_UNSUPPORTED, with the file's name, where the model has no tokenizer. */
ash_status ash_need_tokenizer(const ashlar_model *model, ash_error *err);
/* The matrix of one role (Q, not QKV), whether or not it is a tensor of its own. `layer`: or ASH_NO_LAYER. */
ash_status ash_model_matrix(ashlar_model *model, uint32_t layer, uint32_t role, ash_matrix *out, ash_error *err);

/* ---- scales.c ---- */

/* A LINEAR tensor of `count` elements (F32, F16 or BF16) as floats, padded with zeros to a multiple of 16. */
ash_status ash_model_vector(ashlar_model *model, const ash_tensor_record *tensor, uint64_t count, const float **out,
                            ash_error *err);
/* The weight scales of an FP8 member in the form that kernels.h asks for: fills w->scale_kind and w->scale. */
ash_status ash_model_weight_scale(ashlar_model *model, const ash_tensor_record *tensor, const ash_member_record *member,
                                  ash_matrix *w, ash_error *err);
/* What the inputs of a member go through. */
ash_status ash_model_input(ashlar_model *model, const ash_tensor_record *tensor, const ash_member_record *member,
                           ash_op_input *out, ash_error *err);

#endif
