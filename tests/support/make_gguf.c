#include "tests/support/make_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf_write.h"

#define TRY(call)                                          \
    do {                                                   \
        if ((call) != ASH_OK)                              \
            fail_msg("make_gguf: %s", err.text);           \
    } while (0)

/* ---- key-values ---- */

static void arch_u32(ash_gguf_writer *w, const make_spec *s, const char *key, uint32_t value)
{
    ash_error err;
    char full[96];
    snprintf(full, sizeof full, "%s.%s", s->architecture, key);
    TRY(ash_gguf_writer_kv_u32(w, full, value, &err));
}

static void arch_f32(ash_gguf_writer *w, const make_spec *s, const char *key, float value)
{
    ash_error err;
    char full[96];
    snprintf(full, sizeof full, "%s.%s", s->architecture, key);
    TRY(ash_gguf_writer_kv_f32(w, full, value, &err));
}

static void kv_text(ash_gguf_writer *w, const char *key, const char *value)
{
    ash_error err;
    TRY(ash_gguf_writer_kv_string(w, key, value, strlen(value), &err));
}

static void write_tokenizer(ash_gguf_writer *w, const make_spec *s)
{
    ash_error err;
    kv_text(w, "tokenizer.ggml.model", "gpt2");
    kv_text(w, "tokenizer.ggml.pre", strcmp(s->architecture, "llama") == 0 ? "llama-bpe" : "qwen2");
    char(*texts)[64] = calloc(s->vocab, sizeof *texts);
    ash_gguf_string *strings = calloc(s->vocab, sizeof *strings);
    int32_t *types = calloc(s->vocab, sizeof *types);
    assert_true(texts && strings && types);
    for (uint32_t i = 0; i < s->vocab; i++) {
        make_token(i, texts[i]);
        strings[i] = (ash_gguf_string){ texts[i], strlen(texts[i]) };
        types[i] = i < MAKE_BOS ? 1 : i < MAKE_VOCAB_MIN ? 3 : 5; /* normal, control, unused */
    }
    TRY(ash_gguf_writer_kv_strings(w, "tokenizer.ggml.tokens", strings, s->vocab, &err));
    TRY(ash_gguf_writer_kv_array(w, "tokenizer.ggml.token_type", ASH_GGUF_I32, types, s->vocab, &err));
    for (uint32_t i = 0; i < MAKE_MERGES; i++)
        strings[i] = (ash_gguf_string){ make_merge(i), strlen(make_merge(i)) };
    TRY(ash_gguf_writer_kv_strings(w, "tokenizer.ggml.merges", strings, MAKE_MERGES, &err));
    TRY(ash_gguf_writer_kv_u32(w, "tokenizer.ggml.bos_token_id", MAKE_BOS, &err));
    TRY(ash_gguf_writer_kv_u32(w, "tokenizer.ggml.eos_token_id", MAKE_EOS, &err));
    TRY(ash_gguf_writer_kv_bool(w, "tokenizer.ggml.add_bos_token", true, &err));
    kv_text(w, "tokenizer.chat_template", make_chat_template);
    if (s->tools) {
        TRY(ash_gguf_writer_kv_u32(w, "tokenizer.ggml.padding_token_id", MAKE_EOS, &err));
        kv_text(w, "tokenizer.chat_template.tool_use", make_tool_template);
    }
    free(texts);
    free(strings);
    free(types);
}

static void write_keys(ash_gguf_writer *w, const make_spec *s)
{
    ash_error err;
    kv_text(w, "general.architecture", s->architecture);
    kv_text(w, "general.name", "a small random model");
    TRY(ash_gguf_writer_kv_u32(w, "general.file_type", 1, &err)); /* whatever the types are */
    if (s->alignment)
        TRY(ash_gguf_writer_kv_u32(w, "general.alignment", (uint32_t)s->alignment, &err));
    arch_u32(w, s, "block_count", s->layers);
    arch_u32(w, s, "context_length", s->context);
    arch_u32(w, s, "embedding_length", s->hidden);
    arch_u32(w, s, "feed_forward_length", s->ffn);
    arch_u32(w, s, "attention.head_count", s->heads);
    arch_u32(w, s, "attention.head_count_kv", s->kv_heads);
    arch_u32(w, s, "attention.key_length", s->head_dim);
    arch_u32(w, s, "attention.value_length", s->head_dim);
    arch_f32(w, s, "rope.freq_base", 10000.0f);
    arch_f32(w, s, "attention.layer_norm_rms_epsilon", 1e-5f);
    arch_u32(w, s, "rope.dimension_count", s->head_dim);
    arch_u32(w, s, "vocab_size", s->vocab);
    if (s->tokenizer)
        write_tokenizer(w, s);
}

/* split.no and split.count are u16, split.tensors.count is i32: types that the writer has no call for. */
static void raw_key(ash_gguf_writer *w, const char *key, uint32_t type, uint32_t value, size_t value_size)
{
    ash_error err;
    uint8_t record[64];
    uint64_t length = strlen(key);
    memcpy(record, &length, 8);
    memcpy(record + 8, key, length);
    memcpy(record + 8 + length, &type, 4);
    memcpy(record + 12 + length, &value, value_size);
    TRY(ash_gguf_writer_kv_raw(w, record, 12 + length + value_size, &err));
}

/* ---- tensors ---- */

static void add_matrix(make_list *list, test_rng *rng, const char *name, ash_dtype dtype, uint64_t cols, uint64_t rows)
{
    make_tensor *t = make_add(list, name, dtype, 2, (uint64_t[]){ cols, rows }, 0);
    make_weights(dtype, rng, cols * rows, t->bytes);
}

/* Norms about 1, biases about 0. */
static void add_vector(make_list *list, test_rng *rng, const char *name, uint64_t size, float middle)
{
    make_tensor *t = make_add(list, name, ASH_F32, 1, &size, 0);
    for (uint64_t i = 0; i < size; i++) {
        float x = middle + 0.1f * test_rng_float(rng);
        memcpy(t->bytes + 4 * i, &x, sizeof x);
    }
}

static void add_layer(make_list *list, test_rng *rng, const make_spec *s, uint32_t layer)
{
    ash_dtype other = s->alternate == ASH_DTYPE_COUNT ? s->dtype : s->alternate;
    uint64_t q = (uint64_t)s->heads * s->head_dim, kv = (uint64_t)s->kv_heads * s->head_dim;
    const struct { const char *name; ash_dtype dtype; uint64_t cols, rows; } matrices[] = {
        { "attn_q", s->dtype, s->hidden, q },        { "attn_k", s->dtype, s->hidden, kv },
        { "attn_v", other, s->hidden, kv },          { "attn_output", s->dtype, q, s->hidden },
        { "ffn_gate", s->dtype, s->hidden, s->ffn }, { "ffn_up", s->dtype, s->hidden, s->ffn },
        { "ffn_down", other, s->ffn, s->hidden },
    };
    char name[96];
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, matrices[i].name);
        add_matrix(list, rng, name, matrices[i].dtype, matrices[i].cols, matrices[i].rows);
        if (strcmp(s->architecture, "qwen2") == 0 && i < 3) {
            snprintf(name, sizeof name, "blk.%u.%s.bias", layer, matrices[i].name);
            add_vector(list, rng, name, matrices[i].rows, 0.0f);
        }
    }
    const struct { const char *name; uint64_t size; } norms[] = {
        { "attn_norm", s->hidden }, { "ffn_norm", s->hidden },
        { "attn_q_norm", s->head_dim }, { "attn_k_norm", s->head_dim },
    };
    for (size_t i = 0; i < (strcmp(s->architecture, "qwen3") == 0 ? 4 : 2); i++) {
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, norms[i].name);
        add_vector(list, rng, name, norms[i].size, 1.0f);
    }
}

static make_list build(const make_spec *s)
{
    make_list list = { 0 };
    test_rng rng = test_rng_start("make_gguf");
    add_matrix(&list, &rng, "token_embd.weight", s->dtype, s->hidden, s->vocab);
    if (s->rope_freqs) {
        make_tensor *t = make_add(&list, "rope_freqs.weight", ASH_F32, 1, (uint64_t[]){ s->head_dim / 2 }, 0);
        for (uint32_t i = 0; i < s->head_dim / 2; i++) {
            float factor = i < s->head_dim / 4 ? 1.0f : 8.0f;
            memcpy(t->bytes + 4 * i, &factor, sizeof factor);
        }
    }
    for (uint32_t i = 0; i < s->layers; i++)
        add_layer(&list, &rng, s, i);
    add_vector(&list, &rng, "output_norm.weight", s->hidden, 1.0f);
    if (!s->tied)
        add_matrix(&list, &rng, "output.weight", s->dtype, s->hidden, s->vocab);
    if (s->extra)
        add_matrix(&list, &rng, s->extra, ASH_F32, 5, 3);
    return list;
}

static void write_file(const char *path, const make_spec *s, const make_list *list, uint32_t part)
{
    ash_error err;
    ash_gguf_writer *w;
    uint64_t alignment = part == 0 && s->alignment ? s->alignment : 32;
    TRY(ash_gguf_writer_create(path, true, s->version, alignment, &w, &err));
    if (part == 0)
        write_keys(w, s);
    if (s->parts > 1) {
        raw_key(w, "split.no", ASH_GGUF_U16, part, 2);
        raw_key(w, "split.count", ASH_GGUF_U16, s->parts, 2);
        raw_key(w, "split.tensors.count", ASH_GGUF_I32, (uint32_t)list->count, 4);
    }
    size_t first = list->count * part / s->parts, end = list->count * (part + 1) / s->parts;
    for (size_t i = first; i < end; i++)
        TRY(ash_gguf_writer_tensor(w, list->items[i].name, list->items[i].dtype, list->items[i].dim_count,
                                   list->items[i].dims, &err));
    for (size_t i = first; i < end; i++)
        TRY(ash_gguf_writer_put(w, list->items[i].bytes, list->items[i].size, &err));
    TRY(ash_gguf_writer_finish(w, &err));
}

char *make_gguf(const char *name, const make_spec *s)
{
    assert_true(s->vocab >= MAKE_VOCAB_MIN && s->parts > 0);
    make_list list = build(s);
    char *result = NULL;
    for (uint32_t part = 0; part < s->parts; part++) {
        char file[128];
        if (s->parts > 1)
            snprintf(file, sizeof file, "%s-%05u-of-%05u.gguf", name, part + 1, s->parts);
        else
            snprintf(file, sizeof file, "%s.gguf", name);
        char *path = test_path(file);
        write_file(path, s, &list, part);
        if (part == 0)
            result = path;
        else
            free(path);
    }
    make_list_free(&list);
    return result;
}
