/* Rows of the embedding matrix to floats: a lane takes the 8 columns that a lane of a tile holds (format/tile.h).
 * Every product here is exact in float and at most one sum rounds, so that contraction to FMA changes nothing. */
#include "format/container.h"
#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define THREADS 256

/* format/tile.h's table. high: bits of a code beyond its nibble, at chunk byte 512; offset: what codes count from. */
struct layout { int tile, chunk, header, bytes, high, offset; };

template <ash_dtype type> DEVICE constexpr layout layout_of(void)
{
    switch (type) {
    case ASH_F32: return { 16, 16, 0, 1024, 0, 0 };
    case ASH_F16: case ASH_BF16: return { 16, 16, 0, 512, 0, 0 };
    case ASH_F8_E4M3: return { 32, 32, 0, 512, 0, 0 };
    case ASH_Q8_0: return { 256, 32, 256, 512, 0, 0 };
    case ASH_Q4_0: return { 256, 64, 256, 512, 0, 8 };
    case ASH_Q4_1: return { 256, 64, 512, 512, 0, 0 };
    case ASH_Q5_0: return { 256, 64, 256, 640, 1, 16 };
    case ASH_Q5_1: return { 256, 64, 512, 640, 1, 0 };
    case ASH_Q4_K: return { 256, 64, 256, 512, 0, 0 };
    case ASH_Q5_K: return { 256, 64, 256, 640, 1, 0 };
    default: return { 256, 64, 288, 768, 2, 32 }; /* Q6_K */
    }
}

DEVICE float half_at(const uint8_t *p) { return half_to_float(load<uint16_t>(p)); }

/* Code e of a lane's eight in step s: a nibble and the high bits. */
template <ash_dtype type> DEVICE int code_at(const uint8_t *chunk, int lane, int s, int e)
{
    constexpr layout l = layout_of<type>();
    int j = e / 4, b = e % 4;
    int code = load<unsigned>(chunk + 16 * lane + 4 * s) >> (8 * b + 4 * j) & 15;
    if constexpr (l.high == 1)
        code |= (load<unsigned>(chunk + 512 + 4 * lane) >> (8 * b + 2 * s + j) & 1) << 4;
    if constexpr (l.high == 2)
        code |= (load<unsigned>(chunk + 512 + 8 * lane + 4 * (s / 2)) >> (8 * b + 4 * (s & 1) + 2 * j) & 3) << 4;
    return code - l.offset;
}

/* weight = scale * code + min, for row r and the 16 columns from c of a tile. */
template <ash_dtype type> DEVICE v2f scale_and_min(const uint8_t *header, int r, int c)
{
    if constexpr (type == ASH_Q6_K)
        return v2f{ half_at(header + 256 + 2 * r) * (float)load<int8_t>(header + 16 * r + c / 16), 0 };
    header += 16 * r;
    if constexpr (type == ASH_Q4_K || type == ASH_Q5_K) {
        int by = c / 32 * 8 & 24; /* byte c / 32 & 3 of three words */
        unsigned first = load<unsigned>(header + 4) >> by, second = load<unsigned>(header + 8) >> by;
        unsigned third = load<unsigned>(header + 12) >> by;
        unsigned sc = c < 128 ? first & 63 : (third & 15) | (first >> 2 & 48);
        unsigned mn = c < 128 ? second & 63 : (third >> 4 & 15) | (second >> 2 & 48);
        return v2f{ half_at(header) * (float)sc, -(half_at(header + 2) * (float)mn) };
    }
    header += c / 32 * 2;
    return v2f{ half_at(header), type == ASH_Q4_1 || type == ASH_Q5_1 ? half_at(header + 256) : 0 };
}

/* F8_E4M3: of the 8 columns from k. */
DEVICE float scale_of(const ash_gfx_embed &a, int row, int k)
{
    unsigned kind = a.table.scale_kind;
    int block = row / 16 * (((int)a.cols + 127) / 128) + k / 128;
    return a.table.scale[kind == ASH_SCALE_BLOCK128 ? block * 16 + row % 16 : kind == ASH_SCALE_ROW ? row : 0];
}

/* Columns k .. k + 7, k a multiple of 8. */
template <ash_dtype type> DEVICE v8f eight_at(const ash_gfx_embed &a, int row, int k)
{
    constexpr layout l = layout_of<type>();
    constexpr int tile_bytes = l.header + l.tile / l.chunk * l.bytes;
    const uint8_t *header = a.table.data + (uint64_t)(row / 16) * a.table.panel_bytes + k / l.tile * tile_bytes;
    const uint8_t *chunk = header + l.header + k % l.tile / l.chunk * l.bytes;
    int r = row % 16, lane = r + 16 * (k / 8 & 1), s = k % l.chunk / 16;
    v8f out;
    if constexpr (type == ASH_F32) {
        out.lo = load<v4f>(chunk + 32 * lane);
        out.hi = load<v4f>(chunk + 32 * lane + 16);
    }
    if constexpr (type == ASH_F16 || type == ASH_BF16)
        for (int e = 0; e < 8; e++) {
            unsigned bits = load<uint16_t>(chunk + 16 * lane + 2 * e);
            out[e] = type == ASH_F16 ? half_to_float(bits) : bf16_to_float(bits);
        }
    if constexpr (type == ASH_F8_E4M3) {
        v2u bytes = load<v2u>(chunk + 16 * lane + 8 * s);
        float scale = scale_of(a, row, k);
        unsigned low = bytes[0], high = bytes[1];
        out = v8f{ from_e4m3<0>(low), from_e4m3<1>(low), from_e4m3<2>(low), from_e4m3<3>(low), from_e4m3<0>(high),
                   from_e4m3<1>(high), from_e4m3<2>(high), from_e4m3<3>(high) } * scale;
    }
    if constexpr (l.tile == 256) {
        v2f by = scale_and_min<type>(header, r, k % 256);
        for (int e = 0; e < 8; e++) {
            int code;
            if constexpr (type == ASH_Q8_0)
                code = (int)(load<unsigned>(chunk + 16 * lane + 8 * s + e / 4 * 4) << (24 - e % 4 * 8)) >> 24;
            else
                code = code_at<type>(chunk, lane, s, e);
            out[e] = by[0] * (float)code;
            if constexpr (type == ASH_Q4_1 || type == ASH_Q5_1 || type == ASH_Q4_K || type == ASH_Q5_K)
                out[e] += by[1];
        }
    }
    return out;
}

template <ash_dtype type> DEVICE void embed(const ash_gfx_embed &a)
{
    int t = group_x(), k = ASH_GFX_EMBED_COLS * group_y() + 8 * thread_id(), cols = (int)a.cols;
    if (k >= (cols + 63) / 64 * 64)
        return;
    int id = a.step->ids[t], last = (int)a.rows - 1;
    v8f x = { };
    if (k < cols) /* types with minimums have whole blocks of columns, in others what lies beyond cols is zero */
        x = eight_at<type>(a, id < 0 ? 0 : id > last ? last : id, k);
    float *to = a.x + (uint64_t)t * a.x_stride + k;
    store(to, x.lo);
    store(to + 4, x.hi);
}

/* Workgroups: tokens by cols / ASH_GFX_EMBED_COLS, rounded up. */
#define EMBED(name, type) KERNEL(THREADS) void ash_embed_##name(ash_gfx_embed a) { embed<type>(a); }
EMBED(f32, ASH_F32)
EMBED(f16, ASH_F16)
EMBED(bf16, ASH_BF16)
EMBED(f8_e4m3, ASH_F8_E4M3)
EMBED(q4_0, ASH_Q4_0)
EMBED(q4_1, ASH_Q4_1)
EMBED(q5_0, ASH_Q5_0)
EMBED(q5_1, ASH_Q5_1)
EMBED(q8_0, ASH_Q8_0)
EMBED(q4_k, ASH_Q4_K)
EMBED(q5_k, ASH_Q5_K)
EMBED(q6_k, ASH_Q6_K)
