/* The record of who touched LDS (tests/gfx12/ops_lds.c): accesses of whole rows, which have one entry for 128 dwords,
 * against the same accesses dword by dword. */
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#define WAVES 3
#define ROWS 2 /* of the 1 KiB that a wave by itself has */

enum { ROW_LOAD, ROW_STORE, PAST_LOAD, PAST_STORE, DWORD_LOAD, DWORD_STORE, KINDS };
static const char *const lines[KINDS] = {
    [ROW_LOAD] = "ds_load_b128 v[4:7], v0",    [ROW_STORE] = "ds_store_b128 v0, v[8:11]",
    [PAST_LOAD] = "ds_load_b64 v[4:5], v1",    [PAST_STORE] = "ds_store_b64 v1, v[8:9]",
    [DWORD_LOAD] = "ds_load_b32 v4, v2",       [DWORD_STORE] = "ds_store_b32 v2, v8",
};

/* Two groups that the same accesses are made in: by instructions, and a lane's after the other's. */
typedef struct pair { gfx_wave *by_insn, *by_lane; } pair;

static void set_address(gfx_wave *w, unsigned reg, uint32_t first, uint32_t apart)
{
    uint32_t at[GFX_LANES];
    for (uint32_t l = 0; l < GFX_LANES; l++)
        at[l] = first + apart * l;
    gfx_test_set_v(w, reg, at);
}

static pair begin(void)
{
    pair p = { gfx_wave_new(), gfx_wave_new() };
    assert_non_null(p.by_insn);
    assert_non_null(p.by_lane);
    static const uint32_t data[GFX_LANES];
    for (unsigned r = 8; r < 12; r++)
        gfx_test_set_v(p.by_insn, r, data);
    return p;
}
static void end(pair *p)
{
    gfx_wave_free(p->by_insn);
    gfx_wave_free(p->by_lane);
}

/* One access of wave `index` at `time`; true where it is a fault, in both groups the same. */
static bool access_both(pair *p, const gfx_insn *insns, int kind, uint32_t first, uint32_t index, uint32_t time)
{
    static const uint32_t bytes_of[KINDS] = { 16, 16, 8, 8, 4, 4 };
    uint32_t bytes = bytes_of[kind];
    gfx_wave *w = p->by_insn, *lanes = p->by_lane;
    w->index = lanes->index = index;
    w->time = lanes->time = time;
    set_address(w, (unsigned)kind / 2, first, bytes);
    gfx_step(w, &insns[kind]);
    gfx_wait(w, GFX_DSCNT, 0);
    for (int l = 0; l < GFX_LANES; l++)
        if (!gfx_lds(lanes, first + bytes * (uint32_t)l, bytes, kind & 1 ? GFX_LDS_WRITE : GFX_LDS_READ, l))
            break;
    if (strcmp(w->fault, lanes->fault) != 0)
        fail_msg("wave %u at %u, %s at %u: \"%s\", a dword after the other \"%s\"", index, time, lines[kind], first,
                 w->fault, lanes->fault);
    return w->fault[0] != 0;
}

/* Random accesses, until the first fault, many times over. Rows are mostly taken whole, so that a row's entry stands for
 * its dwords, is taken apart, and becomes one again. */
static void random_accesses(void **state)
{
    (void)state;
    gfx_insn *insns = gfx_test_assemble(lines, KINDS);
    test_rng rng = test_rng_start("lds rows");
    uint32_t faults = 0, longest = 0, kinds[2] = { 0, 0 }; /* "wrote", "read" */
    for (int n = 0; n < 3000; n++) {
        pair p = begin();
        uint32_t time = 2, steps = 0;
        bool bad = access_both(&p, insns, ROW_STORE, 0, 0, time) || access_both(&p, insns, ROW_STORE, 512, 1, time);
        for (; !bad && steps < 40; steps++) {
            int kind = test_rng_below(&rng, 4) ? (int)test_rng_below(&rng, 2) : (int)test_rng_below(&rng, KINDS);
            uint32_t row = (uint32_t)test_rng_below(&rng, ROWS), first = 512 * row;
            if (kind == PAST_LOAD || kind == PAST_STORE)
                first = 8 * (uint32_t)test_rng_below(&rng, 97);
            if (kind == DWORD_LOAD || kind == DWORD_STORE)
                first += 4 * (uint32_t)test_rng_below(&rng, 97);
            /* Each wave has a row of its own at most times, or there would be a fault soon. */
            uint32_t index = test_rng_below(&rng, 16) ? (row + time / 2) % WAVES : (uint32_t)test_rng_below(&rng, WAVES);
            time += test_rng_below(&rng, 3) == 0 ? 1 + (uint32_t)test_rng_below(&rng, 3) : 0;
            bad = access_both(&p, insns, kind, first, index, time);
        }
        faults += bad;
        longest = steps > longest ? steps : longest;
        kinds[0] += strstr(p.by_insn->fault, " wrote ") != NULL;
        kinds[1] += strstr(p.by_insn->fault, " read with") != NULL;
        end(&p);
    }
    print_message("# measure %u of 3000 sequences end with a fault, %u of a write and %u of a read before; the longest has %u\n",
                  faults, kinds[0], kinds[1], longest);
    assert_true(kinds[0] > 100 && kinds[1] > 100 && longest > 15);
    gfx_insns_free(insns, KINDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_accesses) };
    return cmocka_run_group_tests_name("gfx12_lds", tests, NULL, NULL);
}
