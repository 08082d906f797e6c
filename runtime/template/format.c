/* Python's two ways to format: "%s of %d" % values, and "{} of {:>5}".format(...). A result is input as a whole as soon
 * as any part of it is. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/template/call.h"
#include "runtime/template/strings.h"

#define WIDTH_MAX 100000
#define DIGITS_MAX 60 /* of a precision */

/* One place in a format. */
typedef struct spec {
    const char *fill;
    size_t fill_bytes;
    char align, sign, grouping, type; /* 0: not given */
    bool alternate, zero;
    int64_t width, precision; /* precision -1: not given */
} spec;

static ash_status bad(ash_run *r, const char *what) { return ash_run_fail(r, ASH_E_FORMAT, "format: %s", what); }

static ash_status put_fill(ash_run *r, ash_builder *b, const spec *s, int64_t count)
{
    for (; count > 0; count--)
        ASH_TRY(ash_build(r, b, s->fill, s->fill_bytes, false));
    return ASH_OK;
}

/* `text` with fill around it; '=' fills between its first `sign_bytes` and the rest. */
static ash_status put_aligned(ash_run *r, ash_builder *b, const spec *s, const ash_string *text, size_t sign_bytes,
                              char align)
{
    int64_t missing = s->width - (int64_t)ash_string_chars(text);
    missing = missing > 0 ? missing : 0;
    int64_t left = align == '>' || align == '=' ? missing : align == '^' ? missing / 2 : 0;
    if (align == '=') {
        ASH_TRY(ash_build_part(r, b, text, 0, sign_bytes));
        ASH_TRY(put_fill(r, b, s, missing));
        return ash_build_part(r, b, text, sign_bytes, text->bytes - sign_bytes);
    }
    ASH_TRY(put_fill(r, b, s, left));
    ASH_TRY(ash_build_string(r, b, text));
    return put_fill(r, b, s, missing - left);
}

static ash_status put_text(ash_run *r, ash_builder *b, const spec *s, const ash_string *text)
{
    if (s->precision >= 0 && s->precision < ash_string_chars(text))
        ASH_TRY(ash_string_cut(r, text, 0, ash_string_offset(text, (uint32_t)s->precision), &text));
    return put_aligned(r, b, s, text, 0, s->align ? s->align : '<');
}

/* Digits of the whole part in groups of three, from the right. */
static int group(const char *digits, char separator, char *out)
{
    size_t whole = strspn(digits, "0123456789"), n = 0;
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % 3 == 0)
            out[n++] = separator;
        out[n++] = digits[i];
    }
    strcpy(out + n, digits + whole);
    return (int)strlen(out);
}

/* Sign, prefix and digits of a number. */
static ash_status put_number(ash_run *r, ash_builder *b, const spec *s, bool negative, const char *prefix,
                             const char *digits)
{
    char text[900], grouped[800];
    if (s->grouping) {
        group(digits, s->grouping, grouped);
        digits = grouped;
    }
    const char *sign = negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
    int n = snprintf(text, sizeof text, "%s%s%s", sign, prefix, digits);
    ash_string whole = { .text = text, .bytes = (uint32_t)n, .chars = (uint32_t)n };
    char align = s->align ? s->align : s->zero ? '=' : '>';
    spec filled = *s;
    if (s->zero && !s->align) {
        filled.fill = "0";
        filled.fill_bytes = 1;
    }
    return put_aligned(r, b, &filled, &whole, strlen(sign) + strlen(prefix), align);
}

static ash_status put_integer(ash_run *r, ash_builder *b, const spec *s, int64_t value, char type)
{
    char digits[72];
    const char *prefix = "";
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (type == 'x' || type == 'X' || type == 'o') {
        snprintf(digits, sizeof digits, type == 'x' ? "%" PRIx64 : type == 'X' ? "%" PRIX64 : "%" PRIo64, size);
        prefix = !s->alternate ? "" : type == 'x' ? "0x" : type == 'X' ? "0X" : "0o";
    } else if (type == 'b') {
        int n = 0;
        for (int bit = 63; bit >= 0; bit--)
            if (n || bit == 0 || size >> bit & 1)
                digits[n++] = (char)('0' + (size >> bit & 1));
        digits[n] = 0;
        prefix = s->alternate ? "0b" : "";
    } else {
        snprintf(digits, sizeof digits, "%" PRIu64, size);
    }
    return put_number(r, b, s, value < 0, prefix, digits);
}

static ash_status put_float(ash_run *r, ash_builder *b, const spec *s, double value, char type)
{
    char digits[500];
    double size = fabs(value);
    if (s->precision > DIGITS_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "format: a precision of more than %d digits", DIGITS_MAX);
    int precision = s->precision < 0 ? 6 : (int)s->precision;
    if (!isfinite(size))
        strcpy(digits, isnan(value) ? (isupper(type) ? "NAN" : "nan") : isupper(type) ? "INF" : "inf");
    else if (type == 0 && s->precision < 0)
        ash_float_repr(size, digits);
    else if (type == '%')
        snprintf(digits, sizeof digits, "%.*f%%", precision, size * 100);
    else if (type == 'f' || type == 'F')
        snprintf(digits, sizeof digits, s->alternate ? "%#.*f" : "%.*f", precision, size);
    else if (type == 'e')
        snprintf(digits, sizeof digits, "%.*e", precision, size);
    else if (type == 'E')
        snprintf(digits, sizeof digits, "%.*E", precision, size);
    else if (type == 'G')
        snprintf(digits, sizeof digits, "%.*G", precision ? precision : 1, size);
    else
        snprintf(digits, sizeof digits, "%.*g", precision ? precision : 1, size);
    if (type == 0 && s->precision >= 0 && isfinite(size) && !strpbrk(digits, ".e"))
        strcat(digits, ".0");
    return put_number(r, b, s, signbit(value) && !isnan(value), "", digits);
}

/* ---- % ---- */

typedef struct percent {
    ash_value *items;
    uint32_t count, at;
    ash_value values;
} percent;

static ash_status next_value(ash_run *r, percent *p, ash_value *out)
{
    if (p->at >= p->count)
        return bad(r, "not enough values");
    *out = p->items[p->at++];
    return ASH_OK;
}

static ash_status percent_number(ash_run *r, percent *p, const ash_string *f, size_t *at, int64_t *out)
{
    *out = 0;
    if (*at < f->bytes && f->text[*at] == '*') {
        ash_value v;
        ++*at;
        ASH_TRY(next_value(r, p, &v));
        ASH_TRY(ash_arg_int(r, v, "format", 0, out));
    }
    for (; *at < f->bytes && isdigit((unsigned char)f->text[*at]) && *out <= WIDTH_MAX; ++*at)
        *out = *out * 10 + f->text[*at] - '0';
    return *out > WIDTH_MAX || *out < -WIDTH_MAX ? ash_run_fail(r, ASH_E_LIMIT, "format: a width above %d", WIDTH_MAX) :
                                                   ASH_OK;
}

static ash_status percent_value(ash_run *r, ash_builder *b, spec *s, ash_value v)
{
    switch (s->type) {
    case 's': case 'r': case 'a': {
        ash_builder *part;
        const ash_string *text;
        ASH_TRY(ash_builder_new(r, 0, &part));
        ASH_TRY(s->type == 's' ? ash_build_str(r, part, v) : ash_build_repr(r, part, v));
        ASH_TRY(ash_builder_string(r, part, &text));
        s->align = s->align == '<' ? '<' : '>';
        return put_text(r, b, s, text);
    }
    case 'c': {
        const ash_string *text;
        if (v.kind != ASH_V_STRING || ash_string_chars(v.s) != 1)
            return bad(r, "%c needs one character");
        ASH_TRY(ash_arg_string(r, v, "format", &text));
        s->align = s->align == '<' ? '<' : '>';
        s->precision = -1;
        return put_text(r, b, s, text);
    }
    case 'd': case 'i': case 'u': case 'x': case 'X': case 'o':
        if (v.kind == ASH_V_FLOAT && (s->type == 'd' || s->type == 'i' || s->type == 'u') && fabs(v.f) < 9e18)
            v = ash_int((int64_t)v.f);
        if (!ash_is_integer(v))
            return v.kind == ASH_V_UNDEFINED ? ash_fail_undefined(r, v) : bad(r, "a number is needed");
        return put_integer(r, b, s, ash_as_int(v), s->type);
    case 'e': case 'E': case 'f': case 'F': case 'g': case 'G':
        if (!ash_is_number(v))
            return v.kind == ASH_V_UNDEFINED ? ash_fail_undefined(r, v) : bad(r, "a number is needed");
        return put_float(r, b, s, ash_as_float(v), s->type);
    default:
        return bad(r, "an unknown letter after %");
    }
}

/* At the character behind a '%'. */
static ash_status percent_one(ash_run *r, ash_builder *b, percent *p, const ash_string *f, size_t *at)
{
    spec s = { .fill = " ", .fill_bytes = 1, .precision = -1 };
    ash_value v = { 0 };
    if (*at < f->bytes && f->text[*at] == '(') {
        const char *end = memchr(f->text + *at, ')', f->bytes - *at);
        const ash_string *key;
        if (!end || p->values.kind != ASH_V_DICT)
            return bad(r, "%(name) needs a dict");
        size_t from = *at + 1;
        *at = (size_t)(end - f->text) + 1;
        ASH_TRY(ash_string_cut(r, f, from, *at - 1 - from, &key));
        const ash_value *found = ash_dict_find(p->values.dict, key);
        if (!found)
            return bad(r, "a name is not in the dict");
        v = *found;
    }
    for (; *at < f->bytes && strchr("-+ #0", f->text[*at]) && f->text[*at]; ++*at) {
        char c = f->text[*at];
        if (c == '-')
            s.align = '<';
        else if (c == '#')
            s.alternate = true;
        else if (c == '0')
            s.zero = true;
        else if (s.sign != '+')
            s.sign = c;
    }
    ASH_TRY(percent_number(r, p, f, at, &s.width));
    if (s.width < 0) {
        s.align = '<';
        s.width = -s.width;
    }
    if (*at < f->bytes && f->text[*at] == '.') {
        ++*at;
        ASH_TRY(percent_number(r, p, f, at, &s.precision));
        s.precision = s.precision < 0 ? 0 : s.precision;
    }
    if (*at >= f->bytes)
        return bad(r, "it ends after %");
    s.type = f->text[(*at)++];
    if (s.type == '%')
        return ash_build(r, b, "%", 1, ash_mark_at(f, *at - 1));
    if (v.kind == ASH_V_MISSING)
        ASH_TRY(next_value(r, p, &v));
    return percent_value(r, b, &s, v);
}

ash_status ash_format_percent(ash_run *r, const ash_string *f, ash_value values, const ash_string **out)
{
    percent p = { .items = &values, .count = 1, .values = values };
    ash_builder *b;
    if (values.kind == ASH_V_TUPLE) {
        p.items = values.list->items;
        p.count = values.list->count;
    }
    ASH_TRY(ash_builder_new(r, (size_t)f->bytes + 32, &b));
    for (size_t at = 0; at < f->bytes;) {
        const char *next = memchr(f->text + at, '%', f->bytes - at);
        size_t end = next ? (size_t)(next - f->text) : f->bytes;
        ASH_TRY(ash_build_part(r, b, f, at, end - at));
        at = end + 1;
        if (next)
            ASH_TRY(percent_one(r, b, &p, f, &at));
    }
    bool spare = values.kind != ASH_V_DICT && values.kind != ASH_V_LIST && values.kind != ASH_V_UNDEFINED;
    if (p.at < p.count && spare)
        return bad(r, "more values than places");
    ash_builder_blend(b);
    return ash_builder_string(r, b, out);
}

/* ---- {} ---- */

static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

static ash_status spec_number(ash_run *r, const char *text, size_t bytes, size_t *at, int64_t *out)
{
    *out = 0;
    for (; *at < bytes && isdigit((unsigned char)text[*at]); ++*at) {
        *out = *out * 10 + text[*at] - '0';
        if (*out > WIDTH_MAX)
            return ash_run_fail(r, ASH_E_LIMIT, "format: a width above %d", WIDTH_MAX);
    }
    return ASH_OK;
}

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static ash_status read_spec(ash_run *r, const char *text, size_t bytes, spec *s)
{
    *s = (spec){ .fill = " ", .fill_bytes = 1, .precision = -1 };
    size_t at = 0, first = bytes ? ash_char_bytes(text, bytes, NULL) : 0;
    if (first < bytes && is_align(text[first])) {
        s->fill = text;
        s->fill_bytes = first;
        s->align = text[first];
        at = first + 1;
    } else if (bytes && is_align(text[0])) {
        s->align = text[0];
        at = 1;
    }
    if (at < bytes && (text[at] == '+' || text[at] == '-' || text[at] == ' '))
        s->sign = text[at++];
    if (at < bytes && text[at] == '#') {
        s->alternate = true;
        at++;
    }
    if (at < bytes && text[at] == '0') {
        s->zero = true;
        at++;
    }
    ASH_TRY(spec_number(r, text, bytes, &at, &s->width));
    if (at < bytes && (text[at] == ',' || text[at] == '_'))
        s->grouping = text[at++];
    if (at < bytes && text[at] == '.') {
        size_t digits = ++at;
        ASH_TRY(spec_number(r, text, bytes, &at, &s->precision));
        if (at == digits)
            return bad(r, "a precision is missing");
    }
    if (at < bytes)
        s->type = text[at++];
    return at < bytes || (s->type && !strchr("sdboxXneEfFgG%c", s->type)) ? bad(r, "an unknown specification") : ASH_OK;
}

static ash_status put_field(ash_run *r, ash_builder *b, ash_value v, const char *text, size_t bytes)
{
    spec s;
    ASH_TRY(read_spec(r, text, bytes, &s));
    char type = s.type == 'n' ? 'd' : s.type;
    if (bytes == 0)
        return ash_build_str(r, b, v);
    if (v.kind == ASH_V_STRING || (v.kind == ASH_V_BOOL && !type)) {
        const ash_string *s_text;
        ASH_TRY(ash_to_string(r, v, &s_text));
        if ((type && type != 's') || s.sign || s.grouping || s.alternate || s.align == '=' )
            return bad(r, "a specification for numbers on a string");
        if (s.zero && !s.align)
            s.fill = "0";
        return put_text(r, b, &s, s_text);
    }
    if (ash_is_integer(v) && (!type || strchr("dboxXc", type))) {
        if (type == 'c' || s.precision >= 0)
            return bad(r, "a specification that integers do not have");
        return put_integer(r, b, &s, ash_as_int(v), type);
    }
    if (ash_is_number(v) && type != 's' && (!type || !strchr("dboxXc", type)))
        return put_float(r, b, &s, ash_as_float(v), type);
    return bad(r, "a specification that does not fit the value");
}

/* The value that "0.name[key]" names. */
static ash_status find_field(ash_run *r, const ash_args *args, const char *name, size_t bytes, uint32_t *next,
                             ash_value *out)
{
    size_t at = 0, index = 0;
    while (at < bytes && name[at] != '.' && name[at] != '[')
        at++;
    bool digits = at > 0 && at < 6;
    for (size_t i = 0; i < at; i++) {
        digits = digits && isdigit((unsigned char)name[i]);
        index = digits ? index * 10 + (size_t)(name[i] - '0') : index;
    }
    if (at == 0 || digits) {
        index = at == 0 ? (*next)++ : index;
        if (index >= args->count)
            return bad(r, "not enough values");
        *out = args->items[index];
    } else {
        ash_string key = { .text = name, .bytes = (uint32_t)at };
        uint32_t i = 0;
        while (i < args->key_count && !ash_string_same(args->keys[i], &key))
            i++;
        if (i == args->key_count)
            return bad(r, "a name is not among the arguments");
        *out = args->values[i];
    }
    while (at < bytes) {
        size_t from = ++at;
        bool item = name[from - 1] == '[';
        while (at < bytes && (item ? name[at] != ']' : name[at] != '.' && name[at] != '['))
            at++;
        if (item && at == bytes)
            return bad(r, "a ']' is missing");
        const ash_string *key;
        ASH_TRY(ash_string_new(r, name + from, at - from, false, &key));
        ash_value k = ash_str(key);
        bool number = at > from && at - from < 10;
        int64_t n = 0;
        for (size_t i = from; i < at && number; i++) {
            number = isdigit((unsigned char)name[i]);
            n = n * 10 + name[i] - '0';
        }
        if (item && number)
            k = ash_int(n);
        ASH_TRY(item ? ash_get_item(r, *out, k, out) : ash_get_attribute(r, *out, key, out));
        if (out->kind == ASH_V_UNDEFINED)
            return ash_fail_undefined(r, *out);
        at += item;
        if (at < bytes && name[at] != '.' && name[at] != '[')
            return bad(r, "only '.' or '[' may follow ']'");
    }
    return ASH_OK;
}

/* At the character behind a '{'. */
static ash_status brace_one(ash_run *r, ash_builder *b, const ash_args *args, const ash_string *f, size_t *at,
                            uint32_t *next)
{
    size_t from = *at, name_end, end = from;
    while (end < f->bytes && f->text[end] != '}' && f->text[end] != '{')
        end++;
    if (end >= f->bytes || f->text[end] == '{')
        return bad(r, end >= f->bytes ? "a '}' is missing" : "a '{' inside a place");
    *at = end + 1;
    name_end = from;
    while (name_end < end && f->text[name_end] != ':' && f->text[name_end] != '!')
        name_end++;
    ash_value v;
    ASH_TRY(find_field(r, args, f->text + from, name_end - from, next, &v));
    size_t spec_at = name_end;
    if (spec_at < end && f->text[spec_at] == '!') {
        if (spec_at + 1 >= end || !strchr("sra", f->text[spec_at + 1]))
            return bad(r, "an unknown conversion");
        ash_builder *part;
        ASH_TRY(ash_builder_new(r, 0, &part));
        ASH_TRY(f->text[spec_at + 1] == 's' ? ash_build_str(r, part, v) : ash_build_repr(r, part, v));
        ASH_TRY(ash_builder_value(r, part, &v));
        spec_at += 2;
    }
    if (spec_at < end && f->text[spec_at] != ':')
        return bad(r, "':' is expected");
    spec_at += spec_at < end;
    return put_field(r, b, v, f->text + spec_at, end - spec_at);
}

ash_status ash_format_braces(ash_run *r, const ash_string *f, const ash_args *args, const ash_string **out)
{
    ash_builder *b;
    uint32_t next = 0;
    ASH_TRY(ash_builder_new(r, (size_t)f->bytes + 32, &b));
    for (size_t at = 0; at < f->bytes;) {
        size_t n = 0;
        while (at + n < f->bytes && f->text[at + n] != '{' && f->text[at + n] != '}')
            n++;
        ASH_TRY(ash_build_part(r, b, f, at, n));
        at += n;
        if (at >= f->bytes)
            break;
        if (at + 1 < f->bytes && f->text[at + 1] == f->text[at]) {
            ASH_TRY(ash_build_part(r, b, f, at, 1));
            at += 2;
            continue;
        }
        if (f->text[at] == '}')
            return bad(r, "a single '}'");
        at++;
        ASH_TRY(brace_one(r, b, args, f, &at, &next));
    }
    ash_builder_blend(b);
    return ash_builder_string(r, b, out);
}
