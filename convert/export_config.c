/* config.json and generation_config.json from META and the plan, in the spelling that every version of transformers
 * reads: rope_theta and rope_scaling beside the other keys, torch_dtype. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/export_internal.h"

static cJSON *object(cJSON *parent, const char *key) { return parent ? cJSON_AddObjectToObject(parent, key) : NULL; }
static bool text(cJSON *o, const char *key, const char *value)
{
    return cJSON_AddStringToObject(o, key, value) != NULL;
}
static bool number(cJSON *o, const char *key, double value) { return cJSON_AddNumberToObject(o, key, value) != NULL; }
static bool truth(cJSON *o, const char *key, bool value) { return cJSON_AddBoolToObject(o, key, value) != NULL; }
static bool null(cJSON *o, const char *key) { return cJSON_AddNullToObject(o, key) != NULL; }

static ash_status no_memory(const ash_export *e, ash_error *err)
{
    return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
}

static bool has_role(const ash_export *e, ash_role role)
{
    for (uint32_t i = 0; i < e->count; i++)
        if (e->items[i].member.role == role)
            return true;
    return false;
}

/* ---- architecture ---- */

static ash_status refuse(const ash_export *e, const char *what, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "%s: no class of transformers is architecture %s with %s", e->path,
                    e->arch->name, what);
}

/* The class that computes the same. Llama's has biases of q, k, v and o or none, and no window; Mistral's has a window
 * and no biases; Qwen2's has biases of q, k and v always. */
static ash_status find_class(const ash_export *e, const ash_hf_class **out, ash_error *err)
{
    const ash_hparams *h = &e->meta.h;
    bool o_bias = has_role(e, ASH_ROLE_O_BIAS), qwen2 = strcmp(e->arch->name, "qwen2") == 0;
    const char *name = "LlamaForCausalLM";
    if (qwen2)
        name = "Qwen2ForCausalLM";
    else if (strcmp(e->arch->name, "qwen3") == 0)
        name = "Qwen3ForCausalLM";
    else if (h->sliding_window)
        name = "MistralForCausalLM";
    *out = ash_hf_class_find(name);
    if (h->rope_dim != h->head_dim)
        return refuse(e, "heads that are rotated in part", err);
    if (qwen2 ? !h->qkv_bias || o_bias : h->qkv_bias != o_bias)
        return refuse(e, "these biases of q, k, v and o", err);
    if (strcmp(name, "MistralForCausalLM") == 0 && h->qkv_bias)
        return refuse(e, "biases and a sliding window", err);
    return ASH_OK;
}

/* ---- rotation ---- */

/* The factors of a GGUF are those of Llama 3.1 and later, with the only constants that models have: then they can be
 * said. Computed in double and rounded once here and there: one unit of the last place is allowed for. */
static ash_status read_factors(const ash_export *e, const ash_tensor_record *t, ash_hparams *h, ash_error *err)
{
    uint64_t count = h->rope_dim / 2, i = 0;
    const uint8_t *data = ash_file_data(e->file, t);
    if (t->dtype != ASH_F32 || t->layout != ASH_LAYOUT_LINEAR || t->size != count * sizeof(float))
        return ash_fail(err, ASH_E_FORMAT, "%s: the rope factors are no %" PRIu64 " floats: the file is damaged",
                        e->path, count);
    float *expected = malloc(2 * count * sizeof *expected), *found = expected + count;
    if (!expected)
        return no_memory(e, err);
    memcpy(found, data, t->size);
    h->rope_scaling = ASH_ROPE_LLAMA3;
    h->rope_factor = found[count - 1];
    h->rope_low = 1, h->rope_high = 4;
    h->rope_original_context = 8192;
    ash_export_rope_factors(h, expected);
    while (i < count && fabsf(found[i] - expected[i]) <= 0x1p-23f * expected[i])
        i++;
    free(expected);
    return i == count ? ASH_OK : refuse(e, "rope factors other than Llama 3.1's", err);
}

static ash_status rotation(const ash_export *e, ash_hparams *h, ash_error *err)
{
    for (uint32_t i = 0; i < ash_file_tensor_count(e->file); i++)
        if (ash_file_tensor(e->file, i)->role == ASH_ROLE_ROPE_FREQS) {
            if (h->rope_scaling != ASH_ROPE_NONE)
                return refuse(e, "rope factors and another scaling", err);
            return read_factors(e, ash_file_tensor(e->file, i), h, err);
        }
    return ASH_OK;
}

static bool add_rope(cJSON *o, const ash_hparams *h)
{
    static const char *const names[] = { "default", "linear", "llama3", "yarn" }; /* in the order of ash_rope_scaling */
    bool ok = ash_json_add_float(o, "rope_theta", h->rope_theta);
    if (h->rope_scaling == ASH_ROPE_NONE)
        return ok && null(o, "rope_scaling");
    cJSON *r = object(o, "rope_scaling");
    ok = ok && r && text(r, "rope_type", names[h->rope_scaling]) && ash_json_add_float(r, "factor", h->rope_factor);
    if (h->rope_scaling == ASH_ROPE_LINEAR)
        return ok;
    bool yarn = h->rope_scaling == ASH_ROPE_YARN;
    ok = ok && number(r, "original_max_position_embeddings", h->rope_original_context) &&
         ash_json_add_float(r, yarn ? "beta_slow" : "low_freq_factor", h->rope_low) &&
         ash_json_add_float(r, yarn ? "beta_fast" : "high_freq_factor", h->rope_high);
    return ok && (!yarn || h->rope_attention_factor == 0 ||
                  ash_json_add_float(r, "attention_factor", h->rope_attention_factor));
}

/* ---- special ids ---- */

/* What ends a text for the tokenizer, or all that ends one. */
static bool add_ids(const ash_export *e, cJSON *o, bool all)
{
    const ash_meta *m = &e->meta;
    int32_t eos = e->tokenizer && e->vocab.header->eos >= 0 ? e->vocab.header->eos : m->stop_count ? m->stop[0] : -1;
    bool ok = m->bos >= 0 ? number(o, "bos_token_id", m->bos) : null(o, "bos_token_id");
    if (all && m->stop_count > 1) {
        cJSON *list = cJSON_AddArrayToObject(o, "eos_token_id");
        for (uint32_t i = 0; ok && i < m->stop_count; i++)
            ok = cJSON_AddItemToArray(list, cJSON_CreateNumber(m->stop[i]));
        ok = ok && list;
    } else {
        ok = ok && (eos >= 0 ? number(o, "eos_token_id", eos) : null(o, "eos_token_id"));
    }
    return ok && (m->pad >= 0 ? number(o, "pad_token_id", m->pad) : null(o, "pad_token_id"));
}

/* ---- quantization_config ---- */

static bool same_scheme(const ash_export_item *a, const ash_export_item *b)
{
    return a->scale_kind == b->scale_kind && a->inputs == b->inputs;
}

static bool is_fp8(const ash_export_item *item) { return item->scale_kind != ASH_SCALE_NONE; }

/* Matrices but the embedding are linear layers. */
static bool is_linear(const ash_export_item *item)
{
    const ash_arch_tensor *row = ash_arch_tensor_of((ash_role)item->member.role);
    return row && row->rows != ASH_EXTENT_ONE && row->role != ASH_ROLE_EMBED;
}

/* The module of a tensor NAME.weight. */
static bool add_module(cJSON *list, const ash_export_item *item)
{
    char name[128] = "";
    size_t n = strlen(item->name) - strlen(".weight");
    memcpy(name, item->name, n < sizeof name ? n : 0); /* the tables' names are far shorter */
    return cJSON_AddItemToArray(list, cJSON_CreateString(name));
}

static cJSON *add_float8(cJSON *o, const char *key, const char *strategy, bool dynamic)
{
    cJSON *s = object(o, key);
    return s && number(s, "num_bits", 8) && text(s, "type", "float") && truth(s, "symmetric", true) &&
                   text(s, "strategy", strategy) && truth(s, "dynamic", dynamic)
               ? s
               : NULL;
}

/* Scales of blocks go with inputs that have a scale for each 128 of a token, as the kernels for them want it, where the
 * columns of all matrices are whole groups. */
static bool add_scheme(cJSON *group, const ash_export_item *item, bool whole)
{
    bool block = item->scale_kind == ASH_SCALE_BLOCK128, row = item->scale_kind == ASH_SCALE_ROW;
    cJSON *w = add_float8(group, "weights", block ? "block" : row ? "channel" : "tensor", false), *inputs;
    if (block) {
        cJSON *sizes = w ? cJSON_AddArrayToObject(w, "block_structure") : NULL;
        for (int i = 0; sizes && i < 2; i++)
            if (!cJSON_AddItemToArray(sizes, cJSON_CreateNumber(128)))
                return false;
        w = sizes;
    }
    if (!w || !null(group, "output_activations") || !text(group, "format", "float-quantized"))
        return false;
    if (item->inputs == ASH_INPUTS_KEPT)
        return null(group, "input_activations");
    bool dynamic = item->inputs == ASH_INPUTS_DYNAMIC;
    inputs = add_float8(group, "input_activations", !dynamic ? "tensor" : block && whole ? "group" : "token",
                        dynamic);
    return inputs && (!dynamic || !block || !whole || number(inputs, "group_size", 128));
}

/* All of one scheme: "Linear" where there is no other, else by name. */
static bool add_group(const ash_export *e, cJSON *groups, uint32_t first, uint32_t count, bool alone)
{
    char name[32];
    snprintf(name, sizeof name, "group_%" PRIu32, count);
    cJSON *group = object(groups, name), *targets = group ? cJSON_AddArrayToObject(group, "targets") : NULL;
    bool ok = targets && (!alone || cJSON_AddItemToArray(targets, cJSON_CreateString("Linear"))), whole = true;
    for (uint32_t i = first; i < e->count && ok; i++) {
        if (!is_fp8(&e->items[i]) || !same_scheme(&e->items[i], &e->items[first]))
            continue;
        whole &= e->items[i].member.source_dims[0] % 128 == 0;
        ok = alone || add_module(targets, &e->items[i]);
    }
    return ok && add_scheme(group, &e->items[first], whole);
}

/* The first item of its scheme. */
static bool leads(const ash_export *e, uint32_t index)
{
    if (!is_fp8(&e->items[index]))
        return false;
    for (uint32_t i = 0; i < index; i++)
        if (is_fp8(&e->items[i]) && same_scheme(&e->items[i], &e->items[index]))
            return false;
    return true;
}

static bool add_quantization(const ash_export *e, cJSON *o)
{
    uint32_t schemes = 0, count = 0;
    bool head = false;
    for (uint32_t i = 0; i < e->count; i++) {
        schemes += leads(e, i);
        head |= e->items[i].member.role == ASH_ROLE_OUTPUT;
    }
    if (schemes == 0)
        return true;
    cJSON *q = object(o, "quantization_config"), *groups = object(q, "config_groups");
    bool ok = groups && text(q, "quant_method", "compressed-tensors") && text(q, "format", "float-quantized") &&
              text(q, "quantization_status", "compressed");
    for (uint32_t i = 0; i < e->count && ok; i++)
        if (leads(e, i))
            ok = add_group(e, groups, i, count++, schemes == 1);
    cJSON *ignore = ok ? cJSON_AddArrayToObject(q, "ignore") : NULL;
    ok = ignore && (head || cJSON_AddItemToArray(ignore, cJSON_CreateString("lm_head"))); /* it is the embedding */
    for (uint32_t i = 0; i < e->count && ok; i++)
        if (is_linear(&e->items[i]) && !is_fp8(&e->items[i]))
            ok = add_module(ignore, &e->items[i]);
    return ok && (e->cache_scales ? add_float8(q, "kv_cache_scheme", "tensor", false) != NULL
                                  : null(q, "kv_cache_scheme"));
}

/* ---- all of it ---- */

static bool add_sizes(cJSON *o, const ash_hparams *h)
{
    return number(o, "vocab_size", h->vocab) && number(o, "hidden_size", h->hidden) &&
           number(o, "intermediate_size", h->ffn) && number(o, "num_hidden_layers", h->layers) &&
           number(o, "num_attention_heads", h->heads) && number(o, "num_key_value_heads", h->kv_heads) &&
           number(o, "head_dim", h->head_dim) && number(o, "max_position_embeddings", h->context) &&
           text(o, "hidden_act", "silu") && ash_json_add_float(o, "rms_norm_eps", h->norm_eps);
}

static bool add_class(cJSON *o, const ash_hf_class *class, const ash_hparams *h)
{
    cJSON *list = cJSON_AddArrayToObject(o, "architectures");
    bool ok = list && cJSON_AddItemToArray(list, cJSON_CreateString(class->class_name)) &&
              text(o, "model_type", class->model_type);
    bool llama = strcmp(class->class_name, "LlamaForCausalLM") == 0;
    if (llama)
        ok = ok && truth(o, "mlp_bias", false);
    if (llama || strcmp(class->class_name, "Qwen3ForCausalLM") == 0)
        ok = ok && truth(o, "attention_bias", h->qkv_bias);
    if (class->window)
        ok = ok && (h->sliding_window ? number(o, "sliding_window", h->sliding_window) : null(o, "sliding_window"));
    if (class->window_switch)
        ok = ok && truth(o, "use_sliding_window", h->sliding_window != 0) &&
             number(o, "max_window_layers", h->sliding_window ? 0 : h->layers);
    return ok;
}

ash_status ash_export_config(const ash_export *e, cJSON **out, ash_error *err)
{
    const ash_hf_class *class;
    ash_hparams h = e->meta.h;
    *out = NULL;
    ASH_TRY(find_class(e, &class, err));
    ASH_TRY(rotation(e, &h, err));
    const char *type = e->float_type == ASH_F32 ? "float32" : e->float_type == ASH_F16 ? "float16" : "bfloat16";
    cJSON *o = cJSON_CreateObject();
    bool ok = o && add_class(o, class, &h) && add_sizes(o, &h) && add_rope(o, &h) &&
              truth(o, "tie_word_embeddings", h.tied_output) && text(o, "torch_dtype", type) && add_ids(e, o, false) &&
              truth(o, "use_cache", true) && add_quantization(e, o);
    if (ok) {
        *out = o;
        return ASH_OK;
    }
    cJSON_Delete(o);
    return no_memory(e, err);
}

ash_status ash_export_generation(const ash_export *e, cJSON **out, ash_error *err)
{
    *out = cJSON_CreateObject();
    if (*out && add_ids(e, *out, true))
        return ASH_OK;
    cJSON_Delete(*out);
    *out = NULL;
    return no_memory(e, err);
}
