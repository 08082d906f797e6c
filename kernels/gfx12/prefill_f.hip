/* Prefill of F8_E4M3, F16 and BF16: WMMA straight from the tiles.
 *
 * A workgroup has 256 tokens and `panels` panels: 8 (128 rows), or fewer where that fills the card better
 * (ash_gfx_prefill_panels). Each of its 8 waves multiplies 2 tiles of 16 tokens of its own with all panels, and brings the
 * units of one panel, or half of one's, 512 bytes each, for all of them into one of two buffers in local memory, the next
 * ones on their way meanwhile. So each byte of the tokens is read once a workgroup, and each byte of the weights too.
 * Scales of tensors and rows are applied to sums; those of blocks of weights, every 128 columns, to the sums of those. Where
 * tokens have a scale for each group of columns, sums are kept in units of the group's: at each next one they are multiplied
 * by the quotient of both scales, so that WMMA goes on adding to them. Vector instructions a WMMA, two products to one:
 * 0.06 to 0.09; with groups 0.35 to 0.45; with blocks too 1.0 to 1.4. Local memory leaves 6 waves a SIMD, for which 240 registers are free.
 * A unit is 32 columns of F8_E4M3 (two WMMAs) or 16 of the others (one, twice as long).
 */
#include "kernels/gfx12/prefill.h"

#define UNIT_BYTES 512
#define TURN 4 /* units between barriers: 128 columns of F8_E4M3 */
#define WAVES (ASH_GFX_PREFILL_THREADS / LANES)
#define GROUP_TURNS (ASH_GFX_GROUP / (32 * TURN)) /* of a group, F8_E4M3 */

template <int panels> struct buffers {
    uint8_t units[2][TURN][panels][UNIT_BYTES];
    float scale[2][16][panels];       /* of blocks: buffer, row, panel */
    float token[WAVES][2][16];        /* a wave's own: tile, token */
    int last;
};
/* Waves that bring a panel's units together, and how many each. */
template <int panels> constexpr int bringers = panels <= WAVES / 2 ? 2 : 1;
template <int panels> constexpr int units_each = TURN / bringers<panels>;

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

/* What a wave multiplies, and what of which panel it brings. */
typedef struct work {
    const uint8_t *x[2], *w;
    const float *x_scale[2]; /* of groups, 16 tokens each; NULL: none */
    scales s;
    int units, turns; /* of the weights; the inputs have whole turns, zero beyond the last column */
    int panel, first; /* that it brings, from which unit of a turn on; a panel that is not there: none */
    int bring;        /* units of it, or 0 */
    bool active;
} work;

template <int panels> struct brought {
    v4u units[units_each<panels>];
    float scale;
};

/* Units beyond the last one are zero. */
template <int panels, bool blocks> DEVICE void bring(const work &k, offsets &o, int turn, brought<panels> &out)
{
    for (int u = 0; u < units_each<panels>; u++) {
        int unit = turn * TURN + k.first + u;
        out.units[u] = (v4u){ 0, 0, 0, 0 };
        if (unit < k.bring)
            out.units[u] = load_once_at(k.w + unit * UNIT_BYTES, o.lane16);
    }
    if constexpr (blocks)
        out.scale = scale_of(k.s, turn < k.turns ? turn : k.turns - 1);
}
template <int panels, bool blocks> DEVICE void put(buffers<panels> &b, const work &k, int buffer, const brought<panels> &in)
{
    if (panels * bringers<panels> < WAVES && k.panel >= panels)
        return;
    for (int u = 0; u < units_each<panels>; u++)
        store<v4u>(&b.units[buffer][k.first + u][k.panel][16 * lane_id()], in.units[u]);
    if constexpr (blocks)
        if (k.first == 0 && lane_id() < 16)
            b.scale[buffer][lane_id()][k.panel] = in.scale;
}

DEVICE v4u load_x(const work &k, offsets &o, int i, int unit) { return load_at<v4u>(k.x[i] + unit * UNIT_BYTES, o.lane16); }

/* A turn's units of all panels. x: of the first of them; then of the next turn's. */
template <int dtype, int panels>
DEVICE void add_turn(const buffers<panels> &b, int turn, const work &k, offsets &o, v4u x[2], v8f acc[2][panels])
{
#pragma unroll
    for (int u = 0; u < TURN; u++) {
        v4u now[2] = { x[0], x[1] };
        int next = turn * TURN + u + 1;
        if (u == TURN - 1 && turn + 1 == k.turns)
            next = 0; /* not used */
        for (int i = 0; i < 2; i++)
            x[i] = load_x(k, o, i, next);
        add_unit<dtype, panels>(now, b.units[turn & 1][u][0], acc);
    }
}

/* The same of F8_E4M3 in blocks of weights: the sums of 128 columns are scaled on their own. Two panels at a time: more
 * would not leave registers for the inputs of all 128 columns. */
template <int panels>
DEVICE void add_blocks(const buffers<panels> &b, int turn, const work &k, offsets &o, float acc[2][panels][8])
{
    constexpr int count = 2 - panels % 2;
    v4u x[TURN][2];
    for (int u = 0; u < TURN; u++)
        for (int i = 0; i < 2; i++)
            x[u][i] = load_x(k, o, i, turn * TURN + u);
#pragma unroll
    for (int p = 0; p < panels; p += count) {
        v8f sum[2][count] = {};
#pragma unroll
        for (int u = 0; u < TURN; u++)
            add_unit<ASH_F8_E4M3, count>(x[u], b.units[turn & 1][u][p], sum);
        for (int q = 0; q < count; q++)
            for (int i = 0; i < 2; i++) {
                float scale = b.scale[turn & 1][lane_id() & 15][p + q];
                for (int e = 0; e < 8; e++)
                    acc[i][p + q][e] = __builtin_fmaf(sum[i][q][e], scale, acc[i][p + q][e]);
            }
        keep_order(); /* else inputs and weights of several are on their way at once */
    }
}

/* The unit of a token's sums, lane l has token l & 15 of tile l >> 4: the scale of its group, or what stands for it. A scale
 * of 0 changes nothing, its codes are 0. One below 2^-64 of the largest before counts as that: so no sum exceeds 2^96, of
 * 2^32 in its own unit at most, and what such a group adds stays below 2^-38 of the largest scale, a rounding of any
 * product with that one's largest code. */
typedef struct token_unit {
    float unit, top, coming;
    unsigned offset; /* of the lane's scale in the first group */
} token_unit;

DEVICE float load_scale(const work &k, token_unit &t, int group)
{
    return load<float>((const char *)(k.x_scale[0] + group * 16) + t.offset);
}
DEVICE token_unit first_unit(const work &k)
{
    int lane = lane_id(), apart = uniform((int)(k.x_scale[1] - k.x_scale[0]));
    token_unit t = { 1, 0, 0, offset_here(4 * (lane & 15) + (lane < 16 ? 0 : 4 * apart)) };
    t.coming = load_scale(k, t, 0);
    return t;
}

/* What was in the unit before times this is in the next group's. */
DEVICE float next_unit(token_unit &t, const work &k, int group, int groups)
{
    float scale = t.coming, least = t.top * 0x1p-64f, before = t.unit;
    t.coming = load_scale(k, t, group + 1 < groups ? group + 1 : group);
    t.top = scale > t.top ? scale : t.top;
    t.unit = scale == 0 ? before : scale <= least ? least : scale; /* NaN stays */
    return before * reciprocal(t.unit);
}

/* A wave's factors of tokens, as lanes need them. Whole wave. */
template <int panels> DEVICE void spread(buffers<panels> &b, float mine, v8f out[2])
{
    int lane = lane_id();
    float *token = &b.token[wave_id()][0][0];
    wave_order();
    token[lane] = mine;
    wave_order();
    for (int i = 0; i < 2; i++) {
        const float *from = token + 16 * i + lane / 16 * 8;
        v4f low = load<v4f>(from), high = load<v4f>(from + 4);
        out[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
    }
}
template <int panels, class eight> DEVICE void change_unit(buffers<panels> &b, float factor, eight acc[2][panels])
{
    v8f f[2];
    spread(b, factor, f);
    for (int i = 0; i < 2; i++)
        for (int p = 0; p < panels; p++)
            for (int e = 0; e < 8; e++)
                acc[i][p][e] *= f[i][e];
}

/* token: what sums are still to be multiplied by, where there are groups. */
template <int dtype, int panels, bool blocks, bool groups>
DEVICE void multiply(buffers<panels> &b, const work &k, offsets &o, v8f acc[2][panels], v8f token[2])
{
    v4u x[2] = { load_x(k, o, 0, 0), load_x(k, o, 1, 0) };
    token_unit unit = {};
    int group_count = (k.turns + GROUP_TURNS - 1) / GROUP_TURNS;
    if constexpr (groups)
        unit = first_unit(k);
    brought<panels> next;
    bring<panels, blocks>(k, o, 0, next);
    put<panels, blocks>(b, k, 0, next);
    bring<panels, blocks>(k, o, 1, next);
    float scaled[2][panels][8] = {};
    barrier();
#pragma unroll 1
    for (int turn = 0; turn < k.turns; turn++) {
        if (k.active) {
            if constexpr (groups)
                if (turn % GROUP_TURNS == 0) {
                    float factor = next_unit(unit, k, turn / GROUP_TURNS, group_count);
                    if (turn == 0) {
                    } else if constexpr (blocks)
                        change_unit(b, factor, scaled);
                    else
                        change_unit(b, factor, acc);
                }
            if constexpr (blocks)
                add_blocks(b, turn, k, o, scaled);
            else
                add_turn<dtype>(b, turn, k, o, x, acc);
        }
        put<panels, blocks>(b, k, ~turn & 1, next);
        bring<panels, blocks>(k, o, turn + 2, next);
        barrier();
    }
    if constexpr (blocks)
        for (int i = 0; i < 2; i++)
            for (int p = 0; p < panels; p++)
                for (int e = 0; e < 8; e++)
                    acc[i][p][e] = scaled[i][p][e];
    if constexpr (groups)
        spread(b, unit.unit, token);
}

/* Sums times what is still to come: the static scale of inputs or the last group's, scales of tensors or rows, the rest of a
 * norm. */
template <int panels>
DEVICE void scale_sums(const ash_gfx_prefill &a, const place &at, int tile, bool blocks, v8f token, v8f acc[panels])
{
    if (a.x_squares)
        token *= norm_factors(a, tile, (int)(ASH_GFX_PADDED_COLS(a.cols) / ASH_GFX_GROUP));
#pragma unroll
    for (int p = 0; p < panels; p++)
        acc[p] *= blocks ? token : token * scale_of(find_scales(a, find_panel(a, at, p)), 0);
}

template <int dtype, int panels> DEVICE void prefill(const ash_gfx_prefill &a, buffers<panels> &b)
{
    place at = find_place(a, panels);
    int wave = wave_id(), brings = wave / bringers<panels>;
    panel_at panel = find_panel(a, at, brings < panels ? brings : 0);
    int first_tile = group_x() * 16 + 2 * wave, token_tiles = ((int)a.tokens + 15) / 16;
    int unit_cols = dtype == ASH_F8_E4M3 ? 32 : 16;
    offsets o = make_offsets();
    work k;
    k.units = ((int)a.cols + unit_cols - 1) / unit_cols;
    int units = (int)ASH_GFX_PADDED_COLS(a.cols) / unit_cols;
    k.turns = (k.units + TURN - 1) / TURN;
    k.active = first_tile < token_tiles;
    k.w = panel.data;
    k.panel = brings;
    k.bring = brings < panels ? k.units : 0;
    k.first = wave % bringers<panels> * units_each<panels>;
    for (int i = 0; i < 2; i++) {
        int64_t tile = first_tile + i < token_tiles ? first_tile + i : token_tiles - 1;
        k.x[i] = (const uint8_t *)a.x + tile * units * UNIT_BYTES;
        k.x_scale[i] = a.x_scale + tile * (int)(ASH_GFX_PADDED_COLS(a.cols) / ASH_GFX_GROUP) * 16;
    }
    bool blocks = a.part[at.part].scale_kind == ASH_SCALE_BLOCK128 ||
                  (a.kind == ASH_GFX_SWIGLU && a.part[1].scale_kind == ASH_SCALE_BLOCK128);
    v8f acc[2][panels] = {};
    float input_scale = a.part[at.part].input_scale;
    v8f token[2] = { (v8f)(input_scale), (v8f)(input_scale) };
    if constexpr (dtype == ASH_F8_E4M3) {
        bool groups = input_scale == 0;
        k.s = find_scales(a, panel);
        if (blocks && groups)
            multiply<dtype, panels, true, true>(b, k, o, acc, token);
        else if (blocks)
            multiply<dtype, panels, true, false>(b, k, o, acc, token);
        else if (groups)
            multiply<dtype, panels, false, true>(b, k, o, acc, token);
        else
            multiply<dtype, panels, false, false>(b, k, o, acc, token);
    } else {
        multiply<dtype, panels, false, false>(b, k, o, acc, token);
    }
    if (k.active)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            if constexpr (dtype == ASH_F8_E4M3)
                scale_sums<panels>(a, at, first_tile + i < token_tiles ? first_tile + i : token_tiles - 1, blocks, token[i],
                                   acc[i]);
            finish<panels>(a, at, 16 * (first_tile + i), acc[i]);
        }
    make_next<panels>(a, at, b.last);
}

#define PREFILL(name, dtype, panels)                                                                    \
    KERNEL(ASH_GFX_PREFILL_THREADS) __attribute__((amdgpu_waves_per_eu(6))) void name(ash_gfx_prefill a) \
    {                                                                                                   \
        SHARED static buffers<panels> b;                                                                \
        prefill<dtype, panels>(a, b);                                                                   \
    }
PREFILL(ash_prefill_f8_8, ASH_F8_E4M3, 8)
PREFILL(ash_prefill_f8_7, ASH_F8_E4M3, 7)
PREFILL(ash_prefill_f8_4, ASH_F8_E4M3, 4)
PREFILL(ash_prefill_f16_8, ASH_F16, 8)
PREFILL(ash_prefill_f16_7, ASH_F16, 7)
PREFILL(ash_prefill_f16_4, ASH_F16, 4)
PREFILL(ash_prefill_bf16_8, ASH_BF16, 8)
PREFILL(ash_prefill_bf16_7, ASH_BF16, 7)
PREFILL(ash_prefill_bf16_4, ASH_BF16, 4)
