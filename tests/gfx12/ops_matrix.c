/* WMMA 16x16x16 in waves of 32: lane l holds, with r = l & 15 and h = l >> 4,
 *   A  row r, k = 8 h .. + 7      B  column r, k = 8 h .. + 7      C, D  column r, rows 8 h .. + 7
 * (8 bits: 2 registers; 16 bits: 4; C and D: 8). How the hardware rounds inside a product of floats is not
 * documented: here the 16 products are summed in double with C and rounded once, so a kernel's test must allow for
 * any order. Integers wrap, or saturate with clamp. */
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

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

/* C, its rows one after the other: row r is half a register's lanes. */
static void read_c(const gfx_wave *w, const gfx_insn *i, uint32_t out[N][N])
{
    const gfx_operand *c = &i->src[2];
    if (c->kind != GFX_VGPR) {
        for (int n = 0; n < N * N; n++)
            out[n / N][n % N] = c->bits;
        return;
    }
    for (int k = 0; k < 8; k++) {
        memcpy(out[k], w->v[c->index + k], sizeof out[k]);
        memcpy(out[8 + k], w->v[c->index + k] + N, sizeof out[k]);
    }
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

/* ---- integers ---- */

/* Pairs of 16-bit factors, of all rows or columns after each other. Which k they are of does not matter, as long as
 * it is the same for A and B. */
typedef struct pairs { _Alignas(64) uint32_t of[8][N]; } pairs;

static void read_pairs(const gfx_wave *w, const gfx_operand *o, bool is_signed, pairs *out)
{
    for (int v = 0; v < 2; v++) {
        const uint32_t *from = w->v[o->index + v];
        for (int half = 0; half < 2; half++) {
            int up = half ? 0 : 16; /* the second byte goes to the top, the first below it */
            uint32_t *to = out->of[0] + GFX_LANES * (2 * v + half);
            if (is_signed)
                LANES {
                    uint32_t x = from[l] << up;
                    to[l] = (uint32_t)((int32_t)(x << 8) >> 24 & 0xffff) | ((uint32_t)((int32_t)x >> 8) & 0xffff0000);
                }
            else
                LANES {
                    uint32_t x = from[l] << up;
                    to[l] = (x >> 16 & 0xff) | (x >> 8 & 0xff0000);
                }
        }
    }
}

/* Eight columns of a row. */
typedef int32_t whole __attribute__((vector_size(32), may_alias));
#ifdef __AVX2__
#define ADD_PAIRS(sum, a, b) ((sum) + (whole)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#else
#define ADD_PAIRS(sum, a, b) ((sum) + (((a) << 16) >> 16) * (((b) << 16) >> 16) + ((a) >> 16) * ((b) >> 16))
#endif
#define ALL_OF(x) { (x), (x), (x), (x), (x), (x), (x), (x) }

static void wmma_iu8(gfx_wave *w, const gfx_insn *i)
{
    if (!check(w, i, 2))
        return;
    pairs a, b;
    _Alignas(32) uint32_t d[N][N];
    read_pairs(w, &i->src[0], i->neg_lo & 1, &a);
    read_pairs(w, &i->src[1], i->neg_lo & 2, &b);
    read_c(w, i, d);
    for (int r = 0; r < N; r += 2) {
        whole s0 = { 0 }, s1 = { 0 }, t0 = { 0 }, t1 = { 0 }; /* rows r and r + 1 */
        for (int k = 0; k < 8; k++) {
            const uint32_t *x = a.of[k] + r;
            const whole *y = (const whole *)b.of[k], p = ALL_OF((int32_t)x[0]), q = ALL_OF((int32_t)x[1]);
            s0 = ADD_PAIRS(s0, p, y[0]);
            s1 = ADD_PAIRS(s1, p, y[1]);
            t0 = ADD_PAIRS(t0, q, y[0]);
            t1 = ADD_PAIRS(t1, q, y[1]);
        }
        whole all[4] = { s0, s1, t0, t1 };
        int32_t sum[2 * N];
        uint32_t *rows = d[0] + N * r;
        memcpy(sum, all, sizeof sum);
        if (!i->clamp)
            for (int n = 0; n < 2 * N; n++)
                rows[n] += (uint32_t)sum[n];
        else
            for (int n = 0; n < 2 * N; n++) {
                int64_t both = (int64_t)(int32_t)rows[n] + sum[n];
                rows[n] = (uint32_t)(both > INT32_MAX ? INT32_MAX : both < INT32_MIN ? INT32_MIN : both);
            }
    }
    put(w, i, d);
}

/* ---- floats ---- */

typedef enum float_kind { FLOAT_F16, FLOAT_BF16, FLOAT_FP8, FLOAT_BF8 } float_kind;

static inline float value_of(float_kind kind, uint32_t x)
{
    return kind == FLOAT_F16 ? gfx_half(x & 0xffff) : kind == FLOAT_BF16 ? gfx_float(x << 16)
         : kind == FLOAT_FP8 ? gfx_e4m3(x & 255) : gfx_e5m2(x & 255);
}

/* Of all rows or columns after each other, k = 0, 8, 1, 9 .. */
static inline __attribute__((always_inline)) void read_floats(const gfx_wave *w, const gfx_operand *o, float_kind kind,
                                                              double out[N][N])
{
    int each = kind == FLOAT_FP8 || kind == FLOAT_BF8 ? 4 : 2, bits = 32 / each;
    for (int e = 0; e < 8; e++) {
        const uint32_t *from = w->v[o->index + e / each];
        int down = bits * (e % each);
        float x[GFX_LANES];
        LANES { x[l] = value_of(kind, from[l] >> down); }
        double *to = out[0] + GFX_LANES * e;
        LANES { to[l] = (double)x[l]; }
    }
}

/* Four columns of a row. Products are exact in double: fused or not, the result is the same. */
typedef double four __attribute__((vector_size(32), may_alias));
#ifdef __FMA__
#define ADD_PRODUCT(sum, a, b) ((four)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(sum)))
#else
#define ADD_PRODUCT(sum, a, b) ((sum) + (a) * (b))
#endif

static inline __attribute__((always_inline)) void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind of_a,
                                                             float_kind of_b)
{
    if (!check(w, i, of_a == FLOAT_FP8 || of_a == FLOAT_BF8 ? 2 : 4))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
    _Alignas(64) double a[N][N], b[N][N];
    uint32_t d[N][N];
    read_floats(w, &i->src[0], of_a, a);
    read_floats(w, &i->src[1], of_b, b);
    read_c(w, i, d);
    for (int r = 0; r < N; r += 2) {
        uint32_t *rows = d[0] + N * r; /* this one and the next */
        double sum[2 * N];
        four s[2][4];
        for (int n = 0; n < 2 * N; n++)
            sum[n] = (double)gfx_float(rows[n]);
        memcpy(s, sum, sizeof s);
        for (int k = 0; k < N; k++) {
            const double *x = &a[k][r];
            const four *y = (const four *)b[k], x0 = { x[0], x[0], x[0], x[0] }, x1 = { x[1], x[1], x[1], x[1] };
            for (int n = 0; n < 4; n++) {
                s[0][n] = ADD_PRODUCT(s[0][n], x0, y[n]);
                s[1][n] = ADD_PRODUCT(s[1][n], x1, y[n]);
            }
        }
        memcpy(sum, s, sizeof sum);
        for (int n = 0; n < 2 * N; n++)
            rows[n] = gfx_bits((float)sum[n]);
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
