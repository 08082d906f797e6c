/* What the files of the export share: export_gguf.c (the whole), export_plan.c (which tensors, how called and typed),
 * export_data.c (their bytes), export_keys.c, export_vocab.c and export_spm.c (key-values that no GGUF left behind). */
#ifndef ASHLAR_CONVERT_EXPORT_INTERNAL_H
#define ASHLAR_CONVERT_EXPORT_INTERNAL_H

#include "convert/arch.h"
#include "convert/convert.h"
#include "format/gguf_write.h"
#include "format/meta.h"
#include "format/reader.h"
#include "format/vocab.h"
#include "kernels/kernels.h"

/* One tensor of the GGUF to be. */
typedef struct ash_export_item {
    const ash_tensor_record *tensor; /* NULL: the rope factors, which no tensor holds */
    const ash_member_record *record; /* as the file has it; NULL likewise */
    ash_member_record member;        /* the same, but the row order is that of the GGUF */
    const char *source_name;         /* in the mapping; for errors */
    char *name;                      /* in the GGUF; free() */
    ash_dtype type;                  /* in the GGUF */
} ash_export_item;

typedef struct ash_export {
    const char *path;
    const ash_export_options *options;
    ash_file *file;
    ash_export_item *items; /* in the order of the GGUF */
    uint32_t count;
    bool retyped;           /* some matrices have another type than in the source */
    ash_kernels kernels;
    ash_gguf_writer *writer;
    uint64_t done, total;   /* bytes of tensor data */
    /* From a GGUF: its key-values. From Hugging Face: what they are made from. */
    uint8_t *pairs;         /* GGKV's content */
    ash_gguf *source;
    ash_meta meta;
    const ash_arch *arch;   /* NULL: the file came from a GGUF */
    uint8_t *tokenizer;     /* TOKN's content */
    ash_vocab vocab;
} ash_export;

/* One line to the caller. */
void __attribute__((format(printf, 2, 3))) ash_export_note(const ash_export *e, const char *format, ...);

/* Fills items, retyped and total. */
ash_status ash_export_plan(ash_export *e, ash_error *err);
/* Bytes of an item in the GGUF. */
uint64_t ash_export_item_bytes(const ash_export_item *item);
/* ggml's number for the type of most of the matrices; false where it has none. */
bool ash_export_file_type(const ash_export *e, uint32_t *out);

/* The bytes of an item, to the writer. */
ash_status ash_export_data(ash_export *e, const ash_export_item *item, ash_error *err);

/* general.* and <architecture>.*, from META. */
ash_status ash_export_keys(ash_export *e, ash_error *err);
/* The divisors of the rotation frequencies that llama3 scaling amounts to: rope_dim / 2 of them. */
void ash_export_rope_factors(const ash_hparams *h, float *out);

/* tokenizer.*, from TOKN and META. */
ash_status ash_export_vocab(ash_export *e, ash_error *err);
/* The merges of ids below `rows`, lowest rank first; *out is freed with free(). */
ash_status ash_export_merges(const ash_export *e, uint32_t rows, ash_vocab_merge **out, uint32_t *count,
                             ash_error *err);

/* SPM_BPE and CHAR_BPE. Whether a GGUF's "llama" tokenizer does the same: ASH_E_UNSUPPORTED names what it does not.
 * *prefix: a space goes in front of a text. */
ash_status ash_export_spm_steps(const ash_export *e, bool *prefix, ash_error *err);
/* Scores of the first `rows` ids. */
ash_status ash_export_spm_scores(const ash_export *e, uint32_t rows, float *scores, ash_error *err);

#endif
