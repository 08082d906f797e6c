/* llama-30m put together from the card's kernels and executed in the interpreter, beside the CPU: a prompt through the
 * matrix units, then tokens one by one through the decoding kernels, all teacher-forced.
 * What may differ: tests/gfx12/tolerance.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/recipe.h"
#include "runtime/model.h"
#include "tests/gfx12/card_model.h"
#include "tests/gfx12/tolerance.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#define PROMPT 40
#define DECODED 4

typedef struct subject {
    ashlar_model *model;
    int32_t ids[PROMPT + DECODED];
    uint32_t vocab;
} subject;

static subject open_subject(const char *source, uint32_t type, const char *name)
{
    char *from = test_shared(source);
    if (!from)
        test_skip("the shared models are absent");
    subject s = { .model = test_load(from, name, type) };
    test_prompt(s.model, s.ids, PROMPT + DECODED);
    s.vocab = s.model->meta.h.vocab;
    return s;
}

/* Logits at the prompt's last token and at each decoded one, (1 + DECODED) rows. */
static float *cpu_logits(const subject *s, int activations)
{
    ashlar_session_options o = { .context = 64, .activations = activations, .threads = 2 };
    ashlar_session *session = test_session(s->model, o);
    float *out = malloc((1 + DECODED) * s->vocab * sizeof *out);
    assert_non_null(out);
    for (int i = 0; i <= DECODED; i++) {
        size_t first = i == 0 ? 0 : PROMPT + (size_t)i - 1, count = i == 0 ? PROMPT : 1;
        test_feed(session, s->ids + first, count);
        memcpy(out + (size_t)i * s->vocab, ashlar_session_logits(session, 0), s->vocab * sizeof *out);
    }
    ashlar_session_free(session);
    return out;
}

static float *card_logits(const subject *s, bool decode_prompt, uint64_t *launches, uint64_t *insns)
{
    ash_hip_plan_options o = { .context = 50, .batch = decode_prompt ? 8 : 64 };
    card_model *m = card_model_open(s->model, &o);
    float *out = malloc((1 + DECODED) * s->vocab * sizeof *out);
    assert_non_null(out);
    for (int i = 0; i <= DECODED; i++) {
        uint32_t first = i == 0 ? 0 : PROMPT + (uint32_t)i - 1, count = i == 0 ? PROMPT : 1;
        m->launches = m->insns = 0;
        const float *logits = card_model_feed(m, s->ids + first, count, ASH_PLAN_LAST);
        memcpy(out + (size_t)i * s->vocab, logits, s->vocab * sizeof *out);
    }
    *launches = m->launches, *insns = m->insns; /* of the last decoded token */
    card_model_free(m);
    return out;
}

typedef struct distances {
    double noise;                    /* N */
    double prompt, after, decoded;   /* prompt in one pass, tokens after it; everything decoded */
} distances;

static distances measure(const char *source, uint32_t type, const char *name)
{
    subject s = open_subject(source, type, name);
    uint64_t launches, insns;
    drop_second_step(s.model);
    float *rounded = cpu_logits(&s, ASHLAR_ACT_INT8);
    float *got = card_logits(&s, false, &launches, &insns), *slow = card_logits(&s, true, &launches, &insns);
    drop_input_rounding(s.model);
    float *exact = cpu_logits(&s, ASHLAR_ACT_FLOAT);
    distances d = { .noise = gfx_logits_distance(rounded, exact, s.vocab, 0, 1 + DECODED),
                    .prompt = gfx_logits_distance(got, exact, s.vocab, 0, 1),
                    .after = gfx_logits_distance(got, exact, s.vocab, 1, 1 + DECODED),
                    .decoded = gfx_logits_distance(slow, exact, s.vocab, 0, 1 + DECODED) };
    print_message("# measure %s: rounding %.4f; prompt %.4f, after it %.4f, all decoded %.4f; %llu launches, %.2f M wave "
                  "instructions a token\n", name, d.noise, d.prompt, d.after, d.decoded, (unsigned long long)launches,
                  (double)insns / 1e6);
    assert_true(launches <= 5 * s.model->meta.h.layers + 4);
    free(rounded), free(got), free(slow), free(exact);
    ashlar_model_free(s.model);
    return d;
}

static void check(const distances *d, double noise, double prompt_factor)
{
    if (!(d->prompt <= GFX_LOGITS_MARGIN * prompt_factor * noise))
        fail_msg("the prompt's logits are off by %.4f, rounding by %.4f", d->prompt, noise);
    if (!(d->after <= GFX_LOGITS_MARGIN * prompt_factor * noise)) /* the cache comes from the prompt */
        fail_msg("logits after the prompt are off by %.4f, rounding by %.4f", d->after, noise);
    if (!(d->decoded <= GFX_LOGITS_MARGIN * noise))
        fail_msg("decoded logits are off by %.4f, rounding by %.4f", d->decoded, noise);
}

static double q8_0_noise; /* of test_q8_0, which runs first */

static void test_q8_0(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m", ASH_Q8_0, "q8_0.ashlar");
    q8_0_noise = d.noise;
    check(&d, d.noise, GFX_PROMPT_FACTOR);
}

static void test_q4_k(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m", ASH_Q4_K, "q4_k.ashlar");
    check(&d, d.noise, GFX_PROMPT_FACTOR);
}

static void test_fp8(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m", ASH_F8_E4M3, "fp8.ashlar");
    check(&d, d.noise, 1);
}

static void test_fp8_static(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m-fp8", ASH_TYPE_KEEP, "fp8_static.ashlar");
    check(&d, d.noise, 1);
}

static void test_bf16(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m", ASH_TYPE_KEEP, "bf16.ashlar");
    assert_true(q8_0_noise > 0);
    check(&d, GFX_BF16_FACTOR * q8_0_noise, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q8_0),       cmocka_unit_test(test_q4_k), cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_fp8_static), cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests_name("gfx12_model", tests, NULL, NULL);
}
