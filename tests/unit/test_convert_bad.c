/* Sources that must be refused: a one-line error that names the file and the reason, and no output left behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"
#include "tests/support/make_gguf.h"
#include "tests/support/make_hf.h"

/* Converting `source` fails, with `text` and `file` in the error; the output's folder stays empty. */
static void refused(const char *source, const char *file, const char *text)
{
    char *out = test_path("bad-out/x.ashlar"), *dir = test_path("bad-out");
    ash_error err;
    memset(&err, 'x', sizeof err);
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .threads = 2 };
    ash_convert_result result;
    ash_status status = ash_convert(source, out, &options, &result, &err);
    if (status == ASH_OK)
        fail_msg("%s was converted, expected: %s", source, text);
    assert_int_equal(status, err.status);
    assert_non_null(memchr(err.text, 0, sizeof err.text));
    if (!strstr(err.text, text) || !strstr(err.text, file) || strchr(err.text, '\n'))
        fail_msg("the error is: %s\nexpected: %s, %s", err.text, file, text);
    assert_int_equal(result.tensors, 0);
    assert_int_equal(test_count_entries(dir), 0);
    free(out), free(dir);
}

static char *in_folder(const char *folder, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

/* The cases below stay readable with ' for ". */
static char *quoted(const char *text)
{
    char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return copy;
}

/* Replaces the first `from_text` in folder/name by `to_text`. */
static void edit(const char *folder, const char *name, const char *from_text, const char *to_text)
{
    char *from = quoted(from_text), *to = quoted(to_text);
    char *path = in_folder(folder, name);
    size_t size;
    char *text = (char *)test_read_file(path, &size), *at = memmem(text, size, from, strlen(from));
    if (!at)
        fail_msg("%s has no %s", path, from);
    size_t head = (size_t)(at - text), tail = size - head - strlen(from);
    char *changed = malloc(head + strlen(to) + tail);
    memcpy(changed, text, head);
    memcpy(changed + head, to, strlen(to));
    memcpy(changed + head + strlen(to), at + strlen(from), tail);
    test_write_file(path, changed, head + strlen(to) + tail);
    free(path), free(text), free(changed), free(from), free(to);
}

static char *fresh(make_spec *spec, uint32_t parts)
{
    *spec = make_defaults();
    spec->parts = parts;
    return make_hf(parts > 1 ? "shards" : "single", spec);
}

/* ---- a configuration against the shapes ---- */

static void test_config_disagrees(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *text; } cases[] = {
        { "'hidden_size': 256", "'hidden_size': 320",
          "config.json: hidden_size gives 320, but tensor model.embed_tokens.weight with shape [288, 256] has 256" },
        { "'vocab_size': 288", "'vocab_size': 300", "config.json: vocab_size gives 300, but tensor model" },
        { "'intermediate_size': 512", "'intermediate_size': 500",
          "config.json: intermediate_size gives 500, but tensor model.layers.0.mlp.gate_proj.weight" },
        { "'num_attention_heads': 4", "'num_attention_heads': 8",
          "config.json: num_attention_heads * head_dim gives 512, but tensor model.layers.0.self_attn.q_proj.weight" },
        { "'num_key_value_heads': 2", "'num_key_value_heads': 1",
          "config.json: num_key_value_heads * head_dim gives 64, but tensor model.layers.0.self_attn.k_proj.weight" },
        { "'head_dim': 64", "'head_dim': 32", "config.json: num_attention_heads * head_dim gives 128" },
        { "'num_hidden_layers': 2", "'num_hidden_layers': 3",
          "config.json: num_hidden_layers is 3, but tensor model.layers.2." },
        { "'num_hidden_layers': 2", "'num_hidden_layers': 1",
          "config.json: num_hidden_layers is 1, but there is a tensor model.layers.1." },
        { "LlamaForCausalLM", "Qwen2ForCausalLM", "tensor model.layers.0.self_attn.q_proj.bias is missing" },
        { "LlamaForCausalLM", "Qwen3ForCausalLM", "tensor model.layers.0.self_attn.q_norm.weight is missing" },
        { "LlamaForCausalLM", "FalconForCausalLM",
          "architecture FalconForCausalLM is not supported; supported are Llama" },
        { "'hidden_act': 'silu'", "'hidden_act': 'relu'", "config.json: hidden_act relu is not supported" },
        { "'hidden_size': 256", "'hidden_size': 256, 'hidden_size': 256", "config.json: " },
        { "'hidden_size': 256", "'hidden_size': 1e300", "config.json: hidden_size must be a whole number" },
        { "'hidden_size': 256", "'hidden_size': 0", "config.json: " },
        { "{", "{ broken", "config.json: " },
        { "'hidden_act'", "'attention_bias': true, 'hidden_act'",
          "tensor model.layers.0.self_attn.q_proj.bias is missing" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec;
        char *folder = fresh(&spec, 1);
        edit(folder, "config.json", cases[i].from, cases[i].to);
        refused(folder, "single", cases[i].text);
        free(folder);
    }
}

static void test_missing_files(void **state)
{
    (void)state;
    static const struct { const char *file, *text; } cases[] = {
        { "config.json", "config.json: is missing" },
        { "tokenizer.json", "tokenizer.json" },
        { "model.safetensors", "safetensors" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec;
        char *folder = fresh(&spec, 1), *path = in_folder(folder, cases[i].file);
        assert_int_equal(unlink(path), 0);
        refused(folder, "single", cases[i].text);
        free(folder), free(path);
    }
    make_spec spec;
    char *folder = fresh(&spec, 1), *weights = in_folder(folder, "model.safetensors");
    char *pickle = in_folder(folder, "pytorch_model.bin");
    unlink(weights);
    test_write_file(pickle, "x", 1);
    refused(folder, "single", "has pytorch_model.bin (pickled PyTorch weights), which are not read; safetensors are");
    unlink(pickle);
    free(folder), free(weights), free(pickle);
    char *nothing = test_path("no-such-model");
    refused(nothing, "no-such-model", "No such file");
    free(nothing);
}

/* ---- shards ---- */

static void test_shards(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *file, *text; } cases[] = {
        { "'lm_head.weight': 'model-00003-of-00003.safetensors'",
          "'lm_head.weight': 'model-00001-of-00003.safetensors'", "", "lm_head.weight" },
        { "'lm_head.weight'", "'made.up.weight': 'model-00003-of-00003.safetensors', 'lm_head.weight'", "",
          "made.up.weight" },
        { "'model-00002-of-00003.safetensors'", "'model-00009-of-00003.safetensors'", "", "model-00009-of-00003" },
        { "'model-00002-of-00003.safetensors'", "'../single/model.safetensors'", "index.json", "../single" },
        { "weight_map", "weight_mop", "index.json", "weight_map" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec;
        char *folder = fresh(&spec, 3);
        edit(folder, "model.safetensors.index.json", cases[i].from, cases[i].to);
        refused(folder, cases[i].file, cases[i].text);
        free(folder);
    }
    make_spec spec;
    char *folder = fresh(&spec, 3), *shard = in_folder(folder, "model-00002-of-00003.safetensors");
    size_t size;
    uint8_t *bytes = test_read_file(shard, &size);
    test_write_file(shard, bytes, size - 1);
    refused(folder, "model-00002-of-00003.safetensors", "");
    assert_int_equal(unlink(shard), 0);
    refused(folder, "model-00002-of-00003.safetensors", "this shard is missing");
    free(folder), free(shard), free(bytes);
}

/* A shard named by itself stands for its model. */
static void test_one_shard_named(void **state)
{
    (void)state;
    make_spec spec;
    char *folder = fresh(&spec, 3), *shard = in_folder(folder, "model-00002-of-00003.safetensors");
    ash_error err;
    ash_convert_result all, one;
    ash_convert_options options = { .type = ASH_TYPE_KEEP, .dry_run = true };
    assert_ok(ash_convert(folder, NULL, &options, &all, &err), &err);
    assert_ok(ash_convert(shard, NULL, &options, &one, &err), &err);
    assert_int_equal(all.members, one.members);
    free(folder), free(shard);
}

/* ---- tensors ---- */

static void test_tensors(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *text; } cases[] = { /* names in the header, same length */
        { "model.norm.weight", "model.nurm.weight", "tensor model.norm.weight is missing" },
        { "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_prij.weight",
          "num_hidden_layers is 2, but tensor model.layers.1.mlp.up_proj.weight is missing" },
        { "'vision.tower.weight.x'", "'model.layers.0.mlp.gate_proj.bias'",
          "tensor model.layers.0.mlp.gate_proj.bias (a feed-forward bias) is not supported for architecture llama" },
        { "'vision.tower.weight.x'", "'model.layers.0.block_sparse_moe.gate.weight'", "(mixture of experts)" },
        { "'vision.tower.weight.x'", "'model.layers.1.self_attn.q_norm.weight'", "(a norm of q" },
        { "'vision.tower.weight.x'", "'model.layers.1.self_attn.v_proj.bias'", "has no counterpart in layer 0" },
        { "'lm_head.weight':{'dtype':'BF16'", "'lm_head.weight':{'dtype':'I16'", "lm_head.weight is i16" },
        { "'model.norm.weight':{'dtype':'BF16'", "'model.norm.weight':{'dtype':'U16'", "model.norm.weight is u16" },
        { "'lm_head.weight':{'dtype':'BF16'", "'lm_head.weight':{'dtype':'BF17'", "BF17" },
        { "'lm_head.weight':{'dtype':'BF16','shape':[288,256]",
          "'lm_head.weight':{'dtype':'BF16','shape':[256,288]", "tensor lm_head.weight with shape [256, 288]" },
        { "'lm_head.weight':{'dtype':'BF16','shape':[288,256]",
          "'lm_head.weight':{'dtype':'BF16','shape':[288,16,16]", "tensor lm_head.weight has shape [288, 16, 16]" },
        { "'vision.tower.weight.x':{'dtype':'F32','shape':[3,5]",
          "'vision.tower.weight.x':{'dtype':'F32','shape':[1,1,1,3,5]", "has 5 dimensions; up to 4" },
        { "'lm_head.weight':{'dtype':'BF16','shape':[288,256]",
          "'lm_head.weight':{'dtype':'F8_E4M3','shape':[576,256]", "vocab_size gives 288" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.extra = "vision.tower.weight.x";
        char *folder = make_hf("tensors", &spec), *path = in_folder(folder, "model.safetensors");
        edit(folder, "model.safetensors", cases[i].from, cases[i].to);
        /* The header's length follows its text; the padding behind it takes what is needed. */
        size_t size;
        uint8_t *bytes = test_read_file(path, &size);
        uint64_t length;
        memcpy(&length, bytes, 8);
        length += strlen(cases[i].to) - strlen(cases[i].from);
        memcpy(bytes, &length, 8);
        test_write_file(path, bytes, size);
        refused(folder, "tensors", cases[i].text);
        free(folder), free(path), free(bytes);
    }
}

static void test_fp8(void **state)
{
    (void)state;
    static const struct { make_fp8 kind; const char *file, *from, *to, *text; } cases[] = {
        { MAKE_FP8_STATIC, "model.safetensors", "layers.0.self_attn.q_proj.weight_scale",
          "layers.0.self_attn.q_proj.weight_scole",
          "q_proj.weight is f8_e4m3, but has no weight_scale" },
        { MAKE_FP8_STATIC, "model.safetensors", "layers.0.self_attn.q_proj.input_scale",
          "layers.0.self_attn.q_proj.inpot_scale",
          "q_proj.weight has no input_scale beside it" },
        { MAKE_FP8_CHANNEL, "model.safetensors", "q_proj.weight_scale':{'dtype':'BF16','shape':[256,1]",
          "q_proj.weight_scale':{'dtype':'BF16','shape':[128,2]", "which does not fit" },
        { MAKE_FP8_BLOCK, "config.json", "'quantization_config'", "'quantization_canfig'", "no quantization_config" },
        { MAKE_FP8_BLOCK, "config.json", "[128, 128]", "[64, 64]", "weight_block_size other than [128, 128]" },
        { MAKE_FP8_STATIC, "config.json", "compressed-tensors", "awq", "quant_method awq is not supported" },
        { MAKE_FP8_STATIC, "config.json", "float-quantized", "nvfp4-pack-quantized",
          "nvfp4-pack-quantized is not supported" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.fp8 = cases[i].kind;
        char *folder = make_hf("fp8", &spec);
        edit(folder, cases[i].file, cases[i].from, cases[i].to);
        refused(folder, "fp8", cases[i].text);
        free(folder);
    }
}

/* ---- GGUF ---- */

static void test_gguf(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *text; } cases[] = { /* the same length: only bytes change */
        { "\x05\0\0\0\0\0\0\0llama", "\x05\0\0\0\0\0\0\0bloom",
          "architecture bloom is not supported; supported are llama" },
        { "blk.1.ffn_up.weight", "blk.1.ffn_op.weight", "block_count is 2, but tensor blk.1.ffn_up.weight is missing" },
        { "output_norm.weight", "output_nurm.weight", "tensor output_norm.weight is missing" },
        { "token_embd.weight", "token_embx.weight", "tensor token_embd.weight is missing" },
        { "blk.0.attn_v.weight", "blk.5.attn_v.weight", "block_count is 2, but there is a tensor blk.5.attn_v.weight" },
        { "an.extra.weight.w", "blk.0.ffn_up.bias", "(a feed-forward bias) is not supported" },
        { "llama.embedding_length\x04\0\0\0\0\x01", "llama.embedding_length\x04\0\0\0\x40\x01",
          "embedding_length gives 320, but tensor token_embd.weight with shape [256, 288] has 256 columns" },
        { "tokenizer.ggml.pre\x08\0\0\0\x09\0\0\0\0\0\0\0llama-bpe",
          "tokenizer.ggml.pre\x08\0\0\0\x09\0\0\0\0\0\0\0llama-bpx", "llama-bpx" },
    };
    static const size_t sizes[] = { 13, 19, 18, 17, 19, 17, 28, 39 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.extra = "an.extra.weight.w";
        char *path = make_gguf("bad", &spec);
        size_t size;
        uint8_t *bytes = test_read_file(path, &size), *at = memmem(bytes, size, cases[i].from, sizes[i]);
        if (!at)
            fail_msg("case %zu is not in the file", i);
        memcpy(at, cases[i].to, sizes[i]);
        test_write_file(path, bytes, size);
        refused(path, "bad.gguf", cases[i].text);
        free(path), free(bytes);
    }
    static const struct { ash_dtype dtype; const char *text; } types[] = {
        { ASH_IQ4_NL, "token_embd.weight is iq4_nl, which is not supported; f32, f16" },
        { ASH_Q2_K, "token_embd.weight is q2_k, which is not supported" },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        make_spec spec = make_defaults();
        spec.dtype = types[i].dtype;
        char *path = make_gguf("type", &spec);
        refused(path, "type.gguf", types[i].text);
        free(path);
    }
    make_spec spec = make_defaults();
    spec.parts = 3;
    char *first = make_gguf("part", &spec), *second = test_path("part-00002-of-00003.gguf");
    assert_int_equal(unlink(second), 0);
    refused(first, "part-00002-of-00003.gguf", "part 2 of 3 of this model is missing");
    free(first), free(second);
}

/* A file cut anywhere: refused, whatever is left of it. */
static void test_truncated(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.layers = 1, spec.hidden = 64, spec.ffn = 64, spec.heads = 1, spec.kv_heads = 1;
    char *path = make_gguf("cut", &spec);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size);
    test_rng rng = test_rng_start("cut");
    for (int i = 0; i < 100; i++) {
        size_t left = i < 24 ? (size_t)i : test_rng_below(&rng, i % 2 ? size : 20000 < size ? 20000 : size);
        test_write_file(path, bytes, left);
        refused(path, "cut.gguf", "");
    }
    free(path), free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_disagrees), cmocka_unit_test(test_missing_files), cmocka_unit_test(test_shards),
        cmocka_unit_test(test_one_shard_named), cmocka_unit_test(test_tensors), cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_gguf), cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
