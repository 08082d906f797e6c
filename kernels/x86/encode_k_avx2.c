/* Floats to K-quant blocks in AVX2. */
#include "kernels/x86/vec.h"

#include "kernels/encode_k.h"
