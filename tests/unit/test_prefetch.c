/* A file that has left memory comes back, and one that is there is left alone. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "runtime/prefetch.h"
#include "tests/support/support.h"

#define FILE_BYTES ((size_t)5 << 20)
#define PAGE 4096 /* at least: where pages are larger, mincore fills less of the list */

static size_t pages_in_memory(int fd)
{
    unsigned char there[FILE_BYTES / PAGE] = { 0 };
    void *p = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mincore(p, FILE_BYTES, there), 0);
    munmap(p, FILE_BYTES);
    size_t count = 0;
    for (size_t i = 0; i < sizeof there; i++)
        count += there[i] & 1;
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
    assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, NULL, from, FILE_BYTES - from, 0)), FILE_BYTES - from);
    size_t all = (FILE_BYTES - from) / (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 5000 && pages_in_memory(fd) < all; i++) /* asked for is not yet there: some seconds at most */
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    assert_true(pages_in_memory(fd) >= all);
    assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, NULL, from, FILE_BYTES - from, 0)), 0);
    close(fd);
    free(path);
}

static size_t resident(const uint8_t *map, size_t first, size_t end) /* pages; mincore tells of the file's memory */
{
    unsigned char there[FILE_BYTES / PAGE] = { 0 };
    assert_int_equal(mincore((void *)(uintptr_t)(map + first), end - first, there), 0);
    size_t count = 0;
    for (size_t i = 0; i < sizeof there; i++)
        count += there[i] & 1;
    return count;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_ahead),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
