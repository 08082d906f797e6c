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

/* Of 16 rows, 256 columns and a token. few: up to ASH_Q8_FEW rows of the 8-bit form (matmul_q8_pairs.h, matmul_q8_folded.h,
 * matmul_q8.h); many: of weights as they are (matmul_q8_many.h); fine: of two rows the half, in matmul_q8_pairs.h, and of
 * half as many tokens in matmul_q8_folded.h. */
typedef struct q8_steps {
    uint8_t few, many, fine;
} q8_steps;
typedef struct rounded_steps { /* matmul_q8_rounded.h */
    uint8_t narrow, wide, fine;
} rounded_steps;

int ash_q8_steps(ash_level level, bool shared, ash_dtype dtype, const ash_acts *x)
{
    /* Many: two floats a group of 32 columns, three with minimums; Q6_K's whole scales. */
    static const q8_steps products[ASH_USABLE_DTYPES] = {
        [ASH_Q4_0] = { 88, 80, 78 }, [ASH_Q4_1] = { 96, 88, 82 }, [ASH_Q5_0] = { 88, 80, 78 },
        [ASH_Q5_1] = { 112, 88, 0 }, [ASH_Q8_0] = { 80, 80, 72 }, [ASH_Q4_K] = { 90, 88, 78 },
        [ASH_Q5_K] = { 112, 88, 0 }, [ASH_Q6_K] = { 96, 88, 0 },
    };
    /* Besides: pairs have a pack and a conversion for 8 rows and 64 columns, and one pack more for both rows of a fine
     * token (of Q4_K a sum too); folds 6 shuffles, 4 sums and a conversion for 32 columns, fine 4 shifts besides; the others a
     * conversion a vector of sums. A whole product is two steps. */
    static const q8_steps all[ASH_USABLE_DTYPES] = {
        [ASH_Q4_0] = { 104, 88, 90 }, [ASH_Q4_1] = { 112, 96, 94 },  [ASH_Q5_0] = { 104, 88, 90 },
        [ASH_Q5_1] = { 128, 96, 0 },  [ASH_Q8_0] = { 168, 88, 132 }, [ASH_Q4_K] = { 106, 96, 94 },
        [ASH_Q5_K] = { 128, 96, 0 },  [ASH_Q6_K] = { 112, 120, 0 },
    };
    static const rounded_steps rounded[2] = { { 73, 66, 65 }, { 81, 67, 66 } };
    if (level < ASH_LEVEL_VNNI || dtype >= ASH_USABLE_DTYPES || !products[dtype].few)
        return 64;
    if (ash_q8_rounds(level, dtype, x->tokens)) {
        const rounded_steps *r = &rounded[shared];
        return x->q8_fine ? r->fine : x->q8_wide && ash_q8_takes_wide(level, dtype, x->tokens) ? r->wide : r->narrow;
    }
    const q8_steps *s = &(shared ? all : products)[dtype];
    if (s->fine && x->q8_fine && x->tokens <= (dtype == ASH_Q8_0 ? ASH_Q8_FEW / 2 : ASH_Q8_FEW))
        return s->fine;
    return ash_q8_rows(x) <= ASH_Q8_FEW ? s->few : s->many;
}
