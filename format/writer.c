#include "format/writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "format/checked.h"
#include "format/directory.h"
#include "format/fileio.h"
#include "format/hash.h"

#define ZSTD_LEVEL 12 /* of META and GGKV; part of "the same calls, the same bytes" */
#define WRITER_SECTIONS_MAX 16

typedef struct tensor_state {
    uint64_t slice_bytes; /* of one matrix, without padding */
    uint64_t given;       /* bytes put so far */
} tensor_state;

struct ash_writer {
    ash_output *out;
    ash_tensor_record *tensors;
    tensor_state *states;
    ash_member_record *members;
    char *strings;
    uint64_t string_bytes;
    size_t tensor_room, member_room, string_room;
    uint32_t tensor_count, member_count, section_count;
    ash_section_record sections[WRITER_SECTIONS_MAX]; /* TENS MEMB STRS DATA, then what add_section brings, then HASH */
    bool laid_out, broken;
    /* While data is written. */
    uint32_t current; /* tensors before it are complete */
    bool data_closed;
    ash_hasher *tensor_hasher, *chunk_hasher;
    uint64_t chunk_bytes; /* in chunk_hasher */
    ash_hash128 *chunks;
    size_t chunk_count, chunk_room;
};

enum { AT_TENSORS, AT_MEMBERS, AT_STRINGS, AT_DATA, AT_REST };

/* Makes room for one more item, doubling; `*room` and `count` are items. */
static ash_status grow(void **items, size_t *room, size_t count, size_t more, size_t item_bytes, ash_error *err)
{
    uint64_t want, bytes;
    if (count + more <= *room)
        return ASH_OK;
    if (!ash_add(count + more, *room, &want) || !ash_mul(want, item_bytes, &bytes) || bytes > SIZE_MAX / 2)
        return ash_fail(err, ASH_E_LIMIT, "the directory of the output is too large");
    void *p = realloc(*items, (size_t)bytes);
    if (!p)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for the output's directory");
    *items = p;
    *room = (size_t)want;
    return ASH_OK;
}

static void writer_free(ash_writer *w)
{
    ash_output_abort(w->out);
    ash_hasher_free(w->tensor_hasher);
    ash_hasher_free(w->chunk_hasher);
    free(w->tensors);
    free(w->states);
    free(w->members);
    free(w->strings);
    free(w->chunks);
    free(w);
}

void ash_writer_abort(ash_writer *w)
{
    if (w)
        writer_free(w);
}

ash_status ash_writer_create(const char *path, bool replace, ash_writer **out, ash_error *err)
{
    *out = NULL;
    ash_writer *w = calloc(1, sizeof *w);
    if (!w)
        return ash_fail(err, ASH_E_MEMORY, "out of memory for a writer");
    w->tensor_hasher = ash_hasher_new();
    w->chunk_hasher = ash_hasher_new();
    ash_status status = w->tensor_hasher && w->chunk_hasher ? ash_output_create(path, replace, &w->out, err)
                                                            : ash_fail(err, ASH_E_MEMORY, "out of memory for a writer");
    if (status != ASH_OK) {
        ash_writer_abort(w);
        return status;
    }
    *out = w;
    return ASH_OK;
}

static ash_status add_name(ash_writer *w, const char *name, uint64_t *offset, uint32_t *bytes, ash_error *err)
{
    size_t size = strlen(name);
    if (size == 0 || size > ASH_NAME_MAX)
        return ash_fail(err, ASH_E_LIMIT, "a tensor's name has %zu bytes; 1 to %d can be stored", size, ASH_NAME_MAX);
    ASH_TRY(grow((void **)&w->strings, &w->string_room, w->string_bytes, size + 1, 1, err));
    memcpy(w->strings + w->string_bytes, name, size + 1);
    *offset = w->string_bytes;
    *bytes = (uint32_t)size;
    w->string_bytes += size + 1;
    return ASH_OK;
}

ash_status ash_writer_add_tensor(ash_writer *w, const char *name, const ash_tensor_record *record, uint32_t *index,
                                 ash_error *err)
{
    if (index)
        *index = 0;
    if (w->laid_out)
        return ash_fail(err, ASH_E_ARGUMENT, "tensor %s is added after the layout is fixed", name);
    if (w->tensor_count >= ASH_TENSOR_MAX)
        return ash_fail(err, ASH_E_LIMIT, "more than %u tensors", ASH_TENSOR_MAX);
    size_t states_room = w->tensor_room;
    ASH_TRY(grow((void **)&w->states, &states_room, w->tensor_count, 1, sizeof *w->states, err));
    ASH_TRY(grow((void **)&w->tensors, &w->tensor_room, w->tensor_count, 1, sizeof *w->tensors, err));
    ash_tensor_record *t = &w->tensors[w->tensor_count];
    tensor_state *state = &w->states[w->tensor_count];
    /* Only the caller's fields: everything else is computed here or zero. */
    *t = (ash_tensor_record){ .role = record->role,
                              .layer = record->layer,
                              .dtype = record->dtype,
                              .layout = record->layout,
                              .layout_revision = record->layout_revision,
                              .dim_count = record->dim_count,
                              .scale_kind = record->scale_kind,
                              .member_first = w->member_count };
    memcpy(t->dims, record->dims, sizeof t->dims);
    for (int i = 0; i < 4; i++)
        if (i >= t->dim_count && t->dims[i] == 0)
            t->dims[i] = 1;
    memset(state, 0, sizeof *state);
    ASH_TRY(ash_tensor_geometry(t, name, &state->slice_bytes, err));
    ASH_TRY(add_name(w, name, &t->name, &t->name_bytes, err));
    if (index)
        *index = w->tensor_count;
    w->tensor_count++;
    return ASH_OK;
}

ash_status ash_writer_add_member(ash_writer *w, const char *source_name, const ash_member_record *record,
                                 ash_error *err)
{
    if (w->laid_out || w->tensor_count == 0)
        return ash_fail(err, ASH_E_ARGUMENT, "member %s is added %s", source_name,
                        w->laid_out ? "after the layout is fixed" : "before a tensor");
    if (w->member_count >= ASH_MEMBER_MAX)
        return ash_fail(err, ASH_E_LIMIT, "more than %u members", ASH_MEMBER_MAX);
    ASH_TRY(grow((void **)&w->members, &w->member_room, w->member_count, 1, sizeof *w->members, err));
    ash_tensor_record *t = &w->tensors[w->tensor_count - 1];
    ash_member_record *m = &w->members[w->member_count];
    *m = *record;
    memset(m->reserved, 0, sizeof m->reserved);
    if (m->slice_count == 0) {
        uint64_t slices = t->dims[2] * t->dims[3]; /* checked by ash_tensor_geometry */
        if (slices > UINT32_MAX)
            return ash_fail(err, ASH_E_LIMIT, "member %s has %" PRIu64 " matrices", source_name, slices);
        m->slice_first = 0;
        m->slice_count = (uint32_t)slices;
    }
    for (int i = 0; i < 4; i++)
        if (i >= (int64_t)m->source_dim_count && m->source_dims[i] == 0)
            m->source_dims[i] = 1;
    /* One string serves both where a tensor keeps its source's name. */
    if (strcmp(source_name, w->strings + t->name) == 0) {
        m->name = t->name;
        m->name_bytes = t->name_bytes;
    } else {
        ASH_TRY(add_name(w, source_name, &m->name, &m->name_bytes, err));
    }
    w->member_count++;
    t->member_count++;
    return ASH_OK;
}

/* Places section `which` behind `*at` and moves *at to its end. */
static ash_status place(ash_writer *w, int which, uint32_t id, uint64_t align, uint64_t size, uint64_t *at,
                        ash_error *err)
{
    ash_section_record *s = &w->sections[which];
    *s = (ash_section_record){ .id = id, .size = size, .raw_size = size };
    if (!ash_round_up(*at, align, &s->offset) || !ash_add(s->offset, size, at))
        return ash_fail(err, ASH_E_LIMIT, "the output would be larger than 2^64 bytes");
    return ASH_OK;
}

static ash_status append(ash_writer *w, const void *bytes, size_t size, ash_error *err)
{
    ash_status status = size > 0 ? ash_output_append(w->out, bytes, size, err) : ASH_OK;
    w->broken |= status != ASH_OK;
    return status;
}

static ash_status append_zeros(ash_writer *w, uint64_t size, ash_error *err)
{
    static const uint8_t zeros[4096];
    for (; size > 0; size -= size < sizeof zeros ? size : sizeof zeros)
        ASH_TRY(append(w, zeros, size < sizeof zeros ? (size_t)size : sizeof zeros, err));
    return ASH_OK;
}

ash_status ash_writer_layout(ash_writer *w, uint64_t *file_bytes, ash_error *err)
{
    if (file_bytes)
        *file_bytes = 0;
    if (w->laid_out)
        return ash_fail(err, ASH_E_ARGUMENT, "the layout is fixed twice");
    uint64_t at = ASH_HEADER_BYTES, data = 0;
    ASH_TRY(
        place(w, AT_TENSORS, ASH_SECTION_TENSORS, ASH_SECTION_ALIGN, w->tensor_count * sizeof *w->tensors, &at, err));
    ASH_TRY(
        place(w, AT_MEMBERS, ASH_SECTION_MEMBERS, ASH_SECTION_ALIGN, w->member_count * sizeof *w->members, &at, err));
    ASH_TRY(place(w, AT_STRINGS, ASH_SECTION_STRINGS, ASH_SECTION_ALIGN, w->string_bytes, &at, err));
    if (!ash_round_up(at, ASH_TENSOR_ALIGN, &at))
        return ash_fail(err, ASH_E_LIMIT, "the output would be larger than 2^64 bytes");
    for (uint32_t i = 0; i < w->tensor_count; i++) {
        ash_tensor_record *t = &w->tensors[i];
        if (!ash_add(at, data, &t->offset) || !ash_add(data, t->size, &data) ||
            !ash_round_up(data, ASH_TENSOR_ALIGN, &data))
            return ash_fail(err, ASH_E_LIMIT, "the output would be larger than 2^64 bytes");
    }
    ASH_TRY(place(w, AT_DATA, ASH_SECTION_DATA, ASH_TENSOR_ALIGN, data, &at, err));
    w->section_count = AT_REST;
    /* What a reader would refuse is refused before the work. */
    ash_directory d = { w->tensors, w->members, w->strings, w->string_bytes, w->tensor_count, w->member_count };
    ASH_TRY(ash_directory_check(&d, w->sections[AT_DATA].offset, data, err));
    w->laid_out = true;
    if (file_bytes)
        *file_bytes = at;
    return append_zeros(w, w->sections[AT_DATA].offset, err); /* rewritten by finish */
}

const ash_tensor_record *ash_writer_tensor(const ash_writer *w, uint32_t index)
{
    return index < w->tensor_count ? &w->tensors[index] : NULL;
}

static ash_status end_chunk(ash_writer *w, ash_error *err)
{
    ASH_TRY(grow((void **)&w->chunks, &w->chunk_room, w->chunk_count, 1, sizeof *w->chunks, err));
    w->chunks[w->chunk_count++] = ash_hasher_digest(w->chunk_hasher);
    ash_hasher_reset(w->chunk_hasher);
    w->chunk_bytes = 0;
    return ASH_OK;
}

/* Bytes of the data section, into the file and into the hash of their chunk; `tensor`: into the tensor's hash too. */
static ash_status emit(ash_writer *w, const void *bytes, size_t size, bool tensor, ash_error *err)
{
    const uint8_t *p = bytes;
    while (size > 0) {
        uint64_t room = ASH_DATA_CHUNK_BYTES - w->chunk_bytes;
        size_t n = size < room ? size : (size_t)room;
        ash_hasher_update(w->chunk_hasher, p, n);
        if (tensor)
            ash_hasher_update(w->tensor_hasher, p, n);
        ASH_TRY(append(w, p, n, err));
        w->chunk_bytes += n;
        if (w->chunk_bytes == ASH_DATA_CHUNK_BYTES)
            ASH_TRY(end_chunk(w, err));
        p += n;
        size -= n;
    }
    return ASH_OK;
}

static ash_status emit_zeros(ash_writer *w, uint64_t size, bool tensor, ash_error *err)
{
    static const uint8_t zeros[4096]; /* gaps are shorter than the alignment */
    return emit(w, zeros, (size_t)size, tensor, err);
}

static uint64_t bytes_wanted(const ash_writer *w, uint32_t index)
{
    return w->states[index].slice_bytes * w->tensors[index].dims[2] * w->tensors[index].dims[3];
}

static uint64_t gap_after(uint64_t position, uint64_t align) { return (align - position % align) % align; }

/* The tensor is complete: its hash, and zeros up to the next one. */
static ash_status end_tensor(ash_writer *w, ash_error *err)
{
    ash_tensor_record *t = &w->tensors[w->current];
    t->hash = ash_hasher_digest(w->tensor_hasher);
    ash_hasher_reset(w->tensor_hasher);
    w->current++;
    return emit_zeros(w, gap_after(t->size, ASH_TENSOR_ALIGN), false, err);
}

static ash_status put(ash_writer *w, uint32_t index, const uint8_t *bytes, size_t size, ash_error *err)
{
    const ash_tensor_record *t = &w->tensors[index];
    tensor_state *state = &w->states[index];
    uint64_t slice = state->slice_bytes, wanted = bytes_wanted(w, index);
    if (size > wanted - state->given)
        return ash_fail(err, ASH_E_ARGUMENT, "tensor %s gets more than its %" PRIu64 " bytes", w->strings + t->name,
                        wanted);
    while (size > 0) {
        uint64_t room = slice - state->given % slice;
        size_t n = size < room ? size : (size_t)room;
        ASH_TRY(emit(w, bytes, n, true, err));
        state->given += n;
        bytes += n;
        size -= n;
        if (n == room && state->given < wanted) /* between matrices; none where LINEAR */
            ASH_TRY(emit_zeros(w, t->slice_stride - slice, true, err));
    }
    return state->given == wanted ? end_tensor(w, err) : ASH_OK;
}

ash_status ash_writer_put(ash_writer *w, uint32_t index, const void *bytes, size_t size, ash_error *err)
{
    if (!w->laid_out || w->data_closed || w->broken || index != w->current || index >= w->tensor_count)
        return ash_fail(err, ASH_E_ARGUMENT,
                        "bytes of tensor %" PRIu32 " come out of order: %s, the next is tensor %" PRIu32, index,
                        w->broken ? "an earlier write failed" : "tensors are written one after another", w->current);
    ash_status status = put(w, index, bytes, size, err);
    w->broken |= status != ASH_OK;
    return status;
}

/* The data section ends before the first section behind it. */
static ash_status close_data(ash_writer *w, ash_error *err)
{
    if (w->data_closed)
        return ASH_OK;
    if (!w->laid_out || w->broken)
        return ash_fail(err, ASH_E_ARGUMENT, "the output has no complete data section");
    if (w->current != w->tensor_count)
        return ash_fail(err, ASH_E_ARGUMENT, "tensor %s has %" PRIu64 " of its %" PRIu64 " bytes",
                        w->strings + w->tensors[w->current].name, w->states[w->current].given,
                        bytes_wanted(w, w->current));
    if (w->chunk_bytes > 0)
        ASH_TRY(end_chunk(w, err));
    w->data_closed = true;
    return ASH_OK;
}

/* Appends a section behind what is there; `content` is what its bytes inflate to. */
static ash_status append_section(ash_writer *w, uint32_t id, uint32_t flags, const void *bytes, size_t size,
                                 size_t content, ash_error *err)
{
    uint64_t at = ash_output_position(w->out);
    ash_section_record *s = &w->sections[w->section_count];
    ASH_TRY(place(w, (int)w->section_count, id, ASH_SECTION_ALIGN, size, &at, err));
    s->flags = flags;
    s->raw_size = content;
    s->hash = ash_hash(bytes, size);
    ASH_TRY(append_zeros(w, s->offset - ash_output_position(w->out), err));
    ASH_TRY(append(w, bytes, size, err));
    w->section_count++;
    return ASH_OK;
}

ash_status ash_writer_add_section(ash_writer *w, uint32_t id, const void *bytes, size_t size, bool compress,
                                  ash_error *err)
{
    ASH_TRY(close_data(w, err));
    for (uint32_t i = 0; i < w->section_count; i++)
        if (w->sections[i].id == id)
            return ash_fail(err, ASH_E_ARGUMENT, "section %08" PRIx32 " is there already", id);
    if (id == 0 || id == ASH_SECTION_HASHES || w->section_count >= WRITER_SECTIONS_MAX - 1)
        return ash_fail(err, ASH_E_ARGUMENT, "section %08" PRIx32 " cannot be added", id);
    if (!compress || size == 0)
        return append_section(w, id, 0, bytes, size, size, err);
    size_t room = ZSTD_compressBound(size);
    void *packed = malloc(room);
    if (!packed)
        return ash_fail(err, ASH_E_MEMORY, "out of memory: %zu bytes to compress a section", room);
    size_t n = ZSTD_compress(packed, room, bytes, size, ZSTD_LEVEL);
    ash_status status;
    if (ZSTD_isError(n))
        status = ash_fail(err, ASH_E_MEMORY, "compressing a section: %s", ZSTD_getErrorName(n));
    else if (n < size)
        status = append_section(w, id, ASH_SECTION_FLAG_ZSTD, packed, n, size, err);
    else /* what does not shrink is stored as it is */
        status = append_section(w, id, 0, bytes, size, size, err);
    free(packed);
    return status;
}

static ash_status finish(ash_writer *w, uint64_t *file_bytes, ash_error *err)
{
    ASH_TRY(close_data(w, err));
    ASH_TRY(append_section(w, ASH_SECTION_HASHES, 0, w->chunks, w->chunk_count * sizeof *w->chunks,
                           w->chunk_count * sizeof *w->chunks, err));
    const void *directory[] = { w->tensors, w->members, w->strings };
    for (int i = AT_TENSORS; i <= AT_STRINGS; i++) {
        ash_section_record *s = &w->sections[i];
        s->hash = ash_hash(directory[i], (size_t)s->size);
        if (s->size > 0)
            ASH_TRY(ash_output_rewrite(w->out, s->offset, directory[i], (size_t)s->size, err));
    }
    w->sections[AT_DATA].hash = w->sections[w->section_count - 1].hash; /* the root */

    ash_header header = {
        .magic = { 0 },
        .version = ASH_VERSION,
        .header_bytes = ASH_HEADER_BYTES,
        .file_bytes = ash_output_position(w->out),
        .section_count = w->section_count,
        .section_record_bytes = sizeof(ash_section_record),
        .tensor_record_bytes = sizeof(ash_tensor_record),
        .member_record_bytes = sizeof(ash_member_record),
        .file_count = 1,
        .tensor_align = ASH_TENSOR_ALIGN,
        .data_chunk_bytes = ASH_DATA_CHUNK_BYTES,
    };
    memcpy(header.magic, ASH_MAGIC, sizeof header.magic);
    memcpy(header.sections, w->sections, w->section_count * sizeof header.sections[0]);
    header.header_hash = ash_hash(&header, sizeof header);
    ASH_TRY(ash_output_rewrite(w->out, 0, &header, sizeof header, err));
    ash_output *out = w->out;
    w->out = NULL; /* commit frees it in any case */
    ASH_TRY(ash_output_commit(out, err));
    if (file_bytes)
        *file_bytes = header.file_bytes;
    return ASH_OK;
}

ash_status ash_writer_finish(ash_writer *w, uint64_t *file_bytes, ash_error *err)
{
    if (file_bytes)
        *file_bytes = 0;
    ash_status status = finish(w, file_bytes, err);
    writer_free(w);
    return status;
}
