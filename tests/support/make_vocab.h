/* A small TOKN section, built through ash_vocab_build: for tests and fuzzers that damage it. No cmocka here. */
#ifndef ASHLAR_TESTS_SUPPORT_MAKE_VOCAB_H
#define ASHLAR_TESTS_SUPPORT_MAKE_VOCAB_H

#include <stddef.h>
#include <stdint.h>

/* 256 bytes, a dozen merges, three added tokens (one special, one of white space, one normalized), NFC, and a split at
 * `expression` (PCRE2's syntax; NULL: GPT-2's). Returns malloc'd bytes, or NULL. */
uint8_t *make_vocab(const char *expression, size_t *size);

#endif
