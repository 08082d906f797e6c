/* The specification of ATTENTION and ATTENTION_JOIN: for each query head the largest score first, then the weighted sum,
 * in double. */
#include <math.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "format/meta.h"
#include "kernels/kernels.h"

static double element(ash_dtype type, const uint8_t *row, int64_t i)
{
    uint16_t half;
    if (type == ASH_F8_E4M3)
        return (double)ash_e4m3_to_f32(row[i]);
    if (type == ASH_F16) {
        memcpy(&half, row + 2 * i, sizeof half);
        return (double)ash_f16_to_f32(half);
    }
    ash_block_q8_0 b;
    memcpy(&b, row + i / 32 * (int64_t)sizeof b, sizeof b);
    return (double)ash_f16_to_f32(b.d) * b.qs[i % 32];
}

static double score(ash_dtype type, const ash_attention *a, const float *q, int64_t position)
{
    const uint8_t *k = a->k + position % a->kv_rows * a->kv_stride;
    double sum = 0;
    for (int64_t i = 0; i < a->head_dim; i++)
        sum += (double)q[i] * element(type, k, i);
    return sum * (double)a->scale;
}

static void one_head(ash_dtype type, const ash_attention *a, const float *q, int64_t first, int64_t last, float *out,
                     float *part)
{
    double max = -INFINITY, total = 0, sum[ASH_HEAD_DIM_MAX] = { 0 };
    for (int64_t p = first; p <= last; p++)
        max = fmax(max, score(type, a, q, p));
    for (int64_t p = first; p <= last; p++) {
        double weight = exp(score(type, a, q, p) - max);
        const uint8_t *v = a->v + p % a->kv_rows * a->kv_stride;
        total += weight;
        for (int64_t i = 0; i < a->head_dim; i++)
            sum[i] += weight * element(type, v, i);
    }
    if (part) {
        part[0] = (float)max;
        part[1] = (float)total;
        out = part + ASH_ATTENTION_PART_HEAD;
        total = 1;
    }
    for (int64_t i = 0; i < a->head_dim; i++)
        out[i] = (float)(sum[i] / total);
}

static void attention(ash_dtype type, const ash_attention *a)
{
    for (int64_t t = 0; t < a->tokens; t++) {
        int64_t last = a->pos + t, first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
        first = first < a->begin ? a->begin : first;
        last = a->end > 0 && last >= a->end ? a->end - 1 : last;
        for (int64_t g = 0; g < a->group; g++)
            one_head(type, a, a->q + t * a->q_stride + g * a->head_dim, first, last,
                     a->parts ? NULL : a->out + t * a->out_stride + g * a->head_dim,
                     a->parts ? a->parts + (t * a->group + g) * ash_attention_part_elems(a->head_dim) : NULL);
    }
}

#define ATTENTION(type, name)                                            \
    void ash_attention_##name##_scalar(const ash_attention *a, void *scratch) \
    {                                                                    \
        (void)scratch;                                                   \
        attention(type, a);                                              \
    }
ATTENTION(ASH_F16, f16)
ATTENTION(ASH_F8_E4M3, f8_e4m3)
ATTENTION(ASH_Q8_0, q8_0)

void ash_attention_join_scalar(const float *parts, int64_t count, int64_t stride, int64_t head_dim, float *out)
{
    double max = -INFINITY, total = 0, sum[ASH_HEAD_DIM_MAX] = { 0 };
    for (int64_t p = 0; p < count; p++)
        max = fmax(max, (double)parts[p * stride]);
    for (int64_t p = 0; p < count; p++) {
        const float *part = parts + p * stride;
        double weight = exp((double)part[0] - max);
        total += weight * (double)part[1];
        for (int64_t i = 0; i < head_dim; i++)
            sum[i] += weight * (double)part[ASH_ATTENTION_PART_HEAD + i];
    }
    for (int64_t i = 0; i < head_dim; i++)
        out[i] = (float)(sum[i] / total);
}
