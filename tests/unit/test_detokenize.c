/* Decoding: worked cases of each step, streams that give what the batch gives, and texts that come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"
#include "tests/support/make_vocab.h"
#include "tests/support/support.h"

#define LOW "\u2581"
#define TEXT(t) .text = t, .size = sizeof(t) - 1
#define SECOND(t) .second = t, .second_size = sizeof(t) - 1

typedef struct opened {
    uint8_t *section;
    ash_tokenizer *t;
} opened;

static opened open_spec(vocab_spec spec)
{
    opened o;
    size_t size;
    ash_error err = { 0 };
    o.section = make_vocab_of(&spec, &size);
    assert_non_null(o.section);
    assert_ok(ash_tokenizer_open(o.section, size, &o.t, &err), &err);
    return o;
}

static void done(opened *o)
{
    ash_tokenizer_close(o->t);
    free(o->section);
}

/* All pushes of `step` ids and what is left; every push but the last ends at a character where the whole is UTF-8. */
static char *decode(const ash_tokenizer *t, const int32_t *ids, size_t count, size_t step, unsigned flags, size_t *size)
{
    ash_error err = { 0 };
    ash_decoding *d;
    assert_ok(ash_decoding_new(t, flags, &d, &err), &err);
    char *out = malloc(1);
    *size = 0;
    for (size_t at = 0; at <= count; at += step) {
        const char *part;
        size_t n, now = count - at < step ? count - at : step;
        assert_ok(ash_decoding_push(d, ids + at, now, &part, &n, &err), &err);
        out = realloc(out, *size + n + 1);
        memcpy(out + *size, n ? part : "", n);
        *size += n;
        out[*size] = 0;
        if (now < step)
            break;
    }
    const char *rest;
    size_t n;
    assert_ok(ash_decoding_finish(d, &rest, &n, &err), &err);
    out = realloc(out, *size + n + 1);
    memcpy(out + *size, n ? rest : "", n);
    *size += n;
    out[*size] = 0;
    ash_decoding_free(d);
    return out;
}

/* `tokens` are spellings, one space between them; "[c3]" is a byte. */
static void expect(const ash_vocab_source_step *steps, uint32_t count, unsigned flags, const char *tokens,
                   const char *want)
{
    opened o = open_spec((vocab_spec){ .model = ASH_VOCAB_SPM_BPE, .steps = steps, .step_count = count });
    int32_t ids[64];
    size_t n = 0, size;
    for (const char *at = tokens; *at; at += *at == ' ') {
        size_t length = strcspn(at, " ");
        ids[n] = *at == '[' ? 2 + (int32_t)strtol(at + 1, NULL, 16)
                            : ash_vocab_search(ash_tokenizer_vocab(o.t), at, length, 0);
        if (ids[n++] < 0)
            fail_msg("no token %.*s", (int)length, at);
        at += length;
    }
    for (size_t step = 1; step <= n; step++) {
        char *got = decode(o.t, ids, n, step, flags, &size);
        if (strcmp(got, want) != 0)
            fail_msg("\"%s\" by %zu gives \"%s\", expected \"%s\"", tokens, step, got, want);
        free(got);
    }
    done(&o);
}
#define EXPECT(steps, ...) expect(steps, sizeof steps / sizeof *steps, __VA_ARGS__)

static void test_bytes(void **state)
{
    (void)state;
    static const ash_vocab_source_step bytes[] = { { .kind = ASH_STEP_DECODE_BYTES } };
    expect(NULL, 0, 0, "a " LOW "th [c3] [a9] b", "a" LOW "th\u00e9b");
    EXPECT(bytes, 0, "<s> a [e4] <s> b", "a\xe4" "b");
    EXPECT(bytes, ASH_DECODE_SPECIAL, "<s> a <s>", "<s>a<s>");
}

static void test_llama(void **state)
{
    (void)state;
    const ash_vocab_source_step *steps;
    uint32_t count = vocab_chain(1, &steps);
    expect(steps, count, 0, LOW "th en " LOW "a", "then a");
    expect(steps, count, ASH_DECODE_CONTINUE, LOW "th en " LOW "a", " then a");
    expect(steps, count, 0, LOW LOW " " LOW "a", "  a"); /* one space goes, not all */
    expect(steps, count, 0, "a " LOW "a", "a a");
    expect(steps, count, 0, "[20] a", "a");
    expect(steps, count, 0, "a [e2] [96] [81] a", "a" LOW "a"); /* the low line spelled in bytes stays */
    expect(steps, count, 0, "<s> " LOW "a", "a");
    expect(steps, count, ASH_DECODE_SPECIAL, "<s> " LOW "a", "<s> a");
}

static void test_metaspace(void **state)
{
    (void)state;
    const ash_vocab_source_step *steps;
    uint32_t count = vocab_chain(2, &steps);
    static const ash_vocab_source_step never[] = {
        { .kind = ASH_STEP_DECODE_METASPACE, .behaviour = ASH_PREPEND_NEVER, TEXT(LOW) },
    };
    expect(steps, count, 0, LOW "th en " LOW "a", "then a");
    expect(steps, count, 0, LOW LOW " " LOW LOW " a", "  a"); /* the first token loses all, the others none */
    expect(steps, count, ASH_DECODE_CONTINUE, LOW "th", " th");
    EXPECT(never, 0, LOW "th " LOW "a", " th a");
}

static void test_sentencepiece(void **state)
{
    (void)state;
    static const ash_vocab_source_step dummy[] = { { .kind = ASH_STEP_DECODE_SPM, .flags = ASH_STEP_DUMMY } };
    static const ash_vocab_source_step trim[] = { { .kind = ASH_STEP_DECODE_SPM, .flags = ASH_STEP_TRIM } };
    static const ash_vocab_source_step none[] = { { .kind = ASH_STEP_DECODE_SPM } };
    EXPECT(dummy, 0, LOW "th en " LOW "a", "then a");
    EXPECT(dummy, 0, LOW " " LOW " a", " a"); /* the first piece is now nothing, but it has lost its space */
    EXPECT(trim, 0, LOW " " LOW " " LOW "a", "a");
    EXPECT(dummy, 0, LOW LOW " a", " a");
    EXPECT(none, 0, LOW "a", " a");
    EXPECT(dummy, 0, "<s> " LOW "a", "a");
    EXPECT(dummy, 0, "[61] " LOW "a", "a a");
    EXPECT(dummy, 0, LOW "a <unk> a", "a \u2047 a");
    EXPECT(dummy, ASH_DECODE_CONTINUE, LOW "a", " a");
}

static void test_other_steps(void **state)
{
    (void)state;
    static const ash_vocab_source_step join[] = { { .kind = ASH_STEP_DECODE_JOIN } };
    static const ash_vocab_source_step each[] = {
        { .kind = ASH_STEP_DECODE_STRIP, TEXT("a"), .numbers = { 1, 2 } },
    };
    static const ash_vocab_source_step whole[] = {
        { .kind = ASH_STEP_DECODE_FUSE },
        { .kind = ASH_STEP_DECODE_STRIP, TEXT("a"), .numbers = { 1, 2 } },
    };
    static const ash_vocab_source_step across[] = {
        { .kind = ASH_STEP_DECODE_FUSE },
        { .kind = ASH_STEP_DECODE_REPLACE, TEXT("aab"), SECOND("X") },
    };
    static const ash_vocab_source_step inside[] = {
        { .kind = ASH_STEP_DECODE_REPLACE, TEXT("aab"), SECOND("X") },
    };
    static const ash_vocab_source_step fused_space[] = {
        { .kind = ASH_STEP_DECODE_FUSE },
        { .kind = ASH_STEP_DECODE_METASPACE, TEXT(LOW) },
    };
    EXPECT(join, 0, "a b <s> the", "a b the");
    EXPECT(each, 0, "aaaa b aa the", "abthe");
    EXPECT(each, 0, "[61] b", "ab"); /* a byte is no text to strip from */
    EXPECT(whole, 0, "aaaa b aa aaaa", "aaabaaaa");
    EXPECT(whole, 0, "aa b a", "ab");
    EXPECT(across, 0, "aa a b a a", "aXaa");
    EXPECT(across, 0, "aa aa b aa b", "aaXX");
    EXPECT(inside, 0, "aa b", "aab");
    EXPECT(fused_space, 0, LOW "th [e2] [96] [81] a", "tha"); /* one text: the first token is all of it */
}

/* A random text: valid characters, the vocabulary's words, broken bytes. */
static size_t random_text(test_rng *rng, char *out, bool broken)
{
    static const char *const words[] = { "the", " ", "  ", "aaaa", LOW, "a\u0301", "\u4e2d", "<sym>", "<s>", "." };
    size_t size = 0, parts = test_rng_below(rng, 24);
    for (size_t i = 0; i < parts; i++) {
        uint64_t kind = test_rng_below(rng, broken ? 4 : 3);
        if (kind == 0) {
            uint32_t code;
            do
                code = (uint32_t)test_rng_below(rng, test_rng_below(rng, 2) ? 0x110000 : 0x800);
            while (code >= 0xd800 && code < 0xe000);
            size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
            for (size_t k = n; k-- > 1; code >>= 6)
                out[size + k] = (char)(0x80 | (code & 63));
            out[size] = (char)(n == 1 ? code : (0xf00u >> n & 0xff) | code);
            size += n;
        } else if (kind == 3) {
            out[size++] = (char)test_rng_next(rng);
        } else {
            const char *w = words[test_rng_below(rng, sizeof words / sizeof *words)];
            memcpy(out + size, w, strlen(w));
            size += strlen(w);
        }
    }
    return size;
}

/* Every kind of model and chain of steps: the stream in any portions gives the batch's bytes, and no push but the last
 * ends inside a character that is completed later. */
static void test_streams(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("streams");
    for (uint32_t round = 0; round < 3 * VOCAB_CHAINS; round++) {
        vocab_spec spec = { .model = 2 + round % 3, .flags = ASH_VOCAB_BYTE_FALLBACK };
        spec.step_count = vocab_chain(round / 3, &spec.steps);
        opened o = open_spec(spec);
        for (int i = 0; i < 60; i++) {
            char text[512];
            ash_error err = { 0 };
            int32_t *ids;
            size_t count, size = random_text(&rng, text, true), whole_size, size_now;
            assert_ok(ash_tokenizer_encode(o.t, text, size, ASH_ENCODE_SPECIAL, &ids, &count, &err), &err);
            char *whole = decode(o.t, ids, count, count + 1, ASH_DECODE_SPECIAL, &whole_size);
            for (size_t step = 1; step <= 3; step++) {
                char *now = decode(o.t, ids, count, step, ASH_DECODE_SPECIAL, &size_now);
                if (size_now != whole_size || memcmp(now, whole, whole_size) != 0)
                    fail_msg("chain %u, model %u: the stream differs from the batch", round / 3, spec.model);
                free(now);
            }
            if (ash_utf8_valid((uint8_t *)whole, whole_size) == whole_size) {
                ash_decoding *d;
                const char *part;
                size_t n;
                assert_ok(ash_decoding_new(o.t, ASH_DECODE_SPECIAL, &d, &err), &err);
                for (size_t k = 0; k < count; k++) {
                    assert_ok(ash_decoding_push(d, ids + k, 1, &part, &n, &err), &err);
                    assert_int_equal(ash_utf8_valid((const uint8_t *)part, n), n);
                }
                ash_decoding_free(d);
            }
            free(whole);
            free(ids);
        }
        done(&o);
    }
}

/* Byte fallback and no step: any bytes come back. With a prefix that decoding takes away again, too. */
static void test_round_trips(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("round trips");
    for (uint32_t round = 0; round < 12; round++) {
        vocab_spec spec = { .model = 2 + round % 3, .flags = ASH_VOCAB_BYTE_FALLBACK };
        unsigned chain = round / 3 == 0 ? 0 : round / 3 == 1 ? 1 : 5;
        spec.step_count = vocab_chain(chain, &spec.steps);
        opened o = open_spec(spec);
        for (int i = 0; i < 400; i++) {
            char text[512];
            ash_error err = { 0 };
            int32_t *ids;
            size_t count, size = random_text(&rng, text, true), back;
            if (chain != 0 && (memmem(text, size, LOW, 3) || (size != 0 && ash_utf8_valid((uint8_t *)text, 1) == 0)))
                continue; /* the low line becomes a space; a text that begins with a broken byte gets no prefix */
            assert_ok(ash_tokenizer_encode(o.t, text, size, 0, &ids, &count, &err), &err);
            char *got = decode(o.t, ids, count, 1, 0, &back);
            if (back != size || memcmp(got, text, size) != 0)
                fail_msg("chain %u, model %u: %zu bytes come back as %zu: \"%.*s\", \"%s\"", chain, spec.model, size,
                         back, (int)size, text, got);
            free(got);
            free(ids);
        }
        done(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_metaspace),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_other_steps),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
