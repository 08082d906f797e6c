/* A session whose layers, all of them or the last ones, run on a card. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/api.h"
#include "runtime/hip/card.h"
#include "runtime/session.h"

/* "hip" and "auto": -1, any card. */
static ash_status parse_device(const char *text, int *index, ash_error *err)
{
    *index = -1;
    if (strcmp(text, "auto") == 0 || strcmp(text, "hip") == 0)
        return ASH_OK;
    char *end = NULL;
    long n = strncmp(text, "hip:", 4) == 0 ? strtol(text + 4, &end, 10) : -1;
    if (!end || end == text + 4 || *end || n < 0 || n >= ASH_DEVICES_MAX)
        return ash_fail(err, ASH_E_ARGUMENT, "device \"%s\": give auto, cpu, hip or hip:N", text);
    *index = (int)n;
    return ASH_OK;
}

static ash_status open_card(ashlar_session *s, const ashlar_session_options *o, ash_error *err)
{
    uint32_t layers = s->model->meta.h.layers;
    if (o->cache != ASHLAR_CACHE_F16 && o->cache != ASHLAR_CACHE_FP8)
        return ash_fail(err, ASH_E_UNSUPPORTED, "cards keep keys and values as f16 or fp8: q8_0 is the CPU's alone");
    if (o->card_layers > layers)
        return ash_fail(err, ASH_E_ARGUMENT, "%u layers on the card: the model has %u", o->card_layers, layers);
    ash_card_options c = { .context = s->context,
                           .cache_fp8 = o->cache == ASHLAR_CACHE_FP8,
                           .no_graph = o->no_graph,
                           .fit_layers = o->card_layers == 0,
                           .first_layer = o->card_layers ? layers - o->card_layers : 0,
                           .load = { .verify = o->verify, .progress = o->load_progress, .context = o->load_context } };
    ASH_TRY(parse_device(o->device, &c.device, err));
    const char *timeout = getenv("ASHLAR_HIP_TIMEOUT_MS");
    if (timeout)
        c.timeout_ms = (uint32_t)strtoul(timeout, NULL, 10);
    ASH_TRY(ash_card_open(s->model, &c, &s->card, err));
    s->cpu_layers = ash_card_first_layer(s->card);
    const ash_device *d = ash_card_device(s->card);
    snprintf(s->device, sizeof s->device, "hip:%d, %s (%s), %u of %u layers", d->index, d->name, d->target,
             layers - s->cpu_layers, layers);
    return ASH_OK;
}

/* All of the file, where the CPU uses it as it is mapped. */
static ash_status verify(const ashlar_session *s, const ashlar_session_options *o, ash_error *err)
{
    return o->verify ? ash_file_verify(s->model->file, NULL, NULL, err) : ASH_OK;
}

/* All layers on the CPU: the file is read ahead of them, from the first one on. What comes before it is the embedding, of
 * which the first tokens need some rows alone. A card reads its weights itself, and once. */
static ash_status use_mapping(ashlar_session *s, const ashlar_session_options *o, ash_error *err)
{
    const ash_section_record *data = ash_file_section(s->model->file, ASH_SECTION_DATA);
    const uint8_t *map = (const uint8_t *)ash_file_header(s->model->file);
    uint64_t first = (uint64_t)(s->model->layers[0].qkv.part[0].w.data - map);
    s->prefetch = ash_prefetch_start(ash_file_path(s->model->file), map, data->offset, data->size, first);
    return verify(s, o, err);
}

ash_status ash_session_use_card(ashlar_session *s, const ashlar_session_options *o, ash_error *err)
{
    snprintf(s->device, sizeof s->device, "cpu");
    if (!o->device || strcmp(o->device, "cpu") == 0)
        return use_mapping(s, o, err);
    ash_status status = open_card(s, o, err);
    if (status == ASH_OK)
        return s->cpu_layers ? verify(s, o, err) : ASH_OK;
    if (strcmp(o->device, "auto") != 0 || status == ASH_E_ARGUMENT || ash_hip_hangs())
        return status;
    snprintf(s->device, sizeof s->device, "cpu: %.240s", err->text);
    return use_mapping(s, o, err);
}

uint32_t ash_session_card_pass(const ashlar_session *s, unsigned flags)
{
    uint32_t most = ash_card_batch(s->card);
    if (s->cpu_layers && most > ASH_BATCH)
        most = ASH_BATCH;
    return flags & ASHLAR_FEED_ALL_LOGITS && most > ASH_PLAN_LOGITS ? ASH_PLAN_LOGITS : most;
}

/* What a card multiplies: weights as ash_gfx_form_of says, F32 in floats; keys and values in F16. */
static ash_unit unit_of(const ash_card_timing *t)
{
    if (t->dtype == ASH_F32)
        return ASH_UNIT_F32;
    if (t->dtype == ASH_DTYPE_COUNT || t->kernel->op == ASH_GFX_OP_ATTEND || t->kernel->op == ASH_GFX_OP_ATTEND_PREFILL)
        return ASH_UNIT_F16;
    switch (ash_gfx_form_of(t->dtype)) {
    case ASH_GFX_INT8: return ASH_UNIT_INT8;
    case ASH_GFX_FP8: return ASH_UNIT_FP8;
    case ASH_GFX_BF16: return ASH_UNIT_BF16;
    default: return ASH_UNIT_F16;
    }
}

/* A launch's time, to the session's profile. */
static void tell_timings(const ashlar_session *s)
{
    uint32_t count;
    const ash_card_timing *t = ash_card_timings(s->card, &count);
    for (uint32_t i = 0; i < count; i++) {
        ash_profile_record r = { .name = t[i].kernel->symbol, .layer = t[i].layer, .role = t[i].role, .dtype = t[i].dtype,
                                 .unit = unit_of(&t[i]), .seconds = t[i].seconds, .bytes = t[i].bytes, .macs = t[i].macs };
        s->profile.fn(s->profile.context, &r);
    }
}

/* The likeliest tokens, where they stand for all: a sampler takes NaN for the lowest logit and infinities for the largest
 * finite ones, among which it goes by id, and the card's order does not. */
static bool take_top(ashlar_session *s)
{
    uint32_t count = ash_card_top(s->card, &s->top_logits, &s->top_ids);
    bool finite = s->top_logits[0] < FLT_MAX && s->top_logits[count - 1] > -FLT_MAX;
    s->top_count = finite ? count : 0;
    return finite;
}

ash_status ash_session_card_feed(ashlar_session *s, const int32_t *ids, uint32_t count, unsigned flags, bool last,
                                 float *to, ash_error *err)
{
    ash_hip_plan_output output = flags & ASHLAR_FEED_ALL_LOGITS ? ASH_PLAN_ALL
                                 : !last                        ? ASH_PLAN_NONE
                                 : flags & ASHLAR_FEED_CHOOSE   ? ASH_PLAN_GREEDY
                                 : flags & ASHLAR_FEED_TOP      ? ASH_PLAN_TOP
                                                                : ASH_PLAN_LAST;
    if (s->cpu_layers) {
        ash_forward_embed(s, ids, count);
        for (uint32_t i = 0; i < s->cpu_layers; i++)
            ash_forward_layer(s, &s->model->layers[i], i, ASH_LAYER_QKV, ASH_LAYER_END, count);
    }
    ash_card_profile(s->card, s->profile.fn != NULL);
    ASH_TRY(ash_card_feed(s->card, ids, s->cpu_layers ? s->x : NULL, s->x_stride, count, s->position, output, err));
    if (s->profile.fn)
        tell_timings(s);
    if (output == ASH_PLAN_NONE)
        return ASH_OK;
    if (output == ASH_PLAN_GREEDY) {
        s->choice = ash_card_choice(s->card);
        return ASH_OK;
    }
    if (output == ASH_PLAN_TOP && take_top(s))
        return ASH_OK;
    if (output == ASH_PLAN_TOP)
        ASH_TRY(ash_card_fetch_logits(s->card, err));
    uint32_t vocab = s->model->meta.h.vocab, rows = output == ASH_PLAN_ALL ? count : 1;
    for (uint32_t i = 0; i < rows; i++)
        memcpy(to + i * s->logits_stride, ash_card_logits(s->card, i), vocab * sizeof(float));
    return ASH_OK;
}

/* ---- several sessions ---- */

ash_status ash_session_card_may_join(const ashlar_session *s, const ashlar_session *first, size_t index, ash_error *err)
{
    if (!s->card != !first->card ||
        (s->card && ash_card_device(s->card)->index != ash_card_device(first->card)->index))
        return ash_fail(err, ASH_E_ARGUMENT, "session %zu is on another device than the first: feed it apart", index);
    if (s->card && s->cpu_layers)
        return ash_fail(err, ASH_E_UNSUPPORTED, "session %zu has %u of its layers on the CPU: feed it apart", index,
                        s->cpu_layers);
    return ASH_OK;
}

ash_status ash_session_card_feed_together(ashlar_session *const *sessions, size_t count, const int32_t *ids, ash_error *err)
{
    size_t most = ash_card_batch(sessions[0]->card);
    most = most < ASH_GFX_DECODE_TOKENS ? most : ASH_GFX_DECODE_TOKENS;
    for (size_t done = 0; done < count;) {
        ash_card *cards[ASH_GFX_DECODE_TOKENS];
        uint32_t positions[ASH_GFX_DECODE_TOKENS], n = (uint32_t)(count - done < most ? count - done : most);
        for (uint32_t i = 0; i < n; i++) {
            cards[i] = sessions[done + i]->card;
            positions[i] = sessions[done + i]->position;
        }
        ash_card_profile(cards[0], false);
        ASH_TRY(ash_card_feed_together(cards, n, ids + done, positions, err));
        for (uint32_t i = 0; i < n; i++)
            memcpy(sessions[done + i]->logits, ash_card_logits(cards[0], i), sessions[0]->model->meta.h.vocab * sizeof(float));
        done += n;
    }
    return ASH_OK;
}

int ashlar_card_hangs(void) { return ash_hip_hangs(); }

int ashlar_devices(ashlar_device_info *list, size_t room, size_t *count, char library[256], ashlar_error *err)
{
    ash_error local;
    ash_hip hip;
    ash_devices found;
    *count = 0;
    library[0] = 0;
    if (ash_hip_load(&hip, &local) != ASH_OK)
        return ash_public_error(&local, err);
    char version[32];
    snprintf(library, 256, "%.200s, HIP %s", hip.path, ash_hip_version(&hip, version));
    if (ash_devices_find(&hip, &found, &local) != ASH_OK)
        return ash_public_error(&local, err);
    for (uint32_t i = 0; i < found.count && *count < room; i++) {
        const ash_device *d = &found.list[i];
        ashlar_device_info *to = &list[(*count)++];
        *to = (ashlar_device_info){ .index = d->index,
                                    .memory_free = d->memory_free,
                                    .memory_total = d->memory_total,
                                    .compute_units = d->compute_units,
                                    .usable = d->usable };
        snprintf(to->name, sizeof to->name, "%s", d->name);
        snprintf(to->target, sizeof to->target, "%s", d->target);
        snprintf(to->pci, sizeof to->pci, "%s", d->pci);
    }
    return ASHLAR_OK;
}
