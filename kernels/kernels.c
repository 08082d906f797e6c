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
