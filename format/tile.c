#include "format/tile.h"

#include <string.h>

#include "format/checked.h"
#include "format/tile_internal.h"

static const ash_tile_layout layouts[ASH_USABLE_DTYPES] = {
    /*               id                  tile chunk header chunk bytes */
    [ASH_F32] = { ASH_LAYOUT_F32_16, 16, 16, 0, 1024 },
    [ASH_F16] = { ASH_LAYOUT_H16_16, 16, 16, 0, 512 },
    [ASH_BF16] = { ASH_LAYOUT_H16_16, 16, 16, 0, 512 },
    [ASH_F8_E4M3] = { ASH_LAYOUT_B8_32, 32, 32, 0, 512 },
    [ASH_Q8_0] = { ASH_LAYOUT_Q8_0, 256, 32, 256, 512 },
    [ASH_Q4_0] = { ASH_LAYOUT_Q4_0, 256, 64, 256, 512 },
    [ASH_Q4_1] = { ASH_LAYOUT_Q4_1, 256, 64, 512, 512 },
    [ASH_Q5_0] = { ASH_LAYOUT_Q5_0, 256, 64, 256, 640 },
    [ASH_Q5_1] = { ASH_LAYOUT_Q5_1, 256, 64, 512, 640 },
    [ASH_Q4_K] = { ASH_LAYOUT_Q4_K, 256, 64, 256, 512 },
    [ASH_Q5_K] = { ASH_LAYOUT_Q5_K, 256, 64, 256, 640 },
    [ASH_Q6_K] = { ASH_LAYOUT_Q6_K, 256, 64, 288, 768 },
};

const ash_tile_layout *ash_tile_layout_of(uint32_t dtype) { return ash_dtype_usable(dtype) ? &layouts[dtype] : NULL; }

/* Header and the chunks that `cols` columns (at most a tile's) need. */
static uint64_t tile_bytes(const ash_tile_layout *l, uint64_t cols)
{
    return l->header_bytes + ash_div_up(cols, l->chunk_cols) * l->chunk_bytes;
}

bool ash_panel_bytes(uint32_t dtype, uint64_t cols, uint64_t *out)
{
    const ash_tile_layout *l = ash_tile_layout_of(dtype);
    if (!l || cols == 0)
        return false;
    uint64_t rest = cols % l->tile_cols;
    return ash_mul(cols / l->tile_cols, tile_bytes(l, l->tile_cols), out)
        && ash_add(*out, rest ? tile_bytes(l, rest) : 0, out);
}

bool ash_tiled_bytes(uint32_t dtype, uint64_t rows, uint64_t cols, uint64_t *out)
{
    uint64_t panel;
    return ash_panel_bytes(dtype, cols, &panel) && ash_mul(ash_div_up(rows, ASH_PANEL_ROWS), panel, out);
}

/* ---- plain elements: a lane's share of a chunk is 32 bytes (F32), 16 (F16, BF16) or 2 x 8 (F8_E4M3) ---- */

/* Row bytes in a chunk. F32: 64; F16, BF16, F8_E4M3: 32. */
static size_t chunk_row_bytes(uint32_t dtype) { return dtype == ASH_F32 ? 64 : 32; }
static size_t element_bytes(uint32_t dtype) { return dtype == ASH_F32 ? 4 : dtype == ASH_F8_E4M3 ? 1 : 2; }

static inline void to_lanes(uint32_t dtype, const uint8_t *row, uint8_t *chunk, int r)
{
    if (dtype == ASH_F8_E4M3) {
        ash_bytes_to_lanes(row, chunk, r);
        return;
    }
    size_t piece = dtype == ASH_F32 ? 32 : 16;
    memcpy(chunk + piece * (size_t)r, row, piece);
    memcpy(chunk + piece * (size_t)(r + 16), row + piece, piece);
}

static inline void from_lanes(uint32_t dtype, uint8_t *row, const uint8_t *chunk, int r)
{
    if (dtype == ASH_F8_E4M3) {
        ash_bytes_from_lanes(row, chunk, r);
        return;
    }
    size_t piece = dtype == ASH_F32 ? 32 : 16;
    memcpy(row, chunk + piece * (size_t)r, piece);
    memcpy(row + piece, chunk + piece * (size_t)(r + 16), piece);
}

/* Rows are visited in stretches of this many chunks: 512 bytes of each row in turn. Row starts often lie a power of two
 * apart, so that 16 rows share one set of the first-level cache; whole lines must be used before they are evicted. */
#define STRETCH 16

static inline void pack_plain(uint32_t dtype, uint64_t cols, const uint8_t *const rows[ASH_PANEL_ROWS], uint8_t *panel)
{
    const ash_tile_layout *l = &layouts[dtype];
    size_t row_step = chunk_row_bytes(dtype), chunk_bytes = l->chunk_bytes;
    uint64_t full = cols / l->chunk_cols;
    size_t rest = (size_t)(cols % l->chunk_cols) * element_bytes(dtype);
    for (uint64_t first = 0; first < full; first += STRETCH) {
        uint64_t end = full - first < STRETCH ? full : first + STRETCH;
        for (int r = 0; r < ASH_PANEL_ROWS; r++) {
            static const uint8_t zeros[64];
            for (uint64_t c = first; c < end; c++)
                to_lanes(dtype, rows[r] ? rows[r] + c * row_step : zeros, panel + c * chunk_bytes, r);
        }
    }
    for (int r = 0; r < ASH_PANEL_ROWS && rest; r++) {
        uint8_t last[64] = { 0 };
        if (rows[r])
            memcpy(last, rows[r] + full * row_step, rest);
        to_lanes(dtype, last, panel + full * chunk_bytes, r);
    }
}

static inline void unpack_plain(uint32_t dtype, uint64_t cols, const uint8_t *panel,
                                uint8_t *const rows[ASH_PANEL_ROWS])
{
    const ash_tile_layout *l = &layouts[dtype];
    size_t row_step = chunk_row_bytes(dtype), chunk_bytes = l->chunk_bytes;
    uint64_t full = cols / l->chunk_cols;
    size_t rest = (size_t)(cols % l->chunk_cols) * element_bytes(dtype);
    for (uint64_t first = 0; first < full; first += STRETCH) {
        uint64_t end = full - first < STRETCH ? full : first + STRETCH;
        for (int r = 0; r < ASH_PANEL_ROWS; r++)
            for (uint64_t c = first; c < end && rows[r]; c++)
                from_lanes(dtype, rows[r] + c * row_step, panel + c * chunk_bytes, r);
    }
    for (int r = 0; r < ASH_PANEL_ROWS && rest; r++) {
        uint8_t last[64];
        from_lanes(dtype, last, panel + full * chunk_bytes, r);
        if (rows[r])
            memcpy(rows[r] + full * row_step, last, rest);
    }
}

static void mask_plain(uint32_t dtype, uint64_t cols, uint32_t valid_rows, uint8_t *mask)
{
    memset(mask, 0, layouts[dtype].chunk_bytes);
    uint8_t row[64] = { 0 };
    memset(row, 0xff, (size_t)cols * element_bytes(dtype));
    for (uint32_t r = 0; r < valid_rows; r++)
        to_lanes(dtype, row, mask, (int)r);
}

/* ---- panels ---- */
static bool has_blocks(uint32_t dtype) { return dtype >= ASH_Q4_0 && dtype <= ASH_Q6_K; }

/* Source bytes of a full tile's columns in one row, of a type with blocks. */
static size_t tile_row_bytes(uint32_t dtype)
{
    const ash_dtype_info *info = ash_dtype_find(dtype);
    return (size_t)(layouts[dtype].tile_cols / info->block_elems) * info->block_bytes;
}

void ash_tile_pack(uint32_t dtype, uint64_t cols, const uint8_t *const rows[ASH_PANEL_ROWS], uint8_t *panel)
{
    /* A constant type in each call lets the compiler turn the copies into single loads and stores. */
    switch (dtype) {
    case ASH_F32: pack_plain(ASH_F32, cols, rows, panel); return;
    case ASH_F16:
    case ASH_BF16: pack_plain(ASH_F16, cols, rows, panel); return;
    case ASH_F8_E4M3: pack_plain(ASH_F8_E4M3, cols, rows, panel); return;
    default: break;
    }
    if (!has_blocks(dtype))
        return;
    const ash_tile_layout *l = &layouts[dtype];
    size_t step = tile_row_bytes(dtype);
    const uint8_t *at[ASH_PANEL_ROWS];
    memcpy(at, rows, sizeof at);
    for (uint64_t left = cols; left != 0;) {
        uint32_t n = left < l->tile_cols ? (uint32_t)left : l->tile_cols;
        ash_tile_pack_blocks(dtype, n, at, panel);
        panel += tile_bytes(l, n);
        left -= n;
        for (int r = 0; r < ASH_PANEL_ROWS && left; r++)
            at[r] = at[r] ? at[r] + step : NULL;
    }
}

void ash_tile_unpack(uint32_t dtype, uint64_t cols, const uint8_t *panel, uint8_t *const rows[ASH_PANEL_ROWS])
{
    switch (dtype) {
    case ASH_F32: unpack_plain(ASH_F32, cols, panel, rows); return;
    case ASH_F16:
    case ASH_BF16: unpack_plain(ASH_F16, cols, panel, rows); return;
    case ASH_F8_E4M3: unpack_plain(ASH_F8_E4M3, cols, panel, rows); return;
    default: break;
    }
    if (!has_blocks(dtype))
        return;
    const ash_tile_layout *l = &layouts[dtype];
    size_t step = tile_row_bytes(dtype);
    uint8_t *at[ASH_PANEL_ROWS];
    memcpy(at, rows, sizeof at);
    for (uint64_t left = cols; left != 0;) {
        uint32_t n = left < l->tile_cols ? (uint32_t)left : l->tile_cols;
        ash_tile_unpack_blocks(dtype, n, panel, at);
        panel += tile_bytes(l, n);
        left -= n;
        for (int r = 0; r < ASH_PANEL_ROWS && left; r++)
            at[r] = at[r] ? at[r] + step : NULL;
    }
}

bool ash_tile_padding_zero(uint32_t dtype, uint64_t cols, uint32_t valid_rows, const uint8_t *panel)
{
    const ash_tile_layout *l = ash_tile_layout_of(dtype);
    if (!l)
        return false;
    if (valid_rows > ASH_PANEL_ROWS)
        valid_rows = ASH_PANEL_ROWS;
    uint64_t full = cols / l->tile_cols, full_bytes = tile_bytes(l, l->tile_cols);
    uint8_t mask[ASH_TILE_BYTES_MAX];
    bool masked = false; /* for full tiles: built once, and only where rows are missing */
    if (valid_rows == ASH_PANEL_ROWS) {
        panel += full * full_bytes; /* full tiles of full panels have no padding */
        full = 0;
    }
    for (uint64_t t = 0; t <= full; t++) {
        uint64_t n = t < full ? l->tile_cols : cols % l->tile_cols;
        if (n == 0)
            break;
        if (!masked || t == full) {
            if (has_blocks(dtype))
                ash_tile_mask_blocks(dtype, (uint32_t)n, valid_rows, mask);
            else
                mask_plain(dtype, n, valid_rows, mask);
            masked = true;
        }
        uint64_t bytes = tile_bytes(l, n);
        uint8_t stray = 0;
        for (uint64_t i = 0; i < bytes; i++)
            stray |= panel[i] & (uint8_t)~mask[i];
        if (stray)
            return false;
        panel += bytes;
    }
    return true;
}
