/* Tokenizer import from a Hugging Face folder: tokenizer.json, and tokenizer_config.json for the named tokens. */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/fileio.h"
#include "format/json.h"

#define JSON_MAX ((size_t)256 << 20)
/* Ids may have holes, but a small file must not ask for a large table. */
#define HOLES_MAX 65536u

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

static bool has_byte_level(const cJSON *item)
{
    const char *type = ash_json_string(item, "type");
    if (type && strcmp(type, "ByteLevel") == 0)
        return true;
    for (const cJSON *i = ash_json_get(item, "pretokenizers") ? ash_json_get(item, "pretokenizers")->child : NULL; i;
         i = i->next) {
        type = ash_json_string(i, "type");
        if (type && strcmp(type, "ByteLevel") == 0)
            return true;
    }
    return false;
}

static ash_status check_model(const cJSON *root, const cJSON *model, ash_error *err)
{
    if (!cJSON_IsObject(model))
        return ash_fail(err, ASH_E_FORMAT, "\"model\" is missing");
    const char *type = ash_json_string(model, "type");
    /* Old files leave the type out; a vocabulary with merges is BPE. */
    if (!type && !ash_json_get(model, "merges"))
        return ash_fail(err, ASH_E_FORMAT, "model.type is missing");
    if (type && strcmp(type, "BPE") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "model.type \"%.40s\" comes with a later version; this one reads byte-level BPE", type);
    if (!has_byte_level(ash_json_get(root, "pre_tokenizer")))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "%s comes with a later version; this one reads byte-level BPE (a ByteLevel pre_tokenizer)",
                        flag(model, "byte_fallback") ? "SentencePiece-like BPE (model.byte_fallback)"
                                                     : "BPE without a ByteLevel pre_tokenizer");
    static const char *const refused[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix" };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (given(model, refused[i]))
            return ash_fail(err, ASH_E_UNSUPPORTED, "model.%s is set, which this version does not execute", refused[i]);
    if (!cJSON_IsObject(ash_json_get(model, "vocab")) || !cJSON_IsArray(ash_json_get(model, "merges")))
        return ash_fail(err, ASH_E_FORMAT, "model.vocab or model.merges is missing");
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

static ash_status count_ids(const cJSON *vocab, const cJSON *added, uint64_t *count, uint64_t *added_count,
                            ash_error *err)
{
    uint64_t entries = 0;
    uint32_t id;
    *count = *added_count = 0;
    for (const cJSON *i = vocab->child; i; i = i->next, entries++) {
        ASH_TRY(id_of(i, i->string, &id, err));
        *count = id >= *count ? (uint64_t)id + 1 : *count;
    }
    for (const cJSON *i = added ? added->child : NULL; i; i = i->next, entries++, (*added_count)++) {
        ASH_TRY(id_of(ash_json_get(i, "id"), ash_json_string(i, "content"), &id, err));
        *count = id >= *count ? (uint64_t)id + 1 : *count;
    }
    if (*count > entries + HOLES_MAX)
        return ash_fail(err, ASH_E_FORMAT, "ids reach %llu for %llu tokens", (unsigned long long)*count - 1,
                        (unsigned long long)entries);
    return ASH_OK;
}

static ash_status read_added(ash_draft *d, const cJSON *item, ash_error *err)
{
    const char *text = ash_json_string(item, "content");
    if (!text || !*text)
        return ash_fail(err, ASH_E_FORMAT, "an added token has no content");
    uint32_t id, flags = 0, size = (uint32_t)strlen(text);
    ASH_TRY(id_of(ash_json_get(item, "id"), text, &id, err));
    int32_t known = ash_draft_find(d, text, size);
    if (known >= 0 && (uint32_t)known != id)
        return ash_fail(err, ASH_E_FORMAT, "the added token \"%.60s\" has id %u, and %d in the vocabulary", text, id,
                        known);
    if (known < 0)
        ASH_TRY(ash_draft_token_add(d, id, (ash_draft_token) { .text = text, .size = size, .type = ASH_TOKEN_USER },
                                    false, err));
    static const struct { const char *key; uint32_t flag; } flags_of[] = {
        { "special", ASH_ADDED_SPECIAL }, { "lstrip", ASH_ADDED_LSTRIP }, { "rstrip", ASH_ADDED_RSTRIP },
        { "single_word", ASH_ADDED_SINGLE_WORD }, { "normalized", ASH_ADDED_NORMALIZED },
    };
    for (size_t i = 0; i < sizeof flags_of / sizeof *flags_of; i++)
        if (flag(item, flags_of[i].key))
            flags |= flags_of[i].flag;
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

static ash_status read_model(ash_draft *d, const cJSON *model, const cJSON *added, ash_error *err)
{
    for (const cJSON *i = ash_json_get(model, "vocab")->child; i; i = i->next) {
        uint32_t id;
        size_t size = strlen(i->string);
        ASH_TRY(id_of(i, i->string, &id, err));
        if (size == 0 || size > (1u << 20))
            return ash_fail(err, ASH_E_FORMAT, "token %u has %zu bytes; allowed are 1 to 1 MiB", id, size);
        ash_draft_token token = { .text = i->string, .size = (uint32_t)size, .type = ASH_TOKEN_NORMAL, .model = true };
        ASH_TRY(ash_draft_token_add(d, id, token, false, err));
    }
    for (const cJSON *i = added ? added->child : NULL; i; i = i->next)
        ASH_TRY(read_added(d, i, err));
    for (const cJSON *i = ash_json_get(model, "merges")->child; i; i = i->next)
        ASH_TRY(read_merge(d, i, err));
    const char *unk = ash_json_string(model, "unk_token");
    if (unk && (d->unk = ash_draft_find(d, unk, strlen(unk))) < 0)
        return ash_fail(err, ASH_E_FORMAT, "model.unk_token \"%.60s\" is not in the vocabulary", unk);
    if (flag(model, "ignore_merges"))
        d->flags |= ASH_VOCAB_IGNORE_MERGES;
    d->last_duplicate = true;
    d->fuse_unk = flag(model, "fuse_unk");
    return ASH_OK;
}

/* ---- tokenizer_config.json ---- */

/* "bos_token": a string, or an object with "content". */
static int32_t named_token(const ash_draft *d, const cJSON *config, const char *key)
{
    const cJSON *item = ash_json_get(config, key);
    const char *text = cJSON_IsString(item) ? item->valuestring : ash_json_string(item, "content");
    return text && *text ? ash_draft_find(d, text, strlen(text)) : -1;
}

static void read_config(ash_draft *d, const cJSON *config)
{
    if (d->bos < 0) /* the post_processor's own comes first */
        d->bos = named_token(d, config, "bos_token");
    d->eos = named_token(d, config, "eos_token");
    d->pad = named_token(d, config, "pad_token");
    const cJSON *add = ash_json_get(config, "add_bos_token");
    if (cJSON_IsBool(add))
        d->flags = cJSON_IsTrue(add) ? d->flags | ASH_VOCAB_ADD_BOS : d->flags & ~(uint32_t)ASH_VOCAB_ADD_BOS;
}

/* ---- together ---- */

static ash_status fill(ash_draft *d, const cJSON *root, const cJSON *config, ash_error *err)
{
    ASH_TRY(read_model(d, ash_json_get(root, "model"), ash_json_get(root, "added_tokens"), err));
    ASH_TRY(ash_json_normalizer(d, ash_json_get(root, "normalizer"), err));
    ASH_TRY(ash_json_pre_tokenizer(d, ash_json_get(root, "pre_tokenizer"), err));
    ASH_TRY(ash_json_post_processor(d, ash_json_get(root, "post_processor"), err));
    ASH_TRY(ash_json_decoder(ash_json_get(root, "decoder"), err));
    if (config)
        read_config(d, config);
    return ASH_OK;
}

static ash_status import(const cJSON *root, const cJSON *config, ash_vocab_import *out, ash_error *err)
{
    const cJSON *model = ash_json_get(root, "model"), *added = ash_json_get(root, "added_tokens");
    uint64_t count, added_count;
    ASH_TRY(check_model(root, model, err));
    ASH_TRY(count_ids(ash_json_get(model, "vocab"), added, &count, &added_count, err));
    ash_draft d;
    ASH_TRY(ash_draft_init(&d, count, added_count, err));
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
    cJSON *root = NULL, *config = NULL;
    ash_status status = ASH_OK;
    if (!path || !config_path)
        status = ash_fail(err, ASH_E_MEMORY, "%s: no memory for a path", folder);
    else if (!ash_path_exists(path))
        status = ash_fail(err, ASH_E_FORMAT,
                          "%s: has no tokenizer.json; save the tokenizer in the fast format beside the model", folder);
    if (status == ASH_OK)
        status = ash_json_read_file(path, JSON_MAX, &root, err);
    if (status == ASH_OK && ash_path_exists(config_path))
        status = ash_json_read_file(config_path, JSON_MAX, &config, err);
    if (status == ASH_OK) {
        status = import(root, config, out, err);
        if (status != ASH_OK)
            ash_fail_in(err, path);
    }
    cJSON_Delete(root);
    cJSON_Delete(config);
    free(path);
    free(config_path);
    return status;
}
