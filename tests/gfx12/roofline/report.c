/* The tables, in text. */
#include <string.h>

#include "tests/gfx12/roofline/roofline.h"

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static double bound_least(const roof_time *t)
{
    return t->bound == ROOF_BY_LDS ? t->lds : t->bound == ROOF_BY_ISSUE || t->bound == ROOF_BY_TAIL ? t->issue_least
                                                                                                    : t->memory_least;
}

static void report_line(FILE *to, const roof_result *r, const roof_line *line)
{
    const roof_launch *l = line->launch;
    const roof_counts *c = &line->counts;
    const roof_time *t = &line->time;
    fprintf(to, "%-9s %-7s %4u ", l->what, l->dtype == ASH_DTYPE_COUNT ? "" : ash_dtype_name(l->dtype), l->times);
    if (!line->counted) {
        fprintf(to, "  %s\n", line->why);
        return;
    }
    fprintf(to, "%6.0f x %2.0f %5u %4u %6.1f %9.2f %9.2f %8.3f %8.4f %8.3f %8.2f %8.2f %8.2f %5.1f  %-7s %5.1f\n",
            c->groups, c->group_waves, c->vgprs, c->occupancy, c->lds / 1024.0, c->memory_bytes / 1e6,
            (c->asked_bytes > c->memory_bytes ? c->asked_bytes - c->memory_bytes : 0) / 1e6, c->vector / 1e6,
            c->matrix / 1e6, c->cycles / 1e6, t->inside * 1e6, (t->total - t->inside) * 1e6, t->total * l->times * 1e6,
            percent(t->total * l->times, r->seconds), roof_bound_name(t->bound), percent(bound_least(t), t->total));
}

static void report_overheads(FILE *to, const roof_result *r)
{
    static const double overheads[] = { 0, 3e-6, 5e-6 };
    for (int i = 0; i < 3; i++) {
        double s = roof_seconds(r, overheads[i]);
        fprintf(to, "  with %.0f us a launch: %8.3f ms, %9.1f tok/s", overheads[i] * 1e6, s * 1e3,
                r->tokens / s);
        if (r->work != ROOF_DECODE)
            fprintf(to, "\n");
        else
            fprintf(to, ", %5.1f GB/s, %4.1f%% of %.0f\n", r->bytes / s / 1e9,
                    percent(r->bytes / s, ROOF_PEAK_BANDWIDTH), ROOF_PEAK_BANDWIDTH / 1e9);
    }
}

/* What binds the pass as a whole, and how much of the card's it takes. */
static void report_whole(FILE *to, const roof_result *r)
{
    roof_whole w = roof_shares(r, 3e-6);
    double most = w.ramps > w.launches ? w.ramps : w.launches;
    const char *binding = w.ramps > w.launches ? "ramps" : "launches";
    for (int b = 0; b < ROOF_BOUNDS; b++)
        if (w.bound[b] > most) {
            most = w.bound[b];
            binding = roof_bound_name((roof_bound)b);
        }
    fprintf(to, "  in all bound by %s; its time, with 3 us a launch:", binding);
    for (int b = 0; b < ROOF_BOUNDS; b++)
        if (w.bound[b] > 0)
            fprintf(to, " %s %.1f%%,", roof_bound_name((roof_bound)b), 100 * w.bound[b]);
    fprintf(to, " ramps %.1f%%, launches %.1f%%; %.1f%% of %.0f GB/s, %.1f%% of the issue cycles", 100 * w.ramps,
            100 * w.launches, 100 * w.memory, ROOF_PEAK_BANDWIDTH / 1e9, 100 * w.issue);
    if (w.matrix > 0)
        fprintf(to, ", %.1f%% of the %s peak", 100 * w.matrix, roof_peak_name(w.dtype));
    fprintf(to, "\n");
}

#define OUTSIDE 3 /* launches outside of layers: embedding, output, arg max */

/* The same work in fewer launches: each saves its overhead, and its ramp too if what follows inside a launch has its
 * weights under way while its workgroups wait for those before. How long they wait is not in it. */
static double fewer(const roof_result *r, double launches, bool ramps)
{
    double ramp = (r->seconds - r->inside) / r->launches;
    return r->inside + launches * 3e-6 + (ramps ? r->launches : launches) * ramp;
}

static void report_fewer(FILE *to, const roof_result *r)
{
    static const uint32_t a_layer[] = { 5, 4, 3, 1 };
    fprintf(to, "  fewer, larger launches (3 us each), ramps kept or saved too:");
    for (size_t i = 0; i < sizeof a_layer / sizeof *a_layer; i++) {
        double n = a_layer[i] * r->layers + OUTSIDE;
        fprintf(to, " %u a layer %.1f or %.1f tok/s;", a_layer[i], 1 / fewer(r, n, true), 1 / fewer(r, n, false));
    }
    fprintf(to, " one for the token %.1f or %.1f\n", 1 / fewer(r, 1, true), 1 / fewer(r, 1, false));
}

/* The launches a layer that leave `share` of the bandwidth. */
static double launches_left(const roof_result *r, double share, bool ramps)
{
    double ramp = (r->seconds - r->inside) / r->launches, most = r->bytes / (share * ROOF_PEAK_BANDWIDTH);
    double n = ramps ? (most - r->seconds) / 3e-6 : (most - r->inside) / (3e-6 + ramp);
    return (n - OUTSIDE) / r->layers;
}

void roof_report(FILE *to, const roof_result *r)
{
    fprintf(to, "\n== %s %s: ", r->model, r->type);
    if (r->work == ROOF_PREFILL)
        fprintf(to, "prefill of %u tokens", r->tokens);
    else if (r->tokens == 1)
        fprintf(to, "decoding at %u tokens of context", r->context);
    else
        fprintf(to, "decoding %u sequences at %u tokens of context each", r->tokens, r->context);
    fprintf(to, " (a projection; %.2f GB of weights)\n", r->weight_bytes / 1e9);
    fprintf(to, "%-9s %-7s %4s %11s %5s %4s %6s %9s %9s %8s %8s %8s %8s %8s %8s %5s  %-7s %5s\n", "launch", "type", "x",
            "groups", "VGPRs", "w/S", "LDS K", "MB", "MB again", "M VALU", "M WMMA", "M cycles", "us", "ramp us",
            "us in all", "%", "bound", "% of");
    for (uint32_t i = 0; i < r->list.count; i++)
        report_line(to, r, &r->line[i]);
    if (!r->whole)
        fprintf(to, "  launches are missing: what follows is their lower bound\n");
    fprintf(to, "  %u launches, %.1f a layer\n", r->launches, (r->launches - 3.0) / r->layers);
    report_overheads(to, r);
    report_whole(to, r);
    if (r->work == ROOF_DECODE && r->tokens == 1)
        report_fewer(to, r);
    roof_show_peers(to, r);
}

/* ---- targets ---- */

/* The line is open still. */
static void verdict(FILE *to, const roof_result *r, const char *what, double got, double wanted)
{
    fprintf(to, "  %-6s %-9s %-9s %-54s %5.1f%% (target %.0f%%)", got >= wanted ? "met" : "MISSED", r->model,
            r->type, what, got, wanted);
}

/* Beside each matrix instruction. */
static double vector_cycles(const roof_counts *c) { return (c->cycles - c->matrix_cycles) / c->matrix; }

static bool is_matrix(const roof_line *l) { return l->counted && l->launch->weights > 0; }

/* Why a decoding kernel is below its share of the bandwidth. */
static void explain_decode(FILE *to, const roof_line *l, double share)
{
    const roof_launch *m = l->launch;
    const roof_counts *c = &l->counts;
    double waves = c->groups * c->group_waves, resident = (double)c->occupancy * ROOF_SIMDS;
    fprintf(to, "           %s: %.2f issue cycles for each weight and lane, of %.2f that %.0f%% of %.0f GB/s leave; "
            "%.0f KB in flight (%.0f waves of %.1f KB), of %.0f needed\n", m->what, c->cycles * 32 / m->weights,
            roof_cycles_a_weight(c->memory_bytes / m->weights, share), 100 * share, ROOF_BANDWIDTH / 1e9,
            (waves < resident ? waves : resident) * c->flight_bytes / 1024, waves < resident ? waves : resident,
            c->flight_bytes / 1024, ROOF_BANDWIDTH * ROOF_LATENCY / 1024);
}

static double weight_bytes(const roof_launch *l)
{
    double sum = 0;
    for (uint32_t b = 0; b < l->buffer_count; b++)
        if (strcmp(l->buffers[b].name, "weights") == 0)
            sum += (double)l->buffers[b].bytes;
    return sum;
}

static void explain_prefill(FILE *to, const roof_line *l, double share)
{
    const roof_launch *m = l->launch;
    const roof_counts *c = &l->counts;
    double cycles = m->op == ASH_GFX_OP_PREFILL ? roof_matrix_cycles(m->dtype) : 16;
    double least = m->products / 4096 * cycles / ROOF_SIMDS / ROOF_CLOCK;
    if (c->matrix == 0)
        return;
    fprintf(to, "           %s%s%s: %.1f%% of the peak, bound by %s; %.1f vector cycles for each matrix instruction, "
            "of %.1f that %.0f%% of the peak leave; of what those multiply %.1f%% is needed; workgroups fill the card "
            "to %.0f%%\n",
            m->what,
            m->dtype == ASH_DTYPE_COUNT ? "" : " ", m->dtype == ASH_DTYPE_COUNT ? "" : ash_dtype_name(m->dtype),
            percent(least, l->time.inside), roof_bound_name(l->time.bound), vector_cycles(c),
            roof_cycles_a_product(cycles, share), 100 * share, percent(m->products, 4096 * c->matrix),
            percent(l->time.issue_least, l->time.issue));
    if (l->time.bound == ROOF_BY_MEMORY)
        fprintf(to, "             its %.1f MB take %.1f us, %.1f us of them the weights; the products at their peak "
                "%.1f us\n", c->memory_bytes / 1e6, l->time.memory_least * 1e6,
                weight_bytes(m) / ROOF_BANDWIDTH * 1e6, least * 1e6);
}

/* Where a prompt's time goes. */
static void explain_prompt(FILE *to, const roof_result *r, double least, double overhead)
{
    double matrices = 0, inputs = 0, attention = 0, output = 0, all = roof_seconds(r, overhead);
    for (uint32_t i = 0; i < r->list.count; i++) {
        const roof_line *l = &r->line[i];
        ash_gfx_op op = l->launch->op;
        *(op == ASH_GFX_OP_PREFILL ? &matrices : op == ASH_GFX_OP_INPUTS ? &inputs
          : op == ASH_GFX_OP_ATTEND_PREFILL || op == ASH_GFX_OP_KV_STORE ? &attention : &output) +=
            l->launch->times * l->time.total;
    }
    fprintf(to, "           matrices %.1f%% of the time (at their peak %.1f%%), inputs of the matrices %.1f%%, "
            "attention and cache %.1f%%, embedding and output %.1f%%, %u launches %.1f%%\n", percent(matrices, all),
            percent(least, all),
            percent(inputs, all), percent(attention, all), percent(output, all), r->launches,
            percent(r->launches * overhead, all));
}

static void decode_targets(FILE *to, const roof_result *r)
{
    for (uint32_t i = 0; i < r->list.count; i++) {
        const roof_line *l = &r->line[i];
        double got = l->counted ? percent(l->time.memory_least, l->time.inside) : 0;
        char what[80];
        if (!is_matrix(l))
            continue;
        snprintf(what, sizeof what, "%s %s: of %.0f GB/s inside (ramp too: %.1f%%)", l->launch->what,
                 ash_dtype_name(l->launch->dtype), ROOF_BANDWIDTH / 1e9, percent(l->time.memory_least, l->time.total));
        verdict(to, r, what, got, 95);
        fprintf(to, "\n");
        if (got < 95)
            explain_decode(to, l, 0.95);
    }
    bool wanted = strcmp(r->type, "q4_k_m") == 0 || strcmp(r->type, "fp8") == 0;
    double got = percent(r->bytes / roof_seconds(r, 3e-6), ROOF_PEAK_BANDWIDTH);
    if (!wanted || !r->whole)
        return;
    verdict(to, r, "decoding, whole token, launches of 3 us: of 640 GB/s", got, 88);
    roof_show_beside(to, r, ROOF_DECODE);
    if (got < 88)
        fprintf(to, "           %u launches take %.1f%% of the token, their ramps %.1f%%; without both it would be "
                "%.1f%%; 88%% takes %.1f launches a layer, or %.1f if each saves its ramp\n", r->launches,
                percent(r->launches * 3e-6, roof_seconds(r, 3e-6)),
                percent(r->seconds - r->inside, roof_seconds(r, 3e-6)),
                percent(r->bytes / r->inside, ROOF_PEAK_BANDWIDTH), launches_left(r, 0.88, true),
                launches_left(r, 0.88, false));
}

static void prefill_targets(FILE *to, const roof_result *r)
{
    bool fp8 = strcmp(r->type, "fp8") == 0;
    double least = 0, matrices = 0, matrix_target = fp8 ? 85 : 70, all = 0;
    if (!fp8 && strncmp(r->type, "q4_k", 4) != 0)
        return;
    for (uint32_t i = 0; i < r->list.count; i++) {
        const roof_line *l = &r->line[i];
        if (!is_matrix(l) || l->launch->op != ASH_GFX_OP_PREFILL)
            continue;
        least += l->launch->times * roof_products_least(l->launch);
        matrices += l->launch->times * l->time.inside;
    }
    all = roof_seconds(r, 3e-6);
    if (matrices == 0)
        return;
    verdict(to, r, fp8 ? "prefill, matrices: of the FP8 peak" : "prefill, matrices: of the INT8 peak",
            percent(least, matrices), matrix_target);
    roof_show_beside(to, r, ROOF_GEMM);
    for (uint32_t i = 0; i < r->list.count && percent(least, matrices) < matrix_target; i++)
        if (is_matrix(&r->line[i]) && r->line[i].launch->op == ASH_GFX_OP_PREFILL)
            explain_prefill(to, &r->line[i], matrix_target / 100);
    if (!r->whole)
        return;
    verdict(to, r, fp8 ? "prefill, whole prompt, 3 us launches: of the FP8 peak"
                       : "prefill, whole prompt, 3 us launches: of the INT8 peak", percent(least, all), fp8 ? 70 : 60);
    roof_show_beside(to, r, ROOF_PREFILL);
    if (percent(least, all) < (fp8 ? 70 : 60))
        explain_prompt(to, r, least, 3e-6);
}

static const roof_line *attention_line(const roof_result *r)
{
    for (uint32_t i = 0; i < r->list.count; i++)
        if (r->line[i].launch->op == ASH_GFX_OP_ATTEND_PREFILL && r->line[i].counted)
            return &r->line[i];
    return NULL;
}

/* What an FP8 cache costs: matrix instructions take F16, so that each fragment of e4m3 is converted. f16: the same
 * attention from an F16 cache. */
static void explain_fp8_cache(FILE *to, const roof_line *l, const roof_line *f16)
{
    uint32_t hd = l->launch->args.attend.head_dim;
    fprintf(to, "             an F16 cache takes %.1f vector cycles: converting e4m3 is the other %.1f; a fragment so "
            "converted serves %u matrix instructions\n", vector_cycles(&f16->counts),
            vector_cycles(&l->counts) - vector_cycles(&f16->counts), ash_gfx_attend_prefill_rows(hd) / 16);
}

/* f16: the same with an F16 cache, or NULL. */
static void attention_target(FILE *to, const roof_result *r, const roof_result *f16)
{
    const roof_line *l = attention_line(r), *other = f16 ? attention_line(f16) : NULL;
    if (!l)
        return;
    double got = percent(l->launch->products / 4096 * 16 / ROOF_SIMDS / ROOF_CLOCK, l->time.total); /* F16 */
    char what[80];
    snprintf(what, sizeof what, "attention, 4,096 tokens, heads of %u: of the F16 peak",
             l->launch->args.attend.head_dim);
    verdict(to, r, what, got, 60);
    roof_show_beside(to, r, ROOF_ATTENTION);
    if (got < 60)
        explain_prefill(to, l, 0.6);
    if (got < 60 && other && l->launch->args.attend.cache.fp8)
        explain_fp8_cache(to, l, other);
}

void roof_targets(FILE *to, const roof_result *results, uint32_t count)
{
    fprintf(to, "\n== targets (projections)\n");
    for (uint32_t i = 0; i < count; i++) {
        const roof_result *r = &results[i];
        if (r->work == ROOF_ATTENTION)
            attention_target(to, r, i && results[i - 1].model == r->model ? r - 1 : NULL);
        else if (r->work == ROOF_PREFILL)
            prefill_targets(to, r);
        else if (r->work == ROOF_DECODE && r->tokens == 1)
            decode_targets(to, r);
    }
}
