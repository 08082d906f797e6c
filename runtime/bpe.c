/* Byte-pair merging by a table. A short piece merges in arrays on the stack, a long one with a heap of candidate merges
 * over a linked list. Both give the merges in the order of their ranks, the leftmost first. */
#include <string.h>

#include "runtime/heap.h"
#include "runtime/tokenizer_internal.h"

#define SHORT_SYMBOLS 48
#define NONE ASH_VOCAB_NONE

/* BYTE_BPE: the bytes' own tokens. A byte without one gives unk, NONE (which nothing merges with) or nothing. */
static size_t byte_symbols(const ash_vocab *v, const uint8_t *piece, size_t size, uint32_t *out)
{
    const ash_vocab_header *h = v->header;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        int32_t id = h->byte_ids[piece[i]];
        if (id >= 0)
            out[n++] = (uint32_t)id;
        else if (h->unk >= 0)
            out[n++] = (uint32_t)h->unk;
        else if (h->flags & ASH_VOCAB_GAPS_BLOCK)
            out[n++] = NONE;
    }
    return n;
}

/* The tokens of a character's bytes, or 0 when one is missing. */
static size_t fallback(const ash_vocab_header *h, const uint8_t *bytes, size_t size, uint32_t *out)
{
    for (size_t i = 0; i < size; i++) {
        if (h->byte_ids[bytes[i]] < 0)
            return 0;
        out[i] = (uint32_t)h->byte_ids[bytes[i]];
    }
    return size;
}

/* CHAR_BPE: the characters' own tokens. As in the reference, an unk waits for the next character that has a token (or
 * is unk as well) and so comes behind the byte tokens that follow it. At most `size` symbols. */
static size_t char_symbols(const ash_vocab *v, const uint8_t *piece, size_t size, uint32_t *out)
{
    const ash_vocab_header *h = v->header;
    size_t n = 0, step;
    bool waits = false;
    for (size_t at = 0; at < size; at += step) {
        step = ash_vocab_char_bytes(piece + at, size - at);
        step = step ? step : 1;
        int32_t id = ash_vocab_search(v, piece + at, step, ASH_TOKEN_MODEL);
        if (id >= 0) {
            if (waits)
                out[n++] = (uint32_t)h->unk;
            waits = false;
            out[n++] = (uint32_t)id;
            continue;
        }
        size_t bytes = h->flags & ASH_VOCAB_BYTE_FALLBACK ? fallback(h, piece + at, step, out + n) : 0;
        n += bytes;
        if (bytes != 0 || h->unk < 0)
            continue;
        if (waits && !(h->flags & ASH_VOCAB_FUSE_UNK))
            out[n++] = (uint32_t)h->unk;
        waits = true;
    }
    if (waits)
        out[n++] = (uint32_t)h->unk;
    return n;
}

static size_t symbols(const ash_vocab *v, const uint8_t *piece, size_t size, uint32_t *out)
{
    return v->header->model == ASH_VOCAB_BYTE_BPE ? byte_symbols(v, piece, size, out)
                                                  : char_symbols(v, piece, size, out);
}

typedef struct candidate { uint32_t rank, result; } candidate;

static inline candidate look(const ash_vocab *v, uint32_t left, uint32_t right)
{
    if (left == NONE || right == NONE)
        return (candidate){ NONE, NONE };
    const ash_vocab_merge *m = ash_vocab_find_merge(v, left, right);
    return m ? (candidate){ m->rank, m->result } : (candidate){ NONE, NONE };
}

static size_t merge_short(const ash_vocab *v, uint32_t *id, size_t n)
{
    candidate pair[SHORT_SYMBOLS];
    for (size_t i = 0; i + 1 < n; i++)
        pair[i] = look(v, id[i], id[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pair[i].rank < pair[best].rank)
                best = i;
        if (pair[best].rank == NONE)
            break;
        id[best] = pair[best].result;
        memmove(id + best + 1, id + best + 2, (n - best - 2) * sizeof *id);
        memmove(pair + best, pair + best + 1, (n - best - 2) * sizeof *pair);
        n--;
        if (best + 1 < n)
            pair[best] = look(v, id[best], id[best + 1]);
        if (best > 0)
            pair[best - 1] = look(v, id[best - 1], id[best]);
    }
    return n;
}

/* ---- long pieces ---- */

typedef struct node { uint32_t id, previous, next; candidate pair; } node; /* pair: with the next symbol */

static void relink(const ash_vocab *v, node *s, ash_heap *h, uint32_t at)
{
    s[at].pair = s[at].next == NONE ? (candidate){ NONE, NONE } : look(v, s[at].id, s[s[at].next].id);
    if (s[at].pair.rank != NONE)
        ash_heap_put(h, (uint64_t)s[at].pair.rank << 32 | at);
}

static size_t merge_long(const ash_vocab *v, uint32_t *ids, size_t n, node *s, ash_heap h)
{
    for (size_t i = 0; i < n; i++)
        s[i] =
            (node) { ids[i], i == 0 ? NONE : (uint32_t)(i - 1), i + 1 == n ? NONE : (uint32_t)(i + 1), { NONE, NONE } };
    for (size_t i = 0; i < n; i++)
        relink(v, s, &h, (uint32_t)i);
    while (h.count != 0) {
        uint64_t key = ash_heap_take(&h);
        uint32_t at = (uint32_t)key;
        if (s[at].pair.rank != (uint32_t)(key >> 32))
            continue;
        uint32_t gone = s[at].next;
        s[at].id = s[at].pair.result;
        s[at].next = s[gone].next;
        s[gone].pair.rank = NONE;
        if (s[at].next != NONE)
            s[s[at].next].previous = at;
        relink(v, s, &h, at);
        if (s[at].previous != NONE)
            relink(v, s, &h, s[at].previous);
    }
    size_t count = 0;
    for (uint32_t at = 0; at != NONE; at = s[at].next)
        ids[count++] = s[at].id;
    return count;
}

static ash_status long_piece(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    void *scratch;
    ASH_TRY(ash_scratch(p, size, 2 * sizeof(uint64_t) + sizeof(node) + sizeof(uint32_t), &scratch, err));
    ash_heap h = { scratch, 0 };
    node *links = (node *)(h.keys + 2 * size);
    uint32_t *id = (uint32_t *)(links + size);
    size_t n = symbols(p->vocab, piece, size, id);
    if (n > 1)
        n = merge_long(p->vocab, id, n, links, h);
    ASH_TRY(ash_ids_reserve(ids, n, err));
    for (size_t i = 0; i < n; i++)
        if (id[i] != NONE)
            ids->items[ids->count++] = (int32_t)id[i];
    return ASH_OK;
}

ash_status ash_bpe(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    if (size > SHORT_SYMBOLS)
        return long_piece(p, piece, size, ids, err);
    ASH_TRY(ash_ids_reserve(ids, SHORT_SYMBOLS, err));
    uint32_t id[SHORT_SYMBOLS];
    size_t n = merge_short(p->vocab, id, symbols(p->vocab, piece, size, id));
    for (size_t i = 0; i < n; i++)
        if (id[i] != NONE)
            ids->items[ids->count++] = (int32_t)id[i];
    return ASH_OK;
}
