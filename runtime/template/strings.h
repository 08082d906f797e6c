/* Strings with marks: building, cutting, comparing; and text forms of other values. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_STRINGS_H
#define ASHLAR_RUNTIME_TEMPLATE_STRINGS_H

#include "runtime/template/value.h"

/* Text under construction, in the rendering's arena. */
struct ash_builder {
    char *text;
    uint8_t *marks; /* NULL: all bytes so far are `input` */
    size_t bytes, room;
    bool input;
};
ash_status ash_builder_new(ash_run *r, size_t room, ash_builder **out);
ash_status ash_build(ash_run *r, ash_builder *b, const char *text, size_t bytes, bool input);
ash_status ash_build_string(ash_run *r, ash_builder *b, const ash_string *s);
ash_status ash_build_part(ash_run *r, ash_builder *b, const ash_string *s, size_t at, size_t bytes);
/* The mark of s's byte `at`, or of an empty string's own flag. */
bool ash_mark_at(const ash_string *s, size_t at);
/* Everything built so far is input as soon as one byte is. */
void ash_builder_blend(ash_builder *b);
ash_status ash_builder_string(ash_run *r, ash_builder *b, const ash_string **out);
ash_status ash_builder_value(ash_run *r, ash_builder *b, ash_value *out);

ash_status ash_string_new(ash_run *r, const char *text, size_t bytes, bool input, const ash_string **out); /* copied */
ash_status ash_string_value(ash_run *r, const char *text, size_t bytes, bool input, ash_value *out);
/* Bytes [at, at + bytes) of s, shared with it; cut gives s itself where that is all of it, part never does. */
ash_status ash_string_part(ash_run *r, const ash_string *s, size_t at, size_t bytes, const ash_string **out);
ash_status ash_string_cut(ash_run *r, const ash_string *s, size_t at, size_t bytes, const ash_string **out);
ash_status ash_string_join(ash_run *r, const ash_string *a, const ash_string *b, const ash_string **out);
ash_status ash_string_repeat(ash_run *r, const ash_string *s, int64_t times, const ash_string **out);

ash_status ash_run_count(ash_run *r, const ash_string *s); /* the steps of counting them, where that is still to do */
uint32_t ash_string_chars(const ash_string *s);              /* code points; a stray byte counts as one */
size_t ash_string_offset(const ash_string *s, uint32_t chars); /* bytes before that code point */
uint32_t ash_string_index(const ash_string *s, size_t offset); /* code points before that byte */
size_t ash_char_bytes(const char *text, size_t bytes, uint32_t *code); /* of the first character; never 0 */
bool ash_string_same(const ash_string *a, const ash_string *b);
int ash_string_order(const ash_string *a, const ash_string *b);
bool ash_string_is(const ash_string *s, const char *text);
/* Offset of the first (last) place of `what` within [from, to), or SIZE_MAX. */
size_t ash_string_find(const ash_string *s, const ash_string *what, size_t from, size_t to);
size_t ash_string_rfind(const ash_string *s, const ash_string *what, size_t from, size_t to);
bool ash_is_py_space(uint32_t code);
/* Without white space, or without the characters of `chars` (not NULL), at its sides. */
ash_status ash_string_strip(ash_run *r, const ash_string *s, const ash_string *chars, bool left, bool right,
                            const ash_string **out);

/* str() and repr(). */
ash_status ash_build_str(ash_run *r, ash_builder *b, ash_value v);
ash_status ash_build_repr(ash_run *r, ash_builder *b, ash_value v);
ash_status ash_to_string(ash_run *r, ash_value v, const ash_string **out); /* str(); a string is itself */
/* `indent` below 0: on one line. NULL separators: Python's. */
ash_status ash_to_json(ash_run *r, ash_value v, const ash_string *indent, const ash_string *item_separator,
                       const ash_string *key_separator, bool ascii, bool sort_keys, const ash_string **out);
ash_status ash_escape_html(ash_run *r, const ash_string *s, const ash_string **out);

/* "%d of %s" % values, and "{} of {}".format(...). */
struct ash_args;
ash_status ash_format_percent(ash_run *r, const ash_string *format, ash_value values, const ash_string **out);
ash_status ash_format_braces(ash_run *r, const ash_string *format, const struct ash_args *args, const ash_string **out);

#endif
