/* Prefill's way into the cache: heads of q get their norm and rotation in place, k too and goes into the cache, v goes
 * into its blocks of 8 positions. Workgroups y = 0 take q and k, a group of lanes each row; y = 1 take v, a lane an
 * element of 8 positions, stored whole where all 8 are new. */
#include "kernels/gfx12/attend.h"

#define THREADS ASH_GFX_STORE_THREADS

template <int lanes, bool fp8> DEVICE void store_rows(const ash_gfx_attend &a, int pos)
{
    unsigned heads = a.heads + a.kv_heads, count = a.tokens * heads;
    unsigned index = ((unsigned)group_x() * THREADS + (unsigned)thread_id()) / lanes;
    bool real = index < count;
    index = real ? index : count - 1;
    unsigned t = index / heads, head = index % heads;
    bool is_k = head >= a.heads;
    float *row = a.qkv + times(t, a.qkv_stride) +
                 (is_k ? a.k_first + times(head - a.heads, a.head_dim) : times(head, a.head_dim));
    v8f x = head_row<lanes>(a, row, is_k ? a.k_norm : a.q_norm, pos + (int)t);
    unsigned d = (unsigned)lane_id() % lanes * 8;
    if (!real || d >= a.head_dim)
        return;
    if (!is_k) {
        store_8(row + d, x);
        return;
    }
    unsigned at = times(head - a.heads, (unsigned)a.cache.head_stride) + d;
    at += times(((unsigned)pos + t) % a.cache.rows, a.cache.stride);
    store((uint8_t *)a.cache.k + (uint64_t)at * cached<fp8>::bytes, rounded<fp8>(x, a.cache.k_scale));
}

template <bool fp8> DEVICE void store_values(const ash_gfx_attend &a, int pos)
{
    unsigned index = (unsigned)group_x() * THREADS + (unsigned)thread_id(), blocks = (a.tokens + 7) / 8 + 1;
    if (index >= blocks * a.kv_heads * a.head_dim)
        return;
    unsigned d = index % a.head_dim, head = index / a.head_dim % a.kv_heads, block = index / a.head_dim / a.kv_heads;
    int first = pos / 8 * 8 + 8 * (int)block; /* position */
    unsigned at = times(head, (unsigned)a.cache.head_stride) + 8 * d;
    at += times((unsigned)first % a.cache.rows, a.cache.stride);
    uint8_t *to = (uint8_t *)a.cache.v + (uint64_t)at * cached<fp8>::bytes;
    const float *from = a.qkv + (a.v_first + times(head, a.head_dim) + d);
    v8f x;
    for (int i = 0; i < 8; i++) {
        int t = first + i - pos;
        t = t < 0 ? 0 : t < (int)a.tokens ? t : (int)a.tokens - 1;
        x[i] = from[times((unsigned)t, a.qkv_stride)];
    }
    typename cached<fp8>::type all = rounded<fp8>(x, a.cache.v_scale);
    if (first >= pos && first + 8 <= pos + (int)a.tokens) {
        store(to, all);
        return;
    }
    for (int i = 0; i < 8; i++) {
        if (first + i < pos || first + i >= pos + (int)a.tokens)
            continue;
        if constexpr (fp8)
            store(to + i, (uint8_t)(all[i / 4] >> 8 * (i % 4)));
        else
            store(to + 2 * i, (_Float16)all[i]);
    }
}

template <bool fp8> DEVICE void store_all(const ash_gfx_attend &a, int pos)
{
    if (group_y() == 1)
        store_values<fp8>(a, pos);
    else if (a.head_dim <= 64)
        store_rows<8, fp8>(a, pos);
    else if (a.head_dim <= 128)
        store_rows<16, fp8>(a, pos);
    else
        store_rows<32, fp8>(a, pos);
}

KERNEL(THREADS) void ash_kv_store(ash_gfx_attend a)
{
    int pos = uniform((int)a.step->pos);
    if (a.cache.fp8)
        store_all<true>(a, pos);
    else
        store_all<false>(a, pos);
}
