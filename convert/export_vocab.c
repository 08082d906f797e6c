/* Key-values of a GGUF that no GGUF left behind: the tokenizer's, from TOKN, and the special ids and the chat template
 * from META. Tokens have one entry for each row of the embedding, as llama.cpp asks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/byte_alphabet.h"
#include "convert/export_internal.h"
#include "convert/tokenizer_internal.h"

#define KEY "tokenizer.ggml."
#define TOKEN_BYTES_MAX (1u << 20)              /* what the import takes */
#define TEXT_BYTES_MAX (UINT64_C(1) << 30)      /* of all tokens, or all merges, spelled */
#define PAD_BYTES sizeof "[PAD4294967295]"

/* ---- lists of strings ---- */

typedef struct texts {
    ash_gguf_string *items;
    uint32_t count;
    char *arena;
    size_t used;
} texts;

static ash_status texts_init(const ash_export *e, texts *t, uint64_t count, uint64_t bytes, ash_error *err)
{
    *t = (texts){ 0 };
    if (bytes > TEXT_BYTES_MAX)
        return ash_fail(err, ASH_E_LIMIT, "%s: the tokenizer's texts would have %" PRIu64 " bytes, at most 1 GiB are "
                        "exported", e->path, bytes);
    t->items = malloc((count + 1) * sizeof *t->items);
    t->arena = malloc(bytes + 1);
    return t->items && t->arena ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
}

static void texts_free(texts *t)
{
    free(t->items);
    free(t->arena);
}

/* ---- tokens ---- */

static bool used(const ash_vocab *v, uint32_t id) { return id < v->header->token_count && v->tokens[id].bytes != 0; }

/* A user-defined token is looked for before spaces become U+2581. */
static size_t with_spaces(const uint8_t *bytes, size_t size, char *out)
{
    size_t n = 0, mark = strlen(ASH_METASPACE);
    for (size_t i = 0; i < size; i++) {
        bool space = size - i >= mark && memcmp(bytes + i, ASH_METASPACE, mark) == 0;
        out[n++] = space ? ' ' : (char)bytes[i];
        i += space ? mark - 1 : 0;
    }
    return n;
}

/* Spells a token as GGUF does; returns the length. `out` has room for 2 * the token's bytes, and PAD_BYTES at least. */
static size_t spell(const ash_vocab *v, const ash_alphabet *a, uint32_t id, char *out)
{
    size_t size;
    const uint8_t *bytes = ash_vocab_bytes(v, id, &size);
    const ash_vocab_token *t = &v->tokens[id];
    if (v->header->model == ASH_VOCAB_BYTE_BPE && (t->flags & ASH_TOKEN_MODEL))
        return ash_alphabet_encode(a, bytes, size, out);
    if (v->header->model != ASH_VOCAB_BYTE_BPE && t->type == ASH_TOKEN_BYTE && size == 1)
        return (size_t)snprintf(out, PAD_BYTES, "<0x%02X>", bytes[0]);
    if (v->header->model != ASH_VOCAB_BYTE_BPE && t->type == ASH_TOKEN_USER)
        return with_spaces(bytes, size, out);
    memcpy(out, bytes, size);
    return size;
}

/* Texts, scores where there are any, and types of the first `rows` ids; those that no token has are llama.cpp's
 * [PADn]. */
static ash_status put_tokens(ash_export *e, const ash_alphabet *a, uint32_t rows, const float *scores, ash_error *err)
{
    const ash_vocab *v = &e->vocab;
    uint64_t bytes = 0;
    for (uint32_t id = 0; id < rows; id++) {
        size_t size;
        (void)ash_vocab_bytes(v, id, &size);
        if (size > TOKEN_BYTES_MAX)
            return ash_fail(err, ASH_E_LIMIT, "%s: token %" PRIu32 " has %zu bytes, at most 1 MiB are exported",
                            e->path, id, size);
        bytes += 2 * size > PAD_BYTES ? 2 * size : PAD_BYTES; /* ids and sizes are below 2^32: no wrap */
    }
    texts t;
    ash_status status = texts_init(e, &t, rows, bytes, err);
    int32_t *types = status == ASH_OK ? malloc(((size_t)rows + 1) * sizeof *types) : NULL;
    if (status == ASH_OK && !types)
        status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    for (uint32_t id = 0; id < rows && status == ASH_OK; id++) {
        char *at = t.arena + t.used;
        size_t size = used(v, id) ? spell(v, a, id, at) : 0;
        uint16_t type = used(v, id) ? v->tokens[id].type : ASH_TOKEN_UNUSED;
        if (size == 0)
            size = (size_t)snprintf(at, PAD_BYTES, "[PAD%" PRIu32 "]", id);
        types[id] = type >= ASH_TOKEN_NORMAL && type <= ASH_TOKEN_BYTE ? type : ASH_TOKEN_NORMAL;
        t.items[t.count++] = (ash_gguf_string){ at, size };
        t.used += size;
    }
    if (status == ASH_OK)
        status = ash_gguf_writer_kv_strings(e->gguf, KEY "tokens", t.items, t.count, err);
    if (status == ASH_OK && scores)
        status = ash_gguf_writer_kv_array(e->gguf, KEY "scores", ASH_GGUF_F32, scores, rows, err);
    if (status == ASH_OK)
        status = ash_gguf_writer_kv_array(e->gguf, KEY "token_type", ASH_GGUF_I32, types, rows, err);
    free(types);
    texts_free(&t);
    return status;
}

/* ---- merges ---- */

static int by_rank(const void *a, const void *b)
{
    const ash_vocab_merge *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

size_t ash_export_split(const ash_vocab *v, const uint8_t *bytes, size_t size, size_t *at, uint32_t *left,
                        uint32_t *right)
{
    while (*at < size) {
        size_t here = (*at)++;
        if ((bytes[here] & 0xc0) == 0x80)
            continue;
        int32_t first = ash_vocab_search(v, bytes, here, ASH_TOKEN_MODEL);
        int32_t second = first < 0 ? -1 : ash_vocab_search(v, bytes + here, size - here, ASH_TOKEN_MODEL);
        if (second < 0)
            continue;
        *left = (uint32_t)first;
        *right = (uint32_t)second;
        return here;
    }
    return 0;
}

ash_status ash_export_merges(const ash_vocab *v, uint32_t rows, ash_vocab_merge **out, uint32_t *count,
                             ash_error *err)
{
    *count = 0;
    *out = malloc(((size_t)v->header->merge_slot_count + 1) * sizeof **out); /* the table itself is in the file */
    if (!*out)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the tokenizer's merges");
    for (uint32_t i = 0; i < v->header->merge_slot_count; i++) {
        const ash_vocab_merge *m = &v->merges[i];
        if (m->left != ASH_VOCAB_NONE && m->left < rows && m->right < rows && m->result < rows && used(v, m->left) &&
            used(v, m->right))
            (*out)[(*count)++] = *m;
    }
    qsort(*out, *count, sizeof **out, by_rank);
    return ASH_OK;
}

/* "left right". A side that is empty or has a space inside is no spelling in the alphabet: nothing leads there, it is
 * left out. */
static ash_status put_merges(ash_export *e, const ash_alphabet *a, uint32_t rows, ash_error *err)
{
    ash_vocab_merge *merges;
    uint32_t count;
    uint64_t bytes = 0;
    ASH_TRY(ash_export_merges(&e->vocab, rows, &merges, &count, err));
    for (uint32_t i = 0; i < count; i++)
        bytes += 2 * ((uint64_t)e->vocab.tokens[merges[i].left].bytes + e->vocab.tokens[merges[i].right].bytes) + 1;
    texts t;
    ash_status status = texts_init(e, &t, count, bytes, err);
    for (uint32_t i = 0; i < count && status == ASH_OK; i++) {
        char *at = t.arena + t.used;
        size_t left = spell(&e->vocab, a, merges[i].left, at);
        at[left] = ' ';
        size_t right = spell(&e->vocab, a, merges[i].right, at + left + 1);
        if (left == 0 || right == 0 || memchr(at, ' ', left) || memchr(at + left + 1, ' ', right))
            continue;
        t.items[t.count++] = (ash_gguf_string){ at, left + 1 + right };
        t.used += left + 1 + right;
    }
    if (status == ASH_OK)
        status = ash_gguf_writer_kv_strings(e->gguf, KEY "merges", t.items, t.count, err);
    texts_free(&t);
    free(merges);
    return status;
}

/* ---- special ids ---- */

static ash_status put_id(ash_export *e, const char *key, int32_t id, ash_error *err)
{
    if (id < 0 || (uint32_t)id >= e->meta.h.vocab)
        return ASH_OK;
    return ash_gguf_writer_kv_u32(e->gguf, key, (uint32_t)id, err);
}

static bool in_template(const ash_export *e, uint32_t id)
{
    size_t size;
    const char *text = (const char *)ash_vocab_bytes(&e->vocab, id, &size);
    return e->meta.chat_template && size != 0 &&
           memmem(e->meta.chat_template, strlen(e->meta.chat_template), text, size);
}

/* GGUF has three keys for what ends a text. The tokenizer's own eos is eos; of the other ids the one that the chat
 * template writes is eot. */
static ash_status put_ends(ash_export *e, ash_error *err)
{
    const ash_meta *m = &e->meta;
    int32_t eos = e->vocab.header->eos, others[ASH_STOP_MAX];
    uint32_t count = 0;
    if (eos < 0 && m->stop_count > 0)
        eos = m->stop[0];
    for (uint32_t i = 0; i < m->stop_count; i++)
        if (m->stop[i] != eos)
            others[count++] = m->stop[i];
    for (uint32_t i = 1; i < count; i++)
        if (in_template(e, (uint32_t)others[i]) && !in_template(e, (uint32_t)others[0])) {
            int32_t end = others[i];
            memmove(others + 1, others, i * sizeof *others);
            others[0] = end;
        }
    ASH_TRY(put_id(e, KEY "eos_token_id", eos, err));
    ASH_TRY(put_id(e, KEY "eot_token_id", count > 0 ? others[0] : -1, err));
    ASH_TRY(put_id(e, KEY "eom_token_id", count > 1 ? others[1] : -1, err));
    if (count > 2)
        ash_export_note(e, "GGUF has keys for three ids that end a text: %" PRIu32 " more of the model's are left out",
                        count - 2);
    return ASH_OK;
}

static ash_status put_template(ash_export *e, const char *key, const char *text, ash_error *err)
{
    return text && *text ? ash_gguf_writer_kv_string(e->gguf, key, text, strlen(text), err) : ASH_OK;
}

static ash_status put_special(ash_export *e, ash_error *err)
{
    const ash_meta *m = &e->meta;
    const ash_vocab_header *h = e->vocab.header;
    ASH_TRY(put_id(e, KEY "bos_token_id", m->bos, err));
    ASH_TRY(put_ends(e, err));
    ASH_TRY(put_id(e, KEY "unknown_token_id", h->unk, err));
    ASH_TRY(put_id(e, KEY "padding_token_id", m->pad, err));
    ASH_TRY(ash_gguf_writer_kv_bool(e->gguf, KEY "add_bos_token", m->add_bos, err));
    if (h->flags & ASH_VOCAB_ADD_EOS)
        ASH_TRY(ash_gguf_writer_kv_bool(e->gguf, KEY "add_eos_token", true, err));
    ASH_TRY(put_template(e, "tokenizer.chat_template", m->chat_template, err));
    return put_template(e, "tokenizer.chat_template.tool_use", m->tool_template, err);
}

/* ---- kinds of tokenizer ---- */

/* What the file does and a GGUF cannot say. */
static void tell_losses(const ash_export *e)
{
    const ash_vocab *v = &e->vocab;
    uint32_t sided = 0;
    for (uint32_t i = 0; i < v->header->added_count; i++)
        sided += (v->added[i].flags & (ASH_ADDED_LSTRIP | ASH_ADDED_RSTRIP | ASH_ADDED_SINGLE_WORD)) != 0;
    if (sided)
        ash_export_note(e, "%" PRIu32 " added tokens take white space beside them or want whole words, which GGUF has "
                        "no key for", sided);
    for (uint32_t i = 0; i < v->header->step_count; i++)
        if (v->steps[i].kind == ASH_STEP_NFC)
            ash_export_note(e, "the tokenizer normalizes text to NFC, which llama.cpp does not");
    if (v->header->token_count > e->meta.h.vocab)
        ash_export_note(e, "left out the last %" PRIu32 " tokens: the embedding has no rows for them",
                        v->header->token_count - e->meta.h.vocab);
}

static ash_status put_byte_bpe(ash_export *e, ash_error *err)
{
    char pre[ASH_PRE_NAME_MAX];
    if (ash_pretokenizer_name(&e->vocab, pre, err) != ASH_OK)
        return ash_fail_in(err, e->path);
    ash_alphabet a;
    ash_alphabet_make(&a);
    ASH_TRY(ash_gguf_writer_kv_string(e->gguf, KEY "model", "gpt2", 4, err));
    ASH_TRY(ash_gguf_writer_kv_string(e->gguf, KEY "pre", pre, strlen(pre), err));
    ASH_TRY(put_tokens(e, &a, e->meta.h.vocab, NULL, err));
    return put_merges(e, &a, e->meta.h.vocab, err);
}

static ash_status put_spm(ash_export *e, ash_error *err)
{
    bool prefix = false;
    ASH_TRY(ash_export_spm_steps(e, &prefix, err));
    ASH_TRY(ash_gguf_writer_kv_bool(e->gguf, KEY "add_space_prefix", prefix, err));
    ASH_TRY(ash_gguf_writer_kv_string(e->gguf, KEY "model", "llama", 5, err));
    ASH_TRY(ash_gguf_writer_kv_string(e->gguf, KEY "pre", "default", 7, err));
    float *scores = malloc(((size_t)e->meta.h.vocab + 1) * sizeof *scores);
    if (!scores)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    ash_status status = ash_export_spm_scores(e, e->meta.h.vocab, scores, err);
    if (status == ASH_OK)
        status = put_tokens(e, NULL, e->meta.h.vocab, scores, err);
    free(scores);
    return status;
}

ash_status ash_export_vocab(ash_export *e, ash_error *err)
{
    switch (e->vocab.header->model) {
    case ASH_VOCAB_BYTE_BPE: ASH_TRY(put_byte_bpe(e, err)); break;
    case ASH_VOCAB_SPM_BPE:
    case ASH_VOCAB_CHAR_BPE: ASH_TRY(put_spm(e, err)); break;
    default:
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: a Unigram tokenizer comes to GGUF with a later version; BPE and "
                        "SentencePiece BPE can be exported", e->path);
    }
    tell_losses(e);
    return put_special(e, err);
}
