/* Attention on rows of every type that a KV cache has: each kernel against the scalar one, over whole contexts and over
 * parts that are joined; the scalar one against a formula; and what storing keys and values in fewer bits may change.
 * Inputs lie between unmapped pages. A crash is one failed test. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"
#include "format/meta.h"
#include "kernels/kernels.h"
#include "tests/support/guard.h"
#include "tests/support/kernels.h"
#include "tests/support/support.h"

#define PARTS_MAX 6

typedef struct shape {
    int64_t head_dim, group, pos, tokens, window, kv_rows;
    int64_t extra; /* floats, or elements rounded up to blocks, between rows */
} shape;

typedef struct inputs {
    ash_dtype type;
    ash_attention a;
    guard_buffer q, k, v, out, scratch;
} inputs;

static int64_t row_bytes(ash_dtype type, int64_t elems)
{
    uint64_t bytes;
    assert_true(ash_row_bytes(type, (uint64_t)elems, &bytes));
    return (int64_t)bytes;
}

static void store(ash_dtype type, const float *x, int64_t n, uint8_t *row)
{
    if (type == ASH_F8_E4M3)
        ash_encode_e4m3_scalar(x, n, 1, row);
    else if (type == ASH_Q8_0)
        ash_encode_q8_0_scalar(x, NULL, n, row);
    else
        ash_to_f16_scalar(x, n, (uint16_t *)(void *)row);
}

/* The smallest and largest values that the type has, in any order. */
static void store_extremes(ash_dtype type, int64_t n, uint8_t *row, test_rng *rng)
{
    for (int64_t i = 0; i < n; i++) {
        bool large = test_rng_below(rng, 2);
        if (type == ASH_F8_E4M3) {
            row[i] = (uint8_t)(large ? 0x7e : test_rng_below(rng, 8)) | (uint8_t)(test_rng_below(rng, 2) << 7);
        } else if (type == ASH_F16) {
            uint16_t half = (uint16_t)(large ? 0x7bff : test_rng_below(rng, 0x400));
            memcpy(row + 2 * i, &half, sizeof half);
        } else if (i % 32 == 0) {
            ash_block_q8_0 b = { .d = (uint16_t)(large ? 0x7bff : test_rng_below(rng, 0x400)) };
            for (int j = 0; j < 32; j++)
                b.qs[j] = (int8_t)(test_rng_below(rng, 2) ? 127 : -128);
            memcpy(row + i / 32 * (int64_t)sizeof b, &b, sizeof b);
        }
    }
}

/* kind 0: random; 1: zeros; 2: large scores, of which one wins; 3: the smallest and the largest values. */
static inputs make(ash_dtype type, const shape *s, int kind, test_rng *rng)
{
    int64_t q_stride = s->group * s->head_dim + s->extra;
    int64_t stride = row_bytes(type, s->head_dim + (s->extra + 31) / 32 * 32);
    int64_t floats = (s->tokens - 1) * q_stride + s->group * s->head_dim;
    inputs in = { .type = type,
                  .q = guard_alloc((size_t)(s->tokens * q_stride) * 4, 4),
                  .k = guard_alloc((size_t)(s->kv_rows * stride), 2),
                  .v = guard_alloc((size_t)(s->kv_rows * stride), 2),
                  .out = guard_alloc((size_t)floats * 4, 4),
                  .scratch = guard_alloc(ASH_SCRATCH_BYTES, 64) };
    float *q = in.q.p, row[ASH_HEAD_DIM_MAX];
    for (int64_t i = 0; i < s->tokens * q_stride; i++)
        q[i] = kind == 1 ? 0 : (kind == 2 ? 30 : 2) * test_rng_float(rng);
    int64_t newest = s->pos + s->tokens - 1, oldest = newest - s->kv_rows + 1 < 0 ? 0 : newest - s->kv_rows + 1;
    for (int64_t p = oldest; p <= newest; p++) { /* rows that hold no position stay NaN */
        uint8_t *k = (uint8_t *)in.k.p + p % s->kv_rows * stride, *v = (uint8_t *)in.v.p + p % s->kv_rows * stride;
        for (int64_t d = 0; d < s->head_dim; d++)
            row[d] = 2 * test_rng_float(rng);
        store(type, row, s->head_dim, k);
        for (int64_t d = 0; d < s->head_dim; d++)
            row[d] = 3 * test_rng_float(rng);
        if (kind == 3)
            store_extremes(type, s->head_dim, v, rng);
        else
            store(type, row, s->head_dim, v);
    }
    in.a = (ash_attention){ .q = q, .q_stride = q_stride, .k = in.k.p, .v = in.v.p, .kv_stride = stride,
                            .kv_rows = s->kv_rows, .head_dim = s->head_dim, .group = s->group,
                            .scale = 1 / sqrtf((float)s->head_dim), .pos = s->pos, .tokens = s->tokens,
                            .window = s->window, .out = in.out.p, .out_stride = q_stride };
    return in;
}

static void inputs_free(inputs *in)
{
    guard_free(&in->q);
    guard_free(&in->k);
    guard_free(&in->v);
    guard_free(&in->out);
    guard_free(&in->scratch);
}

static int64_t first_seen(const ash_attention *a, int64_t token)
{
    int64_t last = a->pos + token;
    return a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
}

/* The bound of kernels.h for one query. */
static double allowed(const inputs *in, int64_t token, int64_t head)
{
    const ash_attention *a = &in->a;
    int64_t first = first_seen(a, token), last = a->pos + token;
    double v_max = 0, score_max = 0;
    for (int64_t p = first; p <= last; p++) {
        float k[ASH_HEAD_DIM_MAX], v[ASH_HEAD_DIM_MAX];
        ash_decode_row(in->type, a->k + p % a->kv_rows * a->kv_stride, a->head_dim, k);
        ash_decode_row(in->type, a->v + p % a->kv_rows * a->kv_stride, a->head_dim, v);
        double score = 0;
        for (int64_t d = 0; d < a->head_dim; d++) {
            v_max = fmax(v_max, fabs((double)v[d]));
            score += fabs((double)a->q[token * a->q_stride + head * a->head_dim + d] * (double)k[d]);
        }
        score_max = fmax(score_max, score * (double)a->scale);
    }
    double seen = (double)(last - first + 1);
    return v_max * (0x1p-20 + 4 * (double)(a->head_dim + 8) * 0x1p-24 * score_max + seen * 0x1p-23);
}

/* ---- a guarded call ---- */

typedef struct guarded {
    const ash_kernel *kernel;
    const ash_attention *a;
    void *scratch;
} guarded;

static void call(void *context)
{
    guarded *g = context;
    ((ash_attention_fn *)g->kernel->fn)(g->a, g->scratch);
}

static void run(const ash_kernel *k, const inputs *in, const ash_attention *a)
{
    guarded g = { .kernel = k, .a = a, .scratch = in->scratch.p };
    int raised = guard_run(call, &g);
    if (raised)
        fail_msg("%s: signal %d, head %lld, group %lld, position %lld, tokens %lld, keys from %lld to %lld", k->name, raised,
                 (long long)a->head_dim, (long long)a->group, (long long)a->pos, (long long)a->tokens,
                 (long long)a->begin, (long long)a->end);
    if (!guard_slack_intact(&in->out) || !guard_slack_intact(&in->scratch))
        fail_msg("%s wrote around its output", k->name);
}

static ash_attention_join_fn *join_of(ash_level level)
{
    ash_kernels table;
    ash_kernels_init(&table, level);
    return table.attention_join;
}

/* The keys in up to PARTS_MAX parts, of which each query sees a key: cut between the last token's first one and the first
 * token's last one. The same level's join puts them together. */
static void run_parts(const ash_kernel *k, const inputs *in, test_rng *rng)
{
    int64_t low = first_seen(&in->a, in->a.tokens - 1) + 1, high = in->a.pos, cuts[PARTS_MAX], parts = 1;
    cuts[0] = 0;
    while (parts < PARTS_MAX && low <= high) {
        cuts[parts] = low + (int64_t)test_rng_below(rng, (uint32_t)((high - low) / 2 + 1));
        low = cuts[parts++] + 1;
    }
    int64_t elems = ash_attention_part_elems(in->a.head_dim), queries = in->a.tokens * in->a.group;
    guard_buffer all = guard_alloc((size_t)(parts * queries * elems) * 4, 4);
    for (int64_t i = 0; i < parts; i++) {
        ash_attention a = in->a;
        a.begin = cuts[i];
        a.end = i + 1 < parts ? cuts[i + 1] : 0;
        a.parts = (float *)all.p + i * queries * elems;
        a.out = NULL;
        run(k, in, &a);
    }
    if (!guard_slack_intact(&all))
        fail_msg("%s wrote around its parts", k->name);
    for (int64_t i = 0; i < queries; i++) {
        float *out = in->a.out + i / in->a.group * in->a.out_stride + i % in->a.group * in->a.head_dim;
        join_of(k->level)((float *)all.p + i * elems, parts, queries * elems, in->a.head_dim, out);
    }
    guard_free(&all);
}

static void compare(const ash_kernel *k, const char *how, const inputs *in, const float *want, const double *most,
                    int kind)
{
    const ash_attention *a = &in->a;
    for (int64_t t = 0; t < a->tokens; t++) {
        for (int64_t g = 0; g < a->group; g++) {
            for (int64_t d = 0; d < a->head_dim; d++) {
                int64_t at = t * a->out_stride + g * a->head_dim + d;
                double got = (double)((float *)in->out.p)[at];
                if (!(fabs(got - (double)want[at]) <= most[t * a->group + g]))
                    fail_msg("%s, %s: head %lld, group %lld, position %lld + %lld, window %lld, rows %lld, kind %d: "
                             "query %lld, element %lld: %.9g, scalar %.9g, allowed %.3g", k->name, how,
                             (long long)a->head_dim, (long long)a->group, (long long)a->pos, (long long)t,
                             (long long)a->window, (long long)a->kv_rows, kind, (long long)g, (long long)d, got,
                             (double)want[at], most[t * a->group + g]);
            }
        }
        for (int64_t i = a->group * a->head_dim; i < a->out_stride && t + 1 < a->tokens; i++)
            if (ash_f32_bits(((float *)in->out.p)[t * a->out_stride + i]) != 0xffffffff)
                fail_msg("%s wrote between its outputs", k->name);
    }
}

static void test_kernel(void **state)
{
    const ash_kernel *k = *state, *scalar = test_scalar_of(k);
    if (!ash_level_has(k->level))
        test_skip("this processor lacks the kernel's instructions");
    test_rng rng = test_rng_start(k->name);
    static const shape shapes[] = {
        { 64, 3, 0, 1, 0, 1, 0 }, { 64, 3, 0, 5, 0, 8, 0 }, { 64, 3, 62, 4, 0, 80, 0 },
        { 128, 4, 200, 1, 0, 256, 16 }, { 16, 1, 63, 1, 0, 64, 0 }, { 48, 2, 64, 3, 0, 67, 0 },
        { 80, 5, 130, 7, 0, 140, 0 }, { 96, 1, 10, 33, 0, 43, 0 }, { 256, 2, 70, 9, 0, 79, 0 },
        { 64, 8, 0, 130, 0, 130, 0 }, { 64, 7, 100, 40, 0, 192, 8 }, { 18, 2, 20, 3, 0, 32, 0 },
        { 64, 2, 300, 1, 64, 64, 0 }, { 64, 2, 300, 6, 50, 64, 0 }, { 32, 1, 500, 100, 17, 128, 0 },
        { 128, 1, 7, 2, 1, 16, 0 }, { 64, 3, 1000, 2, 200, 256, 0 }, { 64, 1, 127, 1, 0, 128, 0 },
        { 112, 6, 65, 11, 30, 76, 0 }, { 80, 8, 777, 1, 0, 800, 0 }, { 144, 5, 400, 1, 0, 401, 0 },
        { 64, 11, 150, 1, 0, 151, 0 },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int kind = 0; kind < 4; kind++) {
            inputs in = make(k->dtype, &shapes[i], kind, &rng);
            float *want = malloc(in.out.size);
            ash_attention a = in.a;
            double *most = malloc((size_t)(a.tokens * a.group) * sizeof *most);
            for (int64_t q = 0; q < a.tokens * a.group; q++)
                most[q] = allowed(&in, q / a.group, q % a.group);
            a.out = want;
            ((ash_attention_fn *)scalar->fn)(&a, in.scratch.p);
            run(k, &in, &in.a);
            compare(k, "whole", &in, want, most, kind);
            guard_refill(&in.out);
            run_parts(k, &in, &rng);
            compare(k, "in parts", &in, want, most, kind);
            free(want);
            free(most);
            inputs_free(&in);
        }
    }
}

/* Parts of very different weight, and of none: the largest e^x of doubles would overflow where floats do not. */
static void test_join(void **state)
{
    const ash_kernel *k = *state;
    if (!ash_level_has(k->level))
        test_skip("this processor lacks the kernel's instructions");
    test_rng rng = test_rng_start(k->name);
    static const int64_t counts[] = { 1, 2, 15, 16, 17, 64, 256, 300 }, dims[] = { 16, 18, 64, 80, 256 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts * 5; i++) {
        int64_t count = counts[i / 5], dim = dims[i % 5], stride = ash_attention_part_elems(dim) + (i % 2 ? 16 : 0);
        guard_buffer parts = guard_alloc((size_t)((count - 1) * stride + ASH_ATTENTION_PART_HEAD + dim) * 4, 4);
        guard_buffer out = guard_alloc((size_t)dim * 4, 4);
        float *p = parts.p, want[ASH_HEAD_DIM_MAX];
        double largest = 0;
        for (int64_t c = 0; c < count; c++) {
            p[c * stride] = (i % 3 == 0 ? 3000 : 10) * test_rng_float(&rng);
            p[c * stride + 1] = 1 + (float)test_rng_below(&rng, 500);
            for (int64_t d = 0; d < dim; d++) {
                p[c * stride + ASH_ATTENTION_PART_HEAD + d] = p[c * stride + 1] * test_rng_float(&rng);
                double v = (double)p[c * stride + ASH_ATTENTION_PART_HEAD + d] / (double)p[c * stride + 1];
                largest = fmax(largest, fabs(v));
            }
        }
        ash_attention_join_scalar(p, count, stride, dim, want);
        ((ash_attention_join_fn *)k->fn)(p, count, stride, dim, out.p);
        assert_true(guard_slack_intact(&out));
        /* A weight e^x errs by 2^-23 and by x's own rounding, 2^-24 |x|; beyond 104 it is 0. So it does once above and once
         * below the line, where sums of n terms round by n 2^-24 each. */
        double most = largest * (2 * (0x1p-23 + 104 * 0x1p-24 * 2) + (double)(count + 2) * 0x1p-23);
        for (int64_t d = 0; d < dim; d++)
            if (!(fabs((double)((float *)out.p)[d] - (double)want[d]) <= most))
                fail_msg("%s: %lld parts, element %lld of %lld: %.9g, scalar %.9g, allowed %.3g", k->name, (long long)count,
                         (long long)d, (long long)dim, (double)((float *)out.p)[d], (double)want[d], most);
        guard_free(&parts);
        guard_free(&out);
    }
}

/* By the formula, for shapes small enough to write down: the scalar form has nothing else to be compared with. */
static void test_formula(void **state)
{
    (void)state;
    uint16_t k[3 * 2], v[3 * 2];
    for (int i = 0; i < 6; i++) {
        k[i] = ash_f32_to_f16((float)(i - 2) * 0.5f);
        v[i] = ash_f32_to_f16((float)(i * i));
    }
    float q[4] = { 1, -2, 0.5f, 3 }, out[4];
    ash_attention a = { .q = q, .q_stride = 2, .k = (uint8_t *)k, .v = (uint8_t *)v, .kv_stride = 4, .kv_rows = 3,
                        .head_dim = 2, .group = 1, .scale = 0.7f, .pos = 1, .tokens = 2, .window = 2, .out = out,
                        .out_stride = 2 };
    ash_attention_f16_scalar(&a, NULL);
    for (int t = 0; t < 2; t++) { /* positions t and t + 1 */
        double s0 = 0.7f * (q[2 * t] * (2 * t - 2) * 0.5 + q[2 * t + 1] * (2 * t - 1) * 0.5);
        double s1 = 0.7f * (q[2 * t] * (2 * t) * 0.5 + q[2 * t + 1] * (2 * t + 1) * 0.5);
        double w0 = 1 / (1 + exp(s1 - s0)), w1 = 1 - w0;
        for (int d = 0; d < 2; d++) {
            double want = w0 * (2 * t + d) * (2 * t + d) + w1 * (2 * t + 2 + d) * (2 * t + 2 + d);
            assert_true(fabs((double)out[2 * t + d] - want) <= 0x1p-22 * fabs(want));
        }
    }
}

/* How far an element that is stored may be from x, where the largest of its block is `largest`. F16 and e4m3 keep 11
 * and 4 bits, or down to 2^-24 and 2^-9; Q8_0 steps by largest / 127 (which is a half: 2^-11 more of up to 127 steps). */
static double stored_error(ash_dtype type, double x, double largest)
{
    if (type == ASH_F16)
        return fmax(fabs(x) * 0x1p-11, 0x1p-25);
    if (type == ASH_F8_E4M3)
        return fmax(fabs(x) * 0x1p-4, 0x1p-10);
    return largest / 127 * 0.5 + largest * 0x1p-11;
}

/* Attention over stored rows against that over the floats they come from. A score is off by at most
 * e = scale sum |q| error, so a weight w by a factor of e^(2 e) at most, and the result by
 *   sum w (|v| + error of v) (e^(2 e) - 1) + sum w error of v. */
static void test_storing(void **state)
{
    (void)state;
    enum { DIM = 64, KEYS = 150 };
    static const ash_dtype types[] = { ASH_F16, ASH_F8_E4M3, ASH_Q8_0 };
    test_rng rng = test_rng_start("storing");
    float *k = malloc(KEYS * DIM * 4), *v = malloc(KEYS * DIM * 4), q[DIM], out[DIM];
    uint8_t *k_rows = malloc(KEYS * DIM * 2), *v_rows = malloc(KEYS * DIM * 2);
    for (int i = 0; i < KEYS * DIM; i++) {
        k[i] = (i % 40 == 3 ? 9 : 1) * test_rng_float(&rng);
        v[i] = 2 + (i % 50 == 7 ? 20 : 1) * test_rng_float(&rng); /* errors of one sign do not cancel by themselves */
    }
    for (int d = 0; d < DIM; d++)
        q[d] = 0.25f * test_rng_float(&rng);
    for (size_t n = 0; n < 3; n++) {
        int64_t stride = row_bytes(types[n], DIM);
        double weight[KEYS], sum = 0, score_error = 0, worst = 0;
        for (int i = 0; i < KEYS; i++) {
            store(types[n], k + i * DIM, DIM, k_rows + i * stride);
            store(types[n], v + i * DIM, DIM, v_rows + i * stride);
            double score = 0, error = 0;
            for (int d = 0; d < DIM; d++) {
                double x = (double)k[i * DIM + d];
                score += 0.125 * (double)q[d] * x;
                error += 0.125 * fabs((double)q[d]) *
                         stored_error(types[n], x, (double)ash_max_abs_scalar(k + i * DIM + d / 32 * 32, 32));
            }
            score_error = fmax(score_error, error);
            weight[i] = exp(score);
            sum += weight[i];
        }
        ash_attention a = { .q = q, .q_stride = DIM, .k = k_rows, .v = v_rows, .kv_stride = stride, .kv_rows = KEYS,
                            .head_dim = DIM, .group = 1, .scale = 0.125f, .pos = KEYS - 1, .tokens = 1, .out = out,
                            .out_stride = DIM };
        ash_kernels scalar;
        ash_kernels_init(&scalar, ASH_LEVEL_SCALAR);
        scalar.attention[types[n]](&a, NULL);
        for (int d = 0; d < DIM; d++) {
            double want = 0, most = 0;
            for (int i = 0; i < KEYS; i++) {
                double x = (double)v[i * DIM + d], w = weight[i] / sum;
                double error = stored_error(types[n], x, (double)ash_max_abs_scalar(v + i * DIM + d / 32 * 32, 32));
                want += w * x;
                most += w * ((fabs(x) + error) * expm1(2 * score_error) + error);
            }
            double off = fabs((double)out[d] - want);
            worst = fmax(worst, off / most);
            if (!(off <= most))
                fail_msg("%s, element %d: %.9g, without storing %.9g, allowed %.3g", ash_dtype_name(types[n]), d,
                         (double)out[d], want, most);
        }
        printf("# measure storing in %s: attention is off by up to %.2g of what is allowed\n", ash_dtype_name(types[n]),
               worst);
        assert_true(worst > 0.001); /* something is lost: else nothing was stored */
    }
    free(k);
    free(v);
    free(k_rows);
    free(v_rows);
}

int main(int argc, char **argv)
{
    size_t count, n = 0;
    const ash_kernel *list = ash_kernel_list(&count);
    struct CMUnitTest *tests = calloc(count + 2, sizeof *tests);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_formula);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_storing);
    for (size_t i = 0; i < count; i++)
        if (list[i].op == ASH_OP_ATTENTION || list[i].op == ASH_OP_ATTENTION_JOIN)
            tests[n++] = (struct CMUnitTest){ list[i].name, list[i].op == ASH_OP_ATTENTION ? test_kernel : test_join, NULL,
                                              NULL, (void *)(uintptr_t)&list[i] };
    n = test_choose(tests, n, argc, argv);
    int failed = _cmocka_run_group_tests("attention", tests, n, NULL, NULL);
    free(tests);
    return failed != 0;
}
