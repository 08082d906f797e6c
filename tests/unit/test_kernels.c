/* Every matrix kernel against the scalar one of its operation and type, never against another fast one; the scalar ones
 * against source rows and plain sums. With --bench: speeds instead.
 * Buffers end at unmapped pages; a crash is one failed test. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "kernels/requant.h"
#include "tests/support/guard.h"
#include "tests/support/kernels.h"
#include "tests/support/kernel_bench.h"
#include "tests/support/support.h"
#include "tests/support/weights.h"

#define MAX_TOKENS 39
/* Every count up to 8, for which kernels have forms of their own, and what leaves rests of larger blocks, below and
 * above ASH_Q8_ROUNDS_FROM. */
static const int64_t token_counts[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 31, 32, 33, 37, 39 };

/* ---- activations ---- */

typedef enum acts_kind { ACTS_RANDOM, ACTS_ZERO, ACTS_EXTREME, ACTS_LARGEST, ACTS_LOWER, ACTS_SPARSE, ACTS_NAN } acts_kind;

typedef struct test_acts {
    ash_acts x;
    guard_buffer f32, q8, scale, sum, bf16;
} test_acts;

/* ACTS_NAN: one in token 1, which must not reach the others. */
static float act(acts_kind kind, int64_t t, int64_t k, test_rng *rng)
{
    switch (kind) {
    case ACTS_NAN: return t == 1 && k == 9 ? NAN : test_rng_float(rng);
    case ACTS_ZERO: return 0;
    case ACTS_EXTREME: return test_rng_below(rng, 2) ? 0x1p20f : -0x1p20f; /* every code -127 or 127 */
    case ACTS_LARGEST: return t % 2 ? -0x1p20f : 0x1p20f; /* of one sign, so that no sum of products is larger */
    case ACTS_LOWER: return (t % 2 ? -1 : 1) * 0x1p10f * (k % 256 == 0 ? 127 : 126.497f); /* lower bytes of 127 too */
    case ACTS_SPARSE: return k % 37 == 5 ? 1000 : 0x1p-130f * test_rng_float(rng);
    default: return 3 * test_rng_float(rng);
    }
}

#define FINE (2 * ASH_Q8_WIDE) /* for a group of columns: q8_fine */
static const int groups[] = { 32, ASH_Q8_WIDE, FINE };
enum { GROUPS = sizeof groups / sizeof groups[0] };

/* All forms; of the 8-bit one, scales of `group` columns. Beyond the padding a row holds what must not be read: NaN,
 * 0xff. */
static test_acts acts_make(int64_t tokens, int64_t cols, int64_t extra_stride, acts_kind kind, int group, test_rng *rng)
{
    int64_t padded = ash_pad_cols(cols), stride = padded + extra_stride, rows = group == FINE ? 2 * tokens : tokens;
    test_acts a = { .f32 = guard_alloc((size_t)(tokens * stride) * 4, 64),
                    .q8 = guard_alloc((size_t)(rows * stride), 64),
                    .scale = guard_alloc((size_t)(rows * stride / 32) * 4, 4),
                    .sum = guard_alloc((size_t)(rows * stride / 16) * 2, 2),
                    .bf16 = guard_alloc((size_t)(tokens * stride) * 2, 64) };
    float *f32 = a.f32.p;
    for (int64_t t = 0; t < tokens; t++) {
        float *row = f32 + t * stride;
        for (int64_t k = 0; k < padded; k++)
            row[k] = k < cols ? act(kind, t, k, rng) : 0;
        int8_t *q8 = (int8_t *)a.q8.p + t * stride;
        float *scale = (float *)a.scale.p + t * stride / 32;
        int16_t *sum = (int16_t *)a.sum.p + t * stride / 16;
        if (group == FINE)
            ash_quantize_fine_scalar(row, padded, q8, scale, sum, tokens * stride);
        else
            ash_quantize_q8_scalar(row, padded, group, q8, scale, sum);
        ash_to_bf16_scalar(row, padded, (uint16_t *)a.bf16.p + t * stride);
    }
    a.x = (ash_acts){ .tokens = tokens, .cols = cols, .stride = stride, .f32 = f32, .q8 = a.q8.p, .q8_scale = a.scale.p,
                      .q8_sum = a.sum.p, .q8_wide = group != 32, .q8_fine = group == FINE, .bf16 = a.bf16.p };
    return a;
}

static void acts_free(test_acts *a)
{
    guard_free(&a->f32);
    guard_free(&a->q8);
    guard_free(&a->scale);
    guard_free(&a->sum);
    guard_free(&a->bf16);
}

/* `count` tokens from `first` on, of all that there are. Those of q8_fine go to buffers of `own`, where the lower rows lie
 * behind them; acts_free frees it. */
static ash_acts acts_part(const test_acts *a, int64_t first, int64_t count, test_acts *own)
{
    ash_acts x = a->x;
    int64_t from = first * x.stride, size = count * x.stride, to_lower = x.tokens * x.stride;
    *own = (test_acts){ 0 };
    x.f32 += from, x.q8 += from, x.q8_scale += from / 32, x.q8_sum += from / 16, x.bf16 += from;
    x.tokens = count;
    if (!x.q8_fine)
        return x;
    own->q8 = guard_alloc((size_t)(2 * size), 64);
    own->scale = guard_alloc((size_t)(2 * size / 32) * 4, 4);
    own->sum = guard_alloc((size_t)(2 * size / 16) * 2, 2);
    for (int64_t lower = 0; lower < 2; lower++) {
        int64_t at = lower * to_lower, to = lower * size;
        memcpy((int8_t *)own->q8.p + to, x.q8 + at, (size_t)size);
        memcpy((float *)own->scale.p + to / 32, x.q8_scale + at / 32, (size_t)(size / 32) * 4);
        memcpy((int16_t *)own->sum.p + to / 16, x.q8_sum + at / 16, (size_t)(size / 16) * 2);
    }
    x.q8 = own->q8.p, x.q8_scale = own->scale.p, x.q8_sum = own->sum.p;
    return x;
}

static double value_8(const ash_acts *x, int64_t row, int64_t k)
{
    return (double)x->q8[row * x->stride + k] * (double)x->q8_scale[row * (x->stride / 32) + k / 32];
}

/* x[k] of a token as the operation takes it. */
static double value_of(const ash_acts *x, ash_op op, int64_t t, int64_t k)
{
    int64_t at = t * x->stride + k;
    if (op == ASH_OP_MATMUL_Q8)
        return value_8(x, t, k) + (x->q8_fine ? value_8(x, x->tokens + t, k) : 0);
    return (double)(op == ASH_OP_MATMUL_BF16 ? ash_bf16_to_f32(x->bf16[at]) : x->f32[at]);
}

/* |x[k]| of kernels.h's bounds */
static double size_of(const ash_acts *x, ash_op op, int64_t t, int64_t k)
{
    if (op == ASH_OP_MATMUL_Q8 && x->q8_fine)
        return fabs(value_8(x, t, k)) + fabs(value_8(x, x->tokens + t, k));
    return fabs(value_of(x, op, t, k));
}

/* sum_k |W|' |x| of kernels.h */
static double magnitude(const test_matrix *m, const ash_acts *x, int64_t t, int64_t r, ash_op op)
{
    double sum = 0;
    for (int64_t k = 0; k < m->w.cols; k++)
        sum += (double)m->magnitude[r * m->w.cols + k] * size_of(x, op, t, k);
    return sum;
}

/* What MATMUL_BF16 may drop as too small. */
static double flushed(const test_matrix *m, const ash_acts *x, int64_t t)
{
    double scale = 1, sum = 0;
    for (size_t i = 0; i < m->scale.size / sizeof(float); i++)
        scale = fmax(scale, (double)((const float *)m->scale.p)[i]);
    for (int64_t k = 0; k < m->w.cols; k++)
        sum += fabs(value_of(x, ASH_OP_MATMUL_BF16, t, k));
    return 0x1p-126 * ((double)m->w.cols * scale + sum);
}

/* The bounds that kernels.h states, of what rounds once an operation and of what underflows. */
static double of_roundings(ash_op op, double cols, double size)
{
    return ((op == ASH_OP_MATMUL_Q8 ? cols / 4 : cols) + 8) * 0x1p-24 * size;
}
static double of_underflow(double cols) { return cols * 0x1p-126; }

static double tolerance(const test_matrix *m, const ash_acts *x, int64_t t, int64_t r, ash_op op)
{
    double cols = (double)m->w.cols;
    return of_roundings(op, cols, magnitude(m, x, t, r, op)) +
           (op == ASH_OP_MATMUL_BF16 ? flushed(m, x, t) : of_underflow(cols));
}

static bool agree(double got, double want, double allowed)
{
    return isnan(want) ? isnan(got) : fabs(got - want) <= allowed;
}

/* ---- one guarded call ---- */

typedef struct matmul_call {
    ash_matmul_fn *fn;
    const ash_matrix *w;
    const ash_acts *x;
    int64_t first, panels, token_stride, panel_stride;
    float *y;
    void *scratch;
} matmul_call;

static void run_matmul(void *context)
{
    matmul_call *c = context;
    c->fn(c->w, c->first, c->panels, c->x, c->y, c->token_stride, c->panel_stride, c->scratch);
}

static guard_buffer scratch_alloc(void) { return guard_alloc(ASH_SCRATCH_BYTES, 64); }

/* Values of y that a call does not own must still be fill. */
static void check_canaries(const char *name, const matmul_call *c, const guard_buffer *y)
{
    const uint32_t *bits = y->p;
    for (int64_t i = 0; i < (int64_t)(y->size / 4); i++) {
        int64_t in_token = i % c->token_stride, panel = in_token / c->panel_stride;
        bool owned = panel < c->panels && in_token % c->panel_stride < 16;
        if (!owned && bits[i] != 0xffffffff)
            fail_msg("%s wrote outside its output, at float %lld", name, (long long)i);
    }
    if (!guard_slack_intact(y))
        fail_msg("%s wrote around its output", name);
}

/* Calls the kernel on fresh output; `y` has room for x->tokens * token_stride floats. */
static void guarded_matmul(const char *name, matmul_call *c, guard_buffer *y)
{
    guard_refill(y);
    c->y = y->p;
    int raised = guard_run(run_matmul, c);
    if (raised)
        fail_msg("%s: signal %d at %s [%lld x %lld], %lld tokens, panels %lld + %lld", name, raised,
                 ash_dtype_name(c->w->dtype), (long long)c->w->rows, (long long)c->w->cols, (long long)c->x->tokens,
                 (long long)c->first, (long long)c->panels);
    check_canaries(name, c, y);
}

/* ---- matrix products ---- */

typedef struct matmul_case {
    const ash_kernel *kernel;
    test_matrix m;
    test_acts a;
    float *want; /* [MAX_TOKENS][panels * 16], of the scalar kernel */
    double *allowed;
    float *rounded; /* the same of weights as kernels/requant.h makes them, where the kernel rounds; else NULL */
    double *rounded_allowed;
    void *scratch;
} matmul_case;

static void compare_outputs(const matmul_case *mc, const matmul_call *c, const float *y, const char *what)
{
    int64_t rows = (mc->m.w.rows + 15) / 16 * 16;
    bool rounds = mc->rounded && ash_q8_rounds(mc->kernel->level, mc->m.w.dtype, c->x->tokens);
    const float *wanted = rounds ? mc->rounded : mc->want;
    const double *bounds = rounds ? mc->rounded_allowed : mc->allowed;
    for (int64_t t = 0; t < c->x->tokens; t++) {
        for (int64_t i = 0; i < c->panels; i++) {
            for (int64_t r = 0; r < 16; r++) {
                int64_t row = 16 * (c->first + i) + r;
                double got = (double)y[t * c->token_stride + i * c->panel_stride + r];
                double want = (double)wanted[t * rows + row], allowed = bounds[t * rows + row];
                if (row >= mc->m.w.rows && isnan(want)) /* padding times NaN: nobody reads it */
                    continue;
                if (!agree(got, want, allowed))
                    fail_msg("%s: %s, [%lld x %lld], %lld tokens, panels from %lld: token %lld, row %lld: %.9g, "
                             "scalar %.9g, allowed %.3g", mc->kernel->name, what, (long long)mc->m.w.rows,
                             (long long)mc->m.w.cols,
                             (long long)c->x->tokens, (long long)c->first, (long long)t, (long long)row, got, want,
                             allowed);
            }
        }
    }
}

/* The scalar result and the allowance of each output; padding rows must be exactly 0. */
static void fill_wanted(matmul_case *mc, ash_matmul_fn *scalar)
{
    const ash_matrix *w = &mc->m.w;
    int64_t panels = (w->rows + 15) / 16, rows = panels * 16;
    mc->want = malloc((size_t)(MAX_TOKENS * rows) * sizeof *mc->want);
    mc->allowed = calloc((size_t)(MAX_TOKENS * rows), sizeof *mc->allowed);
    scalar(w, 0, panels, &mc->a.x, mc->want, rows, 16, mc->scratch);
    for (int64_t t = 0; t < MAX_TOKENS; t++)
        for (int64_t r = 0; r < w->rows; r++)
            mc->allowed[t * rows + r] = tolerance(&mc->m, &mc->a.x, t, r, mc->kernel->op);
}

/* The same of rounded weights, of the first `tokens`; a scale that is not finite makes a row NaN. */
static void fill_rounded(matmul_case *mc, int64_t tokens)
{
    const ash_matrix *w = &mc->m.w;
    const ash_acts *x = &mc->a.x;
    int64_t rows = (w->rows + 15) / 16 * 16;
    double *weight = malloc((size_t)w->cols * sizeof *weight);
    mc->rounded = calloc((size_t)(tokens * rows), sizeof *mc->rounded);
    mc->rounded_allowed = calloc((size_t)(tokens * rows), sizeof *mc->rounded_allowed);
    for (int64_t r = 0; r < rows; r++) { /* padding rows too, which are zeros */
        for (int64_t k = 0; k < w->cols; k += ASH_REQUANT_MAX) {
            int8_t codes[ASH_REQUANT_MAX];
            float scale;
            ash_requantize(w, r / 16, (int)(r % 16), k, ASH_REQUANT_MAX, codes, &scale);
            for (int64_t i = 0; i < ASH_REQUANT_MAX && k + i < w->cols; i++)
                weight[k + i] = (double)codes[i] * (double)scale;
        }
        for (int64_t t = 0; t < tokens; t++) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < w->cols; k++) {
                sum += weight[k] * value_of(x, ASH_OP_MATMUL_Q8, t, k);
                size += fabs(weight[k]) * size_of(x, ASH_OP_MATMUL_Q8, t, k);
            }
            mc->rounded[t * rows + r] = (float)sum;
            if (r < w->rows)
                mc->rounded_allowed[t * rows + r] =
                    of_roundings(ASH_OP_MATMUL_Q8, (double)w->cols, size) + of_underflow((double)w->cols);
        }
    }
    free(weight);
}

static void check_tokens(matmul_case *mc, const char *what, bool all_counts)
{
    const ash_kernel *k = mc->kernel;
    int64_t panels = (mc->m.w.rows + 15) / 16;
    for (size_t i = 0; i < sizeof token_counts / sizeof token_counts[0]; i++) {
        if (!all_counts && token_counts[i] > 8 && token_counts[i] < ASH_Q8_ROUNDS_FROM - 1)
            continue;
        test_acts own;
        ash_acts x = acts_part(&mc->a, 0, token_counts[i], &own);
        int64_t panel_stride = i % 2 ? 16 : 32;
        matmul_call c = { .fn = (ash_matmul_fn *)k->fn, .w = &mc->m.w, .x = &x, .panels = panels,
                          .scratch = mc->scratch, .token_stride = panels * panel_stride + (int64_t)i % 3,
                          .panel_stride = panel_stride };
        guard_buffer y = guard_alloc((size_t)(x.tokens * c.token_stride) * 4, 4);
        guarded_matmul(k->name, &c, &y);
        compare_outputs(mc, &c, y.p, what);
        guard_free(&y);
        acts_free(&own);
    }
}

/* The same bits whatever part of the panels a call covers. */
static void check_splits(matmul_case *mc, int64_t tokens)
{
    int64_t panels = (mc->m.w.rows + 15) / 16, stride = panels * 16;
    test_acts own;
    ash_acts x = acts_part(&mc->a, 0, tokens, &own);
    matmul_call c = { .fn = (ash_matmul_fn *)mc->kernel->fn, .w = &mc->m.w, .x = &x, .panels = panels,
                      .scratch = mc->scratch, .token_stride = stride, .panel_stride = 16 };
    guard_buffer whole = guard_alloc((size_t)(tokens * stride) * 4, 4);
    guarded_matmul(mc->kernel->name, &c, &whole);
    for (int64_t first = 0; first < panels; first++) {
        for (int64_t count = 1; first + count <= panels; count++) {
            c.first = first;
            c.panels = count;
            guard_buffer part = guard_alloc((size_t)((tokens - 1) * stride + count * 16) * 4, 4);
            guarded_matmul(mc->kernel->name, &c, &part);
            compare_outputs(mc, &c, part.p, "part");
            for (int64_t t = 0; t < tokens; t++) {
                const float *alone = (float *)part.p + t * stride, *among = (float *)whole.p + t * stride + first * 16;
                if (memcmp(alone, among, (size_t)count * 64) != 0)
                    fail_msg("%s: panels %lld + %lld alone give other bits than all of them, token %lld of %lld",
                             mc->kernel->name, (long long)first, (long long)count, (long long)t, (long long)tokens);
            }
            guard_free(&part);
        }
    }
    guard_free(&whole);
    acts_free(&own);
}

/* ---- scalar against source rows ---- */

static void check_scalar(matmul_case *mc, const char *what)
{
    const ash_matrix *w = &mc->m.w;
    int64_t rows = (w->rows + 15) / 16 * 16;
    const ash_acts *x = &mc->a.x;
    for (int64_t t = 0; t < 3; t++) {
        for (int64_t r = 0; r < rows; r++) {
            if (r >= w->rows && isnan(mc->want[t * rows + r]))
                continue;
            double sum = 0;
            for (int64_t k = 0; k < w->cols && r < w->rows; k++)
                sum += (double)mc->m.values[r * w->cols + k] * value_of(x, mc->kernel->op, t, k);
            /* a decoded weight rounds once, and so does the result */
            double allowed = r < w->rows ? 0x1p-23 * magnitude(&mc->m, x, t, r, mc->kernel->op) + 0x1p-149 : 0;
            if (!agree((double)mc->want[t * rows + r], sum, allowed))
                fail_msg("%s: %s, [%lld x %lld]: token %lld, row %lld: %.9g, from source rows %.9g", mc->kernel->name,
                         what, (long long)w->rows, (long long)w->cols, (long long)t, (long long)r,
                         (double)mc->want[t * rows + r], sum);
        }
    }
}

/* ---- one test a kernel ---- */

static void skip_where_missing(const ash_kernel *k)
{
    if (!ash_level_has(k->level))
        test_skip("this processor lacks the kernel's instructions");
}

static const struct { weight_kind weights; acts_kind acts; const char *name; } patterns[] = {
    { WEIGHT_RANDOM, ACTS_RANDOM, "random" },          { WEIGHT_ZERO, ACTS_RANDOM, "zero weights" },
    { WEIGHT_RANDOM, ACTS_ZERO, "zero activations" },  { WEIGHT_EXTREME, ACTS_EXTREME, "extremes" },
    { WEIGHT_RUNS, ACTS_RANDOM, "runs" },              { WEIGHT_RANDOM, ACTS_SPARSE, "outliers" },
    { WEIGHT_EXTREME, ACTS_RANDOM, "extreme weights" }, { WEIGHT_NAN, ACTS_RANDOM, "a NaN weight" },
    { WEIGHT_RANDOM, ACTS_NAN, "a NaN activation" },   { WEIGHT_EXTREME, ACTS_LARGEST, "the largest sums" },
    { WEIGHT_EXTREME, ACTS_LOWER, "the largest sums of both bytes" },
};
static const int64_t widths[] = { 32, 64, 96, 256, 320, 576, 640, 896, 1536, 17, 100 };

static void one_matmul(const ash_kernel *k, int64_t rows, int64_t cols, size_t pattern, ash_scale_kind scale_kind,
                       int group, guard_buffer *scratch, test_rng *rng)
{
    const char *what = patterns[pattern].name;
    matmul_case mc = { .kernel = k, .scratch = scratch->p };
    mc.m = weights_make(k->dtype, rows, cols, patterns[pattern].weights, scale_kind, rng);
    mc.a = acts_make(MAX_TOKENS, cols, pattern % 2 ? 64 : 0, patterns[pattern].acts, group, rng);
    fill_wanted(&mc, (ash_matmul_fn *)test_scalar_of(k)->fn);
    if (k->op == ASH_OP_MATMUL_Q8 && ash_q8_rounds(k->level, k->dtype, MAX_TOKENS))
        fill_rounded(&mc, MAX_TOKENS);
    if (k->level == ASH_LEVEL_SCALAR)
        check_scalar(&mc, what);
    check_tokens(&mc, what, pattern == 0 && k->level != ASH_LEVEL_SCALAR);
    if (pattern == 0 && cols <= 320) {
        check_splits(&mc, 1);
        check_splits(&mc, 9);
        check_splits(&mc, ASH_Q8_ROUNDS_FROM);
    }
    weights_free(&mc.m);
    acts_free(&mc.a);
    free(mc.want);
    free(mc.allowed);
    free(mc.rounded);
    free(mc.rounded_allowed);
}

static void test_matmul(void **state)
{
    const ash_kernel *k = *state;
    skip_where_missing(k);
    test_rng rng = test_rng_start(k->name);
    guard_buffer scratch = scratch_alloc();
    bool is_float = ash_dtype_find(k->dtype)->block_elems == 1;
    bool q8 = k->op == ASH_OP_MATMUL_Q8, wide = q8 && ash_q8_takes_wide(k->level, k->dtype, MAX_TOKENS);
    for (size_t c = 0; c < sizeof widths / sizeof widths[0]; c++) {
        if (!is_float && widths[c] % 32 != 0)
            continue;
        for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
            if ((patterns[p].weights == WEIGHT_NAN && !is_float) || (p > 0 && widths[c] > 640))
                continue;
            int64_t rows = p > 0 ? 18 : widths[c] > 640 ? 32 : 35;
            ash_scale_kind kinds[] = { ASH_SCALE_TENSOR, ASH_SCALE_ROW, ASH_SCALE_BLOCK128 };
            for (int s = 0; s < (k->dtype == ASH_F8_E4M3 ? 3 : 1); s++)
                for (int g = 0; g < (q8 ? GROUPS : 1); g++)
                    if (groups[g] != ASH_Q8_WIDE || wide || p == 0)
                        one_matmul(k, rows, widths[c], p, k->dtype == ASH_F8_E4M3 ? kinds[s] : ASH_SCALE_NONE,
                                   groups[g], &scratch, &rng);
        }
    }
    guard_free(&scratch);
}

typedef struct row_call {
    ash_row_fn *fn;
    const ash_matrix *w;
    int64_t row;
    float *out;
} row_call;

static void run_row(void *context)
{
    row_call *c = context;
    c->fn(c->w, c->row, c->out);
}

static void test_row(void **state)
{
    const ash_kernel *k = *state;
    skip_where_missing(k);
    test_rng rng = test_rng_start(k->name);
    bool is_float = ash_dtype_find(k->dtype)->block_elems == 1;
    for (size_t c = 0; c < sizeof widths / sizeof widths[0]; c++) {
        if (!is_float && widths[c] % 32 != 0)
            continue;
        ash_scale_kind kind = k->dtype != ASH_F8_E4M3 ? ASH_SCALE_NONE : (ash_scale_kind)(1 + c % 3);
        test_matrix m = weights_make(k->dtype, 21, widths[c], c % 2 ? WEIGHT_RANDOM : WEIGHT_EXTREME, kind, &rng);
        for (int64_t r = 0; r < 21; r++) {
            guard_buffer out = guard_alloc((size_t)widths[c] * 4, 4);
            row_call call = { (ash_row_fn *)k->fn, &m.w, r, out.p };
            int raised = guard_run(run_row, &call);
            if (raised)
                fail_msg("%s: signal %d, %lld columns", k->name, raised, (long long)widths[c]);
            if (!guard_slack_intact(&out))
                fail_msg("%s wrote around its output", k->name);
            for (int64_t i = 0; i < widths[c]; i++)
                if (((float *)out.p)[i] != m.values[r * widths[c] + i])
                    fail_msg("%s: row %lld, column %lld of %lld: %.9g, source %.9g", k->name, (long long)r,
                             (long long)i, (long long)widths[c], (double)((float *)out.p)[i],
                             (double)m.values[r * widths[c] + i]);
            guard_free(&out);
        }
        weights_free(&m);
    }
}

/* ---- a damaged scale ---- */

/* A first scale of row 3 is infinite and one of row 5 NaN: a kernel that rounds weights makes these rows NaN, whatever
 * else is in them, and no other. */
static void test_scale_not_finite(void **state)
{
    (void)state;
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    test_rng rng = test_rng_start("scale not finite");
    guard_buffer scratch = scratch_alloc();
    float y[16 * ASH_Q8_ROUNDS_FROM];
    for (size_t i = 0; i < count; i++) {
        const ash_kernel *k = &list[i];
        if (k->op != ASH_OP_MATMUL_Q8 || !ash_q8_rounds(k->level, k->dtype, ASH_Q8_ROUNDS_FROM) ||
            !ash_level_has(k->level))
            continue;
        test_matrix m = weights_make(k->dtype, 16, 256, WEIGHT_RANDOM, ASH_SCALE_NONE, &rng);
        for (int row = 3; row <= 5; row += 2) { /* where format/tile.h has it */
            uint8_t *d = (uint8_t *)m.data.p + (k->dtype == ASH_Q6_K ? 256 + 2 * row : 16 * row);
            d[0] = 0x00, d[1] = row == 3 ? 0x7c : 0x7e;
        }
        for (int g = 0; g < GROUPS; g++) {
            test_acts a = acts_make(ASH_Q8_ROUNDS_FROM, 256, 0, ACTS_RANDOM, groups[g], &rng);
            ((ash_matmul_fn *)k->fn)(&m.w, 0, 1, &a.x, y, 16, 16, scratch.p);
            acts_free(&a);
            for (int64_t j = 0; j < 16 * ASH_Q8_ROUNDS_FROM; j++)
                if ((j % 16 == 3 || j % 16 == 5) != (bool)isnan(y[j]))
                    fail_msg("%s: row %lld of token %lld is %g", k->name, (long long)(j % 16), (long long)(j / 16),
                             (double)y[j]);
        }
        weights_free(&m);
    }
    guard_free(&scratch);
}

/* ---- long rows ---- */

/* Rows so long that a kernel goes over them in parts, and over these tokens, as many as scratch and cache cannot hold, in
 * turns: the last token is what the weights say, and where weights are rounded every token has the same bits as among
 * fewer. */
static void long_rows(const ash_kernel *k, int64_t tokens, int group, guard_buffer *scratch, test_rng *rng)
{
    enum { COLS = 32768 + 256, FEWER = ASH_Q8_ROUNDS_FROM };
    float *all = malloc((size_t)tokens * 16 * sizeof *all), want[16], some[16 * FEWER];
    test_acts a = acts_make(tokens, COLS, 0, ACTS_RANDOM, group, rng), own;
    matmul_case mc = { .kernel = k, .m = weights_make(k->dtype, 16, COLS, WEIGHT_RANDOM, ASH_SCALE_NONE, rng),
                       .a.x = acts_part(&a, tokens - 1, 1, &own) };
    const ash_acts *last = &mc.a.x;
    bool rounds = ash_q8_rounds(k->level, k->dtype, tokens);
    ((ash_matmul_fn *)k->fn)(&mc.m.w, 0, 1, &a.x, all, 16, 16, scratch->p);
    if (rounds)
        fill_rounded(&mc, 1);
    else
        ((ash_matmul_fn *)test_scalar_of(k)->fn)(&mc.m.w, 0, 1, last, want, 16, 16, scratch->p);
    for (int r = 0; r < 16; r++) {
        double got = (double)all[16 * (tokens - 1) + r], right = (double)(rounds ? mc.rounded[r] : want[r]);
        double allowed = rounds ? mc.rounded_allowed[r] : tolerance(&mc.m, last, 0, r, k->op);
        if (!agree(got, right, allowed))
            fail_msg("%s: %lld tokens, scales of %d, row %d: %.9g, not %.9g, allowed %.3g", k->name, (long long)tokens,
                     group, r, got, right, allowed);
    }
    for (int64_t first = 0; rounds && first <= tokens - FEWER; first += tokens - FEWER) {
        test_acts some_own;
        ash_acts x = acts_part(&a, first, FEWER, &some_own);
        ((ash_matmul_fn *)k->fn)(&mc.m.w, 0, 1, &x, some, 16, 16, scratch->p);
        if (memcmp(some, all + 16 * first, sizeof some) != 0)
            fail_msg("%s: tokens from %lld alone give other bits", k->name, (long long)first);
        acts_free(&some_own);
    }
    acts_free(&own);
    acts_free(&a);
    weights_free(&mc.m);
    free(mc.rounded);
    free(mc.rounded_allowed);
    free(all);
}

static void test_long_rows(void **state)
{
    (void)state;
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    test_rng rng = test_rng_start("long rows");
    guard_buffer scratch = scratch_alloc();
    static const int64_t tokens[] = { 1, ASH_Q8_FEW / 2, ASH_Q8_FEW, 32, 49, 130 };
    for (size_t i = 0; i < count; i++) {
        const ash_kernel *k = &list[i];
        if (k->op != ASH_OP_MATMUL_Q8 || k->level == ASH_LEVEL_SCALAR || !ash_level_has(k->level))
            continue;
        for (size_t t = 0; t < sizeof tokens / sizeof tokens[0]; t++) {
            if (ash_q8_rounds(k->level, k->dtype, tokens[t]) ? tokens[t] != 49 : tokens[t] == 49)
                continue; /* one count of each is enough */
            long_rows(k, tokens[t], ash_q8_takes_wide(k->level, k->dtype, tokens[t]) ? ASH_Q8_WIDE : 32, &scratch, &rng);
            long_rows(k, tokens[t], FINE, &scratch, &rng);
        }
    }
    guard_free(&scratch);
}

/* ---- what ties the 8-bit form to the float form ---- */

/* |x - q8 scale| <= scale / 2 (and the rounding of scale and quotient, 2 * 2^-24 * 127 steps of it): so the products
 * differ by at most sum_k |W| scale / 2, beside what both round. */
static void test_q8_near_f32(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("q8 near f32");
    guard_buffer scratch = scratch_alloc();
    ash_kernels best;
    ash_kernels_init(&best, ASH_LEVEL_COUNT - 1);
    float y8[32 * 5], y32[32 * 5];
    for (int dtype = ASH_Q4_0; dtype < ASH_USABLE_DTYPES; dtype++) {
        test_matrix m = weights_make((ash_dtype)dtype, 32, 576, WEIGHT_RANDOM, ASH_SCALE_NONE, &rng);
        test_acts a = acts_make(5, 576, 0, ACTS_RANDOM, dtype % 2 ? ASH_Q8_WIDE : 32, &rng);
        best.matmul_q8[dtype](&m.w, 0, 2, &a.x, y8, 32, 16, scratch.p);
        best.matmul_f32[dtype](&m.w, 0, 2, &a.x, y32, 32, 16, scratch.p);
        double largest = 0;
        for (int64_t t = 0; t < 5; t++) {
            for (int64_t r = 0; r < 32; r++) {
                double bound = tolerance(&m, &a.x, t, r, ASH_OP_MATMUL_F32) +
                               tolerance(&m, &a.x, t, r, ASH_OP_MATMUL_Q8);
                for (int64_t k = 0; k < 576; k++)
                    bound += fabs((double)m.values[r * 576 + k]) * (0.5 + 254 * 0x1p-24) *
                             (double)a.x.q8_scale[t * (a.x.stride / 32) + k / 32];
                double difference = fabs((double)y8[t * 32 + r] - (double)y32[t * 32 + r]);
                if (!(difference <= bound))
                    fail_msg("%s: 8-bit %.9g, float %.9g, allowed %.3g", ash_dtype_name((uint32_t)dtype),
                             (double)y8[t * 32 + r], (double)y32[t * 32 + r], bound);
                largest = fmax(largest, difference / bound);
            }
        }
        assert_true(largest > 0); /* the forms do differ: a product that ignores q8 would not show otherwise */
        weights_free(&m);
        acts_free(&a);
    }
    guard_free(&scratch);
}

/* ---- source rows against values from elsewhere ---- */

/* tests/fixtures/blocks_decoded.bin: random blocks of each quantized type with their values as gguf-py's dequantize
 * gives them. A record: name[8], u32 blocks, u32 elements a block, the blocks, the values as f32. */
static void test_decode_row(void **state)
{
    (void)state;
    size_t size, at = 0;
    int types = 0;
    uint8_t *file = test_read_file("tests/fixtures/blocks_decoded.bin", &size);
    while (at < size) {
        char name[9] = "";
        uint32_t counts[2];
        memcpy(name, file + at, 8);
        memcpy(counts, file + at + 8, 8);
        ash_dtype dtype = ash_dtype_from_name(name);
        assert_true(ash_dtype_usable(dtype));
        const ash_dtype_info *info = ash_dtype_find(dtype);
        assert_int_equal(counts[1], info->block_elems);
        int64_t cols = (int64_t)counts[0] * counts[1];
        const uint8_t *blocks = file + at + 16, *values = blocks + (size_t)counts[0] * info->block_bytes;
        guard_buffer row = guard_alloc((size_t)counts[0] * info->block_bytes, 1);
        guard_buffer out = guard_alloc((size_t)cols * 4, 4);
        memcpy(row.p, blocks, row.size);
        for (int64_t wanted = cols; wanted > 0; wanted -= 32) { /* a row may end inside a block */
            ash_decode_row(dtype, row.p, wanted, out.p);
            for (int64_t k = 0; k < wanted; k++) {
                float value;
                memcpy(&value, values + 4 * k, 4);
                if (((float *)out.p)[k] != value)
                    fail_msg("%s: element %lld is %.9g, should be %.9g", name, (long long)k,
                             (double)((float *)out.p)[k], (double)value);
            }
        }
        guard_free(&row);
        guard_free(&out);
        at += 16 + (size_t)counts[0] * info->block_bytes + (size_t)cols * 4;
        types++;
    }
    assert_int_equal(types, ASH_USABLE_DTYPES - ASH_Q4_0);
    free(file);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return kernel_bench(argc > 2 ? argv[2] : "");
    size_t count, n = 0;
    const ash_kernel *list = ash_kernel_list(&count);
    struct CMUnitTest *tests = calloc(count + 8, sizeof *tests);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_decode_row);
    for (size_t i = 0; i < count; i++)
        if (list[i].op <= ASH_OP_ROW)
            tests[n++] = (struct CMUnitTest){ list[i].name, list[i].op == ASH_OP_ROW ? test_row : test_matmul, NULL,
                                              NULL, (void *)(uintptr_t)&list[i] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_scale_not_finite);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_long_rows);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_q8_near_f32);
    n = test_choose(tests, n, argc, argv);
    int failed = _cmocka_run_group_tests("kernels", tests, n, NULL, NULL);
    free(tests);
    return failed != 0;
}
