/* tojson, as transformers defines it: json.dumps, with characters outside ASCII left as they are by default. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/template/strings.h"

typedef struct writer {
    ash_run *r;
    ash_builder *b;
    const ash_string *indent, *item_separator, *key_separator;
    bool ascii, sort_keys;
} writer;

static ash_status put(writer *w, const char *text) { return ash_build(w->r, w->b, text, strlen(text), false); }

static ash_status put_string(writer *w, const ash_string *s)
{
    ASH_TRY(ash_run_decode(w->r, s->bytes));
    ASH_TRY(put(w, "\""));
    size_t done = 0;
    for (size_t at = 0; at < s->bytes;) {
        char escape[16] = "";
        uint32_t code;
        size_t n = ash_char_bytes(s->text + at, s->bytes - at, &code);
        static const char special[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
        const char *known = code && code < 0x80 ? strchr(special, (int)code) : NULL;
        if (known)
            sprintf(escape, "\\%c", letters[known - special]);
        else if (code < 0x20 || (w->ascii && code > 0x7e && code < 0x10000 && code != 0x7f))
            sprintf(escape, "\\u%04x", code);
        else if (w->ascii && code >= 0x10000)
            sprintf(escape, "\\u%04x\\u%04x", 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
        if (*escape) {
            ASH_TRY(ash_build_part(w->r, w->b, s, done, at - done));
            ASH_TRY(ash_build(w->r, w->b, escape, strlen(escape), ash_mark_at(s, at)));
            done = at + n;
        }
        at += n;
    }
    ASH_TRY(ash_build_part(w->r, w->b, s, done, s->bytes - done));
    return put(w, "\"");
}

static ash_status put_break(writer *w, unsigned level)
{
    if (!w->indent)
        return ASH_OK;
    ASH_TRY(put(w, "\n"));
    for (unsigned i = 0; i < level; i++)
        ASH_TRY(ash_build_string(w->r, w->b, w->indent));
    return ASH_OK;
}

static ash_status put_scalar(writer *w, ash_value v)
{
    char text[40];
    switch ((ash_kind)v.kind) {
    case ASH_V_NONE: return put(w, "null");
    case ASH_V_BOOL: return put(w, v.b ? "true" : "false");
    case ASH_V_INT:
        snprintf(text, sizeof text, "%" PRId64, v.i);
        return put(w, text);
    case ASH_V_FLOAT:
        if (isfinite(v.f))
            ash_float_repr(v.f, text);
        else
            strcpy(text, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        return put(w, text);
    default:
        return ash_run_fail(w->r, ASH_E_FORMAT, "%s cannot be written as JSON", ash_kind_name(v.kind));
    }
}

static ash_status put_key(writer *w, ash_value key)
{
    if (key.kind == ASH_V_STRING)
        return put_string(w, key.s);
    if (key.kind == ASH_V_TUPLE)
        return ash_run_fail(w->r, ASH_E_FORMAT, "a tuple cannot be a key in JSON");
    ASH_TRY(put(w, "\""));
    ASH_TRY(put_scalar(w, key));
    return put(w, "\"");
}

static int by_key(const void *a, const void *b)
{
    return ash_string_order(((const ash_pair *)a)->key.s, ((const ash_pair *)b)->key.s);
}

/* json.dumps refuses to order keys of unlike types; keys other than strings are kept in their order here. */
static ash_status sorted_pairs(writer *w, const ash_dict *d, ash_pair **out)
{
    *out = d->pairs;
    if (!w->sort_keys || d->count == 0)
        return ASH_OK;
    ASH_TRY(ash_run_alloc(w->r, d->count * sizeof **out, out));
    memcpy(*out, d->pairs, d->count * sizeof **out);
    for (uint32_t i = 0; i < d->count; i++)
        if (d->pairs[i].key.kind != ASH_V_STRING)
            return ASH_OK;
    qsort(*out, d->count, sizeof **out, by_key);
    return ASH_OK;
}

static ash_status put_value(writer *w, ash_value v, unsigned level)
{
    ASH_TRY(ash_run_steps(w->r, 1));
    if (v.kind == ASH_V_STRING)
        return put_string(w, v.s);
    bool dict = v.kind == ASH_V_DICT;
    if (!dict && v.kind != ASH_V_LIST && v.kind != ASH_V_TUPLE)
        return put_scalar(w, v);
    if (level >= TEMPLATE_VALUE_DEPTH_MAX)
        return ash_run_fail(w->r, ASH_E_LIMIT, "tojson of a value nested more than %d deep", TEMPLATE_VALUE_DEPTH_MAX);
    uint32_t count = dict ? v.dict->count : v.list->count;
    ash_pair *pairs = NULL;
    if (dict)
        ASH_TRY(sorted_pairs(w, v.dict, &pairs));
    ASH_TRY(put(w, dict ? "{" : "["));
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            ASH_TRY(ash_build_string(w->r, w->b, w->item_separator));
        ASH_TRY(put_break(w, level + 1));
        if (dict) {
            ASH_TRY(put_key(w, pairs[i].key));
            ASH_TRY(ash_build_string(w->r, w->b, w->key_separator));
        }
        ASH_TRY(put_value(w, dict ? pairs[i].value : v.list->items[i], level + 1));
    }
    if (count)
        ASH_TRY(put_break(w, level));
    return put(w, dict ? "}" : "]");
}

ash_status ash_to_json(ash_run *r, ash_value v, const ash_string *indent, const ash_string *item_separator,
                       const ash_string *key_separator, bool ascii, bool sort_keys, const ash_string **out)
{
    static const ash_string comma = ASH_LITERAL(",");
    static const ash_string comma_space = ASH_LITERAL(", ");
    static const ash_string colon_space = ASH_LITERAL(": ");
    writer w = { .r = r, .indent = indent, .ascii = ascii, .sort_keys = sort_keys,
                 .item_separator = item_separator ? item_separator : indent ? &comma : &comma_space,
                 .key_separator = key_separator ? key_separator : &colon_space };
    ASH_TRY(ash_builder_new(r, 64, &w.b));
    ASH_TRY(put_value(&w, v, 0));
    ash_builder_blend(w.b);
    return ash_builder_string(r, w.b, out);
}
