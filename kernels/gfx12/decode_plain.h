/* Decoding with types without blocks: F8_E4M3, F16 and BF16, whose inputs are rounded to the weights' type, and F32.
 *
 * Local memory has for each token the inputs of each chunk (32 columns of F8_E4M3, else 16) as 32 bytes (F32: 64), of
 * which a lane reads its half's as it reads its weights: with one load of 16 bytes, or two. A unit is 4 chunks, F32 2:
 * 2 KB of a panel, loaded while the one before is multiplied; 128 columns of F8_E4M3, which have one scale where scales
 * are those of blocks. A lane's 64 (32, 16) weights of a unit take 16 dot products or FMAs a token.
 *
 * Issue cycles a weight and lane at 4096 columns, norm and rounding included, for 1 and 8 tokens: F8_E4M3 1.9 and 12.0
 * of the 19.6 at which memory stops being the bound, F16 1.7 and 8.2, BF16 1.8 and 9.7 of 39.
 */
#ifndef ASHLAR_KERNELS_GFX12_DECODE_PLAIN_H
#define ASHLAR_KERNELS_GFX12_DECODE_PLAIN_H

#include "kernels/gfx12/decode.h"

#define UNIT_LOADS 4 /* of a lane, 16 bytes each */

template <int dtype> DEVICE constexpr int chunk_loads(void) { return dtype == ASH_F32 ? 2 : 1; }
template <int dtype> DEVICE constexpr int unit_chunks(void) { return UNIT_LOADS / chunk_loads<dtype>(); }
template <int dtype> DEVICE constexpr int chunk_bytes(void) { return 512 * chunk_loads<dtype>(); }
template <int dtype> DEVICE constexpr int input_bytes(void) { return 32 * chunk_loads<dtype>(); } /* of a chunk */
template <int dtype> DEVICE constexpr int chunk_cols(void) { return dtype == ASH_F8_E4M3 ? 32 : 16; }
template <int dtype> DEVICE constexpr int tile_chunks(void) { return TILE_COLS / chunk_cols<dtype>(); }

/* Local memory: 16 KB for 1 and 2 tokens, else 32: tiles of inputs, and at the end what waves say of each token. */
#define LDS_BYTES(tokens) ((tokens) <= 2 ? 16384 : 32768)
#define SUMS_AT(tokens) (LDS_BYTES(tokens) - (tokens) * TOKEN_FLOATS * 4)
template <int dtype, int tokens> DEVICE constexpr int slab_tiles(void)
{
    return SUMS_AT(tokens) / (tokens * tile_chunks<dtype>() * input_bytes<dtype>());
}

/* ---- inputs ---- */

/* Eight columns a lane into a tile's inputs. e4m3: of x / scale; zeros where the scale is 0. */
template <int dtype> DEVICE void round_plain(v8f x, float scale, uint8_t *tile)
{
    int lane = lane_id();
    if (dtype == ASH_F8_E4M3) {
        for (int i = 0; i < 8; i++)
            x[i] = scale == 0 ? 0 : x[i] / scale;
        unsigned low = to_e4m3<true>(x[2], x[3], to_e4m3<false>(x[0], x[1], 0));
        unsigned high = to_e4m3<true>(x[6], x[7], to_e4m3<false>(x[4], x[5], 0));
        store<v2u>(tile + lane / 4 * input_bytes<dtype>() + (lane & 1) * 16 + (lane / 2 & 1) * 8, v2u{ low, high });
        return;
    }
    if (dtype == ASH_F32) {
        store<v4f>(tile + lane * 32, __builtin_shufflevector(x, x, 0, 1, 2, 3));
        store<v4f>(tile + lane * 32 + 16, __builtin_shufflevector(x, x, 4, 5, 6, 7));
        return;
    }
    v8s out;
    for (int i = 0; i < 8; i++) {
        float value = x[i];
        _Float16 half = (_Float16)value;
        out[i] = dtype == ASH_F16 ? __builtin_bit_cast(short, half) : (short)float_to_bf16(value);
    }
    store<v8s>(tile + lane * 16, out);
}

/* The largest magnitude of each normalized row, as bits, NaN being above infinity; a barrier has to follow. */
template <int tokens> DEVICE void find_largest(const ash_gfx_decode &a, float *sums)
{
#pragma nounroll
    for (int t = 0; t < tokens; t++) {
        const float *row = token_row(a, t);
        float factor = norm_factor(a, sums, t);
        unsigned max = 0;
        for (int col = 8 * thread_id(); col < (int)a.cols; col += 8 * THREADS) {
            v8f x = read_normalized(a, row, col, factor);
            for (int i = 0; i < 8; i++) {
                float value = x[i];
                max = larger_bits(max, __builtin_bit_cast(int, value) & 0x7fffffff);
            }
        }
        max = wave_max_bits(max);
        if (lane_id() == 0)
            sums[uniform_here(t * TOKEN_FLOATS) + WAVES + wave_id()] = __builtin_bit_cast(float, max);
    }
}

/* What token t's inputs are divided by: the static scale, or the largest magnitude / 448. */
DEVICE float token_scale(float input_scale, const float *sums, int t)
{
    if (input_scale > 0)
        return input_scale;
    const float *largest = sums + uniform_here(t * TOKEN_FLOATS) + WAVES;
    unsigned max = 0;
    for (int w = 0; w < WAVES; w++) {
        float of = largest[w];
        max = larger_bits(max, __builtin_bit_cast(int, of));
    }
    return uniform_float(__builtin_bit_cast(float, max) / E4M3_MAX);
}

/* ---- products ---- */

typedef struct raw_unit {
    v4u part[UNIT_LOADS]; /* chunks, one or two parts each */
    float scale; /* of its columns */
} raw_unit;

/* What a wave reads. */
typedef struct stream {
    const uint8_t *data;
    const float *scale;
    bool blocks;        /* scale has those of this panel's blocks of 128 columns */
    int chunks, units;  /* units: 0 where there is no panel */
} stream;

/* Chunks that are not there are the unit's first, whose inputs beyond the last column are zero. */
template <int dtype> DEVICE void load_unit(const stream &s, int unit, raw_unit &raw)
{
    constexpr int loads = chunk_loads<dtype>();
    const uint8_t *data = s.data + (int64_t)uniform_here(unit) * (unit_chunks<dtype>() * chunk_bytes<dtype>());
    int left = s.chunks - unit * unit_chunks<dtype>();
    unsigned at = offset_here(16 * loads * lane_id());
#pragma unroll
    for (int i = 0; i < UNIT_LOADS; i++) {
        int chunk = i / loads < left ? i / loads * chunk_bytes<dtype>() : 0;
        raw.part[i] = load_once(data + uniform_here(chunk) + at + 16 * (i % loads));
    }
    raw.scale = 1;
    if (s.blocks)
        raw.scale = s.scale[uniform_here(unit) * 16 + (lane_id() & 15)];
}

template <int dtype> DEVICE float dot(v4u w, v4u x, float sum)
{
    for (int i = 0; i < 4; i++) {
        unsigned a = w[i], b = x[i];
        if (dtype == ASH_F32)
            sum += __builtin_bit_cast(float, a) * __builtin_bit_cast(float, b);
        else
        if (dtype == ASH_F8_E4M3)
            sum = dot4_e4m3(a, b, sum);
        else if (dtype == ASH_F16)
            sum = dot2_f16(__builtin_bit_cast(v2h, a), __builtin_bit_cast(v2h, b), sum);
        else
            sum = dot2_bf16(__builtin_bit_cast(v2s, a), __builtin_bit_cast(v2s, b), sum);
    }
    return sum;
}

template <int dtype, int tokens> DEVICE void multiply_unit(const raw_unit &raw, const uint8_t *x, float acc[tokens])
{
    constexpr int loads = chunk_loads<dtype>();
    const int token_bytes = slab_tiles<dtype, tokens>() * tile_chunks<dtype>() * input_bytes<dtype>();
#pragma unroll
    for (int t = 0; t < tokens; t++) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < UNIT_LOADS; i++) {
            int at = i / loads * input_bytes<dtype>() + i % loads * 16;
            sum = dot<dtype>(raw.part[i], load<v4u>(x + t * token_bytes + at), sum);
        }
        acc[t] = sum_here(acc[t] + sum * raw.scale);
    }
}

/* The whole of workgroup `group`, for the tokens from `first_token` on that there is room for. */
template <int dtype, int tokens>
DEVICE void decode_plain(const ash_gfx_decode &a, uint8_t *lds, int group, int first_token = 0)
{
    const int slab = slab_tiles<dtype, tokens>(), units_of_tile = tile_chunks<dtype>() / unit_chunks<dtype>();
    const int tile_bytes = tile_chunks<dtype>() * input_bytes<dtype>();
    static_assert(SUMS_AT(tokens) >= SUMS(tokens) * 4, "sums lie where inputs lay");
    int wave = wave_id(), lane = lane_id(), cols = (int)a.cols, tiles = (cols + TILE_COLS - 1) / TILE_COLS;
    place at = find_place(a, wave & 1, group);
    bool blocks = dtype == ASH_F8_E4M3 && a.part[at.part].scale_kind == 3; /* ASH_SCALE_BLOCK128 */
    int64_t first_scale = blocks ? (int64_t)at.panel * ((cols + 127) / 128) * 16 : 0;
    int chunks = (cols + chunk_cols<dtype>() - 1) / chunk_cols<dtype>();
    stream s = { panel_data(a, at), a.part[at.part].scale + first_scale, blocks, chunks, 0 };
    if (at.there)
        s.units = (s.chunks + unit_chunks<dtype>() - 1) / unit_chunks<dtype>();
    int unit = wave / 2;
    raw_unit raw;
    if (unit < s.units)
        load_unit<dtype>(s, unit, raw);
    float acc[tokens] = {}, *sums = (float *)(lds + SUMS_AT(tokens)), input_scale = a.part[at.part].input_scale;
    add_squares<tokens>(a, sums, first_token);
    if (dtype == ASH_F8_E4M3 && !(input_scale > 0)) {
        barrier();
        find_largest<tokens>(a, sums);
    }
    for (int first = 0; first < tiles; first += slab) {
        int end = first + slab < tiles ? first + slab : tiles;
        barrier(); /* the last reads of what lay there */
#pragma nounroll
        for (int t = 0; t < tokens; t++) {
            const float *row = token_row(a, first_token + t);
            float factor = norm_factor(a, sums, t);
            float scale = dtype == ASH_F8_E4M3 ? token_scale(input_scale, sums, t) : 1;
#pragma nounroll
            for (int tile = first + wave; tile < end; tile += WAVES)
                round_plain<dtype>(read_normalized(a, row, tile * TILE_COLS + 8 * lane, factor), scale,
                                   lds + uniform_here((t * slab + tile - first) * tile_bytes));
        }
        barrier();
        int last = end * units_of_tile < s.units ? end * units_of_tile : s.units;
        for (; unit < last; unit += SLOTS) {
            raw_unit now = raw;
            if (unit + SLOTS < s.units)
                load_unit<dtype>(s, unit + SLOTS, raw);
            keep_order();
            const uint8_t *x = lds + uniform_here((unit - first * units_of_tile) * (tile_bytes / units_of_tile));
            multiply_unit<dtype, tokens>(now, x + lane / 16 * (input_bytes<dtype>() / 2), acc);
        }
    }
    barrier();
    float value = sum_waves<tokens>((float *)lds, acc);
    if (dtype == ASH_F8_E4M3) {
        place own = find_place(a, lane / 16, group);
        const ash_gfx_part &part = a.part[own.part];
        if (wave < tokens)
            value *= token_scale(input_scale, sums, wave);
        if (part.scale_kind == 1) /* ASH_SCALE_TENSOR */
            value *= part.scale[0];
        else if (part.scale_kind == 2 && own.there) /* ASH_SCALE_ROW */
            value *= part.scale[own.panel * 16 + (lane & 15)];
    }
    write_outputs(a, value, group, first_token);
}

#endif
