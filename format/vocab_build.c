/* Laying out a TOKN section: strings, hash tables, and which tokens a piece of text becomes as a whole. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "format/vocab.h"

#define WHOLE_BYTES_MAX 512 /* longer tokens are left to the merges: the search for them is quadratic */

typedef struct layout {
    const ash_vocab_source *source;
    ash_vocab_header h;
    uint8_t *bytes; /* of the section */
    ash_vocab_trie *trie;
    uint64_t pool_used;
} layout;

static uint32_t power_from(uint64_t least)
{
    uint64_t n = 2;
    while (n < least)
        n *= 2;
    return (uint32_t)n; /* at most 2 * ASH_VOCAB_MERGES_MAX */
}

static int compare_added(const void *a, const void *b)
{
    const ash_vocab_source_added *x = a, *y = b;
    bool nx = (x->flags & ASH_ADDED_NORMALIZED) != 0, ny = (y->flags & ASH_ADDED_NORMALIZED) != 0;
    if (nx != ny)
        return nx ? 1 : -1;
    int order = memcmp(x->bytes, y->bytes, x->size < y->size ? x->size : y->size);
    if (order != 0)
        return order;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* A copy in the section's order, without empty and duplicate texts (of which the lowest id stays). */
static ash_status sort_added(const ash_vocab_source *s, ash_vocab_source_added **out, uint32_t *count, uint32_t *raw,
                             ash_error *err)
{
    ash_vocab_source_added *list = malloc((s->added_count + 1) * sizeof *list);
    if (!list)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for %u added tokens", s->added_count);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->added_count; i++)
        if (s->added[i].size != 0)
            list[n++] = s->added[i];
    qsort(list, n, sizeof *list, compare_added);
    uint32_t kept = 0;
    *raw = 0;
    for (uint32_t i = 0; i < n; i++) {
        const ash_vocab_source_added *last = kept ? &list[kept - 1] : NULL;
        if (last && !((last->flags ^ list[i].flags) & ASH_ADDED_NORMALIZED) && last->size == list[i].size &&
            memcmp(last->bytes, list[i].bytes, last->size) == 0)
            continue;
        list[kept++] = list[i];
        *raw += !(list[i].flags & ASH_ADDED_NORMALIZED);
    }
    *out = list;
    *count = kept;
    return ASH_OK;
}

static ash_status plan(layout *l, uint32_t added_count, uint32_t added_raw, const ash_vocab_source_added *added,
                       ash_error *err)
{
    const ash_vocab_source *s = l->source;
    if (s->token_count == 0 || s->token_count > ASH_VOCAB_TOKENS_MAX || s->merge_count > ASH_VOCAB_MERGES_MAX ||
        added_count > ASH_VOCAB_ADDED_MAX || s->step_count > ASH_VOCAB_STEPS_MAX)
        return ash_fail(
            err, ASH_E_LIMIT,
            "tokenizer: %u tokens, %u merges, %u added tokens and %u steps; allowed are 1 to %u, %u, %u and %u",
            s->token_count, s->merge_count, added_count, s->step_count, ASH_VOCAB_TOKENS_MAX, ASH_VOCAB_MERGES_MAX,
            ASH_VOCAB_ADDED_MAX, ASH_VOCAB_STEPS_MAX);
    uint64_t pool = 0, filled = 0;
    for (uint32_t i = 0; i < s->token_count; i++) {
        pool += s->tokens[i].size;
        filled += s->tokens[i].size != 0;
    }
    for (uint32_t i = 0; i < added_count; i++)
        pool += added[i].size;
    for (uint32_t i = 0; i < s->step_count; i++)
        pool += (uint64_t)s->steps[i].size + s->steps[i].second_size;
    if (pool > UINT32_MAX)
        return ash_fail(err, ASH_E_LIMIT, "tokenizer: %llu bytes of token text, at most 4 GiB - 1",
                        (unsigned long long)pool);
    ash_vocab_header *h = &l->h;
    h->magic = ASH_VOCAB_MAGIC;
    h->version = ASH_VOCAB_VERSION;
    h->header_bytes = sizeof *h;
    h->model = s->model;
    h->flags = s->flags & ~(uint32_t)ASH_VOCAB_CUT_SPACE;
    h->score_count = s->model == ASH_VOCAB_UNIGRAM ? s->token_count : 0;
    h->unk_score = s->unk_score;
    h->bos = s->bos;
    h->eos = s->eos;
    h->pad = s->pad;
    h->unk = s->unk;
    memcpy(h->byte_ids, s->byte_ids, sizeof h->byte_ids);
    h->token_count = s->token_count;
    h->slot_count = power_from(2 * filled);
    h->merge_slot_count = power_from((uint64_t)s->merge_count * 4 / 3 + 1);
    h->added_count = added_count;
    h->added_raw_count = added_raw;
    h->step_count = s->step_count;
    h->pool_bytes = pool;
    return ASH_OK;
}

static void lay_out(layout *l)
{
    ash_vocab_header *h = &l->h;
    /* The caps keep every product below 2^32 and the sum far below 2^64; each array's size is a multiple of 8. */
    h->tokens = sizeof *h;
    h->slots = h->tokens + (uint64_t)h->token_count * sizeof(ash_vocab_token);
    h->merges = h->slots + (uint64_t)h->slot_count * sizeof(ash_vocab_slot);
    h->added = h->merges + (uint64_t)h->merge_slot_count * sizeof(ash_vocab_merge);
    h->steps = h->added + (uint64_t)h->added_count * sizeof(ash_vocab_added);
    h->scores = h->steps + (uint64_t)h->step_count * sizeof(ash_vocab_step);
    h->trie = h->scores + (uint64_t)h->score_count * sizeof(double);
    h->pool = h->trie + (uint64_t)h->trie_count * sizeof(ash_vocab_trie);
    h->section_bytes = h->pool + h->pool_bytes;
}

static uint32_t store(layout *l, const void *bytes, uint32_t size)
{
    uint32_t at = (uint32_t)l->pool_used;
    if (size != 0)
        memcpy(l->bytes + l->h.pool + at, bytes, size);
    l->pool_used += size;
    return at;
}

static void fill_tokens(layout *l)
{
    ash_vocab_token *tokens = (ash_vocab_token *)(l->bytes + l->h.tokens);
    for (uint32_t i = 0; i < l->h.token_count; i++) {
        const ash_vocab_source_token *t = &l->source->tokens[i];
        tokens[i] = (ash_vocab_token){ store(l, t->bytes, t->size), t->size, t->flags, t->type, (float)t->score };
    }
}

static ash_status fill_slots(layout *l, ash_error *err)
{
    const uint16_t kinds = ASH_TOKEN_MODEL | ASH_TOKEN_ADDED;
    const ash_vocab_token *tokens = (const ash_vocab_token *)(l->bytes + l->h.tokens);
    const uint8_t *pool = l->bytes + l->h.pool;
    ash_vocab_slot *slots = (ash_vocab_slot *)(l->bytes + l->h.slots);
    for (uint32_t i = 0; i < l->h.slot_count; i++)
        slots[i] = (ash_vocab_slot){ 0, ASH_VOCAB_NONE };
    for (uint32_t i = 0; i < l->h.token_count; i++) {
        const ash_vocab_token *t = &tokens[i];
        if (t->bytes == 0)
            continue;
        uint64_t hash = XXH3_64bits(pool + t->offset, t->bytes);
        uint32_t mask = l->h.slot_count - 1, at = (uint32_t)hash & mask, tag = (uint32_t)(hash >> 32), probes = 1;
        bool known = false;
        for (; slots[at].id != ASH_VOCAB_NONE && !known; at = (at + 1) & mask, probes++) {
            const ash_vocab_token *o = &tokens[slots[at].id];
            known = slots[at].tag == tag && o->bytes == t->bytes && (o->flags & kinds) == (t->flags & kinds) &&
                    memcmp(pool + o->offset, pool + t->offset, t->bytes) == 0;
            if (probes > ASH_VOCAB_PROBES_MAX)
                return ash_fail(err, ASH_E_LIMIT, "tokenizer: the hashes of too many tokens collide (token %u)", i);
        }
        if (known)
            continue;
        slots[at] = (ash_vocab_slot){ tag, i };
        if (probes > l->h.slot_probes)
            l->h.slot_probes = probes;
    }
    return ASH_OK;
}

static ash_status fill_merges(layout *l, ash_error *err)
{
    ash_vocab_merge *slots = (ash_vocab_merge *)(l->bytes + l->h.merges);
    uint32_t mask = l->h.merge_slot_count - 1, shift = 64 - (uint32_t)__builtin_ctz(l->h.merge_slot_count);
    for (uint32_t i = 0; i <= mask; i++)
        slots[i] = (ash_vocab_merge){ ASH_VOCAB_NONE, ASH_VOCAB_NONE, 0, 0 };
    for (uint32_t i = 0; i < l->source->merge_count; i++) {
        ash_vocab_source_merge m = l->source->merges[i];
        uint32_t at = (uint32_t)(ash_vocab_merge_hash(m.left, m.right) >> shift), probes = 1;
        for (; slots[at].left != ASH_VOCAB_NONE; at = (at + 1) & mask, probes++) {
            if (slots[at].left == m.left && slots[at].right == m.right)
                break;
            if (probes > ASH_VOCAB_PROBES_MAX)
                return ash_fail(err, ASH_E_LIMIT, "tokenizer: the hashes of too many merges collide (merge %u)", i);
        }
        if (slots[at].left != ASH_VOCAB_NONE && !l->source->last_duplicate)
            continue;
        l->h.merge_count += slots[at].left == ASH_VOCAB_NONE;
        slots[at] = (ash_vocab_merge){ m.left, m.right, i, m.result };
        if (probes > l->h.merge_probes)
            l->h.merge_probes = probes;
    }
    return ASH_OK;
}

static void fill_lists(layout *l, const ash_vocab_source_added *added)
{
    ash_vocab_added *a = (ash_vocab_added *)(l->bytes + l->h.added);
    for (uint32_t i = 0; i < l->h.added_count; i++)
        a[i] = (ash_vocab_added){ added[i].id, added[i].flags, store(l, added[i].bytes, added[i].size), added[i].size };
    ash_vocab_step *steps = (ash_vocab_step *)(l->bytes + l->h.steps);
    for (uint32_t i = 0; i < l->h.step_count; i++) {
        const ash_vocab_source_step *s = &l->source->steps[i];
        uint32_t text = store(l, s->text, s->size), second = store(l, s->second, s->second_size);
        steps[i] = (ash_vocab_step){ s->kind, s->behaviour, s->flags, text, s->size, second, s->second_size,
                                     { s->numbers[0], s->numbers[1] } };
    }
}

/* ---- UNIGRAM ---- */

static ash_status make_trie(layout *l, ash_error *err)
{
    const ash_vocab_source *s = l->source;
    if (s->model != ASH_VOCAB_UNIGRAM)
        return ASH_OK;
    uint32_t *ids = malloc(s->token_count * sizeof *ids), count = 0;
    if (!ids)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for %u tokens", s->token_count);
    ash_status status = ASH_OK;
    for (uint32_t i = 0; i < s->token_count && status == ASH_OK; i++) {
        const ash_vocab_source_token *t = &s->tokens[i];
        if (!(t->flags & ASH_TOKEN_MODEL) || t->size == 0)
            continue;
        if (t->size > ASH_VOCAB_UNIGRAM_BYTES_MAX || !isfinite(t->score))
            status = ash_fail(err, ASH_E_LIMIT,
                              "tokenizer: token %u has %u bytes and score %g; unigram takes at most %u, no infinity",
                              i, t->size, t->score, ASH_VOCAB_UNIGRAM_BYTES_MAX);
        if (t->size > l->h.longest_bytes)
            l->h.longest_bytes = t->size;
        ids[count++] = i;
    }
    if (status == ASH_OK)
        status = ash_vocab_trie_build(s->tokens, ids, count, &l->trie, &l->h.trie_count, err);
    free(ids);
    return status;
}

static void fill_unigram(layout *l)
{
    if (l->source->model != ASH_VOCAB_UNIGRAM)
        return;
    double *scores = (double *)(l->bytes + l->h.scores);
    for (uint32_t i = 0; i < l->h.token_count; i++)
        scores[i] = l->source->tokens[i].score;
    memcpy(l->bytes + l->h.trie, l->trie, l->h.trie_count * sizeof *l->trie);
}

/* ---- which tokens are whole, and where a text may be cut ---- */

/* Symbols of a token's bytes: bytes, or characters; 0 when one is none. For SPM_BPE ends[] counts, for the others
 * ids[]. */
static uint32_t symbols_of(const ash_vocab *v, const uint8_t *bytes, uint32_t size, uint32_t *ids, uint32_t *ends)
{
    uint32_t model = v->header->model, n = 0;
    for (uint32_t at = 0; at < size; n++) {
        size_t step = model == ASH_VOCAB_BYTE_BPE ? 1 : ash_vocab_char_bytes(bytes + at, size - at);
        int32_t id = model == ASH_VOCAB_BYTE_BPE   ? v->header->byte_ids[bytes[at]]
                     : model == ASH_VOCAB_CHAR_BPE ? ash_vocab_search(v, bytes + at, step, ASH_TOKEN_MODEL)
                                                   : 0;
        if (step == 0 || id < 0)
            return 0;
        at += (uint32_t)step;
        ids[n] = (uint32_t)id;
        ends[n] = at;
    }
    return n;
}

typedef struct pair { uint32_t result; double order; bool found; } pair; /* the lowest order first */

static pair merge_of(const ash_vocab *v, const uint8_t *bytes, const uint32_t *ids, const uint32_t *ends, uint32_t i)
{
    if (v->header->model != ASH_VOCAB_SPM_BPE) {
        const ash_vocab_merge *m = ash_vocab_find_merge(v, ids[i], ids[i + 1]);
        return m ? (pair){ m->result, m->rank, true } : (pair){ 0 };
    }
    uint32_t from = i == 0 ? 0 : ends[i - 1];
    int32_t id = ash_vocab_search(v, bytes + from, ends[i + 1] - from, ASH_TOKEN_MODEL);
    return id >= 0 && !isnan(v->tokens[id].score) ? (pair){ (uint32_t)id, -(double)v->tokens[id].score, true }
                                                  : (pair){ 0 };
}

/* True when the merges alone turn the bytes into token `id`. */
static bool merges_to(const ash_vocab *v, const uint8_t *bytes, uint32_t size, uint32_t id)
{
    uint32_t ids[WHOLE_BYTES_MAX], ends[WHOLE_BYTES_MAX], n = symbols_of(v, bytes, size, ids, ends);
    if (n == 0)
        return false;
    if (n == 1 && v->header->model == ASH_VOCAB_SPM_BPE)
        return ash_vocab_search(v, bytes, size, ASH_TOKEN_MODEL) == (int32_t)id;
    while (n > 1) {
        uint32_t best = 0;
        pair chosen = { 0 };
        for (uint32_t i = 0; i + 1 < n; i++) {
            pair p = merge_of(v, bytes, ids, ends, i);
            if (p.found && (!chosen.found || p.order < chosen.order)) {
                chosen = p;
                best = i;
            }
        }
        if (!chosen.found)
            return false;
        ids[best] = chosen.result;
        ends[best] = ends[best + 1];
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        memmove(ends + best + 1, ends + best + 2, (n - best - 2) * sizeof *ends);
        n--;
    }
    return ids[0] == id;
}

/* Records of `added` that are symbols, by their first byte: they are whole before anything merges. */
typedef struct symbol_index {
    uint32_t first[256], end[256];
    bool any;
} symbol_index;

static symbol_index index_symbols(const ash_vocab *v)
{
    symbol_index x = { 0 };
    for (uint32_t i = 0; i < v->header->added_raw_count; i++) {
        if (!(v->added[i].flags & ASH_ADDED_SYMBOL))
            continue;
        uint8_t b = v->pool[v->added[i].offset];
        if (x.end[b] == 0)
            x.first[b] = i;
        x.end[b] = i + 1;
        x.any = true;
    }
    return x;
}

static bool holds_symbol(const ash_vocab *v, const symbol_index *x, const uint8_t *bytes, uint32_t size)
{
    for (uint32_t at = 0; x->any && at < size; at++)
        for (uint32_t i = x->first[bytes[at]]; i < x->end[bytes[at]]; i++)
            if ((v->added[i].flags & ASH_ADDED_SYMBOL) && v->added[i].bytes <= size - at &&
                memcmp(v->pool + v->added[i].offset, bytes + at, v->added[i].bytes) == 0)
                return true;
    return false;
}

static void mark_whole(layout *l, const ash_vocab *v)
{
    ash_vocab_token *tokens = (ash_vocab_token *)(l->bytes + l->h.tokens);
    ash_vocab_header *h = (ash_vocab_header *)l->bytes;
    symbol_index symbols = index_symbols(v);
    if (h->model == ASH_VOCAB_UNIGRAM)
        return;
    for (uint32_t i = 0; i < h->token_count; i++) {
        ash_vocab_token *t = &tokens[i];
        const uint8_t *bytes = v->pool + t->offset;
        if (!(t->flags & ASH_TOKEN_MODEL) || t->bytes == 0)
            continue;
        if (h->model != ASH_VOCAB_BYTE_BPE && t->bytes > h->longest_bytes)
            h->longest_bytes = t->bytes;
        if (t->flags & ASH_TOKEN_SPECIAL || (h->model == ASH_VOCAB_SPM_BPE && t->type == ASH_TOKEN_UNUSED))
            continue;
        bool whole = (h->flags & ASH_VOCAB_IGNORE_MERGES) != 0 ||
                     (t->bytes <= WHOLE_BYTES_MAX && !holds_symbol(v, &symbols, bytes, t->bytes) &&
                      merges_to(v, bytes, t->bytes, i));
        if (!whole)
            continue;
        t->flags |= ASH_TOKEN_WHOLE;
        if (t->bytes > h->longest_bytes)
            h->longest_bytes = t->bytes;
    }
}

/* Has U+2581 behind another character than U+2581. */
static bool holds_space(const uint8_t *bytes, uint32_t size)
{
    for (uint32_t at = 1; at + 3 <= size; at++)
        if (memcmp(bytes + at, "\xe2\x96\x81", 3) == 0 && (at < 3 || memcmp(bytes + at - 3, "\xe2\x96\x81", 3) != 0))
            return true;
    return false;
}

/* CHAR_BPE drops a character that has no token where there is no unk either; then its neighbours become adjacent. */
static bool drops(const ash_vocab_header *h)
{
    bool all = (h->flags & ASH_VOCAB_BYTE_FALLBACK) != 0;
    for (int i = 0; i < 256; i++)
        all &= h->byte_ids[i] >= 0;
    return h->model == ASH_VOCAB_CHAR_BPE && h->unk < 0 && !all;
}

/* ASH_VOCAB_CUT_SPACE */
static bool may_cut(const ash_vocab *v)
{
    const ash_vocab_header *h = v->header;
    if ((h->model != ASH_VOCAB_CHAR_BPE && h->model != ASH_VOCAB_SPM_BPE) || h->flags & ASH_VOCAB_IGNORE_MERGES ||
        drops(h) || ash_vocab_search(v, "\xe2\x96\x81", 3, ASH_TOKEN_MODEL) < 0)
        return false;
    for (uint32_t i = 0; i < h->step_count; i++)
        if (v->steps[i].kind == ASH_STEP_SPLIT)
            return false;
    for (uint32_t i = 0; i < h->token_count; i++)
        if ((v->tokens[i].flags & ASH_TOKEN_MODEL) && holds_space(v->pool + v->tokens[i].offset, v->tokens[i].bytes))
            return false;
    for (uint32_t i = 0; i < h->added_raw_count; i++)
        if ((v->added[i].flags & ASH_ADDED_SYMBOL) && holds_space(v->pool + v->added[i].offset, v->added[i].bytes))
            return false;
    return true;
}

ash_status ash_vocab_build(const ash_vocab_source *source, uint8_t **out, size_t *size, ash_error *err)
{
    *out = NULL;
    *size = 0;
    layout l = { .source = source };
    ash_vocab_source_added *added = NULL;
    uint32_t added_count = 0, added_raw = 0;
    ASH_TRY(sort_added(source, &added, &added_count, &added_raw, err));
    ash_status status = plan(&l, added_count, added_raw, added, err);
    if (status == ASH_OK)
        status = make_trie(&l, err);
    if (status == ASH_OK)
        lay_out(&l);
    if (status == ASH_OK && !(l.bytes = calloc(1, l.h.section_bytes)))
        status = ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for its %llu bytes",
                          (unsigned long long)l.h.section_bytes);
    if (status == ASH_OK) {
        fill_tokens(&l);
        status = fill_slots(&l, err);
    }
    if (status == ASH_OK)
        status = fill_merges(&l, err);
    if (status == ASH_OK) {
        fill_lists(&l, added);
        fill_unigram(&l);
        memcpy(l.bytes, &l.h, sizeof l.h);
        /* What is written must open: an id or a kind that the source should not hold is found here. */
        ash_vocab view;
        status = ash_vocab_open(l.bytes, l.h.section_bytes, &view, err);
        if (status == ASH_OK) {
            mark_whole(&l, &view);
            if (may_cut(&view))
                ((ash_vocab_header *)l.bytes)->flags |= ASH_VOCAB_CUT_SPACE;
        }
    }
    free(l.trie);
    free(added);
    if (status != ASH_OK) {
        free(l.bytes);
        return status;
    }
    *out = l.bytes;
    *size = l.h.section_bytes;
    return ASH_OK;
}
