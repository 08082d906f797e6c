#include "runtime/command/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/checked.h"

ash_status spill_open(spill_file *s, const char *beside, ash_error *err)
{
    const char *slash = strrchr(beside, '/');
    char path[4096];
    *s = (spill_file){ .fd = -1, .beside = beside };
    int n = snprintf(path, sizeof path, "%.*s.ashlar-calibrate-XXXXXX", slash ? (int)(slash - beside) + 1 : 0, beside);
    if (n < 0 || (size_t)n >= sizeof path)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: the path is too long", beside);
    s->fd = mkstemp(path);
    if (s->fd < 0)
        return ash_fail_errno(err, "%s: cannot make a temporary file", path);
    unlink(path);
    return ASH_OK;
}

ash_status spill_map(spill_file *s, uint64_t bytes, void **out, ash_error *err)
{
    uint64_t end;
    *out = NULL;
    if (!ash_round_up(bytes ? bytes : 1, SPILL_ALIGN, &bytes) || !ash_add(s->bytes, bytes, &end) || end > INT64_MAX)
        return ash_fail(err, ASH_E_MEMORY, "the calibration needs too much memory; use fewer --calibrate-tokens");
    int error = posix_fallocate(s->fd, (off_t)s->bytes, (off_t)bytes); /* a full disk must not end in SIGBUS */
    if (error != 0)
        return errno = error, ash_fail_errno(err, "a temporary file of %llu MB beside %s",
                                             (unsigned long long)(end / 1000000), s->beside);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, (off_t)s->bytes);
    if (p == MAP_FAILED)
        return ash_fail_errno(err, "cannot map the temporary file");
    s->bytes = end;
    *out = p;
    return ASH_OK;
}

void spill_close(spill_file *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
