#include "quant/kblock.h"

#include <string.h>

#include "format/blocks.h"
#include "format/halffloat.h"

bool ash_kblock_has(ash_dtype dtype) { return dtype == ASH_Q4_K || dtype == ASH_Q5_K || dtype == ASH_Q6_K; }

/* Q4_K and Q5_K, which begin alike: d, dmin, scales. qh: NULL for Q4_K. */
static void read_affine(const ash_block_q4_k *head, const uint8_t *qh, const uint8_t *qs, ash_kblock *out)
{
    *out = (ash_kblock){ .sub_elems = 32, .low = 0, .high = qh ? 31 : 15, .sc_low = 0, .sc_high = 63, .mn_high = 63,
                         .d = ash_f16_to_f32(head->d), .dmin = ash_f16_to_f32(head->dmin) };
    const uint8_t *s = head->scales;
    for (int j = 0; j < 8; j++) {
        out->sc[j] = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        out->mn[j] = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        for (int i = 0; i < 32; i++) {
            int low = j % 2 ? qs[32 * (j / 2) + i] >> 4 : qs[32 * (j / 2) + i] & 15;
            out->code[32 * j + i] = (int8_t)(low | (qh ? (qh[i] >> j & 1) << 4 : 0));
        }
    }
}

static void write_affine(const ash_kblock *b, ash_block_q4_k *head, uint8_t *qh, uint8_t *qs)
{
    head->d = ash_f32_to_f16(b->d);
    head->dmin = ash_f32_to_f16(b->dmin);
    memset(head->scales, 0, sizeof head->scales);
    memset(qs, 0, 128);
    for (int j = 0; j < 8; j++) {
        uint8_t *s = head->scales;
        if (j < 4) {
            s[j] |= (uint8_t)b->sc[j];
            s[j + 4] |= (uint8_t)b->mn[j];
        } else {
            s[j + 4] = (uint8_t)((b->sc[j] & 15) | (b->mn[j] & 15) << 4);
            s[j - 4] |= (uint8_t)(b->sc[j] >> 4 << 6);
            s[j] |= (uint8_t)(b->mn[j] >> 4 << 6);
        }
        for (int i = 0; i < 32; i++) {
            int code = b->code[32 * j + i];
            qs[32 * (j / 2) + i] |= (uint8_t)((code & 15) << (j % 2 ? 4 : 0));
            if (qh)
                qh[i] = (uint8_t)((j ? qh[i] : 0) | code >> 4 << j);
        }
    }
}

static void read_q6_k(const ash_block_q6_k *b, ash_kblock *out)
{
    *out = (ash_kblock){ .sub_elems = 16, .low = -32, .high = 31, .sc_low = -128, .sc_high = 127,
                         .d = ash_f16_to_f32(b->d) };
    for (int j = 0; j < 16; j++)
        out->sc[j] = b->scales[j];
    for (int e = 0; e < 256; e++) {
        int half = e / 128, quarter = e / 32 % 4, i = e % 32;
        int low = b->ql[64 * half + 32 * (quarter & 1) + i] >> 4 * (quarter >> 1) & 15;
        int high = b->qh[32 * half + i] >> 2 * quarter & 3;
        out->code[e] = (int8_t)((low | high << 4) - 32);
    }
}

static void write_q6_k(const ash_kblock *b, ash_block_q6_k *out)
{
    memset(out, 0, sizeof *out);
    out->d = ash_f32_to_f16(b->d);
    for (int j = 0; j < 16; j++)
        out->scales[j] = (int8_t)b->sc[j];
    for (int e = 0; e < 256; e++) {
        int half = e / 128, quarter = e / 32 % 4, i = e % 32, code = b->code[e] + 32;
        out->ql[64 * half + 32 * (quarter & 1) + i] |= (uint8_t)((code & 15) << 4 * (quarter >> 1));
        out->qh[32 * half + i] |= (uint8_t)(code >> 4 << 2 * quarter);
    }
}

void ash_kblock_read(ash_dtype dtype, const void *bytes, ash_kblock *out)
{
    union { ash_block_q4_k q4; ash_block_q5_k q5; ash_block_q6_k q6; } b;
    memcpy(&b, bytes, ash_dtype_find(dtype)->block_bytes);
    if (dtype == ASH_Q6_K)
        read_q6_k(&b.q6, out);
    else
        read_affine(&b.q4, dtype == ASH_Q5_K ? b.q5.qh : NULL, dtype == ASH_Q5_K ? b.q5.qs : b.q4.qs, out);
}

void ash_kblock_write(ash_dtype dtype, const ash_kblock *in, void *bytes)
{
    union { ash_block_q4_k q4; ash_block_q5_k q5; ash_block_q6_k q6; } b;
    if (dtype == ASH_Q6_K)
        write_q6_k(in, &b.q6);
    else
        write_affine(in, &b.q4, dtype == ASH_Q5_K ? b.q5.qh : NULL, dtype == ASH_Q5_K ? b.q5.qs : b.q4.qs);
    memcpy(bytes, &b, ash_dtype_find(dtype)->block_bytes);
}
