/* Tokenizer import from GGUF's tokenizer.ggml.* keys: byte-level BPE ("gpt2"), SentencePiece BPE ("llama") and unigram
 * ("t5"). Where llama.cpp and the model's own tokenizer differ, llama.cpp's way counts: it wrote the keys. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"

#define KEY "tokenizer.ggml."

static bool is(ash_gguf_string s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.text, text, s.size) == 0;
}

static ash_status check_model(ash_gguf_string model, uint32_t *kind, ash_error *err)
{
    static const struct { const char *name; uint32_t kind; } known[] = {
        { "gpt2", ASH_VOCAB_BYTE_BPE }, { "llama", ASH_VOCAB_SPM_BPE }, { "t5", ASH_VOCAB_UNIGRAM },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is(model, known[i].name)) {
            *kind = known[i].kind;
            return ASH_OK;
        }
    return ash_fail(err, ASH_E_UNSUPPORTED,
                    KEY "model \"%.*s\" is not supported; read are gpt2 (byte-level BPE), llama (SentencePiece BPE) "
                        "and t5 (unigram)",
                    model.size < 64 ? (int)model.size : 64, model.text);
}

static ash_status array(const ash_gguf *g, const char *key, ash_gguf_type element, const ash_gguf_kv **out,
                        ash_error *err)
{
    *out = ash_gguf_find(g, key);
    if (!*out || (*out)->type != ASH_GGUF_ARRAY || (*out)->element != element)
        return ash_fail(err, ASH_E_FORMAT, "%s is %s", key, *out ? "not an array of its type" : "missing");
    return ASH_OK;
}

static ash_status read_id(const ash_gguf *g, const char *key, uint32_t count, int32_t otherwise, int32_t *out,
                          ash_error *err)
{
    uint64_t id;
    *out = otherwise;
    if (!ash_gguf_find(g, key))
        return ASH_OK;
    *out = -1;
    if (!ash_gguf_get_u64(g, key, &id))
        return ash_fail(err, ASH_E_FORMAT, "%s is not a token id", key);
    if (id == UINT32_MAX) /* some writers' word for none */
        return ASH_OK;
    if (id >= count)
        return ash_fail(err, ASH_E_FORMAT, "%s is %llu in a vocabulary of %u tokens", key, (unsigned long long)id,
                        count);
    *out = (int32_t)id;
    return ASH_OK;
}

static ash_status read_tokens(ash_draft *d, const ash_gguf_kv *tokens, const ash_gguf_kv *types,
                              const ash_gguf_kv *scores, ash_error *err)
{
    ash_gguf_string text;
    uint64_t at = 0;
    for (uint32_t id = 0; id < d->token_count && ash_gguf_next_string(tokens, &at, &text); id++) {
        int32_t type = ASH_TOKEN_NORMAL;
        float score = 0;
        if (types)
            memcpy(&type, types->value + sizeof type * id, sizeof type);
        if (scores)
            memcpy(&score, scores->value + sizeof score * id, sizeof score);
        if (type < ASH_TOKEN_NORMAL || type > ASH_TOKEN_BYTE)
            return ash_fail(err, ASH_E_FORMAT, KEY "token_type of token %u is %d; known are 1 to 6", id, type);
        if (!isfinite(score))
            return ash_fail(err, ASH_E_FORMAT, KEY "scores: that of token %u is not a finite number", id);
        if (text.size > ASH_DRAFT_TOKEN_MAX)
            return ash_fail(err, ASH_E_LIMIT, "token %u has %llu bytes, at most 1 MiB are taken", id,
                            (unsigned long long)text.size);
        if (text.size == 0)
            continue;
        bool spelled = d->model == ASH_VOCAB_BYTE_BPE || ash_draft_byte(text.text, text.size) >= 0;
        if (type == ASH_TOKEN_BYTE && !spelled)
            return ash_fail(err, ASH_E_FORMAT, "token %u, \"%.*s\", is of type byte and spells none", id,
                            text.size < 60 ? (int)text.size : 60, text.text);
        /* The reference lets the last of equal texts win. */
        ash_draft_token token = { .text = text.text,
                                  .size = (uint32_t)text.size,
                                  .type = (uint16_t)type,
                                  .model = true,
                                  .score = (double)score };
        ASH_TRY(ash_draft_token_add(d, id, token, true, err));
    }
    return ASH_OK;
}

/* Control and unknown tokens are special, and so is what ends a text whatever its type says; user-defined ones are
 * found in any text. */
static ash_status read_added(ash_draft *d, int32_t eot, ash_error *err)
{
    for (uint32_t id = 0; id < d->token_count; id++) {
        const ash_draft_token *t = &d->tokens[id];
        bool ends = (int32_t)id == d->bos || (int32_t)id == d->eos || (int32_t)id == eot;
        bool special = ends || t->type == ASH_TOKEN_CONTROL || t->type == ASH_TOKEN_UNKNOWN;
        if (t->text && (special || t->type == ASH_TOKEN_USER))
            ASH_TRY(ash_draft_added(d, id, special ? ASH_ADDED_SPECIAL : 0, err));
    }
    return ASH_OK;
}

static ash_status read_merges(ash_draft *d, const ash_gguf_kv *merges, ash_error *err)
{
    ash_gguf_string text;
    uint64_t at = 0;
    while (ash_gguf_next_string(merges, &at, &text)) {
        /* The alphabet has no space, so the first one after the first byte separates. */
        const char *space = text.size > 1 ? memchr(text.text + 1, ' ', text.size - 1) : NULL;
        if (!space || text.size > (2u << 20))
            return ash_fail(err, ASH_E_FORMAT, KEY "merges: entry %u, \"%.*s\", is no pair", d->merge_count,
                            text.size < 60 ? (int)text.size : 60, text.text);
        size_t left = (size_t)(space - text.text);
        ASH_TRY(ash_draft_merge(d, text.text, left, space + 1, text.size - left - 1, err));
    }
    return ASH_OK;
}

/* ---- the three models ---- */

static ash_status fill_bpe(ash_draft *d, const ash_gguf *g, ash_error *err)
{
    ash_gguf_string pre;
    if (!ash_gguf_get_string(g, KEY "pre", &pre))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        KEY "pre is missing, so the pre-tokenizer is not known; convert the model to "
                            "GGUF again with a newer converter");
    /* A byte without a token keeps its neighbours from merging, and gives nothing, in the reference. */
    d->flags |= ASH_VOCAB_GAPS_BLOCK;
    return ash_draft_pretokenizer(d, pre.text, pre.size, err);
}

static ash_status spm_steps(ash_draft *d, uint32_t space, const ash_gguf_kv *map, ash_error *err)
{
    ash_vocab_source_step step = { .kind = ASH_STEP_SPM, .flags = space | ASH_STEP_ESCAPE };
    if (map) {
        step.text = (const char *)map->value;
        step.size = map->value_size < UINT32_MAX ? (uint32_t)map->value_size : UINT32_MAX;
    }
    ASH_TRY(ash_draft_step(d, &step, err));
    return ash_draft_step(d, &(ash_vocab_source_step){ .kind = ASH_STEP_DECODE_SPM, .flags = space }, err);
}

static bool flag_or(const ash_gguf *g, const char *key, bool otherwise)
{
    bool flag;
    return ash_gguf_get_bool(g, key, &flag) ? flag : otherwise;
}

/* The space goes in front of every text between added tokens, runs of white space stay, there is no map. */
static ash_status fill_spm(ash_draft *d, const ash_gguf *g, ash_error *err)
{
    d->flags |= ASH_VOCAB_ADD_BOS | ASH_VOCAB_BYTE_FALLBACK;
    return spm_steps(d, flag_or(g, KEY "add_space_prefix", true) ? ASH_STEP_DUMMY : 0, NULL, err);
}

static ash_status fill_unigram(ash_draft *d, const ash_gguf *g, ash_error *err)
{
    const ash_gguf_kv *map = ash_gguf_find(g, KEY "precompiled_charsmap");
    if (map && (map->type != ASH_GGUF_ARRAY || (map->element != ASH_GGUF_I8 && map->element != ASH_GGUF_U8)))
        return ash_fail(err, ASH_E_FORMAT, KEY "precompiled_charsmap is not an array of bytes");
    d->flags |= ASH_VOCAB_ADD_EOS | ASH_VOCAB_FUSE_UNK;
    bool trim = flag_or(g, KEY "remove_extra_whitespaces", false);
    /* Where runs become one space the first word gets its space in any case. */
    bool dummy = trim || flag_or(g, KEY "add_space_prefix", false);
    return spm_steps(d, (trim ? ASH_STEP_TRIM : 0) | (dummy ? ASH_STEP_DUMMY : 0), map, err);
}

/* What only the merges or the scores say, once the tokens are known. */
static ash_status finish_model(ash_draft *d, const ash_gguf *g, ash_error *err)
{
    const ash_gguf_kv *merges;
    if (d->model == ASH_VOCAB_BYTE_BPE) {
        ASH_TRY(array(g, KEY "merges", ASH_GGUF_STRING, &merges, err));
        return read_merges(d, merges, err);
    }
    for (uint32_t id = 0; id < d->token_count; id++) {
        ash_draft_token *t = &d->tokens[id];
        t->model &= t->type != ASH_TOKEN_CONTROL && t->type != ASH_TOKEN_UNKNOWN;
    }
    if (d->model == ASH_VOCAB_UNIGRAM)
        ash_draft_unk_score(d, false);
    return ASH_OK;
}

/* Ids that the reference takes where the file names none. */
static int32_t default_id(const ash_draft *d, int32_t spm, int32_t unigram)
{
    int32_t id = d->model == ASH_VOCAB_SPM_BPE ? spm : d->model == ASH_VOCAB_UNIGRAM ? unigram : -1;
    return id >= 0 && (uint32_t)id < d->token_count ? id : -1;
}

static ash_status fill(ash_draft *d, const ash_gguf *g, const ash_gguf_kv *tokens, const ash_gguf_kv *types,
                       ash_error *err)
{
    const ash_gguf_kv *scores = ash_gguf_find(g, KEY "scores");
    int32_t eot;
    bool flag;
    if (d->model == ASH_VOCAB_BYTE_BPE)
        scores = NULL; /* some writers fill them in; ranks alone count */
    else if (!scores || scores->type != ASH_GGUF_ARRAY || scores->element != ASH_GGUF_F32 ||
             scores->count != tokens->count)
        return ash_fail(err, ASH_E_FORMAT, KEY "scores has not one number for each of the %u tokens", d->token_count);
    ASH_TRY(d->model == ASH_VOCAB_BYTE_BPE  ? fill_bpe(d, g, err)
            : d->model == ASH_VOCAB_SPM_BPE ? fill_spm(d, g, err)
                                            : fill_unigram(d, g, err));
    ASH_TRY(read_tokens(d, tokens, types, scores, err));
    ASH_TRY(read_id(g, KEY "bos_token_id", d->token_count, default_id(d, 1, -1), &d->bos, err));
    ASH_TRY(read_id(g, KEY "eos_token_id", d->token_count, default_id(d, 2, 1), &d->eos, err));
    if (d->model != ASH_VOCAB_BYTE_BPE)
        ASH_TRY(read_id(g, KEY "unknown_token_id", d->token_count, default_id(d, 0, 2), &d->unk, err));
    ASH_TRY(read_id(g, KEY "eot_token_id", d->token_count, -1, &eot, err));
    ASH_TRY(read_id(g, KEY "padding_token_id", d->token_count, default_id(d, -1, 0), &d->pad, err));
    if (ash_gguf_get_bool(g, KEY "add_bos_token", &flag))
        d->flags = flag ? d->flags | ASH_VOCAB_ADD_BOS : d->flags & ~(uint32_t)ASH_VOCAB_ADD_BOS;
    if (ash_gguf_get_bool(g, KEY "add_eos_token", &flag))
        d->flags = flag ? d->flags | ASH_VOCAB_ADD_EOS : d->flags & ~(uint32_t)ASH_VOCAB_ADD_EOS;
    ASH_TRY(read_added(d, eot, err));
    return finish_model(d, g, err);
}

ash_status ash_import_tokenizer_gguf(const ash_gguf *g, ash_vocab_import *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    out->bos = out->eos = out->pad = -1;
    ash_gguf_string model;
    uint32_t kind = 0;
    if (!ash_gguf_find(g, KEY "model"))
        return ASH_OK;
    if (!ash_gguf_get_string(g, KEY "model", &model))
        return ash_fail(err, ASH_E_FORMAT, KEY "model is not a string");
    ASH_TRY(check_model(model, &kind, err));
    const ash_gguf_kv *tokens, *types = ash_gguf_find(g, KEY "token_type");
    ASH_TRY(array(g, KEY "tokens", ASH_GGUF_STRING, &tokens, err));
    if (types && (types->type != ASH_GGUF_ARRAY || (types->element != ASH_GGUF_I32 && types->element != ASH_GGUF_U32) ||
                  types->count != tokens->count))
        return ash_fail(err, ASH_E_FORMAT, KEY "token_type has not one integer for each of the %llu tokens",
                        (unsigned long long)tokens->count);
    ash_draft d;
    ASH_TRY(ash_draft_init(&d, tokens->count, tokens->count < ASH_VOCAB_ADDED_MAX ? tokens->count : ASH_VOCAB_ADDED_MAX,
                           err));
    d.model = kind;
    ash_status status = fill(&d, g, tokens, types, err);
    if (status == ASH_OK)
        status = ash_draft_finish(&d, out, err);
    ash_draft_free(&d);
    return status;
}
