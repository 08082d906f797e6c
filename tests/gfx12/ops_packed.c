/* Two 16-bit values a lane (VOP3P): op_sel and op_sel_hi pick the half of each source that the lower and the upper
 * result take, neg_lo and neg_hi its sign. Also products of halves summed in 32 bits, and fma of halves and floats
 * mixed. */
#include "tests/gfx12/lanes.h"

/* What source k gives the lower and the upper result; of floats with their signs. */
typedef struct halves { uint32_t part[2][GFX_LANES]; } halves;

static void read_halves(gfx_wave *w, const gfx_insn *i, int k, bool floats, halves *out)
{
    SOURCE(k, p);
    for (int h = 0; h < 2; h++) {
        int shift = (h ? i->op_sel_hi : i->op_sel) >> k & 1 ? 16 : 0;
        uint32_t flip = floats && (h ? i->neg_hi : i->neg_lo) >> k & 1 ? 0x8000 : 0;
        LANES { out->part[h][l] = (p[l] >> shift & 0xffff) ^ flip; }
    }
}

static float unit(float x) { return x > 1 ? 1 : x > 0 ? x : 0; } /* NaN gives 0 */

#define HALVES(sources)                                                                 \
    uint32_t a = s[0].part[h][l], b = s[1].part[h][l];                                  \
    uint32_t c = (sources) > 2 ? s[2].part[h][l] : 0;                                   \
    (void)c
/* r: 16 bits from a, b, c; `clamped` where the instruction says so. */
#define PACKED(name, sources, floats, plain, clamped)                                   \
    static void name(gfx_wave *w, const gfx_insn *i, uint32_t *r)                       \
    {                                                                                   \
        halves s[3];                                                                    \
        for (int k = 0; k < (sources); k++)                                             \
            read_halves(w, i, k, floats, &s[k]);                                        \
        uint32_t out[2][GFX_LANES];                                                     \
        for (int h = 0; h < 2; h++)                                                     \
            if (i->clamp)                                                               \
                LANES { HALVES(sources); out[h][l] = (clamped); }                       \
            else                                                                        \
                LANES { HALVES(sources); out[h][l] = (plain); }                         \
        EACH_LANE { r[l] = (out[0][l] & 0xffff) | out[1][l] << 16; }                        \
    }
#define PACKED_F(name, sources, expr) PACKED(name, sources, true, expr, H(unit(gfx_half(expr))))
static uint32_t limit_i(int32_t x) { return (uint32_t)(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x); }
static uint32_t limit_u(int64_t x) { return (uint32_t)(x < 0 ? 0 : x > UINT16_MAX ? UINT16_MAX : x); }
#define IA ((int16_t)a)
#define IB ((int16_t)b)
#define IC ((int16_t)c)
PACKED_F(add_f, 2, H(HA + HB))
PACKED_F(mul_f, 2, H(HA * HB))
PACKED_F(fma_f, 3, gfx_half_fma_halves(HA, HB, HC))
PACKED_F(min_f, 2, H(gfx_minimum_number(HA, HB)))
PACKED_F(max_f, 2, H(gfx_maximum_number(HA, HB)))
PACKED_F(minimum_f, 2, H(gfx_minimum(HA, HB)))
PACKED_F(maximum_f, 2, H(gfx_maximum(HA, HB)))
PACKED(add_u, 2, false, a + b, limit_u((int64_t)a + b))
PACKED(sub_u, 2, false, a - b, limit_u((int64_t)a - b))
PACKED(add_i, 2, false, a + b, limit_i(IA + IB))
PACKED(sub_i, 2, false, a - b, limit_i(IA - IB))
PACKED(mad_u, 3, false, a * b + c, limit_u((int64_t)a * b + c))
PACKED(mad_i, 3, false, a * b + c, limit_i(IA * IB + IC))
#define PACKED_I(name, expr) PACKED(name, 2, false, expr, expr)
PACKED_I(mul_lo, a * b)
PACKED_I(shl, b << (a & 15))
PACKED_I(shr, b >> (a & 15))
PACKED_I(sar, (uint32_t)(IB >> (a & 15)))
PACKED_I(min_u, a < b ? a : b)
PACKED_I(max_u, a > b ? a : b)
PACKED_I(min_i, IA < IB ? a : b)
PACKED_I(max_i, IA > IB ? a : b)

/* ---- sums of products ---- */

/* c + a0 b0 + a1 b1. How the hardware rounds it is not documented: here products are exact (of BF16 in double, of
 * others in float), they are added to c in double from the lowest on, and the sum becomes a float. Each step in double
 * loses at most 2^-53 of its sum, so that the float is that of the exact sum but where this lies within 2^-28 of a unit
 * in the last place, times what terms cancel, of a tie: far below a rounding at every product, for which the kernels'
 * tolerances have room. */
static inline __attribute__((always_inline)) void dot2(gfx_wave *w, const gfx_insn *i, uint32_t *r, bool half)
{
    halves a, b;
    double sum[GFX_LANES];
    SOURCE(2, pc);
    read_halves(w, i, 0, true, &a);
    read_halves(w, i, 1, true, &b);
    uint32_t flip = i->neg_lo & 4 ? 0x80000000 : 0;
    LANES { sum[l] = (double)gfx_float(pc[l] ^ flip); }
    for (int h = 0; h < 2; h++) {
        const uint32_t *x = a.part[h], *y = b.part[h];
        if (half) /* 22 bits, and no exponent that a float has not */
            LANES { sum[l] += (double)(gfx_half(x[l]) * gfx_half(y[l])); }
        else
            LANES { sum[l] += (double)gfx_float(x[l] << 16) * (double)gfx_float(y[l] << 16); }
    }
    EACH_LANE { r[l] = R((float)sum[l]); }
    if (i->clamp)
        EACH_LANE { r[l] = R(unit(gfx_float(r[l]))); }
}
static void dot2_f16(gfx_wave *w, const gfx_insn *i, uint32_t *r) { dot2(w, i, r, true); }
static void dot2_bf16(gfx_wave *w, const gfx_insn *i, uint32_t *r) { dot2(w, i, r, false); }

static uint32_t clamp_i32(int64_t sum, bool clamp)
{
    return (uint32_t)(!clamp ? sum : sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
}
static int32_t field(uint32_t x, int at, int bits, bool is_signed)
{
    uint32_t left = x << (32 - at - bits);
    return is_signed ? (int32_t)left >> (32 - bits) : (int32_t)(left >> (32 - bits));
}
static void dot_integers(gfx_wave *w, const gfx_insn *i, uint32_t *r, int bits, bool is_unsigned)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    bool sa = i->neg_lo & 1, sb = i->neg_lo & 2;
    int32_t sum[GFX_LANES] = { 0 }; /* 4 products of 16 bits, or 8 of 8: far from overflow */
    for (int k = 0; k < 32; k += bits)
        LANES { sum[l] += field(pa[l], k, bits, sa) * field(pb[l], k, bits, sb); }
    if (!i->clamp)
        EACH_LANE { r[l] = pc[l] + (uint32_t)sum[l]; }
    else if (is_unsigned)
        EACH_LANE { r[l] = pc[l] > UINT32_MAX - (uint32_t)sum[l] ? UINT32_MAX : pc[l] + (uint32_t)sum[l]; }
    else
        EACH_LANE { r[l] = clamp_i32((int64_t)(int32_t)pc[l] + sum[l], true); }
}
static void dot4_iu8(gfx_wave *w, const gfx_insn *i, uint32_t *r) { dot_integers(w, i, r, 8, false); }
static void dot8_iu4(gfx_wave *w, const gfx_insn *i, uint32_t *r) { dot_integers(w, i, r, 4, false); }
static void dot4_u8(gfx_wave *w, const gfx_insn *i, uint32_t *r) { dot_integers(w, i, r, 8, true); }
static void dot8_u4(gfx_wave *w, const gfx_insn *i, uint32_t *r) { dot_integers(w, i, r, 4, true); }

/* In double, as above. neg_lo and neg_hi of the third source: its sign and its magnitude. */
static void dot4_fp8(gfx_wave *w, const gfx_insn *i, uint32_t *r)
{
    SOURCE(0, pa);
    SOURCE(1, pb);
    SOURCE(2, pc);
    double sum[GFX_LANES];
    LANES {
        double c = (double)gfx_float(pc[l]);
        c = i->neg_hi & 4 ? fabs(c) : c;
        sum[l] = i->neg_lo & 4 ? -c : c;
    }
    for (int k = 0; k < 32; k += 8)
        LANES { sum[l] += (double)(gfx_e4m3(pa[l] >> k & 255) * gfx_e4m3(pb[l] >> k & 255)); } /* exact in 24 bits */
    EACH_LANE { r[l] = R((float)sum[l]); }
}

/* ---- fma of mixed sources ---- */

/* Source k as floats: a half where op_sel_hi says so, which op_sel picks. */
static void read_mixed(gfx_wave *w, const gfx_insn *i, int k, float out[GFX_LANES])
{
    bool half = i->op_sel_hi >> k & 1, constant = i->src[k].kind == GFX_FLOAT, neg = i->src[k].neg, abs = i->src[k].abs;
    gfx_insn plain;
    const gfx_insn *from = i;
    if (neg || abs) { /* signs apply to what was picked */
        plain = *i;
        plain.src[k].neg = plain.src[k].abs = false;
        from = &plain;
    }
    uint32_t room[GFX_LANES];
    const uint32_t *p = gfx_lanes_of(w, from, k, 0, room);
    int shift = i->op_sel >> k & 1 ? 16 : 0;
    LANES {
        float x = half && !constant ? gfx_half(p[l] >> shift & 0xffff) : gfx_float(p[l]);
        x = abs ? fabsf(x) : x;
        out[l] = neg ? -x : x;
    }
}
static void mix(gfx_wave *w, const gfx_insn *i, uint32_t *r, int half)
{
    float a[GFX_LANES], b[GFX_LANES], c[GFX_LANES];
    read_mixed(w, i, 0, a);
    read_mixed(w, i, 1, b);
    read_mixed(w, i, 2, c);
    if (half < 0) {
        EACH_LANE {
            float x = fmaf(a[l], b[l], c[l]);
            r[l] = R(i->clamp ? unit(x) : x);
        }
        return;
    }
    const uint32_t *d = w->v[i->dst.index];
    EACH_LANE {
        uint32_t x = gfx_half_fma(a[l], b[l], c[l]);
        x = i->clamp ? H(unit(gfx_half(x))) : x;
        r[l] = half ? (d[l] & 0xffff) | x << 16 : (d[l] & 0xffff0000) | x;
    }
}
static void mix_f32(gfx_wave *w, const gfx_insn *i, uint32_t *r) { mix(w, i, r, -1); }
static void mix_low(gfx_wave *w, const gfx_insn *i, uint32_t *r) { mix(w, i, r, 0); }
static void mix_high(gfx_wave *w, const gfx_insn *i, uint32_t *r) { mix(w, i, r, 1); }

#define ABC (GFX_HALF_A | GFX_HALF_B | GFX_HALF_C)
#define PF(name, fn) VX("pk_" name, fn, GFX_PACKED | GFX_NEG_LISTS | GFX_CLAMPS, ABC)
#define PI(name, fn) VX("pk_" name, fn, GFX_PACKED, ABC)
#define PC(name, fn) VX("pk_" name, fn, GFX_PACKED | GFX_CLAMPS, ABC)
#define MIX(name, fn) VX(name, fn, GFX_PACKED | GFX_MIXED | GFX_FLOATS | GFX_CLAMPS, 0)

const gfx_op gfx_packed_ops[] = {
    PF("add_f16", add_f), PF("mul_f16", mul_f), PF("fma_f16", fma_f), PF("min_num_f16", min_f),
    PF("max_num_f16", max_f), PF("minimum_f16", minimum_f), PF("maximum_f16", maximum_f), PC("add_u16", add_u),
    PC("sub_u16", sub_u), PC("add_i16", add_i), PC("sub_i16", sub_i), PC("mad_u16", mad_u), PC("mad_i16", mad_i),
    PI("mul_lo_u16", mul_lo), PI("lshlrev_b16", shl), PI("lshrrev_b16", shr), PI("ashrrev_i16", sar),
    PI("min_u16", min_u), PI("max_u16", max_u), PI("min_i16", min_i), PI("max_i16", max_i),
    VX("dot2_f32_f16", dot2_f16, GFX_PACKED | GFX_NEG_LISTS | GFX_CLAMPS, GFX_HALF_A | GFX_HALF_B),
    VX("dot2_f32_bf16", dot2_bf16, GFX_PACKED | GFX_NEG_LISTS | GFX_CLAMPS, 0),
    VX("dot4_i32_iu8", dot4_iu8, GFX_PACKED | GFX_NEG_LISTS | GFX_CLAMPS, 0),
    VX("dot8_i32_iu4", dot8_iu4, GFX_PACKED | GFX_NEG_LISTS | GFX_CLAMPS, 0),
    VX("dot4_u32_u8", dot4_u8, GFX_PACKED | GFX_CLAMPS, 0),
    VX("dot8_u32_u4", dot8_u4, GFX_PACKED | GFX_CLAMPS, 0),
    VX("dot4_f32_fp8_fp8", dot4_fp8, GFX_PACKED | GFX_NEG_LISTS, 0),
    MIX("fma_mix_f32", mix_f32), MIX("fma_mixlo_f16", mix_low), MIX("fma_mixhi_f16", mix_high),
    V_END,
};
