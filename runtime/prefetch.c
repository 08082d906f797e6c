#include "runtime/prefetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* Read ahead or left out as a whole; the places in it that are looked at; and what one call asks for: a kernel cuts a
 * larger request to the device's window, which is seldom less than this. */
#define GROUP_BYTES (UINT64_C(1) << 20)
#define SAMPLE_BYTES (UINT64_C(256) << 10)
#define CALL_BYTES (UINT64_C(128) << 10)

struct ash_prefetch {
    int fd;
    uint64_t at, end;
    uint64_t missing; /* bytes of the groups that were asked for */
    atomic_bool stop;
    pthread_t id;
};

/* Whether the page at `offset` is in memory; a file system that cannot tell says no. */
static bool in_memory(int fd, uint64_t offset)
{
    char byte;
    return preadv2(fd, &(struct iovec){ &byte, 1 }, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

static void *work(void *argument)
{
    ash_prefetch *p = argument;
    for (; p->at < p->end && !atomic_load(&p->stop); p->at += GROUP_BYTES) {
        uint64_t end = p->end - p->at < GROUP_BYTES ? p->end : p->at + GROUP_BYTES, at = p->at;
        while (at < end && in_memory(p->fd, at))
            at += SAMPLE_BYTES;
        if (at >= end)
            continue;
        p->missing += end - p->at;
        for (at = p->at; at < end; at += CALL_BYTES)
            readahead(p->fd, (off64_t)at, end - at < CALL_BYTES ? end - at : CALL_BYTES);
    }
    return NULL;
}

ash_prefetch *ash_prefetch_start(const char *path, uint64_t from, uint64_t size)
{
    ash_prefetch *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    p->at = from;
    p->end = from + size;
    /* Signals go to the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = p->fd < 0 || p->end < from || pthread_create(&p->id, NULL, work, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return p;
    if (p->fd >= 0)
        close(p->fd);
    free(p);
    return NULL;
}

uint64_t ash_prefetch_finish(ash_prefetch *p)
{
    if (!p)
        return 0;
    pthread_join(p->id, NULL);
    uint64_t missing = p->missing;
    close(p->fd);
    free(p);
    return missing;
}

void ash_prefetch_stop(ash_prefetch *p)
{
    if (p)
        atomic_store(&p->stop, true);
    ash_prefetch_finish(p);
}
