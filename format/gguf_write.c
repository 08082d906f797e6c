/* Writes GGUF files. Pairs and the tensor directory gather in memory; the first data byte fixes and writes them.
 *
 * What the usual writers do at the end of a file, and so does this one: with tensors, the header and every tensor, the
 * last one too, are padded to the alignment; a file without tensors ends with its last pair.
 */
#include "format/gguf_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/gguf_internal.h"

typedef struct bytes {
    uint8_t *data;
    size_t size, room;
} bytes;

struct ash_gguf_writer {
    ash_output *out;
    uint32_t version;
    uint64_t alignment;
    uint64_t kv_count;
    bytes kv, directory;
    uint64_t *sizes; /* of the tensors, bytes without padding */
    uint64_t tensor_count, tensor_room;
    uint64_t data_bytes;      /* declared so far, with padding */
    bool started;             /* header and directory are written */
    uint64_t current, filled; /* the tensor that put() fills, and how far */
};

static ash_status append(bytes *b, const void *data, size_t size, ash_error *err)
{
    if (size > b->room - b->size) {
        uint64_t need, room = b->room < 4096 ? 4096 : b->room;
        if (!ash_add(b->size, size, &need) || need > SIZE_MAX / 2)
            return ash_fail(err, ASH_E_LIMIT, "the GGUF header would be too large");
        while (room < need)
            room *= 2;
        uint8_t *grown = realloc(b->data, room);
        if (!grown)
            return ash_fail(err, ASH_E_MEMORY, "no memory for a GGUF header of %" PRIu64 " bytes", need);
        b->data = grown;
        b->room = room;
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    return ASH_OK;
}

static ash_status append_u32(bytes *b, uint32_t value, ash_error *err) { return append(b, &value, sizeof value, err); }
static ash_status append_u64(bytes *b, uint64_t value, ash_error *err) { return append(b, &value, sizeof value, err); }

static ash_status append_text(bytes *b, const char *text, size_t size, ash_error *err)
{
    ASH_TRY(append_u64(b, size, err));
    return append(b, text, size, err);
}

ash_status ash_gguf_writer_create(const char *path, bool replace, uint32_t version, uint64_t alignment,
                                  ash_gguf_writer **out, ash_error *err)
{
    *out = NULL;
    if (version < 2 || version > 3)
        return ash_fail(err, ASH_E_ARGUMENT, "%s: GGUF version %" PRIu32 " cannot be written; use 2 or 3", path,
                        version);
    if (!ash_gguf_alignment_valid(alignment))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: GGUF alignment %" PRIu64 " is no power of two from %d to %" PRIu64,
                        path, alignment, ASH_GGUF_MIN_ALIGN, ASH_GGUF_MAX_ALIGN);
    ash_gguf_writer *w = calloc(1, sizeof *w);
    if (!w)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory", path);
    w->version = version;
    w->alignment = alignment;
    ash_status status = ash_output_create(path, replace, &w->out, err);
    if (status != ASH_OK) {
        free(w);
        return status;
    }
    *out = w;
    return ASH_OK;
}

/* ---- pairs ---- */

/* Opens a pair: key and type. A failure in the middle leaves half a pair behind, which start() then refuses. */
static ash_status begin_kv(ash_gguf_writer *w, const char *key, ash_gguf_type type, ash_error *err)
{
    if (w->started)
        return ash_fail(err, ASH_E_ARGUMENT, "GGUF key '%s' comes after the data", key);
    ASH_TRY(append_text(&w->kv, key, strlen(key), err));
    ASH_TRY(append_u32(&w->kv, type, err));
    w->kv_count++;
    return ASH_OK;
}

ash_status ash_gguf_writer_kv_raw(ash_gguf_writer *w, const void *record, size_t size, ash_error *err)
{
    if (w->started)
        return ash_fail(err, ASH_E_ARGUMENT, "a GGUF key comes after the data");
    ASH_TRY(append(&w->kv, record, size, err));
    w->kv_count++;
    return ASH_OK;
}

ash_status ash_gguf_writer_kv_u32(ash_gguf_writer *w, const char *key, uint32_t value, ash_error *err)
{
    ASH_TRY(begin_kv(w, key, ASH_GGUF_U32, err));
    return append_u32(&w->kv, value, err);
}

ash_status ash_gguf_writer_kv_f32(ash_gguf_writer *w, const char *key, float value, ash_error *err)
{
    ASH_TRY(begin_kv(w, key, ASH_GGUF_F32, err));
    return append(&w->kv, &value, sizeof value, err);
}

ash_status ash_gguf_writer_kv_bool(ash_gguf_writer *w, const char *key, bool value, ash_error *err)
{
    uint8_t byte = value;
    ASH_TRY(begin_kv(w, key, ASH_GGUF_BOOL, err));
    return append(&w->kv, &byte, sizeof byte, err);
}

ash_status ash_gguf_writer_kv_string(ash_gguf_writer *w, const char *key, const char *value, size_t size,
                                     ash_error *err)
{
    ASH_TRY(begin_kv(w, key, ASH_GGUF_STRING, err));
    return append_text(&w->kv, value, size, err);
}

ash_status ash_gguf_writer_kv_array(ash_gguf_writer *w, const char *key, ash_gguf_type element, const void *values,
                                    uint64_t count, ash_error *err)
{
    uint64_t size;
    if (ash_gguf_scalar_bytes(element) == 0 || !ash_mul(count, ash_gguf_scalar_bytes(element), &size))
        return ash_fail(err, ASH_E_ARGUMENT, "GGUF key '%s' cannot be an array of %" PRIu64 " elements of type %d",
                        key, count, (int)element);
    ASH_TRY(begin_kv(w, key, ASH_GGUF_ARRAY, err));
    ASH_TRY(append_u32(&w->kv, element, err));
    ASH_TRY(append_u64(&w->kv, count, err));
    return append(&w->kv, values, size, err);
}

ash_status ash_gguf_writer_kv_strings(ash_gguf_writer *w, const char *key, const ash_gguf_string *values,
                                      uint64_t count,
                                      ash_error *err)
{
    ASH_TRY(begin_kv(w, key, ASH_GGUF_ARRAY, err));
    ASH_TRY(append_u32(&w->kv, ASH_GGUF_STRING, err));
    ASH_TRY(append_u64(&w->kv, count, err));
    for (uint64_t i = 0; i < count; i++)
        ASH_TRY(append_text(&w->kv, values[i].text, values[i].size, err));
    return ASH_OK;
}

/* ---- tensors ---- */

ash_status ash_gguf_writer_tensor(ash_gguf_writer *w, const char *name, ash_dtype dtype, uint32_t dim_count,
                                  const uint64_t dims[4], ash_error *err)
{
    size_t length = strlen(name);
    if (w->started)
        return ash_fail(err, ASH_E_ARGUMENT, "GGUF tensor '%s' is declared after the data", name);
    if (length == 0 || length > ASH_GGUF_MAX_NAME_BYTES)
        return ash_fail(err, ASH_E_ARGUMENT, "a GGUF tensor's name has %zu bytes (1 to %d are allowed)", length,
                        ASH_GGUF_MAX_NAME_BYTES);
    uint64_t size, end;
    ash_status status = ash_gguf_tensor_bytes(dtype, dim_count, dims, &size, err);
    if (status != ASH_OK)
        return ash_fail_in(err, name);
    if (!ash_add(w->data_bytes, size, &end) || !ash_round_up(end, w->alignment, &end) || end > INT64_MAX)
        return ash_fail(err, ASH_E_LIMIT, "tensor '%s': the file would be too large", name);
    if (w->tensor_count == w->tensor_room) {
        uint64_t room = w->tensor_room ? 2 * w->tensor_room : 64;
        uint64_t *sizes = realloc(w->sizes, room * sizeof *sizes);
        if (!sizes)
            return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu64 " tensors", room);
        w->sizes = sizes;
        w->tensor_room = room;
    }
    ASH_TRY(append_text(&w->directory, name, length, err));
    ASH_TRY(append_u32(&w->directory, dim_count, err));
    for (uint32_t i = 0; i < dim_count; i++)
        ASH_TRY(append_u64(&w->directory, dims[i], err));
    ASH_TRY(append_u32(&w->directory, (uint32_t)ash_dtype_find(dtype)->gguf, err));
    ASH_TRY(append_u64(&w->directory, w->data_bytes, err));
    w->sizes[w->tensor_count++] = size;
    w->data_bytes = end;
    return ASH_OK;
}

/* Raw pairs come from files: what is about to be written must read back. */
static ash_status check_pairs(const ash_gguf_writer *w, ash_error *err)
{
    ash_gguf_scan s = { ash_cursor_of(w->kv.data, w->kv.size), w->kv.size, 0 };
    ash_gguf_table table;
    uint64_t alignment;
    ASH_TRY(ash_gguf_table_parse(&s, w->kv_count, &table, err));
    ash_status status = ash_gguf_table_alignment(&table, &alignment, err);
    if (status == ASH_OK && s.c.at != s.limit)
        status = ash_fail(err, ASH_E_FORMAT, "%" PRIu64 " bytes follow the last pair", s.limit - s.c.at);
    if (status == ASH_OK && alignment != w->alignment)
        status = ash_fail(err, ASH_E_FORMAT, "general.alignment says %" PRIu64
                          " (32 where absent), the tensors are aligned to %" PRIu64, alignment, w->alignment);
    ash_gguf_table_free(&table);
    return status;
}

static ash_status start(ash_gguf_writer *w, ash_error *err)
{
    if (check_pairs(w, err) != ASH_OK)
        return ash_fail_in(err, "GGUF key-values to be written");
    w->started = true;
    ASH_TRY(ash_output_append(w->out, ASH_GGUF_MAGIC, 4, err));
    ASH_TRY(ash_output_append(w->out, &w->version, sizeof w->version, err));
    ASH_TRY(ash_output_append(w->out, &w->tensor_count, sizeof w->tensor_count, err));
    ASH_TRY(ash_output_append(w->out, &w->kv_count, sizeof w->kv_count, err));
    if (w->kv.size)
        ASH_TRY(ash_output_append(w->out, w->kv.data, w->kv.size, err));
    if (w->tensor_count == 0)
        return ASH_OK;
    ASH_TRY(ash_output_append(w->out, w->directory.data, w->directory.size, err));
    return ash_output_pad(w->out, w->alignment, err);
}

ash_status ash_gguf_writer_put(ash_gguf_writer *w, const void *data, size_t size, ash_error *err)
{
    const uint8_t *p = data;
    if (!w->started)
        ASH_TRY(start(w, err));
    while (size > 0) {
        if (w->current == w->tensor_count)
            return ash_fail(err, ASH_E_ARGUMENT, "%zu bytes come after the last GGUF tensor is complete", size);
        uint64_t left = w->sizes[w->current] - w->filled;
        size_t n = size < left ? size : left;
        ASH_TRY(ash_output_append(w->out, p, n, err));
        p += n;
        size -= n;
        w->filled += n;
        if (w->filled == w->sizes[w->current]) {
            ASH_TRY(ash_output_pad(w->out, w->alignment, err));
            w->current++;
            w->filled = 0;
        }
    }
    return ASH_OK;
}

static void free_writer(ash_gguf_writer *w)
{
    free(w->kv.data);
    free(w->directory.data);
    free(w->sizes);
    free(w);
}

ash_status ash_gguf_writer_finish(ash_gguf_writer *w, ash_error *err)
{
    ash_status status = w->started ? ASH_OK : start(w, err);
    if (status == ASH_OK && w->current != w->tensor_count)
        status = ash_fail(err, ASH_E_ARGUMENT, "only %" PRIu64 " of %" PRIu64 " GGUF tensors were written", w->current,
                          w->tensor_count);
    if (status == ASH_OK)
        status = ash_output_commit(w->out, err);
    else
        ash_output_abort(w->out);
    free_writer(w);
    return status;
}

void ash_gguf_writer_abort(ash_gguf_writer *w)
{
    if (!w)
        return;
    ash_output_abort(w->out);
    free_writer(w);
}
