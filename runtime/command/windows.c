#include "runtime/command/windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/hash.h"

bool windows_open(windows *w, const ashlar_model *model, const char *path, uint32_t skip, uint32_t tokens,
                  uint32_t size)
{
    *w = (windows){ .bos = -1, .size = size };
    size_t bytes, opening_count;
    int32_t *opening;
    ashlar_error err;
    char *text = read_text(path, &bytes);
    if (!text)
        return false;
    ash_hash_text(ash_hash(text, bytes), w->hash);
    /* An empty text gives BOS alone, where the model begins with one. */
    int status = ashlar_tokenize(model, "", 0, ASHLAR_TOKENIZE_BOS, &opening, &opening_count, &err);
    if (status == ASHLAR_OK) {
        w->bos = opening_count ? opening[0] : -1;
        ashlar_free(opening);
        status = ashlar_tokenize(model, text, bytes, 0, &w->ids, &w->count, &err);
    }
    free(text);
    if (status != ASHLAR_OK) {
        fail_public(&err);
        return false;
    }
    size_t gone = skip < w->count ? skip : w->count;
    memmove(w->ids, w->ids + gone, (w->count - gone) * sizeof *w->ids);
    w->count = w->count - gone < tokens ? w->count - gone : tokens;
    return true;
}

void windows_close(windows *w)
{
    ashlar_free(w->ids);
    w->ids = NULL;
}

size_t windows_next(const windows *w, size_t *at, int32_t *out)
{
    size_t n = 0, left = w->count - *at, room = w->size - (w->bos >= 0);
    if (left == 0 || (left == 1 && w->bos < 0))
        return 0;
    if (w->bos >= 0)
        out[n++] = w->bos;
    size_t part = left < room ? left : room;
    memcpy(out + n, w->ids + *at, part * sizeof *out);
    *at += part;
    return n + part;
}

bool windows_fit(const windows *w, const ashlar_session *session)
{
    if (ashlar_session_context(session) >= w->size)
        return true;
    fail("windows of %u tokens need a context of as many: this one has %u; use --window or --ctx", w->size,
         ashlar_session_context(session));
    return false;
}

double log_sum_exp(const float *logits, uint32_t count, float *top, uint32_t *at)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)expf(logits[i] - logits[best]);
    *top = logits[best];
    if (at)
        *at = best;
    return log(sum) + (double)logits[best];
}
