/* Statements, macros and loops. */
#include <string.h>

#include "runtime/template/eval.h"
#include "runtime/template/strings.h"

ash_status ash_exec_captured(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow, ash_value *out)
{
    ash_builder *outer = r->out;
    ASH_TRY(ash_builder_new(r, 128, &r->out));
    ASH_TRY(ash_exec(r, node, scope, flow));
    ASH_TRY(ash_builder_value(r, r->out, out));
    r->out = outer;
    return ASH_OK;
}

/* ---- for ---- */

static ash_status keep_matching(ash_run *r, const ash_node *node, ash_scope *scope, ash_value **items, uint32_t *count)
{
    ash_values kept = { 0 };
    for (uint32_t i = 0; i < *count; i++) {
        ash_scope *inner;
        ash_value holds;
        ASH_TRY(ash_scope_new(r, scope, &inner));
        ASH_TRY(ash_assign(r, node->a, (*items)[i], inner));
        ASH_TRY(ash_eval(r, node->loop.test, inner, &holds));
        if (ash_truth(holds))
            ASH_TRY(ash_values_add(r, &kept, (*items)[i]));
    }
    *items = kept.items;
    *count = kept.count;
    return ASH_OK;
}

/* Each round has names of its own: what it sets is gone in the next one. As in Jinja, `else` runs unless some round
 * came to its end: a round left by continue or break does not count. */
static ash_status run_loop(ash_run *r, const ash_node *node, ash_value iterable, uint32_t depth, ash_scope *scope,
                           ash_flow *outer)
{
    ash_loop *loop;
    bool completed = false;
    ASH_TRY(ash_run_alloc(r, sizeof *loop, &loop));
    *loop = (ash_loop){ .node = node->loop.recursive ? node : NULL, .scope = scope, .depth = depth };
    ASH_TRY(ash_iterate(r, iterable, &loop->items, &loop->count));
    if (node->loop.test)
        ASH_TRY(keep_matching(r, node, scope, &loop->items, &loop->count));
    ash_scope *inner = NULL;
    for (loop->index = 0; loop->index < loop->count; loop->index++) {
        ash_flow flow = ASH_FLOW_ON;
        ASH_TRY(ash_run_steps(r, 1));
        if (inner && !node->loop.keeps_scopes)
            ash_scope_clear(inner);
        else
            ASH_TRY(ash_scope_new(r, scope, &inner));
        ASH_TRY(ash_scope_set(r, inner, ASH_NAME_LOOP, (ash_value){ .kind = ASH_V_LOOP, .loop = loop }));
        ASH_TRY(ash_assign(r, node->a, loop->items[loop->index], inner));
        ASH_TRY(ash_exec(r, node->c, inner, &flow));
        completed |= flow == ASH_FLOW_ON;
        if (flow == ASH_FLOW_BREAK)
            break;
    }
    if (completed || !node->loop.otherwise)
        return ASH_OK;
    ASH_TRY(ash_scope_new(r, scope, &scope));
    return ash_exec(r, node->loop.otherwise, scope, outer);
}

ash_status ash_call_loop(ash_run *r, const ash_loop *loop, const ash_args *args, ash_value *out)
{
    if (!loop->node)
        return ash_run_fail(r, ASH_E_FORMAT, "loop() works in a loop marked 'recursive' alone");
    if (args->count != 1 || args->key_count)
        return ash_run_fail(r, ASH_E_FORMAT, "loop() takes one argument");
    ash_builder *outer = r->out;
    ash_flow flow = ASH_FLOW_ON;
    ASH_TRY(ash_builder_new(r, 128, &r->out));
    ASH_TRY(ash_run_enter(r));
    ASH_TRY(run_loop(r, loop->node, args->items[0], loop->depth + 1, loop->scope, &flow));
    r->depth--;
    ASH_TRY(ash_builder_value(r, r->out, out));
    r->out = outer;
    return ASH_OK;
}

/* ---- macros ---- */

static ash_status bind_parameters(ash_run *r, const ash_macro *m, const ash_args *args, ash_scope *scope, bool *used)
{
    const ash_node *node = m->node;
    for (uint32_t i = 0; i < node->count; i++) {
        const ash_node *parameter = node->items[i];
        ash_value v = ash_undefined(ASH_WHY_NAME, ASH_V_MISSING, parameter->name);
        uint32_t from_default = i + node->macro.default_count - node->count, key = 0;
        if (i < args->count) {
            v = args->items[i];
        } else {
            while (key < args->key_count && !ash_string_same(args->keys[key], parameter->name))
                key++;
            if (key < args->key_count) {
                v = args->values[key];
                used[key] = true;
            } else if (i + node->macro.default_count >= node->count) {
                ASH_TRY(ash_eval(r, node->macro.defaults[from_default], scope, &v));
            }
        }
        ASH_TRY(ash_scope_set(r, scope, parameter->number, v));
    }
    return ASH_OK;
}

/* varargs, kwargs and caller, for a body that names them; what is left over otherwise is an error. */
static ash_status bind_rest(ash_run *r, const ash_macro *m, const ash_args *args, ash_scope *scope, const bool *used)
{
    const ash_node *node = m->node;
    const char *name = m->name ? m->name->text : "caller";
    ash_value caller = ash_undefined(ASH_WHY_NAME, ASH_V_MISSING, r->template->names[ASH_NAME_CALLER]), kwargs, varargs;
    ASH_TRY(ash_dict_new(r, 0, &kwargs));
    for (uint32_t i = 0; i < args->key_count; i++) {
        if (used[i])
            continue;
        if (node->macro.uses_caller && ash_string_is(args->keys[i], "caller"))
            caller = args->values[i];
        else if (node->macro.uses_kwargs)
            ASH_TRY(ash_dict_set(r, kwargs.dict, ash_str(args->keys[i]), args->values[i]));
        else
            return ash_run_fail(r, ASH_E_FORMAT, "macro '%.80s' takes no argument '%.*s'", name,
                                (int)(args->keys[i]->bytes < 80 ? args->keys[i]->bytes : 80), args->keys[i]->text);
    }
    uint32_t over = args->count > node->count ? args->count - node->count : 0;
    if (over && !node->macro.uses_varargs)
        return ash_run_fail(r, ASH_E_FORMAT, "macro '%.80s' takes %u arguments, not %u", name, node->count,
                            args->count);
    if (node->macro.uses_caller)
        ASH_TRY(ash_scope_set(r, scope, ASH_NAME_CALLER, caller));
    if (node->macro.uses_kwargs)
        ASH_TRY(ash_scope_set(r, scope, ASH_NAME_KWARGS, kwargs));
    if (node->macro.uses_varargs) {
        ASH_TRY(ash_list_new(r, ASH_V_TUPLE, over, &varargs));
        if (over)
            memcpy(varargs.list->items, args->items + node->count, over * sizeof(ash_value));
        ASH_TRY(ash_scope_set(r, scope, ASH_NAME_VARARGS, varargs));
    }
    return ASH_OK;
}

ash_status ash_call_macro(ash_run *r, const ash_macro *m, const ash_args *args, ash_value *out)
{
    ash_scope *scope;
    ash_flow flow = ASH_FLOW_ON;
    bool *used;
    ASH_TRY(ash_run_steps(r, (uint64_t)args->key_count * m->node->count));
    ASH_TRY(ash_run_alloc(r, args->key_count, &used));
    ASH_TRY(ash_scope_new(r, m->scope, &scope));
    ASH_TRY(bind_parameters(r, m, args, scope, used));
    ASH_TRY(bind_rest(r, m, args, scope, used));
    return ash_exec_captured(r, m->node->b, scope, &flow, out);
}

static ash_status new_macro(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out)
{
    ash_macro *m;
    ASH_TRY(ash_run_alloc(r, sizeof *m, &m));
    *m = (ash_macro){ .name = node->name, .node = node, .scope = scope };
    *out = (ash_value){ .kind = ASH_V_MACRO, .macro = m };
    return ASH_OK;
}

/* ---- blocks ---- */

/* The text of a block, through its filters. */
static ash_status block_text(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow, ash_value *out)
{
    ash_scope *inner;
    ASH_TRY(ash_scope_new(r, scope, &inner));
    ASH_TRY(ash_exec_captured(r, node->b, inner, flow, out));
    if (node->c && *flow == ASH_FLOW_ON)
        ASH_TRY(ash_eval_filters(r, node->c, *out, scope, out));
    return ASH_OK;
}

static ash_status exec_with(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow)
{
    ash_scope *inner;
    ash_value v;
    ASH_TRY(ash_scope_new(r, scope, &inner));
    for (uint32_t i = 0; i < node->count; i += 2) { /* the values see the names outside, not each other's */
        ASH_TRY(ash_eval(r, node->items[i + 1], scope, &v));
        ASH_TRY(ash_assign(r, node->items[i], v, inner));
    }
    return ash_exec(r, node->b, inner, flow);
}

static ash_status exec_inside(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow)
{
    ash_value v;
    switch ((ash_op)node->op) {
    case ASH_N_BODY:
        for (uint32_t i = 0; i < node->count && *flow == ASH_FLOW_ON; i++)
            ASH_TRY(ash_exec(r, node->items[i], scope, flow));
        return ASH_OK;
    case ASH_N_IF:
        for (; node->op == ASH_N_IF; node = node->c) {
            ASH_TRY(ash_eval(r, node->a, scope, &v));
            if (ash_truth(v))
                return ash_exec(r, node->b, scope, flow);
            if (!node->c)
                return ASH_OK;
        }
        return ash_exec(r, node, scope, flow);
    case ASH_N_FOR:
        ASH_TRY(ash_eval(r, node->b, scope, &v));
        return run_loop(r, node, v, 1, scope, flow);
    case ASH_N_BREAK: case ASH_N_CONTINUE:
        *flow = node->op == ASH_N_BREAK ? ASH_FLOW_BREAK : ASH_FLOW_CONTINUE;
        return ASH_OK;
    case ASH_N_SET:
        ASH_TRY(ash_eval(r, node->b, scope, &v));
        return ash_assign(r, node->a, v, scope);
    case ASH_N_SET_BLOCK:
        ASH_TRY(block_text(r, node, scope, flow, &v));
        return *flow == ASH_FLOW_ON ? ash_assign(r, node->a, v, scope) : ASH_OK;
    case ASH_N_FILTER_BLOCK:
        ASH_TRY(block_text(r, node, scope, flow, &v));
        return *flow == ASH_FLOW_ON ? ash_build_str(r, r->out, v) : ASH_OK;
    case ASH_N_WITH: return exec_with(r, node, scope, flow);
    case ASH_N_SCOPE:
        ASH_TRY(ash_scope_new(r, scope, &scope));
        return ash_exec(r, node->b, scope, flow);
    case ASH_N_MACRO:
        ASH_TRY(new_macro(r, node, scope, &v));
        return ash_scope_set(r, scope, node->number, v);
    case ASH_N_CALL_BLOCK:
        ASH_TRY(new_macro(r, node->c, scope, &v));
        ASH_TRY(ash_eval_call(r, node->a, v, scope, &v));
        return ash_build_str(r, r->out, v);
    default: /* OUTPUT */
        ASH_TRY(ash_eval(r, node->a, scope, &v));
        return ash_build_str(r, r->out, v);
    }
}

ash_status ash_exec(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow)
{
    ASH_TRY(ash_run_steps(r, 1));
    r->line = node->line;
    ASH_TRY(ash_run_enter(r));
    ASH_TRY(exec_inside(r, node, scope, flow));
    r->depth--;
    return ASH_OK;
}
