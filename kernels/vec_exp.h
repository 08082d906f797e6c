/* The exponential function in vectors of a vec.h, which includes this at its end. */
#ifndef ASHLAR_KERNELS_VEC_EXP_H
#define ASHLAR_KERNELS_VEC_EXP_H

/* e^x for x <= 0, within 2^-23 relative where the result is normal, to the denormal grid below, 0 from -110 down. NaN
 * stays NaN. x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 is split after 15 bits, so that n times the first part is exact.
 * The polynomial's coefficients minimize the largest relative error on that range (weighted least squares, repeated
 * with the errors as weights): 2^-25.7 with float coefficients and the first two held at 1. */
static inline vec v_exp(vec x)
{
    x = v_max(v_set(-110), x);
    vec n = v_round(v_mul(x, v_set(0x1.715476p0f)));
    vec r = v_fma(n, v_set(-0x1.62e4p-1f), x);
    r = v_fma(n, v_set(-0x1.7f7d1cp-20f), r);
    vec p = v_set(0x1.6ab96ep-10f);
    p = v_fma(p, r, v_set(0x1.126d1ep-7f));
    p = v_fma(p, r, v_set(0x1.55589ap-5f));
    p = v_fma(p, r, v_set(0x1.55540ap-3f));
    p = v_fma(p, r, v_set(0x1.fffffap-2f));
    p = v_fma(p, r, v_set(1));
    p = v_fma(p, r, v_set(1));
    return v_scale_by_power(p, n);
}

#endif
