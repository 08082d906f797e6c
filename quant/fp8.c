#include "quant/fp8.h"

#include "format/halffloat.h"

/* Below this a scale would be denormal, or its reciprocal infinite: everything it could hold is 2^-111 at most. */
#define SCALE_MIN 0x1p-120f

/* Candidates are max / 448 * i / steps: first the coarse steps of the range [first, last), then finer ones around the
 * best of them. Quotients of small integers, which no library computes otherwise. */
typedef struct grid {
    int first, last, coarse, fine;
} grid;
static const grid tensor_grid = { 16, 64, 32, 256 }; /* 0.5 to 2 */
static const grid row_grid = { 6, 14, 8, 32 };       /* 0.75 to 1.75: a row that wants more was not seen */

void ash_fp8_count(ash_fp8_counts *counts, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        counts->of[((ash_f32_bits(x[i]) & 0x7fffffff) + 0x8000) >> 16]++;
}

void ash_fp8_counts_add(ash_fp8_counts *to, const ash_fp8_counts *from)
{
    for (size_t i = 0; i < sizeof to->of / sizeof *to->of; i++)
        to->of[i] += from->of[i];
}

/* ---- the search, whatever gives the error ---- */

typedef double error_fn(const void *data, float scale);

static float candidate(float max, int step, int steps)
{
    float scale = (float)((double)max / (double)ASH_E4M3_MAX * step / steps);
    return scale < SCALE_MIN ? SCALE_MIN : scale;
}

static float search(float max, const grid *g, error_fn *error, const void *data)
{
    if (!(max > 0))
        return 1;
    /* The plain scale stays where nothing is better. */
    int ratio = g->fine / g->coarse, best = g->fine;
    double least = error(data, candidate(max, g->fine, g->fine));
    for (int i = g->first; i < g->last; i++) {
        double e = error(data, candidate(max, i, g->coarse));
        if (e < least)
            least = e, best = i * ratio;
    }
    int middle = best;
    for (int i = middle - ratio + 1; i < middle + ratio; i++) {
        double e = i == middle ? least : error(data, candidate(max, i, g->fine));
        if (e < least)
            least = e, best = i;
    }
    return candidate(max, best, g->fine);
}

/* ---- a tensor ---- */

static double counts_error(const void *data, float scale)
{
    const ash_fp8_counts *counts = data;
    float inverse = 1.0f / scale;
    double sum = 0;
    for (uint32_t i = 1; i < 1 << 15; i++) {
        if (counts->of[i] == 0)
            continue;
        float value = ash_bf16_to_f32((uint16_t)i);
        double code = (double)ash_e4m3_to_f32(ash_f32_to_e4m3(value * inverse));
        double lost = (double)value - code * (double)scale;
        sum += (double)counts->of[i] * lost * lost;
    }
    return sum;
}

float ash_fp8_scale(const ash_fp8_counts *counts, float max) { return search(max, &tensor_grid, counts_error, counts); }

/* ---- a row ---- */

typedef struct row {
    const ash_kernels *kernels;
    const float *x;
    int64_t n;
} row;

static double row_error(const void *data, float scale)
{
    const row *r = data;
    return r->kernels->error_e4m3(r->x, r->n, scale);
}

float ash_fp8_row_scale(const ash_kernels *kernels, const float *x, int64_t n)
{
    row r = { kernels, x, n };
    return search(kernels->max_abs(x, n), &row_grid, row_error, &r);
}
