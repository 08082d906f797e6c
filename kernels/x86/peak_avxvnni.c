#include "kernels/x86/peak.h"

static inline __m256i bytes(__m256i a, __m256i b, __m256i sum) { return _mm256_dpbusd_avx_epi32(sum, a, b); }

PEAK_LOOP(ash_peak_int8_avxvnni, __m256i, __m256i, 32, bytes)
