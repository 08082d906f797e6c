/* The stand-in for libamdhip64 (tests/hip): what it does, what it refuses, what it counts. Graphs and failures
 * on order: test_standin_order.c. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/standin.h"

/* ---- memory ---- */

static void test_memory(void **state)
{
    (void)state;
    standin_with("MEMORY", "1048576", NULL);
    size_t left, total;
    OK(hip.MemGetInfo(&left, &total));
    assert_int_equal(total, 1048576);
    assert_int_equal(left, 1048576);
    void *p = NULL, *q = NULL;
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&p, 1048577));
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&p, SIZE_MAX));
    OK(hip.Malloc(&p, 1000000));
    OK(hip.MemGetInfo(&left, &total));
    assert_int_equal(left, 1048576 - 1003520);
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&q, 65536));
    assert_int_equal(standin_count().device_bytes, 1003520);
    assert_int_equal(standin_count().errors, 0);
    OK(hip.Free(p));
    GIVES(STANDIN_INVALID_VALUE, hip.Free(p));
    standin_told("hipFree of");
    OK(hip.Free(NULL));
    OK(hip.Malloc(&q, 65536));
    assert_ptr_not_equal(p, q);
    GIVES(STANDIN_INVALID_VALUE, hip.Free((uint8_t *)q + 4));
    GIVES(STANDIN_INVALID_VALUE, hip.HostFree(q));
    assert_int_equal(standin_count().allocations, 1);
    assert_int_equal(standin_count().peak_bytes, 1003520);
    OK(hip.Free(q));
    assert_int_equal(standin_count().allocations, 0);
    assert_int_equal(standin_count().device_bytes, 0);
}

/* The whole card at once, of which little is touched; what nobody has written is NaN. */
static void test_fresh(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    float *p = standin_new_device((size_t)16 << 30), *host = standin_new_pinned(4 * sizeof *host);
    assert_true(isnan(host[0]) && isnan(host[3]));
    host[0] = host[1] = host[2] = host[3] = 0;
    OK(hip.MemcpyAsync(host, p + ((size_t)3 << 30), 8, STANDIN_TO_HOST, s));
    OK(hip.MemsetAsync(p + ((size_t)3 << 30) + 1, 0, 4, s));
    OK(hip.MemcpyAsync(host + 2, p + ((size_t)3 << 30) + 1, 8, STANDIN_TO_HOST, s));
    OK(standin_wait_stream(s));
    assert_true(isnan(host[0]) && isnan(host[1]) && isnan(host[3]));
    assert_true(host[2] == 0);
    assert_int_equal(standin_count().errors, 0);
}

static void test_copies_refused(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    uint8_t *device = standin_new_device(1000), *pinned = standin_new_pinned(1000), *heap = malloc(1000);
    assert_non_null(heap);
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device, heap, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(heap, device, 100, STANDIN_TO_HOST, s));
    assert_int_equal(standin_count().unpinned, 2);
    standin_told("in nothing that was allocated");
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device, pinned + 901, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device + 901, pinned, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device - 1, pinned, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(pinned, device, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(pinned, device, 100, 4, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemsetAsync(device + 901, 0, 100, s));
    assert_int_equal(standin_count().errors, 8);
    OK(hip.MemcpyAsync(device + 900, pinned + 900, 100, STANDIN_TO_DEVICE, s));
    OK(hip.MemcpyAsync(device, device + 500, 500, STANDIN_ON_DEVICE, s));
    OK(standin_wait_stream(s));
    assert_int_equal(standin_count().copies[STANDIN_TO_DEVICE], 1);
    assert_int_equal(standin_count().copied_bytes[STANDIN_TO_DEVICE], 100);
    assert_int_equal(standin_count().copied_bytes[STANDIN_ON_DEVICE], 500);
    OK(hip.Free(device));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device, pinned, 100, STANDIN_TO_DEVICE, s));
    free(heap);
}

/* ---- streams and events ---- */

static void test_early_reuse(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    test_skip("the data race that this is about is reported as one");
#endif
    standin_stream *s = standin_new_stream();
    int32_t *device = standin_new_device(8), *pinned = standin_new_pinned(8);
    hip.hold(true);
    pinned[0] = 1;
    OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, s));
    pinned[0] = 2; /* too early */
    OK(hip.MemcpyAsync(pinned + 1, device, 4, STANDIN_TO_HOST, s));
    hip.hold(false);
    OK(standin_wait_stream(s));
    assert_int_equal(pinned[1], 2);
}

static void test_events(void **state)
{
    (void)state;
    standin_with("DELAY", "2000", NULL);
    standin_stream *a = standin_new_stream(), *b = standin_new_stream();
    standin_event *ready = standin_new_event(), *never = standin_new_event();
    int32_t *device = standin_new_device(4), *pinned = standin_new_pinned(8);
    OK(hip.EventQuery(never)); /* of nothing recorded */
    for (int round = 0; round < 20; round++) { /* b sees what a has written, whoever is faster */
        pinned[0] = round;
        hip.hold(true);
        OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, a));
        OK(hip.EventRecord(ready, a));
        GIVES(STANDIN_NOT_READY, hip.EventQuery(ready));
        OK(hip.StreamWaitEvent(b, ready, 0));
        OK(hip.MemcpyAsync(pinned + 1, device, 4, STANDIN_TO_HOST, b));
        hip.hold(false);
        OK(standin_wait_stream(b));
        OK(hip.EventQuery(ready));
        assert_int_equal(pinned[1], round);
    }
    OK(hip.EventDestroy(ready));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventQuery(ready));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord(ready, a));
    standin_told("event is used after its end");
    OK(hip.StreamDestroy(a));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord(never, a));
    standin_told("stream is used after its end");
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord(never, NULL));
    standin_told("the default one is not offered");
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord((standin_event *)b, b));
    assert_int_equal(standin_count().streams, 1);
}

/* Nobody orders the two streams: over many rounds each is first at some time. */
static void test_unordered(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    test_skip("the data race that this is about is reported as one");
#endif
    standin_with("DELAY", "1000", NULL);
    standin_stream *a = standin_new_stream(), *b = standin_new_stream();
    int32_t *device = standin_new_device(4), *pinned = standin_new_pinned(12);
    int first[2] = { 0, 0 };
    for (int round = 0; round < 200 && !(first[0] && first[1]); round++) {
        pinned[0] = 0;
        pinned[1] = 1;
        hip.hold(true);
        OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, a));
        OK(hip.MemcpyAsync(device, pinned + 1, 4, STANDIN_TO_DEVICE, b));
        hip.hold(false);
        OK(standin_wait_stream(a));
        OK(standin_wait_stream(b));
        OK(hip.MemcpyAsync(pinned + 2, device, 4, STANDIN_TO_HOST, a));
        OK(standin_wait_stream(a));
        first[1 - pinned[2]]++;
    }
    assert_true(first[0] && first[1]);
}

static void test_elapsed(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    standin_event *from = NULL, *to = NULL, *untimed = standin_new_event();
    float ms = -1;
    OK(hip.EventCreateWithFlags(&from, 0));
    OK(hip.EventCreateWithFlags(&to, 0));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventElapsedTime(&ms, from, to));
    OK(hip.EventRecord(from, s));
    OK(standin_wait_event(from));
    hip.hold(true);
    OK(hip.EventRecord(to, s));
    OK(hip.EventRecord(untimed, s));
    GIVES(STANDIN_NOT_READY, hip.EventElapsedTime(&ms, from, to));
    nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    hip.hold(false);
    OK(standin_wait_event(untimed));
    OK(hip.EventElapsedTime(&ms, from, to));
    assert_true(ms >= 5);
    GIVES(STANDIN_INVALID_HANDLE, hip.EventElapsedTime(&ms, from, untimed));
}

/* ---- modules and launches ---- */

static void test_modules(void **state)
{
    (void)state;
    standin_module *m = NULL;
    standin_function *f = NULL;
    _Alignas(16) static uint8_t garbage[4096] = "garbage";
    GIVES(STANDIN_NO_BINARY, hip.ModuleLoadData(&m, standin_sample_object(ASH_GFX1200)->data));
    GIVES(STANDIN_INVALID_IMAGE, hip.ModuleLoadData(&m, garbage));
    const ash_gfx_object *o = standin_sample_object(ASH_GFX1201);
    memcpy(garbage, o->data, 64); /* a header, and nothing where it points */
    memset(garbage + 40, 0, 8);
    GIVES(STANDIN_INVALID_IMAGE, hip.ModuleLoadData(&m, garbage));
    OK(hip.ModuleLoadData(&m, o->data));
    GIVES(STANDIN_NOT_FOUND, hip.ModuleGetFunction(&f, m, "no_such_kernel"));
    OK(hip.ModuleGetFunction(&f, m, "ash_arg_max"));
    assert_int_equal(standin_count().modules, 1);
    OK(hip.ModuleUnload(m));
    GIVES(STANDIN_INVALID_HANDLE, hip.ModuleGetFunction(&f, m, "ash_arg_max"));
    assert_int_equal(standin_count().modules, 0);
}

/* Arguments that HIP would add after the caller's. */
static void test_hidden_arguments(void **state)
{
    (void)state;
    static const char source[] =
        "extern \"C\" __attribute__((global)) void hidden(int *p)\n"
        "{ *p = *(__attribute__((address_space(4))) int *)__builtin_amdgcn_implicitarg_ptr(); }\n";
    char *hip_file = test_path("hidden.hip"), *object = test_path("hidden.co"), command[1024];
    test_write_file(hip_file, source, sizeof source - 1);
    snprintf(command, sizeof command, "clang-19 -x hip --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib "
             "-O3 --offload-arch=gfx1201 '%s' -o '%s'", hip_file, object);
    assert_int_equal(system(command), 0);
    size_t size;
    uint8_t *image = test_read_file(object, &size);
    standin_module *m = NULL;
    standin_function *f = NULL;
    OK(hip.ModuleLoadData(&m, image));
    memset(image, 0, size); /* nothing of it is kept */
    OK(hip.ModuleGetFunction(&f, m, "hidden"));
    standin_told("arguments of HIP's own");
    free(image), free(hip_file), free(object);
}

static void test_launch(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    OK(standin_launch(&m, s));
    standin_check_softmax(&m, s);
    assert_int_equal(standin_count().launches, 1);
    assert_int_equal(standin_count().errors, 0);
    GIVES(STANDIN_INVALID_VALUE, standin_launch_shaped(&m, 1, m.kernel->threads, m.kernel->args_bytes - 4, s));
    standin_told("bytes of arguments");
    GIVES(STANDIN_INVALID_VALUE, standin_launch_shaped(&m, 1, m.kernel->threads, m.kernel->args_bytes + 4, s));
    GIVES(STANDIN_INVALID_VALUE, standin_launch_shaped(&m, 1, 2 * m.kernel->threads, m.kernel->args_bytes, s));
    standin_told("workgroups of");
    GIVES(STANDIN_INVALID_VALUE, standin_launch_shaped(&m, 0, m.kernel->threads, m.kernel->args_bytes, s));
    standin_told("a grid of");
    OK(hip.ModuleUnload(m.module));
    GIVES(STANDIN_INVALID_HANDLE, standin_launch(&m, s));
    assert_int_equal(standin_count().launches, 1);
}

/* A kernel's fault is seen later, and stays. */
static void test_fault(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    void *more = standin_new_device(4);
    m.args.count = 8 * LOGITS;
    OK(standin_launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, standin_wait_stream(s));
    standin_told("ash_softmax, workgroup 0,0,0");
    size_t left, total;
    GIVES(STANDIN_ILLEGAL_ADDRESS, hip.MemGetInfo(&left, &total));
    GIVES(STANDIN_ILLEGAL_ADDRESS, standin_launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, hip.Free(more));
    assert_int_equal(standin_count().allocations, 2); /* it is gone nevertheless */
}

/* What was given back is no kernel's any more. */
static void test_freed(void **state)
{
    (void)state;
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    OK(hip.Free(m.logits));
    OK(standin_launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, standin_wait_stream(s));
}

/* ---- cards ---- */

static void test_cards(void **state)
{
    (void)state;
    int count = -1;
    char text[64];
    standin_with("CARDS", "", NULL);
    GIVES(STANDIN_NO_DEVICE, hip.Init(0));
    GIVES(STANDIN_NO_DEVICE, hip.GetDeviceCount(&count));
    void *p;
    GIVES(STANDIN_NO_DEVICE, hip.Malloc(&p, 1));
    char *nodes = test_path("kfd/nodes");
    setenv("ASHLAR_KFD_NODES", nodes, 1);
    standin_with("CARDS", "gfx1201:AMD Radeon RX 9070 XT,gfx1100:Another card", NULL);
    unsetenv("ASHLAR_KFD_NODES");
    OK(hip.Init(0));
    OK(hip.GetDeviceCount(&count));
    assert_int_equal(count, 2);
    OK(hip.DeviceGetName(text, sizeof text, 1));
    assert_string_equal(text, "Another card");
    OK(hip.DeviceGetPCIBusId(text, sizeof text, 1));
    assert_string_equal(text, "0000:04:00.0");
    GIVES(STANDIN_INVALID_DEVICE, hip.SetDevice(2));
    static const char *const wanted[] = { "gfx_target_version 0\n", "gfx_target_version 120001\nlocation_id 768\n",
                                          "gfx_target_version 110000\nlocation_id 1024\n" };
    for (int i = 0; i < 3; i++) {
        char name[64];
        size_t size;
        snprintf(name, sizeof name, "kfd/nodes/%d/properties", i);
        char *path = test_path(name), *properties = (char *)test_read_file(path, &size);
        assert_non_null(strstr(properties, wanted[i]));
        free(path), free(properties);
    }
    free(nodes);
    /* Code, memory and errors are each card's own. */
    standin_stream *s = standin_new_stream(), *other;
    standin_softmax m = standin_softmax_new(s);
    OK(hip.SetDevice(1));
    standin_module *module;
    GIVES(STANDIN_NO_BINARY, hip.ModuleLoadData(&module, standin_sample_object(ASH_GFX1201)->data));
    other = standin_new_stream();
    GIVES(STANDIN_INVALID_HANDLE, standin_launch(&m, other));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(m.host, m.logits, 4, STANDIN_TO_HOST, other));
    OK(hip.SetDevice(0));
    m.args.count = 8 * LOGITS;
    OK(standin_launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, standin_wait_stream(s));
    OK(hip.SetDevice(1));
    OK(standin_wait_stream(other));
}

/* ---- hangs, each in a process of its own ---- */

/* What the child does; it ends itself with 0 where all is as it should be. */
static void expect_of_child(void (*child)(void), bool ends)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child();
        _exit(0);
    }
    int status = 0, waited = 0;
    for (; waitpid(pid, &status, WNOHANG) == 0 && waited < (ends ? 20000 : 500); waited++)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    bool ended = kill(pid, SIGKILL) != 0 || waitpid(pid, &status, 0) != pid;
    assert_int_equal(ended, ends);
    if (ends)
        assert_int_equal(status, 0);
}

#define CHILD(condition) do { if (!(condition)) _exit(1); } while (0)

/* The second launch hangs: what was before it is done, nothing after it. */
static standin_stream *hang_second(void)
{
    standin_with("HANG", "ModuleLaunchKernel:2", NULL);
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    standin_event *before = standin_new_event(), *after = standin_new_event();
    CHILD(standin_launch(&m, s) == 0 && hip.EventRecord(before, s) == 0);
    CHILD(standin_launch(&m, s) == 0 && hip.EventRecord(after, s) == 0);
    CHILD(standin_wait_event(before) == 0);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    CHILD(hip.EventQuery(after) == STANDIN_NOT_READY);
    standin_stream *other = standin_new_stream();
    CHILD(standin_wait_stream(other) == 0);
    return s;
}

static void child_hangs(void) { hang_second(); }
static void child_frees(void)
{
    hang_second();
    void *p = standin_new_device(16);
    hip.Free(p);
}
static void child_destroys(void) { hip.StreamDestroy(hang_second()); }

static void test_hang(void **state)
{
    (void)state;
    expect_of_child(child_hangs, true);
    expect_of_child(child_frees, false);
    expect_of_child(child_destroys, false);
}

/* ---- the report ---- */

/* A program of its own: this one again, with an argument. */
static int write_report(void)
{
    standin_open(NULL);
    standin_stream *s = standin_new_stream();
    standin_softmax m = standin_softmax_new(s);
    CHILD(standin_launch(&m, s) == 0 && standin_wait_stream(s) == 0);
    CHILD(hip.Free(m.host) == STANDIN_INVALID_VALUE);
    CHILD(hip.StreamDestroy(s) == 0);
    return 0;
}

static void child_reports(void)
{
    execl("/proc/self/exe", "test_standin", "--report", (char *)NULL);
    _exit(1);
}

static void test_report(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "\"hipModuleLaunchKernel\": 1", "\"counted\": 11,", "\"copies_to_device\": 1", "\"bytes_to_device\": 256", "\"launches\": 1",
        "\"live_allocations\": 2", "\"live_pinned\": 1", "\"live_streams\": 0", "\"live_modules\": 1",
        "\"device_bytes\": 8192", "\"pinned_bytes\": 256", "\"errors\": [\n    \"hipFree of byte 0 of allocation",
    };
    char *report_path = test_path("report.json");
    standin_with("REPORT", report_path, NULL);
    expect_of_child(child_reports, true);
    size_t size;
    char *text = (char *)test_read_file(report_path, &size);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(text, wanted[i]))
            fail_msg("no %s in %s", wanted[i], text);
    free(text), free(report_path);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--report") == 0)
        return write_report();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_hang, standin_start), /* before anything has a thread */
        cmocka_unit_test_setup(test_report, standin_start),
        cmocka_unit_test_setup(test_memory, standin_start), cmocka_unit_test_setup(test_fresh, standin_start),
        cmocka_unit_test_setup(test_copies_refused, standin_start), cmocka_unit_test_setup(test_early_reuse, standin_start),
        cmocka_unit_test_setup(test_events, standin_start), cmocka_unit_test_setup(test_unordered, standin_start),
        cmocka_unit_test_setup(test_elapsed, standin_start), cmocka_unit_test_setup(test_modules, standin_start),
        cmocka_unit_test_setup(test_launch, standin_start), cmocka_unit_test_setup(test_hidden_arguments, standin_start),
        cmocka_unit_test_setup(test_fault, standin_start),
        cmocka_unit_test_setup(test_freed, standin_start), cmocka_unit_test_setup(test_cards, standin_start),
    };
    return cmocka_run_group_tests_name("standin", tests, standin_open, NULL);
}
