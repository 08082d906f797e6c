#include "tests/support/container.h"

#include <stdbool.h>
#include <string.h>

#include "format/checked.h"
#include "format/container.h"
#include "format/hash.h"

static ash_section_record *find(ash_header *h, uint32_t id)
{
    for (uint32_t i = 0; i < h->section_count && i < ASH_SECTION_MAX; i++)
        if (h->sections[i].id == id)
            return &h->sections[i];
    return NULL;
}

static bool inside(const ash_section_record *s, size_t size) { return s && ash_inside(s->offset, s->size, size); }

static void rehash_tensors(uint8_t *file, size_t size, const ash_section_record *s)
{
    for (uint64_t at = 0; s->size - at >= sizeof(ash_tensor_record); at += sizeof(ash_tensor_record)) {
        ash_tensor_record t; /* a copy: a damaged section may begin anywhere */
        memcpy(&t, file + s->offset + at, sizeof t);
        if (ash_inside(t.offset, t.size, size)) {
            t.hash = ash_hash(file + t.offset, t.size);
            memcpy(file + s->offset + at, &t, sizeof t);
        }
    }
}

void test_container_rehash(uint8_t *file, size_t size, int tensors)
{
    ash_header h;
    if (size < sizeof h)
        return;
    memcpy(&h, file, sizeof h);
    ash_section_record *records = find(&h, ASH_SECTION_TENSORS), *data = find(&h, ASH_SECTION_DATA),
                       *hashes = find(&h, ASH_SECTION_HASHES);
    if (tensors && inside(records, size))
        rehash_tensors(file, size, records);
    if (inside(data, size) && inside(hashes, size))
        for (uint64_t at = 0, i = 0; at < data->size && hashes->size / 16 > i; at += ASH_DATA_CHUNK_BYTES, i++) {
            uint64_t left = data->size - at;
            ash_hash128 hash =
                ash_hash(file + data->offset + at, left < ASH_DATA_CHUNK_BYTES ? left : ASH_DATA_CHUNK_BYTES);
            memcpy(file + hashes->offset + i * sizeof hash, &hash, sizeof hash);
        }
    for (uint32_t i = 0; i < h.section_count && i < ASH_SECTION_MAX; i++)
        if (inside(&h.sections[i], size))
            h.sections[i].hash = ash_hash(file + h.sections[i].offset, h.sections[i].size);
    if (data && hashes)
        data->hash = hashes->hash;
    h.header_hash = (ash_hash128){ 0, 0 };
    h.header_hash = ash_hash(&h, sizeof h);
    memcpy(file, &h, sizeof h);
}

void test_container_dress(uint8_t *file, size_t size)
{
    ash_header h;
    if (size < sizeof h)
        return;
    memcpy(&h, file, sizeof h);
    memcpy(h.magic, ASH_MAGIC, sizeof h.magic);
    h.version = ASH_VERSION;
    h.header_bytes = ASH_HEADER_BYTES;
    h.file_bytes = size;
    h.section_record_bytes = sizeof(ash_section_record);
    h.tensor_record_bytes = sizeof(ash_tensor_record);
    h.member_record_bytes = sizeof(ash_member_record);
    h.file_index = 0;
    h.file_count = 1;
    h.tensor_align = ASH_TENSOR_ALIGN;
    h.data_chunk_bytes = ASH_DATA_CHUNK_BYTES;
    memcpy(file, &h, sizeof h);
}
