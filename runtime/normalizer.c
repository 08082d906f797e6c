/* The normalizing steps, one after another over a whole text. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

/* No text grows beyond this: a step of a hostile file may put 64 KiB in the place of each character. */
#define GROWTH 64
#define GROWTH_BASE ((size_t)1 << 20)

typedef struct normal_step {
    const ash_vocab_step *step;
    const uint8_t *text, *second;
    ash_pattern *pattern; /* of REPLACE with an expression */
    ash_charsmap map;
} normal_step;

struct ash_normalizer {
    const ash_added_set *symbols;
    uint32_t count;
    bool changes_ascii;
    normal_step steps[ASH_VOCAB_STEPS_MAX];
};

static ash_status prepare(const ash_vocab *v, uint32_t index, normal_step *out, ash_error *err)
{
    const ash_vocab_step *s = &v->steps[index];
    *out = (normal_step){ .step = s, .text = v->pool + s->text_offset, .second = v->pool + s->second_offset };
    if (s->kind == ASH_STEP_CHARSMAP || s->kind == ASH_STEP_SPM)
        return ash_charsmap_open(out->text, s->text_bytes, &out->map, err);
    if (ash_utf8_valid(out->text, s->text_bytes) != s->text_bytes ||
        ash_utf8_valid(out->second, s->second_bytes) != s->second_bytes)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: the text of step %u is no UTF-8", index);
    if (s->kind == ASH_STEP_REPLACE && !(s->flags & ASH_STEP_LITERAL))
        return ash_pattern_new(out->text, s->text_bytes, false, index, &out->pattern, err);
    return ASH_OK;
}

ash_status ash_normalizer_new(const ash_vocab *vocab, const ash_added_set *symbols, ash_normalizer **out,
                              ash_error *err)
{
    *out = NULL;
    if (vocab->header->step_count == 0 || !ash_step_normalizes(vocab->steps[0].kind))
        return ASH_OK;
    ash_normalizer *n = calloc(1, sizeof *n);
    if (!n)
        return ash_fail(err, ASH_E_MEMORY, "tokenizer: no memory for its steps");
    n->symbols = symbols;
    for (uint32_t i = 0; i < vocab->header->step_count && ash_step_normalizes(vocab->steps[i].kind); i++) {
        uint16_t kind = vocab->steps[i].kind;
        ash_status status = prepare(vocab, i, &n->steps[n->count++], err);
        if (status != ASH_OK) {
            ash_normalizer_free(n);
            return status;
        }
        n->changes_ascii |= kind > ASH_STEP_NFKD && kind != ASH_STEP_STRIP_ACCENTS;
    }
    *out = n;
    return ASH_OK;
}

void ash_normalizer_free(ash_normalizer *n)
{
    for (uint32_t i = 0; n && i < n->count; i++)
        ash_pattern_free(n->steps[i].pattern);
    free(n);
}

bool ash_normalizer_changes(const ash_normalizer *n, const uint8_t *text, size_t size)
{
    return n && (n->changes_ascii || !ash_utf8_ascii(text, size));
}

ash_status ash_buffer_reserve(ash_buffer *b, size_t more, ash_error *err)
{
    if (b->room - b->size >= more)
        return ASH_OK;
    size_t room;
    if (__builtin_add_overflow(b->size, more, &room) || (b->most != 0 && room > b->most))
        return ash_fail(err, ASH_E_LIMIT, "text: the tokenizer's steps make more than %zu bytes of it", b->most);
    room = room / 2 <= SIZE_MAX - 64 - room ? room + room / 2 + 64 : room;
    uint8_t *bytes = realloc(b->bytes, room);
    if (!bytes)
        return ash_fail(err, ASH_E_MEMORY, "text: no memory for %zu bytes", room);
    b->bytes = bytes;
    b->room = room;
    return ASH_OK;
}

/* ---- steps ---- */

static ash_status replace_literal(const normal_step *s, const uint8_t *text, size_t size, ash_place *place,
                                  ash_buffer *out, ash_error *err)
{
    size_t n = s->step->text_bytes;
    for (size_t at = 0; at < size;) {
        const uint8_t *hit = n == 0 ? NULL : memmem(text + at, size - at, s->text, n);
        size_t end = hit ? (size_t)(hit - text) : size;
        ASH_TRY(ash_buffer_add(out, text + at, end - at, err));
        if (hit)
            ASH_TRY(ash_buffer_add(out, s->second, s->step->second_bytes, err));
        if (hit == text && (s->step->second_bytes == 0 || ash_utf8_char(text, size, NULL) != n))
            place->start = false;
        at = hit ? end + n : size;
    }
    return ASH_OK;
}

static ash_status replace(const normal_step *s, ash_search *search, const uint8_t *text, size_t size, ash_place *place,
                          ash_buffer *out, ash_error *err)
{
    ash_scan scan = { 0 };
    size_t done = 0;
    for (bool found = size != 0; found;) { /* an empty text stays empty, as in the reference */
        ASH_TRY(ash_scan_next(&scan, search, s->pattern, text, size, &found, err));
        size_t end = found ? scan.start : size;
        ASH_TRY(ash_buffer_add(out, text + done, end - done, err));
        if (!found)
            break;
        ASH_TRY(ash_buffer_add(out, s->second, s->step->second_bytes, err));
        /* The reference aligns what comes in with the last character that goes. */
        if (scan.start == 0 && scan.end != 0 &&
            (s->step->second_bytes == 0 || ash_utf8_char(text, size, NULL) != scan.end))
            place->start = false;
        done = scan.end;
    }
    return ASH_OK;
}

/* Capitals that are newer than the Unicode 15 of utf8proc: from, to, and the first one's small letter. Where a range
 * steps by 2 capitals and small letters take turns. */
static uint32_t small(uint32_t code)
{
    static const struct { uint32_t first, last, small, step;
    } later[] = {
        { 0x1c89, 0x1c89, 0x1c8a, 1 }, { 0xa7cb, 0xa7cb, 0x264, 1 }, { 0xa7cc, 0xa7ce, 0xa7cd, 2 },
        { 0xa7d2, 0xa7d4, 0xa7d3, 2 }, { 0xa7da, 0xa7da, 0xa7db, 1 }, { 0xa7dc, 0xa7dc, 0x19b, 1 },
        { 0x10d50, 0x10d65, 0x10d70, 1 }, { 0x16ea0, 0x16eb8, 0x16ebb, 1 },
    };
    for (size_t i = 0; code >= later[0].first && i < sizeof later / sizeof *later; i++)
        if (code >= later[i].first && code <= later[i].last && (code - later[i].first) % later[i].step == 0)
            return later[i].small + (code - later[i].first);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

/* U+0130 is the one that becomes two. */
static ash_status lowercase(const uint8_t *text, size_t size, ash_buffer *out, ash_error *err)
{
    ASH_TRY(ash_buffer_reserve(out, size + size / 2 + 4, err));
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        uint8_t bytes[4] = { text[at] };
        size_t step = ash_utf8_char(text + at, size - at, &code), n = 1;
        at += step;
        if (code < 0x80) {
            bytes[0] = (uint8_t)(code >= 'A' && code <= 'Z' ? code | 0x20 : code);
        } else if (code == 0x130) {
            bytes[0] = 'i', bytes[1] = 0xcc, bytes[2] = 0x87;
            n = 3;
        } else {
            n = (size_t)utf8proc_encode_char((utf8proc_int32_t)small(code), bytes);
        }
        ASH_TRY(ash_buffer_add(out, bytes, n, err));
    }
    return ASH_OK;
}

static ash_status strip(uint32_t flags, const uint8_t *text, size_t size, ash_place *place, ash_buffer *out,
                        ash_error *err)
{
    uint32_t code = 0;
    size_t from = 0, step;
    if (flags & ASH_STEP_LEFT && !place->joined)
        while ((step = ash_utf8_char(text + from, size - from, &code)) != 0 && ash_is_space(code))
            from += step;
    if (flags & ASH_STEP_RIGHT && !place->open)
        while (size > from && (step = ash_utf8_last(text + from, size - from, &code)) != 0 && ash_is_space(code))
            size -= step;
    if (from != 0)
        place->start = false;
    return ash_buffer_add(out, text + from, size - from, err);
}

static ash_status strip_accents(const uint8_t *text, size_t size, ash_place *place, ash_buffer *out, ash_error *err)
{
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        size_t step = ash_utf8_char(text + at, size - at, &code);
        int category = code < 0x80 ? UTF8PROC_CATEGORY_LL : (int)utf8proc_category((utf8proc_int32_t)code);
        bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                    category == UTF8PROC_CATEGORY_ME;
        if (!mark)
            ASH_TRY(ash_buffer_add(out, text + at, step, err));
        else if (at == 0)
            place->start = false;
        at += step;
    }
    return ASH_OK;
}

static ash_status run_step(const ash_normalizer *n, const normal_step *s, ash_search *search, const uint8_t *text,
                           size_t size, ash_place *place, ash_buffer *out, ash_error *err)
{
    const ash_vocab_step *step = s->step;
    switch ((ash_vocab_step_kind)step->kind) {
    case ASH_STEP_PREPEND:
        if (size != 0 && !place->joined)
            ASH_TRY(ash_buffer_add(out, s->text, step->text_bytes, err));
        return ash_buffer_add(out, text, size, err);
    case ASH_STEP_REPLACE:
        return s->pattern ? replace(s, search, text, size, place, out, err)
                          : replace_literal(s, text, size, place, out, err);
    case ASH_STEP_LOWERCASE: return lowercase(text, size, out, err);
    case ASH_STEP_STRIP: return strip(step->flags, text, size, place, out, err);
    case ASH_STEP_STRIP_ACCENTS: return strip_accents(text, size, place, out, err);
    case ASH_STEP_CHARSMAP: return ash_charsmap_graphemes(&s->map, text, size, out, err);
    case ASH_STEP_SPM: return ash_charsmap_spm(&s->map, n->symbols, step->flags, *place, text, size, out, err);
    default: return ash_normal_form(step->kind, text, size, &out->bytes, &out->size, err);
    }
}

ash_status ash_normalize(const ash_normalizer *n, ash_search *search, const uint8_t *text, size_t size,
                         ash_place *place, uint8_t **out, size_t *out_size, ash_error *err)
{
    *out = NULL;
    *out_size = 0;
    ash_buffer now = { 0 };
    size_t most = size < (SIZE_MAX - GROWTH_BASE) / GROWTH ? GROWTH * size + GROWTH_BASE : 0;
    for (uint32_t i = 0; i < n->count; i++) {
        ash_buffer next = { .most = most };
        if (n->steps[i].pattern)
            ash_search_text(search, i == 0 ? size : now.size);
        const uint8_t *from = i == 0 ? text : now.bytes ? now.bytes : (const uint8_t *)"";
        size_t from_size = i == 0 ? size : now.size;
        ash_status status = run_step(n, &n->steps[i], search, from, from_size, place, &next, err);
        free(now.bytes);
        now = next;
        if (status != ASH_OK) {
            free(now.bytes);
            return status;
        }
    }
    *out = now.bytes;
    *out_size = now.size;
    return ASH_OK;
}
