/* Tokenizers of SentencePiece's kind as a GGUF's "llama": whether llama.cpp's steps are theirs, and the scores that its
 * merging goes by. llama.cpp puts a space in front of a text or not, turns spaces into U+2581, and then merges any two
 * neighbours that form a token, the highest score first; what is left is bytes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "convert/export_internal.h"
#include "convert/tokenizer_internal.h"

#define TOKEN_BYTES_MAX 512 /* of a token that merges may give: each of its splits is looked up */
/* What llama.cpp's converter gives to added tokens and to ids without a token. */
#define ADDED_SCORE (-1000.0f)
#define UNUSED_SCORE (-10000.0f)

/* ---- steps ---- */

static bool text_is(const ash_vocab *v, uint32_t offset, uint32_t bytes, const char *text)
{
    return bytes == strlen(text) && memcmp(v->pool + offset, text, bytes) == 0;
}

static ash_status refused(const ash_export *e, const char *what, ash_error *err)
{
    return ash_fail(err, ASH_E_UNSUPPORTED, "%s: the tokenizer %s, which llama.cpp's SentencePiece tokenizer does not",
                    e->path, what);
}

/* The one step of a tokenizer.model. */
static ash_status check_spm(const ash_export *e, const ash_vocab_step *s, bool *prefix, ash_error *err)
{
    *prefix = (s->flags & ASH_STEP_DUMMY) != 0;
    if (s->kind != ASH_STEP_SPM)
        return refused(e, "has steps besides SentencePiece's", err);
    if (s->flags & ASH_STEP_SUFFIX)
        return refused(e, "puts the space behind words (treat_whitespace_as_suffix)", err);
    if (s->flags & ASH_STEP_TRIM)
        return refused(e, "removes extra white space (remove_extra_whitespaces)", err);
    if (s->text_bytes != 0)
        return refused(e, "normalizes text by a map (normalization_rule_name)", err);
    return s->flags & ASH_STEP_ESCAPE ? ASH_OK : refused(e, "keeps spaces as they are (escape_whitespaces)", err);
}

/* The steps of a tokenizer.json that was made from such a model: Prepend and Replace, or Metaspace. */
static ash_status check_characters(const ash_export *e, const ash_vocab_step *steps, uint32_t count, bool *prefix,
                                   ash_error *err)
{
    const ash_vocab *v = &e->vocab;
    const ash_vocab_step *s = steps;
    if (count == 1 && s->kind == ASH_STEP_METASPACE && text_is(v, s->text_offset, s->text_bytes, ASH_METASPACE)) {
        *prefix = s->behaviour != ASH_PREPEND_NEVER;
        if (s->flags & ASH_STEP_CUT)
            return refused(e, "cuts text at spaces (Metaspace with split)", err);
        if (*prefix)
            ash_export_note(e, "llama.cpp puts a space in front of every text, also of one that begins with a space%s",
                            s->behaviour == ASH_PREPEND_FIRST ? " or follows a special token; the tokenizer does not"
                                                              : ", where the tokenizer does not");
        return ASH_OK;
    }
    *prefix = count == 2 && s->kind == ASH_STEP_PREPEND && text_is(v, s->text_offset, s->text_bytes, ASH_METASPACE);
    s += *prefix;
    if (count == 1 + (uint32_t)*prefix && s->kind == ASH_STEP_REPLACE && s->flags == ASH_STEP_LITERAL &&
        text_is(v, s->text_offset, s->text_bytes, " ") && text_is(v, s->second_offset, s->second_bytes, ASH_METASPACE))
        return ASH_OK;
    return refused(e, "has other steps than Prepend and Replace of spaces, or Metaspace", err);
}

ash_status ash_export_spm_steps(const ash_export *e, bool *prefix, ash_error *err)
{
    const ash_vocab *v = &e->vocab;
    uint32_t count = 0; /* steps on the way in come first */
    while (count < v->header->step_count && !ash_step_decodes(v->steps[count].kind))
        count++;
    if (count == 0)
        return refused(e, "leaves spaces as they are", err);
    if (v->header->model == ASH_VOCAB_SPM_BPE && count > 1)
        return refused(e, "has steps besides SentencePiece's", err);
    ASH_TRY(v->header->model == ASH_VOCAB_SPM_BPE ? check_spm(e, v->steps, prefix, err)
                                                  : check_characters(e, v->steps, count, prefix, err));
    bool bytes = (v->header->flags & ASH_VOCAB_BYTE_FALLBACK) != 0;
    for (int i = 0; i < 256; i++)
        bytes &= v->header->byte_ids[i] >= 0 && (uint32_t)v->header->byte_ids[i] < e->meta.h.vocab;
    if (!bytes)
        return refused(e, "has no token for some bytes", err);
    if (v->header->flags & ASH_VOCAB_IGNORE_MERGES)
        return refused(e, "takes a text that is a token as that token (ignore_merges)", err);
    uint32_t symbols = 0;
    for (uint32_t i = 0; i < v->header->added_count; i++)
        symbols += (v->added[i].flags & ASH_ADDED_SYMBOL) != 0;
    if (symbols && *prefix)
        ash_export_note(e, "llama.cpp puts a space behind each of the %" PRIu32 " user-defined symbols; the tokenizer "
                        "does not", symbols);
    return ASH_OK;
}

/* ---- scores ---- */

/* Scores decide like the merges where these go result by result. */
static ash_status score_merges(const ash_export *e, const ash_vocab_merge *merges, uint32_t count, bool *scored,
                               float *scores, ash_error *err)
{
    uint32_t place = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = merges[i].result;
        if (scored[id] && merges[i - 1].result != id)
            return ash_fail(err, ASH_E_UNSUPPORTED, "%s: the tokenizer's merges are in no order of their results "
                            "(token %" PRIu32 "), so that scores, which a GGUF has for such a tokenizer, cannot stand "
                            "for them", e->path, id);
        if (!scored[id])
            scores[id] = -(float)place++; /* exact: below 2^24 tokens */
        scored[id] = true;
    }
    return ASH_OK;
}

/* And where each two tokens that form a token are a merge. */
static ash_status check_complete(const ash_export *e, uint32_t rows, ash_error *err)
{
    const ash_vocab *v = &e->vocab;
    for (uint32_t id = 0; id < rows && id < v->header->token_count; id++) {
        size_t size;
        const uint8_t *bytes = ash_vocab_bytes(v, id, &size);
        if (!(v->tokens[id].flags & ASH_TOKEN_MODEL))
            continue;
        if (size > TOKEN_BYTES_MAX)
            return ash_fail(err, ASH_E_LIMIT, "%s: token %" PRIu32 " has %zu bytes, at most %d are exported", e->path,
                            id, size, TOKEN_BYTES_MAX);
        uint32_t left, right;
        for (size_t at = 1; ash_export_split(v, bytes, size, &at, &left, &right);) {
            const ash_vocab_merge *m = ash_vocab_find_merge(v, left, right);
            if (!m || m->result != id)
                return ash_fail(err, ASH_E_UNSUPPORTED, "%s: the tokenizer does not merge tokens %u and %u to token "
                                "%" PRIu32 ", as llama.cpp would: its merges cannot be said in a GGUF", e->path, left,
                                right, id);
        }
    }
    return ASH_OK;
}

ash_status ash_export_spm_scores(const ash_export *e, uint32_t rows, float *scores, ash_error *err)
{
    const ash_vocab *v = &e->vocab;
    for (uint32_t id = 0; id < rows; id++) {
        bool known = id < v->header->token_count && v->tokens[id].bytes != 0;
        scores[id] = known ? v->tokens[id].score : UNUSED_SCORE;
        if (known && (v->tokens[id].flags & ASH_TOKEN_ADDED) && scores[id] == 0)
            scores[id] = ADDED_SCORE;
    }
    if (v->header->model != ASH_VOCAB_CHAR_BPE)
        return ASH_OK;
    ash_vocab_merge *merges = NULL;
    uint32_t count;
    bool *scored = calloc((size_t)rows + 1, sizeof *scored);
    ash_status status = scored ? ash_export_merges(&e->vocab, rows, &merges, &count, err)
                               : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    if (status == ASH_OK)
        status = score_merges(e, merges, count, scored, scores, err);
    if (status == ASH_OK)
        status = check_complete(e, rows, err);
    free(merges);
    free(scored);
    return status;
}
