/* Prefill's inputs on the card (kernels/gfx12/inputs.hip), executed by the interpreter. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "format/halffloat.h"
#include "kernels/kernels.h"
#include "tests/gfx12/card.h"
#include "tests/gfx12/tiles.h"

#define GROUP ASH_GFX_GROUP

typedef enum row_kind { ROW_RANDOM, ROW_NAN, ROW_INFINITE, ROW_TINY, ROW_ZERO, ROW_HUGE, ROW_HALVES, ROW_KINDS } row_kind;

static float element(row_kind kind, int64_t k, test_rng *rng)
{
    float x = test_rng_float(rng);
    switch (kind) {
    case ROW_NAN: return k == 5 ? NAN : x;
    case ROW_INFINITE: return k == 5 ? -INFINITY : x;
    case ROW_TINY: return x * 0x1p-110f;
    case ROW_ZERO: return 0;
    case ROW_HUGE: return x * 0x1p127f;
    case ROW_HALVES: return k % GROUP == 0 ? 127 : (float)(int)(x * 126) + 0.5f; /* ties of int8 */
    default: return x;
    }
}

static uint8_t e4m3(double x) { return ash_f32_to_e4m3((float)x); }

/* A value's code as a number: rounding is monotonic, so that bounds of a value give bounds of its code. */
static double rounded(ash_gfx_form form, double x)
{
    switch (form) {
    case ASH_GFX_INT8: return rint(x);
    case ASH_GFX_FP8: return (double)ash_e4m3_to_f32(e4m3(x));
    case ASH_GFX_F16: return (double)ash_f16_to_f32(ash_f32_to_f16((float)x));
    default: return (double)ash_bf16_to_f32(ash_f32_to_bf16((float)x));
    }
}

typedef struct made {
    ash_gfx_inputs a;
    ash_gfx_form form;
    int64_t cols, padded, tokens, groups;
    bool grouped;
    uint8_t *out;
    float *scale, *squares;
    float *x, *norm;
} made;

static double code_at(const made *m, int64_t t, int64_t k)
{
    const uint16_t *halves = (const void *)m->out;
    size_t at = m->form <= ASH_GFX_FP8 ? gfx_place_8(m->padded, t, k) : gfx_place_16(m->padded, t, k);
    switch (m->form) {
    case ASH_GFX_INT8: return (int8_t)m->out[at];
    case ASH_GFX_FP8: return (double)ash_e4m3_to_f32(m->out[at]);
    case ASH_GFX_F16: return (double)ash_f16_to_f32(halves[at]);
    default: return (double)ash_bf16_to_f32(halves[at]);
    }
}

/* Values of a token, normed; those of groups by the norm's weights alone, to the last bit. With a whole norm each may be
 * off by this much of itself: the sum of squares by a rounding for each of at most cols / 256 + 1 steps of 16, then 13 more,
 * half of that after the root; a division, a root, two products. */
static double normed(const made *m, int64_t t, float *value)
{
    const float *x = m->x + t * m->a.x_stride;
    double sum = 0, factor = 1;
    for (int64_t k = 0; k < m->cols; k++)
        sum += (double)x[k] * (double)x[k];
    if (!m->grouped)
        factor = 1 / sqrt(sum / (double)m->cols + (double)m->a.eps);
    for (int64_t k = 0; k < m->cols; k++)
        value[k] = m->norm ? (float)((double)x[k] * factor * (double)m->norm[k]) : x[k];
    return m->norm && !m->grouped ? (((double)m->cols / 256 + 1) * 8 + 13 + 6) * 0x1p-24 : 0;
}

static float largest(const float *x, int64_t n) { return ash_max_abs_scalar(x, n); }

static void check_code(const made *m, int64_t t, int64_t k, double low, double high)
{
    double got = code_at(m, t, k);
    if (isnan(low) ? !isnan(got) : !(got >= fmin(low, high) && got <= fmax(low, high)))
        fail_msg("form %d, token %d of %d, column %d of %d: %.9g, not %.9g to %.9g", m->form, (int)t, (int)m->tokens, (int)k,
                 (int)m->cols, got, low, high);
}

static void check_scale(float got, float want, double off)
{
    if (isnan(want) ? !isnan(got) : !(got == want || fabs((double)got - (double)want) <= off * (double)want))
        fail_msg("a scale of %.9g, not %.9g", (double)got, (double)want);
}

/* A sum of 256 squares: 16 steps in a lane, 4 between lanes. */
static void check_squares(const made *m, int64_t t, int64_t g, int64_t first, int64_t end)
{
    double sum = 0, got = (double)m->squares[(t / 16 * m->groups + g) * 16 + t % 16];
    for (int64_t k = first; k < end; k++)
        sum += (double)m->x[t * m->a.x_stride + k] * (double)m->x[t * m->a.x_stride + k];
    if (isnan(sum) ? !isnan(got) : !(fabs(got - sum) <= 20 * 0x1p-24 * sum))
        fail_msg("token %d, group %d: squares of %.9g, not %.9g", (int)t, (int)g, got, sum);
}

/* Columns [first, end) under one scale; `last`: where padding ends. */
static void check_group(const made *m, int64_t t, int64_t g, const float *value, int64_t first, int64_t end, int64_t last,
                        double off)
{
    float most = largest(value + first, end - first), scale = 1, inverse = 1, top = m->form == ASH_GFX_INT8 ? 127 : 448;
    bool codes = true;
    if (m->grouped) {
        bool usable = most >= ASH_Q8_TINY && most <= ASH_Q8_HUGE;
        scale = usable ? most / top : most < ASH_Q8_TINY ? 0 : NAN;
        inverse = usable ? top / most : 0;
        codes = !isnan(scale); /* else every product is NaN */
        check_scale(m->scale[(t / 16 * m->groups + g) * 16 + t % 16], scale, 0);
        if (m->squares)
            check_squares(m, t, g, first, end);
    }
    for (int64_t k = first; k < end && codes; k++) {
        double v = (double)value[k];
        if (m->form == ASH_GFX_INT8)
            v = inverse == 0 ? 0 : v * (double)inverse;
        else if (m->grouped)
            v = inverse == 0 ? 0 : fmin(fmax((double)(value[k] * inverse), -448), 448);
        else if (m->form == ASH_GFX_FP8)
            v = (double)(value[k] / m->a.input_scale);
        check_code(m, t, k, rounded(m->form, v * (1 - 2 * off)), rounded(m->form, v * (1 + 2 * off)));
    }
    for (int64_t k = end; k < last && codes && !isnan(most); k++) /* a token of NaN is NaN all over */
        check_code(m, t, k, 0, 0);
}

static void check(const made *m)
{
    float *value = calloc((size_t)m->padded, sizeof *value);
    for (int64_t t = 0; t < (m->tokens + 15) / 16 * 16; t++) {
        bool there = t < m->tokens;
        double off = there ? normed(m, t, value) : 0;
        for (int64_t g = 0; g < m->groups; g++) {
            int64_t width = m->grouped ? GROUP : m->padded, first = g * width, last = first + width;
            if (there)
                check_group(m, t, g, value, first, last < m->cols ? last : m->cols, last, off);
            else if (m->grouped)
                check_scale(m->scale[(t / 16 * m->groups + g) * 16 + t % 16], 0, 0);
            for (int64_t k = first; k < last && !there; k++)
                check_code(m, t, k, 0, 0);
        }
    }
    free(value);
}

static void run(card *c, ash_gfx_form form, int64_t cols, int64_t tokens, bool norm, float input_scale, test_rng *rng)
{
    int64_t stride = ash_pad_cols(cols);
    made m = { .form = form, .cols = cols, .padded = ASH_GFX_PADDED_COLS(cols), .tokens = tokens, .groups = 1 };
    m.grouped = ash_gfx_in_groups(form, input_scale);
    if (m.grouped)
        m.groups = m.padded / GROUP;
    m.x = card_buffer(c, "x", (size_t)(tokens * stride) * 4);
    memset(m.x, 0, (size_t)(tokens * stride) * 4);
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t k = 0; k < cols; k++)
            m.x[t * stride + k] = element(norm ? (t == 1 ? ROW_NAN : ROW_RANDOM) : (row_kind)((t + 1) % ROW_KINDS), k, rng);
    if (norm) {
        m.norm = card_buffer(c, "norm", (size_t)stride * 4);
        memset(m.norm, 0, (size_t)stride * 4);
        for (int64_t k = 0; k < cols; k++)
            m.norm[k] = 1 + test_rng_float(rng);
    }
    uint64_t scales = ash_gfx_inputs_scales((uint32_t)cols, (uint32_t)tokens);
    m.out = card_buffer(c, "out", ash_gfx_inputs_bytes(form, (uint32_t)cols, (uint32_t)tokens));
    m.scale = m.grouped ? card_buffer(c, "scale", scales * 4) : NULL;
    m.squares = m.grouped && norm ? card_buffer(c, "squares", scales * 4) : NULL;
    m.a = (ash_gfx_inputs){ .x = m.x, .norm = m.norm, .out = m.out, .scale = m.scale, .squares = m.squares, .form = form,
                            .cols = (uint32_t)cols, .tokens = (uint32_t)tokens, .x_stride = (uint32_t)stride, .eps = 1e-5f,
                            .input_scale = input_scale };
    const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_INPUTS, ASH_DTYPE_COUNT, form);
    assert_true(k && k->variant == form);
    card_run(c, k, (uint32_t)((tokens + 15) / 16 * 16), 1, 1, &m.a);
    check(&m);
    card_clear(c);
}

static void test_inputs(void **state)
{
    (void)state;
    static const struct { int64_t cols, tokens; } shapes[] = {
        { 64, 1 }, { 576, 15 }, { 640, 16 }, { 1000, 17 }, { 257, 64 }, { 4096, 3 }, { 4200, 2 },
    };
    card c = { .seed = 2 };
    test_rng rng = test_rng_start("inputs");
    for (int form = 0; form <= ASH_GFX_BF16; form++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
            for (int norm = 0; norm < 2; norm++)
                for (int fixed = 0; fixed <= (form == ASH_GFX_FP8); fixed++)
                    run(&c, (ash_gfx_form)form, shapes[n].cols, shapes[n].tokens, norm, fixed ? 0.003f : 0, &rng);
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inputs) };
    return cmocka_run_group_tests_name("gfx12_inputs", tests, NULL, NULL);
}
