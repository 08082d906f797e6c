/* Results as JSON, and two of them compared. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "runtime/command/bench.h"

#define FILE_MAX (16u << 20)

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *values, size_t count) { qsort(values, count, sizeof *values, by_value); }

double bench_quantile(const double *values, size_t count, double q)
{
    double at = q * (double)(count - 1);
    size_t i = (size_t)at;
    double next = i + 1 < count ? values[i + 1] : values[i];
    return values[i] + (at - (double)i) * (next - values[i]);
}

static double quantile(const bench_row *row, double q) { return bench_quantile(row->rate, row->count, q); }

double bench_median(const bench_row *row) { return row->count ? quantile(row, 0.5) : 0; }
double bench_spread(const bench_row *row) { return row->count ? 0.5 * (quantile(row, 0.75) - quantile(row, 0.25)) : 0; }

double bench_row_bytes(const bench_result *r, const bench_row *row)
{
    double seen = 0;
    for (uint32_t t = 0; t < row->tokens; t++) {
        uint32_t positions = row->depth + t + 1;
        seen += r->window && positions > r->window ? r->window : positions;
    }
    return (double)r->weight_bytes + row->batch * seen / row->tokens * (double)r->position_bytes;
}

double bench_row_macs(const bench_result *r, const bench_row *row)
{
    return (double)r->macs - (row->decode ? 0 : (double)r->output_macs * (1 - 1.0 / row->tokens));
}

double bench_share(const bench_result *r, const bench_row *row, bool *of_bytes)
{
    double macs_limit = bench_macs_limit(&r->limits, r->unit), rate = bench_median(row);
    double macs = macs_limit > 0 ? rate * bench_row_macs(r, row) / macs_limit : 0;
    double bytes = 0;
    if (row->decode && r->limits.bytes_s > 0)
        bytes = rate / row->batch * bench_row_bytes(r, row) / r->limits.bytes_s;
    *of_bytes = bytes > macs;
    return *of_bytes ? bytes : macs;
}

const char *bench_kind(const bench_row *row, char text[32])
{
    if (row->batch == 1)
        return row->decode ? "decode" : "prefill";
    snprintf(text, 32, "decode x%u", row->batch);
    return text;
}

static cJSON *row_json(const bench_result *r, const bench_row *row)
{
    cJSON *o = cJSON_CreateObject(), *rates = cJSON_AddArrayToObject(o, "tok_s_all");
    double median = bench_median(row);
    cJSON_AddStringToObject(o, "kind", row->decode ? "decode" : "prefill");
    cJSON_AddNumberToObject(o, "tokens", row->tokens);
    cJSON_AddNumberToObject(o, "depth", row->depth);
    cJSON_AddNumberToObject(o, "batch", row->batch);
    cJSON_AddNumberToObject(o, "tok_s", median);
    cJSON_AddNumberToObject(o, "spread", bench_spread(row));
    if (row->decode)
        cJSON_AddNumberToObject(o, "gb_s", 1e-9 * median / row->batch * bench_row_bytes(r, row));
    cJSON_AddNumberToObject(o, "tmac_s", 1e-12 * median * bench_row_macs(r, row));
    bool of_bytes;
    cJSON_AddNumberToObject(o, "share_of_limit", bench_share(r, row, &of_bytes));
    cJSON_AddStringToObject(o, "limit", of_bytes ? "bytes" : bench_unit_name(r->unit));
    char limits[BENCH_LIMITS_TEXT];
    if (row->profile)
        cJSON_AddStringToObject(o, "limits", bench_limits_text(r, row, limits));
    for (size_t i = 0; i < row->count; i++)
        cJSON_AddItemToArray(rates, cJSON_CreateNumber(row->rate[i]));
    if (row->profile)
        cJSON_AddItemToObject(o, "profile", bench_profile_json(r, row));
    return o;
}

/* The first row of a kind under names of its own: what scripts ask for. */
static void add_first(cJSON *root, const bench_result *r, bool decode)
{
    for (size_t i = 0; i < r->row_count; i++) {
        const bench_row *row = &r->rows[i];
        if (row->decode != decode || row->batch != 1)
            continue;
        cJSON_AddNumberToObject(root, decode ? "tg" : "pp", row->tokens);
        cJSON_AddNumberToObject(root, decode ? "tg_tok_s" : "pp_tok_s", bench_median(row));
        bool of_bytes;
        cJSON_AddNumberToObject(root, decode ? "tg_share" : "pp_share", bench_share(r, row, &of_bytes));
        cJSON_AddStringToObject(root, decode ? "tg_limit" : "pp_limit", of_bytes ? "bytes" : bench_unit_name(r->unit));
        char limits[BENCH_LIMITS_TEXT];
        if (row->profile)
            cJSON_AddStringToObject(root, decode ? "tg_limits" : "pp_limits", bench_limits_text(r, row, limits));
        if (decode) {
            cJSON_AddNumberToObject(root, "depth", row->depth);
            cJSON_AddNumberToObject(root, "tg_gb_s", 1e-9 * bench_median(row) * bench_row_bytes(r, row));
        }
        return;
    }
}

char *bench_json(const bench_result *r)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", r->model);
    cJSON_AddNumberToObject(root, "load_to_first_logits_s", r->first_s);
    cJSON_AddNumberToObject(root, "weight_bytes", (double)r->weight_bytes);
    add_first(root, r, false);
    add_first(root, r, true);
    cJSON_AddNumberToObject(root, "peak_rss_mib", (double)r->rss_mib);
    cJSON *limits = cJSON_AddObjectToObject(root, "limits");
    cJSON_AddNumberToObject(limits, "read_gb_s", 1e-9 * r->limits.bytes_s);
    cJSON_AddNumberToObject(limits, "int8_tmac_s", 1e-12 * r->limits.int8_s);
    cJSON_AddNumberToObject(limits, "bf16_tmac_s", 1e-12 * r->limits.bf16_s);
    cJSON_AddNumberToObject(limits, "f32_tmac_s", 1e-12 * r->limits.f32_s);
    cJSON_AddNumberToObject(limits, "read_bytes", (double)r->limits.read_bytes);
    cJSON_AddNumberToObject(limits, "read_loop", 2); /* with prefetches; the first one had none, nor this field */
    if (r->limits.memory_s > 0)
        cJSON_AddNumberToObject(limits, "memory_gb_s", 1e-9 * r->limits.memory_s);
    if (r->limits.barriers_s > 0)
        cJSON_AddNumberToObject(limits, "barrier_us", 1e6 / r->limits.barriers_s);
    cJSON *rows = cJSON_AddArrayToObject(root, "rows");
    for (size_t i = 0; i < r->row_count; i++)
        cJSON_AddItemToArray(rows, row_json(r, &r->rows[i]));
    char *text = cJSON_PrintUnformatted(root), *line = NULL;
    cJSON_Delete(root);
    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

/* ---- two of them ---- */

static bool read_row(const cJSON *o, bench_row *row)
{
    const cJSON *kind = cJSON_GetObjectItem(o, "kind"), *tokens = cJSON_GetObjectItem(o, "tokens");
    const cJSON *depth = cJSON_GetObjectItem(o, "depth"), *batch = cJSON_GetObjectItem(o, "batch");
    const cJSON *rates = cJSON_GetObjectItem(o, "tok_s_all"), *rate;
    *row = (bench_row){ 0 };
    if (!cJSON_IsString(kind) || !cJSON_IsNumber(tokens) || !cJSON_IsNumber(depth) || !cJSON_IsArray(rates))
        return false;
    row->decode = strcmp(kind->valuestring, "decode") == 0;
    row->tokens = (uint32_t)tokens->valuedouble;
    row->depth = (uint32_t)depth->valuedouble;
    row->batch = cJSON_IsNumber(batch) ? (uint32_t)batch->valuedouble : 1;
    cJSON_ArrayForEach(rate, rates) if (cJSON_IsNumber(rate) && rate->valuedouble > 0 && row->count < BENCH_REPEATS_MAX)
        row->rate[row->count++] = rate->valuedouble;
    bench_sort(row->rate, row->count);
    return row->count != 0;
}

static cJSON *read_result(const char *path, const cJSON **rows)
{
    ash_error err;
    cJSON *root = NULL;
    if (ash_json_read_file(path, FILE_MAX, &root, &err) != ASH_OK) {
        fail_with(&err);
        return NULL;
    }
    *rows = cJSON_GetObjectItem(root, "rows");
    if (cJSON_IsArray(*rows))
        return root;
    cJSON_Delete(root);
    fail("%s is no result of 'ashlar bench --save'", path);
    return NULL;
}

/* Of two files: what a row's `limit` names, and how far the second machine's is above the first's. 0: neither says. */
typedef struct limit_move {
    const char *name;
    double ratio;
} limit_move;

static double limit_of(const cJSON *root, const char *field)
{
    const cJSON *value = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "limits"), field);
    return cJSON_IsNumber(value) && value->valuedouble > 0 ? value->valuedouble : 0;
}

static const struct { const char *name, *field, *unit; } limits_kept[] = {
    { "bytes", "read_gb_s", "GB/s" }, { "int8", "int8_tmac_s", "T/s" }, { "bf16", "bf16_tmac_s", "T/s" },
    { "f32", "f32_tmac_s", "T/s" },
};
enum { LIMITS_KEPT = sizeof limits_kept / sizeof limits_kept[0] };

/* How far a limit moved; 0 where it cannot be said: rates of reading are of as many bytes by the same loop. */
static double limit_ratio(const cJSON *before, const cJSON *after, const char *field)
{
    double from = limit_of(before, field), to = limit_of(after, field);
    if (strcmp(field, "read_gb_s") == 0 && (limit_of(before, "read_bytes") != limit_of(after, "read_bytes") ||
                                            limit_of(before, "read_loop") != limit_of(after, "read_loop")))
        return 0;
    return from > 0 ? to / from : 0;
}

/* A table of its own, with an empty line behind it; nothing where the files have no limit in common. */
static void print_limits(const cJSON *before, const cJSON *after)
{
    bool any = false;
    for (int i = 0; i < LIMITS_KEPT; i++) {
        double x = limit_of(before, limits_kept[i].field), y = limit_of(after, limits_kept[i].field);
        double ratio = limit_ratio(before, after, limits_kept[i].field);
        if (ratio == 0)
            continue;
        if (!any)
            printf("%-27s %10s %10s\n", "limit of this machine", "before", "after");
        any = true;
        printf("%-27s %10.3f %10.3f  %+6.1f%%  %s\n", limits_kept[i].name, x, y, 100 * (ratio - 1),
               limits_kept[i].unit);
    }
    if (any)
        putchar('\n');
}

/* Rows that run against the same limit in both. */
static limit_move move_of(const cJSON *before, const cJSON *after, const cJSON *a, const cJSON *b)
{
    const cJSON *x = cJSON_GetObjectItem(a, "limit"), *y = cJSON_GetObjectItem(b, "limit");
    if (!cJSON_IsString(x) || !cJSON_IsString(y) || strcmp(x->valuestring, y->valuestring) != 0)
        return (limit_move){ 0 };
    for (int i = 0; i < LIMITS_KEPT; i++) {
        if (strcmp(limits_kept[i].name, x->valuestring) == 0)
            return (limit_move){ limits_kept[i].name, limit_ratio(before, after, limits_kept[i].field) };
    }
    return (limit_move){ 0 };
}

static void print_row(const bench_row *a, const bench_row *b, limit_move limit)
{
    double before = bench_median(a), after = bench_median(b), change = after / before - 1;
    /* For a normal distribution half the distance of the quartiles is 0.674 of the deviation, and a median of n runs
     * has 1.25 of it over the root of n: so a median's own deviation is 1.86 spreads over that root. Twice that is no
     * accident. */
    double x = bench_spread(a) / before / sqrt((double)a->count), y = bench_spread(b) / after / sqrt((double)b->count);
    double noise = 2 * 1.86 * sqrt(x * x + y * y), moved = limit.ratio - 1;
    /* A row at its limit moves as far as that does, one that is bound by it in part less far. */
    bool explained = limit.ratio > 0 && (change > 0) == (moved > 0) && fabs(change) <= fabs(moved) + noise;
    char kind[32];
    bool enough = a->count >= 3 && b->count >= 3;
    printf("%-10s %6u at %6u %10.1f %10.1f  %+6.1f%%  noise %4.1f%%  %s", bench_kind(a, kind), a->tokens, a->depth,
           before, after, 100 * change, 100 * noise,
           !enough                 ? "too few runs to tell"
           : fabs(change) <= noise ? "no difference"
           : change > 0            ? "faster"
                                   : "slower");
    if (enough && fabs(change) > noise && explained)
        printf(", as the limit of %s is (%+.1f%%)", limit.name, 100 * moved);
    putchar('\n');
}

static bool same_row(const bench_row *x, const bench_row *y)
{
    return x->decode == y->decode && x->tokens == y->tokens && x->depth == y->depth && x->batch == y->batch;
}

/* The row of `rows` that is like *x; NULL: none. */
static const cJSON *find_row(const cJSON *rows, const bench_row *x, bench_row *y)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, rows) if (read_row(row, y) && same_row(x, y)) return row;
    return NULL;
}

static void print_alone(const cJSON *rows, const cJSON *others, const char *path)
{
    const cJSON *row;
    bench_row x, y;
    char kind[32];
    cJSON_ArrayForEach(row, rows) if (read_row(row, &x) && !find_row(others, &x, &y))
        printf("%-10s %6u at %6u  only in %s\n", bench_kind(&x, kind), x.tokens, x.depth, path);
}

int bench_diff(const char *before, const char *after)
{
    const cJSON *rows_a, *rows_b, *a, *b;
    cJSON *first = read_result(before, &rows_a);
    if (!first)
        return EXIT_FAILED;
    cJSON *second = read_result(after, &rows_b);
    if (!second) {
        cJSON_Delete(first);
        return EXIT_FAILED;
    }
    int shown = 0;
    cJSON_ArrayForEach(a, rows_a)
    {
        bench_row x, y;
        if (!read_row(a, &x) || !(b = find_row(rows_b, &x, &y)))
            continue;
        if (shown++ == 0) {
            print_limits(first, second);
            printf("%-10s %6s    %6s %10s %10s\n", "", "tokens", "depth", "before", "after");
        }
        print_row(&x, &y, move_of(first, second, a, b));
    }
    if (shown) {
        print_alone(rows_a, rows_b, before);
        print_alone(rows_b, rows_a, after);
    }
    cJSON_Delete(first);
    cJSON_Delete(second);
    return shown ? EXIT_OK : fail("%s and %s have no row in common", before, after);
}
