/* Floats to K-quant blocks in NEON. */
#include "kernels/arm/vec.h"

#include "kernels/encode_k.h"
