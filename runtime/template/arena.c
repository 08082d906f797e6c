#include "runtime/template/arena.h"

#include <stdlib.h>

#define ALIGN 16
#define FIRST_BYTES 8192 /* a short template renders within it */
#define CHUNK_BYTES (1u << 20)

struct ash_arena_chunk {
    ash_arena_chunk *next;
    size_t room;
    _Alignas(ALIGN) char bytes[];
};

static size_t rounded(size_t bytes) { return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

void *ash_arena_take(ash_arena *a, size_t bytes)
{
    if (bytes > a->limit) {
        a->over = true;
        return NULL;
    }
    bytes = rounded(bytes ? bytes : 1);
    if (!a->chunks || bytes > a->chunks->room - a->used) {
        size_t room = a->chunks ? 2 * a->chunks->room : FIRST_BYTES;
        room = room < CHUNK_BYTES ? room : CHUNK_BYTES;
        room = room > bytes ? room : bytes;
        if (room > a->limit - a->total)
            room = bytes;
        if (room > a->limit - a->total) {
            a->over = true;
            return NULL;
        }
        ash_arena_chunk *chunk = calloc(1, sizeof *chunk + room);
        if (!chunk)
            return NULL;
        chunk->room = room;
        chunk->next = a->chunks;
        a->chunks = chunk;
        a->total += room;
        a->used = 0;
    }
    void *p = a->chunks->bytes + a->used;
    a->used += bytes;
    return p;
}

bool ash_arena_extend(ash_arena *a, void *p, size_t old_bytes, size_t new_bytes)
{
    size_t old_used = rounded(old_bytes ? old_bytes : 1);
    if (!p || !a->chunks || old_used > a->used || (char *)p != a->chunks->bytes + a->used - old_used)
        return false;
    if (new_bytes > a->limit || rounded(new_bytes) > a->chunks->room - (a->used - old_used))
        return false;
    a->used += rounded(new_bytes) - old_used;
    return true;
}

void ash_arena_free(ash_arena *a)
{
    for (ash_arena_chunk *chunk = a->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *a = (ash_arena){ .limit = a->limit };
}
