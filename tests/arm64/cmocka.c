#include "tests/arm64/cmocka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

static jmp_buf leave;
enum { PASSED, FAILED, SKIPPED };

void print_message(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

void _cmocka_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    longjmp(leave, FAILED);
}

void skip(void) { longjmp(leave, SKIPPED); }

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                            CMFixtureFunction teardown)
{
    (void)setup;
    (void)teardown;
    volatile int failed = 0;
    printf("# %s\n1..%zu\n", name, count);
    for (volatile size_t i = 0; i < count; i++) {
        void *state = tests[i].initial_state;
        int how = setjmp(leave);
        if (how == PASSED)
            tests[i].test_func(&state);
        failed += how == FAILED;
        printf("%sok %zu - %s%s\n", how == FAILED ? "not " : "", i + 1, tests[i].name, how == SKIPPED ? " # SKIP" : "");
        fflush(stdout);
    }
    return failed;
}
