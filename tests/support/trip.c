#include "tests/support/trip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/container.h"
#include "tests/support/container.h"

char trip_notes[4096];

static void keep_note(void *context, const char *line)
{
    (void)context;
    size_t at = strlen(trip_notes);
    snprintf(trip_notes + at, sizeof trip_notes - at, "%s\n", line);
}

void trip_convert(const char *source, const char *output, uint32_t type)
{
    ash_error err;
    ash_convert_options options = { .type = type, .force = true, .threads = 2 };
    assert_ok(ash_convert(source, output, &options, NULL, &err), &err);
}

ash_status trip_export(const char *ashlar, const char *gguf, ash_error *err)
{
    ash_export_options options = { .force = true, .note = keep_note };
    trip_notes[0] = '\0';
    return ash_export_gguf(ashlar, gguf, &options, err);
}

trip trip_go(const char *source, const char *name, uint32_t type)
{
    char file[96];
    ash_error err;
    trip t;
    snprintf(file, sizeof file, "%s.ashlar", name);
    t.ashlar = test_path(file);
    snprintf(file, sizeof file, "%s.gguf", name);
    t.gguf = test_path(file);
    trip_convert(source, t.ashlar, type);
    assert_ok(trip_export(t.ashlar, t.gguf, &err), &err);
    assert_ok(ash_gguf_open(t.gguf, &t.g, &err), &err);
    return t;
}

void trip_done(trip *t)
{
    ash_gguf_close(t->g);
    free(t->ashlar), free(t->gguf);
}

const ash_gguf_tensor *trip_tensor(const ash_gguf *g, const char *name)
{
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++)
        if (strcmp(ash_gguf_tensor_at(g, i)->name, name) == 0)
            return ash_gguf_tensor_at(g, i);
    return NULL;
}

uint8_t *trip_bytes(const ash_gguf *g, const char *name, const ash_gguf_tensor **out)
{
    const ash_gguf_tensor *t = trip_tensor(g, name);
    if (!t)
        fail_msg("no tensor %s", name);
    uint8_t *bytes = malloc(t->size);
    ash_error err;
    assert_ok(ash_gguf_read(g, t, 0, bytes, t->size, &err), &err);
    *out = t;
    return bytes;
}

uint64_t trip_u64(const ash_gguf *g, const char *key)
{
    uint64_t value = 0;
    if (!ash_gguf_get_u64(g, key, &value))
        fail_msg("no number %s", key);
    return value;
}

void assert_gguf_text(const ash_gguf *g, const char *key, const char *expected)
{
    ash_gguf_string s;
    if (!ash_gguf_get_string(g, key, &s) || s.size != strlen(expected) || memcmp(s.text, expected, s.size) != 0)
        fail_msg("%s is not %s", key, expected);
}

void assert_gguf_float(const ash_gguf *g, const char *key, double expected)
{
    double value = 0;
    if (!ash_gguf_get_f64(g, key, &value) || (float)value != (float)expected)
        fail_msg("%s is %.9g, not %.9g", key, value, expected);
}

void trip_damage(const uint8_t *bytes, size_t size, test_rng *rng, uint8_t *copy)
{
    ash_header header;
    const ash_section_record *s;
    memcpy(&header, bytes, sizeof header);
    do
        s = &header.sections[test_rng_below(rng, header.section_count)];
    while (s->id == ASH_SECTION_DATA || s->id == ASH_SECTION_HASHES || s->id == ASH_SECTION_META);
    memcpy(copy, bytes, size);
    for (uint64_t k = test_rng_below(rng, 3) + 1; k > 0; k--) {
        /* Mostly near the start: a tokenizer's header and first tokens count for more than its pool. */
        uint64_t range = test_rng_below(rng, 2) && s->size > 4096 ? 4096 : s->size;
        copy[s->offset + test_rng_below(rng, range)] ^= (uint8_t)(1u << test_rng_below(rng, 8));
    }
    test_container_rehash(copy, size, 1);
}
