#include "tests/support/kernel_bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/support/weights.h"

/* Long enough for a stable figure, short enough for all kernels in a minute. */
#define SECONDS_EACH 0.05
#define ROWS 1024
#define COLS 2048
#define TOKENS 64
#define VECTOR 4096    /* elements of an elementwise call: a hidden row of a large model */
#define HEAD_DIM 64
#define GROUP 4
#define CONTEXT 2048

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One measurement: a kernel, its data, and how much work a call is. */
typedef struct job {
    const ash_kernel *kernel;
    ash_matrix w;
    ash_acts x;
    float *a, *b, *out;
    void *scratch;
    int64_t panels, tokens;
    uint8_t *kv;
} job;

static void call(const job *j)
{
    ash_any_fn *fn = j->kernel->fn;
    int64_t n = VECTOR;
    switch (j->kernel->op) {
    case ASH_OP_MATMUL_F32:
    case ASH_OP_MATMUL_Q8:
    case ASH_OP_MATMUL_BF16:
        ((ash_matmul_fn *)fn)(&j->w, 0, j->panels, &j->x, j->out, ROWS, 16, j->scratch);
        break;
    case ASH_OP_ROW: ((ash_row_fn *)fn)(&j->w, 5, j->out); break;
    case ASH_OP_QUANTIZE_Q8:
        ((ash_quantize_q8_fn *)fn)(j->a, n, 32, (int8_t *)j->out, j->out + n, (int16_t *)(j->out + 2 * n));
        break;
    case ASH_OP_QUANTIZE_FINE:
        ((ash_quantize_fine_fn *)fn)(j->a, n, (int8_t *)j->out, j->out + n, (int16_t *)(j->out + 2 * n), n);
        break;
    case ASH_OP_ROUND_E4M3: ((ash_round_e4m3_fn *)fn)(j->out, n, 0.01f); break;
    case ASH_OP_MAX_ABS: j->out[0] = ((ash_max_abs_fn *)fn)(j->a, n); break;
    case ASH_OP_RMS_NORM: ((ash_rms_norm_fn *)fn)(j->a, j->b, n, 1e-5f, j->out); break;
    case ASH_OP_ROPE: ((ash_rope_fn *)fn)(j->out, n / HEAD_DIM, HEAD_DIM, HEAD_DIM, j->b); break;
    case ASH_OP_SWIGLU: ((ash_swiglu_fn *)fn)(j->a, n / 32, j->out); break;
    case ASH_OP_ADD: ((ash_add_fn *)fn)(j->out, j->a, n); break;
    case ASH_OP_TO_F16: ((ash_to_f16_fn *)fn)(j->a, n, (uint16_t *)j->out); break;
    case ASH_OP_TO_BF16: ((ash_to_bf16_fn *)fn)(j->a, n, (uint16_t *)j->out); break;
    case ASH_OP_ATTENTION: {
        uint64_t row_bytes = 0;
        ash_row_bytes(j->kernel->dtype, HEAD_DIM, &row_bytes);
        ash_attention a = { .q = j->a, .q_stride = GROUP * HEAD_DIM, .k = j->kv, .v = j->kv + CONTEXT * row_bytes,
                            .kv_stride = (int64_t)row_bytes, .kv_rows = CONTEXT, .head_dim = HEAD_DIM, .group = GROUP,
                            .scale = 0.125f, .pos = CONTEXT - j->tokens, .tokens = j->tokens, .out = j->out,
                            .out_stride = GROUP * HEAD_DIM };
        ((ash_attention_fn *)fn)(&a, j->scratch);
        break;
    }
    default: break;
    }
}

/* Units of work in a call: multiply-adds for matrix products and attention, bytes read for the others. */
static double work(const job *j)
{
    switch (j->kernel->op) {
    case ASH_OP_MATMUL_F32:
    case ASH_OP_MATMUL_Q8:
    case ASH_OP_MATMUL_BF16: return (double)(j->panels * 16 * COLS * j->tokens);
    case ASH_OP_ROW: return (double)j->w.panel_bytes / 16;
    case ASH_OP_ATTENTION: return 2.0 * HEAD_DIM * GROUP * CONTEXT * (double)j->tokens;
    default: return 4.0 * VECTOR;
    }
}

static double speed(const job *j)
{
    call(j); /* caches and page tables warm */
    double best = 0, until = now() + SECONDS_EACH;
    int repeat = 1;
    do {
        double start = now();
        for (int i = 0; i < repeat; i++)
            call(j);
        double took = now() - start, rate = work(j) * repeat / took;
        best = rate > best ? rate : best;
        if (took < 1e-3)
            repeat *= 2; /* the clock's own cost stays below a thousandth */
    } while (now() < until);
    return best;
}

static double rate_of(const ash_kernel *k, int64_t tokens, job *data)
{
    data->kernel = k;
    data->tokens = data->x.tokens = tokens;
    data->panels = k->level == ASH_LEVEL_SCALAR ? 4 : ROWS / 16;
    return speed(data);
}

static void print_rates(const ash_kernel *k, const ash_kernel *scalar, job *data)
{
    bool matrix = k->op <= ASH_OP_MATMUL_BF16, attention = k->op == ASH_OP_ATTENTION;
    printf("%-34s", k->name);
    for (int64_t tokens = 1; tokens <= (matrix || attention ? TOKENS : 1); tokens *= TOKENS) {
        double rate = rate_of(k, tokens, data), base = scalar == k ? rate : rate_of(scalar, tokens, data);
        printf("  %8.2f %s %6.1fx", rate * 1e-9, matrix || attention ? "Gmac/s" : "GB/s", rate / base);
        if (matrix && tokens == 1) {
            rate = rate_of(k, tokens, data);
            printf(" %6.1f GB/s", rate / (16.0 * COLS) * (double)data->w.panel_bytes * 1e-9);
        }
    }
    printf("\n");
    fflush(stdout);
}

int kernel_bench(const char *filter)
{
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    test_rng rng = test_rng_start("bench");
    guard_buffer f32 = guard_alloc((size_t)TOKENS * COLS * 4, 64), q8 = guard_alloc((size_t)TOKENS * COLS, 64),
                 scale = guard_alloc((size_t)TOKENS * COLS / 8, 4), sum = guard_alloc((size_t)TOKENS * COLS / 8, 2),
                 bf16 = guard_alloc((size_t)TOKENS * COLS * 2, 64),
                 out = guard_alloc((size_t)TOKENS * ROWS * 4 + 16 * VECTOR, 64), b = guard_alloc(4 * VECTOR, 64),
                 kv = guard_alloc((size_t)4 * CONTEXT * HEAD_DIM, 64), scratch = guard_alloc(ASH_SCRATCH_BYTES, 64);
    for (int64_t i = 0; i < TOKENS * COLS; i++)
        ((float *)f32.p)[i] = test_rng_float(&rng);
    for (int64_t i = 0; i < VECTOR; i++)
        ((float *)b.p)[i] = test_rng_float(&rng);
    for (int64_t i = 0; i < 2 * CONTEXT * HEAD_DIM; i++)
        ((uint16_t *)kv.p)[i] = (uint16_t)(0x3000 + test_rng_below(&rng, 0x800)); /* 0.125 to 0.5; no bytes are NaN */
    ash_quantize_q8_scalar(f32.p, (int64_t)TOKENS * COLS, ASH_Q8_WIDE, q8.p, scale.p, sum.p);
    ash_to_bf16_scalar(f32.p, (int64_t)TOKENS * COLS, bf16.p);

    printf("level %s, one thread; matrices %d x %d; attention: context %d, head %d, %d query heads; 1 token, then %d\n",
           ash_level_name(ash_level_detect()), ROWS, COLS, CONTEXT, HEAD_DIM, GROUP, TOKENS);
    const ash_kernel *scalar = NULL;
    test_matrix m = { 0 };
    for (int op = 0; op < ASH_OP_COUNT; op++) {
        for (int dtype = 0; dtype <= ASH_DTYPE_COUNT; dtype++) {
            for (size_t i = 0; i < count; i++) {
                const ash_kernel *k = &list[i];
                if ((int)k->op != op || (int)k->dtype != dtype || !ash_level_has(k->level) ||
                    !strstr(k->name, filter))
                    continue;
                bool is_new = m.data.p == NULL || scalar == NULL || scalar->op != k->op || scalar->dtype != k->dtype;
                if (is_new) {
                    for (size_t s = 0; s < count; s++)
                        if (list[s].op == k->op && list[s].dtype == k->dtype && list[s].level == ASH_LEVEL_SCALAR)
                            scalar = &list[s];
                    weights_free(&m);
                    ash_dtype type = k->dtype < ASH_USABLE_DTYPES ? k->dtype : ASH_F16;
                    m = weights_make(type, ROWS, COLS, WEIGHT_RANDOM, ASH_SCALE_TENSOR, &rng);
                }
                memset(out.p, 0, out.size);
                job data = { .w = m.w, .a = f32.p, .b = b.p, .out = out.p, .scratch = scratch.p, .kv = kv.p,
                             .x = { .cols = COLS, .stride = COLS, .f32 = f32.p, .q8 = q8.p, .q8_scale = scale.p,
                                    .q8_sum = sum.p, .q8_wide = true, .bf16 = bf16.p } };
                print_rates(k, scalar, &data);
            }
        }
    }
    weights_free(&m);
    guard_free(&f32);
    guard_free(&q8);
    guard_free(&scale);
    guard_free(&sum);
    guard_free(&bf16);
    guard_free(&out);
    guard_free(&b);
    guard_free(&kv);
    guard_free(&scratch);
    return 0;
}
