/* Ids and texts against the tokenizers and sentencepiece packages: tests/fixtures/tokenizers.json.zst, which
 * tests/fixtures/make_tokenizers.py makes and describes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "convert/tokenizer_internal.h"
#include "format/json.h"
#include "runtime/tokenizer.h"
#include "tests/support/rebuild_vocab.h"

#define FIXTURE "tests/fixtures/tokenizers.json.zst"
#define FIXTURE_MAX ((size_t)64 << 20)
#define IDS_MAX 131072 /* of one text */

static cJSON *fixture;
static const cJSON **texts;
static size_t text_count;

static int open_fixture(void **state)
{
    (void)state;
    size_t size;
    uint8_t *packed = test_read_file(FIXTURE, &size);
    unsigned long long whole = ZSTD_getFrameContentSize(packed, size);
    if (whole > FIXTURE_MAX)
        return -1;
    char *text = malloc(whole);
    ash_error err = { 0 };
    bool good = text && ZSTD_decompress(text, whole, packed, size) == whole &&
                ash_json_parse(text, whole, FIXTURE_MAX, &fixture, &err) == ASH_OK;
    free(text);
    free(packed);
    if (!good)
        return -1;
    const cJSON *list = ash_json_get(fixture, "texts");
    texts = calloc((size_t)cJSON_GetArraySize(list), sizeof *texts);
    for (const cJSON *i = list->child; texts && i; i = i->next)
        texts[text_count++] = i;
    return text_count != 0 ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    cJSON_Delete(fixture);
    free(texts);
    return 0;
}

static uint8_t *from_hex(const char *text, size_t *size)
{
    *size = strlen(text) / 2;
    uint8_t *out = malloc(*size);
    for (size_t i = 0; i < *size; i++) {
        char two[3] = { text[2 * i], text[2 * i + 1] };
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return out;
}

/* ---- "gguf": the values of tokenizer.ggml.* as the key-values of a file ---- */

typedef struct pairs { char *bytes; size_t size; uint64_t count; } pairs;

static void append(char **at, size_t *used, const void *more, size_t size)
{
    *at = realloc(*at, *used + size + 1);
    assert_non_null(*at);
    if (size != 0)
        memcpy(*at + *used, more, size);
    *used += size;
    (*at)[*used] = '\0';
}
static void put(pairs *p, const void *bytes, size_t size) { append(&p->bytes, &p->size, bytes, size); }
static void put_u32(pairs *p, uint32_t x) { put(p, &x, 4); }
static void put_u64(pairs *p, uint64_t x) { put(p, &x, 8); }
static void put_text(pairs *p, const char *s)
{
    put_u64(p, strlen(s));
    put(p, s, strlen(s));
}

static void put_array(pairs *p, const cJSON *list)
{
    bool strings = cJSON_IsString(list->child), floats = strcmp(list->string, "scores") == 0;
    put_u32(p, ASH_GGUF_ARRAY);
    put_u32(p, strings ? ASH_GGUF_STRING : floats ? ASH_GGUF_F32 : ASH_GGUF_I32);
    put_u64(p, (uint64_t)cJSON_GetArraySize(list));
    for (const cJSON *i = list->child; i; i = i->next) {
        float number = (float)i->valuedouble;
        if (strings)
            put_text(p, i->valuestring);
        else
            put(p, floats ? (const void *)&number : &i->valueint, 4);
    }
}

static void put_pair(pairs *p, const cJSON *item)
{
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s", strcmp(item->string, "types") == 0 ? "token_type" : item->string);
    put_text(p, key);
    p->count++;
    if (strcmp(item->string, "precompiled_charsmap") == 0) {
        size_t size;
        uint8_t *bytes = from_hex(item->valuestring, &size);
        put_u32(p, ASH_GGUF_ARRAY);
        put_u32(p, ASH_GGUF_U8);
        put_u64(p, size);
        put(p, bytes, size);
        free(bytes);
    } else if (cJSON_IsArray(item)) {
        put_array(p, item);
    } else if (cJSON_IsString(item)) {
        put_u32(p, ASH_GGUF_STRING);
        put_text(p, item->valuestring);
    } else if (cJSON_IsBool(item)) {
        char value = cJSON_IsTrue(item) ? 1 : 0;
        put_u32(p, ASH_GGUF_BOOL);
        put(p, &value, 1);
    } else {
        put_u32(p, ASH_GGUF_U32);
        put_u32(p, (uint32_t)item->valueint);
    }
}

static void import_gguf(const cJSON *values, ash_vocab_import *out)
{
    pairs p = { 0 };
    ash_error err = { 0 };
    ash_gguf *g;
    put_u32(&p, 3);
    put_u64(&p, 0);
    for (const cJSON *i = values->child; i; i = i->next)
        put_pair(&p, i);
    memcpy(p.bytes + 4, &p.count, 8);
    assert_ok(ash_gguf_open_kv(p.bytes, p.size, &g, &err), &err);
    assert_ok(ash_import_tokenizer_gguf(g, out, &err), &err);
    ash_gguf_close(g);
    free(p.bytes);
}

/* false: a case of the shared folder, which is absent. */
static bool import_case(const cJSON *c, ash_vocab_import *out)
{
    ash_error err = { 0 };
    const char *shared = ash_json_string(c, "shared"), *model = ash_json_string(c, "model");
    if (shared) {
        char *path = test_shared(shared);
        if (!path)
            return false;
        assert_ok(ash_import_tokenizer_hf(path, out, &err), &err);
        free(path);
    } else if (ash_json_get(c, "gguf")) {
        import_gguf(ash_json_get(c, "gguf"), out);
    } else if (model) {
        size_t size;
        uint8_t *bytes = from_hex(model, &size);
        assert_ok(ash_import_tokenizer_model_bytes(bytes, size, NULL, NULL, NULL, out, &err), &err);
        free(bytes);
    } else {
        ash_status status = ash_import_tokenizer_json(ash_json_get(c, "json"), ash_json_get(c, "config"), out, &err);
        if (status != ASH_OK)
            fail_msg("%s: %s", ash_json_string(c, "name"), err.text);
    }
    return true;
}

/* ---- one text ---- */

static size_t wrong; /* of the running case */

static void print_ids(const char *what, const int32_t *ids, size_t count)
{
    char line[400];
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof line - 16; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, " %d", ids[i]);
    line[used] = '\0';
    print_message("#   %s (%zu):%s\n", what, count, line);
}

static void check_ids(const char *name, const ash_tokenizer *t, const char *text, unsigned flags, const cJSON *want)
{
    if (!cJSON_IsArray(want))
        return;
    ash_error err = { 0 };
    static int32_t expected[IDS_MAX];
    int32_t *ids;
    size_t count, n = 0;
    for (const cJSON *i = want->child; i; i = i->next) {
        assert_true(n < IDS_MAX);
        expected[n++] = i->valueint;
    }
    if (ash_tokenizer_encode(t, text, strlen(text), flags, &ids, &count, &err) != ASH_OK)
        fail_msg("%s: \"%.80s\": %s", name, text, err.text);
    if ((count != n || memcmp(ids, expected, n * sizeof *ids) != 0) && wrong++ < 3) {
        print_message("# %s: \"%.400s\", flags %u\n", name, text, flags);
        print_ids("got", ids, count);
        print_ids("expected", expected, n);
    }
    free(ids);
}

/* In one push, or id by id. */
static void check_text(const char *name, const ash_tokenizer *t, const cJSON *list, unsigned flags, bool single,
                       const cJSON *want)
{
    if (!cJSON_IsArray(list) || !cJSON_IsString(want))
        return;
    ash_error err = { 0 };
    ash_decoding *d;
    static int32_t ids[IDS_MAX];
    size_t n = 0, used = 0, size;
    const char *piece;
    char *text = NULL;
    for (const cJSON *i = list->child; i; i = i->next) {
        assert_true(n < IDS_MAX);
        ids[n++] = i->valueint;
    }
    assert_ok(ash_decoding_new(t, flags, &d, &err), &err);
    for (size_t i = 0; i < n; i += single ? 1 : n) {
        assert_ok(ash_decoding_push(d, ids + i, single ? 1 : n, &piece, &size, &err), &err);
        append(&text, &used, piece, size);
    }
    assert_ok(ash_decoding_finish(d, &piece, &size, &err), &err);
    append(&text, &used, piece, size);
    if (strcmp(text, want->valuestring) != 0 && wrong++ < 3) {
        print_ids(name, ids, n);
        print_message("#   decoded with flags %u%s: \"%.400s\"\n#   expected: \"%.400s\"\n", flags,
                      single ? ", id by id" : "", text, want->valuestring);
    }
    free(text);
    ash_decoding_free(d);
}

/* ---- one case ---- */

/* The list's members side by side with the texts; NULL where the case has no such list. */
static const cJSON *member(const cJSON *c, const char *key)
{
    const cJSON *list = ash_json_get(c, key);
    return list ? list->child : NULL;
}

static void check_frame(const cJSON *c, const ash_vocab_import *import, const ash_tokenizer *t)
{
    const cJSON *framed = ash_json_get(c, "framed");
    if (!framed)
        return;
    ash_error err = { 0 };
    int32_t *ids;
    size_t count;
    assert_true(import->add_bos);
    assert_int_equal(import->bos, framed->valueint);
    assert_ok(ash_tokenizer_encode(t, "x", 1, ASH_ENCODE_BOS, &ids, &count, &err), &err);
    assert_true(count >= 2 && ids[0] == framed->valueint);
    free(ids);
}

/* false: a tokenizer.json cannot say it. */
static bool rebuild(const char *name, ash_vocab_import *import)
{
    ash_error err = { 0 };
    if (rebuild_vocab(import, &err) == ASH_OK)
        return true;
    print_message("# %s: %s\n", name, err.text);
    free(import->section);
    return false;
}

static bool rebuilding; /* in the running test */

static size_t run_case(const cJSON *c)
{
    const char *name = ash_json_string(c, "name");
    ash_vocab_import import;
    ash_tokenizer *t;
    ash_error err = { 0 };
    if (!import_case(c, &import) || (rebuilding && !rebuild(name, &import)))
        return 0;
    if (ash_tokenizer_open(import.section, import.size, &t, &err) != ASH_OK)
        fail_msg("%s: %s", name, err.text);
    size_t first = (size_t)ash_json_get(c, "first")->valueint, count = (size_t)ash_json_get(c, "count")->valueint;
    const cJSON *ids = member(c, "ids"), *unparsed = member(c, "unparsed"), *decoded = member(c, "decoded"),
                *hidden = member(c, "hidden");
    assert_true(first + count <= text_count);
    wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text = texts[first + i]->valuestring;
        check_ids(name, t, text, ASH_ENCODE_SPECIAL, ids);
        check_ids(name, t, text, 0, unparsed);
        for (int single = 0; single < 2; single++) {
            check_text(name, t, cJSON_IsArray(ids) ? ids : unparsed, ASH_DECODE_SPECIAL, single, decoded);
            check_text(name, t, ids, 0, single, hidden);
        }
        ids = ids ? ids->next : NULL;
        unparsed = unparsed ? unparsed->next : NULL;
        decoded = decoded ? decoded->next : NULL;
        hidden = hidden ? hidden->next : NULL;
    }
    check_frame(c, &import, t);
    if (wrong != 0)
        print_message("# %s: %zu of %zu texts are wrong somewhere\n", name, wrong, count);
    ash_tokenizer_close(t);
    free(import.section);
    return count;
}

static void run(const char *kind, size_t cases_least)
{
    size_t cases = 0, count = 0, failed = 0;
    for (const cJSON *c = ash_json_get(fixture, "cases")->child; c; c = c->next) {
        if (strncmp(ash_json_string(c, "name"), kind, strlen(kind)) != 0)
            continue;
        size_t n = run_case(c);
        if (n == 0)
            continue;
        count += n;
        cases++;
        failed += wrong != 0;
    }
    if (cases == 0 && strcmp(kind, "llama-30m") == 0)
        skip();
    print_message("# measure %s: %zu tokenizers with %zu texts give the reference's ids and texts\n", kind, cases,
                  count);
    if (failed != 0)
        fail_msg("%zu of %zu tokenizers of kind \"%s\" differ", failed, cases, kind);
    assert_true(cases >= cases_least);
}

static void test_llama_30m(void **state) { (void)state; run("llama-30m", 1); }
static void test_bytes(void **state) { (void)state; run("bytes", 25); }
static void test_characters(void **state) { (void)state; run("characters", 30); }
static void test_fallback(void **state) { (void)state; run("fallback", 6); }
static void test_unigram(void **state) { (void)state; run("unigram", 12); }
static void test_sentencepiece_bpe(void **state) { (void)state; run("spm bpe", 8); }
static void test_sentencepiece_unigram(void **state) { (void)state; run("spm unigram", 8); }

static void test_gguf(void **state) { (void)state; run("gguf", 20); }

/* Those that a tokenizer.json can say, by way of one; the numbers are of those that can today. */
static void test_rebuilt(void **state)
{
    (void)state;
    rebuilding = true;
    run("bytes", 42);
    run("characters", 67);
    run("fallback", 8);
    run("unigram", 14);
    run("spm bpe", 2);
    run("gguf", 39);
    rebuilding = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_30m),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_sentencepiece_bpe),
        cmocka_unit_test(test_sentencepiece_unigram),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_rebuilt),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
