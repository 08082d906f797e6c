/* What the matmul_*.h of every instruction set share: a call's arguments, and small things. */
#ifndef ASHLAR_KERNELS_MATMUL_CALL_H
#define ASHLAR_KERNELS_MATMUL_CALL_H

#include "kernels/kernels.h"

#define NOINLINE static __attribute__((noinline))

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t round_up(int64_t a, int64_t unit) { return (a + unit - 1) / unit * unit; }

/* For `bytes` of a panel that is read once, as they are read: as many that come soon, into the first level alone, and
 * as many that come later. Zen 5 then reads 83 to 90% of what a plain loop does; with the first from 1 KiB ahead into
 * every level 77 to 85%. Zen 4 read 83 to 95% with two distances, 75 to 82% with one. A prefetch beyond the end does no
 * harm. */
static inline __attribute__((always_inline)) void prefetch(const uint8_t *p, int bytes)
{
    for (int i = 0; i < bytes; i += 64) {
        __builtin_prefetch(p + 4096 + i, 0, 0);
        __builtin_prefetch(p + 12288 + i, 0, 2);
    }
}
/* Bytes [from, end) of the tile that comes next, into the second level: a part with each block of tokens. All of it at
 * once would take the places for lines under way from what is multiplied: 5% of a prompt on an Intel Xeon. */
static inline __attribute__((always_inline)) void prefetch_next(const uint8_t *next, int64_t from, int64_t end)
{
    for (int64_t at = round_up(from, 64); at < end; at += 64)
        __builtin_prefetch(next + at, 0, 2);
}

/* The arguments of ash_matmul_fn. */
typedef struct call {
    const ash_matrix *w;
    int64_t panel_first, panel_count;
    const ash_acts *x;
    float *y;
    int64_t y_token_stride, y_panel_stride;
    void *scratch;
} call;

/* y of a token, of a panel counted from panel_first */
static inline float *call_y(const call *c, int64_t t, int64_t i)
{
    return c->y + t * c->y_token_stride + i * c->y_panel_stride;
}

/* Of the 8-bit form: what a row gives is added to y where the row has lower bytes. Rows come in their order. */
static inline int is_lower(const call *c, int64_t row) { return row >= c->x->tokens; }
static inline int64_t token_of(const call *c, int64_t row) { return is_lower(c, row) ? row - c->x->tokens : row; }

/* Of `left` things in shares of at most `most`, the next share, so that all are about even. */
static inline int64_t even_share(int64_t left, int64_t most)
{
    int64_t shares = (left + most - 1) / most;
    return (left + shares - 1) / shares;
}

/* Numbers of tokens that a form is compiled for. */
#define EACH_TO_4(M) M(1) M(2) M(3) M(4)
#define EACH_TO_8(M) EACH_TO_4(M) M(5) M(6) M(7) M(8)

/* A kernel of a type: FORM is matmul_q8 or matmul_f32. Its prototype is in kernels.h, by way of the registry. */
#define MATMUL_KERNEL(FORM, type, name, level)                                                                  \
    void ash_##FORM##_##name##_##level(const ash_matrix *w, int64_t panel_first, int64_t panel_count,           \
                                       const ash_acts *x, float *y, int64_t y_token_stride,                     \
                                       int64_t y_panel_stride, void *scratch)                                   \
    {                                                                                                           \
        FORM(type, &(call){ w, panel_first, panel_count, x, y, y_token_stride, y_panel_stride, scratch });      \
    }

/* A level's kernels of every type, from its matmul_f32 and matmul_q8. */
#define MATMUL_QUANTIZED(FORM, level)              \
    MATMUL_KERNEL(FORM, ASH_Q4_0, q4_0, level)     \
    MATMUL_KERNEL(FORM, ASH_Q4_1, q4_1, level)     \
    MATMUL_KERNEL(FORM, ASH_Q5_0, q5_0, level)     \
    MATMUL_KERNEL(FORM, ASH_Q5_1, q5_1, level)     \
    MATMUL_KERNEL(FORM, ASH_Q8_0, q8_0, level)     \
    MATMUL_KERNEL(FORM, ASH_Q4_K, q4_k, level)     \
    MATMUL_KERNEL(FORM, ASH_Q5_K, q5_k, level)     \
    MATMUL_KERNEL(FORM, ASH_Q6_K, q6_k, level)
#define MATMUL_F32_ALL(level)                                 \
    MATMUL_KERNEL(matmul_f32, ASH_F32, f32, level)            \
    MATMUL_KERNEL(matmul_f32, ASH_F16, f16, level)            \
    MATMUL_KERNEL(matmul_f32, ASH_BF16, bf16, level)          \
    MATMUL_KERNEL(matmul_f32, ASH_F8_E4M3, f8_e4m3, level)    \
    MATMUL_QUANTIZED(matmul_f32, level)
#define MATMUL_Q8_ALL(level) MATMUL_QUANTIZED(matmul_q8, level)

#endif
