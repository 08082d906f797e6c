/* Hostile and damaged source files: each is refused with one exact line that names the file and the reason.
 * Files are small and made by hand, byte by byte; a sanitizer build shows reads beyond them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/gguf.h"
#include "format/safetensors.h"
#include "tests/support/support.h"

typedef struct buf {
    uint8_t bytes[4096];
    size_t size;
} buf;

static void put(buf *b, const void *p, size_t n)
{
    assert_true(n <= sizeof b->bytes - b->size);
    if (n)
        memcpy(b->bytes + b->size, p, n);
    b->size += n;
}
static void u8(buf *b, uint8_t v) { put(b, &v, sizeof v); }
static void u16(buf *b, uint16_t v) { put(b, &v, sizeof v); }
static void u32(buf *b, uint32_t v) { put(b, &v, sizeof v); }
static void u64(buf *b, uint64_t v) { put(b, &v, sizeof v); }
static void zeros(buf *b, size_t n)
{
    while (n--)
        u8(b, 0);
}
static void align(buf *b, size_t step)
{
    while (b->size % step)
        u8(b, 0);
}
static void text(buf *b, const char *s)
{
    u64(b, strlen(s));
    put(b, s, strlen(s));
}

/* Asserts that opening "bad.gguf" (or the given name) gives exactly "<path>: <message>". */
static void expect_gguf_file(const char *path, ash_status status, const char *message)
{
    ash_error err = { 0 };
    ash_gguf *g;
    char expected[1024];
    snprintf(expected, sizeof expected, "%s: %s", path, message);
    ash_status got = ash_gguf_open(path, &g, &err);
    assert_null(g);
    assert_string_equal(err.text, expected);
    assert_int_equal(got, status);
    assert_int_equal(err.status, status);
}

static void expect_gguf(const buf *b, ash_status status, const char *message)
{
    char *path = test_path("bad.gguf");
    test_write_file(path, b->bytes, b->size);
    expect_gguf_file(path, status, message);
    free(path);
}

#define GGUF(status, message, ...)          \
    do {                                    \
        buf file_ = { 0 }, *b = &file_;     \
        __VA_ARGS__;                        \
        expect_gguf(b, status, message);    \
    } while (0)

static void head(buf *b, uint32_t version, uint64_t tensors, uint64_t pairs)
{
    put(b, "GGUF", 4);
    u32(b, version);
    u64(b, tensors);
    u64(b, pairs);
}

static void key(buf *b, const char *name, uint32_t type)
{
    text(b, name);
    u32(b, type);
}

static void key_u32(buf *b, const char *name, uint32_t value)
{
    key(b, name, ASH_GGUF_U32);
    u32(b, value);
}

/* A directory entry; type 0 is F32, 8 is Q8_0. */
static void tensor(buf *b, const char *name, uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset)
{
    text(b, name);
    u32(b, 2);
    u64(b, cols);
    u64(b, rows);
    u32(b, type);
    u64(b, offset);
}

static void data(buf *b, size_t size)
{
    align(b, 32);
    zeros(b, size);
}

/* The file that the others are variations of: two pairs, two tensors of 32 bytes. */
static void good(buf *b)
{
    head(b, 3, 2, 2);
    key(b, "general.architecture", ASH_GGUF_STRING);
    text(b, "llama");
    key(b, "names", ASH_GGUF_ARRAY);
    u32(b, ASH_GGUF_STRING);
    u64(b, 2);
    text(b, "one");
    text(b, "two");
    tensor(b, "a.weight", 8, 1, 0, 0);
    tensor(b, "b.weight", 2, 4, 0, 32);
    data(b, 64);
}

static void gguf_header(void **state)
{
    (void)state;
    GGUF(ASH_E_FORMAT,
         "ends inside the magic: 4 bytes are needed at byte 0, 0 are left; the file is truncated or damaged, "
         "fetch it again", (void)0);
    GGUF(ASH_E_FORMAT, "is no GGUF file (it begins with 47 47 4d 4c, not 47 47 55 46)", put(b, "GGML....", 8));
    GGUF(ASH_E_UNSUPPORTED,
         "is GGUF version 1, which was replaced in 2023; versions 2 and 3 are read: make the file again",
         head(b, 1, 0, 0));
    GGUF(ASH_E_UNSUPPORTED, "is GGUF version 4; versions 2 and 3 are read: a newer ashlar may know it",
         head(b, 4, 0, 0));
    GGUF(ASH_E_UNSUPPORTED,
         "is a big-endian GGUF file; only little-endian ones are read: convert it to little-endian first",
         head(b, 0x03000000, 0, 0));
    GGUF(ASH_E_FORMAT,
         "declares 1099511627776 key-values, more than its 160 bytes can hold; the file is truncated or damaged",
         head(b, 3, 0, UINT64_C(1) << 40); zeros(b, 136));
    GGUF(ASH_E_FORMAT,
         "declares 9223372036854775808 tensors, more than its 160 bytes can hold; the file is truncated or damaged",
         head(b, 3, UINT64_C(1) << 63, 0); zeros(b, 136));
    GGUF(ASH_E_FORMAT,
         "ends inside the header: 8 bytes are needed at byte 16, 4 are left; the file is truncated or damaged, "
         "fetch it again", head(b, 3, 0, 0); b->size -= 4);
    char *path = test_path("absent.gguf");
    expect_gguf_file(path, ASH_E_IO, "cannot open: No such file or directory");
    free(path);
    path = test_path("folder.gguf/x");
    *strrchr(path, '/') = 0;
    expect_gguf_file(path, ASH_E_ARGUMENT, "is a folder; a regular file is needed");
    free(path);
}

/* A file of 3 GiB, nearly all of it a hole, that holds what it declares: refused before memory is asked for. */
static void gguf_huge_metadata(void **state)
{
    (void)state;
    buf b = { 0 };
    head(&b, 3, 0, 1);
    key(&b, "x", ASH_GGUF_ARRAY);
    u32(&b, ASH_GGUF_U8);
    u64(&b, UINT64_C(1) << 31);
    char *path = test_path("huge.gguf");
    test_write_file(path, b.bytes, b.size);
    if (truncate(path, (off_t)3 << 30) != 0)
        test_skip("the file system has no room for a sparse file");
    expect_gguf_file(path, ASH_E_LIMIT, "its metadata is larger than 1 GiB, which ashlar does not read");
    remove(path);
    free(path);
}

static void gguf_pairs(void **state)
{
    (void)state;
    GGUF(ASH_E_FORMAT, "key 'general.architecture' occurs twice; the file is damaged", head(b, 3, 0, 3);
         key_u32(b, "general.architecture", 1); key_u32(b, "x", 1); key_u32(b, "general.architecture", 1));
    GGUF(ASH_E_FORMAT, "the key at byte 24 has a NUL inside; the file is damaged", head(b, 3, 0, 1); u64(b, 3);
         put(b, "a\0b", 3); u32(b, ASH_GGUF_U32); u32(b, 0));
    GGUF(ASH_E_FORMAT, "a key at byte 24 is 0 bytes long (1 to 65535 are allowed); the file is damaged",
         head(b, 3, 0, 1);
         u64(b, 0); u32(b, ASH_GGUF_U32); zeros(b, 40));
    GGUF(ASH_E_FORMAT,
         "a key at byte 24 is 9223372036854775808 bytes long (1 to 65535 are allowed); the file is damaged",
         head(b, 3, 0, 1); u64(b, UINT64_C(1) << 63); zeros(b, 40));
    GGUF(ASH_E_FORMAT,
         "ends inside a key: 40000 bytes are needed at byte 32, 40 are left; the file is truncated or damaged, "
         "fetch it again", head(b, 3, 0, 1); u64(b, 40000); zeros(b, 40));
    GGUF(ASH_E_FORMAT, "key 'x' has type 13, which GGUF does not define", head(b, 3, 0, 1); key(b, "x", 13);
         zeros(b, 8));
    GGUF(ASH_E_FORMAT, "ends inside a value: 9223372036854775808 bytes are needed at byte 45, 8 are left; "
         "the file is truncated or damaged, fetch it again",
         head(b, 3, 0, 1); key(b, "x", ASH_GGUF_STRING); u64(b, UINT64_C(1) << 63); zeros(b, 8));
    GGUF(ASH_E_FORMAT, "ends inside a value: 18446744073709551615 bytes are needed at byte 45, 8 are left; "
         "the file is truncated or damaged, fetch it again",
         head(b, 3, 0, 1); key(b, "x", ASH_GGUF_STRING); u64(b, UINT64_MAX); zeros(b, 8));
    GGUF(ASH_E_FORMAT, "key 'x' declares 9223372036854775808 elements, more than the 8 bytes that follow can hold; "
         "the file is truncated or damaged", head(b, 3, 0, 1); key(b, "x", ASH_GGUF_ARRAY); u32(b, ASH_GGUF_U32);
         u64(b, UINT64_C(1) << 63); zeros(b, 8));
    GGUF(ASH_E_FORMAT, "key 'x' declares 2 elements, more than the 8 bytes that follow can hold; "
         "the file is truncated or damaged", head(b, 3, 0, 1); key(b, "x", ASH_GGUF_ARRAY); u32(b, ASH_GGUF_STRING);
         u64(b, 2); zeros(b, 8));
    GGUF(ASH_E_FORMAT, "ends inside an array's string: 9223372036854775808 bytes are needed at byte 57, 8 are left; "
         "the file is truncated or damaged, fetch it again", head(b, 3, 0, 1); key(b, "x", ASH_GGUF_ARRAY);
         u32(b, ASH_GGUF_STRING); u64(b, 2); u64(b, UINT64_C(1) << 63); zeros(b, 8));
    GGUF(ASH_E_UNSUPPORTED, "key 'x' is an array of arrays, which ashlar does not read", head(b, 3, 0, 1);
         key(b, "x", ASH_GGUF_ARRAY); u32(b, ASH_GGUF_ARRAY); u64(b, 1); zeros(b, 16));
    GGUF(ASH_E_FORMAT, "key 'x' has elements of type 255, which GGUF does not define", head(b, 3, 0, 1);
         key(b, "x", ASH_GGUF_ARRAY); u32(b, 255); u64(b, 1); zeros(b, 16));
    GGUF(ASH_E_FORMAT, "key 'x' is a bool that is neither 0 nor 1; the file is damaged", head(b, 3, 0, 1);
         key(b, "x", ASH_GGUF_BOOL); u8(b, 2));
    GGUF(ASH_E_FORMAT, "key 'x' has a bool that is neither 0 nor 1; the file is damaged", head(b, 3, 0, 1);
         key(b, "x", ASH_GGUF_ARRAY); u32(b, ASH_GGUF_BOOL); u64(b, 2); u8(b, 1); u8(b, 7));
    /* A terminal is not steered by a name. */
    GGUF(ASH_E_FORMAT, "key '?[31m?' has type 99, which GGUF does not define", head(b, 3, 0, 1);
         key(b, "\033[31m\n", 99);
         zeros(b, 8));
}

static void gguf_alignment(void **state)
{
    (void)state;
    static const uint32_t bad[] = { 0, 1, 3, 4, 48, UINT32_C(1) << 21, UINT32_C(1) << 31, UINT32_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char message[160];
        snprintf(message, sizeof message, "key 'general.alignment' is %u; it must be a power of two from 8 to 1048576; "
                 "the file is damaged", bad[i]);
        GGUF(ASH_E_FORMAT, message, head(b, 3, 1, 1); key_u32(b, "general.alignment", bad[i]);
             tensor(b, "a", 8, 1, 0, 0); data(b, 32));
    }
    GGUF(ASH_E_FORMAT, "key 'general.alignment' is no unsigned integer; the file is damaged", head(b, 3, 1, 1);
         key(b, "general.alignment", ASH_GGUF_I32); u32(b, (uint32_t)-32); tensor(b, "a", 8, 1, 0, 0); data(b, 32));
    GGUF(ASH_E_FORMAT, "tensor 'a': offset 32 is no multiple of the alignment 64", head(b, 3, 1, 1);
         key_u32(b, "general.alignment", 64); tensor(b, "a", 8, 1, 0, 32); data(b, 128));
}

static void gguf_tensors(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 0, 5, UINT32_C(1) << 31, UINT32_MAX };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char message[160];
        snprintf(message, sizeof message, "tensor 'a': has %u dimensions (1 to 4 are allowed)", counts[i]);
        GGUF(ASH_E_FORMAT, message, head(b, 3, 1, 0); text(b, "a"); u32(b, counts[i]); zeros(b, 200));
    }
    /* Types that ggml has removed, and one that it has not made yet. */
    static const uint32_t types[] = { 4, 5, 31, 32, 33, 36, 37, 38, 200 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char message[160];
        snprintf(message, sizeof message, "tensor 'a': ggml type %u is not known to this version of ashlar; "
                 "convert from a file of another type", types[i]);
        GGUF(ASH_E_UNSUPPORTED, message, head(b, 3, 1, 0); tensor(b, "a", 256, 1, types[i], 0); data(b, 512));
    }
    GGUF(ASH_E_FORMAT, "tensor 'a': dimension 1 is 0", head(b, 3, 1, 0); tensor(b, "a", 8, 0, 0, 0); data(b, 32));
    GGUF(ASH_E_FORMAT, "tensor 'a': a row of 33 elements is no multiple of the 32 of a q8_0 block", head(b, 3, 1, 0);
         tensor(b, "a", 33, 1, 8, 0); data(b, 128));
    GGUF(ASH_E_FORMAT, "tensor 'a': a row of 576 elements is no multiple of the 256 of a q4_k block", head(b, 3, 1, 0);
         tensor(b, "a", 576, 1, 12, 0); data(b, 512));
    /* 2^62 floats are 2^64 bytes: 0 where the product wraps. */
    GGUF(ASH_E_FORMAT, "tensor 'a': its size does not fit 64 bits", head(b, 3, 1, 0);
         tensor(b, "a", UINT64_C(1) << 31, UINT64_C(1) << 31, 0, 0); data(b, 64));
    GGUF(ASH_E_FORMAT, "tensor 'a': its size does not fit 64 bits", head(b, 3, 1, 0);
         tensor(b, "a", UINT64_C(1) << 62, 1, 0, 0); data(b, 64));
    GGUF(ASH_E_FORMAT, "tensor 'a': its size does not fit 64 bits", head(b, 3, 1, 0);
         tensor(b, "a", UINT64_MAX - 31, 1, 8, 0); data(b, 64));
    /* Elements wrap to a small number, rows and all. */
    GGUF(ASH_E_FORMAT, "tensor 'a': its size does not fit 64 bits", head(b, 3, 1, 0); text(b, "a"); u32(b, 4);
         u64(b, UINT64_C(1) << 32); u64(b, UINT64_C(1) << 16); u64(b, UINT64_C(1) << 16); u64(b, 9); u32(b, 0);
         u64(b, 0);
         data(b, 64));
    GGUF(ASH_E_FORMAT,
         "tensor 'a': 36 bytes at 0 do not fit into the 32 bytes of data; the file is truncated or damaged, "
         "fetch it again", head(b, 3, 1, 0); tensor(b, "a", 9, 1, 0, 0); data(b, 32));
    GGUF(ASH_E_FORMAT, "tensor 'b': 32 bytes at 18446744073709551584 do not fit into the 64 bytes of data; "
         "the file is truncated or damaged, fetch it again", head(b, 3, 2, 0); tensor(b, "a", 8, 1, 0, 0);
         tensor(b, "b", 8, 1, 0, UINT64_MAX - 31); data(b, 64));
    GGUF(ASH_E_FORMAT, "tensor 'a': offset 9007199254740993 is no multiple of the alignment 32", head(b, 3, 1, 0);
         tensor(b, "a", 8, 1, 0, (UINT64_C(1) << 53) + 1); data(b, 64));
    GGUF(ASH_E_FORMAT, "tensor 'b' overlaps 'a'; the file is damaged", head(b, 3, 2, 0); tensor(b, "a", 16, 1, 0, 0);
         tensor(b, "b", 8, 1, 0, 32); data(b, 128));
    GGUF(ASH_E_FORMAT, "tensor 'b' begins at 64 of the data where 32 is expected; the file is damaged",
         head(b, 3, 2, 0);
         tensor(b, "a", 8, 1, 0, 0); tensor(b, "b", 8, 1, 0, 64); data(b, 128));
    GGUF(ASH_E_FORMAT, "tensor 'same' occurs twice; the file is damaged", head(b, 3, 2, 0);
         tensor(b, "same", 8, 1, 0, 0);
         tensor(b, "same", 8, 1, 0, 32); data(b, 64));
    GGUF(ASH_E_FORMAT, "the tensor name at byte 24 has a NUL inside; the file is damaged", head(b, 3, 1, 0); u64(b, 3);
         put(b, "a\0b", 3); u32(b, 1); u64(b, 8); u32(b, 0); u64(b, 0); data(b, 32));
    GGUF(ASH_E_FORMAT, "a tensor's name at byte 24 is 1025 bytes long (1 to 1024 are allowed); the file is damaged",
         head(b, 3, 1, 0); u64(b, 1025); zeros(b, 2000));
    GGUF(ASH_E_FORMAT, "ends before its data section at byte 96; the file is truncated, fetch it again",
         head(b, 3, 1, 0);
         tensor(b, "a", 8, 1, 0, 0));
}

/* Every prefix of a good file is refused with a line that begins with the file's name. */
static void gguf_truncated(void **state)
{
    (void)state;
    buf b = { 0 };
    good(&b);
    char *path = test_path("cut.gguf");
    ash_error err;
    ash_gguf *g;
    test_write_file(path, b.bytes, b.size);
    assert_ok(ash_gguf_open(path, &g, &err), &err);
    ash_gguf_close(g);
    for (size_t size = 0; size < b.size; size++) {
        test_write_file(path, b.bytes, size);
        assert_int_equal(ash_gguf_open(path, &g, &err), ASH_E_FORMAT);
        assert_null(g);
        assert_memory_equal(err.text, path, strlen(path));
        assert_null(strchr(err.text, '\n'));
    }
    /* Any single byte changed: opened or refused, and nothing worse. */
    for (size_t i = 0; i < b.size; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            b.bytes[i] ^= (uint8_t)(1 << bit);
            test_write_file(path, b.bytes, b.size);
            if (ash_gguf_open(path, &g, &err) == ASH_OK)
                ash_gguf_close(g);
            b.bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(path);
}

/* ---- parts of a split GGUF ---- */

static void write_part(const char *name, uint16_t no, uint16_t count, uint32_t tensors)
{
    buf b = { 0 };
    char own[8];
    snprintf(own, sizeof own, "t%d", no);
    head(&b, 3, 1, 3);
    key(&b, "split.no", ASH_GGUF_U16);
    u16(&b, no);
    key(&b, "split.count", ASH_GGUF_U16);
    u16(&b, count);
    key(&b, "split.tensors.count", ASH_GGUF_I32);
    u32(&b, tensors);
    tensor(&b, own, 8, 1, 0, 0);
    data(&b, 32);
    char *path = test_path(name);
    test_write_file(path, b.bytes, b.size);
    free(path);
}

static void gguf_parts(void **state)
{
    (void)state;
    char *one = test_path("s-00001-of-00003.gguf"), *two = test_path("s-00002-of-00003.gguf");
    char *three = test_path("s-00003-of-00003.gguf"), *odd = test_path("odd.gguf"), expected[1024];
    ash_error err;
    ash_gguf *g;
    write_part("s-00001-of-00003.gguf", 0, 3, 3);
    write_part("s-00003-of-00003.gguf", 2, 3, 3);
    snprintf(expected, sizeof expected,
             "%s: part 2 of 3 of this model is missing; fetch it into the same folder", two);
    assert_int_equal(ash_gguf_open(one, &g, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, expected);
    assert_int_equal(ash_gguf_open(three, &g, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, expected);

    write_part("s-00002-of-00003.gguf", 1, 3, 3);
    assert_ok(ash_gguf_open(two, &g, &err), &err);
    assert_int_equal(ash_gguf_tensor_count(g), 3);
    ash_gguf_close(g);

    write_part("s-00002-of-00003.gguf", 2, 3, 3); /* two parts with one number */
    expect_gguf_file(two, ASH_E_FORMAT, "says it is part 3 of 3, its name says 2 of 3; rename it or fetch it again");
    write_part("s-00002-of-00003.gguf", 1, 4, 4);
    expect_gguf_file(two, ASH_E_FORMAT, "says it is part 2 of 4, its name says 2 of 3; rename it or fetch it again");
    write_part("s-00002-of-00003.gguf", 0, 3, 3); /* t0 again, under the second part's name */
    assert_int_equal(ash_gguf_open(one, &g, &err), ASH_E_FORMAT);
    write_part("s-00002-of-00003.gguf", 1, 3, 3);
    write_part("s-00001-of-00003.gguf", 0, 3, 4);
    expect_gguf_file(one, ASH_E_FORMAT,
                     "split.tensors.count is 4, the 3 parts hold 3 tensors; they do not belong together");
    write_part("odd.gguf", 0, 3, 3);
    expect_gguf_file(odd, ASH_E_FORMAT, "is a part of a model in 3 files; "
                     "their names must end in -00001-of-00003.gguf and so on");
    buf b = { 0 };
    good(&b);
    test_write_file(two, b.bytes, b.size);
    write_part("s-00001-of-00003.gguf", 0, 3, 3);
    snprintf(expected, sizeof expected,
             "%s: lacks split.no, split.count or split.tensors.count; it is no part of a split model", two);
    assert_int_equal(ash_gguf_open(one, &g, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, expected);
    free(one);
    free(two);
    free(three);
    free(odd);
}

/* ---- safetensors ---- */

static void expect_st_file(const char *path, ash_status status, const char *message)
{
    ash_error err = { 0 };
    ash_safetensors *st;
    char expected[1024];
    snprintf(expected, sizeof expected, "%s: %s", path, message);
    ash_status got = ash_safetensors_open(path, &st, &err);
    assert_null(st);
    assert_string_equal(err.text, expected);
    assert_int_equal(got, status);
}

static void write_st(const char *path, const char *header, uint64_t length, size_t data_size)
{
    buf b = { 0 };
    u64(&b, length);
    put(&b, header, strlen(header));
    zeros(&b, data_size);
    test_write_file(path, b.bytes, b.size);
}

static void expect_st(const char *header, size_t data_size, ash_status status, const char *message)
{
    char *path = test_path("bad.safetensors");
    write_st(path, header, strlen(header), data_size);
    expect_st_file(path, status, message);
    free(path);
}

static void st_header(void **state)
{
    (void)state;
    char *path = test_path("bad.safetensors");
    test_write_file(path, "1234567", 7);
    expect_st_file(path, ASH_E_FORMAT, "has 7 bytes and is no safetensors file");
    write_st(path, "{}", UINT64_C(1) << 63, 0);
    expect_st_file(path, ASH_E_FORMAT,
                   "declares a header of 9223372036854775808 bytes (at most 100000000 are allowed); "
                   "it is no safetensors file or damaged");
    write_st(path, "{}", 100000001, 0);
    expect_st_file(path, ASH_E_FORMAT, "declares a header of 100000001 bytes (at most 100000000 are allowed); "
                   "it is no safetensors file or damaged");
    write_st(path, "{}", 3, 0);
    expect_st_file(path, ASH_E_FORMAT,
                   "its header of 3 bytes goes beyond the file's 10; the file is truncated, fetch it again");
    write_st(path, "{}", 0, 0);
    expect_st_file(path, ASH_E_FORMAT, "its header does not begin with '{'; it is no safetensors file");
    expect_st(" {}", 0, ASH_E_FORMAT, "its header does not begin with '{'; it is no safetensors file");
    expect_st("{\"__metadata__\":{\"format\":1}}", 0, ASH_E_FORMAT,
              "'__metadata__' holds 'format', which is no string");
    expect_st("{\"__metadata__\":[]}", 0, ASH_E_FORMAT, "'__metadata__' is no object");
    expect_st("{}", 4, ASH_E_FORMAT, "4 bytes after the last tensor belong to no tensor; the file is damaged");
    free(path);
}

#define T(dtype, shape, offsets) "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void st_tensors(void **state)
{
    (void)state;
    expect_st("{\"a\":3}", 0, ASH_E_FORMAT, "tensor 'a': its entry is no object");
    expect_st("{\"\":" "{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, ASH_E_FORMAT,
              "a tensor's name has 0 bytes (1 to 4096 are allowed)");
    expect_st("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, ASH_E_FORMAT,
              "tensor 'a': 'dtype' is missing or no string");
    expect_st(T("\"F13\"", "[4]", "[0,4]"), 4, ASH_E_UNSUPPORTED,
              "tensor 'a': dtype 'F13' is not known to this version of ashlar");
    expect_st(T("\"F32\"", "4", "[0,4]"), 4, ASH_E_FORMAT, "tensor 'a': 'shape' is no list");
    expect_st(T("\"U8\"", "[-4]", "[0,4]"), 4, ASH_E_FORMAT,
              "tensor 'a': 'shape' holds something that is no integer from 0 to 2^53");
    expect_st(T("\"U8\"", "[1,1,1,1,1,1,1,1,4]", "[0,4]"), 4, ASH_E_UNSUPPORTED, "tensor 'a': has over 8 dimensions");
    expect_st(T("\"U8\"", "[4]", "[0]"), 4, ASH_E_FORMAT, "tensor 'a': 'data_offsets' is no list of two");
    expect_st(T("\"U8\"", "[4]", "[0,4,8]"), 4, ASH_E_FORMAT, "tensor 'a': 'data_offsets' is no list of two");
    static const char *const offsets[] = { "[-1,3]", "[0,4.5]", "[0,\"4\"]", "[0,9007199254740993]", "[0,1e400]",
                                           "[0,18446744073709551620]", "[0,null]" };
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        char header[256];
        snprintf(header, sizeof header, T("\"U8\"", "[4]", "%s"), offsets[i]);
        expect_st(header, 4, ASH_E_FORMAT,
                  "tensor 'a': 'data_offsets' holds something that is no integer from 0 to 2^53");
    }
    expect_st(T("\"U8\"", "[4]", "[4,0]"), 4, ASH_E_FORMAT, "tensor 'a': 'data_offsets' end before they begin");
    expect_st(T("\"F32\"", "[4]", "[0,4]"), 4, ASH_E_FORMAT,
              "tensor 'a': shape and dtype need 16 bytes, 'data_offsets' hold 4");
    expect_st(T("\"U8\"", "[0]", "[0,4]"), 4, ASH_E_FORMAT,
              "tensor 'a': shape and dtype need 0 bytes, 'data_offsets' hold 4");
    expect_st(T("\"F32\"", "[2]", "[0,8]"), 4, ASH_E_FORMAT,
              "tensor 'a': ends at byte 8 of the data, which has 4; the file is truncated or damaged, fetch it again");
    expect_st(T("\"U8\"", "[9007199254740992]", "[0,9007199254740992]"), 4, ASH_E_FORMAT, "tensor 'a': ends at byte "
              "9007199254740992 of the data, which has 4; the file is truncated or damaged, fetch it again");
    /* 2^32 * 2^32 elements wrap to 0; 2^62 floats wrap to 0 bytes. */
    expect_st(T("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, ASH_E_FORMAT,
              "tensor 'a': its shape has over 2^64 elements");
    expect_st(T("\"F32\"", "[4294967296,1073741824]", "[0,0]"), 0, ASH_E_FORMAT,
              "tensor 'a': its size does not fit 64 bits");
    expect_st(T("\"F4\"", "[3]", "[0,2]"), 2, ASH_E_FORMAT, "tensor 'a': 3 elements of F4 do not fill whole bytes");
    expect_st(T("\"F6_E2M3\"", "[6]", "[0,5]"), 5, ASH_E_FORMAT,
              "tensor 'a': 6 elements of F6_E2M3 do not fill whole bytes");
}

#define U8(name, at, end) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #end "],\"data_offsets\":[" #at "," #end "]}"
#define U8N(name, n, at, end) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #n "],\"data_offsets\":[" #at "," #end "]}"

static void st_coverage(void **state)
{
    (void)state;
    expect_st("{" U8N("a", 4, 0, 4) "," U8N("b", 4, 2, 6) "}", 6, ASH_E_FORMAT,
              "tensor 'b' overlaps 'a'; the file is damaged");
    expect_st("{" U8N("a", 4, 0, 4) "," U8N("b", 4, 0, 4) "}", 4, ASH_E_FORMAT,
              "tensor 'b' overlaps 'a'; the file is damaged");
    expect_st("{" U8N("a", 4, 0, 4) "," U8N("b", 2, 6, 8) "}", 8, ASH_E_FORMAT,
              "2 bytes before tensor 'b' belong to no tensor; the file is damaged");
    expect_st("{" U8N("a", 4, 1, 5) "}", 5, ASH_E_FORMAT,
              "1 bytes before tensor 'a' belong to no tensor; the file is damaged");
    expect_st("{" U8N("a", 4, 0, 4) "}", 7, ASH_E_FORMAT,
              "3 bytes after the last tensor belong to no tensor; the file is damaged");
    expect_st("{" U8N("a", 4, 0, 4) "," U8N("e", 0, 2, 2) "}", 4, ASH_E_FORMAT,
              "tensor 'e' overlaps 'a'; the file is damaged");
}

/* The JSON reader's own refusals arrive with the file's name in front. */
static void st_json(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{" U8("a", 0, 4) "," U8("a", 0,
                                 4) "}", "{\"a\\u0000b\":{}}", "{\"a\":[[[[[[[[", "{} x", "{\"a\":nan}", "{\"\xff\":1}",
    };
    char *path = test_path("bad.safetensors");
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        ash_error err = { 0 };
        ash_safetensors *st;
        write_st(path, headers[i], strlen(headers[i]), 4);
        assert_int_equal(ash_safetensors_open(path, &st, &err), ASH_E_FORMAT);
        assert_null(st);
        assert_memory_equal(err.text, path, strlen(path));
        assert_non_null(strstr(err.text, ": JSON: "));
    }
    free(path);
}

static void st_truncated(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"}," U8N("a", 4, 0, 4) "," U8N("b", 4, 4, 8) "}";
    buf b = { 0 };
    u64(&b, sizeof header - 1);
    put(&b, header, sizeof header - 1);
    zeros(&b, 8);
    char *path = test_path("cut.safetensors");
    ash_error err;
    ash_safetensors *st;
    test_write_file(path, b.bytes, b.size);
    assert_ok(ash_safetensors_open(path, &st, &err), &err);
    ash_safetensors_close(st);
    for (size_t size = 0; size < b.size; size++) {
        test_write_file(path, b.bytes, size);
        assert_int_equal(ash_safetensors_open(path, &st, &err), ASH_E_FORMAT);
        assert_memory_equal(err.text, path, strlen(path));
        assert_null(strchr(err.text, '\n'));
    }
    for (size_t i = 0; i < b.size; i++) {
        b.bytes[i] ^= 0x04;
        test_write_file(path, b.bytes, b.size);
        if (ash_safetensors_open(path, &st, &err) == ASH_OK)
            ash_safetensors_close(st);
        b.bytes[i] ^= 0x04;
    }
    free(path);
}

static void expect_index(const char *map, ash_status status, const char *message)
{
    char *path = test_path("shards/model.safetensors.index.json"), index[1024];
    snprintf(index, sizeof index, "{\"weight_map\":%s}", map);
    test_write_file(path, index, strlen(index));
    expect_st_file(path, status, message);
    free(path);
}

static void st_index(void **state)
{
    (void)state;
    char *one = test_path("shards/one.safetensors"), *two = test_path("shards/two.safetensors");
    char *missing = test_path("shards/three.safetensors"), expected[1024];
    write_st(one, "{" U8N("a", 4, 0, 4) "}", sizeof("{" U8N("a", 4, 0, 4) "}") - 1, 4);
    write_st(two, "{" U8N("b", 4, 0, 4) "}", sizeof("{" U8N("b", 4, 0, 4) "}") - 1, 4);
    expect_index("[]", ASH_E_FORMAT, "'weight_map' is missing or empty; it is no index of safetensors files");
    expect_index("{}", ASH_E_FORMAT, "'weight_map' is missing or empty; it is no index of safetensors files");
    expect_index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"two.safetensors\"}", ASH_E_FORMAT,
                 "names tensor 'c', which no shard has ('two.safetensors' should)");
    expect_index("{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}", ASH_E_FORMAT,
                 "puts tensor 'a' into 'two.safetensors', but 'one.safetensors' holds it");

    char *index = test_path("shards/model.safetensors.index.json");
    ash_error err;
    ash_safetensors *st;
    const char *map = "{\"weight_map\":{\"a\":\"one.safetensors\","
                      "\"b\":\"two.safetensors\",\"c\":\"three.safetensors\"}}";
    test_write_file(index, map, strlen(map));
    snprintf(expected, sizeof expected,
             "%s: this shard is missing, the index names it; fetch it into the same folder", missing);
    assert_int_equal(ash_safetensors_open(index, &st, &err), ASH_E_FORMAT);
    assert_string_equal(err.text, expected);

    /* A shard with a tensor that the index leaves out. */
    write_st(missing, "{" U8N("c", 4, 0, 4) "," U8N("d", 4, 4, 8) "}",
             sizeof("{" U8N("c", 4, 0, 4) "," U8N("d", 4, 4, 8) "}") - 1, 8);
    expect_st_file(index, ASH_E_FORMAT, "does not name tensor 'd', which 'three.safetensors' holds");
    /* One tensor in two shards. */
    write_st(missing, "{" U8N("a", 4, 0, 4) "}", sizeof("{" U8N("a", 4, 0, 4) "}") - 1, 4);
    assert_int_equal(ash_safetensors_open(index, &st, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "tensor 'a' is also in "));
    assert_non_null(strstr(err.text, "; a tensor may be in one shard only"));
    /* Names that leave the folder, or that are no safetensors file. */
    static const char *const names[] = { "../one.safetensors", "/etc/x.safetensors", "sub/one.safetensors",
                                         "sub\\\\one.safetensors", ".one.safetensors", "one.bin", "", ".." };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char one_map[256], message[256], shown[64];
        snprintf(one_map, sizeof one_map, "{\"a\":\"%s\"}", names[i]);
        snprintf(shown, sizeof shown, "%s", i == 3 ? "sub\\one.safetensors" : names[i]);
        snprintf(message, sizeof message,
                 "'weight_map' puts tensor 'a' into '%s', which is no .safetensors file of this folder",
                 shown);
        expect_index(one_map, ASH_E_FORMAT, message);
    }
    expect_index("{\"a\":1}", ASH_E_FORMAT, "'weight_map' puts tensor 'a' into 'something that is no string', "
                 "which is no .safetensors file of this folder");
    free(index);
    free(one);
    free(two);
    free(missing);
}

static void st_folder(void **state)
{
    (void)state;
    char *folder = test_path("empty/x"), *file;
    *strrchr(folder, '/') = 0;
    expect_st_file(folder, ASH_E_FORMAT, "has no .safetensors file; weights in other formats (.bin, .pt) are not read");
    file = test_path("empty/a.safetensors");
    write_st(file, "{}", 2, 0);
    free(file);
    file = test_path("empty/b.safetensors");
    write_st(file, "{}", 2, 0);
    expect_st_file(folder, ASH_E_FORMAT,
                   "has several files named *.safetensors and no model.safetensors; name the one that is meant");
    free(file);
    free(folder);
    file = test_path("absent.safetensors");
    expect_st_file(file, ASH_E_IO, "cannot open: No such file or directory");
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_header), cmocka_unit_test(gguf_pairs),    cmocka_unit_test(gguf_alignment),
        cmocka_unit_test(gguf_tensors), cmocka_unit_test(gguf_truncated), cmocka_unit_test(gguf_parts),
        cmocka_unit_test(st_header),   cmocka_unit_test(st_tensors),    cmocka_unit_test(st_coverage),
        cmocka_unit_test(st_json),     cmocka_unit_test(st_truncated),  cmocka_unit_test(st_index),
        cmocka_unit_test(st_folder),  cmocka_unit_test(gguf_huge_metadata),
    };
    return cmocka_run_group_tests_name("sources_bad", tests, NULL, NULL);
}
