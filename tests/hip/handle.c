#include <stdlib.h>

#include "tests/hip/state.h"

#define FIRST UINT64_C(0x5a00000000000000) /* no address at all: to look inside crashes */
#define STEP 16

static struct { handle_kind kind; void *object; } *table; /* object NULL: ended */
static size_t count, room;
static const char *const names[] = { "", "stream", "event", "module", "function", "graph", "instantiated graph" };

uint64_t standin_handle_new(handle_kind kind, void *object)
{
    if (count == room) {
        size_t more = room ? 2 * room : 256;
        void *grown = realloc(table, more * sizeof *table);
        if (!grown)
            return 0;
        table = grown;
        room = more;
    }
    table[count].kind = kind;
    table[count].object = object;
    return FIRST + STEP * count++;
}

static size_t index_of(const void *handle) { return (size_t)(((uint64_t)(uintptr_t)handle - FIRST) / STEP); }

void *standin_handle_find(const void *handle, handle_kind kind)
{
    uint64_t at = (uint64_t)(uintptr_t)handle;
    size_t i = index_of(handle);
    if (at < FIRST || at % STEP || i >= count) {
        bool standard = kind == STREAM && !handle;
        standin_refuse(0, "%p is no %s%s", handle, names[kind], standard ? ": the default one is not offered" : "");
        return NULL;
    }
    if (table[i].kind != kind) {
        standin_refuse(0, "a handle of kind %s where one of kind %s belongs", names[table[i].kind], names[kind]);
        return NULL;
    }
    if (!table[i].object)
        standin_refuse(0, "a %s is used after its end", names[kind]);
    return table[i].object;
}

void standin_handle_end(const void *handle) { table[index_of(handle)].object = NULL; }

void *standin_handle_next(size_t *index, handle_kind kind, bool end)
{
    while (*index < count) {
        size_t i = (*index)++;
        void *object = table[i].object;
        if (table[i].kind != kind || !object)
            continue;
        if (end)
            table[i].object = NULL;
        return object;
    }
    return NULL;
}
