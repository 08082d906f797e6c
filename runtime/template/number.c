/* Arithmetic as Python does it, in 64 bits, and the operators that strings and lists share with it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/template/strings.h"

static ash_status too_large(ash_run *r)
{
    return ash_run_fail(r, ASH_E_LIMIT, "an integer leaves 64 bits");
}

static ash_status divide_by_zero(ash_run *r) { return ash_run_fail(r, ASH_E_FORMAT, "division by zero"); }

static ash_status power(ash_run *r, int64_t base, int64_t exponent, ash_value *out)
{
    if (exponent < 0) {
        if (base == 0)
            return divide_by_zero(r);
        *out = ash_float(pow((double)base, (double)exponent));
        return ASH_OK;
    }
    int64_t result = 1;
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return too_large(r);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base))
            return too_large(r);
    }
    *out = ash_int(result);
    return ASH_OK;
}

static ash_status integers(ash_run *r, ash_math op, int64_t a, int64_t b, ash_value *out)
{
    int64_t v = 0;
    switch (op) {
    case ASH_ADD:
        if (__builtin_add_overflow(a, b, &v))
            return too_large(r);
        break;
    case ASH_SUB:
        if (__builtin_sub_overflow(a, b, &v))
            return too_large(r);
        break;
    case ASH_MUL:
        if (__builtin_mul_overflow(a, b, &v))
            return too_large(r);
        break;
    case ASH_DIV:
        if (b == 0)
            return divide_by_zero(r);
        *out = ash_float((double)a / (double)b);
        return ASH_OK;
    case ASH_FLOORDIV:
        if (b == 0)
            return divide_by_zero(r);
        if (a == INT64_MIN && b == -1)
            return too_large(r);
        v = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case ASH_MOD:
        if (b == 0)
            return divide_by_zero(r);
        v = b == -1 ? 0 : a % b;
        if (v != 0 && (v < 0) != (b < 0))
            v += b;
        break;
    case ASH_POW:
        return power(r, a, b, out);
    }
    *out = ash_int(v);
    return ASH_OK;
}

static ash_status floats(ash_run *r, ash_math op, double a, double b, ash_value *out)
{
    double v = 0;
    if (b == 0 && (op == ASH_DIV || op == ASH_FLOORDIV || op == ASH_MOD))
        return divide_by_zero(r);
    switch (op) {
    case ASH_ADD: v = a + b; break;
    case ASH_SUB: v = a - b; break;
    case ASH_MUL: v = a * b; break;
    case ASH_DIV: v = a / b; break;
    case ASH_FLOORDIV: case ASH_MOD: {
        double rest = fmod(a, b), whole = (a - rest) / b;
        if (rest != 0 && (b < 0) != (rest < 0)) {
            rest += b;
            whole -= 1;
        }
        if (rest == 0)
            rest = copysign(0, b);
        double low = floor(whole);
        whole = whole == 0 ? copysign(0, a / b) : whole - low > 0.5 ? low + 1 : low;
        v = op == ASH_MOD ? rest : whole;
        break;
    }
    case ASH_POW:
        if (a == 0 && b < 0)
            return divide_by_zero(r);
        if (a < 0 && b != floor(b) && isfinite(a) && isfinite(b))
            return ash_run_fail(r, ASH_E_UNSUPPORTED, "a complex number");
        v = pow(a, b);
        if (isinf(v) && isfinite(a) && isfinite(b))
            return ash_run_fail(r, ASH_E_FORMAT, "result too large");
        break;
    }
    *out = ash_float(v);
    return ASH_OK;
}

static ash_status repeat_list(ash_run *r, ash_value v, int64_t times, ash_value *out)
{
    uint64_t count = v.list->count;
    if (times < 0 || count == 0)
        times = 0;
    if ((uint64_t)times > UINT32_MAX || count * (uint64_t)times > TEMPLATE_STEPS_MAX)
        return ash_run_fail(r, ASH_E_LIMIT, "a list of more than %u items", TEMPLATE_STEPS_MAX);
    count *= (uint64_t)times;
    ASH_TRY(ash_run_steps(r, count));
    ASH_TRY(ash_list_new(r, v.kind, (uint32_t)count, out));
    for (uint64_t i = 0; i < count; i++)
        out->list->items[i] = v.list->items[i % v.list->count];
    return ASH_OK;
}

static ash_status add_lists(ash_run *r, ash_value a, ash_value b, ash_value *out)
{
    uint64_t count = (uint64_t)a.list->count + b.list->count;
    ASH_TRY(ash_run_steps(r, count / 4));
    ASH_TRY(ash_list_new(r, a.kind, (uint32_t)count, out));
    if (a.list->count)
        memcpy(out->list->items, a.list->items, a.list->count * sizeof(ash_value));
    if (b.list->count)
        memcpy(out->list->items + a.list->count, b.list->items, b.list->count * sizeof(ash_value));
    return ASH_OK;
}

static ash_status add_strings(ash_run *r, const ash_string *a, const ash_string *b, ash_value *out)
{
    *out = (ash_value){ .kind = ASH_V_STRING };
    bool markup = a->markup || b->markup;
    if (markup && !a->markup)
        ASH_TRY(ash_escape_html(r, a, &a));
    if (markup && !b->markup)
        ASH_TRY(ash_escape_html(r, b, &b));
    ASH_TRY(ash_string_join(r, a, b, &out->s));
    if (markup && !out->s->markup) {
        ash_string *copy;
        ASH_TRY(ash_run_alloc(r, sizeof *copy, &copy));
        *copy = *out->s;
        copy->markup = true;
        out->s = copy;
    }
    return ASH_OK;
}

static bool is_sequence(ash_value v) { return v.kind == ASH_V_LIST || v.kind == ASH_V_TUPLE; }

ash_status ash_arithmetic(ash_run *r, ash_math op, ash_value a, ash_value b, ash_value *out)
{
    static const char *const names[] = { "+", "-", "*", "/", "//", "%", "**" };
    if (a.kind == ASH_V_STRING && op == ASH_MOD) {
        *out = (ash_value){ .kind = ASH_V_STRING };
        return ash_format_percent(r, a.s, b, &out->s);
    }
    if (a.kind == ASH_V_UNDEFINED || b.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, a.kind == ASH_V_UNDEFINED ? a : b);
    if (ash_is_number(a) && ash_is_number(b)) {
        if (ash_is_integer(a) && ash_is_integer(b))
            return integers(r, op, ash_as_int(a), ash_as_int(b), out);
        return floats(r, op, ash_as_float(a), ash_as_float(b), out);
    }
    if (op == ASH_ADD && a.kind == ASH_V_STRING && b.kind == ASH_V_STRING)
        return add_strings(r, a.s, b.s, out);
    if (op == ASH_ADD && is_sequence(a) && a.kind == b.kind)
        return add_lists(r, a, b, out);
    if (op == ASH_MUL && (ash_is_integer(a) || ash_is_integer(b))) {
        ash_value v = ash_is_integer(a) ? b : a;
        int64_t times = ash_as_int(ash_is_integer(a) ? a : b);
        if (v.kind == ASH_V_STRING) {
            *out = (ash_value){ .kind = ASH_V_STRING };
            return ash_string_repeat(r, v.s, times, &out->s);
        }
        if (is_sequence(v))
            return repeat_list(r, v, times, out);
    }
    return ash_run_fail(r, ASH_E_FORMAT, "%s %s %s has no meaning%s", ash_kind_name(a.kind), names[op],
                        ash_kind_name(b.kind), op == ASH_ADD ? " (~ joins anything as text)" : "");
}

ash_status ash_negate(ash_run *r, ash_value v, ash_value *out)
{
    if (v.kind == ASH_V_FLOAT)
        *out = ash_float(-v.f);
    else if (ash_is_integer(v) && ash_as_int(v) != INT64_MIN)
        *out = ash_int(-ash_as_int(v));
    else if (v.kind == ASH_V_UNDEFINED)
        return ash_fail_undefined(r, v);
    else
        return ash_is_integer(v) ? too_large(r) : ASH_WRONG_TYPE(r, "-", v);
    return ASH_OK;
}

/* The shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on. */
int ash_float_repr(double f, char out[40])
{
    if (isnan(f))
        return sprintf(out, "nan");
    if (isinf(f))
        return sprintf(out, f < 0 ? "-inf" : "inf");
    char digits[32];
    int precision = 1;
    for (; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision - 1, f);
        if (strtod(digits, NULL) == f)
            break;
    }
    snprintf(digits, sizeof digits, "%.*e", precision - 1, f);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        return sprintf(out, "%s", digits);
    int decimals = precision - 1 - exponent;
    return sprintf(out, "%.*f", decimals > 1 ? decimals : 1, f);
}
