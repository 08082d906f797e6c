/* Vector instructions on 32 lanes: integers of 32 and 64 bits, f32. */
#include "tests/gfx12/lanes.h"

/* ---- integers ---- */

UNARY(mov, a)
UNARY(not32, ~a)
UNARY(bfrev, gfx_reversed(a))
UNARY(ctz, a ? (uint32_t)__builtin_ctz(a) : UINT32_MAX)
UNARY(clz, a ? (uint32_t)__builtin_clz(a) : UINT32_MAX)
BINARY(lshlrev, b << (a & 31))
BINARY(lshrrev, b >> (a & 31))
BINARY(ashrrev, (uint32_t)((int32_t)b >> (a & 31)))
BINARY(and32, a & b)
BINARY(or32, a | b)
BINARY(xor32, a ^ b)
BINARY(xnor32, ~(a ^ b))
BINARY(subrev, b - a)
BINARY(mul_u24, (a & 0xffffff) * (b & 0xffffff))
static int32_t s24(uint32_t x) { return (int32_t)(x << 8) >> 8; }
BINARY(mul_i24, (uint32_t)s24(a) * (uint32_t)s24(b))
BINARY(mul_lo, a * b)
BINARY(mul_hi_u, (uint32_t)((uint64_t)a * b >> 32))
BINARY(mul_hi_i, (uint32_t)((uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32))
BINARY(min_u, a < b ? a : b)
BINARY(max_u, a > b ? a : b)
BINARY(min_i, (int32_t)a < (int32_t)b ? a : b)
BINARY(max_i, (int32_t)a > (int32_t)b ? a : b)
TERNARY(mad_u24, (a & 0xffffff) * (b & 0xffffff) + c)
TERNARY(mad_i24, (uint32_t)s24(a) * (uint32_t)s24(b) + c)
TERNARY(lshl_add, (a << (b & 31)) + c)
TERNARY(add_lshl, (a + b) << (c & 31))
TERNARY(add3, a + b + c)
TERNARY(lshl_or, a << (b & 31) | c)
TERNARY(and_or, (a & b) | c)
TERNARY(or3, a | b | c)
TERNARY(xor3, a ^ b ^ c)
TERNARY(xad, (a ^ b) + c)
TERNARY(bfi, (a & b) | (~a & c))
TERNARY(alignbit, (uint32_t)(((uint64_t)a << 32 | b) >> (c & 31)))
TERNARY(alignbyte, (uint32_t)(((uint64_t)a << 32 | b) >> (8 * (c & 3))))
static uint32_t field_u(uint32_t x, uint32_t at, uint32_t width)
{
    at &= 31, width &= 31;
    return x >> at & ((UINT32_C(1) << width) - 1);
}
static uint32_t field_i(uint32_t x, uint32_t at, uint32_t width)
{
    at &= 31, width &= 31;
    if (width == 0)
        return 0;
    if (at + width >= 32)
        return (uint32_t)((int32_t)x >> at);
    return (uint32_t)((int32_t)(x << (32 - at - width)) >> (32 - width));
}
TERNARY(bfe_u, field_u(a, b, c))
TERNARY(bfe_i, field_i(a, b, c))
static uint32_t median_u(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}
static uint32_t median_i(uint32_t a, uint32_t b, uint32_t c)
{
    return median_u(a ^ 0x80000000, b ^ 0x80000000, c ^ 0x80000000) ^ 0x80000000;
}
TERNARY(med3_u, median_u(a, b, c))
TERNARY(med3_i, median_i(a, b, c))
static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t smaller_i(uint32_t a, uint32_t b) { return (int32_t)a < (int32_t)b ? a : b; }
static uint32_t larger_i(uint32_t a, uint32_t b) { return (int32_t)a > (int32_t)b ? a : b; }
TERNARY(min3_u, smaller(smaller(a, b), c))
TERNARY(max3_u, larger(larger(a, b), c))
TERNARY(min3_i, smaller_i(smaller_i(a, b), c))
TERNARY(max3_i, larger_i(larger_i(a, b), c))
TERNARY(minmax_u, larger(smaller(a, b), c))
TERNARY(maxmin_u, smaller(larger(a, b), c))
TERNARY(minmax_i, larger_i(smaller_i(a, b), c))
TERNARY(maxmin_i, smaller_i(larger_i(a, b), c))
static uint32_t sad(uint32_t a, uint32_t b, int bits)
{
    uint32_t sum = 0, mask = bits == 16 ? 0xffff : 0xff;
    for (int k = 0; k < 32; k += bits) {
        uint32_t x = a >> k & mask, y = b >> k & mask;
        sum += x > y ? x - y : y - x;
    }
    return sum;
}
TERNARY(sad_u8, sad(a, b, 8) + c)
TERNARY(sad_hi_u8, (sad(a, b, 8) << 16) + c)
TERNARY(sad_u16, sad(a, b, 16) + c)
TERNARY(sad_u32, (a > b ? a - b : b - a) + c)
BINARY(bfm, ((UINT32_C(1) << (a & 31)) - 1) << (b & 31))
UNARY(cls, a == 0 || a == UINT32_MAX ? UINT32_MAX : (uint32_t)__builtin_clz((int32_t)a < 0 ? ~a : a))

/* With clamp a sum saturates. */
static uint32_t saturated(int64_t x, int64_t low, int64_t high)
{
    return (uint32_t)(x < low ? low : x > high ? high : x);
}
#define SATURATING(name, type, sign, low, high)                                                   \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)                               \
    {                                                                                           \
        SOURCE(0, pa);                                                                          \
        SOURCE(1, pb);                                                                          \
        if (!i->clamp)                                                                          \
            EACH_LANE { r[l] = pa[l] sign pb[l]; }                                                  \
        else                                                                                    \
            EACH_LANE { r[l] = saturated((int64_t)(type)pa[l] sign (type)pb[l], low, high); }       \
    }
SATURATING(add, uint32_t, +, 0, UINT32_MAX)
SATURATING(sub, uint32_t, -, 0, UINT32_MAX)
SATURATING(add_i, int32_t, +, INT32_MIN, INT32_MAX)
SATURATING(sub_i, int32_t, -, INT32_MIN, INT32_MAX)
/* Bytes of the eight that a (upper) and b hold, by a selector each: 0 to 7 a byte, 8 to 11 the sign of an upper half of
 * a word (1, 3, 5, 7), 12 zero, 13 and up ones. */
static uint32_t permuted(uint32_t a, uint32_t b, uint32_t select)
{
    uint32_t r = 0;
    for (int k = 0; k < 4; k++) {
        uint32_t s = select >> 8 * k & 255, byte = (s & 4 ? a : b) >> 8 * (s & 3) & 255;
        uint32_t sign = 0 - ((s & 2 ? a : b) >> (s & 1 ? 31 : 15) & 1);
        byte = s >= 8 ? sign & 255 : byte;
        byte = s >= 12 ? (s == 12 ? 0 : 255) : byte;
        r |= byte << 8 * k;
    }
    return r;
}
TERNARY(perm, permuted(a, b, c))
BINARY(bcnt, (uint32_t)__builtin_popcount(a) + b)

/* How many bits of the mask belong to lanes below. */
static void mbcnt_lo(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    EACH_LANE { r[l] = (uint32_t)__builtin_popcount(pa[l] & ((UINT32_C(1) << l) - 1)) + pb[l]; }
}
static void mbcnt_hi(gfx_wave *w, const gfx_insn *i, uint32_t *r) /* no lane of a wave of 32 is that high */
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    EACH_LANE { r[l] = pb[l] + 0 * pa[l]; }
}

static void lane_bits(gfx_wave *w, const gfx_insn *i, int k, bool set[GFX_LANES])
{
    uint32_t mask = gfx_s32(w, &i->src[k]);
    LANES { set[l] = mask >> l & 1; }
}
static void cndmask(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    bool second[GFX_LANES];
    SOURCE(0, pa);
    SOURCE(1, pb);
    lane_bits(w, i, 2, second);
    EACH_LANE { r[l] = second[l] ? pb[l] : pa[l]; }
}

/* Sums and differences with carries, which are lane masks. */
static void carry_op(gfx_wave *w, const gfx_insn *i, uint32_t *r, bool with, int kind)
{
    bool in[GFX_LANES] = { false };
    SOURCE(0, pa);
    SOURCE(1, pb);
    if (with)
        lane_bits(w, i, 2, in);
    LANES {
        uint32_t a = kind == 2 ? pb[l] : pa[l], b = kind == 2 ? pa[l] : pb[l];
        uint64_t t = kind == 0 ? (uint64_t)a + b + in[l] : (uint64_t)a - b - in[l];
        r[l] = (uint32_t)t;
        r[GFX_LANES + l] = t >> 32 & 1;
    }
}
static void add_co(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, false, 0); }
static void sub_co(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, false, 1); }
static void subrev_co(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, false, 2); }
static void add_ci(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, true, 0); }
static void sub_ci(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, true, 1); }
static void subrev_ci(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, true, 2); }

/* ---- 64 bits ---- */

#define WIDE_SHIFT(name, expr)                                              \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        uint64_t x[GFX_LANES];                                              \
        SOURCE(0, pa);                                                      \
        gfx_wide_source(w, i, 1, x);                                            \
        LANES {                                                             \
            uint32_t n = pa[l] & 63;                                        \
            uint64_t b = x[l], t = (expr);                                  \
            r[l] = (uint32_t)t;                                             \
            r[GFX_LANES + l] = (uint32_t)(t >> 32);                         \
        }                                                                   \
    }
WIDE_SHIFT(lshlrev64, b << n)
WIDE_SHIFT(lshrrev64, b >> n)
WIDE_SHIFT(ashrrev64, (uint64_t)((int64_t)b >> n))

/* Products of 32 bits and a sum of 64; the upper third of the result is the carry. */
static void mad_wide(gfx_wave *w, const gfx_insn *i, uint32_t *r, bool is_signed)
{
    uint64_t c[GFX_LANES];
    SOURCE(0, pa);
    SOURCE(1, pb);
    gfx_wide_source(w, i, 2, c);
    LANES {
        uint64_t product = is_signed ? (uint64_t)((int64_t)(int32_t)pa[l] * (int32_t)pb[l]) : (uint64_t)pa[l] * pb[l];
        uint64_t t = product + c[l];
        r[l] = (uint32_t)t;
        r[GFX_LANES + l] = (uint32_t)(t >> 32);
        r[2 * GFX_LANES + l] = is_signed ? (~(product ^ c[l]) & (product ^ t)) >> 63 : t < product;
    }
}
static void mad_u64(gfx_wave *w, const gfx_insn *i, uint32_t *r) { mad_wide(w, i, r, false); }
static void mad_i64(gfx_wave *w, const gfx_insn *i, uint32_t *r) { mad_wide(w, i, r, true); }

/* ---- floats ---- */

#define FLUSHED gfx_flushed(FA)
UNARY(rcp, R(gfx_flushed(1.0f / FLUSHED)))
UNARY(rsq, R((float)(1.0 / sqrt((double)FLUSHED))))
UNARY(root, R(sqrtf(FLUSHED)))
UNARY(exp2_f, R(gfx_flushed(gfx_exp2(FA))))
UNARY(log2_f, R(gfx_log2(FLUSHED)))
UNARY(sine, R((float)sin((double)FA * 6.283185307179586))) /* of turns */
UNARY(cosine, R((float)cos((double)FA * 6.283185307179586)))
UNARY(floor_f, R(floorf(FA)))
UNARY(ceil_f, R(ceilf(FA)))
UNARY(trunc_f, R(truncf(FA)))
UNARY(rndne, R(rintf(FA)))
UNARY(fract, R(fminf(FA - floorf(FA), 0x1.fffffep-1f)))
BINARY(add_f, R(FA + FB))
BINARY(sub_f, R(FA - FB))
BINARY(subrev_f, R(FB - FA))
BINARY(mul_f, R(FA * FB))
BINARY(min_f, R(gfx_minimum_number(FA, FB)))
BINARY(max_f, R(gfx_maximum_number(FA, FB)))
BINARY(ldexp_f, R(gfx_scaled(FA, (int32_t)b)))
TERNARY(fma_f, R(fmaf(FA, FB, FC)))
TERNARY(min3_f, R(gfx_minimum_number(gfx_minimum_number(FA, FB), FC)))
TERNARY(max3_f, R(gfx_maximum_number(gfx_maximum_number(FA, FB), FC)))
TERNARY(maxmin_f, R(gfx_minimum_number(gfx_maximum_number(FA, FB), FC)))
TERNARY(minmax_f, R(gfx_maximum_number(gfx_minimum_number(FA, FB), FC)))
TERNARY(med3_f, R(gfx_median(FA, FB, FC)))
BINARY(minimum_f, R(gfx_minimum(FA, FB)))
BINARY(maximum_f, R(gfx_maximum(FA, FB)))
TERNARY(minimum3_f, R(gfx_minimum(gfx_minimum(FA, FB), FC)))
TERNARY(maximum3_f, R(gfx_maximum(gfx_maximum(FA, FB), FC)))
TERNARY(minimummaximum_f, R(gfx_maximum(gfx_minimum(FA, FB), FC)))
TERNARY(maximumminimum_f, R(gfx_minimum(gfx_maximum(FA, FB), FC)))
BINARY(mul_zero, R(FA == 0 || FB == 0 ? 0.0f : FA * FB)) /* nothing times zero is zero, even infinity and NaN */
TERNARY(fma_zero, R(FA == 0 || FB == 0 ? 0.0f + FC : fmaf(FA, FB, FC)))

static void fmac(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    const uint32_t *d = w->v[i->dst.index];
    EACH_LANE { r[l] = R(fmaf(gfx_float(pa[l]), gfx_float(pb[l]), gfx_float(d[l]))); }
}

/* Division in steps, as the architecture document's pseudocode has them: scale operands out of the way of denormals and
 * overflow, and say (in the mask) whether the quotient is to be scaled back. a: which of b (denominator) and c
 * (numerator) comes out. */
static int exponent(float x) { return (int)(gfx_bits(x) >> 23 & 255); }
static bool denormal(float x) { return exponent(x) == 0 && x != 0; }
static void div_scale(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    LANES {
        float a = gfx_float(pa[l]), b = gfx_float(pb[l]), c = gfx_float(pc[l]), up = a * 0x1p64f, d = a;
        bool mask = false;
        if (b == 0 || c == 0) {
            d = NAN;
        } else if (exponent(c) - exponent(b) >= 96) {
            mask = true;
            d = a == b ? up : a;
        } else if (denormal(b)) {
            d = up;
        } else if (denormal(1 / b) && denormal(c / b)) {
            mask = true;
            d = a == b ? up : a;
        } else if (denormal(1 / b)) {
            d = a * 0x1p-64f;
        } else if (denormal(c / b)) {
            mask = true;
            d = a == c ? up : a;
        } else if (exponent(c) <= 23) {
            d = up;
        }
        r[l] = R(d);
        r[GFX_LANES + l] = mask;
    }
}
static void div_fmas(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    uint32_t scale = gfx_s32(w, &(gfx_operand){ .kind = GFX_SGPR, .count = 1, .index = GFX_VCC });
    LANES {
        float d = fmaf(gfx_float(pa[l]), gfx_float(pb[l]), gfx_float(pc[l]));
        if (scale >> l & 1)
            d *= exponent(gfx_float(pc[l])) > 127 ? 0x1p64f : 0x1p-64f;
        r[l] = R(d);
    }
}
static uint32_t fixed_up(float q, float b, float c)
{
    uint32_t sign = (gfx_bits(b) ^ gfx_bits(c)) & 0x80000000;
    if (isnan(c))
        return gfx_bits(c) | 0x400000;
    if (isnan(b))
        return gfx_bits(b) | 0x400000;
    if ((b == 0 && c == 0) || (isinf(b) && isinf(c)))
        return 0xffc00000;
    if (b == 0 || isinf(c))
        return sign | 0x7f800000;
    if (isinf(b) || c == 0)
        return sign;
    return sign | (gfx_bits(q) & 0x7fffffff);
}
TERNARY(div_fixup, fixed_up(FA, FB, FC))

/* ---- the table ---- */

#define V_READS_DST(name, fn, flags) { "v_" name, NULL, fn, GFX_VECTOR, (flags) | GFX_READS_DST, 0 }
#define V_CARRY(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_TWO_DST | GFX_CARRY_OUT, 0 }

const gfx_op gfx_vector_ops[] = {
    VX("mov_b32", mov, GFX_MOVES, 0), V("not_b32", not32), V("bfrev_b32", bfrev), V("ctz_i32_b32", ctz),
    V("clz_i32_u32", clz),
    V("lshlrev_b32", lshlrev), V("lshrrev_b32", lshrrev), V("ashrrev_i32", ashrrev), V("and_b32", and32),
    V("or_b32", or32), V("xor_b32", xor32), V("xnor_b32", xnor32), VX("add_nc_u32", add, GFX_CLAMPS, 0),
    VX("sub_nc_u32", sub, GFX_CLAMPS, 0), VX("add_nc_i32", add_i, GFX_CLAMPS, 0),
    VX("sub_nc_i32", sub_i, GFX_CLAMPS, 0),
   
    V("subrev_nc_u32", subrev), V("mul_u32_u24", mul_u24), V("mul_i32_i24", mul_i24), V("mul_lo_u32", mul_lo),
    V("mul_hi_u32", mul_hi_u), V("mul_hi_i32", mul_hi_i), V("min_u32", min_u), V("max_u32", max_u),
    V("min_i32", min_i), V("max_i32", max_i), V("mad_u32_u24", mad_u24), V("mad_i32_i24", mad_i24),
    V("lshl_add_u32", lshl_add), V("add_lshl_u32", add_lshl), V("add3_u32", add3), V("lshl_or_b32", lshl_or),
    V("and_or_b32", and_or), V("or3_b32", or3), V("xor3_b32", xor3), V("xad_u32", xad), V("bfi_b32", bfi),
    V("bfe_u32", bfe_u), V("bfe_i32", bfe_i), V("alignbit_b32", alignbit), V("alignbyte_b32", alignbyte),
    V("perm_b32", perm), V("med3_u32", med3_u), V("med3_i32", med3_i), V("bcnt_u32_b32", bcnt),
    V("mbcnt_lo_u32_b32", mbcnt_lo), V("mbcnt_hi_u32_b32", mbcnt_hi), VI("cndmask_b32", cndmask),
    V("lshlrev_b64", lshlrev64), V("lshrrev_b64", lshrrev64), V("ashrrev_i64", ashrrev64),
    V_CARRY("add_co_u32", add_co), V_CARRY("sub_co_u32", sub_co), V_CARRY("subrev_co_u32", subrev_co),
    V_CARRY("add_co_ci_u32", add_ci), V_CARRY("sub_co_ci_u32", sub_ci), V_CARRY("subrev_co_ci_u32", subrev_ci),
    VT("rcp_f32", rcp), VT("rcp_iflag_f32", rcp), VT("rsq_f32", rsq), VT("sqrt_f32", root), VT("exp_f32", exp2_f),
    VT("log_f32", log2_f), VT("sin_f32", sine), VT("cos_f32", cosine), VF("floor_f32", floor_f),
    VF("ceil_f32", ceil_f), VF("trunc_f32", trunc_f), VF("rndne_f32", rndne), VF("fract_f32", fract),
    VF("add_f32", add_f), VF("sub_f32", sub_f), VF("subrev_f32", subrev_f), VF("mul_f32", mul_f),
    VF("min_num_f32", min_f), VF("max_num_f32", max_f), VF("fma_f32", fma_f), VF("fmaak_f32", fma_f),
    VF("fmamk_f32", fma_f), VF("min3_num_f32", min3_f), VF("max3_num_f32", max3_f),
    VF("maxmin_num_f32", maxmin_f), VF("minmax_num_f32", minmax_f), VF("med3_num_f32", med3_f),
    { "v_div_scale_f32", NULL, div_scale, GFX_VECTOR, GFX_TWO_DST | GFX_CARRY_OUT, 0 },
    VF("div_fmas_f32", div_fmas), VF("div_fixup_f32", div_fixup), VF("ldexp_f32", ldexp_f),
    V_READS_DST("fmac_f32", fmac, GFX_FLOATS),
    VF("minimum_f32", minimum_f), VF("maximum_f32", maximum_f), VF("minimum3_f32", minimum3_f),
    VF("maximum3_f32", maximum3_f), VF("minimummaximum_f32", minimummaximum_f),
    VF("maximumminimum_f32", maximumminimum_f), VF("mul_dx9_zero_f32", mul_zero), VF("fma_dx9_zero_f32", fma_zero),
    V("min3_u32", min3_u), V("max3_u32", max3_u), V("min3_i32", min3_i), V("max3_i32", max3_i),
    V("minmax_u32", minmax_u), V("maxmin_u32", maxmin_u), V("minmax_i32", minmax_i), V("maxmin_i32", maxmin_i),
    V("sad_u8", sad_u8), V("sad_hi_u8", sad_hi_u8), V("sad_u16", sad_u16), V("sad_u32", sad_u32), V("bfm_b32", bfm),
    V("cls_i32", cls), V_CARRY("mad_co_u64_u32", mad_u64), V_CARRY("mad_co_i64_i32", mad_i64),
    V_END,
};
