/* Tokenizer import: a source's tokenizer to the bytes of a TOKN section (format/vocab.h). */
#ifndef ASHLAR_CONVERT_TOKENIZER_H
#define ASHLAR_CONVERT_TOKENIZER_H

#include "format/gguf.h"
#include "format/status.h"

typedef struct ash_vocab_import {
    uint8_t *section; /* free() */
    size_t size;
    uint32_t count;    /* token ids are 0 .. count - 1 */
    int32_t bos, eos, pad; /* -1: none */
    bool add_bos;
} ash_vocab_import;

/* folder/tokenizer.json (BPE, Unigram), else tokenizer.model (SentencePiece) with added_tokens.json and
 * special_tokens_map.json; tokenizer_config.json beside either for bos, eos, pad, add_bos_token, add_eos_token and
 * added_tokens_decoder. A folder without both gives ASH_E_FORMAT that names what is missing. What we do not execute is
 * refused by name. */
ash_status ash_import_tokenizer_hf(const char *folder, ash_vocab_import *out, ash_error *err);
/* tokenizer.ggml.* of the models gpt2, llama and t5; ASH_OK with section = NULL when the file has no tokenizer.ggml.model at all. */
ash_status ash_import_tokenizer_gguf(const ash_gguf *g, ash_vocab_import *out, ash_error *err);
/* The id of a token's exact spelling in a built section, or -1. */
int32_t ash_vocab_find(const void *section, size_t size, const char *text, size_t bytes);

#endif
