/* The specification of ATTENTION: for each query head the largest score first, then the weighted sum, in double. */
#include <math.h>

#include "format/halffloat.h"
#include "format/meta.h"
#include "kernels/kernels.h"

static double score(const ash_attention *a, const float *q, int64_t position)
{
    const uint16_t *k = a->k + position % a->kv_rows * a->kv_stride;
    double sum = 0;
    for (int64_t i = 0; i < a->head_dim; i++)
        sum += (double)q[i] * (double)ash_f16_to_f32(k[i]);
    return sum * (double)a->scale;
}

static void one_head(const ash_attention *a, const float *q, int64_t first, int64_t last, float *out)
{
    double max = -INFINITY, total = 0, sum[ASH_HEAD_DIM_MAX] = { 0 };
    for (int64_t p = first; p <= last; p++)
        max = fmax(max, score(a, q, p));
    for (int64_t p = first; p <= last; p++) {
        double weight = exp(score(a, q, p) - max);
        const uint16_t *v = a->v + p % a->kv_rows * a->kv_stride;
        total += weight;
        for (int64_t i = 0; i < a->head_dim; i++)
            sum[i] += weight * (double)ash_f16_to_f32(v[i]);
    }
    for (int64_t i = 0; i < a->head_dim; i++)
        out[i] = (float)(sum[i] / total);
}

void ash_attention_scalar(const ash_attention *a, void *scratch)
{
    (void)scratch;
    for (int64_t t = 0; t < a->tokens; t++) {
        int64_t last = a->pos + t, first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
        for (int64_t g = 0; g < a->group; g++)
            one_head(a, a->q + t * a->q_stride + g * a->head_dim, first, last,
                     a->out + t * a->out_stride + g * a->head_dim);
    }
}
