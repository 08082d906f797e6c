/* How operations on 32 lanes are written: each is a function from its sources' bits, lane by lane, and one line of a table.
 * Also the halves: f16 and 16-bit integers, which lie in the lower or the upper half of a register. */
#ifndef ASHLAR_TESTS_GFX12_LANES_H
#define ASHLAR_TESTS_GFX12_LANES_H

#include <math.h>
#if defined __F16C__
#include <immintrin.h>
#endif

#include "format/halffloat.h"
#include "tests/gfx12/machine.h"

#define LANES for (int l = 0; l < GFX_LANES; l++)
#define SOURCE(k, name)         \
    uint32_t name##_room[GFX_LANES]; \
    const uint32_t *name = gfx_lanes_of(w, i, k, 0, name##_room)

/* An operation on each lane by itself. a, b, c: the sources' bits in lane l. */
#define UNARY(name, expr)                                                   \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        LANES { uint32_t a = pa[l]; r[l] = (expr); }                        \
    }
#define BINARY(name, expr)                                                  \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        SOURCE(1, pb);                                                      \
        LANES { uint32_t a = pa[l], b = pb[l]; r[l] = (expr); }             \
    }
#define TERNARY(name, expr)                                                 \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        SOURCE(1, pb);                                                      \
        SOURCE(2, pc);                                                      \
        LANES { uint32_t a = pa[l], b = pb[l], c = pc[l]; r[l] = (expr); }  \
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

static inline float gfx_half(uint32_t bits)
{
#if defined __F16C__
    return _cvtsh_ss((unsigned short)bits);
#else
    return ash_f16_to_f32((uint16_t)bits);
#endif
}

/* Rounds once. Of a sum, product, quotient or root of two halves a float is close enough: 24 bits are 2 * 11 + 2. */
static inline uint32_t gfx_half_bits(float value)
{
#if defined __F16C__
    return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
#else
    return ash_f32_to_f16(value);
#endif
}

/* a * b + c of halves or floats whose product is exact in double, rounded once to f16: the double's last bit tells that
 * something was lost, so that what looks like a tie is none. */
static inline uint32_t gfx_half_fma(float a, float b, float c)
{
    double p = (double)a * (double)b, z = (double)c, sum = p + z;
    double part = sum - p, lost = (p - (sum - part)) + (z - part); /* exact: sum + lost is p + z */
    union { double d; uint64_t u; } s = { sum };
    if (isfinite(sum) && lost != 0 && !(s.u & 1))
        s.u += (lost > 0) == (sum > 0) ? 1 : UINT64_MAX;
    union { float f; uint32_t u; } narrow = { (float)s.d }; /* toward odd here too: the sticky bit must live on */
    if (isfinite(narrow.f) && isfinite(s.d) && (double)narrow.f != s.d) {
        if (fabs((double)narrow.f) > fabs(s.d))
            narrow.u--;
        narrow.u |= 1;
    }
    return gfx_half_bits(narrow.f);
}

/* minimumNumber and maximumNumber of IEEE 754-2019: a number rather than a NaN, -0 below 0. */
static inline float gfx_minimum_number(float a, float b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) ? (isnan(b) ? a + b : b) : a;
    return a < b || (a == b && signbit(a)) ? a : b;
}
static inline float gfx_maximum_number(float a, float b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) ? (isnan(b) ? a + b : b) : a;
    return a > b || (a == b && !signbit(a)) ? a : b;
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
/* Toward zero in f16: infinity becomes the largest finite number. */
static inline uint16_t gfx_half_toward_zero(float x)
{
    uint16_t h = (uint16_t)gfx_half_bits(x);
    if (isfinite(x) && fabsf(gfx_half(h)) > fabsf(x))
        h--; /* codes of one sign ascend with the magnitude */
    return h;
}

/* Lines of the tables. */
#define V(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, 0, 0 }
#define VF(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS, 0 }
#define VI(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS | GFX_PLAIN_RESULT, 0 }
#define VT(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS | GFX_TRANSCENDENTAL, 0 }
#define VX(name, fn, flags, halves) { "v_" name, NULL, fn, GFX_VECTOR, flags, halves }
#define V_END { NULL, NULL, NULL, GFX_VECTOR, 0, 0 }

#endif
