/* ELF code objects: the kernels' descriptors and instructions. The bytes come from our own compiler run; they are
 * checked as far as reading them needs. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gfx12/machine.h"

#define MACHINE_AMDGPU 224
#define FLAGS_MACH 0xffu
enum { MACH_GFX1200 = 0x48, MACH_GFX1201 = 0x4e };
#define DESCRIPTOR_BYTES 64u
/* compute_pgm_rsrc1: float mode. 32-bit and 16/64-bit rounding 0 (nearest even), denormals 3 (kept). */
#define RSRC1_FLOAT_MODE_SHIFT 12
#define RSRC1_FLOAT_MODE 0xffu
#define FLOAT_MODE_IEEE 0xf0u
#define FLOAT_MODE_FLUSH_F32 0xc0u /* f32 denormals flushed */
#define PROPERTY_WAVE32 (1u << 10)

static bool fail(gfx_error *err, const char *what, const char *name)
{
    snprintf(err->text, sizeof err->text, "code object: %s%s%s", what, name ? ": " : "", name ? name : "");
    return false;
}

typedef struct image {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *sections;
} image;

static bool inside(const image *m, uint64_t at, uint64_t size) { return at <= m->size && size <= m->size - at; }

/* The bytes behind a virtual address, or NULL. */
static const uint8_t *at_address(const image *m, uint64_t address, uint64_t size)
{
    for (unsigned i = 0; i < m->header->e_shnum; i++) {
        const Elf64_Shdr *s = &m->sections[i];
        if (s->sh_type == SHT_PROGBITS && address >= s->sh_addr && address - s->sh_addr <= s->sh_size &&
            size <= s->sh_size - (address - s->sh_addr) && inside(m, s->sh_offset, s->sh_size))
            return m->bytes + s->sh_offset + (address - s->sh_addr);
    }
    return NULL;
}

static uint32_t u32_at(const uint8_t *p) { uint32_t x; memcpy(&x, p, sizeof x); return x; }

static bool read_kernel(const image *m, const char *name, uint64_t address, const Elf64_Sym *code, gfx_kernel *out,
                        gfx_error *err)
{
    const uint8_t *d = at_address(m, address, DESCRIPTOR_BYTES);
    if (!d)
        return fail(err, "the descriptor lies outside its section", name);
    int64_t entry;
    memcpy(&entry, d + 16, sizeof entry);
    uint16_t properties;
    memcpy(&properties, d + 56, sizeof properties);
    uint32_t rsrc1 = u32_at(d + 48), mode = rsrc1 >> RSRC1_FLOAT_MODE_SHIFT & RSRC1_FLOAT_MODE;
    if (code->st_value != address + (uint64_t)entry)
        return fail(err, "the descriptor's entry is not the kernel's symbol", name);
    if (!(properties & PROPERTY_WAVE32))
        return fail(err, "not compiled for waves of 32 lanes", name);
    if (mode != FLOAT_MODE_IEEE)
        return fail(err, mode == FLOAT_MODE_FLUSH_F32 ? "compiled to flush f32 denormals" : "unknown float mode", name);
    const uint8_t *text = at_address(m, code->st_value, code->st_size);
    if (!text)
        return fail(err, "the instructions lie outside their section", name);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->lds_bytes = u32_at(d);
    out->scratch_bytes = u32_at(d + 4);
    out->kernarg_bytes = u32_at(d + 8);
    out->vgprs = ((rsrc1 & 63) + 1) * 8;
    out->properties = properties;
    if (out->lds_bytes > GFX_LDS_MAX)
        return fail(err, "more LDS than there is", name);
    if (out->scratch_bytes > GFX_SCRATCH_MAX)
        return fail(err, "more scratch memory than is interpreted", name);
    out->text = text;
    out->text_bytes = code->st_size;
    out->address = (uint32_t)code->st_value;
    return true;
}

bool gfx_kernel_decode(gfx_kernel *k, gfx_error *err)
{
    if (k->insns || gfx_decode(k->text, k->text_bytes, k->address, &k->insns, &k->count, err))
        return true;
    char why[sizeof err->text];
    snprintf(why, sizeof why, "%s", err->text);
    snprintf(err->text, sizeof err->text, "%.60s: %.400s", k->name, why);
    return false;
}

static const Elf64_Sym *find_symbol(const Elf64_Sym *symbols, size_t count, const char *names, const char *name,
                                    size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(names + symbols[i].st_name, name, size) == 0 && names[symbols[i].st_name + size] == 0)
            return &symbols[i];
    return NULL;
}

static bool read_symbols(const image *m, const Elf64_Shdr *table, gfx_code *out, gfx_error *err)
{
    if (table->sh_link >= m->header->e_shnum || !inside(m, table->sh_offset, table->sh_size))
        return fail(err, "the symbol table lies outside the file", NULL);
    const Elf64_Shdr *strings = &m->sections[table->sh_link];
    if (!inside(m, strings->sh_offset, strings->sh_size) || strings->sh_size == 0 ||
        m->bytes[strings->sh_offset + strings->sh_size - 1] != 0)
        return fail(err, "the symbol names lie outside the file", NULL);
    const Elf64_Sym *symbols = (const Elf64_Sym *)(m->bytes + table->sh_offset);
    size_t count = table->sh_size / sizeof *symbols;
    const char *names = (const char *)m->bytes + strings->sh_offset;
    for (size_t i = 0; i < count; i++)
        if (symbols[i].st_name >= strings->sh_size)
            return fail(err, "a symbol's name lies outside the names", NULL);
    out->kernels = calloc(count + 1, sizeof *out->kernels);
    if (!out->kernels)
        return fail(err, "out of memory", NULL);
    for (size_t i = 0; i < count; i++) {
        const char *name = names + symbols[i].st_name;
        size_t size = strlen(name);
        if (size < 4 || strcmp(name + size - 3, ".kd") != 0)
            continue;
        const Elf64_Sym *code = find_symbol(symbols, count, names, name, size - 3);
        char kernel[64];
        snprintf(kernel, sizeof kernel, "%.*s", (int)(size - 3 < 60 ? size - 3 : 60), name);
        if (!code)
            return fail(err, "a descriptor without its kernel", kernel);
        if (!read_kernel(m, kernel, symbols[i].st_value, code, &out->kernels[out->count++], err))
            return false;
    }
    return true;
}

bool gfx_code_open(const void *elf, size_t size, gfx_code *out, gfx_error *err)
{
    *out = (gfx_code){ 0 };
    image m = { .bytes = elf, .size = size, .header = elf };
    if (size < sizeof *m.header || memcmp(m.header->e_ident, ELFMAG, SELFMAG) != 0 ||
        m.header->e_ident[EI_CLASS] != ELFCLASS64 || m.header->e_machine != MACHINE_AMDGPU)
        return fail(err, "not an ELF file for AMD GPUs", NULL);
    uint32_t mach = m.header->e_flags & FLAGS_MACH;
    if (mach != MACH_GFX1200 && mach != MACH_GFX1201)
        return fail(err, "not for gfx1200 or gfx1201", NULL);
    if (m.header->e_shoff % 8 != 0 || m.header->e_shentsize != sizeof *m.sections ||
        !inside(&m, m.header->e_shoff, (uint64_t)m.header->e_shnum * sizeof *m.sections))
        return fail(err, "the section headers lie outside the file", NULL);
    m.sections = (const Elf64_Shdr *)(m.bytes + m.header->e_shoff);
    for (unsigned i = 0; i < m.header->e_shnum; i++) {
        if (m.sections[i].sh_type == SHT_RELA && m.sections[i].sh_size != 0) {
            gfx_code_free(out);
            return fail(err, "has relocations", NULL);
        }
        if (m.sections[i].sh_type == SHT_SYMTAB && !out->kernels && !read_symbols(&m, &m.sections[i], out, err)) {
            gfx_code_free(out);
            return false;
        }
    }
    for (unsigned i = 0; i < m.header->e_shnum; i++)
        if (m.sections[i].sh_type == SHT_NOTE && inside(&m, m.sections[i].sh_offset, m.sections[i].sh_size))
            gfx_read_notes(m.bytes + m.sections[i].sh_offset, m.sections[i].sh_size, out);
    if (out->count == 0) {
        gfx_code_free(out);
        return fail(err, "has no kernels", NULL);
    }
    return true;
}

bool gfx_code_load(const void *elf, size_t size, gfx_code *out, gfx_error *err)
{
    if (!gfx_code_open(elf, size, out, err))
        return false;
    for (uint32_t i = 0; i < out->count; i++)
        if (!gfx_kernel_decode(&out->kernels[i], err)) {
            gfx_code_free(out);
            return false;
        }
    return true;
}

void gfx_code_free(gfx_code *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        gfx_insns_free(c->kernels[i].insns, c->kernels[i].count);
    free(c->kernels);
    *c = (gfx_code){ 0 };
}

const gfx_kernel *gfx_kernel_find(const gfx_code *c, const char *name)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (strcmp(c->kernels[i].name, name) == 0)
            return &c->kernels[i];
    return NULL;
}
