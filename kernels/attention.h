/* Attention in vectors of a vec_rows.h, which attention_*.c of x86/ and arm/ include before this, each with its flags.
 *
 * Queries (tokens x group) go in blocks of up to 128, keys in blocks of 64. A block of K becomes floats, transposed to
 * [head_dim][64], a block of V floats [64][head_dim]: once for all queries of the block. Then two small matrix
 * products with the softmax between them, whose maximum and sum run along (online softmax):
 *   S = Q K'        one row of 64 scores a query
 *   m' = max(m, S)  P = e^(S - m')   l = l e^(m - m') + sum P
 *   O = O e^(m - m') + P V
 * Where the queries are few (decode), converting K and V once would cost more than it saves: there both products read
 * rows as they lie; a score is a dot product along head_dim, and the sums of a vector's worth of keys fold together.
 * The scratch is bounded whatever the context: 64 x 256 floats each for K' and V, 128 x 256 each for Q and O, 128 x 64
 * for S: 416 KiB. Rows outside the queries' range are never read: the cache need not be initialized.
 */
#include <float.h>
#include <string.h>

#include "format/meta.h"
#include "kernels/kernels.h"
#include "kernels/attention_rows.h"

#define QUERIES 128
#define JOIN_PARTS 256 /* so many in vectors: four times what the runtime makes */

/* Up to so many queries, a block of K is read as it lies. For 16 keys, folding costs 30 shuffles a query, transposing
 * 256 at head_dim 64: so they meet at 8. */
#define FEW_QUERIES 8

typedef struct attention_scratch {
    float k[ASH_HEAD_DIM_MAX * KEYS]; /* [head_dim][KEYS] */
    float v[KEYS * ASH_HEAD_DIM_MAX]; /* [KEYS][head_dim] */
    float q[QUERIES * ASH_HEAD_DIM_MAX], o[QUERIES * ASH_HEAD_DIM_MAX]; /* [QUERIES][head_dim] */
    float s[QUERIES * KEYS];
    float max[QUERIES], sum[QUERIES], decay[QUERIES];
    int64_t first[QUERIES], last[QUERIES]; /* the positions that a query sees */
} attention_scratch;
_Static_assert(sizeof(attention_scratch) <= ASH_SCRATCH_BYTES, "scratch");

/* C[rows][vecs] = decay[row] * C + A[rows][depth] B[depth][vecs]; without decay, C = A B. rows and vecs are constants
 * wherever this is inlined, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void
tile(int rows, int vecs, int64_t depth, const float *a, int64_t a_stride, const float *b, int64_t b_stride, float *c,
     int64_t c_stride, const float *decay)
{
    vec sum[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            sum[r][j] = decay ? v_mul(v_load(c + r * c_stride + j * VEC_LANES), v_set(decay[r])) : v_set(0);
    for (int64_t k = 0; k < depth; k++) {
        vec column[TILE_VECS];
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            column[j] = v_load(b + k * b_stride + j * VEC_LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            vec factor = v_set(a[r * a_stride + k]);
#pragma GCC unroll 4
            for (int j = 0; j < vecs; j++)
                sum[r][j] = v_fma(factor, column[j], sum[r][j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            v_store(c + r * c_stride + j * VEC_LANES, sum[r][j]);
}

#define TILE_CASE(n) \
    case n: tile(n, vecs, depth, a, a_stride, b, b_stride, c, c_stride, decay); break;
static inline __attribute__((always_inline)) void
rows_tile(int rows, int vecs, int64_t depth, const float *a, int64_t a_stride, const float *b, int64_t b_stride,
          float *c, int64_t c_stride, const float *decay)
{
    switch (rows) {
        EACH_TILE_ROWS(TILE_CASE)
    default: break;
    }
}

/* `cols` is a multiple of 16. */
static __attribute__((noinline)) void
product(int rows, int64_t cols, int64_t depth, const float *a, int64_t a_stride, const float *b, int64_t b_stride,
        float *c, int64_t c_stride, const float *decay)
{
    int64_t col = 0;
    for (; col + TILE_VECS * VEC_LANES <= cols; col += TILE_VECS * VEC_LANES)
        rows_tile(rows, TILE_VECS, depth, a, a_stride, b + col, b_stride, c + col, c_stride, decay);
    for (; col < cols; col += VEC_LANES)
        rows_tile(rows, 1, depth, a, a_stride, b + col, b_stride, c + col, c_stride, decay);
}

/* Finds the rows of K and V, through the ring, and where the queries are many takes K' and V into the scratch. */
static void load_keys(const row_type *type, const ash_attention *a, key_block *block, attention_scratch *s)
{
    static const uint8_t zeros[ASH_HEAD_DIM_MAX * 2];
    int64_t row = block->start % a->kv_rows;
    uint64_t row_bytes = 0;
    ash_row_bytes(type->type, (uint64_t)a->head_dim, &row_bytes);
    block->row_bytes = (int64_t)row_bytes;
    for (int i = block->count; i < KEYS; i++)
        block->keys[i] = zeros;
    for (int i = 0; i < block->count; i++) {
        block->keys[i] = a->k + row * a->kv_stride;
        block->values[i] = a->v + row * a->kv_stride;
        row = row + 1 == a->kv_rows ? 0 : row + 1;
    }
    if (!block->few)
        type->convert(block, a->head_dim, s->k, s->v);
}

/* Scores of the first `cols` keys (a multiple of 16) become -infinity where the query does not see them: before `first`
 * and from `end` on, both relative to the block. */
static void mask(float *score, int cols, int64_t first, int64_t end)
{
    int low = first < 0 ? 0 : first > KEYS ? KEYS : (int)first, high = end < 0 ? 0 : end > KEYS ? KEYS : (int)end;
    static const int32_t counting[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    veci infinity = vi_set(0xff800000), lanes = vi_load(counting);
    for (int i = 0; i < cols; i += VEC_LANES) {
        veci key = vi_add(lanes, vi_set((uint32_t)i)), x = v_bits(v_load(score + i));
        x = vi_select_greater(vi_set((uint32_t)low), key, infinity, x);
        v_store(score + i, v_of_bits(vi_select_greater(vi_set((uint32_t)high), key, x, infinity)));
    }
}

/* One query's scores to weights; its maximum, sum and decay. The maximum starts at -FLT_MAX, not at -infinity: so a
 * query that sees nothing of this block yet gets weights of 0, and no difference of infinities. */
static void softmax(attention_scratch *s, int query, float *score, int cols)
{
    vec max = v_load(score);
    for (int i = VEC_LANES; i < cols; i += VEC_LANES)
        max = v_max(max, v_load(score + i));
    float old = s->max[query], peak = v_hmax(max), now = peak > old ? peak : old;
    vec total = v_set(0), shift = v_set(now);
    for (int i = 0; i < cols; i += VEC_LANES) {
        vec weight = v_exp(v_sub(v_load(score + i), shift));
        total = v_add(total, weight);
        v_store(score + i, weight);
    }
    float decay = 1;
    if (now != old) {
        float lanes[VEC_LANES];
        v_store(lanes, v_exp(v_set(old - now)));
        decay = lanes[0];
    }
    s->decay[query] = decay;
    s->sum[query] = s->sum[query] * decay + v_hsum(total);
    s->max[query] = now;
}

/* A block of keys for the queries begin .. begin + rows - 1, those of one tile. */
static void one_tile(const row_type *type, int64_t dim, attention_scratch *s, int begin, int rows,
                     const key_block *block)
{
    int64_t end = s->last[begin + rows - 1] + 1 - block->start; /* keys that the last query sees */
    int count = end < block->count ? (int)end : block->count, cols = (count + 15) / 16 * 16;
    const float *q = s->q + begin * dim;
    float *score = s->s + begin * KEYS;
    if (block->few)
        type->scores(rows, cols, dim, q, block, score);
    else
        product(rows, cols, dim, q, dim, s->k, KEYS, score, KEYS, NULL);
    for (int r = 0; r < rows; r++) {
        int query = begin + r;
        int64_t first = s->first[query] - block->start, seen_end = s->last[query] + 1 - block->start;
        if (first > 0 || seen_end < cols)
            mask(score + r * KEYS, cols, first, seen_end);
        softmax(s, query, score + r * KEYS, cols);
    }
    if (block->few)
        type->values(rows, count, score, block, s->o + begin * dim, dim, s->decay + begin);
    else
        product(rows, dim, count, score, KEYS, s->v, dim, s->o + begin * dim, dim, s->decay + begin);
}

/* Queries begin .. begin + count - 1, of all tokens x group in order. */
static void query_block(const row_type *type, const ash_attention *a, attention_scratch *s, int64_t begin, int count)
{
    int64_t dim = a->head_dim;
    for (int i = 0; i < count; i++) {
        int64_t token = (begin + i) / a->group, head = (begin + i) % a->group, position = a->pos + token;
        const float *q = a->q + token * a->q_stride + head * dim;
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            v_store(s->q + i * dim + d, v_mul(v_load(q + d), v_set(a->scale * type->unit)));
        int64_t first = a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
        s->first[i] = first < a->begin ? a->begin : first;
        s->last[i] = a->end > 0 && position >= a->end ? a->end - 1 : position;
        s->max[i] = -FLT_MAX;
        s->sum[i] = 0;
    }
    memset(s->o, 0, (size_t)(count * dim) * sizeof *s->o);

    int64_t last = s->last[count - 1]; /* first[] and last[] ascend */
    for (int64_t start = s->first[0]; start <= last; start += KEYS) {
        int keys = last - start < KEYS ? (int)(last - start) + 1 : KEYS;
        key_block block = { .start = start, .count = keys, .few = count <= FEW_QUERIES };
        load_keys(type, a, &block, s);
        for (int i = 0; i < count; i += TILE_ROWS) {
            int rows = count - i < TILE_ROWS ? count - i : TILE_ROWS;
            if (s->last[i + rows - 1] >= start && s->first[i] < start + keys)
                one_tile(type, dim, s, i, rows, &block);
        }
    }
    for (int i = 0; i < count; i++) {
        int64_t token = (begin + i) / a->group, head = (begin + i) % a->group;
        float *part = a->parts ? a->parts + (begin + i) * ash_attention_part_elems(dim) : NULL;
        float *out = part ? part + ASH_ATTENTION_PART_HEAD : a->out + token * a->out_stride + head * dim;
        vec whole = v_set(part ? 1 : s->sum[i]), unit = v_set(type->unit);
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            v_store(out + d, v_mul(v_div(v_load(s->o + i * dim + d), whole), unit));
        if (part) {
            part[0] = s->max[i];
            part[1] = s->sum[i];
        }
    }
}

static inline void attention(const row_type *type, ash_attention_fn *scalar, const ash_attention *a, void *scratch)
{
    if (a->head_dim % 16 != 0 || a->head_dim > ASH_HEAD_DIM_MAX) {
        scalar(a, scratch);
        return;
    }
    int64_t queries = a->tokens * a->group;
    for (int64_t begin = 0; begin < queries; begin += QUERIES)
        query_block(type, a, scratch, begin, queries - begin < QUERIES ? (int)(queries - begin) : QUERIES);
}

void VEC_FN(ash_attention_f16)(const ash_attention *a, void *scratch)
{
    attention(&rows_f16, ash_attention_f16_scalar, a, scratch);
}

void VEC_FN(ash_attention_f8_e4m3)(const ash_attention *a, void *scratch)
{
    attention(&rows_f8_e4m3, ash_attention_f8_e4m3_scalar, a, scratch);
}

void VEC_FN(ash_attention_q8_0)(const ash_attention *a, void *scratch)
{
    attention(&rows_q8_0, ash_attention_q8_0_scalar, a, scratch);
}

void VEC_FN(ash_attention_join)(const float *parts, int64_t count, int64_t stride, int64_t head_dim, float *out)
{
    if (head_dim % 16 != 0 || count > JOIN_PARTS) {
        ash_attention_join_scalar(parts, count, stride, head_dim, out);
        return;
    }
    float weight[JOIN_PARTS + VEC_LANES], max = -FLT_MAX, total = 0;
    for (int64_t p = 0; p < count; p++)
        max = parts[p * stride] > max ? parts[p * stride] : max;
    for (int64_t p = 0; p < count; p++)
        weight[p] = parts[p * stride] - max;
    for (int64_t p = count; p < count + VEC_LANES; p++)
        weight[p] = 0;
    for (int64_t p = 0; p < count; p += VEC_LANES)
        v_store(weight + p, v_exp(v_load(weight + p)));
    for (int64_t p = 0; p < count; p++)
        total += weight[p] * parts[p * stride + 1];
    for (int64_t d = 0; d < head_dim; d += VEC_LANES) {
        vec sum = v_set(0);
        for (int64_t p = 0; p < count; p++)
            sum = v_fma(v_set(weight[p]), v_load(parts + p * stride + ASH_ATTENTION_PART_HEAD + d), sum);
        v_store(out + d, v_div(sum, v_set(total)));
    }
}
