#include "convert/byte_alphabet.h"

#include <string.h>

/* Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 and up. */
static bool printable(unsigned b) { return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae; }

void ash_alphabet_make(ash_alphabet *a)
{
    uint16_t next = 0x100;
    memset(a->byte, 0xff, sizeof a->byte);
    for (unsigned b = 0; b < 256; b++) {
        a->code[b] = printable(b) ? (uint16_t)b : next++;
        a->byte[a->code[b]] = (int16_t)b;
    }
}

bool ash_alphabet_decode(const ash_alphabet *a, const char *text, size_t size, uint8_t *out, uint32_t *out_size)
{
    const uint8_t *p = (const uint8_t *)text;
    uint32_t n = 0;
    for (size_t i = 0; i < size;) {
        unsigned code = p[i++];
        if (code >= 0x80) { /* all of the alphabet beyond ASCII takes two bytes */
            if (code < 0xc2 || code > 0xc5 || i == size || (p[i] & 0xc0) != 0x80)
                return false;
            code = (code & 0x1f) << 6 | (p[i++] & 0x3fu);
        }
        if (code >= 0x144 || a->byte[code] < 0)
            return false;
        out[n++] = (uint8_t)a->byte[code];
    }
    *out_size = n;
    return true;
}

size_t ash_alphabet_encode(const ash_alphabet *a, const uint8_t *bytes, size_t size, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned code = a->code[bytes[i]];
        if (code >= 0x80)
            out[n++] = (char)(0xc0 | code >> 6);
        out[n++] = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
    }
    return n;
}
