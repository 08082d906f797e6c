/* The safetensors reader on well-formed models: one file, shards, every dtype, empty tensors, real checkpoints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/safetensors.h"
#include "tests/support/make_hf.h"
#include "tests/support/support.h"

static ash_safetensors *open_model(const char *path)
{
    ash_error err;
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(path, &st, &err), &err);
    return st;
}

static uint8_t *read_tensor(const ash_safetensors *st, const ash_st_tensor *t)
{
    ash_error err;
    uint8_t *bytes = malloc(t->size + 1);
    assert_non_null(bytes);
    assert_ok(ash_safetensors_read(st, t, 0, bytes, t->size, &err), &err);
    return bytes;
}

/* What the reader promises about any model: order, lookup, placement. */
static void check_order(const ash_safetensors *st)
{
    for (uint32_t i = 0; i < ash_safetensors_count(st); i++) {
        const ash_st_tensor *t = ash_safetensors_tensor(st, i);
        assert_ptr_equal(ash_safetensors_find(st, t->name), t);
        assert_true(t->offset + t->size <= ash_safetensors_file(st, t->file)->size);
        if (i == 0)
            continue;
        const ash_st_tensor *before = ash_safetensors_tensor(st, i - 1);
        if (before->file == t->file)
            assert_true(t->offset == before->offset + before->size);
        else
            assert_true(t->file == before->file + 1);
    }
    assert_null(ash_safetensors_tensor(st, ash_safetensors_count(st)));
    assert_null(ash_safetensors_file(st, ash_safetensors_file_count(st)));
    assert_null(ash_safetensors_find(st, "model.embed_tokens.weigh"));
    assert_null(ash_safetensors_find(st, ""));
}

static void every_dtype(void **state)
{
    (void)state;
    char *path = test_path("dtypes.safetensors"), name[32];
    make_list list = { 0 };
    test_rng rng = test_rng_start("dtypes");
    for (uint32_t type = 0; type < ASH_DTYPE_COUNT; type++) {
        if (!ash_dtype_find(type)->safetensors)
            continue;
        snprintf(name, sizeof name, "%02u.%s", type, ash_dtype_name(type));
        make_tensor *t = make_add(&list, name, type, 3, (uint64_t[]){ 3, 5, 8 }, 2); /* F4, F6: whole bytes a row */
        test_rng_bytes(&rng, t->bytes, t->size);
    }
    assert_true(list.count >= 18);
    make_safetensors(path, list.items, list.count);
    ash_safetensors *st = open_model(path);
    assert_int_equal(ash_safetensors_count(st), list.count);
    assert_int_equal(ash_safetensors_file_count(st), 1);
    check_order(st);
    for (size_t i = 0; i < list.count; i++) {
        const ash_st_tensor *t = ash_safetensors_find(st, list.items[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, list.items[i].dtype);
        assert_int_equal(t->dim_count, 3);
        assert_int_equal(t->shape[0], 3);
        assert_int_equal(t->shape[2], 8);
        assert_int_equal(t->size, list.items[i].size);
        uint8_t *bytes = read_tensor(st, t);
        assert_memory_equal(bytes, list.items[i].bytes, t->size);
        free(bytes);
    }
    ash_safetensors_close(st);
    make_list_free(&list);
    free(path);
}

static void write_text(const char *path, const char *header, size_t data_size)
{
    uint64_t length = strlen(header);
    uint8_t bytes[1024] = { 0 };
    assert_true(8 + length + data_size <= sizeof bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    test_write_file(path, bytes, 8 + length + data_size);
}

/* Scalars, empty tensors, no tensors, tensors listed out of order, integers written as 1e1, keys that nobody knows. */
static void unusual_but_good(void **state)
{
    (void)state;
    char *path = test_path("unusual.safetensors");
    write_text(path, "{}", 0);
    ash_safetensors *st = open_model(path);
    assert_int_equal(ash_safetensors_count(st), 0);
    assert_null(ash_safetensors_find(st, "a"));
    ash_safetensors_close(st);

    write_text(path, "{\"z\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[1e1,14],\"note\":\"x\"},"
                     "\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[10,10]},"
                     "\"a\":{\"dtype\":\"U8\",\"shape\":[10],\"data_offsets\":[0,10.0]}}  ", 14);
    st = open_model(path);
    assert_int_equal(ash_safetensors_count(st), 3);
    check_order(st);
    assert_string_equal(ash_safetensors_tensor(st, 0)->name, "a");
    assert_string_equal(ash_safetensors_tensor(st, 1)->name, "e");
    assert_int_equal(ash_safetensors_tensor(st, 1)->size, 0);
    assert_int_equal(ash_safetensors_tensor(st, 2)->dim_count, 0);
    assert_int_equal(ash_safetensors_tensor(st, 2)->size, 4);
    ash_safetensors_close(st);
    free(path);
}

static void shards_equal_single(void **state)
{
    (void)state;
    for (int fp8 = MAKE_FP8_NONE; fp8 <= MAKE_FP8_BLOCK; fp8++) {
        make_spec spec = make_defaults();
        spec.fp8 = fp8;
        spec.extra = "vision.patch.weight";
        char *whole = make_hf("whole", &spec);
        spec.parts = 5;
        char *parts = make_hf("parts", &spec), *index = test_path("parts/model.safetensors.index.json");
        ash_safetensors *a = open_model(whole), *b = open_model(parts), *c = open_model(index);
        assert_int_equal(ash_safetensors_file_count(a), 1);
        assert_int_equal(ash_safetensors_file_count(b), 5);
        assert_int_equal(ash_safetensors_file_count(c), 5);
        assert_int_equal(ash_safetensors_count(a), ash_safetensors_count(b));
        check_order(a);
        check_order(b);
        for (uint32_t i = 0; i < ash_safetensors_count(a); i++) {
            const ash_st_tensor *x = ash_safetensors_tensor(a, i), *y = ash_safetensors_find(b, x->name);
            assert_non_null(y);
            assert_int_equal(x->dtype, y->dtype);
            assert_int_equal(x->size, y->size);
            assert_memory_equal(x->shape, y->shape, sizeof x->shape);
            uint8_t *p = read_tensor(a, x), *q = read_tensor(b, y);
            assert_memory_equal(p, q, x->size);
            free(p);
            free(q);
        }
        ash_safetensors_close(a);
        ash_safetensors_close(b);
        ash_safetensors_close(c);
        free(whole);
        free(parts);
        free(index);
    }
}

/* Download caches keep shards as links to files elsewhere; the name stays inside the folder. */
static void linked_shards(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.parts = 2;
    free(make_hf("linked", &spec));
    char *shard = test_path("linked/model-00002-of-00002.safetensors"), *blob = test_path("blobs/0f3a");
    char *folder = test_path("linked");
    assert_int_equal(rename(shard, blob), 0);
    assert_int_equal(symlink("../blobs/0f3a", shard), 0);
    ash_safetensors *st = open_model(folder);
    assert_int_equal(ash_safetensors_file_count(st), 2);
    ash_safetensors_close(st);
    free(folder);
    free(shard);
    free(blob);
}

/* A merged file with a leftover index beside it, whose shards are gone. */
static void leftover_index(void **state)
{
    (void)state;
    static const char index[] = "{\"weight_map\": {\"model.norm.weight\": \"model-00001-of-00002.safetensors\"}}";
    make_spec spec = make_defaults();
    char *folder = make_hf("merged", &spec), *path = test_path("merged/model.safetensors.index.json");
    test_write_file(path, index, sizeof index - 1);
    ash_safetensors *st = open_model(folder);
    assert_int_equal(ash_safetensors_file_count(st), 1);
    ash_safetensors_close(st);
    free(path);
    free(folder);
}

static void ranges_of_a_tensor(void **state)
{
    (void)state;
    ash_error err;
    make_spec spec = make_defaults();
    char *folder = make_hf("ranges", &spec);
    ash_safetensors *st = open_model(folder);
    const ash_st_tensor *t = ash_safetensors_find(st, "model.norm.weight");
    assert_non_null(t);
    assert_int_equal(t->size, 512);
    uint8_t *all = read_tensor(st, t), some[100];
    assert_ok(ash_safetensors_read(st, t, 101, some, sizeof some, &err), &err);
    assert_memory_equal(some, all + 101, sizeof some);
    assert_ok(ash_safetensors_read(st, t, 512, some, 0, &err), &err);
    assert_int_equal(ash_safetensors_read(st, t, 413, some, 100, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_safetensors_read(st, t, UINT64_MAX, some, 1, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "are not inside tensor 'model.norm.weight' of 512 bytes"));
    free(all);
    ash_safetensors_close(st);
    ash_safetensors_close(NULL);
    free(folder);
}

static void real_checkpoints(void **state)
{
    (void)state;
    char *plain = test_shared("models/llama-30m"), *fp8 = test_shared("models/llama-30m-fp8");
    if (!plain || !fp8) {
        free(plain);
        free(fp8);
        skip();
    }
    ash_safetensors *st = open_model(plain);
    assert_int_equal(ash_safetensors_file_count(st), 5);
    assert_int_equal(ash_safetensors_count(st), 66);
    check_order(st);
    const ash_st_tensor *t = ash_safetensors_find(st, "model.embed_tokens.weight");
    assert_non_null(t);
    assert_int_equal(t->dtype, ASH_BF16);
    assert_int_equal(t->shape[0], 8192);
    assert_int_equal(t->shape[1], 512);
    ash_safetensors_close(st);
    st = open_model(fp8);
    assert_int_equal(ash_safetensors_count(st), 164);
    check_order(st);
    t = ash_safetensors_find(st, "model.layers.0.mlp.down_proj.input_scale");
    assert_non_null(t);
    assert_int_equal(t->dim_count, 1);
    assert_int_equal(t->size, 2);
    assert_int_equal(ash_safetensors_find(st, "model.layers.0.mlp.down_proj.weight")->dtype, ASH_F8_E4M3);
    ash_safetensors_close(st);
    free(plain);
    free(fp8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype),
        cmocka_unit_test(unusual_but_good),
        cmocka_unit_test(shards_equal_single),
        cmocka_unit_test(linked_shards), cmocka_unit_test(leftover_index),
        cmocka_unit_test(ranges_of_a_tensor),
        cmocka_unit_test(real_checkpoints),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
