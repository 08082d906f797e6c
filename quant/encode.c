/* Rows of floats to other types. The operations and their order are ggml's reference quantizers': multiply by 1 / d,
 * which differs from dividing by d in the last bit now and then. */
#include "quant/encode.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"

#define BLOCK 32

bool ash_encodable(uint32_t dtype)
{
    return dtype == ASH_F32 || dtype == ASH_F16 || dtype == ASH_BF16 || dtype == ASH_Q8_0 || dtype == ASH_Q4_0;
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

/* In a last block of n < 32 elements the codes of the others are zero bits, which is what tiles want of padding. */
static ash_status encode_q8_0(const float *x, int n, int64_t column, ash_block_q8_0 *b, ash_error *err)
{
    int at;
    ASH_TRY(largest(ASH_Q8_0, x, n, column, 127.0f, &at, err));
    float d = fabsf(x[at]) / 127.0f, inverse = reciprocal(d);
    memset(b, 0, sizeof *b);
    b->d = ash_f32_to_f16(d);
    for (int i = 0; i < n; i++)
        b->qs[i] = (int8_t)roundf(x[i] * inverse); /* |x / d| <= 127 (1 + 2^-22): rounds to at most 127 */
    return ASH_OK;
}

static ash_status encode_q4_0(const float *x, int n, int64_t column, ash_block_q4_0 *b, ash_error *err)
{
    int at;
    ASH_TRY(largest(ASH_Q4_0, x, n, column, -8.0f, &at, err));
    float top = x[at] != 0 ? x[at] : 0.0f; /* all zeros give d = -0, whatever the sign of the first one */
    float d = top / -8.0f, inverse = reciprocal(d);
    memset(b, 0, sizeof *b);
    b->d = ash_f32_to_f16(d);
    for (int i = 0; i < n; i++) {
        int q = (int)(x[i] * inverse + 8.5f); /* from 0.5 to 16.5, give or take rounding: not negative */
        b->qs[i % 16] |= (uint8_t)((q < 15 ? q : 15) << (i < 16 ? 0 : 4));
    }
    return ASH_OK;
}

static ash_status encode_blocks(ash_dtype dtype, const float *x, int64_t cols, uint8_t *out, ash_error *err)
{
    for (int64_t column = 0; column < cols; column += BLOCK) {
        int n = cols - column < BLOCK ? (int)(cols - column) : BLOCK;
        if (dtype == ASH_Q8_0) {
            ash_block_q8_0 b;
            ASH_TRY(encode_q8_0(x + column, n, column, &b, err));
            memcpy(out, &b, sizeof b);
            out += sizeof b;
        } else {
            ash_block_q4_0 b;
            ASH_TRY(encode_q4_0(x + column, n, column, &b, err));
            memcpy(out, &b, sizeof b);
            out += sizeof b;
        }
    }
    return ASH_OK;
}

ash_status ash_encode_row(ash_dtype dtype, const float *x, int64_t cols, void *out, ash_error *err)
{
    switch (dtype) {
    case ASH_F32:
        memcpy(out, x, (size_t)cols * sizeof *x);
        return ASH_OK;
    case ASH_F16:
        return encode_f16(x, cols, out, err);
    case ASH_BF16:
        return encode_bf16(x, cols, out, err);
    case ASH_Q8_0:
    case ASH_Q4_0:
        return encode_blocks(dtype, x, cols, out, err);
    default:
        return ash_fail(err, ASH_E_UNSUPPORTED, "type %s cannot be written; choose f32, f16, bf16, q8_0 or q4_0",
                        ash_dtype_name(dtype));
    }
}
