#include "tests/support/score.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"
#include "tests/support/session.h"

enum { PIECE = 256 };
static_assert(PIECE <= ASHLAR_ALL_LOGITS_MAX, "a piece gives all its logits");

int32_t *test_eval_ids(const ashlar_model *model, size_t count)
{
    char *path = test_shared("models/eval.txt");
    assert_non_null(path);
    size_t size, there;
    char *text = (char *)test_read_file(path, &size);
    int32_t *ids;
    ashlar_error err;
    if (ashlar_tokenize(model, text, size, 0, &ids, &there, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    assert_true(there >= count && count > 0);
    free(text);
    free(path);
    return ids;
}

static double surprise(const float *logits, uint32_t vocab, int32_t id)
{
    float most = -INFINITY;
    double sum = 0;
    for (uint32_t k = 0; k < vocab; k++)
        most = logits[k] > most ? logits[k] : most;
    for (uint32_t k = 0; k < vocab; k++)
        sum += (double)expf(logits[k] - most);
    return log(sum) + (double)most - (double)logits[id];
}

void test_surprise(ashlar_session *s, const int32_t *ids, size_t count, double *out)
{
    uint32_t vocab = s->model->meta.h.vocab;
    for (size_t at = 0; at < count; at += TEST_WINDOW - 1) {
        size_t n = count - at < TEST_WINDOW - 1 ? count - at : TEST_WINDOW - 1;
        int32_t window[TEST_WINDOW] = { s->model->meta.bos };
        ashlar_error err;
        memcpy(window + 1, ids + at, n * sizeof *ids);
        assert_int_equal(ashlar_session_rewind(s, 0, &err), ASHLAR_OK);
        for (size_t done = 0; done < n; done += PIECE) { /* the last id is only predicted */
            size_t part = n - done < PIECE ? n - done : PIECE;
            test_feed_as(s, window + done, part, ASHLAR_FEED_ALL_LOGITS);
            for (size_t i = 0; i < part; i++)
                out[at + done + i] = surprise(ashlar_session_logits(s, i), vocab, ids[at + done + i]);
        }
    }
}
