/* Pre-tokenizer expressions are written for Oniguruma and run in PCRE2. Most of the syntax is the same; what means
 * something else there is rewritten here, and what has no equivalent is refused by name:
 *
 *   \s \S     Unicode White_Space; PCRE2's \s also has U+180E
 *   \w \b     Alphabetic, marks, decimal digits, connectors; PCRE2's \w has every L and N. For \b also the fractions
 *             and superscript digits of Latin-1
 *   \p{L}     with the characters that later versions of Unicode added (unicode_later.c)
 *   \h        a hexadecimal digit (PCRE2: horizontal space);  \v  U+000B (PCRE2: vertical space)
 *   \p{Han}   the script (PCRE2: the script's extensions);  \p{^L}, \p{Letter}: names PCRE2 does not know
 *   (?m: )    the dot matches newlines, (?s: ) in PCRE2
 *   x{,n}     at most n (PCRE2: literal);  x{1,n}+  a repeated group (PCRE2: possessive)
 *   (?i)      only where a group begins: elsewhere it would capture the alternatives after it
 *   [a[^b]] [a&&[^b]]   alternatives and look-ahead: (?:[a]|[^b]), (?:(?=[a])[^b])
 *   [[:alpha:]]   refused
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"

#define SPACE_SET                                                                                                      \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define WORD_SET "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"

typedef struct translation {
    const char *in;
    size_t size, at;
    char *out;
    size_t used, room;
    bool no_memory, too_long;
    bool group_start; /* nothing of the current group was read yet */
    ash_error *err;
} translation;

static void put(translation *t, const char *text, size_t size)
{
    if (t->no_memory || t->too_long)
        return;
    if (t->used + size > 2 * ASH_VOCAB_PATTERN_MAX) { /* one escape can be kilobytes of ranges */
        t->too_long = true;
        return;
    }
    if (t->room - t->used < size + 1) {
        size_t room = 2 * t->room + size + 64;
        char *out = realloc(t->out, room);
        if (!out) {
            t->no_memory = true;
            return;
        }
        t->out = out;
        t->room = room;
    }
    memcpy(t->out + t->used, text, size);
    t->used += size;
    t->out[t->used] = '\0';
}

static void puts_to(translation *t, const char *text) { put(t, text, strlen(text)); }

/* Text in front of what was put from `at` on. */
static void insert(translation *t, size_t at, const char *text)
{
    size_t n = strlen(text), behind = t->used - at;
    put(t, text, n);
    if (t->no_memory || t->too_long)
        return;
    memmove(t->out + at + n, t->out + at, behind);
    memcpy(t->out + at, text, n);
}

/* What later versions of Unicode added to a category. */
static void put_later(translation *t, const char *category)
{
    char ranges[ASH_LATER_MAX];
    put(t, ranges, ash_later_ranges(category, ranges, sizeof ranges));
}

static void put_word(translation *t, const char *before, const char *extra, const char *after)
{
    puts_to(t, before);
    puts_to(t, WORD_SET);
    put_later(t, "L");
    put_later(t, "M");
    put_later(t, "Nd");
    puts_to(t, extra);
    puts_to(t, after);
}

/* \b: a word character on exactly one side; \B: on both or on none. */
static void put_boundary(translation *t, bool boundary)
{
    static const char *const extra = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
    put_word(t, "(?:(?<=[", extra, "])");
    put_word(t, boundary ? "(?![" : "(?=[", extra, "])|");
    put_word(t, "(?<![", extra, "])");
    put_word(t, boundary ? "(?=[" : "(?![", extra, "]))");
}

static ash_status refuse(translation *t, const char *what)
{
    return ash_fail(t->err, ASH_E_UNSUPPORTED, "the expression's %s at byte %zu has no equivalent here", what, t->at);
}

static char peek(const translation *t, size_t ahead) { return t->size - t->at > ahead ? t->in[t->at + ahead] : '\0'; }

/* Long names of general categories, which PCRE2 knows by their short ones. */
static const char *const categories[][2] = {
    { "letter", "L" },
    { "uppercaseletter", "Lu" },
    { "lowercaseletter", "Ll" },
    { "titlecaseletter", "Lt" },
    { "modifierletter", "Lm" },
    { "otherletter", "Lo" },
    { "casedletter", "L&" },
    { "mark", "M" },
    { "nonspacingmark", "Mn" },
    { "spacingmark", "Mc" },
    { "enclosingmark", "Me" },
    { "number", "N" },
    { "decimalnumber", "Nd" },
    { "letternumber", "Nl" },
    { "othernumber", "No" },
    { "punctuation", "P" },
    { "connectorpunctuation", "Pc" },
    { "dashpunctuation", "Pd" },
    { "openpunctuation", "Ps" },
    { "closepunctuation", "Pe" },
    { "initialpunctuation", "Pi" },
    { "finalpunctuation", "Pf" },
    { "otherpunctuation", "Po" },
    { "symbol", "S" },
    { "mathsymbol", "Sm" },
    { "currencysymbol", "Sc" },
    { "modifiersymbol", "Sk" },
    { "othersymbol", "So" },
    { "separator", "Z" },
    { "spaceseparator", "Zs" },
    { "lineseparator", "Zl" },
    { "paragraphseparator", "Zp" },
    { "other", "C" },
    { "control", "Cc" },
    { "format", "Cf" },
    { "surrogate", "Cs" },
    { "privateuse", "Co" },
    { "unassigned", "Cn" },
};

static bool compiles(const char *expression, size_t size, int *code, size_t *where)
{
    PCRE2_SIZE at = 0;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)expression, size, options, code, &at, NULL);
    *where = at;
    pcre2_code_free(c);
    return c != NULL;
}

/* After \p or \P; t->at is at the brace or the single letter. */
static ash_status property(translation *t, bool negated, bool in_class)
{
    char name[48];
    size_t n = 0;
    if (peek(t, 0) != '{')
        return refuse(t, "\\p without braces");
    t->at++;
    if (peek(t, 0) == '^') {
        negated = !negated;
        t->at++;
    }
    while (t->at < t->size && t->in[t->at] != '}') {
        unsigned char c = (unsigned char)t->in[t->at++];
        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (n + 1 >= sizeof name || !isalnum(c))
            return refuse(t, "property name");
        name[n++] = (char)tolower(c);
    }
    if (t->at >= t->size || n == 0)
        return refuse(t, "property name");
    t->at++;
    name[n] = '\0';
    /* The short name of a general category; any other name is a script where there is such a script. */
    char text[80], later[ASH_LATER_MAX];
    const char *sign = negated ? "P" : "p", *category = NULL;
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (strcmp(name, categories[i][0]) == 0)
            category = categories[i][1];
    if (n <= 2) {
        name[0] = (char)toupper((unsigned char)name[0]);
        category = name;
    }
    size_t more = category ? ash_later_ranges(category, later, sizeof later) : 0;
    if (category && more != 0 && !(negated && in_class)) { /* a negated one cannot take ranges away inside a class */
        puts_to(t, in_class ? "" : negated ? "[^" : "[");
        snprintf(text, sizeof text, "\\p{%s}", category);
        puts_to(t, text);
        put(t, later, more);
        puts_to(t, in_class ? "" : "]");
        return ASH_OK;
    }
    int code, length = snprintf(text, sizeof text, "\\%s{sc:%s}", sign, name);
    size_t where;
    if (category || !compiles(text, (size_t)length, &code, &where))
        snprintf(text, sizeof text, "\\%s{%s}", sign, category ? category : name);
    puts_to(t, text);
    return ASH_OK;
}

/* \x41, \x{1F600}, \u00e9: t->at is behind the letter. */
static ash_status code_point(translation *t, char kind)
{
    bool braces = kind == 'x' && peek(t, 0) == '{';
    size_t most = braces ? 8 : kind == 'u' ? 4 : 2, n = 0;
    char text[16] = "\\x{";
    t->at += braces;
    while (n < most && isxdigit((unsigned char)peek(t, 0))) {
        text[3 + n++] = peek(t, 0);
        t->at++;
    }
    if (n == 0 || (braces && peek(t, 0) != '}') || (kind == 'u' && n != 4))
        return refuse(t, "hexadecimal escape");
    t->at += braces;
    text[3 + n] = '}';
    text[4 + n] = '\0';
    /* Two digits from 80 up are a byte of UTF-8 there, a character here. */
    if (!braces && kind == 'x' && n == 2 && text[3] >= '8')
        return refuse(t, "byte escape");
    puts_to(t, text);
    return ASH_OK;
}

static ash_status escape(translation *t, bool in_class)
{
    t->at++;
    if (t->at >= t->size)
        return refuse(t, "final backslash");
    char c = t->in[t->at++];
    switch (c) {
    case 's': puts_to(t, in_class ? SPACE_SET : "[" SPACE_SET "]"); return ASH_OK;
    case 'S': puts_to(t, in_class ? "\\P{White_Space}" : "[^" SPACE_SET "]"); return ASH_OK;
    case 'w': put_word(t, in_class ? "" : "[", "", in_class ? "" : "]"); return ASH_OK;
    case 'W':
        if (in_class)
            return refuse(t, "\\W inside a class");
        put_word(t, "[^", "", "]");
        return ASH_OK;
    case 'h': puts_to(t, in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]"); return ASH_OK;
    case 'H':
        if (in_class)
            return refuse(t, "\\H inside a class");
        puts_to(t, "[^0-9A-Fa-f]");
        return ASH_OK;
    case 'v': puts_to(t, "\\x0b"); return ASH_OK;
    case 'b':
        if (in_class)
            puts_to(t, "\\x08");
        else
            put_boundary(t, true);
        return ASH_OK;
    case 'B':
        if (in_class)
            return refuse(t, "\\B inside a class");
        put_boundary(t, false);
        return ASH_OK;
    case 'd': case 'D':
        if (c == 'D' && in_class)
            break;
        puts_to(t, in_class ? "\\p{Nd}" : c == 'D' ? "[^\\p{Nd}" : "[\\p{Nd}");
        put_later(t, "Nd");
        puts_to(t, in_class ? "" : "]");
        return ASH_OK;
    case 'p': case 'P': return property(t, c == 'P', in_class);
    case 'x': case 'u': return code_point(t, c);
    case 'A': case 'z': case 'Z': case 'G': case 'R': case 'X': case 'K':
        if (in_class)
            return refuse(t, "anchor inside a class");
        break;
    default:
        if (isalpha((unsigned char)c) && !strchr("Dntrfae", c)) {
            char what[8] = { '\\', c };
            return refuse(t, what);
        }
        break;
    }
    put(t, t->in + t->at - 2, 2);
    return ASH_OK;
}

/* A set that may be empty: nothing is left of it then. */
static void close_set(translation *t, size_t from)
{
    if (t->no_memory || t->too_long)
        return;
    if (t->used == from + 1)
        t->out[--t->used] = '\0';
    else
        puts_to(t, "]");
}

/* Ends one side of &&, which began at `from` and whose last set began at `set`. */
static ash_status close_operand(translation *t, size_t from, size_t set, bool alternatives)
{
    close_set(t, set);
    if (t->no_memory || t->too_long)
        return ASH_OK;
    if (alternatives) {
        if (t->out[t->used - 1] == '|')
            t->out[--t->used] = '\0';
        insert(t, from, "(?:");
        puts_to(t, ")");
    }
    return t->used == from ? refuse(t, "empty class") : ASH_OK;
}

/* One character of a class. Sets stay sets; what sets cannot say becomes alternatives and look-ahead. */
static ash_status class(translation *t, int depth)
{
    size_t start = t->at++, from = t->used, operand = from, set = from;
    bool negated = peek(t, 0) == '^', alternatives = false, several = false;
    t->at += negated;
    if (depth > 8)
        return refuse(t, "deeply nested class");
    puts_to(t, "[");
    for (bool first = true; t->at < t->size; first = false) {
        char c = t->in[t->at];
        if (c == ']' && !first) {
            t->at++;
            ASH_TRY(close_operand(t, operand, set, alternatives));
            if (negated && !alternatives && !several) {
                insert(t, from + 1, "^");
            } else if (negated) {
                insert(t, from, "(?:(?!");
                puts_to(t, ")(?s:.))");
            } else if (several) {
                insert(t, from, "(?:");
                puts_to(t, ")");
            }
            return ASH_OK;
        }
        if (c == '\\') {
            ASH_TRY(escape(t, true));
            continue;
        }
        if (c == '[' && peek(t, 1) == ':')
            return refuse(t, "POSIX class");
        if (c == '[') {
            bool any = t->used != set + 1;
            close_set(t, set);
            puts_to(t, any ? "|" : "");
            ASH_TRY(class(t, depth + 1));
            puts_to(t, "|");
            alternatives = true;
        } else if (c == '&' && peek(t, 1) == '&') {
            t->at += 2;
            ASH_TRY(close_operand(t, operand, set, alternatives));
            insert(t, operand, "(?=");
            puts_to(t, ")");
            several = true;
            alternatives = false;
            operand = t->used;
        } else {
            put(t, &c, 1);
            t->at++;
            continue;
        }
        set = t->used;
        puts_to(t, "[");
    }
    t->at = start;
    return refuse(t, "unclosed class");
}

static ash_status group(translation *t, bool at_start)
{
    t->at++;
    puts_to(t, "(");
    t->group_start = true;
    if (peek(t, 0) == '*')
        return refuse(t, "(*");
    if (peek(t, 0) != '?')
        return ASH_OK;
    char c = peek(t, 1), d = peek(t, 2);
    if (c == '#') { /* a comment */
        while (t->at < t->size && t->in[t->at] != ')')
            t->at += t->in[t->at] == '\\' ? 2 : 1;
        if (t->at >= t->size)
            return refuse(t, "unclosed comment");
        puts_to(t, "?#");
        return ASH_OK;
    }
    if (c == ':' || c == '=' || c == '!' || c == '>') {
        put(t, t->in + t->at, 2);
        t->at += 2;
        return ASH_OK;
    }
    if (c == '<' && (d == '=' || d == '!' || isalpha((unsigned char)d) || d == '_')) {
        put(t, t->in + t->at, 3);
        t->at += 3;
        return ASH_OK;
    }
    puts_to(t, "?");
    t->at++;
    for (; t->at < t->size; t->at++) {
        c = t->in[t->at];
        if (c == ':') {
            puts_to(t, ":");
            t->at++;
            return ASH_OK;
        }
        if (c == ')') {
            if (!at_start)
                return refuse(t, "option in the middle of a group");
            return ASH_OK; /* the parenthesis is read by the caller */
        }
        if (c != 'i' && c != 'm' && c != 'x' && c != '-')
            return refuse(t, "group");
        put(t, c == 'm' ? "s" : &c, 1);
    }
    return refuse(t, "unclosed group");
}

/* {n}, {n,}, {,m}, {n,m}; anything else is literal on both sides. */
static ash_status interval(translation *t)
{
    size_t at = t->at + 1, low_from = at, low_size, high_size;
    while (at < t->size && isdigit((unsigned char)t->in[at]))
        at++;
    low_size = at - low_from;
    bool comma = at < t->size && t->in[at] == ',';
    size_t high_from = at += comma;
    while (at < t->size && isdigit((unsigned char)t->in[at]))
        at++;
    high_size = at - high_from;
    if (at >= t->size || t->in[at] != '}' || (low_size == 0 && high_size == 0)) {
        puts_to(t, "\\{");
        t->at++;
        return ASH_OK;
    }
    char next = at + 1 < t->size ? t->in[at + 1] : '\0';
    if (next == '?' && !comma)
        return refuse(t, "{n}?");
    bool small = low_size == 0 || (low_size == 1 && t->in[low_from] <= '1');
    if (next == '+') {
        if (!comma || !small)
            return refuse(t, "{n}+");
        puts_to(t, low_size == 1 && t->in[low_from] == '1' ? "{1,}" : "{0,}");
        t->at = at + 2;
        return ASH_OK;
    }
    puts_to(t, "{");
    if (low_size == 0)
        puts_to(t, "0");
    put(t, t->in + low_from, at + 1 - low_from);
    t->at = at + 1;
    return ASH_OK;
}

static ash_status translate(translation *t)
{
    t->group_start = true;
    while (t->at < t->size) {
        bool at_start = t->group_start;
        t->group_start = false;
        char c = t->in[t->at];
        if (c == '\\') {
            ASH_TRY(escape(t, false));
        } else if (c == '[') {
            ASH_TRY(class(t, 0));
        } else if (c == '(') {
            ASH_TRY(group(t, at_start));
        } else if (c == '{') {
            ASH_TRY(interval(t));
        } else {
            put(t, &c, 1);
            t->at++;
        }
    }
    return ASH_OK;
}

ash_status ash_expression_translate(const char *text, size_t size, char **out, size_t *out_size, ash_error *err)
{
    *out = NULL;
    *out_size = 0;
    translation t = { .in = text, .size = size, .err = err };
    put(&t, "", 0);
    ash_status status = translate(&t);
    int code = 0;
    size_t where = 0;
    if (status == ASH_OK && t.no_memory)
        status = ash_fail(err, ASH_E_MEMORY, "no memory for an expression of %zu bytes", size);
    if (status == ASH_OK && (t.too_long || t.used > ASH_VOCAB_PATTERN_MAX))
        status = ash_fail(err, ASH_E_LIMIT,
                          "an expression of %zu bytes is, written out, longer than the %u that are taken", size,
                          ASH_VOCAB_PATTERN_MAX);
    if (status == ASH_OK && !compiles(t.out, t.used, &code, &where)) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(code, message, sizeof message);
        status = ash_fail(err, ASH_E_FORMAT, "the expression \"%.*s\" does not compile: %s",
                          size < 120 ? (int)size : 120, text, (char *)message);
    }
    if (status != ASH_OK) {
        free(t.out);
        return status;
    }
    *out = t.out;
    *out_size = t.used;
    return ASH_OK;
}
