/* Reading the tiles of the quantized types: scales, and codes in two orders. Include a tiles_vec_*.h first.
 *
 * Every type is w = s * q - m with unsigned codes q, and s and m constant over 32 (Q6_K: 16) columns of a row. Types
 * whose code has an offset instead of a minimum have m = offset * s; their users take the offset off in integers.
 * Functions take the type as a constant and are inlined, so that nothing of the choice is left in the code.
 */
#ifndef ASHLAR_KERNELS_TILES_QUANT_H
#define ASHLAR_KERNELS_TILES_QUANT_H

#include "kernels/kernels.h"

INLINE int q_has_min(ash_dtype t) { return t == ASH_Q4_1 || t == ASH_Q5_1 || t == ASH_Q4_K || t == ASH_Q5_K; }
INLINE int q_high_bits(ash_dtype t)
{
    return t == ASH_Q6_K ? 2 : t == ASH_Q5_0 || t == ASH_Q5_1 || t == ASH_Q5_K ? 1 : 0;
}
/* 0 for types with minimums */
INLINE int q_offset(ash_dtype t)
{
    return t == ASH_Q4_0 ? 8 : t == ASH_Q5_0 ? 16 : t == ASH_Q6_K ? 32 : t == ASH_Q8_0 ? 128 : 0;
}
/* columns of one scale */
INLINE int q_scale_cols(ash_dtype t) { return t == ASH_Q6_K ? 16 : 32; }
INLINE int q_header_bytes(ash_dtype t) { return t == ASH_Q6_K ? 288 : t == ASH_Q4_1 || t == ASH_Q5_1 ? 512 : 256; }
/* of 64 columns; two chunks of Q8_0 */
INLINE int q_group_bytes(ash_dtype t) { return t == ASH_Q8_0 ? 1024 : 512 + 128 * q_high_bits(t); }
#define Q_TILE_COLS 256
INLINE int64_t q_tile_bytes(ash_dtype t) { return q_header_bytes(t) + Q_TILE_COLS / 64 * q_group_bytes(t); }

/* The scales of VR rows of a tile, in sigma order. */
typedef struct tile_scales {
    float ALIGNED s[Q_TILE_COLS / 16][VR]; /* of each q_scale_cols columns */
    float m[Q_TILE_COLS / 32][VR]; /* types with minimums alone */
} tile_scales;

/* The same of Q6_K with its factors apart: scale j is s[j] * d. */
typedef struct whole_scales {
    int32_t ALIGNED s[Q_TILE_COLS / 16][VR]; /* of each 16 columns; |s| <= 128 */
    float d[VR];
} whole_scales;

/* Transposes words within each 16 byte lane: word j of v[i] and word i of v[j] change places. */
INLINE void v_transpose4(vi v[4])
{
    vi a = v_unpack_lo32(v[0], v[1]), b = v_unpack_hi32(v[0], v[1]);
    vi c = v_unpack_lo32(v[2], v[3]), d = v_unpack_hi32(v[2], v[3]);
    v[0] = v_unpack_lo64(a, c);
    v[1] = v_unpack_hi64(a, c);
    v[2] = v_unpack_lo64(b, d);
    v[3] = v_unpack_hi64(b, d);
}

/* 16 bytes of each of VR rows: word j of every row, in sigma order, in v[j]. */
INLINE void load_rows16(const uint8_t *p, vi v[4])
{
    v[0] = v_load(p);
    v[1] = v_load(p + VB);
    v[2] = v_load(p + 2 * VB);
    v[3] = v_load(p + 3 * VB);
    v_transpose4(v);
}

INLINE void store_half_pairs(const vi v[4], float out[][VR])
{
#define PAIR(j)                                                        \
    vf_store(out[2 * (j)], vf_of_half_words(v[j]));                    \
    vf_store(out[2 * (j) + 1], vf_of_half_words(v_srl32(v[j], 16)))
    PAIR(0);
    PAIR(1);
    PAIR(2);
    PAIR(3);
#undef PAIR
}

/* unit * each of the 4 bytes of every word */
INLINE void store_scaled_bytes(vi bytes, vf unit, float out[][VR])
{
    vi mask = v_set32(0xff);
    vf_store(out[0], vf_mul(unit, vf_of_ints(v_and(bytes, mask))));
    vf_store(out[1], vf_mul(unit, vf_of_ints(v_and(v_srl32(bytes, 8), mask))));
    vf_store(out[2], vf_mul(unit, vf_of_ints(v_and(v_srl32(bytes, 16), mask))));
    vf_store(out[3], vf_mul(unit, vf_of_ints(v_srl32(bytes, 24))));
}

INLINE void store_scaled_signed_bytes(vi bytes, vf unit, float out[][VR])
{
    vf_store(out[0], vf_mul(unit, vf_of_ints(v_sra32(v_sll32(bytes, 24), 24))));
    vf_store(out[1], vf_mul(unit, vf_of_ints(v_sra32(v_sll32(bytes, 16), 24))));
    vf_store(out[2], vf_mul(unit, vf_of_ints(v_sra32(v_sll32(bytes, 8), 24))));
    vf_store(out[3], vf_mul(unit, vf_of_ints(v_sra32(bytes, 24))));
}

/* Q4_K and Q5_K: 6-bit scales and minimums of sub-blocks 0 .. 3 and 4 .. 7, bytes, from load_rows16 of a header. */
INLINE void split_k_scales(const vi v[4], vi scales[2], vi mins[2])
{
    vi six = v_set8(0x3f), low = v_set8(0x0f), high = v_set8(0x30);
    scales[0] = v_and(v[1], six);
    scales[1] = v_and_or(v_srl32(v[1], 2), high, v_and(v[3], low));
    mins[0] = v_and(v[2], six);
    mins[1] = v_and_or(v_srl32(v[2], 2), high, v_and(v_srl32(v[3], 4), low));
}

/* All products are exact: 11 bits of d times at most 8 of a sub-block's scale. */
INLINE void read_scales(const ash_dtype type, const uint8_t *header, int row_vector, tile_scales *out)
{
    vi v[4];
    load_rows16(header + 16 * VR * row_vector, v);
    if (type == ASH_Q4_K || type == ASH_Q5_K) {
        vf d = vf_of_half_words(v[0]), dmin = vf_of_half_words(v_srl32(v[0], 16));
        vi scales[2], mins[2];
        split_k_scales(v, scales, mins);
        store_scaled_bytes(scales[0], d, out->s);
        store_scaled_bytes(scales[1], d, out->s + 4);
        store_scaled_bytes(mins[0], dmin, out->m);
        store_scaled_bytes(mins[1], dmin, out->m + 4);
    } else if (type == ASH_Q6_K) {
        vf d = vf_to_sigma(vf_of_halves(header + 256 + 2 * VR * row_vector));
        store_scaled_signed_bytes(v[0], d, out->s);
        store_scaled_signed_bytes(v[1], d, out->s + 4);
        store_scaled_signed_bytes(v[2], d, out->s + 8);
        store_scaled_signed_bytes(v[3], d, out->s + 12);
    } else {
        store_half_pairs(v, out->s);
        if (q_has_min(type)) { /* stored as w = d q + m */
            load_rows16(header + 256 + 16 * VR * row_vector, v);
            vi signs = v_set16(0x8000);
            for (int j = 0; j < 4; j++)
                v[j] = v_xor(v[j], signs);
            store_half_pairs(v, out->m);
        }
    }
}

/* Q6_K */
INLINE void read_whole_scales(const uint8_t *header, int row_vector, whole_scales *out)
{
    vi v[4];
    load_rows16(header + 16 * VR * row_vector, v);
    vf_store(out->d, vf_to_sigma(vf_of_halves(header + 256 + 2 * VR * row_vector)));
    for (int j = 0; j < 4; j++) {
        v_store(out->s[4 * j], v_sra32(v_sll32(v[j], 24), 24));
        v_store(out->s[4 * j + 1], v_sra32(v_sll32(v[j], 16), 24));
        v_store(out->s[4 * j + 2], v_sra32(v_sll32(v[j], 8), 24));
        v_store(out->s[4 * j + 3], v_sra32(v[j], 24));
    }
}

/* ---- codes, rows in lanes: codes[VB * k4 ..] has columns 4 k4 .. + 3 of VR rows in sigma order, for dot products
 * with 4 activations spread to every word. ---- */

/* 64 columns of any type but Q8_0. */
INLINE void unpack_group(const ash_dtype type, const uint8_t *chunk, int row_vector, uint8_t *codes)
{
    const int bits = q_high_bits(type);
    vi low = v_set8(0x0f), bit4 = v_set8(0x10), bits45 = v_set8(0x30);
    for (int h = 0; h < 2; h++) { /* columns 16 s + 8 h .. + 7 */
        int lane = 16 * h + VR * row_vector;
        vi v[4], even = v_zero(), odd = even; /* words of higher bits of steps 0, 1 and of steps 2, 3 */
        load_rows16(chunk + 16 * lane, v);
        if (bits == 1)
            even = odd = v_to_sigma(v_load(chunk + 512 + 4 * lane));
        if (bits == 2) {
            vi a = v_load(chunk + 512 + 8 * lane), b = v_load(chunk + 512 + 8 * lane + VB);
            even = v_pairs_to_sigma(a, b, 0);
            odd = v_pairs_to_sigma(a, b, 1);
        }
        uint8_t *to = codes + 2 * VB * h;
#define STEP(s, one_first, one_second, two_first, two_second)                            \
    do {                                                                                 \
        vi first = v_and(v[s], low), second = v_and(v_srl32(v[s], 4), low);              \
        vi more = (s) < 2 ? even : odd;                                                  \
        if (bits == 1) {                                                                 \
            first = v_and_or(one_first(more), bit4, first);                              \
            second = v_and_or(one_second(more), bit4, second);                           \
        }                                                                                \
        if (bits == 2) {                                                                 \
            first = v_and_or(two_first(more), bits45, first);                            \
            second = v_and_or(two_second(more), bits45, second);                         \
        }                                                                                \
        v_store(to + 4 * VB * (s), first);                                               \
        v_store(to + 4 * VB * (s) + VB, second);                                         \
    } while (0)
#define UP(n) UP##n
#define UP4(w) v_sll32(w, 4)
#define UP3(w) v_sll32(w, 3)
#define UP2(w) v_sll32(w, 2)
#define UP1(w) v_sll32(w, 1)
#define SAME(w) (w)
#define DOWN1(w) v_srl32(w, 1)
#define DOWN2(w) v_srl32(w, 2)
#define DOWN3(w) v_srl32(w, 3)
        /* one bit: bit 2 s + j of each byte goes to bit 4; two: bit 4 (s & 1) + 2 j */
        STEP(0, UP4, UP3, UP4, UP2);
        STEP(1, UP2, UP1, SAME, DOWN2);
        STEP(2, SAME, DOWN1, UP4, UP2);
        STEP(3, DOWN2, DOWN3, SAME, DOWN2);
#undef STEP
#undef UP
#undef UP4
#undef UP3
#undef UP2
#undef UP1
#undef SAME
#undef DOWN1
#undef DOWN2
#undef DOWN3
    }
}

/* 32 columns of Q8_0; `flip` 0x80 makes codes unsigned, 0 leaves them signed. */
INLINE void unpack_q8_0(const uint8_t *chunk, int row_vector, int flip, uint8_t *codes)
{
    vi sign = v_set8(flip);
    for (int h = 0; h < 2; h++) {
        vi v[4]; /* words: columns 8 h, 8 h + 4, 16 + 8 h, 16 + 8 h + 4 */
        load_rows16(chunk + 16 * (16 * h + VR * row_vector), v);
        uint8_t *to = codes + 2 * VB * h;
        v_store(to, v_xor(v[0], sign));
        v_store(to + VB, v_xor(v[1], sign));
        v_store(to + 4 * VB, v_xor(v[2], sign));
        v_store(to + 5 * VB, v_xor(v[3], sign));
    }
}

/* `cols` columns (a multiple of 64, for Q8_0 of 32) from the start of a tile, whose chunks begin at `chunk`. */
INLINE void unpack_codes(const ash_dtype type, const uint8_t *chunk, int cols, int row_vector, int flip, uint8_t *codes)
{
    if (type == ASH_Q8_0) {
        for (int k = 0; k < cols; k += 32)
            unpack_q8_0(chunk + 16 * k, row_vector, flip, codes + VB / 4 * k);
    } else {
        for (int k = 0; k < cols; k += 64)
            unpack_group(type, chunk + q_group_bytes(type) / 64 * k, row_vector, codes + VB / 4 * k);
    }
}

/* ---- codes as they lie: 16 bytes a row, VB / 16 rows; word s of a row has columns of step s ---- */

/* Unit g of a row vector, 64 columns of any type but Q8_0. q[2 h + j], byte 4 s + b: column 16 s + 8 h + 4 j + b. */
INLINE void load_unit(const ash_dtype type, const uint8_t *chunk, int row_vector, int g, vi q[4])
{
    vi low = v_set8(0x0f);
    int row = VR * row_vector + VB / 16 * g;
    vi a = v_load(chunk + 16 * row), b = v_load(chunk + 256 + 16 * row);
    q[0] = v_and(a, low);
    q[1] = v_and(v_srl32(a, 4), low);
    q[2] = v_and(b, low);
    q[3] = v_and(v_srl32(b, 4), low);
    if (q_high_bits(type) == 1) {
        vi first = v_lane_words(chunk + 512 + 4 * row), second = v_lane_words(chunk + 576 + 4 * row);
        q[0] = v_add_bit4(q[0], first, 0);
        q[1] = v_add_bit4(q[1], first, 1);
        q[2] = v_add_bit4(q[2], second, 0);
        q[3] = v_add_bit4(q[3], second, 1);
    }
    if (q_high_bits(type) == 2) {
        vi first = v_lane_pairs(chunk + 512 + 8 * row), second = v_lane_pairs(chunk + 640 + 8 * row);
        q[0] = v_add_bits45(q[0], first, 0);
        q[1] = v_add_bits45(q[1], first, 1);
        q[2] = v_add_bits45(q[2], second, 0);
        q[3] = v_add_bits45(q[3], second, 1);
    }
}

#endif
