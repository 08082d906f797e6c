/* Special ids: where a model says which token begins a text, which pads it and which ends it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"

#define JSON_LIMIT ((size_t)64 << 20)

/* The file of a folder, NULL with ASH_OK where it is absent. */
static ash_status read_optional(const char *folder, const char *name, cJSON **out, ash_error *err)
{
    *out = NULL;
    char *path = ash_path_join(folder, name);
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
    ash_status status = ash_path_exists(path) ? ash_json_read_file(path, JSON_LIMIT, out, err) : ASH_OK;
    free(path);
    return status;
}

/* An id outside the vocabulary can never come up: it is left out (some files write -1 for "none"). */
static ash_status add_stop(ash_meta *meta, uint64_t id, ash_error *err)
{
    if (id >= meta->h.vocab)
        return ASH_OK;
    uint32_t at = 0;
    while (at < meta->stop_count && meta->stop[at] < (int32_t)id)
        at++;
    if (at < meta->stop_count && meta->stop[at] == (int32_t)id)
        return ASH_OK;
    if (meta->stop_count == ASH_STOP_MAX)
        return ash_fail(err, ASH_E_LIMIT, "more than %d ids end the text", ASH_STOP_MAX);
    memmove(&meta->stop[at + 1], &meta->stop[at], (meta->stop_count - at) * sizeof *meta->stop);
    meta->stop[at] = (int32_t)id;
    meta->stop_count++;
    return ASH_OK;
}

/* eos_token_id: a number, a list of numbers, or null. */
static ash_status add_eos(const cJSON *object, ash_meta *meta, ash_error *err)
{
    const cJSON *value = ash_json_get(object, "eos_token_id");
    uint64_t id;
    if (!value || cJSON_IsNull(value))
        return ASH_OK;
    const cJSON *item = cJSON_IsArray(value) ? value->child : value;
    for (; item; item = cJSON_IsArray(value) ? item->next : NULL) {
        if (cJSON_IsNumber(item) && item->valuedouble < 0)
            continue;
        if (!ash_json_u64(item, &id))
            return ash_fail(err, ASH_E_FORMAT, "eos_token_id must be a token id or a list of them");
        ASH_TRY(add_stop(meta, id, err));
    }
    return ASH_OK;
}

static void take_id(const cJSON *object, const char *key, int32_t *out)
{
    uint64_t id;
    const cJSON *item = ash_json_get(object, key);
    if (*out < 0 && item && ash_json_u64(item, &id) && id <= INT32_MAX) /* against the vocabulary: at the end */
        *out = (int32_t)id;
}

static ash_status from_folder(const char *folder, ash_meta *meta, ash_error *err)
{
    static const char *const names[] = { "config.json", "generation_config.json" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cJSON *json;
        ASH_TRY(read_optional(folder, names[i], &json, err));
        ash_status status = add_eos(json, meta, err);
        take_id(json, "bos_token_id", &meta->bos);
        take_id(json, "pad_token_id", &meta->pad);
        cJSON_Delete(json);
        if (status != ASH_OK) {
            ash_fail_in(err, names[i]);
            return ash_fail_in(err, folder);
        }
    }
    return ASH_OK;
}

/* ---- by spelling ---- */

static int32_t id_of(const ash_vocab_import *vocab, const char *text)
{
    return vocab->section ? ash_vocab_find(vocab->section, vocab->size, text, strlen(text)) : -1;
}

/* Tokens that end a text or a turn by what they are called. `always`: in a GGUF wherever the vocabulary has them, since a
 * GGUF names at most three ids while models have more, and llama.cpp stops at these; the others, and all of them in a
 * Hugging Face folder (whose generation_config.json lists what ends), where the chat template writes them. */
static const struct end {
    const char *text;
    bool always;
} ends[] = {
    { "<|im_end|>", true },        { "<|eot_id|>", true },
    { "<|eom_id|>", true },        { "<|end|>", true },
    { "<end_of_turn>", true },     { "<|endoftext|>", true },
    { "<|end_of_text|>", true },   { "<eos>", true },
    { "<EOT>", true },             { "_<EOT>", true },
    { "<|return|>", true },        { "<|call|>", true },
    { "<|calls|>", true },         { "<|flush|>", true },
    { "<turn|>", true },           { "<|tool_response>", true },
    { "<end_of_utterance>", true },
    { "<\uff5cend\u2581of\u2581sentence\uff5c>", true },
    { "</s>", false },             { "<|eot|>", false },
    { "<|end_of_turn|>", false },  { "<|END_OF_TURN_TOKEN|>", false },
    { "[|endofturn|]", false },    { "<|turn_end|>", false },
    { "<|endofresponse|>", false }, { "<|message_sep|>", false },
    { "<|eos|>", false },
};

/* Where a message ends with <|end|> and a turn with another token, <|end|> stands between thoughts and answer. */
static bool ends_messages_only(const ash_vocab_import *vocab, const char *text)
{
    return strcmp(text, "<|end|>") == 0 && ((id_of(vocab, "<|return|>") >= 0 && id_of(vocab, "<|call|>") >= 0) ||
                                            (id_of(vocab, "<|flush|>") >= 0 && id_of(vocab, "<|calls|>") >= 0));
}

static ash_status from_spellings(const ash_vocab_import *vocab, bool gguf, const char *template, ash_meta *meta,
                                 ash_error *err)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (!(gguf && ends[i].always) && !(template && strstr(template, ends[i].text)))
            continue;
        int32_t id = id_of(vocab, ends[i].text);
        if (id >= 0 && !ends_messages_only(vocab, ends[i].text))
            ASH_TRY(add_stop(meta, (uint64_t)id, err));
    }
    return ASH_OK;
}

/* ---- GGUF ---- */

/* What separates files in code completion ends one: its key, else the first of its spellings that the vocabulary has. */
static const struct { const char *key, *spellings[5]; } separators[] = {
    { "tokenizer.ggml.fim_pad_token_id", { "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>" } },
    { "tokenizer.ggml.fim_rep_token_id", { "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>" } },
    { "tokenizer.ggml.fim_sep_token_id", { "<|file_sep|>" } },
};

static ash_status from_gguf(const ash_source *source, const ash_vocab_import *vocab, ash_meta *meta, ash_error *err)
{
    static const char *const keys[] = { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    uint64_t value;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (ash_gguf_get_u64(source->gguf, keys[i], &value))
            ASH_TRY(add_stop(meta, value, err));
    for (size_t i = 0; i < sizeof separators / sizeof *separators; i++) {
        int32_t id = -1;
        if (ash_gguf_get_u64(source->gguf, separators[i].key, &value)) {
            ASH_TRY(add_stop(meta, value, err));
            continue;
        }
        for (size_t k = 0; k < 5 && separators[i].spellings[k] && id < 0; k++)
            id = id_of(vocab, separators[i].spellings[k]);
        if (id >= 0)
            ASH_TRY(add_stop(meta, (uint64_t)id, err));
    }
    return ASH_OK;
}

ash_status ash_import_special_ids(const ash_source *source, const ash_import *import, const ash_vocab_import *vocab,
                                  ash_meta *meta, ash_error *err)
{
    bool known = vocab->section != NULL;
    meta->bos = known ? vocab->bos : -1;
    meta->pad = known ? vocab->pad : -1;
    meta->add_bos = known && vocab->add_bos;
    meta->stop_count = 0;
    if (source->kind == ASH_SOURCE_GGUF)
        ASH_TRY(from_gguf(source, vocab, meta, err));
    else
        ASH_TRY(from_folder(source->folder, meta, err));
    ASH_TRY(from_spellings(vocab, source->kind == ASH_SOURCE_GGUF, import->chat_template, meta, err));
    if (known && vocab->eos >= 0) /* which a template may write as eos_token */
        ASH_TRY(add_stop(meta, (uint64_t)vocab->eos, err));
    if (meta->bos >= (int64_t)meta->h.vocab)
        meta->bos = -1, meta->add_bos = false;
    if (meta->pad >= (int64_t)meta->h.vocab)
        meta->pad = -1;
    return ASH_OK;
}
