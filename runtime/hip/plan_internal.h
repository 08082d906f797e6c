/* A plan from the inside: what plan.c places and passes.c launches. */
#ifndef ASHLAR_RUNTIME_HIP_PLAN_INTERNAL_H
#define ASHLAR_RUNTIME_HIP_PLAN_INTERNAL_H

#include "runtime/hip/plan.h"

typedef struct plan_linear {
    ash_gfx_part part[ASH_GFX_PARTS];
    uint32_t part_count, cols;
} plan_linear;

typedef struct plan_layer {
    uint64_t attn_norm, ffn_norm, q_norm, k_norm; /* 0: none */
    plan_linear qkv, o, gate_up, down;
    uint64_t needs; /* bytes of the weights' allocation, from its start */
} plan_layer;

/* Hands out device memory: first counts (base 0), then places. */
typedef struct plan_region {
    uint64_t base, used;
    bool overflow;
} plan_region;

/* Inputs of prefill's products. */
typedef struct plan_tiles { uint64_t out, scale, squares; } plan_tiles;

struct ash_hip_plan {
    const ashlar_model *model;
    ash_hip_plan_options options;
    const uint8_t *data; /* the DATA section on the host */
    ash_hip_plan_extent *extents;
    uint32_t extent_count;
    uint64_t weight_bytes;
    uint32_t splits;
    uint64_t head_stride, cache_stride, cache_rows; /* elements; positions */
    plan_region constants, workspace;
    uint8_t *fill; /* host copy of the constants while they are placed */
    ash_hip_plan_memory at;

    plan_layer *layers;
    plan_linear output;
    uint64_t output_needs;
    ash_gfx_part embed;
    uint64_t output_norm, angles;
    uint64_t step, x, qkv, attn, h, parts, done, logits, values, ids, row_steps;
    plan_tiles tiles[2]; /* a product takes its inputs from one and may leave the next one's in the other */
    uint64_t tiles_done;
    uint32_t x_stride, qkv_stride, attn_stride, h_stride, logits_stride;
};

/* Keys and values of one layer. */
ash_gfx_cache ash_hip_plan_cache(const ash_hip_plan *plan, uint32_t layer_index);

#endif
