#include "runtime/template/value.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/template/strings.h"

/* ---- the rendering's bounds ---- */

ash_status ash_run_fail(ash_run *r, ash_status status, const char *format, ...)
{
    char text[ASH_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ash_fail(r->err, status, "line %u: %s", r->line, text);
}

ash_status ash_run_alloc(ash_run *r, size_t bytes, void *out_pointer)
{
    void *p = ash_arena_take(&r->arena, bytes);
    *(void **)out_pointer = p;
    if (p)
        return ASH_OK;
    if (r->arena.over)
        return ash_run_fail(r, ASH_E_LIMIT, "the template uses more than %u MiB of memory", TEMPLATE_MEMORY_MAX >> 20);
    return ash_run_fail(r, ASH_E_MEMORY, "out of memory for the chat template");
}

ash_status ash_run_steps(ash_run *r, uint64_t steps)
{
    r->steps += steps;
    if (r->steps > r->steps_max)
        return ash_run_fail(r, ASH_E_LIMIT, "the template takes more than %" PRIu64 " steps", r->steps_max);
    return ASH_OK;
}

ash_status ash_run_bytes(ash_run *r, size_t bytes) { return ash_run_steps(r, bytes / TEMPLATE_BYTES_PER_STEP); }
ash_status ash_run_decode(ash_run *r, size_t bytes) { return ash_run_steps(r, bytes / TEMPLATE_DECODED_PER_STEP); }
ash_status ash_run_change(ash_run *r, size_t bytes) { return ash_run_steps(r, bytes / TEMPLATE_CHANGED_PER_STEP); }

ash_status ash_run_enter(ash_run *r)
{
    if (r->depth >= TEMPLATE_RUN_DEPTH_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "the template nests more than %d evaluations: endless recursion?",
                            TEMPLATE_RUN_DEPTH_MAX);
    r->depth++;
    return ASH_OK;
}

ash_status ash_fail_undefined(ash_run *r, ash_value v)
{
    const ash_string *s = v.s;
    int n = s ? (int)(s->bytes < 200 ? s->bytes : 200) : 0;
    const char *name = s ? s->text : "";
    switch ((ash_why)v.why) {
    case ASH_WHY_NAME:
        return ash_run_fail(r, ASH_E_FORMAT, "'%.*s' is undefined", n, name);
    case ASH_WHY_ATTRIBUTE:
        return ash_run_fail(r, ASH_E_FORMAT, "'%s object' has no attribute '%.*s'", ash_kind_name(v.owner), n, name);
    case ASH_WHY_ITEM:
        return ash_run_fail(r, ASH_E_FORMAT, "%s object has no such element", ash_kind_name(v.owner));
    case ASH_WHY_UNSAFE:
        return ash_run_fail(r, ASH_E_FORMAT, "access to attribute '%.*s' of '%s' object is unsafe", n, name,
                            ash_kind_name(v.owner));
    default:
        return ash_run_fail(r, ASH_E_FORMAT, "%.*s", n, name);
    }
}

/* ---- making values ---- */

ash_value ash_undefined(ash_why why, ash_kind owner, const ash_string *name)
{
    return (ash_value){ .kind = ASH_V_UNDEFINED, .why = (uint8_t)why, .owner = (uint8_t)owner, .s = name };
}

ash_status ash_list_of(ash_run *r, ash_kind kind, ash_value *items, uint32_t count, ash_value *out)
{
    ash_list *list;
    ASH_TRY(ash_run_alloc(r, sizeof *list, &list));
    *list = (ash_list){ .items = items, .count = count };
    *out = (ash_value){ .kind = (uint8_t)kind, .list = list };
    return ASH_OK;
}

ash_status ash_list_new(ash_run *r, ash_kind kind, uint32_t count, ash_value *out)
{
    ash_value *items;
    ASH_TRY(ash_run_alloc(r, (size_t)count * sizeof *items, &items));
    return ash_list_of(r, kind, items, count, out);
}

ash_status ash_values_add(ash_run *r, ash_values *list, ash_value v)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 8;
        if (!ash_arena_extend(&r->arena, list->items, list->room * sizeof v, room * sizeof v)) {
            ash_value *grown;
            ASH_TRY(ash_run_alloc(r, room * sizeof v, &grown));
            if (list->count)
                memcpy(grown, list->items, list->count * sizeof v);
            list->items = grown;
        }
        list->room = room;
    }
    list->items[list->count++] = v;
    return ASH_OK;
}

ash_status ash_dict_new(ash_run *r, uint32_t room, ash_value *out)
{
    ash_dict *d;
    ASH_TRY(ash_run_alloc(r, sizeof *d, &d));
    if (room)
        ASH_TRY(ash_run_alloc(r, (size_t)room * sizeof *d->pairs, &d->pairs));
    d->room = room;
    *out = (ash_value){ .kind = ASH_V_DICT, .dict = d };
    return ASH_OK;
}

const ash_value *ash_dict_find(const ash_dict *d, const ash_string *key)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (d->pairs[i].key.kind == ASH_V_STRING && ash_string_same(d->pairs[i].key.s, key))
            return &d->pairs[i].value;
    return NULL;
}

ash_status ash_dict_get(ash_run *r, const ash_dict *d, ash_value key, const ash_value **out)
{
    *out = NULL;
    ASH_TRY(ash_run_steps(r, d->count / 8));
    if (key.kind == ASH_V_STRING) {
        *out = ash_dict_find(d, key.s);
        return ASH_OK;
    }
    if (!ash_is_hashable(key))
        return ash_run_fail(r, ASH_E_FORMAT, "a %s cannot be a key", ash_kind_name(key.kind));
    for (uint32_t i = 0; i < d->count && !*out; i++) {
        bool same = false;
        if (d->pairs[i].key.kind != ASH_V_STRING)
            ASH_TRY(ash_equal(r, d->pairs[i].key, key, &same));
        if (same)
            *out = &d->pairs[i].value;
    }
    return ASH_OK;
}

ash_status ash_dict_set(ash_run *r, ash_dict *d, ash_value key, ash_value value)
{
    const ash_value *known;
    ASH_TRY(ash_dict_get(r, d, key, &known));
    if (known) {
        d->pairs[(const ash_pair *)((const char *)known - offsetof(ash_pair, value)) - d->pairs].value = value;
        return ASH_OK;
    }
    if (d->count == d->room) {
        uint32_t room = d->room ? 2 * d->room : 4;
        ash_pair *grown;
        ASH_TRY(ash_run_alloc(r, (size_t)room * sizeof *grown, &grown));
        if (d->count)
            memcpy(grown, d->pairs, d->count * sizeof *grown);
        d->pairs = grown;
        d->room = room;
    }
    d->pairs[d->count++] = (ash_pair){ key, value };
    return ASH_OK;
}

/* ---- asking ---- */

const char *ash_kind_name(ash_kind kind)
{
    static const char *const names[] = {
        [ASH_V_MISSING] = "missing", [ASH_V_UNDEFINED] = "Undefined", [ASH_V_NONE] = "None", [ASH_V_BOOL] = "bool",
        [ASH_V_INT] = "int", [ASH_V_FLOAT] = "float", [ASH_V_STRING] = "str", [ASH_V_LIST] = "list",
        [ASH_V_TUPLE] = "tuple", [ASH_V_DICT] = "dict", [ASH_V_RANGE] = "range", [ASH_V_GENERATOR] = "generator",
        [ASH_V_KEYS] = "dict_keys", [ASH_V_VALUES] = "dict_values", [ASH_V_ITEMS] = "dict_items",
        [ASH_V_NAMESPACE] = "Namespace", [ASH_V_MACRO] = "Macro", [ASH_V_METHOD] = "method",
        [ASH_V_FUNCTION] = "function", [ASH_V_LOOP] = "LoopContext", [ASH_V_CYCLER] = "Cycler",
        [ASH_V_JOINER] = "Joiner",
    };
    return names[kind];
}

bool ash_length(ash_value v, int64_t *out)
{
    switch ((ash_kind)v.kind) {
    case ASH_V_UNDEFINED: *out = 0; return true;
    case ASH_V_STRING: *out = ash_string_chars(v.s); return true;
    case ASH_V_LIST: case ASH_V_TUPLE: *out = v.list->count; return true;
    case ASH_V_DICT: case ASH_V_KEYS: case ASH_V_VALUES: case ASH_V_ITEMS: *out = v.dict->count; return true;
    case ASH_V_RANGE: *out = v.range->count; return true;
    default: return false;
    }
}

bool ash_truth(ash_value v)
{
    int64_t n;
    switch ((ash_kind)v.kind) {
    case ASH_V_MISSING: case ASH_V_UNDEFINED: case ASH_V_NONE: return false;
    case ASH_V_BOOL: return v.b;
    case ASH_V_INT: return v.i != 0;
    case ASH_V_FLOAT: return v.f != 0;
    case ASH_V_STRING: return v.s->bytes != 0;
    default: return !ash_length(v, &n) || n != 0;
    }
}

bool ash_is_iterable(ash_value v)
{
    int64_t n;
    return ash_length(v, &n) || v.kind == ASH_V_GENERATOR || v.kind == ASH_V_LOOP;
}

ash_status ash_iterate(ash_run *r, ash_value v, ash_value **items, uint32_t *count)
{
    int64_t n = 0;
    *items = NULL;
    *count = 0;
    switch ((ash_kind)v.kind) {
    case ASH_V_LIST: case ASH_V_TUPLE:
        *items = v.list->items;
        *count = v.list->count;
        return ASH_OK;
    case ASH_V_GENERATOR:
        *items = v.list->items + v.list->at;
        *count = v.list->count - v.list->at;
        v.list->at = v.list->count;
        return ASH_OK;
    default:
        break;
    }
    if (!ash_length(v, &n))
        return ash_run_fail(r, ASH_E_FORMAT, "%s is not iterable", ash_kind_name(v.kind));
    ASH_TRY(ash_run_steps(r, (uint64_t)n));
    ASH_TRY(ash_run_alloc(r, (size_t)n * sizeof **items, items));
    size_t at = 0;
    ash_string plain = { 0 }; /* the characters of markup are no markup */
    if (v.kind == ASH_V_STRING) {
        plain = *v.s;
        plain.markup = false;
    }
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        ash_value *out = &(*items)[i];
        if (v.kind == ASH_V_STRING) {
            size_t bytes = ash_char_bytes(v.s->text + at, v.s->bytes - at, NULL);
            const ash_string *one = v.s;
            if (n > 1 || v.s->markup)
                ASH_TRY(ash_string_part(r, &plain, at, bytes, &one));
            *out = ash_str(one);
            at += bytes;
        } else if (v.kind == ASH_V_RANGE) {
            *out = ash_int(v.range->start + i * v.range->step);
        } else if (v.kind == ASH_V_ITEMS) {
            ASH_TRY(ash_list_new(r, ASH_V_TUPLE, 2, out));
            out->list->items[0] = v.dict->pairs[i].key;
            out->list->items[1] = v.dict->pairs[i].value;
        } else {
            *out = v.kind == ASH_V_VALUES ? v.dict->pairs[i].value : v.dict->pairs[i].key;
        }
    }
    *count = (uint32_t)n;
    return ASH_OK;
}

/* ---- equality and order ---- */

static int order_numbers(ash_value a, ash_value b, bool *unordered)
{
    if (ash_is_integer(a) && ash_is_integer(b)) {
        int64_t x = ash_as_int(a), y = ash_as_int(b);
        return (x > y) - (x < y);
    }
    double x = ash_as_float(a), y = ash_as_float(b);
    *unordered = isnan(x) || isnan(y);
    return (x > y) - (x < y);
}

static ash_status equal_dicts(ash_run *r, const ash_dict *a, const ash_dict *b, bool *out)
{
    *out = a->count == b->count;
    for (uint32_t i = 0; i < a->count && *out; i++) {
        const ash_value *other;
        ASH_TRY(ash_dict_get(r, b, a->pairs[i].key, &other));
        *out = other;
        if (other)
            ASH_TRY(ash_equal(r, a->pairs[i].value, *other, out));
    }
    return ASH_OK;
}

ash_status ash_equal(ash_run *r, ash_value a, ash_value b, bool *out)
{
    *out = false;
    if (ash_is_number(a) && ash_is_number(b)) {
        bool unordered = false;
        *out = order_numbers(a, b, &unordered) == 0 && !unordered;
        return ASH_OK;
    }
    if (a.kind != b.kind)
        return ASH_OK;
    switch ((ash_kind)a.kind) {
    case ASH_V_UNDEFINED: case ASH_V_NONE: case ASH_V_MISSING:
        *out = true;
        return ASH_OK;
    case ASH_V_STRING:
        *out = ash_string_same(a.s, b.s);
        return ash_run_bytes(r, a.s->bytes == b.s->bytes ? a.s->bytes : 0);
    case ASH_V_LIST: case ASH_V_TUPLE: case ASH_V_DICT:
        break;
    case ASH_V_RANGE:
        *out = a.range->count == b.range->count &&
               (a.range->count == 0 || (a.range->start == b.range->start &&
                                        (a.range->count == 1 || a.range->step == b.range->step)));
        return ASH_OK;
    default:
        *out = a.list == b.list;
        return ASH_OK;
    }
    if (a.list == b.list) {
        *out = true;
        return ASH_OK;
    }
    ASH_TRY(ash_run_enter(r));
    if (a.kind == ASH_V_DICT) {
        ASH_TRY(equal_dicts(r, a.dict, b.dict, out));
    } else {
        *out = a.list->count == b.list->count;
        for (uint32_t i = 0; i < a.list->count && *out; i++) {
            ASH_TRY(ash_run_steps(r, 1));
            ASH_TRY(ash_equal(r, a.list->items[i], b.list->items[i], out));
        }
    }
    r->depth--;
    return ASH_OK;
}

ash_status ash_compare(ash_run *r, ash_value a, ash_value b, int *out, bool *unordered)
{
    *unordered = false;
    *out = 0;
    if (ash_is_number(a) && ash_is_number(b)) {
        *out = order_numbers(a, b, unordered);
        return ASH_OK;
    }
    if (a.kind == ASH_V_STRING && b.kind == ASH_V_STRING) {
        *out = ash_string_order(a.s, b.s);
        return ash_run_bytes(r, a.s->bytes < b.s->bytes ? a.s->bytes : b.s->bytes);
    }
    if (a.kind == b.kind && (a.kind == ASH_V_LIST || a.kind == ASH_V_TUPLE)) {
        ASH_TRY(ash_run_enter(r));
        uint32_t n = a.list->count < b.list->count ? a.list->count : b.list->count;
        bool same = true;
        uint32_t i = 0;
        for (; i < n && same; i++) {
            ASH_TRY(ash_run_steps(r, 1));
            ASH_TRY(ash_equal(r, a.list->items[i], b.list->items[i], &same));
        }
        if (same)
            *out = (a.list->count > b.list->count) - (a.list->count < b.list->count);
        else
            ASH_TRY(ash_compare(r, a.list->items[i - 1], b.list->items[i - 1], out, unordered));
        r->depth--;
        return ASH_OK;
    }
    if (a.kind == ASH_V_UNDEFINED || b.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, a.kind == ASH_V_UNDEFINED ? a : b);
    return ash_run_fail(r, ASH_E_FORMAT, "%s and %s have no order", ash_kind_name(a.kind), ash_kind_name(b.kind));
}

ash_status ash_contains(ash_run *r, ash_value container, ash_value item, bool *out)
{
    *out = false;
    if (container.kind == ASH_V_STRING) {
        if (item.kind != ASH_V_STRING)
            return ash_run_fail(r, ASH_E_FORMAT, "'in' a string needs a string, not %s", ash_kind_name(item.kind));
        *out = ash_string_find(container.s, item.s, 0, container.s->bytes) != SIZE_MAX;
        return ash_run_bytes(r, container.s->bytes);
    }
    if (container.kind == ASH_V_DICT || container.kind == ASH_V_KEYS) {
        const ash_value *found;
        ASH_TRY(ash_dict_get(r, container.dict, item, &found));
        *out = found;
        return ASH_OK;
    }
    ash_value *items;
    uint32_t count;
    ASH_TRY(ash_iterate(r, container, &items, &count));
    ASH_TRY(ash_run_steps(r, count));
    for (uint32_t i = 0; i < count && !*out; i++)
        ASH_TRY(ash_equal(r, items[i], item, out));
    return ASH_OK;
}

/* ---- from outside ---- */

ash_status ash_value_from_json(ash_run *r, const cJSON *json, ash_value *out)
{
    ASH_TRY(ash_run_steps(r, 1));
    if (cJSON_IsBool(json)) {
        *out = ash_bool(cJSON_IsTrue(json));
        return ASH_OK;
    }
    if (cJSON_IsNumber(json)) {
        double f = json->valuedouble;
        *out = f == floor(f) && fabs(f) <= 9007199254740992.0 ? ash_int((int64_t)f) : ash_float(f);
        return ASH_OK;
    }
    if (cJSON_IsString(json) && json->valuestring)
        return ash_string_value(r, json->valuestring, strlen(json->valuestring), true, out);
    if (!cJSON_IsArray(json) && !cJSON_IsObject(json)) {
        *out = ash_none();
        return ASH_OK;
    }
    if (r->depth >= TEMPLATE_VALUE_DEPTH_MAX)
        return ash_fail(r->err, ASH_E_LIMIT, "the template's variables nest more than %d deep",
                        TEMPLATE_VALUE_DEPTH_MAX);
    r->depth++;
    uint32_t count = 0;
    for (const cJSON *child = json->child; child; child = child->next)
        count++;
    if (cJSON_IsArray(json)) {
        ASH_TRY(ash_list_new(r, ASH_V_LIST, count, out));
        ash_value *item = out->list->items;
        for (const cJSON *child = json->child; child; child = child->next)
            ASH_TRY(ash_value_from_json(r, child, item++));
    } else {
        ASH_TRY(ash_dict_new(r, count, out));
        for (const cJSON *child = json->child; child; child = child->next) {
            ash_value key, value;
            const char *name = child->string ? child->string : "";
            ASH_TRY(ash_string_value(r, name, strlen(name), true, &key));
            ASH_TRY(ash_value_from_json(r, child, &value));
            ASH_TRY(ash_dict_set(r, out->dict, key, value));
        }
    }
    r->depth--;
    return ASH_OK;
}
