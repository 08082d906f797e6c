/* Continues a prompt: complete MODEL.ashlar PROMPT [TOKENS]. Uses the public header alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/ashlar.h"

static int failed(const ashlar_error *err)
{
    fprintf(stderr, "complete: %s\n", err->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: complete MODEL.ashlar PROMPT [TOKENS]\n");
        return 2;
    }
    long left = argc > 3 ? strtol(argv[3], NULL, 10) : 64;
    ashlar_error err;
    ashlar_model *model = NULL;
    ashlar_session *session = NULL;
    ashlar_sampler *sampler = NULL;
    ashlar_detokenizer *detokenizer = NULL;
    int32_t *ids = NULL;
    size_t count;
    ashlar_model_info info;
    int rc = 1;

    if (ashlar_model_load(argv[1], &model, &err) != ASHLAR_OK)
        return failed(&err);
    ashlar_model_describe(model, &info);
    if (ashlar_session_new(model, NULL, &session, &err) != ASHLAR_OK ||
        ashlar_sampler_new(NULL, info.vocab, &sampler, &err) != ASHLAR_OK ||
        ashlar_detokenizer_new(model, ASHLAR_DETOKENIZE_CONTINUE, &detokenizer, &err) != ASHLAR_OK ||
        ashlar_tokenize(model, argv[2], strlen(argv[2]), ASHLAR_TOKENIZE_BOS, &ids, &count, &err) != ASHLAR_OK ||
        ashlar_session_feed(session, ids, count, 0, &err) != ASHLAR_OK) {
        failed(&err);
        goto end;
    }
    fputs(argv[2], stdout);
    while (left-- > 0) {
        int32_t id = ashlar_sampler_next(sampler, ashlar_session_logits(session, 0));
        if (ashlar_is_stop(model, id))
            break;
        const char *text;
        size_t bytes;
        if (ashlar_detokenizer_push(detokenizer, id, &text, &bytes, &err) != ASHLAR_OK) {
            failed(&err);
            goto end;
        }
        fwrite(text, 1, bytes, stdout);
        fflush(stdout);
        ashlar_sampler_accept(sampler, id);
        if (left > 0 && ashlar_session_feed(session, &id, 1, 0, &err) != ASHLAR_OK) {
            failed(&err);
            goto end;
        }
    }
    putchar('\n');
    rc = 0;
end:
    ashlar_free(ids);
    ashlar_detokenizer_free(detokenizer);
    ashlar_sampler_free(sampler);
    ashlar_session_free(session);
    ashlar_model_free(model);
    return rc;
}
