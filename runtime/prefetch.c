#include "runtime/prefetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* Read ahead or left out as a whole: the largest page that a file's memory has on most machines. In it: the places that
 * are looked at; and what one call of readahead asks for: a kernel cuts a larger request to the device's window, which is
 * seldom less than this. */
#define GROUP_BYTES (UINT64_C(2) << 20)
#define SAMPLE_BYTES (UINT64_C(256) << 10)
#define CALL_BYTES (UINT64_C(128) << 10)
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct ash_prefetch {
    int fd;
    const uint8_t *map;
    uint64_t from, first, end;
    uint64_t missing; /* bytes of the groups that were asked for */
    atomic_bool stop;
    pthread_t id;
};

static uint64_t page_of(uint64_t offset) { return offset - offset % (uint64_t)sysconf(_SC_PAGESIZE); }

void ash_prefetch_advise(const uint8_t *map, uint64_t from, uint64_t size)
{
    uint64_t page = page_of(from);
    if (size)
        madvise((void *)(uintptr_t)(map + page), from + size - page, MADV_HUGEPAGE);
}

/* Whether the page at `offset` is in memory; a file system that cannot tell says no. */
static bool in_memory(int fd, uint64_t offset)
{
    char byte;
    return preadv2(fd, &(struct iovec){ &byte, 1 }, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* Reads a group and maps it. Pages that readahead brings are the smallest, one by one; those that come with a fault are as
 * large as there is memory for, and the kernel reads one group beyond it meanwhile. */
static void bring(ash_prefetch *p, uint64_t at, uint64_t end)
{
    uint64_t page = page_of(at);
    if (p->map && madvise((void *)(uintptr_t)(p->map + page), end - page, MADV_POPULATE_READ) == 0)
        return;
    for (; at < end; at += CALL_BYTES)
        readahead(p->fd, (off64_t)at, end - at < CALL_BYTES ? end - at : CALL_BYTES);
}

static void go_through(ash_prefetch *p, uint64_t first, uint64_t last)
{
    for (uint64_t end; first < last && !atomic_load(&p->stop); first = end) {
        uint64_t at = first;
        end = (first / GROUP_BYTES + 1) * GROUP_BYTES; /* groups as large pages lie in the file */
        end = end < first || end > last ? last : end;
        while (at < end && in_memory(p->fd, at))
            at += SAMPLE_BYTES;
        if (at >= end)
            continue;
        p->missing += end - first;
        bring(p, first, end);
    }
}

static void *work(void *argument)
{
    ash_prefetch *p = argument;
    go_through(p, p->first, p->end);
    go_through(p, p->from, p->first);
    return NULL;
}

ash_prefetch *ash_prefetch_start(const char *path, const uint8_t *map, uint64_t from, uint64_t size, uint64_t first)
{
    ash_prefetch *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    p->map = map;
    p->from = from;
    p->end = from + size;
    p->first = first >= from && first < p->end ? first : from;
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
