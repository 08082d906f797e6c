/* A launch of the interpreter on several threads gives what it gives on one: results, counts, touched lines, the
 * fault. Also several launches and decoders at once. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/testing.h"

enum { ROWS = 37, N = 300, THREADS = 4 };

typedef struct norm_args { const float *x, *w; float *y; int n; float eps; } norm_args;

typedef struct norm {
    gfx_code code;
    float x[ROWS * N], weight[N], y[ROWS * N];
    norm_args args;
    gfx_buffer buffers[3];
    gfx_touch touch[3];
    gfx_launch launch;
} norm;

/* Sums a row a workgroup; `rows` of y belong to the buffer. */
static void start(norm *t, size_t rows)
{
    test_rng rng = test_rng_start("threads");
    t->code = gfx_test_compile("gfx1201", "tests/gfx12/rms_norm.hip", "");
    for (int i = 0; i < ROWS * N; i++)
        t->x[i] = test_rng_float(&rng), t->y[i] = 0;
    for (int i = 0; i < N; i++)
        t->weight[i] = test_rng_float(&rng);
    t->args = (norm_args){ t->x, t->weight, t->y, N, 1e-5f };
    t->buffers[0] = (gfx_buffer){ "x", t->x, sizeof t->x, false };
    t->buffers[1] = (gfx_buffer){ "w", t->weight, sizeof t->weight, false };
    t->buffers[2] = (gfx_buffer){ "y", t->y, rows * N * sizeof *t->y, true };
    t->launch = (gfx_launch){ .kernel = gfx_kernel_find(&t->code, "rms_norm"),
                              .grid = { ROWS, 1, 1 },
                              .block = { 256, 1, 1 },
                              .args = &t->args,
                              .buffers = t->buffers,
                              .buffer_count = 3,
                              .touch = t->touch,
                              .seed = 3 };
    assert_non_null(t->launch.kernel);
}

static void same_for_any_number(void **state)
{
    (void)state;
    static norm one, many;
    gfx_stats stats, again;
    gfx_error err;
    start(&one, ROWS), start(&many, ROWS);
    if (!gfx_run(&one.launch, &stats, &err))
        fail_msg("%s", err.text);
    assert_int_equal(stats.waves, 8 * ROWS);
    for (uint32_t threads = 2; threads < 50; threads += threads < 6 ? 1 : 21) {
        memset(many.y, 0, sizeof many.y);
        many.launch.threads = threads;
        if (!gfx_run(&many.launch, &again, &err))
            fail_msg("%u threads: %s", threads, err.text);
        assert_memory_equal(many.y, one.y, sizeof one.y);
        assert_memory_equal(&again, &stats, sizeof stats);
        assert_memory_equal(many.touch, one.touch, sizeof one.touch);
    }
    gfx_code_free(&one.code), gfx_code_free(&many.code);
}

/* Workgroups 20 and up write beyond the buffer, and row 23 comes before the others in the list. */
static void lowest_fault(void **state)
{
    (void)state;
    static norm t;
    static uint32_t groups[ROWS][3];
    gfx_stats stats;
    gfx_error err;
    start(&t, 20);
    for (uint32_t threads = 1; threads < 9; threads++) {
        t.launch.threads = threads;
        assert_false(gfx_run(&t.launch, &stats, &err));
        if (strncmp(err.text, "rms_norm, workgroup 20,0,0, wave ", 33) != 0)
            fail_msg("%u threads: %s", threads, err.text);
        assert_int_equal(stats.waves, 0);
    }
    for (uint32_t k = 0; k < ROWS; k++)
        groups[k][0] = k == 4 ? 23 : k;
    t.launch.groups = (const uint32_t (*)[3])groups, t.launch.group_count = ROWS;
    for (uint32_t threads = 1; threads < 9; threads++) {
        t.launch.threads = threads;
        assert_false(gfx_run(&t.launch, NULL, &err));
        if (strncmp(err.text, "rms_norm, workgroup 23,0,0, wave ", 33) != 0)
            fail_msg("%u threads: %s", threads, err.text);
    }
    gfx_code_free(&t.code);
}

/* Every work-item of every workgroup adds 1 and counts itself into one of eight places: none is lost. */
static void atomics(void **state)
{
    (void)state;
    static const char source[] =
        "extern \"C\" __attribute__((global)) __attribute__((amdgpu_flat_work_group_size(64, 64))) void tally(int "
        "*sum)\n"
        "{ __hip_atomic_fetch_add(&sum[__builtin_amdgcn_workitem_id_x() % 8u], 1, __ATOMIC_RELAXED,\n"
        "                         __HIP_MEMORY_SCOPE_AGENT); }\n";
    char *path = test_path("tally.hip");
    test_write_file(path, source, sizeof source - 1);
    gfx_code code = gfx_test_compile("gfx1201", path, "");
    int sum[8] = { 0 }, *args = sum;
    const gfx_buffer buffer = { "sum", sum, sizeof sum, true };
    gfx_launch l = { .kernel = gfx_kernel_find(&code, "tally"),
                     .grid = { 500, 4, 1 },
                     .block = { 64, 1, 1 },
                     .args = &args,
                     .buffers = &buffer,
                     .buffer_count = 1,
                     .threads = THREADS };
    gfx_error err;
    assert_non_null(l.kernel);
    if (!gfx_run(&l, NULL, &err))
        fail_msg("%s", err.text);
    for (int k = 0; k < 8; k++)
        assert_int_equal(sum[k], 500 * 4 * 64 / 8);
    gfx_code_free(&code);
    free(path);
}

/* ---- several at once ---- */

typedef struct user {
    const uint8_t *elf;
    size_t size;
    float y[ROWS * N];
    const norm *of;
    bool fine;
    pthread_t thread;
} user;

static void *use(void *of)
{
    user *u = of;
    gfx_code code;
    gfx_error err;
    for (int round = 0; round < 3; round++) {
        if (!gfx_code_load(u->elf, u->size, &code, &err))
            return NULL;
        norm_args args = u->of->args;
        gfx_buffer buffers[3] = { u->of->buffers[0], u->of->buffers[1], { "y", u->y, sizeof u->y, true } };
        gfx_launch l = u->of->launch;
        args.y = u->y;
        l.args = &args, l.buffers = buffers, l.touch = NULL, l.kernel = gfx_kernel_find(&code, "rms_norm"),
        l.threads = 2;
        u->fine = gfx_run(&l, NULL, &err);
        gfx_code_free(&code);
    }
    return NULL;
}

static void several_at_once(void **state)
{
    (void)state;
    static norm t;
    static user users[THREADS];
    gfx_error err;
    start(&t, ROWS);
    assert_true(gfx_run(&t.launch, NULL, &err));
    char *out = test_path("shared.co");
    size_t size;
    gfx_test_clang("-x hip --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib -O2 -ffp-contract=fast "
                   "--offload-arch=gfx1201", "tests/gfx12/rms_norm.hip", out);
    uint8_t *elf = test_read_file(out, &size);
    for (int k = 0; k < THREADS; k++) {
        users[k].elf = elf, users[k].size = size, users[k].of = &t;
        assert_int_equal(pthread_create(&users[k].thread, NULL, use, &users[k]), 0);
    }
    for (int k = 0; k < THREADS; k++) {
        pthread_join(users[k].thread, NULL);
        assert_true(users[k].fine);
        assert_memory_equal(users[k].y, t.y, sizeof t.y);
    }
    gfx_code_free(&t.code);
    free(elf), free(out);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(same_for_any_number), cmocka_unit_test(lowest_fault), cmocka_unit_test(atomics),
    cmocka_unit_test(several_at_once),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_threads", tests, NULL, NULL); }
