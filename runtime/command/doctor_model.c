#include "runtime/command/doctor_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/fileio.h"
#include "format/halffloat.h"
#include "format/safetensors_write.h"

/* Rows of 640 columns end within a block of 256 and within a group of 128 or 256; 40 panels are no whole workgroup of 7.
 * With heads of 256 q, k and v have 160 panels, for which workgroups of 7 end soonest (args.h), and gate and up 136, for
 * which those of 8 do: the kernels of both run. */
#define LAYERS 2
#define HIDDEN 640
#define FFN 704
#define FFN_WIDE 1088
#define KV_HEADS 2
#define GROUP 3 /* query heads of a KV head */

const doctor_model *doctor_models(size_t *count)
{
    static const doctor_model models[] = {
        { .type = "q4_k", .head_dim = 64 }, { .type = "q5_k", .head_dim = 64 },
        { .type = "q6_k", .head_dim = 64 }, { .type = "q8_0", .head_dim = 64 },
        { .type = "q4_0", .head_dim = 64 }, { .type = "q4_1", .head_dim = 64 },
        { .type = "q5_0", .head_dim = 64 }, { .type = "q5_1", .head_dim = 64 },
        { .type = "fp8", .head_dim = 64, .cache = ASHLAR_CACHE_FP8 },
        { .type = "fp8", .fp8_row = true, .head_dim = 64 },
        { .type = "f32", .head_dim = 64 },
        { .type = "f16", .head_dim = 80 },
        { .type = "bf16", .head_dim = 96 },
        { .type = "bf16", .head_dim = 128, .rule = "*embed_tokens*=f32" },
        { .type = "bf16", .head_dim = 128, .cache = ASHLAR_CACHE_FP8, .rule = "*embed_tokens*=f8_e4m3" },
        { .type = "f16", .head_dim = 256 },
        { .type = "bf16", .head_dim = 256, .cache = ASHLAR_CACHE_FP8 },
        { .type = "fp8", .head_dim = 256 },
    };
    *count = sizeof models / sizeof *models;
    return models;
}

/* ---- the checkpoint ---- */

typedef struct checkpoint {
    ash_st_tensor tensors[2 + LAYERS * 9 + 1];
    char names[2 + LAYERS * 9 + 1][64];
    uint32_t count;
} checkpoint;

static void add(checkpoint *c, const char *name, uint64_t rows, uint64_t cols)
{
    ash_st_tensor *t = &c->tensors[c->count];
    snprintf(c->names[c->count], sizeof c->names[0], "%s", name);
    *t = (ash_st_tensor){ .name = c->names[c->count], .dtype = ASH_BF16, .dim_count = rows ? 2 : 1 };
    t->shape[0] = rows ? rows : cols;
    t->shape[1] = cols;
    t->size = (rows ? rows : 1) * cols * 2;
    c->count++;
}

static uint32_t ffn(uint32_t head_dim) { return head_dim == 256 ? FFN_WIDE : FFN; }

static void list_tensors(checkpoint *c, uint32_t head_dim)
{
    static const char *const names[] = { "input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
                                         "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
                                         "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj" };
    const uint64_t q = KV_HEADS * GROUP * head_dim, kv = KV_HEADS * head_dim, wide = ffn(head_dim);
    const uint64_t shapes[][2] = { { 0, HIDDEN }, { q, HIDDEN },   { kv, HIDDEN },  { kv, HIDDEN }, { HIDDEN, q },
                                   { 0, HIDDEN }, { wide, HIDDEN }, { wide, HIDDEN }, { HIDDEN, wide } };
    add(c, "model.embed_tokens.weight", DOCTOR_VOCAB, HIDDEN);
    for (uint32_t i = 0; i < LAYERS; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            char name[64];
            snprintf(name, sizeof name, "model.layers.%u.%s.weight", i, names[k]);
            add(c, name, shapes[k][0], shapes[k][1]);
        }
    add(c, "model.norm.weight", 0, HIDDEN);
    add(c, "lm_head.weight", DOCTOR_VOCAB, HIDDEN);
}

/* Knuth's MMIX generator; the high bits, as a number from -1 to 1. */
static float next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}

/* Norms about 1. Matrices of variance 1 / columns: their outputs are as large as their inputs. */
static ash_status write_tensor(ash_safetensors_writer *w, const ash_st_tensor *t, uint64_t *state, ash_error *err)
{
    uint16_t row[KV_HEADS * GROUP * 256]; /* the widest: o, with heads of 256 */
    bool norm = t->dim_count == 1;
    uint64_t rows = norm ? 1 : t->shape[0], cols = norm ? t->shape[0] : t->shape[1];
    float scale = norm ? 0.2f : 1.7f; /* root of 3: a uniform number's variance is a third of its square */
    for (uint64_t k = cols; !norm && k > 1; k /= 4)
        scale /= 2;
    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t k = 0; k < cols; k++)
            row[k] = ash_f32_to_bf16((norm ? 1 : 0) + scale * next_random(state));
        ASH_TRY(ash_safetensors_writer_put(w, row, cols * 2, err));
    }
    return ASH_OK;
}

static ash_status write_weights(const char *folder, uint32_t head_dim, ash_error *err)
{
    checkpoint c = { .count = 0 };
    char path[512];
    list_tensors(&c, head_dim);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    ash_safetensors_writer *w;
    ASH_TRY(ash_safetensors_writer_create(path, true, c.tensors, c.count, &w, err));
    uint64_t state = head_dim;
    for (uint32_t i = 0; i < c.count; i++) {
        ash_status status = write_tensor(w, &c.tensors[i], &state, err);
        if (status != ASH_OK) {
            ash_safetensors_writer_abort(w);
            return status;
        }
    }
    return ash_safetensors_writer_finish(w, err);
}

/* A converter asks for one; no text is ever read with it. */
static ash_status write_tokenizer(const char *folder, ash_error *err)
{
    static const char text[] = "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": null, "
                               "\"post_processor\": null, \"decoder\": null, \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, "
                               "\"vocab\": [[\"<unk>\", 0], [\"a\", -1], [\"b\", -2]]}}\n";
    char path[512];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    return ash_write_whole(path, true, text, sizeof text - 1, err);
}

static ash_status write_config(const char *folder, uint32_t head_dim, ash_error *err)
{
    char path[512], text[1024];
    snprintf(path, sizeof path, "%s/config.json", folder);
    int n = snprintf(text, sizeof text,
                     "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": %d, "
                     "\"intermediate_size\": %u, \"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %u, "
                     "\"num_hidden_layers\": %d, \"vocab_size\": %d, \"max_position_embeddings\": %d, "
                     "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"torch_dtype\": \"bfloat16\", "
                     "\"tie_word_embeddings\": false, \"hidden_act\": \"silu\"}\n",
                     HIDDEN, ffn(head_dim), KV_HEADS * GROUP, KV_HEADS, head_dim, LAYERS, DOCTOR_VOCAB, DOCTOR_CONTEXT);
    return ash_write_whole(path, true, text, (size_t)n, err);
}

ash_status doctor_model_open(const doctor_model *m, const char *folder, ashlar_model **out, ash_error *err)
{
    char path[512];
    ash_recipe recipe;
    ash_convert_result result;
    *out = NULL;
    if (!ash_recipe_named(m->type, &recipe))
        return ash_fail(err, ASH_E_ARGUMENT, "there is no type %s", m->type);
    recipe.fp8_row = m->fp8_row;
    if (m->rule)
        ASH_TRY(ash_recipe_add(&recipe, m->rule, err));
    ASH_TRY(write_weights(folder, m->head_dim, err));
    ASH_TRY(write_config(folder, m->head_dim, err));
    ASH_TRY(write_tokenizer(folder, err));
    snprintf(path, sizeof path, "%s/model.ashlar", folder);
    ash_convert_options options = { .recipe = &recipe, .force = true };
    ASH_TRY(ash_convert(folder, path, &options, &result, err));
    ashlar_error public_err;
    if (ashlar_model_load(path, out, &public_err) != ASHLAR_OK)
        return ash_fail(err, ASH_E_FORMAT, "%s", public_err.text);
    return ASH_OK;
}
