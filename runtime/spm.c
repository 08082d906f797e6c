/* SentencePiece's byte-pair encoding: neighbours merge when their joined bytes are a token, the highest score first. */
#include <string.h>

#include "runtime/heap.h"
#include "runtime/tokenizer_internal.h"

#define NONE ASH_VOCAB_NONE

typedef struct node {
    uint32_t from, end;      /* bytes of the piece */
    uint32_t previous, next; /* nodes */
    uint32_t rank, result;   /* of the merge with the next node; rank NONE: none */
    uint32_t tree;
    bool frozen; /* a symbol: never merges */
} node;

/* How a node came to be: the first trees are the characters, each merge adds one. */
typedef struct tree { uint32_t left, right, id; } tree;

/* Scores in falling order as rising numbers; NaN, which orders with nothing, as NONE. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    if (!(score == score))
        return NONE;
    score += 0.0f; /* one zero */
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

static void relink(const ash_vocab *v, const uint8_t *piece, node *s, ash_heap *h, uint32_t at)
{
    node *a = &s[at];
    a->rank = NONE;
    if (a->next == NONE || a->frozen || s[a->next].frozen)
        return;
    uint32_t size = s[a->next].end - a->from;
    int32_t id = size > v->header->longest_bytes ? -1 : ash_vocab_search(v, piece + a->from, size, ASH_TOKEN_MODEL);
    if (id < 0)
        return;
    a->rank = rank_of(v->tokens[id].score);
    a->result = (uint32_t)id;
    if (a->rank != NONE)
        ash_heap_put(h, (uint64_t)a->rank << 32 | at);
}

/* Symbols and characters; their trees are the first ones. */
static uint32_t split(const ash_pieces *p, const uint8_t *piece, uint32_t size, node *s, tree *made)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < size; n++) {
        const ash_added *symbol =
            p->symbols->end[piece[at]] ? ash_added_longest(p->symbols, piece + at, size - at) : NULL;
        uint32_t step = symbol ? (uint32_t)symbol->size : (uint32_t)ash_vocab_char_bytes(piece + at, size - at);
        step = step ? step : 1;
        s[n] = (node){ at, at + step, n - 1, n + 1, NONE, NONE, n, symbol != NULL };
        uint32_t id = symbol ? symbol->id : (uint32_t)ash_vocab_search(p->vocab, piece + at, step, ASH_TOKEN_MODEL);
        made[n] = (tree){ NONE, NONE, id };
        at += step;
    }
    s[0].previous = s[n - 1].next = NONE;
    return n;
}

/* The ids of one tree: its token, or what an UNUSED token was put together from. `stack` has room for all of them. */
static ash_status emit(const ash_vocab *v, const uint8_t *piece, const uint32_t *ends, const tree *made,
                       uint32_t characters, uint32_t root, uint32_t *stack, size_t from, ash_ids *ids, ash_error *err)
{
    uint32_t depth = 0;
    stack[depth++] = root;
    while (depth != 0) {
        uint32_t at = stack[--depth], id = made[at].id;
        if (at < characters && id >= v->header->token_count) {
            uint32_t begin = at == 0 ? 0 : ends[at - 1];
            ASH_TRY(ash_unknown(v, piece + begin, ends[at] - begin, from, ids, err));
        } else if (at >= characters && v->tokens[id].type == ASH_TOKEN_UNUSED) {
            stack[depth++] = made[at].right;
            stack[depth++] = made[at].left;
        } else {
            ASH_TRY(ash_ids_reserve(ids, 1, err));
            ids->items[ids->count++] = (int32_t)id;
        }
    }
    return ASH_OK;
}

ash_status ash_spm(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    void *scratch;
    const size_t each = 2 * sizeof(uint64_t) + sizeof(node) + 2 * sizeof(tree) + 2 * sizeof(uint32_t);
    ASH_TRY(ash_scratch(p, size, each, &scratch, err));
    const ash_vocab *v = p->vocab;
    ash_heap h = { scratch, 0 };
    node *s = (node *)(h.keys + 2 * size);
    tree *made = (tree *)(s + size);
    uint32_t *ends = (uint32_t *)(made + 2 * size), *stack = ends + size;
    uint32_t characters = split(p, piece, (uint32_t)size, s, made), trees = characters;
    for (uint32_t i = 0; i < characters; i++) {
        ends[i] = s[i].end;
        relink(v, piece, s, &h, i);
    }
    while (h.count != 0) {
        uint64_t key = ash_heap_take(&h);
        uint32_t at = (uint32_t)key;
        if (s[at].rank != (uint32_t)(key >> 32))
            continue;
        uint32_t gone = s[at].next;
        made[trees] = (tree){ s[at].tree, s[gone].tree, s[at].result };
        s[at].tree = trees++;
        s[at].end = s[gone].end;
        s[at].next = s[gone].next;
        s[gone].rank = NONE;
        if (s[at].next != NONE)
            s[s[at].next].previous = at;
        relink(v, piece, s, &h, at);
        if (s[at].previous != NONE)
            relink(v, piece, s, &h, s[at].previous);
    }
    size_t from = ids->count;
    for (uint32_t at = 0; at != NONE; at = s[at].next)
        ASH_TRY(emit(v, piece, ends, made, characters, s[at].tree, stack, from, ids, err));
    return ASH_OK;
}
