/* Case and classes of characters, as Python's str has them. Marks stay with their characters. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_LETTERS_H
#define ASHLAR_RUNTIME_TEMPLATE_LETTERS_H

#include "runtime/template/strings.h"

typedef enum ash_case { ASH_UPPER, ASH_LOWER, ASH_TITLE, ASH_CAPITALIZE, ASH_SWAP, ASH_FOLD } ash_case;
ash_status ash_string_case(ash_run *r, const ash_string *s, ash_case how, const ash_string **out);
/* A builder's own end: one part of s, its first letter upper and the rest lower. */
ash_status ash_build_capitalized(ash_run *r, ash_builder *b, const ash_string *s);

typedef enum ash_class {
    ASH_IS_ALPHA, ASH_IS_DIGIT, ASH_IS_DECIMAL, ASH_IS_NUMERIC, ASH_IS_ALNUM, ASH_IS_SPACE, ASH_IS_PRINTABLE,
    ASH_IS_ASCII, ASH_IS_UPPER, ASH_IS_LOWER, ASH_IS_TITLE, ASH_IS_IDENTIFIER
} ash_class;
/* isalpha() and its kin: over the whole string; false for an empty one, but for printable and ASCII. */
bool ash_string_is_all(const ash_string *s, ash_class what);
bool ash_is_printable(uint32_t code);

#endif
