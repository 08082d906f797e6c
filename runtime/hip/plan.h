/* What a card does for a model: where everything lies in its memory, and the launches of a forward pass.
 *
 * Four allocations hold all of it, sized before any is made:
 *   weights    the matrices, in the file's order and bytes (extents)
 *   constants  norms, biases, FP8 scales, rotation angles, as floats; the plan fills a host copy to be uploaded once
 *   workspace  activations, the step block, sampling's results; all zero at first
 *   cache      keys and values
 * A plan calls nothing of HIP and touches no device memory: it computes addresses and arguments. So the same plan runs
 * on a card, and in the tests' interpreter with addresses of the host.
 *
 * A pass of 1 to ASH_GFX_DECODE_TOKENS tokens decodes: five launches a layer (q k v, attention, output, gate and up,
 * down), each of which needs all of the one before: in fewer, workgroups would wait for others of their own launch,
 * which HIP does not promise to run meanwhile. Longer ones, up to the plan's batch, go through the matrix units: inputs
 * are rounded once for each product, by the product before where one rounding serves all of the next one's parts: seven
 * launches a layer. F32 goes through the decoding kernels there too.
 * Positions and ids come from the step block, so a list serves every step of its length.
 */
#ifndef ASHLAR_RUNTIME_HIP_PLAN_H
#define ASHLAR_RUNTIME_HIP_PLAN_H

#include "kernels/gfx12/gfx12.h"
#include "runtime/model.h"

typedef struct ash_hip_plan_options {
    uint32_t context;     /* positions of the cache */
    uint32_t batch;       /* tokens of one pass at most */
    uint32_t first_layer; /* layers before it, and the embedding, are the CPU's: a pass then begins with rows of x */
    bool cache_fp8;       /* e4m3 keys and values, else F16 */
} ash_hip_plan_options;

typedef struct ash_hip_plan_memory { /* bytes, or device addresses, aligned to 4096 */
    uint64_t weights, constants, workspace, cache;
} ash_hip_plan_memory;

typedef struct ash_hip_plan ash_hip_plan;

/* ASH_E_UNSUPPORTED, naming tensor and type, where no kernel takes the model's weights, or heads of its size;
 * ASH_E_LIMIT where context or batch are more than the kernels count (args.h). The model must outlive the plan. */
ash_status ash_hip_plan_new(const ashlar_model *model, const ash_hip_plan_options *options, ash_hip_plan **out,
                            ash_error *err);
void ash_hip_plan_free(ash_hip_plan *plan);

/* Bytes that each allocation needs. */
ash_hip_plan_memory ash_hip_plan_sizes(const ash_hip_plan *plan);
/* What of the file's DATA section goes where: `bytes` from its byte `from` to byte `to` of the weights' allocation.
 * Ascending in both; starts are multiples of 4096. */
typedef struct ash_hip_plan_extent {
    uint64_t from, to, bytes;
} ash_hip_plan_extent;
const ash_hip_plan_extent *ash_hip_plan_extents(const ash_hip_plan *plan, uint32_t *count);
/* Bytes of the weights' allocation, from its start, that must be there before a layer runs (ASH_NO_LAYER: the output).
 */
uint64_t ash_hip_plan_needs(const ash_hip_plan *plan, uint32_t layer);
/* Fixes the addresses, and writes sizes.constants bytes to `constants` (host memory). Before anything below. */
void ash_hip_plan_place(ash_hip_plan *plan, const ash_hip_plan_memory *at, void *constants);

/* Places in the workspace that the host writes or reads. */
typedef struct ash_hip_plan_io {
    uint64_t step;        /* ash_gfx_step with room for `batch` ids */
    uint64_t x;           /* hidden states: rows of x_stride floats */
    uint64_t logits;      /* rows of logits_stride floats: of the last token alone, or of each one */
    uint64_t values, ids; /* sampling's: ASH_PLAN_TOP_K each, ids right behind values */
    uint64_t row_steps;   /* ASH_GFX_DECODE_TOKENS ash_gfx_steps, ASH_PLAN_ROW_STEP bytes apart: of each row's own session */
    uint32_t x_stride, logits_stride;
} ash_hip_plan_io;
#define ASH_PLAN_TOP_K ASHLAR_TOP
static_assert(ASH_PLAN_TOP_K <= ASH_GFX_TOP_K, "the kernel finds as many");
#define ASH_PLAN_ROW_STEP 16
static_assert(sizeof(ash_gfx_step) <= ASH_PLAN_ROW_STEP, "a step without ids");
/* Rows of logits that there is room for. */
#define ASH_PLAN_LOGITS 64
ash_hip_plan_io ash_hip_plan_places(const ash_hip_plan *plan);

typedef struct ash_launch {
    const ash_gfx_kernel *kernel;
    uint32_t grid[3]; /* workgroups of kernel->threads lanes */
    uint32_t layer;   /* or ASH_NO_LAYER */
    ash_role role;    /* QKV, O, GATE_UP, DOWN, OUTPUT; EMBED for the rest outside of layers; OTHER: attention */
    ash_gfx_args args;
} ash_launch;

typedef struct ash_launches {
    ash_launch *list; /* the caller frees with ash_launches_free */
    uint32_t count, room;
} ash_launches;

typedef enum ash_hip_plan_output {
    ASH_PLAN_NONE,   /* no logits: more of the prompt follows */
    ASH_PLAN_LAST,   /* logits of the last token */
    ASH_PLAN_ALL,    /* of every token: at most ASH_PLAN_LOGITS */
    ASH_PLAN_TOP,    /* of the last token; values and ids hold the ASH_PLAN_TOP_K largest (or the vocabulary), in order */
    ASH_PLAN_GREEDY, /* of the last token, whose arg-max becomes the next step; values[0] and ids[0] hold it */
} ash_hip_plan_output;

/* The launches of a pass of `tokens` (1 to the batch). */
ash_status ash_hip_plan_pass(const ash_hip_plan *plan, uint32_t tokens, ash_hip_plan_output output, ash_launches *out,
                             ash_error *err);
/* One token of each of `count` sessions (1 to ASH_GFX_DECODE_TOKENS, each with its own plan for the same model on the same
 * card, all layers there): weights and buffers are the first one's, keys, values and rotation angles each one's own; ids come
 * from the step block, positions from row_steps. Row i of the logits is of[i]'s. */
ash_status ash_hip_plan_together(const ash_hip_plan *const *of, uint32_t count, ash_launches *out, ash_error *err);
void ash_launches_free(ash_launches *l);

#endif
