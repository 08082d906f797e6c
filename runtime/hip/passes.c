/* The launches of a forward pass, in order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/hip/plan_internal.h"

typedef struct pass {
    const ash_hip_plan *p;
    uint32_t tokens;
    bool decode; /* few enough for the decoding kernels */
    ash_launches *out;
    ash_error *err;
    uint32_t layer;
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

/* Parts that take the same inputs: rounded alike. Where the kernel differs they are launches of their own. */
static ash_status prefill_linear(pass *s, const plan_linear *op, ash_gfx_kind kind, rows x, rows y, ash_role role)
{
    bool done[ASH_GFX_PARTS] = { false };
    const ash_gfx_part *last = NULL; /* whose inputs lie in the tiles */
    for (uint32_t i = 0; i < op->part_count; i++) {
        const ash_gfx_part *part = &op->part[i];
        if (done[i])
            continue;
        ash_gfx_form form = ash_gfx_form_of(part->dtype);
        if (!last || ash_gfx_form_of(last->dtype) != form || last->input_scale != part->input_scale) {
            ash_gfx_inputs in = { .x = pointer(x.at),
                                  .norm = pointer(x.norm),
                                  .out = writable(s->p->tiles),
                                  .scale = writable(s->p->tile_scales),
                                  .form = form,
                                  .cols = op->cols,
                                  .tokens = x.tokens,
                                  .x_stride = x.stride,
                                  .eps = s->p->model->meta.h.norm_eps,
                                  .input_scale = part->input_scale };
            ASH_TRY(push_plain(s, ASH_GFX_OP_INPUTS, form, ash_gfx_inputs_grid(&in), role, &in));
            last = part;
        }
        const ash_gfx_kernel *k = ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, part->dtype, 0);
        ash_gfx_prefill args = { .kind = kind,
                                 .cols = op->cols,
                                 .tokens = x.tokens,
                                 .x = pointer(s->p->tiles),
                                 .x_scale = pointer(s->p->tile_scales),
                                 .y = writable(y.at),
                                 .y_stride = y.stride };
        for (uint32_t j = i; j < op->part_count; j++)
            if (strcmp(ash_gfx_kernel_find(ASH_GFX_OP_PREFILL, op->part[j].dtype, 0)->symbol, k->symbol) == 0 &&
                op->part[j].input_scale == part->input_scale) {
                args.part[args.part_count++] = op->part[j];
                done[j] = true;
            }
        ASH_TRY(push(s, k, ash_gfx_prefill_grid(&args), role, &args));
    }
    return ASH_OK;
}

static ash_status product(pass *s, const plan_linear *op, ash_gfx_kind kind, rows x, rows y, ash_role role)
{
    bool decode = x.tokens <= ASH_GFX_DECODE_TOKENS || !prefills(op);
    return decode ? decode_linear(s, op, kind, x, y, role) : prefill_linear(s, op, kind, x, y, role);
}

/* ---- a pass ---- */

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
    if (s->decode)
        return push_plain(s, ASH_GFX_OP_ATTEND, h->head_dim, ash_gfx_attend_grid(&a), ASH_ROLE_OTHER, &a);
    ASH_TRY(push_plain(s, ASH_GFX_OP_KV_STORE, 0, ash_gfx_kv_store_grid(&a), ASH_ROLE_OTHER, &a));
    return push_plain(s, ASH_GFX_OP_ATTEND_PREFILL, h->head_dim, ash_gfx_attend_prefill_grid(&a), ASH_ROLE_OTHER, &a);
}

static ash_status run_layer(pass *s)
{
    const ash_hip_plan *p = s->p;
    const plan_layer *layer = &p->layers[s->layer];
    rows x = { p->x, layer->attn_norm, p->x_stride, s->tokens }, qkv = { p->qkv, 0, p->qkv_stride, s->tokens };
    rows attn = { p->attn, 0, p->attn_stride, s->tokens }, h = { p->h, 0, p->h_stride, s->tokens };
    ASH_TRY(product(s, &layer->qkv, ASH_GFX_STORE, x, qkv, ASH_ROLE_QKV));
    ASH_TRY(attention(s, layer));
    ASH_TRY(product(s, &layer->o, ASH_GFX_ADD, attn, x, ASH_ROLE_O));
    x.norm = layer->ffn_norm;
    ASH_TRY(product(s, &layer->gate_up, ASH_GFX_SWIGLU, x, h, ASH_ROLE_GATE_UP));
    return product(s, &layer->down, ASH_GFX_ADD, h, x, ASH_ROLE_DOWN);
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
    uint32_t count = output == ASH_PLAN_ALL ? s->tokens : 1;
    rows x = { p->x + (uint64_t)(s->tokens - count) * p->x_stride * sizeof(float), p->output_norm, p->x_stride, count };
    rows logits = { p->logits, 0, p->logits_stride, count };
    ASH_TRY(product(s, &p->output, ASH_GFX_STORE, x, logits, ASH_ROLE_OUTPUT));
    if (output != ASH_PLAN_GREEDY)
        return ASH_OK;
    ash_gfx_sample sample = { .logits = pointer(p->logits),
                              .values = writable(p->values),
                              .ids = writable(p->ids),
                              .next = writable(p->step),
                              .count = h->vocab,
                              .k = 1,
                              .temperature = 1 };
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

void ash_launches_free(ash_launches *l)
{
    free(l->list);
    *l = (ash_launches){ 0 };
}
