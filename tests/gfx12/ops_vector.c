/* Vector instructions on 32 lanes: arithmetic, conversions, comparisons, movement between lanes. */
#include <math.h>
#include <string.h>

#include "format/halffloat.h"
#include "tests/gfx12/machine.h"

#define LANES for (int l = 0; l < GFX_LANES; l++)
#define SOURCE(k, name)         \
    uint32_t name##_room[GFX_LANES]; \
    const uint32_t *name = gfx_lanes_of(w, i, k, 0, name##_room)

/* An operation on each lane by itself. a, b, c: the sources' bits in lane l. */
#define UNARY(name, expr)                                                   \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        LANES { uint32_t a = pa[l]; r[l] = (expr); }                        \
    }
#define BINARY(name, expr)                                                  \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        SOURCE(1, pb);                                                      \
        LANES { uint32_t a = pa[l], b = pb[l]; r[l] = (expr); }             \
    }
#define TERNARY(name, expr)                                                 \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        SOURCE(0, pa);                                                      \
        SOURCE(1, pb);                                                      \
        SOURCE(2, pc);                                                      \
        LANES { uint32_t a = pa[l], b = pb[l], c = pc[l]; r[l] = (expr); }  \
    }
#define FA gfx_float(a)
#define FB gfx_float(b)
#define FC gfx_float(c)
#define R(value) gfx_bits(value)

/* ---- integers ---- */

UNARY(mov, a)
UNARY(not32, ~a)
UNARY(bfrev, gfx_reversed(a))
UNARY(ctz, a ? (uint32_t)__builtin_ctz(a) : UINT32_MAX)
UNARY(clz, a ? (uint32_t)__builtin_clz(a) : UINT32_MAX)
BINARY(lshlrev, b << (a & 31))
BINARY(lshrrev, b >> (a & 31))
BINARY(ashrrev, (uint32_t)((int32_t)b >> (a & 31)))
BINARY(and32, a & b)
BINARY(or32, a | b)
BINARY(xor32, a ^ b)
BINARY(xnor32, ~(a ^ b))
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(subrev, b - a)
BINARY(mul_u24, (a & 0xffffff) * (b & 0xffffff))
static int32_t s24(uint32_t x) { return (int32_t)(x << 8) >> 8; }
BINARY(mul_i24, (uint32_t)s24(a) * (uint32_t)s24(b))
BINARY(mul_lo, a * b)
BINARY(mul_hi_u, (uint32_t)((uint64_t)a * b >> 32))
BINARY(mul_hi_i, (uint32_t)((uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32))
BINARY(min_u, a < b ? a : b)
BINARY(max_u, a > b ? a : b)
BINARY(min_i, (int32_t)a < (int32_t)b ? a : b)
BINARY(max_i, (int32_t)a > (int32_t)b ? a : b)
TERNARY(mad_u24, (a & 0xffffff) * (b & 0xffffff) + c)
TERNARY(mad_i24, (uint32_t)s24(a) * (uint32_t)s24(b) + c)
TERNARY(lshl_add, (a << (b & 31)) + c)
TERNARY(add_lshl, (a + b) << (c & 31))
TERNARY(add3, a + b + c)
TERNARY(lshl_or, a << (b & 31) | c)
TERNARY(and_or, (a & b) | c)
TERNARY(or3, a | b | c)
TERNARY(xor3, a ^ b ^ c)
TERNARY(xad, (a ^ b) + c)
TERNARY(bfi, (a & b) | (~a & c))
TERNARY(alignbit, (uint32_t)(((uint64_t)a << 32 | b) >> (c & 31)))
TERNARY(alignbyte, (uint32_t)(((uint64_t)a << 32 | b) >> (8 * (c & 3))))
static uint32_t field_u(uint32_t x, uint32_t at, uint32_t width)
{
    at &= 31, width &= 31;
    return x >> at & ((UINT32_C(1) << width) - 1);
}
static uint32_t field_i(uint32_t x, uint32_t at, uint32_t width)
{
    at &= 31, width &= 31;
    if (width == 0)
        return 0;
    if (at + width >= 32)
        return (uint32_t)((int32_t)x >> at);
    return (uint32_t)((int32_t)(x << (32 - at - width)) >> (32 - width));
}
TERNARY(bfe_u, field_u(a, b, c))
TERNARY(bfe_i, field_i(a, b, c))
static uint32_t median_u(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}
static uint32_t median_i(uint32_t a, uint32_t b, uint32_t c)
{
    return median_u(a ^ 0x80000000, b ^ 0x80000000, c ^ 0x80000000) ^ 0x80000000;
}
TERNARY(med3_u, median_u(a, b, c))
TERNARY(med3_i, median_i(a, b, c))
/* Bytes of the eight that a (upper) and b hold, by a selector each: 0 to 7 a byte, 8 to 11 the sign of an upper half of
 * a word (1, 3, 5, 7), 12 zero, 13 and up ones. */
static uint32_t permuted(uint32_t a, uint32_t b, uint32_t select)
{
    uint64_t all = (uint64_t)a << 32 | b;
    uint32_t r = 0;
    for (int k = 0; k < 4; k++) {
        uint32_t s = select >> 8 * k & 255, byte;
        if (s < 8)
            byte = (uint32_t)(all >> 8 * s) & 255;
        else if (s < 12)
            byte = all >> (16 * (s - 8) + 15) & 1 ? 255 : 0;
        else
            byte = s == 12 ? 0 : 255;
        r |= byte << 8 * k;
    }
    return r;
}
TERNARY(perm, permuted(a, b, c))
BINARY(bcnt, (uint32_t)__builtin_popcount(a) + b)

/* How many bits of the mask belong to lanes below. */
static void mbcnt_lo(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    LANES { r[l] = (uint32_t)__builtin_popcount(pa[l] & ((UINT32_C(1) << l) - 1)) + pb[l]; }
}
static void mbcnt_hi(gfx_wave *w, const gfx_insn *i, uint32_t *r) /* no lane of a wave of 32 is that high */
{
    SOURCE(1, pb);
    LANES { r[l] = pb[l]; }
}

static void lane_bits(gfx_wave *w, const gfx_insn *i, int k, bool set[GFX_LANES])
{
    uint32_t mask = gfx_s32(w, &i->src[k]);
    LANES { set[l] = mask >> l & 1; }
}
static void cndmask(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    bool second[GFX_LANES];
    SOURCE(0, pa);
    SOURCE(1, pb);
    lane_bits(w, i, 2, second);
    LANES { r[l] = second[l] ? pb[l] : pa[l]; }
}

/* Sums and differences with carries, which are lane masks. */
static void carry_op(gfx_wave *w, const gfx_insn *i, uint32_t *r, bool with, int kind)
{
    bool in[GFX_LANES] = { false };
    SOURCE(0, pa);
    SOURCE(1, pb);
    if (with)
        lane_bits(w, i, 2, in);
    LANES {
        uint32_t a = kind == 2 ? pb[l] : pa[l], b = kind == 2 ? pa[l] : pb[l];
        uint64_t t = kind == 0 ? (uint64_t)a + b + in[l] : (uint64_t)a - b - in[l];
        r[l] = (uint32_t)t;
        r[GFX_LANES + l] = t >> 32 & 1;
    }
}
static void add_co(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, false, 0); }
static void sub_co(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, false, 1); }
static void subrev_co(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, false, 2); }
static void add_ci(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, true, 0); }
static void sub_ci(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, true, 1); }
static void subrev_ci(gfx_wave *w, const gfx_insn *i, uint32_t *r) { carry_op(w, i, r, true, 2); }

/* 64 bits: source k, both halves. */
static void wide_source(gfx_wave *w, const gfx_insn *i, int k, uint64_t out[GFX_LANES])
{
    uint32_t low_room[GFX_LANES], high_room[GFX_LANES];
    const uint32_t *low = gfx_lanes_of(w, i, k, 0, low_room), *high = gfx_lanes_of(w, i, k, 1, high_room);
    LANES { out[l] = (uint64_t)high[l] << 32 | low[l]; }
}
#define WIDE_SHIFT(name, expr)                                              \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)           \
    {                                                                       \
        uint64_t x[GFX_LANES];                                              \
        SOURCE(0, pa);                                                      \
        wide_source(w, i, 1, x);                                            \
        LANES {                                                             \
            uint32_t n = pa[l] & 63;                                        \
            uint64_t b = x[l], t = (expr);                                  \
            r[l] = (uint32_t)t;                                             \
            r[GFX_LANES + l] = (uint32_t)(t >> 32);                         \
        }                                                                   \
    }
WIDE_SHIFT(lshlrev64, b << n)
WIDE_SHIFT(lshrrev64, b >> n)
WIDE_SHIFT(ashrrev64, (uint64_t)((int64_t)b >> n))

/* ---- floats ---- */

/* minimumNumber and maximumNumber of IEEE 754-2019: a number rather than a NaN, -0 below 0. */
static float minimum(float a, float b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) ? (isnan(b) ? a + b : b) : a;
    return a < b || (a == b && signbit(a)) ? a : b;
}
static float maximum(float a, float b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) ? (isnan(b) ? a + b : b) : a;
    return a > b || (a == b && !signbit(a)) ? a : b;
}
UNARY(rcp, R(1.0f / FA))
UNARY(rsq, R((float)(1.0 / sqrt((double)FA))))
UNARY(root, R(sqrtf(FA)))
UNARY(exp2_f, R((float)exp2((double)FA)))
UNARY(log2_f, R((float)log2((double)FA)))
UNARY(sine, R((float)sin((double)FA * 6.283185307179586))) /* of turns */
UNARY(cosine, R((float)cos((double)FA * 6.283185307179586)))
UNARY(floor_f, R(floorf(FA)))
UNARY(ceil_f, R(ceilf(FA)))
UNARY(trunc_f, R(truncf(FA)))
UNARY(rndne, R(rintf(FA)))
UNARY(fract, R(fminf(FA - floorf(FA), 0x1.fffffep-1f)))
BINARY(add_f, R(FA + FB))
BINARY(sub_f, R(FA - FB))
BINARY(subrev_f, R(FB - FA))
BINARY(mul_f, R(FA * FB))
BINARY(min_f, R(minimum(FA, FB)))
BINARY(max_f, R(maximum(FA, FB)))
BINARY(ldexp_f, R((float)ldexp((double)FA, (int32_t)b < -400 ? -400 : (int32_t)b > 400 ? 400 : (int32_t)b)))
TERNARY(fma_f, R(fmaf(FA, FB, FC)))
TERNARY(fmamk, R(fmaf(FA, FC, FB))) /* the constant is written second */
TERNARY(min3_f, R(minimum(minimum(FA, FB), FC)))
TERNARY(max3_f, R(maximum(maximum(FA, FB), FC)))
TERNARY(maxmin_f, R(minimum(maximum(FA, FB), FC)))
TERNARY(minmax_f, R(maximum(minimum(FA, FB), FC)))
TERNARY(med3_f, R(maximum(minimum(FA, FB), minimum(maximum(FA, FB), FC))))

static void fmac(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    const uint32_t *d = w->v[i->dst.index];
    LANES { r[l] = R(fmaf(gfx_float(pa[l]), gfx_float(pb[l]), gfx_float(d[l]))); }
}

/* Division in steps, as the architecture document's pseudocode has them: scale operands out of the way of denormals and
 * overflow, and say (in the mask) whether the quotient is to be scaled back. a: which of b (denominator) and c
 * (numerator) comes out. */
static int exponent(float x) { return (int)(gfx_bits(x) >> 23 & 255); }
static bool denormal(float x) { return exponent(x) == 0 && x != 0; }
static void div_scale(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    LANES {
        float a = gfx_float(pa[l]), b = gfx_float(pb[l]), c = gfx_float(pc[l]), up = a * 0x1p64f, d = a;
        bool mask = false;
        if (b == 0 || c == 0) {
            d = NAN;
        } else if (exponent(c) - exponent(b) >= 96) {
            mask = true;
            d = a == b ? up : a;
        } else if (denormal(b)) {
            d = up;
        } else if (denormal(1 / b) && denormal(c / b)) {
            mask = true;
            d = a == b ? up : a;
        } else if (denormal(1 / b)) {
            d = a * 0x1p-64f;
        } else if (denormal(c / b)) {
            mask = true;
            d = a == c ? up : a;
        } else if (exponent(c) <= 23) {
            d = up;
        }
        r[l] = R(d);
        r[GFX_LANES + l] = mask;
    }
}
static void div_fmas(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    if (!w->s_written[GFX_VCC])
        gfx_fault(w, "VCC is read before anything wrote it");
    LANES {
        float d = fmaf(gfx_float(pa[l]), gfx_float(pb[l]), gfx_float(pc[l]));
        if (w->s[GFX_VCC] >> l & 1)
            d *= exponent(gfx_float(pc[l])) > 127 ? 0x1p64f : 0x1p-64f;
        r[l] = R(d);
    }
}
static uint32_t fixed_up(float q, float b, float c)
{
    uint32_t sign = (gfx_bits(b) ^ gfx_bits(c)) & 0x80000000;
    if (isnan(c))
        return gfx_bits(c) | 0x400000;
    if (isnan(b))
        return gfx_bits(b) | 0x400000;
    if ((b == 0 && c == 0) || (isinf(b) && isinf(c)))
        return 0xffc00000;
    if (b == 0 || isinf(c))
        return sign | 0x7f800000;
    if (isinf(b) || c == 0)
        return sign;
    return sign | (gfx_bits(q) & 0x7fffffff);
}
TERNARY(div_fixup, fixed_up(FA, FB, FC))

/* ---- conversions ---- */

/* Toward zero, saturating; NaN gives 0. */
static uint32_t to_i32(float x)
{
    return isnan(x) ? 0 : x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? (uint32_t)INT32_MIN : (uint32_t)(int32_t)x;
}
static uint32_t to_u32(float x) { return !(x > 0) ? 0 : x >= 0x1p32f ? UINT32_MAX : (uint32_t)x; }
UNARY(f32_i32, R((float)(int32_t)a))
UNARY(f32_u32, R((float)a))
UNARY(i32_f32, to_i32(FA))
UNARY(u32_f32, to_u32(FA))
UNARY(nearest_i32, to_i32(floorf(FA + 0.5f)))
UNARY(floor_i32, to_i32(floorf(FA)))
UNARY(ubyte0, R((float)(a & 255)))
UNARY(ubyte1, R((float)(a >> 8 & 255)))
UNARY(ubyte2, R((float)(a >> 16 & 255)))
UNARY(ubyte3, R((float)(a >> 24)))
UNARY(f32_f16, R(ash_f16_to_f32((uint16_t)a)))
UNARY(f16_f32, ash_f32_to_f16(FA))
UNARY(i32_i16, (uint32_t)(int32_t)(int16_t)a)
UNARY(u32_u16, a & 0xffff)

/* Half of the magnitude's next smaller value: toward zero. */
static uint16_t half_toward_zero(float x)
{
    uint16_t h = ash_f32_to_f16(x);
    if (isfinite(x) && fabsf(ash_f16_to_f32(h)) > fabsf(x))
        h--; /* codes of one sign ascend with the magnitude; infinity becomes the largest finite one */
    return h;
}
BINARY(pk_rtz_f16, half_toward_zero(FA) | (uint32_t)half_toward_zero(FB) << 16)

static void cvt_f32_fp8(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    LANES { r[l] = R(ash_e4m3_to_f32((uint8_t)pa[l])); }
}
static void cvt_pk_f32_fp8(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    LANES {
        r[l] = R(ash_e4m3_to_f32((uint8_t)pa[l]));
        r[GFX_LANES + l] = R(ash_e4m3_to_f32((uint8_t)(pa[l] >> 8)));
    }
}
/* Out of range gives NaN, where the format's own conversion saturates. */
static uint32_t to_fp8(float x)
{
    uint8_t code = ash_f32_to_e4m3(x);
    return fabsf(x) > 464 || isnan(x) ? 0x7f | (signbit(x) ? 0x80 : 0) : code;
}
static void cvt_pk_fp8(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    bool upper = i->op_sel >> 2 & 1; /* which half of the destination; the other one stays */
    const uint32_t *d = w->v[i->dst.index];
    LANES {
        uint32_t both = to_fp8(gfx_float(pa[l])) | to_fp8(gfx_float(pb[l])) << 8;
        r[l] = upper ? (d[l] & 0xffff) | both << 16 : (d[l] & 0xffff0000) | both;
    }
}

/* ---- dot products ---- */

static void dot4_iu8(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    bool sa = i->neg_lo & 1, sb = i->neg_lo & 2;
    LANES {
        int64_t sum = (int32_t)pc[l];
        for (int k = 0; k < 32; k += 8) {
            int32_t x = sa ? (int8_t)(pa[l] >> k) : (uint8_t)(pa[l] >> k);
            int32_t y = sb ? (int8_t)(pb[l] >> k) : (uint8_t)(pb[l] >> k);
            sum += x * y;
        }
        if (i->clamp)
            sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
        r[l] = (uint32_t)sum;
    }
}
/* Products are exact; how the hardware rounds their sum is not documented: here it is rounded once. */
static void dot4_fp8(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    LANES {
        double sum = (double)gfx_float(pc[l]);
        for (int k = 0; k < 32; k += 8)
            sum += (double)ash_e4m3_to_f32((uint8_t)(pa[l] >> k)) * (double)ash_e4m3_to_f32((uint8_t)(pb[l] >> k));
        r[l] = R((float)sum);
    }
}

/* ---- comparisons ---- */

#define CMP(name, expr) BINARY(cmp_##name, (expr) ? 1 : 0)
CMP(lt_f, FA < FB)
CMP(eq_f, FA == FB)
CMP(le_f, FA <= FB)
CMP(gt_f, FA > FB)
CMP(lg_f, FA < FB || FA > FB)
CMP(ge_f, FA >= FB)
CMP(o_f, !isnan(FA) && !isnan(FB))
CMP(u_f, isnan(FA) || isnan(FB))
CMP(nge_f, !(FA >= FB))
CMP(nlg_f, !(FA < FB || FA > FB))
CMP(ngt_f, !(FA > FB))
CMP(nle_f, !(FA <= FB))
CMP(neq_f, !(FA == FB))
CMP(nlt_f, !(FA < FB))
CMP(lt_i, (int32_t)a < (int32_t)b)
CMP(eq_i, a == b)
CMP(le_i, (int32_t)a <= (int32_t)b)
CMP(gt_i, (int32_t)a > (int32_t)b)
CMP(ne_i, a != b)
CMP(ge_i, (int32_t)a >= (int32_t)b)
CMP(lt_u, a < b)
CMP(le_u, a <= b)
CMP(gt_u, a > b)
CMP(ge_u, a >= b)

/* ---- between lanes ---- */

static void readfirstlane(gfx_wave *w, const gfx_insn *i)
{
    uint32_t exec = w->s[GFX_EXEC];
    int lane = exec ? __builtin_ctz(exec) : 0;
    if (gfx_check_v(w, i->src[0].index, 1, UINT32_C(1) << lane))
        gfx_set_s32(w, &i->dst, w->v[i->src[0].index][lane]);
}
static void readlane(gfx_wave *w, const gfx_insn *i)
{
    uint32_t lane = gfx_s32(w, &i->src[1]) & 31;
    if (gfx_check_v(w, i->src[0].index, 1, UINT32_C(1) << lane))
        gfx_set_s32(w, &i->dst, w->v[i->src[0].index][lane]);
}
static void writelane(gfx_wave *w, const gfx_insn *i)
{
    uint32_t lane = gfx_s32(w, &i->src[1]) & 31, value = gfx_s32(w, &i->src[0]);
    w->v[i->dst.index][lane] = value;
    w->v_written[i->dst.index] |= UINT32_C(1) << lane;
}

/* Lane l takes the lane that its four bits of the selectors name: of its own row of 16, or of the other one. op_sel bit 0:
 * inactive lanes are read too; bit 1: what has no source is 0. */
static void permlane(gfx_wave *w, const gfx_insn *i, int other)
{
    if (i->src[0].kind != GFX_VGPR) {
        gfx_fault(w, "the source of a lane permutation is no vector register");
        return;
    }
    uint64_t select = (uint64_t)gfx_s32(w, &i->src[2]) << 32 | gfx_s32(w, &i->src[1]);
    uint32_t exec = w->s[GFX_EXEC], r[GFX_LANES], write = 0, read = 0;
    LANES {
        int from = ((l & 16) ^ other) + (int)(select >> 4 * (l & 15) & 15);
        bool there = exec >> from & 1 || (i->op_sel & 1);
        r[l] = there ? w->v[i->src[0].index][from] : 0;
        if (there || (i->op_sel & 2))
            write |= UINT32_C(1) << l;
        if (there && exec >> l & 1)
            read |= UINT32_C(1) << from;
    }
    if (gfx_check_v(w, i->src[0].index, 1, read))
        gfx_set_lanes(w, i->dst.index, r, exec & write);
}
static void permlane16(gfx_wave *w, const gfx_insn *i) { permlane(w, i, 0); }
static void permlanex16(gfx_wave *w, const gfx_insn *i) { permlane(w, i, 16); }

/* ---- the table ---- */

#define V(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, 0, 0 }
#define VF(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS, 0 }
#define VI(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_FLOATS | GFX_PLAIN_RESULT, 0 }
#define V_READS_DST(name, fn, flags) { "v_" name, NULL, fn, GFX_VECTOR, (flags) | GFX_READS_DST, 0 }
#define V_CARRY(name, fn) { "v_" name, NULL, fn, GFX_VECTOR, GFX_TWO_DST | GFX_CARRY_OUT, 0 }
#define V_LANE(name, fn) { "v_" name, fn, NULL, GFX_VECTOR, 0, 0 }
#define V_CMP(name, fn, flags)                                              \
    { "v_cmp_" name, NULL, cmp_##fn, GFX_VECTOR_COMPARE, flags, 0 },        \
    { "v_cmpx_" name, NULL, cmp_##fn, GFX_VECTOR_COMPARE, (flags) | GFX_NO_DST, 0 }

const gfx_op gfx_vector_ops[] = {
    V("mov_b32", mov), V("not_b32", not32), V("bfrev_b32", bfrev), V("ctz_i32_b32", ctz), V("clz_i32_u32", clz),
    V("lshlrev_b32", lshlrev), V("lshrrev_b32", lshrrev), V("ashrrev_i32", ashrrev), V("and_b32", and32),
    V("or_b32", or32), V("xor_b32", xor32), V("xnor_b32", xnor32), V("add_nc_u32", add), V("sub_nc_u32", sub),
    V("subrev_nc_u32", subrev), V("mul_u32_u24", mul_u24), V("mul_i32_i24", mul_i24), V("mul_lo_u32", mul_lo),
    V("mul_hi_u32", mul_hi_u), V("mul_hi_i32", mul_hi_i), V("min_u32", min_u), V("max_u32", max_u),
    V("min_i32", min_i), V("max_i32", max_i), V("mad_u32_u24", mad_u24), V("mad_i32_i24", mad_i24),
    V("lshl_add_u32", lshl_add), V("add_lshl_u32", add_lshl), V("add3_u32", add3), V("lshl_or_b32", lshl_or),
    V("and_or_b32", and_or), V("or3_b32", or3), V("xor3_b32", xor3), V("xad_u32", xad), V("bfi_b32", bfi),
    V("bfe_u32", bfe_u), V("bfe_i32", bfe_i), V("alignbit_b32", alignbit), V("alignbyte_b32", alignbyte),
    V("perm_b32", perm), V("med3_u32", med3_u), V("med3_i32", med3_i), V("bcnt_u32_b32", bcnt),
    V("mbcnt_lo_u32_b32", mbcnt_lo), V("mbcnt_hi_u32_b32", mbcnt_hi), V("cndmask_b32", cndmask),
    V("lshlrev_b64", lshlrev64), V("lshrrev_b64", lshrrev64), V("ashrrev_i64", ashrrev64),
    V_CARRY("add_co_u32", add_co), V_CARRY("sub_co_u32", sub_co), V_CARRY("subrev_co_u32", subrev_co),
    V_CARRY("add_co_ci_u32", add_ci), V_CARRY("sub_co_ci_u32", sub_ci), V_CARRY("subrev_co_ci_u32", subrev_ci),
    VF("rcp_f32", rcp), VF("rcp_iflag_f32", rcp), VF("rsq_f32", rsq), VF("sqrt_f32", root), VF("exp_f32", exp2_f),
    VF("log_f32", log2_f), VF("sin_f32", sine), VF("cos_f32", cosine), VF("floor_f32", floor_f),
    VF("ceil_f32", ceil_f), VF("trunc_f32", trunc_f), VF("rndne_f32", rndne), VF("fract_f32", fract),
    VF("add_f32", add_f), VF("sub_f32", sub_f), VF("subrev_f32", subrev_f), VF("mul_f32", mul_f),
    VF("min_num_f32", min_f), VF("max_num_f32", max_f), VF("fma_f32", fma_f), VF("fmaak_f32", fma_f),
    VF("fmamk_f32", fmamk), VF("min3_num_f32", min3_f), VF("max3_num_f32", max3_f),
    VF("maxmin_num_f32", maxmin_f), VF("minmax_num_f32", minmax_f), VF("med3_num_f32", med3_f),
    { "v_div_scale_f32", NULL, div_scale, GFX_VECTOR, GFX_TWO_DST | GFX_CARRY_OUT, 0 },
    VF("div_fmas_f32", div_fmas), VF("div_fixup_f32", div_fixup), V("ldexp_f32", ldexp_f), V_READS_DST("fmac_f32", fmac, GFX_FLOATS),
    VF("cvt_f32_i32", f32_i32), VF("cvt_f32_u32", f32_u32), VI("cvt_i32_f32", i32_f32), VI("cvt_u32_f32", u32_f32),
    VI("cvt_nearest_i32_f32", nearest_i32), VI("cvt_floor_i32_f32", floor_i32),
    V("cvt_f32_ubyte0", ubyte0), V("cvt_f32_ubyte1", ubyte1), V("cvt_f32_ubyte2", ubyte2),
    V("cvt_f32_ubyte3", ubyte3), V("cvt_f32_f16", f32_f16), VI("cvt_f16_f32", f16_f32), V("cvt_i32_i16", i32_i16),
    V("cvt_u32_u16", u32_u16), VI("cvt_pk_rtz_f16_f32", pk_rtz_f16), V("cvt_f32_fp8", cvt_f32_fp8),
    V("cvt_pk_f32_fp8", cvt_pk_f32_fp8), V_READS_DST("cvt_pk_fp8_f32", cvt_pk_fp8, GFX_FLOATS | GFX_PLAIN_RESULT),
    { "v_dot4_i32_iu8", NULL, dot4_iu8, GFX_VECTOR, GFX_CLAMPS, 0 }, V("dot4_f32_fp8_fp8", dot4_fp8),
    V_CMP("lt_f32", lt_f, GFX_FLOATS), V_CMP("eq_f32", eq_f, GFX_FLOATS), V_CMP("le_f32", le_f, GFX_FLOATS),
    V_CMP("gt_f32", gt_f, GFX_FLOATS), V_CMP("lg_f32", lg_f, GFX_FLOATS), V_CMP("ge_f32", ge_f, GFX_FLOATS),
    V_CMP("o_f32", o_f, GFX_FLOATS), V_CMP("u_f32", u_f, GFX_FLOATS), V_CMP("nge_f32", nge_f, GFX_FLOATS),
    V_CMP("nlg_f32", nlg_f, GFX_FLOATS), V_CMP("ngt_f32", ngt_f, GFX_FLOATS), V_CMP("nle_f32", nle_f, GFX_FLOATS),
    V_CMP("neq_f32", neq_f, GFX_FLOATS), V_CMP("nlt_f32", nlt_f, GFX_FLOATS),
    V_CMP("lt_i32", lt_i, 0), V_CMP("eq_i32", eq_i, 0), V_CMP("le_i32", le_i, 0), V_CMP("gt_i32", gt_i, 0),
    V_CMP("ne_i32", ne_i, 0), V_CMP("ge_i32", ge_i, 0), V_CMP("lt_u32", lt_u, 0), V_CMP("eq_u32", eq_i, 0),
    V_CMP("le_u32", le_u, 0), V_CMP("gt_u32", gt_u, 0), V_CMP("ne_u32", ne_i, 0), V_CMP("ge_u32", ge_u, 0),
    V_LANE("readfirstlane_b32", readfirstlane), V_LANE("readlane_b32", readlane), V_LANE("writelane_b32", writelane),
    V_LANE("permlane16_b32", permlane16), V_LANE("permlanex16_b32", permlanex16),
    { NULL, NULL, NULL, GFX_VECTOR, 0, 0 },
};
