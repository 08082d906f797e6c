/* What becomes which tensor: the architecture's matrices fused, permuted and typed, their scales, and the rest as it
 * is. Pure decision: reads directories and FP8 scales, writes nothing. The tensors are in the order of the file, which
 * is the order of execution. */
#ifndef ASHLAR_CONVERT_PLAN_H
#define ASHLAR_CONVERT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/convert.h"
#include "convert/import.h"
#include "convert/note.h"
#include "convert/source.h"
#include "format/container.h"
#include "format/status.h"
#include "quant/recipe.h"

typedef struct ash_plan_member {
    const ash_source_tensor *source;
    ash_member_record record; /* all but the name */
    /* Where FP8 becomes another type: weight = e4m3 * scale, one float, one a source row, or one a 128 x 128 block. */
    ash_scale_kind scale_kind;
    float *scale;
    /* Where another type becomes FP8: the scales that are chosen for it, one or one a row in the tensor's order. Zero
     * until ash_choose_scales. The scale's own member has them too, and owns them. */
    float *made;
    bool made_by_row, made_given, owns_made; /* given: by the guide */
    /* Of the rows that ash_stream looks at: sum (x - what the output holds)^2, sum x^2; 0 where the type is kept. */
    double lost, energy;
} ash_plan_member;

typedef struct ash_plan_tensor {
    char *name;
    ash_tensor_record record; /* dims and what follows from them; no name, offset or hash */
    uint32_t member_first, member_count;
} ash_plan_tensor;

typedef struct ash_plan {
    ash_plan_tensor *tensors;
    ash_plan_member *members;
    ash_source_tensor **made; /* that no source has: scales of what becomes FP8; their data are a member's `made` */
    uint32_t tensor_count, member_count, made_count;
    size_t tensor_room, member_room, made_room;
    uint32_t raw_count;      /* tensors outside the architecture */
    uint64_t source_bytes;   /* that will be read */
    uint64_t search_bytes;   /* of them, those that are read twice: scales are chosen first */
    uint64_t output_bytes;   /* of the file up to the end of its data */
} ash_plan;

/* Decides, and checks shapes and types against `import`; sets the flags of import->h that follow from the tensors
 * (tied_output, qkv_bias, qk_norm). A rule of `recipe` that names no matrix is refused. `guide` and `note` may be
 * NULL. */
ash_status ash_plan_build(const ash_source *source, ash_import *import, const ash_recipe *recipe,
                          const ash_convert_guide *guide, ash_note_fn *note, void *context, ash_plan *out,
                          ash_error *err);
void ash_plan_free(ash_plan *plan); /* zeroed is fine */

/* The row of a member's source that is its row `row` in canonical order. */
uint64_t ash_source_row(const ash_member_record *m, uint64_t row);
/* Multiplies a decoded row of FP8 codes by its scale: one float, one a row (`row` in the scale's own order), or one a
 * 128 x 128 block (`row` of the source). */
void ash_scale_row(ash_scale_kind kind, const float *scale, uint64_t row, float *x, uint64_t cols);

/* ---- shared by plan.c and plan_scale.c ---- */

typedef struct ash_planner {
    const ash_source *source;
    ash_import *import;
    ash_plan *plan;
    const ash_recipe *recipe;
    const ash_convert_guide *guide;
    bool used[ASH_RECIPE_RULES];
    bool *claimed;            /* by source index */
    uint32_t scales_dropped;  /* FP8 scales that went into re-encoded weights */
    ash_error *err;
} ash_planner;

/* Appends a tensor with dims and type; its geometry is computed. Members follow. */
ash_status ash_plan_tensor_add(ash_planner *p, const char *name, const ash_tensor_record *record);
/* Appends a member to the tensor added last, with the fields that follow from `source` filled in, and claims it. */
ash_status ash_plan_member_add(ash_planner *p, const ash_source_tensor *source, const ash_plan_member *member);
/* For an FP8 matrix: finds its scales and checks them. Kept FP8: adds them as tensors called "<label>.scale" and
 * "<label>.input_scale" and links them in *member; re-encoded: loads the weight's scale into *member. */
ash_status ash_plan_scales(ash_planner *p, const ash_source_tensor *weight, const char *label, uint32_t layer,
                           bool keep, ash_plan_member *member);
/* For a matrix that becomes FP8: adds the tensor "<label>.scale" that will hold its scales, links it, and says that
 * inputs pass through e4m3 with a scale of each token's own; or, where the guide has one for them, with that, in
 * "<label>.input_scale". */
ash_status ash_plan_made_scale(ash_planner *p, const ash_source_tensor *weight, const char *label, uint32_t layer,
                               ash_plan_member *member);
/* The scales of K and V caches of one layer, where there are any. */
ash_status ash_plan_cache_scales(ash_planner *p, uint32_t layer);

#endif
