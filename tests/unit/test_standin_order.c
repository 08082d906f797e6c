/* The stand-in for libamdhip64 (tests/hip): graphs and the rules of their capture, and what it breaks on order. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/standin.h"

/* ---- graphs ---- */

static void test_graph(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    standin_graph_exec *exec = standin_capture(&m, s, 2);
    m.args.values = NULL; /* arguments are those of the capture */
    OK(hip.MemcpyAsync(m.host, m.values, 4, STANDIN_TO_HOST, s));
    OK(standin_wait_stream(s));
    assert_true(isnan(m.host[0])); /* nothing has run yet */
    assert_int_equal(standin_count().launches, 0);
    OK(hip.GraphLaunch(exec, s));
    OK(hip.GraphLaunch(exec, s));
    OK(hip.GraphExecDestroy(exec)); /* while it may run */
    GIVES(STANDIN_INVALID_HANDLE, hip.GraphLaunch(exec, s));
    standin_check_softmax(&m, s);
    standin_counts c = standin_count();
    assert_int_equal(c.captures, 1);
    assert_int_equal(c.graph_launches, 2);
    assert_int_equal(c.graph_kernels, 4);
    assert_int_equal(c.launches, 0);
    assert_int_equal(c.graphs + c.graph_execs, 0);
}

/* Copies and fills are nodes too, and read when the graph runs. */
static void test_graph_copies(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    int32_t *device = standin_new_device(8), *pinned = standin_new_pinned(16);
    standin_graph *graph;
    standin_graph_exec *exec;
    OK(hip.StreamBeginCapture(s, 1));
    OK(hip.MemsetAsync(device, 1, 8, s));
    OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, s));
    OK(hip.MemcpyAsync(pinned + 2, device, 8, STANDIN_TO_HOST, s));
    OK(hip.StreamEndCapture(s, &graph));
    OK(hip.GraphInstantiate(&exec, graph, NULL, NULL, 0));
    assert_int_equal(standin_count().copies[STANDIN_TO_DEVICE], 0);
    for (int32_t i = 5; i < 7; i++) {
        pinned[0] = i;
        OK(hip.GraphLaunch(exec, s));
        OK(standin_wait_stream(s));
        assert_int_equal(pinned[2], i);
        assert_int_equal(pinned[3], 0x01010101);
    }
    assert_int_equal(standin_count().copies[STANDIN_TO_DEVICE], 2);
    assert_int_equal(standin_count().filled_bytes, 16);
}

static void test_large_graph(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    standin_graph_exec *small = standin_capture(&m, s, STANDIN_GRAPH_NODES - 1), *large = standin_capture(&m, s, STANDIN_GRAPH_NODES);
    OK(hip.GraphLaunch(small, s));
    standin_check_softmax(&m, s);
    OK(hip.GraphLaunch(large, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, standin_wait_stream(s));
}

static void *allocate_elsewhere(void *out)
{
    *(int *)out = hip.Malloc(&(void *){ NULL }, 16);
    return NULL;
}

static void test_capture_rules(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream(), *other = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    standin_event *e = standin_new_event(), *outside = standin_new_event();
    standin_graph *graph;
    void *p;
    OK(hip.EventRecord(outside, other));
    GIVES(STANDIN_ILLEGAL_STATE, hip.StreamEndCapture(s, &graph));
    GIVES(STANDIN_INVALID_VALUE, hip.StreamBeginCapture(s, 0));

    OK(hip.StreamBeginCapture(s, 1)); /* memory, by this thread and by another one */
    GIVES(STANDIN_ILLEGAL_STATE, hip.StreamBeginCapture(s, 1));
    pthread_t thread;
    int code = -1;
    assert_int_equal(pthread_create(&thread, NULL, allocate_elsewhere, &code), 0);
    pthread_join(thread, NULL);
    OK(code);
    OK(standin_launch(&m, s));
    OK(standin_wait_event(outside)); /* another stream's is fine */
    GIVES(STANDIN_CAPTURE_UNSUPPORTED, hip.Malloc(&p, 16));
    GIVES(STANDIN_CAPTURE_INVALIDATED, standin_launch(&m, s));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));
    assert_null(graph);

    OK(hip.StreamBeginCapture(s, 1));
    GIVES(STANDIN_CAPTURE_UNSUPPORTED, hip.Free(m.values));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));
    assert_int_equal(standin_count().allocations, 3);

    OK(hip.StreamBeginCapture(s, 1)); /* an event of the capture is not one to wait for */
    OK(hip.EventRecord(e, s));
    OK(hip.StreamWaitEvent(s, e, 0));
    GIVES(STANDIN_CAPTURE_UNSUPPORTED, hip.EventQuery(e));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));
    GIVES(STANDIN_CAPTURED_EVENT, hip.EventQuery(e));
    GIVES(STANDIN_CAPTURED_EVENT, hip.StreamWaitEvent(other, e, 0));
    OK(hip.EventRecord(e, s)); /* now it is */
    OK(standin_wait_event(e));

    OK(hip.StreamBeginCapture(s, 1));
    GIVES(STANDIN_CAPTURE_ISOLATION, hip.StreamWaitEvent(s, outside, 0));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));

    OK(standin_launch(&m, s)); /* after all of it the stream works */
    standin_check_softmax(&m, s);
}

/* ---- failures on order ---- */

static void test_nth_failure(void **state)
{
    (void)state;
    void *p[4] = { NULL };
    standin_with("FAIL", "Malloc:3,HostMalloc:1=1", NULL);
    OK(hip.Malloc(&p[0], 16));
    GIVES(STANDIN_INVALID_VALUE, hip.HostMalloc(&p[3], 16, 0));
    OK(hip.Malloc(&p[1], 16));
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&p[2], 16));
    assert_null(p[2]);
    OK(hip.Malloc(&p[2], 16));
    assert_int_equal(standin_count().calls[STANDIN_Malloc], 4);
    assert_int_equal(standin_count().allocations, 3);
    assert_int_equal(standin_count().errors, 0);

    standin_with("FAIL", "*:4", NULL); /* with() has called hipSetDevice */
    OK(hip.Init(0));
    OK(hip.Malloc(&p[0], 16));
    OK(hip.Free(p[0])); /* not counted */
    GIVES(STANDIN_UNKNOWN, hip.StreamCreateWithFlags(&(standin_stream *){ NULL }, 1));
    OK(hip.Malloc(&p[0], 16));
    assert_int_equal(standin_count().counted, 5);
    standin_with("FAIL", "*:2", NULL);
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&p[0], 16));
    standin_with("FAIL", "Free:1=1", NULL);
    OK(hip.Malloc(&p[0], 16));
    GIVES(STANDIN_INVALID_VALUE, hip.Free(p[0]));
    assert_int_equal(standin_count().allocations, 1);
}

static void test_late_failure(void **state)
{
    (void)state;
    standin_with("FAIL", "MemcpyAsync:2=719", NULL); /* at the call, and from then on */
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    OK(standin_launch(&m, s));
    GIVES(STANDIN_LAUNCH_FAILURE, hip.MemcpyAsync(m.host, m.values, 4, STANDIN_TO_HOST, s));
    GIVES(STANDIN_LAUNCH_FAILURE, standin_launch(&m, s));

    standin_with("FAIL", "ModuleLaunchKernel:2~700", NULL); /* when it runs */
    s = standin_new_stream();
    m = standin_softmax_new(s);
    hip.hold(true);
    OK(standin_launch(&m, s));
    OK(standin_launch(&m, s));
    OK(standin_launch(&m, s));
    hip.hold(false);
    GIVES(STANDIN_ILLEGAL_ADDRESS, standin_wait_stream(s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, hip.StreamDestroy(s));
    assert_int_equal(standin_count().streams, 0);
    assert_int_equal(standin_count().errors, 0);

    standin_with("FAIL", "GraphLaunch:2~719", NULL);
    s = standin_new_stream();
    m = standin_softmax_new(s);
    standin_graph_exec *exec = standin_capture(&m, s, 1);
    OK(hip.GraphLaunch(exec, s));
    OK(standin_wait_stream(s));
    OK(hip.GraphLaunch(exec, s));
    GIVES(STANDIN_LAUNCH_FAILURE, standin_wait_stream(s));
}

/* A launch that does nothing, and says nothing. */
static void test_silent_failure(void **state)
{
    (void)state;
    standin_with("FAIL", "ModuleLaunchKernel:1~0", NULL);
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    OK(standin_launch(&m, s));
    OK(hip.MemcpyAsync(m.host, m.values, LOGITS * 4, STANDIN_TO_HOST, s));
    OK(standin_wait_stream(s));
    for (int i = 0; i < LOGITS; i++)
        assert_true(m.host[i] != m.host[i]); /* as fresh memory is */
    OK(standin_launch(&m, s));
    standin_check_softmax(&m, s);
    assert_int_equal(standin_count().errors, 0);
}

static void test_unknown_order(void **state)
{
    (void)state;
    standin_with("FAIL", "Mallocs:3", NULL);
    standin_told("Mallocs:3 is not understood");
    standin_with("FAIL", "Malloc:0", NULL);
    standin_told("not understood");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_graph, standin_start),       cmocka_unit_test_setup(test_graph_copies, standin_start),
        cmocka_unit_test_setup(test_large_graph, standin_start), cmocka_unit_test_setup(test_capture_rules, standin_start),
        cmocka_unit_test_setup(test_nth_failure, standin_start), cmocka_unit_test_setup(test_late_failure, standin_start),
        cmocka_unit_test_setup(test_silent_failure, standin_start), cmocka_unit_test_setup(test_unknown_order, standin_start),
    };
    return cmocka_run_group_tests_name("standin_order", tests, standin_open, NULL);
}
