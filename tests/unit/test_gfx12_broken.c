/* Kernels that are wrong on purpose: the interpreter finds each and says where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/card.h"
#include "tests/gfx12/testing.h"

enum { N = 64 };

static const struct { const char *kernel, *found; } compiled[] = {
    { "reads_beyond", "wave 0: lane 0 reads 4 bytes at byte 256 of x, which has 256" },
    { "writes_beyond", "wave 0: lane 0 writes 4 bytes at byte 256 of y, which has 256" },
    { "writes_input", "wave 0: lane 0 writes to x, which is read only, at byte 0" },
    { "misaligned", "wave 0: lane 0: 4 bytes at byte 2 of x are not aligned" },
    { "scalar_beyond", "wave 0: the wave reads 4 bytes at byte 25600 of x, which has 256" },
    { "lds_unwritten", "wave 1: lane 0 reads LDS at 128 before anything wrote it" },
    { "lds_beyond", "wave 0: lane 0: 4 bytes of LDS at 256, of which the kernel has 256" },
    { "lds_beyond_in_part", "wave 1: lane 16: 4 bytes of LDS at 256, of which the kernel has 256" },
    { "no_barrier_before_read", "LDS at" },
    { "no_barrier_before_write", "LDS at" },
    { "two_writers", "wave 1: lane 0 writes LDS at 0, which wave 0 wrote with no barrier between" },
    { "atomics_unordered", "LDS at 0, which wave" },
    { "barrier_of_one_wave", "1 of 2 waves wait at a barrier that the others never reach" },
    { "endless", "does not end" },
    { "matrix_of_half_a_wave", "wave 0: WMMA under a partial EXEC 0x0000ffff" },
}, assembled[] = {
    { "vector_unwritten", "v3 is read in lane 0 before anything wrote it; at 0x" },
    { "moved_unwritten", "v6 is read in lane 0 before anything wrote it" },
    { "lanes_unwritten", "v2 is read in lane 16 before anything wrote it" },
    { "scalar_unwritten", "s9 is read before anything wrote it" },
    { "scalar_moved_unwritten", "s11 is read before anything wrote it" },
    { "condition_unwritten", "SCC is read before anything wrote it" },
    { "no_wait_for_load", "v2 is read before s_wait_loadcnt covers its load" },
    { "wait_for_too_few", "v3 is read before s_wait_loadcnt covers its load" },
    { "no_wait_for_lds", "v2 is read before s_wait_dscnt covers its load" },
    { "no_wait_for_scalar", "s8 is read before s_wait_kmcnt covers its load" },
    { "overwrites_a_load", "v2 is written while a load into it is under way" },
    { "overwrites_a_scalar_load", "s8 is written while a load into it is under way" },
    { "two_loads_into_one", "v2 is written while a load into it is under way" },
    { "waits_without_signal", "waits at a barrier that it did not signal" },
    { "signals_twice", "signals a barrier twice" },
    { "writes_before_the_wait", "LDS at" },
    { "store_of_unwritten", "v3 is read in lane 0 before anything wrote it" },
    { "address_unwritten", "v3 is read in lane 0 before anything wrote it" },
    { "base_unwritten", "s9 is read before anything wrote it" },
    { "no_wait_for_address", "v2 is read before s_wait_loadcnt covers its load" },
    { "matrix_unwritten", "v4 is read in lane 0 before anything wrote it" },
    { "no_wait_for_matrix", "v2 is read before s_wait_loadcnt covers its load" },
    { "waits_for_another_counter", "v2 is read before s_wait_loadcnt covers its load" },
    { "waits_for_one_of_two_scalars", "s8 is read before s_wait_kmcnt covers its load" },
    { "atomic_beyond", "of y, which has 256" },
    { "lds_atomic_unwritten", "before anything wrote it" },
    { "scratch_beyond", "lane 0: 4 bytes of scratch at 16, of which the kernel has 16" },
    { "scratch_beyond_in_part", "lane 4: 4 bytes of scratch at 16, of which the kernel has 16" },
    { "mask_unwritten", "vcc_lo is read before anything wrote it" },
    { "scale_unwritten", "vcc_lo is read before anything wrote it" },
    { "branch_unwritten", "vcc_lo is read before anything wrote it" },
    { "no_wait_for_mask", "vcc_lo is read before s_wait_kmcnt covers its load" },
    { "below_every_buffer", "lane 0 reads 4 bytes at 0x40, below every buffer" },
    { "runs_on", "runs past the kernel's end" },
    { "another_barrier", "a barrier other than the workgroup's" },
    { "waits_at_another_barrier", "a barrier other than the workgroup's" },
    { "rounds_up", "rounds another way than to nearest" },
    { "flushes_denormals", "flushes denormals" },
};

static void expect(const gfx_code *code, const char *name, const char *found, uint64_t seed)
{
    card c = { .count = 0 };
    float *x = card_buffer(&c, "x", 4 * N), *y = card_buffer(&c, "y", 4 * N);
    struct { const float *x; float *y; int n; } args = { x, y, N };
    c.buffers[0].writable = false;
    for (int i = 0; i < N; i++)
        x[i] = y[i] = 0;
    gfx_launch l = { .kernel = gfx_kernel_find(code, name), .grid = { 1, 1, 1 }, .block = { N, 1, 1 }, .args = &args,
                     .buffers = c.buffers, .buffer_count = c.count, .insns_max = 10000, .seed = seed };
    gfx_error err = { "" };
    if (!l.kernel)
        fail_msg("no kernel %s", name);
    x[0] = gfx_float(N); /* what "endless" waits to change */
    if (gfx_run(&l, NULL, &err))
        fail_msg("%s: nothing was found", name);
    if (strncmp(err.text, name, strlen(name)) != 0 || !strstr(err.text, found))
        fail_msg("%s: %s", name, err.text);
    card_free(&c);
}

/* Reads and writes up to 64 KiB outside a buffer, whose neighbours are large and were made right before and behind it,
 * are found as such. */
static void far_outside(void **state)
{
    (void)state;
    static const int bytes[] = { -4, -64, -4096, -(int)GUARD_MARGIN / 2, 4 - (int)GUARD_MARGIN, 4 * N, 4 * N + 64, 4096,
                                 GUARD_MARGIN / 2, GUARD_MARGIN + 4 * N - 4 };
    gfx_code code = gfx_test_compile("gfx1201", "tests/gfx12/broken.hip", "");
    card c = { .count = 0 };
    card_buffer(&c, "before", 1 << 17);
    float *x = card_buffer(&c, "x", 4 * N);
    card_buffer(&c, "behind", 1 << 17);
    float *y = card_buffer(&c, "y", 4 * N);
    for (size_t k = 0; k < 2 * sizeof bytes / sizeof *bytes; k++) {
        bool write = k % 2;
        struct { const float *x; float *y; int n; } args = { write ? y : x, write ? x : y, bytes[k / 2] / 4 };
        gfx_launch l = { .kernel = gfx_kernel_find(&code, write ? "writes_beyond" : "reads_beyond"),
                         .grid = { 1, 1, 1 }, .block = { 1, 1, 1 }, .args = &args, .buffers = c.buffers,
                         .buffer_count = c.count };
        gfx_error err = { "" };
        char want[100];
        snprintf(want, sizeof want, "lane 0 %s 4 bytes at byte %d of x, which has %d", write ? "writes" : "reads",
                 bytes[k / 2], 4 * N);
        assert_non_null(l.kernel);
        if (gfx_run(&l, NULL, &err))
            fail_msg("%d bytes away: nothing was found", bytes[k / 2]);
        if (!strstr(err.text, want))
            fail_msg("%d bytes away: %s", bytes[k / 2], err.text);
    }
    card_free(&c);
    gfx_code_free(&code);
}

static void broken_kernels(void **state)
{
    (void)state;
    gfx_code code = gfx_test_compile("gfx1201", "tests/gfx12/broken.hip", "");
    assert_int_equal(code.count, sizeof compiled / sizeof *compiled);
    for (size_t k = 0; k < code.count; k++)
        expect(&code, compiled[k].kernel, compiled[k].found, 0);
    /* A race is found whichever wave runs first. */
    for (uint64_t seed = 1; seed < 6; seed++) {
        expect(&code, "no_barrier_before_read", "with no barrier between", seed);
        expect(&code, "no_barrier_before_write", "with no barrier between", seed);
        expect(&code, "two_writers", "wrote with no barrier between", seed);
        expect(&code, "atomics_unordered", "with no barrier between", seed);
    }
    gfx_code_free(&code);
}

static void broken_assembly(void **state)
{
    (void)state;
    gfx_code code = gfx_test_assemble_file("tests/gfx12/broken.s");
    assert_int_equal(code.count, sizeof assembled / sizeof *assembled);
    for (size_t k = 0; k < code.count; k++)
        for (uint64_t seed = 0; seed < 3; seed++)
            expect(&code, assembled[k].kernel, assembled[k].found, seed);
    gfx_code_free(&code);
}

static void expect_refusal(const char *source, const char *more, const char *why)
{
    char flags[300], *out = test_path("refused.co");
    snprintf(flags, sizeof flags, "-x hip --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib -O2 %s "
             "--offload-arch=gfx1201", more);
    gfx_test_clang(flags, source, out);
    size_t size;
    uint8_t *elf = test_read_file(out, &size);
    gfx_code code;
    gfx_error err = { "" };
    assert_false(gfx_code_load(elf, size, &code, &err));
    if (!strstr(err.text, why))
        fail_msg("%s: %s", more, err.text);
    free(elf), free(out);
}

/* What the hardware would do in another mode, or what is not interpreted, is refused when the code is loaded. */
static void refused(void **state)
{
    (void)state;
    static const struct { const char *flags, *why; } unknown[] = {
        { "-DUNKNOWN_INSTRUCTION", "unknown_instruction: an instruction that is not known in \"v_lerp_u8" },
        { "-DUNKNOWN_MODIFIER", "unknown_modifier: a modifier that is not known in \"v_pk_add_u16" },
    };
    static const char source[] = "extern \"C\" __attribute__((global)) void k(float *y) { y[0] *= 3; }\n"
                                 "#ifdef MODE\nextern \"C\" __attribute__((global)) void t(float *y)\n"
                                 "{ asm volatile(\"s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 1\"); y[0] *= 3; }\n"
                                 "#endif\n";
    static const struct { const char *flags, *why; } cases[] = {
        { "-fgpu-flush-denormals-to-zero", "compiled to flush f32 denormals: k" },
        { "-mwavefrontsize64", "not compiled for waves of 32 lanes: k" },
        { "-DMODE", "an instruction that is not known in \"s_setreg" },
    };
    char *path = test_path("mode.hip");
    test_write_file(path, source, sizeof source - 1);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        expect_refusal(path, cases[k].flags, cases[k].why);
    for (size_t k = 0; k < sizeof unknown / sizeof *unknown; k++)
        expect_refusal("tests/gfx12/broken.hip", unknown[k].flags, unknown[k].why);
    free(path);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(broken_kernels), cmocka_unit_test(broken_assembly), cmocka_unit_test(far_outside),
    cmocka_unit_test(refused),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_broken", tests, NULL, NULL); }
