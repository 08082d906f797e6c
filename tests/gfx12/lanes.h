/* How operations on 32 lanes are written: each is a function from its sources' bits, lane by lane, and one line of a
 * table. Also the halves: f16 and 16-bit integers, which lie in the lower or the upper half of a register. */
#ifndef ASHLAR_TESTS_GFX12_LANES_H
#define ASHLAR_TESTS_GFX12_LANES_H

#include <math.h>

#include "format/halffloat.h"
#include "tests/gfx12/machine.h"

#define LANES for (int l = 0; l < GFX_LANES; l++)
/* The same of a loop whose result may lie where a source does: each lane is of its own. */
#define EACH_LANE _Pragma("GCC ivdep") LANES
#define SOURCE(k, name)         \
    uint32_t name##_room[GFX_LANES]; \
    const uint32_t *name = gfx_lanes_of(w, i, k, 0, name##_room)

/* An operation on each lane by itself. a, b, c: the sources' bits in lane l. */
#define UNARY(name, expr)                                                   \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        EACH_LANE { uint32_t a = pa[l]; r[l] = (expr); }                    \
    }
#define BINARY(name, expr)                                                  \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        SOURCE(1, pb);                                                      \
        EACH_LANE { uint32_t a = pa[l], b = pb[l]; r[l] = (expr); }         \
    }
#define TERNARY(name, expr)                                                 \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        SOURCE(1, pb);                                                      \
        SOURCE(2, pc);                                                      \
        EACH_LANE { uint32_t a = pa[l], b = pb[l], c = pc[l]; r[l] = (expr); } \
    }
#define FA gfx_float(a)
#define FB gfx_float(b)
#define FC gfx_float(c)
#define R(value) gfx_bits(value)
/* The same of f16, computed as floats. */
#define HA gfx_half(a)
#define HB gfx_half(b)
#define HC gfx_half(c)
#define H(value) gfx_half_bits(value)

/* Conversions without branches, so that loops over lanes become vector code; format/halffloat.h has the
 * specification. */
static inline float gfx_half(uint32_t bits)
{
    uint32_t body = bits & 0x7fff, sign = (bits & 0x8000) << 16;
    uint32_t scaled = gfx_bits(gfx_float(body << 13) * 0x1p112f); /* the exponent's bias; denormals become normal */
    scaled |= (body >= 0x7c00 ? 0x7f800000 : 0) | (body > 0x7c00 ? 0x400000 : 0);
    return gfx_float(sign | scaled);
}

/* Rounds once. Of a sum, product, quotient or root of two halves a float is close enough: 24 bits are 2 * 11 + 2. */
static inline uint32_t gfx_half_bits(float value)
{
    uint32_t u = gfx_bits(value), sign = u >> 16 & 0x8000, body = u & 0x7fffffff;
    uint32_t tiny = gfx_bits(gfx_float(body) + 0.5f) - 0x3f000000; /* multiples of 2^-24 are in the low bits */
    uint32_t r = (body + 0xfff + (body >> 13 & 1) - 0x38000000) >> 13;
    r = body < 0x38800000 ? tiny : r;
    r = body >= 0x477ff000 ? 0x7c00 : r;
    r = body > 0x7f800000 ? 0x7e00 : r;
    return sign | r;
}

static inline float gfx_e4m3(uint32_t code)
{
    uint32_t body = code & 0x7f, sign = (code & 0x80) << 24;
    uint32_t scaled = gfx_bits(gfx_float(body << 20) * 0x1p120f);
    return gfx_float(sign | (body == 0x7f ? 0x7fc00000 : scaled));
}
static inline float gfx_e5m2(uint32_t code) { return gfx_half(code << 8 & 0xff00); } /* the upper byte of an f16 */

/* What the transcendental unit makes of an f32 that is denormal, be it a source or a result. AMD's RDNA4 document says
 * of V_EXP_F32, V_LOG_F32, V_RCP_F32, V_RSQ_F32 and V_SQRT_F32 "1ULP accuracy, denormals are flushed", whatever the
 * mode is, and of V_SIN_F32 and V_COS_F32 that they are supported; LLVM's AMDGPUCodeGenPrepare.cpp, that "v_rcp_f32 and
 * v_rsq_f32 do not support denormals" and v_rcp_f16 and v_rsq_f16 do. V_RCP_IFLAG_F32 goes through the same unit. */
static inline float gfx_flushed(float x)
{
    uint32_t u = gfx_bits(x);
    return gfx_float(u & (u & 0x7f800000 ? UINT32_MAX : 0x80000000));
}

/* 2^x and log2 x in double, with relative errors below 2^-44: rounded to a float they are the exact result's
 * neighbours at worst, on every machine the same ones. */
static inline float gfx_exp2(float value)
{
    double x = (double)value;
    x = x > 300 ? 300 : x < -300 ? -300 : x; /* NaN stays */
    union { double d; uint64_t u; } t = { x + 0x1.8p52 }, scale; /* the nearest integer, in the low bits */
    double f = (x - (t.d - 0x1.8p52)) * 0x1.62e42fefa39efp-1; /* |f| <= ln 2 / 2: f^13 / 13! < 2^-52 */
    double y = 1.0 / 479001600;
    y = y * f + 1.0 / 39916800;
    y = y * f + 1.0 / 3628800;
    y = y * f + 1.0 / 362880;
    y = y * f + 1.0 / 40320;
    y = y * f + 1.0 / 5040;
    y = y * f + 1.0 / 720;
    y = y * f + 1.0 / 120;
    y = y * f + 1.0 / 24;
    y = y * f + 1.0 / 6;
    y = y * f + 0.5;
    y = y * f + 1;
    y = y * f + 1;
    scale.u = (t.u + 1023) << 52;
    return (float)(y * scale.d);
}
static inline float gfx_log2(float value)
{
    union { double d; uint64_t u; } x = { (double)value }, m, e;
    uint64_t from_half = x.u - UINT64_C(0x3fe6a09e667f3bcd); /* the exponent above sqrt(1/2) */
    uint64_t n = from_half & UINT64_C(0xfff0000000000000);
    m.u = x.u - n;
    e.u = ((from_half >> 52) & 0xfff) ^ UINT64_C(0x4338000000000800); /* 1.5 * 2^52 and the exponent, 0x800 off */
    double exponent = e.d - (0x1.8p52 + 2048);
    double s = (m.d - 1) / (m.d + 1), q = s * s; /* |s| < 0.172, q < 0.0295: the next term is below 2^-58 */
    double y = 1.0 / 21;
    y = y * q + 1.0 / 19;
    y = y * q + 1.0 / 17;
    y = y * q + 1.0 / 15;
    y = y * q + 1.0 / 13;
    y = y * q + 1.0 / 11;
    y = y * q + 1.0 / 9;
    y = y * q + 1.0 / 7;
    y = y * q + 1.0 / 5;
    y = y * q + 1.0 / 3;
    y = y * q + 1;
    float r = (float)(exponent + y * s * 0x1.71547652b82fep+1); /* 2 / ln 2 */
    r = value == 0 ? -INFINITY : r;
    r = value < 0 ? NAN : r;
    return isnan(value) || value == INFINITY ? value : r;
}

/* a * b + c of halves or floats whose product is exact in double, rounded once to f16: the double's last bit tells that
 * something was lost, so that what looks like a tie is none. */
static inline uint32_t gfx_half_fma(float a, float b, float c)
{
    double p = (double)a * (double)b, z = (double)c, sum = p + z;
    double part = sum - p, lost = (p - (sum - part)) + (z - part); /* exact: sum + lost is p + z */
    union { double d; uint64_t u; } s = { sum };
    bool inexact = lost > 0 || lost < 0; /* of infinities and NaN neither */
    s.u += inexact && !(s.u & 1) ? ((lost > 0) == (sum > 0) ? 1 : UINT64_MAX) : 0;
    union { float f; uint32_t u; } narrow = { (float)s.d }; /* toward odd here too: the sticky bit must live on */
    double back = (double)narrow.f;
    inexact = back < s.d || back > s.d;
    narrow.u -= fabs(back) > fabs(s.d);
    narrow.u |= inexact;
    return gfx_half_bits(narrow.f);
}

/* The same of halves alone: their product is exact in float, and so is what the sum loses. */
static inline uint32_t gfx_half_fma_halves(float a, float b, float c)
{
    float p = a * b, sum = p + c, part = sum - p, lost = (p - (sum - part)) + (c - part);
    uint32_t u = gfx_bits(sum), away = (gfx_bits(lost) ^ u) >> 31; /* 1: what is lost has the other sign */
    uint32_t inexact = (lost > 0) | (lost < 0);
    u += inexact & ~u & 1 ? 1 - 2 * away : 0; /* to the odd neighbour on its side */
    return gfx_half_bits(gfx_float(u));
}

/* x 2^n, rounded once. */
static inline float gfx_scaled(float x, int32_t n)
{
    n = n > 400 ? 400 : n < -400 ? -400 : n;
    union { uint64_t u; double d; } power = { (uint64_t)(n + 1023) << 52 };
    return (float)((double)x * power.d);
}

/* minimumNumber and maximumNumber of IEEE 754-2019: a number rather than a NaN, -0 below 0. */
static inline float gfx_number_rather(float r, float a, float b)
{
    uint32_t u = isnan(b) ? gfx_bits(a) : gfx_bits(r);
    u = isnan(a) ? gfx_bits(b) | (isnan(b) ? 0x400000 : 0) : u;
    return gfx_float(u);
}
static inline float gfx_minimum_number(float a, float b)
{
    uint32_t r = a < b ? gfx_bits(a) : gfx_bits(b);
    r = a == b ? r | gfx_bits(a) : r; /* equal: but for the zeros' signs the same bits */
    return gfx_number_rather(gfx_float(r), a, b);
}
static inline float gfx_maximum_number(float a, float b)
{
    uint32_t r = a > b ? gfx_bits(a) : gfx_bits(b);
    return gfx_number_rather(gfx_float(a == b ? r & gfx_bits(a) : r), a, b);
}
static inline float gfx_median(float a, float b, float c)
{
    return gfx_maximum_number(gfx_minimum_number(a, b), gfx_minimum_number(gfx_maximum_number(a, b), c));
}
/* minimum and maximum of IEEE 754-2019: a NaN where there is one. */
static inline float gfx_minimum(float a, float b)
{
    return isnan(a) || isnan(b) ? a + b : gfx_minimum_number(a, b);
}
static inline float gfx_maximum(float a, float b)
{
    return isnan(a) || isnan(b) ? a + b : gfx_maximum_number(a, b);
}

/* To integers: toward zero, saturating; NaN gives 0. */
static inline uint32_t gfx_to_i32(float x)
{
    return isnan(x) ? 0 : x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? (uint32_t)INT32_MIN : (uint32_t)(int32_t)x;
}
static inline uint32_t gfx_to_u32(float x) { return !(x > 0) ? 0 : x >= 0x1p32f ? UINT32_MAX : (uint32_t)x; }
/* Toward zero in f16: what is finite stays so. */
static inline uint32_t gfx_half_toward_zero(float x)
{
    uint32_t u = gfx_bits(x), sign = u >> 16 & 0x8000, body = u & 0x7fffffff;
    uint32_t r = (body - 0x38000000) >> 13;
    r = body < 0x38800000 ? (uint32_t)(int32_t)(gfx_float(body) * 0x1p24f) : r; /* multiples of 2^-24 */
    r = body >= 0x47800000 ? 0x7bff : r;
    r = body == 0x7f800000 ? 0x7c00 : r;
    r = body > 0x7f800000 ? 0x7e00 : r;
    return sign | r;
}

/* Lines of the tables. */
#define V(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, 0, 0 }
#define VF(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS, 0 }
#define VI(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS | GFX_PLAIN_RESULT, 0 }
#define VT(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS | GFX_TRANSCENDENTAL, 0 }
#define VX(name, fn, flags, halves) { "v_" name, NULL, fn, GFX_VECTOR, flags, halves }
#define V_END { NULL, NULL, NULL, GFX_VECTOR, 0, 0 }

#endif
