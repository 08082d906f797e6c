/* What this machine's registers could do at most: loops of multiply-adds that touch no memory, the limit that
 * benchmarks measure against. Twelve sums side by side hide the latency of every unit (4 or 5 cycles, at most 2 a
 * cycle). */
#ifndef ASHLAR_KERNELS_PEAK_H
#define ASHLAR_KERNELS_PEAK_H

#include <stdint.h>

#include "kernels/kernels.h"

typedef enum ash_peak_kind { ASH_PEAK_INT8, ASH_PEAK_F32, ASH_PEAK_BF16 } ash_peak_kind;

/* Runs about `rounds` iterations of the best loop up to `level`, which the machine has; returns the multiply-adds that
 * they did: 0 of BF16 below ASH_LEVEL_AVX512BF16. */
uint64_t ash_peak(ash_level level, ash_peak_kind kind, uint64_t rounds);

typedef uint64_t ash_peak_fn(uint64_t rounds);
ash_peak_fn ash_peak_int8_vnni, ash_peak_int8_avx512, ash_peak_int8_avxvnni, ash_peak_int8_avx2, ash_peak_f32_avx512,
    ash_peak_f32_avx2, ash_peak_bf16_avx512bf16, ash_peak_int8_neon, ash_peak_f32_neon;

#define ASH_PEAK_SUMS 12

#endif
