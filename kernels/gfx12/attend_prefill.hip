/* Attention of a prompt by f16 WMMA, without local memory. A wave has TILES * 16 queries of one KV head: row i is token
 * i / group, head i % group. Per 16 positions: S^T = K Q^T, whose D fragment (column r a query, rows 8 h .. + 7
 * positions) rounded to f16 is the B fragment of O^T = V^T P^T as it lies. Rows of K are its A fragments, blocks of V
 * those of V^T. Maxima follow lazily: sums are scaled anew only where a score exceeds its row's by 2^8, which f16 has
 * room for.
 *
 * A lane has half of a head's sums for its token, 8 of every 16: where the next product's inputs are wanted, it writes them as a
 * thread of inputs.hip would.
 *
 * q is multiplied by scale * log2 e before it is rounded, so that scores are exponents. Weights are rounded toward zero
 * by the one instruction that makes two of them, and the sum that they are divided by is that of the rounded ones: what
 * the rounding takes from all of them cancels out.
 *
 * Vector cycles for 16 positions and 16 queries: 32 of exponentials and 24 to 32 others, beside 2 * head_dim of
 * matrices; for 16 positions head_dim more to make f16 of an FP8 cache. Queries and sums take 96 (heads of 64, 2 tiles,
 * and of 128) to 192 registers (of 256), K and V on their way 16: 9 to 6 waves a SIMD. */
#include "kernels/gfx12/attend.h"
#include "kernels/gfx12/inputs.h"

#define WAVES ASH_GFX_ATTEND_PREFILL_WAVES
#define THREADS (WAVES * LANES)
#define LAZY 8.0f
#define AT_ONCE 4 /* loads of K or V under way */

DEVICE v8h halves(v8h x) { return x; }
DEVICE v8h halves(v2u x) /* exact */
{
    v8f f = floats(x);
    v4u out;
    for (int i = 0; i < 4; i++)
        out[i] = __builtin_bit_cast(unsigned, halves_toward_zero(f[2 * i], f[2 * i + 1]));
    return __builtin_bit_cast(v8h, out);
}

/* The largest of a fragment's rows that this lane has. */
DEVICE float largest(v8f x)
{
    float a = largest_of(x[0], x[1], x[2]);
    a = largest_of(a, x[3], x[4]);
    a = largest_of(a, x[5], x[6]);
    return largest_of(a, x[7], x[7]);
}

/* 2^((score - max) factor) of a fragment as f16, added to `sum` as rounded. */
template <bool scaled> DEVICE v8h weigh(v8f score, float max, float factor, float &sum)
{
    v4u out;
    for (int i = 0; i < 4; i++) {
        float x = score[2 * i] - max, y = score[2 * i + 1] - max;
        v2h pair = halves_toward_zero(exp2_of(scaled ? x * factor : x), exp2_of(scaled ? y * factor : y));
        sum = dot2_f16(pair, v2h{ 1, 1 }, sum);
        out[i] = __builtin_bit_cast(unsigned, pair);
    }
    return __builtin_bit_cast(v8h, out);
}

/* What a wave works on. */
template <int HD, int TILES> struct state {
    v8h q[TILES][HD / 16];
    v8f out[TILES][HD / 16];
    int self[TILES];            /* position */
    float max[TILES], sum[TILES];
    float factor;               /* of scores to exponents of 2 */
    unsigned window, k_lane, v_lane;
    int end;                    /* positions from here on are not in the cache */
};

/* 16 positions from `at` on. cut: some query does not see all of them. */
template <int HD, int TILES, bool fp8>
DEVICE void add_block(state<HD, TILES> &st, const uint8_t *k, const uint8_t *v, int at, bool cut)
{
    typedef typename cached<fp8>::type chunk;
    constexpr int steps = HD / 16, bytes = cached<fp8>::bytes;
    int h = lane_id() >> 4;
    const GLOBAL char *k_at = opaque(k, st.k_lane);
    v8f score[TILES];
    for (int n = 0; n < TILES; n++)
        score[n] = v8f{};
#pragma unroll
    for (int first = 0; first < steps; first += AT_ONCE) {
        chunk x[AT_ONCE];
        for (int s = first; s < steps && s < first + AT_ONCE; s++)
            x[s - first] = *(const GLOBAL chunk *)(k_at + 16 * s * bytes);
        for (int s = first; s < steps && s < first + AT_ONCE; s++)
            for (int n = 0; n < TILES; n++)
                score[n] = mma_f16(halves(x[s - first]), st.q[n][s], score[n]);
        keep_order();
    }
    float top[TILES];
    bool grows = false;
    if (cut)
        for (int n = 0; n < TILES; n++)
            for (int i = 0; i < 8; i++)
                score[n][i] = (unsigned)(st.self[n] - (at + 8 * h + i)) < st.window ? score[n][i] : -__builtin_inff();
    for (int n = 0; n < TILES; n++) {
        top[n] = largest(score[n]);
        grows = grows || (top[n] - st.max[n]) * st.factor > LAZY;
    }
    if (lanes_where(grows))
        for (int n = 0; n < TILES; n++) {
            float next = larger(st.max[n], larger(top[n], from_other_half(top[n])));
            float shrink = exp2_of((st.max[n] - next) * st.factor);
            st.max[n] = next;
            st.sum[n] *= shrink;
            for (int s = 0; s < steps; s++)
                st.out[n][s] *= shrink;
        }
    v8h weight[TILES];
    for (int n = 0; n < TILES; n++)
        weight[n] = weigh<fp8>(score[n], st.max[n], st.factor, st.sum[n]);
    const GLOBAL char *v_at = opaque(v, st.v_lane);
    bool tail = at + 16 > st.end; /* weights there are 0, but memory may hold NaN */
#pragma unroll
    for (int first = 0; first < steps; first += AT_ONCE) {
        v8h x[AT_ONCE];
        for (int s = first; s < steps && s < first + AT_ONCE; s++)
            x[s - first] = halves(*(const GLOBAL chunk *)(v_at + 128 * s * bytes));
        if (tail)
            for (int s = first; s < steps && s < first + AT_ONCE; s++)
                for (int i = 0; i < 8; i++)
                    x[s - first][i] = at + 8 * h + i < st.end ? x[s - first][i] : (_Float16)0;
        for (int s = first; s < steps && s < first + AT_ONCE; s++)
            for (int n = 0; n < TILES; n++)
                st.out[n][s] = fragment_here(mma_f16(x[s - first], weight[n], st.out[n][s]));
        keep_order();
    }
}

/* ---- the next product's inputs ---- */

/* Columns 32 j + 8 h .. + 7 and 16 further on of the lane's head: what a thread of inputs.h has. */
template <int HD> DEVICE run run_of(const v8f out[HD / 16], int j)
{
    run r;
    for (int part = 0; part < 2; part++)
        for (int e = 0; e < 8; e++)
            r.x[8 * part + e] = out[2 * j + part][e];
    return r;
}

/* A group of columns is GROUP / HD heads, in as many neighbouring lanes and those of the other half. Whole wave. */
template <int HD, bool int8>
DEVICE void leave_groups(const ash_gfx_inputs &next, int token, int first, const v8f out[HD / 16], bool there)
{
    constexpr int sharers = ASH_GFX_GROUP / HD;
    int padded = (int)ASH_GFX_PADDED_COLS(next.cols);
    unsigned bits = 0;
#pragma unroll
    for (int j = 0; j < HD / 32; j++)
        bits = larger_bits(bits, (int)largest_bits(run_of<HD>(out, j)));
    bits = larger_bits(bits, from_other_half((int)bits));
    if constexpr (sharers > 1)
        bits = larger_bits(bits, from_xor<1>((int)bits));
    if constexpr (sharers > 2)
        bits = larger_bits(bits, from_xor<2>((int)bits));
    rounding to = rounding_of<int8>(bits);
    if (!there)
        return;
#pragma unroll
    for (int j = 0; j < HD / 32; j++)
        store_run(next, token, rounded_run<int8>(run_of<HD>(out, j), to), first + 32 * j, padded);
    if (first % ASH_GFX_GROUP == 0)
        next.scale[scale_place(token, first, padded)] = to.scale;
}

template <int HD> DEVICE void leave(const ash_gfx_inputs &next, int token, int first, const v8f out[HD / 16], bool there)
{
    int padded = (int)ASH_GFX_PADDED_COLS(next.cols);
    if constexpr (ASH_GFX_GROUP % HD == 0) {
        if (next.form == ASH_GFX_INT8)
            return leave_groups<HD, true>(next, token, first, out, there);
        if (next.form == ASH_GFX_FP8 && next.input_scale == 0)
            return leave_groups<HD, false>(next, token, first, out, there);
    }
    if (!there)
        return;
#pragma unroll
    for (int j = 0; j < HD / 32; j++) {
        run r = run_of<HD>(out, j);
        switch (next.form) {
        case ASH_GFX_FP8: write_fixed(next, token, r, first + 32 * j, padded); break;
        case ASH_GFX_F16: write_16<false>(next, token, r, first + 32 * j, padded); break;
        default: write_16<true>(next, token, r, first + 32 * j, padded); break;
        }
    }
}

template <int HD, int TILES, bool fp8> DEVICE void attend(const ash_gfx_attend &a)
{
    constexpr int steps = HD / 16, bytes = cached<fp8>::bytes;
    int lane = lane_id(), r = lane & 15, h = lane >> 4;
    unsigned kv_head = (unsigned)group_y(), group = a.heads / a.kv_heads, rows = a.tokens * group;
    unsigned first_row = ((unsigned)group_x() * WAVES + (unsigned)wave_id()) * 16 * TILES;
    if (first_row >= rows)
        return;
    int pos = uniform((int)a.step->pos);
    float q_factor = a.scale * LOG2_E;

    state<HD, TILES> st;
    st.factor = fp8 ? a.cache.k_scale : 1;
    st.window = a.window ? a.window : 1u << 31;
    st.end = pos + (int)a.tokens;
    for (int n = 0; n < TILES; n++) {
        unsigned row = first_row + 16 * n + r;
        row = row < rows ? row : rows - 1;
        st.self[n] = pos + (int)(row / group);
        st.max[n] = LOWEST;
        st.sum[n] = 0;
        unsigned head = kv_head * group + row % group;
        const float *from = a.qkv + (times(row / group, a.qkv_stride) + head * HD + 8 * (unsigned)h);
        for (int s = 0; s < steps; s++) {
            v8f x = load_8(from + 16 * s) * q_factor;
            st.q[n][s] = fragment_here(__builtin_convertvector(x, v8h));
            keep_order();
        }
    }
    for (int n = 0; n < TILES; n++)
        for (int s = 0; s < steps; s++)
            st.out[n][s] = v8f{};
    unsigned last_row = first_row + 16 * TILES - 1 < rows ? first_row + 16 * TILES - 1 : rows - 1;
    int low = pos + (int)(first_row / group), high = pos + (int)(last_row / group); /* the queries' positions */
    int begin = low - (int)st.window + 1 > 0 ? (low - (int)st.window + 1) / 16 * 16 : 0;
    const uint8_t *k = (const uint8_t *)a.cache.k + kv_head * a.cache.head_stride * bytes;
    const uint8_t *v = (const uint8_t *)a.cache.v + kv_head * a.cache.head_stride * bytes;
    st.k_lane = (times((unsigned)r, a.cache.stride) + 8 * (unsigned)h) * bytes;
    st.v_lane = (times(8 * (unsigned)h, a.cache.stride) + 8 * (unsigned)r) * bytes;

#pragma unroll 1
    for (int at = begin; at <= high; at += 16) {
        uint64_t base = (uint64_t)((unsigned)at % a.cache.rows) * a.cache.stride * bytes;
        bool cut = at + 15 > low || (unsigned)(high - at) >= st.window;
        add_block<HD, TILES, fp8>(st, k + base, v + base, at, cut);
    }
#pragma unroll /* an array whose index is not known would leave registers */
    for (int n = 0; n < TILES; n++) {
        unsigned row = first_row + 16 * n + (unsigned)here(r);
        float total = st.sum[n] + from_other_half(st.sum[n]), scale = (fp8 ? a.cache.v_scale : 1) / total;
        bool there = row < rows;
        row = there ? row : rows - 1;
        unsigned head = kv_head * group + row % group;
        for (int s = 0; s < steps; s++)
            st.out[n][s] *= scale;
        if constexpr (HD % 32 == 0)
            if (a.next.out) {
                leave<HD>(a.next, (int)(row / group), (int)head * HD + 8 * h, st.out[n], there);
                continue;
            }
        if (!there)
            continue;
        float *to = a.out + (times(row / group, a.out_stride) + head * HD + 8 * (unsigned)h);
        for (int s = 0; s < steps; s++)
            store_8(to + 16 * s, st.out[n][s]);
    }
}

#define PREFILL(HD, TILES)                                                                                   \
    KERNEL(THREADS) __attribute__((amdgpu_waves_per_eu(6))) void ash_attend_prefill_##HD(ash_gfx_attend a) \
    {                                                                                                       \
        if (a.cache.fp8)                                                                                    \
            attend<HD, TILES, true>(a);                                                                     \
        else                                                                                                \
            attend<HD, TILES, false>(a);                                                                    \
    }
PREFILL(64, 2)
PREFILL(80, 2)
PREFILL(96, 2)
PREFILL(128, 1)
PREFILL(256, 1)
