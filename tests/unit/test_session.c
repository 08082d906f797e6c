/* Sessions on small random models: feeding in pieces, rewinding, threads, CPU levels, limits, stopping, and FP8 scales
 * against the same weights converted to F32. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "convert/convert.h"
#include "runtime/session.h"
#include "tests/support/make_gguf.h"
#include "tests/support/make_hf.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#define LONG 520 /* tokens: three batches, and past the 512 positions from which decoding splits its attention */

static ashlar_model *small_model(ash_dtype dtype, ash_dtype alternate, const char *architecture)
{
    make_spec spec = make_defaults();
    spec.dtype = dtype;
    spec.alternate = alternate;
    spec.architecture = architecture;
    spec.context = 1024;
    return test_load(make_gguf("small", &spec), "small.ashlar", ASH_TYPE_KEEP);
}

static void rewind_to(ashlar_session *s, uint32_t position)
{
    ashlar_error err;
    assert_int_equal(ashlar_session_rewind(s, position, &err), 0);
    assert_int_equal(ashlar_session_position(s), position);
}

/* Two float paths. A product's error is at most (K + 8) 2^-24 sum |W x|; with random signs the sum is about sqrt(K)
 * times the result, K up to 512: 7e-4 of the result at worst, for 14 products in a row; attention adds 2^-10 of the
 * largest value twice. Errors of both signs mostly cancel: measured below 1e-4. */
#define FLOAT_TOLERANCE 5e-3
/* 8-bit activations: a last-bit difference before rounding to codes moves a code by one, 1 / 127 of its block's largest
 * value. With hundreds of codes in a sum, a few of them moved show as 1 / 127 / sqrt(32) of it, a layer. */
#define Q8_TOLERANCE 2e-2

static void test_pieces_equal_whole(void **state)
{
    (void)state;
    int32_t ids[LONG];
    test_ids(ids, LONG, "pieces");
    for (int activations = ASHLAR_ACT_FLOAT; activations <= ASHLAR_ACT_INT8; activations++) {
        ashlar_model *model = small_model(ASH_Q4_1, ASH_Q6_K, "llama");
        uint32_t vocab = model->meta.h.vocab;
        ashlar_session *whole =
            test_session(model, (ashlar_session_options){ .threads = 2, .activations = activations });
        ashlar_session *pieces =
            test_session(model, (ashlar_session_options){ .threads = 2, .activations = activations });
        test_feed(whole, ids, LONG);
        static const size_t sizes[] = { 1, 1, 3, 5, 16, 17, 32, 33, 256, 152, 1, 1, 2 };
        size_t at = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            test_feed(pieces, ids + at, sizes[i]);
            at += sizes[i];
            assert_int_equal(ashlar_session_position(pieces), at);
        }
        assert_int_equal(at, LONG);
        double d = test_logits_difference(whole, pieces, vocab);
        printf("# measure feeding in pieces, %s activations: logits differ by %.2g\n",
               activations == ASHLAR_ACT_FLOAT ? "float" : "8-bit", d);
        assert_true(d <= (activations == ASHLAR_ACT_FLOAT ? FLOAT_TOLERANCE : Q8_TOLERANCE));
        ashlar_session_free(whole);
        ashlar_session_free(pieces);
        ashlar_model_free(model);
    }
}

/* All logits of one feed agree with what each token gives when it is the last one fed. */
static void check_all_logits(ashlar_model *model, int count, int activations, float tolerance)
{
    int32_t ids[40];
    test_ids(ids, 40, "all logits");
    uint32_t vocab = model->meta.h.vocab;
    ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = 2, .activations = activations });
    ashlar_session *one = test_session(model, (ashlar_session_options){ .threads = 1, .activations = activations });
    ashlar_error err;
    assert_null(ashlar_session_logits(s, 0));
    assert_int_equal(ashlar_session_feed(s, ids, (size_t)count, ASHLAR_FEED_ALL_LOGITS, &err), 0);
    assert_null(ashlar_session_logits(s, (size_t)count));
    for (int i = 0; i < count; i++) {
        test_feed(one, ids + i, 1);
        assert_null(ashlar_session_logits(one, 1));
        const float *a = ashlar_session_logits(s, (size_t)i), *b = ashlar_session_logits(one, 0);
        float largest = 0, worst = 0;
        for (uint32_t v = 0; v < vocab; v++) {
            largest = fmaxf(largest, fabsf(a[v]));
            worst = fmaxf(worst, fabsf(a[v] - b[v]));
        }
        assert_true(largest > 0 && worst <= tolerance * largest);
    }
    ashlar_session_free(s);
    ashlar_session_free(one);
}

static void test_all_logits(void **state)
{
    (void)state;
    ashlar_model *model = small_model(ASH_BF16, ASH_DTYPE_COUNT, "qwen3");
    check_all_logits(model, 40, ASHLAR_ACT_FLOAT, (float)FLOAT_TOLERANCE);
    ashlar_model_free(model);
    /* Inputs in 16 bits, of a few tokens and of many. */
    make_spec spec = make_defaults();
    spec.dtype = ASH_Q4_1;
    spec.vocab = 2000;
    model = test_load(make_gguf("wide", &spec), "wide.ashlar", ASH_TYPE_KEEP);
    assert_true(model->output.fine);
    static const int counts[] = { 2, ASH_Q8_FEW, ASH_Q8_FEW + 1, ASH_Q8_ROUNDS_FROM - 1, ASH_Q8_ROUNDS_FROM };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_all_logits(model, counts[i], ASHLAR_ACT_INT8, (float)Q8_TOLERANCE);
    ashlar_model_free(model);
}

/* Inputs in 16 bits everywhere are nearer to floats than those in 8 by the lower byte's 256, less what wider scales take of
 * it, 1.3, and what a largest difference among so many logits varies by: at least 20 times. So with few tokens, whose
 * weights stay as they are, a lower row that is lost, late or another token's shows. */
static void test_lower_bytes(void **state)
{
    (void)state;
    static const int counts[] = { 1, 2, ASH_Q8_FEW / 2, ASH_Q8_FEW, ASH_Q8_FEW + 1, ASH_Q8_ROUNDS_FROM - 1 };
    int32_t ids[ASH_Q8_ROUNDS_FROM];
    test_ids(ids, ASH_Q8_ROUNDS_FROM, "lower bytes");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        ashlar_model *model = small_model(i % 2 ? ASH_Q8_0 : ASH_Q4_1, ASH_DTYPE_COUNT, "llama");
        ashlar_session *s[3];
        for (int form = 0; form < 3; form++) { /* floats, 16 bits, 8 */
            if (form == 2)
                drop_lower_bytes(model);
            else
                give_lower_bytes(model);
            s[form] = test_session(model, (ashlar_session_options){
                .threads = 2, .activations = form ? ASHLAR_ACT_INT8 : ASHLAR_ACT_FLOAT });
            test_feed(s[form], ids, (size_t)counts[i]);
        }
        double fine = test_logits_difference(s[0], s[1], model->meta.h.vocab);
        double coarse = test_logits_difference(s[0], s[2], model->meta.h.vocab);
        printf("# measure %d tokens: logits off by %.2g in 16 bits, by %.2g in 8\n", counts[i], fine, coarse);
        assert_true(coarse > 0 && fine < coarse / 20);
        for (int form = 0; form < 3; form++)
            ashlar_session_free(s[form]);
        ashlar_model_free(model);
    }
}

/* Inputs rounded with scales of 32 columns and of 256. Each leaves noise of 0.55 and 0.7% of what it rounds
 * (test_activations.c), so results of a product differ by 0.9% in the root mean square; 8 products in a row by 2.5%, and
 * the largest of the logits' differences is to the largest logit as one is to the other: three times that at most. */
#define WIDE_TOLERANCE 7.5e-2

/* Wide models' prompts take wide scales where every matrix that an input meets gains from them, and nothing else does. */
static void test_wide_scales(void **state)
{
    (void)state;
    enum { TOKENS = 40 };
    int32_t ids[TOKENS];
    test_ids(ids, TOKENS, "wide scales");
    for (int mixed = 0; mixed < 2; mixed++) {
        ashlar_model *model = small_model(ASH_Q4_K, mixed ? ASH_Q8_0 : ASH_Q6_K, "llama");
        const ash_layer *l = &model->layers[0];
        ashlar_session_options options = { .threads = 2, .activations = ASHLAR_ACT_INT8 };
        ashlar_session *wide = test_session(model, options), *narrow = test_session(model, options);
        options.threads = 1;
        ashlar_session *alone = test_session(model, options);
        bool takes = ash_q8_takes_wide(wide->kernels.level, ASH_Q4_K, TOKENS);
        assert_false(ash_q8_inputs(wide, &l->gate_up, TOKENS).q8_wide); /* too narrow a model */
        drop_lower_bytes(model);
        model->wide = true;
        assert_int_equal(ash_q8_inputs(wide, &l->gate_up, TOKENS).q8_wide, takes);
        assert_int_equal(ash_q8_inputs(wide, &l->qkv, TOKENS).q8_wide, takes && !mixed);
        assert_int_equal(ash_q8_inputs(wide, &l->down, TOKENS).q8_wide, takes && !mixed);
        assert_false(ash_q8_inputs(wide, &l->gate_up, ASH_Q8_ROUNDS_FROM - 1).q8_wide);
        test_feed(wide, ids, TOKENS);
        test_feed(alone, ids, TOKENS);
        assert_memory_equal(ashlar_session_logits(wide, 0), ashlar_session_logits(alone, 0),
                            model->meta.h.vocab * sizeof(float));
        model->wide = false;
        test_feed(narrow, ids, TOKENS);
        double d = test_logits_difference(wide, narrow, model->meta.h.vocab);
        printf("# measure scales of 256 columns: logits differ by %.2g\n", d);
        assert_true(takes ? d > 0 && d <= WIDE_TOLERANCE : d == 0);
        ashlar_session_free(wide);
        ashlar_session_free(alone);
        ashlar_session_free(narrow);
        ashlar_model_free(model);
    }
    make_spec spec = make_defaults();
    spec.hidden = ASH_SMALL_HIDDEN + 256, spec.layers = 1;
    ashlar_model *model = test_load(make_gguf("wider", &spec), "wider.ashlar", ASH_TYPE_KEEP);
    const ash_layer *l = &model->layers[0];
    assert_true(model->wide);
    assert_false(model->output.fine || l->qkv.fine || l->down.fine);
    ashlar_model_free(model);
}

static void test_rewind_repeats(void **state)
{
    (void)state;
    int32_t ids[LONG];
    test_ids(ids, LONG, "rewind");
    ashlar_model *model = small_model(ASH_Q8_0, ASH_DTYPE_COUNT, "qwen2");
    size_t bytes = model->meta.h.vocab * sizeof(float);
    ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = 2 });
    float *first = malloc(bytes);
    test_feed(s, ids, 50);
    test_feed(s, ids + 50, 20);
    memcpy(first, ashlar_session_logits(s, 0), bytes);
    test_feed(s, ids + 70, 30);
    rewind_to(s, 50);
    assert_null(ashlar_session_logits(s, 0));
    test_feed(s, ids + 100, 20); /* another continuation in between */
    assert_memory_not_equal(first, ashlar_session_logits(s, 0), bytes);
    rewind_to(s, 50);
    test_feed(s, ids + 50, 20);
    assert_memory_equal(first, ashlar_session_logits(s, 0), bytes);
    ashlar_error err;
    assert_int_equal(ashlar_session_rewind(s, 71, &err), ASHLAR_ERROR_ARGUMENT);
    assert_int_equal(ashlar_session_position(s), 70);
    free(first);
    ashlar_session_free(s);
    ashlar_model_free(model);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    int32_t ids[LONG];
    test_ids(ids, LONG, "threads");
    static const ash_dtype types[][2] = { { ASH_Q4_K, ASH_Q6_K }, { ASH_BF16, ASH_DTYPE_COUNT } };
    for (size_t t = 0; t < 2; t++) {
        ashlar_model *model = small_model(types[t][0], types[t][1], "llama");
        size_t bytes = model->meta.h.vocab * sizeof(float);
        float *wanted = malloc(6 * bytes), *got = malloc(6 * bytes);
        for (uint32_t threads = 1; threads <= 5; threads += threads == 3 ? 2 : 1) {
            ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = threads });
            float *out = threads == 1 ? wanted : got;
            for (int i = 0; i < 6; i++) { /* a prompt, then single tokens, before and after attention is split */
                static const size_t sizes[] = { 100, 1, 1, LONG - 104, 1, 1 };
                static const size_t at[] = { 0, 100, 101, 102, LONG - 2, LONG - 1 };
                test_feed(s, ids + at[i], sizes[i]);
                memcpy((char *)out + (size_t)i * bytes, ashlar_session_logits(s, 0), bytes);
            }
            if (threads > 1)
                assert_memory_equal(wanted, got, 6 * bytes);
            ashlar_session_free(s);
        }
        free(wanted);
        free(got);
        ashlar_model_free(model);
    }
}

static void test_levels_agree(void **state)
{
    (void)state;
    int32_t ids[20];
    test_ids(ids, 20, "levels");
    ash_level best = ash_level_detect();
    double worst[2] = { 0, 0 };
    for (ash_dtype type = 0; type < ASH_USABLE_DTYPES; type++) {
        if (type == ASH_F8_E4M3)
            continue; /* GGUF has none: see test_fp8 */
        ashlar_model *model = small_model(type, ASH_DTYPE_COUNT, "llama");
        for (int q8 = 0; q8 < 2; q8++) {
            ashlar_session_options o = { .threads = 2,
                                         .activations = q8 ? ASHLAR_ACT_INT8 : ASHLAR_ACT_FLOAT,
                                         .cpu_level = 1 };
            ashlar_session *scalar = test_session(model, o);
            test_feed(scalar, ids, 19);
            test_feed(scalar, ids + 19, 1);
            for (int level = 1; level <= (int)best; level++) {
                if (!ash_level_has((ash_level)level))
                    continue;
                o.cpu_level = level + 1;
                ashlar_session *s = test_session(model, o);
                test_feed(s, ids, 19);
                test_feed(s, ids + 19, 1);
                double d = test_logits_difference(scalar, s, model->meta.h.vocab);
                worst[q8] = fmax(worst[q8], d);
                if (!(d <= (q8 ? Q8_TOLERANCE : FLOAT_TOLERANCE)))
                    fail_msg("%s, %s activations, %s: logits differ by %g", ash_dtype_name(type),
                             q8 ? "8-bit" : "float", ash_level_name((ash_level)level), d);
                ashlar_session_free(s);
            }
            ashlar_session_free(scalar);
        }
        ashlar_model_free(model);
    }
    printf("# measure CPU levels up to %s against scalar: logits differ by %.2g (float), %.2g (8-bit)\n",
           ash_level_name(best), worst[0], worst[1]);
}

static void test_limits(void **state)
{
    (void)state;
    ashlar_model *model = small_model(ASH_Q4_0, ASH_DTYPE_COUNT, "llama");
    ashlar_session *s = test_session(model, (ashlar_session_options){ .context = 40, .threads = 1 });
    ashlar_error err = { 0 };
    int32_t ids[300] = { 0 };
    assert_int_equal(ashlar_session_context(s), 40);
    assert_int_equal(ashlar_session_kv_bytes(s),
                     2 * 2 * 2 * 40 * 64 * 2); /* k and v, layers, heads, positions, dim, bytes */
    test_feed(s, ids, 30);
    assert_int_equal(ashlar_session_feed(s, ids, 11, 0, &err), ASHLAR_ERROR_LIMIT);
    assert_non_null(strstr(err.text, "the context is full: 30 of 40 tokens"));
    assert_int_equal(ashlar_session_position(s), 30);
    assert_null(ashlar_session_logits(s, 0));
    test_feed(s, ids, 10);
    assert_int_equal(ashlar_session_feed(s, ids, 1, 0, &err), ASHLAR_ERROR_LIMIT);
    assert_int_equal(ashlar_session_feed(s, ids, SIZE_MAX, 0, &err), ASHLAR_ERROR_LIMIT);
    rewind_to(s, 0);
    static const int32_t bad[] = { -1, 288, INT32_MAX, INT32_MIN };
    for (int i = 0; i < 4; i++) {
        ids[5] = bad[i];
        assert_int_equal(ashlar_session_feed(s, ids, 10, 0, &err), ASHLAR_ERROR_ARGUMENT);
        assert_non_null(strstr(err.text, "outside of the vocabulary (0 to 287)"));
        assert_int_equal(ashlar_session_position(s), 0);
    }
    ids[5] = 287;
    test_feed(s, ids, 10);
    assert_int_equal(ashlar_session_feed(s, ids, 0, 0, &err), ASHLAR_ERROR_ARGUMENT);
    ashlar_session_free(s);

    s = test_session(model, (ashlar_session_options){ 0 });
    assert_int_equal(ashlar_session_context(s), 1024); /* trained */
    assert_int_equal(ashlar_session_feed(s, ids, 257, ASHLAR_FEED_ALL_LOGITS, &err), ASHLAR_ERROR_ARGUMENT);
    assert_int_equal(ashlar_session_position(s), 0);
    ashlar_session_free(s);
    ashlar_session_free(NULL);

    ashlar_session_options wrong[] = {
        { .threads = 100000 }, { .activations = 3 }, { .activations = -1 }, { .cpu_level = 99 }
    };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ashlar_session_new(model, &wrong[i], &s, &err), ASHLAR_ERROR_ARGUMENT);
        assert_null(s);
    }
    ashlar_model_free(model);
}

static void *stop_soon(void *session)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1500000 }, NULL);
    ashlar_session_stop(session);
    return NULL;
}

static void test_stop(void **state)
{
    (void)state;
    ashlar_model *model = small_model(ASH_Q4_0, ASH_DTYPE_COUNT, "llama");
    ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = 2, .cpu_level = 1 });
    ashlar_error err = { 0 };
    int32_t ids[1000];
    test_ids(ids, 1000, "stop");
    ashlar_session_stop(s);
    assert_int_equal(ashlar_session_feed(s, ids, 10, 0, &err), ASHLAR_ERROR_CANCELLED);
    assert_int_equal(ashlar_session_position(s), 0);
    test_feed(s, ids, 10); /* told once */
    ashlar_session_stop(s);
    rewind_to(s, 0); /* forgotten */
    test_feed(s, ids, 10);
    rewind_to(s, 0);

    /* From another thread while 1,000 tokens run in four batches of scalar code, which takes far more than 1.5 ms. */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, s), 0);
    int status = ashlar_session_feed(s, ids, 1000, 0, &err);
    pthread_join(thread, NULL);
    assert_int_equal(status, ASHLAR_ERROR_CANCELLED);
    assert_true(ashlar_session_position(s) < 1000 && ashlar_session_position(s) % 256 == 0);
    ashlar_session_free(s);
    ashlar_model_free(model);
}

/* In place of ROUND_E4M3: nearest with six bits of mantissa, where e4m3 has three, and no limits. */
static void round_finer(float *x, int64_t n, float scale)
{
    (void)scale;
    for (int64_t i = 0; i < n; i++) {
        int exponent;
        float mantissa = frexpf(x[i], &exponent); /* 0.5 to 1 */
        x[i] = ldexpf(rintf(mantissa * 128) / 128, exponent);
    }
}

/* Every kind of FP8 scale against the same weights as F32, at every level; heads of 256 rows, so that rows of a
 * rotation pair lie in different blocks of 128. Then inputs through e4m3 must differ from that by what its rounding does:
 * eight times what three more bits of mantissa leave, since errors this small go through the model in proportion. Both
 * are largest ones of 288 random numbers, which is three times their deviation, give or take a tenth: half and twice is
 * allowed. A scale too large loses small inputs in e4m3's denormals, one too small cuts large ones off: both are more. */
static void test_fp8(void **state)
{
    (void)state;
    int32_t ids[12];
    test_ids(ids, 12, "fp8");
    static const make_fp8 kinds[] = { MAKE_FP8_STATIC, MAKE_FP8_DYNAMIC, MAKE_FP8_CHANNEL, MAKE_FP8_BLOCK };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make_spec spec = make_defaults();
        spec.fp8 = kinds[i];
        spec.heads = 2;
        spec.kv_heads = 1;
        spec.head_dim = 256;
        spec.hidden = 320;
        ashlar_model *fp8 = test_load(make_hf("fp8", &spec), "fp8.ashlar", ASH_TYPE_KEEP);
        ashlar_model *f32 = test_load(make_hf("fp8", &spec), "f32.ashlar", ASH_F32);
        assert_int_equal(fp8->layers[0].down.part[0].w.dtype, ASH_F8_E4M3);
        assert_int_equal(f32->layers[0].down.part[0].w.dtype, ASH_F32);
        assert_int_equal(f32->layers[0].down.input[0].rounding, ASH_ROUND_NONE);
        assert_int_equal(fp8->layers[0].down.input[0].rounding,
                         kinds[i] == MAKE_FP8_STATIC ? ASH_ROUND_STATIC : ASH_ROUND_TOKEN);
        ashlar_session *exact = test_session(f32, (ashlar_session_options){ .cpu_level = 1, .threads = 1 });
        test_feed(exact, ids, 11);
        test_feed(exact, ids + 11, 1);
        ashlar_session *finer = test_session(fp8, (ashlar_session_options){ .cpu_level = 1, .threads = 1 });
        finer->kernels.round_e4m3 = round_finer;
        test_feed(finer, ids, 11);
        test_feed(finer, ids + 11, 1);
        double wanted = 8 * test_logits_difference(exact, finer, f32->meta.h.vocab), least = INFINITY, most = 0;
        for (int level = 1; level <= (int)ash_level_detect() + 1; level++)
            for (int rounded = 1; rounded >= 0; rounded--) {
                ashlar_model *model = fp8;
                if (!rounded) {
                    model = test_load(make_hf("fp8", &spec), "plain.ashlar", ASH_TYPE_KEEP);
                    drop_input_rounding(model);
                }
                ashlar_session *s = test_session(model, (ashlar_session_options){ .cpu_level = level, .threads = 2 });
                test_feed(s, ids, 11);
                test_feed(s, ids + 11, 1);
                double d = test_logits_difference(exact, s, f32->meta.h.vocab);
                least = rounded ? fmin(least, d) : least;
                most = rounded ? fmax(most, d) : most;
                if (rounded ? !(d >= wanted / 2 && d <= wanted * 2) : !(d <= FLOAT_TOLERANCE))
                    fail_msg("scales of kind %zu, level %d, inputs %s: logits differ by %g", i, level - 1,
                             rounded ? "rounded" : "plain", d);
                ashlar_session_free(s);
                if (!rounded)
                    ashlar_model_free(model);
            }
        printf("# measure FP8 scales of kind %zu: rounded inputs change logits by %.2g to %.2g, %.2g expected\n", i, least,
               most, wanted);
        ashlar_session_free(finer);
        ashlar_session_free(exact);
        ashlar_model_free(fp8);
        ashlar_model_free(f32);
    }
}

static size_t count_nan(const ashlar_session *s, uint32_t vocab)
{
    size_t n = 0;
    for (uint32_t i = 0; i < vocab; i++)
        n += ashlar_session_logits(s, 0)[i] != ashlar_session_logits(s, 0)[i];
    return n;
}

/* A NaN in a key or a value reaches the logits of its token and of those that follow, whatever the cache; going back
 * behind it takes it away. `before`: tokens in front of it, few or so many that decoding cuts them into parts. */
static void check_nan(int cache, bool in_value, size_t before, bool prompt)
{
    make_spec spec = make_defaults();
    spec.architecture = "qwen2";
    spec.context = 1024;
    ashlar_model *model = test_load(make_gguf("nan", &spec), "nan.ashlar", ASH_TYPE_KEEP);
    uint32_t vocab = model->meta.h.vocab;
    const ash_layer *layer = &model->layers[1];
    float *bias = (float *)(uintptr_t)(in_value ? layer->v_bias : layer->k_bias), kept;
    assert_non_null(bias);
    int32_t ids[600];
    test_ids(ids, 600, "nan");
    ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = 2, .cache = cache });
    test_feed(s, ids, before);
    assert_int_equal(count_nan(s, vocab), 0);
    float *last = &bias[model->meta.h.kv_heads * model->meta.h.head_dim - 1];
    kept = *last, *last = NAN;
    test_feed(s, ids + before, prompt ? 3 : 1);
    *last = kept;
    assert_int_equal(count_nan(s, vocab), vocab);
    test_feed(s, ids, 1);
    assert_int_equal(count_nan(s, vocab), vocab);
    rewind_to(s, (uint32_t)before + 1); /* the first NaN stays */
    test_feed(s, ids, 2);
    assert_int_equal(count_nan(s, vocab), vocab);
    rewind_to(s, (uint32_t)before);
    test_feed(s, ids, 3);
    assert_int_equal(count_nan(s, vocab), 0);
    ashlar_session_free(s);
    ashlar_model_free(model);
}

static void test_nan_in_the_cache(void **state)
{
    (void)state;
    for (int cache = ASHLAR_CACHE_F16; cache <= ASHLAR_CACHE_Q8_0; cache++)
        for (int i = 0; i < 8; i++)
            check_nan(cache, i & 1, i & 2 ? 3 : 550, i & 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_equal_whole),
        cmocka_unit_test(test_all_logits),
        cmocka_unit_test(test_lower_bytes),
        cmocka_unit_test(test_wide_scales),
        cmocka_unit_test(test_rewind_repeats),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_nan_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
