/* Damaged and hostile .ashlar files: each is refused with a line that names the file and the reason. Fields are changed
 * with all checksums recomputed, so that the check of the field itself is what refuses. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/directory.h"
#include "format/hash.h"
#include "format/reader.h"
#include "format/tile.h"
#include "tests/support/container.h"
#include "tests/support/sample.h"
#include "tests/support/support.h"

static char *bad_path;

/* Opens and verifies `bytes` as a file. */
static ash_status try_file(const uint8_t *bytes, size_t size, ash_error *err)
{
    test_write_file(bad_path, bytes, size);
    ash_file *f;
    ash_status status = ash_file_open(bad_path, &f, err);
    if (status != ASH_OK) {
        assert_null(f);
        return status;
    }
    status = ash_file_verify(f, NULL, NULL, err);
    ash_file_close(f);
    return status;
}

/* One line, which names the file and says `word`. */
static void refuse(const uint8_t *bytes, size_t size, ash_status expected, const char *word)
{
    ash_error err;
    ash_status status = try_file(bytes, size, &err);
    if (status == ASH_OK)
        fail_msg("accepted; expected \"%s\"", word);
    if (status != expected || status != err.status || !strstr(err.text, word) ||
        strncmp(err.text, bad_path, strlen(bad_path)) != 0 || strchr(err.text, '\n'))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\"", (int)status, err.text, (int)expected, word);
}

static int set_up(void **state)
{
    size_t size;
    bad_path = test_path("bad.ashlar");
    *state = test_sample_bytes(&size);
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    free(bad_path);
    return 0;
}

static size_t size_of(const uint8_t *file) { return ((const ash_header *)file)->file_bytes; }

static uint8_t *copy_of(const uint8_t *file)
{
    uint8_t *copy = malloc(size_of(file));
    memcpy(copy, file, size_of(file));
    return copy;
}

static ash_section_record *section(uint8_t *file, uint32_t id)
{
    ash_header *h = (ash_header *)file;
    for (uint32_t i = 0; i < h->section_count; i++)
        if (h->sections[i].id == id)
            return &h->sections[i];
    fail_msg("no section");
    return NULL;
}

static ash_tensor_record *tensor(uint8_t *file, int index)
{
    return (ash_tensor_record *)(file + section(file, ASH_SECTION_TENSORS)->offset) + index;
}

static void test_the_sample_is_good(void **state)
{
    uint8_t *file = copy_of(*state);
    ash_error err;
    assert_ok(try_file(file, size_of(file), &err), &err);
    test_container_rehash(file, size_of(file), 1);
    assert_memory_equal(file, *state, size_of(file)); /* the helper computes what the writer does */
    free(file);
}

static void test_truncated(void **state)
{
    uint8_t *file = *state;
    const ash_header *h = (const ash_header *)file;
    ash_error err;
    char words[64];
    snprintf(words, sizeof words, "of %zu: copy it again", size_of(file));
    for (uint32_t i = 0; i < h->section_count; i++) {
        const ash_section_record *s = &h->sections[i];
        for (int d = -1; d <= 1; d++) {
            uint64_t ends[2] = { s->offset + (uint64_t)d, s->offset + s->size + (uint64_t)d };
            for (int e = 0; e < 2; e++)
                if (ends[e] < size_of(file))
                    refuse(file, ends[e], ASH_E_FORMAT, words);
        }
    }
    refuse(file, 4095, ASH_E_FORMAT, "ends at byte 4095 of");
    refuse(file, 10, ASH_E_FORMAT, "ends at byte 10 of 4096");
    refuse(file, 0, ASH_E_FORMAT, "is empty");
    refuse(file, 5, ASH_E_FORMAT, "is not an .ashlar file");
    /* A tiny file, every 256 bytes. */
    char *path = test_path("tiny.ashlar");
    size_t size;
    test_tiny_write(path);
    uint8_t *tiny = test_read_file(path, &size);
    for (size_t n = 0; n < size; n += 256)
        assert_int_equal(try_file(tiny, n, &err), ASH_E_FORMAT);
    free(tiny);
    free(path);
    /* A byte too many. */
    uint8_t *longer = calloc(1, size_of(file) + 1);
    memcpy(longer, file, size_of(file));
    refuse(longer, size_of(file) + 1, ASH_E_FORMAT, "where its header says");
    free(longer);
}

static void test_other_files(void **state)
{
    (void)state;
    uint8_t b[4096] = "GGUF";
    refuse(b, sizeof b, ASH_E_FORMAT, "is a GGUF file");
    refuse(b, 4, ASH_E_FORMAT, "is a GGUF file");
    memcpy(b, "\x40\0\0\0\0\0\0\0{\"a\"", 12);
    refuse(b, sizeof b, ASH_E_FORMAT, "safetensors");
    memset(b, 0, sizeof b);
    memcpy(b, "PK\3\4", 4);
    refuse(b, sizeof b, ASH_E_FORMAT, "ZIP");
    memcpy(b,
           "\x89"
           "ASHLAR\r\n",
           9);
    refuse(b, sizeof b, ASH_E_FORMAT, "text mode");
    memcpy(b, "ASHLAR\n", 7);
    refuse(b, 6, ASH_E_FORMAT, "text mode");
    memset(b, 0, sizeof b);
    refuse(b, sizeof b, ASH_E_FORMAT, "wrong magic");
    refuse(b, 1, ASH_E_FORMAT, "wrong magic");
    memcpy(b, ASH_MAGIC, 8); /* nothing but a magic and a version 0 */
    refuse(b, sizeof b, ASH_E_CHECKSUM, "header");
    ash_file *f;
    ash_error err;
    assert_int_equal(ash_file_open("/nonexistent/x.ashlar", &f, &err), ASH_E_IO);
    assert_non_null(strstr(err.text, "/nonexistent/x.ashlar"));
    assert_int_not_equal(ash_file_open(test_tmp(), &f, &err), ASH_OK); /* a folder */
}

/* A field of a struct, by offset and width, and what it is set to. */
typedef struct change {
    size_t offset, bytes;
    uint64_t value;
    ash_status expected;
    const char *word;
} change;
#define FIELD(type, field, value, expected, word)                                                                      \
    {                                                                                                                  \
        offsetof(type, field), sizeof(((type *)0)->field), value, expected, word                                       \
    }

/* Applies each change to the struct at `at` of the file, alone, recomputes all checksums, and expects the refusal. */
static void refuse_changes(const uint8_t *file, size_t at, const change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *copy = copy_of(file);
        const change *c = &changes[i];
        assert_int_not_equal(memcmp(copy + at + c->offset, &c->value, c->bytes), 0);
        memcpy(copy + at + c->offset, &c->value, c->bytes);
        test_container_rehash(copy, size_of(file), 0);
        refuse(copy, size_of(file), c->expected, c->word);
        free(copy);
    }
}
#define REFUSE(file, at, changes) refuse_changes(file, at, changes, sizeof changes / sizeof changes[0])

static void test_header_fields(void **state)
{
    const change changes[] = {
        FIELD(ash_header, magic[7], '\r', ASH_E_FORMAT, "text mode"),
        FIELD(ash_header, version, 1, ASH_E_UNSUPPORTED, "version 1"),
        FIELD(ash_header, version, UINT32_MAX, ASH_E_UNSUPPORTED, "newer ashlar"),
        FIELD(ash_header, header_bytes, 8192, ASH_E_UNSUPPORTED, "8192"),
        FIELD(ash_header, file_bytes, UINT64_MAX, ASH_E_FORMAT, "copy it again"),
        FIELD(ash_header, file_bytes, 4096, ASH_E_FORMAT, "header says 4096"),
        FIELD(ash_header, section_count, 49, ASH_E_FORMAT, "49 sections"),
        FIELD(ash_header, section_count, UINT32_MAX, ASH_E_FORMAT, "sections"),
        FIELD(ash_header, section_count, 0, ASH_E_FORMAT, "no section TENS"),
        FIELD(ash_header, section_count, 4, ASH_E_FORMAT, "no section HASH"),
        FIELD(ash_header, section_record_bytes, 0, ASH_E_UNSUPPORTED, "sizes"),
        FIELD(ash_header, tensor_record_bytes, 257, ASH_E_UNSUPPORTED, "257"),
        FIELD(ash_header, member_record_bytes, 64, ASH_E_UNSUPPORTED, "64"),
        FIELD(ash_header, file_index, 1, ASH_E_UNSUPPORTED, "part 1"),
        FIELD(ash_header, file_count, 2, ASH_E_UNSUPPORTED, "2 files"),
        FIELD(ash_header, file_count, 0, ASH_E_UNSUPPORTED, "0 files"),
        FIELD(ash_header, tensor_align, 0, ASH_E_UNSUPPORTED, "alignment 0"),
        FIELD(ash_header, data_chunk_bytes, 0, ASH_E_UNSUPPORTED, "chunk 0"),
        FIELD(ash_header, features_required, 1, ASH_E_UNSUPPORTED, "feature 0,"),
        FIELD(ash_header, features_required, UINT64_C(1) << 63, ASH_E_UNSUPPORTED, "feature 63,"),
        /* META of the sample has a word for it. */
        FIELD(ash_header, features_required, 1 << 5, ASH_E_UNSUPPORTED, "feature 5 (folded norms)"),
    };
    REFUSE(*state, 0, changes);
    /* An optional feature changes nothing, nor do the reserved fields. */
    uint8_t *copy = copy_of(*state);
    ash_error err;
    ((ash_header *)copy)->features_optional = UINT64_MAX;
    ((ash_header *)copy)->reserved1[3] = 7;
    test_container_rehash(copy, size_of(copy), 0);
    assert_ok(try_file(copy, size_of(copy), &err), &err);
    free(copy);
}

static void test_section_fields(void **state)
{
    uint8_t *file = *state;
    const change all[] = {
        FIELD(ash_section_record, offset, UINT64_MAX, ASH_E_FORMAT, "outside the file"),
        FIELD(ash_section_record, offset, UINT64_MAX - 63, ASH_E_FORMAT, "outside the file"),
        FIELD(ash_section_record, offset, 0, ASH_E_FORMAT, "outside the file"), /* over the header */
        FIELD(ash_section_record, size, UINT64_MAX, ASH_E_FORMAT, "outside the file"),
        FIELD(ash_section_record, size, UINT64_MAX - 4095, ASH_E_FORMAT, "outside the file"),
        FIELD(ash_section_record, id, 0, ASH_E_FORMAT, "outside the file"),
        FIELD(ash_section_record, flags, 2, ASH_E_UNSUPPORTED, "flags 2"),
        FIELD(ash_section_record, raw_size, UINT64_MAX, ASH_E_FORMAT, "cannot hold"),
    };
    for (uint32_t i = 0; i < ((ash_header *)file)->section_count; i++)
        REFUSE(file, offsetof(ash_header, sections) + i * sizeof(ash_section_record), all);
    const size_t tens = (size_t)((uint8_t *)section(file, ASH_SECTION_TENSORS) - file);
    const size_t strs = (size_t)((uint8_t *)section(file, ASH_SECTION_STRINGS) - file);
    const size_t data = (size_t)((uint8_t *)section(file, ASH_SECTION_DATA) - file);
    const size_t meta = (size_t)((uint8_t *)section(file, ASH_SECTION_META) - file);
    const ash_section_record tensors = *section(file, ASH_SECTION_TENSORS);
    const change on_tensors[] = {
        FIELD(ash_section_record, offset, tensors.offset + 8, ASH_E_FORMAT, "not aligned"),
        FIELD(ash_section_record, offset, tensors.offset + 64, ASH_E_FORMAT, "overlap"),
        FIELD(ash_section_record, id, ASH_SECTION_MEMBERS, ASH_E_FORMAT, "MEMB is there twice"),
        FIELD(ash_section_record, id, ASH_FOURCC('X', 'X', 'X', 'X'), ASH_E_FORMAT, "no section TENS"),
        FIELD(ash_section_record, flags, ASH_SECTION_FLAG_ZSTD, ASH_E_UNSUPPORTED, "flags 1"),
    };
    REFUSE(file, tens, on_tensors);
    const change on_strings[] = { FIELD(ash_section_record, offset, tensors.offset, ASH_E_FORMAT, "overlap") };
    REFUSE(file, strs, on_strings);
    const change on_data[] = {
        FIELD(ash_section_record, offset, section(file, ASH_SECTION_DATA)->offset + 64, ASH_E_FORMAT, "not aligned"),
    };
    REFUSE(file, data, on_data);
    const change on_meta[] = {
        FIELD(ash_section_record, raw_size, 0, ASH_E_FORMAT, "cannot hold"),
        FIELD(ash_section_record, raw_size, (UINT64_C(1) << 30) + 1, ASH_E_FORMAT, "cannot hold"),
        FIELD(ash_section_record, raw_size, 1000, ASH_E_FORMAT, "does not inflate to 1000"),
        FIELD(ash_section_record, raw_size, 1, ASH_E_FORMAT, "does not inflate"),
        FIELD(ash_section_record, size, section(file, ASH_SECTION_META)->size - 1, ASH_E_FORMAT, "not one zstd frame"),
    };
    /* Bytes that a shorter section frees are no longer a section's, so they must be zero. */
    const change short_meta = on_meta[4];
    refuse_changes(file, meta, on_meta, 4);
    uint8_t *copy = copy_of(file);
    memcpy(copy + meta + short_meta.offset, &short_meta.value, short_meta.bytes);
    copy[section(file, ASH_SECTION_META)->offset + short_meta.value] = 0;
    test_container_rehash(copy, size_of(copy), 0);
    refuse(copy, size_of(copy), ASH_E_FORMAT, short_meta.word);
    free(copy);
    /* size and raw_size together, so that the check behind theirs is met. */
    static const struct {
        uint32_t id;
        uint64_t less;
        ash_status expected;
        const char *word;
    } shrunk[] = {
        { ASH_SECTION_TENSORS, 256, ASH_E_FORMAT, "members" },
        { ASH_SECTION_TENSORS, 8, ASH_E_FORMAT, "directory" },
        { ASH_SECTION_MEMBERS, 128, ASH_E_FORMAT, "members" },
        { ASH_SECTION_MEMBERS, 4, ASH_E_FORMAT, "directory" },
        { ASH_SECTION_STRINGS, 1, ASH_E_FORMAT, "name" },
        { ASH_SECTION_DATA, 4096, ASH_E_FORMAT, "outside the data" },
        { ASH_SECTION_HASHES, 16, ASH_E_FORMAT, "section HASH" },
        { ASH_SECTION_HASHES, 1, ASH_E_FORMAT, "section HASH" },
    };
    for (size_t i = 0; i < sizeof shrunk / sizeof shrunk[0]; i++) {
        copy = copy_of(file);
        ash_section_record *less = section(copy, shrunk[i].id);
        less->raw_size = less->size -= shrunk[i].less;
        test_container_rehash(copy, size_of(copy), 0);
        refuse(copy, size_of(copy), shrunk[i].expected, shrunk[i].word);
        free(copy);
    }
    /* The last tensor and its member are gone, its bytes are still there. */
    copy = copy_of(file);
    ash_section_record *s = section(copy, ASH_SECTION_TENSORS), *m = section(copy, ASH_SECTION_MEMBERS);
    s->raw_size = s->size -= sizeof(ash_tensor_record);
    m->raw_size = m->size -= sizeof(ash_member_record);
    test_container_rehash(copy, size_of(copy), 0);
    refuse(copy, size_of(copy), ASH_E_FORMAT, "the data section ends at");
    free(copy);
    /* Bytes behind a zstd frame. */
    copy = copy_of(file);
    s = section(copy, ASH_SECTION_META);
    s->size += 1;
    test_container_rehash(copy, size_of(copy), 0);
    refuse(copy, size_of(copy), ASH_E_FORMAT, "META is not one zstd frame");
    free(copy);
    /* The root is in two places; here the header's own hash is right. */
    copy = copy_of(file);
    ((ash_section_record *)(copy + data))->hash.low ^= 1;
    refuse(copy, size_of(copy), ASH_E_CHECKSUM, "header");
    ash_header *h = (ash_header *)copy;
    h->header_hash = (ash_hash128){ 0, 0 };
    h->header_hash = ash_hash(h, sizeof *h);
    refuse(copy, size_of(copy), ASH_E_FORMAT, "HASH does not fit");
    free(copy);
}

static void test_tensor_fields(void **state)
{
    uint8_t *file = *state;
    const ash_tensor_record *norm = tensor(file, SAMPLE_NORM), *qkv = tensor(file, SAMPLE_QKV);
    const change on_norm[] = {
        FIELD(ash_tensor_record, name, UINT64_MAX, ASH_E_FORMAT, "name of tensor 1"),
        FIELD(ash_tensor_record, name, UINT64_MAX - norm->name_bytes, ASH_E_FORMAT, "name of tensor 1"),
        FIELD(ash_tensor_record, name, norm->name + 1, ASH_E_FORMAT, "name of tensor 1"), /* no NUL behind it */
        FIELD(ash_tensor_record, name_bytes, 0, ASH_E_FORMAT, "name of tensor 1"),
        FIELD(ash_tensor_record, name_bytes, UINT32_MAX, ASH_E_FORMAT, "name of tensor 1"),
        FIELD(ash_tensor_record, name_bytes, norm->name_bytes - 1, ASH_E_FORMAT, "name of tensor 1"),
        FIELD(ash_tensor_record, role, 5, ASH_E_UNSUPPORTED, "layer 0 norm"),
        FIELD(ash_tensor_record, role, ASH_ROLE_COUNT, ASH_E_UNSUPPORTED, "role"),
        FIELD(ash_tensor_record, role, UINT32_MAX, ASH_E_UNSUPPORTED, "role"),
        FIELD(ash_tensor_record, role, ASH_ROLE_SCALE, ASH_E_FORMAT, "scale kind"),
        FIELD(ash_tensor_record, layer, ASH_LAYER_MAX, ASH_E_FORMAT, "of layer 4096"),
        FIELD(ash_tensor_record, dtype, ASH_DTYPE_COUNT, ASH_E_UNSUPPORTED, "layer 0 norm has the unknown type"),
        FIELD(ash_tensor_record, dtype, UINT16_MAX, ASH_E_UNSUPPORTED, "unknown type 65535"),
        FIELD(ash_tensor_record, dtype, ASH_F16, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, layout, ASH_LAYOUT_COUNT, ASH_E_UNSUPPORTED, "layer 0 norm has the unknown layout"),
        FIELD(ash_tensor_record, layout, ASH_LAYOUT_F32_16, ASH_E_FORMAT, "1 dimensions"), /* a tile wants rows */
        FIELD(ash_tensor_record, layout, ASH_LAYOUT_Q4_0, ASH_E_FORMAT, "does not hold type f32"),
        FIELD(ash_tensor_record, layout_revision, 1, ASH_E_UNSUPPORTED, "layer 0 norm has revision 1"),
        FIELD(ash_tensor_record, dim_count, 0, ASH_E_FORMAT, "0 dimensions"),
        FIELD(ash_tensor_record, dim_count, 5, ASH_E_FORMAT, "5 dimensions"),
        FIELD(ash_tensor_record, dims[0], 0, ASH_E_FORMAT, "dimension 0 is 0"),
        FIELD(ash_tensor_record, dims[0], 97, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, dims[0], UINT64_MAX, ASH_E_FORMAT, "too large"),
        FIELD(ash_tensor_record, dims[0], (UINT64_C(1) << 62) + 96, ASH_E_FORMAT,
              "too large"), /* 4 bytes each: wraps to 384 */
        FIELD(ash_tensor_record, dims[1], 0, ASH_E_FORMAT, "dimension 1"),
        FIELD(ash_tensor_record, dims[3], 2, ASH_E_FORMAT, "dimension 3"),
        FIELD(ash_tensor_record, member_first, 0, ASH_E_FORMAT, "members"),
        FIELD(ash_tensor_record, member_count, 0, ASH_E_FORMAT, "members"),
        FIELD(ash_tensor_record, member_count, UINT32_MAX, ASH_E_FORMAT, "members"),
        FIELD(ash_tensor_record, padded_dims[0], 128, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, padded_dims[1], 16, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, offset, 0, ASH_E_FORMAT, "begins at byte 0"),
        FIELD(ash_tensor_record, offset, norm->offset - 4096, ASH_E_FORMAT,
              "not behind the tensor before"), /* overlaps */
        FIELD(ash_tensor_record, offset, norm->offset + 4096, ASH_E_FORMAT, "not behind the tensor before"), /* a gap */
        FIELD(ash_tensor_record, offset, UINT64_MAX, ASH_E_FORMAT, "begins at byte"),
        FIELD(ash_tensor_record, size, 383, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, size, UINT64_MAX, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, slice_stride, 0, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, panel_bytes, 16, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, scale_kind, 1, ASH_E_FORMAT, "scale kind 1"),
        FIELD(ash_tensor_record, hash.low, 0, ASH_E_CHECKSUM, "layer 0 norm is damaged"),
    };
    REFUSE(file, (size_t)((const uint8_t *)norm - file), on_norm);
    const change on_qkv[] = {
        FIELD(ash_tensor_record, dtype, ASH_Q5_K, ASH_E_FORMAT, "does not hold type q5_k"),
        FIELD(ash_tensor_record, dims[0], 64, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, dims[1], 48, ASH_E_FORMAT, "sizes do not follow"),
        FIELD(ash_tensor_record, dims[1], 63, ASH_E_FORMAT, "layer 0 qkv"), /* the same panels */
        FIELD(ash_tensor_record, dims[1], UINT64_MAX - 14, ASH_E_FORMAT, "too large"),
        FIELD(ash_tensor_record, role, ASH_ROLE_GATE_UP, ASH_E_FORMAT, "q.weight has role"),
        FIELD(ash_tensor_record, panel_bytes, qkv->panel_bytes - 16, ASH_E_FORMAT, "sizes do not follow"),
    };
    REFUSE(file, (size_t)((const uint8_t *)qkv - file), on_qkv);
    const change on_scale[] = {
        FIELD(ash_tensor_record, scale_kind, 0, ASH_E_FORMAT, "gate.weight: its weight scale"),
        FIELD(ash_tensor_record, scale_kind, 7, ASH_E_FORMAT, "gate.weight: its weight scale"),
        FIELD(ash_tensor_record, scale_kind, ASH_SCALE_INPUT, ASH_E_FORMAT, "gate.weight: its weight scale"),
        FIELD(ash_tensor_record, scale_kind, ASH_SCALE_ROW, ASH_E_FORMAT, "gate.weight: its weight scale"),
        FIELD(ash_tensor_record, scale_kind, ASH_SCALE_BLOCK128, ASH_E_FORMAT, "up.weight"),
    };
    refuse_changes(file, (size_t)((uint8_t *)tensor(file, SAMPLE_GATE_SCALE) - file), on_scale, 4);
    refuse_changes(file, (size_t)((uint8_t *)tensor(file, SAMPLE_UP_SCALE) - file), on_scale + 4, 1);
}

static void test_member_fields(void **state)
{
    uint8_t *file = *state;
    size_t members = section(file, ASH_SECTION_MEMBERS)->offset;
    size_t k = members + (tensor(file, SAMPLE_QKV)->member_first + 1) * sizeof(ash_member_record);
    size_t up = members + (tensor(file, SAMPLE_GATE_UP)->member_first + 1) * sizeof(ash_member_record);
    size_t expert = members + (tensor(file, SAMPLE_EXPERTS)->member_first + 1) * sizeof(ash_member_record);
    const change on_k[] = {
        FIELD(ash_member_record, name, UINT64_MAX, ASH_E_FORMAT, "layer 0 qkv has a member whose name"),
        FIELD(ash_member_record, name_bytes, 0, ASH_E_FORMAT, "member whose name"),
        FIELD(ash_member_record, name_bytes, 2000, ASH_E_FORMAT, "member whose name"),
        FIELD(ash_member_record, role, ASH_ROLE_O, ASH_E_FORMAT, "role"),
        FIELD(ash_member_record, source_dtype, ASH_DTYPE_COUNT, ASH_E_UNSUPPORTED, "source type"),
        FIELD(ash_member_record, source_dim_count, 5, ASH_E_FORMAT, "shape in the source"),
        FIELD(ash_member_record, source_dim_count, 1, ASH_E_FORMAT, "shape in the source"),
        FIELD(ash_member_record, source_dims[1], 17, ASH_E_FORMAT, "shape in the source"),
        FIELD(ash_member_record, source_dims[2], 0, ASH_E_FORMAT, "shape in the source"),
        FIELD(ash_member_record, row_order, 2, ASH_E_FORMAT, "row order 2"),
        FIELD(ash_member_record, row_order, ASH_ROWS_SAME, ASH_E_FORMAT,
              "row order 0"), /* heads where none are wanted */
        FIELD(ash_member_record, row_order_head, 0, ASH_E_FORMAT, "row order"),
        FIELD(ash_member_record, row_order_head, 32, ASH_E_FORMAT, "row order"),
        FIELD(ash_member_record, row_order_rope, 0, ASH_E_FORMAT, "row order"),
        FIELD(ash_member_record, row_order_rope, 15, ASH_E_FORMAT, "row order"),
        FIELD(ash_member_record, row_order_rope, 18, ASH_E_FORMAT, "row order"),
        FIELD(ash_member_record, row_first, 16, ASH_E_FORMAT, "does not follow"),
        FIELD(ash_member_record, row_first, UINT64_MAX, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, row_first, UINT64_MAX - 15, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, row_count, 0, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, row_count, UINT64_MAX, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, panel_step, 0, ASH_E_FORMAT, "does not follow"),
        FIELD(ash_member_record, panel_step, 2, ASH_E_FORMAT, "does not follow"),
        FIELD(ash_member_record, scale_weight, 0, ASH_E_FORMAT, "is no scale"),
        FIELD(ash_member_record, scale_weight, UINT32_MAX - 1, ASH_E_FORMAT, "is no scale"),
        FIELD(ash_member_record, scale_weight, SAMPLE_INPUT_SCALE, ASH_E_FORMAT, "wrong kind"),
        FIELD(ash_member_record, scale_weight, SAMPLE_UP_SCALE, ASH_E_FORMAT, "wrong kind"), /* 32 scales, 16 rows */
        FIELD(ash_member_record, scale_input, SAMPLE_GATE_SCALE, ASH_E_FORMAT, "wrong kind"),
        FIELD(ash_member_record, input_dynamic, 2, ASH_E_FORMAT, "static and dynamic"),
        FIELD(ash_member_record, slice_first, 1, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, slice_count, 0, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, slice_count, UINT32_MAX, ASH_E_FORMAT, "outside"),
    };
    REFUSE(file, k, on_k);
    const change on_up[] = {
        FIELD(ash_member_record, input_dynamic, 1, ASH_E_FORMAT, "static and dynamic"),
        FIELD(ash_member_record, panel_step, 1, ASH_E_FORMAT, "does not follow"),
        FIELD(ash_member_record, row_first, 0, ASH_E_FORMAT, "does not follow"),
    };
    REFUSE(file, up, on_up);
    const change on_expert[] = {
        FIELD(ash_member_record, slice_first, 0, ASH_E_FORMAT, "does not follow"),
        FIELD(ash_member_record, slice_first, 2, ASH_E_FORMAT, "does not follow"),
        FIELD(ash_member_record, slice_first, 3, ASH_E_FORMAT, "outside"),
        FIELD(ash_member_record, slice_count, 2, ASH_E_FORMAT, "shape"),
    };
    REFUSE(file, expert, on_expert);
}

static void test_names(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } names[] = {
        { "\n", 1 },
        { "\x1b", 1 },
        { "\x7f", 1 },
        { "", 1 },
        { "\x80", 1 },
        { "\xc0\x80", 2 },
        { "\xc1\xbf", 2 },
        { "\xed\xa0\x80", 3 },
        { "\xe0\x9f\xbf", 3 },
        { "\xf0\x8f\x80\x80", 4 },
        { "\xf4\x90\x80\x80", 4 },
        { "\xff", 1 },
        { "\xc3", 1 },
        { "\xe2\x82", 2 },
    };
    uint8_t *file = *state;
    size_t at = section(file, ASH_SECTION_STRINGS)->offset + tensor(file, SAMPLE_NORM)->name;
    size_t end = tensor(file, SAMPLE_NORM)->name_bytes;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint8_t *copy = copy_of(file);
        memcpy(copy + at + (i % 2 ? 0 : end - names[i].size), names[i].bytes, names[i].size); /* at its begin or end */
        test_container_rehash(copy, size_of(copy), 0);
        refuse(copy, size_of(copy), ASH_E_FORMAT, "name of tensor 1");
        free(copy);
    }
    /* Two tensors of one name. */
    uint8_t *copy = copy_of(file);
    tensor(copy, SAMPLE_OTHER)->name = tensor(copy, SAMPLE_EMBED)->name;
    tensor(copy, SAMPLE_OTHER)->name_bytes = tensor(copy, SAMPLE_EMBED)->name_bytes;
    test_container_rehash(copy, size_of(copy), 0);
    refuse(copy, size_of(copy), ASH_E_FORMAT, "two tensors are called embed");
    free(copy);
}

/* Opening reads no tensor data; verify names the tensor. */
static void test_damaged_data(void **state)
{
    char words[128];
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        uint8_t *copy = copy_of(*state);
        const ash_tensor_record *t = tensor(copy, i);
        copy[t->offset + t->size / 2] ^= 0x10;
        snprintf(words, sizeof words, "tensor %s is damaged (wrong checksum)", test_sample_names[i]);
        ash_file *f;
        ash_error err;
        test_write_file(bad_path, copy, size_of(copy));
        assert_ok(ash_file_open(bad_path, &f, &err), &err);
        ash_file_close(f);
        refuse(copy, size_of(copy), ASH_E_CHECKSUM, words);
        /* The chunk's hash fits, the tensor's does not. */
        test_container_rehash(copy, size_of(copy), 0);
        refuse(copy, size_of(copy), ASH_E_CHECKSUM, words);
        free(copy);
    }
    /* The chunk's hash alone is wrong. */
    uint8_t *copy = copy_of(*state);
    copy[section(copy, ASH_SECTION_HASHES)->offset] ^= 1;
    refuse(copy, size_of(copy), ASH_E_CHECKSUM, "section HASH");
    free(copy);
}

static void test_damaged_padding(void **state)
{
    uint8_t *file = *state;
    const ash_tensor_record *norm = tensor(file, SAMPLE_NORM), *embed = tensor(file, SAMPLE_EMBED),
                            *experts = tensor(file, SAMPLE_EXPERTS), *qkv = tensor(file, SAMPLE_QKV),
                            *last = tensor(file, SAMPLE_OTHER);
    const struct {
        uint64_t at;
        const char *word;
    } places[] = {
        { norm->offset + norm->size, "padding before tensor layer 0 qkv" },
        { norm->offset + 4095, "padding before tensor layer 0 qkv" },
        { last->offset + last->size, "padding behind" },
        { experts->offset + 3072, "tensor experts is damaged (padding between its matrices" },
        /* Q8_0, K = 96 of a tile's 256: scales of blocks 3 to 7 of row 0. */
        { embed->offset + 3 * 2, "tensor embed is damaged (padding inside its tiles" },
        /* Rows 8 to 15 of the second panel do not exist: lane 8 of the first chunk. */
        { embed->offset + embed->panel_bytes + 256 + 8 * 16, "tensor embed is damaged (padding inside its tiles" },
        /* BF16 experts: row 4 of the second panel (20 rows) of the last one. */
        { experts->offset + 2 * 4096 + 1536 + 4 * 16, "tensor experts is damaged (padding inside its tiles" },
        /* Q4_K, K = 128: scale of sub-block 4 of row 0, low four bits of scales[8]. */
        { qkv->offset + 4 + 8, "tensor layer 0 qkv is damaged (padding inside its tiles" },
        { section(file, ASH_SECTION_META)->offset - 1, "padding before section META" },
        { section(file, ASH_SECTION_DATA)->offset - 1, "padding before section DATA" },
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint8_t *copy = copy_of(file);
        copy[places[i].at] |= 1;
        test_container_rehash(copy, size_of(copy), 1);
        refuse(copy, size_of(copy), ASH_E_CHECKSUM, places[i].word);
        free(copy);
    }
}

static void test_damaged_sections(void **state)
{
    static const struct {
        uint32_t id;
        const char *word;
    } each[] = {
        { ASH_SECTION_TENSORS, "section TENS" }, { ASH_SECTION_MEMBERS, "section MEMB" },
        { ASH_SECTION_STRINGS, "section STRS" }, { ASH_SECTION_TOKENIZER, "section TOKN" },
        { ASH_SECTION_META, "section META" },    { ASH_SECTION_GGUF_KV, "section GGKV" },
        { ASH_SECTION_HASHES, "section HASH" },
    };
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        uint8_t *copy = copy_of(*state);
        const ash_section_record *s = section(copy, each[i].id);
        copy[s->offset + s->size - 1] ^= 0x80;
        refuse(copy, size_of(copy), ASH_E_CHECKSUM, each[i].word);
        free(copy);
    }
    /* A reader that takes one section checks its hash. */
    uint8_t *copy = copy_of(*state), *bytes;
    copy[section(copy, ASH_SECTION_META)->offset + 4] ^= 1;
    test_write_file(bad_path, copy, size_of(copy));
    ash_file *f;
    ash_error err;
    size_t size;
    assert_ok(ash_file_open(bad_path, &f, &err), &err);
    assert_int_equal(ash_file_section_read(f, ASH_SECTION_META, &bytes, &size, &err), ASH_E_CHECKSUM);
    assert_null(bytes);
    ash_file_close(f);
    free(copy);
}

static bool zeros_around(const uint8_t *bytes, size_t size, size_t at)
{
    for (size_t i = at < 16 ? 0 : at - 16; i < size && i <= at + 16; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Every bit of a small file, one at a time, checksums as they are: nothing goes unnoticed. In runs of zeros one bit of
 * each byte will do. */
static void test_every_bit(void **state)
{
    (void)state;
    char *path = test_path("tiny.ashlar");
    size_t size;
    test_tiny_write(path);
    uint8_t *tiny = test_read_file(path, &size);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            if ((size_t)bit != i % 8 && zeros_around(tiny, size, i))
                continue;
            uint8_t byte = tiny[i] ^ (uint8_t)(1 << bit);
            assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
            ash_file *f;
            ash_error err;
            if (ash_file_open(path, &f, &err) == ASH_OK) {
                if (ash_file_verify(f, NULL, NULL, &err) == ASH_OK)
                    fail_msg("bit %d of byte %zu of %zu goes unnoticed", bit, i, size);
                ash_file_close(f);
            }
            assert_int_equal(pwrite(fd, &tiny[i], 1, (off_t)i), 1);
        }
    close(fd);
    ash_error err;
    ash_file *f;
    assert_ok(ash_file_open(path, &f, &err), &err);
    assert_ok(ash_file_verify(f, NULL, NULL, &err), &err);
    ash_file_close(f);
    free(tiny);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_sample_is_good), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_other_files),        cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_section_fields),     cmocka_unit_test(test_tensor_fields),
        cmocka_unit_test(test_member_fields),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_damaged_data),       cmocka_unit_test(test_damaged_padding),
        cmocka_unit_test(test_damaged_sections),   cmocka_unit_test(test_every_bit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
