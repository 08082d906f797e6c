#include "format/reader.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "format/checked.h"
#include "format/directory.h"
#include "format/fileio.h"
#include "format/hash.h"
#include "format/json.h"

#define RAW_MAX (UINT64_C(1) << 30)            /* a compressed section inflates to at most this */
#define FEATURES_META_MAX (UINT64_C(16) << 20) /* META larger than this is not searched for the name of a feature */

struct ash_file {
    char *path;
    ash_mapping map;
    const ash_header *header; /* in the mapping */
    ash_directory directory;  /* points into the mapping */
};

static const struct known_section {
    uint32_t id;
    bool required, may_compress;
} known_sections[] = {
    { ASH_SECTION_TENSORS, true, false },    { ASH_SECTION_MEMBERS, true, false }, { ASH_SECTION_STRINGS, true, false },
    { ASH_SECTION_DATA, true, false },       { ASH_SECTION_HASHES, true, false },  { ASH_SECTION_META, false, true },
    { ASH_SECTION_TOKENIZER, false, false }, { ASH_SECTION_GGUF_KV, false, true },
};
#define KNOWN_COUNT (sizeof known_sections / sizeof known_sections[0])

static const struct known_section *known_section(uint32_t id)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (known_sections[i].id == id)
            return &known_sections[i];
    return NULL;
}

/* "TENS" or, where it is no text, the number. */
static const char *section_name(uint32_t id, char out[16])
{
    char letters[5] = { (char)id, (char)(id >> 8), (char)(id >> 16), (char)(id >> 24), 0 };
    for (int i = 0; i < 4; i++)
        if (letters[i] < 0x21 || letters[i] > 0x7e) {
            snprintf(out, 16, "0x%08" PRIx32, id);
            return out;
        }
    memcpy(out, letters, sizeof letters);
    return out;
}

/* Says what a file without our magic looks like. */
static ash_status not_ashlar(const uint8_t *p, size_t size, ash_error *err)
{
    if (size >= 4 && memcmp(p, "GGUF", 4) == 0)
        return ash_fail(err, ASH_E_FORMAT, "is a GGUF file: make an .ashlar of it with `ashlar convert`");
    if (size > 8 && p[8] == '{' && p[7] == 0 && p[6] == 0 && p[5] == 0)
        return ash_fail(err, ASH_E_FORMAT,
                        "looks like a safetensors file: make an .ashlar of its folder with `ashlar convert`");
    if (size >= 4 && memcmp(p, "PK\3\4", 4) == 0)
        return ash_fail(err, ASH_E_FORMAT,
                        "is a ZIP archive or PyTorch file, not an .ashlar file: convert safetensors or GGUF");
    if (size >= 6 && memcmp(p + (p[0] == 0x89), "ASHLAR", size > 6 ? 6 : 5) == 0)
        return ash_fail(err, ASH_E_FORMAT, "was damaged by a transfer in text mode: copy it again in binary mode");
    return ash_fail(err, ASH_E_FORMAT, "is not an .ashlar file: wrong magic");
}

static ash_status truncated(size_t have, uint64_t want, ash_error *err)
{
    return ash_fail(err, ASH_E_FORMAT, "ends at byte %zu of %" PRIu64 ": copy it again", have, want);
}

/* The fixed fields and the header's hash. `map` is not empty. */
static ash_status check_header(const ash_mapping *map, ash_error *err)
{
    if (map->size < sizeof(ASH_MAGIC) - 1 || memcmp(map->bytes, ASH_MAGIC, sizeof(ASH_MAGIC) - 1) != 0)
        return not_ashlar(map->bytes, map->size, err);
    const ash_header *h = (const ash_header *)map->bytes;
    if (map->size < ASH_HEADER_BYTES) {
        bool whole_field = map->size >= offsetof(ash_header, file_bytes) + sizeof h->file_bytes;
        return truncated(map->size, whole_field ? h->file_bytes : ASH_HEADER_BYTES, err);
    }
    if (h->version > ASH_VERSION)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "has format version %" PRIu32 ", this program reads %d: a newer ashlar is needed", h->version,
                        ASH_VERSION);
    ash_header copy = *h;
    copy.header_hash = (ash_hash128){ 0, 0 };
    if (!ash_hash_equal(ash_hash(&copy, sizeof copy), h->header_hash))
        return ash_fail(err, ASH_E_CHECKSUM, "the header is damaged (wrong checksum): copy it again");
    if (h->header_bytes != ASH_HEADER_BYTES || h->section_record_bytes != sizeof(ash_section_record) ||
        h->tensor_record_bytes != sizeof(ash_tensor_record) || h->member_record_bytes != sizeof(ash_member_record))
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "header or records have sizes %" PRIu32 ", %u, %u, %u that version %d does not know",
                        h->header_bytes, h->section_record_bytes, h->tensor_record_bytes, h->member_record_bytes,
                        ASH_VERSION);
    if (h->tensor_align != ASH_TENSOR_ALIGN || h->data_chunk_bytes != ASH_DATA_CHUNK_BYTES)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "alignment %" PRIu32 " or checksum chunk %" PRIu64 " are not those of version %d",
                        h->tensor_align, h->data_chunk_bytes, ASH_VERSION);
    if (h->file_count != 1 || h->file_index != 0)
        return ash_fail(err, ASH_E_UNSUPPORTED,
                        "is part %" PRIu32 " of a model in %" PRIu32 " files: only one file is supported",
                        h->file_index, h->file_count);
    if (map->size < h->file_bytes)
        return truncated(map->size, h->file_bytes, err);
    if (map->size > h->file_bytes)
        return ash_fail(err, ASH_E_FORMAT, "has %zu bytes where its header says %" PRIu64 ": copy it again", map->size,
                        h->file_bytes);
    if (h->section_count > ASH_SECTION_MAX)
        return ash_fail(err, ASH_E_FORMAT, "has %" PRIu32 " sections, at most %d are possible", h->section_count,
                        ASH_SECTION_MAX);
    return ASH_OK;
}

static ash_status check_section(const ash_section_record *s, uint64_t file_bytes, ash_error *err)
{
    char name[16];
    section_name(s->id, name);
    if (s->id == 0 || s->offset < ASH_HEADER_BYTES || !ash_inside(s->offset, s->size, file_bytes))
        return ash_fail(err, ASH_E_FORMAT, "section %s, %" PRIu64 " bytes at %" PRIu64 ", lies outside the file", name,
                        s->size, s->offset);
    const struct known_section *known = known_section(s->id);
    if (!known)
        return ASH_OK;
    bool packed = s->flags == ASH_SECTION_FLAG_ZSTD && known->may_compress;
    if (s->flags != 0 && !packed)
        return ash_fail(err, ASH_E_UNSUPPORTED, "section %s has flags %" PRIu32 " that version %d does not know", name,
                        s->flags, ASH_VERSION);
    if (packed ? s->raw_size == 0 || s->raw_size > RAW_MAX : s->raw_size != s->size)
        return ash_fail(err, ASH_E_FORMAT, "section %s: %" PRIu64 " bytes cannot hold %" PRIu64, name, s->size,
                        s->raw_size);
    bool data = s->id == ASH_SECTION_DATA;
    if (s->offset % (data ? ASH_TENSOR_ALIGN : ASH_SECTION_ALIGN) != 0 || (data && s->size % ASH_TENSOR_ALIGN != 0))
        return ash_fail(err, ASH_E_FORMAT, "section %s is not aligned", name);
    return ASH_OK;
}

/* Each section alone, then that no two share an id or a byte. */
static ash_status check_sections(const ash_header *h, ash_error *err)
{
    char name[16], other[16];
    for (uint32_t i = 0; i < h->section_count; i++) {
        const ash_section_record *s = &h->sections[i];
        ASH_TRY(check_section(s, h->file_bytes, err));
        for (uint32_t j = 0; j < i; j++) {
            const ash_section_record *t = &h->sections[j];
            if (s->id == t->id)
                return ash_fail(err, ASH_E_FORMAT, "section %s is there twice", section_name(s->id, name));
            if (s->size && t->size && s->offset < t->offset + t->size && t->offset < s->offset + s->size)
                return ash_fail(err, ASH_E_FORMAT, "sections %s and %s overlap", section_name(t->id, other),
                                section_name(s->id, name));
        }
    }
    for (size_t k = 0; k < KNOWN_COUNT; k++) {
        bool found = !known_sections[k].required;
        for (uint32_t i = 0; i < h->section_count; i++)
            found = found || h->sections[i].id == known_sections[k].id;
        if (!found)
            return ash_fail(err, ASH_E_FORMAT, "has no section %s", section_name(known_sections[k].id, name));
    }
    return ASH_OK;
}

/* Names the first unknown required feature by its number and, where META has a word for it, by that. */
static ash_status check_features(const ash_file *f, ash_error *err)
{
    uint64_t unknown = f->header->features_required & ~ASH_FEATURES_REQUIRED_KNOWN;
    if (unknown == 0)
        return ASH_OK;
    char bit[8], word[64] = "";
    snprintf(bit, sizeof bit, "%d", __builtin_ctzll(unknown));
    /* The table may follow rules that we do not know: META is read only where it makes sense to us. */
    ash_error ignored;
    uint8_t *json = NULL;
    size_t size = 0;
    cJSON *root = NULL;
    const ash_section_record *s = ash_file_section(f, ASH_SECTION_META);
    if (s && check_section(s, f->header->file_bytes, &ignored) == ASH_OK && s->raw_size <= FEATURES_META_MAX &&
        ash_file_section_read(f, ASH_SECTION_META, &json, &size, &ignored) == ASH_OK &&
        ash_json_parse((const char *)json, size, FEATURES_META_MAX, &root, &ignored) == ASH_OK) {
        const char *known_as = ash_json_string(ash_json_get(root, "features"), bit);
        if (known_as)
            snprintf(word, sizeof word, " (%.*s)", 56, known_as);
    }
    cJSON_Delete(root);
    free(json);
    return ash_fail(err, ASH_E_UNSUPPORTED,
                    "needs feature %s%s, which this program does not know: a newer ashlar is needed", bit, word);
}

static ash_status check_hash(const ash_file *f, uint32_t id, ash_error *err)
{
    char name[16];
    const ash_section_record *s = ash_file_section(f, id);
    if (!ash_hash_equal(ash_hash(f->map.bytes + s->offset, (size_t)s->size), s->hash))
        return ash_fail(err, ASH_E_CHECKSUM, "section %s is damaged (wrong checksum): copy the file again",
                        section_name(id, name));
    return ASH_OK;
}

static ash_status check_directory(ash_file *f, ash_error *err)
{
    const ash_section_record *tensors = ash_file_section(f, ASH_SECTION_TENSORS),
                             *members = ash_file_section(f, ASH_SECTION_MEMBERS),
                             *strings = ash_file_section(f, ASH_SECTION_STRINGS),
                             *data = ash_file_section(f, ASH_SECTION_DATA),
                             *hashes = ash_file_section(f, ASH_SECTION_HASHES);
    ASH_TRY(check_hash(f, ASH_SECTION_TENSORS, err));
    ASH_TRY(check_hash(f, ASH_SECTION_MEMBERS, err));
    ASH_TRY(check_hash(f, ASH_SECTION_STRINGS, err));
    ASH_TRY(check_hash(f, ASH_SECTION_HASHES, err));
    if (tensors->size % sizeof(ash_tensor_record) != 0 || tensors->size / sizeof(ash_tensor_record) > ASH_TENSOR_MAX ||
        members->size % sizeof(ash_member_record) != 0 || members->size / sizeof(ash_member_record) > ASH_MEMBER_MAX)
        return ash_fail(err, ASH_E_FORMAT, "the tensor directory has %" PRIu64 " and %" PRIu64 " bytes", tensors->size,
                        members->size);
    if (hashes->size % sizeof(ash_hash128) != 0 ||
        hashes->size / sizeof(ash_hash128) != ash_div_up(data->size, ASH_DATA_CHUNK_BYTES) ||
        !ash_hash_equal(data->hash, hashes->hash))
        return ash_fail(err, ASH_E_FORMAT, "section HASH does not fit the data section of %" PRIu64 " bytes",
                        data->size);
    f->directory = (ash_directory){
        .tensors = (const ash_tensor_record *)(f->map.bytes + tensors->offset),
        .members = (const ash_member_record *)(f->map.bytes + members->offset),
        .strings = (const char *)f->map.bytes + strings->offset,
        .string_bytes = strings->size,
        .tensor_count = (uint32_t)(tensors->size / sizeof(ash_tensor_record)),
        .member_count = (uint32_t)(members->size / sizeof(ash_member_record)),
    };
    return ash_directory_check(&f->directory, data->offset, data->size, err);
}

static ash_status check_file(ash_file *f, ash_error *err)
{
    if (f->map.size == 0)
        return ash_fail(err, ASH_E_FORMAT, "is empty");
    ASH_TRY(check_header(&f->map, err));
    f->header = (const ash_header *)f->map.bytes;
    ASH_TRY(check_features(f, err));
    ASH_TRY(check_sections(f->header, err));
    return check_directory(f, err);
}

ash_status ash_file_open(const char *path, ash_file **out, ash_error *err)
{
    *out = NULL;
    ash_file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        free(f);
        return ash_fail(err, ASH_E_MEMORY, "%s: out of memory", path);
    }
    ash_status status = ash_map_file(path, &f->map, err); /* names the file in its errors */
    if (status == ASH_OK && check_file(f, err) != ASH_OK)
        status = ash_fail_in(err, path);
    if (status != ASH_OK) {
        ash_file_close(f);
        return status;
    }
    *out = f;
    return ASH_OK;
}

void ash_file_close(ash_file *file)
{
    if (!file)
        return;
    ash_unmap_file(&file->map);
    free(file->path);
    free(file);
}

const char *ash_file_path(const ash_file *file) { return file->path; }
const ash_header *ash_file_header(const ash_file *file) { return file->header; }
uint32_t ash_file_tensor_count(const ash_file *file) { return file->directory.tensor_count; }

const ash_tensor_record *ash_file_tensor(const ash_file *file, uint32_t index)
{
    return index < file->directory.tensor_count ? &file->directory.tensors[index] : NULL;
}

const ash_member_record *ash_file_member(const ash_file *file, uint32_t index)
{
    return index < file->directory.member_count ? &file->directory.members[index] : NULL;
}

const char *ash_file_tensor_name(const ash_file *file, const ash_tensor_record *tensor)
{
    return file->directory.strings + tensor->name;
}

const char *ash_file_member_name(const ash_file *file, const ash_member_record *member)
{
    return file->directory.strings + member->name;
}

const uint8_t *ash_file_data(const ash_file *file, const ash_tensor_record *tensor)
{
    return file->map.bytes + tensor->offset;
}

const ash_section_record *ash_file_section(const ash_file *file, uint32_t id)
{
    for (uint32_t i = 0; i < file->header->section_count; i++)
        if (file->header->sections[i].id == id)
            return &file->header->sections[i];
    return NULL;
}

const uint8_t *ash_file_section_bytes(const ash_file *file, uint32_t id, size_t *size)
{
    const ash_section_record *s = ash_file_section(file, id);
    bool plain = s && (s->flags & ASH_SECTION_FLAG_ZSTD) == 0;
    *size = plain ? (size_t)s->size : 0;
    return plain ? file->map.bytes + s->offset : NULL;
}

/* Exactly one frame of exactly raw_size bytes. */
static ash_status inflate(const ash_section_record *s, const uint8_t *from, uint8_t *to, const char *name,
                          ash_error *err)
{
    size_t frame = ZSTD_findFrameCompressedSize(from, (size_t)s->size);
    if (ZSTD_isError(frame) || frame != s->size)
        return ash_fail(err, ASH_E_FORMAT, "section %s is not one zstd frame", name);
    size_t n = ZSTD_decompress(to, (size_t)s->raw_size, from, (size_t)s->size);
    if (ZSTD_isError(n) || n != s->raw_size)
        return ash_fail(err, ASH_E_FORMAT, "section %s does not inflate to %" PRIu64 " bytes", name, s->raw_size);
    return ASH_OK;
}

static ash_status section_read(const ash_file *f, const ash_section_record *s, uint8_t **out, size_t *size,
                               const char *name, ash_error *err)
{
    const uint8_t *from = f->map.bytes + s->offset;
    bool packed = (s->flags & ASH_SECTION_FLAG_ZSTD) != 0;
    uint64_t content = packed ? s->raw_size : s->size;
    if (content > RAW_MAX)
        return ash_fail(err, ASH_E_LIMIT, "section %s has %" PRIu64 " bytes, more than can be read into memory", name,
                        content);
    ASH_TRY(check_hash(f, s->id, err));
    uint8_t *bytes = malloc((size_t)content + 1);
    if (!bytes)
        return ash_fail(err, ASH_E_MEMORY, "section %s: out of memory for %" PRIu64 " bytes", name, content);
    ash_status status = ASH_OK;
    if (packed)
        status = inflate(s, from, bytes, name, err);
    else
        memcpy(bytes, from, (size_t)content);
    if (status != ASH_OK) {
        free(bytes);
        return status;
    }
    bytes[content] = 0;
    *out = bytes;
    *size = (size_t)content;
    return ASH_OK;
}

ash_status ash_file_section_read(const ash_file *file, uint32_t id, uint8_t **out, size_t *size, ash_error *err)
{
    char name[16];
    section_name(id, name);
    *out = NULL;
    *size = 0;
    const ash_section_record *s = ash_file_section(file, id);
    if (!s)
        return ash_fail(err, ASH_E_FORMAT, "%s: has no section %s", file->path, name);
    if (section_read(file, s, out, size, name, err) != ASH_OK)
        return ash_fail_in(err, file->path);
    return ASH_OK;
}
