/* The loops of kernels/peak.h in NEON. The operands pass through an empty asm first, the sums in every step, so that
 * nothing is computed ahead of time or dropped. */
#include <arm_neon.h>

#include "kernels/peak.h"

#define PEAK_LOOP(name, type, sum_type, lanes, step)                              \
    uint64_t name(uint64_t rounds)                                                \
    {                                                                             \
        type a = { 0 }, b = { 0 };                                                \
        sum_type sum[ASH_PEAK_SUMS];                                              \
        _Pragma("GCC unroll 12") for (int k = 0; k < ASH_PEAK_SUMS; k++)          \
            sum[k] = (sum_type){ 0 };                                             \
        __asm__ volatile("" : "+w"(a), "+w"(b));                                  \
        for (uint64_t i = 0; i < rounds; i++)                                     \
            _Pragma("GCC unroll 12") for (int k = 0; k < ASH_PEAK_SUMS; k++)      \
            {                                                                     \
                sum[k] = step(sum[k], a, b);                                      \
                __asm__ volatile("" : "+w"(sum[k]));                              \
            }                                                                     \
        return rounds * ASH_PEAK_SUMS * (lanes);                                  \
    }

PEAK_LOOP(ash_peak_int8_neon, int8x16_t, int32x4_t, 16, vdotq_s32)
PEAK_LOOP(ash_peak_f32_neon, float32x4_t, float32x4_t, 4, vfmaq_f32)
