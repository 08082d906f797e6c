/* Decoding on the card (kernels/gfx12/decode_*.hip), executed by the interpreter: every line of the registry against
 * the scalar kernels, which get the same rounded inputs. Prints what a weight costs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "format/halffloat.h"
#include "tests/gfx12/costs.h"
#include "tests/gfx12/tolerance.h"
#include "tests/support/weights.h"

#define EPS 1e-5f

/* A launch: matrices that share `tokens` rows of inputs. */
typedef struct decode_case {
    const ash_gfx_kernel *k;
    ash_gfx_kind kind;
    int64_t cols, tokens;
    size_t parts;
    const test_matrix *m[ASH_GFX_PARTS];
    bool norm, bias, fused; /* fused: gate's and up's panels in turn */
    bool random;            /* so are the weights */
    float input_scale;
    int inputs;             /* what x is: see input() */
} decode_case;

static double reached[ASH_DTYPE_COUNT]; /* the largest share of tolerance.h's bound so far, by type */

enum { INPUTS_RANDOM, INPUTS_EXTREME, INPUTS_SPARSE, INPUTS_NAN, INPUTS_ZERO, INPUTS_KINDS,
       INPUTS_TIES = INPUTS_KINDS };

static float input(int kind, int64_t t, int64_t k, test_rng *rng)
{
    switch (kind) {
    case INPUTS_EXTREME: return test_rng_below(rng, 2) ? 0x1p12f : -0x1p12f;
    case INPUTS_SPARSE: return k % 37 == 5 ? 1000 : 0x1p-130f * test_rng_float(rng);
    case INPUTS_NAN: return t == 0 && k == 9 ? NAN : test_rng_float(rng);
    case INPUTS_ZERO: return 0;
    case INPUTS_TIES: /* the largest of 32, and what its quotient takes nearly halfway between two codes */
        return k % 32 == 0 ? 3 : ((float)test_rng_below(rng, 253) - 126 + 0.5f) / (127 / 3.0f);
    default: return 3 * test_rng_float(rng);
    }
}

/* ---- inputs, rounded as the type wants them ---- */

static bool is_q(ash_dtype d) { return d >= ASH_Q4_0 && d <= ASH_Q6_K; }
static bool has_mins(ash_dtype d) { return d == ASH_Q4_1 || d == ASH_Q5_1 || d == ASH_Q4_K || d == ASH_Q5_K; }

/* A row as a kernel may have rounded it: value, and how far from it the kernel's may be, because its norm factor
 * differs by a relative `error`: values on either side of a tie round apart, and a scale is off by as much. Without a
 * norm: 0. */
typedef struct rounded {
    float *f32;     /* [tokens][stride] */
    int8_t *q8;
    float *q8_scale;
    int16_t *q8_sum;
    double *slack;  /* [tokens][stride] */
    bool *ties;     /* [tokens]: some value may round either way */
    int64_t stride;
} rounded;

static double round_one(ash_dtype d, double x, float scale)
{
    switch (d) {
    case ASH_F8_E4M3: return (double)ash_e4m3_to_f32(ash_f32_to_e4m3((float)(x / (double)scale))) * (double)scale;
    case ASH_F16: return (double)ash_f16_to_f32(ash_f32_to_f16((float)x));
    case ASH_BF16: return (double)ash_bf16_to_f32(ash_f32_to_bf16((float)x));
    case ASH_F32: return x;
    default: return rint(x / (double)scale) * (double)scale;
    }
}

static void round_row(ash_dtype d, float input_scale, const rounded *to, int64_t t, int64_t cols, double error)
{
    float *x = to->f32 + t * to->stride;
    double *slack = to->slack + t * to->stride;
    float *scales = to->q8_scale + t * to->stride / 32;
    float token = 0;
    to->ties[t] = false;
    memset(slack, 0, (size_t)to->stride * sizeof *slack);
    if (is_q(d))
        ash_quantize_q8_scalar(x, to->stride, 32, to->q8 + t * to->stride, scales, to->q8_sum + t * to->stride / 16);
    else if (d == ASH_F8_E4M3)
        token = input_scale > 0 ? input_scale : ash_max_abs_scalar(x, cols) / 448;
    for (int64_t k = 0; k < cols; k++) {
        float scale = is_q(d) ? scales[k / 32] : token;
        bool moves = is_q(d) || (d == ASH_F8_E4M3 && input_scale == 0);
        double code_error = moves ? 8 * 0x1p-24 : error; /* a common factor cancels, but for roundings */
        if (is_q(d) ? !(scale > 0) : d == ASH_F8_E4M3 && !(scale > 0))
            continue;
        double value = round_one(d, (double)x[k], scale);
        if (error > 0) {
            double low = round_one(d, (double)x[k] * (1 - code_error), scale);
            double high = round_one(d, (double)x[k] * (1 + code_error), scale);
            slack[k] = fmax(fabs(low - value), fabs(high - value)) + (moves ? error * fabs(value) : 0);
            to->ties[t] = to->ties[t] || (d != ASH_F32 && (low != value || high != value));
        }
    }
    if (d == ASH_F8_E4M3 && token > 0)
        ash_round_e4m3_scalar(x, cols, token);
    for (int64_t k = 0; k < cols && (d == ASH_F16 || d == ASH_BF16); k++)
        x[k] = (float)round_one(d, (double)x[k], 1);
}

static rounded round_rows(const decode_case *c, const float *x, const float *norm)
{
    int64_t stride = ash_pad_cols(c->cols);
    size_t count = (size_t)(c->tokens * stride);
    rounded to = { malloc(count * 4), malloc(count), malloc(count / 8), malloc(count / 8), malloc(count * 8),
                   malloc((size_t)c->tokens * sizeof(bool)), stride };
    /* Sums of squares: each lane up to cols / 256 + 8 of them in turn, then 8 additions over lanes and waves; a
     * division, eps, and a root that halves all this; a last bit of its own, two products. */
    double error = c->norm ? ((double)c->cols / 512 + 16) * 0x1p-24 : 0;
    for (int64_t t = 0; t < c->tokens; t++) {
        float *row = to.f32 + t * stride;
        if (c->norm)
            ash_rms_norm_scalar(x + t * stride, norm, c->cols, EPS, row);
        else
            memcpy(row, x + t * stride, (size_t)c->cols * 4);
        memset(row + c->cols, 0, (size_t)(stride - c->cols) * 4);
        round_row(c->k->dtype, c->input_scale, &to, t, c->cols, error);
    }
    return to;
}

static void rounded_free(rounded *r)
{
    free(r->f32);
    free(r->q8);
    free(r->q8_scale);
    free(r->q8_sum);
    free(r->slack);
    free(r->ties);
}

/* ---- what comes out ---- */

/* own, common: variances, as tolerance.h counts them. */
typedef struct output { double value, allowed, own, common; } output;

/* How often Q^2, as tolerance.h has it, counts among the variances of a sum. Waves take a panel's stretches in turn, 4 at
 * once, and halves of a wave half of the columns; 3 levels of additions join them. */
static double squares_of(const ash_matrix *w)
{
    ash_dtype d = w->dtype;
    double cols = (double)w->cols;
    if (is_q(d)) { /* in 32 columns a product is rounded, then a sum with it, and where there are minimums with another */
        double units = fmin(ceil(cols / 32), 8 * ceil(cols / 1024));
        return 1 + (has_mins(d) ? 2 : 1) * units + 3;
    }
    /* 16 operations a unit, and an addition of its sum. F8_E4M3: the specification rounds inputs and weights times their
     * scales. */
    double unit_cols = d == ASH_F8_E4M3 ? 128 : d == ASH_F32 ? 32 : 64;
    return 16 + ceil(cols / unit_cols / 4) + 3 + (d == ASH_F8_E4M3 ? 2 : 0);
}

/* Variances of a product y. The specification rounds its sum; F8_E4M3's is multiplied by two scales. A norm's factor is
 * off by 4 roundings (half of those of its sum, the root, and the specification's), elements by 4 and the scales made of
 * them by 2: in F16, BF16 and under a static scale all that is lost in the rounding of inputs. */
static void add_variances(const decode_case *c, const ash_matrix *w, double squares, output *y)
{
    bool moves = w->dtype != ASH_F16 && w->dtype != ASH_BF16 && !(w->dtype == ASH_F8_E4M3 && c->input_scale > 0);
    y->own = squares_of(w) * squares + (w->dtype == ASH_F8_E4M3 ? 3 : 1) * y->value * y->value;
    y->common = c->norm && moves ? 4 * y->value * y->value + 6 * squares : 0;
}

/* W x of one matrix by the scalar kernel: [tokens][panels * 16]. The bounds are those of kernels.h for any form, and
 * the slack of the inputs. */
static output *product(const decode_case *c, size_t part, const rounded *x)
{
    const test_matrix *m = c->m[part];
    bool q = is_q(m->w.dtype);
    int64_t panels = (m->w.rows + 15) / 16, rows = 16 * panels;
    ash_kernels kernels;
    ash_kernels_init(&kernels, ASH_LEVEL_SCALAR);
    ash_acts acts = { .tokens = c->tokens, .cols = c->cols, .stride = x->stride, .f32 = x->f32, .q8 = x->q8,
                      .q8_scale = x->q8_scale, .q8_sum = x->q8_sum };
    float *y = malloc((size_t)(c->tokens * rows) * 4);
    output *out = calloc((size_t)(c->tokens * rows), sizeof *out);
    (q ? kernels.matmul_q8 : kernels.matmul_f32)[m->w.dtype](&m->w, 0, panels, &acts, y, rows, 16, NULL);
    double operations = (q ? (double)c->cols / 4 : (double)c->cols) + 8;
    for (int64_t t = 0; t < c->tokens; t++)
        for (int64_t r = 0; r < rows; r++) {
            output *o = &out[t * rows + r];
            double squares = 0;
            o->value = (double)y[t * rows + r];
            o->allowed = (double)c->cols * 0x1p-126;
            for (int64_t k = 0; k < c->cols && r < m->w.rows; k++) {
                double value = q ? (double)x->q8[t * x->stride + k] * (double)x->q8_scale[t * (x->stride / 32) + k / 32]
                                 : (double)x->f32[t * x->stride + k];
                double w = (double)m->magnitude[r * c->cols + k];
                double term = value * (has_mins(m->w.dtype) ? w : (double)m->values[r * c->cols + k]);
                squares += term * term;
                o->allowed += w * (fabs(value) * operations * 0x1p-24 + x->slack[t * x->stride + k]);
            }
            add_variances(c, &m->w, squares, o);
        }
    free(y);
    return out;
}

static output swiglu(output gate, output up)
{
    double s = gate.value / (1 + exp(-gate.value)), h = s * up.value; /* silu's slope is below 1.1 */
    double allowed = 1.1 * gate.allowed * (fabs(up.value) + up.allowed) + fabs(s) * up.allowed;
    /* What lane.h says of its silu, and the last product. */
    allowed += fabs(h) * (1.5 * fabs(gate.value) + 8) * 0x1p-24;
    return (output){ h, allowed + 0x1p-126 * fmax(1, fabs(gate.value)) * fmax(1, fabs(up.value)),
                     gfx_swiglu_variance(gate.value, gate.own, up.value, up.own, 1),
                     gfx_swiglu_variance(gate.value, gate.common, up.value, up.common, 0) };
}

static void expect(const decode_case *c, float got, output want, int64_t t, int64_t row)
{
    double difference = fabs((double)got - want.value);
    if (isnan(want.value) ? isnan(got) : difference <= want.allowed)
        return;
    fail_msg("%s, type %s, %d columns, %d tokens, kind %d, inputs %d: token %d, row %d: %.9g, not %.9g (within %.3g)",
             c->k->symbol, ash_dtype_name(c->m[0]->w.dtype), (int)c->cols, (int)c->tokens, (int)c->kind, c->inputs,
             (int)t, (int)row, (double)got, want.value, want.allowed);
}

/* o + x, rounded. */
static output plus(output o, double x)
{
    o.value += x;
    o.allowed += 0x1p-24 * (fabs(o.value) + o.allowed);
    o.own += o.value * o.value;
    return o;
}

/* All differences of a launch against the bound of tolerance.h. */
static void expect_all(const decode_case *c, const gfx_differences *d)
{
    double share = gfx_differences_share(d), *most = &reached[c->k->dtype];
    if (share > 1)
        fail_msg("%s, type %s, %d columns, %d tokens, kind %d, norm %d: %d differences are %.2f times the bound of "
                 "their mean square's root", c->k->symbol, ash_dtype_name(c->m[0]->w.dtype), (int)c->cols,
                 (int)c->tokens, (int)c->kind, c->norm, (int)d->count, share);
    *most = share > *most ? share : *most;
}

/* ---- a launch ---- */

static void place_part(card *c, const decode_case *d, size_t p, ash_gfx_part *part, uint32_t y_first, test_rng *rng)
{
    const ash_matrix *w = &d->m[p]->w;
    size_t panels = (size_t)(w->rows + 15) / 16, scales = 1;
    *part = (ash_gfx_part){ .data = w->data, .scale = w->scale, .dtype = w->dtype, .scale_kind = w->scale_kind,
                            .panels = (uint32_t)panels, .panel_bytes = (uint32_t)w->panel_bytes, .y_first = y_first,
                            .y_panel_stride = 16, .input_scale = d->input_scale };
    if (!d->fused)
        card_read_only(c, "weights", w->data, panels * (size_t)w->panel_bytes);
    if (w->scale_kind == ASH_SCALE_ROW)
        scales = panels * 16;
    else if (w->scale_kind == ASH_SCALE_BLOCK128)
        scales = panels * 16 * (size_t)((w->cols + 127) / 128);
    if (w->scale)
        card_read_only(c, "scales", w->scale, scales * 4);
    if (d->bias) {
        float *bias = card_buffer(c, "bias", panels * 64);
        for (size_t i = 0; i < panels * 16; i++)
            bias[i] = test_rng_float(rng);
        part->bias = bias;
    }
}

static void fuse(card *c, const decode_case *d, ash_gfx_decode *a)
{
    size_t bytes = a->part[0].panel_bytes, panels = a->part[0].panels;
    uint8_t *both = card_buffer(c, "gate and up", 2 * panels * bytes);
    for (size_t i = 0; i < panels; i++)
        for (size_t p = 0; p < 2; p++)
            memcpy(both + (2 * i + p) * bytes, d->m[p]->w.data + i * bytes, bytes);
    for (size_t p = 0; p < 2; p++) {
        a->part[p].data = both + p * bytes;
        a->part[p].panel_bytes = (uint32_t)(2 * bytes);
    }
}

static void check_outputs(const decode_case *d, const ash_gfx_decode *a, const float *before, const rounded *x)
{
    output *w[ASH_GFX_PARTS] = { NULL };
    for (size_t p = 0; p < d->parts; p++)
        w[p] = product(d, p, x);
    size_t own = a->kind == ASH_GFX_SWIGLU ? 1 : d->parts;
    bool random = d->random && (d->inputs == INPUTS_RANDOM || d->inputs == INPUTS_EXTREME);
    gfx_differences all = { 0 };
    for (int64_t t = 0; t < d->tokens; t++) {
        int64_t at = 0;
        all.draws += !x->ties[t];
        for (size_t p = 0; p < own; p++) {
            int64_t rows = 16 * (int64_t)a->part[p].panels;
            for (; at < a->part[p].y_first; at++)
                assert_int_equal(ash_f32_bits(a->y[t * a->y_stride + at]), ash_f32_bits(before[t * a->y_stride + at]));
            for (int64_t r = 0; r < rows; r++, at++) {
                float y = a->y[t * a->y_stride + at], add = before[t * a->y_stride + at];
                output o = w[p][t * rows + r];
                if (a->kind == ASH_GFX_SWIGLU)
                    o = swiglu(o, w[1][t * rows + r]);
                if (a->part[p].bias)
                    o = plus(o, (double)a->part[p].bias[r]);
                if (a->kind == ASH_GFX_ADD)
                    o = plus(o, (double)add);
                expect(d, y, o, t, r);
                if (random && !x->ties[t] && r < d->m[p]->w.rows)
                    gfx_differences_add(&all, (double)y - o.value, o.own, o.common);
            }
        }
        for (; at < a->y_stride; at++)
            assert_int_equal(ash_f32_bits(a->y[t * a->y_stride + at]), ash_f32_bits(before[t * a->y_stride + at]));
    }
    for (size_t p = 0; p < d->parts; p++)
        free(w[p]);
    expect_all(d, &all);
}

static void run_case(card *c, const decode_case *d, test_rng *rng)
{
    int64_t stride = ash_pad_cols(d->cols);
    float *x = card_buffer(c, "x", (size_t)(d->tokens * stride) * 4), *norm = NULL;
    for (int64_t t = 0; t < d->tokens; t++)
        for (int64_t k = 0; k < stride; k++)
            x[t * stride + k] = k < d->cols ? input(d->inputs, t, k, rng) : 0;
    if (d->norm) {
        norm = card_buffer(c, "norm", (size_t)d->cols * 4);
        for (int64_t k = 0; k < d->cols; k++)
            norm[k] = 1 + 0.5f * test_rng_float(rng);
    }
    ash_gfx_decode a = { .part_count = (uint32_t)d->parts, .kind = d->kind, .cols = (uint32_t)d->cols,
                         .tokens = (uint32_t)d->tokens, .x = x, .norm = norm,
                         .x_stride = (uint32_t)stride, .eps = EPS };
    uint32_t y_first = 16; /* room around each part must stay as it is */
    for (size_t p = 0; p < d->parts; p++) {
        place_part(c, d, p, &a.part[p], y_first, rng);
        y_first += 16 * a.part[p].panels + 16;
    }
    if (d->fused)
        fuse(c, d, &a);
    a.y_stride = (uint32_t)ash_pad_cols(y_first);
    size_t y_count = (size_t)d->tokens * a.y_stride;
    a.y = card_buffer(c, "y", y_count * 4);
    float *before = malloc(y_count * 4);
    for (size_t i = 0; i < y_count; i++)
        before[i] = a.y[i] = test_rng_float(rng);
    ash_gfx_grid grid = ash_gfx_decode_grid(&a);
    card_run(c, d->k, grid.x, grid.y, grid.z, &a);
    rounded r = round_rows(d, x, norm);
    check_outputs(d, &a, before, &r);
    rounded_free(&r);
    free(before);
    card_clear(c);
}

/* ---- tests ---- */

static const ash_gfx_kernel *next_kernel(size_t *i)
{
    size_t count;
    const ash_gfx_kernel *all = ash_gfx_kernels(&count);
    while (*i < count && all[*i].op != ASH_GFX_OP_DECODE)
        ++*i;
    return *i < count ? &all[(*i)++] : NULL;
}

/* Those for any number take 21, three workgroups' that do not fill the last one. */
static int64_t tokens_of(const ash_gfx_kernel *k) { return k->variant == ASH_GFX_ANY_TOKENS ? 21 : k->variant; }

/* How many fewer case n has: down to what the next smaller variant has room for. */
static int64_t missing_tokens(const ash_gfx_kernel *k, size_t n)
{
    return (int64_t)(k->variant == 8 ? n / 2 % 4 : k->variant > 1 ? n / 2 % 2 : 0);
}

static ash_scale_kind scale_kind_of(ash_dtype d, size_t n)
{
    return d == ASH_F8_E4M3 ? (ash_scale_kind)(ASH_SCALE_TENSOR + n % 3) : ASH_SCALE_NONE;
}

/* What cases went by: of each type the numbers of tokens, as bits, and of F8_E4M3 the ways to scale. */
typedef struct covered { uint32_t tokens[ASH_DTYPE_COUNT], scales; } covered;

static void cover(covered *all, const decode_case *d)
{
    if (d->tokens <= ASH_GFX_DECODE_TOKENS)
        all->tokens[d->k->dtype] |= 1u << d->tokens;
    if (d->k->dtype == ASH_F8_E4M3)
        all->scales |= 1u << (4 * (d->m[0]->w.scale_kind - ASH_SCALE_TENSOR) + 2 * d->norm + (d->input_scale > 0));
}

/* Every kernel, type and shape, with what else there is in turn: the number of shapes and the divisors of n have
 * nothing in common, so that no choice goes along with another. `covered` sees to it. */
static void test_shapes(void **state)
{
    (void)state;
    static const struct { int64_t rows, cols; } shapes[] = {
        { 1, 64 }, { 15, 576 }, { 17, 640 }, { 40, 1000 }, { 33, 896 }, { 16, 4096 }, { 32, 2304 }, { 3, 97 },
        { 16, 10500 }, { 1, 576 }, { 17, 576 },
    };
    card c = { .seed = 5 };
    test_rng rng = test_rng_start("decode shapes");
    const ash_gfx_kernel *k;
    covered all = { { 0 }, 0 };
    size_t n = 0;
    for (size_t i = 0; (k = next_kernel(&i));)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++, n++) {
            weight_kind kinds[] = { WEIGHT_RANDOM, WEIGHT_RUNS, WEIGHT_RANDOM, WEIGHT_EXTREME, WEIGHT_RANDOM,
                                    WEIGHT_ZERO, is_q(k->dtype) ? WEIGHT_RANDOM : WEIGHT_NAN };
            test_matrix m = weights_make(k->dtype, shapes[s].rows, shapes[s].cols, kinds[n % 7],
                                         scale_kind_of(k->dtype, n), &rng);
            decode_case d = { .k = k, .kind = n % 5 < 3 ? ASH_GFX_STORE : ASH_GFX_ADD, .cols = shapes[s].cols,
                              .tokens = tokens_of(k) - missing_tokens(k, n), .parts = 1, .m = { &m },
                              .norm = n / 3 % 3 == 1, .bias = n / 4 % 3 == 1, .input_scale = n % 2 ? 0.03f : 0,
                              .inputs = (int)(n / 2 % INPUTS_KINDS), .random = kinds[n % 7] == WEIGHT_RANDOM };
            run_case(&c, &d, &rng);
            cover(&all, &d);
            weights_free(&m);
        }
    for (size_t i = 0; (k = next_kernel(&i));)
        assert_int_equal(all.tokens[k->dtype], 0x1fe);
    assert_int_equal(all.scales, 0xfff);
    card_free(&c);
}

/* Three parts of different heights in one launch, of different types where the kernel mixes them. */
static void test_parts(void **state)
{
    (void)state;
    card c = { .seed = 6 };
    test_rng rng = test_rng_start("decode parts");
    const ash_gfx_kernel *k;
    size_t n = 0;
    for (size_t i = 0; (k = next_kernel(&i)); n++) {
        ash_dtype other = k->dtype == ASH_Q4_K ? ASH_Q6_K : k->dtype == ASH_Q4_0 ? ASH_Q8_0 : k->dtype;
        test_matrix m[] = { weights_make(k->dtype, 50, 320, WEIGHT_RANDOM, scale_kind_of(k->dtype, 0), &rng),
                            weights_make(k->dtype, 16, 320, WEIGHT_RANDOM, scale_kind_of(k->dtype, 1), &rng),
                            weights_make(other, 33, 320, WEIGHT_RANDOM, scale_kind_of(k->dtype, 2), &rng) };
        for (int fixed = 0; fixed <= (k->dtype == ASH_F8_E4M3); fixed++) {
            decode_case d = { .k = k, .kind = ASH_GFX_STORE, .cols = 320, .tokens = tokens_of(k) - missing_tokens(k, n),
                              .parts = 3, .m = { &m[0], &m[1], &m[2] }, .norm = true, .bias = true,
                              .random = true, .input_scale = fixed ? 0.02f : 0 };
            run_case(&c, &d, &rng);
        }
        for (size_t p = 0; p < 3; p++)
            weights_free(&m[p]);
    }
    card_free(&c);
}

/* Inputs whose products with 127 / max become ties of two codes where they are rounded, as the specification does. */
static void test_ties(void **state)
{
    (void)state;
    card c = { .seed = 8 };
    test_rng rng = test_rng_start("decode ties");
    const ash_gfx_kernel *k;
    for (size_t i = 0; (k = next_kernel(&i));) {
        test_matrix m = weights_make(k->dtype, 33, 288, WEIGHT_RANDOM, scale_kind_of(k->dtype, i), &rng);
        decode_case d = { .k = k, .kind = ASH_GFX_STORE, .cols = 288, .tokens = tokens_of(k), .parts = 1, .m = { &m },
                          .inputs = INPUTS_TIES };
        run_case(&c, &d, &rng);
        weights_free(&m);
    }
    card_free(&c);
}

/* Gate and up: two tensors, of two types where the kernel mixes them; and one. */
static void test_swiglu(void **state)
{
    (void)state;
    card c = { .seed = 7 };
    test_rng rng = test_rng_start("decode swiglu");
    const ash_gfx_kernel *k;
    size_t n = 1;
    for (size_t i = 0; (k = next_kernel(&i));)
        for (int fused = 0; fused < 2; fused++, n++) {
            ash_dtype other = k->dtype;
            if (!fused)
                other = k->dtype == ASH_Q5_K ? ASH_Q4_K : k->dtype == ASH_Q5_0 ? ASH_Q4_1 : k->dtype;
            test_matrix m[] = { weights_make(k->dtype, 40, 832, WEIGHT_RANDOM, scale_kind_of(k->dtype, i), &rng),
                                weights_make(other, 40, 832, WEIGHT_RANDOM, scale_kind_of(k->dtype, i + 1), &rng) };
            for (int fixed = 0; fixed <= (k->dtype == ASH_F8_E4M3); fixed++) {
                decode_case d = { .k = k, .kind = ASH_GFX_SWIGLU, .cols = 832,
                                  .tokens = tokens_of(k) - missing_tokens(k, n), .parts = 2, .m = { &m[0], &m[1] },
                                  .norm = fused == fixed, .fused = fused, .random = true, .input_scale = fixed ? 0.02f : 0 };
                run_case(&c, &d, &rng);
            }
            for (size_t p = 0; p < 2; p++)
                weights_free(&m[p]);
        }
    card_free(&c);
}

/* What a weight costs at 4096 columns, with the norm, and what the compiler made of the kernel. */
static void test_cost(void **state)
{
    (void)state;
    card c = { 0 };
    test_rng rng = test_rng_start("decode cost");
    const ash_gfx_kernel *k;
    for (size_t i = 0; (k = next_kernel(&i));) {
        test_matrix m = weights_make(k->dtype, 32, 4096, WEIGHT_RANDOM, scale_kind_of(k->dtype, 2), &rng);
        decode_case d = { .k = k, .kind = ASH_GFX_STORE, .cols = 4096, .tokens = tokens_of(k), .parts = 1,
                          .m = { &m }, .norm = true, .random = true };
        run_case(&c, &d, &rng);
        cost_check(&c, k, COST_PLAIN, (double)gfx_issue_cycles(&c.stats) / (32 * 4096 / 32));
        weights_free(&m);
    }
    card_free(&c);
}

/* What of a tile's 256 columns is loaded how, besides 512 bytes (Q8_0: 1024) for 64 columns by b128: rows' scales, which both
 * halves of a wave load, and of Q5 and Q6_K the high bits. */
typedef struct tile_loads { uint64_t heads, heads_16, bits_32, bits_64; } tile_loads;
static tile_loads tile_loads_of(ash_dtype d)
{
    switch (d) {
    case ASH_Q4_1: return (tile_loads){ .heads = 512 };
    case ASH_Q5_1: return (tile_loads){ .heads = 512, .bits_32 = 4 * 128 };
    case ASH_Q5_0:
    case ASH_Q5_K: return (tile_loads){ .heads = 256, .bits_32 = 4 * 128 };
    case ASH_Q6_K: return (tile_loads){ .heads = 256, .heads_16 = 32, .bits_64 = 4 * 256 };
    default: return (tile_loads){ .heads = is_q(d) ? 256 : 0 };
    }
}

/* Weights come straight from global memory, each once for all tokens of a workgroup: what a second panel adds to a workgroup
 * of one is its own bytes, all by b128 but for high bits and Q6_K's halves, and nothing goes to local memory for it. */
static void test_loads(void **state)
{
    (void)state;
    enum { COLS = 2048, TILES = COLS / 256 };
    card c = { 0 };
    test_rng rng = test_rng_start("decode loads");
    const ash_gfx_kernel *k;
    for (size_t i = 0; (k = next_kernel(&i));) {
        uint64_t bytes[2][GFX_EVENTS], panel = 0, groups = k->variant == ASH_GFX_ANY_TOKENS ? 3 : 1;
        for (int n = 0; n < 2; n++) {
            test_matrix m = weights_make(k->dtype, 16 + 16 * n, COLS, WEIGHT_RANDOM, scale_kind_of(k->dtype, 0), &rng);
            decode_case d = { .k = k, .kind = ASH_GFX_STORE, .cols = COLS, .tokens = tokens_of(k), .parts = 1,
                              .m = { &m }, .norm = true, .random = true };
            run_case(&c, &d, &rng);
            memcpy(bytes[n], c.stats.bytes, sizeof bytes[n]);
            panel = (uint64_t)m.w.panel_bytes;
            weights_free(&m);
        }
        for (int e = 0; e < GFX_EVENTS; e++) /* what the second panel adds */
            bytes[1][e] -= bytes[0][e];
        tile_loads of = tile_loads_of(k->dtype);
        uint64_t narrow = TILES * (of.heads_16 + of.bits_32 + of.bits_64);
        assert_int_equal(bytes[1][GFX_LOAD_128], groups * (panel - narrow + TILES * of.heads));
        assert_int_equal(bytes[1][GFX_LOAD_64], groups * TILES * of.bits_64);
        assert_int_equal(bytes[1][GFX_LOAD_32], groups * TILES * of.bits_32);
        assert_int_equal(bytes[1][GFX_LOAD_16], groups * TILES * of.heads_16 * 2);
        assert_int_equal(bytes[1][GFX_LOAD_96] + bytes[1][GFX_LOAD_8], 0);
        assert_int_equal(gfx_total(bytes[1], GFX_LDS_STORE_8, GFX_LDS_STORE_128), 0);
    }
    card_free(&c);
}

/* After all others: differences are seen to come close to the bound of their mean square's root, of each type. */
static void test_bounds(void **state)
{
    (void)state;
    const ash_gfx_kernel *k;
    for (size_t i = 0; (k = next_kernel(&i));)
        if (k->variant == 1) {
            printf("# measure decode of %s: differences of a launch reach %.0f%% of what roundings allow\n",
                   ash_dtype_name(k->dtype), 100 * reached[k->dtype]);
            assert_true(reached[k->dtype] * GFX_LOOSEST >= 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_parts),
                                        cmocka_unit_test(test_ties), cmocka_unit_test(test_swiglu),
                                        cmocka_unit_test(test_cost), cmocka_unit_test(test_loads),
                                        cmocka_unit_test(test_bounds) };
    return cmocka_run_group_tests_name("gfx12_decode", tests, NULL, NULL);
}
