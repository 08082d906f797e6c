/* cJSON with its edges taken off: for JSON that comes from files.
 *
 * cJSON cuts strings at \u0000, accepts duplicate keys, clips integers and recurses per nesting level.
 * ash_json_parse refuses: sizes over `limit`, NUL (raw or escaped), duplicate keys in any object, nesting over 64,
 * trailing bytes other than whitespace, invalid UTF-8, and what JSON's grammar forbids but cJSON lets pass (numbers such
 * as 01 or 1., control characters); more than 8 Mi values (cJSON spends 80 bytes on each). A byte order mark is skipped.
 */
#ifndef ASHLAR_FORMAT_JSON_H
#define ASHLAR_FORMAT_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "format/status.h"

/* *out is freed with cJSON_Delete. `text` need not be NUL-terminated. */
ash_status ash_json_parse(const char *text, size_t size, size_t limit, cJSON **out, ash_error *err);
/* Reads a whole file of at most `limit` bytes and parses it; errors name the file. */
ash_status ash_json_read_file(const char *path, size_t limit, cJSON **out, ash_error *err);

/* Exact: true only for a number that is an integer in [0, 2^53]. */
bool ash_json_u64(const cJSON *item, uint64_t *out);
/* Member lookups by exact, case-sensitive name; NULL when absent or when `object` is no object. */
const cJSON *ash_json_get(const cJSON *object, const char *key);
const char *ash_json_string(const cJSON *object, const char *key); /* NULL unless a string */

/* Writing. Text in quotes, its UTF-8 as it is. */
void ash_json_put_string(FILE *out, const char *text, size_t size);
/* A float in as few digits as bring it back, never as an integer; false when out of memory. */
bool ash_json_add_float(cJSON *object, const char *key, float value);

#endif
