/* The time of each launch on a card. */
#include <stdlib.h>
#include <string.h>

#include "runtime/hip/card_internal.h"

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

ash_status ash_card_read_ticks(ash_card *c, const ash_launches *list, ash_error *err)
{
    for (uint32_t i = 0; c->profile && i < list->count; i++) {
        float ms = 0;
        ASH_TRY(ash_hip_check(&c->hip, c->hip.EventElapsedTime(&ms, c->tick[i], c->tick[i + 1]), err, "the time of a launch"));
        const ash_launch *l = &list->list[i];
        c->timing[c->timings++] = (ash_card_timing){ l->kernel, l->layer, l->role, (double)ms * 1e-3 };
    }
    return ASH_OK;
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
