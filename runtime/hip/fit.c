/* Whether a model fits a card, before anything is allocated; and if not, what would. */
#include <stdarg.h>
#include <stdio.h>

#include "format/tile.h"
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

/* ---- what would fit ---- */

static uint64_t bytes_as(const ash_linear *op, ash_dtype type)
{
    uint64_t sum = 0, panel;
    for (uint32_t i = 0; i < op->part_count; i++) {
        if (!ash_panel_bytes(type, (uint64_t)op->cols, &panel))
            return UINT64_MAX >> 20; /* fits nowhere, and may be added up */
        sum += (uint64_t)op->part[i].panels * panel;
    }
    return sum;
}

/* The card's weights in another type, without what aligns them. */
static uint64_t weights_as(const ashlar_model *m, const ash_hip_plan_options *o, ash_dtype type)
{
    uint64_t output = bytes_as(&m->output, type), sum = output;
    sum += o->first_layer == 0 && !m->meta.h.tied_output ? output : 0; /* as large as the embedding */
    for (uint32_t i = o->first_layer; i < m->meta.h.layers; i++) {
        const ash_layer *l = &m->layers[i];
        sum += bytes_as(&l->qkv, type) + bytes_as(&l->o, type) + bytes_as(&l->gate_up, type) + bytes_as(&l->down, type);
    }
    return sum;
}

/* The largest of these types with which all fits; ASH_DTYPE_COUNT: none. */
static ash_dtype smaller_type(const ashlar_model *model, const ash_hip_plan_options *o, const ash_hip_plan_memory *m,
                              uint64_t room)
{
    static const ash_dtype types[] = { ASH_Q8_0, ASH_Q6_K, ASH_Q5_K, ASH_Q4_K };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint64_t weights = weights_as(model, o, types[i]) / 64 * 65; /* of K types some matrices are often larger */
        if (weights < m->weights && total(m) - m->weights + weights <= room)
            return types[i];
    }
    return ASH_DTYPE_COUNT;
}

typedef struct ways {
    char text[160];
    size_t used;
} ways;

static void add_way(ways *w, const char *format, ...)
{
    va_list list;
    if (w->used)
        w->used += (size_t)snprintf(w->text + w->used, sizeof w->text - w->used, " or ");
    va_start(list, format);
    w->used += (size_t)vsnprintf(w->text + w->used, sizeof w->text - w->used, format, list);
    va_end(list);
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
    uint32_t layers = largest(model, options, LAYERS, model->meta.h.layers - options->first_layer, room);
    if (layers && fit_layers) {
        options->first_layer = model->meta.h.layers - layers;
        return ASH_OK;
    }
    uint32_t context = largest(model, options, CONTEXT, options->context, room);
    ways w = { .used = 0 };
    if (context)
        add_way(&w, "--ctx %u", context);
    ash_hip_plan_options o = *options;
    o.cache_fp8 = true;
    if (!options->cache_fp8 && would_fit(model, &o, room))
        add_way(&w, "--kv fp8");
    if (layers)
        add_way(&w, "--gpu-layers %u", layers);
    ash_dtype type = smaller_type(model, options, &m, room);
    if (type != ASH_DTYPE_COUNT)
        add_way(&w, "weights in %s (convert --type)", ash_dtype_name(type));
    if (w.used == 0)
        add_way(&w, "the CPU");
    return ash_fail(err, ASH_E_LIMIT,
                    "card %d, %s, has %.2f GiB free and this takes %.2f more (weights %.2f, KV cache %.2f for %u "
                    "tokens, workspace %.2f): use %s",
                    device->index, device->name, gib(device->memory_free), gib(all - room), gib(m.weights),
                    gib(m.cache), options->context, gib(m.workspace + m.constants), w.text);
}
