#include "convert/source_internal.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utf8proc.h>

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *ash_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool ash_text_is_utf8(const char *text)
{
    utf8proc_int32_t point;
    for (const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text; *p;) {
        utf8proc_ssize_t n = utf8proc_iterate(p, -1, &point);
        if (n <= 0)
            return false;
        p += n;
    }
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

/* ---- what the path names ---- */

/* GGUF and .ashlar by their first bytes, whatever the file is called; a file that is too short for them is left to the
 * reader that its name asks for. */
static ash_status look_at(const char *path, bool *gguf, bool *ashlar, ash_error *err)
{
    ash_input in;
    ASH_TRY(ash_input_open(path, &in, err));
    char magic[4] = "";
    ash_status status = in.size < sizeof magic ? ASH_OK : ash_input_read(&in, 0, magic, sizeof magic, err);
    *ashlar = memcmp(magic, ASH_MAGIC, sizeof magic) == 0;
    *gguf = memcmp(magic, "GGUF", sizeof magic) == 0;
    if (!*ashlar && !*gguf) {
        *ashlar = ends_with(path, ".ashlar");
        *gguf = ends_with(path, ".gguf");
    }
    ash_input_close(&in);
    return status;
}

static bool folder_has(const char *folder, const char *name)
{
    char *path = ash_path_join(folder, name);
    bool there = path && ash_path_exists(path);
    free(path);
    return there;
}

static bool folder_has_index(const char *folder) { return folder_has(folder, "model.safetensors.index.json"); }

static bool folder_has_safetensors(const char *folder)
{
    return folder_has_index(folder) || folder_has(folder, "model.safetensors");
}

/* Several quantizations of a model often share a folder: only the user knows which one is meant. */
static ash_status explain_gguf(const char *folder, ash_error *err)
{
    DIR *d = opendir(folder);
    char name[256] = "";
    for (struct dirent *e; d && (e = readdir(d));)
        if (ends_with(e->d_name, ".gguf") && (!*name || strcmp(e->d_name, name) < 0))
            snprintf(name, sizeof name, "%s", e->d_name);
    if (d)
        closedir(d);
    return *name ? ash_fail(err, ASH_E_ARGUMENT, "%s: has no .safetensors file, but %s: name that file", folder, name)
                 : ASH_OK;
}

/* A folder without safetensors often has the weights in a form that is not read here: say which. */
static ash_status explain_folder(const char *folder, ash_error *err)
{
    static const struct { const char *file, *what; } others[] = {
        { "pytorch_model.bin", "pickled PyTorch weights" },
        { "pytorch_model.bin.index.json", "pickled PyTorch weights" },
        { "consolidated.00.pth", "pickled PyTorch weights" },
        { "tf_model.h5", "TensorFlow weights" },
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (folder_has(folder, others[i].file))
            return ash_fail(err, ASH_E_UNSUPPORTED, "%s: has %s (%s), which are not read; safetensors are needed",
                            folder, others[i].file, others[i].what);
    }
    return explain_gguf(folder, err);
}

/* ---- directories ---- */

static void from_safetensors(const ash_st_tensor *t, uint32_t index, ash_source_tensor *out)
{
    *out = (ash_source_tensor){ .name = t->name, .dtype = t->dtype, .dim_count = t->dim_count, .size = t->size,
                                .offset = t->offset, .file = t->file, .index = index };
    for (uint32_t d = 0; d < 8; d++)
        out->dims[d] = d < t->dim_count ? t->shape[t->dim_count - 1 - d] : 1;
}

static void from_gguf(const ash_gguf_tensor *t, uint32_t index, ash_source_tensor *out)
{
    *out = (ash_source_tensor){ .name = t->name, .dtype = t->dtype, .dim_count = t->dim_count, .size = t->size,
                                .offset = t->offset, .file = t->file, .index = index };
    for (uint32_t d = 0; d < 8; d++)
        out->dims[d] = d < 4 ? t->dims[d] : 1;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const ash_source_tensor *t = context;
    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

static ash_status build_directory(ash_source *s, ash_error *err)
{
    if (s->gguf) {
        s->count = ash_gguf_tensor_count(s->gguf);
        s->file_count = ash_gguf_file_count(s->gguf);
    } else if (s->st) {
        s->count = ash_safetensors_count(s->st);
        s->file_count = ash_safetensors_file_count(s->st);
    }
    if (s->count == 0)
        return ash_fail(err, ASH_E_FORMAT, "%s: holds no tensors; a model with weights is needed", s->path);
    s->tensors = s->tensors ? s->tensors : calloc(s->count, sizeof *s->tensors);
    s->by_name = calloc(s->count, sizeof *s->by_name);
    if (!s->tensors || !s->by_name)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory for %" PRIu32 " tensors", s->path, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->gguf)
            from_gguf(ash_gguf_tensor_at(s->gguf, i), i, &s->tensors[i]);
        else if (s->st)
            from_safetensors(ash_safetensors_tensor(s->st, i), i, &s->tensors[i]);
        s->by_name[i] = i;
    }
    qsort_r(s->by_name, s->count, sizeof *s->by_name, compare_names, s->tensors);
    return ASH_OK;
}

static ash_status open_parts(const char *path, ash_source *s, ash_error *err)
{
    bool folder = is_folder(path), gguf = false, ashlar = false;
    s->path = strdup(path);
    if (!s->path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    if (!folder)
        ASH_TRY(look_at(path, &gguf, &ashlar, err));
    if (ashlar) {
        ASH_TRY(ash_source_open_ashlar(s, err));
    } else if (gguf) {
        s->kind = ASH_SOURCE_GGUF;
        ASH_TRY(ash_gguf_open(path, &s->gguf, err));
    } else {
        s->kind = ASH_SOURCE_HF;
        size_t length = (size_t)(ash_base_name(path) - path);
        s->folder = folder ? strdup(path) : length ? strndup(path, length) : strdup(".");
        if (!s->folder)
            return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
        if (folder && !folder_has_safetensors(path))
            ASH_TRY(explain_folder(path, err));
        /* One shard of several stands for the whole model. */
        bool shard = !folder && strstr(ash_base_name(path), "-of-") && folder_has_index(s->folder);
        ASH_TRY(ash_safetensors_open(shard ? s->folder : path, &s->st, err));
    }
    return build_directory(s, err);
}

ash_status ash_source_open(const char *path, ash_source *out, ash_error *err)
{
    *out = (ash_source){ 0 };
    ash_status status = open_parts(path, out, err);
    if (status != ASH_OK)
        ash_source_close(out);
    return status;
}

void ash_source_close(ash_source *s)
{
    if (s->gguf)
        ash_gguf_close(s->gguf);
    if (s->st)
        ash_safetensors_close(s->st);
    if (s->ashlar_input.path)
        ash_input_close(&s->ashlar_input);
    ash_file_close(s->ashlar);
    ash_meta_free(&s->meta);
    free(s->folder);
    free(s->path);
    free(s->tensors);
    free(s->by_name);
    *s = (ash_source){ 0 };
}

/* ---- access ---- */

const ash_source_tensor *ash_source_find(const ash_source *s, const char *name)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const ash_source_tensor *t = &s->tensors[s->by_name[middle]];
        int order = strcmp(t->name, name);
        if (order == 0)
            return t;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const ash_input *ash_source_file(const ash_source *s, uint32_t index)
{
    if (s->ashlar)
        return &s->ashlar_input;
    return s->gguf ? ash_gguf_file(s->gguf, index) : ash_safetensors_file(s->st, index);
}

ash_status ash_source_read(const ash_source *s, const ash_source_tensor *t, uint64_t at, void *out, size_t size,
                           ash_error *err)
{
    if (s->ashlar)
        return ash_source_read_ashlar(s, t, at, out, size, err);
    if (s->gguf)
        return ash_gguf_read(s->gguf, ash_gguf_tensor_at(s->gguf, t->index), at, out, size, err);
    return ash_safetensors_read(s->st, ash_safetensors_tensor(s->st, t->index), at, out, size, err);
}

const char *ash_source_shape(const ash_source *s, const ash_source_tensor *t, char out[128])
{
    size_t at = 0;
    out[at++] = '[';
    for (uint32_t i = 0; i < t->dim_count; i++) {
        uint32_t d = s->kind == ASH_SOURCE_HF ? t->dim_count - 1 - i : i;
        int n = snprintf(out + at, 128 - at, "%s%" PRIu64, i ? ", " : "", t->dims[d]);
        if (n < 0 || at + (size_t)n >= 126)
            break;
        at += (size_t)n;
    }
    out[at++] = ']';
    out[at] = 0;
    return out;
}
