/* The elementwise operations in NEON. */
#include "kernels/arm/vec.h"

#include "kernels/elementwise.h"
