/* ashlar bench: load, prefill and decode; with --tokenizer the tokenizer alone. */
#include <math.h>
#include <stdlib.h>

#include <string.h>

#include "format/fileio.h"
#include "kernels/kernels.h"
#include "runtime/command/bench.h"
#include "runtime/session.h"

/* Token ids that only have to be valid: a fixed linear congruential sequence. */
static void fill_ids(int32_t *ids, size_t count, uint32_t vocab, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        ids[i] = (int32_t)((uint64_t)seed * vocab >> 32);
    }
}

/* "128,512": up to BENCH_SIZES_MAX numbers. 0: not such a list. */
static size_t parse_sizes(const char *text, uint32_t least, uint32_t sizes[BENCH_SIZES_MAX])
{
    size_t count = 0;
    for (const char *p = text;; p++) {
        char *end;
        unsigned long n = strtoul(p, &end, 10);
        if (end == p || *p == '-' || *p == '+' || *p == ' ' || n < least || n > 1 << 20 || count == BENCH_SIZES_MAX)
            return 0;
        sizes[count++] = (uint32_t)n;
        if (!*end)
            return count;
        if (*end != ',')
            return 0;
        p = end;
    }
}

static int measure(engine *e, bench_batch *batch, const int32_t *ids, bench_row *row, uint32_t repeats, ashlar_error *err)
{
    int status = bench_batch_grow(batch, e, row->batch, err);
    if (status == ASHLAR_OK)
        status = bench_batch_depth(batch, row->batch, ids, row->depth, err);
    for (uint32_t r = 0; status == ASHLAR_OK && r < repeats && !interrupted; r++) {
        status = bench_batch_rewind(batch, row->batch, row->depth, err); /* what came before stays in the cache */
        double started = seconds_now();
        if (!row->decode && status == ASHLAR_OK)
            status = ashlar_session_feed(e->session, ids, row->tokens, 0, err);
        if (row->decode && status == ASHLAR_OK)
            status = bench_batch_decode(batch, row->batch, ids, row->tokens, err);
        row->rate[row->count++] = row->tokens * row->batch / (seconds_now() - started);
    }
    bench_sort(row->rate, row->count);
    return status;
}

/* Bytes that a token reads in the row where it reads most. */
static uint64_t most_read(const bench_result *r)
{
    double most = (double)r->weight_bytes;
    for (size_t i = 0; i < r->row_count; i++)
        most = fmax(most, bench_row_bytes(r, &r->rows[i]));
    return (uint64_t)most;
}

static void print_rows(const bench_result *r)
{
    double macs_limit = bench_macs_limit(&r->limits, r->unit);
    printf("load to first logits  %8.3f s\nresident at most      %8ld MiB\n", r->first_s, r->rss_mib);
    if (macs_limit > 0)
        printf("this machine reads    %8.1f GB/s and multiplies %.2f T/s (%s)\n"
               "a barrier of threads  %8.2f us\n\n", 1e-9 * r->limits.bytes_s, 1e-12 * macs_limit, bench_unit_name(r->unit),
               r->limits.barriers_s > 0 ? 1e6 / r->limits.barriers_s : 0);
    else
        printf("the card's memory     %8.1f GB/s read and written by a copy\n\n", 1e-9 * r->limits.bytes_s);
    printf("%-10s %6s    %6s %10s %8s %16s %18s\n", "", "tokens", "depth", "tok/s", "spread", "GB/s read", "T multiply-adds/s");
    for (size_t i = 0; i < r->row_count; i++) {
        const bench_row *row = &r->rows[i];
        double rate = bench_median(row), macs = rate * bench_row_macs(r, row);
        double bytes = rate / row->batch * bench_row_bytes(r, row);
        char kind[32];
        printf("%-10s %6u at %6u %10.1f %7.1f%%", bench_kind(row, kind), row->tokens, row->depth, rate,
               100 * bench_spread(row) / rate);
        if (row->decode)
            printf(" %8.1f (%3.0f%%)", 1e-9 * bytes, r->limits.bytes_s > 0 ? 100 * bytes / r->limits.bytes_s : 0);
        else
            printf(" %15s", "");
        printf(" %10.3f (%3.0f%%)\n", 1e-12 * macs, macs_limit > 0 ? 100 * macs / macs_limit : 0);
    }
    for (size_t i = 0; i < r->row_count; i++)
        if (r->rows[i].profile)
            bench_profile_print(r, &r->rows[i]);
}

typedef struct sizes {
    uint32_t pp[BENCH_SIZES_MAX], tg[BENCH_SIZES_MAX], depth[BENCH_SIZES_MAX], batch[BENCH_SIZES_MAX];
    size_t pps, tgs, depths, batches;
} sizes;

/* Prompts at every depth, then decoding at every depth in every number of sessions. */
static size_t make_rows(const sizes *s, bench_row *rows)
{
    size_t count = 0;
    for (size_t i = 0; i < s->pps; i++)
        for (size_t d = 0; d < s->depths; d++)
            rows[count++] = (bench_row){ .tokens = s->pp[i], .depth = s->depth[d], .batch = 1 };
    for (size_t i = 0; i < s->tgs; i++)
        for (size_t d = 0; d < s->depths; d++)
            for (size_t b = 0; b < s->batches; b++)
                rows[count++] = (bench_row){ .decode = true, .tokens = s->tg[i], .depth = s->depth[d], .batch = s->batch[b] };
    return count;
}

static int run(engine *e, bench_result *r, uint32_t longest, uint32_t repeats, bool profile, double started,
               ashlar_error *err)
{
    int32_t *ids = malloc(longest * sizeof *ids);
    if (!ids) {
        *err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory" };
        return err->status;
    }
    fill_ids(ids, longest, e->info.vocab, 1);
    int status = ashlar_session_feed(e->session, ids, 1, 0, err);
    r->first_s = seconds_since_start() - started;
    if (status == ASHLAR_OK) { /* caches, page tables, threads */
        ashlar_session_rewind(e->session, 0, err);
        status = ashlar_session_feed(e->session, ids, longest < 64 ? longest : 64, 0, err);
    }
    bench_batch batch = { .count = 0 };
    for (size_t i = 0; i < r->row_count && status == ASHLAR_OK && !interrupted; i++) {
        status = measure(e, &batch, ids, &r->rows[i], repeats, err);
        if (profile && status == ASHLAR_OK && !interrupted)
            status = bench_profile_row(e, &batch, ids, &r->rows[i], err);
    }
    r->rss_mib = peak_rss_mib();
    bench_batch_close(&batch);
    free(ids);
    if (status == ASHLAR_OK && interrupted) {
        *err = (ashlar_error){ ASHLAR_ERROR_CANCELLED, "interrupted" };
        status = err->status;
    }
    return status;
}

static void free_rows(bench_result *r)
{
    for (size_t i = 0; i < r->row_count; i++)
        free(r->rows[i].profile);
    free(r->rows);
}

/* The multiply-adds of most matrices. */
static ash_unit unit_of(const ashlar_session *s)
{
    const ash_part *part = &s->model->layers[0].gate_up.part[0];
    return ash_runs_in_q8(s, part) ? ASH_UNIT_INT8 : ash_runs_in_bf16(s, part) ? ASH_UNIT_BF16 : ASH_UNIT_F32;
}

/* The session is open. */
static int bench(engine *e, const char *path, const sizes *s, uint32_t longest, uint32_t repeats, bool profile, double started,
                 bool json, const char *save_path)
{
    bench_result r = { .weight_bytes = e->info.weight_bytes_per_token, .macs = e->info.multiply_adds_per_token,
                       .output_macs = (uint64_t)e->info.vocab * e->info.hidden,
                       .position_bytes = e->session->kv.bytes / e->session->kv.positions,
                       .window = e->session->model->meta.h.sliding_window, .unit = unit_of(e->session) };
    ashlar_error err;
    int code = EXIT_OK;
    snprintf(r.model, sizeof r.model, "%s", path);
    r.rows = calloc(BENCH_ROWS_MAX, sizeof *r.rows);
    if (!r.rows)
        return fail("out of memory");
    r.row_count = make_rows(s, r.rows);
    handle_interrupt();
    int status = run(e, &r, longest, repeats, profile, started, &err);
    restore_interrupt();
    if (status != ASHLAR_OK) {
        free_rows(&r);
        return fail_public(&err);
    }
    r.limits = e->session->card ? bench_card_limits(e->session)
                                : bench_measure_limits(e->threads, e->cpu_level, most_read(&r));
    char *text = json || save_path ? bench_json(&r) : NULL;
    if ((json || save_path) && !text)
        code = fail("out of memory");
    else if (json)
        fputs(text, stdout);
    else
        print_rows(&r);
    ash_error unsaved;
    if (code == EXIT_OK && save_path && ash_write_whole(save_path, true, text, strlen(text), &unsaved) != ASH_OK)
        code = fail_with(&unsaved);
    free(text);
    free_rows(&r);
    return code;
}

static uint32_t largest(const uint32_t *values, size_t count)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

int verb_bench(int argc, char **argv)
{
    engine e;
    engine_defaults(&e);
    const char *text = NULL, *pp = "512", *tg = "64", *depth = "0", *batch = "1", *save_path = NULL;
    uint32_t repeats = 3;
    bool json = false, tokenizer = false, diff = false, profile = false;
    const option options[] = {
        { "--tokenizer", NULL, OPTION_FLAG, &tokenizer, 0, 0, "measure the tokenizer alone, on one thread" },
        { "--text", "FILE", OPTION_STRING, &text, 0, 0, "with --tokenizer: what it reads; default: some English" },
        { "--pp", "N,...", OPTION_STRING, &pp, 0, 0, "tokens of prompt to measure; default: 512" },
        { "--tg", "N,...", OPTION_STRING, &tg, 0, 0, "tokens to decode; default: 64" },
        { "--depth", "N,...", OPTION_STRING, &depth, 0, 0, "tokens in the context before either; default: 0" },
        { "--batch", "N,...", OPTION_STRING, &batch, 0, 0, "sessions that decode together; tok/s of all; default: 1" },
        { "--repeat", "N", OPTION_U32, &repeats, 1, BENCH_REPEATS_MAX, "how often; the median counts" },
        { "--profile", NULL, OPTION_FLAG, &profile, 0, 0, "time and bytes of each operation; its share of the limit where it multiplies or reads memory" },
        { "--save", "FILE", OPTION_STRING, &save_path, 0, 0, "keep the result, as JSON" },
        { "--diff", NULL, OPTION_FLAG, &diff, 0, 0, "compare two such files: ashlar bench --diff BEFORE AFTER" },
        ENGINE_OPTIONS(e),
        DEVICE_OPTIONS(e),
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object" },
    };
    static const usage u = { "bench", "FILE", "Measures load, prefill and decode, or the tokenizer, on this machine.",
                             "Shares in brackets are of a loop that reads and of multiply-adds in registers, measured on the spot.\n"
                             "--profile: \"slots\" are all steps that 8-bit products take at least of the units that multiply.\n"
                             "The spread is half the distance between the quartiles.", ANY_ARGUMENTS };
    int code;
    const char **arguments = calloc((size_t)argc + 1, sizeof *arguments);
    if (!arguments)
        return fail("out of memory");
    bool go_on = options_parse(&u, options, sizeof options / sizeof *options, argc, argv, arguments, &code);
    const char *path = arguments[0], *second = path ? arguments[1] : NULL;
    bool more = second && arguments[2];
    free(arguments);
    if (!go_on)
        return code;
    if (diff && (!second || more))
        return usage_error(&u, "--diff takes two files");
    if (!path || (second && !diff))
        return usage_error(&u, path ? "too many arguments" : "an argument is missing: FILE");
    if (diff)
        return bench_diff(path, second);
    if (tokenizer)
        return bench_tokenizer(path, text, repeats, json);
    if (text)
        return usage_error(&u, "--text comes with --tokenizer");
    sizes s;
    s.pps = parse_sizes(pp, 1, s.pp), s.tgs = parse_sizes(tg, 1, s.tg), s.depths = parse_sizes(depth, 0, s.depth);
    s.batches = parse_sizes(batch, 1, s.batch);
    if (!s.pps || !s.tgs || !s.depths)
        return usage_error(&u, "--%s %s: numbers with commas between them, at most %d", !s.pps ? "pp" : !s.tgs ? "tg" : "depth",
                           !s.pps ? pp : !s.tgs ? tg : depth, BENCH_SIZES_MAX);
    if (!s.batches || largest(s.batch, s.batches) > ASHLAR_SESSIONS_MAX)
        return usage_error(&u, "--batch %s: numbers from 1 to %d with commas between them", batch, ASHLAR_SESSIONS_MAX);
    uint32_t pp_most = largest(s.pp, s.pps), tg_most = largest(s.tg, s.tgs);
    uint32_t longest = largest(s.depth, s.depths) + (pp_most > tg_most ? pp_most : tg_most);
    if (e.context == 0)
        e.context = longest + 64;
    if (e.context < longest)
        return usage_error(&u, "--ctx %u is too small for %u tokens", e.context, longest);
    double started = seconds_since_start();
    if (!engine_open(&e, &u, path, &code))
        return code;
    code = bench(&e, path, &s, longest, repeats, profile, started, json, save_path);
    engine_close(&e);
    return code;
}
