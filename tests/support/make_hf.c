#include "tests/support/make_hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/halffloat.h"
#include "format/safetensors_write.h"

/* ---- safetensors ---- */

static FILE *open_text(char **text, size_t *size)
{
    FILE *f = open_memstream(text, size);
    assert_non_null(f);
    return f;
}

void make_safetensors(const char *path, const make_tensor *tensors, size_t count)
{
    ash_error err;
    ash_safetensors_writer *w;
    ash_st_tensor *list = calloc(count + 1, sizeof *list);
    assert_non_null(list);
    for (size_t i = 0; i < count; i++) {
        const make_tensor *t = &tensors[i];
        list[i] = (ash_st_tensor){ .name = t->name, .dtype = t->dtype, .dim_count = t->dim_count, .size = t->size };
        memcpy(list[i].shape, t->dims, sizeof t->dims);
    }
    assert_ok(ash_safetensors_writer_create(path, true, list, (uint32_t)count, &w, &err), &err);
    for (size_t i = 0; i < count; i++)
        assert_ok(ash_safetensors_writer_put(w, tensors[i].bytes, tensors[i].size, &err), &err);
    assert_ok(ash_safetensors_writer_finish(w, &err), &err);
    free(list);
}

/* ---- JSON files ---- */

static void finish(const char *folder, const char *name, FILE *f, char **text, size_t *size)
{
    fclose(f);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_write_file(path, *text, *size);
    free(*text);
}

static void escaped(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

static void write_quantization(FILE *f, make_fp8 kind)
{
    if (kind == MAKE_FP8_BLOCK) {
        fprintf(f, ",\n  \"quantization_config\": {\"quant_method\": \"fp8\", "
                   "\"fmt\": \"e4m3\", \"activation_scheme\": \"dynamic\", "
                   "\"weight_block_size\": [128, 128]}");
        return;
    }
    const char *inputs = kind == MAKE_FP8_STATIC ? "tensor" : "token";
    const char *weights = kind == MAKE_FP8_CHANNEL ? "channel" : "tensor";
    fprintf(f, ",\n  \"quantization_config\": {\"quant_method\": \"compressed-tensors\", "
               "\"format\": \"float-quantized\", \"quantization_status\": \"compressed\", "
               "\"ignore\": [\"lm_head\"], \"kv_cache_scheme\": null, "
               "\"config_groups\": {\"group_0\": {\"targets\": [\"Linear\"], \"output_activations\": null, "
               "\"input_activations\": {\"num_bits\": 8, \"type\": \"float\", \"symmetric\": true, "
               "\"strategy\": \"%s\", \"dynamic\": %s}, \"weights\": {\"num_bits\": 8, "
               "\"type\": \"float\", \"symmetric\": true, \"strategy\": \"%s\", \"dynamic\": false}}}}",
            inputs, kind == MAKE_FP8_STATIC ? "false" : "true", weights);
}

static void write_config(const char *folder, const make_spec *s)
{
    char *text;
    size_t size;
    FILE *f = open_text(&text, &size);
    const char *class = strcmp(s->architecture, "llama") == 0 ? "Llama"
                      : strcmp(s->architecture, "qwen2") == 0 ? "Qwen2" : "Qwen3";
    const char *type = s->dtype == ASH_F32 ? "float32" : s->dtype == ASH_F16 ? "float16" : "bfloat16";
    fprintf(f, "{\n  \"architectures\": [\"%sForCausalLM\"],\n  \"model_type\": \"%s\",\n", class, s->architecture);
    fprintf(f, "  \"hidden_act\": \"silu\",\n  \"num_hidden_layers\": %u,\n", s->layers);
    fprintf(f, "  \"hidden_size\": %u,\n  \"intermediate_size\": %u,\n", s->hidden, s->ffn);
    fprintf(f, "  \"num_attention_heads\": %u,\n  \"num_key_value_heads\": %u,\n", s->heads, s->kv_heads);
    fprintf(f, "  \"head_dim\": %u,\n  \"vocab_size\": %u,\n", s->head_dim, s->vocab);
    fprintf(f, "  \"max_position_embeddings\": %u,\n  \"rms_norm_eps\": 1e-05,\n", s->context);
    fprintf(f, "  \"bos_token_id\": %d,\n  \"eos_token_id\": %d,\n  \"tie_word_embeddings\": %s,\n", MAKE_BOS, MAKE_EOS,
            s->tied ? "true" : "false");
    if (s->old_config)
        fprintf(f, "  \"torch_dtype\": \"%s\",\n  \"rope_theta\": 10000.0", type);
    else
        fprintf(f, "  \"dtype\": \"%s\",\n  \"rope_parameters\": {\"rope_theta\": 10000.0, "
                   "\"rope_type\": \"default\"}", type);
    if (s->config_extra)
        fprintf(f, ",\n  %s", s->config_extra);
    if (s->fp8 != MAKE_FP8_NONE)
        write_quantization(f, s->fp8);
    fprintf(f, "\n}\n");
    finish(folder, "config.json", f, &text, &size);

    f = open_text(&text, &size);
    fprintf(f, "{\"bos_token_id\": %d, \"eos_token_id\": [%d, %d]}\n", MAKE_BOS, MAKE_EOS, MAKE_IM_END);
    finish(folder, "generation_config.json", f, &text, &size);
}

/* The expressions that Llama 3 and Qwen2 carry, as JSON text. */
static const char llama_split[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|"
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";
static const char qwen_split[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}|"
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";

static void write_tokenizer(const char *folder, const make_spec *s)
{
    char *text, token[64];
    size_t size;
    FILE *f = open_text(&text, &size);
    fprintf(f, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
    for (uint32_t id = MAKE_BOS; id < MAKE_VOCAB_MIN; id++) {
        make_token(id, token);
        fprintf(f, "%s{\"id\":%u,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                   "\"normalized\":false,\"special\":true}", id > MAKE_BOS ? "," : "", id, token);
    }
    fprintf(f, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
               "\"pattern\":{\"Regex\":\"%s\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
               "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]},",
            strcmp(s->architecture, "llama") == 0 ? llama_split : qwen_split);
    make_token(MAKE_BOS, token);
    fprintf(f, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"%s\","
               "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":["
               "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],"
               "\"special_tokens\":{\"%s\":{\"id\":\"%s\",\"ids\":[%d],"
               "\"tokens\":[\"%s\"]}}},", token, token, token, MAKE_BOS, token);
    fprintf(f, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
               "\"use_regex\":true},"
               "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
               "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,"
               "\"ignore_merges\":false,\"vocab\":{");
    for (uint32_t id = 0; id < s->vocab; id++) {
        if (id >= MAKE_BOS && id < MAKE_VOCAB_MIN)
            continue; /* added tokens */
        make_token(id, token);
        if (id)
            fputc(',', f);
        escaped(f, token);
        fprintf(f, ":%u", id);
    }
    fprintf(f, "},\"merges\":[");
    for (uint32_t i = 0; i < MAKE_MERGES; i++) {
        const char *pair = make_merge(i), *space = strchr(pair, ' ');
        if (s->old_config)
            fprintf(f, "%s\"%s\"", i ? "," : "", pair);
        else
            fprintf(f, "%s[\"%.*s\",\"%s\"]", i ? "," : "", (int)(space - pair), pair, space + 1);
    }
    fprintf(f, "]}}\n");
    finish(folder, "tokenizer.json", f, &text, &size);

    f = open_text(&text, &size);
    char bos[64], eos[64];
    make_token(MAKE_BOS, bos);
    make_token(MAKE_EOS, eos);
    fprintf(f, "{\"bos_token\":\"%s\",\"eos_token\":\"%s\",\"tokenizer_class\":\"PreTrainedTokenizerFast\","
               "\"chat_template\":\"", bos, eos);
    for (const char *p = make_chat_template; *p; p++) {
        if (*p == '\n')
            fputs("\\n", f);
        else
            fputc(*p, f);
    }
    fprintf(f, "\"}\n");
    finish(folder, "tokenizer_config.json", f, &text, &size);
}

/* ---- tensors ---- */

static void put(ash_dtype dtype, uint8_t *out, uint64_t at, float x)
{
    uint16_t h = dtype == ASH_F16 ? ash_f32_to_f16(x) : ash_f32_to_bf16(x);
    if (dtype == ASH_F32)
        memcpy(out + 4 * at, &x, sizeof x);
    else
        memcpy(out + 2 * at, &h, sizeof h);
}

static void add_scales(make_list *list, test_rng *rng, const char *name, ash_dtype dtype, uint32_t dim_count,
                       const uint64_t *dims, float middle)
{
    make_tensor *t = make_add(list, name, dtype, dim_count, dims, dim_count - 1);
    uint64_t count = t->size / ash_dtype_find(dtype)->block_bytes;
    for (uint64_t i = 0; i < count; i++)
        put(dtype, t->bytes, i, middle * (1.0f + 0.1f * test_rng_float(rng)));
}

static void add_matrix(make_list *list, test_rng *rng, const char *name, ash_dtype dtype, uint64_t rows, uint64_t cols)
{
    make_tensor *t = make_add(list, name, dtype, 2, (uint64_t[]){ rows, cols }, 1);
    make_weights(dtype, rng, rows * cols, t->bytes);
}

/* A matrix of a layer: in FP8 with its scales, where the spec says so. Weights of about 0.06 at most. */
static void add_linear(make_list *list, test_rng *rng, const make_spec *s, const char *stem, uint64_t rows,
                       uint64_t cols)
{
    char name[96];
    const float weight_scale = 0.06f / 448.0f, input_scale = 4.0f / 448.0f;
    snprintf(name, sizeof name, "%s.weight", stem);
    add_matrix(list, rng, name, s->fp8 ? ASH_F8_E4M3 : s->dtype, rows, cols);
    if (s->fp8 == MAKE_FP8_NONE)
        return;
    snprintf(name, sizeof name, "%s.weight_scale%s", stem, s->fp8 == MAKE_FP8_BLOCK ? "_inv" : "");
    if (s->fp8 == MAKE_FP8_BLOCK)
        add_scales(list, rng, name, ASH_F32, 2, (uint64_t[]){ (rows + 127) / 128, (cols + 127) / 128 }, weight_scale);
    else if (s->fp8 == MAKE_FP8_CHANNEL)
        add_scales(list, rng, name, ASH_BF16, 2, (uint64_t[]){ rows, 1 }, weight_scale);
    else
        add_scales(list, rng, name, ASH_BF16, 1, (uint64_t[]){ 1 }, weight_scale);
    if (s->fp8 == MAKE_FP8_STATIC) {
        snprintf(name, sizeof name, "%s.input_scale", stem);
        add_scales(list, rng, name, ASH_BF16, 1, (uint64_t[]){ 1 }, input_scale);
    }
}

static void add_vector(make_list *list, test_rng *rng, const char *name, ash_dtype dtype, uint64_t size, float middle)
{
    make_tensor *t = make_add(list, name, dtype, 1, &size, 0);
    for (uint64_t i = 0; i < size; i++)
        put(dtype, t->bytes, i, middle + 0.1f * test_rng_float(rng));
}

static void add_layer(make_list *list, test_rng *rng, const make_spec *s, uint32_t layer)
{
    uint64_t q = (uint64_t)s->heads * s->head_dim, kv = (uint64_t)s->kv_heads * s->head_dim;
    const struct { const char *name; uint64_t rows, cols; } matrices[] = {
        { "self_attn.q_proj", q, s->hidden },       { "self_attn.k_proj", kv, s->hidden },
        { "self_attn.v_proj", kv, s->hidden },      { "self_attn.o_proj", s->hidden, q },
        { "mlp.gate_proj", s->ffn, s->hidden },     { "mlp.up_proj", s->ffn, s->hidden },
        { "mlp.down_proj", s->hidden, s->ffn },
    };
    char stem[64], name[96];
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        snprintf(stem, sizeof stem, "model.layers.%u.%s", layer, matrices[i].name);
        add_linear(list, rng, s, stem, matrices[i].rows, matrices[i].cols);
        if (strcmp(s->architecture, "qwen2") == 0 && i < 3) {
            snprintf(name, sizeof name, "%s.bias", stem);
            add_vector(list, rng, name, s->dtype, matrices[i].rows, 0.0f);
        }
    }
    const struct { const char *name; uint64_t size; } norms[] = {
        { "input_layernorm", s->hidden }, { "post_attention_layernorm", s->hidden },
        { "self_attn.q_norm", s->head_dim }, { "self_attn.k_norm", s->head_dim },
    };
    for (size_t i = 0; i < (strcmp(s->architecture, "qwen3") == 0 ? 4 : 2); i++) {
        snprintf(name, sizeof name, "model.layers.%u.%s.weight", layer, norms[i].name);
        add_vector(list, rng, name, s->dtype, norms[i].size, 1.0f);
    }
}

static make_list build(const make_spec *s)
{
    make_list list = { 0 };
    test_rng rng = test_rng_start("make_hf");
    add_matrix(&list, &rng, "model.embed_tokens.weight", s->dtype, s->vocab, s->hidden);
    for (uint32_t i = 0; i < s->layers; i++)
        add_layer(&list, &rng, s, i);
    add_vector(&list, &rng, "model.norm.weight", s->dtype, s->hidden, 1.0f);
    if (!s->tied)
        add_matrix(&list, &rng, "lm_head.weight", s->dtype, s->vocab, s->hidden);
    if (s->extra)
        add_matrix(&list, &rng, s->extra, ASH_F32, 3, 5);
    return list;
}

static void write_weights(const char *folder, const make_spec *s, const make_list *list)
{
    char path[4096], *text;
    if (s->parts == 1) {
        snprintf(path, sizeof path, "%s/model.safetensors", folder);
        make_safetensors(path, list->items, list->count);
        return;
    }
    size_t size;
    FILE *f = open_text(&text, &size);
    fprintf(f, "{\"metadata\": {\"total_size\": 0}, \"weight_map\": {");
    for (uint32_t part = 0; part < s->parts; part++) {
        size_t first = list->count * part / s->parts, end = list->count * (part + 1) / s->parts;
        snprintf(path, sizeof path, "%s/model-%05u-of-%05u.safetensors", folder, part + 1, s->parts);
        make_safetensors(path, list->items + first, end - first);
        for (size_t i = first; i < end; i++)
            fprintf(f, "%s\n  \"%s\": \"model-%05u-of-%05u.safetensors\"", i ? "," : "", list->items[i].name, part + 1,
                    s->parts);
    }
    fprintf(f, "\n}}\n");
    finish(folder, "model.safetensors.index.json", f, &text, &size);
}

char *make_hf(const char *name, const make_spec *s)
{
    assert_true(s->vocab >= MAKE_VOCAB_MIN && s->parts > 0);
    assert_true(s->dtype == ASH_F32 || s->dtype == ASH_F16 || s->dtype == ASH_BF16);
    char *folder = test_path(name);
    if (mkdir(folder, 0777) != 0 && !test_exists(folder))
        fail_msg("%s: cannot make this folder", folder);
    make_list list = build(s);
    write_weights(folder, s, &list);
    write_config(folder, s);
    write_tokenizer(folder, s);
    make_list_free(&list);
    return folder;
}
