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
}

/* Vectors of the compiler's, of 16 columns: four of double, or two of float. */
typedef double four __attribute__((vector_size(32), may_alias));
typedef float eight __attribute__((vector_size(32), may_alias));

/* Element e of lane l is k = 8 (l >> 4) + e of row or column l & 15: out[k][row or column]. */
static void read_bytes(const gfx_wave *w, const gfx_operand *o, bool is_signed, float out[N][N])
{
    for (int e = 0; e < 8; e++)
        for (int h = 0; h < 2; h++) {
            const uint32_t *from = w->v[o->index + e / 4] + h * N;
            int up = 24 - 8 * (e % 4);
            if (is_signed)
                for (int n = 0; n < N; n++)
                    out[8 * h + e][n] = (float)((int32_t)(from[n] << up) >> 24);
            else
                for (int n = 0; n < N; n++)
                    out[8 * h + e][n] = (float)(int32_t)(from[n] << up >> 24);
        }
}

/* Sums of 16 products of bytes are below 2^24: exact in float. */
static void wmma_iu8(gfx_wave *w, const gfx_insn *i)
{
    if (!check(w, i, 2))
        return;
    _Alignas(32) float a[N][N], b[N][N], sum[N];
    uint32_t d[N][N];
    read_bytes(w, &i->src[0], i->neg_lo & 1, a);
    read_bytes(w, &i->src[1], i->neg_lo & 2, b);
    for (int r = 0; r < N; r++) {
        uint32_t c[N];
        eight low = { 0 }, high = { 0 };
        for (int k = 0; k < N; k++) {
            const eight *y = (const eight *)b[k];
            low += a[k][r] * y[0];
            high += a[k][r] * y[1];
        }
        memcpy(sum, &low, sizeof low);
        memcpy(sum + 8, &high, sizeof high);
        read_row(w, i, r, c);
        if (!i->clamp)
            for (int n = 0; n < N; n++)
                d[r][n] = c[n] + (uint32_t)(int32_t)sum[n];
        else
            for (int n = 0; n < N; n++) {
                int64_t whole = (int64_t)(int32_t)c[n] + (int32_t)sum[n];
                d[r][n] = (uint32_t)(whole > INT32_MAX ? INT32_MAX : whole < INT32_MIN ? INT32_MIN : whole);
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

static inline void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind of_a, float_kind of_b)
{
    if (!check(w, i, of_a == FLOAT_FP8 || of_a == FLOAT_BF8 ? 2 : 4))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
    _Alignas(32) double a[N][N], b[N][N], sum[N];
    uint32_t d[N][N];
    read_floats(w, &i->src[0], of_a, a);
    read_floats(w, &i->src[1], of_b, b);
    for (int r = 0; r < N; r++) {
        uint32_t c[N];
        read_row(w, i, r, c);
        for (int n = 0; n < N; n++)
            sum[n] = (double)gfx_float(c[n]);
        four s0 = *(four *)sum, s1 = *(four *)(sum + 4), s2 = *(four *)(sum + 8), s3 = *(four *)(sum + 12);
        for (int k = 0; k < N; k++) {
            const four *y = (const four *)b[k];
            s0 += a[k][r] * y[0];
            s1 += a[k][r] * y[1];
            s2 += a[k][r] * y[2];
            s3 += a[k][r] * y[3];
        }
        four all[4] = { s0, s1, s2, s3 };
        memcpy(sum, all, sizeof all);
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
