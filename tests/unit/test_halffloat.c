/* Conversions to and from the narrow float formats: every code, and rounding against an exact search.
 *
 * The reference knows only what the formats define, the value of each code as sign * mantissa * 2^exponent in double
 * (exact: at most 11 bits of mantissa), and rounds by looking at both neighbours: nearest, ties to the even code. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#include "format/halffloat.h"

/* A format's magnitudes: codes 0 .. last are finite and ascend. */
typedef struct narrow {
    const char *name;
    int mantissa_bits, bias;
    uint32_t last;
    bool saturates;      /* beyond the largest: that one, instead of infinity (= last + 1) */
    uint32_t sign;
} narrow;

static const narrow f16 = { "f16", 10, 15, 0x7bff, false, 0x8000 };
static const narrow bf16 = { "bf16", 7, 127, 0x7f7f, false, 0x8000 };
static const narrow e4m3 = { "e4m3", 3, 7, 0x7e, true, 0x80 };

static double value_of(const narrow *f, uint32_t code)
{
    uint32_t mantissa = code & ((1u << f->mantissa_bits) - 1), exponent = code >> f->mantissa_bits;
    if (exponent == 0)
        return ldexp(mantissa, 1 - f->bias - f->mantissa_bits);
    return ldexp(mantissa + (1u << f->mantissa_bits), (int)exponent - f->bias - f->mantissa_bits);
}

/* What a finite float becomes. */
static uint32_t reference(const narrow *f, float x)
{
    double magnitude = fabs((double)x);
    uint32_t sign = signbit(x) ? f->sign : 0, low = 0, high = f->last;
    while (low < high) { /* the largest code whose value is not above */
        uint32_t middle = (low + high + 1) / 2;
        if (value_of(f, middle) <= magnitude)
            low = middle;
        else
            high = middle - 1;
    }
    double below = value_of(f, low), above = value_of(f, low + 1); /* last + 1: where the next step would lie */
    double to_below = magnitude - below, to_above = above - magnitude; /* differences of nearby doubles: exact */
    uint32_t code = to_below < to_above || (to_below == to_above && low % 2 == 0) ? low : low + 1;
    if (code > f->last)
        code = f->saturates ? f->last : f->last + 1;
    return sign | code;
}

static uint32_t convert(const narrow *f, float x)
{
    return f == &f16 ? ash_f32_to_f16(x) : f == &bf16 ? ash_f32_to_bf16(x) : ash_f32_to_e4m3(x);
}

static float widen(const narrow *f, uint32_t code)
{
    return f == &f16 ? ash_f16_to_f32((uint16_t)code) : f == &bf16 ? ash_bf16_to_f32((uint16_t)code)
                                                                   : ash_e4m3_to_f32((uint8_t)code);
}

static void check_rounding(const narrow *f, float x)
{
    uint32_t got = convert(f, x), want = reference(f, x);
    if (got != want)
        fail_msg("%s of %a (0x%08x): 0x%x, not 0x%x", f->name, (double)x, ash_f32_bits(x), got, want);
}

static void every_code_survives(const narrow *f)
{
    for (uint32_t sign = 0; sign <= f->sign; sign += f->sign)
        for (uint32_t code = 0; code < f->sign; code++) {
            float wide = widen(f, sign | code);
            if (code <= f->last) {
                double want = (sign ? -1 : 1) * value_of(f, code);
                if ((double)wide != want || !!signbit(wide) != !!sign)
                    fail_msg("%s 0x%x is %a, not %a", f->name, sign | code, (double)wide, want);
            } else if (code == f->last + 1 && !f->saturates) {
                assert_true(isinf(wide) && !!signbit(wide) == !!sign);
            } else {
                assert_true(isnan(wide));
                /* Back: some NaN of the same sign, and for e4m3, which has one, that one. */
                uint32_t back = convert(f, wide);
                assert_true(isnan(widen(f, back)));
                assert_int_equal(back & f->sign, sign);
                continue;
            }
            assert_int_equal(convert(f, wide), sign | code);
        }
}

static void every_f16_code_survives(void **state) { (void)state; every_code_survives(&f16); }
static void every_bf16_code_survives(void **state) { (void)state; every_code_survives(&bf16); }
static void every_e4m3_code_survives(void **state) { (void)state; every_code_survives(&e4m3); }

/* Each code, the middle between it and the next (exact in float for all three), and the floats on either side. */
static void boundaries_round_to_nearest_even(void **state)
{
    (void)state;
    const narrow *formats[] = { &f16, &bf16, &e4m3 };
    for (int i = 0; i < 3; i++) {
        const narrow *f = formats[i];
        for (uint32_t code = 0; code <= f->last; code++) {
            double middle = (value_of(f, code) + value_of(f, code + 1)) / 2;
            float points[2] = { (float)value_of(f, code), (float)middle };
            assert_true((double)points[1] == middle);
            for (int p = 0; p < 2; p++) {
                float at = points[p], around[3] = { at, nextafterf(at, 0), nextafterf(at, INFINITY) };
                for (int n = 0; n < 3; n++) {
                    if (isinf(around[n])) /* one above the largest float: no finite value */
                        continue;
                    check_rounding(f, around[n]);
                    check_rounding(f, -around[n]);
                }
            }
        }
    }
}

static void random_floats_round_to_nearest_even(void **state)
{
    (void)state;
    test_rng rng = test_rng_start("halffloat rounding");
    const narrow *formats[] = { &f16, &bf16, &e4m3 };
    for (int i = 0; i < 400000; i++) {
        uint32_t bits = (uint32_t)test_rng_next(&rng);
        if (i % 2) /* exponents that all three formats have: 2^-24 .. 2^16 */
            bits = (bits & 0x807fffff) | (uint32_t)(103 + test_rng_below(&rng, 41)) << 23;
        float x = ash_f32_of_bits(bits);
        if (isfinite(x))
            check_rounding(formats[i / 2 % 3], x);
    }
}

static void extremes(void **state)
{
    (void)state;
    assert_int_equal(ash_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(ash_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(ash_f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(ash_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(ash_f32_to_f16(0x1p-25f), 0); /* a tie with zero: even */
    assert_int_equal(ash_f32_to_f16(0x1.000002p-25f), 1);
    assert_int_equal(ash_f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(ash_f32_to_bf16(INFINITY), 0x7f80);
    assert_int_equal(ash_f32_to_bf16(0x1.fffffep127f), 0x7f80); /* the largest float rounds up to infinity */
    assert_int_equal(ash_f32_to_e4m3(INFINITY), 0x7e);
    assert_int_equal(ash_f32_to_e4m3(-1e30f), 0xfe);
    assert_int_equal(ash_f32_to_e4m3(448), 0x7e);
    assert_int_equal(ash_f32_to_e4m3(464), 0x7e);
    assert_int_equal(ash_f32_to_e4m3(0x1p-10f), 0); /* half of the smallest: a tie with zero */
    assert_int_equal(ash_f32_to_e4m3(0x1.000002p-10f), 1);
    /* NaN with payloads in the low bits only, which a plain cut would turn into infinity */
    float low_nan = ash_f32_of_bits(0x7f800001), negative = ash_f32_of_bits(0xff800001);
    assert_int_equal(ash_f32_to_bf16(low_nan) & 0x7fff, 0x7fc0);
    assert_int_equal(ash_f32_to_f16(low_nan), 0x7e00);
    assert_int_equal(ash_f32_to_f16(negative), 0xfe00);
    assert_int_equal(ash_f32_to_e4m3(low_nan), 0x7f);
    assert_int_equal(ash_f32_to_e4m3(negative), 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_code_survives),          cmocka_unit_test(every_bf16_code_survives),
        cmocka_unit_test(every_e4m3_code_survives),         cmocka_unit_test(boundaries_round_to_nearest_even),
        cmocka_unit_test(random_floats_round_to_nearest_even), cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests_name("halffloat", tests, NULL, NULL);
}
