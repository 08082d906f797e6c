/* The picture that make roofline draws: one XML document, with what it should show. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "tests/gfx12/roofline/roofline.h"

/* Heads of 64, two of queries to one of keys. */
static const ash_hparams small = { .architecture = "llama", .layers = 1, .hidden = 256, .ffn = 768, .heads = 4,
                                   .kv_heads = 2, .head_dim = 64, .rope_dim = 64, .vocab = 256, .norm_eps = 1e-5f,
                                   .context = 512 };

static uint32_t count_of(const char *text, const char *what)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* The end of an element's attributes, NAME="VALUE" each. */
static const char *skip_attributes(const char *at)
{
    while (*at == ' ') {
        size_t name = strcspn(++at, "=<> \"");
        if (name == 0 || strncmp(at + name, "=\"", 2) != 0)
            return NULL;
        at += name + 2;
        at += strcspn(at, "\"<");
        if (*at++ != '"')
            return NULL;
    }
    return at;
}

/* Whether all of it is one XML element, of elements, text and the predefined entities. */
static bool is_xml(const char *at)
{
    char open[16][16];
    size_t depth = 0;
    do {
        if (*at == '&') {
            if (strncmp(at, "&amp;", 5) != 0 && strncmp(at, "&lt;", 4) != 0 && strncmp(at, "&gt;", 4) != 0)
                return false;
            at++;
            continue;
        }
        if (*at != '<') {
            if (depth == 0 || *at == '\0' || *at == '>')
                return false;
            at++;
            continue;
        }
        bool ends = at[1] == '/';
        at += ends ? 2 : 1;
        size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        if (name == 0 || name > 15)
            return false;
        if (ends) {
            if (depth == 0 || strlen(open[depth - 1]) != name || strncmp(open[depth - 1], at, name) != 0 ||
                at[name] != '>')
                return false;
            depth--;
            at += name + 1;
            continue;
        }
        if (depth == 16)
            return false;
        snprintf(open[depth], sizeof open[depth], "%.*s", (int)name, at);
        if (!(at = skip_attributes(at + name)))
            return false;
        if (*at == '/')
            at++;
        else
            depth++;
        if (*at++ != '>')
            return false;
    } while (depth > 0);
    return strspn(at, "\n") == strlen(at);
}

static void test_xml(void **state)
{
    (void)state;
    assert_true(is_xml("<a b=\"c\"><d/>e &lt; f<g>h</g></a>\n"));
    static const char *const bad[] = { "", "a", "<a>", "<a></b>", "<a b=c></a>", "<a b=\"c></a>", "<a>&</a>",
                                       "<a></a><b/>", "<a><b></a></b>", "<a>></a>" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (is_xml(bad[i]))
            fail_msg("%s", bad[i]);
}

/* A bar for each pass, of as many pieces as its launches fall into, and a point for each kernel that multiplies. */
static void test_picture(void **state)
{
    (void)state;
    roof_result *r = calloc(2, sizeof *r);
    const ash_gfx_kernel *kernels[2 * ROOF_LAUNCHES];
    uint32_t points = 0, bars = 0;
    for (int p = 0; p < 2; p++) {
        r[p].work = p ? ROOF_PREFILL : ROOF_DECODE;
        r[p].model = "small";
        r[p].type = p ? "fp8 & <q4_k>" : "q4_k_m"; /* text that has to be escaped */
        r[p].tokens = p ? 75 : 1;
        r[p].layers = small.layers;
        if (p)
            roof_prefill(&small, "fp8", 75, &r[p].list);
        else
            roof_decode(&small, "q4_k_m", 100, &r[p].list);
        roof_run(&r[p]);
        assert_true(r[p].whole);
        for (uint32_t i = 0; i < r[p].list.count; i++) {
            const roof_launch *l = &r[p].list.launch[i];
            uint32_t k = 0;
            while (k < points && strcmp(kernels[k]->symbol, l->kernel->symbol) != 0)
                k++;
            if (l->products > 0 && k == points)
                kernels[points++] = l->kernel;
        }
        bars += 9; /* q k v, attention, o, gate up, down, output, the rest, ramps, launches */
    }
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    roof_svg(to, r, 2);
    fclose(to);
    if (!is_xml(text))
        fail_msg("no XML: %s", text);
    assert_true(points > 4);
    assert_int_equal(count_of(text, "<circle "), points);
    assert_int_equal(count_of(text, "</rect>"), bars); /* those with a title */
    assert_int_equal(count_of(text, "height=\"18\""), bars);
    assert_int_equal(count_of(text, "width=\"0.00\""), 0); /* every piece has launches */
    assert_int_equal(count_of(text, ">fp8 &amp; "), 0);
    assert_int_equal(count_of(text, "small fp8 &amp; &lt;q4_k&gt;"), 1);
    assert_int_equal(count_of(text, "nan"), 0);
    free(text);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_xml), cmocka_unit_test(test_picture) };
    return cmocka_run_group_tests_name("gfx12_picture", tests, NULL, NULL);
}
