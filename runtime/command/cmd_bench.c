/* ashlar bench: load, prefill and decode; with --tokenizer the tokenizer alone. */
#include <stdlib.h>

#include "runtime/command/engine.h"

enum { REPEATS_MAX = 99 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* Token ids that only have to be valid: a fixed linear congruential sequence. */
static void fill_ids(int32_t *ids, size_t count, uint32_t vocab, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        ids[i] = (int32_t)((uint64_t)seed * vocab >> 32);
    }
}

static int measure(engine *e, const int32_t *ids, uint32_t pp, uint32_t tg, uint32_t depth, uint32_t repeats, double *pp_rate,
                   double *tg_rate, ashlar_error *err)
{
    double pp_all[REPEATS_MAX], tg_all[REPEATS_MAX], started;
    ashlar_session_rewind(e->session, 0, err);
    int status = ashlar_session_feed(e->session, ids, pp < 64 ? pp : 64, 0, err); /* warm-up */
    for (uint32_t r = 0; status == ASHLAR_OK && r < repeats; r++) {
        ashlar_session_rewind(e->session, 0, err);
        started = seconds_now();
        status = ashlar_session_feed(e->session, ids, pp, 0, err);
        pp_all[r] = pp / (seconds_now() - started);
    }
    for (uint32_t r = 0; status == ASHLAR_OK && r < repeats; r++) {
        ashlar_session_rewind(e->session, 0, err);
        if (depth)
            status = ashlar_session_feed(e->session, ids, depth, 0, err);
        started = seconds_now();
        for (uint32_t i = 0; status == ASHLAR_OK && i < tg; i++)
            status = ashlar_session_feed(e->session, ids + i, 1, 0, err);
        tg_all[r] = tg / (seconds_now() - started);
    }
    if (status == ASHLAR_OK)
        *pp_rate = median(pp_all, repeats), *tg_rate = median(tg_all, repeats);
    return status;
}

int verb_bench(int argc, char **argv)
{
    engine e;
    engine_defaults(&e);
    const char *path, *text = NULL;
    uint32_t pp = 512, tg = 64, depth = 0, repeats = 3;
    bool json = false, tokenizer = false;
    const option options[] = {
        { "--tokenizer", NULL, OPTION_FLAG, &tokenizer, 0, 0, "measure the tokenizer alone, on one thread" },
        { "--text", "FILE", OPTION_STRING, &text, 0, 0, "with --tokenizer: what it reads; default: some English" },
        { "--pp", "N", OPTION_U32, &pp, 1, 1 << 20, "tokens of prompt to measure" },
        { "--tg", "N", OPTION_U32, &tg, 1, 1 << 20, "tokens to decode" },
        { "--depth", "N", OPTION_U32, &depth, 0, 1 << 20, "tokens in the context before decoding" },
        { "--repeat", "N", OPTION_U32, &repeats, 1, REPEATS_MAX, "how often; the median counts" },
        ENGINE_OPTIONS(e),
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object" },
    };
    static const usage u = { "bench", "FILE", "Measures load, prefill and decode, or the tokenizer, on this machine.", NULL, 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (tokenizer)
        return bench_tokenizer(path, text, repeats, json);
    if (text)
        return usage_error(&u, "--text comes with --tokenizer");
    uint32_t longest = pp > depth + tg ? pp : depth + tg;
    if (e.context == 0)
        e.context = longest + 64;
    if (e.context < longest)
        return usage_error(&u, "--ctx %u is too small for %u tokens", e.context, longest);
    double started = seconds_since_start();
    if (!engine_open(&e, &u, path, &code))
        return code;
    ashlar_error err;
    double pp_rate = 0, tg_rate = 0, first_s = 0;
    int32_t *ids = malloc(longest * sizeof *ids);
    int status = ids ? ASHLAR_OK : ASHLAR_ERROR_MEMORY;
    if (!ids)
        err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory" };
    if (status == ASHLAR_OK) {
        fill_ids(ids, longest, e.info.vocab, 1);
        status = ashlar_session_feed(e.session, ids, 1, 0, &err);
        first_s = seconds_since_start() - started;
    }
    if (status == ASHLAR_OK)
        status = measure(&e, ids, pp, tg, depth, repeats, &pp_rate, &tg_rate, &err);
    free(ids);
    double gb_s = 1e-9 * (double)e.info.weight_bytes_per_token * tg_rate;
    if (status != ASHLAR_OK)
        code = fail_public(&err);
    else if (json)
        printf("{\"load_to_first_logits_s\":%.4f,\"pp\":%u,\"pp_tok_s\":%.2f,\"tg\":%u,\"depth\":%u,\"tg_tok_s\":%.2f,"
               "\"tg_gb_s\":%.3f,\"peak_rss_mib\":%ld}\n", first_s, pp, pp_rate, tg, depth, tg_rate, gb_s, peak_rss_mib());
    else
        printf("load to first logits  %8.3f s\nprefill %-6u        %8.1f tok/s\ndecode %-6u at %-5u %7.1f tok/s  %.1f GB/s of weights\n"
               "resident at most      %8ld MiB\n", first_s, pp, pp_rate, tg, depth, tg_rate, gb_s, peak_rss_mib());
    engine_close(&e);
    return code;
}
