/* MATMUL_Q8 in AVX-VNNI: AVX2 with vpdpbusd. */
#include "kernels/x86/tiles_vec_avx2.h"

#include "kernels/x86/matmul_q8.h"

MATMUL_Q8_ALL(avxvnni)
