/* Sessions that decode side by side, for the rows of --batch. */
#include "runtime/command/bench.h"

int bench_batch_grow(bench_batch *b, engine *e, uint32_t count, ashlar_error *err)
{
    if (b->count == 0)
        b->session[b->count++] = e->session;
    ashlar_session_options o = e->options;
    o.threads = 1; /* the first one's threads do the work */
    for (; b->count < count; b->count++) {
        int status = ashlar_session_new(e->model, &o, &b->session[b->count], err);
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

void bench_batch_close(bench_batch *b)
{
    for (uint32_t i = 1; i < b->count; i++)
        ashlar_session_free(b->session[i]);
    b->count = 0;
}

int bench_batch_rewind(bench_batch *b, uint32_t count, uint32_t position, ashlar_error *err)
{
    int status = ASHLAR_OK;
    for (uint32_t i = 0; status == ASHLAR_OK && i < count; i++)
        status = ashlar_session_rewind(b->session[i], position, err);
    return status;
}

int bench_batch_depth(bench_batch *b, uint32_t count, const int32_t *ids, uint32_t depth, ashlar_error *err)
{
    int status = bench_batch_rewind(b, count, 0, err);
    for (uint32_t i = 0; status == ASHLAR_OK && i < count && depth; i++)
        status = ashlar_session_feed(b->session[i], ids, depth, 0, err);
    return status;
}

int bench_batch_step(bench_batch *b, uint32_t count, const int32_t *ids, uint32_t t, uint32_t tokens, ashlar_error *err)
{
    int32_t next[ASHLAR_SESSIONS_MAX];
    for (uint32_t i = 0; i < count; i++)
        next[i] = ids[(t + i) % tokens];
    return count == 1 ? ashlar_session_feed(b->session[0], next, 1, 0, err)
                      : ashlar_sessions_feed(b->session, count, next, err);
}

int bench_batch_decode(bench_batch *b, uint32_t count, const int32_t *ids, uint32_t tokens, ashlar_error *err)
{
    int status = ASHLAR_OK;
    for (uint32_t t = 0; status == ASHLAR_OK && t < tokens; t++)
        status = bench_batch_step(b, count, ids, t, tokens, err);
    return status;
}
