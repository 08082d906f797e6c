/* Rows of floats that quantizers find hard. */
#ifndef ASHLAR_TESTS_SUPPORT_ENCODE_ROWS_H
#define ASHLAR_TESTS_SUPPORT_ENCODE_ROWS_H

#include "tests/support/support.h"

/* Near enough to normally distributed: the sum of 12 uniform numbers from -1 to 1 has a variance of 4. */
float test_normal(test_rng *rng);

typedef enum row_kind {
    ROW_NORMAL, ROW_ZERO, ROW_CONSTANT, ROW_NEGATIVE, ROW_POSITIVE, ROW_OUTLIER, ROW_LARGE, ROW_TINY, ROW_COARSE, ROW_MIXED,
    ROW_KINDS
} row_kind;

/* Element i of such a row. */
float test_row_element(row_kind kind, int64_t i, test_rng *rng);

#endif
