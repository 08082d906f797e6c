/* Rows of floats to other types. The operations and their order are ggml's reference quantizers': multiply by 1 / d,
 * which differs from dividing by d in the last bit now and then. */
#include "quant/encode.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"

#define BLOCK 32
#define Q8_0_MAX (127 * 0x1.ffdffep15f) /* 127 times the largest float below 65520, which is infinite as a half */

bool ash_encodable(uint32_t dtype)
{
    switch (dtype) {
    case ASH_F32: case ASH_F16: case ASH_BF16: case ASH_F8_E4M3:
    case ASH_Q8_0: case ASH_Q5_1: case ASH_Q5_0: case ASH_Q4_1: case ASH_Q4_0:
    case ASH_Q6_K: case ASH_Q5_K: case ASH_Q4_K:
        return true;
    default:
        return false;
    }
}

static ash_status not_representable(ash_dtype dtype, int64_t column, float x, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "column %" PRId64 " is %g, which %s cannot hold; choose another type",
                    column,
                    (double)x, ash_dtype_name(dtype));
}

static ash_status encode_f16(const float *x, int64_t cols, uint8_t *out, ash_error *err)
{
    for (int64_t i = 0; i < cols; i++) {
        uint16_t h = ash_f32_to_f16(x[i]);
        if ((h & 0x7fff) == 0x7c00 && isfinite(x[i]))
            return not_representable(ASH_F16, i, x[i], err);
        memcpy(out + 2 * i, &h, sizeof h);
    }
    return ASH_OK;
}

static ash_status encode_bf16(const float *x, int64_t cols, uint8_t *out, ash_error *err)
{
    for (int64_t i = 0; i < cols; i++) {
        uint16_t h = ash_f32_to_bf16(x[i]);
        if ((h & 0x7fff) == 0x7f80 && isfinite(x[i]))
            return not_representable(ASH_BF16, i, x[i], err);
        memcpy(out + 2 * i, &h, sizeof h);
    }
    return ASH_OK;
}

/* Index of the block's first value of largest magnitude. Refuses NaN and infinity, and a scale (that value divided by
 * `levels`) over half's range. */
static ash_status largest(ash_dtype dtype, const float *x, int n, int64_t column, float levels, int *out,
                          ash_error *err)
{
    int at = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return not_representable(dtype, column + i, x[i], err);
        if (fabsf(x[i]) > fabsf(x[at]))
            at = i;
    }
    if ((ash_f32_to_f16(x[at] / levels) & 0x7fff) == 0x7c00)
        return not_representable(dtype, column + at, x[at], err);
    *out = at;
    return ASH_OK;
}

/* 1 / d; 0 where d is 0 or so small (under 2^-128, 0 as a half) that the reciprocal is infinite. */
static float reciprocal(float d)
{
    float r = d != 0 ? 1.0f / d : 0.0f;
    return isfinite(r) ? r : 0.0f;
}

/* Code of element i into the nibbles at qs and, its fifth bit, into qh. */
static void put_code(int i, int q, uint8_t *qs, uint8_t *qh)
{
    qs[i % 16] |= (uint8_t)((q & 15) << (i < 16 ? 0 : 4));
    if (qh)
        qh[i / 8] |= (uint8_t)(q >> 4 << i % 8);
}

/* Q4_0 and Q5_0: the value of largest magnitude becomes code 0, which stands for -levels. */
static ash_status encode_symmetric(ash_dtype dtype, const float *x, int n, int64_t column, int levels, uint16_t *d_out,
                                   uint8_t *qs, uint8_t *qh, ash_error *err)
{
    int at;
    ASH_TRY(largest(dtype, x, n, column, (float)-levels, &at, err));
    float top = x[at] != 0 ? x[at] : 0.0f; /* all zeros give d = -0, whatever the sign of the first one */
    float d = top / (float)-levels, inverse = reciprocal(d);
    *d_out = ash_f32_to_f16(d);
    for (int i = 0; i < n; i++) {
        /* from 0.5 to 2 levels + 0.5, give or take rounding: not negative */
        int q = (int)(x[i] * inverse + ((float)levels + 0.5f));
        put_code(i, q < 2 * levels - 1 ? q : 2 * levels - 1, qs, qh);
    }
    return ASH_OK;
}

/* Q4_1 and Q5_1: codes 0 .. top from the smallest value to the largest. */
static ash_status encode_affine(ash_dtype dtype, const float *x, int n, int64_t column, int top, uint16_t *d_out,
                                uint16_t *m_out, uint8_t *qs, uint8_t *qh, ash_error *err)
{
    int at;
    ASH_TRY(largest(dtype, x, n, column, 1, &at, err)); /* m may be that value; d is smaller: (max - min) / top */
    float low = x[0], high = x[0];
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float d = (high - low) / (float)top, inverse = reciprocal(d);
    *d_out = ash_f32_to_f16(d);
    *m_out = ash_f32_to_f16(low);
    for (int i = 0; i < n; i++) {
        int q = (int)((x[i] - low) * inverse + 0.5f);
        put_code(i, q < top ? q : top, qs, qh);
    }
    return ASH_OK;
}

static ash_status encode_block(ash_dtype dtype, const float *x, int n, int64_t column, void *out, ash_error *err)
{
    switch (dtype) {
    case ASH_Q4_0: {
        ash_block_q4_0 *b = out;
        return encode_symmetric(dtype, x, n, column, 8, &b->d, b->qs, NULL, err);
    }
    case ASH_Q5_0: {
        ash_block_q5_0 *b = out;
        return encode_symmetric(dtype, x, n, column, 16, &b->d, b->qs, b->qh, err);
    }
    case ASH_Q4_1: {
        ash_block_q4_1 *b = out;
        return encode_affine(dtype, x, n, column, 15, &b->d, &b->m, b->qs, NULL, err);
    }
    default: {
        ash_block_q5_1 *b = out;
        return encode_affine(dtype, x, n, column, 31, &b->d, &b->m, b->qs, b->qh, err);
    }
    }
}

/* All of these blocks are bytes and little-endian halves at even offsets. */
static ash_status encode_blocks(ash_dtype dtype, const float *x, int64_t cols, uint8_t *out, ash_error *err)
{
    size_t bytes = ash_dtype_find(dtype)->block_bytes;
    for (int64_t column = 0; column < cols; column += BLOCK, out += bytes) {
        union { ash_block_q4_1 q4_1; ash_block_q5_1 q5_1; } b;
        memset(&b, 0, sizeof b);
        ASH_TRY(encode_block(dtype, x + column, cols - column < BLOCK ? (int)(cols - column) : BLOCK, column, &b, err));
        memcpy(out, &b, bytes);
    }
    return ASH_OK;
}

/* Kernels take what is in range, which the row's largest magnitude shows; a NaN is not. */
static ash_status check_range(const ash_kernels *kernels, ash_dtype dtype, const float *x, int64_t cols, float most,
                              ash_error *err)
{
    if (!(kernels->max_abs(x, cols) <= most))
        for (int64_t i = 0; i < cols; i++)
            if (!(fabsf(x[i]) <= most))
                return not_representable(dtype, i, x[i], err);
    return ASH_OK;
}

ash_status ash_encode_fp8_row(const ash_kernels *kernels, const float *x, int64_t cols, float scale, void *out,
                              ash_error *err)
{
    ASH_TRY(check_range(kernels, ASH_F8_E4M3, x, cols, FLT_MAX, err));
    kernels->encode_e4m3(x, cols, scale, out);
    return ASH_OK;
}

ash_status ash_encode_row(const ash_kernels *kernels, ash_dtype dtype, const float *x, const float *weight, int64_t cols,
                          void *out, ash_error *err)
{
    switch (dtype) {
    case ASH_F32:
        memcpy(out, x, (size_t)cols * sizeof *x);
        return ASH_OK;
    case ASH_F16:
        return encode_f16(x, cols, out, err);
    case ASH_BF16:
        return encode_bf16(x, cols, out, err);
    case ASH_F8_E4M3:
        return ash_encode_fp8_row(kernels, x, cols, 1, out, err);
    case ASH_Q5_1: case ASH_Q5_0: case ASH_Q4_1: case ASH_Q4_0:
        return encode_blocks(dtype, x, cols, out, err);
    case ASH_Q8_0: case ASH_Q6_K: case ASH_Q5_K: case ASH_Q4_K:
        ASH_TRY(check_range(kernels, dtype, x, cols, dtype == ASH_Q8_0 ? Q8_0_MAX : ASH_ENCODE_K_MAX, err));
        kernels->encode[dtype](x, weight, cols, out);
        return ASH_OK;
    default:
        return ash_fail(err, ASH_E_UNSUPPORTED, "type %s cannot be written; choose " ASH_ENCODABLE_NAMES,
                        ash_dtype_name(dtype));
    }
}
