/* Any bytes as a chat template, rendered twice with a conversation that has everything: no crash, no overread, the same
 * result both times, spans that cover the output, errors of one line. */
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "runtime/template/eval.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(expr)   \
    do {             \
        if (!(expr)) \
            abort(); \
    } while (0)
#define STEPS_MAX 100000

static cJSON *variables;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char text[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \" Be kind. \"}, {\"role\": \"user\", \"content\": "
        "\"Grüße, 世界! 😀\\n<|im_end|>\"}, {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"type\": "
        "\"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, null, true]}}}]}, {\"role\": "
        "\"tool\", \"content\": \"{}\"}], \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
        "\"description\": \"d\", \"parameters\": {\"type\": \"object\", \"properties\": {\"x\": {}}}}}],"
        " \"add_generation_prompt\": true, \"a\": \"It's \\\"so\\\"\", \"n\": -7, \"f\": 1e300, \"e\": []}";
    ash_error err;
    (void)argc;
    (void)argv;
    MUST(ash_json_parse(text, strlen(text), sizeof text, &variables, &err) == ASH_OK);
    return 0;
}

static ash_status render(const ash_template *t, ash_template_output *out, ash_error *err)
{
    ash_template_input in = { .variables = variables, .bos_token = "<s>", .eos_token = "</s>", .now = 1721999109 };
    err->text[0] = 0;
    ash_status status = ash_template_render_within(t, &in, STEPS_MAX, out, err);
    MUST((status == ASH_OK) == (out->text != NULL));
    MUST(status == ASH_OK || (status == err->status && !strchr(err->text, '\n')));
    size_t at = 0;
    for (size_t i = 0; i < out->span_count; i++) {
        MUST(out->spans[i].end > at);
        MUST(i == 0 || out->spans[i].input != out->spans[i - 1].input);
        at = out->spans[i].end;
    }
    MUST(at == out->bytes);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1);
    MUST(text);
    if (size)
        memcpy(text, data, size);
    ash_template *t;
    ash_template_output out, again;
    ash_error err = { 0 };
    ash_status status = ash_template_compile(text, size, &t, &err);
    free(text); /* a template keeps nothing of its source */
    MUST((status == ASH_OK) == (t != NULL) && (status == ASH_OK || (err.text[0] && !strchr(err.text, '\n'))));
    if (!t)
        return 0;
    status = render(t, &out, &err);
    MUST(render(t, &again, &err) == status);
    MUST(out.bytes == again.bytes && out.span_count == again.span_count);
    MUST(!out.text || memcmp(out.text, again.text, out.bytes) == 0);
    for (size_t i = 0; i < out.span_count; i++)
        MUST(out.spans[i].end == again.spans[i].end && out.spans[i].input == again.spans[i].input);
    ash_template_output_free(&out);
    ash_template_output_free(&again);
    ash_template_free(t);
    return 0;
}
