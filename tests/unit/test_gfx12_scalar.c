/* The interpreter's scalar instructions against plain C on edge values: integers, masks, floats, conditions. */
#include <math.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"

static const uint32_t edges[] = {
    0, 1, 2, 5, 31, 32, 33, 63, 64, 127, 128, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0x80000001,
    0xffffffff, 0xfffffffe, 0x3f800000, 0xbf400000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x00000001,
    0x807fffff, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x4f800000, 0x3f000000, 0x3fc00000, 0x477ff000, 0x33000000,
    0x00080010, 0x00200000, 0x00100010, 0x3c004000, 0xc2fc0001, 0xc3150000, 0x7e800001,
};
#define EDGES (sizeof edges / sizeof *edges)

/* In: a and b, c the destination's old value, as 32 and 64 bits; SCC and EXEC. Out: what the destination and SCC
 * become. */
typedef struct scalar {
    uint32_t a, b, c;
    uint64_t A, B, C;
    float x, y, z;
    uint32_t exec;
    bool scc;
    uint64_t d;
} scalar;
#define E(name, result, condition)              \
    static void e_##name(scalar *s)             \
    {                                           \
        uint32_t a = s->a, b = s->b, c = s->c;  \
        uint64_t A = s->A, B = s->B, C = s->C;  \
        float x = s->x, y = s->y, z = s->z;     \
        bool scc = s->scc;                      \
        (void)a, (void)b, (void)c, (void)A, (void)B, (void)C, (void)x, (void)y, (void)z, (void)scc; \
        uint64_t d = (result);                  \
        (void)d;                                \
        s->d = d;                               \
        s->scc = (condition);                   \
    }
#define KEEPS scc
#define NOT_ZERO ((uint32_t)d != 0)
#define NOT_ZERO64 (d != 0)
#define I(v) ((int32_t)(v))
#define BITS(v) gfx_bits(v)
#define SIGNED_FITS(v) ((v) == (int64_t)(int32_t)(v))

E(mov, a, KEEPS) E(mov64, A, KEEPS) E(movk, 0xfffff234, KEEPS) E(mul, a * b, KEEPS)
E(mul_hi_u, (uint64_t)a * b >> 32, KEEPS) E(mul_hi_i, (uint32_t)((uint64_t)((int64_t)I(a) * I(b)) >> 32), KEEPS)
E(mul64, A * B, KEEPS) E(add64, A + B, KEEPS) E(sub64, A - B, KEEPS) E(cselect, scc ? a : b, KEEPS)
E(cselect64, scc ? A : B, KEEPS) E(cmov, scc ? a : c, KEEPS) E(cmov64, scc ? A : C, KEEPS) E(cmovk, scc ? 7 : c, KEEPS)
static uint64_t backwards(uint64_t v, int bits)
{
    uint64_t r = 0;
    for (int k = 0; k < bits; k++)
        r |= (v >> k & 1) << (bits - 1 - k);
    return r;
}
static uint32_t count(uint64_t v) { uint32_t n = 0; for (; v; v /= 2) n += v % 2; return n; }
static uint32_t first(uint64_t v, int bits, bool above)
{
    for (int k = 0; k < bits; k++)
        if (v >> (above ? bits - 1 - k : k) & 1)
            return (uint32_t)k;
    return UINT32_MAX;
}
E(brev, backwards(a, 32), KEEPS) E(brev64, backwards(A, 64), KEEPS) E(ctz, first(a, 32, false), KEEPS)
E(clz, first(a, 32, true), KEEPS) E(ctz64, first(A, 64, false), KEEPS) E(clz64, first(A, 64, true), KEEPS)
E(cls, first(I(a) < 0 ? ~a : a, 32, true), KEEPS) E(sext8, (uint32_t)(int32_t)(int8_t)a, KEEPS)
E(sext16, (uint32_t)(int32_t)(int16_t)a, KEEPS) E(bfm, (uint32_t)(((UINT64_C(1) << (a % 32)) - 1) << (b % 32)), KEEPS)
E(bfm64, ((UINT64_C(1) << (a % 64)) - 1) << (b % 64), KEEPS) E(pack_ll, (a & 0xffff) | b << 16, KEEPS)
E(pack_lh, (a & 0xffff) | (b & 0xffff0000), KEEPS) E(pack_hh, a >> 16 | (b & 0xffff0000), KEEPS)
E(pack_hl, a >> 16 | b << 16, KEEPS) E(bitset0, c & ~(1u << (a % 32)), KEEPS) E(bitset1, c | 1u << (a % 32), KEEPS)
E(and_, a & b, NOT_ZERO) E(or_, a | b, NOT_ZERO) E(xor_, a ^ b, NOT_ZERO) E(nand, (uint32_t)~(a & b), NOT_ZERO)
E(nor, (uint32_t)~(a | b), NOT_ZERO) E(xnor, (uint32_t)~(a ^ b), NOT_ZERO) E(and_not, a & ~b, NOT_ZERO)
E(or_not, (uint32_t)(a | ~b), NOT_ZERO) E(not_, (uint32_t)~a, NOT_ZERO) E(bcnt1, count(a), NOT_ZERO)
E(bcnt0, 32 - count(a), NOT_ZERO) E(bcnt64, count(A), NOT_ZERO) E(and64, A & B, NOT_ZERO64) E(or64, A | B, NOT_ZERO64)
E(xor64, A ^ B, NOT_ZERO64) E(nand64, ~(A & B), NOT_ZERO64) E(nor64, ~(A | B), NOT_ZERO64)
E(xnor64, ~(A ^ B), NOT_ZERO64)
E(and_not64, A & ~B, NOT_ZERO64) E(or_not64, A | ~B, NOT_ZERO64) E(not64, ~A, NOT_ZERO64)
E(shl, a << (b % 32), NOT_ZERO) E(shr, a >> (b % 32), NOT_ZERO) E(sar, (uint32_t)(I(a) >> (b % 32)), NOT_ZERO)
E(shl64, A << (b % 64), NOT_ZERO64) E(shr64, A >> (b % 64), NOT_ZERO64)
E(sar64, (uint64_t)((int64_t)A >> (b % 64)), NOT_ZERO64)
static uint64_t bits_of(uint64_t v, uint32_t where, int size, bool is_signed)
{
    uint32_t at = where % (uint32_t)size, width = where >> 16 & 127;
    __int128_t whole = is_signed ? size == 32 ? (__int128_t)(int32_t)v : (__int128_t)(int64_t)v : (__int128_t)v;
    whole >>= at;
    if (width == 0)
        return 0;
    if (width >= (uint32_t)size)
        return (uint64_t)whole & (size == 32 ? UINT32_MAX : UINT64_MAX);
    uint64_t low = (uint64_t)whole & ((UINT64_C(1) << width) - 1);
    if (is_signed && at + width <= (uint32_t)size && low >> (width - 1) & 1)
        low |= UINT64_MAX << width;
    if (is_signed && at + width > (uint32_t)size)
        low = (uint64_t)whole;
    return low & (size == 32 ? UINT32_MAX : UINT64_MAX);
}
E(bfe_u, bits_of(a, b, 32, false), NOT_ZERO) E(bfe_i, bits_of(a, b, 32, true), NOT_ZERO)
E(bfe_u64, bits_of(A, b, 64, false), NOT_ZERO64) E(bfe_i64, bits_of(A, b, 64, true), NOT_ZERO64)
E(abs_, I(a) < 0 ? 0u - a : a, NOT_ZERO) E(absdiff, I(a) > I(b) ? a - b : b - a, NOT_ZERO)
E(add_u, a + b, (uint64_t)a + b > UINT32_MAX) E(add_i, a + b, !SIGNED_FITS((int64_t)I(a) + I(b)))
E(add_ci, a + b + scc, (uint64_t)a + b + s->scc > UINT32_MAX) E(sub_u, a - b, a < b)
E(sub_i, a - b, !SIGNED_FITS((int64_t)I(a) - I(b))) E(sub_ci, a - b - scc, (uint64_t)b + s->scc > a)
E(addk, c - 300, !SIGNED_FITS((int64_t)I(c) - 300)) E(mulk, c * 77u, KEEPS)
E(shl1, (a << 1) + b, ((uint64_t)a << 1) + b > UINT32_MAX) E(shl2, (a << 2) + b, ((uint64_t)a << 2) + b > UINT32_MAX)
E(shl3, (a << 3) + b, ((uint64_t)a << 3) + b > UINT32_MAX) E(shl4, (a << 4) + b, ((uint64_t)a << 4) + b > UINT32_MAX)
E(min_i, I(a) < I(b) ? a : b, I(a) < I(b)) E(max_i, I(a) > I(b) ? a : b, I(a) > I(b)) E(min_u, a < b ? a : b, a < b)
E(max_u, a > b ? a : b, a > b)
E(eq, c, a == b) E(lg, c, a != b) E(gt_i, c, I(a) > I(b)) E(ge_i, c, I(a) >= I(b)) E(lt_i, c, I(a) < I(b))
E(le_i, c, I(a) <= I(b)) E(gt_u, c, a > b) E(ge_u, c, a >= b) E(lt_u, c, a < b) E(le_u, c, a <= b)
E(eq64, c, A == B) E(lg64, c, A != B) E(bit0, c, !(a >> (b % 32) & 1)) E(bit1, c, a >> (b % 32) & 1)

/* The transcendental unit: a denormal is a zero of its sign. */
static float flush(float v) { return fpclassify(v) == FP_SUBNORMAL ? copysignf(0, v) : v; }
static float least(float p, float q) { return isnan(p) ? q : isnan(q) ? p : p < q || (p == q && signbit(p)) ? p : q; }
static float most(float p, float q) { return isnan(p) ? q : isnan(q) ? p : p > q || (p == q && !signbit(p)) ? p : q; }
static float half(uint32_t v) { return ash_f16_to_f32((uint16_t)v); }
static uint32_t to_int(double v)
{
    return isnan(v) ? 0 : v >= 2147483647.0 ? 0x7fffffff : v <= -2147483648.0 ? 0x80000000 : (uint32_t)(int32_t)v;
}
static uint32_t toward_zero(float v)
{
    uint16_t h = ash_f32_to_f16(v);
    return isfinite(v) && fabsf(half(h)) > fabsf(v) ? h - 1u : h;
}
E(add_f, BITS(x + y), KEEPS)
E(sub_f, BITS(x - y), KEEPS) E(mul_f, BITS(x *y), KEEPS) E(min_f, BITS(least(x, y)), KEEPS) E(
    max_f, BITS(most(x, y)), KEEPS) E(minimum, BITS(isnan(x) || isnan(y) ? NAN : least(x, y)),
                                      KEEPS) E(maximum, BITS(isnan(x) || isnan(y) ? NAN : most(x, y)),
                                               KEEPS) E(fmac, BITS(fmaf(x, y, z)), KEEPS)
    E(fmaak, BITS(fmaf(x, y, 3.5f)), KEEPS) E(fmamk, BITS(fmaf(x, 3.5f, y)), KEEPS) E(floor_, BITS(floorf(x)), KEEPS) E(
        ceil_, BITS(ceilf(x)),
        KEEPS) E(trunc_, BITS(truncf(x)),
                 KEEPS) E(rndne, BITS(nearbyintf(x)), KEEPS)
        E(f_i, BITS((float)I(a)), KEEPS) E(f_u, BITS((float)a), KEEPS) E(i_f, to_int((double)x), KEEPS) E(
            u_f,
            isnan(x) ||
                    x < 0
                ? 0
            : x >= 0x1p32f ? UINT32_MAX
                           : (uint32_t)
                                 x,
            KEEPS) E(h_f, ash_f32_to_f16(x),
                     KEEPS) E(f_h, BITS(half(a)), KEEPS)
            E(f_hi, BITS(half(a >> 16)),
              KEEPS) E(rtz, toward_zero(x) | toward_zero(y) << 16,
                       KEEPS) E(add_h, ash_f32_to_f16(half(a) + half(b)), KEEPS)
                E(mul_h, ash_f32_to_f16(half(a) * half(b)), KEEPS) E(sub_h, ash_f32_to_f16(half(a) - half(b)), KEEPS) E(
                    min_h, ash_f32_to_f16(least(half(a), half(b))),
                    KEEPS) E(max_h, ash_f32_to_f16(most(half(a), half(b))),
                             KEEPS) E(fmac_h, gfx_test_half_fma(half(a), half(b), half(c)), KEEPS)
                    E(add_h_const, ash_f32_to_f16(half(a) + 0.5f), KEEPS)
                        E(exp_, BITS(flush((float)exp2((double)x))), KEEPS)
                        E(log_, BITS((float)log2((double)flush(x))), KEEPS)
                        E(rcp, BITS(flush(1 / flush(x))), KEEPS)
                        E(rcp_omod, BITS(flush(1 / flush(x)) * 2), KEEPS)
                        E(rcp_clamp, BITS(isnan(x) ? 0 : fminf(fmaxf(flush(-1 / flush(x)), 0), 1)), KEEPS)
                            E(rsq, BITS((float)(1 / sqrt((double)flush(x)))), KEEPS)
                            E(root, BITS(sqrtf(flush(fabsf(x)))), KEEPS) E(
                                lt_f,
                                c, x < y) E(eq_f, c, x == y)
                                E(le_f, c, x <= y) E(gt_f, c, x > y) E(lg_f, c, x<y || x> y) E(ge_f, c, x >= y) E(
                                    o_f, c,
                                    !isnan(x) && !isnan(y)) E(u_f_, c, isnan(x) || isnan(y))
                                    E(nge_f, c, !(x >= y)) E(nlg_f, c, !(x < y || x > y)) E(ngt_f, c, !(x > y)) E(
                                        nle_f, c,
                                        !(x <=
                                          y)) E(neq_f, c, x != y) E(nlt_f, c, !(x < y))
#define HX half(a)
#define HY half(b)
#define NO_ORDER (isnan(HX) || isnan(HY))
                                        E(lt_h, c,
                                          HX < HY) E(eq_h, c, HX == HY)
                                            E(le_h, c, HX <= HY) E(gt_h, c, HX > HY) E(lg_h, c, HX<HY || HX> HY)
                                                E(ge_h, c, HX >= HY) E(o_h, c, !NO_ORDER) E(u_h, c, NO_ORDER) E(
                                                    nge_h, c,
                                                    NO_ORDER ||
                                                        HX < HY) E(nlg_h, c, NO_ORDER || HX == HY)
                                                    E(ngt_h, c, NO_ORDER || HX <= HY) E(nle_h, c, NO_ORDER || HX > HY)
                                                        E(neq_h, c, HX != HY) E(nlt_h, c, NO_ORDER || HX >= HY)
#define MASK(name, result) \
    static void e_##name(scalar *s) \
    { \
        uint32_t a = s->a, exec = s->exec; \
        s->d = exec; \
        s->exec = (result); \
        s->scc = s->exec != 0; \
    }
                                                            MASK(and_save,
                                                                 a &exec) MASK(or_save,
                                                                               a | exec) MASK(xor_save, a ^ exec)
                                                                MASK(and_not0_save, ~a &exec) MASK(
                                                                    and_not1_save,
                                                                    a & ~exec) MASK(or_not0_save, ~a | exec)
                                                                    MASK(or_not1_save, a | ~exec) MASK(
                                                                        nand_save,
                                                                        ~(a &exec)) MASK(nor_save, ~(a | exec))
                                                                        MASK(xnor_save,
                                                                             ~(a ^
                                                                               exec)) static void e_and_not0_wr(scalar
                                                                                                                    *s)
{
    s->d = s->exec &= ~s->a;
    s->scc = s->exec != 0;
}
static void e_and_not1_wr(scalar *s) { s->d = s->exec = s->a & ~s->exec; s->scc = s->exec != 0; }

/* nan: 1 any NaN equals any other, 2 of halves, 3 of floats that may be off by one in the last place. */
static const struct { const char *text; void (*expect)(scalar *s); int nan; } ops[] = {
    { "s_mov_b32 s4, s0", e_mov, 0 }, { "s_mov_b64 s[4:5], s[0:1]", e_mov64, 0 },
    { "s_movk_i32 s4, 0xf234", e_movk, 0 },
    { "s_mul_i32 s4, s0, s2", e_mul, 0 }, { "s_mul_hi_u32 s4, s0, s2", e_mul_hi_u, 0 },
    { "s_mul_hi_i32 s4, s0, s2", e_mul_hi_i, 0 }, { "s_mul_u64 s[4:5], s[0:1], s[2:3]", e_mul64, 0 },
    { "s_add_nc_u64 s[4:5], s[0:1], s[2:3]", e_add64, 0 }, { "s_sub_nc_u64 s[4:5], s[0:1], s[2:3]", e_sub64, 0 },
    { "s_cselect_b32 s4, s0, s2", e_cselect, 0 }, { "s_cselect_b64 s[4:5], s[0:1], s[2:3]", e_cselect64, 0 },
    { "s_cmov_b32 s4, s0", e_cmov, 0 }, { "s_cmov_b64 s[4:5], s[0:1]", e_cmov64, 0 },
    { "s_cmovk_i32 s4, 0x7", e_cmovk, 0 },
    { "s_brev_b32 s4, s0", e_brev, 0 }, { "s_brev_b64 s[4:5], s[0:1]", e_brev64, 0 },
    { "s_ctz_i32_b32 s4, s0", e_ctz, 0 },
    { "s_clz_i32_u32 s4, s0", e_clz, 0 }, { "s_ctz_i32_b64 s4, s[0:1]", e_ctz64, 0 },
    { "s_clz_i32_u64 s4, s[0:1]", e_clz64, 0 },
    { "s_cls_i32 s4, s0", e_cls, 0 }, { "s_sext_i32_i8 s4, s0", e_sext8, 0 }, { "s_sext_i32_i16 s4, s0", e_sext16, 0 },
    { "s_bfm_b32 s4, s0, s2", e_bfm, 0 }, { "s_bfm_b64 s[4:5], s0, s2", e_bfm64, 0 },
    { "s_pack_ll_b32_b16 s4, s0, s2", e_pack_ll, 0 }, { "s_pack_lh_b32_b16 s4, s0, s2", e_pack_lh, 0 },
    { "s_pack_hh_b32_b16 s4, s0, s2", e_pack_hh, 0 }, { "s_pack_hl_b32_b16 s4, s0, s2", e_pack_hl, 0 },
    { "s_bitset0_b32 s4, s0", e_bitset0, 0 }, { "s_bitset1_b32 s4, s0", e_bitset1, 0 },
    { "s_and_b32 s4, s0, s2", e_and_, 0 },
    { "s_or_b32 s4, s0, s2", e_or_, 0 }, { "s_xor_b32 s4, s0, s2", e_xor_, 0 }, { "s_nand_b32 s4, s0, s2", e_nand, 0 },
    { "s_nor_b32 s4, s0, s2", e_nor, 0 }, { "s_xnor_b32 s4, s0, s2", e_xnor, 0 },
    { "s_and_not1_b32 s4, s0, s2", e_and_not, 0 },
    { "s_or_not1_b32 s4, s0, s2", e_or_not, 0 }, { "s_not_b32 s4, s0", e_not_, 0 },
    { "s_bcnt1_i32_b32 s4, s0", e_bcnt1, 0 },
    { "s_bcnt0_i32_b32 s4, s0", e_bcnt0, 0 }, { "s_bcnt1_i32_b64 s4, s[0:1]", e_bcnt64, 0 },
    { "s_and_b64 s[4:5], s[0:1], s[2:3]", e_and64, 0 }, { "s_or_b64 s[4:5], s[0:1], s[2:3]", e_or64, 0 },
    { "s_xor_b64 s[4:5], s[0:1], s[2:3]", e_xor64, 0 }, { "s_nand_b64 s[4:5], s[0:1], s[2:3]", e_nand64, 0 },
    { "s_nor_b64 s[4:5], s[0:1], s[2:3]", e_nor64, 0 }, { "s_xnor_b64 s[4:5], s[0:1], s[2:3]", e_xnor64, 0 },
    { "s_and_not1_b64 s[4:5], s[0:1], s[2:3]", e_and_not64, 0 },
    { "s_or_not1_b64 s[4:5], s[0:1], s[2:3]", e_or_not64, 0 },
    { "s_not_b64 s[4:5], s[0:1]", e_not64, 0 }, { "s_lshl_b32 s4, s0, s2", e_shl, 0 },
    { "s_lshr_b32 s4, s0, s2", e_shr, 0 },
    { "s_ashr_i32 s4, s0, s2", e_sar, 0 }, { "s_lshl_b64 s[4:5], s[0:1], s2", e_shl64, 0 },
    { "s_lshr_b64 s[4:5], s[0:1], s2", e_shr64, 0 }, { "s_ashr_i64 s[4:5], s[0:1], s2", e_sar64, 0 },
    { "s_bfe_u32 s4, s0, s2", e_bfe_u, 0 }, { "s_bfe_i32 s4, s0, s2", e_bfe_i, 0 },
    { "s_bfe_u64 s[4:5], s[0:1], s2", e_bfe_u64, 0 }, { "s_bfe_i64 s[4:5], s[0:1], s2", e_bfe_i64, 0 },
    { "s_abs_i32 s4, s0", e_abs_, 0 }, { "s_absdiff_i32 s4, s0, s2", e_absdiff, 0 },
    { "s_add_co_u32 s4, s0, s2", e_add_u, 0 },
    { "s_add_co_i32 s4, s0, s2", e_add_i, 0 }, { "s_add_co_ci_u32 s4, s0, s2", e_add_ci, 0 },
    { "s_sub_co_u32 s4, s0, s2", e_sub_u, 0 }, { "s_sub_co_i32 s4, s0, s2", e_sub_i, 0 },
    { "s_sub_co_ci_u32 s4, s0, s2", e_sub_ci, 0 }, { "s_addk_co_i32 s4, 0xfed4", e_addk, 0 },
    { "s_mulk_i32 s4, 0x4d", e_mulk, 0 },
    { "s_lshl1_add_u32 s4, s0, s2", e_shl1, 0 }, { "s_lshl2_add_u32 s4, s0, s2", e_shl2, 0 },
    { "s_lshl3_add_u32 s4, s0, s2", e_shl3, 0 }, { "s_lshl4_add_u32 s4, s0, s2", e_shl4, 0 },
    { "s_min_i32 s4, s0, s2", e_min_i, 0 }, { "s_max_i32 s4, s0, s2", e_max_i, 0 },
    { "s_min_u32 s4, s0, s2", e_min_u, 0 },
    { "s_max_u32 s4, s0, s2", e_max_u, 0 }, { "s_cmp_eq_i32 s0, s2", e_eq, 0 }, { "s_cmp_eq_u32 s0, s2", e_eq, 0 },
    { "s_cmp_lg_i32 s0, s2", e_lg, 0 }, { "s_cmp_lg_u32 s0, s2", e_lg, 0 },
    { "s_cmp_gt_i32 s0, s2", e_gt_i, 0 }, { "s_cmp_ge_i32 s0, s2", e_ge_i, 0 }, { "s_cmp_lt_i32 s0, s2", e_lt_i, 0 },
    { "s_cmp_le_i32 s0, s2", e_le_i, 0 }, { "s_cmp_gt_u32 s0, s2", e_gt_u, 0 }, { "s_cmp_ge_u32 s0, s2", e_ge_u, 0 },
    { "s_cmp_lt_u32 s0, s2", e_lt_u, 0 }, { "s_cmp_le_u32 s0, s2", e_le_u, 0 },
    { "s_cmp_eq_u64 s[0:1], s[2:3]", e_eq64, 0 },
    { "s_cmp_lg_u64 s[0:1], s[2:3]", e_lg64, 0 }, { "s_bitcmp0_b32 s0, s2", e_bit0, 0 },
    { "s_bitcmp1_b32 s0, s2", e_bit1, 0 },
    { "s_add_f32 s4, s0, s2", e_add_f, 1 }, { "s_sub_f32 s4, s0, s2", e_sub_f, 1 },
    { "s_mul_f32 s4, s0, s2", e_mul_f, 1 },
    { "s_min_num_f32 s4, s0, s2", e_min_f, 1 }, { "s_max_num_f32 s4, s0, s2", e_max_f, 1 },
    { "s_minimum_f32 s4, s0, s2", e_minimum, 1 }, { "s_maximum_f32 s4, s0, s2", e_maximum, 1 },
    { "s_fmac_f32 s4, s0, s2", e_fmac, 1 }, { "s_fmaak_f32 s4, s0, s2, 0x40600000", e_fmaak, 1 },
    { "s_fmamk_f32 s4, s0, 0x40600000, s2", e_fmamk, 1 }, { "s_floor_f32 s4, s0", e_floor_, 1 },
    { "s_ceil_f32 s4, s0", e_ceil_, 1 }, { "s_trunc_f32 s4, s0", e_trunc_, 1 }, { "s_rndne_f32 s4, s0", e_rndne, 1 },
    { "s_cvt_f32_i32 s4, s0", e_f_i, 0 }, { "s_cvt_f32_u32 s4, s0", e_f_u, 0 }, { "s_cvt_i32_f32 s4, s0", e_i_f, 0 },
    { "s_cvt_u32_f32 s4, s0", e_u_f, 0 }, { "s_cvt_f16_f32 s4, s0", e_h_f, 0 }, { "s_cvt_f32_f16 s4, s0", e_f_h, 1 },
    { "s_cvt_hi_f32_f16 s4, s0", e_f_hi, 1 }, { "s_cvt_pk_rtz_f16_f32 s4, s0, s2", e_rtz, 0 },
    { "s_add_f16 s4, s0, s2", e_add_h, 2 }, { "s_mul_f16 s4, s0, s2", e_mul_h, 2 },
    { "s_sub_f16 s4, s0, s2", e_sub_h, 2 }, { "s_min_num_f16 s4, s0, s2", e_min_h, 2 },
    { "s_max_num_f16 s4, s0, s2", e_max_h, 2 }, { "s_fmac_f16 s4, s0, s2", e_fmac_h, 2 },
    { "s_add_f16 s4, s0, 0.5", e_add_h_const, 2 }, { "v_s_rcp_f32 s4, s0", e_rcp, 1 },
    { "v_s_rcp_f32 s4, s0 mul:2", e_rcp_omod, 1 }, { "v_s_rcp_f32 s4, -s0 clamp", e_rcp_clamp, 1 },
    { "v_s_rsq_f32 s4, s0", e_rsq, 1 }, { "v_s_sqrt_f32 s4, |s0|", e_root, 1 },
    { "v_s_exp_f32 s4, s0", e_exp_, 3 }, { "v_s_log_f32 s4, s0", e_log_, 3 }, /* a series, as of the vector forms */
    { "s_cmp_lt_f32 s0, s2", e_lt_f, 0 }, { "s_cmp_eq_f32 s0, s2", e_eq_f, 0 }, { "s_cmp_le_f32 s0, s2", e_le_f, 0 },
    { "s_cmp_gt_f32 s0, s2", e_gt_f, 0 }, { "s_cmp_lg_f32 s0, s2", e_lg_f, 0 }, { "s_cmp_ge_f32 s0, s2", e_ge_f, 0 },
    { "s_cmp_o_f32 s0, s2", e_o_f, 0 }, { "s_cmp_u_f32 s0, s2", e_u_f_, 0 }, { "s_cmp_nge_f32 s0, s2", e_nge_f, 0 },
    { "s_cmp_nlg_f32 s0, s2", e_nlg_f, 0 }, { "s_cmp_ngt_f32 s0, s2", e_ngt_f, 0 },
    { "s_cmp_nle_f32 s0, s2", e_nle_f, 0 },
    { "s_cmp_neq_f32 s0, s2", e_neq_f, 0 }, { "s_cmp_nlt_f32 s0, s2", e_nlt_f, 0 },
    { "s_cmp_lt_f16 s0, s2", e_lt_h, 0 }, { "s_cmp_eq_f16 s0, s2", e_eq_h, 0 }, { "s_cmp_le_f16 s0, s2", e_le_h, 0 },
    { "s_cmp_gt_f16 s0, s2", e_gt_h, 0 }, { "s_cmp_lg_f16 s0, s2", e_lg_h, 0 }, { "s_cmp_ge_f16 s0, s2", e_ge_h, 0 },
    { "s_cmp_o_f16 s0, s2", e_o_h, 0 }, { "s_cmp_u_f16 s0, s2", e_u_h, 0 }, { "s_cmp_nge_f16 s0, s2", e_nge_h, 0 },
    { "s_cmp_nlg_f16 s0, s2", e_nlg_h, 0 }, { "s_cmp_ngt_f16 s0, s2", e_ngt_h, 0 },
    { "s_cmp_nle_f16 s0, s2", e_nle_h, 0 },
    { "s_cmp_neq_f16 s0, s2", e_neq_h, 0 }, { "s_cmp_nlt_f16 s0, s2", e_nlt_h, 0 },
    { "s_and_saveexec_b32 s4, s0", e_and_save, 0 }, { "s_or_saveexec_b32 s4, s0", e_or_save, 0 },
    { "s_xor_saveexec_b32 s4, s0", e_xor_save, 0 }, { "s_and_not0_saveexec_b32 s4, s0", e_and_not0_save, 0 },
    { "s_and_not1_saveexec_b32 s4, s0", e_and_not1_save, 0 }, { "s_or_not0_saveexec_b32 s4, s0", e_or_not0_save, 0 },
    { "s_or_not1_saveexec_b32 s4, s0", e_or_not1_save, 0 }, { "s_nand_saveexec_b32 s4, s0", e_nand_save, 0 },
    { "s_nor_saveexec_b32 s4, s0", e_nor_save, 0 }, { "s_xnor_saveexec_b32 s4, s0", e_xnor_save, 0 },
    { "s_and_not0_wrexec_b32 s4, s0", e_and_not0_wr, 0 }, { "s_and_not1_wrexec_b32 s4, s0", e_and_not1_wr, 0 },
};
enum { OPS = sizeof ops / sizeof *ops };

static void scalar_ops(void **state)
{
    (void)state;
    const char *lines[OPS];
    for (int k = 0; k < OPS; k++)
        lines[k] = ops[k].text;
    gfx_insn *i = gfx_test_assemble(lines, OPS);
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("scalars");
    for (int round = 0; round < 600; round++) {
        uint32_t in[6];
        for (int n = 0; n < 6; n++)
            in[n] = round < 500 ? edges[test_rng_below(&rng, EDGES)] : (uint32_t)test_rng_next(&rng);
        if (round == 0) /* as halves, a b + c is below a tie by what a float cannot hold */
            in[0] = in[4] = 0x3c01, in[2] = 0x0ffe;
        for (int k = 0; k < OPS; k++) {
            for (unsigned n = 0; n < 6; n++)
                gfx_test_set_s(w, n, in[n]);
            scalar s = { .a = in[0], .b = in[2], .c = in[4], .A = (uint64_t)in[1] << 32 | in[0],
                         .B = (uint64_t)in[3] << 32 | in[2], .C = (uint64_t)in[5] << 32 | in[4], .x = gfx_float(in[0]),
                         .y = gfx_float(in[2]), .z = gfx_float(in[4]), .exec = (uint32_t)test_rng_next(&rng),
                         .scc = round % 2 };
            w->s[GFX_EXEC] = s.exec, w->scc = s.scc, w->scc_written = true;
            gfx_test_step(w, &i[k]);
            ops[k].expect(&s);
            bool wide = i[k].dst.count == 2;
            uint64_t got = wide ? (uint64_t)w->s[5] << 32 | w->s[4] : w->s[4], want = wide ? s.d : (uint32_t)s.d;
            got = ops[k].nan == 3 && got - want + 1 <= 2 ? want : got;
            bool nans = ops[k].nan && isnan(gfx_float((uint32_t)got)) && isnan(gfx_float((uint32_t)want));
            nans |= (ops[k].nan == 2 || strstr(ops[k].text, "f16_f32")) && (want & 0x7fff) > 0x7c00 &&
                    (got & 0x7fff) > 0x7c00;
            if ((got != want && !nans) || w->scc != s.scc || w->s[GFX_EXEC] != s.exec)
                fail_msg("%s with %x:%x %x:%x %x:%x: %llx SCC %d EXEC %x, not %llx %d %x", ops[k].text, in[1], in[0],
                         in[3], in[2], in[5], in[4], (unsigned long long)got, w->scc, w->s[GFX_EXEC],
                         (unsigned long long)want, s.scc, s.exec);
        }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, OPS);
}

/* Where a branch goes: the index of its target. */
static void branches(void **state)
{
    (void)state;
    static const char *const lines[] = { "s_branch 2", "s_cbranch_scc0 1", "s_cbranch_scc1 0", "s_cbranch_vccz 0xfffc",
                                         "s_cbranch_vccnz 1", "s_cbranch_execz 1", "s_cbranch_execnz 0", "s_nop 0" };
    static const struct { uint32_t target; bool taken[2]; } want[] = { /* with SCC, VCC or EXEC 0, and not; others vary */
        { 3, { true, true } }, { 3, { true, false } }, { 3, { false, true } }, { 0, { true, false } },
        { 6, { false, true } }, { 7, { true, false } }, { 7, { false, true } },
    };
    gfx_insn *i = gfx_test_assemble(lines, 8);
    gfx_wave *w = gfx_wave_new();
    for (int k = 0; k < 7; k++)
        for (int n = 0; n < 4; n++) {
            int set = n & 1, other = n >> 1;
            w->scc = k < 3 ? set : other, w->scc_written = true;
            w->s[GFX_EXEC] = (k > 4 ? set : other) ? UINT32_MAX : 0;
            gfx_test_set_s(w, GFX_VCC, (k > 2 && k < 5 ? set : other) ? 4 : 0);
            w->pc = 99;
            gfx_test_step(w, &i[k]);
            assert_int_equal(w->pc, want[k].taken[set] ? want[k].target : 99);
        }
    gfx_wave_free(w);
    gfx_insns_free(i, 8);
}

/* ---- waits ---- */

/* Two loads of each counter are under way, into v0 to v7 or s0 to s7, and one store: what is pending afterwards, as
 * a bit a register of each two, from loadcnt on. */
static void waits(void **state)
{
    (void)state;
    static const struct { const char *line; unsigned pending, stores; } cases[] = {
        { "s_wait_loadcnt 0x2", 0x3f, 2 }, { "s_wait_loadcnt 0x1", 0x3e, 2 }, { "s_wait_loadcnt 0x0", 0x3c, 2 },
        { "s_wait_dscnt 0x1", 0x3b, 2 }, { "s_wait_dscnt 0x0", 0x33, 2 }, { "s_wait_kmcnt 0x1", 0x3f, 2 },
        { "s_wait_kmcnt 0x0", 0x0f, 2 }, { "s_wait_storecnt 0x1", 0x3f, 1 }, { "s_wait_storecnt 0x0", 0x3f, 0 },
        { "s_wait_loadcnt_dscnt 0x100", 0x32, 2 }, { "s_wait_loadcnt_dscnt 0x1", 0x38, 2 },
        { "s_wait_storecnt_dscnt 0x100", 0x33, 1 }, { "s_wait_storecnt_dscnt 0x1", 0x3b, 0 }, { "s_wait_idle", 0, 0 },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        gfx_insn *i = gfx_test_assemble(&cases[k].line, 1);
        gfx_wave *w = gfx_wave_new();
        for (uint16_t n = 0; n < 2; n++) {
            gfx_expect(w, GFX_LOADCNT, false, n, 1);
            gfx_expect(w, GFX_DSCNT, false, 2 + n, 1);
            gfx_expect(w, GFX_KMCNT, true, 4 + n, 1);
            gfx_expect(w, GFX_STORECNT, false, 0, 0);
        }
        gfx_test_step(w, i);
        unsigned pending = 0;
        for (unsigned n = 0; n < 6; n++)
            pending |= ((n < 4 ? w->v_pending[n] : w->s_pending[n]) != 0) << n;
        if (pending != cases[k].pending || w->queued[GFX_STORECNT] != cases[k].stores)
            fail_msg("%s leaves %x and %u stores", cases[k].line, pending, w->queued[GFX_STORECNT]);
        gfx_wave_free(w);
        gfx_insns_free(i, 1);
    }
}

/* What a single program cannot see changes nothing of a wave but the count. */
static void hints(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "s_nop 3", "s_clause 0x2", "s_delay_alu instid0(VALU_DEP_1)", "s_wait_alu 0xfffd",
        "s_sendmsg sendmsg(MSG_DEALLOC_VGPRS)",
        "s_setprio 1", "s_sleep 1", "s_code_end", "s_wait_samplecnt 0x0", "s_wait_bvhcnt 0x0", "s_wait_expcnt 0x0",
        "s_prefetch_inst s[0:1], 0, s2, 0", "s_prefetch_inst_pc_rel 0, s2, 0", "s_prefetch_data s[0:1], 0, s2, 0",
        "s_prefetch_data_pc_rel 0, s2, 0", "ds_nop", "global_inv scope:SCOPE_DEV", "global_wb scope:SCOPE_DEV",
        "global_wbinv scope:SCOPE_SYS", "s_round_mode 0x0", "s_denorm_mode 0xf",
    };
    enum { COUNT = sizeof lines / sizeof *lines };
    gfx_insn *i = gfx_test_assemble(lines, COUNT);
    gfx_wave *w = gfx_wave_new(), *before = gfx_wave_new();
    gfx_expect(w, GFX_LOADCNT, false, 0, 1);
    for (int k = 0; k < COUNT; k++) {
        gfx_group *group = before->group;
        *before = *w;
        gfx_test_step(w, &i[k]);
        assert_int_equal(w->stats.insns[i[k].event], before->stats.insns[i[k].event] + 1);
        w->stats = before->stats;
        assert_memory_equal(w, before, sizeof *w);
        before->group = group;
    }
    gfx_insns_free(i, COUNT);
    gfx_wave_free(before);
    gfx_wave_free(w);
}

/* Barriers, the end, and modes that floats are not computed in here. */
static void control(void **state)
{
    (void)state;
    static const char *const lines[] = { "s_barrier_signal -1", "s_barrier_wait -1", "s_endpgm", "s_round_mode 0x1",
                                         "s_denorm_mode 0xc", "s_barrier_signal 1", "s_barrier_wait 1" };
    static const char *const faults[] = { "rounds another way than to nearest", "flushes denormals",
                                          "a barrier other than the workgroup's",
                                          "a barrier other than the workgroup's" };
    gfx_insn *i = gfx_test_assemble(lines, 7);
    gfx_wave *w = gfx_wave_new();
    gfx_test_step(w, &i[0]);
    assert_true(w->signalled && !w->at_barrier && w->time == 3);
    gfx_test_step(w, &i[1]);
    assert_true(!w->signalled && w->at_barrier && !w->done);
    gfx_test_step(w, &i[2]);
    assert_true(w->done);
    for (int k = 0; k < 4; k++) {
        w->fault[0] = 0, w->signalled = k == 3;
        gfx_step(w, &i[3 + k]);
        assert_string_equal(w->fault, faults[k]);
    }
    gfx_wave_free(w);
    gfx_insns_free(i, 7);
}

static void every_operation(void **state)
{
    (void)state;
    gfx_test_all_ran(gfx_scalar_ops);
    gfx_test_all_ran(gfx_scalar_float_ops);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(scalar_ops), cmocka_unit_test(branches), cmocka_unit_test(waits), cmocka_unit_test(hints),
    cmocka_unit_test(control), cmocka_unit_test(every_operation),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_scalar", tests, NULL, NULL); }
