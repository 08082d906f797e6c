/* The parts of encoding, between themselves: ids as they grow, merging, cutting, normalizing. */
#ifndef ASHLAR_RUNTIME_TOKENIZER_INTERNAL_H
#define ASHLAR_RUNTIME_TOKENIZER_INTERNAL_H

#include "format/vocab.h"

/* A growing list of ids. */
typedef struct ash_ids {
    int32_t *items;
    size_t count, room;
} ash_ids;
ash_status ash_ids_reserve(ash_ids *ids, size_t more, ash_error *err);

/* ---- merging (bpe.c) ---- */

typedef struct ash_bpe_known ash_bpe_known;
/* State of one call: scratch memory and the pieces met lately. Zero-initialize with the vocabulary. */
typedef struct ash_bpe {
    const ash_vocab *vocab;
    void *scratch; /* for long pieces */
    size_t scratch_bytes;
    ash_bpe_known *known; /* pieces met lately and their ids; may be NULL */
} ash_bpe;
ash_bpe_known *ash_bpe_known_new(void); /* NULL when out of memory; ash_bpe_free frees it */
#define ASH_PIECE_MAX (UINT32_C(1) << 30) /* bytes of one piece */

/* Appends the ids of one piece: a whole token, or its bytes merged. O(n log n). */
ash_status ash_bpe_piece(ash_bpe *b, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err);
void ash_bpe_free(ash_bpe *b);

/* ---- cutting (pretokenize.c) ---- */

typedef struct ash_cutter ash_cutter;       /* the compiled steps; immutable */
typedef struct ash_cutting ash_cutting;     /* state of one call */
typedef ash_status ash_piece_fn(void *context, const uint8_t *piece, size_t size, ash_error *err);

ash_status ash_cutter_new(const ash_vocab *vocab, ash_cutter **out, ash_error *err);
void ash_cutter_free(ash_cutter *c);
ash_status ash_cutting_new(const ash_cutter *c, ash_piece_fn *piece, void *context, ash_cutting **out, ash_error *err);
void ash_cutting_free(ash_cutting *c);
/* Cuts valid UTF-8 into pieces, in order; none is empty. A piece lives only during the call. */
ash_status ash_cut(ash_cutting *c, const uint8_t *text, size_t size, ash_error *err);

/* ---- normalizing (normalize.c) ---- */

/* True when the vocabulary has normalizers. None of this version changes text that is ASCII alone. */
bool ash_normalizes(const ash_vocab *vocab);
/* Valid UTF-8 through all normalizers; *out is freed with free(). */
ash_status ash_normalize(const ash_vocab *vocab, const uint8_t *text, size_t size, uint8_t **out, size_t *out_size,
                         ash_error *err);

#endif
