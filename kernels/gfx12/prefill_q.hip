/* Prefill of the Q types: int8 activations times weights that are requantized on the way (requant_q.h), INT8 WMMA.
 *
 * A workgroup has 256 tokens and 4 panels (64 rows), or 2. Each of its 8 waves multiplies 2 tiles of 16 tokens of its own
 * with all panels, and requantizes, for all of them, one half of a tile of one panel (of 2 panels: half of the
 * waves requantize): the next tile's, into the other of two buffers in local memory, while its words for the
 * tile after are on their way. Sums over a group of columns are integers; then sum * token scale * row scale is added to
 * floats. Sums begin at INTEGER's bits, so that a subtraction
 * makes floats of them: |sum| <= 256 * 127 * 127 < 2^22. Those floats are single ones, not vectors, so that each of
 * the three operations, the sum too, goes two to an instruction.
 * Vector instructions a WMMA: 2.3 for Q4_K, of which 0.8 are those floats and 1.5 the requantization: 77% of the INT8
 * peak where they share a port; 2.0 to 2.8 for the other types, 74 to 80%.
 */
#include "kernels/gfx12/prefill.h"
#include "kernels/gfx12/requant_q.h"

#define GROUPS (TILE_COLS / ASH_GFX_GROUP) /* of a tile */
#define UNITS (ASH_GFX_GROUP / 32)         /* of a group */

template <int panels> struct buffers {
    uint8_t units[2][panels][TILE_COLS / 32][UNIT_BYTES];
    float scale[2][2][16][4]; /* buffer, half, row, panel */
    int last;
};

DEVICE void load_raw(int dtype, const uint8_t *tile, int half, int cols, offsets &o, raw_half &r)
{
    switch (dtype) {
    case ASH_Q4_0: load_half<ASH_Q4_0>(tile, half, cols, o, r); break;
    case ASH_Q4_1: load_half<ASH_Q4_1>(tile, half, cols, o, r); break;
    case ASH_Q5_0: load_half<ASH_Q5_0>(tile, half, cols, o, r); break;
    case ASH_Q5_1: load_half<ASH_Q5_1>(tile, half, cols, o, r); break;
    case ASH_Q8_0: load_half<ASH_Q8_0>(tile, half, cols, o, r); break;
    case ASH_Q4_K: load_half<ASH_Q4_K>(tile, half, cols, o, r); break;
    case ASH_Q5_K: load_half<ASH_Q5_K>(tile, half, cols, o, r); break;
    default: load_half<ASH_Q6_K>(tile, half, cols, o, r); break;
    }
}

DEVICE void requantize(int dtype, const raw_half &r, int half, uint8_t *units, float *scale)
{
    switch (dtype) {
    case ASH_Q4_0: requantize_half<ASH_Q4_0>(r, half, units, scale); break;
    case ASH_Q4_1: requantize_half<ASH_Q4_1>(r, half, units, scale); break;
    case ASH_Q5_0: requantize_half<ASH_Q5_0>(r, half, units, scale); break;
    case ASH_Q5_1: requantize_half<ASH_Q5_1>(r, half, units, scale); break;
    case ASH_Q8_0: requantize_half<ASH_Q8_0>(r, half, units, scale); break;
    case ASH_Q4_K: requantize_half<ASH_Q4_K>(r, half, units, scale); break;
    case ASH_Q5_K: requantize_half<ASH_Q5_K>(r, half, units, scale); break;
    default: requantize_half<ASH_Q6_K>(r, half, units, scale); break;
    }
}

/* A wave's inputs: its two tiles of tokens. Columns go in units of 32. */
typedef struct inputs {
    const uint8_t *x[2];
    const float *scale[2];
} inputs;

/* One group: integer sums, then floats. */
template <int panels>
DEVICE void add_group(const buffers<panels> &b, int buffer, int group_of_tile, int group, const inputs &in, offsets &o,
                      v4u x[2], int last_unit, float acc[2][panels][8])
{
    v8i sum[2][panels];
    v8f token_scale[2];
    int lane = lane_id();
    for (int i = 0; i < 2; i++)
        for (int p = 0; p < panels; p++)
            sum[i][p] = (v8i)(0x4b400000); /* INTEGER */
    for (int u = 0; u < UNITS; u++) {
        v4u w[panels], now[2] = { x[0], x[1] };
        for (int p = 0; p < panels; p++)
            w[p] = load<v4u>(&b.units[buffer][p][group_of_tile * UNITS + u][16 * lane]);
        int next = group * UNITS + u + 1;
        next = next < last_unit ? next : last_unit;
        for (int i = 0; i < 2; i++)
            x[i] = load_at<v4u>(in.x[i] + next * UNIT_BYTES, o.lane16);
        if (u == UNITS - 1)
            for (int i = 0; i < 2; i++)
                token_scale[i] = load_eight(in.scale[i] + group * 16, o);
        for (int p = 0; p < panels; p++)
            for (int i = 0; i < 2; i++)
                sum[i][p] = mma_i8((v2i){ (int)now[i].x, (int)now[i].y }, (v2i){ (int)w[p].x, (int)w[p].y }, sum[i][p]);
        for (int p = 0; p < panels; p++)
            for (int i = 0; i < 2; i++)
                sum[i][p] = mma_i8((v2i){ (int)now[i].z, (int)now[i].w }, (v2i){ (int)w[p].z, (int)w[p].w }, sum[i][p]);
    }
    const float *scales = &b.scale[buffer][group_of_tile][lane & 15][0];
    v2f first = load<v2f>(scales), second = panels > 2 ? load<v2f>(scales + 2) : first;
    v4f row_scale = { first.x, first.y, second.x, second.y };
    for (int p = 0; p < panels; p++)
        for (int i = 0; i < 2; i++)
            for (int e = 0; e < 8; e++) {
                int bits = sum[i][p][e];
                float value = (__builtin_bit_cast(float, bits) - INTEGER) * token_scale[i][e];
                acc[i][p][e] = __builtin_fmaf(value, row_scale[p], acc[i][p][e]);
            }
}

template <int panels> DEVICE void prefill(const ash_gfx_prefill &a, buffers<panels> &b)
{
    place at = find_place(a, panels);
    offsets o = make_offsets();
    int wave = wave_id(), tiles = ((int)a.cols + TILE_COLS - 1) / TILE_COLS;
    int groups = ((int)a.cols + ASH_GFX_GROUP - 1) / ASH_GFX_GROUP;
    int token_tiles = ((int)a.tokens + 15) / 16, first_tile = group_x() * 16 + 2 * wave;
    bool active = first_tile < token_tiles;
    inputs in;
    for (int i = 0; i < 2; i++) {
        int64_t tile = first_tile + i < token_tiles ? first_tile + i : token_tiles - 1;
        in.x[i] = (const uint8_t *)a.x + tile * groups * (16 * ASH_GFX_GROUP);
        in.scale[i] = a.x_scale + tile * groups * 16;
    }
    /* What this wave requantizes: half of a tile, if there is one left for it. */
    int half = wave & 1, from = wave / 2 < panels ? wave / 2 : 0;
    bool requantizes = panels == 4 || wave / 2 < panels;
    panel_at source = find_panel(a, at, from);
    int dtype = (int)source.part->dtype, step = tile_bytes(dtype);
    const uint8_t *tile = source.data;
    raw_half raw;
    if (requantizes) {
        load_raw(dtype, tile, half, (int)a.cols, o, raw);
        requantize(dtype, raw, half, b.units[0][from][4 * half], &b.scale[0][half][0][from]);
    }
    if (requantizes && tiles > 1)
        load_raw(dtype, tile += step, half, (int)a.cols - TILE_COLS, o, raw);
    v4u x[2] = { load_at<v4u>(in.x[0], o.lane16), load_at<v4u>(in.x[1], o.lane16) };
    float acc[2][panels][8] = {};
    barrier();
    for (int t = 0; t < tiles; t++) {
        if (active)
            for (int g = 0; g < GROUPS && t * GROUPS + g < groups; g++)
                add_group(b, t & 1, g, t * GROUPS + g, in, o, x, groups * UNITS - 1, acc);
        if (requantizes && t + 1 < tiles)
            requantize(dtype, raw, half, b.units[(t + 1) & 1][from][4 * half], &b.scale[(t + 1) & 1][half][0][from]);
        if (requantizes && t + 2 < tiles)
            load_raw(dtype, tile += step, half, (int)a.cols - (t + 2) * TILE_COLS, o, raw);
        barrier();
    }
    if (active)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            v8f sums[panels], factor = (v8f)(1.0f);
            if (a.x_squares)
                factor = norm_factors(a, first_tile + i < token_tiles ? first_tile + i : token_tiles - 1, groups);
#pragma unroll
            for (int p = 0; p < panels; p++)
                for (int e = 0; e < 8; e++)
                    sums[p][e] = acc[i][p][e] * factor[e];
            finish<panels>(a, at, 16 * (first_tile + i), sums);
        }
    make_next<panels>(a, at, b.last);
}

#define PREFILL(name, panels)                                                                           \
    KERNEL(ASH_GFX_PREFILL_THREADS) __attribute__((amdgpu_waves_per_eu(6))) void name(ash_gfx_prefill a) \
    {                                                                                                   \
        SHARED static buffers<panels> b;                                                                \
        prefill<panels>(a, b);                                                                          \
    }
PREFILL(ash_prefill_q_4, 4)
PREFILL(ash_prefill_q_2, 2)
