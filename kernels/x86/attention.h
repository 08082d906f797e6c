/* Attention in vectors of vec.h: attention_avx2.c and attention_avx512.c include this, each with its flags.
 *
 * Queries (tokens x group) go in blocks of up to 128, keys in blocks of 64. A block of K becomes floats, transposed to
 * [head_dim][64], a block of V floats [64][head_dim]: once for all queries of the block. Then two small matrix
 * products with the softmax between them, whose maximum and sum run along (online softmax):
 *   S = Q K'        one row of 64 scores a query
 *   m' = max(m, S)  P = e^(S - m')   l = l e^(m - m') + sum P
 *   O = O e^(m - m') + P V
 * Where the queries are few (decode), transposing K would cost more than it saves: there a score is a dot product along
 * head_dim of K as it lies, and the sums of a vector's worth of keys fold together.
 * The scratch is bounded whatever the context: 64 x 256 floats each for K' and V, 128 x 256 each for Q and O, 128 x 64
 * for S: 416 KiB. Rows outside the queries' range are never read: the cache need not be initialized.
 */
#include <float.h>
#include <string.h>

#include "format/meta.h"
#include "kernels/kernels.h"
#include "kernels/x86/vec.h"

#define KEYS 64
#define QUERIES 128

#if VEC_LANES == 16
#define TILE_ROWS 6 /* 6 x 4 sums, 4 vectors of B and a broadcast: 29 of 32 registers */
#define TILE_VECS 4
#else
#define TILE_ROWS 4 /* 4 x 2 sums, 2 vectors of B and a broadcast: 11 of 16; 3 vectors do not divide 64 columns */
#define TILE_VECS 2
#endif

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
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
#if TILE_ROWS == 6
        TILE_CASE(5)
        TILE_CASE(6)
#endif
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

/* VEC_LANES rows of as many halves, to floats, transposed: out[i * KEYS + row] = rows[row][i]. */
static inline void transpose(const uint16_t *const *rows, int64_t at, float *out)
{
#if VEC_LANES == 16
    __m512 x[16], y[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        x[i] = v_load_half(rows[i] + at);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) { /* pairs of rows */
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { /* x[i + c]: in each 128-bit lane b, element 4 b + c of rows i .. i + 3 */
        x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
        x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
        x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
        x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* a 4 x 4 transpose of 128-bit lanes */
        __m512 low01 = _mm512_shuffle_f32x4(x[c], x[c + 4], 0x44), high01 = _mm512_shuffle_f32x4(x[c], x[c + 4], 0xee);
        __m512 low23 = _mm512_shuffle_f32x4(x[c + 8], x[c + 12], 0x44);
        __m512 high23 = _mm512_shuffle_f32x4(x[c + 8], x[c + 12], 0xee);
        v_store(out + c * KEYS, _mm512_shuffle_f32x4(low01, low23, 0x88));
        v_store(out + (4 + c) * KEYS, _mm512_shuffle_f32x4(low01, low23, 0xdd));
        v_store(out + (8 + c) * KEYS, _mm512_shuffle_f32x4(high01, high23, 0x88));
        v_store(out + (12 + c) * KEYS, _mm512_shuffle_f32x4(high01, high23, 0xdd));
    }
#else
    __m256 x[8], y[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        x[i] = v_load_half(rows[i] + at);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        v_store(out + c * KEYS, _mm256_permute2f128_ps(x[c], x[c + 4], 0x20));
        v_store(out + (4 + c) * KEYS, _mm256_permute2f128_ps(x[c], x[c + 4], 0x31));
    }
#endif
}

/* Lane i of the result is the sum of x[i]'s lanes; x has VEC_LANES vectors. */
static inline vec fold(const vec *x)
{
    vec four[VEC_LANES / 4]; /* in each 128-bit lane, the sums of that lane of rows 4 i .. 4 i + 3 */
#if VEC_LANES == 16
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const vec *r = x + 4 * i;
        __m512d a = _mm512_castps_pd(v_add(_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1])));
        __m512d b = _mm512_castps_pd(v_add(_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3])));
        four[i] = v_add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    vec low = v_add(_mm512_shuffle_f32x4(four[0], four[1], 0x88), _mm512_shuffle_f32x4(four[0], four[1], 0xdd));
    vec high = v_add(_mm512_shuffle_f32x4(four[2], four[3], 0x88), _mm512_shuffle_f32x4(four[2], four[3], 0xdd));
    return v_add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
#else
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const vec *r = x + 4 * i;
        vec a = v_add(_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
        vec b = v_add(_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
        four[i] = v_add(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    }
    return v_add(_mm256_permute2f128_ps(four[0], four[1], 0x20), _mm256_permute2f128_ps(four[0], four[1], 0x31));
#endif
}

/* Scores of a tile of queries against VEC_LANES rows of K as they lie. */
static inline __attribute__((always_inline)) void
scores_in_place(int rows, int64_t dim, const float *q, const uint16_t *const *keys, float *score)
{
    vec sums[TILE_ROWS][VEC_LANES];
    for (int i = 0; i < VEC_LANES; i++) {
        vec sum[TILE_ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            sum[r] = v_set(0);
        for (int64_t d = 0; d < dim; d += VEC_LANES) {
            vec k = v_load_half(keys[i] + d);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++)
                sum[r] = v_fma(v_load(q + r * dim + d), k, sum[r]);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            sums[r][i] = sum[r];
    }
    for (int r = 0; r < rows; r++)
        v_store(score + r * KEYS, fold(sums[r]));
}

#define SCORES_CASE(n) case n: scores_in_place(n, dim, q, keys, score); break;

static __attribute__((noinline)) void
few_scores(int rows, int64_t dim, const float *q, const uint16_t *const *keys, float *score)
{
    switch (rows) {
        SCORES_CASE(1)
        SCORES_CASE(2)
        SCORES_CASE(3)
        SCORES_CASE(4)
#if TILE_ROWS == 6
        SCORES_CASE(5)
        SCORES_CASE(6)
#endif
    default: break;
    }
}

/* A block of keys: positions start .. start + count - 1. */
typedef struct key_block {
    int64_t start;
    int count;
    bool few;                   /* K is read as it lies */
    const uint16_t *rows[KEYS]; /* of K; a row of zeros from `count` on */
} key_block;

/* Finds the rows of K, through the ring, and takes V, and K' where the queries are many, into the scratch. V is then
 * read `count` rows deep. */
static void load_keys(const ash_attention *a, key_block *block, attention_scratch *s)
{
    static const uint16_t zeros[ASH_HEAD_DIM_MAX];
    int64_t row = block->start % a->kv_rows, dim = a->head_dim;
    for (int i = 0; i < KEYS; i++)
        block->rows[i] = zeros;
    for (int i = 0; i < block->count; i++) {
        block->rows[i] = a->k + row * a->kv_stride;
        const uint16_t *v = a->v + row * a->kv_stride;
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            v_store(s->v + i * dim + d, v_load_half(v + d));
        row = row + 1 == a->kv_rows ? 0 : row + 1;
    }
    for (int i = 0; i < block->count && !block->few; i += VEC_LANES)
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            transpose(block->rows + i, d, s->k + d * KEYS + i);
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
static void one_tile(const ash_attention *a, attention_scratch *s, int begin, int rows, const key_block *block)
{
    int64_t dim = a->head_dim, end = s->last[begin + rows - 1] + 1 - block->start; /* keys that the last query sees */
    int count = end < block->count ? (int)end : block->count, cols = (count + 15) / 16 * 16;
    const float *q = s->q + begin * dim;
    float *score = s->s + begin * KEYS;
    if (block->few)
        for (int i = 0; i < cols; i += VEC_LANES)
            few_scores(rows, dim, q, block->rows + i, score + i);
    else
        product(rows, cols, dim, q, dim, s->k, KEYS, score, KEYS, NULL);
    for (int r = 0; r < rows; r++) {
        int query = begin + r;
        int64_t first = s->first[query] - block->start, seen_end = s->last[query] + 1 - block->start;
        if (first > 0 || seen_end < cols)
            mask(score + r * KEYS, cols, first, seen_end);
        softmax(s, query, score + r * KEYS, cols);
    }
    product(rows, dim, count, score, KEYS, s->v, dim, s->o + begin * dim, dim, s->decay + begin);
}

/* Queries begin .. begin + count - 1, of all tokens x group in order. */
static void query_block(const ash_attention *a, attention_scratch *s, int64_t begin, int count)
{
    int64_t dim = a->head_dim;
    for (int i = 0; i < count; i++) {
        int64_t token = (begin + i) / a->group, head = (begin + i) % a->group, position = a->pos + token;
        const float *q = a->q + token * a->q_stride + head * dim;
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            v_store(s->q + i * dim + d, v_mul(v_load(q + d), v_set(a->scale)));
        s->last[i] = position;
        s->first[i] = a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
        s->max[i] = -FLT_MAX;
        s->sum[i] = 0;
    }
    memset(s->o, 0, (size_t)(count * dim) * sizeof *s->o);

    int64_t last = s->last[count - 1]; /* first[] and last[] ascend */
    for (int64_t start = s->first[0]; start <= last; start += KEYS) {
        int keys = last - start < KEYS ? (int)(last - start) + 1 : KEYS;
        key_block block = { .start = start, .count = keys, .few = count <= FEW_QUERIES };
        load_keys(a, &block, s);
        for (int i = 0; i < count; i += TILE_ROWS) {
            int rows = count - i < TILE_ROWS ? count - i : TILE_ROWS;
            if (s->last[i + rows - 1] >= start && s->first[i] < start + keys)
                one_tile(a, s, i, rows, &block);
        }
    }
    for (int i = 0; i < count; i++) {
        int64_t token = (begin + i) / a->group, head = (begin + i) % a->group;
        float *out = a->out + token * a->out_stride + head * dim;
        for (int64_t d = 0; d < dim; d += VEC_LANES)
            v_store(out + d, v_div(v_load(s->o + i * dim + d), v_set(s->sum[i])));
    }
}

void VEC_FN(ash_attention)(const ash_attention *a, void *scratch)
{
    if (a->head_dim % 16 != 0 || a->head_dim > ASH_HEAD_DIM_MAX) {
        ash_attention_scalar(a, scratch);
        return;
    }
    int64_t queries = a->tokens * a->group;
    for (int64_t begin = 0; begin < queries; begin += QUERIES)
        query_block(a, scratch, begin, queries - begin < QUERIES ? (int)(queries - begin) : QUERIES);
}
