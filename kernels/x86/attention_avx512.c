/* Attention in AVX-512. */
#include "kernels/x86/attention.h"
