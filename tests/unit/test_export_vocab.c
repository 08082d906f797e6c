/* Tokenizers from Hugging Face to GGUF: what the keys say, which ids a model that is converted from them gives, and
 * what a GGUF cannot say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"
#include "runtime/tokenizer.h"
#include "tests/support/make_hf.h"
#include "tests/support/trip.h"

/* tests/fixtures/make_tokenizers.py describes it. */
#define FIXTURE "tests/fixtures/tokenizers.json.zst"
#define FIXTURE_MAX ((size_t)64 << 20)

/* Replaces the one occurrence of `from` in a file of the folder. */
static void edit(const char *folder, const char *name, const char *from, const char *to)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    size_t size, n = strlen(from), m = strlen(to);
    char *text = (char *)test_read_file(path, &size), *at = strstr(text, from);
    if (!at)
        fail_msg("%s has no %s", name, from);
    assert_null(strstr(at + 1, from));
    char *out = malloc(size + m);
    size_t head = (size_t)(at - text);
    memcpy(out, text, head);
    memcpy(out + head, to, m);
    memcpy(out + head + m, at + n, size - head - n);
    test_write_file(path, out, size - n + m);
    free(text), free(out);
}

static ash_gguf_string string_at(const ash_gguf *g, const char *key, uint64_t index)
{
    const ash_gguf_kv *kv = ash_gguf_find(g, key);
    ash_gguf_string s = { "", 0 };
    uint64_t at = 0;
    for (uint64_t i = 0; kv && i <= index; i++)
        if (!ash_gguf_next_string(kv, &at, &s))
            fail_msg("%s has no element %u", key, (unsigned)index);
    return s;
}

static void assert_token(const ash_gguf *g, uint32_t id, const char *text, int32_t type)
{
    ash_gguf_string s = string_at(g, "tokenizer.ggml.tokens", id);
    if (s.size != strlen(text) || memcmp(s.text, text, s.size) != 0)
        fail_msg("token %u is \"%.*s\", not \"%s\"", id, (int)s.size, s.text, text);
    int32_t found;
    memcpy(&found, ash_gguf_find(g, "tokenizer.ggml.token_type")->value + 4 * id, sizeof found);
    assert_int_equal(found, type);
}

/* ---- byte-level BPE ---- */

static void test_vocabulary(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.vocab = 290;
    char *folder = make_hf("vocab-hf", &spec), text[64];
    edit(folder, "tokenizer.json", ",\"<|unused_8|>\":284", ""); /* ids without a token, in the middle and at the end */
    edit(folder, "tokenizer.json", ",\"<|unused_13|>\":289", "");
    edit(folder, "tokenizer.json", "\"added_tokens\":[",
         "\"added_tokens\":[{\"id\":285,\"content\":\"<|unused_9|>\",\"special\":false,\"rstrip\":true},"
         "{\"id\":283,\"content\":\"\xc3\xa9 \xe2\x96\x81\",\"special\":false},");
    edit(folder, "tokenizer.json", ",\"<|unused_7|>\":283", "");
    edit(folder, "tokenizer_config.json", "\"eos_token\":", "\"pad_token\":\"<|unused_9|>\",\"eos_token\":");
    edit(folder, "generation_config.json", "275]", "275, 285, 286]");
    trip t = trip_go(folder, "vocab", ASH_TYPE_KEEP);
    assert_string_equal(trip_notes, "1 added tokens take white space beside them or want whole words, which GGUF has "
                               "no key for\n"
                               "GGUF has keys for three ids that end a text: 1 more of the model's are left out\n");
    assert_gguf_text(t.g, "tokenizer.ggml.model", "gpt2");
    assert_gguf_text(t.g, "tokenizer.ggml.pre", "dbrx"); /* Llama 3's splits, and merges are not ignored */
    const ash_gguf_kv *merges = ash_gguf_find(t.g, "tokenizer.ggml.merges");
    assert_int_equal(ash_gguf_find(t.g, "tokenizer.ggml.tokens")->count, 290);
    assert_int_equal(merges->count, MAKE_MERGES);
    for (uint32_t i = 0; i < MAKE_MERGES; i++) {
        ash_gguf_string s = string_at(t.g, "tokenizer.ggml.merges", i);
        assert_int_equal(s.size, strlen(make_merge(i)));
        assert_memory_equal(s.text, make_merge(i), s.size);
    }
    for (uint32_t id = 0; id < 283; id++) {
        make_token(id, text);
        bool special = id >= MAKE_BOS && id < MAKE_VOCAB_MIN;
        assert_token(t.g, id, text, special ? ASH_TOKEN_CONTROL : ASH_TOKEN_NORMAL);
    }
    assert_token(t.g, 283, "\xc3\xa9 \xe2\x96\x81", ASH_TOKEN_USER); /* an added token is spelled as it is */
    assert_token(t.g, 284, "[PAD284]", ASH_TOKEN_UNUSED);
    assert_token(t.g, 285, "<|unused_9|>", ASH_TOKEN_USER);
    assert_token(t.g, 289, "[PAD289]", ASH_TOKEN_UNUSED);
    assert_int_equal(trip_u64(t.g, "tokenizer.ggml.bos_token_id"), MAKE_BOS);
    assert_int_equal(trip_u64(t.g, "tokenizer.ggml.eos_token_id"), MAKE_EOS);
    assert_int_equal(trip_u64(t.g, "tokenizer.ggml.eot_token_id"), MAKE_IM_END); /* in the template */
    assert_int_equal(trip_u64(t.g, "tokenizer.ggml.eom_token_id"), 285);
    assert_int_equal(trip_u64(t.g, "tokenizer.ggml.padding_token_id"), 285);
    bool flag = false;
    assert_true(ash_gguf_get_bool(t.g, "tokenizer.ggml.add_bos_token", &flag) && flag);
    assert_null(ash_gguf_find(t.g, "tokenizer.ggml.add_eos_token"));
    assert_gguf_text(t.g, "tokenizer.chat_template", make_chat_template);
    trip_done(&t);
    free(folder);
}

/* More tokens than rows: those behind the last row go, with their merges. */
static void test_more_tokens_than_rows(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("cut-hf", &spec);
    edit(folder, "tokenizer.json", "\"<|unused_11|>\":287", "\"<|unused_11|>\":287,\"hellow\":288");
    edit(folder, "tokenizer.json", "[\"o\",\"n\"]", "[\"o\",\"n\"],[\"hello\",\"w\"]");
    /* How ids become text is no part of the pre-tokenizer's name. */
    edit(folder, "tokenizer.json", "\"decoder\":",
         "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteLevel\"},{\"type\":\"Replace\","
         "\"pattern\":{\"String\":\"x\"},\"content\":\"y\"}]},\"was\":");
    trip t = trip_go(folder, "cut", ASH_TYPE_KEEP);
    assert_string_equal(trip_notes, "left out the last 1 tokens: the embedding has no rows for them\n");
    assert_int_equal(ash_gguf_find(t.g, "tokenizer.ggml.tokens")->count, 288);
    assert_int_equal(ash_gguf_find(t.g, "tokenizer.ggml.merges")->count, MAKE_MERGES);
    trip_done(&t);
    free(folder);
}

#define SPLIT(regex) "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\"," \
                     "\"invert\":false}"
#define LEVEL(prefix, regex) "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"use_regex\":" regex "}"
#define LLAMA3_SPLIT "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|" \
                     " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static void test_pretokenizers(void **state)
{
    (void)state;
    static const struct { const char *normalizer, *list, *ignore, *name, *error; } cases[] = {
        { "null", SPLIT(LLAMA3_SPLIT) "," LEVEL("false", "false"), "true", "llama-bpe", NULL },
        { "null", SPLIT(LLAMA3_SPLIT) "," LEVEL("false", "false"), "false", "dbrx", NULL },
        { "null", LEVEL("false", "true"), "false", "gpt-2", NULL },
        { "{\"type\":\"NFC\"}", LEVEL("false", "true"), "false", "gpt-2", NULL },
        { "null", "{\"type\":\"Digits\",\"individual_digits\":true}," LEVEL("false", "true"), "false", "smollm", NULL },
        { "null", LEVEL("false", "true"), "true", NULL, "these splits with ignore_merges = true" },
        { "null", LEVEL("true", "true"), "false", NULL, "a space in front of the text" },
        { "{\"type\":\"NFKC\"}", LEVEL("false", "true"), "false", NULL, "step NFKC" },
        { "null", SPLIT("ab+|\\\\t") "," LEVEL("false", "false"), "false", NULL, "splits at ab+|\\t" },
        { "null", LEVEL("false", "false"), "false", NULL, "without a split" },
        { "null", "{\"type\":\"Digits\",\"individual_digits\":false}," LEVEL("false", "true"), "false", NULL,
          "splits at" },
    };
    make_spec spec = make_defaults();
    char *folder = make_hf("pre-hf", &spec), *ashlar = test_path("pre.ashlar"), *gguf = test_path("pre/pre.gguf");
    char *dir = test_path("pre"), json[4096];
    ash_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        free(make_hf("pre-hf", &spec));
        edit(folder, "tokenizer.json", "\"ignore_merges\":false", cases[i].ignore[0] == 't' ? "\"ignore_merges\":true"
                                                                                          : "\"ignore_merges\":false ");
        snprintf(json, sizeof json, "\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":"
                 "[%s]},\"was\":{\"type\"", cases[i].normalizer, cases[i].list);
        edit(folder, "tokenizer.json", "\"normalizer\":null,\"pre_tokenizer\":{\"type\"", json);
        trip_convert(folder, ashlar, ASH_TYPE_KEEP);
        ash_status status = trip_export(ashlar, gguf, &err);
        if (cases[i].error) {
            assert_int_equal(status, ASH_E_UNSUPPORTED);
            if (!strstr(err.text, cases[i].error) || !strstr(err.text, "pre.ashlar"))
                fail_msg("case %zu: %s", i, err.text);
            assert_int_equal(test_count_entries(dir), 0);
            continue;
        }
        assert_ok(status, &err);
        assert_true((strstr(trip_notes, "normalizes text to NFC") != NULL) == (cases[i].normalizer[0] == '{'));
        ash_gguf *g;
        assert_ok(ash_gguf_open(gguf, &g, &err), &err);
        assert_gguf_text(g, "tokenizer.ggml.pre", cases[i].name);
        ash_gguf_close(g);
        assert_int_equal(remove(gguf), 0);
    }
    free(folder), free(ashlar), free(gguf), free(dir);
}

static void test_qwen2_name(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.architecture = "qwen2";
    char *folder = make_hf("qwen-hf", &spec);
    trip t = trip_go(folder, "qwen", ASH_TYPE_KEEP);
    assert_gguf_text(t.g, "tokenizer.ggml.pre", "qwen2");
    trip_done(&t);
    free(folder);
}

/* ---- SentencePiece ---- */

static cJSON *read_fixture(void)
{
    size_t size;
    uint8_t *packed = test_read_file(FIXTURE, &size);
    unsigned long long whole = ZSTD_getFrameContentSize(packed, size);
    assert_true(whole <= FIXTURE_MAX);
    char *text = malloc(whole);
    ash_error err;
    cJSON *json;
    assert_int_equal(ZSTD_decompress(text, whole, packed, size), whole);
    assert_ok(ash_json_parse(text, whole, FIXTURE_MAX, &json, &err), &err);
    free(text), free(packed);
    return json;
}

/* A model folder with the case's tokenizer.json or tokenizer.model, of the latter the one place with the bytes `from`
 * changed, both in hexadecimal and as long; 1,200 rows of embedding. */
static char *folder_of(const cJSON *c, const char *from, const char *to)
{
    make_spec spec = make_defaults();
    spec.vocab = 1200, spec.layers = 1;
    char *folder = make_hf("spm-hf", &spec), path[4096];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    const char *hex = ash_json_string(c, "model");
    if (!hex) {
        char *text = cJSON_PrintUnformatted(ash_json_get(c, "json"));
        test_write_file(path, text, strlen(text));
        free(text);
        return folder;
    }
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    size_t size = strlen(hex) / 2;
    uint8_t *bytes = malloc(size);
    char *copy = strdup(hex), *at = from ? strstr(copy, from) : NULL;
    assert_true(!from || (at && !strstr(at + 1, from) && strlen(from) == strlen(to)));
    if (at)
        memcpy(at, to, strlen(to));
    hex = copy;
    for (size_t i = 0; i < size; i++) {
        char two[3] = { hex[2 * i], hex[2 * i + 1] };
        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    test_write_file(path, bytes, size);
    free(bytes), free(copy);
    /* The ids that end a text are those of such models. */
    edit(folder, "config.json", "\"eos_token_id\": 273", "\"eos_token_id\": 2");
    edit(folder, "generation_config.json", "[273, 275]", "2");
    return folder;
}

static const cJSON *case_of(const cJSON *fixture, const char *name)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, ash_json_get(fixture, "cases")) {
        if (strcmp(ash_json_string(c, "name"), name) == 0)
            return c;
    }
    fail_msg("no case %s", name);
    return NULL;
}

static ash_tokenizer *tokenizer_of(const ash_gguf *g, ash_vocab_import *import)
{
    ash_error err;
    ash_tokenizer *t;
    assert_ok(ash_import_tokenizer_gguf(g, import, &err), &err);
    assert_ok(ash_tokenizer_open(import->section, import->size, &t, &err), &err);
    return t;
}

static void assert_ids(const ash_tokenizer *t, const char *text, unsigned flags, const cJSON *want)
{
    ash_error err;
    int32_t *ids;
    size_t count, n = 0;
    assert_true(cJSON_IsArray(want));
    assert_ok(ash_tokenizer_encode(t, text, strlen(text), flags, &ids, &count, &err), &err);
    for (const cJSON *i = want->child; i; i = i->next, n++)
        if (n >= count || ids[n] != i->valueint)
            fail_msg("\"%.80s\": id %zu of %zu is %d, not %d", text, n, count, n < count ? ids[n] : -1, i->valueint);
    assert_int_equal(n, count);
    free(ids);
}

#define AS_LLAMA "spm bpe, as Llama"

/* The ids that the sentencepiece package gives come from the GGUF too. */
static void test_sentencepiece(void **state)
{
    (void)state;
    cJSON *fixture = read_fixture();
    const cJSON *c = case_of(fixture, AS_LLAMA), *texts = ash_json_get(fixture, "texts");
    char *folder = folder_of(c, NULL, NULL);
    trip t = trip_go(folder, "spm", ASH_TYPE_KEEP);
    assert_string_equal(trip_notes, "");
    assert_gguf_text(t.g, "tokenizer.ggml.model", "llama");
    assert_gguf_text(t.g, "tokenizer.ggml.pre", "default");
    bool prefix = false;
    assert_true(ash_gguf_get_bool(t.g, "tokenizer.ggml.add_space_prefix", &prefix) && prefix);
    assert_null(ash_gguf_find(t.g, "tokenizer.ggml.merges"));
    assert_token(t.g, 0, "<unk>", ASH_TOKEN_UNKNOWN);
    assert_token(t.g, 1, "<s>", ASH_TOKEN_CONTROL);
    assert_token(t.g, 3 + 0xab, "<0xAB>", ASH_TOKEN_BYTE);
    assert_token(t.g, 1199, "[PAD1199]", ASH_TOKEN_UNUSED);
    const ash_gguf_kv *scores = ash_gguf_find(t.g, "tokenizer.ggml.scores");
    assert_true(scores && scores->element == ASH_GGUF_F32 && scores->count == 1200);
    float score;
    memcpy(&score, scores->value + 4 * 260, sizeof score);
    assert_true(score == -1.0f); /* the second piece that was merged */
    memcpy(&score, scores->value + 4 * 1199, sizeof score);
    assert_true(score == -10000.0f);
    ash_vocab_import import;
    ash_tokenizer *tokenizer = tokenizer_of(t.g, &import);
    int first = ash_json_get(c, "first")->valueint, count = ash_json_get(c, "count")->valueint;
    for (int i = 0; i < count; i++)
        assert_ids(tokenizer, cJSON_GetArrayItem(texts, first + i)->valuestring, 0,
                   cJSON_GetArrayItem(ash_json_get(c, "unparsed"), i));
    assert_true(count >= 100);
    print_message("# measure %d texts give sentencepiece's ids from the exported GGUF\n", count);
    ash_tokenizer_close(tokenizer);
    free(import.section);
    trip_done(&t);
    cJSON_Delete(fixture);
    free(folder);
}

/* What llama.cpp would do differently is refused, each by what it is. */
static void test_not_llama(void **state)
{
    (void)state;
    static const struct { const char *name, *error, *from, *to; } cases[] = {
        { .name = "spm bpe", .error = "removes extra white space" },
        { .name = "spm bpe, no dummy, spaces stay", .error = "normalizes text by a map" },
        { .name = "spm bpe, suffix", .error = "puts the space behind words" },
        /* An empty map and remove_extra_whitespaces = 0 become the latter and escape_whitespaces = 0. */
        { .name = AS_LLAMA, .error = "keeps spaces as they are", .from = "12002000", .to = "20002800" },
        { .name = "spm unigram", .error = "Unigram" },
        { .name = "unigram, Metaspace", .error = "Unigram" },
        { .name = "characters, none", .error = "leaves spaces as they are" },
        { .name = "characters, Metaspace always True", .error = "Metaspace with split" },
        { .name = "characters, Metaspace never False", .error = "has no token for some bytes" },
        { .name = "characters, Whitespace", .error = "has other steps" },
        { .name = "fallback, ignore_merges", .error = "ignore_merges" },
        { .name = "fallback", .error = "does not merge tokens" },
    };
    cJSON *fixture = read_fixture();
    char *ashlar = test_path("not.ashlar"), *gguf = test_path("not/not.gguf"), *dir = test_path("not");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(case_of(fixture, cases[i].name), cases[i].from, cases[i].to), path[4096];
        ash_error err;
        trip_convert(folder, ashlar, ASH_TYPE_KEEP);
        assert_int_equal(trip_export(ashlar, gguf, &err), ASH_E_UNSUPPORTED);
        if (!strstr(err.text, cases[i].error) || !strstr(err.text, "not.ashlar"))
            fail_msg("%s: %s", cases[i].name, err.text);
        assert_int_equal(test_count_entries(dir), 0);
        snprintf(path, sizeof path, "%s/tokenizer.model", folder);
        (void)unlink(path);
        free(folder);
    }
    cJSON_Delete(fixture);
    free(ashlar), free(gguf), free(dir);
}

/* Another order of the model's own steps, and a symbol: </s> from control to user-defined. */
static void test_sentencepiece_variants(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *note; bool prefix; } cases[] = {
        { "12002000", "18002000", "", false }, /* add_dummy_prefix = 0 */
        { "3c2f733e15000000001803", "3c2f733e15000000001804",
          "llama.cpp puts a space behind each of the 1 user-defined symbols; the tokenizer does not\n", true },
    };
    cJSON *fixture = read_fixture();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of(case_of(fixture, AS_LLAMA), cases[i].from, cases[i].to);
        trip t = trip_go(folder, "variant", ASH_TYPE_KEEP);
        assert_string_equal(trip_notes, cases[i].note);
        bool prefix = !cases[i].prefix;
        assert_true(ash_gguf_get_bool(t.g, "tokenizer.ggml.add_space_prefix", &prefix) && prefix == cases[i].prefix);
        assert_token(t.g, 2, "</s>", i == 1 ? ASH_TOKEN_USER : ASH_TOKEN_CONTROL);
        trip_done(&t);
        free(folder);
    }
    cJSON_Delete(fixture);
}

/* ---- characters with merges, as Llama 2's tokenizer.json ---- */

#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"}"
#define ESCAPE "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}"
#define METASPACE(scheme) "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"" scheme \
                          "\",\"split\":false}"
static const char *const pieces[] = { "h", "e", "l", "o", "w", "r", "d", "\xe2\x96\x81", "he", "ll", "hell", "hello",
                                      "\xe2\x96\x81w", "or", "ld", "lll", "\xe2\x96\x81wor", "\xe2\x96\x81world" };
static const char merges_of_pieces[] =
    "[[\"h\",\"e\"],[\"l\",\"l\"],[\"he\",\"ll\"],[\"hell\",\"o\"],[\"\xe2\x96\x81\",\"w\"],"
    "[\"o\",\"r\"],[\"l\",\"d\"],"
    "[\"ll\",\"l\"],[\"l\",\"ll\"],[\"\xe2\x96\x81w\",\"or\"],[\"\xe2\x96\x81wor\",\"ld\"]]";

enum { PIECES = sizeof pieces / sizeof *pieces };

static char *folder_of_pieces(const char *normalizer, const char *pre, const char *more, const char *merges)
{
    make_spec spec = make_defaults();
    char *folder = make_hf("pieces-hf", &spec), *text, path[4096];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},"
               "{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":2,\"content\":\"</s>\",\"special\":true},"
               "{\"id\":287,\"content\":\"A\xe2\x96\x81\",\"special\":false}],"
               "\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":null,\"decoder\":{\"type\":\"Sequence\","
               "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},\"content\":\" \"},"
               "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
               "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},\"model\":{\"type\":\"BPE\","
               "\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false,"
               "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2", normalizer, pre);
    for (int i = 0; i < 256; i++)
        fprintf(f, ",\"<0x%02X>\":%d", (unsigned)i, 3 + i);
    for (int i = 0; i < PIECES; i++)
        fprintf(f, ",\"%s\":%d", pieces[i], 259 + i);
    fprintf(f, "%s},\"merges\":%s}}", more, merges);
    fclose(f);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    test_write_file(path, text, size);
    free(text);
    edit(folder, "tokenizer_config.json", "<|begin_of_text|>", "<s>");
    edit(folder, "tokenizer_config.json", "<|end_of_text|>", "</s>");
    edit(folder, "config.json", "\"eos_token_id\": 273", "\"eos_token_id\": 2");
    edit(folder, "generation_config.json", "[273, 275]", "2");
    return folder;
}

static void test_characters(void **state)
{
    (void)state;
    static const char *const texts[] = { "hello world", " hello  world\n", "", "lllll", "A\xe2\x96\x81hello",
                                         "h\xc3\xa9llo worldworld", "</s>hello world<s>", "<0x41>" };
    static const struct { const char *normalizer, *pre, *note; bool prefix; size_t exact; } cases[] = {
        { "{\"type\":\"Sequence\",\"normalizers\":[" PREPEND "," ESCAPE "]}", "null", "", true, 8 },
        { ESCAPE, "null", "", false, 8 },
        { "null", METASPACE("never"), "", false, 8 },
        { "null", METASPACE("always"), "one that begins with a space, where the tokenizer does not\n", true, 1 },
        { "null", METASPACE("first"), "or follows a special token; the tokenizer does not\n", true, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of_pieces(cases[i].normalizer, cases[i].pre, "", merges_of_pieces);
        trip t = trip_go(folder, "pieces", ASH_TYPE_KEEP);
        size_t n = strlen(trip_notes), m = strlen(cases[i].note);
        if (n < m || strcmp(trip_notes + n - m, cases[i].note) != 0 || (m == 0 && n != 0))
            fail_msg("case %zu: %s", i, trip_notes);
        bool prefix = !cases[i].prefix;
        assert_true(ash_gguf_get_bool(t.g, "tokenizer.ggml.add_space_prefix", &prefix) && prefix == cases[i].prefix);
        assert_token(t.g, 0, "<unk>", ASH_TOKEN_UNKNOWN);
        assert_token(t.g, 3 + 10, "<0x0A>", ASH_TOKEN_BYTE);
        assert_token(t.g, 259 + 7, "\xe2\x96\x81", ASH_TOKEN_NORMAL);
        assert_token(t.g, 287, "A ", ASH_TOKEN_USER); /* llama.cpp looks for it before spaces are escaped */
        const ash_gguf_kv *scores = ash_gguf_find(t.g, "tokenizer.ggml.scores");
        for (uint32_t id = 0; id < 288; id++) {
            float score, want = id < 3 || id == 287 ? -1000.0f : id >= 259 + PIECES ? -10000.0f
                                : id >= 259 + 8 ? -(float)(id - 259 - 8) : 0.0f;
            memcpy(&score, scores->value + 4 * id, sizeof score);
            if (score != want)
                fail_msg("score of %u is %g, not %g", (unsigned)id, (double)score, (double)want);
        }
        ash_vocab_import before, after;
        ash_error err;
        assert_ok(ash_import_tokenizer_hf(folder, &before, &err), &err);
        ash_tokenizer *a, *b = tokenizer_of(t.g, &after);
        assert_ok(ash_tokenizer_open(before.section, before.size, &a, &err), &err);
        for (size_t k = 0; k < cases[i].exact; k++) {
            int32_t *x, *y;
            size_t x_count, y_count;
            /* The user-defined token has a space there; its text is another. */
            const char *text = texts[k], *other = k == 4 ? "A hello" : text;
            assert_ok(ash_tokenizer_encode(a, text, strlen(text), ASH_ENCODE_SPECIAL, &x, &x_count, &err), &err);
            assert_ok(ash_tokenizer_encode(b, other, strlen(other), ASH_ENCODE_SPECIAL, &y, &y_count, &err), &err);
            if (x_count != y_count || memcmp(x, y, x_count * sizeof *x) != 0)
                fail_msg("case %zu: \"%s\" has other ids", i, text);
            free(x), free(y);
        }
        ash_tokenizer_close(a), ash_tokenizer_close(b);
        free(before.section), free(after.section), free(folder);
        trip_done(&t);
    }
}

/* Merges that scores cannot stand for. */
static void test_merges_that_are_no_scores(void **state)
{
    (void)state;
    static const struct { const char *more, *merges, *error; } cases[] = {
        { ",\"hel\":277", "[[\"h\",\"e\"]]", "does not merge tokens" }, /* he + l */
        { ",\"eh\":277,\"heh\":278", "[[\"h\",\"e\"],[\"e\",\"h\"],[\"he\",\"h\"],[\"l\",\"l\"],[\"h\",\"eh\"]]",
          "in no order of their results" },
    };
    char *ashlar = test_path("none.ashlar"), *gguf = test_path("none/none.gguf"), *dir = test_path("none");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = folder_of_pieces(ESCAPE, "null", cases[i].more, cases[i].merges);
        ash_error err;
        trip_convert(folder, ashlar, ASH_TYPE_KEEP);
        assert_int_equal(trip_export(ashlar, gguf, &err), ASH_E_UNSUPPORTED);
        if (!strstr(err.text, cases[i].error))
            fail_msg("%s", err.text);
        assert_int_equal(test_count_entries(dir), 0);
        free(folder);
    }
    free(ashlar), free(gguf), free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocabulary),    cmocka_unit_test(test_more_tokens_than_rows),
        cmocka_unit_test(test_pretokenizers), cmocka_unit_test(test_qwen2_name),
        cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_not_llama),
        cmocka_unit_test(test_sentencepiece_variants),
        cmocka_unit_test(test_characters),    cmocka_unit_test(test_merges_that_are_no_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
