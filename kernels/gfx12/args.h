/* What the host hands to a gfx12 kernel: one block of arguments each, shared by the device's code and the host's.
 *
 * Every pointer is a device address, 16-byte aligned. Rows of activations are floats, `stride` apart (a multiple of
 * 64), zero from their last column to the next multiple of 64; tokens * stride is below 2^32 for every such buffer,
 * since kernels count floats in 32 bits. Matrices lie as in the file (format/tile.h).
 * Positions and token ids are read from a step block in device memory, so that a captured launch serves every token.
 */
#ifndef ASHLAR_KERNELS_GFX12_ARGS_H
#define ASHLAR_KERNELS_GFX12_ARGS_H

#include <stdint.h>

#include "format/dtype.h"

#define ASH_GFX_DECODE_TOKENS 8   /* of one decoding workgroup at most */
#define ASH_GFX_ANY_TOKENS (1u << 20) /* of a launch of F32's kernel for any number of them */
#define ASH_GFX_DECODE_THREADS 256
#define ASH_GFX_PARTS 3           /* matrices that share an input: q, k and v */
#ifndef ASH_GFX_GROUP
#define ASH_GFX_GROUP 256         /* columns under one scale in the 8-bit inputs of prefill: 128 or 256 */
#endif

/* Workgroups of a launch. */
typedef struct ash_gfx_grid { uint32_t x, y, z; } ash_gfx_grid;

#define ASH_GFX_POSITIONS (1u << 24) /* of a context at most */

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
                       silu(gate) * up for row r of panel i of both. Part 0's y_first and y_panel_stride count; scales
                       and types are each part's own. One fused tensor, panels of gate and up in turn, is given as two
                       parts with twice its panel_bytes, the second one beginning a panel later: one stream in
                       memory. */
} ash_gfx_kind;

/* Decoding: 1 to ASH_GFX_DECODE_TOKENS rows of floats (F32: any number) times up to three matrices. The inputs go
 * through an RMS norm where `norm` is given (x / sqrt(mean(x^2) + eps) * norm), and are then rounded as the weights'
 * type wants them:
 *   Q types   int8 with a scale for 32 columns, as ash_quantize_q8_fn
 *   F8_E4M3   e4m3 with a scale for the token or a static one
 *   F16, BF16 to that type, nearest even
 *   F32       not at all
 * Each workgroup does that for itself, behind its first loads of weights. The parts' types are of one kernel's: Q4_K,
 * Q5_K and Q6_K; the block types; or one type. SWIGLU: input_scale is the same in both parts. norm has cols floats. y
 * has room for whole panels; rows of padding are written too. */
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

/* Two panels a workgroup, of one part, or one of gate and one of up. More tokens than one has room for: x over them, so
 * that those which share weights run side by side, y over the panels. */
static inline ash_gfx_grid ash_gfx_decode_grid(const ash_gfx_decode *a)
{
    uint32_t groups = a->kind == ASH_GFX_SWIGLU ? a->part[0].panels : 0;
    for (uint32_t p = 0; p < a->part_count && a->kind != ASH_GFX_SWIGLU; p++)
        groups += (a->part[p].panels + 1) / 2;
    if (a->tokens > ASH_GFX_DECODE_TOKENS)
        return (ash_gfx_grid){ (a->tokens + ASH_GFX_DECODE_TOKENS - 1) / ASH_GFX_DECODE_TOKENS, groups, 1 };
    return (ash_gfx_grid){ groups, 1, 1 };
}

/* Makes prefill's inputs: the norm where there is one, then the rounding; tokens as the rows of 16-row tiles. A panel is
 * 16 tokens, a group ASH_GFX_GROUP columns.
 *   INT8  tiles of 16 x 32 as format/tile.h's F8_E4M3, codes -127 .. 127; scale[panel][group][16 tokens]
 *   FP8   the same tiles of e4m3, and the same scales; where input_scale is not 0, it is the scale of all, and none are
 *         written
 *   F16, BF16  tiles of 16 x 16; no scales
 * With M the largest |x| of a group and T 127 or 448, its scale is M / T and x becomes the code nearest to x (T / M): to the
 * exact product in INT8, to the product as a float in FP8; M below 2^-100 gives zeros, one that is not finite the scale NaN.
 * Groups meet the norm's weights alone, and squares[panel][group][16 tokens] gets the sums of x^2, of which the product
 * makes the rest of the norm, 1 / sqrt(mean(x^2) + eps): so a group needs nothing of other columns. Forms without groups
 * take the whole norm, and no squares. norm: cols floats, zero from there to the next multiple of 64.
 * Columns are padded with zeros to multiples of ASH_GFX_GROUP, tokens to 16. One workgroup for each padded token. */
typedef enum ash_gfx_form { ASH_GFX_INT8, ASH_GFX_FP8, ASH_GFX_F16, ASH_GFX_BF16 } ash_gfx_form;
static inline ash_gfx_form ash_gfx_form_of(uint32_t dtype) /* what weights of a type multiply */
{
    return dtype == ASH_F8_E4M3 ? ASH_GFX_FP8 : dtype == ASH_F16 ? ASH_GFX_F16 : dtype == ASH_BF16 ? ASH_GFX_BF16
                                                                                                  : ASH_GFX_INT8;
}
/* Scales are those of groups. */
static inline bool ash_gfx_in_groups(ash_gfx_form form, float input_scale)
{
    return form == ASH_GFX_INT8 || (form == ASH_GFX_FP8 && input_scale == 0);
}
#define ASH_GFX_PADDED_COLS(cols) (((cols) + ASH_GFX_GROUP - 1) / ASH_GFX_GROUP * ASH_GFX_GROUP)
typedef struct ash_gfx_inputs {
    const float *x, *norm;
    void *out;
    float *scale;
    float *squares;       /* where there are groups and a norm; else NULL */
    uint32_t form;        /* ash_gfx_form */
    uint32_t cols, tokens, x_stride;
    float eps, input_scale;
} ash_gfx_inputs;
static inline ash_gfx_grid ash_gfx_inputs_grid(const ash_gfx_inputs *a)
{
    return (ash_gfx_grid){ (a->tokens + 15) / 16 * 16, 1, 1 };
}
/* Bytes of `out`, and floats of `scale` and of `squares`. */
static inline uint64_t ash_gfx_inputs_bytes(ash_gfx_form form, uint32_t cols, uint32_t tokens)
{
    return (uint64_t)16 * ((tokens + 15) / 16) * ASH_GFX_PADDED_COLS(cols) * (form <= ASH_GFX_FP8 ? 1 : 2);
}
static inline uint64_t ash_gfx_inputs_scales(uint32_t cols, uint32_t tokens)
{
    return (uint64_t)16 * ((tokens + 15) / 16) * (ASH_GFX_PADDED_COLS(cols) / ASH_GFX_GROUP);
}

#define ASH_GFX_PREFILL_THREADS 256
#define ASH_GFX_PREFILL_TOKENS 256  /* of a workgroup */

/* Prefill: `tokens` rows in the forms that ash_gfx_inputs makes, times the same parts. Parts of F8_E4M3 have the same
 * input_scale. x_squares: as ash_gfx_inputs left them, and x_eps, where x lacks the rest of a norm; else NULL.
 * next.out: y is made into inputs of another product by the workgroup that finishes a group of columns of
 * ASH_GFX_PREFILL_TOKENS tokens, the last one to do so; next.x, x_stride and tokens are y's, and next.cols of y's columns
 * count. For SWIGLU, or one part, its panels' outputs side by side from y on; a norm only where next has groups. `done`:
 * ash_gfx_prefill_done counters, zero between launches. next.out NULL: y alone. */
typedef struct ash_gfx_prefill {
    ash_gfx_part part[ASH_GFX_PARTS];
    uint32_t part_count;
    uint32_t kind;
    uint32_t cols, tokens;
    const void *x;        /* tiles of 16 tokens; see ash_gfx_inputs */
    const float *x_scale, *x_squares;
    float *y;
    uint32_t y_stride;
    float x_eps;
    ash_gfx_inputs next;
    uint32_t *done;
    uint32_t panels;      /* of a workgroup: the kernel's variant, as ash_gfx_prefill_panels has it */
    uint32_t reserved;
} ash_gfx_prefill;

static inline uint64_t ash_gfx_prefill_done(uint32_t cols, uint32_t tokens) /* cols: next's */
{
    return (uint64_t)((tokens + ASH_GFX_PREFILL_TOKENS - 1) / ASH_GFX_PREFILL_TOKENS) *
           (ASH_GFX_PADDED_COLS(cols) / ASH_GFX_GROUP);
}

static inline bool ash_gfx_is_q(uint32_t dtype) { return dtype >= ASH_Q4_0 && dtype <= ASH_Q6_K; }

/* Workgroups of a prefill launch: x over tokens, so that those which share weights run side by side; y over the panels of
 * all parts. */
static inline ash_gfx_grid ash_gfx_prefill_grid(const ash_gfx_prefill *a)
{
    bool swiglu = a->kind == ASH_GFX_SWIGLU;
    uint32_t panels = a->panels, blocks = swiglu ? (2 * a->part[0].panels + panels - 1) / panels : 0;
    for (uint32_t p = 0; p < a->part_count && !swiglu; p++)
        blocks += (a->part[p].panels + panels - 1) / panels;
    return (ash_gfx_grid){ (a->tokens + ASH_GFX_PREFILL_TOKENS - 1) / ASH_GFX_PREFILL_TOKENS, blocks, 1 };
}

/* How many panels a workgroup end soonest on ASH_GFX_PROCESSORS: 4 or 2 for Q types, 8, 7 or 4 for others (7: no SWIGLU,
 * whose panels come in pairs). Fewer panels ask the caches for the tokens more often, but the last round may be fuller: of
 * 3,584 rows 8 panels and 512 tokens make 56 workgroups, 7 make 64. A workgroup counts as its panels and a twentieth of the
 * widest one's: two halves are dearer than a wide one by 1 to 5%, as counted. */
#define ASH_GFX_PROCESSORS 32
static inline uint32_t ash_gfx_prefill_panels(ash_gfx_prefill a)
{
    static const uint32_t of_q[] = { 4, 2, 0 }, of_others[] = { 8, 7, 4, 0 };
    const uint32_t *list = ash_gfx_is_q(a.part[0].dtype) ? of_q : of_others;
    uint64_t least = UINT64_MAX;
    uint32_t best = *list;
    for (uint32_t i = 0; list[i]; i++) {
        a.panels = list[i];
        ash_gfx_grid g = ash_gfx_prefill_grid(&a);
        uint64_t rounds = ((uint64_t)g.x * g.y + ASH_GFX_PROCESSORS - 1) / ASH_GFX_PROCESSORS;
        uint64_t cost = rounds * (20 * list[i] + *list);
        if (cost < least && !(a.kind == ASH_GFX_SWIGLU && list[i] % 2)) {
            least = cost;
            best = list[i];
        }
    }
    return best;
}

/* KV cache of one layer, a KV head head_stride elements after the other. K: rows of head_dim elements, `stride` apart.
 * V: blocks of 8 rows, 8 * stride elements apart, [head_dim][8 rows]: element d of row r is at
 * r / 8 * 8 * stride + 8 * d + r % 8, so that a lane has positions side by side, as the second product of attention
 * wants them.
 * The row of position p is p % rows; rows is a multiple of ASH_GFX_CACHE_ROWS, and at least the smaller of pos + tokens
 * and window + tokens + ASH_GFX_CACHE_ROWS - 2 at every launch: as many positions at a time are read as ASH_GFX_CACHE_ROWS,
 * and none of the first ones, though out of the window, may share a row with one that another workgroup writes.
 * F16, or e4m3 of value / scale. stride: a multiple of 8, at least head_dim;
 * head_stride: a multiple of 16, at least rows * stride; kv_heads * head_stride below 2^32. What was never written may
 * hold anything. */
#define ASH_GFX_CACHE_ROWS 32
typedef struct ash_gfx_cache {
    void *k, *v;
    uint64_t head_stride;
    uint32_t stride, rows;
    uint32_t fp8;         /* 0: F16 */
    float k_scale, v_scale;
    uint32_t reserved;
} ash_gfx_cache;

/* Attention. qkv: rows of [q | k | v], q at 0; heads of head_dim floats, biases added already. Head norms where given,
 * then rotation of the first rope_dim elements of q and k (pairs 2 i, 2 i + 1; angles: [position][rope_dim / 2]{cos,
 * sin}), then k and v go into the cache, then softmax(scale q k) v over what a query sees (ash_attention of kernels.h).
 * head_dim: a multiple of 8 (prefill: one of 64, 80, 96, 128, 256), at most 256; rope_dim: even, at most head_dim;
 * k_first, v_first and strides: multiples of 4; scale > 0; positions below ASH_GFX_POSITIONS.
 * Decoding does it all in one launch, up to `splits` workgroups a KV head over the context; their parts meet in
 * `parts`, and the last one to finish joins them (`done`: one counter a KV head, zero between launches). How many of
 * them take part follows from step->pos. Prefill stores first (ash_gfx_kv_store), and q then lies in qkv, rotated.
 * next.out, prefill where ash_gfx_attend_leaves: the result becomes inputs of a product in next's form, and out is not
 * written; next.cols is heads * head_dim, there is no norm, next.x and x_stride are not read. Tokens that fill up the last
 * tile are left as they are.
 * step->pos is the position of the first of `tokens` tokens; step->tokens is not read. */
typedef struct ash_gfx_attend {
    float *qkv;
    const float *q_norm, *k_norm, *angles;
    const ash_gfx_step *step;
    float *out;           /* [tokens][heads * head_dim], out_stride apart */
    float *parts;
    uint32_t *done;
    ash_gfx_inputs next;  /* out NULL: none */
    ash_gfx_cache cache;
    uint32_t qkv_stride, k_first, v_first, out_stride;
    uint32_t heads, kv_heads, head_dim, rope_dim;
    uint32_t window, splits, tokens;
    float scale, eps;
    uint32_t reserved;
} ash_gfx_attend;

/* Whether prefill can leave its result in a form: where scales are those of groups, a group is whole heads of one KV
 * head. */
static inline bool ash_gfx_attend_leaves(const ash_gfx_attend *a, ash_gfx_form form, float input_scale)
{
    uint32_t hd = a->head_dim, columns = a->heads / a->kv_heads * hd;
    if (ash_gfx_in_groups(form, input_scale))
        return hd % 32 == 0 && ASH_GFX_GROUP % hd == 0 && columns % ASH_GFX_GROUP == 0;
    return hd % 32 == 0 && a->kv_heads * columns % ASH_GFX_GROUP == 0;
}

#define ASH_GFX_SPLITS_MAX 32
#define ASH_GFX_STORE_THREADS 256
#define ASH_GFX_ATTEND_PREFILL_WAVES 4

/* Workgroups for decoding that keep every SIMD busy, and no more than a context of so many positions has work for. */
static inline uint32_t ash_gfx_attend_splits(uint32_t kv_heads, uint32_t context)
{
    uint32_t splits = 256 / kv_heads, useful = (context + 31) / 32;
    splits = splits < useful ? splits : useful;
    return splits < 1 ? 1 : splits > ASH_GFX_SPLITS_MAX ? ASH_GFX_SPLITS_MAX : splits;
}
/* Floats of `parts`. */
static inline uint64_t ash_gfx_attend_parts(uint32_t heads, uint32_t head_dim, uint32_t splits)
{
    return (uint64_t)heads * ASH_GFX_DECODE_TOKENS * splits * (head_dim + 2);
}
static inline ash_gfx_grid ash_gfx_attend_grid(const ash_gfx_attend *a)
{
    return (ash_gfx_grid){ a->splits, a->kv_heads, 1 };
}
/* Lanes that share a head's row of K or q, 8 elements each. */
static inline uint32_t ash_gfx_head_lanes(uint32_t head_dim) { return head_dim <= 64 ? 8 : head_dim <= 128 ? 16 : 32; }
/* y 0: heads of q and k; y 1: blocks of 8 positions of V, which pos may cut at both ends. */
static inline ash_gfx_grid ash_gfx_kv_store_grid(const ash_gfx_attend *a)
{
    uint64_t qk = (uint64_t)a->tokens * (a->heads + a->kv_heads) * ash_gfx_head_lanes(a->head_dim);
    uint64_t v = (uint64_t)((a->tokens + 7) / 8 + 1) * a->kv_heads * a->head_dim, most = qk > v ? qk : v;
    return (ash_gfx_grid){ (uint32_t)((most + ASH_GFX_STORE_THREADS - 1) / ASH_GFX_STORE_THREADS), 2, 1 };
}
/* Queries of a wave in prefill: rows are (token, head of the group), heads first. */
static inline uint32_t ash_gfx_attend_prefill_rows(uint32_t head_dim) { return head_dim <= 96 ? 32 : 16; }
static inline ash_gfx_grid ash_gfx_attend_prefill_grid(const ash_gfx_attend *a)
{
    uint64_t rows = (uint64_t)a->tokens * (a->heads / a->kv_heads);
    uint32_t each = ASH_GFX_ATTEND_PREFILL_WAVES * ash_gfx_attend_prefill_rows(a->head_dim);
    return (ash_gfx_grid){ (uint32_t)((rows + each - 1) / each), a->kv_heads, 1 };
}

/* Rows of the embedding matrix, chosen by step->ids, to floats as ash_row_*_scalar gives them; x is zero from cols to
 * the next multiple of 64. An id out of 0 .. rows - 1 takes the nearest row that there is. Workgroup (t, b) makes
 * columns ASH_GFX_EMBED_COLS b .. of token t. */
#define ASH_GFX_EMBED_COLS 2048
typedef struct ash_gfx_embed {
    ash_gfx_part table;
    const ash_gfx_step *step;
    float *x;
    uint32_t cols, rows, tokens, x_stride;
} ash_gfx_embed;
static inline ash_gfx_grid ash_gfx_embed_grid(const ash_gfx_embed *a)
{
    return (ash_gfx_grid){ a->tokens, (a->cols + ASH_GFX_EMBED_COLS - 1) / ASH_GFX_EMBED_COLS, 1 };
}

/* Sampling from the logits of one row, `count` of them, at most 2^30, one workgroup each:
 *   ARG_MAX  the largest to values[0], its id to ids[0], and it becomes the next step where there is one: pos grows by
 *            tokens, tokens = 1, ids[0] = it. 0 where no logit is above -infinity.
 *   TOP_K    the k largest and their ids, descending; among equals the smaller id first, NaN after everything. k is at
 *            most ASH_GFX_TOP_K and count.
 *   SOFTMAX  values[i] = e^(logits[i] / temperature) / their sum for all `count`; values may be logits.
 *            temperature > 0; NaN counts as -infinity; where nothing is above that, every value is NaN.
 * ARG_MAX and TOP_K read logits up to the next multiple of 4, and look at no more than count. */
#define ASH_GFX_TOP_K 64
typedef struct ash_gfx_sample {
    const float *logits;
    float *values;
    int32_t *ids;
    ash_gfx_step *next;
    uint32_t count, k;
    float temperature;
    uint32_t reserved;
} ash_gfx_sample;

/* Of any kernel. */
typedef union ash_gfx_args {
    ash_gfx_decode decode;
    ash_gfx_prefill prefill;
    ash_gfx_inputs inputs;
    ash_gfx_attend attend;
    ash_gfx_embed embed;
    ash_gfx_sample sample;
} ash_gfx_args;

#endif
