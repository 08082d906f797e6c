/* The records of a pass: every operation of every layer in its order, the multiply-adds and bytes that the model has,
 * times that add up to no more than the pass took; and a pass that is watched gives the same logits. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "convert/convert.h"
#include "runtime/session.h"
#include "tests/support/make_gguf.h"
#include "tests/support/session.h"
#include "tests/support/unrounded.h"

#define RECORDS 4096

typedef struct seen {
    size_t count;
    ash_profile_record r[RECORDS];
} seen;

static void watch(void *context, const ash_profile_record *r)
{
    seen *s = context;
    assert_true(s->count < RECORDS);
    s->r[s->count++] = *r;
}

static ashlar_model *small_model(ash_dtype type)
{
    make_spec spec = make_defaults();
    spec.context = 512;
    spec.hidden = 320;
    return test_load(make_gguf("profile", &spec), "profile.ashlar", type);
}

static ashlar_session *session_of(const ashlar_model *model, uint32_t threads, int activations, seen *s)
{
    ashlar_session *session;
    ashlar_error err;
    if (ashlar_session_new(model, &(ashlar_session_options){ .threads = threads, .activations = activations }, &session,
                           &err) != 0)
        fail_msg("%s", err.text);
    if (s)
        session->profile = (ash_profile){ watch, s };
    return session;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t count_of(const seen *s, const char *name, ash_role role)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += strcmp(s->r[i].name, name) == 0 && (role == ASH_ROLE_OTHER || s->r[i].role == role);
    return n;
}

static void feed(ashlar_session *session, const int32_t *ids, size_t count)
{
    ashlar_error err;
    if (ashlar_session_feed(session, ids, count, 0, &err) != 0)
        fail_msg("%s", err.text);
}

/* The clock's records end with the last barrier of the pass and begin after its start, so they sum up to less than what
 * is measured around it. A wait may be negative by as much as threads leave a barrier apart; all waits together
 * are not, but for what the others do of the first phase, the embedding, before thread 0 begins. */
static void check_times(const seen *s, double around)
{
    double sum = 0, waits = 0;
    for (size_t i = 0; i < s->count; i++) {
        bool wait = strcmp(s->r[i].name, "waits") == 0;
        assert_true(wait || s->r[i].seconds > 0);
        sum += s->r[i].seconds;
        waits += wait ? s->r[i].seconds : 0;
    }
    assert_true(sum > 0 && sum <= around);
    assert_true(waits > -0.1 * around);
}

static void test_records(void **state)
{
    (void)state;
    static const uint32_t threads[] = { 1, 2, 7 };
    ashlar_model *model = small_model(ASH_Q8_0);
    const ash_hparams *h = &model->meta.h;
    int32_t ids[300];
    for (int i = 0; i < 300; i++)
        ids[i] = i * 37 % 272;
    seen *s = calloc(1, sizeof *s);
    ashlar_session *plain = session_of(model, 2, ASHLAR_ACT_FLOAT, NULL);
    feed(plain, ids, 300);
    feed(plain, ids, 1);
    for (size_t i = 0; i < 3; i++) {
        ashlar_session *session = session_of(model, threads[i], ASHLAR_ACT_FLOAT, s);
        double started = seconds_now();
        s->count = 0;
        feed(session, ids, 300); /* two batches */
        check_times(s, seconds_now() - started);
        assert_int_equal(count_of(s, "attention", ASH_ROLE_OTHER), 2 * h->layers);
        assert_int_equal(count_of(s, "swiglu", ASH_ROLE_GATE_UP), 2 * h->layers);
        assert_int_equal(count_of(s, "residual", ASH_ROLE_DOWN), 2 * h->layers);

        started = seconds_now();
        s->count = 0;
        feed(session, ids, 1);
        check_times(s, seconds_now() - started);
        assert_memory_equal(ashlar_session_logits(session, 0), ashlar_session_logits(plain, 0),
                            h->vocab * sizeof(float));
        uint64_t macs = 0, bytes = 0, linear = 0;
        for (size_t k = 0; k < s->count; k++) {
            const ash_profile_record *r = &s->r[k];
            if (strcmp(r->name, "matrix") == 0) {
                macs += r->macs;
                bytes += r->bytes;
                assert_int_equal(r->dtype, ASH_Q8_0);
                assert_int_equal(r->unit, ASH_UNIT_F32);
            } else if (strcmp(r->name, "attention") == 0) { /* at position 300, 301 are seen */
                assert_int_equal(r->macs, 2 * 301 * h->heads * h->head_dim);
                assert_int_equal(r->bytes, 301 * session->kv.bytes / session->kv.positions / h->layers);
            }
        }
        for (uint32_t t = 0; t < ash_file_tensor_count(model->file); t++)
            if (ash_file_tensor(model->file, t)->layout == ASH_LAYOUT_LINEAR)
                linear += ash_file_tensor(model->file, t)->size;
        assert_int_equal(macs, model->token_macs);
        assert_int_equal(bytes, model->token_bytes - linear);
        ashlar_session_free(session);
    }
    ashlar_session_free(plain);
    free(s);
    ashlar_model_free(model);
}

/* A layer as one thread goes through it, and what 8 bits change: their unit, and twice the work where they come in two
 * steps. */
static void test_order(void **state)
{
    (void)state;
    static const struct { const char *name; ash_role role; } layer[] = {
        { "norm, round", ASH_ROLE_QKV }, { "matrix", ASH_ROLE_QKV }, { "rope, store", ASH_ROLE_OTHER },
        { "attention", ASH_ROLE_OTHER }, { "round", ASH_ROLE_O }, { "matrix", ASH_ROLE_O }, { "residual", ASH_ROLE_O },
        { "norm, round", ASH_ROLE_GATE_UP }, { "matrix", ASH_ROLE_GATE_UP }, { "swiglu", ASH_ROLE_GATE_UP },
        { "round", ASH_ROLE_DOWN }, { "matrix", ASH_ROLE_DOWN }, { "residual", ASH_ROLE_DOWN },
    };
    enum { EACH = sizeof layer / sizeof *layer };
    ashlar_model *model = small_model(ASH_Q8_0);
    seen *s = calloc(1, sizeof *s);
    ashlar_session *session = session_of(model, 1, ASHLAR_ACT_INT8, s);
    int32_t ids[3] = { 1, 2, 3 };
    feed(session, ids, 3);
    size_t at = 0;
    uint64_t macs = 0;
    for (size_t i = 0; i < s->count; i++) {
        const ash_profile_record *r = &s->r[i];
        if (strcmp(r->name, "waits") == 0 || r->layer == ASH_NO_LAYER)
            continue;
        assert_int_equal(r->layer, at / EACH);
        const ash_linear *qkv = &model->layers[r->layer].qkv;
        if (strcmp(r->name, "matrix") == 0 && (r->role == ASH_ROLE_QKV || r->role == ASH_ROLE_DOWN)) {
            assert_int_equal(r->unit, ASH_UNIT_INT8);
            macs += r->role == ASH_ROLE_QKV ? r->macs : 0;
            if (r->role == ASH_ROLE_QKV)
                assert_int_equal(r->macs, 2 * 3 * qkv->part[0].w.rows * qkv->cols);
            const ash_acts fine = { .tokens = 3, .q8_wide = true, .q8_fine = true };
            assert_int_equal(r->slots, r->macs * (uint64_t)ash_q8_steps(session->kernels.level, ash_units_shared(), ASH_Q8_0, &fine) / 64);
        }
        assert_string_equal(r->name, layer[at % EACH].name);
        assert_int_equal(r->role, layer[at % EACH].role);
        at++;
    }
    assert_int_equal(at, EACH * model->meta.h.layers);
    assert_true(macs > 0);
    assert_string_equal(s->r[0].name, "embedding");
    assert_int_equal(s->r[s->count - 2].role, ASH_ROLE_OUTPUT);
    ashlar_session_free(session);
    free(s);
    ashlar_model_free(model);
}

/* A prompt's steps, with scales of 32 columns and of 256, and in 16 bits. */
static void test_wide_steps(void **state)
{
    (void)state;
    enum { TOKENS = ASH_Q8_ROUNDS_FROM };
    ashlar_model *model = small_model(ASH_Q4_K);
    drop_lower_bytes(model);
    int32_t ids[TOKENS] = { 1, 2, 3 };
    for (int wide = 0; wide < 3; wide++) {
        bool fine = wide == 2;
        if (fine)
            give_lower_bytes(model);
        model->wide = wide;
        seen *s = calloc(1, sizeof *s);
        ashlar_session *session = session_of(model, 1, ASHLAR_ACT_INT8, s);
        ash_level level = session->kernels.level;
        feed(session, ids, TOKENS);
        bool shared = ash_units_shared(); /* matmul_q8_rounded.h */
        uint64_t steps = level < ASH_LEVEL_VNNI ? 64 : fine ? (shared ? 66 : 65) : wide ? (shared ? 67 : 66) : (shared ? 81 : 73);
        int matrices = 0;
        for (size_t i = 0; i < s->count; i++) {
            if (strcmp(s->r[i].name, "matrix") != 0 || s->r[i].layer == ASH_NO_LAYER)
                continue;
            assert_int_equal(s->r[i].slots, s->r[i].macs * steps / 64);
            matrices++;
        }
        assert_true(matrices >= 4);
        ashlar_session_free(session);
        free(s);
    }
    ashlar_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_wide_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
