/* The elementwise operations in vectors of a vec.h, which elementwise_*.c of x86/ and arm/ include before this, each
 * with its flags. What is left over behind the last whole vector goes to the scalar form: the same bits, or better ones. */
#include <math.h>
#include <string.h>

#include "format/halffloat.h"
#include "kernels/e4m3.h"
#include "kernels/kernels.h"

static inline veci magnitude_bits(vec x) { return vi_and(v_bits(x), vi_set(0x7fffffff)); }

/* 16 columns, whose upper bytes are in q8, to their lower ones; inverse: of the lower scale. Returns their sum. */
static inline int16_t quantize_lower(const float *x, const int8_t *q8, vec inverse, int8_t *lower)
{
    float left[16];
    for (int i = 0; i < 16; i += VEC_LANES) {
        vec d = v_sub(v_mul(v_load(x + i), inverse), v_mul(v_load_int8(q8 + i), v_set(256)));
        v_store(left + i, v_max(v_min(d, v_set(127)), v_set(-127)));
    }
    return v_quantize16(left, v_set(1), lower);
}

/* to_lower: where the lower bytes go, of 16 bits; else 0. */
static inline __attribute__((always_inline)) void quantize_groups(const float *x, int64_t cols, const int group, int8_t *q8,
                                                                  float *scale, int16_t *sum, int64_t to_lower)
{
    float *lower_scale = scale + to_lower / 32;
    int16_t *lower_sum = sum + to_lower / 16;
    for (int64_t first = 0; first < cols; first += group) {
        int64_t end = first + group < cols ? first + group : cols;
        veci body = magnitude_bits(v_load(x + first));
        for (int64_t k = first + VEC_LANES; k < end; k += VEC_LANES)
            body = vi_max(body, magnitude_bits(v_load(x + k)));
        float max = ash_f32_of_bits(vi_hmax(body));
        bool fits = max >= ASH_Q8_TINY && max <= ASH_Q8_HUGE;
        float step = fits ? max / 127 : max < ASH_Q8_TINY ? 0 : ash_f32_of_bits(0x7fc00000);
        vec inverse = v_set(fits ? 127 / max : 0), of_lower = v_mul(inverse, v_set(256));
        for (int64_t k = first; k < end; k += 32) {
            scale[k / 32] = step;
            if (to_lower)
                lower_scale[k / 32] = step / 256;
            if (!fits) {
                memset(q8 + k, 0, 32);
                sum[k / 16] = sum[k / 16 + 1] = 0;
                if (to_lower) {
                    memset(q8 + k + to_lower, 0, 32);
                    lower_sum[k / 16] = lower_sum[k / 16 + 1] = 0;
                }
                continue;
            }
#pragma GCC unroll 2
            for (int64_t i = k; i < k + 32; i += 16) {
                sum[i / 16] = v_quantize16(x + i, inverse, q8 + i);
                if (to_lower)
                    lower_sum[i / 16] = quantize_lower(x + i, q8 + i, of_lower, q8 + i + to_lower);
            }
        }
    }
}

void VEC_FN(ash_quantize_q8)(const float *x, int64_t cols, int group, int8_t *q8, float *scale, int16_t *sum)
{
    if (group == 32) /* of which the compiler makes a loop without inner ones */
        quantize_groups(x, cols, 32, q8, scale, sum, 0);
    else
        quantize_groups(x, cols, ASH_Q8_WIDE, q8, scale, sum, 0);
}

void VEC_FN(ash_quantize_fine)(const float *x, int64_t cols, int8_t *q8, float *scale, int16_t *sum, int64_t to_lower)
{
    quantize_groups(x, cols, ASH_Q8_WIDE, q8, scale, sum, to_lower);
}

void VEC_FN(ash_round_e4m3)(float *x, int64_t n, float scale)
{
    vec by = v_set(scale);
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        v_store(x + i, v_mul(round_to_e4m3(v_div(v_load(x + i), by)), by));
    ash_round_e4m3_scalar(x + i, n - i, scale);
}

float VEC_FN(ash_max_abs)(const float *x, int64_t n)
{
    veci max = vi_set(0);
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        max = vi_max(max, magnitude_bits(v_load(x + i)));
    uint32_t whole = vi_hmax(max), rest = ash_f32_bits(ash_max_abs_scalar(x + i, n - i));
    return ash_f32_of_bits(whole > rest ? whole : rest);
}

void VEC_FN(ash_rms_norm)(const float *x, const float *w, int64_t n, float eps, float *out)
{
    vec_double a = v_double_zero(), b = v_double_zero();
    int64_t i = 0;
    for (; i + 2 * VEC_LANES <= n; i += 2 * VEC_LANES) {
        a = v_add_square(a, v_load(x + i));
        b = v_add_square(b, v_load(x + i + VEC_LANES));
    }
    double sum = v_hsum_double(a) + v_hsum_double(b);
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float inverse = (float)(1 / sqrt(sum / (double)n + (double)eps));
    for (i = 0; i + VEC_LANES <= n; i += VEC_LANES)
        v_store(out + i, v_mul(v_mul(v_load(x + i), v_set(inverse)), v_load(w + i)));
    for (; i < n; i++)
        out[i] = x[i] * inverse * w[i];
}

void VEC_FN(ash_rope)(float *x, int64_t heads, int64_t head_dim, int64_t rope_dim, const float *cos_sin)
{
    for (int64_t h = 0; h < heads; h++) {
        float *head = x + h * head_dim;
        int64_t i = 0;
        for (; i + VEC_LANES <= rope_dim; i += VEC_LANES) {
            vec ab = v_load(head + i), cs = v_load(cos_sin + i);
            v_store(head + i, v_sub_add(v_mul(ab, v_evens_twice(cs)), v_mul(v_swap_pairs(ab), v_odds_twice(cs))));
        }
        ash_rope_scalar(head + i, 1, head_dim, rope_dim - i, cos_sin + i);
    }
}

/* silu through t = e^-|gate|, which neither overflows nor loses the small results: gate / (1 + t), or gate t / (1 + t)
 * for negative gates. Roundings: t 2^-23, the sum, a product, the quotient, the product with up: 2^-24 each. */
void VEC_FN(ash_swiglu)(const float *gu, int64_t panels, float *h)
{
    vec zero = v_set(0);
    for (int64_t i = 0; i < panels; i++) {
        for (int r = 0; r < 16; r += VEC_LANES) {
            vec gate = v_load(gu + 32 * i + r), up = v_load(gu + 32 * i + 16 + r);
            vec t = v_exp(v_of_bits(vi_or(v_bits(gate), vi_set(0x80000000))));
            veci numerator = vi_select_greater(v_bits(zero), v_bits(gate), v_bits(v_mul(gate, t)), v_bits(gate));
            v_store(h + 16 * i + r, v_mul(v_div(v_of_bits(numerator), v_add(v_set(1), t)), up));
        }
    }
}

void VEC_FN(ash_add)(float *x, const float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        v_store(x + i, v_add(v_load(x + i), v_load(y + i)));
    ash_add_scalar(x + i, y + i, n - i);
}

void VEC_FN(ash_to_f16)(const float *x, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        v_store_half(out + i, v_load(x + i));
    ash_to_f16_scalar(x + i, n - i, out + i);
}
