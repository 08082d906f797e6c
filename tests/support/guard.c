#include "tests/support/guard.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/support.h"

guard_buffer guard_alloc(size_t size, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (size + align + page - 1) / page * page; /* room to move `size` down to its alignment */
    guard_buffer b = { .size = size, .map_bytes = body + 2 * GUARD_MARGIN };
    b.map = mmap(NULL, b.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED || mprotect((uint8_t *)b.map + GUARD_MARGIN, body, PROT_READ | PROT_WRITE) != 0)
        fail_msg("no memory for a guarded buffer of %zu bytes", size);
    uintptr_t end = (uintptr_t)b.map + GUARD_MARGIN + body;
    b.p = (void *)((end - size) & ~(uintptr_t)(align - 1));
    guard_refill(&b);
    return b;
}

void guard_free(guard_buffer *b)
{
    if (b->map)
        munmap(b->map, b->map_bytes);
    memset(b, 0, sizeof *b);
}

void guard_refill(const guard_buffer *b)
{
    memset((uint8_t *)b->map + GUARD_MARGIN, GUARD_FILL, b->map_bytes - 2 * GUARD_MARGIN);
}

static int all_filled(const uint8_t *from, const uint8_t *to)
{
    for (; from < to; from++)
        if (*from != GUARD_FILL)
            return 0;
    return 1;
}

int guard_slack_intact(const guard_buffer *b)
{
    const uint8_t *map = b->map, *p = b->p;
    return all_filled(map + GUARD_MARGIN, p) && all_filled(p + b->size, map + b->map_bytes - GUARD_MARGIN);
}

static sigjmp_buf jump;
static const int caught[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
#define CAUGHT (sizeof caught / sizeof caught[0])

static void on_signal(int signal_number) { siglongjmp(jump, signal_number); }

int guard_run(void (*fn)(void *context), void *context)
{
    struct sigaction old[CAUGHT], action = { .sa_handler = on_signal };
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &action, &old[i]);
    int raised = sigsetjmp(jump, 1);
    if (raised == 0)
        fn(context);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &old[i], NULL);
    return raised;
}
