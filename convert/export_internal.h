/* What the files of the export share.
 *
 * Both ways out: export.c (opening, and the walk over the tensors), export_data.c (their bytes).
 * To a GGUF: export_gguf.c (the whole), export_plan.c (which tensors, how called and typed), export_keys.c,
 * export_vocab.c and export_spm.c (key-values that no GGUF left behind).
 * To a Hugging Face folder: export_hf.c (the whole), export_plan_hf.c, export_config.c (config.json),
 * export_tokenizer.c and export_steps.c (tokenizer.json).
 */
#ifndef ASHLAR_CONVERT_EXPORT_INTERNAL_H
#define ASHLAR_CONVERT_EXPORT_INTERNAL_H

#include "convert/arch.h"
#include "convert/convert.h"
#include "format/gguf_write.h"
#include "format/json.h"
#include "format/meta.h"
#include "format/reader.h"
#include "format/safetensors_write.h"
#include "format/vocab.h"
#include "kernels/kernels.h"

/* What becomes of the inputs of an FP8 matrix. */
typedef enum ash_export_inputs { ASH_INPUTS_KEPT, ASH_INPUTS_DYNAMIC, ASH_INPUTS_STATIC } ash_export_inputs;

/* One tensor of the output. */
typedef struct ash_export_item {
    const ash_tensor_record *tensor; /* NULL: the rope factors, which no tensor holds */
    const ash_member_record *record; /* as the file has it; NULL likewise */
    ash_member_record member;        /* the same, but row order and shape are those of the output */
    const char *source_name;         /* in the mapping; for errors */
    char *name;                      /* in the output; free() */
    ash_dtype type;                  /* in the output */
    uint64_t order;                  /* items lie ascending; no two are the same */
    ash_scale_kind scale_kind;       /* a matrix that stays FP8: how it is scaled, and its inputs */
    ash_export_inputs inputs;
} ash_export_item;

typedef struct ash_export {
    const char *path;
    const ash_export_options *options;
    ash_file *file;
    bool from_gguf;         /* where the .ashlar came from */
    ash_export_item *items; /* in the order of the output */
    uint32_t count;
    bool retyped;           /* some matrices have another type than in the source */
    ash_kernels kernels;
    ash_gguf_writer *gguf;  /* the one of both that is open takes the data */
    ash_safetensors_writer *safetensors;
    uint64_t done, total;   /* bytes of tensor data */
    /* To a GGUF from a GGUF: its key-values. Else what they are made from. */
    uint8_t *pairs;         /* GGKV's content */
    ash_gguf *source;
    ash_meta meta;
    const ash_arch *arch;   /* NULL: META was not read */
    uint8_t *tokenizer;     /* TOKN's content, or NULL: there is none */
    ash_vocab vocab;
    ash_dtype float_type;   /* to Hugging Face: what its configuration names, F32, F16 or BF16 */
    bool cache_scales;      /* likewise: there are scales of the KV cache */
} ash_export;

/* One line to the caller. */
void __attribute__((format(printf, 2, 3))) ash_export_note(const ash_export *e, const char *format, ...);

/* Fills path, options and kernels and opens the file; ash_export_release in any case. `output` must not be it. */
ash_status ash_export_open(ash_export *e, const char *path, const char *output, const ash_export_options *options,
                           ash_error *err);
/* META, and TOKN where there is one; an architecture that is not known is refused. */
ash_status ash_export_meta(ash_export *e, ash_error *err);
void ash_export_release(ash_export *e);

/* Calls `add` for each member of each tensor; it appends at most so many items. Then sorts them. */
#define ASH_EXPORT_ITEMS_A_MEMBER 3
typedef ash_status ash_export_add_fn(ash_export *e, const ash_tensor_record *t, const ash_member_record *m,
                                     void *context, ash_error *err);
ash_status ash_export_collect(ash_export *e, ash_export_add_fn *add, void *context, ash_error *err);
/* The row of the architecture's tables for a member, checked against META; the name in the output is `hf` or `gguf` of
 * it. */
ash_status ash_export_arch_tensor(const ash_export *e, const ash_export_item *item, bool hf,
                                  const ash_arch_tensor **out, char **name, ash_error *err);
/* What a record may say that no way back knows; the converter writes none of these. `format`: for errors. */
ash_status ash_export_check(const ash_export *e, const ash_export_item *item, const char *format, ash_error *err);

/* Fills items, retyped and total. */
ash_status ash_export_plan(ash_export *e, ash_error *err);
/* The same for a Hugging Face folder. */
ash_status ash_export_plan_hf(ash_export *e, ash_error *err);
/* Adds up e->total. */
ash_status ash_export_sum(ash_export *e, ash_error *err);
/* Bytes of an item in the output. */
uint64_t ash_export_item_bytes(const ash_export_item *item);
/* ggml's number for the type of most of the matrices; false where it has none. */
bool ash_export_file_type(const ash_export *e, uint32_t *out);

/* The bytes of an item, to the writer. */
ash_status ash_export_data(ash_export *e, const ash_export_item *item, ash_error *err);
/* The scale that an FP8 matrix names: its tensor, checked, and the number of its values; NULL: it names none. */
ash_status ash_export_scale(const ash_export *e, const ash_export_item *item, const ash_tensor_record **out,
                            uint64_t *count, ash_error *err);

/* general.* and <architecture>.*, from META. */
ash_status ash_export_keys(ash_export *e, ash_error *err);
/* The divisors of the rotation frequencies that llama3 scaling amounts to: rope_dim / 2 of them. */
void ash_export_rope_factors(const ash_hparams *h, float *out);

/* config.json and generation_config.json, from META and the items. *out is freed with cJSON_Delete. */
ash_status ash_export_config(const ash_export *e, cJSON **out, ash_error *err);
ash_status ash_export_generation(const ash_export *e, cJSON **out, ash_error *err);

/* tokenizer.json, *out freed with free(). It is read again and compared: ASH_E_UNSUPPORTED says what a tokenizer.json
 * cannot say, or what came back as something else. *note, a static text or NULL: where it gives other ids. */
ash_status ash_export_tokenizer(const ash_vocab *v, char **out, size_t *size, const char **note, ash_error *err);
/* bos_token, eos_token, pad_token and unk_token, for the tokenizer_config.json beside it; false when out of memory. */
bool ash_export_token_names(const ash_vocab *v, cJSON *config);
/* Its steps: normalizer, pre_tokenizer and decoder, each with the comma behind it. */
ash_status ash_export_steps(const ash_vocab *v, FILE *f, ash_error *err);

/* tokenizer.*, from TOKN and META. */
ash_status ash_export_vocab(ash_export *e, ash_error *err);
/* The next place from *at on, 1 at first, where `bytes` fall between characters into two tokens of the model; *at is then
 * behind it. 0: there is none. */
size_t ash_export_split(const ash_vocab *v, const uint8_t *bytes, size_t size, size_t *at, uint32_t *left,
                        uint32_t *right);
/* The merges of ids below `rows`, lowest rank first; *out is freed with free(). */
ash_status ash_export_merges(const ash_vocab *v, uint32_t rows, ash_vocab_merge **out, uint32_t *count,
                             ash_error *err);

/* SPM_BPE and CHAR_BPE. Whether a GGUF's "llama" tokenizer does the same: ASH_E_UNSUPPORTED names what it does not.
 * *prefix: a space goes in front of a text. */
ash_status ash_export_spm_steps(const ash_export *e, bool *prefix, ash_error *err);
/* Scores of the first `rows` ids. */
ash_status ash_export_spm_scores(const ash_export *e, uint32_t rows, float *scores, ash_error *err);

#endif
