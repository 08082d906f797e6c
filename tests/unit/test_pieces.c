/* The models that work on characters: worked cases, comparisons with slow and plain forms on random vocabularies, and
 * long words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/tokenizer_internal.h"
#include "tests/support/make_vocab.h"
#include "tests/support/support.h"

typedef struct opened {
    uint8_t *section;
    size_t size;
    ash_tokenizer *t;
    const ash_vocab *v;
} opened;

static opened open_spec(vocab_spec spec)
{
    opened o = { 0 };
    ash_error err = { 0 };
    o.section = make_vocab_of(&spec, &o.size);
    assert_non_null(o.section);
    assert_ok(ash_tokenizer_open(o.section, o.size, &o.t, &err), &err);
    o.v = ash_tokenizer_vocab(o.t);
    return o;
}

static void done(opened *o)
{
    ash_tokenizer_close(o->t);
    free(o->section);
}

static int32_t *encode(const opened *o, const char *text, size_t size, size_t *count)
{
    ash_error err = { 0 };
    int32_t *ids;
    assert_ok(ash_tokenizer_encode(o->t, text, size, 0, &ids, count, &err), &err);
    return ids;
}

/* The ids' spellings with '|' between them; bytes in brackets. */
static char *spelled(const opened *o, const char *text, size_t size)
{
    size_t count, used = 0;
    int32_t *ids = encode(o, text, size, &count);
    char *out = calloc(1, 16 * count + 16);
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const char *bytes = ash_tokenizer_bytes(o->t, ids[i], &n);
        if (o->v->tokens[ids[i]].type == ASH_TOKEN_BYTE)
            used += (size_t)sprintf(out + used, "%s[%02x]", i ? "|" : "", (uint8_t)bytes[0]);
        else
            used += (size_t)sprintf(out + used, "%s%.*s", i ? "|" : "", (int)n, bytes);
    }
    free(ids);
    return out;
}

static void expect(const opened *o, const char *text, const char *want)
{
    char *got = spelled(o, text, strlen(text));
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\" is %s, expected %s", text, got, want);
    free(got);
}

#define LOW "\u2581"

static void test_characters(void **state)
{
    (void)state;
    opened o = open_spec((vocab_spec){ .model = ASH_VOCAB_CHAR_BPE, .flags = ASH_VOCAB_BYTE_FALLBACK });
    expect(&o, "aaaaaa", "aaaa|aa");
    expect(&o, "hen", "he|n"); /* he was listed before en */
    expect(&o, LOW "the" LOW "an", LOW "the|" LOW "|an");
    expect(&o, "\u00e9a\u00fc", "\u00e9|a|[c3]|[bc]");
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_CHAR_BPE });
    expect(&o, "zza", "<unk>|<unk>|a");
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_CHAR_BPE, .flags = ASH_VOCAB_FUSE_UNK });
    expect(&o, "zzaz", "<unk>|a|<unk>");
    expect(&o, "a\xff\xfe\x80z", "a|<unk>|<unk>"); /* broken bytes are a piece of their own */
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_CHAR_BPE, .no_unk = true });
    expect(&o, "azaza", "aa|a"); /* dropped: the neighbours become adjacent */
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_CHAR_BPE, .flags = ASH_VOCAB_IGNORE_MERGES });
    expect(&o, "the", "the");
    done(&o);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    opened o = open_spec((vocab_spec){ .model = ASH_VOCAB_SPM_BPE, .flags = ASH_VOCAB_BYTE_FALLBACK });
    expect(&o, "the", "the"); /* by bytes: th and e make "the" */
    expect(&o, "aaa", "aa|a");
    expect(&o, LOW LOW LOW, LOW LOW "|" LOW);
    expect(&o, "then", "the|n"); /* "then" is UNUSED: taken apart as it was made */
    expect(&o, "en", "e|n");
    expect(&o, "a<sym>a", "a|<sym>|a");
    expect(&o, "a\u4e2dxa", "a|\u4e2dx|a");
    expect(&o, "\u00fc", "[c3]|[bc]");
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_SPM_BPE, .flags = ASH_VOCAB_FUSE_UNK });
    expect(&o, "xyaz", "<unk>|a|<unk>");
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_SPM_BPE, .texts = "a s y z ax @x xx @<qs @<qsya @<qsym>" });
    expect(&o, "axxa", "a|x|x|a"); /* a symbol never merges */
    expect(&o, "<qsya<qsym><qsyz", "<qsya|<qsym>|<qs|y|z");
    done(&o);
}

static void test_unigram(void **state)
{
    (void)state;
    /* Scores: a -1, b -2, ab -3, abc -4, c -5: a+b ties with ab, and ab, found from an earlier begin, stays. */
    opened o = open_spec((vocab_spec){ .model = ASH_VOCAB_UNIGRAM, .texts = "a b ab abc c" });
    expect(&o, "ab", "ab");
    expect(&o, "abc", "abc");
    expect(&o, "aab", "a|ab");
    expect(&o, "axxb", "a|<unk>|<unk>|b");
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_UNIGRAM, .texts = "a b", .flags = ASH_VOCAB_BYTE_FALLBACK });
    expect(&o, "a\u00fcb", "a|[c3]|[bc]|b");
    done(&o);
    o = open_spec((vocab_spec){ .model = ASH_VOCAB_UNIGRAM, .texts = "a b", .flags = ASH_VOCAB_FUSE_UNK });
    expect(&o, "a\u00fcxyb", "a|<unk>|b");
    done(&o);
}

/* ---- against slow and plain forms ---- */

/* Texts of a random vocabulary: all letters, then longer strings of them. */
static char *random_texts(test_rng *rng, bool spans)
{
    static const char *const letters[4] = { "a", "b", LOW, "c" };
    char *out = calloc(1, 4096);
    strcpy(out, "a b " LOW);
    for (int i = 0; i < 40; i++) {
        strcat(out, test_rng_below(rng, 6) ? " " : " !");
        uint64_t n = 2 + test_rng_below(rng, 4), lows = spans ? 0 : test_rng_below(rng, 3);
        for (uint64_t k = 0; k < n; k++)
            strcat(out, k < lows ? LOW : letters[test_rng_below(rng, spans ? 4 : 2)]);
    }
    return out;
}

static size_t random_text(test_rng *rng, char *out, size_t most)
{
    static const char *const parts[] = { "a", "b", LOW, "aa", "ab", LOW LOW, "c", "z", "ba", "\u00fc" };
    uint64_t n = test_rng_below(rng, most);
    out[0] = 0;
    for (uint64_t i = 0; i < n; i++)
        strcat(out, parts[test_rng_below(rng, sizeof parts / sizeof *parts)]);
    return strlen(out);
}

/* With CUT_SPACE and without it the ids are the same. */
static void test_cut_space(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("cut space");
    size_t cuts = 0;
    for (int round = 0; round < 400; round++) {
        static const uint32_t flags[] = { 0, ASH_VOCAB_FUSE_UNK, ASH_VOCAB_BYTE_FALLBACK };
        bool spans = round % 8 == 7;
        char *texts = random_texts(&rng, spans), text[1024];
        opened o = open_spec((vocab_spec){ .model = round % 2 ? ASH_VOCAB_SPM_BPE : ASH_VOCAB_CHAR_BPE, .texts = texts,
                                           .flags = flags[round % 3], .no_unk = round % 5 == 0 });
        ash_vocab_header *h = (ash_vocab_header *)o.section;
        cuts += (h->flags & ASH_VOCAB_CUT_SPACE) != 0;
        bool drops = round % 2 == 0 && round % 5 == 0 && !(h->flags & ASH_VOCAB_BYTE_FALLBACK);
        assert_true(spans || drops == !(h->flags & ASH_VOCAB_CUT_SPACE));
        for (int i = 0; i < 40; i++) {
            size_t size = random_text(&rng, text, 60), count, uncut;
            int32_t *ids = encode(&o, text, size, &count);
            uint32_t was = h->flags;
            h->flags &= ~(uint32_t)ASH_VOCAB_CUT_SPACE;
            int32_t *plain = encode(&o, text, size, &uncut);
            h->flags = was;
            if (count != uncut || memcmp(ids, plain, count * sizeof *ids) != 0)
                fail_msg("\"%s\" with \"%s\" differs: %zu ids and %zu", text, texts, count, uncut);
            free(ids);
            free(plain);
        }
        done(&o);
        free(texts);
    }
    assert_in_range(cuts, 300, 400);
}

/* No cut where a token or a symbol lies across it, where the low line has no token, where a step splits. */
static void test_no_cut(void **state)
{
    (void)state;
    static const ash_vocab_source_step split = { .kind = ASH_STEP_SPLIT, .text = "x", .size = 1 };
    const vocab_spec specs[] = {
        { .model = ASH_VOCAB_SPM_BPE, .texts = LOW " a " LOW "a " LOW LOW },
        { .model = ASH_VOCAB_SPM_BPE, .texts = LOW " a a" LOW },
        { .model = ASH_VOCAB_SPM_BPE, .texts = LOW " a b aaab" LOW },
        { .model = ASH_VOCAB_SPM_BPE, .texts = LOW " a @a" LOW "b" },
        { .model = ASH_VOCAB_CHAR_BPE, .texts = "a " LOW "a" },
        { .model = ASH_VOCAB_CHAR_BPE, .texts = LOW " a " LOW LOW, .no_unk = true },
        { .model = ASH_VOCAB_CHAR_BPE, .texts = LOW " a", .steps = &split, .step_count = 1 },
        { .model = ASH_VOCAB_CHAR_BPE, .texts = LOW " a", .flags = ASH_VOCAB_IGNORE_MERGES },
        { .model = ASH_VOCAB_UNIGRAM, .texts = LOW " a" },
        { .model = ASH_VOCAB_UNIGRAM, .texts = LOW " a", .flags = ASH_VOCAB_CUT_SPACE },
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        opened o = open_spec(specs[i]);
        assert_int_equal((o.v->header->flags & ASH_VOCAB_CUT_SPACE) != 0, i == 0);
        done(&o);
    }
}

/* SentencePiece's merging as it is described: look at all pairs, join the best, begin again. */
typedef struct plain { size_t from, end; int left, right; int32_t id; } plain; /* left, right: of `all` */

static void take_apart(const opened *o, const plain *all, int at, int32_t *ids, size_t *count)
{
    if (all[at].left >= 0 && o->v->tokens[all[at].id].type == ASH_TOKEN_UNUSED) {
        take_apart(o, all, all[at].left, ids, count);
        take_apart(o, all, all[at].right, ids, count);
    } else {
        ids[(*count)++] = all[at].id < 0 ? 0 : all[at].id;
    }
}

static size_t merge_plainly(const opened *o, const char *text, size_t size, int32_t *ids)
{
    plain all[600];
    int list[300], n = 0, made = 0;
    for (size_t at = 0; at < size; n++) {
        size_t step = ash_vocab_char_bytes((const uint8_t *)text + at, size - at);
        all[made] = (plain){ at, at + step, -1, -1, ash_vocab_search(o->v, text + at, step, ASH_TOKEN_MODEL) };
        list[n] = made++;
        at += step;
    }
    for (;;) {
        int best = -1;
        int32_t best_id = -1;
        for (int i = 0; i + 1 < n; i++) {
            size_t from = all[list[i]].from, end = all[list[i + 1]].end;
            int32_t id = ash_vocab_search(o->v, text + from, end - from, ASH_TOKEN_MODEL);
            if (id >= 0 && (best < 0 || o->v->tokens[id].score > o->v->tokens[best_id].score)) {
                best = i;
                best_id = id;
            }
        }
        if (best < 0)
            break;
        all[made] = (plain){ all[list[best]].from, all[list[best + 1]].end, list[best], list[best + 1], best_id };
        list[best] = made++;
        memmove(list + best + 1, list + best + 2, (size_t)(n - best - 2) * sizeof *list);
        n--;
    }
    size_t count = 0;
    for (int i = 0; i < n; i++)
        take_apart(o, all, list[i], ids, &count);
    return count;
}

static void test_sentencepiece_plainly(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("sentencepiece");
    for (int round = 0; round < 300; round++) {
        char *texts = random_texts(&rng, true), text[1024];
        opened o = open_spec((vocab_spec){ .model = ASH_VOCAB_SPM_BPE, .texts = texts });
        for (uint32_t i = 0; i < o.v->header->token_count; i++) /* equal scores too */
            ((ash_vocab_token *)o.v->tokens)[i].score = -(float)test_rng_below(&rng, 12);
        for (uint32_t i = 0; i < o.v->header->token_count; i++) /* whole tokens were found with other scores */
            ((ash_vocab_token *)o.v->tokens)[i].flags &= (uint16_t)~ASH_TOKEN_WHOLE;
        for (int i = 0; i < 40; i++) {
            size_t size = random_text(&rng, text, 80), count;
            int32_t want[600], *ids = encode(&o, text, size, &count);
            size_t wanted = merge_plainly(&o, text, size, want);
            if (count != wanted || memcmp(ids, want, count * sizeof *ids) != 0)
                fail_msg("\"%s\" with \"%s\" differs from plain merging: %zu ids and %zu", text, texts, count, wanted);
            free(ids);
        }
        done(&o);
        free(texts);
    }
}

/* Every split of a short text into tokens and uncovered characters: none scores more than the ids do. */
static double best_sum(const opened *o, const char *text, size_t size)
{
    double best = -INFINITY;
    if (size == 0)
        return 0;
    size_t first = ash_vocab_char_bytes((const uint8_t *)text, size);
    for (size_t n = first; n <= size && n < 24; n++) {
        int32_t id = ash_vocab_search(o->v, text, n, ASH_TOKEN_MODEL);
        if (id < 0 && n != first)
            continue;
        double score = (id < 0 ? o->v->header->unk_score : o->v->scores[id]) + best_sum(o, text + n, size - n);
        best = score > best ? score : best;
    }
    return best;
}

static void test_unigram_best(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("unigram");
    for (int round = 0; round < 200; round++) {
        char *texts = random_texts(&rng, true), text[256];
        opened o = open_spec((vocab_spec){ .model = ASH_VOCAB_UNIGRAM, .texts = texts });
        for (uint32_t i = 0; i < o.v->header->token_count; i++)
            ((double *)o.v->scores)[i] = -1 - (double)test_rng_below(&rng, 1000) / 64; /* sums are exact */
        for (int i = 0; i < 20; i++) {
            size_t size = random_text(&rng, text, 10), count;
            int32_t *ids = encode(&o, text, size, &count);
            double sum = 0;
            for (size_t k = 0; k < count; k++)
                sum += ids[k] == 0 ? o.v->header->unk_score : o.v->scores[ids[k]];
            if (sum != best_sum(&o, text, size))
                fail_msg("\"%s\" scores %g, %g is possible", text, sum, best_sum(&o, text, size));
            free(ids);
        }
        done(&o);
        free(texts);
    }
}

/* ---- long words ---- */

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double encode_seconds(const opened *o, const char *text, size_t size)
{
    size_t count;
    double started = processor_seconds();
    free(encode(o, text, size, &count));
    return processor_seconds() - started;
}

/* Eight times the text takes about eight times as long; a quadratic search would take 64 times as long. */
static void test_long_words(void **state)
{
    (void)state;
    static const char *const fills[] = { "a", "ab", "then", "\u00fc", LOW, "<sym>", "<sy", "\u4e2d" };
    size_t large = 1 << 20;
    char *text = malloc(large + 8);
    for (uint32_t model = ASH_VOCAB_SPM_BPE; model <= ASH_VOCAB_CHAR_BPE; model++) {
        opened o = open_spec((vocab_spec){ .model = model, .flags = ASH_VOCAB_BYTE_FALLBACK });
        for (size_t f = 0; f < sizeof fills / sizeof *fills; f++) {
            size_t n = strlen(fills[f]), size = large / n * n;
            for (size_t at = 0; at < size; at += n)
                memcpy(text + at, fills[f], n);
            double small = encode_seconds(&o, text, size / 8 / n * n), whole = encode_seconds(&o, text, size);
            print_message("# measure model %u, 1 MiB of \"%s\": %.0f ms\n", model, fills[f], 1e3 * whole);
            if (whole > 30 * small + 0.2)
                fail_msg("model %u: 1 MiB of \"%s\" takes %.2f s, an eighth %.3f s", model, fills[f], whole, small);
        }
        done(&o);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_cut_space),
        cmocka_unit_test(test_no_cut),
        cmocka_unit_test(test_sentencepiece_plainly),
        cmocka_unit_test(test_unigram_best),
        cmocka_unit_test(test_long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
