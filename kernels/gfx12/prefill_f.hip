/* Prefill of F8_E4M3, F16 and BF16: WMMA straight from the tiles.
 *
 * A workgroup has 256 tokens and 8 panels (128 rows). Each of its 8 waves multiplies 2 tiles of 16 tokens of its own
 * with all panels, and brings the units of one panel, 512 bytes each, for all of them into one of two buffers in local
 * memory, the next ones on their way meanwhile. So each byte of the tokens is read once a workgroup, and each byte of
 * the weights too. Scales of tensors and rows are applied to sums; those of groups of the tokens' columns and of blocks of
 * weights every 128 columns, to the sums of those. Vector instructions a WMMA: 0.04 to 0.08; with groups 0.54, two sums
 * to an instruction; with blocks too 1.6: at most 99%, 94% and 83% of the peak where they share a port. Local memory leaves
 * 6 waves a SIMD, for which 240 registers are free.
 * A unit is 32 columns of F8_E4M3 (two WMMAs) or 16 of the others (one, twice as long).
 */
#include "kernels/gfx12/prefill.h"

#define PANELS ASH_GFX_PREFILL_F_PANELS
#define UNIT_BYTES 512
#define TURN 4 /* units between barriers: 128 columns of F8_E4M3 */

typedef struct buffers {
    uint8_t units[2][TURN][PANELS][UNIT_BYTES];
    float scale[2][16][PANELS]; /* of blocks: buffer, row, panel */
    int last;
} buffers;

DEVICE v8f multiply_e4m3(v4u x, v4u w, v8f sum, int step)
{
    return step ? mma_e4m3((v2i){ (int)x.z, (int)x.w }, (v2i){ (int)w.z, (int)w.w }, sum)
                : mma_e4m3((v2i){ (int)x.x, (int)x.y }, (v2i){ (int)w.x, (int)w.y }, sum);
}
template <int dtype> DEVICE v8f multiply_16(v4u x, v4u w, v8f sum)
{
    if constexpr (dtype == ASH_F16)
        return mma_f16(__builtin_bit_cast(v8h, x), __builtin_bit_cast(v8h, w), sum);
    else
        return mma_bf16(__builtin_bit_cast(v8s, x), __builtin_bit_cast(v8s, w), sum);
}

/* Adds the products of one unit of two tiles of tokens and `count` panels. */
template <int dtype, int count> DEVICE void add_unit(const v4u x[2], const uint8_t *units, v8f (*sum)[count])
{
    v4u w[count];
    for (int p = 0; p < count; p++)
        w[p] = load<v4u>(units + p * UNIT_BYTES + 16 * lane_id());
    for (int step = 0; step < (dtype == ASH_F8_E4M3 ? 2 : 1); step++)
        for (int p = 0; p < count; p++)
            for (int i = 0; i < 2; i++)
                if constexpr (dtype == ASH_F8_E4M3)
                    sum[i][p] = multiply_e4m3(x[i], w[p], sum[i][p], step);
                else
                    sum[i][p] = multiply_16<dtype>(x[i], w[p], sum[i][p]);
}

/* A panel's scales: row r's of columns 128 c .. at p[r * row + c * block]; p NULL: 1. */
typedef struct scales { const float *p; int row, block; } scales;

DEVICE scales find_scales(const ash_gfx_prefill &a, const panel_at &panel)
{
    const ash_gfx_part &part = *panel.part;
    int blocks = ((int)a.cols + 127) / 128;
    switch (part.scale_kind) {
    case ASH_SCALE_NONE: return (scales){ 0, 0, 0 };
    case ASH_SCALE_TENSOR: return (scales){ part.scale, 0, 0 };
    case ASH_SCALE_ROW: return (scales){ part.scale + 16 * panel.panel, 1, 0 };
    default: return (scales){ part.scale + (int64_t)panel.panel * blocks * 16, 1, 16 };
    }
}
DEVICE float scale_of(const scales &s, int block)
{
    unsigned offset = (lane_id() & 15) * 4 * s.row;
    return s.p ? load_at<float>(s.p + block * s.block, offset) : 1;
}

/* What a wave multiplies, and the panel that it brings. */
typedef struct work {
    const uint8_t *x[2], *w;
    const float *x_scale[2]; /* of groups, 16 tokens each; NULL: none */
    scales s;
    int units, turns; /* of the weights; the inputs have whole turns, zero beyond the last column */
    bool active;
} work;

typedef struct brought {
    v4u units[TURN];
    float scale;
} brought;

/* Units beyond the last one are zero. */
template <bool blocks> DEVICE void bring(const work &k, offsets &o, int turn, brought &out)
{
    for (int u = 0; u < TURN; u++) {
        int unit = turn * TURN + u;
        out.units[u] = (v4u){ 0, 0, 0, 0 };
        if (unit < k.units)
            out.units[u] = load_once_at(k.w + unit * UNIT_BYTES, o.lane16);
    }
    if constexpr (blocks)
        out.scale = scale_of(k.s, turn < k.turns ? turn : k.turns - 1);
}
template <bool blocks> DEVICE void put(buffers &b, int buffer, const brought &in)
{
    for (int u = 0; u < TURN; u++)
        store<v4u>(&b.units[buffer][u][wave_id()][16 * lane_id()], in.units[u]);
    if constexpr (blocks)
        if (lane_id() < 16)
            b.scale[buffer][lane_id()][wave_id()] = in.scale;
}

DEVICE v4u load_x(const work &k, offsets &o, int i, int unit) { return load_at<v4u>(k.x[i] + unit * UNIT_BYTES, o.lane16); }

/* A turn's units of all panels. x: of the first of them; then of the next turn's. */
template <int dtype> DEVICE void add_turn(const buffers &b, int turn, const work &k, offsets &o, v4u x[2], v8f acc[2][PANELS])
{
#pragma unroll
    for (int u = 0; u < TURN; u++) {
        v4u now[2] = { x[0], x[1] };
        int next = turn * TURN + u + 1;
        if (u == TURN - 1 && turn + 1 == k.turns)
            next = 0; /* not used */
        for (int i = 0; i < 2; i++)
            x[i] = load_x(k, o, i, next);
        add_unit<dtype, PANELS>(now, b.units[turn & 1][u][0], acc);
    }
}

/* The same of F8_E4M3, the sums of each 128 columns scaled on their own: by the scales of blocks of weights, of groups of
 * tokens' columns, or both. Two panels at a time, or one beside the scales of tokens: more would not leave registers for the
 * inputs of all 128 columns. */
template <bool blocks, bool groups>
DEVICE void add_scaled_turn(const buffers &b, int turn, const work &k, offsets &o, float acc[2][PANELS][8])
{
    constexpr int count = groups ? 1 : 2;
    v4u x[TURN][2];
    v8f token[2];
    for (int u = 0; u < TURN; u++)
        for (int i = 0; i < 2; i++)
            x[u][i] = load_x(k, o, i, turn * TURN + u);
    if constexpr (groups)
        for (int i = 0; i < 2; i++)
            token[i] = load_eight(k.x_scale[i] + turn * (TURN * 32) / ASH_GFX_GROUP * 16, o);
#pragma unroll
    for (int p = 0; p < PANELS; p += count) {
        v8f sum[2][count] = {};
#pragma unroll
        for (int u = 0; u < TURN; u++)
            add_unit<ASH_F8_E4M3, count>(x[u], b.units[turn & 1][u][p], sum);
        if constexpr (blocks && groups) {
            keep_order(); /* else products and sums alternate, and no two go into one instruction */
            for (int i = 0; i < 2; i++)
                sum[i][0] *= token[i];
            keep_order();
        }
        for (int q = 0; q < count; q++)
            for (int i = 0; i < 2; i++) {
                float scale = blocks ? b.scale[turn & 1][lane_id() & 15][p + q] : 1;
                for (int e = 0; e < 8; e++)
                    acc[i][p + q][e] = __builtin_fmaf(sum[i][q][e], blocks ? scale : token[i][e], acc[i][p + q][e]);
            }
    }
}

template <int dtype, bool blocks, bool groups>
DEVICE void multiply(buffers &b, const work &k, offsets &o, v8f acc[2][PANELS])
{
    v4u x[2] = { load_x(k, o, 0, 0), load_x(k, o, 1, 0) };
    brought next;
    bring<blocks>(k, o, 0, next);
    put<blocks>(b, 0, next);
    bring<blocks>(k, o, 1, next);
    float scaled[2][PANELS][8] = {};
    barrier();
    for (int turn = 0; turn < k.turns; turn++) {
        if (k.active) {
            if constexpr (blocks || groups)
                add_scaled_turn<blocks, groups>(b, turn, k, o, scaled);
            else
                add_turn<dtype>(b, turn, k, o, x, acc);
        }
        put<blocks>(b, ~turn & 1, next);
        bring<blocks>(k, o, turn + 2, next);
        barrier();
    }
    if constexpr (blocks || groups)
        for (int i = 0; i < 2; i++)
            for (int p = 0; p < PANELS; p++)
                for (int e = 0; e < 8; e++)
                    acc[i][p][e] = scaled[i][p][e];
}

/* Sums times what is still to come: the static scale of inputs, scales of tensors or rows, the rest of a norm. */
DEVICE void scale_sums(const ash_gfx_prefill &a, const place &at, int tile, bool blocks, v8f acc[PANELS])
{
    float input_scale = a.part[at.part].input_scale;
    v8f token = (v8f)(input_scale != 0 ? input_scale : 1.0f);
    if (a.x_squares)
        token *= norm_factors(a, tile, (int)(ASH_GFX_PADDED_COLS(a.cols) / ASH_GFX_GROUP));
#pragma unroll
    for (int p = 0; p < PANELS; p++)
        acc[p] *= blocks ? token : token * scale_of(find_scales(a, find_panel(a, at, p)), 0);
}

template <int dtype> DEVICE void prefill(const ash_gfx_prefill &a, buffers &b)
{
    place at = find_place(a, PANELS);
    panel_at panel = find_panel(a, at, wave_id());
    int first_tile = group_x() * 16 + 2 * wave_id(), token_tiles = ((int)a.tokens + 15) / 16;
    int unit_cols = dtype == ASH_F8_E4M3 ? 32 : 16;
    offsets o = make_offsets();
    work k;
    k.units = ((int)a.cols + unit_cols - 1) / unit_cols;
    int units = (int)ASH_GFX_PADDED_COLS(a.cols) / unit_cols;
    k.turns = (k.units + TURN - 1) / TURN;
    k.active = first_tile < token_tiles;
    k.w = panel.data;
    for (int i = 0; i < 2; i++) {
        int64_t tile = first_tile + i < token_tiles ? first_tile + i : token_tiles - 1;
        k.x[i] = (const uint8_t *)a.x + tile * units * UNIT_BYTES;
        k.x_scale[i] = a.x_scale + tile * (int)(ASH_GFX_PADDED_COLS(a.cols) / ASH_GFX_GROUP) * 16;
    }
    bool blocks = a.part[at.part].scale_kind == ASH_SCALE_BLOCK128 ||
                  (a.kind == ASH_GFX_SWIGLU && a.part[1].scale_kind == ASH_SCALE_BLOCK128);
    v8f acc[2][PANELS] = {};
    if constexpr (dtype == ASH_F8_E4M3) {
        bool groups = a.part[at.part].input_scale == 0;
        k.s = find_scales(a, panel);
        if (blocks && groups)
            multiply<dtype, true, true>(b, k, o, acc);
        else if (blocks)
            multiply<dtype, true, false>(b, k, o, acc);
        else if (groups)
            multiply<dtype, false, true>(b, k, o, acc);
        else
            multiply<dtype, false, false>(b, k, o, acc);
    } else {
        multiply<dtype, false, false>(b, k, o, acc);
    }
    if (k.active)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            if constexpr (dtype == ASH_F8_E4M3)
                scale_sums(a, at, first_tile + i < token_tiles ? first_tile + i : token_tiles - 1, blocks, acc[i]);
            finish<PANELS>(a, at, 16 * (first_tile + i), acc[i]);
        }
    make_next(a, at, b.last);
}

#define PREFILL(name, dtype)                                                                            \
    KERNEL(ASH_GFX_PREFILL_THREADS) __attribute__((amdgpu_waves_per_eu(6))) void name(ash_gfx_prefill a) \
    {                                                                                                   \
        SHARED static buffers b;                                                                        \
        prefill<dtype>(a, b);                                                                           \
    }
PREFILL(ash_prefill_f8, ASH_F8_E4M3)
PREFILL(ash_prefill_f16, ASH_F16)
PREFILL(ash_prefill_bf16, ASH_BF16)
