/* Tools for tests of the interpreter and of kernels: the compiler, the assembler, registers. What fails ends the
 * test. */
#ifndef ASHLAR_TESTS_GFX12_TESTING_H
#define ASHLAR_TESTS_GFX12_TESTING_H

#include "tests/gfx12/machine.h"
#include "tests/support/support.h"

/* ---- tools ---- */

/* Runs clang-19 with these flags, source and output. */
void gfx_test_clang(const char *flags, const char *source, const char *out);
/* Assembles lines, one instruction each; the caller frees with gfx_insns_free. False: *err says what the interpreter
 * does not know; what the assembler does not know ends the test. */
bool gfx_test_try(const char *const *lines, size_t count, gfx_insn **out, gfx_error *err);
gfx_insn *gfx_test_assemble(const char *const *lines, size_t count);
/* Compiles HIP for a target, "gfx1200" or "gfx1201"; `more`: further flags, or "". */
gfx_code gfx_test_compile(const char *target, const char *source, const char *more);
/* A code object made of assembly, with descriptors. */
gfx_code gfx_test_assemble_file(const char *source);

void gfx_test_set_v(gfx_wave *w, unsigned reg, const uint32_t values[GFX_LANES]);
void gfx_test_set_s(gfx_wave *w, unsigned reg, uint32_t value);
/* Runs one instruction, whose effect the caller compares with what it computes itself, and ends the test where it is a
 * fault. */
void gfx_test_step(gfx_wave *w, const gfx_insn *i);
/* Ends the test where one of a table's operations has not gone through gfx_test_step in this program so far: the
 * last test of the program that is responsible for the table. */
void gfx_test_all_ran(const gfx_op *table);

/* ---- tables of vector instructions ---- */

/* One instruction on 32 lanes of edge values and random ones, under full and random EXEC. Sources are v[0:1],
 * v[2:3], v[4:5] and the result v6 or v[6:7], or s10 of a comparison, or EXEC of a v_cmpx; `expect` gets the sources
 * and what the result held. */
typedef uint64_t gfx_test_expect(const uint64_t in[3], uint64_t old);
typedef struct gfx_test_op {
    const char *text;
    gfx_test_expect *expect;
    enum { GFX_TEST_BITS, GFX_TEST_F32, GFX_TEST_F16, GFX_TEST_PK_F16, GFX_TEST_2F32 } nan; /* one equals any other */
    double ulps; /* F32: how far the result may be, in units of the last place; 0: not at all */
} gfx_test_op;
extern int gfx_test_lane;     /* the lane that `expect` is asked for, and VCC */
extern uint32_t gfx_test_vcc;
void gfx_test_ops(const gfx_test_op *ops, size_t count, const uint32_t *edges, size_t edge_count);
/* The same of texts with -v0 and |v2|: `expect` gets them so, `sign` being the sign's bit. */
void gfx_test_signed_ops(const gfx_test_op *ops, size_t count, const uint32_t *edges, size_t edge_count, uint32_t sign);
/* p q + r of halves, rounded once to a half. */
uint32_t gfx_test_half_fma(float p, float q, float r);
/* An expectation: a, b, c: the sources' lower words; x, y, z: as floats; A, B, C: 64 bits; old: the result's
 * register. */
#define GFX_EXPECT(name, expr)                                                                                  \
    static uint64_t e_##name(const uint64_t in[3], uint64_t old)                                                \
    {                                                                                                           \
        uint32_t a = (uint32_t)in[0], b = (uint32_t)in[1], c = (uint32_t)in[2];                                 \
        uint64_t A = in[0], B = in[1], C = in[2];                                                               \
        float x = gfx_float(a), y = gfx_float(b), z = gfx_float(c);                                             \
        (void)a, (void)b, (void)c, (void)A, (void)B, (void)C, (void)x, (void)y, (void)z, (void)old;             \
        return (expr);                                                                                          \
    }

#endif
