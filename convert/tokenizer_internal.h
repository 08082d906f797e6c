/* A vocabulary while it is imported: tokens and merges as the source spells them, on the way to a TOKN section. */
#ifndef ASHLAR_CONVERT_TOKENIZER_INTERNAL_H
#define ASHLAR_CONVERT_TOKENIZER_INTERNAL_H

#include "convert/tokenizer.h"
#include "format/vocab.h"

typedef struct ash_draft_token {
    const char *text; /* as the source spells it; borrowed from the source; NULL: the id is unused */
    uint32_t size;
    uint16_t type;    /* ash_token_type; BYTE: spelled <0x0A> */
    bool model;       /* in the model's vocabulary: merges may name it */
    bool added, special;
    double score;
} ash_draft_token;

typedef struct ash_draft {
    uint32_t model; /* ash_vocab_model; BYTE_BPE until the importer says otherwise */
    ash_draft_token *tokens;
    uint32_t token_count;
    uint32_t *map; /* token ids by text, open addressing, ASH_VOCAB_NONE: empty; model and added tokens alike */
    uint32_t map_mask;
    ash_vocab_source_merge *merges;
    uint32_t merge_count, merge_room;
    ash_vocab_source_added *added; /* bytes: borrowed */
    uint32_t added_count, added_room;
    ash_vocab_source_step steps[ASH_VOCAB_STEPS_MAX];
    uint32_t step_count;
    bool byte_level; /* a step turned bytes into the alphabet: nothing that looks at text may follow it */
    void **owned;    /* the steps' texts */
    uint32_t owned_count;
    uint32_t flags; /* ASH_VOCAB_* of the header */
    double unk_score;
    int32_t bos, eos, pad, unk;
    bool last_duplicate;
} ash_draft;

/* Room for ids 0 .. token_count - 1 and for added_max added tokens. */
ash_status ash_draft_init(ash_draft *d, uint64_t token_count, uint64_t added_max, ash_error *err);
void ash_draft_free(ash_draft *d);
/* Fills an id that is still unused. replace: a text that is there already moves to the new id, else it is refused. */
ash_status ash_draft_token_add(ash_draft *d, uint32_t id, ash_draft_token token, bool replace, ash_error *err);
int32_t ash_draft_find(const ash_draft *d, const char *text, size_t size); /* or -1 */
/* The byte that a spelling <0x0A> stands for, or -1. */
int ash_draft_byte(const char *text, size_t size);
/* The next rank: two spellings of the model's vocabulary whose concatenation is one as well. */
ash_status ash_draft_merge(ash_draft *d, const char *left, size_t left_size, const char *right, size_t right_size,
                           ash_error *err);
/* A token (its id is known) that is looked for in the text; ash_vocab_added flags. */
ash_status ash_draft_added(ash_draft *d, uint32_t id, uint32_t flags, ash_error *err);
/* The next step; its texts are copied. */
ash_status ash_draft_step(ash_draft *d, const ash_vocab_source_step *step, ash_error *err);
/* The same with `text` an expression in Oniguruma's syntax, as tokenizer.json writes it. */
ash_status ash_draft_expression_step(ash_draft *d, const ash_vocab_source_step *step, ash_error *err);
/* A split at an expression in Oniguruma's syntax, or at a literal. */
ash_status ash_draft_split(ash_draft *d, const char *expression, bool literal, uint16_t behaviour, bool invert,
                           ash_error *err);
/* UNIGRAM's unk_score as SentencePiece and the tokenizers library have it: 10 below the lowest score of the tokens of
 * type NORMAL (of all of the model's with `all`). */
void ash_draft_unk_score(ash_draft *d, bool all);
/* Undoes the byte-level alphabet and the spelling of bytes, finds the single-byte tokens and builds the section. */
ash_status ash_draft_finish(ash_draft *d, ash_vocab_import *out, ash_error *err);

#define ASH_GPT2_EXPRESSION "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define ASH_METASPACE "\xe2\x96\x81" /* U+2581 */
#define ASH_DRAFT_TOKEN_MAX (1u << 20) /* bytes of one token of a source */
/* Ids may have holes, but a small file must not ask for a large table. */
#define ASH_HOLES_MAX 65536u

/* tokenizer.json's normalizer and pre_tokenizer (tokenizer_json_steps.c), post_processor and decoder
 * (tokenizer_json_post.c) into the draft, in this order. */
struct cJSON;
ash_status ash_json_normalizer(ash_draft *d, const struct cJSON *item, ash_error *err);
ash_status ash_json_pre_tokenizer(ash_draft *d, const struct cJSON *item, ash_error *err);
ash_status ash_json_post_processor(ash_draft *d, const struct cJSON *item, ash_error *err);
ash_status ash_json_decoder(ash_draft *d, const struct cJSON *item, ash_error *err);
/* Whether a normalizer or a pre_tokenizer turns bytes into the alphabet. */
bool ash_json_is_byte_level(const struct cJSON *item);
/* What both files of steps say of an item that they do not execute: "WHAT "TYPE" is not supported by this version". */
ash_status ash_json_refused(const char *what, const struct cJSON *item, ash_error *err);
bool ash_json_is(const struct cJSON *item, const char *type); /* its "type" */
/* The text of a key, which is one character. `what` is for the error. */
ash_status ash_json_character(const struct cJSON *item, const char *what, const char *key, const char **out,
                              ash_error *err);
/* A Metaspace's character and ash_prepend. */
ash_status ash_json_metaspace(const struct cJSON *item, const char *what, const char **replacement, uint16_t *prepend,
                              ash_error *err);
/* What Punctuation splits at and StripAccents removes: expressions of ours, in PCRE2's syntax. */
extern const char ash_json_punctuation[], ash_json_marks[];
/* A Sequence deeper than this is refused as an unknown type is. */
#define ASH_JSON_NESTING_MAX 8

/* tokenizer_config.json and what lies beside it (tokenizer_config.c). "bos_token": a string, or an object with
 * "content"; its id where it is a token. */
int32_t ash_config_id(const ash_draft *d, const struct cJSON *config, const char *key, int32_t otherwise);
/* bos (where it is not known yet), eos and pad, add_bos_token and add_eos_token. */
void ash_config_named(ash_draft *d, const struct cJSON *config);
/* The ids that added_tokens_decoder may add: raises *count and adds to *added_count. */
ash_status ash_config_count(const struct cJSON *config, uint64_t *count, uint64_t *added_count, ash_error *err);
/* The added tokens of added_tokens_decoder that are not in the draft yet. keep: the ash_vocab_added flags to take. */
ash_status ash_config_added(ash_draft *d, const struct cJSON *config, uint32_t keep, ash_error *err);
/* One entry of such a list: `item` has content and flags. A token that is in the list already is passed over. */
ash_status ash_config_token(ash_draft *d, uint32_t id, const struct cJSON *item, uint32_t keep, ash_error *err);
uint32_t ash_config_flags(const struct cJSON *item);

/* folder/tokenizer.model (tokenizer_model.c); `config` may be NULL. */
ash_status ash_import_tokenizer_model(const char *folder, const struct cJSON *config, ash_vocab_import *out,
                                      ash_error *err);
/* The bytes of a tokenizer.model with the JSON of the files beside it, each of which may be NULL. */
ash_status ash_import_tokenizer_model_bytes(const uint8_t *bytes, size_t size, const struct cJSON *config,
                                            const struct cJSON *added, const struct cJSON *special,
                                            ash_vocab_import *out, ash_error *err);
/* The parsed tokenizer.json, with tokenizer_config.json or NULL. */
ash_status ash_import_tokenizer_json(const struct cJSON *root, const struct cJSON *config, ash_vocab_import *out,
                                     ash_error *err);

/* The steps of a tokenizer.ggml.pre name (pretokenizers.c); an unknown name is refused with the list of the known. */
ash_status ash_draft_pretokenizer(ash_draft *d, const char *name, size_t size, ash_error *err);
/* The way back: the name that stands for a section's steps and its IGNORE_MERGES. ASH_E_UNSUPPORTED says which step no
 * name covers. NFC counts as nothing, since no name has it. */
#define ASH_PRE_NAME_MAX 32
ash_status ash_pretokenizer_name(const ash_vocab *v, char out[ASH_PRE_NAME_MAX], ash_error *err);
/* The split of these tables that is stored as this expression, or NULL. */
const char *ash_pretokenizer_split(const char *stored, size_t size);

/* Oniguruma's syntax and classes to PCRE2's (expression.c). *out is freed with free(). The result compiles. */
ash_status ash_expression_translate(const char *text, size_t size, char **out, size_t *out_size, ash_error *err);

/* The way back (expression_back.c): a text that translates to `stored`, to the byte; free(). NULL: none was found. */
char *ash_expression_back(const char *stored, size_t size);
/* Whether `text` translates to it. */
bool ash_expression_same(const char *text, size_t size, const char *stored, size_t stored_size);

/* Ranges, for a class, of the characters that Unicode 15 and 16 added to a category ("L", "Nd"); returns the length,
 * and 0 where there are none. ASH_LATER_MAX bytes are room enough for any category (unicode_later.c). */
#define ASH_LATER_MAX 4096
size_t ash_later_ranges(const char *category, char *out, size_t room);

#endif
