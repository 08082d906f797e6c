/* What the host hands to a gfx12 kernel: one block of arguments each, shared by the device's code and the host's.
 *
 * Every pointer is a device address, 16-byte aligned. Rows of activations are floats, `stride` apart (a multiple of 64),
 * zero from their last column to the next multiple of 64. Matrices lie as in the file (format/tile.h).
 * Positions and token ids are read from a step block in device memory, so that a captured launch serves every token.
 */
#ifndef ASHLAR_KERNELS_GFX12_ARGS_H
#define ASHLAR_KERNELS_GFX12_ARGS_H

#include <stdint.h>

#include "format/dtype.h"

#define ASH_GFX_DECODE_TOKENS 8   /* of one decoding launch at most */
#define ASH_GFX_PARTS 3           /* matrices that share an input: q, k and v */
#ifndef ASH_GFX_GROUP
#define ASH_GFX_GROUP 128         /* columns under one scale in the 8-bit inputs of prefill: 128 or 256 */
#endif

/* What is done next: written by the host, or by the sampler for the token after. */
typedef struct ash_gfx_step {
    uint32_t pos;    /* position of the first token */
    uint32_t tokens;
    int32_t ids[];   /* `tokens` of them */
} ash_gfx_step;

/* A matrix of a launch and where its outputs go. */
typedef struct ash_gfx_part {
    const uint8_t *data;  /* panels, panel_bytes apart */
    const float *scale;   /* F8_E4M3: as ash_matrix has it; others: NULL */
    const float *bias;    /* 16 * panels floats, or NULL */
    uint32_t dtype;       /* ash_dtype */
    uint32_t scale_kind;  /* ash_scale_kind */
    uint32_t panels, panel_bytes;
    uint32_t y_first, y_panel_stride; /* floats: panel i's outputs begin at y_first + i * y_panel_stride */
    float input_scale;    /* F8_E4M3: inputs are e4m3(x / input_scale); 0: a scale for each token, max|x| / 448 */
    uint32_t reserved;
} ash_gfx_part;

typedef enum ash_gfx_kind {
    ASH_GFX_STORE,  /* y = W x + bias */
    ASH_GFX_ADD,    /* y += W x + bias */
    ASH_GFX_SWIGLU, /* two parts of equal panels, gate (part 0) and up (part 1), without biases: y[y_first + 16 i + r] =
                       silu(gate) * up for row r of panel i of both. Part 0's y_first and y_panel_stride count; scales and
                       types are each part's own. One fused tensor, panels of gate and up in turn, is given as two parts
                       with twice its panel_bytes, the second one beginning a panel later: one stream in memory. */
} ash_gfx_kind;

/* Decoding: 1 to ASH_GFX_DECODE_TOKENS rows of floats times up to three matrices. The inputs go through an RMS norm
 * where `norm` is given (x / sqrt(mean(x^2) + eps) * norm), and are then rounded as the weights' type wants them:
 *   Q types   int8 with a scale for 32 columns, as ash_quantize_q8_fn
 *   F8_E4M3   e4m3 with a scale for the token or a static one
 *   F16, BF16 to that type, nearest even
 * Each workgroup does that for itself, behind its first loads of weights. */
typedef struct ash_gfx_decode {
    ash_gfx_part part[ASH_GFX_PARTS];
    uint32_t part_count;
    uint32_t kind;        /* ash_gfx_kind */
    uint32_t cols, tokens;
    const float *x, *norm;
    float *y;
    uint32_t x_stride, y_stride;
    float eps;
    uint32_t reserved;
} ash_gfx_decode;

#define ASH_GFX_PREFILL_THREADS 256
#define ASH_GFX_PREFILL_TOKENS 256  /* of a workgroup */
#define ASH_GFX_PREFILL_Q_PANELS 4  /* of a workgroup: Q types */
#define ASH_GFX_PREFILL_F_PANELS 8  /* F8_E4M3, F16, BF16 */

/* Prefill: `tokens` rows in the forms that ash_gfx_inputs makes, times the same parts. */
typedef struct ash_gfx_prefill {
    ash_gfx_part part[ASH_GFX_PARTS];
    uint32_t part_count;
    uint32_t kind;
    uint32_t cols, tokens;
    const void *x;        /* tiles of 16 tokens; see ash_gfx_inputs */
    const float *x_scale;
    float *y;
    uint32_t y_stride;
    uint32_t reserved;
} ash_gfx_prefill;

/* Workgroups of a prefill launch: x over tokens, so that those which share weights run side by side; y over the panels of
 * all parts. The parts' types decide how many panels a workgroup has. */
static inline uint32_t ash_gfx_prefill_grid_x(const ash_gfx_prefill *a)
{
    return (a->tokens + ASH_GFX_PREFILL_TOKENS - 1) / ASH_GFX_PREFILL_TOKENS;
}
static inline uint32_t ash_gfx_prefill_grid_y(const ash_gfx_prefill *a)
{
    bool q = a->part[0].dtype >= ASH_Q4_0 && a->part[0].dtype <= ASH_Q6_K;
    uint32_t panels = q ? ASH_GFX_PREFILL_Q_PANELS : ASH_GFX_PREFILL_F_PANELS, blocks = 0;
    if (a->kind == ASH_GFX_SWIGLU)
        return (2 * a->part[0].panels + panels - 1) / panels;
    for (uint32_t p = 0; p < a->part_count; p++)
        blocks += (a->part[p].panels + panels - 1) / panels;
    return blocks;
}

/* Makes prefill's inputs: the norm where there is one, then the rounding; tokens as the rows of 16-row tiles.
 *   INT8  tiles of 16 x 32 as format/tile.h's F8_E4M3, codes -127 .. 127; scale[panel][cols / ASH_GFX_GROUP,
 *         up][16 tokens]
 *   FP8   the same tiles of e4m3; scale[panel][16 tokens]; all of them input_scale where that is not 0
 *   F16, BF16  tiles of 16 x 16; no scales
 * Columns are padded with zeros to multiples of ASH_GFX_GROUP, tokens to 16. One workgroup for each padded token. */
typedef enum ash_gfx_form { ASH_GFX_INT8, ASH_GFX_FP8, ASH_GFX_F16, ASH_GFX_BF16 } ash_gfx_form;
#define ASH_GFX_PADDED_COLS(cols) (((cols) + ASH_GFX_GROUP - 1) / ASH_GFX_GROUP * ASH_GFX_GROUP)
typedef struct ash_gfx_inputs {
    const float *x, *norm;
    void *out;
    float *scale;
    uint32_t form;        /* ash_gfx_form */
    uint32_t cols, tokens, x_stride;
    float eps, input_scale;
} ash_gfx_inputs;
/* Bytes of `out`, and floats of `scale`. */
static inline uint64_t ash_gfx_inputs_bytes(ash_gfx_form form, uint32_t cols, uint32_t tokens)
{
    return (uint64_t)16 * ((tokens + 15) / 16) * ASH_GFX_PADDED_COLS(cols) * (form <= ASH_GFX_FP8 ? 1 : 2);
}
static inline uint64_t ash_gfx_inputs_scales(ash_gfx_form form, uint32_t cols, uint32_t tokens)
{
    uint64_t groups = form == ASH_GFX_INT8 ? ASH_GFX_PADDED_COLS(cols) / ASH_GFX_GROUP : form == ASH_GFX_FP8;
    return 16 * ((tokens + 15) / 16) * groups;
}

/* KV cache of one layer: [kv_head][position][head_dim], rows `stride` elements apart, heads head_stride; the row of
 * position p is p % rows. F16, or e4m3 of value / scale. */
typedef struct ash_gfx_cache {
    void *k, *v;
    uint64_t head_stride;
    uint32_t stride, rows;
    uint32_t fp8;         /* 0: F16 */
    float k_scale, v_scale;
    uint32_t reserved;
} ash_gfx_cache;

/* Attention. qkv: rows of [q | k | v], q at 0; heads of head_dim floats, biases added already. Head norms where given, then
 * rotation of the first rope_dim elements of q and k (pairs 2 i, 2 i + 1; angles: [position][rope_dim / 2]{cos, sin}), then k
 * and v go into the cache, then softmax(scale q k) v over what a query sees (ash_attention of kernels.h).
 * Decoding does it all in one launch, `splits` workgroups a KV head over the context; their parts meet in `parts`, and
 * the last one to finish joins them (`done`: one counter a KV head, zero between launches). Prefill stores first
 * (ash_gfx_kv_store), and q then lies in qkv, rotated. */
typedef struct ash_gfx_attend {
    float *qkv;
    const float *q_norm, *k_norm, *angles;
    const ash_gfx_step *step;
    float *out;           /* [tokens][heads * head_dim], out_stride apart */
    float *parts;
    uint32_t *done;
    ash_gfx_cache cache;
    uint32_t qkv_stride, k_first, v_first, out_stride;
    uint32_t heads, kv_heads, head_dim, rope_dim;
    uint32_t window, splits, tokens;
    float scale, eps;
    uint32_t reserved;
} ash_gfx_attend;

/* Rows of the embedding matrix, chosen by step->ids, to floats. */
typedef struct ash_gfx_embed {
    ash_gfx_part table;
    const ash_gfx_step *step;
    float *x;
    uint32_t cols, rows, tokens, x_stride;
} ash_gfx_embed;

/* Sampling from the logits of one row: probabilities, the k largest with their ids, or the largest alone, which then
 * becomes the next step: pos grows by tokens, tokens = 1, ids[0] = it. */
typedef struct ash_gfx_sample {
    const float *logits;
    float *values;        /* k of them, descending; among equals the smaller id first */
    int32_t *ids;
    ash_gfx_step *next;   /* or NULL */
    uint32_t count, k;
    float temperature;
    uint32_t reserved;
} ash_gfx_sample;

#endif
