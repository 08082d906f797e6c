/* A layer's matrices in every type, for each kernel that multiplies them: the share of the bandwidth or of the matrix
 * peak, and the cycles that it takes of those that the target leaves. */
#include <string.h>

#include "tests/gfx12/roofline/roofline.h"

/* Recipes; q4_k_m and q5_k_m have q6_k among them. */
const char *const roof_layer_types[] = { "q4_k_m", "q5_k_m", "q6_k", "q8_0", "q4_0", "q4_1",
                                         "q5_0", "q5_1", "fp8", "bf16", "f16" };
const uint32_t roof_layer_type_count = sizeof roof_layer_types / sizeof *roof_layer_types;
const uint32_t roof_layer_tokens[] = { 1, ASH_GFX_DECODE_TOKENS, 512 };
const uint32_t roof_layer_tokens_count = sizeof roof_layer_tokens / sizeof *roof_layer_tokens;

/* Of all launches of one kernel in a result. */
typedef struct row {
    const ash_gfx_kernel *kernel;
    ash_dtype dtype;
    bool decode;
    double inside, least; /* seconds */
    double bound[ROOF_BOUNDS];
    double cycles, matrix_cycles, matrix, bytes, weights;
} row;
#define ROWS ROOF_LAUNCHES /* each launch may have a kernel of its own */

static void add(row *w, const roof_line *l)
{
    const roof_launch *m = l->launch;
    double n = m->times;
    w->kernel = m->kernel;
    w->dtype = m->dtype;
    w->decode = m->op == ASH_GFX_OP_DECODE;
    w->inside += n * l->time.inside;
    w->least += n * (w->decode ? l->time.memory_least : roof_products_least(m));
    w->bound[l->time.bound] += n * l->time.inside;
    w->cycles += n * l->counts.cycles;
    w->matrix_cycles += n * l->counts.matrix_cycles;
    w->matrix += n * l->counts.matrix;
    w->bytes += n * l->counts.memory_bytes;
    w->weights += n * m->weights;
}

static uint32_t rows_of(const roof_result *r, row rows[ROWS])
{
    uint32_t n = 0;
    memset(rows, 0, ROWS * sizeof *rows);
    for (uint32_t i = 0; i < r->list.count; i++) {
        uint32_t k = 0;
        if (!r->line[i].counted)
            continue;
        while (k < n && strcmp(rows[k].kernel->symbol, r->line[i].launch->kernel->symbol) != 0)
            k++;
        n = k == n ? n + 1 : n;
        add(&rows[k], &r->line[i]);
    }
    return n;
}

/* INT8: that of Q4_K; F16 and BF16 have none of their own, and get FP8's. */
static double target(const row *w)
{
    return w->decode ? 0.95 : strcmp(roof_peak_name(w->dtype), "INT8") == 0 ? 0.7 : 0.85;
}

static double used(const row *w)
{
    return w->decode ? w->cycles * 32 / w->weights : (w->cycles - w->matrix_cycles) / w->matrix;
}

static double allowed(const row *w)
{
    return w->decode ? roof_cycles_a_weight(w->bytes / w->weights, target(w))
                     : roof_cycles_a_product(roof_matrix_cycles(w->dtype), target(w));
}

static void show(FILE *to, const roof_result *r, const row *w)
{
    int most = 0;
    for (int b = 1; b < ROOF_BOUNDS; b++)
        most = w->bound[b] > w->bound[most] ? b : most;
    fprintf(to, "%-18s %-7s %6u %6.1f%% of %-9s %-8s %3.0f%%  %-7s %6.2f of %6.2f %s\n",
            w->kernel->symbol + strlen("ash_"), r->type, r->tokens, 100 * w->least / w->inside,
            w->decode ? "620 GB/s" : roof_peak_name(w->dtype), w->least >= target(w) * w->inside ? "met" : "MISSED",
            100 * target(w), roof_bound_name((roof_bound)most), used(w), allowed(w),
            w->decode ? "a weight and lane" : "beside a matrix instruction");
}

void roof_kernels(FILE *to, const roof_result *results, uint32_t count)
{
    fprintf(to, "\n== kernels, at the matrices of a layer of %s (projections; launches and ramps are not in it)\n"
                "cycles: of the issue port, taken and left by the target where memory or the matrix instructions bind\n"
                "%-18s %-7s %6s %21s %-13s %-7s %s\n", roof_models[0].name, "kernel", "type", "tokens",
            "share            ", "target", "bound", "cycles");
    for (uint32_t i = 0; i < count; i++) {
        row rows[ROWS];
        uint32_t n = results[i].work == ROOF_LAYER ? rows_of(&results[i], rows) : 0;
        for (uint32_t k = 0; k < n; k++)
            show(to, &results[i], &rows[k]);
        for (uint32_t k = 0; k < results[i].list.count && results[i].work == ROOF_LAYER; k++)
            if (!results[i].line[k].counted)
                fprintf(to, "%-18s %-7s %6u %s\n", results[i].list.launch[k].what, results[i].type, results[i].tokens,
                        results[i].line[k].why);
        if (results[i].work == ROOF_LAYER && results[i].list.overflow)
            fprintf(to, "%-18s %-7s %6u launches are missing: a list holds %d\n", "", results[i].type,
                    results[i].tokens, ROOF_LAUNCHES);
    }
}
