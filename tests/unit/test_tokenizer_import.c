/* What tokenizer.json and tokenizer_config.json become: steps, added tokens, flags; expressions as PCRE2 has them; and
 * what is refused by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"
#include "tests/support/support.h"
#include "tests/support/use_vocab.h"

/* ---- expressions ---- */

static void test_classes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "[ab]", "[ab]" },
        { "[^ab]", "[^ab]" },
        { "[]a]", "[]a]" },
        { "[a[bc]d]", "(?:[a]|[bc]|[d])" },
        { "[[a]]", "(?:[a])" },
        { "[a[^b]]", "(?:[a]|[^b])" },
        { "[^a[b]]", "(?:(?!(?:[a]|[b]))(?s:.))" },
        { "[a-z&&[^b]]", "(?:(?=[a-z])(?:[^b]))" },
        { "[a&&b&&c]", "(?:(?=[a])(?=[b])[c])" },
        { "[a[b]&&c]", "(?:(?=(?:[a]|[b]))[c])" },
        { "[^a&&b]", "(?:(?!(?=[a])[b])(?s:.))" },
        { "[a[b&&c]]+", "(?:[a]|(?:(?=[b])[c]))+" },
        { "a&&b", "a&&b" },
        { "[a&b]", "[a&b]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_error err = { 0 };
        char *out;
        size_t size;
        assert_ok(ash_expression_translate(cases[i][0], strlen(cases[i][0]), &out, &size, &err), &err);
        assert_string_equal(out, cases[i][1]);
        free(out);
    }
}

static void test_long_expression(void **state)
{
    (void)state;
    char text[4001], *out;
    size_t size;
    for (size_t i = 0; i < 4000; i += 2)
        memcpy(text + i, "\\w", 2);
    ash_error err = { 0 };
    assert_int_equal(ash_expression_translate(text, 4000, &out, &size, &err), ASH_E_LIMIT);
    assert_null(out);
    assert_non_null(strstr(err.text, "written out"));
}

/* ---- tokenizer.json in parts ---- */

#define VOCAB "{\"<unk>\":0,\"<s>\":1,\"a\":2,\"b\":3,\"ab\":4,\"<0x41>\":5}"
#define PIECES "[[\"<unk>\",0],[\"<s>\",0],[\"a\",-1],[\"b\",-2.5],[\"ab\",-3]]"
#define ADDED "[{\"id\":1,\"content\":\"<s>\",\"special\":true}]"
#define BPE "\"type\":\"BPE\",\"vocab\":" VOCAB ",\"merges\":[\"a b\"]"

typedef struct parts {
    const char *normalizer, *pre_tokenizer, *post_processor, *decoder, *model, *added, *config;
} parts;

static const char *or_null(const char *text) { return text ? text : "null"; }

static ash_status import(const parts *p, ash_vocab_import *out, ash_error *err)
{
    char text[8192];
    int size = snprintf(text, sizeof text,
                        "{\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,\"decoder\":%s,\"model\":{%s},"
                        "\"added_tokens\":%s}",
                        or_null(p->normalizer), or_null(p->pre_tokenizer), or_null(p->post_processor),
                        or_null(p->decoder), p->model ? p->model : BPE, p->added ? p->added : ADDED);
    assert_true(size > 0 && (size_t)size < sizeof text);
    cJSON *root, *config = NULL;
    assert_ok(ash_json_parse(text, (size_t)size, sizeof text, &root, err), err);
    if (p->config)
        assert_ok(ash_json_parse(p->config, strlen(p->config), sizeof text, &config, err), err);
    ash_status status = ash_import_tokenizer_json(root, config, out, err);
    cJSON_Delete(root);
    cJSON_Delete(config);
    return status;
}

/* A step as text: kind/behaviour/flags "text" "second". */
static void print_steps(const ash_vocab *v, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < v->header->step_count; i++) {
        const ash_vocab_step *s = &v->steps[i];
        used += (size_t)snprintf(out + used, room - used, "%s%u/%u/%u", i ? " " : "", s->kind, s->behaviour, s->flags);
        if (s->text_bytes)
            used += (size_t)snprintf(out + used, room - used, " \"%.*s\"", (int)s->text_bytes,
                                     (const char *)v->pool + s->text_offset);
        if (s->second_bytes)
            used += (size_t)snprintf(out + used, room - used, " \"%.*s\"", (int)s->second_bytes,
                                     (const char *)v->pool + s->second_offset);
        if (s->numbers[0] || s->numbers[1])
            used += (size_t)snprintf(out + used, room - used, " %u,%u", s->numbers[0], s->numbers[1]);
        assert_true(used < room);
    }
}

#define LIST(key, items) "{\"type\":\"Sequence\",\"" key "\":[" items "]}"
#define TYPE(name, more) "{\"type\":\"" name "\"" more "}"

static void test_steps(void **state)
{
    (void)state;
    static const struct { parts p; const char *steps; } cases[] = {
        { { 0 }, "135/0/0" },
        { { .decoder = TYPE("Fuse", "") }, "131/0/0" },
        { { .normalizer = LIST("normalizers", TYPE("NFC", "") "," TYPE("Lowercase", "") "," LIST("normalizers", TYPE("NFKD", ""))),
            .decoder = TYPE("Fuse", "") },
          "16/0/0 22/0/0 19/0/0 131/0/0" },
        { { .normalizer = LIST("normalizers", TYPE("Prepend", ",\"prepend\":\"x\"") ","
                               TYPE("Replace", ",\"pattern\":{\"String\":\"a.\"},\"content\":\"b\"") ","
                               TYPE("Replace", ",\"pattern\":{\"Regex\":\"a+\"},\"content\":\"\"") ","
                               TYPE("Strip", ",\"strip_left\":false,\"strip_right\":true")) },
          "20/0/0 \"x\" 21/0/2 \"a.\" \"b\" 21/0/0 \"a+\" 23/0/16 135/0/0" },
        { { .normalizer = TYPE("Precompiled", ",\"precompiled_charsmap\":\"QUJDRA==\"") }, "25/0/0 \"ABCD\" 135/0/0" },
        { { .normalizer = TYPE("Precompiled", ",\"precompiled_charsmap\":\"QUI\"") }, "25/0/0 \"AB\" 135/0/0" },
        { { .normalizer = TYPE("Precompiled", ",\"precompiled_charsmap\":null") }, "135/0/0" },
        { { .pre_tokenizer = TYPE("Metaspace", ",\"replacement\":\"_\",\"add_prefix_space\":true,\"str_rep\":\"_\"") },
          "3/0/4 \"_\" 135/0/0" },
        { { .pre_tokenizer = TYPE("Metaspace", ",\"replacement\":\"_\",\"add_prefix_space\":false") },
          "3/2/4 \"_\" 135/0/0" },
        { { .pre_tokenizer = TYPE("Metaspace", ",\"replacement\":\"_\",\"prepend_scheme\":\"first\",\"split\":false") },
          "3/1/0 \"_\" 135/0/0" },
        { { .pre_tokenizer = TYPE("Split", ",\"pattern\":{\"String\":\"|\"},\"behavior\":\"MergedWithNext\",\"invert\":true") },
          "1/3/3 \"|\" 135/0/0" },
        { { .pre_tokenizer = TYPE("CharDelimiterSplit", ",\"delimiter\":\"\xc3\xa9\"") }, "1/1/2 \"\xc3\xa9\" 135/0/0" },
        { { .pre_tokenizer = TYPE("FixedLength", ",\"length\":4") }, "1/0/0 \"(?s:.{1,4})\" 135/0/0" },
        { { .pre_tokenizer = TYPE("FixedLength", "") }, "1/0/0 \"(?s:.{1,5})\" 135/0/0" },
        { { .decoder = LIST("decoders", TYPE("Replace", ",\"pattern\":{\"String\":\"_\"},\"content\":\" \"") ","
                            TYPE("ByteFallback", "") "," TYPE("Fuse", "") ","
                            TYPE("Strip", ",\"content\":\" \",\"start\":1,\"stop\":2")) },
          "129/0/0 \"_\" \" \" 130/0/0 131/0/0 132/0/0 \" \" 1,2" },
        { { .decoder = TYPE("Metaspace", ",\"replacement\":\"_\",\"prepend_scheme\":\"never\"") }, "133/2/0 \"_\"" },
        { { .pre_tokenizer = TYPE("ByteLevel", ",\"add_prefix_space\":true,\"use_regex\":false"),
            .decoder = TYPE("ByteLevel", "") }, "2/0/0" },
        { { .normalizer = TYPE("ByteLevel", ""), .decoder = LIST("decoders", TYPE("ByteLevel", "") ","
            TYPE("Strip", ",\"content\":\" \",\"start\":1,\"stop\":0")) }, "128/0/0 131/0/0 132/0/0 \" \" 1,0" },
        { { .pre_tokenizer = TYPE("ByteLevel", ",\"add_prefix_space\":false,\"use_regex\":false") }, "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_vocab_import out;
        ash_error err = { 0 };
        ash_vocab v;
        char text[1024];
        if (import(&cases[i].p, &out, &err) != ASH_OK || ash_vocab_open(out.section, out.size, &v, &err) != ASH_OK)
            fail_msg("case %zu: %s", i, err.text);
        print_steps(&v, text, sizeof text);
        assert_string_equal(text, cases[i].steps);
        free(out.section);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { parts p; ash_status status; const char *words; } cases[] = {
        { { .normalizer = TYPE("Martian", "") }, ASH_E_UNSUPPORTED, "normalizer \"Martian\"" },
        { { .normalizer = LIST("normalizers", TYPE("ByteLevel", "") "," TYPE("NFC", "")) }, ASH_E_UNSUPPORTED,
          "normalizer \"NFC\" after ByteLevel" },
        { { .normalizer = TYPE("ByteLevel", ""), .pre_tokenizer = TYPE("Digits", "") }, ASH_E_UNSUPPORTED,
          "\"Digits\" after ByteLevel" },
        { { .normalizer = TYPE("Prepend", "") }, ASH_E_FORMAT, "prepend is no text" },
        { { .normalizer = TYPE("Replace", ",\"pattern\":{\"String\":\"\"},\"content\":\"b\"") }, ASH_E_UNSUPPORTED,
          "pattern has no bytes" },
        { { .normalizer = TYPE("Replace", ",\"pattern\":{\"Regex\":\"(\"},\"content\":\"b\"") }, ASH_E_FORMAT,
          "normalizer Replace: the expression" },
        { { .normalizer = TYPE("Precompiled", ",\"precompiled_charsmap\":\"QU*D\"") }, ASH_E_FORMAT,
          "byte 2 of its map is not base 64" },
        { { .normalizer = TYPE("Precompiled", ",\"precompiled_charsmap\":7") }, ASH_E_FORMAT, "its map is no text" },
        { { .pre_tokenizer = TYPE("Metaspace", ",\"replacement\":\"__\"") }, ASH_E_FORMAT, "is not one character" },
        { { .pre_tokenizer = TYPE("Metaspace", ",\"replacement\":\"_\",\"prepend_scheme\":\"often\"") }, ASH_E_UNSUPPORTED,
          "prepend_scheme \"often\"" },
        { { .pre_tokenizer = TYPE("CharDelimiterSplit", ",\"delimiter\":\"\"") }, ASH_E_FORMAT, "is not one character" },
        { { .pre_tokenizer = TYPE("Punctuation", ",\"behavior\":\"Sideways\"") }, ASH_E_UNSUPPORTED, "\"Sideways\"" },
        { { .pre_tokenizer = TYPE("FixedLength", ",\"length\":0") }, ASH_E_UNSUPPORTED, "length is not 1 to" },
        { { .pre_tokenizer = TYPE("UnicodeScripts", "") }, ASH_E_UNSUPPORTED, "pre_tokenizer \"UnicodeScripts\"" },
        { { .post_processor = TYPE("RobertaProcessing", ",\"cls\":[\"<s>\",1],\"sep\":[\"x\",99]") }, ASH_E_FORMAT,
          "sep is no pair" },
        { { .decoder = TYPE("WordPiece", "") }, ASH_E_UNSUPPORTED, "decoder \"WordPiece\"" },
        { { .decoder = TYPE("BPEDecoder", "") }, ASH_E_UNSUPPORTED, "decoder \"BPEDecoder\"" },
        { { .decoder = TYPE("CTC", "") }, ASH_E_UNSUPPORTED, "decoder \"CTC\"" },
        { { .decoder = TYPE("ByteLevel", "") }, ASH_E_UNSUPPORTED, "decoder ByteLevel without" },
        { { .decoder = TYPE("Replace", ",\"pattern\":{\"Regex\":\"a\"},\"content\":\"\"") }, ASH_E_UNSUPPORTED,
          "only a String" },
        { { .decoder = TYPE("Strip", ",\"content\":\" \",\"start\":-1,\"stop\":0") }, ASH_E_FORMAT, "no count" },
        { { .pre_tokenizer = TYPE("ByteLevel", ""), .decoder = LIST("decoders",
            TYPE("Strip", ",\"content\":\" \",\"start\":1,\"stop\":0") "," TYPE("ByteLevel", "")) },
          ASH_E_UNSUPPORTED, "decoder before ByteLevel: \"Strip\"" },
        { { .pre_tokenizer = TYPE("ByteLevel", ""), .model = BPE ",\"byte_fallback\":true" }, ASH_E_UNSUPPORTED,
          "model.byte_fallback with a byte-level vocabulary" },
        { { .model = "\"type\":\"WordPiece\"" }, ASH_E_UNSUPPORTED, "\"WordPiece\" is not supported" },
        { { .model = "\"type\":\"WordLevel\"" }, ASH_E_UNSUPPORTED, "\"WordLevel\" is not supported" },
        { { .model = "\"type\":\"Unigram\",\"vocab\":{}" }, ASH_E_FORMAT, "not a list of pieces" },
        { { .model = "\"type\":\"Unigram\",\"vocab\":[[\"a\",-1],[\"b\"]]", .added = "[]" }, ASH_E_FORMAT,
          "piece 1 of model.vocab" },
        { { .model = "\"type\":\"Unigram\",\"vocab\":[[\"a\",1e999]]", .added = "[]" }, ASH_E_FORMAT,
          "piece 0 of model.vocab" },
        { { .model = "\"type\":\"Unigram\",\"vocab\":[[\"a\",-1,2]]", .added = "[]" }, ASH_E_FORMAT,
          "piece 0 of model.vocab" },
        { { .model = "\"vocab\":" PIECES ",\"unk_id\":5" }, ASH_E_FORMAT, "unk_id is not the place" },
        { { .model = "\"vocab\":" PIECES, .pre_tokenizer = TYPE("ByteLevel", "") }, ASH_E_UNSUPPORTED,
          "Unigram model behind ByteLevel" },
        { { .model = "\"unk_token\":\"<unk>\"" }, ASH_E_FORMAT, "model.type is missing" },
        { { .config = "{\"added_tokens_decoder\":{\"x\":{\"content\":\"new\"}}}" }, ASH_E_FORMAT, "\"x\" is no id" },
        { { .config = "{\"added_tokens_decoder\":{\"2\":{\"content\":\"new\"}}}" }, ASH_E_FORMAT, "have the same id 2" },
        { { .config = "{\"added_tokens_decoder\":{\"7\":{}}}" }, ASH_E_FORMAT, "id 7 has no content" },
        { { .config = "{\"added_tokens_decoder\":{\"16777215\":{\"content\":\"new\"}}}" }, ASH_E_FORMAT,
          "ids reach 16777215" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_vocab_import out;
        ash_error err = { 0 };
        ash_status status = import(&cases[i].p, &out, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].words))
            fail_msg("case %zu gave %d \"%s\", expected \"%s\"", i, (int)status, err.text, cases[i].words);
        use_vocab(status, &out, &err);
    }
}

/* Nesting ends somewhere, by name. */
static void test_nesting(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        { "normalizers", "normalizer" }, { "pretokenizers", "pre_tokenizer" }, { "processors", "post_processor" },
        { "decoders", "decoder" },
    };
    for (size_t k = 0; k < 4; k++) {
        char text[2048] = "{\"type\":\"Fuse\"}", next[2048];
        for (int depth = 0; depth < 12; depth++) {
            snprintf(next, sizeof next, "{\"type\":\"Sequence\",\"%s\":[%.1900s]}", keys[k][0], text);
            memcpy(text, next, sizeof text);
        }
        parts p = { .normalizer = k == 0 ? text : NULL, .pre_tokenizer = k == 1 ? text : NULL,
                    .post_processor = k == 2 ? text : NULL, .decoder = k == 3 ? text : NULL };
        ash_vocab_import out;
        ash_error err = { 0 };
        assert_int_equal(import(&p, &out, &err), ASH_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, keys[k][1]));
        assert_non_null(strstr(err.text, "\"Sequence\""));
    }
}

/* ---- what else comes out ---- */

static ash_vocab opened(const parts *p, ash_vocab_import *out)
{
    ash_error err = { 0 };
    ash_vocab v;
    assert_ok(import(p, out, &err), &err);
    assert_ok(ash_vocab_open(out->section, out->size, &v, &err), &err);
    return v;
}

static void test_models(void **state)
{
    (void)state;
    ash_vocab_import out;
    ash_vocab v = opened(&(parts){ .model = BPE ",\"byte_fallback\":true,\"fuse_unk\":true,\"unk_token\":\"<unk>\"" }, &out);
    assert_int_equal(v.header->model, ASH_VOCAB_CHAR_BPE);
    assert_int_equal(v.header->flags & (ASH_VOCAB_BYTE_FALLBACK | ASH_VOCAB_FUSE_UNK),
                     ASH_VOCAB_BYTE_FALLBACK | ASH_VOCAB_FUSE_UNK);
    assert_int_equal(v.header->unk, 0);
    assert_int_equal(v.header->byte_ids[0x41], 5);
    assert_int_equal(v.tokens[5].type, ASH_TOKEN_BYTE);
    assert_int_equal(v.tokens[5].flags & ASH_TOKEN_MODEL, 0);
    assert_int_equal(v.tokens[5].bytes, 1);
    assert_int_equal(v.tokens[0].type, ASH_TOKEN_UNKNOWN);
    assert_int_equal(v.tokens[1].flags, ASH_TOKEN_ADDED | ASH_TOKEN_SPECIAL);
    free(out.section);
    v = opened(&(parts){ .model = BPE }, &out); /* without the flag <0x41> is a text like others */
    assert_int_equal(v.header->byte_ids[0x41], -1);
    assert_int_equal(v.tokens[5].bytes, 6);
    free(out.section);
    v = opened(&(parts){ .model = "\"vocab\":" VOCAB ",\"merges\":[\"a b\",\"a b\"]" }, &out);
    assert_int_equal(ash_vocab_find_merge(&v, 2, 3)->rank, 1); /* the last counts */
    free(out.section);
    v = opened(&(parts){ .model = "\"vocab\":" PIECES ",\"unk_id\":0" }, &out);
    assert_int_equal(v.header->model, ASH_VOCAB_UNIGRAM);
    assert_true(v.scores[3] == -2.5 && v.header->unk_score == -13);
    assert_int_equal(v.header->flags & (ASH_VOCAB_FUSE_UNK | ASH_VOCAB_FLOAT_SUMS), ASH_VOCAB_FUSE_UNK);
    free(out.section);
    /* The lowest score of all, whatever its piece is; of equal pieces the last is the model's. */
    v = opened(&(parts){ .model = "\"byte_fallback\":true,\"vocab\":[[\"a\",-1],[\"<s>\",0],[\"<0x41>\",-50],[\"a\",-2]]" },
               &out);
    assert_true(v.header->unk_score == -60);
    assert_int_equal(v.tokens[0].flags & ASH_TOKEN_MODEL, 0);
    assert_int_equal(v.tokens[3].flags & ASH_TOKEN_MODEL, ASH_TOKEN_MODEL);
    free(out.section);
}

static void test_config(void **state)
{
    (void)state;
    ash_vocab_import out;
    ash_vocab v = opened(
        &(parts){ .config = "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"late\",\"pad_token\":null,"
                            "\"add_bos_token\":true,\"add_eos_token\":true,\"added_tokens_decoder\":{"
                            "\"1\":{\"content\":\"<s>\"},\"9\":{\"content\":\"late\",\"special\":true,\"lstrip\":true},"
                            "\"8\":{\"content\":\"ab\",\"rstrip\":true,\"normalized\":true}}}" },
        &out);
    assert_int_equal(out.count, 10);
    assert_int_equal(out.bos, 1);
    assert_int_equal(out.eos, 9);
    assert_int_equal(out.pad, -1);
    assert_true(out.add_bos);
    assert_true(v.header->flags & ASH_VOCAB_ADD_EOS);
    assert_int_equal(v.header->added_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const ash_vocab_added *a = &v.added[i];
        uint32_t want = a->id == 1   ? ASH_ADDED_SPECIAL
                        : a->id == 9 ? ASH_ADDED_SPECIAL | ASH_ADDED_LSTRIP
                                     : ASH_ADDED_RSTRIP | ASH_ADDED_NORMALIZED;
        assert_true(a->id == 1 || a->id == 9 || a->id == 4); /* the vocabulary's own id of "ab" */
        assert_int_equal(a->flags, want);
    }
    free(out.section);
    v = opened(&(parts){ .post_processor = TYPE("RobertaProcessing", ",\"cls\":[\"<s>\",1],\"sep\":[\"ab\",4]"),
                         .config = "{\"add_bos_token\":false}" },
               &out);
    assert_int_equal(out.bos, 1);
    assert_int_equal(out.eos, 4);
    assert_false(out.add_bos);
    assert_true(v.header->flags & ASH_VOCAB_ADD_EOS);
    free(out.section);
}

/* Every name of a pre-tokenizer that the reference knows: executed or refused by name. */
static void test_names(void **state)
{
    (void)state;
    static const char *const known[] = {
        "default", "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "mpt", "starcoder", "gpt-2", "phi-2", "gigachat",
        "a.x-4.0", "mellum", "refact", "command-r", "qwen2", "deepseek-r1-qwen", "stablelm2", "olmo", "dbrx",
        "smaug-bpe", "poro-chat", "glm4", "chatglm-bpe", "viking", "jais", "tekken", "smollm", "codeshell", "bloom",
        "gpt3-finnish", "exaone", "exaone4", "chameleon", "minerva-7b", "megrez", "gpt-4o", "llama4", "superbpe",
        "trillion", "bailingmoe", "seed-coder", "hunyuan", "hunyuan-dense", "kimi-k2",
    };
    static const char *const unknown[] = { "jina-es", "jina-v2-de", "jina-v1-en", "roberta-bpe", "", "llama", "gpt-2,phi-2" };
    ash_error err = { 0 };
    for (size_t i = 0; i < sizeof known / sizeof *known + sizeof unknown / sizeof *unknown; i++) {
        bool good = i < sizeof known / sizeof *known;
        const char *name = good ? known[i] : unknown[i - sizeof known / sizeof *known];
        ash_draft d;
        assert_ok(ash_draft_init(&d, 1, 0, &err), &err);
        ash_status status = ash_draft_pretokenizer(&d, name, strlen(name), &err);
        if (good)
            assert_ok(status, &err);
        else
            assert_int_equal(status, ASH_E_UNSUPPORTED);
        assert_true(good ? d.step_count >= 1 && d.byte_level : strstr(err.text, "known are llama-bpe, dbrx") != NULL);
        ash_draft_free(&d);
    }
    assert_non_null(strstr(err.text, "chameleon")); /* the list is whole */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),  cmocka_unit_test(test_long_expression), cmocka_unit_test(test_steps),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_nesting),         cmocka_unit_test(test_models),
        cmocka_unit_test(test_config),   cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
