/* Prefill's matrices on the card (kernels/gfx12/prefill_q.hip, prefill_f.hip), executed by the interpreter. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "kernels/requant.h"
#include "tests/gfx12/costs.h"
#include "tests/gfx12/tokens.h"
#include "tests/gfx12/tolerance.h"
#include "tests/support/weights.h"

#define GROUP ASH_GFX_GROUP

static int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

/* ---- products ---- */

/* A sum, and of its terms the sum of the magnitudes, each of which a float sum rounds at most `roundings` times, and the sum
 * of the squares (tolerance.h). */
typedef struct sum { double value, size, squares; } sum;

/* Row `row` of a Q type's matrix as prefill rounds it: codes of every column, a scale a group. */
typedef struct rounded_row { int8_t *codes; float *scale; } rounded_row;

static rounded_row round_row(const ash_matrix *w, int64_t row)
{
    int64_t groups = (w->cols + GROUP - 1) / GROUP;
    rounded_row r = { malloc((size_t)(groups * GROUP)), malloc((size_t)groups * sizeof(float)) };
    for (int64_t g = 0; g < groups; g++)
        ash_requantize(w, row / 16, (int)(row % 16), g * GROUP, GROUP, r.codes + g * GROUP, &r.scale[g]);
    return r;
}

/* Integer sums of a group are exact and become floats exactly. */
static sum product_q(const rounded_row *w, const gfx_tokens *x, int64_t t)
{
    sum s = { 0, 0, 0 };
    for (int64_t g = 0; g < x->groups; g++) {
        int64_t dot = 0;
        for (int64_t k = g * GROUP; k < (g + 1) * GROUP && k < x->cols; k++)
            dot += w->codes[k] * (int)x->value[t * x->cols + k];
        double term = (double)dot * (double)w->scale[g] * (double)x->scale[t * x->groups + g] * x->factor[t];
        s.value += term;
        s.size += fabs(term);
        s.squares += term * term;
    }
    return s;
}

static sum product_f(const float *w, const gfx_tokens *x, int64_t t)
{
    sum s = { 0, 0, 0 };
    for (int64_t k = 0; k < x->cols; k++) {
        double scale = (double)x->scale[t * x->groups + (x->groups > 1 ? k / GROUP : 0)] * x->factor[t];
        double term = (double)w[k] * (double)x->value[t * x->cols + k] * scale;
        s.value += term;
        s.size += fabs(term);
        s.squares += term * term;
    }
    return s;
}

/* Roundings of a term's share of a sum. Q types: two products, and an addition a group. Floats: the products are exact,
 * each of 16 may be added on its own, and scales take three more products; blocks an addition each 128 columns; each group a
 * product with the quotient of two scales, of three roundings itself (the reciprocal's counts twice). The rest of a norm: half of an addition a group under the root, a division, an addition, a root of two roundings, a product. */
static double roundings(const gfx_tokens *x)
{
    double all = x->form == ASH_GFX_INT8 ? (double)x->groups + 3 : (double)x->cols + 8 + 6 * (double)x->groups;
    return all + (x->tile_squares ? (double)x->groups / 2 + 6 : 0);
}

/* Variances of a sum, as tolerance.h counts them. Q types: a product of each group's term, and one chain of them. Floats: one
 * chain of all columns, or one of each block's and one of the blocks; weights times their scales; where tokens have groups
 * the product with a quotient of 3 roundings, which all rows of a token share, at each of them; 3 products of the sum. The
 * rest of a norm: half of what rounds its sum (the last addition, and levels of a half, a third ..: 2; a division and an
 * addition), and the root. */
static double own_variance(const gfx_tokens *x, const ash_matrix *w, const sum *s)
{
    double cols = (double)x->cols, groups = (double)x->groups, last = (x->tile_squares ? 1 : 0) + (w->scale ? 3 : 0);
    bool blocks = w->scale_kind == ASH_SCALE_BLOCK128;
    double chain = (blocks ? fmin(cols, 128) + ceil(cols / 128) : cols) / 2 + 1; /* alike */
    double often = x->form == ASH_GFX_INT8 ? 1 + groups : chain + (w->scale ? 1 : 0) + groups - 1;
    return often * s->squares + last * s->value * s->value;
}
static double common_variance(const gfx_tokens *x, const sum *s)
{
    return (x->form == ASH_GFX_FP8 ? 3 * ((double)x->groups - 1) * s->squares : 0) +
           (x->tile_squares ? 3 * s->value * s->value : 0);
}

/* ---- launches ---- */

typedef struct job {
    ash_gfx_kind kind;
    int parts;
    struct { ash_dtype dtype; int64_t rows; ash_scale_kind scale; } part[ASH_GFX_PARTS];
    int64_t cols, tokens;
    weight_kind weights;
    bool bias, fused; /* fused: SWIGLU's panels lie in turn in one tensor */
    bool nan;         /* in row 1 of the weights and in token 1 */
    float input_scale;
    bool norm;        /* of which the product does the rest */
    bool apart;       /* scales of tokens' groups differ by much, and some are 0 */
    int next;         /* 1 + the form of the inputs that it leaves; 0: it leaves none */
    float next_scale;
    uint32_t panels;  /* of a workgroup; 0: the fewest that there are */
    bool next_norm, backwards; /* backwards: the last workgroup first */
} job;

/* Panels of a workgroup that there are kernels for, the most first. */
static const uint32_t *panels_of(ash_dtype dtype)
{
    static const uint32_t q[] = { 4, 2, 0 }, others[] = { 8, 7, 4, 0 };
    return ash_gfx_is_q(dtype) ? q : others;
}

static double reached[ASH_DTYPE_COUNT]; /* the largest share of tolerance.h's bound so far, by type */

typedef struct launched {
    test_matrix m[ASH_GFX_PARTS];
    gfx_tokens x;
    ash_gfx_prefill a;
    float *before; /* of y */
    int64_t floats;
    uint8_t *fused;
    bool nan, random;
} launched;

static void add_part(card *c, const job *j, launched *l, int p, int64_t y_first)
{
    static const char *const names[] = { "w 0", "w 1", "w 2" }, *const scales[] = { "scale 0", "scale 1", "scale 2" };
    const ash_matrix *w = &l->m[p].w;
    int64_t panels = (w->rows + 15) / 16;
    card_read_only(c, names[p], w->data, (size_t)(panels * w->panel_bytes));
    if (w->scale)
        card_read_only(c, scales[p], w->scale, l->m[p].scale.size);
    l->a.part[p] = (ash_gfx_part){ .data = w->data, .scale = w->scale, .dtype = w->dtype, .scale_kind = w->scale_kind,
                                   .panels = (uint32_t)panels, .panel_bytes = (uint32_t)w->panel_bytes,
                                   .y_first = (uint32_t)y_first, .y_panel_stride = 16,
                                   .input_scale = j->input_scale };
    if (j->bias) {
        float *bias = card_buffer(c, "bias", (size_t)panels * 64);
        for (int64_t i = 0; i < panels * 16; i++)
            bias[i] = (float)(i + 100 * p);
        l->a.part[p].bias = bias;
    }
}

/* Panels of both matrices in turn, in one buffer. */
static void fuse(card *c, launched *l)
{
    size_t bytes = l->a.part[0].panel_bytes, panels = l->a.part[0].panels;
    l->fused = card_buffer(c, "fused", 2 * panels * bytes);
    for (size_t i = 0; i < panels; i++)
        for (size_t p = 0; p < 2; p++)
            memcpy(l->fused + (2 * i + p) * bytes, l->a.part[p].data + i * bytes, bytes);
    for (size_t p = 0; p < 2; p++) {
        l->a.part[p].data = l->fused + p * bytes;
        l->a.part[p].panel_bytes *= 2;
    }
}

/* Row 1 has a scale that is none. Float types: weights_make does it. */
static void spoil_weights(test_matrix *m)
{
    static const uint16_t nan = 0x7e00;
    memcpy((uint8_t *)m->data.p + (m->w.dtype == ASH_Q6_K ? 256 + 2 : 16), &nan, 2);
}

/* Buffers of the next product's inputs, of which nothing is zero. */
static ash_gfx_inputs next_buffers(card *c, const launched *l)
{
    ash_gfx_inputs in = l->a.next;
    bool groups = ash_gfx_in_groups((ash_gfx_form)in.form, in.input_scale);
    size_t scales = ash_gfx_inputs_scales(in.cols, in.tokens) * sizeof(float);
    in.out = card_buffer(c, "next", ash_gfx_inputs_bytes((ash_gfx_form)in.form, in.cols, in.tokens));
    in.scale = groups ? card_buffer(c, "next scale", scales) : NULL;
    in.squares = groups && in.norm ? card_buffer(c, "next squares", scales) : NULL;
    return in;
}

static void ask_for_next(card *c, const job *j, launched *l, test_rng *rng)
{
    float *norm = j->next_norm ? card_buffer(c, "norm", l->a.y_stride * sizeof(float)) : NULL;
    uint32_t cols = (uint32_t)j->part[0].rows;
    for (uint32_t k = 0; norm && k < l->a.y_stride; k++)
        norm[k] = k < cols ? 1 + test_rng_float(rng) : 0;
    l->a.next = (ash_gfx_inputs){ .x = l->a.y, .norm = norm, .form = (uint32_t)j->next - 1, .cols = cols,
                                  .tokens = (uint32_t)j->tokens, .x_stride = l->a.y_stride, .eps = GFX_TOKENS_EPS,
                                  .input_scale = j->next_scale };
    l->a.next = next_buffers(c, l);
    l->a.done = card_buffer(c, "done", ash_gfx_prefill_done(cols, (uint32_t)j->tokens) * sizeof(uint32_t));
    memset(l->a.done, 0, ash_gfx_prefill_done(cols, (uint32_t)j->tokens) * sizeof(uint32_t));
}

/* What it left is what the kernel of inputs makes of the same rows, and the counters are zero again. */
static void check_next(card *c, const launched *l)
{
    const ash_gfx_inputs *left = &l->a.next;
    ash_gfx_inputs in = next_buffers(c, l);
    size_t scales = ash_gfx_inputs_scales(in.cols, in.tokens) * sizeof(float);
    card_run(c, ash_gfx_kernel_find(ASH_GFX_OP_INPUTS, ASH_DTYPE_COUNT, in.form), ash_gfx_inputs_grid(&in).x, 1, 1, &in);
    assert_memory_equal(left->out, in.out, ash_gfx_inputs_bytes((ash_gfx_form)in.form, in.cols, in.tokens));
    if (in.scale)
        assert_memory_equal(left->scale, in.scale, scales);
    if (in.squares)
        assert_memory_equal(left->squares, in.squares, scales);
    for (uint64_t i = 0; i < ash_gfx_prefill_done(in.cols, in.tokens); i++)
        assert_int_equal(l->a.done[i], 0);
}

static launched launch(card *c, const job *j, test_rng *rng)
{
    launched l = { .nan = j->nan, .random = !j->nan && !j->apart && j->weights == WEIGHT_RANDOM };
    l.a = (ash_gfx_prefill){ .kind = j->kind, .part_count = (uint32_t)j->parts, .cols = (uint32_t)j->cols,
                             .tokens = (uint32_t)j->tokens };
    int64_t width = 0;
    for (int p = 0; p < j->parts; p++) {
        l.m[p] = weights_make(j->part[p].dtype, j->part[p].rows, j->cols, j->weights, j->part[p].scale, rng);
        if (j->nan && ash_gfx_is_q(j->part[p].dtype))
            spoil_weights(&l.m[p]);
        add_part(c, j, &l, p, width);
        if (j->kind != ASH_GFX_SWIGLU)
            width += round_up(j->part[p].rows, 16);
    }
    if (j->kind == ASH_GFX_SWIGLU)
        width = round_up(j->part[0].rows, 16);
    if (j->fused)
        fuse(c, &l);
    l.x = gfx_tokens_make(c, ash_gfx_form_of(j->part[0].dtype), j->tokens, j->cols, j->input_scale, j->norm, rng);
    if (j->apart)
        gfx_tokens_spread(&l.x, rng);
    if (l.nan)
        gfx_tokens_spoil(&l.x);
    l.a.x = l.x.tiles, l.a.x_scale = l.x.tile_scale, l.a.x_squares = l.x.tile_squares;
    l.a.x_eps = GFX_TOKENS_EPS, l.a.y_stride = (uint32_t)round_up(width + 1, 64); /* at least a float that nobody writes */
    l.floats = j->tokens * l.a.y_stride;
    l.a.y = card_buffer(c, "y", (size_t)l.floats * 4);
    for (int64_t i = 0; i < l.floats; i++)
        l.a.y[i] = j->next && i % l.a.y_stride >= width ? 0 : test_rng_float(rng);
    if (j->next)
        ask_for_next(c, j, &l, rng);
    l.before = malloc((size_t)l.floats * 4);
    memcpy(l.before, l.a.y, (size_t)l.floats * 4);
    const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, j->part[0].dtype, j->panels);
    assert_non_null(k);
    l.a.panels = k->variant;
    ash_gfx_grid grid = ash_gfx_prefill_grid(&l.a);
    uint32_t (*order)[3] = calloc((size_t)grid.x * grid.y, sizeof *order);
    for (uint32_t i = 0; i < grid.x * grid.y; i++) {
        uint32_t n = grid.x * grid.y - 1 - i;
        order[i][0] = n % grid.x, order[i][1] = n / grid.x;
    }
    c->groups = j->backwards ? (const uint32_t (*)[3])order : NULL;
    c->group_count = grid.x * grid.y;
    card_run(c, k, grid.x, grid.y, 1, &l.a);
    c->groups = NULL;
    free(order);
    return l;
}

static void launched_free(card *c, launched *l)
{
    for (int p = 0; p < ASH_GFX_PARTS && l->a.part[p].panels; p++)
        weights_free(&l->m[p]);
    gfx_tokens_free(&l->x);
    free(l->before);
    card_clear(c);
}

/* What a part gives for row `row` and each token; rows that fill up the last panel are zero (times NaN in token 1). */
static void products(const launched *l, int p, int64_t row, sum *out)
{
    const test_matrix *m = &l->m[p];
    rounded_row rounded = { NULL, NULL };
    if (ash_gfx_is_q(m->w.dtype) && row < m->w.rows)
        rounded = round_row(&m->w, row);
    for (int64_t t = 0; t < l->x.count; t++) {
        if (row >= m->w.rows)
            out[t] = (sum){ l->nan && t == 1 ? (double)NAN : 0, 0, 0 };
        else if (ash_gfx_is_q(m->w.dtype))
            out[t] = product_q(&rounded, &l->x, t);
        else
            out[t] = product_f(m->values + row * m->w.cols, &l->x, t);
    }
    free(rounded.codes);
    free(rounded.scale);
}

/* The difference. */
static double check_float(const launched *l, int p, int64_t row, int64_t t, double want, double bound)
{
    int64_t at = t * l->a.y_stride + l->a.part[p].y_first + row;
    double got = (double)l->a.y[at];
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= bound))
        fail_msg("%s, part %d, %d columns, token %d, row %d: %.9g, not %.9g, off by more than %.3g",
                 ash_dtype_find((uint32_t)l->m[p].w.dtype)->name, p, (int)l->x.cols, (int)t, (int)row, got, want, bound);
    l->before[at] = l->a.y[at];
    return got - want;
}

/* All differences of a launch against the bound of tolerance.h, where its terms are random. */
static void check_differences(const launched *l, gfx_differences *d)
{
    d->draws = (size_t)l->x.count;
    double share = l->random ? gfx_differences_share(d) : 0, *most = &reached[l->m[0].w.dtype];
    if (share > 1)
        fail_msg("%s, %d columns, %d tokens, kind %d: %d differences are %.2f times the bound of their mean square's root",
                 ash_dtype_name(l->m[0].w.dtype), (int)l->x.cols, (int)l->x.count, (int)l->a.kind, (int)d->count, share);
    *most = share > *most ? share : *most;
}

/* Every output, and that nothing else was written. */
static void check_sums(const launched *l)
{
    sum *s = malloc((size_t)l->x.count * sizeof *s);
    gfx_differences all = { 0 };
    for (int p = 0; p < (int)l->a.part_count; p++)
        for (int64_t row = 0; row < 16 * (int64_t)l->a.part[p].panels; row++) {
            products(l, p, row, s);
            double bias = l->a.part[p].bias ? (double)l->a.part[p].bias[row] : 0;
            for (int64_t t = 0; t < l->x.count; t++) {
                double old = l->a.kind == ASH_GFX_ADD ? (double)l->before[t * l->a.y_stride + l->a.part[p].y_first + row] : 0;
                double want = s[t].value + bias + old;
                double bound = (s[t].size * roundings(&l->x) + 2 * (fabs(bias) + fabs(old))) * 0x1p-24 + 0x1p-120;
                double off = check_float(l, p, row, t, want, bound);
                double added = (bias != 0 ? want * want : 0) + (old != 0 ? (want - bias) * (want - bias) : 0);
                if (row < l->m[p].w.rows)
                    gfx_differences_add(&all, off, own_variance(&l->x, &l->m[p].w, &s[t]) + added,
                                        common_variance(&l->x, &s[t]));
            }
        }
    check_differences(l, &all);
    free(s);
    assert_memory_equal(l->before, l->a.y, (size_t)l->floats * 4);
}

/* h = silu(g) u. silu's slope is below 1.1; e^-g is off by |g| 2^-23 or so, and what follows rounds 4 times. */
static void check_swiglu(const launched *l)
{
    sum *g = malloc((size_t)l->x.count * sizeof *g), *u = malloc((size_t)l->x.count * sizeof *u);
    double r = roundings(&l->x) * 0x1p-24;
    gfx_differences all = { 0 };
    const gfx_tokens *x = &l->x;
    for (int64_t row = 0; row < 16 * (int64_t)l->a.part[0].panels; row++) {
        products(l, 0, row, g);
        products(l, 1, row, u);
        for (int64_t t = 0; t < l->x.count; t++) {
            double silu = g[t].value / (1 + exp(-g[t].value)), want = silu * u[t].value;
            double bound = fabs(u[t].value) * 1.1 * g[t].size * r + (fabs(silu) + 1.1 * g[t].size * r) * u[t].size * r +
                           fabs(want) * (fabs(g[t].value) + 4) * 0x1p-23 + 0x1p-100;
            double off = check_float(l, 0, row, t, want, bound);
            double of_g = own_variance(x, &l->m[0].w, &g[t]), of_u = own_variance(x, &l->m[1].w, &u[t]);
            double both_g = common_variance(x, &g[t]), both_u = common_variance(x, &u[t]);
            if (row < l->m[0].w.rows)
                gfx_differences_add(&all, off, gfx_swiglu_variance(g[t].value, of_g, u[t].value, of_u, 1),
                                    gfx_swiglu_variance(g[t].value, both_g, u[t].value, both_u, 0));
        }
    }
    check_differences(l, &all);
    free(g);
    free(u);
    assert_memory_equal(l->before, l->a.y, (size_t)l->floats * 4);
}

static void run(card *c, const job *j, test_rng *rng)
{
    launched l = launch(c, j, rng);
    if (j->next)
        check_next(c, &l);
    if (j->kind == ASH_GFX_SWIGLU)
        check_swiglu(&l);
    else
        check_sums(&l);
    launched_free(c, &l);
}

/* With every number of panels a workgroup. */
static void run_all(card *c, job j, test_rng *rng)
{
    for (const uint32_t *panels = panels_of(j.part[0].dtype); *panels; panels++) {
        j.panels = *panels;
        if (j.kind != ASH_GFX_SWIGLU || *panels % 2 == 0)
            run(c, &j, rng);
    }
}

/* ---- tests ---- */

static const struct { int64_t rows, cols, tokens; } shapes[] = {
    { 1, 64, 1 }, { 15, 576, 15 }, { 17, 640, 16 }, { 160, 1000, 17 }, { 72, 257, 64 }, { 64, 256, 130 },
};

/* Every registered kernel of prefill at every shape. */
static void test_shapes(void **state)
{
    (void)state;
    card c = { .seed = 3 };
    test_rng rng = test_rng_start("prefill");
    size_t count;
    const ash_gfx_kernel *k = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; k[i].op == ASH_GFX_OP_PREFILL && n < sizeof shapes / sizeof *shapes; n++)
            for (int scale = 0; scale <= (k[i].dtype == ASH_F8_E4M3 ? ASH_SCALE_BLOCK128 : 0); scale++) {
                job j = { .parts = 1, .part = { { k[i].dtype, shapes[n].rows, (ash_scale_kind)scale } },
                          .cols = shapes[n].cols, .tokens = shapes[n].tokens, .panels = k[i].variant,
                          .norm = n & 1 && k[i].dtype != ASH_F16 && k[i].dtype != ASH_BF16 };
                run(&c, &j, &rng);
                j.input_scale = 0.02f, j.norm = false;
                if (k[i].dtype == ASH_F8_E4M3)
                    run(&c, &j, &rng);
            }
    card_free(&c);
}

static void test_weights(void **state)
{
    (void)state;
    card c = { .seed = 4 };
    test_rng rng = test_rng_start("weights");
    static const ash_dtype types[] = { ASH_Q4_0, ASH_Q4_1, ASH_Q5_0, ASH_Q5_1, ASH_Q8_0, ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };
    for (size_t d = 0; d < sizeof types / sizeof *types; d++)
        for (int kind = WEIGHT_ZERO; kind <= WEIGHT_RUNS; kind++) {
            job j = { .parts = 1, .part = { { types[d], 33, ASH_SCALE_NONE } }, .cols = 640, .tokens = 5,
                      .weights = (weight_kind)kind };
            run(&c, &j, &rng);
        }
    card_free(&c);
}

static void test_epilogues(void **state)
{
    (void)state;
    card c = { .seed = 5 };
    test_rng rng = test_rng_start("epilogues");
    const job jobs[] = {
        { .parts = 3, .part = { { ASH_Q4_K, 70, 0 }, { ASH_Q4_K, 20, 0 }, { ASH_Q6_K, 33, 0 } }, .cols = 576, .tokens = 17,
          .bias = true },
        { .kind = ASH_GFX_ADD, .parts = 2, .part = { { ASH_Q8_0, 20, 0 }, { ASH_Q5_0, 5, 0 } }, .cols = 256, .tokens = 33,
          .bias = true },
        { .parts = 3, .part = { { ASH_F8_E4M3, 150, 2 }, { ASH_F8_E4M3, 20, 1 }, { ASH_F8_E4M3, 33, 3 } }, .cols = 300,
          .tokens = 17, .bias = true },
        { .kind = ASH_GFX_ADD, .parts = 1, .part = { { ASH_BF16, 40, 0 } }, .cols = 130, .tokens = 20 },
        { .kind = ASH_GFX_SWIGLU, .parts = 2, .part = { { ASH_Q4_K, 60, 0 }, { ASH_Q4_K, 60, 0 } }, .cols = 512, .tokens = 17,
          .fused = true },
        { .kind = ASH_GFX_SWIGLU, .parts = 2, .part = { { ASH_Q4_0, 40, 0 }, { ASH_Q8_0, 40, 0 } }, .cols = 320, .tokens = 16 },
        { .kind = ASH_GFX_SWIGLU, .parts = 2, .part = { { ASH_F8_E4M3, 90, 1 }, { ASH_F8_E4M3, 90, 3 } }, .cols = 300,
          .tokens = 18 },
        { .kind = ASH_GFX_SWIGLU, .parts = 2, .part = { { ASH_F16, 90, 0 }, { ASH_F16, 90, 0 } }, .cols = 64, .tokens = 5,
          .fused = true },
    };
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        run_all(&c, jobs[i], &rng);
    card_free(&c);
}

/* Scales of groups that have little to do with each other, in blocks of weights and not. */
static void test_apart(void **state)
{
    (void)state;
    card c = { .seed = 9 };
    test_rng rng = test_rng_start("apart");
    for (int scale = ASH_SCALE_ROW; scale <= ASH_SCALE_BLOCK128; scale++) {
        job j = { .parts = 1, .part = { { ASH_F8_E4M3, 33, (ash_scale_kind)scale } }, .cols = 1600, .tokens = 37, .apart = true };
        run_all(&c, j, &rng);
    }
    card_free(&c);
}

/* Inputs left for another product: of each form, by each kernel, by the last workgroup in either order. */
static void test_next(void **state)
{
    (void)state;
    card c = { .seed = 8 };
    test_rng rng = test_rng_start("next");
    static const struct { ash_gfx_form form; float scale; bool norm; } forms[] = {
        { ASH_GFX_INT8, 0, true }, { ASH_GFX_INT8, 0, false }, { ASH_GFX_FP8, 0, true }, { ASH_GFX_FP8, 0, false },
        { ASH_GFX_FP8, 0.03f, false }, { ASH_GFX_F16, 0, false }, { ASH_GFX_BF16, 0, false },
    };
    static const ash_dtype types[] = { ASH_Q4_K, ASH_F8_E4M3, ASH_BF16 };
    for (size_t d = 0; d < sizeof types / sizeof *types; d++)
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
            for (int kind = ASH_GFX_STORE; kind <= ASH_GFX_SWIGLU; kind++) {
                ash_scale_kind scale = types[d] == ASH_F8_E4M3 ? ASH_SCALE_TENSOR : ASH_SCALE_NONE;
                int64_t rows = f & 1 ? 300 : 590;
                job j = { .kind = (ash_gfx_kind)kind, .parts = kind == ASH_GFX_SWIGLU ? 2 : 1,
                          .part = { { types[d], rows, scale }, { types[d], rows, scale } }, .cols = 64, .tokens = f & 1 ? 270 : 21,
                          .next = 1 + (int)forms[f].form, .next_scale = forms[f].scale, .next_norm = forms[f].norm,
                          .backwards = kind == ASH_GFX_ADD };
                if (f < 2 || ash_gfx_is_q(types[d])) { /* what is rounded does not depend on how many panels a workgroup has */
                    run_all(&c, j, &rng);
                } else {
                    j.panels = *panels_of(types[d]);
                    run(&c, &j, &rng);
                }
            }
    card_free(&c);
}

/* NaN stays in its row and its token. */
static void test_nan(void **state)
{
    (void)state;
    card c = { .seed = 6 };
    test_rng rng = test_rng_start("nan");
    size_t count;
    const ash_gfx_kernel *k = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++)
        for (int scale = 0; k[i].op == ASH_GFX_OP_PREFILL && scale <= (k[i].dtype == ASH_F8_E4M3 ? 3 : 0); scale++) {
            job j = { .parts = 1, .part = { { k[i].dtype, 20, (ash_scale_kind)scale } }, .cols = 320, .tokens = 18, .nan = true,
                      .weights = ash_gfx_is_q(k[i].dtype) ? WEIGHT_RANDOM : WEIGHT_NAN };
            run(&c, &j, &rng);
        }
    card_free(&c);
}

/* More tokens than one workgroup has. */
static void test_many_tokens(void **state)
{
    (void)state;
    card c = { .seed = 7 };
    test_rng rng = test_rng_start("many");
    const job jobs[] = {
        { .parts = 2, .part = { { ASH_Q4_K, 70, 0 }, { ASH_Q5_1, 5, 0 } }, .cols = 192, .tokens = 530 },
        { .parts = 1, .part = { { ASH_BF16, 129, 0 } }, .cols = 64, .tokens = 300 },
    };
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        run(&c, &jobs[i], &rng);
    card_free(&c);
}

/* After all that: differences are seen to come close to the bound of their mean square's root, of each type. */
static void test_bounds(void **state)
{
    (void)state;
    size_t count;
    const ash_gfx_kernel *k = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++)
        if (k[i].op == ASH_GFX_OP_PREFILL && k[i].variant == 4) {
            printf("# measure prefill of %s: differences of a launch reach %.0f%% of what roundings allow\n",
                   ash_dtype_name(k[i].dtype), 100 * reached[k[i].dtype]);
            assert_true(reached[k[i].dtype] * GFX_LOOSEST >= 1);
        }
}

/* ---- counts ---- */

/* Share of the port's cycles that WMMA has, where vector instructions share it; from the difference of two runs. */
static double measure(card *c, const ash_gfx_kernel *k, int way, const gfx_stats *less, const gfx_stats *more)
{
    uint64_t n[GFX_EVENTS];
    double wmma_cycles = 0, cycles = (double)(gfx_issue_cycles(more) - gfx_issue_cycles(less));
    for (int e = 0; e < GFX_EVENTS; e++)
        n[e] = more->insns[e] - less->insns[e];
    for (gfx_event e = GFX_WMMA_IU8; e <= GFX_WMMA_BF16; e++)
        wmma_cycles += (double)(n[e] * gfx_event_cycles(e));
    cost_check(c, k, way, (cycles - wmma_cycles) / (double)gfx_total(n, GFX_WMMA_IU8, GFX_WMMA_BF16));
    return wmma_cycles / cycles;
}

/* One workgroup with all its tokens: what 512 columns more cost, as at a steady state. */
static void test_counts(void **state)
{
    (void)state;
    card c = { .seed = 0 };
    test_rng rng = test_rng_start("counts");
    size_t count;
    const ash_gfx_kernel *k = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++) {
        bool f8 = k[i].dtype == ASH_F8_E4M3;
        for (int blocks = 0; k[i].op == ASH_GFX_OP_PREFILL && blocks <= f8; blocks++) {
            gfx_stats s[2];
            for (int n = 0; n < 2; n++) {
                ash_scale_kind scale = f8 ? blocks ? ASH_SCALE_BLOCK128 : ASH_SCALE_ROW : ASH_SCALE_NONE;
                job j = { .parts = 1, .part = { { k[i].dtype, 16 * k[i].variant, scale } },
                          .cols = n ? 1280 : 768, .tokens = 256, .panels = k[i].variant };
                launched l = launch(&c, &j, &rng);
                s[n] = c.stats;
                launched_free(&c, &l);
            }
            double share = measure(&c, &k[i], blocks ? COST_OTHER : COST_PLAIN, &s[0], &s[1]);
            /* Blocks of weights and groups of tokens' columns: 16 products and sums for 8 WMMAs, of which a half go two to an
             * instruction. */
            assert_true(share >= (ash_gfx_is_q(k[i].dtype) ? 0.70 : blocks ? 0.80 : 0.85));
        }
    }
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_weights),
                                        cmocka_unit_test(test_epilogues), cmocka_unit_test(test_apart), cmocka_unit_test(test_next), cmocka_unit_test(test_nan),
                                        cmocka_unit_test(test_many_tokens), cmocka_unit_test(test_bounds),
                                        cmocka_unit_test(test_counts) };
    return cmocka_run_group_tests_name("gfx12_prefill", tests, NULL, NULL);
}
