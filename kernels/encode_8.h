/* Rows to 8-bit types, and 16-bit rows to floats. kernels/scalar/encode_8.c and kernels/x86/encode_8_*.c include this
 * after a vec.h, so that every level runs the same operations on each element and gives the same bits. */
#ifndef ASHLAR_KERNELS_ENCODE_8_H
#define ASHLAR_KERNELS_ENCODE_8_H

#include <math.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "kernels/e4m3.h"
#include "kernels/kernels.h"

#define BLOCK 32
#define LANES 16 /* sums run side by side, whatever the vector's width */

/* ---- Q8_0 ---- */

/* d = max |x| / 127, codes x * (1 / d) rounded half away from zero. A reciprocal that would be infinite (d under
 * 2^-128, 0 as a half) is 0. */
static inline void q8_block(const float *x, ash_block_q8_0 *b)
{
    const vec zero = v_set(0);
    vec most = zero;
    for (int i = 0; i < BLOCK; i += VEC_LANES) {
        vec v = v_load(x + i);
        most = v_max(most, v_max(v, v_sub(zero, v)));
    }
    float d = v_hmax(most) / 127.0f, inverse = d != 0 ? 1.0f / d : 0.0f;
    inverse = isfinite(inverse) ? inverse : 0.0f;
    b->d = ash_f32_to_f16(d);
    for (int i = 0; i < BLOCK; i += VEC_LANES) {
        /* Magnitudes plus the largest float below 0.5, cut: the sum of a half and it rounds up to the next integer,
         * the sum of anything less does not. */
        vec v = v_mul(v_load(x + i), v_set(inverse));
        vec q = v_trunc(v_add(v_max(v, v_sub(zero, v)), v_set(0x1.fffffep-2f)));
        /* -q as a byte is 256 - q */
        q = v_select_less(v, zero, v_select_less(zero, q, v_sub(v_set(256), q), q), q);
        v_store_bytes((uint8_t *)b->qs + i, q);
    }
}

void VEC_FN(ash_encode_q8_0)(const float *x, const float *weight, int64_t cols, uint8_t *out)
{
    (void)weight;
    ash_block_q8_0 b;
    for (; cols >= BLOCK; cols -= BLOCK, x += BLOCK, out += sizeof b) {
        q8_block(x, &b);
        memcpy(out, &b, sizeof b); /* rows may begin at odd addresses */
    }
    if (cols > 0) {
        float rest[BLOCK] = { 0 };
        memcpy(rest, x, (size_t)cols * sizeof *x);
        q8_block(rest, &b);
        memcpy(out, &b, sizeof b);
    }
}

/* ---- e4m3 ---- */

void VEC_FN(ash_encode_e4m3)(const float *x, int64_t n, float scale, uint8_t *out)
{
    const float inverse = 1.0f / scale;
    const vec by = v_set(inverse);
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vi_store_bytes(out + i, code_of_e4m3(v_mul(v_load(x + i), by)));
    for (; i < n; i++)
        out[i] = ash_f32_to_e4m3(x[i] * inverse);
}

double VEC_FN(ash_error_e4m3)(const float *x, int64_t n, float scale)
{
    const vec by = v_set(1.0f / scale), back = v_set(scale);
    float sums[LANES] = { 0 };
    for (int64_t i = 0; i < n; i += LANES) {
        float rest[LANES] = { 0 };
        const float *p = x + i;
        if (n - i < LANES)
            p = memcpy(rest, p, (size_t)(n - i) * sizeof *p);
        for (int k = 0; k < LANES; k += VEC_LANES) {
            vec v = v_load(p + k), lost = v_sub(v, v_mul(round_to_e4m3(v_mul(v, by)), back));
            v_store(sums + k, v_fma(lost, lost, v_load(sums + k)));
        }
    }
    double sum = 0;
    for (int k = 0; k < LANES; k++)
        sum += (double)sums[k];
    return sum;
}

/* ---- 16 bits to floats ---- */

void VEC_FN(ash_decode_f16)(const uint8_t *row, int64_t n, float *out)
{
    uint16_t half[VEC_LANES];
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES) {
        memcpy(half, row + 2 * i, sizeof half);
        v_store(out + i, v_load_half(half));
    }
    for (; i < n; i++) {
        memcpy(half, row + 2 * i, sizeof *half);
        out[i] = ash_f16_to_f32(*half);
    }
}

void VEC_FN(ash_decode_bf16)(const uint8_t *row, int64_t n, float *out)
{
    uint16_t half[VEC_LANES];
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES) {
        memcpy(half, row + 2 * i, sizeof half);
        v_store(out + i, v_load_bf16(half));
    }
    for (; i < n; i++) {
        memcpy(half, row + 2 * i, sizeof *half);
        out[i] = ash_bf16_to_f32(*half);
    }
}

#endif
