/* bench --profile: one more pass of each row, operation by operation. */
#include <stdlib.h>
#include <string.h>

#include "format/directory.h"
#include "runtime/command/bench.h"
#include "runtime/session.h"

static bool same_line(const ash_profile_record *a, const ash_profile_record *b)
{
    return strcmp(a->name, b->name) == 0 && a->role == b->role && a->dtype == b->dtype && a->unit == b->unit;
}

/* Records of one name, role and type are one line, whatever their layer. */
static void add(void *context, const ash_profile_record *r)
{
    bench_profile *p = context;
    size_t i = 0;
    while (i < p->count && !same_line(&p->line[i], r))
        i++;
    if (i == BENCH_PROFILE_MAX)
        i--;
    if (i == p->count) {
        p->line[p->count++] = *r;
        return;
    }
    p->line[i].seconds += r->seconds;
    p->line[i].bytes += r->bytes;
    p->line[i].macs += r->macs;
    p->line[i].slots += r->slots;
}

static void add_alone(bench_profile *p, const char *name, double seconds, uint64_t bytes)
{
    add(p, &(ash_profile_record){ .name = name, .layer = ASH_NO_LAYER, .role = ASH_ROLE_OTHER, .dtype = ASH_DTYPE_COUNT,
                                  .seconds = seconds, .bytes = bytes });
}

/* What a server does between two passes: a token chosen for each session. */
static void sample(engine *e, bench_batch *batch, uint32_t count)
{
    double before = seconds_now();
    for (uint32_t i = 0; i < count; i++) {
        const float *logits = ashlar_session_logits(batch->session[i], 0);
        if (logits)
            ashlar_sampler_next(e->sampler, logits);
    }
    add_alone(e->session->profile.context, "sampling", seconds_now() - before, count * e->info.vocab * sizeof(float));
}

int bench_profile_row(engine *e, bench_batch *batch, const int32_t *ids, bench_row *row, ashlar_error *err)
{
    row->profile = calloc(1, sizeof *row->profile);
    if (!row->profile) {
        *err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory" };
        return err->status;
    }
    bench_profile *p = row->profile;
    ashlar_sampler_reset(e->sampler);
    int status = bench_batch_rewind(batch, row->batch, row->depth, err);
    e->session->profile = (ash_profile){ add, p }; /* the first session's threads do the work of all */
    double started = seconds_now();
    if (!row->decode && status == ASHLAR_OK)
        status = ashlar_session_feed(e->session, ids, row->tokens, 0, err);
    for (uint32_t i = 0; row->decode && status == ASHLAR_OK && i < row->tokens; i++) {
        status = bench_batch_step(batch, row->batch, ids, i, row->tokens, err);
        sample(e, batch, row->batch);
    }
    p->seconds = seconds_now() - started;
    e->session->profile = (ash_profile){ 0 };
    double rest = p->seconds;
    for (size_t i = 0; i < p->count; i++)
        rest -= p->line[i].seconds;
    add_alone(p, "between passes", rest, 0);
    return status;
}

double bench_macs_limit(const bench_limits *limits, ash_unit unit)
{
    switch (unit) {
    case ASH_UNIT_INT8: return limits->int8_s;
    case ASH_UNIT_F32: return limits->f32_s;
    case ASH_UNIT_BF16: return limits->bf16_s;
    default: return 0;
    }
}

const char *bench_unit_name(ash_unit unit)
{
    static const char *const names[ASH_UNIT_COUNT] = { "f32", "int8", "f16", "bf16", "fp8" };
    return names[unit];
}

/* Weights, keys and values are held against the read loop; rows of activations are in the nearest caches. */
static bool from_memory(const ash_profile_record *r)
{
    return r->dtype != ASH_DTYPE_COUNT || r->macs != 0;
}

/* What may bind an operation: an ash_unit, or all steps that it takes of that, or bytes. */
enum { SLOTS = ASH_UNIT_COUNT, BYTES, BOUNDS };
static const char *bound_name(int bound)
{
    return bound == BYTES ? "bytes" : bound == SLOTS ? "slots" : bench_unit_name((ash_unit)bound);
}

/* The time that the limits allow an operation: of its bytes or of its multiply-adds, whichever is longer. */
static double least_seconds(const bench_result *result, const ash_profile_record *r, int *bound)
{
    double macs_s = bench_macs_limit(&result->limits, r->unit), bytes = 0, macs = 0;
    if (result->limits.bytes_s > 0 && from_memory(r))
        bytes = (double)r->bytes / result->limits.bytes_s;
    if (macs_s > 0)
        macs = (double)(r->slots ? r->slots : r->macs) / macs_s;
    *bound = bytes >= macs ? BYTES : r->slots > r->macs ? SLOTS : (int)r->unit;
    return bytes >= macs ? bytes : macs;
}

/* That over the time it took. */
static double share_of_limit(const bench_result *result, const ash_profile_record *r, int *bound)
{
    double least = least_seconds(result, r, bound);
    return r->seconds > 0 ? least / r->seconds : 0;
}

const char *bench_limits_text(const bench_result *r, const bench_row *row, char text[BENCH_LIMITS_TEXT])
{
    double part[BOUNDS] = { 0 }, whole = 0, rate = bench_median(row);
    *text = '\0';
    for (size_t i = 0; row->profile && i < row->profile->count; i++) {
        int bound;
        double least = least_seconds(r, &row->profile->line[i], &bound);
        least *= rate / ((double)row->tokens * row->batch);
        part[bound] += least;
        whole += least;
    }
    if (whole <= 0)
        return text;
    int length = snprintf(text, BENCH_LIMITS_TEXT, "%.0f%% (", 100 * whole);
    for (const char *between = ""; length < BENCH_LIMITS_TEXT; between = ", ") {
        int most = 0;
        for (int i = 1; i < BOUNDS; i++)
            most = part[i] > part[most] ? i : most;
        if (part[most] < 0.005)
            break;
        length += snprintf(text + length, (size_t)(BENCH_LIMITS_TEXT - length), "%s%s %.0f", between,
                           bound_name(most), 100 * part[most]);
        part[most] = 0;
    }
    if (length < BENCH_LIMITS_TEXT)
        snprintf(text + length, (size_t)(BENCH_LIMITS_TEXT - length), ")");
    return text;
}

static const char *role_text(const ash_profile_record *r)
{
    return r->role == ASH_ROLE_OTHER ? "" : ash_role_name(r->role);
}

void bench_profile_print(const bench_result *result, const bench_row *row)
{
    const bench_profile *p = row->profile;
    const bench_limits *limits = &result->limits;
    double parts = row->decode ? row->tokens : 1; /* what a line's time and bytes are given for: a pass, or a prompt */
    char kind[32], limits_text[BENCH_LIMITS_TEXT];
    printf("\n%s %u at %u: %.3f ms a %s\n", bench_kind(row, kind), row->tokens, row->depth, 1e3 * p->seconds / parts,
           !row->decode ? "prompt" : row->batch == 1 ? "token, sampling included" : "token of each, sampling included");
    if (*bench_limits_text(result, row, limits_text))
        printf("the limits of its operations add up to %s of a run's time\n", limits_text);
    printf("%-24s %-8s %-8s %10s %6s %10s %14s %20s\n", "", "", "type", "ms", "time", "MB", "GB/s",
           "T multiply-adds/s");
    for (size_t i = 0; i < p->count; i++) {
        const ash_profile_record *r = &p->line[i];
        double bytes = (double)r->bytes / r->seconds, macs = (double)r->macs / r->seconds;
        double macs_limit = bench_macs_limit(limits, r->unit);
        printf("%-24s %-8s %-8s %10.4f %5.1f%%", r->name, role_text(r),
               r->dtype == ASH_DTYPE_COUNT ? "" : ash_dtype_name(r->dtype), 1e3 * r->seconds / parts,
               100 * r->seconds / p->seconds);
        if (r->bytes && r->seconds > 0)
            printf(" %10.3f %7.1f", 1e-6 * (double)r->bytes / parts, 1e-9 * bytes);
        if (r->seconds > 0 && from_memory(r))
            printf(" (%3.0f%%)", limits->bytes_s > 0 ? 100 * bytes / limits->bytes_s : 0);
        if (r->macs && r->seconds > 0)
            printf(" %12.3f (%3.0f%%)", 1e-12 * macs, macs_limit > 0 ? 100 * macs / macs_limit : 0);
        putchar('\n');
    }
}

cJSON *bench_profile_json(const bench_result *result, const bench_row *row)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "seconds", row->profile->seconds);
    cJSON *list = cJSON_AddArrayToObject(root, "operations");
    for (size_t i = 0; i < row->profile->count; i++) {
        const ash_profile_record *r = &row->profile->line[i];
        cJSON *o = cJSON_CreateObject();
        int bound;
        double share = share_of_limit(result, r, &bound);
        cJSON_AddStringToObject(o, "name", r->name);
        cJSON_AddStringToObject(o, "role", role_text(r));
        cJSON_AddStringToObject(o, "type", r->dtype == ASH_DTYPE_COUNT ? "" : ash_dtype_name(r->dtype));
        cJSON_AddNumberToObject(o, "seconds", r->seconds);
        cJSON_AddNumberToObject(o, "bytes", (double)r->bytes);
        cJSON_AddNumberToObject(o, "multiply_adds", (double)r->macs);
        if (r->slots)
            cJSON_AddNumberToObject(o, "slots", (double)r->slots);
        cJSON_AddNumberToObject(o, "share_of_time", row->profile->seconds > 0 ? r->seconds / row->profile->seconds : 0);
        cJSON_AddNumberToObject(o, "share_of_limit", share);
        cJSON_AddStringToObject(o, "limit", share == 0 ? "" : bound_name(bound));
        cJSON_AddItemToArray(list, o);
    }
    return root;
}
