/* Methods of strings, dictionaries, lists and numbers. Those that would change a value are known, and refused as the
 * immutable sandbox does. */
#include <math.h>
#include <string.h>

#include "runtime/template/builtin.h"

#define METHOD(name) static ash_status name(ash_run *r, const ash_call *c, ash_value *out)

ash_status ash_give_string(ash_run *r, const ash_string *s, ash_value *out)
{
    (void)r;
    *out = ash_str(s);
    return ASH_OK;
}

/* ---- shared with filters ---- */

ash_status ash_string_replace(ash_run *r, const ash_string *s, const ash_string *old, const ash_string *with,
                              int64_t limit, const ash_string **out)
{
    ash_builder *b;
    size_t done = 0, at = 0;
    *out = s;
    ASH_TRY(ash_run_bytes(r, s->bytes));
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + 16, &b));
    for (; limit != 0; limit--) {
        size_t found = old->bytes ? ash_string_find(s, old, at, s->bytes) : at;
        if (found == SIZE_MAX || found > s->bytes)
            break;
        ASH_TRY(ash_run_steps(r, 1));
        ASH_TRY(ash_build_part(r, b, s, done, found - done));
        ASH_TRY(ash_build_string(r, b, with));
        done = found + old->bytes;
        at = old->bytes ? done : found < s->bytes ?
             found + ash_char_bytes(s->text + found, s->bytes - found, NULL) : (size_t)s->bytes + 1;
    }
    if (done == 0 && b->bytes == 0)
        return ASH_OK;
    ASH_TRY(ash_build_part(r, b, s, done, s->bytes - done));
    return ash_builder_string(r, b, out);
}

ash_status ash_string_pad(ash_run *r, const ash_string *s, int64_t width, const ash_string *fill, bool left, bool right,
                          const ash_string **out)
{
    static const ash_string space = ASH_LITERAL(" ");
    int64_t have = ash_string_chars(s);
    *out = s;
    if (width <= have)
        return ASH_OK;
    if (width > TEMPLATE_OUTPUT_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "text padded to more than %u characters", TEMPLATE_OUTPUT_MAX);
    fill = fill ? fill : &space;
    int64_t missing = width - have, before = !left ? 0 : !right ? missing : missing / 2 + (missing & width & 1);
    ash_builder *b;
    const ash_string *pad;
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + (size_t)missing, &b));
    ASH_TRY(ash_string_repeat(r, fill, before, &pad));
    ASH_TRY(ash_build_string(r, b, pad));
    ASH_TRY(ash_build_string(r, b, s));
    ASH_TRY(ash_string_repeat(r, fill, missing - before, &pad));
    ASH_TRY(ash_build_string(r, b, pad));
    return ash_builder_string(r, b, out);
}

static bool ends_line(uint32_t code)
{
    return (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 || code == 0x2028 ||
           code == 0x2029;
}

static ash_status add_part(ash_run *r, ash_values *out, const ash_string *s, size_t from, size_t to)
{
    const ash_string *part;
    ASH_TRY(ash_run_steps(r, 1));
    ASH_TRY(ash_string_cut(r, s, from, to - from, &part));
    return ash_values_add(r, out, ash_str(part));
}

ash_status ash_string_lines(ash_run *r, const ash_string *s, bool keep_ends, ash_values *out)
{
    size_t from = 0;
    ASH_TRY(ash_run_decode(r, s->bytes));
    for (size_t at = 0; at < s->bytes;) {
        uint32_t code;
        size_t end = at;
        at += ash_char_bytes(s->text + at, s->bytes - at, &code);
        if (!ends_line(code))
            continue;
        at += code == '\r' && at < s->bytes && s->text[at] == '\n';
        ASH_TRY(add_part(r, out, s, from, keep_ends ? at : end));
        from = at;
    }
    return from < s->bytes ? add_part(r, out, s, from, s->bytes) : ASH_OK;
}

ash_status ash_string_join_all(ash_run *r, const ash_string *separator, const ash_value *items, uint32_t count,
                               bool convert, const ash_string **out)
{
    ash_builder *b;
    ASH_TRY(ash_run_steps(r, count));
    ASH_TRY(ash_builder_new(r, 64, &b));
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            ASH_TRY(ash_build_string(r, b, separator));
        if (!convert && items[i].kind != ASH_V_STRING)
            return ash_run_fail(r, ASH_E_FORMAT, "join needs strings, not %s", ash_kind_name(items[i].kind));
        ASH_TRY(ash_build_str(r, b, items[i]));
    }
    return ash_builder_string(r, b, out);
}

/* ---- strings: stripping, case, classes ---- */

static ash_status strip(ash_run *r, const ash_call *c, bool left, bool right, ash_value *out)
{
    const ash_string *chars, *s;
    ASH_TRY(ash_arg_string(r, c->at[0], "strip", &chars));
    ASH_TRY(ash_string_strip(r, c->self.s, chars, left, right, &s));
    return ash_give_string(r, s, out);
}
METHOD(s_strip) { return strip(r, c, true, true, out); }
METHOD(s_lstrip) { return strip(r, c, true, false, out); }
METHOD(s_rstrip) { return strip(r, c, false, true, out); }

static ash_status in_case(ash_run *r, const ash_call *c, ash_case how, ash_value *out)
{
    const ash_string *s;
    ASH_TRY(ash_string_case(r, c->self.s, how, &s));
    return ash_give_string(r, s, out);
}
METHOD(s_upper) { return in_case(r, c, ASH_UPPER, out); }
METHOD(s_lower) { return in_case(r, c, ASH_LOWER, out); }
METHOD(s_title) { return in_case(r, c, ASH_TITLE, out); }
METHOD(s_capitalize) { return in_case(r, c, ASH_CAPITALIZE, out); }
METHOD(s_swapcase) { return in_case(r, c, ASH_SWAP, out); }
METHOD(s_casefold) { return in_case(r, c, ASH_FOLD, out); }

static ash_status is_class(ash_run *r, const ash_call *c, ash_class what, ash_value *out)
{
    ASH_TRY(ash_run_change(r, c->self.s->bytes));
    *out = ash_bool(ash_string_is_all(c->self.s, what));
    return ASH_OK;
}
METHOD(s_isalpha) { return is_class(r, c, ASH_IS_ALPHA, out); }
METHOD(s_isdigit) { return is_class(r, c, ASH_IS_DIGIT, out); }
METHOD(s_isdecimal) { return is_class(r, c, ASH_IS_DECIMAL, out); }
METHOD(s_isnumeric) { return is_class(r, c, ASH_IS_NUMERIC, out); }
METHOD(s_isalnum) { return is_class(r, c, ASH_IS_ALNUM, out); }
METHOD(s_isspace) { return is_class(r, c, ASH_IS_SPACE, out); }
METHOD(s_isprintable) { return is_class(r, c, ASH_IS_PRINTABLE, out); }
METHOD(s_isascii) { return is_class(r, c, ASH_IS_ASCII, out); }
METHOD(s_isupper) { return is_class(r, c, ASH_IS_UPPER, out); }
METHOD(s_islower) { return is_class(r, c, ASH_IS_LOWER, out); }
METHOD(s_istitle) { return is_class(r, c, ASH_IS_TITLE, out); }
METHOD(s_isidentifier) { return is_class(r, c, ASH_IS_IDENTIFIER, out); }

/* ---- strings: searching ---- */

/* The part [start, end) that the optional arguments 1 and 2 name; *inside is false where it lies behind the end. */
static ash_status part_of(ash_run *r, const ash_call *c, size_t *from, size_t *to, bool *inside)
{
    int64_t count = ash_string_chars(c->self.s), start, end;
    ASH_TRY(ash_run_decode(r, c->self.s->bytes));
    ASH_TRY(ash_arg_int(r, c->at[1].kind == ASH_V_NONE ? (ash_value){ 0 } : c->at[1], "a position", 0, &start));
    ASH_TRY(ash_arg_int(r, c->at[2].kind == ASH_V_NONE ? (ash_value){ 0 } : c->at[2], "a position", count, &end));
    start = start < 0 ? (start < -count ? 0 : start + count) : start;
    end = end < 0 ? (end < -count ? 0 : end + count) : end > count ? count : end;
    *inside = start <= end;
    *from = *inside ? ash_string_offset(c->self.s, (uint32_t)start) : 0;
    *to = *inside ? ash_string_offset(c->self.s, (uint32_t)end) : 0;
    return ASH_OK;
}

static ash_status find(ash_run *r, const ash_call *c, bool last, bool must, ash_value *out)
{
    const ash_string *what;
    size_t from, to, at = SIZE_MAX;
    bool inside;
    ASH_TRY(ash_arg_string(r, c->at[0], "find", &what));
    if (!what)
        return ASH_WRONG_TYPE(r, "find", c->at[0]);
    ASH_TRY(part_of(r, c, &from, &to, &inside));
    if (inside && last)
        ASH_TRY(ash_run_steps(r, (to - from) * what->bytes / TEMPLATE_BYTES_PER_STEP));
    if (inside)
        at = last ? ash_string_rfind(c->self.s, what, from, to) : ash_string_find(c->self.s, what, from, to);
    if (at == SIZE_MAX && must)
        return ash_run_fail(r, ASH_E_FORMAT, "the substring is not found");
    *out = ash_int(at == SIZE_MAX ? -1 : (int64_t)ash_string_index(c->self.s, at));
    return ASH_OK;
}
METHOD(s_find) { return find(r, c, false, false, out); }
METHOD(s_rfind) { return find(r, c, true, false, out); }
METHOD(s_index) { return find(r, c, false, true, out); }
METHOD(s_rindex) { return find(r, c, true, true, out); }

METHOD(s_count)
{
    const ash_string *what;
    size_t from, to;
    bool inside;
    int64_t n = 0;
    ASH_TRY(ash_arg_string(r, c->at[0], "count", &what));
    if (!what)
        return ASH_WRONG_TYPE(r, "count", c->at[0]);
    ASH_TRY(part_of(r, c, &from, &to, &inside));
    ash_string part = { .text = c->self.s->text + from, .bytes = (uint32_t)(to - from), .chars = UINT32_MAX };
    if (what->bytes == 0)
        n = inside ? (int64_t)ash_string_chars(&part) + 1 : 0;
    else
        for (size_t at = from; inside && (at = ash_string_find(c->self.s, what, at, to)) != SIZE_MAX; n++)
            at += what->bytes;
    *out = ash_int(n);
    return ASH_OK;
}

static ash_status has_side(ash_run *r, const ash_call *c, bool end, ash_value *out)
{
    ash_value *items, one = c->at[0];
    uint32_t count = 1;
    size_t from, to;
    bool inside;
    ASH_TRY(part_of(r, c, &from, &to, &inside));
    items = &one;
    if (one.kind == ASH_V_TUPLE)
        ASH_TRY(ash_iterate(r, one, &items, &count));
    *out = ash_bool(false);
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].kind != ASH_V_STRING)
            return ASH_WRONG_TYPE(r, end ? "endswith" : "startswith", items[i]);
        const ash_string *s = items[i].s;
        ASH_TRY(ash_run_bytes(r, s->bytes));
        if (inside && s->bytes <= to - from)
            out->b |= memcmp(c->self.s->text + (end ? to - s->bytes : from), s->text, s->bytes) == 0;
    }
    return ASH_OK;
}
METHOD(s_startswith) { return has_side(r, c, false, out); }
METHOD(s_endswith) { return has_side(r, c, true, out); }

static ash_status remove_side(ash_run *r, const ash_call *c, bool end, ash_value *out)
{
    const ash_string *what, *s = c->self.s;
    ASH_TRY(ash_arg_string(r, c->at[0], "a side", &what));
    if (!what)
        return ASH_WRONG_TYPE(r, end ? "removesuffix" : "removeprefix", c->at[0]);
    if (what->bytes <= s->bytes && memcmp(s->text + (end ? s->bytes - what->bytes : 0), what->text, what->bytes) == 0)
        ASH_TRY(ash_string_cut(r, s, end ? 0 : what->bytes, s->bytes - what->bytes, &s));
    return ash_give_string(r, s, out);
}
METHOD(s_removeprefix) { return remove_side(r, c, false, out); }
METHOD(s_removesuffix) { return remove_side(r, c, true, out); }

/* ---- strings: taking apart and putting together ---- */

static void reverse(ash_values *v)
{
    for (uint32_t i = 0; i < v->count / 2; i++) {
        ash_value swap = v->items[i];
        v->items[i] = v->items[v->count - 1 - i];
        v->items[v->count - 1 - i] = swap;
    }
}

static size_t skip_blanks(const ash_string *s, size_t at, bool blanks)
{
    while (at < s->bytes) {
        uint32_t code;
        size_t n = ash_char_bytes(s->text + at, s->bytes - at, &code);
        if (ash_is_py_space(code) != blanks)
            break;
        at += n;
    }
    return at;
}

/* Words between runs of white space; what is left after `limit` cuts stays whole, but for the blanks before it. */
static ash_status split_blanks(ash_run *r, const ash_string *s, int64_t limit, ash_values *out)
{
    for (size_t at = skip_blanks(s, 0, true); at < s->bytes; limit--) {
        size_t end = limit == 0 ? s->bytes : skip_blanks(s, at, false);
        ASH_TRY(add_part(r, out, s, at, end));
        at = skip_blanks(s, end, true);
    }
    return ASH_OK;
}

/* The same from the right: `out` gets the last word first. */
static ash_status rsplit_blanks(ash_run *r, const ash_string *s, int64_t limit, ash_values *out)
{
    ash_values words = { 0 };
    ASH_TRY(split_blanks(r, s, -1, &words));
    if (limit >= 0 && words.count > limit) {
        uint32_t first = words.count - (uint32_t)limit;
        const ash_string *last = words.items[first - 1].s, *front;
        ASH_TRY(ash_string_cut(r, s, 0, (size_t)(last->text + last->bytes - s->text), &front));
        words.items[first - 1] = ash_str(front);
        words.items += first - 1;
        words.count -= first - 1;
    }
    *out = words;
    reverse(out);
    return ASH_OK;
}

static ash_status split(ash_run *r, const ash_call *c, bool right, ash_value *out)
{
    const ash_string *s = c->self.s, *separator;
    ash_values parts = { 0 };
    int64_t limit;
    ASH_TRY(ash_arg_string(r, c->at[0], "split", &separator));
    ASH_TRY(ash_arg_int(r, c->at[1], "split", -1, &limit));
    ASH_TRY(separator ? ash_run_bytes(r, s->bytes) : ash_run_decode(r, s->bytes));
    if (separator && separator->bytes == 0)
        return ash_run_fail(r, ASH_E_FORMAT, "split: an empty separator");
    if (!separator) {
        ASH_TRY(right ? rsplit_blanks(r, s, limit, &parts) : split_blanks(r, s, limit, &parts));
    } else if (right) {
        size_t end = s->bytes, at;
        ASH_TRY(ash_run_steps(r, (uint64_t)s->bytes * separator->bytes / TEMPLATE_BYTES_PER_STEP));
        for (; limit != 0 && (at = ash_string_rfind(s, separator, 0, end)) != SIZE_MAX; limit--) {
            ASH_TRY(add_part(r, &parts, s, at + separator->bytes, end));
            end = at;
        }
        ASH_TRY(add_part(r, &parts, s, 0, end));
    } else {
        size_t from = 0, at;
        for (; limit != 0 && (at = ash_string_find(s, separator, from, s->bytes)) != SIZE_MAX; limit--) {
            ASH_TRY(add_part(r, &parts, s, from, at));
            from = at + separator->bytes;
        }
        ASH_TRY(add_part(r, &parts, s, from, s->bytes));
    }
    if (right)
        reverse(&parts);
    return ash_list_of(r, ASH_V_LIST, parts.items, parts.count, out);
}
METHOD(s_split) { return split(r, c, false, out); }
METHOD(s_rsplit) { return split(r, c, true, out); }

METHOD(s_splitlines)
{
    ash_values lines = { 0 };
    ASH_TRY(ash_string_lines(r, c->self.s, ash_truth(c->at[0]), &lines));
    return ash_list_of(r, ASH_V_LIST, lines.items, lines.count, out);
}

static ash_status partition(ash_run *r, const ash_call *c, bool right, ash_value *out)
{
    static const ash_string nothing = ASH_LITERAL("");
    const ash_string *s = c->self.s, *what, *part;
    ASH_TRY(ash_arg_string(r, c->at[0], "partition", &what));
    if (!what || what->bytes == 0)
        return ash_run_fail(r, ASH_E_FORMAT, "partition: an empty separator");
    ASH_TRY(ash_run_bytes(r, (size_t)s->bytes * (right ? what->bytes : 1)));
    size_t at = right ? ash_string_rfind(s, what, 0, s->bytes) : ash_string_find(s, what, 0, s->bytes);
    ASH_TRY(ash_list_new(r, ASH_V_TUPLE, 3, out));
    ash_value *items = out->list->items;
    items[0] = items[1] = items[2] = ash_str(&nothing);
    if (at == SIZE_MAX) {
        items[right ? 2 : 0] = c->self;
        return ASH_OK;
    }
    ASH_TRY(ash_string_cut(r, s, 0, at, &part));
    items[0] = ash_str(part);
    ASH_TRY(ash_string_cut(r, s, at, what->bytes, &part));
    items[1] = ash_str(part);
    ASH_TRY(ash_string_cut(r, s, at + what->bytes, s->bytes - at - what->bytes, &part));
    items[2] = ash_str(part);
    return ASH_OK;
}
METHOD(s_partition) { return partition(r, c, false, out); }
METHOD(s_rpartition) { return partition(r, c, true, out); }

METHOD(s_replace)
{
    const ash_string *old, *with, *s;
    int64_t limit;
    ASH_TRY(ash_arg_string(r, c->at[0], "replace", &old));
    ASH_TRY(ash_arg_string(r, c->at[1], "replace", &with));
    ASH_TRY(ash_arg_int(r, c->at[2], "replace", -1, &limit));
    if (!old || !with)
        return ash_run_fail(r, ASH_E_FORMAT, "replace needs strings");
    ASH_TRY(ash_string_replace(r, c->self.s, old, with, limit, &s));
    return ash_give_string(r, s, out);
}

METHOD(s_join)
{
    ash_value *items;
    uint32_t count;
    const ash_string *s;
    ASH_TRY(ash_iterate(r, c->at[0], &items, &count));
    ASH_TRY(ash_string_join_all(r, c->self.s, items, count, false, &s));
    return ash_give_string(r, s, out);
}

METHOD(s_format)
{
    const ash_string *s;
    ASH_TRY(ash_format_braces(r, c->self.s, c->args, &s));
    return ash_give_string(r, s, out);
}

static ash_status pad(ash_run *r, const ash_call *c, bool left, bool right, ash_value *out)
{
    const ash_string *fill, *s;
    int64_t width;
    ASH_TRY(ash_arg_int(r, c->at[0], "a width", 0, &width));
    ASH_TRY(ash_arg_string(r, c->at[1], "a fill", &fill));
    if (fill && ash_string_chars(fill) != 1)
        return ash_run_fail(r, ASH_E_FORMAT, "a fill is one character");
    ASH_TRY(ash_string_pad(r, c->self.s, width, fill, left, right, &s));
    return ash_give_string(r, s, out);
}
METHOD(s_ljust) { return pad(r, c, false, true, out); }
METHOD(s_rjust) { return pad(r, c, true, false, out); }
METHOD(s_center) { return pad(r, c, true, true, out); }

METHOD(s_zfill)
{
    static const ash_string zero = ASH_LITERAL("0");
    const ash_string *s = c->self.s, *sign, *rest;
    int64_t width;
    ASH_TRY(ash_arg_int(r, c->at[0], "zfill", 0, &width));
    size_t n = s->bytes && (s->text[0] == '-' || s->text[0] == '+');
    ASH_TRY(ash_string_cut(r, s, 0, n, &sign));
    ASH_TRY(ash_string_cut(r, s, n, s->bytes - n, &rest));
    ASH_TRY(ash_string_pad(r, rest, width < INT32_MIN ? 0 : width - (int64_t)n, &zero, true, false, &rest));
    ASH_TRY(ash_string_join(r, sign, rest, &s));
    return ash_give_string(r, s, out);
}

METHOD(s_expandtabs)
{
    int64_t width, column = 0;
    ash_builder *b;
    ASH_TRY(ash_arg_int(r, c->at[0], "expandtabs", 8, &width));
    if (width > 1000)
        return ash_run_fail(r, ASH_E_LIMIT, "expandtabs: a width above 1000");
    ASH_TRY(ash_builder_new(r, (size_t)c->self.s->bytes + 16, &b));
    for (size_t at = 0; at < c->self.s->bytes;) {
        const char *text = c->self.s->text + at;
        size_t n = ash_char_bytes(text, c->self.s->bytes - at, NULL);
        if (*text != '\t')
            ASH_TRY(ash_build_part(r, b, c->self.s, at, n));
        int64_t blanks = *text == '\t' && width > 0 ? width - column % width : 0;
        for (int64_t i = 0; i < blanks; i++)
            ASH_TRY(ash_build(r, b, " ", 1, ash_mark_at(c->self.s, at)));
        column = *text == '\n' || *text == '\r' ? 0 : *text == '\t' ? column + blanks : column + 1;
        at += n;
    }
    return ash_builder_value(r, b, out);
}

/* ---- dictionaries, lists, numbers, cyclers ---- */

static ash_status view(const ash_call *c, ash_kind kind, ash_value *out)
{
    *out = (ash_value){ .kind = (uint8_t)kind, .dict = c->self.dict };
    return ASH_OK;
}
METHOD(d_keys) { (void)r; return view(c, ASH_V_KEYS, out); }
METHOD(d_values) { (void)r; return view(c, ASH_V_VALUES, out); }
METHOD(d_items) { (void)r; return view(c, ASH_V_ITEMS, out); }
METHOD(self_itself) { (void)r; *out = c->self; return ASH_OK; }

METHOD(d_get)
{
    const ash_value *found;
    ASH_TRY(ash_dict_get(r, c->self.dict, c->at[0], &found));
    *out = found ? *found : ash_arg_given(c->at[1]) ? c->at[1] : ash_none();
    return ASH_OK;
}

METHOD(l_count)
{
    int64_t n = 0;
    ASH_TRY(ash_run_steps(r, c->self.list->count));
    for (uint32_t i = 0; i < c->self.list->count; i++) {
        bool same;
        ASH_TRY(ash_equal(r, c->self.list->items[i], c->at[0], &same));
        n += same;
    }
    *out = ash_int(n);
    return ASH_OK;
}

METHOD(l_index)
{
    int64_t count = c->self.list->count, start, end;
    ASH_TRY(ash_arg_int(r, c->at[1], "index", 0, &start));
    ASH_TRY(ash_arg_int(r, c->at[2], "index", count, &end));
    start = start < -count ? 0 : start < 0 ? start + count : start;
    end = end < 0 ? end + count : end > count ? count : end;
    for (int64_t i = start; i < end; i++) {
        bool same;
        ASH_TRY(ash_run_steps(r, 1));
        ASH_TRY(ash_equal(r, c->self.list->items[i], c->at[0], &same));
        *out = ash_int(i);
        if (same)
            return ASH_OK;
    }
    return ash_run_fail(r, ASH_E_FORMAT, "index: the value is not in the %s", ash_kind_name(c->self.kind));
}

METHOD(f_is_integer)
{
    (void)r;
    *out = ash_bool(isfinite(c->self.f) && c->self.f == floor(c->self.f));
    return ASH_OK;
}

METHOD(c_next)
{
    (void)r;
    ash_cycler *cycler = c->self.cycler;
    *out = cycler->items[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->count;
    return ASH_OK;
}

METHOD(c_reset)
{
    (void)r;
    c->self.cycler->at = 0;
    *out = ash_none();
    return ASH_OK;
}

static const ash_builtin string_methods[] = {
    { "strip", s_strip, "chars", 0, false },
    { "lstrip", s_lstrip, "chars", 0, false },
    { "rstrip", s_rstrip, "chars", 0, false },
    { "split", s_split, "sep,maxsplit", 0, false },
    { "rsplit", s_rsplit, "sep,maxsplit", 0, false },
    { "splitlines", s_splitlines, "keepends", 0, false },
    { "startswith", s_startswith, "prefix,start,end", 1, false },
    { "endswith", s_endswith, "suffix,start,end", 1, false },
    { "replace", s_replace, "old,new,count", 2, false },
    { "upper", s_upper, "", 0, false },
    { "lower", s_lower, "", 0, false },
    { "title", s_title, "", 0, false },
    { "capitalize", s_capitalize, "", 0, false },
    { "swapcase", s_swapcase, "", 0, false },
    { "casefold", s_casefold, "", 0, false },
    { "find", s_find, "sub,start,end", 1, false },
    { "rfind", s_rfind, "sub,start,end", 1, false },
    { "index", s_index, "sub,start,end", 1, false },
    { "rindex", s_rindex, "sub,start,end", 1, false },
    { "count", s_count, "sub,start,end", 1, false },
    { "join", s_join, "iterable", 1, false },
    { "format", s_format, NULL, 0, false },
    { "isalpha", s_isalpha, "", 0, false },
    { "isdigit", s_isdigit, "", 0, false },
    { "isdecimal", s_isdecimal, "", 0, false },
    { "isnumeric", s_isnumeric, "", 0, false },
    { "isalnum", s_isalnum, "", 0, false },
    { "isspace", s_isspace, "", 0, false },
    { "isprintable", s_isprintable, "", 0, false },
    { "isascii", s_isascii, "", 0, false },
    { "isupper", s_isupper, "", 0, false },
    { "islower", s_islower, "", 0, false },
    { "istitle", s_istitle, "", 0, false },
    { "isidentifier", s_isidentifier, "", 0, false },
    { "removeprefix", s_removeprefix, "prefix", 1, false },
    { "removesuffix", s_removesuffix, "suffix", 1, false },
    { "partition", s_partition, "sep", 1, false },
    { "rpartition", s_rpartition, "sep", 1, false },
    { "zfill", s_zfill, "width", 1, false },
    { "ljust", s_ljust, "width,fillchar", 1, false },
    { "rjust", s_rjust, "width,fillchar", 1, false },
    { "center", s_center, "width,fillchar", 1, false },
    { "expandtabs", s_expandtabs, "tabsize", 0, false },
    { 0 },
};

static const ash_builtin dict_methods[] = {
    { "items", d_items, "", 0, false },
    { "keys", d_keys, "", 0, false },
    { "values", d_values, "", 0, false },
    { "get", d_get, "key,default", 1, false },
    { "copy", self_itself, "", 0, false },
    { "pop", NULL, NULL, 0, true },
    { "update", NULL, NULL, 0, true },
    { "setdefault", NULL, NULL, 0, true },
    { "clear", NULL, NULL, 0, true },
    { "popitem", NULL, NULL, 0, true },
    { 0 },
};

static const ash_builtin list_methods[] = {
    { "index", l_index, "value,start,stop", 1, false },
    { "count", l_count, "value", 1, false },
    { "copy", self_itself, "", 0, false },
    { "append", NULL, NULL, 0, true },
    { "extend", NULL, NULL, 0, true },
    { "insert", NULL, NULL, 0, true },
    { "pop", NULL, NULL, 0, true },
    { "remove", NULL, NULL, 0, true },
    { "reverse", NULL, NULL, 0, true },
    { "sort", NULL, NULL, 0, true },
    { "clear", NULL, NULL, 0, true },
    { 0 },
};

static const ash_builtin tuple_methods[] = {
    { "index", l_index, "value,start,stop", 1, false }, { "count", l_count, "value", 1, false }, { 0 },
};
static const ash_builtin float_methods[] = { { "is_integer", f_is_integer, "", 0, false }, { 0 } };
static const ash_builtin cycler_methods[] = {
    { "next", c_next, "", 0, false }, { "reset", c_reset, "", 0, false }, { 0 },
};

const ash_builtin *ash_find_method(ash_kind kind, const ash_string *name)
{
    const ash_builtin *table = kind == ASH_V_STRING ? string_methods : kind == ASH_V_DICT ? dict_methods :
                               kind == ASH_V_LIST ? list_methods : kind == ASH_V_TUPLE ? tuple_methods :
                               kind == ASH_V_FLOAT ? float_methods : kind == ASH_V_CYCLER ? cycler_methods : NULL;
    return table ? ash_find_builtin(table, name) : NULL;
}
