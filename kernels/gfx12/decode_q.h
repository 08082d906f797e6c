/* Decoding with the Q types: int8 inputs with a scale for 32 columns, 8-bit dot products, sums of 32 columns in
 * integers.
 *
 * Local memory has for each token and 64 columns a record for each half h of a wave, 48 bytes that a lane reads with
 * three loads: 32 codes (4 steps of 8: columns 16 s + 8 h ..), then {scale, scale * sum of the codes of this half} of
 * either 32 columns, so that a minimum costs one multiplication and addition.
 *
 * A wave keeps one tile of weights in registers. A chunk's registers are loaded with the next tile's as soon as its
 * codes are out of them, so that nearly a tile is on its way at any time: 8 to 12 waves a SIMD ask for more than 2 MB
 * at once.
 *
 * Issue cycles a weight and lane at 4096 columns, norm and rounding (0.5 a token) included, and the budget at which
 * memory stops being the bound (380 G instructions a second against 620 GB/s):
 *   tokens   Q4_K  Q5_K  Q6_K  Q4_0  Q4_1  Q5_0  Q5_1  Q8_0
 *   1         2.1   2.7   2.6   2.0   1.8   2.6   2.3   1.5
 *   8         9.8  10.4  10.7   9.2   9.4   9.8   9.9   8.7
 *   budget   11.0  13.5  16.1  11.0  12.3  13.5  14.7  20.8
 *
 * Codes of types with minimums are unsigned bytes. Types with an offset get their codes into the top bits of signed
 * bytes, where flipping the sign bit takes the offset off: 16 (q - 8), 8 (q - 16), 4 (q - 32); scales are divided by as
 * much.
 */
#ifndef ASHLAR_KERNELS_GFX12_DECODE_Q_H
#define ASHLAR_KERNELS_GFX12_DECODE_Q_H

#include "kernels/gfx12/decode.h"

#define CHUNKS 4                       /* of 64 columns: a tile */
#define HALF_BYTES 48
#define CHUNK_BYTES (2 * HALF_BYTES)
#define TILE_BYTES (CHUNKS * CHUNK_BYTES)

/* Tiles of inputs in local memory at once: at most 16 KB for 1 and 2 tokens, else 32. */
#define SLAB_TILES(tokens) ((tokens) == 1 ? 40 : (tokens) == 8 ? 8 : 20)

/* ---- inputs ---- */

#define Q8_TINY 0x1p-100f /* ASH_Q8_TINY, _HUGE of kernels.h */
#define Q8_HUGE 0x1.fffffep127f
#define INTEGER 12582912.0f /* 3 * 2^22: adding it rounds to the nearest integer, even, which the low bits then are */

DEVICE unsigned low_bytes(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return choose_bytes(b, a, 0x0c0c0400) | choose_bytes(d, c, 0x0c0c0400) << 16;
}

/* Eight columns a lane, as ash_quantize_q8_fn has it, into the records of a tile. Whole wave. */
DEVICE void round_q8(v8f x, uint8_t *tile)
{
    unsigned bits = 0, code[8];
    for (int i = 0; i < 8; i++) {
        float value = x[i];
        unsigned body = __builtin_bit_cast(unsigned, value) & 0x7fffffff; /* NaN is above infinity */
        bits = body > bits ? body : bits;
    }
    unsigned other = (unsigned)from_xor<1>((int)bits);
    bits = other > bits ? other : bits;
    other = (unsigned)from_xor<2>((int)bits);
    bits = other > bits ? other : bits;
    float max = __builtin_bit_cast(float, bits);
    bool fits = max >= Q8_TINY && max <= Q8_HUGE;
    float scale = fits ? max / 127 : max < Q8_TINY ? 0 : __builtin_nanf("");
    float inverse = 127 / (fits ? max : 1);
    for (int i = 0; i < 8; i++) {
        /* The specification rounds the product too, which may make a tie of it. */
        float rounded = unfused(x[i] * inverse) + INTEGER;
        code[i] = __builtin_bit_cast(unsigned, rounded);
    }
    unsigned low = low_bytes(code[0], code[1], code[2], code[3]), high = low_bytes(code[4], code[5], code[6], code[7]);
    low = fits ? low : 0;
    high = fits ? high : 0;
    int sum = dot4_i8(low, 0x01010101, dot4_i8(high, 0x01010101, 0));
    sum += from_xor<2>(sum);
    int lane = lane_id();
    uint8_t *record = tile + lane / 8 * CHUNK_BYTES + (lane & 1) * HALF_BYTES;
    store<v2u>(record + (lane / 2 & 3) * 8, v2u{ low, high });
    if (!(lane & 2))
        store<v2f>(record + 32 + (lane / 4 & 1) * 8, v2f{ scale, scale * (float)sum });
}

/* ---- weights ---- */

/* A lane's part of a tile, in registers; a type leaves alone what it does not have. */
typedef struct raw_tile {
    v4u head, mins;        /* of its row */
    unsigned d;            /* Q6_K */
    v4u chunk[CHUNKS];     /* Q8_0: the first 32 columns of each 64 */
    v4u second[CHUNKS];    /* Q8_0: the others */
    v2u bits[CHUNKS];      /* Q5, Q6_K: bits 4 (and 5) */
} raw_tile;

template <int dtype> DEVICE constexpr int head_bytes(void)
{
    return dtype == ASH_Q4_1 || dtype == ASH_Q5_1 ? 512 : dtype == ASH_Q6_K ? 288 : 256;
}
template <int dtype> DEVICE constexpr int chunk_bytes(void) /* of 64 columns */
{
    return dtype == ASH_Q8_0 ? 1024 : dtype == ASH_Q6_K ? 768
         : dtype == ASH_Q5_0 || dtype == ASH_Q5_1 || dtype == ASH_Q5_K ? 640 : 512;
}
template <int dtype> DEVICE constexpr bool has_mins(void)
{
    return dtype == ASH_Q4_1 || dtype == ASH_Q5_1 || dtype == ASH_Q4_K || dtype == ASH_Q5_K;
}

template <int dtype> DEVICE void load_head(const uint8_t *tile, raw_tile &raw)
{
    unsigned at = offset_here(16 * (lane_id() & 15));
    raw.head = load_once(tile + at);
    if (dtype == ASH_Q4_1 || dtype == ASH_Q5_1)
        raw.mins = load_once(tile + 256 + at);
    if (dtype == ASH_Q6_K)
        raw.d = load<uint16_t>(tile + 256 + offset_here(2 * (lane_id() & 15)));
}

/* Chunk c; where the tile ends before it, the first one, which is there and of which the inputs are zero: so is what it
 * adds. `cols`: that the tile has. */
template <int dtype> DEVICE void load_chunk(const uint8_t *tile, int c, int cols, raw_tile &raw)
{
    const int step = chunk_bytes<dtype>();
    const uint8_t *chunk = tile + head_bytes<dtype>() + uniform_here(64 * c < cols ? c * step : 0);
    unsigned at = offset_here(16 * lane_id());
    raw.chunk[c] = load_once(chunk + at);
    if (dtype == ASH_Q8_0) {
        const uint8_t *second = tile + head_bytes<dtype>() + uniform_here(64 * c + 32 < cols ? c * step + 512 : 0);
        raw.second[c] = load_once(second + at);
    }
    if (dtype == ASH_Q5_0 || dtype == ASH_Q5_1 || dtype == ASH_Q5_K)
        raw.bits[c].x = load<unsigned>(chunk + 512 + offset_here(4 * lane_id()));
    if (dtype == ASH_Q6_K)
        raw.bits[c] = load<v2u>(chunk + 512 + offset_here(8 * lane_id()));
}

template <int dtype> DEVICE void load_tile(const uint8_t *tile, int cols, raw_tile &raw)
{
    load_head<dtype>(tile, raw);
    for (int c = 0; c < CHUNKS; c++)
        load_chunk<dtype>(tile, c, cols, raw);
}

/* A row's scales in a tile, ready for a chunk's to be taken out. */
typedef struct scales {
    v4u d, m;        /* block types: halves. K: bytes: scales 0 .. 3, 4 .. 7, in d; minimums in m. Q6_K: 16 bytes */
    float all, all_mins;
} scales;

template <int dtype> DEVICE scales unpack_head(const raw_tile &raw)
{
    scales s;
    s.d = raw.head;
    if (dtype == ASH_Q4_1 || dtype == ASH_Q5_1)
        s.m = raw.mins;
    if (dtype == ASH_Q4_K || dtype == ASH_Q5_K) {
        unsigned both = raw.head.x, a = raw.head.y, b = raw.head.z, c = raw.head.w;
        s.all = half_to_float(both & 0xffff);
        s.all_mins = -half_to_float(both >> 16);
        s.d.x = a & 0x3f3f3f3f;
        s.d.y = (a >> 2 & 0x30303030) | (c & 0x0f0f0f0f);
        s.m.x = b & 0x3f3f3f3f;
        s.m.y = (b >> 2 & 0x30303030) | (c >> 4 & 0x0f0f0f0f);
    }
    if (dtype == ASH_Q6_K)
        s.all = half_to_float(raw.d) * 0.25f;
    return s;
}

/* A chunk's codes as bytes: 4 steps of 8. */
typedef struct codes { unsigned w[8]; } codes;

template <int dtype> DEVICE codes unpack_codes(const raw_tile &raw, int c)
{
    codes q;
    unsigned high[2] = { raw.bits[c].x, raw.bits[c].y };
    if (dtype == ASH_Q5_0)
        high[0] = ~high[0];
    if (dtype == ASH_Q6_K)
        high[0] ^= 0xaaaaaaaa, high[1] ^= 0xaaaaaaaa;
#pragma unroll
    for (int s = 0; s < 4; s++) {
        unsigned w = raw.chunk[c][s], h = high[0], lo, hi;
        switch (dtype) {
        case ASH_Q4_0:
            w ^= 0x88888888;
            lo = w << 4 & 0xf0f0f0f0;
            hi = w & 0xf0f0f0f0;
            break;
        case ASH_Q5_0:
            lo = (w << 3 & 0x78787878) | (h << (7 - 2 * s) & 0x80808080);
            hi = (w >> 1 & 0x78787878) | (h << (6 - 2 * s) & 0x80808080);
            break;
        case ASH_Q5_1:
        case ASH_Q5_K:
            lo = (w & 0x0f0f0f0f) | ((s < 2 ? h << (4 - 2 * s) : h >> (2 * s - 4)) & 0x10101010);
            hi = (w >> 4 & 0x0f0f0f0f) | ((s < 2 ? h << (3 - 2 * s) : h >> (2 * s - 3)) & 0x10101010);
            break;
        case ASH_Q6_K:
            h = high[s / 2];
            lo = (w << 2 & 0x3c3c3c3c) | (h << (s & 1 ? 2 : 6) & 0xc0c0c0c0);
            hi = (w >> 2 & 0x3c3c3c3c) | (h << (s & 1 ? 0 : 4) & 0xc0c0c0c0);
            break;
        case ASH_Q8_0: {
            v4u from = s < 2 ? raw.chunk[c] : raw.second[c];
            lo = from[2 * s & 3];
            hi = from[(2 * s & 3) + 1];
            break;
        }
        default:
            lo = w & 0x0f0f0f0f;
            hi = w >> 4 & 0x0f0f0f0f;
            break;
        }
        q.w[2 * s] = lo;
        q.w[2 * s + 1] = hi;
    }
    return q;
}

/* What the columns of 32 columns `b` (0 to 7) of a tile are multiplied by, and their minimum. */
template <int dtype> DEVICE float scale_of(const scales &s, int b)
{
    if (dtype == ASH_Q4_K || dtype == ASH_Q5_K) {
        unsigned four = s.d[b / 4];
        return s.all * (float)(four >> 8 * (b & 3) & 255);
    }
    unsigned two = s.d[b / 2];
    float d = half_to_float(b & 1 ? two >> 16 : two & 0xffff);
    return dtype == ASH_Q4_0 ? d * 0.0625f : dtype == ASH_Q5_0 ? d * 0.125f : d;
}
template <int dtype> DEVICE float min_of(const scales &s, int b)
{
    if (dtype == ASH_Q4_K || dtype == ASH_Q5_K) {
        unsigned four = s.m[b / 4];
        return s.all_mins * (float)(four >> 8 * (b & 3) & 255);
    }
    unsigned two = s.m[b / 2];
    return half_to_float(b & 1 ? two >> 16 : two & 0xffff);
}

template <int dtype> DEVICE int dot4(unsigned w, unsigned x, int sum)
{
    return has_mins<dtype>() ? dot4_u8(w, x, sum) : dot4_i8(w, x, sum);
}

/* ---- products ---- */

/* acc += a tile times its columns of the inputs at `x`: the first record of this lane's half. Where next_cols is above
 * 0 the tile's registers are loaded with the one at `next`, which has so many columns. */
template <int dtype, int tokens>
DEVICE void multiply_tile(raw_tile &raw, const uint8_t *next, int next_cols, const uint8_t *x, float acc[tokens])
{
    const int token_bytes = SLAB_TILES(tokens) * TILE_BYTES;
    scales s = unpack_head<dtype>(raw);
    if (next_cols > 0)
        load_head<dtype>(next, raw);
    keep_order();
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        codes q = unpack_codes<dtype>(raw, c);
        if (next_cols > 0)
            load_chunk<dtype>(next, c, next_cols, raw);
        keep_order();
        float scale[2], min[2];
        int sub[4];
        unsigned four = s.d[c];
        for (int b = 0; b < 2 && dtype != ASH_Q6_K; b++) {
            scale[b] = scale_of<dtype>(s, 2 * c + b);
            min[b] = has_mins<dtype>() ? min_of<dtype>(s, 2 * c + b) : 0;
        }
        for (int g = 0; g < 4 && dtype == ASH_Q6_K; g++)
            sub[g] = (int)(four << (24 - 8 * g)) >> 24;
#pragma unroll
        for (int t = 0; t < tokens; t++) {
            const uint8_t *record = x + t * token_bytes + c * CHUNK_BYTES;
            v4u code[2] = { load<v4u>(record), load<v4u>(record + 16) };
            v4f by = load<v4f>(record + 32);
#pragma unroll
            for (int b = 0; b < 2; b++) {
                int sum;
                if (dtype == ASH_Q6_K) {
                    int first = dot4_i8(q.w[4 * b], code[b].x, dot4_i8(q.w[4 * b + 1], code[b].y, 0));
                    int second = dot4_i8(q.w[4 * b + 2], code[b].z, dot4_i8(q.w[4 * b + 3], code[b].w, 0));
                    sum = mad_24(second, sub[2 * b + 1], mad_24(first, sub[2 * b], 0));
                    acc[t] += (float)sum * by[2 * b] * s.all;
                    continue;
                }
                sum = dot4<dtype>(q.w[4 * b], code[b].x, dot4<dtype>(q.w[4 * b + 1], code[b].y, 0));
                sum = dot4<dtype>(q.w[4 * b + 2], code[b].z, dot4<dtype>(q.w[4 * b + 3], code[b].w, sum));
                acc[t] += (float)sum * by[2 * b] * scale[b];
                if (has_mins<dtype>())
                    acc[t] += by[2 * b + 1] * min[b];
            }
            acc[t] = sum_here(acc[t]);
            keep_order();
        }
    }
}

/* A wave's way through its panel. */
typedef struct walk {
    const uint8_t *data;
    int tile, tiles; /* the tile in registers; tiles: 0 where there is no panel */
    int cols;
} walk;

template <int dtype> DEVICE constexpr int tile_bytes(void)
{
    return head_bytes<dtype>() + CHUNKS * chunk_bytes<dtype>();
}

template <int dtype> DEVICE void begin(const walk &w, raw_tile &raw)
{
    load_tile<dtype>(w.data + w.tile * tile_bytes<dtype>(), w.cols - w.tile * TILE_COLS, raw);
}

/* The wave's tiles below `end`, inputs from tile `first` on lying at x. */
template <int dtype, int tokens>
DEVICE void multiply(walk &w, raw_tile &raw, int first, int end, const uint8_t *x, float acc[tokens])
{
    const uint8_t *mine = x + (lane_id() >> 4) * HALF_BYTES;
    for (; w.tile < end; w.tile += SLOTS) {
        int next = w.tile + SLOTS;
        const uint8_t *in = mine + uniform_here((w.tile - first) * TILE_BYTES);
        const uint8_t *data = w.data + uniform_here(next * tile_bytes<dtype>());
        multiply_tile<dtype, tokens>(raw, data, w.cols - next * TILE_COLS, in, acc);
    }
}

/* The whole of a workgroup. `lds`: LDS_BYTES(tokens). k: the types are Q4_K, Q5_K and Q6_K, else those of blocks. */
#define SLAB_BYTES(tokens) ((tokens) * SLAB_TILES(tokens) * TILE_BYTES)
#define LDS_BYTES(tokens) (SLAB_BYTES(tokens) + (tokens) * TOKEN_FLOATS * 4)
template <bool k, int tokens> DEVICE void decode_q(const ash_gfx_decode &a, uint8_t *lds)
{
    static_assert(SLAB_BYTES(tokens) >= SUMS(tokens) * 4, "sums lie where inputs lay");
    int wave = wave_id();
    place at = find_place(a, wave & 1, group_x());
    int dtype = (int)a.part[at.part].dtype, tiles = ((int)a.cols + TILE_COLS - 1) / TILE_COLS;
    walk w = { panel_data(a, at), wave / 2, at.there ? tiles : 0, (int)a.cols };
    raw_tile raw;
    if (w.tile < w.tiles) {
        if constexpr (k) {
            switch (dtype) {
            case ASH_Q4_K: begin<ASH_Q4_K>(w, raw); break;
            case ASH_Q5_K: begin<ASH_Q5_K>(w, raw); break;
            default: begin<ASH_Q6_K>(w, raw); break;
            }
        } else {
            switch (dtype) {
            case ASH_Q4_0: begin<ASH_Q4_0>(w, raw); break;
            case ASH_Q4_1: begin<ASH_Q4_1>(w, raw); break;
            case ASH_Q5_0: begin<ASH_Q5_0>(w, raw); break;
            case ASH_Q5_1: begin<ASH_Q5_1>(w, raw); break;
            default: begin<ASH_Q8_0>(w, raw); break;
            }
        }
    }
    float acc[tokens] = {}, *sums = (float *)(lds + SLAB_BYTES(tokens));
    add_squares<tokens>(a, sums);
    for (int first = 0; first < tiles; first += SLAB_TILES(tokens)) {
        int end = first + SLAB_TILES(tokens) < tiles ? first + SLAB_TILES(tokens) : tiles;
        barrier(); /* the last reads of what lay there */
#pragma nounroll
        for (int t = 0; t < tokens; t++) {
            const float *row = token_row(a, t);
            float factor = norm_factor(a, sums, t);
#pragma nounroll
            for (int tile = first + wave; tile < end; tile += WAVES)
                round_q8(read_normalized(a, row, tile * TILE_COLS + 8 * lane_id(), factor),
                         lds + uniform_here((t * SLAB_TILES(tokens) + tile - first) * TILE_BYTES));
        }
        barrier();
        int last = end < w.tiles ? end : w.tiles;
        if constexpr (k) {
            switch (dtype) {
            case ASH_Q4_K: multiply<ASH_Q4_K, tokens>(w, raw, first, last, lds, acc); break;
            case ASH_Q5_K: multiply<ASH_Q5_K, tokens>(w, raw, first, last, lds, acc); break;
            default: multiply<ASH_Q6_K, tokens>(w, raw, first, last, lds, acc); break;
            }
        } else {
            switch (dtype) {
            case ASH_Q4_0: multiply<ASH_Q4_0, tokens>(w, raw, first, last, lds, acc); break;
            case ASH_Q4_1: multiply<ASH_Q4_1, tokens>(w, raw, first, last, lds, acc); break;
            case ASH_Q5_0: multiply<ASH_Q5_0, tokens>(w, raw, first, last, lds, acc); break;
            case ASH_Q5_1: multiply<ASH_Q5_1, tokens>(w, raw, first, last, lds, acc); break;
            default: multiply<ASH_Q8_0, tokens>(w, raw, first, last, lds, acc); break;
            }
        }
    }
    barrier();
    write_outputs(a, sum_waves<tokens>((float *)lds, acc), group_x());
}

#endif
