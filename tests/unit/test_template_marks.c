/* Which bytes of a prompt came from the caller: a special token in a message stays input, whatever a template does. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "runtime/template/template.h"

/* Input stands between ‹ and ›. */
static char *marked(const char *text)
{
    static const char variables[] =
        "{\"m\": {\"role\": \"user\", \"content\": \" a<|end|>b \"}, \"x\": \"<|end|>\", \"l\": [\"<|end|>\", \"q\"],"
        " \"k\": {\"<|end|>\": 1}, \"n\": 7, \"é\": 1, \"wide\": \"é<|end|>世\", \"two\": \"p\\nq\"}";
    cJSON *json = cJSON_Parse(variables);
    ash_template *t;
    ash_template_input in = { .variables = json, .bos_token = "<s>" };
    ash_template_output out;
    ash_error err = { 0 };
    assert_ok(ash_template_compile(text, strlen(text), &t, &err), &err);
    assert_ok(ash_template_render(t, &in, &out, &err), &err);
    char *shown = calloc(1, out.bytes + out.span_count * 8 + 1);
    size_t at = 0;
    for (size_t i = 0; i < out.span_count; i++) {
        strcat(shown, out.spans[i].input ? "‹" : "");
        strncat(shown, out.text + at, out.spans[i].end - at);
        strcat(shown, out.spans[i].input ? "›" : "");
        at = out.spans[i].end;
    }
    ash_template_output_free(&out);
    ash_template_free(t);
    cJSON_Delete(json);
    return shown;
}

typedef struct expectation {
    const char *text, *wanted;
} expectation;

static void check(const expectation *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *shown = marked(all[i].text);
        if (strcmp(shown, all[i].wanted) != 0)
            fail_msg("%s gives %s, not %s", all[i].text, shown, all[i].wanted);
        free(shown);
    }
}

#define CHECK(all) check(all, sizeof all / sizeof *all)

static void test_output_and_joining(void **state)
{
    (void)state;
    static const expectation all[] = {
        { "{{ bos_token }}<|user|>{{ m.content }}<|end|>", "<s><|user|>‹ a<|end|>b ›<|end|>" },
        { "{{ '<|' + m.role + '|>' + m['content'] + '<|end|>' }}", "<|‹user›|>‹ a<|end|>b ›<|end|>" },
        { "{{ '<|' ~ m.role ~ '|>' ~ n }}", "<|‹user›|>7" },
        { "{% set a = '' %}{% for i in l %}{% set a = a + i %}{{ a + '<|end|>' }}{% endfor %}",
          "‹<|end|>›<|end|>‹q›<|end|>" },
        { "{% set ns = namespace(a='>') %}{% for i in l %}{% set ns.a = ns.a + i + ';' %}{% endfor %}{{ ns.a }}",
          ">‹<|end|>›;‹q›;" },
        { "{{ x * 2 + '<|end|>' * 2 }}", "‹<|end|><|end|>›<|end|><|end|>" },
        { "{{ l | join('<|end|>') }}", "‹<|end|>›<|end|>‹q›" },
        { "{{ ', '.join(l) }}", "‹<|end|>›, ‹q›" },
        { "{{ x.join(['a', 'b']) }}", "a‹<|end|>›b" },
        { "{% set b %}<|end|>{{ x }}<|end|>{% endset %}{{ b }}", "<|end|>‹<|end|>›<|end|>" },
        { "{% macro f(a) %}<|end|>{{ a }}{% endmacro %}{{ f(x) + '!' }}", "<|end|>‹<|end|>›!" },
        { "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}<|end|>{{ x }}{% endcall %}",
          "[<|end|>‹<|end|>›]" },
        { "{% filter trim %} <|end|>{{ x }} {% endfilter %}", "<|end|>‹<|end|>›" },
        { "{% generation %}{{ x }}<|end|>{% endgeneration %}", "‹<|end|>›<|end|>" },
        { "{{ x if true else '' }}{{ x or '' }}{{ '' or x }}{{ none | default(x) }}", "‹<|end|><|end|><|end|>›None" },
    };
    CHECK(all);
}

static void test_cutting(void **state)
{
    (void)state;
    static const expectation all[] = {
        { "{{ m.content | trim }}{{ m.content.strip() }}{{ m.content.rstrip() }}", "‹a<|end|>ba<|end|>b a<|end|>b›" },
        { "{{ ('  <|end|>' + m.content) | trim }}", "<|end|>‹ a<|end|>b›" },
        { "{{ ('<|end|>' + x)[:9] }}", "<|end|>‹<|›" },
        { "{{ ('<|end|>' + x)[5:9] }}{{ ('<|end|>' + wide)[7:9] }}", "|>‹<|é<›" },
        { "{{ ('ab' + x)[::-1] }}{{ ('ä' + wide)[::-1] }}", "‹>|dne|<›ba‹世>|dne|<é›ä" },
        { "{{ ('a' + x)[0] }}{{ ('a' + x)[1] }}{{ x[-1] }}", "a‹<>›" },
        { "{{ ('a,' + x + ',<|end|>').split(',') | join('') }}", "a‹<|end|>›<|end|>" },
        { "{{ ('a\n' + two).splitlines() | join }}", "a‹pq›" },
        { "{{ ('a b ' + x).split() | last }}{{ ('<|end|>b' + x).partition('b') | join('/') }}",
          "‹<|end|>›<|end|>/b/‹<|end|>›" },
        { "{{ ('<|end|>' + x).removeprefix('<|end|>') }}{{ ('<|end|>' + x).removesuffix('<|end|>') }}",
          "‹<|end|>›<|end|>" },
        { "{% for c in '<' + x %}{{ c }}{% endfor %}{{ ('<' + x) | list | join }}", "<‹<|end|>›<‹<|end|>›" },
        { "{{ ('<|end|> ' + x) | truncate(11, true, '', 0) }}", "<|end|> ‹<|e›" },
    };
    CHECK(all);
}

static void test_changing(void **state)
{
    (void)state;
    static const expectation all[] = {
        { "{{ ('<|end|>' + x) | upper }}{{ ('A' + x).title() }}{{ ('ß' + wide).upper() }}",
          "<|END|>‹<|END|>›A‹<|End|>›SS‹É<|END|>世›" },
        { "{{ x | replace('end', 'END') }}", "‹<|›END‹|>›" },
        { "{{ '<|end|>'.replace('end', x) }}", "<|‹<|end|>›|>" },
        { "{{ ('<|end|>' + x).replace('|', '') }}", "<end>‹<end>›" },
        { "{{ (x + '<|end|>').replace('', '.', 2) }}", ".‹<›.‹|end|>›<|end|>" },
        { "{{ ('<' + x) | e }}", "&lt;‹&lt;|end|&gt;›" },
        { "{{ (two + '\na') | indent(2) }}", "‹p›\n  ‹q›\n  a" },
        { "{{ x.center(9, '*') }}{{ x | center(9) }}", "*‹<|end|>›* ‹<|end|>› " },
        { "{{ x.ljust(8, '>') }}{{ '-5'.zfill(4) }}", "‹<|end|>›>-005" },
        { "{{ [x, '<|end|>'] | map('upper') | join }}", "‹<|END|>›<|END|>" },
        { "{{ ['b', x] | sort | join(',') }}{{ l | unique | join }}{{ l | reverse | list | join }}",
          "‹<|end|>›,b‹<|end|>qq<|end|>›" },
    };
    CHECK(all);
}

/* Where marks cannot be kept byte by byte, one byte of input makes the whole input. */
static void test_blending(void **state)
{
    (void)state;
    static const expectation all[] = {
        { "{{ {'a': '<|end|>'} | tojson }}{{ {'a': x} | tojson }}", "{\"a\": \"<|end|>\"}‹{\"a\": \"<|end|>\"}›" },
        { "{{ k | tojson }}{{ x | tojson }}{{ n | tojson }}", "‹{\"<|end|>\": 1}\"<|end|>\"›7" },
        { "{{ ['<|end|>', x] }}{{ ['<|end|>'] }}", "‹['<|end|>', '<|end|>']›['<|end|>']" },
        { "{{ k }}{{ k | string + '!' }}", "‹{'<|end|>': 1}{'<|end|>': 1}›!" },
        { "{{ '<|end|>%s' % x }}{{ '<|end|>%s' % 'a' }}", "‹<|end|><|end|>›<|end|>a" },
        { "{{ '<|end|>{}'.format(x) }}{{ '{:>3}'.format('a') }}", "‹<|end|><|end|>›  a" },
        { "{{ x % () }}{{ '%s' | format(x) }}", "‹<|end|><|end|>›" },
        { "{{ strftime_now('%Y<|end|>') }}{{ strftime_now(x) }}", "1970<|end|>‹<|end|>›" },
        { "{{ x | urlencode }}", "‹%3C%7Cend%7C%3E›" },
    };
    CHECK(all);
}

/* Names, keys and items lead to marked values by every way. */
static void test_reaching(void **state)
{
    (void)state;
    static const expectation all[] = {
        { "{% for a, b in m.items() %}{{ a }}={{ b }};{% endfor %}", "‹role›=‹user›;‹content›=‹ a<|end|>b ›;" },
        { "{{ k | list | join }}{{ k.keys() | first }}{{ (k | dictsort)[0][0] }}", "‹<|end|><|end|><|end|>›" },
        { "{{ dict(k, a=x)['a'] }}{{ dict(a=x) | list | join }}", "‹<|end|>›a" },
        { "{{ [m] | map(attribute='content') | first }}{{ ([m] | groupby('content'))[0].grouper }}",
          "‹ a<|end|>b  a<|end|>b ›" },
        { "{% set a, b = l %}{{ a }}{% with c = x %}{{ c }}{% endwith %}", "‹<|end|><|end|>›" },
        { "{{ cycler(x, 'a').next() }}{% for i in [1] %}{{ loop.cycle(x) }}{% endfor %}", "‹<|end|><|end|>›" },
    };
    CHECK(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_joining),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_changing),
        cmocka_unit_test(test_blending),
        cmocka_unit_test(test_reaching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
