/* Text forms of values: Python's str() and repr(), and HTML escapes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/template/call.h"
#include "runtime/template/letters.h"
#include "runtime/template/strings.h"

static ash_status put(ash_run *r, ash_builder *b, const char *text)
{
    return ash_build(r, b, text, strlen(text), false);
}

/* ---- repr of strings ---- */

/* Bytes that stand for themselves are copied in runs. */
static ash_status repr_string(ash_run *r, ash_builder *b, const ash_string *s)
{
    ASH_TRY(ash_run_decode(r, s->bytes));
    bool quotes = memchr(s->text, '\'', s->bytes) && !memchr(s->text, '"', s->bytes);
    const char *quote = quotes ? "\"" : "'";
    ASH_TRY(ash_build(r, b, quote, 1, ash_mark_at(s, 0)));
    size_t done = 0;
    for (size_t at = 0; at < s->bytes;) {
        uint32_t code;
        char escape[16] = "";
        size_t n = ash_char_bytes(s->text + at, s->bytes - at, &code);
        if (code == '\\' || code == (unsigned char)*quote)
            sprintf(escape, "\\%c", (char)code);
        else if (code == '\n' || code == '\r' || code == '\t')
            sprintf(escape, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
        else if ((code < 0x20 || code > 0x7e) && !ash_is_printable(code))
            sprintf(escape, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
        if (*escape) {
            ASH_TRY(ash_build_part(r, b, s, done, at - done));
            ASH_TRY(ash_build(r, b, escape, strlen(escape), ash_mark_at(s, at)));
            done = at + n;
        }
        at += n;
    }
    ASH_TRY(ash_build_part(r, b, s, done, s->bytes - done));
    return ash_build(r, b, quote, 1, ash_mark_at(s, 0));
}

/* ---- repr of everything ---- */

static ash_status repr_items(ash_run *r, ash_builder *b, const ash_value *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            ASH_TRY(put(r, b, ", "));
        ASH_TRY(ash_build_repr(r, b, items[i]));
    }
    return ASH_OK;
}

static ash_status repr_pairs(ash_run *r, ash_builder *b, const ash_dict *d, ash_kind kind)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const ash_pair *p = &d->pairs[i];
        ASH_TRY(put(r, b, i ? (kind == ASH_V_ITEMS ? ", (" : ", ") : kind == ASH_V_ITEMS ? "(" : ""));
        if (kind != ASH_V_VALUES)
            ASH_TRY(ash_build_repr(r, b, p->key));
        if (kind == ASH_V_ITEMS || kind == ASH_V_DICT)
            ASH_TRY(put(r, b, kind == ASH_V_DICT ? ": " : ", "));
        if (kind != ASH_V_KEYS)
            ASH_TRY(ash_build_repr(r, b, p->value));
        if (kind == ASH_V_ITEMS)
            ASH_TRY(put(r, b, ")"));
    }
    return ASH_OK;
}

static ash_status repr_range(ash_run *r, ash_builder *b, const ash_range *g)
{
    char text[96];
    if (g->step == 1)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", g->start, g->stop);
    else
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", g->start, g->stop, g->step);
    return put(r, b, text);
}

static ash_status repr_inside(ash_run *r, ash_builder *b, ash_value v)
{
    char text[40];
    switch ((ash_kind)v.kind) {
    case ASH_V_MISSING: case ASH_V_UNDEFINED: return put(r, b, "Undefined");
    case ASH_V_NONE: return put(r, b, "None");
    case ASH_V_BOOL: return put(r, b, v.b ? "True" : "False");
    case ASH_V_INT:
        snprintf(text, sizeof text, "%" PRId64, v.i);
        return put(r, b, text);
    case ASH_V_FLOAT:
        ash_float_repr(v.f, text);
        return put(r, b, text);
    case ASH_V_STRING:
        if (!v.s->markup)
            return repr_string(r, b, v.s);
        ASH_TRY(put(r, b, "Markup("));
        ASH_TRY(repr_string(r, b, v.s));
        return put(r, b, ")");
    case ASH_V_LIST:
        ASH_TRY(put(r, b, "["));
        ASH_TRY(repr_items(r, b, v.list->items, v.list->count));
        return put(r, b, "]");
    case ASH_V_TUPLE:
        ASH_TRY(put(r, b, "("));
        ASH_TRY(repr_items(r, b, v.list->items, v.list->count));
        return put(r, b, v.list->count == 1 ? ",)" : ")");
    case ASH_V_DICT: case ASH_V_NAMESPACE:
        ASH_TRY(put(r, b, v.kind == ASH_V_NAMESPACE ? "<Namespace {" : "{"));
        ASH_TRY(repr_pairs(r, b, v.dict, ASH_V_DICT));
        return put(r, b, v.kind == ASH_V_NAMESPACE ? "}>" : "}");
    case ASH_V_KEYS: case ASH_V_VALUES: case ASH_V_ITEMS:
        ASH_TRY(put(r, b, ash_kind_name(v.kind)));
        ASH_TRY(put(r, b, "(["));
        ASH_TRY(repr_pairs(r, b, v.dict, v.kind));
        return put(r, b, "])");
    case ASH_V_RANGE: return repr_range(r, b, v.range);
    case ASH_V_MACRO:
        if (!v.macro->name)
            return put(r, b, "<Macro anonymous>");
        ASH_TRY(put(r, b, "<Macro "));
        ASH_TRY(repr_string(r, b, v.macro->name));
        return put(r, b, ">");
    case ASH_V_LOOP:
        snprintf(text, sizeof text, "<LoopContext %u/%u>", v.loop->index + 1, v.loop->count);
        return put(r, b, text);
    default: /* Python shows an address here */
        ASH_TRY(put(r, b, "<"));
        ASH_TRY(put(r, b, ash_kind_name(v.kind)));
        return put(r, b, " object>");
    }
}

ash_status ash_build_repr(ash_run *r, ash_builder *b, ash_value v)
{
    ASH_TRY(ash_run_steps(r, 1));
    ASH_TRY(ash_run_enter(r));
    ASH_TRY(repr_inside(r, b, v));
    r->depth--;
    return ASH_OK;
}

ash_status ash_build_str(ash_run *r, ash_builder *b, ash_value v)
{
    if (v.kind == ASH_V_STRING)
        return ash_build_string(r, b, v.s);
    if (v.kind == ASH_V_UNDEFINED)
        return ASH_OK;
    if (v.kind < ASH_V_LIST)
        return ash_build_repr(r, b, v);
    const ash_string *s;
    ASH_TRY(ash_to_string(r, v, &s));
    return ash_build_string(r, b, s);
}

ash_status ash_to_string(ash_run *r, ash_value v, const ash_string **out)
{
    if (v.kind == ASH_V_STRING) {
        *out = v.s;
        return ASH_OK;
    }
    ash_builder *b;
    ASH_TRY(ash_builder_new(r, 0, &b));
    if (v.kind != ASH_V_UNDEFINED)
        ASH_TRY(ash_build_repr(r, b, v));
    ash_builder_blend(b);
    return ash_builder_string(r, b, out);
}

/* ---- HTML ---- */

ash_status ash_escape_html(ash_run *r, const ash_string *s, const ash_string **out)
{
    ash_builder *b;
    ASH_TRY(ash_run_decode(r, s->bytes));
    ASH_TRY(ash_builder_new(r, (size_t)s->bytes + 16, &b));
    size_t done = 0;
    for (size_t at = 0; at < s->bytes && !s->markup; at++) {
        const char *escape = s->text[at] == '&' ? "&amp;" : s->text[at] == '<' ? "&lt;" : s->text[at] == '>' ? "&gt;" :
                             s->text[at] == '"' ? "&#34;" : s->text[at] == '\'' ? "&#39;" : NULL;
        if (!escape)
            continue;
        ASH_TRY(ash_build_part(r, b, s, done, at - done));
        ASH_TRY(ash_build(r, b, escape, strlen(escape), ash_mark_at(s, at)));
        done = at + 1;
    }
    ASH_TRY(ash_build_part(r, b, s, done, s->bytes - done));
    ASH_TRY(ash_builder_string(r, b, out));
    ((ash_string *)(uintptr_t)*out)->markup = true; /* made just above */
    return ASH_OK;
}
