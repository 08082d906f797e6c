#include "kernels/x86/peak.h"

static inline __m512i bytes(__m512i a, __m512i b, __m512i sum)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1)));
}

PEAK_LOOP(ash_peak_int8_avx512, __m512i, __m512i, 64, bytes)
PEAK_LOOP(ash_peak_f32_avx512, __m512, __m512, 16, _mm512_fmadd_ps)
