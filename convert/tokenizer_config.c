/* What lies beside a tokenizer in a Hugging Face folder: tokenizer_config.json's named tokens and its
 * added_tokens_decoder. */
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"

uint32_t ash_config_flags(const cJSON *item)
{
    static const struct { const char *key; uint32_t flag; } flags_of[] = {
        { "special", ASH_ADDED_SPECIAL }, { "lstrip", ASH_ADDED_LSTRIP }, { "rstrip", ASH_ADDED_RSTRIP },
        { "single_word", ASH_ADDED_SINGLE_WORD }, { "normalized", ASH_ADDED_NORMALIZED },
    };
    uint32_t flags = 0;
    for (size_t i = 0; i < sizeof flags_of / sizeof *flags_of; i++)
        if (cJSON_IsTrue(ash_json_get(item, flags_of[i].key)))
            flags |= flags_of[i].flag;
    return flags;
}

/* ---- named tokens ---- */

int32_t ash_config_id(const ash_draft *d, const cJSON *config, const char *key, int32_t otherwise)
{
    const cJSON *item = ash_json_get(config, key);
    const char *text = cJSON_IsString(item) ? item->valuestring : ash_json_string(item, "content");
    int32_t id = text && *text ? ash_draft_find(d, text, strlen(text)) : -1;
    return id >= 0 ? id : otherwise;
}

static void named_flag(ash_draft *d, const cJSON *config, const char *key, uint32_t flag)
{
    const cJSON *item = ash_json_get(config, key);
    if (cJSON_IsBool(item))
        d->flags = cJSON_IsTrue(item) ? d->flags | flag : d->flags & ~flag;
}

void ash_config_named(ash_draft *d, const cJSON *config)
{
    if (d->bos < 0) /* the post_processor's own comes first */
        d->bos = ash_config_id(d, config, "bos_token", -1);
    d->eos = ash_config_id(d, config, "eos_token", d->eos);
    d->pad = ash_config_id(d, config, "pad_token", d->pad);
    named_flag(d, config, "add_bos_token", ASH_VOCAB_ADD_BOS);
    named_flag(d, config, "add_eos_token", ASH_VOCAB_ADD_EOS);
}

/* ---- added_tokens_decoder: { "32000": { "content": ..., flags } } ---- */

static const cJSON *first_added(const cJSON *config)
{
    const cJSON *list = ash_json_get(config, "added_tokens_decoder");
    return cJSON_IsObject(list) ? list->child : NULL;
}

static ash_status key_id(const cJSON *item, uint32_t *out, ash_error *err)
{
    const char *p = item->string;
    uint64_t id = 0;
    for (; *p >= '0' && *p <= '9' && id < ASH_VOCAB_TOKENS_MAX; p++)
        id = 10 * id + (uint64_t)(*p - '0');
    *out = (uint32_t)id;
    if (*p || p == item->string || id >= ASH_VOCAB_TOKENS_MAX)
        return ash_fail(err, ASH_E_FORMAT,
                        "tokenizer_config.json: added_tokens_decoder: \"%.40s\" is no id from 0 to %u", item->string,
                        ASH_VOCAB_TOKENS_MAX - 1);
    return ASH_OK;
}

ash_status ash_config_count(const cJSON *config, uint64_t *count, uint64_t *added_count, ash_error *err)
{
    uint32_t id;
    for (const cJSON *i = first_added(config); i; i = i->next, ++*added_count) {
        ASH_TRY(key_id(i, &id, err));
        *count = id >= *count ? (uint64_t)id + 1 : *count;
    }
    return ASH_OK;
}

ash_status ash_config_token(ash_draft *d, uint32_t id, const cJSON *item, uint32_t keep, ash_error *err)
{
    const char *text = cJSON_IsString(item) ? item->valuestring : ash_json_string(item, "content");
    if (!text || !*text)
        return ash_fail(err, ASH_E_FORMAT, "the added token with id %u has no content", id);
    size_t size = strlen(text);
    if (size > ASH_DRAFT_TOKEN_MAX)
        return ash_fail(err, ASH_E_LIMIT, "the added token with id %u has %zu bytes, at most 1 MiB are taken", id,
                        size);
    int32_t known = ash_draft_find(d, text, size);
    if (known >= 0 && d->tokens[known].added)
        return ASH_OK;
    uint32_t flags = ash_config_flags(item) & keep;
    uint16_t type = flags & ASH_ADDED_SPECIAL ? ASH_TOKEN_CONTROL : ASH_TOKEN_USER;
    if (known < 0)
        ASH_TRY(ash_draft_token_add(d, id, (ash_draft_token) { .text = text, .size = (uint32_t)size, .type = type },
                                    false, err));
    else
        id = (uint32_t)known; /* the vocabulary's own id counts */
    if (d->tokens[id].type != ASH_TOKEN_UNKNOWN)
        d->tokens[id].type = type;
    return ash_draft_added(d, id, flags, err);
}

ash_status ash_config_added(ash_draft *d, const cJSON *config, uint32_t keep, ash_error *err)
{
    uint32_t id;
    for (const cJSON *i = first_added(config); i; i = i->next) {
        ASH_TRY(key_id(i, &id, err));
        ASH_TRY(ash_config_token(d, id, i, keep, err));
    }
    return ASH_OK;
}
