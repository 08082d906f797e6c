/* The tokenizer: added tokens are found first, then what lies between is normalized, cut and merged. */
#include "runtime/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

/* Looked for in the text as it is; in normalized text. SPELLED: the special ones of NORMALIZED as they are written. */
enum { RAW, NORMALIZED, SPELLED, SETS };

struct ash_tokenizer {
    ash_vocab vocab;
    ash_cutter *cutter;
    ash_normalizer *normalizer;
    ash_added_set added[SETS];
    ash_added_set symbols;
};

typedef struct encoding {
    const ash_tokenizer *t;
    unsigned flags;
    bool special;             /* special tokens are parsed; with runs: where they allow it */
    const uint8_t *text;      /* what the runs are of */
    const ash_text_run *runs; /* NULL: all of the text is alike */
    size_t run_count;
    ash_ids ids;
    ash_pieces pieces;
    ash_search *search;
    ash_cutting *cutting;
} encoding;

/* ---- open ---- */

enum { WANT_RAW, WANT_SYMBOLS, WANT_NORMALIZED, WANT_SPELLED };

/* The records of one kind as a set. Texts that are no UTF-8 could cut a character of normalized text, or of what the
 * model sees, in two: there they are left out. */
static ash_status make_set(const ash_tokenizer *t, int want, ash_added_set *set, ash_error *err)
{
    const ash_vocab *v = &t->vocab;
    ash_added *items = malloc((v->header->added_count + 1) * sizeof *items);
    ash_search *search = NULL;
    ash_status status = items ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for added tokens");
    uint32_t n = 0;
    if (status == ASH_OK && want == WANT_NORMALIZED)
        status = ash_search_new(&search, err);
    for (uint32_t i = 0; i < v->header->added_count && status == ASH_OK; i++) {
        const ash_vocab_added *a = &v->added[i];
        int is = a->flags & ASH_ADDED_NORMALIZED ? WANT_NORMALIZED
                 : a->flags & ASH_ADDED_SYMBOL   ? WANT_SYMBOLS
                                                 : WANT_RAW;
        ash_added item = { v->pool + a->offset, NULL, a->bytes, a->id, a->flags };
        if (want == WANT_SPELLED && (a->flags & ASH_ADDED_SPECIAL))
            is = is == WANT_NORMALIZED ? WANT_SPELLED : is;
        if (is != want || (want != WANT_RAW && ash_utf8_valid(item.bytes, item.size) != item.size))
            continue;
        if (want == WANT_NORMALIZED && ash_normalizer_changes(t->normalizer, item.bytes, item.size)) {
            ash_place place = { .start = true };
            status = ash_normalize(t->normalizer, search, item.bytes, item.size, &place, &item.own, &item.size, err);
            item.bytes = item.own;
        }
        if (status == ASH_OK)
            items[n++] = item;
    }
    ash_search_free(search);
    if (items)
        ash_added_set_make(set, items, n);
    return status;
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
    if (status == ASH_OK)
        status = make_set(t, WANT_SYMBOLS, &t->symbols, err);
    if (status == ASH_OK)
        status = ash_normalizer_new(&t->vocab, &t->symbols, &t->normalizer, err);
    if (status == ASH_OK)
        status = make_set(t, WANT_RAW, &t->added[RAW], err);
    if (status == ASH_OK)
        status = make_set(t, WANT_NORMALIZED, &t->added[NORMALIZED], err);
    if (status == ASH_OK)
        status = make_set(t, WANT_SPELLED, &t->added[SPELLED], err);
    if (status != ASH_OK) {
        ash_tokenizer_close(t);
        return status;
    }
    *out = t;
    return ASH_OK;
}

void ash_tokenizer_close(ash_tokenizer *t)
{
    if (!t)
        return;
    ash_cutter_free(t->cutter);
    ash_normalizer_free(t->normalizer);
    ash_added_set_free(&t->added[RAW]);
    ash_added_set_free(&t->added[NORMALIZED]);
    ash_added_set_free(&t->added[SPELLED]);
    ash_added_set_free(&t->symbols);
    free(t);
}

const ash_vocab *ash_tokenizer_vocab(const ash_tokenizer *t) { return &t->vocab; }

/* ---- added tokens ---- */

static bool stands_alone(const uint8_t *text, size_t size, size_t start, size_t end)
{
    uint32_t code = 0;
    if (ash_utf8_last(text, start, &code) != 0 && ash_is_word(code))
        return false;
    return ash_utf8_char(text + end, size - end, &code) == 0 || !ash_is_word(code);
}

/* Whether special tokens are parsed at a byte of the text, and how many bytes its run has from there. */
static bool special_at(const encoding *e, const uint8_t *byte, size_t *left)
{
    size_t at = (size_t)(byte - e->text), low = 0, high = e->run_count - 1; /* the first run that ends behind it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->runs[middle].end > at)
            high = middle;
        else
            low = middle + 1;
    }
    *left = e->runs[low].end - at;
    return e->runs[low].special;
}

typedef ash_status between_fn(encoding *e, const uint8_t *text, size_t size, ash_place place, ash_error *err);

/* Gives what lies between added tokens to `between` and the tokens to the output. As in the reference, a match that is
 * not wanted here (special, or part of a word) is passed over as a whole, and the search goes on behind the match
 * itself: a token of white space is found even where the token before it has taken that white space. */
static ash_status added_tokens(encoding *e, const ash_added_set *set, const uint8_t *text, size_t size, ash_place place,
                               between_fn *between, ash_error *err)
{
    size_t done = 0;
    for (size_t at = 0; set->count != 0 && at < size;) {
        uint8_t b = text[at];
        bool special = e->special;
        const ash_added *a =
            set->end[b] != 0 && (special || set->plain[b]) ? ash_added_longest(set, text + at, size - at) : NULL;
        if (a && (a->flags & ASH_ADDED_SPECIAL) && special && e->runs) {
            size_t left;
            special = special_at(e, text + at, &left);
            if (a->size > left) /* a special token lies in one run */
                a = ash_added_longest(set, text + at, left);
        }
        if (!a) {
            at++;
            continue;
        }
        size_t start = at, end = at + a->size;
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
            ASH_TRY(between(e, text + done, start - done, (ash_place){ place.start, place.joined, false }, err));
        ASH_TRY(ash_ids_reserve(&e->ids, 1, err));
        e->ids.items[e->ids.count++] = (int32_t)a->id;
        done = end;
        place.start = place.joined = false;
    }
    return done < size ? between(e, text + done, size - done, place, err) : ASH_OK;
}

/* ---- encode ---- */

static ash_status on_piece(void *context, const uint8_t *piece, size_t size, ash_error *err)
{
    encoding *e = context;
    return ash_piece(&e->pieces, piece, size, &e->ids, err);
}

static ash_status cut(encoding *e, const uint8_t *text, size_t size, ash_place place, ash_error *err)
{
    return ash_cut(e->cutting, text, size, place, err);
}

/* Valid UTF-8: normalize, find the added tokens that are looked for in normalized text, cut and merge the rest. */
static ash_status encode_valid(encoding *e, const uint8_t *text, size_t size, ash_place place, ash_error *err)
{
    uint8_t *own = NULL;
    if (ash_normalizer_changes(e->t->normalizer, text, size)) {
        ASH_TRY(ash_normalize(e->t->normalizer, e->search, text, size, &place, &own, &size, err));
        text = own;
    }
    bool special = e->special;
    e->special = special && !e->runs; /* normalized text has other positions than the runs: see encode_spelled */
    ash_status status = added_tokens(e, &e->t->added[NORMALIZED], text, size, place, cut, err);
    e->special = special;
    free(own);
    return status;
}

/* Any bytes: a run of bytes that are no UTF-8 is one piece, and what surrounds it is cut as if it ended there. */
static ash_status encode_any(encoding *e, const uint8_t *text, size_t size, ash_place place, ash_error *err)
{
    while (size != 0) {
        size_t n = ash_utf8_valid(text, size);
        if (n != 0) {
            place.open = n < size;
            ASH_TRY(encode_valid(e, text, n, place, err));
        } else {
            n = ash_utf8_broken(text, size);
            ASH_TRY(ash_piece_broken(&e->pieces, text, n, &e->ids, err));
        }
        text += n;
        size -= n;
        place.start = false;
        place.joined = true;
    }
    return ASH_OK;
}

/* With runs special tokens are found before anything is normalized, whatever they ask for. */
static ash_status encode_spelled(encoding *e, const uint8_t *text, size_t size, ash_place place, ash_error *err)
{
    return added_tokens(e, &e->t->added[SPELLED], text, size, place, encode_any, err);
}

static ash_status encode_all(encoding *e, const uint8_t *text, size_t size, ash_error *err)
{
    const ash_vocab_header *h = e->t->vocab.header;
    ASH_TRY(ash_ids_reserve(&e->ids, size / 4 + 2, err));
    if ((e->flags & ASH_ENCODE_BOS) && (h->flags & ASH_VOCAB_ADD_BOS) && h->bos >= 0)
        e->ids.items[e->ids.count++] = h->bos;
    ASH_TRY(ash_search_new(&e->search, err));
    ASH_TRY(ash_cutting_new(e->t->cutter, e->search, on_piece, e, &e->cutting, err));
    ASH_TRY(added_tokens(e, &e->t->added[RAW], text, size, (ash_place){ .start = true },
                         e->runs ? encode_spelled : encode_any, err));
    if ((e->flags & ASH_ENCODE_EOS) && (h->flags & ASH_VOCAB_ADD_EOS) && h->eos >= 0) {
        ASH_TRY(ash_ids_reserve(&e->ids, 1, err));
        e->ids.items[e->ids.count++] = h->eos;
    }
    return ASH_OK;
}

static ash_status encode(const ash_tokenizer *t, const char *text, size_t bytes, unsigned flags,
                         const ash_text_run *runs, size_t run_count, int32_t **ids, size_t *count, ash_error *err)
{
    *ids = NULL;
    *count = 0;
    encoding e = { .t = t, .flags = flags, .special = (flags & ASH_ENCODE_SPECIAL) != 0, .text = (const uint8_t *)text,
                   .runs = runs, .run_count = run_count, .pieces = { .vocab = &t->vocab, .symbols = &t->symbols } };
    /* A short text meets few pieces twice. Without memory for the cache it works as well. */
    if (bytes >= 512)
        e.pieces.known = ash_known_new();
    ash_status status = encode_all(&e, (const uint8_t *)text, bytes, err);
    ash_cutting_free(e.cutting);
    ash_search_free(e.search);
    ash_pieces_free(&e.pieces);
    if (status != ASH_OK) {
        free(e.ids.items);
        return status;
    }
    *ids = e.ids.items;
    *count = e.ids.count;
    return ASH_OK;
}

ash_status ash_tokenizer_encode(const ash_tokenizer *t, const char *text, size_t bytes, unsigned flags, int32_t **ids,
                                size_t *count, ash_error *err)
{
    return encode(t, text, bytes, flags, NULL, 0, ids, count, err);
}

ash_status ash_tokenizer_encode_runs(const ash_tokenizer *t, const char *text, const ash_text_run *runs,
                                     size_t run_count, int32_t **ids, size_t *count, ash_error *err)
{
    size_t bytes = run_count ? runs[run_count - 1].end : 0;
    return encode(t, text, bytes, ASH_ENCODE_SPECIAL, run_count ? runs : NULL, run_count, ids, count, err);
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

ash_token_roles ash_tokenizer_roles(const ash_tokenizer *t)
{
    const ash_vocab_header *h = t->vocab.header;
    return (ash_token_roles){ .bos = h->bos, .eos = h->eos, .pad = h->pad, .unk = h->unk };
}

int32_t ash_tokenizer_find(const ash_tokenizer *t, const char *text, size_t bytes)
{
    return ash_vocab_search(&t->vocab, text, bytes, 0);
}
