/* Blocks of MATMUL_Q8's second form with dpbusd, for prompts: weights of types with minimums and of Q6_K become int8
 * with one scale for a row of a tile, as kernels/requant.h rounds them, once for all tokens.
 *
 * A tile's sum is then scale * sum of dx * dot over groups of 32 columns: for 16 rows, 256 columns and a token 64
 * dpbusd, 8 FMAs and one for the scale, which share two units on Zen 4 and 5: 64 of 73 count. With the types' own scales
 * and minimums 24 products of floats (block_whole: and of whole numbers) come beside them: 64 of 88. What rounding a
 * tile costs, some 220 cycles of Zen 5 beside the 250 of its unpacking, is made up for by 33 tokens (ASH_Q8_ROUNDS_FROM).
 * Where a tile of activations has one scale too (block_wide), 2 products are left: 64 of 66; and one conversion of 8, which
 * takes the same units on Intel's: there a block of 8 tokens multiplies at 97% of what a loop of dpbusd alone does. Both
 * rows of fine ones are one sum: 128 of 130.
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_ROUNDED_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_ROUNDED_H

#include "kernels/requant.h"

_Static_assert(Q_TILE_COLS == ASH_REQUANT_MAX, "a tile has one scale a row");
_Static_assert(Q_TILE_COLS == ASH_Q8_WIDE && SLAB_COLS % ASH_Q8_WIDE == 0, "and wide activations one a tile");

INLINE void block_rounded(const int V, const int T, const block_scratch *b, int groups, const int8_t *x,
                          int64_t x_stride, const x_part *parts, int64_t part_stride, float *sums)
{
    enum { CAP = BLOCK_VECTORS * BLOCK_TOKENS };
    vf tile[CAP];
#pragma GCC unroll 12
    for (int i = 0; i < V * T; i++)
        tile[i] = vf_zero();
    const uint8_t *codes = b->codes[0];
    for (int g = 0; g < groups; g++, x += 32, parts++, codes += 8 * VB) {
        vi dot[CAP];
#pragma GCC unroll 12
        for (int i = 0; i < V * T; i++)
            dot[i] = v_spread4(&parts[i / V * part_stride].of.start);
        add_words(V, T, 0, 8, codes, x, x_stride, dot);
#pragma GCC unroll 12
        for (int i = 0; i < V * T; i++)
            tile[i] = vf_fma(vf_of_ints(dot[i]), vf_set(parts[i / V * part_stride].scale), tile[i]);
    }
    add_tile(V, T, tile, b->of.row[0], VR, sums);
}

/* The same where a tile of activations has one scale: integers are summed over all of it, below 2^22. fine: the upper
 * rows' sum times 256 and the lower ones', below 2^30, and on the way 256 * 255 * 127 * 256 < 2^31. */
INLINE void block_wide(const int fine, const int V, const int T, const block_scratch *b, int groups, const int8_t *x,
                       int64_t x_stride, const x_part *parts, int64_t part_stride, float *sums)
{
    enum { CAP = BLOCK_VECTORS * WIDE_TOKENS };
    vi dot[CAP];
    vf tile[CAP];
#pragma GCC unroll 16
    for (int i = 0; i < V * T; i++)
        dot[i] = fine ? v_zero() : v_spread4(&parts[i / V * part_stride].of.start);
    const uint8_t *codes = b->codes[0];
    for (int g = 0; g < groups; g++)
        add_words(V, T, 0, 8, codes + 8 * VB * g, x + 32 * g, x_stride, dot);
    if (fine) {
#pragma GCC unroll 16
        for (int i = 0; i < V * T; i++)
            dot[i] = v_add32(v_sll32(dot[i], 8), v_spread4(&parts[i / V * part_stride].of.start));
        for (int g = 0; g < groups; g++)
            add_words(V, T, 0, 8, codes + 8 * VB * g, x + b->to_lower + 32 * g, x_stride, dot);
    }
#pragma GCC unroll 16
    for (int i = 0; i < V * T; i++)
        tile[i] = vf_mul(vf_of_ints(dot[i]), vf_set(parts[i / V * part_stride].scale));
    add_tile(V, T, tile, b->of.row[0], VR, sums);
}

/* a b to the nearest whole number, ties to even, from the exact product; |a b| < 2^22. */
INLINE vi v_rounded_product(vf a, vf b)
{
    vf shift = vf_set(0x1.8p23f);
    return v_sub32(v_cast(vf_fma(a, b, shift)), v_cast(shift));
}

/* A word's lower 16 bits to both its halves. */
INLINE vi v_both_halves(vi a) { return v_or(v_and(a, v_set32(0xffff)), v_sll32(a, 16)); }

/* The first `cols` columns of VR rows of a tile. codes: as unpack_codes leaves them; here they become int8 + 128, the
 * products taken modulo 2^16, which the result fits. */
INLINE void round_codes(const ash_dtype type, const tile_scales *from, int cols, uint8_t *codes, float *row)
{
    const int each = q_scale_cols(type);
    vf most = vf_zero(), nan = vf_zero();
    for (int j = 0; j < Q_TILE_COLS / each; j++) {
        vf s = vf_load(from->s[j]);
        nan = vf_fma(s, vf_zero(), nan);
        if (q_has_min(type)) {
            vf m = vf_load(from->m[j]), codes_less_1 = vf_set(q_high_bits(type) ? 31 : 15);
            nan = vf_fma(m, vf_zero(), nan);
            most = vf_max(vf_magnitude(m), most);
            most = vf_max(vf_magnitude(vf_fms(codes_less_1, s, m)), most);
        } else {
            most = vf_max(vf_magnitude(s), most);
        }
    }
    if (!q_has_min(type))
        most = vf_mul(most, vf_set((float)q_offset(type)));
    vf_store(row, vf_add(vf_mul(most, vf_set(1.0f / 127)), nan));
    vf inverse = vf_mul(vf_div(vf_set(1), vf_max(most, vf_set(0x1p-40f))), vf_set(32512));
    vi bytes = v_set32(0x00ff00ff), half_and_flip = v_set32(0x8080);
    for (int j = 0; j * each < cols; j++) {
        vi a = v_rounded_product(vf_load(from->s[j]), inverse);
        vi less = q_has_min(type) ? v_rounded_product(vf_load(from->m[j]), inverse)
                                  : v_mul32(a, v_set32(q_offset(type)));
        vi b = v_both_halves(v_sub32(half_and_flip, less));
        a = v_both_halves(a);
#pragma GCC unroll 4
        for (int i = 0; i < each / 4; i++, codes += VB) {
            vi q = v_load(codes);
            vi even = v_add16(v_mul16(v_and(q, bytes), a), b);
            vi odd = v_add16(v_mul16(v_and(v_srl32(q, 8), bytes), a), b);
            v_store(codes, v_and_or(v_srl32(even, 8), bytes, v_andnot(bytes, odd)));
        }
    }
}

#endif
