/* Atomic output folders; the contract is in fileio.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/fileio.h"
#include "format/output_internal.h"

#define NAME_KEPT 200 /* of the target's name, in the temporary one: names may have 255 bytes */

struct ash_folder {
    char *path, *temporary; /* without a slash at the end */
    bool replace, made;
    bool (*ours)(const char *name);
    char **live; /* entries for the signal handler: the folder's own, then those of its files */
    size_t live_count;
};

/* Calls `each` for every entry; returns the first nonzero answer. -1: the folder cannot be read. */
static int walk(const char *path, int (*each)(const char *folder, const char *name, void *context), void *context)
{
    DIR *d = opendir(path);
    if (!d)
        return -1;
    int answer = 0;
    for (struct dirent *e; answer == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            answer = each(path, e->d_name, context);
    closedir(d);
    return answer;
}

static int any(const char *folder, const char *name, void *context)
{
    (void)folder, (void)name, (void)context;
    return 1;
}

typedef struct search {
    bool (*ours)(const char *name);
    char found[256];
} search;

/* A file that is not ours, or a folder, whatever its name. */
static int foreign(const char *folder, const char *name, void *context)
{
    search *s = context;
    struct stat st;
    char *path = ash_path_join(folder, name);
    bool file = path && lstat(path, &st) == 0 && !S_ISDIR(st.st_mode);
    free(path);
    if (file && s->ours(name))
        return 0;
    snprintf(s->found, sizeof s->found, "%s", name);
    return 1;
}

static int remove_file(const char *folder, const char *name, void *context)
{
    bool (*ours)(const char *) = ((search *)context)->ours;
    char *path = ash_path_join(folder, name);
    if (path && (!ours || ours(name)))
        (void)unlink(path);
    free(path);
    return 0;
}

static ash_status check_target(const ash_folder *f, ash_error *err)
{
    struct stat st;
    if (lstat(f->path, &st) != 0)
        return errno == ENOENT ? ASH_OK : ash_fail_errno(err, "%s: cannot write here", f->path);
    if (!S_ISDIR(st.st_mode))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: is no folder; the output must be the name of one", f->path);
    int filled = walk(f->path, any, NULL);
    if (filled < 0)
        return ash_fail_errno(err, "%s: cannot read this folder", f->path);
    if (!filled)
        return ASH_OK;
    if (!f->replace)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: already exists; use --force to replace it", f->path);
    search s = { .ours = f->ours };
    if (walk(f->path, foreign, &s) != 0)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: holds %.100s, which no export writes; choose another folder, or "
                        "empty this one", f->path, s.found);
    return ASH_OK;
}

static void folder_free(ash_folder *f)
{
    for (size_t i = f->live_count; i-- > 0;)
        ash_live_remove(f->live[i]);
    free(f->live);
    free(f->path);
    free(f->temporary);
    free(f);
}

static void live_enter(ash_folder *f, const char *path)
{
    char **more = realloc(f->live, (f->live_count + 1) * sizeof *more);
    if (!more)
        return;
    f->live = more;
    f->live[f->live_count++] = ash_live_add(path);
}

static ash_status make_temporary(ash_folder *f, ash_error *err)
{
    int length = (int)ash_output_folder_length(f->path);
    if (asprintf(&f->temporary, "%.*s.%.*s.XXXXXX", length, f->path, NAME_KEPT, f->path + length) < 0) {
        f->temporary = NULL; /* asprintf leaves it undefined */
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", f->path);
    }
    errno = EIO;
    for (int attempt = 0; attempt < 100 && !f->made; attempt++) {
        f->made = ash_output_random_end(f->temporary) && mkdir(f->temporary, 0777) == 0;
        if (!f->made && errno != EEXIST)
            break;
    }
    if (!f->made)
        return ash_fail_errno(err, "%s: cannot create a folder here", f->path);
    live_enter(f, f->temporary);
    return ASH_OK;
}

ash_status ash_folder_create(const char *path, bool replace, bool (*ours)(const char *name), ash_folder **out,
                             ash_error *err)
{
    *out = NULL;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    ash_folder *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strndup(path, size))) {
        free(f);
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    }
    f->replace = replace;
    f->ours = ours;
    const char *name = f->path + ash_output_folder_length(f->path);
    ash_status status = *name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0
                            ? ash_fail(err, ASH_E_ARGUMENT, "output '%s': the name of a folder is needed", path)
                            : check_target(f, err);
    if (status == ASH_OK)
        status = make_temporary(f, err);
    if (status != ASH_OK)
        folder_free(f);
    else
        *out = f;
    return status;
}

char *ash_folder_file(ash_folder *f, const char *name)
{
    char *path = ash_path_join(f->temporary, name);
    if (path)
        live_enter(f, path);
    return path;
}

/* Swaps the finished folder and the old one, which then has the temporary name. */
static int exchange(const ash_folder *f)
{
    int failed = renameat2(AT_FDCWD, f->temporary, AT_FDCWD, f->path, RENAME_EXCHANGE);
    if (!failed || (errno != EINVAL && errno != ENOSYS))
        return failed;
    /* File systems without the flag: for a moment neither is there. */
    char *aside = NULL;
    if (asprintf(&aside, "%s.old", f->temporary) < 0)
        return -1;
    failed = rename(f->path, aside);
    if (!failed && (failed = rename(f->temporary, f->path)) != 0)
        (void)rename(aside, f->path);
    else if (!failed)
        failed = rename(aside, f->temporary);
    free(aside);
    return failed;
}

static ash_status move_into_place(ash_folder *f, ash_error *err)
{
    ASH_TRY(check_target(f, err)); /* again: what others put there meanwhile must survive */
    if (rename(f->temporary, f->path) == 0) /* nothing is there, or an empty folder */
        return ASH_OK;
    if (!f->replace || (errno != ENOTEMPTY && errno != EEXIST) || exchange(f) != 0)
        return ash_fail_errno(err, "%s: cannot rename the finished folder to this name", f->path);
    f->made = false; /* what has the temporary name now is the old one: it loses what is ours and no more */
    search s = { .ours = f->ours };
    (void)walk(f->temporary, remove_file, &s);
    if (rmdir(f->temporary) != 0)
        return ash_fail_errno(err, "%s: is written, but the folder that it replaces cannot be removed; it is %s now",
                              f->path, f->temporary);
    return ASH_OK;
}

ash_status ash_folder_commit(ash_folder *f, ash_error *err)
{
    int fd = open(f->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* some network file systems have none for folders: the files themselves are on the disk */
        close(fd);
    }
    if (move_into_place(f, err) != ASH_OK) {
        ash_status status = err->status;
        ash_folder_abort(f);
        return status;
    }
    ash_output_sync_folder(f->path);
    folder_free(f);
    return ASH_OK;
}

void ash_folder_abort(ash_folder *f)
{
    if (!f)
        return;
    search s = { .ours = NULL };
    if (f->made) {
        (void)walk(f->temporary, remove_file, &s);
        (void)rmdir(f->temporary);
    }
    folder_free(f);
}
