/* The public calls on conversations: messages through the model's template, and the text that comes out as token ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/json.h"
#include "runtime/api.h"
#include "runtime/model.h"
#include "runtime/template/template.h"

#define JSON_LIMIT ((size_t)64 << 20) /* of one message's members, of the tools, of the variables */

/* ---- variables ---- */

static ash_status no_memory(ash_error *err) { return ash_fail(err, ASH_E_MEMORY, "out of memory for a conversation"); }

static ash_status parse(const char *what, const char *text, bool (*is_kind)(const cJSON *), const char *kind,
                        cJSON **out, ash_error *err)
{
    if (ash_json_parse(text, strlen(text), JSON_LIMIT, out, err) != ASH_OK)
        return ash_fail_in(err, what);
    if (is_kind(*out))
        return ASH_OK;
    cJSON_Delete(*out);
    *out = NULL;
    return ash_fail(err, ASH_E_ARGUMENT, "%s: must be %s", what, kind);
}

static bool is_object(const cJSON *item) { return cJSON_IsObject(item); }
static bool is_array(const cJSON *item) { return cJSON_IsArray(item); }

/* Moves every member of `from` into `to`, but for those that `to` has already; frees `from`. */
static void move_members(cJSON *from, cJSON *to)
{
    while (from->child) {
        cJSON *item = cJSON_DetachItemViaPointer(from, from->child);
        if (ash_json_get(to, item->string) || !cJSON_AddItemToObject(to, item->string, item))
            cJSON_Delete(item);
    }
    cJSON_Delete(from);
}

static ash_status add_message(cJSON *list, const ashlar_message *m, size_t index, ash_error *err)
{
    if (!m->role)
        return ash_fail(err, ASH_E_ARGUMENT, "message %zu has no role", index);
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return no_memory(err);
    }
    bool fine = cJSON_AddStringToObject(object, "role", m->role) != NULL;
    if (m->content)
        fine = fine && cJSON_AddStringToObject(object, "content", m->content);
    else
        fine = fine && cJSON_AddNullToObject(object, "content");
    if (!fine)
        return no_memory(err);
    if (m->json) {
        cJSON *more;
        char what[40];
        snprintf(what, sizeof what, "members of message %zu", index);
        ASH_TRY(parse(what, m->json, is_object, "an object", &more, err));
        move_members(more, object);
    }
    return ASH_OK;
}

static ash_status fill_variables(cJSON *all, const ashlar_message *messages, size_t count,
                                 const ashlar_chat_options *o, ash_error *err)
{
    cJSON *list = cJSON_AddArrayToObject(all, "messages"), *more;
    if (!list || !cJSON_AddBoolToObject(all, "add_generation_prompt", o->reply != 0))
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        ASH_TRY(add_message(list, &messages[i], i, err));
    if (o->tools_json) {
        ASH_TRY(parse("tools", o->tools_json, is_array, "an array", &more, err));
        if (!more->child) {
            cJSON_Delete(more); /* templates ask whether there are tools */
        } else if (!cJSON_AddItemToObject(all, "tools", more)) {
            cJSON_Delete(more);
            return no_memory(err);
        }
    }
    if (o->variables_json) {
        ASH_TRY(parse("template variables", o->variables_json, is_object, "an object", &more, err));
        move_members(more, all);
    }
    return ASH_OK;
}

/* ---- rendering ---- */

/* A special token's spelling, NULL where the vocabulary has none; *out is freed by the caller. */
static ash_status spelling(const ashlar_model *model, int32_t id, char **out, ash_error *err)
{
    *out = NULL;
    if (!model->tokenizer || id < 0)
        return ASH_OK;
    size_t size;
    const char *bytes = ash_tokenizer_bytes(model->tokenizer, id, &size);
    *out = size ? strndup(bytes, size) : NULL;
    return size && !*out ? no_memory(err) : ASH_OK;
}

static int64_t local_clock(void)
{
    time_t now = time(NULL);
    struct tm local;
    return localtime_r(&now, &local) ? (int64_t)now + local.tm_gmtoff : (int64_t)now;
}

static ash_status render_with(const ashlar_model *model, const ash_template *t, const cJSON *variables, int64_t now,
                              ash_template_output *out, ash_error *err)
{
    ash_token_roles roles = { -1, -1, -1, -1 };
    if (model->tokenizer)
        roles = ash_tokenizer_roles(model->tokenizer);
    int32_t ids[4] = { model->meta.bos >= 0 ? model->meta.bos : roles.bos, roles.eos, roles.unk, roles.pad };
    char *names[4] = { NULL };
    ash_status status = ASH_OK;
    for (int i = 0; i < 4 && status == ASH_OK; i++)
        status = spelling(model, ids[i], &names[i], err);
    if (status == ASH_OK) {
        ash_template_input in = { .variables = variables, .bos_token = names[0], .eos_token = names[1],
                                  .unk_token = names[2], .pad_token = names[3], .now = now };
        status = ash_template_render(t, &in, out, err);
    }
    for (int i = 0; i < 4; i++)
        free(names[i]);
    return status;
}

static ash_status render(const ashlar_model *model, const ashlar_message *messages, size_t count,
                         const ashlar_chat_options *options, ash_template_output *out, ash_error *err)
{
    static const ashlar_chat_options defaults = { .reply = 1 };
    const ashlar_chat_options *o = options ? options : &defaults;
    *out = (ash_template_output){ 0 };
    if (!o->template_text && !model->meta.chat_template)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s has no chat template: give one, or complete text with run",
                        ash_file_path(model->file));
    cJSON *variables = cJSON_CreateObject();
    ash_template *t = NULL;
    ash_status status = variables ? fill_variables(variables, messages, count, o, err) : no_memory(err);
    if (status == ASH_OK) {
        const char *text = o->template_text ? o->template_text : model->meta.chat_template;
        if (!o->template_text && model->meta.tool_template && ash_json_get(variables, "tools"))
            text = model->meta.tool_template;
        status = ash_template_compile(text, strlen(text), &t, err);
        if (status == ASH_OK)
            status = render_with(model, t, variables, o->now ? o->now : local_clock(), out, err);
        if (status != ASH_OK)
            ash_fail_in(err, "chat template");
    }
    ash_template_free(t);
    cJSON_Delete(variables);
    return status;
}

/* ---- runs ---- */

/* Templates build framing out of roles ('<|' + message.role + '|>'), so a run that is nothing but a role counts as the
 * template's own. A message whose whole text is "user" gains nothing by it: letters alone spell no special token. */
static bool is_role(const char *text, size_t bytes, const ashlar_message *messages, size_t count)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
    for (size_t i = 0; i < count; i++)
        if (strlen(messages[i].role) == bytes && memcmp(messages[i].role, text, bytes) == 0)
            return strspn(messages[i].role, letters) == bytes;
    return false;
}

static ash_status make_runs(const ash_template_output *o, const ashlar_message *messages, size_t count,
                            ash_text_run **runs, size_t *run_count, ash_error *err)
{
    *run_count = 0;
    *runs = calloc(o->span_count + 1, sizeof **runs);
    if (!*runs)
        return no_memory(err);
    for (size_t i = 0, start = 0; i < o->span_count; i++) {
        size_t end = o->spans[i].end;
        bool special = !o->spans[i].input || is_role(o->text + start, end - start, messages, count);
        if (*run_count && (*runs)[*run_count - 1].special == special)
            --*run_count;
        (*runs)[(*run_count)++] = (ash_text_run){ .end = end, .special = special };
        start = end;
    }
    return ASH_OK;
}

static ash_status make_segments(const ash_template_output *o, const ash_text_run *runs, size_t run_count,
                                ashlar_segment **out, ash_error *err)
{
    *out = calloc(run_count + 1, sizeof **out);
    if (!*out)
        return no_memory(err);
    for (size_t i = 0, start = 0; i < run_count; i++) {
        ashlar_segment *s = &(*out)[i];
        *s = (ashlar_segment){ .text = malloc(runs[i].end - start + 1), .bytes = runs[i].end - start,
                               .special = runs[i].special };
        if (!s->text) {
            ashlar_segments_free(*out, i);
            *out = NULL;
            return no_memory(err);
        }
        memcpy(s->text, o->text + start, s->bytes);
        s->text[s->bytes] = 0;
        start = runs[i].end;
    }
    return ASH_OK;
}

/* ---- public ---- */

void ashlar_segments_free(ashlar_segment *segments, size_t count)
{
    for (size_t i = 0; segments && i < count; i++)
        free(segments[i].text);
    free(segments);
}

int ashlar_chat_render(const ashlar_model *model, const ashlar_message *messages, size_t count,
                       const ashlar_chat_options *options, ashlar_segment **segments, size_t *segment_count,
                       ashlar_error *err)
{
    ash_error local;
    ash_template_output output;
    ash_text_run *runs = NULL;
    size_t run_count = 0;
    *segments = NULL;
    *segment_count = 0;
    ash_status status = render(model, messages, count, options, &output, &local);
    if (status == ASH_OK)
        status = make_runs(&output, messages, count, &runs, &run_count, &local);
    if (status == ASH_OK)
        status = make_segments(&output, runs, run_count, segments, &local);
    free(runs);
    ash_template_output_free(&output);
    if (status != ASH_OK)
        return ash_public_error(&local, err);
    *segment_count = run_count;
    return ASHLAR_OK;
}

int ashlar_chat_tokens(const ashlar_model *model, const ashlar_message *messages, size_t count,
                       const ashlar_chat_options *options, int32_t **ids, size_t *id_count, ashlar_error *err)
{
    ash_error local;
    ash_template_output output = { 0 };
    ash_text_run *runs = NULL;
    size_t run_count = 0;
    *ids = NULL;
    *id_count = 0;
    ash_status status = ash_need_tokenizer(model, &local);
    if (status == ASH_OK)
        status = render(model, messages, count, options, &output, &local);
    if (status == ASH_OK)
        status = make_runs(&output, messages, count, &runs, &run_count, &local);
    if (status == ASH_OK)
        status = ash_tokenizer_encode_runs(model->tokenizer, output.text, runs, run_count, ids, id_count, &local);
    free(runs);
    ash_template_output_free(&output);
    return status == ASH_OK ? ASHLAR_OK : ash_public_error(&local, err);
}
