/* Conversations in files.
 *
 * JSON: {"ashlar_chat": 1, "model": NAME, "params": {"temp": 0.7, ...}, "messages": [{"role", "content"}, ...]}. Reading
 * takes what other programs write too: "messages" alone is enough. The messages are a system message, if there is one,
 * and then the user's and the assistant's in turns; others are refused. Everything is checked before anything changes.
 */
#include <stdlib.h>
#include <string.h>

#include "format/fileio.h"
#include "format/json.h"
#include "runtime/command/chat.h"

#define FILE_LIMIT ((size_t)16 << 20)

static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), e = strlen(end);
    return n >= e && strcmp(path + n - e, end) == 0;
}

/* ---- writing ---- */

static bool add_message(cJSON *list, const char *role, const char *text)
{
    cJSON *m = cJSON_CreateObject();
    if (!m || !cJSON_AddItemToArray(list, m)) {
        cJSON_Delete(m);
        return false;
    }
    return cJSON_AddStringToObject(m, "role", role) && cJSON_AddStringToObject(m, "content", text);
}

static char *as_json(chat *c)
{
    cJSON *root = cJSON_CreateObject(), *params, *messages;
    char *name = utf8_clean(c->e.info.name, strlen(c->e.info.name)), number[32], *text = NULL;
    option o;
    bool fine = root && name && cJSON_AddNumberToObject(root, "ashlar_chat", 1) &&
                cJSON_AddStringToObject(root, "model", name) && (params = cJSON_AddObjectToObject(root, "params")) &&
                (messages = cJSON_AddArrayToObject(root, "messages"));
    for (size_t i = 0; fine && chat_parameter(c, i, &o); i++) {
        chat_parameter_text(&o, number);
        /* As it is written; a double would not hold every seed. */
        fine = o.kind == OPTION_U64 ? cJSON_AddStringToObject(params, o.name, number) != NULL
                                    : cJSON_AddRawToObject(params, o.name, number) != NULL;
    }
    if (fine && c->system)
        fine = add_message(messages, "system", c->system);
    for (size_t i = 0; fine && i < c->count; i++)
        fine = add_message(messages, c->messages[i].assistant ? "assistant" : "user", c->messages[i].text);
    if (fine)
        text = cJSON_Print(root);
    cJSON_Delete(root);
    free(name);
    return text;
}

static char *as_text(const chat *c)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    if (c->system)
        fprintf(out, "system: %s\n\n", c->system);
    for (size_t i = 0; i < c->count; i++)
        fprintf(out, "%s: %s\n\n", c->messages[i].assistant ? "assistant" : "user", c->messages[i].text);
    return fclose(out) == 0 ? text : (free(text), NULL);
}

void chat_save(chat *c, const char *path)
{
    bool again = c->saved && strcmp(c->saved, path) == 0;
    if (!again && ash_path_exists(path)) {
        fail("%s exists already: give another name", path);
        c->failed = true;
        return;
    }
    char *text = ends_in(path, ".txt") || ends_in(path, ".md") ? as_text(c) : as_json(c);
    ash_error err;
    if (!text) {
        fail("out of memory for %s", path);
        c->failed = true;
    } else if (ash_write_whole(path, again, text, strlen(text), &err) != ASH_OK) {
        fail_with(&err);
        c->failed = true;
    } else {
        fprintf(stderr, "wrote %s: %zu messages\n", path, c->count + (c->system != NULL));
        if (!again) {
            free(c->saved);
            c->saved = strdup(path); /* NULL: the next /save to it is refused */
        }
    }
    free(text);
}

/* ---- reading ---- */

/* Fills `to`, which has no messages yet. NULL, or what is wrong. */
static const char *take_messages(const cJSON *list, chat *to)
{
    const cJSON *item;
    bool first = true;
    if (!cJSON_IsArray(list))
        return "\"messages\" must be a list";
    cJSON_ArrayForEach(item, list) {
        const char *role = ash_json_string(item, "role"), *content = ash_json_string(item, "content");
        if (!role || !content)
            return "every message must have a role and a content, both text";
        bool system = strcmp(role, "system") == 0, assistant = strcmp(role, "assistant") == 0;
        if (!system && !assistant && strcmp(role, "user") != 0)
            return "roles other than system, user and assistant cannot be continued here";
        if (system && !first)
            return "a system message must be the first one";
        if (!system && assistant != (to->count % 2 != 0))
            return "the user's and the assistant's messages must take turns, a user's first";
        first = false;
        if (system ? !(to->system = strdup(content)) : !chat_append(to, assistant, content))
            return "out of memory";
    }
    return NULL;
}

/* Sets the parameters of `to` that are there. */
static const char *take_parameters(const cJSON *params, chat *to, char why[OPTION_WHY])
{
    option o;
    char number[40];
    if (params && !cJSON_IsObject(params))
        return "\"params\" must be an object";
    for (size_t i = 0; chat_parameter(to, i, &o); i++) {
        const cJSON *value = ash_json_get(params, o.name);
        if (!value)
            continue;
        snprintf(number, sizeof number, "%.17g", cJSON_IsNumber(value) ? value->valuedouble : 0.0);
        if (!cJSON_IsNumber(value) && !cJSON_IsString(value))
            return "every parameter must be a number";
        if (option_assign(&o, cJSON_IsString(value) ? value->valuestring : number, why))
            return why;
    }
    return NULL;
}

/* Takes over what was read. */
static void become(chat *c, chat *from)
{
    chat_forget(c);
    free(c->messages);
    free(c->system);
    c->messages = from->messages, c->count = from->count, c->room = from->room;
    c->system = from->system;
    c->e.sampling = from->e.sampling, c->limit = from->limit;
}

void chat_load(chat *c, const char *path)
{
    ash_error err;
    cJSON *root;
    if (ash_json_read_file(path, FILE_LIMIT, &root, &err) != ASH_OK) {
        fail_with(&err);
        c->failed = true;
        return;
    }
    chat read = *c; /* borrows what reading does not fill */
    read.messages = NULL, read.count = read.room = read.skipped = 0, read.system = NULL;
    char why[OPTION_WHY], shown[200];
    const char *model = ash_json_string(root, "model");
    const char *wrong = cJSON_IsObject(root) ? take_messages(ash_json_get(root, "messages"), &read)
                                             : "must be an object with \"messages\"";
    if (!wrong)
        wrong = take_parameters(ash_json_get(root, "params"), &read, why);
    if (!wrong && read.system && c->completes)
        wrong = "has a system message, and the model no chat template";
    if (!wrong && read.system && !chat_template_works(&read))
        wrong = "the template refuses its system message";
    if (wrong) {
        fail("%s: %s", path, plain_text(wrong, shown, sizeof shown));
        c->failed = true;
        chat_forget(&read);
        free(read.messages);
        free(read.system);
    } else {
        become(c, &read);
        fprintf(stderr, "%zu messages from %s\n", c->count + (c->system != NULL), path);
        if (model && strcmp(model, c->e.info.name) != 0)
            fprintf(stderr, "they were saved with another model: %s\n", plain_text(model, shown, sizeof shown));
        if (c->count % 2 != 0)
            fprintf(stderr, "the last one has no answer: /regen gives one\n");
    }
    cJSON_Delete(root);
}
