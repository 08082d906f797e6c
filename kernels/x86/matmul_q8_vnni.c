#include "kernels/x86/tiles_vec_avx512.h"

#include "kernels/x86/matmul_q8.h"

MATMUL_Q8_ALL(vnni)
