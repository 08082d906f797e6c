/* Building UNIGRAM's trie: texts sorted by their bytes, each node's children placed together.
 *
 * A child's place is base ^ byte, so the children of a node lie in one block of 256 units. A base is looked for in the
 * last blocks alone (WINDOW of them): blocks that are older are full but for a few units. */
#include <stdlib.h>
#include <string.h>

#include "format/vocab.h"

enum { BLOCK = 256, WINDOW = 16, USED = 1 };

typedef struct range { uint32_t unit, from, to, depth; } range;

typedef struct builder {
    const ash_vocab_source_token *tokens;
    ash_vocab_trie *units;
    uint8_t *used;
    uint32_t count, room; /* of units, multiples of BLOCK */
    range *stack;
    size_t stack_count, stack_room;
} builder;

static int compare(const void *a, const void *b, void *context)
{
    const ash_vocab_source_token *tokens = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const ash_vocab_source_token *s = &tokens[x], *t = &tokens[y];
    int order = memcmp(s->bytes, t->bytes, s->size < t->size ? s->size : t->size);
    if (order != 0)
        return order;
    if (s->size != t->size)
        return s->size < t->size ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool add_block(builder *b)
{
    if (b->count == b->room) {
        uint32_t room = b->room ? 2 * b->room : 64 * BLOCK;
        if (room > ASH_VOCAB_TRIE_MAX)
            return false;
        ash_vocab_trie *units = realloc(b->units, room * sizeof *units);
        if (!units)
            return false;
        b->units = units;
        uint8_t *used = realloc(b->used, room);
        if (!used)
            return false;
        b->used = used;
        b->room = room;
    }
    for (uint32_t i = b->count; i < b->count + BLOCK; i++) {
        b->units[i] = (ash_vocab_trie){ 0, ASH_VOCAB_NONE, ASH_VOCAB_NONE, 0 };
        b->used[i] = 0;
    }
    b->count += BLOCK;
    return true;
}

static bool push(builder *b, range r)
{
    if (b->stack_count == b->stack_room) {
        size_t room = 2 * b->stack_room + 256;
        range *stack = realloc(b->stack, room * sizeof *stack);
        if (!stack)
            return false;
        b->stack = stack;
        b->stack_room = room;
    }
    b->stack[b->stack_count++] = r;
    return true;
}

/* A base, not 0, whose places for all of `labels` are free; 0 when there is no room. */
static uint32_t find_base(builder *b, const uint8_t *labels, uint32_t count)
{
    uint32_t first = b->count > WINDOW * BLOCK ? b->count - WINDOW * BLOCK : 0;
    for (;;) {
        for (uint32_t at = first; at < b->count; at++) {
            uint32_t base = at ^ labels[0], i = 0;
            if (b->used[at] || base == 0)
                continue;
            while (i < count && !b->used[base ^ labels[i]])
                i++;
            if (i == count)
                return base;
        }
        first = b->count;
        if (!add_block(b))
            return 0;
    }
}

static bool place(builder *b, const uint32_t *ids, range r)
{
    while (r.from < r.to && b->tokens[ids[r.from]].size == r.depth) {
        if (b->units[r.unit].id == ASH_VOCAB_NONE)
            b->units[r.unit].id = ids[r.from];
        r.from++;
    }
    if (r.from == r.to)
        return true;
    uint8_t labels[256];
    uint32_t starts[257], count = 0;
    for (uint32_t i = r.from; i < r.to; i++) {
        uint8_t label = b->tokens[ids[i]].bytes[r.depth];
        if (count == 0 || labels[count - 1] != label) {
            labels[count] = label;
            starts[count++] = i;
        }
    }
    starts[count] = r.to;
    uint32_t base = find_base(b, labels, count);
    if (base == 0)
        return false;
    b->units[r.unit].base = base;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t child = base ^ labels[i];
        b->used[child] = USED;
        b->units[child].parent = r.unit;
    }
    for (uint32_t i = count; i-- > 0;)
        if (!push(b, (range){ base ^ labels[i], starts[i], starts[i + 1], r.depth + 1 }))
            return false;
    return true;
}

ash_status ash_vocab_trie_build(const ash_vocab_source_token *tokens, uint32_t *ids, uint32_t count,
                                ash_vocab_trie **out, uint32_t *out_count, ash_error *err)
{
    builder b = { .tokens = tokens };
    *out = NULL;
    *out_count = 0;
    if (count != 0)
        qsort_r(ids, count, sizeof *ids, compare, (void *)tokens);
    bool fine = add_block(&b) && push(&b, (range){ 0, 0, count, 0 });
    if (fine)
        b.used[0] = USED;
    while (fine && b.stack_count != 0)
        fine = place(&b, ids, b.stack[--b.stack_count]);
    free(b.stack);
    free(b.used);
    if (!fine) {
        uint32_t reached = b.count;
        free(b.units);
        return ash_fail(err, reached == ASH_VOCAB_TRIE_MAX ? ASH_E_LIMIT : ASH_E_MEMORY,
                        "tokenizer: no room for the trie of %u tokens behind %u units", count, reached);
    }
    *out = b.units;
    *out_count = b.count;
    return ASH_OK;
}
