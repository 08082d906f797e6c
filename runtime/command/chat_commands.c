/* The slash commands of ashlar chat: one table for what runs, what /help prints and what TAB completes. */
#include <stdlib.h>
#include <string.h>

#include "runtime/command/chat.h"

/* ---- parameters ---- */

bool chat_parameter(chat *c, size_t i, option *out)
{
    ashlar_sampler_options *o = &c->e.sampling;
    const option all[] = {
        { "temp", NULL, OPTION_FLOAT, &o->temperature, 0, 100, "0 takes the most likely token" },
        { "top-k", NULL, OPTION_U32, &o->top_k, 0, 1 << 30, "only the K most likely tokens; 0: all" },
        { "top-p", NULL, OPTION_FLOAT, &o->top_p, 0, 1, "the most likely tokens that sum to P; 1: all" },
        { "min-p", NULL, OPTION_FLOAT, &o->min_p, 0, 1, "tokens at least P times as likely as the first" },
        { "repeat-penalty", NULL, OPTION_FLOAT, &o->repeat_penalty, 0.1, 10, "divides the logits of recent tokens" },
        { "seed", NULL, OPTION_U64, &o->seed, 0, 18446744073709549568.0, "of the random numbers" },
        { "n", NULL, OPTION_U32, &c->limit, 0, 1 << 30, "tokens at most in an answer; 0: as many as it takes" },
    };
    if (i >= sizeof all / sizeof *all)
        return false;
    *out = all[i];
    return true;
}

const char *chat_parameter_name(size_t i)
{
    static chat nobody;
    option o;
    return chat_parameter(&nobody, i, &o) ? o.name : NULL;
}

const char *chat_parameter_text(const option *o, char out[32])
{
    if (o->kind == OPTION_U32)
        snprintf(out, 32, "%u", *(uint32_t *)o->target);
    else if (o->kind == OPTION_U64)
        snprintf(out, 32, "%llu", (unsigned long long)*(uint64_t *)o->target);
    else
        for (int digits = 6; digits <= 9; digits++) { /* the shortest that gives the same float */
            snprintf(out, 32, "%.*g", digits, (double)*(float *)o->target);
            if (strtof(out, NULL) == *(float *)o->target)
                break;
        }
    return out;
}

static void show_parameters(chat *c)
{
    option o;
    char text[32];
    for (size_t i = 0; chat_parameter(c, i, &o); i++)
        fprintf(stderr, "%-15s %-8s %s\n", o.name, chat_parameter_text(&o, text), o.help);
}

static void set_parameter(chat *c, const char *name, size_t bytes, const char *value)
{
    option o;
    char why[OPTION_WHY], text[32];
    for (size_t i = 0; chat_parameter(c, i, &o); i++) {
        if (strlen(o.name) != bytes || memcmp(o.name, name, bytes) != 0)
            continue;
        if (*value == 0)
            fprintf(stderr, "%s %s\n", o.name, chat_parameter_text(&o, text));
        else if (option_assign(&o, value, why))
            fprintf(stderr, "%s\n", why);
        else
            fprintf(stderr, "%s %s\n", o.name, chat_parameter_text(&o, text));
        return;
    }
    fprintf(stderr, "no parameter %.*s; /params lists them\n", (int)(bytes < 80 ? bytes : 80), name);
}

/* ---- commands; each returns false when the chat shall end ---- */

static bool run_help(chat *c, const char *argument);

static bool run_reset(chat *c, const char *argument)
{
    (void)argument;
    chat_forget(c);
    fprintf(stderr, "forgotten\n");
    return true;
}

static bool run_system(chat *c, const char *argument)
{
    if (c->completes)
        fprintf(stderr, "the model has no chat template, so there is no system message\n");
    else if (*argument == 0)
        fprintf(stderr, "%s\n", c->system ? c->system : "no system message of yours; the template may have its own");
    else if (strcmp(argument, "-") == 0)
        chat_set_system(c, NULL), fprintf(stderr, "the system message is gone\n");
    else if (chat_set_system(c, argument))
        fprintf(stderr, "the system message is another one from here on\n");
    return true;
}

static bool run_regen(chat *c, const char *argument)
{
    (void)argument;
    chat_again(c);
    return true;
}

static bool run_save(chat *c, const char *argument)
{
    if (*argument)
        chat_save(c, argument);
    else
        fprintf(stderr, "/save FILE\n");
    return true;
}

static bool run_load(chat *c, const char *argument)
{
    if (*argument)
        chat_load(c, argument);
    else
        fprintf(stderr, "/load FILE\n");
    return true;
}

static bool run_stats(chat *c, const char *argument)
{
    (void)argument;
    char size[32];
    uint32_t used = ashlar_session_position(c->e.session), context = ashlar_session_context(c->e.session);
    fprintf(stderr, "%zu turns; %zu prompt tokens, %.0f tok/s; %zu kept from the turns before\n", c->turns,
            c->prompt_tokens, c->prompt_s > 0 ? (double)c->prompt_tokens / c->prompt_s : 0, c->kept_tokens);
    fprintf(stderr, "%zu answer tokens, %.1f tok/s\n", c->answer_tokens,
            c->answer_s > 0 ? (double)c->answer_tokens / c->answer_s : 0);
    fprintf(stderr, "%u of %u tokens used, %.0f%%; KV cache %s; %ld MiB at most\n", used, context,
            100.0 * used / context, bytes_text(ashlar_session_kv_bytes(c->e.session), size), peak_rss_mib());
    if (c->skipped)
        fprintf(stderr, "%zu of %zu messages left out of the context\n", c->skipped, c->count);
    return true;
}

static bool run_params(chat *c, const char *argument)
{
    size_t name = strcspn(argument, " \t=");
    if (*argument == 0)
        show_parameters(c);
    else
        set_parameter(c, argument, name, argument + name + strspn(argument + name, " \t="));
    return true;
}

static bool run_exit(chat *c, const char *argument)
{
    (void)c, (void)argument;
    return false;
}

static const struct {
    const char *name, *argument, *help;
    bool (*run)(chat *c, const char *argument);
} commands[] = {
    { "/help", "", "this list", run_help },
    { "/reset", "", "forget the conversation; the system message stays", run_reset },
    { "/system", "[TEXT]", "show the system message or take another; - takes none", run_system },
    { "/regen", "", "answer the last message anew", run_regen },
    { "/save", "FILE", "write the conversation: JSON, or text for .txt and .md", run_save },
    { "/load", "FILE", "go on with a conversation that was saved as JSON", run_load },
    { "/stats", "", "tokens, speed, memory", run_stats },
    { "/params", "[NAME VALUE]", "show the sampling parameters or set one", run_params },
    { "/exit", "", "leave (so do Ctrl+D and a second Ctrl+C)", run_exit },
};
#define COMMANDS (sizeof commands / sizeof *commands)

static bool run_help(chat *c, const char *argument)
{
    (void)c, (void)argument;
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, "%-7s %-12s  %s\n", commands[i].name, commands[i].argument, commands[i].help);
    fprintf(stderr, "Ctrl+C stops an answer. A line that ends in \\ goes on in the next one; \"\"\" opens and ends a text\n"
                    "of several lines; a message that begins with / is written with //.\n");
    return true;
}

const char *chat_command_name(size_t i) { return i < COMMANDS ? commands[i].name : NULL; }

bool chat_command(chat *c, const char *line)
{
    size_t name = strcspn(line, " \t\n");
    const char *argument = line + name + strspn(line + name, " \t\n");
    if (name == 5 && memcmp(line, "/quit", 5) == 0)
        return false;
    for (size_t i = 0; i < COMMANDS; i++)
        if (strlen(commands[i].name) == name && memcmp(commands[i].name, line, name) == 0) {
            if (*commands[i].argument || *argument == 0)
                return commands[i].run(c, argument);
            fprintf(stderr, "%s takes no argument\n", commands[i].name);
            return true;
        }
    char shown[80];
    fprintf(stderr, "no command %s; /help lists them\n", plain_text(line, shown, sizeof shown));
    return true;
}
