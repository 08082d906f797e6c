/* What filters and methods share: the work on strings that exists in both forms, keys and orders. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_BUILTIN_H
#define ASHLAR_RUNTIME_TEMPLATE_BUILTIN_H

#include "runtime/template/call.h"
#include "runtime/template/letters.h"
#include "runtime/template/strings.h"

/* Replaces the first `limit` (below 0: all) places. */
ash_status ash_string_replace(ash_run *r, const ash_string *s, const ash_string *old, const ash_string *with,
                              int64_t limit, const ash_string **out);
ash_status ash_string_pad(ash_run *r, const ash_string *s, int64_t width, const ash_string *fill, bool left, bool right,
                          const ash_string **out);
/* Lines without their ends, or with them. */
ash_status ash_string_lines(ash_run *r, const ash_string *s, bool keep_ends, ash_values *out);
/* separator.join(items); `convert`: anything goes through str(), otherwise only strings may be joined. */
ash_status ash_string_join_all(ash_run *r, const ash_string *separator, const ash_value *items, uint32_t count,
                               bool convert, const ash_string **out);
ash_status ash_give_string(ash_run *r, const ash_string *s, ash_value *out); /* as a value */

/* What `attribute` ("a.b.0", a number, or MISSING: the item itself) names on an item; absent: `fallback`, if given. */
ash_status ash_key_of(ash_run *r, ash_value item, ash_value attribute, ash_value fallback, ash_value *out);
/* The same, lower case where it is a string and `cased` is false. */
ash_status ash_sort_key(ash_run *r, ash_value item, ash_value attribute, bool cased, ash_value *out);
/* Stable. keys[i] belongs to items[i]; both are reordered. */
ash_status ash_sort(ash_run *r, ash_value *keys, ash_value *items, uint32_t count, bool backwards);

extern const ash_builtin ash_item_filters[]; /* those on sequences */

#endif
