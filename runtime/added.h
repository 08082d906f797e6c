/* Texts that are looked for before anything else: added tokens and symbols. */
#ifndef ASHLAR_RUNTIME_ADDED_H
#define ASHLAR_RUNTIME_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

typedef struct ash_added {
    const uint8_t *bytes; /* in the mapping, or `own` */
    uint8_t *own;
    size_t size;
    uint32_t id, flags;   /* ASH_ADDED_* */
} ash_added;

/* Sorted by bytes. */
typedef struct ash_added_set {
    ash_added *items;
    uint32_t count;
    uint32_t first[256], end[256]; /* items that begin with this byte; end 0: none */
    bool plain[256];               /* one of them is not special */
    size_t longest_bytes;
} ash_added_set;

/* Takes over `items` (malloc, also on failure; *own likewise): without empty texts, and of equal ones the lowest id. */
void ash_added_set_make(ash_added_set *set, ash_added *items, uint32_t count);
void ash_added_set_free(ash_added_set *set);
/* The longest item that the text begins with, or NULL. size is at least 1. */
const ash_added *ash_added_longest(const ash_added_set *set, const uint8_t *text, size_t size);

#endif
