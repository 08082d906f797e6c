/* Tensor data on its way out: tiles to rows, rows to the output's order, FP8 and others to types that it has. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "convert/export_internal.h"
#include "convert/plan.h"
#include "format/checked.h"
#include "format/tile.h"
#include "quant/encode.h"

#define PIECE_BYTES (UINT64_C(4) << 20)

static ash_status put(ash_export *e, const void *bytes, uint64_t size, ash_error *err)
{
    ASH_TRY(e->gguf ? ash_gguf_writer_put(e->gguf, bytes, (size_t)size, err)
                    : ash_safetensors_writer_put(e->safetensors, bytes, (size_t)size, err));
    e->done += size;
    if (e->options->progress && e->options->progress(e->options->context, e->done, e->total) != 0)
        return ash_fail(err, ASH_E_CANCELLED, "cancelled");
    return ASH_OK;
}

/* Gives back the pages of the mapping that were read, so that resident memory stays bounded. */
static void drop_pages(const uint8_t *from, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)from + page - 1) / page * page, last = ((uintptr_t)from + size) / page * page;
    if (last > first)
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

/* ---- untiled tensors ---- */

/* A vector as F32, F16 or BF16, its elements in the output's order. */
static ash_status put_vector(ash_export *e, const ash_export_item *item, ash_error *err)
{
    uint64_t count = item->tensor->dims[0];
    float *x = malloc(3 * count * sizeof *x); /* decoded, moved, and encoded in at most as many bytes */
    if (!x)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    ash_decode_row((ash_dtype)item->tensor->dtype, ash_file_data(e->file, item->tensor), (int64_t)count, x);
    for (uint64_t i = 0; i < count; i++)
        x[count + ash_source_row(&item->member, i)] = x[i];
    ash_status status = ash_encode_row(&e->kernels, item->type, x + count, NULL, (int64_t)count, x + 2 * count, err);
    if (status != ASH_OK)
        ash_fail_in(err, item->source_name);
    else
        status = put(e, x + 2 * count, ash_export_item_bytes(item), err);
    free(x);
    return status;
}

static ash_status put_linear(ash_export *e, const ash_export_item *item, ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    const ash_member_record *m = &item->member;
    if (t->member_count != 1)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s shares an untiled tensor and cannot be exported",
                        e->path, item->source_name);
    if (t->dim_count == 1 && item->type != (ash_dtype)t->dtype)
        return put_vector(e, item, err);
    const uint8_t *data = ash_file_data(e->file, t);
    uint64_t rows = t->dim_count == 1 ? t->dims[0] : m->row_count, size = ash_export_item_bytes(item);
    uint64_t unit = size / rows;
    if (m->row_order == ASH_ROWS_SAME) {
        for (uint64_t at = 0; at < size; at += PIECE_BYTES) {
            uint64_t n = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
            ASH_TRY(put(e, data + at, n, err));
            drop_pages(data + at, n);
        }
        return ASH_OK;
    }
    uint8_t *moved = malloc(size);
    if (!moved)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    for (uint64_t i = 0; i < rows; i++)
        memcpy(moved + ash_source_row(m, i) * unit, data + i * unit, unit);
    ash_status status = put(e, moved, size, err);
    free(moved);
    return status;
}

/* ---- another type for rows ---- */

typedef struct recoder {
    uint8_t *panel; /* ASH_PANEL_ROWS rows as they are stored; NULL: rows keep their type */
    float *decoded; /* one row */
    float *scale;
    ash_scale_kind kind;
} recoder;

static void recoder_free(recoder *r)
{
    free(r->panel);
    free(r->decoded);
    free(r->scale);
}

ash_status ash_export_scale(const ash_export *e, const ash_export_item *item, const ash_tensor_record **out,
                            uint64_t *count, ash_error *err)
{
    uint32_t index = item->member.scale_weight;
    *out = NULL;
    *count = 0;
    if (index == ASH_NO_INDEX)
        return ASH_OK;
    const ash_tensor_record *t = index < ash_file_tensor_count(e->file) ? ash_file_tensor(e->file, index) : NULL;
    uint64_t rows = item->member.row_count, cols = item->tensor->dims[0], expected = 0, bytes;
    if (t && t->role == ASH_ROLE_SCALE && t->layout == ASH_LAYOUT_LINEAR &&
        (t->dtype == ASH_F32 || t->dtype == ASH_F16 || t->dtype == ASH_BF16))
        expected = t->scale_kind == ASH_SCALE_TENSOR     ? 1
                   : t->scale_kind == ASH_SCALE_ROW      ? rows
                   : t->scale_kind == ASH_SCALE_BLOCK128 ? ash_div_up(rows, 128) * ash_div_up(cols, 128)
                                                         : 0;
    if (expected == 0 || !ash_row_bytes(t->dtype, expected, &bytes) || bytes != t->size)
        return ash_fail(err, ASH_E_FORMAT, "%s: tensor %s names tensor %u as its scale, which does not fit: the file "
                        "is damaged", e->path, item->source_name, index);
    *out = t;
    *count = expected;
    return ASH_OK;
}

/* An FP8 matrix has the scale that its member names; without one its codes are the weights. */
static ash_status load_scale(const ash_export *e, const ash_export_item *item, recoder *r, ash_error *err)
{
    const ash_tensor_record *t;
    uint64_t count;
    ASH_TRY(ash_export_scale(e, item, &t, &count, err));
    if (!t)
        return ASH_OK;
    r->kind = (ash_scale_kind)t->scale_kind;
    r->scale = malloc(count * sizeof *r->scale);
    if (!r->scale)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    ash_decode_row((ash_dtype)t->dtype, ash_file_data(e->file, t), (int64_t)count, r->scale);
    return ASH_OK;
}

static ash_status recoder_init(const ash_export *e, const ash_export_item *item, recoder *r, ash_error *err)
{
    uint64_t cols = item->tensor->dims[0], bytes = 0;
    *r = (recoder){ .kind = ASH_SCALE_NONE };
    if (item->type == (ash_dtype)item->tensor->dtype)
        return ASH_OK;
    (void)ash_row_bytes(item->tensor->dtype, cols, &bytes); /* the reader has checked the sizes */
    r->panel = malloc(ASH_PANEL_ROWS * bytes);
    r->decoded = malloc(cols * sizeof *r->decoded);
    if (!r->panel || !r->decoded)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    return load_scale(e, item, r, err);
}

/* Row `row` of the member, in canonical order, from its stored bytes to those of the output. */
static ash_status recode(const ash_export *e, const ash_export_item *item, const recoder *r, uint64_t row,
                         const uint8_t *in, uint8_t *out, ash_error *err)
{
    uint64_t cols = item->tensor->dims[0];
    ash_decode_row((ash_dtype)item->tensor->dtype, in, (int64_t)cols, r->decoded);
    if (r->scale) { /* blocks are counted in the rows of the checkpoint, whatever the output's order is */
        uint64_t at = r->kind == ASH_SCALE_BLOCK128 ? ash_source_row(item->record, row) : row;
        ash_scale_row(r->kind, r->scale, at, r->decoded, cols);
    }
    if (ash_encode_row(&e->kernels, item->type, r->decoded, NULL, (int64_t)cols, out, err) == ASH_OK)
        return ASH_OK;
    ash_fail_in(err, item->source_name);
    return ash_fail_in(err, e->path);
}

/* ---- tiled tensors ---- */

/* Rows [first, last) of the output: whole heads where rows move within them, so that the same rows of the tensor fill
 * them. A panel that lies across the edge is unpacked on both sides. */
static ash_status unpack_rows(const ash_export *e, const ash_export_item *item, const recoder *r, uint64_t first,
                              uint64_t last, uint8_t *out, ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    const ash_member_record *m = &item->member;
    uint64_t in_bytes = 0, out_bytes = 0;
    (void)ash_row_bytes(t->dtype, t->dims[0], &in_bytes);
    (void)ash_row_bytes(item->type, t->dims[0], &out_bytes);
    const uint8_t *data = ash_file_data(e->file, t);
    for (uint64_t p = first / ASH_PANEL_ROWS; p * ASH_PANEL_ROWS < last; p++) {
        uint8_t *rows[ASH_PANEL_ROWS] = { NULL }, *to[ASH_PANEL_ROWS] = { NULL };
        for (uint64_t i = 0; i < ASH_PANEL_ROWS; i++) {
            uint64_t row = p * ASH_PANEL_ROWS + i;
            if (row < first || row >= last)
                continue;
            to[i] = out + (ash_source_row(m, row) - first) * out_bytes;
            rows[i] = r->panel ? r->panel + i * in_bytes : to[i];
        }
        uint64_t panel = m->row_first / ASH_PANEL_ROWS + p * m->panel_step;
        ash_tile_unpack(t->dtype, t->dims[0], data + panel * t->panel_bytes, rows);
        for (uint64_t i = 0; i < ASH_PANEL_ROWS && r->panel; i++)
            if (rows[i])
                ASH_TRY(recode(e, item, r, p * ASH_PANEL_ROWS + i, rows[i], to[i], err));
    }
    return ASH_OK;
}

static ash_status put_tiled(ash_export *e, const ash_export_item *item, ash_error *err)
{
    const ash_member_record *m = &item->member;
    uint64_t bytes = 0, unit = m->row_order == ASH_ROWS_SAME ? ASH_PANEL_ROWS : m->row_order_head;
    (void)ash_row_bytes(item->type, item->tensor->dims[0], &bytes);
    uint64_t step = unit * bytes < PIECE_BYTES ? PIECE_BYTES / (unit * bytes) * unit : unit;
    step = step < m->row_count ? step : m->row_count;
    recoder r;
    ash_status status = recoder_init(e, item, &r, err);
    uint8_t *rows = malloc(step * bytes);
    if (status == ASH_OK && !rows)
        status = ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    uint64_t panel_bytes = item->tensor->panel_bytes;
    const uint8_t *data = ash_file_data(e->file, item->tensor) + m->row_first / ASH_PANEL_ROWS * panel_bytes;
    for (uint64_t first = 0; first < m->row_count && status == ASH_OK; first += step) {
        uint64_t last = m->row_count - first < step ? m->row_count : first + step;
        status = unpack_rows(e, item, &r, first, last, rows, err);
        if (status == ASH_OK)
            status = put(e, rows, (last - first) * bytes, err);
        uint64_t from = first / ASH_PANEL_ROWS * m->panel_step, to = last / ASH_PANEL_ROWS * m->panel_step;
        /* The second of an interleaved pair begins a panel into the tensor: its last step would end a panel behind. */
        uint64_t start = m->row_first / ASH_PANEL_ROWS, panels = item->tensor->size / panel_bytes - start;
        to = to < panels ? to : panels;
        drop_pages(data + from * panel_bytes, (to - from) * panel_bytes);
    }
    recoder_free(&r);
    free(rows);
    return status;
}

static ash_status put_rope_factors(ash_export *e, const ash_export_item *item, ash_error *err)
{
    uint64_t bytes = ash_export_item_bytes(item);
    float *factors = malloc(bytes);
    if (!factors)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    ash_export_rope_factors(&e->meta.h, factors);
    ash_status status = put(e, factors, bytes, err);
    free(factors);
    return status;
}

ash_status ash_export_data(ash_export *e, const ash_export_item *item, ash_error *err)
{
    if (!item->tensor)
        return put_rope_factors(e, item, err);
    return item->tensor->layout == ASH_LAYOUT_LINEAR ? put_linear(e, item, err) : put_tiled(e, item, err);
}
