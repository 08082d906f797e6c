/* 8-bit activations change a model's perplexity by less than 0.3%, for every type that takes them, on llama-30m.
 *
 * Each of 2,048 ids is predicted in both ways; what counts is the mean of the differences of their logarithms. Its own
 * error is their deviation over the root of their number: twice that must be less than the bound, so that passing is no
 * accident of the text. tests/bench/activations.sh measures the same over as many ids as one likes.
 */
#include <assert.h>
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "runtime/ashlar.h"
#include "tests/support/support.h"

enum { WINDOW = 257, PIECE = 64 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WINDOWS = 2 }; /* several times slower */
#else
enum { WINDOWS = 8 };
#endif
static_assert(PIECE <= ASHLAR_ALL_LOGITS_MAX && (WINDOW - 1) % PIECE == 0, "windows come in whole pieces");
#define MOST log(1.003)

static char *convert(const char *source, ash_dtype dtype)
{
    char name[64];
    snprintf(name, sizeof name, "activations-%s.ashlar", ash_dtype_name(dtype));
    char *path = test_path(name);
    ash_error err;
    assert_ok(ash_convert(source, path, &(ash_convert_options){ .type = dtype, .force = true }, NULL, &err), &err);
    return path;
}

static double log_probability(const float *logits, uint32_t vocab, int32_t id)
{
    double sum = 0, top = (double)logits[0];
    for (uint32_t i = 1; i < vocab; i++)
        top = (double)logits[i] > top ? (double)logits[i] : top;
    for (uint32_t i = 0; i < vocab; i++)
        sum += (double)expf((float)((double)logits[i] - top));
    return (double)logits[id] - top - log(sum);
}

/* Adds what is predicted for ids[1 ..] of a window, times `sign`, to out[0 ..]. */
static void score(const ashlar_model *model, int activations, const int32_t *ids, double sign, double *out)
{
    ashlar_model_info info;
    ashlar_session *s;
    ashlar_error err;
    ashlar_model_describe(model, &info);
    const ashlar_session_options options = { .context = WINDOW, .activations = activations };
    if (ashlar_session_new(model, &options, &s, &err) != 0)
        fail_msg("%s", err.text);
    for (int at = 0; at + 1 < WINDOW; at += PIECE) {
        if (ashlar_session_feed(s, ids + at, PIECE, ASHLAR_FEED_ALL_LOGITS, &err) != 0)
            fail_msg("%s", err.text);
        for (int i = 0; i < PIECE; i++)
            out[at + i] += sign * log_probability(ashlar_session_logits(s, (size_t)i), info.vocab, ids[at + i + 1]);
    }
    ashlar_session_free(s);
}

static void check(const char *source, const char *text, size_t bytes, ash_dtype dtype)
{
    char *path = convert(source, dtype);
    ashlar_model *model;
    ashlar_error err;
    int32_t *ids;
    size_t count = 0;
    if (ashlar_model_load(path, &model, &err) != 0 || ashlar_tokenize(model, text, bytes, 0, &ids, &count, &err) != 0)
        fail_msg("%s", err.text);
    assert_true(count >= WINDOW * WINDOWS);
    static double change[WINDOWS * (WINDOW - 1)];
    const size_t n = sizeof change / sizeof *change;
    memset(change, 0, sizeof change);
    for (int w = 0; w < WINDOWS; w++) {
        score(model, ASHLAR_ACT_FLOAT, ids + w * WINDOW, 1, change + w * (WINDOW - 1));
        score(model, ASHLAR_ACT_INT8, ids + w * WINDOW, -1, change + w * (WINDOW - 1));
    }
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += change[i];
        squares += change[i] * change[i];
    }
    double mean = sum / (double)n, error = sqrt(squares / (double)n / (double)n);
    printf("# measure perplexity of %s with 8-bit activations: %+.4f%%, give or take %.4f%%\n", ash_dtype_name(dtype),
           100 * expm1(mean), 100 * error);
    assert_true(squares > 0); /* the two do differ */
    assert_true(fabs(mean) <= MOST);
    assert_true(2 * error < MOST);
    ashlar_free(ids);
    ashlar_model_free(model);
    remove(path);
    free(path);
}

static void test_every_type(void **state)
{
    (void)state;
    static const ash_dtype types[] = { ASH_Q4_0, ASH_Q4_1, ASH_Q5_0, ASH_Q5_1, ASH_Q8_0, ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };
    char *source = test_shared("models/llama-30m"), *text_path = test_shared("models/calibration.txt");
    if (!source || !text_path) {
        free(source);
        free(text_path);
        skip();
    }
    size_t bytes;
    char *text = (char *)test_read_file(text_path, &bytes);
    bytes = bytes < 32768 ? bytes : 32768; /* whole characters or not: broken ones are bytes */
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check(source, text, bytes, types[i]);
    free(text);
    free(text_path);
    free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
