/* Vector comparisons: a bit a lane, into a scalar register or (v_cmpx) into EXEC. */
#include "tests/gfx12/lanes.h"

#define CMP(name, expr) BINARY(cmp_##name, (expr) ? 1 : 0)
#define CMP_FLOATS(t, A, B)                     \
    CMP(lt_##t, A < B)                          \
    CMP(eq_##t, A == B)                         \
    CMP(le_##t, A <= B)                         \
    CMP(gt_##t, A > B)                          \
    CMP(lg_##t, A < B || A > B)                 \
    CMP(ge_##t, A >= B)                         \
    CMP(o_##t, !isnan(A) && !isnan(B))          \
    CMP(u_##t, isnan(A) || isnan(B))            \
    CMP(nge_##t, !(A >= B))                     \
    CMP(nlg_##t, !(A < B || A > B))             \
    CMP(ngt_##t, !(A > B))                      \
    CMP(nle_##t, !(A <= B))                     \
    CMP(neq_##t, !(A == B))                     \
    CMP(nlt_##t, !(A < B))
#define CMP_INTEGERS(t, type)                   \
    CMP(lt_##t, (type)a < (type)b)              \
    CMP(eq_##t, (type)a == (type)b)             \
    CMP(le_##t, (type)a <= (type)b)             \
    CMP(gt_##t, (type)a > (type)b)              \
    CMP(ne_##t, (type)a != (type)b)             \
    CMP(ge_##t, (type)a >= (type)b)
CMP_FLOATS(f32, FA, FB)
CMP_FLOATS(f16, HA, HB)
CMP_INTEGERS(i32, int32_t)
CMP_INTEGERS(u32, uint32_t)
CMP_INTEGERS(i16, int16_t)
CMP_INTEGERS(u16, uint16_t)

#define CMP_WIDE(name, type, sign)                                          \
    static void cmp_##name(gfx_wave *w, const gfx_insn *i, uint32_t *r)     \
    {                                                                       \
        uint64_t a[GFX_LANES], b[GFX_LANES];                                \
        gfx_wide_source(w, i, 0, a);                                        \
        gfx_wide_source(w, i, 1, b);                                        \
        LANES { r[l] = (type)a[l] sign (type)b[l]; }                        \
    }
#define CMP_WIDES(t, type)                      \
    CMP_WIDE(lt_##t, type, <)                   \
    CMP_WIDE(eq_##t, type, ==)                  \
    CMP_WIDE(le_##t, type, <=)                  \
    CMP_WIDE(gt_##t, type, >)                   \
    CMP_WIDE(ne_##t, type, !=)                  \
    CMP_WIDE(ge_##t, type, >=)
CMP_WIDES(i64, int64_t)
CMP_WIDES(u64, uint64_t)

/* The second source has a bit for each class of numbers: signaling NaN, quiet NaN, then from -infinity up to infinity:
 * normal, denormal, zero, zero, denormal, normal. */
static uint32_t class_of(uint32_t bits, int mantissa_bits, uint32_t infinity)
{
    uint32_t body = bits & (infinity | ((UINT32_C(1) << mantissa_bits) - 1));
    bool negative = bits & (infinity + (UINT32_C(1) << mantissa_bits)); /* the bit above the exponent */
    if (body > infinity)
        return body >> (mantissa_bits - 1) & 1 ? 2 : 1;
    int rank = body == infinity ? 3 : body >= UINT32_C(1) << mantissa_bits ? 2 : body ? 1 : 0;
    return UINT32_C(1) << (negative ? 5 - rank : 6 + rank);
}
BINARY(cmp_class_f32, (class_of(a, 23, 0x7f800000) & b) != 0)
BINARY(cmp_class_f16, (class_of(a, 10, 0x7c00) & b) != 0)

#define V_CMP(name, fn, flags, halves)                                                \
    { "v_cmp_" name, NULL, cmp_##fn, GFX_VECTOR_COMPARE, flags, halves },        \
    { "v_cmpx_" name, NULL, cmp_##fn, GFX_VECTOR_COMPARE, (flags) | GFX_NO_DST, halves }
#define V_CMP_F(t, halves)                                                                                         \
    V_CMP("lt_" #t, lt_##t, GFX_FLOATS, halves), V_CMP("eq_" #t, eq_##t, GFX_FLOATS, halves),                       \
    V_CMP("le_" #t, le_##t, GFX_FLOATS, halves), V_CMP("gt_" #t, gt_##t, GFX_FLOATS, halves),                       \
    V_CMP("lg_" #t, lg_##t, GFX_FLOATS, halves), V_CMP("ge_" #t, ge_##t, GFX_FLOATS, halves),                       \
    V_CMP("o_" #t, o_##t, GFX_FLOATS, halves), V_CMP("u_" #t, u_##t, GFX_FLOATS, halves),                           \
    V_CMP("nge_" #t, nge_##t, GFX_FLOATS, halves), V_CMP("nlg_" #t, nlg_##t, GFX_FLOATS, halves),                   \
    V_CMP("ngt_" #t, ngt_##t, GFX_FLOATS, halves), V_CMP("nle_" #t, nle_##t, GFX_FLOATS, halves),                   \
    V_CMP("neq_" #t, neq_##t, GFX_FLOATS, halves), V_CMP("nlt_" #t, nlt_##t, GFX_FLOATS, halves)
#define V_CMP_I(t, halves)                                                                                         \
    V_CMP("lt_" #t, lt_##t, 0, halves), V_CMP("eq_" #t, eq_##t, 0, halves), V_CMP("le_" #t, le_##t, 0, halves),     \
    V_CMP("gt_" #t, gt_##t, 0, halves), V_CMP("ne_" #t, ne_##t, 0, halves), V_CMP("ge_" #t, ge_##t, 0, halves)

const gfx_op gfx_compare_ops[] = {
    V_CMP_F(f32, 0), V_CMP_F(f16, GFX_HALF_A | GFX_HALF_B), V_CMP_I(i32, 0), V_CMP_I(u32, 0),
    V_CMP_I(i16, GFX_HALF_A | GFX_HALF_B), V_CMP_I(u16, GFX_HALF_A | GFX_HALF_B), V_CMP_I(i64, 0), V_CMP_I(u64, 0),
    V_CMP("class_f32", class_f32, GFX_FLOATS, 0), V_CMP("class_f16", class_f16, GFX_FLOATS, GFX_HALF_A),
    V_END,
};
