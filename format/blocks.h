/* Quantized blocks as GGUF stores them (ggml's block structs), by byte.
 * d and m are IEEE half. A weight's value is, with q its unsigned code:
 *   Q4_0  d * (q - 8)          qs[j] = element j | element j + 16 << 4
 *   Q4_1  d * q + m            likewise
 *   Q5_0  d * (q - 16)         bit 4 of element j is bit j of qh (little-endian u32)
 *   Q5_1  d * q + m
 *   Q8_0  d * q                q signed
 *   Q4_K  d * sc[j] * q - dmin * mn[j]      j = element / 32; 6-bit sc, mn in scales[12]
 *   Q5_K  the same, bit 4 of element 32 c + i is bit c of qh[i]
 *   Q6_K  d * sc[j] * (q - 32)              j = element / 16; sc signed
 * Q4_K, Q5_K: qs[32 c + i] = element 64 c + i | element 64 c + 32 + i << 4.
 * Q6_K, half h of 128 elements, i < 32: low nibbles of elements 128h + i and + 64 in ql[64h + i],
 * of + 32 and + 96 in ql[64h + 32 + i]; high pairs of + 0, 32, 64, 96 in qh[32h + i] bits 0, 2, 4, 6.
 * scales[12]: j < 4: sc = s[j] & 63, mn = s[j + 4] & 63;
 *             j >= 4: sc = s[j + 4] & 15 | s[j - 4] >> 6 << 4, mn = s[j + 4] >> 4 | s[j] >> 6 << 4.
 */
#ifndef ASHLAR_FORMAT_BLOCKS_H
#define ASHLAR_FORMAT_BLOCKS_H

#include <assert.h>
#include <stdint.h>

typedef struct { uint16_t d; uint8_t qs[16]; } ash_block_q4_0;
typedef struct { uint16_t d, m; uint8_t qs[16]; } ash_block_q4_1;
typedef struct { uint16_t d; uint8_t qh[4]; uint8_t qs[16]; } ash_block_q5_0;
typedef struct { uint16_t d, m; uint8_t qh[4]; uint8_t qs[16]; } ash_block_q5_1;
typedef struct { uint16_t d; int8_t qs[32]; } ash_block_q8_0;
typedef struct { uint16_t d, dmin; uint8_t scales[12]; uint8_t qs[128]; } ash_block_q4_k;
typedef struct { uint16_t d, dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128]; } ash_block_q5_k;
typedef struct { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d; } ash_block_q6_k;

static_assert(sizeof(ash_block_q4_0) == 18, "Q4_0");
static_assert(sizeof(ash_block_q4_1) == 20, "Q4_1");
static_assert(sizeof(ash_block_q5_0) == 22, "Q5_0");
static_assert(sizeof(ash_block_q5_1) == 24, "Q5_1");
static_assert(sizeof(ash_block_q8_0) == 34, "Q8_0");
static_assert(sizeof(ash_block_q4_k) == 144, "Q4_K");
static_assert(sizeof(ash_block_q5_k) == 176, "Q5_K");
static_assert(sizeof(ash_block_q6_k) == 210, "Q6_K");

#endif
