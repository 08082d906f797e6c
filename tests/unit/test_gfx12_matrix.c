/* The interpreter's WMMA against plain C: every type and sign, clamp, constants for C, where each element lies, special
 * values, and how exact a sum is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"

#define N 16
#define COUNT(list) (sizeof(list) / sizeof *(list))

static float f16(uint32_t code) { return ash_f16_to_f32((uint16_t)code); }
static float bf16(uint32_t code) { return gfx_float(code << 16); }
static float fp8(uint32_t code) { return ash_e4m3_to_f32((uint8_t)code); }
static float bf8(uint32_t code) /* sign, 5 bits of exponent, 2 of mantissa */
{
    int e = (int)(code >> 2 & 31), m = (int)(code & 3);
    float v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(4 + m), e - 17) : ldexpf((float)m, -16);
    return code & 0x80 ? -v : v;
}

/* Element k of row or column r: lane r or r + 16, 8 of them in a lane's registers, the first the lowest. */
static uint32_t element(const gfx_wave *w, unsigned first, int bits, int r, int k)
{
    int lane = r + 16 * (k / 8), at = k % 8 * bits;
    return w->v[first + (unsigned)at / 32][lane] >> at % 32 & ((UINT32_C(1) << bits) - 1);
}
/* Row r and column n of C and D. */
static uint32_t *place(gfx_wave *w, unsigned first, int r, int n)
{
    return &w->v[first + (unsigned)r % 8][n + 16 * (r / 8)];
}

static void fill(gfx_wave *w, unsigned first, unsigned count, test_rng *rng, const uint32_t *edges, size_t edge_count)
{
    for (unsigned r = first; r < first + count; r++) {
        uint32_t v[GFX_LANES];
        for (int l = 0; l < GFX_LANES; l++)
            v[l] = edge_count ? edges[test_rng_below(rng, edge_count)] : (uint32_t)test_rng_next(rng);
        gfx_test_set_v(w, r, v);
    }
}

/* ---- integers: exact, wrapping or saturating ---- */

static void integers(void **state)
{
    (void)state;
    static const uint32_t edges[] = { 0, 0x80808080, 0x7f7f7f7f, 0xffffffff, 0x01020304, 0x807f00ff, 0xfe01ff80 };
    static const uint32_t sums[] = { 0, 0x7fffffff, 0x7ffffff0, 0x80000000, 0x80000100, 0xffffffff, 12345 };
    static const struct { const char *text; bool a, b, clamp; int constant; } cases[] = { /* constant: -1 none */
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15]", false, false, false, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] neg_lo:[1,0,0]", true, false, false, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] neg_lo:[0,1,0]", false, true, false, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] neg_lo:[1,1,0]", true, true, false, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] clamp", false, false, true, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] neg_lo:[1,0,0] clamp", true, false, true, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] neg_lo:[0,1,0] clamp", false, true, true, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15] neg_lo:[1,1,0] clamp", true, true, true, -1 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], 7 neg_lo:[1,1,0]", true, true, false, 7 },
    };
    const char *lines[COUNT(cases)];
    for (size_t k = 0; k < COUNT(cases); k++)
        lines[k] = cases[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(cases));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("integers");
    for (size_t round = 0; round < 20 * COUNT(cases); round++) {
        size_t t = round % COUNT(cases), odd = round / COUNT(cases) % 2;
        fill(w, 0, 4, &rng, edges, odd ? 0 : COUNT(edges));
        fill(w, 8, 8, &rng, sums, odd ? 0 : COUNT(sums));
        gfx_test_step(w, &i[t]);
        for (int r = 0; r < N; r++)
            for (int n = 0; n < N; n++) {
                int64_t sum = cases[t].constant < 0 ? (int32_t)*place(w, 8, r, n) : cases[t].constant;
                for (int k = 0; k < N; k++) {
                    uint32_t a = element(w, 0, 8, r, k), b = element(w, 2, 8, n, k);
                    sum += (cases[t].a ? (int8_t)a : (int)a) * (cases[t].b ? (int8_t)b : (int)b);
                }
                if (cases[t].clamp)
                    sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
                if (*place(w, 16, r, n) != (uint32_t)sum)
                    fail_msg("%s: row %d, column %d: %x, not %x", cases[t].text, r, n, *place(w, 16, r, n),
                             (uint32_t)sum);
            }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(cases));
}

/* ---- floats ---- */

static const struct { const char *text; int bits; float (*a)(uint32_t), (*b)(uint32_t); float constant; } floats[] = {
    { "v_wmma_f32_16x16x16_f16 v[16:23], v[0:3], v[4:7], v[8:15]", 16, f16, f16, 0 },
    { "v_wmma_f32_16x16x16_bf16 v[16:23], v[0:3], v[4:7], v[8:15]", 16, bf16, bf16, 0 },
    { "v_wmma_f32_16x16x16_fp8_fp8 v[16:23], v[0:1], v[4:5], v[8:15]", 8, fp8, fp8, 0 },
    { "v_wmma_f32_16x16x16_fp8_bf8 v[16:23], v[0:1], v[4:5], v[8:15]", 8, fp8, bf8, 0 },
    { "v_wmma_f32_16x16x16_bf8_fp8 v[16:23], v[0:1], v[4:5], v[8:15]", 8, bf8, fp8, 0 },
    { "v_wmma_f32_16x16x16_bf8_bf8 v[16:23], v[0:1], v[4:5], v[8:15]", 8, bf8, bf8, 0 },
    { "v_wmma_f32_16x16x16_f16 v[16:23], v[0:3], v[4:7], 1.0", 16, f16, f16, 1 },
};

/* The specification: C, then k = 0 .. 15, each product added with one rounding. Every bit counts but which NaN it is. */
static void check_floats(gfx_wave *w, size_t t)
{
    for (int r = 0; r < N; r++)
        for (int n = 0; n < N; n++) {
            float sum = floats[t].constant > 0 ? floats[t].constant : gfx_float(*place(w, 8, r, n));
            float got = gfx_float(*place(w, 16, r, n));
            for (int k = 0; k < N; k++)
                sum = fmaf(floats[t].a(element(w, 0, floats[t].bits, r, k)),
                           floats[t].b(element(w, 4, floats[t].bits, n, k)), sum);
            if (isnan(sum) ? !isnan(got) : gfx_bits(got) != gfx_bits(sum))
                fail_msg("%s: row %d, column %d: %.9g, not %.9g", floats[t].text, r, n, (double)got, (double)sum);
        }
}

static void float_ops(void **state)
{
    (void)state;
    /* As two halves, and as four bytes: all signs, denormals, largest numbers; no NaN and no infinity of any type. */
    static const uint32_t finite[] = { 0,          0x3c003c00, 0xbc000001, 0x7bff7bff, 0x7b7b7b7b, 0xfbfb0101,
                                       0x80018001, 0x03ff8400, 0x3f803f80, 0x38383838, 0x40b81107, 0x54432108 };
    static const uint32_t special[] = { 0,          0x3c003c00, 0x7c007c00, 0xfc007e00,
                                        0x7f807f80, 0xff7f7fff, 0x38383838, 0x7d007c00 };
    static const uint32_t sums[] = { 0,          0x80000000, 0x3f800000, 0xcb800000,
                                     0x4b800000, 0x00000001, 0x7f7fffff, 0xbf800001 };
    const char *lines[COUNT(floats)];
    for (size_t k = 0; k < COUNT(floats); k++)
        lines[k] = floats[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(floats));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("floats");
    for (size_t round = 0; round < 40 * COUNT(floats); round++) {
        size_t t = round % COUNT(floats), kind = round / COUNT(floats) % 4;
        fill(w, 0, 8, &rng, kind == 2 ? special : finite, kind == 3 ? 0 : kind == 2 ? COUNT(special) : COUNT(finite));
        fill(w, 8, 8, &rng, sums, COUNT(sums));
        for (unsigned v = 0; kind == 1 && v < 8; v++) /* mostly zero: NaN and cancellation are rare */
            for (int l = 0; l < GFX_LANES; l++)
                w->v[v][l] &= test_rng_below(&rng, 4) ? 0 : UINT32_MAX;
        gfx_test_step(w, &i[t]);
        check_floats(w, t);
    }
    /* Small integers, whose every sum is exact: one result alone is right, whatever the order. */
    static const uint32_t codes[][4] = { { 0, 0x3c00, 0x4200, 0xc400 }, { 0, 0x3f80, 0x4040, 0xc080 },
                                         { 0, 0x38, 0x44, 0xc8 },       { 0, 0x38, 0x44, 0xc8 },
                                         { 0, 0x3c, 0x42, 0xc4 },       { 0, 0x3c, 0x42, 0xc4 },
                                         { 0, 0x3c00, 0x4200, 0xc400 } };
    for (size_t t = 0; t < COUNT(floats); t++) {
        uint32_t v[GFX_LANES];
        for (unsigned r = 0; r < 8; r++) {
            for (int l = 0; l < GFX_LANES; l++) {
                v[l] = 0;
                for (int at = 0; at < 32; at += floats[t].bits)
                    v[l] |= codes[t][test_rng_below(&rng, 4)] << at;
            }
            gfx_test_set_v(w, r, v);
        }
        for (unsigned r = 8; r < 16; r++) {
            for (int l = 0; l < GFX_LANES; l++)
                v[l] = gfx_bits((float)test_rng_below(&rng, 1000));
            gfx_test_set_v(w, r, v);
        }
        gfx_test_step(w, &i[t]);
        for (int r = 0; r < N; r++)
            for (int n = 0; n < N; n++) {
                float sum = floats[t].constant > 0 ? floats[t].constant : gfx_float(*place(w, 8, r, n));
                for (int k = 0; k < N; k++)
                    sum += floats[t].a(element(w, 0, floats[t].bits, r, k)) *
                           floats[t].b(element(w, 4, floats[t].bits, n, k));
                assert_true(gfx_float(*place(w, 16, r, n)) == sum);
            }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(floats));
}

/* What can be summed in pairs (ops_matrix.c): every value zero or far from the ends of the range, and C normal. In two
 * rounds of three one of A or B, or of C, is not so, and others of its row or column are zero: a denormal lives on. */
static void ordinary_values(void **state)
{
    (void)state;
    static const uint32_t odd_halves[] = { 0x3f80, 0x0001, 0x0080, 0x8081, 0x1f80, 0x7f80, 0x7f7f, 0x7fc0, 0x5f00 };
    static const uint32_t odd_sums[] = { 0x3f800000, 0x00000001, 0x807fffff, 0x7f800000, 0x7fc00000, 0x00800000 };
    const char *lines[COUNT(floats)];
    for (size_t k = 0; k < COUNT(floats); k++)
        lines[k] = floats[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(floats));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("ordinary");
    for (size_t round = 0; round < 600 * 2; round++) {
        size_t t = 1 + round % 2, odd = round / 2 % 3;
        fill(w, 0, 16, &rng, NULL, 0);
        for (unsigned v = 0; v < 8; v++)
            for (int l = 0; l < GFX_LANES; l++) {
                uint32_t *x = &w->v[v][l];
                if (t == 1) /* exponents of -8 to 7 */
                    *x = (*x & 0x87ff87ff) + 0x3b803b80;
                else
                    *x = (*x & 0xf7f7f7f7) | (*x >> 1 & 0x04040404); /* no NaN */
                if (test_rng_below(&rng, 4) == 0 || (odd && l % N == 3))
                    *x = 0;
                w->v[8 + v][l] = (w->v[8 + v][l] & 0x87ffffff) + 0x3b800000;
            }
        int lane = 3 + N * (int)test_rng_below(&rng, 2);
        if (odd == 1 && t == 1)
            w->v[test_rng_below(&rng, 4)][lane] = odd_halves[test_rng_below(&rng, COUNT(odd_halves))];
        else if (odd == 1)
            w->v[test_rng_below(&rng, 2)][lane] = 0x7f;
        else if (odd == 2)
            w->v[8 + test_rng_below(&rng, 8)][lane] = odd_sums[test_rng_below(&rng, COUNT(odd_sums))];
        if (odd == 1) /* tiny sums of tiny products */
            for (unsigned v = 0; v < 8; v++)
                for (int l = 0; l < GFX_LANES; l++)
                    w->v[8 + v][l] = test_rng_below(&rng, 2) ? 0 : w->v[8 + v][l];
        gfx_test_step(w, &i[t]);
        check_floats(w, t);
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(floats));
}

/* The same registers taken as one type and then as another. */
static void types_in_turn(void **state)
{
    (void)state;
    static const uint32_t finite[] = { 0, 0x3c003c00, 0xbc000001, 0x38383838, 0x40b81107, 0x54432108 };
    const char *lines[COUNT(floats)];
    for (size_t k = 0; k < COUNT(floats); k++)
        lines[k] = floats[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(floats));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("types");
    fill(w, 0, 16, &rng, finite, COUNT(finite));
    for (size_t k = 0; k < 2 * COUNT(floats); k++) {
        gfx_test_step(w, &i[k % COUNT(floats)]);
        check_floats(w, k % COUNT(floats));
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(floats));
}

/* D may be C; a chain of products accumulates in place. */
static void in_place(void **state)
{
    (void)state;
    static const char *const lines[] = { "v_wmma_i32_16x16x16_iu8 v[8:15], v[0:1], v[2:3], v[8:15] neg_lo:[1,1,0]" };
    gfx_insn *i = gfx_test_assemble(lines, 1);
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("in place");
    uint32_t before[8][GFX_LANES];
    fill(w, 0, 16, &rng, NULL, 0);
    memcpy(before, w->v[8], sizeof before);
    gfx_test_step(w, &i[0]), gfx_test_step(w, &i[0]);
    for (int r = 0; r < N; r++)
        for (int n = 0; n < N; n++) {
            int sum = 0;
            for (int k = 0; k < N; k++)
                sum += (int8_t)element(w, 0, 8, r, k) * (int8_t)element(w, 2, 8, n, k);
            assert_int_equal(*place(w, 8, r, n), before[r % 8][n + 16 * (r / 8)] + 2 * (uint32_t)sum);
        }
    gfx_wave_free(w);
    gfx_insns_free(i, 1);
}

/* D lies over other rows of C, from above and from below. */
static void over_other_rows(void **state)
{
    (void)state;
    static const struct { const char *text; unsigned to; } cases[] = {
        { "v_wmma_f32_16x16x16_f16 v[12:19], v[0:3], v[4:7], v[8:15]", 12 },
        { "v_wmma_f32_16x16x16_f16 v[15:22], v[0:3], v[4:7], v[8:15]", 15 },
        { "v_wmma_f32_16x16x16_f16 v[6:13], v[0:3], v[4:7], v[8:15]", 6 },
        { "v_wmma_f32_16x16x16_f16 v[16:23], v[0:3], v[4:7], v[8:15]", 16 },
    };
    const char *lines[COUNT(cases)];
    for (size_t k = 0; k < COUNT(cases); k++)
        lines[k] = cases[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(cases));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("over");
    static const uint32_t finite[] = { 0, 0x3c003c00, 0xbc000001, 0x38383838, 0x40b81107, 0x54432108 };
    for (size_t t = 0; t < COUNT(cases); t++) {
        uint32_t c[8][GFX_LANES], got[8][GFX_LANES], a[8][GFX_LANES];
        fill(w, 0, 16, &rng, finite, COUNT(finite));
        memcpy(c, w->v[8], sizeof c), memcpy(a, w->v[0], sizeof a);
        gfx_test_step(w, &i[t]);
        memcpy(got, w->v[cases[t].to], sizeof got);
        memcpy(w->v[0], a, sizeof a), memcpy(w->v[8], c, sizeof c), memcpy(w->v[16], got, sizeof got);
        check_floats(w, 0);
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(cases));
}

/* One value of A or B is another than at the WMMA before, and all others are the same. */
static void one_value_changes(void **state)
{
    (void)state;
    static const uint32_t finite[] = { 0x3c003c00, 0x38383838, 0x40b81107, 0x54432108 };
    const char *lines[COUNT(floats)];
    for (size_t k = 0; k < COUNT(floats); k++)
        lines[k] = floats[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(floats));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("one value");
    for (size_t t = 0; t < COUNT(floats); t++) {
        fill(w, 0, 16, &rng, finite, COUNT(finite));
        unsigned registers = floats[t].bits / 4;
        for (unsigned r = 0; r < 2 * registers; r++)
            for (int l = 0; l < GFX_LANES; l += 5) {
                w->v[r % registers + (r < registers ? 0 : 4)][l] ^= UINT32_C(1) << test_rng_below(&rng, 2) * 16;
                gfx_test_step(w, &i[t]);
                check_floats(w, t);
            }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(floats));
}

/* What the hardware does not define, or what is not interpreted. */
static void faults(void **state)
{
    (void)state;
    static const struct { const char *line, *fault; uint32_t exec; unsigned unwritten; } cases[] = {
        { "v_wmma_f32_16x16x16_f16 v[16:23], v[0:3], v[4:7], v[8:15]", "WMMA under a partial EXEC 0xfffffffe",
          0xfffffffe, 99 },
        { "v_wmma_f32_16x16x16_bf16 v[16:23], v[0:3], v[4:7], v[8:15]", "v3 is read in lane 0 before anything wrote it",
          UINT32_MAX, 3 },
        { "v_wmma_f32_16x16x16_fp8_fp8 v[16:23], v[0:1], v[4:5], v[8:15]",
          "v5 is read in lane 0 before anything wrote it",
          UINT32_MAX, 5 },
        { "v_wmma_i32_16x16x16_iu8 v[16:23], v[0:1], v[2:3], v[8:15]", "v15 is read in lane 0 before anything wrote it",
          UINT32_MAX, 15 },
        { "v_wmma_f32_16x16x16_f16 v[16:23], v[0:3], v[4:7], v[8:15] neg_lo:[1,0,0]", "WMMA of floats with modifiers",
          UINT32_MAX, 99 },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        gfx_insn *i = gfx_test_assemble(&cases[k].line, 1);
        gfx_wave *w = gfx_wave_new();
        uint32_t zeros[GFX_LANES] = { 0 };
        for (unsigned r = 0; r < 16; r++)
            if (r != cases[k].unwritten)
                gfx_test_set_v(w, r, zeros);
        w->s[GFX_EXEC] = cases[k].exec;
        gfx_step(w, i);
        assert_string_equal(w->fault, cases[k].fault);
        gfx_wave_free(w);
        gfx_insns_free(i, 1);
    }
}

static void every_operation(void **state)
{
    (void)state;
    gfx_test_all_ran(gfx_matrix_ops);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(integers), cmocka_unit_test(float_ops), cmocka_unit_test(ordinary_values),
    cmocka_unit_test(types_in_turn),
    cmocka_unit_test(in_place), cmocka_unit_test(over_other_rows), cmocka_unit_test(one_value_changes),
    cmocka_unit_test(faults),
    cmocka_unit_test(every_operation),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_matrix", tests, NULL, NULL); }
