/* Tokenizers that are not what they should be: sources that are refused by name, sections whose bytes are wrong in
 * every place, expressions that explode. Nothing crashes, loops or reads past the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "convert/tokenizer.h"
#include "convert/tokenizer_internal.h"
#include "format/json.h"
#include "format/vocab.h"
#include "runtime/tokenizer.h"
#include "tests/support/make_vocab.h"
#include "tests/support/support.h"

/* ---- tokenizer.json ---- */

/* Puts `value` (JSON) at "a.b" of a copy of `base`; NULL deletes. */
static cJSON *edited(const cJSON *base, const char *key, const char *value)
{
    cJSON *root = cJSON_Duplicate(base, 1), *at = root;
    char first[64];
    const char *dot = strchr(key, '.');
    if (dot) {
        snprintf(first, sizeof first, "%.*s", (int)(dot - key), key);
        at = cJSON_GetObjectItemCaseSensitive(root, first);
        key = dot + 1;
    }
    assert_non_null(at);
    cJSON_DeleteItemFromObjectCaseSensitive(at, key);
    if (value) {
        cJSON *item = cJSON_Parse(value);
        assert_non_null(item);
        cJSON_AddItemToObject(at, key, item);
    }
    return root;
}

static void expect_folder(const char *folder, ash_status status, const char *words)
{
    ash_vocab_import import;
    ash_error err = { 0 };
    ash_status got = ash_import_tokenizer_hf(folder, &import, &err);
    if (got == ASH_OK)
        fail_msg("imports, but should say \"%s\"", words);
    if (got != status || !strstr(err.text, words) || strchr(err.text, '\n'))
        fail_msg("gave %d \"%s\", expected %d with \"%s\"", (int)got, err.text, (int)status, words);
    if (!strstr(err.text, "tokenizer.json"))
        fail_msg("does not name the file: %s", err.text);
    assert_null(import.section);
}

#define WITH_LEVEL(step)                                                                                               \
    "{\"type\":\"Sequence\",\"pretokenizers\":[" step                                                                  \
    ",{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"
#define SPLIT(pattern)                                                                                                 \
    WITH_LEVEL("{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"Isolated\",\"invert\":false}")
#define REGEX(text) SPLIT("{\"Regex\":\"" text "\"}")

static const struct { const char *key, *value; ash_status status; const char *words;
} json_cases[] = {
    { "model.type", "\"WordPiece\"", ASH_E_UNSUPPORTED, "\"WordPiece\" is not supported" },
    { "model.type", "\"Unigram\"", ASH_E_UNSUPPORTED, "Unigram model behind ByteLevel" },
    { "model.type", "\"WordLevel\"", ASH_E_UNSUPPORTED, "\"WordLevel\" is not supported" },
    { "pre_tokenizer", "null", ASH_E_UNSUPPORTED, "decoder ByteLevel without a ByteLevel pre_tokenizer" },
    { "model", NULL, ASH_E_FORMAT, "\"model\" is missing" },
    { "model.merges", "7", ASH_E_FORMAT, "model.merges" },
    { "model.vocab", "[]", ASH_E_FORMAT, "model.vocab" },
    { "model.dropout", "0.1", ASH_E_UNSUPPORTED, "model.dropout" },
    { "model.continuing_subword_prefix", "\"##\"", ASH_E_UNSUPPORTED, "model.continuing_subword_prefix" },
    { "model.end_of_word_suffix", "\"</w>\"", ASH_E_UNSUPPORTED, "model.end_of_word_suffix" },
    { "model.unk_token", "\"nowhere\"", ASH_E_FORMAT, "model.unk_token \"nowhere\"" },
    { "model.merges", "[\"a b c\"]", ASH_E_FORMAT, "merge 0, \"a b c\", is no pair" },
    { "model.merges", "[[\"a\"]]", ASH_E_FORMAT, "merge 0 is no pair" },
    { "model.merges", "[[\"a\",3]]", ASH_E_FORMAT, "merge 0 is no pair" },
    { "model.merges", "[null]", ASH_E_FORMAT, "merge 0 is no pair" },
    { "model.merges", "[\"qq a\"]", ASH_E_FORMAT, "left side \"qq\" is not in the vocabulary" },
    { "model.merges", "[\"a qq\"]", ASH_E_FORMAT, "right side \"qq\" is not in the vocabulary" },
    { "model.merges", "[\"z Q\"]", ASH_E_FORMAT, "result \"zQ\" is not in the vocabulary" },
    { "model.vocab", "{\"a\":-1}", ASH_E_FORMAT, "token \"a\" has no id" },
    { "model.vocab", "{\"a\":1.5}", ASH_E_FORMAT, "token \"a\" has no id" },
    { "model.vocab", "{\"a\":\"0\"}", ASH_E_FORMAT, "token \"a\" has no id" },
    { "model.vocab", "{\"a\":16777216}", ASH_E_FORMAT, "token \"a\" has no id" },
    { "model.vocab", "{\"a\":16777215}", ASH_E_FORMAT, "ids reach 16777215" },
    { "model.vocab", "{\"a\":1,\"b\":1}", ASH_E_FORMAT, "have the same id 1" },
    { "model.vocab", "{\"\":1}", ASH_E_FORMAT, "token 1 has 0 bytes" },
    { "added_tokens", "[{\"id\":0,\"content\":\"elsewhere\"}]", ASH_E_FORMAT, "have the same id 0" },
    { "added_tokens", "[{\"id\":7,\"content\":\"<|endoftext|>\"}]", ASH_E_FORMAT, "has id 7, and 0 in the vocabulary" },
    { "added_tokens", "[{\"id\":420,\"content\":\"\"}]", ASH_E_FORMAT, "no content" },
    { "added_tokens", "[{\"content\":\"x1\"}]", ASH_E_FORMAT, "token \"x1\" has no id" },
    { "added_tokens", "[{\"id\":420,\"content\":\"x1\"},{\"id\":420,\"content\":\"x1\"}]", ASH_E_FORMAT,
      "listed twice" },
    { "normalizer", "{\"type\":\"BertNormalizer\"}", ASH_E_UNSUPPORTED, "normalizer \"BertNormalizer\"" },
    { "normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\"}]}",
      ASH_E_FORMAT, "normalizer Replace: pattern is neither Regex nor String" },
    { "normalizer", "{}", ASH_E_UNSUPPORTED, "normalizer \"?\"" },
    { "pre_tokenizer", WITH_LEVEL("{\"type\":\"Metaspace\"}"), ASH_E_FORMAT, "pre_tokenizer \"Metaspace\"" },
    { "pre_tokenizer", "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}",
      ASH_E_UNSUPPORTED, "\"Digits\" after ByteLevel" },
    { "pre_tokenizer", WITH_LEVEL("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Sideways\"}"),
      ASH_E_UNSUPPORTED, "behavior \"Sideways\"" },
    { "pre_tokenizer", SPLIT("{}"), ASH_E_FORMAT, "neither Regex nor String" },
    { "pre_tokenizer", REGEX("(a"), ASH_E_FORMAT, "does not compile" },
    { "pre_tokenizer", REGEX("[a-z&&]"), ASH_E_UNSUPPORTED, "empty class" },
    { "pre_tokenizer", REGEX("[a[bc]"), ASH_E_UNSUPPORTED, "unclosed class" },
    { "pre_tokenizer", REGEX("[[[[[[[[[[a]]]]]]]]]]"), ASH_E_UNSUPPORTED, "deeply nested class" },
    { "pre_tokenizer", REGEX("[[:alpha:]]"), ASH_E_UNSUPPORTED, "POSIX class" },
    { "pre_tokenizer", REGEX("a(?i)b|c"), ASH_E_UNSUPPORTED, "option in the middle" },
    { "pre_tokenizer", REGEX("\\\\xE3"), ASH_E_UNSUPPORTED, "byte escape" },
    { "pre_tokenizer", REGEX("\\\\C"), ASH_E_UNSUPPORTED, "\\C" },
    { "pre_tokenizer", REGEX("[ab"), ASH_E_UNSUPPORTED, "unclosed class" },
    { "pre_tokenizer", REGEX("\\\\p{Nonsense}"), ASH_E_FORMAT, "does not compile" },
    { "post_processor", "{\"type\":\"BertProcessing\"}", ASH_E_FORMAT, "post_processor \"BertProcessing\": cls" },
    { "post_processor",
      "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{}}],\"special_"
      "tokens\":{}}",
      ASH_E_UNSUPPORTED, "\"x\" is not one token" },
    { "post_processor", "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}},{\"Sequence\":{}}]}",
      ASH_E_UNSUPPORTED, "before 2 texts" },
    { "decoder", "{\"type\":\"WordPiece\"}", ASH_E_UNSUPPORTED, "decoder \"WordPiece\"" },
};

static void test_json_refused(void **state)
{
    (void)state;
    ash_error err = { 0 };
    cJSON *fixture;
    assert_ok(ash_json_read_file("tests/fixtures/tokenizer_cases.json", 8 << 20, &fixture, &err), &err);
    const cJSON *base = ash_json_get(fixture, "base");
    char *path = test_path("bad/tokenizer.json"), *folder = test_path("bad"), *empty = test_path("empty/x");
    for (size_t i = 0; i < sizeof json_cases / sizeof *json_cases; i++) {
        cJSON *root = edited(base, json_cases[i].key, json_cases[i].value);
        char *text = cJSON_PrintUnformatted(root);
        test_write_file(path, text, strlen(text));
        expect_folder(folder, json_cases[i].status, json_cases[i].words);
        cJSON_free(text);
        cJSON_Delete(root);
    }
    char *text = cJSON_PrintUnformatted(base);
    /* Cut short anywhere it is an error and no crash. */
    for (size_t cut = 0; cut < strlen(text); cut += 199) {
        test_write_file(path, text, cut);
        expect_folder(folder, ASH_E_FORMAT, "");
    }
    cJSON_free(text);
    char *slash = strrchr(empty, '/');
    *slash = '\0';
    expect_folder(empty, ASH_E_FORMAT, "has neither tokenizer.json nor tokenizer.model");
    cJSON_Delete(fixture);
    free(path);
    free(folder);
    free(empty);
}

/* ---- GGUF ---- */

typedef struct pairs {
    uint8_t bytes[65536];
    size_t size;
    uint64_t count;
} pairs;

static void put(pairs *p, const void *bytes, size_t size)
{
    assert_true(size <= sizeof p->bytes - p->size);
    memcpy(p->bytes + p->size, bytes, size);
    p->size += size;
}
static void put_u32(pairs *p, uint32_t x) { put(p, &x, 4); }
static void put_u64(pairs *p, uint64_t x) { put(p, &x, 8); }
static void put_text(pairs *p, const char *s)
{
    put_u64(p, strlen(s));
    put(p, s, strlen(s));
}
static void pair_text(pairs *p, const char *key, const char *value)
{
    put_text(p, key);
    put_u32(p, ASH_GGUF_STRING);
    put_text(p, value);
    p->count++;
}
static void pair_u32(pairs *p, const char *key, uint32_t value)
{
    put_text(p, key);
    put_u32(p, ASH_GGUF_U32);
    put_u32(p, value);
    p->count++;
}
static void pair_texts(pairs *p, const char *key, const char *const *values, size_t count)
{
    put_text(p, key);
    put_u32(p, ASH_GGUF_ARRAY);
    put_u32(p, ASH_GGUF_STRING);
    put_u64(p, count);
    for (size_t i = 0; i < count; i++)
        put_text(p, values[i]);
    p->count++;
}
static void pair_ints(pairs *p, const char *key, const int32_t *values, size_t count)
{
    put_text(p, key);
    put_u32(p, ASH_GGUF_ARRAY);
    put_u32(p, ASH_GGUF_I32);
    put_u64(p, count);
    put(p, values, 4 * count);
    p->count++;
}

static ash_status import_pairs(pairs *p, ash_vocab_import *out, ash_error *err)
{
    ash_gguf *g;
    uint32_t version = 3;
    memcpy(p->bytes, &version, 4);
    memcpy(p->bytes + 4, &p->count, 8);
    assert_ok(ash_gguf_open_kv(p->bytes, p->size, &g, err), err);
    ash_status status = ash_import_tokenizer_gguf(g, out, err);
    ash_gguf_close(g);
    return status;
}

typedef struct gguf_spec {
    const char *model, *pre;
    const char *tokens[5];
    int32_t types[5];
    const char *merges[2];
    uint32_t bos;
    ash_status status;
    const char *words;
} gguf_spec;
#define GOOD_TOKENS { "a", "b", "ab", "<s>", "" }, { 1, 1, 1, 3, 5 }

static const gguf_spec gguf_cases[] = {
    { "gpt2", "gpt-2", GOOD_TOKENS, { "a b", "a b" }, 3, ASH_OK, "" },
    { "gpt2",
      "martian",
      GOOD_TOKENS,
      { "a b", "a b" },
      3,
      ASH_E_UNSUPPORTED,
      "\"martian\", which is not known; known are llama-bpe" },
    { "gpt2", NULL, GOOD_TOKENS, { "a b", "a b" }, 3, ASH_E_UNSUPPORTED, "tokenizer.ggml.pre is missing" },
    { "llama",
      "default",
      GOOD_TOKENS,
      { "a b", "a b" },
      3,
      ASH_E_FORMAT,
      "scores has not one number for each" },
    { "bert",
      "x",
      GOOD_TOKENS,
      { "a b", "a b" },
      3,
      ASH_E_UNSUPPORTED,
      "\"bert\" is not supported" },
    { "t5", "x", GOOD_TOKENS, { "a b", "a b" }, 3, ASH_E_FORMAT, "scores has not one number for each" },
    { "abc", "x", GOOD_TOKENS, { "a b", "a b" }, 3, ASH_E_UNSUPPORTED, "\"abc\" is not supported" },
    { "gpt2", "gpt-2", GOOD_TOKENS, { "a b", "ab" }, 3, ASH_E_FORMAT, "entry 1, \"ab\", is no pair" },
    { "gpt2", "gpt-2", GOOD_TOKENS, { "a b", "" }, 3, ASH_E_FORMAT, "is no pair" },
    { "gpt2", "gpt-2", GOOD_TOKENS, { "a c", "a b" }, 3, ASH_E_FORMAT, "right side \"c\" is not in the vocabulary" },
    { "gpt2", "gpt-2", GOOD_TOKENS, { "b a", "a b" }, 3, ASH_E_FORMAT, "result \"ba\" is not in the vocabulary" },
    { "gpt2", "gpt-2", GOOD_TOKENS, { "a b", "a b" }, 5, ASH_E_FORMAT, "bos_token_id is 5 in a vocabulary of 5" },
    { "gpt2",
      "gpt-2",
      { "a", "b", "ab", "<s>", "" },
      { 1, 1, 1, 3, 7 },
      { "a b", "a b" },
      3,
      ASH_E_FORMAT,
      "token_type of token 4 is 7" },
    { "gpt2",
      "gpt-2",
      { "a", "b", "ab", "<s>", "" },
      { 1, 1, 1, 3, -1 },
      { "a b", "a b" },
      3,
      ASH_E_FORMAT,
      "token_type of token 4 is -1" },
};

static void fill_pairs(pairs *p, const gguf_spec *s, const char *without, size_t types)
{
    p->size = 12;
    p->count = 0;
    pair_text(p, "tokenizer.ggml.model", s->model);
    if (s->pre)
        pair_text(p, "tokenizer.ggml.pre", s->pre);
    if (strcmp(without, "tokens") != 0)
        pair_texts(p, "tokenizer.ggml.tokens", s->tokens, 5);
    pair_ints(p, "tokenizer.ggml.token_type", s->types, types);
    if (strcmp(without, "merges") != 0)
        pair_texts(p, "tokenizer.ggml.merges", s->merges, 2);
    pair_u32(p, "tokenizer.ggml.bos_token_id", s->bos);
}

static void test_gguf_refused(void **state)
{
    (void)state;
    static pairs p;
    ash_vocab_import import;
    for (size_t i = 0; i < sizeof gguf_cases / sizeof *gguf_cases; i++) {
        ash_error err = { 0 };
        fill_pairs(&p, &gguf_cases[i], "", 5);
        ash_status status = import_pairs(&p, &import, &err);
        if (status != gguf_cases[i].status || !strstr(err.text, gguf_cases[i].words))
            fail_msg("case %zu gave %d \"%s\", expected \"%s\"", i, (int)status, err.text, gguf_cases[i].words);
        assert_int_equal(import.section != NULL, status == ASH_OK);
        free(import.section);
    }
    ash_error err = { 0 };
    fill_pairs(&p, &gguf_cases[0], "tokens", 5);
    assert_int_equal(import_pairs(&p, &import, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "tokenizer.ggml.tokens is missing"));
    fill_pairs(&p, &gguf_cases[0], "merges", 5);
    assert_int_equal(import_pairs(&p, &import, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "tokenizer.ggml.merges is missing"));
    fill_pairs(&p, &gguf_cases[0], "", 4);
    assert_int_equal(import_pairs(&p, &import, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "token_type has not one integer for each"));
    p.size = 12;
    p.count = 0;
    pair_text(&p, "general.name", "no tokenizer");
    assert_ok(import_pairs(&p, &import, &err), &err);
    assert_null(import.section);
}

/* A vocabulary that lacks bytes: as in the reference they give nothing, and their neighbours do not merge. */
static void test_gguf_missing_bytes(void **state)
{
    (void)state;
    static pairs p;
    ash_vocab_import import;
    ash_error err = { 0 };
    fill_pairs(&p, &gguf_cases[0], "", 5);
    assert_ok(import_pairs(&p, &import, &err), &err);
    ash_tokenizer *t;
    assert_ok(ash_tokenizer_open(import.section, import.size, &t, &err), &err);
    int32_t *ids;
    size_t count;
    assert_ok(ash_tokenizer_encode(t, "abacb", 5, 0, &ids, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 0);
    assert_int_equal(ids[2], 1);
    free(ids);
    ash_tokenizer_close(t);
    free(import.section);
}

/* Of equal texts the last is the one that merges make and pieces become; the other is still decoded. */
static void test_gguf_duplicates(void **state)
{
    (void)state;
    static pairs p;
    static const gguf_spec spec = {
        "gpt2", "gpt-2", { "a", "b", "ab", "ab", "b" }, { 1, 1, 1, 1, 1 }, { "a b", "a b" }, 0, ASH_OK, ""
    };
    ash_vocab_import import;
    ash_error err = { 0 };
    fill_pairs(&p, &spec, "", 5);
    assert_ok(import_pairs(&p, &import, &err), &err);
    ash_tokenizer *t;
    assert_ok(ash_tokenizer_open(import.section, import.size, &t, &err), &err);
    int32_t *ids;
    size_t count;
    assert_ok(ash_tokenizer_encode(t, "abb", 3, 0, &ids, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 3);
    assert_int_equal(ids[1], 4);
    free(ids);
    assert_string_equal(ash_tokenizer_bytes(t, 2, &count) ? "" : "NULL", "");
    assert_int_equal(count, 2);
    ash_vocab v;
    assert_ok(ash_vocab_open(import.section, import.size, &v, &err), &err);
    assert_int_equal(v.tokens[2].flags & ASH_TOKEN_MODEL, 0);
    ash_tokenizer_close(t);
    free(import.section);
}

/* ---- damaged sections ---- */

static const char *const texts[] = { "the other <s> one in the\t\tword, caf\xc3\xa9 cafe\xcc\x81 12 aaaaaaaaaa",
                                     "\xff\xfe\xc3 \xe2\x82", "" };

/* Opens a copy whose end is the end of its memory and uses it in every way; the result does not matter. */
static bool exercise(const uint8_t *section, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, section, size);
    ash_tokenizer *t;
    ash_error err = { 0 };
    bool opened = ash_tokenizer_open(copy, size, &t, &err) == ASH_OK;
    if (opened) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            int32_t *ids;
            size_t count;
            if (ash_tokenizer_encode(t, texts[i], strlen(texts[i]), (unsigned)(i % 2 ? 0 : 3), &ids, &count, &err) ==
                ASH_OK) {
                for (size_t k = 0; k < count; k++)
                    assert_true(ids[k] >= 0 && (uint32_t)ids[k] < ash_tokenizer_count(t));
                free(ids);
            }
        }
        volatile unsigned sum = 0;
        for (int32_t id = -1; id < 400; id++) {
            size_t n;
            const char *bytes = ash_tokenizer_bytes(t, id, &n);
            for (size_t k = 0; k < n; k++)
                sum += (unsigned char)bytes[k];
            sum += ash_tokenizer_special(t, id);
        }
        ash_tokenizer_find(t, "the", 3);
        ash_tokenizer_find(t, "nothing", 7);
        ash_tokenizer_close(t);
    } else {
        assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
    }
    free(copy);
    return opened;
}

static void test_header_fields(void **state)
{
    (void)state;
    size_t size;
    uint8_t *section = make_vocab(NULL, &size);
    assert_non_null(section);
    assert_true(exercise(section, size));
    size_t refused = 0, tried = 0;
    for (size_t at = 0; at < sizeof(ash_vocab_header); at += at < 256 ? 2 : 64) {
        uint8_t keep[8];
        memcpy(keep, section + at, 8);
        static const uint64_t values[] = { 0,          1,
                                           2,          7,
                                           0x7f,       0x100,
                                           0xffff,     0x10000,
                                           0x7fffffff, 0x80000000,
                                           0xffffffff, UINT64_C(1) << 32,
                                           INT64_MAX,  UINT64_C(1) << 63,
                                           UINT64_MAX, UINT64_MAX - 7 };
        for (size_t v = 0; v < 2 * (sizeof values / sizeof *values); v++) {
            /* plain values, then offsets from what is there: as 2, 4 or 8 bytes */
            uint64_t there, value = values[v / 2];
            memcpy(&there, keep, 8);
            value = v & 1 ? there + value : value;
            for (size_t width = 2; width <= 8; width *= 2) {
                memcpy(section + at, &value, width);
                refused += !exercise(section, size);
                tried++;
                memcpy(section + at, keep, 8);
            }
        }
    }
    print_message("# measure %zu of %zu damaged headers are refused, the others do no harm\n", refused, tried);
    assert_true(refused > tried / 3);
    for (size_t cut = 0; cut < size; cut += cut < 1400 ? 1 : 97)
        assert_false(exercise(section, cut));
    ash_tokenizer *t;
    ash_error err;
    uint8_t *odd = malloc(size + 1);
    memcpy(odd + 1, section, size);
    assert_int_equal(ash_tokenizer_open(odd + 1, size, &t, &err), ASH_E_ARGUMENT);
    free(odd);
    free(section);
}

static void test_random_damage(void **state)
{
    (void)state;
    size_t size;
    uint8_t *section = make_vocab(NULL, &size), *copy = malloc(size);
    assert_non_null(section);
    test_rng rng = test_rng_start("damage");
    for (int i = 0; i < 4000; i++) {
        memcpy(copy, section, size);
        size_t from = i % 2 ? sizeof(ash_vocab_header) : 0;
        for (uint64_t n = 1 + test_rng_below(&rng, 12); n > 0; n--) {
            size_t at = from + test_rng_below(&rng, size - from);
            copy[at] = test_rng_below(&rng, 3) ? (uint8_t)test_rng_next(&rng)
                                               : copy[at] ^ (uint8_t)(1u << test_rng_below(&rng, 8));
        }
        exercise(copy, size);
    }
    /* Whole arrays of noise, which no check at open sees. */
    const ash_vocab_header *h = (const ash_vocab_header *)section;
    for (int i = 0; i < 60; i++) {
        memcpy(copy, section, size);
        uint64_t from = i % 3 == 0 ? h->tokens : i % 3 == 1 ? h->slots : h->merges;
        uint64_t to = i % 3 == 0 ? h->slots : i % 3 == 1 ? h->merges : h->added;
        for (uint64_t at = from; at < to; at += 4) {
            uint32_t value = (uint32_t)test_rng_below(&rng, i % 2 ? 300 : UINT64_C(1) << 32);
            memcpy(copy + at, &value, 4);
        }
        assert_true(exercise(copy, size));
    }
    free(copy);
    free(section);
}

/* Tables without an empty slot, and the longest search: a lookup ends all the same. */
static void test_full_tables(void **state)
{
    (void)state;
    size_t size;
    uint8_t *section = make_vocab(NULL, &size);
    assert_non_null(section);
    ash_vocab_header *h = (ash_vocab_header *)section;
    ash_vocab_slot *slots = (ash_vocab_slot *)(section + h->slots);
    ash_vocab_merge *merges = (ash_vocab_merge *)(section + h->merges);
    for (uint32_t i = 0; i < h->slot_count; i++)
        slots[i].id = 5;
    for (uint32_t i = 0; i < h->merge_slot_count; i++)
        merges[i] = (ash_vocab_merge){ 'a', 'a', 0, 'a' }; /* also a merge that makes what it consumes */
    h->slot_probes = h->merge_probes = ASH_VOCAB_PROBES_MAX;
    assert_true(exercise(section, size));
    h->merge_probes++;
    assert_false(exercise(section, size));
    free(section);
}

/* ---- expressions that explode ---- */

static void test_exploding_expressions(void **state)
{
    (void)state;
    static const struct { const char *expression; char letter; size_t size; bool fails; } cases[] = {
        { "^(?:a|aa)+$", 'a', 5000, true },           /* exponential once the text ends in another letter */
        { "(?:a+)+c|x", 'a', 40, false },             /* refused by the required c at once */
        { "(?:(a|b)c?)*d?", 'a', 1 << 20, false },    /* a frame a character: beyond the compiled code's stack */
        { "(?=(?:.)*y)a|b", 'a', 2000, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        uint8_t *section = make_vocab(cases[i].expression, &size);
        assert_non_null(section);
        ash_tokenizer *t;
        ash_error err = { 0 };
        assert_ok(ash_tokenizer_open(section, size, &t, &err), &err);
        char *text = malloc(cases[i].size + 1);
        memset(text, cases[i].letter, cases[i].size);
        text[cases[i].size] = '!';
        int32_t *ids;
        size_t count;
        ash_status status = ash_tokenizer_encode(t, text, cases[i].size + 1, 0, &ids, &count, &err);
        if (cases[i].fails) {
            assert_int_equal(status, ASH_E_LIMIT);
            assert_non_null(strstr(err.text, "gives up at byte 0"));
        } else if (status != ASH_OK) { /* giving up is an answer too */
            assert_int_equal(status, ASH_E_LIMIT);
        }
        free(ids);
        free(text);
        ash_tokenizer_close(t);
        free(section);
    }
    size_t size;
    uint8_t *section = make_vocab("(a", &size);
    ash_tokenizer *t;
    ash_error err = { 0 };
    assert_non_null(section); /* the builder takes any text; opening compiles it */
    assert_int_equal(ash_tokenizer_open(section, size, &t, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "does not compile"));
    free(section);
}

/* Any bytes at all through the translator: an error or an expression that compiles. */
static void test_random_expressions(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "[",       "]",       "^",     "(",    "(?:", "(?i:", "(?<=",     ")",    "\\s",  "\\p{L}", "\\P{N}",
        "\\p{",    "}",       "{1,3}", "{,2}", "+",   "?",    "*",        "|",    "a",    "\\w",    "\\b",
        "\\x{41}", "\\u00e9", "-",     "&&",   "\\",  "$",    "\xc3\xa9", "\xff", "(?m)", "(?#",    "[:alpha:]"
    };
    test_rng rng = test_rng_start("expressions");
    size_t fine = 0;
    for (int i = 0; i < 4000; i++) {
        char text[256] = "";
        for (uint64_t n = 1 + test_rng_below(&rng, 8); n > 0; n--)
            strcat(text, parts[test_rng_below(&rng, sizeof parts / sizeof *parts)]);
        size_t size = strlen(text), out_size;
        char *exact = malloc(size), *out; /* no NUL behind it */
        memcpy(exact, text, size);
        ash_error err = { 0 };
        if (ash_expression_translate(exact, size, &out, &out_size, &err) == ASH_OK) {
            assert_int_equal(strlen(out), out_size);
            fine++;
            free(out);
        } else {
            assert_null(out);
            assert_true(err.text[0] != '\0');
        }
        free(exact);
    }
    assert_true(fine > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_gguf_refused),
        cmocka_unit_test(test_gguf_missing_bytes),
        cmocka_unit_test(test_gguf_duplicates),
        cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_full_tables),
        cmocka_unit_test(test_exploding_expressions),
        cmocka_unit_test(test_random_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
