/* WMMA 16x16x16 in waves of 32: lane l holds, with r = l & 15 and h = l >> 4,
 *   A  row r, k = 8 h .. + 7      B  column r, k = 8 h .. + 7      C, D  column r, rows 8 h .. + 7
 * (8 bits: 2 registers; 16 bits: 4; C and D: 8). Integers wrap, or saturate with clamp.
 *
 * How the hardware rounds inside a product of floats is not documented. Here every product is exact, C and the 16
 * products are added in double in the order C, k = 0, 8, 1, 9 .. 7, 15, and the sum is rounded once to float. That is
 * what any order would give that loses nothing on the way (a double has 29 bits more than the result), so a kernel's
 * tolerance is measured against a sum that favours no order; the tolerance itself must allow for a rounding to float at
 * every product. The code for AVX-512, for AVX2 and for neither gives the same bits: the order of
 * one element's sum is the same, and an exact product makes no difference between fused and not. */
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
        for (int r = 0; r < N; r++)
            for (int n = 0; n < N; n++)
                out[r][n] = c->bits;
        return;
    }
    for (int k = 0; k < 8; k++) {
        memcpy(out[k], w->v[c->index + k], sizeof out[k]);
        memcpy(out[8 + k], w->v[c->index + k] + N, sizeof out[k]);
    }
}

static void put(gfx_wave *w, const gfx_insn *i, const void *rows)
{
    for (unsigned k = 0; k < 8; k++) {
        unsigned index = i->dst.index + k;
        if (w->v_pending[index]) {
            gfx_fault(w, "v%u is written while a load into it is under way", index);
            return;
        }
        memcpy(w->v[index], (const uint32_t *)rows + N * k, N * sizeof(uint32_t));
        memcpy(w->v[index] + N, (const uint32_t *)rows + N * (8 + k), N * sizeof(uint32_t));
        w->v_written[index] = UINT32_MAX;
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

/* A or B as doubles: all rows or columns of one k after each other, k = 0, 8, 1, 9 .., and what was converted. */
typedef struct fragment {
    _Alignas(64) double of[N][N];
    uint32_t raw[4][GFX_LANES];
    float_kind kind;
    bool full;
} fragment;
static int registers_of(float_kind kind) { return kind == FLOAT_FP8 || kind == FLOAT_BF8 ? 2 : 4; }

static void widen(const float x[GFX_LANES], double *to)
{
    LANES { to[l] = (double)x[l]; }
}

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

static inline __attribute__((always_inline)) void convert(float_kind kind, const uint32_t (*from)[GFX_LANES],
                                                          double (*to)[N])
{
    int regs = registers_of(kind), each = 8 / regs;
    float x[GFX_LANES];
    if (kind == FLOAT_FP8 && any_nan_e4m3(from)) {
        for (int e = 0; e < 8; e++) {
            LANES { x[l] = value_of(kind, from[e / each][l] >> 8 * (e % each)); }
            widen(x, to[2 * e]);
        }
        return;
    }
    for (int v = 0; v < regs; v++)
#pragma GCC unroll 4
        for (int e = 0; e < each; e++) {
            values_of(kind, from[v], e, x);
            widen(x, to[2 * (each * v + e)]);
        }
}

/* A fragment that several WMMAs take is converted once: a kernel's loops have the same few registers again and again.
 * What it was converted from is compared, so nothing else needs to know. */
#define SLOTS 2
static inline __attribute__((always_inline)) const fragment *fragment_of(const gfx_wave *w, const gfx_operand *o,
                                                                         float_kind kind, int side)
{
    static _Thread_local fragment slots[2][SLOTS];
    int regs = registers_of(kind);
    fragment *f = &slots[side][o->index / (unsigned)regs % SLOTS];
    const uint32_t(*from)[GFX_LANES] = (const uint32_t(*)[GFX_LANES])w->v[o->index];
    size_t bytes = (size_t)regs * sizeof *from;
    if (f->full && f->kind == kind && memcmp(f->raw, from, bytes) == 0)
        return f;
    convert(kind, from, f->of);
    memcpy(f->raw, from, bytes);
    f->kind = kind;
    f->full = true;
    return f;
}

/* Columns of a row, as many as a register of the host holds. Products are exact in double: fused or not, the result is
 * the same. */
#if defined __AVX512F__ && defined __FMA__
#define WIDE 8
#define ROWS 8 /* at a time: 16 sums, 2 vectors of B; A's values come from memory */
typedef double wide __attribute__((vector_size(64), may_alias));
#define ADD_PRODUCT(sum, a, b) ((wide)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(sum)))
#define EVERY(x) { (x), (x), (x), (x), (x), (x), (x), (x) }
#define WIDENED(p) ((wide)_mm512_cvtps_pd(_mm256_loadu_ps(p)))
#define NARROWED(p, x) _mm256_storeu_ps(p, _mm512_cvtpd_ps((__m512d)(x)))
#else
#define WIDE 4
#define ROWS 2 /* 8 sums, 4 vectors of B, 2 of A */
typedef double wide __attribute__((vector_size(32), may_alias));
#ifdef __FMA__
#define ADD_PRODUCT(sum, a, b) ((wide)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(sum)))
#else
#define ADD_PRODUCT(sum, a, b) ((sum) + (a) * (b))
#endif
#ifdef __AVX2__ /* __builtin_convertvector goes through memory */
#define WIDENED(p) ((wide)_mm256_cvtps_pd(_mm_loadu_ps(p)))
#define NARROWED(p, x) _mm_storeu_ps(p, _mm256_cvtpd_ps((__m256d)(x)))
#else
#define WIDENED(p) ((wide){ (double)(p)[0], (double)(p)[1], (double)(p)[2], (double)(p)[3] })
#define NARROWED(p, x)               \
    for (int e = 0; e < WIDE; e++)   \
        (p)[e] = (float)(x)[e];
#endif
#define EVERY(x) { (x), (x), (x), (x) }
#endif
#define VECTORS (N / WIDE) /* of a row */
typedef float lane_float __attribute__((may_alias)); /* of a register */

static inline __attribute__((always_inline)) void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind of_a,
                                                             float_kind of_b)
{
    if (!check(w, i, (unsigned)registers_of(of_a)))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
    const fragment *a = fragment_of(w, &i->src[0], of_a, 0), *b = fragment_of(w, &i->src[1], of_b, 1);
    _Alignas(64) float d[N][N];
    float c[N];
    const gfx_operand *o = &i->src[2];
    for (int n = 0; n < N; n++)
        c[n] = gfx_float(o->bits);
    for (int r = 0; r < N; r += ROWS) {
        wide s[ROWS][VECTORS];
#pragma GCC unroll 16
        for (int n = 0; n < ROWS; n++) {
            const lane_float *row =
                o->kind == GFX_VGPR ? (const lane_float *)&w->v[o->index + (r + n) % 8][(r + n) / 8 * N] : c;
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                s[n][v] = WIDENED(row + WIDE * v);
        }
#pragma GCC unroll 2
        for (int k = 0; k < N; k++) {
            const wide *y = (const wide *)b->of[k];
#pragma GCC unroll 16
            for (int n = 0; n < ROWS; n++) {
                const wide x = EVERY(a->of[k][r + n]);
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++)
                    s[n][v] = ADD_PRODUCT(s[n][v], x, y[v]);
            }
        }
#pragma GCC unroll 16
        for (int n = 0; n < ROWS; n++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                NARROWED(&d[r + n][WIDE * v], s[n][v]);
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
