/* A text as token windows, cut the way perplexity is measured: the first ids of the text, without BOS, in pieces, each
 * run from an empty context with BOS before it where the model has one. */
#ifndef ASHLAR_COMMAND_WINDOWS_H
#define ASHLAR_COMMAND_WINDOWS_H

#include "runtime/command/engine.h"

typedef struct windows {
    int32_t *ids; /* of the text; windows_close */
    size_t count;
    int32_t bos;  /* -1: none */
    uint32_t size; /* ids a window, BOS included */
    char hash[33]; /* of the whole text, XXH3-128 */
} windows;

/* Reads `path` ("-": standard input), leaves out its first `skip` ids and keeps at most `tokens`. Prints the error
 * itself; false then. */
bool windows_open(windows *w, const ashlar_model *model, const char *path, uint32_t skip, uint32_t tokens,
                  uint32_t size);
void windows_close(windows *w);
/* The window that begins at id *at of the text, into out[0 .. w->size); *at moves on. How many ids; 0 at the end (a
 * last id without BOS before it predicts nothing). */
size_t windows_next(const windows *w, size_t *at, int32_t *out);
/* False, with the error printed, when the session's context is too small for a window. */
bool windows_fit(const windows *w, const ashlar_session *session);

/* log sum exp of `count` floats; *top their largest, *at where it is first (may be NULL). */
double log_sum_exp(const float *logits, uint32_t count, float *top, uint32_t *at);

#endif
