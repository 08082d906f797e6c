/* Prefill's inputs: an RMS norm where there is one, then rounding to the form that the weights' type wants, laid out as
 * the A operands of WMMA.
 *
 * One workgroup a token. A thread has 16 columns of a stretch of 32: 8 of each step, so that what it writes of an 8-bit
 * tile is 16 bytes. Rows are read once for the norm and once or twice more out of the caches.
 */
#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define THREADS 256
#define WAVES (THREADS / LANES)
#define COLS 16                  /* of a thread and turn */
#define GROUP_LANES (ASH_GFX_GROUP / COLS)
#define TINY 0x1p-100f           /* ASH_Q8_TINY */
#define INFINITE 0x7f800000u     /* |x| as bits: from here on infinity and NaN */
#define NOT_A_NUMBER 0x7fc00000

typedef struct run { float x[COLS]; } run; /* columns first .. + 7 and first + 16 .. + 23 */

/* Column of a thread's first element in stretch `turn`; its tile of 32 is first / 32. */
DEVICE int first_column(int turn)
{
    int unit = turn * THREADS + thread_id();
    return unit / 2 * 32 + unit % 2 * 8;
}

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

/* Times `factor` and the norm's weights, of which there are exactly `cols`. */
DEVICE void apply_norm(run &r, const float *norm, float factor, int first, int cols)
{
    for (int part = 0; part < 2; part++)
        for (int e = 0; e < 8; e++) {
            int at = first + 16 * part + e;
            float weight = at < cols ? norm[at] : 0;
            r.x[8 * part + e] = r.x[8 * part + e] * factor * weight;
        }
}

/* Largest |x| as bits, so that NaN is larger than everything. */
DEVICE unsigned largest_bits(const run &r)
{
    unsigned most = 0;
    for (int e = 0; e < COLS; e++) {
        float x = r.x[e];
        unsigned bits = __builtin_bit_cast(unsigned, x) & 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most;
}
DEVICE unsigned larger_bits(unsigned a, unsigned b) { return a > b ? a : b; }

DEVICE float block_sum(float x)
{
    SHARED static float sums[WAVES];
    x = wave_sum(x);
    if (lane_id() == 0)
        sums[wave_id()] = x;
    barrier();
    float sum = 0;
    for (int w = 0; w < WAVES; w++)
        sum += sums[w];
    return sum;
}

DEVICE unsigned block_largest(unsigned x)
{
    SHARED static unsigned most[WAVES];
    x = larger_bits(x, (unsigned)from_xor<1>((int)x));
    x = larger_bits(x, (unsigned)from_xor<2>((int)x));
    x = larger_bits(x, (unsigned)from_xor<4>((int)x));
    x = larger_bits(x, (unsigned)from_xor<8>((int)x));
    x = larger_bits(x, (unsigned)from_other_half((int)x));
    if (lane_id() == 0)
        most[wave_id()] = x;
    barrier();
    unsigned all = 0;
    for (int w = 0; w < WAVES; w++)
        all = larger_bits(all, most[w]);
    return all;
}

DEVICE int padded_cols(const ash_gfx_inputs &a) { return (int)ASH_GFX_PADDED_COLS(a.cols); }
DEVICE int turns(int cols) { return (cols + THREADS * COLS - 1) / (THREADS * COLS); }

DEVICE float norm_factor(const ash_gfx_inputs &a, const float *row)
{
    float sum = 0;
    for (int t = 0; t < turns((int)a.cols); t++) {
        run r = load_run(row, first_column(t), (int)a.cols);
        for (int e = 0; e < COLS; e++)
            sum += r.x[e] * r.x[e];
    }
    return 1 / __builtin_sqrtf(block_sum(sum) / (float)(int)a.cols + a.eps);
}

DEVICE run normed(const ash_gfx_inputs &a, const float *row, float factor, int first)
{
    run r = load_run(row, first, (int)a.cols);
    if (a.norm)
        apply_norm(r, a.norm, factor, first, (int)a.cols);
    return r;
}

/* Where a thread's bytes of an 8-bit tile begin: row r, half h. */
DEVICE uint8_t *tile_of(const ash_gfx_inputs &a, int padded, int token, int first)
{
    int64_t panel = (int64_t)(token / 16) * (16 * (int64_t)padded);
    return (uint8_t *)a.out + panel + first / 32 * 512 + 16 * (token % 16 + (first & 8 ? 16 : 0));
}

DEVICE unsigned int8_bytes(const float *x, float inverse)
{
    unsigned bytes = 0;
    for (int b = 0; b < 4; b++)
        bytes |= ((unsigned)(int)nearest(x[b] * inverse) & 255) << 8 * b;
    return bytes;
}

/* A group of columns lies in GROUP_LANES neighbouring lanes. */
DEVICE unsigned group_largest(unsigned x)
{
    x = larger_bits(x, (unsigned)from_xor<1>((int)x));
    x = larger_bits(x, (unsigned)from_xor<2>((int)x));
    x = larger_bits(x, (unsigned)from_xor<4>((int)x));
    if constexpr (GROUP_LANES == 16)
        x = larger_bits(x, (unsigned)from_xor<8>((int)x));
    return x;
}

DEVICE void write_int8(const ash_gfx_inputs &a, int token, run r, int first, int padded)
{
    unsigned bits = group_largest(largest_bits(r));
    if (first >= padded)
        return;
    float most = __builtin_bit_cast(float, bits), scale = most / 127, inverse = 127 / most;
    bool usable = bits < INFINITE && most >= TINY;
    if (!usable)
        scale = bits < INFINITE ? 0 : __builtin_bit_cast(float, NOT_A_NUMBER);
    v4u out = { 0, 0, 0, 0 };
    if (usable)
        for (int w = 0; w < 4; w++)
            out[w] = int8_bytes(r.x + 4 * w, inverse);
    store<v4u>(tile_of(a, padded, token, first), out);
    if (thread_id() % GROUP_LANES == 0)
        a.scale[((int64_t)(token / 16) * (padded / ASH_GFX_GROUP) + first / ASH_GFX_GROUP) * 16 + token % 16] = scale;
}

/* 16 workgroups for each panel of tokens. */
KERNEL(THREADS) void ash_inputs_int8(ash_gfx_inputs a)
{
    int token = group_x(), padded = padded_cols(a);
    bool there = token < (int)a.tokens;
    const float *row = a.x + (int64_t)token * a.x_stride;
    float factor = there && a.norm ? norm_factor(a, row) : 1;
    for (int t = 0; t < turns(padded); t++) {
        run r = {};
        if (there)
            r = normed(a, row, factor, first_column(t));
        write_int8(a, token, r, first_column(t), padded);
    }
}

DEVICE unsigned fp8_bytes(const float *x, float scale)
{
    unsigned bytes = to_e4m3<false>(x[0] / scale, x[1] / scale, 0);
    return to_e4m3<true>(x[2] / scale, x[3] / scale, bytes);
}

/* The scale of a token: the static one, or what makes its largest value e4m3's. */
DEVICE float token_scale(const ash_gfx_inputs &a, const float *row, float factor)
{
    if (a.input_scale != 0)
        return a.input_scale;
    unsigned most = 0;
    for (int t = 0; t < turns((int)a.cols); t++)
        most = larger_bits(most, largest_bits(normed(a, row, factor, first_column(t))));
    return __builtin_bit_cast(float, block_largest(most)) / E4M3_MAX;
}

KERNEL(THREADS) void ash_inputs_fp8(ash_gfx_inputs a)
{
    int token = group_x(), padded = padded_cols(a);
    bool there = token < (int)a.tokens;
    const float *row = a.x + (int64_t)token * a.x_stride;
    float factor = there && a.norm ? norm_factor(a, row) : 1;
    float scale = there ? token_scale(a, row, factor) : 0;
    for (int t = 0; t < turns(padded); t++) {
        int first = first_column(t);
        if (first >= padded)
            continue;
        v4u out = { 0, 0, 0, 0 };
        if (there && scale != 0) {
            run r = normed(a, row, factor, first);
            for (int w = 0; w < 4; w++)
                out[w] = fp8_bytes(r.x + 4 * w, scale);
        }
        store<v4u>(tile_of(a, padded, token, first), out);
    }
    if (thread_id() == 0)
        a.scale[token] = scale;
}

DEVICE unsigned half_of(float x) { return __builtin_bit_cast(unsigned short, (_Float16)x); }
template <bool bf16> DEVICE unsigned two_halves(float a, float b)
{
    if constexpr (bf16)
        return float_to_bf16(a) | float_to_bf16(b) << 16;
    else
        return half_of(a) | half_of(b) << 16;
}

template <bool bf16> DEVICE void inputs_16(const ash_gfx_inputs &a)
{
    int token = group_x(), padded = padded_cols(a);
    bool there = token < (int)a.tokens;
    const float *row = a.x + (int64_t)token * a.x_stride;
    float factor = there && a.norm ? norm_factor(a, row) : 1;
    uint8_t *panel = (uint8_t *)a.out + (int64_t)(token / 16) * 32 * padded;
    for (int t = 0; t < turns(padded); t++) {
        int first = first_column(t);
        run r = {};
        if (there)
            r = normed(a, row, factor, first);
        for (int part = 0; part < 2; part++) {
            int at = first + 16 * part;
            v4u out;
            for (int w = 0; w < 4; w++)
                out[w] = two_halves<bf16>(r.x[8 * part + 2 * w], r.x[8 * part + 2 * w + 1]);
            if (at < padded)
                store<v4u>(panel + at / 16 * 512 + 16 * (token % 16 + (at & 8 ? 16 : 0)), out);
        }
    }
}

KERNEL(THREADS) void ash_inputs_f16(ash_gfx_inputs a) { inputs_16<false>(a); }
KERNEL(THREADS) void ash_inputs_bf16(ash_gfx_inputs a) { inputs_16<true>(a); }
