#include "tests/gfx12/tokens.h"

#include <math.h>
#include <stdlib.h>

#include "format/halffloat.h"
#include "tests/gfx12/tiles.h"

#define GROUP ASH_GFX_GROUP

static int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

/* Sums of squares of each group, from which the rest of a norm follows. */
static void add_squares(card *c, gfx_tokens *x, test_rng *rng)
{
    x->tile_squares = card_buffer(c, "x squares", (size_t)(round_up(x->count, 16) * x->groups) * sizeof(float));
    for (int64_t t = 0; t < x->count; t++) {
        double sum = 0;
        for (int64_t g = 0; g < x->groups; g++) {
            float square = 300 + 200 * test_rng_float(rng);
            x->tile_squares[(t / 16 * x->groups + g) * 16 + t % 16] = square;
            sum += (double)square;
        }
        x->factor[t] = 1 / sqrt(sum / (double)x->cols + (double)GFX_TOKENS_EPS);
    }
}

static uint32_t random_code(ash_gfx_form form, test_rng *rng)
{
    switch (form) {
    case ASH_GFX_INT8: return (uint8_t)(int8_t)((int)test_rng_below(rng, 255) - 127);
    case ASH_GFX_FP8: return ash_f32_to_e4m3(448 * powf(test_rng_float(rng), 3));
    case ASH_GFX_F16: return ash_f32_to_f16(test_rng_float(rng));
    default: return ash_f32_to_bf16(test_rng_float(rng));
    }
}

static float code_value(ash_gfx_form form, uint32_t code)
{
    switch (form) {
    case ASH_GFX_INT8: return (float)(int8_t)code;
    case ASH_GFX_FP8: return ash_e4m3_to_f32((uint8_t)code);
    case ASH_GFX_F16: return ash_f16_to_f32((uint16_t)code);
    default: return ash_bf16_to_f32((uint16_t)code);
    }
}

gfx_tokens gfx_tokens_make(card *c, ash_gfx_form form, int64_t count, int64_t cols, float input_scale, bool norm,
                           test_rng *rng)
{
    bool bytes = form <= ASH_GFX_FP8, grouped = ash_gfx_in_groups(form, input_scale);
    int64_t tiles = round_up(count, 16);
    gfx_tokens x = { .form = form, .count = count, .cols = cols, .padded = round_up(cols, GROUP), .groups = 1 };
    if (grouped)
        x.groups = x.padded / GROUP;
    x.value = malloc((size_t)(count * cols) * sizeof *x.value);
    x.scale = malloc((size_t)(count * x.groups) * sizeof *x.scale);
    x.factor = malloc((size_t)count * sizeof *x.factor);
    for (int64_t t = 0; t < count; t++)
        x.factor[t] = 1;
    size_t size = (size_t)(tiles * x.padded) * (bytes ? 1 : 2);
    x.tiles = card_buffer(c, "x", size);
    x.tile_scale = grouped ? card_buffer(c, "x scale", (size_t)(tiles * x.groups) * sizeof(float)) : NULL;
    for (int64_t t = 0; t < count; t++) {
        for (int64_t g = 0; g < x.groups; g++) {
            float scale = grouped ? 0.01f + 0.005f * test_rng_float(rng) : bytes ? input_scale : 1;
            x.scale[t * x.groups + g] = scale;
            if (grouped)
                x.tile_scale[(t / 16 * x.groups + g) * 16 + t % 16] = scale;
        }
        for (int64_t k = 0; k < x.padded; k++) {
            uint32_t code = k < cols ? random_code(form, rng) : 0;
            if (k < cols)
                x.value[t * cols + k] = code_value(form, code);
            if (bytes)
                x.tiles[gfx_place_8(x.padded, t, k)] = (uint8_t)code;
            else
                ((uint16_t *)(void *)x.tiles)[gfx_place_16(x.padded, t, k)] = (uint16_t)code;
        }
    }
    if (norm)
        add_squares(c, &x, rng);
    return x;
}

void gfx_tokens_free(gfx_tokens *x)
{
    free(x->factor);
    free(x->value);
    free(x->scale);
}

void gfx_tokens_spread(gfx_tokens *x, test_rng *rng)
{
    for (int64_t t = 0; t < x->count; t++)
        for (int64_t g = 0; g < x->groups; g++) {
            bool zero = t % 3 == 0 && (g + t) % 4 == 0;
            int by = (int)(20 * (t % 6));
            float scale = zero ? 0 : ldexpf(1 + test_rng_float(rng) / 2, (g + t) % 2 ? -by : by / 4);
            x->scale[t * x->groups + g] = x->tile_scale[(t / 16 * x->groups + g) * 16 + t % 16] = scale;
            for (int64_t k = g * GROUP; zero && k < (g + 1) * GROUP; k++) {
                x->tiles[gfx_place_8(x->padded, t, k)] = 0;
                if (k < x->cols)
                    x->value[t * x->cols + k] = 0;
            }
        }
}

void gfx_tokens_spoil(gfx_tokens *x)
{
    int64_t at = x->cols + x->cols / 2;
    if (x->form == ASH_GFX_INT8)
        x->scale[x->groups] = x->tile_scale[1] = NAN;
    else
        x->value[at] = NAN;
    if (x->form == ASH_GFX_FP8)
        x->tiles[gfx_place_8(x->padded, 1, x->cols / 2)] = 0x7f;
    else if (x->form != ASH_GFX_INT8)
        ((uint16_t *)(void *)x->tiles)[gfx_place_16(x->padded, 1, x->cols / 2)] = 0x7fff;
}
