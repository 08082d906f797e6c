/* Tile layouts: how a matrix lies in the data section.
 *
 * Rows (outputs) come in panels of 16, the last one padded with zero rows. A
 * panel walks K in tiles of `tile_cols`; a tile is a header (scales) followed
 * by chunks of `chunk_cols` columns, and the last tile of a panel stores its
 * header and only the chunks that K needs. Each layout is a pure permutation
 * of its source blocks' bits; padding is zero.
 *
 *   bytes(panel) = full_tiles * (header + tile_cols / chunk_cols * chunk)
 *                + (rest ? header + ceil(rest / chunk_cols) * chunk : 0)
 *
 * type          tile  chunk  header        chunk bytes
 * F32           16    16     0             1024  lane l: 8 f32 of row l & 15, k = 8 (l >> 4) ..
 * F16, BF16     16    16     0             512   lane l: 8 elements likewise, 16 bytes
 * F8_E4M3       32    32     0             512   lane l: 8 bytes of step 0, 8 bytes of step 1
 * Q8_0          256   32     256           512   as F8_E4M3
 * Q4_0          256   64     256           512   nibbles
 * Q4_1          256   64     512           512   nibbles
 * Q5_0          256   64     256           640   nibbles, 128 bytes of bit 4
 * Q5_1          256   64     512           640
 * Q4_K          256   64     256           512   nibbles
 * Q5_K          256   64     256           640
 * Q6_K          256   64     288           768   nibbles, 256 bytes of bits 4 and 5
 *
 * A lane l of 32 owns row l & 15 and, in WMMA step s (16 columns), columns 16 s + 8 (l >> 4) .. + 7.
 * nibbles: lane l has 16 bytes at 16 l: one little-endian 32-bit word a step s = 0..3; byte b of the
 *   word holds column b of the lane's eight in its low nibble and column b + 4 in its high nibble.
 * bit 4 (Q5): lane l has a 32-bit word at 512 + 4 l; the bit of step s, column 4 j + b is bit 8 b + 2 s + j.
 * bits 4, 5 (Q6_K): lane l has two 32-bit words at 512 + 8 l; the pair of step s, column 4 j + b is
 *   bits 8 b + 4 (s & 1) + 2 j .. + 1 of word s >> 1.
 * headers: Q8_0, Q4_0, Q5_0: 16 bytes a row: d of the 8 blocks. Q4_1, Q5_1: 256 bytes of d likewise,
 *   then 256 bytes of m. Q4_K, Q5_K: 16 bytes a row: d, dmin, scales[12] unchanged.
 *   Q6_K: 16 rows of scales[16], then 16 halves d.
 */
#ifndef ASHLAR_FORMAT_TILE_H
#define ASHLAR_FORMAT_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"

#define ASH_PANEL_ROWS 16

/* On disk (tensor records). 0: row-major, as in the source. */
typedef enum ash_layout_id {
    ASH_LAYOUT_LINEAR = 0,
    ASH_LAYOUT_F32_16 = 1,
    ASH_LAYOUT_H16_16 = 2,
    ASH_LAYOUT_B8_32 = 3,
    ASH_LAYOUT_Q8_0 = 4,
    ASH_LAYOUT_Q4_0 = 5,
    ASH_LAYOUT_Q4_1 = 6,
    ASH_LAYOUT_Q5_0 = 7,
    ASH_LAYOUT_Q5_1 = 8,
    ASH_LAYOUT_Q4_K = 9,
    ASH_LAYOUT_Q5_K = 10,
    ASH_LAYOUT_Q6_K = 11,
    ASH_LAYOUT_COUNT
} ash_layout_id;

#define ASH_LAYOUT_REVISION 0 /* of every layout, until the format is frozen */

typedef struct ash_tile_layout {
    uint16_t id;           /* ash_layout_id */
    uint16_t tile_cols;    /* K of a full tile */
    uint16_t chunk_cols;   /* K of one chunk */
    uint16_t header_bytes; /* before the chunks of each tile */
    uint16_t chunk_bytes;
} ash_tile_layout;

/* The layout of a usable type; NULL for any other. */
const ash_tile_layout *ash_tile_layout_of(uint32_t dtype);

/* Bytes of one panel of a matrix with `cols` columns. False on overflow, zero columns or an unusable type. */
bool ash_panel_bytes(uint32_t dtype, uint64_t cols, uint64_t *out);
/* Bytes of the whole matrix: ceil(rows / 16) panels. */
bool ash_tiled_bytes(uint32_t dtype, uint64_t rows, uint64_t cols, uint64_t *out);

/* Source rows to one panel. rows[r] points to ash_row_bytes(dtype, cols) bytes, or is NULL for a
 * padding row. Writes ash_panel_bytes bytes. Bits of a last block beyond `cols` rounded up to a chunk
 * are dropped: the caller has checked that they are zero where that can happen (K-quants with
 * cols % 256 != 0). */
void ash_tile_pack(uint32_t dtype, uint64_t cols, const uint8_t *const rows[ASH_PANEL_ROWS], uint8_t *panel);

/* The inverse: one panel to source rows; rows[r] may be NULL where it is not wanted.
 * Bits that the panel does not store become zero. */
void ash_tile_unpack(uint32_t dtype, uint64_t cols, const uint8_t *panel, uint8_t *const rows[ASH_PANEL_ROWS]);

/* True when every padding bit of a panel (rows >= valid_rows, columns beyond K) is zero. */
bool ash_tile_padding_zero(uint32_t dtype, uint64_t cols, uint32_t valid_rows, const uint8_t *panel);

#endif
