#include "convert/arch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- architectures ---- */

static const ash_arch archs[] = {
    /* name    q, k, v bias  o bias     q, k norm    rows of q and k in GGUF */
    { "llama", ASH_MAYBE,    ASH_MAYBE, ASH_NEVER,   ASH_ROWS_SAME },
    { "qwen2", ASH_ALWAYS,   ASH_MAYBE, ASH_NEVER,   ASH_ROWS_HALVES },
    { "qwen3", ASH_MAYBE,    ASH_MAYBE, ASH_ALWAYS,  ASH_ROWS_HALVES },
};

/* Defaults are those of the configuration classes in transformers. */
static const ash_hf_class classes[] = {
    /* class                model_type  ours     head  context  switch window */
    { "LlamaForCausalLM",   "llama",    "llama", 0,    2048,    false, false },
    { "MistralForCausalLM", "mistral",  "llama", 0,    131072,  false, true },
    { "Qwen2ForCausalLM",   "qwen2",    "qwen2", 0,    32768,   true,  true },
    { "Qwen3ForCausalLM",   "qwen3",    "qwen3", 128,  32768,   true,  true },
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

const ash_arch *ash_arch_find(const char *name)
{
    for (size_t i = 0; i < COUNT(archs); i++)
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    return NULL;
}

const ash_hf_class *ash_hf_class_find(const char *class_name)
{
    for (size_t i = 0; i < COUNT(classes); i++)
        if (strcmp(classes[i].class_name, class_name) == 0)
            return &classes[i];
    return NULL;
}

const ash_hf_class *ash_hf_class_of_type(const char *model_type)
{
    for (size_t i = 0; i < COUNT(classes); i++)
        if (strcmp(classes[i].model_type, model_type) == 0)
            return &classes[i];
    return NULL;
}

const char *ash_arch_names(void) { return "llama, qwen2, qwen3"; }
const char *ash_hf_class_names(void)
{
    return "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM";
}

/* ---- extents ---- */

uint64_t ash_extent_value(ash_extent extent, const ash_hparams *h)
{
    switch (extent) {
    case ASH_EXTENT_ONE: return 1;
    case ASH_EXTENT_VOCAB: return h->vocab;
    case ASH_EXTENT_HIDDEN: return h->hidden;
    case ASH_EXTENT_Q: return (uint64_t)h->heads * h->head_dim;
    case ASH_EXTENT_KV: return (uint64_t)h->kv_heads * h->head_dim;
    case ASH_EXTENT_FFN: return h->ffn;
    case ASH_EXTENT_HEAD: return h->head_dim;
    case ASH_EXTENT_ROPE: return h->rope_dim / 2;
    }
    return 0;
}

const char *ash_extent_keys(ash_extent extent, bool hf)
{
    switch (extent) {
    case ASH_EXTENT_ONE: return "1";
    case ASH_EXTENT_VOCAB: return hf ? "vocab_size" : "the rows of token_embd.weight";
    case ASH_EXTENT_HIDDEN: return hf ? "hidden_size" : "embedding_length";
    case ASH_EXTENT_Q: return hf ? "num_attention_heads * head_dim" : "attention.head_count * attention.key_length";
    case ASH_EXTENT_KV: return hf ? "num_key_value_heads * head_dim" : "attention.head_count_kv * attention.key_length";
    case ASH_EXTENT_FFN: return hf ? "intermediate_size" : "feed_forward_length";
    case ASH_EXTENT_HEAD: return hf ? "head_dim" : "attention.key_length";
    case ASH_EXTENT_ROPE: return hf ? "head_dim / 2" : "rope.dimension_count / 2";
    }
    return "?";
}

/* ---- tensors ---- */

#define HL "model.layers.#."
#define HA HL "self_attn."
#define HM HL "mlp."
#define T(role, ours, hf, gguf, cols, rows, rotated) \
    { ASH_ROLE_##role, ours, hf, gguf, ASH_EXTENT_##cols, ASH_EXTENT_##rows, rotated }

/* Matrices are [rows, cols]; a weight's input is its cols. L: the layer's prefix in our names and in GGUF's. */
#define L(name) "layers.#." name
#define B(name) "blk.#." name
static const ash_arch_tensor tensors[] = {
    /* role        ours            Hugging Face                          GGUF                     cols   rows rotated */
    T(EMBED,       "embed",        "model.embed_tokens.weight",          "token_embd.weight",     HIDDEN, VOCAB,  0),
    T(ROPE_FREQS,  "rope_freqs",   NULL,                                 "rope_freqs.weight",     ROPE,   ONE,    0),
    T(ATTN_NORM,   L("attn_norm"), HL "input_layernorm.weight",          B("attn_norm.weight"),   HIDDEN, ONE,    0),
    T(Q,           L("q"),         HA "q_proj.weight",                   B("attn_q.weight"),      HIDDEN, Q,      1),
    T(K,           L("k"),         HA "k_proj.weight",                   B("attn_k.weight"),      HIDDEN, KV,     1),
    T(V,           L("v"),         HA "v_proj.weight",                   B("attn_v.weight"),      HIDDEN, KV,     0),
    T(Q_BIAS,      L("q_bias"),    HA "q_proj.bias",                     B("attn_q.bias"),        Q,      ONE,    1),
    T(K_BIAS,      L("k_bias"),    HA "k_proj.bias",                     B("attn_k.bias"),        KV,     ONE,    1),
    T(V_BIAS,      L("v_bias"),    HA "v_proj.bias",                     B("attn_v.bias"),        KV,     ONE,    0),
    T(Q_NORM,      L("q_norm"),    HA "q_norm.weight",                   B("attn_q_norm.weight"), HEAD,   ONE,    1),
    T(K_NORM,      L("k_norm"),    HA "k_norm.weight",                   B("attn_k_norm.weight"), HEAD,   ONE,    1),
    T(O,           L("o"),         HA "o_proj.weight",                   B("attn_output.weight"), Q,      HIDDEN, 0),
    T(O_BIAS,      L("o_bias"),    HA "o_proj.bias",                     B("attn_output.bias"),   HIDDEN, ONE,    0),
    T(FFN_NORM,    L("ffn_norm"),  HL "post_attention_layernorm.weight", B("ffn_norm.weight"),    HIDDEN, ONE,    0),
    T(GATE,        L("gate"),      HM "gate_proj.weight",                B("ffn_gate.weight"),    HIDDEN, FFN,    0),
    T(UP,          L("up"),        HM "up_proj.weight",                  B("ffn_up.weight"),      HIDDEN, FFN,    0),
    T(DOWN,        L("down"),      HM "down_proj.weight",                B("ffn_down.weight"),    FFN,    HIDDEN, 0),
    T(OUTPUT_NORM, "output_norm",  "model.norm.weight",                  "output_norm.weight",    HIDDEN, ONE,    0),
    T(OUTPUT,      "output",       "lm_head.weight",                     "output.weight",         HIDDEN, VOCAB,  0),
};
#undef T
#undef L
#undef B

const ash_arch_tensor *ash_arch_tensor_of(ash_role role)
{
    for (size_t i = 0; i < COUNT(tensors); i++)
        if (tensors[i].role == role)
            return &tensors[i];
    return NULL;
}

ash_presence ash_arch_has(const ash_arch *arch, ash_role role)
{
    switch (role) {
    case ASH_ROLE_Q_BIAS:
    case ASH_ROLE_K_BIAS:
    case ASH_ROLE_V_BIAS: return arch->qkv_bias;
    case ASH_ROLE_O_BIAS: return arch->o_bias;
    case ASH_ROLE_Q_NORM:
    case ASH_ROLE_K_NORM: return arch->qk_norm;
    case ASH_ROLE_OUTPUT:
    case ASH_ROLE_ROPE_FREQS: return ASH_MAYBE;
    default: return ASH_ALWAYS;
    }
}

bool ash_arch_name(const char *pattern, uint32_t layer, char *out, size_t size)
{
    const char *mark = strchr(pattern, '#');
    int n = mark ? snprintf(out, size, "%.*s%" PRIu32 "%s", (int)(mark - pattern), pattern, layer, mark + 1)
                 : snprintf(out, size, "%s", pattern);
    return n >= 0 && (size_t)n < size;
}

/* ---- tensors outside the table ---- */

/* Behind the layer's number, or NULL. */
static const char *inside_layer(const char *name, bool hf, uint32_t *layer)
{
    const char *prefix = hf ? "model.layers." : "blk.";
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0)
        return NULL;
    uint32_t value = 0;
    const char *p = name + n;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > 99999999)
            return NULL;
        value = 10 * value + (uint32_t)(*p - '0');
    }
    if (p == name + n || *p != '.')
        return NULL;
    *layer = value;
    return p + 1;
}

uint32_t ash_arch_layer_of(const char *source_name, bool hf)
{
    uint32_t layer;
    return inside_layer(source_name, hf, &layer) ? layer : ASH_NO_LAYER;
}

const char *ash_arch_refused(const char *source_name, bool hf)
{
    static const struct { const char *part, *what; } parts[] = {
        { ".lora_A.", "an adapter" },
        { ".lora_B.", "an adapter" },
        { ".lora_a", "an adapter" },
        { ".lora_b", "an adapter" },
    };
    static const struct { const char *start, *what; } in_layer[] = {
        { "mlp.gate_proj.bias", "a feed-forward bias" },
        { "mlp.up_proj.bias", "a feed-forward bias" },
        { "mlp.down_proj.bias", "a feed-forward bias" },
        { "mlp.experts", "mixture of experts" },
        { "mlp.gate.", "mixture of experts" },
        { "mlp.shared_expert", "mixture of experts" },
        { "block_sparse_moe", "mixture of experts" },
        { "self_attn.q_norm.", "a norm of q that this architecture does not have" },
        { "self_attn.k_norm.", "a norm of k that this architecture does not have" },
        { "self_attn.sinks", "attention sinks" },
        { "ffn_gate.bias", "a feed-forward bias" },
        { "ffn_up.bias", "a feed-forward bias" },
        { "ffn_down.bias", "a feed-forward bias" },
        { "ffn_gate_inp", "mixture of experts" },
        { "ffn_gate_exps", "mixture of experts" },
        { "ffn_up_exps", "mixture of experts" },
        { "ffn_down_exps", "mixture of experts" },
        { "attn_q_norm.", "a norm of q that this architecture does not have" },
        { "attn_k_norm.", "a norm of k that this architecture does not have" },
        { "attn_sub_norm.", "a norm inside attention" },
        { "ffn_sub_norm.", "a norm inside the feed-forward" },
        { "attn_sinks.", "attention sinks" },
        { "attn_qkv.", "q, k and v as one source tensor" },
    };
    for (size_t i = 0; i < COUNT(parts); i++)
        if (strstr(source_name, parts[i].part))
            return parts[i].what;
    uint32_t layer;
    const char *rest = inside_layer(source_name, hf, &layer);
    if (!rest)
        return NULL;
    for (size_t i = 0; i < COUNT(in_layer); i++)
        if (strncmp(rest, in_layer[i].start, strlen(in_layer[i].start)) == 0)
            return in_layer[i].what;
    /* Factors beside a GGUF's blocks: ggml multiplies by them. */
    size_t n = strlen(rest);
    if (!hf && n > 6 && strcmp(rest + n - 6, ".scale") == 0)
        return "a scale beside a quantized tensor";
    return NULL;
}

bool ash_arch_derived(const char *source_name)
{
    size_t n = strlen(source_name);
    static const char end[] = "rotary_emb.inv_freq";
    return n >= sizeof end - 1 && strcmp(source_name + n - (sizeof end - 1), end) == 0;
}
