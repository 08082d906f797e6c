/* Small vectors and FP8 scales, from their tensors to floats. */
#include <math.h>
#include <stdlib.h>

#include "format/checked.h"
#include "runtime/model.h"

static uint64_t element_count(const ash_tensor_record *t)
{
    uint64_t n = 1;
    for (int i = 0; i < 4; i++)
        if (!ash_mul(n, t->dims[i], &n))
            return UINT64_MAX;
    return n;
}

ash_status ash_model_vector(ashlar_model *model, const ash_tensor_record *tensor, uint64_t count, const float **out,
                            ash_error *err)
{
    const char *name = ash_file_tensor_name(model->file, tensor);
    if (tensor->dtype != ASH_F32 && tensor->dtype != ASH_F16 && tensor->dtype != ASH_BF16)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s is %s: a vector must be f32, f16 or bf16", name,
                        ash_dtype_name(tensor->dtype));
    uint64_t bytes;
    if (tensor->layout != ASH_LAYOUT_LINEAR || element_count(tensor) != count ||
        !ash_row_bytes(tensor->dtype, count, &bytes) || bytes != tensor->size)
        return ash_fail(err, ASH_E_FORMAT,
                        "%s has %llu elements where the model's sizes ask for %llu: the file is damaged", name,
                        (unsigned long long)element_count(tensor), (unsigned long long)count);
    float *values;
    ASH_TRY(ash_model_floats(model, count + 15, &values, err));
    ash_decode_row((ash_dtype)tensor->dtype, ash_file_data(model->file, tensor), (int64_t)count, values);
    *out = values;
    return ASH_OK;
}

static ash_status find_scale(ashlar_model *model, const ash_tensor_record *of, uint32_t index,
                             const ash_tensor_record **out, ash_error *err)
{
    if (index >= ash_file_tensor_count(model->file) || ash_file_tensor(model->file, index)->role != ASH_ROLE_SCALE)
        return ash_fail(err, ASH_E_FORMAT, "%s names tensor %u as its scale, which is none: the file is damaged",
                        ash_file_tensor_name(model->file, of), index);
    *out = ash_file_tensor(model->file, index);
    return ASH_OK;
}

static ash_status check_finite(ashlar_model *model, const ash_tensor_record *t, const float *values, uint64_t count,
                               bool positive, ash_error *err)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(values[i]) || (positive && !(values[i] > 0)))
            return ash_fail(err, ASH_E_FORMAT,
                            "%s holds the scale %g: the file is damaged or was converted from a broken one",
                            ash_file_tensor_name(model->file, t), (double)values[i]);
    return ASH_OK;
}

/* The row of the source that canonical row `row` of a member comes from. */
static uint64_t source_row(const ash_member_record *m, uint64_t row)
{
    if (m->row_order != ASH_ROWS_HALVES || m->row_order_head == 0)
        return row;
    uint64_t head = row / m->row_order_head, in_head = row % m->row_order_head;
    if (in_head < m->row_order_rope)
        in_head = in_head / 2 + (in_head % 2) * (m->row_order_rope / 2);
    return head * m->row_order_head + in_head;
}

/* [ceil(rows / 128), ceil(cols / 128)] in source order to [panel][block of k][row in panel]. */
static ash_status expand_blocks(ashlar_model *model, const ash_member_record *member, const float *blocks,
                                ash_matrix *w, ash_error *err)
{
    uint64_t rows = (uint64_t)w->rows, panels = ash_div_up(rows, ASH_PANEL_ROWS);
    uint64_t across = ash_div_up((uint64_t)w->cols, 128);
    float *scale;
    ASH_TRY(ash_model_floats(model, panels * across * ASH_PANEL_ROWS, &scale, err));
    for (uint64_t row = 0; row < rows; row++) {
        const float *from = blocks + source_row(member, row) / 128 * across;
        float *to = scale + row / ASH_PANEL_ROWS * across * ASH_PANEL_ROWS + row % ASH_PANEL_ROWS;
        for (uint64_t b = 0; b < across; b++)
            to[b * ASH_PANEL_ROWS] = from[b];
    }
    w->scale = scale;
    return ASH_OK;
}

ash_status ash_model_weight_scale(ashlar_model *model, const ash_tensor_record *tensor, const ash_member_record *member,
                                  ash_matrix *w, ash_error *err)
{
    if (w->dtype != ASH_F8_E4M3)
        return ASH_OK;
    if (member->scale_weight == ASH_NO_INDEX) {
        float *one;
        ASH_TRY(ash_model_floats(model, 1, &one, err));
        *one = 1;
        w->scale_kind = ASH_SCALE_TENSOR;
        w->scale = one;
        return ASH_OK;
    }
    const ash_tensor_record *t;
    ASH_TRY(find_scale(model, tensor, member->scale_weight, &t, err));
    uint64_t rows = (uint64_t)w->rows, cols = (uint64_t)w->cols, count;
    switch (t->scale_kind) {
    case ASH_SCALE_TENSOR: count = 1; break;
    case ASH_SCALE_ROW: count = rows; break;
    case ASH_SCALE_BLOCK128: count = ash_div_up(rows, 128) * ash_div_up(cols, 128); break;
    default:
        return ash_fail(err, ASH_E_FORMAT, "%s is no weight scale (kind %u): the file is damaged",
                        ash_file_tensor_name(model->file, t), t->scale_kind);
    }
    const float *values;
    ASH_TRY(ash_model_vector(model, t, count, &values, err));
    ASH_TRY(check_finite(model, t, values, count, false, err));
    w->scale_kind = (ash_scale_kind)t->scale_kind;
    w->scale = values;
    return w->scale_kind == ASH_SCALE_BLOCK128 ? expand_blocks(model, member, values, w, err) : ASH_OK;
}

ash_status ash_model_input(ashlar_model *model, const ash_tensor_record *tensor, const ash_member_record *member,
                           ash_op_input *out, ash_error *err)
{
    *out = (ash_op_input){ .rounding = ASH_ROUND_NONE };
    if (tensor->dtype != ASH_F8_E4M3)
        return ASH_OK;
    if (member->input_dynamic) {
        out->rounding = ASH_ROUND_TOKEN;
    } else if (member->scale_input != ASH_NO_INDEX) {
        const ash_tensor_record *t;
        const float *value;
        ASH_TRY(find_scale(model, tensor, member->scale_input, &t, err));
        ASH_TRY(ash_model_vector(model, t, 1, &value, err));
        ASH_TRY(check_finite(model, t, value, 1, true, err));
        out->rounding = ASH_ROUND_STATIC;
        out->scale = *value;
    }
    return ASH_OK;
}
