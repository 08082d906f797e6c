/* A card from the inside: card.c opens it, fit.c sees whether it can, execute.c runs passes. */
#ifndef ASHLAR_RUNTIME_HIP_CARD_INTERNAL_H
#define ASHLAR_RUNTIME_HIP_CARD_INTERNAL_H

#include "runtime/hip/card.h"

#define ASH_CARD_OBJECTS 32
#define ASH_CARD_REGIONS 4
#define ASH_CARD_EVENTS 17  /* one at the end of a pass, the others behind every few layers: where a hang is */
#define ASH_GRAPH_NODES 190 /* graphs of 200 nodes and more read stale pointers on some drivers */
#define ASH_GRAPH_PIECES 8

/* A captured pass. */
typedef struct ash_card_graph {
    uint32_t pieces; /* 0: none yet */
    ash_hip_graph_exec *piece[ASH_GRAPH_PIECES];
    ash_launches list; /* what it holds, for messages */
} ash_card_graph;
#define ASH_CARD_GRAPHS (3 * ASH_GFX_DECODE_TOKENS) /* LAST, TOP and GREEDY of each length */

struct ash_card {
    ash_hip hip;
    ash_device device;
    const ashlar_model *model;
    ash_card_options options;
    uint32_t batch, timeout_ms;
    ash_hip_plan *plan;
    ash_hip_plan_memory at;
    ash_hip_plan_io io;
    void *region[ASH_CARD_REGIONS];
    ash_hip_stream *stream;
    ash_hip_event *event[ASH_CARD_EVENTS];
    ash_hip_module *module[ASH_CARD_OBJECTS];
    uint32_t module_count;
    ash_hip_function **functions; /* one a line of the registry */
    ash_load *load;               /* NULL when everything has arrived */
    ash_card_graph graph[ASH_CARD_GRAPHS];

    bool profile;
    uint32_t pass_pos; /* where the pass begins */
    ash_hip_event **tick; /* before the first launch and behind each */
    ash_card_timing *timing;
    uint32_t ticks, timings;

    ash_gfx_step *step; /* pinned, as are the following */
    uint64_t step_bytes;
    float *values;   /* ASH_PLAN_TOP_K, and behind them as many ids */
    int32_t *choice; /* the first of those */
    float *logits, *rows;
    uint8_t *row_steps;
    uint32_t logits_rows;
    bool next_known; /* the card's own step block holds (next_pos, 1 token, *choice) */
    uint32_t next_pos;
};

/* Waits for everything on the stream, within the deadline; `what` is for the message. */
ash_status ash_card_wait(ash_card *c, const char *what, ash_error *err);
void ash_card_forget_graphs(ash_card *c);
/* Enqueues one launch. */
ash_status ash_card_launch(ash_card *c, const ash_launch *l, ash_error *err);

/* ---- profile.c ---- */

/* Room for the events of a pass of `launches`. */
ash_status ash_card_ticks(ash_card *c, uint32_t launches, ash_error *err);
/* Event `i` of a timed pass; nothing where passes are not timed. */
ash_status ash_card_tick(ash_card *c, uint32_t i, ash_error *err);
/* The pass is over: reads the events. */
ash_status ash_card_read_ticks(ash_card *c, const ash_launches *list, ash_error *err);
void ash_card_forget_ticks(ash_card *c);

/* Whether a plan's memory is free on the device. With `fit_layers` plan->first_layer grows until it does. */
ash_status ash_card_fits(const ashlar_model *model, ash_hip_plan_options *plan, const ash_device *device,
                         bool fit_layers, ash_error *err);

#endif
