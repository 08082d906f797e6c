/* The interpreter of gfx1201 machine code (tests/gfx12): lanes and masks, what it must find, and the tile fragments
 * of tests/gfx12/fragment.hip and a workgroup's reduction, compiled and executed. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"
#include "format/tile.h"
#include "kernels/gfx12/gfx12.h"

/* ---- what moves between lanes, masks and scalars ---- */

static void lanes_and_masks(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "v_mov_b32_dpp v1, v0 row_xmask:3 row_mask:0xf bank_mask:0xf",
        "v_mov_b32_dpp v1, v0 row_shr:1 row_mask:0xf bank_mask:0xf bound_ctrl:1",
        "v_mov_b32_dpp v1, v0 row_shr:1 row_mask:0xf bank_mask:0xf",
        "v_mov_b32_dpp v1, v0 quad_perm:[1,0,3,2] row_mask:0x1 bank_mask:0xf",
        "v_mov_b32_dpp v1, v0 dpp8:[7,6,5,4,3,2,1,0]",
        "v_permlanex16_b32 v1, v0, s0, s1",
        "v_cmp_lt_u32 s2, v0, s3",
        "v_cmpx_lt_u32 v0, v2",
        "v_cndmask_b32 v1, v0, v2, s2",
        "v_add_co_u32 v1, s4, v0, v2",
        "v_add_co_ci_u32 v3, s5, v0, v2, s4",
        "v_readlane_b32 s6, v0, 5",
        "v_readfirstlane_b32 s6, v0",
        "v_dual_mov_b32 v4, v5 :: v_dual_mov_b32 v5, v4",
        "v_lshlrev_b64 v[6:7], 4, v[8:9]",
        "v_mbcnt_lo_u32_b32 v1, -1, 0",
    };
    enum { XMASK, SHR_ZERO, SHR_KEEP, QUAD, DPP8, PERMX, CMP, CMPX, CND, ADDCO, ADDCI, READLANE, FIRST, DUAL, WIDE,
           MBCNT };
    uint32_t count = sizeof lines / sizeof *lines, ids[GFX_LANES], big[GFX_LANES], out[GFX_LANES];
    gfx_insn *i = gfx_test_assemble(lines, count);
    gfx_wave *w = gfx_wave_new();
    for (uint32_t l = 0; l < GFX_LANES; l++)
        ids[l] = 100 + l, big[l] = 0xffffff98 + (l % 2) * 8, out[l] = 7;
    gfx_test_set_v(w, 0, ids);
    gfx_test_set_v(w, 1, out);
    gfx_step(w, &i[XMASK]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], 100 + (l ^ 3));
    gfx_step(w, &i[SHR_ZERO]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], l % 16 ? 99 + l : 0);
    gfx_test_set_v(w, 1, out);
    gfx_step(w, &i[SHR_KEEP]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], l % 16 ? 99 + l : 7);
    gfx_test_set_v(w, 1, out);
    gfx_step(w, &i[QUAD]); /* the first row of 16 alone is written */
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], l < 16 ? 100 + (l ^ 1) : 7);
    w->s[GFX_EXEC] = 0xfffffffe; /* lane 0 is inactive: lane 7 has no source */
    gfx_test_set_v(w, 1, out);
    gfx_step(w, &i[DPP8]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], l == 0 || l == 7 ? 7 : 100 + (l ^ 7));
    w->s[GFX_EXEC] = UINT32_MAX;
    w->s[0] = 0x76543210, w->s[1] = 0xfedcba98, w->s_written[0] = w->s_written[1] = true;
    gfx_step(w, &i[PERMX]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], 100 + (l ^ 16));
    w->s[3] = 108, w->s_written[3] = true;
    w->s[GFX_EXEC] = 0x0000fff0;
    gfx_step(w, &i[CMP]); /* lanes below 108, active ones alone */
    assert_int_equal(w->s[2], 0xf0);
    w->s[GFX_EXEC] = UINT32_MAX;
    gfx_test_set_v(w, 2, big);
    gfx_step(w, &i[CND]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], l >= 4 && l < 8 ? big[l] : ids[l]);
    gfx_step(w, &i[ADDCO]);
    gfx_step(w, &i[ADDCI]);
    for (uint32_t l = 0; l < GFX_LANES; l++) {
        uint64_t sum = (uint64_t)ids[l] + big[l];
        assert_int_equal(w->v[1][l], (uint32_t)sum);
        assert_int_equal(w->s[4] >> l & 1, sum >> 32);
        assert_int_equal(w->v[3][l], (uint32_t)(sum + (sum >> 32)));
    }
    gfx_step(w, &i[READLANE]);
    assert_int_equal(w->s[6], 105);
    w->s[GFX_EXEC] = 0xfff00000;
    gfx_step(w, &i[FIRST]);
    assert_int_equal(w->s[6], 120);
    w->s[GFX_EXEC] = UINT32_MAX;
    gfx_test_set_v(w, 4, ids), gfx_test_set_v(w, 5, big);
    gfx_step(w, &i[DUAL]); /* both halves read before either writes */
    assert_memory_equal(w->v[4], big, sizeof big);
    assert_memory_equal(w->v[5], ids, sizeof ids);
    gfx_test_set_v(w, 8, big), gfx_test_set_v(w, 9, ids);
    gfx_step(w, &i[WIDE]);
    for (uint32_t l = 0; l < GFX_LANES; l++) {
        uint64_t x = ((uint64_t)ids[l] << 32 | big[l]) << 4;
        assert_int_equal(w->v[6][l], (uint32_t)x);
        assert_int_equal(w->v[7][l], x >> 32);
    }
    gfx_step(w, &i[MBCNT]);
    for (uint32_t l = 0; l < GFX_LANES; l++)
        assert_int_equal(w->v[1][l], l);
    gfx_step(w, &i[CMPX]);
    assert_int_equal(w->s[GFX_EXEC], UINT32_MAX);
    assert_string_equal(w->fault, "");
    gfx_wave_free(w);
    gfx_insns_free(i, count);
}

/* ---- what must be found ---- */

static void faults(void **state)
{
    (void)state;
    static const struct { const char *line, *fault; } cases[] = {
        { "v_add_f32 v1, v0, v0", "v0 is read in lane 0 before anything wrote it" },
        { "s_add_co_u32 s1, s0, s0", "s0 is read before anything wrote it" },
        { "s_cselect_b32 s1, 1, 2", "SCC is read before anything wrote it" },
        { "v_wmma_i32_16x16x16_iu8 v[0:7], v[8:9], v[10:11], v[0:7]", "WMMA under a partial EXEC 0x0000ffff" },
        { "ds_load_b32 v1, v2 offset:1021", "lane 0: 4 bytes of LDS at 1021, of which the kernel has 1024" },
        { "ds_load_b32 v1, v2", "lane 0 reads LDS at 0 before anything wrote it" },
        { "global_load_b32 v1, v[2:3], off", "lane 0 reads 4 bytes at 0x0, below every buffer" },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint32_t zeros[GFX_LANES] = { 0 };
        gfx_insn *i = gfx_test_assemble(&cases[k].line, 1);
        gfx_wave *w = gfx_wave_new();
        gfx_test_set_v(w, 2, zeros), gfx_test_set_v(w, 3, zeros);
        if (strstr(cases[k].line, "wmma"))
            w->s[GFX_EXEC] = 0xffff;
        gfx_step(w, i);
        assert_string_equal(w->fault, cases[k].fault);
        gfx_wave_free(w);
        gfx_insns_free(i, 1);
    }
    /* A load's register is not there before the wait that covers it; the loads of a counter come back in order. */
    static const char *const lines[] = { "ds_store_b32 v2, v2", "ds_load_b32 v4, v2", "ds_load_b32 v5, v2",
                                         "s_wait_dscnt 0x1", "v_mov_b32 v6, v4", "v_mov_b32 v6, v5" };
    uint32_t zeros[GFX_LANES] = { 0 };
    gfx_insn *i = gfx_test_assemble(lines, 6);
    gfx_wave *w = gfx_wave_new();
    gfx_test_set_v(w, 2, zeros);
    for (int k = 0; k < 5; k++)
        gfx_step(w, &i[k]);
    assert_string_equal(w->fault, "");
    gfx_step(w, &i[5]);
    assert_string_equal(w->fault, "v5 is read before s_wait_dscnt covers its load");
    gfx_wave_free(w);
    gfx_insns_free(i, 6);
}

/* Loads under way beside a plain list of them: which registers are pending, and how many were waited for with how many
 * under way. */
static void loads_under_way(void **state)
{
    (void)state;
    enum { LOADS = 64, REGISTERS = 24 };
    struct { unsigned first, count; } list[GFX_COUNTERS][LOADS];
    uint32_t queued[GFX_COUNTERS] = { 0 };
    uint64_t awaited = 0, in_flight = 0;
    static const gfx_counter counters[] = { GFX_LOADCNT, GFX_DSCNT };
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("under way");
    assert_non_null(w);
    for (int step = 0; step < 20000; step++) {
        gfx_counter c = counters[test_rng_below(&rng, 2)];
        uint32_t n = queued[c], left = test_rng_below(&rng, 8) == 0 ? 0 : (uint32_t)test_rng_below(&rng, LOADS);
        if (test_rng_below(&rng, 3) && n < LOADS) { /* registers of a counter's own: of two at once is a fault */
            unsigned first = (unsigned)test_rng_below(&rng, REGISTERS / 2 - 4) + (c == GFX_DSCNT ? REGISTERS / 2 : 0);
            unsigned count = (unsigned)test_rng_below(&rng, 5);
            gfx_expect(w, c, false, (uint16_t)first, (uint16_t)count);
            list[c][n].first = first, list[c][n].count = count;
            queued[c]++;
        } else {
            uint32_t all = 0, done = 0;
            gfx_wait(w, c, left);
            for (uint32_t k = 0; k < n; k++) {
                all += list[c][k].count;
                done += k + left < n ? list[c][k].count : 0;
            }
            if (n > left) {
                memmove(list[c], list[c] + (n - left), left * sizeof list[c][0]);
                queued[c] = left;
                awaited += c == GFX_LOADCNT ? done : 0;
                in_flight += c == GFX_LOADCNT ? (uint64_t)done * all : 0;
            }
        }
        uint8_t pending[REGISTERS] = { 0 };
        for (size_t k = 0; k < sizeof counters / sizeof *counters; k++)
            for (uint32_t q = 0; q < queued[counters[k]]; q++)
                memset(pending + list[counters[k]][q].first, 1 + (int)counters[k], list[counters[k]][q].count);
        assert_memory_equal(w->v_pending, pending, sizeof pending);
        assert_int_equal(w->queued[c], queued[c]);
        assert_string_equal(w->fault, "");
    }
    assert_int_equal(w->stats.awaited, awaited);
    assert_int_equal(w->stats.in_flight, in_flight);
    gfx_wave_free(w);
}

/* No encoding names registers beyond the last one, and the interpreter reads none for whoever does. */
static void beyond_the_last_register(void **state)
{
    (void)state;
    static const char *const lines[] = { "global_store_b128 v[252:253], v[252:255], off",
                                         "global_load_b32 v0, v[254:255], off" };
    uint32_t zeros[GFX_LANES] = { 0 };
    gfx_insn *i = gfx_test_assemble(lines, 2);
    i[0].src[1].index = 253;
    i[1].src[0].index = 255;
    for (int k = 0; k < 2; k++) {
        gfx_wave *w = gfx_wave_new();
        for (unsigned r = 250; r < GFX_VGPRS; r++)
            gfx_test_set_v(w, r, zeros);
        gfx_step(w, &i[k]);
        assert_string_equal(w->fault, "v256 is no register");
        gfx_wave_free(w);
    }
    gfx_insns_free(i, 2);
}

static void unknown_is_refused(void **state)
{
    (void)state;
    static const struct { const char *line, *why; } cases[] = {
        { "v_lerp_u8 v0, v1, v2, v3", "an instruction that is not known in \"v_lerp_u8 v0, v1, v2, v3\"" },
        { "v_mad_u32_u24 v0, v1, v2, v3 clamp", "clamp or a factor on what is no float" },
        { "v_cvt_pk_rtz_f16_f32 v0, v1, v2 clamp", "clamp or a factor on what is no float" },
        { "v_cvt_u32_f32 v0, v1 clamp", "clamp or a factor on what is no float" },
        { "v_pk_mul_lo_u16 v0, v1, v2 clamp", "clamp or a factor on what is no float" },
        { "v_mad_u16 v0, v1, v2, v3 clamp", "clamp or a factor on what is no float" },
        { "s_sendmsg sendmsg(MSG_INTERRUPT)", "a message that is not known in \"s_sendmsg sendmsg(MSG_INTERRUPT)\"" },
        { "s_sendmsg 0x7f", "a message that is not known" },
        { "image_load v0, v1, s[0:7] dmask:0x1 dim:SQ_RSRC_IMG_1D", "an instruction that is not known" },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        gfx_insn *insns;
        gfx_error err = { "" };
        assert_false(gfx_test_try(&cases[k].line, 1, &insns, &err));
        if (!strstr(err.text, cases[k].why))
            fail_msg("%s: %s", cases[k].line, err.text);
    }
}

/* ---- kernels ---- */

/* The fragments multiply what the tile holds: against sums over unpacked weights. */
static void fragments(void **state)
{
    (void)state;
    static const char *const targets[] = { "gfx1200", "gfx1201" };
    for (size_t t = 0; t < 2; t++) {
        gfx_code code = gfx_test_compile(targets[t], "tests/gfx12/fragment.hip", "");
        test_rng rng = test_rng_start("fragments");
        gfx_error err;
        /* Q4_K: one tile, chunk 2; activations of 16 tokens. */
        _Alignas(16) uint8_t tile[256 + 4 * 512], x[32 * 32];
        _Alignas(16) int32_t out[256 + 128];
        test_rng_bytes(&rng, tile, sizeof tile);
        test_rng_bytes(&rng, x, sizeof x);
        struct { const void *tile; int chunk; const void *x; void *out; } args = { tile, 2, x, out };
        const gfx_buffer buffers[] = { { "tile", tile, sizeof tile, false }, { "x", x, sizeof x, false },
                                       { "out", out, sizeof out, true } };
        gfx_launch l = { .kernel = gfx_kernel_find(&code, "q4_k_fragment"), .grid = { 1, 1, 1 }, .block = { 32, 1, 1 },
                         .args = &args, .buffers = buffers, .buffer_count = 3 };
        gfx_stats stats;
        assert_non_null(l.kernel);
        if (!gfx_run(&l, &stats, &err))
            fail_msg("%s", err.text);
        assert_int_equal(stats.insns[GFX_WMMA_IU8], 4);
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 8; i++) {
                int row = 8 * (lane >> 4) + i, column = lane & 15, sum = 0; /* a token, an output */
                for (int k = 0; k < 64; k++) {
                    /* Activations: 16-byte halves of 32 bytes a lane, 8 a step. Weights: a word a step, nibbles in
                     * order. */
                    int step = k / 16, half = k % 16 / 8, e = k % 8;
                    int a = (int8_t)x[32 * (16 * half + row) + 8 * step + e];
                    uint8_t byte = tile[256 + 512 * 2 + 16 * (16 * half + column) + 4 * step + e % 4];
                    sum += a * (e < 4 ? byte & 15 : byte >> 4);
                }
                assert_int_equal(out[8 * lane + i], sum);
            }
        for (int lane = 0; lane < 32; lane++)
            assert_memory_equal(&out[256 + 4 * lane], tile + 16 * (lane & 15), 16);
        /* FP8: every sum of 32 products of e4m3 fits a float's 24 bits when codes are small integers. */
        float sums[256];
        static const uint8_t small[] = { 0, 0x38, 0x40, 0x44, 0xb8, 0xc0 }; /* 0, 1, 2, 3, -1, -2 */
        for (size_t k = 0; k < 512; k++) {
            tile[k] = small[test_rng_below(&rng, sizeof small)];
            x[k] = small[test_rng_below(&rng, sizeof small)];
        }
        struct { const void *tile, *x; void *out; } f8 = { tile, x, sums };
        const gfx_buffer f8_buffers[] = { { "tile", tile, 512, false }, { "x", x, 512, false },
                                          { "out", sums, sizeof sums, true } };
        l.kernel = gfx_kernel_find(&code, "f8_fragment"), l.args = &f8, l.buffers = f8_buffers;
        assert_non_null(l.kernel);
        if (!gfx_run(&l, &stats, &err))
            fail_msg("%s", err.text);
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 8; i++) {
                float sum = 0;
                for (int k = 0; k < 32; k++) {
                    int half = k % 16 / 8, at = 8 * (k / 16) + k % 8;
                    sum += ash_e4m3_to_f32(x[16 * (16 * half + 8 * (lane >> 4) + i) + at]) *
                           ash_e4m3_to_f32(tile[16 * (16 * half + (lane & 15)) + at]);
                }
                assert_true(sums[8 * lane + i] == sum);
            }
        /* A buffer that is one byte short is noticed, with its name. */
        const gfx_buffer shorter[] = { { "tile", tile, 511, false }, { "x", x, 512, false },
                                       { "out", sums, sizeof sums, true } };
        l.buffers = shorter;
        assert_false(gfx_run(&l, &stats, &err));
        assert_non_null(strstr(err.text, "lane 31 reads 16 bytes at byte 496 of tile, which has 511"));
        gfx_code_free(&code);
    }
}

/* A workgroup of 8 waves: DPP and LDS sums, a barrier, loops, a division. */
static void workgroup(void **state)
{
    (void)state;
    enum { ROWS = 5, N = 1000 };
    gfx_code code = gfx_test_compile("gfx1201", "tests/gfx12/rms_norm.hip", "");
    static float x[ROWS * N], weight[N], y[ROWS * N], again[ROWS * N];
    test_rng rng = test_rng_start("workgroup");
    for (int i = 0; i < ROWS * N; i++)
        x[i] = test_rng_float(&rng);
    for (int i = 0; i < N; i++)
        weight[i] = test_rng_float(&rng);
    struct { const float *x, *w; float *y; int n; float eps; } args = { x, weight, y, N, 1e-5f };
    const gfx_buffer buffers[] = { { "x", x, sizeof x, false }, { "w", weight, sizeof weight, false },
                                   { "y", y, sizeof y, true } };
    gfx_launch l = { .kernel = gfx_kernel_find(&code, "rms_norm"), .grid = { ROWS, 1, 1 }, .block = { 256, 1, 1 },
                     .args = &args, .buffers = buffers, .buffer_count = 3 };
    gfx_error err;
    gfx_stats stats;
    assert_non_null(l.kernel);
    for (uint64_t seed = 0; seed < 8; seed++) { /* the order of waves changes nothing */
        l.seed = seed;
        memset(y, 0, sizeof y);
        if (!gfx_run(&l, &stats, &err))
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        if (seed == 0)
            memcpy(again, y, sizeof y);
        assert_memory_equal(y, again, sizeof y);
    }
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += (double)x[r * N + i] * (double)x[r * N + i];
        double factor = 1 / sqrt(sum / N + (double)1e-5f);
        /* 4 squares a lane, then 5 and 3 sums of two: at most 12 roundings of 2^-24, half of which the root takes away;
         * the division, the root and two products round once each. */
        for (int i = 0; i < N; i++) {
            double want = (double)x[r * N + i] * factor * (double)weight[i];
            assert_true(fabs((double)y[r * N + i] - want) <= fabs(want) * 10 * 0x1p-24);
        }
    }
    /* Without the barrier some order of waves reads LDS before it is written. */
    const gfx_kernel *racy = gfx_kernel_find(&code, "rms_norm_racy");
    assert_non_null(racy);
    l.kernel = racy;
    bool found = false;
    for (uint64_t seed = 1; seed < 5 && !found; seed++) {
        l.seed = seed;
        found = !gfx_run(&l, &stats, &err);
    }
    assert_true(found);
    assert_non_null(strstr(err.text, "reads LDS at"));
    /* Speed: many rows of the same. */
    l.kernel = gfx_kernel_find(&code, "rms_norm");
    l.seed = 0;
    struct timespec from, to;
    uint64_t insns = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int k = 0; k < 200; k++) {
        assert_true(gfx_run(&l, &stats, &err));
        insns += gfx_total(stats.insns, 0, GFX_EVENTS - 1);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    printf("# measure %.1f M wave instructions/s\n", (double)insns / seconds / 1e6);
    gfx_code_free(&code);
}

static gfx_code open_object(const ash_gfx_object *o)
{
    gfx_code code;
    gfx_error err;
    if (!gfx_code_open(o->data, (size_t)(o->end - o->data), &code, &err))
        fail_msg("%s: %s", o->name, err.text);
    return code;
}

/* The library's kernels run in the interpreter as gfx1201's. Those of gfx1200 are the same machine code, with the same
 * registers and LDS: what is shown of the one holds for the other. */
static void both_targets_are_one(void **state)
{
    (void)state;
    size_t count, others;
    const ash_gfx_object *objects = ash_gfx_objects(ASH_GFX1201, &count);
    (void)ash_gfx_objects(ASH_GFX1200, &others);
    assert_int_equal(count, others);
    assert_true(count > 0);
    for (size_t k = 0; k < count; k++) {
        const ash_gfx_object *other = ash_gfx_object_find(ASH_GFX1200, objects[k].name);
        assert_non_null(other);
        gfx_code a = open_object(&objects[k]), b = open_object(other);
        assert_int_equal(a.count, b.count);
        for (size_t n = 0; n < a.count; n++) {
            const gfx_kernel *x = &a.kernels[n], *y = gfx_kernel_find(&b, x->name);
            if (!y || x->text_bytes != y->text_bytes || memcmp(x->text, y->text, x->text_bytes) != 0 ||
                x->vgprs != y->vgprs || x->sgprs != y->sgprs || x->lds_bytes != y->lds_bytes ||
                x->scratch_bytes != y->scratch_bytes || x->kernarg_bytes != y->kernarg_bytes)
                fail_msg("%s of %s is another one for gfx1200", x->name, objects[k].name);
        }
        gfx_code_free(&a);
        gfx_code_free(&b);
    }
}

/* Registers that spill are counted: of kernels that must. */
static void spills_are_counted(void **state)
{
    (void)state;
    enum { N = 48, LANES = GFX_LANES };
    static float x[N * LANES], y[N * LANES];
    gfx_code code = gfx_test_compile("gfx1201", "tests/gfx12/spill.hip", "");
    const gfx_kernel *vector = gfx_kernel_find(&code, "spills"), *scalar = gfx_kernel_find(&code, "spills_scalars");
    assert_true(vector && scalar && vector->has_metadata && scalar->has_metadata);
    assert_true(vector->vgpr_spills > 0 && vector->scratch_bytes > 0 && vector->vgprs <= 16);
    assert_int_equal(vector->sgpr_spills, 0);
    assert_true(scalar->sgpr_spills > 0);
    assert_int_equal(scalar->vgpr_spills, 0);
    /* What has been spilled comes back. */
    for (int i = 0; i < N * LANES; i++)
        x[i] = (float)(i % 97);
    struct { const float *x; float *y; } args = { x, y };
    const gfx_buffer buffers[] = { { "x", x, sizeof x, false }, { "y", y, sizeof y, true } };
    gfx_launch l = { .kernel = vector, .grid = { 1, 1, 1 }, .block = { LANES, 1, 1 }, .args = &args,
                     .buffers = buffers, .buffer_count = 2 };
    gfx_stats stats;
    gfx_error err;
    if (!gfx_run(&l, &stats, &err))
        fail_msg("%s", err.text);
    assert_true(stats.insns[GFX_SCRATCH_STORE] > 0 && stats.insns[GFX_SCRATCH_LOAD] > 0);
    for (int i = 0; i < N; i++)
        for (int t = 0; t < LANES; t++)
            assert_true(y[t + LANES * (i * 7 % N)] == x[t + LANES * i] * x[t + LANES * (N - 1 - i)]);
    gfx_code_free(&code);
}

/* No kernel spills, nor has it anything else in scratch: by the metadata of the code objects, every kernel of the
 * registry among them. */
static void no_kernel_spills(void **state)
{
    (void)state;
    size_t count, seen = 0, kernel_count;
    const ash_gfx_object *objects = ash_gfx_objects(ASH_GFX1201, &count);
    const ash_gfx_kernel *kernels = ash_gfx_kernels(&kernel_count);
    for (size_t k = 0; k < count; k++) {
        gfx_code code = open_object(&objects[k]);
        for (size_t n = 0; n < code.count; n++) {
            const gfx_kernel *x = &code.kernels[n];
            if (!x->has_metadata || x->scratch_bytes || x->vgpr_spills || x->sgpr_spills)
                fail_msg("%s: %s, %u bytes of scratch, %u vector and %u scalar registers spilled", x->name,
                         x->has_metadata ? "metadata" : "no metadata", x->scratch_bytes, x->vgpr_spills,
                         x->sgpr_spills);
        }
        for (size_t n = 0; n < kernel_count; n++)
            seen += strcmp(kernels[n].object, objects[k].name) == 0 && gfx_kernel_find(&code, kernels[n].symbol);
        gfx_code_free(&code);
    }
    assert_int_equal(seen, kernel_count);
}

static void damaged_code_objects(void **state)
{
    (void)state;
    char *out = test_path("damaged.co");
    gfx_test_clang("-x hip --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib -O2 --offload-arch=gfx1201",
                   "tests/gfx12/fragment.hip", out);
    size_t size;
    uint8_t *elf = test_read_file(out, &size), *copy = malloc(size);
    test_rng rng = test_rng_start("damaged");
    gfx_code code;
    gfx_error err;
    assert_false(gfx_code_load(elf, 63, &code, &err));
    assert_string_equal(err.text, "code object: not an ELF file for AMD GPUs");
    for (int round = 0; round < 300; round++) { /* nothing but an error or a kernel comes of it */
        memcpy(copy, elf, size);
        for (int k = 0; k < 4; k++)
            copy[test_rng_below(&rng, round % 2 ? size : 0x200)] = (uint8_t)test_rng_next(&rng);
        if (gfx_code_load(copy, round % 3 ? size : test_rng_below(&rng, size), &code, &err))
            gfx_code_free(&code);
    }
    free(elf), free(copy), free(out);
}

/* Each table of operations has a program that runs all of it, and no table hides what another one has. */
static void every_table_has_a_test(void **state)
{
    (void)state;
#define TABLE(name) { "gfx_test_all_ran(gfx_" #name "_ops)", gfx_##name##_ops },
    static const struct { const char *call; const gfx_op *ops; } tables[] = { GFX_TABLES(TABLE) };
#undef TABLE
    glob_t files;
    assert_int_equal(glob("tests/unit/test_gfx12_*.c", 0, NULL, &files), 0);
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        bool found = false;
        for (size_t f = 0; f < files.gl_pathc && !found; f++) {
            size_t size;
            uint8_t *text = test_read_file(files.gl_pathv[f], &size);
            found = memmem(text, size, tables[t].call, strlen(tables[t].call)) != NULL;
            free(text);
        }
        if (!found)
            fail_msg("no program of tests/unit calls %s", tables[t].call);
        for (const gfx_op *op = tables[t].ops; op->name; op++)
            if (gfx_op_find(op->name) != op)
                fail_msg("%s is in two places", op->name);
    }
    globfree(&files);
}

/* Whatever the transcendental unit computes is counted as such: a quarter of the rate. */
static void transcendental_is_counted(void **state)
{
    (void)state;
#define TABLE(name) gfx_##name##_ops,
    static const gfx_op *const tables[] = { GFX_TABLES(TABLE) };
#undef TABLE
    static const char *const units[] = { "rcp_", "rsq_", "sqrt_", "exp_", "log_", "sin_", "cos_" };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const gfx_op *op = tables[t]; op->name; op++) {
            bool wanted = false;
            const char *name = op->name + (strncmp(op->name, "v_s_", 4) == 0 ? 4 : 2);
            for (size_t u = 0; u < sizeof units / sizeof *units; u++)
                wanted |= op->name[0] == 'v' && strncmp(name, units[u], strlen(units[u])) == 0;
            if (wanted != ((op->flags & GFX_TRANSCENDENTAL) != 0))
                fail_msg("%s", op->name);
        }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(lanes_and_masks), cmocka_unit_test(faults), cmocka_unit_test(loads_under_way),
    cmocka_unit_test(unknown_is_refused),
    cmocka_unit_test(beyond_the_last_register), cmocka_unit_test(spills_are_counted),
    cmocka_unit_test(fragments), cmocka_unit_test(workgroup), cmocka_unit_test(damaged_code_objects),
    cmocka_unit_test(both_targets_are_one), cmocka_unit_test(no_kernel_spills),
    cmocka_unit_test(every_table_has_a_test),
    cmocka_unit_test(transcendental_is_counted),
};

int main(void) { return cmocka_run_group_tests_name("gfx12", tests, NULL, NULL); }
