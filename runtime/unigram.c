/* Unigram: the tokens whose scores sum highest, by Viterbi's search over the characters' begins. */
#include <math.h>

#include "runtime/tokenizer_internal.h"

#define NONE ASH_VOCAB_NONE

/* The best way to a place of the piece. */
typedef struct place {
    union {
        double score;
        size_t next; /* once the way is known: where the token that begins here ends */
    };
    uint32_t start; /* where its last token begins; NONE: not reached */
    uint32_t id;    /* NONE: a character that no token covers */
} place;

static inline void offer(place *to, double score, uint32_t start, uint32_t id, bool floats)
{
    score = floats ? (double)(float)score : score;
    if (to->start != NONE && !(score > to->score))
        return;
    to->score = score;
    to->start = start;
    to->id = id;
}

/* SentencePiece's remedy for floats that lose their small digits in a long text: all sums from here on lose this one. */
#define RESET_FROM 100000
static void reset(place *best, uint32_t at, uint32_t frontier)
{
    float offset = (float)best[at].score;
    for (uint32_t i = at; i <= frontier; i++)
        if (i == at || best[i].start != NONE)
            best[i].score = (double)((float)best[i].score - offset);
}

static void search(const ash_vocab *v, const uint8_t *piece, uint32_t size, place *best)
{
    const ash_vocab_header *h = v->header;
    const ash_vocab_trie *trie = v->trie;
    bool floats = (h->flags & ASH_VOCAB_FLOAT_SUMS) != 0;
    uint32_t longest = h->longest_bytes < ASH_VOCAB_UNIGRAM_BYTES_MAX ? h->longest_bytes : ASH_VOCAB_UNIGRAM_BYTES_MAX;
    for (uint32_t i = 0; i <= size; i++)
        best[i] = (place){ { 0 }, NONE, NONE };
    for (uint32_t at = 0, step, frontier = 0; at < size; at += step) {
        step = (uint32_t)ash_vocab_char_bytes(piece + at, size - at);
        step = step ? step : 1;
        if (floats && fabs(best[at].score) > RESET_FROM)
            reset(best, at, frontier);
        double till_here = best[at].score;
        bool single = false;
        uint32_t end = size - at < longest ? size : at + longest;
        for (uint32_t unit = 0, k = at; k < end;) {
            uint32_t child = trie[unit].base ^ piece[k++];
            if (trie[unit].base == 0 || child >= h->trie_count || trie[child].parent != unit)
                break;
            unit = child;
            uint32_t id = trie[unit].id;
            if (id >= h->token_count)
                continue;
            offer(&best[k], v->scores[id] + till_here, at, id, floats);
            frontier = k > frontier ? k : frontier;
            single |= k - at == step;
        }
        if (!single) {
            offer(&best[at + step], h->unk_score + till_here, at, NONE, floats);
            frontier = at + step > frontier ? at + step : frontier;
        }
    }
}

ash_status ash_unigram(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err)
{
    void *scratch;
    ASH_TRY(ash_scratch(p, size + 1, sizeof(place), &scratch, err));
    const ash_vocab *v = p->vocab;
    place *best = scratch;
    search(v, piece, (uint32_t)size, best);
    for (size_t at = size; at > 0;) {
        size_t start = best[at].start;
        best[start].next = at;
        at = start;
    }
    size_t from = ids->count;
    bool fuse = (v->header->flags & ASH_VOCAB_FUSE_UNK) != 0;
    for (size_t at = 0, end; at < size; at = end) {
        end = best[at].next;
        if (best[end].id == NONE) {
            while (fuse && end < size && best[best[end].next].id == NONE)
                end = best[end].next;
            ASH_TRY(ash_unknown(v, piece + at, end - at, from, ids, err));
            continue;
        }
        ASH_TRY(ash_ids_reserve(ids, 1, err));
        ids->items[ids->count++] = (int32_t)best[end].id;
    }
    return ASH_OK;
}
