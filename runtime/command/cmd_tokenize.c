/* ashlar tokenize: text to token ids, and back. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/command/engine.h"

/* Ids in decimal, separated by anything that is no digit (so JSON arrays work too). NULL on failure, printed. */
static int32_t *parse_ids(const char *text, size_t *count)
{
    size_t room = 0;
    int32_t *ids = NULL;
    *count = 0;
    for (const char *at = text; *at;) {
        at += strcspn(at, "0123456789");
        if (!*at)
            break;
        char *end;
        errno = 0;
        unsigned long value = strtoul(at, &end, 10);
        if (errno || value > INT32_MAX) {
            fail("token id %.20s is too large", at);
            free(ids);
            return NULL;
        }
        if (*count == room) {
            room = 2 * room + 256;
            int32_t *bigger = realloc(ids, room * sizeof *ids);
            if (!bigger) {
                fail("out of memory after %zu ids", *count);
                free(ids);
                return NULL;
            }
            ids = bigger;
        }
        ids[(*count)++] = (int32_t)value;
        at = end;
    }
    return ids ? ids : calloc(1, sizeof *ids);
}

static int decode(const ashlar_model *model, const char *text, bool special, bool json)
{
    size_t count, size;
    ashlar_error err;
    char *out;
    int32_t *ids = parse_ids(text, &count);
    if (!ids)
        return EXIT_FAILED;
    int status = ashlar_detokenize(model, ids, count, special ? ASHLAR_TOKENIZE_SPECIAL : 0, &out, &size, &err);
    free(ids);
    if (status != ASHLAR_OK)
        return fail_public(&err);
    if (json) {
        char *clean = utf8_clean(out, size);
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "text", clean ? clean : "");
        char *line = cJSON_PrintUnformatted(root);
        puts(line ? line : "{}");
        free(line);
        free(clean);
        cJSON_Delete(root);
    } else {
        fwrite(out, 1, size, stdout);
    }
    ashlar_free(out);
    return EXIT_OK;
}

static int encode(const ashlar_model *model, const char *text, size_t size, unsigned flags, bool json)
{
    int32_t *ids;
    size_t count;
    ashlar_error err;
    if (ashlar_tokenize(model, text, size, flags, &ids, &count, &err) != ASHLAR_OK)
        return fail_public(&err);
    if (json)
        printf("{\"ids\":[");
    for (size_t i = 0; i < count; i++)
        printf("%s%d", i == 0 ? "" : json ? "," : " ", ids[i]);
    puts(json ? "]}" : "");
    ashlar_free(ids);
    return EXIT_OK;
}

int verb_tokenize(int argc, char **argv)
{
    const char *path, *text_path = "-";
    bool json = false, special = false, bos = false, backwards = false;
    const option options[] = {
        { "--text", "FILE", OPTION_STRING, &text_path, 0, 0, "the text; - is standard input" },
        { "--special", NULL, OPTION_FLAG, &special, 0, 0, "parse special tokens in the text; with --decode, print them" },
        { "--bos", NULL, OPTION_FLAG, &bos, 0, 0, "begin with the model's first token" },
        { "--decode", NULL, OPTION_FLAG, &backwards, 0, 0, "the text holds token ids: print what they spell" },
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "one object: ids, or text" },
    };
    static const usage u = { "tokenize", "FILE [--text FILE|-]", "Prints the token ids of a text.", NULL, 1 };
    int code;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    ashlar_model *model;
    if (!open_model(path, &model, &code))
        return code;
    size_t size;
    char *text = read_text(text_path, &size);
    if (!text)
        code = EXIT_FAILED;
    else if (backwards)
        code = decode(model, text, special, json);
    else
        code = encode(model, text, size, (bos ? ASHLAR_TOKENIZE_BOS : 0) | (special ? ASHLAR_TOKENIZE_SPECIAL : 0), json);
    free(text);
    ashlar_model_free(model);
    return code;
}
