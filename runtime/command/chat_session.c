/* The conversation of ashlar chat: from messages to a prompt that fits, and from there to an answer. */
#include "runtime/command/chat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPLETION_TOKENS 256 /* at most in an answer of a model that only completes: nothing tells it to stop */

/* ---- messages ---- */

bool chat_append(chat *c, bool assistant, const char *text)
{
    if (c->count == c->room) {
        size_t room = 2 * c->room + 16;
        chat_message *bigger = realloc(c->messages, room * sizeof *bigger);
        if (!bigger)
            return false;
        c->messages = bigger, c->room = room;
    }
    char *copy = strdup(text);
    if (copy)
        c->messages[c->count++] = (chat_message){ .assistant = assistant, .text = copy };
    return copy != NULL;
}

static void drop_last(chat *c)
{
    if (c->count)
        free(c->messages[--c->count].text);
}

void chat_forget(chat *c)
{
    while (c->count)
        drop_last(c);
    c->skipped = 0;
}

void chat_free(chat *c)
{
    chat_forget(c);
    free(c->messages);
    free(c->system);
    free(c->template_text);
    free(c->saved);
}

/* ---- prompts ---- */

typedef struct prompt {
    int32_t *ids; /* ashlar_free */
    size_t count;
} prompt;

static int framed_tokens(const chat *c, const ashlar_message *messages, size_t count, prompt *out, ashlar_error *err)
{
    ashlar_chat_options options = { .template_text = c->template_text, .variables_json = c->variables, .reply = 1 };
    return ashlar_chat_tokens(c->e.model, messages, count, &options, &out->ids, &out->count, err);
}

/* Without a template: the messages one after the other, a line break before what the user adds to an answer. */
static int plain_tokens(const chat *c, prompt *out, ashlar_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *all = open_memstream(&text, &bytes);
    for (size_t i = c->skipped; all && i < c->count; i++) {
        if (!c->messages[i].assistant && i > c->skipped)
            fputc('\n', all);
        fputs(c->messages[i].text, all);
    }
    int status = ASHLAR_ERROR_MEMORY;
    if (all && fclose(all) == 0)
        status = ashlar_tokenize(c->e.model, text, bytes, ASHLAR_TOKENIZE_BOS, &out->ids, &out->count, err);
    else
        *err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory for the conversation" };
    free(text);
    return status;
}

static int conversation_tokens(const chat *c, prompt *out, ashlar_error *err)
{
    if (c->completes)
        return plain_tokens(c, out, err);
    ashlar_message *messages = malloc((c->count + 1) * sizeof *messages);
    if (!messages) {
        *err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory for the conversation" };
        return ASHLAR_ERROR_MEMORY;
    }
    size_t n = 0;
    if (c->system)
        messages[n++] = (ashlar_message){ .role = "system", .content = c->system };
    for (size_t i = c->skipped; i < c->count; i++)
        messages[n++] = (ashlar_message){ .role = c->messages[i].assistant ? "assistant" : "user",
                                          .content = c->messages[i].text };
    int status = framed_tokens(c, messages, n, out, err);
    free(messages);
    return status;
}

bool chat_template_works(const chat *c)
{
    ashlar_message messages[2] = { { .role = "system", .content = c->system }, { .role = "user", .content = "Hello" } };
    prompt p = { 0 };
    ashlar_error err;
    int status = framed_tokens(c, c->system ? messages : messages + 1, c->system ? 2 : 1, &p, &err);
    if (status != ASHLAR_OK)
        fail_public(&err);
    ashlar_free(p.ids);
    return status == ASHLAR_OK;
}

bool chat_set_system(chat *c, const char *text)
{
    char *before = c->system, *copy = text && *text ? strdup(text) : NULL;
    c->system = copy;
    if (copy && !chat_template_works(c)) {
        free(copy);
        c->system = before;
        return false;
    }
    free(before);
    return true;
}

/* Leaves the oldest turn out; false when there is none before the last user's message. */
static bool skip_turn(chat *c)
{
    for (size_t i = c->skipped + 1; i < c->count; i++)
        if (!c->messages[i].assistant) {
            c->skipped = i;
            return true;
        }
    return false;
}

static void say_full(const chat *c, size_t tokens)
{
    fprintf(stderr, "the context of %u tokens is full", ashlar_session_context(c->e.session));
    if (tokens)
        fprintf(stderr, ": the conversation has %zu", tokens);
    fprintf(stderr, "; /reset begins anew, --ctx N gives more%s\n",
            c->shift ? "" : ", --context-shift leaves out the oldest turns");
}

static bool append_ids(prompt *p, const int32_t *more, size_t count)
{
    if (count == 0)
        return true;
    int32_t *joined = malloc((p->count + count) * sizeof *joined);
    if (!joined)
        return false;
    memcpy(joined, p->ids, p->count * sizeof *joined);
    memcpy(joined + p->count, more, count * sizeof *joined);
    ashlar_free(p->ids);
    *p = (prompt){ joined, p->count + count };
    return true;
}

/* The conversation's tokens and then `more`. With --context-shift turns are left out until a quarter of the context, or
 * what an answer may have, is free: so the next shift is some answers away. False: what is wrong has been printed. */
static bool make_prompt(chat *c, const int32_t *more, size_t more_count, prompt *out)
{
    uint32_t context = ashlar_session_context(c->e.session), spare = 0;
    if (c->shift)
        spare = c->limit && c->limit < context / 4 ? c->limit : context / 4;
    size_t before = c->skipped;
    for (;;) {
        ashlar_error err;
        *out = (prompt){ 0 };
        int status = conversation_tokens(c, out, &err);
        if (status == ASHLAR_OK && !append_ids(out, more, more_count)) {
            err = (ashlar_error){ ASHLAR_ERROR_MEMORY, "out of memory for the conversation" };
            status = err.status;
        }
        if (status == ASHLAR_OK && out->count + spare <= context)
            return true;
        if (status != ASHLAR_OK) {
            fail_public(&err);
            break;
        }
        if (!c->shift || !skip_turn(c)) {
            if (out->count <= context)
                return true;
            say_full(c, out->count);
            break;
        }
        ashlar_free(out->ids);
    }
    ashlar_free(out->ids);
    *out = (prompt){ 0 };
    c->skipped = before;
    return false;
}

static void print_plain(const char *text, size_t bytes, bool terminal)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char b = (unsigned char)text[i];
        putc(terminal && (b < 0x20 || b == 0x7f) && b != '\n' && b != '\t' ? ' ' : b, stderr);
    }
}

/* What is fed, as text; special tokens stand out on a terminal. */
static void print_prompt(const chat *c, const prompt *p)
{
    bool terminal = isatty(STDERR_FILENO);
    ashlar_detokenizer *detokenizer;
    ashlar_error err;
    const char *text;
    size_t bytes;
    if (ashlar_detokenizer_new(c->e.model, ASHLAR_TOKENIZE_SPECIAL, &detokenizer, &err) != ASHLAR_OK)
        return;
    for (size_t i = 0; i < p->count; i++) {
        char *without;
        size_t ordinary;
        if (ashlar_detokenize(c->e.model, &p->ids[i], 1, ASHLAR_DETOKENIZE_CONTINUE, &without, &ordinary, &err))
            break;
        ashlar_free(without);
        if (ashlar_detokenizer_push(detokenizer, p->ids[i], &text, &bytes, &err) != ASHLAR_OK)
            break;
        fputs(terminal && ordinary == 0 ? "\033[7m" : "", stderr);
        print_plain(text, bytes, terminal);
        fputs(terminal && ordinary == 0 ? "\033[0m" : "", stderr);
    }
    if (ashlar_detokenizer_finish(detokenizer, &text, &bytes, &err) == ASHLAR_OK)
        print_plain(text, bytes, terminal);
    ashlar_detokenizer_free(detokenizer);
    fprintf(stderr, "\n[prompt of %zu tokens]\n", p->count);
}

/* ---- answers ---- */

/* Each answer has a sampler of its own: other random numbers, the parameters of now, and the prompt's end to look back
 * at. The first one's seed is the seed itself. */
static bool new_sampler(chat *c, const prompt *p)
{
    ashlar_sampler_options o = c->e.sampling;
    ashlar_error err;
    ashlar_sampler *fresh;
    o.seed += c->answers;
    if (ashlar_sampler_new(&o, c->e.info.vocab, &fresh, &err) != ASHLAR_OK) {
        fail_public(&err);
        return false;
    }
    c->answers++;
    ashlar_sampler_free(c->e.sampler);
    c->e.sampler = fresh;
    for (size_t i = p->count > o.repeat_window ? p->count - o.repeat_window : 0; i < p->count; i++)
        ashlar_sampler_accept(fresh, p->ids[i]);
    return true;
}

/* Feeds what the session has not got yet. */
static int feed(chat *c, const prompt *p, size_t *kept)
{
    ashlar_error err;
    int status = ashlar_session_prompt(c->e.session, p->ids, p->count, kept, &err);
    if (status != ASHLAR_OK && status != ASHLAR_ERROR_CANCELLED)
        fail_public(&err);
    return status;
}

/* Goes on after the context's end with older turns left out. False when nothing more can be done. */
static bool shift_within(chat *c, const generated *g)
{
    prompt p;
    size_t before = c->skipped;
    if (!c->shift || !make_prompt(c, g->ids, g->count, &p))
        return false;
    bool fine = c->skipped != before && p.count < ashlar_session_context(c->e.session) && feed(c, &p, NULL) == ASHLAR_OK;
    ashlar_free(p.ids);
    return fine;
}

static void keep_answer(chat *c, const text_stream *stream)
{
    char *text = utf8_clean(stream->kept ? stream->kept : "", stream->kept_bytes); /* JSON and templates want UTF-8 */
    if (!text || !chat_append(c, true, text)) {
        fail("out of memory: the answer is not kept");
        drop_last(c);
    }
    free(text);
}

typedef struct figures {
    size_t prompt, kept;
    double prompt_s;
} figures;

static void print_figures(chat *c, const generated *g, const figures *f)
{
    uint32_t used = ashlar_session_position(c->e.session), context = ashlar_session_context(c->e.session);
    size_t fed = f->prompt - f->kept;
    fprintf(stderr, "[%zu tokens in %.2f s, %.0f tok/s, %zu kept; %zu out, %.1f tok/s; %u of %u tokens used, %.0f%%]\n",
            fed, f->prompt_s, (double)fed / f->prompt_s, f->kept, g->count, g->fed ? (double)g->fed / g->seconds : 0,
            used, context, 100.0 * used / context);
    c->turns++;
    c->prompt_tokens += fed, c->kept_tokens += f->kept, c->answer_tokens += g->count;
    c->prompt_s += f->prompt_s, c->answer_s += g->seconds;
}

/* Answers the last message, a user's. False when there was no answer at all, not even the beginning of one. */
static bool answer(chat *c)
{
    prompt p;
    figures f = { 0 };
    size_t skipped = c->skipped;
    c->stopped = false;
    interrupted = 0;
    if (!make_prompt(c, NULL, 0, &p)) {
        c->failed = true;
        return false;
    }
    if (c->show_prompt)
        print_prompt(c, &p);
    double started = seconds_now();
    int status = new_sampler(c, &p) ? feed(c, &p, &f.kept) : ASHLAR_ERROR_MEMORY;
    f.prompt = p.count, f.prompt_s = seconds_now() - started;
    ashlar_free(p.ids);
    if (status != ASHLAR_OK) {
        c->skipped = skipped;
        c->stopped = status == ASHLAR_ERROR_CANCELLED;
        c->failed |= !c->stopped;
        if (c->stopped)
            fprintf(stderr, "stopped before the answer began: the message is not kept\n");
        return false;
    }
    uint32_t limit = c->limit ? c->limit : c->completes ? COMPLETION_TOKENS : UINT32_MAX;
    text_stream stream = { .out = stdout, .plain = isatty(STDOUT_FILENO), .continues = c->completes };
    generated g = { 0 };
    ashlar_error err;
    generate_end end;
    do
        end = generate(&c->e, limit, &stream, &g, &err);
    while (end == END_CONTEXT && shift_within(c, &g));
    text_stream_end(&stream);
    putchar('\n');
    fflush(stdout);
    keep_answer(c, &stream);
    c->stopped = interrupted;
    if (end == END_ERROR)
        fail_public(&err), c->failed = true;
    else if (end == END_CONTEXT && !c->stopped)
        say_full(c, 0);
    if (c->skipped != skipped)
        fprintf(stderr, "[the oldest %zu messages are left out: the context is full]\n", c->skipped);
    print_figures(c, &g, &f);
    free(g.ids);
    free(stream.kept);
    return true;
}

void chat_say(chat *c, const char *text)
{
    if (!chat_append(c, false, text)) {
        fail("out of memory for the message");
        c->failed = true;
    } else if (!answer(c)) {
        drop_last(c);
    }
}

void chat_again(chat *c)
{
    chat_message last = { 0 };
    if (c->count == 0) {
        fprintf(stderr, "there is no message to answer\n");
        return;
    }
    if (c->messages[c->count - 1].assistant)
        last = c->messages[--c->count];
    if (answer(c) || !last.text)
        free(last.text);
    else
        c->messages[c->count++] = last; /* the old answer stays */
}
