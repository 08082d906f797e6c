/* Chat templates: where a model carries them. One is for every conversation, one may be for those with tools; files may
 * name others ("rag", ...), which nothing asks for. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/import.h"

#define JSON_LIMIT ((size_t)64 << 20) /* tokenizer_config.json repeats every added token */
#define TEMPLATE_LIMIT ((size_t)1 << 20)

/* Takes one named template (copied) unless that name is taken. */
static ash_status take(ash_import *import, const char *name, const char *text, size_t bytes, ash_error *err)
{
    if (bytes == 0)
        return ASH_OK;
    if (bytes > TEMPLATE_LIMIT)
        return ash_fail(err, ASH_E_LIMIT, "chat template %.40s has %zu bytes; at most %zu are accepted", name, bytes,
                        TEMPLATE_LIMIT);
    if (memchr(text, 0, bytes))
        return ash_fail(err, ASH_E_FORMAT, "chat template %.40s has a NUL inside", name);
    char **slot = strcmp(name, "default") == 0    ? &import->chat_template
                  : strcmp(name, "tool_use") == 0 ? &import->tool_template
                                                  : NULL;
    if (!slot) {
        import->templates_left_out++;
    } else if (!*slot && !(*slot = strndup(text, bytes))) {
        return ash_fail(err, ASH_E_MEMORY, "out of memory for a chat template");
    }
    return ASH_OK;
}

/* ---- Hugging Face folders ---- */

static ash_status take_file(ash_import *import, const char *folder, const char *file, const char *name, ash_error *err)
{
    char *path = ash_path_join(folder, file), *text = NULL;
    size_t size;
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
    ash_status status = ASH_OK;
    if (ash_path_exists(path)) {
        status = ash_read_whole(path, TEMPLATE_LIMIT, &text, &size, err);
        if (status == ASH_OK && take(import, name, text, size, err) != ASH_OK)
            status = ash_fail_in(err, path);
    }
    free(text);
    free(path);
    return status;
}

/* additional_chat_templates/NAME.jinja */
static ash_status take_folder(ash_import *import, const char *folder, ash_error *err)
{
    char *path = ash_path_join(folder, "additional_chat_templates");
    DIR *entries = path ? opendir(path) : NULL;
    ash_status status = path ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
    for (struct dirent *d; status == ASH_OK && entries && (d = readdir(entries));) {
        size_t n = strlen(d->d_name);
        char name[sizeof d->d_name];
        if (d->d_name[0] == '.' || n <= 6 || strcmp(d->d_name + n - 6, ".jinja") != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(n - 6), d->d_name);
        status = take_file(import, path, d->d_name, name, err);
    }
    if (entries)
        closedir(entries);
    free(path);
    return status;
}

/* A string, or a list of {name, template}. */
static ash_status take_json(ash_import *import, const char *folder, const char *file, ash_error *err)
{
    char *path = ash_path_join(folder, file);
    cJSON *json = NULL;
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
    ash_status status = ash_path_exists(path) ? ash_json_read_file(path, JSON_LIMIT, &json, err) : ASH_OK;
    const cJSON *value = ash_json_get(json, "chat_template"), *item;
    if (cJSON_IsString(value))
        status = take(import, "default", value->valuestring, strlen(value->valuestring), err);
    cJSON_ArrayForEach(item, value) {
        const char *name = ash_json_string(item, "name"), *text = ash_json_string(item, "template");
        if (status == ASH_OK && name && text)
            status = take(import, name, text, strlen(text), err);
    }
    if (status != ASH_OK && json)
        ash_fail_in(err, path);
    cJSON_Delete(json);
    free(path);
    return status;
}

ash_status ash_import_hf_templates(const char *folder, ash_import *import, ash_error *err)
{
    ASH_TRY(take_file(import, folder, "chat_template.jinja", "default", err));
    ASH_TRY(take_folder(import, folder, err));
    if (!import->chat_template)
        ASH_TRY(take_json(import, folder, "tokenizer_config.json", err));
    if (!import->chat_template)
        ASH_TRY(take_json(import, folder, "chat_template.json", err));
    return ASH_OK;
}

/* ---- GGUF ---- */

/* tokenizer.chat_template is the default one, tokenizer.chat_template.NAME another. */
ash_status ash_import_gguf_templates(const ash_gguf *g, ash_import *import, ash_error *err)
{
    static const char prefix[] = "tokenizer.chat_template.";
    ash_gguf_string text;
    if (ash_gguf_get_string(g, "tokenizer.chat_template", &text))
        ASH_TRY(take(import, "default", text.text, text.size, err));
    for (uint64_t i = 0; i < ash_gguf_kv_count(g); i++) {
        ash_gguf_string key = ash_gguf_kv_at(g, i)->key;
        char whole[128];
        if (key.size < sizeof prefix || key.size >= sizeof whole || memcmp(key.text, prefix, sizeof prefix - 1) != 0)
            continue;
        memcpy(whole, key.text, key.size);
        whole[key.size] = 0;
        if (ash_gguf_get_string(g, whole, &text))
            ASH_TRY(take(import, whole + sizeof prefix - 1, text.text, text.size, err));
    }
    return ASH_OK;
}
