/* ashlar perplexity: how well a model predicts a text.
 *
 * The text is tokenized without BOS; its first N ids are cut into windows of W - 1; each window runs with BOS before it
 * (where the model has one), and the negative log-likelihood of every id after BOS is summed. */
#include <math.h>
#include <stdlib.h>

#include "runtime/command/windows.h"

/* One window: the last id is only predicted, never fed. */
static int score_window(engine *e, const int32_t *ids, size_t count, double *nll, size_t *scored, ashlar_error *err)
{
    int status = ashlar_session_rewind(e->session, 0, err);
    for (size_t at = 0; status == ASHLAR_OK && at + 1 < count;) {
        size_t part = count - 1 - at < ASHLAR_ALL_LOGITS_MAX ? count - 1 - at : ASHLAR_ALL_LOGITS_MAX;
        status = ashlar_session_feed(e->session, ids + at, part, ASHLAR_FEED_ALL_LOGITS, err);
        for (size_t i = 0; status == ASHLAR_OK && i < part; i++, ++*scored) {
            const float *logits = ashlar_session_logits(e->session, i);
            float top;
            *nll += log_sum_exp(logits, e->info.vocab, &top, NULL) - (double)logits[ids[at + i + 1]];
        }
        at += part;
    }
    return status;
}

static int measure(engine *e, const windows *w, bool json)
{
    double nll = 0;
    size_t scored = 0, at = 0, n;
    ashlar_error err;
    progress p;
    if (!windows_fit(w, e->session))
        return EXIT_FAILED;
    int32_t *ids = malloc(w->size * sizeof *ids);
    if (!ids)
        return fail("out of memory");
    handle_interrupt();
    progress_start(&p, "perplexity");
    int status = ASHLAR_OK;
    while (status == ASHLAR_OK && !interrupted && (n = windows_next(w, &at, ids)) != 0) {
        status = score_window(e, ids, n, &nll, &scored, &err);
        if (p.terminal && isfinite(nll))
            fprintf(stderr, "\r\033[Kperplexity %.4f after %zu tokens", exp(nll / (double)scored), scored), p.shown = true;
    }
    free(ids);
    progress_end(&p);
    if (status != ASHLAR_OK)
        return fail_public(&err);
    if (interrupted)
        return fail("interrupted after %zu tokens", scored);
    if (scored == 0)
        return fail("the text has too few tokens to measure");
    double mean = nll / (double)scored;
    if (!isfinite(exp(mean)))
        return fail("the perplexity is not finite: the model's logits are broken, ashlar verify may say where");
    if (json)
        printf("{\"tokens\":%zu,\"nll\":%.9g,\"ppl\":%.9g}\n", scored, mean, exp(mean));
    else
        printf("perplexity %.4f over %zu tokens (%.0f tok/s)\n", exp(mean), scored, (double)scored / (seconds_now() - p.started));
    return EXIT_OK;
}

int verb_perplexity(int argc, char **argv)
{
    engine e;
    engine_defaults(&e);
    engine_may_use_cards(&e);
    const char *path, *text_path = NULL;
    uint32_t tokens = 1u << 30, window = 1024;
    bool json = false;
    const option options[] = {
        { "--text", "FILE", OPTION_STRING, &text_path, 0, 0, "the text; - is standard input" },
        { "--tokens", "N", OPTION_U32, &tokens, 2, 1 << 30, "only the first N ids of the text" },
        { "--window", "W", OPTION_U32, &window, 2, 1 << 20, "ids a window, BOS included" },
        ENGINE_OPTIONS(e),
        DEVICE_OPTIONS(e),
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object: tokens, nll, ppl" },
    };
    static const usage u = { "perplexity", "FILE --text FILE", "Measures how well a model predicts a text (lower is better).",
                             "The text is cut into windows; each begins with BOS, and every id after it is scored.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!text_path)
        return usage_error(&u, "--text FILE is missing");
    if (!engine_open(&e, &u, path, &code))
        return code;
    print_device(&e);
    windows w;
    code = EXIT_FAILED;
    if (windows_open(&w, e.model, text_path, 0, tokens, window)) {
        code = measure(&e, &w, json);
        windows_close(&w);
    }
    engine_close(&e);
    return code;
}
