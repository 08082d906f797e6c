/* Where things lie: constants and workspace are walked twice by the same code, once to count and once to place. */
#include "runtime/hip/plan_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/directory.h"

#define ALIGN 256 /* of every buffer: a cache line of 128 bytes and its neighbour */

static uint64_t take(plan_region *r, uint64_t count, uint64_t bytes_each)
{
    uint64_t bytes, at = r->base + r->used;
    if (!ash_mul(count, bytes_each, &bytes) || !ash_round_up(bytes, ALIGN, &bytes) ||
        !ash_add(r->used, bytes, &r->used))
        r->overflow = true;
    return at;
}

/* ---- weights ---- */

/* Matrices of the layers that are the card's, the output matrix, and the embedding where it is looked up or doubles as
 * output. */
static bool needed(const ash_hip_plan *p, const ash_tensor_record *t)
{
    if (t->layout == ASH_LAYOUT_LINEAR || t->role == ASH_ROLE_OTHER || t->role == ASH_ROLE_SCALE)
        return false;
    if (t->layer != ASH_NO_LAYER)
        return t->layer >= p->options.first_layer;
    return t->role != ASH_ROLE_EMBED || p->options.first_layer == 0 || p->model->meta.h.tied_output;
}

static int by_offset(const void *a, const void *b)
{
    const ash_hip_plan_extent *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* Neighbours in the file become one extent. Tensors begin at multiples of 4096, and so do extents. */
static ash_status find_extents(ash_hip_plan *p, ash_error *err)
{
    const ash_file *file = p->model->file;
    uint32_t tensors = ash_file_tensor_count(file), count = 0;
    ash_hip_plan_extent *e = calloc(tensors + 1, sizeof *e);
    if (!e)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the places of %u tensors", tensors);
    p->extents = e;
    for (uint32_t i = 0; i < tensors; i++) {
        const ash_tensor_record *t = ash_file_tensor(file, i);
        if (needed(p, t))
            e[count++] =
                (ash_hip_plan_extent){ .from = (uint64_t)(ash_file_data(file, t) - p->data), .bytes = t->size };
    }
    qsort(e, count, sizeof *e, by_offset);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        ash_hip_plan_extent *last = kept ? &e[kept - 1] : NULL;
        uint64_t end = last ? (last->from + last->bytes + 4095) / 4096 * 4096 : 0;
        if (last && e[i].from <= end) {
            last->bytes = e[i].from + e[i].bytes - last->from;
        } else {
            uint64_t to = last ? (last->to + last->bytes + 4095) / 4096 * 4096 : 0;
            e[kept++] = (ash_hip_plan_extent){ .from = e[i].from, .to = to, .bytes = e[i].bytes };
        }
    }
    p->extent_count = kept;
    p->weight_bytes = kept ? e[kept - 1].to + e[kept - 1].bytes : 0;
    return ASH_OK;
}

/* Where a byte of the DATA section lies in the weights' allocation. */
static uint64_t weight_offset(const ash_hip_plan *p, const uint8_t *at)
{
    uint64_t from = (uint64_t)(at - p->data);
    uint32_t low = 0, high = p->extent_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (p->extents[middle].from <= from)
            low = middle;
        else
            high = middle;
    }
    return p->extents[low].to + (from - p->extents[low].from);
}

static uint64_t linear_end(const ash_hip_plan *p, const ash_linear *op)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < op->part_count; i++) {
        const ash_part *part = &op->part[i];
        uint64_t at = weight_offset(p, part->w.data) + (uint64_t)part->panels * (uint64_t)part->w.panel_bytes;
        end = at > end ? at : end;
    }
    return end < p->weight_bytes ? end
                                 : p->weight_bytes; /* a member that skips panels ends before its last stride does */
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static void find_needs(ash_hip_plan *p)
{
    const ashlar_model *m = p->model;
    uint64_t embed =
        p->options.first_layer == 0
            ? weight_offset(p, m->embed.data) + ash_div_up((uint64_t)m->embed.rows, 16) * (uint64_t)m->embed.panel_bytes
            : 0;
    for (uint32_t i = p->options.first_layer; i < m->meta.h.layers; i++) {
        const ash_layer *l = &m->layers[i];
        p->layers[i].needs = larger(larger(larger(linear_end(p, &l->qkv), linear_end(p, &l->o)),
                                           larger(linear_end(p, &l->gate_up), linear_end(p, &l->down))),
                                    embed);
    }
    p->output_needs = larger(linear_end(p, &m->output), embed);
}

const ash_hip_plan_extent *ash_hip_plan_extents(const ash_hip_plan *p, uint32_t *count)
{
    *count = p->extent_count;
    return p->extents;
}

uint64_t ash_hip_plan_needs(const ash_hip_plan *p, uint32_t layer)
{
    return layer == ASH_NO_LAYER ? p->output_needs : p->layers[layer].needs;
}

/* ---- constants ---- */

/* `count` floats, followed by zeros up to `room`. */
static uint64_t constant(ash_hip_plan *p, const float *values, uint64_t count, uint64_t room)
{
    if (!values)
        return 0;
    uint64_t from = p->constants.used, at = take(&p->constants, room, sizeof(float));
    if (p->fill) {
        memcpy(p->fill + from, values, count * sizeof(float));
        memset(p->fill + from + count * sizeof(float), 0, p->constants.used - from - count * sizeof(float));
    }
    return at;
}

static uint64_t norm(ash_hip_plan *p, const float *values, uint32_t count)
{
    return constant(p, values, count, (uint64_t)ash_pad_cols(count));
}

static uint64_t scales(ash_hip_plan *p, const ash_matrix *w)
{
    uint64_t panels = ash_div_up((uint64_t)w->rows, ASH_PANEL_ROWS);
    switch (w->scale_kind) {
    case ASH_SCALE_TENSOR:
        return constant(p, w->scale, 1, 1);
    case ASH_SCALE_ROW:
        return constant(p, w->scale, (uint64_t)w->rows, panels * ASH_PANEL_ROWS);
    case ASH_SCALE_BLOCK128: {
        uint64_t count = panels * ash_div_up((uint64_t)w->cols, 128) * ASH_PANEL_ROWS;
        return constant(p, w->scale, count, count);
    }
    default:
        return 0;
    }
}

/* One part of a plan_linear operation; an interleaved gate_up tensor becomes two. */
static ash_gfx_part part_of(ash_hip_plan *p, const ash_matrix *w, const ash_op_input *input, int64_t panels,
                            int64_t y_first, int64_t y_panel_stride)
{
    return (ash_gfx_part){ .data = (const uint8_t *)(uintptr_t)(p->at.weights + weight_offset(p, w->data)),
                           .scale = (const float *)(uintptr_t)scales(p, w),
                           .dtype = w->dtype,
                           .scale_kind = w->scale_kind,
                           .panels = (uint32_t)panels,
                           .panel_bytes = (uint32_t)w->panel_bytes,
                           .y_first = (uint32_t)y_first,
                           .y_panel_stride = (uint32_t)y_panel_stride,
                           .input_scale = input && input->rounding == ASH_ROUND_STATIC ? input->scale : 0 };
}

static void place_linear(ash_hip_plan *p, const ash_linear *op, plan_linear *out)
{
    *out = (plan_linear){ .part_count = op->part_count, .cols = (uint32_t)op->cols };
    for (uint32_t i = 0; i < op->part_count; i++) {
        const ash_part *from = &op->part[i];
        out->part[i] = part_of(p, &from->w, &op->input[from->input], from->panels, from->y_first, from->y_panel_stride);
    }
}

/* Gate and up as two parts that give one panel of h together. */
static void place_gate_up(ash_hip_plan *p, const ash_linear *op, plan_linear *out)
{
    place_linear(p, op, out);
    if (op->part_count == 1) {
        ash_gfx_part *gate = &out->part[0], *up = &out->part[1];
        gate->panels /= 2;
        *up = *gate;
        up->data += gate->panel_bytes;
        gate->panel_bytes *= 2;
        up->panel_bytes *= 2;
        out->part_count = 2;
    }
    for (uint32_t i = 0; i < 2; i++) {
        out->part[i].y_first = 0;
        out->part[i].y_panel_stride = ASH_PANEL_ROWS;
    }
}

/* The biases of q, k and v, to whichever part's rows they belong. */
static void place_qkv_bias(ash_hip_plan *p, const ash_layer *from, plan_linear *qkv)
{
    const ash_hparams *h = &p->model->meta.h;
    const float *bias[3] = { from->q_bias, from->k_bias, from->v_bias };
    uint64_t first[3] = { 0, (uint64_t)p->model->k_first, (uint64_t)p->model->v_first };
    uint64_t count[3] = { (uint64_t)h->heads * h->head_dim, (uint64_t)h->kv_heads * h->head_dim,
                          (uint64_t)h->kv_heads * h->head_dim };
    if (!bias[0] && !bias[1] && !bias[2])
        return;
    /* One row of biases as the output row lies, of which each part sees its own piece. */
    uint64_t start = p->constants.used,
             at = take(&p->constants, (uint64_t)p->model->layers[0].qkv.row_elems, sizeof(float));
    if (p->fill) {
        memset(p->fill + start, 0, p->constants.used - start);
        for (int i = 0; i < 3; i++)
            if (bias[i])
                memcpy(p->fill + start + first[i] * sizeof(float), bias[i], count[i] * sizeof(float));
    }
    for (uint32_t i = 0; i < qkv->part_count; i++)
        qkv->part[i].bias = (const float *)(uintptr_t)(at + qkv->part[i].y_first * sizeof(float));
}

static void place_layer(ash_hip_plan *p, const ash_layer *from, plan_layer *to)
{
    const ash_hparams *h = &p->model->meta.h;
    to->attn_norm = norm(p, from->attn_norm, h->hidden);
    to->ffn_norm = norm(p, from->ffn_norm, h->hidden);
    to->q_norm = norm(p, from->q_norm, h->head_dim);
    to->k_norm = norm(p, from->k_norm, h->head_dim);
    place_linear(p, &from->qkv, &to->qkv);
    place_qkv_bias(p, from, &to->qkv);
    place_linear(p, &from->o, &to->o);
    to->o.part[0].bias = (const float *)(uintptr_t)norm(p, from->o_bias, h->hidden);
    place_gate_up(p, &from->gate_up, &to->gate_up);
    place_linear(p, &from->down, &to->down);
}

static void place_constants(ash_hip_plan *p)
{
    const ashlar_model *m = p->model;
    p->constants = (plan_region){ .base = p->at.constants };
    for (uint32_t i = p->options.first_layer; i < m->meta.h.layers; i++)
        place_layer(p, &m->layers[i], &p->layers[i]);
    p->output_norm = norm(p, m->output_norm, m->meta.h.hidden);
    place_linear(p, &m->output, &p->output);
    if (p->options.first_layer == 0)
        p->embed = part_of(p, &m->embed, NULL, (int64_t)ash_div_up((uint64_t)m->embed.rows, ASH_PANEL_ROWS), 0,
                           ASH_PANEL_ROWS);
    uint64_t width = m->meta.h.rope_dim, start = p->constants.used;
    p->angles = take(&p->constants, p->options.context * width, sizeof(float));
    for (uint32_t i = 0; p->fill && i < p->options.context; i++)
        ash_rope_angles(&m->rope, i, (float *)(void *)(p->fill + start) + i * width);
}

/* ---- workspace and cache ---- */

static uint32_t widest(const ash_hip_plan *p)
{
    uint32_t w = p->x_stride > p->attn_stride ? p->x_stride : p->attn_stride;
    return w > p->h_stride ? w : p->h_stride;
}

static void place_workspace(ash_hip_plan *p)
{
    const ash_hparams *h = &p->model->meta.h;
    uint64_t rows = p->options.batch;
    plan_region *w = &p->workspace;
    *w = (plan_region){ .base = p->at.workspace };
    p->step = take(w, 1, sizeof(ash_gfx_step) + rows * sizeof(int32_t));
    p->x = take(w, rows * p->x_stride, sizeof(float));
    p->qkv = take(w, rows * p->qkv_stride, sizeof(float));
    p->attn = take(w, rows * p->attn_stride, sizeof(float));
    p->h = take(w, rows * p->h_stride, sizeof(float));
    uint64_t scales = ash_gfx_inputs_scales(widest(p), p->options.batch);
    for (int i = 0; i < 2; i++)
        p->tiles[i] = (plan_tiles){
            .out = take(w, ash_gfx_inputs_bytes(ASH_GFX_F16, widest(p), p->options.batch), 1), /* the widest form */
            .scale = take(w, scales, sizeof(float)),
            .squares = take(w, scales, sizeof(float)),
        };
    p->tiles_done = take(w, ash_gfx_prefill_done(widest(p), p->options.batch), sizeof(uint32_t));
    p->parts = take(w, ash_gfx_attend_parts(h->heads, h->head_dim, p->splits), sizeof(float));
    p->done = take(w, h->kv_heads, sizeof(uint32_t));
    p->logits = take(w, (uint64_t)(rows < ASH_PLAN_LOGITS ? rows : ASH_PLAN_LOGITS) * p->logits_stride, sizeof(float));
    p->values = take(w, ASH_PLAN_TOP_K, sizeof(float) + sizeof(int32_t));
    p->ids = p->values + ASH_PLAN_TOP_K * sizeof(float);
    p->row_steps = take(w, ASH_GFX_DECODE_TOKENS, ASH_PLAN_ROW_STEP);
}

static uint32_t cache_elem_bytes(const ash_hip_plan *p) { return p->options.cache_fp8 ? 1 : 2; }

/* Bytes of all layers' keys, or of all their values. */
static bool cache_half_bytes(const ash_hip_plan *p, uint64_t *out)
{
    const ash_hparams *h = &p->model->meta.h;
    return ash_mul(p->head_stride, (uint64_t)(h->layers - p->options.first_layer) * h->kv_heads, out) &&
           ash_mul(*out, cache_elem_bytes(p), out) && ash_round_up(*out, ALIGN, out);
}

ash_gfx_cache ash_hip_plan_cache(const ash_hip_plan *p, uint32_t index)
{
    const ash_hparams *h = &p->model->meta.h;
    uint64_t half = 0, first = p->head_stride * h->kv_heads * (index - p->options.first_layer) * cache_elem_bytes(p);
    (void)cache_half_bytes(p, &half);
    return (ash_gfx_cache){ .k = (void *)(uintptr_t)(p->at.cache + first),
                            .v = (void *)(uintptr_t)(p->at.cache + half + first),
                            .head_stride = p->head_stride,
                            .stride = (uint32_t)p->cache_stride,
                            .rows = (uint32_t)p->cache_rows,
                            .fp8 = p->options.cache_fp8,
                            .k_scale = 1,
                            .v_scale = 1 };
}

/* ---- a plan ---- */

static ash_status check_linear(const ash_linear *op, uint32_t layer_index, ash_role role, ash_error *err)
{
    for (uint32_t i = 0; i < op->part_count; i++)
        if (!ash_gfx_kernel_find(ASH_GFX_OP_DECODE, op->part[i].w.dtype, ASH_GFX_DECODE_TOKENS))
            return layer_index == ASH_NO_LAYER
                       ? ash_fail(err, ASH_E_UNSUPPORTED,
                                  "the %s is %s, for which the card has no kernel: convert with "
                                  "--type, or use the CPU",
                                  ash_role_name(role), ash_dtype_name(op->part[i].w.dtype))
                       : ash_fail(err, ASH_E_UNSUPPORTED,
                                  "the %s of layer %u is %s, for which the card has no kernel: "
                                  "convert with --type, or use the CPU",
                                  ash_role_name(role), layer_index, ash_dtype_name(op->part[i].w.dtype));
    return ASH_OK;
}

/* Gate and up meet in one launch. */
static ash_status check_pair(const ash_linear *op, uint32_t layer_index, ash_error *err)
{
    const ash_gfx_kernel *k[2];
    for (uint32_t i = 0; i < 2; i++)
        k[i] = ash_gfx_kernel_find(ASH_GFX_OP_DECODE, op->part[i % op->part_count].w.dtype, 1);
    if (strcmp(k[0]->symbol, k[1]->symbol) == 0)
        return ASH_OK;
    return ash_fail(err, ASH_E_UNSUPPORTED,
                    "gate and up of layer %u are %s and %s, which no kernel of the card takes together: convert both "
                    "to one type, or use the CPU",
                    layer_index, ash_dtype_name(op->part[0].w.dtype), ash_dtype_name(op->part[1].w.dtype));
}

static ash_status check_model(const ashlar_model *m, uint32_t first, ash_error *err)
{
    const ash_hparams *h = &m->meta.h;
    const ash_gfx_kernel *attend = ash_gfx_kernel_find(ASH_GFX_OP_ATTEND_PREFILL, ASH_DTYPE_COUNT, h->head_dim);
    if (!attend || attend->variant != h->head_dim) /* prefill has no room to spare */
        return ash_fail(err, ASH_E_UNSUPPORTED, "heads of %u elements: the card has no kernel for them, use the CPU",
                        h->head_dim);
    for (uint32_t i = first; i < h->layers; i++) {
        ASH_TRY(check_linear(&m->layers[i].qkv, i, ASH_ROLE_QKV, err));
        ASH_TRY(check_linear(&m->layers[i].o, i, ASH_ROLE_O, err));
        ASH_TRY(check_linear(&m->layers[i].gate_up, i, ASH_ROLE_GATE_UP, err));
        ASH_TRY(check_pair(&m->layers[i].gate_up, i, err));
        ASH_TRY(check_linear(&m->layers[i].down, i, ASH_ROLE_DOWN, err));
    }
    return check_linear(&m->output, ASH_NO_LAYER, ASH_ROLE_OUTPUT, err);
}

/* What args.h leaves to the host: offsets of 32 bits. */
static ash_status check_sizes(const ash_hip_plan *p, ash_error *err)
{
    const ash_hip_plan_options *o = &p->options;
    uint64_t stride = larger(widest(p), p->qkv_stride);
    if (o->context > ASH_GFX_POSITIONS)
        return ash_fail(err, ASH_E_LIMIT, "a context of %u tokens: the card's kernels take %u at most, ask for less",
                        o->context, ASH_GFX_POSITIONS);
    if (p->head_stride * p->model->meta.h.kv_heads > UINT32_MAX)
        return ash_fail(err, ASH_E_LIMIT,
                        "a context of %u tokens: the card's kernels take no more than %u elements of a layer's keys, "
                        "ask for less", o->context, UINT32_MAX);
    if (o->batch * stride > UINT32_MAX)
        return ash_fail(err, ASH_E_LIMIT, "passes of %u tokens: the card's kernels take %u of this model at most, ask "
                        "for less", o->batch, (uint32_t)(UINT32_MAX / stride));
    return ASH_OK;
}

static ash_status set_up(ash_hip_plan *p, ash_error *err)
{
    const ashlar_model *m = p->model;
    const ash_hparams *h = &m->meta.h;
    ASH_TRY(check_model(m, p->options.first_layer, err));
    size_t data_bytes;
    p->data = ash_file_section_bytes(m->file, ASH_SECTION_DATA, &data_bytes);
    ASH_TRY(find_extents(p, err));
    p->x_stride = (uint32_t)ash_pad_cols(h->hidden);
    p->qkv_stride = (uint32_t)ash_pad_cols(m->layers[0].qkv.row_elems);
    p->attn_stride = (uint32_t)ash_pad_cols((int64_t)h->heads * h->head_dim);
    p->h_stride = (uint32_t)ash_pad_cols(h->ffn);
    p->logits_stride = (uint32_t)ash_pad_cols(m->output.row_elems);
    p->splits = ash_gfx_attend_splits(h->kv_heads, p->options.context);
    p->cache_stride = ash_div_up(h->head_dim, 16) * 16; /* so that head_stride is a multiple of 16 too */
    p->cache_rows = ash_div_up(p->options.context, ASH_GFX_CACHE_ROWS) * ASH_GFX_CACHE_ROWS;
    p->head_stride = p->cache_stride * p->cache_rows;
    ASH_TRY(check_sizes(p, err));
    p->layers = calloc(h->layers, sizeof *p->layers);
    if (!p->layers)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the plan of %u layers", h->layers);
    find_needs(p);
    place_constants(p);
    place_workspace(p);
    uint64_t half;
    if (p->constants.overflow || p->workspace.overflow || !cache_half_bytes(p, &half) || half > UINT64_MAX / 2)
        return ash_fail(err, ASH_E_LIMIT, "a context of %u tokens needs more memory than can be named: ask for less",
                        p->options.context);
    return ASH_OK;
}

ash_status ash_hip_plan_new(const ashlar_model *model, const ash_hip_plan_options *options, ash_hip_plan **out,
                            ash_error *err)
{
    *out = NULL;
    if (options->context == 0 || options->batch == 0)
        return ash_fail(err, ASH_E_ARGUMENT, "a context of %u tokens in passes of %u: both must be at least 1",
                        options->context, options->batch);
    if (options->first_layer >= model->meta.h.layers)
        return ash_fail(err, ASH_E_ARGUMENT, "%u layers for the CPU: the model has %u, and the card needs one",
                        options->first_layer, model->meta.h.layers);
    ash_hip_plan *p = calloc(1, sizeof *p);
    if (!p)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for a plan");
    p->model = model;
    p->options = *options;
    ash_status status = set_up(p, err);
    if (status != ASH_OK) {
        ash_hip_plan_free(p);
        return status;
    }
    *out = p;
    return ASH_OK;
}

void ash_hip_plan_free(ash_hip_plan *plan)
{
    if (plan) {
        free(plan->layers);
        free(plan->extents);
    }
    free(plan);
}

ash_hip_plan_memory ash_hip_plan_sizes(const ash_hip_plan *p)
{
    uint64_t half = 0;
    (void)cache_half_bytes(p, &half);
    return (ash_hip_plan_memory){ p->weight_bytes, p->constants.used, p->workspace.used, 2 * half };
}

void ash_hip_plan_place(ash_hip_plan *p, const ash_hip_plan_memory *at, void *constants)
{
    p->at = *at;
    p->fill = constants;
    place_constants(p);
    p->fill = NULL;
    place_workspace(p);
}

ash_hip_plan_io ash_hip_plan_places(const ash_hip_plan *p)
{
    return (ash_hip_plan_io){ .step = p->step,
                              .x = p->x,
                              .logits = p->logits,
                              .values = p->values,
                              .ids = p->ids,
                              .row_steps = p->row_steps,
                              .x_stride = p->x_stride,
                              .logits_stride = p->logits_stride };
}
