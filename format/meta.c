#include "format/meta.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"

#define META_MAX                                                                                                       \
    ((size_t)64 << 20) /* bytes of JSON: templates are kilobytes, provenance a few hundred bytes a source file */
#define TOKEN_MAX ((1 << 24) - 1) /* ids are below the largest vocabulary */

static const char *const scaling_names[] = { "none", "linear", "llama3", "yarn" };
#define SCALING_COUNT (sizeof scaling_names / sizeof scaling_names[0])

void ash_meta_free(ash_meta *meta)
{
    free(meta->name);
    free(meta->source_kind);
    free(meta->chat_template);
    free(meta->tool_template);
    free(meta->provenance);
    memset(meta, 0, sizeof *meta);
}

/* ---- checks ---- */

static ash_status check_count(const char *key, uint64_t value, uint64_t least, uint64_t most, ash_error *err)
{
    if (value < least || value > most)
        return ash_fail(err, ASH_E_FORMAT, "%s is %" PRIu64 ", possible are %" PRIu64 " to %" PRIu64, key, value, least,
                        most);
    return ASH_OK;
}

/* least < value <= most; NaN fails both comparisons. */
static ash_status check_float(const char *key, float value, double least, double most, ash_error *err)
{
    if (!((double)value > least && (double)value <= most))
        return ash_fail(err, ASH_E_FORMAT, "%s is %.9g, it must be above %g and at most %g", key, (double)value, least,
                        most);
    return ASH_OK;
}

static ash_status check_scaling(const ash_hparams *h, ash_error *err)
{
    if ((unsigned)h->rope_scaling >= SCALING_COUNT)
        return ash_fail(err, ASH_E_UNSUPPORTED, "rope_scaling %d is unknown", (int)h->rope_scaling);
    if (h->rope_scaling == ASH_ROPE_NONE)
        return ASH_OK;
    ASH_TRY(check_float("rope_factor", h->rope_factor, 0, 1e6, err));
    if (h->rope_scaling == ASH_ROPE_LINEAR)
        return ASH_OK;
    ASH_TRY(check_count("rope_original_context", h->rope_original_context, 1, INT32_MAX, err));
    ASH_TRY(check_float("rope_low", h->rope_low, 0, 1e6, err));
    ASH_TRY(check_float("rope_high", h->rope_high, 0, 1e6, err));
    if (h->rope_high <= h->rope_low) /* the ramp between them divides by the difference */
        return ash_fail(err, ASH_E_FORMAT, "rope_high is %.9g, it must be above rope_low, %.9g", (double)h->rope_high,
                        (double)h->rope_low);
    if (h->rope_scaling == ASH_ROPE_YARN && h->rope_attention_factor != 0)
        return check_float("rope_attention_factor", h->rope_attention_factor, 0, 1e3, err);
    return ASH_OK;
}

ash_status ash_hparams_check(const ash_hparams *h, ash_error *err)
{
    size_t n = strnlen(h->architecture, sizeof h->architecture);
    bool named = n > 0 && n < sizeof h->architecture;
    for (size_t i = 0; i < n; i++)
        named = named && h->architecture[i] > 0x20 && h->architecture[i] < 0x7f;
    if (!named)
        return ash_fail(err, ASH_E_FORMAT, "architecture is no name of 1 to %zu letters", sizeof h->architecture - 1);
    ASH_TRY(check_count("layers", h->layers, 1, 4096, err));
    ASH_TRY(check_count("hidden", h->hidden, 1, 1 << 20, err));
    ASH_TRY(check_count("heads", h->heads, 1, 4096, err));
    ASH_TRY(check_count("kv_heads", h->kv_heads, 1, h->heads, err));
    if (h->heads % h->kv_heads != 0)
        return ash_fail(err, ASH_E_FORMAT, "heads, %" PRIu32 ", is no multiple of kv_heads, %" PRIu32, h->heads,
                        h->kv_heads);
    ASH_TRY(check_count("head_dim", h->head_dim, 1, ASH_HEAD_DIM_MAX, err));
    ASH_TRY(check_count("ffn", h->ffn, 1, 1 << 24, err));
    ASH_TRY(check_count("vocab", h->vocab, 1, 1 << 24, err));
    ASH_TRY(check_count("context", h->context, 1, INT32_MAX, err));
    ASH_TRY(check_count("sliding_window", h->sliding_window, 0, INT32_MAX, err));
    ASH_TRY(check_count("rope_dim", h->rope_dim, 2, h->head_dim, err));
    if (h->rope_dim % 2 != 0)
        return ash_fail(err, ASH_E_FORMAT, "rope_dim is %" PRIu32 ", it must be even", h->rope_dim);
    ASH_TRY(check_float("norm_eps", h->norm_eps, 0, 1, err));
    ASH_TRY(check_float("rope_theta", h->rope_theta, 0, 1e15, err));
    return check_scaling(h, err);
}

static ash_status check_meta(const ash_meta *m, ash_error *err)
{
    ASH_TRY(ash_hparams_check(&m->h, err));
    if (m->bos < -1 || m->bos > TOKEN_MAX || m->pad < -1 || m->pad > TOKEN_MAX)
        return ash_fail(err, ASH_E_FORMAT, "bos %" PRId32 " or pad %" PRId32 " is no token id", m->bos, m->pad);
    if (m->add_bos && m->bos < 0)
        return ash_fail(err, ASH_E_FORMAT, "add_bos is set, but there is no bos token");
    if (m->stop_count > ASH_STOP_MAX)
        return ash_fail(err, ASH_E_FORMAT, "%" PRIu32 " stop tokens, at most %d are possible", m->stop_count,
                        ASH_STOP_MAX);
    for (uint32_t i = 0; i < m->stop_count; i++)
        if (m->stop[i] < 0 || m->stop[i] > TOKEN_MAX || (i > 0 && m->stop[i] <= m->stop[i - 1]))
            return ash_fail(err, ASH_E_FORMAT, "the stop tokens are not ascending ids");
    return ASH_OK;
}

/* ---- writing ---- */

/* 9 digits bring every float back. The decimal separator of the program's locale must not get in. */
static bool add_float(cJSON *object, const char *key, float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", (double)value);
    for (char *p = text; *p; p++)
        if (!strchr("0123456789+-e.", *p))
            *p = '.';
    return cJSON_AddRawToObject(object, key, text) != NULL;
}

static bool add_count(cJSON *object, const char *key, uint32_t value)
{
    char text[16];
    snprintf(text, sizeof text, "%" PRIu32, value);
    return cJSON_AddRawToObject(object, key, text) != NULL;
}

static bool add_hparams(cJSON *root, const ash_hparams *h)
{
    cJSON *o = cJSON_AddObjectToObject(root, "hparams");
    bool ok = o && add_count(o, "layers", h->layers) && add_count(o, "hidden", h->hidden) &&
              add_count(o, "heads", h->heads) && add_count(o, "kv_heads", h->kv_heads) &&
              add_count(o, "head_dim", h->head_dim) && add_count(o, "ffn", h->ffn) && add_count(o, "vocab", h->vocab) &&
              add_count(o, "context", h->context) && add_count(o, "sliding_window", h->sliding_window) &&
              add_count(o, "rope_dim", h->rope_dim) && add_float(o, "norm_eps", h->norm_eps) &&
              add_float(o, "rope_theta", h->rope_theta) &&
              cJSON_AddStringToObject(o, "rope_scaling", scaling_names[h->rope_scaling]);
    if (ok && h->rope_scaling != ASH_ROPE_NONE) {
        ok = add_float(o, "rope_factor", h->rope_factor);
        if (h->rope_scaling != ASH_ROPE_LINEAR)
            ok = ok && add_float(o, "rope_low", h->rope_low) && add_float(o, "rope_high", h->rope_high) &&
                 add_count(o, "rope_original_context", h->rope_original_context);
        if (h->rope_scaling == ASH_ROPE_YARN)
            ok = ok && add_float(o, "rope_attention_factor", h->rope_attention_factor);
    }
    return ok && cJSON_AddBoolToObject(o, "tied_output", h->tied_output) &&
           cJSON_AddBoolToObject(o, "qkv_bias", h->qkv_bias) && cJSON_AddBoolToObject(o, "qk_norm", h->qk_norm);
}

static bool add_tokens(cJSON *root, const ash_meta *m)
{
    cJSON *o = cJSON_AddObjectToObject(root, "tokens");
    bool ok = o && (m->bos < 0 || cJSON_AddNumberToObject(o, "bos", m->bos)) &&
              cJSON_AddBoolToObject(o, "add_bos", m->add_bos) &&
              (m->pad < 0 || cJSON_AddNumberToObject(o, "pad", m->pad));
    cJSON *stop = ok ? cJSON_AddArrayToObject(o, "stop") : NULL;
    ok = stop != NULL;
    for (uint32_t i = 0; ok && i < m->stop_count; i++)
        ok = cJSON_AddItemToArray(stop, cJSON_CreateNumber(m->stop[i]));
    return ok;
}

/* Takes `provenance` (may be NULL). */
static cJSON *build(const ash_meta *m, cJSON *provenance)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root && cJSON_AddStringToObject(root, "architecture", m->h.architecture) &&
              (!m->name || cJSON_AddStringToObject(root, "name", m->name)) &&
              (!m->source_kind || cJSON_AddStringToObject(root, "source_kind", m->source_kind)) &&
              add_hparams(root, &m->h) && add_tokens(root, m) &&
              (!m->chat_template || cJSON_AddStringToObject(root, "chat_template", m->chat_template)) &&
              (!m->tool_template || cJSON_AddStringToObject(root, "tool_template", m->tool_template));
    if (provenance && !(root && cJSON_AddItemToObject(root, "provenance", provenance))) {
        cJSON_Delete(provenance);
        ok = false;
    }
    if (ok)
        return root;
    cJSON_Delete(root);
    return NULL;
}

ash_status ash_meta_write(const ash_meta *meta, char **out, size_t *size, ash_error *err)
{
    *out = NULL;
    *size = 0;
    ASH_TRY(check_meta(meta, err));
    cJSON *provenance = NULL;
    if (meta->provenance) {
        if (ash_json_parse(meta->provenance, strlen(meta->provenance), META_MAX, &provenance, err) != ASH_OK)
            return ash_fail_in(err, "provenance");
        if (!cJSON_IsObject(provenance)) {
            cJSON_Delete(provenance);
            return ash_fail(err, ASH_E_ARGUMENT, "provenance is no JSON object");
        }
    }
    cJSON *root = build(meta, provenance);
    char *text = root ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the model's metadata");
    /* Strings come from source files: what the reader would refuse (broken UTF-8) is refused here. */
    ash_meta back;
    ash_status status = ash_meta_read(text, strlen(text), &back, err);
    if (status != ASH_OK) {
        cJSON_free(text);
        return status;
    }
    ash_meta_free(&back);
    *out = text; /* cJSON allocates with malloc: its hooks are never set */
    *size = strlen(text);
    return ASH_OK;
}

/* ---- reading ---- */

static ash_status get_count(const cJSON *o, const char *key, uint32_t *out, ash_error *err)
{
    uint64_t value;
    const cJSON *item = ash_json_get(o, key);
    if (!item)
        return ash_fail(err, ASH_E_FORMAT, "META has no %s", key);
    if (!ash_json_u64(item, &value) || value > UINT32_MAX)
        return ash_fail(err, ASH_E_FORMAT, "META: %s is no integer below 2^32", key);
    *out = (uint32_t)value;
    return ASH_OK;
}

static ash_status get_float(const cJSON *o, const char *key, float *out, ash_error *err)
{
    const cJSON *item = ash_json_get(o, key);
    if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= 3e38))
        return ash_fail(err, ASH_E_FORMAT, "META: %s is %s", key, item ? "no finite number" : "missing");
    *out = (float)item->valuedouble;
    return ASH_OK;
}

static ash_status get_bool(const cJSON *o, const char *key, bool *out, ash_error *err)
{
    const cJSON *item = ash_json_get(o, key);
    if (!cJSON_IsBool(item))
        return ash_fail(err, ASH_E_FORMAT, "META: %s is %s", key, item ? "neither true nor false" : "missing");
    *out = cJSON_IsTrue(item);
    return ASH_OK;
}

/* A string that may be absent. */
static ash_status get_text(const cJSON *o, const char *key, char **out, ash_error *err)
{
    const cJSON *item = ash_json_get(o, key);
    if (!item)
        return ASH_OK;
    if (!cJSON_IsString(item))
        return ash_fail(err, ASH_E_FORMAT, "META: %s is no string", key);
    *out = strdup(item->valuestring);
    return *out ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "out of memory for the model's metadata");
}

/* A token id that may be absent: -1. */
static ash_status get_token(const cJSON *o, const char *key, int32_t *out, ash_error *err)
{
    uint64_t value;
    const cJSON *item = ash_json_get(o, key);
    *out = -1;
    if (!item)
        return ASH_OK;
    if (!ash_json_u64(item, &value) || value > TOKEN_MAX)
        return ash_fail(err, ASH_E_FORMAT, "META: %s is no token id", key);
    *out = (int32_t)value;
    return ASH_OK;
}

static ash_status get_scaling(const cJSON *o, ash_hparams *h, ash_error *err)
{
    const char *name = ash_json_string(o, "rope_scaling");
    size_t kind = 0;
    while (name && kind < SCALING_COUNT && strcmp(name, scaling_names[kind]) != 0)
        kind++;
    if (!name || kind == SCALING_COUNT)
        return ash_fail(err, ASH_E_UNSUPPORTED, "META: rope_scaling is %.64s: a newer ashlar is needed",
                        name ? name : "no string");
    h->rope_scaling = (ash_rope_scaling)kind;
    if (kind == ASH_ROPE_NONE)
        return ASH_OK;
    ASH_TRY(get_float(o, "rope_factor", &h->rope_factor, err));
    if (kind == ASH_ROPE_LINEAR)
        return ASH_OK;
    ASH_TRY(get_float(o, "rope_low", &h->rope_low, err));
    ASH_TRY(get_float(o, "rope_high", &h->rope_high, err));
    ASH_TRY(get_count(o, "rope_original_context", &h->rope_original_context, err));
    return kind == ASH_ROPE_YARN ? get_float(o, "rope_attention_factor", &h->rope_attention_factor, err) : ASH_OK;
}

static ash_status get_hparams(const cJSON *root, ash_hparams *h, ash_error *err)
{
    const char *architecture = ash_json_string(root, "architecture");
    if (!architecture || strlen(architecture) >= sizeof h->architecture)
        return ash_fail(err, ASH_E_FORMAT, "META: architecture is no name of 1 to %zu letters",
                        sizeof h->architecture - 1);
    strcpy(h->architecture, architecture);
    const cJSON *o = ash_json_get(root, "hparams");
    if (!cJSON_IsObject(o))
        return ash_fail(err, ASH_E_FORMAT, "META has no hparams");
    const struct {
        const char *key;
        uint32_t *out;
    } counts[] = {
        { "layers", &h->layers },     { "hidden", &h->hidden },     { "heads", &h->heads },
        { "kv_heads", &h->kv_heads }, { "head_dim", &h->head_dim }, { "ffn", &h->ffn },
        { "vocab", &h->vocab },       { "context", &h->context },   { "sliding_window", &h->sliding_window },
        { "rope_dim", &h->rope_dim },
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        ASH_TRY(get_count(o, counts[i].key, counts[i].out, err));
    ASH_TRY(get_float(o, "norm_eps", &h->norm_eps, err));
    ASH_TRY(get_float(o, "rope_theta", &h->rope_theta, err));
    ASH_TRY(get_scaling(o, h, err));
    ASH_TRY(get_bool(o, "tied_output", &h->tied_output, err));
    ASH_TRY(get_bool(o, "qkv_bias", &h->qkv_bias, err));
    return get_bool(o, "qk_norm", &h->qk_norm, err);
}

static ash_status get_tokens(const cJSON *root, ash_meta *m, ash_error *err)
{
    const cJSON *o = ash_json_get(root, "tokens"), *stop = ash_json_get(o, "stop"), *item;
    if (!cJSON_IsObject(o) || !cJSON_IsArray(stop))
        return ash_fail(err, ASH_E_FORMAT, "META has no tokens with a list of stop tokens");
    ASH_TRY(get_token(o, "bos", &m->bos, err));
    ASH_TRY(get_token(o, "pad", &m->pad, err));
    ASH_TRY(get_bool(o, "add_bos", &m->add_bos, err));
    cJSON_ArrayForEach(item, stop)
    {
        uint64_t value;
        if (m->stop_count >= ASH_STOP_MAX || !ash_json_u64(item, &value) || value > TOKEN_MAX)
            return ash_fail(err, ASH_E_FORMAT, "META: stop is no list of at most %d token ids", ASH_STOP_MAX);
        m->stop[m->stop_count++] = (int32_t)value;
    }
    return ASH_OK;
}

static ash_status read_root(const cJSON *root, ash_meta *m, ash_error *err)
{
    if (!cJSON_IsObject(root))
        return ash_fail(err, ASH_E_FORMAT, "META is no JSON object");
    ASH_TRY(get_hparams(root, &m->h, err));
    ASH_TRY(get_text(root, "name", &m->name, err));
    ASH_TRY(get_text(root, "source_kind", &m->source_kind, err));
    ASH_TRY(get_tokens(root, m, err));
    ASH_TRY(get_text(root, "chat_template", &m->chat_template, err));
    ASH_TRY(get_text(root, "tool_template", &m->tool_template, err));
    const cJSON *provenance = ash_json_get(root, "provenance");
    if (provenance) {
        if (!cJSON_IsObject(provenance))
            return ash_fail(err, ASH_E_FORMAT, "META: provenance is no JSON object");
        m->provenance = cJSON_PrintUnformatted(provenance);
        if (!m->provenance)
            return ash_fail(err, ASH_E_MEMORY, "out of memory for the model's metadata");
    }
    if (check_meta(m, err) != ASH_OK)
        return ash_fail_in(err, "META");
    return ASH_OK;
}

ash_status ash_meta_read(const char *json, size_t size, ash_meta *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    out->bos = out->pad = -1;
    cJSON *root;
    if (ash_json_parse(json, size, META_MAX, &root, err) != ASH_OK)
        return ash_fail_in(err, "META");
    ash_status status = read_root(root, out, err);
    cJSON_Delete(root);
    if (status != ASH_OK)
        ash_meta_free(out);
    return status;
}
