/* The specification of everything that is neither a matrix product nor attention. */
#include <math.h>
#include <string.h>

#include "format/halffloat.h"
#include "kernels/kernels.h"

/* As bits, magnitudes order like integers, NaN above infinity: so a NaN wins the maximum at every level. */
static uint32_t max_abs_bits(const float *x, int64_t n)
{
    uint32_t max = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t body = ash_f32_bits(x[i]) & 0x7fffffff;
        max = body > max ? body : max;
    }
    return max;
}

void ash_quantize_q8_scalar(const float *x, int64_t cols, int group, int8_t *q8, float *scale, int16_t *sum)
{
    for (int64_t first = 0; first < cols; first += group) {
        int64_t end = first + group < cols ? first + group : cols;
        float max = ash_f32_of_bits(max_abs_bits(x + first, end - first));
        bool fits = max >= ASH_Q8_TINY && max <= ASH_Q8_HUGE;
        float step = fits ? max / 127 : max < ASH_Q8_TINY ? 0 : ash_f32_of_bits(0x7fc00000);
        float inverse = fits ? 127 / max : 0;
        for (int64_t k = first; k < end; k += 16) {
            int total = 0;
            for (int64_t i = k; i < k + 16; i++) {
                int q = fits ? (int)rintf(x[i] * inverse) : 0;
                q8[i] = (int8_t)q;
                total += q;
            }
            scale[k / 32] = step;
            sum[k / 16] = (int16_t)total;
        }
    }
}

void ash_quantize_fine_scalar(const float *x, int64_t cols, int8_t *q8, float *scale, int16_t *sum, int64_t to_lower)
{
    ash_quantize_q8_scalar(x, cols, ASH_Q8_WIDE, q8, scale, sum);
    int8_t *lower = q8 + to_lower;
    float *lower_scale = scale + to_lower / 32, inverse = 0;
    int16_t *lower_sum = sum + to_lower / 16;
    for (int64_t k = 0; k < cols; k++) {
        if (k % ASH_Q8_WIDE == 0) {
            int64_t count = cols - k < ASH_Q8_WIDE ? cols - k : ASH_Q8_WIDE;
            inverse = scale[k / 32] > 0 ? 127 / ash_f32_of_bits(max_abs_bits(x + k, count)) * 256 : 0; /* not of NaN */
        }
        float left = inverse > 0 ? x[k] * inverse - 256.0f * q8[k] : 0;
        lower[k] = (int8_t)rintf(left > 127 ? 127 : left < -127 ? -127 : left);
        lower_scale[k / 32] = scale[k / 32] / 256;
        lower_sum[k / 16] = (int16_t)((k % 16 ? lower_sum[k / 16] : 0) + lower[k]);
    }
}

void ash_round_e4m3_scalar(float *x, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = ash_e4m3_to_f32(ash_f32_to_e4m3(x[i] / scale)) * scale;
}

float ash_max_abs_scalar(const float *x, int64_t n) { return ash_f32_of_bits(max_abs_bits(x, n)); }

void ash_rms_norm_scalar(const float *x, const float *w, int64_t n, float eps, float *out)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float inverse = (float)(1 / sqrt(sum / (double)n + (double)eps));
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * inverse * w[i];
}

void ash_rope_scalar(float *x, int64_t heads, int64_t head_dim, int64_t rope_dim, const float *cos_sin)
{
    for (int64_t h = 0; h < heads; h++) {
        float *head = x + h * head_dim;
        for (int64_t i = 0; i < rope_dim; i += 2) {
            float a = head[i], b = head[i + 1], c = cos_sin[i], s = cos_sin[i + 1];
            head[i] = a * c - b * s;
            head[i + 1] = b * c + a * s;
        }
    }
}

void ash_swiglu_scalar(const float *gu, int64_t panels, float *h)
{
    for (int64_t i = 0; i < panels; i++) {
        for (int r = 0; r < 16; r++) {
            double gate = (double)gu[32 * i + r], up = (double)gu[32 * i + 16 + r];
            h[16 * i + r] = (float)(gate / (1 + exp(-gate)) * up);
        }
    }
}

void ash_add_scalar(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

void ash_to_f16_scalar(const float *x, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = ash_f32_to_f16(x[i]);
}

void ash_to_bf16_scalar(const float *x, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = ash_f32_bits(x[i]);
        out[i] = bits & 0x7f800000 ? ash_f32_to_bf16(x[i]) : (uint16_t)(bits >> 16 & 0x8000);
    }
}
