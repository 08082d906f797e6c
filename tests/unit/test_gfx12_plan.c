/* Plans at the edges of what the card's kernels take: small random models of each type and of wide heads, put together
 * and executed beside the CPU; and what a plan refuses.
 *
 * Logits are compared by the root of their mean squared difference, of which the deviation of the CPU's logits is the
 * unit.
 * F32 weights: nothing is rounded but keys and values to F16, as the CPU's are, where a sum that differs in its last
 * bits rounds the other way once in 2^-13 / 2^-24 = 2^11 times, by 2^-11: 2^-16 in the mean, in either layer: DECODED
 * allows 4 times that. A prompt besides rounds queries (2^-11 of each at most, against scores below 1) and weights of
 * attention (2^-10) to F16: PROMPT allows 2^-9 a layer. BF16 weights: inputs are rounded to BF16, 2^-9 of each at most,
 * at 4 places of either layer and before the output: BF16 allows 9 * 2^-9 and a prompt's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"
#include "tests/gfx12/card_model.h"
#include "tests/support/make_hf.h"
#include "tests/support/session.h"

#define DECODED (4 * 2 * 0x1p-16)
#define PROMPT (2 * 0x1p-9)
#define BF16 (9 * 0x1p-9 + PROMPT)

#define TOKENS 21 /* of the prompt; two more are decoded */

static ashlar_model *load(const make_spec *spec, const char *rule, const char *name)
{
    char file[80];
    snprintf(file, sizeof file, "%s.ashlar", name);
    return test_load_recipe(make_hf(name, spec), file, "keep", rule);
}

static make_spec wide_heads(const char *architecture, ash_dtype dtype)
{
    make_spec spec = make_defaults();
    spec.architecture = architecture;
    spec.dtype = dtype;
    spec.heads = 4, spec.kv_heads = 2, spec.head_dim = 256;
    return spec;
}

static void ids_of(int32_t ids[TOKENS + 2])
{
    for (int32_t i = 0; i < TOKENS + 2; i++)
        ids[i] = (i * 37 + 11) % 256;
}

/* The last logits of the prompt and of each of the two tokens after it. */
static float *cpu_logits(const ashlar_model *model, size_t vocab)
{
    ashlar_session_options o = { .context = 64, .activations = ASHLAR_ACT_FLOAT, .threads = 2 };
    ashlar_session *session;
    ashlar_error err;
    int32_t ids[TOKENS + 2];
    float *out = malloc(3 * vocab * sizeof *out);
    ids_of(ids);
    if (ashlar_session_new(model, &o, &session, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 3; i++) {
        if (ashlar_session_feed(session, ids + (i ? TOKENS + i - 1 : 0), i ? 1 : TOKENS, 0, &err) != ASHLAR_OK)
            fail_msg("%s", err.text);
        memcpy(out + i * vocab, ashlar_session_logits(session, 0), vocab * sizeof *out);
    }
    ashlar_session_free(session);
    return out;
}

static float *card_logits(const ashlar_model *model, uint32_t batch, size_t vocab)
{
    ash_hip_plan_options o = { .context = 40, .batch = batch };
    card_model *m = card_model_open(model, &o);
    int32_t ids[TOKENS + 2];
    float *out = malloc(3 * vocab * sizeof *out);
    ids_of(ids);
    for (size_t i = 0; i < 3; i++)
        memcpy(out + i * vocab, card_model_feed(m, ids + (i ? TOKENS + i - 1 : 0), i ? 1 : TOKENS, ASH_PLAN_LAST),
               vocab * sizeof *out);
    card_model_free(m);
    return out;
}

static double distance(const float *a, const float *b, size_t count)
{
    double mean = 0, square = 0, difference = 0;
    for (size_t i = 0; i < count; i++)
        mean += (double)b[i] / (double)count;
    for (size_t i = 0; i < count; i++) {
        square += ((double)b[i] - mean) * ((double)b[i] - mean);
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    return sqrt(difference / square);
}

static void compare(const make_spec *spec, const char *rule, const char *name, double prompt, double decoded)
{
    ashlar_model *model = load(spec, rule, name);
    size_t vocab = model->meta.h.vocab;
    float *want = cpu_logits(model, vocab), *got = card_logits(model, 64, vocab), *slow = card_logits(model, 8, vocab);
    double in_one = distance(got, want, 3 * vocab), by_eight = distance(slow, want, 3 * vocab);
    print_message("# measure %s: prompt in one pass %.3g (at most %.3g), decoded %.3g (at most %.3g)\n", name, in_one,
                  prompt, by_eight, decoded);
    assert_true(in_one <= prompt);
    assert_true(by_eight <= decoded);
    free(want), free(got), free(slow);
    ashlar_model_free(model);
}

static void test_f32(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.dtype = ASH_F32;
    compare(&spec, NULL, "f32", PROMPT, DECODED);
}

/* With norms of q and k, biases, and without either. */
static void test_wide_heads(void **state)
{
    (void)state;
    make_spec f32 = wide_heads("qwen3", ASH_F32), bf16 = wide_heads("llama", ASH_BF16);
    compare(&f32, NULL, "wide_f32", PROMPT, DECODED);
    compare(&bf16, NULL, "wide_bf16", BF16, BF16);
}

/* Types that meet in one product: each by its own kernel, in a prompt by launches of 8 tokens. */
static void test_mixed(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.architecture = "qwen2";
    spec.dtype = ASH_BF16;
    compare(&spec, "*k_proj*=f32", "mixed", BF16, BF16);
}

/* No type that matrices may have is refused. */
static void test_types(void **state)
{
    (void)state;
    for (uint32_t d = 0; d < ASH_USABLE_DTYPES; d++) {
        bool prompts = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, (ash_dtype)d, 0) ||
                       ash_gfx_kernel_find(ASH_GFX_OP_DECODE, (ash_dtype)d, ASH_GFX_ANY_TOKENS);
        if (!prompts || !ash_gfx_kernel_find(ASH_GFX_OP_DECODE, (ash_dtype)d, ASH_GFX_DECODE_TOKENS) ||
            !ash_gfx_kernel_find(ASH_GFX_OP_EMBED, (ash_dtype)d, 0))
            fail_msg("no kernel for %s", ash_dtype_name(d));
    }
}

static void refuse(const ashlar_model *model, ash_hip_plan_options o, ash_status status, const char *text)
{
    ash_hip_plan *plan;
    ash_error err;
    assert_int_equal(ash_hip_plan_new(model, &o, &plan, &err), status);
    assert_null(plan);
    assert_string_equal(err.text, text);
}

static void test_refusals(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    ashlar_model *model = load(&spec, NULL, "limits"), *pair = load(&spec, "*gate_proj*=f32", "pair");
    ash_hip_plan_options o = { .context = 64, .batch = 8 };
    ash_hip_plan *plan;
    ash_error err;
    refuse(pair, o, ASH_E_UNSUPPORTED,
           "gate and up of layer 0 are f32 and bf16, which no kernel of the card takes together: convert both to one "
           "type, or use the CPU");
    o.context = ASH_GFX_POSITIONS + 1;
    refuse(model, o, ASH_E_LIMIT,
           "a context of 16777217 tokens: the card's kernels take 16777216 at most, ask for less");
    o.context = 64, o.batch = 8388608; /* 512 columns: 2^32 floats */
    refuse(model, o, ASH_E_LIMIT,
           "passes of 8388608 tokens: the card's kernels take 8388607 of this model at most, ask for less");
    o.batch--;
    assert_ok(ash_hip_plan_new(model, &o, &plan, &err), &err);
    ash_hip_plan_free(plan);
    ashlar_model_free(model);
    ashlar_model_free(pair);

    spec = wide_heads("llama", ASH_BF16);
    spec.heads = spec.kv_heads = 4;
    model = load(&spec, NULL, "keys");
    o.batch = 8, o.context = 1 << 22; /* 4 heads of 256: 2^32 elements */
    refuse(model, o, ASH_E_LIMIT,
           "a context of 4194304 tokens: the card's kernels take no more than 4294967295 elements of a layer's keys, "
           "ask for less");
    ashlar_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_f32), cmocka_unit_test(test_wide_heads),
                                        cmocka_unit_test(test_mixed), cmocka_unit_test(test_types),
                                        cmocka_unit_test(test_refusals) };
    return cmocka_run_group_tests_name("gfx12_plan", tests, NULL, NULL);
}
