#include "tests/support/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "tests/support/make_model.h"

static ashlar_model *load(char *source, const char *name, const ash_convert_options *options)
{
    char *path = test_path(name);
    ash_error err;
    ashlar_model *model;
    ashlar_error public_err;
    assert_ok(ash_convert(source, path, options, NULL, &err), &err);
    if (ashlar_model_load(path, &model, &public_err) != ASHLAR_OK)
        fail_msg("%s", public_err.text);
    free(path);
    free(source);
    return model;
}

ashlar_model *test_load(char *source, const char *name, uint32_t type)
{
    return load(source, name, &(ash_convert_options){ .type = type, .force = true });
}

ashlar_model *test_load_recipe(char *source, const char *name, const char *type, const char *rule)
{
    ash_recipe recipe;
    ash_error err;
    assert_true(ash_recipe_named(type, &recipe));
    if (rule)
        assert_ok(ash_recipe_add(&recipe, rule, &err), &err);
    return load(source, name, &(ash_convert_options){ .type = ASH_TYPE_KEEP, .recipe = &recipe, .force = true });
}

ashlar_session *test_session(const ashlar_model *model, ashlar_session_options options)
{
    ashlar_session *session;
    ashlar_error err;
    if (ashlar_session_new(model, &options, &session, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    return session;
}

void test_feed_as(ashlar_session *session, const int32_t *ids, size_t count, unsigned flags)
{
    ashlar_error err;
    if (ashlar_session_feed(session, ids, count, flags, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
}

void test_feed(ashlar_session *session, const int32_t *ids, size_t count) { test_feed_as(session, ids, count, 0); }

void test_ids(int32_t *ids, size_t count, const char *name)
{
    test_rng rng = test_rng_start(name);
    for (size_t i = 0; i < count; i++)
        ids[i] = (int32_t)test_rng_below(&rng, MAKE_BOS);
}

void test_prompt(const ashlar_model *model, int32_t *ids, size_t count)
{
    static const char text[] = "The old bridge over the river was built by masons who cut every stone before they came, so that the "
                               "wall went up in a single summer and has stood for four hundred years without mortar or repair, "
                               "though floods have come each spring.";
    int32_t *all;
    size_t there;
    ashlar_error err;
    if (ashlar_tokenize(model, text, sizeof text - 1, ASHLAR_TOKENIZE_BOS, &all, &there, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    assert_true(there >= count);
    memcpy(ids, all, count * sizeof *ids);
    ashlar_free(all);
}

double test_logits_difference(const ashlar_session *a, const ashlar_session *b, uint32_t vocab)
{
    const float *x = ashlar_session_logits(a, 0), *y = ashlar_session_logits(b, 0);
    double worst = 0, largest = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i]))
            return INFINITY;
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
        largest = fmax(largest, fabs((double)x[i]));
    }
    return largest > 0 ? worst / largest : INFINITY;
}
