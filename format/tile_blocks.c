/* Tiles of quantized blocks. The layouts are in tile.h, the source blocks in blocks.h; between the two stand codes:
 * 64 columns of one row, a byte each, as eight 64-bit words, so that one operation handles eight columns. */
#include <stddef.h>
#include <string.h>

#include "format/blocks.h"
#include "format/tile_internal.h"

#define LOW UINT64_C(0x0f0f0f0f0f0f0f0f)   /* four bits of every byte */
#define PAIRS UINT64_C(0x0303030303030303) /* two */
#define ONES UINT64_C(0x0101010101010101)  /* one */

/* q[s][h]: columns 16 s + 8 h .. + 7 of a 64-column chunk, the first one in the lowest byte; what lane half h takes in
 * WMMA step s. */
typedef struct codes { uint64_t q[4][2]; } codes;

static inline uint64_t get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void or64(uint8_t *p, uint64_t v) { v |= get64(p); memcpy(p, &v, 8); }
static inline void or32(uint8_t *p, uint32_t v) { put32(p, v | get32(p)); }

/* Bit i of `bits` to the lowest bit of byte i: keep bit i of byte i of eight copies, then bring any of them to bit 7 by
 * adding 0x7f, which no byte overflows (0x80 + 0x7f = 0xff). */
static inline uint64_t spread(uint32_t bits)
{
    uint64_t v = (bits & 0xff) * ONES & UINT64_C(0x8040201008040201);
    return (v + 0x7f * ONES) >> 7 & ONES;
}

/* The inverse, for bytes of 0 or 1: the product moves byte i's bit from 8 i to 56 + i; all other terms stay below bit
 * 56 or leave at the top, each at a place of its own, so nothing carries. */
static inline uint32_t gather(uint64_t v) { return (uint32_t)(v * UINT64_C(0x0102040810204080) >> 56); }

/* ---- what the types differ in ---- */
typedef struct form {
    uint32_t elems, bytes; /* of a block */
    uint32_t d, m;         /* offset of the block's halves; m = 0: none */
    uint32_t qs;           /* of the low four bits */
    uint32_t high;         /* of the bits above them */
    uint32_t high_bits;    /* 0, 1, 2 */
} form;

#define SMALL(type, m, high, high_bits) { 32, sizeof(type), 0, m, offsetof(type, qs), high, high_bits }
static const form forms[ASH_USABLE_DTYPES] = {
    [ASH_Q8_0] = { 32, sizeof(ash_block_q8_0), 0, 0, offsetof(ash_block_q8_0, qs), 0, 0 },
    [ASH_Q4_0] = SMALL(ash_block_q4_0, 0, 0, 0),
    [ASH_Q4_1] = SMALL(ash_block_q4_1, 2, 0, 0),
    [ASH_Q5_0] = SMALL(ash_block_q5_0, 0, offsetof(ash_block_q5_0, qh), 1),
    [ASH_Q5_1] = SMALL(ash_block_q5_1, 2, offsetof(ash_block_q5_1, qh), 1),
    [ASH_Q4_K] = { 256, sizeof(ash_block_q4_k), 0, 2, offsetof(ash_block_q4_k, qs), 0, 0 },
    [ASH_Q5_K] = { 256, sizeof(ash_block_q5_k), 0, 2, offsetof(ash_block_q5_k, qs), offsetof(ash_block_q5_k, qh), 1 },
    [ASH_Q6_K] = { 256, sizeof(ash_block_q6_k), offsetof(ash_block_q6_k, d), 0, offsetof(ash_block_q6_k, ql),
                   offsetof(ash_block_q6_k, qh), 2 },
};

static inline bool is_small(uint32_t dtype) { return dtype >= ASH_Q4_0 && dtype <= ASH_Q5_1; }

/* ---- source blocks <-> codes of chunk c of a tile ---- */
static inline codes codes_from_blocks(uint32_t dtype, uint32_t cols, const uint8_t *row, uint32_t c)
{
    const form *f = &forms[dtype];
    codes out = { { { 0 } } };
    if (is_small(dtype)) {
        for (uint32_t b = 0; b < 2 && 64 * c + 32 * b < cols; b++) { /* the last chunk may have one block */
            const uint8_t *block = row + (size_t)(2 * c + b) * f->bytes;
            uint32_t qh = f->high_bits ? get32(block + f->high) : 0;
            for (uint32_t h = 0; h < 2; h++) {
                uint64_t v = get64(block + f->qs + 8 * h); /* elements 8 h .. and 16 + 8 h .. of the block */
                out.q[2 * b][h] = v & LOW;
                out.q[2 * b + 1][h] = v >> 4 & LOW;
                if (f->high_bits) {
                    out.q[2 * b][h] |= spread(qh >> 8 * h) << 4;
                    out.q[2 * b + 1][h] |= spread(qh >> (16 + 8 * h)) << 4;
                }
            }
        }
    } else if (dtype == ASH_Q6_K) {
        const uint8_t *ql = row + f->qs + 64 * (c >> 1), *qh = row + f->high + 32 * (c >> 1);
        uint32_t upper = c & 1; /* the chunk is the lower or the upper half of 128 elements */
        for (uint32_t s = 0; s < 4; s++)
            for (uint32_t h = 0; h < 2; h++) {
                uint32_t i = 16 * (s & 1) + 8 * h, g = s >> 1;
                uint64_t low = get64(ql + 32 * g + i) >> 4 * upper & LOW;
                uint64_t pairs = get64(qh + i) >> (4 * upper + 2 * g) & PAIRS;
                out.q[s][h] = low | pairs << 4;
            }
    } else {
        for (uint32_t t = 0; t < 2; t++)
            for (uint32_t h = 0; h < 2; h++) {
                uint32_t i = 16 * t + 8 * h;
                uint64_t v = get64(row + f->qs + 32 * c + i); /* elements i .. and 32 + i .. of the chunk */
                uint64_t high = f->high_bits ? get64(row + f->high + i) >> 2 * c : 0;
                out.q[t][h] = (v & LOW) | (high & ONES) << 4;
                out.q[t + 2][h] = (v >> 4 & LOW) | (high >> 1 & ONES) << 4;
            }
    }
    return out;
}

/* The inverse, into blocks that were zeroed. */
static inline void codes_to_blocks(uint32_t dtype, uint32_t cols, uint8_t *row, uint32_t c, codes in)
{
    const form *f = &forms[dtype];
    if (is_small(dtype)) {
        for (uint32_t b = 0; b < 2 && 64 * c + 32 * b < cols; b++) {
            uint8_t *block = row + (size_t)(2 * c + b) * f->bytes;
            for (uint32_t h = 0; h < 2; h++) {
                uint64_t first = in.q[2 * b][h], second = in.q[2 * b + 1][h];
                or64(block + f->qs + 8 * h, (first & LOW) | (second & LOW) << 4);
                if (f->high_bits)
                    or32(block + f->high,
                         (gather(first >> 4 & ONES) | gather(second >> 4 & ONES) << 16) << 8 * h);
            }
        }
    } else if (dtype == ASH_Q6_K) {
        uint8_t *ql = row + f->qs + 64 * (c >> 1), *qh = row + f->high + 32 * (c >> 1);
        uint32_t upper = c & 1;
        for (uint32_t s = 0; s < 4; s++)
            for (uint32_t h = 0; h < 2; h++) {
                uint32_t i = 16 * (s & 1) + 8 * h, g = s >> 1;
                or64(ql + 32 * g + i, (in.q[s][h] & LOW) << 4 * upper);
                or64(qh + i, (in.q[s][h] >> 4 & PAIRS) << (4 * upper + 2 * g));
            }
    } else {
        for (uint32_t t = 0; t < 2; t++)
            for (uint32_t h = 0; h < 2; h++) {
                uint32_t i = 16 * t + 8 * h;
                uint64_t first = in.q[t][h], second = in.q[t + 2][h];
                or64(row + f->qs + 32 * c + i, (first & LOW) | (second & LOW) << 4);
                if (f->high_bits)
                    or64(row + f->high + i, ((first >> 4 & ONES) | (second >> 4 & ONES) << 1) << 2 * c);
            }
    }
}

/* ---- codes <-> lanes of a chunk ----
 * Column b of a lane's eight is byte b of q, column b + 4 byte b + 4: the two halves of q meet in one word. */
static inline void codes_to_lanes(uint32_t high_bits, codes in, uint8_t *chunk, uint32_t r)
{
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t lane = r + 16 * h, high[2] = { 0, 0 };
        for (uint32_t s = 0; s < 4; s++) {
            uint64_t low = in.q[s][h] & LOW, up = in.q[s][h] >> 4;
            put32(chunk + 16 * lane + 4 * s, (uint32_t)low | (uint32_t)(low >> 32) << 4);
            if (high_bits == 1)
                high[0] |= (uint32_t)(up & ONES) << 2 * s | (uint32_t)((up & ONES) >> 32) << (2 * s + 1);
            else if (high_bits == 2)
                high[s >> 1] |= ((uint32_t)(up & PAIRS) | (uint32_t)((up & PAIRS) >> 32) << 2) << 4 * (s & 1);
        }
        for (uint32_t w = 0; w < high_bits; w++)
            put32(chunk + 512 + 4 * (high_bits * lane + w), high[w]);
    }
}

static inline codes codes_from_lanes(uint32_t high_bits, const uint8_t *chunk, uint32_t r)
{
    codes out;
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t lane = r + 16 * h, high[2] = { 0, 0 };
        for (uint32_t w = 0; w < high_bits; w++)
            high[w] = get32(chunk + 512 + 4 * (high_bits * lane + w));
        for (uint32_t s = 0; s < 4; s++) {
            uint64_t word = get32(chunk + 16 * lane + 4 * s), up = 0;
            if (high_bits == 1) {
                up = high[0] >> 2 * s;
                up = (up & 0x01010101) | (up >> 1 & 0x01010101) << 32;
            } else if (high_bits == 2) {
                up = high[s >> 1] >> 4 * (s & 1);
                up = (up & 0x03030303) | (up >> 2 & 0x03030303) << 32;
            }
            out.q[s][h] = (word & 0x0f0f0f0f) | (word >> 4 & 0x0f0f0f0f) << 32 | up << 4;
        }
    }
    return out;
}

/* ---- headers ---- */
static inline void header_from_blocks(uint32_t dtype, uint32_t blocks, const uint8_t *row, uint8_t *header, uint32_t r)
{
    const form *f = &forms[dtype];
    if (dtype == ASH_Q6_K) {
        memcpy(header + 16 * r, row + offsetof(ash_block_q6_k, scales), 16);
        memcpy(header + 256 + 2 * r, row + f->d, 2);
    } else if (f->elems == 256) {
        memcpy(header + 16 * r, row, 16); /* d, dmin, scales[12] */
    } else {
        for (uint32_t b = 0; b < blocks; b++) {
            memcpy(header + 16 * r + 2 * b, row + (size_t)b * f->bytes + f->d, 2);
            if (f->m)
                memcpy(header + 256 + 16 * r + 2 * b, row + (size_t)b * f->bytes + f->m, 2);
        }
    }
}

static inline void header_to_blocks(uint32_t dtype, uint32_t blocks, uint8_t *row, const uint8_t *header, uint32_t r)
{
    const form *f = &forms[dtype];
    if (dtype == ASH_Q6_K) {
        memcpy(row + offsetof(ash_block_q6_k, scales), header + 16 * r, 16);
        memcpy(row + f->d, header + 256 + 2 * r, 2);
    } else if (f->elems == 256) {
        memcpy(row, header + 16 * r, 16);
    } else {
        for (uint32_t b = 0; b < blocks; b++) {
            memcpy(row + (size_t)b * f->bytes + f->d, header + 16 * r + 2 * b, 2);
            if (f->m)
                memcpy(row + (size_t)b * f->bytes + f->m, header + 256 + 16 * r + 2 * b, 2);
        }
    }
}

/* ---- tiles ---- */
static inline uint32_t div_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

void ash_tile_pack_blocks(uint32_t dtype, uint32_t cols, const uint8_t *const rows[ASH_PANEL_ROWS], uint8_t *tile)
{
    const form *f = &forms[dtype];
    const ash_tile_layout *l = ash_tile_layout_of(dtype);
    uint32_t chunks = div_up(cols, l->chunk_cols);
    memset(tile, 0, l->header_bytes + chunks * l->chunk_bytes);
    for (uint32_t r = 0; r < ASH_PANEL_ROWS; r++) {
        if (!rows[r])
            continue;
        header_from_blocks(dtype, div_up(cols, f->elems), rows[r], tile, r);
        uint8_t *chunk = tile + l->header_bytes;
        for (uint32_t c = 0; c < chunks; c++, chunk += l->chunk_bytes) {
            if (dtype == ASH_Q8_0)
                ash_bytes_to_lanes(rows[r] + c * f->bytes + f->qs, chunk, (int)r);
            else
                codes_to_lanes(f->high_bits, codes_from_blocks(dtype, cols, rows[r], c), chunk, r);
        }
    }
}

void ash_tile_unpack_blocks(uint32_t dtype, uint32_t cols, const uint8_t *tile, uint8_t *const rows[ASH_PANEL_ROWS])
{
    const form *f = &forms[dtype];
    const ash_tile_layout *l = ash_tile_layout_of(dtype);
    uint32_t chunks = div_up(cols, l->chunk_cols), blocks = div_up(cols, f->elems);
    for (uint32_t r = 0; r < ASH_PANEL_ROWS; r++) {
        if (!rows[r])
            continue;
        memset(rows[r], 0, (size_t)blocks * f->bytes);
        header_to_blocks(dtype, blocks, rows[r], tile, r);
        const uint8_t *chunk = tile + l->header_bytes;
        for (uint32_t c = 0; c < chunks; c++, chunk += l->chunk_bytes) {
            if (dtype == ASH_Q8_0)
                ash_bytes_from_lanes(rows[r] + c * f->bytes + f->qs, chunk, (int)r);
            else
                codes_to_blocks(dtype, cols, rows[r], c, codes_from_lanes(f->high_bits, chunk, r));
        }
    }
}

/* ---- padding ---- */

/* The scale bits that columns < cols use, as a block header: of Q4_K and Q5_K a 6-bit scale and minimum per 32 columns
 * in 12 bytes (blocks.h), of Q6_K a byte per 16 columns. */
static void mask_k_scales(uint32_t dtype, uint32_t cols, uint8_t *scales)
{
    if (dtype == ASH_Q6_K) {
        memset(scales, 0xff, div_up(cols, 16));
        return;
    }
    for (uint32_t j = 0; j < div_up(cols, 32); j++) {
        if (j < 4) {
            scales[j] |= 63;
            scales[j + 4] |= 63;
        } else {
            scales[j + 4] = 0xff;
            scales[j - 4] |= 0xc0;
            scales[j] |= 0xc0;
        }
    }
}

void ash_tile_mask_blocks(uint32_t dtype, uint32_t cols, uint32_t valid_rows, uint8_t *mask)
{
    const form *f = &forms[dtype];
    const ash_tile_layout *l = ash_tile_layout_of(dtype);
    uint32_t chunks = div_up(cols, l->chunk_cols);
    /* Scales: through the way that real ones take, from a row of blocks with nothing but them set. */
    uint8_t row[8 * sizeof(ash_block_q8_0)] = { 0 };
    static_assert(sizeof row >= sizeof(ash_block_q6_k) && sizeof row >= 8 * sizeof(ash_block_q5_1), "a tile's blocks");
    for (uint32_t b = 0; b < div_up(cols, f->elems); b++) {
        memset(row + b * f->bytes + f->d, 0xff, 2);
        if (f->m)
            memset(row + b * f->bytes + f->m, 0xff, 2);
    }
    if (f->elems == 256)
        mask_k_scales(dtype, cols, row + (dtype == ASH_Q6_K ? offsetof(ash_block_q6_k, scales)
                                                            : offsetof(ash_block_q4_k, scales)));
    memset(mask, 0, l->header_bytes + chunks * l->chunk_bytes);
    for (uint32_t r = 0; r < valid_rows; r++) {
        header_from_blocks(dtype, div_up(cols, f->elems), row, mask, r);
        for (uint32_t c = 0; c < chunks; c++) {
            union { codes q; uint8_t column[64]; } ones; /* steps and halves lie in the order of columns */
            uint32_t valid = cols - c * l->chunk_cols;
            memset(ones.column, 0, 64);
            memset(ones.column, 0xff, valid < l->chunk_cols ? valid : l->chunk_cols);
            if (dtype == ASH_Q8_0)
                ash_bytes_to_lanes(ones.column, mask + l->header_bytes + c * l->chunk_bytes, (int)r);
            else
                codes_to_lanes(f->high_bits, ones.q, mask + l->header_bytes + c * l->chunk_bytes, r);
        }
    }
}
