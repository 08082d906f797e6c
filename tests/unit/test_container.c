/* Writes .ashlar files, opens them, verifies them and compares what is in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/directory.h"
#include "format/dtype.h"
#include "format/hash.h"
#include "format/reader.h"
#include "format/tile.h"
#include "format/writer.h"
#include "tests/support/sample.h"
#include "tests/support/support.h"

static ash_file *open_ok(const char *path)
{
    ash_file *f;
    ash_error err;
    assert_ok(ash_file_open(path, &f, &err), &err);
    return f;
}

static void test_sample_opens_and_verifies(void **state)
{
    (void)state;
    char *path = test_path("sample.ashlar");
    test_sample_write(path);
    ash_file *f = open_ok(path);
    ash_error err;
    assert_ok(ash_file_verify(f, NULL, NULL, &err), &err);
    assert_string_equal(ash_file_path(f), path);
    assert_int_equal(ash_file_tensor_count(f), SAMPLE_COUNT);
    assert_null(ash_file_tensor(f, SAMPLE_COUNT));
    assert_null(ash_file_member(f, UINT32_MAX));
    for (uint32_t i = 0; i < SAMPLE_COUNT; i++) {
        const ash_tensor_record *t = ash_file_tensor(f, i);
        assert_string_equal(ash_file_tensor_name(f, t), test_sample_names[i]);
        assert_int_equal(t->name_bytes, strlen(test_sample_names[i]));
        assert_int_equal(t->offset % ASH_TENSOR_ALIGN, 0);
        ash_hash128 hash = ash_hash(ash_file_data(f, t), t->size);
        assert_true(ash_hash_equal(hash, t->hash));
    }
    /* Members: names, ranges, scales, order. */
    const ash_tensor_record *qkv = ash_file_tensor(f, SAMPLE_QKV), *gu = ash_file_tensor(f, SAMPLE_GATE_UP);
    assert_int_equal(qkv->member_count, 3);
    const ash_member_record *k = ash_file_member(f, qkv->member_first + 1);
    assert_string_equal(ash_file_member_name(f, k), "k.weight");
    assert_int_equal(k->row_first, 32);
    assert_int_equal(k->row_count, 16);
    assert_int_equal(k->row_order, ASH_ROWS_HALVES);
    assert_int_equal(k->scale_weight, ASH_NO_INDEX);
    assert_int_equal(k->slice_count, 1);
    const ash_member_record *up = ash_file_member(f, gu->member_first + 1);
    assert_int_equal(up->panel_step, 2);
    assert_int_equal(up->scale_weight, SAMPLE_UP_SCALE);
    /* A tensor that keeps its source's name shares the string. */
    const ash_tensor_record *norm = ash_file_tensor(f, SAMPLE_NORM);
    assert_int_equal(ash_file_member(f, norm->member_first)->name, norm->name);
    ash_file_close(f);
    free(path);
}

/* Sizes that FORMAT.md promises, by hand. */
static void test_geometry(void **state)
{
    (void)state;
    char *path = test_path("sample.ashlar");
    test_sample_write(path);
    ash_file *f = open_ok(path);
    const ash_tensor_record *t = ash_file_tensor(f, SAMPLE_EMBED);
    /* Q8_0, K = 96: header 256 + 3 chunks of 512; 24 rows: 2 panels. */
    assert_int_equal(t->panel_bytes, 256 + 3 * 512);
    assert_int_equal(t->size, 2 * (256 + 3 * 512));
    assert_int_equal(t->padded_dims[0], 96);
    assert_int_equal(t->padded_dims[1], 32);
    assert_int_equal(t->slice_stride, t->size);
    /* Q4_K, K = 128: header 256 + 2 chunks of 64 columns. */
    t = ash_file_tensor(f, SAMPLE_QKV);
    assert_int_equal(t->panel_bytes, 256 + 2 * 512);
    assert_int_equal(t->padded_dims[0], 128);
    /* BF16, K = 40: 3 tiles of 512; 20 rows: 2 panels = 3072 bytes, 4096 apart. */
    t = ash_file_tensor(f, SAMPLE_EXPERTS);
    assert_int_equal(t->panel_bytes, 3 * 512);
    assert_int_equal(t->slice_stride, 4096);
    assert_int_equal(t->size, 2 * 4096 + 3072);
    const uint8_t *gap = ash_file_data(f, t) + 3072;
    for (int i = 0; i < 1024; i++)
        assert_int_equal(gap[i], 0);
    /* LINEAR: one run, whatever its dimensions. */
    t = ash_file_tensor(f, SAMPLE_OTHER);
    assert_int_equal(t->size, 7 * 5 * 3 * 2 * 2);
    assert_int_equal(t->slice_stride, 7 * 5 * 2);
    assert_int_equal(t->panel_bytes, 0);
    ash_file_close(f);
    free(path);
}

/* FORMAT.md, "The last tile": Q4_K at K = 576 takes 4.67 bits a weight in the file, not the 6.0 of three whole tiles.
 * A panel is 2 tiles of 256 + 4 * 512 and one of 256 + 512 bytes: 5376 bytes for 16 * 576 weights = 4.6667 bits. */
static void test_last_tile_is_short(void **state)
{
    (void)state;
    char *path = test_path("q4_k.ashlar");
    ash_writer *w;
    ash_error err;
    uint64_t dims[2] = { 576, 1024 }, file_bytes;
    ash_tensor_record t = test_tensor(ASH_ROLE_EMBED, ASH_NO_LAYER, ASH_Q4_K, ASH_LAYOUT_Q4_K, 2, dims);
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    test_add(w, "m", &t);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    test_put_random(w, 0, "m");
    assert_ok(ash_writer_finish(w, &file_bytes, &err), &err);
    ash_file *f = open_ok(path);
    const ash_tensor_record *r = ash_file_tensor(f, 0);
    assert_int_equal(r->size, 1024 / 16 * 5376);
    double bits = 8.0 * (double)r->size / (576.0 * 1024.0);
    assert_true(bits > 4.666 && bits < 4.667);
    print_message("# measure Q4_K at K = 576: %.4f bits a weight\n", bits);
    /* Around the data: header, one page of directory, 16 bytes of hashes after alignment. */
    size_t size;
    free(test_read_file(path, &size));
    assert_int_equal(size, file_bytes);
    assert_true(size - r->size <= 4096 + 4096 + 4096 + 64);
    assert_ok(ash_file_verify(f, NULL, NULL, &err), &err);
    ash_file_close(f);
    free(path);
}

static void test_same_calls_same_bytes(void **state)
{
    (void)state;
    size_t a_size, b_size;
    uint8_t *a = test_sample_bytes(&a_size), *b = test_sample_bytes(&b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);
}

/* One tensor of more than two chunks, put in pieces that cross every boundary; hashes by hand. */
static void test_chunks(void **state)
{
    (void)state;
    char *path = test_path("chunks.ashlar");
    ash_writer *w;
    ash_error err;
    uint64_t elems = (2 * ASH_DATA_CHUNK_BYTES + 12345 * 4) / 4;
    size_t bytes = elems * 4;
    ash_tensor_record t = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, ASH_F32, ASH_LAYOUT_LINEAR, 1, &elems);
    uint8_t *data = malloc(bytes);
    test_rng rng = test_rng_start("chunks");
    test_rng_bytes(&rng, data, bytes);
    uint64_t one = 3;
    ash_tensor_record small = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, ASH_U8, ASH_LAYOUT_LINEAR, 1, &one);
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    test_add(w, "small", &small);
    test_add(w, "big", &t);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    assert_ok(ash_writer_put(w, 0, "abc", 3, &err), &err);
    for (size_t at = 0, n; at < bytes; at += n) {
        n = 1 + test_rng_below(&rng, 3 << 20);
        n = n < bytes - at ? n : bytes - at;
        assert_ok(ash_writer_put(w, 1, data + at, n, &err), &err);
    }
    assert_ok(ash_writer_finish(w, NULL, &err), &err);
    ash_file *f = open_ok(path);
    assert_ok(ash_file_verify(f, NULL, NULL, &err), &err);
    assert_memory_equal(ash_file_data(f, ash_file_tensor(f, 1)), data, bytes);
    const ash_section_record *s = ash_file_section(f, ASH_SECTION_DATA);
    size_t size;
    const ash_hash128 *hashes = (const ash_hash128 *)ash_file_section_bytes(f, ASH_SECTION_HASHES, &size);
    assert_int_equal(size, 3 * 16);
    assert_int_equal(s->size % ASH_TENSOR_ALIGN, 0);
    const uint8_t *first = (const uint8_t *)ash_file_header(f) + s->offset;
    for (int i = 0; i < 3; i++) {
        uint64_t left = s->size - (uint64_t)i * ASH_DATA_CHUNK_BYTES;
        uint64_t n = left < ASH_DATA_CHUNK_BYTES ? left : ASH_DATA_CHUNK_BYTES;
        assert_true(ash_hash_equal(hashes[i], ash_hash(first + (uint64_t)i * ASH_DATA_CHUNK_BYTES, n)));
    }
    ash_hash128 root = ash_hash(hashes, size);
    assert_true(ash_hash_equal(root, ash_file_section(f, ASH_SECTION_HASHES)->hash));
    assert_true(ash_hash_equal(root, s->hash));
    ash_file_close(f);
    free(data);
    remove(path);
    free(path);
}

static void test_sections(void **state)
{
    (void)state;
    char *path = test_path("sample.ashlar");
    test_sample_write(path);
    ash_file *f = open_ok(path);
    ash_error err;
    uint8_t *bytes;
    size_t size;
    assert_ok(ash_file_section_read(f, ASH_SECTION_GGUF_KV, &bytes, &size, &err), &err);
    assert_int_equal(size, 70);
    assert_memory_equal(bytes, "key-values, key-values", 22);
    assert_int_equal(bytes[size], 0);
    free(bytes);
    assert_int_equal(ash_file_section(f, ASH_SECTION_GGUF_KV)->flags, ASH_SECTION_FLAG_ZSTD);
    assert_true(ash_file_section(f, ASH_SECTION_GGUF_KV)->size < 70);
    assert_null(ash_file_section_bytes(f, ASH_SECTION_GGUF_KV, &size)); /* compressed: not in place */
    assert_memory_equal(ash_file_section_bytes(f, ASH_SECTION_TOKENIZER, &size), "tokens", 6);
    assert_int_equal(size, 6);
    assert_ok(ash_file_section_read(f, ASH_SECTION_TOKENIZER, &bytes, &size, &err), &err);
    assert_string_equal((char *)bytes, "tokens");
    free(bytes);
    const uint32_t absent = ASH_FOURCC('N', 'O', 'N', 'E');
    assert_null(ash_file_section(f, absent));
    assert_null(ash_file_section_bytes(f, absent, &size));
    assert_int_equal(ash_file_section_read(f, absent, &bytes, &size, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "NONE"));
    assert_null(bytes);
    ash_file_close(f);
    free(path);
}

static void test_unknown_section_is_kept(void **state)
{
    (void)state;
    char *path = test_path("extra.ashlar");
    ash_writer *w;
    ash_error err;
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    assert_ok(ash_writer_layout(w, NULL, &err), &err); /* no tensors at all: a vocabulary alone */
    assert_ok(ash_writer_add_section(w, ASH_FOURCC('X', 'T', 'R', 'A'), "later", 5, false, &err), &err);
    assert_int_equal(ash_writer_add_section(w, ASH_FOURCC('X', 'T', 'R', 'A'), "", 0, false, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_writer_add_section(w, ASH_SECTION_HASHES, "", 0, false, &err), ASH_E_ARGUMENT);
    assert_ok(ash_writer_finish(w, NULL, &err), &err);
    ash_file *f = open_ok(path);
    assert_int_equal(ash_file_tensor_count(f), 0);
    assert_ok(ash_file_verify(f, NULL, NULL, &err), &err);
    ash_file_close(f);
    free(path);
}

/* Whatever goes wrong, the folder holds no new file and an old file stays. */
static void test_nothing_left_behind(void **state)
{
    (void)state;
    char *path = test_path("left/out.ashlar"), *folder = test_path("left");
    ash_writer *w;
    ash_error err;
    uint64_t elems = 4;
    ash_tensor_record t = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, ASH_F32, ASH_LAYOUT_LINEAR, 1, &elems);

    assert_ok(ash_writer_create(path, false, &w, &err), &err);
    test_add(w, "t", &t);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    assert_ok(ash_writer_put(w, 0, "1234", 4, &err), &err);
    ash_writer_abort(w);
    assert_int_equal(test_count_entries(folder), 0);

    /* A tensor that is not complete. */
    assert_ok(ash_writer_create(path, false, &w, &err), &err);
    test_add(w, "incomplete one", &t);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    assert_ok(ash_writer_put(w, 0, "1234", 4, &err), &err);
    assert_int_equal(ash_writer_finish(w, NULL, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "incomplete one"));
    assert_int_equal(test_count_entries(folder), 0);

    /* An existing file is refused, and replaced only as a whole. */
    test_write_file(path, "old", 3);
    assert_int_not_equal(ash_writer_create(path, false, &w, &err), ASH_OK);
    assert_non_null(strstr(err.text, "out.ashlar"));
    assert_null(w);
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    test_add(w, "t", &t);
    ash_writer_abort(w);
    assert_int_equal(test_count_entries(folder), 1);
    size_t size;
    uint8_t *old = test_read_file(path, &size);
    assert_int_equal(size, 3);
    free(old);
    free(path);
    free(folder);
    ash_writer_abort(NULL);
}

static void test_writer_refuses_wrong_order(void **state)
{
    (void)state;
    char *path = test_path("order.ashlar");
    ash_writer *w;
    ash_error err;
    uint64_t elems = 1;
    uint32_t index;
    ash_tensor_record t = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, ASH_F32, ASH_LAYOUT_LINEAR, 1, &elems);
    ash_member_record m = test_member(ASH_ROLE_OTHER, ASH_F32, 1, 0, 1, 1);
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    assert_int_equal(ash_writer_add_member(w, "early", &m, &err), ASH_E_ARGUMENT);
    test_add(w, "a", &t);
    test_add(w, "b", &t);
    assert_int_equal(ash_writer_put(w, 0, "1234", 4, &err), ASH_E_ARGUMENT); /* before the layout */
    assert_int_equal(ash_writer_add_section(w, ASH_SECTION_META, "{}", 2, true, &err), ASH_E_ARGUMENT);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    assert_int_equal(ash_writer_add_tensor(w, "late", &t, &index, &err), ASH_E_ARGUMENT);
    assert_int_equal(ash_writer_put(w, 1, "1234", 4, &err), ASH_E_ARGUMENT);  /* not its turn */
    assert_int_equal(ash_writer_put(w, 0, "12345", 5, &err), ASH_E_ARGUMENT); /* too much */
    assert_int_equal(ash_writer_finish(w, NULL, &err), ASH_E_ARGUMENT);
    assert_false(test_exists(path));
    free(path);
}

/* What a reader would refuse is refused at layout, before any byte of data. */
static void refuse_at_layout(const ash_tensor_record *t, const ash_member_record *members, uint32_t count,
                             const char *word)
{
    char *path = test_path("refused.ashlar");
    ash_writer *w;
    ash_error err;
    uint32_t index;
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    assert_ok(ash_writer_add_tensor(w, "tensor", t, &index, &err), &err);
    for (uint32_t i = 0; i < count; i++)
        assert_ok(ash_writer_add_member(w, "member", &members[i], &err), &err);
    assert_int_not_equal(ash_writer_layout(w, NULL, &err), ASH_OK);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    ash_writer_abort(w);
    assert_false(test_exists(path));
    free(path);
}

static void test_members_cover_every_row_once(void **state)
{
    (void)state;
    uint64_t dims[2] = { 32, 64 };
    ash_tensor_record t = test_tensor(ASH_ROLE_QKV, 0, ASH_F16, ASH_LAYOUT_H16_16, 2, dims);
    ash_member_record q = test_member(ASH_ROLE_Q, ASH_F16, 32, 0, 32, 1),
                      k = test_member(ASH_ROLE_K, ASH_F16, 32, 32, 32, 1), bad;
    refuse_at_layout(&t, NULL, 0, "members");
    refuse_at_layout(&t, &q, 1, "do not cover");
    bad = k;
    bad.row_first = 16;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "does not follow");
    bad = k;
    bad.row_first = 48;
    bad.row_count = bad.source_dims[1] = 16;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "does not follow");
    bad = k;
    bad.row_count = bad.source_dims[1] = 33;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "outside");
    bad = q;
    bad.row_count = bad.source_dims[1] = 31; /* ends inside a panel */
    refuse_at_layout(&t, (ash_member_record[]){ bad, k }, 2, "inside a panel");
    bad = k;
    bad.panel_step = 3;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "does not follow");
    bad = k;
    bad.role = ASH_ROLE_UP;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "role");
    bad = k;
    bad.source_dims[0] = 31;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "shape in the source");
    bad = k;
    bad.source_dims[0] = UINT64_C(1) << 59; /* the product wraps to 32 * 32 = 2^10 modulo 2^64 */
    bad.source_dims[2] = 32;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "shape in the source");
    bad = k;
    bad.row_order = ASH_ROWS_HALVES;
    bad.row_order_head = bad.row_order_rope = 24;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "row order");
    bad = k;
    bad.scale_weight = 0;
    refuse_at_layout(&t, (ash_member_record[]){ q, bad }, 2, "is no scale");
    /* Interleaved: both must share the range. */
    t.role = ASH_ROLE_GATE_UP;
    ash_member_record gate = test_member(ASH_ROLE_GATE, ASH_F16, 32, 0, 32, 2),
                      up = test_member(ASH_ROLE_UP, ASH_F16, 32, 16, 32, 2);
    bad = up;
    bad.row_first = 32;
    refuse_at_layout(&t, (ash_member_record[]){ gate, bad }, 2, "does not follow");
    refuse_at_layout(&t, &gate, 1, "does not follow");
    bad = up;
    bad.row_count = bad.source_dims[1] = 16;
    refuse_at_layout(&t, (ash_member_record[]){ gate, bad }, 2, "does not follow");
}

static void test_two_tensors_of_one_name(void **state)
{
    (void)state;
    char *path = test_path("twice.ashlar");
    ash_writer *w;
    ash_error err;
    uint64_t elems = 1;
    ash_tensor_record t = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, ASH_F32, ASH_LAYOUT_LINEAR, 1, &elems);
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    test_add(w, "same", &t);
    test_add(w, "other", &t);
    test_add(w, "same", &t);
    assert_int_equal(ash_writer_layout(w, NULL, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "same"));
    ash_writer_abort(w);
    free(path);
}

static void test_dimensions_that_wrap(void **state)
{
    (void)state;
    char *path = test_path("wrap.ashlar");
    ash_writer *w;
    ash_error err;
    uint32_t index;
    const uint64_t big[][4] = {
        { UINT64_MAX, 1, 1, 1 },     { UINT64_C(1) << 62, 4, 1, 1 },   { UINT64_C(1) << 32, UINT64_C(1) << 32, 1, 1 },
        { 16, UINT64_MAX, 1, 1 },    { 16, 16, UINT64_C(1) << 63, 2 }, { 16, 16, UINT64_C(1) << 52, 1 },
        { UINT64_MAX - 5, 1, 1, 1 },
    };
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    for (size_t i = 0; i < sizeof big / sizeof big[0]; i++)
        for (uint32_t dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++)
            for (int tiled = 0; tiled < 2; tiled++) {
                ash_tensor_record t = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, dtype,
                                                  tiled ? ash_tile_layout_of(dtype)->id : ASH_LAYOUT_LINEAR, 4, big[i]);
                /* Most are refused; a size that is accepted is what the weights need, at 4 bits or more. */
                ash_status status = ash_writer_add_tensor(w, "huge", &t, &index, &err);
                if (status == ASH_OK) {
                    const ash_tensor_record *r = ash_writer_tensor(w, index);
                    assert_true(r->size <= INT64_MAX);
                    assert_true((double)r->size >
                                0.5 * (double)big[i][0] * (double)big[i][1] * (double)big[i][2] * (double)big[i][3]);
                }
            }
    ash_writer_abort(w);
    free(path);
}

typedef struct watch {
    uint64_t calls, last, stop_at;
} watch;

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    watch *w = context;
    assert_true(done >= w->last && done <= total);
    w->last = done;
    return ++w->calls == w->stop_at;
}

static void test_verify_reports_progress(void **state)
{
    (void)state;
    char *path = test_path("sample.ashlar");
    test_sample_write(path);
    ash_file *f = open_ok(path);
    ash_error err;
    watch seen = { 0 };
    assert_ok(ash_file_verify(f, on_progress, &seen, &err), &err);
    assert_int_equal(seen.last, ash_file_header(f)->file_bytes);
    for (uint64_t i = 1; i <= seen.calls; i++) {
        watch stop = { .stop_at = i };
        assert_int_equal(ash_file_verify(f, on_progress, &stop, &err), ASH_E_CANCELLED);
        assert_int_equal(stop.calls, i);
    }
    ash_file_close(f);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_opens_and_verifies),
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_last_tile_is_short),
        cmocka_unit_test(test_same_calls_same_bytes),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_unknown_section_is_kept),
        cmocka_unit_test(test_nothing_left_behind),
        cmocka_unit_test(test_writer_refuses_wrong_order),
        cmocka_unit_test(test_members_cover_every_row_once),
        cmocka_unit_test(test_two_tensors_of_one_name),
        cmocka_unit_test(test_dimensions_that_wrap),
        cmocka_unit_test(test_verify_reports_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
