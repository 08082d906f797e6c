/* Tokenizer import from GGUF's tokenizer.ggml.* keys: byte-level BPE ("gpt2"). */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"

#define KEY "tokenizer.ggml."

static bool is(ash_gguf_string s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.text, text, s.size) == 0;
}

static ash_status check_model(ash_gguf_string model, ash_error *err)
{
    static const struct { const char *name, *kind; } later[] = {
        { "llama", "SentencePiece BPE" }, { "t5", "Unigram" }, { "bert", "WordPiece" }, { "rwkv", "RWKV" },
        { "gemma4", "SentencePiece BPE" }, { "plamo2", "PLaMo-2" },
    };
    if (is(model, "gpt2"))
        return ASH_OK;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (is(model, later[i].name))
            return ash_fail(err, ASH_E_UNSUPPORTED,
                            KEY "model is \"%s\" (%s), which comes with a later version; this one reads "
                                "byte-level BPE (\"gpt2\")",
                            later[i].name, later[i].kind);
    return ash_fail(err, ASH_E_UNSUPPORTED,
                    KEY "model \"%.*s\" is not known; this version reads byte-level BPE (\"gpt2\")",
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

static ash_status read_id(const ash_gguf *g, const char *key, uint32_t count, int32_t *out, ash_error *err)
{
    uint64_t id;
    *out = -1;
    if (!ash_gguf_find(g, key))
        return ASH_OK;
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

static ash_status read_tokens(ash_draft *d, const ash_gguf_kv *tokens, const ash_gguf_kv *types, ash_error *err)
{
    ash_gguf_string text;
    uint64_t at = 0;
    for (uint32_t id = 0; id < d->token_count && ash_gguf_next_string(tokens, &at, &text); id++) {
        int32_t type = ASH_TOKEN_NORMAL;
        if (types)
            memcpy(&type, types->value + sizeof type * id, sizeof type);
        if (type < ASH_TOKEN_NORMAL || type > ASH_TOKEN_BYTE)
            return ash_fail(err, ASH_E_FORMAT, KEY "token_type of token %u is %d; known are 1 to 6", id, type);
        if (text.size > (1u << 20))
            return ash_fail(err, ASH_E_LIMIT, "token %u has %llu bytes, at most 1 MiB are taken", id,
                            (unsigned long long)text.size);
        if (text.size == 0)
            continue;
        /* The reference lets the last of equal texts win. */
        ash_draft_token token = {
            .text = text.text, .size = (uint32_t)text.size, .type = (uint16_t)type, .model = true
        };
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

static ash_status fill(ash_draft *d, const ash_gguf *g, const ash_gguf_kv *tokens, const ash_gguf_kv *types,
                       ash_error *err)
{
    const ash_gguf_kv *merges;
    ash_gguf_string pre;
    int32_t eot;
    bool flag;
    if (!ash_gguf_get_string(g, KEY "pre", &pre))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        KEY "pre is missing, so the pre-tokenizer is not known; convert the model to "
                            "GGUF again with a newer converter");
    ASH_TRY(ash_draft_pretokenizer(d, pre.text, pre.size, err));
    ASH_TRY(array(g, KEY "merges", ASH_GGUF_STRING, &merges, err));
    ASH_TRY(read_tokens(d, tokens, types, err));
    ASH_TRY(read_id(g, KEY "bos_token_id", d->token_count, &d->bos, err));
    ASH_TRY(read_id(g, KEY "eos_token_id", d->token_count, &d->eos, err));
    ASH_TRY(read_id(g, KEY "eot_token_id", d->token_count, &eot, err));
    ASH_TRY(read_id(g, KEY "padding_token_id", d->token_count, &d->pad, err));
    if (ash_gguf_get_bool(g, KEY "add_bos_token", &flag))
        d->flags = flag ? d->flags | ASH_VOCAB_ADD_BOS : d->flags & ~(uint32_t)ASH_VOCAB_ADD_BOS;
    if (ash_gguf_get_bool(g, KEY "add_eos_token", &flag) && flag)
        d->flags |= ASH_VOCAB_ADD_EOS;
    /* A byte without a token keeps its neighbours from merging, and gives nothing, in the reference. */
    d->flags |= ASH_VOCAB_GAPS_BLOCK;
    ASH_TRY(read_added(d, eot, err));
    return read_merges(d, merges, err);
}

ash_status ash_import_tokenizer_gguf(const ash_gguf *g, ash_vocab_import *out, ash_error *err)
{
    memset(out, 0, sizeof *out);
    out->bos = out->eos = out->pad = -1;
    ash_gguf_string model;
    if (!ash_gguf_find(g, KEY "model"))
        return ASH_OK;
    if (!ash_gguf_get_string(g, KEY "model", &model))
        return ash_fail(err, ASH_E_FORMAT, KEY "model is not a string");
    ASH_TRY(check_model(model, err));
    const ash_gguf_kv *tokens, *types = ash_gguf_find(g, KEY "token_type");
    ASH_TRY(array(g, KEY "tokens", ASH_GGUF_STRING, &tokens, err));
    if (types && (types->type != ASH_GGUF_ARRAY || (types->element != ASH_GGUF_I32 && types->element != ASH_GGUF_U32) ||
                  types->count != tokens->count))
        return ash_fail(err, ASH_E_FORMAT, KEY "token_type has not one integer for each of the %llu tokens",
                        (unsigned long long)tokens->count);
    ash_draft d;
    ASH_TRY(ash_draft_init(&d, tokens->count, tokens->count < ASH_VOCAB_ADDED_MAX ? tokens->count : ASH_VOCAB_ADDED_MAX,
                           err));
    ash_status status = fill(&d, g, tokens, types, err);
    if (status == ASH_OK)
        status = ash_draft_finish(&d, out, err);
    ash_draft_free(&d);
    return status;
}
