/* Reads every byte of an open .ashlar file and compares it with what its hashes and its format say. */
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/checked.h"
#include "format/hash.h"
#include "format/reader.h"
#include "format/tile.h"

typedef struct verification {
    const ash_file *file;
    const uint8_t *bytes; /* the whole file */
    const ash_section_record *data;
    const ash_hash128 *chunks;
    ash_hasher *hasher;
    uint32_t tensor; /* tensors before it are verified */
    ash_progress_fn progress;
    void *context;
    uint64_t done;
} verification;

static bool all_zero(const uint8_t *p, uint64_t size)
{
    for (; size > 0 && ((uintptr_t)p & 7) != 0; size--)
        if (*p++)
            return false;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (word)
            return false;
    }
    for (; size > 0; size--)
        if (*p++)
            return false;
    return true;
}

static ash_status advance(verification *v, uint64_t bytes, ash_error *err)
{
    v->done += bytes;
    if (v->progress && v->progress(v->context, v->done, ash_file_header(v->file)->file_bytes) != 0)
        return ash_fail(err, ASH_E_CANCELLED, "verification was stopped at byte %" PRIu64, v->done);
    return ASH_OK;
}

/* What the kernel should do with the pages of [offset, offset + size): only a hint. */
static void advise(const verification *v, uint64_t offset, uint64_t size, int advice)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), begin = offset / page * page;
    madvise((void *)(uintptr_t)(v->bytes + begin), (size_t)(offset - begin + size), advice);
}

static ash_status damaged(const verification *v, const ash_tensor_record *t, const char *what, ash_error *err)
{
    return ash_fail(err, ASH_E_CHECKSUM, "tensor %s is damaged (%s): copy or convert the file again",
                    ash_file_tensor_name(v->file, t), what);
}

/* A chunk's hash is wrong: which of the tensors that it touches is it? */
static ash_status blame_chunk(const verification *v, uint64_t begin, uint64_t end, ash_error *err)
{
    for (uint32_t i = v->tensor; i < ash_file_tensor_count(v->file); i++) {
        const ash_tensor_record *t = ash_file_tensor(v->file, i);
        if (t->offset >= end)
            break;
        if (!ash_hash_equal(ash_hash(v->bytes + t->offset, (size_t)t->size), t->hash))
            return damaged(v, t, "wrong checksum", err);
    }
    return ash_fail(err, ASH_E_CHECKSUM,
                    "bytes %" PRIu64 " to %" PRIu64 " have a wrong checksum: copy or convert the file again", begin,
                    end);
}

/* Zeros where the format wants them: panel padding and, between matrices, alignment. The tensor's hash is right. */
static ash_status check_padding(const verification *v, const ash_tensor_record *t, ash_error *err)
{
    if (t->layout == ASH_LAYOUT_LINEAR)
        return ASH_OK;
    const uint8_t *tensor = v->bytes + t->offset;
    uint64_t cols = t->dims[0], rows = t->dims[1], panels = ash_div_up(rows, ASH_PANEL_ROWS),
             slices = t->dims[2] * t->dims[3];
    /* Where K fills its tiles, only a last panel with missing rows has padding. */
    uint64_t first = cols % ash_tile_layout_of(t->dtype)->tile_cols == 0 ? rows / ASH_PANEL_ROWS : 0;
    for (uint64_t s = 0; s < slices; s++) {
        const uint8_t *slice = tensor + s * t->slice_stride;
        for (uint64_t p = first; p < panels; p++) {
            uint64_t left = rows - p * ASH_PANEL_ROWS;
            uint32_t valid = left < ASH_PANEL_ROWS ? (uint32_t)left : ASH_PANEL_ROWS;
            if (!ash_tile_padding_zero(t->dtype, cols, valid, slice + p * t->panel_bytes))
                return damaged(v, t, "padding inside its tiles is not zero", err);
        }
        uint64_t used = panels * t->panel_bytes;
        if (s + 1 < slices && !all_zero(slice + used, t->slice_stride - used))
            return damaged(v, t, "padding between its matrices is not zero", err);
    }
    return ASH_OK;
}

/* Takes [begin, end) of the file, whose chunk hash is right, into the hashes of its tensors. */
static ash_status check_tensors(verification *v, uint64_t begin, uint64_t end, ash_error *err)
{
    uint64_t at = begin;
    for (; v->tensor < ash_file_tensor_count(v->file); v->tensor++) {
        const ash_tensor_record *t = ash_file_tensor(v->file, v->tensor);
        uint64_t tensor_end = t->offset + t->size;
        if (t->offset >= end)
            break;
        if (at < t->offset) {
            if (!all_zero(v->bytes + at, t->offset - at))
                return ash_fail(err, ASH_E_CHECKSUM, "padding before tensor %s is not zero",
                                ash_file_tensor_name(v->file, t));
            at = t->offset;
        }
        uint64_t upto = tensor_end < end ? tensor_end : end;
        ash_hasher_update(v->hasher, v->bytes + at, (size_t)(upto - at));
        at = upto;
        if (upto < tensor_end)
            return ASH_OK; /* goes on in the next chunk */
        if (!ash_hash_equal(ash_hasher_digest(v->hasher), t->hash))
            return damaged(v, t, "wrong checksum", err);
        ash_hasher_reset(v->hasher);
        ASH_TRY(check_padding(v, t, err));
    }
    if (!all_zero(v->bytes + at, end - at))
        return ash_fail(err, ASH_E_CHECKSUM, "padding behind the tensor data is not zero");
    return ASH_OK;
}

static ash_status check_data(verification *v, ash_error *err)
{
    uint64_t begin = v->data->offset, data_end = begin + v->data->size;
    for (uint64_t chunk = 0; begin < data_end; chunk++) {
        uint64_t left = data_end - begin, size = left < ASH_DATA_CHUNK_BYTES ? left : ASH_DATA_CHUNK_BYTES,
                 end = begin + size;
        advise(v, begin, size, MADV_SEQUENTIAL);
        if (size < left)
            advise(v, end, left - size < ASH_DATA_CHUNK_BYTES ? left - size : ASH_DATA_CHUNK_BYTES, MADV_WILLNEED);
        if (!ash_hash_equal(ash_hash(v->bytes + begin, (size_t)size), v->chunks[chunk]))
            return blame_chunk(v, begin, end, err);
        ASH_TRY(check_tensors(v, begin, end, err));
        advise(v, begin, size, MADV_NORMAL);
        ASH_TRY(advance(v, size, err));
        begin = end;
    }
    return ASH_OK;
}

static int by_offset(const void *a, const void *b)
{
    const ash_section_record *x = *(const ash_section_record *const *)a, *y = *(const ash_section_record *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

/* The hashes of all sections but DATA, and zeros in everything that no section owns. */
static ash_status check_sections(verification *v, ash_error *err)
{
    const ash_header *h = ash_file_header(v->file);
    const ash_section_record *order[ASH_SECTION_MAX];
    for (uint32_t i = 0; i < h->section_count; i++)
        order[i] = &h->sections[i];
    qsort(order, h->section_count, sizeof order[0], by_offset);
    uint64_t at = ASH_HEADER_BYTES;
    ASH_TRY(advance(v, at, err));
    for (uint32_t i = 0; i < h->section_count; i++) {
        const ash_section_record *s = order[i];
        char name[5] = { (char)s->id, (char)(s->id >> 8), (char)(s->id >> 16), (char)(s->id >> 24), 0 };
        /* An empty section may lie anywhere. */
        if (s->size > 0 && !all_zero(v->bytes + at, s->offset - at))
            return ash_fail(err, ASH_E_CHECKSUM, "padding before section %s is not zero: copy the file again", name);
        if (s != v->data && !ash_hash_equal(ash_hash(v->bytes + s->offset, (size_t)s->size), s->hash))
            return ash_fail(err, ASH_E_CHECKSUM, "section %s is damaged (wrong checksum): copy the file again", name);
        if (s->size == 0)
            continue;
        uint64_t end = s->offset + s->size;
        ASH_TRY(advance(v, s == v->data ? s->offset - at : end - at, err));
        at = end;
    }
    if (!all_zero(v->bytes + at, h->file_bytes - at))
        return ash_fail(err, ASH_E_CHECKSUM, "bytes behind the last section are not zero: copy the file again");
    return advance(v, h->file_bytes - at, err);
}

/* What section_read checks beyond hashes: that compressed sections inflate. */
static ash_status check_packed(const ash_file *file, ash_error *err)
{
    const ash_header *h = ash_file_header(file);
    for (uint32_t i = 0; i < h->section_count; i++) {
        uint32_t id = h->sections[i].id;
        uint8_t *bytes;
        size_t size;
        if (id != ASH_SECTION_META && id != ASH_SECTION_GGUF_KV)
            continue;
        ASH_TRY(ash_file_section_read(file, id, &bytes, &size, err));
        free(bytes);
    }
    return ASH_OK;
}

ash_status ash_file_verify(const ash_file *file, ash_progress_fn progress, void *context, ash_error *err)
{
    size_t size;
    const ash_header *h = ash_file_header(file);
    verification v = { .file = file, .bytes = (const uint8_t *)h, .progress = progress, .context = context };
    v.data = ash_file_section(file, ASH_SECTION_DATA);
    v.chunks = (const ash_hash128 *)ash_file_section_bytes(file, ASH_SECTION_HASHES, &size);
    v.hasher = ash_hasher_new();
    if (!v.hasher)
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", ash_file_path(file));
    ash_status status = check_sections(&v, err);
    if (status == ASH_OK)
        status = check_data(&v, err);
    ash_hasher_free(v.hasher);
    if (status != ASH_OK)
        return ash_fail_in(err, ash_file_path(file));
    return check_packed(file, err);
}
