/* Chat templates: our own reader of the Jinja that they are written in, compiled once and rendered per conversation.
 *
 * The language is Jinja2 3.1 as Hugging Face's transformers sets it up: the immutable sandbox, trim_blocks and
 * lstrip_blocks on, loop controls, {% generation %} (renders its body), raise_exception(), strftime_now() and a tojson
 * that escapes nothing but what JSON must. include, import, extends and block are refused by name. Integers have 64
 * bits; what would leave them is an error.
 *
 * A template is hostile: it can do nothing but compute its output. Time, nesting, memory and output are bounded
 * (limits.h), errors say which bound was met; nothing outside the caller's variables can be reached.
 */
#ifndef ASHLAR_RUNTIME_TEMPLATE_TEMPLATE_H
#define ASHLAR_RUNTIME_TEMPLATE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/status.h"

struct cJSON;

typedef struct ash_template ash_template; /* immutable: several threads may render it at once */

/* `text` is not kept. Errors: ASH_E_FORMAT "line N: ..." for what is no template, ASH_E_UNSUPPORTED for a tag, filter
 * or test that is absent here, ASH_E_LIMIT for a template that is too large or too deep. */
ash_status ash_template_compile(const char *text, size_t bytes, ash_template **out, ash_error *err);
void ash_template_free(ash_template *t); /* NULL is fine */

typedef struct ash_template_input {
    /* An object (NULL: none) of everything a template may name: messages, tools, documents, add_generation_prompt,
     * enable_thinking, ... A name that is not in it is undefined, as in Jinja: leave `tools` out, or make it null, when
     * there are none. Every string in it, keys too, is marked as input. A number whose value is whole is an integer
     * (cJSON does not keep 1.0 and 1 apart). */
    const struct cJSON *variables;
    /* Trusted strings: not marked as input. NULL: the variable is undefined. */
    const char *bos_token, *eos_token, *unk_token, *pad_token;
    int64_t now; /* seconds since 1970, UTC, for strftime_now */
} ash_template_input;

/* Runs over the output: bytes from the previous span's end (0 for the first) to `end`. Ends ascend, neighbours differ
 * in `input`, the last one's end is the output's size; an empty output has none. */
typedef struct ash_template_span {
    size_t end;
    bool input; /* came from `variables`; otherwise from the template itself or from a trusted string */
} ash_template_span;

/* Special tokens may be parsed where they lie wholly inside a span that is not input. Spans are no places to split the
 * text for anything else: a tokenizer must see the text of neighbouring spans in one piece. */
typedef struct ash_template_output {
    char *text; /* a NUL follows, not counted; may hold NULs */
    size_t bytes;
    ash_template_span *spans;
    size_t span_count;
} ash_template_output;

/* Marks follow bytes through every operation (slices, trim, split, replace, upper, macros, ...); where one cannot keep
 * them byte by byte (tojson of a list, formatting), its whole result is input as soon as any part of it is.
 * raise_exception's message becomes ASH_E_ARGUMENT with that text alone; other errors begin with "line N: " and are
 * ASH_E_FORMAT (ASH_E_UNSUPPORTED for what is absent here). A bound met is ASH_E_LIMIT. *out is freed with
 * ash_template_output_free. Renders within 256 KiB of stack. */
ash_status ash_template_render(const ash_template *t, const ash_template_input *in, ash_template_output *out,
                               ash_error *err);
void ash_template_output_free(ash_template_output *out);

#endif
