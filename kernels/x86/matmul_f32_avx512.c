#include "kernels/x86/tiles_vec_avx512.h"

#include "kernels/x86/matmul_f32.h"

MATMUL_F32_ALL(avx512)
