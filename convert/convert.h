/* From a source model to an .ashlar file, and out again. Never prints: events go to the caller.
 *
 * Memory is bounded whatever the model: tensors stream in row ranges of at most a few MiB through reader, tiler and
 * writer. Output is the same bytes for the same input, whatever the machine or the number of threads.
 */
#ifndef ASHLAR_CONVERT_CONVERT_H
#define ASHLAR_CONVERT_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/status.h"
#include "quant/imatrix.h"
#include "quant/recipe.h"

/* One matrix of the source and what became of it. */
typedef struct ash_convert_matrix {
    const char *name;          /* the source's */
    uint32_t role, layer;      /* q, k, v, gate, up rather than what fuses them; ASH_NO_LAYER */
    uint32_t dtype;            /* in the output */
    bool kept;                 /* the source's type: exact */
    uint64_t elements;
    double bits;               /* of the output a weight, padding and scales included */
    double error;              /* relative: root of the sum of squared errors over that of squares, of one row in 16 */
} ash_convert_matrix;

/* What helps to encode matrices; any part may be missing. */
typedef struct ash_convert_guide {
    const ash_imatrix *imatrix; /* weights the search for scales, where a type has one; NULL: none */
    /* A row that was encoded before: ash_row_bytes(dtype, cols) bytes, or NULL. role: the matrix's own (Q, not QKV);
     * row: in canonical order. Called by several threads. */
    const uint8_t *(*encoded)(void *context, uint32_t role, uint32_t layer, uint64_t row, uint32_t dtype);
    void *context;
    /* Scales of a matrix whose `encoded` rows are FP8: *weight one, or one a row in canonical order where the recipe
     * says so, that live as long as the context; *input: of its inputs, fixed. False: they are chosen from the weights,
     * and inputs have one a token. */
    bool (*scales)(void *context, uint32_t role, uint32_t layer, const float **weight, float *input);
    const char *provenance; /* what guided it, one line for the file's metadata; NULL: nothing did */
} ash_convert_guide;

typedef struct ash_convert_options {
    uint32_t type;   /* ash_dtype of all matrices of the architecture, or ASH_TYPE_KEEP */
    const ash_recipe *recipe; /* NULL: `type`; else `type` is not looked at */
    bool dry_run;    /* plan, check and report; write nothing */
    bool force;      /* replace an existing output */
    uint32_t threads; /* 0: all */
    uint32_t levels;  /* only kernels of the first so many ash_levels; 0: all. The output is the same. */
    const ash_convert_guide *guide; /* NULL: none */
    /* Events; each may be NULL. progress: bytes of source data done and in total, those counted twice that are read
     * twice (what becomes FP8, whose scales are chosen first); nonzero cancels.
     * note: one line worth telling (tensors kept raw, a scale ignored). begin: everything has been checked, the free
     * space too, and `bytes` are about to be written, without the sections behind the data. */
    void (*begin)(void *context, uint64_t bytes);
    int (*progress)(void *context, uint64_t done, uint64_t total);
    void (*note)(void *context, const char *line);
    void (*matrix)(void *context, const ash_convert_matrix *matrix); /* at the end, in the order of the file */
    void *context;
} ash_convert_options;

typedef struct ash_convert_result {
    uint64_t source_bytes; /* read and kept */
    uint64_t output_bytes; /* of the file; of a dry run: up to the end of the data, without the sections behind it */
    uint32_t tensors, members, raw_tensors;
    /* lost, energy: sums of squared errors and squares, of the rows that were looked at */
    struct { uint32_t tensors; uint64_t bytes, elements; double lost, energy; } by_type[ASH_DTYPE_COUNT];
    uint64_t kv_bytes;          /* of a token of context, in F16 */
    uint32_t context, window;   /* trained context; tokens that a query sees, 0: all */
} ash_convert_result;

/* `source`: a GGUF file (any part of a split one), a safetensors file or index inside a model folder, or the folder. */
ash_status ash_convert(const char *source, const char *output, const ash_convert_options *options,
                       ash_convert_result *result, ash_error *err);

typedef struct ash_export_options {
    bool force;
    uint64_t part_bytes; /* of a safetensors file's data, about; 0: 5 GB */
    /* Events, as above; total and done: bytes of tensor data written. */
    int (*progress)(void *context, uint64_t done, uint64_t total);
    void (*note)(void *context, const char *line);
    void *context;
} ash_export_options;

/* An .ashlar to a GGUF.
 * It came from a GGUF: the same tensor bytes, order, metadata and alignment.
 * In both cases a K type whose rows are no whole blocks, which a GGUF cannot hold, becomes the type that llama.cpp
 * takes for it: Q4_K Q5_0, Q5_K Q5_1, Q6_K Q8_0.
 * It came from Hugging Face: what llama.cpp's converter writes for the same checkpoint, from the .ashlar alone.
 * Matrices keep their types, but for FP8, which GGUF lacks: it becomes F16 where the embedding is F16, else BF16, with
 * its scales worked in. Vectors become F32. Llama 3.1's rope scaling becomes a tensor of factors. Tensors outside the
 * architecture are left out. A tokenizer that llama.cpp cannot do is ASH_E_UNSUPPORTED, naming what: byte-level BPE
 * needs a pre-tokenizer that has a name in GGUF, SentencePiece BPE no map and no trimming, BPE of characters merges
 * that scores can stand for; Unigram is not exported. */
ash_status ash_export_gguf(const char *ashlar_path, const char *output, const ash_export_options *options,
                           ash_error *err);

/* An .ashlar to a Hugging Face folder: config.json, generation_config.json, tokenizer.json, tokenizer_config.json and
 * model.safetensors, or parts with an index. It appears when it is complete; with `force` it replaces a folder that
 * holds nothing but such files.
 * F32, F16 and BF16 tensors keep their bytes, but norms and biases that a GGUF widened to F32 get the model's type
 * again where that is exact. FP8 matrices keep their bytes, and the configuration describes them as compressed-tensors
 * does; their scales are called weight_scale and input_scale, whatever the source called them. Other types become BF16.
 * What came from Hugging Face outside the architecture stays, what came from a GGUF is left out. torch_dtype is the
 * embedding's type, BF16 where anything was quantized.
 * A model that no class of transformers computes is ASH_E_UNSUPPORTED. A tokenizer that a tokenizer.json cannot say is
 * left out, and the reason is a note. */
ash_status ash_export_hf(const char *ashlar_path, const char *output, const ash_export_options *options,
                         ash_error *err);

#endif
