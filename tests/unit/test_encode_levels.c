/* Floats to blocks: every kernel gives the scalar one's bytes on adversarial rows between unmapped pages. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/support/encode_rows.h"
#include "tests/support/guard.h"
#include "tests/support/kernels.h"

static uint64_t row_bytes(ash_dtype dtype, int64_t cols)
{
    uint64_t bytes;
    assert_true(ash_row_bytes(dtype, (uint64_t)cols, &bytes));
    return bytes;
}

typedef struct encode_call {
    const ash_kernel *kernel;
    const float *x, *weight;
    int64_t cols;
    uint8_t *out;
} encode_call;

static void run_encode(void *context)
{
    encode_call *c = context;
    ((ash_encode_fn *)c->kernel->fn)(c->x, c->weight, c->cols, c->out);
}

/* With a scale that is a power of two, many of these lie between two codes. */
static float halves(int64_t i, test_rng *rng)
{
    return i % 16 == 0 ? -16 : 0.25f * ((float)test_rng_below(rng, 127) - 63);
}

static void same_bytes(void **state)
{
    const ash_kernel *k = *state, *scalar = test_scalar_of(k);
    if (!ash_level_has(k->level))
        test_skip("this processor lacks the kernel's instructions");
    static const int64_t lengths[] = { 1, 16, 31, 32, 33, 64, 255, 256, 257, 320, 512, 576, 1000 };
    test_rng rng = test_rng_start(k->name);
    for (size_t round = 0; round < sizeof lengths / sizeof *lengths * (ROW_KINDS + 1); round++) {
        row_kind kind = (row_kind)(round % (ROW_KINDS + 1));
        int64_t n = lengths[round / (ROW_KINDS + 1)];
        guard_buffer x = guard_alloc((size_t)n * 4, 4), w = guard_alloc((size_t)n * 4, 4), out[2];
        uint64_t bytes = row_bytes(k->dtype, n);
        for (int64_t i = 0; i < n; i++) {
            ((float *)x.p)[i] = kind == ROW_KINDS ? halves(i, &rng) : test_row_element(kind, i, &rng);
            ((float *)w.p)[i] = test_rng_below(&rng, 4) ? fabsf(test_normal(&rng)) : 0;
        }
        for (int weighted = 0; weighted < 2; weighted++) {
            for (int i = 0; i < 2; i++) {
                out[i] = guard_alloc(bytes, 1);
                encode_call c = { i ? k : scalar, x.p, weighted ? w.p : NULL, n, out[i].p };
                int raised = guard_run(run_encode, &c);
                if (raised)
                    fail_msg("%s: signal %d, n = %lld", c.kernel->name, raised, (long long)n);
                assert_true(guard_slack_intact(&out[i]));
            }
            if (memcmp(out[0].p, out[1].p, bytes) != 0)
                fail_msg("%s: rows of kind %d, %lld columns, weighted %d: other bytes than the scalar form's", k->name,
                         kind, (long long)n, weighted);
            guard_free(&out[0]);
            guard_free(&out[1]);
        }
        guard_free(&x);
        guard_free(&w);
    }
}

int main(void)
{
    size_t count, n = 0;
    const ash_kernel *list = ash_kernel_list(&count);
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        if (list[i].op == ASH_OP_ENCODE && list[i].level > ASH_LEVEL_SCALAR)
            tests[n++] = (struct CMUnitTest){ list[i].name, same_bytes, NULL, NULL, (void *)(uintptr_t)&list[i] };
    int failed = _cmocka_run_group_tests("encoding at every level", tests, n, NULL, NULL);
    free(tests);
    return failed != 0;
}
