/* How a model frames chat messages, recognized from its own template: Jinja text, which is searched, never executed.
 *   ChatML   <|im_start|>ROLE\nTEXT<|im_end|>, a line break before the next message; a default system message where
 *            the template's text carries one
 *   Llama 3  <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>
 * Anything else is refused and named. A message becomes segments: framing, in which special tokens are parsed, and the
 * role and text, in which they are not, so that a message cannot end itself or open another one.
 */
#ifndef ASHLAR_RUNTIME_CHAT_FORMAT_H
#define ASHLAR_RUNTIME_CHAT_FORMAT_H

#include <stdbool.h>

#include "format/status.h"
#include "runtime/ashlar.h"

typedef enum ash_chat_kind { ASH_CHAT_CHATML, ASH_CHAT_LLAMA3 } ash_chat_kind;

typedef struct ash_chat_format {
    ash_chat_kind kind;
    bool bos;             /* the conversation opens with the BOS token */
    bool trim;            /* text without leading and trailing white space */
    char *system; /* ChatML: the default system message; Llama 3: what precedes the system message; NULL: none */
    bool system_always;   /* Llama 3.1: a conversation without a system message still has that text */
} ash_chat_format;

/* Frees nothing of `template`; out->system is freed with ash_chat_format_free. */
ash_status ash_chat_format_init(ash_chat_format *out, const char *template, ash_error *err);
void ash_chat_format_free(ash_chat_format *format);

/* See ashlar_chat_message; `bos` is the BOS token's spelling (used where format->bos). */
ash_status ash_chat_segments(const ash_chat_format *format, const char *bos, const char *role, const char *text,
                             bool first, bool reply, ashlar_segment **segments, size_t *count, ash_error *err);

#endif
