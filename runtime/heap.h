/* A heap of candidate merges, for pieces of text that are too long for a search over all of them. */
#ifndef ASHLAR_RUNTIME_HEAP_H
#define ASHLAR_RUNTIME_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* A heap of rank << 32 | position, the smallest first. Each merge takes one out and puts at most two in, and there are
 * fewer than n merges: 2 n places are enough. An entry whose rank is no longer the one of its position is stale. */
typedef struct ash_heap { uint64_t *keys; size_t count; } ash_heap;

static inline void ash_heap_put(ash_heap *h, uint64_t key)
{
    size_t at = h->count++;
    for (; at > 0 && h->keys[(at - 1) / 2] > key; at = (at - 1) / 2)
        h->keys[at] = h->keys[(at - 1) / 2];
    h->keys[at] = key;
}

static inline uint64_t ash_heap_take(ash_heap *h)
{
    uint64_t top = h->keys[0], last = h->keys[--h->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->count; at = child) {
        child += child + 1 < h->count && h->keys[child + 1] < h->keys[child];
        if (h->keys[child] >= last)
            break;
        h->keys[at] = h->keys[child];
    }
    h->keys[at] = last;
    return top;
}

#endif
