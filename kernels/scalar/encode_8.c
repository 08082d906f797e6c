/* Floats to 8-bit types, and 16-bit rows to floats, one element at a time: the specification. */
#include "kernels/scalar/vec.h"

#include "kernels/encode_8.h"
