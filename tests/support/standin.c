#include "tests/support/standin.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

standin_library hip;

static void find(void *library, const char *name, void *to)
{
    void *p = dlsym(library, name);
    if (!p)
        fail_msg("the stand-in has no %s", name);
    memcpy(to, &p, sizeof p);
}

const char *standin_path(char out[512])
{
    const char *build = getenv("B");
    snprintf(out, 512, "%s/libamdhip64-standin.so", build && *build ? build : "build");
    return out;
}

int standin_open(void **state)
{
    (void)state;
    char path[512];
    void *library = dlopen(standin_path(path), RTLD_NOW | RTLD_LOCAL);
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

void standin_with(const char *name, ...)
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

int standin_start(void **state)
{
    (void)state;
    standin_with(NULL);
    return 0;
}

standin_counts standin_count(void)
{
    standin_counts c;
    hip.counts(&c);
    return c;
}

void standin_told(const char *part)
{
    const char *line;
    for (uint64_t i = 0; (line = hip.error(i)) != NULL; i++)
        if (strstr(line, part))
            return;
    fail_msg("nothing told of \"%s\" (last of %llu: %s)", part, (unsigned long long)standin_count().errors, hip.error(0));
}

standin_stream *standin_new_stream(void)
{
    standin_stream *s = NULL;
    OK(hip.StreamCreateWithFlags(&s, 1));
    return s;
}

standin_event *standin_new_event(void)
{
    standin_event *e = NULL;
    OK(hip.EventCreateWithFlags(&e, 2));
    return e;
}

void *standin_new_device(size_t bytes)
{
    void *p = NULL;
    OK(hip.Malloc(&p, bytes));
    return p;
}

void *standin_new_pinned(size_t bytes)
{
    void *p = NULL;
    OK(hip.HostMalloc(&p, bytes, 0));
    return p;
}

int standin_wait_event(standin_event *e)
{
    struct timespec pause = { 0, 200000 };
    int code;
    while ((code = hip.EventQuery(e)) == STANDIN_NOT_READY)
        nanosleep(&pause, NULL);
    return code;
}

int standin_wait_stream(standin_stream *s)
{
    standin_event *e = NULL;
    int code = hip.EventCreateWithFlags(&e, 2);
    if (code == STANDIN_SUCCESS)
        code = hip.EventRecord(e, s);
    return code == STANDIN_SUCCESS ? standin_wait_event(e) : code;
}

/* ---- a kernel: the softmax of kernels/gfx12/sample.hip ---- */

const ash_gfx_object *standin_sample_object(ash_gfx_target target)
{
    const ash_gfx_object *o = ash_gfx_object_find(target, "sample");
    assert_non_null(o);
    return o;
}

standin_softmax standin_softmax_new(standin_stream *s)
{
    standin_softmax m = { .kernel = ash_gfx_kernel_find(ASH_GFX_OP_SOFTMAX, ASH_DTYPE_COUNT, 0) };
    assert_non_null(m.kernel);
    OK(hip.ModuleLoadData(&m.module, standin_sample_object(ASH_GFX1201)->data));
    OK(hip.ModuleGetFunction(&m.function, m.module, m.kernel->symbol));
    m.logits = standin_new_device(LOGITS * 4);
    m.values = standin_new_device(LOGITS * 4);
    m.host = standin_new_pinned(LOGITS * 4);
    for (int i = 0; i < LOGITS; i++)
        m.host[i] = 0;
    OK(hip.MemcpyAsync(m.logits, m.host, LOGITS * 4, STANDIN_TO_DEVICE, s));
    m.args = (ash_gfx_sample){ .logits = m.logits, .values = m.values, .count = LOGITS, .temperature = 1 };
    return m;
}

int standin_launch_shaped(const standin_softmax *m, unsigned grid, unsigned block, size_t bytes, standin_stream *s)
{
    void *extra[] = { (void *)1, (void *)(uintptr_t)&m->args, (void *)2, &bytes, (void *)3 };
    return hip.ModuleLaunchKernel(m->function, grid, 1, 1, block, 1, 1, 0, s, NULL, extra);
}

int standin_launch(const standin_softmax *m, standin_stream *s)
{
    return standin_launch_shaped(m, 1, m->kernel->threads, m->kernel->args_bytes, s);
}

void standin_check_softmax(const standin_softmax *m, standin_stream *s)
{
    OK(hip.MemcpyAsync(m->host, m->values, LOGITS * 4, STANDIN_TO_HOST, s));
    OK(standin_wait_stream(s));
    for (int i = 0; i < LOGITS; i++)
        assert_true(fabsf(m->host[i] - 1.0f / LOGITS) < 1e-6f); /* of equal logits */
}


standin_graph_exec *standin_capture(const standin_softmax *m, standin_stream *s, int nodes)
{
    standin_graph *graph = NULL;
    standin_graph_exec *exec = NULL;
    OK(hip.StreamBeginCapture(s, 1));
    for (int i = 0; i < nodes; i++)
        OK(standin_launch(m, s));
    OK(hip.StreamEndCapture(s, &graph));
    OK(hip.GraphInstantiate(&exec, graph, NULL, NULL, 0));
    OK(hip.GraphDestroy(graph));
    return exec;
}
