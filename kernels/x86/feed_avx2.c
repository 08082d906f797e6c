/* Codes by error feedback in AVX2. */
#include "kernels/x86/vec.h"

#include "kernels/feed.h"
