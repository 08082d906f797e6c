/* The interpreter's conversions against plain C: integers, floats, halves, fp8, saturation and what is no number. */
#include <math.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"

/* Of 32 bits, then pairs of halves. */
static const uint32_t edges[] = {
    0, 1, 2, 31, 127, 128, 255, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff,
    0xffff7fff, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x807fffff, 0x00800000,
    0x7f7fffff, 0xffff8000, 0x4f000000, 0xcf000000, 0x4f800000, 0x4effffff, 0x4f7fffff, 0x3f000000, 0xbf000000,
    0x3fc00000, 0x40200000, 0xc0200000, 0x477fe000, 0x477ff000, 0x477fefff, 0x33000000, 0x33000001, 0x33800000,
    0x387fc000, 0x387fe000, 0x38802000, 0x3f801000, 0x3f803000, 0x3f801001, 0x4b800001, 0x01020304, 0x0c0d0008,
    0xffffff7f, 0x00ff0100, 0xff010080, 0x497423f0, 0x43e00000, 0x43e80000, 0x43e80001, 0xc3f00000, 0x3b800000,
    0x3a800000, 0x3a800001, 0x3f880000, 0x3f980000, 0x00000400, 0x80003c00, 0x3c00bc00, 0x00010001, 0x03ff8001,
    0x04000400, 0x7bff7bff, 0xfbff7bff, 0x7c000000, 0xfc007c00, 0x7e003c00, 0x7c017c01, 0x3c013555, 0x78007801,
    0xf800f801, 0x77ff5bff, 0xb8003800, 0x7f7c7e7b, 0xfdfe8081,
};
#define COUNT(list) (sizeof(list) / sizeof *(list))
#define E GFX_EXPECT
#define BITS(f) gfx_bits(f)
#define I(v) ((int32_t)(v))
#define WIDE(v) ((uint64_t)(v))

/* ---- 32 bits ---- */

E(cvt_f_i, BITS((float)I(a))) E(cvt_f_u, BITS((float)a))
static uint32_t limit_i(int64_t v) { return (uint32_t)(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v); }
static uint32_t to_int(double v)
{
    return isnan(v) ? 0 : limit_i(v > 1e10 ? INT64_MAX : v < -1e10 ? INT64_MIN : (int64_t)v);
}
E(cvt_i, to_int((double)x)) E(cvt_u, isnan(x) || x < 0 ? 0 : x > 4294967040.0f ? 0xffffffff : (uint32_t)x)
E(cvt_floor, to_int(floor((double)x))) E(cvt_nearest, to_int((double)floorf(x + 0.5f)))
E(ubyte0, BITS((float)(a % 256))) E(ubyte1, BITS((float)(a / 256 % 256))) E(ubyte2, BITS((float)(a / 65536 % 256)))
E(ubyte3, BITS((float)(a >> 24)))
/* e5m2: sign, 5 bits of exponent, 2 of mantissa. */
static float bf8(uint32_t code)
{
    int e = (int)(code >> 2 & 31), m = (int)(code & 3);
    float v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(4 + m), e - 17) : ldexpf((float)m, -16);
    return code & 0x80 ? -v : v;
}
E(cvt_fp8, BITS(ash_e4m3_to_f32((uint8_t)a))) E(cvt_fp8_2, BITS(ash_e4m3_to_f32((uint8_t)(a >> 16))))
E(cvt_bf8, BITS(bf8(a))) E(cvt_bf8_3, BITS(bf8(a >> 24)))
E(pk_f32_fp8_low, BITS(ash_e4m3_to_f32((uint8_t)a)) | WIDE(BITS(ash_e4m3_to_f32((uint8_t)(a >> 8)))) << 32)
E(pk_f32_bf8, BITS(bf8(a >> 16)) | WIDE(BITS(bf8(a >> 24))) << 32)
E(pk_f32_bf8_low, BITS(bf8(a)) | WIDE(BITS(bf8(a >> 8))) << 32)
E(pk_f32_fp8, BITS(ash_e4m3_to_f32((uint8_t)(a >> 16))) | WIDE(BITS(ash_e4m3_to_f32((uint8_t)(a >> 24)))) << 32)
static uint32_t fp8(float v) /* what lies beyond the format is NaN */
{
    uint32_t sign = signbit(v) ? 0x80 : 0;
    return isnan(v) || fabsf(v) > 464 ? sign | 0x7f : ash_f32_to_e4m3(v);
}
E(pk_fp8, (old & 0xffff0000) | fp8(x) | fp8(y) << 8) E(pk_fp8_high, (old & 0xffff) | (fp8(x) | fp8(y) << 8) << 16)
static uint16_t rtz(float v)
{
    uint16_t h = ash_f32_to_f16(v);
    return isfinite(v) && fabsf(ash_f16_to_f32(h)) > fabsf(v) ? (uint16_t)(h - 1) : h;
}
E(pk_rtz, rtz(x) | (uint32_t)rtz(y) << 16)
static uint32_t i16(uint32_t v) { return (uint32_t)(I(v) < -32768 ? -32768 : I(v) > 32767 ? 32767 : I(v)) & 0xffff; }
E(pk_i16, i16(a) | i16(b) << 16) E(pk_u16, (a < 65535 ? a : 65535) | (b < 65535 ? b : 65535) << 16)
E(frexp_mant, BITS(isfinite(x) ? frexpf(x, &(int){ 0 }) : x))
static uint32_t exponent(float v)
{
    int e = 0;
    if (isfinite(v))
        (void)frexpf(v, &e);
    return (uint32_t)e;
}
E(frexp_exp, exponent(x))

/* ---- halves: into the lower one of a register, but for op_sel ---- */

static float half(uint32_t v) { return ash_f16_to_f32((uint16_t)v); }
static uint32_t of(float v) { return ash_f32_to_f16(v); }
#define HA half(a)
#define LOW(v) ((old & 0xffff0000) | ((uint32_t)(v) & 0xffff))
E(cvt_f16_f32, LOW(of(x))) E(cvt_f16_neg, LOW(of(-x))) E(cvt_f32_f16, BITS(HA)) E(cvt_f32_abs, BITS(fabsf(HA)))
E(cvt_f16_u16, LOW(of((float)(uint16_t)a))) E(cvt_f16_i16, LOW(of((float)(int16_t)a)))
E(cvt_u16_f16, LOW(isnan(HA) || HA < 0 ? 0 : HA > 65535 ? 65535 : (uint32_t)HA))
E(cvt_i16_f16, LOW(isnan(HA) ? 0 : HA > 32767 ? 32767 : HA < -32768 ? 0x8000 : (uint32_t)(int32_t)HA))
E(cvt_i32_i16, (uint32_t)(int32_t)(int16_t)a) E(cvt_u32_u16, a & 0xffff)
E(cvt_clamp, BITS(isnan(HA) ? 0 : fminf(fmaxf(HA, 0), 1)))
static uint32_t u8(int32_t v) { return (uint32_t)(v < 0 ? 0 : v > 255 ? 255 : v); }
E(sat_pk, LOW(u8((int16_t)a) | u8((int16_t)(a >> 16)) << 8))

#define F GFX_TEST_F32
#define H GFX_TEST_F16
static const gfx_test_op conversions[] = {
    { "v_frexp_mant_f32 v6, v0", e_frexp_mant, F, 0 }, { "v_frexp_exp_i32_f32 v6, v0", e_frexp_exp, 0, 0 },
    { "v_cvt_f32_i32 v6, v0", e_cvt_f_i, F, 0 }, { "v_cvt_f32_u32 v6, v0", e_cvt_f_u, F, 0 },
    { "v_cvt_i32_f32 v6, v0", e_cvt_i, 0, 0 }, { "v_cvt_u32_f32 v6, v0", e_cvt_u, 0, 0 },
    { "v_cvt_floor_i32_f32 v6, v0", e_cvt_floor, 0, 0 }, { "v_cvt_nearest_i32_f32 v6, v0", e_cvt_nearest, 0, 0 },
    { "v_cvt_f32_ubyte0 v6, v0", e_ubyte0, F, 0 }, { "v_cvt_f32_ubyte1 v6, v0", e_ubyte1, F, 0 },
    { "v_cvt_f32_ubyte2 v6, v0", e_ubyte2, F, 0 }, { "v_cvt_f32_ubyte3 v6, v0", e_ubyte3, F, 0 },
    { "v_cvt_f32_fp8 v6, v0", e_cvt_fp8, F, 0 }, { "v_cvt_f32_fp8 v6, v0 byte_sel:2", e_cvt_fp8_2, F, 0 },
    { "v_cvt_f32_bf8 v6, v0", e_cvt_bf8, F, 0 }, { "v_cvt_f32_bf8 v6, v0 byte_sel:3", e_cvt_bf8_3, F, 0 },
    { "v_cvt_pk_f32_fp8 v[6:7], v0", e_pk_f32_fp8_low, GFX_TEST_2F32, 0 },
    { "v_cvt_pk_f32_bf8 v[6:7], v0", e_pk_f32_bf8_low, GFX_TEST_2F32, 0 },
    { "v_cvt_pk_f32_bf8 v[6:7], v0 op_sel:[1,0]", e_pk_f32_bf8, GFX_TEST_2F32, 0 },
    { "v_cvt_pk_f32_fp8 v[6:7], v0 op_sel:[1,0]", e_pk_f32_fp8, GFX_TEST_2F32, 0 },
    { "v_cvt_pk_fp8_f32 v6, v0, v2", e_pk_fp8, 0, 0 },
    { "v_cvt_pk_fp8_f32 v6, v0, v2 op_sel:[0,0,1]", e_pk_fp8_high, 0, 0 },
    { "v_cvt_pk_rtz_f16_f32 v6, v0, v2", e_pk_rtz, GFX_TEST_PK_F16, 0 },
    { "v_cvt_pk_i16_i32 v6, v0, v2", e_pk_i16, 0, 0 }, { "v_cvt_pk_u16_u32 v6, v0, v2", e_pk_u16, 0, 0 },
    { "v_cvt_f16_f32 v6, v0", e_cvt_f16_f32, H, 0 }, { "v_cvt_f16_f32 v6, -v0", e_cvt_f16_neg, H, 0 },
    { "v_cvt_f32_f16 v6, v0", e_cvt_f32_f16, F, 0 }, { "v_cvt_f32_f16 v6, |v0|", e_cvt_f32_abs, F, 0 },
    { "v_cvt_f32_f16 v6, v0 clamp", e_cvt_clamp, F, 0 },
    { "v_cvt_f16_u16 v6, v0", e_cvt_f16_u16, H, 0 }, { "v_cvt_f16_i16 v6, v0", e_cvt_f16_i16, H, 0 },
    { "v_cvt_u16_f16 v6, v0", e_cvt_u16_f16, 0, 0 }, { "v_cvt_i16_f16 v6, v0", e_cvt_i16_f16, 0, 0 },
    { "v_sat_pk_u8_i16 v6, v0", e_sat_pk, 0, 0 },
    { "v_cvt_i32_i16 v6, v0", e_cvt_i32_i16, 0, 0 }, { "v_cvt_u32_u16 v6, v0", e_cvt_u32_u16, 0, 0 },
};
/* Signs of what is converted, and limits of what comes out. */
E(clamp_i, BITS(fminf(fmaxf((float)I(a), 0), 1))) E(clamp_u, BITS(fminf((float)a, 1)))
E(clamp_0, BITS(a & 0xff ? 1.0f : 0.0f)) E(clamp_1, BITS(a & 0xff00 ? 1.0f : 0.0f))
E(clamp_2, BITS(a & 0xff0000 ? 1.0f : 0.0f)) E(clamp_3, BITS(a & 0xff000000 ? 1.0f : 0.0f))
E(clamp_u16, LOW(a & 0xffff ? 0x3c00 : 0)) E(clamp_i16, LOW((int16_t)a > 0 ? 0x3c00 : 0))
static const gfx_test_op limited[] = {
    { "v_cvt_f32_i32 v6, v0 clamp", e_clamp_i, F, 0 }, { "v_cvt_f32_u32 v6, v0 clamp", e_clamp_u, F, 0 },
    { "v_cvt_f32_ubyte0 v6, v0 clamp", e_clamp_0, F, 0 }, { "v_cvt_f32_ubyte1 v6, v0 clamp", e_clamp_1, F, 0 },
    { "v_cvt_f32_ubyte2 v6, v0 clamp", e_clamp_2, F, 0 }, { "v_cvt_f32_ubyte3 v6, v0 clamp", e_clamp_3, F, 0 },
    { "v_cvt_f16_u16 v6, v0 clamp", e_clamp_u16, H, 0 }, { "v_cvt_f16_i16 v6, v0 clamp", e_clamp_i16, H, 0 },
}, signed_floats[] = {
    { "v_cvt_i32_f32 v6, -v0", e_cvt_i, 0, 0 }, { "v_cvt_u32_f32 v6, -v0", e_cvt_u, 0, 0 },
    { "v_cvt_floor_i32_f32 v6, -v0", e_cvt_floor, 0, 0 }, { "v_cvt_nearest_i32_f32 v6, -v0", e_cvt_nearest, 0, 0 },
    { "v_frexp_mant_f32 v6, -v0", e_frexp_mant, F, 0 }, { "v_frexp_exp_i32_f32 v6, -v0", e_frexp_exp, 0, 0 },
    { "v_cvt_pk_fp8_f32 v6, -v0, |v2|", e_pk_fp8, 0, 0 },
    { "v_cvt_pk_rtz_f16_f32 v6, -v0, |v2|", e_pk_rtz, GFX_TEST_PK_F16, 0 },
}, signed_halves[] = {
    { "v_cvt_u16_f16 v6, -v0", e_cvt_u16_f16, 0, 0 }, { "v_cvt_i16_f16 v6, -v0", e_cvt_i16_f16, 0, 0 },
};

/* What is no float has no limits: of these the hardware's are other ones. */
static void refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "v_cvt_i32_f32 v6, v0 clamp", "v_cvt_floor_i32_f32 v6, v0 clamp", "v_cvt_nearest_i32_f32 v6, v0 clamp",
        "v_cvt_u16_f16 v6, v0 clamp", "v_cvt_i16_f16 v6, v0 clamp", "v_cvt_u32_f32 v6, v0 clamp",
        "v_frexp_exp_i32_f32 v6, v0 clamp", "v_frexp_mant_f32 v6, v0 clamp", "v_cvt_pk_rtz_f16_f32 v6, v0, v2 clamp",
    };
    for (size_t k = 0; k < COUNT(lines); k++) {
        gfx_insn *insns;
        gfx_error err = { "" };
        assert_false(gfx_test_try(&lines[k], 1, &insns, &err));
        assert_non_null(strstr(err.text, "clamp or a factor on what is no float"));
    }
}

static void all_conversions(void **state)
{
    (void)state;
    gfx_test_ops(limited, COUNT(limited), edges, COUNT(edges));
    gfx_test_signed_ops(signed_floats, COUNT(signed_floats), edges, COUNT(edges), 0x80000000);
    gfx_test_signed_ops(signed_halves, COUNT(signed_halves), edges, COUNT(edges), 0x8000);
    gfx_test_ops(conversions, COUNT(conversions), edges, COUNT(edges));
    gfx_test_all_ran(gfx_convert_ops);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(all_conversions), cmocka_unit_test(refused) };

int main(void) { return cmocka_run_group_tests_name("gfx12_convert", tests, NULL, NULL); }
