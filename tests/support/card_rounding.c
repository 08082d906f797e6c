#include "tests/support/card_rounding.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "format/tile.h"
#include "kernels/gfx12/args.h"
#include "kernels/requant.h"

#define GROUP ASH_GFX_GROUP
#define MATRICES 512

typedef struct rounded_matrix {
    const uint8_t *of; /* the original's data */
    ash_matrix w;      /* F32 */
} rounded_matrix;

static struct {
    ash_kernels real;
    card_rounds what;
    pthread_mutex_t lock;
    rounded_matrix matrix[MATRICES];
    size_t matrices;
} card = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *get(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p)
        abort();
    return p;
}

/* ---- inputs ---- */

/* As kernels/gfx12/inputs.h, from here on. */
static void round_group(const float *x, int64_t count, bool fp8, float *out)
{
    float most = ash_max_abs_scalar(x, count), top = fp8 ? 448 : 127;
    if (!(most >= ASH_Q8_TINY && most <= ASH_Q8_HUGE)) {
        for (int64_t k = 0; k < count; k++)
            out[k] = most < ASH_Q8_TINY ? 0 : NAN;
        return;
    }
    float scale = most / top, inverse = top / most;
    if (fp8)
        for (int64_t k = 0; k < count; k++)
            out[k] = ash_e4m3_to_f32(ash_f32_to_e4m3(x[k] * inverse)) * scale;
    else
        for (int64_t k = 0; k < count; k++) /* the exact product's nearest integer: above 2^52 doubles are whole */
            out[k] = (float)((double)x[k] * (double)inverse + 0x1.8p52 - 0x1.8p52) * scale;
}

static void round_bf16(const float *x, int64_t count, float *out)
{
    uint16_t half[64]; /* strides are multiples */
    for (int64_t k = 0; k < count; k += 64) {
        card.real.to_bf16(x + k, 64, half);
        for (int i = 0; i < 64; i++) {
            uint32_t bits = (uint32_t)half[i] << 16;
            memcpy(&out[k + i], &bits, 4);
        }
    }
}

/* Rounded rows, in `copy`; the caller frees copy->f32. */
static void round_inputs(const ash_acts *x, ash_dtype dtype, ash_acts *copy)
{
    float *rounded = get((size_t)(x->tokens * x->stride) * sizeof(float));
    *copy = (ash_acts){ .tokens = x->tokens, .cols = x->cols, .stride = x->stride, .f32 = rounded };
    for (int64_t t = 0; t < x->tokens; t++) {
        const float *from = x->f32 + t * x->stride;
        float *to = rounded + t * x->stride;
        if (dtype == ASH_BF16) {
            round_bf16(from, x->stride, to);
            continue;
        }
        for (int64_t k = 0; k < x->stride; k += GROUP)
            round_group(from + k, x->stride - k < GROUP ? x->stride - k : GROUP, dtype == ASH_F8_E4M3, to + k);
    }
}

/* ---- weights ---- */

static void round_row(const ash_matrix *w, int64_t panel, int row, float *out)
{
    int8_t codes[GROUP];
    for (int64_t k = 0; k < w->cols; k += GROUP) {
        float scale;
        ash_requantize(w, panel, row, k, GROUP, codes, &scale);
        for (int64_t i = 0; i < GROUP && k + i < w->cols; i++)
            out[k + i] = (float)codes[i] * scale;
    }
}

static ash_matrix round_matrix(const ash_matrix *w)
{
    uint64_t panel_bytes, panels = (uint64_t)(w->rows + ASH_PANEL_ROWS - 1) / ASH_PANEL_ROWS;
    if (!ash_panel_bytes(ASH_F32, (uint64_t)w->cols, &panel_bytes))
        abort();
    uint8_t *data = get(panels * panel_bytes);
    float *values = get((size_t)(ASH_PANEL_ROWS * w->cols) * sizeof(float));
    for (uint64_t p = 0; p < panels; p++) {
        const uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
        for (int r = 0; r < ASH_PANEL_ROWS && (int64_t)p * ASH_PANEL_ROWS + r < w->rows; r++) {
            round_row(w, (int64_t)p, r, values + r * w->cols);
            rows[r] = (const uint8_t *)(values + r * w->cols);
        }
        ash_tile_pack(ASH_F32, (uint64_t)w->cols, rows, data + p * panel_bytes);
    }
    free(values);
    return (ash_matrix){ .dtype = ASH_F32, .data = data, .rows = w->rows, .cols = w->cols,
                         .panel_bytes = (int64_t)panel_bytes };
}

/* Made at its first use. */
static ash_matrix rounded(const ash_matrix *w)
{
    pthread_mutex_lock(&card.lock);
    size_t i = 0;
    while (i < card.matrices && card.matrix[i].of != w->data)
        i++;
    if (i == card.matrices) {
        if (i == MATRICES)
            abort();
        card.matrix[card.matrices++] = (rounded_matrix){ w->data, round_matrix(w) };
    }
    ash_matrix out = card.matrix[i].w;
    pthread_mutex_unlock(&card.lock);
    return out;
}

void card_rounding_free(void)
{
    for (size_t i = 0; i < card.matrices; i++)
        free((void *)(uintptr_t)card.matrix[i].w.data);
    card.matrices = 0;
}

/* ---- the table ---- */

static void multiply(const ash_matrix *w, int64_t panel_first, int64_t panel_count, const ash_acts *x, float *y,
                     int64_t y_token_stride, int64_t y_panel_stride, void *scratch)
{
    ash_acts in;
    ash_matrix m = *w;
    round_inputs(x, w->dtype, &in);
    if (card.what == CARD_ROUNDS_ALL && w->dtype >= ASH_Q4_0)
        m = rounded(w);
    card.real.matmul_f32[m.dtype](&m, panel_first, panel_count, &in, y, y_token_stride, y_panel_stride, scratch);
    free((void *)(uintptr_t)in.f32);
}

void card_rounding(ash_kernels *table, card_rounds what)
{
    card.real = *table;
    card.what = what;
    for (int d = ASH_Q4_0; d <= ASH_Q6_K; d++) {
        table->matmul_q8[d] = NULL; /* products take float activations, which are rounded here */
        if (what != CARD_ROUNDS_NOTHING)
            table->matmul_f32[d] = multiply;
    }
    table->matmul_bf16[ASH_BF16] = NULL;
    if (what != CARD_ROUNDS_NOTHING)
        table->matmul_f32[ASH_BF16] = multiply;
}

void card_rounding_fp8(ash_kernels *table)
{
    card.real = *table;
    table->matmul_bf16[ASH_F8_E4M3] = NULL;
    table->matmul_f32[ASH_F8_E4M3] = multiply;
}
