/* Uses a damaged tokenizer section on any text, and translates any expression.
 *
 * The first byte chooses. Even: a list of changes to a good section (u16 place, u8 count of bytes, the bytes), ended by
 * a count of 0; what follows is the text, encoded with the flags of the first byte. Odd: the rest is an expression,
 * which becomes the split of a small vocabulary where it compiles, and its own text. */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "runtime/tokenizer.h"
#include "tests/support/make_vocab.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *good;
static size_t good_size;

#define MUST(expr)   \
    do {             \
        if (!(expr)) \
            abort(); \
    } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    good = make_vocab(NULL, &good_size);
    MUST(good && good_size < 65536);
    return 0;
}

/* Encodes twice, with the same result, and decodes through the stream. */
static void use(const uint8_t *section, size_t size, const uint8_t *text, size_t text_size, unsigned flags)
{
    ash_error err;
    ash_tokenizer *t;
    if (ash_tokenizer_open(section, size, &t, &err) != ASH_OK)
        return;
    int32_t *ids, *again;
    size_t count, again_count;
    if (ash_tokenizer_encode(t, (const char *)text, text_size, flags, &ids, &count, &err) == ASH_OK) {
        MUST(ash_tokenizer_encode(t, (const char *)text, text_size, flags, &again, &again_count, &err) == ASH_OK);
        MUST(count == again_count && memcmp(ids, again, count * sizeof *ids) == 0);
        ash_utf8_stream stream = { 0 };
        size_t in = 0, out = 0;
        for (size_t i = 0; i < count; i++) {
            size_t n;
            const char *bytes = ash_tokenizer_bytes(t, ids[i], &n);
            MUST((uint32_t)ids[i] < ash_tokenizer_count(t));
            n = n < 64 ? n : 64;
            char piece[72];
            out += ash_utf8_push(&stream, bytes, n, piece);
            in += n;
        }
        char rest[8];
        out += ash_utf8_flush(&stream, rest);
        MUST(in == out);
        free(ids);
        free(again);
    }
    ash_tokenizer_find(t, (const char *)text, text_size);
    ash_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned mode = *data++;
    size--;
    ash_error err;
    if (mode & 1) {
        char *expression;
        size_t expression_size;
        if (size > 400 ||
            ash_expression_translate((const char *)data, size, &expression, &expression_size, &err) != ASH_OK)
            return 0;
        size_t section_size;
        uint8_t *section = strlen(expression) == expression_size ? make_vocab(expression, &section_size) : NULL;
        if (section)
            use(section, section_size, data, size < 24 ? size : 24, mode >> 1 & 3);
        free(section);
        free(expression);
        return 0;
    }
    uint8_t *section = malloc(good_size);
    MUST(section);
    memcpy(section, good, good_size);
    while (size >= 3) {
        size_t at = (data[0] | (size_t)data[1] << 8) % good_size, n = data[2];
        data += 3;
        size -= 3;
        if (n == 0)
            break;
        n = n < size ? n : size;
        n = n < good_size - at ? n : good_size - at;
        memcpy(section + at, data, n);
        data += n;
        size -= n;
    }
    use(section, good_size, data, size, mode >> 1 & 3);
    free(section);
    return 0;
}
