/* How well a model predicts the shared text eval.txt, by the protocol of all of README's perplexities: windows that begin
 * with BOS, each id predicted from those before it in its window. What fails ends the running test. */
#ifndef ASHLAR_TESTS_SUPPORT_SCORE_H
#define ASHLAR_TESTS_SUPPORT_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/ashlar.h"

#define TEST_WINDOW 1024 /* BOS and 1,023 ids; the context that a session needs */

/* The text's ids, of which there are `count` at least. The caller frees with ashlar_free. */
int32_t *test_eval_ids(const ashlar_model *model, size_t count);
/* out[i]: minus the logarithm of what is predicted for ids[i], i < count. The session starts anew for each window. */
void test_surprise(ashlar_session *session, const int32_t *ids, size_t count, double *out);

#endif
