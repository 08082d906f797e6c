/* Whether a model fits a card, before anything is allocated; and if not, what would. */
#include <stdio.h>

#include "runtime/hip/card_internal.h"

/* What the driver, code objects and page tables take beside our allocations; seen at 100 to 200 MB under ROCm. */
#define RESERVE (UINT64_C(256) << 20)

static double gib(uint64_t bytes) { return (double)bytes / (1 << 30); }

static uint64_t total(const ash_hip_plan_memory *m) { return m->weights + m->constants + m->workspace + m->cache; }

static bool would_fit(const ashlar_model *model, const ash_hip_plan_options *o, uint64_t room)
{
    ash_hip_plan *plan;
    ash_error ignored;
    if (ash_hip_plan_new(model, o, &plan, &ignored) != ASH_OK)
        return false;
    ash_hip_plan_memory sizes = ash_hip_plan_sizes(plan);
    ash_hip_plan_free(plan);
    return total(&sizes) <= room;
}

typedef enum amount { CONTEXT, LAYERS } amount; /* of tokens; of layers on the card, the last ones */

static bool fits_with(const ashlar_model *model, ash_hip_plan_options o, amount what, uint32_t value, uint64_t room)
{
    if (what == CONTEXT) { /* passes are no longer than it */
        o.context = value;
        o.batch = o.batch < value ? o.batch : value;
    } else {
        o.first_layer = model->meta.h.layers - value;
    }
    return would_fit(model, &o, room);
}

/* The most of it in (0, most] that fits, all else as in `o`; 0: none. */
static uint32_t largest(const ashlar_model *model, const ash_hip_plan_options *o, amount what, uint32_t most, uint64_t room)
{
    uint32_t low = 0, high = most + 1; /* low fits (or is 0), high does not */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (fits_with(model, *o, what, middle, room))
            low = middle;
        else
            high = middle;
    }
    return low;
}

ash_status ash_card_fits(const ashlar_model *model, ash_hip_plan_options *options, const ash_device *device,
                         bool fit_layers, ash_error *err)
{
    ash_hip_plan *plan;
    ASH_TRY(ash_hip_plan_new(model, options, &plan, err));
    ash_hip_plan_memory m = ash_hip_plan_sizes(plan);
    ash_hip_plan_free(plan);
    uint64_t room = device->memory_free > RESERVE ? device->memory_free - RESERVE : 0, all = total(&m);
    if (all <= room)
        return ASH_OK;
    char ways[160];
    size_t used = 0;
    uint32_t layers = largest(model, options, LAYERS, model->meta.h.layers - options->first_layer, room);
    if (layers && fit_layers) {
        options->first_layer = model->meta.h.layers - layers;
        return ASH_OK;
    }
    uint32_t context = largest(model, options, CONTEXT, options->context, room);
    ways[0] = 0;
    if (context)
        used += (size_t)snprintf(ways, sizeof ways, "--ctx %u, ", context);
    ash_hip_plan_options o = *options;
    o.cache_fp8 = true;
    if (!options->cache_fp8 && would_fit(model, &o, room))
        used += (size_t)snprintf(ways + used, sizeof ways - used, "--kv fp8, ");
    if (layers)
        used += (size_t)snprintf(ways + used, sizeof ways - used, "--gpu-layers %u, ", layers);
    return ash_fail(err, ASH_E_LIMIT,
                    "card %d, %s, has %.2f GiB free and this takes %.2f more (weights %.2f, KV cache %.2f for %u "
                    "tokens, workspace %.2f): use %s%sa smaller weight type",
                    device->index, device->name, gib(device->memory_free), gib(all - room), gib(m.weights),
                    gib(m.cache), options->context, gib(m.workspace + m.constants), ways, used ? "or " : "");
}
