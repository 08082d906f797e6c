/* Prefill's matrices on the card (kernels/gfx12/inputs.hip, prefill_q.hip, prefill_f.hip), executed by the interpreter. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "format/halffloat.h"
#include "kernels/gfx12/requant.h"
#include "tests/gfx12/card.h"
#include "tests/support/weights.h"

#define GROUP ASH_GFX_GROUP

static int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

/* ---- prefill's inputs, as ash_gfx_inputs lays them out, from codes and scales in rows ---- */

typedef struct tokens {
    ash_gfx_form form;
    int64_t count, cols, padded, groups;
    float *value;   /* [count][cols]: what a code means without its scale */
    float *scale;   /* [count][groups]; FP8: groups is 1; F16, BF16: 1 */
    uint8_t *tiles; /* buffers of the card */
    float *tile_scale;
} tokens;

/* Byte of an 8-bit tile, or index of a 16-bit element, of token t, column k. */
static size_t place_8(int64_t padded, int64_t t, int64_t k)
{
    int64_t lane = t % 16 + 16 * (k / 8 % 2);
    return (size_t)(t / 16 * 16 * padded + k / 32 * 512 + 16 * lane + 8 * (k / 16 % 2) + k % 8);
}
static size_t place_16(int64_t padded, int64_t t, int64_t k)
{
    int64_t lane = t % 16 + 16 * (k / 8 % 2);
    return (size_t)(t / 16 * 16 * padded + k / 16 * 256 + 8 * lane + k % 8);
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

/* Tokens that fill up the last tile are NaN wherever the form has one: they must reach nobody. */
static tokens tokens_make(card *c, ash_gfx_form form, int64_t count, int64_t cols, test_rng *rng)
{
    bool bytes = form <= ASH_GFX_FP8;
    int64_t pad = form == ASH_GFX_INT8 ? GROUP : form == ASH_GFX_FP8 ? 32 : 16, tiles = round_up(count, 16);
    tokens x = { .form = form, .count = count, .cols = cols, .padded = round_up(cols, pad), .groups = 1 };
    if (form == ASH_GFX_INT8)
        x.groups = x.padded / GROUP;
    x.value = malloc((size_t)(count * cols) * sizeof *x.value);
    x.scale = malloc((size_t)(count * x.groups) * sizeof *x.scale);
    size_t size = (size_t)(tiles * x.padded) * (bytes ? 1 : 2);
    x.tiles = card_buffer(c, "x", size);
    x.tile_scale = bytes ? card_buffer(c, "x scale", (size_t)(tiles * x.groups) * sizeof(float)) : NULL;
    for (int64_t t = 0; t < count; t++) {
        for (int64_t g = 0; g < x.groups; g++) {
            float scale = bytes ? 0.01f + 0.005f * test_rng_float(rng) : 1;
            x.scale[t * x.groups + g] = scale;
            if (bytes)
                x.tile_scale[(t / 16 * x.groups + g) * 16 + t % 16] = scale;
        }
        for (int64_t k = 0; k < x.padded; k++) {
            uint32_t code = k < cols ? random_code(form, rng) : 0;
            if (k < cols)
                x.value[t * cols + k] = code_value(form, code);
            if (bytes)
                x.tiles[place_8(x.padded, t, k)] = (uint8_t)code;
            else
                ((uint16_t *)(void *)x.tiles)[place_16(x.padded, t, k)] = (uint16_t)code;
        }
    }
    return x;
}

static void tokens_free(tokens *x)
{
    free(x->value);
    free(x->scale);
}

/* ---- products ---- */

/* A sum and the sum of the magnitudes of its terms. */
typedef struct sum { double value, size; } sum;

/* W of Q types as prefill rounds it, against int8 inputs: integer sums of a group are exact. */
static sum product_q(const ash_matrix *w, int64_t row, const tokens *x, int64_t t)
{
    sum s = { 0, 0 };
    for (int64_t g = 0; g < x->groups; g++) {
        int8_t codes[GROUP];
        float scale;
        ash_gfx_requantize(w, row / 16, (int)(row % 16), g, codes, &scale);
        int64_t dot = 0;
        for (int64_t k = 0; k < GROUP && g * GROUP + k < w->cols; k++)
            dot += codes[k] * (int)x->value[t * x->cols + g * GROUP + k];
        double term = (double)dot * (double)scale * (double)x->scale[t * x->groups + g];
        s.value += term;
        s.size += fabs(term);
    }
    return s;
}

static ash_gfx_part part_of(card *c, const char *name, const ash_matrix *w)
{
    int64_t panels = (w->rows + 15) / 16;
    card_read_only(c, name, w->data, (size_t)(panels * w->panel_bytes));
    return (ash_gfx_part){ .data = w->data, .scale = w->scale, .dtype = w->dtype, .scale_kind = w->scale_kind,
                           .panels = (uint32_t)panels, .panel_bytes = (uint32_t)w->panel_bytes, .y_panel_stride = 16 };
}

static void launch(card *c, const ash_gfx_prefill *a)
{
    const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, a->part[0].dtype, 0);
    assert_non_null(k);
    card_run(c, k, ash_gfx_prefill_grid_x(a), ash_gfx_prefill_grid_y(a), 1, a);
}

static void test_q(void **state)
{
    (void)state;
    static const ash_dtype types[] = { ASH_Q4_0, ASH_Q4_1, ASH_Q5_0, ASH_Q5_1, ASH_Q8_0, ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };
    static const struct { int64_t rows, cols, tokens; } shapes[] = {
        { 1, 64, 1 }, { 15, 576, 15 }, { 17, 640, 16 }, { 80, 1000, 17 }, { 64, 256, 130 },
    };
    card c = { .seed = 3 };
    test_rng rng = test_rng_start("prefill q");
    for (size_t d = 0; d < sizeof types / sizeof *types; d++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
            int64_t rows = shapes[n].rows, cols = shapes[n].cols, count = shapes[n].tokens, stride = round_up(rows, 64);
            test_matrix m = weights_make(types[d], rows, cols, WEIGHT_RANDOM, ASH_SCALE_NONE, &rng);
            tokens x = tokens_make(&c, ASH_GFX_INT8, count, cols, &rng);
            ash_gfx_prefill a = { .part = { part_of(&c, "w", &m.w) }, .part_count = 1, .kind = ASH_GFX_STORE,
                                  .cols = (uint32_t)cols, .tokens = (uint32_t)count, .x = x.tiles, .x_scale = x.tile_scale,
                                  .y_stride = (uint32_t)stride };
            float *y = a.y = card_buffer(&c, "y", (size_t)(count * stride) * 4);
            launch(&c, &a);
            for (int64_t t = 0; t < count; t++)
                for (int64_t r = 0; r < rows; r++) {
                    sum s = product_q(&m.w, r, &x, t);
                    double got = (double)y[t * stride + r];
                    if (!(fabs(got - s.value) <= s.size * (double)(x.groups + 3) * 0x1p-24))
                        fail_msg("%s, %d x %d, token %d, row %d: %.9g, not %.9g", ash_dtype_find(types[d])->name, (int)rows,
                                 (int)cols, (int)t, (int)r, got, s.value);
                }
            tokens_free(&x);
            weights_free(&m);
            card_clear(&c);
        }
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_q) };
    return cmocka_run_group_tests_name("gfx12_prefill", tests, NULL, NULL);
}
