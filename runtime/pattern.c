/* Expressions and literals to search text for. PCRE2 compiles them when a tokenizer opens. */
#include "runtime/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "runtime/utf8.h"

/* Bounds on one search, so that an expression which explodes on some text gives an error. Backtracking over one run of
 * a character class costs a step a character: the limit grows with the text. */
#define MATCH_LIMIT_BASE 10000000u
#define MATCH_LIMIT_BYTE 8u
#define HEAP_LIMIT_KIB (256u << 10)
/* Compiled code starts on 32 KiB of the thread's stack; where that is not enough it gets this, then the interpreter. */
#define JIT_STACK_BYTES (8u << 20)

struct ash_pattern {
    pcre2_code *code;
    uint32_t index; /* of its step, for messages */
    bool compiled;  /* to machine code */
};

struct ash_search {
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

ash_status ash_pattern_new(const uint8_t *text, size_t size, bool literal, uint32_t index, ash_pattern **out,
                           ash_error *err)
{
    *out = NULL;
    /* \C could cut a character in two. */
    uint32_t options = literal ? PCRE2_UTF | PCRE2_LITERAL
                               : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    ash_pattern *p = calloc(1, sizeof *p);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!p || !context) {
        free(p);
        pcre2_compile_context_free(context);
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for an expression");
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_bsr(context, PCRE2_BSR_UNICODE);
    int code = 0;
    PCRE2_SIZE where = 0;
    p->index = index;
    p->code = pcre2_compile(text, size, options, &code, &where, context);
    pcre2_compile_context_free(context);
    if (!p->code) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(code, message, sizeof message);
        free(p);
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: expression %u does not compile at byte %zu: %s", index,
                        (size_t)where, (char *)message);
    }
    /* Where there is no machine code for this processor, or executable memory is refused, the interpreter serves. */
    p->compiled = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    *out = p;
    return ASH_OK;
}

void ash_pattern_free(ash_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p);
}

ash_status ash_search_new(ash_search **out, ash_error *err)
{
    ash_search *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s) {
        s->match = pcre2_match_data_create(1, NULL);
        s->limits = pcre2_match_context_create(NULL);
    }
    if (!s || !s->match || !s->limits) {
        ash_search_free(s);
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory to search a text");
    }
    pcre2_set_heap_limit(s->limits, HEAP_LIMIT_KIB);
    *out = s;
    return ASH_OK;
}

void ash_search_free(ash_search *s)
{
    if (!s)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    pcre2_jit_stack_free(s->stack);
    free(s);
}

void ash_search_text(ash_search *s, size_t size)
{
    uint64_t limit = MATCH_LIMIT_BASE + (uint64_t)MATCH_LIMIT_BYTE * (size < UINT32_MAX ? size : UINT32_MAX);
    pcre2_set_match_limit(s->limits, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
}

/* One search from `at`: *found, and then [*start, *end). */
static ash_status search(ash_search *s, const ash_pattern *p, const uint8_t *text, size_t size, size_t at, bool *found,
                         size_t *start, size_t *end, ash_error *err)
{
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->compiled) {
        rc = pcre2_jit_match(p->code, text, size, at, PCRE2_NO_UTF_CHECK, s->match, s->limits);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !s->stack) {
            s->stack = pcre2_jit_stack_create(64 << 10, JIT_STACK_BYTES, NULL);
            pcre2_jit_stack_assign(s->limits, NULL, s->stack);
            if (s->stack)
                rc = pcre2_jit_match(p->code, text, size, at, PCRE2_NO_UTF_CHECK, s->match, s->limits);
        }
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->code, text, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, s->limits);
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
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
    *start = span[0];
    *end = span[1];
    if (*start < at || *end < *start || *end > size) /* \K can move the start */
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: expression %u matches bytes %zu to %zu when asked from %zu",
                        p->index, *start, *end, at);
    return ASH_OK;
}

ash_status ash_scan_next(ash_scan *scan, ash_search *s, const ash_pattern *p, const uint8_t *text, size_t size,
                         bool *found, ash_error *err)
{
    *found = false;
    while (scan->at <= size) {
        ASH_TRY(search(s, p, text, size, scan->at, found, &scan->start, &scan->end, err));
        if (!*found)
            break;
        bool again = scan->start == scan->end && scan->started && scan->end == scan->last_end;
        if (scan->start == scan->end) {
            size_t step = ash_utf8_char(text + scan->end, size - scan->end, NULL);
            scan->at = scan->end + (step ? step : 1);
        } else {
            scan->at = scan->end;
        }
        if (again)
            continue;
        scan->started = true;
        scan->last_end = scan->end;
        return ASH_OK;
    }
    *found = false;
    return ASH_OK;
}
