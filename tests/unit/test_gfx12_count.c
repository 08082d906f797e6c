/* What an instruction is counted as: its event, the bytes that a lane (of scalar loads: the wave) moves, the cycles of
 * the port that vector and matrix instructions share; and how many waves a SIMD holds. */
#include <stdio.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* The figures are those of AMD's published peaks for gfx1201 (64 compute units of two SIMDs at 2.97 GHz): f16 and bf16
 * 195 T, fp8 and iu8 389 T operations a second make 16 and 8 cycles of 2 * 16^3; a transcendental is a quarter of the
 * rate of others. */
static const struct { const char *text; gfx_event event; unsigned bytes, cycles; } table[] = {
    { "v_add_f32 v6, v0, v2", GFX_VALU, 0, 1 },
    { "v_fma_f32 v6, v0, v2, v4", GFX_VALU, 0, 1 },
    { "v_pk_fma_f16 v6, v0, v2, v4", GFX_VALU, 0, 1 },
    { "v_dot4_i32_iu8 v6, v0, v2, v4", GFX_VALU, 0, 1 },
    { "v_dot4_f32_fp8_fp8 v6, v0, v2, v4", GFX_VALU, 0, 1 },
    { "v_mul_u32_u24 v6, v0, v2", GFX_VALU, 0, 1 },
    { "v_mad_u32_u24 v6, v0, v2, v4", GFX_VALU, 0, 1 },
    { "v_mov_b32_dpp v1, v0 row_xmask:3 row_mask:0xf bank_mask:0xf", GFX_VALU, 0, 1 },
    { "v_permlanex16_b32 v1, v0, s0, s1", GFX_VALU, 0, 1 },
    { "v_readfirstlane_b32 s6, v0", GFX_VALU, 0, 1 },
    { "v_cmp_lt_u32 s2, v0, v3", GFX_VALU, 0, 1 },
    { "v_cmpx_lt_u32 v0, v2", GFX_VALU, 0, 1 },
    { "v_cvt_pk_fp8_f32 v6, v0, v2", GFX_VALU, 0, 1 },
    { "v_dual_fmac_f32 v4, v0, v2 :: v_dual_mov_b32 v5, v1", GFX_VALU_DUAL, 0, 1 },
    { "v_exp_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_log_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_rcp_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_rcp_iflag_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_rsq_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_sqrt_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_sin_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_cos_f32 v6, v0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_s_rcp_f32 s6, s0", GFX_VALU_TRANSCENDENTAL, 0, 4 },
    { "v_mul_lo_u32 v6, v0, v2", GFX_VALU_PRODUCT, 0, 4 },
    { "v_mul_hi_u32 v6, v0, v2", GFX_VALU_PRODUCT, 0, 4 },
    { "v_mul_hi_i32 v6, v0, v2", GFX_VALU_PRODUCT, 0, 4 },
    { "v_mad_co_u64_u32 v[6:7], null, v0, v2, v[4:5]", GFX_VALU_PRODUCT, 0, 4 },
    { "v_mad_co_i64_i32 v[6:7], null, v0, v2, v[4:5]", GFX_VALU_PRODUCT, 0, 4 },
    { "v_wmma_i32_16x16x16_iu8 v[16:23], v[2:3], v[4:5], v[16:23]", GFX_WMMA_IU8, 0, 8 },
    { "v_wmma_f32_16x16x16_fp8_fp8 v[16:23], v[2:3], v[4:5], v[16:23]", GFX_WMMA_FP8, 0, 8 },
    { "v_wmma_f32_16x16x16_fp8_bf8 v[16:23], v[2:3], v[4:5], v[16:23]", GFX_WMMA_FP8, 0, 8 },
    { "v_wmma_f32_16x16x16_bf8_fp8 v[16:23], v[2:3], v[4:5], v[16:23]", GFX_WMMA_FP8, 0, 8 },
    { "v_wmma_f32_16x16x16_bf8_bf8 v[16:23], v[2:3], v[4:5], v[16:23]", GFX_WMMA_FP8, 0, 8 },
    { "v_wmma_f32_16x16x16_f16 v[16:23], v[2:5], v[6:9], v[16:23]", GFX_WMMA_F16, 0, 16 },
    { "v_wmma_f32_16x16x16_bf16 v[16:23], v[2:5], v[6:9], v[16:23]", GFX_WMMA_BF16, 0, 16 },
    { "s_add_co_u32 s0, s1, s2", GFX_SALU, 0, 0 },
    { "s_mul_u64 s[0:1], s[2:3], s[4:5]", GFX_SALU, 0, 0 },
    { "s_fmac_f32 s0, s1, s2", GFX_SALU, 0, 0 },
    { "s_and_saveexec_b32 s0, s1", GFX_SALU, 0, 0 },
    { "s_load_u8 s0, s[2:3], 0x0", GFX_SMEM, 1, 0 },
    { "s_load_i16 s0, s[2:3], 0x0", GFX_SMEM, 2, 0 },
    { "s_load_b32 s0, s[2:3], 0x0", GFX_SMEM, 4, 0 },
    { "s_load_b64 s[0:1], s[2:3], 0x0", GFX_SMEM, 8, 0 },
    { "s_load_b96 s[4:6], s[2:3], 0x0", GFX_SMEM, 12, 0 },
    { "s_load_b128 s[4:7], s[2:3], 0x0", GFX_SMEM, 16, 0 },
    { "s_load_b256 s[8:15], s[2:3], 0x0", GFX_SMEM, 32, 0 },
    { "s_load_b512 s[16:31], s[2:3], 0x0", GFX_SMEM, 64, 0 },
    { "s_cbranch_scc1 -1", GFX_BRANCH, 0, 0 },
    { "s_branch -1", GFX_BRANCH, 0, 0 },
    { "s_wait_loadcnt 0x0", GFX_WAITS, 0, 0 },
    { "s_wait_storecnt 0x0", GFX_WAITS, 0, 0 },
    { "s_wait_loadcnt_dscnt 0x0", GFX_WAITS, 0, 0 },
    { "s_barrier_signal -1", GFX_BARRIERS, 0, 0 },
    { "s_barrier_wait -1", GFX_BARRIERS, 0, 0 },
    { "s_nop 0", GFX_HINTS, 0, 0 },
    { "s_delay_alu instid0(VALU_DEP_1)", GFX_HINTS, 0, 0 },
    { "s_endpgm", GFX_HINTS, 0, 0 },
    { "s_prefetch_inst_pc_rel 0x100, s0, 10", GFX_PREFETCH, 0, 0 },
    { "global_load_u8 v8, v[0:1], off", GFX_LOAD_8, 1, 0 },
    { "global_load_d16_hi_i8 v8, v[0:1], off", GFX_LOAD_8, 1, 0 },
    { "global_load_i16 v8, v[0:1], off", GFX_LOAD_16, 2, 0 },
    { "global_load_d16_b16 v8, v[0:1], off", GFX_LOAD_16, 2, 0 },
    { "global_load_b32 v8, v[0:1], off", GFX_LOAD_32, 4, 0 },
    { "global_load_b64 v[8:9], v3, s[0:1]", GFX_LOAD_64, 8, 0 },
    { "global_load_b96 v[8:10], v[0:1], off", GFX_LOAD_96, 12, 0 },
    { "global_load_b128 v[8:11], v[0:1], off", GFX_LOAD_128, 16, 0 },
    { "flat_load_b128 v[8:11], v[0:1]", GFX_LOAD_128, 16, 0 },
    { "global_store_b8 v[0:1], v8, off", GFX_STORE_8, 1, 0 },
    { "global_store_b16 v[0:1], v8, off", GFX_STORE_16, 2, 0 },
    { "global_store_d16_hi_b16 v[0:1], v8, off", GFX_STORE_16, 2, 0 },
    { "global_store_b32 v[0:1], v8, off", GFX_STORE_32, 4, 0 },
    { "global_store_b64 v3, v[8:9], s[0:1]", GFX_STORE_64, 8, 0 },
    { "global_store_b96 v[0:1], v[8:10], off", GFX_STORE_96, 12, 0 },
    { "global_store_b128 v[0:1], v[8:11], off", GFX_STORE_128, 16, 0 },
    { "flat_store_b64 v[0:1], v[8:9]", GFX_STORE_64, 8, 0 },
    { "global_atomic_add_u32 v3, v8, s[0:1]", GFX_ATOMIC, 4, 0 },
    { "global_atomic_add_f32 v3, v8, s[0:1]", GFX_ATOMIC, 4, 0 },
    { "global_atomic_pk_add_f16 v3, v8, s[0:1]", GFX_ATOMIC, 4, 0 },
    { "global_atomic_max_u64 v3, v[8:9], s[0:1]", GFX_ATOMIC, 8, 0 },
    { "global_atomic_cmpswap_b32 v3, v[8:9], s[0:1]", GFX_ATOMIC, 4, 0 },
    { "ds_load_u8 v8, v2", GFX_LDS_LOAD_8, 1, 0 },
    { "ds_load_i8_d16_hi v8, v2", GFX_LDS_LOAD_8, 1, 0 },
    { "ds_load_u16 v8, v2", GFX_LDS_LOAD_16, 2, 0 },
    { "ds_load_b32 v8, v2", GFX_LDS_LOAD_32, 4, 0 },
    { "ds_load_b64 v[8:9], v2", GFX_LDS_LOAD_64, 8, 0 },
    { "ds_load_2addr_b32 v[8:9], v2 offset1:1", GFX_LDS_LOAD_64, 8, 0 },
    { "ds_load_b96 v[8:10], v2", GFX_LDS_LOAD_96, 12, 0 },
    { "ds_load_b128 v[8:11], v2", GFX_LDS_LOAD_128, 16, 0 },
    { "ds_load_2addr_stride64_b64 v[8:11], v2 offset1:1", GFX_LDS_LOAD_128, 16, 0 },
    { "ds_store_b8 v2, v8", GFX_LDS_STORE_8, 1, 0 },
    { "ds_store_b16 v2, v8", GFX_LDS_STORE_16, 2, 0 },
    { "ds_store_b32 v2, v8", GFX_LDS_STORE_32, 4, 0 },
    { "ds_store_b64 v2, v[8:9]", GFX_LDS_STORE_64, 8, 0 },
    { "ds_store_2addr_b32 v2, v8, v9 offset1:1", GFX_LDS_STORE_64, 8, 0 },
    { "ds_store_b96 v2, v[8:10]", GFX_LDS_STORE_96, 12, 0 },
    { "ds_store_b128 v2, v[8:11]", GFX_LDS_STORE_128, 16, 0 },
    { "ds_store_2addr_b64 v2, v[8:9], v[10:11] offset1:1", GFX_LDS_STORE_128, 16, 0 },
    { "ds_add_u32 v2, v8", GFX_LDS_ATOMICS, 4, 0 },
    { "ds_add_rtn_u64 v[8:9], v2, v[10:11]", GFX_LDS_ATOMICS, 8, 0 },
    { "ds_bpermute_b32 v8, v2, v4", GFX_LDS_LANES, 4, 0 },
    { "ds_swizzle_b32 v8, v2 offset:swizzle(BITMASK_PERM, \"00p11\")", GFX_LDS_LANES, 4, 0 },
    { "scratch_load_b32 v8, off, off", GFX_SCRATCH_LOAD, 4, 0 },
    { "scratch_load_b128 v[8:11], off, off", GFX_SCRATCH_LOAD, 16, 0 },
    { "scratch_load_u8 v8, off, off", GFX_SCRATCH_LOAD, 1, 0 },
    { "scratch_store_b64 off, v[8:9], off", GFX_SCRATCH_STORE, 8, 0 },
    { "scratch_store_b16 off, v8, off", GFX_SCRATCH_STORE, 2, 0 },
};

static void events(void **state)
{
    (void)state;
    const char *lines[COUNT(table)];
    bool seen[GFX_EVENTS] = { false };
    for (size_t k = 0; k < COUNT(table); k++)
        lines[k] = table[k].text;
    gfx_insn *i = gfx_test_assemble(lines, COUNT(lines));
    for (size_t k = 0; k < COUNT(table); k++) {
        if (i[k].event != table[k].event || i[k].bytes != table[k].bytes)
            fail_msg("%s: %s, %u bytes", table[k].text, gfx_event_name(i[k].event), i[k].bytes);
        if (gfx_event_cycles(i[k].event) != table[k].cycles)
            fail_msg("%s: %u cycles", table[k].text, gfx_event_cycles(i[k].event));
        seen[table[k].event] = true;
    }
    for (unsigned e = 0; e < GFX_EVENTS; e++)
        if (!seen[e])
            fail_msg("no test of %s", gfx_event_name(e));
    gfx_insns_free(i, COUNT(lines));
}

/* Sums: of a wave, and of several waves. Bytes are those of active lanes; scalar loads move theirs once. */
static void sums(void **state)
{
    (void)state;
    static const char *const lines[] = { "v_mov_b32 v2, 0", "v_exp_f32 v3, v2", "v_mul_lo_u32 v3, v2, v2",
                                         "v_dual_mov_b32 v4, v2 :: v_dual_mov_b32 v5, v3", "ds_store_b64 v2, v[4:5]",
                                         "v_wmma_i32_16x16x16_iu8 v[16:23], v[2:3], v[4:5], 0" };
    gfx_insn *i = gfx_test_assemble(lines, COUNT(lines));
    gfx_wave *w = gfx_wave_new();
    gfx_stats all;
    memset(&all, 0, sizeof all);
    assert_non_null(w);
    for (size_t k = 0; k < COUNT(lines); k++) {
        w->s[GFX_EXEC] = k == 4 ? 0x10ff : UINT32_MAX;
        gfx_test_step(w, &i[k]);
    }
    assert_int_equal(gfx_issue_cycles(&w->stats), 1 + 4 + 4 + 1 + 8);
    assert_int_equal(w->stats.bytes[GFX_LDS_STORE_64], 9 * 8);
    assert_int_equal(gfx_total(w->stats.insns, 0, GFX_EVENTS - 1), COUNT(lines));
    assert_int_equal(gfx_total(w->stats.insns, GFX_VALU, GFX_VALU_PRODUCT), 4);
    gfx_stats_add(&all, &w->stats);
    gfx_step(w, &i[0]);
    gfx_stats_add(&all, &w->stats);
    assert_int_equal(all.waves, 2);
    assert_int_equal(all.wave_cycles_max, 19);
    assert_int_equal(gfx_issue_cycles(&all), 18 + 19);
    assert_int_equal(all.bytes[GFX_LDS_STORE_64], 2 * 9 * 8);
    gfx_wave_free(w);
    gfx_insns_free(i, COUNT(lines));
}

/* Waves of a SIMD, by hand from what a WGP has: 4 SIMDs, each with 1,536 registers a lane, given out by 24, and room
 * for 16 waves; 128 KiB of LDS, given out by 512 bytes. */
static void occupancy(void **state)
{
    (void)state;
    static const struct { unsigned vgprs, lds, work_items, waves; } cases[] = {
        { 96, 0, 32, 16 },        /* 1536 / 96 */
        { 97, 0, 32, 12 },        /* rounded to 120: 12.8 */
        { 192, 0, 128, 8 },       /* 1536 / 192 */
        { 193, 0, 256, 6 },       /* 216: 7 a SIMD, 28 a WGP, 3 workgroups of 8 waves */
        { 256, 0, 32, 5 },        /* 264: 5.8 */
        { 64, 65536, 256, 4 },    /* 2 workgroups of 8 waves over 4 SIMDs */
        { 64, 33000, 512, 12 },   /* 33,280: 3 of 16 waves */
        { 64, 43520, 128, 3 },    /* 85 * 512: 3 workgroups of 4 waves */
        { 64, 43521, 128, 2 },    /* 86 * 512: 2 */
        { 64, 21600, 128, 5 },    /* 22,016, of which 6 are too many; with parts of 256 bytes they would not be */
        { 120, 0, 1024, 8 },      /* 48 waves, one workgroup of 32 */
        { 32, 512, 64, 16 },      /* enough for more than 16 */
        { 120, 32768, 100, 4 },   /* 4 workgroups of 4 waves, the last of them partly full */
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        gfx_kernel kernel = { .vgprs = cases[k].vgprs, .lds_bytes = cases[k].lds };
        unsigned waves = gfx_occupancy(&kernel, cases[k].work_items);
        if (waves != cases[k].waves)
            fail_msg("%u registers, %u bytes, %u work-items: %u waves, not %u", cases[k].vgprs, cases[k].lds,
                     cases[k].work_items, waves, cases[k].waves);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(events), cmocka_unit_test(sums), cmocka_unit_test(occupancy),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_count", tests, NULL, NULL); }
