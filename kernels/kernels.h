/* The operations of a forward pass, and the registry of their implementations.
 *
 * Every operation has a scalar form (kernels/scalar/), which is its specification, and faster forms beside it
 * (kernels/x86/, kernels/arm/), each in a file compiled with its own flags. kernels/registry.def lists all of them, a
 * line each: dispatch, tests and benchmarks read that list. ash_kernels_init fills the table level by level, so the
 * last line whose level the machine has wins.
 *
 * Conventions. Floats are IEEE single. Rows of activations are padded with zeros to ASH_COLS_PAD columns. Pointers
 * that a comment calls aligned are aligned to 64 bytes. Operations write nothing but what their comment names, keep no
 * state, allocate nothing, cannot fail, and give the same result whatever part of the panels or heads a call covers:
 * so threads may split the work anywhere. Between levels results differ by rounding; each op says how much it may.
 */
#ifndef ASHLAR_KERNELS_KERNELS_H
#define ASHLAR_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/container.h"
#include "format/dtype.h"
#include "format/tile.h"

#define ASH_COLS_PAD 64
static inline int64_t ash_pad_cols(int64_t cols) { return (cols + ASH_COLS_PAD - 1) / ASH_COLS_PAD * ASH_COLS_PAD; }

/* A tiled matrix [rows, cols] in memory, usually in a mapping. */
typedef struct ash_matrix {
    ash_dtype dtype;
    const uint8_t *data;  /* panels, panel_bytes apart; at least 16-byte aligned */
    int64_t rows, cols;
    int64_t panel_bytes;
    /* F8_E4M3 alone: the weight is e4m3 * scale.
     * TENSOR: scale[0]. ROW: scale[row], padded to whole panels.
     * BLOCK128: scale[((panel * ceil(cols / 128)) + k / 128) * 16 + row in panel]: expanded by the loader. */
    ash_scale_kind scale_kind; /* NONE for other types */
    const float *scale;
} ash_matrix;

/* Inputs of a matrix product: `tokens` rows. f32 is there where the op is MATMUL_F32, the q8 form where it is MATMUL_Q8,
 * bf16 where it is MATMUL_BF16. */
typedef struct ash_acts {
    int64_t tokens;
    int64_t cols;          /* = matrix cols */
    int64_t stride;        /* floats from a token to the next, >= ash_pad_cols(cols), a multiple of 64 */
    const float *f32;      /* aligned; columns from cols to ash_pad_cols(cols) are zero */
    /* The 8-bit form, one scale per 32 columns: x[k] ~ q8[k] * q8_scale[k / 32], |q8| <= 127.
     * Strides: q8 `stride`; q8_scale stride / 32; q8_sum stride / 16. */
    const int8_t *q8;      /* aligned */
    const float *q8_scale;
    const int16_t *q8_sum; /* sum of q8 over each 16 columns */
    bool q8_wide;          /* the scales of each ASH_Q8_WIDE columns are the same */
    /* x in 16 bits, as QUANTIZE_FINE makes them, and so q8_wide: row `tokens` + t of the 8-bit form has the lower bytes of
     * row t. A product is the sum of both rows'. */
    bool q8_fine;
    const uint16_t *bf16;  /* aligned, stride `stride`; f32 as TO_BF16 rounds it, where the op is MATMUL_BF16 */
} ash_acts;

/* Each thread brings this much aligned scratch to MATMUL and ATTENTION. */
#define ASH_SCRATCH_BYTES (512 * 1024)

/* y[t * y_token_stride + i * y_panel_stride + r] = sum_k W[16 (panel_first + i) + r][k] * x[t][k]
 * for t < x->tokens, i < panel_count, r < 16. Rows of padding give 0.
 * MATMUL_F32: float activations: the specification. Scalar sums in double, so it is as good as exact; other forms sum
 *   in float, in any order, and may take a weight apart into scale * code + minimum with an unsigned code. Each of the
 *   cols products and additions rounds once, so they differ from scalar by at most
 *   (cols + 8) * 2^-24 * sum_k |W|' |x|, where |W|' is the sum of the magnitudes of W's terms: |d sc| q + |dmin mn|, or
 *   |d| (q + 8) for Q4_0 and likewise; plus cols * 2^-126 where products underflow.
 * MATMUL_BF16: x from the bf16 form, each within 2^-8 |x|. As MATMUL_F32, but weights, products and sums below 2^-126
 *   may count as zeros, before F8_E4M3's scale: so within
 *   (cols + 8) * 2^-24 * sum_k |W| |x| + 2^-126 * (cols * max(1, largest scale) + sum_k |x|) of scalar.
 * MATMUL_Q8: x from the q8 form; the integer sum of each 32 (Q6_K: 16; q8_wide: 256) columns, offset included, is exact;
 *   the float operations on it (4 a group and its share of the folding) round: (cols / 4 + 8) * 2^-24 * sum_k |W|' |x|,
 *   where of q8_fine |x| is the sum of both rows' magnitudes.
 *   Where ash_q8_rounds, W is what kernels/requant.h makes of the weights, in groups of 256 columns. */
typedef void ash_matmul_fn(const ash_matrix *w, int64_t panel_first, int64_t panel_count, const ash_acts *x, float *y,
                           int64_t y_token_stride, int64_t y_panel_stride, void *scratch);

/* out[k] = W[row][k], k < cols: exact (fp8: e4m3 * scale rounded once). Also what decodes an embedding. */
typedef void ash_row_fn(const ash_matrix *w, int64_t row, float *out);

/* x[0 .. cols) with cols a multiple of 64, to the 8-bit form of ash_acts: per `group` columns, 32 or ASH_Q8_WIDE (the last
 * group may be short), scale = max|x| / 127 and q8 = x * (127 / max|x|) rounded to nearest even, the quotient rounded to
 * float. Bit-identical at every level. Below ASH_Q8_TINY, where 127 / max would overflow: scale 0 and q8 0. NaN or
 * infinity in a group: scale NaN and q8 0, so that the product is NaN. */
#define ASH_Q8_WIDE 256 /* a tile's columns */
#define ASH_Q8_TINY 0x1p-100f
#define ASH_Q8_HUGE 0x1.fffffep127f
typedef void ash_quantize_q8_fn(const float *x, int64_t cols, int group, int8_t *q8, float *scale, int16_t *sum);

/* x[0 .. cols) with cols a multiple of 64, to two rows of the 8-bit form, whose sum is x to 16 bits. The upper one is
 * QUANTIZE_Q8's with groups of ASH_Q8_WIDE columns. The lower one lies `to_lower` columns behind it (a multiple of 64; so
 * its scales to_lower / 32 and its sums to_lower / 16 elements behind). Its scale is the upper one's / 256, exactly, and
 * q8 = 256 * x * (127 / max|x|) - 256 * the upper code, rounded to nearest even, and from -127 to 127, which makes one
 * step of 65,025 of it where it would be 128. Bit-identical at every level. Below ASH_Q8_TINY, and with NaN or infinity, as
 * there. */
typedef void ash_quantize_fine_fn(const float *x, int64_t cols, int8_t *q8, float *scale, int16_t *sum,
                                  int64_t to_lower);

/* A row of `cols` finite floats to the blocks of a K type, ash_row_bytes(dtype, cols) bytes at out, chosen so that
 * sum weight[k] * (x[k] - decoded[k])^2 is small (kernels/encode_k.h says how); weight NULL: all 1. Weights are finite and
 * not negative. Bits of a last block beyond cols are zero. |x| at most ASH_ENCODE_K_MAX, so that scales stay in half's
 * range (a minimum is at most 63 dmin). Bit-identical at every level. */
#define ASH_ENCODE_K_MAX (63 * 65504.0f)
typedef void ash_encode_fn(const float *x, const float *weight, int64_t cols, uint8_t *out);
/* Q8_0, an ash_encode_fn too: ggml's reference quantizer. `weight` is not looked at, and only a scale in half's range
 * is the caller's to check. */

/* Codes of 16 rows on grids that stay, column after column, each nearest to what the errors of the others ask for:
 * quant/balance.h. Columns come in tiles of 8; matrices of `rank` numbers a column lie tile by tile, in a tile [rank][8];
 * columns behind the last one are zero. For column k of a tile, with s the sums and e the rows' errors, value - x:
 *   ask    = pull[k] . s + sum over j < k in the tile of near[k][j] (e[j] - e[j] before), - near[k][k] e[k] before
 *   code   = the integer nearest to (x - gain[k] ask + min) / scale, from low to high; value = scale code - min
 * and s takes in directions[k] (e[k] - e[k] before). `fresh`: there are no codes yet, e before is 0. Any numbers
 * are allowed; codes are from low to high whatever becomes of them. Bit-identical at every level. */
#define ASH_FEED_TILE 8
typedef struct ash_feed_side {
    const float *pull;       /* of the whole row: rank a column */
    const float *near;       /* 8 a column: in a tile [k][j] */
    const float *gain;
} ash_feed_side;
typedef struct ash_feed {
    int64_t rank, first;     /* first: the column where the call begins, a multiple of 8 */
    int count, sub_elems;    /* columns; of them a sub-block, a multiple of 8, has one grid */
    bool fresh;
    float low, high;
    const float *directions; /* of the whole row */
    const ash_feed_side *side;
    const float *x;          /* [count][16] */
    const float *scale, *min, *inverse; /* [sub-block][16]; inverse: of scale, or 0 */
    float *code;             /* [count][16], integers */
    float *sum;              /* [rank][16] */
} ash_feed;
typedef void ash_feed_fn(const ash_feed *f);

/* out[i] = e4m3(x[i] * (1 / scale)), saturating, i < n; x finite, scale > 0 with a finite reciprocal. Bit-identical at
 * every level. */
typedef void ash_encode_e4m3_fn(const float *x, int64_t n, float scale, uint8_t *out);
/* sum (x[i] - e4m3(x[i] * (1 / scale)) * scale)^2, in 16 float sums side by side. Bit-identical at every level. */
typedef double ash_error_e4m3_fn(const float *x, int64_t n, float scale);

/* A source row of F16 or BF16 at any address to floats: ash_decode_row, but for a NaN's payload. */
typedef void ash_decode_fn(const uint8_t *row, int64_t n, float *out);

/* out[i] = bf16(x[i]), nearest even, and denormals become zeros of their sign; bit-identical at every level, but for a
 * NaN's payload. */
typedef void ash_to_bf16_fn(const float *x, int64_t n, uint16_t *out);

/* x[i] = e4m3(x[i] / scale) * scale in place, saturating, i < n; scale > 0. A true division, as PyTorch's static FP8
 * quantization has it. NaN stays NaN. Bit-identical at every level. */
typedef void ash_round_e4m3_fn(float *x, int64_t n, float scale);
/* max |x[i]|; exact; NaN when there is one; 0 when n is 0. */
typedef float ash_max_abs_fn(const float *x, int64_t n);

/* out[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; out may be x. The mean is taken in double and the factor rounded to
 * float, so levels differ by at most that rounding: relative 2^-23, beside the 2^-24 of two float products. */
typedef void ash_rms_norm_fn(const float *x, const float *w, int64_t n, float eps, float *out);

/* Rotates the first rope_dim elements of each of `heads` heads in place: pairs (2 i, 2 i + 1) by the angle whose
 * cosine and sine are cos_sin[2 i], cos_sin[2 i + 1]: (a c - b s, b c + a s), each operation rounded on its own.
 * Bit-identical at every level. */
typedef void ash_rope_fn(float *x, int64_t heads, int64_t head_dim, int64_t rope_dim, const float *cos_sin);

/* h[16 i + r] = silu(gate) * up, gate = gu[32 i + r], up = gu[32 i + 16 + r], i < panels. silu(x) = x / (1 + e^-x).
 * Within 4 * 2^-23 relative of the exact value, plus 2^-126 * max(1, |up|). */
typedef void ash_swiglu_fn(const float *gu, int64_t panels, float *h);

/* x[i] += y[i] */
typedef void ash_add_fn(float *x, const float *y, int64_t n);
/* out[i] = f16(x[i]), nearest even; the same at every level, but for a NaN's payload. */
typedef void ash_to_f16_fn(const float *x, int64_t n, uint16_t *out);

/* Causal attention of one KV head: `group` query heads that share it, tokens at positions pos .. pos + tokens - 1.
 * Query head g of token t: q[t * q_stride + g * head_dim ..]; its result goes to out[t * out_stride + g * head_dim ..].
 * k, v: rows of head_dim elements of the kernel's type, kv_stride bytes apart; the row of position p is p % kv_rows.
 *   F16; F8_E4M3: codes of finite values, without a scale; Q8_0: blocks of 32 (format/blocks.h).
 * A query at position p sees positions max(0, p - window + 1) .. p (window 0: from 0), of them those from `begin` on and
 * below `end` (0: to p); at least one is left. Rows of no such position are never read.
 * head_dim: even, at most ASH_HEAD_DIM_MAX (format/meta.h); vector forms take multiples of 16.
 * out = softmax(scale * q k) v with float sums, in any blocking. With V the largest |v| and S the largest
 * scale * sum |q k| that a query sees among n positions, forms differ from scalar by at most
 *   V (2^-20 + 4 (head_dim + 8) 2^-24 S + n 2^-23):
 * a score errs by (head_dim + 8) 2^-24 of its terms, its weight by as much, once in the sum and once in the product. An
 * element of Q8_0, code * d, rounds to float once: one of those 8.
 * parts: NULL; or instead of `out` what ATTENTION_JOIN takes, one part of ash_attention_part_elems floats a query, in the
 * order of tokens and then heads. */
typedef struct ash_attention {
    const float *q;
    int64_t q_stride;
    const uint8_t *k, *v;
    int64_t kv_stride, kv_rows;
    int64_t head_dim, group;
    float scale;
    int64_t pos, tokens, window;
    int64_t begin, end;
    float *out;
    int64_t out_stride;
    float *parts;
} ash_attention;
typedef void ash_attention_fn(const ash_attention *a, void *scratch);

/* What a query has from some of its keys: max of their scores, sum of e^(score - max), and from ASH_ATTENTION_PART_HEAD on
 * head_dim sums of e^(score - max) v. */
#define ASH_ATTENTION_PART_HEAD 16
static inline int64_t ash_attention_part_elems(int64_t head_dim)
{
    return ASH_ATTENTION_PART_HEAD + (head_dim + 15) / 16 * 16;
}
/* out = the attention of `count` such parts together, `stride` floats apart, in their order: which is what one call over
 * all their keys would give, within its bound: a part's weight is one more e^x, among those of the 2^-20. */
typedef void ash_attention_join_fn(const float *parts, int64_t count, int64_t stride, int64_t head_dim, float *out);

/* ---- registry ---- */

/* In the order in which later ones are preferred. A machine has a set of them (ash_level_has), not all up to its best:
 * NEON and the others exclude each other, and a processor with AVX-512 may lack AVX-VNNI. Whoever asks for a level that
 * the machine lacks gets the best one below it (ash_level_upto). */
typedef enum ash_level {
    ASH_LEVEL_SCALAR = 0,     /* every machine */
    ASH_LEVEL_NEON = 1,       /* arm64: Advanced SIMD with its dot product (ARMv8.2) */
    ASH_LEVEL_AVX2 = 2,       /* AVX2, FMA, F16C */
    ASH_LEVEL_AVXVNNI = 3,    /* and AVX-VNNI, of 256 bits */
    ASH_LEVEL_AVX512 = 4,     /* AVX2, and AVX-512 F, BW, DQ, VL */
    ASH_LEVEL_VNNI = 5,       /* and AVX-512 VNNI */
    ASH_LEVEL_AVX512BF16 = 6, /* and AVX-512 BF16: no processor has it without VNNI */
    ASH_LEVEL_COUNT
} ash_level;

/* From so many tokens on a level whose dot products are of bytes takes weights with minimums, and Q6_K's, as int8 with
 * a scale for a row of a tile: one product of floats a group is left of three. The other types gain little, and Q8_0's
 * weights stay what they are. Fewer tokens do not make up for the rounding (Zen 5: as fast at 32). */
#define ASH_Q8_ROUNDS_FROM 33
static inline bool ash_q8_rounds(ash_level level, ash_dtype dtype, int64_t tokens)
{
    return tokens >= ASH_Q8_ROUNDS_FROM && (level == ASH_LEVEL_AVXVNNI || level >= ASH_LEVEL_VNNI) &&
           (dtype == ASH_Q4_1 || dtype == ASH_Q5_1 || dtype == ASH_Q4_K || dtype == ASH_Q5_K || dtype == ASH_Q6_K);
}

/* And whether it gains from x->q8_wide then: one conversion and one product a tile and token, not 8. Of K types, whose
 * blocks are of 256 columns: with 8 bits everywhere rounding costs 0.1% of llama-30m's perplexity so, 0.03% with scales
 * of 32. */
static inline bool ash_q8_takes_wide(ash_level level, ash_dtype dtype, int64_t tokens)
{
    return ash_q8_rounds(level, dtype, tokens) && dtype != ASH_Q4_1 && dtype != ASH_Q5_1;
}

#define ASH_Q8_FEW 8 /* tokens up to which levels with dot products of bytes have forms of their own */

/* Rows of the 8-bit form. */
static inline int64_t ash_q8_rows(const ash_acts *x) { return x->q8_fine ? 2 * x->tokens : x->tokens; }

/* Steps that MATMUL_Q8 takes at least of the units that multiply, for each 64 that multiply bytes: products of every kind,
 * as kernels/x86/matmul_q8_*.h count them; `shared` (ash_units_shared): conversions, shuffles, sums and shifts too. What
 * unpacking a tile takes is left out. With dot products of bytes at 512 bits; 64 where nobody counted. Of x tokens, q8_wide
 * and q8_fine count; both rows of a fine token multiply. */
int ash_q8_steps(ash_level level, bool shared, ash_dtype dtype, const ash_acts *x);
/* Whether everything that is done to vectors of 512 bits takes one of the two units that multiply: on Intel's processors
 * (ports 0 and 5; AMD's have two more for shuffles and sums). */
bool ash_units_shared(void);

typedef enum ash_op {
    ASH_OP_MATMUL_F32,
    ASH_OP_MATMUL_Q8, /* Q types alone */
    ASH_OP_MATMUL_BF16, /* BF16 and F8_E4M3 */
    ASH_OP_ROW,
    ASH_OP_QUANTIZE_Q8,
    ASH_OP_QUANTIZE_FINE,
    ASH_OP_ENCODE, /* K types and Q8_0 */
    ASH_OP_FEED,
    ASH_OP_DECODE, /* F16 and BF16 */
    ASH_OP_ENCODE_E4M3,
    ASH_OP_ERROR_E4M3,
    ASH_OP_ROUND_E4M3,
    ASH_OP_MAX_ABS,
    ASH_OP_RMS_NORM,
    ASH_OP_ROPE,
    ASH_OP_SWIGLU,
    ASH_OP_ADD,
    ASH_OP_TO_F16,
    ASH_OP_TO_BF16,
    ASH_OP_ATTENTION, /* F16, F8_E4M3, Q8_0 */
    ASH_OP_ATTENTION_JOIN,
    ASH_OP_COUNT
} ash_op;

typedef void ash_any_fn(void); /* cast to the op's type */

typedef struct ash_kernel {
    const char *name; /* the function's: "ash_matmul_q8_q4_k_vnni" */
    ash_op op;
    ash_dtype dtype;  /* ASH_DTYPE_COUNT for ops that have none */
    ash_level level;
    ash_any_fn *fn;
} ash_kernel;

/* Every implementation in the binary, slowest level first. */
const ash_kernel *ash_kernel_list(size_t *count);

typedef struct ash_kernels {
    ash_level level;
    ash_matmul_fn *matmul_f32[ASH_USABLE_DTYPES];
    ash_matmul_fn *matmul_q8[ASH_USABLE_DTYPES]; /* NULL for F32, F16, BF16, F8_E4M3 */
    ash_matmul_fn *matmul_bf16[ASH_USABLE_DTYPES]; /* NULL but for BF16 and F8_E4M3; a fast one from AVX512BF16 on */
    ash_row_fn *row[ASH_USABLE_DTYPES];
    ash_quantize_q8_fn *quantize_q8;
    ash_quantize_fine_fn *quantize_fine;
    ash_encode_fn *encode[ASH_USABLE_DTYPES]; /* NULL but for Q4_K, Q5_K, Q6_K, Q8_0 */
    ash_feed_fn *feed;
    ash_decode_fn *decode[ASH_USABLE_DTYPES]; /* NULL but for F16, BF16 */
    ash_encode_e4m3_fn *encode_e4m3;
    ash_error_e4m3_fn *error_e4m3;
    ash_round_e4m3_fn *round_e4m3;
    ash_max_abs_fn *max_abs;
    ash_rms_norm_fn *rms_norm;
    ash_rope_fn *rope;
    ash_swiglu_fn *swiglu;
    ash_add_fn *add;
    ash_to_f16_fn *to_f16;
    ash_to_bf16_fn *to_bf16;
    ash_attention_fn *attention[ASH_USABLE_DTYPES]; /* NULL but for F16, F8_E4M3, Q8_0 */
    ash_attention_join_fn *attention_join;
} ash_kernels;

/* Whether processor and operating system both grant a level (CPUID and XGETBV; on arm64 the kernel's HWCAP). */
bool ash_level_has(ash_level level);
/* The best of those up to `most`; of all. */
ash_level ash_level_upto(ash_level most);
ash_level ash_level_detect(void);
const char *ash_level_name(ash_level level); /* "scalar", "neon", "avx2", "avxvnni", "avx512", "vnni", "avx512bf16" */
/* Fills `out` with the best kernels of the levels up to `level` that the machine has; out->level is the best of these. */
void ash_kernels_init(ash_kernels *out, ash_level level);

/* A source row (row-major blocks, ash_row_bytes, any alignment) to floats, scalar: what conversion, quantizers and
 * tests use. F8_E4M3 comes without its scale. */
void ash_decode_row(ash_dtype dtype, const void *row, int64_t cols, float *out);

/* Prototypes of all of them, for the files that define them, the table and the tests. */
typedef ash_matmul_fn ash_matmul_f32_fn;
typedef ash_matmul_fn ash_matmul_q8_fn;
typedef ash_matmul_fn ash_matmul_bf16_fn;
#define ASH_KERNEL_TYPED(op, field, dtype, level, function) ash_##field##_fn function;
#define ASH_KERNEL(op, field, level, function) ash_##field##_fn function;
#include "kernels/registry.def"

#endif
