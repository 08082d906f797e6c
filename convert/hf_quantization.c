/* quantization_config of config.json: which FP8 checkpoints come in, and how their inputs are treated.
 *
 * compressed-tensors: {quant_method, format, config_groups: {name: {weights: {...}, input_activations: {...} | null}}}.
 * fp8: {quant_method, fmt, activation_scheme, weight_block_size}. Weights are e4m3, each with a scale tensor beside it;
 * which kind of scale it is shows in its shape, which the plan checks.
 */
#include <string.h>

#include "convert/import.h"

static const cJSON *get(const cJSON *object, const char *key)
{
    const cJSON *item = ash_json_get(object, key);
    return item && !cJSON_IsNull(item) ? item : NULL;
}

static bool is_string(const cJSON *object, const char *key, const char *value)
{
    const char *text = ash_json_string(object, key);
    return text && strcmp(text, value) == 0;
}

static bool is_number(const cJSON *object, const char *key, uint64_t value)
{
    uint64_t number;
    const cJSON *item = get(object, key);
    return item && ash_json_u64(item, &number) && number == value;
}

static bool blocks_of_128(const cJSON *list)
{
    uint64_t a, b;
    return cJSON_IsArray(list) && cJSON_GetArraySize(list) == 2 && ash_json_u64(cJSON_GetArrayItem(list, 0), &a) &&
           ash_json_u64(cJSON_GetArrayItem(list, 1), &b) && a == 128 && b == 128;
}

/* An 8-bit float without zero points: `weights` or `input_activations` of a group. */
static ash_status check_fp8(const cJSON *scheme, const char *what, ash_error *err)
{
    if (!is_string(scheme, "type", "float") || !is_number(scheme, "num_bits", 8))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s must be 8-bit floats; other types are not supported", what);
    const cJSON *symmetric = get(scheme, "symmetric");
    if (symmetric && !cJSON_IsTrue(symmetric))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s with zero points (symmetric = false) are not supported", what);
    return ASH_OK;
}

static ash_status read_group(const cJSON *group, bool *fixed, bool *dynamic, ash_error *err)
{
    const cJSON *weights = get(group, "weights"), *inputs = get(group, "input_activations");
    if (get(group, "output_activations"))
        return ash_fail(err, ASH_E_UNSUPPORTED, "output_activations are not supported");
    if (!weights)
        return ash_fail(err, ASH_E_UNSUPPORTED, "a group without weights is not supported");
    ASH_TRY(check_fp8(weights, "weights", err));
    const char *strategy = ash_json_string(weights, "strategy");
    bool block = strategy && strcmp(strategy, "block") == 0;
    if (!strategy || (strcmp(strategy, "tensor") != 0 && strcmp(strategy, "channel") != 0 && !block))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "weights with strategy %.40s are not supported; tensor, channel, block are",
                        strategy ? strategy : "(none)");
    if (block && !blocks_of_128(get(weights, "block_structure")))
        return ash_fail(err, ASH_E_UNSUPPORTED, "weights in blocks other than 128 x 128 are not supported");
    *fixed = *dynamic = false;
    if (!inputs)
        return ASH_OK;
    ASH_TRY(check_fp8(inputs, "input_activations", err));
    const cJSON *how = get(inputs, "dynamic");
    if (how && !cJSON_IsBool(how)) /* "local" of NVFP4 */
        return ash_fail(err, ASH_E_UNSUPPORTED, "input_activations: dynamic must be true or false");
    *dynamic = cJSON_IsTrue(how);
    *fixed = !*dynamic;
    if (*fixed && !is_string(inputs, "strategy", "tensor"))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "static input_activations with a strategy other than tensor are not supported");
    return ASH_OK;
}

static ash_status read_compressed_tensors(const cJSON *q, ash_import *out, ash_error *err)
{
    const char *format = ash_json_string(q, "format");
    if (format && strcmp(format, "float-quantized") != 0 && strcmp(format, "naive-quantized") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "compressed-tensors format %.60s is not supported; float-quantized is", format);
    const cJSON *transform = get(q, "transform_config"), *sparsity = get(q, "sparsity_config");
    if (transform && cJSON_GetArraySize(transform) != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "transform_config is not supported");
    if (sparsity && get(sparsity, "format") && !is_string(sparsity, "format", "dense"))
        return ash_fail(err, ASH_E_UNSUPPORTED, "sparsity_config with a format other than dense is not supported");
    const cJSON *groups = get(q, "config_groups"), *group;
    if (!cJSON_IsObject(groups) || cJSON_GetArraySize(groups) == 0)
        return ash_fail(err, ASH_E_FORMAT, "config_groups is missing");
    bool first = true;
    cJSON_ArrayForEach(group, groups) {
        bool fixed = false, dynamic = false;
        const char *own = ash_json_string(group, "format");
        if (own && strcmp(own, "float-quantized") != 0 && strcmp(own, "naive-quantized") != 0)
            return ash_fail(err, ASH_E_UNSUPPORTED,
                            "compressed-tensors format %.60s is not supported; float-quantized is", own);
        if (read_group(group, &fixed, &dynamic, err) != ASH_OK)
            return ash_fail_in(err, "config_groups");
        if (!first && (dynamic != out->fp8_dynamic || fixed != out->fp8_static))
            return ash_fail(err, ASH_E_UNSUPPORTED,
                            "config_groups that treat inputs differently are not supported");
        out->fp8_static = fixed;
        out->fp8_dynamic = dynamic;
        first = false;
    }
    out->fp8 = true;
    return ASH_OK;
}

static ash_status read_fp8(const cJSON *q, ash_import *out, ash_error *err)
{
    const cJSON *block = get(q, "weight_block_size");
    if (block && !blocks_of_128(block))
        return ash_fail(err, ASH_E_UNSUPPORTED, "weight_block_size other than [128, 128] is not supported");
    const char *format = ash_json_string(q, "fmt");
    if (format && strcmp(format, "e4m3") != 0 && strcmp(format, "float8_e4m3fn") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "fmt %.40s is not supported; e4m3 is", format);
    const char *scale = ash_json_string(q, "scale_fmt");
    if (scale && strcmp(scale, "float") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "scale_fmt %.40s is not supported; float is", scale);
    const char *scheme = ash_json_string(q, "activation_scheme");
    if (scheme && strcmp(scheme, "static") != 0 && strcmp(scheme, "dynamic") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "activation_scheme %.40s is not supported; static and dynamic are", scheme);
    out->fp8_dynamic = !scheme || strcmp(scheme, "dynamic") == 0;
    out->fp8_static = !out->fp8_dynamic;
    out->fp8 = true;
    return ASH_OK;
}

ash_status ash_import_hf_quantization(const cJSON *config, ash_import *out, ash_error *err)
{
    const char *key = "quantization_config";
    const cJSON *q = get(config, key);
    if (!q)
        q = get(config, key = "compression_config"); /* early compressed-tensors */
    if (!q)
        return ASH_OK;
    const char *method = ash_json_string(q, "quant_method");
    ash_status status;
    if (!method)
        status = ash_fail(err, ASH_E_FORMAT, "quant_method is missing");
    else if (strcmp(method, "compressed-tensors") == 0)
        status = read_compressed_tensors(q, out, err);
    else if (strcmp(method, "fp8") == 0)
        status = read_fp8(q, out, err);
    else
        status = ash_fail(err, ASH_E_UNSUPPORTED,
                          "quant_method %.40s is not supported; compressed-tensors and fp8 are", method);
    return status == ASH_OK ? ASH_OK : ash_fail_in(err, key);
}
