/* The specification of MATMUL_F32, MATMUL_BF16, MATMUL_Q8 and ROW: one loop each, with a chunk reader for every type.
 * Sums are in double, so that what faster forms are compared with is as good as exact. */
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/scalar/chunk.h"

#define TOKEN_BLOCK 64 /* a chunk is decoded once for so many tokens */

typedef struct shape {
    int tile_cols, chunk_cols, header_bytes, chunk_bytes;
} shape;

/* Column k's chunk. Tiles before the last one are full, and a panel's bytes ascend with k. */
static inline ash_chunk_at find_chunk(const ash_matrix *w, const shape *s, int64_t panel, int r, int64_t k)
{
    int64_t chunks_per_tile = s->tile_cols / s->chunk_cols;
    int64_t tile_bytes = s->header_bytes + chunks_per_tile * s->chunk_bytes;
    int64_t tile = k / s->tile_cols, chunk = k % s->tile_cols / s->chunk_cols;
    const uint8_t *header = w->data + panel * w->panel_bytes + tile * tile_bytes;
    return (ash_chunk_at){ .w = w, .header = header, .chunk = header + s->header_bytes + chunk * s->chunk_bytes,
                           .panel = panel, .k = k, .r = r, .c = (int)chunk };
}

static inline __attribute__((always_inline)) void
matmul_f32(const ash_matrix *w, int64_t panel_first, int64_t panel_count, const ash_acts *x, float *y,
           int64_t y_token_stride, int64_t y_panel_stride, const shape *s, ash_chunk_floats_fn *read, bool bf16)
{
    for (int64_t t0 = 0; t0 < x->tokens; t0 += TOKEN_BLOCK) {
        int64_t count = x->tokens - t0 < TOKEN_BLOCK ? x->tokens - t0 : TOKEN_BLOCK;
        for (int64_t i = 0; i < panel_count; i++) {
            for (int r = 0; r < ASH_PANEL_ROWS; r++) {
                double sum[TOKEN_BLOCK] = { 0 };
                for (int64_t k = 0; k < w->cols; k += s->chunk_cols) {
                    ash_chunk_at chunk = find_chunk(w, s, panel_first + i, r, k);
                    float weight[ASH_CHUNK_MAX];
                    read(&chunk, weight);
                    int64_t cols = w->cols - k < s->chunk_cols ? w->cols - k : s->chunk_cols;
                    for (int64_t t = 0; t < count; t++) {
                        for (int64_t c = 0; c < cols; c++) {
                            int64_t at = (t0 + t) * x->stride + k + c;
                            sum[t] += (double)weight[c] * (double)(bf16 ? ash_bf16_to_f32(x->bf16[at]) : x->f32[at]);
                        }
                    }
                }
                for (int64_t t = 0; t < count; t++)
                    y[(t0 + t) * y_token_stride + i * y_panel_stride + r] = (float)sum[t];
            }
        }
    }
}

/* sum over groups of scale * dx * (sum of q * xq) + min * dx * (sum of xq), groups of 16 columns, whose integer sums
 * are exact: 16 * 128 * 127 < 2^18. Joining two groups of the same scale gives the same integers. Of q8_fine over both
 * rows. */
static inline __attribute__((always_inline)) void
matmul_q8(const ash_matrix *w, int64_t panel_first, int64_t panel_count, const ash_acts *x, float *y,
          int64_t y_token_stride, int64_t y_panel_stride, const shape *s, ash_chunk_codes_fn *read)
{
    const int64_t rows = x->q8_fine ? 2 : 1; /* of a token */
    for (int64_t t0 = 0; t0 < x->tokens; t0 += TOKEN_BLOCK) {
        int64_t count = x->tokens - t0 < TOKEN_BLOCK ? x->tokens - t0 : TOKEN_BLOCK;
        for (int64_t i = 0; i < panel_count; i++) {
            for (int r = 0; r < ASH_PANEL_ROWS; r++) {
                double sum[TOKEN_BLOCK] = { 0 };
                for (int64_t k = 0; k < w->cols; k += s->chunk_cols) {
                    ash_chunk_at at = find_chunk(w, s, panel_first + i, r, k);
                    ash_codes codes;
                    read(&at, &codes);
                    for (int64_t j = 0; j < count * rows; j++) {
                        int64_t t = j % count, row = t0 + t + j / count * x->tokens;
                        const int8_t *xq = x->q8 + row * x->stride + k;
                        const float *dx = x->q8_scale + row * (x->stride / 32) + k / 32;
                        const int16_t *xsum = x->q8_sum + row * (x->stride / 16) + k / 16;
                        for (int g = 0; g < s->chunk_cols / 16; g++) {
                            int32_t dot = 0;
                            for (int c = 0; c < 16; c++)
                                dot += codes.q[16 * g + c] * xq[16 * g + c];
                            double scaled = (double)codes.scale[g] * dot + (double)codes.min[g] * xsum[g];
                            sum[t] += scaled * (double)dx[g / 2];
                        }
                    }
                }
                for (int64_t t = 0; t < count; t++)
                    y[(t0 + t) * y_token_stride + i * y_panel_stride + r] = (float)sum[t];
            }
        }
    }
}

static inline __attribute__((always_inline)) void
read_row(const ash_matrix *w, int64_t row, float *out, const shape *s, ash_chunk_floats_fn *read)
{
    for (int64_t k = 0; k < w->cols; k += s->chunk_cols) {
        ash_chunk_at at = find_chunk(w, s, row / ASH_PANEL_ROWS, (int)(row % ASH_PANEL_ROWS), k);
        float weight[ASH_CHUNK_MAX];
        read(&at, weight);
        int64_t cols = w->cols - k < s->chunk_cols ? w->cols - k : s->chunk_cols;
        memcpy(out + k, weight, (size_t)cols * sizeof *out);
    }
}

#define FLOAT_OPS(type, tile, chunk, header, bytes)                                                                  \
    static const shape shape_##type = { tile, chunk, header, bytes };                                                \
    void ash_matmul_f32_##type##_scalar(const ash_matrix *w, int64_t first, int64_t panels, const ash_acts *x,       \
                                        float *y, int64_t y_token_stride, int64_t y_panel_stride, void *scratch)     \
    {                                                                                                                \
        (void)scratch;                                                                                               \
        matmul_f32(w, first, panels, x, y, y_token_stride, y_panel_stride, &shape_##type, ash_floats_##type, false); \
    }                                                                                                                \
    void ash_row_##type##_scalar(const ash_matrix *w, int64_t row, float *out)                                       \
    {                                                                                                                \
        read_row(w, row, out, &shape_##type, ash_floats_##type);                                                     \
    }
#define BF16_OPS(type, tile, chunk, header, bytes)                                                                   \
    FLOAT_OPS(type, tile, chunk, header, bytes)                                                                      \
    void ash_matmul_bf16_##type##_scalar(const ash_matrix *w, int64_t first, int64_t panels, const ash_acts *x,      \
                                         float *y, int64_t y_token_stride, int64_t y_panel_stride, void *scratch)    \
    {                                                                                                                \
        (void)scratch;                                                                                               \
        matmul_f32(w, first, panels, x, y, y_token_stride, y_panel_stride, &shape_##type, ash_floats_##type, true);  \
    }
#define CODE_OPS(type, tile, chunk, header, bytes)                                                                   \
    FLOAT_OPS(type, tile, chunk, header, bytes)                                                                      \
    void ash_matmul_q8_##type##_scalar(const ash_matrix *w, int64_t first, int64_t panels, const ash_acts *x,        \
                                       float *y, int64_t y_token_stride, int64_t y_panel_stride, void *scratch)      \
    {                                                                                                                \
        (void)scratch;                                                                                               \
        matmul_q8(w, first, panels, x, y, y_token_stride, y_panel_stride, &shape_##type, ash_codes_##type);          \
    }

/* format/tile.h's table */
FLOAT_OPS(f32, 16, 16, 0, 1024)
FLOAT_OPS(f16, 16, 16, 0, 512)
BF16_OPS(bf16, 16, 16, 0, 512)
BF16_OPS(f8_e4m3, 32, 32, 0, 512)
CODE_OPS(q4_0, 256, 64, 256, 512)
CODE_OPS(q4_1, 256, 64, 512, 512)
CODE_OPS(q5_0, 256, 64, 256, 640)
CODE_OPS(q5_1, 256, 64, 512, 640)
CODE_OPS(q8_0, 256, 32, 256, 512)
CODE_OPS(q4_k, 256, 64, 256, 512)
CODE_OPS(q5_k, 256, 64, 256, 640)
CODE_OPS(q6_k, 256, 64, 288, 768)
