/* WMMA 16x16x16 in waves of 32: lane l holds, with r = l & 15 and h = l >> 4,
 *   A  row r, k = 8 h .. + 7      B  column r, k = 8 h .. + 7      C, D  column r, rows 8 h .. + 7
 * (8 bits: 2 registers; 16 bits: 4; C and D: 8).
 * How the hardware rounds inside a product of floats is not documented: here the 16 products are summed in double with C and
 * rounded once, so a kernel's test must allow for any order. Integers wrap, or saturate with clamp. */
#include <math.h>
#include <string.h>

#include "format/halffloat.h"
#include "tests/gfx12/machine.h"

#define N 16

float gfx_e4m3[256];
static __attribute__((constructor)) void fill_tables(void)
{
    for (int k = 0; k < 256; k++)
        gfx_e4m3[k] = ash_e4m3_to_f32((uint8_t)k);
}

/* C and D must be 8 registers, A and B `regs`; all lanes take part. */
static bool check(gfx_wave *w, const gfx_insn *i, unsigned regs)
{
    if (w->s[GFX_EXEC] != UINT32_MAX) {
        gfx_fault(w, "WMMA under a partial EXEC 0x%08x", w->s[GFX_EXEC]);
        return false;
    }
    if (i->src_count != 3 || i->dst.count != 8 || i->src[0].count != regs || i->src[1].count != regs ||
        i->src[0].kind != GFX_VGPR || i->src[1].kind != GFX_VGPR ||
        (i->src[2].kind == GFX_VGPR ? i->src[2].count != 8 : i->src[2].kind == GFX_SGPR)) {
        gfx_fault(w, "WMMA with operands of another shape");
        return false;
    }
    return gfx_check_v(w, i->src[0].index, regs, UINT32_MAX) && gfx_check_v(w, i->src[1].index, regs, UINT32_MAX) &&
           (i->src[2].kind != GFX_VGPR || gfx_check_v(w, i->src[2].index, 8, UINT32_MAX));
}

static uint32_t accumulator(const gfx_wave *w, const gfx_insn *i, int reg, int lane)
{
    return i->src[2].kind == GFX_VGPR ? w->v[i->src[2].index + reg][lane] : i->src[2].bits;
}

static void put(gfx_wave *w, const gfx_insn *i, uint32_t d[8][GFX_LANES])
{
    for (unsigned k = 0; k < 8; k++)
        gfx_set_lanes(w, i->dst.index + k, d[k], UINT32_MAX);
    w->stats.matrix++;
}

static void wmma_iu8(gfx_wave *w, const gfx_insn *i)
{
    if (!check(w, i, 2))
        return;
    bool sa = i->neg_lo & 1, sb = i->neg_lo & 2;
    int32_t a[N][N], b[N][N]; /* [row or column][k] */
    for (int l = 0; l < GFX_LANES; l++)
        for (int e = 0; e < 8; e++) {
            uint32_t x = w->v[i->src[0].index + e / 4][l] >> 8 * (e % 4);
            uint32_t y = w->v[i->src[1].index + e / 4][l] >> 8 * (e % 4);
            a[l & 15][8 * (l >> 4) + e] = sa ? (int8_t)x : (uint8_t)x;
            b[l & 15][8 * (l >> 4) + e] = sb ? (int8_t)y : (uint8_t)y;
        }
    uint32_t d[8][GFX_LANES];
    for (int l = 0; l < GFX_LANES; l++)
        for (int k = 0; k < 8; k++) {
            int64_t sum = (int32_t)accumulator(w, i, k, l);
            for (int n = 0; n < N; n++)
                sum += a[8 * (l >> 4) + k][n] * b[l & 15][n];
            if (i->clamp)
                sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
            d[k][l] = (uint32_t)sum;
        }
    put(w, i, d);
}

typedef enum float_kind { FLOAT_F16, FLOAT_BF16, FLOAT_FP8 } float_kind;

static float element(const gfx_wave *w, const gfx_operand *o, float_kind kind, int lane, int e)
{
    if (kind == FLOAT_FP8)
        return ash_e4m3_to_f32((uint8_t)(w->v[o->index + e / 4][lane] >> 8 * (e % 4)));
    uint16_t h = (uint16_t)(w->v[o->index + e / 2][lane] >> 16 * (e % 2));
    return kind == FLOAT_F16 ? ash_f16_to_f32(h) : ash_bf16_to_f32(h);
}

static void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind kind)
{
    if (!check(w, i, kind == FLOAT_FP8 ? 2 : 4))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
    double a[N][N], b[N][N];
    for (int l = 0; l < GFX_LANES; l++)
        for (int e = 0; e < 8; e++) {
            a[l & 15][8 * (l >> 4) + e] = (double)element(w, &i->src[0], kind, l, e);
            b[l & 15][8 * (l >> 4) + e] = (double)element(w, &i->src[1], kind, l, e);
        }
    uint32_t d[8][GFX_LANES];
    for (int l = 0; l < GFX_LANES; l++)
        for (int k = 0; k < 8; k++) {
            double sum = (double)gfx_float(accumulator(w, i, k, l));
            for (int n = 0; n < N; n++)
                sum += a[8 * (l >> 4) + k][n] * b[l & 15][n];
            d[k][l] = gfx_bits((float)sum);
        }
    put(w, i, d);
}
static void wmma_f16(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_F16); }
static void wmma_bf16(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_BF16); }
static void wmma_fp8(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_FP8); }

const gfx_op gfx_matrix_ops[] = {
    { "v_wmma_i32_16x16x16_iu8", wmma_iu8, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_f16", wmma_f16, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_bf16", wmma_bf16, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_fp8_fp8", wmma_fp8, NULL, GFX_MATRIX, 0, 0 },
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
