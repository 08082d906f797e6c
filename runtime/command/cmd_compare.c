/* ashlar compare: how far a model's predictions are from another's.
 *
 * Both run over the same windows (see windows.h), and at every scored place the whole distributions are compared:
 * KL(A || B) = sum over the vocabulary of p_A (log p_A - log p_B). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/command/windows.h"
#include "runtime/model.h"
#include "runtime/session.h"

/* Of one place. */
typedef struct place {
    double kl, nll_a, nll_b;
    bool same_top;
} place;

typedef struct comparison {
    engine a, b;
    uint32_t vocab;
    place places[ASHLAR_ALL_LOGITS_MAX]; /* of the batch at work */
    const int32_t *next;                 /* the id that follows each */
    int64_t count;
    double kl, nll_a, nll_b, kl_max;
    size_t scored, same_top;
} comparison;

static void compare_place(const comparison *c, size_t i, place *out)
{
    const float *a = ashlar_session_logits(c->a.session, i), *b = ashlar_session_logits(c->b.session, i);
    float top_a, top_b;
    uint32_t at_a, at_b;
    double norm_a = log_sum_exp(a, c->vocab, &top_a, &at_a), norm_b = log_sum_exp(b, c->vocab, &top_b, &at_b);
    double kl = 0;
    for (uint32_t v = 0; v < c->vocab; v++)
        kl += (double)expf((float)(a[v] - norm_a)) * ((double)a[v] - (double)b[v]);
    /* The weights sum to 1 but for rounding, so the norms' difference is taken once. A logit of -inf in both is
     * 0 * NaN above; models have none. */
    *out = (place){ .kl = kl - norm_a + norm_b, .nll_a = norm_a - (double)a[c->next[i]],
                    .nll_b = norm_b - (double)b[c->next[i]], .same_top = at_a == at_b };
}

static void compare_thread(void *context, uint32_t thread)
{
    comparison *c = context;
    int64_t first, count;
    while (ash_pool_take(c->b.session->pool, thread, c->count, 1, 8, &first, &count))
        for (int64_t i = first; i < first + count; i++)
            compare_place(c, (size_t)i, &c->places[i]);
}

static int compare_window(comparison *c, const int32_t *ids, size_t count, ashlar_error *err)
{
    int status = ashlar_session_rewind(c->a.session, 0, err);
    if (status == ASHLAR_OK)
        status = ashlar_session_rewind(c->b.session, 0, err);
    for (size_t at = 0; status == ASHLAR_OK && at + 1 < count;) {
        size_t part = count - 1 - at < ASHLAR_ALL_LOGITS_MAX ? count - 1 - at : ASHLAR_ALL_LOGITS_MAX;
        status = ashlar_session_feed(c->a.session, ids + at, part, ASHLAR_FEED_ALL_LOGITS, err);
        if (status == ASHLAR_OK)
            status = ashlar_session_feed(c->b.session, ids + at, part, ASHLAR_FEED_ALL_LOGITS, err);
        if (status != ASHLAR_OK)
            break;
        c->next = ids + at + 1;
        c->count = (int64_t)part;
        ash_pool_run(c->b.session->pool, compare_thread, c);
        /* In order, so that the sums do not depend on the threads. */
        for (size_t i = 0; i < part; i++) {
            c->kl += c->places[i].kl;
            c->nll_a += c->places[i].nll_a;
            c->nll_b += c->places[i].nll_b;
            c->kl_max = c->places[i].kl > c->kl_max ? c->places[i].kl : c->kl_max;
            c->same_top += c->places[i].same_top;
        }
        c->scored += part;
        at += part;
    }
    return status;
}

static int measure(comparison *c, const windows *w, bool json)
{
    size_t at = 0, n;
    ashlar_error err;
    progress p;
    if (!windows_fit(w, c->a.session) || !windows_fit(w, c->b.session))
        return EXIT_FAILED;
    int32_t *ids = malloc(w->size * sizeof *ids);
    if (!ids)
        return fail("out of memory");
    handle_interrupt();
    progress_start(&p, "compare");
    int status = ASHLAR_OK;
    while (status == ASHLAR_OK && !interrupted && (n = windows_next(w, &at, ids)) != 0) {
        status = compare_window(c, ids, n, &err);
        if (p.terminal && c->scored)
            fprintf(stderr, "\r\033[KKL divergence %.5f after %zu tokens", c->kl / (double)c->scored, c->scored),
                p.shown = true;
    }
    free(ids);
    progress_end(&p);
    if (status != ASHLAR_OK)
        return fail_public(&err);
    if (interrupted)
        return fail("interrupted after %zu tokens", c->scored);
    if (c->scored == 0)
        return fail("the text has too few tokens to measure");
    double n_scored = (double)c->scored, kl = c->kl / n_scored, same = (double)c->same_top / n_scored;
    double a = exp(c->nll_a / n_scored), b = exp(c->nll_b / n_scored);
    if (!isfinite(kl) || !isfinite(a) || !isfinite(b))
        return fail("the divergence is not finite: a model's logits are broken, ashlar verify may say where");
    if (json)
        printf("{\"tokens\":%zu,\"kl\":%.9g,\"kl_max\":%.9g,\"same_top\":%.9g,\"ppl_a\":%.9g,\"ppl_b\":%.9g}\n",
               c->scored, kl, c->kl_max, same, a, b);
    else
        printf("KL divergence %.5f (largest %.3f), the same first choice %.2f%%, perplexity %.4f and %.4f over %zu "
               "tokens (%.0f tok/s)\n", kl, c->kl_max, 100 * same, a, b, c->scored,
               n_scored / (seconds_now() - p.started));
    return EXIT_OK;
}

/* Two models can be compared when an id means the same in both. */
static bool same_vocabulary(const comparison *c, const char *name_a, const char *name_b)
{
    const ash_tokenizer *a = c->a.model->tokenizer, *b = c->b.model->tokenizer;
    if (c->a.info.vocab != c->b.info.vocab) {
        fail("%s has %u tokens and %s has %u: only models with one vocabulary can be compared", name_a,
             c->a.info.vocab, name_b, c->b.info.vocab);
        return false;
    }
    uint32_t count = a && b ? ash_tokenizer_count(a) : 0;
    bool same = !(a && b) || ash_tokenizer_count(b) == count;
    for (uint32_t i = 0; same && i < count; i++) {
        size_t size_a, size_b;
        const char *text_a = ash_tokenizer_bytes(a, (int32_t)i, &size_a);
        const char *text_b = ash_tokenizer_bytes(b, (int32_t)i, &size_b);
        same = size_a == size_b && memcmp(text_a, text_b, size_a) == 0;
        if (!same)
            fail("token %u is not the same in %s and %s: only models with one vocabulary can be compared", i, name_a,
                 name_b);
    }
    if (!same && ash_tokenizer_count(b) != count)
        fail("the tokenizers of %s and %s have %u and %u tokens: only models with one vocabulary can be compared",
             name_a, name_b, count, ash_tokenizer_count(b));
    return same;
}

int verb_compare(int argc, char **argv)
{
    static comparison c; /* large for a stack */
    c = (comparison){ 0 };
    engine_defaults(&c.a);
    const char *paths[2], *text_path = NULL;
    uint32_t tokens = 1u << 30, skip = 0, window = 1024;
    bool json = false;
    const option options[] = {
        { "--text", "FILE", OPTION_STRING, &text_path, 0, 0, "the text; - is standard input" },
        { "--skip", "N", OPTION_U32, &skip, 0, 1 << 30, "leaves out the first N ids of the text" },
        { "--tokens", "N", OPTION_U32, &tokens, 2, 1 << 30, "only N ids of the text" },
        { "--window", "W", OPTION_U32, &window, 2, 1 << 20, "ids a window, BOS included" },
        ENGINE_OPTIONS(c.a),
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object: tokens, kl, kl_max, same_top, ppl_a, ppl_b" },
    };
    static const usage u = { "compare", "A B --text FILE",
                             "Measures how far the predictions of model B are from those of model A.",
                             "Mean Kullback-Leibler divergence of B from A in nats, how often both have the same first "
                             "choice,\nand the perplexity of each, over windows as in ashlar perplexity.", 2 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, paths, &code))
        return code;
    if (!text_path)
        return usage_error(&u, "--text FILE is missing");
    c.b = c.a;
    if (!engine_open(&c.a, &u, paths[0], &code))
        return code;
    if (engine_open(&c.b, &u, paths[1], &code)) {
        windows w;
        code = EXIT_FAILED;
        c.vocab = c.a.info.vocab;
        if (same_vocabulary(&c, paths[0], paths[1]) &&
            windows_open(&w, (c.a.info.has_tokenizer ? &c.a : &c.b)->model, text_path, skip, tokens, window)) {
            code = measure(&c, &w, json);
            windows_close(&w);
        }
        engine_close(&c.b);
    }
    engine_close(&c.a);
    return code;
}
