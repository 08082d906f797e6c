/* Buffers whose last byte lies against unmapped memory, and calls that may crash without ending the program. */
#ifndef ASHLAR_TESTS_SUPPORT_GUARD_H
#define ASHLAR_TESTS_SUPPORT_GUARD_H

#include <stddef.h>
#include <stdint.h>

typedef struct guard_buffer {
    void *p;       /* `size` bytes; p + size is where unmapped memory begins when `size` is a multiple of `align` */
    size_t size;
    void *map;     /* the whole mapping */
    size_t map_bytes;
} guard_buffer;

/* `align` is a power of two up to 4096. The bytes are GUARD_FILL: read as float it is a NaN, so that whoever
 * reads what was never written shows. GUARD_MARGIN bytes before the buffer's first page and behind its last one are
 * unmapped and nobody else's: only addresses, which cost nothing. */
#define GUARD_MARGIN 65536u
guard_buffer guard_alloc(size_t size, size_t align);
void guard_free(guard_buffer *b);

#define GUARD_FILL 0xff

/* Every byte of `b` becomes GUARD_FILL again, the slack before and behind it included. */
void guard_refill(const guard_buffer *b);
/* True when the slack before and behind the buffer still holds GUARD_FILL. */
int guard_slack_intact(const guard_buffer *b);

/* Runs fn(context); returns 0, or the signal (SIGSEGV, SIGBUS, SIGILL, SIGFPE) that it raised. */
int guard_run(void (*fn)(void *context), void *context);

#endif
