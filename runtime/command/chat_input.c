/* From lines to messages: continued lines, texts between triple quotes, and what Ctrl+C does at the prompt. */
#include <stdlib.h>
#include <string.h>

#include "runtime/command/chat.h"
#include "runtime/command/chat_editor.h"

struct chat_input {
    chat_editor *editor; /* NULL: plain lines */
    bool leaving;        /* another Ctrl+C in a row leaves */
};

chat_input *chat_input_open(bool terminal, bool history)
{
    chat_input *in = calloc(1, sizeof *in);
    if (in && terminal)
        in->editor = chat_editor_open(history);
    return in;
}

void chat_input_close(chat_input *in)
{
    if (!in)
        return;
    chat_editor_close(in->editor);
    free(in);
}

static chat_line read_line(chat_input *in, const char *prompt, char **line)
{
    if (in->editor)
        return chat_editor_read(in->editor, prompt, line);
    size_t room = 0;
    *line = NULL;
    ssize_t bytes = getline(line, &room, stdin);
    if (bytes < 0) {
        free(*line);
        *line = NULL;
        return CHAT_LINE_END;
    }
    size_t length = strlen(*line);
    while (length && strchr("\r\n", (*line)[length - 1]))
        (*line)[--length] = 0;
    return CHAT_LINE;
}

/* Appends `bytes` of text and then `end`; frees both and gives NULL when out of memory. */
static char *append(char *text, const char *more, size_t bytes, const char *end)
{
    size_t before = text ? strlen(text) : 0;
    char *bigger = realloc(text, before + bytes + strlen(end) + 1);
    if (!bigger) {
        free(text);
        return NULL;
    }
    memcpy(bigger + before, more, bytes);
    strcpy(bigger + before + bytes, end);
    return bigger;
}

static const char quotes[] = "\"\"\"";

/* True when the line ends a text between quotes; *bytes is what comes before them. */
static bool closes(const char *line, size_t *bytes)
{
    *bytes = strlen(line);
    while (*bytes && strchr(" \t", line[*bytes - 1]))
        --*bytes;
    if (*bytes < 3 || memcmp(line + *bytes - 3, quotes, 3) != 0) {
        *bytes = strlen(line);
        return false;
    }
    *bytes -= 3;
    return true;
}

/* Puts lines together, beginning with `line`, which is freed. */
static chat_line put_together(chat_input *in, char *line, char **text, bool *verbatim)
{
    const char *begin = line + strspn(line, " \t");
    *verbatim = strncmp(begin, quotes, 3) == 0;
    begin += *verbatim ? 3 : 0;
    *text = append(NULL, "", 0, "");
    chat_line got = CHAT_LINE;
    for (bool first = true; *text; first = false) {
        size_t bytes = strlen(begin);
        bool ends = *verbatim ? closes(begin, &bytes) : bytes == 0 || begin[bytes - 1] != '\\';
        if (!*verbatim && !ends)
            bytes--;
        bool bare = *verbatim && bytes == 0 && (first || ends); /* quotes on a line of their own */
        *text = append(*text, begin, bytes, ends || (bare && first) ? "" : "\n");
        if (ends && bare && *text && **text && !first)
            (*text)[strlen(*text) - 1] = 0; /* the line break before the last quotes */
        if (ends)
            break;
        free(line);
        got = read_line(in, ". ", &line);
        if (got != CHAT_LINE)
            break;
        begin = line;
    }
    free(line);
    if (got == CHAT_LINE_END && *text && **text) { /* the end of the input ends the text; each line ended it so far */
        (*text)[strlen(*text) - 1] = 0;
        got = CHAT_LINE;
    }
    return *text ? got : CHAT_LINE_END;
}

static void trim(char *text)
{
    size_t lead = strspn(text, " \t\r\n"), n = strlen(text);
    while (n > lead && strchr(" \t\r\n", text[n - 1]))
        n--;
    memmove(text, text + lead, n - lead);
    text[n - lead] = 0;
}

char *chat_input_next(chat_input *in, bool after_stop, bool *verbatim)
{
    in->leaving = after_stop;
    for (;;) {
        char *line, *text = NULL;
        chat_line got = read_line(in, "> ", &line);
        bool empty = got == CHAT_LINE_INTERRUPTED && *line == 0;
        if (got == CHAT_LINE)
            got = put_together(in, line, &text, verbatim);
        else
            free(line);
        if (got == CHAT_LINE) {
            if (!*verbatim)
                trim(text);
            if (*text)
                return text;
            in->leaving = false;
        } else if (got == CHAT_LINE_END || (empty && in->leaving)) {
            free(text);
            return NULL;
        } else if (empty) {
            in->leaving = true;
            fprintf(stderr, "Ctrl+C again leaves\n");
        } else {
            in->leaving = false;
        }
        free(text);
    }
}
