/* One pass through the model. All threads run the same function and meet at barriers; the units of a phase
 * (panels, tokens, heads) are shared out (ash_pool_take), and no result depends on who computes which.
 *
 * A layer, with | for a barrier:
 *   one token    norm, quantize (each thread for itself), qkv | rotate, store, attention (attend.c) |
 *                quantize, output, add to x | norm, quantize, gate and up, SwiGLU | quantize, down, add to x |
 *   more tokens  the same, and every preparation of inputs is a phase of its own, shared by tokens
 */
#include <string.h>

#include "runtime/pass.h"

/* Weight bytes of the smallest piece of a decode product: some microseconds of reading. */
#define PIECE_BYTES (24 * 1024)

typedef ash_pass pass;

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- inputs ---- */

static void quantize_row(const ash_kernels *k, const ash_acts *to, int64_t t)
{
    int64_t at = t * to->stride;
    int8_t *q8 = (int8_t *)to->q8 + at;
    float *scale = (float *)to->q8_scale + at / 32;
    int16_t *sum = (int16_t *)to->q8_sum + at / 16;
    if (to->q8_fine)
        k->quantize_fine(to->f32 + at, to->stride, q8, scale, sum, to->tokens * to->stride);
    else
        k->quantize_q8(to->f32 + at, to->stride, to->q8_wide ? ASH_Q8_WIDE : 32, q8, scale, sum);
}

/* One token's row of one input: normalized (or copied), rounded for FP8, quantized. */
static void prepare_row(const ashlar_session *s, const ash_acts *to, int64_t t, const float *from, const float *norm,
                        ash_op_input input)
{
    const ash_kernels *k = &s->kernels;
    float *f32 = (float *)to->f32 + t * to->stride;
    if (f32 != from) {
        if (norm)
            k->rms_norm(from, norm, to->cols, s->model->meta.h.norm_eps, f32);
        else
            memcpy(f32, from, (size_t)to->cols * sizeof *f32);
        memset(f32 + to->cols, 0, (size_t)(to->stride - to->cols) * sizeof *f32); /* another operation's columns */
    }
    if (input.rounding == ASH_ROUND_STATIC) {
        k->round_e4m3(f32, to->cols, input.scale);
    } else if (input.rounding == ASH_ROUND_TOKEN) {
        float scale = k->max_abs(f32, to->cols) / 448; /* the largest becomes e4m3's largest */
        if (scale > 0)
            k->round_e4m3(f32, to->cols, scale);
    }
    if (to->q8)
        quantize_row(k, to, t);
    if (to->bf16)
        k->to_bf16(f32, to->stride, (uint16_t *)to->bf16 + t * to->stride);
}

/* Fills acts[i] for each distinct input of `op` from rows of `from`, whose stride is ash_pad_cols(op->cols) and whose
 * padding is zero. With one token each thread works on buffers of its own and no one waits; else tokens are shared out and
 * a barrier follows. */
static void prepare(pass *p, uint32_t thread, const ash_linear *op, const float *from, int64_t tokens,
                    const float *norm, ash_acts acts[ASH_PARTS_MAX])
{
    ashlar_session *s = p->s;
    int64_t stride = ash_pad_cols(op->cols);
    bool anything = false;
    for (uint32_t i = 0; i < op->input_count; i++) {
        ash_acts_buffer b = (tokens == 1 ? s->thread[thread].input : s->shared)[i];
        bool copy = norm || op->input[i].rounding != ASH_ROUND_NONE, q8 = false, bf16 = false;
        for (uint32_t j = 0; j < op->part_count; j++) {
            q8 = q8 || (op->part[j].input == i && ash_runs_in_q8(s, &op->part[j]));
            bf16 = bf16 || (op->part[j].input == i && ash_runs_in_bf16(s, &op->part[j]));
        }
        acts[i] = q8 ? ash_q8_inputs(s, op, tokens) : (ash_acts){ .tokens = tokens };
        acts[i].cols = op->cols;
        acts[i].stride = stride;
        acts[i].f32 = copy ? b.f32 : from;
        if (q8) {
            acts[i].q8 = b.q8;
            acts[i].q8_scale = b.q8_scale;
            acts[i].q8_sum = b.q8_sum;
        }
        acts[i].bf16 = bf16 ? b.bf16 : NULL;
        anything = anything || copy || q8 || bf16;
    }
    if (!anything)
        return;
    int64_t first = 0, count = 1;
    while (tokens == 1 || ash_pool_take(s->pool, thread, tokens, 1, 16, &first, &count)) {
        for (int64_t t = first; t < first + count; t++) {
            for (uint32_t i = 0; i < op->input_count; i++)
                prepare_row(s, &acts[i], t, from + t * stride, norm, op->input[i]);
        }
        spent(p, thread, ASH_SLOT_INPUTS);
        if (tokens == 1)
            return;
    }
    meet(p, thread);
}

/* What goes into `op`, to the session's observer. The acts stay as they are until every thread has passed the barrier
 * that ends the operation, and thread 0 comes there after this. */
static void observe(const pass *p, uint32_t thread, uint32_t layer, ash_role role, const ash_linear *op,
                    const ash_acts *acts)
{
    const ashlar_session *s = p->s;
    if (s->observer && thread == 0)
        s->observer(s->observer_context, &(ash_observation){ .layer = layer, .role = role, .x = acts->f32,
                                                             .tokens = acts->tokens, .cols = op->cols,
                                                             .stride = acts->stride });
}

/* ---- products ---- */

static void multiply(ashlar_session *s, uint32_t thread, const ash_part *part, int64_t first, int64_t count,
                     const ash_acts *acts, float *y, int64_t y_token_stride, int64_t y_panel_stride)
{
    ash_matmul_fn *fn = (ash_runs_in_q8(s, part) ? s->kernels.matmul_q8
                         : ash_runs_in_bf16(s, part) ? s->kernels.matmul_bf16 : s->kernels.matmul_f32)[part->w.dtype];
    fn(&part->w, first, count, &acts[part->input], y, y_token_stride, y_panel_stride, s->thread[thread].scratch);
}

/* The smallest piece worth taking of a share, in panels: enough bytes when one token streams the weights, else enough panels
 * for a kernel to share unpacked tiles and broadcasts among. */
static int64_t least_panels(const ash_linear *op, int64_t tokens)
{
    return tokens > 1 ? 4 : at_least(PIECE_BYTES / op->part[0].w.panel_bytes, 1);
}

/* y rows as they come: all parts' panels in one line. */
static void product(pass *p, uint32_t thread, const ash_linear *op, int64_t tokens, const ash_acts *acts, float *y,
                    int64_t y_token_stride)
{
    ashlar_session *s = p->s;
    int64_t total = 0, first, count;
    for (uint32_t i = 0; i < op->part_count; i++)
        total += op->part[i].panels;
    while (ash_pool_take(s->pool, thread, total, least_panels(op, tokens), INT64_MAX, &first, &count)) {
        int64_t base = 0;
        for (uint32_t i = 0; i < op->part_count && count > 0; base += op->part[i].panels, i++) {
            const ash_part *part = &op->part[i];
            if (first >= base + part->panels)
                continue;
            int64_t panel = first - base, n = at_most(count, part->panels - panel);
            multiply(s, thread, part, panel, n, acts, y + part->y_first + panel * part->y_panel_stride,
                     y_token_stride, part->y_panel_stride);
            spent(p, thread, ASH_SLOT_PART + i);
            first += n;
            count -= n;
        }
    }
    meet(p, thread);
}

/* x += W a (+ bias), a few panels at a time: whoever computes rows of the product adds them. */
static void product_residual(pass *p, uint32_t thread, const ash_linear *op, const ash_acts *acts, const float *bias)
{
    ashlar_session *s = p->s;
    int64_t tokens = p->tokens, total = op->part[0].panels, first, count;
    int64_t most = at_least(ASH_THREAD_ROW_ELEMS / (tokens * ASH_PANEL_ROWS), 1);
    float *y = s->thread[thread].y;
    while (ash_pool_take(s->pool, thread, total, at_most(least_panels(op, tokens), most), most, &first, &count)) {
        int64_t n = count * ASH_PANEL_ROWS;
        multiply(s, thread, &op->part[0], first, count, acts, y, n, ASH_PANEL_ROWS);
        spent(p, thread, ASH_SLOT_PART);
        for (int64_t t = 0; t < tokens; t++) {
            if (bias)
                s->kernels.add(y + t * n, bias + first * ASH_PANEL_ROWS, n);
            s->kernels.add(s->x + t * s->x_stride + first * ASH_PANEL_ROWS, y + t * n, n);
        }
        spent(p, thread, ASH_SLOT_FOLD);
    }
    meet(p, thread);
}

/* h = silu(gate) up, in pairs of panels, so that gate and up never leave the thread that computes them. */
static void product_swiglu(pass *p, uint32_t thread, const ash_linear *op, const ash_acts *acts)
{
    ashlar_session *s = p->s;
    int64_t tokens = p->tokens, pairs = op->row_elems / (2 * ASH_PANEL_ROWS), first, count;
    int64_t most = at_least(ASH_THREAD_ROW_ELEMS / (tokens * 2 * ASH_PANEL_ROWS), 1);
    int64_t least = at_most(at_least(least_panels(op, tokens) / 2, 1), most);
    float *y = s->thread[thread].y;
    while (ash_pool_take(s->pool, thread, pairs, least, most, &first, &count)) {
        int64_t n = count * 2 * ASH_PANEL_ROWS;
        if (op->part_count == 1) { /* one fused stream: pair i is panels 2 i and 2 i + 1 */
            multiply(s, thread, &op->part[0], 2 * first, 2 * count, acts, y, n, ASH_PANEL_ROWS);
            spent(p, thread, ASH_SLOT_PART);
        } else {
            for (uint32_t i = 0; i < op->part_count; i++) {
                multiply(s, thread, &op->part[i], first, count, acts, y + op->part[i].y_first, n,
                         op->part[i].y_panel_stride);
                spent(p, thread, ASH_SLOT_PART + i);
            }
        }
        for (int64_t t = 0; t < tokens; t++)
            s->kernels.swiglu(y + t * n, count, s->h + t * s->h_stride + first * ASH_PANEL_ROWS);
        spent(p, thread, ASH_SLOT_FOLD);
    }
    meet(p, thread);
}

/* ---- the pass ---- */

static void embed(pass *p, uint32_t thread)
{
    ashlar_session *s = p->s;
    int64_t first, count;
    enter(p, thread, ASH_NO_LAYER, ASH_ROLE_EMBED, NULL, p->tokens);
    while (ash_pool_take(s->pool, thread, p->tokens, 1, 16, &first, &count))
        for (int64_t t = first; t < first + count; t++)
            s->kernels.row[s->model->embed.dtype](&s->model->embed, p->ids[t], s->x + t * s->x_stride);
    spent(p, thread, ASH_SLOT_EMBED);
    meet(p, thread);
}

/* Operations [first, end) of a layer, and the inputs of `end`. */
static void run_layer(pass *p, uint32_t thread, const ash_layer *layer, uint32_t i, ash_layer_op first,
                      ash_layer_op end)
{
    ashlar_session *s = p->s;
    ash_acts acts[ASH_PARTS_MAX];
    if (first == ASH_LAYER_QKV) {
        enter(p, thread, i, ASH_ROLE_QKV, &layer->qkv, p->tokens);
        prepare(p, thread, &layer->qkv, s->x, p->tokens, layer->attn_norm, acts);
        observe(p, thread, i, ASH_ROLE_QKV, &layer->qkv, acts);
        if (end == ASH_LAYER_QKV)
            return;
        product(p, thread, &layer->qkv, p->tokens, acts, s->qkv, s->qkv_stride);
        ash_pass_attention(p, thread, i);
        enter(p, thread, i, ASH_ROLE_O, &layer->o, p->tokens);
        prepare(p, thread, &layer->o, s->attn, p->tokens, NULL, acts);
        observe(p, thread, i, ASH_ROLE_O, &layer->o, acts);
        if (end == ASH_LAYER_O)
            return;
        product_residual(p, thread, &layer->o, acts, layer->o_bias);
    }
    enter(p, thread, i, ASH_ROLE_GATE_UP, &layer->gate_up, p->tokens);
    prepare(p, thread, &layer->gate_up, s->x, p->tokens, layer->ffn_norm, acts);
    observe(p, thread, i, ASH_ROLE_GATE_UP, &layer->gate_up, acts);
    if (end == ASH_LAYER_GATE_UP)
        return;
    product_swiglu(p, thread, &layer->gate_up, acts);
    enter(p, thread, i, ASH_ROLE_DOWN, &layer->down, p->tokens);
    prepare(p, thread, &layer->down, s->h, p->tokens, NULL, acts);
    observe(p, thread, i, ASH_ROLE_DOWN, &layer->down, acts);
    if (end == ASH_LAYER_DOWN)
        return;
    product_residual(p, thread, &layer->down, acts, NULL);
}

static void output(pass *p, uint32_t thread)
{
    ashlar_session *s = p->s;
    const ashlar_model *model = s->model;
    ash_acts acts[ASH_PARTS_MAX];
    int64_t rows = p->logits == ASH_LOGITS_ALL ? p->tokens : 1;
    enter(p, thread, ASH_NO_LAYER, ASH_ROLE_OUTPUT, &model->output, rows);
    prepare(p, thread, &model->output, s->x + (p->tokens - rows) * s->x_stride, rows, model->output_norm, acts);
    observe(p, thread, ASH_NO_LAYER, ASH_ROLE_OUTPUT, &model->output, acts);
    product(p, thread, &model->output, rows, acts, s->logits, s->logits_stride);
}

static void run_thread(void *context, uint32_t thread)
{
    pass *p = context;
    const ashlar_model *model = p->s->model;
    begin(p, thread);
    embed(p, thread);
    for (uint32_t i = 0; i < model->meta.h.layers; i++)
        run_layer(p, thread, &model->layers[i], i, ASH_LAYER_QKV, ASH_LAYER_END);
    if (p->logits != ASH_LOGITS_NONE)
        output(p, thread);
}

void ash_forward(ashlar_session *s, const int32_t *ids, int64_t tokens, ash_logits logits)
{
    ash_pool_run(s->pool, run_thread, &(pass){ .s = s, .ids = ids, .tokens = tokens, .logits = logits });
}

void ash_forward_sessions(ashlar_session *const *sessions, const int32_t *ids, int64_t count)
{
    ash_pool_run(sessions[0]->pool, run_thread, &(pass){ .s = sessions[0], .of = sessions, .ids = ids, .tokens = count,
                                                         .logits = ASH_LOGITS_ALL });
}

/* ---- one part of it ---- */

static void embed_thread(void *context, uint32_t thread)
{
    begin(context, thread);
    embed(context, thread);
}

static void layer_thread(void *context, uint32_t thread)
{
    pass *p = context;
    begin(p, thread);
    run_layer(p, thread, p->layer, p->index, p->first, p->end);
}

void ash_forward_embed(ashlar_session *s, const int32_t *ids, int64_t tokens)
{
    ash_pool_run(s->pool, embed_thread, &(pass){ .s = s, .ids = ids, .tokens = tokens });
}

void ash_forward_layer(ashlar_session *s, const ash_layer *layer, uint32_t index, ash_layer_op first, ash_layer_op end,
                       int64_t tokens)
{
    ash_pool_run(s->pool, layer_thread, &(pass){ .s = s, .tokens = tokens, .layer = layer, .index = index,
                                                 .first = first, .end = end });
}
