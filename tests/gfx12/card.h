/* A card in the interpreter: buffers that kernels may touch, and launches of the product's kernels (kernels/gfx12/).
 * All of them fail the running test, with the interpreter's message, where something is wrong. */
#ifndef ASHLAR_TESTS_GFX12_CARD_H
#define ASHLAR_TESTS_GFX12_CARD_H

#include "kernels/gfx12/gfx12.h"
#include "tests/gfx12/machine.h"
#include "tests/support/guard.h"

#define CARD_BUFFERS 64
#define CARD_OBJECTS 32

typedef struct card {
    gfx_buffer buffers[CARD_BUFFERS];
    guard_buffer owned[CARD_BUFFERS]; /* what card_free frees; empty where a buffer is the caller's */
    size_t count;
    const char *object[CARD_OBJECTS]; /* loaded so far */
    gfx_code code[CARD_OBJECTS];
    size_t object_count;
    uint64_t seed;               /* of the order of waves; 0: in turn */
    const uint32_t (*groups)[3]; /* the workgroups to run and their order; NULL: all, in turn */
    size_t group_count;
    gfx_stats stats;             /* of the last launch */
} card;

/* A new buffer of exactly `bytes` bytes, aligned to 64, filled with 0xff (NaN). Memory up to GUARD_MARGIN before and
 * behind it belongs to no buffer: a kernel's access to it is a fault. */
void *card_buffer(card *c, const char *name, size_t bytes);
/* Memory of the caller's, from guard_alloc so that it lies as far from every other buffer; read only for kernels. */
void card_read_only(card *c, const char *name, const void *base, size_t bytes);
/* Forgets all buffers, keeps loaded code. */
void card_clear(card *c);
void card_free(card *c);

/* What the loader read of a kernel. */
const gfx_kernel *card_kernel(card *c, const ash_gfx_kernel *k);
/* Runs workgroups x by y by z of `k` (gfx1201's code). args: k->args_bytes. */
void card_run(card *c, const ash_gfx_kernel *k, uint32_t x, uint32_t y, uint32_t z, const void *args);
/* The same, for a test that wants the interpreter's objection: false, and *err says it. */
bool card_try(card *c, const ash_gfx_kernel *k, uint32_t x, uint32_t y, uint32_t z, const void *args, gfx_error *err);

#endif
