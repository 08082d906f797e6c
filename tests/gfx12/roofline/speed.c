/* How fast the interpreter itself is: wave instructions a second of one core, for every kernel of the registry, in
 * launches of models that reach it. No touch is counted, as in the tests. */
#include <string.h>
#include <time.h>

#include "tests/gfx12/roofline/roofline.h"

#define SECONDS_LEAST 0.15 /* a kernel runs again until that has gone by: a hundred times the clock's grain */
#define WANTED 20e6

double roof_host_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct speeds {
    FILE *to;
    const char *part; /* of the symbols wanted */
    const char *done[128]; /* symbols */
    uint32_t count, slow, failed;
} speeds;

static bool is_done(const speeds *s, const char *symbol)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->done[i], symbol) == 0)
            return true;
    return false;
}

static void measure(speeds *s, const roof_launch *l)
{
    roof_host_run r = { 0 };
    char why[512];
    if (!l->kernel || !strstr(l->kernel->symbol, s->part) || is_done(s, l->kernel->symbol) ||
        s->count == sizeof s->done / sizeof *s->done)
        return;
    s->done[s->count++] = l->kernel->symbol;
    while (r.seconds < SECONDS_LEAST)
        if (!roof_host(l, &r, why)) {
            fprintf(s->to, "%-24s %s\n", l->kernel->symbol, why);
            s->failed++;
            return;
        }
    double speed = r.insns / r.seconds;
    s->slow += speed < WANTED;
    fprintf(s->to, "%-24s %8.1f %6.1f%%  %s\n", l->kernel->symbol, speed / 1e6, 100 * r.matrix / r.insns,
            speed < WANTED ? "slow" : "");
    fflush(s->to);
}

static void measure_all(speeds *s, const roof_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const roof_launch *l = &list->launch[i];
        measure(s, l);
        roof_launch other = *l;
        if (l->op == ASH_GFX_OP_DECODE && l->dtype == ASH_F32) { /* it takes any number */
            other.kernel = ash_gfx_kernel_find(l->op, l->dtype, ASH_GFX_ANY_TOKENS);
            measure(s, &other);
        }
        if (l->op != ASH_GFX_OP_ARG_MAX) /* others go over the same row of logits */
            continue;
        other.kernel = ash_gfx_kernel_find(ASH_GFX_OP_TOP_K, ASH_DTYPE_COUNT, 0);
        other.args.sample.k = ASH_GFX_TOP_K;
        for (uint32_t b = 1; b < 3; b++)
            other.buffers[b].bytes = 4 * ASH_GFX_TOP_K;
        measure(s, &other);
        other.kernel = ash_gfx_kernel_find(ASH_GFX_OP_SOFTMAX, ASH_DTYPE_COUNT, 0);
        other.buffers[1].bytes = other.buffers[0].bytes;
        measure(s, &other);
    }
}

uint32_t roof_speed(FILE *to, const char *part, roof_list *list)
{
    static const char *const types[] = { "q4_k", "q5_k", "q6_k", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "fp8", "bf16",
                                         "f16", "f32", "f8_e4m3" };
    static const uint32_t passes[] = { 512, 64, 1, 2, 4, 8 }, heads[] = { 64, 80, 96, 256 };
    speeds s = { .to = to, .part = part };
    fprintf(to, "Wave instructions a second that the interpreter executes on one core, and the share of them that are\n"
                "matrix instructions.\n%-24s %8s %7s\n", "kernel", "M/s", "matrix");
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
            roof_pass(&roof_models[0].h, types[t], passes[p], 1000, list);
            measure_all(&s, list);
        }
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) { /* 7 panels a workgroup suit 3,584 rows */
        roof_pass(&roof_models[1].h, types[t], 512, 1000, list);
        measure_all(&s, list);
    }
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++)
        for (uint32_t tokens = 1; tokens <= 512; tokens += 511) {
            ash_hparams h = roof_models[0].h;
            h.head_dim = h.rope_dim = heads[k];
            roof_pass(&h, "q4_k", tokens, 1000, list);
            measure_all(&s, list);
        }
    size_t count;
    const ash_gfx_kernel *kernels = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++)
        if (strstr(kernels[i].symbol, part) && !is_done(&s, kernels[i].symbol)) {
            fprintf(to, "%-24s not reached\n", kernels[i].symbol);
            s.done[s.count++] = kernels[i].symbol;
            s.failed++;
        }
    fprintf(to, "%u kernels, %u below %.0f M/s\n", s.count, s.slow, WANTED / 1e6);
    return s.failed;
}
