/* Attention of 1 to 8 new tokens over the cache, one launch. Workgroup (s, h) has split s of the context of KV head h;
 * its waves take units of 32 positions in turn, all query heads of the group (ROWS rows of (token, head) at once)
 * sharing each read of K and V.
 *
 * K: LANES_ROW lanes share a row, 8 elements each, so that a wave reads 32 / LANES_ROW rows with one load; a score is
 * their sum over those lanes, and ends in the lane of its position. V: a lane owns head_dim / 32 elements d and reads 8
 * positions of one with one load; weights come to it through local memory. So a K/V element of f16 costs one v_fma_mix
 * a row, K besides (5 to 6) / 8 for the sum over lanes. Memory allows 39 VALU instructions for each element that a lane
 * handles (f16, 620 GB/s) and 19 (FP8); tests/unit/test_gfx12_attend.c prints the count.
 *
 * New tokens' k and v are made by the wave whose unit holds their position, rounded, used from registers as rounded,
 * and stored; nobody reads them from memory in this launch.
 *
 * Registers do not bind: 128 workgroups of 4 waves are 4 waves a SIMD, each with a unit's loads (8 KB of K at head_dim
 * 128) in flight. */
#include "kernels/gfx12/attend.h"

#define WAVES 4
#define THREADS (WAVES * LANES)
#define UNIT 32
#define ROWS_AT_ONCE 4

/* What a workgroup works on. */
struct work {
    unsigned kv_head, group, rows; /* rows: tokens * group, row r = token r / group, head r % group */
    int pos;
    unsigned window;          /* 0: 2^31 */
    int unit, units_end;      /* of this split */
    int split, splits;        /* that take part */
};

template <int HD, bool fp8, int ROWS> struct state {
    float q[ROWS][8];
    int self[ROWS]; /* position */
    float max[ROWS], sum[ROWS], acc[ROWS][HD / LANES]; /* sum: this lane's part */
};

/* Positions at .. at + 31. `whole`: all of them lie in the cache already. */
template <int HD, bool fp8, int ROWS, bool whole>
DEVICE void attend_unit(const ash_gfx_attend &a, const work &w, state<HD, fp8, ROWS> &st, float *weights,
                        unsigned first_row, int at)
{
    typedef typename cached<fp8>::type chunk;
    constexpr int lanes_row = HD / 8, per_lane = HD / LANES, bytes = cached<fp8>::bytes;
    int lane = here(lane_id()), c = lane % lanes_row;
    int head_dim = here_scalar((int)a.head_dim), stride = here_scalar((int)a.cache.stride);
    uint64_t base = w.kv_head * a.cache.head_stride + (uint64_t)((unsigned)at % a.cache.rows) * (unsigned)stride;
    uint8_t *k = (uint8_t *)a.cache.k + base * bytes, *v = (uint8_t *)a.cache.v + base * bytes;

    /* Load i: group g of lanes reads row g * lanes_row + i, whose score then belongs to lane i of the group. */
    unsigned k_at = (unsigned)((lane - c) * stride + (8 * c < head_dim ? 8 * c : 0)) * bytes;
    float score[ROWS];
    for (int r = 0; r < ROWS; r++)
        score[r] = 0;
#pragma unroll whole ? 8 : 2
    for (int i = 0; i < lanes_row; i++) {
        v8f x = floats(load<chunk>(k + k_at));
        k_at += (unsigned)stride * bytes;
        for (int r = 0; r < ROWS; r++) {
            float dot = 0;
            for (int e = 0; e < 8; e++)
                dot += st.q[r][e] * x[e];
            dot = group_sum<lanes_row>(dot);
            score[r] = c == i ? dot : score[r];
        }
    }
    if constexpr (!whole) {
#pragma unroll 1
        for (int t = 0; t < (int)a.tokens; t++) {
            int slot = w.pos + t - at;
            if (slot < 0 || slot >= UNIT)
                continue;
            unsigned row_at = t * (unsigned)here_scalar((int)a.qkv_stride) + a.k_first + w.kv_head * head_dim;
            const float *row = a.qkv + row_at;
            chunk made = rounded<fp8>(head_row<lanes_row>(a, row, a.k_norm, w.pos + t), a.cache.k_scale);
            if (first_row == 0 && lane < lanes_row && 8 * c < head_dim)
                store(k + (slot * stride + 8 * c) * bytes, made);
            v8f x = floats(made);
            for (int r = 0; r < ROWS; r++) {
                float dot = 0;
                for (int e = 0; e < 8; e++)
                    dot += st.q[r][e] * x[e];
                dot = group_sum<lanes_row>(dot);
                score[r] = lane == slot ? dot : score[r];
            }
        }
    }

    for (int r = 0; r < ROWS; r++) {
        /* At or before its own position, and less than the window away: one comparison. */
        float s = (unsigned)(st.self[r] - (at + lane)) < w.window ? score[r] : -__builtin_inff();
        float max = larger(st.max[r], wave_max(s)), shrink = exp2_of(st.max[r] - max);
        float weight = exp2_of(s - max);
        weights[r * UNIT + lane] = weight;
        st.max[r] = max;
        st.sum[r] = st.sum[r] * shrink + weight;
        for (int j = 0; j < per_lane; j++)
            st.acc[r][j] *= shrink;
    }

    wave_order();
    lane = here(lane);
    unsigned v_at[per_lane];
    for (int j = 0; j < per_lane; j++)
        v_at[j] = (unsigned)(LANES * j + lane < head_dim ? LANES * j + lane : 0) * 8 * bytes;
#pragma unroll whole ? 2 : 1
    for (int b = 0; b < UNIT / 8; b++) {
        v8f x[per_lane];
        for (int j = 0; j < per_lane; j++) {
            x[j] = floats(load<chunk>(v + v_at[j]));
            v_at[j] += 8 * (unsigned)stride * bytes;
            if constexpr (!whole) /* weights there are 0, but memory may hold NaN */
                for (int e = 0; e < 8; e++)
                    x[j][e] = at + 8 * b + e < w.pos ? x[j][e] : 0;
        }
        for (int r = 0; r < ROWS; r++) {
            v8f weight = load_8(weights + r * UNIT + 8 * b);
            for (int e = 0; e < 8; e++)
                for (int j = 0; j < per_lane; j++)
                    st.acc[r][j] += weight[e] * x[j][e];
        }
    }
    if constexpr (!whole) {
#pragma unroll 1
        for (int t = 0; t < (int)a.tokens; t++) {
            int slot = w.pos + t - at;
            if (slot < 0 || slot >= UNIT)
                continue;
            unsigned row_at = t * (unsigned)here_scalar((int)a.qkv_stride) + a.v_first + w.kv_head * head_dim;
            const float *row = a.qkv + row_at;
            float x[per_lane];
            for (int j = 0; j < per_lane; j++) {
                int d = LANES * j + lane;
                unsigned bits = rounded_one<fp8>(row[d < head_dim ? d : 0], a.cache.v_scale);
                x[j] = float_of<fp8>(bits);
                uint8_t *to = v + (slot / 8 * 8 * stride + 8 * d + slot % 8) * bytes;
                if (first_row == 0 && d < head_dim) {
                    if constexpr (fp8)
                        store(to, (uint8_t)bits);
                    else
                        store(to, (uint16_t)bits);
                }
            }
            for (int r = 0; r < ROWS; r++) {
                float weight = weights[r * UNIT + slot];
                for (int j = 0; j < per_lane; j++)
                    st.acc[r][j] += weight * x[j];
            }
        }
    }
}

/* Local memory: a wave's weights of a unit, and where the sums of a workgroup's waves meet. */
template <int HD, int ROWS> struct meeting {
    alignas(16) float weights[WAVES][ROWS * UNIT];
    float acc[WAVES][ROWS][HD], max[WAVES][ROWS], sum[WAVES][ROWS];
};

DEVICE float *part_of(const ash_gfx_attend &a, const work &w, int split, unsigned row)
{
    unsigned index = (w.kv_head * a.splits + (unsigned)split) * w.rows + row;
    return a.parts + index * (a.head_dim + 2);
}
DEVICE float *out_of(const ash_gfx_attend &a, const work &w, unsigned row)
{
    return a.out + (row / w.group * a.out_stride + (w.kv_head * w.group + row % w.group) * a.head_dim);
}

/* Rows first_row .. + ROWS - 1 of this split, through all its waves. */
template <int HD, bool fp8, int ROWS>
DEVICE void attend_rows(const ash_gfx_attend &a, const work &w, meeting<HD, ROWS> &meet, unsigned first_row)
{
    constexpr int lanes_row = HD / 8, per_lane = HD / LANES;
    state<HD, fp8, ROWS> st;
    float factor = a.scale * LOG2_E * (fp8 ? a.cache.k_scale : 1);
    for (int r = 0; r < ROWS; r++) {
        unsigned row = first_row + r < w.rows ? first_row + r : w.rows - 1, t = row / w.group;
        const float *q = a.qkv + (t * a.qkv_stride + (w.kv_head * w.group + row % w.group) * a.head_dim);
        v8f x = head_row<lanes_row>(a, q, a.q_norm, w.pos + (int)t);
        for (int e = 0; e < 8; e++)
            st.q[r][e] = x[e] * factor;
        st.self[r] = here(w.pos + (int)t);
        st.max[r] = LOWEST;
        st.sum[r] = 0;
        for (int j = 0; j < per_lane; j++)
            st.acc[r][j] = 0;
    }
    int u = w.unit + wave_id();
#pragma unroll 1
    for (; u < w.units_end && UNIT * u + UNIT <= w.pos; u += WAVES)
        attend_unit<HD, fp8, ROWS, true>(a, w, st, meet.weights[wave_id()], first_row, UNIT * u);
#pragma unroll 1
    for (; u < w.units_end; u += WAVES) {
        unsigned first = (unsigned)here_scalar((int)first_row);
        attend_unit<HD, fp8, ROWS, false>(a, w, st, meet.weights[wave_id()], first, UNIT * u);
    }
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j < per_lane; j++)
            meet.acc[wave_id()][r][LANES * j + lane_id()] = st.acc[r][j];
        float sum = wave_sum(st.sum[r]);
        if (lane_id() == 0) {
            meet.max[wave_id()][r] = st.max[r];
            meet.sum[wave_id()][r] = sum;
        }
    }
    barrier();
#pragma unroll 1
    for (int i = here(thread_id()); i < ROWS * HD; i += THREADS) {
        int r = i / HD, d = i % HD;
        unsigned row = first_row + (unsigned)r;
        if (row >= w.rows || d >= (int)a.head_dim)
            continue;
        float max = LOWEST, sum = 0, acc = 0;
        for (int n = 0; n < WAVES; n++)
            max = larger(max, meet.max[n][r]);
        for (int n = 0; n < WAVES; n++) {
            float weight = exp2_of(meet.max[n][r] - max);
            sum += weight * meet.sum[n][r];
            acc += weight * meet.acc[n][r][d];
        }
        if (w.splits == 1) {
            out_of(a, w, row)[d] = acc / sum * (fp8 ? a.cache.v_scale : 1);
            continue;
        }
        float *part = part_of(a, w, w.split, row);
        part[2 + d] = acc;
        if (d == 0) {
            part[0] = max;
            part[1] = sum;
        }
    }
    barrier(); /* `meet` is free again */
}

/* The sums of all splits, in their order. */
template <int HD> DEVICE void join(const ash_gfx_attend &a, const work &w)
{
#pragma unroll 1
    for (unsigned i = (unsigned)thread_id(); i < w.rows * HD; i += THREADS) {
        unsigned row = i / HD;
        int d = (int)(i % HD);
        if (d >= (int)a.head_dim)
            continue;
        float max = LOWEST, sum = 0, acc = 0;
#pragma unroll 1
        for (int s = 0; s < w.splits; s++)
            max = larger(max, part_of(a, w, s, row)[0]);
        for (int s = 0; s < w.splits; s++) {
            const float *part = part_of(a, w, s, row);
            float weight = exp2_of(part[0] - max);
            sum += weight * part[1];
            acc += weight * part[2 + d];
        }
        out_of(a, w, row)[d] = acc / sum * (a.cache.fp8 ? a.cache.v_scale : 1);
    }
}

template <int HD, bool fp8>
DEVICE void attend_all(const ash_gfx_attend &a, const work &w, meeting<HD, ROWS_AT_ONCE> &meet)
{
#pragma unroll 1
    for (unsigned row = 0; row < w.rows; row += ROWS_AT_ONCE)
        attend_rows<HD, fp8, ROWS_AT_ONCE>(a, w, meet, row);
}

template <int HD> DEVICE void attend(const ash_gfx_attend &a, meeting<HD, ROWS_AT_ONCE> &meet, int &last)
{
    work w;
    w.kv_head = (unsigned)group_y();
    w.group = a.heads / a.kv_heads;
    w.rows = w.group * a.tokens;
    w.pos = uniform((int)a.step->pos);
    w.window = a.window ? a.window : 1u << 31;
    w.split = group_x();
    int first = a.window && w.pos >= (int)a.window ? w.pos - (int)a.window + 1 : 0;
    int begin = first / UNIT, end = (w.pos + (int)a.tokens - 1) / UNIT + 1;
    /* Whole units, as many for each wave as make all splits busy. */
    int each = (end - begin + (int)a.splits - 1) / (int)a.splits;
    each = (each + WAVES - 1) / WAVES * WAVES;
    w.splits = (end - begin + each - 1) / each;
    w.unit = begin + w.split * each;
    w.units_end = w.unit + each < end ? w.unit + each : end;
    if (w.split >= w.splits)
        return;
    if (a.cache.fp8)
        attend_all<HD, true>(a, w, meet);
    else
        attend_all<HD, false>(a, w, meet);
    if (w.splits == 1)
        return;
    release_device();
    barrier();
    if (thread_id() == 0)
        last = add_device(a.done + w.kv_head, 1) == (unsigned)w.splits - 1;
    barrier();
    if (!uniform(last))
        return;
    acquire_device();
    join<HD>(a, w);
    if (thread_id() == 0)
        a.done[w.kv_head] = 0;
}

KERNEL(THREADS) void ash_attend_64(ash_gfx_attend a)
{
    SHARED static meeting<64, ROWS_AT_ONCE> meet;
    SHARED static int last;
    attend<64>(a, meet, last);
}
KERNEL(THREADS) void ash_attend_128(ash_gfx_attend a)
{
    SHARED static meeting<128, ROWS_AT_ONCE> meet;
    SHARED static int last;
    attend<128>(a, meet, last);
}
KERNEL(THREADS) void ash_attend_256(ash_gfx_attend a)
{
    SHARED static meeting<256, ROWS_AT_ONCE> meet;
    SHARED static int last;
    attend<256>(a, meet, last);
}
