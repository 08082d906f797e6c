#include "kernels/requant.h"

#include <math.h>
#include <string.h>

#include "kernels/scalar/chunk.h"

typedef struct rule {
    ash_chunk_codes_fn *read;
    float steps;    /* of the largest code above a minimum, or of the smallest below 0 */
    bool minimums;
} rule;

static const rule rules[ASH_USABLE_DTYPES] = {
    [ASH_Q4_0] = { ash_codes_q4_0, 8, false },  [ASH_Q4_1] = { ash_codes_q4_1, 15, true },
    [ASH_Q5_0] = { ash_codes_q5_0, 16, false }, [ASH_Q5_1] = { ash_codes_q5_1, 31, true },
    [ASH_Q8_0] = { ash_codes_q8_0, 1, false },  [ASH_Q4_K] = { ash_codes_q4_k, 15, true },
    [ASH_Q5_K] = { ash_codes_q5_k, 31, true },  [ASH_Q6_K] = { ash_codes_q6_k, 32, false },
};

/* The chunk of column k. One that the tile does not store has its header and the codes of the tile's first. */
static ash_codes read_chunk(const ash_matrix *w, int64_t panel, int row, int64_t k)
{
    const ash_tile_layout *l = ash_tile_layout_of(w->dtype);
    int64_t tile_bytes = l->header_bytes + l->tile_cols / l->chunk_cols * l->chunk_bytes;
    int64_t chunk = k % l->tile_cols / l->chunk_cols;
    ash_chunk_at at = { .w = w, .panel = panel, .k = k, .r = row, .c = (int)chunk };
    at.header = w->data + panel * w->panel_bytes + k / l->tile_cols * tile_bytes;
    at.chunk = at.header + l->header_bytes + (k < w->cols ? chunk : 0) * l->chunk_bytes;
    ash_codes codes;
    rules[w->dtype].read(&at, &codes);
    return codes;
}

/* max that leaves NaN out, as the card's does. */
static float larger(float a, float b) { return b > a || a != a ? b : a; }

/* a b to the nearest integer, from the exact product; the type's bounds keep it small where it is finite. */
static int rounded_product(float a, float b) { return (int)rint((double)a * (double)b); }

void ash_requantize(const ash_matrix *w, int64_t panel, int row, int64_t first, int count, int8_t *out, float *scale)
{
    const rule *how = &rules[w->dtype];
    int cols = ash_tile_layout_of(w->dtype)->chunk_cols;
    float most = 0, nan = 0;
    for (int k = 0; k < count; k += cols) {
        ash_codes codes = read_chunk(w, panel, row, first + k);
        for (int j = 0; j < cols / 16; j++) {
            float s = codes.scale[j], m = codes.min[j];
            nan += s * 0 + m * 0;
            most = larger(most, how->minimums ? larger(fabsf(m), fabsf(fmaf(how->steps, s, m))) : fabsf(s));
        }
    }
    bool q8_0 = w->dtype == ASH_Q8_0;
    most *= how->minimums ? 1 : how->steps;
    *scale = most * (q8_0 ? 1 : 1.0f / 127) + nan;
    memset(out, 0, (size_t)count);
    if (isnan(*scale))
        return;
    float inverse = 1 / larger(most, 0x1p-40f) * (q8_0 ? 256.0f : 32512.0f);
    for (int k = 0; k < count; k += cols) {
        ash_codes codes = read_chunk(w, panel, row, first + k);
        for (int i = 0; i < cols; i++) {
            float s = codes.scale[i / 16], m = codes.min[i / 16];
            int a = rounded_product(s, inverse);
            int b = q8_0 ? 127 : 128 + (how->minimums ? rounded_product(m, inverse) : 0);
            if (q8_0)
                a = a > 255 ? 255 : a < -255 ? -255 : a;
            out[k + i] = (int8_t)((a * codes.q[i] + b) >> 8);
        }
    }
}
