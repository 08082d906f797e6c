#include "convert/provenance.h"

#include <stdlib.h>
#include <string.h>

#include "format/hash.h"
#include "format/json.h"
#include "format/version.h"

#define TOOL "ashlar " ASHLAR_VERSION
#define PIECE_BYTES ((size_t)1 << 20)
#define HISTORY_MAX 8 /* conversions of conversions that are told of */

/* Bytes of each file before its first tensor; all of them where it has none (the first part of some split models). */
static uint64_t *head_bytes(const ash_source *s)
{
    uint64_t *first = calloc(s->file_count, sizeof *first);
    for (uint32_t i = 0; first && i < s->file_count; i++)
        first[i] = ash_source_file(s, i)->size;
    for (uint32_t i = 0; first && i < s->count; i++)
        if (s->tensors[i].offset < first[s->tensors[i].file])
            first[s->tensors[i].file] = s->tensors[i].offset;
    return first;
}

static ash_status hash_head(const ash_input *in, uint64_t size, char text[33], ash_error *err)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    ash_hasher *hasher = ash_hasher_new();
    ash_status status = piece && hasher ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", in->path);
    for (uint64_t at = 0; status == ASH_OK && at < size;) {
        size_t n = size - at < PIECE_BYTES ? (size_t)(size - at) : PIECE_BYTES;
        status = ash_input_read(in, at, piece, n, err);
        if (status == ASH_OK)
            ash_hasher_update(hasher, piece, n);
        at += n;
    }
    if (status == ASH_OK)
        ash_hash_text(ash_hasher_digest(hasher), text);
    ash_hasher_free(hasher);
    free(piece);
    return status;
}

/* One file's entry. A name that is no UTF-8, which JSON could not hold, is left out. */
static ash_status add_file(cJSON *files, const ash_input *in, uint64_t head, ash_error *err)
{
    char hash[33];
    ASH_TRY(hash_head(in, head, hash, err));
    cJSON *file = cJSON_CreateObject();
    const char *name = ash_base_name(in->path);
    if (file && cJSON_AddItemToArray(files, file) &&
        cJSON_AddStringToObject(file, "name", ash_text_is_utf8(name) ? name : "") &&
        cJSON_AddNumberToObject(file, "bytes", (double)in->size) &&
        cJSON_AddNumberToObject(file, "head_bytes", (double)head) &&
        cJSON_AddStringToObject(file, "head_xxh3_128", hash))
        return ASH_OK;
    return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", in->path);
}

/* What was asked for, in the user's words. */
static bool describe_recipe(const ash_recipe *recipe, cJSON *root)
{
    if (!cJSON_AddStringToObject(root, "type", ash_recipe_name(recipe)))
        return false;
    cJSON *rules = recipe->rule_count ? cJSON_AddArrayToObject(root, "tensor_types") : NULL;
    for (uint32_t i = 0; i < recipe->rule_count; i++)
        if (!cJSON_AddItemToArray(rules, cJSON_CreateString(recipe->rules[i].text)))
            return false;
    return !recipe->fp8_row || cJSON_AddStringToObject(root, "fp8_scale", "row");
}

/* A file that was converted again and again says so as deep as a reader of JSON follows; behind that it is cut. */
static ash_status add_history(const ash_source *s, cJSON *root, ash_error *err)
{
    cJSON *before = NULL;
    size_t size = strlen(s->meta.provenance);
    ASH_TRY(ash_json_parse(s->meta.provenance, size, size, &before, err));
    cJSON *deep = before;
    for (int i = 0; deep && i < HISTORY_MAX; i++)
        deep = cJSON_GetObjectItemCaseSensitive(deep, "source");
    if (deep)
        cJSON_DeleteItemFromObjectCaseSensitive(deep, "source");
    if (cJSON_AddItemToObject(root, "source", before))
        return ASH_OK;
    cJSON_Delete(before);
    return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->path);
}

static ash_status describe(const ash_source *s, const ash_recipe *recipe, const char *guide, cJSON *root,
                           ash_error *err)
{
    uint64_t *heads = head_bytes(s);
    cJSON *files = NULL;
    ash_status status = ASH_OK;
    if (!root || !heads || !cJSON_AddStringToObject(root, "tool", TOOL) ||
        !describe_recipe(recipe, root) ||
        (guide && !cJSON_AddStringToObject(root, "guide", guide)) ||
        !(files = cJSON_AddArrayToObject(root, "files")))
        status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->path);
    for (uint32_t i = 0; status == ASH_OK && i < s->file_count; i++)
        status = add_file(files, ash_source_file(s, i), heads[i], err);
    free(heads);
    if (status == ASH_OK && s->meta.provenance)
        status = add_history(s, root, err);
    return status;
}

ash_status ash_provenance(const ash_source *source, const ash_recipe *recipe, const char *guide, char **out,
                          ash_error *err)
{
    *out = NULL;
    cJSON *json = cJSON_CreateObject();
    ash_status status = describe(source, recipe, guide, json, err);
    if (status == ASH_OK && !(*out = cJSON_PrintUnformatted(json)))
        status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", source->path);
    cJSON_Delete(json);
    return status;
}
