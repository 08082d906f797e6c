#include "runtime/rope.h"

#include <math.h>
#include <stdlib.h>

#define TWO_PI 6.283185307179586476925

/* Llama 3.1: wavelengths shorter than original / high stay, longer than original / low are stretched by
 * factor, and between them the two are mixed linearly in original / wavelength. */
static double llama3(double frequency, const ash_hparams *h)
{
    double turns = h->rope_original_context * frequency / TWO_PI; /* of this pair within the original context */
    if (turns > h->rope_high)
        return frequency;
    if (turns < h->rope_low)
        return frequency / h->rope_factor;
    double keep = (turns - h->rope_low) / (h->rope_high - h->rope_low);
    return (1 - keep) * frequency / h->rope_factor + keep * frequency;
}

/* YaRN (Peng et al. 2023): the pair (as a real number) that makes `turns` turns within the original context. */
static double yarn_pair(double turns, const ash_hparams *h)
{
    return h->rope_dim * log(h->rope_original_context / (turns * TWO_PI)) / (2 * log((double)h->rope_theta));
}

/* Pairs that turn more than beta_fast times keep their frequency, fewer than beta_slow times are divided by factor,
 * with a linear ramp over the pair's index between. */
static double yarn(double frequency, uint32_t pair, const ash_hparams *h)
{
    double low = fmax(floor(yarn_pair(h->rope_high, h)), 0);
    double high = fmin(ceil(yarn_pair(h->rope_low, h)), h->rope_dim - 1);
    if (high <= low)
        high = low + 0.001;
    double ramp = fmin(fmax((pair - low) / (high - low), 0), 1);
    return frequency / h->rope_factor * ramp + frequency * (1 - ramp);
}

ash_status ash_rope_init(ash_rope *rope, const ash_hparams *h, const float *divisors, ash_error *err)
{
    *rope = (ash_rope){ .pairs = h->rope_dim / 2, .magnitude = 1 };
    rope->frequency = calloc(rope->pairs + 1, sizeof *rope->frequency);
    if (!rope->frequency)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %u rotation frequencies", rope->pairs);
    for (uint32_t i = 0; i < rope->pairs; i++) {
        double f = pow(h->rope_theta, -2.0 * i / h->rope_dim);
        switch (h->rope_scaling) {
        case ASH_ROPE_NONE: break;
        case ASH_ROPE_LINEAR: f /= h->rope_factor; break;
        case ASH_ROPE_LLAMA3: f = llama3(f, h); break;
        case ASH_ROPE_YARN: f = yarn(f, i, h); break;
        }
        rope->frequency[i] = divisors ? f / divisors[i] : f;
        if (!isfinite(rope->frequency[i])) {
            ash_rope_free(rope);
            return ash_fail(err, ASH_E_FORMAT, "rotation frequency %u is not finite: rope_theta %g, factor %g", i,
                            (double)h->rope_theta, (double)h->rope_factor);
        }
    }
    if (h->rope_scaling == ASH_ROPE_YARN) {
        rope->magnitude = h->rope_attention_factor;
        if (rope->magnitude == 0)
            rope->magnitude = h->rope_factor <= 1 ? 1 : (float)(0.1 * log((double)h->rope_factor) + 1);
    }
    return ASH_OK;
}

void ash_rope_free(ash_rope *rope)
{
    free(rope->frequency);
    *rope = (ash_rope){ 0 };
}

void ash_rope_angles(const ash_rope *rope, uint32_t position, float *cos_sin)
{
    for (uint32_t i = 0; i < rope->pairs; i++) {
        double angle = position * rope->frequency[i];
        cos_sin[2 * i] = (float)(cos(angle) * rope->magnitude);
        cos_sin[2 * i + 1] = (float)(sin(angle) * rope->magnitude);
    }
}
