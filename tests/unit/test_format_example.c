/* FORMAT.md keeps its word: its example file opens, verifies and holds the values that it says, the writer makes the
 * same bytes, its tables give the offsets of the structs, and its worked element lies where it says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/meta.h"
#include "format/reader.h"
#include "format/tile.h"
#include "format/vocab.h"
#include "format/writer.h"
#include "tests/support/sample.h"
#include "tests/support/support.h"

static char *document;

static int read_document(void **state)
{
    (void)state;
    document = (char *)test_read_file("format/FORMAT.md", NULL);
    return 0;
}

static int free_document(void **state)
{
    (void)state;
    free(document);
    return 0;
}

/* The text of the first fenced block of kind `info`. */
static char *fenced(const char *info)
{
    char fence[32];
    snprintf(fence, sizeof fence, "\n```%s\n", info);
    const char *begin = strstr(document, fence), *end;
    assert_non_null(begin);
    begin += strlen(fence);
    end = strstr(begin, "```");
    assert_non_null(end);
    return strndup(begin, (size_t)(end - begin));
}

/* Lines "OFFSET  16 bytes  |text|" and "OFFSET - LAST  zero", in hex, without gaps. */
static uint8_t *example_bytes(size_t *size)
{
    char *text = fenced("hex"), *save = NULL;
    uint8_t *bytes = NULL;
    size_t at = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long offset, last;
        int used = 0;
        assert_int_equal(sscanf(line, "%lx%n", &offset, &used), 1);
        assert_int_equal(offset, at);
        bool zero = sscanf(line, "%lx - %lx zero", &offset, &last) == 2;
        size_t more = zero ? last + 1 - offset : 16;
        bytes = realloc(bytes, at + more);
        memset(bytes + at, 0, more);
        for (size_t i = 0; !zero && i < 16; i++) {
            unsigned value;
            int n = 0;
            if (sscanf(line + used, " %2x%n", &value, &n) != 1 || n != (i == 8 ? 4 : i == 0 ? 4 : 3)) {
                more = i;
                break;
            }
            bytes[at + i] = (uint8_t)value;
            used += n;
        }
        at += more;
    }
    free(text);
    *size = at;
    return bytes;
}

/* What the example holds, as its text says. */
static const float norm_values[4] = { 1, 0.5f, -2, 3 };

static void matrix_row(int row, uint8_t blocks[36])
{
    static const uint16_t d[2][2] = { { 0x3c00, 0x3800 }, { 0x4000, 0xbc00 } }; /* 1, 0.5; 2, -1 */
    for (int b = 0; b < 2; b++) {
        memcpy(blocks + 18 * b, &d[row][b], 2);
        for (int j = 0; j < 16; j++) { /* Q4_0: elements j and j + 16 */
            int q[2] = { j, j };
            if (row == 1)
                q[0] = q[1] = 15 - j;
            blocks[18 * b + 2 + j] = (uint8_t)(q[0] | q[1] << 4);
        }
    }
}

static void write_example(const char *path)
{
    ash_writer *w;
    ash_error err;
    uint64_t elems = 4, dims[2] = { 64, 2 };
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    ash_tensor_record t = test_tensor(ASH_ROLE_OUTPUT_NORM, ASH_NO_LAYER, ASH_F32, ASH_LAYOUT_LINEAR, 1, &elems);
    test_add(w, "norm", &t);
    t = test_tensor(ASH_ROLE_EMBED, ASH_NO_LAYER, ASH_Q4_0, ASH_LAYOUT_Q4_0, 2, dims);
    test_add(w, "embed", &t);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    assert_ok(ash_writer_put(w, 0, norm_values, sizeof norm_values, &err), &err);
    uint8_t blocks[2][36], panel[256 + 512];
    const uint8_t *rows[ASH_PANEL_ROWS] = { blocks[0], blocks[1] };
    matrix_row(0, blocks[0]);
    matrix_row(1, blocks[1]);
    ash_tile_pack(ASH_Q4_0, 64, rows, panel);
    assert_ok(ash_writer_put(w, 1, panel, sizeof panel, &err), &err);
    assert_ok(ash_writer_finish(w, NULL, &err), &err);
}

static void test_example_opens(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = example_bytes(&size);
    char *path = test_path("example.ashlar");
    test_write_file(path, bytes, size);
    ash_file *f;
    ash_error err;
    assert_ok(ash_file_open(path, &f, &err), &err);
    assert_ok(ash_file_verify(f, NULL, NULL, &err), &err);
    assert_int_equal(ash_file_tensor_count(f), 2);
    const ash_tensor_record *norm = ash_file_tensor(f, 0), *embed = ash_file_tensor(f, 1);
    assert_string_equal(ash_file_tensor_name(f, norm), "norm");
    assert_string_equal(ash_file_tensor_name(f, embed), "embed");
    assert_memory_equal(ash_file_data(f, norm), norm_values, sizeof norm_values);
    assert_int_equal(embed->dims[0], 64);
    assert_int_equal(embed->dims[1], 2);
    uint8_t blocks[2][36], expected[36];
    uint8_t *rows[ASH_PANEL_ROWS] = { blocks[0], blocks[1] };
    ash_tile_unpack(ASH_Q4_0, 64, ash_file_data(f, embed), rows);
    for (int r = 0; r < 2; r++) {
        matrix_row(r, expected);
        assert_memory_equal(blocks[r], expected, sizeof expected);
    }
    ash_file_close(f);
    free(bytes);
    free(path);
}

static void test_example_is_what_the_writer_makes(void **state)
{
    (void)state;
    size_t size, written;
    uint8_t *bytes = example_bytes(&size);
    char *path = test_path("written.ashlar");
    write_example(path);
    uint8_t *file = test_read_file(path, &written);
    assert_int_equal(size, written);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != file[i])
            fail_msg("byte 0x%zx is %02x in FORMAT.md, %02x in the written file", i, bytes[i], file[i]);
    free(bytes);
    free(file);
    free(path);
}

/* "Where one element lies": Q4_K, K = 576, row 21, column 300: high nibble of byte 8280. */
static void test_worked_element(void **state)
{
    (void)state;
    assert_non_null(strstr(document, "= **8280**"));
    uint8_t row[3 * 144] = { 0 }, panel[5376], *back[ASH_PANEL_ROWS] = { NULL };
    const uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
    /* Element 44 of block 1: qs[32 c + i] with c = 0: element 32 + 12 is the high nibble of qs[12]. */
    row[144 + 16 + 12] = 0xd0;
    rows[21 % 16] = row;
    ash_tile_pack(ASH_Q4_K, 576, rows, panel);
    for (size_t i = 0; i < sizeof panel; i++)
        assert_int_equal(panel[i], i == 8280 - 5376 ? 0xd0 : 0);
    uint8_t again[sizeof row];
    back[5] = again;
    ash_tile_unpack(ASH_Q4_K, 576, panel, back);
    assert_memory_equal(again, row, sizeof row);
}

static void test_meta_example(void **state)
{
    (void)state;
    char *text = fenced("json");
    ash_meta m;
    ash_error err;
    assert_ok(ash_meta_read(text, strlen(text), &m, &err), &err);
    assert_int_equal(m.h.layers, 16);
    assert_int_equal(m.h.rope_scaling, ASH_ROPE_LLAMA3);
    assert_int_equal(m.stop_count, 3);
    ash_meta_free(&m);
    free(text);
}

/* Each field has a row "| offset | bytes | `name` |" in its struct's table. */
typedef struct field {
    const char *name;
    size_t offset, bytes;
} field;

static void check_table(const char *heading, const field *fields, size_t count, size_t struct_bytes)
{
    const char *at = strstr(document, heading);
    assert_non_null(at);
    const char *end = strstr(at + 1, "\n#");
    assert_non_null(end);
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        char row[96];
        snprintf(row, sizeof row, "\n| %zu | %zu | `%s` |", fields[i].offset, fields[i].bytes, fields[i].name);
        const char *found = strstr(at, row);
        if (!found || found > end)
            fail_msg("%s: no row \"%s\"", heading, row + 1);
        assert_int_equal(fields[i].offset, next); /* the list leaves nothing out */
        next += fields[i].bytes;
    }
    assert_int_equal(next, struct_bytes);
}
#define F(type, name)                                                                                                  \
    {                                                                                                                  \
#name, offsetof(type, name), sizeof(((type *)0)->name)                                                         \
    }
#define CHECK_TABLE(heading, type, fields) check_table(heading, fields, sizeof fields / sizeof fields[0], sizeof(type))

static void test_tables(void **state)
{
    (void)state;
    const field header[] = {
        F(ash_header, magic),
        F(ash_header, version),
        F(ash_header, header_bytes),
        F(ash_header, file_bytes),
        F(ash_header, features_required),
        F(ash_header, features_optional),
        F(ash_header, section_count),
        F(ash_header, section_record_bytes),
        F(ash_header, tensor_record_bytes),
        F(ash_header, member_record_bytes),
        F(ash_header, reserved0),
        F(ash_header, file_index),
        F(ash_header, file_count),
        F(ash_header, tensor_align),
        F(ash_header, data_chunk_bytes),
        F(ash_header, model_id),
        F(ash_header, reserved1),
        F(ash_header, sections),
        F(ash_header, reserved2),
        F(ash_header, header_hash),
    };
    CHECK_TABLE("\n## The header", ash_header, header);
    const field sections[] = {
        F(ash_section_record, id),       F(ash_section_record, flags),    F(ash_section_record, offset),
        F(ash_section_record, size),     F(ash_section_record, raw_size), F(ash_section_record, hash),
        F(ash_section_record, reserved),
    };
    CHECK_TABLE("\n## The section table", ash_section_record, sections);
    const field tensors[] = {
        F(ash_tensor_record, name),
        F(ash_tensor_record, name_bytes),
        F(ash_tensor_record, role),
        F(ash_tensor_record, layer),
        F(ash_tensor_record, dtype),
        F(ash_tensor_record, layout),
        F(ash_tensor_record, layout_revision),
        F(ash_tensor_record, dim_count),
        F(ash_tensor_record, member_first),
        F(ash_tensor_record, member_count),
        F(ash_tensor_record, reserved0),
        F(ash_tensor_record, dims),
        F(ash_tensor_record, padded_dims),
        F(ash_tensor_record, offset),
        F(ash_tensor_record, size),
        F(ash_tensor_record, slice_stride),
        F(ash_tensor_record, panel_bytes),
        F(ash_tensor_record, hash),
        F(ash_tensor_record, scale_kind),
        F(ash_tensor_record, reserved1),
        F(ash_tensor_record, reserved2),
    };
    CHECK_TABLE("\n## Tensor records", ash_tensor_record, tensors);
    const field members[] = {
        F(ash_member_record, name),           F(ash_member_record, name_bytes),
        F(ash_member_record, role),           F(ash_member_record, source_dtype),
        F(ash_member_record, source_index),   F(ash_member_record, source_dim_count),
        F(ash_member_record, row_order),      F(ash_member_record, row_order_head),
        F(ash_member_record, row_order_rope), F(ash_member_record, source_dims),
        F(ash_member_record, row_first),      F(ash_member_record, row_count),
        F(ash_member_record, panel_step),     F(ash_member_record, scale_weight),
        F(ash_member_record, scale_input),    F(ash_member_record, input_dynamic),
        F(ash_member_record, slice_first),    F(ash_member_record, slice_count),
        F(ash_member_record, reserved),
    };
    CHECK_TABLE("\n## Member records", ash_member_record, members);
    const field vocab[] = {
        F(ash_vocab_header, magic),
        F(ash_vocab_header, version),
        F(ash_vocab_header, header_bytes),
        F(ash_vocab_header, model),
        F(ash_vocab_header, flags),
        F(ash_vocab_header, score_count),
        F(ash_vocab_header, longest_bytes),
        F(ash_vocab_header, bos),
        F(ash_vocab_header, eos),
        F(ash_vocab_header, pad),
        F(ash_vocab_header, unk),
        F(ash_vocab_header, section_bytes),
        F(ash_vocab_header, token_count),
        F(ash_vocab_header, slot_count),
        F(ash_vocab_header, slot_probes),
        F(ash_vocab_header, merge_count),
        F(ash_vocab_header, merge_slot_count),
        F(ash_vocab_header, merge_probes),
        F(ash_vocab_header, added_count),
        F(ash_vocab_header, added_raw_count),
        F(ash_vocab_header, step_count),
        F(ash_vocab_header, trie_count),
        F(ash_vocab_header, tokens),
        F(ash_vocab_header, slots),
        F(ash_vocab_header, merges),
        F(ash_vocab_header, added),
        F(ash_vocab_header, steps),
        F(ash_vocab_header, pool),
        F(ash_vocab_header, pool_bytes),
        F(ash_vocab_header, scores),
        F(ash_vocab_header, trie),
        F(ash_vocab_header, unk_score),
        F(ash_vocab_header, reserved1),
        F(ash_vocab_header, byte_ids),
    };
    CHECK_TABLE("\n### TOKN header", ash_vocab_header, vocab);
}

/* The table of layouts gives the sizes of the code. */
static void test_layout_table(void **state)
{
    (void)state;
    for (uint32_t dtype = 0; dtype < ASH_USABLE_DTYPES; dtype++) {
        const ash_tile_layout *l = ash_tile_layout_of(dtype);
        char row[96];
        snprintf(row, sizeof row, "| %u | `%s` | %u | %u | %u | %u | %u |", dtype, ash_dtype_name(dtype), l->id,
                 l->tile_cols, l->chunk_cols, l->header_bytes, l->chunk_bytes);
        if (!strstr(document, row))
            fail_msg("no row \"%s\"", row);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) { /* makes the file that FORMAT.md dumps */
        write_example(argv[2]);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_opens),  cmocka_unit_test(test_example_is_what_the_writer_makes),
        cmocka_unit_test(test_worked_element), cmocka_unit_test(test_meta_example),
        cmocka_unit_test(test_tables),         cmocka_unit_test(test_layout_table),
    };
    return cmocka_run_group_tests(tests, read_document, free_document);
}
