/* Sampling against a plain reference: full sort, sums in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/ashlar.h"
#include "tests/support/support.h"

#define VOCAB 1003 /* no multiple of any block */

static ashlar_sampler *new_sampler(ashlar_sampler_options o, uint32_t vocab)
{
    ashlar_sampler *s;
    ashlar_error err = { 0 };
    if (ashlar_sampler_new(&o, vocab, &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

static ashlar_sampler_options plain(void)
{
    return (ashlar_sampler_options){ .temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .repeat_penalty = 1,
                                     .repeat_window = 64, .seed = 1 };
}

static void random_logits(test_rng *rng, float *logits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        logits[i] = (float)(test_rng_next(rng) % 4000) / 200 - 10; /* steps of 0.005: ties occur */
}

/* ---- reference ---- */

static const float *sort_by;
static int by_logit(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sort_by[x] != sort_by[y])
        return sort_by[x] > sort_by[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

/* The probabilities that the options leave, by id. */
static void reference(const ashlar_sampler_options *o, const float *logits, uint32_t vocab, double *p)
{
    int32_t *order = malloc(vocab * sizeof *order);
    for (uint32_t i = 0; i < vocab; i++)
        order[i] = (int32_t)i;
    sort_by = logits;
    qsort(order, vocab, sizeof *order, by_logit);
    uint32_t keep = o->top_k && o->top_k < vocab ? o->top_k : vocab;
    double total = 0, sum = 0, max = logits[order[0]];
    memset(p, 0, vocab * sizeof *p);
    for (uint32_t i = 0; i < keep; i++)
        total += p[order[i]] = exp((logits[order[i]] - max) / (double)o->temperature);
    double kept = 0;
    for (uint32_t i = 0; i < keep; i++) {
        double w = p[order[i]];
        if (i > 0 && ((o->top_p < 1 && sum >= o->top_p * total) || w < o->min_p))
            p[order[i]] = 0;
        else
            kept += w;
        sum += w;
    }
    for (uint32_t i = 0; i < vocab; i++)
        p[i] /= kept;
    free(order);
}

/* Frequencies of many draws against the probabilities: chi-square over tokens with at least 20 expected draws. With n
 * cells its standard deviation is sqrt(2 n); six of them is an event of 1e-9 for a right sampler, and the seed is
 * fixed. A token of probability 0 must never be drawn. */
static void check_distribution(const ashlar_sampler_options *o, const float *logits, uint32_t vocab)
{
    enum { DRAWS = 40000 };
    double *p = malloc(vocab * sizeof *p);
    uint32_t *seen = calloc(vocab, sizeof *seen);
    reference(o, logits, vocab, p);
    ashlar_sampler *s = new_sampler(*o, vocab);
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = ashlar_sampler_next(s, logits);
        assert_true(id >= 0 && (uint32_t)id < vocab);
        seen[id]++;
        if (p[id] == 0)
            fail_msg("token %d has probability 0", id);
    }
    double chi = 0, cells = 0, rest = 0, rest_expected = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        double expected = p[i] * DRAWS;
        if (expected >= 20) {
            chi += (seen[i] - expected) * (seen[i] - expected) / expected;
            cells++;
        } else {
            rest += seen[i];
            rest_expected += expected;
        }
    }
    if (rest_expected >= 20) {
        chi += (rest - rest_expected) * (rest - rest_expected) / rest_expected;
        cells++;
    }
    if (chi > cells + 6 * sqrt(2 * cells) + 6)
        fail_msg("chi-square %.1f over %.0f cells (k %u, p %g, min %g, T %g)", chi, cells, o->top_k, (double)o->top_p,
                 (double)o->min_p, (double)o->temperature);
    ashlar_sampler_free(s);
    free(seen);
    free(p);
}

static void test_distributions(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("sampler");
    float logits[VOCAB];
    random_logits(&rng, logits, VOCAB);
    static const struct { float t; uint32_t k; float p, min; } cases[] = {
        { 1, 0, 1, 0 }, { 0.7f, 40, 0.95f, 0.05f }, { 1.5f, 0, 0.9f, 0 }, { 1, 0, 1, 0.1f }, { 1, 7, 1, 0 },
        { 2, 500, 0.99f, 0.001f }, { 5, 0, 0.97f, 0 }, { 0.3f, 2000, 1, 0 }, { 1, 2, 0.5f, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ashlar_sampler_options o = plain();
        o.temperature = cases[i].t;
        o.top_k = cases[i].k;
        o.top_p = cases[i].p;
        o.min_p = cases[i].min;
        o.seed = 77 + i;
        check_distribution(&o, logits, VOCAB);
    }
}

static void test_greedy(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("greedy");
    float logits[VOCAB];
    for (int round = 0; round < 200; round++) {
        uint32_t vocab = 1 + test_rng_next(&rng) % VOCAB;
        random_logits(&rng, logits, vocab);
        uint32_t best = 0;
        for (uint32_t i = 1; i < vocab; i++)
            if (logits[i] > logits[best])
                best = i;
        ashlar_sampler_options o = plain();
        o.temperature = round % 2 ? 0 : 1;
        o.top_k = round % 2 ? 0 : 1; /* top-k 1 is greedy too */
        ashlar_sampler *s = new_sampler(o, vocab);
        assert_int_equal(ashlar_sampler_next(s, logits), best);
        ashlar_sampler_free(s);
    }
}

/* The largest logits alone, as a card gives them, lead to the token that all of them do. */
static void test_of_the_largest(void **state)
{
    (void)state;
    enum { GIVEN = 64 };
    static const ashlar_sampler_options options[] = {
        { .temperature = 0.7f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1 },
        { .temperature = 2, .top_k = 64, .top_p = 1, .repeat_penalty = 1 },
        { .temperature = 1, .top_k = 7, .top_p = 0.5f, .repeat_penalty = 1 },
        { .temperature = 1, .top_k = 1, .top_p = 1, .repeat_penalty = 1 },
        { .temperature = 0, .top_k = 40, .top_p = 1, .repeat_penalty = 1 },
    };
    static const uint32_t expected[] = { 40, 64, 7, 1, 1 };
    float logits[VOCAB], largest[GIVEN];
    int32_t ids[VOCAB];
    test_rng rng = test_rng_start("largest");
    for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
        ashlar_sampler *all = new_sampler(options[k], VOCAB), *top = new_sampler(options[k], VOCAB);
        assert_int_equal(ashlar_sampler_top(top), expected[k]);
        for (int round = 0; round < 300; round++) {
            random_logits(&rng, logits, VOCAB);
            for (int32_t i = 0; i < VOCAB; i++) {
                logits[i] = round % 3 == 0 ? (float)(test_rng_next(&rng) % 5) : logits[i]; /* most are equal to others */
                ids[i] = i;
            }
            sort_by = logits;
            qsort(ids, VOCAB, sizeof *ids, by_logit);
            for (int i = 0; i < GIVEN; i++)
                largest[i] = logits[ids[i]];
            assert_int_equal(ashlar_sampler_next_of(top, ids, largest, GIVEN), ashlar_sampler_next(all, logits));
        }
        ashlar_sampler_free(all);
        ashlar_sampler_free(top);
    }
    ashlar_sampler_options o = plain(); /* all logits decide */
    ashlar_sampler *s = new_sampler(o, VOCAB);
    assert_int_equal(ashlar_sampler_top(s), 0);
    ashlar_sampler_free(s);
    o.top_k = VOCAB;
    s = new_sampler(o, VOCAB);
    assert_int_equal(ashlar_sampler_top(s), 0);
    ashlar_sampler_free(s);
    o.top_k = 40, o.repeat_penalty = 1.1f;
    s = new_sampler(o, VOCAB);
    assert_int_equal(ashlar_sampler_top(s), 0);
    ashlar_sampler_free(s);
}

static void test_same_seed_same_tokens(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("seed");
    float logits[VOCAB];
    random_logits(&rng, logits, VOCAB);
    ashlar_sampler_options o = plain();
    int32_t first[50];
    ashlar_sampler *s = new_sampler(o, VOCAB);
    for (int i = 0; i < 50; i++)
        first[i] = ashlar_sampler_next(s, logits);
    ashlar_sampler_reset(s);
    for (int i = 0; i < 50; i++)
        assert_int_equal(ashlar_sampler_next(s, logits), first[i]);
    ashlar_sampler_free(s);
    o.seed = 2;
    s = new_sampler(o, VOCAB);
    int equal = 0;
    for (int i = 0; i < 50; i++)
        equal += ashlar_sampler_next(s, logits) == first[i];
    assert_true(equal < 40);
    ashlar_sampler_free(s);
}

/* Whatever a broken model computes, the id is one of the vocabulary's. */
static void test_hostile_logits(void **state)
{
    (void)state;
    static const float specials[] = { NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 0, -0.0f, 1e-45f };
    test_rng rng = test_rng_start("hostile logits");
    float logits[67];
    for (int round = 0; round < 3000; round++) {
        uint32_t vocab = 1 + test_rng_next(&rng) % 67;
        int kinds = 1 + (int)(test_rng_next(&rng) % 8);
        for (uint32_t i = 0; i < vocab; i++)
            logits[i] = specials[test_rng_next(&rng) % (uint32_t)kinds];
        ashlar_sampler_options o = { .temperature = round % 3 ? (round % 5 ? 0.8f : 1e-40f) : 0,
                                     .top_k = (uint32_t)round % 7, .top_p = round % 2 ? 1 : 0.5f,
                                     .min_p = round % 4 ? 0 : 0.3f, .repeat_penalty = round % 6 ? 1 : 1e-30f,
                                     .repeat_window = 8, .seed = (uint64_t)round };
        ashlar_sampler *s = new_sampler(o, vocab);
        for (int i = 0; i < 4; i++) {
            int32_t id = ashlar_sampler_next(s, logits);
            if (id < 0 || (uint32_t)id >= vocab)
                fail_msg("round %d: id %d of %u", round, id, vocab);
            ashlar_sampler_accept(s, id);
        }
        ashlar_sampler_free(s);
    }
    logits[0] = logits[1] = NAN;
    logits[2] = -5;
    ashlar_sampler_options o = plain();
    ashlar_sampler *s = new_sampler(o, 3); /* a NaN is never preferred to a number */
    for (int i = 0; i < 20; i++)
        assert_int_equal(ashlar_sampler_next(s, logits), 2);
    ashlar_sampler_free(s);
}

static void test_repeat_penalty(void **state)
{
    (void)state;
    float logits[5] = { 2, 1.9f, -1, -1.05f, -9 };
    ashlar_sampler_options o = plain();
    o.temperature = 0;
    o.repeat_penalty = 1.2f;
    o.repeat_window = 2;
    ashlar_sampler *s = new_sampler(o, 5);
    assert_int_equal(ashlar_sampler_next(s, logits), 0);
    ashlar_sampler_accept(s, 0);
    ashlar_sampler_accept(s, 0); /* twice in the window: penalized once */
    assert_int_equal(ashlar_sampler_next(s, logits), 1);
    ashlar_sampler_accept(s, 1);
    assert_int_equal(ashlar_sampler_next(s, logits), 0); /* both penalized */
    ashlar_sampler_accept(s, 4);
    assert_int_equal(ashlar_sampler_next(s, logits), 0); /* 0 has left the window */
    ashlar_sampler_accept(s, -1);
    ashlar_sampler_accept(s, 5); /* no tokens: ignored */
    logits[0] = logits[1] = -20;
    ashlar_sampler_reset(s);
    ashlar_sampler_accept(s, 2); /* negative logits move down too: -1.2 */
    assert_int_equal(ashlar_sampler_next(s, logits), 3);
    ashlar_sampler_free(s);
    o.repeat_window = 3;
    s = new_sampler(o, 5);
    logits[0] = 2.8f;
    logits[1] = 2; /* 2.8 / 1.2 = 2.33 stays first, 2.8 / 1.44 = 1.94 would not */
    ashlar_sampler_accept(s, 0);
    ashlar_sampler_accept(s, 0);
    assert_int_equal(ashlar_sampler_next(s, logits), 0);
    ashlar_sampler_free(s);
}

static void test_bad_options(void **state)
{
    (void)state;
    ashlar_sampler_options bad[7];
    for (int i = 0; i < 7; i++)
        bad[i] = plain();
    bad[0].temperature = -1;
    bad[1].temperature = NAN;
    bad[2].top_p = -0.5f;
    bad[3].top_p = 1.5f;
    bad[4].min_p = -0.1f;
    bad[5].repeat_penalty = 0;
    bad[6].repeat_window = 70000;
    for (int i = 0; i < 7; i++) {
        ashlar_sampler *s;
        ashlar_error err = { 0 };
        assert_int_equal(ashlar_sampler_new(&bad[i], 10, &s, &err), ASHLAR_ERROR_ARGUMENT);
        assert_null(s);
        assert_int_equal(err.status, ASHLAR_ERROR_ARGUMENT);
        assert_true(strlen(err.text) > 10);
        assert_int_equal(ashlar_sampler_new(&bad[i], 10, &s, NULL), ASHLAR_ERROR_ARGUMENT);
    }
    ashlar_sampler *s;
    ashlar_error err;
    assert_int_equal(ashlar_sampler_new(NULL, 0, &s, &err), ASHLAR_ERROR_ARGUMENT);
    ashlar_sampler_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_the_largest),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_same_seed_same_tokens),
        cmocka_unit_test(test_hostile_logits),
        cmocka_unit_test(test_repeat_penalty),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
