/* Float rows to the bytes of another type, row by row: what `ashlar convert --type` uses.
 * Scalar and deterministic: the same bytes on every machine. */
#ifndef ASHLAR_QUANT_ENCODE_H
#define ASHLAR_QUANT_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/status.h"

/* Types that ash_encode_row can write: F32, F16, BF16, Q8_0, Q4_0. */
bool ash_encodable(uint32_t dtype);

/* `cols` floats to ash_row_bytes(dtype, cols) bytes. F16 and BF16 refuse (ASH_E_UNSUPPORTED) a finite value that would
 * become infinite; Q types refuse NaN, infinity and a scale over half's range; bits of a last block beyond `cols`
 * are zero. *err does not name the tensor, the caller adds it.
 * Q8_0: d = max|x| / 127 in half, q = round half away(x * (1 / d), d before rounding to half).
 * Q4_0: d = (value of largest magnitude) / -8, q = min(15, (int)(x * (1 / d) + 8.5)).
 * Both as ggml's reference quantizers define them.
 */
ash_status ash_encode_row(ash_dtype dtype, const float *x, int64_t cols, void *out, ash_error *err);

#endif
