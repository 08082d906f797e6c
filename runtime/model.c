/* Opens an .ashlar file and finds every tensor that the architecture needs. The reader has checked the records against
 * the format; here they are checked against the model's own sizes. */
#include "runtime/model.h"

#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/directory.h"
#include "runtime/api.h"
#include "runtime/prefetch.h"

#define ROLES ASH_ROLE_COUNT
#define DAMAGED "the file is damaged, convert again"

/* Tensor index by layer and role; row `layers` holds those outside the layers. */
typedef struct directory {
    ashlar_model *model;
    const ash_hparams *h;
    uint32_t *slots;
} directory;

/* A role's rows: a tensor of its own, or a member of a fused one. */
typedef struct view {
    const ash_tensor_record *tensor;
    const ash_member_record *member;
} view;

ash_status ash_model_floats(ashlar_model *model, uint64_t count, float **out, ash_error *err)
{
    uint64_t bytes;
    if (!ash_mul(count, sizeof(float), &bytes) || !ash_round_up(bytes, 64, &bytes) || bytes > SIZE_MAX / 2)
        return ash_fail(err, ASH_E_MEMORY, "out of memory: %llu values", (unsigned long long)count);
    if ((model->owned_count & (model->owned_count - 1)) == 0) { /* grows at powers of two */
        size_t room = model->owned_count ? 2 * model->owned_count : 1;
        void **grown = realloc(model->owned, room * sizeof *grown);
        if (!grown)
            return ash_fail(err, ASH_E_MEMORY, "out of memory");
        model->owned = grown;
    }
    float *p = aligned_alloc(64, bytes ? bytes : 64);
    if (!p)
        return ash_fail(err, ASH_E_MEMORY, "out of memory: %llu values", (unsigned long long)count);
    memset(p, 0, bytes);
    model->owned[model->owned_count++] = p;
    *out = p;
    return ASH_OK;
}

/* ---- finding tensors ---- */

static uint32_t *slot(const directory *d, uint32_t layer, uint32_t role)
{
    return &d->slots[(size_t)(layer == ASH_NO_LAYER ? d->h->layers : layer) * ROLES + role];
}

static bool outside_layers(uint32_t role) { return role >= ASH_ROLE_EMBED && role <= ASH_ROLE_ROPE_FREQS; }

static ash_status fill_directory(directory *d, ash_error *err)
{
    ash_file *file = d->model->file;
    uint32_t count = ash_file_tensor_count(file);
    if (d->h->layers > count)
        return ash_fail(err, ASH_E_FORMAT, "%u layers but only %u tensors: " DAMAGED, d->h->layers, count);
    size_t slots = ((size_t)d->h->layers + 1) * ROLES;
    d->slots = malloc(slots * sizeof *d->slots);
    if (!d->slots)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %u layers", d->h->layers);
    memset(d->slots, 0xff, slots * sizeof *d->slots); /* ASH_NO_INDEX */
    for (uint32_t i = 0; i < count; i++) {
        const ash_tensor_record *t = ash_file_tensor(file, i);
        if (t->role == ASH_ROLE_OTHER || t->role == ASH_ROLE_SCALE)
            continue;
        if (t->role >= ROLES || outside_layers(t->role) != (t->layer == ASH_NO_LAYER) ||
            (t->layer != ASH_NO_LAYER && t->layer >= d->h->layers))
            return ash_fail(err, ASH_E_FORMAT, "%s has role %u in layer %u of %u: " DAMAGED,
                            ash_file_tensor_name(file, t), t->role, t->layer, d->h->layers);
        uint32_t *s = slot(d, t->layer, t->role);
        if (*s != ASH_NO_INDEX)
            return ash_fail(err, ASH_E_FORMAT, "%s and %s have the same role: " DAMAGED, ash_file_tensor_name(file, t),
                            ash_file_tensor_name(file, ash_file_tensor(file, *s)));
        *s = i;
    }
    return ASH_OK;
}

static ash_status missing(uint32_t layer, uint32_t role, ash_error *err)
{
    if (layer == ASH_NO_LAYER)
        return ash_fail(err, ASH_E_FORMAT, "the model has no %s: " DAMAGED, ash_role_name(role));
    return ash_fail(err, ASH_E_FORMAT, "layer %u has no %s: " DAMAGED, layer, ash_role_name(role));
}

/* A norm or bias; *out stays NULL when an optional one is absent. */
static ash_status find_vector(directory *d, uint32_t layer, uint32_t role, uint64_t count, bool required,
                              const float **out, ash_error *err)
{
    uint32_t index = *slot(d, layer, role);
    if (index == ASH_NO_INDEX)
        return required ? missing(layer, role, err) : ASH_OK;
    return ash_model_vector(d->model, ash_file_tensor(d->model->file, index), count, out, err);
}

/* Checks a matrix tensor against its type's layout. */
static ash_status check_matrix(const directory *d, const ash_tensor_record *t, ash_error *err)
{
    const char *name = ash_file_tensor_name(d->model->file, t);
    const ash_tile_layout *layout = ash_tile_layout_of(t->dtype);
    if (!layout)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "%s is %s, which no matrix can be computed in: convert again with --type", name,
                        ash_dtype_name(t->dtype));
    if (t->layout != layout->id || t->layout_revision != ASH_LAYOUT_REVISION)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "%s has layout %u revision %u, this version reads %u revision %d: convert again", name,
                        t->layout, t->layout_revision, layout->id, ASH_LAYOUT_REVISION);
    uint64_t panel, bytes;
    if (t->dim_count != 2 || t->dims[2] != 1 || t->dims[3] != 1 || t->dims[0] == 0 || t->dims[1] == 0 ||
        t->dims[0] > INT32_MAX || t->dims[1] > INT32_MAX || !ash_panel_bytes(t->dtype, t->dims[0], &panel) ||
        panel != t->panel_bytes || !ash_tiled_bytes(t->dtype, t->dims[1], t->dims[0], &bytes) || bytes != t->size)
        return ash_fail(err, ASH_E_FORMAT, "%s has the wrong size for a matrix of its shape: " DAMAGED, name);
    return ASH_OK;
}

/* Finds a role by itself, or within the fused tensor of role `fused` (OTHER: none), with rows x cols elements. */
static ash_status find_view(directory *d, uint32_t layer, uint32_t role, uint32_t fused, uint64_t rows, uint64_t cols,
                            view *out, ash_error *err)
{
    ash_file *file = d->model->file;
    *out = (view){ 0 };
    uint32_t index = *slot(d, layer, role);
    if (index == ASH_NO_INDEX && fused != ASH_ROLE_OTHER)
        index = *slot(d, layer, fused);
    if (index == ASH_NO_INDEX)
        return missing(layer, role, err);
    out->tensor = ash_file_tensor(file, index);
    for (uint32_t i = 0; i < out->tensor->member_count && !out->member; i++) {
        const ash_member_record *m = ash_file_member(file, out->tensor->member_first + i);
        if (m->role == role)
            out->member = m;
    }
    if (!out->member)
        return missing(layer, role, err);
    ASH_TRY(check_matrix(d, out->tensor, err));
    const ash_member_record *m = out->member;
    uint64_t panels = ash_div_up(out->tensor->dims[1], ASH_PANEL_ROWS), wanted = ash_div_up(rows, ASH_PANEL_ROWS);
    if (m->row_count != rows || out->tensor->dims[0] != cols)
        return ash_fail(err, ASH_E_FORMAT,
                        "%s holds a %s of %llu x %llu where the model's sizes ask for %llu x %llu: " DAMAGED,
                        ash_file_tensor_name(file, out->tensor), ash_role_name(role), (unsigned long long)m->row_count,
                        (unsigned long long)out->tensor->dims[0], (unsigned long long)rows, (unsigned long long)cols);
    if (m->row_first % ASH_PANEL_ROWS != 0 || (m->panel_step != 1 && m->panel_step != 2) ||
        m->row_first / ASH_PANEL_ROWS >= panels ||
        (wanted - 1) * m->panel_step >= panels - m->row_first / ASH_PANEL_ROWS)
        return ash_fail(err, ASH_E_FORMAT, "%s: its %s lies outside of it: " DAMAGED,
                        ash_file_tensor_name(file, out->tensor), ash_role_name(role));
    return ASH_OK;
}

/* ---- building operations ---- */

static uint64_t panels_of(const ash_matrix *w) { return ash_div_up((uint64_t)w->rows, ASH_PANEL_ROWS); }

/* The matrix of one member: every panel_step-th panel of its tensor. */
static ash_status member_matrix(directory *d, view v, ash_matrix *w, ash_error *err)
{
    *w = (ash_matrix){ .dtype = (ash_dtype)v.tensor->dtype,
                       .rows = (int64_t)v.member->row_count,
                       .cols = (int64_t)v.tensor->dims[0],
                       .data = ash_file_data(d->model->file, v.tensor) +
                               v.member->row_first / ASH_PANEL_ROWS * v.tensor->panel_bytes,
                       .panel_bytes = (int64_t)(v.tensor->panel_bytes * v.member->panel_step) };
    return ash_model_weight_scale(d->model, v.tensor, v.member, w, err);
}

ash_status ash_model_matrix(ashlar_model *model, uint32_t layer, uint32_t role, ash_matrix *out, ash_error *err)
{
    directory d = { .model = model, .h = &model->meta.h };
    for (uint32_t i = 0; i < ash_file_tensor_count(model->file); i++) {
        view v = { .tensor = ash_file_tensor(model->file, i) };
        for (uint32_t k = 0; v.tensor->layer == layer && k < v.tensor->member_count; k++) {
            v.member = ash_file_member(model->file, v.tensor->member_first + k);
            if (v.member->role == role && v.tensor->role != ASH_ROLE_SCALE)
                return member_matrix(&d, v, out, err);
        }
    }
    return missing(layer, role, err);
}

/* Adds a matrix to an operation; equal inputs are shared. */
static void add_part(ash_linear *op, const ash_matrix *w, ash_op_input input, int64_t y_first, int64_t y_panel_stride)
{
    uint32_t i = 0;
    while (i < op->input_count && (op->input[i].rounding != input.rounding || op->input[i].scale != input.scale))
        i++;
    if (i == op->input_count)
        op->input[op->input_count++] = input;
    op->cols = w->cols;
    op->part[op->part_count++] = (ash_part){ .w = *w, .panels = (int64_t)panels_of(w), .y_first = y_first,
                                             .y_panel_stride = y_panel_stride, .input = i };
}

static ash_status add_view(directory *d, ash_linear *op, view v, int64_t y_first, int64_t y_panel_stride,
                           ash_error *err)
{
    ash_matrix w;
    ash_op_input input;
    ASH_TRY(member_matrix(d, v, &w, err));
    ASH_TRY(ash_model_input(d->model, v.tensor, v.member, &input, err));
    add_part(op, &w, input, y_first, y_panel_stride);
    return ASH_OK;
}

/* A whole fused tensor as one stream of panels; its rows may end in padding that the output row has room for. */
static void add_whole(directory *d, ash_linear *op, const ash_tensor_record *t, int64_t y_first)
{
    ash_matrix w = { .dtype = (ash_dtype)t->dtype,
                     .data = ash_file_data(d->model->file, t),
                     .rows = (int64_t)t->dims[1],
                     .cols = (int64_t)t->dims[0],
                     .panel_bytes = (int64_t)t->panel_bytes };
    add_part(op, &w, (ash_op_input){ 0 }, y_first, ASH_PANEL_ROWS);
}

static ash_status build_qkv(directory *d, uint32_t layer, ash_linear *op, ash_error *err)
{
    static const uint32_t roles[3] = { ASH_ROLE_Q, ASH_ROLE_K, ASH_ROLE_V };
    const ash_hparams *h = d->h;
    uint64_t kv = (uint64_t)h->kv_heads * h->head_dim, rows[3] = { (uint64_t)h->heads * h->head_dim, kv, kv };
    int64_t first[3] = { 0, d->model->k_first, d->model->v_first };
    view v[3];
    for (int i = 0; i < 3; i++)
        ASH_TRY(find_view(d, layer, roles[i], ASH_ROLE_QKV, rows[i], h->hidden, &v[i], err));
    op->row_elems = first[2] + (int64_t)ash_div_up(kv, ASH_PANEL_ROWS) * ASH_PANEL_ROWS;
    for (int i = 0; i < 3;) {
        /* Members of a fused tensor that lie in it as they do in the output row are one stream. FP8 members
         * have scales of their own and stay apart. */
        int n = 1;
        while (i + n < 3 && v[i + n].tensor == v[i].tensor)
            n++;
        bool whole = n > 1 && v[i].tensor->dtype != ASH_F8_E4M3 &&
                     (int64_t)ash_div_up(v[i].tensor->dims[1], ASH_PANEL_ROWS) * ASH_PANEL_ROWS ==
                         (i + n < 3 ? first[i + n] : op->row_elems) - first[i];
        for (int j = i; j < i + n; j++)
            whole = whole && v[j].member->panel_step == 1 && (int64_t)v[j].member->row_first == first[j] - first[i];
        if (whole) {
            add_whole(d, op, v[i].tensor, first[i]);
        } else {
            for (int j = i; j < i + n; j++)
                ASH_TRY(add_view(d, op, v[j], first[j], ASH_PANEL_ROWS, err));
        }
        i += n;
    }
    return ASH_OK;
}

static ash_status build_gate_up(directory *d, uint32_t layer, ash_linear *op, ash_error *err)
{
    const ash_hparams *h = d->h;
    view gate, up;
    ASH_TRY(find_view(d, layer, ASH_ROLE_GATE, ASH_ROLE_GATE_UP, h->ffn, h->hidden, &gate, err));
    ASH_TRY(find_view(d, layer, ASH_ROLE_UP, ASH_ROLE_GATE_UP, h->ffn, h->hidden, &up, err));
    int64_t panels = (int64_t)ash_div_up(h->ffn, ASH_PANEL_ROWS);
    op->row_elems = 2 * panels * ASH_PANEL_ROWS;
    if (gate.tensor == up.tensor && gate.tensor->dtype != ASH_F8_E4M3 && gate.member->row_first == 0 &&
        up.member->row_first == ASH_PANEL_ROWS && gate.member->panel_step == 2 && up.member->panel_step == 2 &&
        (int64_t)ash_div_up(gate.tensor->dims[1], ASH_PANEL_ROWS) == 2 * panels) {
        add_whole(d, op, gate.tensor, 0);
        return ASH_OK;
    }
    ASH_TRY(add_view(d, op, gate, 0, 2 * ASH_PANEL_ROWS, err));
    return add_view(d, op, up, ASH_PANEL_ROWS, 2 * ASH_PANEL_ROWS, err);
}

static ash_status build_single(directory *d, uint32_t layer, uint32_t role, uint64_t rows, uint64_t cols,
                               ash_linear *op, ash_error *err)
{
    view v;
    ASH_TRY(find_view(d, layer, role, ASH_ROLE_OTHER, rows, cols, &v, err));
    op->row_elems = (int64_t)ash_div_up(rows, ASH_PANEL_ROWS) * ASH_PANEL_ROWS;
    return add_view(d, op, v, 0, ASH_PANEL_ROWS, err);
}

static ash_status build_layer(directory *d, uint32_t i, ash_layer *layer, ash_error *err)
{
    const ash_hparams *h = d->h;
    uint64_t q = (uint64_t)h->heads * h->head_dim, kv = (uint64_t)h->kv_heads * h->head_dim;
    ASH_TRY(find_vector(d, i, ASH_ROLE_ATTN_NORM, h->hidden, true, &layer->attn_norm, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_FFN_NORM, h->hidden, true, &layer->ffn_norm, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_Q_NORM, h->head_dim, h->qk_norm, &layer->q_norm, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_K_NORM, h->head_dim, h->qk_norm, &layer->k_norm, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_Q_BIAS, q, h->qkv_bias, &layer->q_bias, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_K_BIAS, kv, h->qkv_bias, &layer->k_bias, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_V_BIAS, kv, h->qkv_bias, &layer->v_bias, err));
    ASH_TRY(find_vector(d, i, ASH_ROLE_O_BIAS, h->hidden, false, &layer->o_bias, err));
    ASH_TRY(build_qkv(d, i, &layer->qkv, err));
    ASH_TRY(build_single(d, i, ASH_ROLE_O, h->hidden, q, &layer->o, err));
    ASH_TRY(build_gate_up(d, i, &layer->gate_up, err));
    return build_single(d, i, ASH_ROLE_DOWN, h->hidden, h->ffn, &layer->down, err);
}

static ash_status build(directory *d, ash_error *err)
{
    ashlar_model *model = d->model;
    const ash_hparams *h = d->h;
    if (strcmp(h->architecture, "llama") != 0 && strcmp(h->architecture, "qwen2") != 0 &&
        strcmp(h->architecture, "qwen3") != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "architecture \"%s\": llama, qwen2 and qwen3 are supported",
                        h->architecture);
    model->k_first = (int64_t)ash_div_up((uint64_t)h->heads * h->head_dim, 16) * 16;
    model->v_first = model->k_first + (int64_t)ash_div_up((uint64_t)h->kv_heads * h->head_dim, 16) * 16;
    ASH_TRY(fill_directory(d, err));

    view v;
    ASH_TRY(find_view(d, ASH_NO_LAYER, ASH_ROLE_EMBED, ASH_ROLE_OTHER, h->vocab, h->hidden, &v, err));
    ASH_TRY(member_matrix(d, v, &model->embed, err));
    uint32_t output = h->tied_output ? ASH_ROLE_EMBED : ASH_ROLE_OUTPUT;
    ASH_TRY(build_single(d, ASH_NO_LAYER, output, h->vocab, h->hidden, &model->output, err));
    ASH_TRY(find_vector(d, ASH_NO_LAYER, ASH_ROLE_OUTPUT_NORM, h->hidden, true, &model->output_norm, err));
    const float *divisors = NULL;
    ASH_TRY(find_vector(d, ASH_NO_LAYER, ASH_ROLE_ROPE_FREQS, h->rope_dim / 2, false, &divisors, err));
    ASH_TRY(ash_rope_init(&model->rope, h, divisors, err));

    bool small = h->hidden <= ASH_SMALL_HIDDEN;
    model->output.fine = small;
    model->wide = !small;
    model->layers = calloc(h->layers, sizeof *model->layers);
    if (!model->layers)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for %u layers", h->layers);
    for (uint32_t i = 0; i < h->layers; i++) {
        ASH_TRY(build_layer(d, i, &model->layers[i], err));
        model->layers[i].qkv.fine = model->layers[i].down.fine = small;
    }

    for (uint32_t i = 0; i < ash_file_tensor_count(model->file); i++) {
        const ash_tensor_record *t = ash_file_tensor(model->file, i);
        if (t->role == ASH_ROLE_OTHER)
            continue;
        if (t->role != ASH_ROLE_EMBED || h->tied_output) {
            model->token_bytes += t->size;
            if (t->layout != ASH_LAYOUT_LINEAR) {
                model->token_macs += t->dims[0] * t->dims[1];
                model->q_macs += t->dtype >= ASH_Q4_0 ? t->dims[0] * t->dims[1] : 0;
            }
        }
        if (t->role != ASH_ROLE_SCALE && t->role != ASH_ROLE_ROPE_FREQS)
            model->parameters += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
    return ASH_OK;
}

/* ---- text ---- */

static ash_status open_text(ashlar_model *model, ash_error *err)
{
    size_t size;
    const uint8_t *section = ash_file_section_bytes(model->file, ASH_SECTION_TOKENIZER, &size);
    if (section)
        ASH_TRY(ash_tokenizer_open(section, size, &model->tokenizer, err));
    return ASH_OK;
}

static ash_status load(const char *path, ashlar_model *model, ash_error *err)
{
    ASH_TRY(ash_file_open(path, &model->file, err));
    uint8_t *json;
    size_t size;
    ASH_TRY(ash_file_section_read(model->file, ASH_SECTION_META, &json, &size, err));
    ash_status status = ash_meta_read((const char *)json, size, &model->meta, err);
    free(json);
    ASH_TRY(status);

    const ash_section_record *data = ash_file_section(model->file, ASH_SECTION_DATA);
    ash_prefetch_advise((const uint8_t *)ash_file_header(model->file), data->offset, data->size);
    directory d = { .model = model, .h = &model->meta.h };
    status = build(&d, err);
    free(d.slots);
    ASH_TRY(status);
    return open_text(model, err);
}

int ashlar_model_load(const char *path, ashlar_model **out, ashlar_error *err)
{
    ash_error local;
    *out = NULL;
    ashlar_model *model = calloc(1, sizeof *model);
    if (!model) {
        ash_fail(&local, ASH_E_MEMORY, "%s: out of memory", path);
        return ash_public_error(&local, err);
    }
    if (load(path, model, &local) != ASH_OK) {
        if (strncmp(local.text, path, strlen(path)) != 0) /* the reader names the file itself */
            ash_fail_in(&local, path);
        ashlar_model_free(model);
        return ash_public_error(&local, err);
    }
    *out = model;
    return ASHLAR_OK;
}

void ashlar_model_free(ashlar_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < model->owned_count; i++)
        free(model->owned[i]);
    free(model->owned);
    free(model->layers);
    ash_rope_free(&model->rope);
    ash_tokenizer_close(model->tokenizer);
    ash_meta_free(&model->meta);
    ash_file_close(model->file);
    free(model);
}
