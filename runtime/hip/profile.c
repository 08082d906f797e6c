/* The time of each launch on a card. */
#include <stdlib.h>
#include <string.h>

#include "format/tile.h"
#include "runtime/hip/bandwidth.h"
#include "runtime/hip/card_internal.h"

#define COPY_BYTES (64u << 20) /* as large as the largest Infinity Cache of these cards: read and written, twice that */

void ash_card_profile(ash_card *c, bool on)
{
    c->profile = on;
    c->timings = 0;
}

const ash_card_timing *ash_card_timings(const ash_card *c, uint32_t *count)
{
    *count = c->timings;
    return c->timing;
}

ash_status ash_card_ticks(ash_card *c, uint32_t launches, ash_error *err)
{
    c->timings = 0;
    if (!c->profile || launches < c->ticks)
        return ASH_OK;
    ash_hip_event **tick = realloc(c->tick, (launches + 1) * sizeof(ash_hip_event *));
    c->tick = tick ? tick : c->tick;
    ash_card_timing *timing = realloc(c->timing, (launches + 1) * sizeof *timing);
    c->timing = timing ? timing : c->timing;
    if (!tick || !timing)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the times of %u launches", launches);
    while (c->ticks <= launches) {
        ASH_TRY(ash_hip_check(&c->hip, c->hip.EventCreateWithFlags(&c->tick[c->ticks], ASH_HIP_EVENT_TIMING), err,
                              "an event"));
        c->ticks++;
    }
    return ASH_OK;
}

ash_status ash_card_tick(ash_card *c, uint32_t i, ash_error *err)
{
    if (!c->profile)
        return ASH_OK;
    return ash_hip_check(&c->hip, c->hip.EventRecord(c->tick[i], c->stream), err, "an event");
}

/* ---- what a launch moves ---- */

static void count_matrices(const ash_gfx_part *part, uint32_t parts, uint32_t cols, uint32_t tokens, ash_card_timing *t)
{
    t->dtype = (ash_dtype)part[0].dtype;
    for (uint32_t p = 0; p < parts; p++) {
        uint64_t row_bytes;
        if (!ash_panel_bytes(part[p].dtype, cols, &row_bytes)) /* panels of a fused tensor lie two apart */
            row_bytes = part[p].panel_bytes;
        t->bytes += (uint64_t)part[p].panels * row_bytes;
        t->macs += (uint64_t)part[p].panels * 16 * cols * tokens;
    }
}

/* Positions that a query sees are counted without the window's last block, which kernels read whole. */
static void count_attention(const ash_gfx_attend *a, uint32_t pos, ash_card_timing *t)
{
    uint64_t seen = pos + a->tokens, pairs = 0;
    if (a->window && seen > (uint64_t)a->window + a->tokens)
        seen = (uint64_t)a->window + a->tokens;
    for (uint32_t i = 0; i < a->tokens; i++) {
        uint64_t own = (uint64_t)pos + i + 1;
        pairs += a->window && own > a->window ? a->window : own;
    }
    t->bytes = 2 * seen * a->kv_heads * a->head_dim * (a->cache.fp8 ? 1 : 2);
    t->macs = 2 * pairs * a->heads * a->head_dim;
    t->dtype = a->cache.fp8 ? ASH_F8_E4M3 : ASH_F16;
}

static void count_launch(const ash_launch *l, uint32_t pos, ash_card_timing *t)
{
    const ash_gfx_args *a = &l->args;
    t->dtype = ASH_DTYPE_COUNT;
    switch (l->kernel->op) {
    case ASH_GFX_OP_DECODE:
        count_matrices(a->decode.part, a->decode.part_count, a->decode.cols, a->decode.tokens, t);
        break;
    case ASH_GFX_OP_PREFILL:
        count_matrices(a->prefill.part, a->prefill.part_count, a->prefill.cols, a->prefill.tokens, t);
        break;
    case ASH_GFX_OP_ATTEND:
    case ASH_GFX_OP_ATTEND_PREFILL:
        count_attention(&a->attend, pos, t);
        break;
    default:
        break;
    }
}

ash_status ash_card_read_ticks(ash_card *c, const ash_launches *list, ash_error *err)
{
    for (uint32_t i = 0; c->profile && i < list->count; i++) {
        float ms = 0;
        ASH_TRY(ash_hip_check(&c->hip, c->hip.EventElapsedTime(&ms, c->tick[i], c->tick[i + 1]), err, "the time of a launch"));
        const ash_launch *l = &list->list[i];
        ash_card_timing *t = &c->timing[c->timings++];
        *t = (ash_card_timing){ .kernel = l->kernel, .layer = l->layer, .role = l->role, .seconds = (double)ms * 1e-3 };
        count_launch(l, c->pass_pos, t);
    }
    return ASH_OK;
}

double ash_card_copy_rate(ash_card *c)
{
    ash_bandwidth b;
    ash_error ignored;
    if (ash_hip_bandwidth(&c->hip, c->device.index, COPY_BYTES, c->timeout_ms, &b, &ignored) != ASH_OK)
        return 0;
    return b.on_card;
}

void ash_card_forget_ticks(ash_card *c)
{
    for (uint32_t i = 0; i < c->ticks; i++)
        c->hip.EventDestroy(c->tick[i]);
    free(c->tick);
    free(c->timing);
    c->tick = NULL;
    c->timing = NULL;
    c->ticks = c->timings = 0;
}
