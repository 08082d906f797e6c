/* Small .ashlar files that use everything the container has. */
#ifndef ASHLAR_TESTS_SUPPORT_SAMPLE_H
#define ASHLAR_TESTS_SUPPORT_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "format/container.h"
#include "format/writer.h"

/* A record with what a caller of ash_writer_add_tensor sets. dims: up to `dim_count`, fastest first. */
ash_tensor_record test_tensor(uint32_t role, uint32_t layer, uint32_t dtype, uint32_t layout, uint32_t dim_count,
                              const uint64_t *dims);
/* A member that is rows [first, first + count) of a tensor with `cols` columns; two-dimensional in its source. */
ash_member_record test_member(uint32_t role, uint32_t dtype, uint64_t cols, uint64_t first, uint64_t count,
                              uint32_t step);
/* A tensor with one member of the same name, type and shape. Returns its index. */
uint32_t test_add(ash_writer *w, const char *name, const ash_tensor_record *t);
/* Random source blocks of the tensor, tiled where its layout is tiled, into the file; what is put depends on `name`. */
void test_put_random(ash_writer *w, uint32_t index, const char *name);

/* What test_sample_write writes, in this order. */
enum {
    SAMPLE_EMBED,      /* Q8_0 [24 x 96]: last panel and last tile are partial */
    SAMPLE_NORM,       /* F32 [96] */
    SAMPLE_QKV,        /* Q4_K [64 x 128]: members q (HALVES, heads of 16), k, v: 32 + 16 + 16 rows */
    SAMPLE_GATE_UP,    /* F8_E4M3 [64 x 96]: gate and up, panel by panel, one scale each, one input scale for both */
    SAMPLE_GATE_SCALE, /* BF16 [1] */
    SAMPLE_UP_SCALE,   /* F32 [32]: per row */
    SAMPLE_INPUT_SCALE,
    SAMPLE_EXPERTS,    /* BF16 [3 experts x 20 x 40], each a tensor of its own in the source */
    SAMPLE_OTHER,      /* F16 [2 x 3 x 5 x 7]: raw */
    SAMPLE_COUNT
};
extern const char *const test_sample_names[SAMPLE_COUNT];
void test_sample_write(const char *path);
/* The file's bytes, malloc'd; the caller frees. */
uint8_t *test_sample_bytes(size_t *size);
/* A file of one F32 [4] vector and one Q4_0 [2 x 32] matrix, without further sections: for tests of every byte. */
void test_tiny_write(const char *path);

#endif
