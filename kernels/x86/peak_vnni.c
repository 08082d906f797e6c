#include "kernels/x86/peak.h"

static inline __m512i bytes(__m512i a, __m512i b, __m512i sum) { return _mm512_dpbusd_epi32(sum, a, b); }

PEAK_LOOP(ash_peak_int8_vnni, __m512i, __m512i, 64, bytes)
