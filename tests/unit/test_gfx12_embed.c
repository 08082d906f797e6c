/* Rows of the embedding on the card (kernels/gfx12/embed.hip), executed by the interpreter: bit for bit those of
 * ash_row_*_scalar. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"
#include "tests/support/weights.h"

#include "tests/gfx12/card.h"

#define ROWS 21 /* a panel and a part of one */
#define TOKENS 6

static ash_row_fn *scalar_row(ash_dtype dtype)
{
    ash_kernels k;
    ash_kernels_init(&k, ASH_LEVEL_SCALAR);
    return k.row[dtype];
}

/* Equal bits; a NaN's payload, which the conversions choose, does not count. */
static bool same(float a, float b) { return memcmp(&a, &b, 4) == 0 || (isnan(a) && isnan(b)); }

static void check(card *c, ash_dtype dtype, uint32_t cols, weight_kind kind, ash_scale_kind scale_kind, test_rng *rng)
{
    static const int32_t ids[TOKENS] = { 20, 0, 15, -1, 16, 1000 }, nearest[TOKENS] = { 20, 0, 15, 0, 16, 20 };
    test_matrix m = weights_make(dtype, ROWS, cols, kind, scale_kind, rng);
    uint32_t padded = (uint32_t)ash_pad_cols(cols), stride = padded + 64;
    float *x = card_buffer(c, "x", TOKENS * stride * 4), *want = malloc(padded * sizeof *want);
    ash_gfx_step *step = card_buffer(c, "step", sizeof *step + sizeof ids);
    *step = (ash_gfx_step){ .pos = 0, .tokens = TOKENS };
    memcpy(step->ids, ids, sizeof ids);
    card_read_only(c, "table", m.w.data, 2 * (size_t)m.w.panel_bytes);
    if (m.w.scale)
        card_read_only(c, "scale", m.w.scale, m.scale.size);
    ash_gfx_embed args = {
        .table = { .data = m.w.data, .scale = m.w.scale, .dtype = dtype, .scale_kind = m.w.scale_kind, .panels = 2,
                   .panel_bytes = (uint32_t)m.w.panel_bytes },
        .step = step, .x = x, .cols = cols, .rows = ROWS, .tokens = TOKENS, .x_stride = stride,
    };
    const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_EMBED, dtype, 0);
    assert_non_null(k);
    ash_gfx_grid grid = ash_gfx_embed_grid(&args);
    card_run(c, k, grid.x, grid.y, grid.z, &args);
    for (uint32_t t = 0; t < TOKENS; t++) {
        memset(want, 0, padded * sizeof *want);
        scalar_row(dtype)(&m.w, nearest[t], want);
        for (uint32_t i = 0; i < padded; i++)
            if (!same(x[t * stride + i], want[i]))
                fail_msg("%s, %u columns: token %u, column %u is %.9g, not %.9g", ash_dtype_name(dtype), cols, t, i,
                         (double)x[t * stride + i], (double)want[i]);
        for (uint32_t i = padded; i < stride; i++)
            assert_true(isnan(x[t * stride + i])); /* as it was */
    }
    free(want);
    card_clear(c);
    weights_free(&m);
}

static void test_embed(void **state)
{
    (void)state;
    static const uint32_t widths[] = { 64, 576, 640, 896, 1000, 4096 };
    card c = { .seed = 3 };
    test_rng rng = test_rng_start("gfx12 embed");
    for (ash_dtype dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++) {
        bool is_float = ash_dtype_find(dtype)->block_elems == 1;
        for (size_t n = 0; n < sizeof widths / sizeof *widths; n++) {
            if (!is_float && widths[n] % 32 != 0)
                continue;
            weight_kind kind = n % 2 ? WEIGHT_EXTREME : WEIGHT_RANDOM;
            if (dtype != ASH_F8_E4M3)
                check(&c, dtype, widths[n], kind, ASH_SCALE_NONE, &rng);
            for (ash_scale_kind s = ASH_SCALE_TENSOR; dtype == ASH_F8_E4M3 && s <= ASH_SCALE_BLOCK128; s++)
                check(&c, dtype, widths[n], kind, s, &rng);
        }
        check(&c, dtype, 320, is_float ? WEIGHT_NAN : WEIGHT_RUNS,
              dtype == ASH_F8_E4M3 ? ASH_SCALE_ROW : ASH_SCALE_NONE, &rng);
    }
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_embed) };
    return cmocka_run_group_tests_name("gfx12_embed", tests, NULL, NULL);
}
