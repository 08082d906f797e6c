/* Calls, attributes, items and slices. */
#include "runtime/template/call.h"

#include <stdio.h>
#include <string.h>

#include "runtime/template/strings.h"

const ash_builtin *ash_find_builtin(const ash_builtin *table, const ash_string *name)
{
    for (; table->name; table++)
        if (ash_string_is(name, table->name))
            return table;
    return NULL;
}

/* ---- arguments ---- */

/* The place of `name` in a list "a,b,c", or ASH_PARAMS_MAX. */
static uint32_t place_of(const char *params, const ash_string *name)
{
    uint32_t place = 0;
    for (;;) {
        size_t n = strcspn(params, ",");
        if (n == name->bytes && memcmp(params, name->text, n) == 0)
            return place;
        if (!params[n])
            return ASH_PARAMS_MAX;
        params += n + 1;
        place++;
    }
}

static uint32_t count_params(const char *params)
{
    uint32_t n = *params ? 1 : 0;
    for (; *params; params++)
        n += *params == ',';
    return n;
}

ash_status ash_call_builtin(ash_run *r, const ash_builtin *f, ash_value self, const ash_args *args, ash_value *out)
{
    ash_call c = { .self = self, .args = args };
    ASH_TRY(ash_run_steps(r, 1));
    if (!f->params)
        return f->fn(r, &c, out);
    uint32_t count = count_params(f->params);
    if (args->count > count)
        return ash_run_fail(r, ASH_E_FORMAT, "%s takes %u arguments, not %u", f->name, count, args->count);
    for (uint32_t i = 0; i < args->count; i++)
        c.at[i] = args->items[i];
    for (uint32_t i = 0; i < args->key_count; i++) {
        uint32_t place = *f->params ? place_of(f->params, args->keys[i]) : ASH_PARAMS_MAX;
        if (place == ASH_PARAMS_MAX || place < args->count)
            return ash_run_fail(r, ASH_E_FORMAT, "%s: unexpected argument '%.*s'", f->name,
                                (int)(args->keys[i]->bytes < 80 ? args->keys[i]->bytes : 80), args->keys[i]->text);
        c.at[place] = args->values[i];
    }
    for (uint32_t i = 0; i < f->required; i++)
        if (c.at[i].kind == ASH_V_MISSING)
            return ash_run_fail(r, ASH_E_FORMAT, "%s needs at least %u arguments", f->name, f->required);
    return f->fn(r, &c, out);
}

ash_status ash_arg_int(ash_run *r, ash_value v, const char *what, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (v.kind == ASH_V_MISSING)
        return ASH_OK;
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    if (!ash_is_integer(v))
        return ash_run_fail(r, ASH_E_FORMAT, "%s needs an integer, not %s", what, ash_kind_name(v.kind));
    *out = ash_as_int(v);
    return ASH_OK;
}

ash_status ash_arg_string(ash_run *r, ash_value v, const char *what, const ash_string **out)
{
    *out = NULL;
    if (v.kind == ASH_V_MISSING || v.kind == ASH_V_NONE)
        return ASH_OK;
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    if (v.kind != ASH_V_STRING)
        return ash_run_fail(r, ASH_E_FORMAT, "%s needs a string, not %s", what, ash_kind_name(v.kind));
    *out = v.s;
    return ASH_OK;
}

/* ---- calling ---- */

static ash_status call_inside(ash_run *r, ash_value callee, const ash_args *args, ash_value *out)
{
    switch ((ash_kind)callee.kind) {
    case ASH_V_FUNCTION: return ash_call_builtin(r, callee.function, (ash_value){ 0 }, args, out);
    case ASH_V_METHOD: return ash_call_builtin(r, callee.method->builtin, callee.method->self, args, out);
    case ASH_V_MACRO: return ash_call_macro(r, callee.macro, args, out);
    case ASH_V_LOOP: return ash_call_loop(r, callee.loop, args, out);
    case ASH_V_JOINER: {
        static const ash_string nothing = ASH_LITERAL("");
        *out = ash_str(callee.joiner->used ? callee.joiner->separator : &nothing);
        callee.joiner->used = true;
        return ASH_OK;
    }
    case ASH_V_UNDEFINED: return ash_fail_undefined(r, callee);
    default: return ash_run_fail(r, ASH_E_FORMAT, "%s is not callable", ash_kind_name(callee.kind));
    }
}

ash_status ash_call_value(ash_run *r, ash_value callee, const ash_args *args, ash_value *out)
{
    ASH_TRY(ash_run_enter(r));
    ASH_TRY(call_inside(r, callee, args, out));
    r->depth--;
    return ASH_OK;
}

/* ---- attributes and items ---- */

/* What Python's getattr would find on the value; *found is false for what it would not. */
static ash_status attribute_alone(ash_run *r, ash_value v, const ash_string *name, ash_value *out, bool *found)
{
    *found = true;
    if (v.kind == ASH_V_NAMESPACE) {
        const ash_value *member = ash_dict_find(v.dict, name);
        *found = member;
        if (member)
            *out = *member;
        return ASH_OK;
    }
    if (name->bytes > 4 && memcmp(name->text, "__", 2) == 0 && memcmp(name->text + name->bytes - 2, "__", 2) == 0) {
        *out = ash_undefined(ASH_WHY_UNSAFE, v.kind, name);
        return ASH_OK;
    }
    if (v.kind == ASH_V_LOOP) {
        ASH_TRY(ash_loop_attribute(r, v.loop, name, out));
        *found = out->kind != ASH_V_MISSING;
        if (*found)
            return ASH_OK;
    }
    if (v.kind == ASH_V_MACRO && ash_string_is(name, "name")) {
        *out = v.macro->name ? ash_str(v.macro->name) : ash_none();
        return ASH_OK;
    }
    if (v.kind == ASH_V_TUPLE && v.list->at == ASH_GROUP &&
        (ash_string_is(name, "grouper") || ash_string_is(name, "list"))) {
        *out = v.list->items[ash_string_is(name, "list")];
        return ASH_OK;
    }
    if (v.kind == ASH_V_CYCLER && ash_string_is(name, "current")) {
        *out = v.cycler->items[v.cycler->at];
        return ASH_OK;
    }
    const ash_builtin *builtin = ash_find_method(v.kind, name);
    *found = builtin;
    if (!builtin)
        return ASH_OK;
    if (builtin->changes) {
        *out = ash_undefined(ASH_WHY_UNSAFE, v.kind, name);
        return ASH_OK;
    }
    ash_method *method;
    ASH_TRY(ash_run_alloc(r, sizeof *method, &method));
    *method = (ash_method){ .self = v, .builtin = builtin };
    *out = (ash_value){ .kind = ASH_V_METHOD, .method = method };
    return ASH_OK;
}

static ash_status absent(ash_run *r, ash_value v, ash_value key, ash_value *out)
{
    (void)r;
    *out = key.kind == ASH_V_STRING ? ash_undefined(ASH_WHY_ATTRIBUTE, v.kind, key.s) :
                                      ash_undefined(ASH_WHY_ITEM, v.kind, NULL);
    return ASH_OK;
}

/* What Python's subscript would find; a list or dictionary as key finds nothing. */
static ash_status item_alone(ash_run *r, ash_value v, ash_value key, ash_value *out, bool *found)
{
    *found = false;
    if (v.kind == ASH_V_DICT) {
        const ash_value *member = NULL;
        if (ash_is_hashable(key))
            ASH_TRY(ash_dict_get(r, v.dict, key, &member));
        *found = member;
        if (member)
            *out = *member;
        return ASH_OK;
    }
    int64_t count, at = ash_is_integer(key) ? ash_as_int(key) : 0;
    bool sequence = v.kind == ASH_V_LIST || v.kind == ASH_V_TUPLE || v.kind == ASH_V_STRING || v.kind == ASH_V_RANGE;
    if (!sequence || !ash_is_integer(key) || !ash_length(v, &count))
        return ASH_OK;
    if (at < 0)
        at += count;
    if (at < 0 || at >= count)
        return ASH_OK;
    *found = true;
    if (v.kind == ASH_V_RANGE) {
        *out = ash_int(v.range->start + at * v.range->step);
    } else if (v.kind == ASH_V_STRING) {
        size_t offset = ash_string_offset(v.s, (uint32_t)at);
        if (ash_string_chars(v.s) != v.s->bytes)
            ASH_TRY(ash_run_decode(r, offset));
        *out = (ash_value){ .kind = ASH_V_STRING };
        return ash_string_cut(r, v.s, offset, ash_char_bytes(v.s->text + offset, v.s->bytes - offset, NULL), &out->s);
    } else {
        *out = v.list->items[at];
    }
    return ASH_OK;
}

ash_status ash_get_attribute(ash_run *r, ash_value v, const ash_string *name, ash_value *out)
{
    bool found;
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    ASH_TRY(attribute_alone(r, v, name, out, &found));
    if (!found)
        ASH_TRY(item_alone(r, v, ash_str(name), out, &found));
    return found ? ASH_OK : absent(r, v, ash_str(name), out);
}

ash_status ash_get_item(ash_run *r, ash_value v, ash_value key, ash_value *out)
{
    bool found;
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    ASH_TRY(item_alone(r, v, key, out, &found));
    if (!found && key.kind == ASH_V_STRING)
        ASH_TRY(attribute_alone(r, v, key.s, out, &found));
    return found ? ASH_OK : absent(r, v, key, out);
}

/* ---- slices ---- */

static ash_status bound(ash_run *r, ash_value v, int64_t count, bool backwards, int64_t fallback, int64_t *out)
{
    if (v.kind == ASH_V_MISSING || v.kind == ASH_V_NONE) {
        *out = fallback;
        return ASH_OK;
    }
    ASH_TRY(ash_arg_int(r, v, "a slice", 0, out));
    if (*out < 0)
        *out = *out < -count ? -1 : *out + count; /* before the first */
    int64_t low = backwards ? -1 : 0, high = backwards ? count - 1 : count;
    *out = *out < low ? low : *out > high ? high : *out;
    return ASH_OK;
}

static ash_status slice_string(ash_run *r, const ash_string *s, int64_t from, int64_t step, int64_t count,
                               ash_value *out)
{
    *out = (ash_value){ .kind = ASH_V_STRING };
    if (ash_string_chars(s) != s->bytes)
        ASH_TRY(ash_run_decode(r, s->bytes));
    if (step == 1 || count == 0) {
        size_t at = ash_string_offset(s, (uint32_t)from), end = ash_string_offset(s, (uint32_t)(from + count));
        return ash_string_cut(r, s, at, end - at, &out->s);
    }
    ash_builder *b;
    ASH_TRY(ash_builder_new(r, (size_t)count + 16, &b));
    if (ash_string_chars(s) == s->bytes) {
        for (int64_t i = 0; i < count; i++)
            ASH_TRY(ash_build_part(r, b, s, (size_t)(from + i * step), 1));
        return ash_builder_string(r, b, &out->s);
    }
    ash_value *chars;
    uint32_t n;
    ASH_TRY(ash_iterate(r, ash_str(s), &chars, &n));
    for (int64_t i = 0; i < count; i++)
        ASH_TRY(ash_build_string(r, b, chars[from + i * step].s));
    return ash_builder_string(r, b, &out->s);
}

ash_status ash_get_slice(ash_run *r, ash_value v, ash_value from_value, ash_value to_value, ash_value step_value,
                         ash_value *out)
{
    int64_t count = 0, from, to, step = 1;
    if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    bool list = v.kind == ASH_V_LIST || v.kind == ASH_V_TUPLE;
    if (!list && v.kind != ASH_V_STRING && v.kind != ASH_V_RANGE)
        return ASH_WRONG_TYPE(r, "a slice", v);
    if (v.kind == ASH_V_STRING)
        ASH_TRY(ash_run_count(r, v.s));
    ash_length(v, &count);
    if (step_value.kind != ASH_V_NONE)
        ASH_TRY(ash_arg_int(r, step_value, "a slice", 1, &step));
    if (step == 0)
        return ash_run_fail(r, ASH_E_FORMAT, "a slice's step cannot be 0");
    step = step > count ? count + 1 : step < -count ? -count - 1 : step; /* the same slice, without overflows */
    ASH_TRY(bound(r, from_value, count, step < 0, step < 0 ? count - 1 : 0, &from));
    ASH_TRY(bound(r, to_value, count, step < 0, step < 0 ? -1 : count, &to));
    int64_t taken = step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step;
    taken = (step > 0 ? to <= from : to >= from) ? 0 : taken;
    if (v.kind == ASH_V_STRING)
        return slice_string(r, v.s, from < 0 ? 0 : from, step, taken, out);
    if (v.kind == ASH_V_RANGE) {
        ash_range *range;
        ASH_TRY(ash_run_alloc(r, sizeof *range, &range));
        uint64_t start = (uint64_t)v.range->start, stride = (uint64_t)v.range->step; /* may wrap behind the last item */
        *range = (ash_range){ .start = (int64_t)(start + (uint64_t)from * stride),
                              .stop = (int64_t)(start + (uint64_t)to * stride),
                              .step = (int64_t)(stride * (uint64_t)step), .count = taken };
        *out = (ash_value){ .kind = ASH_V_RANGE, .range = range };
        return ASH_OK;
    }
    if (step == 1)
        return ash_list_of(r, v.kind, taken ? v.list->items + from : NULL, (uint32_t)taken, out);
    ASH_TRY(ash_run_steps(r, (uint64_t)taken / 4));
    ASH_TRY(ash_list_new(r, v.kind, (uint32_t)taken, out));
    for (int64_t i = 0; i < taken; i++)
        out->list->items[i] = v.list->items[from + i * step];
    return ASH_OK;
}
