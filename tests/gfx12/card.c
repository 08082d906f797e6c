#include "tests/gfx12/card.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

static void add(card *c, const char *name, void *base, size_t bytes, bool writable)
{
    if (c->count == CARD_BUFFERS)
        fail_msg("more than %d buffers on the card", CARD_BUFFERS);
    uintptr_t from = (uintptr_t)base;
    for (size_t i = 0; i < c->count; i++) {
        uintptr_t other = (uintptr_t)c->buffers[i].base;
        if (other < from + bytes + GUARD_MARGIN && from < other + c->buffers[i].size + GUARD_MARGIN)
            fail_msg("%s lies less than %u bytes from %s: an access beyond one may be one of the other", name,
                     GUARD_MARGIN, c->buffers[i].name);
    }
    c->buffers[c->count++] = (gfx_buffer){ name, base, bytes, writable };
}

void *card_buffer(card *c, const char *name, size_t bytes)
{
    guard_buffer b = guard_alloc(bytes, 64);
    add(c, name, b.p, bytes, true);
    c->owned[c->count - 1] = b;
    return b.p;
}

void card_read_only(card *c, const char *name, const void *base, size_t bytes)
{
    add(c, name, (void *)(uintptr_t)base, bytes, false);
}

void card_clear(card *c)
{
    for (size_t i = 0; i < c->count; i++)
        guard_free(&c->owned[i]);
    c->count = 0;
}

void card_free(card *c)
{
    card_clear(c);
    for (size_t i = 0; i < c->object_count; i++)
        gfx_code_free(&c->code[i]);
    c->object_count = 0;
}

static const gfx_code *load(card *c, const char *name)
{
    for (size_t i = 0; i < c->object_count; i++)
        if (strcmp(c->object[i], name) == 0)
            return &c->code[i];
    const ash_gfx_object *o = ash_gfx_object_find(ASH_GFX1201, name);
    gfx_error err;
    if (!o)
        fail_msg("no code object %s in the library", name);
    if (c->object_count == CARD_OBJECTS)
        fail_msg("more than %d code objects", CARD_OBJECTS);
    if (!gfx_code_load(o->data, (size_t)(o->end - o->data), &c->code[c->object_count], &err))
        fail_msg("%s: %s", name, err.text);
    c->object[c->object_count] = o->name;
    return &c->code[c->object_count++];
}

const gfx_kernel *card_kernel(card *c, const ash_gfx_kernel *k)
{
    const gfx_kernel *kernel = gfx_kernel_find(load(c, k->object), k->symbol);
    if (!kernel)
        fail_msg("no kernel %s in %s", k->symbol, k->object);
    return kernel;
}

bool card_try(card *c, const ash_gfx_kernel *k, uint32_t x, uint32_t y, uint32_t z, const void *args, gfx_error *err)
{
    const gfx_kernel *kernel = card_kernel(c, k);
    if (kernel->kernarg_bytes != k->args_bytes)
        fail_msg("%s takes %u bytes of arguments, the registry says %u", k->symbol, kernel->kernarg_bytes,
                 k->args_bytes);
    gfx_launch l = { .kernel = kernel, .grid = { x, y, z }, .block = { k->threads, 1, 1 }, .args = args,
                     .buffers = c->buffers, .buffer_count = c->count, .seed = c->seed,
                     .groups = c->groups, .group_count = c->group_count };
    return gfx_run(&l, &c->stats, err);
}

void card_run(card *c, const ash_gfx_kernel *k, uint32_t x, uint32_t y, uint32_t z, const void *args)
{
    gfx_error err;
    if (!card_try(c, k, x, y, z, args, &err))
        fail_msg("%s", err.text);
}
