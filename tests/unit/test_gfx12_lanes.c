/* The interpreter's movement of values between lanes against plain C: DPP in every mode and with every modifier,
 * permlane, single lanes; EXEC random, inactive lanes read and not read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))
enum { ROUNDS = 40 };

/* ---- DPP ---- */

/* The lane that lane l reads, or -1. */
static int xmask(int l, int n) { return (l & 16) + ((l & 15) ^ n); }
static int shl(int l, int n) { return l % 16 + n < 16 ? l + n : -1; }
static int shr(int l, int n) { return l % 16 >= n ? l - n : -1; }
static int ror_(int l, int n) { return l / 16 * 16 + (l % 16 + 16 - n) % 16; }
static int share(int l, int n) { return l / 16 * 16 + n; }
static int mirror(int l, int n) { (void)n; return l / 16 * 16 + 15 - l % 16; }
static int half_mirror(int l, int n) { (void)n; return l / 8 * 8 + 7 - l % 8; }
static int quad(int l, int n) { static const int to[] = { 2, 0, 3, 3 }; (void)n; return l / 4 * 4 + to[l % 4]; }
static int eight(int l, int n)
{
    static const int to[] = { 7, 1, 1, 4, 0, 6, 2, 5 };
    (void)n;
    return l / 8 * 8 + to[l % 8];
}

static const struct { const char *text; int (*from)(int l, int n); bool numbered; } modes[] = {
    { "row_xmask:%d", xmask, true }, { "row_shl:%d", shl, true }, { "row_shr:%d", shr, true },
    { "row_ror:%d", ror_, true },
    { "row_share:%d", share, true }, { "row_mirror", mirror, false }, { "row_half_mirror", half_mirror, false },
    { "quad_perm:[2,0,3,3]", quad, false }, { "dpp8:[7,1,1,4,0,6,2,5]", eight, false },
};

typedef struct dpp_case { char text[160]; int mode, n; unsigned rows, banks; bool zero, inactive, sum; } dpp_case;

static void check_dpp(gfx_wave *w, const gfx_insn *i, const dpp_case *t, test_rng *rng)
{
    uint32_t in[3][GFX_LANES];
    for (unsigned r = 0; r < 3; r++) {
        for (int l = 0; l < GFX_LANES; l++)
            in[r][l] = (uint32_t)test_rng_next(rng);
        gfx_test_set_v(w, r, in[r]);
    }
    uint32_t exec = w->s[GFX_EXEC] = test_rng_below(rng, 4) ? (uint32_t)test_rng_next(rng) : UINT32_MAX;
    gfx_test_step(w, i);
    for (int l = 0; l < GFX_LANES; l++) {
        int from = modes[t->mode].from(l, t->n);
        bool there = from >= 0 && (t->inactive || exec >> from & 1);
        bool written = exec >> l & 1 && t->rows >> l / 16 & 1 && t->banks >> l % 16 / 4 & 1 && (there || t->zero);
        uint32_t source = there ? in[0][from] : 0, want = !written ? in[2][l] : t->sum ? source - in[1][l] : source;
        if (w->v[2][l] != want)
            fail_msg("%s, lane %d, EXEC %x: %x, not %x", t->text, l, exec, w->v[2][l], want);
    }
}

static void dpp(void **state)
{
    (void)state;
    static dpp_case cases[400];
    static const char *lines[COUNT(cases)];
    test_rng rng = test_rng_start("dpp");
    for (size_t k = 0; k < COUNT(cases); k++) {
        dpp_case *t = &cases[k];
        *t = (dpp_case){ .mode = (int)(k % COUNT(modes)), .sum = k % 2, .rows = 15, .banks = 15 };
        bool by_eight = modes[t->mode].from == eight,
             shifts = modes[t->mode].from == shl || modes[t->mode].from == shr || modes[t->mode].from == ror_;
        t->n = (int)(shifts ? 1 + test_rng_below(&rng, 15) : test_rng_below(&rng, 16));
        t->inactive = test_rng_below(&rng, 2);
        t->zero = !by_eight && test_rng_below(&rng, 2);
        if (!by_eight && k >= 100)
            t->rows = (unsigned)test_rng_below(&rng, 16), t->banks = (unsigned)test_rng_below(&rng, 16);
        char mode[40];
        if (modes[t->mode].numbered)
            snprintf(mode, sizeof mode, modes[t->mode].text, t->n);
        else
            snprintf(mode, sizeof mode, "%s", modes[t->mode].text);
        size_t n = (size_t)snprintf(t->text, sizeof t->text, "%s %s",
                                    t->sum ? "v_sub_nc_u32_dpp v2, v0, v1" : "v_mov_b32_dpp v2, v0", mode);
        if (!by_eight)
            n += (size_t)snprintf(t->text + n, sizeof t->text - n, " row_mask:0x%x bank_mask:0x%x%s", t->rows, t->banks,
                                  t->zero ? " bound_ctrl:1" : "");
        if (t->inactive)
            snprintf(t->text + n, sizeof t->text - n, " fi:1");
        lines[k] = t->text;
    }
    gfx_insn *i = gfx_test_assemble(lines, COUNT(cases));
    gfx_wave *w = gfx_wave_new();
    for (size_t k = 0; k < COUNT(cases); k++)
        for (int round = 0; round < ROUNDS; round++)
            check_dpp(w, &i[k], &cases[k], &rng);
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(cases));
}

/* Signs apply to what was moved; a comparison, a carry and three sources take DPP too. */
static void dpp_of_others(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "v_add_f32_dpp v2, -v0, |v1| row_ror:3 row_mask:0xf bank_mask:0xf",
        "v_cmp_lt_u32_e64_dpp s4, v0, v1 row_xmask:1 row_mask:0xf bank_mask:0xf",
        "v_mad_u32_u24_e64_dpp v2, v0, v1, v3 row_mirror row_mask:0xf bank_mask:0xf",
        "v_cndmask_b32_dpp v2, v0, v1, vcc_lo quad_perm:[2,0,3,3] row_mask:0xf bank_mask:0xf",
        "v_cvt_f32_f16_dpp v2, v0 row_share:5 row_mask:0xf bank_mask:0xf",
    };
    gfx_insn *i = gfx_test_assemble(lines, COUNT(lines));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("dpp of others");
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t in[4][GFX_LANES], vcc = (uint32_t)test_rng_next(&rng);
        for (unsigned r = 0; r < 4; r++)
            for (int l = 0; l < GFX_LANES; l++) /* small floats, whose lower half is one too */
                in[r][l] = gfx_bits((float)test_rng_below(&rng, 100)) | 0x3c00;
        gfx_test_set_s(w, GFX_VCC, vcc);
        for (size_t k = 0; k < COUNT(lines); k++) {
            for (unsigned r = 0; r < 4; r++)
                gfx_test_set_v(w, r, in[r]);
            gfx_test_step(w, &i[k]);
            for (int l = 0; l < GFX_LANES; l++) {
                int from = k == 0 ? ror_(l, 3) : k == 1 ? xmask(l, 1) : k == 2 ? mirror(l, 0) : k == 3 ? quad(l, 0)
                         : share(l, 5);
                uint32_t a = in[0][from];
                uint32_t b = in[1][l], c = in[3][l], got = k == 1 ? w->s[4] >> l & 1 : w->v[2][l];
                uint32_t want = k == 0 ? gfx_bits(-gfx_float(a) + gfx_float(b)) : k == 1 ? a < b
                              : k == 2 ? (a & 0xffffff) * (b & 0xffffff) + c
                              : k == 3 ? (vcc >> l & 1 ? b : a) : 0x3f800000;
                if (got != want)
                    fail_msg("%s, lane %d: %x, not %x", lines[k], l, got, want);
            }
        }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(lines));
}

/* ---- permutations ---- */

static void permlanes(void **state)
{
    (void)state;
    static const struct { const char *text; int other; bool by_lanes, inactive, zero; } cases[] = {
        { "v_permlane16_b32 v2, v0, s0, s1", 0, false, false, false },
        { "v_permlane16_b32 v2, v0, s0, s1 op_sel:[1,0]", 0, false, true, false },
        { "v_permlane16_b32 v2, v0, s0, s1 op_sel:[0,1]", 0, false, false, true },
        { "v_permlanex16_b32 v2, v0, s0, s1", 16, false, false, false },
        { "v_permlanex16_b32 v2, v0, s0, s1 op_sel:[1,1]", 16, false, true, true },
        { "v_permlane16_var_b32 v2, v0, v1", 0, true, false, false },
        { "v_permlane16_var_b32 v2, v0, v1 op_sel:[0,1]", 0, true, false, true },
        { "v_permlanex16_var_b32 v2, v0, v1", 16, true, false, false },
        { "v_permlanex16_var_b32 v2, v0, v1 op_sel:[1,0]", 16, true, true, false },
    };
    const char *lines[COUNT(cases)];
    for (size_t k = 0; k < COUNT(cases); k++)
        lines[k] = cases[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(cases));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("permlanes");
    for (size_t round = 0; round < ROUNDS * COUNT(cases); round++) {
        size_t k = round % COUNT(cases);
        uint32_t in[3][GFX_LANES];
        for (unsigned r = 0; r < 3; r++) {
            for (int l = 0; l < GFX_LANES; l++)
                in[r][l] = (uint32_t)test_rng_next(&rng);
            gfx_test_set_v(w, r, in[r]);
        }
        uint64_t four = test_rng_next(&rng);
        gfx_test_set_s(w, 0, (uint32_t)four), gfx_test_set_s(w, 1, (uint32_t)(four >> 32));
        uint32_t exec = w->s[GFX_EXEC] = test_rng_below(&rng, 3) ? (uint32_t)test_rng_next(&rng) : UINT32_MAX;
        gfx_test_step(w, &i[k]);
        for (int l = 0; l < GFX_LANES; l++) {
            int from =
                (l / 16 * 16 ^ cases[k].other) + (int)(cases[k].by_lanes ? in[1][l] % 16 : four >> 4 * (l % 16) & 15);
            bool there = cases[k].inactive || exec >> from & 1;
            uint32_t want = !(exec >> l & 1) ? in[2][l] : there ? in[0][from] : cases[k].zero ? 0 : in[2][l];
            if (w->v[2][l] != want)
                fail_msg("%s, lane %d, EXEC %x: %x, not %x", cases[k].text, l, exec, w->v[2][l], want);
        }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(cases));
}

/* ---- single lanes, and whole registers ---- */

static void single_lanes(void **state)
{
    (void)state;
    static const char *const lines[] = { "v_readlane_b32 s4, v0, s2",  "v_readlane_b32 s4, v0, 31",
                                         "v_readfirstlane_b32 s4, v0", "v_writelane_b32 v2, s3, s2",
                                         "v_writelane_b32 v2, -5, 9",  "v_permlane64_b32 v2, v0",
                                         "v_swap_b32 v2, v0" };
    enum { READ, READ_31, FIRST, WRITE, WRITE_9, WAVE, SWAP };
    gfx_insn *i = gfx_test_assemble(lines, COUNT(lines));
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("single lanes");
    for (int round = 0; round < 20 * ROUNDS; round++) {
        int k = round % (int)COUNT(lines);
        uint32_t in[3][GFX_LANES], lane = (uint32_t)test_rng_below(&rng, 100), value = (uint32_t)test_rng_next(&rng);
        for (unsigned r = 0; r < 3; r++) {
            for (int l = 0; l < GFX_LANES; l++)
                in[r][l] = (uint32_t)test_rng_next(&rng);
            gfx_test_set_v(w, r, in[r]);
        }
        gfx_test_set_s(w, 2, lane), gfx_test_set_s(w, 3, value);
        uint32_t exec = w->s[GFX_EXEC] = round < 40 ? 0 : (uint32_t)(test_rng_next(&rng) & test_rng_next(&rng));
        gfx_test_step(w, &i[k]);
        uint32_t first = 0;
        while (exec && !(exec >> first & 1))
            first++;
        if (k <= FIRST) /* whatever EXEC is; without any lane the first */
            assert_int_equal(w->s[4], in[0][k == READ ? lane % 32 : k == READ_31 ? 31 : first]);
        for (uint32_t l = 0; l < GFX_LANES; l++) {
            bool active = exec >> l & 1;
            uint32_t want = k == WRITE && l == lane % 32 ? value : k == WRITE_9 && l == 9 ? (uint32_t)-5
                          : k >= WAVE && active ? in[0][l] : in[2][l];
            assert_int_equal(w->v[2][l], want);
            assert_int_equal(w->v[0][l], k == SWAP && active ? in[2][l] : in[0][l]);
        }
    }
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(lines));
}

/* Of a register that was written in lane 5 alone. */
static void unwritten_lanes(void **state)
{
    (void)state;
    static const struct { const char *line; uint32_t exec; const char *fault; uint32_t written; } cases[] = {
        { "v_readlane_b32 s4, v0, 5", 1, "", 0 }, { "v_readfirstlane_b32 s4, v0", 0xf0 & ~0x10, "", 0 },
        { "v_readlane_b32 s4, v0, 6", 1, "v0 is read in lane 6 before anything wrote it", 0 },
        { "v_readfirstlane_b32 s4, v0", 0xf0, "v0 is read in lane 4 before anything wrote it", 0 },
        { "v_writelane_b32 v2, 1, 9", 1, "", 1 << 9 },
        { "v_permlane16_b32 v2, v0, 0x55555555, 0x55555555", 0xffff, "", 0xffff },
        { "v_permlane16_b32 v2, v0, 0x55555565, 0x55555565", 0xffff, "v0 is read in lane 6 before anything wrote it",
        0 },
        { "v_permlane16_b32 v2, v0, 0x55555565, 0x55555565", 0x61, "", 0x61 }, /* lane 1 alone would read lane 6 */
        { "v_permlanex16_b32 v2, v0, 0x55555555, 0x55555555", 0x30020, "", 0x30000 },
        { "v_permlane64_b32 v2, v0", 0x20, "", 0x20 },
        { "v_permlane64_b32 v2, v0", 0x60, "v0 is read in lane 6 before anything wrote it", 0 },
        { "v_swap_b32 v0, v1", 0x20, "v1 is read in lane 5 before anything wrote it", 0 },
        { "v_swap_b32 v1, v0", 0x20, "v1 is read in lane 5 before anything wrote it", 0 },
        { "v_mov_b32_dpp v2, v0 row_share:5 row_mask:0x1 bank_mask:0xf", 0xffff, "", 0xffff },
        { "v_mov_b32_dpp v2, v0 row_share:6 row_mask:0x1 bank_mask:0xf", 0xffff,
          "v0 is read in lane 6 before anything wrote it", 0 },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        gfx_insn *i = gfx_test_assemble(&cases[k].line, 1);
        gfx_wave *w = gfx_wave_new();
        w->v_written[0] = 1 << 5;
        w->s[GFX_EXEC] = cases[k].exec;
        gfx_step(w, i);
        if (strcmp(w->fault, cases[k].fault) != 0)
            fail_msg("%s: \"%s\"", cases[k].line, w->fault);
        assert_int_equal(w->v_written[2], cases[k].written);
        gfx_wave_free(w);
        gfx_insns_free(i, 1);
    }
}

static void every_operation(void **state)
{
    (void)state;
    gfx_test_all_ran(gfx_lane_ops);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(dpp), cmocka_unit_test(dpp_of_others), cmocka_unit_test(permlanes), cmocka_unit_test(single_lanes),
    cmocka_unit_test(unwritten_lanes),
    cmocka_unit_test(every_operation),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_lanes", tests, NULL, NULL); }
