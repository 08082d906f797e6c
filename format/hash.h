/* XXH3-128, seed 0 (xxHash), as the container uses it. */
#ifndef ASHLAR_FORMAT_HASH_H
#define ASHLAR_FORMAT_HASH_H

#include <stdbool.h>
#include <stddef.h>

#include "format/container.h"

typedef struct ash_hasher ash_hasher; /* streaming state */

ash_hash128 ash_hash(const void *bytes, size_t size);
bool ash_hash_equal(ash_hash128 a, ash_hash128 b);
/* 32 lower-case hex digits and a NUL, high word first as `xxhsum -H2` prints it. */
void ash_hash_text(ash_hash128 hash, char out[33]);

/* NULL when out of memory. ash_hasher_digest may be called at any time; reset starts over. */
ash_hasher *ash_hasher_new(void);
void ash_hasher_reset(ash_hasher *h);
void ash_hasher_update(ash_hasher *h, const void *bytes, size_t size);
ash_hash128 ash_hasher_digest(const ash_hasher *h);
void ash_hasher_free(ash_hasher *h);

#endif
