/* Chat templates that loop, recurse, or build gigabytes end with ASH_E_LIMIT, and soon. */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/json.h"
#include "runtime/template/eval.h"

/* Wall clock on a machine that others share; every case here takes well under a second alone. Under a sanitizer, which
 * is 20 times slower, fewer steps are allowed: which bound is met first may differ then. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECONDS_MAX 60.0
#define STEPS_MAX 1200000
#define MEMORY ""
#define OUTPUT ""
#else
#define SECONDS_MAX 5.0
#define STEPS_MAX TEMPLATE_STEPS_MAX
#define MEMORY "memory"
#define OUTPUT "text of more"
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void expect_limit(const char *text, const char *says)
{
    ash_template *t;
    ash_template_input in = { 0 };
    ash_template_output out = { 0 };
    ash_error err = { 0 };
    double start = now();
    ash_status status = ash_template_compile(text, strlen(text), &t, &err);
    if (status == ASH_OK)
        status = ash_template_render_within(t, &in, STEPS_MAX, &out, &err);
    double took = now() - start;
    if (status != ASH_E_LIMIT || !strstr(err.text, says))
        fail_msg("%.200s: %d \"%s\", wanted the limit \"%s\"", text, (int)status, err.text, says);
    if (took > SECONDS_MAX)
        fail_msg("%.200s: took %.1f s", text, took);
    assert_null(out.text);
    ash_template_free(t);
}

static char *repeat(const char *front, const char *unit, size_t count, const char *back)
{
    size_t n = strlen(unit);
    char *text = malloc(strlen(front) + n * count + strlen(back) + 1), *p = stpcpy(text, front);
    for (size_t i = 0; i < count; i++)
        p = stpcpy(p, unit);
    strcpy(p, back);
    return text;
}

#define LOOP(body) "{% for a in range(100000) %}{% for b in range(100000) %}" body "{% endfor %}{% endfor %}"

static void test_endless(void **state)
{
    (void)state;
    expect_limit(LOOP(""), "steps");
    expect_limit(LOOP("{{ a }}"), "steps");
    expect_limit("{% for a in range(100000) %}{% set x = range(100000) | list %}{% endfor %}", "");
    expect_limit("{% for a in range(100000) %}{{ range(100000) | sum }}{% endfor %}", "");
    expect_limit("{% for a in range(100000) %}{{ 5 in range(100000) }}{% endfor %}", "");
    expect_limit("{% set s = 'ab' * 1000000 %}" LOOP("{{ 'c' in s }}"), "steps");
    expect_limit("{% set s = 'ab' * 1000000 %}" LOOP("{{ (s + 'c') == (s + 'd') }}"), "");
    expect_limit("{% set s = 'ab' * 1000000 %}" LOOP("{% set y = s.rfind('aba' * 1000) %}"), "steps");
    expect_limit("{% set s = 'é ' * 1000000 %}" LOOP("{% set y = s[-1] %}"), "steps");
    expect_limit("{% set s = 'é ' * 1000000 %}" LOOP("{% set y = s.split() | length %}"), "");
    expect_limit("{% set s = 'aé' * 1000000 %}" LOOP("{% set y = s is lower %}"), "steps");
    expect_limit("{% set s = 'aé' * 1000000 %}" LOOP("{% set y = s.find('é', 5) %}"), "steps");
    expect_limit("{% set m = range(3000) | map('string') | list %}" LOOP("{{ m | unique | list }}"), "");
    expect_limit("{% set s = ' ' * 1000000 %}" LOOP("{% set y = s | trim %}"), "steps");
}

static void test_recursion(void **state)
{
    (void)state;
    expect_limit("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "evaluations");
    expect_limit("{% macro f(n) %}{{ g(n) }}{% endmacro %}{% macro g(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
                 "evaluations");
    expect_limit("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}", "evaluations");
    expect_limit("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", "");
    expect_limit("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "evaluations");
    expect_limit("{% macro f() %}{% call f() %}{{ caller }}{% endcall %}{% endmacro %}{{ f() }}", "evaluations");
    expect_limit("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", "evaluations");
    expect_limit("{% set ns = namespace(a=[]) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns }}",
                 "evaluations");
    expect_limit("{% set ns = namespace(a=[]) %}{% for i in range(10000) %}{% set ns.a = [ns.a] %}{% endfor %}"
                 "{{ ns.a | tojson }}", "deep");
    expect_limit("{% set ns = namespace(a=[], b=[]) %}{% for i in range(10000) %}{% set ns.a = [ns.a] %}"
                 "{% set ns.b = [ns.b] %}{% endfor %}{{ ns.a == ns.b }}", "evaluations");
    expect_limit("{% set ns = namespace(a=[], b=[]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
                 "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}", "steps");
    expect_limit("{% set ns = namespace(a=1) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}"
                 "{{ ns.a | tojson }}", "");
}

static void test_growth(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "ns.s + ns.s", "ns.s ~ ns.s", "ns.s * 2", "ns.s.replace('a', 'aa')", "[ns.s, ns.s] | join",
        "'%s%s' % (ns.s, ns.s)", "'{0}{0}'.format(ns.s)", "ns.s | replace('', 'a')", "ns.s.center(ns.s | length * 2)",
        "ns.s | indent(ns.s | length, true)",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[300];
        snprintf(text, sizeof text, "{%% set ns = namespace(s='aaaa') %%}{%% for i in range(100) %%}"
                 "{%% set ns.s = %s %%}{%% endfor %%}", bodies[i]);
        expect_limit(text, "");
    }
    expect_limit("{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}", "");
    expect_limit("{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l * 2 %}{% endfor %}", "");
    expect_limit("{{ 'a' * 9223372036854775807 }}", "MiB");
    expect_limit("{{ [1] * 9223372036854775807 }}", "items");
    expect_limit("{{ 'a'.ljust(9223372036854775807) }}", "padded");
    expect_limit("{{ '%9999999999d' % 1 }}", "width");
    expect_limit("{{ '{:9999999999}'.format(1) }}", "width");
    expect_limit("{{ '%.*f' % (99999, 1.5) }}", "digits");
    expect_limit("{{ range(100001) | list }}", "range");
    expect_limit("{{ range(-9223372036854775807, 9223372036854775807) | list }}", "range");
    expect_limit("{% set s = 'a' * 1000000 %}" LOOP("{{ s }}"), OUTPUT);
    expect_limit("{% set s = 'a' * 1000000 %}" LOOP("{% set t %}{{ s }}{% endset %}"), MEMORY);
    expect_limit("{{ 'a'.expandtabs(9999999) }}", "expandtabs");
    expect_limit("{{ [1] | batch(99999999999, 1) | list }}", "steps");
    expect_limit("{{ [1] | slice(99999999999) | list }}", "steps");
    expect_limit("{{ 9 ** 9 ** 9 }}", "64 bits");
}

static void test_deep_source(void **state)
{
    (void)state;
    const char *const units[][3] = {
        { "{{ ", "(", "" }, { "{{ ", "[", "" }, { "{{ ", "{1:", "" }, { "{{ ", "-", "1 }}" }, { "{{ ", "not ", "1 }}" },
        { "{{ 1", " + 1", " }}" }, { "{{ a", ".b", " }}" }, { "{{ a", "[0]", " }}" }, { "{{ a", "()", " }}" },
        { "{{ a", "|trim", " }}" }, { "{{ a", " and a", " }}" }, { "{{ a ", "if a else a ", " }}" },
        { "", "{% if a %}", "" }, { "", "{% for a in b %}", "" }, { "", "{% macro f() %}", "" },
        { "", "{% filter trim %}", "" }, { "{% filter trim", "|trim", " %}{% endfilter %}" },
        { "{{ 1", " < 1", " }}" }, { "{{ 2", " ** 2", " }}" }, { "{% set ", "(", "" },
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char *text = repeat(units[i][0], units[i][1], 20000, units[i][2]);
        expect_limit(text, "");
        free(text);
    }
    char *large = repeat("", "a", (1 << 20) + 1, "");
    expect_limit(large, "bytes");
    free(large);
}

/* Long but flat sources are no reason to refuse. */
static void test_long_source(void **state)
{
    (void)state;
    const char *const units[][3] = {
        { "{{ [", "1,", "] | length }}" }, { "{{ 'a'", " ~ 'a'", " }}" }, { "", "{{ 1 }}", "" },
        { "", "{% if a %}{% endif %}", "" },
        { "{% if a %}", "{% elif a %}", "{% endif %}" }, { "{{ 'a'", " 'a'", "}}" }, { "{{ {", "1:1,", "} }}" },
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char *text = repeat(units[i][0], units[i][1], 20000, units[i][2]);
        ash_template *t;
        ash_template_input in = { 0 };
        ash_template_output out;
        ash_error err = { 0 };
        assert_ok(ash_template_compile(text, strlen(text), &t, &err), &err);
        assert_ok(ash_template_render(t, &in, &out, &err), &err);
        ash_template_output_free(&out);
        ash_template_free(t);
        free(text);
    }
}

/* A text grown piece by piece in a loop is linear work: 100,000 pieces stay far from every bound. */
static void test_growing_is_linear(void **state)
{
    (void)state;
    static const char text[] = "{% set ns = namespace(s='') %}{% for i in range(100000) %}"
                               "{% set ns.s = ns.s + 'abcdefgh' + 'ijklmnop' %}{% endfor %}{{ ns.s | length }}";
    ash_template *t;
    ash_template_input in = { 0 };
    ash_template_output out;
    ash_error err = { 0 };
    assert_ok(ash_template_compile(text, strlen(text), &t, &err), &err);
    assert_ok(ash_template_render(t, &in, &out, &err), &err);
    assert_string_equal(out.text, "1600000");
    ash_template_output_free(&out);
    ash_template_free(t);
}

static void test_deep_variables(void **state)
{
    (void)state;
    cJSON *root = cJSON_CreateObject(), *inner = cJSON_CreateArray();
    for (int i = 0; i < 500; i++) {
        cJSON *outer = cJSON_CreateArray();
        cJSON_AddItemToArray(outer, inner);
        inner = outer;
    }
    cJSON_AddItemToObject(root, "a", inner);
    ash_template *t;
    ash_template_input in = { .variables = root };
    ash_template_output out;
    ash_error err = { 0 };
    assert_ok(ash_template_compile("{{ a }}", 7, &t, &err), &err);
    assert_int_equal(ash_template_render(t, &in, &out, &err), ASH_E_LIMIT);
    assert_non_null(strstr(err.text, "variables nest"));
    ash_template_free(t);
    cJSON_Delete(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_deep_source),
        cmocka_unit_test(test_long_source),
        cmocka_unit_test(test_growing_is_linear),
        cmocka_unit_test(test_deep_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
