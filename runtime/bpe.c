/* Byte-pair merging. A piece that the vocabulary marks as whole is one search; a short one merges in arrays on the
 * stack; a long one with a heap of candidate merges over a linked list. All three give the merges in the order of
 * their ranks, the leftmost first. */
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"

#define SHORT_SYMBOLS 48
#define NONE ASH_VOCAB_NONE

/* Pieces met lately that are no whole tokens: a direct-mapped cache of one call. Sizes: a slot takes one 64-byte line;
 * longer pieces are rare in text. */
#define KNOWN_SLOTS 2048
#define KNOWN_BYTES 22
#define KNOWN_IDS 10
struct ash_bpe_known {
    struct {
        uint8_t bytes[KNOWN_BYTES];
        uint8_t size; /* 0: empty */
        uint8_t count;
        int32_t ids[KNOWN_IDS];
    } slots[KNOWN_SLOTS];
};
static_assert(sizeof(struct ash_bpe_known) == (size_t)64 * KNOWN_SLOTS, "a slot is a cache line");

ash_bpe_known *ash_bpe_known_new(void) { return calloc(1, sizeof(ash_bpe_known)); }

ash_status ash_ids_reserve(ash_ids *ids, size_t more, ash_error *err)
{
    if (ids->room - ids->count >= more)
        return ASH_OK;
    size_t room = ids->room + ids->room / 2 + more + 16;
    int32_t *items = room > SIZE_MAX / sizeof *items ? NULL : realloc(ids->items, room * sizeof *items);
    if (!items)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for %zu ids", room);
    ids->items = items;
    ids->room = room;
    return ASH_OK;
}

/* The bytes' own tokens. A byte without one gives unk, NONE (which nothing merges with) or nothing. */
static size_t symbols(const ash_vocab *v, const uint8_t *piece, size_t size, uint32_t *out)
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

/* A heap of rank << 32 | position, the smallest first. Each merge takes one out and puts at most two in, and there are
 * fewer than n merges: 2 n places are enough. An entry whose rank is no longer the one of its position is stale. */
typedef struct heap { uint64_t *keys; size_t count; } heap;

static void heap_put(heap *h, uint64_t key)
{
    size_t at = h->count++;
    for (; at > 0 && h->keys[(at - 1) / 2] > key; at = (at - 1) / 2)
        h->keys[at] = h->keys[(at - 1) / 2];
    h->keys[at] = key;
}

static uint64_t heap_take(heap *h)
{
    uint64_t top = h->keys[0], last = h->keys[--h->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->count; at = child) {
        child += child + 1 < h->count && h->keys[child + 1] < h->keys[child];
        if (h->keys[child] >= last)
            break;
        h->keys[at] = h->keys[child];
    }
    h->keys[at] = last;
    return top;
}

typedef struct node { uint32_t id, previous, next; candidate pair; } node; /* pair: with the next symbol */

static void relink(const ash_vocab *v, node *s, heap *h, uint32_t at)
{
    s[at].pair = s[at].next == NONE ? (candidate){ NONE, NONE } : look(v, s[at].id, s[s[at].next].id);
    if (s[at].pair.rank != NONE)
        heap_put(h, (uint64_t)s[at].pair.rank << 32 | at);
}

static size_t merge_long(const ash_vocab *v, uint32_t *ids, size_t n, node *s, heap h)
{
    for (size_t i = 0; i < n; i++)
        s[i] =
            (node) { ids[i], i == 0 ? NONE : (uint32_t)(i - 1), i + 1 == n ? NONE : (uint32_t)(i + 1), { NONE, NONE } };
    for (size_t i = 0; i < n; i++)
        relink(v, s, &h, (uint32_t)i);
    while (h.count != 0) {
        uint64_t key = heap_take(&h);
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

static ash_status long_piece(ash_bpe *b, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    if (size > ASH_PIECE_MAX)
        return ash_fail(err, ASH_E_LIMIT, "text: a single word of %zu bytes, at most %u are taken", size,
                        ASH_PIECE_MAX);
    size_t each = 2 * sizeof(uint64_t) + sizeof(node) + sizeof(uint32_t);
    if (b->scratch_bytes < size * each) {
        free(b->scratch);
        b->scratch_bytes = 0;
        b->scratch = malloc(size * each);
        if (!b->scratch)
            return ash_fail(err, ASH_E_MEMORY, "text: no memory for a single word of %zu bytes", size);
        b->scratch_bytes = size * each;
    }
    heap h = { b->scratch, 0 };
    node *links = (node *)(h.keys + 2 * size);
    uint32_t *id = (uint32_t *)(links + size);
    size_t n = symbols(b->vocab, piece, size, id);
    if (n > 1)
        n = merge_long(b->vocab, id, n, links, h);
    ASH_TRY(ash_ids_reserve(ids, n, err));
    for (size_t i = 0; i < n; i++)
        if (id[i] != NONE)
            ids->items[ids->count++] = (int32_t)id[i];
    return ASH_OK;
}

/* FNV-1a with a final mix: the pieces are a few bytes. */
static uint32_t known_slot(const uint8_t *piece, size_t size)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ piece[i]) * 16777619u;
    return (h ^ h >> 15) % KNOWN_SLOTS;
}

ash_status ash_bpe_piece(ash_bpe *b, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    const ash_vocab *v = b->vocab;
    if (size <= v->header->longest_bytes) {
        int32_t id = ash_vocab_search(v, piece, size, ASH_TOKEN_WHOLE);
        if (id >= 0) {
            ASH_TRY(ash_ids_reserve(ids, 1, err));
            ids->items[ids->count++] = id;
            return ASH_OK;
        }
    }
    if (size > SHORT_SYMBOLS)
        return long_piece(b, piece, size, ids, err);
    ASH_TRY(ash_ids_reserve(ids, SHORT_SYMBOLS, err));
    int32_t *out = ids->items + ids->count;
    size_t slot = 0;
    bool keep = b->known && size <= KNOWN_BYTES;
    if (keep) {
        slot = known_slot(piece, size);
        if (b->known->slots[slot].size == size && memcmp(b->known->slots[slot].bytes, piece, size) == 0) {
            size_t n = b->known->slots[slot].count;
            memcpy(out, b->known->slots[slot].ids, n * sizeof *out);
            ids->count += n;
            return ASH_OK;
        }
    }
    uint32_t id[SHORT_SYMBOLS];
    size_t n = merge_short(v, id, symbols(v, piece, size, id)), count = 0;
    for (size_t i = 0; i < n; i++)
        if (id[i] != NONE)
            out[count++] = (int32_t)id[i];
    ids->count += count;
    if (keep && count <= KNOWN_IDS) {
        memcpy(b->known->slots[slot].bytes, piece, size);
        memcpy(b->known->slots[slot].ids, out, count * sizeof *out);
        b->known->slots[slot].size = (uint8_t)size;
        b->known->slots[slot].count = (uint8_t)count;
    }
    return ASH_OK;
}

void ash_bpe_free(ash_bpe *b)
{
    free(b->scratch);
    free(b->known);
    b->scratch = NULL;
    b->known = NULL;
}
