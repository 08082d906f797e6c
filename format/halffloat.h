/* Scalar conversions between float and the 16- and 8-bit formats; the specification of every vector form.
 * To narrower types: round to nearest, ties to even. Denormals are kept. NaN stays NaN.
 * f16: IEEE 754 binary16, overflow to infinity. bf16: the upper half of a float. e4m3: OCP e4m3fn
 * (OFP8 specification 1.0): bias 7, max 448, no infinity, NaN 0x7f and 0xff; the narrowing saturates. */
#ifndef ASHLAR_FORMAT_HALFFLOAT_H
#define ASHLAR_FORMAT_HALFFLOAT_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ash_f32_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float ash_f32_of_bits(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

static inline float ash_bf16_to_f32(uint16_t h) { return ash_f32_of_bits((uint32_t)h << 16); }

static inline uint16_t ash_f32_to_bf16(float x)
{
    uint32_t u = ash_f32_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40); /* quiet NaN: the payload's upper bits alone could read as infinity */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float ash_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, body = h & 0x7fff;
    if (body >= 0x7c00) /* infinity, NaN */
        return ash_f32_of_bits(sign | 0x7f800000 | (body & 0x3ff) << 13);
    if (body >= 0x400) /* normal: exponent bias 15 to 127 */
        return ash_f32_of_bits(sign | (body + 0x1c000) << 13);
    float tiny = (float)body * 0x1p-24f; /* denormal: exact, since body < 2^10 */
    return ash_f32_of_bits(sign | ash_f32_bits(tiny));
}

static inline uint16_t ash_f32_to_f16(float x)
{
    uint32_t u = ash_f32_bits(x), sign = u >> 16 & 0x8000, body = u & 0x7fffffff;
    if (body > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (body >= 0x477ff000) /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (body < 0x38800000) { /* below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits */
        float shifted = ash_f32_of_bits(body) + 0.5f;
        return (uint16_t)(sign | (ash_f32_bits(shifted) - 0x3f000000));
    }
    body += 0xfff + (body >> 13 & 1);
    return (uint16_t)(sign | (body - 0x38000000) >> 13);
}

static inline float ash_e4m3_to_f32(uint8_t v)
{
    uint32_t sign = (uint32_t)(v & 0x80) << 24, body = v & 0x7f;
    if (body == 0x7f)
        return ash_f32_of_bits(sign | 0x7fc00000);
    if (body >= 8) /* normal: exponent bias 7 to 127 */
        return ash_f32_of_bits(sign | (body + (120u << 3)) << 20);
    float tiny = (float)body * 0x1p-9f;
    return ash_f32_of_bits(sign | ash_f32_bits(tiny));
}

static inline uint8_t ash_f32_to_e4m3(float x)
{
    uint32_t u = ash_f32_bits(x), sign = u >> 24 & 0x80, body = u & 0x7fffffff;
    if (body > 0x7f800000)
        return (uint8_t)(sign | 0x7f);
    if (body >= 0x43e80000) /* 464, halfway between 448 and the next step, and up: saturate */
        return (uint8_t)(sign | 0x7e);
    if (body < 0x3c800000) { /* below 2^-6: multiples of 2^-9; 2^14 has an ulp of 2^-9 */
        float shifted = ash_f32_of_bits(body) + 0x1p14f;
        return (uint8_t)(sign | (ash_f32_bits(shifted) - 0x46800000));
    }
    body += 0x7ffff + (body >> 20 & 1);
    uint32_t code = (body - (120u << 23)) >> 20;
    return (uint8_t)(sign | (code > 0x7e ? 0x7e : code));
}

#endif
