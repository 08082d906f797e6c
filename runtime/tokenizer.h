/* Text to token ids and back, from a mapped TOKN section (format/vocab.h): nothing is hashed or parsed at open but the
 * pre-tokenizer's expressions, which PCRE2 compiles. Immutable after open, usable from several threads. */
#ifndef ASHLAR_RUNTIME_TOKENIZER_H
#define ASHLAR_RUNTIME_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

typedef struct ash_tokenizer ash_tokenizer;

/* `section` is borrowed (8-byte aligned) and must outlive *out. Every offset, count and id in it is checked here. */
ash_status ash_tokenizer_open(const void *section, size_t size, ash_tokenizer **out, ash_error *err);
void ash_tokenizer_close(ash_tokenizer *t);

uint32_t ash_tokenizer_count(const ash_tokenizer *t); /* ids are 0 .. count - 1 */

enum { ASH_ENCODE_BOS = 1, ASH_ENCODE_SPECIAL = 2, ASH_ENCODE_EOS = 4 };
/* *ids is freed with free(). Bytes that are no valid UTF-8 are kept as bytes (where the vocabulary has tokens for
 * bytes, else they are unk or nothing). ASH_ENCODE_BOS, _EOS: BOS first and EOS last, where the vocabulary says that it
 * adds them; a prompt gets no EOS. ASH_ENCODE_SPECIAL: special tokens in the text are parsed; added tokens that are not
 * special always are. */
ash_status ash_tokenizer_encode(const ash_tokenizer *t, const char *text, size_t bytes, unsigned flags, int32_t **ids,
                                size_t *count, ash_error *err);

/* A run of text, from the end of the run before it: special tokens that lie wholly inside are parsed, or are not. */
typedef struct ash_text_run {
    size_t end; /* in bytes of the whole text */
    bool special;
} ash_text_run;
/* The same for text in runs, whose ends ascend; the last one's is the text's size. No BOS is added. Runs bound special
 * tokens and nothing else: what lies between two special tokens is encoded in one piece. */
ash_status ash_tokenizer_encode_runs(const ash_tokenizer *t, const char *text, const ash_text_run *runs,
                                     size_t run_count, int32_t **ids, size_t *count, ash_error *err);

/* The bytes of one token in the mapping (for a special token its spelling); *size 0 for an id out of range. */
const char *ash_tokenizer_bytes(const ash_tokenizer *t, int32_t id, size_t *size);
bool ash_tokenizer_special(const ash_tokenizer *t, int32_t id);
/* What the vocabulary calls BOS, EOS, padding and unknown; -1: none. */
typedef struct ash_token_roles {
    int32_t bos, eos, pad, unk;
} ash_token_roles;
ash_token_roles ash_tokenizer_roles(const ash_tokenizer *t);
int32_t ash_tokenizer_find(const ash_tokenizer *t, const char *text, size_t bytes); /* an exact token, or -1 */

/* Decoding, token by token. The text of all pushes and of finish is the same however the ids are split, and no push
 * ends inside a character (a broken one ends as soon as it is sure that it cannot be completed). */
enum {
    ASH_DECODE_SPECIAL = 1,  /* special tokens are written out, else left out */
    ASH_DECODE_CONTINUE = 2, /* other text went before: the first token is none that loses its space */
};
typedef struct ash_decoding ash_decoding;
ash_status ash_decoding_new(const ash_tokenizer *t, unsigned flags, ash_decoding **out, ash_error *err);
void ash_decoding_free(ash_decoding *d);
/* *out is valid until the next call. Ids out of range give nothing. */
ash_status ash_decoding_push(ash_decoding *d, const int32_t *ids, size_t count, const char **out, size_t *size,
                             ash_error *err);
ash_status ash_decoding_finish(ash_decoding *d, const char **out, size_t *size, ash_error *err); /* what is left */

/* Streaming decode of bytes: collects bytes and gives out whole UTF-8 characters. Zero-initialize. */
typedef struct ash_utf8_stream {
    uint8_t held[8];
    uint32_t held_bytes;
} ash_utf8_stream;
/* Adds a token's bytes; *out (room for size + 8) gets what is complete; returns its length. Broken sequences pass as
 * they are as soon as it is sure that they cannot be completed. */
size_t ash_utf8_push(ash_utf8_stream *s, const char *bytes, size_t size, char *out);
size_t ash_utf8_flush(ash_utf8_stream *s, char out[8]); /* what is left, at the end */

#endif
