/* Source rows, as GGUF and safetensors store them, to floats. format/blocks.h is the reference. */
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "kernels/kernels.h"

static uint32_t high_bits(const uint8_t qh[4])
{
    return (uint32_t)qh[0] | (uint32_t)qh[1] << 8 | (uint32_t)qh[2] << 16 | (uint32_t)qh[3] << 24;
}

/* Element i of a 32-element block of nibbles. */
static int nibble(const uint8_t *qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }

static void block_q4_0(const void *block, float *out)
{
    const ash_block_q4_0 *b = block;
    float d = ash_f16_to_f32(b->d);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(nibble(b->qs, i) - 8);
}

static void block_q4_1(const void *block, float *out)
{
    const ash_block_q4_1 *b = block;
    float d = ash_f16_to_f32(b->d), m = ash_f16_to_f32(b->m);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)nibble(b->qs, i) + m;
}

static void block_q5_0(const void *block, float *out)
{
    const ash_block_q5_0 *b = block;
    float d = ash_f16_to_f32(b->d);
    uint32_t high = high_bits(b->qh);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)((nibble(b->qs, i) | (int)(high >> i & 1) << 4) - 16);
}

static void block_q5_1(const void *block, float *out)
{
    const ash_block_q5_1 *b = block;
    float d = ash_f16_to_f32(b->d), m = ash_f16_to_f32(b->m);
    uint32_t high = high_bits(b->qh);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(nibble(b->qs, i) | (int)(high >> i & 1) << 4) + m;
}

static void block_q8_0(const void *block, float *out)
{
    const ash_block_q8_0 *b = block;
    float d = ash_f16_to_f32(b->d);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)b->qs[i];
}

/* Q4_K and, with the bits of qh, Q5_K. The products are exact; only the subtraction rounds. */
static void block_k(uint16_t half_d, uint16_t half_dmin, const uint8_t *s, const uint8_t *qs, const uint8_t *qh,
                    float *out)
{
    float d = ash_f16_to_f32(half_d), dmin = ash_f16_to_f32(half_dmin);
    for (int j = 0; j < 8; j++) {
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        float scale = d * (float)sc, min = dmin * (float)mn;
        for (int i = 0; i < 32; i++) {
            int q = qs[32 * (j / 2) + i] >> 4 * (j % 2) & 15;
            if (qh)
                q |= (qh[i] >> j & 1) << 4;
            out[32 * j + i] = scale * (float)q - min;
        }
    }
}

static void block_q4_k(const void *block, float *out)
{
    const ash_block_q4_k *b = block;
    block_k(b->d, b->dmin, b->scales, b->qs, NULL, out);
}

static void block_q5_k(const void *block, float *out)
{
    const ash_block_q5_k *b = block;
    block_k(b->d, b->dmin, b->scales, b->qs, b->qh, out);
}

static void block_q6_k(const void *block, float *out)
{
    const ash_block_q6_k *b = block;
    float d = ash_f16_to_f32(b->d);
    for (int e = 0; e < 256; e++) {
        int half = e / 128, quarter = e / 32 % 4, i = e % 32;
        int low = b->ql[64 * half + 32 * (quarter & 1) + i] >> 4 * (quarter >> 1) & 15;
        int high = b->qh[32 * half + i] >> 2 * quarter & 3;
        out[e] = d * (float)b->scales[e / 16] * (float)((low | high << 4) - 32);
    }
}

/* One element a block: `bytes` may start at an odd address in a file's mapping, as everywhere here. */
static void decode_elements(ash_dtype dtype, const uint8_t *bytes, int64_t cols, float *out)
{
    if (dtype == ASH_F32)
        memcpy(out, bytes, (size_t)cols * sizeof *out);
    for (int64_t k = 0; k < cols && dtype == ASH_F8_E4M3; k++)
        out[k] = ash_e4m3_to_f32(bytes[k]);
    for (int64_t k = 0; k < cols && (dtype == ASH_F16 || dtype == ASH_BF16); k++) {
        uint16_t v;
        memcpy(&v, bytes + 2 * k, 2);
        out[k] = dtype == ASH_F16 ? ash_f16_to_f32(v) : ash_bf16_to_f32(v);
    }
}

void ash_decode_row(ash_dtype dtype, const void *row, int64_t cols, float *out)
{
    static void (*const decoders[ASH_USABLE_DTYPES])(const void *block, float *out) = {
        [ASH_Q4_0] = block_q4_0, [ASH_Q4_1] = block_q4_1, [ASH_Q5_0] = block_q5_0, [ASH_Q5_1] = block_q5_1,
        [ASH_Q8_0] = block_q8_0, [ASH_Q4_K] = block_q4_k, [ASH_Q5_K] = block_q5_k, [ASH_Q6_K] = block_q6_k,
    };
    if (!ash_dtype_usable(dtype))
        return;
    if (!decoders[dtype]) {
        decode_elements(dtype, row, cols, out);
        return;
    }
    const ash_dtype_info *info = ash_dtype_find(dtype);
    const uint8_t *bytes = row;
    int64_t elems = info->block_elems;
    for (int64_t k = 0; k < cols; k += elems, bytes += info->block_bytes) {
        union { uint8_t bytes[sizeof(ash_block_q6_k)]; uint16_t aligned; } block;
        float values[256];
        memcpy(block.bytes, bytes, info->block_bytes);
        decoders[dtype](&block, values);
        int64_t count = cols - k < elems ? cols - k : elems;
        memcpy(out + k, values, (size_t)count * sizeof *out);
    }
}
