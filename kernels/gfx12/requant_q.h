/* Q types to int8 in registers: a wave turns 16 rows and 128 columns of a tile (format/tile.h) into B operands of iu8
 * WMMA with one scale for each row, or for each row of both halves of a tile (ASH_GFX_GROUP). kernels/requant.h is
 * the specification.
 *
 * Lane l has row l & 15. A code q of a sub-block becomes (A q + B) >> 8 in 16 bits: two codes an instruction, and the
 * upper bytes are the result. Per word of 8 codes: nibbles 6 + 4 + 2 instructions, with upper bits 11 + 4 + 2, Q8_0 6 +
 * 4 + 2.
 */
#ifndef ASHLAR_KERNELS_GFX12_REQUANT_Q_H
#define ASHLAR_KERNELS_GFX12_REQUANT_Q_H

#include "kernels/gfx12/prefill.h"

#define HALF_TILE 128
#define TILE_COLS 256
#define UNIT_BYTES 512 /* 16 rows x 32 columns of int8 as two B operands: 16 bytes a lane */

/* What a wave has read of its half of a tile. */
typedef struct raw_half {
    v4u head, other_head; /* of its half; of the other one, where both have one scale */
    v4u codes[4];
    unsigned high[4];
} raw_half;

/* (A q + B) >> 8 for each sub-block of 32 columns (Q6_K: of 16), the factors in the low halves; a step's value. */
typedef struct factors {
    unsigned a[8], b[8];
    float scale;
} factors;

template <int dtype> struct q_type {
    static constexpr bool k_scales = dtype == ASH_Q4_K || dtype == ASH_Q5_K;
    static constexpr bool minimums = k_scales || dtype == ASH_Q4_1 || dtype == ASH_Q5_1;
    static constexpr bool five = dtype == ASH_Q5_0 || dtype == ASH_Q5_1 || dtype == ASH_Q5_K;
    static constexpr int high_bits = dtype == ASH_Q6_K ? 2 : five;
    static constexpr int offset = dtype == ASH_Q6_K ? 32 : dtype == ASH_Q5_0 ? 16 : dtype == ASH_Q4_0 ? 8 : 0;
    static constexpr int most = dtype == ASH_Q6_K ? 63 : high_bits ? 31 : 15;
    static constexpr int blocks = dtype == ASH_Q6_K ? 8 : 4; /* of a half tile */
    static constexpr int header = dtype == ASH_Q6_K ? 288 : minimums && !k_scales ? 512 : 256;
    static constexpr int chunk_cols = dtype == ASH_Q8_0 ? 32 : 64;
    static constexpr int chunks = HALF_TILE / chunk_cols;
    static constexpr int chunk = 512 + 128 * high_bits;
    static constexpr int tile = header + TILE_COLS / chunk_cols * chunk;
};

DEVICE int tile_bytes(int dtype)
{
    switch (dtype) {
    case ASH_Q4_0: return q_type<ASH_Q4_0>::tile;
    case ASH_Q4_1: return q_type<ASH_Q4_1>::tile;
    case ASH_Q5_0: return q_type<ASH_Q5_0>::tile;
    case ASH_Q5_1: return q_type<ASH_Q5_1>::tile;
    case ASH_Q8_0: return q_type<ASH_Q8_0>::tile;
    case ASH_Q4_K: return q_type<ASH_Q4_K>::tile;
    case ASH_Q5_K: return q_type<ASH_Q5_K>::tile;
    default: return q_type<ASH_Q6_K>::tile;
    }
}

/* ---- loads: half `half` of the tile at `tile`, of whose columns `cols` exist ---- */

template <int dtype> DEVICE void load_head(const uint8_t *tile, int half, offsets &o, raw_half &r)
{
    typedef q_type<dtype> type;
    if constexpr (type::k_scales) {
        r.head = load_at<v4u>(tile, o.row16);
        return;
    }
    v2u scales = load_at<v2u>(tile + 8 * half, o.row16);
    r.head.x = scales.x;
    r.head.y = scales.y;
    if constexpr (type::minimums) {
        v2u minimums = load_at<v2u>(tile + 256 + 8 * half, o.row16);
        r.head.z = minimums.x;
        r.head.w = minimums.y;
    }
    unsigned row2 = o.row16 / 8;
    if constexpr (dtype == ASH_Q6_K)
        r.head.z = load_at<unsigned short>(tile + 256, row2);
}

/* A chunk that the tile does not store stands for columns whose activations are zero: any codes will do, its first are
 * there. */
template <int dtype> DEVICE void load_half(const uint8_t *tile, int half, int cols, offsets &o, raw_half &r)
{
    typedef q_type<dtype> type;
    if constexpr (ASH_GFX_GROUP == TILE_COLS) {
        load_head<dtype>(tile, !half, o, r);
        r.other_head = r.head;
    }
    load_head<dtype>(tile, half, o, r);
    unsigned lane4 = o.lane16 / 4, lane8 = o.lane16 / 2;
    for (int c = 0; c < type::chunks; c++) {
        int number = half * type::chunks + c;
        const uint8_t *chunk = tile + type::header + (number * type::chunk_cols < cols ? number : 0) * type::chunk;
        r.codes[c] = load_once_at(chunk, o.lane16);
        if constexpr (type::high_bits == 1)
            r.high[c] = load_at<unsigned>(chunk + 512, lane4);
        if constexpr (type::high_bits == 2) {
            v2u high = load_at<v2u>(chunk + 512, lane8);
            r.high[2 * c] = high.x;
            r.high[2 * c + 1] = high.y;
        }
    }
}

/* ---- scales ---- */

DEVICE void four_bytes(unsigned x, float *out)
{
    out[0] = byte_to_float<0>(x);
    out[1] = byte_to_float<1>(x);
    out[2] = byte_to_float<2>(x);
    out[3] = byte_to_float<3>(x);
}
DEVICE void four_signed_bytes(unsigned x, float *out)
{
    out[0] = signed_byte_to_float<0>(x);
    out[1] = signed_byte_to_float<1>(x);
    out[2] = signed_byte_to_float<2>(x);
    out[3] = signed_byte_to_float<3>(x);
}
DEVICE void four_halves(unsigned x, unsigned y, float *out)
{
    out[0] = half_to_float(x);
    out[1] = half_to_float(x >> 16);
    out[2] = half_to_float(y);
    out[3] = half_to_float(y >> 16);
}

/* Scales and minimums of the half's sub-blocks as floats. Returns 0, or NaN where one of them is not finite. */
template <int dtype> DEVICE float read_scales(const raw_half &r, int half, float *scale, float *minimum)
{
    typedef q_type<dtype> type;
    if constexpr (type::k_scales) {
        float d = half_to_float(r.head.x), dmin = -half_to_float(r.head.x >> 16);
        unsigned s = r.head.y & 0x3f3f3f3f, m = r.head.z & 0x3f3f3f3f;
        if (half) {
            s = (r.head.w & 0x0f0f0f0f) | (r.head.y >> 2 & 0x30303030);
            m = (r.head.w >> 4 & 0x0f0f0f0f) | (r.head.z >> 2 & 0x30303030);
        }
        four_bytes(s, scale);
        four_bytes(m, minimum);
        for (int j = 0; j < 4; j++) {
            scale[j] *= d;
            minimum[j] *= dmin;
        }
        return (d + dmin) * 0;
    } else if constexpr (dtype == ASH_Q6_K) {
        float d = half_to_float(r.head.z);
        four_signed_bytes(r.head.x, scale);
        four_signed_bytes(r.head.y, scale + 4);
        for (int j = 0; j < 8; j++)
            scale[j] *= d;
        return d * 0;
    } else {
        four_halves(r.head.x, r.head.y, scale);
        float sum = scale[0] + scale[1] + (scale[2] + scale[3]);
        if constexpr (type::minimums) {
            four_halves(r.head.z, r.head.w, minimum);
            sum += minimum[0] + minimum[1] + (minimum[2] + minimum[3]);
        }
        return sum * 0;
    }
}

/* Largest magnitude of a weight that codes can mean. */
template <int dtype> DEVICE float largest_weight(const float *scale, const float *minimum)
{
    typedef q_type<dtype> type;
    float most = 0;
    for (int j = 0; j < type::blocks; j++) {
        if constexpr (type::minimums) {
            float high = __builtin_fmaf(type::most, scale[j], minimum[j]);
            most = larger(larger(magnitude(minimum[j]), magnitude(high)), most);
        } else {
            most = larger(magnitude(scale[j]), most);
        }
    }
    return type::offset ? most * type::offset : most;
}

/* Adding it rounds to an integer, to the even one in the middle, which then lies in the low bits. */
#define INTEGER 12582912.0f /* 1.5 * 2^23 */
DEVICE unsigned low_bits(float x) { return __builtin_bit_cast(unsigned, x); }

template <int dtype> DEVICE factors make_factors(const raw_half &r, int half)
{
    typedef q_type<dtype> type;
    factors f;
    float scale[8], minimum[8];
    float nan = read_scales<dtype>(r, half, scale, minimum);
    float most = largest_weight<dtype>(scale, minimum);
    if constexpr (ASH_GFX_GROUP == TILE_COLS) {
        float other[8], other_minimum[8];
        raw_half other_half;
        other_half.head = r.other_head;
        nan += read_scales<dtype>(other_half, !half, other, other_minimum);
        most = larger(most, largest_weight<dtype>(other, other_minimum));
    }
    float inverse = reciprocal(larger(most, 0x1p-40f)) * (dtype == ASH_Q8_0 ? 256.0f : 32512.0f);
    f.scale = most * (dtype == ASH_Q8_0 ? 1.0f : 1.0f / 127) + nan;
    for (int j = 0; j < type::blocks; j++) {
        if constexpr (dtype == ASH_Q8_0) {
            f.a[j] = low_bits(clamped(__builtin_fmaf(scale[j], inverse, INTEGER), INTEGER - 255, INTEGER + 255));
            f.b[j] = 127;
        } else {
            f.a[j] = low_bits(__builtin_fmaf(scale[j], inverse, INTEGER));
            if constexpr (type::minimums)
                f.b[j] = low_bits(__builtin_fmaf(minimum[j], inverse, INTEGER + 128));
            else
                f.b[j] = 128 - type::offset * f.a[j];
        }
    }
    return f;
}

/* ---- codes ---- */

/* Upper bytes of four halves, 0 and 2 in `even`, 1 and 3 in `odd`. */
DEVICE unsigned upper_bytes(unsigned even, unsigned odd) { return choose_bytes(odd, even, 0x07030501); }

DEVICE unsigned four_codes(unsigned even, unsigned odd, unsigned a, unsigned b)
{
    v2us factor = both_halves(a), offset = both_halves(b);
    return upper_bytes(mad_halves(even, factor, offset), mad_halves(odd, factor, offset));
}

/* A word of 8 nibbles: low ones are columns 0 to 3 of the lane's, high ones 4 to 7. */
DEVICE v2u eight_nibbles(unsigned w, unsigned a, unsigned b)
{
    unsigned even = w & 0x000f000f, odd = w >> 8 & 0x000f000f, even_high = w >> 4 & 0x000f000f;
    return (v2u){ four_codes(even, odd, a, b), four_codes(even_high, shift_halves_right(w, 12), a, b) };
}

/* With upper bits, which lie in `low` and `high` at bits 4 and up of each byte; others there are zero. */
DEVICE v2u eight_codes(unsigned w, unsigned low, unsigned high, unsigned a, unsigned b)
{
    low |= w & 0x0f0f0f0f;
    high |= w >> 4 & 0x0f0f0f0f;
    return (v2u){ four_codes(low & 0x00ff00ff, shift_halves_right(low, 8), a, b),
                  four_codes(high & 0x00ff00ff, shift_halves_right(high, 8), a, b) };
}

/* Four signed bytes. */
DEVICE unsigned four_signed(unsigned w, unsigned a, unsigned b)
{
    v2s even = __builtin_bit_cast(v2s, w) << 8, odd = __builtin_bit_cast(v2s, w);
    even >>= 8;
    odd >>= 8;
    return four_codes(__builtin_bit_cast(unsigned, even), __builtin_bit_cast(unsigned, odd), a, b);
}

/* A B operand: step `s` of chunk `c`. */
template <int dtype> DEVICE v2u operand(const raw_half &r, const factors &f, int c, int s)
{
    typedef q_type<dtype> type;
    if constexpr (dtype == ASH_Q8_0)
        return (v2u){ four_signed(r.codes[c][2 * s], f.a[c], f.b[c]),
                      four_signed(r.codes[c][2 * s + 1], f.a[c], f.b[c]) };
    unsigned w = r.codes[c][s];
    int j = dtype == ASH_Q6_K ? 4 * c + s : 2 * c + s / 2;
    if constexpr (type::high_bits == 0)
        return eight_nibbles(w, f.a[j], f.b[j]);
    if constexpr (type::high_bits == 1) {
        unsigned bits = r.high[c];
        return eight_codes(w, (2 * s < 4 ? bits << (4 - 2 * s) : bits >> (2 * s - 4)) & 0x10101010,
                           (2 * s < 3 ? bits << (3 - 2 * s) : bits >> (2 * s - 3)) & 0x10101010, f.a[j], f.b[j]);
    }
    unsigned bits = r.high[2 * c + s / 2];
    return eight_codes(w, (s & 1 ? bits : bits << 4) & 0x30303030, (s & 1 ? bits >> 2 : bits << 2) & 0x30303030, f.a[j],
                       f.b[j]);
}

/* The half's operands to `units`, 4 of UNIT_BYTES, and the rows' scales to scale[4 * row]. */
template <int dtype> DEVICE void requantize_half(const raw_half &r, int half, uint8_t *units, float *scale)
{
    typedef q_type<dtype> type;
    factors f = make_factors<dtype>(r, half);
    for (int c = 0; c < type::chunks; c++)
        for (int s = 0; s < type::chunk_cols / 16; s += 2) {
            v2u first = operand<dtype>(r, f, c, s), second = operand<dtype>(r, f, c, s + 1);
            uint8_t *unit = units + (c * type::chunk_cols / 32 + s / 2) * UNIT_BYTES;
            store<v4u>(unit + 16 * lane_id(), (v4u){ first.x, first.y, second.x, second.y });
        }
    if (lane_id() < 16)
        scale[4 * lane_id()] = f.scale;
}

#endif
