/* Attention on the card (kernels/gfx12/attend_decode.hip, attend_prefill.hip, kv_store.hip), executed by the interpreter,
 * against ash_attention_f16_scalar. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

#include "format/halffloat.h"
#include "format/meta.h"
#include "kernels/kernels.h"
#include "tests/gfx12/costs.h"

typedef struct shape {
    uint32_t heads, kv_heads, head_dim, rope_dim;
    uint32_t pos, tokens, window, splits;
    bool fp8, norms;
} shape;

/* A layer's attention on the card, and what it starts from. */
typedef struct problem {
    shape s;
    ash_gfx_attend a;
    uint32_t group, last; /* last: tokens' end */
    float *qkv, *out;     /* the card's */
    uint32_t *done;
    uint8_t *k, *v;
    size_t cache_bytes;   /* of each */
    float *given;         /* qkv as it was */
    uint8_t *old_k, *old_v;
    /* What the cache should hold, decoded without its scale: [kv_head][position][head_dim]. */
    uint16_t *ref_k, *ref_v;
} problem;

static uint32_t round_up(uint32_t x, uint32_t to) { return (x + to - 1) / to * to; }

/* Element d of position p's row, in elements from a head's first. */
static size_t place_k(const problem *p, uint32_t position, uint32_t d)
{
    return (size_t)(position % p->a.cache.rows) * p->a.cache.stride + d;
}
static size_t place_v(const problem *p, uint32_t position, uint32_t d)
{
    uint32_t row = position % p->a.cache.rows;
    return (size_t)(row / 8 * 8) * p->a.cache.stride + 8 * d + row % 8;
}

static uint16_t read_cached(const problem *p, const uint8_t *base, size_t at)
{
    if (p->s.fp8)
        return ash_f32_to_f16(ash_e4m3_to_f32(base[at]));
    uint16_t half;
    memcpy(&half, base + 2 * at, 2);
    return half;
}
static void write_cached(const problem *p, uint8_t *base, size_t at, float x, float scale)
{
    if (p->s.fp8) {
        base[at] = ash_f32_to_e4m3(x / scale);
        return;
    }
    uint16_t half = ash_f32_to_f16(x);
    memcpy(base + 2 * at, &half, 2);
}

static void make(problem *p, card *c, const shape *s, test_rng *rng)
{
    *p = (problem){ .s = *s, .group = s->heads / s->kv_heads, .last = s->pos + s->tokens };
    uint32_t hd = s->head_dim, cols = (s->heads + 2 * s->kv_heads) * hd, see = s->window + s->tokens - 1 + ASH_GFX_CACHE_ROWS - 1;
    ash_gfx_attend *a = &p->a;
    *a = (ash_gfx_attend){ .qkv_stride = round_up(cols, 64) + 64, .k_first = s->heads * hd,
                           .v_first = (s->heads + s->kv_heads) * hd, .out_stride = round_up(s->heads * hd, 64) + 64,
                           .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = hd, .rope_dim = s->rope_dim,
                           .window = s->window, .splits = s->splits, .tokens = s->tokens,
                           .scale = 1 / sqrtf((float)hd), .eps = 1e-5f };
    a->cache = (ash_gfx_cache){ .stride = hd + 8, .fp8 = s->fp8, .k_scale = s->fp8 ? 0.013f : 1,
                                .v_scale = s->fp8 ? 0.0071f : 1 };
    a->cache.rows = round_up(s->window && see < p->last ? see : p->last, ASH_GFX_CACHE_ROWS);
    a->cache.head_stride = (uint64_t)a->cache.rows * a->cache.stride + 16;

    p->qkv = card_buffer(c, "qkv", (size_t)s->tokens * a->qkv_stride * 4);
    p->out = card_buffer(c, "out", (size_t)s->tokens * a->out_stride * 4);
    a->qkv = p->qkv, a->out = p->out;
    for (uint32_t t = 0; t < s->tokens; t++)
        for (uint32_t i = 0; i < cols; i++)
            p->qkv[t * a->qkv_stride + i] = (i < a->v_first ? 2.0f : 1.0f) * test_rng_float(rng);
    if (s->norms) {
        float *q_norm = card_buffer(c, "q norm", hd * 4), *k_norm = card_buffer(c, "k norm", hd * 4);
        for (uint32_t i = 0; i < hd; i++)
            q_norm[i] = 1 + test_rng_float(rng), k_norm[i] = 1 + test_rng_float(rng);
        a->q_norm = q_norm, a->k_norm = k_norm;
    }
    float *angles = card_buffer(c, "angles", (size_t)p->last * s->rope_dim * 4);
    for (uint32_t i = 0; i < p->last * s->rope_dim / 2; i++) {
        double angle = 3.14159265 * (double)test_rng_float(rng);
        angles[2 * i] = (float)cos(angle), angles[2 * i + 1] = (float)sin(angle);
    }
    a->angles = angles;
    ash_gfx_step *step = card_buffer(c, "step", sizeof *step);
    step->pos = s->pos;
    a->step = step;
    a->parts = card_buffer(c, "parts", ash_gfx_attend_parts(s->heads, hd, s->splits) * 4);
    p->done = card_buffer(c, "done", s->kv_heads * 4);
    memset(p->done, 0, s->kv_heads * 4);
    a->done = p->done;

    p->cache_bytes = s->kv_heads * a->cache.head_stride * (s->fp8 ? 1 : 2);
    a->cache.k = p->k = card_buffer(c, "k cache", p->cache_bytes);
    a->cache.v = p->v = card_buffer(c, "v cache", p->cache_bytes);
    /* All older positions that the cache has room for; the rest stays NaN. */
    for (uint32_t h = 0; h < s->kv_heads; h++) {
        uint32_t first = s->pos > a->cache.rows ? s->pos - a->cache.rows : 0;
        for (uint32_t position = first; position < s->pos; position++)
            for (uint32_t d = 0; d < hd; d++) {
                size_t k_at = h * a->cache.head_stride + place_k(p, position, d);
                size_t v_at = h * a->cache.head_stride + place_v(p, position, d);
                write_cached(p, p->k, k_at, 2 * test_rng_float(rng), a->cache.k_scale);
                write_cached(p, p->v, v_at, test_rng_float(rng), a->cache.v_scale);
            }
    }
    size_t qkv_bytes = (size_t)s->tokens * a->qkv_stride * 4, ref = (size_t)s->kv_heads * p->last * hd * 2;
    p->given = malloc(qkv_bytes);
    memcpy(p->given, p->qkv, qkv_bytes);
    p->old_k = malloc(p->cache_bytes), p->old_v = malloc(p->cache_bytes);
    memcpy(p->old_k, p->k, p->cache_bytes);
    memcpy(p->old_v, p->v, p->cache_bytes);
    p->ref_k = malloc(ref), p->ref_v = malloc(ref);
}

static void problem_free(problem *p)
{
    free(p->given);
    free(p->old_k);
    free(p->old_v);
    free(p->ref_k);
    free(p->ref_v);
}

/* A head's row through norm and rotation, by the scalar specification. */
static void reference_row(const problem *p, uint32_t t, uint32_t at, const float *norm, float *x)
{
    const ash_gfx_attend *a = &p->a;
    memcpy(x, p->given + t * a->qkv_stride + at, a->head_dim * 4);
    if (norm)
        ash_rms_norm_scalar(x, norm, a->head_dim, a->eps, x);
    ash_rope_scalar(x, 1, a->head_dim, a->rope_dim, a->angles + (size_t)(p->s.pos + t) * a->rope_dim);
}

/* Between a head's row of the card and of the specification: nothing without a norm. With one, the factor errs by its
 * sum's half of (8 + 5) 2^-24 and by 2^-23 of rsq and of the specification's rounding, 2 products and 3 operations of
 * the rotation follow: 16 * 2^-24 of the pair's magnitude. */
static float row_tolerance(const problem *p, const float *x, uint32_t d)
{
    return p->a.q_norm ? 16 * 0x1p-24f * (fabsf(x[d]) + fabsf(x[d ^ 1])) : 0;
}

/* The new rows of the cache are those of the specification (with a norm: one step beside them at most, where the
 * rounding may tip over), all other bytes are as before. What is in the cache then counts as the reference. */
static void check_cache(problem *p)
{
    const ash_gfx_attend *a = &p->a;
    uint32_t hd = a->head_dim;
    for (uint32_t h = 0; h < a->kv_heads; h++)
        for (uint32_t t = 0; t < p->s.tokens; t++) {
            float k[ASH_HEAD_DIM_MAX], v[ASH_HEAD_DIM_MAX];
            reference_row(p, t, a->k_first + h * hd, a->k_norm, k);
            memcpy(v, p->given + t * a->qkv_stride + a->v_first + h * hd, hd * 4);
            for (uint32_t d = 0; d < hd; d++) {
                size_t k_at = h * a->cache.head_stride + place_k(p, p->s.pos + t, d);
                size_t v_at = h * a->cache.head_stride + place_v(p, p->s.pos + t, d);
                float stored = ash_f16_to_f32(read_cached(p, p->k, k_at)), tolerance = row_tolerance(p, k, d);
                write_cached(p, p->old_k, k_at, k[d] - tolerance, a->cache.k_scale);
                float low = ash_f16_to_f32(read_cached(p, p->old_k, k_at));
                write_cached(p, p->old_k, k_at, k[d] + tolerance, a->cache.k_scale);
                float high = ash_f16_to_f32(read_cached(p, p->old_k, k_at));
                if (!(stored >= low && stored <= high))
                    fail_msg("k of head %u, token %u, element %u: %g, not %g .. %g", h, t, d, (double)stored,
                             (double)low, (double)high);
                memcpy(p->old_k + k_at * (p->s.fp8 ? 1 : 2), p->k + k_at * (p->s.fp8 ? 1 : 2), p->s.fp8 ? 1 : 2);
                write_cached(p, p->old_v, v_at, v[d], a->cache.v_scale);
            }
        }
    assert_memory_equal(p->k, p->old_k, p->cache_bytes);
    assert_memory_equal(p->v, p->old_v, p->cache_bytes);
    for (uint32_t h = 0; h < a->kv_heads; h++)
        for (uint32_t position = p->last > a->cache.rows ? p->last - a->cache.rows : 0; position < p->last; position++)
            for (uint32_t d = 0; d < hd; d++) {
                size_t at = ((size_t)h * p->last + position) * hd + d;
                p->ref_k[at] = read_cached(p, p->k, h * a->cache.head_stride + place_k(p, position, d));
                p->ref_v[at] = read_cached(p, p->v, h * a->cache.head_stride + place_v(p, position, d));
            }
}

/* The largest scale * sum |q k| and |v| among what a query sees. */
static void magnitudes(const ash_attention *at, double *score, double *v)
{
    int64_t first = at->window && at->pos >= at->window ? at->pos - at->window + 1 : 0;
    const uint16_t *keys = (const void *)at->k, *values = (const void *)at->v;
    int64_t stride = at->kv_stride / 2;
    *score = *v = 0;
    for (int64_t position = first; position <= at->pos; position++) {
        double sum = 0;
        for (int64_t d = 0; d < at->head_dim; d++) {
            sum += fabs((double)at->q[d] * (double)ash_f16_to_f32(keys[position * stride + d]));
            *v = fmax(*v, fabs((double)ash_f16_to_f32(values[position * stride + d])));
        }
        *score = fmax(*score, sum * (double)at->scale);
    }
}

/* q: [tokens][heads * head_dim], as the products see it. The bound is that of ash_attention in kernels.h, with 16 more
 * roundings of q's elements where there is a norm; `weights`: how far weights were rounded, relative: they sum to 1. */
static void check_out(const problem *p, const float *q, double weights)
{
    const ash_gfx_attend *a = &p->a;
    uint32_t hd = a->head_dim;
    for (uint32_t t = 0; t < p->s.tokens; t++)
        for (uint32_t g = 0; g < a->heads; g++) {
            float out[ASH_HEAD_DIM_MAX];
            size_t kv = (size_t)(g / p->group) * p->last * hd;
            ash_attention at = { .q = q + ((size_t)t * a->heads + g) * hd, .k = (const void *)(p->ref_k + kv),
                                 .v = (const void *)(p->ref_v + kv), .kv_stride = 2 * hd,
                                 .kv_rows = p->last, .head_dim = hd, .group = 1, .scale = a->scale * a->cache.k_scale,
                                 .pos = p->s.pos + t, .tokens = 1, .window = a->window, .out = out, .out_stride = hd };
            ash_attention_f16_scalar(&at, NULL);
            double score, v;
            magnitudes(&at, &score, &v);
            double n = p->last, terms = hd + 8 + (a->q_norm ? 16 : 0);
            double v_scale = (double)a->cache.v_scale;
            double tolerance = v * v_scale * (0x1p-20 + 4 * terms * 0x1p-24 * score + n * 0x1p-23 + weights);
            for (uint32_t d = 0; d < hd; d++) {
                double is = (double)p->out[(size_t)t * a->out_stride + g * hd + d], want = (double)out[d] * v_scale;
                if (!(fabs(is - want) <= tolerance))
                    fail_msg("heads %u/%u of %u, pos %u, %u tokens, window %u, %u splits, fp8 %d: token %u, head %u, "
                             "element %u: %.9g, not %.9g +- %.3g", a->heads, a->kv_heads, hd, p->s.pos, p->s.tokens,
                             a->window, a->splits, p->s.fp8, t, g, d, is, want, tolerance);
            }
        }
}

/* All workgroups of a grid, in a random order. */
static uint32_t (*shuffled(ash_gfx_grid g, test_rng *rng, size_t *count))[3]
{
    *count = (size_t)g.x * g.y * g.z;
    uint32_t (*all)[3] = malloc(*count * sizeof *all);
    for (uint32_t i = 0; i < *count; i++) {
        uint32_t j = (uint32_t)test_rng_below(rng, i + 1);
        memcpy(all[i], all[j], sizeof *all);
        all[j][0] = i % g.x, all[j][1] = i / g.x % g.y, all[j][2] = i / g.x / g.y;
    }
    return all;
}

static void run(card *c, ash_gfx_op op, uint32_t variant, ash_gfx_grid g, const void *a)
{
    const ash_gfx_kernel *k = ash_gfx_kernel_find(op, ASH_DTYPE_COUNT, variant);
    assert_non_null(k);
    card_run(c, k, g.x, g.y, g.z, a);
}

/* ---- decoding ---- */

static void decode(card *c, const shape *s, test_rng *rng)
{
    problem p;
    make(&p, c, s, rng);
    ash_gfx_grid grid = ash_gfx_attend_grid(&p.a);
    run(c, ASH_GFX_OP_ATTEND, s->head_dim, grid, &p.a);
    check_cache(&p);
    float *q = malloc((size_t)s->tokens * s->heads * s->head_dim * 4);
    for (uint32_t t = 0; t < s->tokens; t++)
        for (uint32_t h = 0; h < s->heads; h++)
            reference_row(&p, t, h * s->head_dim, p.a.q_norm, q + ((size_t)t * s->heads + h) * s->head_dim);
    check_out(&p, q, 0);

    size_t out_bytes = (size_t)s->tokens * p.a.out_stride * 4;
    float *before = malloc(out_bytes);
    memcpy(before, p.out, out_bytes);
    for (int again = 0; again < 2; again++) {
        uint64_t seed = c->seed;
        uint32_t (*groups)[3] = shuffled(grid, rng, &c->group_count);
        c->groups = (const uint32_t (*)[3])groups;
        c->seed = test_rng_next(rng) | 1;
        memset(p.out, 0xff, out_bytes);
        run(c, ASH_GFX_OP_ATTEND, s->head_dim, grid, &p.a);
        assert_memory_equal(before, p.out, out_bytes);
        for (uint32_t h = 0; h < s->kv_heads; h++)
            assert_int_equal(p.done[h], 0);
        c->groups = NULL, c->group_count = 0;
        c->seed = seed;
        free(groups);
    }
    free(before);
    free(q);
    problem_free(&p);
    card_clear(c);
}

static void test_decode(void **state)
{
    (void)state;
    card c = { .seed = 5 };
    test_rng rng = test_rng_start("attend decode");
    const shape shapes[] = {
        /* heads, KV heads, head_dim, rope_dim, pos, tokens, window, splits, fp8, norms */
        { 1, 1, 64, 64, 0, 1, 0, 1, false, false },
        { 3, 1, 64, 64, 1, 1, 0, 4, false, false },
        { 8, 2, 64, 64, 31, 2, 0, 2, false, true },
        { 4, 1, 64, 48, 130, 1, 0, 2, true, false },
        { 8, 2, 128, 128, 32, 1, 0, 1, false, false },
        { 8, 2, 128, 128, 699, 1, 0, 6, false, false },
        { 8, 1, 128, 128, 300, 1, 0, 3, true, true },
        { 9, 1, 128, 64, 77, 3, 0, 8, false, true },
        { 6, 2, 80, 80, 200, 1, 0, 2, false, false },
        { 3, 1, 80, 32, 63, 5, 0, 2, true, false },
        { 2, 2, 96, 96, 140, 4, 0, 16, false, false },
        { 4, 4, 256, 256, 150, 1, 0, 2, false, true },
        { 4, 1, 256, 64, 40, 8, 0, 1, true, false },
        { 3, 1, 256, 256, 0, 1, 0, 2, false, false },
        { 4, 2, 256, 256, 1092, 8, 0, 16, true, false },
        { 2, 1, 256, 128, 501, 3, 77, 5, false, true },
        { 4, 2, 64, 64, 1092, 8, 0, 16, false, false },
        { 4, 2, 64, 64, 500, 1, 100, 2, false, false },
        { 4, 2, 64, 20, 501, 8, 77, 16, false, false },
        { 2, 1, 128, 128, 333, 4, 33, 2, true, true },
        { 2, 1, 64, 64, 3, 8, 2, 1, false, false },
        /* llama-8b's at 1,000 tokens: 32 workgroups a KV head, of which 8 find work. At 4,000 all of them do. */
        { 32, 8, 128, 128, 999, 1, 0, 32, false, false },
        { 3, 1, 128, 128, 3999, 1, 0, 32, false, false },
        { 2, 1, 80, 80, 1092, 8, 0, 16, true, false },
        { 2, 1, 80, 32, 1092, 8, 170, 4, false, true },
        { 2, 1, 80, 80, 600, 3, 77, 2, true, false },
        { 3, 1, 96, 96, 1092, 8, 0, 16, false, false },
        { 2, 1, 96, 48, 1092, 8, 170, 4, true, true },
        { 2, 2, 96, 96, 333, 1, 0, 3, true, false },
        { 2, 1, 128, 128, 1092, 8, 0, 16, true, false },
        { 2, 1, 128, 128, 1092, 8, 170, 4, false, true },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        decode(&c, &shapes[i], &rng);
    card_free(&c);
}

/* ---- prefill ---- */

/* The result as inputs of a product, in each form that the heads allow: the very bytes that the kernel of inputs makes of
 * the result in floats. */
static void check_left(card *c, problem *p, const shape *s)
{
    static const struct { ash_gfx_form form; float scale; } forms[] = {
        { ASH_GFX_INT8, 0 }, { ASH_GFX_FP8, 0 }, { ASH_GFX_FP8, 0.01f }, { ASH_GFX_F16, 0 }, { ASH_GFX_BF16, 0 },
    };
    size_t floats = (size_t)s->tokens * p->a.out_stride;
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (!ash_gfx_attend_leaves(&p->a, forms[f].form, forms[f].scale))
            continue;
        uint32_t cols = s->heads * s->head_dim;
        size_t bytes = ash_gfx_inputs_bytes(forms[f].form, cols, s->tokens);
        size_t scales = ash_gfx_inputs_scales(cols, s->tokens) * sizeof(float);
        bool groups = ash_gfx_in_groups(forms[f].form, forms[f].scale);
        ash_gfx_inputs in[2];
        for (int i = 0; i < 2; i++) {
            in[i] = (ash_gfx_inputs){ .x = p->out, .out = card_buffer(c, "tiles", bytes), .form = forms[f].form, .cols = cols,
                                      .scale = groups ? card_buffer(c, "tile scales", scales) : NULL, .tokens = s->tokens,
                                      .x_stride = p->a.out_stride, .input_scale = forms[f].scale };
            memset(in[i].out, 0, bytes); /* of tokens that there are not */
            if (groups)
                memset(in[i].scale, 0, scales);
        }
        run(c, ASH_GFX_OP_INPUTS, in[0].form, ash_gfx_inputs_grid(&in[0]), &in[0]);
        float *before = malloc(floats * 4);
        memcpy(before, p->out, floats * 4);
        memset(p->out, 0xff, floats * 4);
        p->a.next = in[1];
        run(c, ASH_GFX_OP_ATTEND_PREFILL, s->head_dim, ash_gfx_attend_prefill_grid(&p->a), &p->a);
        p->a.next.out = NULL;
        assert_memory_equal(in[0].out, in[1].out, bytes);
        if (groups)
            assert_memory_equal(in[0].scale, in[1].scale, scales);
        for (size_t i = 0; i < floats; i++)
            assert_true(isnan(p->out[i])); /* nobody wrote floats */
        memcpy(p->out, before, floats * 4);
        free(before);
    }
}

/* Queries are rounded to f16 times `factor`. Weights w become w (1 - e), 0 <= e <= 2^-10 (those below f16's normal
 * range lose at most 2^-24, beside a sum of at least 1), and their sum is that of what they became: so the result, an
 * average of v, moves by sum w (e - 2^-11) (v - average) / sum w (1 - e), at most
 * (2^-11 + n 2^-24) 2 V / (1 - 2^-10). */
static void prefill(card *c, const shape *s, test_rng *rng)
{
    problem p;
    float factor = 1 / sqrtf((float)s->head_dim) * 1.44269504088896341f;
    make(&p, c, s, rng);
    run(c, ASH_GFX_OP_KV_STORE, 0, ash_gfx_kv_store_grid(&p.a), &p.a);
    check_cache(&p);
    float *q = malloc((size_t)s->tokens * s->heads * s->head_dim * 4);
    for (uint32_t t = 0; t < s->tokens; t++)
        for (uint32_t h = 0; h < s->heads; h++) {
            float want[ASH_HEAD_DIM_MAX];
            const float *is = p.qkv + (size_t)t * p.a.qkv_stride + h * s->head_dim;
            reference_row(&p, t, h * s->head_dim, p.a.q_norm, want);
            for (uint32_t d = 0; d < s->head_dim; d++) {
                if (!(fabsf(is[d] - want[d]) <= row_tolerance(&p, want, d)))
                    fail_msg("q of head %u, token %u, element %u: %g, not %g", h, t, d, (double)is[d], (double)want[d]);
                float rounded = ash_f16_to_f32(ash_f32_to_f16(is[d] * factor));
                q[((size_t)t * s->heads + h) * s->head_dim + d] = rounded / factor;
            }
        }
    run(c, ASH_GFX_OP_ATTEND_PREFILL, s->head_dim, ash_gfx_attend_prefill_grid(&p.a), &p.a);
    check_out(&p, q, 0x1.01p-10 + p.last * 0x1p-23);
    check_left(c, &p, s);
    free(q);
    problem_free(&p);
    card_clear(c);
}

static void test_prefill(void **state)
{
    (void)state;
    card c = { .seed = 5 };
    test_rng rng = test_rng_start("attend prefill");
    const shape shapes[] = {
        /* heads, KV heads, head_dim, rope_dim, pos, tokens, window, splits, fp8, norms */
        { 1, 1, 64, 64, 0, 1, 0, 1, false, false },
        { 3, 1, 64, 64, 0, 17, 0, 1, false, false },
        { 8, 2, 64, 48, 5, 33, 0, 1, false, true },
        { 8, 1, 128, 128, 40, 20, 0, 1, true, false },
        { 4, 1, 128, 128, 0, 130, 0, 1, false, false },
        { 6, 2, 80, 80, 13, 15, 0, 1, false, false },
        { 2, 2, 96, 96, 31, 16, 0, 1, true, true },
        { 2, 1, 64, 64, 0, 300, 0, 1, false, false },
        { 4, 2, 64, 64, 211, 70, 33, 1, false, false },
        { 3, 1, 128, 128, 500, 9, 100, 1, true, false },
        { 1, 1, 256, 256, 0, 1, 0, 1, false, false },
        { 3, 1, 256, 64, 5, 17, 0, 1, false, true },
        { 8, 2, 256, 256, 40, 33, 0, 1, true, true },
        { 4, 1, 256, 128, 0, 130, 0, 1, false, false },
        { 2, 1, 256, 256, 970, 130, 0, 1, true, false },
        { 2, 2, 256, 256, 1091, 9, 0, 1, false, false },
        { 4, 2, 256, 256, 211, 70, 33, 1, false, false },
        { 3, 1, 256, 64, 500, 9, 100, 1, true, false },
        { 2, 1, 64, 64, 970, 130, 0, 1, true, false },
        { 14, 2, 128, 128, 0, 19, 0, 1, false, false },
        { 8, 1, 96, 96, 3, 18, 0, 1, false, false },
        { 2, 1, 80, 80, 970, 130, 0, 1, true, false },
        { 2, 1, 80, 32, 970, 130, 170, 1, false, true },
        { 1, 1, 80, 80, 300, 33, 77, 1, true, false },
        { 3, 1, 96, 96, 970, 130, 0, 1, false, false },
        { 2, 1, 96, 48, 970, 130, 170, 1, true, true },
        { 2, 1, 128, 128, 970, 130, 0, 1, true, false },
        { 2, 1, 128, 128, 970, 130, 170, 1, false, true },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        prefill(&c, &shapes[i], &rng);
    card_free(&c);
}

/* No kernel of attention spills. */
static void test_spills(void **state)
{
    (void)state;
    card c = { .seed = 0 };
    size_t count;
    const ash_gfx_kernel *all = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++)
        if (all[i].op == ASH_GFX_OP_ATTEND || all[i].op == ASH_GFX_OP_ATTEND_PREFILL ||
            all[i].op == ASH_GFX_OP_KV_STORE) {
            const gfx_kernel *k = card_kernel(&c, &all[i]);
            print_message("# measure %s: %u VGPRs, %u bytes of LDS\n", k->name, k->vgprs, k->lds_bytes);
            assert_int_equal(k->scratch_bytes + k->vgpr_spills + k->sgpr_spills, 0);
        }
    card_free(&c);
}

/* What one launch of a kernel of attention costs. */
static gfx_stats stats_of(card *c, const ash_gfx_kernel *k, const shape *s, test_rng *rng)
{
    problem p;
    make(&p, c, s, rng);
    bool prefill = k->op == ASH_GFX_OP_ATTEND_PREFILL;
    if (prefill)
        run(c, ASH_GFX_OP_KV_STORE, 0, ash_gfx_kv_store_grid(&p.a), &p.a);
    run(c, k->op, k->variant, prefill ? ash_gfx_attend_prefill_grid(&p.a) : ash_gfx_attend_grid(&p.a), &p.a);
    problem_free(&p);
    card_clear(c);
    return c->stats;
}

/* What 512 positions more cost one KV head that four heads of queries share: in decoding one token's, in prefill those
 * of 64 tokens. */
static void test_costs(void **state)
{
    (void)state;
    card c = { .seed = 0 };
    test_rng rng = test_rng_start("attend costs");
    size_t count;
    const ash_gfx_kernel *all = ash_gfx_kernels(&count);
    for (size_t i = 0; i < count; i++)
        for (int way = COST_PLAIN; way <= COST_OTHER; way++) {
            const ash_gfx_kernel *k = &all[i];
            bool prefill = k->op == ASH_GFX_OP_ATTEND_PREFILL;
            if (k->op != ASH_GFX_OP_ATTEND && !prefill)
                continue;
            shape s = { .heads = 4, .kv_heads = 1, .head_dim = k->variant, .rope_dim = k->variant, .pos = 511,
                        .tokens = prefill ? 64 : 1, .splits = 1, .fp8 = way == COST_OTHER };
            gfx_stats less = stats_of(&c, k, &s, &rng);
            s.pos += 512;
            gfx_stats more = stats_of(&c, k, &s, &rng);
            double cycles = (double)(gfx_issue_cycles(&more) - gfx_issue_cycles(&less));
            if (prefill) {
                double wmmas = (double)(more.insns[GFX_WMMA_F16] - less.insns[GFX_WMMA_F16]);
                cost_check(&c, k, way, cycles / wmmas - gfx_event_cycles(GFX_WMMA_F16));
            } else {
                cost_check(&c, k, way, cycles / (512 * k->variant / 32));
            }
        }
    card_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_decode), cmocka_unit_test(test_prefill),
                                        cmocka_unit_test(test_spills), cmocka_unit_test(test_costs) };
    return cmocka_run_group_tests_name("gfx12_attend", tests, NULL, NULL);
}
