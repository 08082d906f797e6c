#include "tests/support/kernels.h"

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
