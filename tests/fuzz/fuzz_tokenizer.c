/* Uses a damaged tokenizer section on any text, and translates any expression.
 *
 * The first byte chooses. Even: the next byte chooses a section (its kind of model, flags and steps), then follows a
 * list of changes to it (u16 place, u8 count of bytes, the bytes; a place with the highest bit counts from the end),
 * ended by a count of 0; what follows is the text, encoded with the flags of the first byte. Odd: the rest is an
 * expression, which becomes the split of a small vocabulary where it compiles, and its own text. */
#include <stdlib.h>
#include <string.h>

#include "convert/tokenizer_internal.h"
#include "runtime/tokenizer.h"
#include "tests/support/make_vocab.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODELS = 4, FLAG_SETS = 3, SECTIONS = MODELS * FLAG_SETS * VOCAB_CHAINS };

static uint8_t *good[SECTIONS];
static size_t good_size[SECTIONS];

#define MUST(expr)   \
    do {             \
        if (!(expr)) \
            abort(); \
    } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static const uint32_t flags[FLAG_SETS] = {
        ASH_VOCAB_BYTE_FALLBACK | ASH_VOCAB_FUSE_UNK | ASH_VOCAB_ADD_BOS, ASH_VOCAB_FUSE_UNK | ASH_VOCAB_FLOAT_SUMS,
        ASH_VOCAB_IGNORE_MERGES | ASH_VOCAB_ADD_EOS,
    };
    for (uint32_t i = 0; i < SECTIONS; i++) {
        vocab_spec spec = { .model = 1 + i % MODELS, .flags = flags[i / MODELS % FLAG_SETS] };
        spec.step_count = vocab_chain(i / MODELS / FLAG_SETS, &spec.steps);
        good[i] = i == 0 ? make_vocab(NULL, &good_size[i]) : make_vocab_of(&spec, &good_size[i]);
        MUST(good[i]);
    }
    return 0;
}

/* Encodes twice, with the same result; decodes at once and token by token, with the same result. */
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
        free(again);
        ash_decoding *all, *each;
        const char *part, *rest;
        size_t part_size, rest_size, at = 0;
        MUST(ash_decoding_new(t, flags & 3, &all, &err) == ASH_OK);
        MUST(ash_decoding_new(t, flags & 3, &each, &err) == ASH_OK);
        count = count < 4096 ? count : 4096;
        if (ash_decoding_push(all, ids, count, &part, &part_size, &err) == ASH_OK) {
            char *whole = malloc(part_size + 1);
            MUST(whole);
            if (part_size != 0)
                memcpy(whole, part, part_size);
            for (size_t i = 0; i < count; i++) {
                MUST(ids[i] >= 0 && (uint32_t)ids[i] < ash_tokenizer_count(t));
                size_t n;
                MUST(ash_decoding_push(each, ids + i, 1, &rest, &n, &err) == ASH_OK);
                MUST(n <= part_size - at && (n == 0 || memcmp(whole + at, rest, n) == 0));
                at += n;
            }
            MUST(at == part_size);
            free(whole);
            MUST(ash_decoding_finish(all, &part, &part_size, &err) == ASH_OK);
            MUST(ash_decoding_finish(each, &rest, &rest_size, &err) == ASH_OK);
            MUST(part_size == rest_size && (part_size == 0 || memcmp(part, rest, part_size) == 0));
        }
        ash_decoding_free(all);
        ash_decoding_free(each);
        free(ids);
    }
    ash_tokenizer_find(t, (const char *)text, text_size);
    ash_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
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
            use(section, section_size, data, size < 24 ? size : 24, mode >> 1 & 7);
        free(section);
        free(expression);
        return 0;
    }
    unsigned which = *data++ % SECTIONS;
    size--;
    size_t whole = good_size[which];
    uint8_t *section = malloc(whole);
    MUST(section);
    memcpy(section, good[which], whole);
    while (size >= 3) {
        size_t place = data[0] | (size_t)data[1] << 8, n = data[2], at = (place & 0x7fff) % whole;
        if (place & 0x8000) /* counts from the end, where the texts are */
            at = whole - 1 - at;
        data += 3;
        size -= 3;
        if (n == 0)
            break;
        n = n < size ? n : size;
        n = n < whole - at ? n : whole - at;
        memcpy(section + at, data, n);
        data += n;
        size -= n;
    }
    use(section, whole, data, size, mode >> 1 & 7);
    free(section);
    return 0;
}
