/* The stand-in for libamdhip64 (tests/hip): what it does, what it refuses, what it breaks on order, what it counts. */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/gfx12/gfx12.h"
#include "tests/hip/standin.h"
#include "tests/support/support.h"

static struct {
#define STANDIN_CALL(name, kind, parameters) int(*name) parameters;
#include "tests/hip/calls.def"
    standin_counts_fn *counts;
    standin_reset_fn *reset;
    standin_hold_fn *hold;
    standin_error_fn *error;
} hip;

#define OK(call) assert_int_equal(call, STANDIN_SUCCESS)
#define GIVES(code, call) assert_int_equal(call, code)

/* ---- tools ---- */

static void find(void *library, const char *name, void *to)
{
    void *p = dlsym(library, name);
    if (!p)
        fail_msg("no %s", name);
    memcpy(to, &p, sizeof p);
}

static int open_library(void **state)
{
    (void)state;
    const char *build = getenv("B");
    char path[512];
    snprintf(path, sizeof path, "%s/libamdhip64-standin.so", build ? build : "build");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
#define STANDIN_CALL(name, kind, parameters) find(library, "hip" #name, &hip.name);
#include "tests/hip/calls.def"
    find(library, "standin_counts_now", &hip.counts);
    find(library, "standin_reset", &hip.reset);
    find(library, "standin_hold", &hip.hold);
    find(library, "standin_error", &hip.error);
    return 0;
}

/* A variable of the environment for one test; NULL ends the list. */
static void with(const char *name, ...)
{
    static const char *const names[] = { "CARDS", "MEMORY", "DELAY", "SEED", "FAIL", "HANG", "REPORT" };
    char full[64];
    va_list list;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(full, sizeof full, "ASHLAR_STANDIN_%s", names[i]);
        unsetenv(full);
    }
    va_start(list, name);
    for (const char *n = name; n; n = va_arg(list, const char *)) {
        snprintf(full, sizeof full, "ASHLAR_STANDIN_%s", n);
        setenv(full, va_arg(list, const char *), 1);
    }
    va_end(list);
    hip.reset();
    (void)hip.SetDevice(0);
}

static int start(void **state)
{
    (void)state;
    with(NULL);
    return 0;
}

static standin_counts counts(void)
{
    standin_counts c;
    hip.counts(&c);
    return c;
}

/* Some line of the report holds `part`. */
static void assert_told(const char *part)
{
    const char *line;
    for (uint64_t i = 0; (line = hip.error(i)) != NULL; i++)
        if (strstr(line, part))
            return;
    fail_msg("nothing told of \"%s\" (last of %llu: %s)", part, (unsigned long long)counts().errors, hip.error(0));
}

static standin_stream *new_stream(void)
{
    standin_stream *s = NULL;
    OK(hip.StreamCreateWithFlags(&s, 1));
    return s;
}

static standin_event *new_event(void)
{
    standin_event *e = NULL;
    OK(hip.EventCreateWithFlags(&e, 2));
    return e;
}

static void *new_device(size_t bytes)
{
    void *p = NULL;
    OK(hip.Malloc(&p, bytes));
    return p;
}

static void *new_pinned(size_t bytes)
{
    void *p = NULL;
    OK(hip.HostMalloc(&p, bytes, 0));
    return p;
}

static int wait_event(standin_event *e)
{
    struct timespec pause = { 0, 200000 };
    int code;
    while ((code = hip.EventQuery(e)) == STANDIN_NOT_READY)
        nanosleep(&pause, NULL);
    return code;
}

/* For everything on the stream; the code that waiting gives. */
static int wait_stream(standin_stream *s)
{
    standin_event *e = NULL;
    int code = hip.EventCreateWithFlags(&e, 2);
    if (code == STANDIN_SUCCESS)
        code = hip.EventRecord(e, s);
    return code == STANDIN_SUCCESS ? wait_event(e) : code;
}

/* ---- a kernel: the softmax of kernels/gfx12/sample.hip ---- */

#define LOGITS 64
typedef struct softmax {
    standin_module *module;
    standin_function *function;
    const ash_gfx_kernel *kernel;
    ash_gfx_sample args;
    float *logits, *values, *host; /* device, device, pinned */
} softmax;

static const ash_gfx_object *sample_object(ash_gfx_target target)
{
    const ash_gfx_object *o = ash_gfx_object_find(target, "sample");
    assert_non_null(o);
    return o;
}

static softmax softmax_new(standin_stream *s)
{
    softmax m = { .kernel = ash_gfx_kernel_find(ASH_GFX_OP_SOFTMAX, ASH_DTYPE_COUNT, 0) };
    assert_non_null(m.kernel);
    OK(hip.ModuleLoadData(&m.module, sample_object(ASH_GFX1201)->data));
    OK(hip.ModuleGetFunction(&m.function, m.module, m.kernel->symbol));
    m.logits = new_device(LOGITS * 4);
    m.values = new_device(LOGITS * 4);
    m.host = new_pinned(LOGITS * 4);
    for (int i = 0; i < LOGITS; i++)
        m.host[i] = 0;
    OK(hip.MemcpyAsync(m.logits, m.host, LOGITS * 4, STANDIN_TO_DEVICE, s));
    m.args = (ash_gfx_sample){ .logits = m.logits, .values = m.values, .count = LOGITS, .temperature = 1 };
    return m;
}

static int launch_shaped(const softmax *m, unsigned grid, unsigned block, size_t bytes, standin_stream *s)
{
    void *extra[] = { (void *)1, (void *)(uintptr_t)&m->args, (void *)2, &bytes, (void *)3 };
    return hip.ModuleLaunchKernel(m->function, grid, 1, 1, block, 1, 1, 0, s, NULL, extra);
}

static int launch(const softmax *m, standin_stream *s)
{
    return launch_shaped(m, 1, m->kernel->threads, m->kernel->args_bytes, s);
}

static void check_values(const softmax *m, standin_stream *s)
{
    OK(hip.MemcpyAsync(m->host, m->values, LOGITS * 4, STANDIN_TO_HOST, s));
    OK(wait_stream(s));
    for (int i = 0; i < LOGITS; i++)
        assert_true(fabsf(m->host[i] - 1.0f / LOGITS) < 1e-6f); /* of equal logits */
}

/* ---- memory ---- */

static void test_memory(void **state)
{
    (void)state;
    with("MEMORY", "1048576", NULL);
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
    assert_int_equal(counts().device_bytes, 1003520);
    assert_int_equal(counts().errors, 0);
    OK(hip.Free(p));
    GIVES(STANDIN_INVALID_VALUE, hip.Free(p));
    assert_told("hipFree of");
    OK(hip.Free(NULL));
    OK(hip.Malloc(&q, 65536));
    assert_ptr_not_equal(p, q);
    GIVES(STANDIN_INVALID_VALUE, hip.Free((uint8_t *)q + 4));
    GIVES(STANDIN_INVALID_VALUE, hip.HostFree(q));
    assert_int_equal(counts().allocations, 1);
    assert_int_equal(counts().peak_bytes, 1003520);
    OK(hip.Free(q));
    assert_int_equal(counts().allocations, 0);
    assert_int_equal(counts().device_bytes, 0);
}

/* The whole card at once, of which little is touched; what nobody has written is NaN. */
static void test_fresh(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    float *p = new_device((size_t)16 << 30), *host = new_pinned(4 * sizeof *host);
    assert_true(isnan(host[0]) && isnan(host[3]));
    host[0] = host[1] = host[2] = host[3] = 0;
    OK(hip.MemcpyAsync(host, p + ((size_t)3 << 30), 8, STANDIN_TO_HOST, s));
    OK(hip.MemsetAsync(p + ((size_t)3 << 30) + 1, 0, 4, s));
    OK(hip.MemcpyAsync(host + 2, p + ((size_t)3 << 30) + 1, 8, STANDIN_TO_HOST, s));
    OK(wait_stream(s));
    assert_true(isnan(host[0]) && isnan(host[1]) && isnan(host[3]));
    assert_true(host[2] == 0);
    assert_int_equal(counts().errors, 0);
}

static void test_copies_refused(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    uint8_t *device = new_device(1000), *pinned = new_pinned(1000), *heap = malloc(1000);
    assert_non_null(heap);
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device, heap, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(heap, device, 100, STANDIN_TO_HOST, s));
    assert_int_equal(counts().unpinned, 2);
    assert_told("in nothing that was allocated");
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device, pinned + 901, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device + 901, pinned, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(device - 1, pinned, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(pinned, device, 100, STANDIN_TO_DEVICE, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(pinned, device, 100, 4, s));
    GIVES(STANDIN_INVALID_VALUE, hip.MemsetAsync(device + 901, 0, 100, s));
    assert_int_equal(counts().errors, 8);
    OK(hip.MemcpyAsync(device + 900, pinned + 900, 100, STANDIN_TO_DEVICE, s));
    OK(hip.MemcpyAsync(device, device + 500, 500, STANDIN_ON_DEVICE, s));
    OK(wait_stream(s));
    assert_int_equal(counts().copies[STANDIN_TO_DEVICE], 1);
    assert_int_equal(counts().copied_bytes[STANDIN_TO_DEVICE], 100);
    assert_int_equal(counts().copied_bytes[STANDIN_ON_DEVICE], 500);
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
    standin_stream *s = new_stream();
    int32_t *device = new_device(8), *pinned = new_pinned(8);
    hip.hold(true);
    pinned[0] = 1;
    OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, s));
    pinned[0] = 2; /* too early */
    OK(hip.MemcpyAsync(pinned + 1, device, 4, STANDIN_TO_HOST, s));
    hip.hold(false);
    OK(wait_stream(s));
    assert_int_equal(pinned[1], 2);
}

static void test_events(void **state)
{
    (void)state;
    with("DELAY", "2000", NULL);
    standin_stream *a = new_stream(), *b = new_stream();
    standin_event *ready = new_event(), *never = new_event();
    int32_t *device = new_device(4), *pinned = new_pinned(8);
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
        OK(wait_stream(b));
        OK(hip.EventQuery(ready));
        assert_int_equal(pinned[1], round);
    }
    OK(hip.EventDestroy(ready));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventQuery(ready));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord(ready, a));
    assert_told("event is used after its end");
    OK(hip.StreamDestroy(a));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord(never, a));
    assert_told("stream is used after its end");
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord(never, NULL));
    assert_told("the default one is not offered");
    GIVES(STANDIN_INVALID_HANDLE, hip.EventRecord((standin_event *)b, b));
    assert_int_equal(counts().streams, 1);
}

/* Nobody orders the two streams: over many rounds each is first at some time. */
static void test_unordered(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    test_skip("the data race that this is about is reported as one");
#endif
    with("DELAY", "1000", NULL);
    standin_stream *a = new_stream(), *b = new_stream();
    int32_t *device = new_device(4), *pinned = new_pinned(12);
    int first[2] = { 0, 0 };
    for (int round = 0; round < 200 && !(first[0] && first[1]); round++) {
        pinned[0] = 0;
        pinned[1] = 1;
        hip.hold(true);
        OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, a));
        OK(hip.MemcpyAsync(device, pinned + 1, 4, STANDIN_TO_DEVICE, b));
        hip.hold(false);
        OK(wait_stream(a));
        OK(wait_stream(b));
        OK(hip.MemcpyAsync(pinned + 2, device, 4, STANDIN_TO_HOST, a));
        OK(wait_stream(a));
        first[1 - pinned[2]]++;
    }
    assert_true(first[0] && first[1]);
}

static void test_elapsed(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    standin_event *from = NULL, *to = NULL, *untimed = new_event();
    float ms = -1;
    OK(hip.EventCreateWithFlags(&from, 0));
    OK(hip.EventCreateWithFlags(&to, 0));
    GIVES(STANDIN_INVALID_HANDLE, hip.EventElapsedTime(&ms, from, to));
    OK(hip.EventRecord(from, s));
    OK(wait_event(from));
    hip.hold(true);
    OK(hip.EventRecord(to, s));
    OK(hip.EventRecord(untimed, s));
    GIVES(STANDIN_NOT_READY, hip.EventElapsedTime(&ms, from, to));
    nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    hip.hold(false);
    OK(wait_event(untimed));
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
    GIVES(STANDIN_NO_BINARY, hip.ModuleLoadData(&m, sample_object(ASH_GFX1200)->data));
    GIVES(STANDIN_INVALID_IMAGE, hip.ModuleLoadData(&m, garbage));
    const ash_gfx_object *o = sample_object(ASH_GFX1201);
    memcpy(garbage, o->data, 64); /* a header, and nothing where it points */
    memset(garbage + 40, 0, 8);
    GIVES(STANDIN_INVALID_IMAGE, hip.ModuleLoadData(&m, garbage));
    OK(hip.ModuleLoadData(&m, o->data));
    GIVES(STANDIN_NOT_FOUND, hip.ModuleGetFunction(&f, m, "no_such_kernel"));
    OK(hip.ModuleGetFunction(&f, m, "ash_arg_max"));
    assert_int_equal(counts().modules, 1);
    OK(hip.ModuleUnload(m));
    GIVES(STANDIN_INVALID_HANDLE, hip.ModuleGetFunction(&f, m, "ash_arg_max"));
    assert_int_equal(counts().modules, 0);
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
    assert_told("arguments of HIP's own");
    free(image), free(hip_file), free(object);
}

static void test_launch(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    OK(launch(&m, s));
    check_values(&m, s);
    assert_int_equal(counts().launches, 1);
    assert_int_equal(counts().errors, 0);
    GIVES(STANDIN_INVALID_VALUE, launch_shaped(&m, 1, m.kernel->threads, m.kernel->args_bytes - 4, s));
    assert_told("bytes of arguments");
    GIVES(STANDIN_INVALID_VALUE, launch_shaped(&m, 1, m.kernel->threads, m.kernel->args_bytes + 4, s));
    GIVES(STANDIN_INVALID_VALUE, launch_shaped(&m, 1, 2 * m.kernel->threads, m.kernel->args_bytes, s));
    assert_told("workgroups of");
    GIVES(STANDIN_INVALID_VALUE, launch_shaped(&m, 0, m.kernel->threads, m.kernel->args_bytes, s));
    assert_told("a grid of");
    OK(hip.ModuleUnload(m.module));
    GIVES(STANDIN_INVALID_HANDLE, launch(&m, s));
    assert_int_equal(counts().launches, 1);
}

/* A kernel's fault is seen later, and stays. */
static void test_fault(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    void *more = new_device(4);
    m.args.count = 8 * LOGITS;
    OK(launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, wait_stream(s));
    assert_told("ash_softmax, workgroup 0,0,0");
    size_t left, total;
    GIVES(STANDIN_ILLEGAL_ADDRESS, hip.MemGetInfo(&left, &total));
    GIVES(STANDIN_ILLEGAL_ADDRESS, launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, hip.Free(more));
    assert_int_equal(counts().allocations, 2); /* it is gone nevertheless */
}

/* What was given back is no kernel's any more. */
static void test_freed(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    OK(hip.Free(m.logits));
    OK(launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, wait_stream(s));
}

/* ---- cards ---- */

static void test_cards(void **state)
{
    (void)state;
    int count = -1;
    char text[64];
    with("CARDS", "", NULL);
    GIVES(STANDIN_NO_DEVICE, hip.Init(0));
    GIVES(STANDIN_NO_DEVICE, hip.GetDeviceCount(&count));
    void *p;
    GIVES(STANDIN_NO_DEVICE, hip.Malloc(&p, 1));
    char *nodes = test_path("kfd/nodes");
    setenv("ASHLAR_KFD_NODES", nodes, 1);
    with("CARDS", "gfx1201:AMD Radeon RX 9070 XT,gfx1100:Another card", NULL);
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
    standin_stream *s = new_stream(), *other;
    softmax m = softmax_new(s);
    OK(hip.SetDevice(1));
    standin_module *module;
    GIVES(STANDIN_NO_BINARY, hip.ModuleLoadData(&module, sample_object(ASH_GFX1201)->data));
    other = new_stream();
    GIVES(STANDIN_INVALID_HANDLE, launch(&m, other));
    GIVES(STANDIN_INVALID_VALUE, hip.MemcpyAsync(m.host, m.logits, 4, STANDIN_TO_HOST, other));
    OK(hip.SetDevice(0));
    m.args.count = 8 * LOGITS;
    OK(launch(&m, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, wait_stream(s));
    OK(hip.SetDevice(1));
    OK(wait_stream(other));
}

/* ---- graphs ---- */

static standin_graph_exec *capture(const softmax *m, standin_stream *s, int nodes)
{
    standin_graph *graph = NULL;
    standin_graph_exec *exec = NULL;
    OK(hip.StreamBeginCapture(s, 1));
    for (int i = 0; i < nodes; i++)
        OK(launch(m, s));
    OK(hip.StreamEndCapture(s, &graph));
    OK(hip.GraphInstantiate(&exec, graph, NULL, NULL, 0));
    OK(hip.GraphDestroy(graph));
    return exec;
}

static void test_graph(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    standin_graph_exec *exec = capture(&m, s, 2);
    m.args.values = NULL; /* arguments are those of the capture */
    OK(hip.MemcpyAsync(m.host, m.values, 4, STANDIN_TO_HOST, s));
    OK(wait_stream(s));
    assert_true(isnan(m.host[0])); /* nothing has run yet */
    assert_int_equal(counts().launches, 0);
    OK(hip.GraphLaunch(exec, s));
    OK(hip.GraphLaunch(exec, s));
    OK(hip.GraphExecDestroy(exec)); /* while it may run */
    GIVES(STANDIN_INVALID_HANDLE, hip.GraphLaunch(exec, s));
    check_values(&m, s);
    standin_counts c = counts();
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
    standin_stream *s = new_stream();
    int32_t *device = new_device(8), *pinned = new_pinned(16);
    standin_graph *graph;
    standin_graph_exec *exec;
    OK(hip.StreamBeginCapture(s, 1));
    OK(hip.MemsetAsync(device, 1, 8, s));
    OK(hip.MemcpyAsync(device, pinned, 4, STANDIN_TO_DEVICE, s));
    OK(hip.MemcpyAsync(pinned + 2, device, 8, STANDIN_TO_HOST, s));
    OK(hip.StreamEndCapture(s, &graph));
    OK(hip.GraphInstantiate(&exec, graph, NULL, NULL, 0));
    assert_int_equal(counts().copies[STANDIN_TO_DEVICE], 0);
    for (int32_t i = 5; i < 7; i++) {
        pinned[0] = i;
        OK(hip.GraphLaunch(exec, s));
        OK(wait_stream(s));
        assert_int_equal(pinned[2], i);
        assert_int_equal(pinned[3], 0x01010101);
    }
    assert_int_equal(counts().copies[STANDIN_TO_DEVICE], 2);
    assert_int_equal(counts().filled_bytes, 16);
}

static void test_large_graph(void **state)
{
    (void)state;
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    standin_graph_exec *small = capture(&m, s, STANDIN_GRAPH_NODES - 1), *large = capture(&m, s, STANDIN_GRAPH_NODES);
    OK(hip.GraphLaunch(small, s));
    check_values(&m, s);
    OK(hip.GraphLaunch(large, s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, wait_stream(s));
}

static void *allocate_elsewhere(void *out)
{
    *(int *)out = hip.Malloc(&(void *){ NULL }, 16);
    return NULL;
}

static void test_capture_rules(void **state)
{
    (void)state;
    standin_stream *s = new_stream(), *other = new_stream();
    softmax m = softmax_new(s);
    standin_event *e = new_event(), *outside = new_event();
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
    OK(launch(&m, s));
    OK(wait_event(outside)); /* another stream's is fine */
    GIVES(STANDIN_CAPTURE_UNSUPPORTED, hip.Malloc(&p, 16));
    GIVES(STANDIN_CAPTURE_INVALIDATED, launch(&m, s));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));
    assert_null(graph);

    OK(hip.StreamBeginCapture(s, 1));
    GIVES(STANDIN_CAPTURE_UNSUPPORTED, hip.Free(m.values));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));
    assert_int_equal(counts().allocations, 3);

    OK(hip.StreamBeginCapture(s, 1)); /* an event of the capture is not one to wait for */
    OK(hip.EventRecord(e, s));
    OK(hip.StreamWaitEvent(s, e, 0));
    GIVES(STANDIN_CAPTURE_UNSUPPORTED, hip.EventQuery(e));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));
    GIVES(STANDIN_CAPTURED_EVENT, hip.EventQuery(e));
    GIVES(STANDIN_CAPTURED_EVENT, hip.StreamWaitEvent(other, e, 0));
    OK(hip.EventRecord(e, s)); /* now it is */
    OK(wait_event(e));

    OK(hip.StreamBeginCapture(s, 1));
    GIVES(STANDIN_CAPTURE_ISOLATION, hip.StreamWaitEvent(s, outside, 0));
    GIVES(STANDIN_CAPTURE_INVALIDATED, hip.StreamEndCapture(s, &graph));

    OK(launch(&m, s)); /* after all of it the stream works */
    check_values(&m, s);
}

/* ---- failures on order ---- */

static void test_nth_failure(void **state)
{
    (void)state;
    void *p[4] = { NULL };
    with("FAIL", "Malloc:3,HostMalloc:1=1", NULL);
    OK(hip.Malloc(&p[0], 16));
    GIVES(STANDIN_INVALID_VALUE, hip.HostMalloc(&p[3], 16, 0));
    OK(hip.Malloc(&p[1], 16));
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&p[2], 16));
    assert_null(p[2]);
    OK(hip.Malloc(&p[2], 16));
    assert_int_equal(counts().calls[STANDIN_Malloc], 4);
    assert_int_equal(counts().allocations, 3);
    assert_int_equal(counts().errors, 0);

    with("FAIL", "*:4", NULL); /* with() has called hipSetDevice */
    OK(hip.Init(0));
    OK(hip.Malloc(&p[0], 16));
    OK(hip.Free(p[0])); /* not counted */
    GIVES(STANDIN_UNKNOWN, hip.StreamCreateWithFlags(&(standin_stream *){ NULL }, 1));
    OK(hip.Malloc(&p[0], 16));
    assert_int_equal(counts().counted, 5);
    with("FAIL", "*:2", NULL);
    GIVES(STANDIN_OUT_OF_MEMORY, hip.Malloc(&p[0], 16));
    with("FAIL", "Free:1=1", NULL);
    OK(hip.Malloc(&p[0], 16));
    GIVES(STANDIN_INVALID_VALUE, hip.Free(p[0]));
    assert_int_equal(counts().allocations, 1);
}

static void test_late_failure(void **state)
{
    (void)state;
    with("FAIL", "MemcpyAsync:2=719", NULL); /* at the call, and from then on */
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    OK(launch(&m, s));
    GIVES(STANDIN_LAUNCH_FAILURE, hip.MemcpyAsync(m.host, m.values, 4, STANDIN_TO_HOST, s));
    GIVES(STANDIN_LAUNCH_FAILURE, launch(&m, s));

    with("FAIL", "ModuleLaunchKernel:2~700", NULL); /* when it runs */
    s = new_stream();
    m = softmax_new(s);
    hip.hold(true);
    OK(launch(&m, s));
    OK(launch(&m, s));
    OK(launch(&m, s));
    hip.hold(false);
    GIVES(STANDIN_ILLEGAL_ADDRESS, wait_stream(s));
    GIVES(STANDIN_ILLEGAL_ADDRESS, hip.StreamDestroy(s));
    assert_int_equal(counts().streams, 0);
    assert_int_equal(counts().errors, 0);

    with("FAIL", "GraphLaunch:2~719", NULL);
    s = new_stream();
    m = softmax_new(s);
    standin_graph_exec *exec = capture(&m, s, 1);
    OK(hip.GraphLaunch(exec, s));
    OK(wait_stream(s));
    OK(hip.GraphLaunch(exec, s));
    GIVES(STANDIN_LAUNCH_FAILURE, wait_stream(s));
}

static void test_unknown_order(void **state)
{
    (void)state;
    with("FAIL", "Mallocs:3", NULL);
    assert_told("Mallocs:3 is not understood");
    with("FAIL", "Malloc:0", NULL);
    assert_told("not understood");
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
    with("HANG", "ModuleLaunchKernel:2", NULL);
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    standin_event *before = new_event(), *after = new_event();
    CHILD(launch(&m, s) == 0 && hip.EventRecord(before, s) == 0);
    CHILD(launch(&m, s) == 0 && hip.EventRecord(after, s) == 0);
    CHILD(wait_event(before) == 0);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    CHILD(hip.EventQuery(after) == STANDIN_NOT_READY);
    standin_stream *other = new_stream();
    CHILD(wait_stream(other) == 0);
    return s;
}

static void child_hangs(void) { hang_second(); }
static void child_frees(void)
{
    hang_second();
    void *p = new_device(16);
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
    open_library(NULL);
    standin_stream *s = new_stream();
    softmax m = softmax_new(s);
    CHILD(launch(&m, s) == 0 && wait_stream(s) == 0);
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
    with("REPORT", report_path, NULL);
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
        cmocka_unit_test_setup(test_hang, start), /* before anything has a thread */
        cmocka_unit_test_setup(test_report, start),
        cmocka_unit_test_setup(test_memory, start), cmocka_unit_test_setup(test_fresh, start),
        cmocka_unit_test_setup(test_copies_refused, start), cmocka_unit_test_setup(test_early_reuse, start),
        cmocka_unit_test_setup(test_events, start), cmocka_unit_test_setup(test_unordered, start),
        cmocka_unit_test_setup(test_elapsed, start), cmocka_unit_test_setup(test_modules, start),
        cmocka_unit_test_setup(test_launch, start), cmocka_unit_test_setup(test_hidden_arguments, start),
        cmocka_unit_test_setup(test_fault, start),
        cmocka_unit_test_setup(test_freed, start), cmocka_unit_test_setup(test_cards, start),
        cmocka_unit_test_setup(test_graph, start), cmocka_unit_test_setup(test_graph_copies, start),
        cmocka_unit_test_setup(test_large_graph, start), cmocka_unit_test_setup(test_capture_rules, start),
        cmocka_unit_test_setup(test_nth_failure, start), cmocka_unit_test_setup(test_late_failure, start),
        cmocka_unit_test_setup(test_unknown_order, start),
    };
    return cmocka_run_group_tests_name("standin", tests, open_library, NULL);
}
