#include "tests/support/sample.h"

#include <stdlib.h>
#include <string.h>

#include "format/blocks.h"
#include "format/dtype.h"
#include "format/tile.h"
#include "tests/support/support.h"

const char *const test_sample_names[SAMPLE_COUNT] = {
    "embed",    "layer 0 norm", "layer 0 qkv", "layer 0 gate up", "gate.scale",
    "up.scale", "input.scale",  "experts",     "vision.\xc3\xa4",
};

ash_tensor_record test_tensor(uint32_t role, uint32_t layer, uint32_t dtype, uint32_t layout, uint32_t dim_count,
                              const uint64_t *dims)
{
    ash_tensor_record t = { .role = role,
                            .layer = layer,
                            .dtype = (uint16_t)dtype,
                            .layout = (uint16_t)layout,
                            .dim_count = (uint16_t)dim_count,
                            .dims = { 1, 1, 1, 1 } };
    memcpy(t.dims, dims, dim_count * sizeof *dims);
    return t;
}

ash_member_record test_member(uint32_t role, uint32_t dtype, uint64_t cols, uint64_t first, uint64_t count,
                              uint32_t step)
{
    return (ash_member_record){ .role = role,
                                .source_dtype = dtype,
                                .source_dim_count = 2,
                                .source_dims = { cols, count, 1, 1 },
                                .row_first = first,
                                .row_count = count,
                                .panel_step = step,
                                .scale_weight = ASH_NO_INDEX,
                                .scale_input = ASH_NO_INDEX };
}

static uint32_t add_tensor(ash_writer *w, const char *name, const ash_tensor_record *t)
{
    uint32_t index;
    ash_error err;
    assert_ok(ash_writer_add_tensor(w, name, t, &index, &err), &err);
    return index;
}

static void add_member(ash_writer *w, const char *name, const ash_member_record *m)
{
    ash_error err;
    assert_ok(ash_writer_add_member(w, name, m, &err), &err);
}

uint32_t test_add(ash_writer *w, const char *name, const ash_tensor_record *t)
{
    uint32_t index = add_tensor(w, name, t);
    ash_member_record m = test_member(t->role, t->dtype, t->dims[0], 0, t->dims[1], 1);
    m.source_dim_count = t->dim_count;
    memcpy(m.source_dims, t->dims, sizeof m.source_dims);
    add_member(w, name, &m);
    return index;
}

/* K-quants whose K is no multiple of 256: a last block has zeros for the columns and scales that do not exist. */
static void clear_beyond(uint32_t dtype, uint64_t cols, uint8_t *row)
{
    uint64_t panel;
    uint32_t rest = (uint32_t)(cols % 256);
    if (dtype < ASH_Q4_K || dtype > ASH_Q6_K || rest == 0 || !ash_panel_bytes(dtype, cols, &panel))
        return;
    const ash_dtype_info *type = ash_dtype_find(dtype);
    uint8_t *last = row + cols / 256 * type->block_bytes;
    if (dtype == ASH_Q6_K) {
        ash_block_q6_k *b = (ash_block_q6_k *)last;
        for (uint32_t j = (rest + 15) / 16; j < 16; j++)
            b->scales[j] = 0;
    } else {
        uint8_t *s = ((ash_block_q4_k *)last)->scales; /* at the same place in Q5_K */
        for (uint32_t j = (rest + 31) / 32; j < 8; j++) {
            s[j] &= j < 4 ? 0xc0 : 0x3f;
            s[j < 4 ? j + 4 : j - 4] &= j < 4 ? 0xc0 : 0x3f;
            if (j >= 4)
                s[j + 4] = 0;
        }
    }
    /* Through a panel and back: chunks that are not stored become zero. Columns inside a last chunk stay: callers take
     * a K that is a multiple of it. */
    const uint8_t *rows[ASH_PANEL_ROWS] = { row };
    uint8_t *back[ASH_PANEL_ROWS] = { row };
    uint8_t *tiles = malloc(panel);
    ash_tile_pack(dtype, cols, rows, tiles);
    ash_tile_unpack(dtype, cols, tiles, back);
    free(tiles);
}

void test_put_random(ash_writer *w, uint32_t index, const char *name)
{
    const ash_tensor_record *t = ash_writer_tensor(w, index);
    test_rng rng = test_rng_start(name);
    ash_error err;
    uint64_t row, rows = t->dims[1], slices = t->dims[2] * t->dims[3];
    assert_true(ash_row_bytes(t->dtype, t->dims[0], &row));
    if (t->layout == ASH_LAYOUT_LINEAR) {
        uint8_t *bytes = malloc(t->size);
        test_rng_bytes(&rng, bytes, t->size);
        assert_ok(ash_writer_put(w, index, bytes, t->size, &err), &err);
        free(bytes);
        return;
    }
    uint8_t *panel = malloc(t->panel_bytes), *source = malloc(ASH_PANEL_ROWS * row);
    for (uint64_t s = 0; s < slices; s++)
        for (uint64_t p = 0; p < rows; p += ASH_PANEL_ROWS) {
            const uint8_t *at[ASH_PANEL_ROWS] = { NULL };
            test_rng_bytes(&rng, source, ASH_PANEL_ROWS * row);
            for (uint64_t r = 0; r < ASH_PANEL_ROWS && p + r < rows; r++) {
                clear_beyond(t->dtype, t->dims[0], source + r * row);
                at[r] = source + r * row;
            }
            ash_tile_pack(t->dtype, t->dims[0], at, panel);
            assert_ok(ash_writer_put(w, index, panel, t->panel_bytes, &err), &err);
        }
    free(panel);
    free(source);
}

static ash_tensor_record matrix(uint32_t role, uint32_t layer, uint32_t dtype, uint64_t cols, uint64_t rows)
{
    uint64_t dims[2] = { cols, rows };
    return test_tensor(role, layer, dtype, ash_tile_layout_of(dtype)->id, 2, dims);
}

static ash_tensor_record vector(uint32_t role, uint32_t layer, uint32_t dtype, uint64_t elems)
{
    return test_tensor(role, layer, dtype, ASH_LAYOUT_LINEAR, 1, &elems);
}

static void add_scale(ash_writer *w, const char *name, uint32_t dtype, uint64_t elems, uint32_t kind)
{
    ash_tensor_record t = vector(ASH_ROLE_SCALE, 0, dtype, elems);
    t.scale_kind = kind;
    test_add(w, name, &t);
}

static void add_fused(ash_writer *w)
{
    ash_tensor_record t = matrix(ASH_ROLE_QKV, 0, ASH_Q4_K, 128, 64);
    add_tensor(w, test_sample_names[SAMPLE_QKV], &t);
    ash_member_record m = test_member(ASH_ROLE_Q, ASH_Q4_K, 128, 0, 32, 1);
    m.row_order = ASH_ROWS_HALVES;
    m.row_order_head = m.row_order_rope = 16;
    add_member(w, "q.weight", &m);
    m.role = ASH_ROLE_K;
    m.row_first = 32;
    m.row_count = m.source_dims[1] = 16;
    m.source_index = 1;
    add_member(w, "k.weight", &m);
    m = test_member(ASH_ROLE_V, ASH_Q4_K, 128, 48, 16, 1);
    m.source_index = 2;
    add_member(w, "v.weight", &m);

    t = matrix(ASH_ROLE_GATE_UP, 0, ASH_F8_E4M3, 96, 64);
    add_tensor(w, test_sample_names[SAMPLE_GATE_UP], &t);
    m = test_member(ASH_ROLE_GATE, ASH_F8_E4M3, 96, 0, 32, 2);
    m.scale_weight = SAMPLE_GATE_SCALE;
    m.scale_input = SAMPLE_INPUT_SCALE;
    add_member(w, "gate.weight", &m);
    m.role = ASH_ROLE_UP;
    m.row_first = 16;
    m.scale_weight = SAMPLE_UP_SCALE;
    add_member(w, "up.weight", &m);
}

static void add_experts(ash_writer *w)
{
    static const char *const names[3] = { "experts.0", "experts.1", "experts.2" };
    uint64_t dims[3] = { 40, 20, 3 };
    ash_tensor_record t = test_tensor(ASH_ROLE_DOWN, 0, ASH_BF16, ASH_LAYOUT_H16_16, 3, dims);
    add_tensor(w, test_sample_names[SAMPLE_EXPERTS], &t);
    for (uint32_t i = 0; i < 3; i++) {
        ash_member_record m = test_member(ASH_ROLE_DOWN, ASH_BF16, 40, 0, 20, 1);
        m.slice_first = i;
        m.slice_count = 1;
        add_member(w, names[i], &m);
    }
}

void test_sample_write(const char *path)
{
    ash_writer *w;
    ash_error err;
    uint64_t dims[4] = { 7, 5, 3, 2 }, size;
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    ash_tensor_record t = matrix(ASH_ROLE_EMBED, ASH_NO_LAYER, ASH_Q8_0, 96, 24);
    test_add(w, test_sample_names[SAMPLE_EMBED], &t);
    t = vector(ASH_ROLE_ATTN_NORM, 0, ASH_F32, 96);
    test_add(w, test_sample_names[SAMPLE_NORM], &t);
    add_fused(w);
    add_scale(w, test_sample_names[SAMPLE_GATE_SCALE], ASH_BF16, 1, ASH_SCALE_TENSOR);
    add_scale(w, test_sample_names[SAMPLE_UP_SCALE], ASH_F32, 32, ASH_SCALE_ROW);
    add_scale(w, test_sample_names[SAMPLE_INPUT_SCALE], ASH_BF16, 1, ASH_SCALE_INPUT);
    add_experts(w);
    t = test_tensor(ASH_ROLE_OTHER, ASH_NO_LAYER, ASH_F16, ASH_LAYOUT_LINEAR, 4, dims);
    test_add(w, test_sample_names[SAMPLE_OTHER], &t);
    assert_ok(ash_writer_layout(w, &size, &err), &err);
    for (uint32_t i = 0; i < SAMPLE_COUNT; i++)
        test_put_random(w, i, test_sample_names[i]);
    static const char kv[] = "key-values, key-values, key-values, key-values, key-values, key-values";
    static const char meta[] = "{\"architecture\":\"llama\",\"features\":{\"5\":\"folded norms\"},"
                               "\"chat_template\":\"template template template template template template\"}";
    assert_ok(ash_writer_add_section(w, ASH_SECTION_TOKENIZER, "tokens", 6, false, &err), &err);
    assert_ok(ash_writer_add_section(w, ASH_SECTION_META, meta, sizeof meta - 1, true, &err), &err);
    assert_ok(ash_writer_add_section(w, ASH_SECTION_GGUF_KV, kv, sizeof kv - 1, true, &err), &err);
    assert_ok(ash_writer_finish(w, &size, &err), &err);
}

uint8_t *test_sample_bytes(size_t *size)
{
    char *path = test_path("sample.ashlar");
    test_sample_write(path);
    uint8_t *bytes = test_read_file(path, size);
    free(path);
    return bytes;
}

void test_tiny_write(const char *path)
{
    ash_writer *w;
    ash_error err;
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    ash_tensor_record t = vector(ASH_ROLE_OUTPUT_NORM, ASH_NO_LAYER, ASH_F32, 4);
    test_add(w, "norm", &t);
    t = matrix(ASH_ROLE_EMBED, ASH_NO_LAYER, ASH_Q4_0, 32, 2);
    test_add(w, "matrix", &t);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    test_put_random(w, 0, "norm");
    test_put_random(w, 1, "matrix");
    assert_ok(ash_writer_finish(w, NULL, &err), &err);
}
