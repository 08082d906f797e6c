#include "format/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "format/checked.h"

/* Opens a regular file for reading. O_NONBLOCK: opening a FIFO must not wait for a writer before we can refuse it. */
static ash_status open_regular(const char *path, int *fd, uint64_t *size, ash_error *err)
{
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f < 0)
        return ash_fail_errno(err, "%s: cannot open", path);
    struct stat st;
    if (fstat(f, &st) != 0) {
        ash_fail_errno(err, "%s: cannot stat", path);
        close(f);
        return err->status;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < 0) {
        close(f);
        return ash_fail(err, ASH_E_ARGUMENT, "%s: is %s; a regular file is needed", path,
                        S_ISDIR(st.st_mode) ? "a folder" : "a pipe or device");
    }
    *fd = f;
    *size = (uint64_t)st.st_size;
    return ASH_OK;
}

/* Reads until `size` bytes are there, an error or the end; returns how many came, with errno 0 unless it failed. */
static size_t read_at(int fd, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    errno = 0;
    while (got < size) {
        ssize_t n = pread(fd, (char *)out + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = 0;
            return got;
        }
        got += (size_t)n;
    }
    errno = 0;
    return got;
}

ash_status ash_input_open(const char *path, ash_input *out, ash_error *err)
{
    *out = (ash_input){ .fd = -1 };
    ash_input in = { .fd = -1 };
    ASH_TRY(open_regular(path, &in.fd, &in.size, err));
    in.path = strdup(path);
    if (!in.path) {
        close(in.fd);
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    }
    *out = in;
    return ASH_OK;
}

ash_status ash_input_read(const ash_input *in, uint64_t offset, void *out, size_t size, ash_error *err)
{
    uint64_t end = in->size;
    if (ash_inside(offset, size, in->size)) {
        size_t got = read_at(in->fd, offset, out, size);
        if (errno != 0)
            return ash_fail_errno(err, "%s: cannot read %zu bytes at byte %" PRIu64, in->path, size, offset);
        if (got == size)
            return ASH_OK;
        end = offset + got; /* somebody cut the file since it was opened */
    }
    return ash_fail(err, ASH_E_FORMAT,
                    "%s: ends at byte %" PRIu64 ", but %zu bytes at byte %" PRIu64 " are needed; is it truncated?",
                    in->path, end, size, offset);
}

void ash_input_will_need(const ash_input *in, uint64_t offset, uint64_t size)
{
    if (size != 0 && ash_inside(offset, size, in->size)) /* a length of 0 would mean "to the end" */
        (void)posix_fadvise(in->fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

void ash_input_done_with(const ash_input *in, uint64_t offset, uint64_t size)
{
    if (size != 0 && ash_inside(offset, size, in->size))
        (void)posix_fadvise(in->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

void ash_input_close(ash_input *in)
{
    if (in->path)
        close(in->fd);
    free(in->path);
    *in = (ash_input){ .fd = -1 };
}

ash_status ash_map_file(const char *path, ash_mapping *out, ash_error *err)
{
    *out = (ash_mapping){ NULL, 0 };
    int fd;
    uint64_t size;
    ASH_TRY(open_regular(path, &fd, &size, err));
    if (size > SIZE_MAX) {
        close(fd);
        return ash_fail(err, ASH_E_LIMIT, "%s: %" PRIu64 " bytes do not fit the address space", path, size);
    }
    if (size != 0) {
        void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            ash_fail_errno(err, "%s: cannot map %" PRIu64 " bytes", path, size);
            close(fd);
            return err->status;
        }
        *out = (ash_mapping){ p, (size_t)size };
    }
    close(fd);
    return ASH_OK;
}

void ash_unmap_file(ash_mapping *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->bytes, map->size);
    *map = (ash_mapping){ NULL, 0 };
}

ash_status ash_read_whole(const char *path, size_t limit, char **out, size_t *size, ash_error *err)
{
    *out = NULL;
    *size = 0;
    int fd;
    uint64_t bytes;
    ASH_TRY(open_regular(path, &fd, &bytes, err));
    if (bytes > limit || bytes >= SIZE_MAX) {
        close(fd);
        return ash_fail(err, ASH_E_LIMIT, "%s: has %" PRIu64 " bytes; at most %zu are accepted", path, bytes, limit);
    }
    char *text = malloc((size_t)bytes + 1);
    if (!text) {
        close(fd);
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory for %" PRIu64 " bytes", path, bytes);
    }
    size_t got = read_at(fd, 0, text, (size_t)bytes);
    int code = errno;
    close(fd);
    if (code != 0 || got != bytes) {
        free(text);
        errno = code;
        return code ? ash_fail_errno(err, "%s: cannot read", path)
                    : ash_fail(err, ASH_E_FORMAT, "%s: ends at byte %zu of %" PRIu64 "; it is being changed", path, got,
                               bytes);
    }
    text[got] = 0;
    *out = text;
    *size = got;
    return ASH_OK;
}

bool ash_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

char *ash_path_join(const char *dir, const char *name)
{
    size_t d = strlen(dir), n = strlen(name);
    bool slash = d != 0 && dir[d - 1] != '/';
    char *path = malloc(d + slash + n + 1);
    if (!path)
        return NULL;
    memcpy(path, dir, d);
    if (slash)
        path[d] = '/';
    memcpy(path + d + slash, name, n + 1);
    return path;
}

ash_status ash_check_space(const char *path, uint64_t bytes, ash_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    struct statvfs fs;
    bool known = folder && statvfs(folder, &fs) == 0 && fs.f_blocks != 0; /* 0: a file system that does not count */
    free(folder);
    uint64_t free_bytes;
    if (!known || !ash_mul(fs.f_bavail, fs.f_frsize, &free_bytes) || free_bytes >= bytes)
        return ASH_OK;
    return ash_fail(err, ASH_E_IO, "%s: needs %" PRIu64 " MB, but its disk has %" PRIu64 " MB free; nothing was "
                    "written", path, bytes / 1000000 + 1, free_bytes / 1000000);
}
