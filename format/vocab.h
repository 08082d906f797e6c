/* The TOKN section: a tokenizer that is ready to use where it is mapped. No JSON, no hashing at open.
 *
 * Little-endian. The section starts with ash_vocab_header; all offsets are bytes from the section's start, multiples
 * of 8 for arrays. The arrays do not overlap and lie in the order of the header's fields:
 *
 *   header | tokens[token_count] | slots[slot_count] | merges[merge_slot_count] | added[added_count]
 *          | steps[step_count] | scores[score_count] | trie[trie_count] | pool
 *
 * Strings are (offset into the pool, length); they may share bytes and carry no terminator.
 *
 * Token bytes. A token of the model is stored as the raw bytes that it stands for: the byte-level alphabet (printable
 * stand-ins for bytes, as tokenizer.json and GGUF write them) is undone by the converter, and so is the spelling <0x0A>
 * of a BYTE token, which has no MODEL flag: text cannot spell it. Added tokens, and spellings that are outside the
 * alphabet, keep their UTF-8 text; the models that work on characters keep U+2581 where their vocabulary has it.
 *
 * Finding a token by its bytes. h = XXH3_64bits(bytes, seed 0). Slot h & (slot_count - 1), then the next one
 * (wrapping), at most slot_probes slots; a slot with id ASH_VOCAB_NONE ends the search. A slot matches when its tag is
 * h >> 32 and the token's bytes are equal. An added token may share its bytes with a token of the model: both have
 * slots, so a search that wants a certain flag goes on when the flag is missing.
 *
 * Finding a merge. key = left << 32 | right; x = key * 0x9e3779b97f4a7c15; x ^= x >> 32; x *= 0xd6e8feb86659fd93;
 * slot x >> (64 - log2 merge_slot_count), then the next one (wrapping), at most merge_probes slots; a slot with left
 * ASH_VOCAB_NONE ends the search. Lower ranks merge first; of equal ranks the leftmost.
 *
 * What is checked when: ash_vocab_open checks the header, the arrays' bounds, the single-byte ids, the added tokens and
 * the steps: time that does not grow with the vocabulary. Token records and slots (megabytes, most of them never
 * touched) are checked where they are looked up: a string outside the pool is empty, an id outside the vocabulary is no
 * match. Searches end after slot_probes and merge_probes steps, both at most ASH_VOCAB_PROBES_MAX, so a full or cyclic
 * table costs a bounded time.
 */
#ifndef ASHLAR_FORMAT_VOCAB_H
#define ASHLAR_FORMAT_VOCAB_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/container.h"
#include "format/status.h"

#define ASH_VOCAB_MAGIC ASH_FOURCC('T', 'O', 'K', 'N')
#define ASH_VOCAB_VERSION 1
#define ASH_VOCAB_NONE UINT32_MAX
#define ASH_VOCAB_TOKENS_MAX (1u << 24)
#define ASH_VOCAB_MERGES_MAX (1u << 26)
#define ASH_VOCAB_ADDED_MAX (1u << 20)
#define ASH_VOCAB_STEPS_MAX 64u
#define ASH_VOCAB_TRIE_MAX (1u << 28)
#define ASH_VOCAB_PROBES_MAX 1024u
#define ASH_VOCAB_PATTERN_MAX 65536u /* bytes of one expression or replacement */
#define ASH_VOCAB_MAP_MAX (1u << 24) /* bytes of one CHARSMAP or SPM map */
#define ASH_VOCAB_UNIGRAM_BYTES_MAX 1024u /* of a token of UNIGRAM's model: a step of the search walks no further */

/* How a piece of text becomes ids. A symbol is a byte (BYTE_BPE) or a character of UTF-8 (the others).
 * BYTE_BPE  each byte's own token, then merges from the table.
 * CHAR_BPE  each character's own token, then merges from the table. A character without a token is its bytes' tokens
 *           (BYTE_FALLBACK, where all of them exist), else unk.
 * SPM_BPE   SentencePiece's: two neighbours merge when their joined bytes are a token with MODEL, the highest score
 *           first, of equal scores the leftmost; a token of type UNUSED that comes out is taken apart again as it was
 *           put together. What is no token in the end is its bytes (BYTE_FALLBACK) or unk. Symbols that `added` marks
 *           with SYMBOL are whole from the start and never merge.
 * UNIGRAM   the tokens with MODEL whose scores sum highest (scores[]); a character that none covers scores unk_score
 *           and is its bytes (BYTE_FALLBACK) or unk. Sums in float with FLOAT_SUMS (SentencePiece), else in double. */
typedef enum ash_vocab_model {
    ASH_VOCAB_BYTE_BPE = 1,
    ASH_VOCAB_SPM_BPE = 2,
    ASH_VOCAB_UNIGRAM = 3,
    ASH_VOCAB_CHAR_BPE = 4,
} ash_vocab_model;

enum {                                    /* ash_vocab_header.flags; unknown bits are refused */
       ASH_VOCAB_IGNORE_MERGES = 1u << 0, /* a piece that is a token is that token (every such token has WHOLE) */
       ASH_VOCAB_ADD_BOS = 1u << 1,       /* the model wants bos in front of a text */
       ASH_VOCAB_ADD_EOS = 1u << 2, /* the source's tokenizer ends a text with eos; recorded, not applied to prompts */
       ASH_VOCAB_GAPS_BLOCK = 1u << 3, /* a byte without a token separates its neighbours; else they become adjacent */
       ASH_VOCAB_BYTE_FALLBACK = 1u << 4, /* byte_ids are the tokens of single bytes, for what has no token */
       ASH_VOCAB_FUSE_UNK = 1u << 5,      /* neighbouring unk become one */
       ASH_VOCAB_FLOAT_SUMS = 1u << 6,
       ASH_VOCAB_CUT_SPACE = 1u << 7, /* set by the builder, BPE of characters without a SPLIT: no token and no symbol
                                         has U+2581 behind another character than U+2581, U+2581 is a token and no
                                         character is dropped, so a text may be cut there and its parts merged (and
                                         remembered) one by one */
};
#define ASH_VOCAB_FLAGS_KNOWN 255u

enum { /* ash_vocab_token.flags */
    ASH_TOKEN_MODEL = 1u << 0,   /* in the model's vocabulary and usable by it: its bytes are raw bytes */
    ASH_TOKEN_WHOLE = 1u << 1,   /* a piece of text with exactly these bytes encodes to this token alone */
    ASH_TOKEN_ADDED = 1u << 2,   /* in the list of added tokens */
    ASH_TOKEN_SPECIAL = 1u << 3, /* a control token: not shown, parsed only on request */
};
typedef enum ash_token_type { /* as GGUF numbers them */
    ASH_TOKEN_NORMAL = 1, ASH_TOKEN_UNKNOWN = 2, ASH_TOKEN_CONTROL = 3, ASH_TOKEN_USER = 4, ASH_TOKEN_UNUSED = 5,
    ASH_TOKEN_BYTE = 6,
} ash_token_type;

typedef struct ash_vocab_token {
    uint32_t offset; /* into the pool */
    uint32_t bytes;  /* 0: an id that nothing uses */
    uint16_t flags;
    uint16_t type;   /* ash_token_type */
    float score;     /* 0 for byte-level BPE */
} ash_vocab_token;
static_assert(sizeof(ash_vocab_token) == 16, "token record");

typedef struct ash_vocab_slot {
    uint32_t tag; /* upper half of the hash */
    uint32_t id;  /* ASH_VOCAB_NONE: empty */
} ash_vocab_slot;
static_assert(sizeof(ash_vocab_slot) == 8, "token slot");

typedef struct ash_vocab_merge {
    uint32_t left, right; /* left = ASH_VOCAB_NONE: empty */
    uint32_t rank, result;
} ash_vocab_merge;
static_assert(sizeof(ash_vocab_merge) == 16, "merge slot");

enum { /* ash_vocab_added.flags */
    ASH_ADDED_SPECIAL = 1u << 0,
    ASH_ADDED_LSTRIP = 1u << 1,      /* takes the white space before it */
    ASH_ADDED_RSTRIP = 1u << 2,      /* and after it */
    ASH_ADDED_SINGLE_WORD = 1u << 3, /* only where no word character touches it */
    ASH_ADDED_NORMALIZED = 1u << 4,  /* looked for in normalized text: the runtime normalizes `text` itself */
    ASH_ADDED_SYMBOL = 1u << 5,      /* SentencePiece's user-defined symbol: does not cut the text; the SPM step passes
                                        it unchanged and the model takes it whole. Never with NORMALIZED */
};
#define ASH_ADDED_FLAGS_KNOWN 63u
/* The text to look for. The first added_raw_count records are without NORMALIZED, the others with; each group is
 * sorted by its bytes (memcmp order, a prefix before what it is a prefix of) without duplicates. Never empty. */
typedef struct ash_vocab_added {
    uint32_t id;
    uint32_t flags;
    uint32_t offset, bytes;
} ash_vocab_added;
static_assert(sizeof(ash_vocab_added) == 16, "added token");

/* What happens to text before the model sees it, and to tokens on the way back, in this order: normalizers (16 to 63)
 * on each text between added tokens, then the pre-tokenizer's steps (1 to 15), then the decoder's (128 and up). */
typedef enum ash_vocab_step_kind {
    ASH_STEP_SPLIT = 1,        /* cut each piece at the matches of `text` */
    ASH_STEP_PREFIX_SPACE = 2, /* a space in front of each piece that does not begin with one */
    ASH_STEP_METASPACE = 3,    /* spaces become `text` (one character, mostly U+2581), one is put in front of each piece
                                  that does not begin with it, as `behaviour` (ash_prepend) says; with CUT each
                                  occurrence begins a piece */

    ASH_STEP_NFC = 16,
    ASH_STEP_NFD = 17,
    ASH_STEP_NFKC = 18,
    ASH_STEP_NFKD = 19,
    ASH_STEP_PREPEND = 20,   /* `text` in front, unless the text is empty */
    ASH_STEP_REPLACE = 21,   /* every match of `text` (LITERAL or an expression, as for SPLIT) becomes `second` */
    ASH_STEP_LOWERCASE = 22, /* each character for itself, full mapping */
    ASH_STEP_STRIP = 23,     /* white space at the LEFT and RIGHT ends */
    ASH_STEP_STRIP_ACCENTS = 24, /* without marks (M) */
    ASH_STEP_CHARSMAP = 25,  /* `text`: SentencePiece's precompiled map, applied as the tokenizers library does: a
                                grapheme of fewer than 6 bytes that begins with a key becomes what the shortest such key
                                stands for; else the same for each of its characters */
    ASH_STEP_SPM = 26,       /* SentencePiece's normalizer: `text` is the map (may be empty) of which the longest match
                                counts at each place; flags TRIM, DUMMY, ESCAPE, SUFFIX; symbols pass unchanged */

    ASH_STEP_DECODE_BYTES = 128,    /* ids are their tokens' bytes, one after another (what an empty list means too) */
    ASH_STEP_DECODE_REPLACE = 129,  /* in each token (after FUSE: in the text) every literal `text` becomes `second` */
    ASH_STEP_DECODE_FALLBACK = 130, /* tokens of type BYTE are their byte (they always are: recorded for export) */
    ASH_STEP_DECODE_FUSE = 131,     /* what follows sees one text */
    ASH_STEP_DECODE_STRIP = 132,    /* up to numbers[0] of the character `text` at the start, numbers[1] at the end, of
                                       each token or of the fused text */
    ASH_STEP_DECODE_METASPACE = 133, /* `text` becomes a space; in the first token it goes, unless `behaviour` is
                                        NEVER */
    ASH_STEP_DECODE_SPM = 134,      /* SentencePiece's: U+2581 is a space; with DUMMY the text loses one in front (with
                                       TRIM all); unk is " \u2047 " */
    ASH_STEP_DECODE_JOIN = 135,     /* a space between tokens (a tokenizer.json without a decoder) */
} ash_vocab_step_kind;
static inline bool ash_step_normalizes(uint16_t kind) { return kind >= 16 && kind < 64; }
static inline bool ash_step_cuts(uint16_t kind) { return kind >= 1 && kind < 16; }
static inline bool ash_step_decodes(uint16_t kind) { return kind >= 128; }

typedef enum ash_split_behaviour {
    ASH_SPLIT_ISOLATED = 0, /* each match, and what lies between, is a piece */
    ASH_SPLIT_REMOVED = 1,
    ASH_SPLIT_MERGED_WITH_PREVIOUS =
        2, /* a match ends the piece before it; the second of adjacent matches stands alone */
    ASH_SPLIT_MERGED_WITH_NEXT = 3,
    ASH_SPLIT_CONTIGUOUS = 4, /* adjacent matches form one piece */
} ash_split_behaviour;
typedef enum ash_prepend { /* behaviour of METASPACE and DECODE_METASPACE */
    ASH_PREPEND_ALWAYS = 0,
    ASH_PREPEND_FIRST = 1, /* only the piece at the very start of the whole text */
    ASH_PREPEND_NEVER = 2,
} ash_prepend;
enum { /* ash_vocab_step.flags */
    ASH_STEP_INVERT = 1u << 0,  /* what does not match is the match */
    ASH_STEP_LITERAL = 1u << 1, /* `text` is searched for as it is */
    ASH_STEP_CUT = 1u << 2,     /* METASPACE: cut in front of each replaced space */
    ASH_STEP_LEFT = 1u << 3,    /* STRIP */
    ASH_STEP_RIGHT = 1u << 4,
    ASH_STEP_TRIM = 1u << 5,    /* SPM: no white space at the ends, one of a run (remove_extra_whitespaces) */
    ASH_STEP_DUMMY = 1u << 6,   /* SPM: a space in front of a text that is not empty (add_dummy_prefix) */
    ASH_STEP_ESCAPE = 1u << 7,  /* SPM: spaces become U+2581 (escape_whitespaces) */
    ASH_STEP_SUFFIX = 1u << 8,  /* SPM: the dummy goes to the end (treat_whitespace_as_suffix) */
};
#define ASH_STEP_FLAGS_KNOWN 511u

/* `text` of a SPLIT is a PCRE2 expression for the options UTF, UCP and MULTILINE with LF as the newline. */
typedef struct ash_vocab_step {
    uint16_t kind;      /* ash_vocab_step_kind; an unknown one is refused */
    uint16_t behaviour; /* ash_split_behaviour of a SPLIT, else 0 */
    uint32_t flags;
    uint32_t text_offset, text_bytes;     /* into the pool */
    uint32_t second_offset, second_bytes; /* REPLACE and DECODE_REPLACE, else 0 */
    uint32_t numbers[2];                  /* DECODE_STRIP, else 0 */
} ash_vocab_step;
static_assert(sizeof(ash_vocab_step) == 32, "step");

/* UNIGRAM: the tokens with MODEL by their bytes. Unit 0 is the root. The child of unit i by byte b is unit
 * base ^ b when that is below trie_count and its parent is i; base 0 has no children. id: the token that ends here, or
 * ASH_VOCAB_NONE. */
typedef struct ash_vocab_trie { uint32_t base, parent, id, reserved; } ash_vocab_trie;
static_assert(sizeof(ash_vocab_trie) == 16, "trie unit");

typedef struct ash_vocab_header {
    uint32_t magic;
    uint16_t version;
    uint16_t header_bytes;  /* sizeof this struct */
    uint32_t model;         /* ash_vocab_model */
    uint32_t flags;
    uint32_t score_count;   /* UNIGRAM: token_count, else 0 */
    uint32_t longest_bytes; /* of the longest token with WHOLE (BYTE_BPE) or MODEL (others): longer needs no search */
    int32_t bos, eos, pad, unk; /* -1: none; else below token_count */
    uint64_t section_bytes; /* of the whole section */
    uint32_t token_count;   /* at least 1, at most ASH_VOCAB_TOKENS_MAX */
    uint32_t slot_count;    /* a power of two, at least twice the tokens that it holds when well-formed */
    uint32_t slot_probes;   /* the longest search that succeeds, in slots */
    uint32_t merge_count;
    uint32_t merge_slot_count; /* a power of two from 2 on; at least 4/3 of merge_count when well-formed */
    uint32_t merge_probes;
    uint32_t added_count;
    uint32_t added_raw_count; /* of them without NORMALIZED: the first ones */
    uint32_t step_count;
    uint32_t trie_count;    /* UNIGRAM: at least 1, else 0 */
    uint64_t tokens;        /* offsets from here on */
    uint64_t slots;
    uint64_t merges;
    uint64_t added;
    uint64_t steps;
    uint64_t pool;
    uint64_t pool_bytes;    /* at most 4 GiB - 1 */
    uint64_t scores;        /* offset of double[score_count], as exact as the source has them */
    uint64_t trie;          /* offset of ash_vocab_trie[trie_count] */
    double unk_score;       /* UNIGRAM: of a character that no token covers */
    uint64_t reserved1[11];
    int32_t byte_ids[256]; /* the token of a single byte, or -1: such a byte of the text is dropped (unk where there is
                              one) */
} ash_vocab_header;
static_assert(sizeof(ash_vocab_header) == 1280, "vocabulary header");
static_assert(__builtin_offsetof(ash_vocab_header, tokens) == 88, "vocabulary header, offsets");

/* ---- reading: a checked view of a section in memory ---- */

typedef struct ash_vocab {
    const ash_vocab_header *header;
    const ash_vocab_token *tokens;
    const ash_vocab_slot *slots;
    const ash_vocab_merge *merges;
    const ash_vocab_added *added;
    const ash_vocab_step *steps;
    const double *scores;
    const ash_vocab_trie *trie;
    const uint8_t *pool;
    uint32_t merge_shift; /* 64 - log2 of merge_slot_count */
} ash_vocab;

/* `section` is borrowed and 8-byte aligned. Checks what the head of this file says. */
ash_status ash_vocab_open(const void *section, size_t size, ash_vocab *out, ash_error *err);

/* The token with these bytes that has all of `flags`, or -1. Of several the one with ADDED, then the lowest id. */
int32_t ash_vocab_search(const ash_vocab *v, const void *bytes, size_t size, uint16_t flags);

/* A token's bytes, inside the pool in any case; *size 0 for an unknown id. */
static inline const uint8_t *ash_vocab_bytes(const ash_vocab *v, uint32_t id, size_t *size)
{
    *size = 0;
    if (id >= v->header->token_count)
        return v->pool;
    const ash_vocab_token *t = &v->tokens[id];
    if (t->offset > v->header->pool_bytes || t->bytes > v->header->pool_bytes - t->offset)
        return v->pool;
    *size = t->bytes;
    return v->pool + t->offset;
}

/* Bytes of the character of UTF-8 at the start by its first byte, 0 when it is cut short or none begins so: for text
 * that is known to be valid, and for token bytes that may be none. */
static inline size_t ash_vocab_char_bytes(const uint8_t *bytes, size_t size)
{
    if (size == 0 || (bytes[0] >= 0x80 && bytes[0] < 0xc2) || bytes[0] > 0xf4)
        return 0;
    size_t n = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (n > size)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static inline uint64_t ash_vocab_merge_hash(uint32_t left, uint32_t right)
{
    uint64_t x = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 32;
    return x * UINT64_C(0xd6e8feb86659fd93);
}

/* The merge of two tokens, or NULL. Its result is a valid id. */
static inline const ash_vocab_merge *ash_vocab_find_merge(const ash_vocab *v, uint32_t left, uint32_t right)
{
    uint32_t mask = v->header->merge_slot_count - 1;
    uint32_t at = (uint32_t)(ash_vocab_merge_hash(left, right) >> v->merge_shift);
    for (uint32_t probes = v->header->merge_probes; probes != 0; probes--) {
        const ash_vocab_merge *m = &v->merges[at];
        if (m->left == left && m->right == right)
            return m->result < v->header->token_count ? m : NULL;
        if (m->left == ASH_VOCAB_NONE)
            return NULL;
        at = (at + 1) & mask;
    }
    return NULL;
}

/* ---- building ---- */

typedef struct ash_vocab_source_token {
    const uint8_t *bytes; /* raw bytes (MODEL) or text */
    uint32_t size;
    uint16_t flags;       /* without WHOLE, which the builder finds out */
    uint16_t type;
    double score;         /* the record has it as a float; UNIGRAM also as it is */
} ash_vocab_source_token;

typedef struct ash_vocab_source_merge { uint32_t left, right, result; } ash_vocab_source_merge;

typedef struct ash_vocab_source_added {
    uint32_t id, flags;
    const uint8_t *bytes; /* what to look for */
    uint32_t size;
} ash_vocab_source_added;

typedef struct ash_vocab_source_step {
    uint16_t kind, behaviour;
    uint32_t flags;
    const char *text;
    uint32_t size;
    const char *second;
    uint32_t second_size;
    uint32_t numbers[2];
} ash_vocab_source_step;

typedef struct ash_vocab_source {
    uint32_t model, flags;
    double unk_score;
    int32_t bos, eos, pad, unk;
    int32_t byte_ids[256];
    uint32_t token_count, merge_count, added_count, step_count;
    const ash_vocab_source_token *tokens; /* index = id */
    const ash_vocab_source_merge *merges; /* index = rank */
    const ash_vocab_source_added *added;  /* any order */
    const ash_vocab_source_step *steps;
    bool last_duplicate; /* of merges with the same pair the last counts, else the first */
} ash_vocab_source;

/* The trie of UNIGRAM (vocab_trie.c): the `count` texts of `ids`, which index source tokens; of equal texts the first
 * id counts. *out is freed with free(). */
ash_status ash_vocab_trie_build(const ash_vocab_source_token *tokens, uint32_t *ids, uint32_t count,
                                ash_vocab_trie **out, uint32_t *out_count, ash_error *err);

/* Lays out a section. The same source gives the same bytes. *out is freed with free(). */
ash_status ash_vocab_build(const ash_vocab_source *source, uint8_t **out, size_t *size, ash_error *err);

#endif
