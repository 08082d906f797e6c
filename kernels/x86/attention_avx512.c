/* Attention in AVX-512. */
#include "kernels/x86/vec_rows.h"

#include "kernels/attention.h"
