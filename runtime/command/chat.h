/* ashlar chat, its parts: the conversation (chat_session.c), slash commands (chat_commands.c), files (chat_file.c),
 * messages from lines (chat_input.c) that are typed (chat_editor.c, chat_complete.c) or piped, and the verb (cmd_chat.c).
 *
 * Every turn renders the whole conversation and lets the session keep what it has of it already, so a command may
 * change anything in the conversation. Answers go to stdout, everything else to stderr.
 */
#ifndef ASHLAR_COMMAND_CHAT_H
#define ASHLAR_COMMAND_CHAT_H

#include "runtime/command/engine.h"

typedef struct chat_message {
    bool assistant; /* otherwise the user's */
    char *text;
} chat_message;

typedef struct chat {
    engine e;
    /* options */
    uint32_t limit; /* tokens at most in an answer; 0: none said */
    bool shift, show_prompt;
    const char *variables;   /* JSON for the template, or NULL */
    char *template_text;     /* of --template, or NULL: the model's own */
    bool completes;          /* no template: the conversation is one text that goes on */
    /* the conversation */
    char *system;            /* or NULL */
    chat_message *messages;  /* in turns, a user's first; all but the last pair are complete */
    size_t count, room;
    size_t skipped;          /* the first ones that no longer fit (--context-shift); a whole number of turns */
    uint64_t answers;        /* begun so far: each has random numbers of its own */
    char *saved;             /* what /save wrote last: it may be replaced */
    /* how the last answer went */
    bool stopped;            /* by Ctrl+C */
    bool failed;             /* a message could not be answered, and not because of Ctrl+C */
    /* figures */
    size_t turns, prompt_tokens, kept_tokens, answer_tokens;
    double prompt_s, answer_s;
} chat;

/* ---- chat_session.c ---- */

/* Sends a user's message and streams the answer. What cannot be answered is not kept. */
void chat_say(chat *c, const char *text);
/* Answers the last user's message anew. */
void chat_again(chat *c);
/* Forgets all messages; the system message stays. */
void chat_forget(chat *c);
/* Takes a new system message (NULL or "": none). False when the template refuses it: nothing has changed then. */
bool chat_set_system(chat *c, const char *text);
/* Appends a message; false: out of memory. */
bool chat_append(chat *c, bool assistant, const char *text);
/* Renders a first message with the template: false when that fails, and the error has been printed. */
bool chat_template_works(const chat *c);
void chat_free(chat *c);

/* ---- chat_commands.c ---- */

/* A line that begins with one slash. False when the chat shall end. */
bool chat_command(chat *c, const char *line);
/* The i-th command's name with its slash, or parameter's name; NULL behind the last. For completion. */
const char *chat_command_name(size_t i);
const char *chat_parameter_name(size_t i);

/* The i-th of what /params shows; false behind the last. */
bool chat_parameter(chat *c, size_t i, option *out);
/* A parameter's value as /params takes it. */
const char *chat_parameter_text(const option *o, char out[32]);

/* ---- chat_file.c ---- */

/* JSON, or plain text where the name ends in .txt or .md. They print what they did or why they could not. */
void chat_save(chat *c, const char *path);
void chat_load(chat *c, const char *path);

/* ---- chat_input.c ---- */

typedef struct chat_input chat_input;
/* Lines from stdin: with an editor when stdin and stderr are a terminal. NULL: out of memory. */
chat_input *chat_input_open(bool terminal, bool history);
/* The next message or command, lines put together: a line that ends in a backslash goes on in the next one, and three
 * double quotes open a text that three double quotes end. *verbatim: it was such a text, so no command. `after_stop`:
 * Ctrl+C stopped the last answer, so that another one leaves. NULL at the end; the caller frees. */
char *chat_input_next(chat_input *in, bool after_stop, bool *verbatim);
void chat_input_close(chat_input *in);

#endif
