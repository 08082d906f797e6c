/* A conversation, one line a message: chat MODEL.ashlar [SYSTEM]. Uses the public header alone. The KV cache keeps what
 * was said: each turn feeds only its own tokens. Ctrl+C stops the answer. */
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

static int feed_message(ashlar_model *model, const char *role, const char *text, int first, int reply,
                        ashlar_error *err)
{
    int32_t *ids;
    size_t count;
    int status = ashlar_chat_tokens(model, role, text, first, reply, &ids, &count, err);
    if (status == ASHLAR_OK)
        status = ashlar_session_feed(session, ids, count, 0, err);
    ashlar_free(ids);
    return status;
}

/* Streams one answer. However it ends, its end-of-turn token is fed, so that the next message can follow. */
static int stream(ashlar_model *model, ashlar_sampler *sampler, ashlar_detokenizer *detokenizer, ashlar_error *err)
{
    for (;;) {
        const float *logits = ashlar_session_logits(session, 0);
        int32_t id = ashlar_sampler_next(sampler, logits);
        int stop = ashlar_is_stop(model, id);
        if (!stop) {
            const char *text;
            size_t bytes;
            int status = ashlar_detokenizer_push(detokenizer, id, &text, &bytes, err);
            if (status != ASHLAR_OK)
                return status;
            fwrite(text, 1, bytes, stdout);
            fflush(stdout);
            ashlar_sampler_accept(sampler, id);
        }
        int status = ashlar_session_feed(session, &id, 1, 0, err);
        if (status == ASHLAR_ERROR_CANCELLED)
            return feed_message(model, "assistant", NULL, 0, 0, err);
        if (status != ASHLAR_OK || stop)
            return status;
    }
}

static int answer(ashlar_model *model, ashlar_sampler *sampler, ashlar_error *err)
{
    ashlar_detokenizer *detokenizer;
    int status = ashlar_detokenizer_new(model, 0, &detokenizer, err);
    if (status == ASHLAR_OK)
        status = stream(model, sampler, detokenizer, err);
    ashlar_detokenizer_free(detokenizer);
    return status;
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
    char *line = NULL;
    size_t room = 0;
    int first = 1, status = ashlar_model_load(argv[1], &model, &err);
    if (status == ASHLAR_OK) {
        ashlar_model_describe(model, &info);
        status = ashlar_session_new(model, NULL, &session, &err);
    }
    if (status == ASHLAR_OK)
        status = ashlar_sampler_new(NULL, info.vocab, &sampler, &err);
    if (status == ASHLAR_OK && argc > 2) {
        status = feed_message(model, "system", argv[2], 1, 0, &err);
        first = 0;
    }
    if (status == ASHLAR_OK)
        signal(SIGINT, interrupted);
    while (status == ASHLAR_OK && fputs("> ", stdout) != EOF && fflush(stdout) == 0) {
        ssize_t bytes = getline(&line, &room, stdin);
        if (bytes < 0)
            break;
        line[strcspn(line, "\n")] = 0;
        status = feed_message(model, "user", line, first, 1, &err);
        first = 0;
        if (status == ASHLAR_OK)
            status = answer(model, sampler, &err);
        putchar('\n');
    }
    if (status != ASHLAR_OK)
        fprintf(stderr, "chat: %s\n", err.text);
    free(line);
    ashlar_sampler_free(sampler);
    ashlar_session_free(session);
    ashlar_model_free(model);
    return status != ASHLAR_OK;
}
