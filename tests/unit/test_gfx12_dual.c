/* VOPD: every pair of operations that one instruction may hold, beside the two instructions by themselves. Both halves
 * read before either writes. */
#include <stdio.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* How an operation's operands are written: destination, two sources; a constant, which both halves share, stands in
 * between or behind. A single v_cndmask_b32 says what a dual one does not: its mask is VCC. */
static const struct half { const char *name, *dual, *single; } halves[] = {
    { "fmac_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "fmaak_f32", "v%u, v%u, v%u, 0x40600000", "v%u, v%u, v%u, 0x40600000" },
    { "fmamk_f32", "v%u, v%u, 0x40600000, v%u", "v%u, v%u, 0x40600000, v%u" },
    { "mul_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "add_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "sub_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "subrev_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "mul_dx9_zero_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "mov_b32", "v%u, v%u", "v%u, v%u" },
    { "cndmask_b32", "v%u, v%u, v%u", "v%u, v%u, v%u, vcc_lo" },
    { "max_num_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "min_num_f32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    /* The second half alone. */
    { "add_nc_u32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "lshlrev_b32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
    { "and_b32", "v%u, v%u, v%u", "v%u, v%u, v%u" },
};
enum { FIRSTS = 12, SECONDS = COUNT(halves), REGISTERS = 10 };

/* Destination and sources of either half. The sources of one place lie in different banks (numbers modulo 4), the
 * destinations are even and odd, as the encoding wants it. */
static const struct { unsigned first[3], second[3]; } shapes[] = {
    { { 8, 0, 2 }, { 9, 1, 3 } },
    { { 8, 9, 2 }, { 9, 8, 3 } }, /* each reads what the other writes */
    { { 8, 0, 9 }, { 9, 1, 8 } },
    { { 8, 9, 9 }, { 9, 8, 8 } },
    { { 9, 9, 2 }, { 8, 8, 3 } }, /* and its own */
};

static const uint32_t edges[] = { 0, 1, 31, 33, 0x80000000, 0x80000001, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000,
                                  0x40490fdb, 0xc0490fdb, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffffffff };

static void fill(gfx_wave *w, uint32_t values[REGISTERS][GFX_LANES], uint32_t exec, uint32_t vcc)
{
    for (unsigned r = 0; r < REGISTERS; r++)
        gfx_test_set_v(w, r, values[r]);
    gfx_test_set_s(w, GFX_VCC, vcc);
    w->s[GFX_EXEC] = exec;
}

/* The register that an operation reads as its third source; -1: none. */
static int third(const struct half *h, const unsigned regs[3])
{
    return strcmp(h->name, "fmac_f32") == 0 ? (int)regs[0] : strcmp(h->name, "fmamk_f32") == 0 ? (int)regs[2] : -1;
}

static bool same(uint32_t a, uint32_t b)
{
    return a == b || (gfx_float(a) != gfx_float(a) && gfx_float(b) != gfx_float(b)); /* any NaN */
}

static void pairs(void **state)
{
    (void)state;
    enum { MOST = FIRSTS * SECONDS * COUNT(shapes) };
    static char text[3 * MOST][160];
    static const char *lines[3 * MOST];
    size_t count = 0;
    for (size_t k = 0; k < MOST; k++) { /* the pair, its halves */
        const struct half *a = &halves[k % FIRSTS], *b = &halves[k / FIRSTS % SECONDS];
        const unsigned *p = shapes[k / FIRSTS / SECONDS].first, *q = shapes[k / FIRSTS / SECONDS].second;
        char first[60], second[60];
        if (third(a, p) >= 0 && third(b, q) >= 0 && third(a, p) % 2 == third(b, q) % 2)
            continue; /* of one bank: there is no such pair */
        size_t n = count++;
        snprintf(first, sizeof first, a->dual, p[0], p[1], p[2]);
        snprintf(second, sizeof second, b->dual, q[0], q[1], q[2]);
        snprintf(text[3 * n], sizeof *text, "v_dual_%s %s :: v_dual_%s %s", a->name, first, b->name, second);
        snprintf(first, sizeof first, a->single, p[0], p[1], p[2]);
        snprintf(second, sizeof second, b->single, q[0], q[1], q[2]);
        snprintf(text[3 * n + 1], sizeof *text, "v_%s %s", a->name, first);
        snprintf(text[3 * n + 2], sizeof *text, "v_%s %s", b->name, second);
    }
    assert_true(count >= FIRSTS * SECONDS * (COUNT(shapes) - 1));
    for (size_t k = 0; k < 3 * count; k++)
        lines[k] = text[k];
    gfx_insn *i = gfx_test_assemble(lines, 3 * count);
    gfx_wave *both = gfx_wave_new(), *one[2] = { gfx_wave_new(), gfx_wave_new() };
    test_rng rng = test_rng_start("pairs");
    assert_true(both && one[0] && one[1]);
    for (size_t n = 0; n < count; n++)
        for (int round = 0; round < 6; round++) {
            uint32_t values[REGISTERS][GFX_LANES];
            for (int r = 0; r < REGISTERS; r++)
                for (int l = 0; l < GFX_LANES; l++)
                    values[r][l] = test_rng_below(&rng, 2) ? edges[test_rng_below(&rng, COUNT(edges))]
                                                           : (uint32_t)test_rng_next(&rng);
            uint32_t exec = round % 2 ? (uint32_t)test_rng_next(&rng) : UINT32_MAX, vcc = (uint32_t)test_rng_next(&rng);
            fill(both, values, exec, vcc), fill(one[0], values, exec, vcc), fill(one[1], values, exec, vcc);
            gfx_test_step(both, &i[3 * n]);
            unsigned to[2];
            for (int h = 0; h < 2; h++) {
                gfx_test_step(one[h], &i[3 * n + 1 + (size_t)h]);
                to[h] = i[3 * n + 1 + (size_t)h].dst.index;
            }
            for (unsigned r = 0; r < REGISTERS; r++)
                for (int l = 0; l < GFX_LANES; l++) {
                    uint32_t want = r == to[0] ? one[0]->v[r][l] : r == to[1] ? one[1]->v[r][l] : values[r][l];
                    if (!same(both->v[r][l], want))
                        fail_msg("%s: v%u, lane %d: %x, not %x", lines[3 * n], r, l, both->v[r][l], want);
                }
        }
    assert_int_equal(both->stats.insns[GFX_VALU_DUAL], 6 * count); /* a pair is one */
    assert_int_equal(gfx_issue_cycles(&both->stats), 6 * count);
    gfx_wave_free(both), gfx_wave_free(one[0]), gfx_wave_free(one[1]);
    gfx_insns_free(i, (uint32_t)(3 * count));
}

/* Either half's sources must have been written: of a lane that is active, each register by itself. */
static void pairs_of_unwritten(void **state)
{
    (void)state;
    static const char *const lines[] = { "v_dual_fmac_f32 v8, v0, v2 :: v_dual_cndmask_b32 v9, v1, v3",
                                         "v_dual_cndmask_b32 v8, v0, v2 :: v_dual_fmac_f32 v9, v1, v3" };
    gfx_insn *i = gfx_test_assemble(lines, 2);
    for (int round = 0; round < 4; round++)
        for (unsigned missing = 0; missing < REGISTERS; missing++) {
            int k = round % 2;
            gfx_wave *w = gfx_wave_new();
            uint32_t values[REGISTERS][GFX_LANES] = { { 0 } };
            char want[80] = "";
            assert_non_null(w);
            fill(w, values, round < 2 ? 0xff : UINT32_MAX, 0);
            w->v_written[missing] = ~UINT32_C(8);
            if (missing < 4 || missing == 8u + (unsigned)k)
                snprintf(want, sizeof want, "v%u is read in lane 3 before anything wrote it", missing);
            gfx_step(w, &i[k]);
            assert_string_equal(w->fault, want);
            gfx_wave_free(w);
        }
    gfx_insns_free(i, 2);
}

/* A move takes along which lanes nothing wrote, as the first half and as the second. */
static void moves_of_unwritten(void **state)
{
    (void)state;
    static const char *const lines[] = { "v_dual_mov_b32 v8, v0 :: v_dual_mov_b32 v9, v1" };
    gfx_insn *i = gfx_test_assemble(lines, 1);
    for (int round = 0; round < 4; round++) {
        gfx_wave *w = gfx_wave_new();
        uint32_t values[REGISTERS][GFX_LANES] = { { 0 } }, missing = (uint32_t)round % 2;
        assert_non_null(w);
        fill(w, values, round < 2 ? 0xff : UINT32_MAX, 0);
        w->v_written[missing] = ~UINT32_C(8);
        gfx_step(w, i);
        assert_string_equal(w->fault, "");
        assert_int_equal(w->v_written[8 + missing], ~UINT32_C(8));
        assert_int_equal(w->v_written[9 - missing], UINT32_MAX);
        gfx_wave_free(w);
    }
    gfx_insns_free(i, 1);
}

/* VCC is read though no operand names it. */
static void unwritten_mask(void **state)
{
    (void)state;
    static const char *const lines[] = { "v_dual_cndmask_b32 v8, v0, v2 :: v_dual_mov_b32 v9, v1",
                                         "v_dual_mov_b32 v8, v0 :: v_dual_cndmask_b32 v9, v1, v3" };
    gfx_insn *i = gfx_test_assemble(lines, 2);
    for (int k = 0; k < 2; k++) {
        gfx_wave *w = gfx_wave_new();
        uint32_t values[REGISTERS][GFX_LANES] = { { 0 } };
        assert_non_null(w);
        fill(w, values, UINT32_MAX, 0);
        w->s_written[GFX_VCC] = false;
        gfx_step(w, &i[k]);
        assert_string_equal(w->fault, "vcc_lo is read before anything wrote it");
        gfx_wave_free(w);
    }
    gfx_insns_free(i, 2);
}

static bool listed(const char *text, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        size_t n = strlen(halves[k].name);
        if (strncmp(text, "v_dual_", 7) == 0 && strncmp(text + 7, halves[k].name, n) == 0 && text[7 + n] == ' ')
            return true;
    }
    return false;
}

/* Every operation that the encoding has a number for, as LLVM reads it, is in the table above. */
static void every_encoding(void **state)
{
    (void)state;
    enum { MOVE = 8 };
    size_t known[2] = { 0, 0 };
    for (uint64_t n = 0; n < 16 + 32; n++) {
        /* srcx0 = v0, vsrcx1 = v2, opy, opx, the encoding; srcy0 = v1, vsrcy1 = v3, vdsty = 9, vdstx = 8; a constant. A
         * move has no second source. */
        uint64_t x = n < 16 ? n : MOVE, y = n < 16 ? MOVE : n - 16;
        uint64_t word = 256 | (x == MOVE ? 0u : 2u) << 9 | y << 17 | x << 22 | UINT64_C(0x32) << 26 |
                        (UINT64_C(257) | (y == MOVE ? 0u : 3u) << 9 | 4 << 17) << 32 | UINT64_C(8) << 56;
        uint8_t bytes[12];
        memcpy(bytes, &word, 8);
        memcpy(bytes + 8, &(uint32_t){ 0x40600000 }, 4);
        gfx_insn *i;
        uint32_t count;
        gfx_error err;
        size_t size = (n < 16 ? x : y) == 1 || (n < 16 ? x : y) == 2 ? 12 : 8;
        if (!gfx_decode(bytes, size, 0, &i, &count, &err)) {
            if (strncmp(err.text, "no instruction", 14) != 0)
                fail_msg("%s", err.text);
            continue;
        }
        assert_int_equal(count, 1);
        const char *second = strstr(i->text, " :: ");
        assert_non_null(second);
        if (!listed(i->text, FIRSTS) || !listed(second + 4, SECONDS))
            fail_msg("no test of %s", i->text);
        known[n >= 16]++;
        gfx_insns_free(i, count);
    }
    assert_int_equal(known[0], FIRSTS);
    assert_int_equal(known[1], SECONDS);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(pairs), cmocka_unit_test(pairs_of_unwritten), cmocka_unit_test(moves_of_unwritten),
    cmocka_unit_test(unwritten_mask),
    cmocka_unit_test(every_encoding),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_dual", tests, NULL, NULL); }
