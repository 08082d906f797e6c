/* What the interpreter says of global memory that one wave writes and another one reads in the same launch, and the
 * order in which waves run. */
#include <stdio.h>
#include <string.h>

#include "tests/gfx12/card.h"
#include "tests/gfx12/testing.h"

/* found: NULL where nothing is wrong. */
static const struct { const char *kernel; uint32_t groups; const char *found; } cases[] = {
    { "handed_on", 2, NULL },
    { "handed_on_to_wide_loads", 2, NULL },
    { "no_write_back", 2, "of workgroup 0,0,0 wrote and did not release" },
    { "no_wait_for_stores", 2, "of workgroup 0,0,0 wrote and did not release" },
    { "stores_behind_the_release", 2, "of workgroup 0,0,0 wrote and did not release" },
    { "counted_in_the_unit", 2, "of workgroup 0,0,0 wrote and did not release" },
    { "no_count", 2, "of workgroup 0,0,0 wrote and did not release" },
    { "no_invalidate", 2, "of workgroup 0,0,0 wrote with no global_inv scope:SCOPE_DEV behind an atomic" },
    { "parts_handed_on", 2, NULL },
    { "parts_with_no_write_back", 2, "of workgroup 0,0,0 wrote and did not release" },
    { "parts_with_no_invalidate", 2, "of workgroup 0,0,0 wrote with no global_inv scope:SCOPE_DEV behind an atomic" },
    { "beside_a_part", 1, NULL },
    { "at_a_part", 1, "lane 0 reads byte" },
    { "at_a_later_part", 1, "lane 5 reads byte" },
    { "beside_a_part_with_no_barrier", 1, "lane 1 reads byte" },
    { "halves_of_a_dword", 1, NULL },
    { "narrow_of_its_own", 1, NULL },
    { "narrow_of_another", 1, "wrote with no barrier between" },
    { "passed_over", 1, NULL },
    { "passed_over_to_wide_loads", 1, NULL },
    { "passed_with_no_wait", 1, "of workgroup 0,0,0 wrote with no s_wait_storecnt 0 before the barrier" },
    { "passed_with_no_barrier", 1, "of workgroup 0,0,0 wrote with no barrier between" },
    { "passed_with_no_invalidate", 1, "of workgroup 0,0,0 wrote with no global_inv scope:SCOPE_SE behind the barrier" },
    { "scalar_of_stored", 1, "of workgroup 0,0,0 wrote in this launch, through the scalar cache" },
};

static void handing_on(void **state)
{
    (void)state;
    gfx_code code = gfx_test_assemble_file("tests/gfx12/races.s");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            card c = { .count = 0 };
            float *x = card_buffer(&c, "x", 256), *y = card_buffer(&c, "y", 1024);
            struct { const float *x; float *y; int n; } args = { x, y, 0 };
            gfx_launch l = { .kernel = gfx_kernel_find(&code, cases[k].kernel), .grid = { cases[k].groups, 1, 1 },
                             .block = { 64, 1, 1 }, .args = &args, .buffers = c.buffers, .buffer_count = c.count,
                             .seed = seed };
            gfx_error err = { "nothing was found" };
            memset(y, 0, 1024);
            assert_non_null(l.kernel);
            bool fine = gfx_run(&l, NULL, &err);
            if (fine != !cases[k].found || (!fine && !strstr(err.text, cases[k].found)))
                fail_msg("%s, seed %llu: %s", cases[k].kernel, (unsigned long long)seed, err.text);
            card_free(&c);
        }
    gfx_code_free(&code);
}

/* Waves run in turn without a seed, and with one in an order of its own, the same each time. */
static void order_of_waves(void **state)
{
    (void)state;
    enum { WAVES = 16, SEEDS = 8 };
    gfx_code code = gfx_test_assemble_file("tests/gfx12/races.s");
    uint32_t order[SEEDS][WAVES];
    for (uint64_t run = 0; run < 2 * SEEDS; run++) {
        card c = { .count = 0 };
        uint32_t *count = card_buffer(&c, "x", 4), *y = card_buffer(&c, "y", 4 * WAVES);
        struct { uint32_t *x, *y; int n; } args = { count, y, 0 };
        gfx_launch l = { .kernel = gfx_kernel_find(&code, "takes_a_ticket"), .grid = { 1, 1, 1 },
                         .block = { 32 * WAVES, 1, 1 }, .args = &args, .buffers = c.buffers, .buffer_count = c.count,
                         .seed = run % SEEDS };
        gfx_error err;
        uint32_t seen = 0;
        *count = 0;
        assert_non_null(l.kernel);
        if (!gfx_run(&l, NULL, &err))
            fail_msg("%s", err.text);
        for (int w = 0; w < WAVES; w++)
            seen |= UINT32_C(1) << y[w];
        assert_int_equal(seen, (1 << WAVES) - 1);
        if (run < SEEDS)
            memcpy(order[run], y, sizeof order[run]);
        assert_memory_equal(order[run % SEEDS], y, sizeof order[0]);
        card_free(&c);
    }
    for (uint32_t w = 0; w < WAVES; w++)
        assert_int_equal(order[0][w], w);
    for (int a = 0; a < SEEDS; a++) /* one in 16! pairs would be the same by chance */
        for (int b = 0; b < a; b++)
            assert_memory_not_equal(order[a], order[b], sizeof order[0]);
    gfx_code_free(&code);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(handing_on), cmocka_unit_test(order_of_waves) };

int main(void) { return cmocka_run_group_tests_name("gfx12_races", tests, NULL, NULL); }
