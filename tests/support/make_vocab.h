/* Small TOKN sections, built through ash_vocab_build, for tests and fuzzers that use and damage them. No cmocka here. */
#ifndef ASHLAR_TESTS_SUPPORT_MAKE_VOCAB_H
#define ASHLAR_TESTS_SUPPORT_MAKE_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/vocab.h"

/* 256 bytes, a dozen merges, three added tokens (one special, one of white space, one normalized), NFC, and a split at
 * `expression` (PCRE2's syntax; NULL: GPT-2's). Returns malloc'd bytes, or NULL. */
uint8_t *make_vocab(const char *expression, size_t *size);

/* A vocabulary of characters for any other kind of model: token 0 is <unk>, 1 is <s> (special), 2 to 257 are the bytes,
 * then come `texts`, separated by spaces; a text with more than one character merges its two longest parts that are
 * texts before it, earlier texts first. Scores fall by 1 from -1 on; a text that begins with '!' is UNUSED (without the
 * mark), with '@' a symbol. */
typedef struct vocab_spec {
    uint32_t model, flags; /* ASH_VOCAB_* */
    const char *texts;     /* NULL: VOCAB_TEXTS */
    const ash_vocab_source_step *steps;
    uint32_t step_count;
    bool no_unk;
    const ash_vocab_source_added *added;
    uint32_t added_count;
} vocab_spec;
#define VOCAB_TEXTS                                                                                                    \
    "\u2581 a b c d e h i n t s . , \u00e9 \u4e2d \u0301 aa aaaa th an in \u2581a \u2581th \u2581the he the "          \
    "\u2581\u2581 \u2581\u2581\u2581\u2581 !en !then @<sym> @\u4e2dx"
uint8_t *make_vocab_of(const vocab_spec *spec, size_t *size);

/* The steps of one of VOCAB_CHAINS tokenizers: 0 has none. Returns how many; they live as long as the program. */
enum { VOCAB_CHAINS = 9 };
uint32_t vocab_chain(unsigned which, const ash_vocab_source_step **steps);

/* A character map in SentencePiece's form of key, value, key, value, ... NULL. Returns malloc'd bytes. */
uint8_t *make_charsmap(const char *const *pairs, size_t *size);

#endif
