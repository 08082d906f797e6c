#include "runtime/chat_format.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 60 /* how much of an unknown template its error shows */

/* ---- recognizing a template ---- */

/* A piece of template source as the template would print it: backslash escapes of a Jinja string undone when
 * `quoted`. The caller frees the result. */
static char *literal(const char *from, size_t bytes, bool quoted)
{
    char *out = malloc(bytes + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < bytes; i++) {
        char c = from[i];
        if (quoted && c == '\\' && i + 1 < bytes) {
            c = from[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        out[n++] = c;
    }
    if (out)
        out[n] = 0;
    return out;
}

/* The default system message: text between "<|im_start|>system\n" and "<|im_end|>" within one literal. A
 * template may name the opening several times, with a variable after it: those do not reach their end. */
static ash_status find_default_system(const char *template, char **out, ash_error *err)
{
    static const char opening[] = "<|im_start|>system", closing[] = "<|im_end|>";
    for (const char *at = template; (at = strstr(at, opening));) {
        char quote = at > template && (at[-1] == '\'' || at[-1] == '"') ? at[-1] : 0;
        at += sizeof opening - 1;
        const char *text = at;
        if (*text == '\n')
            text++;
        else if (quote && text[0] == '\\' && text[1] == 'n')
            text += 2;
        else
            continue;
        const char *end = text;
        while (*end && strncmp(end, closing, sizeof closing - 1) != 0) {
            if (quote ? *end == quote : *end == '{' && (end[1] == '{' || end[1] == '%'))
                break;
            end += quote && *end == '\\' && end[1] ? 2 : 1;
        }
        if (strncmp(end, closing, sizeof closing - 1) != 0)
            continue;
        *out = literal(text, (size_t)(end - text), quote != 0);
        return *out ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "out of memory for the chat template");
    }
    return ASH_OK;
}

/* Llama 3.1 and 3.2 put two lines before every system message. The date is the one that the template itself falls
 * back to, so that the same conversation gives the same tokens every day. */
static ash_status find_llama31_system(const char *template, ash_chat_format *out, ash_error *err)
{
    static const char knowledge[] = "Cutting Knowledge Date: December 2023", date_is[] = "date_string = \"";
    if (!strstr(template, knowledge))
        return ASH_OK;
    char date[32] = "26 Jul 2024";
    const char *at = strstr(template, date_is);
    if (at) {
        at += sizeof date_is - 1;
        size_t n = strcspn(at, "\"\\\n");
        if (at[n] == '"' && n > 0 && n < sizeof date) {
            memcpy(date, at, n);
            date[n] = 0;
        }
    }
    out->system_always = true;
    out->system = malloc(sizeof knowledge + sizeof date + 32);
    if (!out->system)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the chat template");
    char *p = stpcpy(out->system, knowledge);
    p = stpcpy(p, "\nToday Date: ");
    p = stpcpy(p, date);
    stpcpy(p, "\n\n");
    return ASH_OK;
}

ash_status ash_chat_format_init(ash_chat_format *out, const char *template, ash_error *err)
{
    *out = (ash_chat_format){ 0 };
    out->bos = strstr(template, "bos_token") || strstr(template, "<|begin_of_text|>");
    out->trim = strstr(template, "| trim") || strstr(template, "|trim");
    if (strstr(template, "<|im_start|>") && strstr(template, "<|im_end|>")) {
        out->kind = ASH_CHAT_CHATML;
        return find_default_system(template, &out->system, err);
    }
    if (strstr(template, "<|start_header_id|>") && strstr(template, "<|end_header_id|>") &&
        strstr(template, "<|eot_id|>")) {
        out->kind = ASH_CHAT_LLAMA3;
        return find_llama31_system(template, out, err);
    }
    char start[NAME_BYTES + 1];
    size_t n = strnlen(template, NAME_BYTES);
    while (n > 0 && template[n] && ((unsigned char)template[n] & 0xc0) == 0x80)
        n--; /* whole characters */
    memcpy(start, template, n);
    start[n] = 0;
    for (size_t i = 0; i < n; i++)
        start[i] = start[i] == '\n' ? ' ' : start[i];
    return ash_fail(err, ASH_E_UNSUPPORTED, "unknown chat template \"%s%s\": ChatML and Llama 3 are supported; use run",
                    start, template[n] ? "..." : "");
}

void ash_chat_format_free(ash_chat_format *format)
{
    free(format->system);
    *format = (ash_chat_format){ 0 };
}

/* ---- building segments ---- */

typedef struct segments {
    ashlar_segment *items;
    size_t count, room;
    bool failed;
} segments;

/* Appends text to the last segment, or to a new one when the kind changes. */
static void put(segments *s, bool special, const char *text, size_t bytes)
{
    if (s->failed || bytes == 0)
        return;
    if (s->count == 0 || s->items[s->count - 1].special != special) {
        if (s->count == s->room) {
            size_t room = s->room ? 2 * s->room : 8;
            ashlar_segment *grown = realloc(s->items, room * sizeof *grown);
            if (!grown) {
                s->failed = true;
                return;
            }
            s->items = grown;
            s->room = room;
        }
        s->items[s->count++] = (ashlar_segment){ .special = special };
    }
    ashlar_segment *last = &s->items[s->count - 1];
    char *grown = realloc(last->text, last->bytes + bytes + 1);
    if (!grown) {
        s->failed = true;
        return;
    }
    memcpy(grown + last->bytes, text, bytes);
    last->text = grown;
    last->bytes += bytes;
    grown[last->bytes] = 0;
}

static void put_string(segments *s, bool special, const char *text) { put(s, special, text, strlen(text)); }

static void put_text(segments *s, const ash_chat_format *f, const char *text)
{
    size_t n = strlen(text);
    if (f->trim) {
        while (n > 0 && isspace((unsigned char)text[0]))
            text++, n--;
        while (n > 0 && isspace((unsigned char)text[n - 1]))
            n--;
    }
    put(s, false, text, n);
}

/* Role, line break and text are one segment: the tokenizer sees them as one run of text, as it does when a template's
 * whole output is tokenized at once. */
static void chatml_message(segments *s, const ash_chat_format *f, const char *role, const char *text, bool closed)
{
    put_string(s, true, "<|im_start|>");
    put_string(s, false, role);
    put_string(s, false, "\n");
    put_text(s, f, text);
    if (closed)
        put_string(s, true, "<|im_end|>");
}

static void llama3_message(segments *s, const ash_chat_format *f, const char *role, const char *before,
                           const char *text, bool closed)
{
    put_string(s, true, "<|start_header_id|>");
    put_string(s, false, role);
    put_string(s, true, "<|end_header_id|>");
    put_string(s, false, "\n\n");
    put_string(s, false, before);
    put_text(s, f, text);
    if (closed)
        put_string(s, true, "<|eot_id|>");
}

void ashlar_segments_free(ashlar_segment *items, size_t count)
{
    for (size_t i = 0; items && i < count; i++)
        free(items[i].text);
    free(items);
}

ash_status ash_chat_segments(const ash_chat_format *format, const char *bos, const char *role, const char *text,
                             bool first, bool reply, ashlar_segment **out, size_t *count, ash_error *err)
{
    *out = NULL;
    *count = 0;
    bool system = strcmp(role, "system") == 0;
    if (!system && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
        return ash_fail(err, ASH_E_ARGUMENT, "chat role \"%.40s\": give system, user or assistant", role);
    if (!text && strcmp(role, "assistant") != 0)
        return ash_fail(err, ASH_E_ARGUMENT, "a %s message without text", role);

    segments s = { 0 };
    bool chatml = format->kind == ASH_CHAT_CHATML;
    if (first && format->bos)
        put_string(&s, true, bos);
    if (!text) { /* closes an answer that was cut short */
        put_string(&s, true, chatml ? "<|im_end|>" : "<|eot_id|>");
    } else if (chatml) {
        if (first && !system && format->system) {
            chatml_message(&s, &(ash_chat_format){ 0 }, "system", format->system, true);
            put_string(&s, true, "\n");
        }
        if (!first)
            put_string(&s, true, "\n");
        chatml_message(&s, format, role, text, true);
    } else {
        if (first && !system && format->system_always)
            llama3_message(&s, format, "system", format->system, "", true);
        llama3_message(&s, format, role, system && format->system ? format->system : "", text, true);
    }
    if (reply && chatml) {
        put_string(&s, true, "\n");
        chatml_message(&s, &(ash_chat_format){ 0 }, "assistant", "", false);
    } else if (reply) {
        llama3_message(&s, format, "assistant", "", "", false);
    }
    if (s.failed) {
        ashlar_segments_free(s.items, s.count);
        return ash_fail(err, ASH_E_MEMORY, "out of memory for a chat message");
    }
    *out = s.items;
    *count = s.count;
    return ASH_OK;
}
