/* Cutting text into pieces: the pre-tokenizer's steps, each fed with the pieces of the one before, one piece at a time,
 * so that no list of pieces is held whatever the text's length. */
#include <stdlib.h>
#include <string.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

typedef struct cut_step {
    uint16_t kind, behaviour;
    bool invert, cut;
    ash_pattern *pattern;
    const uint8_t *text; /* METASPACE: a character */
    uint32_t text_bytes;
} cut_step;

struct ash_cutter {
    uint32_t count;
    cut_step steps[ASH_VOCAB_STEPS_MAX];
};

struct ash_cutting {
    const ash_cutter *cutter;
    ash_search *search;
    ash_piece_fn *piece;
    void *context;
    ash_place place; /* of the text */
};

static ash_status compile(const ash_vocab *v, uint32_t index, cut_step *out, ash_error *err)
{
    const ash_vocab_step *s = &v->steps[index];
    const uint8_t *text = v->pool + s->text_offset;
    *out = (cut_step){ .kind = s->kind, .behaviour = s->behaviour, .invert = (s->flags & ASH_STEP_INVERT) != 0,
                       .cut = (s->flags & ASH_STEP_CUT) != 0, .text = text, .text_bytes = s->text_bytes };
    if (s->kind == ASH_STEP_SPLIT)
        return ash_pattern_new(text, s->text_bytes, (s->flags & ASH_STEP_LITERAL) != 0, index, &out->pattern, err);
    if (ash_utf8_valid(text, s->text_bytes) != s->text_bytes)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: the text of step %u is no UTF-8", index);
    return ASH_OK;
}

ash_status ash_cutter_new(const ash_vocab *vocab, ash_cutter **out, ash_error *err)
{
    *out = NULL;
    ash_cutter *c = calloc(1, sizeof *c);
    if (!c)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for its steps");
    for (uint32_t i = 0; i < vocab->header->step_count; i++) {
        if (!ash_step_cuts(vocab->steps[i].kind))
            continue;
        ash_status status = compile(vocab, i, &c->steps[c->count], err);
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
        ash_pattern_free(c->steps[i].pattern);
    free(c);
}

ash_status ash_cutting_new(const ash_cutter *cutter, ash_search *search, ash_piece_fn *piece, void *context,
                           ash_cutting **out, ash_error *err)
{
    ash_cutting *c = calloc(1, sizeof *c);
    *out = c;
    if (!c)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory to cut a text");
    c->cutter = cutter;
    c->search = search;
    c->piece = piece;
    c->context = context;
    return ASH_OK;
}

void ash_cutting_free(ash_cutting *c) { free(c); }

/* first: the piece begins where the text begins. */
static ash_status run(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, bool first, ash_error *err);

/* The split between matches: spans arrive in order and cover the text; one is held back where the behaviour may extend
 * it. */
typedef struct split {
    ash_cutting *c;
    uint32_t index;
    const uint8_t *text;
    size_t start, end; /* what is held */
    bool holds, match; /* match: of the span that arrived last */
    bool first;
} split;

static ash_status release(split *s, ash_error *err)
{
    bool any = s->holds && s->end > s->start, first = s->first && s->start == 0;
    s->holds = false;
    return any ? run(s->c, s->index + 1, s->text + s->start, s->end - s->start, first, err) : ASH_OK;
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

static ash_status run_split(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, bool first,
                            ash_error *err)
{
    split s = { .c = c, .index = index, .text = text, .first = first };
    ash_scan scan = { 0 };
    size_t covered = 0;
    for (;;) {
        bool found;
        ASH_TRY(ash_scan_next(&scan, c->search, c->cutter->steps[index].pattern, text, size, &found, err));
        if (!found)
            break;
        if (scan.start != covered)
            ASH_TRY(span(&s, covered, scan.start, false, err));
        ASH_TRY(span(&s, scan.start, scan.end, true, err));
        covered = scan.end;
    }
    if (covered != size)
        ASH_TRY(span(&s, covered, size, false, err));
    return release(&s, err);
}

static ash_status run_prefix(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, bool first,
                             ash_error *err)
{
    if (text[0] == ' ' || (first && c->place.joined))
        return run(c, index + 1, text, size, first, err);
    uint8_t *copy = size < SIZE_MAX ? malloc(size + 1) : NULL;
    if (!copy)
        return ash_fail(err, ASH_E_MEMORY, "text: no memory for a copy of %zu bytes", size);
    copy[0] = ' ';
    memcpy(copy + 1, text, size);
    ash_status status = run(c, index + 1, copy, size + 1, first, err);
    free(copy);
    return status;
}

/* Each piece begins with the replaced space but perhaps the first. */
static ash_status cut_spaces(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, bool first,
                             ash_error *err)
{
    const cut_step *s = &c->cutter->steps[index];
    for (size_t at = 0; at < size;) {
        size_t end = at + 1;
        while (end < size && (size - end < s->text_bytes || memcmp(text + end, s->text, s->text_bytes) != 0)) {
            const uint8_t *next = memchr(text + end + 1, s->text[0], size - end - 1);
            end = next ? (size_t)(next - text) : size;
        }
        ASH_TRY(run(c, index + 1, text + at, end - at, first && at == 0, err));
        at = end;
    }
    return ASH_OK;
}

static ash_status run_metaspace(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, bool first,
                                ash_error *err)
{
    const cut_step *s = &c->cutter->steps[index];
    bool has = text[0] == ' ' || (size >= s->text_bytes && memcmp(text, s->text, s->text_bytes) == 0);
    bool wanted = s->behaviour == ASH_PREPEND_ALWAYS || (s->behaviour == ASH_PREPEND_FIRST && first && c->place.start);
    bool prefix = wanted && !has && !(first && c->place.joined);
    size_t spaces = 0, used = 0;
    for (size_t i = 0; i < size; i++)
        spaces += text[i] == ' ';
    uint8_t small[256], *copy = small;
    if (spaces >= SIZE_MAX / 8 || size >= SIZE_MAX / 8)
        return ash_fail(err, ASH_E_LIMIT, "text: %zu bytes are too many", size);
    if (size + 4 * spaces + 4 > sizeof small && !(copy = malloc(size + 4 * spaces + 4)))
        return ash_fail(err, ASH_E_MEMORY, "text: no memory for a copy of %zu bytes", size);
    if (prefix) {
        memcpy(copy, s->text, s->text_bytes);
        used = s->text_bytes;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            memcpy(copy + used, s->text, s->text_bytes);
            used += s->text_bytes;
        } else {
            copy[used++] = text[i];
        }
    }
    ash_status status = s->cut ? cut_spaces(c, index, copy, used, first, err)
                               : run(c, index + 1, copy, used, first, err);
    if (copy != small)
        free(copy);
    return status;
}

/* Depth: at most ASH_VOCAB_STEPS_MAX. */
static ash_status run(ash_cutting *c, uint32_t index, const uint8_t *text, size_t size, bool first, ash_error *err)
{
    if (index == c->cutter->count)
        return c->piece(c->context, text, size, err);
    switch (c->cutter->steps[index].kind) {
    case ASH_STEP_SPLIT: return run_split(c, index, text, size, first, err);
    case ASH_STEP_METASPACE: return run_metaspace(c, index, text, size, first, err);
    default: return run_prefix(c, index, text, size, first, err);
    }
}

ash_status ash_cut(ash_cutting *c, const uint8_t *text, size_t size, ash_place place, ash_error *err)
{
    if (size == 0)
        return ASH_OK;
    c->place = place;
    ash_search_text(c->search, size);
    return run(c, 0, text, size, true, err);
}
