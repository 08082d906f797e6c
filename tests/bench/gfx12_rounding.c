/* What prefill on the card does to a Q type's model, measured on the CPU: the command with its matrix products
 * replaced, so that `perplexity` and `compare` show the effect. ROUNDING in the environment says by what:
 *   float    float activations, weights as they are: what the others are compared with
 *   inputs   activations as ash_gfx_inputs rounds them (INT8)
 *   all      and weights as ash_gfx_requantize does; the default
 * make gfx12-rounding builds it; CFLAGS=-DASH_GFX_GROUP=128 B=build/group128 measures narrower groups. Linked with
 * --wrap=ash_kernels_init. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gfx12/requant.h"

#define GROUP ASH_GFX_GROUP

void __real_ash_kernels_init(ash_kernels *out, ash_level level);
void __wrap_ash_kernels_init(ash_kernels *out, ash_level level);

static ash_row_fn *row_of[ASH_USABLE_DTYPES];
static bool round_weights, round_inputs;

typedef struct rounded {
    float *scale; /* [tokens][groups] */
    int8_t *q;    /* [tokens][groups * GROUP] */
} rounded;

/* As kernels/gfx12/inputs.hip. */
static void round_token(const float *x, int64_t cols, int64_t groups, int8_t *q, float *scale)
{
    memset(q, 0, (size_t)(groups * GROUP));
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = g * GROUP, end = first + GROUP < cols ? first + GROUP : cols;
        float most = ash_max_abs_scalar(x + first, end - first);
        scale[g] = most >= ASH_Q8_TINY && most <= ASH_Q8_HUGE ? most / 127 : 0;
        for (int64_t k = first; k < end && scale[g] > 0; k++)
            q[k] = (int8_t)rint((double)x[k] * (double)(127 / most));
    }
}

static int32_t dot(const int8_t *a, const int8_t *b)
{
    int32_t sum = 0;
    for (int k = 0; k < GROUP; k++)
        sum += a[k] * b[k];
    return sum;
}

/* One row: float weights, or codes with scales, in `codes` and `scale`. */
static float product(const float *w, const int8_t *codes, const float *scale, const int8_t *q, const float *x_scale,
                     int64_t groups)
{
    double sum = 0;
    for (int64_t g = 0; g < groups; g++) {
        if (round_weights) {
            sum += (double)dot(codes + g * GROUP, q + g * GROUP) * (double)scale[g] * (double)x_scale[g];
            continue;
        }
        float part = 0;
        for (int k = 0; k < GROUP; k++)
            part += w[g * GROUP + k] * (float)q[g * GROUP + k];
        sum += (double)part * (double)x_scale[g];
    }
    return (float)sum;
}

static void multiply(const ash_matrix *w, int64_t panel_first, int64_t panel_count, const ash_acts *x, float *y,
                     int64_t y_token_stride, int64_t y_panel_stride, void *scratch)
{
    (void)scratch;
    int64_t groups = (w->cols + GROUP - 1) / GROUP, padded = groups * GROUP;
    int8_t *q = malloc((size_t)(x->tokens * padded)), *codes = malloc((size_t)padded);
    float *x_scale = malloc((size_t)(x->tokens * groups) * sizeof(float)), *scale = malloc((size_t)groups * sizeof(float));
    float *row = calloc((size_t)padded, sizeof(float));
    if (!q || !codes || !x_scale || !scale || !row)
        abort();
    for (int64_t t = 0; t < x->tokens; t++)
        round_token(x->f32 + t * x->stride, w->cols, groups, q + t * padded, x_scale + t * groups);
    for (int64_t i = 0; i < panel_count; i++)
        for (int r = 0; r < ASH_PANEL_ROWS; r++) {
            int64_t at = (panel_first + i) * ASH_PANEL_ROWS + r;
            if (round_weights)
                for (int64_t g = 0; g < groups; g++)
                    ash_gfx_requantize(w, panel_first + i, r, g, codes + g * GROUP, &scale[g]);
            else
                row_of[w->dtype](w, at, row);
            for (int64_t k = w->cols; k < padded; k++)
                codes[k] = 0;
            for (int64_t t = 0; t < x->tokens; t++)
                y[t * y_token_stride + i * y_panel_stride + r] =
                    product(row, codes, scale, q + t * padded, x_scale + t * groups, groups);
        }
    free(q);
    free(codes);
    free(x_scale);
    free(scale);
    free(row);
}

void __wrap_ash_kernels_init(ash_kernels *out, ash_level level)
{
    const char *what = getenv("ROUNDING");
    round_inputs = !what || strcmp(what, "float") != 0;
    round_weights = round_inputs && (!what || strcmp(what, "inputs") != 0);
    __real_ash_kernels_init(out, level);
    memcpy(row_of, out->row, sizeof row_of);
    for (int d = ASH_Q4_0; d <= ASH_Q6_K; d++) {
        out->matmul_q8[d] = NULL; /* products take float activations, which are rounded here */
        if (round_inputs)
            out->matmul_f32[d] = multiply;
    }
}
