#include "kernels/kernels.h"

#include <string.h>

static const ash_kernel list[] = {
#define ASH_KERNEL_TYPED(op, field, dtype, level, function) \
    { #function, ASH_OP_##op, ASH_##dtype, ASH_LEVEL_##level, (ash_any_fn *)function },
#define ASH_KERNEL(op, field, level, function) \
    { #function, ASH_OP_##op, ASH_DTYPE_COUNT, ASH_LEVEL_##level, (ash_any_fn *)function },
#include "kernels/registry.def"
};

const ash_kernel *ash_kernel_list(size_t *count)
{
    *count = sizeof list / sizeof list[0];
    return list;
}

const char *ash_level_name(ash_level level)
{
    static const char *const names[ASH_LEVEL_COUNT] = { "scalar", "neon", "avx2", "avxvnni",
                                                        "avx512", "vnni", "avx512bf16" };
    return level < ASH_LEVEL_COUNT ? names[level] : "unknown";
}

void ash_kernels_init(ash_kernels *out, ash_level level)
{
    bool use[ASH_LEVEL_COUNT];
    for (int l = 0; l < ASH_LEVEL_COUNT; l++)
        use[l] = l <= (int)level && ash_level_has((ash_level)l);
    memset(out, 0, sizeof *out);
    out->level = ash_level_upto(level);
    /* Assignments in the registry's order: a later line replaces an earlier one. The compiler checks each function
     * against its member's type. */
#define ASH_KERNEL_TYPED(op, field, dtype, wanted, function) \
    if (use[ASH_LEVEL_##wanted])                             \
        out->field[ASH_##dtype] = function;
#define ASH_KERNEL(op, field, wanted, function) \
    if (use[ASH_LEVEL_##wanted])                \
        out->field = function;
#include "kernels/registry.def"
}

int ash_q8_steps(ash_level level, ash_dtype dtype, const ash_acts *x)
{
    /* few: up to ASH_Q8_FEW tokens (matmul_q8_pairs.h, matmul_q8_folded.h without its shuffles, matmul_q8.h); many: of weights as
     * they are (matmul_q8_many.h: two floats a group of 32 columns, three with minimums; Q6_K's whole scales); fine:
     * matmul_q8_pairs.h for half of what both rows take, and matmul_q8_folded.h, of half as many tokens */
    static const struct { uint8_t few, many, fine; } steps[ASH_USABLE_DTYPES] = {
        [ASH_Q4_0] = { 88, 80, 76 }, [ASH_Q4_1] = { 96, 88, 80 }, [ASH_Q5_0] = { 88, 80, 76 },
        [ASH_Q5_1] = { 112, 88, 0 }, [ASH_Q8_0] = { 80, 80, 72 }, [ASH_Q4_K] = { 90, 88, 81 },
        [ASH_Q5_K] = { 112, 88, 0 }, [ASH_Q6_K] = { 96, 88, 0 },
    };
    if (level < ASH_LEVEL_VNNI || dtype >= ASH_USABLE_DTYPES || !steps[dtype].few)
        return 64;
    if (ash_q8_rounds(level, dtype, x->tokens)) /* matmul_q8_rounded.h */
        return x->q8_fine ? 65 : x->q8_wide && ash_q8_takes_wide(level, dtype, x->tokens) ? 66 : 73;
    if (x->q8_fine && x->tokens <= (dtype == ASH_Q8_0 ? ASH_Q8_FEW / 2 : ASH_Q8_FEW) && steps[dtype].fine)
        return steps[dtype].fine;
    return ash_q8_rows(x) <= ASH_Q8_FEW ? steps[dtype].few : steps[dtype].many;
}
