/* Floats to 8-bit types, and 16-bit rows to floats, in AVX2. */
#include "kernels/x86/vec.h"

#include "kernels/encode_8.h"
