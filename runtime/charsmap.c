/* SentencePiece's precompiled character map, and its normalizer around it.
 *
 * The map's trie is a double array of 32-bit units: bits 0 to 7 the label, 8: a value belongs to the node, 9 and up the
 * offset of its children (bit 9: counted in 256s), bit 31: the unit is a value itself. A unit outside the array ends a
 * search; a value outside the texts, a text that is no UTF-8 and a match that ends inside a character count as none. */
#include <string.h>
#include <utf8proc.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

#define GRAPHEME_MAX 6 /* bytes from which on a grapheme is taken apart */

ash_status ash_charsmap_open(const uint8_t *map, size_t size, ash_charsmap *out, ash_error *err)
{
    *out = (ash_charsmap){ 0 };
    if (size == 0)
        return ASH_OK;
    uint32_t trie_bytes = 0;
    if (size >= sizeof trie_bytes)
        memcpy(&trie_bytes, map, sizeof trie_bytes);
    if (size < sizeof trie_bytes || trie_bytes % 4 != 0 || trie_bytes > size - sizeof trie_bytes)
        return ash_fail(err, ASH_E_FORMAT, "tokenizer: a character map of %zu bytes with a trie of %u is damaged", size,
                        trie_bytes);
    out->units = map + sizeof trie_bytes;
    out->unit_count = trie_bytes / 4;
    out->texts = out->units + trie_bytes;
    out->texts_bytes = size - sizeof trie_bytes - trie_bytes;
    return ASH_OK;
}

typedef struct match {
    size_t bytes; /* of the text; 0: none */
    const uint8_t *to;
    size_t to_bytes;
} match;

static uint32_t unit_at(const ash_charsmap *m, uint32_t at)
{
    uint32_t unit;
    memcpy(&unit, m->units + (size_t)4 * at, sizeof unit);
    return unit;
}

static uint32_t children(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

/* The text of the value at unit `at`; false when there is none. */
static bool value_text(const ash_charsmap *m, uint32_t at, match *out)
{
    if (at >= m->unit_count)
        return false;
    uint32_t from = unit_at(m, at) & 0x7fffffffu;
    if (from >= m->texts_bytes)
        return false;
    const uint8_t *to = m->texts + from, *end = memchr(to, 0, m->texts_bytes - from);
    out->to = to;
    out->to_bytes = end ? (size_t)(end - to) : m->texts_bytes - from;
    return ash_utf8_valid(to, out->to_bytes) == out->to_bytes;
}

static match find(const ash_charsmap *m, const uint8_t *text, size_t size, bool longest)
{
    match best = { 0 }, now;
    if (m->unit_count == 0)
        return best;
    uint32_t at = children(unit_at(m, 0));
    for (size_t i = 0; i < size; i++) {
        at ^= text[i];
        if (at >= m->unit_count)
            break;
        uint32_t unit = unit_at(m, at);
        if ((unit & 0x800000ffu) != text[i])
            break;
        at ^= children(unit);
        if (!(unit & 1u << 8) || (i + 1 < size && (text[i + 1] & 0xc0) == 0x80) || !value_text(m, at, &now))
            continue;
        now.bytes = i + 1;
        best = now;
        if (!longest)
            break;
    }
    return best;
}

ash_status ash_charsmap_graphemes(const ash_charsmap *m, const uint8_t *text, size_t size, ash_buffer *out,
                                  ash_error *err)
{
    for (size_t at = 0; at < size;) {
        uint32_t code = 0, next = 0;
        utf8proc_int32_t state = 0;
        size_t end = at + ash_utf8_char(text + at, size - at, &code), step;
        while ((step = ash_utf8_char(text + end, size - end, &next)) != 0 &&
               !utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state)) {
            end += step;
            code = next;
        }
        match whole = { 0 };
        if (end - at < GRAPHEME_MAX)
            whole = find(m, text + at, end - at, false);
        if (whole.bytes != 0) {
            ASH_TRY(ash_buffer_add(out, whole.to, whole.to_bytes, err));
            at = end;
        }
        for (; at < end; at += step) {
            step = ash_utf8_char(text + at, end - at, NULL);
            match one = find(m, text + at, step, false);
            ASH_TRY(one.bytes ? ash_buffer_add(out, one.to, one.to_bytes, err)
                              : ash_buffer_add(out, text + at, step, err));
        }
    }
    return ASH_OK;
}

/* What the text begins with, and what becomes of it: a symbol as it is, the map's longest match, else a character. */
static match prefix(const ash_charsmap *m, const ash_added_set *symbols, const uint8_t *text, size_t size)
{
    const ash_added *symbol = symbols->end[text[0]] ? ash_added_longest(symbols, text, size) : NULL;
    if (symbol)
        return (match){ symbol->size, text, symbol->size };
    match found = find(m, text, size, true);
    if (found.bytes != 0)
        return found;
    size_t n = ash_utf8_char(text, size, NULL);
    n = n ? n : 1;
    return (match){ n, text, n };
}

ash_status ash_charsmap_spm(const ash_charsmap *m, const ash_added_set *symbols, uint32_t flags, ash_place place,
                            const uint8_t *text, size_t size, ash_buffer *out, ash_error *err)
{
    bool trim = (flags & ASH_STEP_TRIM) != 0, escape = (flags & ASH_STEP_ESCAPE) != 0;
    bool suffix = (flags & ASH_STEP_SUFFIX) != 0, dummy = (flags & ASH_STEP_DUMMY) != 0;
    const uint8_t *space = escape ? ash_space_symbol : (const uint8_t *)" ";
    size_t space_bytes = escape ? sizeof ash_space_symbol : 1, at = 0;
    while (trim && !place.joined && at < size) {
        match p = prefix(m, symbols, text + at, size - at);
        if (p.to_bytes != 1 || p.to[0] != ' ')
            break;
        at += p.bytes;
    }
    if (at == size)
        return ASH_OK;
    if (dummy && !suffix && !place.joined)
        ASH_TRY(ash_buffer_add(out, space, space_bytes, err));
    bool after_space = trim && !place.joined;
    while (at < size) {
        match p = prefix(m, symbols, text + at, size - at);
        at += p.bytes;
        while (after_space && p.to_bytes != 0 && p.to[0] == ' ')
            p.to++, p.to_bytes--;
        for (size_t i = 0; i < p.to_bytes; i++)
            ASH_TRY(p.to[i] == ' ' ? ash_buffer_add(out, space, space_bytes, err)
                                   : ash_buffer_add(out, &p.to[i], 1, err));
        if (p.to_bytes != 0)
            after_space = trim && p.to[p.to_bytes - 1] == ' ';
    }
    if (trim && !place.open)
        while (out->size >= space_bytes && memcmp(out->bytes + out->size - space_bytes, space, space_bytes) == 0)
            out->size -= space_bytes;
    return dummy && suffix && !place.open ? ash_buffer_add(out, space, space_bytes, err) : ASH_OK;
}
