/* Scales of FP8 checkpoints: which tensors they are, what shape they may have, and where they go. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/plan.h"
#include "format/checked.h"
#include "kernels/kernels.h"

static bool float_type(ash_dtype dtype) { return dtype == ASH_F32 || dtype == ASH_F16 || dtype == ASH_BF16; }

/* The tensor whose name is `weight`'s with ".weight" replaced. */
static const ash_source_tensor *sibling(const ash_source *s, const char *weight, const char *end)
{
    char name[1200];
    size_t n = strlen(weight);
    if (n < 7 || strcmp(weight + n - 7, ".weight") != 0)
        return NULL;
    int length = snprintf(name, sizeof name, "%.*s%s", (int)(n - 7), weight, end);
    return length > 0 && (size_t)length < sizeof name ? ash_source_find(s, name) : NULL;
}

static ash_status wrong_shape(ash_planner *p, const ash_source_tensor *scale, const ash_source_tensor *weight)
{
    char a[128], b[128];
    return ash_fail(p->err, ASH_E_FORMAT, "%s: scale %s has shape %s, which does not fit %s with shape %s",
                    p->source->path, scale->name, ash_source_shape(p->source, scale, a), weight->name,
                    ash_source_shape(p->source, weight, b));
}

static ash_status check_type(ash_planner *p, const ash_source_tensor *scale)
{
    if (float_type(scale->dtype))
        return ASH_OK;
    return ash_fail(p->err, ASH_E_UNSUPPORTED, "%s: scale %s is %s; f32, f16 and bf16 are supported", p->source->path,
                    scale->name, ash_dtype_name(scale->dtype));
}

static uint64_t elements(const ash_source_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t d = 0; d < t->dim_count; d++)
        n *= t->dims[d]; /* the reader has checked that shape times type is the size: no wrap */
    return n;
}

/* A scale's kind shows in its shape; `inverse` is the name that block scales go by. */
static ash_scale_kind kind_of(const ash_source_tensor *scale, const ash_source_tensor *weight, bool inverse)
{
    uint64_t cols = weight->dims[0], rows = weight->dims[1], n = elements(scale);
    bool block = scale->dim_count == 2 && scale->dims[0] == ash_div_up(cols, 128) &&
                 scale->dims[1] == ash_div_up(rows, 128);
    if (inverse && block)
        return ASH_SCALE_BLOCK128;
    if (n == 1)
        return ASH_SCALE_TENSOR;
    if (n == rows && scale->dim_count <= 2 && (scale->dim_count == 1 || scale->dims[0] == 1))
        return ASH_SCALE_ROW;
    return block ? ASH_SCALE_BLOCK128 : ASH_SCALE_NONE;
}

/* A scale as a tensor of its own, its source's type and shape kept. A row scale follows the row order of its weight. */
static ash_status add_scale(ash_planner *p, const char *name, uint32_t layer, ash_scale_kind kind,
                            const ash_source_tensor *scale, const ash_member_record *order, uint32_t *index)
{
    ash_tensor_record t = { .role = ASH_ROLE_SCALE, .layer = layer, .dtype = (uint16_t)scale->dtype,
                            .dim_count = (uint16_t)(scale->dim_count ? scale->dim_count : 1), .scale_kind = kind };
    for (uint32_t d = 0; d < 4; d++)
        t.dims[d] = scale->dims[d];
    *index = p->plan->tensor_count;
    ASH_TRY(ash_plan_tensor_add(p, name, &t));
    ash_plan_member m = { .record = { .role = ASH_ROLE_SCALE, .row_count = t.dims[1], .panel_step = 1,
                                      .scale_weight = ASH_NO_INDEX, .scale_input = ASH_NO_INDEX } };
    if (kind == ASH_SCALE_ROW) {
        m.record.row_order = order->row_order;
        m.record.row_order_head = order->row_order_head;
        m.record.row_order_rope = order->row_order_rope;
    }
    return ash_plan_member_add(p, scale, &m);
}

/* All elements of a scale as floats. */
static ash_status load_scale(ash_planner *p, const ash_source_tensor *scale, float **out)
{
    uint64_t n = elements(scale);
    void *bytes = malloc(scale->size);
    *out = malloc(n * sizeof **out); /* n elements of 2 or 4 bytes are in the file */
    ash_status status = bytes && *out ? ash_source_read(p->source, scale, 0, bytes, scale->size, p->err)
                                      : ash_fail(p->err, ASH_E_MEMORY, "%s: out of memory", scale->name);
    if (status == ASH_OK)
        ash_decode_row(scale->dtype, bytes, (int64_t)n, *out);
    free(bytes);
    if (status != ASH_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static ash_status find_weight_scale(ash_planner *p, const ash_source_tensor *weight, const ash_source_tensor **scale,
                                    ash_scale_kind *kind)
{
    if (!p->import->fp8)
        return ash_fail(p->err, ASH_E_UNSUPPORTED, "%s: tensor %s is f8_e4m3, but config.json has no "
                        "quantization_config that says how it is used", p->source->path, weight->name);
    *scale = sibling(p->source, weight->name, ".weight_scale");
    bool inverse = !*scale;
    if (inverse)
        *scale = sibling(p->source, weight->name, ".weight_scale_inv");
    if (!*scale)
        return ash_fail(p->err, ASH_E_FORMAT, "%s: tensor %s is f8_e4m3, but has no weight_scale or "
                        "weight_scale_inv beside it", p->source->path, weight->name);
    ASH_TRY(check_type(p, *scale));
    *kind = (*scale)->dim_count <= 4 ? kind_of(*scale, weight, inverse) : ASH_SCALE_NONE;
    return *kind == ASH_SCALE_NONE ? wrong_shape(p, *scale, weight) : ASH_OK;
}

ash_status ash_plan_scales(ash_planner *p, const ash_source_tensor *weight, const char *label, uint32_t layer,
                           bool keep, ash_plan_member *member)
{
    ash_member_record *m = &member->record;
    m->scale_weight = m->scale_input = ASH_NO_INDEX;
    if (weight->dtype != ASH_F8_E4M3)
        return ASH_OK;
    const ash_source_tensor *scale = NULL, *input = sibling(p->source, weight->name, ".input_scale");
    ash_scale_kind kind = ASH_SCALE_NONE;
    ASH_TRY(find_weight_scale(p, weight, &scale, &kind));
    /* An .ashlar says of each matrix how its inputs are treated; a configuration says it of all. */
    bool fixed = weight->member ? weight->member->scale_input != ASH_NO_INDEX : p->import->fp8_static;
    if (fixed && !input)
        return ash_fail(p->err, ASH_E_FORMAT, "%s: quantization_config says that inputs have static scales, but %s "
                        "has no input_scale beside it", p->source->path, weight->name);
    if (!fixed)
        input = NULL; /* not used: kept raw, if it is there */
    if (input) {
        ASH_TRY(check_type(p, input));
        if (input->dim_count > 4 || elements(input) != 1)
            return wrong_shape(p, input, weight);
    }
    if (!keep) {
        p->claimed[scale->index] = true;
        if (input)
            p->claimed[input->index] = true;
        p->scales_dropped += 1 + (input != NULL);
        member->scale_kind = kind;
        return load_scale(p, scale, &member->scale);
    }
    char name[128];
    snprintf(name, sizeof name, "%s.scale", label);
    ASH_TRY(add_scale(p, name, layer, kind, scale, m, &m->scale_weight));
    if (input) {
        snprintf(name, sizeof name, "%s.input_scale", label);
        ASH_TRY(add_scale(p, name, layer, ASH_SCALE_INPUT, input, m, &m->scale_input));
    }
    m->input_dynamic = weight->member ? weight->member->input_dynamic : p->import->fp8_dynamic;
    return ASH_OK;
}

ash_status ash_plan_cache_scales(ash_planner *p, uint32_t layer)
{
    static const struct { const char *source, *name; ash_scale_kind kind; } caches[] = {
        { "model.layers.#.self_attn.k_scale", "layers.#.k_cache_scale", ASH_SCALE_K_CACHE },
        { "model.layers.#.self_attn.v_scale", "layers.#.v_cache_scale", ASH_SCALE_V_CACHE },
        /* how earlier exporters call them */
        { "model.layers.#.self_attn.k_proj.output_scale", "layers.#.k_cache_scale", ASH_SCALE_K_CACHE },
        { "model.layers.#.self_attn.v_proj.output_scale", "layers.#.v_cache_scale", ASH_SCALE_V_CACHE },
    };
    if (p->source->kind != ASH_SOURCE_HF || !p->import->fp8)
        return ASH_OK;
    bool have[ASH_SCALE_V_CACHE + 1] = { false };
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) {
        char name[128];
        ash_arch_name(caches[i].source, layer, name, sizeof name);
        const ash_source_tensor *t = ash_source_find(p->source, name);
        if (!t || have[caches[i].kind])
            continue;
        ASH_TRY(check_type(p, t));
        if (t->dim_count > 4)
            return ash_fail(p->err, ASH_E_UNSUPPORTED, "%s: scale %s has %" PRIu32 " dimensions",
                            p->source->path, t->name, t->dim_count);
        have[caches[i].kind] = true;
        uint32_t index;
        ash_arch_name(caches[i].name, layer, name, sizeof name);
        ASH_TRY(add_scale(p, name, layer, caches[i].kind, t, NULL, &index));
    }
    return ASH_OK;
}

void ash_scale_row(ash_scale_kind kind, const float *scale, uint64_t row, float *x, uint64_t cols)
{
    bool blocks = kind == ASH_SCALE_BLOCK128;
    scale += blocks ? row / 128 * ash_div_up(cols, 128) : kind == ASH_SCALE_ROW ? row : 0;
    for (uint64_t k = 0; k < cols; k++)
        x[k] *= scale[blocks ? k / 128 : 0];
}

/* ---- scales that the conversion chooses ---- */

/* A tensor that no source has, called as an FP8 checkpoint calls the scale of `weight`: `end` in place of ".weight". Its
 * index lies behind those of the source. rows 0: one scale. */
static ash_source_tensor *make_tensor(ash_planner *p, const ash_source_tensor *weight, const char *end, uint64_t rows)
{
    ash_plan *plan = p->plan;
    if (plan->made_count == plan->made_room) {
        size_t room = plan->made_room ? 2 * plan->made_room : 64;
        void *more = realloc(plan->made, room * sizeof *plan->made);
        if (!more)
            return NULL;
        plan->made = more;
        plan->made_room = room;
    }
    size_t n = strlen(weight->name);
    n -= n >= 7 && strcmp(weight->name + n - 7, ".weight") == 0 ? 7 : 0;
    ash_source_tensor *t = calloc(1, sizeof *t);
    char *name = malloc(n + strlen(end) + 1);
    if (!t || !name) {
        free(t);
        free(name);
        return NULL;
    }
    sprintf(name, "%.*s%s", (int)n, weight->name, end);
    *t = (ash_source_tensor){ .name = name, .dtype = ASH_F32, .dim_count = rows ? 2 : 1,
                              .size = (rows ? rows : 1) * sizeof(float), .index = p->source->count + plan->made_count };
    for (uint32_t d = 0; d < 8; d++)
        t->dims[d] = d == 1 && rows ? rows : 1;
    plan->made[plan->made_count++] = t;
    return t;
}

/* A tensor of scales that the conversion makes: *values, zero, which its member owns. */
static ash_status add_made(ash_planner *p, const ash_source_tensor *weight, const char *name, const char *end,
                           uint64_t rows, uint32_t layer, ash_scale_kind kind, const ash_member_record *order,
                           uint32_t *index, float **values)
{
    ash_source_tensor *made = make_tensor(p, weight, end, rows);
    *values = calloc(rows ? rows : 1, sizeof **values); /* a row has more bytes than this in the source */
    ash_status status = made && *values ? add_scale(p, name, layer, kind, made, order, index)
                                        : ash_fail(p->err, ASH_E_MEMORY, "%s: out of memory", weight->name);
    if (status != ASH_OK) {
        free(*values);
        return status;
    }
    ash_plan_member *own = &p->plan->members[p->plan->member_count - 1];
    own->made = *values;
    own->owns_made = true;
    return ASH_OK;
}

ash_status ash_plan_made_scale(ash_planner *p, const ash_source_tensor *weight, const char *label, uint32_t layer,
                               ash_plan_member *member)
{
    bool by_row = p->recipe->fp8_row;
    uint64_t rows = by_row ? weight->dims[1] : 0;
    ash_member_record *m = &member->record;
    const float *given;
    float input, *of_input;
    char name[128];
    snprintf(name, sizeof name, "%s.scale", label);
    ASH_TRY(add_made(p, weight, name, ".weight_scale", rows, layer, by_row ? ASH_SCALE_ROW : ASH_SCALE_TENSOR, m,
                     &m->scale_weight, &member->made));
    member->made_by_row = by_row;
    m->scale_input = ASH_NO_INDEX;
    m->input_dynamic = 1;
    if (!p->guide || !p->guide->scales || !p->guide->scales(p->guide->context, m->role, layer, &given, &input))
        return ASH_OK;
    memcpy(member->made, given, (rows ? rows : 1) * sizeof *given);
    member->made_given = true;
    snprintf(name, sizeof name, "%s.input_scale", label);
    ASH_TRY(add_made(p, weight, name, ".input_scale", 0, layer, ASH_SCALE_INPUT, m, &m->scale_input, &of_input));
    *of_input = input;
    m->input_dynamic = 0;
    return ASH_OK;
}
