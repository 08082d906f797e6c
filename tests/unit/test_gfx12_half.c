/* The interpreter's 16-bit instructions against plain C: f16 and integers in halves of registers, packed pairs of
 * them, fma of mixed sources, sums of products. The half of a destination that is not written stays. */
#include <math.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"

/* Two halves each: zeros, denormals, ones, limits, infinities, NaN, ties of additions and products; 0x3c01 * 0x0ffe +
 * 0x3c01 is below a tie by what a float cannot hold. */
static const uint32_t edges[] = {
    0x00000000, 0x80003c00, 0x3c00bc00, 0x00010001, 0x03ff8001, 0x04000400, 0x7bff7bff, 0xfbff7bff, 0x7c000000,
    0xfc007c00, 0x7e003c00, 0x7c017c01, 0x3c013555, 0x2e663800, 0x38003e00, 0x64006400, 0x68006801, 0x0fff1000,
    0xffff7fff, 0x8000ffff, 0x00ff0100, 0x7fff8000, 0x0004001f, 0x000f0010, 0x40004200, 0x4a003a00, 0xc5004500,
    0x34aa3155, 0x12345678, 0x9abcdef0, 0x0ffe3c01, 0x3c010ffe,
};
#define COUNT(list) (sizeof(list) / sizeof *(list))
#define E GFX_EXPECT

static float half(uint32_t v) { return ash_f16_to_f32((uint16_t)v); }
static uint32_t of(float v) { return ash_f32_to_f16(v); }
#define HA half(a)
#define HB half(b)
#define HC half(c)
#define LOW(v) ((old & 0xffff0000) | ((uint32_t)(v) & 0xffff))
#define HIGH(v) ((old & 0xffff) | (uint32_t)(v) << 16)

static float least(float p, float q)
{
    if (isnan(p) || isnan(q))
        return isnan(p) ? q : p;
    return p < q || (p == q && signbit(p)) ? p : q;
}
static float most(float p, float q)
{
    if (isnan(p) || isnan(q))
        return isnan(p) ? q : p;
    return p > q || (p == q && !signbit(p)) ? p : q;
}
static float unit(float v) { return isnan(v) ? 0 : fminf(fmaxf(v, 0), 1); }

/* ---- one value ---- */

E(add, LOW(of(HA + HB))) E(sub, LOW(of(HA - HB))) E(subrev, LOW(of(HB - HA))) E(mul, LOW(of(HA * HB)))
E(fma_, LOW(gfx_test_half_fma(HA, HB, HC))) E(fma_sel, HIGH(gfx_test_half_fma(half(a >> 16), HB, half(c >> 16))))
E(fmac, LOW(gfx_test_half_fma(HA, HB, half((uint32_t)old))))
E(fmac_signs, LOW(gfx_test_half_fma(-HA, fabsf(HB), half((uint32_t)old))))
E(fmaak, LOW(gfx_test_half_fma(HA, HB, 0.33325195f)))
E(fmamk, LOW(gfx_test_half_fma(HA, 0.33325195f, HB))) E(constant, LOW(of(HA + 0.5f)))
E(neg_abs, LOW(of(-fabsf(HA) - HB)))
E(clamp, LOW(of(unit(half(of(HA + HB)))))) E(omod, LOW(of(half(of(HA * HB)) * 2)))
E(min_, LOW(of(least(HA, HB)))) E(max_, LOW(of(most(HA, HB)))) E(min3, LOW(of(least(least(HA, HB), HC))))
E(max3, LOW(of(most(most(HA, HB), HC)))) E(med3, LOW(of(most(least(HA, HB), least(most(HA, HB), HC)))))
E(minmax, LOW(of(most(least(HA, HB), HC)))) E(maxmin, LOW(of(least(most(HA, HB), HC))))
E(minimum, LOW(isnan(HA) || isnan(HB) ? 0x7e00 : of(least(HA, HB))))
E(maximum, LOW(isnan(HA) || isnan(HB) ? 0x7e00 : of(most(HA, HB))))
E(rcp, LOW(of(1 / HA))) E(rsq, LOW(of((float)(1 / sqrt((double)HA))))) E(root, LOW(of(sqrtf(HA))))
E(exp_, LOW(of((float)exp2((double)HA)))) E(log_, LOW(of((float)log2((double)HA))))
E(sin_, LOW(of((float)sin((double)HA * 2 * M_PI)))) E(cos_, LOW(of((float)cos((double)HA * 2 * M_PI))))
E(floor_, LOW(of(floorf(HA)))) E(ceil_, LOW(of(ceilf(HA)))) E(trunc_, LOW(of(truncf(HA))))
E(rndne, LOW(of(nearbyintf(HA)))) E(fract, LOW(of(fminf(HA - floorf(HA), half(0x3bff)))))
E(ldexp_, LOW(of((float)ldexp((double)HA, (int16_t)b))))
E(fixup, LOW(isnan(HC) ? c : isnan(HB) ? b : (HB == 0 && HC == 0) || (isinf(HB) && isinf(HC)) ? 0x7e00 :
  ((b ^ c) & 0x8000) | (HB == 0 || isinf(HC) ? 0x7c00 : isinf(HB) || HC == 0 ? 0 : a & 0x7fff)))
E(select, LOW(gfx_test_vcc >> gfx_test_lane & 1 ? b : a))
E(select_neg, LOW(gfx_test_vcc >> gfx_test_lane & 1 ? b & 0x7fff : a ^ 0x8000))
E(pack, (a & 0xffff) | b << 16) E(pack_sel, a >> 16 | (b & 0xffff0000))

#define S(v) ((int16_t)(v))
#define U(v) ((uint16_t)(v))
E(add16, LOW(a + b)) E(sub16, LOW(a - b)) E(mul16, LOW(a * b)) E(shl, LOW(b << (a & 15))) E(shr, LOW(U(b) >> (a & 15)))
E(sar, LOW(S(b) >> (a & 15))) E(and_, LOW(a & b)) E(or_, LOW(a | b)) E(xor_, LOW(a ^ b)) E(not_, LOW(~a))
E(min_u, LOW(U(a) < U(b) ? a : b)) E(max_u, LOW(U(a) > U(b) ? a : b)) E(min_i, LOW(S(a) < S(b) ? a : b))
E(max_i, LOW(S(a) > S(b) ? a : b)) E(mad, LOW(a * b + c)) E(mad_sel, HIGH((a >> 16) * b + c))
E(mad_u32, U(a) * (uint32_t)U(b) + c) E(mad_u32_sel, (a >> 16) * U(b) + c)
E(mad_i32, (uint32_t)(S(a) * S(b)) + c)
static int median(int p, int q, int r) { return p < q ? (r < p ? p : r > q ? q : r) : (r < q ? q : r > p ? p : r); }
E(med3_u, LOW(median(U(a), U(b), U(c)))) E(med3_i, LOW(median(S(a), S(b), S(c))))
E(min3_i, LOW(S(a) < S(b) ? (S(a) < S(c) ? a : c) : S(b) < S(c) ? b : c))
E(max3_u, LOW(U(a) > U(b) ? (U(a) > U(c) ? a : c) : U(b) > U(c) ? b : c))
E(max3_i, LOW(S(a) > S(b) ? (S(a) > S(c) ? a : c) : S(b) > S(c) ? b : c))
E(min3_u, LOW(U(a) < U(b) ? (U(a) < U(c) ? a : c) : U(b) < U(c) ? b : c))

#define H GFX_TEST_F16
static const gfx_test_op singles[] = {
    { "v_add_f16 v6, v0, v2", e_add, H, 0 }, { "v_sub_f16 v6, v0, v2", e_sub, H, 0 },
    { "v_subrev_f16 v6, v0, v2", e_subrev, H, 0 }, { "v_mul_f16 v6, v0, v2", e_mul, H, 0 },
    { "v_fma_f16 v6, v0, v2, v4", e_fma_, H, 0 },
    { "v_fma_f16 v6, v0, v2, v4 op_sel:[1,0,1,1]", e_fma_sel, GFX_TEST_PK_F16, 0 },
    { "v_fmac_f16 v6, v0, v2", e_fmac, H, 0 }, { "v_fmaak_f16 v6, v0, v2, 0x3555", e_fmaak, H, 0 },
    { "v_fmac_f16 v6, -v0, |v2|", e_fmac_signs, H, 0 },
    { "v_fmamk_f16 v6, v0, 0x3555, v2", e_fmamk, H, 0 }, { "v_add_f16 v6, 0.5, v0", e_constant, H, 0 },
    { "v_add_f16 v6, -|v0|, -v2", e_neg_abs, H, 0 }, { "v_add_f16 v6, v0, v2 clamp", e_clamp, H, 0 },
    { "v_mul_f16 v6, v0, v2 mul:2", e_omod, H, 0 }, { "v_min_num_f16 v6, v0, v2", e_min_, H, 0 },
    { "v_max_num_f16 v6, v0, v2", e_max_, H, 0 }, { "v_minimum_f16 v6, v0, v2", e_minimum, H, 0 },
    { "v_maximum_f16 v6, v0, v2", e_maximum, H, 0 }, { "v_min3_num_f16 v6, v0, v2, v4", e_min3, H, 0 },
    { "v_max3_num_f16 v6, v0, v2, v4", e_max3, H, 0 }, { "v_med3_num_f16 v6, v0, v2, v4", e_med3, H, 0 },
    { "v_minmax_num_f16 v6, v0, v2, v4", e_minmax, H, 0 }, { "v_maxmin_num_f16 v6, v0, v2, v4", e_maxmin, H, 0 },
    { "v_rcp_f16 v6, v0", e_rcp, H, 0 }, { "v_rsq_f16 v6, v0", e_rsq, H, 0 }, { "v_sqrt_f16 v6, v0", e_root, H, 0 },
    { "v_exp_f16 v6, v0", e_exp_, H, 0 }, { "v_log_f16 v6, v0", e_log_, H, 0 }, { "v_sin_f16 v6, v0", e_sin_, H, 0 },
    { "v_cos_f16 v6, v0", e_cos_, H, 0 }, { "v_floor_f16 v6, v0", e_floor_, H, 0 },
    { "v_ceil_f16 v6, v0", e_ceil_, H, 0 },
    { "v_trunc_f16 v6, v0", e_trunc_, H, 0 }, { "v_rndne_f16 v6, v0", e_rndne, H, 0 },
    { "v_fract_f16 v6, v0", e_fract, H, 0 }, { "v_ldexp_f16 v6, v0, v2", e_ldexp_, H, 0 },
    { "v_div_fixup_f16 v6, v0, v2, v4", e_fixup, H, 0 },

    { "v_cndmask_b16 v6, v0, v2, vcc_lo", e_select, 0, 0 },
    { "v_cndmask_b16 v6, -v0, |v2|, vcc_lo", e_select_neg, 0, 0 },
    { "v_pack_b32_f16 v6, v0, v2", e_pack, 0, 0 }, { "v_pack_b32_f16 v6, v0, v2 op_sel:[1,1,0]", e_pack_sel, 0, 0 },
    { "v_add_nc_u16 v6, v0, v2", e_add16, 0, 0 }, { "v_sub_nc_u16 v6, v0, v2", e_sub16, 0, 0 },
    { "v_mul_lo_u16 v6, v0, v2", e_mul16, 0, 0 }, { "v_lshlrev_b16 v6, v0, v2", e_shl, 0, 0 },
    { "v_lshrrev_b16 v6, v0, v2", e_shr, 0, 0 }, { "v_ashrrev_i16 v6, v0, v2", e_sar, 0, 0 },
    { "v_and_b16 v6, v0, v2", e_and_, 0, 0 }, { "v_or_b16 v6, v0, v2", e_or_, 0, 0 },
    { "v_xor_b16 v6, v0, v2", e_xor_, 0, 0 },
    { "v_not_b16 v6, v0", e_not_, 0, 0 }, { "v_min_u16 v6, v0, v2", e_min_u, 0, 0 },
    { "v_max_u16 v6, v0, v2", e_max_u, 0, 0 },
    { "v_min_i16 v6, v0, v2", e_min_i, 0, 0 }, { "v_max_i16 v6, v0, v2", e_max_i, 0, 0 },
    { "v_mad_u16 v6, v0, v2, v4", e_mad, 0, 0 }, { "v_mad_i16 v6, v0, v2, v4", e_mad, 0, 0 },
    { "v_mad_u16 v6, v0, v2, v4 op_sel:[1,0,0,1]", e_mad_sel, 0, 0 },
    { "v_mad_u32_u16 v6, v0, v2, v4", e_mad_u32, 0, 0 },
    { "v_mad_u32_u16 v6, v0, v2, v4 op_sel:[1,0,0,0]", e_mad_u32_sel, 0, 0 },
    { "v_mad_i32_i16 v6, v0, v2, v4", e_mad_i32, 0, 0 },
    { "v_med3_u16 v6, v0, v2, v4", e_med3_u, 0, 0 },
    { "v_med3_i16 v6, v0, v2, v4", e_med3_i, 0, 0 }, { "v_min3_i16 v6, v0, v2, v4", e_min3_i, 0, 0 },
    { "v_max3_i16 v6, v0, v2, v4", e_max3_i, 0, 0 }, { "v_min3_u16 v6, v0, v2, v4", e_min3_u, 0, 0 },
    { "v_max3_u16 v6, v0, v2, v4", e_max3_u, 0, 0 },
};
static void single_ops(void **state)
{
    (void)state;
    gfx_test_ops(singles, COUNT(singles), edges, COUNT(edges));
}

/* ---- pairs ---- */

#define BOTH(p, q) (((uint32_t)(p) & 0xffff) | (uint32_t)(q) << 16)
#define A1 (a >> 16)
#define B1 (b >> 16)
#define C1 (c >> 16)
E(pk_add, BOTH(of(HA + HB), of(half(A1) + half(B1)))) E(pk_mul, BOTH(of(HA * HB), of(half(A1) * half(B1))))
E(pk_fma, BOTH(gfx_test_half_fma(HA, HB, HC), gfx_test_half_fma(half(A1), half(B1), half(C1))))
E(pk_fma_sel, BOTH(gfx_test_half_fma(-half(A1), HB, HC), gfx_test_half_fma(-HA, half(B1), half(C1))))
E(pk_one, BOTH(of(HA + 1), of(half(A1) + 1))) E(pk_one_low, BOTH(of(HA + 1), of(half(A1) + 0.0f)))
E(pk_min, BOTH(of(least(HA, HB)), of(least(half(A1), half(B1)))))
E(pk_max, BOTH(of(most(HA, HB)), of(most(half(A1), half(B1)))))
E(pk_minimum, BOTH(isnan(HA) || isnan(HB) ? 0x7e00 : of(least(HA, HB)),
  isnan(half(A1)) || isnan(half(B1)) ? 0x7e00 : of(least(half(A1), half(B1)))))
E(pk_maximum, BOTH(isnan(HA) || isnan(HB) ? 0x7e00 : of(most(HA, HB)),
  isnan(half(A1)) || isnan(half(B1)) ? 0x7e00 : of(most(half(A1), half(B1)))))
E(pk_clamp, BOTH(of(unit(half(of(HA + HB)))), of(unit(half(of(half(A1) + half(B1)))))))
E(pk_add_u, BOTH(a + b, A1 + B1)) E(pk_sub_u, BOTH(a - b, A1 - B1)) E(pk_mul_lo, BOTH(a * b, A1 * B1))
E(pk_mad, BOTH(a * b + c, A1 * B1 + C1)) E(pk_add_five, BOTH(a + 5, A1 + 5))
static uint32_t lim_u(int64_t v) { return (uint32_t)(v < 0 ? 0 : v > 65535 ? 65535 : v); }
static uint32_t lim_i(int32_t v) { return (uint32_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v); }
E(pk_add_u_clamp, BOTH(lim_u((int64_t)U(a) + U(b)), lim_u((int64_t)A1 + B1)))
E(pk_sub_u_clamp, BOTH(lim_u((int64_t)U(a) - U(b)), lim_u((int64_t)A1 - B1)))
E(pk_mad_u_clamp, BOTH(lim_u((int64_t)U(a) * U(b) + U(c)), lim_u((int64_t)A1 * B1 + C1)))
E(pk_add_i_clamp, BOTH(lim_i(S(a) + S(b)), lim_i(S(A1) + S(B1))))
E(pk_sub_i_clamp, BOTH(lim_i(S(a) - S(b)), lim_i(S(A1) - S(B1))))
E(pk_mad_i_clamp, BOTH(lim_i(S(a) * S(b) + S(c)), lim_i(S(A1) * S(B1) + S(C1))))
E(pk_shl, BOTH(b << (a & 15), B1 << (A1 & 15))) E(pk_shr, BOTH(U(b) >> (a & 15), B1 >> (A1 & 15)))
E(pk_sar, BOTH(S(b) >> (a & 15), S(B1) >> (A1 & 15))) E(pk_shl4, BOTH(a << 4, A1 << 4))
E(pk_min_u, BOTH(U(a) < U(b) ? a : b, A1 < B1 ? A1 : B1)) E(pk_max_u, BOTH(U(a) > U(b) ? a : b, A1 > B1 ? A1 : B1))
E(pk_min_i, BOTH(S(a) < S(b) ? a : b, S(A1) < S(B1) ? A1 : B1))
E(pk_max_i, BOTH(S(a) > S(b) ? a : b, S(A1) > S(B1) ? A1 : B1))
E(mix, gfx_bits(fmaf(HA, half(B1), z))) E(mix_plain, gfx_bits(fmaf(-fabsf(x), y, z)))
E(mix_neg, gfx_bits(fmaf(-fabsf(half(A1)), y, HC)))
E(pk_signs, BOTH(of(HB - HA), of(half(A1) - half(B1)))) E(mix_const, gfx_bits(fmaf(0.5f, HB, z)))
E(mixlo_clamp, LOW(of(unit(half(gfx_test_half_fma(HA, HB, HC))))))
E(mixlo, LOW(gfx_test_half_fma(HA, half(B1), HC))) E(mixhi, HIGH(gfx_test_half_fma(HA, -half(B1), HC)))

#define P GFX_TEST_PK_F16
static const gfx_test_op pairs[] = {
    { "v_pk_add_f16 v6, v0, v2", e_pk_add, P, 0 }, { "v_pk_mul_f16 v6, v0, v2", e_pk_mul, P, 0 },
    { "v_pk_fma_f16 v6, v0, v2, v4", e_pk_fma, P, 0 },
    { "v_pk_fma_f16 v6, v0, v2, v4 op_sel:[1,0,0] op_sel_hi:[0,1,1] neg_lo:[1,0,0] neg_hi:[1,0,0]", e_pk_fma_sel, P,
      0 },
    { "v_pk_add_f16 v6, v0, v2 neg_lo:[1,0] neg_hi:[0,1]", e_pk_signs, P, 0 },
    { "v_pk_add_f16 v6, v0, 1.0 op_sel_hi:[1,0]", e_pk_one, P, 0 }, { "v_pk_add_f16 v6, v0, 1.0", e_pk_one_low, P, 0 },
    { "v_pk_min_num_f16 v6, v0, v2", e_pk_min, P, 0 }, { "v_pk_max_num_f16 v6, v0, v2", e_pk_max, P, 0 },
    { "v_pk_minimum_f16 v6, v0, v2", e_pk_minimum, P, 0 },
    { "v_pk_maximum_f16 v6, v0, v2", e_pk_maximum, P, 0 }, { "v_pk_add_f16 v6, v0, v2 clamp", e_pk_clamp, P, 0 },
    { "v_pk_add_u16 v6, v0, v2", e_pk_add_u, 0, 0 }, { "v_pk_sub_u16 v6, v0, v2", e_pk_sub_u, 0, 0 },
    { "v_pk_add_u16 v6, v0, 5 op_sel_hi:[1,0]", e_pk_add_five, 0, 0 },
    { "v_pk_add_i16 v6, v0, v2", e_pk_add_u, 0, 0 }, { "v_pk_sub_i16 v6, v0, v2", e_pk_sub_u, 0, 0 },
    { "v_pk_mul_lo_u16 v6, v0, v2", e_pk_mul_lo, 0, 0 }, { "v_pk_mad_u16 v6, v0, v2, v4", e_pk_mad, 0, 0 },
    { "v_pk_mad_i16 v6, v0, v2, v4", e_pk_mad, 0, 0 }, { "v_pk_add_u16 v6, v0, v2 clamp", e_pk_add_u_clamp, 0, 0 },
    { "v_pk_sub_u16 v6, v0, v2 clamp", e_pk_sub_u_clamp, 0, 0 },
    { "v_pk_add_i16 v6, v0, v2 clamp", e_pk_add_i_clamp, 0, 0 },
    { "v_pk_sub_i16 v6, v0, v2 clamp", e_pk_sub_i_clamp, 0, 0 },
    { "v_pk_mad_u16 v6, v0, v2, v4 clamp", e_pk_mad_u_clamp, 0, 0 },
    { "v_pk_mad_i16 v6, v0, v2, v4 clamp", e_pk_mad_i_clamp, 0, 0 },
    { "v_pk_lshlrev_b16 v6, v0, v2", e_pk_shl, 0, 0 }, { "v_pk_lshrrev_b16 v6, v0, v2", e_pk_shr, 0, 0 },
    { "v_pk_ashrrev_i16 v6, v0, v2", e_pk_sar, 0, 0 },
    { "v_pk_lshlrev_b16 v6, 4, v0 op_sel_hi:[0,1]", e_pk_shl4, 0, 0 },
    { "v_pk_min_u16 v6, v0, v2", e_pk_min_u, 0, 0 }, { "v_pk_max_u16 v6, v0, v2", e_pk_max_u, 0, 0 },
    { "v_pk_min_i16 v6, v0, v2", e_pk_min_i, 0, 0 }, { "v_pk_max_i16 v6, v0, v2", e_pk_max_i, 0, 0 },
    { "v_fma_mix_f32 v6, v0, v2, v4 op_sel:[0,1,0] op_sel_hi:[1,1,0]", e_mix, GFX_TEST_F32, 0 },
    { "v_fma_mix_f32 v6, -|v0|, v2, v4", e_mix_plain, GFX_TEST_F32, 0 },
    { "v_fma_mix_f32 v6, -|v0|, v2, v4 op_sel:[1,0,0] op_sel_hi:[1,0,1]", e_mix_neg, GFX_TEST_F32, 0 },
    { "v_fma_mix_f32 v6, 0.5, v2, v4 op_sel_hi:[1,1,0]", e_mix_const, GFX_TEST_F32, 0 },
    { "v_fma_mixlo_f16 v6, v0, v2, v4 op_sel_hi:[1,1,1] clamp", e_mixlo_clamp, H, 0 },
    { "v_fma_mixlo_f16 v6, v0, v2, v4 op_sel:[0,1,0] op_sel_hi:[1,1,1]", e_mixlo, H, 0 },
    { "v_fma_mixhi_f16 v6, v0, -v2, v4 op_sel:[0,1,0] op_sel_hi:[1,1,1]", e_mixhi, P, 0 },
};
static void pair_ops(void **state)
{
    (void)state;
    gfx_test_ops(pairs, COUNT(pairs), edges, COUNT(edges));
}

/* ---- dot products ---- */

static const uint32_t dot_edges[] = {
    0, 1, 0x7fffffff, 0x7fffff00, 0x80000000, 0x800000ff, 0xffffffff, 0xfffffff0, 0x80808080, 0x7f7f7f7f, 0x01020304,
    0x88888888, 0x77777777, 0x3f800000, 0xbf800000, 0x7f800000, 0x7fc00000, 0x00800000, 0x38b84840, 0x007e7efe,
    0x7bff7bff, 0xfbff0001, 0x7c000000, 0x3c003c00, 0x3f803f80, 0xbf807f7f, 0x00018001, 0x81018101, 0x7e7e7e7e,
    0x3f800001,
};
static uint32_t lim_32(int64_t v) { return (uint32_t)(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v); }
static uint32_t limit_u32(uint64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }

static int64_t dot(uint32_t p, uint32_t q, int bits, bool sp, bool sq)
{
    int64_t sum = 0;
    for (int k = 0; k < 32; k += bits) {
        int64_t m = INT64_C(1) << bits, u = p >> k & (m - 1), v = q >> k & (m - 1);
        sum += (sp && u >= m / 2 ? u - m : u) * (sq && v >= m / 2 ? v - m : v);
    }
    return sum;
}
E(dot_uu, (uint32_t)(dot(a, b, 8, false, false) + c)) E(dot_su, (uint32_t)(dot(a, b, 8, true, false) + c))
E(dot_us, (uint32_t)(dot(a, b, 8, false, true) + c)) E(dot_ss, (uint32_t)(dot(a, b, 8, true, true) + c))
E(dot_clamp, lim_32(dot(a, b, 8, true, false) + (int32_t)c)) E(dot8_ss, (uint32_t)(dot(a, b, 4, true, true) + c))
E(dot8_us, (uint32_t)(dot(a, b, 4, false, true) + c))
E(dot_u_clamp, limit_u32((uint64_t)dot(a, b, 8, false, false) + c))
static uint32_t dot_fp8(uint32_t p, uint32_t q, double sum)
{
    for (int k = 0; k < 32; k += 8)
        sum += (double)ash_e4m3_to_f32((uint8_t)(p >> k)) * (double)ash_e4m3_to_f32((uint8_t)(q >> k));
    return gfx_bits((float)sum);
}
static uint32_t dot_two(uint32_t p, uint32_t q, double sum, bool f16)
{
    for (int k = 0; k < 32; k += 16) {
        float u = f16 ? half(p >> k) : gfx_float(p >> k << 16), v = f16 ? half(q >> k) : gfx_float(q >> k << 16);
        sum += (double)u * (double)v;
    }
    return gfx_bits((float)sum);
}
E(dot8_u, (uint32_t)(dot(a, b, 4, false, false) + c))
E(dot8_u_clamp, limit_u32((uint64_t)dot(a, b, 4, false, false) + c))
E(dot8_clamp, lim_32(dot(a, b, 4, true, true) + (int32_t)c))
E(dot_unit, gfx_bits(unit(gfx_float(dot_two(a, b, (double)z, true)))))
E(dot4_fp8_neg, dot_fp8(a, b, (double)-z)) E(dot4_fp8_abs, dot_fp8(a, b, (double)fabsf(z)))
E(dot2_bf16_neg, dot_two(a ^ 0x80008000, b, (double)z, false))
E(dot4_fp8, dot_fp8(a, b, (double)z)) E(dot2_f16, dot_two(a, b, (double)z, true))
E(dot2_f16_neg, dot_two(a ^ 0x8000, b ^ 0x80000000, (double)-z, true)) E(dot2_bf16, dot_two(a, b, (double)z, false))

static const gfx_test_op dots[] = {
    { "v_dot4_i32_iu8 v6, v0, v2, v4", e_dot_uu, 0, 0 },
    { "v_dot4_i32_iu8 v6, v0, v2, v4 neg_lo:[1,0,0]", e_dot_su, 0, 0 },
    { "v_dot4_i32_iu8 v6, v0, v2, v4 neg_lo:[0,1,0]", e_dot_us, 0, 0 },
    { "v_dot4_i32_iu8 v6, v0, v2, v4 neg_lo:[1,1,0]", e_dot_ss, 0, 0 },
    { "v_dot4_i32_iu8 v6, v0, v2, v4 neg_lo:[1,0,0] clamp", e_dot_clamp, 0, 0 },
    { "v_dot8_i32_iu4 v6, v0, v2, v4 neg_lo:[1,1,0]", e_dot8_ss, 0, 0 },
    { "v_dot8_i32_iu4 v6, v0, v2, v4 neg_lo:[0,1,0]", e_dot8_us, 0, 0 },
    { "v_dot8_i32_iu4 v6, v0, v2, v4 neg_lo:[1,1,0] clamp", e_dot8_clamp, 0, 0 },
    { "v_dot4_u32_u8 v6, v0, v2, v4", e_dot_uu, 0, 0 }, { "v_dot4_u32_u8 v6, v0, v2, v4 clamp", e_dot_u_clamp, 0, 0 },
    { "v_dot8_u32_u4 v6, v0, v2, v4", e_dot8_u, 0, 0 }, { "v_dot8_u32_u4 v6, v0, v2, v4 clamp", e_dot8_u_clamp, 0, 0 },
    { "v_dot4_f32_fp8_fp8 v6, v0, v2, v4 neg_lo:[0,0,1]", e_dot4_fp8_neg, GFX_TEST_F32, 0 },
    { "v_dot4_f32_fp8_fp8 v6, v0, v2, v4 neg_hi:[0,0,1]", e_dot4_fp8_abs, GFX_TEST_F32, 0 },
    { "v_dot2_f32_f16 v6, v0, v2, v4 clamp", e_dot_unit, GFX_TEST_F32, 0 },
    { "v_dot2_f32_bf16 v6, v0, v2, v4 neg_lo:[1,0,0] neg_hi:[1,0,0]", e_dot2_bf16_neg, GFX_TEST_F32, 0 },
    { "v_dot4_f32_fp8_fp8 v6, v0, v2, v4", e_dot4_fp8, GFX_TEST_F32, 0 },
    { "v_dot2_f32_f16 v6, v0, v2, v4", e_dot2_f16, GFX_TEST_F32, 0 },
    { "v_dot2_f32_f16 v6, v0, v2, v4 neg_lo:[1,0,1] neg_hi:[0,1,0]", e_dot2_f16_neg, GFX_TEST_F32, 0 },
    { "v_dot2_f32_bf16 v6, v0, v2, v4", e_dot2_bf16, GFX_TEST_F32, 0 },
};
static void dot_ops(void **state)
{
    (void)state;
    gfx_test_ops(dots, COUNT(dots), dot_edges, COUNT(dot_edges));
}

static void every_operation(void **state)
{
    (void)state;
    gfx_test_all_ran(gfx_half_ops);
    gfx_test_all_ran(gfx_packed_ops);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(single_ops), cmocka_unit_test(pair_ops),
                                           cmocka_unit_test(dot_ops), cmocka_unit_test(every_operation) };

int main(void) { return cmocka_run_group_tests_name("gfx12_half", tests, NULL, NULL); }
