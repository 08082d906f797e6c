/* Models and sessions as tests use them: converted, loaded, fed. What fails ends the running test. */
#ifndef ASHLAR_TESTS_SUPPORT_SESSION_H
#define ASHLAR_TESTS_SUPPORT_SESSION_H

#include "runtime/ashlar.h"
#include "tests/support/support.h"

/* Converts `source` (which it frees) to test_path(name), every matrix to `type` (an ash_dtype or ASH_TYPE_KEEP), and loads it. */
ashlar_model *test_load(char *source, const char *name, uint32_t type);
/* The same by a recipe, "q4_k_m", and a rule "PATTERN=TYPE" or NULL. */
ashlar_model *test_load_recipe(char *source, const char *name, const char *type, const char *rule);
ashlar_session *test_session(const ashlar_model *model, ashlar_session_options options);
void test_feed_as(ashlar_session *session, const int32_t *ids, size_t count, unsigned flags);
/* With the last token's logits. */
void test_feed(ashlar_session *session, const int32_t *ids, size_t count);
/* Bytes and merges of make_model.h's vocabulary at random; the same name gives the same ids. */
void test_ids(int32_t *ids, size_t count, const char *name);
/* The first `count` ids, BOS among them, of an English text that has as many. */
void test_prompt(const ashlar_model *model, int32_t *ids, size_t count);
/* Largest difference of the last logits of two sessions, as a share of the largest logit; infinite where one is not finite. */
double test_logits_difference(const ashlar_session *a, const ashlar_session *b, uint32_t vocab);

#endif
