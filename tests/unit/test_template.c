/* Chat templates: every real template and every snippet of the fixtures gives jinja2's bytes. */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "runtime/template/template.h"

#define NOW 1721999109 /* the fixtures' time */

static cJSON *read_fixture(const char *path)
{
    size_t size;
    char *text = (char *)test_read_file(path, &size);
    cJSON *json = cJSON_ParseWithLength(text, size); /* not ash_json_parse: strings here hold what it refuses */
    if (!json)
        fail_msg("%s is no JSON", path);
    free(text);
    return json;
}

/* Compiles and renders; the output's spans must cover it and alternate. */
static ash_status render(const char *text, const cJSON *variables, ash_template_output *out, ash_error *err)
{
    ash_template *t;
    ash_template_input in = { .variables = variables, .bos_token = "<s>", .eos_token = "</s>", .now = NOW };
    *out = (ash_template_output){ 0 };
    ash_status status = ash_template_compile(text, strlen(text), &t, err);
    if (status != ASH_OK) {
        assert_null(t);
        return status;
    }
    status = ash_template_render(t, &in, out, err);
    ash_template_free(t);
    if (status != ASH_OK) {
        assert_null(out->text);
        return status;
    }
    size_t at = 0;
    for (size_t i = 0; i < out->span_count; i++) {
        assert_true(out->spans[i].end > at && (i == 0 || out->spans[i].input != out->spans[i - 1].input));
        at = out->spans[i].end;
    }
    assert_int_equal(at, out->bytes);
    return ASH_OK;
}

/* One line on the first difference: what comes out of templates has lines of its own, and may be long. */
static void show(const char *name, const char *gives, const char *wanted)
{
    size_t at = 0;
    while (gives[at] && gives[at] == wanted[at])
        at++;
    at = at < 20 ? 0 : at - 20;
    char line[400];
    snprintf(line, sizeof line, "%.100s: at byte %zu gives \"%.60s\", wanted \"%.60s\"", name, at, gives + at,
             wanted + at);
    for (char *c = line; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    print_message("# %s\n", line);
}

/* `wanted`: a string, null for an error, {"raised": message} for what raise_exception says. */
static int check(const char *name, const char *text, const cJSON *variables, const cJSON *wanted)
{
    ash_template_output out;
    ash_error err = { 0 };
    ash_status status = render(text, variables, &out, &err);
    const char *raised = ash_json_string(wanted, "raised");
    bool good = cJSON_IsString(wanted) ? status == ASH_OK && strcmp(out.text, wanted->valuestring) == 0 :
                raised ? status == ASH_E_ARGUMENT && strcmp(err.text, raised) == 0 :
                         status != ASH_OK && status != ASH_E_LIMIT && err.text[0];
    if (!good)
        show(name, status == ASH_OK ? out.text : err.text,
             cJSON_IsString(wanted) ? wanted->valuestring : raised ? raised : "an error");
    ash_template_output_free(&out);
    return good ? 0 : 1;
}

static void test_real_templates(void **state)
{
    (void)state;
    cJSON *fixture = read_fixture("tests/fixtures/templates.json");
    const cJSON *conversations = ash_json_get(fixture, "conversations"), *t;
    int wrong = 0, count = 0;
    cJSON_ArrayForEach(t, ash_json_get(fixture, "templates")) {
        const cJSON *wanted = ash_json_get(t, "renders")->child;
        for (const cJSON *c = conversations->child; c; c = c->next, wanted = wanted->next, count++) {
            char name[200];
            snprintf(name, sizeof name, "%s, %s", ash_json_string(t, "name"), ash_json_string(c, "name"));
            wrong += check(name, ash_json_string(t, "text"), ash_json_get(c, "variables"), wanted);
        }
    }
    assert_true(count >= 20 * 15);
    assert_int_equal(wrong, 0);
    cJSON_Delete(fixture);
}

static void test_snippets(void **state)
{
    (void)state;
    cJSON *fixture = read_fixture("tests/fixtures/template_snippets.json");
    const cJSON *variables = ash_json_get(fixture, "variables"), *c;
    int wrong = 0, count = 0;
    cJSON_ArrayForEach(c, ash_json_get(fixture, "cases")) {
        wrong += check(c->child->valuestring, c->child->valuestring, variables, c->child->next);
        count++;
    }
    assert_true(count > 1000);
    assert_int_equal(wrong, 0);
    cJSON_Delete(fixture);
}

static void expect_error(const char *text, ash_status wanted, const char *says)
{
    ash_template_output out;
    ash_error err = { 0 };
    ash_status status = render(text, NULL, &out, &err);
    ash_template_output_free(&out);
    if (status != wanted || !strstr(err.text, says) || strchr(err.text, '\n'))
        fail_msg("%s: %d \"%s\", wanted %d \"%s\"", text, (int)status, err.text, (int)wanted, says);
}

static void test_errors_name_line_and_cause(void **state)
{
    (void)state;
    expect_error("a\nb\n{% if x %}\n", ASH_E_FORMAT, "endif is expected");
    expect_error("a\n{{ 1 +\n }}", ASH_E_FORMAT, "line 3: }} where an expression is expected");
    expect_error("\n\n{{ 1 | nothing }}", ASH_E_UNSUPPORTED, "line 3: no filter named 'nothing'");
    expect_error("{{ 1 is nothing }}", ASH_E_UNSUPPORTED, "line 1: no test named 'nothing'");
    expect_error("{% include 'x' %}", ASH_E_UNSUPPORTED, "'include'");
    expect_error("{% extends 'x' %}", ASH_E_UNSUPPORTED, "'extends'");
    expect_error("{% import 'x' as y %}", ASH_E_UNSUPPORTED, "'import'");
    expect_error("\n{{ nobody.name }}", ASH_E_FORMAT, "line 2: 'nobody' is undefined");
    expect_error("{% set d = {} %}\n{{ d.a.b }}", ASH_E_FORMAT, "line 2: 'dict object' has no attribute 'a'");
    expect_error("{{ [].append(1) }}", ASH_E_FORMAT, "'append' of 'list' object is unsafe");
    expect_error("{{ ''.__class__.__mro__ }}", ASH_E_FORMAT, "'__class__' of 'str' object is unsafe");
    expect_error("{{ raise_exception('No \"tools\" here') }}", ASH_E_ARGUMENT, "No \"tools\" here");
    expect_error("{% break %}", ASH_E_FORMAT, "outside of a for loop");
    expect_error("{{ 9223372036854775807 + 1 }}", ASH_E_LIMIT, "64 bits");
    expect_error("{{ 99999999999999999999 }}", ASH_E_FORMAT, "64 bits");
    expect_error("{{ 'ab'[0, 1:2] }}", ASH_E_UNSUPPORTED, "among several subscripts");
    expect_error("{{ 'ab'[1:2, 0] }}", ASH_E_UNSUPPORTED, "among several subscripts");
    expect_error("{% endfor %}", ASH_E_FORMAT, "unexpected tag 'endfor'");
}

/* A template is used by several renderings, and a value that one sets is not seen by the next. */
static void test_rendering_leaves_the_template_alone(void **state)
{
    (void)state;
    static const char text[] = "{{ x is defined }}{% set x = 'é' %}{% set ns = namespace(a='b') %}"
                               "{% set ns.a = ns.a + 'c' %}{{ ns.a }}{{ 'äb'|length }}{{ 'ab' + 'c' }}";
    ash_template *t;
    ash_error err = { 0 };
    assert_ok(ash_template_compile(text, strlen(text), &t, &err), &err);
    for (int i = 0; i < 3; i++) {
        ash_template_input in = { 0 };
        ash_template_output out;
        assert_ok(ash_template_render(t, &in, &out, &err), &err);
        assert_string_equal(out.text, "Falsebc2abc");
        ash_template_output_free(&out);
    }
    ash_template_free(t);
}

/* Bytes that are no UTF-8, and NULs, pass through. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char text[] = "a\0b\xff{{ 'c\xc3' | upper }}\xe4{{ '\xf0\x9f' | length }}{{ '\xff\xfe'[::-1] }}";
    ash_template *t;
    ash_template_input in = { 0 };
    ash_template_output out;
    ash_error err = { 0 };
    assert_ok(ash_template_compile(text, sizeof text - 1, &t, &err), &err);
    assert_ok(ash_template_render(t, &in, &out, &err), &err);
    assert_int_equal(out.bytes, 10);
    assert_memory_equal(out.text, "a\0b\xff" "C\xc3\xe4" "2\xfe\xff", 10);
    ash_template_output_free(&out);
    ash_template_free(t);
    assert_ok(ash_template_compile("", 0, &t, &err), &err);
    assert_ok(ash_template_render(t, &in, &out, &err), &err);
    assert_int_equal(out.bytes + out.span_count, 0);
    assert_string_equal(out.text, "");
    ash_template_output_free(&out);
    ash_template_free(t);
}

/* Every prefix of a template that uses most of the language, and the template without any one byte, is understood or
 * refused; nothing is read behind its end. */
static void test_broken_templates(void **state)
{
    (void)state;
    static const char whole[] =
        "{% macro m(a, b=1, *x) %}{% endmacro %}{%- macro n(a, b='c') -%}{{ a ~ b[1:] }}{% endmacro %}{# c #}"
        "{% for k, v in d.items() if k is not none recursive %}{{ loop.index }}{% else %}{% break %}{% endfor %}"
        "{% set x | upper %}q{% endset %}{% call(z) n(1, *[2], **{'c': 3}) %}{{ z }}{% endcall %}"
        "{% raw %}{{{% endraw %}"
        "{{ (1 + 2.5e3 * 'a\\n\\x41' if not a in [1, (2,)] else {'k': -1 // 2})|tojson(indent=2) is eq 'x' }}";
    for (size_t n = 0; n < sizeof whole; n++)
        for (int cut = 0; cut < 2; cut++) {
            size_t size = cut ? sizeof whole - 2 : n;
            if (cut && n >= sizeof whole - 1)
                continue;
            char *exact = malloc(size ? size : 1);
            memcpy(exact, whole, n);
            if (cut)
                memcpy(exact + n, whole + n + 1, size - n);
            ash_template *t;
            ash_template_input in = { 0 };
            ash_template_output out;
            ash_error err = { 0 };
            if (ash_template_compile(exact, size, &t, &err) == ASH_OK) {
                if (ash_template_render(t, &in, &out, &err) == ASH_OK)
                    ash_template_output_free(&out);
                ash_template_free(t);
            }
            free(exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_templates),
        cmocka_unit_test(test_snippets),
        cmocka_unit_test(test_errors_name_line_and_cause),
        cmocka_unit_test(test_rendering_leaves_the_template_alone),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_broken_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
