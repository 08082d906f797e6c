/* Filters on sequences. */
#include <string.h>

#include "runtime/template/builtin.h"

#define FILTER(name) static ash_status name(ash_run *r, const ash_call *c, ash_value *out)

static ash_status self_items(ash_run *r, const ash_call *c, ash_value **items, uint32_t *count)
{
    ASH_TRY(ash_iterate(r, c->self, items, count));
    return ash_run_steps(r, *count);
}

static ash_status give(ash_run *r, ash_kind kind, ash_values *v, ash_value *out)
{
    return ash_list_of(r, kind, v->items, v->count, out);
}

/* Of an empty sequence there is no first, last, smallest or largest. */
static ash_status nothing_there(ash_value *out)
{
    static const ash_string why = ASH_LITERAL("there is no such item: the sequence is empty");
    *out = ash_undefined(ASH_WHY_TEXT, ASH_V_MISSING, &why);
    return ASH_OK;
}

/* ---- keys and order ---- */

ash_status ash_key_of(ash_run *r, ash_value item, ash_value attribute, ash_value fallback, ash_value *out)
{
    *out = item;
    if (attribute.kind == ASH_V_MISSING || attribute.kind == ASH_V_NONE)
        return ASH_OK;
    const ash_string *path = attribute.kind == ASH_V_STRING ? attribute.s : NULL;
    if (!path)
        ASH_TRY(ash_get_item(r, item, attribute, out));
    for (size_t at = 0; path && at <= path->bytes;) {
        const char *dot = memchr(path->text + at, '.', path->bytes - at);
        size_t end = dot ? (size_t)(dot - path->text) : path->bytes;
        const ash_string *part;
        ASH_TRY(ash_string_cut(r, path, at, end - at, &part));
        ash_value key = ash_str(part);
        if (ash_string_is_all(part, ASH_IS_DECIMAL) && part->bytes < 10) {
            key = ash_int(0);
            for (uint32_t i = 0; i < part->bytes; i++)
                key.i = key.i * 10 + part->text[i] - '0';
        }
        ASH_TRY(ash_run_steps(r, 1));
        ASH_TRY(ash_get_item(r, *out, key, out));
        if (out->kind == ASH_V_UNDEFINED && fallback.kind != ASH_V_MISSING && fallback.kind != ASH_V_NONE)
            *out = fallback;
        at = end + 1;
    }
    return ASH_OK;
}

static ash_status fold_key(ash_run *r, bool cased, ash_value *key)
{
    const ash_string *s;
    if (cased || key->kind != ASH_V_STRING)
        return ASH_OK;
    ASH_TRY(ash_string_case(r, key->s, ASH_LOWER, &s));
    *key = ash_str(s);
    return ASH_OK;
}

ash_status ash_sort_key(ash_run *r, ash_value item, ash_value attribute, bool cased, ash_value *out)
{
    ASH_TRY(ash_key_of(r, item, attribute, (ash_value){ 0 }, out));
    return fold_key(r, cased, out);
}

/* Merges [0, middle) and [middle, count) of the sorted order. */
static ash_status merge(ash_run *r, const ash_value *keys, uint32_t *order, uint32_t *spare, uint32_t middle,
                        uint32_t count, bool backwards)
{
    uint32_t a = 0, b = middle, n = 0;
    while (a < middle && b < count) {
        int sign;
        bool unordered;
        ASH_TRY(ash_run_steps(r, 1));
        if (backwards)
            ASH_TRY(ash_compare(r, keys[order[a]], keys[order[b]], &sign, &unordered));
        else
            ASH_TRY(ash_compare(r, keys[order[b]], keys[order[a]], &sign, &unordered));
        spare[n++] = sign < 0 && !unordered ? order[b++] : order[a++];
    }
    while (a < middle)
        spare[n++] = order[a++];
    while (b < count)
        spare[n++] = order[b++];
    memcpy(order, spare, count * sizeof *order);
    return ASH_OK;
}

ash_status ash_sort(ash_run *r, ash_value *keys, ash_value *items, uint32_t count, bool backwards)
{
    uint32_t *order, *spare;
    ash_value *copy;
    ASH_TRY(ash_run_alloc(r, count * sizeof *order, &order));
    ASH_TRY(ash_run_alloc(r, count * sizeof *spare, &spare));
    ASH_TRY(ash_run_alloc(r, count * sizeof *copy, &copy));
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t width = 1; width < count; width *= 2)
        for (uint32_t at = 0; count - at > width; at += 2 * width) {
            uint32_t n = count - at < 2 * width ? count - at : 2 * width;
            ASH_TRY(merge(r, keys, order + at, spare, width, n, backwards));
            if (count - at <= 2 * width)
                break;
        }
    for (int pass = 0; pass < 2 && count; pass++) {
        ash_value *what = pass ? keys : items;
        for (uint32_t i = 0; i < count; i++)
            copy[i] = what[order[i]];
        memcpy(what, copy, count * sizeof *copy);
    }
    return ASH_OK;
}

/* "a,b": by a, then by b. As in Jinja, keys are lists, whose equal items need no order. */
FILTER(f_sort)
{
    ash_value *keys, *items, *source, comma, parts;
    uint32_t count;
    bool backwards = ash_truth(c->at[0]), cased = ash_truth(c->at[1]);
    if (c->at[2].kind == ASH_V_STRING) {
        const ash_args args = { .items = &comma, .count = 1 };
        const ash_string split = ASH_LITERAL("split");
        ASH_TRY(ash_string_value(r, ",", 1, false, &comma));
        ASH_TRY(ash_call_builtin(r, ash_find_method(ASH_V_STRING, &split), c->at[2], &args, &parts));
    } else {
        ASH_TRY(ash_list_new(r, ASH_V_LIST, 1, &parts));
        parts.list->items[0] = c->at[2];
    }
    ASH_TRY(self_items(r, c, &source, &count));
    ASH_TRY(ash_run_alloc(r, count * sizeof *items, &items));
    ASH_TRY(ash_run_alloc(r, count * sizeof *keys, &keys));
    for (uint32_t i = 0; i < count; i++) {
        items[i] = source[i];
        ASH_TRY(ash_list_new(r, ASH_V_LIST, parts.list->count, &keys[i]));
        for (uint32_t k = 0; k < parts.list->count; k++)
            ASH_TRY(ash_sort_key(r, source[i], parts.list->items[k], cased, &keys[i].list->items[k]));
    }
    ASH_TRY(ash_sort(r, keys, items, count, backwards));
    return ash_list_of(r, ASH_V_LIST, items, count, out);
}

FILTER(f_dictsort)
{
    ash_value *keys, *items, view = c->self;
    uint32_t count;
    const ash_string *by;
    ASH_TRY(ash_arg_string(r, c->at[1], "dictsort", &by));
    bool value = by && ash_string_is(by, "value");
    if (by && !value && !ash_string_is(by, "key"))
        return ash_run_fail(r, ASH_E_FORMAT, "dictsort: by is key or value");
    if (view.kind != ASH_V_DICT)
        return view.kind == ASH_V_UNDEFINED ? ash_fail_undefined(r, view) : ASH_WRONG_TYPE(r, "dictsort", view);
    view.kind = ASH_V_ITEMS;
    ASH_TRY(ash_iterate(r, view, &items, &count)); /* made for this call: sorted where they are */
    ASH_TRY(ash_run_alloc(r, count * sizeof *keys, &keys));
    for (uint32_t i = 0; i < count; i++)
        ASH_TRY(ash_sort_key(r, items[i], ash_int(value), ash_truth(c->at[0]), &keys[i]));
    ASH_TRY(ash_sort(r, keys, items, count, ash_truth(c->at[2])));
    return ash_list_of(r, ASH_V_LIST, items, count, out);
}

FILTER(f_groupby)
{
    ash_value *keys, *items, key;
    uint32_t count;
    ash_values groups = { 0 };
    bool cased = ash_truth(c->at[2]);
    ASH_TRY(self_items(r, c, &items, &count));
    ASH_TRY(ash_run_alloc(r, count * sizeof *keys, &keys));
    ash_value *copy;
    ASH_TRY(ash_run_alloc(r, count * sizeof *copy, &copy));
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = items[i];
        ASH_TRY(ash_key_of(r, items[i], c->at[0], c->at[1], &keys[i]));
        ASH_TRY(fold_key(r, cased, &keys[i]));
    }
    ASH_TRY(ash_sort(r, keys, copy, count, false));
    for (uint32_t from = 0, to; from < count; from = to) {
        ash_value group, members;
        bool same = true;
        for (to = from + 1; to < count; to++) {
            ASH_TRY(ash_equal(r, keys[from], keys[to], &same));
            if (!same)
                break;
        }
        ASH_TRY(ash_key_of(r, copy[from], c->at[0], c->at[1], &key)); /* in its own case */
        ASH_TRY(ash_list_of(r, ASH_V_LIST, copy + from, to - from, &members));
        ASH_TRY(ash_list_new(r, ASH_V_TUPLE, 2, &group));
        group.list->items[0] = key;
        group.list->items[1] = members;
        group.list->at = ASH_GROUP;
        ASH_TRY(ash_values_add(r, &groups, group));
    }
    return give(r, ASH_V_LIST, &groups, out);
}

FILTER(f_unique)
{
    ash_value *items;
    uint32_t count;
    ash_values kept = { 0 }, keys = { 0 };
    ASH_TRY(self_items(r, c, &items, &count));
    for (uint32_t i = 0; i < count; i++) {
        ash_value key;
        bool known = false;
        ASH_TRY(ash_sort_key(r, items[i], c->at[1], ash_truth(c->at[0]), &key));
        if (!ash_is_hashable(key))
            return ASH_WRONG_TYPE(r, "unique", key);
        for (uint32_t k = 0; k < keys.count && !known; k++)
            ASH_TRY(ash_equal(r, keys.items[k], key, &known));
        ASH_TRY(ash_run_steps(r, keys.count / 4));
        if (known)
            continue;
        ASH_TRY(ash_values_add(r, &keys, key));
        ASH_TRY(ash_values_add(r, &kept, items[i]));
    }
    return give(r, ASH_V_GENERATOR, &kept, out);
}

static ash_status extreme(ash_run *r, const ash_call *c, bool largest, ash_value *out)
{
    ash_value *items, best = { 0 };
    uint32_t count;
    ASH_TRY(self_items(r, c, &items, &count));
    if (count == 0)
        return nothing_there(out);
    for (uint32_t i = 0; i < count; i++) {
        ash_value key;
        int order = 0;
        bool unordered = false;
        ASH_TRY(ash_sort_key(r, items[i], c->at[1], ash_truth(c->at[0]), &key));
        if (i)
            ASH_TRY(ash_compare(r, key, best, &order, &unordered));
        if (i && (unordered || (largest ? order <= 0 : order >= 0)))
            continue;
        best = key;
        *out = items[i];
    }
    return ASH_OK;
}
FILTER(f_min) { return extreme(r, c, false, out); }
FILTER(f_max) { return extreme(r, c, true, out); }

/* ---- choosing and changing each ---- */

FILTER(f_map)
{
    const ash_args *a = c->args;
    ash_value *items, attribute = { 0 }, fallback = { 0 };
    uint32_t count;
    const ash_builtin *filter = NULL;
    ash_values mapped = { 0 };
    if (!ash_truth(c->self)) /* none is an empty sequence here, and nothing else is looked at */
        return give(r, ASH_V_GENERATOR, &mapped, out);
    for (uint32_t i = 0; i < a->key_count && a->count == 0; i++) {
        if (ash_string_is(a->keys[i], "attribute"))
            attribute = a->values[i];
        else if (ash_string_is(a->keys[i], "default"))
            fallback = a->values[i];
        else
            return ash_run_fail(r, ASH_E_FORMAT, "map: an unexpected argument");
    }
    if (a->count) {
        const ash_string *name;
        ASH_TRY(ash_arg_string(r, a->items[0], "map", &name));
        filter = name ? ash_find_filter(name) : NULL;
        if (!filter)
            return ash_run_fail(r, ASH_E_UNSUPPORTED, "map: no such filter");
    } else if (attribute.kind == ASH_V_MISSING) {
        return ash_run_fail(r, ASH_E_FORMAT, "map needs a filter's name or an attribute");
    }
    ash_args rest = *a;
    rest.items = a->items + (a->count ? 1 : 0);
    rest.count = a->count ? a->count - 1 : 0;
    ASH_TRY(self_items(r, c, &items, &count));
    ASH_TRY(ash_run_enter(r));
    for (uint32_t i = 0; i < count; i++) {
        ash_value v;
        ASH_TRY(filter ? ash_call_builtin(r, filter, items[i], &rest, &v) :
                         ash_key_of(r, items[i], attribute, fallback, &v));
        ASH_TRY(ash_values_add(r, &mapped, v));
    }
    r->depth--;
    return give(r, ASH_V_GENERATOR, &mapped, out);
}

/* select and its kin: items (or their attribute) for which a test holds, or fails. */
static ash_status choose(ash_run *r, const ash_call *c, bool by_attribute, bool wanted, ash_value *out)
{
    const ash_args *a = c->args;
    ash_value *items;
    uint32_t count, off = by_attribute;
    const ash_builtin *test = NULL;
    ash_values kept = { 0 };
    if (!ash_truth(c->self))
        return give(r, ASH_V_GENERATOR, &kept, out);
    if (a->count < off)
        return ash_run_fail(r, ASH_E_FORMAT, "an attribute's name is missing");
    if (a->count > off) {
        const ash_string *name;
        ASH_TRY(ash_arg_string(r, a->items[off], "select", &name));
        test = name ? ash_find_test(name) : NULL;
        if (!test)
            return ash_run_fail(r, ASH_E_UNSUPPORTED, "select: no such test");
        off++;
    }
    ash_args rest = *a;
    rest.items = a->items + off;
    rest.count = a->count - off;
    ASH_TRY(self_items(r, c, &items, &count));
    for (uint32_t i = 0; i < count; i++) {
        ash_value v = items[i], holds;
        if (by_attribute)
            ASH_TRY(ash_key_of(r, v, a->items[0], (ash_value){ 0 }, &v));
        holds = v;
        if (test)
            ASH_TRY(ash_call_builtin(r, test, v, &rest, &holds));
        if (ash_truth(holds) == wanted)
            ASH_TRY(ash_values_add(r, &kept, items[i]));
    }
    return give(r, ASH_V_GENERATOR, &kept, out);
}
FILTER(f_select) { return choose(r, c, false, true, out); }
FILTER(f_reject) { return choose(r, c, false, false, out); }
FILTER(f_selectattr) { return choose(r, c, true, true, out); }
FILTER(f_rejectattr) { return choose(r, c, true, false, out); }

/* ---- whole sequences ---- */

FILTER(f_length)
{
    int64_t n;
    if (c->self.kind == ASH_V_STRING)
        ASH_TRY(ash_run_count(r, c->self.s));
    if (!ash_length(c->self, &n))
        return ASH_WRONG_TYPE(r, "length", c->self);
    *out = ash_int(n);
    return ASH_OK;
}

FILTER(f_list)
{
    ash_value *items;
    uint32_t count;
    ASH_TRY(self_items(r, c, &items, &count));
    return ash_list_of(r, ASH_V_LIST, items, count, out);
}

FILTER(f_first)
{
    if (c->self.kind == ASH_V_GENERATOR && c->self.list->at < c->self.list->count) { /* takes no more than one */
        *out = c->self.list->items[c->self.list->at++];
        return ASH_OK;
    }
    ash_value *items;
    uint32_t count;
    ASH_TRY(ash_iterate(r, c->self, &items, &count));
    if (count == 0)
        return nothing_there(out);
    *out = items[0];
    return ASH_OK;
}

FILTER(f_last)
{
    ash_value *items;
    uint32_t count;
    if (c->self.kind == ASH_V_GENERATOR)
        return ASH_WRONG_TYPE(r, "last", c->self);
    ASH_TRY(ash_iterate(r, c->self, &items, &count));
    if (count == 0)
        return nothing_there(out);
    *out = items[count - 1];
    return ASH_OK;
}

FILTER(f_reverse)
{
    ash_value *items, list;
    uint32_t count;
    ASH_TRY(self_items(r, c, &items, &count));
    ASH_TRY(ash_list_new(r, c->self.kind == ASH_V_GENERATOR ? ASH_V_LIST : ASH_V_GENERATOR, count, &list));
    for (uint32_t i = 0; i < count; i++)
        list.list->items[i] = items[count - 1 - i];
    *out = list;
    if (c->self.kind != ASH_V_STRING)
        return ASH_OK;
    static const ash_string nothing = ASH_LITERAL("");
    const ash_string *s;
    ASH_TRY(ash_string_join_all(r, &nothing, list.list->items, count, false, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_join)
{
    static const ash_string nothing = ASH_LITERAL("");
    ash_value *items;
    uint32_t count;
    const ash_string *separator = &nothing, *s;
    ASH_TRY(self_items(r, c, &items, &count));
    if (ash_arg_given(c->at[0]))
        ASH_TRY(ash_to_string(r, c->at[0], &separator));
    if (ash_truth(c->at[1])) {
        ash_value *found;
        ASH_TRY(ash_run_alloc(r, count * sizeof *found, &found));
        for (uint32_t i = 0; i < count; i++)
            ASH_TRY(ash_key_of(r, items[i], c->at[1], (ash_value){ 0 }, &found[i]));
        items = found;
    }
    ASH_TRY(ash_string_join_all(r, separator, items, count, true, &s));
    return ash_give_string(r, s, out);
}

FILTER(f_sum)
{
    ash_value *items;
    uint32_t count;
    ASH_TRY(self_items(r, c, &items, &count));
    *out = ash_arg_given(c->at[1]) ? c->at[1] : ash_int(0);
    if (out->kind == ASH_V_STRING)
        return ASH_WRONG_TYPE(r, "sum", *out);
    for (uint32_t i = 0; i < count; i++) {
        ash_value v;
        ASH_TRY(ash_key_of(r, items[i], c->at[0], (ash_value){ 0 }, &v));
        ASH_TRY(ash_arithmetic(r, ASH_ADD, *out, v, out));
    }
    return ASH_OK;
}

FILTER(f_items)
{
    ash_value *items, view = c->self;
    uint32_t count = 0;
    if (view.kind != ASH_V_DICT && view.kind != ASH_V_UNDEFINED)
        return ASH_WRONG_TYPE(r, "items", view);
    view.kind = view.kind == ASH_V_DICT ? ASH_V_ITEMS : view.kind;
    ASH_TRY(ash_iterate(r, view, &items, &count));
    return ash_list_of(r, ASH_V_GENERATOR, items, count, out);
}

FILTER(f_batch)
{
    ash_value *items, row = { 0 };
    uint32_t count;
    int64_t width;
    ash_values rows = { 0 };
    ASH_TRY(ash_arg_int(r, c->at[0], "batch", 0, &width));
    ASH_TRY(self_items(r, c, &items, &count));
    uint32_t step = width > 0 && width < count ? (uint32_t)width : count ? count : 1;
    for (uint32_t from = 0; from < count; from += step) {
        uint32_t n = count - from < step ? count - from : step;
        ASH_TRY(ash_list_of(r, ASH_V_LIST, items + from, n, &row));
        ASH_TRY(ash_values_add(r, &rows, row));
    }
    bool fills = ash_arg_given(c->at[1]) && c->at[1].kind != ASH_V_NONE;
    if (count && fills && width > row.list->count) {
        ash_values last = { 0 };
        ASH_TRY(ash_run_steps(r, (uint64_t)width));
        for (uint32_t i = 0; i < row.list->count; i++)
            ASH_TRY(ash_values_add(r, &last, row.list->items[i]));
        while (last.count < width)
            ASH_TRY(ash_values_add(r, &last, c->at[1]));
        ASH_TRY(give(r, ASH_V_LIST, &last, &rows.items[rows.count - 1]));
    }
    return give(r, ASH_V_GENERATOR, &rows, out);
}

FILTER(f_slice)
{
    ash_value *items;
    uint32_t count, from = 0;
    int64_t columns;
    ash_values rows = { 0 };
    ASH_TRY(ash_arg_int(r, c->at[0], "slice", 0, &columns));
    ASH_TRY(self_items(r, c, &items, &count));
    if (columns == 0)
        return ash_run_fail(r, ASH_E_FORMAT, "slice into 0 columns");
    if (columns > 0)
        ASH_TRY(ash_run_steps(r, (uint64_t)columns));
    for (int64_t i = 0; i < columns; i++) {
        ash_values row = { 0 };
        ash_value list;
        bool longer = i < count % columns;
        uint32_t n = (uint32_t)(count / columns) + longer;
        for (uint32_t k = 0; k < n; k++)
            ASH_TRY(ash_values_add(r, &row, items[from + k]));
        if (!longer && ash_arg_given(c->at[1]) && c->at[1].kind != ASH_V_NONE)
            ASH_TRY(ash_values_add(r, &row, c->at[1]));
        ASH_TRY(give(r, ASH_V_LIST, &row, &list));
        ASH_TRY(ash_values_add(r, &rows, list));
        from += n;
    }
    return give(r, ASH_V_GENERATOR, &rows, out);
}

const ash_builtin ash_item_filters[] = {
    { "length", f_length, "", 0, false },
    { "count", f_length, "", 0, false },
    { "list", f_list, "", 0, false },
    { "first", f_first, "", 0, false },
    { "last", f_last, "", 0, false },
    { "reverse", f_reverse, "", 0, false },
    { "join", f_join, "d,attribute", 0, false },
    { "items", f_items, "", 0, false },
    { "map", f_map, NULL, 0, false },
    { "select", f_select, NULL, 0, false },
    { "reject", f_reject, NULL, 0, false },
    { "selectattr", f_selectattr, NULL, 0, false },
    { "rejectattr", f_rejectattr, NULL, 0, false },
    { "sort", f_sort, "reverse,case_sensitive,attribute", 0, false },
    { "dictsort", f_dictsort, "case_sensitive,by,reverse", 0, false },
    { "groupby", f_groupby, "attribute,default,case_sensitive", 1, false },
    { "unique", f_unique, "case_sensitive,attribute", 0, false },
    { "min", f_min, "case_sensitive,attribute", 0, false },
    { "max", f_max, "case_sensitive,attribute", 0, false },
    { "sum", f_sum, "attribute,start", 0, false },
    { "batch", f_batch, "linecount,fill_with", 1, false },
    { "slice", f_slice, "slices,fill_with", 1, false },
    { 0 },
};
