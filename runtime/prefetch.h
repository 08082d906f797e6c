/* Brings a mapped file into memory ahead of its use, from a thread of its own: layers compute while later ones still come
 * from the disk. It goes through the range in the file's order from `first` on, and then through what lies before that.
 * All of it is a hint: what fails, fails silently, and pages then come when they are touched. Where the file is in memory
 * already the thread finds that out (a system call for each 256 KiB) and ends; what is not there is read in pages as large
 * as the file system has, which also map with a fault for each instead of one for each 64 KiB.
 */
#ifndef ASHLAR_RUNTIME_PREFETCH_H
#define ASHLAR_RUNTIME_PREFETCH_H

#include <stdint.h>

typedef struct ash_prefetch ash_prefetch;

/* Before any byte of [from, from + size) of the mapping `map` is touched: has what is missing read in large pages, where
 * the system grants them. Without this the few vectors that a load looks at, one in each layer, have the system fill the
 * memory around each of them with small ones. */
void ash_prefetch_advise(const uint8_t *map, uint64_t from, uint64_t size);

/* Bytes [from, from + size) of the file at `path`. `map`: the file's mapping from its byte 0, which has all of them and
 * stays until the thread has ended; NULL: none, the file is then read ahead alone. `first`: where to begin; outside of
 * the range: at `from`. Returns NULL: no memory, no thread or no such file. */
ash_prefetch *ash_prefetch_start(const char *path, const uint8_t *map, uint64_t from, uint64_t size, uint64_t first);
/* Waits for the thread, which leaves off what it has not asked for. NULL is fine. */
void ash_prefetch_stop(ash_prefetch *p);
/* Waits until all has been asked for; returns how many bytes were not in memory when their turn came. For tests. */
uint64_t ash_prefetch_finish(ash_prefetch *p);

#endif
