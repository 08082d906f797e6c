/* Expressions. */
#include "runtime/template/eval.h"

#include <string.h>

#include "runtime/template/strings.h"

/* ---- scopes ---- */

ash_status ash_scope_new(ash_run *r, ash_scope *up, ash_scope **out)
{
    ASH_TRY(ash_run_alloc(r, sizeof **out, out));
    (*out)->up = up;
    return ASH_OK;
}

void ash_scope_clear(ash_scope *scope)
{
    ash_binding **end = &scope->bindings;
    while (*end)
        end = &(*end)->next;
    *end = scope->spare;
    scope->spare = scope->bindings;
    scope->bindings = NULL;
}

ash_status ash_scope_set(ash_run *r, ash_scope *scope, uint32_t number, ash_value value)
{
    ash_binding *b = scope->bindings;
    while (b && b->number != number)
        b = b->next;
    if (!b) {
        b = scope->spare;
        if (b)
            scope->spare = b->next;
        else
            ASH_TRY(ash_run_alloc(r, sizeof *b, &b));
        *b = (ash_binding){ .next = scope->bindings, .number = number };
        scope->bindings = b;
    }
    b->value = value;
    return ASH_OK;
}

static ash_value look_up(const ash_run *r, const ash_node *node, const ash_scope *scope)
{
    for (; scope; scope = scope->up)
        for (const ash_binding *b = scope->bindings; b; b = b->next)
            if (b->number == node->number)
                return b->value;
    ash_value v = r->globals[node->number];
    return v.kind == ASH_V_MISSING ? ash_undefined(ASH_WHY_NAME, ASH_V_MISSING, node->name) : v;
}

/* ---- parts ---- */

static ash_status eval_items(ash_run *r, ash_node **nodes, uint32_t count, ash_scope *scope, ash_value *out)
{
    for (uint32_t i = 0; i < count; i++)
        ASH_TRY(ash_eval(r, nodes[i], scope, &out[i]));
    return ASH_OK;
}

static ash_status eval_list(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ash_value list;
    ASH_TRY(ash_list_new(r, node->op == ASH_N_LIST ? ASH_V_LIST : ASH_V_TUPLE, node->count, &list));
    ASH_TRY(eval_items(r, node->items, node->count, scope, list.list->items));
    *out = list;
    return ASH_OK;
}

static ash_status eval_dict(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ash_value dict, pair[2];
    ASH_TRY(ash_dict_new(r, node->count / 2, &dict));
    for (uint32_t i = 0; i < node->count; i += 2) {
        ASH_TRY(eval_items(r, node->items + i, 2, scope, pair));
        ASH_TRY(ash_dict_set(r, dict.dict, pair[0], pair[1]));
    }
    *out = dict;
    return ASH_OK;
}

static ash_status eval_concat(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ash_builder *b;
    ash_value item;
    ASH_TRY(ash_builder_new(r, 64, &b));
    for (uint32_t i = 0; i < node->count; i++) {
        ASH_TRY(ash_eval(r, node->items[i], scope, &item));
        ASH_TRY(ash_build_str(r, b, item));
    }
    return ash_builder_value(r, b, out);
}

static ash_status compare_two(ash_run *r, ash_comparison how, ash_value a, ash_value b, bool *out)
{
    int order;
    bool unordered;
    switch (how) {
    case ASH_EQ: return ash_equal(r, a, b, out);
    case ASH_NE:
        ASH_TRY(ash_equal(r, a, b, out));
        *out = !*out;
        return ASH_OK;
    case ASH_IN: return ash_contains(r, b, a, out);
    case ASH_NOT_IN:
        ASH_TRY(ash_contains(r, b, a, out));
        *out = !*out;
        return ASH_OK;
    default:
        ASH_TRY(ash_compare(r, a, b, &order, &unordered));
        *out = !unordered && (how == ASH_LT ? order < 0 : how == ASH_LE ? order <= 0 : how == ASH_GT ? order > 0 :
                                                                                                      order >= 0);
        return ASH_OK;
    }
}

static ash_status eval_compare(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ash_value left, right;
    bool holds = true;
    ASH_TRY(ash_eval(r, node->a, scope, &left));
    for (uint32_t i = 0; i < node->count && holds; i++) {
        ASH_TRY(ash_eval(r, node->items[i], scope, &right));
        r->line = node->line;
        ASH_TRY(compare_two(r, (ash_comparison)node->operands[i], left, right, &holds));
        left = right;
    }
    *out = ash_bool(holds);
    return ASH_OK;
}

static ash_status eval_slice(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ash_value object, bounds[3] = { 0 };
    ASH_TRY(ash_eval(r, node->a, scope, &object));
    for (int i = 0; i < 3; i++)
        if (node->items[i])
            ASH_TRY(ash_eval(r, node->items[i], scope, &bounds[i]));
    r->line = node->line;
    return ash_get_slice(r, object, bounds[0], bounds[1], bounds[2], out);
}

/* ---- calls ---- */

typedef struct arguments {
    ash_args args;
    ash_values items, values;
    const ash_string **keys;
} arguments;

static ash_status add_stars(ash_run *r, const ash_node_args *given, ash_scope *scope, arguments *a)
{
    ash_value v, *items;
    uint32_t count;
    if (given->star) {
        ASH_TRY(ash_eval(r, given->star, scope, &v));
        ASH_TRY(ash_iterate(r, v, &items, &count));
        ASH_TRY(ash_run_steps(r, count));
        for (uint32_t i = 0; i < count; i++)
            ASH_TRY(ash_values_add(r, &a->items, items[i]));
    }
    if (!given->star_star)
        return ASH_OK;
    ASH_TRY(ash_eval(r, given->star_star, scope, &v));
    if (v.kind != ASH_V_DICT)
        return ash_run_fail(r, ASH_E_FORMAT, "** needs a dict, not %s", ash_kind_name(v.kind));
    uint32_t have = a->values.count;
    const ash_string **keys;
    ASH_TRY(ash_run_steps(r, (uint64_t)v.dict->count * (have + 1)));
    ASH_TRY(ash_run_alloc(r, (have + (size_t)v.dict->count + 1) * sizeof *keys, &keys));
    if (have)
        memcpy(keys, a->keys, have * sizeof *keys);
    for (uint32_t i = 0; i < v.dict->count; i++) {
        ash_pair pair = v.dict->pairs[i];
        if (pair.key.kind != ASH_V_STRING)
            return ash_run_fail(r, ASH_E_FORMAT, "argument names must be strings");
        for (uint32_t k = 0; k < have; k++)
            if (ash_string_same(keys[k], pair.key.s))
                return ash_run_fail(r, ASH_E_FORMAT, "an argument is given twice");
        keys[a->values.count] = pair.key.s;
        ASH_TRY(ash_values_add(r, &a->values, pair.value));
    }
    a->keys = keys;
    return ASH_OK;
}

/* `caller`: one more argument of that name, unless MISSING. */
static ash_status eval_args(ash_run *r, const ash_node_args *given, ash_value caller, ash_scope *scope, arguments *a)
{
    static const ash_string caller_name = ASH_LITERAL("caller");
    *a = (arguments){ .keys = given->keys };
    ASH_TRY(ash_run_alloc(r, given->count * sizeof(ash_value), &a->items.items));
    ASH_TRY(eval_items(r, given->items, given->count, scope, a->items.items));
    a->items.count = a->items.room = given->count;
    if (given->key_count) {
        ASH_TRY(ash_run_alloc(r, given->key_count * sizeof(ash_value), &a->values.items));
        ASH_TRY(eval_items(r, given->values, given->key_count, scope, a->values.items));
        a->values.count = a->values.room = given->key_count;
    }
    if (given->star || given->star_star)
        ASH_TRY(add_stars(r, given, scope, a));
    if (caller.kind != ASH_V_MISSING) {
        const ash_string **keys;
        for (uint32_t i = 0; i < a->values.count; i++)
            if (ash_string_same(a->keys[i], &caller_name))
                return ash_run_fail(r, ASH_E_FORMAT, "an argument is given twice");
        ASH_TRY(ash_run_alloc(r, (a->values.count + 1) * sizeof *keys, &keys));
        if (a->values.count)
            memcpy(keys, a->keys, a->values.count * sizeof *keys);
        keys[a->values.count] = &caller_name;
        ASH_TRY(ash_values_add(r, &a->values, caller));
        a->keys = keys;
    }
    a->args = (ash_args){ .items = a->items.items, .count = a->items.count, .keys = a->keys,
                          .values = a->values.items, .key_count = a->values.count };
    return ASH_OK;
}

ash_status ash_eval_call(ash_run *r, const ash_node *node, ash_value caller, ash_scope *scope, ash_value *out)
{
    ash_value callee;
    arguments a;
    ASH_TRY(ash_eval(r, node->a, scope, &callee));
    ASH_TRY(eval_args(r, node->args, caller, scope, &a));
    r->line = node->line;
    return ash_call_value(r, callee, &a.args, out);
}

static ash_status apply(ash_run *r, const ash_node *node, ash_value self, ash_scope *scope, ash_value *out)
{
    arguments a;
    ASH_TRY(eval_args(r, node->args, (ash_value){ 0 }, scope, &a));
    r->line = node->line;
    if (!node->builtin)
        return ash_run_fail(r, ASH_E_UNSUPPORTED, "no %s named '%.*s'", node->op == ASH_N_TEST ? "test" : "filter",
                            (int)(node->name->bytes < 80 ? node->name->bytes : 80), node->name->text);
    return ash_call_builtin(r, node->builtin, self, &a.args, out);
}

ash_status ash_eval_filters(ash_run *r, const ash_node *filters, ash_value input, ash_scope *scope, ash_value *out)
{
    ASH_TRY(ash_run_enter(r));
    if (filters->a)
        ASH_TRY(ash_eval_filters(r, filters->a, input, scope, &input));
    r->depth--;
    return apply(r, filters, input, scope, out);
}

/* ---- everything ---- */

static ash_status eval_inside(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    static const ash_string no_else = ASH_LITERAL("the inline if is false and has no else");
    ash_value a, b;
    switch ((ash_op)node->op) {
    case ASH_N_LIST: case ASH_N_TUPLE: return eval_list(r, node, scope, out);
    case ASH_N_DICT: return eval_dict(r, node, scope, out);
    case ASH_N_CONCAT: return eval_concat(r, node, scope, out);
    case ASH_N_COMPARE: return eval_compare(r, node, scope, out);
    case ASH_N_SLICE: return eval_slice(r, node, scope, out);
    case ASH_N_CALL: return ash_eval_call(r, node, (ash_value){ 0 }, scope, out);
    case ASH_N_MATH: case ASH_N_ITEM:
        ASH_TRY(ash_eval(r, node->a, scope, &a));
        ASH_TRY(ash_eval(r, node->b, scope, &b));
        r->line = node->line;
        return node->op == ASH_N_MATH ? ash_arithmetic(r, (ash_math)node->how, a, b, out) : ash_get_item(r, a, b, out);
    case ASH_N_COND:
        ASH_TRY(ash_eval(r, node->a, scope, &a));
        if (ash_truth(a))
            return ash_eval(r, node->b, scope, out);
        if (node->c)
            return ash_eval(r, node->c, scope, out);
        *out = ash_undefined(ASH_WHY_TEXT, ASH_V_MISSING, &no_else);
        return ASH_OK;
    default:
        break;
    }
    ASH_TRY(ash_eval(r, node->a, scope, &a));
    r->line = node->line;
    switch ((ash_op)node->op) {
    case ASH_N_ATTRIBUTE: return ash_get_attribute(r, a, node->name, out);
    case ASH_N_FILTER: case ASH_N_TEST: return apply(r, node, a, scope, out);
    case ASH_N_NOT:
        *out = ash_bool(!ash_truth(a));
        return ASH_OK;
    case ASH_N_NEGATE: return ash_negate(r, a, out);
    case ASH_N_POSITIVE:
        if (a.kind == ASH_V_UNDEFINED)
            return ash_fail_undefined(r, a);
        if (!ash_is_number(a))
            return ASH_WRONG_TYPE(r, "+", a);
        *out = a.kind == ASH_V_BOOL ? ash_int(a.b) : a;
        return ASH_OK;
    default: /* AND, OR */
        *out = a;
        return ash_truth(a) == (node->op == ASH_N_AND) ? ash_eval(r, node->b, scope, out) : ASH_OK;
    }
}

ash_status ash_eval(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ASH_TRY(ash_run_steps(r, 1));
    if (node->op == ASH_N_CONST) {
        *out = node->value;
        return ASH_OK;
    }
    if (node->op == ASH_N_NAME) {
        *out = look_up(r, node, scope);
        return ASH_OK;
    }
    r->line = node->line;
    ASH_TRY(ash_run_enter(r));
    ASH_TRY(eval_inside(r, node, scope, out));
    r->depth--;
    return ASH_OK;
}

ash_status ash_assign(ash_run *r, const ash_node *target, ash_value value, ash_scope *scope)
{
    if (target->op == ASH_N_NAME)
        return ash_scope_set(r, scope, target->number, value);
    r->line = target->line;
    if (target->op == ASH_N_NSREF) {
        ash_value space = look_up(r, target, scope);
        if (space.kind != ASH_V_NAMESPACE)
            return ash_run_fail(r, ASH_E_FORMAT, "cannot assign an attribute of %s: only of a namespace",
                                ash_kind_name(space.kind));
        return ash_dict_set(r, space.dict, ash_str(target->attribute), value);
    }
    ash_value *items;
    uint32_t count;
    ASH_TRY(ash_iterate(r, value, &items, &count));
    if (count != target->count)
        return ash_run_fail(r, ASH_E_FORMAT, "%u values for %u names", count, target->count);
    for (uint32_t i = 0; i < count; i++)
        ASH_TRY(ash_assign(r, target->items[i], items[i], scope));
    return ASH_OK;
}
