#include "quant/parallel.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS_MAX 256

typedef struct work {
    ash_unit_fn *fn;
    void *context;
    int64_t count;
    atomic_llong next;
} work;

static void *worker(void *context)
{
    work *w = context;
    for (int64_t unit; (unit = atomic_fetch_add(&w->next, 1)) < w->count;)
        w->fn(w->context, unit);
    return NULL;
}

void ash_parallel(uint32_t threads, int64_t count, ash_unit_fn *fn, void *context)
{
    work w = { .fn = fn, .context = context, .count = count };
    pthread_t ids[THREADS_MAX];
    uint32_t started = 0, wanted = threads > THREADS_MAX ? THREADS_MAX : threads;
    while (started + 1 < wanted && started + 1 < count && pthread_create(&ids[started], NULL, worker, &w) == 0)
        started++;
    worker(&w);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
}
