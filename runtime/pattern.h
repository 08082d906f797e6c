/* Expressions and literals to search text for: what SPLIT and REPLACE steps hold. */
#ifndef ASHLAR_RUNTIME_PATTERN_H
#define ASHLAR_RUNTIME_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

typedef struct ash_pattern ash_pattern; /* compiled, immutable, for several threads */
typedef struct ash_search ash_search;   /* memory and limits of one call's searches; serves any pattern */

/* PCRE2's syntax with the options UTF, UCP and MULTILINE and LF as the newline. index: of the step, for messages. */
ash_status ash_pattern_new(const uint8_t *text, size_t size, bool literal, uint32_t index, ash_pattern **out,
                           ash_error *err);
void ash_pattern_free(ash_pattern *p);
ash_status ash_search_new(ash_search **out, ash_error *err);
void ash_search_free(ash_search *s);
void ash_search_text(ash_search *s, size_t size); /* a text of `size` bytes is next: limits grow with it */

/* The matches in a text, one after another; zero-initialize. An empty match right behind the last match does not count,
 * and the search goes on one character later. */
typedef struct ash_scan {
    size_t start, end; /* of the match found */
    size_t at, last_end;
    bool started;
} ash_scan;
ash_status ash_scan_next(ash_scan *scan, ash_search *s, const ash_pattern *p, const uint8_t *text, size_t size,
                         bool *found, ash_error *err);

#endif
