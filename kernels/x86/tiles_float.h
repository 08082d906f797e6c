/* Reading weights as floats: tiles of F32, F16, BF16 and F8_E4M3 as they lie (2 or 1 rows x 8 columns a vector), and
 * tiles of every type turned to rows in lanes. Include a tiles_vec_*.h first.
 *
 * e4m3 becomes a half by moving its 7 bits up to bits 7 .. 13: exponent bias 7 against 15 makes that value / 256, with
 * denormals right, so scales are multiplied by 256. NaN has to be put back.
 */
#ifndef ASHLAR_KERNELS_X86_TILES_FLOAT_H
#define ASHLAR_KERNELS_X86_TILES_FLOAT_H

#include "kernels/x86/tiles_quant.h"

INLINE int is_float_type(ash_dtype t) { return t == ASH_F32 || t == ASH_F16 || t == ASH_BF16 || t == ASH_F8_E4M3; }
INLINE int element_bytes(ash_dtype t) { return t == ASH_F32 ? 4 : t == ASH_F8_E4M3 ? 1 : 2; }

#define UNIT_ROWS (VB / 16) /* rows of a unit: two float vectors */
#define UNITS (16 / UNIT_ROWS)
#define FLOAT_VECTORS (16 / FLOAT_ROWS) /* of 8 columns of a panel */

/* Columns 8 k8 .. + 7 of the rows of unit u, from the start of a chunk that holds them: 16 columns, F8_E4M3 32.
 * `nan`: an e4m3 NaN may be among them. */
INLINE void load_floats(const ash_dtype type, const uint8_t *chunk, int k8, int u, int nan, vf out[2])
{
    if (type == ASH_F32) {
        const uint8_t *p = chunk + 512 * k8 + 2 * VB * u;
        out[0] = vf_load((const float *)(const void *)p);
        out[1] = vf_load((const float *)(const void *)(p + VB));
    } else if (type == ASH_F8_E4M3) {
        vi v = v_load(chunk + 256 * (k8 & 1) + VB * u);
        vi halves = k8 & 2 ? v_unpack_hi8(v_zero(), v) : v_unpack_lo8(v_zero(), v);
        halves = v_and(v_sra16(halves, 1), v_set16(0xbfff));
        if (nan)
            halves = v_fix_f8_nan(halves);
        out[0] = vf_of_lower_halves(halves);
        out[1] = vf_of_upper_halves(halves);
    } else {
        const uint8_t *p = chunk + 256 * k8 + VB * u;
        out[0] = type == ASH_F16 ? vf_of_halves(p) : vf_of_bf16s(p);
        out[1] = type == ASH_F16 ? vf_of_halves(p + VB / 2) : vf_of_bf16s(p + VB / 2);
    }
}
/* Columns of a chunk. */
INLINE int float_chunk_cols(ash_dtype t) { return t == ASH_F8_E4M3 ? 32 : 16; }

/* Whether e4m3 codes of `bytes` (a multiple of VB) have a NaN among them. */
INLINE int any_f8_nan(const uint8_t *p, int64_t bytes)
{
    vi most = v_zero(), sign = v_set8(0x80);
    for (int64_t i = 0; i < bytes; i += VB)
        most = v_max8u(most, v_or(v_load(p + i), sign));
    return v_any_equal8(most, 0xff);
}

/* 256 * the scales of a panel's 16 rows at column k. */
INLINE void f8_scales(const ash_matrix *w, int64_t panel, int64_t k, float out[16])
{
    const float *s = NULL;
    float same = 1;
    if (w->scale_kind == ASH_SCALE_TENSOR)
        same = w->scale[0];
    else if (w->scale_kind == ASH_SCALE_ROW)
        s = w->scale + panel * ASH_PANEL_ROWS;
    else if (w->scale_kind == ASH_SCALE_BLOCK128)
        s = w->scale + (panel * ((w->cols + 127) / 128) + k / 128) * ASH_PANEL_ROWS;
    for (int r = 0; r < 16; r++)
        out[r] = 256 * (s ? s[r] : same);
}

/* ---- rows in lanes: out[VR * k ..] has column k of VR rows in sigma order ---- */

INLINE void turn_floats(const ash_dtype type, const uint8_t *chunks, int cols, int row_vector, vf scale, float *out)
{
    const int chunk_cols = float_chunk_cols(type), chunk_bytes = 16 * chunk_cols * element_bytes(type);
    for (int k = 0; k < cols; k += chunk_cols, chunks += chunk_bytes) {
#pragma GCC unroll 4
        for (int k8 = 0; k8 < chunk_cols / 8; k8++) {
            vi a[4], b[4]; /* of each unit the first vector, the second one */
#pragma GCC unroll 4
            for (int g = 0; g < 4; g++) {
                vf pair[2];
                load_floats(type, chunks, k8, 4 * row_vector + g, 1, pair);
                a[g] = v_cast(pair[0]);
                b[g] = v_cast(pair[1]);
            }
            v_transpose4(a);
            v_transpose4(b);
            /* 8 columns of a vector are two lanes of 4: column c in the even lanes of a[c], c + 4 in the odd ones. */
            float *to = out + VR * (k + 8 * k8);
#pragma GCC unroll 4
            for (int c = 0; c < 4; c++) {
                vf even = vf_even_lanes(vf_cast(a[c]), vf_cast(b[c])), odd = vf_odd_lanes(vf_cast(a[c]), vf_cast(b[c]));
                if (type == ASH_F8_E4M3) {
                    even = vf_mul(even, scale);
                    odd = vf_mul(odd, scale);
                }
                vf_store(to + VR * c, even);
                vf_store(to + VR * (c + 4), odd);
            }
        }
    }
}

/* Up to a tile of a quantized type; codes has room for it. s q - m rounds once: for types with an offset both products
 * are exact and so is the difference. */
INLINE void turn_codes(const ash_dtype type, const uint8_t *tile, int cols, int row_vector, tile_scales *scales, uint8_t *codes,
                       float *out)
{
    read_scales(type, tile, row_vector, scales);
    unpack_codes(type, tile + q_header_bytes(type), cols, row_vector, 0x80, codes);
    vf offset = vf_set((float)q_offset(type));
    vi byte = v_set32(0xff);
    for (int k = 0; k < cols; k += q_scale_cols(type)) {
        vf s = vf_load(scales->s[k / q_scale_cols(type)]);
        vf m = q_has_min(type) ? vf_load(scales->m[k / 32]) : vf_mul(offset, s);
#pragma GCC unroll 2
        for (int i = k; i < k + q_scale_cols(type); i += 4) {
            vi q = v_load(codes + VB / 4 * i);
            vf_store(out + VR * i, vf_fms(vf_of_ints(v_and(q, byte)), s, m));
            vf_store(out + VR * i + VR, vf_fms(vf_of_ints(v_and(v_srl32(q, 8), byte)), s, m));
            vf_store(out + VR * i + 2 * VR, vf_fms(vf_of_ints(v_and(v_srl32(q, 16), byte)), s, m));
            vf_store(out + VR * i + 3 * VR, vf_fms(vf_of_ints(v_srl32(q, 24)), s, m));
        }
    }
}

#endif
