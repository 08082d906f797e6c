/* JSON reading: what is accepted, what is refused by name, exact integers, and that no input costs quadratic time. */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/json.h"

#define LIMIT ((size_t)100 << 20)

/* Parses from an allocation of exactly `size` bytes, so that ASan sees a read behind the end. */
static ash_status parse(const char *text, size_t size, cJSON **out, ash_error *err)
{
    char *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, text, size);
    ash_status status = ash_json_parse(exact, size, LIMIT, out, err);
    free(exact);
    assert_true((status == ASH_OK) == (*out != NULL));
    return status;
}

static void accepts(const char *text)
{
    ash_error err;
    cJSON *json;
    if (parse(text, strlen(text), &json, &err) != ASH_OK)
        fail_msg("%s is refused: %s", text, err.text);
    cJSON_Delete(json);
}

static void refuses_bytes(const char *text, size_t size, const char *why)
{
    ash_error err = { 0 };
    cJSON *json;
    if (parse(text, size, &json, &err) == ASH_OK)
        fail_msg("%.60s is accepted, though: %s", text, why);
    if (!strstr(err.text, why))
        fail_msg("%.60s: the message is \"%s\", without \"%s\"", text, err.text, why);
    assert_null(strchr(err.text, '\n'));
}

static void refuses(const char *text, const char *why) { refuses_bytes(text, strlen(text), why); }

static void ordinary_documents(void **state)
{
    (void)state;
    accepts("{}");
    accepts("[]");
    accepts(" \r\n\t{ \"a\" : [ 1 , -2.5e+3 , true , false , null , \"x\" ] }\n\n");
    accepts("\"alone\"");
    accepts("0");
    accepts("-0");
    accepts("[0.5,1e5,1E-5,123456789012345678901234567890]");
    accepts("{\"a\":1,\"A\":2,\"\":3,\"ab\":4}"); /* keys differ by case, by length */
    accepts("\"\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u00e9 \\ud83d\\ude00\"");
    accepts("\"\\\\u0000\""); /* a backslash, then text */
    accepts("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbf \xf4\x8f\xbf\xbf \xed\x9f\xbf\"");
    accepts("\xef\xbb\xbf{\"bom\":1}");
    accepts("\"\x7f\"");
}

static void values_and_lookups(void **state)
{
    (void)state;
    ash_error err;
    cJSON *json;
    const char text[] = "{\"n\": 7, \"s\": \"h\\u00e9\", \"N\": 8, \"o\": {\"s\": 1}, \"a\": [\"s\"]}";
    assert_ok(parse(text, sizeof text - 1, &json, &err), &err);
    uint64_t n;
    assert_true(ash_json_u64(ash_json_get(json, "n"), &n) && n == 7);
    assert_true(ash_json_u64(ash_json_get(json, "N"), &n) && n == 8);
    assert_string_equal(ash_json_string(json, "s"), "h\xc3\xa9");
    assert_null(ash_json_string(json, "n"));
    assert_null(ash_json_string(json, "o"));
    assert_null(ash_json_get(json, "missing"));
    assert_null(ash_json_get(ash_json_get(json, "a"), "s")); /* an array has no members */
    assert_null(ash_json_get(NULL, "s"));
    assert_false(ash_json_u64(NULL, &n));
    assert_false(ash_json_u64(ash_json_get(json, "s"), &n));
    cJSON_Delete(json);
}

static void integers_are_exact_up_to_2_to_the_53(void **state)
{
    (void)state;
    static const struct { const char *text; bool integer; uint64_t value; } cases[] = {
        { "0", true, 0 }, { "-0", true, 0 }, { "1", true, 1 }, { "2147483648", true, 2147483648u },
        { "9007199254740991", true, 9007199254740991u }, { "9007199254740992", true, 9007199254740992u },
        { "9007199254740993", false, 0 }, /* rounds to 2^53 as a double */
        { "9007199254740994", false, 0 }, { "18446744073709551616", false, 0 }, { "-1", false, 0 },
        { "-9007199254740993", false, 0 }, { "-99999999999", false, 0 }, { "1.5", false, 0 }, { "1e400", false, 0 },
        { "2048.0", true, 2048 }, { "1e6", true, 1000000 }, { "0.99999999999999999999", false, 0 }, /* rounds to 1 */
        { "9007199254740992.5", false, 0 }, { "1e-400", true, 0 },
    };
    char text[1024] = "[";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s{\"a\":%s}", i ? ", " : "", cases[i].text);
    strcat(text, "]");
    ash_error err;
    cJSON *json;
    assert_ok(parse(text, strlen(text), &json, &err), &err);
    size_t i = 0;
    for (const cJSON *item = json->child; item; item = item->next, i++) {
        uint64_t value = 0;
        bool integer = ash_json_u64(ash_json_get(item, "a"), &value);
        if (integer != cases[i].integer || (integer && value != cases[i].value))
            fail_msg("%s: %s, %.0f", cases[i].text, integer ? "taken as an integer" : "refused", (double)value);
    }
    cJSON_Delete(json);
}

static void hostile_documents_are_refused_by_name(void **state)
{
    (void)state;
    refuses("", "there is no value");
    refuses("  ", "there is no value");
    refuses("{\"a\":1,\"b\":2,\"a\":3}", "the key \"a\" stands twice");
    refuses("{\"a\":1,\"\\u0061\":3}", "the key \"a\" stands twice"); /* equal once unescaped */
    refuses("[{\"x\":{\"k\":1,\"k\":1}}]", "the key \"k\" stands twice");
    refuses("{\"longer than eight bytes\":1,\"longer than eight bytes\":2}", "stands twice");
    refuses("\"a\\u0000b\"", "NUL");
    refuses("{\"a\\u0000b\":1}", "NUL");
    refuses_bytes("\"a\0b\"", 5, "NUL");
    refuses_bytes("[1]\0", 4, "NUL");
    refuses("{} x", "follows the value at byte 3, line 1");
    refuses("{}\n{}", "follows the value at byte 3, line 2");
    refuses("[1] 2", "follows");
    refuses("\"\xc3\"", "UTF-8");
    refuses("\"\xc0\x80\"", "UTF-8");         /* NUL, overlong */
    refuses("\"\xe0\x9f\xbf\"", "UTF-8");     /* overlong */
    refuses("\"\xed\xa0\x80\"", "UTF-8");     /* a surrogate */
    refuses("\"\xf0\x8f\xbf\xbf\"", "UTF-8"); /* overlong */
    refuses("\"\xf4\x90\x80\x80\"", "UTF-8"); /* above U+10FFFF */
    refuses("\"\xff\"", "UTF-8");
    refuses("\"\xe2\x82", "UTF-8");
    refuses("\"\\ud800\"", "syntax error"); /* half a surrogate pair */
    refuses("\"\\ud800\\u0041\"", "syntax error");
    refuses("\"\\x\"", "syntax error");
    refuses("\"a\tb\"", "control character");
    refuses("\"abc", "has no end");
    refuses("\"abc\\\"", "has no end");
    refuses("\"abc\\", "has no end");
    refuses("[1,", "ends inside an array");
    refuses("{\"1\":1,", "ends inside an object");
    refuses("[1}", "closes what was not opened");
    refuses("]", "closes what was not opened");
    refuses("{\"a\":1,}", "syntax error");
    refuses("[1,]", "syntax error");
    refuses("[1 2]", "syntax error");
    refuses("{1:2}", "syntax error");
    refuses("{\"a\" 1}", "syntax error");
    refuses("[nul]", "syntax error");
    refuses("[NaN]", "unexpected character");
    refuses("[Infinity]", "unexpected character");
    refuses("['a']", "unexpected character");
    refuses("[1, // no\n2]", "unexpected character");
    refuses("[\x0b" "1]", "unexpected character");
    refuses("[01]", "malformed number");
    refuses("[1.]", "malformed number");
    refuses("[.5]", "unexpected character");
    refuses("[-]", "malformed number");
    refuses("[+1]", "unexpected character");
    refuses("[1e]", "malformed number");
    refuses("[1e+]", "malformed number");
    refuses("[0x10]", "syntax error");
    refuses("[0.1234567890123456789012345678901234567890123456789012345678901234]", "63 characters");
}

static void nesting_stops_at_64(void **state)
{
    (void)state;
    char text[256];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    accepts(text);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = 0;
    refuses(text, "nested more than 64 deep");
    char *deep = malloc(1 << 20);
    assert_non_null(deep);
    memset(deep, '[', 1 << 20);
    refuses_bytes(deep, 1 << 20, "nested more than 64 deep");
    free(deep);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    ash_error err;
    cJSON *json;
    assert_int_equal(ash_json_parse("[1, 2]", 6, 5, &json, &err), ASH_E_LIMIT);
    assert_null(json);
    assert_int_equal(ash_json_parse("[1, 2]", 6, 6, &json, &err), ASH_OK);
    cJSON_Delete(json);
    /* Nine million zeros take 18 MB and would cost 700 MB as a tree. */
    size_t size = 18u << 20;
    char *zeros = malloc(size);
    assert_non_null(zeros);
    for (size_t i = 0; i < size; i += 2)
        memcpy(zeros + i, "0,", 2);
    zeros[0] = '[';
    assert_int_equal(ash_json_parse(zeros, size, LIMIT, &json, &err), ASH_E_LIMIT);
    assert_non_null(strstr(err.text, "values"));
    free(zeros);
}

/* An object of `count` keys; with `twice`, its last key repeats the one in the middle. */
static char *large_object(size_t count, bool twice, size_t *size)
{
    char *text = malloc(count * 40 + 16), *p = text;
    assert_non_null(text);
    *p++ = '{';
    for (size_t i = 0; i < count; i++) /* equal first eight bytes: every comparison looks at the rest */
        p += sprintf(p, "%s\"same front %zu\":%zu", i ? ", " : "", twice && i + 1 == count ? count / 2 : i, i);
    *p++ = '}';
    *size = (size_t)(p - text);
    return text;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void large_objects_cost_no_quadratic_time(void **state)
{
    (void)state;
    ash_error err;
    cJSON *json;
    size_t size;
    char *text = large_object(200000, false, &size);
    double start = seconds();
    assert_ok(ash_json_parse(text, size, LIMIT, &json, &err), &err);
    double spent = seconds() - start;
    print_message("# measure 200000 keys, %.1f MB: %.3f s\n", (double)size / 1e6, spent);
    cJSON_Delete(json);
    free(text);
    /* Pairwise comparison would take 2 * 10^10 steps, over 10 s anywhere; sorting takes 0.1 s, and 10 times that under
     * a sanitizer on a busy machine. */
    assert_true(spent < 5);
    text = large_object(200000, true, &size);
    assert_int_equal(ash_json_parse(text, size, LIMIT, &json, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "\"same front 100000\" stands twice"));
    free(text);
}

static void files_are_named_in_errors(void **state)
{
    (void)state;
    ash_error err;
    cJSON *json;
    char *path = test_path("config.json");
    test_write_file(path, "{\"a\":1,\"a\":2}", 13);
    assert_int_equal(ash_json_read_file(path, LIMIT, &json, &err), ASH_E_FORMAT);
    assert_null(json);
    assert_non_null(strstr(err.text, "config.json"));
    assert_non_null(strstr(err.text, "twice"));
    assert_int_equal(ash_json_read_file(path, 12, &json, &err), ASH_E_LIMIT);
    assert_non_null(strstr(err.text, "config.json"));
    test_write_file(path, "{\"a\":1}", 7);
    assert_ok(ash_json_read_file(path, LIMIT, &json, &err), &err);
    cJSON_Delete(json);
    free(path);
    path = test_path("absent.json");
    assert_int_equal(ash_json_read_file(path, LIMIT, &json, &err), ASH_E_IO);
    assert_non_null(strstr(err.text, "absent.json"));
    free(path);
}

/* Every prefix of a document is refused, and none is read beyond its end. */
static void truncated_documents(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\u00e9\": [1, -2.5e3, true, null, \"x\\n\xc3\xa9\"], \"b\": {\"c\": false}}";
    for (size_t n = 0; n + 1 < sizeof text; n++) {
        ash_error err;
        cJSON *json;
        if (parse(text, n, &json, &err) == ASH_OK)
            fail_msg("the first %d bytes are accepted", (int)n);
    }
    accepts(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_documents),
        cmocka_unit_test(values_and_lookups),
        cmocka_unit_test(integers_are_exact_up_to_2_to_the_53),
        cmocka_unit_test(hostile_documents_are_refused_by_name),
        cmocka_unit_test(nesting_stops_at_64),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(large_objects_cost_no_quadratic_time),
        cmocka_unit_test(files_are_named_in_errors),
        cmocka_unit_test(truncated_documents),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
