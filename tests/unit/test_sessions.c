/* Long contexts in every type of cache, and several sessions that are fed together, on small random models. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/halffloat.h"
#include "runtime/session.h"
#include "tests/support/make_gguf.h"
#include "tests/support/session.h"

#define LONG 1100 /* tokens: decoding splits such a context into three parts */
#define CACHES 3

static const char *const cache_names[CACHES] = { "f16", "fp8", "q8_0" };

static ashlar_model *small_model(ash_dtype dtype, ash_dtype alternate, const char *architecture)
{
    make_spec spec = make_defaults();
    spec.dtype = dtype;
    spec.alternate = alternate;
    spec.architecture = architecture;
    spec.context = 2048;
    return test_load(make_gguf("small", &spec), "small.ashlar", ASH_TYPE_KEEP);
}

/* A prompt, then single tokens, before and after attention is split: the same bits with any number of threads. */
static void test_threads_change_nothing(void **state)
{
    (void)state;
    static const uint32_t threads[] = { 1, 2, 3, 7 };
    static const size_t sizes[] = { 500, 1, LONG - 503, 1, 1 };
    int32_t ids[LONG];
    test_ids(ids, LONG, "threads");
    ashlar_model *model = small_model(ASH_Q8_0, ASH_DTYPE_COUNT, "llama");
    size_t vocab = model->meta.h.vocab;
    float *wanted = malloc(5 * vocab * sizeof(float));
    for (int cache = 0; cache < CACHES; cache++) {
        for (int i = 0; i < 4; i++) {
            ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = threads[i], .cache = cache });
            for (size_t step = 0, at = 0; step < 5; at += sizes[step++]) {
                test_feed(s, ids + at, sizes[step]);
                float *kept = wanted + step * vocab;
                if (i == 0)
                    memcpy(kept, ashlar_session_logits(s, 0), vocab * sizeof(float));
                else
                    assert_memory_equal(kept, ashlar_session_logits(s, 0), vocab * sizeof(float));
                for (uint32_t g = 0; g < model->meta.h.kv_heads; g++) /* else a part could be joined before the others */
                    assert_int_equal(atomic_load(&s->parts_done[g]), 0);
            }
            ashlar_session_free(s);
        }
    }
    free(wanted);
    ashlar_model_free(model);
}

/* The last tokens decoded, in parts of the context, against all of them as a prompt: two orders of the same sums. In a
 * narrow type a key that lies between two codes may get the other one, an eighth of it away at worst (e4m3); one element
 * of the 64 of one position among hundreds: below 1%. */
static void test_decoding_equals_prompt(void **state)
{
    (void)state;
    int32_t ids[LONG];
    test_ids(ids, LONG, "prompt");
    ashlar_model *model = small_model(ASH_F32, ASH_DTYPE_COUNT, "qwen3");
    for (int cache = 0; cache < CACHES; cache++) {
        /* Scalar attention over long contexts takes minutes. */
        for (int level = 1; level <= (int)ash_level_detect(); level++) {
            if (!ash_level_has((ash_level)level))
                continue;
            ashlar_session_options o = { .threads = 2, .cache = cache, .cpu_level = level + 1 };
            ashlar_session *whole = test_session(model, o), *pieces = test_session(model, o);
            test_feed(whole, ids, LONG);
            test_feed(pieces, ids, LONG - 3);
            for (int i = LONG - 3; i < LONG; i++)
                test_feed(pieces, ids + i, 1);
            double d = test_logits_difference(whole, pieces, model->meta.h.vocab);
            printf("# measure decoding in parts, %s, %s: logits differ by %.2g\n", cache_names[cache],
                   ash_level_name((ash_level)level), d);
            assert_true(d <= (cache == ASHLAR_CACHE_F16 ? 5e-3 : 1e-2));
            ashlar_session_free(whole);
            ashlar_session_free(pieces);
        }
    }
    ashlar_model_free(model);
}

/* In place of TO_F16: what the narrow types keep, as halves. Both come in whole blocks, head by head. */
static void through_e4m3(const float *x, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = ash_f32_to_f16(ash_e4m3_to_f32(ash_f32_to_e4m3(x[i])));
}

static void through_q8_0(const float *x, int64_t n, uint16_t *out)
{
    for (int64_t k = 0; k < n; k += 32) {
        float most = ash_max_abs_scalar(x + k, 32), d = ash_f16_to_f32(ash_f32_to_f16(most / 127));
        for (int64_t i = k; i < k + 32; i++)
            out[i] = ash_f32_to_f16(most > 0 ? d * rintf(x[i] * (127 / most)) : 0);
    }
}

/* Sizes, and that a narrow type does what it says and no more: an F16 cache of values that were rounded so before gives
 * the same logits. An e4m3 is a half exactly; Q8_0's values lose up to 2^-12 of themselves as halves, 0.02% in the root
 * mean square, where Q8_0 lost 1 / (254 sqrt 3) of the largest of 32, 0.55% of theirs where they are normal: 1 / 29 of
 * what it changes. Sums in another order move some value to the code beside its own, as in test_decoding_equals_prompt,
 * one of many that are all off by up to half a code. A quarter of the change leaves room for both. */
static void test_types(void **state)
{
    (void)state;
    static const uint64_t row_bytes[CACHES] = { 128, 64, 68 }; /* of 64 elements */
    static ash_to_f16_fn *const through[CACHES] = { ash_to_f16_scalar, through_e4m3, through_q8_0 };
    int32_t ids[300];
    test_ids(ids, 300, "types");
    ashlar_model *model = small_model(ASH_F32, ASH_DTYPE_COUNT, "llama");
    ashlar_session *f16 = test_session(model, (ashlar_session_options){ .context = 300 });
    test_feed(f16, ids, 300);
    for (int cache = 0; cache < CACHES; cache++) {
        ashlar_session *s = test_session(model, (ashlar_session_options){ .context = 300, .cache = cache });
        assert_int_equal(ashlar_session_kv_bytes(s),
                         2 * model->meta.h.layers * model->meta.h.kv_heads * 300 * row_bytes[cache]);
        test_feed(s, ids, 300);
        ashlar_session *same = test_session(model, (ashlar_session_options){ .context = 300 });
        same->kernels.to_f16 = through[cache];
        test_feed(same, ids, 300);
        double d = test_logits_difference(f16, s, model->meta.h.vocab),
               off = test_logits_difference(same, s, model->meta.h.vocab);
        printf("# measure %s cache: logits differ by %.2g from f16's, by %.2g from an f16 cache of rounded values\n",
               cache_names[cache], d, off);
        assert_true(cache == ASHLAR_CACHE_F16 ? d == 0 && off == 0 : d > 0 && off <= d / 4);
        ashlar_session_free(same);
        ashlar_session_free(s);
    }
    ashlar_session_free(f16);
    for (int wrong = -1; wrong <= CACHES; wrong += CACHES + 1) {
        ashlar_session *s;
        ashlar_error err;
        assert_int_equal(ashlar_session_new(model, &(ashlar_session_options){ .cache = wrong }, &s, &err),
                         ASHLAR_ERROR_ARGUMENT);
        assert_null(s);
    }
    ashlar_model_free(model);
}

/* ---- several sessions ---- */

#define TOGETHER 5
static const uint32_t lengths[TOGETHER] = { 3, 40, 511, 1030, 200 };
static const ashlar_session_options kinds[TOGETHER] = {
    { .threads = 2 }, { .threads = 1, .cache = ASHLAR_CACHE_FP8 }, { .threads = 1, .context = 600 },
    { .threads = 3, .context = 1100, .cache = ASHLAR_CACHE_Q8_0 }, { .threads = 1, .context = 210 },
};

static int32_t most_likely(const ashlar_session *s, uint32_t vocab)
{
    const float *logits = ashlar_session_logits(s, 0);
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    return (int32_t)best;
}

/* Sessions of different lengths, contexts and caches decode together what each decodes alone. A product of several rows
 * may sum in another order than that of one: the tolerances of test_session.c for two orders of the same sums. */
static void test_together(void **state)
{
    (void)state;
    static const ash_dtype types[][2] = { { ASH_F32, ASH_DTYPE_COUNT },
                                          { ASH_Q4_K, ASH_Q6_K },
                                          { ASH_BF16, ASH_DTYPE_COUNT } };
    int32_t ids[LONG];
    test_ids(ids, LONG, "together");
    for (size_t type = 0; type < 3; type++) {
        ashlar_model *model = small_model(types[type][0], types[type][1], type == 2 ? "qwen2" : "llama");
        uint32_t vocab = model->meta.h.vocab;
        ashlar_session *together[TOGETHER], *alone[TOGETHER];
        for (int i = 0; i < TOGETHER; i++) {
            together[i] = test_session(model, kinds[i]);
            alone[i] = test_session(model, kinds[i]);
            test_feed(together[i], ids, lengths[i]);
            test_feed(alone[i], ids, lengths[i]);
        }
        double worst = 0;
        bool same = true;
        for (int step = 0; step < 6; step++) {
            int count = step == 4 ? 1 : step == 5 ? 3 : TOGETHER;
            int32_t next[TOGETHER];
            ashlar_error err;
            for (int i = 0; i < count; i++) {
                next[i] = most_likely(alone[i], vocab);
                test_feed(alone[i], &next[i], 1);
            }
            assert_int_equal(ashlar_sessions_feed(together, (size_t)count, next, &err), 0);
            for (int i = 0; i < count; i++) {
                assert_int_equal(ashlar_session_position(together[i]), ashlar_session_position(alone[i]));
                assert_null(ashlar_session_logits(together[i], 1));
                worst = fmax(worst, test_logits_difference(alone[i], together[i], vocab));
                same = same && memcmp(ashlar_session_logits(alone[i], 0), ashlar_session_logits(together[i], 0),
                                      vocab * sizeof(float)) == 0;
            }
        }
        printf("# measure %d sessions together, %s: %s, logits differ by %.2g\n", TOGETHER, ash_dtype_name(types[type][0]),
               same ? "the same bits" : "other bits", worst);
        assert_true(worst <= (types[type][0] == ASH_Q4_K ? 2e-2 : 5e-3));
        for (int i = 0; i < TOGETHER; i++) { /* each goes on alone as if it had been so all the time */
            int32_t id = 7;
            if (ashlar_session_position(alone[i]) == ashlar_session_context(alone[i]))
                continue;
            test_feed(together[i], &id, 1);
            test_feed(alone[i], &id, 1);
            assert_true(test_logits_difference(alone[i], together[i], vocab) <= 2e-2);
        }
        for (int i = 0; i < TOGETHER; i++) {
            ashlar_session_free(together[i]);
            ashlar_session_free(alone[i]);
        }
        ashlar_model_free(model);
    }
}

static void refuse(ashlar_session *const *sessions, size_t count, const int32_t *ids, int status, const char *text)
{
    ashlar_error err = { 0 };
    assert_int_equal(ashlar_sessions_feed(sessions, count, ids, &err), status);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in: %s", text, err.text);
}

/* What cannot be fed to one is fed to none. */
static void test_together_limits(void **state)
{
    (void)state;
    ashlar_model *model = small_model(ASH_Q8_0, ASH_DTYPE_COUNT, "llama");
    ashlar_model *other = small_model(ASH_Q8_0, ASH_DTYPE_COUNT, "llama");
    ashlar_session_options o = { .threads = 1, .context = 4 };
    ashlar_session *s[ASHLAR_SESSIONS_MAX + 1];
    int32_t ids[ASHLAR_SESSIONS_MAX + 1] = { 0 };
    for (int i = 0; i <= ASHLAR_SESSIONS_MAX; i++)
        s[i] = test_session(model, o);
    refuse(s, 0, ids, ASHLAR_ERROR_ARGUMENT, "give 1 to 64");
    refuse(s, ASHLAR_SESSIONS_MAX + 1, ids, ASHLAR_ERROR_ARGUMENT, "give 1 to 64");
    refuse((ashlar_session *[]){ s[0], s[1], s[0] }, 3, ids, ASHLAR_ERROR_ARGUMENT, "session 2 is also session 0");
    ashlar_session *strange = test_session(other, o);
    ashlar_session *plain = test_session(model, (ashlar_session_options){ .cpu_level = 1 });
    ashlar_session *floats = test_session(model, (ashlar_session_options){ .activations = ASHLAR_ACT_FLOAT });
    refuse((ashlar_session *[]){ s[0], strange }, 2, ids, ASHLAR_ERROR_ARGUMENT, "another model");
    refuse((ashlar_session *[]){ s[0], floats }, 2, ids, ASHLAR_ERROR_ARGUMENT, "other activations");
    if (ash_level_detect() > ASH_LEVEL_SCALAR)
        refuse((ashlar_session *[]){ s[0], plain }, 2, ids, ASHLAR_ERROR_ARGUMENT, "another CPU level");
    ids[1] = -1;
    refuse(s, 2, ids, ASHLAR_ERROR_ARGUMENT, "token id -1 is outside");
    ids[1] = 0;
    ashlar_session_stop(s[1]);
    refuse(s, 2, ids, ASHLAR_ERROR_CANCELLED, "session 1");
    test_feed(s[1], ids, 4);
    refuse(s, 2, ids, ASHLAR_ERROR_LIMIT, "the context is full: 4 of 4");
    assert_int_equal(ashlar_session_position(s[0]), 0);
    assert_null(ashlar_session_logits(s[0], 0));
    ashlar_error err;
    assert_int_equal(ashlar_session_rewind(s[1], 3, &err), 0);
    assert_int_equal(ashlar_sessions_feed(s, ASHLAR_SESSIONS_MAX, ids, &err), 0); /* more than the context of any */
    assert_int_equal(ashlar_session_position(s[1]), 4);
    assert_int_equal(ashlar_session_position(s[ASHLAR_SESSIONS_MAX - 1]), 1);
    assert_true(test_logits_difference(s[0], s[ASHLAR_SESSIONS_MAX - 1], model->meta.h.vocab) == 0);
    for (int i = 0; i <= ASHLAR_SESSIONS_MAX; i++)
        ashlar_session_free(s[i]);
    ashlar_session_free(strange);
    ashlar_session_free(plain);
    ashlar_session_free(floats);
    ashlar_model_free(model);
    ashlar_model_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_decoding_equals_prompt),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_together_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
