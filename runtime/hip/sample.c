/* Sampling's kernels alone, on logits of the caller's: the self-test. */
#include <string.h>

#include "runtime/hip/card_internal.h"

/* k values and ids, or of SOFTMAX `count` values. */
static ash_status fetch(ash_card *c, ash_gfx_op op, uint32_t count, uint32_t k, float *values, int32_t *ids, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    const char *what = "fetching samples";
    bool all = op == ASH_GFX_OP_SOFTMAX;
    uint64_t from = all ? c->io.logits : c->io.values, bytes = (all ? count : k) * sizeof(float);
    ASH_TRY(ash_hip_check(hip, hip->MemcpyAsync(c->logits, (const void *)(uintptr_t)from, bytes, ASH_HIP_TO_HOST, c->stream), err,
                          what));
    ASH_TRY(ash_card_wait(c, what, err));
    memcpy(values, c->logits, bytes);
    if (all)
        return ASH_OK;
    bytes = k * sizeof(int32_t);
    ASH_TRY(ash_hip_check(hip, hip->MemcpyAsync(c->logits, (const void *)(uintptr_t)c->io.ids, bytes, ASH_HIP_TO_HOST, c->stream),
                          err, what));
    ASH_TRY(ash_card_wait(c, what, err));
    memcpy(ids, c->logits, bytes);
    return ASH_OK;
}

ash_status ash_card_sample(ash_card *c, ash_gfx_op op, const float *logits, uint32_t count, uint32_t k, float temperature,
                           float *values, int32_t *ids, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    const ash_gfx_kernel *kernel = ash_gfx_kernel_find(op, ASH_DTYPE_COUNT, 0);
    if (!kernel || count > c->io.logits_stride || k > ASH_PLAN_TOP_K || k > count)
        return ash_fail(err, ASH_E_ARGUMENT, "no such sampling of %u logits", count);
    ASH_TRY(ash_hip_check(hip, hip->SetDevice(c->device.index), err, "choosing the card"));
    memcpy(c->logits, logits, count * sizeof *logits);
    memset(c->logits + count, 0, (c->io.logits_stride - count) * sizeof *logits);
    ASH_TRY(ash_hip_check(hip,
                          hip->MemcpyAsync((void *)(uintptr_t)c->io.logits, c->logits, c->io.logits_stride * sizeof *logits,
                                           ASH_HIP_TO_DEVICE, c->stream),
                          err, "sending logits"));
    ash_launch l = { .kernel = kernel, .grid = { 1, 1, 1 }, .layer = ASH_NO_LAYER };
    l.args.sample = (ash_gfx_sample){ .logits = (const float *)(uintptr_t)c->io.logits,
                                      .values = (float *)(uintptr_t)(op == ASH_GFX_OP_SOFTMAX ? c->io.logits : c->io.values),
                                      .ids = (int32_t *)(uintptr_t)c->io.ids,
                                      .count = count,
                                      .k = k,
                                      .temperature = temperature };
    ASH_TRY(ash_card_ticks(c, 1, err));
    ASH_TRY(ash_card_tick(c, 0, err));
    ASH_TRY(ash_card_launch(c, &l, err));
    ASH_TRY(ash_card_tick(c, 1, err));
    ASH_TRY(fetch(c, op, count, k, values, ids, err));
    ash_launches list = { .list = &l, .count = 1 };
    return ash_card_read_ticks(c, &list, err);
}
