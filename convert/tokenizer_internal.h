/* A vocabulary while it is imported: tokens and merges as the source spells them, on the way to a TOKN section. */
#ifndef ASHLAR_CONVERT_TOKENIZER_INTERNAL_H
#define ASHLAR_CONVERT_TOKENIZER_INTERNAL_H

#include "convert/tokenizer.h"
#include "format/vocab.h"

typedef struct ash_draft_token {
    const char *text; /* as the source spells it; borrowed from the source; NULL: the id is unused */
    uint32_t size;
    uint16_t type;    /* ash_token_type */
    bool model;       /* in the model's vocabulary: merges may name it */
    bool added, special;
} ash_draft_token;

typedef struct ash_draft {
    ash_draft_token *tokens;
    uint32_t token_count;
    uint32_t *map; /* token ids by text, open addressing, ASH_VOCAB_NONE: empty; model and added tokens alike */
    uint32_t map_mask;
    ash_vocab_source_merge *merges;
    uint32_t merge_count, merge_room;
    ash_vocab_source_added *added; /* bytes: borrowed, or owned by `owned` */
    uint32_t added_count, added_room;
    ash_vocab_source_step steps[ASH_VOCAB_STEPS_MAX];
    uint32_t step_count;
    bool byte_level; /* a pre-tokenizer step turned bytes into the alphabet: nothing may follow it */
    void **owned;
    uint32_t owned_count;
    uint32_t flags; /* ASH_VOCAB_* of the header */
    int32_t bos, eos, pad, unk;
    bool last_duplicate, fuse_unk;
} ash_draft;

/* Room for ids 0 .. token_count - 1 and for added_max added tokens. */
ash_status ash_draft_init(ash_draft *d, uint64_t token_count, uint64_t added_max, ash_error *err);
void ash_draft_free(ash_draft *d);
/* Fills an id that is still unused. replace: a text that is there already moves to the new id, else it is refused. */
ash_status ash_draft_token_add(ash_draft *d, uint32_t id, ash_draft_token token, bool replace, ash_error *err);
int32_t ash_draft_find(const ash_draft *d, const char *text, size_t size); /* or -1 */
/* The next rank: two spellings of the model's vocabulary whose concatenation is one as well. */
ash_status ash_draft_merge(ash_draft *d, const char *left, size_t left_size, const char *right, size_t right_size,
                           ash_error *err);
/* A token (its id is known) that is looked for in the text; ash_vocab_added flags. */
ash_status ash_draft_added(ash_draft *d, uint32_t id, uint32_t flags, ash_error *err);
/* Takes over `text` (malloc), also on failure. */
ash_status ash_draft_step(ash_draft *d, uint16_t kind, uint16_t behaviour, uint32_t flags, char *text, size_t size,
                          ash_error *err);
/* A split at an expression in Oniguruma's syntax, as tokenizer.json writes it, or at a literal. */
ash_status ash_draft_split(ash_draft *d, const char *expression, bool literal, uint16_t behaviour, bool invert,
                           ash_error *err);
/* Undoes the byte-level alphabet, finds the single-byte tokens and builds the section. */
ash_status ash_draft_finish(ash_draft *d, ash_vocab_import *out, ash_error *err);

#define ASH_GPT2_EXPRESSION "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* tokenizer.json's normalizer, pre_tokenizer, post_processor and decoder into the draft (tokenizer_json_steps.c). */
struct cJSON;
ash_status ash_json_normalizer(ash_draft *d, const struct cJSON *item, ash_error *err);
ash_status ash_json_pre_tokenizer(ash_draft *d, const struct cJSON *item, ash_error *err);
ash_status ash_json_post_processor(ash_draft *d, const struct cJSON *item, ash_error *err);
ash_status ash_json_decoder(const struct cJSON *item, ash_error *err);

/* The steps of a tokenizer.ggml.pre name (pretokenizers.c); an unknown name is refused with the list of the known. */
ash_status ash_draft_pretokenizer(ash_draft *d, const char *name, size_t size, ash_error *err);

/* Oniguruma's syntax and classes to PCRE2's (expression.c). *out is freed with free(). The result compiles. */
ash_status ash_expression_translate(const char *text, size_t size, char **out, size_t *out_size, ash_error *err);

/* Ranges, for a class, of the characters that Unicode 15 and 16 added to a category ("L", "Nd"); returns the length,
 * and 0 where there are none. ASH_LATER_MAX bytes are room enough for any category (unicode_later.c). */
#define ASH_LATER_MAX 4096
size_t ash_later_ranges(const char *category, char *out, size_t room);

#endif
