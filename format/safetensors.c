/* Safetensors: u64 length of a JSON header, the header, the data. The header is an object of tensors, each with dtype,
 * shape and data_offsets [begin, end) in the data, and "__metadata__", a map of strings that is checked and not kept.
 * A sharded model has an index beside its files: {"weight_map": {tensor: file}}.
 */
#include "format/safetensors.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/checked.h"
#include "format/json.h"

#define HEADER_MAX_BYTES 100000000 /* the reference implementation's bound */
#define INDEX_MAX_BYTES 100000000
#define NAME_MAX_BYTES 4096

struct ash_safetensors {
    ash_st_tensor *tensors; /* names owned */
    uint32_t count, room;
    ash_st_tensor **by_name; /* ascending */
    ash_input *files;
    uint32_t file_count;
};

/* ---- one tensor ---- */

/* Bytes of the tensor: elements times bits, which must fill whole bytes (F4 and F6 are packed without row padding). */
static ash_status tensor_size(const ash_st_tensor *t, uint64_t *size, ash_error *err)
{
    const ash_dtype_info *info = ash_dtype_find(t->dtype);
    uint64_t elements = 1;
    for (uint32_t i = 0; i < t->dim_count; i++)
        if (!ash_mul(elements, t->shape[i], &elements))
            return ash_fail(err, ASH_E_FORMAT, "its shape has over 2^64 elements");
    if (elements % info->block_elems != 0)
        return ash_fail(err, ASH_E_FORMAT, "%" PRIu64 " elements of %s do not fill whole bytes", elements,
                        info->safetensors);
    if (!ash_mul(elements / info->block_elems, info->block_bytes, size))
        return ash_fail(err, ASH_E_FORMAT, "its size does not fit 64 bits");
    return ASH_OK;
}

static ash_status parse_shape(const cJSON *shape, ash_st_tensor *t, ash_error *err)
{
    if (!cJSON_IsArray(shape))
        return ash_fail(err, ASH_E_FORMAT, "'shape' is no list");
    const cJSON *item;
    cJSON_ArrayForEach(item, shape) {
        if (t->dim_count == sizeof t->shape / sizeof *t->shape)
            return ash_fail(err, ASH_E_UNSUPPORTED, "has over 8 dimensions");
        if (!ash_json_u64(item, &t->shape[t->dim_count++]))
            return ash_fail(err, ASH_E_FORMAT, "'shape' holds something that is no integer from 0 to 2^53");
    }
    return ASH_OK;
}

/* Fills in everything but name and file; offset is relative to the data. */
static ash_status parse_tensor(const cJSON *object, uint64_t data_bytes, ash_st_tensor *t, ash_error *err)
{
    if (!cJSON_IsObject(object))
        return ash_fail(err, ASH_E_FORMAT, "its entry is no object");
    const char *dtype = ash_json_string(object, "dtype");
    if (!dtype)
        return ash_fail(err, ASH_E_FORMAT, "'dtype' is missing or no string");
    t->dtype = ash_dtype_from_safetensors(dtype);
    if (t->dtype == ASH_DTYPE_COUNT)
        return ash_fail(err, ASH_E_UNSUPPORTED, "dtype '%.32s' is not known to this version of ashlar", dtype);
    ASH_TRY(parse_shape(ash_json_get(object, "shape"), t, err));

    const cJSON *offsets = ash_json_get(object, "data_offsets");
    uint64_t end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2)
        return ash_fail(err, ASH_E_FORMAT, "'data_offsets' is no list of two");
    if (!ash_json_u64(cJSON_GetArrayItem(offsets, 0), &t->offset) ||
        !ash_json_u64(cJSON_GetArrayItem(offsets, 1), &end))
        return ash_fail(err, ASH_E_FORMAT, "'data_offsets' holds something that is no integer from 0 to 2^53");
    if (t->offset > end)
        return ash_fail(err, ASH_E_FORMAT, "'data_offsets' end before they begin");
    uint64_t size = 0;
    ASH_TRY(tensor_size(t, &size, err));
    if (end - t->offset != size)
        return ash_fail(err, ASH_E_FORMAT, "shape and dtype need %" PRIu64 " bytes, 'data_offsets' hold %" PRIu64, size,
                        end - t->offset);
    if (end > data_bytes)
        return ash_fail(err, ASH_E_FORMAT, "ends at byte %" PRIu64 " of the data, which has %" PRIu64
                        "; the file is truncated or damaged, fetch it again", end, data_bytes);
    t->size = size;
    return ASH_OK;
}

/* ---- one file ---- */

static ash_status check_metadata(const cJSON *metadata, ash_error *err)
{
    if (!cJSON_IsObject(metadata))
        return ash_fail(err, ASH_E_FORMAT, "'__metadata__' is no object");
    const cJSON *item;
    cJSON_ArrayForEach(item, metadata)
        if (!cJSON_IsString(item))
            return ash_fail(err, ASH_E_FORMAT, "'__metadata__' holds '%.80s', which is no string", item->string);
    return ASH_OK;
}

static ash_status add_tensor(ash_safetensors *st, const cJSON *item, uint64_t data_bytes, ash_error *err)
{
    if (st->count == st->room) {
        uint32_t room = st->room ? 2 * st->room : 256; /* cannot wrap: an entry takes 40 bytes of a header of 10^8 */
        ash_st_tensor *tensors = realloc(st->tensors, room * sizeof *tensors);
        if (!tensors)
            return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu32 " tensors", room);
        st->tensors = tensors;
        st->room = room;
    }
    size_t length = strlen(item->string);
    if (length == 0 || length > NAME_MAX_BYTES)
        return ash_fail(err, ASH_E_FORMAT, "a tensor's name has %zu bytes (1 to %d are allowed)", length,
                        NAME_MAX_BYTES);
    ash_st_tensor t = { .file = st->file_count - 1 };
    ash_status status = parse_tensor(item, data_bytes, &t, err);
    if (status != ASH_OK) {
        char where[128];
        snprintf(where, sizeof where, "tensor '%.80s'", item->string);
        return ash_fail_in(err, where);
    }
    t.name = strdup(item->string);
    if (!t.name)
        return ash_fail(err, ASH_E_MEMORY, "no memory for tensor names");
    st->tensors[st->count++] = t;
    return ASH_OK;
}

static int compare_places(const void *a, const void *b)
{
    const ash_st_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->size != y->size) /* an empty tensor lies before its neighbour */
        return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The tensors from `first` on are one file's: they must cover its data exactly. Makes offsets absolute. */
static ash_status place_tensors(ash_safetensors *st, uint32_t first, uint64_t base, uint64_t data_bytes, ash_error *err)
{
    uint64_t expected = 0;
    if (st->count > first)
        qsort(st->tensors + first, st->count - first, sizeof *st->tensors, compare_places);
    for (uint32_t i = first; i < st->count; i++) {
        ash_st_tensor *t = &st->tensors[i];
        if (t->offset < expected)
            return ash_fail(err, ASH_E_FORMAT, "tensor '%.80s' overlaps '%.80s'; the file is damaged", t->name,
                            st->tensors[i - 1].name);
        if (t->offset > expected)
            return ash_fail(err, ASH_E_FORMAT,
                            "%" PRIu64 " bytes before tensor '%.80s' belong to no tensor; the file is damaged",
                            t->offset - expected, t->name);
        expected = t->offset + t->size;
        t->offset += base;
    }
    if (expected != data_bytes)
        return ash_fail(err, ASH_E_FORMAT,
                        "%" PRIu64 " bytes after the last tensor belong to no tensor; the file is damaged",
                        data_bytes - expected);
    return ASH_OK;
}

static ash_status parse_header(ash_safetensors *st, const cJSON *header, uint64_t base, uint64_t data_bytes,
                               ash_error *err)
{
    uint32_t first = st->count;
    const cJSON *item;
    cJSON_ArrayForEach(item, header) {
        if (strcmp(item->string, "__metadata__") == 0)
            ASH_TRY(check_metadata(item, err));
        else
            ASH_TRY(add_tensor(st, item, data_bytes, err));
    }
    return place_tensors(st, first, base, data_bytes, err);
}

/* Errors name the file. */
static ash_status read_file(ash_safetensors *st, const ash_input *file, ash_error *err)
{
    uint64_t length;
    if (file->size < sizeof length)
        return ash_fail(err, ASH_E_FORMAT, "%s: has %" PRIu64 " bytes and is no safetensors file", file->path,
                        file->size);
    ASH_TRY(ash_input_read(file, 0, &length, sizeof length, err));
    if (length > HEADER_MAX_BYTES)
        return ash_fail(err, ASH_E_FORMAT, "%s: declares a header of %" PRIu64 " bytes (at most %d are allowed); "
                        "it is no safetensors file or damaged", file->path, length, HEADER_MAX_BYTES);
    if (length > file->size - sizeof length)
        return ash_fail(err, ASH_E_FORMAT, "%s: its header of %" PRIu64 " bytes goes beyond the file's %" PRIu64
                        "; the file is truncated, fetch it again", file->path, length, file->size);
    char *text = malloc(length + 1);
    if (!text)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for a header of %" PRIu64 " bytes", file->path, length);
    cJSON *header = NULL;
    ash_status status = ash_input_read(file, sizeof length, text, length, err);
    if (status == ASH_OK) {
        if (length == 0 || text[0] != '{')
            status = ash_fail(err, ASH_E_FORMAT, "its header does not begin with '{'; it is no safetensors file");
        else
            status = ash_json_parse(text, length, HEADER_MAX_BYTES, &header, err);
        if (status == ASH_OK)
            status = parse_header(st, header, sizeof length + length, file->size - sizeof length - length, err);
        if (status != ASH_OK)
            ash_fail_in(err, file->path);
    }
    cJSON_Delete(header);
    free(text);
    return status;
}

static ash_status add_file(ash_safetensors *st, const char *path, ash_error *err)
{
    ASH_TRY(ash_input_open(path, &st->files[st->file_count], err));
    st->file_count++;
    return read_file(st, &st->files[st->file_count - 1], err);
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(ash_st_tensor *const *)a)->name, (*(ash_st_tensor *const *)b)->name);
}

static ash_status sort_names(ash_safetensors *st, ash_error *err)
{
    st->by_name = malloc((st->count + UINT64_C(1)) * sizeof *st->by_name);
    if (!st->by_name)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for %" PRIu32 " tensors", st->files[0].path, st->count);
    for (uint32_t i = 0; i < st->count; i++)
        st->by_name[i] = &st->tensors[i];
    qsort(st->by_name, st->count, sizeof *st->by_name, compare_names);
    /* Twice in one file is a duplicate key, which the JSON reader refuses; this is across shards. */
    for (uint32_t i = 1; i < st->count; i++)
        if (compare_names(&st->by_name[i - 1], &st->by_name[i]) == 0)
            return ash_fail(err, ASH_E_FORMAT, "%s: tensor '%.80s' is also in %s; a tensor may be in one shard only",
                            st->files[st->by_name[i]->file].path, st->by_name[i]->name,
                            st->files[st->by_name[i - 1]->file].path);
    return ASH_OK;
}

static uint32_t find_name(const ash_safetensors *st, const char *name)
{
    uint32_t low = 0, high = st->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int c = strcmp(st->by_name[middle]->name, name);
        if (c == 0)
            return middle;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT32_MAX;
}

/* ---- the index of a sharded model ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && memcmp(text + a - b, end, b) == 0;
}

/* A name that stays in the index's folder: no separator of any system, and nothing hidden or relative. */
static bool shard_name_valid(const char *name)
{
    return name[0] != '.' && !strpbrk(name, "/\\") && strlen(name) <= 255 && ends_with(name, ".safetensors");
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files that the map names, sorted, once each; borrowed from `map`. */
static ash_status shard_names(const cJSON *map, const char ***out, uint32_t *count, ash_error *err)
{
    *out = NULL;
    *count = 0;
    if (!cJSON_IsObject(map) || !map->child)
        return ash_fail(err, ASH_E_FORMAT, "'weight_map' is missing or empty; it is no index of safetensors files");
    uint32_t total = 0, unique = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, map)
        total++;
    const char **names = malloc(total * sizeof *names);
    if (!names)
        return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu32 " names", total);
    total = 0;
    cJSON_ArrayForEach(item, map) {
        if (!cJSON_IsString(item) || !shard_name_valid(item->valuestring)) {
            ash_fail(err, ASH_E_FORMAT,
                     "'weight_map' puts tensor '%.80s' into '%.80s', which is no .safetensors file of this folder",
                     item->string, cJSON_IsString(item) ? item->valuestring : "something that is no string");
            free(names);
            return err->status;
        }
        names[total++] = item->valuestring;
    }
    qsort(names, total, sizeof *names, compare_strings);
    for (uint32_t i = 0; i < total; i++)
        if (i == 0 || strcmp(names[i], names[unique - 1]) != 0)
            names[unique++] = names[i];
    *out = names;
    *count = unique;
    return ASH_OK;
}

static ash_status add_shards(ash_safetensors *st, const char *folder, const char *const *names, uint32_t count,
                             ash_error *err)
{
    st->files = calloc(count, sizeof *st->files);
    if (!st->files)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for %" PRIu32 " files", folder, count);
    for (uint32_t i = 0; i < count; i++) {
        char *path = ash_path_join(folder, names[i]);
        if (!path)
            return ash_fail(err, ASH_E_MEMORY, "%s: no memory for a file name", folder);
        ash_status status;
        if (ash_path_exists(path))
            status = add_file(st, path, err);
        else
            status = ash_fail(err, ASH_E_FORMAT,
                              "%s: this shard is missing, the index names it; fetch it into the same folder", path);
        free(path);
        ASH_TRY(status);
    }
    return ASH_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Every tensor of the map is in its shard, and every tensor of a shard is in the map. */
static ash_status check_map(const ash_safetensors *st, const cJSON *map, ash_error *err)
{
    bool *seen = calloc(st->count + UINT64_C(1), sizeof *seen);
    if (!seen)
        return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu32 " tensors", st->count);
    ash_status status = ASH_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        uint32_t at = find_name(st, item->string);
        if (at == UINT32_MAX) {
            status = ash_fail(err, ASH_E_FORMAT, "names tensor '%.80s', which no shard has ('%.80s' should)",
                              item->string,
                              item->valuestring);
            break;
        }
        const char *holder = base_name(st->files[st->by_name[at]->file].path);
        if (strcmp(holder, item->valuestring) != 0) {
            status = ash_fail(err, ASH_E_FORMAT, "puts tensor '%.80s' into '%.80s', but '%.80s' holds it", item->string,
                              item->valuestring, holder);
            break;
        }
        seen[at] = true;
    }
    for (uint32_t i = 0; i < st->count && status == ASH_OK; i++)
        if (!seen[i])
            status = ash_fail(err, ASH_E_FORMAT, "does not name tensor '%.80s', which '%.80s' holds",
                              st->by_name[i]->name,
                              base_name(st->files[st->by_name[i]->file].path));
    free(seen);
    return status;
}

static ash_status open_index(ash_safetensors *st, const char *path, ash_error *err)
{
    cJSON *index;
    ASH_TRY(ash_json_read_file(path, INDEX_MAX_BYTES, &index, err));
    const cJSON *map = ash_json_get(index, "weight_map");
    const char **names = NULL;
    uint32_t count;
    ash_status status = shard_names(map, &names, &count, err);
    if (status != ASH_OK)
        ash_fail_in(err, path);
    size_t length = (size_t)(base_name(path) - path);
    char *folder = length ? strndup(path, length) : strdup(".");
    if (status == ASH_OK && !folder)
        status = ash_fail(err, ASH_E_MEMORY, "%s: no memory for a file name", path);
    if (status == ASH_OK)
        status = add_shards(st, folder, names, count, err);
    if (status == ASH_OK)
        status = sort_names(st, err);
    if (status == ASH_OK && (status = check_map(st, map, err)) != ASH_OK)
        ash_fail_in(err, path);
    free(folder);
    free(names);
    cJSON_Delete(index);
    return status;
}

/* ---- a folder ---- */

/* The only entry of the folder whose name ends so: *out is its path, or NULL when there is none. Caller frees. */
static ash_status only_entry(const char *folder, const char *end, char **out, ash_error *err)
{
    *out = NULL;
    DIR *dir = opendir(folder);
    if (!dir)
        return ash_fail_errno(err, "%s: cannot read this folder", folder);
    ash_status status = ASH_OK;
    for (struct dirent *entry; status == ASH_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || !ends_with(entry->d_name, end))
            continue;
        if (*out)
            status = ash_fail(err, ASH_E_FORMAT,
                              "%s: has several files named *%s and no model%s; name the one that is meant",
                              folder, end, end);
        else if (!(*out = ash_path_join(folder, entry->d_name)))
            status = ash_fail(err, ASH_E_MEMORY, "%s: no memory for a file name", folder);
    }
    closedir(dir);
    if (status != ASH_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* model.safetensors (an index beside a merged file is a leftover, as transformers reads it), its index, the only other index, the only other file. Caller frees. */
static ash_status choose_in_folder(const char *folder, char **out, ash_error *err)
{
    static const char *const usual[] = { "model.safetensors", "model.safetensors.index.json" };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        *out = ash_path_join(folder, usual[i]);
        if (!*out)
            return ash_fail(err, ASH_E_MEMORY, "%s: no memory for a file name", folder);
        if (ash_path_exists(*out))
            return ASH_OK;
        free(*out);
        *out = NULL;
    }
    ASH_TRY(only_entry(folder, ".safetensors.index.json", out, err));
    if (!*out)
        ASH_TRY(only_entry(folder, ".safetensors", out, err));
    if (!*out)
        return ash_fail(err, ASH_E_FORMAT,
                        "%s: has no .safetensors file; weights in other formats (.bin, .pt) are not read", folder);
    return ASH_OK;
}

static ash_status open_path(ash_safetensors *st, const char *path, ash_error *err)
{
    if (ends_with(path, ".json"))
        return open_index(st, path, err);
    st->files = calloc(1, sizeof *st->files);
    if (!st->files)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory", path);
    ASH_TRY(add_file(st, path, err));
    return sort_names(st, err);
}

/* ---- the public functions ---- */

ash_status ash_safetensors_open(const char *path, ash_safetensors **out, ash_error *err)
{
    *out = NULL;
    char *chosen = NULL;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        ASH_TRY(choose_in_folder(path, &chosen, err));
    ash_safetensors *st = calloc(1, sizeof *st);
    ash_status status = st ? open_path(st, chosen ? chosen : path, err) : ash_fail(err, ASH_E_MEMORY, "%s: no memory",
                                                                                   path);
    free(chosen);
    if (status != ASH_OK) {
        ash_safetensors_close(st);
        return status;
    }
    *out = st;
    return ASH_OK;
}

void ash_safetensors_close(ash_safetensors *st)
{
    if (!st)
        return;
    for (uint32_t i = 0; i < st->count; i++)
        free((char *)st->tensors[i].name);
    for (uint32_t i = 0; i < st->file_count; i++)
        ash_input_close(&st->files[i]);
    free(st->tensors);
    free(st->by_name);
    free(st->files);
    free(st);
}

uint32_t ash_safetensors_count(const ash_safetensors *st) { return st->count; }
uint32_t ash_safetensors_file_count(const ash_safetensors *st) { return st->file_count; }

const ash_st_tensor *ash_safetensors_tensor(const ash_safetensors *st, uint32_t index)
{
    return index < st->count ? &st->tensors[index] : NULL;
}

const ash_st_tensor *ash_safetensors_find(const ash_safetensors *st, const char *name)
{
    uint32_t at = find_name(st, name);
    return at == UINT32_MAX ? NULL : st->by_name[at];
}

const ash_input *ash_safetensors_file(const ash_safetensors *st, uint32_t index)
{
    return index < st->file_count ? &st->files[index] : NULL;
}

ash_status ash_safetensors_read(const ash_safetensors *st, const ash_st_tensor *t, uint64_t at, void *out, size_t size,
                                ash_error *err)
{
    if (!ash_inside(at, size, t->size))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: %zu bytes at %" PRIu64
                        " are not inside tensor '%.80s' of %" PRIu64 " bytes",
                        st->files[t->file].path, size, at, t->name, t->size);
    return ash_input_read(&st->files[t->file], t->offset + at, out, size, err);
}
