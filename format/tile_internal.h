/* Between tile.c (layout table, panels, plain elements) and tile_blocks.c (quantized blocks): one tile at a time.
 *
 * `cols` is the tile's share of K, 1 .. tile_cols; rows[r] points to the row's first block of this tile, or is NULL.
 * A tile's bytes are its header and ceil(cols / chunk_cols) chunks. */
#ifndef ASHLAR_FORMAT_TILE_INTERNAL_H
#define ASHLAR_FORMAT_TILE_INTERNAL_H

#include <stdint.h>
#include <string.h>

#include "format/tile.h"

#define ASH_TILE_BYTES_MAX 4352 /* Q8_0: 256 + 8 * 512 */

/* Writes every byte of the tile: NULL rows and columns that no block covers become zero. */
void ash_tile_pack_blocks(uint32_t dtype, uint32_t cols, const uint8_t *const rows[ASH_PANEL_ROWS], uint8_t *tile);
/* Writes every byte of the blocks that cover `cols`. */
void ash_tile_unpack_blocks(uint32_t dtype, uint32_t cols, const uint8_t *tile, uint8_t *const rows[ASH_PANEL_ROWS]);
/* Ones at the bits of a tile that belong to a row < valid_rows and a column < cols, zeros at its padding. */
void ash_tile_mask_blocks(uint32_t dtype, uint32_t cols, uint32_t valid_rows, uint8_t *mask);

/* Byte elements in a 32-column chunk (F8_E4M3, Q8_0): lane r + 16 h has 16 bytes, 8 of step 0 and 8 of step 1; step s
 * holds columns 16 s + 8 h .. + 7 of row r. */
static inline void ash_bytes_to_lanes(const uint8_t *row, uint8_t *chunk, int r)
{
    for (int h = 0; h < 2; h++)
        for (int s = 0; s < 2; s++)
            memcpy(chunk + 16 * (r + 16 * h) + 8 * s, row + 16 * s + 8 * h, 8);
}

static inline void ash_bytes_from_lanes(uint8_t *row, const uint8_t *chunk, int r)
{
    for (int h = 0; h < 2; h++)
        for (int s = 0; s < 2; s++)
            memcpy(row + 16 * s + 8 * h, chunk + 16 * (r + 16 * h) + 8 * s, 8);
}

#endif
