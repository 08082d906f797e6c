/* One row's part of one chunk of a tile, read back as codes or floats: the scalar kernels' only knowledge of layouts.
 * format/tile.h gives the positions, format/blocks.h the values. */
#ifndef ASHLAR_KERNELS_SCALAR_CHUNK_H
#define ASHLAR_KERNELS_SCALAR_CHUNK_H

#include <string.h>

#include "format/halffloat.h"
#include "kernels/kernels.h"

#define ASH_CHUNK_MAX 64 /* columns of the widest chunk */

/* Where a chunk lies. */
typedef struct ash_chunk_at {
    const ash_matrix *w;
    const uint8_t *header; /* of its tile */
    const uint8_t *chunk;
    int64_t panel;
    int64_t k;   /* its first column */
    int r;       /* row in the panel */
    int c;       /* chunk in the tile */
} ash_chunk_at;

/* weight[i] = scale[i / 16] * q[i] + min[i / 16]. q has the type's offset (8, 16, 32) taken off already. The product
 * is exact in float for every type: 11 bits of d, at most 7 of a sub-block scale, at most 5 of q (8 without sub-block
 * scales). Only the addition of a minimum rounds. */
typedef struct ash_codes {
    int8_t q[ASH_CHUNK_MAX];
    float scale[ASH_CHUNK_MAX / 16];
    float min[ASH_CHUNK_MAX / 16]; /* 0 for types without minimums */
} ash_codes;

typedef void ash_chunk_codes_fn(const ash_chunk_at *at, ash_codes *out);
typedef void ash_chunk_floats_fn(const ash_chunk_at *at, float *out);

static inline uint16_t ash_load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t ash_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline float ash_load_half(const uint8_t *p) { return ash_f16_to_f32(ash_load16(p)); }

/* ---- codes: column i of a chunk belongs to step i / 16, lane r + 16 * (i / 8 % 2), element i % 8 of the lane ---- */

/* Nibble codes, with `high_bits` (0, 1 or 2) more from behind them, less `offset`. */
static inline void ash_read_nibbles(const ash_chunk_at *at, int high_bits, int offset, int8_t *q)
{
    for (int i = 0; i < 64; i++) {
        int s = i / 16, lane = at->r + 16 * (i / 8 % 2), j = i / 4 % 2, b = i % 4;
        int code = at->chunk[16 * lane + 4 * s + b] >> 4 * j & 15;
        if (high_bits == 1)
            code |= (int)(ash_load32(at->chunk + 512 + 4 * lane) >> (8 * b + 2 * s + j) & 1) << 4;
        if (high_bits == 2) {
            uint32_t word = ash_load32(at->chunk + 512 + 8 * lane + 4 * (s / 2));
            code |= (int)(word >> (8 * b + 4 * (s & 1) + 2 * j) & 3) << 4;
        }
        q[i] = (int8_t)(code - offset);
    }
}

/* Scales of blocks of 32: d of blocks 2 c and 2 c + 1 of this row, minimums 256 bytes behind where there are any. */
static inline void ash_read_block_scales(const ash_chunk_at *at, bool has_min, ash_codes *out)
{
    for (int g = 0; g < 4; g++) {
        const uint8_t *d = at->header + 16 * at->r + 2 * (2 * at->c + g / 2);
        out->scale[g] = ash_load_half(d);
        out->min[g] = has_min ? ash_load_half(d + 256) : 0;
    }
}

/* Sub-block j of a K-quant's 12 bytes of 6-bit scales and minimums. */
static inline void ash_read_6bit(const uint8_t *s, int j, int *sc, int *mn)
{
    *sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    *mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
}

static inline void ash_read_k_scales(const ash_chunk_at *at, ash_codes *out)
{
    const uint8_t *row = at->header + 16 * at->r;
    float d = ash_load_half(row), dmin = ash_load_half(row + 2);
    for (int g = 0; g < 4; g++) {
        int sc, mn;
        ash_read_6bit(row + 4, 2 * at->c + g / 2, &sc, &mn);
        out->scale[g] = d * (float)sc;
        out->min[g] = -(dmin * (float)mn);
    }
}

static inline void ash_codes_q4_0(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 0, 8, out->q);
    ash_read_block_scales(at, false, out);
}

static inline void ash_codes_q4_1(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 0, 0, out->q);
    ash_read_block_scales(at, true, out);
}

static inline void ash_codes_q5_0(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 1, 16, out->q);
    ash_read_block_scales(at, false, out);
}

static inline void ash_codes_q5_1(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 1, 0, out->q);
    ash_read_block_scales(at, true, out);
}

static inline void ash_codes_q4_k(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 0, 0, out->q);
    ash_read_k_scales(at, out);
}

static inline void ash_codes_q5_k(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 1, 0, out->q);
    ash_read_k_scales(at, out);
}

static inline void ash_codes_q6_k(const ash_chunk_at *at, ash_codes *out)
{
    ash_read_nibbles(at, 2, 32, out->q);
    float d = ash_load_half(at->header + 256 + 2 * at->r);
    for (int g = 0; g < 4; g++) {
        out->scale[g] = d * (float)(int8_t)at->header[16 * at->r + 4 * at->c + g];
        out->min[g] = 0;
    }
}

/* A chunk of 32: lane l holds 8 bytes of step 0, then 8 of step 1. */
static inline const uint8_t *ash_byte_at(const ash_chunk_at *at, int i)
{
    int lane = at->r + 16 * (i / 8 % 2);
    return at->chunk + 16 * lane + 8 * (i / 16) + i % 8;
}

static inline void ash_codes_q8_0(const ash_chunk_at *at, ash_codes *out)
{
    for (int i = 0; i < 32; i++)
        out->q[i] = (int8_t)*ash_byte_at(at, i);
    for (int g = 0; g < 2; g++) {
        out->scale[g] = ash_load_half(at->header + 16 * at->r + 2 * at->c);
        out->min[g] = 0;
    }
}

/* ---- floats ---- */

/* An element of `size` bytes in a chunk of 16: lane l holds 8. */
static inline const uint8_t *ash_element_at(const ash_chunk_at *at, int i, int size)
{
    int lane = at->r + 16 * (i / 8);
    return at->chunk + (8 * lane + i % 8) * size;
}

static inline void ash_floats_f32(const ash_chunk_at *at, float *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = ash_f32_of_bits(ash_load32(ash_element_at(at, i, 4)));
}

static inline void ash_floats_f16(const ash_chunk_at *at, float *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = ash_load_half(ash_element_at(at, i, 2));
}

static inline void ash_floats_bf16(const ash_chunk_at *at, float *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = ash_bf16_to_f32(ash_load16(ash_element_at(at, i, 2)));
}

/* The scale of columns k .. of a row; a block of 128 holds whole chunks. */
static inline float ash_f8_scale(const ash_matrix *w, int64_t panel, int r, int64_t k)
{
    switch (w->scale_kind) {
    case ASH_SCALE_TENSOR: return w->scale[0];
    case ASH_SCALE_ROW: return w->scale[panel * ASH_PANEL_ROWS + r];
    case ASH_SCALE_BLOCK128: return w->scale[(panel * ((w->cols + 127) / 128) + k / 128) * ASH_PANEL_ROWS + r];
    default: return 1;
    }
}

static inline void ash_floats_f8_e4m3(const ash_chunk_at *at, float *out)
{
    float scale = ash_f8_scale(at->w, at->panel, at->r, at->k);
    for (int i = 0; i < 32; i++)
        out[i] = ash_e4m3_to_f32(*ash_byte_at(at, i)) * scale;
}

static inline void ash_codes_to_floats(const ash_codes *codes, int cols, bool has_min, float *out)
{
    for (int i = 0; i < cols; i++) {
        float product = codes->scale[i / 16] * (float)codes->q[i];
        out[i] = has_min ? product + codes->min[i / 16] : product;
    }
}

#define ASH_FLOATS_OF_CODES(type, cols, has_min)                                       \
    static inline void ash_floats_##type(const ash_chunk_at *at, float *out)           \
    {                                                                                  \
        ash_codes codes;                                                               \
        ash_codes_##type(at, &codes);                                                  \
        ash_codes_to_floats(&codes, cols, has_min, out);                               \
    }
ASH_FLOATS_OF_CODES(q4_0, 64, false)
ASH_FLOATS_OF_CODES(q4_1, 64, true)
ASH_FLOATS_OF_CODES(q5_0, 64, false)
ASH_FLOATS_OF_CODES(q5_1, 64, true)
ASH_FLOATS_OF_CODES(q8_0, 32, false)
ASH_FLOATS_OF_CODES(q4_k, 64, true)
ASH_FLOATS_OF_CODES(q5_k, 64, true)
ASH_FLOATS_OF_CODES(q6_k, 64, false)
#undef ASH_FLOATS_OF_CODES

#endif
