/* Every kernel without a weight type against the scalar one of its operation, on adversarial inputs between unmapped pages;
 * the scalar ones against plain formulas. A crash is one failed test. Attention: test_attention.c. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "kernels/kernels.h"
#include "tests/support/guard.h"
#include "tests/support/kernels.h"
#include "tests/support/support.h"

static const int64_t lengths[] = { 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 576, 1000 };
#define LENGTHS (sizeof lengths / sizeof lengths[0])

/* ---- inputs ---- */

typedef enum input_kind { INPUT_RANDOM, INPUT_ZERO, INPUT_BITS, INPUT_EXTREME, INPUT_TINY, INPUT_KINDS } input_kind;
static const char *const input_names[] = { "random", "zero", "any finite bits", "extremes", "denormals" };

static float input(input_kind kind, test_rng *rng)
{
    static const float extremes[] = { FLT_MAX, -FLT_MAX, 0.0f, -0.0f, 448, -448, 464, 463.99f, 1, -87.5f, -103.9f, -110,
                                      89, 65504, 65520, 65519.9f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1p-126f,
                                      -0x1p-149f };
    switch (kind) {
    case INPUT_ZERO: return test_rng_below(rng, 2) ? 0.0f : -0.0f;
    case INPUT_BITS: {
        uint32_t bits = (uint32_t)test_rng_next(rng);
        return ash_f32_of_bits((bits & 0x7f800000) == 0x7f800000 ? bits & 0xbfffffff : bits);
    }
    case INPUT_EXTREME: return extremes[test_rng_below(rng, sizeof extremes / sizeof extremes[0])];
    case INPUT_TINY: return test_rng_float(rng) * 0x1p-126f;
    default: return 4 * test_rng_float(rng);
    }
}

static guard_buffer inputs(int64_t n, input_kind kind, test_rng *rng)
{
    guard_buffer b = guard_alloc((size_t)n * 4, 4);
    for (int64_t i = 0; i < n; i++)
        ((float *)b.p)[i] = input(kind, rng);
    return b;
}

/* ---- a guarded call ---- */

typedef struct op_call {
    const ash_kernel *kernel;
    const float *in, *in2;
    void *out, *out2, *out3;
    int64_t n, n2, n3;
    float parameter;
} op_call;

static void run_op(void *context)
{
    op_call *c = context;
    ash_any_fn *fn = c->kernel->fn;
    switch (c->kernel->op) {
    case ASH_OP_QUANTIZE_Q8: ((ash_quantize_q8_fn *)fn)(c->in, c->n, (int)c->n2, c->out, c->out2, c->out3); break;
    case ASH_OP_QUANTIZE_FINE:
        ((ash_quantize_fine_fn *)fn)(c->in, c->n, c->out, c->out2, c->out3, c->n2);
        break;
    case ASH_OP_ROUND_E4M3: ((ash_round_e4m3_fn *)fn)(c->out, c->n, c->parameter); break;
    case ASH_OP_MAX_ABS: *(float *)c->out = ((ash_max_abs_fn *)fn)(c->in, c->n); break;
    case ASH_OP_RMS_NORM: ((ash_rms_norm_fn *)fn)(c->in, c->in2, c->n, c->parameter, c->out); break;
    case ASH_OP_ROPE: ((ash_rope_fn *)fn)(c->out, c->n, c->n2, c->n3, c->in); break;
    case ASH_OP_SWIGLU: ((ash_swiglu_fn *)fn)(c->in, c->n, c->out); break;
    case ASH_OP_ADD: ((ash_add_fn *)fn)(c->out, c->in, c->n); break;
    case ASH_OP_TO_F16: ((ash_to_f16_fn *)fn)(c->in, c->n, c->out); break;
    case ASH_OP_TO_BF16: ((ash_to_bf16_fn *)fn)(c->in, c->n, c->out); break;
    default: fail_msg("%s: no such call", c->kernel->name);
    }
}

static void guarded(op_call *c, const ash_kernel *k)
{
    c->kernel = k;
    int raised = guard_run(run_op, c);
    if (raised)
        fail_msg("%s: signal %d, n = %lld", k->name, raised, (long long)c->n);
}

static const ash_kernel *kernel_here(void **state)
{
    const ash_kernel *k = *state;
    if (!ash_level_has(k->level))
        test_skip("this processor lacks the kernel's instructions");
    return k;
}

static void check_slack(const ash_kernel *k, const guard_buffer *b)
{
    if (!guard_slack_intact(b))
        fail_msg("%s wrote around its output", k->name);
}

/* Equal bits, any NaN for a NaN. */
static void check_bits(const ash_kernel *k, const char *what, const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (ash_f32_bits(got[i]) != ash_f32_bits(want[i]) && !(isnan(got[i]) && isnan(want[i])))
            fail_msg("%s: %s: element %lld of %lld: %a, scalar %a", k->name, what, (long long)i, (long long)n,
                     (double)got[i], (double)want[i]);
}

/* ---- elementwise operations ---- */

static void test_quantize_q8(void **state)
{
    const ash_kernel *k = kernel_here(state), *scalar = test_scalar_of(k);
    test_rng rng = test_rng_start(k->name);
    for (int both = 0; both < 80; both++) {
        int round = both / 2, group = both % 2 ? ASH_Q8_WIDE : 32;
        input_kind kind = (input_kind)(round % INPUT_KINDS);
        int64_t n = 64 * (1 + round % 9);
        guard_buffer x = inputs(n, kind, &rng), q[2], scale[2], sum[2];
        if (round >= 35)
            ((float *)x.p)[n / 2] = round % 2 ? NAN : -INFINITY;
        for (int i = 0; i < 2; i++) {
            q[i] = guard_alloc((size_t)n, 1);
            scale[i] = guard_alloc((size_t)n / 8, 4);
            sum[i] = guard_alloc((size_t)n / 8, 2);
            op_call c = { .in = x.p, .n = n, .n2 = group, .out = q[i].p, .out2 = scale[i].p, .out3 = sum[i].p };
            guarded(&c, i ? k : scalar);
            check_slack(k, &q[i]);
            check_slack(k, &scale[i]);
            check_slack(k, &sum[i]);
        }
        check_bits(k, input_names[kind], scale[1].p, scale[0].p, n / 32);
        assert_memory_equal(q[1].p, q[0].p, (size_t)n);
        assert_memory_equal(sum[1].p, sum[0].p, (size_t)n / 8);
        for (int64_t g = 0; g < n; g += 32) { /* a group's scale is that of its largest value */
            int64_t first = g / group * group, end = first + group < n ? first + group : n;
            float max = ash_max_abs_scalar((float *)x.p + first, end - first), s = ((float *)scale[1].p)[g / 32];
            assert_true(isnan(max) || isinf(max) ? isnan(s) : s == (max < ASH_Q8_TINY ? 0 : max / 127));
        }
        for (int64_t i = 0; i < n; i++) { /* |x - q scale| <= scale / 2, the roundings of quotient and scale aside */
            double s = (double)((float *)scale[1].p)[i / 32], code = ((int8_t *)q[1].p)[i];
            double value = (double)((float *)x.p)[i];
            assert_true(code >= -127);
            if (!isnan(s) && s > 0)
                assert_true(fabs(value - code * s) <= s * (0.5 + 254 * 0x1p-24) + 0x1p-149 * 127);
        }
        guard_free(&x);
        for (int i = 0; i < 2; i++) {
            guard_free(&q[i]);
            guard_free(&scale[i]);
            guard_free(&sum[i]);
        }
    }
}

/* Both rows are the scalar kernel's; together they are x to half a step of the lower one, or to a step where its code is
 * at an end. Roundings of quotient, product and scale: 3 * 2^-24 of 32,512 steps at most. */
static void test_quantize_fine(void **state)
{
    const ash_kernel *k = kernel_here(state), *scalar = test_scalar_of(k);
    test_rng rng = test_rng_start(k->name);
    int ends = 0;
    for (int round = 0; round < 40; round++) {
        input_kind kind = (input_kind)(round % INPUT_KINDS);
        int64_t n = 64 * (1 + round % 9), to_lower = n + 64 * (round % 2);
        guard_buffer x = inputs(n, kind, &rng), q[2], scale[2], sum[2];
        if (round >= 35)
            ((float *)x.p)[n / 2] = round % 2 ? NAN : -INFINITY;
        for (int i = 0; i < 2; i++) {
            q[i] = guard_alloc((size_t)(to_lower + n), 1);
            scale[i] = guard_alloc((size_t)(to_lower + n) / 8, 4);
            sum[i] = guard_alloc((size_t)(to_lower + n) / 8, 2);
            op_call c = { .in = x.p, .n = n, .n2 = to_lower, .out = q[i].p, .out2 = scale[i].p, .out3 = sum[i].p };
            guarded(&c, i ? k : scalar);
            check_slack(k, &q[i]);
            check_slack(k, &scale[i]);
            check_slack(k, &sum[i]);
            for (int64_t between = n; between < to_lower; between++) /* fresh buffers are full of these */
                assert_int_equal(((uint8_t *)q[i].p)[between], 0xff);
        }
        guard_buffer code = guard_alloc((size_t)n, 1), step = guard_alloc((size_t)n / 8, 4),
                     total = guard_alloc((size_t)n / 8, 2);
        ash_quantize_q8_scalar(x.p, n, ASH_Q8_WIDE, code.p, step.p, total.p);
        const int8_t *upper = q[1].p, *lower = upper + to_lower;
        const float *coarse = scale[1].p, *fine = coarse + to_lower / 32;
        check_bits(k, input_names[kind], coarse, step.p, n / 32);
        assert_memory_equal(upper, code.p, (size_t)n);
        assert_memory_equal(sum[1].p, total.p, (size_t)n / 8);
        check_bits(k, input_names[kind], fine, (float *)scale[0].p + to_lower / 32, n / 32);
        assert_memory_equal(lower, (int8_t *)q[0].p + to_lower, (size_t)n);
        assert_memory_equal((int16_t *)sum[1].p + to_lower / 16, (int16_t *)sum[0].p + to_lower / 16, (size_t)n / 8);
        for (int64_t i = 0; i < n; i++) {
            double s = (double)fine[i / 32], value = (double)((float *)x.p)[i];
            assert_true(lower[i] >= -127);
            if (!(s > 0)) { /* nothing, or not a number */
                assert_int_equal(lower[i], 0);
                continue;
            }
            bool end = lower[i] == 127 || lower[i] == -127;
            double off = fabs(value - (double)upper[i] * (double)coarse[i / 32] - (double)lower[i] * s);
            assert_true(s == (double)coarse[i / 32] / 256 &&
                        off <= s * ((end ? 1 : 0.5) + 3 * 32512 * 0x1p-24) + 0x1p-149 * 127);
            ends += end && off > 0.75 * s;
        }
        guard_free(&x);
        guard_free(&code);
        guard_free(&step);
        guard_free(&total);
        for (int i = 0; i < 2; i++) {
            guard_free(&q[i]);
            guard_free(&scale[i]);
            guard_free(&sum[i]);
        }
    }
    assert_true(ends > 0); /* codes of 128 have been asked for */
}

/* x = e4m3(x / scale) * scale by searching all codes for the nearest, ties to the even one. */
static float nearest_e4m3(float x, float scale)
{
    double y = fmin(fmax((double)(x / scale), -448), 448), best = 1e300; /* saturating */
    int code = 0;
    for (int c = 0; c < 0x7f; c++) {
        double distance = fabs(fabs(y) - (double)ash_e4m3_to_f32((uint8_t)c));
        if (distance < best || (distance == best && c % 2 == 0)) {
            best = distance;
            code = c;
        }
    }
    return copysignf(ash_e4m3_to_f32((uint8_t)code), (float)y) * scale;
}

static void test_round_e4m3(void **state)
{
    const ash_kernel *k = kernel_here(state), *scalar = test_scalar_of(k);
    test_rng rng = test_rng_start(k->name);
    static const float scales[] = { 1, 0.0123f, 3e-5f, 0x1p-30f, 77 };
    for (size_t l = 0; l < LENGTHS; l++) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            int64_t n = lengths[l];
            float scale = scales[(l + (size_t)kind) % 5];
            guard_buffer x = inputs(n, (input_kind)kind, &rng), y = guard_alloc((size_t)n * 4, 4);
            float *in = x.p;
            for (int64_t i = 0; i < n && kind == INPUT_RANDOM; i++) { /* all binades, and halves between codes */
                float below = ash_e4m3_to_f32((uint8_t)(i % 126)), above = ash_e4m3_to_f32((uint8_t)(i % 126 + 1));
                in[i] = i % 3 ? ldexpf(in[i], (int)(i % 20) - 10) * scale : 0.5f * (below + above) * scale;
            }
            if (n == 1000 && kind == INPUT_ZERO) {
                in[3] = NAN;
                in[4] = INFINITY;
                in[999] = -INFINITY;
            }
            float *want = malloc((size_t)n * 4);
            memcpy(want, in, (size_t)n * 4);
            memcpy(y.p, in, (size_t)n * 4);
            op_call a = { .out = want, .n = n, .parameter = scale }, b = { .out = y.p, .n = n, .parameter = scale };
            guarded(&a, scalar);
            guarded(&b, k);
            check_bits(k, input_names[kind], y.p, want, n);
            for (int64_t i = 0; i < n; i++)
                if (isfinite(in[i]) && want[i] != nearest_e4m3(in[i], scale))
                    fail_msg("%s: %a / %a gives %a, the nearest code %a", k->name, (double)in[i], (double)scale,
                             (double)want[i], (double)nearest_e4m3(in[i], scale));
            check_slack(k, &y);
            free(want);
            guard_free(&x);
            guard_free(&y);
        }
    }
}

static void test_max_abs(void **state)
{
    const ash_kernel *k = kernel_here(state);
    test_rng rng = test_rng_start(k->name);
    for (size_t l = 0; l < LENGTHS; l++) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            guard_buffer x = inputs(lengths[l], (input_kind)kind, &rng);
            float got = -1, want = 0;
            for (int64_t i = 0; i < lengths[l]; i++)
                want = fmaxf(want, fabsf(((float *)x.p)[i]));
            op_call c = { .in = x.p, .n = lengths[l], .out = &got };
            guarded(&c, k);
            check_bits(k, input_names[kind], &got, &want, 1);
            ((float *)x.p)[test_rng_below(&rng, (uint64_t)lengths[l])] = -NAN;
            guarded(&c, k);
            assert_true(isnan(got));
            guard_free(&x);
        }
    }
    float got = -1;
    op_call none = { .in = &got, .n = 0, .out = &got };
    guarded(&none, k);
    assert_true(got == 0);
}

static void test_rms_norm(void **state)
{
    const ash_kernel *k = kernel_here(state);
    test_rng rng = test_rng_start(k->name);
    for (size_t l = 0; l < LENGTHS; l++) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            int64_t n = lengths[l];
            guard_buffer x = inputs(n, (input_kind)kind, &rng), w = inputs(n, INPUT_RANDOM, &rng);
            guard_buffer y = guard_alloc((size_t)n * 4, 4);
            float eps = 1e-5f;
            op_call c = { .in = x.p, .in2 = w.p, .n = n, .parameter = eps, .out = y.p };
            guarded(&c, k);
            check_slack(k, &y);
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += (double)((float *)x.p)[i] * (double)((float *)x.p)[i];
            double factor = 1 / sqrt(sum / (double)n + (double)eps);
            for (int64_t i = 0; i < n; i++) {
                double xi = (double)((float *)x.p)[i], wi = (double)((float *)w.p)[i], got = (double)((float *)y.p)[i];
                double want = xi * factor * wi;
                /* three roundings of 2^-24; a factor or a product below the normal range keeps fewer bits */
                double allowed = fabs(want) * 3.1 * 0x1p-24 + 0x1p-149 * (1 + (1 + fabs(xi)) * fabs(wi));
                if (!(fabs(got - want) <= allowed))
                    fail_msg("%s: %s: element %lld of %lld: %a, should be %a", k->name, input_names[kind], (long long)i,
                             (long long)n, got, want);
            }
            memcpy(w.p, x.p, (size_t)n * 4); /* in place, with w = x */
            float *apart = malloc((size_t)n * 4);
            c.in2 = w.p;
            c.out = apart;
            guarded(&c, k);
            c.out = x.p;
            guarded(&c, k);
            check_bits(k, "in place", x.p, apart, n);
            free(apart);
            guard_free(&x);
            guard_free(&w);
            guard_free(&y);
        }
    }
}

static void test_rope(void **state)
{
    const ash_kernel *k = kernel_here(state), *scalar = test_scalar_of(k);
    test_rng rng = test_rng_start(k->name);
    static const int64_t dims[][2] = { { 64, 64 }, { 128, 128 }, { 80, 32 }, { 96, 96 }, { 18, 10 }, { 2, 2 },
                                      { 64, 26 } };
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            int64_t heads = 3, dim = dims[d][0], rope = dims[d][1];
            guard_buffer x = inputs(heads * dim, (input_kind)kind, &rng), cs = inputs(rope, INPUT_RANDOM, &rng);
            float *want = malloc((size_t)(heads * dim) * 4), *before = malloc((size_t)(heads * dim) * 4);
            memcpy(want, x.p, (size_t)(heads * dim) * 4);
            memcpy(before, x.p, (size_t)(heads * dim) * 4);
            op_call a = { .out = want, .n = heads, .n2 = dim, .n3 = rope, .in = cs.p }, b = a;
            b.out = x.p;
            guarded(&a, scalar);
            guarded(&b, k);
            check_bits(k, input_names[kind], x.p, want, heads * dim);
            check_slack(k, &x);
            for (int64_t h = 0; h < heads; h++)
                check_bits(k, "beyond rope_dim", (float *)x.p + h * dim + rope, before + h * dim + rope, dim - rope);
            const float *c = cs.p; /* the first pair, by the formula */
            float first[2] = { before[0] * c[0] - before[1] * c[1], before[1] * c[0] + before[0] * c[1] };
            check_bits(k, "formula", x.p, first, 2);
            free(want);
            free(before);
            guard_free(&x);
            guard_free(&cs);
        }
    }
}

static void test_swiglu(void **state)
{
    const ash_kernel *k = kernel_here(state);
    test_rng rng = test_rng_start(k->name);
    double worst = 0;
    for (int64_t panels = 1; panels <= 40; panels += 3) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            guard_buffer gu = inputs(panels * 32, (input_kind)kind, &rng), h = guard_alloc((size_t)panels * 64, 4);
            float *x = gu.p;
            for (int64_t i = 0; i < panels * 32 && kind == INPUT_RANDOM; i++)
                x[i] *= i / 16 % 2 ? 1 : 30; /* gates from -120 to 120 */
            op_call c = { .in = x, .n = panels, .out = h.p };
            guarded(&c, k);
            check_slack(k, &h);
            for (int64_t i = 0; i < panels * 16; i++) {
                double gate = (double)x[i / 16 * 32 + i % 16], up = (double)x[i / 16 * 32 + 16 + i % 16];
                double want = gate / (1 + exp(-gate)) * up, got = (double)((float *)h.p)[i];
                double allowed = fabs(want) * 4 * 0x1p-23 + 0x1p-126 * fmax(1, fabs(up));
                bool overflows = fabs(want) > (double)FLT_MAX * 0.999999;
                if (overflows ? fabs(got) < (double)FLT_MAX * 0.99999 : !(fabs(got - want) <= allowed))
                    fail_msg("%s: %s: gate %a, up %a: %a, should be %a", k->name, input_names[kind], gate, up, got,
                             want);
                /* no denormals: e^gate, silu(gate) and the result have all their bits */
                if (!overflows && gate > -87 && fabs(gate) > 0x1p-120 && fabs(want) > 0x1p-120)
                    worst = fmax(worst, fabs(got - want) / fabs(want));
            }
            guard_free(&gu);
            guard_free(&h);
        }
    }
    assert_true(worst < 4 * 0x1p-23);
}

static void test_add(void **state)
{
    const ash_kernel *k = kernel_here(state), *scalar = test_scalar_of(k);
    test_rng rng = test_rng_start(k->name);
    for (size_t l = 0; l < LENGTHS; l++) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            int64_t n = lengths[l];
            guard_buffer x = inputs(n, (input_kind)kind, &rng), y = inputs(n, (input_kind)kind, &rng);
            float *want = malloc((size_t)n * 4);
            memcpy(want, x.p, (size_t)n * 4);
            op_call a = { .out = want, .in = y.p, .n = n }, b = { .out = x.p, .in = y.p, .n = n };
            float first = want[0] + ((float *)y.p)[0];
            guarded(&a, scalar);
            guarded(&b, k);
            check_bits(k, input_names[kind], x.p, want, n);
            check_bits(k, "formula", x.p, &first, 1);
            check_slack(k, &x);
            free(want);
            guard_free(&x);
            guard_free(&y);
        }
    }
}

/* TO_F16 and TO_BF16. */
static void test_to_half(void **state)
{
    const ash_kernel *k = kernel_here(state), *scalar = test_scalar_of(k);
    const bool bf16 = k->op == ASH_OP_TO_BF16;
    test_rng rng = test_rng_start(k->name);
    for (size_t l = 0; l < LENGTHS; l++) {
        for (int kind = 0; kind < INPUT_KINDS; kind++) {
            int64_t n = lengths[l];
            guard_buffer x = inputs(n, (input_kind)kind, &rng), y = guard_alloc((size_t)n * 2, 2);
            for (int64_t i = 0; i < n && kind == INPUT_ZERO; i++) { /* every half, and the middle to its neighbour */
                uint16_t h = (uint16_t)(test_rng_below(&rng, bf16 ? 0x7f7f : 0x7bff) | (i & 1) << 15);
                float a = bf16 ? ash_bf16_to_f32(h) : ash_f16_to_f32(h);
                float b = bf16 ? ash_bf16_to_f32((uint16_t)(h + 1)) : ash_f16_to_f32((uint16_t)(h + 1));
                ((float *)x.p)[i] = i % 3 ? a + (b - a) / 2 : a;
            }
            uint16_t *want = malloc((size_t)n * 2);
            op_call a = { .in = x.p, .n = n, .out = want }, b = { .in = x.p, .n = n, .out = y.p };
            guarded(&a, scalar);
            guarded(&b, k);
            assert_memory_equal(y.p, want, (size_t)n * 2);
            check_slack(k, &y);
            for (int64_t i = 0; i < n && bf16; i++) {
                float value = ((const float *)x.p)[i];
                uint16_t rounded = ash_f32_to_bf16(fabsf(value) < FLT_MIN ? copysignf(0, value) : value);
                assert_int_equal(want[i], rounded);
            }
            free(want);
            guard_free(&x);
            guard_free(&y);
        }
    }
}

int main(void)
{
    static const CMUnitTestFunction by_op[ASH_OP_COUNT] = {
        [ASH_OP_QUANTIZE_Q8] = test_quantize_q8,
        [ASH_OP_QUANTIZE_FINE] = test_quantize_fine,
        [ASH_OP_ROUND_E4M3] = test_round_e4m3,
        [ASH_OP_MAX_ABS] = test_max_abs,
        [ASH_OP_RMS_NORM] = test_rms_norm,
        [ASH_OP_ROPE] = test_rope,
        [ASH_OP_SWIGLU] = test_swiglu,
        [ASH_OP_ADD] = test_add,
        [ASH_OP_TO_F16] = test_to_half,
        [ASH_OP_TO_BF16] = test_to_half,
    };
    size_t count, n = 0;
    const ash_kernel *list = ash_kernel_list(&count);
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        if (by_op[list[i].op])
            tests[n++] = (struct CMUnitTest){ list[i].name, by_op[list[i].op], NULL, NULL,
                                              (void *)(uintptr_t)&list[i] };
    int failed = _cmocka_run_group_tests("kernel operations", tests, n, NULL, NULL);
    free(tests);
    return failed != 0;
}
