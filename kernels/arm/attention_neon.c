/* Attention in NEON. */
#include "kernels/arm/vec.h"

#include "kernels/attention.h"
