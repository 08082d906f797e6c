/* The elementwise operations in AVX-512. */
#include "kernels/x86/vec.h"

#include "kernels/elementwise.h"
