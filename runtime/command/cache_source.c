/* What a model source is to the cache: which slot it has, and the key of its present state. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/source.h"
#include "format/fileio.h"
#include "format/hash.h"
#include "format/tile.h"
#include "format/version.h"
#include "format/vocab.h"
#include "runtime/command/cache.h"

#define SAMPLE_BYTES 4096
#define SPLIT_SUFFIX_BYTES 20 /* "-00001-of-00005.gguf" */

/* The Makefile gives a checksum of the converter's sources: a conversion of an older build is made again. */
#ifndef CONVERTER_ID
#define CONVERTER_ID "none"
#endif

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool folder_has(const char *folder, const char *name)
{
    char *path = ash_path_join(folder, name);
    bool there = path && ash_path_exists(path);
    free(path);
    return there;
}

/* ---- the key ---- */

/* With its length, so that no two lists of texts feed the same bytes. */
static void feed_text(ash_hasher *h, const char *text)
{
    uint64_t size = strlen(text);
    ash_hasher_update(h, &size, sizeof size);
    ash_hasher_update(h, text, size);
}

static void feed_samples(ash_hasher *h, const char *path, uint64_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const uint64_t last = size > SAMPLE_BYTES ? size - SAMPLE_BYTES : 0, at[] = { 0, last / 2, last };
    for (size_t i = 0; fd >= 0 && i < sizeof at / sizeof *at; i++) {
        char bytes[SAMPLE_BYTES];
        ssize_t n = pread(fd, bytes, sizeof bytes, (off_t)at[i]);
        if (n > 0) /* a file that cannot be read is refused by the conversion */
            ash_hasher_update(h, bytes, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
}

static void feed_file(ash_hasher *h, const char *name, const char *path)
{
    struct stat st;
    char *real = realpath(path, NULL);
    feed_text(h, name);
    feed_text(h, real ? real : "");
    if (real && stat(real, &st) == 0 && S_ISREG(st.st_mode)) {
        const int64_t facts[] = { st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
        ash_hasher_update(h, facts, sizeof facts);
        feed_samples(h, real, (uint64_t)st.st_size);
    }
    free(real);
}

/* Whatever a conversion of a folder may read: weights, their index, configuration, tokenizer, templates. */
static int is_model_file(const struct dirent *entry)
{
    static const char *const ends[] = { ".safetensors", ".json", ".jinja", ".model", ".txt" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (entry->d_name[0] != '.' && ends_with(entry->d_name, ends[i]))
            return 1;
    return 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static ash_status feed_folder(ash_hasher *h, const char *folder, ash_error *err)
{
    struct dirent **names;
    int count = scandir(folder, &names, is_model_file, by_bytes);
    if (count < 0)
        return ash_fail_errno(err, "%s: cannot list", folder);
    ash_status status = ASH_OK;
    for (int i = 0; i < count; i++) {
        char *path = ash_path_join(folder, names[i]->d_name);
        if (path)
            feed_file(h, names[i]->d_name, path);
        else
            status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
        free(path);
        free(names[i]);
    }
    free(names);
    return status;
}

/* Every part of a split GGUF up to the first that is missing, which the conversion reports. `first` ends in
 * "-00001-of-NNNNN.gguf". */
static ash_status feed_parts(ash_hasher *h, const char *first, ash_error *err)
{
    char *path = strdup(first);
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", first);
    size_t at = strlen(path) - SPLIT_SUFFIX_BYTES + 1;
    unsigned count = (unsigned)strtoul(path + at + 9, NULL, 10);
    for (unsigned number = 1; number <= count; number++) {
        char digits[12];
        snprintf(digits, sizeof digits, "%05u", number);
        memcpy(path + at, digits, 5);
        feed_file(h, ash_base_name(path), path);
        if (!ash_path_exists(path))
            break;
    }
    free(path);
    return ASH_OK;
}

/* ---- what the path names ---- */

static bool is_split(const char *path)
{
    size_t length = strlen(path);
    if (length < SPLIT_SUFFIX_BYTES || !ends_with(path, ".gguf"))
        return false;
    const char *p = path + length - SPLIT_SUFFIX_BYTES;
    return p[0] == '-' && strspn(p + 1, "0123456789") == 5 && memcmp(p + 6, "-of-", 4) == 0 &&
           strspn(p + 10, "0123456789") == 5;
}

typedef enum kind { KIND_DIRECT, KIND_GGUF, KIND_SAFETENSORS, KIND_FOLDER } kind;

/* By first bytes; a file too damaged to have them is told by its name. What does not exist is left to the reader, which
 * says so. */
static kind kind_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return KIND_DIRECT;
    if (S_ISDIR(st.st_mode))
        return KIND_FOLDER;
    char head[9] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? 0 : pread(fd, head, sizeof head, 0);
    if (fd >= 0)
        close(fd);
    if (n >= 8 && memcmp(head, ASH_MAGIC, 8) == 0)
        return KIND_DIRECT;
    if ((n >= 4 && memcmp(head, "GGUF", 4) == 0) || ends_with(path, ".gguf"))
        return KIND_GGUF;
    if ((n == sizeof head && head[8] == '{') || ends_with(path, ".safetensors") || ends_with(path, ".safetensors.index.json"))
        return KIND_SAFETENSORS;
    return KIND_DIRECT;
}

/* The .ashlar of a folder that has no safetensors and one .ashlar; NULL where there is none or more than one. */
static char *only_ashlar(const char *folder)
{
    char *found = NULL;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !ends_with(e->d_name, ".ashlar"))
            continue;
        if (found) {
            free(found);
            found = NULL;
            break;
        }
        found = ash_path_join(folder, e->d_name);
    }
    if (d)
        closedir(d);
    return found;
}

/* A shard, an index or the single file of a folder stands for the folder, as the converter sees it, too. */
static bool stands_for_folder(const char *folder, const char *name)
{
    bool index = folder_has(folder, "model.safetensors.index.json");
    if (strcmp(name, "model.safetensors.index.json") == 0)
        return !folder_has(folder, "model.safetensors");
    return strcmp(name, "model.safetensors") == 0 || (strstr(name, "-of-") && index);
}

/* "NAME-<16 hex of the path's hash>"; NAME is for people, of characters that need no quoting. */
static void name_slot(const char *path, bool gguf, char slot[CACHE_SLOT_MAX])
{
    const char *name = ash_base_name(path);
    size_t length = strlen(name), n = 0;
    if (gguf && ends_with(name, ".gguf"))
        length -= is_split(name) ? SPLIT_SUFFIX_BYTES : strlen(".gguf");
    for (; n < length && n < CACHE_NAME_MAX; n++) {
        char c = name[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        slot[n] = plain || (c == '.' && n) ? c : '_';
    }
    snprintf(slot + n, CACHE_SLOT_MAX - n, "-%016" PRIx64, ash_hash(path, strlen(path)).low);
}

/* The absolute path of a source. Only the folders' links are followed: a link into a store of nameless blobs has the name
 * by which the user knows the model, and by which the other parts of a split one are found. */
static ash_status absolute(const char *given, char **out, ash_error *err)
{
    const char *name = ash_base_name(given);
    char *folder = name == given ? strdup(".") : strndup(given, (size_t)(name - given)), *real = NULL;
    if (folder && !(real = realpath(folder, NULL)))
        ash_fail_errno(err, "%s", given);
    else if (!folder || !(*out = ash_path_join(real, name)))
        ash_fail(err, ASH_E_MEMORY, "%s: out of memory", given);
    free(folder);
    free(real);
    return *out ? ASH_OK : err->status;
}

static ash_status find_path(const char *given, kind *k, cache_source *s, ash_error *err)
{
    if (*k == KIND_FOLDER) {
        s->path = realpath(given, NULL);
        return s->path ? ASH_OK : ash_fail_errno(err, "%s", given);
    }
    ASH_TRY(absolute(given, &s->path, err));
    char *slash = strrchr(s->path, '/');
    if (*k == KIND_GGUF) {
        if (is_split(s->path))
            memcpy(s->path + strlen(s->path) - SPLIT_SUFFIX_BYTES + 1, "00001", 5);
        return ASH_OK;
    }
    *slash = 0;
    if (slash != s->path && stands_for_folder(s->path, slash + 1))
        *k = KIND_FOLDER;
    else
        *slash = '/';
    return ASH_OK;
}

static ash_status compute_key(kind k, cache_source *s, ash_error *err)
{
    char made_by[128];
    snprintf(made_by, sizeof made_by, "ashlar %s, converter %s, container %d, tokenizer %d, layouts %d, type keep",
             ASHLAR_VERSION, CONVERTER_ID, ASH_VERSION, ASH_VOCAB_VERSION, ASH_LAYOUT_REVISION);
    ash_hasher *h = ash_hasher_new();
    if (!h)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->path);
    feed_text(h, made_by);
    ash_status status = ASH_OK;
    if (k == KIND_GGUF && is_split(s->path)) {
        status = feed_parts(h, s->path, err);
    } else if (k == KIND_GGUF) {
        feed_file(h, ash_base_name(s->path), s->path);
    } else {
        const char *name = ash_base_name(s->path);
        char *folder = k == KIND_FOLDER ? strdup(s->path) : strndup(s->path, (size_t)(name - s->path)), *more = NULL;
        if (!folder || !(more = ash_path_join(folder, "additional_chat_templates")))
            status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->path);
        if (status == ASH_OK)
            status = feed_folder(h, folder, err);
        if (status == ASH_OK && is_folder(more))
            status = feed_folder(h, more, err);
        free(folder);
        free(more);
    }
    ash_hash_text(ash_hasher_digest(h), s->key);
    ash_hasher_free(h);
    return status;
}

ash_status cache_source_read(const char *given, cache_source *out, ash_error *err)
{
    *out = (cache_source){ 0 };
    kind k = kind_of(given);
    if (k == KIND_FOLDER && !folder_has(given, "model.safetensors.index.json") && !folder_has(given, "model.safetensors"))
        out->direct = only_ashlar(given);
    if (out->direct)
        return ASH_OK;
    if (k == KIND_DIRECT) {
        out->direct = strdup(given);
        return out->direct ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", given);
    }
    ash_status status = find_path(given, &k, out, err);
    if (status == ASH_OK) {
        name_slot(out->path, k == KIND_GGUF, out->slot);
        status = compute_key(k, out, err);
    }
    if (status != ASH_OK)
        cache_source_free(out);
    return status;
}

void cache_source_free(cache_source *s)
{
    free(s->direct);
    free(s->path);
    *s = (cache_source){ 0 };
}
