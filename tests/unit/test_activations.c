/* What rounding activations does to perplexity, for every type, on llama-30m and eval.txt.
 *
 * As run, a Q type's activations are rounded to 8 bits, and in q, k, v, down and output a second time, what the first
 * step left over: llama-30m is narrow enough for that (ASH_SMALL_HIDDEN). Tests alone can take one step everywhere, as
 * wider models do. FP8's are rounded to e4m3; those of BF16 and FP8 also to BF16 where the processor multiplies that;
 * F16's not at all.
 *
 * Every id is predicted with float activations and with rounded ones; what counts is the mean of the differences of the
 * logarithms, and its error: their root mean square s over the root of their number, as if ids were independent (means
 * of whole windows scatter as that says).
 *
 * What to expect. Noise in the logits that is as likely up as down costs, to second order, half its variance over what
 * is predicted, and s^2 is that variance where predictions are as often right as they say. A model that is surer than
 * right loses less: noise flattens what it says. So the mean lies from 0 to s^2 / 2; more, beyond its error, is no
 * noise but a bias: codes that are cut instead of rounded, a scale too large or too small. And s follows from the
 * rounding. One 8-bit step errs by 1 / 254 of the largest of 32 at most, by 1 / (254 sqrt 3) of it in the root mean
 * square; the largest of 32 normal values is 2.4 times theirs: 0.55%. Other values have larger largest ones. e4m3 errs
 * by 2^-4 of a power of two at most, values are 1.47 times the power of two below them, so 2^-4 / sqrt 3 / 1.47
 * = 2.45%: at most 4.5 times one step's. BF16: 2^-8 / sqrt 3 / 1.47 = 0.15%, below one step's.
 *
 *   test_activations --table [IDS]   writes README's table, over IDS (32,768) ids
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"
#include "tests/support/score.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW_BUILD = 1, IDS = 300 }; /* several times slower */
#else
enum { SLOW_BUILD = 0, IDS = 3 * (TEST_WINDOW - 1) };
#endif
#define MOST log(1.003)

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

/* out[i]: minus the logarithm of what is predicted for ids[i]. */
static void score(const ashlar_model *model, int activations, const int32_t *ids, size_t count, double *out)
{
    ashlar_session *s = test_session(model, (ashlar_session_options){ .context = TEST_WINDOW, .activations = activations });
    test_surprise(s, ids, count, out);
    ashlar_session_free(s);
}

typedef struct change {
    double mean, error, noise; /* of the negative logarithm, from float activations to others; noise: s above */
} change;

static change difference(const double *exact, const double *rounded, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double d = rounded[i] - exact[i];
        sum += d;
        squares += d * d;
    }
    double noise = sqrt(squares / (double)count);
    return (change){ sum / (double)count, noise / sqrt((double)count), noise };
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
    change run, one; /* as run; in one 8-bit step, for Q types */
} result;

static result measure(const kind *k, size_t count)
{
    char name[64];
    snprintf(name, sizeof name, "models/%s", k->source);
    ashlar_model *model = test_load_recipe(test_shared(name), "activations.ashlar", k->recipe, NULL);
    int32_t *ids = test_eval_ids(model, count);
    double *logs = malloc(3 * count * sizeof *logs), *run = logs, *one = run + count, *exact = one + count;
    assert_non_null(logs);
    score(model, ASHLAR_ACT_AUTO, ids, count, run);
    if (k->of == OF_Q) {
        drop_second_step(model);
        score(model, ASHLAR_ACT_INT8, ids, count, one);
    }
    drop_input_rounding(model);
    score(model, ASHLAR_ACT_FLOAT, ids, count, exact);
    result r = { .exact = perplexity(exact, count), .run = difference(exact, run, count) };
    if (k->of == OF_Q)
        r.one = difference(exact, one, count);
    free(logs);
    ashlar_free(ids);
    ashlar_model_free(model);
    return r;
}

static bool has_models(void)
{
    char *paths[] = { test_shared("models/eval.txt"), test_shared("models/llama-30m"), test_shared("models/llama-30m-fp8") };
    bool all = true;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        all = all && paths[i];
        free(paths[i]);
    }
    return all;
}

static void report(const char *name, const char *how, change c)
{
    printf("# measure perplexity of %s, activations %s: %+.4f%%, give or take %.4f%%; of noise alone %+.4f%%\n", name,
           how, 100 * expm1(c.mean), 100 * c.error, 50 * c.noise * c.noise);
}

/* Twenty means are looked at: three errors, else one in twenty texts would fail at two. */
static void check_unbiased(change c)
{
    assert_true(c.mean >= -3 * c.error && c.mean <= c.noise * c.noise / 2 + 3 * c.error);
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
        result r = measure(k, IDS);
        report(k->name, "as run", r.run);
        check_unbiased(r.run);
        if (k->of == OF_Q) {
            report(k->name, "in one 8-bit step", r.one);
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
    puts("| llama-30m, activations | float | as run | difference | one 8-bit step | difference |\n"
         "|---|---:|---:|---:|---:|---:|");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        result r = measure(&kinds[i], count);
        printf("| %s | %.4f | %.4f | %+.3f%% ± %.3f |", kinds[i].name, r.exact, r.exact * exp(r.run.mean),
               100 * expm1(r.run.mean), 100 * r.run.error);
        if (kinds[i].of == OF_Q)
            printf(" %.4f | %+.3f%% ± %.3f |\n", r.exact * exp(r.one.mean), 100 * expm1(r.one.mean), 100 * r.one.error);
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
