/* Key-values of a GGUF that no GGUF left behind: the architecture's, from the hyperparameters in META. Their order is
 * that of llama.cpp's own converter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "convert/export_internal.h"

#define TWO_PI 6.283185307179586476925
#define QUANTIZATION_VERSION 2 /* of ggml's blocks as they are since May 2023 */

typedef struct keys {
    ash_gguf_writer *w;
    const char *arch;
    char text[128];
} keys;

static const char *key_of(keys *k, const char *name)
{
    snprintf(k->text, sizeof k->text, "%s.%s", k->arch, name); /* architectures and names are ours: both short */
    return k->text;
}

static ash_status put_u32(keys *k, const char *name, uint32_t value, ash_error *err)
{
    return ash_gguf_writer_kv_u32(k->w, key_of(k, name), value, err);
}

static ash_status put_f32(keys *k, const char *name, float value, ash_error *err)
{
    return ash_gguf_writer_kv_f32(k->w, key_of(k, name), value, err);
}

static ash_status put_text(keys *k, const char *key, const char *text, ash_error *err)
{
    return ash_gguf_writer_kv_string(k->w, key, text, strlen(text), err);
}

/* ---- rotation ---- */

/* ggml multiplies cos and sin by its own 0.1 ln(factor) + 1 and by this key, so that what the model says is divided by
 * the former. */
static ash_status put_yarn(const ash_export *e, keys *k, ash_error *err)
{
    const ash_hparams *h = &e->meta.h;
    ASH_TRY(put_text(k, key_of(k, "rope.scaling.type"), "yarn", err));
    ASH_TRY(put_f32(k, "rope.scaling.factor", h->rope_factor, err));
    ASH_TRY(put_u32(k, "rope.scaling.original_context_length", h->rope_original_context, err));
    double own = h->rope_factor > 1 ? 0.1 * log((double)h->rope_factor) + 1 : 1;
    if (h->rope_attention_factor != 0 && h->rope_attention_factor != (float)own)
        ASH_TRY(put_f32(k, "rope.scaling.attn_factor", (float)(h->rope_attention_factor / own), err));
    if (h->rope_high != 32)
        ASH_TRY(put_f32(k, "rope.scaling.yarn_beta_fast", h->rope_high, err));
    if (h->rope_low != 1)
        ASH_TRY(put_f32(k, "rope.scaling.yarn_beta_slow", h->rope_low, err));
    if (h->rope_high != 32 || h->rope_low != 1)
        ash_export_note(e, "llama.cpp does not read yarn's beta_fast %g and beta_slow %g of a %s model: its results "
                        "differ", (double)h->rope_high, (double)h->rope_low, k->arch);
    return ASH_OK;
}

static ash_status put_scaling(const ash_export *e, keys *k, ash_error *err)
{
    const ash_hparams *h = &e->meta.h;
    switch (h->rope_scaling) {
    case ASH_ROPE_NONE:
    case ASH_ROPE_LLAMA3: return ASH_OK; /* a tensor: ash_export_rope_factors */
    case ASH_ROPE_LINEAR:
        ASH_TRY(put_text(k, key_of(k, "rope.scaling.type"), "linear", err));
        return put_f32(k, "rope.scaling.factor", h->rope_factor, err);
    case ASH_ROPE_YARN: return put_yarn(e, k, err);
    }
    return ash_fail(err, ASH_E_UNSUPPORTED, "rope scaling %d cannot be exported to GGUF", (int)h->rope_scaling);
}

/* Wavelengths shorter than original / high keep their frequency, longer than original / low are divided by factor, and
 * between them frequencies are mixed linearly in original / wavelength. */
void ash_export_rope_factors(const ash_hparams *h, float *out)
{
    for (uint32_t i = 0; i < h->rope_dim / 2; i++) {
        double frequency = pow(h->rope_theta, -2.0 * i / h->rope_dim);
        double turns = h->rope_original_context * frequency / TWO_PI; /* of this pair in the original context */
        double keep = (turns - h->rope_low) / ((double)h->rope_high - h->rope_low);
        out[i] = turns > h->rope_high  ? 1.0f
                 : turns < h->rope_low ? h->rope_factor
                                       : (float)(1 / ((1 - keep) / h->rope_factor + keep));
    }
}

/* ---- all of it ---- */

ash_status ash_export_keys(ash_export *e, ash_error *err)
{
    const ash_hparams *h = &e->meta.h;
    keys k = { .w = e->gguf, .arch = e->arch->name };
    uint32_t type;
    ASH_TRY(put_text(&k, "general.architecture", k.arch, err));
    ASH_TRY(put_text(&k, "general.type", "model", err));
    if (e->meta.name && *e->meta.name)
        ASH_TRY(put_text(&k, "general.name", e->meta.name, err));
    ASH_TRY(put_u32(&k, "block_count", h->layers, err));
    ASH_TRY(put_u32(&k, "context_length", h->context, err));
    ASH_TRY(put_u32(&k, "embedding_length", h->hidden, err));
    ASH_TRY(put_u32(&k, "feed_forward_length", h->ffn, err));
    ASH_TRY(put_u32(&k, "attention.head_count", h->heads, err));
    ASH_TRY(put_u32(&k, "attention.head_count_kv", h->kv_heads, err));
    ASH_TRY(put_scaling(e, &k, err));
    ASH_TRY(put_f32(&k, "rope.freq_base", h->rope_theta, err));
    ASH_TRY(put_f32(&k, "attention.layer_norm_rms_epsilon", h->norm_eps, err));
    ASH_TRY(put_u32(&k, "attention.key_length", h->head_dim, err));
    ASH_TRY(put_u32(&k, "attention.value_length", h->head_dim, err));
    if (h->sliding_window) {
        ASH_TRY(put_u32(&k, "attention.sliding_window", h->sliding_window, err));
        if (h->sliding_window < h->context)
            ash_export_note(e, "llama.cpp lets every token of a %s model see all before it: texts longer than the "
                            "sliding window of %u tokens give other results there", k.arch, h->sliding_window);
    }
    if (ash_export_file_type(e, &type))
        ASH_TRY(ash_gguf_writer_kv_u32(e->gguf, "general.file_type", type, err));
    ASH_TRY(put_u32(&k, "vocab_size", h->vocab, err));
    ASH_TRY(put_u32(&k, "rope.dimension_count", h->rope_dim, err));
    return ash_gguf_writer_kv_u32(e->gguf, "general.quantization_version", QUANTIZATION_VERSION, err);
}
