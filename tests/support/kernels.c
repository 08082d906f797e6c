#include "tests/support/kernels.h"

#include <string.h>

#include "tests/support/support.h"

const ash_kernel *test_scalar_of(const ash_kernel *k)
{
    size_t count;
    const ash_kernel *list = ash_kernel_list(&count);
    for (size_t i = 0; i < count; i++)
        if (list[i].op == k->op && list[i].dtype == k->dtype && list[i].level == ASH_LEVEL_SCALAR)
            return &list[i];
    fail_msg("%s has no scalar form", k->name);
    return NULL;
}

size_t test_choose(struct CMUnitTest *tests, size_t n, int argc, char **argv)
{
    const bool only = argc > 2 && strcmp(argv[1], "--only") == 0;
    const bool without = argc > 2 && strcmp(argv[1], "--without") == 0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const bool named = (only || without) && strstr(tests[i].name, argv[2]);
        if (only ? named : !named)
            tests[kept++] = tests[i];
    }
    return kept;
}
