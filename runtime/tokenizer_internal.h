/* The parts of encoding and decoding, between themselves. */
#ifndef ASHLAR_RUNTIME_TOKENIZER_INTERNAL_H
#define ASHLAR_RUNTIME_TOKENIZER_INTERNAL_H

#include "format/vocab.h"
#include "runtime/added.h"
#include "runtime/pattern.h"
#include "runtime/tokenizer.h"

const ash_vocab *ash_tokenizer_vocab(const ash_tokenizer *t);

/* U+2581, which stands for a space in SentencePiece's vocabularies. */
static const uint8_t ash_space_symbol[3] = { 0xe2, 0x96, 0x81 };

/* A growing list of ids. */
typedef struct ash_ids {
    int32_t *items;
    size_t count, room;
} ash_ids;
ash_status ash_ids_reserve(ash_ids *ids, size_t more, ash_error *err);

/* A growing text, zero-initialized but for `most`. */
typedef struct ash_buffer {
    uint8_t *bytes; /* free() */
    size_t size, room;
    size_t most;    /* bytes that it may have; 0: any number */
} ash_buffer;
ash_status ash_buffer_reserve(ash_buffer *b, size_t more, ash_error *err);
static inline ash_status ash_buffer_add(ash_buffer *b, const void *bytes, size_t size, ash_error *err)
{
    if (b->room - b->size < size)
        ASH_TRY(ash_buffer_reserve(b, size, err));
    if (size != 0)
        __builtin_memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
    return ASH_OK;
}

/* Where a part of a text stands. */
typedef struct ash_place {
    bool start;  /* at the very start of the whole text */
    bool joined; /* behind bytes that are no UTF-8: nothing is put in front of it, and nothing stripped there */
    bool open;   /* such bytes follow */
} ash_place;

/* ---- merging and searching: one piece of text to ids (piece.c, bpe.c, spm.c, unigram.c) ---- */

typedef struct ash_known ash_known;
/* State of one call: scratch memory and the pieces met lately. Zero-initialize with the vocabulary and the symbols. */
typedef struct ash_pieces {
    const ash_vocab *vocab;
    const ash_added_set *symbols;
    ash_known *known; /* pieces met lately and their ids; may be NULL */
    void *scratch;
    size_t scratch_bytes;
} ash_pieces;
ash_known *ash_known_new(void); /* NULL when out of memory; ash_pieces_free frees it */
#define ASH_PIECE_MAX (UINT32_C(1) << 30) /* bytes of one piece */

/* Appends the ids of one piece of valid UTF-8 (BYTE_BPE: of any bytes). O(n log n), UNIGRAM O(n). */
ash_status ash_piece(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err);
/* Bytes that are no UTF-8. */
ash_status ash_piece_broken(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err);
void ash_pieces_free(ash_pieces *p);

/* Scratch memory of count * each bytes, as large as asked for before or larger. */
ash_status ash_scratch(ash_pieces *p, size_t count, size_t each, void **out, ash_error *err);
/* A character or run of bytes that has no token: its bytes' tokens where all exist, else unk; fused with an unk before
 * it from ids->items[from] on. */
ash_status ash_unknown(const ash_vocab *v, const uint8_t *bytes, size_t size, size_t from, ash_ids *ids,
                       ash_error *err);

/* These append without a look at whole tokens and at what is known. */
ash_status ash_spm(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err);
ash_status ash_bpe(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err);
ash_status ash_unigram(ash_pieces *p, const uint8_t *piece, size_t size, ash_ids *ids, ash_error *err);

/* ---- cutting (pretokenize.c) ---- */

typedef struct ash_cutter ash_cutter;       /* the compiled steps; immutable */
typedef struct ash_cutting ash_cutting;     /* state of one call */
typedef ash_status ash_piece_fn(void *context, const uint8_t *piece, size_t size, ash_error *err);

ash_status ash_cutter_new(const ash_vocab *vocab, ash_cutter **out, ash_error *err);
void ash_cutter_free(ash_cutter *c);
/* `search` is borrowed. */
ash_status ash_cutting_new(const ash_cutter *c, ash_search *search, ash_piece_fn *piece, void *context,
                           ash_cutting **out, ash_error *err);
void ash_cutting_free(ash_cutting *c);
/* Cuts valid UTF-8 into pieces, in order; none is empty. A piece lives only during the call. */
ash_status ash_cut(ash_cutting *c, const uint8_t *text, size_t size, ash_place place, ash_error *err);

/* ---- normalizing (normalizer.c, normalize.c, charsmap.c) ---- */

typedef struct ash_normalizer ash_normalizer; /* NULL: the vocabulary has none */
ash_status ash_normalizer_new(const ash_vocab *vocab, const ash_added_set *symbols, ash_normalizer **out,
                              ash_error *err);
void ash_normalizer_free(ash_normalizer *n);
/* False when no step changes this text. */
bool ash_normalizer_changes(const ash_normalizer *n, const uint8_t *text, size_t size);
/* Valid UTF-8 through all steps; *out is freed with free(). place->start is cleared when what the text began with is
 * gone. */
ash_status ash_normalize(const ash_normalizer *n, ash_search *search, const uint8_t *text, size_t size,
                         ash_place *place, uint8_t **out, size_t *out_size, ash_error *err);

/* NFC, NFD, NFKC or NFKD, by the step's kind. */
ash_status ash_normal_form(uint16_t kind, const uint8_t *text, size_t size, uint8_t **out, size_t *out_size,
                           ash_error *err);

/* SentencePiece's precompiled map: u32 bytes of the trie, its units, then texts that end with a zero byte. */
typedef struct ash_charsmap {
    const uint8_t *units, *texts;
    uint32_t unit_count;
    size_t texts_bytes;
} ash_charsmap;
ash_status ash_charsmap_open(const uint8_t *map, size_t size, ash_charsmap *out, ash_error *err);
/* The tokenizers library's way: graphemes of fewer than 6 bytes, else characters, replaced by their shortest match. */
ash_status ash_charsmap_graphemes(const ash_charsmap *m, const uint8_t *text, size_t size, ash_buffer *out,
                                  ash_error *err);
/* SentencePiece's normalizer; flags of ASH_STEP_SPM. */
ash_status ash_charsmap_spm(const ash_charsmap *m, const ash_added_set *symbols, uint32_t flags, ash_place place,
                            const uint8_t *text, size_t size, ash_buffer *out, ash_error *err);

#endif
