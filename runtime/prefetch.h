/* Brings a file into memory ahead of its use, in the file's order, from a thread of its own: layers compute while later
 * ones still come from the disk. All of it is a hint: what fails, fails silently, and pages then come when they are
 * touched. Where the file is in memory already the thread finds that out (a system call for each 256 KiB) and ends.
 */
#ifndef ASHLAR_RUNTIME_PREFETCH_H
#define ASHLAR_RUNTIME_PREFETCH_H

#include <stdint.h>

typedef struct ash_prefetch ash_prefetch;

/* Bytes [from, from + size) of the file at `path`. NULL: no memory, no thread or no such file. */
ash_prefetch *ash_prefetch_start(const char *path, uint64_t from, uint64_t size);
/* Waits for the thread, which leaves off what it has not asked for. NULL is fine. */
void ash_prefetch_stop(ash_prefetch *p);
/* Waits until all has been asked for; returns how many bytes were not in memory. For tests. */
uint64_t ash_prefetch_finish(ash_prefetch *p);

#endif
