/* Decoding with F16 and BF16 (decode_plain.h). */
#include "kernels/gfx12/decode_plain.h"

#define DECODE(dtype, name, tokens)                                     \
    KERNEL(THREADS) void ash_decode_##name##_##tokens(ash_gfx_decode a) \
    {                                                                   \
        SHARED static uint8_t lds[LDS_BYTES(tokens)];                   \
        decode_plain<dtype, tokens>(a, lds, group_x());                 \
    }
DECODE(ASH_F16, f16, 1)
DECODE(ASH_F16, f16, 2)
DECODE(ASH_F16, f16, 4)
DECODE(ASH_F16, f16, 8)
DECODE(ASH_BF16, bf16, 1)
DECODE(ASH_BF16, bf16, 2)
DECODE(ASH_BF16, bf16, 4)
DECODE(ASH_BF16, bf16, 8)
