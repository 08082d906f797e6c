/* Source text to tokens: tags, data between them, and the white space that trim_blocks, lstrip_blocks, '-' and '+'
 * take away or keep.
 *   before a tag   "{%-" takes all white space; "{%" and "{#" take blanks that begin the line; "{%+" and "{{" nothing
 *   after a tag    "-%}" and "-}}" take all white space; "%}" and "#}" one line break; "+%}" and "}}" nothing
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/template/ast.h"
#include "runtime/template/strings.h"

typedef struct lexer {
    ash_arena *arena;
    ash_error *err;
    const char *text; /* line breaks are "\n" */
    size_t bytes, at;
    size_t counted; /* line is that of this offset */
    uint32_t line;
    bool line_starts; /* what came before `at` ended with a line break that is gone */
    ash_token *tokens;
    size_t count, room;
} lexer;

static ash_status out_of_memory(lexer *x)
{
    return ash_fail(x->err, ASH_E_MEMORY, "out of memory for the chat template");
}

static uint32_t line_at(lexer *x, size_t offset)
{
    for (; x->counted < offset; x->counted++)
        x->line += x->text[x->counted] == '\n';
    return x->line;
}

static ash_status fail_at(lexer *x, size_t offset, const char *what)
{
    return ash_fail(x->err, ASH_E_FORMAT, "line %u: %s", line_at(x, offset), what);
}

static ash_status add(lexer *x, ash_token token)
{
    if (x->count == x->room) {
        size_t room = x->room ? 2 * x->room : 256;
        ash_token *grown = ash_arena_take(x->arena, room * sizeof *grown);
        if (!grown)
            return out_of_memory(x);
        if (x->count)
            memcpy(grown, x->tokens, x->count * sizeof *grown);
        x->tokens = grown;
        x->room = room;
    }
    x->tokens[x->count++] = token;
    return ASH_OK;
}

static ash_status add_plain(lexer *x, ash_token_kind kind, size_t from, size_t to)
{
    return add(x, (ash_token){ .kind = kind, .line = line_at(x, from), .text = x->text + from, .bytes = to - from });
}

static bool looking_at(const lexer *x, size_t at, const char *what)
{
    size_t n = strlen(what);
    return x->bytes - at >= n && memcmp(x->text + at, what, n) == 0;
}

/* The first offset from `at` on that is no white space. */
static size_t skip_space(const lexer *x, size_t at)
{
    uint32_t code;
    while (at < x->bytes) {
        size_t n = ash_char_bytes(x->text + at, x->bytes - at, &code);
        if (!ash_is_py_space(code))
            break;
        at += n;
    }
    return at;
}

/* The sign behind a tag's opening: '-', '+' or 0. */
static char sign_at(const lexer *x, size_t at)
{
    return at < x->bytes && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : 0;
}

/* A tag's end at `at` with everything that it takes away: the offset behind it, or 0 where there is none. */
static size_t tag_end(const lexer *x, size_t at, const char *end, bool eats_line)
{
    char sign = sign_at(x, at);
    if (sign && looking_at(x, at + 1, end)) {
        if (sign == '+')
            return eats_line ? at + 3 : 0;
        return skip_space(x, at + 3);
    }
    if (!looking_at(x, at, end))
        return 0;
    return at + 2 + (eats_line && at + 2 < x->bytes && x->text[at + 2] == '\n');
}

static void move_to(lexer *x, size_t at)
{
    x->line_starts = at > 0 && x->text[at - 1] == '\n';
    x->at = at;
}

/* Text in [from, to) before a tag whose opening has this sign. */
static ash_status add_data(lexer *x, size_t from, size_t to, char sign, bool output)
{
    if (sign == '-') {
        ash_string s = { .text = x->text + from, .bytes = (uint32_t)(to - from) };
        while (s.bytes) {
            const char *last = s.text + s.bytes - 1;
            while (last > s.text && ((unsigned char)*last & 0xc0) == 0x80)
                last--;
            uint32_t code;
            size_t n = ash_char_bytes(last, (size_t)(s.text + s.bytes - last), &code);
            if (last + n != s.text + s.bytes || !ash_is_py_space(code))
                break;
            s.bytes -= (uint32_t)n;
        }
        to = from + s.bytes;
    } else if (!sign && !output) {
        const char *last = to > from ? memrchr(x->text + from, '\n', to - from) : NULL;
        size_t start = last ? (size_t)(last - x->text) + 1 : from;
        if ((last || x->line_starts) && skip_space(x, start) >= to)
            to = start;
    }
    return to > from ? add_plain(x, ASH_T_DATA, from, to) : ASH_OK;
}

/* ---- inside tags ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c) { return c == '_' || is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c & 0x80; }

static bool is_base_digit(char c, int base)
{
    return is_digit(c) ? c - '0' < base : base == 16 && (c | 32) >= 'a' && (c | 32) <= 'f';
}

/* Digits with single underscores among them; the offset behind them. */
static size_t skip_digits(const lexer *x, size_t at, int base)
{
    while (at < x->bytes) {
        if (is_base_digit(x->text[at], base))
            at++;
        else if (x->text[at] == '_' && at + 1 < x->bytes && is_base_digit(x->text[at + 1], base))
            at += 2;
        else
            break;
    }
    return at;
}

static ash_status lex_number(lexer *x)
{
    size_t from = x->at, end = skip_digits(x, from, 10);
    bool is_float = false;
    if (from == 0 || x->text[from - 1] != '.') {
        size_t to = end;
        if (to + 1 < x->bytes && x->text[to] == '.' && is_digit(x->text[to + 1])) {
            end = to = skip_digits(x, to + 1, 10);
            is_float = true;
        }
        if (to < x->bytes && (x->text[to] | 32) == 'e') {
            to += 1 + (to + 1 < x->bytes && (x->text[to + 1] == '-' || x->text[to + 1] == '+'));
            if (to < x->bytes && is_digit(x->text[to])) {
                end = skip_digits(x, to, 10);
                is_float = true;
            }
        }
    }
    int base = 10;
    if (!is_float && x->text[from] == '0') {
        char letter = from + 1 < x->bytes ? x->text[from + 1] | 32 : 0;
        base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
        size_t digits = from + 2 + (base != 10 && from + 2 < x->bytes && x->text[from + 2] == '_');
        if (base != 10 && digits < x->bytes && is_base_digit(x->text[digits], base)) {
            end = skip_digits(x, digits, base);
        } else { /* zeros alone; other digits begin a number of their own */
            base = 10;
            end = from + 1;
            while (end < x->bytes && (x->text[end] == '0' || looking_at(x, end, "_0")))
                end += x->text[end] == '0' ? 1 : 2;
        }
    }
    char digits[512];
    size_t n = 0;
    for (size_t i = base == 10 ? from : from + 2; i < end; i++) {
        if (n == sizeof digits - 1)
            return fail_at(x, from, "a number with too many digits");
        if (x->text[i] != '_')
            digits[n++] = x->text[i];
    }
    digits[n] = 0;
    ash_token token = { .kind = is_float ? ASH_T_FLOAT : ASH_T_INTEGER, .line = line_at(x, from),
                        .text = x->text + from, .bytes = end - from };
    errno = 0;
    if (is_float) {
        token.f = strtod(digits, NULL);
    } else {
        token.i = strtoll(digits, NULL, base);
        if (errno)
            return fail_at(x, from, "an integer leaves 64 bits");
    }
    x->at = end;
    return add(x, token);
}

/* The value of exactly `n` hexadecimal digits, or -1. */
static int64_t hex(const char *text, size_t bytes, size_t n)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (i >= bytes || !is_base_digit(text[i], 16))
            return -1;
        v = v * 16 + (is_digit(text[i]) ? text[i] - '0' : (text[i] | 32) - 'a' + 10);
    }
    return v;
}

/* One escape at text[0] == '\\', as Python's unicode-escape reads it; gives what to write and how much was read. Other
 * letters keep their backslash. A character outside ASCII counts as its own escape: that is how Jinja reads it. */
static ash_status unescape(lexer *x, const char *text, size_t bytes, char *out, size_t *written, size_t *read)
{
    static const char letters[] = "n\nt\tr\rb\bf\fv\va\a\\\\''\"\"";
    unsigned char c = (unsigned char)text[1];
    const char *known = c && c < 0x80 ? strchr(letters, c) : NULL;
    *read = 2;
    *written = 0;
    if (c == '\n')
        return ASH_OK;
    if (known && (known - letters) % 2 == 0) {
        out[(*written)++] = known[1];
        return ASH_OK;
    }
    int64_t code = -1;
    if (c == 'x' || c == 'u' || c == 'U') {
        size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        code = hex(text + 2, bytes - 2, n);
        if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return fail_at(x, (size_t)(text - x->text), "a broken character escape in a string");
        *read += n;
    } else if (c >= '0' && c <= '7') {
        code = 0;
        for (*read = 1; *read < 4 && *read < bytes && text[*read] >= '0' && text[*read] <= '7'; ++*read)
            code = code * 8 + text[*read] - '0';
    } else if (c == 'N') {
        return fail_at(x, (size_t)(text - x->text), "\\N in a string: write the character itself");
    } else if (c >= 0x80) {
        uint32_t wide;
        size_t n = ash_char_bytes(text + 1, bytes - 1, &wide);
        *written = (size_t)sprintf(out, wide < 0x100 ? "\\x%02x" : wide < 0x10000 ? "\\u%04x" : "\\U%08x", wide);
        *read = 1 + n;
        return ASH_OK;
    }
    if (code < 0) {
        memcpy(out, text, 2);
        *written = 2;
    } else {
        *written = (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
    }
    return ASH_OK;
}

static ash_status lex_string(lexer *x)
{
    size_t from = x->at, end = from + 1;
    while (end < x->bytes && x->text[end] != x->text[from])
        end += x->text[end] == '\\' ? 2 : 1;
    if (end >= x->bytes)
        return fail_at(x, from, "a string without an end");
    const char *s = x->text + from + 1;
    size_t n = end - from - 1;
    ash_token token = { .kind = ASH_T_STRING, .line = line_at(x, from), .text = s, .bytes = n };
    if (memchr(s, '\\', n)) {
        char *out = ash_arena_take(x->arena, 2 * n + n / 2 * 5 + 16); /* the longest: two or more bytes become ten */
        if (!out)
            return out_of_memory(x);
        token.text = out;
        token.bytes = 0;
        for (size_t i = 0; i < n;) {
            size_t read = 1, written = 1;
            if (s[i] == '\\')
                ASH_TRY(unescape(x, s + i, n - i, out + token.bytes, &written, &read));
            else
                out[token.bytes] = s[i];
            i += read;
            token.bytes += written;
        }
    }
    x->at = end + 1;
    return add(x, token);
}

static ash_status lex_operator(lexer *x, char *closers, size_t *open)
{
    static const char *const longer[] = { "//", "**", "==", "!=", ">=", "<=" };
    size_t from = x->at, n = 1;
    char c = x->text[from];
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
        if (looking_at(x, from, longer[i]))
            n = 2;
    if (n == 1 && (!c || !strchr("+-*/%~[](){}><=.:|,;", c)))
        return ash_fail(x->err, ASH_E_FORMAT, "line %u: unexpected character '%.1s'", line_at(x, from), x->text + from);
    if (c == '(' || c == '[' || c == '{') {
        if (*open == TEMPLATE_DEPTH_MAX)
            return ash_fail(x->err, ASH_E_LIMIT, "line %u: more than %d brackets are open", line_at(x, from),
                            TEMPLATE_DEPTH_MAX);
        closers[(*open)++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (*open == 0 || closers[--*open] != c)
            return ash_fail(x->err, ASH_E_FORMAT, "line %u: unexpected '%c'", line_at(x, from), c);
    }
    x->at = from + n;
    return add_plain(x, ASH_T_OPERATOR, from, from + n);
}

/* From behind a tag's opening to behind its end. */
static ash_status lex_tag(lexer *x, bool output)
{
    char closers[TEMPLATE_DEPTH_MAX];
    size_t open = 0;
    while (x->at < x->bytes) {
        size_t end = open ? 0 : tag_end(x, x->at, output ? "}}" : "%}", !output);
        if (end) {
            ASH_TRY(add_plain(x, output ? ASH_T_OUTPUT_END : ASH_T_BLOCK_END, x->at, x->at));
            move_to(x, end);
            return ASH_OK;
        }
        char c = x->text[x->at];
        size_t space = skip_space(x, x->at);
        if (space > x->at) {
            x->at = space;
        } else if (is_digit(c)) {
            ASH_TRY(lex_number(x));
        } else if (is_name(c)) {
            size_t from = x->at;
            while (x->at < x->bytes && is_name(x->text[x->at]))
                x->at++;
            ASH_TRY(add_plain(x, ASH_T_NAME, from, x->at));
        } else if (c == '\'' || c == '"') {
            ASH_TRY(lex_string(x));
        } else {
            ASH_TRY(lex_operator(x, closers, &open));
        }
    }
    return fail_at(x, x->bytes, output ? "the template ends inside {{ }}" : "the template ends inside {% %}");
}

/* ---- comments and raw blocks ---- */

static ash_status skip_comment(lexer *x)
{
    for (size_t at = x->at; at < x->bytes; at++) {
        size_t end = tag_end(x, at, "#}", true);
        if (end) {
            move_to(x, end);
            return ASH_OK;
        }
    }
    return x->at == x->bytes ? ASH_OK : fail_at(x, x->at, "a comment without its end '#}'");
}

/* {% word %} whose "{%" lies at `at`: the offset behind it with all that it takes away, or 0. */
static size_t word_tag(const lexer *x, size_t at, const char *word, bool eats_line)
{
    at += 2;
    at = skip_space(x, at + (sign_at(x, at) ? 1 : 0));
    if (!looking_at(x, at, word))
        return 0;
    at = skip_space(x, at + strlen(word));
    if (at < x->bytes && x->text[at] == '+' && !eats_line)
        return 0;
    return tag_end(x, at, "%}", eats_line);
}

static ash_status lex_raw(lexer *x)
{
    size_t from = x->at;
    for (size_t at = from; at + 1 < x->bytes; at++) {
        size_t end = looking_at(x, at, "{%") ? word_tag(x, at, "endraw", true) : 0;
        if (!end)
            continue;
        ASH_TRY(add_data(x, from, at, sign_at(x, at + 2), false));
        move_to(x, end);
        return ASH_OK;
    }
    return from == x->bytes ? ASH_OK : fail_at(x, from, "a raw block without its end");
}

static ash_status lex_all(lexer *x)
{
    while (x->at < x->bytes) {
        size_t from = x->at, at = from;
        for (; at < x->bytes; at++) {
            const char *brace = memchr(x->text + at, '{', x->bytes - at);
            at = brace ? (size_t)(brace - x->text) : x->bytes;
            if (at + 1 < x->bytes && strchr("{%#", x->text[at + 1]) && x->text[at + 1])
                break;
        }
        if (at >= x->bytes)
            return add_plain(x, ASH_T_DATA, from, x->bytes);
        char kind = x->text[at + 1], sign = sign_at(x, at + 2);
        ASH_TRY(add_data(x, from, at, sign, kind == '{'));
        size_t raw = kind == '%' ? word_tag(x, at, "raw", false) : 0;
        move_to(x, at + 2 + (sign ? 1 : 0));
        if (raw) {
            move_to(x, raw);
            ASH_TRY(lex_raw(x));
        } else if (kind == '#') {
            ASH_TRY(skip_comment(x));
        } else {
            ASH_TRY(add_plain(x, kind == '{' ? ASH_T_OUTPUT_BEGIN : ASH_T_BLOCK_BEGIN, at, at + 2));
            ASH_TRY(lex_tag(x, kind == '{'));
        }
    }
    return ASH_OK;
}

ash_status ash_template_lex(ash_arena *arena, const char *text, size_t bytes, ash_token **tokens, size_t *count,
                            ash_error *err)
{
    lexer x = { .arena = arena, .err = err, .line = 1, .line_starts = true };
    char *copy = ash_arena_take(arena, bytes + 1);
    if (!copy)
        return out_of_memory(&x);
    for (size_t i = 0; i < bytes; i++) {
        copy[x.bytes++] = text[i] == '\r' ? '\n' : text[i];
        i += text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n';
    }
    if (x.bytes && copy[x.bytes - 1] == '\n')
        x.bytes--; /* one line break at the end of a template is no text */
    x.text = copy;
    ASH_TRY(lex_all(&x));
    ASH_TRY(add_plain(&x, ASH_T_END, x.bytes, x.bytes));
    *tokens = x.tokens;
    *count = x.count;
    return ASH_OK;
}
