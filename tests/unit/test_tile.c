/* Tile layouts: nothing is lost, every bit lies where tile.h says, padding is zero and watched, sizes follow from K. */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/tile.h"

/* Element types take any K; blocks of 32 multiples of 32; K-quants multiples of 64 (a chunk) where the source block's
 * rest is empty. */
static const uint64_t plain_cols[] = { 1,   7,   15,  16,  17,  31,  32,  33,  64, 96,
                                       100, 255, 256, 257, 320, 576, 640, 896, 2048 };
static const uint64_t small_cols[] = { 32, 64, 96, 160, 224, 256, 288, 320, 576, 640, 896, 2048 };
static const uint64_t k_cols[] = { 64, 128, 192, 256, 320, 576, 640, 896, 2048 };

static size_t cols_of(uint32_t dtype, const uint64_t **list)
{
    if (dtype <= ASH_F8_E4M3)
        return *list = plain_cols, sizeof plain_cols / sizeof *plain_cols;
    if (dtype <= ASH_Q8_0)
        return *list = small_cols, sizeof small_cols / sizeof *small_cols;
    return *list = k_cols, sizeof k_cols / sizeof *k_cols;
}

static bool is_k(uint32_t dtype) { return dtype >= ASH_Q4_K; }

/* ---- an independent description: where a bit of the source row is found in the panel ----
 * Written from the comments of tile.h and blocks.h alone, element by element. */

/* Offset of the tile that holds column k, and k inside the tile. */
static uint64_t tile_of(uint32_t dtype, uint64_t k, uint32_t *inside)
{
    static const struct { uint32_t cols, header, chunks, chunk; } t[ASH_USABLE_DTYPES] = {
        { 16, 0, 1, 1024 }, { 16, 0, 1, 512 }, { 16, 0, 1, 512 }, { 32, 0, 1, 512 },           /* F32 .. F8_E4M3 */
        { 256, 256, 4, 512 }, { 256, 512, 4, 512 }, { 256, 256, 4, 640 }, { 256, 512, 4, 640 }, /* Q4_0 .. Q5_1 */
        { 256, 256, 8, 512 },                                                                  /* Q8_0 */
        { 256, 256, 4, 512 }, { 256, 256, 4, 640 }, { 256, 288, 4, 768 },                      /* Q4_K .. Q6_K */
    };
    *inside = (uint32_t)(k % t[dtype].cols);
    return k / t[dtype].cols * (t[dtype].header + t[dtype].chunks * t[dtype].chunk);
}

/* The panel bit (8 * byte + bit) of bit `bit` of the code of element (r, k). */
static uint64_t code_bit(uint32_t dtype, uint32_t r, uint64_t k, uint32_t bit)
{
    uint32_t in;
    uint64_t tile = tile_of(dtype, k, &in);
    if (dtype <= ASH_BF16) {
        uint32_t size = dtype == ASH_F32 ? 4 : 2, half = in / 8;
        return 8 * (tile + (r + 16 * half) * 8 * size + in % 8 * size) + bit;
    }
    if (dtype == ASH_F8_E4M3 || dtype == ASH_Q8_0) {
        uint32_t chunk = in / 32, step = in % 32 / 16, half = in % 16 / 8;
        uint32_t header = dtype == ASH_Q8_0 ? 256 : 0;
        return 8 * (tile + header + 512 * chunk + 16 * (r + 16 * half) + 8 * step + in % 8) + bit;
    }
    uint32_t header = dtype == ASH_Q6_K ? 288 : dtype == ASH_Q4_1 || dtype == ASH_Q5_1 ? 512 : 256;
    bool five = dtype == ASH_Q5_0 || dtype == ASH_Q5_1 || dtype == ASH_Q5_K;
    uint32_t chunk_bytes = dtype == ASH_Q6_K ? 768 : five ? 640 : 512;
    uint64_t chunk = tile + header + in / 64 * chunk_bytes;
    uint32_t s = in % 64 / 16, lane = r + 16 * (in % 16 / 8), j = in % 8 / 4, b = in % 4;
    if (bit < 4)
        return 8 * (chunk + 16 * lane + 4 * s + b) + 4 * j + bit;
    if (chunk_bytes == 640)
        return 8 * (chunk + 512 + 4 * lane) + 8 * b + 2 * s + j;
    return 8 * (chunk + 512 + 8 * lane + 4 * (s >> 1)) + 8 * b + 4 * (s & 1) + 2 * j + bit - 4;
}

/* The source row's bit of the same. */
static uint64_t source_bit(uint32_t dtype, uint64_t k, uint32_t bit)
{
    uint32_t e = (uint32_t)(k % 32), t = (uint32_t)(k % 256);
    switch (dtype) {
    case ASH_F32: return 32 * k + bit;
    case ASH_F16:
    case ASH_BF16: return 16 * k + bit;
    case ASH_F8_E4M3: return 8 * k + bit;
    case ASH_Q8_0: return 8 * (k / 32 * 34 + 2 + e) + bit;
    case ASH_Q4_0: return 8 * (k / 32 * 18 + 2 + e % 16) + 4 * (e / 16) + bit;
    case ASH_Q4_1: return 8 * (k / 32 * 20 + 4 + e % 16) + 4 * (e / 16) + bit;
    case ASH_Q5_0: return bit < 4 ? 8 * (k / 32 * 22 + 6 + e % 16) + 4 * (e / 16) + bit : 8 * (k / 32 * 22 + 2) + e;
    case ASH_Q5_1: return bit < 4 ? 8 * (k / 32 * 24 + 8 + e % 16) + 4 * (e / 16) + bit : 8 * (k / 32 * 24 + 4) + e;
    case ASH_Q4_K: return 8 * (k / 256 * 144 + 16 + t / 64 * 32 + e) + 4 * (t / 32 % 2) + bit;
    case ASH_Q5_K:
        return bit < 4 ? 8 * (k / 256 * 176 + 48 + t / 64 * 32 + e) + 4 * (t / 32 % 2) + bit
                       : 8 * (k / 256 * 176 + 16 + e) + t / 32;
    default: { /* Q6_K */
        uint32_t half = t / 128, quarter = t % 128 / 32;
        return bit < 4 ? 8 * (k / 256 * 210 + 64 * half + 32 * (quarter & 1) + e) + 4 * (quarter >> 1) + bit
                       : 8 * (k / 256 * 210 + 128 + 32 * half + e) + 2 * quarter + bit - 4;
    }
    }
}

static uint32_t code_bits(uint32_t dtype)
{
    static const uint8_t bits[ASH_USABLE_DTYPES] = { 32, 16, 16, 8, 4, 4, 5, 5, 8, 4, 5, 6 };
    return bits[dtype];
}

/* Copies of a header byte: byte `i` of the scales that row r has for the block of column k (a multiple of the block),
 * in the source row and in the panel. False when there are no more. */
static bool scale_byte(uint32_t dtype, uint32_t r, uint64_t k, uint32_t i, uint64_t *source, uint64_t *panel)
{
    uint32_t in;
    uint64_t tile = tile_of(dtype, k, &in), row16 = tile + 16 * r, b = in / 32;
    switch (dtype) {
    case ASH_Q8_0:
    case ASH_Q4_0:
    case ASH_Q5_0:
        *source = k / 32 * (dtype == ASH_Q8_0 ? 34 : dtype == ASH_Q4_0 ? 18 : 22) + i;
        *panel = row16 + 2 * b + i;
        return i < 2;
    case ASH_Q4_1:
    case ASH_Q5_1: /* d, then m */
        *source = k / 32 * (dtype == ASH_Q4_1 ? 20 : 24) + i;
        *panel = row16 + 2 * b + (i < 2 ? i : 256 + i - 2);
        return i < 4;
    case ASH_Q4_K:
    case ASH_Q5_K:
        *source = k / 256 * (dtype == ASH_Q4_K ? 144 : 176) + i;
        *panel = row16 + i;
        return i < 16;
    case ASH_Q6_K: /* scales, then d */
        *source = k / 256 * 210 + 192 + i;
        *panel = i < 16 ? row16 + i : tile + 256 + 2 * r + i - 16;
        return i < 18;
    default: return false;
    }
}

/* Bits of a K-quant's scale record that columns < n of its block use (blocks.h). */
static uint8_t scale_mask(uint32_t dtype, uint32_t i, uint32_t n)
{
    if (dtype == ASH_Q6_K)
        return i >= 16 || 16 * i < n ? 0xff : 0;
    if (!is_k(dtype) || i < 4)
        return 0xff;
    uint32_t s = i - 4, subs = (n + 31) / 32; /* byte s of scales[12], sub-blocks in use */
    if (s < 8)
        return (uint8_t)((s % 4 < subs ? 0x3f : 0) | (s % 4 + 4 < subs ? 0xc0 : 0));
    return s - 4 < subs ? 0xff : 0;
}

/* ---- random matrices ---- */
typedef struct matrix {
    uint32_t dtype, rows;
    uint64_t cols, row_bytes, panel_bytes;
    uint8_t *source[ASH_PANEL_ROWS]; /* NULL from `rows` on; each allocated alone: ASan sees an overrun */
    uint8_t *panel;
} matrix;

/* Random bytes; for a K-quant whose last block K does not fill, the bits beyond K are cleared. */
static matrix matrix_new(test_rng *rng, uint32_t dtype, uint64_t cols, uint32_t rows)
{
    matrix m = { .dtype = dtype, .rows = rows, .cols = cols };
    assert_true(ash_row_bytes(dtype, cols, &m.row_bytes));
    assert_true(ash_panel_bytes(dtype, cols, &m.panel_bytes));
    for (uint32_t r = 0; r < rows; r++) {
        m.source[r] = malloc(m.row_bytes);
        assert_non_null(m.source[r]);
        test_rng_bytes(rng, m.source[r], m.row_bytes);
        if (is_k(dtype) && cols % 256 != 0) {
            for (uint64_t k = cols; k % 256 != 0; k++)
                for (uint32_t bit = 0; bit < code_bits(dtype); bit++) {
                    uint64_t at = source_bit(dtype, k, bit);
                    m.source[r][at / 8] &= (uint8_t)~(1u << at % 8);
                }
            uint64_t from, to;
            for (uint32_t i = 0; scale_byte(dtype, r, cols / 256 * 256, i, &from, &to); i++)
                m.source[r][from] &= scale_mask(dtype, i, (uint32_t)(cols % 256));
        }
    }
    m.panel = malloc(m.panel_bytes);
    assert_non_null(m.panel);
    memset(m.panel, 0xa5, m.panel_bytes);
    ash_tile_pack(dtype, cols, (const uint8_t *const *)m.source, m.panel);
    return m;
}

static void matrix_free(matrix *m)
{
    for (uint32_t r = 0; r < ASH_PANEL_ROWS; r++)
        free(m->source[r]);
    free(m->panel);
}

#define FOR_EACH_SHAPE(dtype, cols)                                                       \
    for (uint32_t dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++)                          \
        for (uint64_t i_ = 0, n_, cols; n_ = cols_at(dtype, i_, &cols), i_ < n_; i_++)

static uint64_t cols_at(uint32_t dtype, uint64_t i, uint64_t *cols)
{
    const uint64_t *list;
    uint64_t n = cols_of(dtype, &list);
    *cols = i < n ? list[i] : 0;
    return n;
}

/* ---- tests ---- */
static void packing_and_unpacking_gives_the_same_bytes(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("tile round trip");
    static const uint32_t row_counts[] = { 16, 1, 7 };
    FOR_EACH_SHAPE(dtype, cols) {
        for (int v = 0; v < 3; v++) {
            matrix m = matrix_new(&rng, dtype, cols, row_counts[v]);
            uint8_t *back[ASH_PANEL_ROWS] = { NULL };
            for (uint32_t r = 0; r < m.rows; r++) {
                if (v == 2 && r == 3)
                    continue; /* a row that is not wanted */
                back[r] = malloc(m.row_bytes);
                assert_non_null(back[r]);
                memset(back[r], 0x5a, m.row_bytes);
            }
            ash_tile_unpack(dtype, cols, m.panel, back);
            for (uint32_t r = 0; r < m.rows; r++) {
                if (back[r] && memcmp(back[r], m.source[r], m.row_bytes) != 0)
                    fail_msg("%s, K = %d, row %u differs after the way back", ash_dtype_name(dtype), (int)cols, r);
                free(back[r]);
            }
            matrix_free(&m);
        }
    }
}

static bool bit_at(const uint8_t *bytes, uint64_t at) { return bytes[at / 8] >> at % 8 & 1; }

static void every_bit_lies_where_the_header_says(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("tile mapping");
    FOR_EACH_SHAPE(dtype, cols) {
        matrix m = matrix_new(&rng, dtype, cols, 13);
        /* Everything that has a place is moved out of the panel; what remains must be zero. */
        uint8_t *rest = malloc(m.panel_bytes);
        assert_non_null(rest);
        memcpy(rest, m.panel, m.panel_bytes);
        uint32_t block = ash_dtype_find(dtype)->block_elems;
        for (uint32_t r = 0; r < m.rows; r++)
            for (uint64_t k = 0; k < cols; k++) {
                for (uint32_t bit = 0; bit < code_bits(dtype); bit++) {
                    uint64_t to = code_bit(dtype, r, k, bit);
                    assert_true(to / 8 < m.panel_bytes);
                    if (bit_at(m.panel, to) != bit_at(m.source[r], source_bit(dtype, k, bit)))
                        fail_msg("%s, K = %d: row %u, column %d, bit %u is misplaced", ash_dtype_name(dtype), (int)cols,
                                 r, (int)k, bit);
                    rest[to / 8] &= (uint8_t)~(1u << to % 8);
                }
                uint64_t from, to;
                for (uint32_t i = 0; k % block == 0 && scale_byte(dtype, r, k, i, &from, &to); i++) {
                    assert_true(to < m.panel_bytes);
                    if (m.panel[to] != m.source[r][from])
                        fail_msg("%s, K = %d: row %u, column %d, scale byte %u is misplaced", ash_dtype_name(dtype),
                                 (int)cols, r, (int)k, i);
                    rest[to] = 0;
                }
            }
        for (uint64_t i = 0; i < m.panel_bytes; i++)
            if (rest[i])
                fail_msg("%s, K = %d: padding at byte %d is not zero", ash_dtype_name(dtype), (int)cols, (int)i);
        free(rest);
        matrix_free(&m);
    }
}

/* Known bits, derived by hand: one element of one type each, to catch an error that the two descriptions share. */
static void one_element_by_hand(void **state)
{
    (void)state;
    /* Q4_K, row 3, column 90 of the second block (K = 512): tile 1 at 2304; chunk 1 (columns 64 ..) at 256 + 512; in it
     * column 26: step 1; 26 % 16 = 10, the upper half: lane 3 + 16 = 19, of its eight column 2: low nibble, byte 2.
     * In the source: block at 144, qs at + 16, group 64 .. 127 at + 32, element 26 of its first half: low nibble. */
    uint8_t row[288] = { 0 }, panel[2 * 2304];
    const uint8_t *rows[ASH_PANEL_ROWS] = { [3] = row };
    row[144 + 16 + 32 + 26] = 0x0b;
    ash_tile_pack(ASH_Q4_K, 512, rows, panel);
    for (int i = 0; i < 2 * 2304; i++)
        assert_int_equal(panel[i], i == 2304 + 256 + 512 + 16 * 19 + 4 * 1 + 2 ? 0x0b : 0);

    /* F8, row 5, column 45: tile 1 at 512, column 13 of step 0: upper half, lane 21, its byte 5. */
    uint8_t bytes[64] = { [45] = 0x3c }, small[1024];
    const uint8_t *byte_rows[ASH_PANEL_ROWS] = { [5] = bytes };
    ash_tile_pack(ASH_F8_E4M3, 64, byte_rows, small);
    for (int i = 0; i < 1024; i++)
        assert_int_equal(small[i], i == 512 + 16 * 21 + 5 ? 0x3c : 0);
}

static void any_flipped_padding_bit_is_noticed(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("tile padding");
    static const uint64_t shapes[][2] = { { 1, 0 }, { 7, 0 }, { 17, 0 }, { 33, 0 }, { 32, 1 }, { 96, 1 }, { 288, 1 },
                                          { 64, 2 }, { 320, 2 }, { 512, 3 } };
    for (uint32_t dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++)
        for (size_t v = 0; v < sizeof shapes / sizeof *shapes; v++) {
            uint64_t kind = shapes[v][1], cols = shapes[v][0];
            if (kind != 3 && kind != (dtype <= ASH_F8_E4M3 ? 0u : dtype <= ASH_Q8_0 ? 1u : 2u))
                continue;
            for (uint32_t rows = 11; rows <= 16; rows += 5) {
                matrix m = matrix_new(&rng, dtype, cols, rows);
                assert_true(ash_tile_padding_zero(dtype, cols, rows, m.panel));
                /* Mark what is data by packing, with the description above, then flip each bit. */
                uint8_t *data = calloc(1, m.panel_bytes);
                assert_non_null(data);
                uint32_t block = ash_dtype_find(dtype)->block_elems;
                for (uint32_t r = 0; r < rows; r++)
                    for (uint64_t k = 0; k < cols; k++) {
                        for (uint32_t bit = 0; bit < code_bits(dtype); bit++) {
                            uint64_t to = code_bit(dtype, r, k, bit);
                            data[to / 8] |= (uint8_t)(1u << to % 8);
                        }
                        uint64_t from, to;
                        for (uint32_t i = 0; k % block == 0 && scale_byte(dtype, r, k, i, &from, &to); i++)
                            data[to] |= scale_mask(dtype, i, (uint32_t)(cols - k < 256 ? cols - k : 256));
                    }
                /* Every bit of small panels, one of 23 (odd: all eight places in a byte) of larger ones. */
                uint64_t bits = 8 * m.panel_bytes, step = bits <= 10000 ? 1 : 23;
                for (uint64_t at = 0; at < bits; at += step) {
                    m.panel[at / 8] ^= (uint8_t)(1u << at % 8);
                    if (ash_tile_padding_zero(dtype, cols, rows, m.panel) != bit_at(data, at))
                        fail_msg("%s, K = %d, %u rows: flipping bit %d is %s", ash_dtype_name(dtype), (int)cols, rows,
                                 (int)at, bit_at(data, at) ? "taken for padding" : "not noticed");
                    m.panel[at / 8] ^= (uint8_t)(1u << at % 8);
                }
                free(data);
                matrix_free(&m);
            }
        }
}

static void bits_beyond_the_last_chunk_are_dropped(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("tile dropped bits");
    for (uint32_t dtype = ASH_Q4_K; dtype <= ASH_Q6_K; dtype++) {
        matrix m = matrix_new(&rng, dtype, 320, 16);
        uint8_t *dirty[ASH_PANEL_ROWS], *panel = malloc(m.panel_bytes);
        assert_non_null(panel);
        for (uint32_t r = 0; r < 16; r++) {
            dirty[r] = malloc(m.row_bytes);
            assert_non_null(dirty[r]);
            memcpy(dirty[r], m.source[r], m.row_bytes);
            for (uint64_t k = 320; k < 512; k++)
                for (uint32_t bit = 0; bit < code_bits(dtype); bit++) {
                    uint64_t at = source_bit(dtype, k, bit);
                    dirty[r][at / 8] |= (uint8_t)(1u << at % 8);
                }
        }
        ash_tile_pack(dtype, 320, (const uint8_t *const *)dirty, panel);
        assert_memory_equal(panel, m.panel, m.panel_bytes);
        for (uint32_t r = 0; r < 16; r++)
            free(dirty[r]);
        free(panel);
        matrix_free(&m);
    }
}

static void sizes_follow_from_k(void **state)
{
    (void)state;
    uint64_t bytes;
    /* Q4_K, K = 576: two full tiles of 256 + 4 * 512 and a last one of 256 + 512 = 5376 bytes for 16 * 576 weights:
     * 4.667 bits each, against 6.0 with a full last tile. */
    assert_true(ash_panel_bytes(ASH_Q4_K, 576, &bytes));
    assert_int_equal(bytes, 2 * 2304 + 768);
    assert_int_equal(bytes * 8 * 1000 / (16 * 576), 4666);
    assert_true(ash_panel_bytes(ASH_Q4_K, 640, &bytes)); /* 4.60 */
    assert_int_equal(bytes * 8 * 1000 / (16 * 640), 4600);
    assert_true(ash_panel_bytes(ASH_Q4_K, 896, &bytes)); /* 4.571 */
    assert_int_equal(bytes * 8 * 1000 / (16 * 896), 4571);

    /* Where K fills whole tiles and rows whole panels, a matrix costs what its source costs. */
    for (uint32_t dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++) {
        uint64_t row;
        assert_true(ash_row_bytes(dtype, 2048, &row));
        assert_true(ash_panel_bytes(dtype, 2048, &bytes));
        assert_int_equal(bytes, 16 * row);
        assert_true(ash_tiled_bytes(dtype, 33, 2048, &bytes));
        assert_int_equal(bytes, 3 * 16 * row);
        const ash_tile_layout *l = ash_tile_layout_of(dtype);
        assert_non_null(l);
        assert_int_equal(l->tile_cols % l->chunk_cols, 0);
        assert_true(l->id > ASH_LAYOUT_LINEAR && l->id < ASH_LAYOUT_COUNT);
    }
    assert_true(ash_tiled_bytes(ASH_F32, 0, 5, &bytes));
    assert_int_equal(bytes, 0);

    assert_false(ash_panel_bytes(ASH_F32, 0, &bytes));
    assert_false(ash_panel_bytes(ASH_F64, 16, &bytes));
    assert_false(ash_panel_bytes(12345, 16, &bytes));
    assert_null(ash_tile_layout_of(ASH_MXFP4));
    assert_false(ash_panel_bytes(ASH_F32, UINT64_MAX, &bytes));
    assert_false(ash_tiled_bytes(ASH_F8_E4M3, UINT64_MAX, 1 << 20, &bytes));
    assert_false(ash_tiled_bytes(ASH_Q6_K, (uint64_t)1 << 40, (uint64_t)1 << 40, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_and_unpacking_gives_the_same_bytes),
        cmocka_unit_test(every_bit_lies_where_the_header_says),
        cmocka_unit_test(one_element_by_hand),
        cmocka_unit_test(any_flipped_padding_bit_is_noticed),
        cmocka_unit_test(bits_beyond_the_last_chunk_are_dropped),
        cmocka_unit_test(sizes_follow_from_k),
    };
    return cmocka_run_group_tests_name("tile", tests, NULL, NULL);
}
