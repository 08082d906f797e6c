#include "runtime/command/calibrator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/checked.h"
#include "format/tile.h"
#include "quant/calibrate.h"
#include "quant/encode.h"
#include "quant/fp8.h"
#include "runtime/command/spill.h"
#include "runtime/model.h"
#include "runtime/session.h"

#define WINDOW 1024 /* tokens that see each other, BOS included */
#define DAMPING 0.01 /* of the mean diagonal; 0.001 to 0.05 made no difference */

/* One finished matrix. */
typedef struct finished {
    uint32_t role, layer, dtype;
    uint64_t rows, cols, row_bytes;
    uint8_t *bytes; /* in the temporary file */
    uint64_t mapped;
    float *scales;  /* FP8: one, or one a row, padded to whole panels */
    float input;    /* FP8: the scale of its inputs */
} finished;

struct calibrator {
    const calibrator_options *options;
    const ash_blas *blas;
    ashlar_model *model;
    ashlar_session *f, *q; /* float and quantized */
    uint32_t threads;
    windows text;
    int32_t *ids;          /* all windows, one after another, each of at most WINDOW */
    uint32_t *lengths;
    size_t window_count, tokens;
    spill_file spill;
    float *xf, *xq;        /* hidden states, x_stride floats a token */
    uint64_t x_bytes;
    /* The operation at work: its inputs in the batch at work. */
    ash_role wanted;
    float *in_f, *in_q;
    int64_t in_stride;
    ash_hessian hessian;
    ash_fp8_counts *counts; /* of in_q, where an FP8 matrix takes it */
    float counted_max;
    bool counting;
    ash_layer layer;       /* quantized as far as it is done */
    uint8_t *panels[7];    /* what it points to */
    uint32_t panel_count;
    finished *done;
    uint32_t done_count;
    progress p;
    uint64_t passes_done, passes;
    char summary[96];
    ash_error err;
};

/* ---- running the two models ---- */

static void keep_inputs(const calibrator *c, const ash_observation *o, float *to)
{
    if (o->role != c->wanted)
        return;
    for (int64_t t = 0; t < o->tokens; t++)
        memcpy(to + t * c->in_stride, o->x + t * o->stride, (size_t)o->cols * sizeof *to);
}

static void observe_float(void *context, const ash_observation *o)
{
    const calibrator *c = context;
    keep_inputs(c, o, c->in_f);
}

static void observe_quantized(void *context, const ash_observation *o)
{
    const calibrator *c = context;
    keep_inputs(c, o, c->in_q);
}

static ash_status cancelled(calibrator *c)
{
    return interrupted ? ash_fail(&c->err, ASH_E_CANCELLED, "cancelled") : ASH_OK;
}

static void step(calibrator *c, size_t tokens)
{
    c->passes_done += tokens;
    if (c->p.terminal) {
        fprintf(stderr, "\r\033[Kcalibrate: %.1f%%, %.0f s", 100 * (double)c->passes_done / (double)c->passes,
                seconds_now() - c->p.started);
        c->p.shown = true;
    }
}

/* What one model runs of a layer: operations [first, end), and whether its hidden states move on. */
typedef struct stretch {
    ash_layer_op first, end;
    bool runs, save;
} stretch;

static void run_stretch(const stretch *r, ashlar_session *s, const ash_layer *layer, uint32_t index, uint32_t position,
                        float *x, uint32_t n)
{
    size_t bytes = n * (size_t)s->x_stride * sizeof *x;
    if (!r->runs)
        return;
    s->position = position;
    memcpy(s->x, x, bytes);
    ash_forward_layer(s, layer, index, r->first, r->end, n);
    if (r->save)
        memcpy(x, s->x, bytes);
}

/* Inputs as they are before they are rounded: what rounding adds to the moments is far below the damping. */
static void count_inputs(calibrator *c, int64_t tokens)
{
    for (int64_t t = 0; c->counting && t < tokens; t++) {
        const float *x = c->in_q + t * c->in_stride;
        float most = c->q->kernels.max_abs(x, c->hessian.cols);
        if (!isfinite(most))
            continue; /* the moments will say so */
        ash_fp8_count(c->counts, x, c->hessian.cols);
        c->counted_max = most > c->counted_max ? most : c->counted_max;
    }
}

static void add_inputs(calibrator *c, float *in_f, int64_t tokens)
{
    count_inputs(c, tokens);
    ash_hessian_add(&c->hessian, c->blas, in_f, c->in_q, tokens, c->in_stride, c->threads);
}

/* Moments and counts of an operation's inputs, empty. */
static ash_status begin_moments(calibrator *c, int64_t cols, bool counting)
{
    c->counting = counting;
    c->counted_max = 0;
    if (counting && !c->counts)
        c->counts = malloc(sizeof *c->counts);
    if (counting && !c->counts)
        return ash_fail(&c->err, ASH_E_MEMORY, "out of memory");
    if (counting)
        memset(c->counts, 0, sizeof *c->counts);
    return ash_hessian_init(&c->hessian, cols, &c->err);
}

/* Runs all tokens through both models. The inputs of `wanted` (ASH_ROLE_OTHER: none) go into c->hessian. */
static ash_status run_pass(calibrator *c, uint32_t layer, const stretch *f, const stretch *q, ash_role wanted)
{
    int64_t stride = c->f->x_stride;
    size_t at = 0;
    c->wanted = wanted;
    for (size_t w = 0; w < c->window_count; w++) {
        ASH_TRY(cancelled(c));
        for (uint32_t done = 0; done < c->lengths[w];) {
            uint32_t n = c->lengths[w] - done < ASH_BATCH ? c->lengths[w] - done : ASH_BATCH;
            run_stretch(f, c->f, &c->model->layers[layer], layer, done, c->xf + (int64_t)at * stride, n);
            run_stretch(q, c->q, &c->layer, layer, done, c->xq + (int64_t)at * stride, n);
            if (wanted != ASH_ROLE_OTHER)
        add_inputs(c, c->in_f, n);
            done += n;
            at += n;
            step(c, n);
        }
    }
    return ASH_OK;
}

/* ---- one matrix ---- */

typedef struct rows_of {
    const ash_kernels *kernels;
    ash_matrix w;
} rows_of;

static void weights(void *context, int64_t row, float *out)
{
    const rows_of *r = context;
    r->kernels->row[r->w.dtype](&r->w, row, out);
}

static uint32_t type_of(const calibrator *c, uint32_t role, uint32_t layer)
{
    return c->options->type_of(c->options->context, role, layer);
}

/* Whether a matrix is quantized here. One that has its type already stays as it is, as the converter keeps it; an FP8
 * embedding is the converter's too. */
static bool calibrated(const calibrator *c, uint32_t role, uint32_t layer, const ash_matrix *w)
{
    uint32_t type = type_of(c, role, layer);
    return ash_calibratable(type) && type != (uint32_t)w->dtype && (type != ASH_F8_E4M3 || role != ASH_ROLE_EMBED);
}

/* Quantizes one matrix with the moments at hand; *out: how the session may use it. */
static ash_status quantize_matrix(calibrator *c, uint32_t role, uint32_t layer, const ash_matrix *w, finished **out)
{
    rows_of r = { .kernels = &c->f->kernels, .w = *w };
    uint64_t bytes;
    void *p;
    finished *d = &c->done[c->done_count];
    *d = (finished){ .role = role, .layer = layer, .dtype = type_of(c, role, layer), .rows = (uint64_t)r.w.rows,
                     .cols = (uint64_t)r.w.cols };
    if (!ash_row_bytes(d->dtype, d->cols, &d->row_bytes) || !ash_mul(d->rows, d->row_bytes, &bytes))
        return ash_fail(&c->err, ASH_E_LIMIT, "a matrix is too large");
    ASH_TRY(spill_map(&c->spill, bytes, &p, &c->err));
    d->bytes = p;
    (void)ash_round_up(bytes, SPILL_ALIGN, &d->mapped);
    bool fp8 = d->dtype == ASH_F8_E4M3;
    d->scales = fp8 ? calloc(ash_div_up(d->rows, ASH_PANEL_ROWS) * ASH_PANEL_ROWS, sizeof *d->scales) : NULL;
    if (fp8 && !d->scales)
        return ash_fail(&c->err, ASH_E_MEMORY, "out of memory for %llu scales", (unsigned long long)d->rows);
    d->input = fp8 ? ash_fp8_scale(c->counts, c->counted_max) : 0;
    c->done_count++;
    ash_calibrate_matrix m = { .scales = d->scales, .scale_by_row = c->options->fp8_row, .dtype = (ash_dtype)d->dtype, .rows = r.w.rows, .weights = weights, .context = &r,
                               .out = d->bytes };
    ASH_TRY(ash_calibrate(&c->f->kernels, c->blas, &c->hessian, &m, c->threads, &c->err));
    *out = d;
    return ASH_OK;
}

/* The finished rows as the panels that kernels take. */
static ash_status pack(calibrator *c, const finished *d, ash_matrix *out)
{
    uint64_t panel, panels = ash_div_up(d->rows, ASH_PANEL_ROWS);
    if (!ash_panel_bytes(d->dtype, d->cols, &panel))
        return ash_fail(&c->err, ASH_E_LIMIT, "a matrix is too large");
    uint8_t *data = aligned_alloc(64, ash_div_up(panels * panel, 64) * 64);
    if (!data)
        return ash_fail(&c->err, ASH_E_MEMORY, "out of memory for a matrix of %llu rows", (unsigned long long)d->rows);
    c->panels[c->panel_count++] = data;
    for (uint64_t i = 0; i < panels; i++) {
        const uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
        for (uint64_t k = 0; k < ASH_PANEL_ROWS && i * ASH_PANEL_ROWS + k < d->rows; k++)
            rows[k] = d->bytes + (i * ASH_PANEL_ROWS + k) * d->row_bytes;
        ash_tile_pack(d->dtype, d->cols, rows, data + i * panel);
    }
    *out = (ash_matrix){ .dtype = (ash_dtype)d->dtype, .data = data, .rows = (int64_t)d->rows,
                         .cols = (int64_t)d->cols, .panel_bytes = (int64_t)panel, .scale = d->scales,
                         .scale_kind = !d->scales ? ASH_SCALE_NONE : c->options->fp8_row ? ASH_SCALE_ROW
                                                                                        : ASH_SCALE_TENSOR };
    return ASH_OK;
}

static void release_panels(calibrator *c)
{
    while (c->panel_count)
        free(c->panels[--c->panel_count]);
}

/* ---- one operation ---- */

/* The quantized model runs half a layer twice: up to an operation whose matrices are still to come, and again when they
 * are there. The float model runs it once and goes ahead. */
typedef struct operation {
    ash_role role;      /* as observed */
    uint32_t roles[3];  /* its matrices */
    uint32_t role_count;
    stretch f, q;       /* what runs to see its inputs */
} operation;

static const operation operations[] = {
    { ASH_ROLE_QKV, { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V }, 3,
      { ASH_LAYER_QKV, ASH_LAYER_QKV, true, false }, { ASH_LAYER_QKV, ASH_LAYER_QKV, true, false } },
    { ASH_ROLE_O, { ASH_ROLE_O }, 1,
      { ASH_LAYER_QKV, ASH_LAYER_GATE_UP, true, true }, { ASH_LAYER_QKV, ASH_LAYER_O, true, false } },
    { ASH_ROLE_GATE_UP, { ASH_ROLE_GATE, ASH_ROLE_UP }, 2,
      { ASH_LAYER_GATE_UP, ASH_LAYER_GATE_UP, true, false }, { ASH_LAYER_QKV, ASH_LAYER_GATE_UP, true, true } },
    { ASH_ROLE_DOWN, { ASH_ROLE_DOWN }, 1,
      { ASH_LAYER_GATE_UP, ASH_LAYER_END, true, true }, { ASH_LAYER_GATE_UP, ASH_LAYER_DOWN, true, false } },
};
static const stretch none = { 0 }, last = { ASH_LAYER_GATE_UP, ASH_LAYER_END, true, true };

static ash_linear *linear_of(ash_layer *layer, ash_role role)
{
    return role == ASH_ROLE_QKV ? &layer->qkv : role == ASH_ROLE_O ? &layer->o
         : role == ASH_ROLE_GATE_UP ? &layer->gate_up : &layer->down;
}

/* The operation with its matrices one by one, as runtime/model.h lays out their outputs. */
static void rebuild(const calibrator *c, const operation *o, const ash_matrix w[3], const ash_op_input in[3],
                    ash_linear *op)
{
    const int64_t first[2][3] = { { 0, c->model->k_first, c->model->v_first }, { 0, ASH_PANEL_ROWS, 0 } };
    bool pairs = o->role == ASH_ROLE_GATE_UP;
    op->part_count = o->role_count;
    op->input_count = 0;
    for (uint32_t i = 0; i < o->role_count; i++) {
        uint32_t at = 0;
        while (at < op->input_count && (op->input[at].rounding != in[i].rounding || op->input[at].scale != in[i].scale))
            at++;
        if (at == op->input_count)
            op->input[op->input_count++] = in[i];
        op->part[i] = (ash_part){ .w = w[i], .panels = (int64_t)ash_div_up((uint64_t)w[i].rows, ASH_PANEL_ROWS),
                                  .y_first = first[pairs][i],
                                  .y_panel_stride = pairs ? 2 * ASH_PANEL_ROWS : ASH_PANEL_ROWS, .input = at };
    }
}

static ash_status run_operation(calibrator *c, uint32_t layer, const operation *o)
{
    ash_matrix w[3];
    ash_op_input in[3] = { { 0 } };
    bool wanted[3], any = false, fp8 = false;
    for (uint32_t i = 0; i < o->role_count; i++) {
        ASH_TRY(ash_model_matrix(c->model, layer, o->roles[i], &w[i], &c->err));
        wanted[i] = calibrated(c, o->roles[i], layer, &w[i]);
        any = any || wanted[i];
        fp8 = fp8 || (wanted[i] && type_of(c, o->roles[i], layer) == ASH_F8_E4M3);
    }
    if (!any) /* hidden states move on all the same */
        return o->f.save || o->q.save ? run_pass(c, layer, &o->f, &o->q, ASH_ROLE_OTHER) : ASH_OK;
    ASH_TRY(begin_moments(c, w[0].cols, fp8));
    ASH_TRY(run_pass(c, layer, &o->f, &o->q, o->role));
    ASH_TRY(ash_hessian_solve(&c->hessian, c->blas, DAMPING, c->threads, &c->err));
    for (uint32_t i = 0; i < o->role_count; i++)
        if (wanted[i]) {
            finished *d;
            ASH_TRY(quantize_matrix(c, o->roles[i], layer, &w[i], &d));
            ASH_TRY(pack(c, d, &w[i]));
            in[i] = (ash_op_input){ d->scales ? ASH_ROUND_STATIC : ASH_ROUND_NONE, d->input };
        }
    ash_hessian_free(&c->hessian);
    rebuild(c, o, w, in, linear_of(&c->layer, o->role));
    return ASH_OK;
}

static ash_status run_layer(calibrator *c, uint32_t layer)
{
    c->layer = c->model->layers[layer];
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        ASH_TRY(run_operation(c, layer, &operations[i]));
    ASH_TRY(run_pass(c, layer, &none, &last, ASH_ROLE_OTHER));
    release_panels(c);
    return ASH_OK;
}

/* ---- before and after the layers ---- */

/* Hidden states at the start: the embedding, plain and as the converter will encode it. */
static ash_status embed(calibrator *c)
{
    const ash_matrix *e = &c->model->embed;
    const ash_kernels *kernels = &c->f->kernels;
    uint32_t dtype = type_of(c, ASH_ROLE_EMBED, ASH_NO_LAYER);
    int64_t stride = c->f->x_stride;
    uint64_t bytes;
    /* What FP8 leaves of an embedding is not known before its scale is. */
    bool encode = ash_encodable(dtype) && dtype != e->dtype && dtype != ASH_F8_E4M3;
    uint8_t *own = ash_row_bytes(encode ? dtype : ASH_F32, (uint64_t)e->cols, &bytes) ? malloc(bytes) : NULL;
    ash_status status = own ? ASH_OK : ash_fail(&c->err, ASH_E_MEMORY, "out of memory");
    for (size_t t = 0; t < c->tokens && status == ASH_OK; t++) {
        float *xf = c->xf + (int64_t)t * stride, *xq = c->xq + (int64_t)t * stride;
        kernels->row[e->dtype](e, c->ids[t], xf);
        const uint8_t *row = calibrator_row(c, ASH_ROLE_EMBED, ASH_NO_LAYER, (uint64_t)c->ids[t], dtype);
        if (encode && !row)
            status = ash_encode_row(kernels, (ash_dtype)dtype, xf, NULL, e->cols, own, &c->err);
        if (encode && status == ASH_OK)
            ash_decode_row((ash_dtype)dtype, row ? row : own, e->cols, xq);
        else
            memcpy(xq, xf, (size_t)e->cols * sizeof *xq);
    }
    free(own);
    return status;
}

static void final_norm(const calibrator *c, const float *x, int64_t tokens, float *out)
{
    const ash_hparams *h = &c->model->meta.h;
    for (int64_t t = 0; t < tokens; t++)
        c->f->kernels.rms_norm(x + t * c->f->x_stride, c->model->output_norm, h->hidden, h->norm_eps,
                               out + t * c->in_stride);
}

/* Where the embedding is the output matrix too it must be there before the first layer runs: for the output's inputs,
 * where it matters more, as the float model has them. */
static ash_status run_tied(calibrator *c)
{
    const ash_hparams *h = &c->model->meta.h;
    const ash_matrix *e = &c->model->embed;
    finished *d;
    size_t at = 0;
    if (!h->tied_output || !calibrated(c, ASH_ROLE_EMBED, ASH_NO_LAYER, e))
        return ASH_OK;
    ASH_TRY(begin_moments(c, h->hidden, false));
    c->wanted = ASH_ROLE_OTHER;
    for (size_t w = 0; w < c->window_count; w++) {
        ASH_TRY(cancelled(c));
        for (uint32_t done = 0; done < c->lengths[w];) {
            uint32_t n = c->lengths[w] - done < ASH_BATCH ? c->lengths[w] - done : ASH_BATCH;
            c->f->position = done;
            ash_forward_embed(c->f, c->ids + at, n);
            for (uint32_t i = 0; i < h->layers; i++)
                ash_forward_layer(c->f, &c->model->layers[i], i, ASH_LAYER_QKV, ASH_LAYER_END, n);
            final_norm(c, c->f->x, n, c->in_q);
            add_inputs(c, NULL, n);
            done += n;
            at += n;
        }
    }
    ASH_TRY(ash_hessian_solve(&c->hessian, c->blas, DAMPING, c->threads, &c->err));
    ASH_TRY(quantize_matrix(c, ASH_ROLE_EMBED, ASH_NO_LAYER, e, &d));
    ash_hessian_free(&c->hessian);
    return ASH_OK;
}

static ash_status run_output(calibrator *c)
{
    const ash_hparams *h = &c->model->meta.h;
    finished *d;
    ash_matrix w;
    if (h->tied_output)
        return ASH_OK;
    ASH_TRY(ash_model_matrix(c->model, ASH_NO_LAYER, ASH_ROLE_OUTPUT, &w, &c->err));
    if (!calibrated(c, ASH_ROLE_OUTPUT, ASH_NO_LAYER, &w))
        return ASH_OK;
    ASH_TRY(begin_moments(c, h->hidden, type_of(c, ASH_ROLE_OUTPUT, ASH_NO_LAYER) == ASH_F8_E4M3));
    int64_t stride = c->f->x_stride;
    for (size_t at = 0; at < c->tokens; at += ASH_BATCH) {
        ASH_TRY(cancelled(c));
        int64_t n = c->tokens - at < ASH_BATCH ? (int64_t)(c->tokens - at) : ASH_BATCH;
        final_norm(c, c->xf + (int64_t)at * stride, n, c->in_f);
        final_norm(c, c->xq + (int64_t)at * stride, n, c->in_q);
        add_inputs(c, c->in_f, n);
    }
    ASH_TRY(ash_hessian_solve(&c->hessian, c->blas, DAMPING, c->threads, &c->err));
    ASH_TRY(quantize_matrix(c, ASH_ROLE_OUTPUT, ASH_NO_LAYER, &w, &d));
    ash_hessian_free(&c->hessian);
    return ASH_OK;
}

/* ---- the whole ---- */

static ash_status cut_windows(calibrator *c)
{
    size_t most = c->text.count + c->text.count / (WINDOW - 1) + 2, at = 0, n;
    c->ids = malloc((most + WINDOW) * sizeof *c->ids);
    c->lengths = malloc((c->text.count / (WINDOW - 1) + 2) * sizeof *c->lengths);
    if (!c->ids || !c->lengths)
        return ash_fail(&c->err, ASH_E_MEMORY, "out of memory for %zu tokens", c->text.count);
    while ((n = windows_next(&c->text, &at, c->ids + c->tokens)) != 0) {
        c->lengths[c->window_count++] = (uint32_t)n;
        c->tokens += n;
    }
    if (c->tokens < 2)
        return ash_fail(&c->err, ASH_E_ARGUMENT, "%s: has too few tokens to calibrate with", c->options->text);
    return ASH_OK;
}

static ash_status prepare(calibrator *c)
{
    const ash_hparams *h = &c->model->meta.h;
    void *p;
    ASH_TRY(ash_blas_load(&c->blas, &c->err));
    ASH_TRY(cut_windows(c));
    snprintf(c->summary, sizeof c->summary, "xxh3-128 %s, %zu tokens", c->text.hash, c->tokens);
    ASH_TRY(spill_open(&c->spill, c->options->beside, &c->err));
    c->in_stride = c->f->x_stride;
    c->in_stride = c->f->attn_stride > c->in_stride ? c->f->attn_stride : c->in_stride;
    c->in_stride = c->f->h_stride > c->in_stride ? c->f->h_stride : c->in_stride;
    c->in_f = calloc(ASH_BATCH * (size_t)c->in_stride, sizeof *c->in_f);
    c->in_q = calloc(ASH_BATCH * (size_t)c->in_stride, sizeof *c->in_q);
    c->done = calloc((size_t)h->layers * 7 + 2, sizeof *c->done);
    if (!c->in_f || !c->in_q || !c->done)
        return ash_fail(&c->err, ASH_E_MEMORY, "out of memory for the inputs of %d tokens", ASH_BATCH);
    if (!ash_mul(c->tokens, (uint64_t)c->f->x_stride * sizeof(float), &c->x_bytes))
        return ash_fail(&c->err, ASH_E_MEMORY, "the calibration needs too much memory; use fewer --calibrate-tokens");
    ASH_TRY(spill_map(&c->spill, c->x_bytes, &p, &c->err));
    c->xf = p;
    ASH_TRY(spill_map(&c->spill, c->x_bytes, &p, &c->err));
    c->xq = p;
    (void)ash_round_up(c->x_bytes, SPILL_ALIGN, &c->x_bytes);
    c->f->observer = observe_float;
    c->q->observer = observe_quantized;
    c->f->observer_context = c->q->observer_context = c;
    ash_session_announce(c->f, WINDOW);
    ash_session_announce(c->q, WINDOW);
    c->passes = 5 * (uint64_t)c->tokens * h->layers;
    return ASH_OK;
}

static ash_status run(calibrator *c)
{
    ASH_TRY(prepare(c));
    ASH_TRY(run_tied(c));
    ASH_TRY(embed(c));
    for (uint32_t i = 0; i < c->model->meta.h.layers; i++)
        ASH_TRY(run_layer(c, i));
    return run_output(c);
}

/* What only the run needs. */
static void release_run(calibrator *c)
{
    release_panels(c);
    ash_hessian_free(&c->hessian);
    if (c->xf)
        munmap(c->xf, c->x_bytes);
    if (c->xq)
        munmap(c->xq, c->x_bytes);
    free(c->in_f);
    free(c->in_q);
    free(c->counts);
    free(c->ids);
    free(c->lengths);
    windows_close(&c->text);
    ashlar_session_free(c->f);
    ashlar_session_free(c->q);
    ashlar_model_free(c->model);
    c->xf = c->xq = c->in_f = c->in_q = NULL, c->counts = NULL;
    c->ids = NULL, c->lengths = NULL;
    c->f = c->q = NULL, c->model = NULL;
}

calibrator *calibrate_model(const calibrator_options *options)
{
    ashlar_error err;
    calibrator *c = calloc(1, sizeof *c);
    if (!c) {
        fail("out of memory");
        return NULL;
    }
    c->options = options;
    c->spill.fd = -1;
    c->threads = options->threads ? options->threads : ash_cpu_count();
    ashlar_session_options so = { .context = WINDOW, .threads = c->threads, .activations = ASHLAR_ACT_FLOAT };
    bool ok = false;
    int status = ashlar_model_load(options->model, &c->model, &err);
    if (options->unlink_model)
        unlink(options->model);
    if (status != ASHLAR_OK || ashlar_session_new(c->model, &so, &c->f, &err) != ASHLAR_OK ||
        ashlar_session_new(c->model, &so, &c->q, &err) != ASHLAR_OK) {
        fail_public(&err);
    } else if (windows_open(&c->text, c->model, options->text, 0, options->tokens, WINDOW)) {
        progress_start(&c->p, "calibrate");
        ok = run(c) == ASH_OK;
        progress_end(&c->p);
        if (!ok)
            fail_with(&c->err);
    }
    release_run(c);
    if (ok)
        return c;
    calibrator_free(c);
    return NULL;
}

const uint8_t *calibrator_row(void *context, uint32_t role, uint32_t layer, uint64_t row, uint32_t dtype)
{
    const calibrator *c = context;
    for (uint32_t i = 0; i < c->done_count; i++) {
        const finished *d = &c->done[i];
        if (d->role == role && d->layer == layer && d->dtype == dtype && row < d->rows)
            return d->bytes + row * d->row_bytes;
    }
    return NULL;
}

bool calibrator_scales(void *context, uint32_t role, uint32_t layer, const float **weight, float *input)
{
    const calibrator *c = context;
    for (uint32_t i = 0; i < c->done_count; i++)
        if (c->done[i].role == role && c->done[i].layer == layer && c->done[i].scales) {
            *weight = c->done[i].scales;
            *input = c->done[i].input;
            return true;
        }
    return false;
}

const char *calibrator_summary(const calibrator *c) { return c->summary; }

void calibrator_free(calibrator *c)
{
    if (!c)
        return;
    release_run(c);
    for (uint32_t i = 0; c->done && i < c->done_count; i++) {
        munmap(c->done[i].bytes, c->done[i].mapped);
        free(c->done[i].scales);
    }
    free(c->done);
    spill_close(&c->spill);
    free(c);
}
