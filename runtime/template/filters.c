/* Filters on one value: text and numbers. Those on sequences are in item_filters.c. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/template/builtin.h"
#include "runtime/utf8.h"

#define FILTER(name) static ash_status name(ash_run *r, const ash_call *c, ash_value *out)

static ash_status self_text(ash_run *r, const ash_call *c, const ash_string **out)
{
    return ash_to_string(r, c->self, out);
}

/* ---- text ---- */

static ash_status in_case(ash_run *r, const ash_call *c, ash_case how, ash_value *out)
{
    const ash_string *s;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_string_case(r, s, how, &s));
    return ash_give_string(r, s, out);
}
FILTER(f_upper) { return in_case(r, c, ASH_UPPER, out); }
FILTER(f_lower) { return in_case(r, c, ASH_LOWER, out); }
FILTER(f_capitalize) { return in_case(r, c, ASH_CAPITALIZE, out); }

/* Words here begin behind white space, '-' and opening brackets alone. */
FILTER(f_title)
{
    const ash_string *s, *word;
    ash_builder *b;
    size_t from = 0;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + 8, &b));
    for (size_t at = 0; at <= s->bytes;) {
        uint32_t code = ' ';
        size_t n = at < s->bytes ? ash_char_bytes(s->text + at, s->bytes - at, &code) : 1;
        if (ash_is_py_space(code) || (code && code < 0x80 && strchr("-({[<", (int)code))) {
            ASH_TRY(ash_string_cut(r, s, from, at - from, &word));
            ASH_TRY(ash_build_capitalized(r, b, word));
            if (at < s->bytes)
                ASH_TRY(ash_build_part(r, b, s, at, n));
            from = at + n;
        }
        at += n;
    }
    return ash_builder_value(r, b, out);
}

FILTER(f_string)
{
    const ash_string *s;
    ASH_TRY(self_text(r, c, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_trim)
{
    const ash_string *s, *chars;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_arg_string(r, c->at[0], "trim", &chars));
    ASH_TRY(ash_string_strip(r, s, chars, true, true, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_replace)
{
    const ash_string *s, *old, *with;
    int64_t limit;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_to_string(r, c->at[0], &old));
    ASH_TRY(ash_to_string(r, c->at[1], &with));
    ASH_TRY(ash_arg_int(r, c->at[2].kind == ASH_V_NONE ? (ash_value){ 0 } : c->at[2], "replace", -1, &limit));
    ASH_TRY(ash_string_replace(r, s, old, with, limit, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_center)
{
    const ash_string *s;
    int64_t width;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_arg_int(r, c->at[0], "center", 80, &width));
    ASH_TRY(ash_string_pad(r, s, width, NULL, true, true, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_indent)
{
    static const ash_string newline = ASH_LITERAL("\n"), nothing = ASH_LITERAL("");
    const ash_string *s, *unit;
    ash_values lines = { 0 };
    ash_builder *b;
    int64_t width = 4;
    bool first = ash_truth(c->at[1]), blank = ash_truth(c->at[2]);
    if (c->self.kind != ASH_V_STRING)
        return c->self.kind == ASH_V_UNDEFINED ? ash_fail_undefined(r, c->self) : ASH_WRONG_TYPE(r, "indent", c->self);
    if (c->at[0].kind == ASH_V_STRING) {
        unit = c->at[0].s;
    } else {
        ASH_TRY(ash_arg_int(r, c->at[0], "indent", 4, &width));
        ASH_TRY(ash_string_pad(r, &nothing, width, NULL, true, false, &unit));
    }
    ASH_TRY(ash_string_join(r, c->self.s, &newline, &s)); /* an empty last line counts */
    ASH_TRY(ash_string_lines(r, s, false, &lines));
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + lines.count * 4, &b));
    for (uint32_t i = 0; i < lines.count; i++) {
        if (i)
            ASH_TRY(ash_build(r, b, "\n", 1, false));
        if (i ? blank || lines.items[i].s->bytes : first)
            ASH_TRY(ash_build_string(r, b, unit));
        ASH_TRY(ash_build_string(r, b, lines.items[i].s));
    }
    return ash_builder_value(r, b, out);
}

FILTER(f_truncate)
{
    static const ash_string dots = ASH_LITERAL("...");
    const ash_string *s, *end;
    int64_t length, leeway, count;
    ASH_TRY(ash_arg_int(r, c->at[0], "truncate", 255, &length));
    ASH_TRY(ash_arg_string(r, c->at[2], "truncate", &end));
    ASH_TRY(ash_arg_int(r, c->at[3].kind == ASH_V_NONE ? (ash_value){ 0 } : c->at[3], "truncate", 5, &leeway));
    end = end ? end : &dots;
    if (length < ash_string_chars(end) || leeway < 0)
        return ash_run_fail(r, ASH_E_FORMAT, "truncate: a length below that of its end, or a leeway below 0");
    if (c->self.kind == ASH_V_STRING)
        ASH_TRY(ash_run_count(r, c->self.s));
    bool counted = ash_length(c->self, &count);
    *out = c->self; /* what is short enough stays what it is, whatever that is */
    if (counted && (count <= length || count - length <= leeway))
        return ASH_OK;
    if (c->self.kind != ASH_V_STRING)
        return ASH_WRONG_TYPE(r, "truncate", c->self);
    s = c->self.s;
    size_t bytes = ash_string_offset(s, (uint32_t)(length - ash_string_chars(end)));
    const char *blank = ash_truth(c->at[1]) || bytes == 0 ? NULL : memrchr(s->text, ' ', bytes);
    ASH_TRY(ash_string_cut(r, s, 0, blank ? (size_t)(blank - s->text) : bytes, &s));
    ash_builder *b;
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + end->bytes, &b));
    ASH_TRY(ash_build_string(r, b, s));
    ASH_TRY(ash_build_string(r, b, end));
    return ash_builder_value(r, b, out);
}

FILTER(f_wordcount)
{
    const ash_string *s;
    int64_t n = 0;
    bool word = false;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_run_change(r, s->bytes));
    for (size_t at = 0; at < s->bytes;) {
        uint32_t code;
        size_t bytes = ash_char_bytes(s->text + at, s->bytes - at, &code);
        ash_string one = { .text = s->text + at, .bytes = (uint32_t)bytes, .chars = 1 };
        bool letter = code == '_' || ash_string_is_all(&one, ASH_IS_ALNUM);
        n += letter && !word;
        word = letter;
        at += bytes;
    }
    *out = ash_int(n);
    return ASH_OK;
}

FILTER(f_escape)
{
    const ash_string *s;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_escape_html(r, s, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_safe)
{
    ash_string *copy;
    const ash_string *s;
    ASH_TRY(self_text(r, c, &s));
    ASH_TRY(ash_run_alloc(r, sizeof *copy, &copy));
    *copy = *s;
    copy->markup = true;
    return ash_give_string(r, copy, out);
}

FILTER(f_forceescape)
{
    const ash_string *s;
    ASH_TRY(self_text(r, c, &s));
    ash_string plain = *s;
    plain.markup = false;
    ASH_TRY(ash_escape_html(r, &plain, &s));
    return ash_give_string(r, s, out);
}

static ash_status quote(ash_run *r, ash_builder *b, const ash_string *s, bool query)
{
    for (size_t i = 0; i < s->bytes; i++) {
        unsigned char byte = (unsigned char)s->text[i];
        char text[4] = { (char)byte };
        if (!isalnum(byte) && !(byte && strchr(query ? "_.-~" : "_.-~/", byte)))
            snprintf(text, sizeof text, query && byte == ' ' ? "+" : "%%%02X", byte);
        ASH_TRY(ash_build(r, b, text, strlen(text), ash_mark_at(s, i)));
    }
    return ASH_OK;
}

FILTER(f_urlencode)
{
    ash_value *items, pairs = c->self;
    uint32_t count;
    ash_builder *b;
    const ash_string *s;
    ASH_TRY(ash_builder_new(r, 64, &b));
    if (c->self.kind == ASH_V_STRING || !ash_is_iterable(c->self)) {
        ASH_TRY(self_text(r, c, &s));
        ASH_TRY(ash_run_steps(r, s->bytes));
        ASH_TRY(quote(r, b, s, false));
        return ash_builder_value(r, b, out);
    }
    if (pairs.kind == ASH_V_DICT)
        pairs.kind = ASH_V_ITEMS;
    ASH_TRY(ash_iterate(r, pairs, &items, &count));
    for (uint32_t i = 0; i < count; i++) {
        ash_value *pair;
        uint32_t two;
        ASH_TRY(ash_iterate(r, items[i], &pair, &two));
        if (two != 2)
            return ash_run_fail(r, ASH_E_FORMAT, "urlencode needs pairs");
        for (int k = 0; k < 2; k++) {
            ASH_TRY(ash_to_string(r, pair[k], &s));
            ASH_TRY(ash_run_steps(r, s->bytes));
            if (i || k)
                ASH_TRY(ash_build(r, b, k ? "=" : "&", 1, false));
            ASH_TRY(quote(r, b, s, true));
        }
    }
    return ash_builder_value(r, b, out);
}

FILTER(f_format)
{
    const ash_string *s;
    ash_value values;
    if (c->args->count && c->args->key_count)
        return ash_run_fail(r, ASH_E_FORMAT, "format takes positions or names, not both");
    ASH_TRY(self_text(r, c, &s));
    if (c->args->key_count) {
        ASH_TRY(ash_dict_new(r, c->args->key_count, &values));
        for (uint32_t i = 0; i < c->args->key_count; i++)
            ASH_TRY(ash_dict_set(r, values.dict, ash_str(c->args->keys[i]), c->args->values[i]));
    } else {
        ASH_TRY(ash_list_new(r, ASH_V_TUPLE, c->args->count, &values));
        if (c->args->count)
            memcpy(values.list->items, c->args->items, c->args->count * sizeof(ash_value));
    }
    ASH_TRY(ash_format_percent(r, s, values, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_tojson)
{
    const ash_string *indent = NULL, *s, *item = NULL, *key = NULL;
    static const ash_string nothing = ASH_LITERAL("");
    if (c->at[1].kind == ASH_V_STRING) {
        indent = c->at[1].s;
    } else if (ash_arg_given(c->at[1]) && c->at[1].kind != ASH_V_NONE) {
        int64_t width;
        ASH_TRY(ash_arg_int(r, c->at[1], "tojson", 0, &width));
        ASH_TRY(ash_string_pad(r, &nothing, width, NULL, true, false, &indent));
    }
    if (ash_arg_given(c->at[2]) && c->at[2].kind != ASH_V_NONE) {
        ash_value *pair;
        uint32_t two;
        ASH_TRY(ash_iterate(r, c->at[2], &pair, &two));
        if (two != 2)
            return ash_run_fail(r, ASH_E_FORMAT, "tojson: separators are two strings");
        ASH_TRY(ash_arg_string(r, pair[0], "tojson", &item));
        ASH_TRY(ash_arg_string(r, pair[1], "tojson", &key));
    }
    ASH_TRY(ash_to_json(r, c->self, indent, item, key, ash_truth(c->at[0]), ash_truth(c->at[3]), &s));
    return ash_give_string(r, s, out);
}

/* ---- numbers ---- */

FILTER(f_abs)
{
    if (c->self.kind == ASH_V_FLOAT)
        *out = ash_float(fabs(c->self.f));
    else if (ash_is_integer(c->self) && ash_as_int(c->self) >= 0)
        *out = ash_int(ash_as_int(c->self));
    else if (ash_is_integer(c->self))
        return ash_negate(r, c->self, out);
    else
        return c->self.kind == ASH_V_UNDEFINED ? ash_fail_undefined(r, c->self) : ASH_WRONG_TYPE(r, "abs", c->self);
    return ASH_OK;
}

/* Digits of a string as Python's int() and float() take them: no white space around, no single underscores between
 * digits. False where it is too long or an underscore stands elsewhere. */
static bool number_text(const ash_string *s, char *text, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < s->bytes; i++) {
        char before = i ? s->text[i - 1] : 0, after = i + 1 < s->bytes ? s->text[i + 1] : 0;
        if (s->text[i] == '_' && isalnum((unsigned char)before) && isalnum((unsigned char)after))
            continue;
        if (n + 1 == room || !s->text[i] || s->text[i] == '_' || isspace((unsigned char)s->text[i]))
            return false;
        text[n++] = s->text[i];
    }
    text[n] = 0;
    return n > 0;
}

static bool read_float(const char *text, double *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    char *end;
    bool word = strcasecmp(digits, "inf") == 0 || strcasecmp(digits, "infinity") == 0 || strcasecmp(digits, "nan") == 0;
    if (!word && strspn(digits, "0123456789.eE+-") != strlen(digits))
        return false;
    *out = strtod(text, &end);
    return end != text && !*end;
}

/* 1: read; 0: no integer; -1: beyond 64 bits. */
static int read_int(const char *text, int base, int64_t *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    int prefix = digits[0] != '0' ? 0 : (digits[1] | 32) == 'x' ? 16 : (digits[1] | 32) == 'o' ? 8 :
                 (digits[1] | 32) == 'b' ? 2 : 0;
    char number[512];
    if (base == 0 && !prefix && digits[0] == '0' && strspn(digits, "0") != strlen(digits))
        return 0;
    base = base ? base : prefix ? prefix : 10;
    digits += prefix && prefix == base ? 2 : 0;
    if (!isalnum((unsigned char)*digits) || strlen(digits) > sizeof number - 2)
        return 0;
    snprintf(number, sizeof number, "%s%s", *text == '-' ? "-" : "", digits);
    char *end;
    errno = 0;
    *out = strtoll(number, &end, base);
    if (*end || (base == 16 && (digits[1] | 32) == 'x'))
        return 0;
    return errno ? -1 : 1;
}

FILTER(f_int)
{
    int64_t base, i = 0;
    double f = 0;
    ash_value v = c->self;
    ASH_TRY(ash_arg_int(r, c->at[1], "int", 10, &base));
    *out = ash_arg_given(c->at[0]) ? c->at[0] : ash_int(0);
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    if (ash_is_integer(v)) {
        *out = ash_int(ash_as_int(v));
        return ASH_OK;
    }
    if (v.kind == ASH_V_STRING) {
        char text[512];
        const ash_string *s;
        ASH_TRY(ash_string_strip(r, v.s, NULL, true, true, &s));
        if (!number_text(s, text, sizeof text))
            return ASH_OK;
        int read = base == 0 || (base >= 2 && base <= 36) ? read_int(text, (int)base, &i) : 0;
        if (read < 0)
            return ash_run_fail(r, ASH_E_LIMIT, "an integer leaves 64 bits");
        if (read > 0) {
            *out = ash_int(i);
            return ASH_OK;
        }
        if (!read_float(text, &f))
            return ASH_OK;
        v = ash_float(f);
    } else if (v.kind == ASH_V_FLOAT && isinf(v.f)) {
        return ash_run_fail(r, ASH_E_FORMAT, "int of infinity");
    }
    if (v.kind != ASH_V_FLOAT || !isfinite(v.f))
        return ASH_OK;
    if (fabs(v.f) >= 9.2e18)
        return ash_run_fail(r, ASH_E_LIMIT, "an integer leaves 64 bits");
    *out = ash_int((int64_t)v.f);
    return ASH_OK;
}

FILTER(f_float)
{
    ash_value v = c->self;
    char text[512];
    double f;
    *out = ash_arg_given(c->at[0]) ? c->at[0] : ash_float(0);
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    if (ash_is_number(v))
        *out = ash_float(ash_as_float(v));
    if (v.kind == ASH_V_STRING) {
        const ash_string *s;
        ASH_TRY(ash_string_strip(r, v.s, NULL, true, true, &s));
        if (number_text(s, text, sizeof text) && read_float(text, &f))
            *out = ash_float(f);
    }
    return ASH_OK;
}

/* To `precision` decimals, halves to even: printf rounds the exact value just so. */
static double round_decimals(double f, int64_t precision)
{
    char text[400];
    if (!isfinite(f) || precision > 22)
        return f;
    if (precision < 0) {
        double scale = pow(10, precision < -300 ? 300 : (double)-precision);
        return nearbyint(f / scale) * scale;
    }
    snprintf(text, sizeof text, "%.*f", (int)precision, f);
    return strtod(text, NULL);
}

FILTER(f_round)
{
    int64_t precision;
    const ash_string *method;
    ash_value v = c->self;
    ASH_TRY(ash_arg_int(r, c->at[0], "round", 0, &precision));
    ASH_TRY(ash_arg_string(r, c->at[1], "round", &method));
    bool up = method && ash_string_is(method, "ceil"), down = method && ash_string_is(method, "floor");
    if (method && !up && !down && !ash_string_is(method, "common"))
        return ash_run_fail(r, ASH_E_FORMAT, "round: the method is common, ceil or floor");
    if (!ash_is_number(v))
        return v.kind == ASH_V_UNDEFINED ? ash_fail_undefined(r, v) : ASH_WRONG_TYPE(r, "round", v);
    if (up || down) {
        double scale = pow(10, (double)precision), f = ash_as_float(v) * scale;
        *out = ash_float((up ? ceil(f) : floor(f)) / scale);
        return isfinite(out->f) ? ASH_OK : ash_run_fail(r, ASH_E_FORMAT, "round: no finite result");
    }
    if (v.kind == ASH_V_FLOAT)
        *out = ash_float(round_decimals(v.f, precision));
    else if (precision >= 0)
        *out = ash_int(ash_as_int(v));
    else
        *out = ash_int(precision < -18 ? 0 : (int64_t)round_decimals((double)ash_as_int(v), precision));
    return ASH_OK;
}

/* ---- any value ---- */

FILTER(f_default)
{
    static const ash_string nothing = ASH_LITERAL("");
    bool absent = c->self.kind == ASH_V_UNDEFINED || (ash_truth(c->at[1]) && !ash_truth(c->self));
    *out = !absent ? c->self : ash_arg_given(c->at[0]) ? c->at[0] : ash_str(&nothing);
    (void)r;
    return ASH_OK;
}

static const ash_builtin filters[] = {
    { "upper", f_upper, "", 0, false },
    { "lower", f_lower, "", 0, false },
    { "capitalize", f_capitalize, "", 0, false },
    { "title", f_title, "", 0, false },
    { "string", f_string, "", 0, false },
    { "trim", f_trim, "chars", 0, false },
    { "replace", f_replace, "old,new,count", 2, false },
    { "center", f_center, "width", 0, false },
    { "indent", f_indent, "width,first,blank", 0, false },
    { "truncate", f_truncate, "length,killwords,end,leeway", 0, false },
    { "wordcount", f_wordcount, "", 0, false },
    { "escape", f_escape, "", 0, false },
    { "e", f_escape, "", 0, false },
    { "forceescape", f_forceescape, "", 0, false },
    { "safe", f_safe, "", 0, false },
    { "urlencode", f_urlencode, "", 0, false },
    { "format", f_format, NULL, 0, false },
    { "tojson", f_tojson, "ensure_ascii,indent,separators,sort_keys", 0, false },
    { "abs", f_abs, "", 0, false },
    { "int", f_int, "default,base", 0, false },
    { "float", f_float, "default", 0, false },
    { "round", f_round, "precision,method", 0, false },
    { "default", f_default, "default_value,boolean", 0, false },
    { "d", f_default, "default_value,boolean", 0, false },
    { 0 },
};

const ash_builtin *ash_find_filter(const ash_string *name)
{
    const ash_builtin *found = ash_find_builtin(filters, name);
    return found ? found : ash_find_builtin(ash_item_filters, name);
}
