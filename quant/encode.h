/* Float rows to the bytes of another type, row by row: what `ashlar convert --type` uses.
 * Deterministic: the same bytes on every machine, at every level of the kernels. */
#ifndef ASHLAR_QUANT_ENCODE_H
#define ASHLAR_QUANT_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/dtype.h"
#include "format/status.h"
#include "kernels/kernels.h"

/* Types that ash_encode_row can write, and their names in a sentence. */
bool ash_encodable(uint32_t dtype);
#define ASH_ENCODABLE_NAMES "f32, f16, bf16, f8_e4m3, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1 or q4_0"

/* `cols` floats to ash_row_bytes(dtype, cols) bytes. F16 and BF16 refuse (ASH_E_UNSUPPORTED) a finite value that would
 * become infinite; Q types refuse NaN, infinity and a scale over half's range; bits of a last block beyond `cols`
 * are zero. *err does not name the tensor, the caller adds it.
 * F8_E4M3 has a scale beside it: here it is 1, as in ash_decode_row; NaN and infinity are refused.
 * Q8_0: d = max|x| / 127 in half, q = round half away(x * (1 / d), d before rounding to half).
 * Q4_0: d = (value of largest magnitude) / -8, q = min(15, (int)(x * (1 / d) + 8.5)); Q5_0 with 16, 31 and 16.5.
 * Q4_1: m = min x, d = (max x - m) / 15, q = min(15, (int)((x - m) * (1 / d) + 0.5)); Q5_1 with 31.
 * These as ggml's reference quantizers define them.
 * Q4_K, Q5_K, Q6_K: ash_encode_fn of kernels.h, weighted by `weight` (cols floats, finite and not negative) where it is
 * not NULL; other types take no notice of it.
 */
ash_status ash_encode_row(const ash_kernels *kernels, ash_dtype dtype, const float *x, const float *weight, int64_t cols,
                          void *out, ash_error *err);

/* cols codes e4m3(x / scale), saturating; refuses NaN and infinity. scale: positive, its reciprocal finite (fp8.h). */
ash_status ash_encode_fp8_row(const ash_kernels *kernels, const float *x, int64_t cols, float scale, void *out,
                              ash_error *err);

#endif
