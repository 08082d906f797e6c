/* One block of a K type taken apart: 256 codes, and the grid that each sub-block's codes stand on. */
#ifndef ASHLAR_QUANT_KBLOCK_H
#define ASHLAR_QUANT_KBLOCK_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/dtype.h"

#define ASH_KBLOCK_ELEMS 256
#define ASH_KBLOCK_SUBS_MAX 16

/* An element's value is d * sc[j] * code - dmin * mn[j], each product rounded to float, j its sub-block. */
typedef struct ash_kblock {
    int sub_elems;          /* 32; Q6_K: 16 */
    int low, high;          /* codes, inclusive */
    int sc_low, sc_high, mn_high; /* likewise for scales and minimums */
    float d, dmin;          /* halves */
    int sc[ASH_KBLOCK_SUBS_MAX], mn[ASH_KBLOCK_SUBS_MAX];
    int8_t code[ASH_KBLOCK_ELEMS];
} ash_kblock;

static inline float ash_kblock_value(const ash_kblock *b, int sub, int code)
{
    return b->d * (float)b->sc[sub] * (float)code - b->dmin * (float)b->mn[sub];
}
/* 1 / scale; 0 where that is no number. */
static inline float ash_kblock_reciprocal(float scale) { return scale != 0 && isfinite(1 / scale) ? 1 / scale : 0; }

bool ash_kblock_has(ash_dtype dtype); /* Q4_K, Q5_K, Q6_K */
void ash_kblock_read(ash_dtype dtype, const void *bytes, ash_kblock *out);
/* The inverse: the same bytes again. */
void ash_kblock_write(ash_dtype dtype, const ash_kblock *b, void *bytes);

#endif
