/* Hugging Face to .ashlar to GGUF: what llama.cpp's converter writes, and a model that is the same when it is read
 * again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "convert/export_internal.h"
#include "format/hash.h"
#include "format/json.h"
#include "format/tile.h"
#include "format/writer.h"
#include "kernels/kernels.h"
#include "quant/encode.h"
#include "runtime/model.h"
#include "tests/support/container.h"
#include "tests/support/make_hf.h"
#include "tests/support/read_back.h"
#include "tests/support/sample.h"
#include "tests/support/trip.h"

#define FIXTURE "tests/fixtures/llama30m_gguf.json"

/* ---- what llama.cpp's converter writes ---- */

/* What we know better or not at all: the name is the source's own, basename and size_label are guessed from it, sep
 * means nothing to a language model. */
static bool left_out(const char *key)
{
    static const char *const keys[] = { "general.name", "general.basename", "general.size_label",
                                        "tokenizer.ggml.add_sep_token" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static void check_hash(const char *what, const cJSON *expected, const void *bytes, size_t size)
{
    char text[33];
    ash_hash_text(ash_hash(bytes, size), text);
    if (strcmp(text, ash_json_string(expected, "xxh3_128")) != 0)
        fail_msg("%s has other bytes than llama.cpp's converter writes", what);
}

static void check_key(const ash_gguf *g, const cJSON *expected)
{
    const char *key = ash_json_string(expected, "key"), *type = ash_json_string(expected, "type");
    const cJSON *value = ash_json_get(expected, "value");
    const ash_gguf_kv *kv = ash_gguf_find(g, key);
    bool flag;
    if (!kv)
        fail_msg("key %s is missing", key);
    if (strcmp(type, "uint32") == 0) {
        assert_int_equal(kv->type, ASH_GGUF_U32);
        assert_int_equal(trip_u64(g, key), value->valuedouble);
    } else if (strcmp(type, "float32") == 0) {
        assert_gguf_float(g, key, value->valuedouble);
    } else if (strcmp(type, "bool") == 0) {
        assert_true(ash_gguf_get_bool(g, key, &flag) && flag == (cJSON_IsTrue(value) != 0));
    } else if (strcmp(type, "string") == 0) {
        assert_gguf_text(g, key, value->valuestring);
    } else {
        assert_int_equal(kv->type, ASH_GGUF_ARRAY);
        assert_int_equal(kv->element, strcmp(type, "array of string") == 0 ? ASH_GGUF_STRING : ASH_GGUF_I32);
        assert_int_equal(kv->count, ash_json_get(expected, "count")->valuedouble);
        check_hash(key, expected, kv->value, kv->value_size);
    }
}

static void test_llama30m(void **state)
{
    (void)state;
    char *source = test_shared("models/llama-30m");
    if (!source)
        skip();
    trip t = trip_go(source, "llama-30m", ASH_TYPE_KEEP);
    assert_string_equal(trip_notes, "");
    ash_error err;
    cJSON *root;
    assert_ok(ash_json_read_file(FIXTURE, 1 << 20, &root, &err), &err);
    const cJSON *item;
    uint64_t at = 0, keys = 0;
    cJSON_ArrayForEach(item, ash_json_get(root, "keys")) {
        if (left_out(ash_json_string(item, "key")))
            continue;
        check_key(t.g, item);
        keys++;
    }
    /* Of ours alone: the name, and the end of a turn, which llama.cpp finds by its text. */
    assert_gguf_text(t.g, "general.name", "llama-30m");
    assert_int_equal(trip_u64(t.g, "tokenizer.ggml.eot_token_id"), 8180);
    assert_int_equal(ash_gguf_kv_count(t.g), keys + 2);
    assert_int_equal(ash_gguf_version(t.g), 3);
    cJSON_ArrayForEach(item, ash_json_get(root, "tensors")) {
        const ash_gguf_tensor *x = ash_gguf_tensor_at(t.g, (uint32_t)at++);
        assert_string_equal(x->name, ash_json_string(item, "name"));
        assert_string_equal(ash_dtype_name(x->dtype), ash_json_string(item, "type"));
        const cJSON *shape = ash_json_get(item, "shape");
        assert_int_equal(x->dim_count, cJSON_GetArraySize(shape));
        for (uint32_t d = 0; d < x->dim_count; d++)
            assert_int_equal(x->dims[d], cJSON_GetArrayItem(shape, (int)d)->valuedouble);
        const ash_gguf_tensor *same;
        uint8_t *bytes = trip_bytes(t.g, x->name, &same);
        check_hash(x->name, item, bytes, x->size);
        free(bytes);
    }
    assert_int_equal(at, ash_gguf_tensor_count(t.g));
    cJSON_Delete(root);
    trip_done(&t);
    free(source);
}

/* ---- tensors ---- */

/* Row i of GGUF's q and k in the checkpoint, from llama.cpp's definition: heads of [2, n / 2] rows with those two
 * swapped. */
static uint64_t permuted(uint64_t row, uint64_t head_dim)
{
    uint64_t head = row / head_dim, in = row % head_dim;
    return head * head_dim + in % 2 * (head_dim / 2) + in / 2;
}

/* What a stored row is in the GGUF, where it is another: vectors are F32, and K types whose rows are no whole blocks
 * have the type beside them. `out` has room for it. */
static ash_dtype expected_type(const ash_tensor_record *t)
{
    if (t->dim_count == 1)
        return ASH_F32;
    bool whole = t->dims[0] % ash_dtype_find(t->dtype)->block_elems == 0;
    return whole                    ? (ash_dtype)t->dtype
           : t->dtype == ASH_Q4_K   ? ASH_Q5_0
           : t->dtype == ASH_Q5_K   ? ASH_Q5_1
                                    : ASH_Q8_0;
}

static void expected_row(const ash_tensor_record *t, const uint8_t *stored, uint8_t *out)
{
    ash_kernels kernels;
    ash_error err;
    int64_t n = t->dim_count == 1 ? 1 : (int64_t)t->dims[0]; /* a vector goes element by element */
    float *x = malloc((size_t)n * sizeof *x);
    ash_kernels_init(&kernels, 0);
    ash_decode_row((ash_dtype)t->dtype, stored, n, x);
    assert_ok(ash_encode_row(&kernels, expected_type(t), x, NULL, n, out, &err), &err);
    free(x);
}

/* Every tensor of the checkpoint against the GGUF's. */
static void check_tensors(const trip *t, const make_spec *spec)
{
    static const struct { const char *hf, *gguf; bool turned; } names[] = {
        { "self_attn.q_proj.weight", "attn_q.weight", true },
        { "self_attn.k_proj.weight", "attn_k.weight", true },
        { "self_attn.v_proj.weight", "attn_v.weight", false },
        { "self_attn.o_proj.weight", "attn_output.weight", false },
        { "self_attn.q_proj.bias", "attn_q.bias", true },
        { "self_attn.k_proj.bias", "attn_k.bias", true },
        { "self_attn.v_proj.bias", "attn_v.bias", false },
        { "self_attn.q_norm.weight", "attn_q_norm.weight", true },
        { "self_attn.k_norm.weight", "attn_k_norm.weight", true },
        { "mlp.gate_proj.weight", "ffn_gate.weight", false },
        { "mlp.up_proj.weight", "ffn_up.weight", false },
        { "mlp.down_proj.weight", "ffn_down.weight", false },
        { "input_layernorm.weight", "attn_norm.weight", false },
        { "post_attention_layernorm.weight", "ffn_norm.weight", false },
    };
    ash_file *file = read_back_open(t->ashlar);
    bool llama = strcmp(spec->architecture, "llama") == 0;
    uint32_t found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names * spec->layers + 3; i++) {
        char hf[128], gguf[128];
        size_t name = i / spec->layers;
        bool turned = false;
        if (name < sizeof names / sizeof *names) {
            snprintf(hf, sizeof hf, "model.layers.%u.%s", (unsigned)(i % spec->layers), names[name].hf);
            snprintf(gguf, sizeof gguf, "blk.%u.%s", (unsigned)(i % spec->layers), names[name].gguf);
            turned = llama && names[name].turned;
        } else {
            static const char *const top[][2] = { { "model.embed_tokens.weight", "token_embd.weight" },
                                                  { "model.norm.weight", "output_norm.weight" },
                                                  { "lm_head.weight", "output.weight" } };
            size_t k = i - sizeof names / sizeof *names * spec->layers;
            snprintf(hf, sizeof hf, "%s", top[k][0]);
            snprintf(gguf, sizeof gguf, "%s", top[k][1]);
        }
        const ash_tensor_record *record;
        const ash_member_record *member;
        if (!read_back_find(file, hf, &record, &member)) {
            assert_null(trip_tensor(t->g, gguf));
            continue;
        }
        found++;
        size_t size;
        const ash_gguf_tensor *x;
        uint8_t *want = read_back(file, record, member, &size), *got = trip_bytes(t->g, gguf, &x);
        bool vector = record->dim_count == 1;
        assert_int_equal(x->dtype, expected_type(record));
        assert_int_equal(x->dim_count, record->dim_count);
        assert_int_equal(x->dims[0], member->source_dims[0]);
        assert_int_equal(x->dims[1], vector ? 1 : member->row_count);
        uint64_t rows = vector ? x->dims[0] : x->dims[1], unit = size / rows, to = x->size / rows;
        uint8_t *other = malloc(to);
        for (uint64_t row = 0; row < rows; row++) {
            const uint8_t *from = want + (turned ? permuted(row, spec->head_dim) : row) * unit;
            if (x->dtype != (ash_dtype)record->dtype)
                expected_row(record, from, other);
            if (memcmp(got + row * to, x->dtype != (ash_dtype)record->dtype ? other : from, to) != 0)
                fail_msg("%s: row %u is not that of %s", gguf, (unsigned)row, hf);
        }
        free(want), free(got), free(other);
    }
    assert_int_equal(found, ash_gguf_tensor_count(t->g));
    ash_file_close(file);
}

static void test_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        uint32_t heads, kv, head_dim;
        ash_dtype dtype;
        bool tied;
        uint32_t file_type;
    } cases[] = {
        { "llama", 4, 2, 64, ASH_BF16, false, 32 }, { "llama", 3, 1, 40, ASH_F16, true, 1 },
        { "qwen2", 4, 2, 64, ASH_F32, true, 0 },    { "qwen3", 4, 2, 24, ASH_BF16, false, 32 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.architecture = cases[i].arch, spec.dtype = cases[i].dtype, spec.tied = cases[i].tied;
        spec.heads = cases[i].heads, spec.kv_heads = cases[i].kv, spec.head_dim = cases[i].head_dim;
        spec.parts = i % 2 ? 3 : 1;
        char *folder = make_hf(spec.parts == 1 ? "tensors-hf" : "shards-hf", &spec), key[64];
        trip t = trip_go(folder, "tensors", ASH_TYPE_KEEP);
        assert_gguf_text(t.g, "general.architecture", cases[i].arch);
        assert_int_equal(trip_u64(t.g, "general.file_type"), cases[i].file_type);
        snprintf(key, sizeof key, "%s.attention.head_count_kv", cases[i].arch);
        assert_int_equal(trip_u64(t.g, key), cases[i].kv);
        snprintf(key, sizeof key, "%s.attention.key_length", cases[i].arch);
        assert_int_equal(trip_u64(t.g, key), cases[i].head_dim);
        check_tensors(&t, &spec);
        trip_done(&t);
        free(folder);
    }
}

/* A file that was quantized on its way in keeps that type, where GGUF can have it. */
static void test_quantized(void **state)
{
    (void)state;
    static const struct { ash_dtype type; uint32_t hidden, file_type; } cases[] = {
        { ASH_Q8_0, 288, 7 }, { ASH_Q4_0, 256, 2 }, { ASH_Q4_K, 512, 15 }, { ASH_Q4_K, 288, 8 }, { ASH_Q5_K, 288, 9 },
        { ASH_Q6_K, 288, 7 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.hidden = cases[i].hidden;
        char *folder = make_hf("quantized-hf", &spec);
        trip t = trip_go(folder, "quantized", cases[i].type);
        assert_int_equal(trip_u64(t.g, "general.file_type"), cases[i].file_type);
        bool ragged = cases[i].hidden % ash_dtype_find(cases[i].type)->block_elems != 0;
        /* embedding, output, and five of a layer's seven; o and down have whole blocks */
        assert_true((strstr(trip_notes, "12 matrices have rows that are no multiple of 256") != NULL) == ragged);
        check_tensors(&t, &spec);
        trip_done(&t);
        free(folder);
    }
}

/* FP8 and its scales give the matrices that `convert --type bf16` makes of the checkpoint. */
static void test_fp8(void **state)
{
    (void)state;
    static const make_fp8 kinds[] = { MAKE_FP8_STATIC, MAKE_FP8_DYNAMIC, MAKE_FP8_CHANNEL, MAKE_FP8_BLOCK };
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; i++) {
        make_spec spec = make_defaults();
        bool half = i % 2;
        spec.fp8 = kinds[i / 2], spec.hidden = 288, spec.ffn = 320, spec.dtype = half ? ASH_F16 : ASH_BF16;
        spec.head_dim = 96; /* heads that lie across the edges of 128 x 128 blocks */
        spec.architecture = i < 2 || i > 5 ? "llama" : "qwen3";
        char *folder = make_hf("fp8-hf", &spec);
        trip kept = trip_go(folder, "fp8", ASH_TYPE_KEEP);
        assert_non_null(strstr(trip_notes, half ? "14 FP8 matrices become f16" : "14 FP8 matrices become bf16"));
        assert_non_null(strstr(trip_notes, "inputs are no longer rounded to FP8"));
        trip typed = trip_go(folder, "fp8-typed", half ? ASH_F16 : ASH_BF16);
        assert_string_equal(trip_notes, "");
        assert_int_equal(ash_gguf_tensor_count(kept.g), ash_gguf_tensor_count(typed.g));
        for (uint32_t k = 0; k < ash_gguf_tensor_count(kept.g); k++) {
            const ash_gguf_tensor *x, *y;
            const char *name = ash_gguf_tensor_at(typed.g, k)->name;
            uint8_t *a = trip_bytes(kept.g, name, &x), *b = trip_bytes(typed.g, name, &y);
            assert_int_equal(x->dtype, y->dtype);
            assert_int_equal(x->size, y->size);
            if (memcmp(a, b, x->size) != 0)
                fail_msg("%s differs from its conversion, scales of kind %d", name, (int)spec.fp8);
            free(a), free(b);
        }
        trip_done(&kept), trip_done(&typed);
        free(folder);
    }
}

static void test_left_out(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.extra = "visual.patch.weight";
    char *folder = make_hf("extra-hf", &spec);
    trip t = trip_go(folder, "extra", ASH_TYPE_KEEP);
    assert_string_equal(trip_notes, "left out 1 tensors outside the architecture: visual.patch.weight\n");
    check_tensors(&t, &spec);
    trip_done(&t);
    free(folder);
}

/* ---- rotation ---- */

static trip with_rope(const char *arch, const char *name, const char *scaling)
{
    make_spec spec = make_defaults();
    spec.architecture = arch, spec.old_config = true, spec.config_extra = scaling;
    char *folder = make_hf(name, &spec);
    trip t = trip_go(folder, name, ASH_TYPE_KEEP);
    free(folder);
    return t;
}

static void test_rope_keys(void **state)
{
    (void)state;
    trip t = with_rope("llama", "none", NULL);
    assert_null(ash_gguf_find(t.g, "llama.rope.scaling.type"));
    assert_null(trip_tensor(t.g, "rope_freqs.weight"));
    assert_gguf_float(t.g, "llama.rope.freq_base", 10000);
    assert_int_equal(trip_u64(t.g, "llama.rope.dimension_count"), 64);
    trip_done(&t);
    t = with_rope("llama", "linear", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}");
    assert_gguf_text(t.g, "llama.rope.scaling.type", "linear");
    assert_gguf_float(t.g, "llama.rope.scaling.factor", 4);
    trip_done(&t);
    t = with_rope("qwen2", "yarn", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8.0, "
                                   "\"original_max_position_embeddings\": 64}");
    assert_gguf_text(t.g, "qwen2.rope.scaling.type", "yarn");
    assert_gguf_float(t.g, "qwen2.rope.scaling.factor", 8);
    assert_int_equal(trip_u64(t.g, "qwen2.rope.scaling.original_context_length"), 64);
    assert_null(ash_gguf_find(t.g, "qwen2.rope.scaling.attn_factor")); /* ggml's own is meant */
    assert_null(ash_gguf_find(t.g, "qwen2.rope.scaling.yarn_beta_fast"));
    assert_string_equal(trip_notes, "");
    trip_done(&t);
    t = with_rope("qwen3", "yarn-all", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8.0, "
                                       "\"original_max_position_embeddings\": 64, \"beta_fast\": 16, "
                                       "\"beta_slow\": 2, \"attention_factor\": 1.5}");
    assert_gguf_float(t.g, "qwen3.rope.scaling.attn_factor", 1.5 / (0.1 * log(8) + 1));
    assert_gguf_float(t.g, "qwen3.rope.scaling.yarn_beta_fast", 16);
    assert_gguf_float(t.g, "qwen3.rope.scaling.yarn_beta_slow", 2);
    assert_non_null(strstr(trip_notes, "does not read yarn's beta_fast 16 and beta_slow 2 of a qwen3 model"));
    trip_done(&t);
}

#define LLAMA3 "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, " \
               "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 128}"

/* The factors of the checkpoint's definition, in wavelengths. */
static void test_rope_factors(void **state)
{
    (void)state;
    trip t = with_rope("llama", "llama3", LLAMA3);
    assert_null(ash_gguf_find(t.g, "llama.rope.scaling.type"));
    assert_string_equal(ash_gguf_tensor_at(t.g, 0)->name, "rope_freqs.weight");
    const ash_gguf_tensor *x;
    float *factors = (float *)trip_bytes(t.g, "rope_freqs.weight", &x);
    assert_int_equal(x->dtype, ASH_F32);
    assert_int_equal(x->dims[0], 32);
    int mixed = 0;
    for (int i = 0; i < 32; i++) {
        double length = 2 * acos(-1) * pow(10000, 2 * i / 64.0), smooth = (128 / length - 1) / (4 - 1);
        double want = length < 128 / 4.0 ? 1 : length > 128 ? 8 : 1 / ((1 - smooth) / 8 + smooth);
        mixed += want != 1 && want != 8;
        if (fabs(factors[i] - want) > 1e-6 * want) /* both in double, and one rounding to float of 6e-8 */
            fail_msg("factor %d is %.9g, not %.9g", i, (double)factors[i], want);
    }
    assert_true(mixed > 2);
    free(factors);
    trip_done(&t);
    /* llama.cpp reads factors in the llama graph alone. */
    make_spec spec = make_defaults();
    spec.architecture = "qwen2", spec.old_config = true, spec.config_extra = LLAMA3;
    char *folder = make_hf("llama3-qwen", &spec), *path = test_path("llama3-qwen.ashlar"), *out = test_path("x/q.gguf");
    ash_error err;
    trip_convert(folder, path, ASH_TYPE_KEEP);
    assert_int_equal(trip_export(path, out, &err), ASH_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "llama3 rope scaling with architecture qwen2"));
    free(folder), free(path), free(out);
}

/* ---- the same model again ---- */

static ashlar_model *load(const char *path)
{
    ashlar_model *model;
    ashlar_error err;
    if (ashlar_model_load(path, &model, &err) != 0)
        fail_msg("%s", err.text);
    return model;
}

static float *logits_of(const ashlar_model *model, uint32_t *count)
{
    static const int32_t ids[] = { MAKE_BOS, 'h', 'e', 256, 257, 'w', 10, 271, 0, 255, 33, 44, MAKE_IM_START };
    enum { N = sizeof ids / sizeof *ids };
    ashlar_session_options options = { .context = 64, .threads = 1 };
    ashlar_session *s;
    ashlar_error err;
    ashlar_model_info info;
    ashlar_model_describe(model, &info);
    if (ashlar_session_new(model, &options, &s, &err) != 0 ||
        ashlar_session_feed(s, ids, N, ASHLAR_FEED_ALL_LOGITS, &err) != 0)
        fail_msg("%s", err.text);
    float *out = malloc(N * info.vocab * sizeof *out);
    for (size_t i = 0; i < N; i++)
        memcpy(out + i * info.vocab, ashlar_session_logits(s, i), info.vocab * sizeof *out);
    ashlar_session_free(s);
    *count = N * info.vocab;
    return out;
}

/* The largest difference of logits, in units of the largest logit; 0: the same bits. */
static double compare_logits(const ashlar_model *a, const ashlar_model *b)
{
    uint32_t n, m;
    float *x = logits_of(a, &n), *y = logits_of(b, &m);
    assert_int_equal(n, m);
    double worst = 0, largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)x[i] - y[i]));
        largest = fmax(largest, fabs((double)x[i]));
    }
    bool same = memcmp(x, y, n * sizeof *x) == 0;
    free(x), free(y);
    return same ? 0 : worst == 0 ? 1 : worst / largest;
}

static void assert_same_ids(const ashlar_model *a, const ashlar_model *b, const char *text, size_t size)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *x = NULL, *y = NULL;
        size_t n = 0, m = 0;
        ashlar_error err;
        if (ashlar_tokenize(a, text, size, flags, &x, &n, &err) != 0 ||
            ashlar_tokenize(b, text, size, flags, &y, &m, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n * sizeof *x);
        ashlar_free(x), ashlar_free(y);
    }
}

static const char sample_text[] = "hello world <|im_start|>user\nWhat's 12345 + 67?\r\n\r\n  \t caf\xc3\xa9 "
                                  "\xe6\x97\xa5\xe6\x9c\xac<|im_end|>\n!?.. I'LL\xff\xfe\x80 <|end_of_text|>";

static void read_meta(const char *path, ash_meta *meta)
{
    ash_file *file = read_back_open(path);
    uint8_t *json;
    size_t size;
    ash_error err;
    assert_ok(ash_file_section_read(file, ASH_SECTION_META, &json, &size, &err), &err);
    assert_ok(ash_meta_read((const char *)json, size, meta, &err), &err);
    free(json);
    ash_file_close(file);
}

/* Converts the exported GGUF and compares what the two files say; `logits`: as compare_logits, allowed at most. */
static void check_again(const trip *t, double logits, bool same_hparams)
{
    char *again = test_path("again.ashlar");
    trip_convert(t->gguf, again, ASH_TYPE_KEEP);
    ash_meta a, b;
    read_meta(t->ashlar, &a);
    read_meta(again, &b);
    if (same_hparams)
        assert_memory_equal(&a.h, &b.h, sizeof a.h);
    assert_string_equal(a.chat_template, b.chat_template);
    assert_int_equal(a.bos, b.bos);
    assert_int_equal(a.add_bos, b.add_bos);
    assert_int_equal(a.pad, b.pad);
    assert_int_equal(a.stop_count, b.stop_count);
    assert_memory_equal(a.stop, b.stop, a.stop_count * sizeof *a.stop);
    ash_meta_free(&a), ash_meta_free(&b);
    ashlar_model *x = load(t->ashlar), *y = load(again);
    double difference = compare_logits(x, y);
    if (difference > logits)
        fail_msg("%s: logits differ by %g of the largest", t->gguf, difference);
    assert_same_ids(x, y, sample_text, sizeof sample_text - 1);
    ashlar_model_free(x), ashlar_model_free(y);
    free(again);
}

static void test_again(void **state)
{
    (void)state;
    static const struct { const char *arch, *extra; bool tied; } cases[] = {
        { "llama", NULL, false },
        { "llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}", true },
        { "qwen2", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8.0, "
                   "\"original_max_position_embeddings\": 64}", false },
        { "qwen3", "\"use_sliding_window\": true, \"sliding_window\": 5, \"max_window_layers\": 0", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_spec spec = make_defaults();
        spec.architecture = cases[i].arch, spec.tied = cases[i].tied, spec.config_extra = cases[i].extra;
        spec.old_config = true;
        char *folder = make_hf("again-hf", &spec);
        trip t = trip_go(folder, "again-from", ASH_TYPE_KEEP);
        bool window = i == 3; /* llama.cpp has no window for any of these */
        assert_true((strstr(trip_notes, "than the sliding window of 5 tokens") != NULL) == window);
        /* Norms were BF16 and are F32: the same values. Everything else has its bits. */
        check_again(&t, 0, true);
        trip_done(&t);
        free(folder);
    }
    trip t = with_rope("llama", "llama3-again", LLAMA3);
    /* Factors are floats: frequencies are off by 2^-25 at most, times a position below 13 and weights that let logits
     * grow to the sum of some hundred such terms. */
    check_again(&t, 1e-5, false);
    trip_done(&t);
}

static void test_llama30m_again(void **state)
{
    (void)state;
    char *source = test_shared("models/llama-30m"), *text_path = test_shared("models/eval.txt");
    if (!source || !text_path)
        skip();
    trip t = trip_go(source, "30m", ASH_TYPE_KEEP);
    check_again(&t, 0, true);
    char *again = test_path("again.ashlar");
    size_t size;
    char *text = (char *)test_read_file(text_path, &size);
    ashlar_model *a = load(t.ashlar), *b = load(again);
    assert_same_ids(a, b, text, size);
    ashlar_model_free(a), ashlar_model_free(b);
    free(text), free(again), free(text_path), free(source);
    trip_done(&t);
}

/* ---- refusals ---- */

/* A file with META and TOKN of a small model and an embedding of `cols` columns as its only tensor. */
static char *embedding_alone(ash_dtype dtype, uint64_t cols, uint32_t role, uint32_t layer, uint64_t rows)
{
    make_spec spec = make_defaults();
    char *folder = make_hf("alone-hf", &spec), *model = test_path("alone-model.ashlar");
    char *path = test_path("alone.ashlar");
    trip_convert(folder, model, ASH_TYPE_KEEP);
    ash_file *file = read_back_open(model);
    ash_error err;
    ash_writer *w;
    uint32_t index;
    assert_ok(ash_writer_create(path, true, &w, &err), &err);
    ash_tensor_record t = test_tensor(role, layer, dtype, ash_tile_layout_of(dtype)->id, 2, (uint64_t[]){ cols, rows });
    ash_member_record m = test_member(role, dtype, cols, 0, rows, 1);
    assert_ok(ash_writer_add_tensor(w, "embed", &t, &index, &err), &err);
    assert_ok(ash_writer_add_member(w, "model.embed_tokens.weight", &m, &err), &err);
    assert_ok(ash_writer_layout(w, NULL, &err), &err);
    test_put_random(w, index, "embedding");
    static const uint32_t sections[] = { ASH_SECTION_TOKENIZER, ASH_SECTION_META };
    for (size_t i = 0; i < 2; i++) {
        uint8_t *bytes;
        size_t size;
        assert_ok(ash_file_section_read(file, sections[i], &bytes, &size, &err), &err);
        assert_ok(ash_writer_add_section(w, sections[i], bytes, size, i == 1, &err), &err);
        free(bytes);
    }
    assert_ok(ash_writer_finish(w, NULL, &err), &err);
    ash_file_close(file);
    free(folder), free(model);
    return path;
}

static void test_damaged(void **state)
{
    (void)state;
    static const struct { uint32_t role, layer; uint64_t rows; const char *error; } cases[] = {
        { ASH_ROLE_EMBED, ASH_NO_LAYER, 287, "287 rows for a vocabulary of 288" },
        { ASH_ROLE_Q, 2, 256, "role 9 in layer 2" },
    };
    char *out = test_path("damaged/out.gguf"), *dir = test_path("damaged");
    ash_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = embedding_alone(ASH_BF16, 256, cases[i].role, cases[i].layer, cases[i].rows);
        assert_int_equal(trip_export(path, out, &err), ASH_E_FORMAT);
        if (!strstr(err.text, cases[i].error) || !strstr(err.text, "alone.ashlar"))
            fail_msg("%s", err.text);
        assert_int_equal(test_count_entries(dir), 0);
        free(path);
    }
    free(out), free(dir);
}

/* Any bytes of the directory and the tokenizer may be wrong behind right checksums: an error or a GGUF, no crash, and
 * nothing left behind. */
static void test_hostile(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.hidden = 32, spec.ffn = 48, spec.heads = 2, spec.kv_heads = 1, spec.head_dim = 16, spec.fp8 = MAKE_FP8_BLOCK;
    char *folder = make_hf("hostile-hf", &spec), *path = test_path("hostile.ashlar"), *bad = test_path("bad.ashlar");
    char *out = test_path("hostile/out.gguf"), *dir = test_path("hostile");
    trip_convert(folder, path, ASH_TYPE_KEEP);
    size_t size;
    uint8_t *bytes = test_read_file(path, &size), *copy = malloc(size);
    test_rng rng = test_rng_start("hostile");
    int failed = 0, rounds = 400;
    for (int i = 0; i < rounds; i++) {
        trip_damage(bytes, size, &rng, copy);
        test_write_file(bad, copy, size);
        ash_error err;
        if (trip_export(bad, out, &err) != ASH_OK) {
            failed++;
            assert_int_equal(test_count_entries(dir), 0);
            continue;
        }
        assert_int_equal(remove(out), 0);
    }
    print_message("# measure %d of %d damaged files are refused\n", failed, rounds);
    assert_true(failed > rounds / 4 && failed < rounds);
    free(bytes), free(copy), free(folder), free(path), free(bad), free(out), free(dir);
}

static int stop_half_way(void *context, uint64_t done_bytes, uint64_t total)
{
    (void)context;
    assert_true(done_bytes <= total);
    return done_bytes > total / 2;
}

static int last_seen(void *context, uint64_t done_bytes, uint64_t total)
{
    ((uint64_t *)context)[0] = done_bytes;
    ((uint64_t *)context)[1] = total;
    return 0;
}

static void test_progress_and_cancel(void **state)
{
    (void)state;
    make_spec spec = make_defaults();
    spec.fp8 = MAKE_FP8_BLOCK, spec.old_config = true, spec.config_extra = LLAMA3;
    char *folder = make_hf("stop-hf", &spec), *path = test_path("stop.ashlar"), *dir = test_path("stopped");
    char *out = test_path("stopped/out.gguf");
    ash_error err;
    uint64_t seen[2] = { 0 };
    trip_convert(folder, path, ASH_TYPE_KEEP);
    ash_export_options options = { .progress = stop_half_way };
    assert_int_equal(ash_export_gguf(path, out, &options, &err), ASH_E_CANCELLED);
    assert_int_equal(test_count_entries(dir), 0);
    options = (ash_export_options){ .progress = last_seen, .context = seen };
    assert_ok(ash_export_gguf(path, out, &options, &err), &err);
    assert_true(seen[0] > 0 && seen[0] == seen[1]);
    assert_int_equal(ash_export_gguf(path, out, NULL, &err), ASH_E_ARGUMENT); /* exists */
    assert_int_equal(ash_export_gguf(path, path, &(ash_export_options){ .force = true }, &err), ASH_E_ARGUMENT);
    free(folder), free(path), free(dir), free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama30m),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_rope_keys),
        cmocka_unit_test(test_rope_factors),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_llama30m_again),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_progress_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
