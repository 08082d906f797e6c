/* The tokenizer: added tokens are found first, then what lies between is normalized, cut and merged. */
#include "runtime/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

/* One group of added tokens: those looked for in the text as it is, or those looked for in normalized text. */
typedef struct group {
    uint32_t first[256], end[256]; /* records that begin with this byte; end 0: none */
    uint32_t longest_bytes;
    bool any, plain[256];          /* plain: one of them is not special */
} group;

struct ash_tokenizer {
    ash_vocab vocab;
    ash_cutter *cutter;
    bool normalizes;
    group groups[2];
};

typedef struct encoding {
    const ash_tokenizer *t;
    unsigned flags;
    ash_ids ids;
    ash_bpe bpe;
    ash_cutting *cutting;
} encoding;

/* ---- open ---- */

static void index_added(const ash_vocab *v, uint32_t from, uint32_t to, group *g)
{
    for (uint32_t i = from; i < to; i++) {
        const ash_vocab_added *a = &v->added[i];
        uint8_t b = v->pool[a->offset];
        if (g->end[b] == 0)
            g->first[b] = i;
        g->end[b] = i + 1;
        g->plain[b] |= !(a->flags & ASH_ADDED_SPECIAL);
        g->any = true;
        if (a->bytes > g->longest_bytes)
            g->longest_bytes = a->bytes;
    }
}

ash_status ash_tokenizer_open(const void *section, size_t size, ash_tokenizer **out, ash_error *err)
{
    *out = NULL;
    ash_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory");
    ash_status status = ash_vocab_open(section, size, &t->vocab, err);
    if (status == ASH_OK)
        status = ash_cutter_new(&t->vocab, &t->cutter, err);
    if (status != ASH_OK) {
        ash_tokenizer_close(t);
        return status;
    }
    const ash_vocab_header *h = t->vocab.header;
    index_added(&t->vocab, 0, h->added_raw_count, &t->groups[0]);
    index_added(&t->vocab, h->added_raw_count, h->added_count, &t->groups[1]);
    t->normalizes = ash_normalizes(&t->vocab);
    *out = t;
    return ASH_OK;
}

void ash_tokenizer_close(ash_tokenizer *t)
{
    if (!t)
        return;
    ash_cutter_free(t->cutter);
    free(t);
}

/* ---- added tokens ---- */

static int compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

/* The longest record that the text begins with, or NULL. The records are sorted: the last one that is not greater than
 * the text is it, or shares fewer bytes with the text, and then the search repeats with that many. */
static const ash_vocab_added *longest_at(const ash_vocab *v, const group *g, const uint8_t *text, size_t size)
{
    uint32_t low = g->first[text[0]], high = g->end[text[0]];
    size_t limit = size < g->longest_bytes ? size : g->longest_bytes;
    while (low < high && limit != 0) {
        uint32_t from = low, to = high; /* the records in [low, from) are not greater */
        while (from < to) {
            uint32_t middle = from + (to - from) / 2;
            const ash_vocab_added *a = &v->added[middle];
            if (compare(v->pool + a->offset, a->bytes, text, limit) <= 0)
                from = middle + 1;
            else
                to = middle;
        }
        if (from == low)
            return NULL;
        const ash_vocab_added *a = &v->added[from - 1];
        const uint8_t *bytes = v->pool + a->offset;
        size_t same = 0, most = a->bytes < limit ? a->bytes : limit;
        while (same < most && bytes[same] == text[same])
            same++;
        if (same == a->bytes)
            return a;
        high = from - 1;
        limit = same;
    }
    return NULL;
}

static bool stands_alone(const uint8_t *text, size_t size, size_t start, size_t end)
{
    uint32_t code = 0;
    if (ash_utf8_last(text, start, &code) != 0 && ash_is_word(code))
        return false;
    return ash_utf8_char(text + end, size - end, &code) == 0 || !ash_is_word(code);
}

typedef ash_status between_fn(encoding *e, const uint8_t *text, size_t size, ash_error *err);

/* Gives what lies between added tokens to `between` and the tokens to the output. As in the reference, a match that is
 * not wanted here (special, or part of a word) is passed over as a whole, and the search goes on behind the match
 * itself: a token of white space is found even where the token before it has taken that white space. */
static ash_status added_tokens(encoding *e, const group *g, const uint8_t *text, size_t size, between_fn *between,
                               ash_error *err)
{
    const ash_vocab *v = &e->t->vocab;
    bool special = (e->flags & ASH_ENCODE_SPECIAL) != 0;
    size_t done = 0;
    for (size_t at = 0; g->any && at < size;) {
        uint8_t b = text[at];
        if (g->end[b] == 0 || !(special || g->plain[b])) {
            at++;
            continue;
        }
        const ash_vocab_added *a = longest_at(v, g, text + at, size - at);
        if (!a) {
            at++;
            continue;
        }
        size_t start = at, end = at + a->bytes;
        at = end;
        if ((a->flags & ASH_ADDED_SPECIAL) && !special)
            continue;
        if ((a->flags & ASH_ADDED_SINGLE_WORD) && !stands_alone(text, size, start, end))
            continue;
        uint32_t code;
        size_t step;
        if (a->flags & ASH_ADDED_LSTRIP)
            while (start > done && (step = ash_utf8_last(text + done, start - done, &code)) != 0 && ash_is_space(code))
                start -= step;
        if (a->flags & ASH_ADDED_RSTRIP)
            while ((step = ash_utf8_char(text + end, size - end, &code)) != 0 && ash_is_space(code))
                end += step;
        if (start > done)
            ASH_TRY(between(e, text + done, start - done, err));
        ASH_TRY(ash_ids_reserve(&e->ids, 1, err));
        e->ids.items[e->ids.count++] = (int32_t)a->id;
        done = end;
    }
    return done < size ? between(e, text + done, size - done, err) : ASH_OK;
}

/* ---- encode ---- */

static ash_status on_piece(void *context, const uint8_t *piece, size_t size, ash_error *err)
{
    encoding *e = context;
    return ash_bpe_piece(&e->bpe, piece, size, &e->ids, err);
}

static ash_status cut(encoding *e, const uint8_t *text, size_t size, ash_error *err)
{
    return ash_cut(e->cutting, text, size, err);
}

/* Valid UTF-8: normalize, find the added tokens that are looked for in normalized text, cut and merge the rest. */
static ash_status encode_valid(encoding *e, const uint8_t *text, size_t size, ash_error *err)
{
    uint8_t *own = NULL;
    if (e->t->normalizes && !ash_utf8_ascii(text, size)) {
        ASH_TRY(ash_normalize(&e->t->vocab, text, size, &own, &size, err));
        text = own;
    }
    ash_status status = added_tokens(e, &e->t->groups[1], text, size, cut, err);
    free(own);
    return status;
}

/* Any bytes: a run of bytes that are no UTF-8 is one piece, and what surrounds it is cut as if it ended there. */
static ash_status encode_any(encoding *e, const uint8_t *text, size_t size, ash_error *err)
{
    while (size != 0) {
        size_t n = ash_utf8_valid(text, size);
        if (n != 0) {
            ASH_TRY(encode_valid(e, text, n, err));
        } else {
            n = ash_utf8_broken(text, size);
            ASH_TRY(ash_bpe_piece(&e->bpe, text, n, &e->ids, err));
        }
        text += n;
        size -= n;
    }
    return ASH_OK;
}

ash_status ash_tokenizer_encode(const ash_tokenizer *t, const char *text, size_t bytes, unsigned flags, int32_t **ids,
                                size_t *count, ash_error *err)
{
    *ids = NULL;
    *count = 0;
    const ash_vocab_header *h = t->vocab.header;
    encoding e = { .t = t, .flags = flags, .bpe = { .vocab = &t->vocab } };
    /* A short text meets few pieces twice. Without memory for the cache it works as well. */
    if (bytes >= 512)
        e.bpe.known = ash_bpe_known_new();
    ash_status status = ash_ids_reserve(&e.ids, bytes / 4 + 1, err);
    if (status == ASH_OK && (flags & ASH_ENCODE_BOS) && (h->flags & ASH_VOCAB_ADD_BOS) && h->bos >= 0)
        e.ids.items[e.ids.count++] = h->bos;
    if (status == ASH_OK)
        status = ash_cutting_new(t->cutter, on_piece, &e, &e.cutting, err);
    if (status == ASH_OK)
        status = added_tokens(&e, &t->groups[0], (const uint8_t *)text, bytes, encode_any, err);
    ash_cutting_free(e.cutting);
    ash_bpe_free(&e.bpe);
    if (status != ASH_OK) {
        free(e.ids.items);
        return status;
    }
    *ids = e.ids.items;
    *count = e.ids.count;
    return ASH_OK;
}

/* ---- single tokens ---- */

uint32_t ash_tokenizer_count(const ash_tokenizer *t) { return t->vocab.header->token_count; }

const char *ash_tokenizer_bytes(const ash_tokenizer *t, int32_t id, size_t *size)
{
    return (const char *)ash_vocab_bytes(&t->vocab, (uint32_t)id, size);
}

bool ash_tokenizer_special(const ash_tokenizer *t, int32_t id)
{
    return (uint32_t)id < t->vocab.header->token_count && (t->vocab.tokens[id].flags & ASH_TOKEN_SPECIAL) != 0;
}

int32_t ash_tokenizer_find(const ash_tokenizer *t, const char *text, size_t bytes)
{
    return ash_vocab_search(&t->vocab, text, bytes, 0);
}
