#include "runtime/added.h"

#include <stdlib.h>
#include <string.h>

#include "format/vocab.h"

static int compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

static int by_bytes(const void *a, const void *b)
{
    const ash_added *x = a, *y = b;
    int order = compare(x->bytes, x->size, y->bytes, y->size);
    return order != 0 ? order : x->id < y->id ? -1 : x->id > y->id;
}

void ash_added_set_make(ash_added_set *set, ash_added *items, uint32_t count)
{
    *set = (ash_added_set){ .items = items };
    if (count != 0)
        qsort(items, count, sizeof *items, by_bytes);
    for (uint32_t i = 0; i < count; i++) {
        const ash_added *last = set->count ? &items[set->count - 1] : NULL;
        if (items[i].size == 0 ||
            (last && compare(last->bytes, last->size, items[i].bytes, items[i].size) == 0)) {
            free(items[i].own);
            continue;
        }
        items[set->count++] = items[i];
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const ash_added *a = &items[i];
        uint8_t b = a->bytes[0];
        if (set->end[b] == 0)
            set->first[b] = i;
        set->end[b] = i + 1;
        set->plain[b] |= !(a->flags & ASH_ADDED_SPECIAL);
        if (a->size > set->longest_bytes)
            set->longest_bytes = a->size;
    }
}

void ash_added_set_free(ash_added_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        free(set->items[i].own);
    free(set->items);
    memset(set, 0, sizeof *set);
}

/* The last item that is not greater than the text is the one, or it shares fewer bytes with the text, and then the
 * search repeats with that many. */
const ash_added *ash_added_longest(const ash_added_set *set, const uint8_t *text, size_t size)
{
    uint32_t low = set->first[text[0]], high = set->end[text[0]];
    size_t limit = size < set->longest_bytes ? size : set->longest_bytes;
    while (low < high && limit != 0) {
        uint32_t from = low, to = high; /* the items in [low, from) are not greater */
        while (from < to) {
            uint32_t middle = from + (to - from) / 2;
            const ash_added *a = &set->items[middle];
            if (compare(a->bytes, a->size, text, limit) <= 0)
                from = middle + 1;
            else
                to = middle;
        }
        if (from == low)
            return NULL;
        const ash_added *a = &set->items[from - 1];
        size_t same = 0, most = a->size < limit ? a->size : limit;
        while (same < most && a->bytes[same] == text[same])
            same++;
        if (same == a->size)
            return a;
        high = from - 1;
        limit = same;
    }
    return NULL;
}
