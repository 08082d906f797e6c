/* UTF-8: checking, stepping, and decoding a stream of byte fragments. */
#include "runtime/utf8.h"

#include <string.h>
#include <utf8proc.h>

#include "runtime/tokenizer.h"

/* Bytes of a character by its first byte, 0 where none begins so, and the range of the second byte, which alone rules
 * out overlong forms (E0, F0), surrogates (ED) and codes above U+10FFFF (F4). */
static size_t lead(uint8_t b, uint8_t *low, uint8_t *high)
{
    *low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    *high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (b < 0x80)
        return 1;
    if (b < 0xc2 || b > 0xf4)
        return 0;
    return b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

size_t ash_utf8_char(const uint8_t *bytes, size_t size, uint32_t *code)
{
    if (size == 0)
        return 0;
    uint8_t low, high;
    size_t n = lead(bytes[0], &low, &high);
    if (n > size)
        return 0;
    uint32_t value = n == 1 ? bytes[0] : n == 2 ? bytes[0] & 0x1fu : n == 3 ? bytes[0] & 0x0fu : bytes[0] & 0x07u;
    for (size_t i = 1; i < n; i++) {
        if (i == 1 ? bytes[1] < low || bytes[1] > high : (bytes[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (bytes[i] & 0x3fu);
    }
    if (code)
        *code = value;
    return n;
}

size_t ash_utf8_last(const uint8_t *bytes, size_t size, uint32_t *code)
{
    for (size_t n = 1; n <= 4 && n <= size; n++)
        if ((bytes[size - n] & 0xc0) != 0x80)
            return ash_utf8_char(bytes + size - n, n, code) == n ? n : 0;
    return 0;
}

size_t ash_utf8_valid(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint64_t word;
        while (size - at >= sizeof word) {
            memcpy(&word, bytes + at, sizeof word);
            if (word & UINT64_C(0x8080808080808080))
                break;
            at += sizeof word;
        }
        size_t n = ash_utf8_char(bytes + at, size - at, NULL);
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

size_t ash_utf8_broken(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size && ash_utf8_char(bytes + at, size - at, NULL) == 0)
        at++;
    return at;
}

bool ash_utf8_ascii(const uint8_t *bytes, size_t size)
{
    uint8_t all = 0;
    for (size_t i = 0; i < size; i++)
        all |= bytes[i];
    return all < 0x80;
}

bool ash_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool ash_is_word(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* the joiners, and the circled and squared letters, which count as alphabetic */
        return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
               (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
    }
}

/* Bytes at the end that are the beginning of a character and could still be completed: 0 to 3. */
static size_t unfinished(const uint8_t *bytes, size_t size)
{
    for (size_t n = 1; n <= 3 && n <= size; n++) {
        uint8_t b = bytes[size - n], low, high;
        if ((b & 0xc0) == 0x80)
            continue;
        if (lead(b, &low, &high) <= n)
            return 0;
        return n == 1 || (bytes[size - n + 1] >= low && bytes[size - n + 1] <= high) ? n : 0;
    }
    return 0;
}

size_t ash_utf8_push(ash_utf8_stream *s, const char *bytes, size_t size, char *out)
{
    size_t held = s->held_bytes, total = held + size;
    memcpy(out, s->held, held);
    if (size != 0)
        memcpy(out + held, bytes, size);
    size_t keep = unfinished((const uint8_t *)out, total);
    memcpy(s->held, out + total - keep, keep);
    s->held_bytes = (uint32_t)keep;
    return total - keep;
}

size_t ash_utf8_flush(ash_utf8_stream *s, char out[8])
{
    size_t held = s->held_bytes;
    memcpy(out, s->held, held);
    s->held_bytes = 0;
    return held;
}
