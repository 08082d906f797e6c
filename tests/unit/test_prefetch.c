/* A file that has left memory comes back, and one that is there is left alone; and a session that is opened has that
 * done, beside what it does itself. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "convert/convert.h"
#include "runtime/prefetch.h"
#include "runtime/session.h"
#include "tests/support/make_gguf.h"
#include "tests/support/session.h"

#define FILE_BYTES ((size_t)5 << 20)
#define PAGE 4096 /* at least: where pages are larger, mincore fills less of the list */

/* The call that asks whether a page is in memory, in place of the C library's: a thread that reads ahead can be held
 * there. */
static atomic_int held;     /* 1: calls wait until it is 0, some seconds at most */
static atomic_int calls;    /* that came while it was 1 */
static atomic_int gave_up;  /* of those */

static void short_sleep(void) { nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL); }

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    if (atomic_load(&held)) {
        atomic_fetch_add(&calls, 1);
        for (int i = 0; i < 5000 && atomic_load(&held); i++)
            short_sleep();
        if (atomic_exchange(&held, 0)) /* by now nobody is about to let it go */
            atomic_fetch_add(&gave_up, 1);
    }
    return (ssize_t)syscall(SYS_preadv2, fd, parts, count, (long)offset, 0L, flags);
}

static size_t resident(const uint8_t *map, size_t first, size_t end) /* pages; mincore tells of the file's memory */
{
    size_t count = 0;
    for (size_t at = first / PAGE * PAGE; at < end; at += PAGE) {
        unsigned char there = 0;
        assert_int_equal(mincore((void *)(uintptr_t)(map + at), 1, &there), 0);
        count += there & 1;
    }
    return count;
}

static size_t pages_in_memory(int fd)
{
    void *p = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    size_t count = resident(p, 0, FILE_BYTES);
    munmap(p, FILE_BYTES);
    return count;
}

/* A file that is not in memory, open; ends the test as skipped, and frees `path`, where it stays there. */
static int dropped_file(char *path)
{
    uint8_t *bytes = calloc(1, FILE_BYTES);
    assert_non_null(bytes);
    test_write_file(path, bytes, FILE_BYTES);
    free(bytes);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    if (pages_in_memory(fd) != 0) {
        close(fd);
        free(path);
        test_skip("this file system keeps a file's pages in memory");
    }
    return fd;
}

static void test_reads_ahead(void **state)
{
    (void)state;
    char *path = test_path("ahead");
    int fd = dropped_file(path);
    const size_t from = (size_t)1 << 20; /* the first MiB is not asked for */
    const size_t size = FILE_BYTES - from;
    assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, NULL, from, size, 0)), size);
    size_t all = (FILE_BYTES - from) / (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 5000 && pages_in_memory(fd) < all; i++) /* asked for is not yet there: some seconds at most */
        short_sleep();
    assert_true(pages_in_memory(fd) >= all);
    assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, NULL, from, size, 0)), 0);
    close(fd);
    free(path);
}

static bool can_populate(void) /* Linux 5.14 */
{
    void *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    bool can = madvise(p, PAGE, 22 /* MADV_POPULATE_READ */) == 0;
    munmap(p, PAGE);
    return can;
}

/* With a mapping all of it is there when the thread has ended, and both parts of the range around `first` are read. */
static void test_maps(void **state)
{
    (void)state;
    char *path = test_path("mapped");
    int fd = dropped_file(path);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), from = 5 * page, first = ((size_t)3 << 20) + 64;
    uint8_t *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    ash_prefetch_advise(map, from, FILE_BYTES - from);
    ash_prefetch_advise(map, from, 0);
    assert_true(ash_prefetch_finish(ash_prefetch_start(path, map, from, FILE_BYTES - from, first)) > 0);
    if (can_populate()) {
        assert_int_equal(resident(map, from, FILE_BYTES), (FILE_BYTES - from) / page);
        assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, map, from, FILE_BYTES - from, first)), 0);
    }
    munmap(map, FILE_BYTES);
    close(fd);
    free(path);
}

static void test_bounds(void **state)
{
    (void)state;
    char *path = test_path("short");
    test_write_file(path, "abc", 3);
    ash_prefetch_stop(ash_prefetch_start(path, NULL, 0, UINT64_MAX, 0)); /* far beyond the end: stops when told to */
    ash_prefetch_stop(ash_prefetch_start(path, NULL, 1, 2, 2));
    assert_null(ash_prefetch_start(path, NULL, 2, UINT64_MAX, 0));
    assert_null(ash_prefetch_start("/nonexistent", NULL, 0, 1, 0));
    ash_prefetch_stop(NULL);
    free(path);
}

/* ---- what loading a model and opening a session make of it ---- */

/* A model whose file is not in memory but for what loading reads; ends the test as skipped where it stays there. */
static ashlar_model *dropped_model(void)
{
    make_spec spec = make_defaults();
    /* 13 MB a layer, of whose vectors loading reads the 2 MiB around each and what the system reads on by itself. */
    spec.layers = 3, spec.hidden = 512, spec.ffn = 4096;
    ashlar_model_free(test_load(make_gguf("ahead", &spec), "ahead.ashlar", ASH_TYPE_KEEP));
    char *path = test_path("ahead.ashlar");
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    off_t size = lseek(fd, 0, SEEK_END);
    assert_true(size > (off_t)30 << 20);
    void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    bool stays = resident(map, 0, (size_t)size) != 0;
    munmap(map, (size_t)size);
    close(fd);
    ashlar_model *model;
    ashlar_error err;
    if (!stays && ashlar_model_load(path, &model, &err) != ASHLAR_OK)
        fail_msg("%s", err.text);
    free(path);
    if (stays)
        test_skip("this file system keeps a file's pages in memory");
    return model;
}

static void test_session_reads_ahead(void **state)
{
    (void)state;
    ashlar_model *model = dropped_model();
    const uint8_t *map = (const uint8_t *)ash_file_header(model->file);
    const ash_section_record *data = ash_file_section(model->file, ASH_SECTION_DATA);
    size_t from = data->offset, end = from + data->size, pages = (end - from / PAGE * PAGE + PAGE - 1) / PAGE;
    if (resident(map, from, end) == pages)
        test_skip("loading alone has the system read all of the file");

    /* The thread is held before it has read anything: a session that waited for it would wait until it gives up. */
    atomic_store(&held, 1);
    ashlar_session *s = test_session(model, (ashlar_session_options){ .threads = 1 });
    assert_non_null(s->prefetch);
    for (int i = 0; i < 5000 && atomic_load(&calls) == 0; i++)
        short_sleep();
    assert_int_equal(atomic_load(&gave_up), 0);
    assert_int_equal(atomic_load(&calls), 1);
    assert_true(resident(map, from, end) < pages);
    atomic_store(&held, 0);
    assert_true(ash_prefetch_finish(s->prefetch) > 0);
    s->prefetch = NULL;
    for (int i = 0; i < 5000 && resident(map, from, end) < pages; i++) /* readahead returns before the disk has */
        short_sleep();
    assert_int_equal(resident(map, from, end), pages);
    ashlar_session_free(s);
    ashlar_model_free(model);
}

static void test_load_asks_for_large_pages(void **state)
{
    (void)state;
    ashlar_model *model = dropped_model();
    const uint8_t *map = (const uint8_t *)ash_file_header(model->file);
    const ash_section_record *data = ash_file_section(model->file, ASH_SECTION_DATA);
    assert_true(test_exists("/proc/self/smaps"));
    bool asked = test_mapping_has(map + data->offset, " hg");
    /* Whether this system takes the advice for such a file, from another mapping of it. */
    int fd = open(ash_file_path(model->file), O_RDONLY);
    void *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(other != MAP_FAILED);
    bool takes = madvise(other, PAGE, MADV_HUGEPAGE) == 0 && test_mapping_has(other, " hg");
    munmap(other, PAGE);
    close(fd);
    ashlar_model_free(model);
    if (!takes)
        test_skip("this system has no large pages for files");
    assert_true(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_ahead),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_session_reads_ahead),
        cmocka_unit_test(test_load_asks_for_large_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
