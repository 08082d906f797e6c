/* Passes on a card: launches one by one or as captured graphs, results back, and the watchdog around every wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/hip/card_internal.h"

/* ---- waiting ---- */

/* "card 0, AMD Radeon RX 9070 XT: where" */
static const char *at_card(const ash_card *c, const char *where, char text[512])
{
    snprintf(text, 512, "card %d, %s: %s", c->device.index, c->device.name, where);
    return text;
}

ash_status ash_card_wait(ash_card *c, const char *what, ash_error *err)
{
    char text[512];
    ash_hip_event *end = c->event[ASH_CARD_EVENTS - 1];
    ASH_TRY(ash_hip_check(&c->hip, c->hip.EventRecord(end, c->stream), err, what));
    return ash_hip_wait(&c->hip, end, c->timeout_ms, at_card(c, what, text), err);
}

/* ---- launches ---- */

ash_status ash_card_launch(ash_card *c, const ash_launch *l, ash_error *err)
{
    size_t ignored, bytes = l->kernel->args_bytes;
    const ash_gfx_kernel *all = ash_gfx_kernels(&ignored);
    void *extra[] = { ASH_HIP_ARGS, (void *)(uintptr_t)&l->args, ASH_HIP_ARGS_BYTES, &bytes, ASH_HIP_ARGS_END };
    return ash_hip_check(&c->hip,
                         c->hip.ModuleLaunchKernel(c->functions[l->kernel - all], l->grid[0], l->grid[1], l->grid[2],
                                                   l->kernel->threads, 1, 1, 0, c->stream, NULL, extra),
                         err, l->kernel->symbol);
}

/* Where a pass stands, by events behind every `each` launches. */
typedef struct track {
    uint32_t each, marks;
} track;

static track track_of(const ash_launches *list)
{
    uint32_t marks = ASH_CARD_EVENTS - 1;
    return (track){ .each = (list->count + marks - 1) / marks };
}

static ash_status mark(ash_card *c, track *t, uint32_t done, ash_error *err)
{
    if (done % t->each != 0 || t->marks == ASH_CARD_EVENTS - 1)
        return ASH_OK;
    return ash_hip_check(&c->hip, c->hip.EventRecord(c->event[t->marks++], c->stream), err, "an event");
}

#define NAMES 3 /* kernels that a message names one by one; of more than that the first and the last */

/* The kernels among launches [first, end): "in ash_a", "in one of ash_a, ash_b", "from ash_a to ash_z". */
static void name_kernels(const ash_launch *first, const ash_launch *end, char text[128])
{
    const char *name[NAMES];
    uint32_t names = 0;
    for (const ash_launch *l = first; l < end && names <= NAMES; l++) {
        uint32_t i = 0;
        while (i < names && strcmp(name[i], l->kernel->symbol) != 0)
            i++;
        if (i == names && names++ < NAMES)
            name[i] = l->kernel->symbol;
    }
    size_t used = 0;
    if (names > NAMES)
        snprintf(text, 128, "from %.48s to %.48s", first->kernel->symbol, end[-1].kernel->symbol);
    for (uint32_t i = 0; names <= NAMES && i < names && used < 128; i++)
        used += (size_t)snprintf(text + used, 128 - used, "%s%.36s", i ? ", " : names > 1 ? "in one of " : "in ", name[i]);
}

/* Where a pass stands: between the last event that has come and the next a kernel has failed or does not end. */
static void name_place(const ash_card *c, const ash_launches *list, const track *t, char where[256])
{
    uint32_t passed = 0;
    while (passed < t->marks && c->hip.EventQuery(c->event[passed]) == ASH_HIP_SUCCESS)
        passed++;
    if (passed * t->each >= list->count) {
        snprintf(where, 256, "a pass, in the copies around it");
        return;
    }
    const ash_launch *first = list->list + passed * t->each, *end = list->list + list->count;
    end = end - first > t->each ? first + t->each : end;
    uint32_t low = ASH_NO_LAYER, high = ASH_NO_LAYER;
    for (const ash_launch *l = first; l < end; l++)
        if (l->layer != ASH_NO_LAYER) {
            low = low == ASH_NO_LAYER ? l->layer : low;
            high = l->layer;
        }
    char kernels[128], layers[40] = "";
    name_kernels(first, end, kernels);
    if (low != high)
        snprintf(layers, sizeof layers, "layers %u to %u, ", low, high);
    else if (low != ASH_NO_LAYER)
        snprintf(layers, sizeof layers, "layer %u, ", low);
    snprintf(where, 256, "a pass, %s%s", layers, kernels);
}

static ash_status launch_all(ash_card *c, const ash_launches *list, track *t, ash_error *err)
{
    uint32_t layer = ASH_NO_LAYER - 1;
    ASH_TRY(ash_card_tick(c, 0, err));
    for (uint32_t i = 0; i < list->count; i++) {
        const ash_launch *l = &list->list[i];
        if (c->load && l->layer != layer) /* what a launch outside of the layers needs, the output's places cover */
            ASH_TRY(ash_load_wait(c->load,
                                  i == 0 && l->layer == ASH_NO_LAYER
                                      ? ash_hip_plan_needs(c->plan, c->options.first_layer)
                                      : ash_hip_plan_needs(c->plan, l->layer),
                                  c->stream, err));
        layer = l->layer;
        ASH_TRY(ash_card_launch(c, l, err));
        ASH_TRY(ash_card_tick(c, i + 1, err));
        ASH_TRY(mark(c, t, i + 1, err));
    }
    return ASH_OK;
}

/* ---- graphs ---- */

static void forget_graph(ash_card *c, ash_card_graph *g)
{
    for (uint32_t k = 0; k < g->pieces; k++)
        c->hip.GraphExecDestroy(g->piece[k]);
    ash_launches_free(&g->list);
    *g = (ash_card_graph){ 0 };
}

void ash_card_forget_graphs(ash_card *c)
{
    for (int i = 0; i < ASH_CARD_GRAPHS; i++)
        forget_graph(c, &c->graph[i]);
}

static ash_status capture_piece(ash_card *c, const ash_launch *first, uint32_t count, ash_hip_graph_exec **out,
                                ash_error *err)
{
    const ash_hip *hip = &c->hip;
    ash_hip_graph *graph = NULL;
    ASH_TRY(ash_hip_check(hip, hip->StreamBeginCapture(c->stream, ASH_HIP_CAPTURE_THREAD), err, "capturing a graph"));
    ash_status status = ASH_OK;
    for (uint32_t i = 0; i < count && status == ASH_OK; i++)
        status = ash_card_launch(c, &first[i], err);
    ash_error late;
    ash_status ended = ash_hip_check(hip, hip->StreamEndCapture(c->stream, &graph), &late, "capturing a graph");
    if (status == ASH_OK && ended != ASH_OK) {
        status = ended;
        *err = late;
    }
    if (status == ASH_OK)
        status = ash_hip_check(hip, hip->GraphInstantiate(out, graph, NULL, NULL, 0), err, "building a graph");
    if (graph)
        hip->GraphDestroy(graph);
    return status;
}

static ash_status capture_all(ash_card *c, ash_card_graph *g, ash_error *err)
{
    for (uint32_t first = 0; first < g->list.count; first += ASH_GRAPH_NODES) {
        uint32_t n = g->list.count - first < ASH_GRAPH_NODES ? g->list.count - first : ASH_GRAPH_NODES;
        ASH_TRY(capture_piece(c, g->list.list + first, n, &g->piece[g->pieces], err));
        g->pieces++;
    }
    return ASH_OK;
}

/* The graph of a decoding pass; captured at its first use. *out NULL: such a pass has none, or the runtime has none. */
static ash_status find_graph(ash_card *c, uint32_t tokens, ash_hip_plan_output output, ash_card_graph **out,
                             ash_error *err)
{
    *out = NULL;
    if (c->options.no_graph || c->profile || c->load || tokens > ASH_GFX_DECODE_TOKENS || output == ASH_PLAN_NONE ||
        output == ASH_PLAN_ALL)
        return ASH_OK;
    ash_card_graph *g = &c->graph[3 * (tokens - 1) + (output == ASH_PLAN_TOP) + 2 * (output == ASH_PLAN_GREEDY)];
    if (g->pieces == 0) {
        ASH_TRY(ash_hip_plan_pass(c->plan, tokens, output, &g->list, err));
        bool small = g->list.count <= ASH_GRAPH_NODES * ASH_GRAPH_PIECES;
        ash_status status = small ? capture_all(c, g, err) : ASH_OK;
        if (!small || status == ASH_E_UNSUPPORTED) {
            forget_graph(c, g);
            c->options.no_graph = true;
            return ASH_OK;
        }
        if (status != ASH_OK) {
            forget_graph(c, g);
            return status;
        }
    }
    *out = g;
    return ASH_OK;
}

static ash_status launch_graph(ash_card *c, ash_card_graph *g, track *t, ash_error *err)
{
    *t = (track){ .each = ASH_GRAPH_NODES };
    for (uint32_t i = 0; i < g->pieces; i++) {
        ASH_TRY(ash_hip_check(&c->hip, c->hip.GraphLaunch(g->piece[i], c->stream), err, "launching a graph"));
        ASH_TRY(ash_hip_check(&c->hip, c->hip.EventRecord(c->event[t->marks++], c->stream), err, "an event"));
    }
    return ASH_OK;
}

/* ---- a pass ---- */

/* Ids and position, unless the card's sampler has put them there itself. */
static ash_status send_step(ash_card *c, const int32_t *ids, uint32_t count, uint32_t position, ash_error *err)
{
    if (c->next_known && count == 1 && ids && ids[0] == *c->choice && position == c->next_pos)
        return ASH_OK;
    c->step->pos = position;
    c->step->tokens = count;
    if (ids)
        memcpy(c->step->ids, ids, count * sizeof *ids);
    return ash_hip_check(&c->hip,
                         c->hip.MemcpyAsync((void *)(uintptr_t)c->io.step, c->step,
                                            sizeof(ash_gfx_step) + count * sizeof(int32_t), ASH_HIP_TO_DEVICE,
                                            c->stream),
                         err, "sending ids");
}

static ash_status send_rows(ash_card *c, const float *rows, int64_t stride, uint32_t count, ash_error *err)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(c->rows + (uint64_t)i * c->io.x_stride, rows + i * stride, c->io.x_stride * sizeof(float));
    return ash_hip_check(&c->hip,
                         c->hip.MemcpyAsync((void *)(uintptr_t)c->io.x, c->rows,
                                            (uint64_t)count * c->io.x_stride * sizeof(float), ASH_HIP_TO_DEVICE,
                                            c->stream),
                         err, "sending hidden states");
}

static ash_status fetch_results(ash_card *c, uint32_t count, ash_hip_plan_output output, ash_error *err)
{
    const ash_hip *hip = &c->hip;
    if (output == ASH_PLAN_NONE)
        return ASH_OK;
    if (output == ASH_PLAN_TOP)
        return ash_hip_check(hip,
                             hip->MemcpyAsync(c->values, (const void *)(uintptr_t)c->io.values,
                                              ASH_PLAN_TOP_K * (sizeof *c->values + sizeof *c->choice), ASH_HIP_TO_HOST,
                                              c->stream),
                             err, "fetching the likeliest tokens");
    if (output == ASH_PLAN_GREEDY)
        return ash_hip_check(hip,
                             hip->MemcpyAsync(c->choice, (const void *)(uintptr_t)c->io.ids, sizeof *c->choice,
                                              ASH_HIP_TO_HOST, c->stream),
                             err, "fetching the token");
    uint64_t rows = output == ASH_PLAN_ALL ? count : 1;
    return ash_hip_check(hip,
                         hip->MemcpyAsync(c->logits, (const void *)(uintptr_t)c->io.logits,
                                          rows * c->io.logits_stride * sizeof(float), ASH_HIP_TO_HOST, c->stream),
                         err, "fetching logits");
}

static ash_status finish(ash_card *c, const ash_launches *list, const track *t, ash_error *err)
{
    ash_hip_event *end = c->event[ASH_CARD_EVENTS - 1];
    char where[256], text[512];
    ASH_TRY(ash_hip_check(&c->hip, c->hip.EventRecord(end, c->stream), err, "a pass"));
    ash_status status = ash_hip_wait(&c->hip, end, c->timeout_ms, "a pass", err);
    if (status != ASH_OK) {
        ash_error plain = *err;
        name_place(c, list, t, where);
        const char *why = strchr(plain.text, ':'); /* of "a pass: why" */
        return ash_fail(err, status, "%s%s", at_card(c, where, text), why ? why : "");
    }
    if (c->load && ash_load_done(c->load)) { /* the pass has waited for all of it */
        ash_load *load = c->load;
        c->load = NULL;
        return ash_load_finish(load, false, err);
    }
    return ASH_OK;
}

/* Ready for a pass at `position`. */
static ash_status begin(ash_card *c, uint32_t position, ash_error *err)
{
    c->logits_rows = 0;
    c->pass_pos = position;
    if (ash_hip_hangs())
        return ash_fail(err, ASH_E_LIMIT, "card %d, %s, hangs", c->device.index, c->device.name);
    return ash_hip_check(&c->hip, c->hip.SetDevice(c->device.index), err, "choosing the card");
}

ash_status ash_card_feed(ash_card *c, const int32_t *ids, const float *rows, int64_t stride, uint32_t count,
                         uint32_t position, ash_hip_plan_output output, ash_error *err)
{
    ash_card_graph *graph;
    ash_launches made = { 0 };
    track t;
    ASH_TRY(begin(c, position, err));
    ASH_TRY(find_graph(c, count, output, &graph, err));
    if (!graph)
        ASH_TRY(ash_hip_plan_pass(c->plan, count, output, &made, err));
    const ash_launches *list = graph ? &graph->list : &made;
    t = track_of(list);
    ash_status status = ash_card_ticks(c, list->count, err);
    if (status == ASH_OK)
        status = send_step(c, ids, count, position, err);
    c->next_known = false;
    if (status == ASH_OK && rows)
        status = send_rows(c, rows, stride, count, err);
    if (status == ASH_OK)
        status = graph ? launch_graph(c, graph, &t, err) : launch_all(c, list, &t, err);
    if (status == ASH_OK)
        status = fetch_results(c, count, output, err);
    if (status == ASH_OK)
        status = finish(c, list, &t, err);
    if (status == ASH_OK)
        status = ash_card_read_ticks(c, list, err);
    if (status == ASH_OK) {
        c->logits_rows = output == ASH_PLAN_ALL ? count : output == ASH_PLAN_LAST;
        c->next_known = output == ASH_PLAN_GREEDY;
        c->next_pos = position + count;
    }
    ash_launches_free(&made);
    return status;
}

ash_status ash_card_fetch_logits(ash_card *c, ash_error *err)
{
    ASH_TRY(begin(c, c->pass_pos, err));
    ASH_TRY(fetch_results(c, 1, ASH_PLAN_LAST, err));
    ASH_TRY(ash_card_wait(c, "fetching logits", err));
    c->logits_rows = 1;
    return ASH_OK;
}

/* ---- several sessions ---- */

static ash_status send_row_steps(ash_card *c, uint32_t count, const uint32_t *positions, ash_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const ash_gfx_step step = { .pos = positions[i], .tokens = 1 };
        memcpy(c->row_steps + i * ASH_PLAN_ROW_STEP, &step, sizeof step);
    }
    return ash_hip_check(&c->hip,
                         c->hip.MemcpyAsync((void *)(uintptr_t)c->io.row_steps, c->row_steps, count * ASH_PLAN_ROW_STEP,
                                            ASH_HIP_TO_DEVICE, c->stream),
                         err, "sending positions");
}

static ash_status run_together(ash_card *c, const ash_launches *list, uint32_t count, const int32_t *ids,
                               const uint32_t *positions, ash_error *err)
{
    track t = track_of(list);
    ASH_TRY(ash_card_ticks(c, list->count, err));
    ASH_TRY(send_step(c, ids, count, positions[0], err));
    ASH_TRY(send_row_steps(c, count, positions, err));
    ASH_TRY(launch_all(c, list, &t, err));
    ASH_TRY(fetch_results(c, count, ASH_PLAN_ALL, err));
    ASH_TRY(finish(c, list, &t, err));
    return ash_card_read_ticks(c, list, err);
}

ash_status ash_card_feed_together(ash_card *const *cards, uint32_t count, const int32_t *ids, const uint32_t *positions,
                                  ash_error *err)
{
    ash_card *lead = cards[0];
    const ash_hip_plan *plans[ASH_GFX_DECODE_TOKENS];
    ash_launches list;
    if (count > ASH_GFX_DECODE_TOKENS)
        return ash_fail(err, ASH_E_ARGUMENT, "%u sessions in a pass: %d at most", count, ASH_GFX_DECODE_TOKENS);
    for (uint32_t i = 0; i < count; i++) {
        plans[i] = cards[i]->plan;
        cards[i]->logits_rows = 0;
        cards[i]->next_known = false;
    }
    ASH_TRY(begin(lead, positions[0], err));
    ASH_TRY(ash_hip_plan_together(plans, count, &list, err));
    ash_status status = run_together(lead, &list, count, ids, positions, err);
    ash_launches_free(&list);
    if (status == ASH_OK)
        lead->logits_rows = count;
    return status;
}
