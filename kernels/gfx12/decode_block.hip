/* Decoding with the types with blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0, in any mix (decode_q.h). */
#include "kernels/gfx12/decode_q.h"

#define DECODE(tokens)                                                 \
    KERNEL(THREADS) void ash_decode_block_##tokens(ash_gfx_decode a)      \
    {                                                                  \
        SHARED static uint8_t lds[LDS_BYTES(tokens)];                 \
        decode_q<false, tokens>(a, lds);                                \
    }
DECODE(1)
DECODE(2)
DECODE(4)
DECODE(8)
