/* The conversion to other types as a whole: FP8 with scales that are chosen, mixes, rules; the same bytes whatever the
 * threads and the instruction set; what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "convert/source.h"
#include "format/halffloat.h"
#include "format/meta.h"
#include "format/safetensors.h"
#include "kernels/kernels.h"
#include "quant/fp8.h"
#include "tests/support/container.h"
#include "tests/support/make_gguf.h"
#include "tests/support/make_hf.h"
#include "tests/support/read_back.h"

#define LAYER0 "model.layers.0."

static ash_recipe recipe_of(const char *name)
{
    ash_recipe r;
    assert_true(ash_recipe_named(name, &r));
    return r;
}

static void add_rule(ash_recipe *r, const char *rule)
{
    ash_error err;
    assert_ok(ash_recipe_add(r, rule, &err), &err);
}

static void on_note(void *context, const char *line)
{
    char *notes = context;
    strncat(notes, line, 4000 - strlen(notes));
    strcat(notes, "\n");
}

static char noted[4096];

/* Converts to test_path(name) and opens the result. */
static ash_file *convert(const char *source, const char *name, const ash_recipe *recipe, uint32_t threads,
                         uint32_t levels)
{
    char *out = test_path(name);
    ash_error err;
    noted[0] = 0;
    ash_convert_options options = { .recipe = recipe, .threads = threads, .levels = levels, .force = true,
                                    .note = on_note, .context = noted };
    assert_ok(ash_convert(source, out, &options, NULL, &err), &err);
    ash_file *file = read_back_open(out);
    free(out);
    return file;
}

static const ash_member_record *member_of(const ash_file *file, const char *name, const ash_tensor_record **tensor)
{
    const ash_member_record *m;
    if (!read_back_find(file, name, tensor, &m))
        fail_msg("%s is not in the output", name);
    return m;
}

static uint32_t dtype_of(const ash_file *file, const char *name)
{
    const ash_tensor_record *t;
    member_of(file, name, &t);
    return t->dtype;
}

/* ---- FP8 ---- */

/* Every code is e4m3 of weight / scale; and the scale is no worse than max / 448. */
static void check_fp8(const ash_file *file, const char *folder, const char *name, bool by_row)
{
    ash_error err;
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    const ash_st_tensor *t = ash_safetensors_find(st, name);
    uint64_t rows = t->shape[0], cols = t->shape[1];
    uint16_t *bytes = malloc(t->size);
    assert_ok(ash_safetensors_read(st, t, 0, bytes, t->size, &err), &err);
    const ash_tensor_record *tensor, *scale_tensor;
    const ash_member_record *m = member_of(file, name, &tensor);
    assert_int_equal(tensor->dtype, ASH_F8_E4M3);
    assert_int_equal(m->input_dynamic, 1);
    assert_int_equal(m->scale_input, ASH_NO_INDEX);
    scale_tensor = ash_file_tensor(file, m->scale_weight);
    assert_int_equal(scale_tensor->scale_kind, by_row ? ASH_SCALE_ROW : ASH_SCALE_TENSOR);
    size_t size;
    uint8_t *codes = read_back(file, tensor, m, &size); /* source order */
    float *scales = (float *)read_back(file, scale_tensor, ash_file_member(file, scale_tensor->member_first), &size);
    assert_int_equal(size, by_row ? rows * 4 : 4);
    double found = 0, plain = 0;
    float max = 0;
    ash_fp8_counts *counts = calloc(1, sizeof *counts);
    for (uint64_t i = 0; i < rows * cols; i++) {
        float x = ash_bf16_to_f32(bytes[i]);
        max = fmaxf(max, fabsf(x));
        ash_fp8_count(counts, &x, 1);
    }
    assert_true(by_row || scales[0] == ash_fp8_scale(counts, max)); /* from all rows, in whatever runs they come */
    free(counts);
    for (uint64_t r = 0; r < rows; r++) {
        float s = scales[by_row ? r : 0], most = 0;
        for (uint64_t k = 0; k < cols; k++)
            most = fmaxf(most, fabsf(ash_bf16_to_f32(bytes[r * cols + k])));
        float usual = (by_row ? most : max) / 448;
        for (uint64_t k = 0; k < cols; k++) {
            float x = ash_bf16_to_f32(bytes[r * cols + k]);
            uint8_t code = ash_f32_to_e4m3(x * (1 / s));
            if (codes[r * cols + k] != code)
                fail_msg("%s: row %llu, column %llu", name, (unsigned long long)r, (unsigned long long)k);
            double a = (double)x - (double)ash_e4m3_to_f32(code) * (double)s;
            double b = (double)x - (double)ash_e4m3_to_f32(ash_f32_to_e4m3(x / usual)) * (double)usual;
            found += a * a, plain += b * b;
        }
    }
    assert_true(found <= plain * (1 + 1e-6)); /* x / usual and x * (1 / usual) may round apart */
    free(bytes), free(codes), free(scales);
    ash_safetensors_close(st);
}

/* Makes the last 1.5 MB of the embedding one value: a scale chosen for them alone would be another. */
static void alter_end(const char *folder)
{
    char *path = test_path("fp8/model.safetensors");
    ash_error err;
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    const ash_st_tensor *t = ash_safetensors_find(st, "model.embed_tokens.weight");
    uint64_t end = t->offset + t->size;
    ash_safetensors_close(st);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size);
    for (uint64_t at = end - 1500000; at < end; at += 2)
        memcpy(bytes + at, &(uint16_t){ 0x3c8d }, 2);
    test_write_file(path, bytes, size);
    free(bytes), free(path);
}

static void fp8(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.head_dim = 48, spec.ffn = 360; /* heads cross panels, a last panel of 8 rows */
    char *folder = make_hf("fp8", &spec);
    for (int by_row = 0; by_row < 2; by_row++) {
        ash_recipe r = recipe_of("fp8");
        r.fp8_row = by_row;
        ash_file *file = convert(folder, "fp8.ashlar", &r, 2, 0);
        check_fp8(file, folder, LAYER0 "self_attn.q_proj.weight", by_row); /* its rows are in another order */
        check_fp8(file, folder, LAYER0 "self_attn.v_proj.weight", by_row);
        check_fp8(file, folder, "model.layers.1.mlp.down_proj.weight", by_row);
        assert_int_equal(dtype_of(file, "lm_head.weight"), ASH_BF16);
        assert_int_equal(dtype_of(file, "model.embed_tokens.weight"), ASH_BF16);
        assert_int_equal(dtype_of(file, LAYER0 "self_attn.q_proj.weight_scale"), ASH_F32);
        ash_file_close(file);
    }
    free(folder);
    /* Of several runs: 5.8 MB of embedding, read in pieces of 4 MiB. */
    spec.hidden = 576, spec.vocab = 5000, spec.layers = 1;
    folder = make_hf("fp8", &spec);
    alter_end(folder);
    ash_recipe r = recipe_of("f8_e4m3");
    ash_file *file = convert(folder, "fp8.ashlar", &r, 2, 0);
    check_fp8(file, folder, "model.embed_tokens.weight", false);
    ash_file_close(file);
    free(folder);
}

/* A value that no code stands for: refused with its tensor's name, before anything is written. */
static void not_finite(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("nan", &spec), *path = test_path("nan/model.safetensors");
    ash_error err;
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    const ash_st_tensor *t = ash_safetensors_find(st, "model.layers.1.mlp.up_proj.weight");
    uint64_t at = t->offset + 2 * (3 * t->shape[1] + 5);
    ash_safetensors_close(st);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size);
    static const struct { uint16_t bits; const char *text; } never[] = { { 0x7fc0, "nan" }, { 0xff80, "-inf" } };
    static const char *const types[] = { "fp8", "q8_0", "q4_k", "q4_0" };
    char *out = test_path("nan-out/x.ashlar"), *dir = test_path("nan-out");
    for (size_t v = 0; v < 2; v++) {
        memcpy(bytes + at, &never[v].bits, 2);
        test_write_file(path, bytes, size);
        for (size_t i = 0; i < 4; i++) {
            ash_recipe r = recipe_of(types[i]);
            ash_convert_options options = { .recipe = &r, .threads = 1 + (uint32_t)i };
            assert_int_equal(ash_convert(folder, out, &options, NULL, &err), ASH_E_UNSUPPORTED);
            if (!strstr(err.text, "model.layers.1.mlp.up_proj.weight") || !strstr(err.text, never[v].text) ||
                !strstr(err.text, "column 5 is"))
                fail_msg("%s: %s", types[i], err.text);
            assert_int_equal(test_count_entries(dir), 0);
        }
    }
    free(bytes), free(folder), free(path), free(out), free(dir);
}

/* ---- the same bytes ---- */

static void same_bytes(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 576, spec.ffn = 3000, spec.vocab = 5000, spec.layers = 1; /* several jobs a tensor; tails of 64 */
    spec.ffn = 3008;
    char *folder = make_hf("same", &spec);
    static const char *const types[] = { "fp8", "fp8", "q8_0", "q4_k_m", "q5_k", "q4_0" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        ash_recipe r = recipe_of(types[i]);
        r.fp8_row = i == 1;
        size_t size, other;
        ash_file_close(convert(folder, "a.ashlar", &r, 1, 0));
        char *a = test_path("a.ashlar"), *b = test_path("b.ashlar");
        uint8_t *first = test_read_file(a, &size);
        for (uint32_t run = 0; run < 2 + ASH_LEVEL_COUNT; run++) {
            uint32_t threads = run == 0 ? 2 : run == 1 ? 7 : 2, levels = run < 2 ? 0 : run - 1;
            ash_file_close(convert(folder, "b.ashlar", &r, threads, levels));
            uint8_t *second = test_read_file(b, &other);
            if (other != size || memcmp(first, second, size) != 0)
                fail_msg("%s: %u threads and %u levels give other bytes", types[i], threads, levels);
            free(second);
        }
        free(first), free(a), free(b);
    }
    free(folder);
}

/* ---- mixes and rules ---- */

static void mix(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.layers = 8;
    char *folder = make_hf("mix", &spec);
    ash_recipe r = recipe_of("q4_k_m");
    ash_file *file = convert(folder, "mix.ashlar", &r, 2, 0);
    assert_int_equal(dtype_of(file, "lm_head.weight"), ASH_Q6_K);
    assert_int_equal(dtype_of(file, LAYER0 "self_attn.v_proj.weight"), ASH_Q6_K);
    assert_int_equal(dtype_of(file, "model.layers.1.self_attn.v_proj.weight"), ASH_Q4_K);
    const ash_tensor_record *q, *v;
    member_of(file, LAYER0 "self_attn.q_proj.weight", &q);
    member_of(file, LAYER0 "self_attn.v_proj.weight", &v);
    assert_int_equal(q->member_count, 2); /* with k: v has another type */
    assert_ptr_not_equal(q, v);
    member_of(file, "model.layers.1.self_attn.q_proj.weight", &q);
    assert_int_equal(q->member_count, 3);
    ash_file_close(file);

    add_rule(&r, "blk.1.attn_v.weight=q8_0");
    add_rule(&r, "layers.2.gate=f16");
    add_rule(&r, "model.layers.3.*=fp8");
    file = convert(folder, "mix.ashlar", &r, 2, 0);
    assert_int_equal(dtype_of(file, "model.layers.1.self_attn.v_proj.weight"), ASH_Q8_0);
    assert_int_equal(dtype_of(file, "model.layers.2.mlp.gate_proj.weight"), ASH_F16);
    assert_int_equal(dtype_of(file, "model.layers.2.mlp.up_proj.weight"), ASH_Q4_K);
    assert_int_equal(dtype_of(file, "model.layers.3.mlp.up_proj.weight"), ASH_F8_E4M3);
    assert_int_equal(dtype_of(file, "model.layers.3.input_layernorm.weight"), ASH_BF16); /* rules are for matrices */
    ash_error err;
    uint8_t *json;
    size_t size;
    assert_ok(ash_file_section_read(file, ASH_SECTION_META, &json, &size, &err), &err);
    assert_non_null(strstr((char *)json, "\"type\":\"q4_k_m\",\"tensor_types\":[\"blk.1.attn_v.weight=q8_0\","
                                         "\"layers.2.gate=f16\",\"model.layers.3.*=fp8\"]"));
    free(json);
    ash_file_close(file);
    free(folder);
}

static void refused_rules(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 240;
    char *folder = make_hf("rules", &spec);
    static const struct { const char *type, *rule, *text; } cases[] = {
        { "keep", "blk.9.attn_v.weight=q8_0", "--tensor 'blk.9.attn_v.weight=q8_0' names no matrix" },
        { "keep", "*norm*=f32", "names no matrix" },
        { "keep", "*.q_proj.weight=q4_k", "240 columns, which is no multiple of the 32" },
        { "keep", "*.q_proj.weight=i8", "cannot become i8" },
        { "q4_k_m", "*.q_proj.weight=f16", "240 columns, which is no multiple of the 32" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_recipe r = recipe_of(cases[i].type);
        add_rule(&r, cases[i].rule);
        ash_error err;
        ash_convert_options options = { .recipe = &r, .dry_run = true };
        assert_true(ash_convert(folder, NULL, &options, NULL, &err) != ASH_OK);
        if (!strstr(err.text, cases[i].text))
            fail_msg("%s", err.text);
    }
    free(folder);
}

/* ---- what is told ---- */

static uint32_t told, exact;
static void on_matrix(void *context, const ash_convert_matrix *m)
{
    (void)context;
    told++;
    exact += m->kept;
    assert_true(m->kept == (m->error == 0));
    if (!m->kept && !(m->error > 0.002 && m->error < 0.12 && m->bits > 4 && m->bits < 9))
        fail_msg("%s: error %g, %g bits", m->name, m->error, m->bits);
}

static void errors_told(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("told", &spec), *out = test_path("told.ashlar");
    static const char *const types[] = { "q8_0", "q4_k", "fp8" };
    for (size_t i = 0; i < 3; i++) {
        ash_error err;
        ash_recipe r = recipe_of(types[i]);
        ash_convert_options options = { .recipe = &r, .force = true, .matrix = on_matrix };
        ash_convert_result result;
        told = exact = 0;
        assert_ok(ash_convert(folder, out, &options, &result, &err), &err);
        assert_int_equal(told, 16);
        assert_int_equal(exact, i == 2 ? 2 : 0);
        assert_int_equal(result.kv_bytes, 2 * 2 * 2 * 64 * 2);
        assert_int_equal(result.context, 256);
        assert_true(result.by_type[r.type].energy > 0);
    }
    free(folder), free(out);
}

/* ---- from an .ashlar ---- */

/* Everything but META is the same: records, names, data by their hashes, tokenizer. */
static void same_model(const ash_file *a, const ash_file *b)
{
    static const uint32_t sections[] = { ASH_SECTION_STRINGS, ASH_SECTION_HASHES, ASH_SECTION_TOKENIZER,
                                         ASH_SECTION_TENSORS, ASH_SECTION_MEMBERS, ASH_SECTION_GGUF_KV };
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        size_t x = 0, y = 0;
        const ash_section_record *ra = ash_file_section(a, sections[i]), *rb = ash_file_section(b, sections[i]);
        assert_int_equal(ra != NULL, rb != NULL);
        if (!ra)
            continue;
        x = ra->size, y = rb->size;
        if (x != y || memcmp(&ra->hash, &rb->hash, sizeof ra->hash) != 0)
            fail_msg("section %zu differs", i);
    }
}

static void check_meta(const ash_file *file, const ash_file *expected, bool tools)
{
    ash_error err;
    ash_meta m[2];
    for (int i = 0; i < 2; i++) {
        uint8_t *json;
        size_t size;
        assert_ok(ash_file_section_read(i ? expected : file, ASH_SECTION_META, &json, &size, &err), &err);
        assert_ok(ash_meta_read((char *)json, size, &m[i], &err), &err);
        free(json);
    }
    assert_memory_equal(&m[0].h, &m[1].h, sizeof m[0].h);
    assert_string_equal(m[0].name ? m[0].name : "", m[1].name ? m[1].name : "");
    assert_string_equal(m[0].source_kind, m[1].source_kind);
    assert_string_equal(m[0].chat_template ? m[0].chat_template : "", m[1].chat_template ? m[1].chat_template : "");
    assert_string_equal(m[0].tool_template ? m[0].tool_template : "", m[1].tool_template ? m[1].tool_template : "");
    assert_int_equal(m[0].tool_template != NULL, tools);
    assert_int_equal(m[0].bos, m[1].bos);
    assert_int_equal(m[0].pad, m[1].pad);
    if (tools)
        assert_int_equal(m[0].pad, MAKE_EOS);
    assert_int_equal(m[0].add_bos, m[1].add_bos);
    assert_int_equal(m[0].stop_count, m[1].stop_count);
    assert_memory_equal(m[0].stop, m[1].stop, sizeof m[0].stop);
    ash_meta_free(&m[0]), ash_meta_free(&m[1]);
}

/* By way of a file that keeps every weight, or straight from the source: the same model. */
static void through_a_file(const char *source, const char *type, bool by_row, bool tools)
{
    ash_recipe keep = recipe_of("keep"), r = recipe_of(type);
    r.fp8_row = by_row;
    ash_file_close(convert(source, "kept.ashlar", &keep, 2, 0));
    char *kept = test_path("kept.ashlar");
    ash_file *straight = convert(source, "straight.ashlar", &r, 2, 0), *around = convert(kept, "around.ashlar", &r, 3, 0);
    same_model(straight, around);
    check_meta(around, straight, tools);
    /* And once more without a change. */
    char *path = test_path("around.ashlar");
    ash_file *again = convert(path, "again.ashlar", &keep, 1, 0);
    same_model(straight, again);
    check_meta(again, straight, tools);
    ash_error err;
    uint8_t *json;
    size_t size;
    assert_ok(ash_file_section_read(again, ASH_SECTION_META, &json, &size, &err), &err);
    const char *at = strstr((char *)json, "\"name\":\"around.ashlar\""), *then = at ? strstr(at, "kept.ashlar") : NULL;
    assert_true(at && then && strstr(then, "\"source\":{"));
    free(json), free(path), free(kept);
    ash_file_close(straight), ash_file_close(around), ash_file_close(again);
}

static void from_ashlar(void **state)
{
    (void)state;
    static const struct { const char *arch, *type; uint32_t head_dim, hidden, ffn; make_fp8 fp8; bool by_row; } cases[] = {
        { "llama", "q4_k_m", 64, 256, 512, MAKE_FP8_NONE, false },
        { "llama", "q4_k", 48, 576, 448, MAKE_FP8_NONE, false }, /* K-quant tiles with tails; heads across panels */
        { "qwen2", "fp8", 64, 256, 360, MAKE_FP8_NONE, true },
        { "qwen3", "fp8", 48, 256, 512, MAKE_FP8_NONE, false },
        { "llama", "keep", 64, 256, 512, MAKE_FP8_STATIC, false },
        { "qwen2", "q8_0", 64, 256, 512, MAKE_FP8_DYNAMIC, false },
        { "qwen3", "bf16", 64, 256, 512, MAKE_FP8_CHANNEL, false },
        { "qwen3", "keep", 48, 256, 344, MAKE_FP8_BLOCK, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.architecture = cases[i].arch, spec.head_dim = cases[i].head_dim, spec.hidden = cases[i].hidden;
        spec.ffn = cases[i].ffn, spec.fp8 = cases[i].fp8, spec.extra = "vision.patch.weight", spec.tied = i % 2;
        char *folder = make_hf("around", &spec);
        through_a_file(folder, cases[i].type, cases[i].by_row, false);
        free(folder);
        if (cases[i].fp8 != MAKE_FP8_NONE)
            continue;
        spec.dtype = ASH_F16, spec.tokenizer = true, spec.rope_freqs = i == 0, spec.tools = i < 2;
        char *gguf = make_gguf("around-gguf", &spec);
        through_a_file(gguf, cases[i].type, cases[i].by_row, spec.tools);
        free(gguf);
    }
}

/* What is quantized already: allowed, said once, and the result is what the decoded weights give. */
static void again(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("again", &spec), *first = test_path("first.ashlar");
    ash_recipe q8 = recipe_of("q8_0"), q4 = recipe_of("q4_k"), fp8_recipe = recipe_of("fp8");
    ash_file_close(convert(folder, "first.ashlar", &q8, 2, 0));
    assert_null(strstr(noted, "quantized again"));
    ash_file *second = convert(first, "second.ashlar", &q4, 2, 0);
    const char *note = strstr(noted, "16 matrices are already quantized and are quantized again: their errors add up");
    assert_non_null(note);
    assert_null(strstr(note + 60, "quantized again")); /* once */
    const ash_tensor_record *t;
    const ash_member_record *m = member_of(second, LAYER0 "self_attn.k_proj.weight", &t);
    assert_int_equal(t->dtype, ASH_Q4_K);
    assert_int_equal(m->source_dtype, ASH_BF16); /* of the checkpoint, not of the file between */
    ash_file_close(second);
    ash_file *eight = convert(first, "third.ashlar", &fp8_recipe, 2, 0);
    assert_int_equal(dtype_of(eight, LAYER0 "mlp.down_proj.weight"), ASH_F8_E4M3);
    assert_int_equal(dtype_of(eight, "lm_head.weight"), ASH_Q8_0); /* fp8 keeps its type, whatever that is */
    ash_file_close(eight);
    free(folder), free(first);
}

/* A damaged file does not come out with new checksums. */
static void damaged_source(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("damaged", &spec), *path = test_path("damaged.ashlar"), *out = test_path("damaged-out/x.ashlar");
    char *dir = test_path("damaged-out");
    ash_recipe keep = recipe_of("keep"), q8 = recipe_of("q8_0");
    ash_file *file = convert(folder, "damaged.ashlar", &keep, 2, 0);
    uint64_t at = ash_file_tensor(file, 3)->offset + 5;
    ash_file_close(file);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size);
    bytes[at] ^= 1;
    test_write_file(path, bytes, size);
    ash_error err;
    ash_convert_options options = { .recipe = &q8 };
    assert_int_equal(ash_convert(path, out, &options, NULL, &err), ASH_E_CHECKSUM);
    assert_int_equal(test_count_entries(dir), 0);
    free(bytes), free(folder), free(path), free(out), free(dir);
}

/* Records that another writer may make, which hold more than a source has: refused, by the tensor's name. */
static void strange_records(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("strange", &spec), *path = test_path("strange.ashlar"), *out = test_path("strange-out.ashlar");
    ash_recipe keep = recipe_of("keep");
    ash_file *file = convert(folder, "strange.ashlar", &keep, 2, 0);
    const ash_tensor_record *t;
    const ash_member_record *m = member_of(file, LAYER0 "self_attn.k_proj.weight", &t);
    uint64_t at = ash_file_section(file, ASH_SECTION_MEMBERS)->offset +
                  (uint64_t)(m - ash_file_member(file, 0)) * sizeof *m;
    ash_file_close(file);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size);
    for (int i = 0; i < 3; i++) {
        ash_member_record r;
        memcpy(&r, bytes + at, sizeof r);
        ash_member_record changed = r;
        changed.source_dim_count = i == 1 ? 3 : 2;
        if (i == 2) /* as many elements in another shape: another number of them is refused when the file is opened */
            changed.source_dims[0] *= 2, changed.source_dims[1] /= 2;
        memcpy(bytes + at, &changed, sizeof r);
        test_container_rehash(bytes, size, 0);
        test_write_file(path, bytes, size);
        memcpy(bytes + at, &r, sizeof r);
        ash_error err;
        ash_convert_options options = { .recipe = &keep, .force = true };
        ash_status status = ash_convert(path, out, &options, NULL, &err);
        if (i == 0)
            assert_ok(status, &err);
        else if (status != ASH_E_UNSUPPORTED || !strstr(err.text, LAYER0 "self_attn.k_proj.weight lies in a way"))
            fail_msg("change %d: %d, %s", i, (int)status, err.text);
    }
    free(bytes), free(folder), free(path), free(out);
}

/* Whole rows inside the tensor can be read, and nothing else. */
static void reads(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *folder = make_hf("reads", &spec), *path = test_path("reads.ashlar");
    ash_recipe keep = recipe_of("keep");
    ash_file_close(convert(folder, "reads.ashlar", &keep, 2, 0));
    ash_source s = { 0 };
    ash_error err;
    assert_ok(ash_source_open(path, &s, &err), &err);
    const ash_source_tensor *t = ash_source_find(&s, LAYER0 "mlp.down_proj.weight");
    assert_non_null(t);
    uint64_t row = t->dims[0] * 2;
    uint8_t *bytes = malloc(t->size);
    assert_non_null(bytes);
    assert_ok(ash_source_read(&s, t, t->size - row, bytes, row, &err), &err);
    assert_ok(ash_source_read(&s, t, t->size, bytes, 0, &err), &err);
    static const struct { int64_t at_rows, at, rows, bytes; } wrong[] = {
        { 1, 0, 0, 0 }, { 0, 0, 1, 0 }, { -1, 0, 2, 0 }, { -2, 1, 1, 0 }, { -2, 0, 1, 1 }, { -2, 0, 1, -1 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t at = t->size + (uint64_t)(wrong[i].at_rows * (int64_t)row + wrong[i].at);
        size_t size = (size_t)(wrong[i].rows * (int64_t)row + wrong[i].bytes);
        if (i == 0)
            at -= row - 1; /* one byte beyond the end, none asked for */
        assert_int_equal(ash_source_read(&s, t, at, bytes, size, &err), ASH_E_ARGUMENT);
    }
    free(bytes);
    ash_source_close(&s);
    free(folder), free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp8), cmocka_unit_test(not_finite), cmocka_unit_test(same_bytes), cmocka_unit_test(mix),
        cmocka_unit_test(refused_rules), cmocka_unit_test(errors_told), cmocka_unit_test(from_ashlar),
        cmocka_unit_test(again), cmocka_unit_test(damaged_source), cmocka_unit_test(strange_records),
        cmocka_unit_test(reads),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
