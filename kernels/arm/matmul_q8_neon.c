/* MATMUL_Q8 in NEON. */
#include "kernels/arm/tiles_vec_neon.h"

#include "kernels/arm/matmul_q8.h"

MATMUL_Q8_ALL(neon)
