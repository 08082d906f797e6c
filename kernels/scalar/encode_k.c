/* Floats to K-quant blocks, one sub-block at a time: the specification. */
#include "kernels/scalar/vec.h"

#include "kernels/encode_k.h"
