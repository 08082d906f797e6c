/* Device code for gfx12, as the host sees it: code objects inside the library, and what kernels are in them.
 *
 * The objects are compiled from kernels/gfx12/NAME.hip by the build where clang 19 and lld are there; a build without
 * them has none, and is the CPU product. Kernels are listed in kernels/gfx12/registry.def, a line for each type that
 * one serves; tests, counts and dispatch read that list. Arguments: args.h, one struct a kernel, by value.
 */
#ifndef ASHLAR_KERNELS_GFX12_GFX12_H
#define ASHLAR_KERNELS_GFX12_GFX12_H

#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"
#include "kernels/gfx12/args.h"

typedef enum ash_gfx_target { ASH_GFX1200, ASH_GFX1201, ASH_GFX_TARGETS } ash_gfx_target;
const char *ash_gfx_target_name(ash_gfx_target target); /* "gfx1201" */

typedef struct ash_gfx_object {
    const char *name;          /* of its source, without .hip */
    const uint8_t *data, *end; /* an ELF code object, as hipModuleLoadData takes it */
} ash_gfx_object;

/* *count is 0 where the build had no device compiler. The objects live as long as the program. */
const ash_gfx_object *ash_gfx_objects(ash_gfx_target target, size_t *count);
/* NULL where there is none of that name. */
const ash_gfx_object *ash_gfx_object_find(ash_gfx_target target, const char *name);

typedef enum ash_gfx_op {
    ASH_GFX_OP_DECODE,  /* ash_gfx_decode; variant: the tokens that it has room for: 1, 2, 4, 8;
                            ASH_GFX_ANY_TOKENS for types that have no ASH_GFX_OP_PREFILL */
    ASH_GFX_OP_PREFILL, /* ash_gfx_prefill; variant: panels of a workgroup */
    ASH_GFX_OP_INPUTS,  /* ash_gfx_inputs; variant: ash_gfx_form */
    ASH_GFX_OP_ATTEND,  /* ash_gfx_attend, decoding; variant: head_dim that it has room for */
    ASH_GFX_OP_ATTEND_PREFILL, /* the same after ASH_GFX_OP_KV_STORE */
    ASH_GFX_OP_KV_STORE,       /* ash_gfx_attend: norms, rotation, cache */
    ASH_GFX_OP_EMBED,   /* ash_gfx_embed */
    ASH_GFX_OP_ARG_MAX, /* ash_gfx_sample */
    ASH_GFX_OP_TOP_K,
    ASH_GFX_OP_SOFTMAX,
    ASH_GFX_OP_COUNT
} ash_gfx_op;

typedef struct ash_gfx_kernel {
    ash_gfx_op op;
    ash_dtype dtype;      /* of the weights; ASH_DTYPE_COUNT where there are none */
    uint32_t variant;
    const char *object, *symbol;
    uint32_t threads;     /* of a workgroup */
    uint32_t args_bytes;
} ash_gfx_kernel;

const ash_gfx_kernel *ash_gfx_kernels(size_t *count);
/* The kernel of an operation and type with the smallest variant that is at least `variant`; NULL where there is
 * none. */
const ash_gfx_kernel *ash_gfx_kernel_find(ash_gfx_op op, ash_dtype dtype, uint32_t variant);

#endif
