/* Importance matrices: what is added comes back through a file; llama.cpp's form is read; broken files are refused; and
 * a conversion weights its search by them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/gguf.h"
#include "format/gguf_write.h"
#include "format/halffloat.h"
#include "kernels/kernels.h"
#include "quant/imatrix.h"
#include "tests/support/make_gguf.h"
#include "tests/support/read_back.h"

static ash_imatrix *new_imatrix(const ash_blas *blas)
{
    ash_error err;
    ash_imatrix *m;
    assert_ok(ash_imatrix_new(blas, &m, &err), &err);
    return m;
}

static ash_importance find_all(const ash_imatrix *m, const char *tensor, uint64_t cols)
{
    ash_error err;
    ash_importance known;
    assert_ok(ash_imatrix_find(m, tensor, cols, &known, &err), &err);
    return known;
}

static const float *find(const ash_imatrix *m, const char *tensor, uint64_t cols)
{
    return find_all(m, tensor, cols).weight;
}

static void test_round_trip(void **state)
{
    (void)state;
    enum { TOKENS = 5, COLS = 70, STRIDE = 128 };
    static float x[TOKENS * STRIDE];
    test_rng rng = test_rng_start("imatrix");
    for (int i = 0; i < TOKENS * STRIDE; i++)
        x[i] = test_rng_float(&rng);
    ash_error err;
    ash_imatrix *m = new_imatrix(NULL);
    assert_ok(ash_imatrix_add(m, "b", true, x, 2, COLS, STRIDE, &err), &err);
    assert_ok(ash_imatrix_add(m, "a", true, x, TOKENS, 3, STRIDE, &err), &err);
    assert_ok(ash_imatrix_add(m, "b", true, x + 2 * STRIDE, TOKENS - 2, COLS, STRIDE, &err), &err);
    assert_int_equal(ash_imatrix_add(m, "b", true, x, 1, COLS + 1, STRIDE, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "b: inputs of 71 columns"));
    char *path = test_path("round.gguf");
    assert_ok(ash_imatrix_write(m, path, true, "text.txt", 2, 512, &err), &err);
    assert_int_equal(ash_imatrix_write(m, path, false, "text.txt", 2, 512, &err), ASH_E_ARGUMENT);
    ash_imatrix_free(m);

    ash_gguf *g;
    uint64_t value;
    assert_ok(ash_gguf_open(path, &g, &err), &err);
    assert_true(ash_gguf_get_u64(g, "imatrix.chunk_count", &value) && value == 2);
    assert_true(ash_gguf_get_u64(g, "imatrix.chunk_size", &value) && value == 512);
    static const char *const names[] = { "a.in_sum2", "a.counts", "a.in_sum", "b.in_sum2", "b.counts", "b.in_sum" };
    assert_int_equal(ash_gguf_tensor_count(g), 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_string_equal(ash_gguf_tensor_at(g, i)->name, names[i]);
    ash_gguf_close(g);

    assert_ok(ash_imatrix_read(path, &m, &err), &err);
    assert_int_equal(ash_imatrix_count(m), 2);
    ash_importance known = find_all(m, "b", COLS);
    const float *weights = known.weight;
    float means[COLS];
    double squares[COLS];
    assert_int_equal(known.balance->rank, 1);
    for (int k = 0; k < COLS; k++) {
        double sum = 0, plain = 0;
        for (int t = 0; t < TOKENS; t++) {
            sum += (double)x[t * STRIDE + k] * (double)x[t * STRIDE + k];
            plain += (double)x[t * STRIDE + k];
        }
        squares[k] = (double)(float)sum / TOKENS;
        means[k] = (float)((double)(float)plain / TOKENS);
        assert_true(known.balance->directions[k] == means[k]);
        /* the sum rounds to float in the file, the power again */
        double weight = pow(sum / TOKENS, 0.75);
        assert_true(fabs(weights[k] - weight) <= 0x1p-23 * weight);
    }
    ash_balance expected;
    assert_ok(ash_balance_init(&expected, means, squares, COLS, 1, &err), &err);
    assert_memory_equal(expected.feedback.pull, known.balance->feedback.pull, COLS * sizeof(float));
    ash_balance_free(&expected);
    assert_non_null(find(m, "a", 3));
    assert_null(find(m, "c", 3));
    assert_int_equal(ash_imatrix_find(m, "b", 71, &known, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "another model"));
    ash_imatrix_free(m);
    free(path);
}

/* B^T B of the directions as they come back, against the moments of what went in: inputs of few directions come back
 * whole, others with the strongest; tensors with the same inputs share them. */
static void test_directions(void **state)
{
    (void)state;
    enum { TOKENS = 400, COLS = 200, STRIDE = 256, NARROW = 20 };
    static float x[TOKENS * STRIDE], narrow[NARROW][COLS];
    const ash_blas *blas;
    ash_error err;
    if (ash_blas_load(&blas, &err) != ASH_OK)
        test_skip(err.text);
    test_rng rng = test_rng_start("directions");
    for (int i = 0; i < NARROW; i++)
        for (int k = 0; k < COLS; k++)
            narrow[i][k] = test_rng_float(&rng);
    for (int wide = 0; wide < 2; wide++) {
        for (int t = 0; t < TOKENS; t++)
            for (int k = 0; k < COLS; k++)
                x[t * STRIDE + k] = wide ? 0.1f * test_rng_float(&rng) : 0;
        for (int t = 0; t < TOKENS; t++)
            for (int i = 0; i < NARROW; i++) {
                float by = test_rng_float(&rng);
                for (int k = 0; k < COLS; k++)
                    x[t * STRIDE + k] += by * narrow[i][k];
            }
        for (int t = 0; t < TOKENS; t++)
            x[t * STRIDE + 5] = 0;
        ash_imatrix *m = new_imatrix(blas);
        for (int part = 0; part < 4; part++) {
            const float *from = x + part * TOKENS / 4 * STRIDE;
            assert_ok(ash_imatrix_add(m, "l.q", true, from, TOKENS / 4, COLS, STRIDE, &err), &err);
            assert_ok(ash_imatrix_add(m, "l.k", false, from, TOKENS / 4, COLS, STRIDE, &err), &err);
            assert_ok(ash_imatrix_add(m, "l.v", false, x, TOKENS / 4, COLS, STRIDE, &err), &err);
        }
        char *path = test_path("directions.gguf");
        assert_ok(ash_imatrix_write(m, path, true, "text.txt", 1, TOKENS, &err), &err);
        ash_imatrix_free(m);
        assert_ok(ash_imatrix_read(path, &m, &err), &err);
        const ash_balance *b = find_all(m, "l.q", COLS).balance;
        assert_ptr_equal(b, find_all(m, "l.k", COLS).balance);
        assert_null(find_all(m, "l.v", COLS).balance); /* others' inputs, and none of its own */
        assert_int_equal(b->rank, ASH_IMATRIX_DIRECTIONS);
        double lost = 0, all = 0;
        for (int j = 0; j < COLS; j++)
            for (int k = 0; k < COLS; k++) {
                double want = 0, got = 0;
                for (int t = 0; t < TOKENS; t++)
                    want += (double)x[t * STRIDE + j] * (double)x[t * STRIDE + k] / TOKENS;
                for (int i = 0; i < b->rank; i++)
                    got += (double)b->directions[j / 8 * 8 * b->rank + i * 8 + j % 8] *
                           (double)b->directions[k / 8 * 8 * b->rank + i * 8 + k % 8];
                lost += (want - got) * (want - got);
                all += want * want;
            }
        printf("# measure directions of %s inputs: moments to %.1e\n", wide ? "wide" : "narrow", sqrt(lost / all));
        /* Halves are right to 2^-12, so products to 2^-11. Wide inputs may lose their noise too: 200 moments of 0.01 / 3
         * beside 20 of 200 / 9, of the root of the sum of squares 2^-11. */
        assert_true(sqrt(lost / all) < (wide ? 0x1p-10 : 0x1p-11));
        ash_imatrix_free(m);
        free(path);
    }
    x[3] = INFINITY;
    ash_imatrix *m = new_imatrix(blas);
    assert_int_equal(ash_imatrix_add(m, "l.q", true, x, TOKENS, COLS, STRIDE, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "l.q: the inputs are not finite"));
    ash_imatrix_free(m);
}

/* fixtures/imatrix.gguf, by make_imatrix.py: sums 3 k over 1,536 rows. */
static void test_llama_cpp_form(void **state)
{
    (void)state;
    ash_error err;
    ash_imatrix *m;
    assert_ok(ash_imatrix_read("tests/fixtures/imatrix.gguf", &m, &err), &err);
    const float *q = find(m, "blk.0.attn_q.weight", 64), *down = find(m, "blk.0.ffn_down.weight", 96);
    for (int k = 0; k < 96; k++) {
        assert_true(fabs(down[k] - pow(3.0 * k / 1536, 0.75)) <= 0x1p-23 * (double)down[k]);
        assert_true(k >= 64 || q[k] == down[k]);
    }
    assert_null(find_all(m, "blk.0.ffn_down.weight", 96).balance); /* without plain sums */
    assert_null(find(m, "blk.0.ffn_up_exps.weight", 32)); /* experts */
    assert_null(find(m, "blk.1.attn_k.weight", 64));      /* no token reached it */
    ash_imatrix_free(m);
}

/* A file of one tensor "t", with what a test wants wrong. */
typedef struct broken {
    const char *type, *counts;
    ash_dtype dtype;
    float sum, count;
    const char *says;
    ash_dtype plain_dtype; /* of t.in_sum, which is there where plain_cols is not 0 */
    uint64_t plain_cols;
    float plain;
    ash_dtype dtype_of_directions; /* of t.in_directions, where directions is not 0 */
    uint64_t directions, columns;
    float direction;
} broken;

static void test_broken(void **state)
{
    (void)state;
    static const broken cases[] = {
        { "model", "t.counts", ASH_F32, 1, 1, "no importance matrix", 0, 0, 0, 0, 0, 0, 0 },
        { NULL, "t.counts", ASH_F32, 1, 1, "no importance matrix", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "u.counts", ASH_F32, 1, 1, "t has sums but no .counts", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F16, 1, 1, "t: sums are F32", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, -1, 1, "t.in_sum2: column 0 is -1", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, NAN, 1, "t.in_sum2: column 0", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, INFINITY, 1, "t.in_sum2: column 0", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 1, -1, "t.counts is -1", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 1, NAN, "t.counts is", 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 1, 1, NULL, 0, 0, 0, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, NULL, ASH_F32, 4, -2, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_sum: column 0 is 2.001: more than", ASH_F32, 4, 2.001f, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_sum: column 0", ASH_F32, 4, NAN, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_sum: column 0", ASH_F32, 4, -INFINITY, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_sum: a sum is F32", ASH_F16, 4, 1, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_sum: a sum is F32", ASH_F32, 5, 1, 0, 0, 0, 0 },
        { "imatrix", "t.counts", ASH_F32, 0, 0, NULL, ASH_F32, 4, 5, 0, 0, 0, 0 }, /* nothing is known, so nothing is wrong */
        { "imatrix", "t.counts", ASH_F32, 4, 1, NULL, 0, 0, 0, ASH_F16, 3, 4, -1 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, NULL, ASH_F32, 4, -2, ASH_F16, 256, 4, 1 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_directions: column 0 is 1.0", 0, 0, 0, ASH_F16, 3, 4, 1.001f },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_directions: column 0", 0, 0, 0, ASH_F16, 3, 4, NAN },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_directions: column 0", 0, 0, 0, ASH_F16, 3, 4, INFINITY },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_directions: 4 columns", 0, 0, 0, ASH_F16, 257, 4, 1 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_directions: 4 columns", 0, 0, 0, ASH_F16, 3, 5, 1 },
        { "imatrix", "t.counts", ASH_F32, 4, 1, "t.in_directions: directions are F16", 0, 0, 0, ASH_F32, 3, 4, 1 },
    };
    char *path = test_path("broken.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const broken *b = &cases[i];
        ash_error err;
        ash_gguf_writer *w;
        assert_ok(ash_gguf_writer_create(path, true, 3, 32, &w, &err), &err);
        if (b->type)
            assert_ok(ash_gguf_writer_kv_string(w, "general.type", b->type, strlen(b->type), &err), &err);
        assert_ok(ash_gguf_writer_tensor(w, "t.in_sum2", b->dtype, 2, (uint64_t[4]){ 4, 1, 1, 1 }, &err), &err);
        assert_ok(ash_gguf_writer_tensor(w, b->counts, ASH_F32, 2, (uint64_t[4]){ 1, 1, 1, 1 }, &err), &err);
        if (b->plain_cols)
            assert_ok(ash_gguf_writer_tensor(w, "t.in_sum", b->plain_dtype, 2,
                                             (uint64_t[4]){ b->plain_cols, 1, 1, 1 }, &err), &err);
        if (b->directions)
            assert_ok(ash_gguf_writer_tensor(w, "t.in_directions", b->dtype_of_directions, 2,
                                             (uint64_t[4]){ b->columns, b->directions, 1, 1 }, &err), &err);
        float sums[4] = { b->sum, 2, 3, 4 }, plain[5] = { b->plain };
        assert_ok(ash_gguf_writer_put(w, sums, b->dtype == ASH_F32 ? 16 : 8, &err), &err);
        assert_ok(ash_gguf_writer_put(w, &b->count, 4, &err), &err);
        if (b->plain_cols)
            assert_ok(ash_gguf_writer_put(w, plain, b->plain_cols * (b->plain_dtype == ASH_F32 ? 4 : 2), &err), &err);
        uint64_t n = b->directions * b->columns;
        uint16_t *halves = calloc(2 * n + 1, sizeof *halves);
        assert_non_null(halves);
        halves[n ? n - b->columns : 0] = ash_f32_to_f16(b->direction);
        if (n)
            assert_ok(ash_gguf_writer_put(w, halves, n * (b->dtype_of_directions == ASH_F32 ? 4 : 2), &err), &err);
        free(halves);
        assert_ok(ash_gguf_writer_finish(w, &err), &err);
        ash_imatrix *m;
        ash_status status = ash_imatrix_read(path, &m, &err);
        if (!b->says) {
            assert_ok(status, &err);
            ash_imatrix_free(m);
            continue;
        }
        assert_null(m);
        if (status == ASH_OK || !strstr(err.text, b->says) || !strstr(err.text, path))
            fail_msg("case %zu: %s", i, err.text);
    }
    free(path);
}

/* A matrix of a converted file as floats, row by row as in its source; malloc'd. */
static float *matrix_of(const char *path, const char *name, uint64_t rows, uint64_t cols)
{
    ash_file *file = read_back_open(path);
    const ash_tensor_record *t;
    const ash_member_record *m;
    size_t size;
    assert_true(read_back_find(file, name, &t, &m));
    uint8_t *bytes = read_back(file, t, m, &size);
    float *out = malloc(rows * cols * sizeof *out);
    assert_non_null(out);
    for (uint64_t i = 0; i < rows; i++)
        ash_decode_row((ash_dtype)t->dtype, bytes + i * (size / rows), (int64_t)cols, out + i * cols);
    free(bytes);
    ash_file_close(file);
    return out;
}

/* Weighted squared error of one matrix of the converted file. */
static double error_of(const float *exact, const float *got, const float *weight, uint64_t rows, uint64_t cols)
{
    double sum = 0;
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t k = 0; k < cols; k++) {
            double d = (double)got[i * cols + k] - (double)exact[i * cols + k];
            sum += (double)weight[k] * d * d;
        }
    return sum;
}

/* The sum over rows of the squared error of the output for the mean inputs. */
static double mean_error_of(const float *exact, const float *got, const float *mean, uint64_t rows, uint64_t cols)
{
    double sum = 0;
    for (uint64_t i = 0; i < rows; i++) {
        double e = 0;
        for (uint64_t k = 0; k < cols; k++)
            e += (double)mean[k] * ((double)got[i * cols + k] - (double)exact[i * cols + k]);
        sum += e * e;
    }
    return sum;
}

/* Columns that matter a hundred times more come out with less error, and outputs keep their mean. */
static void test_conversion_is_weighted(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *source = make_gguf("weighted", &spec), *out[2] = { test_path("plain.ashlar"), test_path("guided.ashlar") };
    static float x[2 * 512];
    test_rng rng = test_rng_start("weights");
    for (int k = 0; k < 512; k++)
        x[k] = test_rng_below(&rng, 2) ? 10 : 1;
    for (int k = 0; k < 512; k++)
        x[512 + k] = test_rng_below(&rng, 2) ? x[k] : -x[k]; /* half of the columns have a mean */
    ash_error err;
    ash_imatrix *m = new_imatrix(NULL);
    assert_ok(ash_imatrix_add(m, "blk.1.ffn_down.weight", true, x, 2, spec.ffn, 512, &err), &err);
    char *path = test_path("weighted-imatrix.gguf");
    assert_ok(ash_imatrix_write(m, path, true, "none", 1, 1, &err), &err);
    ash_imatrix_free(m);
    assert_ok(ash_imatrix_read(path, &m, &err), &err);
    const float *weight = find(m, "blk.1.ffn_down.weight", spec.ffn);
    float mean[512];
    assert_true(spec.ffn <= 512);
    for (uint32_t k = 0; k < spec.ffn; k++)
        mean[k] = (x[k] + x[512 + k]) / 2;
    ash_convert_guide guide = { .imatrix = m };
    float *w[3];
    for (int i = 0; i < 3; i++) {
        ash_convert_options o = { .type = i == 0 ? ASH_F32 : ASH_Q4_K, .force = true, .guide = i == 2 ? &guide : NULL };
        char *to = out[i == 2];
        assert_ok(ash_convert(source, to, &o, NULL, &err), &err);
        w[i] = matrix_of(to, "blk.1.ffn_down.weight", spec.hidden, spec.ffn);
    }
    double plain = error_of(w[0], w[1], weight, spec.hidden, spec.ffn);
    double guided = error_of(w[0], w[2], weight, spec.hidden, spec.ffn);
    double plain_mean = mean_error_of(w[0], w[1], mean, spec.hidden, spec.ffn);
    double guided_mean = mean_error_of(w[0], w[2], mean, spec.hidden, spec.ffn);
    printf("# measure importance against none: weighted error %.3f, of the mean %.4f\n", guided / plain,
           guided_mean / plain_mean);
    assert_true(guided < 0.9 * plain);
    assert_true(guided_mean < 0.1 * plain_mean);

    /* The importance of another model is refused before anything is written. */
    ash_imatrix *other = new_imatrix(NULL);
    assert_ok(ash_imatrix_add(other, "blk.1.ffn_down.weight", true, x, 1, 100, 512, &err), &err);
    ash_convert_options o = { .type = ASH_Q4_K, .force = false, .guide = &(ash_convert_guide){ .imatrix = other } };
    char *third = test_path("third.ashlar");
    assert_int_equal(ash_convert(source, third, &o, NULL, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "blk.1.ffn_down.weight has 512 columns, its importance 100"));
    assert_false(test_exists(third));
    ash_imatrix_free(other);
    ash_imatrix_free(m);
    for (int i = 0; i < 3; i++)
        free(w[i]);
    free(third);
    free(path);
    free(source);
    free(out[0]);
    free(out[1]);
}

/* A conversion by directions gives the same bytes on any number of threads and at every level of the kernels. */
static void test_same_bytes(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *source = make_gguf("same", &spec), *path = test_path("same-imatrix.gguf"), *out = test_path("same.ashlar");
    static float x[150 * 512];
    test_rng rng = test_rng_start("same");
    const ash_blas *blas;
    ash_error err;
    if (ash_blas_load(&blas, &err) != ASH_OK)
        blas = NULL; /* means do as well */
    ash_imatrix *m = new_imatrix(blas);
    for (int i = 0; i < 150 * 512; i++)
        x[i] = test_rng_float(&rng) + (i % 512 % 3 ? 0.5f : x[i - i % 512]);
    for (uint32_t layer = 0; layer < spec.layers; layer++)
        for (int down = 0; down < 2; down++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%u.%s.weight", layer, down ? "ffn_down" : "ffn_up");
            assert_ok(ash_imatrix_add(m, name, true, x, 150, down ? spec.ffn : spec.hidden, 512, &err), &err);
        }
    assert_ok(ash_imatrix_write(m, path, true, "none", 1, 1, &err), &err);
    ash_imatrix_free(m);
    assert_ok(ash_imatrix_read(path, &m, &err), &err);
    ash_convert_guide guide = { .imatrix = m };
    char *first = NULL, *bytes;
    size_t first_size = 0, size;
    for (uint32_t run = 0; run < 3 + ASH_LEVEL_COUNT; run++) {
        ash_convert_options o = { .type = ASH_Q4_K, .force = true, .guide = &guide,
                                  .threads = run == 0 ? 1 : run == 1 ? 7 : 2, .levels = run < 3 ? 0 : run - 2 };
        assert_ok(ash_convert(source, out, &o, NULL, &err), &err);
        assert_ok(ash_read_whole(out, 1 << 28, &bytes, &size, &err), &err);
        if (first) {
            assert_int_equal(size, first_size);
            assert_memory_equal(bytes, first, size);
            free(bytes);
        } else {
            first = bytes;
            first_size = size;
        }
    }
    free(first);
    ash_imatrix_free(m);
    free(out);
    free(path);
    free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_directions),
        cmocka_unit_test(test_llama_cpp_form),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_conversion_is_weighted),
        cmocka_unit_test(test_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
