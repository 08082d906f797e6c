#include "kernels/x86/peak.h"

static inline __m512 pairs(__m512i a, __m512i b, __m512 sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* As PEAK_LOOP, whose sums have the type of the operands. */
uint64_t ash_peak_bf16_avx512bf16(uint64_t rounds)
{
    __m512i a = _mm512_setzero_si512(), b = a;
    __m512 sum[ASH_PEAK_SUMS];
    _Pragma("GCC unroll 12") for (int k = 0; k < ASH_PEAK_SUMS; k++)
        sum[k] = _mm512_setzero_ps();
    __asm__ volatile("" : "+v"(a), "+v"(b));
    for (uint64_t i = 0; i < rounds; i++)
        _Pragma("GCC unroll 12") for (int k = 0; k < ASH_PEAK_SUMS; k++)
        {
            sum[k] = pairs(a, b, sum[k]);
            __asm__ volatile("" : "+v"(sum[k]));
        }
    return rounds * ASH_PEAK_SUMS * 32;
}
