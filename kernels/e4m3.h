/* Rounding to e4m3 in vectors of a vec.h, which comes before this; format/halffloat.h is the specification. */
#ifndef ASHLAR_KERNELS_E4M3_H
#define ASHLAR_KERNELS_E4M3_H

/* ash_e4m3_to_f32(ash_f32_to_e4m3(x)), in floats: from 2^-6 up, bits below the third of the mantissa are rounded away
 * and 448 is the limit; below, adding 2^14 leaves multiples of 2^-9. */
static inline vec round_to_e4m3(vec x)
{
    veci bits = v_bits(x), body = vi_and(bits, vi_set(0x7fffffff)), sign = vi_and(bits, vi_set(0x80000000));
    veci odd = vi_and(vi_shift_right(body, 20), vi_set(1));
    veci rounded = vi_and(vi_add(vi_add(body, vi_set(0x7ffff)), odd), vi_set(0xfff00000));
    rounded = vi_min(rounded, vi_set(0x43e00000));
    vec big = v_set(0x1p14f);
    veci tiny = v_bits(v_sub(v_add(v_of_bits(body), big), big));
    rounded = vi_select_greater(vi_set(0x3c800000), body, tiny, rounded);
    rounded = vi_select_greater(body, vi_set(0x7f800000), vi_set(0x7fc00000), rounded);
    return v_of_bits(vi_or(rounded, sign));
}

/* The code of x, which is no NaN, in the low byte of each lane. */
static inline veci code_of_e4m3(vec x)
{
    veci bits = v_bits(x), body = vi_and(bits, vi_set(0x7fffffff)), sign = vi_and(bits, vi_set(0x80000000));
    veci odd = vi_and(vi_shift_right(body, 20), vi_set(1));
    /* Exponent and three bits of mantissa, rounded; the bias goes from 127 to 7, which is 120 * 8 here. */
    veci big = vi_shift_right(vi_add(vi_add(body, vi_set(0x7ffff)), odd), 20);
    big = vi_add(vi_min(big, vi_set(960 + 0x7e)), vi_set((uint32_t)-960));
    veci tiny = vi_add(v_bits(v_add(v_of_bits(body), v_set(0x1p14f))), vi_set((uint32_t)-0x46800000));
    return vi_or(vi_select_greater(vi_set(0x3c800000), body, tiny, big), vi_shift_right(sign, 24));
}

#endif
