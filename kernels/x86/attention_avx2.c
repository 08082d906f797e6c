/* Attention in AVX2. */
#include "kernels/x86/attention.h"
