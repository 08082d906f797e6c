/* Cutting text into pieces: the pre-tokenizer's steps, each fed with the pieces of the one before, one piece at a time,
 * so that no list of pieces is held whatever the text's length. Expressions run in PCRE2, compiled at open. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

/* Bounds on one search, so that an expression which explodes on some text gives an error. Backtracking over one run of
 * a character class costs a step a character: the limit grows with the text. */
#define MATCH_LIMIT_BASE 10000000u
#define MATCH_LIMIT_BYTE 8u
#define HEAP_LIMIT_KIB (256u << 10)
/* Compiled code starts on 32 KiB of the thread's stack; where that is not enough it gets this, then the interpreter. */
#define JIT_STACK_BYTES (8u << 20)

typedef struct cut_step {
    uint16_t kind, behaviour;
    bool invert;
    bool compiled; /* to machine code */
    pcre2_code *code;
} cut_step;

struct ash_cutter {
    uint32_t count;
    cut_step steps[ASH_VOCAB_STEPS_MAX];
};

struct ash_cutting {
    const ash_cutter *cutter;
    ash_piece_fn *piece;
    void *context;
    pcre2_match_data *match[ASH_VOCAB_STEPS_MAX]; /* one a step: a search goes on after the inner steps' searches */
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

static ash_status compile(const ash_vocab_step *s, const uint8_t *text, uint32_t index, cut_step *out, ash_error *err)
{
    *out = (cut_step){ .kind = s->kind, .behaviour = s->behaviour, .invert = (s->flags & ASH_STEP_INVERT) != 0 };
    if (s->kind != ASH_STEP_SPLIT)
        return ASH_OK;
    /* \C could cut a character in two. */
    uint32_t options = s->flags & ASH_STEP_LITERAL ? PCRE2_UTF | PCRE2_LITERAL
                                                   : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for an expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_bsr(context, PCRE2_BSR_UNICODE);
    int code = 0;
    PCRE2_SIZE where = 0;
    out->code = pcre2_compile(text, s->text_bytes, options, &code, &where, context);
    pcre2_compile_context_free(context);
    if (!out->code) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(code, message, sizeof message);
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: expression %u does not compile at byte %zu: %s", index,
                        (size_t)where, (char *)message);
    }
    /* Where there is no machine code for this processor, or executable memory is refused, the interpreter serves. */
    out->compiled = pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE) == 0;
    return ASH_OK;
}

ash_status ash_cutter_new(const ash_vocab *vocab, ash_cutter **out, ash_error *err)
{
    *out = NULL;
    ash_cutter *c = calloc(1, sizeof *c);
    if (!c)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for its steps");
    for (uint32_t i = 0; i < vocab->header->step_count; i++) {
        const ash_vocab_step *s = &vocab->steps[i];
        if (ash_step_normalizes(s->kind))
            continue;
        ash_status status = compile(s, vocab->pool + s->text_offset, i, &c->steps[c->count], err);
        if (status != ASH_OK) {
            ash_cutter_free(c);
            return status;
        }
        c->count++;
    }
    *out = c;
    return ASH_OK;
}

void ash_cutter_free(ash_cutter *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < ASH_VOCAB_STEPS_MAX; i++)
        pcre2_code_free(c->steps[i].code);
    free(c);
}

ash_status ash_cutting_new(const ash_cutter *cutter, ash_piece_fn *piece, void *context, ash_cutting **out,
                           ash_error *err)
{
    ash_cutting *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory to cut a text");
    c->cutter = cutter;
    c->piece = piece;
    c->context = context;
    bool whole = (c->limits = pcre2_match_context_create(NULL)) != NULL;
    for (uint32_t i = 0; i < cutter->count && whole; i++)
        if (cutter->steps[i].code)
            whole = (c->match[i] = pcre2_match_data_create(1, NULL)) != NULL;
    if (!whole) {
        ash_cutting_free(c);
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory to cut a text");
    }
    pcre2_set_heap_limit(c->limits, HEAP_LIMIT_KIB);
    *out = c;
    return ASH_OK;
}

void ash_cutting_free(ash_cutting *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < ASH_VOCAB_STEPS_MAX; i++)
        pcre2_match_data_free(c->match[i]);
    pcre2_match_context_free(c->limits);
    pcre2_jit_stack_free(c->stack);
    free(c);
}

/* One search from `at`: *found, and then [*start, *end). */
static ash_status search(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, size_t at, bool *found,
                         size_t *start, size_t *end, ash_error *err)
{
    const cut_step *s = &c->cutter->steps[index];
    pcre2_match_data *match = c->match[index];
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (s->compiled) {
        rc = pcre2_jit_match(s->code, text, size, at, PCRE2_NO_UTF_CHECK, match, c->limits);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !c->stack) {
            c->stack = pcre2_jit_stack_create(64 << 10, JIT_STACK_BYTES, NULL);
            pcre2_jit_stack_assign(c->limits, NULL, c->stack);
            if (c->stack)
                rc = pcre2_jit_match(s->code, text, size, at, PCRE2_NO_UTF_CHECK, match, c->limits);
        }
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(s->code, text, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, c->limits);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return ASH_OK;
    if (rc < 0) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(rc, message, sizeof message);
        return ash_fail(err, ASH_E_LIMIT,
                        "text: the tokenizer's expression gives up at byte %zu of a part of %zu bytes: %s", at, size,
                        (char *)message);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
    *start = span[0];
    *end = span[1];
    if (*start < at || *end < *start || *end > size) /* \K can move the start */
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: expression %u matches bytes %zu to %zu when asked from %zu",
                        index, *start, *end, at);
    return ASH_OK;
}

static ash_status run(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, ash_error *err);

/* The split between matches: spans arrive in order and cover the text; one is held back where the behaviour may extend
 * it. */
typedef struct split {
    ash_cutting *c;
    uint32_t index;
    const uint8_t *text;
    size_t start, end; /* what is held */
    bool holds, match; /* match: of the span that arrived last */
} split;

static ash_status release(split *s, ash_error *err)
{
    bool any = s->holds && s->end > s->start;
    s->holds = false;
    return any ? run(s->c, s->index + 1, s->text + s->start, s->end - s->start, err) : ASH_OK;
}

static ash_status span(split *s, size_t start, size_t end, bool match, ash_error *err)
{
    const cut_step *step = &s->c->cutter->steps[s->index];
    match ^= step->invert;
    bool extends = false;
    switch ((ash_split_behaviour)step->behaviour) {
    case ASH_SPLIT_ISOLATED: break;
    case ASH_SPLIT_REMOVED:
        if (match)
            return ASH_OK;
        break;
    case ASH_SPLIT_CONTIGUOUS: extends = match == s->match; break;
    case ASH_SPLIT_MERGED_WITH_PREVIOUS: extends = match && !s->match; break;
    case ASH_SPLIT_MERGED_WITH_NEXT: extends = !match && s->match; break;
    }
    s->match = match;
    if (s->holds && extends) {
        s->end = end;
        return ASH_OK;
    }
    ash_status status = release(s, err);
    s->start = start;
    s->end = end;
    s->holds = true;
    return status;
}

static ash_status run_split(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, ash_error *err)
{
    split s = { .c = c, .index = index, .text = text };
    /* covered: up to where spans were given; at: where the next search starts. An empty match right after the last
     * match does not count, and the search goes on one character later. */
    size_t covered = 0, at = 0, last_end = SIZE_MAX;
    while (at <= size) {
        bool found = false;
        size_t start = 0, end = 0;
        ASH_TRY(search(c, index, text, size, at, &found, &start, &end, err));
        if (!found)
            break;
        if (start == end) {
            size_t step = ash_utf8_char(text + end, size - end, NULL);
            at = end + (step ? step : 1);
            if (end == last_end)
                continue;
        } else {
            at = end;
        }
        last_end = end;
        if (start != covered)
            ASH_TRY(span(&s, covered, start, false, err));
        ASH_TRY(span(&s, start, end, true, err));
        covered = end;
    }
    if (covered != size)
        ASH_TRY(span(&s, covered, size, false, err));
    return release(&s, err);
}

static ash_status run_prefix(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, ash_error *err)
{
    if (text[0] == ' ')
        return run(c, index + 1, text, size, err);
    uint8_t *copy = size < SIZE_MAX ? malloc(size + 1) : NULL;
    if (!copy)
        return ash_fail(err, ASH_E_MEMORY, "text: no memory for a copy of %zu bytes", size);
    copy[0] = ' ';
    memcpy(copy + 1, text, size);
    ash_status status = run(c, index + 1, copy, size + 1, err);
    free(copy);
    return status;
}

/* Depth: at most ASH_VOCAB_STEPS_MAX. */
static ash_status run(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, ash_error *err)
{
    if (index == c->cutter->count)
        return c->piece(c->context, text, size, err);
    return c->cutter->steps[index].kind == ASH_STEP_SPLIT ? run_split(c, index, text, size, err)
                                                          : run_prefix(c, index, text, size, err);
}

ash_status ash_cut(ash_cutting *c, const uint8_t *text, size_t size, ash_error *err)
{
    if (size == 0)
        return ASH_OK;
    uint64_t limit = MATCH_LIMIT_BASE + (uint64_t)MATCH_LIMIT_BYTE * (size < UINT32_MAX ? size : UINT32_MAX);
    pcre2_set_match_limit(c->limits, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
    return run(c, 0, text, size, err);
}
