/* Decoding with F8_E4M3 (decode_plain.h): inputs with a scale for the token or a static one, weights with one for the
 * tensor, each row or each block of 128 x 128. */
#include "kernels/gfx12/decode_plain.h"

#define DECODE(tokens)                                            \
    KERNEL(THREADS) void ash_decode_f8_##tokens(ash_gfx_decode a) \
    {                                                             \
        SHARED static uint8_t lds[LDS_BYTES(tokens)];             \
        decode_plain<ASH_F8_E4M3, tokens>(a, lds, group_x());     \
    }
DECODE(1)
DECODE(2)
DECODE(4)
DECODE(8)
