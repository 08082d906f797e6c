/* What can be called: filters, tests, methods and functions of ours, macros. */
#ifndef ASHLAR_RUNTIME_TEMPLATE_CALL_H
#define ASHLAR_RUNTIME_TEMPLATE_CALL_H

#include "runtime/template/value.h"

/* Arguments as given. */
typedef struct ash_args {
    const ash_value *items;
    uint32_t count;
    const ash_string *const *keys;
    const ash_value *values;
    uint32_t key_count;
} ash_args;

#define ASH_PARAMS_MAX 8
/* Arguments as a builtin sees them: `at` by its parameter list, MISSING where not given; `args` as given. */
typedef struct ash_call {
    ash_value self;
    ash_value at[ASH_PARAMS_MAX];
    const ash_args *args;
} ash_call;

typedef ash_status (*ash_builtin_fn)(ash_run *r, const ash_call *c, ash_value *out);
typedef struct ash_builtin {
    const char *name;
    ash_builtin_fn fn;
    const char *params; /* "a,b,c"; NULL: anything, found in `args` */
    uint8_t required;   /* the first so many must be given */
    bool changes;       /* a method that the immutable sandbox refuses (fn is NULL) */
} ash_builtin;

const ash_builtin *ash_find_filter(const ash_string *name);
const ash_builtin *ash_find_test(const ash_string *name);
const ash_builtin *ash_find_method(ash_kind kind, const ash_string *name);
const ash_builtin *ash_find_function(const ash_string *name);
/* A table ends with a NULL name. */
const ash_builtin *ash_find_builtin(const ash_builtin *table, const ash_string *name);

ash_status ash_call_builtin(ash_run *r, const ash_builtin *f, ash_value self, const ash_args *args, ash_value *out);
/* Anything a template may call. */
ash_status ash_call_value(ash_run *r, ash_value callee, const ash_args *args, ash_value *out);
/* obj.name (attribute before item) and obj[key] (item before attribute); absent: an undefined value. */
ash_status ash_get_attribute(ash_run *r, ash_value v, const ash_string *name, ash_value *out);
ash_status ash_get_item(ash_run *r, ash_value v, ash_value key, ash_value *out);
/* obj[from:to:step]; bounds that are MISSING or None are open. */
ash_status ash_get_slice(ash_run *r, ash_value v, ash_value from, ash_value to, ash_value step, ash_value *out);

/* ---- arguments of builtins ---- */
/* A whole number, or `fallback` where the argument is MISSING. */
ash_status ash_arg_int(ash_run *r, ash_value v, const char *what, int64_t fallback, int64_t *out);
/* A string; NULL where MISSING or None. */
ash_status ash_arg_string(ash_run *r, ash_value v, const char *what, const ash_string **out);
static inline bool ash_arg_given(ash_value v) { return v.kind != ASH_V_MISSING; }

/* ---- loops and macros ---- */
struct ash_node;
struct ash_scope;
typedef struct ash_macro {
    const ash_string *name; /* NULL: the body of a call block */
    const struct ash_node *node;
    struct ash_scope *scope; /* where it was defined */
} ash_macro;
typedef struct ash_loop {
    ash_value *items;
    uint32_t count, index, depth;
    ash_value changed;           /* what changed() last saw: a tuple, or MISSING */
    const struct ash_node *node; /* of a recursive loop */
    struct ash_scope *scope;
} ash_loop;
ash_status ash_call_macro(ash_run *r, const ash_macro *m, const ash_args *args, ash_value *out);
ash_status ash_call_loop(ash_run *r, const ash_loop *loop, const ash_args *args, ash_value *out);
ash_status ash_loop_attribute(ash_run *r, ash_loop *loop, const ash_string *name, ash_value *out);

#endif
