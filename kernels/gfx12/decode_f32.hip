/* F32 weights (decode_plain.h): float products throughout, nothing is rounded. ash_decode_f32_any takes any number of
 * tokens, 8 a workgroup, so that it is F32's prefill too: x of the grid are the workgroups that share weights. It reads
 * the matrix once for every 8 tokens, from the caches where those hold it, and multiplies outside of the matrix units,
 * which have no F32: correct, not fast.
 *
 * Issue cycles a weight and lane at 4096 columns, norm included, for 1 and 8 tokens: 2.8 and 14.0 of the 78 at which
 * memory stops being the bound. */
#include "kernels/gfx12/decode_plain.h"

#define DECODE(tokens)                                             \
    KERNEL(THREADS) void ash_decode_f32_##tokens(ash_gfx_decode a) \
    {                                                              \
        SHARED static uint8_t lds[LDS_BYTES(tokens)];              \
        decode_plain<ASH_F32, tokens>(a, lds, group_x());          \
    }
DECODE(1)
DECODE(2)
DECODE(4)
DECODE(8)

KERNEL(THREADS) void ash_decode_f32_any(ash_gfx_decode a)
{
    SHARED static uint8_t lds[LDS_BYTES(ASH_GFX_DECODE_TOKENS)];
    decode_plain<ASH_F32, ASH_GFX_DECODE_TOKENS>(a, lds, group_y(), ASH_GFX_DECODE_TOKENS * group_x());
}
