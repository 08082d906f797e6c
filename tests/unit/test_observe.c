/* The observer sees what each operation takes in: in order, the same on any number of threads, without changing a
 * logit; and a pass in pieces is the pass. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "runtime/session.h"
#include "tests/support/make_gguf.h"
#include "tests/support/session.h"

#define TOKENS 300 /* two batches */

typedef struct seen {
    ash_role role[64];
    uint32_t layer[64];
    size_t count;
    float *values; /* of everything */
    size_t used, room;
} seen;

static void watch(void *context, const ash_observation *o)
{
    seen *s = context;
    assert_true(s->count < 64);
    s->role[s->count] = o->role;
    s->layer[s->count++] = o->layer;
    for (int64_t t = 0; t < o->tokens; t++) {
        assert_true(s->used + (size_t)o->cols <= s->room);
        memcpy(s->values + s->used, o->x + t * o->stride, (size_t)o->cols * sizeof(float));
        s->used += (size_t)o->cols;
        for (int64_t k = o->cols; k < ash_pad_cols(o->cols); k++)
            assert_true(o->x[t * o->stride + k] == 0);
    }
}

static ashlar_model *small_model(void)
{
    make_spec spec = make_defaults();
    spec.context = 512;
    spec.hidden = 320;
    return test_load(make_gguf("observe", &spec), "observe.ashlar", ASH_Q8_0);
}

static ashlar_session *session_of(const ashlar_model *model, uint32_t threads, seen *s)
{
    ashlar_session *session;
    ashlar_error err;
    if (ashlar_session_new(model, &(ashlar_session_options){ .threads = threads }, &session, &err) != 0)
        fail_msg("%s", err.text);
    if (s) {
        size_t each = model->meta.h.hidden * 2 + model->meta.h.heads * model->meta.h.head_dim + model->meta.h.ffn;
        s->room = TOKENS * (each * model->meta.h.layers + model->meta.h.hidden);
        s->values = malloc(s->room * sizeof *s->values);
        assert_non_null(s->values);
        session->observer = watch;
        session->observer_context = s;
    }
    return session;
}

static void make_ids(int32_t *ids)
{
    test_rng rng = test_rng_start("observe");
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)test_rng_below(&rng, 272);
}

static void test_order_and_threads(void **state)
{
    (void)state;
    static const ash_role roles[] = { ASH_ROLE_QKV, ASH_ROLE_O, ASH_ROLE_GATE_UP, ASH_ROLE_DOWN };
    static const uint32_t threads[] = { 1, 2, 7 };
    ashlar_model *model = small_model();
    uint32_t layers = model->meta.h.layers;
    int32_t ids[TOKENS];
    make_ids(ids);
    ashlar_error err;
    ashlar_session *plain = session_of(model, 2, NULL);
    assert_int_equal(ashlar_session_feed(plain, ids, TOKENS, 0, &err), 0);
    seen s[3] = { { .count = 0 } };
    for (int i = 0; i < 3; i++) {
        ashlar_session *session = session_of(model, threads[i], &s[i]);
        assert_int_equal(ashlar_session_feed(session, ids, TOKENS, 0, &err), 0);
        assert_memory_equal(ashlar_session_logits(session, 0), ashlar_session_logits(plain, 0),
                            model->meta.h.vocab * sizeof(float));
        /* two batches of all layers, and the one token that the output is computed for */
        assert_int_equal(s[i].count, 2 * 4 * layers + 1);
        for (size_t k = 0; k < s[i].count; k++) {
            bool output = k == 2 * 4 * layers;
            assert_int_equal(s[i].role[k], output ? ASH_ROLE_OUTPUT : roles[k % 4]);
            assert_int_equal(s[i].layer[k], output ? ASH_NO_LAYER : k % (4 * layers) / 4);
        }
        assert_int_equal(s[i].used, s[0].used);
        assert_memory_equal(s[i].values, s[0].values, s[0].used * sizeof(float));
        ashlar_session_free(session);
    }
    /* The first thing seen: the first token's embedding, normalized. */
    float row[320], normed[320];
    plain->kernels.row[model->embed.dtype](&model->embed, ids[0], row);
    plain->kernels.rms_norm(row, model->layers[0].attn_norm, 320, model->meta.h.norm_eps, normed);
    assert_memory_equal(s[0].values, normed, sizeof normed);
    ashlar_session_free(plain);
    for (int i = 0; i < 3; i++)
        free(s[i].values);
    ashlar_model_free(model);
}

/* A token alone, as in decoding: every thread has its own copy of the inputs, and one is shown. */
static void test_single_tokens(void **state)
{
    (void)state;
    ashlar_model *model = small_model();
    int32_t ids[TOKENS];
    make_ids(ids);
    ashlar_error err;
    seen s = { .count = 0 };
    ashlar_session *session = session_of(model, 7, &s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ashlar_session_feed(session, ids + i, 1, 0, &err), 0);
    assert_int_equal(s.count, 3 * (4 * model->meta.h.layers + 1));
    ashlar_session_free(session);
    free(s.values);
    ashlar_model_free(model);
}

/* Embedding and layers one by one, with both halves of a layer apart and each run up to an operation first. */
static void test_pieces(void **state)
{
    (void)state;
    ashlar_model *model = small_model();
    const ash_hparams *h = &model->meta.h;
    int32_t ids[TOKENS];
    make_ids(ids);
    ashlar_error err;
    seen s = { .count = 0 };
    ashlar_session *whole = session_of(model, 2, &s), *pieces = session_of(model, 2, NULL);
    enum { N = 200 };
    assert_int_equal(ashlar_session_feed(whole, ids, N, ASHLAR_FEED_ALL_LOGITS, &err), 0);
    ash_session_announce(pieces, N);
    ash_forward_embed(pieces, ids, N);
    for (uint32_t i = 0; i < h->layers; i++) {
        ash_forward_layer(pieces, &model->layers[i], i, ASH_LAYER_QKV, ASH_LAYER_QKV, N);
        ash_forward_layer(pieces, &model->layers[i], i, ASH_LAYER_QKV, ASH_LAYER_O, N);
        ash_forward_layer(pieces, &model->layers[i], i, ASH_LAYER_QKV, ASH_LAYER_GATE_UP, N);
        ash_forward_layer(pieces, &model->layers[i], i, ASH_LAYER_GATE_UP, ASH_LAYER_DOWN, N);
        ash_forward_layer(pieces, &model->layers[i], i, ASH_LAYER_GATE_UP, ASH_LAYER_END, N);
    }
    /* The last thing seen is the final norm of what the layers leave. */
    for (int64_t t = 0; t < N; t++) {
        float normed[320];
        pieces->kernels.rms_norm(pieces->x + t * pieces->x_stride, model->output_norm, 320, h->norm_eps, normed);
        assert_memory_equal(normed, s.values + s.used - (size_t)(N - t) * 320, sizeof normed);
    }
    ashlar_session_free(whole);
    ashlar_session_free(pieces);
    free(s.values);
    ashlar_model_free(model);
}

/* Matrices by role, out of fused tensors too: row for row what an F32 conversion of each alone holds. */
static void test_matrices(void **state)
{
    (void)state;
    ashlar_model *model = small_model();
    static const uint32_t roles[] = { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V, ASH_ROLE_O, ASH_ROLE_GATE, ASH_ROLE_UP,
                                      ASH_ROLE_DOWN };
    const ash_hparams *h = &model->meta.h;
    ash_error err;
    ash_matrix w;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        assert_ok(ash_model_matrix(model, 1, roles[i], &w, &err), &err);
        uint32_t cols = roles[i] == ASH_ROLE_O ? h->heads * h->head_dim : roles[i] == ASH_ROLE_DOWN ? h->ffn : h->hidden;
        assert_int_equal(w.cols, cols);
    }
    /* up's rows are every second panel of the fused tensor */
    float row[320], fused[320];
    ash_matrix gate_up = model->layers[1].gate_up.part[0].w;
    assert_int_equal(model->layers[1].gate_up.part_count, 1);
    assert_ok(ash_model_matrix(model, 1, ASH_ROLE_UP, &w, &err), &err);
    ash_kernels k;
    ash_kernels_init(&k, ASH_LEVEL_SCALAR);
    for (int64_t r = 0; r < h->ffn; r++) {
        k.row[w.dtype](&w, r, row);
        k.row[w.dtype](&gate_up, r / 16 * 32 + 16 + r % 16, fused);
        assert_memory_equal(row, fused, sizeof row);
    }
    assert_int_equal(ash_model_matrix(model, 9, ASH_ROLE_UP, &w, &err), ASH_E_FORMAT);
    ashlar_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_threads),
        cmocka_unit_test(test_single_tokens),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
