/* Strict UTF-8 (no surrogates, no overlong forms, nothing above U+10FFFF) and the two character classes that added
 * tokens ask for. */
#ifndef ASHLAR_RUNTIME_UTF8_H
#define ASHLAR_RUNTIME_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at the start, 0 when it is none. *code may be NULL. */
size_t ash_utf8_char(const uint8_t *bytes, size_t size, uint32_t *code);
/* Bytes of the character that ends at the end; 0 when it is none. */
size_t ash_utf8_last(const uint8_t *bytes, size_t size, uint32_t *code);
/* Length of the longest prefix that consists of whole characters. */
size_t ash_utf8_valid(const uint8_t *bytes, size_t size);
/* Length of the longest prefix in which no character starts anywhere. */
size_t ash_utf8_broken(const uint8_t *bytes, size_t size);
bool ash_utf8_ascii(const uint8_t *bytes, size_t size);

bool ash_is_space(uint32_t code); /* Unicode White_Space */
bool ash_is_word(uint32_t code);  /* letters, marks, decimal digits, connectors, joiners */

#endif
