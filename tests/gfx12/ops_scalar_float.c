/* Floats in scalar registers: f32 and f16 arithmetic and comparisons, and the v_s_ operations of the transcendental
 * unit. */
#include "tests/gfx12/lanes.h"

/* Source k, its sign and magnitude applied. */
static float f32_of(gfx_wave *w, const gfx_insn *i, int k)
{
    float x = gfx_float(gfx_s32(w, &i->src[k]));
    x = i->src[k].abs ? fabsf(x) : x;
    return i->src[k].neg ? -x : x;
}
static float f16_of(gfx_wave *w, const gfx_insn *i, int k)
{
    const gfx_operand *o = &i->src[k];
    return o->kind == GFX_FLOAT ? gfx_float(o->bits) : gfx_half(gfx_s32(w, o) & 0xffff);
}
#define X f32_of(w, i, 0)
#define Y f32_of(w, i, 1)
#define Z f32_of(w, i, 2)
#define XH f16_of(w, i, 0)
#define YH f16_of(w, i, 1)
#define A gfx_s32(w, &i->src[0])
#define DST gfx_s32(w, &i->dst)

#define PLAIN(name, expr) static void name(gfx_wave *w, const gfx_insn *i) { gfx_set_s32(w, &i->dst, (expr)); }
PLAIN(add_f, R(X + Y))
PLAIN(sub_f, R(X - Y))
PLAIN(mul_f, R(X * Y))
PLAIN(min_f, R(gfx_minimum_number(X, Y)))
PLAIN(max_f, R(gfx_maximum_number(X, Y)))
PLAIN(minimum_f, R(gfx_minimum(X, Y)))
PLAIN(maximum_f, R(gfx_maximum(X, Y)))
PLAIN(fmac_f, R(fmaf(X, Y, gfx_float(DST))))
PLAIN(fma_f, R(fmaf(X, Y, Z)))
PLAIN(floor_f, R(floorf(X)))
PLAIN(ceil_f, R(ceilf(X)))
PLAIN(trunc_f, R(truncf(X)))
PLAIN(rndne_f, R(rintf(X)))
PLAIN(f32_i32, R((float)(int32_t)A))
PLAIN(f32_u32, R((float)A))
PLAIN(i32_f32, gfx_to_i32(X))
PLAIN(u32_f32, gfx_to_u32(X))
PLAIN(f16_f32, H(X))
PLAIN(f32_f16, R(XH))
PLAIN(hi_f32_f16, R(gfx_half(A >> 16)))
PLAIN(pk_rtz, gfx_half_toward_zero(X) | gfx_half_toward_zero(Y) << 16)
PLAIN(add_h, H(XH + YH))
PLAIN(sub_h, H(XH - YH))
PLAIN(mul_h, H(XH * YH))
PLAIN(min_h, H(gfx_minimum_number(XH, YH)))
PLAIN(max_h, H(gfx_maximum_number(XH, YH)))
PLAIN(fmac_h, gfx_half_fma_halves(XH, YH, gfx_half(DST & 0xffff)))

static uint32_t finished(const gfx_insn *i, float x)
{
    static const float factors[] = { 1, 2, 4, 0.5f };
    x *= factors[i->omod];
    return R(!i->clamp ? x : x > 1 ? 1 : x > 0 ? x : 0); /* NaN gives 0 */
}
#define UNIT(name, expr) \
    static void name(gfx_wave *w, const gfx_insn *i) { gfx_set_s32(w, &i->dst, finished(i, (expr))); }
#define FLUSHED gfx_flushed(X)
UNIT(rcp, gfx_flushed(1.0f / FLUSHED))
UNIT(rsq, (float)(1.0 / sqrt((double)FLUSHED)))
UNIT(root, sqrtf(FLUSHED))
UNIT(exp2_f, gfx_flushed(gfx_exp2(X)))
UNIT(log2_f, gfx_log2(FLUSHED))

#define COMPARE(name, expr)                                                \
    static void name(gfx_wave *w, const gfx_insn *i)                       \
    {                                                                      \
        float a = X, b = Y;                                                \
        w->scc = (expr), w->scc_written = true;                            \
    }                                                                      \
    static void name##_h(gfx_wave *w, const gfx_insn *i)                   \
    {                                                                      \
        float a = XH, b = YH;                                              \
        w->scc = (expr), w->scc_written = true;                            \
    }
COMPARE(lt, a < b)
COMPARE(eq, a == b)
COMPARE(le, a <= b)
COMPARE(gt, a > b)
COMPARE(lg, a < b || a > b)
COMPARE(ge, a >= b)
COMPARE(o, !isnan(a) && !isnan(b))
COMPARE(u, isnan(a) || isnan(b))
COMPARE(nge, !(a >= b))
COMPARE(nlg, !(a < b || a > b))
COMPARE(ngt, !(a > b))
COMPARE(nle, !(a <= b))
COMPARE(neq, !(a == b))
COMPARE(nlt, !(a < b))

#define S(name, fn) { name, fn, NULL, GFX_SCALAR, 0, 0 }
#define V_S(name, fn) { "v_s_" name, fn, NULL, GFX_SCALAR, GFX_FLOATS | GFX_TRANSCENDENTAL, 0 }
#define S_CMP(op)                                                          \
    { "s_cmp_" #op "_f32", op, NULL, GFX_SCALAR, GFX_NO_DST, 0 },          \
    { "s_cmp_" #op "_f16", op##_h, NULL, GFX_SCALAR, GFX_NO_DST, 0 }

const gfx_op gfx_scalar_float_ops[] = {
    S("s_add_f32", add_f), S("s_sub_f32", sub_f), S("s_mul_f32", mul_f), S("s_min_num_f32", min_f),
    S("s_max_num_f32", max_f), S("s_minimum_f32", minimum_f), S("s_maximum_f32", maximum_f), S("s_fmac_f32", fmac_f),
    S("s_fmaak_f32", fma_f), S("s_fmamk_f32", fma_f), S("s_floor_f32", floor_f), S("s_ceil_f32", ceil_f),
    S("s_trunc_f32", trunc_f), S("s_rndne_f32", rndne_f), S("s_cvt_f32_i32", f32_i32), S("s_cvt_f32_u32", f32_u32),
    S("s_cvt_i32_f32", i32_f32), S("s_cvt_u32_f32", u32_f32), S("s_cvt_f16_f32", f16_f32), S("s_cvt_f32_f16", f32_f16),
    S("s_cvt_hi_f32_f16", hi_f32_f16), S("s_cvt_pk_rtz_f16_f32", pk_rtz), S("s_add_f16", add_h), S("s_sub_f16", sub_h),
    S("s_mul_f16", mul_h), S("s_min_num_f16", min_h), S("s_max_num_f16", max_h), S("s_fmac_f16", fmac_h),
    V_S("rcp_f32", rcp), V_S("rsq_f32", rsq), V_S("sqrt_f32", root), V_S("exp_f32", exp2_f), V_S("log_f32", log2_f),
    S_CMP(lt), S_CMP(eq), S_CMP(le), S_CMP(gt), S_CMP(lg), S_CMP(ge), S_CMP(o), S_CMP(u), S_CMP(nge), S_CMP(nlg),
    S_CMP(ngt), S_CMP(nle), S_CMP(neq), S_CMP(nlt),
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
