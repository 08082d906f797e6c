/* The elementwise operations in AVX2. */
#include "kernels/x86/vec.h"

#include "kernels/elementwise.h"
