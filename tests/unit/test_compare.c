/* ashlar compare against the same sums taken here from the logits of both models, and on a model against itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "convert/convert.h"
#include "runtime/ashlar.h"
#include "tests/support/make_gguf.h"

enum { WINDOW = 40 };
/* Bytes are tokens 0 to 255 but for the pairs that merges join; spaces and digits have none, so the ids are these. */
static const char text[] = "0 1 2 3 4 5 6 7 8 9 0 2 4 6 8 1 3 5 7 9 9 8 7 6 5 4 3 2 1 0 5 5 5 1 1 2 3 5 8 7 7 7 0 0 0 1";

typedef struct figures {
    double tokens, kl, kl_max, same_top, ppl_a, ppl_b;
} figures;

static char *convert(const char *name, ash_dtype dtype, uint32_t vocab)
{
    make_spec spec = make_defaults();
    if (vocab)
        spec.vocab = vocab;
    spec.tokenizer = true;
    char *source = make_gguf(name, &spec), file[64];
    snprintf(file, sizeof file, "%s-%s.ashlar", name, ash_dtype_name(dtype));
    char *path = test_path(file);
    ash_error err;
    assert_ok(ash_convert(source, path, &(ash_convert_options){ .type = dtype, .force = true }, NULL, &err), &err);
    free(source);
    return path;
}

static char *run(const char *options, int *code)
{
    char line[4096];
    snprintf(line, sizeof line, "compare %s", options);
    return test_ashlar(line, code);
}

static figures compare(const char *a, const char *b, const char *more)
{
    char options[2048];
    int code;
    char *text_path = test_path("text.txt");
    test_write_file(text_path, text, sizeof text - 1);
    snprintf(options, sizeof options, "%s %s --text %s --window %d --act float --json %s", a, b, text_path, WINDOW,
             more);
    char *out = run(options, &code);
    if (code != 0)
        fail_msg("%s", out);
    cJSON *json = cJSON_Parse(out);
    figures f;
    double *const to[] = { &f.tokens, &f.kl, &f.kl_max, &f.same_top, &f.ppl_a, &f.ppl_b };
    static const char *const names[] = { "tokens", "kl", "kl_max", "same_top", "ppl_a", "ppl_b" };
    for (size_t i = 0; i < 6; i++) {
        const cJSON *item = cJSON_GetObjectItem(json, names[i]);
        assert_true(cJSON_IsNumber(item));
        *to[i] = item->valuedouble;
    }
    cJSON_Delete(json);
    free(text_path);
    return f;
}

static ashlar_session *open_model(const char *path, ashlar_model **model)
{
    ashlar_session *s = NULL;
    ashlar_error err;
    if (ashlar_model_load(path, model, &err) != 0 ||
        ashlar_session_new(*model, &(ashlar_session_options){ .activations = ASHLAR_ACT_FLOAT }, &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

static double probability(const float *logits, uint32_t vocab, uint32_t id)
{
    double sum = 0;
    for (uint32_t v = 0; v < vocab; v++)
        sum += exp((double)logits[v]);
    return exp((double)logits[id]) / sum;
}

static uint32_t first_choice(const float *logits, uint32_t vocab)
{
    uint32_t best = 0;
    for (uint32_t v = 1; v < vocab; v++)
        if (logits[v] > logits[best])
            best = v;
    return best;
}

/* KL = sum p log(p / q), term by term, over windows of WINDOW - 1 ids after BOS. */
static figures expected(const char *path_a, const char *path_b)
{
    ashlar_model *model[2];
    ashlar_session *s[2] = { open_model(path_a, &model[0]), open_model(path_b, &model[1]) };
    int32_t *ids, window[WINDOW] = { MAKE_BOS };
    size_t count;
    ashlar_error err;
    assert_int_equal(ashlar_tokenize(model[0], text, sizeof text - 1, 0, &ids, &count, &err), 0);
    figures f = { 0 };
    double nll[2] = { 0 };
    for (size_t at = 0; at < count; at += WINDOW - 1) {
        size_t n = count - at < WINDOW - 1 ? count - at : WINDOW - 1;
        memcpy(window + 1, ids + at, n * sizeof *ids);
        for (int m = 0; m < 2; m++) {
            assert_int_equal(ashlar_session_rewind(s[m], 0, &err), 0);
            assert_int_equal(ashlar_session_feed(s[m], window, n, ASHLAR_FEED_ALL_LOGITS, &err), 0);
        }
        for (size_t i = 0; i < n; i++) {
            const float *a = ashlar_session_logits(s[0], i), *b = ashlar_session_logits(s[1], i);
            double kl = 0;
            for (uint32_t v = 0; v < 288; v++) {
                double p = probability(a, 288, v);
                kl += p * log(p / probability(b, 288, v));
            }
            f.kl += kl;
            f.kl_max = fmax(f.kl_max, kl);
            f.same_top += first_choice(a, 288) == first_choice(b, 288);
            nll[0] -= log(probability(a, 288, (uint32_t)window[i + 1]));
            nll[1] -= log(probability(b, 288, (uint32_t)window[i + 1]));
        }
        f.tokens += (double)n;
    }
    f.kl /= f.tokens;
    f.same_top /= f.tokens;
    f.ppl_a = exp(nll[0] / f.tokens);
    f.ppl_b = exp(nll[1] / f.tokens);
    for (int m = 0; m < 2; m++) {
        ashlar_session_free(s[m]);
        ashlar_model_free(model[m]);
    }
    ashlar_free(ids);
    return f;
}

/* The command takes exponentials in float: each of 288 weights is off by up to 2^-22 of itself, and multiplies a
 * difference of logits that here is below 8. */
#define KL_TOLERANCE (8 * 0x1p-22)

static void test_by_hand(void **state)
{
    (void)state;
    char *a = convert("compare", ASH_BF16, 0), *b = convert("compare", ASH_Q4_0, 0);
    figures want = expected(a, b), got = compare(a, b, "");
    assert_true(want.kl > 1e-4 && want.tokens > 2 * WINDOW);
    assert_true(got.tokens == want.tokens && fabs(got.same_top - want.same_top) <= 1e-9); /* 9 digits */
    assert_true(fabs(got.kl - want.kl) <= KL_TOLERANCE && fabs(got.kl_max - want.kl_max) <= KL_TOLERANCE);
    assert_true(fabs(got.ppl_a / want.ppl_a - 1) <= 0x1p-20 && fabs(got.ppl_b / want.ppl_b - 1) <= 0x1p-20);
    figures skipped = compare(a, b, "--skip 39 --threads 1");
    assert_true(skipped.tokens == want.tokens - 39);
    figures one = compare(a, b, "--threads 1"), seven = compare(a, b, "--threads 7");
    assert_true(one.kl == got.kl && seven.kl == got.kl && one.ppl_b == seven.ppl_b);
    free(a);
    free(b);
}

static void test_itself(void **state)
{
    (void)state;
    char *a = convert("compare", ASH_Q8_0, 0);
    figures got = compare(a, a, "");
    assert_true(got.kl == 0 && got.kl_max == 0 && got.same_top == 1 && got.ppl_a == got.ppl_b);
    free(a);
}

static void test_other_vocabulary(void **state)
{
    (void)state;
    char *a = convert("compare", ASH_Q8_0, 0), *b = convert("larger", ASH_Q8_0, 304), options[2048];
    int code;
    snprintf(options, sizeof options, "%s %s --text %s", a, b, a);
    char *out = run(options, &code);
    assert_int_equal(code, 1);
    assert_non_null(strstr(out, "288 tokens and"));
    assert_non_null(strstr(out, "has 304"));
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_itself),
        cmocka_unit_test(test_other_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
