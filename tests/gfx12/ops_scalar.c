/* Scalar instructions: integers, masks, comparisons, branches, waits. */
#include "tests/gfx12/machine.h"

#define A gfx_s32(w, &i->src[0])
#define B gfx_s32(w, &i->src[1])
#define A64 gfx_s64(w, &i->src[0])
#define B64 gfx_s64(w, &i->src[1])

static void set_scc(gfx_wave *w, bool value)
{
    w->scc = value;
    w->scc_written = true;
}

static bool scc(gfx_wave *w)
{
    if (!w->scc_written)
        gfx_fault(w, "SCC is read before anything wrote it");
    return w->scc;
}

/* A result without SCC; one whose SCC says that it is not zero; in 32 and 64 bits. */
#define PLAIN(name, expr) static void name(gfx_wave *w, const gfx_insn *i) { gfx_set_s32(w, &i->dst, (expr)); }
#define PLAIN64(name, expr) static void name(gfx_wave *w, const gfx_insn *i) { gfx_set_s64(w, &i->dst, (expr)); }
#define LOGIC(name, expr)                               \
    static void name(gfx_wave *w, const gfx_insn *i)    \
    {                                                   \
        uint32_t r = (expr);                            \
        gfx_set_s32(w, &i->dst, r);                     \
        set_scc(w, r != 0);                             \
    }
#define LOGIC64(name, expr)                             \
    static void name(gfx_wave *w, const gfx_insn *i)    \
    {                                                   \
        uint64_t r = (expr);                            \
        gfx_set_s64(w, &i->dst, r);                     \
        set_scc(w, r != 0);                             \
    }
#define COMPARE(name, type, sign) \
    static void name(gfx_wave *w, const gfx_insn *i) { set_scc(w, (type)A sign (type)B); }
#define COMPARE64(name, sign) static void name(gfx_wave *w, const gfx_insn *i) { set_scc(w, A64 sign B64); }

/* What is not written stays so where it moves to: compilers move such registers about. */
static bool moved_unwritten(gfx_wave *w, const gfx_insn *i, unsigned count)
{
    const gfx_operand *from = &i->src[0], *to = &i->dst;
    if (from->kind != GFX_SGPR || from->index == GFX_NULL || to->index == GFX_NULL)
        return false;
    bool whole = true;
    for (unsigned k = 0; k < count; k++)
        whole &= w->s_written[from->index + k] || w->s_pending[from->index + k];
    for (unsigned k = 0; !whole && k < count; k++)
        w->s_written[to->index + k] = false;
    return !whole;
}
static void mov(gfx_wave *w, const gfx_insn *i)
{
    if (!moved_unwritten(w, i, 1))
        gfx_set_s32(w, &i->dst, A);
}
static void mov64(gfx_wave *w, const gfx_insn *i)
{
    if (!moved_unwritten(w, i, 2))
        gfx_set_s64(w, &i->dst, A64);
}
PLAIN(movk, (uint32_t)(int32_t)(int16_t)A)
PLAIN(mul, A * B)
PLAIN(mul_hi_u, (uint32_t)((uint64_t)A * B >> 32))
PLAIN(mul_hi_i, (uint32_t)((uint64_t)((int64_t)(int32_t)A * (int32_t)B) >> 32))
PLAIN64(mul_u64, A64 * B64)
PLAIN64(add_u64, A64 + B64)
PLAIN64(sub_u64, A64 - B64)
PLAIN(cselect, scc(w) ? A : B)
PLAIN64(cselect64, scc(w) ? A64 : B64)
PLAIN(brev, gfx_reversed(A))
PLAIN(ctz, A ? (uint32_t)__builtin_ctz(A) : UINT32_MAX)
PLAIN(clz, A ? (uint32_t)__builtin_clz(A) : UINT32_MAX)
PLAIN(sext8, (uint32_t)(int32_t)(int8_t)A)
PLAIN(sext16, (uint32_t)(int32_t)(int16_t)A)
PLAIN(bfm, ((UINT32_C(1) << (A & 31)) - 1) << (B & 31))
PLAIN(pack_ll, (A & 0xffff) | B << 16)
PLAIN(pack_lh, (A & 0xffff) | (B & 0xffff0000))
PLAIN(pack_hh, A >> 16 | (B & 0xffff0000))
LOGIC(and32, A & B)
LOGIC(or32, A | B)
LOGIC(xor32, A ^ B)
LOGIC(not_and32, ~(A & B))
LOGIC(nor32, ~(A | B))
LOGIC(xnor32, ~(A ^ B))
LOGIC(and_not32, A & ~B)
LOGIC(or_not32, A | ~B)
LOGIC(not32, ~A)
LOGIC(bcnt32, (uint32_t)__builtin_popcount(A))
LOGIC64(and64, A64 & B64)
LOGIC64(or64, A64 | B64)
LOGIC64(xor64, A64 ^ B64)
LOGIC64(and_not64, A64 & ~B64)
LOGIC64(not64, ~A64)
LOGIC(lshl32, A << (B & 31))
LOGIC(lshr32, A >> (B & 31))
LOGIC(ashr32, (uint32_t)((int32_t)A >> (B & 31)))
LOGIC64(lshl64, A64 << (B & 63))
LOGIC64(lshr64, A64 >> (B & 63))
LOGIC64(ashr64, (uint64_t)((int64_t)A64 >> (B & 63)))

PLAIN(pack_hl, A >> 16 | B << 16)
PLAIN(cls, A == 0 || A == UINT32_MAX ? UINT32_MAX : (uint32_t)__builtin_clz((int32_t)A < 0 ? ~A : A))
PLAIN(ctz64, A64 ? (uint32_t)__builtin_ctzll(A64) : UINT32_MAX)
PLAIN(clz64, A64 ? (uint32_t)__builtin_clzll(A64) : UINT32_MAX)
PLAIN(bitset0, gfx_s32(w, &i->dst) & ~(UINT32_C(1) << (A & 31)))
PLAIN(bitset1, gfx_s32(w, &i->dst) | UINT32_C(1) << (A & 31))
PLAIN64(brev64, (uint64_t)gfx_reversed((uint32_t)A64) << 32 | gfx_reversed((uint32_t)(A64 >> 32)))
PLAIN64(bfm64, ((UINT64_C(1) << (A & 63)) - 1) << (B & 63))
LOGIC64(not_and64, ~(A64 & B64))
LOGIC64(nor64, ~(A64 | B64))
LOGIC64(xnor64, ~(A64 ^ B64))
LOGIC64(or_not64, A64 | ~B64)
LOGIC(bcnt64, (uint32_t)__builtin_popcountll(A64))
LOGIC(bcnt0, (uint32_t)__builtin_popcount(~A))
LOGIC(absdiff, (uint32_t)((int32_t)A > (int32_t)B ? A - B : B - A))

static void cmov(gfx_wave *w, const gfx_insn *i)
{
    if (scc(w))
        gfx_set_s32(w, &i->dst, A);
}
static void cmov64(gfx_wave *w, const gfx_insn *i)
{
    if (scc(w))
        gfx_set_s64(w, &i->dst, A64);
}
static void cmovk(gfx_wave *w, const gfx_insn *i)
{
    if (scc(w))
        gfx_set_s32(w, &i->dst, (uint32_t)(int32_t)(int16_t)A);
}

static uint64_t field64(uint64_t x, uint32_t where, bool is_signed)
{
    uint32_t at = where & 63, width = where >> 16 & 127;
    if (width == 0)
        return 0;
    if (at + width >= 64)
        return is_signed ? (uint64_t)((int64_t)x >> at) : x >> at;
    uint64_t left = x << (64 - at - width);
    return is_signed ? (uint64_t)((int64_t)left >> (64 - width)) : left >> (64 - width);
}
LOGIC64(bfe_u64, field64(A64, B, false))
LOGIC64(bfe_i64, field64(A64, B, true))

static uint32_t field(uint32_t x, uint32_t where, bool is_signed)
{
    uint32_t at = where & 31, width = where >> 16 & 127;
    if (width == 0)
        return 0;
    if (at + width >= 32)
        return is_signed ? (uint32_t)((int32_t)x >> at) : x >> at;
    uint32_t left = x << (32 - at - width);
    return is_signed ? (uint32_t)((int32_t)left >> (32 - width)) : left >> (32 - width);
}
LOGIC(bfe_u32, field(A, B, false))
LOGIC(bfe_i32, field(A, B, true))

static void absolute(gfx_wave *w, const gfx_insn *i)
{
    uint32_t a = A, r = (int32_t)a < 0 ? 0 - a : a;
    gfx_set_s32(w, &i->dst, r);
    set_scc(w, r != 0);
}

/* Sums: SCC is the carry of unsigned ones, the overflow of signed ones. */
static void sum(gfx_wave *w, const gfx_insn *i, uint32_t carry, bool is_signed)
{
    uint32_t a = A, b = B;
    uint64_t r = (uint64_t)a + b + carry;
    gfx_set_s32(w, &i->dst, (uint32_t)r);
    set_scc(w, is_signed ? (~(a ^ b) & (a ^ (uint32_t)r)) >> 31 : r >> 32 != 0);
}
static void difference(gfx_wave *w, const gfx_insn *i, uint32_t borrow, bool is_signed)
{
    uint32_t a = A, b = B, r = a - b - borrow;
    gfx_set_s32(w, &i->dst, r);
    set_scc(w, is_signed ? ((a ^ b) & (a ^ r)) >> 31 : (uint64_t)a < (uint64_t)b + borrow);
}
static void add_u(gfx_wave *w, const gfx_insn *i) { sum(w, i, 0, false); }
static void add_i(gfx_wave *w, const gfx_insn *i) { sum(w, i, 0, true); }
static void add_carry(gfx_wave *w, const gfx_insn *i) { sum(w, i, scc(w), false); }
static void sub_u(gfx_wave *w, const gfx_insn *i) { difference(w, i, 0, false); }
static void sub_i(gfx_wave *w, const gfx_insn *i) { difference(w, i, 0, true); }
static void sub_carry(gfx_wave *w, const gfx_insn *i) { difference(w, i, scc(w), false); }

static void addk(gfx_wave *w, const gfx_insn *i)
{
    uint32_t a = gfx_s32(w, &i->dst), b = (uint32_t)(int32_t)(int16_t)A, r = a + b;
    gfx_set_s32(w, &i->dst, r);
    set_scc(w, (~(a ^ b) & (a ^ r)) >> 31);
}
static void mulk(gfx_wave *w, const gfx_insn *i)
{
    gfx_set_s32(w, &i->dst, gfx_s32(w, &i->dst) * (uint32_t)(int32_t)(int16_t)A);
}

static void shift_add(gfx_wave *w, const gfx_insn *i, int bits)
{
    uint64_t r = ((uint64_t)A << bits) + B;
    gfx_set_s32(w, &i->dst, (uint32_t)r);
    set_scc(w, r >> 32 != 0);
}
static void lshl1_add(gfx_wave *w, const gfx_insn *i) { shift_add(w, i, 1); }
static void lshl2_add(gfx_wave *w, const gfx_insn *i) { shift_add(w, i, 2); }
static void lshl3_add(gfx_wave *w, const gfx_insn *i) { shift_add(w, i, 3); }
static void lshl4_add(gfx_wave *w, const gfx_insn *i) { shift_add(w, i, 4); }

/* SCC: the first operand was taken. */
#define EXTREME(name, type, sign)                       \
    static void name(gfx_wave *w, const gfx_insn *i)    \
    {                                                   \
        uint32_t a = A, b = B;                          \
        bool first = (type)a sign (type)b;              \
        gfx_set_s32(w, &i->dst, first ? a : b);         \
        set_scc(w, first);                              \
    }
EXTREME(min_i, int32_t, <)
EXTREME(min_u, uint32_t, <)
EXTREME(max_i, int32_t, >)
EXTREME(max_u, uint32_t, >)

COMPARE(eq_i, int32_t, ==)
COMPARE(lg_i, int32_t, !=)
COMPARE(gt_i, int32_t, >)
COMPARE(ge_i, int32_t, >=)
COMPARE(lt_i, int32_t, <)
COMPARE(le_i, int32_t, <=)
COMPARE(gt_u, uint32_t, >)
COMPARE(ge_u, uint32_t, >=)
COMPARE(lt_u, uint32_t, <)
COMPARE(le_u, uint32_t, <=)
COMPARE64(eq64, ==)
COMPARE64(lg64, !=)
static void bitcmp0(gfx_wave *w, const gfx_insn *i) { set_scc(w, (A >> (B & 31) & 1) == 0); }
static void bitcmp1(gfx_wave *w, const gfx_insn *i) { set_scc(w, (A >> (B & 31) & 1) == 1); }

/* dst = EXEC, then EXEC = f(source, EXEC). */
#define SAVE_EXEC(name, expr)                           \
    static void name(gfx_wave *w, const gfx_insn *i)    \
    {                                                   \
        uint32_t a = A, exec = w->s[GFX_EXEC];          \
        gfx_set_s32(w, &i->dst, exec);                  \
        w->s[GFX_EXEC] = (expr);                        \
        set_scc(w, w->s[GFX_EXEC] != 0);                \
    }
SAVE_EXEC(and_saveexec, a & exec)
SAVE_EXEC(or_saveexec, a | exec)
SAVE_EXEC(xor_saveexec, a ^ exec)
SAVE_EXEC(and_not0_saveexec, ~a & exec)
SAVE_EXEC(and_not1_saveexec, a & ~exec)
SAVE_EXEC(or_not1_saveexec, a | ~exec)
SAVE_EXEC(or_not0_saveexec, ~a | exec)
SAVE_EXEC(nand_saveexec, ~(a & exec))
SAVE_EXEC(nor_saveexec, ~(a | exec))
SAVE_EXEC(xnor_saveexec, ~(a ^ exec))

/* EXEC and dst alike = f(source, EXEC). */
static void write_exec(gfx_wave *w, const gfx_insn *i, uint32_t exec)
{
    w->s[GFX_EXEC] = exec;
    gfx_set_s32(w, &i->dst, exec);
    set_scc(w, exec != 0);
}
static void and_not0_wrexec(gfx_wave *w, const gfx_insn *i) { write_exec(w, i, ~A & w->s[GFX_EXEC]); }
static void and_not1_wrexec(gfx_wave *w, const gfx_insn *i) { write_exec(w, i, A & ~w->s[GFX_EXEC]); }

#define BRANCH(name, condition)                                            \
    static void name(gfx_wave *w, const gfx_insn *i)                       \
    {                                                                      \
        if (condition)                                                     \
            w->pc = i->simm;                                               \
    }
BRANCH(branch, true)
BRANCH(branch_scc0, !scc(w))
BRANCH(branch_scc1, scc(w))
static const gfx_operand vcc = { .kind = GFX_SGPR, .count = 1, .index = GFX_VCC };
BRANCH(branch_vccz, gfx_s32(w, &vcc) == 0)
BRANCH(branch_vccnz, gfx_s32(w, &vcc) != 0)
BRANCH(branch_execz, w->s[GFX_EXEC] == 0)
BRANCH(branch_execnz, w->s[GFX_EXEC] != 0)

static void wait_one(gfx_wave *w, const gfx_insn *i) { gfx_wait(w, (gfx_counter)i->op->param, i->simm); }
static void wait_load_ds(gfx_wave *w, const gfx_insn *i)
{
    gfx_wait(w, GFX_LOADCNT, i->simm >> 8 & 63);
    gfx_wait(w, GFX_DSCNT, i->simm & 63);
}
static void wait_store_ds(gfx_wave *w, const gfx_insn *i)
{
    gfx_wait(w, GFX_STORECNT, i->simm >> 8 & 63);
    gfx_wait(w, GFX_DSCNT, i->simm & 63);
}
static void nothing(gfx_wave *w, const gfx_insn *i) { (void)w, (void)i; }
static void end(gfx_wave *w, const gfx_insn *i) { (void)i; w->done = true; }
/* The mode that floats are computed in here: to nearest, denormals kept. */
static void round_mode(gfx_wave *w, const gfx_insn *i)
{
    if (i->simm & 15)
        gfx_fault(w, "rounds another way than to nearest");
}
static void denormal_mode(gfx_wave *w, const gfx_insn *i)
{
    if ((i->simm & 15) != 15)
        gfx_fault(w, "flushes denormals");
}
static void invalidate(gfx_wave *w, const gfx_insn *i) { gfx_log_invalidate(w, (gfx_scope)i->scope); }
static void write_back(gfx_wave *w, const gfx_insn *i) { gfx_log_write_back(w, (gfx_scope)i->scope); }
static void write_back_invalidate(gfx_wave *w, const gfx_insn *i)
{
    write_back(w, i);
    invalidate(w, i);
}
static void wait_idle(gfx_wave *w, const gfx_insn *i)
{
    (void)i;
    for (int c = 0; c < GFX_COUNTERS; c++)
        gfx_wait(w, (gfx_counter)c, 0);
}
static void barrier_signal(gfx_wave *w, const gfx_insn *i)
{
    if (i->simm != UINT32_MAX || w->signalled) {
        gfx_fault(w, w->signalled ? "signals a barrier twice" : "a barrier other than the workgroup's");
        return;
    }
    gfx_log_signal(w);
    w->signalled = true;
    w->time++;
}
static void barrier_wait(gfx_wave *w, const gfx_insn *i)
{
    if ((i->simm & 0xffff) != 0xffff || !w->signalled) {
        gfx_fault(w,
                  w->signalled ? "a barrier other than the workgroup's" : "waits at a barrier that it did not signal");
        return;
    }
    w->signalled = false;
    w->at_barrier = true;
}

#define S(name, fn) { name, fn, NULL, GFX_SCALAR, 0, 0 }
#define S_CMP(name, fn) { name, fn, NULL, GFX_SCALAR, GFX_NO_DST, 0 }
#define S_BRANCH(name, fn) { name, fn, NULL, GFX_SCALAR_BRANCH, GFX_NO_DST, 0 }
#define S_WAIT(name, fn, counter) { name, fn, NULL, GFX_WAIT, GFX_NO_DST, counter }
#define S_CACHE(name, fn) { name, fn, NULL, GFX_HINT, GFX_NO_DST | GFX_SCOPED, 0 }
#define S_HINT(name) { name, nothing, NULL, GFX_HINT, GFX_NO_DST, 0 }

const gfx_op gfx_scalar_ops[] = {
    S("s_mov_b32", mov), S("s_mov_b64", mov64), S("s_movk_i32", movk), S("s_mul_i32", mul),
    S("s_mul_hi_u32", mul_hi_u), S("s_mul_hi_i32", mul_hi_i), S("s_mul_u64", mul_u64),
    S("s_add_nc_u64", add_u64), S("s_sub_nc_u64", sub_u64), S("s_cselect_b32", cselect), S("s_cselect_b64", cselect64),
    S("s_brev_b32", brev), S("s_ctz_i32_b32", ctz), S("s_clz_i32_u32", clz), S("s_sext_i32_i8", sext8),
    S("s_sext_i32_i16", sext16), S("s_bfm_b32", bfm), S("s_pack_ll_b32_b16", pack_ll),
    S("s_pack_lh_b32_b16", pack_lh), S("s_pack_hh_b32_b16", pack_hh),
    S("s_and_b32", and32), S("s_or_b32", or32), S("s_xor_b32", xor32), S("s_nand_b32", not_and32),
    S("s_nor_b32", nor32),
    S("s_xnor_b32", xnor32), S("s_and_not1_b32", and_not32), S("s_or_not1_b32", or_not32), S("s_not_b32", not32),
    S("s_bcnt1_i32_b32", bcnt32), S("s_and_b64", and64), S("s_or_b64", or64), S("s_xor_b64", xor64),
    S("s_and_not1_b64", and_not64), S("s_not_b64", not64), S("s_lshl_b32", lshl32), S("s_lshr_b32", lshr32),
    S("s_ashr_i32", ashr32), S("s_lshl_b64", lshl64), S("s_lshr_b64", lshr64), S("s_ashr_i64", ashr64),
    S("s_bfe_u32", bfe_u32), S("s_bfe_i32", bfe_i32), S("s_abs_i32", absolute),
    S("s_add_co_u32", add_u), S("s_add_co_i32", add_i), S("s_add_co_ci_u32", add_carry),
    S("s_sub_co_u32", sub_u), S("s_sub_co_i32", sub_i), S("s_sub_co_ci_u32", sub_carry),
    S("s_addk_co_i32", addk), S("s_mulk_i32", mulk),
    S("s_lshl1_add_u32", lshl1_add), S("s_lshl2_add_u32", lshl2_add), S("s_lshl3_add_u32", lshl3_add),
    S("s_lshl4_add_u32", lshl4_add), S("s_min_i32", min_i), S("s_min_u32", min_u), S("s_max_i32", max_i),
    S("s_max_u32", max_u), S("s_pack_hl_b32_b16", pack_hl), S("s_cls_i32", cls), S("s_ctz_i32_b64", ctz64),
    S("s_clz_i32_u64", clz64), S("s_bitset0_b32", bitset0), S("s_bitset1_b32", bitset1), S("s_brev_b64", brev64),
    S("s_bfm_b64", bfm64), S("s_nand_b64", not_and64), S("s_nor_b64", nor64), S("s_xnor_b64", xnor64),
    S("s_or_not1_b64", or_not64), S("s_bcnt1_i32_b64", bcnt64), S("s_bcnt0_i32_b32", bcnt0),
    S("s_absdiff_i32", absdiff), S("s_cmov_b32", cmov), S("s_cmov_b64", cmov64), S("s_cmovk_i32", cmovk),
    S("s_bfe_u64", bfe_u64), S("s_bfe_i64", bfe_i64), S("s_or_not0_saveexec_b32", or_not0_saveexec),
    S("s_nand_saveexec_b32", nand_saveexec), S("s_nor_saveexec_b32", nor_saveexec),
    S("s_xnor_saveexec_b32", xnor_saveexec), S("s_and_not0_wrexec_b32", and_not0_wrexec),
    S("s_and_not1_wrexec_b32", and_not1_wrexec),
    S_CMP("s_cmp_eq_i32", eq_i), S_CMP("s_cmp_lg_i32", lg_i), S_CMP("s_cmp_gt_i32", gt_i),
    S_CMP("s_cmp_ge_i32", ge_i), S_CMP("s_cmp_lt_i32", lt_i), S_CMP("s_cmp_le_i32", le_i),
    S_CMP("s_cmp_eq_u32", eq_i), S_CMP("s_cmp_lg_u32", lg_i), S_CMP("s_cmp_gt_u32", gt_u),
    S_CMP("s_cmp_ge_u32", ge_u), S_CMP("s_cmp_lt_u32", lt_u), S_CMP("s_cmp_le_u32", le_u),
    S_CMP("s_cmp_eq_u64", eq64), S_CMP("s_cmp_lg_u64", lg64),
    S_CMP("s_bitcmp0_b32", bitcmp0), S_CMP("s_bitcmp1_b32", bitcmp1),
    S("s_and_saveexec_b32", and_saveexec), S("s_or_saveexec_b32", or_saveexec),
    S("s_xor_saveexec_b32", xor_saveexec), S("s_and_not0_saveexec_b32", and_not0_saveexec),
    S("s_and_not1_saveexec_b32", and_not1_saveexec), S("s_or_not1_saveexec_b32", or_not1_saveexec),
    S_BRANCH("s_branch", branch), S_BRANCH("s_cbranch_scc0", branch_scc0), S_BRANCH("s_cbranch_scc1", branch_scc1),
    S_BRANCH("s_cbranch_vccz", branch_vccz), S_BRANCH("s_cbranch_vccnz", branch_vccnz),
    S_BRANCH("s_cbranch_execz", branch_execz), S_BRANCH("s_cbranch_execnz", branch_execnz),
    S_WAIT("s_wait_loadcnt", wait_one, GFX_LOADCNT), S_WAIT("s_wait_dscnt", wait_one, GFX_DSCNT),
    S_WAIT("s_wait_kmcnt", wait_one, GFX_KMCNT), S_WAIT("s_wait_storecnt", wait_one, GFX_STORECNT),
    S_WAIT("s_wait_loadcnt_dscnt", wait_load_ds, 0), S_WAIT("s_wait_storecnt_dscnt", wait_store_ds, 0),
    S_HINT("s_nop"), S_HINT("s_clause"), S_HINT("s_delay_alu"), S_HINT("s_wait_alu"), S_HINT("s_sendmsg"),
    S_HINT("s_setprio"), S_HINT("s_sleep"), S_HINT("s_code_end"),
    S_HINT("s_wait_samplecnt"), S_HINT("s_wait_bvhcnt"), S_HINT("s_wait_expcnt"), S_HINT("s_prefetch_inst"),
    S_HINT("s_prefetch_inst_pc_rel"), S_HINT("s_prefetch_data"), S_HINT("s_prefetch_data_pc_rel"), S_HINT("ds_nop"),
    S_CACHE("global_inv", invalidate), S_CACHE("global_wb", write_back), S_CACHE("global_wbinv", write_back_invalidate),
    { "s_round_mode", round_mode, NULL, GFX_HINT, GFX_NO_DST, 0 },
    { "s_denorm_mode", denormal_mode, NULL, GFX_HINT, GFX_NO_DST, 0 },
    { "s_wait_idle", wait_idle, NULL, GFX_WAIT, GFX_NO_DST, 0 },
    { "s_barrier_signal", barrier_signal, NULL, GFX_BARRIER, GFX_NO_DST, 0 },
    { "s_barrier_wait", barrier_wait, NULL, GFX_BARRIER, GFX_NO_DST, 0 },
    { "s_endpgm", end, NULL, GFX_END, GFX_NO_DST, 0 },
    { NULL, NULL, NULL, GFX_HINT, 0, 0 },
};
