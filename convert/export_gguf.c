/* An .ashlar file back to the GGUF that it came from: tiles to rows, rows to their source order, members to tensors. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/convert.h"
#include "convert/plan.h"
#include "format/checked.h"
#include "format/gguf_write.h"
#include "format/reader.h"
#include "format/tile.h"

#define PIECE_BYTES (UINT64_C(4) << 20)

/* One tensor of the GGUF to be: a member, in the source's order. */
typedef struct export_item {
    const ash_tensor_record *tensor;
    const ash_member_record *member;
} export_item;

typedef struct export_state {
    const char *path;
    const ash_export_options *options;
    ash_file *file;
    uint8_t *pairs;     /* GGKV's content */
    ash_gguf *source;   /* its key-values */
    export_item *items;
    uint32_t count;
    ash_gguf_writer *writer;
    uint64_t done, total;
    bool retyped;       /* some matrices have another type than in the source */
} export_state;

/* ---- what there is to write ---- */

static int compare_items(const void *a, const void *b)
{
    uint32_t x = ((const export_item *)a)->member->source_index, y = ((const export_item *)b)->member->source_index;
    return (x > y) - (x < y);
}

static uint64_t row_bytes(const export_item *item)
{
    uint64_t bytes = 0;
    (void)ash_row_bytes(item->tensor->dtype, item->tensor->dims[0], &bytes); /* the reader has checked the sizes */
    return bytes;
}

static uint64_t item_bytes(const export_item *item)
{
    return row_bytes(item) * item->member->row_count * item->member->slice_count;
}

/* What a record may say that this way back does not know: several matrices tiled, a source shape that does not have the
 * tensor's rows, single elements of blocks that move. The converter writes none of these. */
static ash_status check_item(const export_state *e, const export_item *item, ash_error *err)
{
    const ash_member_record *m = item->member;
    bool tiled = item->tensor->layout != ASH_LAYOUT_LINEAR;
    const char *name = ash_file_member_name(e->file, m);
    if (ash_dtype_find(item->tensor->dtype)->gguf < 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s is %s, which GGUF does not have", e->path, name,
                        ash_dtype_name(item->tensor->dtype));
    if (m->source_dims[0] != item->tensor->dims[0] || m->source_dim_count == 0 ||
        (item->tensor->dim_count == 1 && m->row_order != ASH_ROWS_SAME &&
         ash_dtype_find(item->tensor->dtype)->block_elems != 1) ||
        (tiled && (item->tensor->dims[2] * item->tensor->dims[3] != 1 || m->source_dims[1] != m->row_count)))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s has a shape that cannot be exported to GGUF", e->path,
                        name);
    return ASH_OK;
}

static ash_status collect(export_state *e, ash_error *err)
{
    uint32_t tensors = ash_file_tensor_count(e->file), members = 0;
    for (uint32_t i = 0; i < tensors; i++)
        members += ash_file_tensor(e->file, i)->member_count;
    e->items = calloc(members ? members : 1, sizeof *e->items);
    if (!e->items)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    for (uint32_t i = 0; i < tensors; i++) {
        const ash_tensor_record *t = ash_file_tensor(e->file, i);
        for (uint32_t m = 0; m < t->member_count; m++) {
            export_item *item = &e->items[e->count++];
            *item = (export_item){ t, ash_file_member(e->file, t->member_first + m) };
            ASH_TRY(check_item(e, item, err));
            e->total += item_bytes(item);
            e->retyped = e->retyped || item->member->source_dtype != t->dtype;
        }
    }
    qsort(e->items, e->count, sizeof *e->items, compare_items);
    for (uint32_t i = 1; i < e->count; i++)
        if (e->items[i].member->source_index == e->items[i - 1].member->source_index)
            return ash_fail(err, ASH_E_FORMAT, "%s: tensors %s and %s have the same place in the source", e->path,
                            ash_file_member_name(e->file, e->items[i - 1].member),
                            ash_file_member_name(e->file, e->items[i].member));
    return ASH_OK;
}

/* ---- data ---- */

static ash_status put(export_state *e, const void *bytes, uint64_t size, ash_error *err)
{
    ASH_TRY(ash_gguf_writer_put(e->writer, bytes, (size_t)size, err));
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

static ash_status put_linear(export_state *e, const export_item *item, ash_error *err)
{
    const ash_tensor_record *t = item->tensor;
    const ash_member_record *m = item->member;
    const uint8_t *data = ash_file_data(e->file, t);
    uint64_t rows = t->dim_count == 1 ? t->dims[0] : m->row_count, size = item_bytes(item), unit = size / rows;
    if (t->member_count != 1)
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: tensor %s shares an untiled tensor and cannot be exported",
                        e->path, ash_file_member_name(e->file, m));
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

/* Rows [first, last) of the source: whole heads where rows move within them, so that the same rows of the tensor fill
 * them. A panel that lies across the edge is unpacked on both sides. */
static void unpack_rows(const export_state *e, const export_item *item, uint64_t first, uint64_t last, uint8_t *out)
{
    const ash_tensor_record *t = item->tensor;
    const ash_member_record *m = item->member;
    uint64_t bytes = row_bytes(item);
    const uint8_t *data = ash_file_data(e->file, t);
    for (uint64_t p = first / ASH_PANEL_ROWS; p * ASH_PANEL_ROWS < last; p++) {
        uint8_t *rows[ASH_PANEL_ROWS] = { NULL };
        for (uint64_t i = 0; i < ASH_PANEL_ROWS; i++) {
            uint64_t row = p * ASH_PANEL_ROWS + i;
            if (row >= first && row < last)
                rows[i] = out + (ash_source_row(m, row) - first) * bytes;
        }
        uint64_t panel = m->row_first / ASH_PANEL_ROWS + p * m->panel_step;
        ash_tile_unpack(t->dtype, t->dims[0], data + panel * t->panel_bytes, rows);
    }
}

static ash_status put_tiled(export_state *e, const export_item *item, ash_error *err)
{
    const ash_member_record *m = item->member;
    uint64_t bytes = row_bytes(item), unit = m->row_order == ASH_ROWS_SAME ? ASH_PANEL_ROWS : m->row_order_head;
    uint64_t step = unit * bytes < PIECE_BYTES ? PIECE_BYTES / (unit * bytes) * unit : unit;
    step = step < m->row_count ? step : m->row_count;
    uint8_t *rows = malloc(step * bytes);
    if (!rows)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", e->path);
    uint64_t panel_bytes = item->tensor->panel_bytes;
    const uint8_t *data = ash_file_data(e->file, item->tensor) + m->row_first / ASH_PANEL_ROWS * panel_bytes;
    ash_status status = ASH_OK;
    for (uint64_t first = 0; first < m->row_count && status == ASH_OK; first += step) {
        uint64_t last = m->row_count - first < step ? m->row_count : first + step;
        unpack_rows(e, item, first, last, rows);
        status = put(e, rows, (last - first) * bytes, err);
        uint64_t from = first / ASH_PANEL_ROWS * m->panel_step, to = last / ASH_PANEL_ROWS * m->panel_step;
        /* The second of an interleaved pair begins a panel into the tensor: its last step would end a panel behind it. */
        uint64_t start = m->row_first / ASH_PANEL_ROWS, panels = item->tensor->size / panel_bytes - start;
        to = to < panels ? to : panels;
        drop_pages(data + from * panel_bytes, (to - from) * panel_bytes);
    }
    free(rows);
    return status;
}

/* ---- key-values ---- */

/* general.file_type names the type of most matrices: where they were given another type it must be theirs. The numbers
 * are llama.cpp's. */
static bool file_type(const export_state *e, uint32_t *out)
{
    static const struct { ash_dtype dtype; uint32_t number; } types[] = {
        { ASH_F32, 0 }, { ASH_F16, 1 }, { ASH_Q4_0, 2 }, { ASH_Q8_0, 7 }, { ASH_BF16, 32 },
    };
    for (uint32_t i = 0; i < e->count; i++)
        for (size_t k = 0; k < sizeof types / sizeof *types; k++)
            if (e->items[i].tensor->role == ASH_ROLE_EMBED && e->items[i].tensor->dtype == types[k].dtype)
                return *out = types[k].number, true;
    return false;
}

static ash_status put_pairs(export_state *e, ash_error *err)
{
    uint64_t count = ash_gguf_kv_count(e->source);
    for (uint64_t i = 0; i < count; i++) {
        const ash_gguf_kv *kv = ash_gguf_kv_at(e->source, i);
        static const char key[] = "general.file_type";
        uint32_t type;
        if (e->retyped && kv->key.size == sizeof key - 1 && memcmp(kv->key.text, key, sizeof key - 1) == 0) {
            if (file_type(e, &type))
                ASH_TRY(ash_gguf_writer_kv_u32(e->writer, key, type, err));
            continue;
        }
        ASH_TRY(ash_gguf_writer_kv_raw(e->writer, kv->record, (size_t)kv->record_size, err));
    }
    return ASH_OK;
}

static ash_status write_all(export_state *e, const char *output, ash_error *err)
{
    ASH_TRY(ash_gguf_writer_create(output, e->options->force, ash_gguf_version(e->source),
                                   ash_gguf_alignment(e->source), &e->writer, err));
    ASH_TRY(put_pairs(e, err));
    for (uint32_t i = 0; i < e->count; i++) {
        const ash_member_record *m = e->items[i].member;
        ash_dtype type = (ash_dtype)e->items[i].tensor->dtype;
        ASH_TRY(ash_gguf_writer_tensor(e->writer, ash_file_member_name(e->file, m), type, m->source_dim_count,
                                       m->source_dims, err));
    }
    for (uint32_t i = 0; i < e->count; i++) {
        bool linear = e->items[i].tensor->layout == ASH_LAYOUT_LINEAR;
        ASH_TRY(linear ? put_linear(e, &e->items[i], err) : put_tiled(e, &e->items[i], err));
    }
    ash_gguf_writer *w = e->writer;
    e->writer = NULL; /* finish frees it in any case */
    return ash_gguf_writer_finish(w, err);
}

static ash_status export(export_state *e, const char *output, ash_error *err)
{
    ASH_TRY(ash_file_open(e->path, &e->file, err));
    struct stat in, out;
    if (stat(e->path, &in) == 0 && stat(output, &out) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: is the source itself; choose another name for the output", output);
    if (!ash_file_section(e->file, ASH_SECTION_GGUF_KV))
        return ash_fail(err, ASH_E_UNSUPPORTED, "%s: was not converted from a GGUF, so there is no GGUF metadata to "
                        "export; use the Hugging Face checkpoint that it came from", e->path);
    size_t size;
    ASH_TRY(ash_file_section_read(e->file, ASH_SECTION_GGUF_KV, &e->pairs, &size, err));
    if (ash_gguf_open_kv(e->pairs, size, &e->source, err) != ASH_OK)
        return ash_fail_in(err, e->path);
    ASH_TRY(collect(e, err));
    return write_all(e, output, err);
}

ash_status ash_export_gguf(const char *ashlar_path, const char *output, const ash_export_options *options,
                           ash_error *err)
{
    static const ash_export_options defaults;
    export_state e = { .path = ashlar_path, .options = options ? options : &defaults };
    ash_status status = export(&e, output, err);
    if (e.writer)
        ash_gguf_writer_abort(e.writer);
    if (e.source)
        ash_gguf_close(e.source);
    free(e.pairs);
    free(e.items);
    ash_file_close(e.file);
    return status;
}
