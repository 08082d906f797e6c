#include "quant/balance.h"

#include "quant/kblock.h"

/* A column that hardly varies would be asked for all of the correction: a part of its square counts as variance. */
#define LEAST_VARIANCE 0.05

static double variance_of(float mean, double square)
{
    double v = square - (double)mean * (double)mean, least = LEAST_VARIANCE * square;
    return v > least ? v : least;
}

void ash_balance_pull(const float *mean, const double *square, int64_t cols, float *pull)
{
    double rest = 1;
    for (int64_t k = cols - 1; k >= 0; k--) {
        double m = (double)mean[k], v = variance_of(mean[k], square[k]);
        rest += v > 0 ? m * m / v : 0;
        pull[k] = v > 0 ? (float)(m / (v * rest)) : 0;
    }
}

/* To nearest, ties to even, within 2^22: what rintf gives, which without SSE4.1 is a call. */
static inline float round_small(float x) { return x + 0x1.8p23f - 0x1.8p23f; }

void ash_balance_row(ash_dtype dtype, const ash_balance *b, const float *x, int64_t cols, uint8_t *row)
{
    if (!ash_kblock_has(dtype))
        return;
    float sum = 0; /* of mean * error */
    for (int64_t at = 0; at < cols; at += ASH_KBLOCK_ELEMS, row += ash_dtype_find(dtype)->block_bytes) {
        ash_kblock block;
        ash_kblock_read(dtype, row, &block);
        int count = cols - at < ASH_KBLOCK_ELEMS ? (int)(cols - at) : ASH_KBLOCK_ELEMS;
        float low = (float)block.low, high = (float)block.high;
        for (int first = 0; first < count; first += block.sub_elems) {
            int sub = first / block.sub_elems, end = first + block.sub_elems < count ? first + block.sub_elems : count;
            float scale = block.d * (float)block.sc[sub], min = block.dmin * (float)block.mn[sub];
            float inverse = ash_kblock_reciprocal(scale);
            /* Each column waits for the sum of the one before: what does not need it is taken out of that chain. */
            for (int k = first; k < end; k++) {
                float mean = b->mean[at + k], wanted = x[at + k] + min;
                float code = wanted * inverse - b->pull[at + k] * inverse * sum;
                code = code > low ? code : low;
                code = round_small(code < high ? code : high);
                block.code[k] = (int8_t)code;
                sum = (sum - mean * wanted) + mean * scale * code;
            }
        }
        ash_kblock_write(dtype, &block, row);
    }
}
