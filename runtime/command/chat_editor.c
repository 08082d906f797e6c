/* The line editor: libedit, with Ctrl+C as a key of its own, completion, and pasted text in one piece.
 *
 * libedit works in the wide characters of LC_CTYPE. Text here is always UTF-8, so a locale with another character set
 * falls back to C.UTF-8, which is part of every C library that we meet.
 */
#include "runtime/command/chat_editor.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "runtime/command/chat_complete.h"
#include "runtime/command/command.h"

#define HISTORY_LINES 1000
#define INTERRUPT_KEY L'\003'
#define PASTE_LIMIT (1 << 20) /* characters of one paste; the rest is dropped */

struct chat_editor {
    EditLine *line;
    History *history;
    char *history_file; /* NULL: none is kept */
    const char *prompt;
    bool interrupted;   /* Ctrl+C ended the line */
    bool marks_pastes;  /* the terminal is asked to */
};

static chat_editor *self(EditLine *line)
{
    void *editor = NULL;
    el_get(line, EL_CLIENTDATA, &editor);
    return editor;
}

static char *prompt_text(EditLine *line) { return (char *)self(line)->prompt; }

/* ---- keys ---- */

static volatile sig_atomic_t redraw; /* the window has another size, or the program was suspended */

static void on_redraw(int signal_number)
{
    (void)signal_number;
    redraw = 1;
}

/* Waits for input. Signals are let in only while it waits, so that none comes between a look at its flag and the wait.
 * Ctrl+C is a signal even here, and so looks the same when another program sends it. */
static int wait_for_input(void)
{
    sigset_t ours, before;
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGWINCH);
    sigaddset(&ours, SIGCONT);
    sigprocmask(SIG_BLOCK, &ours, &before);
    int ready = interrupted || redraw ? 0 : ppoll(&input, 1, NULL, &before);
    if (ready < 0 && errno == EINTR)
        ready = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready;
}

/* One character of UTF-8 from stdin, or Ctrl+C. */
static int read_key(EditLine *line, wchar_t *out)
{
    mbstate_t state = { 0 };
    for (;;) {
        int ready = wait_for_input();
        if (interrupted) {
            interrupted = 0;
            *out = INTERRUPT_KEY;
            return 1;
        }
        if (redraw) {
            redraw = 0;
            el_set(line, EL_PREP_TERM, 0); /* who resumed us may have left the terminal in any mode */
            el_set(line, EL_PREP_TERM, 1);
            el_resize(line);
            fputs(self(line)->marks_pastes ? "\r\033[J" : "\n", stderr);
            el_set(line, EL_REFRESH);
        }
        if (ready == 0)
            continue;
        char byte;
        ssize_t n = ready < 0 ? -1 : read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        size_t done = mbrtowc(out, &byte, 1, &state);
        if (done == (size_t)-1) { /* no UTF-8 */
            *out = 0xfffd;
            return 1;
        }
        if (done != (size_t)-2)
            return 1;
    }
}

/* Ends the line; what was typed stays on the screen. */
static unsigned char on_interrupt_key(EditLine *line, int key)
{
    (void)key;
    self(line)->interrupted = true;
    el_wpush(line, L"\n");
    return CC_NORM;
}

/* Everything up to the end mark goes into the line at once, line breaks too. Control characters go: a key that is pasted
 * is not pressed. */
static unsigned char on_paste(EditLine *line, int key)
{
    static const wchar_t end[] = L"\033[201~";
    size_t matched = 0, count = 0, room = 0;
    wchar_t *text = NULL, c;
    while (end[matched] && el_wgetc(line, &c) == 1) {
        if (c == INTERRUPT_KEY) {
            free(text);
            return on_interrupt_key(line, key);
        }
        if (c == end[matched]) {
            matched++;
            continue;
        }
        matched = c == end[0];
        c = c == L'\r' ? L'\n' : c;
        if ((c < L' ' && c != L'\n' && c != L'\t') || c == 0x7f || count == PASTE_LIMIT)
            continue;
        if (count + 1 >= room) {
            wchar_t *bigger = realloc(text, (2 * room + 256) * sizeof *text);
            if (!bigger)
                continue;
            text = bigger, room = 2 * room + 256;
        }
        text[count++] = c;
    }
    if (count) {
        text[count] = 0;
        el_winsertstr(line, text);
    }
    free(text);
    return CC_REFRESH;
}

static unsigned char on_tab(EditLine *line, int key)
{
    (void)key;
    const LineInfo *info = el_line(line);
    char *before = strndup(info->buffer, (size_t)(info->cursor - info->buffer));
    char *more = NULL, *choices = NULL;
    if (before)
        chat_complete(before, &more, &choices);
    unsigned char result = CC_ERROR;
    if (more && *more) {
        el_insertstr(line, more);
        result = CC_REFRESH;
    } else if (choices) {
        fprintf(stderr, "\n%s\n", choices);
        result = CC_REDISPLAY;
    }
    free(before), free(more), free(choices);
    return result;
}

/* ---- history ---- */

/* Makes the folders above `path` where they are absent. */
static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

/* The history's file, there and readable by its owner alone; NULL where there can be none. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int made = -1;
    if (state && *state == '/')
        made = asprintf(&path, "%s/ashlar/history", state);
    else if (home && *home == '/')
        made = asprintf(&path, "%s/.local/state/ashlar/history", home);
    if (made < 0)
        return NULL;
    make_folders(path);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) {
        close(file);
        return path;
    }
    free(path);
    return NULL;
}

/* ---- public ---- */

chat_editor *chat_editor_open(bool history_kept)
{
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    chat_editor *e = calloc(1, sizeof *e);
    HistEvent event;
    if (e) {
        e->line = el_init("ashlar", stdin, stderr, stderr);
        e->history = history_init();
    }
    if (!e || !e->line || !e->history) {
        chat_editor_close(e);
        return NULL;
    }
    history(e->history, &event, H_SETSIZE, HISTORY_LINES);
    history(e->history, &event, H_SETUNIQUE, 1);
    e->history_file = history_kept ? history_path() : NULL;
    if (e->history_file)
        history(e->history, &event, H_LOAD, e->history_file);
    el_set(e->line, EL_CLIENTDATA, e);
    el_set(e->line, EL_PROMPT, prompt_text);
    el_set(e->line, EL_SIGNAL, 0);
    el_set(e->line, EL_HIST, history, e->history);
    el_set(e->line, EL_GETCFN, read_key);
    el_set(e->line, EL_EDITOR, "emacs");
    el_wset(e->line, EL_ADDFN, L"chat-interrupt", L"Drop the line", on_interrupt_key);
    el_wset(e->line, EL_ADDFN, L"chat-complete", L"Complete a command", on_tab);
    el_wset(e->line, EL_ADDFN, L"chat-paste", L"Take pasted text", on_paste);
    el_set(e->line, EL_BIND, "^C", "chat-interrupt", NULL);
    el_set(e->line, EL_BIND, "^I", "chat-complete", NULL);
    el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(e->line, EL_BIND, "\033[200~", "chat-paste", NULL);
    const char *terminal = getenv("TERM");
    e->marks_pastes = terminal && *terminal && strcmp(terminal, "dumb") != 0;
    return e;
}

chat_line chat_editor_read(chat_editor *e, const char *prompt, char **line)
{
    struct sigaction action = { .sa_handler = on_redraw, .sa_flags = SA_RESTART }, resize, resume;
    HistEvent event;
    int length = 0;
    *line = NULL;
    e->prompt = prompt;
    e->interrupted = false;
    interrupted = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, &resize);
    sigaction(SIGCONT, &action, &resume);
    el_set(e->line, EL_PREP_TERM, 1); /* before the prompt is seen: what is typed then is echoed once */
    el_resize(e->line);
    fputs(e->marks_pastes ? "\033[?2004h" : "", stderr);
    const char *text = el_gets(e->line, &length);
    fputs(e->marks_pastes ? "\033[?2004l" : "", stderr);
    sigaction(SIGWINCH, &resize, NULL);
    sigaction(SIGCONT, &resume, NULL);
    if (!text || length <= 0)
        return CHAT_LINE_END;
    size_t bytes = strlen(text);
    if (bytes && text[bytes - 1] == '\n')
        bytes--;
    *line = strndup(text, bytes);
    if (!*line)
        return CHAT_LINE_END;
    if (e->interrupted)
        return CHAT_LINE_INTERRUPTED;
    if (strspn(*line, " \t\n") != bytes)
        history(e->history, &event, H_ENTER, *line);
    return CHAT_LINE;
}

void chat_editor_close(chat_editor *e)
{
    HistEvent event;
    if (!e)
        return;
    if (e->history_file)
        history(e->history, &event, H_SAVE, e->history_file);
    if (e->line)
        el_end(e->line);
    if (e->history)
        history_end(e->history);
    free(e->history_file);
    free(e);
}
