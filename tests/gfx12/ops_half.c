/* Vector instructions on one 16-bit value a lane: f16 and integers. Their sources and results are halves of registers
 * (GFX_HALF_*); the other half of a destination stays as it is. */
#include "tests/gfx12/lanes.h"

/* ---- f16 ---- */

BINARY(add_h, H(HA + HB))
BINARY(sub_h, H(HA - HB))
BINARY(subrev_h, H(HB - HA))
BINARY(mul_h, H(HA * HB))
BINARY(min_h, H(gfx_minimum_number(HA, HB)))
BINARY(max_h, H(gfx_maximum_number(HA, HB)))
BINARY(minimum_h, H(gfx_minimum(HA, HB)))
BINARY(maximum_h, H(gfx_maximum(HA, HB)))
TERNARY(fma_h, gfx_half_fma_halves(HA, HB, HC))
TERNARY(min3_h, H(gfx_minimum_number(gfx_minimum_number(HA, HB), HC)))
TERNARY(max3_h, H(gfx_maximum_number(gfx_maximum_number(HA, HB), HC)))
TERNARY(maxmin_h, H(gfx_minimum_number(gfx_maximum_number(HA, HB), HC)))
TERNARY(minmax_h, H(gfx_maximum_number(gfx_minimum_number(HA, HB), HC)))
TERNARY(med3_h, H(gfx_median(HA, HB, HC)))
UNARY(rcp_h, H(1.0f / HA))
UNARY(rsq_h, H((float)(1.0 / sqrt((double)HA))))
UNARY(root_h, H(sqrtf(HA)))
UNARY(exp2_h, H(gfx_exp2(HA)))
UNARY(log2_h, H(gfx_log2(HA)))
UNARY(sine_h, H((float)sin((double)HA * 6.283185307179586))) /* of turns */
UNARY(cosine_h, H((float)cos((double)HA * 6.283185307179586)))
UNARY(floor_h, H(floorf(HA)))
UNARY(ceil_h, H(ceilf(HA)))
UNARY(trunc_h, H(truncf(HA)))
UNARY(rndne_h, H(rintf(HA)))
UNARY(fract_h, H(fminf(HA - floorf(HA), 0x1.ffcp-1f)))
BINARY(ldexp_h, H(gfx_scaled(HA, (int16_t)b)))
static void fmac_h(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    const uint32_t *d = w->v[i->dst.index];
    EACH_LANE { r[l] = gfx_half_fma_halves(gfx_half(pa[l]), gfx_half(pb[l]), gfx_half(d[l])); }
}

static uint32_t fixed_up(uint32_t q, uint32_t b, uint32_t c) /* as of f32: what a division by steps cannot give */
{
    float x = gfx_half(b), y = gfx_half(c);
    uint32_t sign = (b ^ c) & 0x8000;
    if (isnan(y))
        return c | 0x200;
    if (isnan(x))
        return b | 0x200;
    if ((x == 0 && y == 0) || (isinf(x) && isinf(y)))
        return 0xfe00;
    if (x == 0 || isinf(y))
        return sign | 0x7c00;
    if (isinf(x) || y == 0)
        return sign;
    return sign | (q & 0x7fff);
}
TERNARY(div_fixup_h, fixed_up(a, b, c))

/* ---- 16-bit integers ---- */

static uint32_t below_i(uint32_t a, uint32_t b) { return (int16_t)a < (int16_t)b; }
BINARY(add16, a + b)
BINARY(sub16, a - b)
BINARY(mul16, a * b)
BINARY(shl16, b << (a & 15))
BINARY(shr16, (b & 0xffff) >> (a & 15))
BINARY(sar16, (uint32_t)((int16_t)b >> (a & 15)))
BINARY(and16, a & b)
BINARY(or16, a | b)
BINARY(xor16, a ^ b)
UNARY(not16, ~a)
BINARY(min_u16, a < b ? a : b)
BINARY(max_u16, a > b ? a : b)
BINARY(min_i16, below_i(a, b) ? a : b)
BINARY(max_i16, below_i(b, a) ? a : b)
TERNARY(mad16, a * b + c)
TERNARY(mad_u32, a * b + c)
TERNARY(mad_i32, (uint32_t)((int16_t)a * (int16_t)b) + c)
static uint32_t median16(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}
TERNARY(med3_u16, median16(a, b, c))
TERNARY(med3_i16, median16(a ^ 0x8000, b ^ 0x8000, c ^ 0x8000) ^ 0x8000)
static uint32_t smaller_i(uint32_t a, uint32_t b) { return below_i(a, b) ? a : b; }
static uint32_t larger_i(uint32_t a, uint32_t b) { return below_i(b, a) ? a : b; }
TERNARY(min3_i16, smaller_i(smaller_i(a, b), c))
TERNARY(max3_i16, larger_i(larger_i(a, b), c))
static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }
TERNARY(min3_u16, smaller(smaller(a, b), c))
TERNARY(max3_u16, ~smaller(smaller(~a, ~b), ~c))
BINARY(pack, (a & 0xffff) | b << 16)

static void select16(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    uint32_t mask = gfx_s32(w, &i->src[2]);
    EACH_LANE { r[l] = mask >> l & 1 ? pb[l] : pa[l]; }
}

#define AB (GFX_HALF_A | GFX_HALF_B)
#define H1(name, fn) VX(name, fn, GFX_FLOATS, GFX_HALF_A | GFX_HALF_D)
#define HT(name, fn) VX(name, fn, GFX_FLOATS | GFX_TRANSCENDENTAL, GFX_HALF_A | GFX_HALF_D)
#define H2(name, fn) VX(name, fn, GFX_FLOATS, AB | GFX_HALF_D)
#define H3(name, fn) VX(name, fn, GFX_FLOATS, AB | GFX_HALF_C | GFX_HALF_D)
#define I1(name, fn) VX(name, fn, 0, GFX_HALF_A | GFX_HALF_D)
#define I2(name, fn) VX(name, fn, 0, AB | GFX_HALF_D)
#define I3(name, fn) VX(name, fn, 0, AB | GFX_HALF_C | GFX_HALF_D)

const gfx_op gfx_half_ops[] = {
    H2("add_f16", add_h), H2("sub_f16", sub_h), H2("subrev_f16", subrev_h), H2("mul_f16", mul_h),
    H2("min_num_f16", min_h), H2("max_num_f16", max_h), H2("minimum_f16", minimum_h), H2("maximum_f16", maximum_h),
    H3("fma_f16", fma_h), H3("div_fixup_f16", div_fixup_h),
    H3("fmaak_f16", fma_h), H3("fmamk_f16", fma_h), H3("min3_num_f16", min3_h),
    H3("max3_num_f16", max3_h), H3("maxmin_num_f16", maxmin_h), H3("minmax_num_f16", minmax_h),
    H3("med3_num_f16", med3_h), HT("rcp_f16", rcp_h), HT("rsq_f16", rsq_h), HT("sqrt_f16", root_h),
    HT("exp_f16", exp2_h), HT("log_f16", log2_h), HT("sin_f16", sine_h), HT("cos_f16", cosine_h),
    H1("floor_f16", floor_h), H1("ceil_f16", ceil_h), H1("trunc_f16", trunc_h), H1("rndne_f16", rndne_h),
    H1("fract_f16", fract_h), H2("ldexp_f16", ldexp_h),
    VX("fmac_f16", fmac_h, GFX_FLOATS | GFX_READS_DST, AB | GFX_HALF_D),
    I2("add_nc_u16", add16), I2("sub_nc_u16", sub16), I2("mul_lo_u16", mul16), I2("lshlrev_b16", shl16),
    I2("lshrrev_b16", shr16), I2("ashrrev_i16", sar16), I2("and_b16", and16), I2("or_b16", or16), I2("xor_b16", xor16),
    I1("not_b16", not16), I2("min_u16", min_u16), I2("max_u16", max_u16), I2("min_i16", min_i16),
    I2("max_i16", max_i16), I3("mad_u16", mad16), I3("mad_i16", mad16), VX("mad_u32_u16", mad_u32, 0, AB),
    VX("mad_i32_i16", mad_i32, 0, AB), I3("med3_u16", med3_u16), I3("med3_i16", med3_i16), I3("min3_i16", min3_i16),
    I3("max3_i16", max3_i16), I3("min3_u16", min3_u16), I3("max3_u16", max3_u16),
    VX("pack_b32_f16", pack, GFX_FLOATS | GFX_PLAIN_RESULT, AB),
    VX("cndmask_b16", select16, GFX_FLOATS | GFX_PLAIN_RESULT, AB | GFX_HALF_D),
    V_END,
};
