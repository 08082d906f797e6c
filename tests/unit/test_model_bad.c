/* Files that are well-formed as containers and still no model: each is refused with one line that names the file and
 * the reason. Written through ash_writer, so every checksum is right. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/meta.h"
#include "format/tile.h"
#include "format/writer.h"
#include "runtime/ashlar.h"
#include "tests/support/support.h"

enum { HIDDEN = 64, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 32, FFN = 80, VOCAB = 48 };

typedef struct item {
    char name[48];
    uint32_t role, layer, dtype;
    uint32_t dim_count;
    uint64_t dims[3];
    bool linear;
    uint32_t member_role[3]; /* fused: the roles of its members, 0 ends; else its own */
    uint64_t member_rows[3], member_first[3];
    uint32_t scale_weight, scale_input; /* index + 1 of items; 0: none */
    uint32_t scale_kind;
    float fill; /* of F32 LINEAR */
} item;

typedef struct model {
    ash_hparams h;
    item items[40];
    uint32_t count;
} model;

static item *add(model *m, const char *name, uint32_t role, uint32_t layer, uint64_t cols, uint64_t rows)
{
    item *i = &m->items[m->count++];
    *i = (item){ .role = role,
                 .layer = layer,
                 .dtype = ASH_F32,
                 .dim_count = rows ? 2 : 1,
                 .dims = { cols, rows ? rows : 1, 1 },
                 .linear = rows == 0,
                 .fill = 0.5f };
    snprintf(i->name, sizeof i->name, "%s", name);
    return i;
}

static void base(model *m)
{
    *m = (model){ .h = { .architecture = "llama", .layers = 1, .hidden = HIDDEN, .heads = HEADS, .kv_heads = KV_HEADS,
                         .head_dim = HEAD_DIM, .ffn = FFN, .vocab = VOCAB, .context = 64, .rope_dim = HEAD_DIM,
                         .norm_eps = 1e-5f, .rope_theta = 10000 } };
    add(m, "embed", ASH_ROLE_EMBED, ASH_NO_LAYER, HIDDEN, VOCAB);
    add(m, "attn_norm", ASH_ROLE_ATTN_NORM, 0, HIDDEN, 0);
    add(m, "q", ASH_ROLE_Q, 0, HIDDEN, HEADS * HEAD_DIM);
    add(m, "k", ASH_ROLE_K, 0, HIDDEN, KV_HEADS * HEAD_DIM);
    add(m, "v", ASH_ROLE_V, 0, HIDDEN, KV_HEADS * HEAD_DIM);
    add(m, "o", ASH_ROLE_O, 0, HEADS * HEAD_DIM, HIDDEN);
    add(m, "ffn_norm", ASH_ROLE_FFN_NORM, 0, HIDDEN, 0);
    add(m, "gate", ASH_ROLE_GATE, 0, HIDDEN, FFN);
    add(m, "up", ASH_ROLE_UP, 0, HIDDEN, FFN);
    add(m, "down", ASH_ROLE_DOWN, 0, FFN, HIDDEN);
    add(m, "output_norm", ASH_ROLE_OUTPUT_NORM, ASH_NO_LAYER, HIDDEN, 0);
    add(m, "output", ASH_ROLE_OUTPUT, ASH_NO_LAYER, HIDDEN, VOCAB);
}

static item *find(model *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (strcmp(m->items[i].name, name) == 0)
            return &m->items[i];
    fail_msg("no item %s", name);
    return NULL;
}

static void drop(model *m, uint32_t index)
{
    memmove(&m->items[index], &m->items[index + 1], (--m->count - index) * sizeof *m->items);
}

static ash_status write_items(ash_writer *w, model *m, ash_error *err)
{
    for (uint32_t i = 0; i < m->count; i++) {
        item *it = &m->items[i];
        const ash_tile_layout *tile = ash_tile_layout_of(it->dtype);
        ash_tensor_record r = { .role = it->role, .layer = it->layer, .dtype = (uint16_t)it->dtype,
                                .layout = it->linear || !tile ? ASH_LAYOUT_LINEAR : tile->id,
                                .dim_count = (uint16_t)it->dim_count,
                                .dims = { it->dims[0], it->dims[1], it->dims[2], 1 }, .scale_kind = it->scale_kind };
        uint32_t index, members = it->member_role[0] ? 0 : 1;
        ASH_TRY(ash_writer_add_tensor(w, it->name, &r, &index, err));
        while (members < 3 && it->member_role[members])
            members++;
        for (uint32_t j = 0; j < members; j++) {
            char name[64];
            snprintf(name, sizeof name, "%s.%u", it->name, j);
            uint64_t rows = it->member_role[0] ? it->member_rows[j] : it->dims[1];
            ash_member_record mr = { .role = it->member_role[0] ? it->member_role[j] : it->role,
                                     .source_dtype = it->dtype,
                                     .source_dim_count = it->dim_count,
                                     .source_index = i,
                                     .source_dims = { it->dims[0], rows, it->dims[2], 1 },
                                     .row_first = it->member_first[j],
                                     .row_count = rows,
                                     .panel_step = 1,
                                     .scale_weight = it->scale_weight ? it->scale_weight - 1 : ASH_NO_INDEX,
                                     .scale_input = it->scale_input ? it->scale_input - 1 : ASH_NO_INDEX };
            ASH_TRY(ash_writer_add_member(w, name, &mr, err));
        }
    }
    ASH_TRY(ash_writer_layout(w, NULL, err));
    for (uint32_t i = 0; i < m->count; i++) {
        size_t size = ash_writer_tensor(w, i)->size;
        float *bytes = calloc(1, size + 4);
        if (m->items[i].linear && m->items[i].dtype == ASH_F32)
            for (size_t k = 0; k < size / 4; k++)
                bytes[k] = m->items[i].fill;
        ash_status status = ash_writer_put(w, i, bytes, size, err);
        free(bytes);
        ASH_TRY(status);
    }
    ash_meta meta = { .h = m->h, .source_kind = (char *)"hf", .bos = -1, .pad = -1 };
    char *json;
    size_t size;
    ASH_TRY(ash_meta_write(&meta, &json, &size, err));
    ash_status status = ash_writer_add_section(w, ASH_SECTION_META, json, size, true, err);
    free(json);
    return status;
}

static void write_model(model *m, const char *path)
{
    ash_writer *w;
    ash_error err;
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    if (write_items(w, m, &err) != ASH_OK) {
        ash_writer_abort(w);
        fail_msg("the container does not take it: %s", err.text);
    }
    assert_ok(ash_writer_finish(w, NULL, &err), &err);
}

/* The file is written, refused with `status`, and the line holds `word` and the path. */
static void refused(model *m, int status, const char *word)
{
    char *path = test_path("bad.ashlar");
    write_model(m, path);
    ashlar_model *loaded;
    ashlar_error err = { 0 };
    int got = ashlar_model_load(path, &loaded, &err);
    if (got == 0)
        fail_msg("a model without a right %s was loaded", word);
    if (got != status || err.status != status || !strstr(err.text, word) ||
        strncmp(err.text, path, strlen(path)) != 0 || strchr(err.text, '\n'))
        fail_msg("wanted status %d and \"%s\", got %d: %s", status, word, got, err.text);
    assert_null(loaded);
    assert_int_equal(ashlar_model_load(path, &loaded, NULL), status);
    free(path);
}

static void accepted(model *m)
{
    char *path = test_path("good.ashlar");
    write_model(m, path);
    ashlar_model *loaded;
    ashlar_session *s;
    ashlar_error err = { 0 };
    if (ashlar_model_load(path, &loaded, &err) != 0)
        fail_msg("%s", err.text);
    ashlar_session_options o = { .threads = 2 };
    int32_t ids[5] = { 1, 2, 3, VOCAB - 1, 0 };
    if (ashlar_session_new(loaded, &o, &s, &err) != 0 || ashlar_session_feed(s, ids, 5, 0, &err) != 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < VOCAB; i++)
        assert_true(ashlar_session_logits(s, 0)[i] == 0); /* all weights are zero */
    ashlar_session_free(s);
    ashlar_model_free(loaded);
    free(path);
}

static void test_base_loads(void **state)
{
    (void)state;
    model m;
    base(&m);
    accepted(&m);
    base(&m); /* tied, and fused q and k */
    m.h.tied_output = true;
    drop(&m, 11);
    item *q = find(&m, "q");
    q->role = ASH_ROLE_QKV;
    q->dims[1] = (HEADS + KV_HEADS) * HEAD_DIM;
    memcpy(q->member_role, (uint32_t[]){ ASH_ROLE_Q, ASH_ROLE_K, 0 }, sizeof q->member_role);
    memcpy(q->member_rows, (uint64_t[]){ HEADS * HEAD_DIM, HEAD_DIM, 0 }, sizeof q->member_rows);
    q->member_first[1] = HEADS * HEAD_DIM;
    drop(&m, 3);
    accepted(&m);
}

static void test_missing(void **state)
{
    (void)state;
    model m;
    base(&m);
    for (uint32_t i = 0; i < 12; i++) {
        base(&m);
        char word[64];
        snprintf(word, sizeof word, "has no %s", m.items[i].name);
        drop(&m, i);
        refused(&m, ASHLAR_ERROR_FORMAT, word);
    }
    base(&m);
    m.h.layers = 2;
    refused(&m, ASHLAR_ERROR_FORMAT, "layer 1 has no attn_norm");
    m.h.layers = 4000;
    refused(&m, ASHLAR_ERROR_FORMAT, "4000 layers but only 12 tensors");
    base(&m);
    m.h.qkv_bias = true;
    refused(&m, ASHLAR_ERROR_FORMAT, "has no q_bias");
    base(&m);
    m.h.qk_norm = true;
    refused(&m, ASHLAR_ERROR_FORMAT, "has no q_norm");
}

static void test_wrong_shapes(void **state)
{
    (void)state;
    model m;
    for (uint32_t i = 0; i < 12; i++)
        for (int d = 0; d < 2; d++)
            for (int delta = -16; delta <= 16; delta += 32) {
                base(&m);
                item *it = &m.items[i];
                if (d >= (int)it->dim_count)
                    continue;
                it->dims[d] = (uint64_t)((int64_t)it->dims[d] + delta);
                refused(&m, ASHLAR_ERROR_FORMAT, it->name);
            }
    base(&m);
    m.h.vocab += 1; /* the padding of the last panel has room for it: still not the model's size */
    refused(&m, ASHLAR_ERROR_FORMAT, "embed");
    base(&m);
    find(&m, "up")->dim_count = 3;
    find(&m, "up")->dims[2] = 2; /* two experts where one matrix is expected */
    refused(&m, ASHLAR_ERROR_FORMAT, "up");
    base(&m);
    find(&m, "down")->linear = true;
    refused(&m, ASHLAR_ERROR_UNSUPPORTED, "down has layout 0");
    base(&m);
    find(&m, "down")->dtype = ASH_I32;
    find(&m, "down")->linear = true;
    refused(&m, ASHLAR_ERROR_UNSUPPORTED, "down is i32");
    base(&m);
    find(&m, "attn_norm")->dtype = ASH_I16;
    refused(&m, ASHLAR_ERROR_UNSUPPORTED, "attn_norm is i16");
    base(&m);
    add(&m, "freqs", ASH_ROLE_ROPE_FREQS, ASH_NO_LAYER, HEAD_DIM, 0); /* twice too many */
    refused(&m, ASHLAR_ERROR_FORMAT, "freqs");
    base(&m);
    add(&m, "freqs", ASH_ROLE_ROPE_FREQS, ASH_NO_LAYER, HEAD_DIM / 2, 0)->fill = 0;
    refused(&m, ASHLAR_ERROR_FORMAT, "not finite");
}

static void test_wrong_places(void **state)
{
    (void)state;
    model m;
    base(&m);
    add(&m, "second q", ASH_ROLE_Q, 0, HIDDEN, HEADS * HEAD_DIM);
    refused(&m, ASHLAR_ERROR_FORMAT, "the same role");
    base(&m);
    find(&m, "v")->layer = 1;
    refused(&m, ASHLAR_ERROR_FORMAT, "in layer 1 of 1");
    base(&m);
    find(&m, "v")->layer = ASH_NO_LAYER;
    refused(&m, ASHLAR_ERROR_FORMAT, "v has role");
    base(&m);
    find(&m, "embed")->layer = 0;
    refused(&m, ASHLAR_ERROR_FORMAT, "embed has role");
    base(&m);
    strcpy(m.h.architecture, "gpt9");
    refused(&m, ASHLAR_ERROR_UNSUPPORTED, "architecture \"gpt9\"");
}

static void test_fused(void **state)
{
    (void)state;
    model m;
    for (int round = 0; round < 3; round++) {
        base(&m);
        item *q = find(&m, "q");
        q->role = ASH_ROLE_QKV;
        q->dims[1] = 4 * HEAD_DIM;
        memcpy(q->member_role, (uint32_t[]){ ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V }, sizeof q->member_role);
        memcpy(q->member_rows, (uint64_t[]){ 2 * HEAD_DIM, HEAD_DIM, HEAD_DIM }, sizeof q->member_rows);
        memcpy(q->member_first, (uint64_t[]){ 0, 2 * HEAD_DIM, 3 * HEAD_DIM }, sizeof q->member_first);
        drop(&m, 3);
        drop(&m, 3);
        if (round == 0) { /* v missing */
            q->dims[1] = 3 * HEAD_DIM;
            q->member_role[2] = 0;
            refused(&m, ASHLAR_ERROR_FORMAT, "has no v");
        } else if (round == 1) { /* rows at the wrong member */
            memcpy(q->member_rows, (uint64_t[]){ HEAD_DIM, 2 * HEAD_DIM, HEAD_DIM }, sizeof q->member_rows);
            q->member_first[1] = HEAD_DIM;
            refused(&m, ASHLAR_ERROR_FORMAT, "q holds a q of 32 x 64");
        } else { /* another order is fine: the members are taken one by one */
            memcpy(q->member_first, (uint64_t[]){ 2 * HEAD_DIM, 0, HEAD_DIM }, sizeof q->member_first);
            memcpy(q->member_role, (uint32_t[]){ ASH_ROLE_K, ASH_ROLE_V, ASH_ROLE_Q }, sizeof q->member_role);
            memcpy(q->member_rows, (uint64_t[]){ HEAD_DIM, HEAD_DIM, 2 * HEAD_DIM }, sizeof q->member_rows);
            memcpy(q->member_first, (uint64_t[]){ 0, HEAD_DIM, 2 * HEAD_DIM }, sizeof q->member_first);
            accepted(&m);
        }
    }
}

/* An FP8 matrix with a weight scale of `kind` (cols x rows values of `fill`) and an input scale. */
static void fp8(model *m, uint32_t kind, uint64_t cols, uint64_t rows, float fill, float input)
{
    base(m);
    find(m, "down")->dtype = ASH_F8_E4M3;
    item *s = add(m, "down scale", ASH_ROLE_SCALE, 0, cols, rows);
    s->linear = true;
    s->scale_kind = kind;
    s->fill = fill;
    s = add(m, "input scale", ASH_ROLE_SCALE, 0, 1, 0);
    s->scale_kind = ASH_SCALE_INPUT;
    s->fill = input;
    find(m, "down")->scale_weight = m->count - 1;
    find(m, "down")->scale_input = m->count;
}

static void test_scales(void **state)
{
    (void)state;
    model m;
    fp8(&m, ASH_SCALE_TENSOR, 1, 0, 0.5f, 0.25f);
    accepted(&m);
    fp8(&m, ASH_SCALE_ROW, 1, HIDDEN, 0.5f, 0.25f);
    accepted(&m);
    fp8(&m, ASH_SCALE_BLOCK128, 1, 1, 0.5f, 0.25f);
    accepted(&m);
    fp8(&m, ASH_SCALE_TENSOR, 1, 0, NAN, 0.25f);
    refused(&m, ASHLAR_ERROR_FORMAT, "down scale holds the scale nan");
    fp8(&m, ASH_SCALE_TENSOR, 1, 0, INFINITY, 0.25f);
    refused(&m, ASHLAR_ERROR_FORMAT, "down scale");
    fp8(&m, ASH_SCALE_TENSOR, 1, 0, 0.5f, 0);
    refused(&m, ASHLAR_ERROR_FORMAT, "input scale holds the scale 0");
    fp8(&m, ASH_SCALE_TENSOR, 1, 0, 0.5f, -1);
    refused(&m, ASHLAR_ERROR_FORMAT, "input scale");
}

static void test_no_file(void **state)
{
    (void)state;
    ashlar_model *m;
    ashlar_error err;
    char *path = test_path("absent.ashlar");
    assert_int_equal(ashlar_model_load(path, &m, &err), ASHLAR_ERROR_IO);
    assert_non_null(strstr(err.text, path));
    assert_null(m);
    ashlar_model_free(NULL);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_loads), cmocka_unit_test(test_missing), cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_wrong_places), cmocka_unit_test(test_fused), cmocka_unit_test(test_scales),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
