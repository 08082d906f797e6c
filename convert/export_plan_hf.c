/* Which tensors a Hugging Face folder gets, what they are called and typed there, and in which order: that of the
 * source, each scale behind its matrix. Floats stay what they are, FP8 matrices too; other types become BF16. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/export_internal.h"
#include "format/halffloat.h"

/* What was left out or changed, to be told at the end. */
typedef struct changes {
    uint32_t raw, rounded, fp8;
    char names[300]; /* of the first raw tensors */
} changes;

static bool float_type(uint32_t dtype) { return dtype == ASH_F32 || dtype == ASH_F16 || dtype == ASH_BF16; }

/* ---- types ---- */

/* What the configuration names: the embedding's type, where nothing is decoded from a quantized type. */
static ash_dtype choose_float(const ash_file *file)
{
    ash_dtype type = ASH_BF16;
    for (uint32_t i = 0; i < ash_file_tensor_count(file); i++) {
        const ash_tensor_record *t = ash_file_tensor(file, i);
        if (t->dim_count > 1 && t->role != ASH_ROLE_OTHER && ash_dtype_find(t->dtype)->block_elems > 1)
            return ASH_BF16;
        if (t->role == ASH_ROLE_EMBED && float_type(t->dtype))
            type = (ash_dtype)t->dtype;
    }
    return type;
}

/* llama.cpp's converter widens norms and biases to F32. They go back where nothing is lost by it. */
static ash_dtype vector_type(const ash_export *e, const ash_tensor_record *t)
{
    if (!e->from_gguf || t->dtype != ASH_F32 || e->float_type == ASH_F32)
        return (ash_dtype)t->dtype;
    const uint8_t *data = ash_file_data(e->file, t);
    for (uint64_t i = 0; i < t->dims[0]; i++) {
        float x;
        memcpy(&x, data + i * sizeof x, sizeof x);
        float back = e->float_type == ASH_F16 ? ash_f16_to_f32(ash_f32_to_f16(x)) : ash_bf16_to_f32(ash_f32_to_bf16(x));
        if (back != x)
            return ASH_F32;
    }
    return e->float_type;
}

/* ---- scales ---- */

/* "<stem of the matrix><end>", an item of its own behind that of the matrix. */
static ash_status add_scale(ash_export *e, const ash_export_item *matrix, const ash_tensor_record *t, const char *end,
                            uint64_t place, ash_error *err)
{
    ash_export_item *item = &e->items[e->count];
    const ash_member_record *m = ash_file_member(e->file, t->member_first);
    size_t stem = strlen(matrix->name) - strlen(".weight"); /* of the tables' names: all matrices end so */
    *item = (ash_export_item){ .tensor = t, .record = m, .member = *m, .source_name = ash_file_member_name(e->file, m),
                               .type = (ash_dtype)t->dtype, .order = matrix->order + place };
    if (asprintf(&item->name, "%.*s%s", (int)stem, matrix->name, end) < 0) {
        item->name = NULL; /* asprintf leaves it undefined */
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    }
    e->count++;
    item->member.row_order = ASH_ROWS_SAME;
    item->member.row_count = 1;
    item->member.slice_count = 1;
    if (t->scale_kind == ASH_SCALE_BLOCK128) {
        item->member.row_count = t->dims[1];
        return ash_export_check(e, item, "safetensors", err);
    }
    bool rows = t->scale_kind == ASH_SCALE_ROW;
    if (rows) {
        item->member.row_order = matrix->member.row_order;
        item->member.row_order_head = matrix->member.row_order_head;
        item->member.row_order_rope = matrix->member.row_order_rope;
        item->member.row_count = matrix->member.row_count;
    }
    item->member.source_dim_count = rows ? 2 : 1;
    item->member.source_dims[0] = item->member.source_dims[2] = item->member.source_dims[3] = 1;
    item->member.source_dims[1] = rows ? matrix->member.row_count : 1;
    return ASH_OK;
}

static ash_status add_input_scale(ash_export *e, const ash_export_item *matrix, ash_error *err)
{
    uint32_t index = matrix->member.scale_input;
    const ash_tensor_record *t = index < ash_file_tensor_count(e->file) ? ash_file_tensor(e->file, index) : NULL;
    if (!t || t->role != ASH_ROLE_SCALE || t->scale_kind != ASH_SCALE_INPUT || t->layout != ASH_LAYOUT_LINEAR ||
        !float_type(t->dtype) || t->size != ash_dtype_find(t->dtype)->block_bytes)
        return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s names tensor %" PRIu32 " as the scale of its inputs, which "
                        "does not fit: the file is damaged", e->path, matrix->source_name, index);
    return add_scale(e, matrix, t, ".input_scale", 2, err);
}

/* A matrix that stays FP8. */
static ash_status add_scales(ash_export *e, ash_export_item *item, const ash_tensor_record *scale, ash_error *err)
{
    item->scale_kind = (ash_scale_kind)scale->scale_kind;
    ASH_TRY(add_scale(e, item, scale, ".weight_scale", 1, err));
    if (item->member.scale_input != ASH_NO_INDEX) {
        item->inputs = ASH_INPUTS_STATIC;
        return add_input_scale(e, item, err);
    }
    item->inputs = item->member.input_dynamic ? ASH_INPUTS_DYNAMIC : ASH_INPUTS_KEPT;
    return ASH_OK;
}

/* ---- one member ---- */

static ash_status check_extents(const ash_export *e, const ash_export_item *item, const ash_arch_tensor *row,
                                ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    uint64_t rows = t->dim_count == 1 ? 1 : item->member.row_count;
    if (t->dims[0] == ash_extent_value(row->cols, &e->meta.h) && rows == ash_extent_value(row->rows, &e->meta.h))
        return ASH_OK;
    return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s has %" PRIu64 " x %" PRIu64 " elements, but %s and %s say "
                    "otherwise: the file is damaged", e->path, item->source_name, rows, t->dims[0],
                    ash_extent_keys(row->rows, true), ash_extent_keys(row->cols, true));
}

/* A tensor of the architecture: the name, row order and type of a checkpoint. */
static ash_status add_known(ash_export *e, ash_export_item *item, changes *c, ash_error *err)
{
    const ash_tensor_record *t = item->tensor, *scale = NULL;
    const ash_arch_tensor *row;
    uint64_t count;
    ASH_TRY(ash_export_arch_tensor(e, item, true, &row, &item->name, err));
    e->count++; /* from here on the list owns the name */
    ASH_TRY(check_extents(e, item, row, err));
    item->member.row_order = row->rotated ? ASH_ROWS_HALVES : ASH_ROWS_SAME;
    item->member.row_order_head = row->rotated ? e->meta.h.head_dim : 0;
    item->member.row_order_rope = row->rotated ? e->meta.h.rope_dim : 0;
    if (t->dim_count == 1) {
        if (!float_type(t->dtype))
            return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s; f32, f16 and bf16 can be exported", e->path,
                            item->source_name, ash_dtype_name(t->dtype));
        item->type = vector_type(e, t);
    } else if (t->dtype == ASH_F8_E4M3) {
        ASH_TRY(ash_export_scale(e, item, &scale, &count, err));
        if (!scale || row->role == ASH_ROLE_EMBED) { /* compressed-tensors is about linear layers */
            item->type = ASH_BF16;
            c->fp8++;
            scale = NULL;
        }
    } else if (!float_type(t->dtype)) {
        item->type = ASH_BF16;
        c->rounded++;
    }
    ASH_TRY(ash_export_check(e, item, "safetensors", err));
    return scale ? add_scales(e, item, scale, err) : ASH_OK;
}

/* As the source had it, under its name. */
static ash_status add_kept(ash_export *e, ash_export_item *item, ash_error *err)
{
    if (!(item->name = strdup(item->source_name)))
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    e->count++;
    return ash_export_check(e, item, "safetensors", err);
}

static ash_status add_member(ash_export *e, const ash_tensor_record *t, const ash_member_record *m, void *context,
                             ash_error *err)
{
    changes *c = context;
    ash_export_item *item = &e->items[e->count];
    *item = (ash_export_item){ .tensor = t, .record = m, .member = *m, .source_name = ash_file_member_name(e->file, m),
                               .type = (ash_dtype)t->dtype,
                               .order = (uint64_t)m->source_index * ASH_EXPORT_ITEMS_A_MEMBER };
    bool cache = t->scale_kind == ASH_SCALE_K_CACHE || t->scale_kind == ASH_SCALE_V_CACHE;
    if (t->role == ASH_ROLE_ROPE_FREQS || (t->role == ASH_ROLE_SCALE && !cache))
        return ASH_OK; /* in the configuration; beside the matrix */
    if (t->role == ASH_ROLE_SCALE) {
        e->cache_scales = true;
        return add_kept(e, item, err);
    }
    if (t->role != ASH_ROLE_OTHER)
        return add_known(e, item, c, err);
    if (!e->from_gguf)
        return add_kept(e, item, err);
    size_t at = strlen(c->names);
    if (c->raw++ < 4)
        snprintf(c->names + at, sizeof c->names - at, "%s%.60s", at ? ", " : "", item->source_name);
    return ASH_OK;
}

/* ---- all of them ---- */

static void tell(const ash_export *e, const changes *c)
{
    if (c->rounded)
        ash_export_note(e, "%" PRIu32 " quantized matrices become bf16: decoded exactly, then rounded to its 8 bits, "
                        "and twice the size or more", c->rounded);
    if (c->fp8)
        ash_export_note(e, "%" PRIu32 " FP8 matrices that are no linear layers or have no scale become bf16", c->fp8);
    if (c->raw)
        ash_export_note(e, "left out %" PRIu32 " tensors outside the architecture: %s%s", c->raw, c->names,
                        c->raw > 4 ? ", ..." : "");
}

ash_status ash_export_plan_hf(ash_export *e, ash_error *err)
{
    changes c = { 0 };
    e->float_type = choose_float(e->file);
    ASH_TRY(ash_export_collect(e, add_member, &c, err));
    ASH_TRY(ash_export_sum(e, err));
    tell(e, &c);
    return ASH_OK;
}
