/* The interpreter's memory instructions against plain C: every width, halves of registers, two addresses, permutations,
 * atomics, scratch; inactive lanes neither read nor write. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/gfx12/testing.h"

#include "format/halffloat.h"

enum { BYTES = 32 * 64 };

#define COUNT(list) (sizeof(list) / sizeof *(list))

typedef struct bench {
    gfx_wave *w;
    uint8_t memory[BYTES], lds[1024];
    gfx_buffer buffer;
    gfx_launch launch;
    test_rng rng;
} bench;

/* v[0:1] points to 64 bytes a lane, v2 to 32 bytes a lane of LDS, s[0:1] to the memory, v3 is v0 less s0; v8 to v15
 * hold random words, as do memory and LDS. */
static void start(bench *b, const char *name)
{
    memset(b, 0, sizeof *b);
    b->w = gfx_wave_new();
    b->rng = test_rng_start(name);
    assert_non_null(b->w);
    test_rng_bytes(&b->rng, b->memory, sizeof b->memory);
    test_rng_bytes(&b->rng, b->lds, sizeof b->lds);
    b->buffer = (gfx_buffer){ "memory", b->memory, sizeof b->memory, true };
    b->launch = *b->w->group->launch;
    b->launch.buffers = &b->buffer, b->launch.buffer_count = 1;
    b->w->group->launch = &b->launch;
    memcpy(b->w->group->lds, b->lds, sizeof b->lds);
    memcpy(b->w->scratch, b->memory, sizeof b->memory); /* 64 bytes a lane too */
    for (uint32_t k = 0; k < b->w->group->lds_log.row_count; k++)
        b->w->group->lds_log.rows[k].marks = 15 << GFX_LDS_WRITTEN;
    uint64_t base = (uint64_t)(uintptr_t)b->memory;
    uint32_t v[4][GFX_LANES], random[GFX_LANES];
    for (uint32_t l = 0; l < GFX_LANES; l++) {
        v[0][l] = (uint32_t)(base + 64 * l), v[1][l] = (uint32_t)((base + 64 * l) >> 32);
        v[2][l] = 32 * l, v[3][l] = 64 * l;
    }
    for (unsigned r = 0; r < 4; r++)
        gfx_test_set_v(b->w, r, v[r]);
    for (unsigned r = 8; r < 16; r++) {
        test_rng_bytes(&b->rng, random, sizeof random);
        gfx_test_set_v(b->w, r, random);
    }
    gfx_test_set_s(b->w, 0, (uint32_t)base), gfx_test_set_s(b->w, 1, (uint32_t)(base >> 32));
    b->w->s[GFX_EXEC] = 0xa5fff00f;
}
static void finish(bench *b) { gfx_wave_free(b->w); }

/* What a load must leave in a register: `bytes` of the lane's memory from `at`, widened. */
static uint32_t word(const uint8_t *from, unsigned bytes, bool is_signed)
{
    uint32_t x = 0;
    memcpy(&x, from, bytes);
    if (is_signed && bytes < 4 && x >> (8 * bytes - 1))
        x |= UINT32_MAX << 8 * bytes;
    return x;
}

/* ---- loads ---- */

static const struct load {
    const char *text;
    unsigned bytes, at;
    bool is_signed;
    int half;
} loads[] = {
    /* half: -1 none */
    { "global_load_u8 v8, v[0:1], off offset:3", 1, 3, false, -1 },
    { "global_load_i8 v8, v3, s[0:1] offset:7", 1, 7, true, -1 },
    { "global_load_u16 v8, v[0:1], off offset:2", 2, 2, false, -1 },
    { "global_load_i16 v8, v[0:1], off offset:6", 2, 6, true, -1 },
    { "global_load_b32 v8, v3, s[0:1]", 4, 0, false, -1 },
    { "global_load_b64 v[8:9], v[0:1], off offset:8", 8, 8, false, -1 },
    { "global_load_b96 v[8:10], v3, s[0:1] offset:16", 12, 16, false, -1 },
    { "global_load_b128 v[8:11], v[0:1], off offset:32 th:TH_LOAD_NT scope:SCOPE_DEV", 16, 32, false, -1 },
    { "global_load_d16_u8 v8, v[0:1], off offset:5", 1, 5, false, 0 },
    { "global_load_d16_i8 v8, v[0:1], off offset:5", 1, 5, true, 0 },
    { "global_load_d16_b16 v8, v[0:1], off offset:4", 2, 4, false, 0 },
    { "global_load_d16_hi_u8 v8, v[0:1], off offset:5", 1, 5, false, 1 },
    { "global_load_d16_hi_i8 v8, v[0:1], off offset:9", 1, 9, true, 1 },
    { "global_load_d16_hi_b16 v8, v3, s[0:1] offset:4", 2, 4, false, 1 },
    { "flat_load_b64 v[8:9], v[0:1] offset:24", 8, 24, false, -1 },
    { "ds_load_u8 v8, v2 offset:3", 1, 3, false, -1 },
    { "ds_load_i8 v8, v2 offset:5", 1, 5, true, -1 },
    { "ds_load_u16 v8, v2 offset:6", 2, 6, false, -1 },
    { "ds_load_i16 v8, v2", 2, 0, true, -1 },
    { "ds_load_b32 v8, v2 offset:4", 4, 4, false, -1 },
    { "ds_load_b64 v[8:9], v2 offset:8", 8, 8, false, -1 },
    { "ds_load_b96 v[8:10], v2 offset:16", 12, 16, false, -1 },
    { "ds_load_b128 v[8:11], v2 offset:16", 16, 16, false, -1 },
    { "ds_load_u8_d16 v8, v2 offset:1", 1, 1, false, 0 },
    { "ds_load_i8_d16_hi v8, v2 offset:1", 1, 1, true, 1 },
    { "ds_load_i8_d16 v8, v2 offset:3", 1, 3, true, 0 },
    { "ds_load_u8_d16_hi v8, v2 offset:2", 1, 2, false, 1 },
    { "ds_load_u16_d16 v8, v2 offset:2", 2, 2, false, 0 },
    { "ds_load_u16_d16_hi v8, v2 offset:2", 2, 2, false, 1 },
};
static void try_load_under(const struct load *t, uint32_t exec)
{
    bench b;
    start(&b, t->text);
    b.w->s[GFX_EXEC] = exec;
    uint32_t old[4][GFX_LANES];
    memcpy(old, b.w->v[8], sizeof old);
    gfx_insn *i = gfx_test_assemble(&t->text, 1);
    gfx_test_step(b.w, i);
    bool lds = strncmp(t->text, "ds", 2) == 0;
    assert_int_equal(b.w->v_pending[8], lds ? 1 + GFX_DSCNT : 1 + GFX_LOADCNT);
    assert_int_equal(b.w->queued[GFX_DSCNT], lds || strncmp(t->text, "flat", 4) == 0);
    for (int l = 0; l < GFX_LANES; l++)
        for (unsigned n = 0; n < 4; n++) {
            const uint8_t *from = (lds ? b.lds + 32 * l : b.memory + 64 * l) + t->at + 4 * n;
            uint32_t want = old[n][l];
            if (b.w->s[GFX_EXEC] >> l & 1 && 4 * n < t->bytes) {
                uint32_t x = word(from, t->bytes < 4 ? t->bytes : 4, t->is_signed);
                want = t->half < 0 ? x : t->half ? (want & 0xffff) | x << 16 : (want & 0xffff0000) | (x & 0xffff);
            }
            if (b.w->v[8 + n][l] != want)
                fail_msg("%s: lane %d, register %u: %x, not %x", t->text, l, n, b.w->v[8 + n][l], want);
        }
    uint64_t bytes = t->bytes * (uint64_t)__builtin_popcount(b.w->s[GFX_EXEC]);
    assert_int_equal(b.w->stats.bytes[i->event], bytes);
    assert_int_equal(b.w->stats.cached, strstr(t->text, "th:") != NULL);
    gfx_insns_free(i, 1);
    finish(&b);
}

/* Some lanes, and all of them, for which there is code of its own. */
static void try_load(const struct load *t)
{
    try_load_under(t, 0xa5fff00f);
    try_load_under(t, UINT32_MAX);
    try_load_under(t, 0);
}

/* Each width in the three address spaces that name it alike. */
static const struct width { const char *name; unsigned bytes; bool is_signed; int half; } load_widths[] = {
    { "u8", 1, false, -1 }, { "i8", 1, true, -1 }, { "u16", 2, false, -1 }, { "i16", 2, true, -1 },
    { "d16_u8", 1, false, 0 },
    { "d16_i8", 1, true, 0 }, { "d16_b16", 2, false, 0 }, { "d16_hi_u8", 1, false, 1 }, { "d16_hi_i8", 1, true, 1 },
    { "d16_hi_b16", 2, false, 1 }, { "b32", 4, false, -1 }, { "b64", 8, false, -1 }, { "b96", 12, false, -1 },
    { "b128", 16, false, -1 },
};
static const struct { const char *space, *address, *rest; } spaces[] = {
    { "global", "v[0:1]", ", off" }, { "flat", "v[0:1]", "" }, { "scratch", "off", ", off" },
};
static void registers(char out[16], unsigned bytes)
{
    if (bytes <= 4)
        snprintf(out, 16, "v8");
    else
        snprintf(out, 16, "v[8:%u]", 7 + bytes / 4);
}

static void load_ops(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(loads); k++)
        try_load(&loads[k]);
    for (size_t k = 0; k < COUNT(load_widths) * COUNT(spaces); k++) {
        const struct width *t = &load_widths[k % COUNT(load_widths)];
        size_t space = k / COUNT(load_widths);
        char text[100], to[16];
        unsigned at = t->bytes < 4 ? 2 * t->bytes : 20;
        registers(to, t->bytes);
        snprintf(text, sizeof text, "%s_load_%s %s, %s%s offset:%u", spaces[space].space, t->name, to,
                 spaces[space].address, spaces[space].rest, at);
        const struct load one = { text, t->bytes, at, t->is_signed, t->half };
        try_load(&one);
    }
}

static void scalar_loads(void **state)
{
    (void)state;
    static const struct { const char *text; unsigned bytes, at; bool is_signed; } cases[] = {
        { "s_load_u8 s16, s[0:1], 0x5", 1, 5, false }, { "s_load_i8 s16, s[0:1], 0x6", 1, 6, true },
        { "s_load_u16 s16, s[0:1], 0x6", 2, 6, false }, { "s_load_i16 s16, s[0:1], 0x8", 2, 8, true },
        { "s_load_b32 s16, s[0:1], s2 offset:0x4", 4, 36, false }, { "s_load_b64 s[16:17], s[0:1], 0x8", 8, 8, false },
        { "s_load_b96 s[16:18], s[0:1], 0x10", 12, 16, false }, { "s_load_b128 s[16:19], s[0:1], 0x10", 16, 16, false },
        { "s_load_b256 s[16:23], s[0:1], 0x20", 32, 32, false },
        { "s_load_b512 s[16:31], s[0:1], 0x40", 64, 64, false },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        bench b;
        start(&b, "scalar loads");
        gfx_test_set_s(b.w, 2, 32);
        gfx_insn *i = gfx_test_assemble(&cases[k].text, 1);
        gfx_test_step(b.w, i);
        assert_int_equal(b.w->s_pending[16], 1 + GFX_KMCNT);
        for (unsigned n = 0; 4 * n < cases[k].bytes; n++)
            assert_int_equal(b.w->s[16 + n], word(b.memory + cases[k].at + 4 * n,
                                                  cases[k].bytes < 4 ? cases[k].bytes : 4, cases[k].is_signed));
        gfx_insns_free(i, 1);
        finish(&b);
    }
}

/* ---- stores ---- */

static const struct store { const char *text; unsigned bytes, at, skip; } stores[] = {
    { "global_store_b8 v[0:1], v8, off offset:3", 1, 3, 0 }, { "global_store_b16 v3, v8, s[0:1] offset:2", 2, 2, 0 },
    { "global_store_d16_hi_b8 v[0:1], v8, off offset:1", 1, 1, 2 },
    { "global_store_d16_hi_b16 v[0:1], v8, off offset:6", 2, 6, 2 }, { "global_store_b32 v[0:1], v8, off", 4, 0, 0 },
    { "global_store_b64 v3, v[8:9], s[0:1] offset:8", 8, 8, 0 }, { "global_store_b96 v[0:1], v[8:10], off", 12, 0, 0 },
    { "global_store_b128 v[0:1], v[8:11], off offset:48", 16, 48, 0 },
    { "flat_store_b32 v[0:1], v8 offset:4", 4, 4, 0 },
    { "ds_store_b8 v2, v8 offset:3", 1, 3, 0 }, { "ds_store_b16 v2, v8 offset:2", 2, 2, 0 },
    { "ds_store_b8_d16_hi v2, v8 offset:3", 1, 3, 2 }, { "ds_store_b16_d16_hi v2, v8", 2, 0, 2 },
    { "ds_store_b32 v2, v8 offset:12", 4, 12, 0 }, { "ds_store_b64 v2, v[8:9] offset:8", 8, 8, 0 },
    { "ds_store_b96 v2, v[8:10] offset:4", 12, 4, 0 }, { "ds_store_b128 v2, v[8:11] offset:16", 16, 16, 0 },
};
static void try_store_under(const struct store *t, uint32_t exec)
{
    bench b;
    start(&b, t->text);
    b.w->s[GFX_EXEC] = exec;
    uint8_t want[BYTES];
    bool lds = strncmp(t->text, "ds", 2) == 0;
    const uint8_t *got = lds ? b.w->group->lds : strncmp(t->text, "scratch", 7) == 0 ? b.w->scratch : b.memory;
    memcpy(want, got, lds ? sizeof b.lds : sizeof b.memory);
    for (int l = 0; l < GFX_LANES; l++) {
        uint32_t data[4] = { b.w->v[8][l], b.w->v[9][l], b.w->v[10][l], b.w->v[11][l] };
        if (b.w->s[GFX_EXEC] >> l & 1)
            memcpy(want + (lds ? 32 : 64) * l + t->at, (uint8_t *)data + t->skip, t->bytes);
    }
    gfx_insn *i = gfx_test_assemble(&t->text, 1);
    gfx_test_step(b.w, i);
    if (memcmp(want, got, lds ? sizeof b.lds : sizeof b.memory) != 0)
        fail_msg("%s stored something else", t->text);
    assert_int_equal(b.w->queued[GFX_STORECNT], !lds);
    assert_int_equal(b.w->queued[GFX_DSCNT], lds || strncmp(t->text, "flat", 4) == 0);
    assert_int_equal(b.w->stats.bytes[i->event], t->bytes * (unsigned)__builtin_popcount(b.w->s[GFX_EXEC]));
    gfx_insns_free(i, 1);
    finish(&b);
}

static void try_store(const struct store *t)
{
    try_store_under(t, 0xa5fff00f);
    try_store_under(t, UINT32_MAX);
    try_store_under(t, 0);
}

static void store_ops(void **state)
{
    (void)state;
    static const struct width widths[] = { { "b8", 1, false, 0 }, { "b16", 2, false, 0 }, { "d16_hi_b8", 1, false, 1 },
        { "d16_hi_b16", 2, false, 1 }, { "b32", 4, false, 0 }, { "b64", 8, false, 0 }, { "b96", 12, false, 0 },
        { "b128", 16, false, 0 } };
    for (size_t k = 0; k < COUNT(stores); k++)
        try_store(&stores[k]);
    for (size_t k = 0; k < COUNT(widths) * COUNT(spaces); k++) {
        const struct width *t = &widths[k % COUNT(widths)];
        size_t space = k / COUNT(widths);
        char text[100], from[16];
        unsigned at = t->bytes < 4 ? 2 * t->bytes : 20;
        registers(from, t->bytes);
        snprintf(text, sizeof text, "%s_store_%s %s, %s%s offset:%u", spaces[space].space, t->name,
                 spaces[space].address, from, spaces[space].rest, at);
        const struct store one = { text, t->bytes, at, t->half ? 2 : 0 };
        try_store(&one);
    }
}

/* Lanes of LDS that lie behind each other, all at one place, in turn forward and back: loads take what is there, and of
 * stores to one place the highest lane's stays. */
static void lanes_together(void **state)
{
    (void)state;
    static const struct { const char *load, *store; uint32_t bytes; } widths[] = {
        { "ds_load_b32 v12, v4", "ds_store_b32 v4, v8", 4 },
        { "ds_load_b64 v[12:13], v4", "ds_store_b64 v4, v[8:9]", 8 },
        { "ds_load_b96 v[12:14], v4", "ds_store_b96 v4, v[8:10]", 12 },
        { "ds_load_b128 v[12:15], v4", "ds_store_b128 v4, v[8:11]", 16 },
    };
    for (size_t k = 0; k < 4 * COUNT(widths); k++) {
        uint32_t bytes = widths[k / 4].bytes, at[GFX_LANES], want[1024 / 4];
        bench b;
        start(&b, "together");
        b.w->s[GFX_EXEC] = UINT32_MAX;
        for (uint32_t l = 0; l < GFX_LANES; l++)
            at[l] = k % 4 == 0 ? bytes * l : k % 4 == 1 ? 64
                  : k % 4 == 2 ? bytes * (31 - l) : bytes * (l / 4) + 4 * (l % 2);
        gfx_test_set_v(b.w, 4, at);
        gfx_insn *i = gfx_test_assemble(&widths[k / 4].load, 1);
        gfx_test_step(b.w, i);
        for (uint32_t l = 0; l < GFX_LANES; l++)
            for (uint32_t n = 0; n < bytes / 4; n++)
                assert_int_equal(b.w->v[12 + n][l], word(b.lds + at[l] + 4 * n, 4, false));
        gfx_insns_free(i, 1);
        memcpy(want, b.lds, sizeof want);
        for (uint32_t l = 0; l < GFX_LANES; l++)
            for (uint32_t n = 0; n < bytes / 4; n++)
                want[at[l] / 4 + n] = b.w->v[8 + n][l];
        i = gfx_test_assemble(&widths[k / 4].store, 1);
        gfx_test_step(b.w, i);
        if (memcmp(want, b.w->group->lds, sizeof want) != 0)
            fail_msg("%s stored something else", widths[k / 4].store);
        gfx_insns_free(i, 1);
        finish(&b);
    }
}

/* Offsets of the whole range: 24 bits with a sign of memory, 16 bits of LDS. */
static void offsets(void **state)
{
    (void)state;
    static const struct { const char *text; int32_t offset; bool scalar; } cases[] = {
        { "global_load_b32 v8, v3, s[4:5] offset:-64", -64, false },
        { "global_load_b32 v8, v3, s[4:5] offset:256", 256, false },
        { "global_load_b32 v8, v3, s[4:5] offset:8388604", 8388604, false },
        { "global_load_b32 v8, v3, s[4:5] offset:-8388608", -8388608, false },
        { "s_load_b32 s16, s[4:5], -0x40", -64, true },
        { "s_load_b32 s16, s[4:5], 0x100", 256, true },
        { "s_load_b32 s16, s[4:5], 0x7ffffc", 8388604, true },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        bench b;
        start(&b, "offsets");
        uint64_t base = (uint64_t)(uintptr_t)b.memory - (uint64_t)(int64_t)cases[k].offset;
        gfx_test_set_s(b.w, 4, (uint32_t)base), gfx_test_set_s(b.w, 5, (uint32_t)(base >> 32));
        gfx_insn *i = gfx_test_assemble(&cases[k].text, 1);
        gfx_test_step(b.w, i);
        if (cases[k].scalar)
            assert_int_equal(b.w->s[16], word(b.memory, 4, false));
        for (int l = 0; l < GFX_LANES && !cases[k].scalar; l++)
            if (b.w->s[GFX_EXEC] >> l & 1)
                assert_int_equal(b.w->v[8][l], word(b.memory + 64 * l, 4, false));
        gfx_insns_free(i, 1);
        finish(&b);
    }
    static const char *const lds[] = { "ds_load_b32 v8, v4 offset:992",
                                       "ds_load_2addr_b32 v[8:9], v4 offset0:248 offset1:249" };
    for (size_t k = 0; k < COUNT(lds); k++) {
        uint32_t at[GFX_LANES];
        bench b;
        start(&b, "offsets of LDS");
        for (uint32_t l = 0; l < GFX_LANES; l++)
            at[l] = l % 7 * 4;
        gfx_test_set_v(b.w, 4, at);
        gfx_insn *i = gfx_test_assemble(&lds[k], 1);
        gfx_test_step(b.w, i);
        for (int l = 0; l < GFX_LANES; l++)
            for (unsigned n = 0; n < 1 + k && b.w->s[GFX_EXEC] >> l & 1; n++)
                assert_int_equal(b.w->v[8 + n][l], word(b.lds + 992 + at[l] + 4 * n, 4, false));
        gfx_insns_free(i, 1);
        finish(&b);
    }
}

static void two_addresses(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "ds_load_2addr_b32 v[8:9], v2 offset0:1 offset1:3", "ds_load_2addr_b64 v[8:11], v2 offset1:2",
        "ds_load_2addr_stride64_b32 v[8:9], v4 offset0:1 offset1:2", "ds_load_2addr_stride64_b64 v[8:11], v4 offset1:1",
        "ds_store_2addr_b32 v2, v12, v13 offset0:2 offset1:5", "ds_store_2addr_b64 v2, v[12:13], v[14:15] offset1:3",
        "ds_store_2addr_stride64_b32 v4, v12, v13 offset0:1 offset1:3",
        "ds_store_2addr_stride64_b64 v4, v[12:13], v[14:15] offset1:1",
    };
    static const struct { unsigned bytes, first, second, lane; } at[] = {
        { 4, 4, 12, 32 }, { 8, 0, 16, 32 }, { 4, 256, 512, 8 }, { 8, 0, 512, 8 }, { 4, 8, 20, 32 }, { 8, 0, 24, 32 },
        { 4, 256, 768, 8 }, { 8, 0, 512, 8 },
    };
    gfx_insn *i = gfx_test_assemble(lines, COUNT(lines));
    for (size_t round = 0; round < 2 * COUNT(lines); round++) { /* under some lanes, and under all */
        size_t k = round / 2;
        bench b;
        start(&b, lines[k]);
        b.w->s[GFX_EXEC] |= round % 2 ? UINT32_MAX : 0;
        uint32_t near[GFX_LANES];
        for (uint32_t l = 0; l < GFX_LANES; l++)
            near[l] = 8 * l;
        gfx_test_set_v(b.w, 4, near);
        gfx_test_step(b.w, &i[k]);
        unsigned registers = at[k].bytes / 4;
        for (int l = 0; l < GFX_LANES; l++)
            for (unsigned n = 0; n < 2 * registers; n++) {
                unsigned offset =
                    at[k].lane * (unsigned)l + (n < registers ? at[k].first : at[k].second) + n % registers * 4;
                bool active = b.w->s[GFX_EXEC] >> l & 1, is_store = k >= 4;
                uint32_t in_lds = word(b.w->group->lds + offset, 4, false);
                if (active)
                    assert_int_equal(b.w->v[(is_store ? 12 : 8) + n][l], in_lds);
                else if (is_store && at[k].lane == 32)
                    assert_int_equal(word(b.lds + offset, 4, false), in_lds);
            }
        assert_int_equal(b.w->stats.bytes[i[k].event],
                         2 * at[k].bytes * (unsigned)__builtin_popcount(b.w->s[GFX_EXEC]));
        finish(&b);
    }
    gfx_insns_free(i, COUNT(lines));
}

/* ---- lanes through the crossbar ---- */

static void permutations(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "ds_bpermute_b32 v9, v4, v8", "ds_permute_b32 v9, v4, v8", "ds_swizzle_b32 v9, v8 offset:swizzle(SWAP,16)",
        "ds_swizzle_b32 v9, v8 offset:swizzle(QUAD_PERM,3,0,2,1)",
        "ds_swizzle_b32 v9, v8 offset:swizzle(BROADCAST,8,5)",
        "ds_swizzle_b32 v9, v8 offset:swizzle(REVERSE,4)",
    };
    static const uint8_t quad[] = { 3, 0, 2, 1 };
    gfx_insn *i = gfx_test_assemble(lines, 6);
    for (int round = 0; round < 40; round++) {
        bench b;
        start(&b, "permutations");
        uint32_t to[GFX_LANES], old[GFX_LANES];
        for (int l = 0; l < GFX_LANES; l++)
            to[l] = (uint32_t)test_rng_below(&b.rng, 64) * 4 + (uint32_t)test_rng_below(&b.rng, 4);
        gfx_test_set_v(b.w, 4, to);
        uint32_t exec = b.w->s[GFX_EXEC] = round ? (uint32_t)test_rng_next(&b.rng) : UINT32_MAX;
        for (int k = 0; k < 6; k++) {
            memcpy(old, b.w->v[9], sizeof old);
            gfx_test_step(b.w, &i[k]);
            for (int l = 0; l < GFX_LANES; l++) {
                int from = -1;
                switch (k) {
                case 0: from = (int)(to[l] / 4 % 32); break;
                case 1:
                    for (int n = 0; n < GFX_LANES; n++)
                        from = exec >> n & 1 && (int)(to[n] / 4 % 32) == l ? n : from;
                    break;
                case 2: from = l ^ 16; break;
                case 3: from = (l & 28) + quad[l & 3]; break;
                case 4: from = (l & 24) + 5; break;
                default: from = l ^ 3; break;
                }
                uint32_t want = from >= 0 && exec >> from & 1 ? b.w->v[8][from] : 0;
                assert_int_equal(b.w->v[9][l], exec >> l & 1 ? want : old[l]);
            }
            gfx_wait(b.w, GFX_DSCNT, 0);
        }
        finish(&b);
    }
    gfx_insns_free(i, 6);
}

/* ---- atomics ---- */

static uint64_t x_add(uint64_t a, uint64_t b) { return a + b; }
static uint64_t x_sub(uint64_t a, uint64_t b) { return a - b; }
static uint64_t x_and(uint64_t a, uint64_t b) { return a & b; }
static uint64_t x_or(uint64_t a, uint64_t b) { return a | b; }
static uint64_t x_xor(uint64_t a, uint64_t b) { return a ^ b; }
static uint64_t x_swap(uint64_t a, uint64_t b) { (void)a; return b; }
static uint64_t x_min_u(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t x_max_u(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t x_min_i(uint64_t a, uint64_t b) { return (int32_t)a < (int32_t)b ? a : b; }
static uint64_t x_max_i(uint64_t a, uint64_t b) { return (int32_t)a > (int32_t)b ? a : b; }
static uint64_t x_max_i64(uint64_t a, uint64_t b) { return (int64_t)a > (int64_t)b ? a : b; }
static uint64_t x_inc(uint64_t a, uint64_t b) { return a >= b ? 0 : a + 1; }
static uint64_t x_dec(uint64_t a, uint64_t b) { return a == 0 || a > b ? b : a - 1; }
static uint64_t x_add_f(uint64_t a, uint64_t b) { return gfx_bits(gfx_float((uint32_t)a) + gfx_float((uint32_t)b)); }

static uint64_t x_min_i64(uint64_t a, uint64_t b) { return (int64_t)a < (int64_t)b ? a : b; }
static float least(float p, float q) { return isnan(p) ? q : isnan(q) ? p : p < q || (p == q && signbit(p)) ? p : q; }
static float most(float p, float q) { return isnan(p) ? q : isnan(q) ? p : p > q || (p == q && !signbit(p)) ? p : q; }
static uint64_t x_min_f(uint64_t a, uint64_t b)
{
    return gfx_bits(least(gfx_float((uint32_t)a), gfx_float((uint32_t)b)));
}
static uint64_t x_max_f(uint64_t a, uint64_t b)
{
    return gfx_bits(most(gfx_float((uint32_t)a), gfx_float((uint32_t)b)));
}
static uint16_t add_half(uint64_t a, uint64_t b)
{
    return ash_f32_to_f16(ash_f16_to_f32((uint16_t)a) + ash_f16_to_f32((uint16_t)b));
}
static uint64_t x_pk_add(uint64_t a, uint64_t b) { return add_half(a, b) | (uint32_t)add_half(a >> 16, b >> 16) << 16; }

typedef uint64_t combine_fn(uint64_t a, uint64_t b);
static const struct {
    const char *narrow, *wide;
    combine_fn *combine;
} atomics[] = {
    /* of LDS: with "rtn" in the name */
    { "global_atomic_add_u32", "global_atomic_add_u64", x_add },
    { "global_atomic_sub_u32", "global_atomic_sub_u64", x_sub },
    { "global_atomic_and_b32", "global_atomic_and_b64", x_and },
    { "global_atomic_or_b32", "global_atomic_or_b64", x_or },
    { "global_atomic_xor_b32", "global_atomic_xor_b64", x_xor },
    { "global_atomic_swap_b32", "global_atomic_swap_b64", x_swap },
    { "global_atomic_min_u32", "global_atomic_min_u64", x_min_u },
    { "global_atomic_max_u32", "global_atomic_max_u64", x_max_u },
    { "global_atomic_min_i32", NULL, x_min_i },
    { "global_atomic_max_i32", NULL, x_max_i },
    { NULL, "global_atomic_max_i64", x_max_i64 },
    { NULL, "global_atomic_min_i64", x_min_i64 },
    { "global_atomic_inc_u32", "global_atomic_inc_u64", x_inc },
    { "global_atomic_dec_u32", "global_atomic_dec_u64", x_dec },
    { "global_atomic_add_f32", NULL, x_add_f },
    { "global_atomic_min_num_f32", NULL, x_min_f },
    { "global_atomic_max_num_f32", NULL, x_max_f },
    { "global_atomic_pk_add_f16", NULL, x_pk_add },
    { "ds_add_rtn_u32", "ds_add_rtn_u64", x_add },
    { "ds_sub_rtn_u32", NULL, x_sub },
    { "ds_and_rtn_b32", NULL, x_and },
    { "ds_or_rtn_b32", "ds_or_rtn_b64", x_or },
    { "ds_xor_rtn_b32", NULL, x_xor },
    { "ds_storexchg_rtn_b32", "ds_storexchg_rtn_b64", x_swap },
    { "ds_min_rtn_u32", "ds_min_rtn_u64", x_min_u },
    { "ds_max_rtn_u32", "ds_max_rtn_u64", x_max_u },
    { "ds_min_rtn_i32", NULL, x_min_i },
    { "ds_max_rtn_i32", NULL, x_max_i },
    { "ds_add_rtn_f32", NULL, x_add_f },
    { "ds_min_num_rtn_f32", NULL, x_min_f },
    { "ds_max_num_rtn_f32", NULL, x_max_f },
    { "ds_pk_add_rtn_f16", NULL, x_pk_add },
};

/* All lanes on eight places, in ascending order of the lanes. */
static void atomic(const char *name, bool wide, combine_fn *combine, bool returns)
{
    bench b;
    char text[100], plain[40];
    bool lds = strncmp(name, "ds", 2) == 0;
    const char *data = wide ? "v[12:13]" : "v12", *result = wide ? "v[8:9]" : "v8";
    snprintf(plain, sizeof plain, "%s", name);
    char *rtn = strstr(plain, "rtn_");
    if (lds && !returns)
        memmove(rtn, rtn + 4, strlen(rtn + 4) + 1);
    if (lds)
        snprintf(text, sizeof text, returns ? "%s %s, v4, %s" : "%s %.0sv4, %s", plain, result, data);
    else
        snprintf(text, sizeof text, returns ? "%s %s, v4, %s, s[0:1] th:TH_ATOMIC_RETURN" : "%s %.0sv4, %s, s[0:1]",
                 name, result, data);
    const char *line = text;
    gfx_insn *i = gfx_test_assemble(&line, 1);
    start(&b, name);
    uint32_t place[GFX_LANES];
    for (uint32_t l = 0; l < GFX_LANES; l++)
        place[l] = l % 8 * 8;
    gfx_test_set_v(b.w, 4, place);
    for (int l = 0; l < GFX_LANES; l += 3) /* small ones too: inc and dec wrap at 0 and at the operand */
        b.w->v[12][l] %= 3, b.w->v[13][l] = 0;
    bool halves = strstr(name, "f16"), floats = strstr(name, "f32");
    for (int l = 0; (halves || floats) && l < GFX_LANES; l++) { /* numbers; all NaN are not the same to memcmp */
        float x = test_rng_float(&b.rng) * 4;
        b.w->v[12][l] = floats ? gfx_bits(x) : ash_f32_to_f16(x) | (uint32_t)ash_f32_to_f16(1 - x) << 16;
    }
    memset(b.memory, 0, floats || halves ? 64 : 16);
    memset(b.w->group->lds, 0, 64), memset(b.lds, 0, 64);
    if (!(floats || halves))
        memcpy(b.w->group->lds + 16, b.memory + 16, 48), memcpy(b.lds + 16, b.memory + 16, 48);
    uint8_t want[64];
    memcpy(want, lds ? b.lds : b.memory, sizeof want);
    uint64_t mask = wide ? UINT64_MAX : UINT32_MAX, old[GFX_LANES];
    for (int l = 0; l < GFX_LANES; l++) {
        uint64_t operand = ((uint64_t)b.w->v[13][l] << 32 | b.w->v[12][l]) & mask;
        old[l] = 0;
        if (!(b.w->s[GFX_EXEC] >> l & 1))
            continue;
        memcpy(&old[l], want + place[l], wide ? 8 : 4);
        uint64_t new = combine(old[l], operand) & mask;
        memcpy(want + place[l], &new, wide ? 8 : 4);
    }
    gfx_test_step(b.w, i);
    if (memcmp(want, lds ? b.w->group->lds : b.memory, sizeof want) != 0)
        fail_msg("%s left something else", text);
    for (int l = 0; l < GFX_LANES && returns; l++)
        if (b.w->s[GFX_EXEC] >> l & 1)
            assert_int_equal(((uint64_t)b.w->v[9][l] << 32 | b.w->v[8][l]) & mask, old[l]);
    assert_int_equal(b.w->v_pending[8] != 0, returns);
    gfx_insns_free(i, 1);
    finish(&b);
}
static void atomic_ops(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof atomics / sizeof *atomics; k++)
        for (int returns = 0; returns < 2; returns++) {
            bool exchange = atomics[k].combine == x_swap &&
                            strncmp(atomics[k].narrow, "ds", 2) == 0; /* has no form without a result */
            if (atomics[k].narrow && (returns || !exchange))
                atomic(atomics[k].narrow, false, atomics[k].combine, returns);
            if (atomics[k].wide && (returns || !exchange))
                atomic(atomics[k].wide, true, atomics[k].combine, returns);
        }
}

/* The new value is written first, the one to compare with second: each lane adds 1 where it finds its own number. */
static void compare_and_swap(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "global_atomic_cmpswap_b32 v8, v4, v[12:13], s[0:1] th:TH_ATOMIC_RETURN",
        "ds_cmpstore_rtn_b32 v8, v4, v12, v13",
        "global_atomic_cmpswap_b32 v4, v[12:13], s[0:1]", "ds_cmpstore_b32 v4, v12, v13",
        "global_atomic_cmpswap_b64 v[8:9], v4, v[12:15], s[0:1] th:TH_ATOMIC_RETURN",
        "ds_cmpstore_rtn_b64 v[8:9], v4, v[12:13], v[14:15]", "global_atomic_cmpswap_b64 v4, v[12:15], s[0:1]",
        "ds_cmpstore_b64 v4, v[12:13], v[14:15]",
    };
    gfx_insn *i = gfx_test_assemble(lines, COUNT(lines));
    for (size_t k = 0; k < COUNT(lines); k++) {
        bench b;
        start(&b, "swap");
        bool wide = k >= 4, returns = k % 4 < 2;
        uint32_t place[GFX_LANES], new[GFX_LANES], old[GFX_LANES], high[GFX_LANES], start_at[2] = { 3, 0x80000001 };
        for (uint32_t l = 0; l < GFX_LANES; l++)
            place[l] = 16, old[l] = l, new[l] = l + 1,
            high[l] = l == 7 ? 0 : start_at[1]; /* of 64 bits lane 7 differs */
        gfx_test_set_v(b.w, 4, place), gfx_test_set_v(b.w, 12, new), gfx_test_set_v(b.w, wide ? 14 : 13, old);
        if (wide)
            gfx_test_set_v(b.w, 13, high), gfx_test_set_v(b.w, 15, high);
        b.w->s[GFX_EXEC] = 0x0000ffff;
        uint8_t *at = (k % 2 ? b.w->group->lds : b.memory) + 16;
        memcpy(at, start_at, sizeof start_at);
        gfx_test_step(b.w, &i[k]);
        uint32_t last = wide ? 7 : 16; /* 3 became 4, 5, .. in turn */
        assert_int_equal(word(at, 4, false), last);
        assert_int_equal(word(at + 4, 4, false), start_at[1]);
        for (uint32_t l = 0; l < 16 && returns; l++) {
            assert_int_equal(b.w->v[8][l], l < 3 ? 3 : l < last ? l : last);
            if (wide)
                assert_int_equal(b.w->v[9][l], start_at[1]);
        }
        assert_int_equal(b.w->v_pending[8] != 0, returns);
        finish(&b);
    }
    gfx_insns_free(i, COUNT(lines));
}

/* ---- scratch ---- */

static void scratch(void **state)
{
    (void)state;
    static const char *const lines[] = { "scratch_store_b64 off, v[8:9], off offset:16",
                                         "scratch_store_b8 v4, v10, off offset:3",
                                         "scratch_load_b128 v[12:15], off, s2 offset:8", "scratch_load_b32 v5, v4, off",
                                         "scratch_load_b32 v5, off, off offset:61" };
    gfx_insn *i = gfx_test_assemble(lines, 5);
    bench b;
    start(&b, "scratch");
    uint32_t at[GFX_LANES];
    for (uint32_t l = 0; l < GFX_LANES; l++)
        at[l] = 4 * (l % 2);
    gfx_test_set_v(b.w, 4, at);
    gfx_test_set_s(b.w, 2, 4);
    for (int k = 0; k < 4; k++)
        gfx_test_step(b.w, &i[k]);
    for (int l = 0; l < GFX_LANES; l++) {
        if (!(b.w->s[GFX_EXEC] >> l & 1))
            continue;
        assert_int_equal(b.w->v[13][l], b.w->v[8][l]);
        assert_int_equal(b.w->v[14][l], b.w->v[9][l]);
        assert_int_equal(b.w->v[5][l],
                         (b.w->v[10][l] & 255) << 24 | (word(b.memory + 64 * l + 4 * (l % 2), 4, false) & 0xffffff));
    }
    gfx_step(b.w, &i[4]);
    assert_string_equal(b.w->fault, "lane 0: 4 bytes of scratch at 61, of which the kernel has 64");
    gfx_insns_free(i, 5);
    finish(&b);
}

static void every_operation(void **state)
{
    (void)state;
    gfx_test_all_ran(gfx_memory_ops);
    gfx_test_all_ran(gfx_lds_ops);
    gfx_test_all_ran(gfx_atomic_ops);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(load_ops),         cmocka_unit_test(scalar_loads), cmocka_unit_test(store_ops),
    cmocka_unit_test(lanes_together),   cmocka_unit_test(offsets),
    cmocka_unit_test(two_addresses),    cmocka_unit_test(permutations), cmocka_unit_test(atomic_ops),
    cmocka_unit_test(compare_and_swap), cmocka_unit_test(scratch),      cmocka_unit_test(every_operation),
};

int main(void) { return cmocka_run_group_tests_name("gfx12_memory", tests, NULL, NULL); }
