/* ashlar chat: talk with a model through its own chat template; without one, let it complete text. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/fileio.h"
#include "runtime/command/chat.h"

#define TEMPLATE_LIMIT ((size_t)1 << 20)

/* Ctrl+C stops the answer, not the program. */
static ashlar_session *session;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    ashlar_session_stop(session);
}

static void talk(chat *c, bool terminal, bool history)
{
    chat_input *in = chat_input_open(terminal, history);
    char *text;
    bool verbatim;
    if (!in) {
        fail("out of memory");
        c->failed = true;
        return;
    }
    while ((text = chat_input_next(in, c->stopped, &verbatim))) {
        c->stopped = false;
        bool slash = !verbatim && *text == '/', more = true;
        if (slash && text[1] != '/')
            more = chat_command(c, text);
        else
            chat_say(c, text + slash);
        free(text);
        if (!more)
            break;
    }
    chat_input_close(in);
}

/* What the options say about the conversation. Everything that cannot work is an error before the first word. */
static bool prepare(chat *c, const char *path, const char *template_path, const char *system)
{
    ash_error err;
    size_t size = 0;
    if (template_path) {
        ash_status status = ash_read_whole(template_path, TEMPLATE_LIMIT, &c->template_text, &size, &err);
        if (status == ASH_OK && strlen(c->template_text) != size)
            status = ash_fail(&err, ASH_E_FORMAT, "%s: has a NUL inside", template_path);
        if (status != ASH_OK) {
            fail_with(&err);
            return false;
        }
    }
    c->completes = !c->template_text && !c->e.info.has_chat_template;
    if (!c->completes) {
        if (system && *system && !(c->system = strdup(system))) {
            fail("out of memory for the system message");
            return false;
        }
        return chat_template_works(c);
    }
    if (system || c->variables) {
        fail("%s has no chat template to take %s: give one with --template FILE, or leave it out", path,
             system ? "a system message" : "variables");
        return false;
    }
    if (!c->e.info.has_tokenizer) {
        fail("%s holds no tokenizer: convert again from a source that has one", path);
        return false;
    }
    return true;
}

int verb_chat(int argc, char **argv)
{
    chat c = { 0 };
    engine_defaults(&c.e);
    engine_may_use_cards(&c.e);
    const char *path, *system = NULL, *template_path = NULL;
    bool no_history = false;
    const option options[] = {
        { "--system", "TEXT", OPTION_STRING, &system, 0, 0, "the system message; default: the template's own, if any" },
        { "-n", "N", OPTION_U32, &c.limit, 1, 1 << 30, "tokens at most in an answer" },
        { "--template", "FILE", OPTION_STRING, &template_path, 0, 0, "a chat template (Jinja) in place of the model's" },
        { "--template-vars", "JSON", OPTION_STRING, &c.variables, 0, 0, "an object of variables for the template" },
        { "--show-prompt", NULL, OPTION_FLAG, &c.show_prompt, 0, 0, "print each prompt, as it is fed, to stderr" },
        { "--context-shift", NULL, OPTION_FLAG, &c.shift, 0, 0, "leave out the oldest turns when the context is full" },
        { "--no-history", NULL, OPTION_FLAG, &no_history, 0, 0, "neither read nor write the file of typed lines" },
        SAMPLING_OPTIONS(c.e),
        ENGINE_OPTIONS(c.e),
        DEVICE_OPTIONS(c.e),
    };
    static const usage u = { "chat", "FILE", "Talks with a model through its chat template; without one it completes text.",
                             "In the chat: /help /reset /system /regen /save /load /stats /params /exit.\n"
                             "Ctrl+C stops an answer; another one at the prompt leaves, and so does Ctrl+D.\n"
                             "When the context is full the chat says so and waits for /reset, or with --context-shift\n"
                             "goes on without the oldest turns. Typed lines are kept in\n"
                             "$XDG_STATE_HOME/ashlar/history.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!engine_open(&c.e, &u, path, &code))
        return code;
    if (!prepare(&c, path, template_path, system)) {
        chat_free(&c);
        engine_close(&c.e);
        return EXIT_FAILED;
    }
    char size[32], name[128];
    fprintf(stderr, "%s: %s, loaded in %.3f s\n", plain_text(*c.e.info.name ? c.e.info.name : path, name, sizeof name),
            bytes_text(c.e.info.file_bytes, size), c.e.load_s);
    print_context(&c.e);
    if (c.completes)
        fprintf(stderr, "the model has no chat template: it completes what you write\n");
    session = c.e.session;
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (terminal)
        fprintf(stderr, "/help lists commands; Ctrl+C stops an answer, Ctrl+D leaves\n");
    talk(&c, terminal, !no_history);
    signal(SIGINT, SIG_DFL);
    chat_free(&c);
    engine_close(&c.e);
    return c.failed && !terminal ? EXIT_FAILED : EXIT_OK;
}
