#include "runtime/template/strings.h"

#include <string.h>

#include "runtime/utf8.h"

/* ---- building ---- */

ash_status ash_builder_new(ash_run *r, size_t room, ash_builder **out)
{
    ASH_TRY(ash_run_alloc(r, sizeof **out, out));
    (*out)->room = room ? room : 16;
    return ash_run_alloc(r, (*out)->room, &(*out)->text);
}

/* Strings made earlier keep the old bytes: the arena frees nothing before the end. */
static ash_status make_room(ash_run *r, ash_builder *b, size_t bytes)
{
    if (bytes > TEMPLATE_OUTPUT_MAX - b->bytes)
        return ash_run_fail(r, ASH_E_LIMIT, "the template makes text of more than %u MiB", TEMPLATE_OUTPUT_MAX >> 20);
    if (bytes <= b->room - b->bytes)
        return ASH_OK;
    size_t room = b->bytes + bytes + (b->bytes + bytes) / 2;
    if (b->marks || !ash_arena_extend(&r->arena, b->text, b->room, room)) {
        char *text;
        ASH_TRY(ash_run_alloc(r, room, &text));
        memcpy(text, b->text, b->bytes);
        b->text = text;
    }
    if (b->marks) {
        uint8_t *marks;
        ASH_TRY(ash_run_alloc(r, room, &marks));
        memcpy(marks, b->marks, b->bytes);
        b->marks = marks;
    }
    b->room = room;
    return ASH_OK;
}

/* From here on every byte has a mark of its own. */
static ash_status spread_marks(ash_run *r, ash_builder *b)
{
    ASH_TRY(ash_run_alloc(r, b->room, &b->marks));
    memset(b->marks, b->input, b->bytes);
    return ASH_OK;
}

ash_status ash_build(ash_run *r, ash_builder *b, const char *text, size_t bytes, bool input)
{
    if (bytes == 0)
        return ASH_OK;
    ASH_TRY(ash_run_bytes(r, bytes));
    ASH_TRY(make_room(r, b, bytes));
    if (b->bytes == 0)
        b->input = input;
    if (!b->marks && b->input != input)
        ASH_TRY(spread_marks(r, b));
    memcpy(b->text + b->bytes, text, bytes);
    if (b->marks)
        memset(b->marks + b->bytes, input, bytes);
    b->bytes += bytes;
    return ASH_OK;
}

ash_status ash_build_part(ash_run *r, ash_builder *b, const ash_string *s, size_t at, size_t bytes)
{
    if (!s->marks || bytes == 0)
        return ash_build(r, b, s->text + at, bytes, s->input);
    ASH_TRY(ash_run_bytes(r, bytes));
    ASH_TRY(make_room(r, b, bytes));
    if (!b->marks)
        ASH_TRY(spread_marks(r, b));
    memcpy(b->text + b->bytes, s->text + at, bytes);
    memcpy(b->marks + b->bytes, s->marks + at, bytes);
    b->bytes += bytes;
    return ASH_OK;
}

ash_status ash_build_string(ash_run *r, ash_builder *b, const ash_string *s)
{
    return ash_build_part(r, b, s, 0, s->bytes);
}

bool ash_mark_at(const ash_string *s, size_t at) { return s->marks && at < s->bytes ? s->marks[at] : s->input; }

void ash_builder_blend(ash_builder *b)
{
    if (b->marks) {
        b->input = memchr(b->marks, 1, b->bytes);
        b->marks = NULL;
    }
}

ash_status ash_builder_string(ash_run *r, ash_builder *b, const ash_string **out)
{
    ash_string *s;
    ASH_TRY(ash_run_alloc(r, sizeof *s, &s));
    *s = (ash_string){ .text = b->text, .marks = b->marks, .tail = b, .bytes = (uint32_t)b->bytes,
                       .chars = UINT32_MAX, .input = b->input };
    *out = s;
    return ASH_OK;
}

ash_status ash_builder_value(ash_run *r, ash_builder *b, ash_value *out)
{
    *out = (ash_value){ .kind = ASH_V_STRING };
    return ash_builder_string(r, b, &out->s);
}

ash_status ash_string_new(ash_run *r, const char *text, size_t bytes, bool input, const ash_string **out)
{
    ash_string *s;
    char *copy;
    if (bytes > TEMPLATE_OUTPUT_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "a string of more than %u MiB", TEMPLATE_OUTPUT_MAX >> 20);
    ASH_TRY(ash_run_bytes(r, bytes));
    ASH_TRY(ash_run_alloc(r, sizeof *s + bytes, &s));
    copy = (char *)(s + 1);
    if (bytes)
        memcpy(copy, text, bytes);
    *s = (ash_string){ .text = copy, .bytes = (uint32_t)bytes, .chars = UINT32_MAX, .input = input };
    *out = s;
    return ASH_OK;
}

ash_status ash_string_value(ash_run *r, const char *text, size_t bytes, bool input, ash_value *out)
{
    *out = (ash_value){ .kind = ASH_V_STRING };
    return ash_string_new(r, text, bytes, input, &out->s);
}

ash_status ash_string_part(ash_run *r, const ash_string *s, size_t at, size_t bytes, const ash_string **out)
{
    ash_string *part;
    ASH_TRY(ash_run_alloc(r, sizeof *part, &part));
    *part = (ash_string){ .text = s->text + at, .marks = s->marks ? s->marks + at : NULL, .bytes = (uint32_t)bytes,
                          .chars = UINT32_MAX, .input = s->input, .markup = s->markup };
    *out = part;
    return ASH_OK;
}

ash_status ash_string_cut(ash_run *r, const ash_string *s, size_t at, size_t bytes, const ash_string **out)
{
    *out = s;
    return at == 0 && bytes == s->bytes ? ASH_OK : ash_string_part(r, s, at, bytes, out);
}

/* Appends in place where `a` is the end of what its builder holds, so that a text grown in a loop is linear work. */
ash_status ash_string_join(ash_run *r, const ash_string *a, const ash_string *b, const ash_string **out)
{
    ash_builder *tail = a->tail;
    *out = b->bytes ? b : a;
    if (a->bytes == 0 || b->bytes == 0)
        return ASH_OK;
    if (!tail || tail == r->out || tail->text != a->text || tail->bytes != a->bytes) {
        ASH_TRY(ash_builder_new(r, (size_t)a->bytes + b->bytes + 16, &tail));
        ASH_TRY(ash_build_string(r, tail, a));
    }
    ASH_TRY(ash_build_string(r, tail, b));
    return ash_builder_string(r, tail, out);
}

ash_status ash_string_repeat(ash_run *r, const ash_string *s, int64_t times, const ash_string **out)
{
    ash_builder *b;
    if (times < 0 || s->bytes == 0)
        times = 0;
    if ((uint64_t)times * 1 > TEMPLATE_OUTPUT_MAX || (uint64_t)times * s->bytes > TEMPLATE_OUTPUT_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "the template makes text of more than %u MiB", TEMPLATE_OUTPUT_MAX >> 20);
    ASH_TRY(ash_run_steps(r, (uint64_t)times));
    ASH_TRY(ash_builder_new(r, (size_t)times * s->bytes, &b));
    for (int64_t i = 0; i < times; i++)
        ASH_TRY(ash_build_string(r, b, s));
    return ash_builder_string(r, b, out);
}

/* ---- code points ---- */

size_t ash_char_bytes(const char *text, size_t bytes, uint32_t *code)
{
    if ((unsigned char)text[0] < 0x80) {
        if (code)
            *code = (unsigned char)text[0];
        return 1;
    }
    size_t n = ash_utf8_char((const uint8_t *)text, bytes, code);
    if (n == 0 && code)
        *code = 0xfffd;
    return n ? n : 1;
}

ash_status ash_run_count(ash_run *r, const ash_string *s)
{
    return s->chars == UINT32_MAX ? ash_run_decode(r, s->bytes) : ASH_OK;
}

uint32_t ash_string_chars(const ash_string *s)
{
    if (s->chars == UINT32_MAX) {
        uint32_t n = 0;
        for (size_t at = 0; at < s->bytes; n++)
            at += ash_char_bytes(s->text + at, s->bytes - at, NULL);
        ((ash_string *)(uintptr_t)s)->chars = n; /* only strings of one rendering are uncounted */
    }
    return s->chars;
}

size_t ash_string_offset(const ash_string *s, uint32_t chars)
{
    if (ash_string_chars(s) == s->bytes)
        return chars < s->bytes ? chars : s->bytes;
    size_t at = 0;
    while (chars-- && at < s->bytes)
        at += ash_char_bytes(s->text + at, s->bytes - at, NULL);
    return at;
}

uint32_t ash_string_index(const ash_string *s, size_t offset)
{
    ash_string front = { .text = s->text, .bytes = (uint32_t)offset, .chars = UINT32_MAX };
    return ash_string_chars(&front);
}

/* ---- comparing and searching ---- */

bool ash_string_same(const ash_string *a, const ash_string *b)
{
    return a == b || (a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0);
}

int ash_string_order(const ash_string *a, const ash_string *b)
{
    int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

bool ash_string_is(const ash_string *s, const char *text)
{
    return s->bytes == strlen(text) && memcmp(s->text, text, s->bytes) == 0;
}

size_t ash_string_find(const ash_string *s, const ash_string *what, size_t from, size_t to)
{
    if (from > to || what->bytes > to - from)
        return SIZE_MAX;
    if (what->bytes == 0)
        return from;
    const char *at = memmem(s->text + from, to - from, what->text, what->bytes);
    return at ? (size_t)(at - s->text) : SIZE_MAX;
}

size_t ash_string_rfind(const ash_string *s, const ash_string *what, size_t from, size_t to)
{
    if (from > to || what->bytes > to - from)
        return SIZE_MAX;
    for (size_t at = to - what->bytes + 1; at-- > from;)
        if (memcmp(s->text + at, what->text, what->bytes) == 0)
            return at;
    return SIZE_MAX;
}

bool ash_is_py_space(uint32_t code) { return ash_is_space(code) || (code >= 0x1c && code <= 0x1f); }

static bool strips(const ash_string *chars, const char *text, size_t bytes, uint32_t code)
{
    if (!chars)
        return ash_is_py_space(code);
    ash_string one = { .text = text, .bytes = (uint32_t)bytes };
    for (size_t at = 0; at < chars->bytes;) { /* by characters: a part of another one does not count */
        size_t n = ash_char_bytes(chars->text + at, chars->bytes - at, NULL);
        if (n == one.bytes && memcmp(chars->text + at, one.text, n) == 0)
            return true;
        at += n;
    }
    return false;
}

ash_status ash_string_strip(ash_run *r, const ash_string *s, const ash_string *chars, bool left, bool right,
                            const ash_string **out)
{
    size_t from = 0, to = s->bytes;
    uint32_t code;
    while (left && from < to) {
        size_t n = ash_char_bytes(s->text + from, to - from, &code);
        if (!strips(chars, s->text + from, n, code))
            break;
        from += n;
    }
    while (right && to > from) {
        size_t n = ash_utf8_last((const uint8_t *)s->text + from, to - from, &code);
        if (n == 0) {
            n = 1;
            code = 0xfffd;
        }
        if (!strips(chars, s->text + to - n, n, code))
            break;
        to -= n;
    }
    ASH_TRY(ash_run_decode(r, (s->bytes - (to - from)) * (chars ? 1 + (size_t)chars->bytes : 1)));
    return ash_string_cut(r, s, from, to - from, out);
}
