/* Memory that is freed all at once: a template's nodes, a rendering's values. Zeroed, aligned to 16 bytes. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_ARENA_H
#define ASHLAR_RUNTIME_TEMPLATE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ash_arena_chunk ash_arena_chunk;
typedef struct ash_arena {
    ash_arena_chunk *chunks; /* the newest first: the only one with room */
    size_t used, total;      /* of the newest; of all */
    size_t limit;            /* total never exceeds it */
    bool over;               /* the limit, not the system, refused an allocation */
} ash_arena;

/* NULL when the limit or the system refuses. */
void *ash_arena_take(ash_arena *a, size_t bytes);
/* Makes the newest allocation longer, where it lies; false when `p` is not the newest or there is no room. */
bool ash_arena_extend(ash_arena *a, void *p, size_t old_bytes, size_t new_bytes);
void ash_arena_free(ash_arena *a);

#endif
