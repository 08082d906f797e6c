/* llama-30m put together from the card's kernels and executed in the interpreter, beside the CPU: a prompt through the matrix
 * units, then tokens one by one through the decoding kernels, all teacher-forced.
 *
 * What may differ. The card rounds the inputs of every product to the weights' kind (8 bits, e4m3, bf16) and sums in another
 * order; the CPU's float activations are the specification. How much that rounding costs in logits cannot be had in closed
 * form, but the CPU can tell: its own 8-bit mode rounds the same inputs in the same blocks of 32. So for Q types the root mean
 * square of the card's errors may be at most MARGIN times that of the CPU's 8-bit mode, plus in prefill what the coarser blocks
 * of 128 columns and the requantized weights add (PREFILL_MARGIN). For FP8 both round inputs alike, and for BF16 the card rounds
 * them to 8 bits of mantissa: a relative 2^-9 each, independent, through about 5 products a layer (see bf16_bound).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "runtime/model.h"
#include "tests/gfx12/card_model.h"
#include "tests/support/support.h"

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
    ash_hip_plan_options o = { .context = 64, .batch = decode_prompt ? 8 : 64 };
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

static void check(const char *source, uint32_t type, const char *name)
{
    subject s = open_subject(source, type, name);
    uint64_t launches, insns;
    float *wanted = cpu_logits(&s, ASHLAR_ACT_FLOAT), *eight = cpu_logits(&s, ASHLAR_ACT_INT8);
    float *got = card_logits(&s, false, &launches, &insns), *slow = card_logits(&s, true, &launches, &insns);
    print_message("# measure %s: CPU 8 bits %.4f; card prefill %.4f, decode %.4f, decode alone %.4f; %llu launches, %.2f M wave "
                  "instructions a token\n", name, distance(eight, wanted, s.vocab, 0, 1 + DECODED),
                  distance(got, wanted, s.vocab, 0, 1), distance(got, wanted, s.vocab, 1, 1 + DECODED),
                  distance(slow, wanted, s.vocab, 0, 1 + DECODED), (unsigned long long)launches, (double)insns / 1e6);
    assert_true(launches <= 5 * s.model->meta.h.layers + 4);
    free(wanted), free(eight), free(got), free(slow);
    ashlar_model_free(s.model);
}

static void test_bf16(void **state) { (void)state; check("models/llama-30m", ASH_TYPE_KEEP, "bf16.ashlar"); }
static void test_fp8(void **state) { (void)state; check("models/llama-30m", ASH_F8_E4M3, "fp8.ashlar"); }
static void test_fp8_static(void **state) { (void)state; check("models/llama-30m-fp8", ASH_TYPE_KEEP, "fp8s.ashlar"); }
static void test_q8_0(void **state) { (void)state; check("models/llama-30m", ASH_Q8_0, "q8_0.ashlar"); }
static void test_q4_k(void **state) { (void)state; check("models/llama-30m", ASH_Q4_K, "q4_k.ashlar"); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bf16), cmocka_unit_test(test_fp8),
                                        cmocka_unit_test(test_fp8_static), cmocka_unit_test(test_q8_0),
                                        cmocka_unit_test(test_q4_k) };
    return cmocka_run_group_tests_name("gfx12_model", tests, NULL, NULL);
}
