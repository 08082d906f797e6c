/* Stands in for the programs that test device code where LLVM 19 is not installed: skipped, and counted so; on CI,
 * which installs it, a failure. */
#include <stdlib.h>

#include "tests/support/support.h"

#define MISSING "clang-19, lld-19 or llvm-19-dev is not installed: nothing of gfx12 is tested"

static void absent(void **state)
{
    (void)state;
    if (getenv("CI"))
        fail_msg("%s", MISSING);
    test_skip(MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(absent) };
    return cmocka_run_group_tests_name("gfx12_absent", tests, NULL, NULL);
}
