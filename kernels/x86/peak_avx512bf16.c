#include "kernels/x86/peak.h"

static inline __m512 pairs(__m512i a, __m512i b, __m512 sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

PEAK_LOOP(ash_peak_bf16_avx512bf16, __m512i, __m512, 32, pairs)
