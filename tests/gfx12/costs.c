#include "tests/gfx12/costs.h"

#include <stdio.h>

#include "format/dtype.h"
#include "tests/support/support.h"

/* Of each operation, what its cycles are:
 *   DECODE          of the port, a weight and lane, with a norm, at 4,096 columns (variant: tokens)
 *   PREFILL         of vector instructions, a WMMA, where 512 columns more are taken (variant: panels of 16 rows)
 *   ATTEND          of the port, 32 elements of a key and of its value, which four queries share
 *   ATTEND_PREFILL  of vector instructions, a WMMA, where 64 tokens see 512 positions more
 * The margin is 3%, or 0.03 where that is more, and the figures' rounding. One instruction more is 0.125 in DECODE where
 * it is made for every 8 weights, and 0.125 a token where for each of them; 0.125 in PREFILL for the 8 WMMAs of a
 * fragment of weights; 1 in attention. The margin is less than each of these but the first with 4 tokens and more: it is
 * room for another release of the compiler, which may move an instruction into a loop or out of it. */
#define MARGIN 0.03
#define ROUNDED 0.005
typedef struct cost { ash_gfx_op op; ash_dtype dtype; uint32_t variant; int way; double cycles; unsigned waves; } cost;
#define DECODE(type, c1, w1, c2, w2, c4, w4, c8, w8)                                                               \
    { ASH_GFX_OP_DECODE, type, 1, COST_PLAIN, c1, w1 }, { ASH_GFX_OP_DECODE, type, 2, COST_PLAIN, c2, w2 },        \
    { ASH_GFX_OP_DECODE, type, 4, COST_PLAIN, c4, w4 }, { ASH_GFX_OP_DECODE, type, 8, COST_PLAIN, c8, w8 }
#define PREFILL(type, panels, way, cycles, waves) { ASH_GFX_OP_PREFILL, type, panels, way, cycles, waves }
#define ATTEND(op, head, cycles, waves, of_fp8, waves_fp8)                                                         \
    { op, ASH_DTYPE_COUNT, head, COST_PLAIN, cycles, waves }, { op, ASH_DTYPE_COUNT, head, COST_OTHER, of_fp8, waves_fp8 }
static const cost costs[] = {
    DECODE(ASH_Q4_K, 2.09, 12, 3.16, 12, 5.18, 8, 9.79, 10),
    DECODE(ASH_Q5_K, 2.66, 12, 3.72, 12, 5.79, 8, 10.44, 10),
    DECODE(ASH_Q6_K, 2.64, 12, 3.72, 12, 5.88, 8, 10.71, 10),
    DECODE(ASH_Q4_0, 1.96, 10, 2.95, 10, 4.85, 8, 9.18, 10),
    DECODE(ASH_Q4_1, 1.81, 10, 2.83, 10, 4.83, 8, 9.38, 10),
    DECODE(ASH_Q5_0, 2.55, 10, 3.51, 10, 5.42, 8, 9.79, 10),
    DECODE(ASH_Q5_1, 2.32, 10, 3.33, 10, 5.33, 8, 9.87, 10),
    DECODE(ASH_Q8_0, 1.50, 10, 2.47, 10, 4.38, 8, 8.74, 10),
    DECODE(ASH_F32, 2.84, 16, 4.31, 16, 7.12, 8, 13.99, 8),
    { ASH_GFX_OP_DECODE, ASH_F32, ASH_GFX_ANY_TOKENS, COST_PLAIN, 41.96, 8 }, /* 21 tokens */
    DECODE(ASH_F8_E4M3, 1.91, 16, 3.24, 16, 5.87, 8, 11.96, 8),
    DECODE(ASH_F16, 1.66, 16, 2.60, 16, 4.32, 8, 8.22, 8),
    DECODE(ASH_BF16, 1.84, 16, 2.96, 16, 5.06, 8, 9.69, 8),
    PREFILL(ASH_Q4_0, 4, COST_PLAIN, 2.09, 6), PREFILL(ASH_Q4_0, 2, COST_PLAIN, 2.18, 8),
    PREFILL(ASH_Q4_1, 4, COST_PLAIN, 2.29, 6), PREFILL(ASH_Q4_1, 2, COST_PLAIN, 2.38, 8),
    PREFILL(ASH_Q5_0, 4, COST_PLAIN, 2.38, 6), PREFILL(ASH_Q5_0, 2, COST_PLAIN, 2.48, 8),
    PREFILL(ASH_Q5_1, 4, COST_PLAIN, 2.59, 6), PREFILL(ASH_Q5_1, 2, COST_PLAIN, 2.69, 8),
    PREFILL(ASH_Q8_0, 4, COST_PLAIN, 2.02, 6), PREFILL(ASH_Q8_0, 2, COST_PLAIN, 2.11, 8),
    PREFILL(ASH_Q4_K, 4, COST_PLAIN, 2.34, 6), PREFILL(ASH_Q4_K, 2, COST_PLAIN, 2.44, 8),
    PREFILL(ASH_Q5_K, 4, COST_PLAIN, 2.62, 6), PREFILL(ASH_Q5_K, 2, COST_PLAIN, 2.73, 8),
    PREFILL(ASH_Q6_K, 4, COST_PLAIN, 2.77, 6), PREFILL(ASH_Q6_K, 2, COST_PLAIN, 2.88, 8),
    PREFILL(ASH_F8_E4M3, 8, COST_PLAIN, 0.35, 6), PREFILL(ASH_F8_E4M3, 7, COST_PLAIN, 0.37, 6),
    PREFILL(ASH_F8_E4M3, 4, COST_PLAIN, 0.45, 8), PREFILL(ASH_F8_E4M3, 8, COST_OTHER, 1.26, 6),
    PREFILL(ASH_F8_E4M3, 7, COST_OTHER, 1.41, 6), PREFILL(ASH_F8_E4M3, 4, COST_OTHER, 0.99, 8),
    PREFILL(ASH_F16, 8, COST_PLAIN, 0.06, 6), PREFILL(ASH_F16, 7, COST_PLAIN, 0.08, 6),
    PREFILL(ASH_F16, 4, COST_PLAIN, 0.09, 10), PREFILL(ASH_BF16, 8, COST_PLAIN, 0.06, 6),
    PREFILL(ASH_BF16, 7, COST_PLAIN, 0.08, 6), PREFILL(ASH_BF16, 4, COST_PLAIN, 0.09, 10),
    ATTEND(ASH_GFX_OP_ATTEND, 64, 12.48, 9, 10.39, 9),
    ATTEND(ASH_GFX_OP_ATTEND, 128, 12.48, 7, 10.37, 7),
    ATTEND(ASH_GFX_OP_ATTEND, 256, 12.96, 6, 11.48, 6),
    ATTEND(ASH_GFX_OP_ATTEND_PREFILL, 64, 6.50, 9, 11.12, 9),
    ATTEND(ASH_GFX_OP_ATTEND_PREFILL, 80, 5.50, 7, 10.35, 7),
    ATTEND(ASH_GFX_OP_ATTEND_PREFILL, 96, 4.58, 6, 9.33, 6),
    ATTEND(ASH_GFX_OP_ATTEND_PREFILL, 128, 3.63, 9, 12.44, 9),
    ATTEND(ASH_GFX_OP_ATTEND_PREFILL, 256, 1.91, 6, 10.31, 6),
};

void cost_check(card *c, const ash_gfx_kernel *k, int way, double cycles)
{
    static const char *const units[ASH_GFX_OP_COUNT] = {
        [ASH_GFX_OP_DECODE] = "cycles a weight and lane", [ASH_GFX_OP_PREFILL] = "vector cycles a WMMA",
        [ASH_GFX_OP_ATTEND] = "cycles for 32 elements of a key and a value",
        [ASH_GFX_OP_ATTEND_PREFILL] = "vector cycles a WMMA",
    };
    const gfx_kernel *code = card_kernel(c, k);
    unsigned waves = gfx_occupancy(code, k->threads);
    char name[96];
    snprintf(name, sizeof name, "%s%s%s, variant %u%s", k->symbol, k->dtype == ASH_DTYPE_COUNT ? "" : " of ",
             k->dtype == ASH_DTYPE_COUNT ? "" : ash_dtype_name(k->dtype), k->variant, way == COST_OTHER ? ", the other way" : "");
    printf("# measure %s: %.2f %s, %u VGPRs, %u bytes of LDS, %u waves a SIMD\n", name, cycles, units[k->op], code->vgprs,
           code->lds_bytes, waves);
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        const cost *at = &costs[i];
        if (at->op != k->op || at->dtype != k->dtype || at->variant != k->variant || at->way != way)
            continue;
        double room = MARGIN * (at->cycles > 1 ? at->cycles : 1);
        if (!(cycles <= at->cycles + ROUNDED + room) || waves < at->waves)
            fail_msg("%s: %.3f %s, %u waves, where %.2f and %u were reached", name, cycles, units[k->op], waves, at->cycles,
                     at->waves);
        return;
    }
    fail_msg("%s has no bound", name);
}
