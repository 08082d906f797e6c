/* GGUF keys to hyperparameters. Keys are "<architecture>.<name>". */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"

/* Templates of published models have up to some 20 KB. */

typedef struct keys {
    const ash_gguf *g;
    const char *arch;
    char text[128];
} keys;

static const char *key_of(keys *k, const char *name)
{
    snprintf(k->text, sizeof k->text, "%s.%s", k->arch, name); /* architectures and names are ours: both short */
    return k->text;
}

static ash_status get_u32(keys *k, const char *name, bool required, uint32_t *out, ash_error *err)
{
    const char *key = key_of(k, name);
    uint64_t value;
    if (!ash_gguf_find(k->g, key))
        return required ? ash_fail(err, ASH_E_FORMAT, "key %s is missing", key) : ASH_OK;
    if (!ash_gguf_get_u64(k->g, key, &value) || value > UINT32_MAX)
        return ash_fail(err, ASH_E_FORMAT, "key %s must be a whole number from 0 to 4294967295", key);
    *out = (uint32_t)value;
    return ASH_OK;
}

static ash_status get_float(keys *k, const char *name, bool required, float *out, ash_error *err)
{
    const char *key = key_of(k, name);
    double value;
    if (!ash_gguf_find(k->g, key))
        return required ? ash_fail(err, ASH_E_FORMAT, "key %s is missing", key) : ASH_OK;
    if (!ash_gguf_get_f64(k->g, key, &value) || !isfinite((float)value))
        return ash_fail(err, ASH_E_FORMAT, "key %s must be a finite float", key);
    *out = (float)value;
    return ASH_OK;
}

/* A few keys are a number, or a list with one for each layer; we take a list whose numbers are equal. */
static ash_status get_u32_uniform(keys *k, const char *name, uint32_t layers, uint32_t *out, ash_error *err)
{
    const char *key = key_of(k, name);
    const ash_gguf_kv *kv = ash_gguf_find(k->g, key);
    if (!kv || kv->type != ASH_GGUF_ARRAY)
        return get_u32(k, name, true, out, err);
    if ((kv->element != ASH_GGUF_U32 && kv->element != ASH_GGUF_I32) || kv->count < layers || kv->count == 0)
        return ash_fail(err, ASH_E_FORMAT, "key %s must have a number for each of %" PRIu32 " layers", key, layers);
    uint32_t first, value;
    memcpy(&first, kv->value, sizeof first);
    for (uint64_t i = 1; i < kv->count; i++) {
        memcpy(&value, kv->value + i * sizeof value, sizeof value);
        if (value != first)
            return ash_fail(err, ASH_E_UNSUPPORTED, "key %s differs between layers, which is not supported", key);
    }
    *out = first;
    return ASH_OK;
}

static char *copy_string(ash_gguf_string s)
{
    return memchr(s.text, 0, s.size) ? NULL : strndup(s.text, s.size);
}

/* ---- rotation ---- */

static ash_status read_rope(keys *k, ash_hparams *h, ash_error *err)
{
    h->rope_dim = h->head_dim;
    h->rope_theta = 10000; /* ggml's default */
    ASH_TRY(get_u32(k, "rope.dimension_count", false, &h->rope_dim, err));
    ASH_TRY(get_float(k, "rope.freq_base", false, &h->rope_theta, err));
    ash_gguf_string type = { "", 0 };
    bool said = ash_gguf_get_string(k->g, key_of(k, "rope.scaling.type"), &type);
    if (!said && ash_gguf_find(k->g, key_of(k, "rope.scaling.type")))
        return ash_fail(err, ASH_E_FORMAT, "%s is no string", key_of(k, "rope.scaling.type"));
    if (!said) { /* llama.cpp takes a factor without a type as linear; scale_linear is from before rope.scaling.* existed */
        float factor = 0;
        ASH_TRY(get_float(k, "rope.scale_linear", false, &factor, err));
        ASH_TRY(get_float(k, "rope.scaling.factor", false, &factor, err));
        if (factor != 0 && factor != 1) {
            h->rope_scaling = ASH_ROPE_LINEAR;
            h->rope_factor = factor;
        }
        return ASH_OK;
    }
    if ((type.size == 4 && memcmp(type.text, "none", 4) == 0))
        return ASH_OK;
    if (type.size == 6 && memcmp(type.text, "linear", 6) == 0) {
        h->rope_scaling = ASH_ROPE_LINEAR;
        return get_float(k, "rope.scaling.factor", true, &h->rope_factor, err);
    }
    if (type.size != 4 || memcmp(type.text, "yarn", 4) != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s %.*s is not supported; none, linear, yarn are",
                        key_of(k, "rope.scaling.type"), (int)(type.size < 40 ? type.size : 40), type.text);
    h->rope_scaling = ASH_ROPE_YARN;
    h->rope_low = 1, h->rope_high = 32;
    h->rope_original_context = h->context;
    float attention = 1;
    ASH_TRY(get_float(k, "rope.scaling.factor", true, &h->rope_factor, err));
    ASH_TRY(get_u32(k, "rope.scaling.original_context_length", false, &h->rope_original_context, err));
    ASH_TRY(get_float(k, "rope.scaling.yarn_beta_slow", false, &h->rope_low, err));
    ASH_TRY(get_float(k, "rope.scaling.yarn_beta_fast", false, &h->rope_high, err));
    ASH_TRY(get_float(k, "rope.scaling.attn_factor", false, &attention, err));
    ASH_TRY(get_float(k, "rope.scaling.yarn_attn_factor", false, &attention, err));
    /* ggml multiplies what the file says with YaRN's own factor. */
    if (attention != 1 && h->rope_factor > 1)
        h->rope_attention_factor = (float)(attention * (0.1 * log((double)h->rope_factor) + 1));
    return ASH_OK;
}

/* ---- all of it ---- */

static ash_status read_sizes(keys *k, ash_hparams *h, ash_error *err)
{
    uint32_t experts = 0, value_length;
    ASH_TRY(get_u32(k, "expert_count", false, &experts, err));
    if (experts != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s is %" PRIu32 ": mixture of experts comes with a later version",
                        key_of(k, "expert_count"), experts);
    ASH_TRY(get_u32(k, "block_count", true, &h->layers, err));
    ASH_TRY(get_u32(k, "context_length", true, &h->context, err));
    ASH_TRY(get_u32(k, "embedding_length", true, &h->hidden, err));
    ASH_TRY(get_u32_uniform(k, "feed_forward_length", h->layers, &h->ffn, err));
    ASH_TRY(get_u32_uniform(k, "attention.head_count", h->layers, &h->heads, err));
    if (h->heads == 0)
        return ash_fail(err, ASH_E_FORMAT, "key %s is 0", key_of(k, "attention.head_count"));
    h->kv_heads = h->heads;
    if (ash_gguf_find(k->g, key_of(k, "attention.head_count_kv")))
        ASH_TRY(get_u32_uniform(k, "attention.head_count_kv", h->layers, &h->kv_heads, err));
    bool said = ash_gguf_find(k->g, key_of(k, "attention.key_length")) != NULL;
    if (!said && h->hidden % h->heads != 0)
        return ash_fail(err, ASH_E_FORMAT, "key %s is missing, and embedding_length %" PRIu32 " is no multiple of "
                        "attention.head_count %" PRIu32, key_of(k, "attention.key_length"), h->hidden, h->heads);
    h->head_dim = said ? 0 : h->hidden / h->heads;
    ASH_TRY(get_u32(k, "attention.key_length", false, &h->head_dim, err));
    value_length = h->head_dim;
    ASH_TRY(get_u32(k, "attention.value_length", false, &value_length, err));
    if (value_length != h->head_dim)
        return ash_fail(err, ASH_E_UNSUPPORTED, "attention.value_length %" PRIu32 " differs from the key length %"
                        PRIu32 ", which is not supported", value_length, h->head_dim);
    ASH_TRY(get_u32(k, "attention.sliding_window", false, &h->sliding_window, err));
    return get_float(k, "attention.layer_norm_rms_epsilon", true, &h->norm_eps, err);
}

static ash_status read_keys(const ash_source *source, ash_import *out, ash_error *err)
{
    const ash_gguf *g = source->gguf;
    ash_gguf_string text;
    if (!ash_gguf_get_string(g, "general.architecture", &text))
        return ash_fail(err, ASH_E_FORMAT, "key general.architecture is missing");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(text.size < 60 ? text.size : 60), text.text);
    out->arch = ash_arch_find(name);
    if (!out->arch)
        return ash_fail(err, ASH_E_UNSUPPORTED, "architecture %s is not supported; supported are %s", name,
                        ash_arch_names());
    out->row_order = out->arch->gguf_rows;
    ash_hparams *h = &out->h;
    memcpy(h->architecture, out->arch->name, strlen(out->arch->name) + 1);
    keys k = { .g = g, .arch = out->arch->name };
    ASH_TRY(read_sizes(&k, h, err));
    ASH_TRY(read_rope(&k, h, err));
    const ash_source_tensor *embed = ash_source_find(source, ash_arch_tensor_of(ASH_ROLE_EMBED)->gguf);
    if (!embed)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s is missing; is this a vocabulary or an adapter alone?",
                        ash_arch_tensor_of(ASH_ROLE_EMBED)->gguf);
    if (embed->dims[1] > UINT32_MAX)
        return ash_fail(err, ASH_E_FORMAT, "tensor %s has %" PRIu64 " rows", embed->name, embed->dims[1]);
    h->vocab = (uint32_t)embed->dims[1];
    ASH_TRY(ash_hparams_check(h, err));
    if (ash_gguf_get_string(g, "general.name", &text) && text.size != 0 && text.size <= 1024)
        out->name = copy_string(text);
    return ash_import_gguf_templates(g, out, err);
}

ash_status ash_import_gguf(const ash_source *source, ash_import *out, ash_error *err)
{
    *out = (ash_import){ 0 };
    if (read_keys(source, out, err) == ASH_OK)
        return ASH_OK;
    ash_import_free(out);
    return ash_fail_in(err, source->path);
}
