/* Error feedback's kernels against the scalar one, between unmapped pages; the scalar one against its formula. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "kernels/kernels.h"
#include "tests/support/guard.h"
#include "tests/support/kernels.h"
#include "tests/support/support.h"

enum { ROWS = ASH_PANEL_ROWS, TILE = ASH_FEED_TILE, FIRST = 16, ROUNDS = 60 };

/* What a call reads and writes; `codes` and `sums` once for the kernel and once for the scalar one. */
typedef struct data {
    guard_buffer pull, near, gain, directions, x, scale, min, inverse, code[2], sum[2];
    ash_feed_side side;
    ash_feed feed;
    ash_feed_fn *fn;
} data;

static guard_buffer numbers(int64_t n, int hostile, test_rng *rng)
{
    static const float extremes[] = { 0, -0.0f, 3.4e38f, -3.4e38f, 1e-45f, 1, -1, INFINITY, NAN };
    guard_buffer b = guard_alloc((size_t)n * sizeof(float), sizeof(float));
    for (int64_t i = 0; i < n; i++)
        ((float *)b.p)[i] = hostile && test_rng_below(rng, 20) == 0 ? extremes[test_rng_below(rng, 9)]
                                                                    : test_rng_float(rng);
    return b;
}

static void make(data *d, int round, test_rng *rng)
{
    static const int64_t ranks[] = { 1, 2, 5, 16, 64 };
    int hostile = round % 3 == 2;
    int count = 1 + (int)test_rng_below(rng, 256), sub_elems = round % 2 ? 16 : 32;
    int subs = (count + sub_elems - 1) / sub_elems;
    int64_t rank = ranks[round % 5], cols = FIRST + (count + TILE - 1) / TILE * TILE;
    d->pull = numbers(cols * rank, hostile, rng);
    d->near = numbers(cols * TILE, hostile, rng);
    d->gain = numbers(cols, hostile, rng);
    d->directions = numbers(cols * rank, hostile, rng);
    d->x = numbers(count * ROWS, hostile, rng);
    d->scale = numbers(subs * ROWS, hostile, rng);
    d->min = numbers(subs * ROWS, hostile, rng);
    d->inverse = guard_alloc((size_t)subs * ROWS * sizeof(float), sizeof(float));
    for (int i = 0; i < subs * ROWS; i++)
        ((float *)d->inverse.p)[i] = 1 / ((float *)d->scale.p)[i];
    d->sum[0] = numbers(rank * ROWS, hostile, rng);
    d->code[0] = guard_alloc((size_t)count * ROWS * sizeof(float), sizeof(float));
    for (int i = 0; i < count * ROWS && round % 4; i++)
        ((float *)d->code[0].p)[i] = (float)test_rng_below(rng, 16);
    d->sum[1] = guard_alloc(d->sum[0].size, sizeof(float));
    d->code[1] = guard_alloc(d->code[0].size, sizeof(float));
    memcpy(d->sum[1].p, d->sum[0].p, d->sum[0].size);
    memcpy(d->code[1].p, d->code[0].p, d->code[0].size);
    d->side = (ash_feed_side){ .pull = d->pull.p, .near = d->near.p, .gain = d->gain.p };
    d->feed = (ash_feed){ .rank = rank, .first = FIRST, .count = count, .sub_elems = sub_elems, .fresh = round % 4 == 0,
                          .low = round % 2 ? -32 : 0, .high = round % 2 ? 31 : 15, .directions = d->directions.p,
                          .side = &d->side, .x = d->x.p, .scale = d->scale.p, .min = d->min.p, .inverse = d->inverse.p };
}

static void drop(data *d)
{
    guard_buffer *all[] = { &d->pull, &d->near, &d->gain, &d->directions, &d->x, &d->scale, &d->min, &d->inverse,
                            &d->code[0], &d->code[1], &d->sum[0], &d->sum[1] };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        guard_free(all[i]);
}

static void run(void *context)
{
    data *d = context;
    d->fn(&d->feed);
}

static void call(data *d, const ash_kernel *k, int which)
{
    d->fn = (ash_feed_fn *)k->fn;
    d->feed.code = d->code[which].p;
    d->feed.sum = d->sum[which].p;
    int raised = guard_run(run, d);
    if (raised)
        fail_msg("%s: signal %d, %d columns", k->name, raised, d->feed.count);
    assert_true(guard_slack_intact(&d->code[which]) && guard_slack_intact(&d->sum[which]));
}

static void check_floats(const char *name, const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (ash_f32_bits(got[i]) != ash_f32_bits(want[i]) && !(isnan(got[i]) && isnan(want[i])))
            fail_msg("%s: %lld of %lld: %a, scalar %a", name, (long long)i, (long long)n, (double)got[i],
                     (double)want[i]);
}

static void test_levels(void **state)
{
    const ash_kernel *k = *state;
    if (k->level > ash_level_detect())
        test_skip("this processor lacks the kernel's instructions");
    test_rng rng = test_rng_start(k->name);
    for (int round = 0; round < ROUNDS; round++) {
        data d;
        make(&d, round, &rng);
        call(&d, test_scalar_of(k), 0);
        call(&d, k, 1);
        check_floats(k->name, d.code[1].p, d.code[0].p, d.feed.count * ROWS);
        check_floats(k->name, d.sum[1].p, d.sum[0].p, d.feed.rank * ROWS);
        for (int i = 0; i < d.feed.count * ROWS; i++) {
            float code = ((float *)d.code[1].p)[i];
            assert_true(code >= d.feed.low && code <= d.feed.high && code == rintf(code));
        }
        drop(&d);
    }
}

/* A number of one column in the tiles of an array with `rank` of them a column. */
static double tiled(const float *a, int64_t rank, int64_t k, int64_t i)
{
    return (double)a[k / TILE * TILE * rank + i * TILE + k % TILE];
}

/* One row, in double. A code that lies between two, within float's error, is taken as it came. */
static void check_row(const data *d, int row, const float *was, const float *sums)
{
    const ash_feed *f = &d->feed;
    double s[64], step[TILE] = { 0 };
    for (int64_t i = 0; i < f->rank; i++)
        s[i] = (double)sums[i * ROWS + row];
    for (int k = 0; k < f->count; k++) {
        int at = k / f->sub_elems * ROWS + row;
        int64_t column = FIRST + k;
        double scale = (double)f->scale[at], min = (double)f->min[at], x = (double)f->x[k * ROWS + row];
        double ask = 0, size = 0;
        double code = (double)f->code[k * ROWS + row];
        double before = f->fresh ? 0 : scale * (double)was[k * ROWS + row] - min - x;
        for (int64_t i = 0; i < f->rank; i++) {
            ask += tiled(f->side->pull, f->rank, column, i) * s[i];
            size += fabs(tiled(f->side->pull, f->rank, column, i) * s[i]);
        }
        for (int j = 0; j < k % TILE; j++)
            ask += (double)f->side->near[column * TILE + j] * step[j];
        ask -= (double)f->side->near[column * TILE + k % TILE] * before;
        double wanted = (x - (double)f->side->gain[column] * ask + min) / scale;
        double best = fmax(fmin(wanted, (double)f->high), (double)f->low);
        assert_true(fabs(code - best) <= 0.5 + 1e-4 * (1 + size + fabs(before)) * (1 + 1 / fabs(scale)));
        step[k % TILE] = scale * code - min - x - before;
        if (k % TILE == TILE - 1 || k == f->count - 1)
            for (int j = 0; j <= k % TILE; j++)
                for (int64_t i = 0; i < f->rank; i++)
                    s[i] += tiled(f->directions, f->rank, column - k % TILE + j, i) * step[j];
    }
    for (int64_t i = 0; i < f->rank; i++)
        assert_true(fabs(s[i] - (double)f->sum[i * ROWS + row]) <= 1e-4 * (1 + fabs(s[i])) * 20);
}

static void test_formula(void **state)
{
    (void)state;
    size_t count;
    const ash_kernel *k = ash_kernel_list(&count);
    while (k->op != ASH_OP_FEED)
        k++;
    test_rng rng = test_rng_start("formula");
    for (int round = 0; round < ROUNDS; round++) {
        data d;
        if (round % 3 == 2)
            continue;
        make(&d, round, &rng);
        call(&d, k, 0);
        for (int row = 0; row < ROWS; row++)
            check_row(&d, row, d.code[1].p, d.sum[1].p);
        drop(&d);
    }
}

int main(void)
{
    size_t count, n = 0;
    const ash_kernel *list = ash_kernel_list(&count);
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    tests[n++] = (struct CMUnitTest){ "formula", test_formula, NULL, NULL, NULL };
    for (size_t i = 0; i < count; i++)
        if (list[i].op == ASH_OP_FEED)
            tests[n++] = (struct CMUnitTest){ list[i].name, test_levels, NULL, NULL, (void *)(uintptr_t)&list[i] };
    int failed = _cmocka_run_group_tests("error feedback", tests, n, NULL, NULL);
    free(tests);
    return failed != 0;
}
