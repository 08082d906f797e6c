/* Code objects and launches, checked as far as a driver does and further. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hip/state.h"

#define MACHINE_AMDGPU 224
#define FLAGS_MACH 0xffu
/* HIP_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE, _END */
enum { EXTRA_ARGS = 1, EXTRA_BYTES = 2, EXTRA_END = 3, EXTRA_MAX = 5 };

/* The targets that a stand-in's card may have and that code may be for: EF_AMDGPU_MACH_AMDGCN_*. */
static const struct { unsigned mach; const char *target; } targets[] = {
    { 0x36, "gfx1030" }, { 0x41, "gfx1100" }, { 0x46, "gfx1101" }, { 0x47, "gfx1102" }, { 0x48, "gfx1200" },
    { 0x4e, "gfx1201" },
};

static const char *target_of(unsigned mach)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (targets[i].mach == mach)
            return targets[i].target;
    return "";
}

/* ---- modules ---- */

static code_object *objects;

static void object_free(code_object *c)
{
    gfx_code_free(&c->kernels);
    free(c->image);
    free(c);
}

/* *out: what `bytes` bytes at `image` hold. */
static int find_object(const void *image, size_t bytes, code_object **out)
{
    gfx_error err;
    for (code_object *c = objects; c; c = c->next)
        if (c->bytes == bytes && memcmp(c->image, image, bytes) == 0) {
            *out = c;
            return STANDIN_SUCCESS;
        }
    code_object *c = calloc(1, sizeof *c);
    if (!c)
        return STANDIN_OUT_OF_MEMORY;
    c->bytes = bytes;
    c->image = malloc(bytes + 1);
    if (!c->image) {
        free(c);
        return STANDIN_OUT_OF_MEMORY;
    }
    memcpy(c->image, image, bytes);
    if (!gfx_code_open(c->image, bytes, &c->kernels, &err)) {
        object_free(c);
        return standin_refuse(STANDIN_INVALID_IMAGE, "%s", err.text);
    }
    c->next = objects;
    objects = *out = c;
    return STANDIN_SUCCESS;
}

/* A caller gives no size: the section headers are the last that LLVM's linker writes. */
static int load(const void *image, module *m)
{
    Elf64_Ehdr h;
    if (!image)
        return STANDIN_INVALID_VALUE;
    if (memcmp(image, ELFMAG, SELFMAG) != 0)
        return STANDIN_INVALID_IMAGE;
    memcpy(&h, image, sizeof h);
    if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != MACHINE_AMDGPU || h.e_shoff == 0)
        return STANDIN_INVALID_IMAGE;
    m->card = standin_card();
    if (strcmp(target_of(h.e_flags & FLAGS_MACH), all.cards[m->card].target) != 0)
        return STANDIN_NO_BINARY;
    return find_object(image, h.e_shoff + (size_t)h.e_shnum * h.e_shentsize, &m->code);
}

int hipModuleLoadData(standin_module **out, const void *image)
{
    int code = standin_enter(STANDIN_ModuleLoadData);
    module *m = code == STANDIN_SUCCESS ? calloc(1, sizeof *m) : NULL;
    if (code == STANDIN_SUCCESS)
        code = m ? load(image, m) : STANDIN_OUT_OF_MEMORY;
    uint64_t handle = code == STANDIN_SUCCESS ? standin_handle_new(MODULE, m) : 0;
    if (handle) {
        all.counts.modules++;
        *out = standin_pointer(handle);
    } else {
        free(m);
        code = code == STANDIN_SUCCESS ? STANDIN_OUT_OF_MEMORY : code;
    }
    return standin_leave(STANDIN_ModuleLoadData, code);
}

int hipModuleUnload(standin_module *handle)
{
    int code = standin_enter(STANDIN_ModuleUnload);
    module *m = code == STANDIN_SUCCESS ? standin_handle_find(handle, MODULE) : NULL;
    if (m) {
        standin_wait_idle(m->card);
        standin_handle_end(handle);
        free(m);
        all.counts.modules--;
    } else if (code == STANDIN_SUCCESS) {
        code = STANDIN_INVALID_HANDLE;
    }
    return standin_leave(STANDIN_ModuleUnload, code);
}

/* Function objects outlive their module, so that a late launch is told from a wild one. */
const function *standin_function_find(const void *handle)
{
    const function *f = standin_handle_find(handle, FUNCTION);
    return f && standin_handle_find(standin_pointer(f->module), MODULE) ? f : NULL;
}

/* Hidden arguments would follow the caller's, which a launch hands over as one block. */
static gfx_kernel *kernel_find(code_object *c, const char *name)
{
    const gfx_kernel *k = gfx_kernel_find(&c->kernels, name);
    if (k && k->hidden_args)
        standin_refuse(0, "%s takes %u arguments of HIP's own", name, k->hidden_args);
    return k ? &c->kernels.kernels[k - c->kernels.kernels] : NULL;
}

int hipModuleGetFunction(standin_function **out, standin_module *handle, const char *name)
{
    int code = standin_enter(STANDIN_ModuleGetFunction);
    const module *m = code == STANDIN_SUCCESS ? standin_handle_find(handle, MODULE) : NULL;
    gfx_kernel *kernel = m ? kernel_find(m->code, name) : NULL;
    function *f = kernel ? calloc(1, sizeof *f) : NULL;
    uint64_t at = f ? standin_handle_new(FUNCTION, f) : 0;
    if (at) {
        *f = (function){ (uint64_t)(uintptr_t)handle, m->card, kernel };
        *out = standin_pointer(at);
    } else if (code == STANDIN_SUCCESS) {
        free(f);
        code = !m ? STANDIN_INVALID_HANDLE : !kernel ? STANDIN_NOT_FOUND : STANDIN_OUT_OF_MEMORY;
    }
    return standin_leave(STANDIN_ModuleGetFunction, code);
}

/* ---- launches ---- */

static bool read_extra(void **extra, const void **args, size_t *bytes)
{
    *args = NULL;
    *bytes = 0;
    for (int i = 0; extra && i < EXTRA_MAX; i += 2)
        switch ((uintptr_t)extra[i]) {
        case EXTRA_ARGS: *args = extra[i + 1]; break;
        case EXTRA_BYTES: *bytes = *(const size_t *)extra[i + 1]; break;
        case EXTRA_END: return *args && *bytes;
        default: return false;
        }
    return false;
}

static int check_shape(const work *w, const gfx_kernel *k, unsigned shared_bytes)
{
    uint64_t items = (uint64_t)w->block[0] * w->block[1] * w->block[2];
    if (items == 0 || items > k->work_items_max)
        return standin_refuse(STANDIN_INVALID_VALUE, "%s: workgroups of %llu work-items, it takes 1 to %u", k->name,
                              (unsigned long long)items, k->work_items_max);
    bool fits = w->grid[0] && w->grid[1] && w->grid[2] && w->grid[1] <= UINT16_MAX && w->grid[2] <= UINT16_MAX;
    for (int d = 0; d < 3; d++)
        fits = fits && (uint64_t)w->grid[d] * w->block[d] <= UINT32_MAX;
    if (!fits)
        return standin_refuse(STANDIN_INVALID_VALUE, "%s: a grid of %u by %u by %u workgroups", k->name, w->grid[0],
                              w->grid[1], w->grid[2]);
    if (shared_bytes)
        return standin_refuse(STANDIN_INVALID_VALUE, "%s: %u bytes of LDS beside its own are not offered", k->name,
                              shared_bytes);
    return STANDIN_SUCCESS;
}

static int launch(standin_function *handle, work *w, unsigned shared_bytes, standin_stream *stream_handle, void **extra)
{
    const function *f = standin_function_find(handle);
    stream *s = f ? standin_handle_find(stream_handle, STREAM) : NULL;
    const void *args;
    size_t bytes;
    if (!s)
        return STANDIN_INVALID_HANDLE;
    if (f->card != s->card)
        return standin_refuse(STANDIN_INVALID_HANDLE, "%s was loaded for another card than the stream's",
                              f->kernel->name);
    int code = check_shape(w, f->kernel, shared_bytes);
    if (code != STANDIN_SUCCESS)
        return code;
    if (!read_extra(extra, &args, &bytes) || bytes != f->kernel->kernarg_bytes)
        return standin_refuse(STANDIN_INVALID_VALUE, "%s: %zu bytes of arguments, it takes %u", f->kernel->name, bytes,
                              f->kernel->kernarg_bytes);
    w->args = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!w->args)
        return STANDIN_OUT_OF_MEMORY;
    memcpy(w->args, args, bytes);
    w->args_bytes = bytes;
    w->function = (uint64_t)(uintptr_t)handle;
    work *own = standin_work_new(LAUNCH);
    if (!own)
        return STANDIN_OUT_OF_MEMORY;
    *own = *w;
    w->args = NULL;
    standin_mark(STANDIN_ModuleLaunchKernel, own);
    code = standin_enqueue(s, own);
    if (code == STANDIN_SUCCESS && s->capture)
        s->capture->kernels++;
    else if (code == STANDIN_SUCCESS)
        all.counts.launches++;
    return code;
}

int hipModuleLaunchKernel(standin_function *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned shared_bytes, standin_stream *on,
                          void **parameters, void **extra)
{
    int code = standin_enter(STANDIN_ModuleLaunchKernel);
    work w = { .kind = LAUNCH, .grid = { grid_x, grid_y, grid_z }, .block = { block_x, block_y, block_z } };
    if (code == STANDIN_SUCCESS && parameters)
        code = standin_refuse(STANDIN_INVALID_VALUE, "arguments of a launch one by one are not offered");
    if (code == STANDIN_SUCCESS)
        code = launch(handle, &w, shared_bytes, on, extra);
    free(w.args);
    return standin_leave(STANDIN_ModuleLaunchKernel, code);
}
