/* The vocabulary under import: texts to ids, and the hand-over to the section's builder. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "convert/byte_alphabet.h"
#include "convert/tokenizer_internal.h"

/* ---- the draft ---- */

ash_status ash_draft_init(ash_draft *d, uint64_t token_count, uint64_t added_max, ash_error *err)
{
    memset(d, 0, sizeof *d);
    d->model = ASH_VOCAB_BYTE_BPE;
    d->bos = d->eos = d->pad = d->unk = -1;
    if (token_count == 0 || token_count > ASH_VOCAB_TOKENS_MAX || added_max > ASH_VOCAB_ADDED_MAX)
        return ash_fail(
            err, ASH_E_LIMIT, "a vocabulary of %llu tokens with %llu added ones; allowed are 1 to %u, and %u",
            (unsigned long long)token_count, (unsigned long long)added_max, ASH_VOCAB_TOKENS_MAX, ASH_VOCAB_ADDED_MAX);
    size_t slots = 16;
    while (slots < 2 * token_count)
        slots *= 2;
    d->token_count = (uint32_t)token_count;
    d->added_room = (uint32_t)added_max;
    d->map_mask = (uint32_t)(slots - 1);
    d->tokens = calloc(token_count, sizeof *d->tokens);
    d->map = malloc(slots * sizeof *d->map);
    d->added = malloc((added_max + 1) * sizeof *d->added);
    d->owned = malloc(2 * ASH_VOCAB_STEPS_MAX * sizeof *d->owned);
    if (!d->tokens || !d->map || !d->added || !d->owned) {
        ash_draft_free(d);
        return ash_fail(err, ASH_E_MEMORY, "no memory for a vocabulary of %llu tokens",
                        (unsigned long long)token_count);
    }
    memset(d->map, 0xff, slots * sizeof *d->map);
    return ASH_OK;
}

void ash_draft_free(ash_draft *d)
{
    for (uint32_t i = 0; i < d->owned_count; i++)
        free(d->owned[i]);
    free(d->owned);
    free(d->tokens);
    free(d->map);
    free(d->merges);
    free(d->added);
    memset(d, 0, sizeof *d);
}

/* The slot of a text: its own, or the empty one where it belongs. The map is at most half full. */
static uint32_t slot_of(const ash_draft *d, const char *text, size_t size)
{
    uint32_t at = (uint32_t)XXH3_64bits(text, size) & d->map_mask;
    for (; d->map[at] != ASH_VOCAB_NONE; at = (at + 1) & d->map_mask) {
        const ash_draft_token *t = &d->tokens[d->map[at]];
        if (t->size == size && memcmp(t->text, text, size) == 0)
            break;
    }
    return at;
}

int32_t ash_draft_find(const ash_draft *d, const char *text, size_t size)
{
    uint32_t id = d->map[slot_of(d, text, size)];
    return id == ASH_VOCAB_NONE ? -1 : (int32_t)id;
}

ash_status ash_draft_token_add(ash_draft *d, uint32_t id, ash_draft_token token, bool replace, ash_error *err)
{
    if (id >= d->token_count)
        return ash_fail(err, ASH_E_FORMAT, "token \"%.*s\" has id %u in a vocabulary of %u",
                        token.size < 60 ? (int)token.size : 60, token.text, id, d->token_count);
    if (d->tokens[id].text)
        return ash_fail(err, ASH_E_FORMAT, "tokens \"%.*s\" and \"%.*s\" have the same id %u",
                        d->tokens[id].size < 60 ? (int)d->tokens[id].size : 60, d->tokens[id].text,
                        token.size < 60 ? (int)token.size : 60, token.text, id);
    uint32_t at = slot_of(d, token.text, token.size), other = d->map[at];
    if (other != ASH_VOCAB_NONE && !replace)
        return ash_fail(err, ASH_E_FORMAT, "token \"%.*s\" has the ids %u and %u",
                        token.size < 60 ? (int)token.size : 60, token.text, other, id);
    if (other != ASH_VOCAB_NONE)
        d->tokens[other].model = false; /* the merges can only mean one of the two */
    d->tokens[id] = token;
    d->map[at] = id;
    return ASH_OK;
}

static ash_status model_token(const ash_draft *d, const char *text, size_t size, const char *what, uint32_t *id,
                              ash_error *err)
{
    int32_t found = ash_draft_find(d, text, size);
    if (found < 0 || !d->tokens[found].model)
        return ash_fail(err, ASH_E_FORMAT, "merge %u: its %s \"%.*s\" is not in the vocabulary", d->merge_count, what,
                        size < 60 ? (int)size : 60, text);
    *id = (uint32_t)found;
    return ASH_OK;
}

ash_status ash_draft_merge(ash_draft *d, const char *left, size_t left_size, const char *right, size_t right_size,
                           ash_error *err)
{
    if (d->merge_count == d->merge_room) {
        uint32_t room = d->merge_room ? 2 * d->merge_room : 1u << 14;
        ash_vocab_source_merge *merges = room > ASH_VOCAB_MERGES_MAX ? NULL : realloc(d->merges, room * sizeof *merges);
        if (!merges)
            return ash_fail(err, room > ASH_VOCAB_MERGES_MAX ? ASH_E_LIMIT : ASH_E_MEMORY,
                            "no room for more than %u merges", d->merge_count);
        d->merges = merges;
        d->merge_room = room;
    }
    ash_vocab_source_merge m;
    ASH_TRY(model_token(d, left, left_size, "left side", &m.left, err));
    ASH_TRY(model_token(d, right, right_size, "right side", &m.right, err));
    char small[256], *joined = small;
    if (left_size + right_size > sizeof small && !(joined = malloc(left_size + right_size)))
        return ash_fail(err, ASH_E_MEMORY, "no memory for a merge of %zu bytes", left_size + right_size);
    memcpy(joined, left, left_size);
    memcpy(joined + left_size, right, right_size);
    ash_status status = model_token(d, joined, left_size + right_size, "result", &m.result, err);
    if (joined != small)
        free(joined);
    if (status == ASH_OK)
        d->merges[d->merge_count++] = m;
    return status;
}

ash_status ash_draft_added(ash_draft *d, uint32_t id, uint32_t flags, ash_error *err)
{
    ash_draft_token *t = &d->tokens[id];
    if (t->added)
        return ash_fail(err, ASH_E_FORMAT, "the added token \"%.*s\" is listed twice", t->size < 60 ? (int)t->size : 60,
                        t->text);
    if (d->added_count == d->added_room)
        return ash_fail(err, ASH_E_LIMIT, "more than %u added tokens", d->added_room);
    t->added = true;
    t->special = (flags & ASH_ADDED_SPECIAL) != 0;
    d->added[d->added_count++] = (ash_vocab_source_added){ id, flags, (const uint8_t *)t->text, t->size };
    return ASH_OK;
}

int ash_draft_byte(const char *text, size_t size)
{
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int byte = 0;
    for (size_t i = 3; i < 5; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')))
            return -1;
        byte = 16 * byte + (c <= '9' ? c - '0' : c - 'A' + 10);
    }
    return byte;
}

void ash_draft_unk_score(ash_draft *d, bool all)
{
    double low = DBL_MAX;
    for (uint32_t i = 0; i < d->token_count; i++) {
        const ash_draft_token *t = &d->tokens[i];
        if (t->text && t->model && (all || t->type == ASH_TOKEN_NORMAL) && t->score < low)
            low = t->score;
    }
    d->unk_score = (low == DBL_MAX ? 0 : low) - 10;
}

/* ---- steps ---- */

static ash_status own(ash_draft *d, const char **text, uint32_t size, ash_error *err)
{
    if (!*text)
        return ASH_OK;
    char *copy = malloc((size_t)size + 1);
    if (!copy)
        return ash_fail(err, ASH_E_MEMORY, "no memory for a text of %u bytes", size);
    memcpy(copy, *text, size);
    copy[size] = '\0';
    d->owned[d->owned_count++] = copy;
    *text = copy;
    return ASH_OK;
}

ash_status ash_draft_step(ash_draft *d, const ash_vocab_source_step *step, ash_error *err)
{
    bool map = step->kind == ASH_STEP_CHARSMAP || step->kind == ASH_STEP_SPM;
    uint32_t most = map ? ASH_VOCAB_MAP_MAX : ASH_VOCAB_PATTERN_MAX;
    if (d->step_count == ASH_VOCAB_STEPS_MAX || step->size > most || step->second_size > ASH_VOCAB_PATTERN_MAX)
        return ash_fail(err, ASH_E_LIMIT,
                        "more than %u steps around the model, or one with a text of more than %u bytes",
                        ASH_VOCAB_STEPS_MAX, most);
    ash_vocab_source_step *s = &d->steps[d->step_count];
    *s = *step;
    ASH_TRY(own(d, &s->text, s->size, err));
    ASH_TRY(own(d, &s->second, s->second_size, err));
    d->step_count++;
    return ASH_OK;
}

ash_status ash_draft_expression_step(ash_draft *d, const ash_vocab_source_step *step, ash_error *err)
{
    ash_vocab_source_step s = *step;
    char *text;
    size_t size;
    ASH_TRY(ash_expression_translate(step->text, step->size, &text, &size, err));
    s.text = text;
    s.size = (uint32_t)size;
    ash_status status = ash_draft_step(d, &s, err);
    free(text);
    return status;
}

ash_status ash_draft_split(ash_draft *d, const char *expression, bool literal, uint16_t behaviour, bool invert,
                           ash_error *err)
{
    size_t size = strlen(expression);
    ash_vocab_source_step s = {
        .kind = ASH_STEP_SPLIT,
        .behaviour = behaviour,
        .flags = (literal ? ASH_STEP_LITERAL : 0) | (invert ? ASH_STEP_INVERT : 0),
        .text = expression,
        .size = (uint32_t)(size < UINT32_MAX ? size : UINT32_MAX),
    };
    return literal ? ash_draft_step(d, &s, err) : ash_draft_expression_step(d, &s, err);
}

/* ---- to the section ---- */

static void alphabet_bytes(const ash_draft *d, const ash_alphabet *a, int32_t *ids)
{
    for (unsigned b = 0; b < 256; b++) {
        char text[2];
        uint8_t byte = (uint8_t)b;
        size_t size = ash_alphabet_encode(a, &byte, 1, text);
        int32_t id = ash_draft_find(d, text, size);
        ids[b] = id >= 0 && d->tokens[id].model ? id : -1;
    }
}

/* The first token of each byte. */
static void spelled_bytes(const ash_draft *d, int32_t *ids)
{
    for (uint32_t i = 0; i < d->token_count; i++) {
        int byte = d->tokens[i].text && d->tokens[i].model ? ash_draft_byte(d->tokens[i].text, d->tokens[i].size) : -1;
        if (byte >= 0 && ids[byte] < 0)
            ids[byte] = (int32_t)i;
    }
}

static ash_status byte_tokens(const ash_draft *d, const ash_alphabet *a, ash_vocab_source *s, ash_error *err)
{
    memset(s->byte_ids, 0xff, sizeof s->byte_ids);
    if (d->model != ASH_VOCAB_BYTE_BPE) {
        if (d->flags & ASH_VOCAB_BYTE_FALLBACK)
            spelled_bytes(d, s->byte_ids);
        return ASH_OK;
    }
    alphabet_bytes(d, a, s->byte_ids);
    bool missing = false;
    for (unsigned b = 0; b < 256; b++)
        missing |= s->byte_ids[b] < 0;
    if (missing && (d->flags & ASH_VOCAB_FUSE_UNK) && d->unk >= 0)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "model.fuse_unk with a vocabulary that lacks single bytes is not supported");
    if (missing && (d->flags & ASH_VOCAB_BYTE_FALLBACK))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "model.byte_fallback with a byte-level vocabulary that lacks single bytes is not supported");
    s->flags &= ~(uint32_t)(ASH_VOCAB_FUSE_UNK | ASH_VOCAB_BYTE_FALLBACK);
    return ASH_OK;
}

/* Token i for the builder. *raw: room for as many bytes as its text has; moves on by those that are used. */
static ash_vocab_source_token source_token(const ash_draft *d, const ash_alphabet *a, uint32_t i, uint8_t **raw)
{
    const ash_draft_token *t = &d->tokens[i];
    ash_vocab_source_token out = { (const uint8_t *)t->text, t->size, 0, t->type, t->score };
    if (!t->text) {
        out.type = ASH_TOKEN_UNUSED;
        return out;
    }
    if (t->added)
        out.flags = ASH_TOKEN_ADDED | (t->special ? ASH_TOKEN_SPECIAL : 0);
    uint32_t size = 0;
    bool usable = t->model && !t->special;
    if (d->model == ASH_VOCAB_BYTE_BPE) {
        bool decodes = ash_alphabet_decode(a, t->text, t->size, *raw, &size);
        bool same = decodes && size == t->size && memcmp(*raw, t->text, size) == 0;
        if (usable && (t->added ? same : decodes))
            out.flags |= ASH_TOKEN_MODEL;
        if (!decodes || t->added)
            return out;
    } else {
        int byte = t->type == ASH_TOKEN_BYTE && !t->added ? ash_draft_byte(t->text, t->size) : -1;
        if (usable && byte < 0)
            out.flags |= ASH_TOKEN_MODEL;
        if (byte < 0)
            return out;
        **raw = (uint8_t)byte;
        size = 1;
    }
    out.bytes = *raw;
    out.size = size;
    *raw += size;
    return out;
}

ash_status ash_draft_finish(ash_draft *d, ash_vocab_import *out, ash_error *err)
{
    ash_alphabet a;
    ash_alphabet_make(&a);
    ash_vocab_source s = {
        .model = d->model,
        .flags = d->flags,
        .unk_score = d->model == ASH_VOCAB_UNIGRAM ? d->unk_score : 0,
        .bos = d->bos,
        .eos = d->eos,
        .pad = d->pad,
        .unk = d->unk,
        .token_count = d->token_count,
        .merge_count = d->merge_count,
        .added_count = d->added_count,
        .step_count = d->step_count,
        .merges = d->merges,
        .added = d->added,
        .steps = d->steps,
        .last_duplicate = d->last_duplicate,
    };
    ASH_TRY(byte_tokens(d, &a, &s, err));
    uint64_t bytes = 1;
    for (uint32_t i = 0; i < d->token_count; i++)
        bytes += d->tokens[i].size;
    ash_vocab_source_token *tokens = calloc(d->token_count, sizeof *tokens);
    uint8_t *raw = malloc(bytes);
    if (!tokens || !raw) {
        free(tokens);
        free(raw);
        return ash_fail(err, ASH_E_MEMORY, "no memory for a vocabulary of %u tokens", d->token_count);
    }
    uint8_t *at = raw;
    for (uint32_t i = 0; i < d->token_count; i++)
        tokens[i] = source_token(d, &a, i, &at);
    s.tokens = tokens;
    ash_status status = ash_vocab_build(&s, &out->section, &out->size, err);
    free(tokens);
    free(raw);
    if (status != ASH_OK)
        return status;
    out->count = d->token_count;
    out->bos = d->bos;
    out->eos = d->eos;
    out->pad = d->pad;
    out->add_bos = (d->flags & ASH_VOCAB_ADD_BOS) != 0 && d->bos >= 0;
    return ASH_OK;
}

int32_t ash_vocab_find(const void *section, size_t size, const char *text, size_t bytes)
{
    ash_vocab v;
    ash_error err;
    return ash_vocab_open(section, size, &v, &err) == ASH_OK ? ash_vocab_search(&v, text, bytes, 0) : -1;
}
