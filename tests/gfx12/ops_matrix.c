/* WMMA 16x16x16 in waves of 32: lane l holds, with r = l & 15 and h = l >> 4,
 *   A  row r, k = 8 h .. + 7      B  column r, k = 8 h .. + 7      C, D  column r, rows 8 h .. + 7
 * (8 bits: 2 registers; 16 bits: 4; C and D: 8). Integers wrap, or saturate with clamp.
 *
 * How the hardware rounds inside a product of floats is not documented. Here an element of D is C, to which the
 * products of k = 0, 1 .. 15 are added one after the other, each by a fused multiply-add: one rounding to float a step,
 * denormals kept. Products are exact in float but for its range (22 bits of F16, 16 of BF16, 8 of the bytes), so it is
 * the sum alone that loses something. A sum that is wider inside loses less; a kernel's tolerance must allow for a
 * rounding at every product, and so its tests meet one. The code for AVX-512, for AVX2 and for neither gives the same
 * bits: each column is summed by itself, however many lie in a vector.
 *
 * With AVX-512 that is 256 fused multiply-adds, 88 ns where one starts a cycle at 2.9 GHz, and about 25 ns around them:
 * with three of them in ten instructions 34 ns of the 50 that 20 M instructions a second leave for each. */
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "tests/gfx12/lanes.h"

#define N 16
_Static_assert(N == GFX_LANES / 2, "a row of C or D is half a register");

/* C and D must be 8 registers, A and B `regs`; all lanes take part. */
static inline __attribute__((always_inline)) bool check(gfx_wave *w, const gfx_insn *i, unsigned regs)
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

/* Where row r of C or D lies: half a register's lanes. */
static inline uint32_t *row_of(gfx_wave *w, const gfx_operand *o, int r)
{
    return &w->v[o->index + r % 8][r / 8 * N];
}

/* D, its rows one after the other. */
static inline __attribute__((always_inline)) void put(gfx_wave *w, const gfx_insn *i, const void *rows)
{
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; k++) {
        unsigned index = i->dst.index + k;
        if (w->v_pending[index]) {
            gfx_fault(w, "v%u is written while a load into it is under way", index);
            return;
        }
        w->v_written[index] = UINT32_MAX;
    }
#pragma GCC unroll 16
    for (int r = 0; r < N; r++)
        memcpy(row_of(w, &i->dst, r), (const uint32_t *)rows + N * r, N * sizeof(uint32_t));
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
    for (int r = 0; r < N; r++)
        if (i->src[2].kind == GFX_VGPR)
            memcpy(d[r], row_of(w, &i->src[2], r), sizeof d[r]);
        else
            for (int n = 0; n < N; n++)
                d[r][n] = i->src[2].bits;
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

/* A or B as floats: element k of all rows or columns after each other, at of[k % 8] + k / 8 * N, as the lanes have it. */
typedef struct fragment { _Alignas(64) float of[8][GFX_LANES]; } fragment;
static int registers_of(float_kind kind) { return kind == FLOAT_FP8 || kind == FLOAT_BF8 ? 2 : 4; }

static bool any_nan_e4m3(const uint32_t (*from)[GFX_LANES])
{
    uint32_t any = 0;
    for (int v = 0; v < 2; v++)
        LANES { any |= (from[v][l] & 0x7f7f7f7f) + 0x01010101; }
    return any & 0x80808080;
}

/* One value of each lane of a register, the `part`-th; e4m3 without NaN. */
static inline __attribute__((always_inline)) void values_of(float_kind kind, const uint32_t from[GFX_LANES], int part,
                                                            float out[GFX_LANES])
{
    int each = 4 / registers_of(kind) * 2, down = 32 / each * part;
    if (kind == FLOAT_FP8) { /* to the top, and the sign's copies away: what gfx_e4m3 does, in fewer steps */
        LANES { out[l] = gfx_float((uint32_t)((int32_t)(from[l] << (24 - down)) >> 4) & 0x87f00000) * 0x1p120f; }
        return;
    }
#if defined __AVX512F__ && defined __F16C__
    if (kind == FLOAT_F16) {
        for (int l = 0; l < GFX_LANES; l += 16) {
            __m512i x = _mm512_srli_epi32(_mm512_loadu_si512(from + l), (unsigned)down);
            _mm512_storeu_ps(out + l, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)));
        }
        return;
    }
#endif
    LANES { out[l] = value_of(kind, from[l] >> down); }
}

static inline __attribute__((always_inline)) void convert(const gfx_wave *w, const gfx_operand *o, float_kind kind,
                                                          fragment *to)
{
    const uint32_t(*from)[GFX_LANES] = (const uint32_t(*)[GFX_LANES])w->v[o->index];
    int regs = registers_of(kind), each = 8 / regs;
    if (kind == FLOAT_FP8 && any_nan_e4m3(from)) {
        for (int e = 0; e < 8; e++)
            LANES { to->of[e][l] = value_of(kind, from[e / each][l] >> 8 * (e % each)); }
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < regs; v++)
#pragma GCC unroll 4
        for (int e = 0; e < each; e++)
            values_of(kind, from[v], e, to->of[each * v + e]);
}

/* Columns of a row, as many as a register of the host holds. */
#if defined __AVX512F__ && defined __FMA__
#define WIDE 16
#define ROWS 16 /* at a time: 16 sums, a vector of B; A's values come from memory */
typedef float wide __attribute__((vector_size(64), may_alias));
#define ADD_PRODUCT(sum, a, b) ((wide)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)(b), (__m512)(sum)))
#elif defined __AVX2__ && defined __FMA__
#define WIDE 8
#define ROWS 4 /* 8 sums, 2 vectors of B */
typedef float wide __attribute__((vector_size(32), may_alias));
#define ADD_PRODUCT(sum, a, b) ((wide)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)(b), (__m256)(sum)))
#else
#define WIDE 1
#define ROWS 1
typedef float wide __attribute__((may_alias));
#define ADD_PRODUCT(sum, a, b) fmaf(a, b, sum)
#endif
#define VECTORS (N / WIDE) /* of a row */

static inline __attribute__((always_inline)) void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind of_a,
                                                             float_kind of_b)
{
    if (!check(w, i, (unsigned)registers_of(of_a)))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
    fragment a, b;
    wide d[N][VECTORS]; /* written when all of C has been read: D may overlap it */
    uint32_t c[N];
    for (int n = 0; n < N; n++)
        c[n] = i->src[2].bits;
    convert(w, &i->src[0], of_a, &a);
    convert(w, &i->src[1], of_b, &b);
    for (int r = 0; r < N; r += ROWS) {
        wide s[ROWS][VECTORS];
#pragma GCC unroll 16
        for (int n = 0; n < ROWS; n++)
            memcpy(s[n], i->src[2].kind == GFX_VGPR ? row_of(w, &i->src[2], r + n) : c, sizeof c);
#pragma GCC unroll 2
        for (int k = 0; k < N; k++) {
            const float *x = a.of[k % 8] + k / 8 * N + r;
            const wide *y = (const wide *)(b.of[k % 8] + k / 8 * N);
#pragma GCC unroll 16
            for (int n = 0; n < ROWS; n++)
#pragma GCC unroll 16
                for (int v = 0; v < VECTORS; v++)
                    s[n][v] = ADD_PRODUCT(s[n][v], x[n], y[v]);
        }
#pragma GCC unroll 16
        for (int n = 0; n < ROWS; n++)
            memcpy(d[r + n], s[n], sizeof s[n]);
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
