/* Unicode normalization forms. utf8proc has the character tables and the composition; the canonical order of combining
 * marks is done here, because its own sort is quadratic and a text may be one letter and a million marks. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/tokenizer_internal.h"
#include "runtime/utf8.h"

#define CLASSES 256 /* canonical combining classes are bytes */

/* Characters to their decompositions. Unassigned code points stay. *out is freed with free(). */
static ash_status decompose(const uint8_t *text, size_t size, utf8proc_option_t options, int32_t **out, size_t *count,
                            ash_error *err)
{
    size_t room = size + 32, used = 0;
    int32_t *codes = malloc(room * sizeof *codes);
    for (size_t at = 0; codes && at < size;) {
        uint32_t code = 0;
        at += ash_utf8_char(text + at, size - at, &code);
        if (room - used < 32) { /* the longest decomposition has 18 code points */
            room += room / 2;
            int32_t *more = realloc(codes, room * sizeof *codes);
            if (!more)
                free(codes);
            codes = more;
            if (!codes)
                break;
        }
        utf8proc_ssize_t n =
            utf8proc_decompose_char((int32_t)code, codes + used, (utf8proc_ssize_t)(room - used), options, NULL);
        if (n < 0 || (size_t)n > room - used) {
            free(codes);
            return ash_fail(err, ASH_E_FORMAT, "text: U+%04X cannot be normalized", code);
        }
        used += (size_t)n;
    }
    if (!codes)
        return ash_fail(err, ASH_E_MEMORY, "text: no memory to normalize %zu bytes", size);
    *out = codes;
    *count = used;
    return ASH_OK;
}

/* Stable counting sort of each run of marks by their combining class. */
static ash_status order_marks(int32_t *codes, size_t count, ash_error *err)
{
    for (size_t at = 0; at < count;) {
        size_t end = at;
        int previous = 0;
        bool sorted = true;
        for (; end < count; end++) {
            int class = utf8proc_get_property(codes[end])->combining_class;
            if (class == 0)
                break;
            sorted &= class >= previous;
            previous = class;
        }
        if (!sorted) {
            size_t n = end - at, starts[CLASSES + 1] = { 0 };
            int32_t *copy = malloc(n * sizeof *copy);
            if (!copy)
                return ash_fail(err, ASH_E_MEMORY, "text: no memory to order %zu marks", n);
            memcpy(copy, codes + at, n * sizeof *copy);
            for (size_t i = 0; i < n; i++)
                starts[(utf8proc_get_property(copy[i])->combining_class & 255) + 1]++;
            for (size_t c = 0; c < CLASSES; c++)
                starts[c + 1] += starts[c];
            for (size_t i = 0; i < n; i++)
                codes[at + starts[utf8proc_get_property(copy[i])->combining_class & 255]++] = copy[i];
            free(copy);
        }
        at = end + 1;
    }
    return ASH_OK;
}

ash_status ash_normal_form(uint16_t kind, const uint8_t *text, size_t size, uint8_t **out, size_t *out_size,
                           ash_error *err)
{
    bool compose = kind == ASH_STEP_NFC || kind == ASH_STEP_NFKC;
    int options = UTF8PROC_DECOMPOSE | (kind == ASH_STEP_NFKC || kind == ASH_STEP_NFKD ? UTF8PROC_COMPAT : 0);
    int32_t *codes = NULL;
    size_t count = 0;
    ASH_TRY(decompose(text, size, (utf8proc_option_t)options, &codes, &count, err));
    ash_status status = order_marks(codes, count, err);
    if (status == ASH_OK && compose) {
        utf8proc_ssize_t n =
            utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        count = n < 0 ? 0 : (size_t)n;
    }
    *out = NULL;
    *out_size = 0;
    uint8_t *bytes = status == ASH_OK ? malloc(4 * count + 1) : NULL;
    if (status == ASH_OK && !bytes)
        status = ash_fail(err, ASH_E_MEMORY, "text: no memory to normalize %zu bytes", size);
    if (status == ASH_OK) {
        size_t used = 0;
        for (size_t i = 0; i < count; i++)
            used += (size_t)utf8proc_encode_char(codes[i], bytes + used);
        *out = bytes;
        *out_size = used;
    }
    free(codes);
    return status;
}
