/* How a row of floats becomes prefill's inputs (ash_gfx_inputs of args.h): what a thread does with 16 columns of a token.
 * The kernels of inputs.hip do it, and prefill.h for what a product leaves to the next one.
 *
 * A thread has 8 columns of each step of a stretch of 32, so that what it writes of an 8-bit tile is 16 bytes. A group
 * of columns lies in GROUP_LANES neighbouring lanes.
 */
#ifndef ASHLAR_KERNELS_GFX12_INPUTS_H
#define ASHLAR_KERNELS_GFX12_INPUTS_H

#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define COLS 16                  /* of a thread */
#define GROUP_LANES (ASH_GFX_GROUP / COLS)
#define TINY 0x1p-100f           /* ASH_Q8_TINY */
#define INFINITE 0x7f800000u     /* |x| as bits: from here on infinity and NaN */
#define NOT_A_NUMBER 0x7fc00000

typedef struct run { float x[COLS]; } run; /* columns first .. + 7 and first + 16 .. + 23 */

/* Column of a row's thread `unit`; its tile of 32 is first / 32. */
DEVICE int first_column(int unit) { return unit / 2 * 32 + unit % 2 * 8; }

/* Rows are zero up to the next multiple of 64; beyond it nothing is read. */
DEVICE run load_run(const float *row, int first, int cols)
{
    run r;
    for (int part = 0; part < 2; part++) {
        int at = first + 16 * part;
        v4f a = { 0, 0, 0, 0 }, b = a;
        if (at < cols) {
            a = load<v4f>(row + at);
            b = load<v4f>(row + at + 4);
        }
        for (int e = 0; e < 4; e++) {
            r.x[8 * part + e] = a[e];
            r.x[8 * part + 4 + e] = b[e];
        }
    }
    return r;
}

DEVICE float sum_of_squares(const run &r)
{
    float sum = 0;
    for (int e = 0; e < COLS; e++)
        sum = __builtin_fmaf(r.x[e], r.x[e], sum);
    return sum;
}

/* Largest |x| as bits, so that NaN is larger than everything. */
DEVICE unsigned largest_bits(const run &r)
{
    unsigned most = 0;
    for (int e = 0; e < COLS; e++) {
        float x = r.x[e];
        most = larger_bits(most, __builtin_bit_cast(int, x) & 0x7fffffff);
    }
    return most;
}

/* Over the lanes of a group, in each of them. Whole wave. */
DEVICE unsigned group_largest(unsigned x)
{
    x = larger_bits(x, from_xor<1>((int)x));
    x = larger_bits(x, from_xor<2>((int)x));
    x = larger_bits(x, from_xor<4>((int)x));
    if constexpr (GROUP_LANES == 16)
        x = larger_bits(x, from_xor<8>((int)x));
    return x;
}
DEVICE float group_sum(float x)
{
    x += from_xor<1>(x);
    x += from_xor<2>(x);
    x += from_xor<4>(x);
    if constexpr (GROUP_LANES == 16)
        x += from_xor<8>(x);
    return x;
}

/* Low bytes of x inverse + 1.5 2^23: the product's nearest integer, one rounding for both. */
DEVICE unsigned int8_bytes(const float *x, float inverse)
{
    unsigned byte[4];
    for (int b = 0; b < 4; b++) {
        float sum = __builtin_fmaf(x[b], inverse, 12582912.0f);
        byte[b] = __builtin_bit_cast(unsigned, sum);
    }
    unsigned low = choose_bytes(byte[1], byte[0], 0x0c0c0400), high = choose_bytes(byte[3], byte[2], 0x0c0c0400);
    return choose_bytes(high, low, 0x05040100);
}
/* A scale may round x up to a little more than the largest; NaN becomes a limit, its scale is NaN. */
DEVICE float within_e4m3(float x) { return clamped(x, -E4M3_MAX, E4M3_MAX); }
DEVICE unsigned fp8_bytes(const float *x, float inverse)
{
    unsigned bytes = e4m3_pair<false>(within_e4m3(x[0] * inverse), within_e4m3(x[1] * inverse), 0);
    return e4m3_pair<true>(within_e4m3(x[2] * inverse), within_e4m3(x[3] * inverse), bytes);
}
DEVICE unsigned fixed_fp8_bytes(const float *x, float scale)
{
    unsigned bytes = to_e4m3<false>(x[0] / scale, x[1] / scale, 0);
    return to_e4m3<true>(x[2] / scale, x[3] / scale, bytes);
}

DEVICE unsigned half_of(float x) { return __builtin_bit_cast(unsigned short, (_Float16)x); }
template <bool bf16> DEVICE unsigned two_halves(float a, float b)
{
    if constexpr (bf16)
        return float_to_bf16(a) | float_to_bf16(b) << 16;
    else
        return half_of(a) | half_of(b) << 16;
}

/* Where a thread's bytes of an 8-bit tile begin, in a panel of tokens: row r, half h. */
DEVICE int place_in_panel(int token, int first) { return first / 32 * 512 + 16 * (token % 16 + (first & 8 ? 16 : 0)); }

/* How a group becomes INT8, or e4m3 with a scale, from its largest |x| as bits. */
typedef struct rounding { float scale, inverse; bool usable; } rounding;

template <bool int8> DEVICE rounding rounding_of(unsigned bits)
{
    constexpr float top = int8 ? 127.0f : E4M3_MAX;
    float most = __builtin_bit_cast(float, bits);
    rounding out = { most / top, top / most, bits < INFINITE && most >= TINY };
    if (!out.usable)
        out.scale = bits < INFINITE ? 0 : __builtin_bit_cast(float, NOT_A_NUMBER);
    return out;
}
template <bool int8> DEVICE v4u rounded_run(const run &r, const rounding &to)
{
    v4u out = { 0, 0, 0, 0 };
    if (to.usable)
        for (int w = 0; w < 4; w++)
            out[w] = int8 ? int8_bytes(r.x + 4 * w, to.inverse) : fp8_bytes(r.x + 4 * w, to.inverse);
    return out;
}

/* Where a group's scale is. */
DEVICE int64_t scale_place(int token, int first, int padded)
{
    return ((int64_t)(token / 16) * (padded / ASH_GFX_GROUP) + first / ASH_GFX_GROUP) * 16 + token % 16;
}
DEVICE void store_run(const ash_gfx_inputs &a, int token, v4u bytes, int first, int padded)
{
    store<v4u>((uint8_t *)a.out + (int64_t)(token / 16) * 16 * padded + place_in_panel(token, first), bytes);
}

/* INT8, and e4m3 with a scale for each group. */
template <bool int8>
DEVICE void write_group(const ash_gfx_inputs &a, int token, const run &r, float square, int first, int padded)
{
    unsigned bits = group_largest(largest_bits(r));
    if (a.squares)
        square = group_sum(square);
    if (first >= padded)
        return;
    rounding to = rounding_of<int8>(bits);
    store_run(a, token, rounded_run<int8>(r, to), first, padded);
    if (lane_id() % GROUP_LANES == 0) {
        int64_t at = scale_place(token, first, padded);
        a.scale[at] = to.scale;
        if (a.squares)
            a.squares[at] = square;
    }
}

DEVICE void write_fixed(const ash_gfx_inputs &a, int token, const run &r, int first, int padded)
{
    v4u out;
    for (int w = 0; w < 4; w++)
        out[w] = fixed_fp8_bytes(r.x + 4 * w, a.input_scale);
    if (first < padded)
        store_run(a, token, out, first, padded);
}

template <bool bf16> DEVICE void write_16(const ash_gfx_inputs &a, int token, const run &r, int first, int padded)
{
    uint8_t *panel = (uint8_t *)a.out + (int64_t)(token / 16) * 32 * padded;
    for (int part = 0; part < 2; part++) {
        int at = first + 16 * part;
        v4u out;
        for (int w = 0; w < 4; w++)
            out[w] = two_halves<bf16>(r.x[8 * part + 2 * w], r.x[8 * part + 2 * w + 1]);
        if (at < padded)
            store<v4u>(panel + at / 16 * 512 + 16 * (token % 16 + (at & 8 ? 16 : 0)), out);
    }
}

/* Columns `first` .. of a token, times the norm's weights where there are any and times `factor`. Tokens that there are
 * not become zeros. Whole wave. */
template <int form> DEVICE void round_run(const ash_gfx_inputs &a, int token, int first, int padded, float factor)
{
    run r = {};
    float square = 0;
    if (token < (int)a.tokens) {
        r = load_run(a.x + (int64_t)token * a.x_stride, first, (int)a.cols);
        if (form <= ASH_GFX_FP8 && a.squares)
            square = sum_of_squares(r);
        if (a.norm) {
            run weights = load_run(a.norm, first, (int)a.cols);
            for (int e = 0; e < COLS; e++)
                r.x[e] *= form == ASH_GFX_INT8 ? weights.x[e] : factor * weights.x[e];
        }
    }
    if constexpr (form == ASH_GFX_INT8)
        write_group<true>(a, token, r, square, first, padded);
    else if constexpr (form == ASH_GFX_FP8) {
        if (a.input_scale != 0)
            write_fixed(a, token, r, first, padded);
        else
            write_group<false>(a, token, r, square, first, padded);
    } else
        write_16<form == ASH_GFX_BF16>(a, token, r, first, padded);
}

#endif
