/* Codes by error feedback in AVX-512. */
#include "kernels/x86/vec.h"

#include "kernels/feed.h"
