/* Tokenizer import from a Hugging Face folder's tokenizer.json: BPE and Unigram models, added tokens, and the steps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/fileio.h"
#include "format/json.h"

#define JSON_MAX ((size_t)256 << 20)

static bool flag(const cJSON *object, const char *key) { return cJSON_IsTrue(ash_json_get(object, key)); }

/* Present and neither null nor an empty string nor false nor zero. */
static bool given(const cJSON *object, const char *key)
{
    const cJSON *item = ash_json_get(object, key);
    if (!item || cJSON_IsNull(item) || cJSON_IsFalse(item))
        return false;
    if (cJSON_IsString(item))
        return item->valuestring[0] != '\0';
    return !cJSON_IsNumber(item) || item->valuedouble != 0;
}

/* ---- the model ---- */

/* The type, also of old files that leave it out: a list of pieces with scores is Unigram, merges are BPE. */
static ash_status model_type(const cJSON *model, const char **out, ash_error *err)
{
    *out = ash_json_string(model, "type");
    if (!*out && cJSON_IsArray(ash_json_get(model, "vocab")))
        *out = "Unigram";
    if (!*out && ash_json_get(model, "merges"))
        *out = "BPE";
    if (!*out)
        return ash_fail(err, ASH_E_FORMAT, "model.type is missing");
    if (strcmp(*out, "BPE") != 0 && strcmp(*out, "Unigram") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "model.type \"%.40s\" is not supported; read are BPE and Unigram",
                        *out);
    return ASH_OK;
}

static ash_status check_model(const cJSON *root, const cJSON *model, uint32_t *kind, ash_error *err)
{
    const char *type;
    if (!cJSON_IsObject(model))
        return ash_fail(err, ASH_E_FORMAT, "\"model\" is missing");
    ASH_TRY(model_type(model, &type, err));
    bool byte_level = ash_json_is_byte_level(ash_json_get(root, "pre_tokenizer")) ||
                      ash_json_is_byte_level(ash_json_get(root, "normalizer"));
    if (strcmp(type, "Unigram") == 0) {
        if (byte_level)
            return ash_fail(err, ASH_E_UNSUPPORTED,
                            "a Unigram model behind ByteLevel is not supported by this version");
        if (!cJSON_IsArray(ash_json_get(model, "vocab")))
            return ash_fail(err, ASH_E_FORMAT, "model.vocab is not a list of pieces");
        *kind = ASH_VOCAB_UNIGRAM;
        return ASH_OK;
    }
    static const char *const refused[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix" };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (given(model, refused[i]))
            return ash_fail(err, ASH_E_UNSUPPORTED, "model.%s is set, which this version does not execute", refused[i]);
    if (!cJSON_IsObject(ash_json_get(model, "vocab")) || !cJSON_IsArray(ash_json_get(model, "merges")))
        return ash_fail(err, ASH_E_FORMAT, "model.vocab or model.merges is missing");
    *kind = byte_level ? ASH_VOCAB_BYTE_BPE : ASH_VOCAB_CHAR_BPE;
    return ASH_OK;
}

static ash_status id_of(const cJSON *item, const char *text, uint32_t *out, ash_error *err)
{
    uint64_t id;
    *out = 0;
    if (!ash_json_u64(item, &id) || id >= ASH_VOCAB_TOKENS_MAX)
        return ash_fail(err, ASH_E_FORMAT, "token \"%.60s\" has no id from 0 to %u", text ? text : "?",
                        ASH_VOCAB_TOKENS_MAX - 1);
    *out = (uint32_t)id;
    return ASH_OK;
}

/* A list of pieces has their places as ids. */
static ash_status count_ids(const cJSON *vocab, const cJSON *added, const cJSON *config, uint64_t *count,
                            uint64_t *added_count, ash_error *err)
{
    uint64_t entries = 0;
    uint32_t id;
    *count = *added_count = 0;
    for (const cJSON *i = vocab->child; i; i = i->next, entries++) {
        if (cJSON_IsArray(vocab)) {
            ++*count;
            continue;
        }
        ASH_TRY(id_of(i, i->string, &id, err));
        *count = id >= *count ? (uint64_t)id + 1 : *count;
    }
    for (const cJSON *i = added ? added->child : NULL; i; i = i->next, entries++, (*added_count)++) {
        ASH_TRY(id_of(ash_json_get(i, "id"), ash_json_string(i, "content"), &id, err));
        *count = id >= *count ? (uint64_t)id + 1 : *count;
    }
    uint64_t more = 0;
    ASH_TRY(ash_config_count(config, count, &more, err));
    *added_count += more;
    entries += more;
    if (*count > entries + ASH_HOLES_MAX)
        return ash_fail(err, ASH_E_FORMAT, "ids reach %llu for %llu tokens", (unsigned long long)*count - 1,
                        (unsigned long long)entries);
    return ASH_OK;
}

static ash_status read_added(ash_draft *d, const cJSON *item, ash_error *err)
{
    const char *text = ash_json_string(item, "content");
    if (!text || !*text)
        return ash_fail(err, ASH_E_FORMAT, "an added token has no content");
    uint32_t id, flags = ash_config_flags(item), size = (uint32_t)strlen(text);
    ASH_TRY(id_of(ash_json_get(item, "id"), text, &id, err));
    int32_t known = ash_draft_find(d, text, size);
    if (known >= 0 && (uint32_t)known != id)
        return ash_fail(err, ASH_E_FORMAT, "the added token \"%.60s\" has id %u, and %d in the vocabulary", text, id,
                        known);
    if (known < 0)
        ASH_TRY(ash_draft_token_add(d, id, (ash_draft_token) { .text = text, .size = size, .type = ASH_TOKEN_USER },
                                    false, err));
    d->tokens[id].type = flags & ASH_ADDED_SPECIAL ? ASH_TOKEN_CONTROL : ASH_TOKEN_USER;
    return ash_draft_added(d, id, flags, err);
}

static ash_status read_merge(ash_draft *d, const cJSON *item, ash_error *err)
{
    if (cJSON_IsString(item)) { /* "left right" */
        const char *text = item->valuestring, *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' '))
            return ash_fail(err, ASH_E_FORMAT, "merge %u, \"%.60s\", is no pair", d->merge_count, text);
        return ash_draft_merge(d, text, (size_t)(space - text), space + 1, strlen(space + 1), err);
    }
    const cJSON *left = item ? item->child : NULL, *right = left ? left->next : NULL;
    if (!cJSON_IsArray(item) || !cJSON_IsString(left) || !cJSON_IsString(right) || right->next)
        return ash_fail(err, ASH_E_FORMAT, "merge %u is no pair of strings", d->merge_count);
    return ash_draft_merge(d, left->valuestring, strlen(left->valuestring), right->valuestring,
                           strlen(right->valuestring), err);
}

static ash_status read_token(ash_draft *d, uint32_t id, const char *text, double score, ash_error *err)
{
    size_t size = strlen(text);
    if (size == 0 || size > ASH_DRAFT_TOKEN_MAX)
        return ash_fail(err, ASH_E_FORMAT, "token %u has %zu bytes; allowed are 1 to 1 MiB", id, size);
    bool fallback = d->model != ASH_VOCAB_BYTE_BPE && (d->flags & ASH_VOCAB_BYTE_FALLBACK);
    ash_draft_token token = { .text = text,
                              .size = (uint32_t)size,
                              .type = fallback && ash_draft_byte(text, size) >= 0 ? ASH_TOKEN_BYTE
                                                                              : ASH_TOKEN_NORMAL,
                              .model = true,
                              .score = score };
    /* Of equal pieces with scores the last is the one that the library finds. */
    return ash_draft_token_add(d, id, token, d->model == ASH_VOCAB_UNIGRAM, err);
}

static ash_status read_piece(ash_draft *d, uint32_t id, const cJSON *item, ash_error *err)
{
    const cJSON *text = cJSON_IsArray(item) ? item->child : NULL, *score = text ? text->next : NULL;
    if (!cJSON_IsString(text) || !cJSON_IsNumber(score) || score->next || !isfinite(score->valuedouble))
        return ash_fail(err, ASH_E_FORMAT, "piece %u of model.vocab is no pair of a text and a score", id);
    return read_token(d, id, text->valuestring, score->valuedouble, err);
}

static ash_status read_bpe(ash_draft *d, const cJSON *model, ash_error *err)
{
    uint32_t id;
    for (const cJSON *i = ash_json_get(model, "vocab")->child; i; i = i->next) {
        ASH_TRY(id_of(i, i->string, &id, err));
        ASH_TRY(read_token(d, id, i->string, 0, err));
    }
    const char *unk = ash_json_string(model, "unk_token");
    if (unk && (d->unk = ash_draft_find(d, unk, strlen(unk))) < 0)
        return ash_fail(err, ASH_E_FORMAT, "model.unk_token \"%.60s\" is not in the vocabulary", unk);
    d->flags |= (flag(model, "ignore_merges") ? ASH_VOCAB_IGNORE_MERGES : 0) |
                (flag(model, "fuse_unk") ? ASH_VOCAB_FUSE_UNK : 0);
    d->last_duplicate = true;
    return ASH_OK;
}

static ash_status read_unigram(ash_draft *d, const cJSON *model, ash_error *err)
{
    uint32_t count = 0;
    for (const cJSON *i = ash_json_get(model, "vocab")->child; i; i = i->next)
        ASH_TRY(read_piece(d, count++, i, err));
    const cJSON *unk = ash_json_get(model, "unk_id");
    uint64_t id;
    if (unk && !cJSON_IsNull(unk)) {
        if (!ash_json_u64(unk, &id) || id >= count)
            return ash_fail(err, ASH_E_FORMAT, "model.unk_id is not the place of one of the %u pieces", count);
        d->unk = (int32_t)id;
    }
    d->flags |= ASH_VOCAB_FUSE_UNK;
    ash_draft_unk_score(d, true);
    return ASH_OK;
}

static ash_status read_model(ash_draft *d, const cJSON *model, const cJSON *added, ash_error *err)
{
    d->flags |= flag(model, "byte_fallback") ? ASH_VOCAB_BYTE_FALLBACK : 0;
    ASH_TRY(d->model == ASH_VOCAB_UNIGRAM ? read_unigram(d, model, err) : read_bpe(d, model, err));
    for (const cJSON *i = added ? added->child : NULL; i; i = i->next)
        ASH_TRY(read_added(d, i, err));
    if (d->model == ASH_VOCAB_UNIGRAM)
        return ASH_OK;
    for (const cJSON *i = ash_json_get(model, "merges")->child; i; i = i->next)
        ASH_TRY(read_merge(d, i, err));
    return ASH_OK;
}

/* ---- together ---- */

static ash_status fill(ash_draft *d, const cJSON *root, const cJSON *config, ash_error *err)
{
    static const uint32_t all = ASH_ADDED_FLAGS_KNOWN & ~(uint32_t)ASH_ADDED_SYMBOL;
    ASH_TRY(read_model(d, ash_json_get(root, "model"), ash_json_get(root, "added_tokens"), err));
    ASH_TRY(ash_config_added(d, config, all, err));
    if (d->unk >= 0 && d->model != ASH_VOCAB_BYTE_BPE)
        d->tokens[d->unk].type = ASH_TOKEN_UNKNOWN;
    ASH_TRY(ash_json_normalizer(d, ash_json_get(root, "normalizer"), err));
    ASH_TRY(ash_json_pre_tokenizer(d, ash_json_get(root, "pre_tokenizer"), err));
    ASH_TRY(ash_json_post_processor(d, ash_json_get(root, "post_processor"), err));
    ASH_TRY(ash_json_decoder(d, ash_json_get(root, "decoder"), err));
    ash_config_named(d, config);
    return ASH_OK;
}

ash_status ash_import_tokenizer_json(const cJSON *root, const cJSON *config, ash_vocab_import *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    out->bos = out->eos = out->pad = -1;
    const cJSON *model = ash_json_get(root, "model"), *added = ash_json_get(root, "added_tokens");
    uint64_t count, added_count;
    uint32_t kind = 0;
    ASH_TRY(check_model(root, model, &kind, err));
    ASH_TRY(count_ids(ash_json_get(model, "vocab"), added, config, &count, &added_count, err));
    ash_draft d;
    ASH_TRY(ash_draft_init(&d, count, added_count, err));
    d.model = kind;
    ash_status status = fill(&d, root, config, err);
    if (status == ASH_OK)
        status = ash_draft_finish(&d, out, err);
    ash_draft_free(&d);
    return status;
}

ash_status ash_import_tokenizer_hf(const char *folder, ash_vocab_import *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    out->bos = out->eos = out->pad = -1;
    char *path = ash_path_join(folder, "tokenizer.json"), *config_path = ash_path_join(folder, "tokenizer_config.json");
    char *model_path = ash_path_join(folder, "tokenizer.model");
    cJSON *root = NULL, *config = NULL;
    ash_status status = ASH_OK;
    bool json = false;
    if (!path || !config_path || !model_path)
        status = ash_fail(err, ASH_E_MEMORY, "%s: no memory for a path", folder);
    else if (!(json = ash_path_exists(path)) && !ash_path_exists(model_path))
        status = ash_fail(err, ASH_E_FORMAT,
                          "%s: has neither tokenizer.json nor tokenizer.model; put the tokenizer beside the model",
                          folder);
    if (status == ASH_OK && ash_path_exists(config_path))
        status = ash_json_read_file(config_path, JSON_MAX, &config, err);
    if (status == ASH_OK && !json)
        status = ash_import_tokenizer_model(folder, config, out, err);
    if (status == ASH_OK && json)
        status = ash_json_read_file(path, JSON_MAX, &root, err);
    if (status == ASH_OK && json) {
        status = ash_import_tokenizer_json(root, config, out, err);
        if (status != ASH_OK)
            ash_fail_in(err, path);
    }
    cJSON_Delete(root);
    cJSON_Delete(config);
    free(path);
    free(config_path);
    free(model_path);
    return status;
}
