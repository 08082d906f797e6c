#include "kernels/x86/peak.h"

/* 16-bit sums of products: 4-bit codes fill them after 8, others after 4 (Q8_0's after 1), and a multiply-add of pairs then
 * takes one more step of the units that bind. */
static inline __m256i bytes(__m256i a, __m256i b, __m256i sum)
{
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
}

PEAK_LOOP(ash_peak_int8_avx2, __m256i, __m256i, 32, bytes)
PEAK_LOOP(ash_peak_f32_avx2, __m256, __m256, 8, _mm256_fmadd_ps)
