/* Sampling on the card, so that a decoded token costs the host its id alone. */
#include "kernels/gfx12/args.h"
#include "kernels/gfx12/lane.h"

#define THREADS 1024
#define WAVES (THREADS / LANES)

/* The larger value wins, among equals the smaller id; NaN never does. */
DEVICE void take_larger(float &value, int &id, float other, int other_id)
{
    bool better = other > value || (other == value && other_id < id);
    value = better ? other : value;
    id = better ? other_id : id;
}

template <int mask> DEVICE void take_xor(float &value, int &id)
{
    float other = from_xor<mask>(value);
    int other_id = from_xor<mask>(id);
    take_larger(value, id, other, other_id);
}

DEVICE void wave_arg_max(float &value, int &id)
{
    take_xor<1>(value, id);
    take_xor<2>(value, id);
    take_xor<4>(value, id);
    take_xor<8>(value, id);
    float other = from_other_half(value);
    int other_id = from_other_half(id);
    take_larger(value, id, other, other_id);
}

/* One workgroup. */
KERNEL(THREADS) void ash_arg_max(ash_gfx_sample a)
{
    SHARED static float values[WAVES];
    SHARED static int ids[WAVES];
    float value = -__builtin_inff();
    int id = 0x7fffffff;
    for (int i = thread_id(); i < (int)a.count; i += THREADS)
        take_larger(value, id, a.logits[i], i);
    wave_arg_max(value, id);
    if (lane_id() == 0) {
        values[wave_id()] = value;
        ids[wave_id()] = id;
    }
    barrier();
    if (wave_id() != 0)
        return;
    value = values[lane_id()];
    id = ids[lane_id()];
    wave_arg_max(value, id);
    if (id == 0x7fffffff)
        id = 0; /* every logit NaN or -infinity */
    if (thread_id() != 0)
        return;
    a.values[0] = value;
    a.ids[0] = id;
    if (a.next) {
        a.next->pos += a.next->tokens;
        a.next->tokens = 1;
        a.next->ids[0] = id;
    }
}
