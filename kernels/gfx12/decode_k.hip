/* Decoding with Q4_K, Q5_K and Q6_K, in any mix (decode_q.h). */
#include "kernels/gfx12/decode_q.h"

#define DECODE(tokens)                                                 \
    KERNEL(THREADS) void ash_decode_k_##tokens(ash_gfx_decode a)      \
    {                                                                  \
        SHARED static uint8_t lds[LDS_BYTES(tokens)];                 \
        decode_q<true, tokens>(a, lds);                                \
    }
DECODE(1)
DECODE(2)
DECODE(4)
DECODE(8)
