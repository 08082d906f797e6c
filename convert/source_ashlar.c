/* An .ashlar file as a source: its members are the tensors, under the names, shapes and row order of where they once
 * came from; tiles go back to rows as they are read. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "convert/source_internal.h"
#include "format/checked.h"
#include "format/tile.h"

/* What a record may say that is not read here: several matrices in a tensor, members that share an untiled one. The
 * converter writes none of these. */
static ash_status add_member(ash_source *s, const ash_tensor_record *t, const ash_member_record *m, ash_error *err)
{
    const char *name = ash_file_member_name(s->ashlar, m);
    bool tiled = t->layout != ASH_LAYOUT_LINEAR;
    bool known = tiled ? t->dims[2] * t->dims[3] == 1 && m->source_dim_count == 2 &&
                             m->source_dims[0] == t->dims[0] && m->source_dims[1] == m->row_count
                       : t->member_count == 1;
    uint64_t row = 0, size = t->size;
    if (!known || (tiled && (!ash_row_bytes(t->dtype, t->dims[0], &row) || !ash_mul(row, m->row_count, &size))))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s lies in a way that cannot be converted again", s->path,
                        name);
    ash_source_tensor *to = &s->tensors[s->count];
    *to = (ash_source_tensor){ .name = name, .dtype = (ash_dtype)t->dtype, .dim_count = m->source_dim_count,
                               .size = size, .offset = t->offset, .index = s->count, .tensor = t, .member = m };
    for (uint32_t d = 0; d < 8; d++)
        to->dims[d] = d < 4 ? m->source_dims[d] : 1;
    s->count++;
    return ASH_OK;
}

static ash_status read_meta(ash_source *s, ash_error *err)
{
    uint8_t *json;
    size_t size;
    ASH_TRY(ash_file_section_read(s->ashlar, ASH_SECTION_META, &json, &size, err));
    ash_status status = ash_meta_read((const char *)json, size, &s->meta, err);
    free(json);
    if (status != ASH_OK)
        return ash_fail_in(err, s->path);
    s->kind = s->meta.source_kind && strcmp(s->meta.source_kind, "gguf") == 0 ? ASH_SOURCE_GGUF : ASH_SOURCE_HF;
    return ASH_OK;
}

ash_status ash_source_open_ashlar(ash_source *s, ash_error *err)
{
    ASH_TRY(ash_file_open(s->path, &s->ashlar, err));
    ASH_TRY(ash_input_open(s->path, &s->ashlar_input, err));
    ASH_TRY(read_meta(s, err));
    uint32_t members = 0, tensors = ash_file_tensor_count(s->ashlar);
    for (uint32_t i = 0; i < tensors; i++)
        members += ash_file_tensor(s->ashlar, i)->member_count;
    s->file_count = 1;
    s->tensors = calloc(members ? members : 1, sizeof *s->tensors);
    if (!s->tensors)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory for %" PRIu32 " tensors", s->path, members);
    for (uint32_t i = 0; i < tensors; i++) {
        const ash_tensor_record *t = ash_file_tensor(s->ashlar, i);
        for (uint32_t m = 0; m < t->member_count; m++)
            ASH_TRY(add_member(s, t, ash_file_member(s->ashlar, t->member_first + m), err));
    }
    return ASH_OK;
}

/* ---- reading ---- */

uint64_t ash_canonical_row(const ash_member_record *m, uint64_t row)
{
    if (m->row_order != ASH_ROWS_HALVES)
        return row;
    uint64_t head = row / m->row_order_head * m->row_order_head, at = row - head, half = m->row_order_rope / 2;
    return at < m->row_order_rope ? head + at % half * 2 + at / half : row;
}

/* Gives back the pages of the mapping that were read, so that resident memory stays bounded. */
static void drop_pages(const uint8_t *from, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)from + page - 1) / page * page, last = ((uintptr_t)from + size) / page * page;
    if (last > first)
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

/* Neighbouring source rows lie in one panel, or every other row of it: a panel is unpacked once for all of them. */
static void read_tiled(const ash_source *s, const ash_source_tensor *t, uint64_t first, uint64_t count,
                       uint64_t row_bytes, uint8_t *out)
{
    const ash_member_record *m = t->member;
    const uint8_t *data = ash_file_data(s->ashlar, t->tensor);
    uint64_t panel_bytes = t->tensor->panel_bytes, low = UINT64_MAX, high = 0;
    uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
    uint64_t open = UINT64_MAX;
    for (uint64_t i = 0; i <= count; i++) {
        uint64_t row = i < count ? ash_canonical_row(m, first + i) : 0;
        uint64_t panel = m->row_first / ASH_PANEL_ROWS + row / ASH_PANEL_ROWS * m->panel_step;
        if (open != UINT64_MAX && (i == count || panel != open)) {
            ash_tile_unpack(t->tensor->dtype, t->tensor->dims[0], data + open * panel_bytes, rows);
            memset(rows, 0, sizeof rows);
            low = open < low ? open : low;
            high = open > high ? open : high;
        }
        if (i < count) {
            open = panel;
            rows[row % ASH_PANEL_ROWS] = out + i * row_bytes;
        }
    }
    if (count)
        drop_pages(data + low * panel_bytes, (high - low + 1) * panel_bytes);
}

ash_status ash_source_read_ashlar(const ash_source *s, const ash_source_tensor *t, uint64_t at, void *out, size_t size,
                                  ash_error *err)
{
    const ash_tensor_record *tensor = t->tensor;
    if (at > t->size || size > t->size - at)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: bytes beyond the end of %s are asked for", s->path, t->name);
    const uint8_t *data = ash_file_data(s->ashlar, tensor);
    bool tiled = tensor->layout != ASH_LAYOUT_LINEAR;
    if (!tiled && t->member->row_order == ASH_ROWS_SAME) {
        memcpy(out, data + at, size);
        drop_pages(data + at, size);
        return ASH_OK;
    }
    uint64_t rows = tiled || tensor->dim_count > 1 ? t->member->row_count : tensor->dims[0], unit = t->size / rows;
    if (at % unit != 0 || size % unit != 0)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: part of a row of %s is asked for", s->path, t->name);
    if (tiled) {
        read_tiled(s, t, at / unit, size / unit, unit, out);
        return ASH_OK;
    }
    for (uint64_t i = 0; i < size / unit; i++)
        memcpy((uint8_t *)out + i * unit, data + ash_canonical_row(t->member, at / unit + i) * unit, unit);
    return ASH_OK;
}
