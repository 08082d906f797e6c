/* Compiling and rendering from the outside. */
#include "runtime/template/template.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/template/eval.h"
#include "runtime/template/strings.h"

/* What source text can become: tokens and nodes, about 40 bytes for a byte, and a copy of the text. */
#define COMPILED_MAX ((size_t)TEMPLATE_TEXT_MAX * 512)

static ash_status compile(ash_template *t, const char *text, size_t bytes, ash_error *err)
{
    ash_token *tokens;
    size_t count;
    ASH_TRY(ash_template_lex(&t->arena, text, bytes, &tokens, &count, err));
    return ash_template_parse(t, tokens, err);
}

ash_status ash_template_compile(const char *text, size_t bytes, ash_template **out, ash_error *err)
{
    *out = NULL;
    if (bytes > TEMPLATE_TEXT_MAX)
        return ash_fail(err, ASH_E_LIMIT, "a chat template of %zu bytes: at most %u are read", bytes,
                        TEMPLATE_TEXT_MAX);
    ash_template *t = calloc(1, sizeof *t);
    if (!t)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the chat template");
    t->arena.limit = COMPILED_MAX;
    ash_status status = compile(t, text, bytes, err);
    if (status != ASH_OK) {
        ash_template_free(t);
        return status;
    }
    *out = t;
    return ASH_OK;
}

void ash_template_free(ash_template *t)
{
    if (t)
        ash_arena_free(&t->arena);
    free(t);
}

/* ---- what names mean before the template sets any ---- */

static ash_status set_trusted(ash_run *r, const ash_string *name, ash_value *out)
{
    const struct { const char *name, *text; } trusted[] = {
        { "bos_token", r->input->bos_token },
        { "eos_token", r->input->eos_token },
        { "unk_token", r->input->unk_token },
        { "pad_token", r->input->pad_token },
    };
    for (size_t i = 0; i < sizeof trusted / sizeof *trusted; i++)
        if (trusted[i].text && ash_string_is(name, trusted[i].name))
            return ash_string_value(r, trusted[i].text, strlen(trusted[i].text), false, out);
    return ASH_OK;
}

/* Values of the caller come first, then tokens, then functions. Only what the template names is made. */
static ash_status set_globals(ash_run *r)
{
    const ash_template *t = r->template;
    ASH_TRY(ash_run_alloc(r, t->name_count * sizeof *r->globals, &r->globals));
    for (uint32_t i = 0; i < t->name_count; i++) {
        const ash_string *name = t->names[i];
        const cJSON *given = r->input->variables ? r->input->variables->child : NULL;
        while (given && !(given->string && ash_string_is(name, given->string)))
            given = given->next;
        if (given) {
            ASH_TRY(ash_value_from_json(r, given, &r->globals[i]));
            continue;
        }
        ASH_TRY(set_trusted(r, name, &r->globals[i]));
        const ash_builtin *function = ash_find_function(name);
        if (r->globals[i].kind == ASH_V_MISSING && function)
            r->globals[i] = (ash_value){ .kind = ASH_V_FUNCTION, .function = function };
    }
    return ASH_OK;
}

/* ---- output ---- */

static ash_status give_output(const ash_builder *b, ash_template_output *out, ash_error *err)
{
    size_t count = b->bytes ? 1 : 0;
    for (size_t i = 1; b->marks && i < b->bytes; i++)
        count += b->marks[i] != b->marks[i - 1];
    out->text = malloc(b->bytes + 1);
    out->spans = malloc((count ? count : 1) * sizeof *out->spans);
    if (!out->text || !out->spans) {
        ash_template_output_free(out);
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the prompt");
    }
    memcpy(out->text, b->text, b->bytes);
    out->text[b->bytes] = 0;
    out->bytes = b->bytes;
    for (size_t i = 1; i <= b->bytes; i++)
        if (i == b->bytes || (b->marks && b->marks[i] != b->marks[i - 1]))
            out->spans[out->span_count++] =
                (ash_template_span){ .end = i, .input = b->marks ? b->marks[i - 1] : b->input };
    return ASH_OK;
}

static ash_status render(ash_run *r)
{
    ash_scope *scope;
    ash_flow flow = ASH_FLOW_ON;
    ASH_TRY(set_globals(r));
    ASH_TRY(ash_builder_new(r, 2048, &r->out));
    ASH_TRY(ash_scope_new(r, NULL, &scope));
    return ash_exec(r, r->template->body, scope, &flow);
}

ash_status ash_template_render(const ash_template *t, const ash_template_input *in, ash_template_output *out,
                               ash_error *err)
{
    return ash_template_render_within(t, in, TEMPLATE_STEPS_MAX, out, err);
}

ash_status ash_template_render_within(const ash_template *t, const ash_template_input *in, uint64_t steps_max,
                                      ash_template_output *out, ash_error *err)
{
    ash_run r = { .arena.limit = TEMPLATE_MEMORY_MAX, .template = t, .input = in, .err = err, .line = 1,
                  .steps_max = steps_max };
    *out = (ash_template_output){ 0 };
    ash_status status = render(&r);
    if (status == ASH_OK)
        status = give_output(r.out, out, err);
    ash_arena_free(&r.arena);
    return status;
}

void ash_template_output_free(ash_template_output *out)
{
    free(out->text);
    free(out->spans);
    *out = (ash_template_output){ 0 };
}
