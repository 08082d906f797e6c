/* The registry of kernels, as tests look at it. */
#ifndef ASHLAR_TESTS_SUPPORT_KERNELS_H
#define ASHLAR_TESTS_SUPPORT_KERNELS_H

#include "kernels/kernels.h"

/* The specification of a kernel: the scalar one of its operation and type. Fails the test where there is none. */
const ash_kernel *test_scalar_of(const ash_kernel *k);

struct CMUnitTest;
/* Of `n` tests keeps those that the arguments name, in their order, and returns how many: "--only TEXT" those whose names
 * contain TEXT, "--without TEXT" the others, no arguments all. */
size_t test_choose(struct CMUnitTest *tests, size_t n, int argc, char **argv);

#endif
