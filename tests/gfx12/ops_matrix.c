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
 * With AVX-512 that is 256 fused multiply-adds, 70 ns where one starts a cycle at 3.65 GHz, and with AVX2 512, of which
 * two start: with 28 of 100 instructions, as in the prefill of F16, 20 of the 50 ns that 20 M instructions a second leave
 * for each. Of BF16 and e4m3 vdpbf16ps makes half of that. */
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

/* Where row r of C or D lies, of its first register's lanes on: half a register. */
static inline int place_of(int r) { return r % 8 * GFX_LANES + r / 8 * N; }

/* C, its rows one after the other. */
static inline __attribute__((always_inline)) void get(const gfx_wave *w, const gfx_insn *i, uint32_t to[N][N])
{
    const uint32_t *from = w->v[i->src[2].index], constant = i->src[2].bits;
    if (i->src[2].kind == GFX_VGPR)
#pragma GCC unroll 16
        for (int r = 0; r < N; r++)
            memcpy(to[r], from + place_of(r), sizeof to[r]);
    else
        for (int n = 0; n < N * N; n++)
            to[n / N][n % N] = constant;
}

/* D will be written, all of it. */
static inline __attribute__((always_inline)) bool claim(gfx_wave *w, const gfx_insn *i)
{
    unsigned first = i->dst.index;
    uint64_t pending; /* of 8 registers */
    memcpy(&pending, w->v_pending + first, sizeof pending);
    if (pending) {
        first += (unsigned)__builtin_ctzll(pending) / 8;
        gfx_fault(w, "v%u is written while a load into it is under way", first);
        return false;
    }
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; k++)
        w->v_written[first + k] = UINT32_MAX;
    return true;
}
/* D, its rows one after the other. */
static inline __attribute__((always_inline)) void put(gfx_wave *w, const gfx_insn *i, uint32_t from[N][N])
{
    uint32_t *to = w->v[i->dst.index];
    if (!claim(w, i))
        return;
#pragma GCC unroll 16
    for (int r = 0; r < N; r++)
        memcpy(to + place_of(r), from[r], sizeof from[r]);
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
    get(w, i, d);
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
typedef gfx_fragment fragment;
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
    LANES { out[l] = value_of(kind, from[l] >> down); }
}

#ifdef __AVX512BW__
/* The lower half of every lane of a register, then the upper ones. */
static inline __attribute__((always_inline)) void halves_of(const uint32_t from[GFX_LANES], float out[2 * GFX_LANES])
{
    static const uint16_t order[2 * GFX_LANES] = { 0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                                   32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62,
                                                   1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                   33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63 };
    __m512i low = _mm512_loadu_si512(from), high = _mm512_loadu_si512(from + 16);
    for (int part = 0; part < 2; part++) {
        __m512i x = _mm512_permutex2var_epi16(low, _mm512_loadu_si512(order + GFX_LANES * part), high);
        _mm512_storeu_ps(out + GFX_LANES * part, _mm512_cvtph_ps(_mm512_castsi512_si256(x)));
        _mm512_storeu_ps(out + GFX_LANES * part + 16, _mm512_cvtph_ps(_mm512_extracti64x4_epi64(x, 1)));
    }
}
#elif defined __AVX2__ && defined __F16C__
static inline __attribute__((always_inline)) void halves_of(const uint32_t from[GFX_LANES], float out[2 * GFX_LANES])
{
    /* In each half of a vector the lanes' lower halves to the front, then the upper ones. */
    const __m256i apart = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                           0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
#pragma GCC unroll 4
    for (int l = 0; l < GFX_LANES; l += 8) {
        __m256i x = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)(from + l)), apart);
        x = _mm256_permute4x64_epi64(x, 0xd8);
        _mm256_store_ps(out + l, _mm256_cvtph_ps(_mm256_castsi256_si128(x)));
        _mm256_store_ps(out + GFX_LANES + l, _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1)));
    }
}
#endif
#if defined __AVX512BW__ || (defined __AVX2__ && defined __F16C__)
#define HAVE_HALVES_OF 1
#endif

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
    for (int v = 0; v < regs; v++) {
#ifdef HAVE_HALVES_OF
        if (kind == FLOAT_F16) {
            halves_of(from[v], to->of[2 * v]);
            continue;
        }
#endif
#pragma GCC unroll 4
        for (int e = 0; e < each; e++)
            values_of(kind, from[v], e, to->of[each * v + e]);
    }
}

/* A or B as floats. Kernels multiply each fragment with several others, one right after the other, and to convert one
 * takes longer than to see that it is the same: of 16 WMMAs on 8 panels and 2 tiles 10 conversions are left of 32. */
static inline __attribute__((always_inline)) const fragment *converted(const gfx_wave *w, const gfx_operand *o,
                                                                       float_kind kind, int which)
{
    gfx_seen_fragments *seen = w->group->fragments;
    size_t bytes = (size_t)registers_of(kind) * sizeof w->v[0];
    for (int k = 0; k < GFX_SEEN; k++) {
        const gfx_seen_fragment *f = &seen->list[which][k];
        if (f->kind == kind && memcmp(f->bits, w->v[o->index], bytes) == 0)
            return &f->values;
    }
    gfx_seen_fragment *to = &seen->list[which][seen->next[which]++ % GFX_SEEN];
    memcpy(to->bits, w->v[o->index], bytes);
    to->kind = kind;
    convert(w, o, kind, &to->values);
    return &to->values;
}

/* Columns of a row, as many as a register of the host holds, and rows whose sums are made at once: with 8 sums under way
 * no fused multiply-add waits for another one (4 cycles, 2 of 256 bits begin in one), and each of A's values that is
 * spread serves all columns. */
#if defined __AVX512F__ && defined __FMA__
#define WIDE 16
#define ROWS 8
typedef float wide __attribute__((vector_size(64), may_alias));
#define SPREAD(x) ((wide)_mm512_set1_ps(x))
#define ADD_PRODUCT(sum, a, b) ((wide)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(sum)))
#elif defined __AVX2__ && defined __FMA__
#define WIDE 8
#define ROWS 4
typedef float wide __attribute__((vector_size(32), may_alias));
#define SPREAD(x) ((wide)_mm256_set1_ps(x))
#define ADD_PRODUCT(sum, a, b) ((wide)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(sum)))
/* Loaded once: as an operand in memory it would be loaded by each product, and loads would bind. */
static inline __attribute__((always_inline)) wide in_register(wide x)
{
    __asm__("" : "+x"(x));
    return x;
}
#define IN_REGISTER(x) in_register(x)
#else
#define WIDE 1
#define ROWS 8
typedef float wide __attribute__((may_alias));
#define SPREAD(x) (x)
#define ADD_PRODUCT(sum, a, b) fmaf(a, b, sum)
#endif
#define PARTS (N / WIDE)
#ifndef IN_REGISTER
#define IN_REGISTER(x) (x)
#endif

#ifdef __AVX512BF16__
/* ---- with vdpbf16ps ----
 *
 * It adds two products of BF16 to a float, the upper halves' first, each with one rounding: two steps of the chain,
 * where neither a source nor a sum is denormal, which it takes for zero, or NaN, of which it makes another. Where C and
 * the products are zero or normal, and no product is below 2^-100, no sum is denormal: one that is not zero is above
 * 2^-102, or a difference of multiples of 2^-125. */

/* A or B: pairs of k = 8 h + 2 j and the next, the first in the upper half, at of[j], as the lanes have it. */
typedef struct bf16_pairs { _Alignas(64) uint32_t of[4][GFX_LANES]; } bf16_pairs;

/* e4m3, each in the upper byte of a word. The 7 bits move to bits 4 .. 10, the exponent's bias grows from 7 to 127;
 * below the least normal the three bits say the value, m 2^-9. */
static inline __m512i bf16_of_e4m3(__m512i words)
{
    static const uint16_t denormals[32] = { 0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60 };
    __m512i sign = _mm512_set1_epi16((int16_t)0x8000), bias = _mm512_set1_epi16((127 - 7) << 7);
    __m512i v = _mm512_and_si512(_mm512_srai_epi16(words, 4), _mm512_set1_epi16((int16_t)0x87f0));
    __mmask32 below = _mm512_testn_epi16_mask(v, _mm512_set1_epi16(15 << 7));
    __m512i value = _mm512_add_epi16(v, bias);
    value = _mm512_mask_permutexvar_epi16(value, below, _mm512_srli_epi16(v, 4), _mm512_loadu_si512(denormals));
    return _mm512_ternarylogic_epi32(v, sign, value, 0xea); /* v & sign | value */
}

/* False where a code is NaN. */
static inline __attribute__((always_inline)) bool pairs_of_e4m3(const uint32_t (*from)[GFX_LANES], bf16_pairs *to)
{
    __m512i nan = _mm512_setzero_si512(), body = _mm512_set1_epi8(0x7f), one = _mm512_set1_epi8(1);
    __m512i low = _mm512_set4_epi32((int)0x0c800d80, 0x08800980, 0x04800580, 0x00800180); /* bytes 0, 1 of a lane */
    __m512i high = _mm512_or_si512(low, _mm512_set1_epi32(0x02000200));                   /* 2, 3 */
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
        int v = n / 2, l = n % 2 * N;
        __m512i x = _mm512_load_si512(from[v] + l);
        nan = _mm512_or_si512(nan, _mm512_add_epi8(_mm512_and_si512(x, body), one));
        _mm512_store_si512(to->of[2 * v] + l, bf16_of_e4m3(_mm512_shuffle_epi8(x, low)));
        _mm512_store_si512(to->of[2 * v + 1] + l, bf16_of_e4m3(_mm512_shuffle_epi8(x, high)));
    }
    return _mm512_movepi8_mask(nan) == 0;
}

/* False where a value that is not zero is below 2^-50, or one is not below 2^60. */
static inline __attribute__((always_inline)) bool pairs_of_bf16(const uint32_t (*from)[GFX_LANES], bf16_pairs *to)
{
    __m512i least = _mm512_set1_epi16(-1), most = _mm512_setzero_si512(), one = _mm512_set1_epi16(1);
#pragma GCC unroll 8
    for (int n = 0; n < 8; n++) {
        int v = n / 2, l = n % 2 * N;
        __m512i x = _mm512_load_si512(from[v] + l), twice = _mm512_add_epi16(x, x); /* without the sign */
        _mm512_store_si512(to->of[v] + l, _mm512_rol_epi32(x, 16));
        most = _mm512_max_epu16(most, twice);
        least = _mm512_min_epu16(least, _mm512_sub_epi16(twice, one)); /* of zero the largest */
    }
    return !(_mm512_cmplt_epu16_mask(least, _mm512_set1_epi16((int16_t)(((127 - 50) << 8) - 1))) |
             _mm512_cmpge_epu16_mask(most, _mm512_set1_epi16((int16_t)((127 + 60) << 8))));
}

/* False where the chain cannot be made of pairs. */
static inline __attribute__((always_inline)) bool wmma_pairs(gfx_wave *w, const gfx_insn *i, float_kind kind)
{
    bf16_pairs a, b;
    __m512 s[N];
    const uint32_t *c = w->v[i->src[2].index];
    uint32_t *d = w->v[i->dst.index];
    const uint32_t(*from)[GFX_LANES] = (const uint32_t(*)[GFX_LANES])w->v[i->src[0].index];
    const uint32_t(*from_b)[GFX_LANES] = (const uint32_t(*)[GFX_LANES])w->v[i->src[1].index];
    bool fine = kind == FLOAT_FP8 ? pairs_of_e4m3(from, &a) && pairs_of_e4m3(from_b, &b)
                                  : pairs_of_bf16(from, &a) && pairs_of_bf16(from_b, &b);
    __mmask16 other = 0; /* denormal, infinite or NaN */
#pragma GCC unroll 16
    for (int r = 0; r < N; r++) {
        s[r] = i->src[2].kind == GFX_VGPR ? _mm512_load_ps(c + place_of(r))
                                          : _mm512_castsi512_ps(_mm512_set1_epi32((int)i->src[2].bits));
        other = _kor_mask16(other, _mm512_fpclass_ps_mask(s[r], 0xb9));
    }
    if (!fine || other)
        return false;
    if (!claim(w, i))
        return true;
    for (int h = 0; h < 2; h++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const uint32_t *x = a.of[j] + h * N;
            __m512bh y = (__m512bh)_mm512_load_si512(b.of[j] + h * N);
#pragma GCC unroll 16
            for (int r = 0; r < N; r++)
                s[r] = _mm512_dpbf16_ps(s[r], (__m512bh)_mm512_set1_epi32((int)x[r]), y);
        }
#pragma GCC unroll 16
    for (int r = 0; r < N; r++)
        _mm512_store_ps(d + place_of(r), s[r]);
    return true;
}
#endif

static inline __attribute__((always_inline)) void wmma_float(gfx_wave *w, const gfx_insn *i, float_kind of_a,
                                                             float_kind of_b)
{
    if (!check(w, i, (unsigned)registers_of(of_a)))
        return;
    if (i->neg_lo || i->neg_hi || i->clamp) {
        gfx_fault(w, "WMMA of floats with modifiers");
        return;
    }
#ifdef __AVX512BF16__
    if (of_a == of_b && (of_a == FLOAT_FP8 || of_a == FLOAT_BF16) && wmma_pairs(w, i, of_a))
        return;
#endif
    const fragment *a = converted(w, &i->src[0], of_a, 0), *b = converted(w, &i->src[1], of_b, 1);
    const gfx_operand *c = &i->src[2];
    uint32_t(*d)[GFX_LANES] = &w->v[i->dst.index];
    _Alignas(64) uint32_t before[8][GFX_LANES];
    const uint32_t(*from)[GFX_LANES] = (const uint32_t(*)[GFX_LANES])before;
    if (c->kind != GFX_VGPR)
        for (int n = 0; n < 8 * GFX_LANES; n++)
            before[n / GFX_LANES][n % GFX_LANES] = c->bits;
    else if (c->index == i->dst.index || c->index + 8 <= i->dst.index || i->dst.index + 8 <= c->index)
        from = (const uint32_t(*)[GFX_LANES])w->v[c->index];
    else /* D overlaps another row's C */
        memcpy(before, w->v[c->index], sizeof before);
    if (!claim(w, i))
        return;
    for (int at = 0; at < 2 * 8; at += ROWS) { /* rows: registers at % 8 .., lanes of half at / 8 */
        wide s[ROWS][PARTS];
        int lane = at / 8 * N, reg = at % 8;
#pragma GCC unroll 8
        for (int n = 0; n < ROWS; n++)
#pragma GCC unroll 2
            for (int p = 0; p < PARTS; p++)
                s[n][p] = ((const wide *)(from[reg + n] + lane))[p];
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++)
#pragma GCC unroll 8
            for (int k = 0; k < 8; k++) {
                const float *x = a->of[k] + h * N + at;
                wide y[PARTS];
#pragma GCC unroll 2
                for (int p = 0; p < PARTS; p++)
                    y[p] = IN_REGISTER(((const wide *)(b->of[k] + h * N))[p]);
#pragma GCC unroll 8
                for (int n = 0; n < ROWS; n++) {
                    wide each = SPREAD(x[n]);
#pragma GCC unroll 2
                    for (int p = 0; p < PARTS; p++)
                        s[n][p] = ADD_PRODUCT(s[n][p], each, y[p]);
                }
            }
#pragma GCC unroll 8
        for (int n = 0; n < ROWS; n++)
#pragma GCC unroll 2
            for (int p = 0; p < PARTS; p++)
                ((wide *)(d[reg + n] + lane))[p] = s[n][p];
    }
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
