#include <elf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/halffloat.h"
#include "tests/gfx12/testing.h"

void gfx_test_clang(const char *flags, const char *source, const char *out)
{
    char command[1024], text[600] = "";
    snprintf(command, sizeof command, "clang-19 %s '%s' -o '%s' 2>&1", flags, source, out);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    if (pclose(f) != 0)
        fail_msg("%s: %s", command, text);
}

bool gfx_test_try(const char *const *lines, size_t count, gfx_insn **out, gfx_error *err)
{
    char *source = test_path("ops.s"), *object = test_path("ops.o");
    FILE *f = fopen(source, "w");
    assert_non_null(f);
    fprintf(f, ".text\n");
    for (size_t i = 0; i < count; i++)
        fprintf(f, "%s\n", lines[i]);
    fclose(f);
    gfx_test_clang("-c -x assembler --target=amdgcn-amd-amdhsa -mcpu=gfx1201", source, object);
    size_t size;
    uint8_t *elf = test_read_file(object, &size);
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)elf;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(elf + h->e_shoff);
    bool fine = false;
    uint32_t decoded = 0;
    *out = NULL;
    for (unsigned i = 0; i < h->e_shnum; i++)
        if (sections[i].sh_flags & SHF_EXECINSTR)
            fine = gfx_decode(elf + sections[i].sh_offset, sections[i].sh_size, 0, out, &decoded, err);
    free(elf), free(source), free(object);
    if (fine)
        assert_int_equal(decoded, count);
    return fine;
}

gfx_insn *gfx_test_assemble(const char *const *lines, size_t count)
{
    gfx_insn *insns;
    gfx_error err;
    if (!gfx_test_try(lines, count, &insns, &err))
        fail_msg("%s", err.text);
    return insns;
}

static gfx_code load(char *path)
{
    size_t size;
    uint8_t *elf = test_read_file(path, &size);
    gfx_code code;
    gfx_error err;
    if (!gfx_code_load(elf, size, &code, &err))
        fail_msg("%s", err.text);
    free(elf), free(path);
    return code;
}

gfx_code gfx_test_compile(const char *target, const char *source, const char *more)
{
    char flags[400];
    char *out = test_path("kernel.co");
    snprintf(flags, sizeof flags, "-x hip --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib -O2 "
             "-ffp-contract=fast %s --offload-arch=%s", more, target);
    gfx_test_clang(flags, source, out);
    return load(out);
}

gfx_code gfx_test_assemble_file(const char *source)
{
    char *out = test_path("assembled.co");
    gfx_test_clang("-x assembler --target=amdgcn-amd-amdhsa -mcpu=gfx1201", source, out);
    return load(out);
}

void gfx_test_set_v(gfx_wave *w, unsigned reg, const uint32_t values[GFX_LANES])
{
    memcpy(w->v[reg], values, sizeof w->v[reg]);
    w->v_written[reg] = UINT32_MAX;
}

void gfx_test_set_s(gfx_wave *w, unsigned reg, uint32_t value)
{
    w->s[reg] = value;
    w->s_written[reg] = true;
}

static const gfx_op *ran[2048];
static size_t ran_count;

static bool has_run(const gfx_op *op)
{
    for (size_t k = 0; k < ran_count; k++)
        if (ran[k] == op)
            return true;
    return false;
}

static void note_run(const gfx_op *op)
{
    if (ran_count < sizeof ran / sizeof *ran && !has_run(op))
        ran[ran_count++] = op;
}

void gfx_test_all_ran(const gfx_op *table)
{
    char missing[2000] = "";
    size_t n = 0;
    for (const gfx_op *op = table; op->name; op++)
        if (!has_run(op) && n < sizeof missing - 64)
            n += (size_t)snprintf(missing + n, sizeof missing - n, " %s", op->name);
    if (n)
        fail_msg("no test runs%s", missing);
}

void gfx_test_step(gfx_wave *w, const gfx_insn *i)
{
    note_run(i->op);
    if (i->dual)
        note_run(i->dual->op);
    gfx_step(w, i);
    if (w->fault[0])
        fail_msg("%s: %s", i->text, w->fault);
}

/* In 128-bit integers, in units of 2^-48, the least of a product of halves. */
uint32_t gfx_test_half_fma(float p, float q, float r)
{
    if (!isfinite(p) || !isfinite(q) || !isfinite(r))
        return ash_f32_to_f16(p * q + r);
    __int128_t sum = (__int128_t)((double)p * 0x1p24) * (__int128_t)((double)q * 0x1p24) +
                     (__int128_t)((double)r * 0x1p24) * ((__int128_t)1 << 24);
    if (sum == 0)
        return ash_f32_to_f16(p * q + r); /* its sign */
    bool minus = sum < 0;
    __uint128_t m = (__uint128_t)(minus ? -sum : sum);
    int drop = 24; /* f16's least unit is 2^-24 */
    while (m >> drop >> 11)
        drop++;
    __uint128_t kept = m >> drop, rest = m - (kept << drop), middle = (__uint128_t)1 << (drop - 1);
    kept += rest > middle || (rest == middle && (kept & 1));
    double value = (double)(uint64_t)kept * exp2(drop - 48);
    return ash_f32_to_f16((float)(minus ? -value : value));
}

static bool half_nan(uint64_t h) { return (h & 0x7fff) > 0x7c00; }
static bool both_nan(uint64_t a, uint64_t b)
{
    return isnan(gfx_float((uint32_t)a)) && isnan(gfx_float((uint32_t)b));
}

static bool same(const gfx_test_op *op, uint64_t got, uint64_t want)
{
    if (got == want)
        return true;
    uint64_t low = 0xffff, high = 0xffff0000;
    switch (op->nan) {
    case GFX_TEST_F32:
        if (op->ulps > 0) { /* floats of one sign ascend as their bits do */
            double distance = fabs((double)(int32_t)(uint32_t)got - (double)(int32_t)(uint32_t)want);
            if (distance <= op->ulps)
                return true;
        }
        return both_nan(got, want);
    case GFX_TEST_F16: return half_nan(got) && half_nan(want) && (got & ~low) == (want & ~low);
    case GFX_TEST_PK_F16:
        return ((got & low) == (want & low) || (half_nan(got) && half_nan(want))) &&
               ((got & high) == (want & high) || (half_nan(got >> 16) && half_nan(want >> 16))) &&
               got >> 32 == want >> 32;
    case GFX_TEST_2F32:
        return (got << 32 == want << 32 || both_nan(got, want)) && (got >> 32 == want >> 32 ||
                both_nan(got >> 32, want >> 32));
    default: return false;
    }
}

/* What an instruction reads must have been written, and nothing else: every register of its sources, in active
 * lanes. */
static void check_poison(const gfx_insn *i, const char *text, uint32_t exec)
{
    const gfx_operand *from[GFX_SRC_MAX + 1];
    size_t count = 0;
    uint32_t lane = 23, zeros[GFX_LANES] = { 0 };
    for (unsigned k = 0; k < i->src_count; k++)
        if (i->src[k].kind == GFX_VGPR)
            from[count++] = &i->src[k];
    if (i->op->flags & GFX_READS_DST)
        from[count++] = &i->dst;
    for (size_t missing = 0; missing <= count; missing++) /* the last time none is */
        for (unsigned part = 0; part < (missing < count ? from[missing]->count : 1u); part++) {
            gfx_wave *w = gfx_wave_new();
            assert_non_null(w);
            for (size_t k = 0; k < count; k++)
                for (unsigned r = from[k]->index; r < (unsigned)from[k]->index + from[k]->count; r++) {
                    gfx_test_set_v(w, r, zeros);
                    w->v_written[r] = exec;
                }
            if (missing < count)
                w->v_written[from[missing]->index + part] &= ~(UINT32_C(1) << lane);
            w->s[GFX_EXEC] = exec;
            gfx_test_set_s(w, GFX_VCC, 0);
            gfx_step(w, i);
            char want[80] = "";
            if (missing < count && !(i->op->flags & GFX_MOVES))
                snprintf(want, sizeof want, "v%u is read in lane %u before anything wrote it",
                         from[missing]->index + part, lane);
            if (strcmp(w->fault, want) != 0)
                fail_msg("%s: \"%s\", not \"%s\"", text, w->fault, want);
            if (missing < count && i->op->flags & GFX_MOVES)
                assert_int_equal(w->v_written[i->dst.index], exec & ~(UINT32_C(1) << lane));
            gfx_wave_free(w);
        }
}

int gfx_test_lane;
uint32_t gfx_test_vcc;

/* With its result in the place of each source: the same as of one whose lanes are all read before one is written. */
static void check_in_place(gfx_wave *w, const gfx_insn *i, const uint32_t in[8][GFX_LANES], const char *text)
{
    for (unsigned k = 0; i->in_place && k < i->src_count; k++) {
        gfx_insn over = *i;
        uint32_t got[2][GFX_LANES];
        if (i->src[k].kind != GFX_VGPR)
            continue;
        over.dst.index = i->src[k].index;
        for (int in_place = 0; in_place < 2; in_place++) {
            for (unsigned s = 0; s < 8; s++)
                gfx_test_set_v(w, s, in[s]);
            gfx_test_set_s(w, 10, 0x0f0f3355);
            over.in_place = in_place;
            gfx_test_step(w, &over);
            memcpy(got[in_place], w->v[over.dst.index], sizeof got[0]);
        }
        if (memcmp(got[0], got[1], sizeof got[0]) != 0)
            fail_msg("%s, with its result where source %u is: lanes are read after they are written", text, k);
    }
}

void gfx_test_signed_ops(const gfx_test_op *ops, size_t count, const uint32_t *edges, size_t edge_count, uint32_t sign)
{
    const char **lines = malloc(count * sizeof *lines);
    assert_non_null(lines);
    for (size_t k = 0; k < count; k++)
        lines[k] = ops[k].text;
    gfx_insn *insns = gfx_test_assemble(lines, count);
    for (size_t k = 0; k < count; k++)
        check_poison(&insns[k], ops[k].text, 0x00f0a5c3), check_poison(&insns[k], ops[k].text, UINT32_MAX);
    gfx_wave *w = gfx_wave_new();
    test_rng rng = test_rng_start("ops");
    assert_non_null(w);
    for (size_t round = 0; round < 200; round++) {
        uint32_t in[8][GFX_LANES];
        for (int s = 0; s < 8; s++)
            for (int l = 0; l < GFX_LANES; l++)
                in[s][l] =
                    round < 150 && s < 6 ? edges[test_rng_below(&rng, edge_count)] : (uint32_t)test_rng_next(&rng);
        for (size_t k = 0; k < count; k++) {
            for (unsigned s = 0; s < 8; s++)
                gfx_test_set_v(w, s, in[s]);
            uint32_t exec = w->s[GFX_EXEC] = round % 2 ? (uint32_t)test_rng_next(&rng) : UINT32_MAX;
            gfx_test_set_s(w, 10, (uint32_t)test_rng_next(&rng));
            gfx_test_vcc = (uint32_t)test_rng_next(&rng);
            gfx_test_set_s(w, GFX_VCC, gfx_test_vcc);
            gfx_test_step(w, &insns[k]);
            bool compare = insns[k].op->class == GFX_VECTOR_COMPARE, wide = insns[k].dst.count == 2;
            uint32_t mask = w->s[insns[k].op->flags & GFX_NO_DST ? GFX_EXEC : 10];
            w->s[GFX_EXEC] = exec;
            for (int l = 0; l < GFX_LANES; l++) {
                uint64_t sources[3], old = (uint64_t)in[7][l] << 32 | in[6][l];
                for (int s = 0; s < 3; s++)
                    sources[s] = (uint64_t)in[2 * s + 1][l] << 32 | in[2 * s][l];
                sources[0] ^= sign;
                sources[1] &= ~(uint64_t)sign;
                bool active = exec >> l & 1;
                gfx_test_lane = l;
                uint64_t got = compare ? mask >> l & 1 : (uint64_t)w->v[7][l] << 32 | w->v[6][l];
                uint64_t want = active ? ops[k].expect(sources, old) : compare ? 0 : old;
                if (!compare && !wide)
                    want = (old & ~UINT64_C(0xffffffff)) | (want & UINT32_MAX);
                if (!same(&ops[k], got, want))
                    fail_msg("%s with %llx %llx %llx: %llx, not %llx (lane %d, EXEC %x)", ops[k].text,
                             (unsigned long long)sources[0], (unsigned long long)sources[1],
                             (unsigned long long)sources[2], (unsigned long long)got, (unsigned long long)want, l,
                             exec);
            }
            if (exec == UINT32_MAX)
                check_in_place(w, &insns[k], (const uint32_t(*)[GFX_LANES])in, ops[k].text);
        }
    }
    gfx_wave_free(w);
    gfx_insns_free(insns, (uint32_t)count);
    free(lines);
}

void gfx_test_ops(const gfx_test_op *ops, size_t count, const uint32_t *edges, size_t edge_count)
{
    gfx_test_signed_ops(ops, count, edges, edge_count, 0);
}
