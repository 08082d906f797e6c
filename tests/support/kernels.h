/* The registry of kernels, as tests look at it. */
#ifndef ASHLAR_TESTS_SUPPORT_KERNELS_H
#define ASHLAR_TESTS_SUPPORT_KERNELS_H

#include "kernels/kernels.h"

/* The specification of a kernel: the scalar one of its operation and type. Fails the test where there is none. */
const ash_kernel *test_scalar_of(const ash_kernel *k);

#endif
