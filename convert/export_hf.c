/* An .ashlar file to a Hugging Face folder that transformers loads: configuration, tokenizer, and safetensors in parts
 * of at most 5 GB. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "convert/export_internal.h"
#include "format/checked.h"

#define PART_BYTES UINT64_C(5000000000) /* as transformers cut for years; a larger tensor is a part of its own */
#define PARTS_MAX 99999                 /* five digits */

typedef struct part {
    uint32_t first, count; /* items */
} part;

typedef struct folder_export {
    ash_export e;
    cJSON *config, *generation, *tokenizer_config, *index;
    char *tokenizer;
    size_t tokenizer_size;
    part *parts;
    uint32_t part_count;
    ash_folder *folder;
} folder_export;

static ash_status no_memory(const folder_export *x, ash_error *err)
{
    return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", x->e.path);
}

/* ---- names ---- */

static const char *const names[] = { "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                                     "model.safetensors", "model.safetensors.index.json" };

static void part_name(const folder_export *x, uint32_t index, char out[64])
{
    if (x->part_count == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05" PRIu32 "-of-%05" PRIu32 ".safetensors", index + 1, x->part_count);
}

/* What an export writes, and may therefore replace. */
static bool is_ours(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    char rest[2];
    unsigned index, of;
    return strlen(name) == strlen("model-00001-of-00001.safetensors") &&
           sscanf(name, "model-%5u-of-%5u.safetensor%1[s]", &index, &of, rest) == 3;
}

/* ---- the tokenizer ---- */

static bool add_named(cJSON *list, const char *name, const char *text)
{
    cJSON *o = cJSON_CreateObject();
    if (!o || !cJSON_AddItemToArray(list, o)) {
        cJSON_Delete(o);
        return false;
    }
    return cJSON_AddStringToObject(o, "name", name) && cJSON_AddStringToObject(o, "template", text);
}

/* One text, or a list with names where there is one for tools. */
static bool add_templates(cJSON *o, const ash_meta *m)
{
    if (!m->tool_template)
        return !m->chat_template || cJSON_AddStringToObject(o, "chat_template", m->chat_template);
    cJSON *list = cJSON_AddArrayToObject(o, "chat_template");
    return list && (!m->chat_template || add_named(list, "default", m->chat_template)) &&
           add_named(list, "tool_use", m->tool_template);
}

/* What cannot be rebuilt is left out, since the weights are of use beside the model's own tokenizer, too. */
static ash_status make_tokenizer(folder_export *x, ash_error *err)
{
    ash_export *e = &x->e;
    const char *note = NULL;
    if (!e->tokenizer) {
        ash_export_note(e, "the file has no tokenizer: the folder has none");
    } else if (ash_export_tokenizer(&e->vocab, &x->tokenizer, &x->tokenizer_size, &note, err) != ASH_OK) {
        if (err->status != ASH_E_UNSUPPORTED)
            return ash_fail_in(err, e->path);
        ash_export_note(e, "left out tokenizer.json, put the model's own there: %s", err->text);
    } else if (note) {
        ash_export_note(e, "%s", note);
    }
    cJSON *o = x->tokenizer_config = cJSON_CreateObject();
    bool ok = o && cJSON_AddStringToObject(o, "tokenizer_class", "PreTrainedTokenizerFast") &&
              cJSON_AddNumberToObject(o, "model_max_length", e->meta.h.context) &&
              cJSON_AddBoolToObject(o, "clean_up_tokenization_spaces", false) && add_templates(o, &e->meta);
    ok = ok && (!e->tokenizer || ash_export_token_names(&e->vocab, o));
    return ok ? ASH_OK : no_memory(x, err);
}

/* ---- parts ---- */

static ash_status cut(folder_export *x, ash_error *err)
{
    const ash_export *e = &x->e;
    uint64_t most = e->options->part_bytes ? e->options->part_bytes : PART_BYTES, filled = 0;
    x->parts = calloc((size_t)e->count + 1, sizeof *x->parts);
    if (!x->parts)
        return no_memory(x, err);
    x->part_count = 1;
    for (uint32_t i = 0; i < e->count; i++) {
        uint64_t size = ash_export_item_bytes(&e->items[i]);
        part *p = &x->parts[x->part_count - 1];
        if (p->count != 0 && (filled >= most || size > most - filled)) {
            p = &x->parts[x->part_count++];
            p->first = i;
            filled = 0;
        }
        p->count++;
        filled += size; /* at most e->total */
    }
    if (x->part_count > PARTS_MAX)
        return ash_fail(err, ASH_E_LIMIT, "%s: would come out in %" PRIu32 " parts, at most %d are possible", e->path,
                        x->part_count, PARTS_MAX);
    return ASH_OK;
}

/* model.safetensors.index.json: which part has which tensor. */
static ash_status make_index(folder_export *x, ash_error *err)
{
    if (x->part_count == 1)
        return ASH_OK;
    x->index = cJSON_CreateObject();
    cJSON *metadata = x->index ? cJSON_AddObjectToObject(x->index, "metadata") : NULL;
    bool ok = metadata && cJSON_AddNumberToObject(metadata, "total_size", (double)x->e.total);
    cJSON *map = ok ? cJSON_AddObjectToObject(x->index, "weight_map") : NULL;
    for (uint32_t p = 0; p < x->part_count && map; p++) {
        char name[64];
        part_name(x, p, name);
        for (uint32_t i = 0; i < x->parts[p].count && map; i++)
            if (!cJSON_AddStringToObject(map, x->e.items[x->parts[p].first + i].name, name))
                map = NULL;
    }
    return map ? ASH_OK : no_memory(x, err);
}

/* ---- writing ---- */

static ash_status put_text(folder_export *x, const char *name, const char *text, size_t size, ash_error *err)
{
    char *path = ash_folder_file(x->folder, name);
    ash_status status = path ? ash_write_whole(path, false, text, size, err) : no_memory(x, err);
    free(path);
    return status;
}

static ash_status put_json(folder_export *x, const char *name, const cJSON *json, ash_error *err)
{
    char *text = json ? cJSON_Print(json) : NULL;
    if (!text)
        return json ? no_memory(x, err) : ASH_OK;
    ash_status status = put_text(x, name, text, strlen(text), err);
    free(text);
    return status;
}

static void describe(const ash_export_item *item, ash_st_tensor *out)
{
    const ash_member_record *m = &item->member;
    *out = (ash_st_tensor){ .name = item->name, .dtype = item->type, .dim_count = m->source_dim_count,
                            .size = ash_export_item_bytes(item) };
    for (uint32_t d = 0; d < m->source_dim_count; d++)
        out->shape[d] = m->source_dims[m->source_dim_count - 1 - d];
}

static ash_status put_part(folder_export *x, uint32_t index, ash_error *err)
{
    ash_export *e = &x->e;
    const part *p = &x->parts[index];
    char name[64];
    part_name(x, index, name);
    char *path = ash_folder_file(x->folder, name);
    ash_st_tensor *tensors = calloc((size_t)p->count + 1, sizeof *tensors);
    ash_status status = path && tensors ? ASH_OK : no_memory(x, err);
    for (uint32_t i = 0; i < p->count && status == ASH_OK; i++)
        describe(&e->items[p->first + i], &tensors[i]);
    if (status == ASH_OK)
        status = ash_safetensors_writer_create(path, false, tensors, p->count, &e->safetensors, err);
    for (uint32_t i = 0; i < p->count && status == ASH_OK; i++)
        status = ash_export_data(e, &e->items[p->first + i], err);
    ash_safetensors_writer *w = e->safetensors;
    e->safetensors = NULL; /* finish frees it in any case */
    if (status == ASH_OK)
        status = ash_safetensors_writer_finish(w, err);
    else
        ash_safetensors_writer_abort(w);
    free(tensors);
    free(path);
    return status;
}

static ash_status write_all(folder_export *x, const char *output, ash_error *err)
{
    uint64_t bytes = 0;
    if (!ash_add(x->e.total, x->tokenizer_size + ((uint64_t)4 << 20), &bytes)) /* 4 MiB: configuration and headers */
        return ash_fail(err, ASH_E_LIMIT, "%s: the output would have more than 2^64 bytes", x->e.path);
    ASH_TRY(ash_folder_create(output, x->e.options->force, is_ours, &x->folder, err));
    ASH_TRY(ash_check_space(output, bytes, err));
    ASH_TRY(put_json(x, "config.json", x->config, err));
    ASH_TRY(put_json(x, "generation_config.json", x->generation, err));
    ASH_TRY(put_json(x, "tokenizer_config.json", x->tokenizer_config, err));
    if (x->tokenizer)
        ASH_TRY(put_text(x, "tokenizer.json", x->tokenizer, x->tokenizer_size, err));
    ASH_TRY(put_json(x, "model.safetensors.index.json", x->index, err));
    for (uint32_t i = 0; i < x->part_count; i++)
        ASH_TRY(put_part(x, i, err));
    ash_folder *folder = x->folder;
    x->folder = NULL; /* commit frees it in any case */
    return ash_folder_commit(folder, err);
}

static ash_status export(folder_export *x, const char *output, ash_error *err)
{
    ASH_TRY(ash_export_meta(&x->e, err));
    ASH_TRY(ash_export_plan_hf(&x->e, err));
    ASH_TRY(ash_export_config(&x->e, &x->config, err));
    ASH_TRY(ash_export_generation(&x->e, &x->generation, err));
    ASH_TRY(cut(x, err));
    ASH_TRY(make_index(x, err));
    ASH_TRY(make_tokenizer(x, err));
    return write_all(x, output, err);
}

ash_status ash_export_hf(const char *ashlar_path, const char *output, const ash_export_options *options, ash_error *err)
{
    folder_export x = { 0 };
    ash_status status = ash_export_open(&x.e, ashlar_path, output, options, err);
    if (status == ASH_OK)
        status = export(&x, output, err);
    ash_folder_abort(x.folder);
    cJSON_Delete(x.config);
    cJSON_Delete(x.generation);
    cJSON_Delete(x.tokenizer_config);
    cJSON_Delete(x.index);
    free(x.tokenizer);
    free(x.parts);
    ash_export_release(&x.e);
    return status;
}
