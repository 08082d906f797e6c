/* config.json in its old and new spellings, and GGUF keys, to hyperparameters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"
#include "format/gguf_write.h"
#include "tests/support/support.h"

enum { FORMAT = ASH_E_FORMAT, UNSUPPORTED = ASH_E_UNSUPPORTED };

/* ---- config.json ---- */

#define SIZES "'hidden_size': 512, 'num_hidden_layers': 3, 'num_attention_heads': 8, 'intermediate_size': 1536, " \
              "'vocab_size': 1000"
#define LLAMA "'architectures': ['LlamaForCausalLM'], " SIZES

static ash_status import(const char *json, ash_import *out, ash_error *err)
{
    char *path = test_path("model/config.json"), *folder = test_path("model"), text[4096];
    snprintf(text, sizeof text, "{%s}", json);
    for (char *c = text; *c; c++) /* the cases below stay readable with ' for " */
        *c = *c == '\'' ? '"' : *c;
    test_write_file(path, text, strlen(text));
    ash_source source = { .kind = ASH_SOURCE_HF, .folder = folder, .path = folder };
    ash_status status = ash_import_hf(&source, out, err);
    free(path), free(folder);
    return status;
}

static ash_hparams good(const char *json)
{
    ash_import out;
    ash_error err;
    assert_ok(import(json, &out, &err), &err);
    assert_string_equal(out.name, "model");
    ash_hparams h = out.h;
    assert_int_equal(out.row_order, ASH_ROWS_HALVES);
    ash_import_free(&out);
    return h;
}

static void test_defaults(void **state)
{
    (void)state;
    ash_hparams h = good(LLAMA);
    assert_string_equal(h.architecture, "llama");
    assert_int_equal(h.layers, 3);
    assert_int_equal(h.kv_heads, 8);
    assert_int_equal(h.head_dim, 64);
    assert_int_equal(h.rope_dim, 64);
    assert_int_equal(h.context, 2048);
    assert_true(h.rope_theta == 10000.0f && h.norm_eps == 1e-6f);
    assert_int_equal(h.rope_scaling, ASH_ROPE_NONE);
    assert_int_equal(h.sliding_window, 0);
    h = good("'architectures': ['Qwen3ForCausalLM'], " SIZES);
    assert_int_equal(h.head_dim, 128); /* not hidden_size / heads */
    assert_int_equal(good("'model_type': 'qwen2', " SIZES).head_dim, 64);
    h = good(LLAMA ", 'head_dim': 32, 'num_key_value_heads': 2, 'max_position_embeddings': 77, 'rms_norm_eps': 1e-5");
    assert_int_equal(h.head_dim, 32);
    assert_int_equal(h.kv_heads, 2);
    assert_int_equal(h.context, 77);
    assert_true(h.norm_eps == 1e-5f);
    h = good(LLAMA ", 'head_dim': null, 'num_key_value_heads': null, 'rope_scaling': null, 'rope_theta': null");
    assert_int_equal(h.head_dim, 64);
}

static void test_rope(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "'rope_theta': 500000.0, 'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, "
        "'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192}",
        "'rope_theta': 500000.0, 'rope_scaling': {'type': 'llama3', 'factor': 8, 'low_freq_factor': 1, "
        "'high_freq_factor': 4, 'original_max_position_embeddings': 8192}",
        "'rope_parameters': {'rope_theta': 500000.0, 'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, "
        "'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192}",
    };
    for (int i = 0; i < 3; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s, %s", LLAMA, spellings[i]);
        ash_hparams h = good(text);
        assert_true(h.rope_theta == 500000.0f);
        assert_int_equal(h.rope_scaling, ASH_ROPE_LLAMA3);
        assert_true(h.rope_factor == 8 && h.rope_low == 1 && h.rope_high == 4);
        assert_int_equal(h.rope_original_context, 8192);
    }
    ash_hparams h = good(LLAMA ", 'rope_scaling': {'type': 'linear', 'factor': 2.5}");
    assert_int_equal(h.rope_scaling, ASH_ROPE_LINEAR);
    assert_true(h.rope_factor == 2.5f);
    h = good(LLAMA ", 'rope_parameters': {'rope_theta': 7.0, 'rope_type': 'default'}");
    assert_int_equal(h.rope_scaling, ASH_ROPE_NONE);
    assert_true(h.rope_theta == 7.0f);
    h = good(LLAMA ", 'max_position_embeddings': 32768, 'rope_scaling': {'type': 'yarn', 'factor': 4.0}");
    assert_int_equal(h.rope_scaling, ASH_ROPE_YARN);
    assert_int_equal(h.rope_original_context, 32768);
    assert_true(h.rope_low == 1 && h.rope_high == 32 && h.rope_attention_factor == 0);
    h = good(LLAMA ", 'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 4096, "
                   "'beta_fast': 16, 'beta_slow': 2, 'attention_factor': 1.5}");
    assert_int_equal(h.rope_original_context, 4096);
    assert_true(h.rope_low == 2 && h.rope_high == 16 && h.rope_attention_factor == 1.5f);
}

static void test_sliding_window(void **state)
{
    (void)state;
#define MISTRAL "'architectures': ['MistralForCausalLM'], " SIZES
#define QWEN2 "'architectures': ['Qwen2ForCausalLM'], " SIZES
    ash_hparams h = good(MISTRAL ", 'sliding_window': 4096");
    assert_string_equal(h.architecture, "llama");
    assert_int_equal(h.sliding_window, 4096);
    assert_int_equal(good(MISTRAL ", 'sliding_window': null").sliding_window, 0);
    assert_int_equal(good(MISTRAL).sliding_window, 4096); /* the default of transformers' MistralConfig */
    assert_int_equal(good(LLAMA ", 'sliding_window': 4096").sliding_window, 0);
    assert_int_equal(good(QWEN2 ", 'sliding_window': 4096, 'use_sliding_window': false").sliding_window, 0);
    assert_int_equal(good(QWEN2 ", 'sliding_window': 4096, 'use_sliding_window': true, 'max_window_layers': 0")
                         .sliding_window, 4096);
    assert_int_equal(good(QWEN2 ", 'sliding_window': 4096, 'use_sliding_window': true").sliding_window, 0);
    assert_int_equal(good(QWEN2 ", 'sliding_window': 64, 'use_sliding_window': true, 'layer_types': "
                                "['sliding_attention', 'sliding_attention', 'sliding_attention']").sliding_window, 64);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *json, *text; int status; } cases[] = {
        { "'architectures': ['GemmaForCausalLM'], " SIZES,
          "GemmaForCausalLM is not supported; supported are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM",
          UNSUPPORTED },
        { "'architectures': [], " SIZES, "architectures must be a list with one name", FORMAT },
        { SIZES, "architectures is missing", FORMAT },
        { "'model_type': 'bert', " SIZES, "model_type bert is not supported", UNSUPPORTED },
        { "'architectures': ['LlamaForCausalLM']", "num_hidden_layers is missing", FORMAT },
        { LLAMA ", 'hidden_act': 'gelu'", "hidden_act gelu is not supported; silu is", UNSUPPORTED },
        { LLAMA ", 'mlp_bias': true", "mlp_bias", UNSUPPORTED },
        { LLAMA ", 'head_dim': -64", "head_dim must be a whole number", FORMAT },
        { LLAMA ", 'head_dim': 64.5", "head_dim must be a whole number", FORMAT },
        { LLAMA ", 'rope_theta': 'big'", "rope_theta must be a number", FORMAT },
        { LLAMA ", 'rope_scaling': {'type': 'dynamic', 'factor': 2}",
          "rope_scaling: rope_type dynamic is not supported", UNSUPPORTED },
        { LLAMA ", 'rope_scaling': {'rope_type': 'longrope'}", "rope_type longrope is not supported", UNSUPPORTED },
        { LLAMA ", 'rope_scaling': {'rope_type': 'llama3', 'factor': 8}", "low_freq_factor is missing", FORMAT },
        { LLAMA ", 'rope_scaling': 3", "rope_scaling must be an object", FORMAT },
        { LLAMA ", 'partial_rotary_factor': 0.5", "partial_rotary_factor 0.5", UNSUPPORTED },
        { LLAMA ", 'num_key_value_heads': 3", "kv_heads", FORMAT },
        { LLAMA ", 'tie_word_embeddings': 1", "tie_word_embeddings must be true or false", FORMAT },
        { QWEN2 ", 'sliding_window': 64, 'use_sliding_window': true, 'max_window_layers': 1",
          "in 2 of 3 layers", UNSUPPORTED },
        { LLAMA ", 'quantization_config': {'quant_method': 'gptq'}",
          "quant_method gptq is not supported", UNSUPPORTED },
        { LLAMA ", 'quantization_config': {'quant_method': 'mxfp4'}", "quant_method mxfp4", UNSUPPORTED },
        { LLAMA ", 'quantization_config': {'quant_method': 'fp8', 'weight_block_size': [64, 128]}",
          "weight_block_size", UNSUPPORTED },
        { LLAMA ", 'quantization_config': {'quant_method': 'compressed-tensors', 'format': 'pack-quantized'}",
          "format pack-quantized is not supported", UNSUPPORTED },
        { LLAMA ", 'quantization_config': {'quant_method': 'compressed-tensors', 'config_groups': {'g': {'weights': "
                "{'type': 'int', 'num_bits': 8}}}}", "must be 8-bit floats", UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_import out;
        ash_error err;
        ash_status status = import(cases[i].json, &out, &err);
        if ((int)status != cases[i].status || !strstr(err.text, cases[i].text) || !strstr(err.text, "config.json"))
            fail_msg("{%s} gave %d: %s", cases[i].json, status, status ? err.text : "no error");
        assert_null(out.name);
    }
}

static void test_quantization(void **state)
{
    (void)state;
    ash_import out;
    ash_error err;
#define GROUP(inputs) LLAMA ", 'quantization_config': {'quant_method': 'compressed-tensors', 'format': " \
                      "'float-quantized', 'config_groups': {'group_0': {'weights': {'type': 'float', 'num_bits': 8, " \
                      "'strategy': 'channel', 'symmetric': true}, 'input_activations': " inputs "}}}"
    assert_ok(import(GROUP("{'type': 'float', 'num_bits': 8, 'dynamic': true, 'strategy': 'token'}"), &out, &err),
              &err);
    assert_true(out.fp8 && out.fp8_dynamic && !out.fp8_static);
    ash_import_free(&out);
    assert_ok(import(GROUP("{'type': 'float', 'num_bits': 8, 'dynamic': false, 'strategy': 'tensor'}"), &out, &err),
              &err);
    assert_true(out.fp8 && !out.fp8_dynamic && out.fp8_static);
    ash_import_free(&out);
    assert_ok(import(GROUP("null"), &out, &err), &err);
    assert_true(out.fp8 && !out.fp8_dynamic && !out.fp8_static);
    ash_import_free(&out);
    assert_ok(import(LLAMA ", 'quantization_config': {'quant_method': 'fp8', 'weight_block_size': [128, 128], "
                           "'activation_scheme': 'dynamic'}", &out, &err), &err);
    assert_true(out.fp8 && out.fp8_dynamic);
    ash_import_free(&out);
}

/* ---- chat template ---- */

static void expect_templates(const char *expected, const char *for_tools, uint32_t left_out)
{
    ash_error err;
    ash_import import = { 0 };
    char *folder = test_path("template");
    assert_ok(ash_import_hf_templates(folder, &import, &err), &err);
    assert_int_equal(import.chat_template != NULL, expected != NULL);
    assert_int_equal(import.tool_template != NULL, for_tools != NULL);
    if (expected)
        assert_string_equal(import.chat_template, expected);
    if (for_tools)
        assert_string_equal(import.tool_template, for_tools);
    assert_int_equal(import.templates_left_out, left_out);
    ash_import_free(&import);
    free(folder);
}

static void write_text(const char *name, const char *text)
{
    char *path = test_path(name);
    test_write_file(path, text, strlen(text));
    free(path);
}

static void test_template(void **state)
{
    (void)state;
    write_text("template/tokenizer_config.json", "{}");
    expect_templates(NULL, NULL, 0);
    write_text("template/chat_template.json", "{\"chat_template\": \"old\"}");
    expect_templates("old", NULL, 0);
    write_text("template/tokenizer_config.json", "{\"chat_template\": \"one\"}");
    expect_templates("one", NULL, 0);
    write_text("template/tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"}, {\"name\": \"rag\", \"template\": "
               "\"y\"}, {\"name\": \"default\", \"template\": \"two\"}, {\"name\": 3}, 4]}");
    expect_templates("two", "x", 1);
    write_text("template/chat_template.jinja", "three\n");
    expect_templates("three\n", NULL, 0);
    write_text("template/additional_chat_templates/tool_use.jinja", "four");
    write_text("template/additional_chat_templates/default.jinja", "not this");
    write_text("template/additional_chat_templates/README.md", "nor this");
    write_text("template/additional_chat_templates/rag.jinja", "five");
    expect_templates("three\n", "four", 1);
}

static void test_template_refused(void **state)
{
    (void)state;
    ash_error err;
    ash_import import = { 0 };
    char *folder = test_path("refused"), *path = test_path("refused/chat_template.jinja");
    test_write_file(path, "a\0b", 3);
    assert_int_equal(ash_import_hf_templates(folder, &import, &err), ASH_E_FORMAT);
    assert_non_null(strstr(err.text, "chat_template.jinja"));
    assert_non_null(strstr(err.text, "NUL"));
    char *large = malloc((1 << 20) + 1);
    memset(large, 'x', (1 << 20) + 1);
    test_write_file(path, large, (1 << 20) + 1);
    assert_int_equal(ash_import_hf_templates(folder, &import, &err), ASH_E_LIMIT);
    ash_import_free(&import);
    free(large), free(folder), free(path);
}

/* ---- GGUF ---- */

typedef struct pairs {
    const char *arch;
    /* kind: 0 end, 1 u32, 2 f32, 3 text */
    struct { const char *key; int kind; double value; const char *text; } extra[4];
} pairs;

static void finish_with_embedding(ash_gguf_writer *w)
{
    const uint64_t dims[4] = { 8, 300, 1, 1 };
    uint8_t *zeros = calloc(8 * 300, 4);
    ash_error err;
    assert_ok(ash_gguf_writer_tensor(w, "token_embd.weight", ASH_F32, 2, dims, &err), &err);
    assert_ok(ash_gguf_writer_put(w, zeros, 8 * 300 * 4, &err), &err);
    assert_ok(ash_gguf_writer_finish(w, &err), &err);
    free(zeros);
}

static ash_status import_gguf(const pairs *p, ash_import *out, ash_error *err)
{
    static const struct { const char *key; uint32_t value; } base[] = {
        { "block_count", 3 }, { "context_length", 2048 }, { "embedding_length", 512 }, { "feed_forward_length", 1536 },
        { "attention.head_count", 8 },
    };
    char *path = test_path("keys.gguf"), key[128];
    const char *arch = p->arch ? p->arch : "llama";
    ash_gguf_writer *w;
    assert_ok(ash_gguf_writer_create(path, true, 3, 32, &w, err), err);
    assert_ok(ash_gguf_writer_kv_string(w, "general.architecture", arch, strlen(arch), err), err);
    for (size_t i = 0; i < sizeof base / sizeof *base; i++) {
        bool given = false;
        for (int e = 0; e < 4 && p->extra[e].kind; e++)
            given |= strcmp(p->extra[e].key, base[i].key) == 0;
        snprintf(key, sizeof key, "%s.%s", arch, base[i].key);
        if (!given)
            assert_ok(ash_gguf_writer_kv_u32(w, key, base[i].value, err), err);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    assert_ok(ash_gguf_writer_kv_f32(w, key, 1e-5f, err), err);
    for (int e = 0; e < 4 && p->extra[e].kind; e++) {
        snprintf(key, sizeof key, "%s.%s", arch, p->extra[e].key);
        if (p->extra[e].kind == 1)
            assert_ok(ash_gguf_writer_kv_u32(w, key, (uint32_t)p->extra[e].value, err), err);
        else if (p->extra[e].kind == 2)
            assert_ok(ash_gguf_writer_kv_f32(w, key, (float)p->extra[e].value, err), err);
        else
            assert_ok(ash_gguf_writer_kv_string(w, key, p->extra[e].text, strlen(p->extra[e].text), err), err);
    }
    finish_with_embedding(w);
    ash_source source;
    assert_ok(ash_source_open(path, &source, err), err);
    ash_status status = ash_import_gguf(&source, out, err);
    ash_source_close(&source);
    free(path);
    return status;
}

static ash_hparams good_gguf(const pairs *p)
{
    ash_import out;
    ash_error err;
    assert_ok(import_gguf(p, &out, &err), &err);
    ash_hparams h = out.h;
    assert_int_equal(out.row_order, strcmp(h.architecture, "llama") == 0 ? ASH_ROWS_SAME : ASH_ROWS_HALVES);
    ash_import_free(&out);
    return h;
}

static void test_gguf(void **state)
{
    (void)state;
    ash_hparams h = good_gguf(&(pairs){ 0 });
    assert_int_equal(h.vocab, 300);
    assert_int_equal(h.kv_heads, 8);
    assert_int_equal(h.head_dim, 64);
    assert_int_equal(h.rope_dim, 64);
    assert_true(h.rope_theta == 10000.0f);
    h = good_gguf(&(pairs){ .arch = "qwen3", .extra = { { "attention.key_length", 1, 128, NULL },
                            { "attention.value_length", 1, 128, NULL }, { "attention.head_count_kv", 1, 2, NULL },
                            { "rope.freq_base", 2, 1e6, NULL } } });
    assert_int_equal(h.head_dim, 128);
    assert_int_equal(h.kv_heads, 2);
    assert_true(h.rope_theta == 1e6f);
    h = good_gguf(&(pairs){ .extra = { { "rope.scaling.type", 3, 0, "linear" }, { "rope.scaling.factor", 2, 4, NULL },
                                       { "attention.sliding_window", 1, 1024, NULL } } });
    assert_int_equal(h.rope_scaling, ASH_ROPE_LINEAR);
    assert_true(h.rope_factor == 4);
    assert_int_equal(h.sliding_window, 1024);
    h = good_gguf(&(pairs){ .extra = { { "rope.scaling.factor", 2, 4, NULL } } }); /* a factor alone is linear */
    assert_int_equal(h.rope_scaling, ASH_ROPE_LINEAR);
    assert_true(h.rope_factor == 4);
    assert_int_equal(good_gguf(&(pairs){ .extra = { { "rope.scale_linear", 2, 0, NULL } } }).rope_scaling, ASH_ROPE_NONE);
    h = good_gguf(&(pairs){ .arch = "qwen2", .extra = { { "rope.scaling.type", 3, 0, "yarn" },
                            { "rope.scaling.factor", 2, 4, NULL },
                            { "rope.scaling.original_context_length", 1, 512, NULL },
                            { "rope.scaling.attn_factor", 2, 2, NULL } } });
    assert_int_equal(h.rope_scaling, ASH_ROPE_YARN);
    assert_int_equal(h.rope_original_context, 512);
    assert_true(fabs((double)h.rope_attention_factor - 2 * (0.1 * log(4.0) + 1)) < 1e-6);
    assert_int_equal(good_gguf(&(pairs){ .extra = { { "rope.dimension_count", 1, 32, NULL } } }).rope_dim, 32);
}

static void test_gguf_templates(void **state)
{
    (void)state;
    static const char *const keys[][2] = { { "tokenizer.chat_template", "one" }, { "tokenizer.chat_template.rag", "two" },
                                           { "tokenizer.chat_template.tool_use", "three" },
                                           { "tokenizer.chat_templates", "no template" } };
    char *path = test_path("templates.gguf");
    ash_error err;
    ash_gguf_writer *w;
    ash_gguf *g;
    ash_import import = { 0 };
    assert_ok(ash_gguf_writer_create(path, true, 3, 32, &w, &err), &err);
    for (size_t i = 0; i < 4; i++)
        assert_ok(ash_gguf_writer_kv_string(w, keys[i][0], keys[i][1], strlen(keys[i][1]), &err), &err);
    finish_with_embedding(w);
    assert_ok(ash_gguf_open(path, &g, &err), &err);
    assert_ok(ash_import_gguf_templates(g, &import, &err), &err);
    assert_string_equal(import.chat_template, "one");
    assert_string_equal(import.tool_template, "three");
    assert_int_equal(import.templates_left_out, 1);
    ash_import_free(&import);
    ash_gguf_close(g);
    free(path);
}

static void test_gguf_refused(void **state)
{
    (void)state;
    static const struct { pairs p; const char *text; int status; } cases[] = {
        { { .arch = "gemma3" },
          "architecture gemma3 is not supported; supported are llama, qwen2, qwen3", UNSUPPORTED },
        { { .extra = { { "expert_count", 1, 8, NULL } } }, "llama.expert_count is 8: mixture of experts", UNSUPPORTED },
        { { .extra = { { "rope.scaling.type", 1, 1, NULL } } }, "llama.rope.scaling.type is no string", FORMAT },
        { { .extra = { { "rope.scaling.type", 3, 0, "longrope" } } },
          "rope.scaling.type longrope is not supported", UNSUPPORTED },
        { { .extra = { { "rope.scaling.type", 3, 0, "yarn" } } }, "rope.scaling.factor is missing", FORMAT },
        { { .extra = { { "attention.head_count", 1, 0, NULL } } }, "attention.head_count is 0", FORMAT },
        { { .extra = { { "attention.head_count", 2, 8, NULL } } }, "must be a whole number", FORMAT },
        { { .extra = { { "block_count", 1, 0, NULL } } }, "layers", FORMAT },
        { { .extra = { { "attention.value_length", 1, 32, NULL } } }, "value_length 32 differs", UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ash_import out;
        ash_error err;
        ash_status status = import_gguf(&cases[i].p, &out, &err);
        if ((int)status != cases[i].status || !strstr(err.text, cases[i].text) || !strstr(err.text, "keys.gguf"))
            fail_msg("case %zu gave %d: %s", i, status, status ? err.text : "no error");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_rope), cmocka_unit_test(test_sliding_window),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_quantization), cmocka_unit_test(test_template),
        cmocka_unit_test(test_template_refused), cmocka_unit_test(test_gguf_templates),
        cmocka_unit_test(test_gguf), cmocka_unit_test(test_gguf_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
