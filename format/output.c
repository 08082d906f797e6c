/* Atomic output files; the contract is in fileio.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/checked.h"
#include "format/fileio.h"
#include "format/output_internal.h"

#define BUFFER_BYTES ((size_t)2 << 20)
/* How much is written before the kernel is told to start writing it back, so that the disk works while we compute and
 * the final fsync finds little left to do. */
#define WRITEBACK_BYTES ((uint64_t)32 << 20)
/* File names may have 255 bytes; the temporary one is a dot, what it keeps of the target's name, and ".XXXXXX". */
#define NAME_KEPT 200
#define LIVE_MAX 512

struct ash_output {
    int fd;
    bool replace;
    bool failed; /* a write failed: there is a hole, so the file must not be committed */
    char *path;      /* the target */
    char *temporary;
    char *live_name; /* its entry in live[], or NULL */
    uint64_t written;  /* bytes handed to the kernel */
    uint64_t synced;   /* bytes whose write-back was started */
    size_t used;       /* bytes waiting in buffer */
    uint8_t *buffer;
};

/* Names of temporary files, for a signal handler. Whoever takes a pointer out of its slot owns it: a handler may run
 * while another thread commits. It cannot free what it took, and parks it (the process is about to end). */
static _Atomic(char *) live[LIVE_MAX], parked[LIVE_MAX];

char *ash_live_add(const char *path)
{
    char *copy = strdup(path);
    for (int i = 0; copy && i < LIVE_MAX; i++) {
        char *empty = NULL;
        if (atomic_compare_exchange_strong(&live[i], &empty, copy))
            return copy;
    }
    free(copy);
    return NULL;
}

void ash_live_remove(char *name)
{
    for (int i = 0; name && i < LIVE_MAX; i++) {
        char *expected = name;
        if (atomic_compare_exchange_strong(&live[i], &expected, NULL)) {
            free(name);
            return;
        }
    }
}

void ash_output_unlink_all(void)
{
    int code = errno;
    for (int i = 0; i < LIVE_MAX; i++) {
        char *path = atomic_exchange(&live[i], NULL);
        if (path) {
            unlink(path);
            atomic_store(&parked[i], path);
        }
    }
    for (int i = 0; i < LIVE_MAX; i++) { /* of files, and of folders that are not empty, this is an error */
        const char *path = atomic_load(&parked[i]);
        if (path)
            (void)rmdir(path);
    }
    errno = code;
}

size_t ash_output_folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static ash_status check_target(const char *path, bool replace, ash_error *err)
{
    if (path[0] == 0 || path[ash_output_folder_length(path)] == 0)
        return ash_fail(err, ASH_E_ARGUMENT, "output '%s': a file name is needed", path);
    struct stat st;
    if (lstat(path, &st) != 0) {
        if (errno == ENOENT)
            return ASH_OK;
        return ash_fail_errno(err, "%s: cannot write here", path);
    }
    if (S_ISDIR(st.st_mode))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: is a folder; the output must be a file name", path);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: is a pipe or device; the output must be a regular file", path);
    if (!replace)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: already exists; use --force to replace it", path);
    return ASH_OK;
}

_Bool ash_output_random_end(char *name)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t noise[6];
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        return false;
    char *end = name + strlen(name) - sizeof noise;
    for (size_t i = 0; i < sizeof noise; i++)
        end[i] = digits[noise[i] % (sizeof digits - 1)];
    return true;
}

/* Creates the temporary file and enters it into live[], with signals held back so that a handler of this thread never
 * runs between the two. Mode 0666: the kernel applies the umask or the folder's default ACL, unlike mkstemp. */
static int create_temporary(ash_output *o)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int fd = -1;
    for (int attempt = 0; attempt < 100; attempt++) {
        if (!ash_output_random_end(o->temporary))
            continue;
        fd = open(o->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    int code = errno;
    if (fd >= 0)
        o->live_name = ash_live_add(o->temporary);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return fd;
}

static void output_free(ash_output *o)
{
    if (o->fd >= 0)
        close(o->fd);
    free(o->path);
    free(o->temporary);
    free(o->buffer);
    free(o);
}

ash_status ash_output_create(const char *path, bool replace, ash_output **out, ash_error *err)
{
    *out = NULL;
    ASH_TRY(check_target(path, replace, err));
    ash_output *o = calloc(1, sizeof *o);
    if (!o)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    o->fd = -1;
    o->replace = replace;
    o->path = strdup(path);
    o->buffer = malloc(BUFFER_BYTES);
    int folder = (int)ash_output_folder_length(path);
    if (!o->path || !o->buffer
        || asprintf(&o->temporary, "%.*s.%.*s.XXXXXX", folder, path, NAME_KEPT, path + folder) < 0) {
        o->temporary = NULL; /* asprintf leaves it undefined */
        output_free(o);
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    }
    o->fd = create_temporary(o);
    if (o->fd < 0) {
        ash_fail_errno(err, "%s: cannot create a file in this folder", path);
        output_free(o);
        return err->status;
    }
    *out = o;
    return ASH_OK;
}

static ash_status write_at(ash_output *o, uint64_t offset, const uint8_t *bytes, size_t size, ash_error *err)
{
    while (size != 0) {
        ssize_t n = pwrite(o->fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            o->failed = true;
            return ash_fail_errno(err, "%s: cannot write at byte %" PRIu64, o->path, offset);
        }
        bytes += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return ASH_OK;
}

static ash_status write_next(ash_output *o, const uint8_t *bytes, size_t size, ash_error *err)
{
    ASH_TRY(write_at(o, o->written, bytes, size, err));
    o->written += size;
    if (o->written - o->synced >= WRITEBACK_BYTES) {
        /* Advice: not every file system has it, and the errors that count come from fsync. */
        (void)sync_file_range(o->fd, (off_t)o->synced, (off_t)(o->written - o->synced), SYNC_FILE_RANGE_WRITE);
        o->synced = o->written;
    }
    return ASH_OK;
}

static ash_status flush(ash_output *o, ash_error *err)
{
    size_t size = o->used;
    o->used = 0;
    return write_next(o, o->buffer, size, err);
}

ash_status ash_output_append(ash_output *o, const void *bytes, size_t size, ash_error *err)
{
    const uint8_t *p = bytes;
    if (size > (uint64_t)INT64_MAX - ash_output_position(o))
        return ash_fail(err, ASH_E_LIMIT, "%s: would grow over 2^63 bytes", o->path);
    while (size != 0) {
        if (o->used == 0 && size >= BUFFER_BYTES)
            return write_next(o, p, size, err); /* nothing to gather: without a copy */
        size_t room = BUFFER_BYTES - o->used, n = size < room ? size : room;
        memcpy(o->buffer + o->used, p, n);
        o->used += n;
        p += n;
        size -= n;
        if (o->used == BUFFER_BYTES)
            ASH_TRY(flush(o, err));
    }
    return ASH_OK;
}

ash_status ash_output_pad(ash_output *o, uint64_t align, ash_error *err)
{
    static const uint8_t zeros[4096];
    uint64_t end;
    if (!ash_round_up(ash_output_position(o), align, &end))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: cannot align to %" PRIu64 " bytes", o->path, align);
    for (uint64_t left = end - ash_output_position(o); left != 0;) {
        size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;
        ASH_TRY(ash_output_append(o, zeros, n, err));
        left -= n;
    }
    return ASH_OK;
}

uint64_t ash_output_position(const ash_output *o) { return o->written + o->used; }

ash_status ash_output_rewrite(ash_output *o, uint64_t offset, const void *bytes, size_t size, ash_error *err)
{
    if (!ash_inside(offset, size, ash_output_position(o)))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: cannot rewrite %zu bytes at byte %" PRIu64 " of %" PRIu64, o->path,
                        size, offset, ash_output_position(o));
    ASH_TRY(flush(o, err));
    return write_at(o, offset, bytes, size, err);
}

/* Moves the temporary file to its name. Without `replace`, whatever appeared there meanwhile must survive. */
static ash_status move_into_place(ash_output *o, ash_error *err)
{
    if (o->replace) {
        if (rename(o->temporary, o->path) != 0)
            return ash_fail_errno(err, "%s: cannot rename the finished file to this name", o->path);
        return ASH_OK;
    }
    int failed = renameat2(AT_FDCWD, o->temporary, AT_FDCWD, o->path, RENAME_NOREPLACE);
    if (failed && (errno == EINVAL || errno == ENOSYS)) {
        /* File systems without the flag, which often lack hard links, too: claim the name, then replace the claim. */
        int claim = open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (claim >= 0) {
            close(claim);
            failed = rename(o->temporary, o->path);
            if (failed) {
                int code = errno;
                unlink(o->path);
                errno = code;
            }
        }
    }
    if (failed && errno == EEXIST)
        return ash_fail(err, ASH_E_IO, "%s: was created by others meanwhile; use --force to replace it", o->path);
    if (failed)
        return ash_fail_errno(err, "%s: cannot rename the finished file to this name", o->path);
    return ASH_OK;
}

/* A folder that cannot be opened or synced (some network file systems) is no error: the
 * data are on the disk, and the name is there for everyone who looks. */
void ash_output_sync_folder(const char *path)
{
    size_t length = ash_output_folder_length(path);
    char *folder = length ? strndup(path, length) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

ash_status ash_output_commit(ash_output *o, ash_error *err)
{
    ash_status status = o->failed ? ash_fail(err, ASH_E_IO, "%s: an earlier write failed", o->path) : flush(o, err);
    if (status == ASH_OK && fsync(o->fd) != 0)
        status = ash_fail_errno(err, "%s: cannot write to the disk", o->path);
    if (status == ASH_OK) { /* some file systems report a full disk or quota only here */
        int failed = close(o->fd);
        o->fd = -1;
        if (failed && errno != EINTR)
            status = ash_fail_errno(err, "%s: cannot close", o->path);
    }
    if (status == ASH_OK)
        status = move_into_place(o, err);
    if (status != ASH_OK) {
        ash_output_abort(o);
        return status;
    }
    ash_live_remove(o->live_name);
    ash_output_sync_folder(o->path);
    output_free(o);
    return ASH_OK;
}

void ash_output_abort(ash_output *o)
{
    if (!o)
        return;
    unlink(o->temporary);
    ash_live_remove(o->live_name);
    output_free(o);
}

ash_status ash_write_whole(const char *path, bool replace, const void *bytes, size_t size, ash_error *err)
{
    ash_output *o;
    ASH_TRY(ash_output_create(path, replace, &o, err));
    ash_status status = ash_output_append(o, bytes, size, err);
    if (status == ASH_OK)
        return ash_output_commit(o, err);
    ash_output_abort(o);
    return status;
}
