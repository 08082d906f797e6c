/* A team of threads for one session. Thread 0 is the caller; the others are created once, spin briefly for the next
 * piece of work and then sleep, so an idle session burns no CPU and a decode loop pays no wake-up.
 *
 * ash_pool_run calls fn(context, thread) once on every thread and returns when all have returned. Inside, phases
 * are divided by ash_pool_barrier (which every thread must call), and the units of a phase are handed out
 * by ash_pool_take. With one thread nothing is atomic-heavy and nothing waits.
 */
#ifndef ASHLAR_RUNTIME_THREADS_H
#define ASHLAR_RUNTIME_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "format/status.h"

#define ASH_THREADS_MAX 256

typedef struct ash_pool ash_pool;
typedef void ash_pool_fn(void *context, uint32_t thread);

/* Processors that this process may use: its affinity mask, and its cgroup's CPU quota rounded up. At least 1. */
uint32_t ash_cpu_count(void);

/* 1 to ASH_THREADS_MAX threads. */
ash_status ash_pool_new(uint32_t threads, ash_pool **out, ash_error *err);
void ash_pool_free(ash_pool *pool); /* not while it runs; NULL is fine */
uint32_t ash_pool_threads(const ash_pool *pool);

/* Not reentrant: one caller at a time. */
void ash_pool_run(ash_pool *pool, ash_pool_fn *fn, void *context);

/* Ends a phase: what any thread wrote before it is seen by all after it, and all units are to be taken again. */
void ash_pool_barrier(ash_pool *pool);

/* Takes units [*first, *first + *count), below `total` < 2^32, that nobody has taken in this phase; false when none are
 * left. A thread goes through its own share in order, so that what it reads lies in a row, and then helps others with
 * theirs; that of thread t of n begins at total * t / n. Early pieces are large and late ones small (never under `least`,
 * but for a share's last), at most `most`. Every thread of a phase passes the same total, least and most; `thread` is its
 * own, or 0 of all, which then take everything in order. */
bool ash_pool_take(ash_pool *pool, uint32_t thread, int64_t total, int64_t least, int64_t most, int64_t *first,
                   int64_t *count);

#endif
