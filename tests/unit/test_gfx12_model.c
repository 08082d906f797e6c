/* llama-30m put together from the card's kernels and executed in the interpreter, beside the CPU: a prompt through the
 * matrix units, then tokens one by one through the decoding kernels, all teacher-forced.
 *
 * What may differ. The card rounds the inputs of every product (8 bits, e4m3, bf16) and sums in another order. Rounding is
 * chaotic: a sum that differs in its last bit may round the other way, and after a few layers two correct
 * implementations are as far apart as the rounding itself carries them. But how far that is the CPU can tell: its own
 * distance, with inputs rounded alike, from the same model with inputs that are not rounded at all. So with N that
 * distance, and distances being roots of mean squares over the whole vocabulary at five positions:
 *   Q types, decoded  the same rounding (blocks of 32 columns): N
 *   FP8               the same rounding, in a prompt with a scale for 256 columns instead of one for the token, which moves
 *                     no value's spacing by more than a factor of 2, up or down alike: N
 *   Q types, prompt   blocks of 256 columns, whose largest value is 1.37 times that of 32 (2.83 and 2.07 deviations of a
 *                     normal distribution), and weights rounded so too: 1.37 * sqrt(2) = 1.9 N
 *   BF16              spacing 2^-7 of a value at most, where 8 bits have 1 / 127 of a block's largest: 0.48 (1 / 2.07) of
 *                     the N that the same weights have in Q8_0
 * each times MARGIN, since N itself is one draw. The reference of the tests for single kernels is exact; this one sees what
 * is put together wrongly: a norm, a scale, a position, a head.
 */
#define MARGIN 1.3
#define PROMPT_FACTOR 1.9
#define BF16_FACTOR 0.48

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "runtime/model.h"
#include "tests/gfx12/card_model.h"
#include "tests/support/support.h"
#include "tests/support/unrounded.h"

#define PROMPT 40
#define DECODED 4

static const char prompt[] =
    "The old bridge over the river was built by masons who cut every stone before they came, so that the wall went up in a "
    "single summer and has stood for four hundred years without mortar or repair, though floods have come each spring.";

typedef struct subject {
    ashlar_model *model;
    int32_t ids[PROMPT + DECODED];
    uint32_t vocab;
} subject;

static subject open_subject(const char *source, uint32_t type, const char *name)
{
    char *path = test_path(name), *from = test_shared(source);
    ash_error err;
    ashlar_error public_err;
    ash_convert_options options = { .type = type, .force = true };
    ash_convert_result result;
    subject s = { 0 };
    if (!from)
        test_skip("the shared models are absent");
    assert_ok(ash_convert(from, path, &options, &result, &err), &err);
    int32_t *ids;
    size_t count;
    if (ashlar_model_load(path, &s.model, &public_err) != ASHLAR_OK ||
        ashlar_tokenize(s.model, prompt, sizeof prompt - 1, ASHLAR_TOKENIZE_BOS, &ids, &count, &public_err) != ASHLAR_OK)
        fail_msg("%s", public_err.text);
    assert_true(count >= PROMPT + DECODED);
    memcpy(s.ids, ids, sizeof s.ids);
    s.vocab = s.model->meta.h.vocab;
    ashlar_free(ids);
    free(path), free(from);
    return s;
}

/* Logits at the prompt's last token and at each decoded one, (1 + DECODED) rows. */
static float *cpu_logits(const subject *s, int activations)
{
    ashlar_session_options o = { .context = 64, .activations = activations, .threads = 2 };
    ashlar_session *session;
    ashlar_error err;
    float *out = malloc((1 + DECODED) * s->vocab * sizeof *out);
    assert_non_null(out);
    if (ashlar_session_new(s->model, &o, &session, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i <= DECODED; i++) {
        size_t first = i == 0 ? 0 : PROMPT + (size_t)i - 1, count = i == 0 ? PROMPT : 1;
        if (ashlar_session_feed(session, s->ids + first, count, 0, &err) != ASHLAR_OK)
            fail_msg("%s", err.text);
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

/* Root of the mean squared difference of rows [first, end), each taken from its mean: a shift of all logits changes nothing. */
static double distance(const float *a, const float *b, uint32_t vocab, int first, int end)
{
    double sum = 0;
    for (int i = first; i < end; i++) {
        double mean = 0, square = 0;
        for (uint32_t k = 0; k < vocab; k++)
            mean += (double)a[(size_t)i * vocab + k] - (double)b[(size_t)i * vocab + k];
        mean /= vocab;
        for (uint32_t k = 0; k < vocab; k++) {
            double d = (double)a[(size_t)i * vocab + k] - (double)b[(size_t)i * vocab + k] - mean;
            square += d * d;
        }
        sum += square / vocab;
    }
    return sqrt(sum / (end - first));
}

typedef struct distances {
    double noise;                    /* N */
    double prompt, after, decoded;   /* prompt in one pass, tokens after it; everything decoded */
} distances;

/* 8-bit inputs in one step, as the card has them. */
static void drop_second_step(ashlar_model *m)
{
    m->output.fine = false;
    for (uint32_t i = 0; i < m->meta.h.layers; i++)
        m->layers[i].qkv.fine = m->layers[i].down.fine = false;
}

static distances measure(const char *source, uint32_t type, const char *name)
{
    subject s = open_subject(source, type, name);
    uint64_t launches, insns;
    drop_second_step(s.model);
    float *rounded = cpu_logits(&s, ASHLAR_ACT_INT8);
    float *got = card_logits(&s, false, &launches, &insns), *slow = card_logits(&s, true, &launches, &insns);
    drop_input_rounding(s.model);
    float *exact = cpu_logits(&s, ASHLAR_ACT_FLOAT);
    distances d = { .noise = distance(rounded, exact, s.vocab, 0, 1 + DECODED),
                    .prompt = distance(got, exact, s.vocab, 0, 1),
                    .after = distance(got, exact, s.vocab, 1, 1 + DECODED),
                    .decoded = distance(slow, exact, s.vocab, 0, 1 + DECODED) };
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
    if (!(d->prompt <= MARGIN * prompt_factor * noise))
        fail_msg("the prompt's logits are off by %.4f, rounding by %.4f", d->prompt, noise);
    if (!(d->after <= MARGIN * prompt_factor * noise)) /* the cache comes from the prompt */
        fail_msg("logits after the prompt are off by %.4f, rounding by %.4f", d->after, noise);
    if (!(d->decoded <= MARGIN * noise))
        fail_msg("decoded logits are off by %.4f, rounding by %.4f", d->decoded, noise);
}

static double q8_0_noise; /* of test_q8_0, which runs first */

static void test_q8_0(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m", ASH_Q8_0, "q8_0.ashlar");
    q8_0_noise = d.noise;
    check(&d, d.noise, PROMPT_FACTOR);
}

static void test_q4_k(void **state)
{
    (void)state;
    distances d = measure("models/llama-30m", ASH_Q4_K, "q4_k.ashlar");
    check(&d, d.noise, PROMPT_FACTOR);
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
    check(&d, BF16_FACTOR * q8_0_noise, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q8_0),       cmocka_unit_test(test_q4_k), cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_fp8_static), cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests_name("gfx12_model", tests, NULL, NULL);
}
