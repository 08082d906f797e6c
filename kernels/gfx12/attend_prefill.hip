/* Attention of a prompt by f16 WMMA, without local memory. A wave has TILES * 16 queries of one KV head: row i is token
 * i / group, head i % group. Per 16 positions: S^T = K Q^T, whose D fragment (column r a query, rows 8 h .. + 7 positions)
 * rounded to f16 is the B fragment of O^T = V^T P^T as it lies. Rows of K are its A fragments, blocks of V those of V^T.
 * Maxima follow lazily: sums are scaled anew only where a score exceeds its row's by 2^8, which f16 has room for. */
#include "kernels/gfx12/attend.h"

#define WAVES ASH_GFX_ATTEND_PREFILL_WAVES
#define THREADS (WAVES * LANES)
#define LAZY 8.0f

DEVICE v8h halves(v8h x) { return x; }
DEVICE v8h halves(v2u x) { return __builtin_convertvector(floats(x), v8h); } /* exact */

template <int HD, int TILES, bool fp8> DEVICE void attend(const ash_gfx_attend &a)
{
    typedef typename cached<fp8>::type chunk;
    constexpr int steps = HD / 16, bytes = cached<fp8>::bytes;
    int lane = lane_id(), r = lane & 15, h = lane >> 4;
    unsigned kv_head = (unsigned)group_y(), group = a.heads / a.kv_heads, rows = a.tokens * group;
    unsigned first_row = ((unsigned)group_x() * WAVES + (unsigned)wave_id()) * 16 * TILES;
    if (first_row >= rows)
        return;
    int pos = uniform((int)a.step->pos);
    float factor = a.scale * LOG2_E * (fp8 ? a.cache.k_scale : 1);
    unsigned window = a.window ? a.window : 1u << 31;

    v8h q[TILES][steps];
    v8f out[TILES][steps];
    int self[TILES];
    float max[TILES], sum[TILES];
    for (int n = 0; n < TILES; n++) {
        unsigned row = first_row + 16 * n + r;
        row = row < rows ? row : rows - 1;
        self[n] = pos + (int)(row / group);
        max[n] = LOWEST;
        sum[n] = 0;
        const float *from = a.qkv + (row / group * a.qkv_stride + (kv_head * group + row % group) * HD + 8 * (unsigned)h);
        for (int s = 0; s < steps; s++) {
            q[n][s] = __builtin_convertvector(load_8(from + 16 * s), v8h);
            out[n][s] = v8f{};
            keep_order();
        }
    }
    unsigned last_row = first_row + 16 * TILES - 1 < rows ? first_row + 16 * TILES - 1 : rows - 1;
    int low = pos + (int)(first_row / group), high = pos + (int)(last_row / group); /* the queries' positions */
    int begin = low - (int)window + 1 > 0 ? (low - (int)window + 1) / 16 * 16 : 0;
    int end = pos + (int)a.tokens;
    const uint8_t *k = (const uint8_t *)a.cache.k + kv_head * a.cache.head_stride * bytes;
    const uint8_t *v = (const uint8_t *)a.cache.v + kv_head * a.cache.head_stride * bytes;
    unsigned stride = a.cache.stride, k_lane = ((unsigned)r * stride + 8 * (unsigned)h) * bytes;
    unsigned v_lane = (8 * (unsigned)h * stride + 8 * (unsigned)r) * bytes;

#pragma unroll 1
    for (int at = begin; at <= high; at += 16) {
        uint64_t base = (uint64_t)((unsigned)at % a.cache.rows) * stride * bytes;
        v8f score[TILES];
        for (int n = 0; n < TILES; n++)
            score[n] = v8f{};
        for (int s = 0; s < steps; s++) {
            v8h x = halves(load<chunk>(k + base + (k_lane + 16 * s * bytes)));
            for (int n = 0; n < TILES; n++)
                score[n] = mma_f16(x, q[n][s], score[n]);
            if (s % 4 == 3)
                keep_order();
        }
        if (at + 15 > low || (unsigned)(high - at) >= window)
            for (int n = 0; n < TILES; n++)
                for (int i = 0; i < 8; i++)
                    score[n][i] = (unsigned)(self[n] - (at + 8 * h + i)) < window ? score[n][i] : -__builtin_inff();
        float top[TILES];
        bool grows = false;
        for (int n = 0; n < TILES; n++) {
            top[n] = score[n][0];
            for (int i = 1; i < 8; i++)
                top[n] = larger(top[n], score[n][i]);
            top[n] = larger(top[n], from_other_half(top[n]));
            grows = grows || (top[n] - max[n]) * factor > LAZY;
        }
        if (lanes_where(grows))
            for (int n = 0; n < TILES; n++) {
                float next = larger(max[n], top[n]), shrink = exp2_of((max[n] - next) * factor);
                max[n] = next;
                sum[n] *= shrink;
                for (int s = 0; s < steps; s++)
                    out[n][s] *= shrink;
            }
        v8h weight[TILES];
        for (int n = 0; n < TILES; n++) {
            float offset = max[n] * factor;
            v8f p;
            for (int i = 0; i < 8; i++) {
                p[i] = exp2_of(score[n][i] * factor - offset);
                sum[n] += p[i];
            }
            weight[n] = __builtin_convertvector(p, v8h);
        }
        bool tail = at + 16 > end; /* weights there are 0, but memory may hold NaN */
        for (int s = 0; s < steps; s++) {
            v8h x = halves(load<chunk>(v + base + (v_lane + 128 * s * bytes)));
            if (tail)
                for (int i = 0; i < 8; i++)
                    x[i] = at + 8 * h + i < end ? x[i] : (_Float16)0;
            for (int n = 0; n < TILES; n++)
                out[n][s] = mma_f16(x, weight[n], out[n][s]);
            if (s % 4 == 3)
                keep_order();
        }
    }
    for (int n = 0; n < TILES; n++) {
        unsigned row = first_row + 16 * n + r;
        float total = sum[n] + from_other_half(sum[n]), scale = (fp8 ? a.cache.v_scale : 1) / total;
        if (row >= rows)
            continue;
        float *to = a.out + (row / group * a.out_stride + (kv_head * group + row % group) * HD + 8 * (unsigned)h);
        for (int s = 0; s < steps; s++)
            store_8(to + 16 * s, out[n][s] * scale);
    }
}

#define PREFILL(HD, TILES)                                    \
    KERNEL(THREADS) void ash_attend_prefill_##HD(ash_gfx_attend a) \
    {                                                         \
        if (a.cache.fp8)                                      \
            attend<HD, TILES, true>(a);                       \
        else                                                  \
            attend<HD, TILES, false>(a);                      \
    }
PREFILL(64, 2)
PREFILL(80, 2)
PREFILL(96, 2)
PREFILL(128, 1)
