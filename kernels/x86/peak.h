/* The loops of kernels/peak.h in vectors. In every step an operand and the sum pass through an empty asm, so that nothing
 * is computed ahead of time, once for all steps, or dropped. */
#ifndef ASHLAR_KERNELS_X86_PEAK_H
#define ASHLAR_KERNELS_X86_PEAK_H

#include <immintrin.h>

#include "kernels/peak.h"

/* sum[k] = step of (a, b, sum[k]), k < ASH_PEAK_SUMS, `rounds` times; `lanes` multiply-adds a step. */
#define PEAK_LOOP(name, type, sum_type, lanes, step)                         \
    uint64_t name(uint64_t rounds)                                           \
    {                                                                        \
        type a = { 0 }, b = { 0 };                                           \
        sum_type sum[ASH_PEAK_SUMS];                                         \
        _Pragma("GCC unroll 12") for (int k = 0; k < ASH_PEAK_SUMS; k++)     \
            sum[k] = (sum_type){ 0 }; /* unrolled, else they live in memory */ \
        __asm__ volatile("" : "+v"(b));                                      \
        for (uint64_t i = 0; i < rounds; i++)                                \
            _Pragma("GCC unroll 12") for (int k = 0; k < ASH_PEAK_SUMS; k++) \
            {                                                                \
                __asm__ volatile("" : "+v"(a));                              \
                sum[k] = step(a, b, sum[k]);                                 \
                __asm__ volatile("" : "+v"(sum[k]));                         \
            }                                                                \
        return rounds * ASH_PEAK_SUMS * (lanes);                             \
    }

#endif
