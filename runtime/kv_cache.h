/* Keys and values of the tokens fed so far: F16, F8_E4M3 (without a scale, saturating at 448) or Q8_0.
 * Layout: [layer][kv_head][position][head_dim] for keys, then the same for values; a row is padded to a multiple of 32
 * elements.
 * The memory is reserved at once and filled by the system page by page as positions are written, so an
 * unused context costs nothing. A position is overwritten by feeding it again. */
#ifndef ASHLAR_RUNTIME_KV_CACHE_H
#define ASHLAR_RUNTIME_KV_CACHE_H

#include <stdint.h>

#include "format/dtype.h"
#include "format/meta.h"

typedef struct ash_kv_cache {
    uint8_t *k, *v;
    ash_dtype type;
    uint32_t positions;  /* rows of a head */
    int64_t stride;      /* bytes from a position to the next */
    int64_t head_stride; /* bytes from a KV head to the next */
    uint32_t kv_heads;
    uint64_t bytes;
} ash_kv_cache;

ash_status ash_kv_cache_init(ash_kv_cache *cache, const ash_hparams *h, ash_dtype type, uint32_t positions,
                             ash_error *err);
void ash_kv_cache_free(ash_kv_cache *cache);

static inline int64_t ash_kv_offset(const ash_kv_cache *cache, uint32_t layer, uint32_t kv_head)
{
    return ((int64_t)layer * cache->kv_heads + kv_head) * cache->head_stride;
}

/* How memory is filled as it is touched. Measured on SmolLM2-135M and llama-1b, 2 MiB pages against 4 KiB ones:
 * LARGE for a session's buffers: a first prompt of 512 tokens in 97% and 100% of the time (half the faults, and all
 * later ones read fewer page tables), for 6 and 10 MiB more, and a first token is no slower.
 * SMALL for keys and values: every layer and head begins in a page of its own, so a first token would fill 2 MiB for each
 * of them (90 MiB and 0.17 s more), for prompts in 98.5% of the time and tokens in 99.4%. */
typedef enum ash_page_size {
    ASH_PAGES_SMALL,
    ASH_PAGES_ANY,  /* as the system has it by itself */
    ASH_PAGES_LARGE /* where the system grants them */
} ash_page_size;

/* Zeroed memory that the system fills as it is touched, 4096-aligned; NULL where there is none. Freed with
 * ash_pages_free and the same size. */
void *ash_pages_new(uint64_t bytes, ash_page_size size);
void ash_pages_free(void *pages, uint64_t bytes);

#endif
