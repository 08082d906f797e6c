/* What transformers made of the folders that we export (tests/fixtures/make_transformers_fp8.py): the folders are still
 * the same to the byte, our tokenizer gives its ids, and our perplexity is its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "convert/tokenizer.h"
#include "format/hash.h"
#include "format/json.h"
#include "runtime/tokenizer.h"
#include "tests/support/support.h"

#define FIXTURE "tests/fixtures/transformers_fp8.json"

static void assert_hash(const char *what, const void *bytes, size_t size, const char *expected)
{
    char text[33];
    ash_hash_text(ash_hash(bytes, size), text);
    if (!expected || strcmp(text, expected) != 0)
        fail_msg("%s is not what was measured: run tests/fixtures/make_transformers_fp8.py again", what);
}

/* As the fixture's "convert" says; returns the folder, NULL without the source. */
static char *make_folder(const cJSON *entry)
{
    char name[96], arguments[400] = "";
    snprintf(name, sizeof name, "models/%.60s", ash_json_string(entry, "source"));
    char *source = test_shared(name);
    if (!source)
        return NULL;
    const cJSON *word;
    cJSON_ArrayForEach(word, ash_json_get(entry, "convert")) {
        size_t at = strlen(arguments);
        snprintf(arguments + at, sizeof arguments - at, " %s", word->valuestring);
    }
    ash_recipe recipe;
    ash_error err;
    const char *type = strstr(arguments, "--type fp8") ? "fp8" : "keep";
    assert_true(ash_recipe_named(type, &recipe));
    recipe.fp8_row = strstr(arguments, "--fp8-scale row") != NULL;
    char *ashlar = test_path("model.ashlar"), *folder = test_path("model");
    ash_convert_options options = { .recipe = &recipe, .force = true };
    assert_ok(ash_convert(source, ashlar, &options, NULL, &err), &err);
    ash_export_options export = { .force = true };
    assert_ok(ash_export_hf(ashlar, folder, &export, &err), &err);
    free(source), free(ashlar);
    return folder;
}

static void check_files(const char *folder, const cJSON *entry)
{
    const cJSON *file;
    cJSON_ArrayForEach(file, ash_json_get(entry, "files")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, file->string);
        size_t size;
        uint8_t *bytes = test_read_file(path, &size);
        assert_hash(file->string, bytes, size, file->valuestring);
        free(bytes);
    }
}

static void check_ids(const char *folder, const cJSON *entry, const char *text, size_t size)
{
    ash_error err;
    ash_vocab_import import;
    ash_tokenizer *t;
    int32_t *ids;
    size_t count;
    assert_ok(ash_import_tokenizer_hf(folder, &import, &err), &err);
    assert_ok(ash_tokenizer_open(import.section, import.size, &t, &err), &err);
    assert_ok(ash_tokenizer_encode(t, text, size, ASH_ENCODE_SPECIAL, &ids, &count, &err), &err);
    assert_int_equal(count, ash_json_get(entry, "ids")->valuedouble);
    assert_hash("the list of ids", ids, count * sizeof *ids, ash_json_string(entry, "ids_xxh3_128"));
    ash_tokenizer_close(t);
    free(import.section), free(ids);
}

static double perplexity(const char *folder, const char *text_path)
{
    char arguments[4096];
    snprintf(arguments, sizeof arguments, "perplexity %s --text %s --tokens 32768 --json", folder, text_path);
    int code;
    char *printed = test_ashlar(arguments, &code), *object = strchr(printed, '{');
    if (code != 0 || !object)
        fail_msg("%s: exit %d: %s", arguments, code, printed);
    cJSON *json = cJSON_Parse(object);
    double value = ash_json_get(json, "ppl")->valuedouble;
    cJSON_Delete(json);
    return value;
}

/* Each model's bytes and ids; the perplexity of the one that we quantize as users do first. */
static void run(bool measured)
{
    cJSON *root;
    ash_error err;
    char *text_path = test_shared("models/eval.txt");
    if (!text_path)
        skip();
    assert_ok(ash_json_read_file(FIXTURE, 1 << 20, &root, &err), &err);
    size_t size;
    char *text = (char *)test_read_file(text_path, &size);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, ash_json_get(root, "models")) {
        const char *name = ash_json_string(entry, "name");
        if (measured && strcmp(name, "fp8") != 0)
            continue;
        char *folder = make_folder(entry);
        if (!folder)
            skip();
        check_files(folder, entry);
        check_ids(folder, entry, text, size);
        if (measured) {
            double theirs = ash_json_get(entry, "perplexity")->valuedouble, ours = perplexity(folder, text_path);
            print_message("# measure %s: perplexity %.4f, in transformers %.4f\n", name, ours, theirs);
            assert_true(fabs(ours / theirs - 1) <= 0.005); /* as the two are to agree */
        }
        free(folder);
    }
    cJSON_Delete(root);
    free(text), free(text_path);
}

static void test_bytes_and_ids(void **state) { (void)state; run(false); }
static void test_perplexity(void **state) { (void)state; run(true); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_and_ids),
        cmocka_unit_test(test_perplexity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
