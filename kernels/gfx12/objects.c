/* The code objects inside the library, and the list of their kernels. */
#include "kernels/gfx12/gfx12.h"

#include <string.h>

const char *ash_gfx_target_name(ash_gfx_target target) { return target == ASH_GFX1200 ? "gfx1200" : "gfx1201"; }

#ifdef ASH_GFX12_OBJECTS /* "build/gfx12": the build's list.def has a line ASH_OBJECT(name) for each */

#define EMBED(target, name)                                                                            \
    __asm__(".pushsection .rodata,\"a\",@progbits\n.balign 16\n"                                       \
            "ash_" #target "_" #name ":\n.incbin \"" ASH_GFX12_OBJECTS "/" #target "/" #name ".co\"\n" \
            "ash_" #target "_" #name "_end:\n.balign 16\n.popsection\n");                              \
    extern __attribute__((visibility("hidden"))) const uint8_t ash_##target##_##name[];                \
    extern __attribute__((visibility("hidden"))) const uint8_t ash_##target##_##name##_end[];
#define ASH_OBJECT(name) EMBED(gfx1200, name) EMBED(gfx1201, name)
#include "list.def"
#undef ASH_OBJECT

static const ash_gfx_object objects[ASH_GFX_TARGETS][64] = {
#define OBJECT(target, name) { #name, ash_##target##_##name, ash_##target##_##name##_end },
    {
#define ASH_OBJECT(name) OBJECT(gfx1200, name)
#include "list.def"
#undef ASH_OBJECT
    },
    {
#define ASH_OBJECT(name) OBJECT(gfx1201, name)
#include "list.def"
#undef ASH_OBJECT
    },
};

const ash_gfx_object *ash_gfx_objects(ash_gfx_target target, size_t *count)
{
    *count = 0
#define ASH_OBJECT(name) + 1
#include "list.def"
#undef ASH_OBJECT
        ;
    return objects[target];
}

#else

const ash_gfx_object *ash_gfx_objects(ash_gfx_target target, size_t *count)
{
    (void)target;
    *count = 0;
    return NULL;
}

#endif

const ash_gfx_object *ash_gfx_object_find(ash_gfx_target target, const char *name)
{
    size_t count;
    const ash_gfx_object *all = ash_gfx_objects(target, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return NULL;
}

static const ash_gfx_kernel kernels[] = {
#define ASH_KERNEL_GFX12(op, dtype, variant, object, symbol, threads, args) \
    { ASH_GFX_OP_##op, ASH_##dtype, variant, #object, #symbol, threads, sizeof(args) },
#include "kernels/gfx12/registry.def"
};

const ash_gfx_kernel *ash_gfx_kernels(size_t *count)
{
    *count = sizeof kernels / sizeof *kernels;
    return kernels;
}

const ash_gfx_kernel *ash_gfx_kernel_find(ash_gfx_op op, ash_dtype dtype, uint32_t variant)
{
    const ash_gfx_kernel *best = NULL;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const ash_gfx_kernel *k = &kernels[i];
        if (k->op == op && k->dtype == dtype && k->variant >= variant && (!best || k->variant < best->variant))
            best = k;
    }
    return best;
}
