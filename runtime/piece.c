/* One piece of text to ids: whole tokens and pieces met lately first, then the model. */
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"

/* Pieces met lately that are no whole tokens: a direct-mapped cache of one call. Sizes: a slot takes one 64-byte line;
 * longer pieces are rare in text. */
#define KNOWN_SLOTS 2048
#define KNOWN_BYTES 22
#define KNOWN_IDS 10
struct ash_known {
    struct {
        uint8_t bytes[KNOWN_BYTES];
        uint8_t size; /* 0: empty */
        uint8_t count;
        int32_t ids[KNOWN_IDS];
    } slots[KNOWN_SLOTS];
};
static_assert(sizeof(struct ash_known) == (size_t)64 * KNOWN_SLOTS, "a slot is a cache line");

ash_known *ash_known_new(void) { return calloc(1, sizeof(ash_known)); }

void ash_pieces_free(ash_pieces *p)
{
    free(p->scratch);
    free(p->known);
    p->scratch = NULL;
    p->known = NULL;
}

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

ash_status ash_scratch(ash_pieces *p, size_t count, size_t each, void **out, ash_error *err)
{
    if (count > ASH_PIECE_MAX)
        return ash_fail(err, ASH_E_LIMIT, "text: a single word of %zu bytes, at most %u are taken", count,
                        ASH_PIECE_MAX);
    size_t bytes = count * each;
    if (p->scratch_bytes < bytes) {
        free(p->scratch);
        p->scratch_bytes = 0;
        p->scratch = malloc(bytes);
        if (!p->scratch)
            return ash_fail(err, ASH_E_MEMORY, "text: no memory for a single word of %zu bytes", count);
        p->scratch_bytes = bytes;
    }
    *out = p->scratch;
    return ASH_OK;
}

ash_status ash_unknown(const ash_vocab *v, const uint8_t *bytes, size_t size, size_t from, ash_ids *ids,
                       ash_error *err)
{
    const ash_vocab_header *h = v->header;
    ASH_TRY(ash_ids_reserve(ids, size + 1, err));
    if (h->flags & ASH_VOCAB_BYTE_FALLBACK) {
        size_t n = 0;
        for (; n < size && h->byte_ids[bytes[n]] >= 0; n++)
            ids->items[ids->count + n] = h->byte_ids[bytes[n]];
        if (n == size) {
            ids->count += n;
            return ASH_OK;
        }
    }
    bool fused = h->flags & ASH_VOCAB_FUSE_UNK && ids->count > from && ids->items[ids->count - 1] == h->unk;
    if (h->unk >= 0 && !fused)
        ids->items[ids->count++] = h->unk;
    return ASH_OK;
}

ash_status ash_piece_broken(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    if (p->vocab->header->model == ASH_VOCAB_BYTE_BPE)
        return ash_piece(p, piece, size, ids, err);
    size_t from = ids->count;
    for (size_t i = 0; i < size; i++)
        ASH_TRY(ash_unknown(p->vocab, piece + i, 1, from, ids, err));
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

static ash_status one(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    const ash_vocab_header *h = p->vocab->header;
    if (size <= h->longest_bytes && h->model != ASH_VOCAB_UNIGRAM) {
        int32_t id = ash_vocab_search(p->vocab, piece, size, ASH_TOKEN_WHOLE);
        if (id >= 0) {
            ASH_TRY(ash_ids_reserve(ids, 1, err));
            ids->items[ids->count++] = id;
            return ASH_OK;
        }
    }
    size_t slot = 0, from = ids->count;
    bool keep = p->known && size <= KNOWN_BYTES;
    if (keep) {
        slot = known_slot(piece, size);
        if (p->known->slots[slot].size == size && memcmp(p->known->slots[slot].bytes, piece, size) == 0) {
            size_t n = p->known->slots[slot].count;
            ASH_TRY(ash_ids_reserve(ids, KNOWN_IDS, err));
            memcpy(ids->items + ids->count, p->known->slots[slot].ids, n * sizeof *ids->items);
            ids->count += n;
            return ASH_OK;
        }
    }
    ASH_TRY(h->model == ASH_VOCAB_UNIGRAM   ? ash_unigram(p, piece, size, ids, err)
            : h->model == ASH_VOCAB_SPM_BPE ? ash_spm(p, piece, size, ids, err)
                                            : ash_bpe(p, piece, size, ids, err));
    size_t count = ids->count - from;
    if (keep && count <= KNOWN_IDS) {
        memcpy(p->known->slots[slot].bytes, piece, size);
        if (count != 0)
            memcpy(p->known->slots[slot].ids, ids->items + from, count * sizeof *ids->items);
        p->known->slots[slot].size = (uint8_t)size;
        p->known->slots[slot].count = (uint8_t)count;
    }
    return ASH_OK;
}

/* The end of the part that begins at `at`: in front of the next run of U+2581, or the piece's. */
static size_t part_end(const uint8_t *piece, size_t size, size_t at)
{
    const uint8_t *space = ash_space_symbol;
    while (size - at >= sizeof ash_space_symbol && memcmp(piece + at, space, sizeof ash_space_symbol) == 0)
        at += sizeof ash_space_symbol;
    const uint8_t *next = at < size ? memmem(piece + at, size - at, space, sizeof ash_space_symbol) : NULL;
    return next ? (size_t)(next - piece) : size;
}

/* With CUT_SPACE a piece falls into parts that each begin with a run of U+2581. No token and no symbol lies across a
 * part's begin, and no symbol vanishes, which would make others adjacent. So no merge ever joins two symbols across it,
 * whatever else has merged; the merges inside one part depend on the symbols of that part alone; and of two merges in
 * one part the order is the same whether other parts' merges come between them or not. Hence the parts merged one by
 * one give what the whole piece gives. Unks do not fuse across: a part begins with a token. */
ash_status ash_piece(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    const ash_vocab_header *h = p->vocab->header;
    if (!(h->flags & ASH_VOCAB_CUT_SPACE))
        return one(p, piece, size, ids, err);
    for (size_t at = 0, end; at < size; at = end) {
        end = part_end(piece, size, at);
        ASH_TRY(one(p, piece + at, end - at, ids, err));
    }
    return ASH_OK;
}
