/* One slot of the cache on disk: names, record, lock, removal. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/fileio.h"
#include "format/hash.h"
#include "format/reader.h"
#include "runtime/command/cache.h"
#include "runtime/command/command.h"

#define RECORD_MAGIC "ashlar cache 1 "
#define RECORD_HEAD (sizeof RECORD_MAGIC - 1 + 32 + 1 + 32 + 1) /* with two hashes, the blank between, the line's end */
#define RECORD_MAX (RECORD_HEAD + 65536)
#define PATIENCE_STEPS 30 /* of 10 ms, before somebody is told that we wait */

static const char *const suffixes[CACHE_FILES] = { ".ashlar", ".source", ".lock" };

/* ---- the folder ---- */

/* $XDG_CACHE_HOME counts only when it is absolute, as its specification says. */
ash_status cache_folder(char **out, ash_error *err)
{
    const char *base = getenv("XDG_CACHE_HOME"), *more = "ashlar";
    *out = NULL;
    if (!base || base[0] != '/')
        base = getenv("HOME"), more = ".cache/ashlar";
    if (!base || base[0] != '/')
        return ash_fail(err, ASH_E_ARGUMENT, "no folder to keep converted models in, as neither XDG_CACHE_HOME nor "
                        "HOME names one: set one of them, or convert with 'ashlar convert SRC -o OUT.ashlar'");
    *out = ash_path_join(base, more);
    return *out ? ASH_OK : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", base);
}

/* Who creates a folder first does not matter. One above it that cannot be created may exist: the last one decides. */
ash_status cache_make_folder(const char *folder, ash_error *err)
{
    char *path = strdup(folder);
    if (!path)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        (void)mkdir(path, 0700);
        *at = '/';
    }
    free(path);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return ash_fail_errno(err, "%s: cannot create this folder for the cache", folder);
    return ASH_OK;
}

/* ---- names ---- */

ash_status cache_slot_open(const char *folder, const char *name, cache_slot *out, ash_error *err)
{
    *out = (cache_slot){ .folder = strdup(folder) };
    snprintf(out->name, sizeof out->name, "%s", name);
    bool fine = out->folder != NULL;
    for (int i = 0; i < CACHE_FILES; i++)
        if (asprintf(&out->files[i], "%s/%s%s", folder, name, suffixes[i]) < 0)
            out->files[i] = NULL, fine = false;
    if (fine)
        return ASH_OK;
    cache_slot_free(out);
    return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", folder);
}

void cache_slot_free(cache_slot *s)
{
    free(s->folder);
    for (int i = 0; i < CACHE_FILES; i++)
        free(s->files[i]);
    *s = (cache_slot){ 0 };
}

/* "-<16 hex>" at the end of the first `length` bytes. */
static bool is_slot_name(const char *name, size_t length)
{
    if (length < 17 || length >= CACHE_SLOT_MAX || name[length - 17] != '-')
        return false;
    for (size_t i = length - 16; i < length; i++)
        if (!isdigit((unsigned char)name[i]) && !(name[i] >= 'a' && name[i] <= 'f'))
            return false;
    return true;
}

/* A writer's temporary file is ".NAME.XXXXXX" (format/fileio.h). */
bool cache_slot_of(const char *file, char slot[CACHE_SLOT_MAX], bool *entry, bool *temporary)
{
    size_t length = strlen(file);
    *temporary = file[0] == '.';
    if (*temporary) {
        if (length < 8 || file[length - 7] != '.')
            return false;
        file++, length -= 8;
    }
    for (int i = 0; i < CACHE_FILES; i++) {
        size_t end = strlen(suffixes[i]);
        if (length <= end || memcmp(file + length - end, suffixes[i], end) != 0 || !is_slot_name(file, length - end))
            continue;
        memcpy(slot, file, length - end);
        slot[length - end] = 0;
        *entry = i == CACHE_ENTRY && !*temporary;
        return true;
    }
    return false;
}

/* ---- the record ---- */

static bool read_record(const cache_slot *s, cache_record *out)
{
    char *text;
    size_t size;
    ash_error ignored;
    struct stat st;
    const char *path = s->files[CACHE_RECORD];
    *out = (cache_record){ 0 };
    if (stat(path, &st) != 0 || ash_read_whole(path, RECORD_MAX, &text, &size, &ignored) != ASH_OK)
        return false;
    const char *key = text + sizeof RECORD_MAGIC - 1, *header = key + 33;
    bool fine = size > RECORD_HEAD && strlen(text) == size && memcmp(text, RECORD_MAGIC, sizeof RECORD_MAGIC - 1) == 0 &&
                key[32] == ' ' && header[32] == '\n' && (out->source = strdup(header + 33));
    if (fine) {
        memcpy(out->key, key, 32);
        memcpy(out->header, header, 32);
        out->used = st.st_mtime;
    }
    free(text);
    return fine;
}

char *cache_slot_source(const cache_slot *s)
{
    cache_record record;
    return read_record(s, &record) ? record.source : NULL;
}

static ash_status header_hash(const cache_slot *s, char out[33], ash_error *err)
{
    ash_file *file;
    ASH_TRY(ash_file_open(s->files[CACHE_ENTRY], &file, err));
    ash_hash_text(ash_file_header(file)->header_hash, out);
    ash_file_close(file);
    return ASH_OK;
}

bool cache_slot_record(const cache_slot *s, cache_record *out)
{
    char header[33];
    ash_error ignored;
    if (!read_record(s, out))
        return false;
    if (header_hash(s, header, &ignored) == ASH_OK && strcmp(header, out->header) == 0)
        return true;
    free(out->source);
    *out = (cache_record){ 0 };
    return false;
}

ash_status cache_slot_write_record(const cache_slot *s, const char *key, const char *source, ash_error *err)
{
    char header[33], *text;
    ASH_TRY(header_hash(s, header, err));
    int size = asprintf(&text, RECORD_MAGIC "%s %s\n%s", key, header, source);
    if (size < 0)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->files[CACHE_RECORD]);
    ash_status status = ash_write_whole(s->files[CACHE_RECORD], true, text, (size_t)size, err);
    free(text);
    return status;
}

void cache_slot_touch(const cache_slot *s)
{
    (void)utimensat(AT_FDCWD, s->files[CACHE_RECORD], NULL, 0); /* a cache that cannot be written works without */
}

/* ---- the lock ---- */

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* 0, EWOULDBLOCK after a moment, or what flock says. */
static int try_lock(int fd, int how)
{
    for (int i = 0; i < PATIENCE_STEPS; i++) {
        if (flock(fd, how | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return errno;
        usleep(10000);
    }
    return EWOULDBLOCK;
}

ash_status cache_slot_lock(const cache_slot *s, int how, const char *what, int *fd, ash_error *err)
{
    const char *path = s->files[CACHE_LOCK];
    *fd = -1;
    for (;;) {
        int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (f < 0)
            return ash_fail_errno(err, "%s: cannot write to the cache", path);
        int code = try_lock(f, how);
        if (code == EWOULDBLOCK && !what) {
            close(f);
            return ash_fail(err, ASH_E_LIMIT, "%s: is being written or opened by another ashlar", s->files[CACHE_ENTRY]);
        }
        if (code == EWOULDBLOCK) {
            fprintf(stderr, "waiting: %s\n", what);
            double started = seconds_now();
            while ((code = flock(f, how) == 0 ? 0 : errno) == EINTR && !interrupted)
                ;
            seconds_set_aside(seconds_now() - started);
            if (code == EINTR) {
                close(f);
                return ash_fail(err, ASH_E_CANCELLED, "%s: stopped while waiting", s->files[CACHE_ENTRY]);
            }
        }
        if (code != 0) { /* no locks here: conversions still appear whole, though two may be made at once */
            close(f);
            return ASH_OK;
        }
        if (same_file(f, path)) {
            *fd = f;
            return ASH_OK;
        }
        close(f); /* the file that we waited for has been removed with its slot: another one counts now */
    }
}

/* ---- removal ---- */

static ash_status remove_file(const char *path, uint64_t *bytes, ash_error *err)
{
    struct stat st;
    bool counts = lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    if (unlink(path) != 0)
        return errno == ENOENT ? ASH_OK : ash_fail_errno(err, "%s: cannot remove", path);
    *bytes += counts ? (uint64_t)st.st_size : 0;
    return ASH_OK;
}

static ash_status remove_temporary(const cache_slot *s, uint64_t *bytes, ash_error *err)
{
    DIR *d = opendir(s->folder);
    ash_status status = ASH_OK;
    for (struct dirent *e; d && status == ASH_OK && (e = readdir(d));) {
        char slot[CACHE_SLOT_MAX], *path;
        bool entry, temporary;
        if (!cache_slot_of(e->d_name, slot, &entry, &temporary) || !temporary || strcmp(slot, s->name) != 0)
            continue;
        path = ash_path_join(s->folder, e->d_name);
        status = path ? remove_file(path, bytes, err) : ash_fail(err, ASH_E_MEMORY, "%s: out of memory", s->folder);
        free(path);
    }
    if (d)
        closedir(d);
    return status;
}

ash_status cache_slot_remove(const cache_slot *s, bool lock_file, uint64_t *bytes, ash_error *err)
{
    uint64_t ignored = 0;
    ASH_TRY(remove_file(s->files[CACHE_RECORD], &ignored, err));
    ASH_TRY(remove_file(s->files[CACHE_ENTRY], bytes, err));
    ASH_TRY(remove_temporary(s, bytes, err));
    return lock_file ? remove_file(s->files[CACHE_LOCK], &ignored, err) : ASH_OK;
}
