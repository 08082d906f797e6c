/* ashlar perplexity: how well a model predicts a text.
 *
 * The text is tokenized without BOS; its first N ids are cut into windows of W - 1; each window runs with BOS before it
 * (where the model has one), and the negative log-likelihood of every id after BOS is summed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/command/engine.h"

/* -log softmax(logits)[id], in double. */
static double surprise(const float *logits, uint32_t vocab, int32_t id)
{
    float top = logits[0];
    for (uint32_t i = 1; i < vocab; i++)
        if (logits[i] > top)
            top = logits[i];
    double sum = 0;
    for (uint32_t i = 0; i < vocab; i++)
        sum += (double)expf(logits[i] - top);
    return log(sum) - ((double)logits[id] - (double)top);
}

/* One window of `count` ids after `bos` (-1: none, then the first id is not scored). */
static int score_window(engine *e, int32_t bos, const int32_t *ids, size_t count, double *nll, size_t *scored, ashlar_error *err)
{
    int32_t *all = malloc((count + 1) * sizeof *all);
    if (!all) {
        *err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory" };
        return err->status;
    }
    size_t n = 0;
    if (bos >= 0)
        all[n++] = bos;
    memcpy(all + n, ids, count * sizeof *ids);
    n += count;
    int status = ashlar_session_rewind(e->session, 0, err);
    /* The last id is only predicted, never fed. */
    for (size_t at = 0; status == ASHLAR_OK && at + 1 < n;) {
        size_t part = n - 1 - at < ASHLAR_ALL_LOGITS_MAX ? n - 1 - at : ASHLAR_ALL_LOGITS_MAX;
        status = ashlar_session_feed(e->session, all + at, part, ASHLAR_FEED_ALL_LOGITS, err);
        for (size_t i = 0; status == ASHLAR_OK && i < part; i++, ++*scored)
            *nll += surprise(ashlar_session_logits(e->session, i), e->info.vocab, all[at + i + 1]);
        at += part;
    }
    free(all);
    return status;
}

static int measure(engine *e, const int32_t *ids, size_t count, uint32_t window, bool json)
{
    double nll = 0;
    size_t scored = 0;
    int32_t bos = -1, *opening;
    size_t opening_count;
    ashlar_error err;
    progress p;
    /* An empty text gives BOS alone, where the model begins with one. */
    if (ashlar_tokenize(e->model, "", 0, ASHLAR_TOKENIZE_BOS, &opening, &opening_count, &err) != ASHLAR_OK)
        return fail_public(&err);
    if (opening_count)
        bos = opening[0];
    ashlar_free(opening);
    size_t step = window - (bos >= 0);
    if (ashlar_session_context(e->session) < window)
        return fail("windows of %u tokens need a context of as many: this one has %u; use --window or --ctx", window,
                    ashlar_session_context(e->session));
    handle_interrupt();
    progress_start(&p, "perplexity");
    for (size_t at = 0; at < count && (count - at > 1 || bos >= 0); at += step) {
        size_t part = count - at < step ? count - at : step;
        if (score_window(e, bos, ids + at, part, &nll, &scored, &err) != ASHLAR_OK) {
            progress_end(&p);
            return fail_public(&err);
        }
        if (interrupted)
            return fail("interrupted after %zu tokens", scored);
        if (p.terminal && isfinite(nll))
            fprintf(stderr, "\r\033[Kperplexity %.4f after %zu tokens", exp(nll / (double)scored), scored), p.shown = true;
    }
    progress_end(&p);
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
    const char *path, *text_path = NULL;
    uint32_t tokens = 1u << 30, window = 1024;
    bool json = false;
    const option options[] = {
        { "--text", "FILE", OPTION_STRING, &text_path, 0, 0, "the text; - is standard input" },
        { "--tokens", "N", OPTION_U32, &tokens, 2, 1 << 30, "only the first N ids of the text" },
        { "--window", "W", OPTION_U32, &window, 2, 1 << 20, "ids a window, BOS included" },
        ENGINE_OPTIONS(e),
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object: tokens, nll, ppl" },
    };
    static const usage u = { "perplexity", "FILE --text FILE", "Measures how well a model predicts a text (lower is better).",
                             "The text is cut into windows; each begins with BOS, and every id after it is scored.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!text_path)
        return usage_error(&u, "--text FILE is missing");
    size_t size, count;
    char *text = read_text(text_path, &size);
    if (!text)
        return EXIT_FAILED;
    if (!engine_open(&e, &u, path, &code)) {
        free(text);
        return code;
    }
    int32_t *ids;
    ashlar_error err;
    if (ashlar_tokenize(e.model, text, size, 0, &ids, &count, &err) != ASHLAR_OK) {
        code = fail_public(&err);
    } else {
        code = measure(&e, ids, count < tokens ? count : tokens, window, json);
        ashlar_free(ids);
    }
    free(text);
    engine_close(&e);
    return code;
}
