/* ashlar run: complete a prompt. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/command/engine.h"

static cJSON *ids_json(const int32_t *ids, size_t count)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateNumber(ids[i]));
    return array;
}

static void print_json(const engine *e, const int32_t *prompt, size_t prompt_count, const generated *g, const text_stream *s,
                       double prompt_s)
{
    cJSON *root = cJSON_CreateObject();
    char *text = utf8_clean(s->kept ? s->kept : "", s->kept_bytes);
    cJSON_AddItemToObject(root, "prompt_ids", ids_json(prompt, prompt_count));
    cJSON_AddItemToObject(root, "ids", ids_json(g->ids, g->count));
    cJSON_AddStringToObject(root, "text", text ? text : "");
    cJSON_AddNumberToObject(root, "load_s", e->load_s);
    cJSON_AddNumberToObject(root, "pp_tok_s", (double)prompt_count / prompt_s);
    cJSON_AddNumberToObject(root, "tg_tok_s", g->fed ? (double)g->fed / g->seconds : 0);
    char *line = cJSON_PrintUnformatted(root);
    puts(line ? line : "{}");
    free(line);
    free(text);
    cJSON_Delete(root);
}

static void print_ids(const char *label, const int32_t *ids, size_t count)
{
    fprintf(stderr, "%s", label);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " %d", ids[i]);
    fputc('\n', stderr);
}

static int complete(engine *e, const int32_t *prompt, size_t prompt_count, uint32_t limit, bool ids, bool json)
{
    ashlar_error err;
    generated g = { 0 };
    text_stream stream = { .out = json ? NULL : stdout, .continues = true };
    double started = seconds_now();
    if (ashlar_session_feed(e->session, prompt, prompt_count, 0, &err) != ASHLAR_OK)
        return fail_public(&err);
    double prompt_s = seconds_now() - started;
    for (size_t i = 0; i < prompt_count; i++)
        ashlar_sampler_accept(e->sampler, prompt[i]);
    generate_end end = generate(e, limit, &stream, &g, &err);
    text_stream_end(&stream);
    int code = EXIT_OK;
    if (end == END_ERROR) {
        code = fail_public(&err);
    } else if (json) {
        print_json(e, prompt, prompt_count, &g, &stream, prompt_s);
    } else {
        putchar('\n');
        fflush(stdout);
        if (ids)
            print_ids("prompt ids:", prompt, prompt_count), print_ids("ids:", g.ids, g.count);
        if (end == END_CONTEXT)
            fprintf(stderr, "the context of %u tokens is full: stopped; --ctx N takes more\n", ashlar_session_context(e->session));
        fprintf(stderr, "load %.3f s; prompt %zu tokens, %.0f tok/s; %zu tokens, %.1f tok/s\n", e->load_s, prompt_count,
                (double)prompt_count / prompt_s, g.count, g.fed ? (double)g.fed / g.seconds : 0);
    }
    free(g.ids);
    free(stream.kept);
    return code;
}

int verb_run(int argc, char **argv)
{
    engine e;
    engine_defaults(&e);
    engine_may_use_cards(&e);
    const char *path, *prompt = NULL;
    uint32_t limit = 256;
    bool ids = false, json = false, special = false;
    const option options[] = {
        { "-p", "TEXT", OPTION_STRING, &prompt, 0, 0, "the text to go on from" },
        { "-n", "N", OPTION_U32, &limit, 1, 1 << 30, "tokens at most" },
        SAMPLING_OPTIONS(e),
        ENGINE_OPTIONS(e),
        DEVICE_OPTIONS(e),
        { "--special", NULL, OPTION_FLAG, &special, 0, 0, "special tokens spelled in TEXT are parsed" },
        { "--ids", NULL, OPTION_FLAG, &ids, 0, 0, "print token ids too" },
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object: prompt_ids, ids, text, load_s, pp_tok_s, tg_tok_s" },
    };
    static const usage u = { "run", "FILE -p TEXT", "Completes a prompt; the text goes to stdout, speed to stderr.",
                             "Generation ends at a stop token, after N tokens, or when the context is full.", 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    if (!prompt)
        return usage_error(&u, "-p TEXT is missing");
    if (!engine_open(&e, &u, path, &code))
        return code;
    int32_t *prompt_ids = NULL;
    size_t prompt_count = 0;
    ashlar_error err;
    if (ashlar_tokenize(e.model, prompt, strlen(prompt), ASHLAR_TOKENIZE_BOS | (special ? ASHLAR_TOKENIZE_SPECIAL : 0),
                        &prompt_ids, &prompt_count, &err) != ASHLAR_OK) {
        code = fail_public(&err);
    } else if (prompt_count == 0) {
        code = fail("the prompt is empty and this model has no token to begin with: give -p some text");
    } else if (prompt_count > ashlar_session_context(e.session)) {
        code = fail("%s: the prompt has %zu tokens and the context %u: give a larger --ctx or less text", path, prompt_count,
                    ashlar_session_context(e.session));
    } else {
        e.load_s = seconds_since_start();
        if (!json)
            print_context(&e);
        code = complete(&e, prompt_ids, prompt_count, limit, ids, json);
    }
    ashlar_free(prompt_ids);
    engine_close(&e);
    return code;
}
