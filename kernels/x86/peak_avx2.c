#include "kernels/x86/peak.h"

static inline __m256i bytes(__m256i a, __m256i b, __m256i sum)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
}

PEAK_LOOP(ash_peak_int8_avx2, __m256i, __m256i, 32, bytes)
PEAK_LOOP(ash_peak_f32_avx2, __m256, __m256, 8, _mm256_fmadd_ps)
