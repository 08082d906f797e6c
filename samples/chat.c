/* A conversation, one line a message: chat MODEL.ashlar [SYSTEM]. Uses the public header alone. Each turn renders all
 * that was said; ashlar_session_prompt feeds what the session has not seen. Ctrl+C stops the answer. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/ashlar.h"

static ashlar_session *session;

static void interrupted(int signal_number)
{
    (void)signal_number;
    ashlar_session_stop(session);
}

typedef struct conversation {
    ashlar_message *messages;
    size_t count;
} conversation;

/* `text` is taken over. */
static void add(conversation *c, const char *role, char *text)
{
    ashlar_message *more = realloc(c->messages, (c->count + 1) * sizeof *more);
    if (!more || !text) {
        fputs("chat: out of memory\n", stderr);
        exit(1);
    }
    c->messages = more;
    c->messages[c->count++] = (ashlar_message){ .role = role, .content = text };
}

/* Shows a piece of the answer and appends it to *text; NULL when there is no memory. */
static void show(const char *piece, size_t bytes, char **text, size_t *kept)
{
    char *longer = *text ? realloc(*text, *kept + bytes + 1) : NULL;
    fwrite(piece, 1, bytes, stdout);
    fflush(stdout);
    if (!longer) {
        free(*text);
    } else {
        memcpy(longer + *kept, piece, bytes);
        longer[*kept += bytes] = 0;
    }
    *text = longer;
}

/* Streams one answer and adds it to the conversation. */
static int answer(ashlar_model *model, ashlar_sampler *sampler, conversation *c, ashlar_error *err)
{
    int32_t *ids, id;
    size_t count, bytes, kept = 0;
    char *text = calloc(1, 1);
    const char *piece;
    ashlar_detokenizer *detokenizer = NULL;
    int status = ashlar_chat_tokens(model, c->messages, c->count, NULL, &ids, &count, err);
    if (status == ASHLAR_OK)
        status = ashlar_session_prompt(session, ids, count, NULL, err);
    ashlar_free(ids);
    if (status == ASHLAR_OK)
        status = ashlar_detokenizer_new(model, 0, &detokenizer, err);
    while (status == ASHLAR_OK) {
        id = ashlar_sampler_next(sampler, ashlar_session_logits(session, 0));
        if (ashlar_is_stop(model, id))
            break;
        status = ashlar_detokenizer_push(detokenizer, id, &piece, &bytes, err);
        if (status != ASHLAR_OK)
            break;
        show(piece, bytes, &text, &kept);
        ashlar_sampler_accept(sampler, id);
        status = ashlar_session_feed(session, &id, 1, 0, err);
    }
    ashlar_error ignored;
    if (detokenizer && ashlar_detokenizer_finish(detokenizer, &piece, &bytes, &ignored) == ASHLAR_OK)
        show(piece, bytes, &text, &kept);
    ashlar_detokenizer_free(detokenizer);
    add(c, "assistant", text);
    return status == ASHLAR_ERROR_CANCELLED ? ASHLAR_OK : status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: chat MODEL.ashlar [SYSTEM]\n");
        return 2;
    }
    ashlar_error err = { 0 };
    ashlar_model *model = NULL;
    ashlar_sampler *sampler = NULL;
    ashlar_model_info info;
    conversation c = { 0 };
    char *line = NULL;
    size_t room = 0;
    int status = ashlar_model_load(argv[1], &model, &err);
    if (status == ASHLAR_OK) {
        ashlar_model_describe(model, &info);
        status = ashlar_session_new(model, NULL, &session, &err);
    }
    if (status == ASHLAR_OK)
        status = ashlar_sampler_new(NULL, info.vocab, &sampler, &err);
    if (argc > 2)
        add(&c, "system", strdup(argv[2]));
    if (status == ASHLAR_OK)
        signal(SIGINT, interrupted);
    while (status == ASHLAR_OK && fputs("> ", stdout) != EOF && fflush(stdout) == 0) {
        if (getline(&line, &room, stdin) < 0)
            break;
        line[strcspn(line, "\n")] = 0;
        add(&c, "user", strdup(line));
        status = answer(model, sampler, &c, &err);
        putchar('\n');
    }
    if (status != ASHLAR_OK)
        fprintf(stderr, "chat: %s\n", err.text);
    for (size_t i = 0; i < c.count; i++)
        free((char *)c.messages[i].content);
    free(c.messages);
    free(line);
    ashlar_sampler_free(sampler);
    ashlar_session_free(session);
    ashlar_model_free(model);
    return status != ASHLAR_OK;
}
