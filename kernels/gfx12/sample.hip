/* Sampling on the card, so that a decoded token costs the host its id alone. One workgroup each.
 *
 * A logit and its id make one number that orders as they do: the float's bits, mapped to ascend, above the inverted id.
 * NaN comes last, -0 equals 0. The k largest: each of 64 groups of lanes finds its largest; the smallest of those is a
 * bound that 64 logits reach, some 300 of 128 K random ones (all groups have been met after 64 (1 + 1/2 + .. + 1/64)).
 * A second pass collects them, each wave in its own 64 places. Where those do not do, the bound rises by bisection:
 * numbers are distinct, so the one at which exactly k remain always fits.
 */
#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define THREADS 1024
#define WAVES (THREADS / LANES)

typedef unsigned long long order; /* 0: nothing; below every logit's */

DEVICE order order_of(float x, int id)
{
    unsigned u = __builtin_bit_cast(unsigned, x + 0.0f); /* -0 becomes 0 */
    unsigned key = x != x ? 0 : u ^ (0x80000000 | (unsigned)((int)u >> 31));
    return (order)key << 32 | ~(unsigned)id;
}
DEVICE int id_of(order x) { return (int)~(unsigned)x; }

DEVICE order larger(order a, order b) { return a > b ? a : b; }
DEVICE order smaller(order a, order b) { return a < b ? a : b; }
template <int mask> DEVICE order from_xor(order x)
{
    return (order)(unsigned)from_xor<mask>((int)(x >> 32)) << 32 | (unsigned)from_xor<mask>((int)x);
}
DEVICE order from_other_half(order x)
{
    return (order)(unsigned)from_other_half((int)(x >> 32)) << 32 | (unsigned)from_other_half((int)x);
}
DEVICE order half_max(order x)
{
    x = larger(x, from_xor<1>(x));
    x = larger(x, from_xor<2>(x));
    x = larger(x, from_xor<4>(x));
    return larger(x, from_xor<8>(x));
}
DEVICE order wave_max(order x)
{
    x = half_max(x);
    return larger(x, from_other_half(x));
}
DEVICE order wave_min(order x)
{
    x = smaller(x, from_xor<1>(x));
    x = smaller(x, from_xor<2>(x));
    x = smaller(x, from_xor<4>(x));
    x = smaller(x, from_xor<8>(x));
    return smaller(x, from_other_half(x));
}

/* The largest of this lane's logits; 0 where none is above -infinity. */
DEVICE order lane_max(const ash_gfx_sample &a)
{
    int count = (int)a.count, id = -1;
    float value = -__builtin_inff();
#pragma unroll 4
    for (int i = 4 * thread_id(); i < count; i += 4 * THREADS) {
        v4f x = load<v4f>(a.logits + i);
        for (int e = 0; e < 4; e++) {
            bool better = x[e] > value && i + e < count;
            value = better ? x[e] : value;
            id = better ? i + e : id;
        }
    }
    return id < 0 ? 0 : order_of(value, id);
}

KERNEL(THREADS) void ash_arg_max(ash_gfx_sample a)
{
    SHARED static order best[WAVES];
    order x = wave_max(lane_max(a));
    if (lane_id() == 0)
        best[wave_id()] = x;
    barrier();
    if (wave_id() != 0)
        return;
    x = wave_max(best[lane_id()]);
    int id = x ? id_of(x) : 0;
    if (thread_id() != 0)
        return;
    a.values[0] = a.logits[id];
    a.ids[0] = id;
    if (a.next) {
        a.next->pos += a.next->tokens;
        a.next->tokens = 1;
        a.next->ids[0] = id;
    }
}

/* Writes what is at least `bound` into this wave's places while there is room; how many there are, in this wave. */
DEVICE int collect(const ash_gfx_sample &a, order bound, order *places)
{
    int count = (int)a.count, found = 0;
    for (int first = 4 * LANES * wave_id(); first < count; first += 4 * THREADS) {
        int i = first + 4 * lane_id();
        v4f x = i < count ? load<v4f>(a.logits + i) : v4f{ };
        for (int e = 0; e < 4; e++) {
            order at = order_of(x[e], i + e);
            bool in = at >= bound && i + e < count;
            unsigned where = lanes_where(in);
            int place = found + count_below(where);
            if (in && place < ASH_GFX_TOP_K)
                places[place] = at;
            found += count_of(where);
        }
    }
    return found;
}

KERNEL(THREADS) void ash_top_k(ash_gfx_sample a)
{
    SHARED static order best[ASH_GFX_TOP_K]; /* a half wave each */
    SHARED static order places[WAVES][ASH_GFX_TOP_K];
    SHARED static int counts[WAVES];
    int lane = lane_id(), wave = wave_id(), k = (int)a.k;
    order x = half_max(lane_max(a));
    if ((lane & 15) == 0)
        best[2 * wave + lane / 16] = x;
    barrier();
    /* At least k logits reach `bound`, fewer than k reach `above`. */
    order bound = wave_min(smaller(best[lane], best[lane + 32])), above = ~(order)0, at = bound;
    int count;
    for (;;) {
        count = collect(a, at, places[wave]);
        if (lane == 0)
            counts[wave] = count;
        barrier();
        int found = counts[lane], total = wave_sum(found);
        if (uniform(total >= k && lanes_where(found > ASH_GFX_TOP_K) == 0))
            break;
        barrier();
        bound = total >= k ? at : bound;
        above = total >= k ? above : at;
        at = bound + (above - bound) / 2;
    }
    /* Each of this wave's finds where it comes among all. */
    for (int i = lane; i < count; i += LANES) {
        order x = places[wave][i];
        int rank = 0;
#pragma unroll 1
        for (int w = 0; w < WAVES; w++)
            for (int n = 0; n < counts[w]; n++)
                rank += places[w][n] > x;
        if (rank < k) {
            a.values[rank] = a.logits[id_of(x)];
            a.ids[rank] = id_of(x);
        }
    }
}

/* The sum or the largest of all lanes' values, in every lane; `room` is used again only after a barrier. */
DEVICE float group_sum(float x, float *room)
{
    x = wave_sum(x);
    if (lane_id() == 0)
        room[wave_id()] = x;
    barrier();
    return wave_sum(room[lane_id()]);
}
DEVICE float group_max(float x, float *room)
{
    x = wave_max(x);
    if (lane_id() == 0)
        room[wave_id()] = x;
    barrier();
    return wave_max(room[lane_id()]);
}

KERNEL(THREADS) void ash_softmax(ash_gfx_sample a)
{
    SHARED static float room[2][WAVES];
    int count = (int)a.count;
    float most = -__builtin_inff(), sum = 0;
    for (int i = thread_id(); i < count; i += THREADS)
        most = larger(most, a.logits[i]); /* of NaN and a number, the number */
    most = group_max(most, room[0]);
    float by = 1.44269504f / a.temperature; /* log2 e */
    for (int i = thread_id(); i < count; i += THREADS) {
        float e = exp2_of((a.logits[i] - most) * by);
        e = e == e ? e : 0;
        a.values[i] = e;
        sum += e;
    }
    sum = group_sum(sum, room[1]);
    float scale = 1 / sum;
    for (int i = thread_id(); i < count; i += THREADS)
        a.values[i] *= scale;
}
