/* Codes by error feedback, one row at a time: the specification. */
#include "kernels/scalar/vec.h"

#include "kernels/feed.h"
