/* Sections of every kind of model that are not what they should be: steps and lists that are refused, bytes that are
 * wrong anywhere. Nothing crashes, loops or reads past the end. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/tokenizer.h"
#include "tests/support/make_vocab.h"
#include "tests/support/support.h"

#define TEXT(t) .text = t, .size = sizeof(t) - 1

static void test_refused_steps(void **state)
{
    (void)state;
    static const struct { ash_vocab_source_step steps[2]; uint32_t count; ash_status status; const char *words;
    } cases[] = {
        { { { .kind = 9 } }, 1, ASH_E_UNSUPPORTED, "step 0 has kind 9" },
        { { { .kind = 27 } }, 1, ASH_E_UNSUPPORTED, "step 0 has kind 27" },
        { { { .kind = 200 } }, 1, ASH_E_UNSUPPORTED, "step 0 has kind 200" },
        { { { .kind = ASH_STEP_NFC, .flags = 1 } }, 1, ASH_E_UNSUPPORTED, "flags 0x1" },
        { { { .kind = ASH_STEP_METASPACE, .behaviour = 3, TEXT("x") } }, 1, ASH_E_UNSUPPORTED, "behaviour 3" },
        { { { .kind = ASH_STEP_METASPACE, TEXT("xy") } }, 1, ASH_E_FORMAT, "kind 3 does not take" },
        { { { .kind = ASH_STEP_METASPACE } }, 1, ASH_E_FORMAT, "kind 3 does not take" },
        { { { .kind = ASH_STEP_DECODE_STRIP, TEXT("\xe2\x96") } }, 1, ASH_E_FORMAT, "kind 132 does not take" },
        { { { .kind = ASH_STEP_LOWERCASE, TEXT("x") } }, 1, ASH_E_FORMAT, "kind 22 does not take" },
        { { { .kind = ASH_STEP_PREPEND, TEXT("x"), .second = "y", .second_size = 1 } }, 1, ASH_E_FORMAT, "of 1 and 1" },
        { { { .kind = ASH_STEP_STRIP, .numbers = { 0, 1 } } }, 1, ASH_E_FORMAT, "kind 23 does not take" },
        { { { .kind = ASH_STEP_PREFIX_SPACE }, { .kind = ASH_STEP_NFC } }, 2, ASH_E_FORMAT, "behind later kinds" },
        { { { .kind = ASH_STEP_DECODE_FUSE }, { .kind = ASH_STEP_NFC } }, 2, ASH_E_FORMAT, "behind later kinds" },
        { { { .kind = ASH_STEP_DECODE_FUSE }, { .kind = ASH_STEP_PREFIX_SPACE } }, 2, ASH_E_FORMAT, "later kinds" },
    };
    static uint8_t letter = 'a';
    ash_vocab_source_token token = { &letter, 1, ASH_TOKEN_MODEL, ASH_TOKEN_NORMAL, 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_vocab_source s = { .model = ASH_VOCAB_CHAR_BPE, .bos = -1, .eos = -1, .pad = -1, .unk = -1,
                               .token_count = 1, .tokens = &token, .steps = cases[i].steps,
                               .step_count = cases[i].count };
        memset(s.byte_ids, 0xff, sizeof s.byte_ids);
        uint8_t *out;
        size_t size;
        ash_error err = { 0 };
        ash_status status = ash_vocab_build(&s, &out, &size, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].words))
            fail_msg("case %zu gives %d \"%s\", expected %d with \"%s\"", i, (int)status, err.text,
                     (int)cases[i].status, cases[i].words);
    }
}

/* What only opening finds: texts that are no UTF-8, maps that are cut short. */
static void test_refused_at_open(void **state)
{
    (void)state;
    static const struct { ash_vocab_source_step step; const char *words;
    } cases[] = {
        { { .kind = ASH_STEP_PREPEND, TEXT("\x96") }, "the text of step 0 is no UTF-8" },
        { { .kind = ASH_STEP_REPLACE, .flags = ASH_STEP_LITERAL, TEXT("a"), .second = "\xff", .second_size = 1 },
          "the text of step 0 is no UTF-8" },
        { { .kind = ASH_STEP_REPLACE, .flags = ASH_STEP_LITERAL, TEXT("\xa9"), .second = "x", .second_size = 1 },
          "the text of step 0 is no UTF-8" },
        { { .kind = ASH_STEP_METASPACE, TEXT("\xed\xa0\x80") }, "the text of step 0 is no UTF-8" },
        { { .kind = ASH_STEP_REPLACE, TEXT("(a") }, "expression 0 does not compile" },
        { { .kind = ASH_STEP_CHARSMAP, TEXT("\x08\0\0") }, "a character map of 3 bytes" },
        { { .kind = ASH_STEP_SPM, TEXT("\x08\0\0\0abcd") }, "a character map of 8 bytes with a trie of 8 is damaged" },
        { { .kind = ASH_STEP_SPM, TEXT("\x03\0\0\0abcd") }, "a character map of 8 bytes with a trie of 3 is damaged" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        ash_error err = { 0 };
        ash_tokenizer *t;
        uint8_t *section = make_vocab_of(
            &(vocab_spec){ .model = ASH_VOCAB_CHAR_BPE, .steps = &cases[i].step, .step_count = 1 }, &size);
        assert_non_null(section);
        if (ash_tokenizer_open(section, size, &t, &err) != ASH_E_FORMAT || !strstr(err.text, cases[i].words))
            fail_msg("case %zu gives \"%s\", expected \"%s\"", i, err.text, cases[i].words);
        free(section);
    }
}

static void test_refused_header(void **state)
{
    (void)state;
    ash_error err = { 0 };
    ash_vocab v;
    size_t size;
    uint8_t *section = make_vocab_of(&(vocab_spec){ .model = ASH_VOCAB_UNIGRAM }, &size);
    ash_vocab_header *h = (ash_vocab_header *)section;
    ash_vocab_added *added = (ash_vocab_added *)(section + h->added);
    assert_ok(ash_vocab_open(section, size, &v, &err), &err);
    h->score_count--;
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    h->score_count++;
    h->trie_count = 0;
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    h->trie_count = ASH_VOCAB_TRIE_MAX + 1;
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "trie units"));
    h->trie_count = (uint32_t)((size - h->trie) / sizeof(ash_vocab_trie)) + 1;
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "the trie"));
    h->trie_count = 256;
    h->unk_score = -1.0 / 0.0;
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    h->unk_score = -1;
    h->model = ASH_VOCAB_SPM_BPE; /* has no scores and no trie */
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    h->model = ASH_VOCAB_UNIGRAM;
    assert_ok(ash_vocab_open(section, size, &v, &err), &err);
    added[h->added_count - 1].flags |= ASH_ADDED_SYMBOL | ASH_ADDED_NORMALIZED;
    h->added_raw_count--;
    assert_int_equal(ash_vocab_open(section, size, &v, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "added token"));
    free(section);
}

/* Encodes and decodes where it opens: ids stay inside the vocabulary. */
static void exercise(const uint8_t *section, size_t size)
{
    static const char *const texts[] = {
        "", "then the aaaaaaa", "  a<sym>\u4e2dx \u2581\u2581th ", "a\xff\xe2\x96 b\u00e9\u0301",
        "<s>\u3000\ufb01 12.3,4\r\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    uint8_t *copy = malloc(size); /* so that a sanitizer sees the end */
    memcpy(copy, section, size);
    ash_tokenizer *t;
    ash_error err = { 0 };
    if (ash_tokenizer_open(copy, size, &t, &err) == ASH_OK) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            int32_t *ids;
            size_t count, n;
            ash_decoding *d;
            const char *part;
            if (ash_tokenizer_encode(t, texts[i], strlen(texts[i]), (unsigned)i, &ids, &count, &err) != ASH_OK)
                continue;
            for (size_t k = 0; k < count; k++)
                assert_true(ids[k] >= 0 && (uint32_t)ids[k] < ash_tokenizer_count(t));
            assert_ok(ash_decoding_new(t, (unsigned)i, &d, &err), &err);
            if (ash_decoding_push(d, ids, count, &part, &n, &err) == ASH_OK)
                assert_ok(ash_decoding_finish(d, &part, &n, &err), &err);
            ash_decoding_free(d);
            free(ids);
        }
        ash_tokenizer_close(t);
    } else {
        assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
    }
    free(copy);
}

static void test_random_damage(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("damage");
    for (uint32_t which = 0; which < 3 * VOCAB_CHAINS; which++) {
        size_t size;
        vocab_spec spec = { .model = 2 + which % 3, .flags = which % 2 ? ASH_VOCAB_BYTE_FALLBACK : ASH_VOCAB_FUSE_UNK };
        spec.step_count = vocab_chain(which / 3, &spec.steps);
        uint8_t *section = make_vocab_of(&spec, &size), *copy = malloc(size);
        assert_non_null(section);
        exercise(section, size);
        const ash_vocab_header *h = (const ash_vocab_header *)section;
        const uint64_t starts[] = { 0, h->tokens, h->slots, h->merges, h->added, h->steps, h->scores, h->trie, h->pool };
        for (int round = 0; round < 200; round++) {
            memcpy(copy, section, size);
            uint64_t from = starts[test_rng_below(&rng, 9)];
            for (uint64_t n = 1 + test_rng_below(&rng, 8); n > 0 && from < size; n--) {
                size_t at = from + test_rng_below(&rng, size - from < 1500 ? size - from : 1500);
                copy[at] = test_rng_below(&rng, 3) ? (uint8_t)test_rng_next(&rng)
                                                   : copy[at] ^ (uint8_t)(1u << test_rng_below(&rng, 8));
            }
            exercise(copy, size);
        }
        free(copy);
        free(section);
    }
}

/* A trie that leads back to itself: a walk ends with the longest token. */
static void test_cyclic_trie(void **state)
{
    (void)state;
    size_t size, count, length = 200000;
    uint8_t *section = make_vocab_of(&(vocab_spec){ .model = ASH_VOCAB_UNIGRAM, .texts = "a b" }, &size);
    ash_vocab_header *h = (ash_vocab_header *)section;
    ash_vocab_trie *trie = (ash_vocab_trie *)(section + h->trie);
    ash_error err = { 0 };
    ash_tokenizer *t;
    int32_t *ids;
    h->longest_bytes = UINT32_MAX;
    trie[0] = (ash_vocab_trie){ 'a', 0, ASH_VOCAB_NONE, 0 }; /* the root is its own child */
    char *text = malloc(length);
    memset(text, 'a', length);
    assert_ok(ash_tokenizer_open(section, size, &t, &err), &err);
    clock_t started = clock();
    assert_ok(ash_tokenizer_encode(t, text, length, 0, &ids, &count, &err), &err);
    assert_true(clock() - started < 8 * CLOCKS_PER_SEC); /* 2e8 steps; walks to the text's end were 2e10 */
    assert_int_equal(count, length); /* unk for each */
    free(ids);
    free(text);
    ash_tokenizer_close(t);
    free(section);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_steps),
        cmocka_unit_test(test_refused_at_open),
        cmocka_unit_test(test_refused_header),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_cyclic_trie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
