#include "format/json.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/fileio.h"

#define DEPTH_MAX 64
/* cJSON spends about 80 bytes a value, so a file of "0,0,0,..." would cost 40 times its size. The largest honest
 * files, tokenizers with 600,000 merges as pairs, have 2 to 3 million values. */
#define VALUES_MAX ((size_t)8 << 20)
#define EXACT_MAX (UINT64_C(1) << 53)

/* One pass over the text before cJSON sees it. It checks what cJSON is lax about (number grammar, control characters,
 * UTF-8, NUL, nesting) and that brackets and strings are closed, so that cJSON's lookahead never meets the end. It also
 * notes which numbers do not equal the double that cJSON makes of them. */
typedef struct scan {
    const unsigned char *text;
    size_t size, at;
    size_t values;      /* numbers, strings, literals, arrays, objects and keys so far */
    size_t numbers;     /* numbers so far */
    size_t *inexact;    /* their ordinals, ascending */
    size_t inexact_count, inexact_room;
    ash_error *err;
} scan;

static size_t line_of(const unsigned char *text, size_t at)
{
    size_t line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

static ash_status refuse(const scan *s, size_t at, const char *what)
{
    return ash_fail(s->err, ASH_E_FORMAT, "JSON: %s at byte %zu, line %zu", what, at, line_of(s->text, at));
}

/* Length of the UTF-8 sequence at `p` (first byte >= 0x80), 0 when it is not valid: shortest form, no surrogates, up to
 * U+10FFFF (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* s->at is behind the opening quote; leaves it behind the closing one. */
static ash_status scan_string(scan *s)
{
    const unsigned char *t = s->text;
    size_t start = s->at - 1, at = s->at, size = s->size;
    for (;;) {
        while (at < size && t[at] >= 0x20 && t[at] < 0x80 && t[at] != '"' && t[at] != '\\')
            at++;
        if (at == size)
            return refuse(s, start, "a string has no end");
        if (t[at] == '"') {
            s->at = at + 1;
            return ASH_OK;
        }
        if (t[at] == '\\') {
            if (size - at >= 6 && memcmp(t + at, "\\u0000", 6) == 0)
                return refuse(s, at, "a NUL character (\\u0000) is not accepted");
            at += size - at >= 2 ? 2 : 1; /* cJSON checks what follows; only \" matters here */
        } else if (t[at] >= 0x80) {
            size_t n = utf8_length(t + at, size - at);
            if (n == 0)
                return refuse(s, at, "a string is not valid UTF-8");
            at += n;
        } else {
            return refuse(s, at, t[at] == 0 ? "a NUL byte is not accepted" : "a control character inside a string");
        }
    }
}

static size_t digits(const scan *s, size_t at)
{
    size_t start = at;
    while (at < s->size && s->text[at] >= '0' && s->text[at] <= '9')
        at++;
    return at - start;
}

static ash_status note_inexact(scan *s)
{
    if (s->inexact_count == s->inexact_room) {
        size_t room = s->inexact_room ? 2 * s->inexact_room : 16;
        size_t *grown = realloc(s->inexact, room * sizeof *grown); /* at most VALUES_MAX entries */
        if (!grown)
            return ash_fail(s->err, ASH_E_MEMORY, "JSON: out of memory");
        s->inexact = grown;
        s->inexact_room = room;
    }
    s->inexact[s->inexact_count++] = s->numbers;
    return ASH_OK;
}

/* s->at is at a '-' or a digit. -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static ash_status scan_number(scan *s)
{
    const unsigned char *t = s->text;
    size_t start = s->at, at = start + (t[start] == '-'), whole_at = at;
    size_t whole = digits(s, at), fraction = 0;
    bool plain = true, good = whole != 0 && (whole == 1 || t[at] != '0');
    at += whole;
    if (good && at < s->size && t[at] == '.') {
        plain = false;
        fraction = digits(s, at + 1);
        good = fraction != 0;
        at += 1 + fraction;
    }
    if (good && at < s->size && (t[at] == 'e' || t[at] == 'E')) {
        plain = false;
        at++;
        if (at < s->size && (t[at] == '+' || t[at] == '-'))
            at++;
        size_t exponent = digits(s, at);
        good = exponent != 0;
        at += exponent;
    }
    if (!good)
        return refuse(s, start, "a malformed number");
    if (at - start > 63) /* cJSON copies a number into 64 bytes and would cut it */
        return refuse(s, start, "a number of more than 63 characters");
    /* Exact: plain integers up to 2^53. A number of at most 15 digits with a point or an exponent cannot be taken for
     * an integer that it is not either: doubles tell all 15-digit decimals apart. */
    bool exact = whole + fraction <= 15;
    if (plain && !exact && whole == 16) {
        uint64_t value = 0;
        for (size_t i = 0; i < whole; i++)
            value = 10 * value + (t[whole_at + i] - '0'); /* 16 digits fit */
        exact = value <= EXACT_MAX;
    }
    if (!exact)
        ASH_TRY(note_inexact(s));
    s->numbers++;
    s->at = at;
    return ASH_OK;
}

static ash_status scan_text(scan *s)
{
    char closing[DEPTH_MAX];
    size_t depth = 0;
    if (s->size >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark: Windows editors write it */
        s->at = 3;
    while (s->at < s->size) {
        unsigned char c = s->text[s->at];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',' || c == ':') {
            s->at++;
            continue;
        }
        if (c == ']' || c == '}') {
            if (depth == 0 || closing[depth - 1] != (char)c)
                return refuse(s, s->at, "a bracket closes what was not opened");
            depth--;
            s->at++;
            continue;
        }
        if (++s->values > VALUES_MAX)
            return ash_fail(s->err, ASH_E_LIMIT, "JSON: has more than %zu values", VALUES_MAX);
        if (c == '"') {
            s->at++;
            ASH_TRY(scan_string(s));
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            ASH_TRY(scan_number(s));
        } else if (c == '[' || c == '{') {
            if (depth == DEPTH_MAX)
                return ash_fail(s->err, ASH_E_LIMIT, "JSON: is nested more than %d deep at byte %zu", DEPTH_MAX, s->at);
            closing[depth++] = c == '[' ? ']' : '}';
            s->at++;
        } else if (c >= 'a' && c <= 'z') { /* true, false, null: cJSON reads them */
            while (s->at < s->size && s->text[s->at] >= 'a' && s->text[s->at] <= 'z')
                s->at++;
        } else {
            return refuse(s, s->at, c == 0 ? "a NUL byte is not accepted" : "an unexpected character");
        }
    }
    if (depth != 0)
        return refuse(s, s->size, closing[depth - 1] == ']' ? "ends inside an array" : "ends inside an object");
    return ASH_OK;
}

/* A key with its first eight bytes as a big-endian number, which settles most comparisons without a cache miss. */
typedef struct sort_key {
    uint64_t front;
    const char *key;
} sort_key;

static int compare_keys(const void *left, const void *right)
{
    const sort_key *a = left, *b = right;
    if (a->front != b->front)
        return a->front < b->front ? -1 : 1;
    return strcmp(a->key, b->key);
}

static sort_key sort_key_of(const char *key)
{
    sort_key k = { 0, key };
    for (size_t i = 0; i < 8; i++) {
        k.front = k.front << 8 | (unsigned char)*key;
        key += *key != 0; /* shorter keys: filled with zeros */
    }
    return k;
}

/* By sorting: n log n whatever the keys are, while a hash table with a known hash could be fed collisions. */
static ash_status check_duplicates(const cJSON *object, ash_error *err)
{
    sort_key few[32], *keys = few;
    size_t count = 0, i = 0;
    for (const cJSON *m = object->child; m; m = m->next)
        count++;
    if (count > 32) {
        keys = malloc(count * sizeof *keys); /* count <= VALUES_MAX */
        if (!keys)
            return ash_fail(err, ASH_E_MEMORY, "JSON: out of memory for an object of %zu keys", count);
    }
    for (const cJSON *m = object->child; m; m = m->next)
        keys[i++] = sort_key_of(m->string);
    qsort(keys, count, sizeof *keys, compare_keys);
    ash_status status = ASH_OK;
    for (i = 1; i < count && status == ASH_OK; i++)
        if (compare_keys(&keys[i - 1], &keys[i]) == 0)
            status = ash_fail(err, ASH_E_FORMAT, "JSON: the key \"%.100s\" stands twice in one object", keys[i].key);
    if (keys != few)
        free(keys);
    return status;
}

/* Walks the parsed tree in the order of the text. Numbers that the scan found inexact get valueint = INT_MIN, which
 * ash_json_u64 takes as "no integer"; cJSON itself clips to it only what is negative and refused anyway. */
static ash_status check_tree(cJSON *item, const scan *s, size_t *number, size_t *next, ash_error *err)
{
    if (cJSON_IsNumber(item)) {
        if (*next < s->inexact_count && s->inexact[*next] == *number) {
            item->valueint = INT_MIN;
            ++*next;
        }
        ++*number;
    }
    if (cJSON_IsObject(item))
        ASH_TRY(check_duplicates(item, err));
    for (cJSON *child = item->child; child; child = child->next)
        ASH_TRY(check_tree(child, s, number, next, err)); /* at most DEPTH_MAX deep */
    return ASH_OK;
}

static ash_status parse_scanned(scan *s, cJSON **out)
{
    ASH_TRY(scan_text(s));
    const char *text = (const char *)s->text, *end = text;
    cJSON *root = cJSON_ParseWithLengthOpts(text, s->size, &end, 0);
    if (!root)
        return refuse(s, (size_t)(end - text), s->values == 0 ? "there is no value" : "a syntax error");
    size_t rest = (size_t)(end - text), number = 0, next = 0;
    while (rest < s->size && (text[rest] == ' ' || text[rest] == '\n' || text[rest] == '\r' || text[rest] == '\t'))
        rest++;
    ash_status status = rest < s->size ? refuse(s, rest, "something follows the value") : ASH_OK;
    if (status == ASH_OK)
        status = check_tree(root, s, &number, &next, s->err);
    if (status != ASH_OK)
        cJSON_Delete(root);
    else
        *out = root;
    return status;
}

ash_status ash_json_parse(const char *text, size_t size, size_t limit, cJSON **out, ash_error *err)
{
    *out = NULL;
    if (size > limit)
        return ash_fail(err, ASH_E_LIMIT, "JSON: has %zu bytes; at most %zu are accepted", size, limit);
    scan s = { .text = (const unsigned char *)text, .size = size, .err = err };
    ash_status status = parse_scanned(&s, out);
    free(s.inexact);
    return status;
}

ash_status ash_json_read_file(const char *path, size_t limit, cJSON **out, ash_error *err)
{
    *out = NULL;
    char *text;
    size_t size;
    ASH_TRY(ash_read_whole(path, limit, &text, &size, err));
    ash_status status = ash_json_parse(text, size, limit, out, err);
    free(text);
    return status == ASH_OK ? ASH_OK : ash_fail_in(err, path);
}

bool ash_json_u64(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item) || item->valueint == INT_MIN)
        return false;
    double value = item->valuedouble;
    if (!(value >= 0 && value <= (double)EXACT_MAX) || floor(value) != value)
        return false;
    *out = (uint64_t)value;
    return true;
}

const cJSON *ash_json_get(const cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const char *ash_json_string(const cJSON *object, const char *key)
{
    const cJSON *item = ash_json_get(object, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* ---- writing ---- */

void ash_json_put_string(FILE *out, const char *text, size_t size)
{
    fputc('"', out);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

/* The decimal separator of the program's locale must not get in. */
bool ash_json_add_float(cJSON *object, const char *key, float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) { /* 9 bring every float back */
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    for (char *p = text; *p; p++)
        if (!strchr("0123456789+-e.", *p))
            *p = '.';
    if (!strpbrk(text, ".e"))
        strcat(text, ".0"); /* some readers tell 8.0 from 8 */
    return cJSON_AddRawToObject(object, key, text) != NULL;
}
