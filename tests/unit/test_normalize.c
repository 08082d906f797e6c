/* Normalizing steps and character maps: worked cases (the values of the tokenizers and sentencepiece packages), what
 * stands where in a text, damaged maps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"
#include "tests/support/make_vocab.h"
#include "tests/support/support.h"

#define LOW "\u2581"
#define TEXT(t) .text = t, .size = sizeof(t) - 1
#define SECOND(t) .second = t, .second_size = sizeof(t) - 1

static char *normalize(const ash_vocab_source_step *step, const char *symbol, const char *text, size_t size,
                       ash_place *place, size_t *out_size)
{
    ash_error err = { 0 };
    size_t section_size;
    uint8_t *out, *section =
        make_vocab_of(&(vocab_spec){ .model = ASH_VOCAB_CHAR_BPE, .steps = step, .step_count = 1 }, &section_size);
    assert_non_null(section);
    ash_vocab v;
    ash_normalizer *n;
    ash_search *search;
    ash_added *item = calloc(1, sizeof *item);
    if (symbol)
        *item = (ash_added){ (const uint8_t *)symbol, NULL, strlen(symbol), 0, ASH_ADDED_SYMBOL };
    ash_added_set symbols;
    ash_added_set_make(&symbols, item, symbol ? 1 : 0);
    assert_ok(ash_vocab_open(section, section_size, &v, &err), &err);
    assert_ok(ash_normalizer_new(&v, &symbols, &n, &err), &err);
    assert_ok(ash_search_new(&search, &err), &err);
    assert_ok(ash_normalize(n, search, (const uint8_t *)text, size, place, &out, out_size, &err), &err);
    char *copy = malloc(*out_size + 1);
    memcpy(copy, out ? (char *)out : "", *out_size);
    copy[*out_size] = 0;
    free(out);
    ash_search_free(search);
    ash_normalizer_free(n);
    ash_added_set_free(&symbols);
    free(section);
    return copy;
}

static void expect(ash_vocab_source_step step, const char *symbol, ash_place place, const char *text, const char *want,
                   bool starts)
{
    size_t size;
    char *got = normalize(&step, symbol, text, strlen(text), &place, &size);
    if (size != strlen(want) || strcmp(got, want) != 0)
        fail_msg("step %u: \"%s\" becomes \"%s\", expected \"%s\"", step.kind, text, got, want);
    if (place.start != starts)
        fail_msg("step %u: \"%s\" %s its start", step.kind, text, starts ? "loses" : "keeps");
    free(got);
}

static const ash_place whole = { .start = true };

static void test_steps(void **state)
{
    (void)state;
    const ash_vocab_source_step prepend = { .kind = ASH_STEP_PREPEND, TEXT(LOW) };
    expect(prepend, NULL, whole, "a b", LOW "a b", true);
    expect(prepend, NULL, whole, "", "", true);
    expect(prepend, NULL, (ash_place){ .joined = true }, "a", "a", false);
    const ash_vocab_source_step spaces = { .kind = ASH_STEP_REPLACE, TEXT("\\s+"), SECOND(" ") };
    expect(spaces, NULL, whole, "a \t\n b", "a b", true);
    expect(spaces, NULL, whole, " \ta", " a", false); /* what comes in stands where the tab stood */
    expect(spaces, NULL, whole, "\ta", " a", true);
    const ash_vocab_source_step empty = { .kind = ASH_STEP_REPLACE, TEXT("b*"), SECOND("<>") };
    expect(empty, NULL, whole, "abbc", "<>a<>c<>", true);
    expect(empty, NULL, whole, "", "", true);
    const ash_vocab_source_step literal = { .kind = ASH_STEP_REPLACE, .flags = ASH_STEP_LITERAL, TEXT("a."), SECOND("") };
    expect(literal, NULL, whole, "aba.ca.", "abc", true);
    expect(literal, NULL, whole, "a.b", "b", false);
    const ash_vocab_source_step lower = { .kind = ASH_STEP_LOWERCASE };
    expect(lower, NULL, whole, "A\u0130\u03a3\u00c9\U00010400z\u1c89", "ai\u0307\u03c3\u00e9\U00010428z\u1c8a", true);
    const ash_vocab_source_step strip = { .kind = ASH_STEP_STRIP, .flags = ASH_STEP_LEFT | ASH_STEP_RIGHT };
    expect(strip, NULL, whole, "\u3000 a b\u00a0\n", "a b", false);
    expect(strip, NULL, whole, "a ", "a", true);
    expect(strip, NULL, whole, " \u2028 ", "", false);
    expect(strip, NULL, (ash_place){ .joined = true, .open = true }, " a ", " a ", false);
    expect((ash_vocab_source_step){ .kind = ASH_STEP_STRIP, .flags = ASH_STEP_RIGHT }, NULL, whole, " a ", " a", true);
    const ash_vocab_source_step accents = { .kind = ASH_STEP_STRIP_ACCENTS };
    expect(accents, NULL, whole, "e\u0301a\u0903\u20dd.", "ea.", true);
    expect(accents, NULL, whole, "\u0301e", "e", false);
}

static ash_vocab_source_step map_step(uint16_t kind, uint32_t flags, const char *const *pairs)
{
    size_t size;
    uint8_t *map = make_charsmap(pairs, &size);
    assert_non_null(map);
    return (ash_vocab_source_step){ .kind = kind, .flags = flags, .text = (const char *)map, .size = (uint32_t)size };
}

static const char *const pairs[] = {
    "ab", "x", "abc", "yz", "e\u0301", "\u00e9", "\ufb01", "fi", "\u200b", "", "\u3000", " ", "\r\n", " ", "\u2003", "  ",
    "\u4e2d\u4e2d", "!", "o", "0", "o\u0301", "O", NULL,
};

static void test_charsmap(void **state)
{
    (void)state;
    ash_vocab_source_step s = map_step(ASH_STEP_CHARSMAP, 0, pairs);
    expect(s, NULL, whole, "abc", "abc", true); /* a grapheme is one letter: no key matches */
    expect(s, NULL, whole, "e\u0301b", "\u00e9b", true);
    expect(s, NULL, whole, "o\u0301o", "00", true); /* the shortest key */
    expect(s, NULL, whole, "\ufb01\u0301", "fi", true); /* the grapheme becomes what its beginning becomes */
    expect(s, NULL, whole, "\ufb01\u0301\u0301", "fi\u0301\u0301", true); /* of 7 bytes: character by character */
    expect(s, NULL, whole, "e\u0301\u0301\u0301", "e\u0301\u0301\u0301", true);
    expect(s, NULL, whole, "a\r\nb\u200b", "a b", true);
    expect(s, NULL, whole, "\u200ba", "a", true);
    expect(s, NULL, whole, "\u4e2d\u4e2d", "\u4e2d\u4e2d", true);
    free((void *)s.text);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    const uint32_t all = ASH_STEP_TRIM | ASH_STEP_DUMMY | ASH_STEP_ESCAPE;
    ash_vocab_source_step s = map_step(ASH_STEP_SPM, all, pairs);
    expect(s, NULL, whole, "abcd ab", LOW "yzd" LOW "x", true); /* the longest key */
    expect(s, NULL, whole, "  a\u3000\u3000 b \u3000", LOW "a" LOW "b", true);
    expect(s, NULL, whole, "a\u2003b", LOW "a" LOW LOW "b", true); /* inside one replacement a run stays */
    expect(s, NULL, whole, "a \u2003b", LOW "a" LOW "b", true);
    expect(s, NULL, whole, " \u200b a", LOW "a", true);
    expect(s, NULL, whole, " ", "", true);
    expect(s, NULL, whole, "\u200b", "", true); /* and the dummy in front of nothing goes as well */
    expect(s, "ab", whole, "abc", LOW "abc", true); /* a symbol passes */
    expect(s, "a b", whole, "a b", LOW "a" LOW "b", true);
    expect(s, NULL, (ash_place){ .joined = true }, " a ", LOW "a", false);
    expect(s, NULL, (ash_place){ .start = true, .open = true }, " a ", LOW "a" LOW, true);
    s.flags = ASH_STEP_DUMMY | ASH_STEP_ESCAPE;
    expect(s, NULL, whole, " a  b ", LOW LOW "a" LOW LOW "b" LOW, true);
    expect(s, NULL, whole, "", "", true);
    s.flags = all | ASH_STEP_SUFFIX;
    expect(s, NULL, whole, " a b ", "a" LOW "b" LOW, true);
    s.flags = ASH_STEP_DUMMY;
    expect(s, NULL, whole, "a b", " a b", true);
    s.flags = ASH_STEP_ESCAPE;
    expect(s, NULL, whole, " a", LOW "a", true);
    free((void *)s.text);
    expect((ash_vocab_source_step){ .kind = ASH_STEP_SPM, .flags = all }, NULL, whole, "abc  d", LOW "abc" LOW "d", true);
}

/* Maps with any byte wrong: the result is UTF-8 or an error, and nothing is read outside. */
static void test_damaged_maps(void **state)
{
    (void)state;
    static const char text[] = "abc e\u0301 \ufb01\u200b\u4e2d\u4e2d \r\n ab\u2003z";
    test_rng rng = test_rng_start("maps");
    size_t size;
    uint8_t *map = make_charsmap(pairs, &size), *copy = malloc(size);
    ash_added_set none;
    ash_added_set_make(&none, NULL, 0);
    uint32_t used[400], used_count = 0; /* places that are not zero: the others say little */
    for (size_t at = 0; at < size; at++)
        if (map[at] != 0 && used_count < 400)
            used[used_count++] = (uint32_t)at;
    for (int round = 0; round < 20000; round++) {
        ash_error err;
        ash_charsmap m;
        memcpy(copy, map, size);
        for (uint64_t n = 1 + test_rng_below(&rng, 3); n > 0; n--) {
            size_t at = test_rng_below(&rng, 4) ? used[test_rng_below(&rng, used_count)] : test_rng_below(&rng, size);
            copy[at] = (uint8_t)test_rng_next(&rng);
        }
        size_t cut = test_rng_below(&rng, 4) ? size : test_rng_below(&rng, size);
        uint8_t *tight = malloc(cut ? cut : 1); /* so that a sanitizer sees the end */
        memcpy(tight, copy, cut);
        if (ash_charsmap_open(tight, cut, &m, &err) == ASH_OK) {
            ash_buffer out = { 0 };
            const uint8_t *in = (const uint8_t *)text;
            assert_ok(ash_charsmap_graphemes(&m, in, sizeof text - 1, &out, &err), &err);
            assert_ok(ash_charsmap_spm(&m, &none, 0xe0, whole, in, sizeof text - 1, &out, &err), &err);
            assert_int_equal(ash_utf8_valid(out.bytes, out.size), out.size);
            free(out.bytes);
        }
        free(tight);
    }
    free(copy);
    free(map);
}

/* ---- places in a text ---- */

static void expect_ids(const vocab_spec *spec, const char *text, size_t size, const char *want)
{
    ash_error err = { 0 };
    size_t section_size, count, used = 0;
    uint8_t *section = make_vocab_of(spec, &section_size);
    ash_tokenizer *t;
    int32_t *ids;
    char got[512] = "";
    assert_non_null(section);
    assert_ok(ash_tokenizer_open(section, section_size, &t, &err), &err);
    assert_ok(ash_tokenizer_encode(t, text, size, ASH_ENCODE_SPECIAL, &ids, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const char *bytes = ash_tokenizer_bytes(t, ids[i], &n);
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%.*s", i ? "|" : "", (int)n, bytes);
    }
    if (strcmp(got, want) != 0)
        fail_msg("\"%.*s\" is %s, expected %s", (int)size, text, got, want);
    free(ids);
    ash_tokenizer_close(t);
    free(section);
}
#define EXPECT_IDS(spec, text, want) expect_ids(spec, text, sizeof(text) - 1, want)

static void test_prefixes(void **state)
{
    (void)state;
    ash_vocab_source_step metaspace[2] = {
        { .kind = ASH_STEP_METASPACE, .behaviour = ASH_PREPEND_FIRST, .flags = ASH_STEP_CUT, TEXT(LOW) },
    };
    vocab_spec spec = { .model = ASH_VOCAB_CHAR_BPE, .texts = LOW " a b", .flags = ASH_VOCAB_BYTE_FALLBACK,
                        .steps = metaspace, .step_count = 1 };
    EXPECT_IDS(&spec, "a b<s>a", LOW "|a|" LOW "|b|<s>|a"); /* only at the very start */
    EXPECT_IDS(&spec, "<s>a", "<s>|a");
    EXPECT_IDS(&spec, " a", LOW "|a");
    EXPECT_IDS(&spec, "a\xff" "b", LOW "|a|\xff|b");
    metaspace[0].behaviour = ASH_PREPEND_ALWAYS;
    EXPECT_IDS(&spec, "a b<s>a", LOW "|a|" LOW "|b|<s>|" LOW "|a");
    EXPECT_IDS(&spec, "a\xff" "b", LOW "|a|\xff|b"); /* what follows broken bytes goes on */
    metaspace[0].behaviour = ASH_PREPEND_NEVER;
    EXPECT_IDS(&spec, "a  b", "a|" LOW "|" LOW "|b");
    /* Stripped in front, the text no longer begins where the whole text begins. */
    metaspace[1] = (ash_vocab_source_step){ .kind = ASH_STEP_METASPACE, .behaviour = ASH_PREPEND_FIRST, TEXT(LOW) };
    metaspace[0] = (ash_vocab_source_step){ .kind = ASH_STEP_STRIP, .flags = ASH_STEP_LEFT };
    spec.step_count = 2;
    EXPECT_IDS(&spec, " a", "a");
    EXPECT_IDS(&spec, "a", LOW "|a");
}

/* Added tokens that are looked for in normalized text are normalized themselves. */
static void test_normalized_tokens(void **state)
{
    (void)state;
    ash_vocab_source_step steps[1] = { { .kind = ASH_STEP_LOWERCASE } };
    const ash_vocab_source_added added[] = {
        { 259, ASH_ADDED_NORMALIZED, (const uint8_t *)"BA", 2 },
        { 260, ASH_ADDED_NORMALIZED, (const uint8_t *)"ba", 2 }, /* the same by then: the lower id stays */
        { 258, ASH_ADDED_NORMALIZED, (const uint8_t *)"AB\u00c9", 4 },
    };
    vocab_spec spec = { .model = ASH_VOCAB_CHAR_BPE, .texts = "X Y Z a b", .steps = steps, .step_count = 1,
                        .added = added, .added_count = 3 };
    EXPECT_IDS(&spec, "aba", "a|Y");
    EXPECT_IDS(&spec, "aAb\u00e9B", "a|X|b");
    steps[0] = (ash_vocab_source_step){ .kind = ASH_STEP_PREPEND, TEXT("a") };
    EXPECT_IDS(&spec, "BAb", "Y|b"); /* "aBA" is looked for in "aBAb" */
    EXPECT_IDS(&spec, "bBA", "a|b|<unk>|<unk>");
}

/* A step may not make gigabytes of a text. */
static void test_growth(void **state)
{
    (void)state;
    size_t size = 60000, count, section_size;
    char *second = malloc(size);
    memset(second, 'b', size);
    const ash_vocab_source_step steps[] = {
        { .kind = ASH_STEP_REPLACE, .flags = ASH_STEP_LITERAL, TEXT("a"), .second = second, .second_size = 60000 },
    };
    vocab_spec spec = { .model = ASH_VOCAB_CHAR_BPE, .steps = steps, .step_count = 1 };
    uint8_t *section = make_vocab_of(&spec, &section_size);
    ash_error err = { 0 };
    ash_tokenizer *t;
    int32_t *ids;
    assert_ok(ash_tokenizer_open(section, section_size, &t, &err), &err);
    char text[400];
    memset(text, 'a', sizeof text);
    assert_int_equal(ash_tokenizer_encode(t, text, sizeof text, 0, &ids, &count, &err), ASH_E_LIMIT);
    assert_string_equal(err.text, "text: the tokenizer's steps make more than 1074176 bytes of it");
    ash_tokenizer_close(t);
    free(section);
    free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_charsmap),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_damaged_maps),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_normalized_tokens),
        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
