/* Vector conversions between integers, floats, halves and fp8. */
#include "tests/gfx12/lanes.h"

UNARY(f32_i32, R((float)(int32_t)a))
UNARY(f32_u32, R((float)a))
UNARY(i32_f32, gfx_to_i32(FA))
UNARY(u32_f32, gfx_to_u32(FA))
UNARY(nearest_i32, gfx_to_i32(floorf(FA + 0.5f)))
UNARY(floor_i32, gfx_to_i32(floorf(FA)))
UNARY(ubyte0, R((float)(a & 255)))
UNARY(ubyte1, R((float)(a >> 8 & 255)))
UNARY(ubyte2, R((float)(a >> 16 & 255)))
UNARY(ubyte3, R((float)(a >> 24)))
UNARY(f32_f16, R(HA))
UNARY(f16_f32, H(FA))
UNARY(i32_i16, (uint32_t)(int32_t)(int16_t)a)
UNARY(u32_u16, a & 0xffff)
UNARY(f16_u16, H((float)(a & 0xffff)))
UNARY(f16_i16, H((float)(int16_t)a))
/* NaN gives 0 here too. */
static uint32_t limited(float x, float low, float high)
{
    return isnan(x) ? 0 : (uint32_t)(int32_t)(x < low ? low : x > high ? high : x);
}
UNARY(u16_f16, limited(HA, 0, 65535))
UNARY(i16_f16, limited(HA, -32768, 32767) & 0xffff)
BINARY(pk_rtz_f16, gfx_half_toward_zero(FA) | gfx_half_toward_zero(FB) << 16)
static uint32_t narrow_i16(uint32_t x)
{
    int32_t v = (int32_t)x;
    return (uint32_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v) & 0xffff;
}
static uint32_t narrow_u16(uint32_t x) { return x < UINT16_MAX ? x : UINT16_MAX; }
BINARY(pk_i16_i32, narrow_i16(a) | narrow_i16(b) << 16)
BINARY(pk_u16_u32, narrow_u16(a) | narrow_u16(b) << 16)
static uint32_t narrow_u8(int32_t v) { return v < 0 ? 0 : v > 255 ? 255 : (uint32_t)v; }
UNARY(sat_pk_u8_i16, narrow_u8((int16_t)a) | narrow_u8((int16_t)(a >> 16)) << 8)

/* Infinity and NaN come back as they are, with exponent 0. */
static float mantissa(float x)
{
    int e;
    return isfinite(x) ? frexpf(x, &e) : x;
}
static uint32_t exponent_of(float x)
{
    int e = 0;
    if (isfinite(x))
        (void)frexpf(x, &e);
    return (uint32_t)e;
}
UNARY(frexp_mant, R(mantissa(FA)))
UNARY(frexp_exp, exponent_of(FA))

static void fp8_to_f32(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    EACH_LANE { r[l] = R(gfx_e4m3(pa[l] >> 8 * i->byte_sel)); }
}
static void bf8_to_f32(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    EACH_LANE { r[l] = R(gfx_e5m2(pa[l] >> 8 * i->byte_sel)); }
}
static void pk_fp8_to_f32(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    int half = i->op_sel & 1 ? 16 : 0;
    LANES {
        r[l] = R(gfx_e4m3(pa[l] >> half));
        r[GFX_LANES + l] = R(gfx_e4m3(pa[l] >> half >> 8));
    }
}
static void pk_bf8_to_f32(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    int half = i->op_sel & 1 ? 16 : 0;
    LANES {
        r[l] = R(gfx_e5m2(pa[l] >> half));
        r[GFX_LANES + l] = R(gfx_e5m2(pa[l] >> half >> 8));
    }
}
/* Out of range gives NaN, where the format's own conversion saturates. */
static uint32_t to_fp8(float x)
{
    uint8_t code = ash_f32_to_e4m3(x);
    return fabsf(x) > 464 || isnan(x) ? 0x7f | (signbit(x) ? 0x80 : 0) : code;
}
BINARY(pk_fp8, to_fp8(FA) | to_fp8(FB) << 8) /* into one half of the register */

const gfx_op gfx_convert_ops[] = {
    VF("cvt_f32_i32", f32_i32), VF("cvt_f32_u32", f32_u32), VI("cvt_i32_f32", i32_f32), VI("cvt_u32_f32", u32_f32),
    VI("cvt_nearest_i32_f32", nearest_i32), VI("cvt_floor_i32_f32", floor_i32),
    VF("cvt_f32_ubyte0", ubyte0), VF("cvt_f32_ubyte1", ubyte1), VF("cvt_f32_ubyte2", ubyte2),
    VF("cvt_f32_ubyte3", ubyte3), VX("cvt_f32_f16", f32_f16, GFX_FLOATS, GFX_HALF_A),
    VX("cvt_f16_f32", f16_f32, GFX_FLOATS, GFX_HALF_D), VX("cvt_i32_i16", i32_i16, 0, GFX_HALF_A),
    VX("cvt_u32_u16", u32_u16, 0, GFX_HALF_A), VX("cvt_f16_u16", f16_u16, GFX_FLOATS, GFX_HALF_A | GFX_HALF_D),
    VX("cvt_f16_i16", f16_i16, GFX_FLOATS, GFX_HALF_A | GFX_HALF_D),
    VX("cvt_u16_f16", u16_f16, GFX_FLOATS | GFX_PLAIN_RESULT, GFX_HALF_A | GFX_HALF_D),
    VX("cvt_i16_f16", i16_f16, GFX_FLOATS | GFX_PLAIN_RESULT, GFX_HALF_A | GFX_HALF_D),
    VI("cvt_pk_rtz_f16_f32", pk_rtz_f16), V("cvt_pk_i16_i32", pk_i16_i32), V("cvt_pk_u16_u32", pk_u16_u32),
    VX("sat_pk_u8_i16", sat_pk_u8_i16, 0, GFX_HALF_D), VI("frexp_mant_f32", frexp_mant),
    VI("frexp_exp_i32_f32", frexp_exp),
    VX("cvt_f32_fp8", fp8_to_f32, GFX_BYTE_SEL, 0), VX("cvt_f32_bf8", bf8_to_f32, GFX_BYTE_SEL, 0),
    VX("cvt_pk_f32_fp8", pk_fp8_to_f32, GFX_OP_SEL, 0), VX("cvt_pk_f32_bf8", pk_bf8_to_f32, GFX_OP_SEL, 0),
    VX("cvt_pk_fp8_f32", pk_fp8, GFX_FLOATS | GFX_PLAIN_RESULT, GFX_HALF_D),
    V_END,
};
