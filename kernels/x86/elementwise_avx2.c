/* The elementwise operations in AVX2. */
#include "kernels/x86/elementwise.h"
