/* Evaluating a tree. Scopes form a chain: a name is looked up from the innermost outwards, then among the globals, and
 * set in the innermost alone. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_EVAL_H
#define ASHLAR_RUNTIME_TEMPLATE_EVAL_H

#include "runtime/template/ast.h"

typedef struct ash_binding {
    struct ash_binding *next;
    uint32_t number; /* of the name */
    ash_value value;
} ash_binding;
typedef struct ash_scope {
    struct ash_scope *up;
    ash_binding *bindings;
    ash_binding *spare; /* emptied ones, to be used again */
} ash_scope;

typedef enum ash_flow { ASH_FLOW_ON, ASH_FLOW_BREAK, ASH_FLOW_CONTINUE } ash_flow;

ash_status ash_scope_new(ash_run *r, ash_scope *up, ash_scope **out);
void ash_scope_clear(ash_scope *scope);
ash_status ash_scope_set(ash_run *r, ash_scope *scope, uint32_t number, ash_value value);
ash_status ash_eval(ash_run *r, const ash_node *node, ash_scope *scope, ash_value *out);
/* The filters of a block, on what it printed. */
ash_status ash_eval_filters(ash_run *r, const ash_node *filters, ash_value input, ash_scope *scope, ash_value *out);
/* A call with one more argument named `caller` (a call block's body), unless MISSING. */
ash_status ash_eval_call(ash_run *r, const ash_node *node, ash_value caller, ash_scope *scope, ash_value *out);
ash_status ash_assign(ash_run *r, const ash_node *target, ash_value value, ash_scope *scope);

ash_status ash_exec(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow);
/* ash_template_render with another bound on steps: the fuzzer has no second for each template. */
ash_status ash_template_render_within(const ash_template *t, const ash_template_input *in, uint64_t steps_max,
                                      ash_template_output *out, ash_error *err);
/* Executes into a text of its own. */
ash_status ash_exec_captured(ash_run *r, const ash_node *node, ash_scope *scope, ash_flow *flow, ash_value *out);

#endif
