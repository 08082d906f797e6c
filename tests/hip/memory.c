/* Device and pinned memory: regions between guards, at addresses that are used once. Pages are copies of a file of
 * 0xff until they are written, so that a model's gigabytes cost nothing before they are filled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/hip/state.h"

#define PAGE 4096u
#define GUARD 65536u /* on either side: what a kernel may be off by and not meet another region */
#define FRESH 0xff
#define FRESH_BYTES (UINT64_C(16) << 20) /* of the file */

static int fresh_file(void)
{
    static int file = -1;
    if (file >= 0)
        return file;
    int made = memfd_create("standin", MFD_CLOEXEC);
    if (made < 0 || ftruncate(made, (off_t)FRESH_BYTES) != 0)
        return -1;
    void *p = mmap(NULL, FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0);
    if (p == MAP_FAILED)
        return -1;
    memset(p, FRESH, FRESH_BYTES);
    munmap(p, FRESH_BYTES);
    return file = made;
}

static bool map_fresh(uint8_t *at, size_t bytes)
{
    int file = fresh_file();
    for (size_t done = 0; done < bytes; done += FRESH_BYTES) {
        size_t n = bytes - done < FRESH_BYTES ? bytes - done : FRESH_BYTES;
        int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
        if (file < 0 || mmap(at + done, n, PROT_READ | PROT_WRITE, flags, file, 0) == MAP_FAILED)
            return false;
    }
    return true;
}

/* The addresses stay taken, and nobody's. */
static void unmap(region *r)
{
    (void)mmap(r->mapped, r->mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    free(r);
}

static region *region_new(size_t bytes, int card)
{
    region *r = calloc(1, sizeof *r);
    size_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
    void *p = mmap(NULL, pages + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!r || p == MAP_FAILED) {
        free(r);
        return NULL;
    }
    *r = (region){ .base = (uint8_t *)p + GUARD, .bytes = bytes, .mapped = p, .mapped_bytes = pages + 2 * GUARD,
                   .card = card };
    if (!map_fresh(r->base, pages)) {
        unmap(r);
        return NULL;
    }
    snprintf(r->name, sizeof r->name, "allocation %llu", (unsigned long long)++all.region_number);
    r->next = all.regions;
    all.regions = r;
    return r;
}

/* The link to the region that begins at p. */
static region **link_of(const void *p, bool pinned)
{
    region **at = &all.regions;
    while (*at && ((*at)->base != p || ((*at)->card < 0) != pinned))
        at = &(*at)->next;
    return at;
}

const region *standin_region(const void *p, size_t bytes, int card)
{
    uint64_t from = (uint64_t)(uintptr_t)p;
    for (const region *r = all.regions; r; r = r->next) {
        uint64_t base = (uint64_t)(uintptr_t)r->base;
        if (r->card == card && from >= base && from - base <= r->bytes && bytes <= r->bytes - (from - base))
            return r;
    }
    return NULL;
}

bool standin_is_device(const void *p)
{
    for (int i = 0; i < all.card_count; i++)
        if (standin_region(p, 0, i))
            return true;
    return false;
}

const char *standin_where(const void *p, char room[96])
{
    uint64_t from = (uint64_t)(uintptr_t)p;
    snprintf(room, 96, "%p, in nothing that was allocated", p);
    for (const region *r = all.regions; r; r = r->next) {
        uint64_t base = (uint64_t)(uintptr_t)r->base;
        if (from >= base && from - base <= r->bytes)
            snprintf(room, 96, "byte %llu of %s (%s, %zu bytes)", (unsigned long long)(from - base), r->name,
                     r->card < 0 ? "pinned" : "device", r->bytes);
    }
    return room;
}

gfx_buffer *standin_buffers(int card, size_t *count)
{
    size_t n = 0;
    for (const region *r = all.regions; r; r = r->next)
        n += r->card == card;
    gfx_buffer *list = calloc(n + 1, sizeof *list);
    *count = 0;
    for (const region *r = all.regions; list && r; r = r->next)
        if (r->card == card)
            list[(*count)++] = (gfx_buffer){ r->name, r->base, r->bytes, true };
    return list;
}

void standin_free_memory(void)
{
    while (all.regions) {
        region *r = all.regions;
        all.regions = r->next;
        unmap(r);
    }
}

/* ---- calls ---- */

int hipMemGetInfo(size_t *left, size_t *total)
{
    int code = standin_enter(STANDIN_MemGetInfo);
    if (code == STANDIN_SUCCESS) {
        *total = all.memory_bytes;
        *left = all.memory_bytes - all.cards[standin_card()].used_bytes;
    }
    return standin_leave(STANDIN_MemGetInfo, code);
}

static int allocate(void **p, size_t bytes)
{
    card_info *c = &all.cards[standin_card()];
    if (!p || bytes == 0)
        return standin_refuse(STANDIN_INVALID_VALUE, "hipMalloc of %zu bytes", bytes);
    size_t pages = bytes > SIZE_MAX - PAGE ? SIZE_MAX : (bytes + PAGE - 1) / PAGE * PAGE;
    if (pages > all.memory_bytes - c->used_bytes)
        return STANDIN_OUT_OF_MEMORY;
    region *r = region_new(bytes, standin_card());
    if (!r)
        return STANDIN_OUT_OF_MEMORY;
    c->used_bytes += pages;
    all.counts.allocations++;
    all.counts.device_bytes += pages;
    if (all.counts.device_bytes > all.counts.peak_bytes)
        all.counts.peak_bytes = all.counts.device_bytes;
    *p = r->base;
    return STANDIN_SUCCESS;
}

int hipMalloc(void **p, size_t bytes)
{
    int code = standin_enter(STANDIN_Malloc);
    if (code == STANDIN_SUCCESS)
        code = allocate(p, bytes);
    return standin_leave(STANDIN_Malloc, code);
}

/* What kernels and copies may still use goes when they are through, as with a driver. */
static int release(void *p, bool pinned)
{
    if (!p)
        return STANDIN_SUCCESS;
    if (standin_capturing(true))
        return standin_refuse(STANDIN_CAPTURE_UNSUPPORTED, "memory is given back by a thread that captures");
    if (*link_of(p, pinned))
        standin_wait_idle(-1);
    region **at = link_of(p, pinned), *r = *at;
    char room[96];
    if (!r)
        return standin_refuse(STANDIN_INVALID_VALUE, "%s of %s", pinned ? "hipHostFree" : "hipFree",
                              standin_where(p, room));
    *at = r->next;
    if (pinned) {
        all.counts.pinned--;
        all.counts.pinned_bytes -= r->bytes;
    } else {
        all.counts.allocations--;
        all.counts.device_bytes -= r->mapped_bytes - 2 * GUARD;
        all.cards[r->card].used_bytes -= r->mapped_bytes - 2 * GUARD;
    }
    unmap(r);
    return STANDIN_SUCCESS;
}

int hipFree(void *p)
{
    int code = standin_enter(STANDIN_Free);
    if (code == STANDIN_SUCCESS)
        code = release(p, false);
    return standin_leave(STANDIN_Free, code);
}

int hipHostMalloc(void **p, size_t bytes, unsigned flags)
{
    int code = standin_enter(STANDIN_HostMalloc);
    if (code == STANDIN_SUCCESS && (!p || bytes == 0 || flags != 0))
        code = standin_refuse(STANDIN_INVALID_VALUE, "hipHostMalloc of %zu bytes with flags %u", bytes, flags);
    region *r = code == STANDIN_SUCCESS ? region_new(bytes, -1) : NULL;
    if (r) {
        all.counts.pinned++;
        all.counts.pinned_bytes += bytes;
        *p = r->base;
    } else if (code == STANDIN_SUCCESS) {
        code = STANDIN_OUT_OF_MEMORY;
    }
    return standin_leave(STANDIN_HostMalloc, code);
}

int hipHostFree(void *p)
{
    int code = standin_enter(STANDIN_HostFree);
    if (code == STANDIN_SUCCESS)
        code = release(p, true);
    return standin_leave(STANDIN_HostFree, code);
}
