#include "kernels/peak.h"

/* Plain C: what the compiler makes of it. */
static uint64_t peak_scalar(uint64_t rounds, ash_peak_kind kind)
{
    int32_t sum[ASH_PEAK_SUMS] = { 0 };
    float real[ASH_PEAK_SUMS] = { 0 };
    for (uint64_t i = 0; i < rounds; i++)
        for (int k = 0; k < ASH_PEAK_SUMS; k++) {
            if (kind == ASH_PEAK_INT8) {
                int32_t a = k;
                __asm__("" : "+r"(a));
                sum[k] += a * a;
                __asm__("" : "+r"(sum[k]));
            } else {
                float a = 0.5f;
                __asm__("" : "+m"(a));
                real[k] += a * a;
                __asm__("" : "+m"(real[k]));
            }
        }
    return rounds * ASH_PEAK_SUMS;
}

uint64_t ash_peak(ash_level level, ash_peak_kind kind, uint64_t rounds)
{
#if defined(__x86_64__)
    if (kind == ASH_PEAK_BF16 && level >= ASH_LEVEL_AVX512BF16)
        return ash_peak_bf16_avx512bf16(rounds);
#endif
    if (kind == ASH_PEAK_BF16)
        return 0;
#if defined(__x86_64__)
    if (kind == ASH_PEAK_INT8 && level >= ASH_LEVEL_VNNI)
        return ash_peak_int8_vnni(rounds);
    if (level >= ASH_LEVEL_AVX512)
        return (kind == ASH_PEAK_INT8 ? ash_peak_int8_avx512 : ash_peak_f32_avx512)(rounds);
    if (kind == ASH_PEAK_INT8 && level >= ASH_LEVEL_AVXVNNI)
        return ash_peak_int8_avxvnni(rounds);
    if (level >= ASH_LEVEL_AVX2)
        return (kind == ASH_PEAK_INT8 ? ash_peak_int8_avx2 : ash_peak_f32_avx2)(rounds);
#elif defined(__aarch64__)
    if (level >= ASH_LEVEL_NEON)
        return (kind == ASH_PEAK_INT8 ? ash_peak_int8_neon : ash_peak_f32_neon)(rounds);
#endif
    return peak_scalar(rounds, kind);
}
