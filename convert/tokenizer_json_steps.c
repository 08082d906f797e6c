/* What tokenizer.json does to text before the model sees it: normalizer and pre_tokenizer, as steps. What would change
 * the ids and is not executed here is refused by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"

/* The library's tables of punctuation and marks are of Unicode 8 and 9: these are the later characters, with what lies
 * between them and is neither (tests/fixtures/make_tokenizers.py prints the ranges). */
#define LATER_PUNCTUATION \
    "\\x{61d}\\x{9fd}-\\x{a76}\\x{c77}-\\x{c84}\\x{1b4e}-\\x{1b4f}\\x{1b7d}-\\x{1b7f}\\x{2e43}-\\x{2e5d}" \
    "\\x{10d6e}-\\x{10f89}\\x{113d4}-\\x{1145d}\\x{11660}-\\x{116b9}\\x{1183b}-\\x{11fff}\\x{12ff1}-\\x{12ff2}" \
    "\\x{16d6d}-\\x{16fe2}\\x{1e5ff}-\\x{1e95f}"
#define LATER_MARKS \
    "\\x{7fd}\\x{897}-\\x{8d3}\\x{9fe}\\x{afa}-\\x{aff}\\x{b55}\\x{c04}-\\x{c3c}\\x{cf3}-\\x{d00}" \
    "\\x{d3b}-\\x{d3c}\\x{d81}\\x{eba}\\x{ece}\\x{1715}\\x{180f}\\x{1abf}-\\x{1aeb}\\x{1cf7}\\x{1df6}-\\x{1dfa}" \
    "\\x{a82c}\\x{a8ff}\\x{10d24}-\\x{10f85}\\x{11070}-\\x{11074}\\x{110c2}\\x{11145}-\\x{11146}\\x{111c9}" \
    "\\x{111ce}-\\x{111cf}\\x{11241}\\x{1133b}\\x{113b8}-\\x{113e2}\\x{1145e}\\x{1182c}-\\x{11b67}" \
    "\\x{11d31}-\\x{1612f}\\x{16f4f}\\x{16f7f}-\\x{16f87}\\x{16fe4}-\\x{16ff1}\\x{1cf00}-\\x{1cf46}" \
    "\\x{1e08f}-\\x{1e6f5}"
const char ash_json_punctuation[] = "(?![" LATER_PUNCTUATION "])[\\p{P}!-/:-@\\[-`{-~\\x{166d}\\x{111c9}]";
const char ash_json_marks[] = "(?![" LATER_MARKS "])[\\p{M}\\x{1cf2}\\x{1cf3}]";
/* The word characters of Rust's regex crate: Oniguruma's and the two joiners. */
#define RUST_WORD "\\w\\x{200c}\\x{200d}"

static const char *type_of(const cJSON *item)
{
    const char *type = ash_json_string(item, "type");
    return type ? type : "?";
}

bool ash_json_is(const cJSON *item, const char *type) { return strcmp(type_of(item), type) == 0; }

ash_status ash_json_refused(const char *what, const cJSON *item, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "%s \"%.60s\" is not supported by this version", what, type_of(item));
}

static bool absent(const cJSON *item) { return !item || cJSON_IsNull(item); }
static bool truth(const cJSON *item, const char *key) { return cJSON_IsTrue(ash_json_get(item, key)); }

static bool byte_level_in(const cJSON *item, int depth)
{
    if (ash_json_is(item, "ByteLevel"))
        return true;
    static const char *const lists[] = { "pretokenizers", "normalizers" };
    for (size_t k = 0; k < sizeof lists / sizeof *lists && depth < ASH_JSON_NESTING_MAX; k++) {
        const cJSON *list = ash_json_get(item, lists[k]);
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            if (byte_level_in(i, depth + 1))
                return true;
    }
    return false;
}

bool ash_json_is_byte_level(const cJSON *item) { return byte_level_in(item, 0); }

/* A step with a text of ours. */
static ash_status plain(ash_draft *d, uint16_t kind, uint16_t behaviour, uint32_t flags, const char *text,
                        ash_error *err)
{
    ash_vocab_source_step s = { .kind = kind, .behaviour = behaviour, .flags = flags, .text = text };
    s.size = text ? (uint32_t)strlen(text) : 0;
    return ash_draft_step(d, &s, err);
}

static ash_status text_of(const cJSON *item, const char *what, const char *key, const char **out, ash_error *err)
{
    *out = ash_json_string(item, key);
    return *out && strlen(*out) <= ASH_VOCAB_PATTERN_MAX
               ? ASH_OK
               : ash_fail(err, ASH_E_FORMAT, "%s \"%.60s\": %s is no text of at most %u bytes", what, type_of(item),
                          key, ASH_VOCAB_PATTERN_MAX);
}

/* "pattern": { "String": ... } or { "Regex": ... }. */
static ash_status pattern_of(const cJSON *item, const char *what, const char **text, bool *literal, ash_error *err)
{
    const cJSON *pattern = ash_json_get(item, "pattern");
    const char *regex = ash_json_string(pattern, "Regex"), *string = ash_json_string(pattern, "String");
    if (!regex == !string)
        return ash_fail(err, ASH_E_FORMAT, "%s %s: pattern is neither Regex nor String", what, type_of(item));
    *text = regex ? regex : string;
    *literal = string != NULL;
    return ASH_OK;
}

/* ---- normalizer ---- */

static ash_status replace(ash_draft *d, const cJSON *item, ash_error *err)
{
    const char *text, *content;
    bool literal;
    ASH_TRY(pattern_of(item, "normalizer", &text, &literal, err));
    ASH_TRY(text_of(item, "normalizer", "content", &content, err));
    if (!*text || strlen(text) > ASH_VOCAB_PATTERN_MAX)
        return ash_fail(err, ASH_E_UNSUPPORTED, "normalizer Replace: its pattern has no bytes, or more than %u",
                        ASH_VOCAB_PATTERN_MAX);
    ash_vocab_source_step s = { .kind = ASH_STEP_REPLACE,
                                .flags = literal ? ASH_STEP_LITERAL : 0,
                                .text = text,
                                .size = (uint32_t)strlen(text),
                                .second = content,
                                .second_size = (uint32_t)strlen(content) };
    if (literal)
        return ash_draft_step(d, &s, err);
    return ash_draft_expression_step(d, &s, err) == ASH_OK ? ASH_OK : ash_fail_in(err, "normalizer Replace");
}

/* An expression of ours, in PCRE2's syntax. */
static ash_status exchange(ash_draft *d, const char *expression, const char *content, ash_error *err)
{
    ash_vocab_source_step s = { .kind = ASH_STEP_REPLACE,
                                .text = expression,
                                .size = (uint32_t)strlen(expression),
                                .second = content,
                                .second_size = (uint32_t)strlen(content) };
    return ash_draft_step(d, &s, err);
}

static ash_status nmt(ash_draft *d, ash_error *err)
{
    ASH_TRY(exchange(d, "[\\x01-\\x08\\x0b\\x0e-\\x1f\\x7f\\x{8f}\\x{9f}]", "", err));
    return exchange(d,
                    "[\\x09\\x0a\\x0c\\x0d\\x{1680}\\x{200b}-\\x{200f}\\x{2028}\\x{2029}\\x{2581}\\x{feff}\\x{fffd}]",
                    " ", err);
}

/* The six bits of a character of base 64, or -1. */
static int sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static ash_status charsmap(ash_draft *d, const cJSON *item, ash_error *err)
{
    const char *text = ash_json_string(item, "precompiled_charsmap");
    size_t size = text ? strlen(text) : 0, used = 0;
    if (absent(ash_json_get(item, "precompiled_charsmap")) || (text && size == 0))
        return ASH_OK; /* no map: nothing happens */
    if (!text || size > ASH_VOCAB_MAP_MAX)
        return ash_fail(err, ASH_E_FORMAT, "normalizer Precompiled: its map is no text of at most %u bytes",
                        ASH_VOCAB_MAP_MAX);
    char *map = malloc(size);
    if (!map)
        return ash_fail(err, ASH_E_MEMORY, "no memory for a map of %zu bytes", size);
    while (size > 0 && text[size - 1] == '=')
        size--;
    uint32_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        int six = sextet(text[i]);
        if (six < 0) {
            free(map);
            return ash_fail(err, ASH_E_FORMAT, "normalizer Precompiled: byte %zu of its map is not base 64", i);
        }
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 != 0)
            map[used++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    ash_vocab_source_step s = { .kind = ASH_STEP_CHARSMAP, .text = map, .size = (uint32_t)used };
    ash_status status = ash_draft_step(d, &s, err);
    free(map);
    return status;
}

static ash_status normalizer(ash_draft *d, const cJSON *item, int depth, ash_error *err)
{
    static const struct { const char *type; uint16_t kind; } simple[] = {
        { "NFC", ASH_STEP_NFC },   { "NFD", ASH_STEP_NFD },   { "NFKC", ASH_STEP_NFKC },
        { "NFKD", ASH_STEP_NFKD }, { "Lowercase", ASH_STEP_LOWERCASE },
    };
    if (absent(item))
        return ASH_OK;
    if (ash_json_is(item, "Sequence") && depth < ASH_JSON_NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "normalizers");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(normalizer(d, i, depth + 1, err));
        return ASH_OK;
    }
    if (d->byte_level)
        return ash_fail(err, ASH_E_UNSUPPORTED, "normalizer \"%.60s\" after ByteLevel is not supported by this version",
                        type_of(item));
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (ash_json_is(item, simple[i].type))
            return plain(d, simple[i].kind, 0, 0, NULL, err);
    if (ash_json_is(item, "Replace"))
        return replace(d, item, err);
    if (ash_json_is(item, "Prepend")) {
        const char *text;
        ASH_TRY(text_of(item, "normalizer", "prepend", &text, err));
        return *text ? plain(d, ASH_STEP_PREPEND, 0, 0, text, err) : ASH_OK;
    }
    if (ash_json_is(item, "Strip")) {
        uint32_t ends = (truth(item, "strip_left") ? ASH_STEP_LEFT : 0) |
                        (truth(item, "strip_right") ? ASH_STEP_RIGHT : 0);
        return ends ? plain(d, ASH_STEP_STRIP, 0, ends, NULL, err) : ASH_OK;
    }
    if (ash_json_is(item, "StripAccents"))
        return exchange(d, ash_json_marks, "", err);
    if (ash_json_is(item, "Nmt"))
        return nmt(d, err);
    if (ash_json_is(item, "Precompiled"))
        return charsmap(d, item, err);
    if (ash_json_is(item, "ByteLevel")) {
        d->byte_level = true;
        return ASH_OK;
    }
    return ash_json_refused("normalizer", item, err);
}

ash_status ash_json_normalizer(ash_draft *d, const cJSON *item, ash_error *err) { return normalizer(d, item, 0, err); }

/* ---- pre_tokenizer ---- */

static ash_status behaviour_of(const cJSON *item, bool needed, uint16_t *out, ash_error *err)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *name = ash_json_string(item, "behavior");
    *out = ASH_SPLIT_ISOLATED;
    if (!name && !needed)
        return ASH_OK;
    for (uint16_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = i; /* in the order of ash_split_behaviour */
            return ASH_OK;
        }
    return ash_fail(err, ASH_E_UNSUPPORTED, "pre_tokenizer %s: behavior \"%.40s\" is not known", type_of(item),
                    name ? name : "?");
}

static ash_status split(ash_draft *d, const cJSON *item, ash_error *err)
{
    uint16_t behaviour;
    const char *text;
    bool literal;
    ASH_TRY(behaviour_of(item, true, &behaviour, err));
    ASH_TRY(pattern_of(item, "pre_tokenizer", &text, &literal, err));
    ash_status status = ash_draft_split(d, text, literal, behaviour, truth(item, "invert"), err);
    return status == ASH_OK ? ASH_OK : ash_fail_in(err, "pre_tokenizer Split");
}

static ash_status byte_level(ash_draft *d, const cJSON *item, ash_error *err)
{
    const cJSON *regex = ash_json_get(item, "use_regex"), *prefix = ash_json_get(item, "add_prefix_space");
    if (!cJSON_IsFalse(prefix)) /* absent: true */
        ASH_TRY(plain(d, ASH_STEP_PREFIX_SPACE, 0, 0, NULL, err));
    if (!cJSON_IsFalse(regex))
        ASH_TRY(ash_draft_split(d, ASH_GPT2_EXPRESSION, false, ASH_SPLIT_ISOLATED, false, err));
    d->byte_level = true;
    return ASH_OK;
}

ash_status ash_json_character(const cJSON *item, const char *what, const char *key, const char **out, ash_error *err)
{
    ASH_TRY(text_of(item, what, key, out, err));
    const uint8_t *p = (const uint8_t *)*out;
    size_t n = *p == 0 ? 0 : *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4; /* JSON's text is valid UTF-8 */
    if (n == 0 || strlen(*out) != n)
        return ash_fail(err, ASH_E_FORMAT, "%s \"%.60s\": %s is not one character", what, type_of(item), key);
    return ASH_OK;
}

ash_status ash_json_metaspace(const cJSON *item, const char *what, const char **replacement, uint16_t *prepend,
                              ash_error *err)
{
    static const char *const names[] = { "always", "first", "never" }; /* in the order of ash_prepend */
    ASH_TRY(ash_json_character(item, what, "replacement", replacement, err));
    const char *scheme = ash_json_string(item, "prepend_scheme");
    *prepend = cJSON_IsFalse(ash_json_get(item, "add_prefix_space")) ? ASH_PREPEND_NEVER : ASH_PREPEND_ALWAYS;
    if (!scheme) /* as older files have it */
        return ASH_OK;
    for (uint16_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(scheme, names[i]) == 0) {
            *prepend = i;
            return ASH_OK;
        }
    return ash_fail(err, ASH_E_UNSUPPORTED, "%s Metaspace: prepend_scheme \"%.40s\" is not known", what, scheme);
}

static ash_status metaspace(ash_draft *d, const cJSON *item, ash_error *err)
{
    const char *replacement;
    uint16_t prepend;
    ASH_TRY(ash_json_metaspace(item, "pre_tokenizer", &replacement, &prepend, err));
    bool cut = !cJSON_IsFalse(ash_json_get(item, "split"));
    return plain(d, ASH_STEP_METASPACE, prepend, cut ? ASH_STEP_CUT : 0, replacement, err);
}

static ash_status fixed_length(ash_draft *d, const cJSON *item, ash_error *err)
{
    uint64_t length = 5;
    const cJSON *given = ash_json_get(item, "length");
    if (given && (!ash_json_u64(given, &length) || length == 0 || length > UINT16_MAX))
        return ash_fail(err, ASH_E_UNSUPPORTED, "pre_tokenizer FixedLength: length is not 1 to %u", UINT16_MAX);
    char text[32];
    snprintf(text, sizeof text, "(?s:.{1,%u})", (unsigned)length);
    return plain(d, ASH_STEP_SPLIT, ASH_SPLIT_ISOLATED, 0, text, err);
}

static ash_status pre_tokenizer(ash_draft *d, const cJSON *item, int depth, ash_error *err)
{
    if (absent(item))
        return ASH_OK;
    if (ash_json_is(item, "Sequence") && depth < ASH_JSON_NESTING_MAX) {
        const cJSON *list = ash_json_get(item, "pretokenizers");
        for (const cJSON *i = list ? list->child : NULL; i; i = i->next)
            ASH_TRY(pre_tokenizer(d, i, depth + 1, err));
        return ASH_OK;
    }
    if (d->byte_level)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "pre_tokenizer \"%.60s\" after ByteLevel is not supported by this version", type_of(item));
    if (ash_json_is(item, "ByteLevel"))
        return byte_level(d, item, err);
    if (ash_json_is(item, "Split"))
        return split(d, item, err);
    if (ash_json_is(item, "Metaspace"))
        return metaspace(d, item, err);
    if (ash_json_is(item, "Digits")) {
        bool each = truth(item, "individual_digits");
        return ash_draft_split(d, "\\p{N}", false, each ? ASH_SPLIT_ISOLATED : ASH_SPLIT_CONTIGUOUS, false, err);
    }
    if (ash_json_is(item, "Punctuation")) {
        uint16_t behaviour;
        ASH_TRY(behaviour_of(item, false, &behaviour, err));
        return plain(d, ASH_STEP_SPLIT, behaviour, 0, ash_json_punctuation, err);
    }
    if (ash_json_is(item, "Whitespace"))
        return ash_draft_split(d, "[" RUST_WORD "]+|[^" RUST_WORD "\\s]+", false, ASH_SPLIT_REMOVED, true, err);
    if (ash_json_is(item, "WhitespaceSplit"))
        return ash_draft_split(d, "\\s", false, ASH_SPLIT_REMOVED, false, err);
    if (ash_json_is(item, "BertPreTokenizer")) {
        ASH_TRY(ash_draft_split(d, "\\s", false, ASH_SPLIT_REMOVED, false, err));
        return plain(d, ASH_STEP_SPLIT, ASH_SPLIT_ISOLATED, 0, ash_json_punctuation, err);
    }
    if (ash_json_is(item, "CharDelimiterSplit")) {
        const char *delimiter;
        ASH_TRY(ash_json_character(item, "pre_tokenizer", "delimiter", &delimiter, err));
        return ash_draft_split(d, delimiter, true, ASH_SPLIT_REMOVED, false, err);
    }
    if (ash_json_is(item, "FixedLength"))
        return fixed_length(d, item, err);
    return ash_json_refused("pre_tokenizer", item, err);
}

ash_status ash_json_pre_tokenizer(ash_draft *d, const cJSON *item, ash_error *err)
{
    return pre_tokenizer(d, item, 0, err);
}
