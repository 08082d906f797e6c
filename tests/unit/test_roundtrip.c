/* GGUF to .ashlar to GGUF: the same file, byte for byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/gguf.h"
#include "tests/support/make_gguf.h"
#include "tests/support/read_back.h"

/* Converts and exports; returns the path of what came back, malloc'd. */
static char *there_and_back(const char *source, uint32_t type)
{
    char *middle = test_path("middle.ashlar"), *back = test_path("back.gguf");
    ash_error err;
    ash_convert_options options = { .type = type, .force = true, .threads = 2 };
    assert_ok(ash_convert(source, middle, &options, NULL, &err), &err);
    ash_export_options export = { .force = true };
    assert_ok(ash_export_gguf(middle, back, &export, &err), &err);
    free(middle);
    return back;
}

static void assert_same_file(const char *a, const char *b)
{
    size_t n, m;
    uint8_t *x = test_read_file(a, &n), *y = test_read_file(b, &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            fail_msg("%s and %s differ at byte %zu", a, b, i);
    free(x), free(y);
}

static void test_smollm2(void **state)
{
    (void)state;
    const char *path = getenv("SMOLLM2_GGUF");
    if (!path || !*path || !test_exists(path))
        test_skip("SMOLLM2_GGUF names no file");
    char *back = there_and_back(path, ASH_TYPE_KEEP);
    assert_same_file(path, back);
    free(back);
}

/* Every type that GGUF and the tiles share; columns that are and are not whole tiles. */
static void test_every_type(void **state)
{
    (void)state;
    static const ash_dtype types[] = { ASH_F32, ASH_F16, ASH_BF16, ASH_Q4_0, ASH_Q4_1, ASH_Q5_0, ASH_Q5_1, ASH_Q8_0,
                                       ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bool k_quant = types[i] == ASH_Q4_K || types[i] == ASH_Q5_K || types[i] == ASH_Q6_K;
        make_spec spec = make_defaults();
        spec.dtype = types[i];
        spec.hidden = k_quant ? 512 : 288; /* 288: one full tile and a rest of one 32-column step */
        spec.ffn = k_quant ? 768 : 480;
        spec.rope_freqs = i % 2;
        spec.extra = i % 3 == 0 ? "extra.weight" : NULL;
        char *path = make_gguf("one", &spec), *back = there_and_back(path, ASH_TYPE_KEEP);
        assert_same_file(path, back);
        free(path), free(back);
    }
}

static void test_architectures_and_headers(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        uint32_t heads, kv, head_dim, version;
        uint64_t alignment;
        bool tied;
    } cases[] = {
        { "llama", 3, 1, 80, 2, 0, false }, { "qwen2", 4, 2, 64, 3, 64, true },  { "qwen3", 4, 2, 128, 3, 4096, false },
        { "qwen2", 4, 1, 72, 3, 8, false }, { "qwen3", 5, 1, 24, 2, 256, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.architecture = cases[i].arch, spec.version = cases[i].version, spec.alignment = cases[i].alignment;
        spec.heads = cases[i].heads, spec.kv_heads = cases[i].kv, spec.head_dim = cases[i].head_dim;
        spec.tied = cases[i].tied;
        spec.dtype = i % 2 ? ASH_Q8_0 : ASH_F16;
        spec.alternate = i % 2 ? ASH_F16 : ASH_F32;
        if (i == 0)
            spec.hidden = 240; /* no multiple of 32, F16 */
        char *path = make_gguf("arch", &spec), *back = there_and_back(path, ASH_TYPE_KEEP);
        assert_same_file(path, back);
        free(path), free(back);
    }
}

/* A split model comes back as one file: the one that the same model unsplit would be. */
static void test_split(void **state)
{
    (void)state;
    static const ash_dtype types[] = { ASH_BF16, ASH_Q4_K, ASH_Q4_1 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        make_spec spec = make_defaults();
        spec.dtype = types[i], spec.alternate = types[i] == ASH_Q4_K ? ASH_Q6_K : ASH_DTYPE_COUNT;
        char *whole = make_gguf("whole", &spec);
        spec.parts = 3;
        char *first = make_gguf("parts", &spec), *back = there_and_back(first, ASH_TYPE_KEEP);
        assert_same_file(whole, back);
        free(whole), free(first), free(back);
    }
}

/* With another type the file cannot be the same; what it says of itself must still be true. */
static void test_other_type(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.architecture = "qwen2";
    char *path = make_gguf("typed", &spec), *back = there_and_back(path, ASH_Q8_0);
    ash_error err;
    ash_gguf *a, *b;
    assert_ok(ash_gguf_open(path, &a, &err), &err);
    assert_ok(ash_gguf_open(back, &b, &err), &err);
    uint32_t count = ash_gguf_tensor_count(a);
    assert_int_equal(ash_gguf_tensor_count(b), count);
    for (uint32_t i = 0; i < count; i++) {
        const ash_gguf_tensor *x = ash_gguf_tensor_at(a, i), *y = ash_gguf_tensor_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->dims, y->dims, sizeof x->dims);
        assert_int_equal(y->dtype, x->dim_count == 2 ? ASH_Q8_0 : x->dtype);
    }
    ash_gguf_close(a), ash_gguf_close(b);
    /* And that file is a model again, with the same weights as far as Q8_0 tells. */
    char *again = there_and_back(back, ASH_TYPE_KEEP), *copy = test_path("typed-again.gguf");
    assert_int_equal(rename(again, copy), 0);
    free(path), free(back), free(again), free(copy);
}

/* K types whose rows are no whole blocks, which a GGUF cannot hold. */
static void test_ragged_type(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 288;
    char *path = make_gguf("ragged", &spec), *back = there_and_back(path, ASH_Q4_K);
    ash_error err;
    ash_gguf *g;
    uint64_t type;
    assert_ok(ash_gguf_open(back, &g, &err), &err);
    assert_true(ash_gguf_get_u64(g, "general.file_type", &type) && type == 8); /* most are Q5_0 */
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        assert_int_equal(t->dtype, t->dim_count == 1 ? ASH_F32 : t->dims[0] % 256 == 0 ? ASH_Q4_K : ASH_Q5_0);
    }
    ash_gguf_close(g);
    free(path), free(back);
}

static void test_refusals(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *middle = test_path("refused.ashlar"), *dir = test_path("none"), *back = test_path("none/back.gguf");
    ash_error err;
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .force = true };
    /* An existing output without force, and the source as its own output. */
    char *path = make_gguf("from-gguf", &spec);
    assert_ok(ash_convert(path, middle, &options, NULL, &err), &err);
    assert_int_equal(ash_export_gguf(middle, path, NULL, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_export_gguf(middle, middle, &(ash_export_options){ .force = true }, &err), ASH_E_ARGUMENT);
    assert_int_not_equal(ash_export_gguf(path, back, NULL, &err), ASH_OK); /* no .ashlar */
    assert_int_equal(test_count_entries(dir), 0);
    free(middle), free(dir), free(back), free(path);
}

static int stop_half_way(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return done > total / 2;
}

static void test_cancel(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *path = make_gguf("stop", &spec), *middle = test_path("stop.ashlar"), *dir = test_path("stopped");
    char *back = test_path("stopped/back.gguf");
    ash_error err;
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .force = true };
    assert_ok(ash_convert(path, middle, &options, NULL, &err), &err);
    ash_export_options export = { .progress = stop_half_way };
    assert_int_equal(ash_export_gguf(middle, back, &export, &err), ASH_E_CANCELLED);
    assert_int_equal(test_count_entries(dir), 0);
    free(path), free(middle), free(dir), free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_smollm2), cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_architectures_and_headers),
    cmocka_unit_test(test_split),  cmocka_unit_test(test_other_type), cmocka_unit_test(test_ragged_type),
    cmocka_unit_test(test_refusals),
    cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
