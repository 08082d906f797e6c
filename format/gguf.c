/* GGUF files: header, tensor directory, parts of a split model.
 *
 * A file is: "GGUF", u32 version, u64 tensors, u64 pairs, the pairs, the tensor directory (name, u32 dimensions,
 * u64 each, u32 type, u64 offset in the data), zeros up to the alignment, data. The header's length is not stored:
 * the file's beginning is read in growing steps and parsed again until it is complete.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/gguf_internal.h"

#define FIRST_READ_BYTES (UINT64_C(1) << 20)
#define HEADER_MAX_BYTES (UINT64_C(1) << 30)

/* One file of a model while it is being opened. */
typedef struct part {
    ash_input file;
    uint32_t version;
    uint64_t alignment;
    uint8_t *header;
    ash_gguf_table table;
    ash_gguf_tensor *tensors;
    uint32_t tensor_count;
} part;

static void free_tensors(ash_gguf_tensor *tensors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free((char *)tensors[i].name);
    free(tensors);
}

static void part_free(part *p)
{
    if (p->file.path)
        ash_input_close(&p->file);
    ash_gguf_table_free(&p->table);
    free_tensors(p->tensors, p->tensor_count);
    free(p->header);
    *p = (part){ 0 };
}

/* ---- one tensor of the directory ---- */

ash_status ash_gguf_tensor_bytes(ash_dtype dtype, uint32_t dim_count, const uint64_t *dims, uint64_t *out,
                                 ash_error *err)
{
    *out = 0;
    const ash_dtype_info *info = ash_dtype_find(dtype);
    if (!info || info->gguf < 0)
        return ash_fail(err, ASH_E_UNSUPPORTED, "type %s has no form in GGUF", ash_dtype_name(dtype));
    if (dim_count == 0 || dim_count > 4)
        return ash_fail(err, ASH_E_FORMAT, "has %" PRIu32 " dimensions (1 to 4 are allowed)", dim_count);
    for (uint32_t i = 0; i < dim_count; i++)
        if (dims[i] == 0)
            return ash_fail(err, ASH_E_FORMAT, "dimension %" PRIu32 " is 0", i);
    if (dims[0] % info->block_elems != 0)
        return ash_fail(err, ASH_E_FORMAT, "a row of %" PRIu64 " elements is no multiple of the %" PRIu32
                        " of a %s block", dims[0], info->block_elems, info->name);
    uint64_t size;
    bool fits = ash_row_bytes(dtype, dims[0], &size);
    for (uint32_t i = 1; fits && i < dim_count; i++)
        fits = ash_mul(size, dims[i], &size);
    if (!fits || size > INT64_MAX)
        return ash_fail(err, ASH_E_FORMAT, "its size does not fit 64 bits");
    *out = size;
    return ASH_OK;
}

static ash_status parse_tensor_body(ash_gguf_scan *s, ash_gguf_tensor *t, uint64_t alignment, ash_error *err)
{
    uint32_t type;
    ASH_TRY(ash_gguf_scan_u32(s, "the tensor directory", &t->dim_count, err));
    if (t->dim_count == 0 || t->dim_count > 4)
        return ash_fail(err, ASH_E_FORMAT, "has %" PRIu32 " dimensions (1 to 4 are allowed)", t->dim_count);
    for (uint32_t i = 0; i < 4; i++)
        t->dims[i] = 1;
    for (uint32_t i = 0; i < t->dim_count; i++)
        ASH_TRY(ash_gguf_scan_u64(s, "the tensor directory", &t->dims[i], err));
    ASH_TRY(ash_gguf_scan_u32(s, "the tensor directory", &type, err));
    ASH_TRY(ash_gguf_scan_u64(s, "the tensor directory", &t->offset, err));
    t->dtype = ash_dtype_from_gguf(type);
    if (t->dtype == ASH_DTYPE_COUNT)
        return ash_fail(err, ASH_E_UNSUPPORTED, "ggml type %" PRIu32 " is not known to this version of ashlar; "
                        "convert from a file of another type", type);
    ASH_TRY(ash_gguf_tensor_bytes(t->dtype, t->dim_count, t->dims, &t->size, err));
    if (t->offset % alignment != 0)
        return ash_fail(err, ASH_E_FORMAT, "offset %" PRIu64 " is no multiple of the alignment %" PRIu64, t->offset,
                        alignment);
    return ASH_OK;
}

/* *t owns its name afterwards, also on failure. */
static ash_status parse_tensor(ash_gguf_scan *s, ash_gguf_tensor *t, uint64_t alignment, ash_error *err)
{
    *t = (ash_gguf_tensor){ 0 };
    uint64_t length, at = s->c.at;
    const uint8_t *text;
    ASH_TRY(ash_gguf_scan_u64(s, "the tensor directory", &length, err));
    if (length == 0 || length > ASH_GGUF_MAX_NAME_BYTES)
        return ash_fail(err, ASH_E_FORMAT, "a tensor's name at byte %" PRIu64 " is %" PRIu64
                        " bytes long (1 to %d are allowed); the file is damaged", at, length, ASH_GGUF_MAX_NAME_BYTES);
    ASH_TRY(ash_gguf_scan_take(s, length, "the tensor directory", &text, err));
    if (memchr(text, 0, length))
        return ash_fail(err, ASH_E_FORMAT,
                        "the tensor name at byte %" PRIu64 " has a NUL inside; the file is damaged", at);
    t->name = strndup((const char *)text, length);
    if (!t->name)
        return ash_fail(err, ASH_E_MEMORY, "no memory for tensor names");
    ash_status status = parse_tensor_body(s, t, alignment, err);
    if (status != ASH_OK) {
        char where[128];
        snprintf(where, sizeof where, "tensor '%.80s'", t->name);
        ash_fail_in(err, where);
    }
    return status;
}

static ash_status parse_tensors(ash_gguf_scan *s, uint64_t count, part *p, ash_error *err)
{
    const uint64_t least = 8 + 1 + 4 + 8 + 4 + 8; /* the shortest directory entry */
    if (count > (s->limit - s->c.at) / least)
        return ash_fail(err, ASH_E_FORMAT, "declares %" PRIu64 " tensors, more than its %" PRIu64
                        " bytes can hold; the file is truncated or damaged", count, s->limit);
    if (count > ASH_GGUF_MAX_TENSORS)
        return ash_fail(err, ASH_E_LIMIT, "declares %" PRIu64 " tensors; ashlar reads at most %" PRIu64,
                        count, ASH_GGUF_MAX_TENSORS);
    p->tensors = malloc((count + 1) * sizeof *p->tensors);
    if (!p->tensors)
        return ash_fail(err, ASH_E_MEMORY, "no memory for %" PRIu64 " tensors", count);
    for (uint64_t i = 0; i < count; i++)
        ASH_TRY(parse_tensor(s, &p->tensors[p->tensor_count++], p->alignment, err));
    return ASH_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t x = ((const ash_gguf_tensor *)a)->offset, y = ((const ash_gguf_tensor *)b)->offset;
    return (x > y) - (x < y);
}

/* Offsets in the data become offsets in the file. Every tensor begins where the one before it ends, aligned: a gap
 * would be bytes that no tool shows, and ggml's own reader refuses it too. */
static ash_status place_tensors(part *p, uint64_t header_end, ash_error *err)
{
    if (p->tensor_count == 0)
        return ASH_OK;
    uint64_t base = 0, expected = 0;
    if (!ash_round_up(header_end, p->alignment, &base) || base > p->file.size)
        return ash_fail(err, ASH_E_FORMAT, "ends before its data section at byte %" PRIu64
                        "; the file is truncated, fetch it again", base);
    uint64_t limit = p->file.size - base;
    qsort(p->tensors, p->tensor_count, sizeof *p->tensors, compare_offsets);
    for (uint32_t i = 0; i < p->tensor_count; i++) {
        ash_gguf_tensor *t = &p->tensors[i];
        if (!ash_inside(t->offset, t->size, limit))
            return ash_fail(err, ASH_E_FORMAT, "tensor '%.80s': %" PRIu64
                            " bytes at %" PRIu64 " do not fit into the %" PRIu64
                            " bytes of data; the file is truncated or damaged, fetch it again",
                            t->name, t->size, t->offset, limit);
        if (t->offset < expected)
            return ash_fail(err, ASH_E_FORMAT, "tensor '%.80s' overlaps '%.80s'; the file is damaged",
                            t->name, p->tensors[i - 1].name);
        if (t->offset > expected)
            return ash_fail(err, ASH_E_FORMAT, "tensor '%.80s' begins at %" PRIu64 " of the data where %" PRIu64
                            " is expected; the file is damaged", t->name, t->offset, expected);
        /* Cannot wrap: both are below 2^63, and the alignment is at most 2^20. */
        ash_round_up(t->offset + t->size, p->alignment, &expected);
        t->offset += base;
    }
    return ASH_OK;
}

/* ---- one file ---- */

static ash_status check_magic(ash_gguf_scan *s, uint32_t *version, ash_error *err)
{
    const uint8_t *magic;
    ASH_TRY(ash_gguf_scan_take(s, 4, "the magic", &magic, err));
    if (memcmp(magic, ASH_GGUF_MAGIC, 4) != 0)
        return ash_fail(err, ASH_E_FORMAT, "is no GGUF file (it begins with %02x %02x %02x %02x, not 47 47 55 46)",
                        magic[0], magic[1], magic[2], magic[3]);
    ASH_TRY(ash_gguf_scan_u32(s, "the version", version, err));
    if (*version == 2 || *version == 3)
        return ASH_OK;
    uint32_t swapped = __builtin_bswap32(*version);
    if (swapped >= 1 && swapped <= 0xffff)
        return ash_fail(err, ASH_E_UNSUPPORTED, "is a big-endian GGUF file; only little-endian ones are read: "
                        "convert it to little-endian first");
    if (*version < 2)
        return ash_fail(err, ASH_E_UNSUPPORTED, "is GGUF version %" PRIu32 ", which was replaced in 2023; "
                        "versions 2 and 3 are read: make the file again", *version);
    return ash_fail(err, ASH_E_UNSUPPORTED, "is GGUF version %" PRIu32 "; versions 2 and 3 are read: "
                    "a newer ashlar may know it", *version);
}

static ash_status parse_header(part *p, ash_gguf_scan *s, ash_error *err)
{
    uint64_t tensors, pairs;
    ASH_TRY(check_magic(s, &p->version, err));
    ASH_TRY(ash_gguf_scan_u64(s, "the header", &tensors, err));
    ASH_TRY(ash_gguf_scan_u64(s, "the header", &pairs, err));
    ASH_TRY(ash_gguf_table_parse(s, pairs, &p->table, err));
    ASH_TRY(ash_gguf_table_alignment(&p->table, &p->alignment, err));
    ASH_TRY(parse_tensors(s, tensors, p, err));
    return place_tensors(p, s->c.at, err);
}

static ash_status read_header(part *p, ash_error *err)
{
    uint64_t have = 0, want = FIRST_READ_BYTES;
    for (;;) {
        if (want > p->file.size)
            want = p->file.size;
        uint8_t *bytes = realloc(p->header, want + 1);
        if (!bytes)
            return ash_fail(err, ASH_E_MEMORY, "%s: no memory for a header of %" PRIu64 " bytes", p->file.path, want);
        p->header = bytes;
        ASH_TRY(ash_input_read(&p->file, have, bytes + have, want - have, err));
        have = want;

        ash_gguf_scan s = { ash_cursor_of(bytes, have), p->file.size, 0 };
        ash_status status = parse_header(p, &s, err);
        if (status == ASH_OK)
            return ASH_OK;
        ash_gguf_table_free(&p->table);
        free_tensors(p->tensors, p->tensor_count);
        p->tensors = NULL;
        p->tensor_count = 0;
        if (s.want == 0)
            return ash_fail_in(err, p->file.path);
        if (s.want > HEADER_MAX_BYTES)
            return ash_fail(err, ASH_E_LIMIT, "%s: its metadata is larger than 1 GiB, which ashlar does not read",
                            p->file.path);
        want = s.want > 2 * have ? s.want : 2 * have;
    }
}

static ash_status part_open(const char *path, part *p, ash_error *err)
{
    *p = (part){ 0 };
    ash_status status = ash_input_open(path, &p->file, err);
    if (status != ASH_OK) {
        *p = (part){ 0 };
        return status;
    }
    status = read_header(p, err);
    if (status != ASH_OK)
        part_free(p);
    return status;
}

/* ---- split models ---- */

#define SUFFIX_BYTES 20 /* "-00001-of-00005.gguf" */

static bool digits(const char *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = *out * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
}

/* Takes the numbers out of "PREFIX-00001-of-00005.gguf"; *prefix is the length of PREFIX with its folder. */
static bool split_name(const char *path, size_t *prefix, uint32_t *number, uint32_t *count)
{
    size_t length = strlen(path);
    if (length < SUFFIX_BYTES)
        return false;
    const char *p = path + length - SUFFIX_BYTES;
    *prefix = length - SUFFIX_BYTES;
    return p[0] == '-' && digits(p + 1, number) && memcmp(p + 6, "-of-", 4) == 0 && digits(p + 10, count) &&
           strcmp(p + 15, ".gguf") == 0;
}

static ash_status check_split_keys(const part *p, uint32_t number, uint32_t count, ash_error *err)
{
    uint64_t no, of, tensors;
    if (!ash_gguf_kv_u64(ash_gguf_table_find(&p->table, "split.no"), &no) ||
        !ash_gguf_kv_u64(ash_gguf_table_find(&p->table, "split.count"), &of) ||
        !ash_gguf_kv_u64(ash_gguf_table_find(&p->table, "split.tensors.count"), &tensors))
        return ash_fail(err, ASH_E_FORMAT, "%s: lacks split.no, split.count or split.tensors.count; "
                        "it is no part of a split model", p->file.path);
    if (no != number - 1 || of != count)
        return ash_fail(err, ASH_E_FORMAT, "%s: says it is part %" PRIu64 " of %" PRIu64
                        ", its name says %" PRIu32 " of %" PRIu32
                        "; rename it or fetch it again", p->file.path, no + 1, of, number, count);
    return ASH_OK;
}

/* Moves a part's file and tensors into the model; the first one's header as well. */
static ash_status add_part(ash_gguf *g, part *p, ash_error *err)
{
    uint64_t total = (uint64_t)g->tensor_count + p->tensor_count;
    if (total > ASH_GGUF_MAX_TENSORS)
        return ash_fail(err, ASH_E_LIMIT, "%s: the model has over %" PRIu64 " tensors", p->file.path,
                        ASH_GGUF_MAX_TENSORS);
    ash_gguf_tensor *tensors = realloc(g->tensors, (total + 1) * sizeof *tensors);
    if (!tensors)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for %" PRIu64 " tensors", p->file.path, total);
    g->tensors = tensors;
    for (uint32_t i = 0; i < p->tensor_count; i++) {
        g->tensors[g->tensor_count] = p->tensors[i];
        g->tensors[g->tensor_count++].file = g->file_count;
    }
    p->tensor_count = 0; /* the names have a new owner */
    if (g->file_count == 0) {
        g->version = p->version;
        g->alignment = p->alignment;
        g->header = p->header;
        g->table = p->table;
        p->header = NULL;
        p->table = (ash_gguf_table){ 0 };
    }
    g->files[g->file_count++] = p->file;
    p->file = (ash_input){ 0 };
    return ASH_OK;
}

static ash_status open_parts(ash_gguf *g, const char *path, size_t prefix, uint32_t count, ash_error *err)
{
    size_t room = prefix + SUFFIX_BYTES + 1;
    char *name = malloc(room);
    if (!name)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for a file name", path);
    memcpy(name, path, prefix);
    ash_status status = ASH_OK;
    uint64_t declared = 0;
    for (uint32_t number = 1; number <= count && status == ASH_OK; number++) {
        snprintf(name + prefix, room - prefix, "-%05u-of-%05u.gguf", number % 100000, count % 100000);
        if (!ash_path_exists(name)) {
            status = ash_fail(err, ASH_E_FORMAT, "%s: part %" PRIu32 " of %" PRIu32 " of this model is missing; "
                              "fetch it into the same folder", name, number, count);
            break;
        }
        part p;
        status = part_open(name, &p, err);
        if (status != ASH_OK)
            break;
        status = check_split_keys(&p, number, count, err);
        if (status == ASH_OK && number == 1)
            ash_gguf_kv_u64(ash_gguf_table_find(&p.table, "split.tensors.count"), &declared);
        if (status == ASH_OK)
            status = add_part(g, &p, err);
        part_free(&p);
    }
    if (status == ASH_OK && g->tensor_count != declared)
        status = ash_fail(err, ASH_E_FORMAT, "%s: split.tensors.count is %" PRIu64 ", the %" PRIu32
                          " parts hold %" PRIu32
                          " tensors; they do not belong together", path, declared, count, g->tensor_count);
    free(name);
    return status;
}

static ash_status open_model(ash_gguf *g, const char *path, ash_error *err)
{
    part p;
    ASH_TRY(part_open(path, &p, err));
    uint64_t of = 0;
    const ash_gguf_kv *split = ash_gguf_table_find(&p.table, "split.count");
    ash_status status = ASH_OK;
    if (split && !ash_gguf_kv_u64(split, &of))
        status = ash_fail(err, ASH_E_FORMAT, "%s: key 'split.count' is no unsigned integer; the file is damaged", path);
    size_t prefix = 0;
    uint32_t number = 0, count = 0;
    if (status == ASH_OK && of > 1) {
        if (!split_name(path, &prefix, &number, &count))
            status = ash_fail(err, ASH_E_FORMAT, "%s: is a part of a model in %" PRIu64 " files; "
                              "their names must end in -00001-of-%05" PRIu64 ".gguf and so on", path, of, of);
        else if (number == 0 || number > count)
            status = ash_fail(err, ASH_E_FORMAT, "%s: there is no part %" PRIu32 " of %" PRIu32, path, number, count);
        else
            status = check_split_keys(&p, number, count, err);
    }
    if (status != ASH_OK) {
        part_free(&p);
        return status;
    }
    g->files = calloc(of > 1 ? of : 1, sizeof *g->files); /* `of` equals the five digits of the name: below 100,000 */
    if (!g->files)
        status = ash_fail(err, ASH_E_MEMORY, "%s: no memory for its files", path);
    else if (of <= 1)
        status = add_part(g, &p, err);
    part_free(&p);
    if (status == ASH_OK && of > 1)
        status = open_parts(g, path, prefix, count, err);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const ash_gguf_tensor *const *)a)->name, (*(const ash_gguf_tensor *const *)b)->name);
}

static ash_status check_names(const ash_gguf *g, ash_error *err)
{
    const ash_gguf_tensor **sorted = malloc((g->tensor_count + UINT64_C(1)) * sizeof *sorted);
    if (!sorted)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory for %" PRIu32 " tensors", g->files[0].path, g->tensor_count);
    for (uint32_t i = 0; i < g->tensor_count; i++)
        sorted[i] = &g->tensors[i];
    qsort(sorted, g->tensor_count, sizeof *sorted, compare_names);
    ash_status status = ASH_OK;
    for (uint32_t i = 1; i < g->tensor_count && status == ASH_OK; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            status = ash_fail(err, ASH_E_FORMAT, "%s: tensor '%.80s' occurs twice; the file is damaged",
                              g->files[sorted[i]->file].path, sorted[i]->name);
    free(sorted);
    return status;
}

/* ---- the public functions ---- */

ash_status ash_gguf_open(const char *path, ash_gguf **out, ash_error *err)
{
    *out = NULL;
    ash_gguf *g = calloc(1, sizeof *g);
    if (!g)
        return ash_fail(err, ASH_E_MEMORY, "%s: no memory", path);
    ash_status status = open_model(g, path, err);
    if (status == ASH_OK)
        status = check_names(g, err);
    if (status != ASH_OK) {
        ash_gguf_close(g);
        return status;
    }
    *out = g;
    return ASH_OK;
}

void ash_gguf_close(ash_gguf *g)
{
    if (!g)
        return;
    ash_gguf_table_free(&g->table);
    free_tensors(g->tensors, g->tensor_count);
    for (uint32_t i = 0; i < g->file_count; i++)
        ash_input_close(&g->files[i]);
    free(g->files);
    free(g->header);
    free(g);
}

uint32_t ash_gguf_version(const ash_gguf *g) { return g->version; }
uint64_t ash_gguf_alignment(const ash_gguf *g) { return g->alignment; }
uint32_t ash_gguf_tensor_count(const ash_gguf *g) { return g->tensor_count; }
uint32_t ash_gguf_file_count(const ash_gguf *g) { return g->file_count; }

const ash_gguf_tensor *ash_gguf_tensor_at(const ash_gguf *g, uint32_t index)
{
    return index < g->tensor_count ? &g->tensors[index] : NULL;
}

const ash_input *ash_gguf_file(const ash_gguf *g, uint32_t index)
{
    return index < g->file_count ? &g->files[index] : NULL;
}

ash_status ash_gguf_read(const ash_gguf *g, const ash_gguf_tensor *t, uint64_t at, void *out, size_t size,
                         ash_error *err)
{
    if (!ash_inside(at, size, t->size))
        return ash_fail(err, ASH_E_ARGUMENT, "%s: %zu bytes at %" PRIu64 " are not inside tensor '%.80s' of %" PRIu64
                        " bytes", g->files[t->file].path, size, at, t->name, t->size);
    return ash_input_read(&g->files[t->file], t->offset + at, out, size, err);
}
