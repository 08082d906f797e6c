/* What the kernels' tests use of cmocka, for the cross build: the Debian package of it for arm64 would take that
 * architecture's whole set of packages with it. Results are TAP, as tests/run.sh counts them. */
#ifndef ASHLAR_TESTS_ARM64_CMOCKA_H
#define ASHLAR_TESTS_ARM64_CMOCKA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);
struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func; /* NULL: not called */
    void *initial_state;
};
#define cmocka_unit_test(function) { #function, function, NULL, NULL, NULL }

/* Each test in turn; returns how many failed. */
int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                            CMFixtureFunction teardown);
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
    _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof(tests)[0], setup, teardown)

void print_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* End the running test as failed, with a message; as skipped. */
void _cmocka_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void skip(void) __attribute__((noreturn));

#define fail_msg(...) _cmocka_fail(__FILE__, __LINE__, __VA_ARGS__)
#define assert_true(c) ((c) ? (void)0 : fail_msg("%s", #c))
#define assert_false(c) assert_true(!(c))
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b) assert_true((uintmax_t)(a) == (uintmax_t)(b))
#define assert_memory_equal(a, b, size) assert_true(memcmp(a, b, size) == 0)

#endif
