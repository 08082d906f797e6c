/* The way of a model from its source to an .ashlar file and on to a GGUF, and what that GGUF says. */
#ifndef ASHLAR_TESTS_SUPPORT_TRIP_H
#define ASHLAR_TESTS_SUPPORT_TRIP_H

#include "convert/convert.h"
#include "format/gguf.h"
#include "tests/support/support.h"

typedef struct trip {
    char *ashlar, *gguf; /* paths */
    ash_gguf *g;
} trip;

/* The notes of the last export, each with a line break. */
extern char trip_notes[4096];

void trip_convert(const char *source, const char *output, uint32_t type);
ash_status trip_export(const char *ashlar, const char *gguf, ash_error *err);
/* Both, as test_path(NAME.ashlar) and test_path(NAME.gguf), and opens the GGUF. */
trip trip_go(const char *source, const char *name, uint32_t type);
void trip_done(trip *t);

/* To `copy`: an .ashlar's bytes with one to three bits wrong in one of its sections, neither tensor data nor hashes nor META,
 * behind right checksums. */
void trip_damage(const uint8_t *bytes, size_t size, test_rng *rng, uint8_t *copy);

const ash_gguf_tensor *trip_tensor(const ash_gguf *g, const char *name); /* or NULL */
/* A tensor's bytes, malloc'd. */
uint8_t *trip_bytes(const ash_gguf *g, const char *name, const ash_gguf_tensor **out);
uint64_t trip_u64(const ash_gguf *g, const char *key);
void assert_gguf_text(const ash_gguf *g, const char *key, const char *expected);
void assert_gguf_float(const ash_gguf *g, const char *key, double expected);

#endif
