/* A Hugging Face folder, an .ashlar, and a folder again: the same tensor bytes and a configuration that says the same;
 * and by way of a GGUF. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/convert.h"
#include "format/halffloat.h"
#include "format/json.h"
#include "format/meta.h"
#include "format/safetensors_write.h"
#include "kernels/kernels.h"
#include "tests/support/container.h"
#include "tests/support/make_gguf.h"
#include "tests/support/make_hf.h"
#include "tests/support/read_back.h"
#include "tests/support/trip.h"

static char notes[2048];

static void keep_note(void *context, const char *line)
{
    (void)context;
    size_t at = strlen(notes);
    snprintf(notes + at, sizeof notes - at, "%s\n", line);
}

static ash_status export(const char *ashlar, const char *folder, uint64_t part_bytes, ash_error *err)
{
    ash_export_options options = { .force = true, .part_bytes = part_bytes, .note = keep_note };
    notes[0] = '\0';
    return ash_export_hf(ashlar, folder, &options, err);
}

/* `source` to test_path(NAME.ashlar) and on to the folder test_path(NAME), whose path is returned. */
static char *export_as(const char *source, const char *name, const char *type)
{
    char file[96];
    ash_error err;
    ash_recipe recipe;
    snprintf(file, sizeof file, "%s.ashlar", name);
    char *ashlar = test_path(file), *folder = test_path(name);
    assert_true(ash_recipe_named(type, &recipe));
    ash_convert_options options = { .recipe = &recipe, .force = true, .threads = 2 };
    assert_ok(ash_convert(source, ashlar, &options, NULL, &err), &err);
    assert_ok(export(ashlar, folder, 0, &err), &err);
    free(ashlar);
    return folder;
}

static cJSON *read_json(const char *folder, const char *name)
{
    char path[4096];
    cJSON *root;
    ash_error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(ash_json_read_file(path, 1 << 24, &root, &err), &err);
    return root;
}

/* ---- the same tensors ---- */

static uint8_t *tensor_bytes(const ash_safetensors *st, const ash_st_tensor *t)
{
    ash_error err;
    uint8_t *bytes = malloc(t->size + 1);
    assert_ok(ash_safetensors_read(st, t, 0, bytes, t->size, &err), &err);
    return bytes;
}

/* Every tensor of `a` in `b`, bytes and type, and no other. Scales of blocks have another name there. */
static void assert_same_tensors(const char *a, const char *b)
{
    ash_error err;
    ash_safetensors *x, *y;
    assert_ok(ash_safetensors_open(a, &x, &err), &err);
    assert_ok(ash_safetensors_open(b, &y, &err), &err);
    for (uint32_t i = 0; i < ash_safetensors_count(x); i++) {
        const ash_st_tensor *t = ash_safetensors_tensor(x, i);
        char name[200];
        snprintf(name, sizeof name, "%s", t->name);
        char *inverse = strstr(name, ".weight_scale_inv");
        if (inverse)
            inverse[strlen(".weight_scale")] = '\0';
        const ash_st_tensor *u = ash_safetensors_find(y, name);
        if (!u)
            fail_msg("no tensor %s", name);
        if (u->dtype != t->dtype)
            fail_msg("tensor %s is %s, not %s", name, ash_dtype_name(u->dtype), ash_dtype_name(t->dtype));
        assert_int_equal(u->dim_count, t->dim_count);
        assert_memory_equal(u->shape, t->shape, t->dim_count * sizeof *t->shape);
        uint8_t *p = tensor_bytes(x, t), *q = tensor_bytes(y, u);
        if (u->size != t->size || memcmp(p, q, t->size) != 0)
            fail_msg("tensor %s has other bytes", name);
        free(p), free(q);
    }
    assert_int_equal(ash_safetensors_count(x), ash_safetensors_count(y));
    ash_safetensors_close(x), ash_safetensors_close(y);
}

/* ---- the same configuration ---- */

static ash_meta meta_of(ash_file *file)
{
    uint8_t *json;
    size_t size;
    ash_error err;
    ash_meta meta;
    assert_ok(ash_file_section_read(file, ASH_SECTION_META, &json, &size, &err), &err);
    assert_ok(ash_meta_read((const char *)json, size, &meta, &err), &err);
    free(json);
    return meta;
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_string_equal(a, b);
}

/* The model that `folder` gives is that of `ashlar`: hyperparameters, special ids, templates, and the tokenizer where
 * that came from a tokenizer.json. */
static void assert_same_model(const char *ashlar, const char *folder, bool tokenizer)
{
    char *again = test_path("same.ashlar");
    ash_error err;
    trip_convert(folder, again, ASH_TYPE_KEEP);
    ash_file *f = read_back_open(ashlar), *g = read_back_open(again);
    ash_meta a = meta_of(f), b = meta_of(g);
    assert_memory_equal(&a.h, &b.h, sizeof a.h);
    assert_int_equal(a.bos, b.bos);
    assert_int_equal(a.add_bos, b.add_bos);
    assert_int_equal(a.pad, b.pad);
    assert_int_equal(a.stop_count, b.stop_count);
    assert_memory_equal(a.stop, b.stop, sizeof a.stop);
    assert_same_text(a.chat_template, b.chat_template);
    assert_same_text(a.tool_template, b.tool_template);
    uint8_t *p, *q;
    size_t n, m;
    if (tokenizer) {
        assert_ok(ash_file_section_read(f, ASH_SECTION_TOKENIZER, &p, &n, &err), &err);
        assert_ok(ash_file_section_read(g, ASH_SECTION_TOKENIZER, &q, &m, &err), &err);
        assert_int_equal(n, m);
        assert_memory_equal(p, q, n);
        free(p), free(q);
    }
    ash_meta_free(&a), ash_meta_free(&b);
    ash_file_close(f), ash_file_close(g);
    free(again);
}

#define LLAMA3 "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, " \
               "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192}"

static void test_same(void **state)
{
    (void)state;
    static const struct { const char *arch, *config, *class; ash_dtype dtype; bool tied; make_fp8 fp8; } cases[] = {
        { "llama", NULL, "LlamaForCausalLM", ASH_BF16, false, MAKE_FP8_NONE },
        { "llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.5}", "LlamaForCausalLM", ASH_F16, true,
          MAKE_FP8_NONE },
        { "llama", LLAMA3, "LlamaForCausalLM", ASH_F32, false, MAKE_FP8_NONE },
        { "qwen2", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8.0, \"attention_factor\": 1.25, "
                   "\"original_max_position_embeddings\": 64, \"beta_fast\": 24, \"beta_slow\": 2}",
          "Qwen2ForCausalLM", ASH_BF16, false, MAKE_FP8_NONE },
        { "qwen3", "\"use_sliding_window\": true, \"sliding_window\": 5, \"max_window_layers\": 0", "Qwen3ForCausalLM",
          ASH_F16, true, MAKE_FP8_NONE },
        { "llama", NULL, "LlamaForCausalLM", ASH_BF16, false, MAKE_FP8_STATIC },
        { "llama", NULL, "LlamaForCausalLM", ASH_BF16, true, MAKE_FP8_DYNAMIC },
        { "qwen3", NULL, "Qwen3ForCausalLM", ASH_F16, false, MAKE_FP8_CHANNEL },
        { "qwen2", NULL, "Qwen2ForCausalLM", ASH_BF16, false, MAKE_FP8_BLOCK },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.architecture = cases[i].arch, spec.config_extra = cases[i].config, spec.dtype = cases[i].dtype;
        spec.tied = cases[i].tied, spec.fp8 = cases[i].fp8, spec.old_config = true;
        spec.parts = i % 2 ? 1 : 3, spec.extra = i % 3 ? NULL : "model.extra";
        spec.ffn = 592; /* no multiple of 128 */
        char name[32];
        snprintf(name, sizeof name, "same-hf-%u", (unsigned)i); /* parts of one must not lie beside those of another */
        char *source = make_hf(name, &spec), *folder = export_as(source, "same-out", "keep");
        assert_string_equal(notes, "");
        assert_same_tensors(source, folder);
        cJSON *config = read_json(folder, "config.json");
        assert_string_equal(cJSON_GetArrayItem(ash_json_get(config, "architectures"), 0)->valuestring, cases[i].class);
        cJSON_Delete(config);
        char *ashlar = test_path("same-out.ashlar");
        assert_same_model(ashlar, folder, true);
        free(source), free(folder), free(ashlar);
    }
}

static void test_shared_models(void **state)
{
    (void)state;
    static const char *const names[] = { "models/llama-30m", "models/llama-30m-fp8" };
    for (size_t i = 0; i < 2; i++) {
        char *source = test_shared(names[i]);
        if (!source)
            skip();
        char *folder = export_as(source, "shared-out", "keep"), *ashlar = test_path("shared-out.ashlar");
        assert_same_tensors(source, folder);
        assert_same_model(ashlar, folder, true);
        free(source), free(folder), free(ashlar);
    }
}

static void test_parts(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *source = make_hf("parts-hf", &spec), *folder = export_as(source, "parts", "keep");
    char *ashlar = test_path("parts.ashlar");
    ash_error err;
    assert_int_equal(test_count_entries(folder), 5);
    /* Larger parts than the embedding alone (147,456 bytes), smaller than it and a matrix. */
    assert_ok(export(ashlar, folder, 200000, &err), &err);
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(folder, &st, &err), &err);
    uint32_t parts = ash_safetensors_file_count(st);
    assert_true(parts > 5);
    assert_int_equal(test_count_entries(folder), 5 + parts); /* and the index; model.safetensors has gone */
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < ash_safetensors_count(st); i++)
        bytes += ash_safetensors_tensor(st, i)->size;
    ash_safetensors_close(st);
    cJSON *index = read_json(folder, "model.safetensors.index.json");
    assert_int_equal(ash_json_get(ash_json_get(index, "metadata"), "total_size")->valuedouble, bytes);
    cJSON_Delete(index);
    assert_same_tensors(source, folder);
    free(source), free(folder), free(ashlar);
}

/* ---- by way of a GGUF ---- */

/* q and k are permuted there for llama, norms and biases F32. */
static void test_from_gguf(void **state)
{
    (void)state;
    static const char *const archs[] = { "llama", "qwen2", "qwen3" };
    for (size_t i = 0; i < 3; i++) {
        make_spec spec = make_defaults();
        spec.architecture = archs[i], spec.tied = i == 1, spec.dtype = i == 2 ? ASH_F16 : ASH_BF16;
        char *source = make_hf("way-hf", &spec);
        trip t = trip_go(source, "way", ASH_TYPE_KEEP);
        char *folder = export_as(t.gguf, "way-out", "keep"), *ashlar = test_path("way-out.ashlar");
        assert_string_equal(notes, "");
        assert_same_tensors(source, folder);
        assert_same_model(ashlar, folder, false);
        /* The same scales are chosen, whichever way the weights came. */
        char *direct = export_as(source, "fp8-direct", "fp8"), *way = export_as(t.gguf, "fp8-way", "fp8");
        assert_same_tensors(direct, way);
        free(source), free(folder), free(ashlar), free(direct), free(way);
        trip_done(&t);
    }
}

/* Llama 3.1's scaling is a tensor of a GGUF, and becomes four numbers again. */
static void test_rope_factors(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.old_config = true, spec.config_extra = LLAMA3;
    char *source = make_hf("factors-hf", &spec);
    trip t = trip_go(source, "factors", ASH_TYPE_KEEP);
    char *folder = export_as(t.gguf, "factors-out", "keep"), *ashlar = test_path("factors.ashlar");
    assert_same_model(ashlar, folder, false);
    trip_done(&t);
    spec = make_defaults();
    spec.rope_freqs = true; /* any numbers */
    char *gguf = make_gguf("any-factors", &spec), *any = test_path("any.ashlar"), *none = test_path("none");
    ash_error err;
    trip_convert(gguf, any, ASH_TYPE_KEEP);
    assert_int_equal(export(any, none, 0, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "rope factors other than Llama 3.1's"));
    assert_false(test_exists(none));
    free(source), free(folder), free(ashlar), free(gguf), free(any), free(none);
}

/* Quantized types decode exactly and are rounded to BF16; the smallest files that have them. */
static void test_quantized(void **state)
{
    (void)state;
    static const char *const types[] = { "q4_0", "q8_0", "q4_k", "q6_k" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        make_spec spec = make_defaults();
        char *source = make_hf("quant-hf", &spec), *folder = export_as(source, "quant", types[i]);
        char *ashlar = test_path("quant.ashlar");
        assert_non_null(strstr(notes, "16 quantized matrices become bf16"));
        ash_file *file = read_back_open(ashlar);
        ash_safetensors *st;
        ash_error err;
        assert_ok(ash_safetensors_open(folder, &st, &err), &err);
        for (uint32_t k = 0; k < ash_safetensors_count(st); k++) {
            const ash_st_tensor *t = ash_safetensors_tensor(st, k);
            const ash_tensor_record *record;
            const ash_member_record *member;
            size_t size;
            assert_int_equal(t->dtype, ASH_BF16);
            assert_true(read_back_find(file, t->name, &record, &member));
            uint8_t *stored = read_back(file, record, member, &size), *found = tensor_bytes(st, t);
            uint64_t count = t->size / 2;
            float *x = malloc(count * sizeof *x);
            ash_decode_row((ash_dtype)record->dtype, stored, (int64_t)count, x);
            for (uint64_t n = 0; n < count; n++) {
                uint16_t half;
                memcpy(&half, found + 2 * n, 2);
                if (half != ash_f32_to_bf16(x[n]))
                    fail_msg("%s: element %u", t->name, (unsigned)n);
            }
            free(stored), free(found), free(x);
        }
        ash_safetensors_close(st);
        ash_file_close(file);
        free(source), free(folder), free(ashlar);
    }
}

/* ---- quantization_config ---- */

static const char *text_at(const cJSON *o, const char *a, const char *b, const char *key)
{
    const char *text = ash_json_string(ash_json_get(ash_json_get(o, a), b), key);
    return text ? text : "none";
}

static void test_schemes(void **state)
{
    (void)state;
    static const struct { make_fp8 fp8; const char *weights, *inputs; bool dynamic; } cases[] = {
        { MAKE_FP8_STATIC, "tensor", "tensor", false },
        { MAKE_FP8_DYNAMIC, "tensor", "token", true },
        { MAKE_FP8_CHANNEL, "channel", "token", true },
        { MAKE_FP8_BLOCK, "block", "group", true },
        { MAKE_FP8_BLOCK, "block", "token", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.fp8 = cases[i].fp8, spec.tied = i == 1;
        spec.ffn = i == 4 ? 592 : 512; /* no multiple of a group */
        char *source = make_hf("scheme-hf", &spec), *folder = export_as(source, "scheme", "keep");
        cJSON *config = read_json(folder, "config.json");
        const cJSON *q = ash_json_get(config, "quantization_config"), *groups = ash_json_get(q, "config_groups");
        assert_string_equal(ash_json_string(q, "quant_method"), "compressed-tensors");
        assert_string_equal(ash_json_string(q, "format"), "float-quantized");
        assert_int_equal(cJSON_GetArraySize(groups), 1);
        assert_string_equal(text_at(groups, "group_0", "weights", "strategy"), cases[i].weights);
        assert_string_equal(text_at(groups, "group_0", "input_activations", "strategy"), cases[i].inputs);
        const cJSON *inputs = ash_json_get(ash_json_get(groups, "group_0"), "input_activations");
        assert_int_equal(cJSON_IsTrue(ash_json_get(inputs, "dynamic")) != 0, cases[i].dynamic);
        /* Also where the output matrix is the embedding: there is a module of this name. */
        assert_int_equal(cJSON_GetArraySize(ash_json_get(q, "ignore")), 1);
        assert_string_equal(cJSON_GetArrayItem(ash_json_get(q, "ignore"), 0)->valuestring, "lm_head");
        cJSON_Delete(config);
        free(source), free(folder);
    }
}

/* A matrix that is not FP8 is ignored by name, and two kinds of scales are two groups with names. */
static void test_mixed(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.fp8 = MAKE_FP8_CHANNEL;
    char *source = make_hf("mixed-hf", &spec), *half = test_path("mixed-half.ashlar"), *folder = test_path("mixed");
    char *ashlar = test_path("mixed.ashlar");
    ash_error err;
    ash_recipe recipe = { .type = ASH_TYPE_KEEP };
    assert_ok(ash_recipe_add(&recipe, "model.layers.1.self_attn.?_proj.weight=bf16", &err), &err);
    ash_convert_options options = { .recipe = &recipe, .force = true };
    assert_ok(ash_convert(source, half, &options, NULL, &err), &err);
    recipe = (ash_recipe){ .type = ASH_TYPE_KEEP };
    assert_ok(ash_recipe_add(&recipe, "model.layers.1.self_attn.q_proj.weight=f8_e4m3", &err), &err);
    assert_ok(ash_convert(half, ashlar, &options, NULL, &err), &err);
    assert_ok(export(ashlar, folder, 0, &err), &err);
    cJSON *config = read_json(folder, "config.json");
    const cJSON *q = ash_json_get(config, "quantization_config"), *groups = ash_json_get(q, "config_groups");
    assert_int_equal(cJSON_GetArraySize(groups), 2);
    assert_string_equal(text_at(groups, "group_0", "weights", "strategy"), "channel");
    assert_string_equal(text_at(groups, "group_1", "weights", "strategy"), "tensor");
    const cJSON *first = ash_json_get(ash_json_get(groups, "group_0"), "targets"),
                *second = ash_json_get(ash_json_get(groups, "group_1"), "targets"), *ignore = ash_json_get(q, "ignore");
    assert_int_equal(cJSON_GetArraySize(first), 2 * 7 - 4);
    assert_int_equal(cJSON_GetArraySize(second), 1);
    assert_string_equal(cJSON_GetArrayItem(second, 0)->valuestring, "model.layers.1.self_attn.q_proj");
    assert_int_equal(cJSON_GetArraySize(ignore), 4);
    assert_string_equal(cJSON_GetArrayItem(ignore, 0)->valuestring, "model.layers.1.self_attn.k_proj");
    cJSON_Delete(config);
    free(source), free(half), free(folder), free(ashlar);
}

/* ---- templates ---- */

/* The one for tools goes along, into a GGUF too. */
static void test_tool_template(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *source = make_hf("tool-hf", &spec), path[4096];
    static const char template[] = "{{ tools }} \"with\"\n";
    snprintf(path, sizeof path, "%s/additional_chat_templates", source);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/additional_chat_templates/tool_use.jinja", source);
    test_write_file(path, template, sizeof template - 1);
    char *folder = export_as(source, "tool", "keep"), *ashlar = test_path("tool.ashlar");
    assert_same_model(ashlar, folder, true);
    cJSON *config = read_json(folder, "tokenizer_config.json");
    const cJSON *list = ash_json_get(config, "chat_template");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    assert_string_equal(ash_json_string(cJSON_GetArrayItem(list, 1), "name"), "tool_use");
    assert_string_equal(ash_json_string(cJSON_GetArrayItem(list, 1), "template"), template);
    cJSON_Delete(config);
    trip t = trip_go(source, "tool", ASH_TYPE_KEEP);
    assert_gguf_text(t.g, "tokenizer.chat_template.tool_use", template);
    trip_done(&t);
    free(source), free(folder), free(ashlar);
}

static void test_without_tokenizer(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.tokenizer = false;
    char *gguf = make_gguf("mute", &spec), *folder = export_as(gguf, "mute-out", "keep");
    assert_string_equal(notes, "the file has no tokenizer: the folder has none\n");
    assert_int_equal(test_count_entries(folder), 4);
    free(gguf), free(folder);
}

/* ---- the folder ---- */

static int stop_half_way(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return done > total / 2;
}

static void test_folder(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    char *source = make_hf("folder-hf", &spec), *ashlar = test_path("folder.ashlar"), *dir = test_path("inside");
    char *out = test_path("inside/out"), *other = test_path("inside/out/notes.txt"), *below = test_path("x/y/sub/z");
    ash_error err;
    trip_convert(source, ashlar, ASH_TYPE_KEEP);
    rmdir(out);
    ash_export_options stop = { .progress = stop_half_way };
    assert_int_equal(ash_export_hf(ashlar, out, &stop, &err), ASH_E_CANCELLED);
    assert_int_equal(test_count_entries(dir), 0);
    assert_int_equal(mkdir(out, 0777), 0); /* an empty one is taken */
    assert_ok(ash_export_hf(ashlar, out, NULL, &err), &err);
    assert_int_equal(test_count_entries(out), 5);
    assert_int_equal(ash_export_hf(ashlar, out, NULL, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "already exists; use --force"));
    assert_ok(export(ashlar, out, 200000, &err), &err); /* with force */
    assert_int_equal(test_count_entries(dir), 1);
    test_write_file(other, "mine", 4);
    int count = test_count_entries(out);
    assert_int_equal(export(ashlar, out, 0, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "holds notes.txt, which no export writes"));
    assert_int_equal(test_count_entries(out), count);
    assert_int_equal(export(ashlar, ashlar, 0, &err), ASH_E_ARGUMENT);
    assert_int_equal(export(ashlar, other, 0, &err), ASH_E_ARGUMENT);
    assert_non_null(strstr(err.text, "is no folder"));
    static const char *const names[] = { "", ".", "..", "/", "//" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(export(ashlar, names[i], 0, &err), ASH_E_ARGUMENT);
    assert_int_equal(test_count_entries(dir), 1);
    free(source), free(ashlar), free(dir), free(out), free(other), free(below);
}

/* Any bytes of the directory and the tokenizer may be wrong behind right checksums: an error or a folder, no crash, and
 * nothing left behind. */
static void test_hostile(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 32, spec.ffn = 48, spec.heads = 2, spec.kv_heads = 1, spec.head_dim = 16, spec.fp8 = MAKE_FP8_CHANNEL;
    char *source = make_hf("hostile-hf", &spec), *path = test_path("hostile.ashlar"), *bad = test_path("bad.ashlar");
    char *out = test_path("hostile/out"), *dir = test_path("hostile");
    trip_convert(source, path, ASH_TYPE_KEEP);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size), *copy = malloc(size);
    test_rng rng = test_rng_start("hostile");
    int failed = 0, rounds = 200;
    for (int i = 0; i < rounds; i++) {
        trip_damage(bytes, size, &rng, copy);
        test_write_file(bad, copy, size);
        ash_error err;
        failed += export(bad, out, 0, &err) != ASH_OK;
        assert_true(test_count_entries(dir) <= 1);
    }
    print_message("# measure %d of %d damaged files are refused\n", failed, rounds);
    assert_true(failed > rounds / 8 && failed < rounds);
    free(bytes), free(copy), free(source), free(path), free(bad), free(out), free(dir);
}

/* ---- the writer ---- */

static void test_writer(void **state)
{
    (void)state;
    char *path = test_path("writer.safetensors"), *dir = test_path("nothing"), *bad = test_path("nothing/x");
    ash_error err;
    ash_safetensors_writer *w;
    ash_st_tensor t[2] = { { .name = "a \"\\\n\x01", .dtype = ASH_U8, .dim_count = 1, .shape = { 3 }, .size = 3 },
                           { .name = "b", .dtype = ASH_F32, .dim_count = 0, .size = 4 } };
    assert_ok(ash_safetensors_writer_create(path, true, t, 2, &w, &err), &err);
    assert_ok(ash_safetensors_writer_put(w, "abc1", 4, &err), &err);
    assert_ok(ash_safetensors_writer_put(w, "234", 3, &err), &err);
    assert_int_equal(ash_safetensors_writer_put(w, "5", 1, &err), ASH_E_ARGUMENT);
    assert_ok(ash_safetensors_writer_finish(w, &err), &err);
    ash_safetensors *st;
    assert_ok(ash_safetensors_open(path, &st, &err), &err);
    assert_int_equal(ash_safetensors_count(st), 2);
    const ash_st_tensor *a = ash_safetensors_find(st, t[0].name);
    assert_non_null(a);
    assert_int_equal((a->offset) % 8, 0);
    uint8_t *bytes = tensor_bytes(st, a);
    assert_memory_equal(bytes, "abc", 3);
    free(bytes);
    ash_safetensors_close(st);
    /* Not complete; a type without a name. */
    assert_ok(ash_safetensors_writer_create(bad, false, t, 2, &w, &err), &err);
    assert_int_equal(ash_safetensors_writer_finish(w, &err), ASH_E_ARGUMENT);
    t[1].dtype = ASH_Q4_K;
    assert_int_equal(ash_safetensors_writer_create(bad, false, t, 2, &w, &err), ASH_E_UNSUPPORTED);
    assert_int_equal(test_count_entries(dir), 0);
    free(path), free(dir), free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_shared_models),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_from_gguf),
        cmocka_unit_test(test_rope_factors),
        cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_tool_template),
        cmocka_unit_test(test_without_tokenizer),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
