#include "tests/support/encode_rows.h"

#include <math.h>

#include "kernels/kernels.h"

float test_normal(test_rng *rng)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += test_rng_float(rng);
    return sum / 2;
}

float test_row_element(row_kind kind, int64_t i, test_rng *rng)
{
    switch (kind) {
    case ROW_ZERO: return i % 3 ? 0.0f : -0.0f;
    case ROW_CONSTANT: return -0.7f;
    case ROW_NEGATIVE: return -1 - fabsf(test_normal(rng));
    case ROW_POSITIVE: return 5 + test_normal(rng) / 8;
    case ROW_OUTLIER: return i % 97 == 50 ? 300 : test_normal(rng) / 100;
    case ROW_LARGE: return i % 5 ? ASH_ENCODE_K_MAX : -ASH_ENCODE_K_MAX;
    case ROW_TINY: return test_normal(rng) * 0x1p-140f;
    case ROW_COARSE: return test_normal(rng) * 0x1p-16f; /* scales that are denormal halves */
    case ROW_MIXED: return ldexpf(test_normal(rng), (int)test_rng_below(rng, 40) - 30);
    default: return test_normal(rng);
    }
}
