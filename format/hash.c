#include "format/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

/* XXH3_state_t is over-aligned (64 bytes): only XXH3_createState may allocate it, so the wrapper is the state itself
 * under another name. */
static XXH3_state_t *state_of(const ash_hasher *h) { return (XXH3_state_t *)(uintptr_t)h; }

static ash_hash128 of_xxh(XXH128_hash_t hash) { return (ash_hash128){ hash.low64, hash.high64 }; }

/* An empty input may come as NULL, which memcpy inside XXH3 must not see. */
static const void *never_null(const void *bytes) { return bytes ? bytes : ""; }

ash_hash128 ash_hash(const void *bytes, size_t size)
{
    return of_xxh(XXH3_128bits(never_null(bytes), size));
}

bool ash_hash_equal(ash_hash128 a, ash_hash128 b) { return a.low == b.low && a.high == b.high; }

void ash_hash_text(ash_hash128 hash, char out[33])
{
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
}

ash_hasher *ash_hasher_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state)
        XXH3_128bits_reset(state);
    return (ash_hasher *)state;
}

void ash_hasher_reset(ash_hasher *h) { XXH3_128bits_reset(state_of(h)); }

void ash_hasher_update(ash_hasher *h, const void *bytes, size_t size)
{
    XXH3_128bits_update(state_of(h), never_null(bytes), size);
}

ash_hash128 ash_hasher_digest(const ash_hasher *h) { return of_xxh(XXH3_128bits_digest(state_of(h))); }

void ash_hasher_free(ash_hasher *h)
{
    if (h)
        XXH3_freeState(state_of(h));
}
