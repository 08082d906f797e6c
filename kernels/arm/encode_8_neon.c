/* Floats to 8-bit types, and 16-bit rows to floats, in NEON. */
#include "kernels/arm/vec.h"

#include "kernels/encode_8.h"
