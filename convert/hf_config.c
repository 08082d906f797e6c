/* config.json of a Hugging Face checkpoint, in its old and new spellings, to hyperparameters. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"

/* Configurations have a few KB; those of models with thousands of quantized modules a few hundred. */
#define CONFIG_LIMIT ((size_t)16 << 20)

void ash_import_free(ash_import *import)
{
    free(import->name);
    free(import->chat_template);
    free(import->tool_template);
    *import = (ash_import){ 0 };
}

/* ---- typed values: absent or null leaves the default ---- */

static const cJSON *get(const cJSON *object, const char *key)
{
    const cJSON *item = ash_json_get(object, key);
    return item && !cJSON_IsNull(item) ? item : NULL;
}

static ash_status get_u32(const cJSON *object, const char *key, bool required, uint32_t *out, ash_error *err)
{
    const cJSON *item = get(object, key);
    if (!item)
        return required ? ash_fail(err, ASH_E_FORMAT, "%s is missing", key) : ASH_OK;
    uint64_t value;
    if (!ash_json_u64(item, &value) || value > UINT32_MAX)
        return ash_fail(err, ASH_E_FORMAT, "%s must be a whole number from 0 to 4294967295", key);
    *out = (uint32_t)value;
    return ASH_OK;
}

static ash_status get_float(const cJSON *object, const char *key, bool required, float *out, ash_error *err)
{
    const cJSON *item = get(object, key);
    if (!item)
        return required ? ash_fail(err, ASH_E_FORMAT, "%s is missing", key) : ASH_OK;
    if (!cJSON_IsNumber(item) || !isfinite((float)item->valuedouble))
        return ash_fail(err, ASH_E_FORMAT, "%s must be a number", key);
    *out = (float)item->valuedouble;
    return ASH_OK;
}

static ash_status get_said(const cJSON *object, const char *key, ash_said *out, ash_error *err)
{
    const cJSON *item = get(object, key);
    if (item && !cJSON_IsBool(item))
        return ash_fail(err, ASH_E_FORMAT, "%s must be true or false", key);
    if (item)
        *out = cJSON_IsTrue(item) ? ASH_SAID_YES : ASH_SAID_NO;
    return ASH_OK;
}

/* ---- architecture ---- */

static ash_status find_class(const cJSON *config, const ash_hf_class **out, ash_error *err)
{
    const cJSON *list = get(config, "architectures");
    const char *type = ash_json_string(config, "model_type");
    if (list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 1 || !cJSON_IsString(cJSON_GetArrayItem(list, 0))))
        return ash_fail(err, ASH_E_FORMAT, "architectures must be a list with one name");
    if (list) {
        const char *name = cJSON_GetArrayItem(list, 0)->valuestring;
        *out = ash_hf_class_find(name);
        if (!*out)
            return ash_fail(err, ASH_E_UNSUPPORTED, "architecture %.100s is not supported; supported are %s", name,
                            ash_hf_class_names());
        return ASH_OK;
    }
    if (!type)
        return ash_fail(err, ASH_E_FORMAT, "architectures is missing; is this the configuration of a language model?");
    *out = ash_hf_class_of_type(type);
    if (!*out)
        return ash_fail(err, ASH_E_UNSUPPORTED, "model_type %.100s is not supported; supported are %s", type,
                        ash_hf_class_names());
    return ASH_OK;
}

/* ---- rotation ---- */

static ash_status read_yarn(const cJSON *rope, ash_hparams *h, ash_error *err)
{
    h->rope_scaling = ASH_ROPE_YARN;
    h->rope_low = 1, h->rope_high = 32;
    h->rope_original_context = h->context;
    ASH_TRY(get_float(rope, "factor", true, &h->rope_factor, err));
    ASH_TRY(get_float(rope, "beta_slow", false, &h->rope_low, err));
    ASH_TRY(get_float(rope, "beta_fast", false, &h->rope_high, err));
    ASH_TRY(get_u32(rope, "original_max_position_embeddings", false, &h->rope_original_context, err));
    const cJSON *truncate = get(rope, "truncate");
    if (truncate && !cJSON_IsTrue(truncate))
        return ash_fail(err, ASH_E_UNSUPPORTED, "yarn with truncate = false is not supported");
    float mscale = 0, mscale_all = 0;
    ASH_TRY(get_float(rope, "mscale", false, &mscale, err));
    ASH_TRY(get_float(rope, "mscale_all_dim", false, &mscale_all, err));
    ASH_TRY(get_float(rope, "attention_factor", false, &h->rope_attention_factor, err));
    if (h->rope_attention_factor == 0 && mscale != 0 && mscale_all != 0 && h->rope_factor > 1) {
        double log_factor = log((double)h->rope_factor);
        h->rope_attention_factor = (float)((0.1 * mscale * log_factor + 1) / (0.1 * mscale_all * log_factor + 1));
    }
    return ASH_OK;
}

/* rope_theta stands beside the other keys with rope_scaling (old), or inside rope_parameters (new). */
static ash_status read_rope(const cJSON *config, ash_hparams *h, ash_error *err)
{
    const cJSON *rope = get(config, "rope_parameters");
    const char *where = "rope_parameters";
    if (!rope)
        rope = get(config, where = "rope_scaling");
    if (rope && !cJSON_IsObject(rope))
        return ash_fail(err, ASH_E_FORMAT, "%s must be an object or null", where);
    h->rope_theta = 10000; /* what transformers takes where no key says it */
    ASH_TRY(get_float(config, "rope_theta", false, &h->rope_theta, err));
    ASH_TRY(get_float(rope, "rope_theta", false, &h->rope_theta, err));
    float part = 1;
    ASH_TRY(get_float(config, "partial_rotary_factor", false, &part, err));
    ASH_TRY(get_float(rope, "partial_rotary_factor", false, &part, err));
    if (part != 1)
        return ash_fail(err, ASH_E_UNSUPPORTED, "partial_rotary_factor %g is not supported; 1 is", (double)part);
    const char *type = ash_json_string(rope, "rope_type");
    if (!type)
        type = ash_json_string(rope, "type");
    if (!rope || (!type && !get(rope, "factor")) || (type && strcmp(type, "default") == 0))
        return ASH_OK;
    if (!type)
        return ash_fail(err, ASH_E_FORMAT, "%s has a factor but no rope_type", where);
    ash_status status;
    if (strcmp(type, "linear") == 0) {
        h->rope_scaling = ASH_ROPE_LINEAR;
        status = get_float(rope, "factor", true, &h->rope_factor, err);
    } else if (strcmp(type, "llama3") == 0) {
        h->rope_scaling = ASH_ROPE_LLAMA3;
        status = get_float(rope, "factor", true, &h->rope_factor, err);
        if (status == ASH_OK)
            status = get_float(rope, "low_freq_factor", true, &h->rope_low, err);
        if (status == ASH_OK)
            status = get_float(rope, "high_freq_factor", true, &h->rope_high, err);
        if (status == ASH_OK)
            status = get_u32(rope, "original_max_position_embeddings", true, &h->rope_original_context, err);
    } else if (strcmp(type, "yarn") == 0) {
        status = read_yarn(rope, h, err);
    } else {
        status = ash_fail(err, ASH_E_UNSUPPORTED,
                          "rope_type %.60s is not supported; default, linear, llama3, yarn are", type);
    }
    return status == ASH_OK ? ASH_OK : ash_fail_in(err, where);
}

/* ---- sliding window ---- */

static ash_status read_window(const cJSON *config, const ash_hf_class *class, ash_hparams *h, ash_error *err)
{
    if (!class->window)
        return ASH_OK;
    ash_said use = ASH_SAID_NOTHING;
    /* transformers' default where the key is absent; null means that there is no window. */
    uint32_t window = ash_json_get(config, "sliding_window") ? 0 : 4096, from = 0;
    ASH_TRY(get_said(config, "use_sliding_window", &use, err));
    ASH_TRY(get_u32(config, "sliding_window", false, &window, err));
    if (window == 0 || (class->window_switch && use != ASH_SAID_YES))
        return ASH_OK;
    /* Layers below max_window_layers see everything; newer configurations list each layer. */
    uint32_t full = 0;
    if (class->window_switch) {
        from = 28; /* the default of both Qwen configurations */
        ASH_TRY(get_u32(config, "max_window_layers", false, &from, err));
        full = from < h->layers ? from : h->layers;
    }
    const cJSON *types = get(config, "layer_types");
    if (types) {
        full = 0;
        const cJSON *item;
        cJSON_ArrayForEach(item, types) {
            if (!cJSON_IsString(item) || (strcmp(item->valuestring, "full_attention") != 0 &&
                                          strcmp(item->valuestring, "sliding_attention") != 0))
                return ash_fail(err, ASH_E_UNSUPPORTED,
                                "layer_types: full_attention and sliding_attention alone are supported");
            full += strcmp(item->valuestring, "full_attention") == 0;
        }
        if (!cJSON_IsArray(types) || (uint32_t)cJSON_GetArraySize(types) != h->layers)
            return ash_fail(err, ASH_E_FORMAT,
                            "layer_types must list all %" PRIu32 " layers of num_hidden_layers", h->layers);
    }
    if (full != 0 && full != h->layers)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "sliding_window %" PRIu32 " in %" PRIu32 " of %" PRIu32 " layers is not supported; "
                        "in all or none is", window, h->layers - full, h->layers);
    h->sliding_window = full == 0 ? window : 0;
    return ASH_OK;
}

/* ---- all of it ---- */

static ash_status read_sizes(const cJSON *config, const ash_hf_class *class, ash_hparams *h, ash_error *err)
{
    ASH_TRY(get_u32(config, "num_hidden_layers", true, &h->layers, err));
    ASH_TRY(get_u32(config, "hidden_size", true, &h->hidden, err));
    ASH_TRY(get_u32(config, "num_attention_heads", true, &h->heads, err));
    ASH_TRY(get_u32(config, "intermediate_size", true, &h->ffn, err));
    ASH_TRY(get_u32(config, "vocab_size", true, &h->vocab, err));
    if (h->heads == 0)
        return ash_fail(err, ASH_E_FORMAT, "num_attention_heads is 0");
    h->kv_heads = h->heads;
    ASH_TRY(get_u32(config, "num_key_value_heads", false, &h->kv_heads, err));
    bool derived = class->head_dim == 0 && !get(config, "head_dim");
    if (derived && h->hidden % h->heads != 0)
        return ash_fail(err, ASH_E_FORMAT, "head_dim is missing, and hidden_size %" PRIu32 " is no multiple of "
                        "num_attention_heads %" PRIu32, h->hidden, h->heads);
    h->head_dim = derived ? h->hidden / h->heads : class->head_dim;
    ASH_TRY(get_u32(config, "head_dim", false, &h->head_dim, err));
    h->rope_dim = h->head_dim;
    h->context = class->context;
    ASH_TRY(get_u32(config, "max_position_embeddings", false, &h->context, err));
    h->norm_eps = 1e-6f;
    return get_float(config, "rms_norm_eps", false, &h->norm_eps, err);
}

static ash_status read_config(const cJSON *config, ash_import *out, ash_error *err)
{
    if (!cJSON_IsObject(config))
        return ash_fail(err, ASH_E_FORMAT, "must be a JSON object");
    const ash_hf_class *class;
    ASH_TRY(find_class(config, &class, err));
    out->arch = ash_arch_find(class->arch);
    out->row_order = ASH_ROWS_HALVES;
    ash_hparams *h = &out->h;
    memcpy(h->architecture, class->arch, strlen(class->arch) + 1); /* at most 5 of 32 bytes */
    ASH_TRY(read_sizes(config, class, h, err));
    ASH_TRY(read_rope(config, h, err));
    ASH_TRY(read_window(config, class, h, err));
    const char *act = ash_json_string(config, "hidden_act");
    if (get(config, "hidden_act") && (!act || strcmp(act, "silu") != 0))
        return ash_fail(err, ASH_E_UNSUPPORTED, "hidden_act %.40s is not supported; silu is",
                        act ? act : "(not a string)");
    ash_said mlp_bias = ASH_SAID_NOTHING;
    ASH_TRY(get_said(config, "mlp_bias", &mlp_bias, err));
    if (mlp_bias == ASH_SAID_YES)
        return ash_fail(err, ASH_E_UNSUPPORTED, "mlp_bias = true is not supported");
    ASH_TRY(get_said(config, "attention_bias", &out->attention_bias, err));
    ASH_TRY(get_said(config, "tie_word_embeddings", &out->tied, err));
    ASH_TRY(ash_import_hf_quantization(config, out, err));
    return ash_hparams_check(h, err);
}

/* The folder's own name, also where the path is "." or ends in a slash. */
static char *folder_name(const char *folder)
{
    char *full = realpath(folder, NULL);
    char *name = full ? strdup(ash_base_name(full)) : NULL;
    free(full);
    return name;
}

ash_status ash_import_hf(const ash_source *source, ash_import *out, ash_error *err)
{
    *out = (ash_import){ 0 };
    char *path = ash_path_join(source->folder, "config.json");
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", source->path);
    cJSON *config = NULL;
    ash_status status;
    if (!ash_path_exists(path)) {
        status = ash_fail(err, ASH_E_FORMAT, "%s: is missing; a model folder needs it beside its safetensors", path);
    } else {
        status = ash_json_read_file(path, CONFIG_LIMIT, &config, err);
        if (status == ASH_OK && (status = read_config(config, out, err)) != ASH_OK)
            ash_fail_in(err, path);
    }
    cJSON_Delete(config);
    free(path);
    if (status == ASH_OK && !(out->name = folder_name(source->folder)))
        status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", source->path);
    if (status != ASH_OK)
        ash_import_free(out);
    return status;
}
