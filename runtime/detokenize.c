/* Token ids to text, one after another: the decoder's steps, then whole characters.
 *
 * Up to FUSE (or DECODE_BYTES) steps work on each token, behind it on the text that flows on: then a search holds back
 * what may still become a match, and a strip at the end holds back what may still be the end. */
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

typedef struct stage {
    uint16_t kind, behaviour;
    uint32_t flags;
    const uint8_t *text, *second;
    uint32_t text_bytes, second_bytes, left, right; /* left, right: characters to strip */
    bool flows;        /* behind FUSE */
    uint32_t stripped; /* flows: at the start so far */
    bool begun;        /* flows: something else has come; DECODE_SPM: nothing is to lose any more */
    ash_buffer held;   /* flows: what may still match */
    uint64_t waiting;  /* flows: characters that may be the end */
} stage;

struct ash_decoding {
    const ash_vocab *vocab;
    unsigned flags;
    uint64_t tokens; /* that gave text */
    bool any_text;
    uint32_t count;
    ash_utf8_stream utf8;
    ash_buffer now, next, out;
    stage stages[ASH_VOCAB_STEPS_MAX];
};

ash_status ash_decoding_new(const ash_tokenizer *t, unsigned flags, ash_decoding **out, ash_error *err)
{
    *out = NULL;
    ash_decoding *d = calloc(1, sizeof *d);
    if (!d)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory to decode");
    const ash_vocab *v = d->vocab = ash_tokenizer_vocab(t);
    d->flags = flags;
    bool flows = false, goes_on = (flags & ASH_DECODE_CONTINUE) != 0;
    d->tokens = d->any_text = goes_on;
    for (uint32_t i = 0; i < v->header->step_count; i++) {
        const ash_vocab_step *s = &v->steps[i];
        if (!ash_step_decodes(s->kind) || s->kind == ASH_STEP_DECODE_FALLBACK)
            continue;
        if (s->kind == ASH_STEP_DECODE_FUSE || s->kind == ASH_STEP_DECODE_BYTES) {
            flows = true;
            continue;
        }
        stage *g = &d->stages[d->count++];
        *g = (stage){ .kind = s->kind, .behaviour = s->behaviour, .flags = s->flags, .flows = flows,
                      .text = v->pool + s->text_offset, .text_bytes = s->text_bytes,
                      .second = v->pool + s->second_offset, .second_bytes = s->second_bytes,
                      .left = s->numbers[0], .right = s->numbers[1], .begun = goes_on };
        if (s->kind == ASH_STEP_DECODE_METASPACE) { /* a search for its character */
            bool drops = s->behaviour != ASH_PREPEND_NEVER && !goes_on;
            g->second = (const uint8_t *)" ";
            g->second_bytes = flows && drops ? 0 : 1;
        }
    }
    *out = d;
    return ASH_OK;
}

void ash_decoding_free(ash_decoding *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->count; i++)
        free(d->stages[i].held.bytes);
    free(d->now.bytes);
    free(d->next.bytes);
    free(d->out.bytes);
    free(d);
}

/* ---- one token ---- */

static ash_status replace(const uint8_t *in, size_t size, const uint8_t *text, size_t text_bytes, const uint8_t *second,
                          size_t second_bytes, ash_buffer *out, ash_error *err)
{
    for (size_t at = 0; at < size;) {
        const uint8_t *hit = text_bytes == 0 ? NULL : memmem(in + at, size - at, text, text_bytes);
        size_t end = hit ? (size_t)(hit - in) : size;
        ASH_TRY(ash_buffer_add(out, in + at, end - at, err));
        if (hit)
            ASH_TRY(ash_buffer_add(out, second, second_bytes, err));
        at = hit ? end + text_bytes : size;
    }
    return ASH_OK;
}

static bool begins_with(const uint8_t *in, size_t size, const uint8_t *text, size_t n)
{
    return n != 0 && size >= n && memcmp(in, text, n) == 0;
}

static ash_status strip_token(const stage *g, const uint8_t *in, size_t size, ash_buffer *out, ash_error *err)
{
    size_t n = g->text_bytes;
    for (uint32_t i = 0; i < g->left && begins_with(in, size, g->text, n); i++)
        in += n, size -= n;
    for (uint32_t i = 0; i < g->right && size >= n && begins_with(in + size - n, n, g->text, n); i++)
        size -= n;
    return ash_buffer_add(out, in, size, err);
}

/* SentencePiece's Decode: a piece loses the space in front as long as the text is empty; without TRIM only the first
 * piece that has one. */
static ash_status spm_token(ash_decoding *d, stage *g, uint32_t id, const uint8_t *in, size_t size, ash_buffer *out,
                            ash_error *err)
{
    if (d->any_text)
        g->begun = true;
    if (d->vocab->tokens[id].type == ASH_TOKEN_UNKNOWN)
        return ash_buffer_add(out, " \xe2\x81\x87 ", 5, err);
    if (!g->begun && g->flags & (ASH_STEP_DUMMY | ASH_STEP_TRIM) &&
        begins_with(in, size, ash_space_symbol, sizeof ash_space_symbol)) {
        in += sizeof ash_space_symbol;
        size -= sizeof ash_space_symbol;
        g->begun = !(g->flags & ASH_STEP_TRIM);
    }
    return replace(in, size, ash_space_symbol, sizeof ash_space_symbol, (const uint8_t *)" ", 1, out, err);
}

static ash_status token_stage(ash_decoding *d, stage *g, uint32_t id, const uint8_t *in, size_t size, ash_buffer *out,
                              ash_error *err)
{
    switch ((ash_vocab_step_kind)g->kind) {
    case ASH_STEP_DECODE_REPLACE:
        return replace(in, size, g->text, g->text_bytes, g->second, g->second_bytes, out, err);
    case ASH_STEP_DECODE_STRIP: return strip_token(g, in, size, out, err);
    case ASH_STEP_DECODE_METASPACE: {
        bool drops = d->tokens == 0 && g->behaviour != ASH_PREPEND_NEVER;
        return replace(in, size, g->text, g->text_bytes, g->second, drops ? 0 : 1, out, err);
    }
    case ASH_STEP_DECODE_SPM: return spm_token(d, g, id, in, size, out, err);
    case ASH_STEP_DECODE_JOIN:
        if (d->tokens != 0)
            ASH_TRY(ash_buffer_add(out, " ", 1, err));
        return ash_buffer_add(out, in, size, err);
    default: return ash_buffer_add(out, in, size, err);
    }
}

/* ---- the text behind FUSE ---- */

/* Replaces in what is held and `in`; keeps the longest end that is a beginning of the text looked for. */
static ash_status flow_replace(stage *g, const uint8_t *in, size_t size, bool last, ash_buffer *out, ash_error *err)
{
    ash_buffer *held = &g->held;
    size_t n = g->text_bytes;
    if (n == 0)
        return ash_buffer_add(out, in, size, err);
    ASH_TRY(ash_buffer_add(held, in, size, err));
    size_t at = 0;
    const uint8_t *hit;
    while (held->size - at >= n && (hit = memmem(held->bytes + at, held->size - at, g->text, n)) != NULL) {
        size_t end = (size_t)(hit - held->bytes);
        ASH_TRY(ash_buffer_add(out, held->bytes + at, end - at, err));
        ASH_TRY(ash_buffer_add(out, g->second, g->second_bytes, err));
        at = end + n;
    }
    size_t keep = last ? 0 : held->size - at < n ? held->size - at : n - 1;
    while (keep != 0 && memcmp(held->bytes + held->size - keep, g->text, keep) != 0)
        keep--;
    size_t pass = held->size - at - keep;
    ASH_TRY(ash_buffer_add(out, pass ? held->bytes + at : NULL, pass, err));
    if (keep != 0)
        memmove(held->bytes, held->bytes + held->size - keep, keep);
    held->size = keep;
    return ASH_OK;
}

/* Strips characters one by one: a partial one waits in `held`. */
static ash_status flow_strip(stage *g, const uint8_t *in, size_t size, bool last, ash_buffer *out, ash_error *err)
{
    ash_buffer *held = &g->held;
    size_t n = g->text_bytes, at = 0;
    if (held->size == 0 && g->right == 0 && (g->begun || g->stripped == g->left))
        return ash_buffer_add(out, in, size, err);
    ASH_TRY(ash_buffer_add(held, in, size, err));
    while (at < held->size) {
        size_t rest = held->size - at;
        if (rest < n && !last && memcmp(held->bytes + at, g->text, rest) == 0)
            break;
        if (!begins_with(held->bytes + at, rest, g->text, n)) {
            for (; g->waiting != 0; g->waiting--)
                ASH_TRY(ash_buffer_add(out, g->text, n, err));
            ASH_TRY(ash_buffer_add(out, held->bytes + at, 1, err));
            g->begun = true;
            at++;
        } else if (!g->begun && g->stripped < g->left) {
            g->stripped++;
            at += n;
        } else {
            g->begun = true;
            at += n;
            if (g->waiting < g->right)
                g->waiting++;
            else
                ASH_TRY(ash_buffer_add(out, g->text, n, err));
        }
    }
    if (at != 0 && at < held->size)
        memmove(held->bytes, held->bytes + at, held->size - at);
    held->size -= at;
    return ASH_OK;
}

static ash_status flow_stage(stage *g, const uint8_t *in, size_t size, bool last, ash_buffer *out, ash_error *err)
{
    switch ((ash_vocab_step_kind)g->kind) {
    case ASH_STEP_DECODE_REPLACE:
    case ASH_STEP_DECODE_METASPACE: return flow_replace(g, in, size, last, out, err);
    case ASH_STEP_DECODE_STRIP: return flow_strip(g, in, size, last, out, err);
    case ASH_STEP_DECODE_SPM:
        return replace(in, size, ash_space_symbol, sizeof ash_space_symbol, (const uint8_t *)" ", 1, out, err);
    default: return ash_buffer_add(out, in, size, err);
    }
}

/* ---- all stages ---- */

/* From stage `from` on; id: of the token, while the stages see tokens. The result is appended to d->out. */
static ash_status run(ash_decoding *d, uint32_t from, uint32_t id, const uint8_t *in, size_t size, bool last,
                      ash_error *err)
{
    bool byte = id < d->vocab->header->token_count && d->vocab->tokens[id].type == ASH_TOKEN_BYTE;
    for (uint32_t i = from; i < d->count; i++) {
        stage *g = &d->stages[i];
        if (!g->flows && (last || (byte && g->kind != ASH_STEP_DECODE_JOIN)))
            continue;
        d->next.size = 0;
        ASH_TRY(g->flows ? flow_stage(g, in, size, last, &d->next, err)
                         : token_stage(d, g, id, in, size, &d->next, err));
        ash_buffer swap = d->now;
        d->now = d->next;
        d->next = swap;
        in = d->now.bytes;
        size = d->now.size;
    }
    ASH_TRY(ash_buffer_reserve(&d->out, size + 8, err));
    d->out.size += ash_utf8_push(&d->utf8, (const char *)in, size, (char *)d->out.bytes + d->out.size);
    d->any_text |= size != 0;
    return ASH_OK;
}

ash_status ash_decoding_push(ash_decoding *d, const int32_t *ids, size_t count, const char **out, size_t *size,
                             ash_error *err)
{
    d->out.size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const uint8_t *bytes = ash_vocab_bytes(d->vocab, (uint32_t)ids[i], &n);
        if (n == 0)
            continue;
        const ash_vocab_token *t = &d->vocab->tokens[ids[i]];
        if (t->flags & ASH_TOKEN_SPECIAL && !(d->flags & ASH_DECODE_SPECIAL))
            continue;
        ASH_TRY(run(d, 0, (uint32_t)ids[i], bytes, n, false, err));
        d->tokens++;
    }
    *out = (const char *)d->out.bytes;
    *size = d->out.size;
    return ASH_OK;
}

ash_status ash_decoding_finish(ash_decoding *d, const char **out, size_t *size, ash_error *err)
{
    d->out.size = 0;
    ASH_TRY(run(d, 0, ASH_VOCAB_NONE, NULL, 0, true, err));
    d->out.size += ash_utf8_flush(&d->utf8, (char *)d->out.bytes + d->out.size);
    *out = (const char *)d->out.bytes;
    *size = d->out.size;
    return ASH_OK;
}
