/* Every call of HIP failing, in turn, in a short run on the stand-in: one clear line, and nothing of the card is left held.
 *
 * The run: a model of two layers, a prompt of three tokens and two decoded ones, the second by a captured graph. The n-th
 * call fails for n = 1, 2, ... until a run has no n-th call. Which call is the n-th depends on the loader's threads, but every
 * call gets its turn: each kind of call fails at each of its own places besides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "tests/support/hip.h"
#include "tests/support/make_gguf.h"
#include "tests/support/session.h"

#define CALLS_MOST 2000

/* Of the places at which a call may fail: each one; ThreadSanitizer takes thirty times as long, and gets each STRIDEth. */
#ifdef __SANITIZE_THREAD__
enum { STRIDE = 11 };
#else
enum { STRIDE = 1 };
#endif

static ashlar_model *model;

static int open_model(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    model = test_load(make_gguf("tiny", &spec), "tiny.ashlar", ASH_TYPE_KEEP);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ashlar_model_free(model);
    return 0;
}

static int32_t likeliest(const ashlar_session *session)
{
    const int32_t *ids;
    const float *logits;
    assert_int_equal(ashlar_session_top(session, &ids, &logits), ASHLAR_TOP);
    return ids[0];
}

/* The run; with which status, and what it says. */
static int run(int no_graph, ashlar_error *err)
{
    static const int32_t ids[] = { 104, 101, 108 };
    ashlar_session_options o = { .context = 32, .device = "hip", .no_graph = no_graph, .threads = 1 };
    ashlar_session *session;
    memset(err, 0, sizeof *err);
    int status = ashlar_session_new(model, &o, &session, err);
    if (status != ASHLAR_OK)
        return status;
    status = ashlar_session_feed(session, ids, 3, ASHLAR_FEED_TOP, err);
    for (int i = 0; i < 2 && status == ASHLAR_OK; i++) {
        int32_t next = i ? ashlar_session_choice(session) : likeliest(session);
        status = ashlar_session_feed(session, &next, 1, ASHLAR_FEED_CHOOSE, err);
    }
    ashlar_session_free(session);
    return status;
}

/* One failing run; false when nothing failed because there is no such call. */
static bool fails_well(const char *what, int no_graph)
{
    ashlar_error err;
    hip_set("ASHLAR_STANDIN_FAIL", what);
    int status = run(no_graph, &err);
    hip_assert_freed();
    if (status == ASHLAR_OK)
        return false;
    if (!*err.text || strchr(err.text, '\n') || !strstr(err.text, "hipError"))
        fail_msg("%s: \"%s\" is no clear line", what, err.text);
    return true;
}

static void test_works(void **state)
{
    (void)state;
    ashlar_error err;
    hip_standin();
    hip_set("ASHLAR_STANDIN_FAIL", NULL);
    for (int no_graph = 0; no_graph < 2; no_graph++) {
        hip_reset();
        if (run(no_graph, &err) != ASHLAR_OK)
            fail_msg("%s", err.text);
        hip_assert_clean();
        hip_assert_freed();
    }
}

static void test_every_call(void **state)
{
    (void)state;
    uint32_t n = 1, survived = 0;
    char what[64];
    hip_standin();
    for (; n < CALLS_MOST; n += STRIDE) {
        snprintf(what, sizeof what, "*:%u", n);
        if (fails_well(what, 0)) {
            survived = 0;
            continue;
        }
        /* Graphs may fail where launches do not; and releases are not made to fail: a few more show that this is the end. */
        if (++survived == (STRIDE == 1 ? 8 : 2))
            break;
    }
    print_message("# measure runs that failed at each %d. of %u calls\n", STRIDE, n - survived * STRIDE);
    assert_true(n - survived * STRIDE > 100);
    assert_true(n < CALLS_MOST);
}

/* Each kind of call at each of its places, also where the failure comes only when the work runs. */
static void test_every_kind(void **state)
{
    (void)state;
    static const struct { const char *call, *how; int no_graph; } kinds[] = {
        { "Malloc", "", 0 },          { "HostMalloc", "", 0 },         { "ModuleLoadData", "=209", 0 },
        { "ModuleLoadData", "=2", 0 }, { "MemcpyAsync", "=719", 0 },   { "MemcpyAsync", "~719", 0 },
        { "MemsetAsync", "~700", 0 }, { "ModuleLaunchKernel", "", 1 }, { "ModuleLaunchKernel", "~719", 1 },
        { "GraphLaunch", "", 0 },     { "GraphLaunch", "~719", 0 },    { "EventQuery", "=719", 0 },
        { "StreamWaitEvent", "", 0 }, { "EventRecord", "", 1 },        { "SetDevice", "=101", 0 },
    };
    hip_standin();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        uint32_t n = 1;
        char what[64];
        for (; n < CALLS_MOST; n += STRIDE) {
            snprintf(what, sizeof what, "%s:%u%s", kinds[k].call, n, kinds[k].how);
            if (!fails_well(what, kinds[k].no_graph))
                break;
        }
        print_message("# measure %s%s fails at each %d. of %u places\n", kinds[k].call, kinds[k].how, STRIDE, n - STRIDE);
        assert_true(n > 1 && n < CALLS_MOST);
    }
}

/* A runtime without graphs: launches one by one. */
static void test_without_graphs(void **state)
{
    (void)state;
    static const char *const calls[] = { "StreamBeginCapture:1=801", "StreamEndCapture:1=801", "GraphInstantiate:1=801" };
    ashlar_error err;
    hip_standin();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        hip_set("ASHLAR_STANDIN_FAIL", calls[i]);
        if (run(0, &err) != ASHLAR_OK)
            fail_msg("%s: %s", calls[i], err.text);
        standin_counts c = hip_counts();
        assert_int_equal(c.graph_launches, 0);
        hip_assert_freed();
    }
}

/* Too little memory: by how much, and what would fit, before anything is allocated. */
static void test_memory(void **state)
{
    (void)state;
    ashlar_error err;
    hip_standin();
    unsetenv("ASHLAR_STANDIN_FAIL");
    hip_set("ASHLAR_STANDIN_MEMORY", "268500000"); /* 256 MiB are kept free; the model takes 3 MB */
    ashlar_session_options o = { .context = 256, .device = "hip", .card_layers = 2, .threads = 1 };
    ashlar_session *session;
    assert_int_equal(ashlar_session_new(model, &o, &session, &err), ASHLAR_ERROR_LIMIT);
    assert_non_null(strstr(err.text, "GiB free and this takes"));
    standin_counts c = hip_counts();
    assert_int_equal(c.calls[STANDIN_Malloc] + c.calls[STANDIN_HostMalloc], 0);
    o.device = "auto"; /* the CPU then, and it says why */
    assert_int_equal(ashlar_session_new(model, &o, &session, &err), ASHLAR_OK);
    assert_non_null(strstr(ashlar_session_device(session), "GiB free"));
    ashlar_session_free(session);
    hip_assert_freed();
    hip_set("ASHLAR_STANDIN_MEMORY", NULL);
}

/* Delays change the order in which streams run, not what comes out. */
static void test_delays(void **state)
{
    (void)state;
    ashlar_error err;
    hip_standin();
    hip_set("ASHLAR_STANDIN_DELAY", "2000");
    for (int seed = 1; seed <= 3; seed++) {
        char text[16];
        snprintf(text, sizeof text, "%d", seed);
        hip_set("ASHLAR_STANDIN_SEED", text);
        if (run(0, &err) != ASHLAR_OK)
            fail_msg("seed %d: %s", seed, err.text);
        hip_assert_clean();
        hip_assert_freed();
    }
    unsetenv("ASHLAR_STANDIN_SEED");
    hip_set("ASHLAR_STANDIN_DELAY", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_works),          cmocka_unit_test(test_every_call), cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_without_graphs), cmocka_unit_test(test_memory),     cmocka_unit_test(test_delays),
    };
    return cmocka_run_group_tests_name("hip_failures", tests, open_model, close_model);
}
