/* The alphabet of byte-level BPE: every byte as one printable character, as tokenizer.json and GGUF spell tokens. */
#ifndef ASHLAR_CONVERT_BYTE_ALPHABET_H
#define ASHLAR_CONVERT_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ash_alphabet {
    uint16_t code[256];  /* of a byte; below 0x144: one or two bytes of UTF-8 */
    int16_t byte[0x144]; /* of a character, or -1 */
} ash_alphabet;

void ash_alphabet_make(ash_alphabet *a);
/* Undoes the alphabet; false when a character is outside it. `out` has room for size bytes. */
bool ash_alphabet_decode(const ash_alphabet *a, const char *text, size_t size, uint8_t *out, uint32_t *out_size);
/* Spells bytes; returns the length. `out` has room for 2 * size bytes. */
size_t ash_alphabet_encode(const ash_alphabet *a, const uint8_t *bytes, size_t size, char *out);

#endif
