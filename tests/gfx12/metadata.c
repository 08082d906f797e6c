/* The code object's metadata: MessagePack in a note, a map whose "amdhsa.kernels" lists a map a kernel. Read as far as
 * register counts and spills need; whatever is damaged ends the reading. */
#include <elf.h>
#include <string.h>

#include "tests/gfx12/machine.h"

#define NOTE_METADATA 32 /* NT_AMDGPU_METADATA */
#define DEPTH_MAX 16

typedef struct reader { const uint8_t *at, *end; } reader;

typedef enum kind { NOTHING, NUMBER, TEXT, ARRAY, MAP, OTHER } kind;
typedef struct value { kind kind; uint64_t number; const char *text; } value; /* number: also the size of the others */

static bool big_endian(reader *r, unsigned bytes, uint64_t *out)
{
    if ((size_t)(r->end - r->at) < bytes)
        return false;
    for (*out = 0; bytes; bytes--)
        *out = *out << 8 | *r->at++;
    return true;
}

static bool skip_bytes(reader *r, uint64_t count)
{
    if (count > (uint64_t)(r->end - r->at))
        return false;
    r->at += count;
    return true;
}

static bool text(reader *r, value *v, uint64_t size)
{
    *v = (value){ TEXT, size, (const char *)r->at };
    return skip_bytes(r, size);
}

/* One value; of arrays and maps the head alone. */
static bool next(reader *r, value *v)
{
    uint64_t tag, size = 0;
    *v = (value){ OTHER, 0, NULL };
    if (!big_endian(r, 1, &tag))
        return false;
    if (tag < 0x80 || tag >= 0xe0) {
        *v = (value){ NUMBER, tag, NULL };
        return true;
    }
    if (tag < 0xa0) {
        *v = (value){ tag < 0x90 ? MAP : ARRAY, tag & 15, NULL };
        return true;
    }
    if (tag < 0xc0)
        return text(r, v, tag & 31);
    switch (tag) {
    case 0xc0: case 0xc2: case 0xc3: return true; /* nil, false, true */
    case 0xc4: case 0xc5: case 0xc6: return big_endian(r, 1u << (tag - 0xc4), &size) && skip_bytes(r, size);
    case 0xca: case 0xcb: return skip_bytes(r, tag == 0xca ? 4 : 8);
    case 0xcc: case 0xcd: case 0xce: case 0xcf:
        v->kind = NUMBER;
        return big_endian(r, 1u << (tag - 0xcc), &v->number);
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: return skip_bytes(r, UINT64_C(1) << (tag - 0xd0));
    case 0xd9: case 0xda: case 0xdb: return big_endian(r, 1u << (tag - 0xd9), &size) && text(r, v, size);
    case 0xdc: case 0xdd: case 0xde: case 0xdf:
        v->kind = tag < 0xde ? ARRAY : MAP;
        return big_endian(r, tag & 1 ? 4 : 2, &v->number);
    default: return false;
    }
}

static bool skip_value(reader *r, int depth)
{
    value v;
    if (depth == DEPTH_MAX || !next(r, &v))
        return false;
    uint64_t inner = v.kind == ARRAY ? v.number : v.kind == MAP ? 2 * v.number : 0;
    for (uint64_t k = 0; k < inner; k++)
        if (!skip_value(r, depth + 1))
            return false;
    return true;
}

static bool is(const value *v, const char *name)
{
    return v->kind == TEXT && v->number == strlen(name) && memcmp(v->text, name, strlen(name)) == 0;
}

/* A list of maps, one an argument; counts those that the runtime would have to fill in. */
static bool read_args(reader *r, uint32_t *hidden)
{
    value list, map, key, v;
    if (!next(r, &list) || list.kind != ARRAY)
        return false;
    for (uint64_t n = 0; n < list.number; n++) {
        if (!next(r, &map) || map.kind != MAP)
            return false;
        for (uint64_t k = 0; k < map.number; k++) {
            if (!next(r, &key) || !next(r, &v) || v.kind == ARRAY || v.kind == MAP)
                return false;
            *hidden += is(&key, ".value_kind") && v.kind == TEXT && v.number > 7 && memcmp(v.text, "hidden_", 7) == 0;
        }
    }
    return true;
}

static bool read_kernel(reader *r, gfx_code *code)
{
    static const char *const keys[] = { ".vgpr_count", ".sgpr_count", ".vgpr_spill_count", ".sgpr_spill_count",
                                        ".max_flat_workgroup_size" };
    uint32_t counts[5] = { 0 }, hidden = 0;
    char name[sizeof code->kernels->name] = "";
    value map, key, v;
    if (!next(r, &map) || map.kind != MAP)
        return false;
    for (uint64_t k = 0; k < map.number; k++) {
        if (!next(r, &key))
            return false;
        const uint8_t *before = r->at;
        if (!next(r, &v))
            return false;
        if (v.kind == ARRAY || v.kind == MAP) {
            r->at = before;
            if (is(&key, ".args") ? !read_args(r, &hidden) : !skip_value(r, 0))
                return false;
        }
        if (is(&key, ".name") && v.kind == TEXT && v.number < sizeof name)
            memcpy(name, v.text, v.number), name[v.number] = 0;
        for (int n = 0; n < 5; n++)
            if (is(&key, keys[n]) && v.kind == NUMBER)
                counts[n] = (uint32_t)v.number;
    }
    for (uint32_t n = 0; n < code->count; n++)
        if (strcmp(code->kernels[n].name, name) == 0) {
            gfx_kernel *k = &code->kernels[n];
            k->vgprs = counts[0] ? counts[0] : k->vgprs;
            k->sgprs = counts[1];
            k->vgpr_spills = counts[2];
            k->sgpr_spills = counts[3];
            k->work_items_max = counts[4];
            k->hidden_args = hidden;
            k->has_metadata = true;
        }
    return true;
}

static void read_metadata(reader r, gfx_code *code)
{
    value map, key, list;
    if (!next(&r, &map) || map.kind != MAP)
        return;
    for (uint64_t k = 0; k < map.number; k++) {
        if (!next(&r, &key))
            return;
        if (!is(&key, "amdhsa.kernels")) {
            if (!skip_value(&r, 0))
                return;
            continue;
        }
        if (!next(&r, &list) || list.kind != ARRAY)
            return;
        for (uint64_t n = 0; n < list.number; n++)
            if (!read_kernel(&r, code))
                return;
    }
}

void gfx_read_notes(const uint8_t *notes, size_t size, gfx_code *code)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr head;
        memcpy(&head, notes, sizeof head);
        uint64_t name = ((uint64_t)head.n_namesz + 3) / 4 * 4, used = sizeof head + name + head.n_descsz;
        if (used > size)
            return;
        const uint8_t *description = notes + sizeof head + name;
        if (head.n_type == NOTE_METADATA)
            read_metadata((reader){ description, description + head.n_descsz }, code);
        used = (used + 3) / 4 * 4;
        if (used >= size)
            return;
        notes += used;
        size -= used;
    }
}
