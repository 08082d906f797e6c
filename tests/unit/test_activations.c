/* What rounding activations does to perplexity, for every type, on llama-30m and eval.txt.
 *
 * As run, a Q type's activations are rounded to 8 bits, and in q, k, v, down and output to 16: llama-30m is narrow enough
 * for that (ASH_SMALL_HIDDEN). Tests alone can take 8 bits everywhere, and
 * in prompts of K types scales of 256 columns where the processor has them (ash_q8_takes_wide), as wider models do. FP8's
 * are rounded to e4m3; those of BF16 and FP8 also to BF16 where the processor multiplies that; F16's not at all.
 *
 * Every id is predicted with float activations and with rounded ones; what counts is the mean of the differences of the
 * logarithms, and its error: their root mean square s over the root of their number, as if ids were independent (means
 * of whole windows scatter as that says). Of fewer positions the logits themselves are compared, in contexts too short
 * for wide scales.
 *
 * What to expect. Noise in the logits that is as likely up as down costs, to second order, half its variance over what
 * is predicted, and s^2 is that variance where predictions are as often right as they say. A model that is surer than
 * right loses less: noise flattens what it says. So the mean lies from 0 to s^2 / 2; more, beyond its error, is no
 * noise but a bias. Perplexity hides a small one: logits that are all 1% too large change it by hundredths of a
 * percent. The logits show it. Let a be those of a position with float activations and b the rounded ones, each taken
 * from its mean: b = g a + n, g = a b / a a. To first order roundings that are as likely up as down leave g at 1, to
 * second order they take what they add to the length, which the last norm fixes: a a = b b = a a + 2 a n + n n, so
 * g = 1 - n n / (2 a a). g may be as far from 1 as n n / a a, twice that, and the error that its scatter over contexts
 * gives. Codes that are cut instead of rounded, and inputs that come out of rounding larger or smaller than they went
 * in, change every layer's part of the sum by as much, which is first order: of 8 bits 1.6% shows, while e4m3's noise
 * hides 2%.
 *
 * And s follows from the rounding. One 8-bit step errs by 1 / 254 of the largest of 32 at most, by 1 / (254 sqrt 3) of
 * it in the root mean square; the largest of 32 normal values is 2.4 times theirs: 0.55%; of 256 3.1 times: 0.7%. Other
 * values have larger largest ones. e4m3 errs by 2^-4 of a power of two at most, values are 1.47 times the power of two
 * below them, so 2^-4 / sqrt 3 / 1.47 = 2.45%: at most 4.5 times one step's. BF16: 2^-8 / sqrt 3 / 1.47 = 0.15%, below one
 * step's.
 *
 * So what e4m3 does to inputs is looked at where it happens. Of x, rounded to y, over all inputs of products: the sum
 * of (y - x)^2 is what uniform differences of a step leave, at most that of values just above a power of two, where a
 * step d is 2^-3 of it: 2^-6 / 12 of the sum of x^2. And the sum of x (y - x) is nearly 0: in a step where the density
 * f falls, x lies nearer to zero than y, which adds -x f' d^2 / 12 and takes d^2 / 12; by parts these cancel but for
 * the powers of two, at which d^2 falls to a quarter: there 2 x f d^2 / 32 are left over, and what rounds to the power
 * itself comes from d / 2 above and d / 4 below it, which takes 3 x f d^2 / 32. The rest, -x f d^2 / 32 at each power
 * of two, where d is x / 8, is -2^-11 / ln 2 = -0.07% of the sum of x^2, if f is smooth over an octave; inputs' may
 * leave from 0 to twice that. The scale is the one that makes the largest 448, or the file's; what is too large for the
 * latter is cut to 448.
 *
 *   test_activations --table [IDS]   writes README's table, over IDS (32,768) ids
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"
#include "tests/support/score.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW_BUILD = 1, IDS = 300, WIDE_IDS = 300 }; /* several times slower */
#else
/* Of K types more, since wide scales leave more noise: 0.04% is the mean's error of so many. */
enum { SLOW_BUILD = 0, IDS = 3 * (TEST_WINDOW - 1), WIDE_IDS = 24 * (TEST_WINDOW - 1) };
#endif
#define MOST log(1.003)
/* Positions whose logits are compared: contexts that begin anew, and ids of each. */
#define CONTEXTS 16
#define EACH 16
#define SAMPLE (CONTEXTS * EACH)

typedef struct kind {
    const char *name, *source, *recipe;
    enum { OF_Q, OF_FP8, OF_BF16, OF_F16 } of;
} kind;

static const kind kinds[] = {
    { "Q4_0", "llama-30m", "q4_0", OF_Q },
    { "Q4_1", "llama-30m", "q4_1", OF_Q },
    { "Q5_0", "llama-30m", "q5_0", OF_Q },
    { "Q5_1", "llama-30m", "q5_1", OF_Q },
    { "Q8_0", "llama-30m", "q8_0", OF_Q },
    { "Q4_K", "llama-30m", "q4_k", OF_Q },
    { "Q5_K", "llama-30m", "q5_k", OF_Q },
    { "Q6_K", "llama-30m", "q6_k", OF_Q },
    { "FP8, a scale a token", "llama-30m", "fp8", OF_FP8 },
    { "FP8, fixed scales", "llama-30m-fp8", "keep", OF_FP8 },
    { "BF16", "llama-30m", "bf16", OF_BF16 },
    { "F16", "llama-30m", "f16", OF_F16 },
};

/* ---- what e4m3 does to inputs ---- */

#define LOPSIDED (0x1p-11 / log(2))

/* Of all that is rounded since the last start; several threads add to it. */
static struct {
    pthread_mutex_t lock;
    ash_round_e4m3_fn *real;
    const ashlar_model *model;
    double xx, xy, apart, variance; /* sums of x^2, x y, (x - y)^2, and of x^2 (x - y)^2: of what is not too large */
    size_t count, large, not_cut;   /* large: above 448 times the scale; of those, not cut to that */
    size_t other_scale;
} inputs = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_files_scale(float scale)
{
    const ashlar_model *m = inputs.model;
    for (uint32_t i = 0; i < m->meta.h.layers; i++) {
        const ash_layer *l = &m->layers[i];
        const ash_linear *ops[] = { &l->qkv, &l->o, &l->gate_up, &l->down };
        for (int k = 0; k < 4; k++)
            for (uint32_t j = 0; j < ops[k]->input_count; j++)
                if (ops[k]->input[j].rounding == ASH_ROUND_STATIC && ops[k]->input[j].scale == scale)
                    return true;
    }
    return false;
}

static void round_watched(float *x, int64_t n, float scale)
{
    float *before = malloc((size_t)n * sizeof *before), most = ash_max_abs_scalar(x, n);
    assert_non_null(before);
    memcpy(before, x, (size_t)n * sizeof *before);
    inputs.real(x, n, scale);
    double xx = 0, xy = 0, apart = 0, variance = 0;
    size_t large = 0, not_cut = 0;
    for (int64_t i = 0; i < n; i++) {
        double a = (double)before[i], off = (double)x[i] - a;
        if (fabsf(before[i]) > 448 * scale) {
            large++;
            not_cut += fabsf(x[i]) != 448 * scale;
            continue;
        }
        xx += a * a;
        xy += a * (double)x[i];
        apart += off * off;
        variance += a * a * off * off;
    }
    free(before);
    pthread_mutex_lock(&inputs.lock);
    inputs.xx += xx, inputs.xy += xy, inputs.apart += apart, inputs.variance += variance;
    inputs.count += (size_t)n, inputs.large += large, inputs.not_cut += not_cut;
    /* A division and a product of floats: 2^-24 each. */
    inputs.other_scale += !(fabsf(most / scale - 448) <= 448 * 0x1p-22f) && !is_files_scale(scale);
    pthread_mutex_unlock(&inputs.lock);
}

static void watch_inputs(ashlar_session *s)
{
    inputs.real = s->kernels.round_e4m3;
    inputs.model = s->model;
    inputs.xx = inputs.xy = inputs.apart = inputs.variance = 0;
    inputs.count = inputs.large = inputs.not_cut = inputs.other_scale = 0;
    s->kernels.round_e4m3 = round_watched;
}

static void check_inputs(const char *name)
{
    assert_true(inputs.count > 0 && inputs.xx > 0);
    double share = inputs.apart / inputs.xx, gain = inputs.xy / inputs.xx, error = sqrt(inputs.variance) / inputs.xx;
    printf("# measure inputs of %s: off by %.3f%%, larger by %+.4f%%, give or take %.4f%%; %zu of %zu too large\n",
           name, 100 * sqrt(share), 100 * (gain - 1), 100 * error, inputs.large, inputs.count);
    assert_int_equal(inputs.other_scale, 0);
    assert_int_equal(inputs.not_cut, 0);
    assert_true(share > 0 && share <= 0x1p-6 / 12);
    assert_true(fabs(gain - 1 + LOPSIDED) <= LOPSIDED + 5 * error);
}

/* ---- logits ---- */

/* Of one way of rounding. */
typedef struct scores {
    double *surprise; /* minus the logarithm of what is predicted for each id */
    float *logits;    /* of the first SAMPLE ids, each row less its mean */
} scores;

static scores score(const ashlar_model *model, int activations, const int32_t *ids, size_t count)
{
    size_t vocab = model->meta.h.vocab;
    ashlar_session_options o = { .context = TEST_WINDOW, .activations = activations };
    ashlar_session *s = test_session(model, o);
    scores out = { malloc(count * sizeof *out.surprise), malloc(SAMPLE * vocab * sizeof *out.logits) };
    assert_true(out.surprise && out.logits && count >= SAMPLE);
    watch_inputs(s);
    test_surprise(s, ids, count, out.surprise);
    for (size_t i = 0; i < SAMPLE; i++) {
        ashlar_error err;
        if (i % EACH == 0) {
            assert_int_equal(ashlar_session_rewind(s, 0, &err), ASHLAR_OK);
            test_feed_as(s, ids + i, EACH, ASHLAR_FEED_ALL_LOGITS);
        }
        const float *row = ashlar_session_logits(s, i % EACH);
        double mean = 0;
        for (size_t k = 0; k < vocab; k++)
            mean += (double)row[k] / (double)vocab;
        for (size_t k = 0; k < vocab; k++)
            out.logits[i * vocab + k] = row[k] - (float)mean;
    }
    ashlar_session_free(s);
    return out;
}

static void free_scores(scores *s)
{
    free(s->surprise);
    free(s->logits);
}

typedef struct change {
    double mean, error, noise; /* of the negative logarithm, from float activations to others; noise: s above */
    double gain, gain_error;   /* g above, of all sampled logits, and the error of it */
    double share;              /* n n / a a */
} change;

/* The gain, its error and the share of noise. Positions of one context have their keys' and values' noise in common:
 * what scatters are contexts. */
static void compare_logits(const float *exact, const float *rounded, size_t vocab, change *c)
{
    double all = 0, along = 0, apart = 0, gains[CONTEXTS], squares = 0;
    for (size_t i = 0; i < CONTEXTS; i++) {
        double aa = 0, ab = 0;
        for (size_t k = i * EACH * vocab; k < (i + 1) * EACH * vocab; k++) {
            double a = (double)exact[k], b = (double)rounded[k];
            aa += a * a;
            ab += a * b;
            apart += (a - b) * (a - b);
        }
        all += aa;
        along += ab;
        gains[i] = ab / aa;
    }
    c->gain = along / all;
    c->share = apart / all;
    for (size_t i = 0; i < CONTEXTS; i++)
        squares += (gains[i] - c->gain) * (gains[i] - c->gain);
    c->gain_error = sqrt(squares / (CONTEXTS * (CONTEXTS - 1)));
}

static change difference(const scores *exact, const scores *rounded, size_t count, size_t vocab)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double d = rounded->surprise[i] - exact->surprise[i];
        sum += d;
        squares += d * d;
    }
    double noise = sqrt(squares / (double)count);
    change c = { .mean = sum / (double)count, .error = noise / sqrt((double)count), .noise = noise };
    compare_logits(exact->logits, rounded->logits, vocab, &c);
    return c;
}

static double perplexity(const double *logs, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += logs[i];
    return exp(sum / (double)count);
}

typedef struct result {
    double exact;    /* perplexity with float activations */
    change run, one; /* as run; in 8 bits alone, for Q types */
} result;

static result measure(const kind *k, size_t count)
{
    char name[64];
    snprintf(name, sizeof name, "models/%s", k->source);
    ashlar_model *model = test_load_recipe(test_shared(name), "activations.ashlar", k->recipe, NULL);
    int32_t *ids = test_eval_ids(model, count);
    scores run = score(model, ASHLAR_ACT_AUTO, ids, count), one = { NULL, NULL };
    if (k->of == OF_FP8) {
        check_inputs(k->name);
        /* A context that begins without BOS has its first token stand in for it, whose inputs are larger than those
         * that the checkpoint's scales were made of. */
        assert_true(strcmp(k->recipe, "keep") != 0 || inputs.large > 0);
    }
    size_t vocab = model->meta.h.vocab;
    if (k->of == OF_Q) {
        drop_lower_bytes(model);
        model->wide = true;
        one = score(model, ASHLAR_ACT_INT8, ids, count);
    }
    drop_input_rounding(model);
    scores exact = score(model, ASHLAR_ACT_FLOAT, ids, count);
    result r = { .exact = perplexity(exact.surprise, count), .run = difference(&exact, &run, count, vocab) };
    if (k->of == OF_Q)
        r.one = difference(&exact, &one, count, vocab);
    free_scores(&run), free_scores(&one), free_scores(&exact);
    ashlar_free(ids);
    ashlar_model_free(model);
    return r;
}

static bool has_models(void)
{
    char *paths[] = { test_shared("models/eval.txt"), test_shared("models/llama-30m"),
                      test_shared("models/llama-30m-fp8") };
    bool all = true;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        all = all && paths[i];
        free(paths[i]);
    }
    return all;
}

static void report(const char *name, const char *how, change c)
{
    printf("# measure perplexity of %s, activations %s: %+.4f%%, give or take %.4f%%; of noise alone %+.4f%%; logits "
           "larger by %+.4f%%, give or take %.4f%%, noise %.4f%%\n", name, how, 100 * expm1(c.mean), 100 * c.error,
           50 * c.noise * c.noise, 100 * (c.gain - 1), 100 * c.gain_error, 100 * c.share);
}

/* Twenty means and twenty gains are looked at: three errors of the former, else one in twenty texts would fail at two;
 * five of the latter, whose own error is known from CONTEXTS draws alone: with 15 degrees of freedom one of 6,000 is
 * beyond. */
static void check_unbiased(change c)
{
    assert_true(c.mean >= -3 * c.error && c.mean <= c.noise * c.noise / 2 + 3 * c.error);
    assert_true(fabs(c.gain - 1) <= c.share + 5 * c.gain_error);
}

static void check_within(change c)
{
    if (!SLOW_BUILD) /* so few ids that their error alone is as large */
        assert_true(fabs(c.mean) + 2 * c.error <= MOST);
}

static void test_every_type(void **state)
{
    (void)state;
    if (!has_models())
        skip();
    double one_step = 0; /* noise of Q8_0, whose weights are nearest to the original's */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        result r = measure(k, strstr(k->name, "_K") ? WIDE_IDS : IDS);
        report(k->name, "as run", r.run);
        check_unbiased(r.run);
        if (k->of == OF_Q) {
            report(k->name, "in 8 bits", r.one);
            check_unbiased(r.one);
            check_within(r.run);
            check_within(r.one);
            assert_true(r.run.noise > 0 && r.run.noise < r.one.noise);
            one_step = strcmp(k->name, "Q8_0") == 0 ? r.one.noise : one_step;
        } else if (k->of == OF_FP8) { /* a matter of the type: what it costs at most follows from one step's noise */
            assert_true(r.run.noise > one_step && r.run.noise <= 4.5 * one_step);
        } else {
            bool rounds = k->of == OF_BF16 && ash_level_detect() >= ASH_LEVEL_AVX512BF16;
            check_within(r.run);
            assert_true(rounds ? r.run.noise > 0 && r.run.noise < one_step : r.run.noise == 0);
        }
    }
}

static int table(size_t count)
{
    if (!has_models())
        return 1;
    puts("| llama-30m, activations | float | as run | difference | in 8 bits | difference |\n"
         "|---|---:|---:|---:|---:|---:|");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        result r = measure(&kinds[i], count);
        printf("| %s | %.4f | %.4f | %+.3f%% ± %.3f |", kinds[i].name, r.exact, r.exact * exp(r.run.mean),
               100 * expm1(r.run.mean), 100 * r.run.error);
        if (kinds[i].of == OF_Q)
            printf(" %.4f | %+.3f%% ± %.3f |\n", r.exact * exp(r.one.mean), 100 * expm1(r.one.mean),
                   100 * r.one.error);
        else
            puts(" | |");
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0)
        return table(argc > 2 ? strtoul(argv[2], NULL, 10) : 32768);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
