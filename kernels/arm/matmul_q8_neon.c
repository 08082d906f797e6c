/* MATMUL_Q8 in NEON. */
#include "kernels/arm/tiles_vec_neon.h"

#include "kernels/arm/matmul_q8.h"

MATMUL_KERNEL(matmul_q8, ASH_Q4_0, q4_0, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q4_1, q4_1, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q5_0, q5_0, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q5_1, q5_1, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q8_0, q8_0, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q4_K, q4_k, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q5_K, q5_k, neon)
MATMUL_KERNEL(matmul_q8, ASH_Q6_K, q6_k, neon)
