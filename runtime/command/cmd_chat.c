/* ashlar chat: talk with a chat model; the KV cache is kept between turns.
 *
 * Only what is new is fed: a user's message in the model's own framing, and the end of the answer before it. */
#include <errno.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/fileio.h"
#include "runtime/command/engine.h"

typedef struct chat {
    engine e;
    const char *system;
    uint32_t limit;
    bool begun;       /* the first message has been fed */
    bool failed;      /* a message could not be answered, and not because of Ctrl+C */
    bool answer_open; /* the last answer's end-of-turn token has not been fed */
    char *log;        /* the conversation, for /save */
    size_t log_bytes;
    /* figures */
    size_t turns, prompt_tokens, answer_tokens;
    double prompt_s, answer_s;
} chat;

/* Ctrl+C stops the answer, not the program. */
static ashlar_session *answering;
static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    if (answering)
        ashlar_session_stop(answering);
}

static void log_message(chat *c, const char *who, const char *text)
{
    size_t more = strlen(who) + strlen(text) + 4;
    char *bigger = realloc(c->log, c->log_bytes + more + 1);
    if (!bigger)
        return; /* /save then misses a message: the answer itself was shown */
    c->log = bigger;
    c->log_bytes += (size_t)snprintf(c->log + c->log_bytes, more + 1, "%s: %s\n\n", who, text);
}

/* Feeds ids; on a full context says what to do. */
static bool feed(chat *c, const int32_t *ids, size_t count)
{
    ashlar_error err;
    uint32_t position = ashlar_session_position(c->e.session);
    int status = count ? ashlar_session_feed(c->e.session, ids, count, 0, &err) : ASHLAR_OK;
    for (size_t i = 0; status == ASHLAR_OK && i < count; i++)
        ashlar_sampler_accept(c->e.sampler, ids[i]);
    if (status == ASHLAR_OK)
        return true;
    c->failed = c->failed || status != ASHLAR_ERROR_CANCELLED;
    ashlar_error ignored;
    ashlar_session_rewind(c->e.session, position, &ignored);
    if (status == ASHLAR_ERROR_LIMIT)
        fprintf(stderr, "the context of %u tokens is full: /reset begins anew; --ctx N gives more\n",
                ashlar_session_context(c->e.session));
    else if (status != ASHLAR_ERROR_CANCELLED)
        fail_public(&err);
    return false;
}

static bool feed_message(chat *c, const char *role, const char *text, bool first, bool reply)
{
    int32_t *ids;
    size_t count;
    ashlar_error err;
    if (ashlar_chat_tokens(c->e.model, role, text, first, reply, &ids, &count, &err) != ASHLAR_OK) {
        fail_public(&err);
        c->failed = true;
        return false;
    }
    bool fine = feed(c, ids, count);
    c->prompt_tokens += fine ? count : 0;
    ashlar_free(ids);
    return fine;
}

/* The end-of-turn token after an answer; what a template puts between messages comes with the next one. */
static bool close_answer(chat *c)
{
    if (!c->answer_open)
        return true;
    int32_t *ids;
    size_t count;
    ashlar_error err;
    if (ashlar_chat_tokens(c->e.model, "assistant", NULL, 0, 0, &ids, &count, &err) != ASHLAR_OK) {
        fail_public(&err);
        c->failed = true;
        return false;
    }
    bool fine = feed(c, ids, count);
    ashlar_free(ids);
    if (fine)
        c->answer_open = false;
    return fine;
}

static void answer(chat *c, const char *text)
{
    engine *e = &c->e;
    generated g = { 0 };
    text_stream stream = { .out = stdout };
    ashlar_error err;
    uint32_t position = ashlar_session_position(e->session);
    ashlar_session_rewind(e->session, position, &err); /* forgets a Ctrl+C that came after the last answer's last token */
    interrupted = 0;
    answering = e->session;
    double started = seconds_now();
    bool was_open = c->answer_open, was_begun = c->begun;
    bool fed = close_answer(c);
    if (fed && !c->begun && c->system)
        fed = feed_message(c, "system", c->system, true, false);
    fed = fed && feed_message(c, "user", text, !c->begun && !c->system, true);
    if (!fed) { /* nothing of this message stays */
        ashlar_session_rewind(e->session, position, &err);
        c->answer_open = was_open, c->begun = was_begun;
        answering = NULL;
        return;
    }
    c->begun = true;
    double prompt_s = seconds_now() - started;
    uint32_t prompt_count = ashlar_session_position(e->session) - position;
    log_message(c, "user", text);
    generate_end end = generate(e, c->limit, &stream, &g, &err);
    answering = NULL;
    c->answer_open = true;
    putchar('\n');
    fflush(stdout);
    /* The session has seen all but the last id: an ordinary last token (limit, interruption) belongs to the answer. */
    if (g.count > g.fed && !ashlar_is_stop(e->model, g.ids[g.count - 1]) && end != END_CONTEXT) {
        ashlar_error ignored;
        ashlar_session_rewind(e->session, ashlar_session_position(e->session), &ignored); /* forgets a late Ctrl+C */
        feed(c, &g.ids[g.count - 1], 1);
    }
    if (end == END_ERROR)
        fail_public(&err), c->failed = true;
    else if (end == END_CONTEXT)
        fprintf(stderr, "the context of %u tokens is full: /reset begins anew; --ctx N gives more\n",
                ashlar_session_context(e->session));
    log_message(c, "assistant", stream.kept ? stream.kept : "");
    c->turns++, c->answer_tokens += g.count, c->prompt_s += prompt_s, c->answer_s += g.seconds;
    fprintf(stderr, "[%u tokens in %.2f s, %.0f tok/s; %zu out, %.1f tok/s; %u of %u tokens used]\n", prompt_count, prompt_s,
            prompt_count / prompt_s, g.count, g.fed ? (double)g.fed / g.seconds : 0, ashlar_session_position(e->session),
            ashlar_session_context(e->session));
    free(g.ids);
    free(stream.kept);
}

static void reset(chat *c)
{
    ashlar_error err;
    ashlar_session_rewind(c->e.session, 0, &err);
    ashlar_sampler_reset(c->e.sampler);
    c->begun = c->answer_open = false;
    c->log_bytes = 0;
}

static void save(const chat *c, const char *path)
{
    ash_error err;
    ash_output *out;
    if (!*path) {
        fprintf(stderr, "/save FILE\n");
        return;
    }
    if (ash_output_create(path, false, &out, &err) != ASH_OK) {
        fail_with(&err);
        return;
    }
    if (ash_output_append(out, c->log ? c->log : "", c->log_bytes, &err) != ASH_OK) {
        ash_output_abort(out);
        fail_with(&err);
    } else if (ash_output_commit(out, &err) != ASH_OK) {
        fail_with(&err);
    } else {
        fprintf(stderr, "wrote %s\n", path);
    }
}

/* False when the chat shall end. */
static bool command(chat *c, const char *line)
{
    char size[32];
    if (strcmp(line, "/exit") == 0 || strcmp(line, "/quit") == 0)
        return false;
    if (strcmp(line, "/help") == 0) {
        fprintf(stderr, "/reset        forget the conversation\n/stats        tokens, speed, memory\n"
                        "/save FILE    write the conversation as text\n/exit         leave (so does Ctrl+D)\n"
                        "Ctrl+C        stop the answer\n");
    } else if (strcmp(line, "/reset") == 0) {
        reset(c);
        fprintf(stderr, "forgotten\n");
    } else if (strcmp(line, "/stats") == 0) {
        fprintf(stderr, "%zu turns; %zu prompt tokens, %.0f tok/s; %zu answer tokens, %.1f tok/s; %u of %u tokens used; KV cache %s; %ld MiB at most\n",
                c->turns, c->prompt_tokens, c->prompt_s > 0 ? (double)c->prompt_tokens / c->prompt_s : 0, c->answer_tokens,
                c->answer_s > 0 ? (double)c->answer_tokens / c->answer_s : 0, ashlar_session_position(c->e.session),
                ashlar_session_context(c->e.session), bytes_text(ashlar_session_kv_bytes(c->e.session), size), peak_rss_mib());
    } else if (strncmp(line, "/save", 5) == 0 && (line[5] == ' ' || line[5] == 0)) {
        save(c, line + 5 + strspn(line + 5, " "));
    } else {
        fprintf(stderr, "no command %s; /help lists them\n", line);
    }
    return true;
}

static const char *prompt_text(EditLine *editor)
{
    (void)editor;
    return "> ";
}

/* Cuts the line end and surrounding blanks in place. */
static char *trimmed(char *line)
{
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n && strchr(" \t\r\n", line[n - 1]))
        line[--n] = 0;
    return line;
}

static bool handle_line(chat *c, char *line)
{
    char *text = trimmed(line);
    if (*text == 0)
        return true;
    if (*text == '/')
        return command(c, text);
    answer(c, text);
    return true;
}

static void talk_pipe(chat *c)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) >= 0)
        if (!handle_line(c, line))
            break;
    free(line);
}

static void talk_terminal(chat *c)
{
    EditLine *editor = el_init("ashlar", stdin, stderr, stderr);
    History *lines = history_init();
    HistEvent event;
    if (!editor || !lines) {
        talk_pipe(c);
        return;
    }
    history(lines, &event, H_SETSIZE, 1000);
    el_set(editor, EL_PROMPT, prompt_text);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 0);
    el_set(editor, EL_HIST, history, lines);
    fprintf(stderr, "/help lists commands; Ctrl+C stops an answer, Ctrl+D leaves\n");
    for (bool more = true; more;) {
        int length;
        interrupted = 0;
        const char *line = el_gets(editor, &length);
        if (!line) {
            if (length < 0 && interrupted) { /* Ctrl+C at the prompt drops the line; 0 is the end of the input */
                fputc('\n', stderr);
                continue;
            }
            break;
        }
        if (length > 1)
            history(lines, &event, H_ENTER, line);
        char *copy = strdup(line);
        more = copy && handle_line(c, copy);
        free(copy);
    }
    history_end(lines);
    el_end(editor);
}

int verb_chat(int argc, char **argv)
{
    chat c = { .limit = 1 << 20 };
    engine_defaults(&c.e);
    const char *path;
    const option options[] = {
        { "--system", "TEXT", OPTION_STRING, &c.system, 0, 0, "the system message; default: the template's own, if any" },
        { "-n", "N", OPTION_U32, &c.limit, 1, 1 << 30, "tokens at most in an answer" },
        SAMPLING_OPTIONS(c.e),
        ENGINE_OPTIONS(c.e),
    };
    static const usage u = { "chat", "FILE", "Talks with a chat model in its own framing (ChatML or Llama 3).",
                             "In the chat: /help /reset /stats /save FILE /exit. Ctrl+C stops an answer.\n"
                             "When the context is full the chat says so and waits for /reset.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!engine_open(&c.e, &u, path, &code))
        return code;
    /* A template that we do not know is an error before the first word, not after it. */
    ashlar_segment *segments;
    size_t count;
    ashlar_error err;
    if (ashlar_chat_message(c.e.model, "user", "", 1, 1, &segments, &count, &err) != ASHLAR_OK) {
        code = fail_public(&err);
        engine_close(&c.e);
        return code;
    }
    ashlar_segments_free(segments, count);
    char size[32], name[128];
    fprintf(stderr, "%s: %s, loaded in %.3f s\n", plain_text(*c.e.info.name ? c.e.info.name : path, name, sizeof name), bytes_text(c.e.info.file_bytes, size),
            c.e.load_s);
    print_context(&c.e);
    /* The line editor must see its read interrupted; a pipe must not lose a line or text to a signal. */
    bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = terminal ? 0 : SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    if (terminal)
        talk_terminal(&c);
    else
        talk_pipe(&c);
    free(c.log);
    engine_close(&c.e);
    return c.failed && !terminal ? EXIT_FAILED : EXIT_OK;
}
