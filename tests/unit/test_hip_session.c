/* Sessions on a card (the stand-in) beyond one token after the other: prompts of several passes, the likeliest tokens in place
 * of all logits, and several sessions that share a pass. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "runtime/hip/plan.h"
#include "runtime/session.h"
#include "tests/support/hip.h"
#include "tests/support/make_gguf.h"
#include "tests/support/session.h"

static ashlar_model *model; /* 2 layers, 288 tokens */

static int open_model(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.context = 512;
    model = test_load(make_gguf("tiny", &spec), "tiny.ashlar", ASH_TYPE_KEEP);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ashlar_model_free(model);
    return 0;
}

static void assert_same_logits(const ashlar_session *a, const ashlar_session *b)
{
    const float *x = ashlar_session_logits(a, 0), *y = ashlar_session_logits(b, 0);
    assert_non_null(x);
    assert_non_null(y);
    assert_memory_equal(x, y, model->meta.h.vocab * sizeof *x);
}

/* ---- prompts ---- */

/* Of a prompt that takes two passes the last one's results come back alone. */
static void test_passes(void **state)
{
    (void)state;
    enum { LONG = ASH_BATCH + 4 };
    int32_t ids[LONG];
    hip_standin();
    hip_reset();
    test_ids(ids, LONG, "passes");
    ashlar_session_options o = { .context = LONG, .device = "hip", .card_layers = 1 }; /* then passes are of ASH_BATCH */
    ashlar_session *whole = hip_session(model, &o), *apart = hip_session(model, &o), *choice = hip_session(model, &o);
    test_feed(apart, ids, ASH_BATCH);
    standin_counts before = hip_counts();
    test_feed(apart, ids + ASH_BATCH, 4);
    standin_counts after = hip_counts();
    uint64_t row = after.copied_bytes[STANDIN_TO_HOST] - before.copied_bytes[STANDIN_TO_HOST];
    before = after;
    test_feed(whole, ids, LONG);
    after = hip_counts();
    assert_int_equal(after.copies[STANDIN_TO_HOST] - before.copies[STANDIN_TO_HOST], 1);
    assert_int_equal(after.copied_bytes[STANDIN_TO_HOST] - before.copied_bytes[STANDIN_TO_HOST], row);
    assert_same_logits(whole, apart);
    before = after;
    test_feed_as(choice, ids, LONG, ASHLAR_FEED_CHOOSE);
    after = hip_counts();
    assert_int_equal(after.copied_bytes[STANDIN_TO_HOST] - before.copied_bytes[STANDIN_TO_HOST], sizeof(int32_t));
    const float *logits = ashlar_session_logits(whole, 0);
    for (uint32_t i = 0; i < model->meta.h.vocab; i++)
        assert_true(logits[i] <= logits[ashlar_session_choice(choice)]);
    ashlar_session_free(whole);
    ashlar_session_free(apart);
    ashlar_session_free(choice);
    hip_assert_clean();
    hip_assert_freed();
}

/* A pass of more than 200 launches: a graph of so many would read stale pointers, as the stand-in's do. */
static void test_deep(void **state)
{
    (void)state;
    int32_t ids[2][3];
    make_spec spec = make_defaults();
    spec.layers = 41, spec.hidden = 64, spec.ffn = 64, spec.heads = 1, spec.kv_heads = 1;
    hip_standin();
    ashlar_model *deep = test_load(make_gguf("deep", &spec), "deep.ashlar", ASH_TYPE_KEEP);
    for (int no_graph = 0; no_graph < 2; no_graph++) {
        ashlar_session_options o = { .context = 16, .device = "hip", .no_graph = no_graph, .threads = 1 };
        int32_t id = 7;
        hip_reset();
        ashlar_session *s = hip_session(deep, &o);
        for (int i = 0; i < 3; i++) {
            standin_counts before = hip_counts();
            test_feed_as(s, &id, 1, ASHLAR_FEED_CHOOSE);
            ids[no_graph][i] = id = ashlar_session_choice(s);
            standin_counts after = hip_counts();
            if (i > 0) { /* the weights have arrived */
                assert_int_equal(after.graph_launches - before.graph_launches, no_graph ? 0 : 2);
                assert_int_equal(after.graph_kernels - before.graph_kernels, no_graph ? 0 : 5 * 41 + 3);
            }
        }
        ashlar_session_free(s);
        hip_assert_clean();
        hip_assert_freed();
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    ashlar_model_free(deep);
}

/* Short passes of each length have a graph of their own. */
static void test_lengths(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 1, 2, 3, 8, 2, 1, 3 }; /* the first waits for the weights, without a graph */
    int32_t ids[20];
    hip_standin();
    hip_reset();
    test_ids(ids, 20, "lengths");
    ashlar_session_options o = { .context = 32, .device = "hip", .threads = 1 };
    ashlar_session *graphs = hip_session(model, &o);
    o.no_graph = 1;
    ashlar_session *launches = hip_session(model, &o);
    for (size_t i = 0, at = 0; i < sizeof lengths / sizeof *lengths; at += lengths[i++]) {
        test_feed(launches, ids + at, lengths[i]);
        standin_counts before = hip_counts();
        test_feed(graphs, ids + at, lengths[i]);
        assert_int_equal(hip_counts().graph_launches - before.graph_launches, i > 0);
        assert_same_logits(graphs, launches);
    }
    ashlar_session_free(graphs);
    ashlar_session_free(launches);
    hip_assert_clean();
    hip_assert_freed();
}

/* ---- memory and cards ---- */

static int try_open(ashlar_session_options o, char device[64], ashlar_error *err)
{
    ashlar_session *s;
    int status = ashlar_session_new(model, &o, &s, err);
    if (status == ASHLAR_OK)
        snprintf(device, 64, "%.63s", ashlar_session_device(s));
    ashlar_session_free(s);
    return status;
}

static uint32_t number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (!at)
        fail_msg("no %s in: %s", word, text);
    return (uint32_t)strtoul(at + strlen(word), NULL, 10);
}

/* As many of the last layers as fit are the card's: with room for four of five to the byte these, and with less three. */
static void test_layers_that_fit(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.layers = 5;
    hip_standin();
    ashlar_model *five = test_load(make_gguf("five", &spec), "five.ashlar", ASH_TYPE_KEEP);
    ash_hip_plan *plan;
    ash_error err;
    assert_ok(ash_hip_plan_new(five, &(ash_hip_plan_options){ .context = 32, .batch = 32, .first_layer = 1 }, &plan, &err),
              &err);
    ash_hip_plan_memory m = ash_hip_plan_sizes(plan);
    ash_hip_plan_free(plan);
    for (unsigned less = 0; less < 2; less++) {
        char memory[32];
        snprintf(memory, sizeof memory, "%llu",
                 (unsigned long long)(m.weights + m.constants + m.workspace + m.cache) + (UINT64_C(256) << 20) - less);
        hip_set("ASHLAR_STANDIN_MEMORY", memory);
        ashlar_session_options o = { .context = 32, .device = "hip", .threads = 1 };
        ashlar_session *s = hip_session(five, &o);
        assert_non_null(strstr(ashlar_session_device(s), less ? "3 of 5 layers" : "4 of 5 layers"));
        ashlar_session_free(s);
        hip_assert_freed();
    }
    hip_set("ASHLAR_STANDIN_MEMORY", NULL);
    ashlar_model_free(five);
}

/* A card with a little less than is asked for: what the message advises fits, and no more would. */
static void test_advice(void **state)
{
    (void)state;
    ashlar_session_options o = { .context = 512, .device = "hip", .card_layers = 2, .threads = 1 };
    ash_hip_plan *plan;
    ash_error err;
    ashlar_error public_err;
    char memory[32], device[64];
    hip_standin();
    assert_ok(ash_hip_plan_new(model, &(ash_hip_plan_options){ .context = 512, .batch = 512 }, &plan, &err), &err);
    ash_hip_plan_memory m = ash_hip_plan_sizes(plan);
    ash_hip_plan_free(plan);
    uint64_t all = m.weights + m.constants + m.workspace + m.cache;
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)all + (UINT64_C(256) << 20));
    hip_set("ASHLAR_STANDIN_MEMORY", memory); /* to the byte */
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_OK);
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)all + (UINT64_C(256) << 20) - 100000);
    hip_set("ASHLAR_STANDIN_MEMORY", memory);
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_ERROR_LIMIT);
    char text[sizeof public_err.text];
    memcpy(text, public_err.text, sizeof text);
    uint32_t context = number_after(text, "--ctx "), layers = number_after(text, "--gpu-layers ");
    assert_non_null(strstr(text, " or --kv fp8 or "));
    assert_non_null(strstr(text, "or weights in q8_0 (convert --type)"));
    assert_int_equal(layers, 1);
    assert_true(context > 100 && context < 512);
    o.context = context;
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_OK);
    o.context++;
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_ERROR_LIMIT);
    o.context = 512, o.cache = ASHLAR_CACHE_FP8;
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_OK);
    o.cache = ASHLAR_CACHE_F16, o.card_layers = 1;
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_OK);
    o.card_layers = 2;
    make_spec spec = make_defaults();
    spec.context = 512;
    ashlar_model *whole = model;
    model = test_load(make_gguf("tiny", &spec), "tiny-q8_0.ashlar", ASH_Q8_0);
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_OK);
    ashlar_model_free(model);
    model = whole;
    o.card_layers = 0; /* as many as fit */
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_OK);
    assert_non_null(strstr(device, "1 of 2 layers"));
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)(all - m.cache) + (UINT64_C(256) << 20));
    o.card_layers = 2;
    hip_set("ASHLAR_STANDIN_MEMORY", memory); /* half a cache is none */
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_ERROR_LIMIT);
    assert_null(strstr(public_err.text, "--kv fp8"));
    hip_set("ASHLAR_STANDIN_MEMORY", "268500000"); /* next to nothing */
    assert_int_equal(try_open(o, device, &public_err), ASHLAR_ERROR_LIMIT);
    assert_non_null(strstr(public_err.text, "): use the CPU"));
    hip_set("ASHLAR_STANDIN_MEMORY", NULL);
}

/* Of two cards of ours the one with more memory left. */
static void test_two_cards(void **state)
{
    (void)state;
    ashlar_session_options o = { .context = 32, .device = "hip:0", .threads = 1 };
    const int32_t ids[2] = { 1, 2 };
    ashlar_error err;
    hip_standin();
    char *nodes = test_path("two"), *one = strdup(getenv("ASHLAR_KFD_NODES"));
    assert_non_null(one);
    setenv("ASHLAR_KFD_NODES", nodes, 1);
    hip_set("ASHLAR_STANDIN_CARDS", "gfx1201:A,gfx1201:B");
    ashlar_session *s[2] = { hip_session(model, &o), NULL };
    o.device = "hip";
    s[1] = test_session(model, o);
    assert_non_null(strstr(ashlar_session_device(s[1]), "hip:1, B"));
    assert_int_equal(ashlar_sessions_feed(s, 2, ids, &err), ASHLAR_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "another device"));
    test_feed(s[0], ids, 2);
    test_feed(s[1], ids, 2);
    assert_same_logits(s[0], s[1]);
    ashlar_session_free(s[0]);
    ashlar_session_free(s[1]);
    hip_assert_clean();
    hip_assert_freed();
    setenv("ASHLAR_KFD_NODES", one, 1);
    hip_set("ASHLAR_STANDIN_CARDS", NULL);
    free(nodes), free(one);
}

/* ---- the likeliest tokens ---- */

enum { PROMPT = 12, STEPS = 6 };

static void sample_both(const ashlar_sampler_options *options, bool no_graph)
{
    ashlar_session_options o = { .context = 64, .device = "hip", .no_graph = no_graph };
    ashlar_sampler *of_all, *of_top;
    ashlar_error err;
    int32_t ids[PROMPT], next;
    uint32_t vocab = model->meta.h.vocab;
    hip_reset();
    test_ids(ids, PROMPT, "top");
    assert_int_equal(ashlar_sampler_new(options, vocab, &of_all, &err), ASHLAR_OK);
    assert_int_equal(ashlar_sampler_new(options, vocab, &of_top, &err), ASHLAR_OK);
    ashlar_session *all = hip_session(model, &o), *top = hip_session(model, &o);
    test_feed(all, ids, PROMPT);
    test_feed_as(top, ids, PROMPT, ASHLAR_FEED_TOP);
    for (int i = 0; i < STEPS; i++) {
        const int32_t *best;
        const float *values, *logits = ashlar_session_logits(all, 0);
        size_t count = ashlar_session_top(top, &best, &values);
        assert_int_equal(count, ASHLAR_TOP);
        assert_null(ashlar_session_logits(top, 0));
        for (size_t k = 0; k < count; k++)
            assert_memory_equal(&values[k], &logits[best[k]], sizeof *values);
        next = ashlar_sampler_next(of_all, logits);
        assert_int_equal(ashlar_sampler_next_of(of_top, best, values, count), next);
        test_feed(all, &next, 1);
        standin_counts before = hip_counts();
        test_feed_as(top, &next, 1, ASHLAR_FEED_TOP);
        standin_counts after = hip_counts();
        assert_int_equal(after.copies[STANDIN_TO_HOST] - before.copies[STANDIN_TO_HOST], 1);
        assert_int_equal(after.copied_bytes[STANDIN_TO_HOST] - before.copied_bytes[STANDIN_TO_HOST],
                         ASHLAR_TOP * (sizeof(float) + sizeof(int32_t)));
        assert_int_equal(after.graph_launches - before.graph_launches, no_graph ? 0 : 1);
    }
    /* What else is asked for takes other graphs. */
    test_feed_as(top, &next, 1, ASHLAR_FEED_CHOOSE);
    next = ashlar_session_choice(top);
    const int32_t *none;
    const float *no_values;
    assert_int_equal(ashlar_session_top(top, &none, &no_values), 0);
    test_feed(top, &next, 1);
    assert_non_null(ashlar_session_logits(top, 0));
    ashlar_session_free(all);
    ashlar_session_free(top);
    ashlar_sampler_free(of_all);
    ashlar_sampler_free(of_top);
    hip_assert_clean();
    hip_assert_freed();
}

static void test_top(void **state)
{
    (void)state;
    ashlar_sampler_options defaults = ashlar_sampler_defaults(), o = defaults;
    hip_standin();
    sample_both(&defaults, false);
    o.temperature = 3, o.top_k = ASHLAR_TOP, o.top_p = 1, o.min_p = 0, o.seed = 5;
    sample_both(&o, true);
}

/* Logits that are not finite: all of them come, since their order is not a sampler's. */
static void test_top_not_finite(void **state)
{
    (void)state;
    float *norm = malloc(model->meta.h.hidden * sizeof *norm);
    const float *kept = model->output_norm;
    const int32_t *ids, id = 5;
    const float *values;
    assert_non_null(norm);
    hip_standin();
    hip_set("ASHLAR_STANDIN_DELAY", "20000"); /* logits that are not waited for have not come yet */
    for (uint32_t i = 0; i < model->meta.h.hidden; i++)
        norm[i] = i == 3 ? INFINITY : 1;
    model->output_norm = norm;
    ashlar_session_options o = { .context = 64, .device = "hip" };
    ashlar_session *s = hip_session(model, &o);
    test_feed_as(s, &id, 1, ASHLAR_FEED_TOP);
    assert_int_equal(ashlar_session_top(s, &ids, &values), 0);
    assert_non_null(ashlar_session_logits(s, 0));
    for (uint32_t i = 0; i < model->meta.h.vocab; i++)
        assert_true(isinf(ashlar_session_logits(s, 0)[i])); /* fresh memory of the stand-in holds NaN */
    ashlar_session_free(s);
    model->output_norm = kept;
    free(norm);
    hip_assert_freed();
    hip_set("ASHLAR_STANDIN_DELAY", NULL);
}

/* ---- several sessions ---- */

#define SESSIONS 10 /* a pass of eight and one of two */

static ashlar_session_options kind_of(int i)
{
    static const uint32_t contexts[] = { 64, 96, 40 };
    int cache = i % 4 == 1 ? ASHLAR_CACHE_FP8 : ASHLAR_CACHE_F16;
    return (ashlar_session_options){ .context = contexts[i % 3], .device = "hip", .cache = cache, .threads = 1 };
}

/* Each goes on as it would alone, to the bit: a row of the decoding kernels does not look at the others. */
static void test_together(void **state)
{
    (void)state;
    ashlar_session *together[SESSIONS], *alone[SESSIONS];
    int32_t ids[40], next[SESSIONS];
    ashlar_error err;
    hip_standin();
    hip_reset();
    test_ids(ids, 40, "together");
    for (int i = 0; i < SESSIONS; i++) {
        ashlar_session_options o = kind_of(i);
        together[i] = hip_session(model, &o);
        alone[i] = hip_session(model, &o);
        test_feed(together[i], ids + i, 3 + (uint32_t)i * 2);
        test_feed(alone[i], ids + i, 3 + (uint32_t)i * 2);
    }
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < SESSIONS; i++) {
            next[i] = ids[(7 * i + step) % 40];
            test_feed(alone[i], &next[i], 1);
        }
        standin_counts before = hip_counts();
        if (ashlar_sessions_feed(together, SESSIONS, next, &err) != ASHLAR_OK)
            fail_msg("%s", err.text);
        standin_counts after = hip_counts();
        uint32_t layers = model->meta.h.layers; /* four products, and attention for each session */
        assert_int_equal(after.launches - before.launches, layers * (4 + 8) + 2 + layers * (4 + 2) + 2);
        assert_int_equal(after.copies[STANDIN_TO_HOST] - before.copies[STANDIN_TO_HOST], 2);
        assert_int_equal(after.calls[STANDIN_Malloc] + after.calls[STANDIN_HostMalloc],
                         before.calls[STANDIN_Malloc] + before.calls[STANDIN_HostMalloc]);
        for (int i = 0; i < SESSIONS; i++) {
            assert_int_equal(ashlar_session_position(together[i]), ashlar_session_position(alone[i]));
            assert_same_logits(together[i], alone[i]);
        }
    }
    for (int i = 0; i < SESSIONS; i++) { /* and afterwards */
        test_feed(together[i], &next[0], 1);
        test_feed(alone[i], &next[0], 1);
        assert_same_logits(together[i], alone[i]);
        ashlar_session_free(together[i]);
        ashlar_session_free(alone[i]);
    }
    hip_assert_clean();
    hip_assert_freed();
}

/* A choice that the card has made and put in place itself is not mistaken for its own after a pass together. */
static void test_together_after_choosing(void **state)
{
    (void)state;
    ashlar_session *s[2], *plain;
    int32_t first[3] = { 10, 11, 12 }, next[2];
    ashlar_error err;
    hip_standin();
    hip_reset();
    ashlar_session_options o = kind_of(0);
    s[0] = hip_session(model, &o), s[1] = hip_session(model, &o), plain = hip_session(model, &o);
    test_feed_as(s[0], first, 3, ASHLAR_FEED_CHOOSE);
    test_feed(s[1], first, 2);
    test_feed(plain, first, 3);
    int32_t choice = ashlar_session_choice(s[0]);
    next[0] = choice == 21 ? 22 : 21;
    next[1] = 20;
    assert_int_equal(ashlar_sessions_feed(s, 2, next, &err), ASHLAR_OK);
    assert_int_equal(ashlar_session_rewind(s[0], 3, &err), ASHLAR_OK);
    next[0] = choice;
    test_feed(s[0], next, 1);
    test_feed(plain, next, 1);
    assert_same_logits(s[0], plain);
    ashlar_session_free(s[0]), ashlar_session_free(s[1]), ashlar_session_free(plain);
    hip_assert_clean();
    hip_assert_freed();
}

/* Nor is another token, or its own at another place than the card has put it to. */
static void test_choice_not_taken(void **state)
{
    (void)state;
    const int32_t first[3] = { 10, 11, 12 };
    ashlar_error err;
    hip_standin();
    hip_reset();
    ashlar_session_options o = kind_of(0);
    ashlar_session *s = hip_session(model, &o), *plain = hip_session(model, &o);
    test_feed_as(s, first, 3, ASHLAR_FEED_CHOOSE);
    int32_t next = ashlar_session_choice(s);
    assert_int_equal(ashlar_session_rewind(s, 1, &err), ASHLAR_OK);
    test_feed(s, &next, 1);
    test_feed(plain, first, 1);
    test_feed(plain, &next, 1);
    assert_same_logits(s, plain);
    test_feed_as(s, first, 1, ASHLAR_FEED_CHOOSE);
    test_feed(plain, first, 1);
    next = ashlar_session_choice(s) == 5 ? 6 : 5;
    test_feed(s, &next, 1);
    test_feed(plain, &next, 1);
    assert_same_logits(s, plain);
    ashlar_session_free(s), ashlar_session_free(plain);
    hip_assert_clean();
    hip_assert_freed();
}

static void test_together_refused(void **state)
{
    (void)state;
    ashlar_session *s[2];
    const int32_t ids[2] = { 1, 2 };
    ashlar_error err;
    hip_standin();
    hip_reset();
    ashlar_session_options on_card = kind_of(0), split = on_card, cpu = { .context = 64, .threads = 1 };
    split.card_layers = 1;
    s[0] = hip_session(model, &on_card);
    s[1] = test_session(model, cpu);
    assert_int_equal(ashlar_sessions_feed(s, 2, ids, &err), ASHLAR_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "session 1 is on another device than the first"));
    ashlar_session_free(s[1]);
    s[1] = hip_session(model, &split);
    assert_int_equal(ashlar_sessions_feed(s, 2, ids, &err), ASHLAR_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "session 1 has 1 of its layers on the CPU"));
    assert_int_equal(ashlar_session_position(s[0]) + ashlar_session_position(s[1]), 0);
    ashlar_session_free(s[0]);
    ashlar_session_free(s[1]);
    hip_assert_freed();
}

/* Two sessions, a token together: how many calls there had been of a kind before, and how it ended. */
static int run_two(standin_call call, uint64_t *before, ashlar_error *err)
{
    ashlar_session *s[2] = { NULL, NULL };
    const int32_t ids[2] = { 1, 2 };
    ashlar_session_options o = kind_of(0);
    int status = ASHLAR_OK;
    for (int i = 0; i < 2 && status == ASHLAR_OK; i++)
        status = ashlar_session_new(model, &o, &s[i], err);
    for (int i = 0; i < 2 && status == ASHLAR_OK; i++)
        status = ashlar_session_feed(s[i], ids, 2, 0, err);
    *before = hip_counts().calls[call];
    if (status == ASHLAR_OK) {
        status = ashlar_sessions_feed(s, 2, ids, err);
        for (int i = 0; i < 2; i++) /* all of them or none */
            assert_int_equal(ashlar_session_position(s[i]), status == ASHLAR_OK ? 3 : 2);
    }
    ashlar_session_free(s[0]);
    ashlar_session_free(s[1]);
    return status;
}

static void test_together_fails(void **state)
{
    (void)state;
    static const struct { standin_call call; const char *name; unsigned calls; } kinds[] = {
        { STANDIN_MemcpyAsync, "MemcpyAsync", 3 }, { STANDIN_ModuleLaunchKernel, "ModuleLaunchKernel", 14 }
    };
    ashlar_error err;
    hip_standin();
    for (size_t k = 0; k < 2; k++) {
        uint64_t before, ignored;
        hip_set("ASHLAR_STANDIN_FAIL", NULL);
        assert_int_equal(run_two(kinds[k].call, &before, &err), ASHLAR_OK);
        for (unsigned n = 1; n <= kinds[k].calls; n++) {
            char what[64];
            snprintf(what, sizeof what, "%s:%llu%s", kinds[k].name, (unsigned long long)before + n, n % 2 ? "" : "~719");
            hip_set("ASHLAR_STANDIN_FAIL", what);
            assert_int_not_equal(run_two(kinds[k].call, &ignored, &err), ASHLAR_OK);
            assert_non_null(strstr(err.text, "hipError"));
            hip_assert_freed();
        }
    }
    hip_set("ASHLAR_STANDIN_FAIL", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),           cmocka_unit_test(test_deep),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_layers_that_fit),
        cmocka_unit_test(test_advice),           cmocka_unit_test(test_two_cards),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_top_not_finite),   cmocka_unit_test(test_together),
        cmocka_unit_test(test_together_after_choosing), cmocka_unit_test(test_choice_not_taken),
        cmocka_unit_test(test_together_refused),
        cmocka_unit_test(test_together_fails),
    };
    return cmocka_run_group_tests_name("hip_session", tests, open_model, close_model);
}
