#include "runtime/kv_cache.h"

#include <sys/mman.h>

#include "format/checked.h"

void *ash_pages_new(uint64_t bytes, ash_page_size size)
{
    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return NULL;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (size != ASH_PAGES_ANY) /* a hint: refused where the kernel has no huge pages */
        madvise(p, bytes, size == ASH_PAGES_LARGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return p;
}

void ash_pages_free(void *pages, uint64_t bytes)
{
    if (pages)
        munmap(pages, bytes);
}

ash_status ash_kv_cache_init(ash_kv_cache *cache, const ash_hparams *h, ash_dtype type, uint32_t positions,
                             ash_error *err)
{
    *cache = (ash_kv_cache){ .type = type, .positions = positions, .kv_heads = h->kv_heads };
    uint64_t elems, stride = 0, heads, bytes = 0;
    bool fits = ash_round_up(h->head_dim, 32, &elems) && ash_row_bytes(type, elems, &stride) &&
                ash_mul(h->layers, h->kv_heads, &heads) && ash_mul(stride, positions, &bytes);
    cache->stride = (int64_t)stride;
    cache->head_stride = (int64_t)bytes;
    fits = fits && ash_mul(bytes, heads, &bytes) && ash_mul(bytes, 2, &cache->bytes);
    void *pages = fits ? ash_pages_new(cache->bytes, ASH_PAGES_SMALL) : NULL;
    if (!pages) {
        *cache = (ash_kv_cache){ 0 };
        return ash_fail(err, ASH_E_MEMORY, "no memory for a context of %u tokens: ask for a smaller one", positions);
    }
    cache->k = pages;
    cache->v = cache->k + bytes;
    return ASH_OK;
}

void ash_kv_cache_free(ash_kv_cache *cache)
{
    ash_pages_free(cache->k, cache->bytes);
    *cache = (ash_kv_cache){ 0 };
}
