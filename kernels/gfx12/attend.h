/* What the attention kernels share: a head's row, 8 elements a lane, from qkv through norm and rotation into the
 * cache's type. Lane c of a group of `lanes` has elements 8 c .. + 7; lanes beyond head_dim hold zeros. */
#ifndef ASHLAR_KERNELS_GFX12_ATTEND_H
#define ASHLAR_KERNELS_GFX12_ATTEND_H

#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define LOG2_E 1.44269504088896341f
/* Below every score that counts, and finite: so that differences of maxima never are NaN. */
#define LOWEST (-1e30f)

/* Eight elements of the cache in a lane. */
template <bool fp8> struct cached { typedef v8h type; static constexpr int bytes = 2; };
template <> struct cached<true> { typedef v2u type; static constexpr int bytes = 1; };

DEVICE v8f floats(v8h x) { return __builtin_convertvector(x, v8f); }
DEVICE v8f floats(v2u x)
{
    v2f a = pair_from_e4m3<false>(x.x), b = pair_from_e4m3<true>(x.x);
    v2f c = pair_from_e4m3<false>(x.y), d = pair_from_e4m3<true>(x.y);
    return v8f{ a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y };
}

/* To the cache's type, nearest even; e4m3 of x / scale, a true division. */
template <bool fp8> DEVICE typename cached<fp8>::type rounded(v8f x, float scale)
{
    if constexpr (fp8) {
        for (int i = 0; i < 8; i++)
            x[i] = x[i] / scale;
        return v2u{ to_e4m3<true>(x[2], x[3], to_e4m3<false>(x[0], x[1], 0)),
                    to_e4m3<true>(x[6], x[7], to_e4m3<false>(x[4], x[5], 0)) };
    } else
        return __builtin_convertvector(x, v8h);
}
/* One element, as bits. */
template <bool fp8> DEVICE unsigned rounded_one(float x, float scale)
{
    if constexpr (fp8)
        return to_e4m3<false>(x / scale, 0, 0) & 255;
    else
        return __builtin_bit_cast(unsigned short, (_Float16)x);
}
template <bool fp8> DEVICE float float_of(unsigned bits)
{
    if constexpr (fp8)
        return from_e4m3<0>(bits);
    else
        return half_to_float(bits);
}

/* Over groups of 8, 16 or 32 neighbouring lanes, in every lane. Whole wave. */
template <int lanes> DEVICE float group_sum(float x)
{
    x += from_xor<1>(x);
    x += from_xor<2>(x);
    x += from_xor<4>(x);
    if constexpr (lanes >= 16)
        x += from_xor<8>(x);
    if constexpr (lanes >= 32)
        x += from_other_half(x);
    return x;
}

/* In 32 bits: a 64-bit multiply-add would take an addend whose upper half nothing has written. */
DEVICE unsigned times(unsigned a, unsigned b) { return (unsigned)here((int)(a * b)); }

DEVICE v8f load_8(const float *p)
{
    v4f a = load<v4f>(p), b = load<v4f>(p + 4);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
}
DEVICE void store_8(float *p, v8f x)
{
    store(p, __builtin_shufflevector(x, x, 0, 1, 2, 3));
    store(p + 4, __builtin_shufflevector(x, x, 4, 5, 6, 7));
}

/* Pairs (2 i, 2 i + 1) of the first rope_dim elements, d being the lane's first: each operation rounds on its own, so
 * that the cache gets the very bits of ash_rope_scalar. */
DEVICE v8f rotated(v8f x, const float *angles, int d, int rope_dim)
{
    for (int i = 0; i < 8; i += 2) {
        bool turns = d + i < rope_dim;
        v2f at = load<v2f>(angles + (turns ? d + i : 0));
        float a = unfused(x[i] * at.x) - unfused(x[i + 1] * at.y);
        float b = unfused(x[i + 1] * at.x) + unfused(x[i] * at.y);
        x[i] = turns ? a : x[i];
        x[i + 1] = turns ? b : x[i + 1];
    }
    return x;
}

/* The lane's part of a head's row of q or k: norm where there is one, then rotation. Whole wave. */
template <int lanes> DEVICE v8f head_row(const ash_gfx_attend &a, const float *row, const float *norm, int position)
{
    int d = here(lane_id()) % lanes * 8;
    bool inside = d < (int)a.head_dim;
    v8f x = load_8(row + (inside ? d : 0));
    x = inside ? x : v8f{};
    if (norm) {
        float sum = 0;
        for (int i = 0; i < 8; i++)
            sum += x[i] * x[i];
        float factor = reciprocal_root(group_sum<lanes>(sum) / (float)a.head_dim + a.eps);
        v8f w = load_8(norm + (inside ? d : 0));
        for (int i = 0; i < 8; i++)
            x[i] = x[i] * factor * w[i];
    }
    unsigned rope_dim = (unsigned)here_scalar((int)a.rope_dim);
    return rotated(x, a.angles + (unsigned)here((int)((unsigned)position * rope_dim)), d, (int)rope_dim);
}

#endif
