/* WMMA 16x16x16 in waves of 32: lane l holds, with r = l & 15 and h = l >> 4,
 *   A  row r, k = 8 h .. + 7      B  column r, k = 8 h .. + 7      C, D  column r, rows 8 h .. + 7
 * (8 bits: 2 registers; 16 bits: 4; C and D: 8).
 * How the hardware rounds inside a product of floats is not documented: here the 16 products are summed in double with C and
 * rounded once, so a kernel's test must allow for any order. Integers wrap, or saturate with clamp. */
#include <string.h>

#include "tests/gfx12/lanes.h"

#define N 16
_Static_assert(N == GFX_LANES / 2, "a row of C or D is half a register");

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

/* Row r of C: half a register's lanes. */
static void read_row(const gfx_wave *w, const gfx_insn *i, int r, uint32_t out[N])
{
    const gfx_operand *c = &i->src[2];
    const uint32_t *from = c->kind == GFX_VGPR ? w->v[c->index + r % 8] + r / 8 * N : NULL;
    for (int n = 0; n < N; n++)
        out[n] = from ? from[n] : c->bits;
}

static void put(gfx_wave *w, const gfx_insn *i, uint32_t d[N][N])
{
    for (int k = 0; k < 8; k++) {
        uint32_t r[GFX_LANES];
        memcpy(r, d[k], sizeof d[k]);
        memcpy(r + N, d[8 + k], sizeof d[8 + k]);
        gfx_set_lanes(w, i->dst.index + (unsigned)k, r, UINT32_MAX);
    }
    w->stats.matrix++;
}

/* Element e of lane l is k = 8 (l >> 4) + e of row or column l & 15: out[k][row or column]. */
static void read_bytes(const gfx_wave *w, const gfx_operand *o, bool is_signed, int32_t out[N][N])
{
    for (int e = 0; e < 8; e++)
        for (int h = 0; h < 2; h++) {
            const uint32_t *from = w->v[o->index + e / 4] + h * N;
            int up = 24 - 8 * (e % 4);
            for (int n = 0; n < N; n++)
                out[8 * h + e][n] = is_signed ? (int32_t)(from[n] << up) >> 24 : (int32_t)(from[n] << up >> 24);
        }
}

static void wmma_iu8(gfx_wave *w, const gfx_insn *i)
{
    if (!check(w, i, 2))
        return;
    int32_t a[N][N], b[N][N];
    uint32_t d[N][N];
    read_bytes(w, &i->src[0], i->neg_lo & 1, a);
    read_bytes(w, &i->src[1], i->neg_lo & 2, b);
    for (int r = 0; r < N; r++) {
        uint32_t c[N];
        int32_t sum[N] = { 0 };
        read_row(w, i, r, c);
        for (int k = 0; k < N; k++)
            for (int n = 0; n < N; n++)
                sum[n] += a[k][r] * b[k][n];
        for (int n = 0; n < N; n++) {
            int64_t whole = (int64_t)(int32_t)c[n] + sum[n];
            int64_t bounded = whole > INT32_MAX ? INT32_MAX : whole < INT32_MIN ? INT32_MIN : whole;
            d[r][n] = (uint32_t)(i->clamp ? bounded : whole);
        }
    }
    put(w, i, d);
}

typedef enum float_kind { FLOAT_F16, FLOAT_BF16, FLOAT_FP8, FLOAT_BF8 } float_kind;

static void read_floats(const gfx_wave *w, const gfx_operand *o, float_kind kind, double out[N][N])
{
    int each = kind == FLOAT_FP8 || kind == FLOAT_BF8 ? 4 : 2, bits = 32 / each;
    for (int e = 0; e < 8; e++)
        for (int h = 0; h < 2; h++) {
            const uint32_t *from = w->v[o->index + e / each] + h * N;
            int down = bits * (e % each);
            float x[N];
            if (kind == FLOAT_F16)
                for (int n = 0; n < N; n++)
                    x[n] = gfx_half(from[n] >> down & 0xffff);
            else if (kind == FLOAT_BF16)
                for (int n = 0; n < N; n++)
                    x[n] = gfx_float(from[n] >> down << 16);
            else if (kind == FLOAT_FP8)
                for (int n = 0; n < N; n++)
                    x[n] = gfx_e4m3(from[n] >> down & 255);
            else
                for (int n = 0; n < N; n++)
                    x[n] = gfx_e5m2(from[n] >> down & 255);
            for (int n = 0; n < N; n++)
                out[8 * h + e][n] = (double)x[n];
        }
}

static void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind of_a, float_kind of_b)
{
    if (!check(w, i, of_a == FLOAT_FP8 || of_a == FLOAT_BF8 ? 2 : 4))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
    double a[N][N], b[N][N];
    uint32_t d[N][N];
    read_floats(w, &i->src[0], of_a, a);
    read_floats(w, &i->src[1], of_b, b);
    for (int r = 0; r < N; r++) {
        uint32_t c[N];
        double sum[N];
        read_row(w, i, r, c);
        for (int n = 0; n < N; n++)
            sum[n] = (double)gfx_float(c[n]);
        for (int k = 0; k < N; k++)
            for (int n = 0; n < N; n++)
                sum[n] += a[k][r] * b[k][n];
        for (int n = 0; n < N; n++)
            d[r][n] = gfx_bits((float)sum[n]);
    }
    put(w, i, d);
}
static void wmma_f16(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_F16, FLOAT_F16); }
static void wmma_bf16(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_BF16, FLOAT_BF16); }
static void wmma_fp8(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_FP8, FLOAT_FP8); }
static void wmma_fp8_bf8(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_FP8, FLOAT_BF8); }
static void wmma_bf8_fp8(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_BF8, FLOAT_FP8); }
static void wmma_bf8(gfx_wave *w, const gfx_insn *i) { wmma_float(w, i, FLOAT_BF8, FLOAT_BF8); }

const gfx_op gfx_matrix_ops[] = {
    { "v_wmma_i32_16x16x16_iu8", wmma_iu8, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_f16", wmma_f16, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_bf16", wmma_bf16, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_fp8_fp8", wmma_fp8, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_fp8_bf8", wmma_fp8_bf8, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_bf8_fp8", wmma_bf8_fp8, NULL, GFX_MATRIX, 0, 0 },
    { "v_wmma_f32_16x16x16_bf8_bf8", wmma_bf8, NULL, GFX_MATRIX, 0, 0 },
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
