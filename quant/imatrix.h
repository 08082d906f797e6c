/* Importance of input columns: the mean square of what each column of a matrix is multiplied with, over some text, and
 * the directions in which the columns vary together (quant/balance.h says what they are for).
 * In memory by GGUF tensor name; on disk as llama.cpp's imatrix GGUF, both ways:
 *   general.type "imatrix", imatrix.datasets (strings), imatrix.chunk_count, imatrix.chunk_size (u32)
 *   <tensor>.in_sum2 F32 [cols, matrices]: sums of squares;  <tensor>.counts F32 [1, matrices]: rows that were summed
 * and of ours, which llama.cpp reads past:
 *   <tensor>.in_directions F16 [cols, r]: r rows B with B^T B near the sum of x^T x over all inputs x, column k divided
 *   by the root of in_sum2[k], so from -1 to 1. Of tensors with the same inputs, and so the same sums, one has it: at
 *   most 8 names away.
 *   <tensor>.in_sum F32 [cols, matrices]: sums: the mean as the one direction, where there is no in_directions.
 * 64 directions of Llama 3 8B take 109 MB, and 500 MB in memory when they are read (balance.h); 32 would take half and
 * leave 2.9% more error of the outputs, 16 6%.
 */
#ifndef ASHLAR_QUANT_IMATRIX_H
#define ASHLAR_QUANT_IMATRIX_H

#include <stdbool.h>
#include <stdint.h>

#include "format/status.h"
#include "quant/balance.h"
#include "quant/blas.h"

typedef struct ash_imatrix ash_imatrix;

#define ASH_IMATRIX_DIRECTIONS 64      /* that are measured */
#define ASH_IMATRIX_DIRECTIONS_MAX 256 /* that a file may have */

/* blas: for directions; NULL: the mean is measured in their place. */
ash_status ash_imatrix_new(const ash_blas *blas, ash_imatrix **out, ash_error *err);
void ash_imatrix_free(ash_imatrix *m); /* NULL is fine */

/* Adds `tokens` rows of `cols` floats, `stride` apart, to the tensor's sums; the order of calls decides the rounding.
 * first: of the tensors that take these inputs, this one is to have the directions. A tensor has one number of columns
 * (else ASH_E_ARGUMENT). */
ash_status ash_imatrix_add(ash_imatrix *m, const char *tensor, bool first, const float *x, int64_t tokens,
                           int64_t cols, int64_t stride, ash_error *err);

/* Ends the measuring. dataset: the text's name; chunks of chunk_size tokens. Tensors are sorted by name, as llama.cpp
 * writes them. Sums that are not finite are ASH_E_UNSUPPORTED with the tensor's name. */
ash_status ash_imatrix_write(ash_imatrix *m, const char *path, bool replace, const char *dataset,
                             uint32_t chunks, uint32_t chunk_size, ash_error *err);
/* Refuses what is no imatrix, sums without counts, and values that are negative or not finite. Tensors of several
 * matrices (experts) are left out. */
ash_status ash_imatrix_read(const char *path, ash_imatrix **out, ash_error *err);

uint32_t ash_imatrix_count(const ash_imatrix *m);

/* What is known of a matrix's inputs: arrays of `cols` floats that live as long as the ash_imatrix. */
typedef struct ash_importance {
    const float *weight; /* for the search of scales; NULL: nothing is known */
    const ash_balance *balance; /* NULL where no directions are known */
} ash_importance;

/* Weights for the search: mean squares to the power of 3/4. Nothing is known where the file does not have the tensor, or
 * not a row was summed. On text held out from the calibration (llama-30m, Q4_K) the divergence was 0.03639,
 * 0.03614 and 0.03634 with powers of 1/2, 3/4 and 1; with sqrt(mean square of the row + x^2) as another factor 0.0371. The
 * squared error of the outputs there: 2.366, 2.332 and 2.328 thousandths (none: 2.636).
 * Another number of columns is ASH_E_ARGUMENT: the importance is another model's. */
ash_status ash_imatrix_find(const ash_imatrix *m, const char *tensor, uint64_t cols, ash_importance *out,
                            ash_error *err);

#endif
