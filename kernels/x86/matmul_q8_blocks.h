/* Blocks of MATMUL_Q8's second form with 256 bits and no VNNI: 2 row vectors, rows in lanes, times up to BLOCK_TOKENS
 * tokens.
 *
 * Products of bytes go to 16-bit sums, of as many columns as fit, before a multiply-add of pairs makes them 32 bits:
 * 32 columns of 4-bit codes and of those with an offset, 16 of others. Offsets are taken off in 16 bits, where a sum
 * starts; it may wrap on the way, its end fits. Q6_K's whole scales are the second factor of that multiply-add.
 *
 * Steps on Zen 3, which does 4 a cycle, 2 of them multiplications of bytes or words, for 8 rows, 32 columns and a token:
 *   Q4_K   8 products, 7 additions, 1 multiply-add, 4 for the floats
 *   Q6_K   8, 9, 2 and 2
 *   Q8_0   8 and as many signs, since each product fills 16 bits, 7, 8 and 3
 * A sum a token and row vector stays in a register, and so do two vectors of codes and one of x: v_keep sees to it.
 *
 * |sum| of a pair's half: 16 columns * 15 * 127 = 30480; offset off 16 * 16 * 127 = 32512; 5 bits and minimums
 * 8 * 31 * 127 = 31496; Q6_K 8 * 32 * 127 = 32512, times scales over 32 columns 4 * 32512 * 128 < 2^24.
 */
#ifndef ASHLAR_KERNELS_X86_MATMUL_Q8_BLOCKS_H
#define ASHLAR_KERNELS_X86_MATMUL_Q8_BLOCKS_H

INLINE void block(const block_kind kind, const int V, const int T, const block_scratch *b, int groups, const int8_t *x,
                  int64_t x_stride, const x_part *parts, int64_t part_stride, float *sums)
{
    enum { CAP = BLOCK_VECTORS * BLOCK_TOKENS };
    const int run = kind == STEPS_16 || kind == MIN5_32 ? 4 : 8; /* words of 4 columns in a 16-bit sum */
    const int per = kind == STEPS_16 ? 2 : 1;                    /* groups in 32 columns */
    const int from_start = kind == OFFSET_32 || kind == STEPS_16;
    vf total[CAP];
#pragma GCC unroll 8
    for (int i = 0; i < V * T; i++)
        total[i] = kind == STEPS_16 ? vf_zero() : vf_load(sums + (i / V * BLOCK_VECTORS + i % V) * VR);
    const uint8_t *codes = b->codes[0];
    for (int g = 0; g < groups; g += per, x += 32, parts += per, codes += 8 * VB) {
        vi dot[CAP];
        if (kind == SIGNED_32) {
#pragma GCC unroll 8
            for (int i = 0; i < V * T; i++)
                dot[i] = v_zero();
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                vi q[2] = { v_load(codes + i * VB), v_load(codes + sizeof b->codes[0] * (V - 1) + i * VB) };
#pragma GCC unroll 8
                for (int j = 0; j < V * T; j++)
                    dot[j] = v_keep(v_add32(dot[j], v_dot_signed(q[j % V], v_spread4(x + j / V * x_stride + 4 * i))));
            }
        } else {
#pragma GCC unroll 2
            for (int first = 0; first < 8; first += run) {
                vi pairs[CAP];
#pragma GCC unroll 8
                for (int i = 0; i < V * T; i++)
                    pairs[i] = from_start ? v_spread4(&parts[i / V * part_stride + first / 4].of.start) : v_zero();
                add_words(V, T, first, first + run, codes, x, x_stride, pairs);
#pragma GCC unroll 8
                for (int i = 0; i < V * T; i++) {
                    vi factor = kind == STEPS_16 ? v_load(b->of.whole[i % V].s[g + first / 4]) : v_set16(1);
                    vi product = v_madd16(pairs[i], factor);
                    dot[i] = first ? v_add32(dot[i], product) : product;
                }
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < V * T; i++) {
            const x_part *part = &parts[i / V * part_stride];
            vf scaled = vf_of_ints(dot[i]);
            if (kind != STEPS_16)
                scaled = vf_mul(scaled, vf_load(b->of.scales[i % V].s[g]));
            total[i] = vf_fma(scaled, vf_set(part->scale), total[i]);
            if (kind == MIN_32 || kind == MIN5_32)
                total[i] = vf_fnma(vf_load(b->of.scales[i % V].m[g]), vf_set(part->of.sum), total[i]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < V * T; i++) {
        float *sum = sums + (i / V * BLOCK_VECTORS + i % V) * VR;
        vf_store(sum, kind == STEPS_16 ? vf_fma(total[i], vf_load(b->of.whole[i % V].d), vf_load(sum)) : total[i]);
    }
}

/* Q6_K: each scale to both halves of a word. */
INLINE void read_step_scales(const uint8_t *header, int row_vector, whole_scales *out)
{
    vi v[4];
    load_rows16(header + 16 * VR * row_vector, v);
    vf_store(out->d, vf_to_sigma(vf_of_halves(header + 256 + 2 * VR * row_vector)));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vi word = _mm256_setr_epi32(0, 0x04000400, 0x08000800, 0x0c000c00, 0, 0x04000400, 0x08000800, 0x0c000c00);
        vi turn = v_add32(word, v_set32(i << 8 | i << 24 | 0x800080)); /* byte i to upper halves, zeros to lower ones */
        for (int j = 0; j < 4; j++)
            v_store(out->s[4 * j + i], v_sra16(v_shuffle8(v[j], turn), 8));
    }
}

/* One token's parts, `groups` of them. */
static void prepare_parts(const ash_dtype type, const int8_t *q, const float *scale, const int16_t *sum, int64_t groups,
                          x_part *out)
{
    const int vectors = q_scale_cols(type) / 16;
    for (int64_t g = 0; g < groups; g++) {
        out[g].scale = scale[g * vectors / 2];
        if (q_has_min(type)) {
            out[g].of.sum = scale[g] * (float)(sum[2 * g] + sum[2 * g + 1]);
        } else if (type != ASH_Q8_0) {
            __m128i pairs = _mm_setzero_si128();
            for (int i = 0; i < vectors; i++) {
                __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(q + 16 * (g * vectors + i)));
                pairs = _mm_add_epi16(pairs, _mm_maddubs_epi16(_mm_set1_epi8(1), x));
            }
            pairs = _mm_add_epi16(pairs, _mm_shuffle_epi32(pairs, 0x4e));
            pairs = _mm_add_epi16(pairs, _mm_shuffle_epi32(pairs, 0xb1));
            out[g].of.start = _mm_cvtsi128_si32(_mm_mullo_epi16(pairs, _mm_set1_epi16((short)-q_offset(type))));
        }
    }
}

#endif
