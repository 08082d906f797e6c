/* Hugging Face folders to .ashlar: every weight equal to the source's, read back through the tile layout; fusing,
 * types, scales, tied embeddings, raw tensors; the same bytes whatever the number of threads; bounded memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "convert/convert.h"
#include "format/halffloat.h"
#include "format/meta.h"
#include "format/safetensors.h"
#include "kernels/kernels.h"
#include "quant/encode.h"
#include "format/tile.h"
#include "tests/support/make_gguf.h"
#include "tests/support/make_hf.h"
#include "tests/support/read_back.h"

typedef struct heard {
    char notes[2048];
    uint64_t calls, last, total, cancel_at;
} heard;

static void on_note(void *context, const char *line)
{
    heard *h = context;
    assert_null(strchr(line, '\n'));
    strncat(h->notes, line, sizeof h->notes - strlen(h->notes) - 2);
    strcat(h->notes, "\n");
}

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    heard *h = context;
    assert_true(done >= h->last && done <= total);
    h->calls++;
    h->last = done;
    h->total = total;
    return h->cancel_at && done >= h->cancel_at;
}

/* Converts to test_path(name) and opens the result. */
static ash_file *convert(const char *source, const char *name, uint32_t type, uint32_t threads, heard *h)
{
    heard local = { 0 };
    h = h ? h : &local;
    char *out = test_path(name);
    ash_error err;
    ash_convert_options options = { .type = type, .threads = threads, .force = true, .note = on_note,
                                    .progress = on_progress, .context = h };
    ash_convert_result result;
    assert_ok(ash_convert(source, out, &options, &result, &err), &err);
    assert_int_equal(h->last, h->total);
    assert_int_equal(h->total, result.source_bytes);
    ash_file *file = read_back_open(out);
    assert_int_equal(ash_file_header(file)->file_bytes, result.output_bytes);
    assert_int_equal(ash_file_tensor_count(file), result.tensors);
    free(out);
    return file;
}

static bool is_scale(const char *name) { return strstr(name, "_scale") != NULL; }

/* Rows of q and k, their biases, norms and row scales are in the order of rotation pairs; nothing else is. */
static void check_row_order(const ash_tensor_record *t, const ash_member_record *m, const char *name)
{
    bool of_q_or_k = strstr(name, ".q_proj") || strstr(name, ".k_proj") || strstr(name, "q_norm.") ||
                     strstr(name, "k_norm.");
    bool expected = of_q_or_k && (t->role != ASH_ROLE_SCALE || t->scale_kind == ASH_SCALE_ROW);
    if ((m->row_order == ASH_ROWS_HALVES) != expected || (expected && m->row_order_head != m->row_order_rope))
        fail_msg("%s has row order %u, heads of %u", name, m->row_order, m->row_order_head);
}

/* Every tensor of the folder is there with its bytes; returns how many were compared. */
static uint32_t compare_with_source(const ash_file *file, const char *folder)
{
    ash_error err;
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    uint32_t count = ash_safetensors_count(st);
    for (uint32_t i = 0; i < count; i++) {
        const ash_st_tensor *t = ash_safetensors_tensor(st, i);
        const ash_tensor_record *tensor;
        const ash_member_record *member;
        if (!read_back_find(file, t->name, &tensor, &member))
            fail_msg("%s is not in the output", t->name);
        assert_int_equal(member->source_dtype, t->dtype);
        assert_int_equal(tensor->dtype, t->dtype);
        assert_int_equal(member->source_dim_count, t->dim_count);
        for (uint32_t d = 0; d < t->dim_count; d++)
            assert_int_equal(member->source_dims[d], t->shape[t->dim_count - 1 - d]);
        size_t size;
        uint8_t *ours = read_back(file, tensor, member, &size), *theirs = malloc(t->size);
        assert_int_equal(size, t->size);
        assert_ok(ash_safetensors_read(st, t, 0, theirs, t->size, &err), &err);
        if (memcmp(ours, theirs, size) != 0)
            fail_msg("%s differs from its source", t->name);
        assert_int_equal(is_scale(t->name), tensor->role == ASH_ROLE_SCALE);
        check_row_order(tensor, member, t->name);
        free(ours);
        free(theirs);
    }
    ash_safetensors_close(st);
    return count;
}

static const ash_member_record *member_of(const ash_file *file, const char *name, const ash_tensor_record **tensor)
{
    const ash_member_record *m;
    if (!read_back_find(file, name, tensor, &m))
        fail_msg("%s is not in the output", name);
    return m;
}

#define LAYER0 "model.layers.0."

/* ---- weights ---- */

static void test_llama_30m(void **state)
{
    (void)state;
    char *folder = test_shared("models/llama-30m");
    if (!folder)
        test_skip("models/llama-30m is not there");
    ash_file *file = convert(folder, "llama-30m.ashlar", ASH_TYPE_KEEP, 0, NULL);
    assert_int_equal(compare_with_source(file, folder), 66);
    const ash_tensor_record *qkv, *gate_up;
    const ash_member_record *k = member_of(file, LAYER0 "self_attn.k_proj.weight", &qkv);
    assert_int_equal(qkv->role, ASH_ROLE_QKV);
    assert_int_equal(qkv->member_count, 3);
    assert_int_equal(k->row_order, ASH_ROWS_HALVES);
    assert_int_equal(k->row_order_head, 64);
    assert_int_equal(k->row_first, 512);
    const ash_member_record *up = member_of(file, LAYER0 "mlp.up_proj.weight", &gate_up);
    assert_int_equal(gate_up->role, ASH_ROLE_GATE_UP);
    assert_int_equal(up->panel_step, 2);
    assert_int_equal(up->row_first, 16);
    ash_file_close(file);
    free(folder);
}

static void test_llama_30m_fp8(void **state)
{
    (void)state;
    char *folder = test_shared("models/llama-30m-fp8");
    if (!folder)
        test_skip("models/llama-30m-fp8 is not there");
    ash_file *file = convert(folder, "llama-30m-fp8.ashlar", ASH_TYPE_KEEP, 0, NULL);
    compare_with_source(file, folder);
    const ash_tensor_record *q;
    const ash_member_record *m = member_of(file, LAYER0 "self_attn.q_proj.weight", &q);
    assert_int_equal(q->role, ASH_ROLE_Q); /* not fused: each has scales of its own */
    const ash_tensor_record *scale = ash_file_tensor(file, m->scale_weight);
    const ash_tensor_record *input = ash_file_tensor(file, m->scale_input);
    assert_int_equal(scale->scale_kind, ASH_SCALE_TENSOR);
    assert_int_equal(input->scale_kind, ASH_SCALE_INPUT);
    assert_string_equal(ash_file_member_name(file, ash_file_member(file, input->member_first)),
                        LAYER0 "self_attn.q_proj.input_scale");
    assert_true(scale->offset < q->offset);
    ash_file_close(file);
    free(folder);
}

/* The architectures with their biases and norms, head sizes and row counts that cross panels, all kinds of scales. */
static void test_generated(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        uint32_t heads, kv, head_dim, ffn;
        make_fp8 fp8;
        ash_dtype dtype;
    } cases[] = {
        { "llama", 4, 2, 64, 512, MAKE_FP8_NONE, ASH_F16 },
        { "llama", 3, 1, 80, 328, MAKE_FP8_NONE, ASH_BF16 }, /* ffn no multiple of 16: gate and up apart */
        { "llama", 4, 1, 24, 512, MAKE_FP8_NONE, ASH_F32 },  /* k has 24 rows: no fusing; a head crosses panels */
        { "qwen2", 4, 2, 64, 512, MAKE_FP8_NONE, ASH_BF16 },
        { "qwen3", 4, 2, 128, 512, MAKE_FP8_NONE, ASH_BF16 },
        { "llama", 4, 2, 64, 512, MAKE_FP8_STATIC, ASH_BF16 },
        { "qwen2", 4, 2, 64, 512, MAKE_FP8_DYNAMIC, ASH_BF16 },
        { "qwen3", 4, 2, 64, 512, MAKE_FP8_CHANNEL, ASH_F16 },
        { "qwen3", 4, 2, 48, 344, MAKE_FP8_BLOCK, ASH_F32 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.architecture = cases[i].arch;
        spec.heads = cases[i].heads, spec.kv_heads = cases[i].kv, spec.head_dim = cases[i].head_dim;
        spec.ffn = cases[i].ffn, spec.fp8 = cases[i].fp8, spec.dtype = cases[i].dtype;
        spec.parts = i % 3 + 1;
        spec.old_config = i % 2;
        char name[32];
        snprintf(name, sizeof name, "generated-%zu", i);
        char *folder = make_hf(name, &spec);
        snprintf(name, sizeof name, "generated-%zu.ashlar", i);
        ash_file *file = convert(folder, name, ASH_TYPE_KEEP, 1 + (uint32_t)i % 3, NULL);
        compare_with_source(file, folder);
        const ash_tensor_record *t;
        const ash_member_record *q = member_of(file, LAYER0 "self_attn.q_proj.weight", &t);
        assert_int_equal(q->input_dynamic, cases[i].fp8 > MAKE_FP8_STATIC);
        assert_int_equal(q->scale_input != ASH_NO_INDEX, cases[i].fp8 == MAKE_FP8_STATIC);
        if (cases[i].fp8 == MAKE_FP8_CHANNEL) { /* in the row order of its matrix */
            const ash_tensor_record *scale = ash_file_tensor(file, q->scale_weight);
            assert_int_equal(scale->scale_kind, ASH_SCALE_ROW);
            assert_int_equal(ash_file_member(file, scale->member_first)->row_order, ASH_ROWS_HALVES);
        }
        if (cases[i].fp8 == MAKE_FP8_BLOCK)
            assert_int_equal(ash_file_tensor(file, q->scale_weight)->scale_kind, ASH_SCALE_BLOCK128);
        ash_file_close(file);
        free(folder);
    }
}

/* Rotation pairs are neighbours: canonical rows 2 i and 2 i + 1 of a head are source rows i and i + 32. Looked at in
 * the tiles themselves, so that two errors that undo each other cannot hide. */
static void test_pairs_are_adjacent(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("pairs", &spec);
    ash_file *file = convert(folder, "pairs.ashlar", ASH_TYPE_KEEP, 2, NULL);
    ash_error err;
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    const ash_st_tensor *k = ash_safetensors_find(st, LAYER0 "self_attn.k_proj.weight");
    const ash_tensor_record *t;
    const ash_member_record *m = member_of(file, k->name, &t);
    uint8_t source[512], tiled[512];
    for (uint64_t row = 0; row < 128; row++) {
        uint64_t head = row / 64, pair = row % 64 / 2;
        uint64_t from = head * 64 + pair + (row % 2 ? 32 : 0);
        assert_ok(ash_safetensors_read(st, k, from * 512, source, 512, &err), &err);
        uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
        rows[row % 16] = tiled;
        ash_tile_unpack(t->dtype, 256, ash_file_data(file, t) + (m->row_first + row) / 16 * t->panel_bytes, rows);
        assert_memory_equal(source, tiled, 512);
    }
    ash_safetensors_close(st);
    ash_file_close(file);
    free(folder);
}

/* ---- other types ---- */

static float scale_at(const uint8_t *scale, ash_dtype dtype, uint64_t i)
{
    float value;
    ash_decode_row(dtype, scale + i * ash_dtype_find(dtype)->block_bytes, 1, &value);
    return value;
}

/* Each row of the output is what the encoder makes of the decoded source row. */
static ash_kernels kernels; /* what the converter encodes with */

static void check_typed(const char *folder, make_fp8 fp8, uint32_t type)
{
    ash_error err;
    ash_file *file = convert(folder, "typed.ashlar", type, 2, NULL);
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < ash_safetensors_count(st); i++) {
        const ash_st_tensor *t = ash_safetensors_tensor(st, i), *scale = NULL;
        const ash_tensor_record *tensor;
        const ash_member_record *member;
        if (is_scale(t->name)) { /* worked in */
            assert_false(read_back_find(file, t->name, &tensor, &member));
            continue;
        }
        member = member_of(file, t->name, &tensor);
        if (t->dim_count != 2) {
            assert_int_equal(tensor->dtype, t->dtype);
            continue;
        }
        assert_int_equal(tensor->dtype, type);
        assert_int_equal(member->scale_weight, ASH_NO_INDEX);
        uint8_t factors[65536];
        if (t->dtype == ASH_F8_E4M3) {
            char name[128];
            snprintf(name, sizeof name, "%s_scale%s", t->name, fp8 == MAKE_FP8_BLOCK ? "_inv" : "");
            scale = ash_safetensors_find(st, name);
            assert_true(scale && scale->size <= sizeof factors);
            assert_ok(ash_safetensors_read(st, scale, 0, factors, scale->size, &err), &err);
        }
        uint64_t rows = t->shape[0], cols = t->shape[1], in = t->size / rows, out;
        assert_true(ash_row_bytes(type, cols, &out));
        size_t size;
        uint8_t *ours = read_back(file, tensor, member, &size), *source = malloc(in), *expected = malloc(out);
        float *x = malloc(cols * sizeof *x);
        for (uint64_t r = 0; r < rows; r++) {
            assert_ok(ash_safetensors_read(st, t, r * in, source, in, &err), &err);
            ash_decode_row(t->dtype, source, (int64_t)cols, x);
            for (uint64_t c = 0; scale && c < cols; c++)
                x[c] *= scale_at(factors, scale->dtype, fp8 == MAKE_FP8_BLOCK ? r / 128 * ((cols + 127) / 128) + c / 128
                                                      : fp8 == MAKE_FP8_CHANNEL ? r : 0);
            assert_ok(ash_encode_row(&kernels, (ash_dtype)type, x, NULL, (int64_t)cols, expected, &err), &err);
            assert_memory_equal(ours + r * out, expected, out);
        }
        seen++;
        free(ours), free(source), free(expected), free(x);
    }
    assert_int_equal(seen, 16);
    ash_safetensors_close(st);
    ash_file_close(file);
}

static void test_types(void **state)
{
    (void)state;
    static const uint32_t types[] = { ASH_F32, ASH_F16, ASH_BF16, ASH_Q4_0, ASH_Q4_1, ASH_Q5_0, ASH_Q5_1, ASH_Q8_0,
                                      ASH_Q4_K, ASH_Q5_K, ASH_Q6_K };
    static const make_fp8 kinds[] = { MAKE_FP8_NONE, MAKE_FP8_STATIC, MAKE_FP8_CHANNEL, MAKE_FP8_BLOCK };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        make_spec spec = make_defaults();
        spec.fp8 = kinds[k];
        char *folder = make_hf("typed", &spec);
        for (size_t i = k == 0 ? 0 : k - 1; i < sizeof types / sizeof *types; i += k == 0 ? 1 : 2)
            check_typed(folder, kinds[k], types[i]);
        free(folder);
    }
}

static void test_refused_types(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 240; /* no multiple of 32 */
    char *folder = make_hf("odd", &spec), *out = test_path("refused/out.ashlar"), *dir = test_path("refused");
    ash_error err;
    ash_convert_options options = { .type = ASH_I8 };
    assert_int_equal(ash_convert(folder, out, &options, NULL, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "cannot become i8; choose keep"));
    for (options.type = ASH_Q4_0; options.type <= ASH_Q6_K; options.type++) {
        assert_int_equal(ash_convert(folder, out, &options, NULL, &err), ASH_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "240 columns, which is no multiple of the 32"));
    }
    assert_int_equal(test_count_entries(dir), 0);
    free(folder), free(out), free(dir);
}

/* ---- fusing ---- */

/* v of another type than q and k, as Q4_K_M has it: q and k share a tensor, v stands alone. */
static void test_mixed_types_fuse_in_part(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.dtype = ASH_Q4_K, spec.alternate = ASH_Q6_K, spec.ffn = 768;
    char *path = make_gguf("mixed", &spec);
    ash_file *file = convert(path, "mixed.ashlar", ASH_TYPE_KEEP, 2, NULL);
    const ash_tensor_record *q, *k, *v, *up;
    const ash_member_record *m = member_of(file, "blk.0.attn_q.weight", &q);
    assert_int_equal(m->row_order, ASH_ROWS_SAME); /* a Llama GGUF has its pairs adjacent already */
    member_of(file, "blk.0.attn_k.weight", &k);
    member_of(file, "blk.0.attn_v.weight", &v);
    member_of(file, "blk.0.ffn_up.weight", &up);
    assert_ptr_equal(q, k);
    assert_int_equal(q->role, ASH_ROLE_QKV);
    assert_int_equal(q->member_count, 2);
    assert_int_equal(v->role, ASH_ROLE_V);
    assert_int_equal(v->dtype, ASH_Q6_K);
    assert_int_equal(up->role, ASH_ROLE_GATE_UP);
    ash_file_close(file);
    free(path);
}

/* ---- what is left out, what is kept ---- */

static void replace_in_file(const char *path, const char *from, const char *to)
{
    size_t size;
    char *text = (char *)test_read_file(path, &size), *at = strstr(text, from);
    assert_non_null(at);
    char *changed = malloc(size + strlen(to) + 1);
    int n = sprintf(changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    test_write_file(path, changed, (size_t)n);
    free(text), free(changed);
}

static ash_meta meta_of(const ash_file *file)
{
    ash_error err;
    uint8_t *json;
    size_t size;
    ash_meta meta;
    assert_ok(ash_file_section_read(file, ASH_SECTION_META, &json, &size, &err), &err);
    assert_ok(ash_meta_read((char *)json, size, &meta, &err), &err);
    free(json);
    return meta;
}

static void test_tied(void **state)
{
    (void)state;
    for (int stored = 0; stored < 2; stored++) { /* the head is absent, or there and to be ignored */
        make_spec spec = make_defaults();
        spec.tied = !stored;
        char *folder = make_hf(stored ? "tied-stored" : "tied", &spec), *config = test_path("tied-stored/config.json");
        if (stored)
            replace_in_file(config, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
        heard h = { 0 };
        ash_file *file = convert(folder, "tied.ashlar", ASH_TYPE_KEEP, 2, &h);
        const ash_tensor_record *t;
        const ash_member_record *m;
        assert_false(read_back_find(file, "lm_head.weight", &t, &m));
        assert_int_equal(strstr(h.notes, "left out lm_head.weight") != NULL, stored);
        ash_meta meta = meta_of(file);
        assert_true(meta.h.tied_output);
        ash_meta_free(&meta);
        ash_file_close(file);
        free(folder), free(config);
    }
}

static void test_raw(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.extra = "vision_tower.patch.weight";
    char *folder = make_hf("raw", &spec);
    heard h = { 0 };
    ash_file *file = convert(folder, "raw.ashlar", ASH_Q8_0, 2, &h); /* another type is for the architecture alone */
    const ash_tensor_record *t;
    member_of(file, spec.extra, &t);
    assert_int_equal(t->role, ASH_ROLE_OTHER);
    assert_int_equal(t->dtype, ASH_F32);
    assert_int_equal(t->layout, ASH_LAYOUT_LINEAR);
    assert_non_null(strstr(h.notes, "kept 1 tensors outside the architecture"));
    assert_non_null(strstr(h.notes, spec.extra));
    ash_file_close(file);
    free(folder);
}

static void test_metadata(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("metadata", &spec), *generation = test_path("metadata/generation_config.json");
    const char *list = "{\"eos_token_id\": [5, 1000000, 7]}";
    test_write_file(generation, list, strlen(list));
    free(generation);
    ash_file *file = convert(folder, "metadata.ashlar", ASH_TYPE_KEEP, 2, NULL);
    ash_meta meta = meta_of(file);
    assert_string_equal(meta.name, "metadata");
    assert_string_equal(meta.source_kind, "hf");
    assert_string_equal(meta.chat_template, make_chat_template);
    /* config.json says EOS, generation_config.json 5, 7 and one that is no token, the template IM_END */
    static const int32_t stop[] = { 5, 7, MAKE_EOS, MAKE_IM_END };
    assert_int_equal(meta.stop_count, 4);
    assert_memory_equal(meta.stop, stop, sizeof stop);
    assert_int_equal(meta.bos, MAKE_BOS);
    assert_non_null(strstr(meta.provenance, "\"name\":\"model.safetensors\""));
    assert_null(strstr(meta.provenance, test_tmp()));
    const ash_section_record *tokenizer = ash_file_section(file, ASH_SECTION_TOKENIZER);
    assert_non_null(tokenizer);
    assert_int_equal(tokenizer->flags, 0);
    assert_null(ash_file_section(file, ASH_SECTION_GGUF_KV));
    ash_meta_free(&meta);
    ash_file_close(file);
    free(folder);
}

/* ---- the pipeline ---- */

static void test_same_bytes(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 1024, spec.ffn = 3000, spec.vocab = 6000; /* several jobs a tensor: 12 MB of embedding */
    char *folder = make_hf("same", &spec);
    static const uint32_t types[] = { ASH_TYPE_KEEP, ASH_F32 };
    for (int i = 0; i < 2; i++) {
        ash_file_close(convert(folder, "same-1.ashlar", types[i], 1, NULL));
        ash_file_close(convert(folder, "same-4.ashlar", types[i], 4, NULL));
        size_t a, b;
        char *one = test_path("same-1.ashlar"), *four = test_path("same-4.ashlar");
        uint8_t *x = test_read_file(one, &a), *y = test_read_file(four, &b);
        assert_int_equal(a, b);
        assert_memory_equal(x, y, a);
        free(one), free(four), free(x), free(y);
    }
    free(folder);
}

static void test_dry_run(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("dry", &spec), *out = test_path("dry-out/dry.ashlar"), *dir = test_path("dry-out");
    ash_error err;
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .dry_run = true };
    ash_convert_result dry, real;
    assert_ok(ash_convert(folder, out, &options, &dry, &err), &err);
    assert_int_equal(test_count_entries(dir), 0);
    assert_ok(ash_convert(folder, NULL, &options, &real, &err), &err);
    options.dry_run = false;
    assert_ok(ash_convert(folder, out, &options, &real, &err), &err);
    assert_int_equal(dry.tensors, real.tensors);
    assert_int_equal(dry.source_bytes, real.source_bytes);
    ash_file *file = read_back_open(out);
    const ash_section_record *data = ash_file_section(file, ASH_SECTION_DATA);
    assert_int_equal(dry.output_bytes, data->offset + data->size);
    ash_file_close(file);
    /* The same call again: the file is there now. */
    assert_int_equal(ash_convert(folder, out, &options, NULL, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "already exists; use --force"));
    assert_int_equal(test_count_entries(dir), 1);
    free(folder), free(out), free(dir);
}

static void test_cancel(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("cancel", &spec), *out = test_path("cancel-out/x.ashlar"), *dir = test_path("cancel-out");
    for (uint32_t threads = 1; threads < 4; threads++) {
        heard h = { .cancel_at = 300000 };
        ash_error err;
        ash_convert_options options = { .type = ASH_TYPE_KEEP, .threads = threads, .progress = on_progress,
                                        .context = &h };
        assert_int_equal(ash_convert(folder, out, &options, NULL, &err), ASH_E_CANCELLED);
        assert_int_equal(test_count_entries(dir), 0);
    }
    free(folder), free(out), free(dir);
}

/* A GGUF's own output must not replace it. */
static void test_output_is_source(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *path = make_gguf("itself", &spec);
    ash_error err;
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .force = true };
    assert_int_equal(ash_convert(path, path, &options, NULL, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "is the source itself"));
    free(path);
}

static long status_kb(const char *key)
{
    long kb = -1;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kb = atol(line + strlen(key));
    if (f)
        fclose(f);
    return kb;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* 215 MB through the pipeline of two workers: four slots of 4 MiB in and 4 MiB out, the writer's buffer of 2 MiB, the
 * directories: below 48 MiB, where holding the embedding alone would take 98 MB. Measured in a process of its own, as
 * the growth of its peak. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    if (SANITIZED)
        test_skip("sanitizers keep freed memory");
    make_spec spec = make_defaults();
    spec.layers = 1, spec.hidden = 2048, spec.ffn = 8192, spec.vocab = 24000;
    spec.heads = 8, spec.kv_heads = 8, spec.head_dim = 128;
    spec.tokenizer = false, spec.tied = true;
    pid_t maker = fork(); /* the generator holds the model in memory */
    if (maker == 0) {
        free(make_gguf("large", &spec));
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(maker, &status, 0), maker);
    assert_int_equal(status, 0);
    char *path = test_path("large.gguf"), *out = test_path("large.ashlar");
    pid_t child = fork();
    if (child == 0) {
        long before = status_kb("VmRSS:");
        ash_error err;
        ash_convert_options options = { .type = ASH_TYPE_KEEP, .threads = 2 };
        if (ash_convert(path, out, &options, NULL, &err) != ASH_OK)
            _exit(254);
        long growth = (status_kb("VmHWM:") - before) / 1024;
        _exit(growth < 0 ? 0 : growth > 250 ? 250 : (int)growth);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    print_message("# measure: converting 215 MB grew the process by %d MiB\n", WEXITSTATUS(status));
    assert_true(WEXITSTATUS(status) < 48);
    remove(path), remove(out);
    free(path), free(out);
}

int main(void)
{
    ash_kernels_init(&kernels, ASH_LEVEL_COUNT - 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_30m), cmocka_unit_test(test_llama_30m_fp8), cmocka_unit_test(test_generated),
        cmocka_unit_test(test_pairs_are_adjacent), cmocka_unit_test(test_types), cmocka_unit_test(test_refused_types),
        cmocka_unit_test(test_mixed_types_fuse_in_part), cmocka_unit_test(test_tied), cmocka_unit_test(test_raw),
        cmocka_unit_test(test_metadata), cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_output_is_source),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
