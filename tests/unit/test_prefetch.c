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

static int dropped_file(const char *path)
{
    uint8_t *bytes = calloc(1, FILE_BYTES);
    assert_non_null(bytes);
    test_write_file(path, bytes, FILE_BYTES);
    free(bytes);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return fd;
}

static void test_reads_ahead(void **state)
{
    (void)state;
    char *path = test_path("ahead");
    int fd = dropped_file(path);
    if (pages_in_memory(fd) != 0) {
        close(fd);
        free(path);
        test_skip("this file system keeps a file's pages in memory");
    }
    const size_t from = (size_t)1 << 20; /* the first MiB is not asked for */
    assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, from, FILE_BYTES - from)), FILE_BYTES - from);
    size_t all = (FILE_BYTES - from) / (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 5000 && pages_in_memory(fd) < all; i++) /* asked for is not yet there: some seconds at most */
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    assert_true(pages_in_memory(fd) >= all);
    assert_int_equal(ash_prefetch_finish(ash_prefetch_start(path, from, FILE_BYTES - from)), 0);
    close(fd);
    free(path);
}

static void test_bounds(void **state)
{
    (void)state;
    char *path = test_path("short");
    test_write_file(path, "abc", 3);
    ash_prefetch_stop(ash_prefetch_start(path, 0, UINT64_MAX)); /* far beyond the end: stops when told to */
    ash_prefetch_stop(ash_prefetch_start(path, 1, 2));
    assert_null(ash_prefetch_start(path, 2, UINT64_MAX));
    assert_null(ash_prefetch_start("/nonexistent", 0, 1));
    ash_prefetch_stop(NULL);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_ahead),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
