#include "runtime/hip/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/hip/card_internal.h"

#define BATCH 512
#define TIMEOUT_MS 60000

/* ---- opening ---- */

static ash_status load_code(ash_card *c, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    size_t count;
    const ash_gfx_object *objects = ash_gfx_objects(c->device.code, &count);
    if (count > ASH_CARD_OBJECTS)
        return ash_fail(err, ASH_E_LIMIT, "more than %d code objects", ASH_CARD_OBJECTS);
    for (size_t i = 0; i < count; i++) {
        char what[256];
        snprintf(what, sizeof what, "card %d, %s: loading the %s kernels", c->device.index, c->device.name,
                 objects[i].name);
        ASH_TRY(ash_hip_check(hip, hip->ModuleLoadData(&c->module[i], objects[i].data), err, what));
        c->module_count++;
    }
    size_t kernels;
    const ash_gfx_kernel *k = ash_gfx_kernels(&kernels);
    c->functions = calloc(kernels, sizeof *c->functions);
    if (!c->functions)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %zu kernels", kernels);
    for (size_t i = 0; i < kernels; i++)
        for (size_t o = 0; o < count && !c->functions[i]; o++)
            if (strcmp(objects[o].name, k[i].object) == 0)
                ASH_TRY(ash_hip_check(hip, hip->ModuleGetFunction(&c->functions[i], c->module[o], k[i].symbol), err,
                                      k[i].symbol));
    return ASH_OK;
}

static ash_status allocate(ash_card *c, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    ash_hip_plan_memory sizes = ash_hip_plan_sizes(c->plan);
    const uint64_t bytes[ASH_CARD_REGIONS] = { sizes.weights, sizes.constants, sizes.workspace, sizes.cache };
    static const char *const names[ASH_CARD_REGIONS] = { "memory for the weights", "memory for the constants",
                                                         "memory for the workspace", "memory for the KV cache" };
    for (int i = 0; i < ASH_CARD_REGIONS; i++)
        ASH_TRY(ash_hip_check(hip, hip->Malloc(&c->region[i], bytes[i] ? bytes[i] : 4096), err, names[i]));
    c->at = (ash_hip_plan_memory){ (uintptr_t)c->region[0], (uintptr_t)c->region[1], (uintptr_t)c->region[2],
                                   (uintptr_t)c->region[3] };
    return ASH_OK;
}

/* Constants go up from pinned memory, which is then given back: the first wait on the stream. */
static ash_status upload_constants(ash_card *c, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    ash_hip_plan_memory sizes = ash_hip_plan_sizes(c->plan);
    void *staging = NULL;
    ASH_TRY(ash_hip_check(hip, hip->HostMalloc(&staging, sizes.constants, 0), err, "pinned memory for the constants"));
    ash_hip_plan_place(c->plan, &c->at, staging);
    ash_status status =
        ash_hip_check(hip, hip->MemcpyAsync(c->region[1], staging, sizes.constants, ASH_HIP_TO_DEVICE, c->stream), err,
                      "copying the constants");
    if (status == ASH_OK)
        status = ash_hip_check(hip, hip->MemsetAsync(c->region[2], 0, sizes.workspace, c->stream), err,
                               "clearing the workspace");
    ash_error late; /* a copy that is under way keeps the memory also where the next call fails */
    ash_status waited = ash_card_wait(c, "the first copies", status == ASH_OK ? err : &late);
    if (!ash_hip_hangs())
        hip->HostFree(staging);
    return status != ASH_OK ? status : waited;
}

static ash_status make_buffers(ash_card *c, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    uint32_t rows = c->batch < ASH_PLAN_LOGITS ? c->batch : ASH_PLAN_LOGITS;
    c->io = ash_hip_plan_places(c->plan);
    c->step_bytes = sizeof(ash_gfx_step) + c->batch * sizeof(int32_t);
    const char *what = "pinned memory for ids and logits";
    ASH_TRY(ash_hip_check(hip, hip->HostMalloc((void **)&c->step, c->step_bytes, 0), err, what));
    ASH_TRY(ash_hip_check(
        hip, hip->HostMalloc((void **)&c->values, ASH_PLAN_TOP_K * (sizeof *c->values + sizeof *c->choice), 0), err, what));
    c->choice = (int32_t *)(void *)(c->values + ASH_PLAN_TOP_K);
    ASH_TRY(ash_hip_check(
        hip, hip->HostMalloc((void **)&c->row_steps, ASH_GFX_DECODE_TOKENS * ASH_PLAN_ROW_STEP, 0), err, what));
    ASH_TRY(ash_hip_check(
        hip, hip->HostMalloc((void **)&c->logits, (uint64_t)rows * c->io.logits_stride * sizeof(float), 0), err, what));
    if (c->options.first_layer)
        ASH_TRY(ash_hip_check(
            hip, hip->HostMalloc((void **)&c->rows, (uint64_t)c->batch * c->io.x_stride * sizeof(float), 0), err,
            what));
    return ASH_OK;
}

static ash_status open_card(ash_card *c, ash_error *err)
{
    ash_card_options *o = &c->options;
    const ash_hip *hip = &c->hip;
    ash_devices found;
    const ash_device *chosen;
    ASH_TRY(ash_hip_load(&c->hip, err));
    ASH_TRY(ash_devices_find(hip, &found, err));
    ASH_TRY(ash_devices_choose(&found, o->device, &chosen, err));
    c->device = *chosen;
    ASH_TRY(ash_hip_check(hip, hip->SetDevice(c->device.index), err, "choosing the card"));
    ash_hip_plan_options plan = {
        .context = o->context, .batch = c->batch, .first_layer = o->first_layer, .cache_fp8 = o->cache_fp8
    };
    ASH_TRY(ash_card_fits(c->model, &plan, &c->device, o->fit_layers, err));
    o->first_layer = plan.first_layer;
    ASH_TRY(ash_hip_plan_new(c->model, &plan, &c->plan, err));
    ASH_TRY(ash_hip_check(hip, hip->StreamCreateWithFlags(&c->stream, ASH_HIP_STREAM_NON_BLOCKING), err, "a stream"));
    for (int i = 0; i < ASH_CARD_EVENTS; i++)
        ASH_TRY(ash_hip_check(hip, hip->EventCreateWithFlags(&c->event[i], ASH_HIP_EVENT_NO_TIMING), err, "an event"));
    ASH_TRY(load_code(c, err));
    ASH_TRY(allocate(c, err));
    ASH_TRY(upload_constants(c, err));
    ASH_TRY(make_buffers(c, err));
    o->load.timeout_ms = c->timeout_ms;
    return ash_load_start(hip, c->device.index, c->model, c->plan, c->at.weights, &o->load, &c->load, err);
}

ash_status ash_card_open(const ashlar_model *model, const ash_card_options *options, ash_card **out, ash_error *err)
{
    *out = NULL;
    ash_card *c = calloc(1, sizeof *c);
    if (!c)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for a card");
    c->model = model;
    c->options = *options;
    c->batch = options->batch ? options->batch : options->context < BATCH ? options->context : BATCH;
    c->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    ash_status status = open_card(c, err);
    if (status == ASH_OK) {
        *out = c;
        return ASH_OK;
    }
    ash_card_free(c);
    return status;
}

void ash_card_free(ash_card *c)
{
    if (!c || ash_hip_hangs())
        return;
    const ash_hip *hip = &c->hip;
    ash_error ignored;
    if (c->load)
        (void)ash_load_finish(c->load, true, &ignored);
    if (c->stream && c->event[ASH_CARD_EVENTS - 1])
        (void)ash_card_wait(c, "the last pass", &ignored);
    if (ash_hip_hangs())
        return;
    ash_card_forget_graphs(c);
    ash_card_forget_ticks(c);
    void *pinned[] = { c->step, c->values, c->row_steps, c->logits, c->rows };
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++)
        if (pinned[i])
            hip->HostFree(pinned[i]);
    for (int i = 0; i < ASH_CARD_REGIONS; i++)
        if (c->region[i])
            hip->Free(c->region[i]);
    for (uint32_t i = 0; i < c->module_count; i++)
        hip->ModuleUnload(c->module[i]);
    for (int i = 0; i < ASH_CARD_EVENTS; i++)
        if (c->event[i])
            hip->EventDestroy(c->event[i]);
    if (c->stream)
        hip->StreamDestroy(c->stream);
    ash_hip_plan_free(c->plan);
    free(c->functions);
    ash_hip_unload(&c->hip);
    free(c);
}

const ash_device *ash_card_device(const ash_card *c) { return &c->device; }
ash_hip_plan_memory ash_card_memory(const ash_card *c) { return ash_hip_plan_sizes(c->plan); }
uint32_t ash_card_batch(const ash_card *c) { return c->batch; }
uint32_t ash_card_first_layer(const ash_card *c) { return c->options.first_layer; }
int32_t ash_card_choice(const ash_card *c) { return *c->choice; }

uint32_t ash_card_top(const ash_card *c, const float **values, const int32_t **ids)
{
    *values = c->values;
    *ids = c->choice;
    return c->model->meta.h.vocab < ASH_PLAN_TOP_K ? c->model->meta.h.vocab : ASH_PLAN_TOP_K;
}

const float *ash_card_logits(const ash_card *c, uint32_t i)
{
    return i < c->logits_rows ? c->logits + (uint64_t)i * c->io.logits_stride : NULL;
}
