/* What tokenizer.json does to text before and after the model: normalizer, pre_tokenizer, post_processor, decoder.
 * Everything that would change the ids and is not executed here is refused by name. */
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"

#define NESTING_MAX 8

static const char *type_of(const cJSON *item)
{
    const char *type = ash_json_string(item, "type");
    return type ? type : "?";
}

static bool is(const cJSON *item, const char *type) { return strcmp(type_of(item), type) == 0; }

static ash_status refused(const char *what, const cJSON *item, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "%s \"%.60s\" is not supported by this version", what, type_of(item));
}

/* ---- normalizer ---- */

static ash_status normalizer(ash_draft *d, const cJSON *item, int depth, ash_error *err)
{
    static const struct { const char *type; uint16_t kind; } forms[] = {
        { "NFC", ASH_STEP_NFC }, { "NFD", ASH_STEP_NFD }, { "NFKC", ASH_STEP_NFKC }, { "NFKD", ASH_STEP_NFKD },
    };
    if (!item || cJSON_IsNull(item))
        return ASH_OK;
    if (is(item, "Sequence") && depth < NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "normalizers");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(normalizer(d, i, depth + 1, err));
        return ASH_OK;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (is(item, forms[i].type))
            return ash_draft_step(d, forms[i].kind, 0, 0, NULL, 0, err);
    return refused("normalizer", item, err);
}

ash_status ash_json_normalizer(ash_draft *d, const cJSON *item, ash_error *err)
{
    ASH_TRY(normalizer(d, item, 0, err));
    if (d->step_count == 0)
        return ASH_OK;
    /* Added tokens that are looked for in normalized text are normalized themselves. Those that are ASCII stay as they
     * are; others would need the runtime's tables here. */
    for (uint32_t i = 0; i < d->added_count; i++)
        for (uint32_t j = 0; (d->added[i].flags & ASH_ADDED_NORMALIZED) && j < d->added[i].size; j++)
            if (d->added[i].bytes[j] >= 0x80)
                return ash_fail(err, ASH_E_UNSUPPORTED,
                                "the added token \"%.*s\" is normalized and not ASCII, which this version "
                                "does not execute",
                                d->added[i].size < 60 ? (int)d->added[i].size : 60, (const char *)d->added[i].bytes);
    return ASH_OK;
}

/* ---- pre_tokenizer ---- */

static ash_status behaviour_of(const cJSON *item, uint16_t *out, ash_error *err)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *name = ash_json_string(item, "behavior");
    *out = ASH_SPLIT_ISOLATED;
    for (uint16_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = i; /* in the order of ash_split_behaviour */
            return ASH_OK;
        }
    return ash_fail(err, ASH_E_UNSUPPORTED, "pre_tokenizer Split: behavior \"%.40s\" is not known", name ? name : "?");
}

static ash_status split(ash_draft *d, const cJSON *item, ash_error *err)
{
    const cJSON *pattern = ash_json_get(item, "pattern");
    const char *regex = ash_json_string(pattern, "Regex"), *literal = ash_json_string(pattern, "String");
    uint16_t behaviour;
    ASH_TRY(behaviour_of(item, &behaviour, err));
    if (!regex == !literal)
        return ash_fail(err, ASH_E_FORMAT, "pre_tokenizer Split: pattern is neither Regex nor String");
    ash_status status = ash_draft_split(d, regex ? regex : literal, literal != NULL, behaviour,
                                        cJSON_IsTrue(ash_json_get(item, "invert")), err);
    return status == ASH_OK ? ASH_OK : ash_fail_in(err, "pre_tokenizer Split");
}

static ash_status byte_level(ash_draft *d, const cJSON *item, ash_error *err)
{
    const cJSON *regex = ash_json_get(item, "use_regex"), *prefix = ash_json_get(item, "add_prefix_space");
    if (!cJSON_IsFalse(prefix)) /* absent: true */
        ASH_TRY(ash_draft_step(d, ASH_STEP_PREFIX_SPACE, 0, 0, NULL, 0, err));
    if (!cJSON_IsFalse(regex))
        ASH_TRY(ash_draft_split(d, ASH_GPT2_EXPRESSION, false, ASH_SPLIT_ISOLATED, false, err));
    d->byte_level = true;
    return ASH_OK;
}

static ash_status pre_tokenizer(ash_draft *d, const cJSON *item, int depth, ash_error *err)
{
    if (is(item, "Sequence") && depth < NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "pretokenizers");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(pre_tokenizer(d, i, depth + 1, err));
        return ASH_OK;
    }
    if (d->byte_level)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "pre_tokenizer \"%.60s\" after ByteLevel is not supported by this version", type_of(item));
    if (is(item, "ByteLevel"))
        return byte_level(d, item, err);
    if (is(item, "Split"))
        return split(d, item, err);
    if (is(item, "Digits")) {
        bool each = cJSON_IsTrue(ash_json_get(item, "individual_digits"));
        return ash_draft_split(d, "\\p{N}", false, each ? ASH_SPLIT_ISOLATED : ASH_SPLIT_CONTIGUOUS, false, err);
    }
    return refused("pre_tokenizer", item, err);
}

ash_status ash_json_pre_tokenizer(ash_draft *d, const cJSON *item, ash_error *err)
{
    ASH_TRY(pre_tokenizer(d, item, 0, err));
    return d->byte_level
               ? ASH_OK
               : ash_fail(err, ASH_E_UNSUPPORTED, "pre_tokenizer without ByteLevel is not supported by this version");
}

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

static ash_status post_processor(ash_draft *d, const cJSON *item, int depth, ash_error *err)
{
    if (!item || cJSON_IsNull(item) || is(item, "ByteLevel")) /* ByteLevel: offsets only */
        return ASH_OK;
    if (is(item, "Sequence") && depth < NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "processors");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(post_processor(d, i, depth + 1, err));
        return ASH_OK;
    }
    return is(item, "TemplateProcessing") ? template(d, item, err) : refused("post_processor", item, err);
}

ash_status ash_json_post_processor(ash_draft *d, const cJSON *item, ash_error *err)
{
    return post_processor(d, item, 0, err);
}

/* ---- decoder ---- */

static ash_status decoder(const cJSON *item, int depth, ash_error *err)
{
    if (!item || cJSON_IsNull(item) || is(item, "ByteLevel") || is(item, "Fuse"))
        return ASH_OK;
    if (is(item, "Sequence") && depth < NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "decoders");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(decoder(i, depth + 1, err));
        return ASH_OK;
    }
    return refused("decoder", item, err);
}

ash_status ash_json_decoder(const cJSON *item, ash_error *err) { return decoder(item, 0, err); }
