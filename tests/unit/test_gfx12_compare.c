/* The interpreter's vector comparisons against plain C: every predicate of every type, into a scalar register and
 * into EXEC; lanes that are not active give 0. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"

static const uint32_t edges[] = {
    0, 1, 2, 31, 32, 33, 127, 128, 255, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff,
    0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc00000, 0x807fffff, 0x00800000,
    0x7f7fffff, 0x00003c00, 0x0000bc00, 0x7c00fc00, 0xfc007c00, 0x7e017c01, 0x7c017e01, 0x83ff03ff, 0x04008400,
    0x7bfffbff, 0x80008000, 0x00000200, 0x00000100, 0x000003ff, 0x00000040, 0x000001f8,
};
#define COUNT(list) (sizeof(list) / sizeof *(list))
#define E GFX_EXPECT
#define HX ash_f16_to_f32((uint16_t)a)
#define HY ash_f16_to_f32((uint16_t)b)

/* A predicate's expectations in every type that has it. */
#define FLOATS(name, expr_of) E(name##_f32, expr_of(x, y)) E(name##_f16, expr_of(HX, HY))
#define INTEGERS(name, op)                                                                             \
    E(name##_i32, (int32_t)a op (int32_t)b) E(name##_u32, a op b) E(name##_i16, (int16_t)a op (int16_t)b) \
    E(name##_u16, (uint16_t)a op (uint16_t)b) E(name##_i64, (int64_t)A op (int64_t)B) E(name##_u64, A op B)
#define LT(p, q) ((p) < (q))
#define EQ(p, q) ((p) == (q))
#define LE(p, q) ((p) <= (q))
#define GT(p, q) ((p) > (q))
#define LG(p, q) ((p) < (q) || (p) > (q))
#define GE(p, q) ((p) >= (q))
#define O(p, q) (!isnan(p) && !isnan(q))
#define NOT_O(p, q) (isnan(p) || isnan(q))
#define NGE(p, q) (NOT_O(p, q) || (p) < (q))
#define NLG(p, q) (NOT_O(p, q) || (p) == (q))
#define NGT(p, q) (NOT_O(p, q) || (p) <= (q))
#define NLE(p, q) (NOT_O(p, q) || (p) > (q))
#define NEQ(p, q) (NOT_O(p, q) || (p) < (q) || (p) > (q))
#define NLT(p, q) (NOT_O(p, q) || (p) >= (q))
FLOATS(lt, LT) FLOATS(eq, EQ) FLOATS(le, LE) FLOATS(gt, GT) FLOATS(lg, LG) FLOATS(ge, GE) FLOATS(o, O) FLOATS(u, NOT_O)
FLOATS(nge, NGE) FLOATS(nlg, NLG) FLOATS(ngt, NGT) FLOATS(nle, NLE) FLOATS(neq, NEQ) FLOATS(nlt, NLT)
INTEGERS(lt, <) INTEGERS(eq, ==) INTEGERS(le, <=) INTEGERS(gt, >) INTEGERS(ne, !=) INTEGERS(ge, >=)

/* From the lowest bit: signaling NaN, quiet NaN; then infinity, normal, denormal, zero of the negative; and back. */
static uint32_t class_of(float v, bool quiet, float least_normal)
{
    if (isnan(v))
        return quiet ? 2 : 1;
    int n = isinf(v) ? 0 : v == 0 ? 3 : fabsf(v) < least_normal ? 2 : 1;
    return 1u << (signbit(v) ? 2 + n : 9 - n);
}
E(class_f32, (class_of(x, a >> 22 & 1, FLT_MIN) & b) != 0) E(class_f16, (class_of(HX, a >> 9 & 1, 0x1p-14f) & b) != 0)
E(class_abs, (class_of(fabsf(x), a >> 22 & 1, FLT_MIN) & b) != 0) E(gt_abs, fabsf(HX) > HY) E(lt_neg, x < -y)
E(lt_half, HX < 0.5f)

#define OP(name) { #name, e_##name }
#define OF_FLOATS(name) OP(name##_f32), OP(name##_f16)
#define OF_INTEGERS(name) OP(name##_i32), OP(name##_u32), OP(name##_i16), OP(name##_u16), OP(name##_i64), OP(name##_u64)
static const struct { const char *name; gfx_test_expect *expect; } plain[] = {
    OF_FLOATS(lt), OF_FLOATS(eq), OF_FLOATS(le), OF_FLOATS(gt), OF_FLOATS(lg), OF_FLOATS(ge), OF_FLOATS(o),
    OF_FLOATS(u),
    OF_FLOATS(nge), OF_FLOATS(nlg), OF_FLOATS(ngt), OF_FLOATS(nle), OF_FLOATS(neq), OF_FLOATS(nlt),
    OF_INTEGERS(lt), OF_INTEGERS(eq), OF_INTEGERS(le), OF_INTEGERS(gt), OF_INTEGERS(ne), OF_INTEGERS(ge),
    OF_FLOATS(class),
};
static const gfx_test_op modified[] = {
    { "v_cmp_class_f32 s10, |v0|, v2", e_class_abs, 0, 0 }, { "v_cmp_gt_f16 s10, |v0|, v2", e_gt_abs, 0, 0 },
    { "v_cmp_lt_f32 s10, v0, -v2", e_lt_neg, 0, 0 }, { "v_cmp_gt_f16 s10, 0.5, v0", e_lt_half, 0, 0 },
};

static void every_comparison(void **state)
{
    (void)state;
    gfx_test_op ops[2 * COUNT(plain)];
    static char lines[2 * COUNT(plain)][64];
    for (size_t k = 0; k < COUNT(ops); k++) {
        const char *name = plain[k / 2].name;
        bool wide = strstr(name, "64");
        snprintf(lines[k], sizeof lines[k], "v_cmp%s%s %s%s, %s", k % 2 ? "x_" : "_", name, k % 2 ? "" : "s10, ",
                 wide ? "v[0:1]" : "v0", wide ? "v[2:3]" : "v2");
        ops[k] = (gfx_test_op){ lines[k], plain[k / 2].expect, 0, 0 };
    }
    gfx_test_ops(ops, COUNT(ops), edges, COUNT(edges));
    for (int half = 0; half < 2; half++) { /* with the signs that floats may have */
        size_t count = 0;
        for (size_t k = 0; k < COUNT(ops); k++) {
            const char *name = plain[k / 2].name;
            if (!strstr(name, half ? "f16" : "f32") || strncmp(name, "class", 5) == 0)
                continue;
            snprintf(lines[count], sizeof lines[count], "v_cmp%s%s %s-v0, |v2|", k % 2 ? "x_" : "_", name,
                     k % 2 ? "" : "s10, ");
            ops[count] = (gfx_test_op){ lines[count], plain[k / 2].expect, 0, 0 };
            count++;
        }
        gfx_test_signed_ops(ops, count, edges, COUNT(edges), half ? 0x8000 : 0x80000000);
    }
    gfx_test_ops(modified, COUNT(modified), edges, COUNT(edges));
    gfx_test_all_ran(gfx_compare_ops);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(every_comparison) };

int main(void) { return cmocka_run_group_tests_name("gfx12_compare", tests, NULL, NULL); }
