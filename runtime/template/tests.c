/* Tests: what stands behind "is". */
#include <string.h>

#include "runtime/template/call.h"
#include "runtime/template/letters.h"

#define IS_KIND(name, condition)                                              \
    static ash_status name(ash_run *r, const ash_call *c, ash_value *out)     \
    {                                                                         \
        (void)r;                                                              \
        ash_value v = c->self;                                                \
        *out = ash_bool(condition);                                           \
        return ASH_OK;                                                        \
    }
IS_KIND(is_boolean, v.kind == ASH_V_BOOL)
IS_KIND(is_callable, v.kind == ASH_V_MACRO || v.kind == ASH_V_METHOD || v.kind == ASH_V_FUNCTION ||
        v.kind == ASH_V_LOOP || v.kind == ASH_V_JOINER || v.kind == ASH_V_UNDEFINED)
IS_KIND(is_defined, v.kind != ASH_V_UNDEFINED)
IS_KIND(is_undefined, v.kind == ASH_V_UNDEFINED)
IS_KIND(is_escaped, v.kind == ASH_V_STRING && v.s->markup)
IS_KIND(is_false, v.kind == ASH_V_BOOL && !v.b)
IS_KIND(is_true, v.kind == ASH_V_BOOL && v.b)
IS_KIND(is_float, v.kind == ASH_V_FLOAT)
IS_KIND(is_integer, v.kind == ASH_V_INT)
IS_KIND(is_number, ash_is_number(v))
IS_KIND(is_none, v.kind == ASH_V_NONE)
IS_KIND(is_string, v.kind == ASH_V_STRING)
IS_KIND(is_mapping, v.kind == ASH_V_DICT)
IS_KIND(is_iterable, ash_is_iterable(v))
IS_KIND(is_sequence, v.kind == ASH_V_STRING || v.kind == ASH_V_LIST || v.kind == ASH_V_TUPLE || v.kind == ASH_V_DICT ||
        v.kind == ASH_V_RANGE || v.kind == ASH_V_UNDEFINED)

static ash_status is_case(ash_run *r, ash_value v, ash_class what, ash_value *out)
{
    const ash_string *s;
    ASH_TRY(ash_to_string(r, v, &s));
    ASH_TRY(ash_run_change(r, s->bytes));
    *out = ash_bool(ash_string_is_all(s, what));
    return ASH_OK;
}

static ash_status is_lower(ash_run *r, const ash_call *c, ash_value *out)
{
    return is_case(r, c->self, ASH_IS_LOWER, out);
}

static ash_status is_upper(ash_run *r, const ash_call *c, ash_value *out)
{
    return is_case(r, c->self, ASH_IS_UPPER, out);
}

static ash_status rest_is(ash_run *r, ash_value v, ash_value divisor, int64_t wanted, ash_value *out)
{
    ash_value rest;
    bool same;
    ASH_TRY(ash_arithmetic(r, ASH_MOD, v, divisor, &rest));
    ASH_TRY(ash_equal(r, rest, ash_int(wanted), &same));
    *out = ash_bool(same);
    return ASH_OK;
}

static ash_status is_divisibleby(ash_run *r, const ash_call *c, ash_value *out)
{
    return rest_is(r, c->self, c->at[0], 0, out);
}

static ash_status is_even(ash_run *r, const ash_call *c, ash_value *out)
{
    return rest_is(r, c->self, ash_int(2), 0, out);
}

static ash_status is_odd(ash_run *r, const ash_call *c, ash_value *out)
{
    return rest_is(r, c->self, ash_int(2), 1, out);
}

static ash_status is_eq(ash_run *r, const ash_call *c, ash_value *out)
{
    bool same;
    ASH_TRY(ash_equal(r, c->self, c->at[0], &same));
    *out = ash_bool(same);
    return ASH_OK;
}

static ash_status is_ne(ash_run *r, const ash_call *c, ash_value *out)
{
    ASH_TRY(is_eq(r, c, out));
    out->b = !out->b;
    return ASH_OK;
}

#define IS_ORDER(name, condition)                                                 \
    static ash_status name(ash_run *r, const ash_call *c, ash_value *out)         \
    {                                                                             \
        int order;                                                                \
        bool unordered;                                                           \
        ASH_TRY(ash_compare(r, c->self, c->at[0], &order, &unordered));           \
        *out = ash_bool(!unordered && (condition));                               \
        return ASH_OK;                                                            \
    }
IS_ORDER(is_lt, order < 0)
IS_ORDER(is_le, order <= 0)
IS_ORDER(is_gt, order > 0)
IS_ORDER(is_ge, order >= 0)

static ash_status is_in(ash_run *r, const ash_call *c, ash_value *out)
{
    bool found;
    ASH_TRY(ash_contains(r, c->at[0], c->self, &found));
    *out = ash_bool(found);
    return ASH_OK;
}

/* The same object: for values without one, the same kind and value. */
static ash_status is_sameas(ash_run *r, const ash_call *c, ash_value *out)
{
    ash_value a = c->self, b = c->at[0];
    bool same = a.kind == b.kind;
    if (same && (a.kind == ASH_V_STRING || a.kind < ASH_V_STRING))
        ASH_TRY(ash_equal(r, a, b, &same));
    else if (same)
        same = a.list == b.list;
    *out = ash_bool(same);
    return ASH_OK;
}

static ash_status is_filter(ash_run *r, const ash_call *c, ash_value *out)
{
    (void)r;
    *out = ash_bool(c->self.kind == ASH_V_STRING && ash_find_filter(c->self.s));
    return ASH_OK;
}

static ash_status is_test(ash_run *r, const ash_call *c, ash_value *out)
{
    (void)r;
    *out = ash_bool(c->self.kind == ASH_V_STRING && ash_find_test(c->self.s));
    return ASH_OK;
}

static const ash_builtin tests[] = {
    { "defined", is_defined, "", 0, false },
    { "undefined", is_undefined, "", 0, false },
    { "none", is_none, "", 0, false },
    { "string", is_string, "", 0, false },
    { "mapping", is_mapping, "", 0, false },
    { "iterable", is_iterable, "", 0, false },
    { "sequence", is_sequence, "", 0, false },
    { "boolean", is_boolean, "", 0, false },
    { "true", is_true, "", 0, false },
    { "false", is_false, "", 0, false },
    { "integer", is_integer, "", 0, false },
    { "float", is_float, "", 0, false },
    { "number", is_number, "", 0, false },
    { "callable", is_callable, "", 0, false },
    { "escaped", is_escaped, "", 0, false },
    { "lower", is_lower, "", 0, false },
    { "upper", is_upper, "", 0, false },
    { "odd", is_odd, "", 0, false },
    { "even", is_even, "", 0, false },
    { "divisibleby", is_divisibleby, "num", 1, false },
    { "sameas", is_sameas, "other", 1, false },
    { "in", is_in, "seq", 1, false },
    { "filter", is_filter, "", 0, false },
    { "test", is_test, "", 0, false },
    { "eq", is_eq, "other", 1, false },
    { "equalto", is_eq, "other", 1, false },
    { "==", is_eq, "other", 1, false },
    { "ne", is_ne, "other", 1, false },
    { "!=", is_ne, "other", 1, false },
    { "lt", is_lt, "other", 1, false },
    { "lessthan", is_lt, "other", 1, false },
    { "<", is_lt, "other", 1, false },
    { "le", is_le, "other", 1, false },
    { "<=", is_le, "other", 1, false },
    { "gt", is_gt, "other", 1, false },
    { "greaterthan", is_gt, "other", 1, false },
    { ">", is_gt, "other", 1, false },
    { "ge", is_ge, "other", 1, false },
    { ">=", is_ge, "other", 1, false },
    { 0 },
};

const ash_builtin *ash_find_test(const ash_string *name) { return ash_find_builtin(tests, name); }
