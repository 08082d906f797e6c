/* Whole models through the HIP runtime, on the stand-in: the product's own loader, plan, launches and graphs.
 *
 * Tokens are those that the CPU would choose, fed to both (teacher-forced); what the logits may differ by is what
 * rounding itself does to them, as tests/gfx12/tolerance.h derives it for a CPU that rounds what the card rounds, in
 * prompts too (tests/support/card_twin.h): N is that one's distance from the same model with inputs that are not
 * rounded. Where the CPU has the first layers, it rounds their inputs as it does by itself, and each layer's rounding
 * is one or the other's: the distance lies between both, and is held against the larger.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/recipe.h"
#include "runtime/model.h"
#include "tests/gfx12/tolerance.h"
#include "tests/support/card_rounding.h"
#include "tests/support/card_twin.h"
#include "tests/support/hip.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#define PROMPT 40
#ifdef __SANITIZE_THREAD__ /* thirty times as slow: one type, and fewer tokens */
#define DECODED 3
#else
#define DECODED 16
#endif
#define ROWS (1 + DECODED) /* of logits: the prompt's last token, and each decoded one */

/* ---- models and logits ---- */

typedef struct subject {
    ashlar_model *model;
    int32_t ids[PROMPT + DECODED];
    uint32_t vocab;
} subject;

/* source: among the shared files; NULL: SmolLM2, as the demo fetches it. */
static ashlar_model *open_source(const char *source, uint32_t type, const char *name)
{
    const char *smollm2 = getenv("SMOLLM2_GGUF");
    char *from = source ? test_shared(source) : smollm2 && test_exists(smollm2) ? strdup(smollm2) : NULL;
    if (!from && source)
        test_skip("the shared models are absent");
    if (!from)
        test_skip("SMOLLM2_GGUF names no file");
    return test_load(from, name, type);
}

static int32_t most_likely(const float *logits, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

/* Feeds the prompt, then one token after the other: s->ids, or with `choose` the session's own choice, kept there. */
static float *run(subject *s, ashlar_session *session, bool choose)
{
    float *out = malloc(ROWS * s->vocab * sizeof *out);
    assert_non_null(out);
    test_feed_as(session, s->ids, PROMPT, 0);
    for (int i = 0; i < ROWS; i++) {
        const float *logits = ashlar_session_logits(session, 0);
        assert_non_null(logits);
        memcpy(out + (size_t)i * s->vocab, logits, s->vocab * sizeof *out);
        if (i == DECODED)
            break;
        if (choose)
            s->ids[PROMPT + i] = most_likely(logits, s->vocab);
        test_feed_as(session, &s->ids[PROMPT + i], 1, 0);
    }
    ashlar_session_free(session);
    return out;
}

static float *run_cpu(subject *s, int activations, bool choose)
{
    ashlar_session_options o = { .context = 64, .activations = activations, .threads = 2 };
    return run(s, test_session(s->model, o), choose);
}

/* The same ids on the CPU as a card rounds them, or not rounded at all. */
static float *run_twin(subject *s, card_twin_rounding how)
{
    card_twin t = card_twin_open(s->model, how);
    float *out = malloc(ROWS * s->vocab * sizeof *out);
    assert_non_null(out);
    card_twin_feed(&t, s->ids, PROMPT, true);
    memcpy(out, ashlar_session_logits(t.session, PROMPT - 1), s->vocab * sizeof *out);
    for (int i = 0; i < DECODED; i++) {
        card_twin_feed(&t, &s->ids[PROMPT + i], 1, false);
        memcpy(out + (size_t)(i + 1) * s->vocab, ashlar_session_logits(t.session, 0), s->vocab * sizeof *out);
    }
    card_twin_free(&t);
    return out;
}

static subject open_subject(const char *source, uint32_t type, const char *name, float **rounded)
{
    subject s = { .model = open_source(source, type, name) };
    test_prompt(s.model, s.ids, PROMPT);
    s.vocab = s.model->meta.h.vocab;
    drop_lower_bytes(s.model);
    *rounded = run_cpu(&s, ASHLAR_ACT_INT8, true);
    return s;
}

/* ---- every type ---- */

typedef struct options {
    uint32_t card_layers;
    int no_graph, cache;
} options;

static float *run_card(subject *s, const options *o)
{
    hip_reset();
    ashlar_session_options so = { .context = 64, .threads = 2, .device = "hip", .card_layers = o->card_layers,
                                  .no_graph = o->no_graph, .cache = o->cache };
    float *out = run(s, hip_session(s->model, &so), false);
    hip_assert_clean();
    hip_assert_freed();
    return out;
}

/* layers: on the card in a second run; 0: there is none. */
static void check_type(const char *source, uint32_t type, const char *name, uint32_t layers)
{
    float *rounded;
    hip_standin();
    subject s = open_subject(source, type, name, &rounded);
    float *got = run_card(&s, &(options){ 0 });
    float *split = layers ? run_card(&s, &(options){ .card_layers = layers }) : NULL;
    float *like = run_twin(&s, CARD_TWIN_ALL), *exact = run_twin(&s, CARD_TWIN_EXACT);
    double noise = gfx_logits_distance(like, exact, s.vocab, 0, ROWS);
    double own = gfx_logits_distance(rounded, exact, s.vocab, 0, ROWS);
    double off = gfx_logits_distance(got, exact, s.vocab, 0, ROWS) / noise;
    double apart = gfx_logits_distance(got, like, s.vocab, 0, ROWS) / noise;
    double off_split = split ? gfx_logits_distance(split, exact, s.vocab, 0, ROWS) / fmax(noise, own) : 0;
    assert_true(noise > 0);
    print_message("# measure %s: rounding %.4f, the CPU's own %.4f; card off by %.3f of it, from the CPU %.3f, with %u "
                  "layers there %.3f\n", name, noise, own, off, apart, layers, off_split);
    if (!(off <= GFX_SAME_MARGIN))
        fail_msg("%s: the card's logits are off by %.3f of the rounding", name, off);
    if (!(apart <= GFX_APART))
        fail_msg("%s: the card's logits are %.3f of the rounding from the CPU's", name, apart);
    if (!(off_split <= GFX_SAME_MARGIN))
        fail_msg("%s: with %u layers on the card logits are off by %.3f of the rounding", name, layers, off_split);
    free(rounded), free(got), free(split), free(like), free(exact);
    card_rounding_free();
    ashlar_model_free(s.model);
}

static void test_q8_0(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_Q8_0, "q8_0.ashlar", 2);
}

#ifndef __SANITIZE_THREAD__
static void test_q4_k(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_Q4_K, "q4_k.ashlar", 2);
}

static void test_fp8(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_F8_E4M3, "fp8.ashlar", 2);
}

static void test_bf16(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_TYPE_KEEP, "bf16.ashlar", 2);
}

static void test_smollm2(void **state)
{
    (void)state;
    check_type(NULL, ASH_TYPE_KEEP, "smollm2.ashlar", 4);
}
#endif

/* ---- graphs, choices, turns ---- */

/* Greedy ids that the card chooses itself. */
static void choose_ids(const ashlar_model *model, const int32_t *ids, int no_graph, int32_t out[DECODED])
{
    ashlar_session_options o = { .context = 64, .device = "hip", .no_graph = no_graph };
    hip_reset();
    ashlar_session *session = hip_session(model, &o);
    test_feed_as(session, ids, PROMPT, ASHLAR_FEED_CHOOSE);
    for (int i = 0; i < DECODED; i++) {
        out[i] = ashlar_session_choice(session);
        standin_counts before = hip_counts();
        test_feed_as(session, &out[i], 1, ASHLAR_FEED_CHOOSE);
        standin_counts after = hip_counts();
        uint64_t launches = after.launches - before.launches + after.graph_kernels - before.graph_kernels;
        assert_true(launches <= 5 * model->meta.h.layers + 4);
        /* It knows its own choice. */
        assert_int_equal(after.copies[STANDIN_TO_DEVICE], before.copies[STANDIN_TO_DEVICE]);
        assert_int_equal(after.copies[STANDIN_TO_HOST] - before.copies[STANDIN_TO_HOST], 1);
        assert_int_equal(after.copied_bytes[STANDIN_TO_HOST] - before.copied_bytes[STANDIN_TO_HOST], sizeof(int32_t));
        assert_int_equal(after.calls[STANDIN_Malloc] + after.calls[STANDIN_HostMalloc],
                         before.calls[STANDIN_Malloc] + before.calls[STANDIN_HostMalloc]);
        assert_int_equal(no_graph ? 0 : after.graph_launches - before.graph_launches > 0, !no_graph);
        if (i == DECODED - 1)
            print_message("# measure a decoded token: %llu launches in %llu graphs, 1 copy of 4 bytes\n",
                          (unsigned long long)launches,
                          (unsigned long long)(after.graph_launches - before.graph_launches));
    }
    ashlar_session_free(session);
    hip_assert_clean();
    hip_assert_freed();
}

static void test_graphs(void **state)
{
    (void)state;
    int32_t with[DECODED], without[DECODED];
    float *rounded;
    hip_standin();
    subject s = open_subject("models/llama-30m", ASH_Q4_K, "q4_k.ashlar", &rounded);
    choose_ids(s.model, s.ids, 0, with);
    choose_ids(s.model, s.ids, 1, without);
    assert_memory_equal(with, without, sizeof with);
    free(rounded);
    ashlar_model_free(s.model);
}

#ifndef __SANITIZE_THREAD__
/* A conversation that grows: the cache keeps what was fed, so that a turn feeds what is new, and rewinding forgets. */
static void test_turns(void **state)
{
    (void)state;
    float *rounded;
    hip_standin();
    subject s = open_subject("models/llama-30m", ASH_Q8_0, "q8_0.ashlar", &rounded);
    ashlar_session_options o = { .context = 64, .device = "hip" };
    ashlar_error err;
    hip_reset();
    ashlar_session *whole = hip_session(s.model, &o), *turns = hip_session(s.model, &o);
    test_feed_as(whole, s.ids, PROMPT, 0);
    test_feed_as(turns, s.ids, 12, 0);
    test_feed_as(turns, s.ids + 20, 5, 0); /* another course, taken back */
    assert_int_equal(ashlar_session_rewind(turns, 12, &err), ASHLAR_OK);
    test_feed_as(turns, s.ids + 12, 3, 0);
    test_feed_as(turns, s.ids + 15, PROMPT - 15, 0);
    assert_int_equal(ashlar_session_position(turns), PROMPT);
    /* Rows of three tokens are rounded in blocks of 32 columns, those of 25 in wider ones: two draws of one rounding.
     * Of the one row that is compared, both the row's own distance and N's are a draw, 13% apart each: three of those.
     */
    float *like = run_twin(&s, CARD_TWIN_ALL), *exact = run_twin(&s, CARD_TWIN_EXACT);
    double noise = gfx_logits_distance(like, exact, s.vocab, 0, 1);
    double off = gfx_logits_distance(ashlar_session_logits(turns, 0), ashlar_session_logits(whole, 0), s.vocab, 0, 1);
    print_message("# measure turns: %.4f from one pass, rounding %.4f\n", off, noise);
    assert_true(off <= GFX_APART * (1 + 3 * sqrt(2) * 0.13) * noise);
    ashlar_session_free(whole);
    ashlar_session_free(turns);
    hip_assert_clean();
    hip_assert_freed();
    free(rounded), free(like), free(exact);
    card_rounding_free();
    ashlar_model_free(s.model);
}
#endif

int main(void)
{
#ifdef __SANITIZE_THREAD__
    print_message("# measure under ThreadSanitizer: Q8_0 and graphs alone, %d decoded tokens\n", DECODED);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_q8_0), cmocka_unit_test(test_graphs) };
#else
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q8_0),   cmocka_unit_test(test_q4_k), cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_bf16),   cmocka_unit_test(test_smollm2),
        cmocka_unit_test(test_graphs), cmocka_unit_test(test_turns),
    };
#endif
    return cmocka_run_group_tests_name("hip_model", tests, NULL, NULL);
}
