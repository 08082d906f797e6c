/* The GGUF reader and writer on well-formed files: every value type, split models, byte-identical rewriting. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/gguf_write.h"
#include "tests/support/make_gguf.h"
#include "tests/support/support.h"

static ash_gguf_writer *create(const char *path, uint32_t version, uint64_t alignment)
{
    ash_error err;
    ash_gguf_writer *w;
    assert_ok(ash_gguf_writer_create(path, true, version, alignment, &w, &err), &err);
    return w;
}

static ash_gguf *open_file(const char *path)
{
    ash_error err;
    ash_gguf *g;
    assert_ok(ash_gguf_open(path, &g, &err), &err);
    return g;
}

static void *read_tensor(const ash_gguf *g, const ash_gguf_tensor *t)
{
    ash_error err;
    void *bytes = malloc(t->size);
    assert_non_null(bytes);
    assert_ok(ash_gguf_read(g, t, 0, bytes, t->size, &err), &err);
    return bytes;
}

static void assert_same_file(const char *a, const char *b)
{
    size_t a_size, b_size;
    uint8_t *x = test_read_file(a, &a_size), *y = test_read_file(b, &b_size);
    assert_int_equal(a_size, b_size);
    for (size_t i = 0; i < a_size; i++)
        if (x[i] != y[i])
            fail_msg("%s and %s differ at byte %zu", a, b, i);
    free(x);
    free(y);
}

/* Reader to writer: the same file again. */
static void rewrite(const char *source, const char *target)
{
    ash_error err;
    ash_gguf *g = open_file(source);
    ash_gguf_writer *w = create(target, ash_gguf_version(g), ash_gguf_alignment(g));
    for (uint64_t i = 0; i < ash_gguf_kv_count(g); i++) {
        const ash_gguf_kv *kv = ash_gguf_kv_at(g, i);
        assert_ok(ash_gguf_writer_kv_raw(w, kv->record, kv->record_size, &err), &err);
    }
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        assert_ok(ash_gguf_writer_tensor(w, t->name, t->dtype, t->dim_count, t->dims, &err), &err);
    }
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        uint8_t *bytes = read_tensor(g, t);
        uint64_t half = t->size / 3; /* two puts a tensor */
        assert_ok(ash_gguf_writer_put(w, bytes, half, &err), &err);
        assert_ok(ash_gguf_writer_put(w, bytes + half, t->size - half, &err), &err);
        free(bytes);
    }
    assert_ok(ash_gguf_writer_finish(w, &err), &err);
    ash_gguf_close(g);
}

static void rewritten_files_are_identical(void **state)
{
    (void)state;
    char *target = test_path("again.gguf");
    for (uint32_t type = 0; type < ASH_DTYPE_COUNT; type++) {
        if (ash_dtype_find(type)->gguf < 0)
            continue;
        make_spec spec = make_defaults();
        spec.dtype = type;
        spec.alignment = type % 2 ? 0 : 64;
        spec.version = type % 3 ? 3 : 2;
        spec.extra = "last.odd"; /* 60 bytes: the file ends in padding */
        char *path = make_gguf("once", &spec);
        rewrite(path, target);
        assert_same_file(path, target);
        free(path);
    }
    free(target);
}

/* Files of the usual writers: ggml for SmolLM2, the Python package for the vocabularies. */
static void vocabularies_are_identical(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt-2", "llama-bpe", "llama-spm", "qwen2" };
    char *target = test_path("again.gguf");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char shared[64];
        snprintf(shared, sizeof shared, "vocab/ggml-vocab-%s.gguf", names[i]);
        char *path = test_shared(shared);
        if (!path) {
            free(target);
            skip();
        }
        rewrite(path, target);
        assert_same_file(path, target);
        free(path);
    }
    free(target);
}

static void smollm2_is_identical(void **state)
{
    (void)state;
    const char *path = getenv("SMOLLM2_GGUF");
    if (!path || !test_exists(path))
        test_skip("SMOLLM2_GGUF names no file");
    char *target = test_path("again.gguf");
    ash_gguf *g = open_file(path);
    assert_int_equal(ash_gguf_tensor_count(g), 272);
    uint64_t layers;
    assert_true(ash_gguf_get_u64(g, "llama.block_count", &layers));
    assert_int_equal(layers, 30);
    ash_gguf_close(g);
    rewrite(path, target);
    assert_same_file(path, target);
    remove(target);
    free(target);
}

/* ---- key-values ---- */

static void put_raw(ash_gguf_writer *w, const char *key, uint32_t type, const void *value, size_t size)
{
    ash_error err;
    uint8_t record[128];
    uint64_t length = strlen(key);
    memcpy(record, &length, 8);
    memcpy(record + 8, key, length);
    memcpy(record + 8 + length, &type, 4);
    memcpy(record + 12 + length, value, size);
    assert_ok(ash_gguf_writer_kv_raw(w, record, 12 + length + size, &err), &err);
}

static void values_of_every_type(void **state)
{
    (void)state;
    ash_error err;
    char *path = test_path("values.gguf");
    ash_gguf_writer *w = create(path, 3, 32);
    const uint8_t u8 = 200, yes = 1;
    const int8_t minus = -1;
    const uint16_t u16 = 60000;
    const int16_t i16 = 30000;
    const int32_t i32 = INT32_MAX, negative = INT32_MIN;
    const uint64_t u64 = UINT64_MAX;
    const int64_t i64 = INT64_MAX;
    const double f64 = 0.1;
    put_raw(w, "u8", ASH_GGUF_U8, &u8, 1);
    put_raw(w, "minus", ASH_GGUF_I8, &minus, 1);
    put_raw(w, "u16", ASH_GGUF_U16, &u16, 2);
    put_raw(w, "i16", ASH_GGUF_I16, &i16, 2);
    put_raw(w, "i32", ASH_GGUF_I32, &i32, 4);
    put_raw(w, "negative", ASH_GGUF_I32, &negative, 4);
    put_raw(w, "u64", ASH_GGUF_U64, &u64, 8);
    put_raw(w, "i64", ASH_GGUF_I64, &i64, 8);
    put_raw(w, "f64", ASH_GGUF_F64, &f64, 8);
    put_raw(w, "yes", ASH_GGUF_BOOL, &yes, 1);
    assert_ok(ash_gguf_writer_kv_u32(w, "u32", UINT32_MAX, &err), &err);
    assert_ok(ash_gguf_writer_kv_f32(w, "f32", -0.5f, &err), &err);
    assert_ok(ash_gguf_writer_kv_bool(w, "no", false, &err), &err);
    assert_ok(ash_gguf_writer_kv_string(w, "text", "a\0b", 3, &err), &err);
    assert_ok(ash_gguf_writer_kv_string(w, "empty", "", 0, &err), &err);
    const float floats[] = { 1, 2, 3 };
    assert_ok(ash_gguf_writer_kv_array(w, "floats", ASH_GGUF_F32, floats, 3, &err), &err);
    assert_ok(ash_gguf_writer_kv_array(w, "none", ASH_GGUF_U16, NULL, 0, &err), &err);
    const ash_gguf_string strings[] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
    assert_ok(ash_gguf_writer_kv_strings(w, "strings", strings, 3, &err), &err);
    assert_ok(ash_gguf_writer_finish(w, &err), &err);

    ash_gguf *g = open_file(path);
    assert_int_equal(ash_gguf_kv_count(g), 18);
    static const struct { const char *key; uint64_t value; } integers[] = {
        { "u8", 200 }, { "u16", 60000 }, { "i16", 30000 }, { "u32", UINT32_MAX }, { "i32", INT32_MAX },
        { "u64", UINT64_MAX }, { "i64", INT64_MAX },
    };
    uint64_t value;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        assert_true(ash_gguf_get_u64(g, integers[i].key, &value));
        assert_true(value == integers[i].value);
    }
    static const char *const no_integers[] = { "minus", "negative", "f32", "f64", "yes", "text", "floats", "absent" };
    for (size_t i = 0; i < sizeof no_integers / sizeof *no_integers; i++)
        assert_false(ash_gguf_get_u64(g, no_integers[i], &value));
    double number;
    bool flag;
    ash_gguf_string text;
    assert_true(ash_gguf_get_f64(g, "f32", &number) && number == -0.5);
    assert_true(ash_gguf_get_f64(g, "f64", &number) && number == 0.1);
    assert_false(ash_gguf_get_f64(g, "u32", &number));
    assert_true(ash_gguf_get_bool(g, "yes", &flag) && flag);
    assert_true(ash_gguf_get_bool(g, "no", &flag) && !flag);
    assert_false(ash_gguf_get_bool(g, "u8", &flag));
    assert_true(ash_gguf_get_string(g, "text", &text));
    assert_int_equal(text.size, 3);
    assert_memory_equal(text.text, "a\0b", 3);
    assert_true(ash_gguf_get_string(g, "empty", &text) && text.size == 0);
    assert_false(ash_gguf_get_string(g, "strings", &text));

    const ash_gguf_kv *kv = ash_gguf_find(g, "floats");
    assert_non_null(kv);
    assert_int_equal(kv->type, ASH_GGUF_ARRAY);
    assert_int_equal(kv->element, ASH_GGUF_F32);
    assert_int_equal(kv->count, 3);
    assert_int_equal(kv->value_size, sizeof floats);
    assert_memory_equal(kv->value, floats, sizeof floats);
    kv = ash_gguf_find(g, "strings");
    uint64_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_true(ash_gguf_next_string(kv, &at, &text));
        assert_int_equal(text.size, strings[i].size);
        assert_memory_equal(text.text, strings[i].text, text.size);
    }
    assert_false(ash_gguf_next_string(kv, &at, &text));
    at = 0;
    assert_false(ash_gguf_next_string(ash_gguf_find(g, "floats"), &at, &text));
    assert_null(ash_gguf_find(g, "string")); /* a prefix of a key is no key */
    assert_null(ash_gguf_kv_at(g, 18));
    ash_gguf_close(g);
    free(path);
}

static void assert_same_pair(const ash_gguf_kv *a, const ash_gguf_kv *b)
{
    assert_int_equal(a->record_size, b->record_size);
    assert_memory_equal(a->record, b->record, a->record_size);
    assert_int_equal(a->value_size, b->value_size);
    assert_int_equal(a->count, b->count);
}

/* GGKV: the pairs in order, without split.*, readable on their own. */
static void kept_pairs(void **state)
{
    (void)state;
    ash_error err;
    make_spec spec = make_defaults();
    spec.parts = 3;
    spec.version = 2;
    spec.alignment = 128;
    char *path = make_gguf("kept", &spec);
    ash_gguf *g = open_file(path), *kept;
    uint8_t *bytes;
    size_t size;
    assert_ok(ash_gguf_kv_bytes(g, &bytes, &size, &err), &err);
    assert_ok(ash_gguf_open_kv(bytes, size, &kept, &err), &err);
    assert_int_equal(ash_gguf_version(kept), 2);
    assert_int_equal(ash_gguf_alignment(kept), 128);
    assert_int_equal(ash_gguf_tensor_count(kept), 0);
    assert_int_equal(ash_gguf_kv_count(kept) + 3, ash_gguf_kv_count(g));
    for (uint64_t i = 0, k = 0; i < ash_gguf_kv_count(g); i++) {
        const ash_gguf_kv *kv = ash_gguf_kv_at(g, i);
        if (kv->key.size < 6 || memcmp(kv->key.text, "split.", 6) != 0)
            assert_same_pair(kv, ash_gguf_kv_at(kept, k++));
    }
    ash_gguf_close(kept);
    /* Cut anywhere, or longer by a byte: refused. Exact-size copies let a sanitizer see any read beyond them. */
    for (size_t cut = 0; cut < size; cut += cut < 64 || cut + 64 > size ? 1 : 13) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        copy = realloc(copy, cut ? cut : 1);
        assert_int_equal(ash_gguf_open_kv(copy, cut, &kept, &err), ASH_E_FORMAT);
        assert_null(kept);
        free(copy);
    }
    uint8_t *longer = calloc(1, size + 1);
    memcpy(longer, bytes, size);
    assert_int_equal(ash_gguf_open_kv(longer, size + 1, &kept, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, "GGUF key-values: 1 bytes follow the last pair");
    free(longer);
    free(bytes);
    ash_gguf_close(g);
    free(path);
}

/* Headers are read in growing steps: one of 6 MiB needs several, with a boundary inside a string, an array and the
 * tensor directory. Tensors of 20 bytes need padding between them. */
static void large_header(void **state)
{
    (void)state;
    ash_error err;
    char *path = test_path("large.gguf"), name[32];
    ash_gguf_writer *w = create(path, 3, 32);
    const uint64_t count = 100000, dims[4] = { 5, 1, 1, 1 };
    ash_gguf_string *strings = calloc(count, sizeof *strings);
    assert_non_null(strings);
    for (uint64_t i = 0; i < count; i++)
        strings[i] = (ash_gguf_string){ "some token", i % 11 };
    uint8_t *blob = calloc(1, 3 << 20);
    assert_ok(ash_gguf_writer_kv_strings(w, "first", strings, count, &err), &err);
    assert_ok(ash_gguf_writer_kv_array(w, "second", ASH_GGUF_U8, blob, 3 << 20, &err), &err);
    assert_ok(ash_gguf_writer_kv_u32(w, "third", 3, &err), &err);
    for (uint32_t i = 0; i < 30000; i++) {
        snprintf(name, sizeof name, "tensor.%u", i);
        assert_ok(ash_gguf_writer_tensor(w, name, ASH_F32, 1, dims, &err), &err);
    }
    for (uint32_t i = 0; i < 30000; i++) {
        float row[5] = { (float)i };
        assert_ok(ash_gguf_writer_put(w, row, sizeof row, &err), &err);
    }
    assert_ok(ash_gguf_writer_finish(w, &err), &err);
    ash_gguf *g = open_file(path);
    assert_int_equal(ash_gguf_tensor_count(g), 30000);
    assert_string_equal(ash_gguf_tensor_at(g, 29999)->name, "tensor.29999");
    float row[5];
    assert_ok(ash_gguf_read(g, ash_gguf_tensor_at(g, 29999), 0, row, sizeof row, &err), &err);
    assert_true(row[0] == 29999.0f);
    uint64_t value;
    assert_true(ash_gguf_get_u64(g, "third", &value) && value == 3);
    assert_int_equal(ash_gguf_find(g, "first")->count, count);
    ash_gguf_close(g);
    free(strings);
    free(blob);
    free(path);
}

/* ---- split models ---- */

static void split_equals_single(void **state)
{
    (void)state;
    ash_error err;
    for (uint32_t type = 0; type < ASH_USABLE_DTYPES; type++) {
        if (ash_dtype_find(type)->gguf < 0)
            continue;
        make_spec spec = make_defaults();
        spec.dtype = type;
        spec.alternate = type == ASH_Q4_K ? ASH_Q6_K : ASH_DTYPE_COUNT;
        char *whole = make_gguf("whole", &spec);
        spec.parts = 4;
        char *first = make_gguf("split", &spec), *third = test_path("split-00003-of-00004.gguf");
        ash_gguf *a = open_file(whole), *b = open_file(first), *c = open_file(third);
        assert_int_equal(ash_gguf_file_count(b), 4);
        assert_int_equal(ash_gguf_file_count(c), 4);
        assert_int_equal(ash_gguf_tensor_count(a), ash_gguf_tensor_count(b));
        assert_int_equal(ash_gguf_kv_count(b), ash_gguf_kv_count(c));
        assert_int_equal(ash_gguf_kv_count(b), ash_gguf_kv_count(a) + 3);
        for (uint32_t i = 0; i < ash_gguf_tensor_count(a); i++) {
            const ash_gguf_tensor *x = ash_gguf_tensor_at(a, i), *y = ash_gguf_tensor_at(b, i);
            assert_string_equal(x->name, y->name);
            assert_int_equal(x->dtype, y->dtype);
            assert_int_equal(x->size, y->size);
            assert_memory_equal(x->dims, y->dims, sizeof x->dims);
            uint8_t *p = read_tensor(a, x), *q = read_tensor(b, y);
            assert_memory_equal(p, q, x->size);
            free(q);
            q = read_tensor(c, ash_gguf_tensor_at(c, i));
            assert_memory_equal(p, q, x->size);
            free(p);
            free(q);
        }
        /* The pairs that are kept do not depend on the split. */
        uint8_t *p, *q;
        size_t p_size, q_size;
        assert_ok(ash_gguf_kv_bytes(a, &p, &p_size, &err), &err);
        assert_ok(ash_gguf_kv_bytes(c, &q, &q_size, &err), &err);
        assert_int_equal(p_size, q_size);
        assert_memory_equal(p, q, p_size);
        free(p);
        free(q);
        ash_gguf_close(a);
        ash_gguf_close(b);
        ash_gguf_close(c);
        free(whole);
        free(first);
        free(third);
    }
}

/* ---- reading and writing at the edges ---- */

static void ranges_of_a_tensor(void **state)
{
    (void)state;
    ash_error err;
    make_spec spec = make_defaults();
    char *path = make_gguf("ranges", &spec);
    ash_gguf *g = open_file(path);
    const ash_gguf_tensor *t = ash_gguf_tensor_at(g, 0);
    assert_string_equal(t->name, "token_embd.weight");
    assert_int_equal(t->size, 288 * 256 * 2);
    assert_int_equal(t->dims[0], 256);
    assert_int_equal(t->dims[1], 288);
    assert_int_equal(t->dims[2], 1);
    uint8_t *all = read_tensor(g, t), some[100];
    assert_ok(ash_gguf_read(g, t, 1001, some, sizeof some, &err), &err);
    assert_memory_equal(some, all + 1001, sizeof some);
    assert_ok(ash_gguf_read(g, t, t->size, some, 0, &err), &err);
    assert_int_equal(ash_gguf_read(g, t, t->size - 99, some, 100, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_gguf_read(g, t, UINT64_MAX - 50, some, 100, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "are not inside tensor 'token_embd.weight'"));
    free(all);
    ash_gguf_close(g);
    free(path);
}

static void refused_writing(void **state)
{
    (void)state;
    ash_error err;
    ash_gguf_writer *w;
    char *path = test_path("refused/out.gguf"), *folder = test_path("refused");
    const uint64_t dims[4] = { 32, 2, 1, 1 }, odd[4] = { 33, 1, 1, 1 }, huge[4] = { 32, UINT64_C(1) << 60, 32, 1 };
    static const uint8_t zeros[512];

    assert_int_equal(ash_gguf_writer_create(path, false, 4, 32, &w, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_gguf_writer_create(path, false, 3, 48, &w, &err), ASH_E_ARGUMENT);
    assert_null(w);

    w = create(path, 3, 32); /* a row that is no multiple of its block, a size that wraps, a type that GGUF lacks */
    assert_int_equal(ash_gguf_writer_tensor(w, "t", ASH_Q8_0, 2, odd, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, "t: a row of 33 elements is no multiple of the 32 of a q8_0 block");
    assert_int_equal(ash_gguf_writer_tensor(w, "t", ASH_F32, 3, huge, &err), ASH_E_FORMAT);
    assert_int_equal(ash_gguf_writer_tensor(w, "t", ASH_F8_E4M3, 2, dims, &err), ASH_E_UNSUPPORTED);
    assert_int_equal(ash_gguf_writer_tensor(w, "", ASH_F32, 2, dims, &err), ASH_E_ARGUMENT);
    /* incomplete */
    assert_ok(ash_gguf_writer_tensor(w, "t", ASH_Q8_0, 2, dims, &err), &err);
    assert_ok(ash_gguf_writer_put(w, zeros, 67, &err), &err);
    assert_int_equal(ash_gguf_writer_finish(w, &err), ASH_E_ARGUMENT);
    assert_string_equal(err.text, "only 0 of 1 GGUF tensors were written");

    w = create(path, 3, 32); /* more data than declared, and a key after the data */
    assert_ok(ash_gguf_writer_tensor(w, "t", ASH_Q8_0, 2, dims, &err), &err);
    assert_int_equal(ash_gguf_writer_put(w, zeros, 69, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_gguf_writer_kv_u32(w, "late", 1, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_gguf_writer_tensor(w, "late", ASH_F32, 2, dims, &err), ASH_E_ARGUMENT);
    ash_gguf_writer_abort(w);

    w = create(path, 3, 32); /* the same key twice */
    assert_ok(ash_gguf_writer_kv_u32(w, "key", 1, &err), &err);
    assert_ok(ash_gguf_writer_kv_u32(w, "key", 2, &err), &err);
    assert_int_equal(ash_gguf_writer_finish(w, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, "GGUF key-values to be written: key 'key' occurs twice; the file is damaged");

    w = create(path, 3, 64); /* an alignment that the file would not say */
    assert_int_equal(ash_gguf_writer_finish(w, &err), ASH_E_FORMAT);
    assert_int_equal(test_count_entries(folder), 0); /* nothing is left behind */
    ash_gguf_writer_abort(NULL);
    ash_gguf_close(NULL);
    free(path);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewritten_files_are_identical),
        cmocka_unit_test(vocabularies_are_identical),
        cmocka_unit_test(smollm2_is_identical),
        cmocka_unit_test(values_of_every_type),
        cmocka_unit_test(kept_pairs),
        cmocka_unit_test(large_header),
        cmocka_unit_test(split_equals_single),
        cmocka_unit_test(ranges_of_a_tensor),
        cmocka_unit_test(refused_writing),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
