/* Arithmetic on sizes that come from files. Each returns false on overflow and
 * then leaves *out unspecified; nothing here traps or wraps silently. */
#ifndef ASHLAR_FORMAT_CHECKED_H
#define ASHLAR_FORMAT_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ash_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool ash_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Rounds up to a multiple of `step` (a power of two is not required, zero is refused). */
static inline bool ash_round_up(uint64_t a, uint64_t step, uint64_t *out)
{
    if (step == 0)
        return false;
    uint64_t rest = a % step;
    return rest == 0 ? (*out = a, true) : ash_add(a, step - rest, out);
}

/* True when [offset, offset + size) lies inside [0, limit): by subtraction, so nothing can wrap. */
static inline bool ash_inside(uint64_t offset, uint64_t size, uint64_t limit)
{
    return offset <= limit && size <= limit - offset;
}

static inline uint64_t ash_div_up(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

#endif
