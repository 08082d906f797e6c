#include "tests/support/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "format/tile.h"

/* Where a block keeps its halves and its codes; -1 for none. */
typedef struct block_fields {
    int d, m, sub_scales, sub_scale_bytes, offset;
} block_fields;

static const block_fields fields[ASH_USABLE_DTYPES] = {
    [ASH_Q4_0] = { 0, -1, 0, 0, 8 },  [ASH_Q4_1] = { 0, 2, 0, 0, 0 },  [ASH_Q5_0] = { 0, -1, 0, 0, 16 },
    [ASH_Q5_1] = { 0, 2, 0, 0, 0 },   [ASH_Q8_0] = { 0, -1, 0, 0, 0 }, [ASH_Q4_K] = { 0, 2, 4, 12, 0 },
    [ASH_Q5_K] = { 0, 2, 4, 12, 0 },  [ASH_Q6_K] = { 208, -1, 192, 16, 32 },
};

static void put_half(uint8_t *p, float value)
{
    uint16_t h = ash_f32_to_f16(value);
    memcpy(p, &h, 2);
}

static float extreme_scale(test_rng *rng)
{
    static const float values[] = { 65504, -65504, 0x1p-24f, -0x1p-24f, 0x1p-14f, 0, 1 };
    return values[test_rng_below(rng, sizeof values / sizeof values[0])];
}

static float random_scale(weight_kind kind, test_rng *rng)
{
    return kind == WEIGHT_EXTREME ? extreme_scale(rng) : kind == WEIGHT_RUNS ? 1 : 0.05f * test_rng_float(rng);
}

static void fill_block(ash_dtype dtype, weight_kind kind, uint8_t *block, size_t bytes, test_rng *rng)
{
    const block_fields *f = &fields[dtype];
    if (kind == WEIGHT_ZERO) {
        memset(block, 0, bytes);
        return;
    }
    if (kind == WEIGHT_RANDOM)
        test_rng_bytes(rng, block, bytes);
    else if (kind == WEIGHT_RUNS)
        memset(block, (int)test_rng_below(rng, 256), bytes);
    else
        memset(block, test_rng_below(rng, 2) ? 0xff : 0, bytes);
    if (kind == WEIGHT_EXTREME && dtype == ASH_Q8_0)
        memset(block + 2, test_rng_below(rng, 2) ? 0x80 : 0x7f, bytes - 2);
    if (kind == WEIGHT_EXTREME && dtype == ASH_Q6_K)
        memset(block + 192, test_rng_below(rng, 2) ? 0x80 : 0x7f, 16);
    put_half(block + f->d, random_scale(kind, rng));
    if (f->m >= 0)
        put_half(block + f->m, random_scale(kind, rng));
}

/* Adversarial elements stay below 2^60, so that no product or sum overflows a float. */
static float element(weight_kind kind, test_rng *rng)
{
    static const float extreme[] = { 0x1p60f, -0x1p60f, 0x1p-126f, 0x1p-149f, -0x1p-130f, 0.0f, -0.0f, 1 };
    switch (kind) {
    case WEIGHT_ZERO: return 0;
    case WEIGHT_RUNS: return 1;
    case WEIGHT_EXTREME: return extreme[test_rng_below(rng, 8)];
    default: return test_rng_float(rng);
    }
}

static void put_element(ash_dtype dtype, uint8_t *row, int64_t k, float value)
{
    uint16_t half = dtype == ASH_F16 ? ash_f32_to_f16(fmaxf(fminf(value, 65504), -65504)) : ash_f32_to_bf16(value);
    if (dtype == ASH_F32)
        memcpy(row + 4 * k, &value, 4);
    else if (dtype == ASH_F8_E4M3)
        row[k] = ash_f32_to_e4m3(value);
    else
        memcpy(row + 2 * k, &half, 2);
}

static void fill_elements(ash_dtype dtype, weight_kind kind, int64_t r, int64_t cols, uint8_t *row, test_rng *rng)
{
    for (int64_t k = 0; k < cols; k++) {
        float value = element(kind, rng);
        if (dtype == ASH_F8_E4M3 && kind == WEIGHT_RANDOM)
            value = 448 * value * value * value; /* every binade of the format */
        put_element(dtype, row, k, value);
    }
    if (kind == WEIGHT_NAN && r == 1)
        put_element(dtype, row, (int64_t)test_rng_below(rng, (uint64_t)cols), NAN);
}

/* |W|': the row decoded without its minimums, and without its scales; an offset counts twice its d, which covers
 * |d| (q + offset) for every q. */
static void decode_magnitude(ash_dtype dtype, const uint8_t *row, size_t row_bytes, int64_t cols, const float *values,
                             float *magnitude)
{
    const block_fields *f = &fields[dtype];
    const ash_dtype_info *info = ash_dtype_find(dtype);
    for (int64_t k = 0; k < cols; k++)
        magnitude[k] = fabsf(values[k]);
    if (info->block_elems == 1 || (f->m < 0 && f->offset == 0))
        return;
    uint8_t *part = malloc(row_bytes);
    float *other = malloc((size_t)cols * sizeof *other);
    memcpy(part, row, row_bytes);
    for (size_t at = 0; at < row_bytes; at += info->block_bytes) {
        if (f->m >= 0) {
            memset(part + at + f->d, 0, 2);
            continue;
        }
        uint8_t kept[16 + 2]; /* everything but d and the sub-block scales: codes 0 decode to -offset */
        memcpy(kept, part + at + f->d, 2);
        memcpy(kept + 2, part + at + f->sub_scales, (size_t)f->sub_scale_bytes);
        memset(part + at, 0, info->block_bytes);
        memcpy(part + at + f->sub_scales, kept + 2, (size_t)f->sub_scale_bytes);
        memcpy(part + at + f->d, kept, 2);
    }
    ash_decode_row(dtype, part, cols, other);
    for (int64_t k = 0; k < cols; k++) /* with minimums: |W| + 2 |min| >= |s q| + |min| */
        magnitude[k] += 2 * fabsf(other[k]);
    free(part);
    free(other);
}

static void make_scales(test_matrix *m, ash_scale_kind kind, weight_kind weights, test_rng *rng)
{
    int64_t panels = (m->w.rows + 15) / 16, blocks = (m->w.cols + 127) / 128;
    int64_t count = kind == ASH_SCALE_TENSOR ? 1 : kind == ASH_SCALE_ROW ? panels * 16 : panels * blocks * 16;
    m->scale = guard_alloc((size_t)count * sizeof(float), sizeof(float));
    float *scale = m->scale.p;
    for (int64_t i = 0; i < count; i++)
        scale[i] = weights == WEIGHT_EXTREME ? (i & 1 ? 0x1p-60f : 0x1p30f) : 0.02f + 0.01f * test_rng_float(rng);
    m->w.scale_kind = kind;
    m->w.scale = scale;
    for (int64_t r = 0; r < m->w.rows; r++) {
        for (int64_t k = 0; k < m->w.cols; k++) {
            int64_t block = ((r / 16) * blocks + k / 128) * 16 + r % 16;
            m->values[r * m->w.cols + k] *= scale[kind == ASH_SCALE_TENSOR ? 0 : kind == ASH_SCALE_ROW ? r : block];
        }
    }
}

test_matrix weights_make(ash_dtype dtype, int64_t rows, int64_t cols, weight_kind kind, ash_scale_kind scale_kind,
                         test_rng *rng)
{
    const ash_dtype_info *info = ash_dtype_find(dtype);
    uint64_t panel_bytes = 0, row_bytes = 0;
    int64_t panels = (rows + 15) / 16;
    assert_true(ash_panel_bytes(dtype, (uint64_t)cols, &panel_bytes) &&
                ash_row_bytes(dtype, (uint64_t)cols, &row_bytes));
    test_matrix m = { .w = { .dtype = dtype, .rows = rows, .cols = cols, .panel_bytes = (int64_t)panel_bytes } };
    m.data = guard_alloc((size_t)panels * panel_bytes, 16);
    m.values = malloc((size_t)(rows * cols) * sizeof(float));
    m.magnitude = malloc((size_t)(rows * cols) * sizeof(float));
    uint8_t *source = calloc((size_t)panels * 16, row_bytes);
    assert_non_null(source);
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *row = source + (size_t)r * row_bytes;
        if (info->block_elems == 1)
            fill_elements(dtype, kind, r, cols, row, rng);
        else
            for (size_t at = 0; at < row_bytes; at += info->block_bytes)
                fill_block(dtype, kind, row + at, info->block_bytes, rng);
        ash_decode_row(dtype, row, cols, m.values + r * cols);
        decode_magnitude(dtype, row, row_bytes, cols, m.values + r * cols, m.magnitude + r * cols);
    }
    for (int64_t p = 0; p < panels; p++) {
        const uint8_t *in_panel[ASH_PANEL_ROWS];
        for (int64_t r = 0; r < ASH_PANEL_ROWS; r++)
            in_panel[r] = 16 * p + r < rows ? source + (size_t)(16 * p + r) * row_bytes : NULL;
        ash_tile_pack(dtype, (uint64_t)cols, in_panel, (uint8_t *)m.data.p + (size_t)p * panel_bytes);
    }
    m.w.data = m.data.p;
    if (dtype == ASH_F8_E4M3 && scale_kind != ASH_SCALE_NONE) {
        make_scales(&m, scale_kind, kind, rng);
        for (int64_t i = 0; i < rows * cols; i++)
            m.magnitude[i] = fabsf(m.values[i]);
    }
    free(source);
    return m;
}

void weights_free(test_matrix *m)
{
    guard_free(&m->data);
    guard_free(&m->scale);
    free(m->values);
    free(m->magnitude);
}
