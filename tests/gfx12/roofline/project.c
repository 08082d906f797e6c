/* Counts to time: roofline.h says how. */
#include <math.h>

#include "tests/gfx12/roofline/roofline.h"

static double at_most(double a, double b) { return a < b ? a : b; }
static double at_least(double a, double b) { return a > b ? a : b; }

/* A part of the launch's bytes, drawn by so many waves. Of a line that is asked for in part, only the part takes room
 * among what a wave has in flight. */
static double draw(const roof_counts *c, double part, double waves)
{
    double asked = at_most(c->memory_bytes, c->asked_bytes) * part;
    return at_least(c->memory_bytes * part / ROOF_BANDWIDTH, asked * ROOF_LATENCY / (waves * c->flight_bytes));
}

static double memory_time(const roof_counts *c)
{
    if (c->memory_bytes == 0 || c->flight_bytes == 0)
        return c->memory_bytes / ROOF_BANDWIDTH; /* it stores only: nothing waits */
    double resident = ROOF_PROCESSORS * at_least(1, floor(4 * c->occupancy / c->group_waves));
    double in_rounds = floor(c->groups / resident) * resident, rest = c->groups - in_rounds, time = 0;
    if (in_rounds > 0)
        time += draw(c, in_rounds / c->groups, resident * c->group_waves);
    if (rest > 0)
        time += draw(c, rest / c->groups, rest * c->group_waves);
    return time;
}

/* The processor with the most workgroups ends last, and no sooner than its longest wave. */
static double issue_time(const roof_counts *c)
{
    double groups = ceil(c->groups / ROOF_PROCESSORS);
    return at_least(groups * (c->cycles / c->groups) / 4, c->wave_cycles) / ROOF_CLOCK;
}

roof_time roof_project(const roof_counts *c)
{
    roof_time t = {
        .memory_least = c->memory_bytes / ROOF_BANDWIDTH,
        .issue_least = c->cycles / ROOF_SIMDS / ROOF_CLOCK,
        .memory = memory_time(c),
        .issue = issue_time(c),
        .lds = c->lds_bytes / (ROOF_PROCESSORS * ROOF_LDS_BYTES) / ROOF_CLOCK,
    };
    t.inside = at_least(at_least(t.memory, t.issue), t.lds);
    t.total = t.inside + ROOF_LATENCY;
    if (t.inside == t.lds)
        t.bound = ROOF_BY_LDS;
    else if (t.inside == t.issue)
        t.bound = t.issue > 1.1 * t.issue_least ? ROOF_BY_TAIL : ROOF_BY_ISSUE;
    else
        t.bound = t.memory > 1.1 * t.memory_least ? ROOF_BY_LATENCY : ROOF_BY_MEMORY;
    return t;
}

const char *roof_bound_name(roof_bound b)
{
    static const char *const names[] = { "memory", "latency", "issue", "tail", "LDS" };
    return names[b];
}

double roof_cycles_a_weight(double weight_bytes, double share)
{
    return 32 * ROOF_SIMDS * ROOF_CLOCK * weight_bytes / (share * ROOF_BANDWIDTH);
}

double roof_cycles_a_product(double cycles, double share) { return cycles / share - cycles; }

double roof_matrix_cycles(ash_dtype dtype)
{
    return dtype == ASH_F16 || dtype == ASH_BF16 || dtype == ASH_F32 ? 16 : 8;
}

double roof_products_least(const roof_launch *l)
{
    return l->products / (16 * 16 * 16) * roof_matrix_cycles(l->dtype) / ROOF_SIMDS / ROOF_CLOCK;
}

const char *roof_peak_name(ash_dtype dtype)
{
    return dtype == ASH_F8_E4M3 ? "FP8" : dtype == ASH_BF16 ? "BF16" : dtype == ASH_F16 ? "F16" : "INT8";
}

void roof_run(roof_result *r)
{
    r->whole = !r->list.overflow;
    for (uint32_t i = 0; i < r->list.count; i++) {
        const roof_launch *l = &r->list.launch[i];
        roof_line *line = &r->line[i];
        line->launch = l;
        r->launches += l->times;
        line->counted = roof_count(l, &line->counts, line->why);
        if (!line->counted) {
            r->whole = false;
            continue;
        }
        line->time = roof_project(&line->counts);
        r->seconds += l->times * line->time.total;
        r->inside += l->times * line->time.inside;
        r->bytes += l->times * line->counts.memory_bytes;
    }
}

double roof_seconds(const roof_result *r, double overhead) { return r->seconds + r->launches * overhead; }

roof_whole roof_shares(const roof_result *r, double overhead)
{
    roof_whole w = { .dtype = ASH_DTYPE_COUNT };
    double all = roof_seconds(r, overhead), cycles = 0, least = 0;
    for (uint32_t i = 0; i < r->list.count; i++) {
        const roof_line *line = &r->line[i];
        const roof_launch *l = &r->list.launch[i];
        if (!line->counted)
            continue;
        w.bound[line->time.bound] += l->times * line->time.inside / all;
        cycles += l->times * line->counts.cycles;
        if (l->op != ASH_GFX_OP_PREFILL)
            continue;
        w.dtype = w.dtype == ASH_DTYPE_COUNT ? l->dtype : w.dtype;
        least += l->times * roof_products_least(l);
    }
    w.ramps = (r->seconds - r->inside) / all;
    w.launches = r->launches * overhead / all;
    w.memory = r->bytes / all / ROOF_PEAK_BANDWIDTH;
    w.issue = cycles / ROOF_SIMDS / ROOF_CLOCK / all;
    w.matrix = least / all;
    return w;
}
