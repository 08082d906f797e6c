/* What the test programs share: cmocka with the headers it wants, temporary paths, whole files, the folder of shared
 * data, and one printed seed. Helpers fail the running test (fail_msg) when the operating system refuses. */
#ifndef ASHLAR_TESTS_SUPPORT_SUPPORT_H
#define ASHLAR_TESTS_SUPPORT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The folder for this process' files: env TEST_TMP, or a fresh one under /tmp that is removed at exit. */
const char *test_tmp(void);
/* "<tmp>/<name>", malloc'd; the caller frees. `name` may hold slashes: missing folders are made. */
char *test_path(const char *name);
/* The path of a shared file or folder (env SHARED, default ../shared), malloc'd; NULL where it does not exist, and
 * then a line "# skip ..." is printed: the caller calls skip(). */
char *test_shared(const char *name);

/* A whole file; a NUL follows (not counted). The caller frees. */
uint8_t *test_read_file(const char *path, size_t *size);
void test_write_file(const char *path, const void *bytes, size_t size);
bool test_exists(const char *path);
/* Entries of a folder, without . and ..; -1 where there is no such folder. */
int test_count_entries(const char *folder);

/* Whether the system's flags of the mapping that has `p` hold `flag`, with a space in front (" hg": large pages asked for,
 * " nh": refused); false where it does not tell. */
bool test_mapping_has(const void *p, const char *flag);

/* Runs the command (env ASHLAR, default build/ashlar); what it printed on either stream, in memory that the next call
 * uses again, and its exit code. */
char *test_ashlar(const char *arguments, int *code);

/* Random numbers: splitmix64. The seed is env ASHLAR_TEST_SEED, else 1, printed once a process as "# seed N"; a test
 * starts its own stream with a name of its own, so that it gives the same numbers when it runs alone. */
typedef struct test_rng { uint64_t state; } test_rng;
uint64_t test_seed(void);
test_rng test_rng_start(const char *name);
uint64_t test_rng_next(test_rng *rng);
/* Uniform enough for tests: [0, bound), bound > 0. */
uint64_t test_rng_below(test_rng *rng, uint64_t bound);
/* [-1, 1). */
float test_rng_float(test_rng *rng);
void test_rng_bytes(test_rng *rng, void *out, size_t size);

/* Prints "# skip REASON" and ends the test as skipped. */
#define test_skip(reason)            \
    do {                             \
        print_message("# skip %s\n", reason); \
        skip();                      \
    } while (0)

/* Asserts ASH_OK and shows the error's text where it is not. */
#define assert_ok(expr, err)                                                        \
    do {                                                                            \
        if ((expr) != ASH_OK)                                                       \
            fail_msg("%s gave %d: %s", #expr, (int)(err)->status, (err)->text);     \
    } while (0)

#endif
