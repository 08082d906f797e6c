/* The launches of a forward pass, in order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/hip/plan_internal.h"

typedef struct pass {
    const ash_hip_plan *p;
    const ash_hip_plan *const *of; /* NULL: tokens follow each other; else token t is the next one of of[t] */
    uint32_t tokens;
    bool decode; /* few enough for the decoding kernels */
    ash_launches *out;
    ash_error *err;
    uint32_t layer;
    ash_gfx_inputs left; /* prefill: inputs that a product has left to the next one; out NULL: none */
    uint32_t side;       /* the plan's tiles that the last inputs are in */
} pass;

/* Rows of floats, and the norm that they go through (0: none). */
typedef struct rows {
    uint64_t at, norm;
    uint32_t stride, tokens;
} rows;

static const void *pointer(uint64_t at) { return (const void *)(uintptr_t)at; }
static void *writable(uint64_t at) { return (void *)(uintptr_t)at; }

static ash_status push(pass *s, const ash_gfx_kernel *k, ash_gfx_grid grid, ash_role role, const void *args)
{
    ash_launches *l = s->out;
    if (l->count == l->room) {
        uint32_t room = l->room ? 2 * l->room : 256;
        ash_launch *grown = realloc(l->list, room * sizeof *grown);
        if (!grown)
            return ash_fail(s->err, ASH_E_MEMORY, "out of memory for %u launches", room);
        l->list = grown;
        l->room = room;
    }
    ash_launch *to = &l->list[l->count++];
    *to = (ash_launch){ .kernel = k, .grid = { grid.x, grid.y, grid.z }, .layer = s->layer, .role = role };
    memcpy(&to->args, args, k->args_bytes);
    return ASH_OK;
}

static ash_status push_plain(pass *s, ash_gfx_op op, uint32_t variant, ash_gfx_grid grid, ash_role role,
                             const void *args)
{
    return push(s, ash_gfx_kernel_find(op, ASH_DTYPE_COUNT, variant), grid, role, args);
}

/* ---- products ---- */

/* The kernel with room for all of the tokens, else the roomiest. */
static const ash_gfx_kernel *decode_kernel(const ash_gfx_part *part, uint32_t tokens)
{
    const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_DECODE, part->dtype, tokens);
    return k ? k : ash_gfx_kernel_find(ASH_GFX_OP_DECODE, part->dtype, ASH_GFX_DECODE_TOKENS);
}

/* A launch for each of the kernel's rooms of tokens. */
static ash_status push_decode(pass *s, const ash_gfx_kernel *k, ash_gfx_decode args, ash_role role)
{
    uint32_t tokens = args.tokens;
    for (uint32_t first = 0; first < tokens; first += k->variant) {
        args.tokens = tokens - first < k->variant ? tokens - first : k->variant;
        ASH_TRY(push(s, k, ash_gfx_decode_grid(&args), role, &args));
        args.x = pointer((uint64_t)(uintptr_t)args.x + (uint64_t)k->variant * args.x_stride * sizeof(float));
        args.y = writable((uint64_t)(uintptr_t)args.y + (uint64_t)k->variant * args.y_stride * sizeof(float));
    }
    return ASH_OK;
}

static ash_status decode_linear(pass *s, const plan_linear *op, ash_gfx_kind kind, rows x, rows y, ash_role role)
{
    bool done[ASH_GFX_PARTS] = { false };
    for (uint32_t i = 0; i < op->part_count; i++) {
        if (done[i])
            continue;
        const ash_gfx_kernel *k = decode_kernel(&op->part[i], x.tokens);
        ash_gfx_decode args = { .kind = kind,
                                .cols = op->cols,
                                .tokens = x.tokens,
                                .x = pointer(x.at),
                                .norm = pointer(x.norm),
                                .y = writable(y.at),
                                .x_stride = x.stride,
                                .y_stride = y.stride,
                                .eps = s->p->model->meta.h.norm_eps };
        for (uint32_t j = i; j < op->part_count; j++) /* whatever the same kernel takes */
            if (strcmp(decode_kernel(&op->part[j], x.tokens)->symbol, k->symbol) == 0) {
                args.part[args.part_count++] = op->part[j];
                done[j] = true;
            }
        ASH_TRY(push_decode(s, k, args, role));
    }
    return ASH_OK;
}

/* Whether the matrix units take all of it: F32 they do not, and it goes through the decoding kernels. */
static bool prefills(const plan_linear *op)
{
    for (uint32_t i = 0; i < op->part_count; i++)
        if (!ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, op->part[i].dtype, 0))
            return false;
    return true;
}

/* Rounds rows for a part, into the tiles that are not in use. */
static ash_gfx_inputs inputs_of(const pass *s, const plan_linear *op, const ash_gfx_part *part, rows x)
{
    const plan_tiles *to = &s->p->tiles[!s->side];
    ash_gfx_form form = ash_gfx_form_of(part->dtype);
    bool groups = ash_gfx_in_groups(form, part->input_scale);
    return (ash_gfx_inputs){ .x = pointer(x.at),
                             .norm = pointer(x.norm),
                             .out = writable(to->out),
                             .scale = groups ? writable(to->scale) : NULL,
                             .squares = groups && x.norm ? writable(to->squares) : NULL,
                             .form = form,
                             .cols = op->cols,
                             .tokens = x.tokens,
                             .x_stride = x.stride,
                             .eps = s->p->model->meta.h.norm_eps,
                             .input_scale = part->input_scale };
}

/* What comes after a product: another one of what it writes. */
typedef struct following {
    const plan_linear *op; /* NULL: none that takes all of it */
    uint64_t norm;
} following;

/* Whether one rounding serves all parts of a product, so that the one before it can do it. */
static bool leaves(const following *next)
{
    const plan_linear *op = next->op;
    if (!op || !prefills(op))
        return false;
    ash_gfx_form form = ash_gfx_form_of(op->part->dtype);
    for (uint32_t i = 1; i < op->part_count; i++)
        if (ash_gfx_form_of(op->part[i].dtype) != form || op->part[i].input_scale != op->part->input_scale)
            return false;
    return next->norm == 0 || ash_gfx_in_groups(form, op->part->input_scale);
}

/* Parts that take the same inputs: rounded alike. Where the kernel differs they are launches of their own. */
static ash_status prefill_linear(pass *s, const plan_linear *op, ash_gfx_kind kind, rows x, rows y, ash_role role,
                                 following next)
{
    bool done[ASH_GFX_PARTS] = { false };
    ash_gfx_inputs in = s->left; /* what lies in the tiles */
    s->left = (ash_gfx_inputs){ 0 };
    for (uint32_t i = 0; i < op->part_count; i++) {
        const ash_gfx_part *part = &op->part[i];
        if (done[i])
            continue;
        if (!in.out || in.form != (uint32_t)ash_gfx_form_of(part->dtype) || in.input_scale != part->input_scale) {
            in = inputs_of(s, op, part, x);
            s->side = !s->side;
            ASH_TRY(push_plain(s, ASH_GFX_OP_INPUTS, in.form, ash_gfx_inputs_grid(&in), role, &in));
        }
        const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, part->dtype, 0);
        ash_gfx_prefill args = { .kind = kind,
                                 .cols = op->cols,
                                 .tokens = x.tokens,
                                 .x = in.out,
                                 .x_scale = in.scale,
                                 .x_squares = in.squares,
                                 .x_eps = in.eps,
                                 .y = writable(y.at),
                                 .y_stride = y.stride,
                                 .done = writable(s->p->tiles_done) };
        for (uint32_t j = i; j < op->part_count; j++)
            if (strcmp(ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, op->part[j].dtype, 0)->symbol, k->symbol) == 0 &&
                op->part[j].input_scale == part->input_scale) {
                args.part[args.part_count++] = op->part[j];
                done[j] = true;
            }
        if (args.part_count == op->part_count && leaves(&next)) {
            args.next = s->left = inputs_of(s, next.op, next.op->part, (rows){ y.at, next.norm, y.stride, y.tokens });
            s->side = !s->side;
        }
        args.panels = ash_gfx_prefill_panels(args);
        k = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, part->dtype, args.panels);
        ASH_TRY(push(s, k, ash_gfx_prefill_grid(&args), role, &args));
    }
    return ASH_OK;
}

static ash_status product(pass *s, const plan_linear *op, ash_gfx_kind kind, rows x, rows y, ash_role role,
                          following next)
{
    bool decode = x.tokens <= ASH_GFX_DECODE_TOKENS || !prefills(op);
    return decode ? decode_linear(s, op, kind, x, y, role) : prefill_linear(s, op, kind, x, y, role, next);
}

/* ---- a pass ---- */

/* A launch for each row, whose session has its own keys, values and position. */
static ash_status attend_each(pass *s, ash_gfx_attend a)
{
    const ash_hip_plan *p = s->p;
    a.tokens = 1;
    for (uint32_t t = 0; t < s->tokens; t++) {
        a.qkv = writable(p->qkv + (uint64_t)t * p->qkv_stride * sizeof(float));
        a.out = writable(p->attn + (uint64_t)t * p->attn_stride * sizeof(float));
        a.step = pointer(p->row_steps + t * ASH_PLAN_ROW_STEP);
        a.angles = pointer(s->of[t]->angles);
        a.cache = ash_hip_plan_cache(s->of[t], s->layer);
        ASH_TRY(push_plain(s, ASH_GFX_OP_ATTEND, a.head_dim, ash_gfx_attend_grid(&a), ASH_ROLE_OTHER, &a));
    }
    return ASH_OK;
}

static ash_status attention(pass *s, const plan_layer *layer)
{
    const ash_hip_plan *p = s->p;
    const ash_hparams *h = &p->model->meta.h;
    ash_gfx_attend a = { .qkv = writable(p->qkv),
                         .q_norm = pointer(layer->q_norm),
                         .k_norm = pointer(layer->k_norm),
                         .angles = pointer(p->angles),
                         .step = pointer(p->step),
                         .out = writable(p->attn),
                         .parts = writable(p->parts),
                         .done = writable(p->done),
                         .cache = ash_hip_plan_cache(p, s->layer),
                         .qkv_stride = p->qkv_stride,
                         .k_first = (uint32_t)p->model->k_first,
                         .v_first = (uint32_t)p->model->v_first,
                         .out_stride = p->attn_stride,
                         .heads = h->heads,
                         .kv_heads = h->kv_heads,
                         .head_dim = h->head_dim,
                         .rope_dim = h->rope_dim,
                         .window = h->sliding_window,
                         .splits = p->splits,
                         .tokens = s->tokens,
                         .scale = 1 / sqrtf((float)h->head_dim),
                         .eps = h->norm_eps };
    if (s->of)
        return attend_each(s, a);
    if (s->decode)
        return push_plain(s, ASH_GFX_OP_ATTEND, h->head_dim, ash_gfx_attend_grid(&a), ASH_ROLE_OTHER, &a);
    ASH_TRY(push_plain(s, ASH_GFX_OP_KV_STORE, 0, ash_gfx_kv_store_grid(&a), ASH_ROLE_OTHER, &a));
    const plan_linear *o = &layer->o;
    if (leaves(&(following){ o, 0 }) &&
        ash_gfx_attend_leaves(&a, ash_gfx_form_of(o->part->dtype), o->part->input_scale)) {
        a.next = s->left = inputs_of(s, o, o->part, (rows){ p->attn, 0, p->attn_stride, s->tokens });
        s->side = !s->side;
    }
    return push_plain(s, ASH_GFX_OP_ATTEND_PREFILL, h->head_dim, ash_gfx_attend_prefill_grid(&a), ASH_ROLE_OTHER, &a);
}

static ash_status run_layer(pass *s)
{
    const ash_hip_plan *p = s->p;
    const plan_layer *layer = &p->layers[s->layer];
    rows x = { p->x, layer->attn_norm, p->x_stride, s->tokens }, qkv = { p->qkv, 0, p->qkv_stride, s->tokens };
    rows attn = { p->attn, 0, p->attn_stride, s->tokens }, h = { p->h, 0, p->h_stride, s->tokens };
    bool last = s->layer + 1 == p->model->meta.h.layers; /* what follows it may take fewer rows */
    following none = { NULL, 0 }, gate_up = { &layer->gate_up, layer->ffn_norm }, down = { &layer->down, 0 };
    following next_layer = { last ? NULL : &layer[1].qkv, last ? 0 : layer[1].attn_norm };
    ASH_TRY(product(s, &layer->qkv, ASH_GFX_STORE, x, qkv, ASH_ROLE_QKV, none));
    ASH_TRY(attention(s, layer));
    ASH_TRY(product(s, &layer->o, ASH_GFX_ADD, attn, x, ASH_ROLE_O, gate_up));
    x.norm = layer->ffn_norm;
    ASH_TRY(product(s, &layer->gate_up, ASH_GFX_SWIGLU, x, h, ASH_ROLE_GATE_UP, down));
    return product(s, &layer->down, ASH_GFX_ADD, h, x, ASH_ROLE_DOWN, next_layer);
}

static ash_status run(pass *s, ash_hip_plan_output output)
{
    const ash_hip_plan *p = s->p;
    const ash_hparams *h = &p->model->meta.h;
    ash_gfx_embed embed = { .table = p->embed,
                            .step = pointer(p->step),
                            .x = writable(p->x),
                            .cols = h->hidden,
                            .rows = h->vocab,
                            .tokens = s->tokens,
                            .x_stride = p->x_stride };
    s->layer = ASH_NO_LAYER;
    if (p->options.first_layer == 0)
        ASH_TRY(push(s, ash_gfx_kernel_find(ASH_GFX_OP_EMBED, p->embed.dtype, 0), ash_gfx_embed_grid(&embed),
                     ASH_ROLE_EMBED, &embed));
    for (uint32_t i = p->options.first_layer; i < h->layers; i++) {
        s->layer = i;
        ASH_TRY(run_layer(s));
    }
    s->layer = ASH_NO_LAYER;
    if (output == ASH_PLAN_NONE)
        return ASH_OK;
    uint32_t count = output == ASH_PLAN_ALL ? s->tokens : 1;
    rows x = { p->x + (uint64_t)(s->tokens - count) * p->x_stride * sizeof(float), p->output_norm, p->x_stride, count };
    rows logits = { p->logits, 0, p->logits_stride, count };
    ASH_TRY(product(s, &p->output, ASH_GFX_STORE, x, logits, ASH_ROLE_OUTPUT, (following){ NULL, 0 }));
    if (output != ASH_PLAN_GREEDY && output != ASH_PLAN_TOP)
        return ASH_OK;
    ash_gfx_sample sample = { .logits = pointer(p->logits),
                              .values = writable(p->values),
                              .ids = writable(p->ids),
                              .next = writable(p->step),
                              .count = h->vocab,
                              .k = 1,
                              .temperature = 1 };
    if (output == ASH_PLAN_TOP) {
        sample.k = h->vocab < ASH_PLAN_TOP_K ? h->vocab : ASH_PLAN_TOP_K;
        sample.next = NULL;
        return push_plain(s, ASH_GFX_OP_TOP_K, 0, (ash_gfx_grid){ 1, 1, 1 }, ASH_ROLE_EMBED, &sample);
    }
    return push_plain(s, ASH_GFX_OP_ARG_MAX, 0, (ash_gfx_grid){ 1, 1, 1 }, ASH_ROLE_EMBED, &sample);
}

ash_status ash_hip_plan_pass(const ash_hip_plan *plan, uint32_t tokens, ash_hip_plan_output output, ash_launches *out,
                             ash_error *err)
{
    *out = (ash_launches){ 0 };
    if (tokens == 0 || tokens > plan->options.batch || (output == ASH_PLAN_ALL && tokens > ASH_PLAN_LOGITS))
        return ash_fail(err, ASH_E_ARGUMENT, "a pass of %u tokens: this plan takes 1 to %u", tokens,
                        output == ASH_PLAN_ALL && plan->options.batch > ASH_PLAN_LOGITS ? ASH_PLAN_LOGITS
                                                                                        : plan->options.batch);
    pass s = { .p = plan, .tokens = tokens, .decode = tokens <= ASH_GFX_DECODE_TOKENS, .out = out, .err = err };
    ash_status status = run(&s, output);
    if (status != ASH_OK)
        ash_launches_free(out);
    return status;
}

ash_status ash_hip_plan_together(const ash_hip_plan *const *of, uint32_t count, ash_launches *out, ash_error *err)
{
    *out = (ash_launches){ 0 };
    uint32_t most = of[0]->options.batch < ASH_GFX_DECODE_TOKENS ? of[0]->options.batch : ASH_GFX_DECODE_TOKENS;
    if (count == 0 || count > most)
        return ash_fail(err, ASH_E_ARGUMENT, "a pass of %u sessions: this plan takes 1 to %u", count, most);
    pass s = { .p = of[0], .of = of, .tokens = count, .decode = true, .out = out, .err = err };
    ash_status status = run(&s, ASH_PLAN_ALL);
    if (status != ASH_OK)
        ash_launches_free(out);
    return status;
}

void ash_launches_free(ash_launches *l)
{
    free(l->list);
    *l = (ash_launches){ 0 };
}
