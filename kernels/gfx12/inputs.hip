/* Prefill's inputs: an RMS norm where there is one, then rounding to the form that the weights' type wants, laid out as
 * the A operands of WMMA (inputs.h).
 *
 * One workgroup a token. Where scales are those of groups, a row is read once: the norm's factor is left to the product.
 * Else it is read once for the norm and once more out of the caches.
 */
#include "kernels/gfx12/inputs.h"

#define THREADS 256
#define WAVES (THREADS / LANES)

DEVICE float block_sum(float x)
{
    SHARED static float sums[WAVES];
    x = wave_sum(x);
    if (lane_id() == 0)
        sums[wave_id()] = x;
    barrier();
    float sum = 0;
    for (int w = 0; w < WAVES; w++)
        sum += sums[w];
    return sum;
}

DEVICE int turns(int cols) { return (cols + THREADS * COLS - 1) / (THREADS * COLS); }

DEVICE float norm_factor(const ash_gfx_inputs &a)
{
    float sum = 0;
    if (!a.norm || a.squares || group_x() >= (int)a.tokens)
        return 1;
    const float *row = a.x + (int64_t)group_x() * a.x_stride;
    for (int t = 0; t < turns((int)a.cols); t++)
        sum += sum_of_squares(load_run(row, first_column(t * THREADS + thread_id()), (int)a.cols));
    return 1 / __builtin_sqrtf(block_sum(sum) / (float)(int)a.cols + a.eps);
}

/* 16 workgroups for each panel of tokens. */
#define INPUTS(name, form)                                                                     \
    KERNEL(THREADS) void name(ash_gfx_inputs a)                                                \
    {                                                                                          \
        int padded = (int)ASH_GFX_PADDED_COLS(a.cols);                                         \
        float factor = form == ASH_GFX_INT8 ? 1 : norm_factor(a);                              \
        for (int t = 0; t < turns(padded); t++)                                                \
            round_run<form>(a, group_x(), first_column(t * THREADS + thread_id()), padded, factor); \
    }
INPUTS(ash_inputs_int8, ASH_GFX_INT8)
INPUTS(ash_inputs_fp8, ASH_GFX_FP8)
INPUTS(ash_inputs_f16, ASH_GFX_F16)
INPUTS(ash_inputs_bf16, ASH_GFX_BF16)
