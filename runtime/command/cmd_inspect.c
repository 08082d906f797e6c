/* ashlar inspect: what is in an .ashlar, a GGUF, a safetensors file or a model folder.
 *
 * Every source is gathered into one JSON object; --json prints it, otherwise it is laid out as text. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/gguf.h"
#include "format/hash.h"
#include "format/json.h"
#include "format/reader.h"
#include "format/safetensors.h"
#include "runtime/command/command.h"

static void add_number(cJSON *o, const char *key, double value) { cJSON_AddNumberToObject(o, key, value); }

static void add_text(cJSON *o, const char *key, const char *text, size_t size)
{
    char *clean = utf8_clean(text, size);
    cJSON_AddStringToObject(o, key, clean ? clean : "");
    free(clean);
}

/* Adds a tensor to "tensors", and to the sums by type. dims in the order of the source. */
static void add_tensor(cJSON *root, const char *name, uint32_t dtype, const uint64_t *dims, uint32_t dim_count, uint64_t size,
                       uint32_t layer, const char *members)
{
    cJSON *tensor = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    uint64_t elements = 1;
    for (uint32_t i = 0; i < dim_count; i++) {
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)dims[i]));
        elements *= dims[i];
    }
    cJSON_AddStringToObject(tensor, "name", name);
    cJSON_AddStringToObject(tensor, "type", ash_dtype_name(dtype));
    cJSON_AddItemToObject(tensor, "shape", shape);
    add_number(tensor, "bytes", (double)size);
    if (layer != ASH_NO_LAYER)
        add_number(tensor, "layer", layer);
    if (members)
        cJSON_AddStringToObject(tensor, "holds", members);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(root, "tensors"), tensor);

    cJSON *types = cJSON_GetObjectItemCaseSensitive(root, "types");
    cJSON *type = cJSON_GetObjectItemCaseSensitive(types, ash_dtype_name(dtype));
    if (!type) {
        type = cJSON_AddObjectToObject(types, ash_dtype_name(dtype));
        add_number(type, "tensors", 0), add_number(type, "elements", 0), add_number(type, "bytes", 0);
    }
    const double more[] = { 1, (double)elements, (double)size };
    const char *const keys[] = { "tensors", "elements", "bytes" };
    for (int i = 0; i < 3; i++) {
        cJSON *sum = cJSON_GetObjectItemCaseSensitive(type, keys[i]);
        cJSON_SetNumberValue(sum, sum->valuedouble + more[i]);
    }
}

static ash_status inspect_ashlar(const char *path, cJSON *root, ash_error *err)
{
    ash_file *file;
    ASH_TRY(ash_file_open(path, &file, err));
    const ash_header *h = ash_file_header(file);
    char hex[33];
    ash_hash_text(h->header_hash, hex);
    cJSON_AddStringToObject(root, "kind", "ashlar");
    add_number(root, "version", h->version);
    add_number(root, "file_bytes", (double)h->file_bytes);
    cJSON_AddStringToObject(root, "header_hash", hex);
    uint8_t *meta = NULL;
    size_t size;
    ash_status status = ash_file_section_read(file, ASH_SECTION_META, &meta, &size, err);
    cJSON *parsed = NULL;
    if (status == ASH_OK)
        status = ash_json_parse((char *)meta, size, size, &parsed, err);
    if (status == ASH_OK) {
        cJSON_AddItemToObject(root, "meta", parsed);
        cJSON_AddBoolToObject(root, "tokenizer", ash_file_section(file, ASH_SECTION_TOKENIZER) != NULL);
        for (uint32_t i = 0; i < ash_file_tensor_count(file); i++) {
            const ash_tensor_record *t = ash_file_tensor(file, i);
            uint64_t dims[4];
            for (uint32_t d = 0; d < t->dim_count; d++)
                dims[d] = t->dims[t->dim_count - 1 - d];
            char holds[256] = "";
            for (uint32_t m = 0; m < t->member_count; m++) {
                size_t used = strlen(holds);
                snprintf(holds + used, sizeof holds - used, "%s%s", m ? " + " : "",
                         ash_file_member_name(file, ash_file_member(file, t->member_first + m)));
            }
            add_tensor(root, ash_file_tensor_name(file, t), t->dtype, dims, t->dim_count, t->size, t->layer, holds);
        }
    }
    free(meta);
    ash_file_close(file);
    return status;
}

static void add_gguf_value(cJSON *meta, const ash_gguf_kv *kv)
{
    char key[256];
    snprintf(key, sizeof key, "%.*s", (int)(kv->key.size < 255 ? kv->key.size : 255), kv->key.text);
    static const char *const type_names[] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64" };
    union { uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; float f32; uint64_t u64; int64_t i64; double f64; } v = { 0 };
    if (kv->type == ASH_GGUF_STRING) {
        add_text(meta, key, (const char *)kv->value, kv->value_size);
        return;
    }
    if (kv->type == ASH_GGUF_ARRAY) {
        char text[64];
        snprintf(text, sizeof text, "%llu x %s", (unsigned long long)kv->count, type_names[kv->element]);
        cJSON_AddStringToObject(meta, key, text);
        return;
    }
    memcpy(&v, kv->value, kv->value_size < sizeof v ? kv->value_size : sizeof v);
    switch (kv->type) {
    case ASH_GGUF_BOOL: cJSON_AddBoolToObject(meta, key, v.u8 != 0); break;
    case ASH_GGUF_U8: add_number(meta, key, v.u8); break;
    case ASH_GGUF_I8: add_number(meta, key, v.i8); break;
    case ASH_GGUF_U16: add_number(meta, key, v.u16); break;
    case ASH_GGUF_I16: add_number(meta, key, v.i16); break;
    case ASH_GGUF_U32: add_number(meta, key, v.u32); break;
    case ASH_GGUF_I32: add_number(meta, key, v.i32); break;
    case ASH_GGUF_F32: add_number(meta, key, (double)v.f32); break;
    case ASH_GGUF_U64: add_number(meta, key, (double)v.u64); break;
    case ASH_GGUF_I64: add_number(meta, key, (double)v.i64); break;
    default: add_number(meta, key, v.f64); break;
    }
}

static ash_status inspect_gguf(const char *path, cJSON *root, ash_error *err)
{
    ash_gguf *g;
    ASH_TRY(ash_gguf_open(path, &g, err));
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < ash_gguf_file_count(g); i++)
        bytes += ash_gguf_file(g, i)->size;
    cJSON_AddStringToObject(root, "kind", "gguf");
    add_number(root, "version", ash_gguf_version(g));
    add_number(root, "file_bytes", (double)bytes);
    add_number(root, "files", ash_gguf_file_count(g));
    cJSON *meta = cJSON_AddObjectToObject(root, "meta");
    for (uint64_t i = 0; i < ash_gguf_kv_count(g); i++)
        add_gguf_value(meta, ash_gguf_kv_at(g, i));
    for (uint32_t i = 0; i < ash_gguf_tensor_count(g); i++) {
        const ash_gguf_tensor *t = ash_gguf_tensor_at(g, i);
        uint64_t dims[4];
        for (uint32_t d = 0; d < t->dim_count; d++)
            dims[d] = t->dims[t->dim_count - 1 - d];
        add_tensor(root, t->name, t->dtype, dims, t->dim_count, t->size, ASH_NO_LAYER, NULL);
    }
    ash_gguf_close(g);
    return ASH_OK;
}

static ash_status inspect_safetensors(const char *path, bool folder, cJSON *root, ash_error *err)
{
    ash_safetensors *st;
    ASH_TRY(ash_safetensors_open(path, &st, err));
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < ash_safetensors_file_count(st); i++)
        bytes += ash_safetensors_file(st, i)->size;
    cJSON_AddStringToObject(root, "kind", "safetensors");
    add_number(root, "file_bytes", (double)bytes);
    add_number(root, "files", ash_safetensors_file_count(st));
    for (uint32_t i = 0; i < ash_safetensors_count(st); i++) {
        const ash_st_tensor *t = ash_safetensors_tensor(st, i);
        add_tensor(root, t->name, t->dtype, t->shape, t->dim_count, t->size, ASH_NO_LAYER, NULL);
    }
    ash_safetensors_close(st);
    char *config = folder ? ash_path_join(path, "config.json") : NULL;
    cJSON *parsed;
    ash_status status = ASH_OK;
    if (config && ash_path_exists(config) && (status = ash_json_read_file(config, 1 << 24, &parsed, err)) == ASH_OK)
        cJSON_AddItemToObject(root, "meta", parsed);
    free(config);
    return status;
}

/* The kind by what the path is and what its first bytes are, not by its name. */
static ash_status gather(const char *path, cJSON *root, ash_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return ash_fail_errno(err, "%s", path);
    if (S_ISDIR(info.st_mode))
        return inspect_safetensors(path, true, root, err);
    ash_input in;
    ASH_TRY(ash_input_open(path, &in, err));
    uint8_t head[9] = { 0 };
    ash_status status = in.size >= sizeof head ? ash_input_read(&in, 0, head, sizeof head, err) : ASH_OK;
    uint64_t size = in.size;
    ash_input_close(&in);
    if (status != ASH_OK)
        return status;
    if (memcmp(head, ASH_MAGIC, 8) == 0)
        return inspect_ashlar(path, root, err);
    if (memcmp(head, "GGUF", 4) == 0)
        return inspect_gguf(path, root, err);
    size_t length = strlen(path);
    if (head[8] == '{' || (length > 5 && strcmp(path + length - 5, ".json") == 0))
        return inspect_safetensors(path, false, root, err);
    return ash_fail(err, ASH_E_FORMAT, "%s: no .ashlar, GGUF or safetensors file (%llu bytes): check the path", path,
                    (unsigned long long)size);
}

/* ---- text ---- */

static void print_value(const char *raw_key, const cJSON *item, int indent)
{
    char key[128];
    plain_text(raw_key, key, sizeof key);
    if (cJSON_IsObject(item)) {
        if (item->child)
            printf("%*s%s\n", indent, "", key);
        for (const cJSON *child = item->child; child; child = child->next)
            print_value(child->string, child, indent + 2);
        return;
    }
    char *text = cJSON_IsString(item) ? strdup(item->valuestring) : cJSON_PrintUnformatted(item), line[91];
    if (!text)
        return;
    printf("%*s%-*s %s%s\n", indent, "", 34 - indent, key, plain_text(text, line, sizeof line),
           strlen(text) > 90 ? " ..." : "");
    free(text);
}

static void print_text(const char *path, const cJSON *root, bool tensors)
{
    char a[32], b[32];
    const cJSON *types = ash_json_get(root, "types"), *item;
    printf("%s: %s, %s\n", path, ash_json_string(root, "kind"),
           bytes_text((uint64_t)ash_json_get(root, "file_bytes")->valuedouble, a));
    cJSON_ArrayForEach(item, root) if (!cJSON_IsArray(item) && item != types && strcmp(item->string, "kind") != 0 &&
                                       strcmp(item->string, "file_bytes") != 0)
        print_value(item->string, item, 2);
    puts("  types");
    cJSON_ArrayForEach(item, types)
    {
        double elements = ash_json_get(item, "elements")->valuedouble, bytes = ash_json_get(item, "bytes")->valuedouble;
        printf("    %-8s %5.0f tensors  %9s elements  %10s  %5.2f bits each\n", item->string,
               ash_json_get(item, "tensors")->valuedouble, count_text((uint64_t)elements, a), bytes_text((uint64_t)bytes, b),
               elements > 0 ? 8 * bytes / elements : 0);
    }
    if (!tensors) {
        printf("  %d tensors; --tensors lists them\n", cJSON_GetArraySize(ash_json_get(root, "tensors")));
        return;
    }
    puts("  tensors");
    cJSON_ArrayForEach(item, ash_json_get(root, "tensors"))
    {
        char *shape = cJSON_PrintUnformatted(ash_json_get(item, "shape"));
        const char *holds = ash_json_string(item, "holds");
        printf("    %-44s %-8s %-18s %10s  %s\n", ash_json_string(item, "name"), ash_json_string(item, "type"), shape,
               bytes_text((uint64_t)ash_json_get(item, "bytes")->valuedouble, a), holds ? holds : "");
        free(shape);
    }
}

int verb_inspect(int argc, char **argv)
{
    const char *path;
    bool json = false, tensors = false;
    const option options[] = {
        { "--json", NULL, OPTION_FLAG, &json, 0, 0, "everything as one JSON object" },
        { "--tensors", NULL, OPTION_FLAG, &tensors, 0, 0, "list every tensor" },
    };
    static const usage u = { "inspect", "FILE", "Shows what is in an .ashlar, .gguf or .safetensors file or a model folder.", NULL, 1 };
    int code = EXIT_OK;
    if (!options_parse(&u, options, sizeof options / sizeof *options, argc, argv, &path, &code))
        return code;
    cJSON *root = cJSON_CreateObject();
    ash_error err;
    cJSON_AddStringToObject(root, "path", path);
    cJSON_AddObjectToObject(root, "types");
    cJSON_AddArrayToObject(root, "tensors");
    ash_status status = gather(path, root, &err);
    if (status != ASH_OK) {
        code = fail_with(&err);
    } else if (json) {
        char *text = cJSON_Print(root);
        puts(text ? text : "{}");
        free(text);
    } else {
        cJSON_DeleteItemFromObjectCaseSensitive(root, "path");
        print_text(path, root, tensors);
    }
    cJSON_Delete(root);
    return code;
}
