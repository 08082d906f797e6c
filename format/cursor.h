/* A bounded reader over bytes in memory. A read past the end returns zeros and sets `bad`, which stays set, so a
 * parser may check once after a group of reads; lengths must be checked before they are used for allocation. */
#ifndef ASHLAR_FORMAT_CURSOR_H
#define ASHLAR_FORMAT_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct ash_cursor {
    const uint8_t *bytes;
    uint64_t size, at;
    bool bad;
} ash_cursor;

static inline ash_cursor ash_cursor_of(const void *bytes, uint64_t size)
{
    return (ash_cursor){ (const uint8_t *)bytes, size, 0, false };
}

static inline uint64_t ash_cursor_left(const ash_cursor *c) { return c->size - c->at; }

/* `n` bytes in place, or NULL (and bad) when fewer are left. */
static inline const uint8_t *ash_take(ash_cursor *c, uint64_t n)
{
    if (c->bad || n > c->size - c->at) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *p = c->bytes + c->at;
    c->at += n;
    return p;
}

/* The hosts we build for are little-endian, as the files are. */
#define ASH_TAKE_(name, type)                       \
    static inline type ash_take_##name(ash_cursor *c) \
    {                                               \
        type value = 0;                             \
        const uint8_t *p = ash_take(c, sizeof value); \
        if (p)                                      \
            memcpy(&value, p, sizeof value);        \
        return value;                               \
    }
ASH_TAKE_(u8, uint8_t)
ASH_TAKE_(u16, uint16_t)
ASH_TAKE_(u32, uint32_t)
ASH_TAKE_(u64, uint64_t)
#undef ASH_TAKE_

#endif
