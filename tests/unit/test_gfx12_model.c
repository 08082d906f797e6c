/* llama-30m put together from the card's kernels and executed in the interpreter, beside the CPU: prompts through the
 * matrix units and through the decoding kernels, then tokens one by one, all teacher-forced, with the logits of every
 * token. Once with all layers, once with the first alone, where roundings that differ have not yet carried far.
 * What may differ: tests/gfx12/tolerance.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/recipe.h"
#include "runtime/session.h"
#include "tests/gfx12/card_model.h"
#include "tests/gfx12/tolerance.h"
#include "tests/support/card_rounding.h"
#include "tests/support/card_twin.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#define ROWS 44
#define BATCH_PROMPT 64
#define BATCH_DECODED 8

/* Contexts that begin anew, each with a prompt and tokens after it: ROWS tokens in all. */
typedef struct shape {
    uint32_t layers, contexts, prompt, decoded;
} shape;
static const shape shallow = { 1, 4, 9, 2 }; /* 9: the fewest that take the matrix units */

typedef struct subject {
    ashlar_model *model;
    int32_t ids[ROWS];
    uint32_t vocab;
} subject;

static subject open_subject(const char *source, uint32_t convert, const char *name)
{
    char *from = test_shared(source);
    if (!from)
        test_skip("the shared models are absent");
    subject s = { .model = test_load(from, name, convert) };
    test_prompt(s.model, s.ids, ROWS);
    s.vocab = s.model->meta.h.vocab;
    drop_lower_bytes(s.model);
    return s;
}

static float *rows_of(const subject *s)
{
    float *out = malloc(ROWS * s->vocab * sizeof *out);
    assert_non_null(out);
    return out;
}

static void feed_cpu(card_twin *t, const subject *s, uint32_t first, uint32_t count, bool prompt, float *out)
{
    card_twin_feed(t, s->ids + first, count, prompt);
    for (uint32_t i = 0; i < count; i++)
        memcpy(out + (size_t)(first + i) * s->vocab, ashlar_session_logits(t->session, i), s->vocab * sizeof *out);
}

static float *cpu_logits(const subject *s, const shape *how_many, card_twin_rounding how)
{
    card_twin t = card_twin_open(s->model, how);
    float *out = rows_of(s);
    for (uint32_t c = 0, at = 0; c < how_many->contexts; c++) {
        ashlar_error err;
        assert_int_equal(ashlar_session_rewind(t.session, 0, &err), ASHLAR_OK);
        feed_cpu(&t, s, at, how_many->prompt, true, out);
        at += how_many->prompt;
        for (uint32_t i = 0; i < how_many->decoded; i++, at++)
            feed_cpu(&t, s, at, 1, false, out);
    }
    card_twin_free(&t);
    return out;
}

/* Prompts in passes of `batch`, then tokens one by one. */
static float *card_logits(const subject *s, const shape *how_many, uint32_t batch)
{
    ash_hip_plan_options o = { .context = 50, .batch = batch };
    card_model *m = card_model_open(s->model, &o);
    float *out = rows_of(s);
    for (uint32_t c = 0, at = 0; c < how_many->contexts; c++) {
        m->position = 0;
        uint32_t end = at + how_many->prompt;
        for (uint32_t n; at < end + how_many->decoded; at += n) {
            n = at >= end ? 1 : end - at < batch ? end - at : batch;
            m->launches = m->insns = 0;
            const float *logits = card_model_feed(m, s->ids + at, n, ASH_PLAN_ALL);
            for (uint32_t k = 0; k < n; k++)
                memcpy(out + (size_t)(at + k) * s->vocab, logits + k * m->io.logits_stride, s->vocab * sizeof *out);
        }
    }
    if (batch == BATCH_DECODED && how_many->layers > 1)
        print_message("# measure a token of %u layers: %llu launches, %.2f M wave instructions\n", how_many->layers,
                      (unsigned long long)m->launches, (double)m->insns / 1e6);
    assert_true(m->launches <= 5 * how_many->layers + 4); /* of the last decoded token */
    card_model_free(m);
    return out;
}

/* The least of the rows' own shares; without the first of each context, which attends to itself alone. */
static double nearest_row(const subject *s, const shape *how_many, const float *got, const float *like,
                          const float *exact)
{
    double least = INFINITY;
    for (int k = 0; k < ROWS; k++)
        if (k % (int)(how_many->prompt + how_many->decoded) != 0)
            least = fmin(least, gfx_logits_distance(got, like, s->vocab, k, k + 1) /
                                    gfx_logits_distance(like, exact, s->vocab, k, k + 1));
    return least;
}

static void check(const subject *s, const shape *how_many, bool prompt, const char *name)
{
    bool deep = how_many->layers > 1;
    float *got = card_logits(s, how_many, prompt ? BATCH_PROMPT : BATCH_DECODED);
    float *like = cpu_logits(s, how_many, prompt ? CARD_TWIN_ALL : CARD_TWIN_DECODING);
    float *exact = cpu_logits(s, how_many, CARD_TWIN_EXACT);
    double noise = gfx_logits_distance(like, exact, s->vocab, 0, ROWS);
    double off = gfx_logits_distance(got, exact, s->vocab, 0, ROWS) / noise;
    double apart = gfx_logits_distance(got, like, s->vocab, 0, ROWS) / noise;
    double nearest = nearest_row(s, how_many, got, like, exact);
    print_message("# measure %s, %u layers, %s: rounding %.4f; card off by %.3f of it, from the CPU %.3f, where "
                  "nearest %.3f\n", name, how_many->layers, prompt ? "prompt" : "decoded", noise, off, apart, nearest);
    if (!(off <= (deep ? GFX_SAME_MARGIN : GFX_SHALLOW_MARGIN)))
        fail_msg("%s, %u layers: the card's logits are off by %.3f of the rounding", name, how_many->layers, off);
    if (!(apart <= (deep ? GFX_APART : GFX_SHALLOW_APART)))
        fail_msg("%s, %u layers: the card's logits are %.3f of the rounding from the CPU's", name, how_many->layers,
                 apart);
    if (!(deep || nearest <= GFX_NEAREST))
        fail_msg("%s: no row is nearer to the CPU's than %.3f of the rounding", name, nearest);
    free(got), free(like), free(exact);
}

static void check_type(const char *source, uint32_t convert, const char *name)
{
    subject s = open_subject(source, convert, name);
    uint32_t layers = s.model->meta.h.layers;
    shape whole = { layers, 1, 40, 4 };
    for (int prompt = 0; prompt < 2; prompt++)
        check(&s, &whole, prompt, name);
    s.model->meta.h.layers = shallow.layers;
    for (int prompt = 0; prompt < 2; prompt++)
        check(&s, &shallow, prompt, name);
    s.model->meta.h.layers = layers;
    card_rounding_free();
    ashlar_model_free(s.model);
}

static void test_q8_0(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_Q8_0, "q8_0.ashlar");
}

static void test_q4_k(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_Q4_K, "q4_k.ashlar");
}

static void test_fp8(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_F8_E4M3, "fp8.ashlar");
}

static void test_fp8_static(void **state)
{
    (void)state;
    check_type("models/llama-30m-fp8", ASH_TYPE_KEEP, "fp8_static.ashlar");
}

static void test_bf16(void **state)
{
    (void)state;
    check_type("models/llama-30m", ASH_TYPE_KEEP, "bf16.ashlar");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q8_0),       cmocka_unit_test(test_q4_k), cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_fp8_static), cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests_name("gfx12_model", tests, NULL, NULL);
}
