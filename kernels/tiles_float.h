/* Reading weights as floats: tiles of F32, F16 and BF16 as they lie (2 or 1 rows x 8 columns a vector), F8_E4M3 by way
 * of F16, and tiles of every type turned to rows in lanes. Include a tiles_vec_*.h first. */
#ifndef ASHLAR_KERNELS_TILES_FLOAT_H
#define ASHLAR_KERNELS_TILES_FLOAT_H

#include "kernels/matmul_call.h"
#include "kernels/tiles_quant.h"

INLINE int is_float_type(ash_dtype t) { return t == ASH_F32 || t == ASH_F16 || t == ASH_BF16 || t == ASH_F8_E4M3; }
INLINE int element_bytes(ash_dtype t) { return t == ASH_F32 ? 4 : t == ASH_F8_E4M3 ? 1 : 2; }

#define UNITS (256 / VB) /* of a panel: VB / 16 rows, two float vectors */

/* Columns 8 k8 .. + 7 of the rows of unit u of a chunk of 16 columns: F32, F16, BF16. */
INLINE void load_floats(const ash_dtype type, const uint8_t *chunk, int k8, int u, vf out[2])
{
    if (type == ASH_F32) {
        const uint8_t *p = chunk + 512 * k8 + 2 * VB * u;
        out[0] = vf_load((const float *)(const void *)p);
        out[1] = vf_load((const float *)(const void *)(p + VB));
    } else {
        const uint8_t *p = chunk + 256 * k8 + VB * u;
        out[0] = type == ASH_F16 ? vf_of_halves(p) : vf_of_bf16s(p);
        out[1] = type == ASH_F16 ? vf_of_halves(p + VB / 2) : vf_of_bf16s(p + VB / 2);
    }
}

#define F8_COLS 128 /* of one block of scales */

/* Up to 128 columns of e4m3 to tiles of F16 that hold a 256th of their values: moving the 7 bits up to bits 7 .. 13
 * makes the exponent's bias 15 instead of 7, with denormals right. NaN (0x7f) becomes 1.875 and has to be put back.
 * The way through memory is the cheap one: a load widens halves in place, a register needs a shuffle too. */
static inline void halves_of_f8(const uint8_t *chunks, int cols, uint8_t *out)
{
    vi zero = v_zero(), most = zero, sign = v_set8(0x80), keep = v_set16(0xbfff);
    for (int k = 0; k < cols; k += 32, chunks += 512, out += 1024) {
        for (int i = 0; i < 512; i += VB) { /* bytes: step 0, step 1, each 8 of a row */
            vi v = v_load(chunks + i);
            if (i % 64 == 0)
                prefetch(chunks + i, 64);
            most = v_max8u(most, v_or(v, sign));
            v_store(out + i, v_and(v_sra16(v_unpack_lo8(zero, v), 1), keep));
            v_store(out + 512 + i, v_and(v_sra16(v_unpack_hi8(zero, v), 1), keep));
        }
    }
    if (__builtin_expect(v_any_equal8(most, 0xff), 0))
        for (uint8_t *p = out - (cols + 31) / 32 * 1024; p < out; p += VB)
            v_store(p, v_fix_f8_nan(v_load(p)));
}

/* 256 * the scales of a panel's 16 rows at column k. */
INLINE void f8_scales(const ash_matrix *w, int64_t panel, int64_t k, float out[16])
{
    vf unit = vf_set(256);
    const float *rows;
    if (w->scale_kind == ASH_SCALE_ROW) {
        rows = w->scale + panel * ASH_PANEL_ROWS;
    } else if (w->scale_kind == ASH_SCALE_BLOCK128) {
        rows = w->scale + (panel * ((w->cols + F8_COLS - 1) / F8_COLS) + k / F8_COLS) * ASH_PANEL_ROWS;
    } else {
        vf same = vf_mul(unit, vf_set(w->scale_kind == ASH_SCALE_TENSOR ? w->scale[0] : 1));
        for (int r = 0; r < 16; r += VR)
            vf_store(out + r, same);
        return;
    }
    for (int r = 0; r < 16; r += VR)
        vf_store(out + r, vf_mul(unit, vf_load(rows + r)));
}

/* ---- rows in lanes: out[VR * k ..] has column k of VR rows in sigma order ---- */

/* Chunks of 16 columns of F32, F16, BF16; times `scale` if `scaled`. */
INLINE void turn_floats(const ash_dtype type, const int scaled, const uint8_t *chunks, int cols, int row_vector,
                        vf scale, float *out)
{
    const int chunk_bytes = 256 * element_bytes(type);
    for (int k8 = 0; 8 * k8 < cols; k8++) {
        vi a[4], b[4]; /* of each unit the first vector, the second one */
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            vf pair[2];
            load_floats(type, chunks + k8 / 2 * chunk_bytes, k8 % 2, 4 * row_vector + g, pair);
            a[g] = v_cast(pair[0]);
            b[g] = v_cast(pair[1]);
        }
        v_transpose4(a);
        v_transpose4(b);
        /* 8 columns of a row are two lanes of 4: column c in the even lanes of a[c], c + 4 in the odd ones. */
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            vf even = vf_even_lanes(vf_cast(a[c]), vf_cast(b[c])), odd = vf_odd_lanes(vf_cast(a[c]), vf_cast(b[c]));
            vf_store(out + VR * (8 * k8 + c), scaled ? vf_mul(even, scale) : even);
            vf_store(out + VR * (8 * k8 + c + 4), scaled ? vf_mul(odd, scale) : odd);
        }
    }
}

/* Up to a tile of a quantized type; codes has room for it. s q - m rounds once: for types with an offset both products
 * are exact and so is the difference. */
INLINE void turn_codes(const ash_dtype type, const uint8_t *tile, int cols, int row_vector, tile_scales *scales,
                       uint8_t *codes, float *out)
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

/* Up to 256 columns from k of one row vector, which starts at a tile. Returns the columns, whole chunks. `codes` has
 * TURN_CODES_BYTES. */
#define TURN_CODES_BYTES (16 * F8_COLS * 2) /* halves of F8_E4M3; or codes of Q_TILE_COLS, VB / 4 bytes a column */
_Static_assert(Q_TILE_COLS * VB / 4 <= TURN_CODES_BYTES, "codes");
INLINE int turn(const ash_dtype type, const ash_matrix *w, int64_t panel, int64_t k, int row_vector, tile_scales *scales,
                uint8_t *codes, float *out)
{
    const int chunk_cols = type == ASH_F8_E4M3 || type == ASH_Q8_0 ? 32 : is_float_type(type) ? 16 : 64;
    int cols = (int)round_up(smaller(w->cols - k, Q_TILE_COLS), chunk_cols);
    const uint8_t *data = w->data + panel * w->panel_bytes;
    if (!is_float_type(type)) {
        const uint8_t *tile = data + k / Q_TILE_COLS * q_tile_bytes(type);
        turn_codes(type, tile, cols, row_vector, scales, codes, out);
    } else if (type == ASH_F8_E4M3) {
        for (int i = 0; i < cols; i += F8_COLS) {
            float ALIGNED f8[16];
            f8_scales(w, panel, k + i, f8);
            int n = (int)smaller(cols - i, F8_COLS);
            halves_of_f8(data + 16 * (k + i), n, codes);
            vf scale = vf_to_sigma(vf_load(f8 + VR * row_vector));
            turn_floats(ASH_F16, 1, codes, n, row_vector, scale, out + VR * i);
        }
    } else {
        turn_floats(type, 0, data + 16 * k * element_bytes(type), cols, row_vector, vf_zero(), out);
    }
    return cols;
}

#endif
