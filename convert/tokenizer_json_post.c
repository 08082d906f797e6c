/* What tokenizer.json does behind the model: post_processor (bos and eos) and decoder, as steps. What would change ids
 * or text and is not executed here is refused by name. */
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"

static bool absent(const cJSON *item) { return !item || cJSON_IsNull(item); }

/* ---- post_processor ---- */

static ash_status template_token(const ash_draft *d, const cJSON *root, const cJSON *piece, int32_t *out,
                                 ash_error *err)
{
    const char *name = ash_json_string(ash_json_get(piece, "SpecialToken"), "id");
    const cJSON *ids = name ? ash_json_get(ash_json_get(ash_json_get(root, "special_tokens"), name), "ids") : NULL;
    uint64_t id;
    if (!cJSON_IsArray(ids) || !ids->child || ids->child->next || !ash_json_u64(ids->child, &id) ||
        id >= d->token_count)
        return ash_fail(err, ASH_E_UNSUPPORTED, "post_processor TemplateProcessing: \"%.60s\" is not one token",
                        name ? name : "?");
    *out = (int32_t)id;
    return ASH_OK;
}

/* At most one token before the text (bos) and one after it (eos). */
static ash_status template(ash_draft *d, const cJSON *item, ash_error *err)
{
    int before = 0, after = 0, texts = 0;
    int32_t id = -1;
    const cJSON *single = ash_json_get(item, "single");
    for (const cJSON *i = single ? single->child : NULL; i; i = i->next) {
        if (ash_json_get(i, "Sequence")) {
            texts++;
            continue;
        }
        ASH_TRY(template_token(d, item, i, &id, err));
        if (texts == 0) {
            before++;
            d->bos = id;
            d->flags |= ASH_VOCAB_ADD_BOS;
        } else {
            after++;
            d->flags |= ASH_VOCAB_ADD_EOS;
        }
    }
    if (texts != 1 || before > 1 || after > 1)
        return ash_fail(
            err, ASH_E_UNSUPPORTED,
            "post_processor TemplateProcessing with %d tokens before %d texts and %d after is not supported", before,
            texts, after);
    return ASH_OK;
}

/* "cls": ["<s>", 0] in front, "sep" behind. */
static ash_status framed(ash_draft *d, const cJSON *item, ash_error *err)
{
    static const char *const keys[] = { "cls", "sep" };
    for (int k = 0; k < 2; k++) {
        const cJSON *pair = ash_json_get(item, keys[k]), *number = pair && pair->child ? pair->child->next : NULL;
        uint64_t id;
        if (!cJSON_IsArray(pair) || !ash_json_u64(number, &id) || id >= d->token_count)
            return ash_fail(err, ASH_E_FORMAT, "post_processor \"%.40s\": %s is no pair of a token and its id",
                            ash_json_string(item, "type"), keys[k]);
        *(k == 0 ? &d->bos : &d->eos) = (int32_t)id;
    }
    d->flags |= ASH_VOCAB_ADD_BOS | ASH_VOCAB_ADD_EOS;
    return ASH_OK;
}

static ash_status post_processor(ash_draft *d, const cJSON *item, int depth, ash_error *err)
{
    if (absent(item) || ash_json_is(item, "ByteLevel")) /* ByteLevel: offsets only */
        return ASH_OK;
    if (ash_json_is(item, "Sequence") && depth < ASH_JSON_NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "processors");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(post_processor(d, i, depth + 1, err));
        return ASH_OK;
    }
    if (ash_json_is(item, "TemplateProcessing"))
        return template(d, item, err);
    if (ash_json_is(item, "RobertaProcessing") || ash_json_is(item, "BertProcessing"))
        return framed(d, item, err);
    return ash_json_refused("post_processor", item, err);
}

ash_status ash_json_post_processor(ash_draft *d, const cJSON *item, ash_error *err)
{
    return post_processor(d, item, 0, err);
}

/* ---- decoder ---- */

static ash_status simple(ash_draft *d, uint16_t kind, ash_error *err)
{
    return ash_draft_step(d, &(ash_vocab_source_step){ .kind = kind }, err);
}

static ash_status replace(ash_draft *d, const cJSON *item, ash_error *err)
{
    const cJSON *pattern = ash_json_get(item, "pattern");
    const char *text = cJSON_IsString(pattern) ? pattern->valuestring : ash_json_string(pattern, "String");
    const char *content = ash_json_string(item, "content");
    if (!text || !content || !*text)
        return ash_fail(err, ASH_E_UNSUPPORTED, "decoder Replace: only a String that is not empty is replaced");
    if (strlen(text) > ASH_VOCAB_PATTERN_MAX || strlen(content) > ASH_VOCAB_PATTERN_MAX)
        return ash_fail(err, ASH_E_LIMIT, "decoder Replace: a text of more than %u bytes", ASH_VOCAB_PATTERN_MAX);
    ash_vocab_source_step s = { .kind = ASH_STEP_DECODE_REPLACE,
                                .text = text,
                                .size = (uint32_t)strlen(text),
                                .second = content,
                                .second_size = (uint32_t)strlen(content) };
    return ash_draft_step(d, &s, err);
}

static ash_status strip(ash_draft *d, const cJSON *item, ash_error *err)
{
    ash_vocab_source_step s = { .kind = ASH_STEP_DECODE_STRIP };
    uint64_t start, stop;
    const char *content;
    ASH_TRY(ash_json_character(item, "decoder", "content", &content, err));
    if (!ash_json_u64(ash_json_get(item, "start"), &start) || !ash_json_u64(ash_json_get(item, "stop"), &stop) ||
        start > UINT32_MAX || stop > UINT32_MAX)
        return ash_fail(err, ASH_E_FORMAT, "decoder Strip: start or stop is no count of characters");
    s.text = content;
    s.size = (uint32_t)strlen(content);
    s.numbers[0] = (uint32_t)start;
    s.numbers[1] = (uint32_t)stop;
    return ash_draft_step(d, &s, err);
}

static ash_status metaspace(ash_draft *d, const cJSON *item, ash_error *err)
{
    ash_vocab_source_step s = { .kind = ASH_STEP_DECODE_METASPACE };
    ASH_TRY(ash_json_metaspace(item, "decoder", &s.text, &s.behaviour, err));
    s.size = (uint32_t)strlen(s.text);
    return ash_draft_step(d, &s, err);
}

/* Bytes one after another are what no steps at all mean. */
static bool plain_bytes(const ash_draft *d, uint32_t first)
{
    for (uint32_t i = first; i < d->step_count; i++)
        if (d->steps[i].kind != ASH_STEP_DECODE_BYTES && d->steps[i].kind != ASH_STEP_DECODE_FUSE &&
            d->steps[i].kind != ASH_STEP_DECODE_FALLBACK)
            return false;
    return true;
}

/* Bytes are put together as a whole text; what would come before that works on the alphabet. */
static ash_status byte_level(ash_draft *d, const cJSON *item, uint32_t first, ash_error *err)
{
    if (d->model != ASH_VOCAB_BYTE_BPE)
        return ash_fail(err, ASH_E_UNSUPPORTED, "decoder ByteLevel without a ByteLevel pre_tokenizer is not supported");
    if (!plain_bytes(d, first))
        return ash_json_refused("decoder behind others:", item, err);
    ASH_TRY(simple(d, ASH_STEP_DECODE_BYTES, err));
    return simple(d, ASH_STEP_DECODE_FUSE, err);
}

/* first: how many steps there were before the decoder's. */
static ash_status decoder(ash_draft *d, const cJSON *item, uint32_t first, int depth, ash_error *err)
{
    if (ash_json_is(item, "Sequence") && depth < ASH_JSON_NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "decoders");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(decoder(d, i, first, depth + 1, err));
        return ASH_OK;
    }
    if (ash_json_is(item, "ByteLevel"))
        return byte_level(d, item, first, err);
    if (ash_json_is(item, "Fuse"))
        return simple(d, ASH_STEP_DECODE_FUSE, err);
    if (ash_json_is(item, "ByteFallback"))
        return simple(d, ASH_STEP_DECODE_FALLBACK, err);
    bool alphabet = d->model == ASH_VOCAB_BYTE_BPE && d->step_count == first;
    if (alphabet && (ash_json_is(item, "Replace") || ash_json_is(item, "Strip") || ash_json_is(item, "Metaspace")))
        return ash_json_refused("decoder before ByteLevel:", item, err);
    if (ash_json_is(item, "Replace"))
        return replace(d, item, err);
    if (ash_json_is(item, "Strip"))
        return strip(d, item, err);
    if (ash_json_is(item, "Metaspace"))
        return metaspace(d, item, err);
    return ash_json_refused("decoder", item, err);
}

ash_status ash_json_decoder(ash_draft *d, const cJSON *item, ash_error *err)
{
    uint32_t first = d->step_count;
    if (absent(item)) /* tokens with spaces between them; of bytes they would be no text */
        return d->model == ASH_VOCAB_BYTE_BPE ? ASH_OK : simple(d, ASH_STEP_DECODE_JOIN, err);
    ASH_TRY(decoder(d, item, first, 0, err));
    if (d->model == ASH_VOCAB_BYTE_BPE && plain_bytes(d, first))
        d->step_count = first;
    return ASH_OK;
}
